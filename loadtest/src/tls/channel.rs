//! One end of a TLS connection, without its socket: a handshake of rustls' first, records of our own behind it.
//!
//! ```text
//! received --> held ++ received --handshake, records--> content, in one piece
//! content --seal--> waiting ++ sealed --write--> what the socket did not take --> waiting
//! ```

use super::record::{
    ALERT, APPLICATION_DATA, CONTENT_BYTES_MAX, Direction, HANDSHAKE, OVERHEAD_BYTES, whole_record, wrong,
};
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use std::io::{Error, ErrorKind, Result, Write};
use std::sync::Arc;

/// Content that is sealed and written at once, in bytes: four records, which stay in a core's own cache.
const PIECE_BYTES: usize = 4 * CONTENT_BYTES_MAX;
/// Sealed bytes that a socket did not take, at which nothing more is sealed.
const WAITING_BYTES_MAX: usize = CONTENT_BYTES_MAX;
/// Room that [`Channel::write`] needs for sealing.
pub(crate) const SEALED_BYTES: usize = WAITING_BYTES_MAX + PIECE_BYTES + 4 * OVERHEAD_BYTES + OVERHEAD_BYTES;
/// Capacity above which an empty buffer is given back.
const KEPT_BYTES_MAX: usize = 4096;
/// RFC 8446 §4: the type of a message that gives a ticket.
const NEW_SESSION_TICKET: u8 = 4;
/// RFC 8446 §6: a warning that nothing more comes.
const CLOSE_NOTIFY: [u8; 2] = [1, 0];

/// How a handshake went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// With a certificate.
    Full,
    /// With a ticket.
    Resumed,
}

enum State {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
    Open(Box<Open>),
    /// The handshake failed.
    Broken,
}

struct Open {
    sealer: Direction,
    opener: Direction,
    /// Where tickets go, if somebody wants them.
    tickets: Option<KernelConnection<ClientConnectionData>>,
}

/// One end.
pub(crate) struct Channel {
    state: State,
    keeps_tickets: bool,
    /// Received bytes of which the rest is to come.
    held: Vec<u8>,
    /// How many of them the handshake has seen and not used up.
    seen: usize,
    /// Bytes that the socket is to take first.
    waiting: Vec<u8>,
    handshake: Option<Handshake>,
    has_ended: bool,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Channel").field("is_open", &self.is_open()).finish_non_exhaustive()
    }
}

impl Channel {
    /// A client's end; its first message waits to be written.
    ///
    /// # Errors
    /// rustls'.
    pub(crate) fn client(config: &Arc<ClientConfig>, keeps_tickets: bool) -> Result<Self> {
        let name = ServerName::try_from("localhost").map_err(Error::other)?;
        let connection = UnbufferedClientConnection::new(Arc::clone(config), name).map_err(Error::other)?;
        let mut channel = Self::new(State::Client(Box::new(connection)), keeps_tickets);
        channel.shake_hands(&mut [])?;
        Ok(channel)
    }

    /// A server's end.
    ///
    /// # Errors
    /// rustls'.
    pub(crate) fn server(config: &Arc<ServerConfig>) -> Result<Self> {
        let connection = UnbufferedServerConnection::new(Arc::clone(config)).map_err(Error::other)?;
        Ok(Self::new(State::Server(Box::new(connection)), false))
    }

