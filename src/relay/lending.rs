//! Sends that lend received buffers to the kernel instead of having them copied (`IORING_OP_SENDMSG_ZC`).
//!
//! A zero-copy send completes twice; the second completion returns its memory. Until then the memory must not change, which may
//! be long after the send is over and after the session has ended. Sockets do not wait for it before they close.
//!
//! Not here: the switch to a copying send where the kernel refuses a zero-copy one (`completions`).

use super::carrier::{Carrier, CarrierName, Way, ZeroCopy};
use super::handle::SessionHandle;
use super::run::Relay;
use crate::observe::counters::add;
use crate::ring::{BufferPool, Chunk, GivenBack, Operation, Ring, Token};
use crate::session::{BrokenInvariant, Leg};

impl<R: Ring> SessionHandle<'_, R> {
    /// Starts a send of what is at the front of a queue, which is to lend it.
    pub(super) fn lend(&mut self, leg: Leg) {
        let carrier = &mut *self.carriers[leg as usize];
        let token = carrier.name.token(Operation::Send);
        self.engine.ring.send_zero_copy(&carrier.socket, &mut carrier.queue, token);
        add(&self.engine.counters.zero_copy_sends, 1);
        self.began_send(leg, Way::Lend);
    }
}

impl<R: Ring> Relay<R> {
    /// The kernel needs the bytes of a send no longer. The session may be gone: its sockets close without waiting for this.
    pub(super) fn on_completion_given_back(&mut self, token: Token, given_back: GivenBack) {
        let name = CarrierName::of(token);
        let lent = match self.carriers.get_mut(name.0) {
            Some(carrier) => {
                if given_back == GivenBack::Copied {
                    carrier.zero_copy = ZeroCopy::SwitchedOff;
                }
                carrier.queue.take_lent()
            }
            // As for any other completion of a session that is gone: the books of the ring are broken.
            None => match self.left_behind.remove(&token) {
                Some(lent) => Some(lent),
                None => {
                    panic!("memory of a send comes back, and neither it nor its session is known: {token:?}")
                }
            },
        };
        if let Some(lent) = lent {
            self.engine.ring.take_back(lent);
            return add(&self.engine.counters.zero_copy_copied, u64::from(given_back == GivenBack::Copied));
        }
        self.with_leg(name, |handle, leg| {
            handle.break_off(BrokenInvariant::GaveBackWhatWasNotLent { to: leg });
        });
    }

    /// Returns the memory of ended sessions that the kernel still reads. A simulation checks it too.
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
