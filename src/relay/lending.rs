//! Sends that lend received buffers to the kernel instead of having them copied (`IORING_OP_SENDMSG_ZC`).
//!
//! What was lent stays as it is until the kernel gives it back, which may be long after the send is over, and after the session is:
//! its sockets do not wait for that, and close.
//!
//! Not here: that a send that copies takes its place where the kernel refuses (`Relay::on_completion_send`).

use super::carrier::{Carrier, ZeroCopy};
use super::run::{Relay, named};
use super::slow_readers::CarrierName;
use crate::observe::counters::add;
use crate::ring::{BufferPool, Chunk, GivenBack, Operation, Ring, Token};
use crate::session::{BrokenInvariant, Leg};

impl<R: Ring> Relay<R> {
    /// Starts a send of what is at the front of a queue, which is to lend it.
    pub(super) fn lend(&mut self, index: u32, leg: Leg) {
        let generation = self.sessions.generation(index);
        let Some(live) = self.sessions.get_mut(index) else { return };
        let carrier = &mut live.carriers[leg as usize];
        carrier.is_lending = true;
        let token = Token::new(Operation::Send, index, generation, leg);
        self.ring.send_zero_copy(&carrier.socket, &mut carrier.queue, token);
        live.in_flight += 1;
        add(&self.counters.zero_copy_sends, 1);
        self.watch_send(CarrierName { index, generation, leg });
    }

    /// The kernel needs the bytes of a send no longer. The session may be gone: its sockets close without waiting for this.
    pub(super) fn on_completion_given_back(&mut self, token: Token, given_back: GivenBack) {
        let name = CarrierName { index: token.slot(), generation: token.generation(), leg: token.leg() };
        let lent = match named(&mut self.sessions, name) {
            Some(carrier) => {
                if given_back == GivenBack::Copied {
                    carrier.zero_copy = ZeroCopy::SwitchedOff;
                }
                let Some(lent) = carrier.queue.take_lent() else {
                    let broken = BrokenInvariant::GaveBackWhatWasNotLent { to: token.leg() };
                    return self.break_off(token.slot(), broken);
                };
                lent
            }
            // As for any other completion of a session that is gone: the books of the ring are broken.
            None => match self.left_behind.remove(&token) {
                Some(lent) => lent,
                None => {
                    panic!("memory of a send comes back, and neither it nor its session is known: {token:?}")
                }
            },
        };
        self.ring.take_back(lent);
        add(&self.counters.zero_copy_copied, u64::from(given_back == GivenBack::Copied));
    }

    /// What the kernel still reads of sessions that are gone: for a simulation too.
    pub fn left_behind(&self) -> impl Iterator<Item = &Chunk> {
        self.left_behind.values().flatten()
    }
}

/// Whether the next send of a carrier is to lend its bytes, at least so many, to the kernel.
///
/// One of a socket at a time, and only while most buffers are here: a reader that takes nothing keeps what was lent for it, and
/// there is no taking that back.
pub(super) fn is_to_lend<S>(carrier: &Carrier<S>, least: usize, pool: &BufferPool) -> bool {
    carrier.zero_copy == ZeroCopy::Tried
        && !carrier.queue.has_lent()
        && carrier.queue.lendable_bytes(pool) >= least
        && pool.lent_out() * 2 <= pool.buffers()
}
