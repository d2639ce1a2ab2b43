//! Carries out the effects of a session: queues the bytes that it forwards, and sends Close frames, pauses and ends its legs.

use super::handle::SessionHandle;
use crate::ring::{Chunk, Ring};
use crate::session::{BrokenInvariant, Cause, Effect, Leg};
use crate::tls::record::Alert;
use crate::websocket::scanner::Held;
use bytes::Bytes;
use std::ops::Range;

/// Where the bytes of an effect stand.
pub(super) enum PayloadOrigin {
    Nothing,
    Chunk(Chunk),
    /// Bytes that came before the session.
    Early(Bytes),
    /// Bytes on the heap.
    Heap(Bytes),
}

impl PayloadOrigin {
    /// Checks that `range` of it can go to a leg.
    ///
    /// # Errors
    /// It has not so many bytes, or none at all.
    fn check(&self, to: Leg, range: &Range<usize>) -> Result<(), BrokenInvariant> {
        let came = match self {
            Self::Nothing => return Err(BrokenInvariant::ForwardsNothing { to }),
            Self::Chunk(chunk) => chunk.len(),
            Self::Early(bytes) | Self::Heap(bytes) => bytes.len(),
        };
        if range.end > came {
            return Err(BrokenInvariant::ForwardsMoreThanCame { to, forwarded: range.end, came });
        }
        Ok(())
    }
}

impl<R: Ring> SessionHandle<'_, R> {
    /// Carries out what the session wants, or ends it if it found itself broken.
    pub(super) fn carry_out(&mut self, handled: Result<(), BrokenInvariant>, origin: PayloadOrigin) {
        match handled {
            Ok(()) => self.apply_effects(origin),
            Err(broken) => {
                if let PayloadOrigin::Chunk(chunk) = origin {
                    self.engine.ring.pool().release(chunk);
                }
                self.break_off(broken);
            }
        }
    }

    /// Carries out what the session wants, in order. The bytes of `origin` are forwarded or given back.
    pub(super) fn apply_effects(&mut self, mut origin: PayloadOrigin) {
        let mut effects = std::mem::take(&mut self.engine.effects);
        let applied = effects.drain(..).try_for_each(|effect| self.apply(effect, &mut origin));
        self.engine.effects = effects;
        if let PayloadOrigin::Chunk(chunk) = origin {
            self.engine.ring.pool().release(chunk);
        }
        self.check(applied);
        self.report_closing();
        self.end_key_exhausted();
    }

    fn apply(&mut self, effect: Effect, origin: &mut PayloadOrigin) -> Result<(), BrokenInvariant> {
        if self.slot.has_ended {
            // What a broken session still wants is void.
            return if self.slot.is_broken_off { Ok(()) } else { Err(BrokenInvariant::EffectBehindEnd) };
        }
        match effect {
            Effect::Forward { to, held, range } => {
                origin.check(to, &range)?;
                let carrier = &*self.carriers[to as usize];
                if carrier.queue.has_farewell() {
                    return Err(BrokenInvariant::ForwardsBehindClose { to });
                }
                let bytes = held.as_bytes().len() + range.len();
                let slot = &mut *self.slot;
                slot.account.count_relayed(self.engine.writer, to.other(), bytes, &slot.session);
                if carrier.record_layer.is_some() {
                    return self.forward_sealed(to, &held, range, origin);
                }
                return self.forward(to, &held, range, origin);
            }
            Effect::Inject { to, frame } => {
                let sealed = self.seal_farewell(to, frame.as_bytes())?;
                let carrier = &mut *self.carriers[to as usize];
                if carrier.queue.has_farewell() {
                    return Err(BrokenInvariant::ForwardsBehindClose { to });
                }
                carrier.queue.push_farewell(sealed);
                self.engine.is_to_send(carrier);
            }
            Effect::Pause { leg } => {
                if self.carriers[leg as usize].broken.is_none() {
                    self.stop_receiving(leg);
                }
            }
            Effect::Resume { leg } => self.arm_if_wanted(leg),
            Effect::InjectNow { to, frame } => self.say_now(to, frame.as_bytes())?,
            Effect::SayEnd { leg } => self.queue_end(leg)?,
            Effect::SayEndNow { leg } => {
                self.say_end(leg, Alert::CloseNotify);
            }
            Effect::Shutdown { leg } => self.engine.ring.shutdown(&self.carriers[leg as usize].socket),
            Effect::Discard { leg } => self.discard(leg),
            Effect::Reset { leg } => {
                self.engine.ring.reset_on_close(&self.carriers[leg as usize].socket);
                self.discard(leg);
            }
            Effect::Deadline(at) => self.engine.wheel.schedule(self.name.0.index, at),
            Effect::Ended(termination) => {
                // It is a bug only where one was found.
                let has_cause = termination.cause != Cause::Bug || self.slot.is_broken_off;
                if !has_cause || !self.slot.session.is_over() {
                    return Err(BrokenInvariant::EndsWithoutCause);
                }
                self.end(termination);
            }
        }
        Ok(())
    }

    /// Queues what came, as it came, behind the start of a header that came before.
    ///
    /// # Errors
    /// It cannot stand where it is to stand.
    fn forward(
        &mut self,
        to: Leg,
        held: &Held,
        range: Range<usize>,
        origin: &mut PayloadOrigin,
    ) -> Result<(), BrokenInvariant> {
        let carrier = &mut *self.carriers[to as usize];
        let pool = self.engine.ring.pool();
        let held_buffers = carrier.queue.holds_buffers();
        match std::mem::replace(origin, PayloadOrigin::Nothing) {
            PayloadOrigin::Chunk(mut chunk) => {
                chunk.truncate(range.end);
                chunk.advance(range.start);
                if !held.as_bytes().is_empty() && !pool.prepend(&mut chunk, held.as_bytes()) {
                    *origin = PayloadOrigin::Chunk(chunk);
                    return Err(BrokenInvariant::HeaderHasNoRoom { to });
                }
                carrier.queue.push(pool, chunk);
            }
            PayloadOrigin::Early(_) if !carrier.queue.is_empty() || !held.as_bytes().is_empty() => {
                return Err(BrokenInvariant::EarlyBytesComeLate { to });
            }
            PayloadOrigin::Early(bytes) => carrier.queue.push_early(bytes.slice(range)),
            PayloadOrigin::Heap(bytes) => {
                carrier.queue.push_heap(pool, Bytes::copy_from_slice(held.as_bytes()));
                carrier.queue.push_heap(pool, bytes.slice(range));
                self.engine.list_holder(carrier);
            }
            PayloadOrigin::Nothing => return Err(BrokenInvariant::ForwardsNothing { to }),
        }
        self.engine.is_queued(carrier, held_buffers);
        Ok(())
    }
}
