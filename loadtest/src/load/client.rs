//! The client sessions: opening, sending prebuilt frames, and telling replies apart by their length.

use super::figures::Figures;
use super::parts::{Job, Kind, Sample};
use crate::plan::End;
use crate::poller::{Poller, Ready, now_ns};
use crate::tls::channel::Channel;
use crate::transport::{Buffers, Transport};
use crate::wire::{FrameReader, Part, client_frame, head_end};
use anyhow::{Context, Result};
use rustls::ClientConfig;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Source addresses that sessions are spread over, so that ports do not run out: 127.1.0.1 and so on.
const SOURCE_ADDRESSES: u32 = 32;

#[derive(Debug, PartialEq, Eq)]
enum State {
    Opening(Vec<u8>),
    Open,
    Closing,
    /// It resets.
    Resetting,
}

/// A message that is on its way.
#[derive(Debug)]
struct Pending {
    intended: u64,
    bytes: u64,
}

/// One session.
#[derive(Debug)]
pub(super) struct Client {
    transport: Transport,
    pub(super) kind: Kind,
    state: State,
    job: Job,
    reader: FrameReader,
    /// Of the frame that is being received: its opcode and declared payload, and the first bytes of it.
    opcode: u8,
    declared: u64,
    stamp: [u8; 8],
    stamp_bytes: usize,
    to_send: VecDeque<Rc<[u8]>>,
    sent: usize,
    wants_write: bool,
    pending: VecDeque<Pending>,
    /// It has no TLS, and others have.
    is_beside_tls: bool,
}

/// The outcome of handling an event.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Messages that came back.
    pub(super) came_back: usize,
}

/// Where sessions go, and how.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub(super) address: SocketAddr,
    /// With TLS, and whether tickets are kept.
    pub(super) tls: Option<(Arc<ClientConfig>, bool)>,
}

/// All sessions.
#[derive(Debug)]
pub(super) struct Clients {
    has_tls: bool,
    slots: Vec<Option<Client>>,
    free: Vec<usize>,
    counts: [usize; Kind::COUNT],
    open_counts: [usize; Kind::COUNT],
    opening: usize,
    begun: u32,
    steady: Vec<usize>,
    buffers: Buffers,
    close_frame: Rc<[u8]>,
}

impl Clients {
    /// `has_tls`: some of them.
    pub(super) fn new(has_tls: bool) -> Self {
        Self {
            has_tls,
            slots: Vec::new(),
            free: Vec::new(),
            counts: [0; Kind::COUNT],
            open_counts: [0; Kind::COUNT],
            opening: 0,
            begun: 0,
            steady: Vec::new(),
            buffers: Buffers::new(has_tls),
            close_frame: client_frame(0x88, &[0x03, 0xe8]).into(),
        }
    }

    pub(super) fn count(&self, kind: Kind) -> usize {
        self.counts[kind as usize]
    }

    pub(super) fn open_count(&self, kind: Kind) -> usize {
        self.open_counts[kind as usize]
    }

    pub(super) fn opening_count(&self) -> usize {
        self.opening
    }

    pub(super) fn kind(&self, index: usize) -> Option<Kind> {
        self.slots.get(index)?.as_ref().map(|client| client.kind)
    }

    pub(super) fn of_kind(&self, kind: Kind) -> Vec<usize> {
        (0..self.slots.len()).filter(|index| self.kind(*index) == Some(kind)).collect()
    }

    pub(super) fn is_waiting(&self, index: usize) -> bool {
        self.slots[index].as_ref().is_some_and(|client| !client.pending.is_empty())
    }

    pub(super) fn messages_on_their_way(&self) -> usize {
        self.slots.iter().flatten().map(|client| client.pending.len()).sum()
    }

    /// The moments at which those were to be sent.
    pub(super) fn intended_of_messages_on_their_way(&self) -> impl Iterator<Item = u64> {
        self.slots.iter().flatten().flat_map(|client| &client.pending).map(|pending| pending.intended)
    }

    /// A steady session, by any number.
    pub(super) fn steady(&self, number: usize) -> Option<usize> {
        self.steady.get(number.checked_rem(self.steady.len())?).copied()
    }