    fn new(state: State, keeps_tickets: bool) -> Self {
        Self {
            state,
            keeps_tickets,
            held: Vec::new(),
            seen: 0,
            waiting: Vec::new(),
            handshake: None,
            has_ended: false,
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Whether the socket is to be watched for writing, if there is more content or not.
    pub(crate) fn wants_write(&self, has_more: bool) -> bool {
        !self.waiting.is_empty() || has_more && self.is_open()
    }

    /// Whether the peer said that nothing more comes.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// How the handshake went, once, when it is over.
    pub(crate) fn take_handshake(&mut self) -> Option<Handshake> {
        self.handshake.take()
    }

    /// Copies what is held to the start of `incoming`, behind which new bytes belong.
    pub(crate) fn put_held(&self, incoming: &mut [u8]) -> usize {
        incoming[..self.held.len()].copy_from_slice(&self.held);
        self.held.len()
    }

    /// Takes all that is held and what came behind it; gives how many bytes of content stand in `plain`, which is at least as
    /// long.
    ///
    /// # Errors
    /// The peer broke the protocol.
    pub(crate) fn take(&mut self, incoming: &mut [u8], plain: &mut [u8]) -> Result<usize> {
        let mut used = 0;
        if !self.is_open() {
            used = self.shake_hands(incoming)?;
        }
        let mut count = 0;
        if let State::Open(open) = &mut self.state {
            while let Some(len) = whole_record(&incoming[used..])? {
                let record = &incoming[used..used + len];
                let out = &mut plain[count..];
                let (content_type, bytes) = open.opener.open(record, out)?;
                match content_type {
                    APPLICATION_DATA => count += bytes,
                    HANDSHAKE => open.take_tickets(&out[..bytes])?,
                    ALERT if out[..bytes] == CLOSE_NOTIFY => self.has_ended = true,
                    ALERT => return Err(wrong(&format!("the peer sent alert {:?}", &out[..bytes]))),
                    _ => return Err(wrong("a record is of an unknown type")),
                }
                used += len;
            }
        }
        self.held.clear();
        self.held.extend_from_slice(&incoming[used..]);
        give_back(&mut self.held);
        Ok(count)
    }

    /// Goes on with the handshake; gives how many bytes it used up. It sees one record after the other, and none that
    /// comes behind it.
    fn shake_hands(&mut self, incoming: &mut [u8]) -> Result<usize> {
        let mut used = 0;
        let mut seen = self.seen;
        loop {
            let (discard, step) = match &mut self.state {
                State::Client(connection) => {
                    let UnbufferedStatus { discard, state, .. } =
                        connection.process_tls_records(&mut incoming[used..seen]);
                    (discard, step(state.map_err(Error::other)?, &mut self.waiting)?)
                }
                State::Server(connection) => {
                    let UnbufferedStatus { discard, state, .. } =
                        connection.process_tls_records(&mut incoming[used..seen]);
                    (discard, step(state.map_err(Error::other)?, &mut self.waiting)?)
                }
                State::Open(_) | State::Broken => return Err(wrong("the handshake is over")),
            };
            used += discard;
            match step {
                Step::Again => {}
                Step::Blocked => match whole_record(&incoming[seen..])? {
                    Some(len) => seen += len,
                    None => {
                        self.seen = seen - used;
                        return Ok(used);
                    }
                },
                Step::Finished => {
                    self.open()?;
                    return Ok(used);
                }
            }
        }
    }

    fn open(&mut self) -> Result<()> {
        let (kind, secrets, tickets) = match std::mem::replace(&mut self.state, State::Broken) {
            State::Client(connection) => {
                let kind = connection.handshake_kind();
                let (secrets, tickets) =
                    connection.dangerous_into_kernel_connection().map_err(Error::other)?;
                (kind, secrets, Some(tickets))
            }
            State::Server(connection) => {
                let kind = connection.handshake_kind();
                let (secrets, _) = connection.dangerous_into_kernel_connection().map_err(Error::other)?;
                (kind, secrets, None)
            }
            State::Open(_) | State::Broken => return Err(wrong("the handshake is over")),
        };
        self.handshake = Some(match kind {
            Some(HandshakeKind::Resumed) => Handshake::Resumed,
            Some(_) | None => Handshake::Full,
        });
        self.state = State::Open(Box::new(Open {
            sealer: Direction::new(secrets.tx)?,
            opener: Direction::new(secrets.rx)?,
            tickets: tickets.filter(|_| self.keeps_tickets),
        }));
        Ok(())
    }

    /// Writes what waits, and content behind it; gives how many bytes of content it took, of which some may wait now.
    ///
    /// `room` has [`SEALED_BYTES`].
    ///
    /// # Errors
    /// The socket's; `WouldBlock` also as long as there is no key.
    pub(crate) fn write(
        &mut self,
        socket: &mut impl Write,
        content: &[u8],
        room: &mut [u8],
    ) -> Result<usize> {
        if !self.is_open() || self.waiting.len() > WAITING_BYTES_MAX {
            self.flush(socket)?;
        }
        if !self.is_open() || self.waiting.len() > WAITING_BYTES_MAX {
            return Err(ErrorKind::WouldBlock.into());
        }
        let taken = content.len().min(PIECE_BYTES);
        self.seal_and_write(APPLICATION_DATA, &content[..taken], socket, room)?;
        Ok(taken)
    }

    /// Says that nothing more comes.
    ///
    /// # Errors
    /// The socket's.
    pub(crate) fn say_goodbye(&mut self, socket: &mut impl Write, room: &mut [u8]) -> Result<()> {
        if self.is_open() && self.waiting.len() <= WAITING_BYTES_MAX {
            self.seal_and_write(ALERT, &CLOSE_NOTIFY, socket, room)?;
        }
        Ok(())
    }

    fn seal_and_write(
        &mut self,
        content_type: u8,
        content: &[u8],
        socket: &mut impl Write,
        room: &mut [u8],
    ) -> Result<()> {
        let State::Open(open) = &mut self.state else { return Err(wrong("there is no key yet")) };
        let at = self.waiting.len();
        room[..at].copy_from_slice(&self.waiting);
        let end = at + open.sealer.seal(content_type, content, &mut room[at..])?;
        let written = write_some(socket, &room[..end])?;
        self.waiting.clear();
        self.waiting.extend_from_slice(&room[written..end]);
        give_back(&mut self.waiting);
        Ok(())
    }

    /// Writes what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// The socket's, but for `WouldBlock`.
    pub(crate) fn flush(&mut self, socket: &mut impl Write) -> Result<()> {
        while !self.waiting.is_empty() {
            let written = write_some(socket, &self.waiting)?;
            if written == 0 {
                return Ok(());
            }
            self.waiting.drain(..written);
        }
        give_back(&mut self.waiting);
        Ok(())
    }
}

impl Open {
    /// Messages behind the handshake: tickets, and nothing else (RFC 8446 §4.6).
    fn take_tickets(&mut self, mut messages: &[u8]) -> Result<()> {
        while let [kind, high, middle, low, rest @ ..] = messages {
            let len = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
            if *kind != NEW_SESSION_TICKET || rest.len() < len {
                return Err(wrong(&format!("handshake message {kind} came in an open connection")));
            }
            if let Some(tickets) = &mut self.tickets {
                tickets.handle_new_session_ticket(&rest[..len]).map_err(Error::other)?;
            }
            messages = &rest[len..];
        }
        Ok(())
    }
}

/// The next step of a handshake.
enum Step {
    Again,
    Blocked,
    Finished,
}

fn step<D>(state: ConnectionState<'_, '_, D>, waiting: &mut Vec<u8>) -> Result<Step> {
    match state {
        ConnectionState::EncodeTlsData(data) => {
            encode(data, waiting)?;
            Ok(Step::Again)
        }
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(Step::Again)
        }
        ConnectionState::BlockedHandshake => Ok(Step::Blocked),
        ConnectionState::WriteTraffic(_) => Ok(Step::Finished),
        ConnectionState::ReadTraffic(_)
        | ConnectionState::ReadEarlyData(_)
        | ConnectionState::PeerClosed
        | ConnectionState::Closed
        | _ => Err(wrong("the handshake ended early")),
    }
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, waiting: &mut Vec<u8>) -> Result<()> {
    let at = waiting.len();
    let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) else {
        return Err(wrong("a handshake message is empty"));
    };
    waiting.resize(at + size.required_size, 0);
    data.encode(&mut waiting[at..]).map_err(Error::other)?;
    Ok(())
}

/// 0 if the socket takes nothing.
fn write_some(socket: &mut impl Write, bytes: &[u8]) -> Result<usize> {
    loop {
        match socket.write(bytes) {
            Ok(written) => return Ok(written),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn give_back(buffer: &mut Vec<u8>) {
    if buffer.is_empty() && buffer.capacity() > KEPT_BYTES_MAX {
        *buffer = Vec::new();
    }
}
