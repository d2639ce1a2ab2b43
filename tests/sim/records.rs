//! The records around a connection's bytes, as its endpoint makes and reads them.
//!
//! They are real ones: both ends have the states that a handshake would have left them.

use fastrand::Rng;
use ringgate::tls::record::{Aead, Alert, DirectionState, LegRecords, Role, Step, Suite, Version};
use std::collections::VecDeque;

/// An endpoint's end of TLS, and what is on its way to the relay.
#[derive(Debug)]
pub struct Wrapped {
    own: LegRecords,
    /// All that it has made.
    wire: Vec<u8>,
    /// How much of that the relay has received.
    wire_read: usize,
    /// How much of the script is whole when so much of the wire is received.
    marks: VecDeque<(usize, usize)>,
    /// It comes a byte a second: how much has come, and when the next byte does.
    pub drips: Option<(usize, u64)>,
    /// Where a record starts that is not authentic.
    pub is_corrupt_at: Option<usize>,
    /// It has said that nothing more comes.
    pub has_closed: bool,
    /// The relay has said so, or that it gives up.
    pub is_told_end: bool,
    /// The relay has given up what comes, by an alert.
    pub is_given_up: bool,
    refreshes: u8,
    /// Of a record that has not come whole.
    incoming: Vec<u8>,
}

impl Wrapped {
    /// An endpoint's end, and the relay's. `role` is the relay's.
    pub fn pair(rng: &mut Rng, role: Role) -> (Self, LegRecords) {
        let version = if rng.u8(..3) == 0 { Version::Tls12 } else { Version::Tls13 };
        let aead = [Aead::Aes128Gcm, Aead::Aes256Gcm, Aead::ChaCha20Poly1305][rng.usize(..3)];
        let suite = Suite { version, aead };
        let mut secret = [0; 48];
        let mut direction = || {
            rng.fill(&mut secret);
            let state = || match version {
                Version::Tls13 => DirectionState::from_secret(suite, &secret[..suite.secret_bytes()], 0),
                Version::Tls12 => {
                    let iv = [7; 12];
                    DirectionState::from_keys(suite, &secret[..aead.key_bytes()], iv, 0)
                }
            };
            (state().expect("a suite"), state().expect("a suite"))
        };
        let (to_relay, from_relay) = (direction(), direction());
        let endpoint_role = if role == Role::Server { Role::Client } else { Role::Server };
        let wrapped = Self {
            own: LegRecords::new(endpoint_role, from_relay.0, to_relay.0),
            wire: Vec::new(),
            wire_read: 0,
            marks: VecDeque::new(),
            drips: None,
            is_corrupt_at: None,
            has_closed: false,
            is_told_end: false,
            is_given_up: false,
            refreshes: 0,
            incoming: Vec::new(),
        };
        (wrapped, LegRecords::new(role, to_relay.1, from_relay.1))
    }

    /// Makes records of bytes that end at `plain_end` of the script.
    pub fn write(&mut self, rng: &mut Rng, bytes: &[u8], plain_end: usize) {
        let mut plain_at = plain_end - bytes.len();
        let mut rest = bytes;
        while !rest.is_empty() {
            // Each is answered by a record without data, of which an endpoint takes so many in a row.
            if self.refreshes < 20 && rng.u8(..40) == 0 {
                self.refreshes += 1;
                self.own.refresh_keys();
            }
            let most =
                if self.drips.is_some() || rng.bool() { rest.len() } else { rng.usize(1..=rest.len()) };
            let (record, behind) = rest.split_at(most.min(16_384));
            let begin = self.wire.len();
            self.wire.resize(begin + self.own.sealed_bytes(record.len()), 0);
            let sealed =
                self.own.seal(&[record], &mut self.wire[begin..]).expect("a key that is not used up");
            self.wire.truncate(begin + sealed);
            if self.is_corrupt_at.is_none() && rng.u16(..2_000) == 0 {
                self.is_corrupt_at = Some(begin);
                *self.wire.last_mut().expect("a record") ^= 1;
            }
            plain_at += record.len();
            self.marks.push_back((self.wire.len(), plain_at));
            rest = behind;
        }
    }

    /// Says that nothing more comes.
    pub fn close(&mut self) {
        let begin = self.wire.len();
        self.wire.resize(begin + self.own.sealed_alert_bytes(), 0);
        let sealed = self.own.seal_alert(Alert::CloseNotify, &mut self.wire[begin..]);
        self.wire.truncate(begin + sealed.expect("a number for one record more"));
        self.has_closed = true;
    }

    /// Bytes that the relay has not received.
    pub fn unread(&self) -> usize {
        self.wire.len().min(self.drips.map_or(usize::MAX, |(arrived, _)| arrived)) - self.wire_read
    }

    /// The relay receives so many of them; gives how much of the script it has whole, if that is more than before.
    pub fn receive(&mut self, bytes: usize) -> (Vec<u8>, Option<usize>) {
        let received = self.wire[self.wire_read..self.wire_read + bytes].to_vec();
        self.wire_read += bytes;
        let mut whole = None;
        while let Some((wire_end, plain_end)) = self.marks.front().copied()
            && wire_end <= self.wire_read
        {
            self.marks.pop_front();
            if self.is_corrupt_at.is_none_or(|at| wire_end <= at) {
                whole = Some(plain_end);
            }
        }
        (received, whole)
    }

    /// Whether the relay has received what it cannot understand.
    pub fn is_broken(&self) -> bool {
        self.is_corrupt_at.is_some_and(|at| at < self.wire_read)
    }

    /// Takes what the relay sent; gives what it says.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<u8> {
        assert!(!self.is_told_end || bytes.is_empty(), "the relay sends behind its close_notify");
        self.incoming.extend_from_slice(bytes);
        let mut said = Vec::new();
        let mut at = 0;
        loop {
            match self
                .own
                .open(&mut self.incoming, &mut at)
                .expect("the relay makes records that are authentic")
            {
                Step::Plaintext(range) => said.extend_from_slice(&self.incoming[range]),
                Step::Ticket(_) => {}
                Step::Hold | Step::Done => break,
                step @ (Step::Closed | Step::Alert(_)) => {
                    self.is_told_end = true;
                    self.is_given_up = matches!(step, Step::Alert(_));
                    assert_eq!(at, self.incoming.len(), "the relay sends behind its last alert");
                    break;
                }
            }
        }
        self.incoming.drain(..at);
        said
    }
}
