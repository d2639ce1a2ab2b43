//! Completions that cannot be: what breaks one session's invariants, and must end that session only.

use super::ring::SimRing;
use super::simulation::Simulation;
use ringgate::relay::carrier::Reading;
use ringgate::ring::{Completion, GivenBack, Operation, Token};
use ringgate::session::Leg;

/// A completion that no operation has.
#[derive(Clone, Copy, Debug)]
pub struct Forged {
    token: Token,
    result: i32,
    has_more: bool,
    has_bytes: bool,
    given_back: Option<GivenBack>,
}

/// A session, and what may be told of it that cannot be.
#[derive(Debug)]
pub struct Breakable {
    pub session: usize,
    pub is_over: bool,
    pub forgeries: Vec<Forged>,
}

impl Forged {
    /// The completion, as the relay is told it.
    pub fn tell(self, ring: &mut SimRing) -> Completion {
        let Self { token, result, has_more, has_bytes, given_back } = self;
        let mut chunk = None;
        if has_bytes && let Some(index) = ring.pool.take_to_post() {
            ring.pool.fill(index, b"forged");
            chunk = ring.pool.take_received(index, 6);
        }
        Completion { token, result, has_more, chunk, given_back }
    }
}

impl Simulation {
    /// Every session, with what would break it as it is now.
    pub fn breakable(&mut self) -> Vec<Breakable> {
        let mut all: Vec<Breakable> = Vec::new();
        self.relay.for_each_carrier(|seen| {
            let session = seen.carrier.socket.id / 2;
            if seen.leg == Leg::Downstream {
                let is_over = seen.session.is_over();
                all.push(Breakable { session, is_over, forgeries: Vec::new() });
            }
            let Some(breakable) = all.last_mut() else { return };
            let forged = |operation, result| Forged {
                token: seen.carrier.name.token(operation),
                result,
                has_more: false,
                has_bytes: false,
                given_back: None,
            };
            let forgeries = &mut breakable.forgeries;
            if seen.carrier.receiving.is_in_flight() {
                if seen.carrier.reading == Reading::Whole {
                    forgeries.push(Forged { has_more: true, ..forged(Operation::Receive, 6) });
                }
            } else {
                for result in [0, -libc::ECONNRESET, -libc::ECANCELED, -libc::ENOBUFS] {
                    forgeries.push(forged(Operation::Receive, result));
                }
                for has_more in [false, true] {
                    forgeries.push(Forged { has_bytes: true, has_more, ..forged(Operation::Receive, 6) });
                }
            }
            if !seen.carrier.queue.is_in_flight() {
                for result in [0, 1, 1 << 20, -libc::EPIPE, -libc::ECANCELED] {
                    forgeries.push(forged(Operation::Send, result));
                }
            }
            if !seen.carrier.queue.has_lent() {
                let given_back = Some(GivenBack::Uncopied);
                forgeries.push(Forged { given_back, ..forged(Operation::Send, 0) });
            }
            if seen.carrier.cancels == 0 {
                for operation in [Operation::CancelReceive, Operation::CancelSend] {
                    for result in [0, -libc::ENOENT, -libc::EALREADY] {
                        forgeries.push(forged(operation, result));
                    }
                }
            }
        });
        all
    }

    /// Has the relay told, in its next turn, something of one of its sessions that cannot be.
    pub fn forge(&mut self) {
        let mut all = self.breakable();
        all.retain(|breakable| !breakable.forgeries.is_empty());
        let mut world = self.world.borrow_mut();
        if all.is_empty() {
            return;
        }
        let chosen = &all[world.rng.usize(..all.len())];
        let forged = chosen.forgeries[world.rng.usize(..chosen.forgeries.len())];
        let now = world.now;
        world.trace.note(now, "A FORGED COMPLETION", chosen.session * 2, forged.result.into());
        world.break_session(chosen.session, chosen.is_over);
        drop(world);
        self.relay.ring_mut().forged.push(forged);
    }
}
