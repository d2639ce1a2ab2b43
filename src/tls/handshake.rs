//! A TLS handshake by rustls: bytes in, bytes out.
//!
//! rustls gets one record at a time, so that it never sees bytes behind the handshake: these stay ciphertext, and the record
//! layer goes on exactly where rustls stopped. [`super::handover`] says how that works.
//!
//! Not here: sockets, deadlines, how many handshakes may be in progress (the front).

use core::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert, UnbufferedServerConnection};
use rustls::sign::CertifiedKey;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, ServerConfig};

use super::handover::{Handover, HandoverFault, TrafficSecrets, hand_over};
use super::record::suite::HEADER_BYTES;
use super::record::{LegRecords, Role};
use super::tickets::ReceivedTickets;
use super::unusable_certificate::UnusableCertificate;
use crate::limits::TLS_HANDSHAKE_BYTES_MAX;

/// Most bytes behind a record's header in a handshake: those of TLS 1.2, which are more (RFC 5246 §6.2.3).
const RECORD_BYTES_MAX: usize = (1 << 14) + 2048;

/// Why there is no TLS connection. The alert for the peer, if there is one, stands in what is to be sent.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeFault {
    /// The peer speaks plain HTTP.
    #[error("plain http on a tls port")]
    PlainHttp,
    /// The peer's part is longer than [`TLS_HANDSHAKE_BYTES_MAX`].
    #[error("a handshake of more than {TLS_HANDSHAKE_BYTES_MAX} bytes")]
    TooLong,
    /// The peer ended the connection in good order, before there was one.
    #[error("closed by the peer during the handshake")]
    Closed,
    /// rustls says no.
    #[error(transparent)]
    Refused(rustls::Error),
    /// The peer's certificate cannot be a server's, whoever vouches for it.
    #[error("{0}")]
    Unusable(rustls::OtherError),
    /// rustls is in a state that the handshake does not have.
    #[error("rustls is {0} in a handshake")]
    Astray(&'static str),
    /// The handshake is over, and the record layer cannot take it on.
    #[error(transparent)]
    Handover(#[from] HandoverFault),
}

impl From<rustls::Error> for HandshakeFault {
    fn from(error: rustls::Error) -> Self {
        match UnusableCertificate::within(&error) {
            Some(unusable) => Self::Unusable(unusable),
            None => Self::Refused(error),
        }
    }
}

/// How far a handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It needs more of the peer's bytes.
    NeedsMore,
    /// It is over: [`Handshake::finish`].
    Done,
}

/// A connection as the handshake left it.
#[derive(Debug)]
pub struct Finished {
    /// Its records from here on.
    pub records: LegRecords,
    /// The protocol that was agreed on by ALPN.
    pub alpn: Option<Vec<u8>>,
    /// The version of TLS: `TLS1.2` or `TLS1.3`.
    pub version: &'static str,
    /// The name that the client asked for (SNI); `None` on a connection to a backend.
    pub server_name: Option<String>,
    /// The peer's certificates, its own first. Those of the first connection, if this one resumes it.
    pub peer_chain: Option<Vec<CertificateDer<'static>>>,
    /// Whether an earlier connection was resumed.
    pub is_resumed: bool,
    /// Takes the tickets that a backend sends.
    pub tickets: ReceivedTickets,
}

enum Connection {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// A handshake in progress.
pub struct Handshake {
    connection: Connection,
    secrets: Arc<TrafficSecrets>,
    server_name: Option<Arc<AskedName>>,
    /// Bytes of what was received that rustls was shown and has not done with.
    shown: usize,
    /// Bytes that rustls has done with.
    read: usize,
}

impl Handshake {
    /// A handshake with a client.
    ///
    /// # Errors
    /// `config` cannot make a connection.
    pub fn with_client(config: &ServerConfig) -> Result<Self, HandshakeFault> {
        let (secrets, asked) = (Arc::new(TrafficSecrets::default()), Arc::new(AskedName::of(config)));
        // Of its own, so that what is noted belongs to one connection: some reference counts and a list of one protocol.
        let mut config = config.clone();
        config.key_log = secrets.clone();
        config.cert_resolver = asked.clone();
        config.enable_secret_extraction = true;
        let connection = Connection::Server(UnbufferedServerConnection::new(Arc::new(config))?);
        Ok(Self { connection, secrets, server_name: Some(asked), shown: 0, read: 0 })
    }

