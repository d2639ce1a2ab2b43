//! All sessions of a soak, each under a key that no other session ever has.

use super::contents::Contents;
use super::figures::Figures;
use super::session::{Fate, Kind, Pending, Role, Session, State};
use crate::poller::{Poller, Ready, now_ns};
use anyhow::{Context, Result};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Source addresses that sessions are spread over, so that ports do not run out: 127.1.0.1 and so on.
const SOURCE_ADDRESSES: u32 = 32;

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    session: Option<Session>,
}

/// All sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    target: SocketAddr,
    poller: Poller,
    slots: Vec<Slot>,
    free: Vec<usize>,
    counts: [usize; Kind::COUNT],
    open_counts: [usize; Kind::COUNT],
    begun: u32,
    buffer: Vec<u8>,
    contents: Contents,
    /// When a session resets, leaves, or reads on.
    timers: BinaryHeap<Reverse<(u64, u64)>>,
    messages: u64,
    steady: Vec<u64>,
}

impl Sessions {
    pub(super) fn new(target: SocketAddr, contents: Contents) -> Result<Self> {
        Ok(Self {
            target,
            poller: Poller::new()?,
            slots: Vec::new(),
            free: Vec::new(),
            counts: [0; Kind::COUNT],
            open_counts: [0; Kind::COUNT],
            begun: 0,
            buffer: vec![0; 256 * 1024],
            contents,
            timers: BinaryHeap::new(),
            messages: 0,
            steady: Vec::new(),
        })
    }

    /// Those that are there, opening ones too.
    pub(super) fn count(&self, kind: Kind) -> usize {
        self.counts[kind as usize]
    }

    /// Those whose opening is over.
    pub(super) fn open_count(&self, kind: Kind) -> usize {
        self.open_counts[kind as usize]
    }

    pub(super) fn messages_on_their_way(&self) -> usize {
        self.slots.iter().filter_map(|slot| slot.session.as_ref()).map(Session::messages_on_their_way).sum()
    }

    /// A steady session, by any number.
    pub(super) fn steady(&self, number: u64) -> Option<u64> {
        self.steady.get(number.checked_rem(self.steady.len() as u64)? as usize).copied()
    }

    /// Keys of all of a kind.
    pub(super) fn of_kind(&self, kind: Kind) -> Vec<u64> {
        let is_of_kind = |slot: &Slot| {
            slot.session.as_ref().is_some_and(|session| session.kind == kind && session.is_open())
        };
        let found = self.slots.iter().enumerate().filter(|(_, slot)| is_of_kind(slot));
        found.map(|(index, slot)| key_of(index, slot.generation)).collect()
    }

    /// Begins a session: connects, and sends `opening`, or a first piece of it if that is its role.
    pub(super) fn begin(&mut self, kind: Kind, role: Role, mut opening: Vec<u8>) -> Result<()> {
        let stream = self.connect().context("cannot connect")?;
        let index = self.free.pop().unwrap_or(self.slots.len());
        if index == self.slots.len() {
            self.slots.push(Slot::default());
        }
        let slot = &mut self.slots[index];
        slot.generation = slot.generation.wrapping_add(1);
        let key = key_of(index, slot.generation);
        self.poller.add(&stream, key, true)?;
        if let Role::LeaveInHead { after_ns, .. } = role {
            opening.truncate(opening.len() / 2);
            self.timers.push(Reverse((now_ns() + after_ns, key)));
        }
        slot.session = Some(Session::new(stream, kind, role, opening));
        self.counts[kind as usize] += 1;
        Ok(())
    }

