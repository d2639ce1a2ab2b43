//! The messages for the relay's mailbox, and their times.

use super::connection::Connection;
use super::world::{Fault, Known, Shared, SimSocket};
use bytes::Bytes;
use ringgate::admission::permit::Permit;
use ringgate::admission::places::Places;
use ringgate::observe::{Logged, SessionLabels, SessionRecord};
use ringgate::relay::{Mailbox, Message, NewSession, RecordLayer};
use ringgate::session::{CorrelationId, SessionLimits};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// One thing that is put into it.
#[derive(Debug)]
pub enum Arrival {
    Session(Box<Plan>),
    /// The API of revocable sessions is revoked.
    Revoke {
        spread_ms: u64,
    },
    Drain {
        spread_ms: u64,
        cut_after_ms: u64,
    },
    NoMore,
}

/// A session that will be opened.
#[derive(Debug)]
pub struct Plan {
    pub connections: [Connection; 2],
    pub limits: SessionLimits,
    pub mask: [u8; 4],
    /// The relay's ends of the records around the connections' bytes.
    pub records: [Option<Box<RecordLayer>>; 2],
}

/// The mailbox, and what will be put into it, by time.
#[derive(Debug)]
pub struct Arrivals {
    pub mailbox: Arc<Mailbox<SimSocket>>,
    due: VecDeque<(u64, Arrival)>,
}

impl Arrivals {
    pub fn new(mailbox: Arc<Mailbox<SimSocket>>, mut due: Vec<(u64, Arrival)>) -> Self {
        due.sort_by_key(|(at, _)| *at);
        Self { mailbox, due: due.into() }
    }

    /// Puts in what is due; gives when the next one is.
    pub fn push_due(&mut self, world: &Shared) -> u64 {
        let now = world.borrow().now;
        while let Some((at, _)) = self.due.front() {
            if *at > now {
                return *at;
            }
            if let Some((_, arrival)) = self.due.pop_front() {
                self.push(arrival, world);
            }
        }
        u64::MAX
    }

    /// Puts something in at once.
    pub fn push(&self, arrival: Arrival, world: &Shared) {
        let message = match arrival {
            Arrival::Session(plan) => Message::Open(Box::new(open(*plan, world))),
            Arrival::Drain { spread_ms, cut_after_ms } => {
                let mut world = world.borrow_mut();
                let now = world.now;
                world.trace.note(now, "drain", 0, cut_after_ms as i64);
                world.cuts_at = Some(now + cut_after_ms);
                Message::Drain { spread_ms, cut_after_ms }
            }
            Arrival::Revoke { spread_ms } => {
                let mut world = world.borrow_mut();
                let now = world.now;
                world.trace.note(now, "revocation", 0, spread_ms as i64);
                world.api.set_revoked(true);
                world.revoked_by = Some(world.revoked_by.unwrap_or(0).max(now + spread_ms));
                Message::Revoke { spread_ms }
            }
            Arrival::NoMore => Message::NoMore,
        };
        self.mailbox.push(message);
    }
}

fn open(plan: Plan, world: &Shared) -> NewSession<SimSocket> {
    let Plan { mut connections, limits, mask, records } = plan;
    let places = Places::new(1);
    let mut permit: Permit = places.take().expect("a free place");
    // Half of them, which takes nothing more from the seed.
    let is_revocable = mask[0].is_multiple_of(2);
    if is_revocable {
        permit = permit.with_place(world.borrow().api.take_place().expect("a place without a limit"));
    }
    let early = connections
        .each_ref()
        .map(|connection| Bytes::copy_from_slice(&connection.script.bytes[..connection.read]));
    // Some of what is wrapped comes with the session too.
    let sealed = connections.each_mut().map(|connection| {
        let mut inside = world.borrow_mut();
        let bytes = connection.unread();
        let bytes = if bytes > 0 { inside.rng.usize(..=bytes) } else { 0 };
        connection.receive(bytes)
    });
    let session = {
        let mut inside = world.borrow_mut();
        if inside.takes_fault(Fault::ForgetsAPermit) {
            std::mem::forget(places.adopt());
        }
        let known = Known {
            places,
            limits,
            mask,
            is_revocable,
            opened_at: None,
            active_at: inside.now,
            half_closed_at: None,
            went_on: false,
            is_over: false,
        };
        let session = inside.add_session(connections, known);
        let now = inside.now;
        for id in [session * 2, session * 2 + 1] {
            inside.connections[id].endpoint.wake_writer(now);
            inside.connections[id].heard_at = now;
            inside.connections[id].acknowledged_at = now;
        }
        inside.trace.note(now, "opens", session * 2, early[0].len() as i64);
        session
    };
    let sockets = [session * 2, session * 2 + 1].map(|id| SimSocket::new(id, world));
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0)).into();
    let record = SessionRecord {
        id: CorrelationId::from_random([9; 16]),
        labels: SessionLabels::of_api(Arc::clone(&world.borrow().label)),
        api_revision: 1.into(),
        client: nowhere,
        peer: nowhere,
        backend: nowhere,
        opened_at_ms: 0,
        logged: Logged::Whole,
    };
    let reports_progress = false;
    NewSession { sockets, early, records, sealed, limits, mask, reports_progress, permit, record }
}
