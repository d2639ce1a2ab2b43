//! One client session of a soak: what it sends, what must come back, and how it leaves.

use super::contents::Contents;
use super::figures::Figures;
use crate::poller::{Poller, Ready, now_ns};
use crate::wire::{FrameReader, Part, head_end};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

/// The purpose of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Steady,
    Idle,
    Churn,
    Slow,
}

impl Kind {
    pub(super) const COUNT: usize = 4;
}

/// The activity of a session by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
    /// It does what it is told.
    Standing,
    /// Echoes a message and closes.
    EchoAndClose { bytes: usize },
    /// Sends a piece of a frame, and resets some time later.
    ResetMidFrame { bytes: usize, after_ns: u64 },
    /// Sends a piece of the head, and leaves some time later.
    LeaveInHead { by_reset: bool, after_ns: u64 },
    /// Sends the head, and resets at once.
    ResetInDial,
    /// Stops reading when it is open, until it is told to go on or is reset.
    ReadSlowly { bytes: u64, stop_ns: u64, is_reset: bool },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    Opening(Vec<u8>),
    Open,
    /// It sent its Close frame.
    Closing,
}

/// A message that is on its way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) number: u64,
    pub(super) bytes: u64,
    pub(super) intended: u64,
}

/// The fate of a session after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Over,
    Reset,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) stream: TcpStream,
    pub(super) kind: Kind,
    pub(super) role: Role,
    pub(super) state: State,
    pub(super) is_stopped: bool,
    to_send: VecDeque<Vec<u8>>,
    sent: usize,
    wants_write: bool,
    pending: VecDeque<Pending>,
    reader: FrameReader,
    /// Of the frame that is being received: its first byte, and how much of its payload came.
    first: u8,
    at: usize,
    /// Payload of data frames that came, in bytes.
    received: u64,
}

impl Session {
    pub(super) fn new(stream: TcpStream, kind: Kind, role: Role, opening: Vec<u8>) -> Self {
        Self {
            stream,
            kind,
            role,
            state: State::Opening(Vec::new()),
            is_stopped: false,
            to_send: VecDeque::from([opening]),
            sent: 0,
            wants_write: true,
            pending: VecDeque::new(),
            reader: FrameReader::default(),
            first: 0,
            at: 0,
            received: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, State::Opening(_))
    }