    /// Begins a session: connects and sends the opening handshake.
    pub(super) fn begin(
        &mut self,
        poller: &Poller,
        kind: Kind,
        destination: &Destination,
        opening: Rc<[u8]>,
        job: Job,
    ) -> Result<()> {
        let stream = self.connect(destination.address).context("cannot connect")?;
        let transport = match &destination.tls {
            None => Transport::plain(stream),
            Some((config, keeps_tickets)) => {
                Transport::tls(stream, Channel::client(config, *keeps_tickets).context("no handshake")?)
            }
        };
        let index = self.free.pop().unwrap_or(self.slots.len());
        if index == self.slots.len() {
            self.slots.push(None);
        }
        poller.add(transport.stream(), index as u64, true)?;
        self.slots[index] = Some(Client {
            transport,
            kind,
            state: State::Opening(Vec::new()),
            job,
            reader: FrameReader::default(),
            opcode: 0,
            declared: 0,
            stamp: [0; 8],
            stamp_bytes: 0,
            to_send: VecDeque::from([opening]),
            sent: 0,
            wants_write: true,
            pending: VecDeque::new(),
            is_beside_tls: self.has_tls && destination.tls.is_none(),
        });
        self.counts[kind as usize] += 1;
        self.opening += 1;
        Ok(())
    }

    fn connect(&mut self, target: SocketAddr) -> std::io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(target), Type::STREAM.nonblocking(), None)?;
        socket.set_tcp_nodelay(true)?;
        if target.ip() == std::net::IpAddr::V4(Ipv4Addr::LOCALHOST) {
            self.begun = self.begun.wrapping_add(1);
            let source =
                Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + self.begun % SOURCE_ADDRESSES);
            socket.bind(&SockAddr::from(SocketAddr::from((source, 0))))?;
        }
        match socket.connect(&SockAddr::from(target)) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(socket.into())
    }

    /// Sends a message on an open session; it counts as back when a frame of its length came.
    pub(super) fn send(
        &mut self,
        poller: &Poller,
        index: usize,
        frame: &Rc<[u8]>,
        bytes: usize,
        intended: u64,
    ) {
        let Some(client) = self.slots.get_mut(index).and_then(Option::as_mut) else { return };
        client.pending.push_back(Pending { intended, bytes: bytes as u64 });
        client.to_send.push_back(Rc::clone(frame));
        if !client.wants_write {
            // A failure shows as an event on the socket.
            let _ = client.write(poller, index, &mut self.buffers);
        }
    }

    pub(super) fn handle(
        &mut self,
        poller: &Poller,
        index: usize,
        event: Ready,
        figures: &mut Figures,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(mut client) = self.slots.get_mut(index).and_then(Option::take) else { return outcome };
        let was_opening = matches!(client.state, State::Opening(_));
        let mut is_alive = !event.is_writable || client.write(poller, index, &mut self.buffers).is_ok();
        if is_alive && event.is_readable && !(client.is_stopped() && client.state == State::Open) {
            is_alive = client.read(&mut self.buffers, figures, &mut outcome, &self.close_frame);
            if is_alive && client.transport.wants_write(!client.to_send.is_empty()) && !client.wants_write {
                is_alive = client.write(poller, index, &mut self.buffers).is_ok();
            }
        }
        let is_open = !matches!(client.state, State::Opening(_));
        if was_opening && (is_open || !is_alive) {
            self.opening -= 1;
            if is_open {
                self.open_counts[client.kind as usize] += 1;
                if client.kind == Kind::Steady {
                    self.steady.push(index);
                }
                if client.is_stopped() {
                    // Its reader stops: it is not watched any more, and its bytes stay where they are.
                    let _ = poller.remove(client.transport.stream());
                }
            }
        }
        if is_alive {
            self.slots[index] = Some(client);
        } else {
            self.end(index, client, is_open, figures);
        }
        outcome
    }

    fn end(&mut self, index: usize, mut client: Client, was_open: bool, figures: &mut Figures) {
        match client.state {
            State::Closing => client.transport.say_goodbye(&mut self.buffers),
            State::Resetting => {}
            State::Opening(_) | State::Open => {
                figures.record_fault(format!("a {:?} session ended by itself", client.kind));
            }
        }
        self.counts[client.kind as usize] -= 1;
        if was_open {
            self.open_counts[client.kind as usize] -= 1;
        }
        self.steady.retain(|steady| *steady != index);
        self.free.push(index);
    }
}

