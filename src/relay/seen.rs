//! The view of a relay that a simulation checks against its own records.

use super::carrier::Carrier;
use super::run::Relay;
use crate::ring::{BufferPool, Ring};
use crate::session::{Leg, Session};

/// A carrier as [`Relay::for_each_carrier`] shows it.
pub struct Seen<'a, S> {
    /// The session that it belongs to.
    pub session: &'a Session,
    /// Which of its legs it carries.
    pub leg: Leg,
    /// The carrier.
    pub carrier: &'a Carrier<S>,
    /// Where its queue's bytes stand.
    pub pool: &'a BufferPool,
}

impl<R: Ring> Relay<R> {
    /// Shows the carriers of every session, one session after the other, downstream first: for a simulation, which holds them
    /// against books of its own.
    pub fn for_each_carrier(&mut self, mut look: impl FnMut(Seen<'_, R::Socket>)) {
        let pool = &*self.engine.ring.pool();
        for slot in self.sessions.iter_mut() {
            for leg in Leg::BOTH {
                let carrier = self.carriers.get_mut(slot.legs[leg as usize].carrier.0);
                let carrier = carrier.expect("the carriers of a session are there for as long as it is");
                look(Seen { session: &slot.session, leg, carrier, pool });
            }
        }
    }
}
