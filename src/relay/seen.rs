//! A relay as a simulation sees it, which holds it against books of its own.

use super::carrier::Carrier;
use super::run::Relay;
use super::slow_readers::CarrierName;
use crate::ring::{BufferPool, Ring};
use crate::session::{Leg, Session};

/// A carrier as [`Relay::for_each_carrier`] shows it.
pub struct Seen<'a, S> {
    /// Its name.
    pub name: CarrierName,
    /// The session that it belongs to.
    pub session: &'a Session,
    /// The carrier.
    pub carrier: &'a Carrier<S>,
    /// Operations of its session whose last completion is awaited.
    pub in_flight: u8,
    /// Those of them that are cancels.
    pub cancels: u8,
    /// Where its queue's bytes stand.
    pub pool: &'a BufferPool,
}

impl<R: Ring> Relay<R> {
    /// Shows every carrier: for a simulation, which holds them against books of its own.
    pub fn for_each_carrier(&mut self, mut look: impl FnMut(Seen<'_, R::Socket>)) {
        for index in 0..self.sessions.slots() {
            let generation = self.sessions.generation(index);
            let Some(live) = self.sessions.get_mut(index) else { continue };
            for leg in Leg::BOTH {
                look(Seen {
                    name: CarrierName { index, generation, leg },
                    session: &live.session,
                    carrier: &live.carriers[leg as usize],
                    in_flight: live.in_flight,
                    cancels: live.cancels,
                    pool: self.ring.pool(),
                });
            }
        }
    }
}