impl Client {
    /// Writes what waits.
    fn write(&mut self, poller: &Poller, index: usize, buffers: &mut Buffers) -> std::io::Result<()> {
        while let Some(bytes) = self.to_send.front() {
            match self.transport.write(&bytes[self.sent..], buffers) {
                Ok(count) => {
                    self.sent += count;
                    if self.sent == bytes.len() {
                        self.to_send.pop_front();
                        self.sent = 0;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.transport.flush()?;
        let wants_write = self.transport.wants_write(!self.to_send.is_empty());
        if wants_write != self.wants_write {
            self.wants_write = wants_write;
            poller.modify(self.transport.stream(), index as u64, wants_write)?;
        }
        Ok(())
    }

    /// Reads what is there; `false` at the end of the session.
    fn read(
        &mut self,
        buffers: &mut Buffers,
        figures: &mut Figures,
        outcome: &mut Outcome,
        close_frame: &Rc<[u8]>,
    ) -> bool {
        loop {
            match self.transport.read(buffers) {
                Ok(received) => {
                    if let Some(handshake) = self.transport.take_handshake() {
                        figures.record_handshake(handshake);
                    }
                    let is_alive =
                        received.bytes.is_empty() || self.take(received.bytes, figures, outcome, close_frame);
                    if !is_alive || received.is_over {
                        return false;
                    }
                    if received.is_all || (self.is_stopped() && self.state == State::Open) {
                        return true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    figures.record_fault(format!("a {:?} session broke: {error}", self.kind));
                    return false;
                }
            }
        }
    }

    fn take(
        &mut self,
        bytes: &[u8],
        figures: &mut Figures,
        outcome: &mut Outcome,
        close_frame: &Rc<[u8]>,
    ) -> bool {
        let mut behind = Vec::new();
        let mut is_first = false;
        if let State::Opening(head) = &mut self.state {
            head.extend_from_slice(bytes);
            let Some(end) = head_end(head) else { return true };
            if !head.starts_with(b"HTTP/1.1 101 ") {
                let line = String::from_utf8_lossy(head).lines().next().unwrap_or_default().to_owned();
                figures.record_fault(format!("an opening was refused: {line}"));
                return false;
            }
            behind = head.split_off(end);
            is_first = true;
            self.state = State::Open;
            match self.job {
                Job::None => {}
                Job::Visit { message: Some(Sample { ref frame, bytes }), intended, .. } => {
                    self.pending.push_back(Pending { intended, bytes: bytes as u64 });
                    self.to_send.push_back(Rc::clone(frame));
                }
                Job::Visit { message: None, intended, .. } => {
                    if !self.end_visit(intended, figures, close_frame) {
                        return false;
                    }
                }
            }
        }
        let bytes = if is_first { &behind } else { bytes };
        let mut reader = std::mem::take(&mut self.reader);
        let mut is_alive = true;
        reader.read(bytes, |part| match part {
            Part::Header { first, len, .. } => {
                self.opcode = first & 0x0f;
                self.declared = len;
                self.stamp_bytes = 0;
            }
            Part::Payload(payload) => {
                let taken = payload.len().min(8 - self.stamp_bytes);
                self.stamp[self.stamp_bytes..self.stamp_bytes + taken].copy_from_slice(&payload[..taken]);
                self.stamp_bytes += taken;
            }
            Part::End => is_alive &= self.end_frame(figures, outcome, close_frame),
        });
        self.reader = reader;
        is_alive
    }

    /// A whole frame came.
    fn end_frame(&mut self, figures: &mut Figures, outcome: &mut Outcome, close_frame: &Rc<[u8]>) -> bool {
        if self.opcode == 0x8 {
            let was_asked = self.state == State::Closing;
            if !was_asked {
                figures.record_fault(format!("a {:?} session was closed by the peer", self.kind));
            }
            self.state = State::Closing;
            return false;
        }
        let now = now_ns();
        match self.kind {
            Kind::Push => figures.record_push(now.saturating_sub(u64::from_ne_bytes(self.stamp))),
            Kind::Steady | Kind::Idle | Kind::Churn => {
                let Some(pending) = self.pending.pop_front() else {
                    figures.record_fault("a message came that nobody sent".to_owned());
                    return true;
                };
                if pending.bytes != self.declared {
                    figures.record_fault(format!(
                        "a message of {} bytes came back with {}",
                        pending.bytes, self.declared
                    ));
                }
                outcome.came_back += 1;
                if self.kind == Kind::Churn {
                    return self.end_visit(pending.intended, figures, close_frame);
                }
                figures.record_answer(pending.intended);
                if self.is_beside_tls {
                    figures.record_plain_round_trip(now.saturating_sub(pending.intended));
                } else {
                    figures.record_round_trip(now.saturating_sub(pending.intended));
                }
            }
            Kind::Stopped => {}
        }
        true
    }

    /// The client has what it came for, and ends the session; `false` if there is nothing to wait for.
    fn end_visit(&mut self, intended: u64, figures: &mut Figures, close_frame: &Rc<[u8]>) -> bool {
        figures.record_session(now_ns().saturating_sub(intended));
        let Job::Visit { end, .. } = self.job else { return true };
        match end {
            End::Close => {
                self.state = State::Closing;
                self.to_send.push_back(Rc::clone(close_frame));
                true
            }
            End::Reset => {
                self.state = State::Resetting;
                // Where it is refused the end is an orderly one; the kernel refuses it to no TCP socket.
                let _ = SockRef::from(self.transport.stream()).set_linger(Some(Duration::ZERO));
                false
            }
        }
    }
}