    /// A handshake with a backend, whose certificate has to be for `name`.
    ///
    /// # Errors
    /// `config` cannot make a connection.
    pub fn with_backend(config: &ClientConfig, name: ServerName<'static>) -> Result<Self, HandshakeFault> {
        let secrets = Arc::new(TrafficSecrets::default());
        let mut config = config.clone();
        config.key_log = secrets.clone();
        config.enable_secret_extraction = true;
        let connection = Connection::Client(UnbufferedClientConnection::new(Arc::new(config), name)?);
        Ok(Self { connection, secrets, server_name: None, shown: 0, read: 0 })
    }

    /// Goes on with what was `received` and not taken, which may be nothing; takes from it what belongs to the handshake
    /// and appends to `out` what is to be sent.
    ///
    /// # Errors
    /// There will be no connection. `out` has to be sent all the same.
    pub fn advance(&mut self, received: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<Progress, HandshakeFault> {
        if self.read == 0 && self.shown == 0 && self.is_plain_http(received) {
            return Err(HandshakeFault::PlainHttp);
        }
        loop {
            let window = &mut received[..self.shown];
            let turn = match &mut self.connection {
                Connection::Server(connection) => take_turn(connection.process_tls_records(window), out),
                Connection::Client(connection) => take_turn(connection.process_tls_records(window), out),
            };
            received.drain(..turn.discard);
            self.shown -= turn.discard;
            self.read += turn.discard;
            match turn.flow {
                Ok(Flow::GoOn) => continue,
                Ok(Flow::Blocked) => {}
                Err(fault) => {
                    self.take_alert(&mut received[..self.shown], out);
                    return Err(fault);
                }
            }
            if !self.common().is_handshaking() {
                // RFC 8446 §5.1: no message spans a change of keys, so rustls holds nothing.
                if self.shown > 0 {
                    return Err(HandshakeFault::Astray("amid a message"));
                }
                return Ok(Progress::Done);
            }
            if !self.show_next_record(received) {
                return Ok(Progress::NeedsMore);
            }
            if self.read + self.shown > TLS_HANDSHAKE_BYTES_MAX {
                return Err(HandshakeFault::TooLong);
            }
        }
    }

    /// Ends the handshake, which is done, and drops rustls.
    ///
    /// # Errors
    /// rustls and what was noted of its keys disagree, or the handshake is not done.
    pub fn finish(self) -> Result<Finished, HandshakeFault> {
        let common = self.common();
        let alpn = common.alpn_protocol().map(<[u8]>::to_vec);
        let peer_chain = common.peer_certificates().map(<[CertificateDer<'static>]>::to_vec);
        let is_resumed = common.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let server_name = self.server_name.and_then(|asked| asked.name.get().cloned());
        let (handover, tickets) = match self.connection {
            Connection::Server(connection) => {
                let (secrets, kernel) = connection.dangerous_into_kernel_connection()?;
                let suite = (kernel.protocol_version(), kernel.negotiated_cipher_suite());
                (Handover { role: Role::Server, suite, secrets }, ReceivedTickets::none())
            }
            Connection::Client(connection) => {
                let (secrets, kernel) = connection.dangerous_into_kernel_connection()?;
                let suite = (kernel.protocol_version(), kernel.negotiated_cipher_suite());
                (Handover { role: Role::Client, suite, secrets }, ReceivedTickets::of(kernel))
            }
        };
        // Others are not configured.
        let is_1_2 = handover.suite.0 == rustls::ProtocolVersion::TLSv1_2;
        let version = if is_1_2 { "TLS1.2" } else { "TLS1.3" };
        let records = hand_over(handover, &self.secrets)?;
        Ok(Finished { records, version, alpn, server_name, peer_chain, is_resumed, tickets })
    }

    fn common(&self) -> &CommonState {
        match &self.connection {
            Connection::Server(connection) => connection,
            Connection::Client(connection) => connection,
        }
    }

    /// RFC 8446 §5.1: a first record is of handshake messages, 22, or an alert, 21. A request begins with a letter.
    fn is_plain_http(&self, received: &[u8]) -> bool {
        match &self.connection {
            Connection::Server(_) => received.first().is_some_and(u8::is_ascii_uppercase),
            Connection::Client(_) => received.starts_with(b"HTTP/"),
        }
    }

    /// Shows rustls one record more. `false`: it has not come whole.
    fn show_next_record(&mut self, received: &[u8]) -> bool {
        let rest = &received[self.shown..];
        let Some(header) = rest.first_chunk::<HEADER_BYTES>() else { return false };
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if !matches!(header[..2], [20..=23, 3]) || !(1..=RECORD_BYTES_MAX).contains(&length) {
            // rustls refuses it by its header; its length may mean nothing.
            self.shown = received.len();
            return true;
        }
        let is_whole = rest.len() >= HEADER_BYTES + length;
        if is_whole {
            self.shown += HEADER_BYTES + length;
        }
        is_whole
    }

    /// Behind a fault: the alert for the peer. rustls gives it before it looks at any more bytes.
    fn take_alert(&mut self, window: &mut [u8], out: &mut Vec<u8>) {
        while self.common().wants_write() {
            let turn = match &mut self.connection {
                Connection::Server(connection) => take_turn(connection.process_tls_records(window), out),
                Connection::Client(connection) => take_turn(connection.process_tls_records(window), out),
            };
            if turn.flow.is_err() {
                return;
            }
        }
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Handshake").field("read", &self.read).finish_non_exhaustive()
    }
}

enum Flow {
    GoOn,
    Blocked,
}

struct Turn {
    discard: usize,
    flow: Result<Flow, HandshakeFault>,
}

/// One of rustls' states, answered.
fn take_turn<Data>(status: UnbufferedStatus<'_, '_, Data>, out: &mut Vec<u8>) -> Turn {
    let flow = match status.state {
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let start = out.len();
            let encoded = match data.encode(&mut []) {
                Err(EncodeError::InsufficientSize(size)) => {
                    out.resize(start + size.required_size, 0);
                    data.encode(&mut out[start..])
                }
                other => other,
            };
            match encoded {
                Ok(_) => Ok(Flow::GoOn),
                Err(_) => Err(HandshakeFault::Astray("without anything to send")),
            }
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Flow::GoOn)
        }
        // A server may write before the client's last message: only `is_handshaking` says that all is done.
        Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Ok(Flow::Blocked),
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Err(HandshakeFault::Closed),
        Ok(ConnectionState::ReadTraffic(_)) => Err(HandshakeFault::Astray("amid traffic")),
        Ok(ConnectionState::ReadEarlyData(_)) => Err(HandshakeFault::Astray("amid early data")),
        Ok(_) => Err(HandshakeFault::Astray("in an unknown state")),
        Err(error) => Err(error.into()),
    };
    Turn { discard: status.discard, flow }
}

/// Passes a choice of certificate on, and notes the name that was asked for: rustls does not tell it otherwise on
/// connections of this kind.
struct AskedName {
    resolver: Arc<dyn ResolvesServerCert>,
    name: OnceLock<String>,
}

impl AskedName {
    fn of(config: &ServerConfig) -> Self {
        Self { resolver: config.cert_resolver.clone(), name: OnceLock::new() }
    }
}

impl ResolvesServerCert for AskedName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(name) = hello.server_name() {
            self.name.get_or_init(|| name.to_owned());
        }
        self.resolver.resolve(hello)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.resolver.only_raw_public_keys()
    }
}

impl fmt::Debug for AskedName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AskedName").field("name", &self.name.get()).finish_non_exhaustive()
    }
}