    pub(super) fn messages_on_their_way(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn wants_write(&self) -> bool {
        self.wants_write
    }

    /// Sends a frame; what comes back must be `pending`. A failure shows as an event on the socket.
    pub(super) fn send(&mut self, poller: &Poller, key: u64, frame: Vec<u8>, pending: Option<Pending>) {
        self.pending.extend(pending);
        self.to_send.push_back(frame);
        if !self.wants_write {
            let _ = self.write(poller, key);
        }
    }

    /// Sends a Close frame. What comes is the answer, and nothing else.
    pub(super) fn close(&mut self, poller: &Poller, key: u64) {
        self.state = State::Closing;
        self.send(poller, key, crate::wire::client_frame(0x88, &[0x03, 0xe8]), None);
    }

    pub(super) fn handle(
        &mut self,
        poller: &Poller,
        event: Ready,
        buffer: &mut [u8],
        contents: &Contents,
        figures: &mut Figures,
    ) -> Fate {
        if event.is_writable
            && let Err(error) = self.write(poller, event.key)
        {
            figures.record_fault(format!("a {:?} session broke: {error}", self.kind));
            return Fate::Over;
        }
        if self.role == Role::ResetInDial && self.to_send.is_empty() {
            return Fate::Reset;
        }
        if event.is_readable && !self.is_stopped {
            return self.read(poller, event.key, buffer, contents, figures);
        }
        Fate::Stays
    }

    fn write(&mut self, poller: &Poller, key: u64) -> std::io::Result<()> {
        while let Some(bytes) = self.to_send.front() {
            match self.stream.write(&bytes[self.sent..]) {
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
        let wants_write = !self.to_send.is_empty();
        if wants_write != self.wants_write {
            self.wants_write = wants_write;
            poller.modify(&self.stream, key, wants_write)?;
        }
        Ok(())
    }

    fn read(
        &mut self,
        poller: &Poller,
        key: u64,
        buffer: &mut [u8],
        contents: &Contents,
        figures: &mut Figures,
    ) -> Fate {
        loop {
            let was_opening = !self.is_open();
            match self.stream.read(buffer) {
                Ok(0) => {
                    figures.record_fault(format!("a {:?} session ended by itself", self.kind));
                    return Fate::Over;
                }
                Ok(count) => {
                    let fate = self.take(poller, key, &buffer[..count], contents, figures);
                    // Who has just opened may be about to stop reading.
                    if fate != Fate::Stays || count < buffer.len() || was_opening {
                        return fate;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Fate::Stays,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    figures.record_fault(format!("a {:?} session broke: {error}", self.kind));
                    return Fate::Over;
                }
            }
        }
    }

    fn take(
        &mut self,
        poller: &Poller,
        key: u64,
        bytes: &[u8],
        contents: &Contents,
        figures: &mut Figures,
    ) -> Fate {
        let behind;
        let bytes = if let State::Opening(head) = &mut self.state {
            head.extend_from_slice(bytes);
            let Some(end) = head_end(head) else { return Fate::Stays };
            if !head.starts_with(b"HTTP/1.1 101 ") {
                let line = String::from_utf8_lossy(head).lines().next().unwrap_or_default().to_owned();
                figures.record_fault(format!("an opening was refused: {line}"));
                return Fate::Over;
            }
            behind = head.split_off(end);
            self.state = State::Open;
            &behind
        } else {
            bytes
        };
        let mut reader = std::mem::take(&mut self.reader);
        let mut fate = Fate::Stays;
        reader.read(bytes, |part| match part {
            Part::Header { first, len, .. } => self.begin_frame(first, len, figures),
            Part::Payload(payload) => self.take_payload(payload, contents, figures),
            Part::End if fate == Fate::Stays => fate = self.end_frame(poller, key, figures),
            Part::End => {}
        });
        self.reader = reader;
        fate
    }

    fn begin_frame(&mut self, first: u8, len: u64, figures: &mut Figures) {
        (self.first, self.at) = (first, 0);
        match first {
            0x88 if self.state == State::Closing => {}
            0x82 if matches!(self.role, Role::ReadSlowly { .. }) => {}
            0x82 => match self.pending.front() {
                Some(pending) if pending.bytes == len => {}
                Some(pending) => figures.record_fault(format!(
                    "a {:?} session's message of {} bytes came back with {len}",
                    self.kind, pending.bytes
                )),
                None => figures.record_fault(format!("a {:?} session got what nobody sent", self.kind)),
            },
            _ => figures.record_fault(format!("a {:?} session got a frame of kind {first:#x}", self.kind)),
        }
    }

    fn take_payload(&mut self, payload: &[u8], contents: &Contents, figures: &mut Figures) {
        if self.first == 0x82 {
            self.received += payload.len() as u64;
            let is_right = match (self.role, self.pending.front()) {
                (Role::ReadSlowly { .. }, _) => payload.iter().all(|byte| *byte == 0),
                (_, Some(pending)) => contents.matches(pending.number, self.at, payload),
                (_, None) => true,
            };
            if !is_right {
                figures.record_fault(format!("a {:?} session got other contents", self.kind));
            }
        }
        self.at += payload.len();
    }

    fn end_frame(&mut self, poller: &Poller, key: u64, figures: &mut Figures) -> Fate {
        if self.first & 0x0f == 0x8 {
            figures.record_end(self.kind, self.role);
            return Fate::Over;
        }
        match self.role {
            Role::ReadSlowly { bytes, .. } => {
                if self.received == bytes {
                    self.close(poller, key);
                } else if self.received > bytes {
                    figures.record_fault("a slow reader got more than was pushed".to_owned());
                }
            }
            Role::Standing | Role::EchoAndClose { .. } => {
                if let Some(pending) = self.pending.pop_front() {
                    figures.record_round_trip(self.kind, now_ns().saturating_sub(pending.intended));
                }
                if matches!(self.role, Role::EchoAndClose { .. }) && self.pending.is_empty() {
                    self.close(poller, key);
                }
            }
            Role::ResetMidFrame { .. } | Role::LeaveInHead { .. } | Role::ResetInDial => {}
        }
        Fate::Stays
    }
}