    fn connect(&mut self) -> std::io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(self.target), Type::STREAM.nonblocking(), None)?;
        socket.set_tcp_nodelay(true)?;
        if self.target.ip() == std::net::IpAddr::V4(Ipv4Addr::LOCALHOST) {
            self.begun = self.begun.wrapping_add(1);
            let source =
                Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + self.begun % SOURCE_ADDRESSES);
            socket.bind(&SockAddr::from(SocketAddr::from((source, 0))))?;
        }
        match socket.connect(&SockAddr::from(self.target)) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(socket.into())
    }

    /// Sends a message that must come back.
    pub(super) fn send(&mut self, key: u64, bytes: usize, intended: u64) {
        let number = self.messages;
        let Some(session) = self.slots.get_mut(index_of(key)).and_then(|slot| slot.session.as_mut()) else {
            return;
        };
        self.messages += 1;
        let frame = self.contents.frame(number, bytes, bytes, mask_of(number));
        session.send(&self.poller, key, frame, Some(Pending { number, bytes: bytes as u64, intended }));
    }

    /// Lets a standing session echo a message and close.
    pub(super) fn echo_and_close(&mut self, key: u64, bytes: usize) {
        if let Some(session) = self.slots[index_of(key)].session.as_mut() {
            session.role = Role::EchoAndClose { bytes };
            self.send(key, bytes, now_ns());
        }
    }

    /// When the next timer is due.
    pub(super) fn next_timer_ns(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse((due, _))| *due)
    }

    /// Resets, leaves and reads on where that is due.
    pub(super) fn handle_timers(&mut self, now: u64, figures: &mut Figures) {
        while let Some(Reverse((due, key))) = self.timers.peek().copied()
            && due <= now
        {
            self.timers.pop();
            let Some(mut session) = self.take(key) else { continue };
            match session.role {
                Role::ReadSlowly { is_reset: false, .. } => {
                    session.is_stopped = false;
                    if let Err(error) = self.poller.add(&session.stream, key, session.wants_write()) {
                        figures.record_fault(format!("a slow reader cannot read on: {error}"));
                    }
                    self.slots[index_of(key)].session = Some(session);
                }
                Role::LeaveInHead { by_reset: false, .. } => self.leave(key, session, Fate::Over, figures),
                Role::ReadSlowly { is_reset: true, .. }
                | Role::LeaveInHead { by_reset: true, .. }
                | Role::ResetMidFrame { .. }
                | Role::ResetInDial
                | Role::Standing
                | Role::EchoAndClose { .. } => self.leave(key, session, Fate::Reset, figures),
            }
        }
    }

    /// Of its own accord.
    fn leave(&mut self, key: u64, session: Session, fate: Fate, figures: &mut Figures) {
        figures.record_end(session.kind, session.role);
        let was_open = session.is_open();
        self.forget(key, session, was_open, fate);
    }

    /// Waits for sockets, and handles what came.
    pub(super) fn turn(&mut self, until: u64, ready: &mut Vec<Ready>, figures: &mut Figures) -> Result<()> {
        self.poller.wait(until, ready)?;
        for event in ready.drain(..) {
            self.handle(event, figures);
        }
        Ok(())
    }

    fn handle(&mut self, event: Ready, figures: &mut Figures) {
        let key = event.key;
        let Some(mut session) = self.take(key) else { return };
        let was_open = session.is_open();
        let fate = session.handle(&self.poller, event, &mut self.buffer, &self.contents, figures);
        if fate == Fate::Reset {
            figures.record_end(session.kind, session.role);
        }
        if fate != Fate::Stays {
            self.forget(key, session, was_open, fate);
            return;
        }
        let has_opened = !was_open && session.is_open();
        if has_opened {
            self.open_counts[session.kind as usize] += 1;
            if session.kind == Kind::Steady {
                self.steady.push(key);
            }
        }
        self.slots[index_of(key)].session = Some(session);
        if has_opened {
            self.begin_role(key);
        }
    }

    /// Starts the activity of a session as soon as it is open.
    fn begin_role(&mut self, key: u64) {
        let Some(session) = self.slots[index_of(key)].session.as_mut() else { return };
        match session.role {
            Role::EchoAndClose { bytes } => self.send(key, bytes, now_ns()),
            Role::ResetMidFrame { bytes, after_ns } => {
                let number = self.messages;
                self.messages += 1;
                let piece = self.contents.frame(number, bytes, bytes / 2, mask_of(number));
                // The backend echoes what it has of it.
                let pending = Pending { number, bytes: bytes as u64, intended: now_ns() };
                session.send(&self.poller, key, piece, Some(pending));
                self.timers.push(Reverse((now_ns() + after_ns, key)));
            }
            Role::ReadSlowly { stop_ns, .. } if session.state == State::Open => {
                session.is_stopped = true;
                // What it has not read stays where it is, and an event for it would come again and again.
                let _ = self.poller.remove(&session.stream);
                self.timers.push(Reverse((now_ns() + stop_ns, key)));
            }
            Role::ReadSlowly { .. } | Role::Standing | Role::LeaveInHead { .. } | Role::ResetInDial => {}
        }
    }

    fn take(&mut self, key: u64) -> Option<Session> {
        let slot = self.slots.get_mut(index_of(key))?;
        if slot.generation == (key >> 32) as u32 { slot.session.take() } else { None }
    }

    /// Closes the socket, by a reset if that is its fate.
    fn forget(&mut self, key: u64, session: Session, was_open: bool, fate: Fate) {
        if fate == Fate::Reset {
            let _ = SockRef::from(&session.stream).set_linger(Some(Duration::ZERO));
        }
        self.counts[session.kind as usize] -= 1;
        if was_open {
            self.open_counts[session.kind as usize] -= 1;
        }
        if session.kind == Kind::Steady {
            self.steady.retain(|steady| *steady != key);
        }
        self.free.push(index_of(key));
    }
}

fn key_of(index: usize, generation: u32) -> u64 {
    u64::from(generation) << 32 | index as u64
}

fn index_of(key: u64) -> usize {
    (key & 0xffff_ffff) as usize
}

/// A mask for each message, none of them all zeros.
fn mask_of(number: u64) -> [u8; 4] {
    ((number as u32).wrapping_mul(0x9E37_79B9) | 1).to_be_bytes()
}
