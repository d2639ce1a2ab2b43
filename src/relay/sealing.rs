//! TLS legs: records are opened in the buffer in which they were received, and sealed on their way to a queue.
//!
//! ```text
//! received ── open, in place ──► session ── forward ──► seal, into a free buffer ──► queue
//!     └─ a record that is cut: heap, counted with the backlogs, under a deadline
//! ```
//!
//! The bytes of one receive leave at once, in as few records as they fit into: nothing waits for more. Everything in a queue is
//! sealed, so the code for slow readers, for cancelled sends and for ends treats it as any other bytes.
//!
//! Not here: a carrier's record layer (`record_layer`), when it comes to rest (`key_rest`), and the records themselves
//! (`tls::record`).

use super::effects::PayloadOrigin;
use super::handle::SessionHandle;
use super::record_layer::{EndOfInput, RecordLayer, UseOfKeys, Whole};
use crate::ring::{BufferPool, Chunk, Ring};
use crate::session::{BrokenInvariant, Gone, Leg};
use crate::tls::record::{Alert, Exhausted};
use crate::websocket::scanner::Held;
use bytes::Bytes;
use std::ops::Range;

/// Most bytes that one sealed alert has, in any suite.
const SEALED_ALERT_BYTES_MAX: usize = 64;

impl<R: Ring> SessionHandle<'_, R> {
    /// Bytes came from a leg.
    pub(super) fn on_bytes(&mut self, leg: Leg, mut chunk: Chunk) {
        let pool = self.engine.ring.pool();
        let Some(layer) = &mut self.carriers[leg as usize].record_layer else {
            let (bytes, now) = (pool.bytes(&chunk), self.engine.now);
            let handled = self.slot.session.handle_bytes(leg, bytes, now, &mut self.engine.effects);
            return self.carry_out(handled, PayloadOrigin::Chunk(chunk));
        };
        if layer.is_input_discarded {
            return pool.release(chunk);
        }
        // The rest of a record that began in earlier bytes comes first.
        if layer.held.is_some() {
            let received = pool.bytes(&chunk);
            let (taken, whole) = match layer.fill_held(received) {
                Ok(filled) => filled,
                Err(fault) => (received.len(), Whole::Faulty(fault)),
            };
            chunk.advance(taken);
            let end = match whole {
                Whole::NotYet => return self.on_part(leg, chunk),
                Whole::Faulty(fault) => Some(EndOfInput::Faulty(fault)),
                Whole::Record(record) => self.on_whole(leg, record),
            };
            if end.is_some() {
                self.engine.ring.pool().release(chunk);
                return self.on_end(leg, end);
            }
        }
        let pool = self.engine.ring.pool();
        // The record may have ended the session, which discards what comes behind it.
        let layer = self.carriers[leg as usize].record_layer.as_mut();
        let Some(layer) = layer.filter(|layer| !layer.is_input_discarded) else {
            return pool.release(chunk);
        };
        let (buffer, range) = pool.room(&chunk);
        let opened = layer.open(&mut buffer[range.clone()]);
        let content = range.start + opened.content.start..range.start + opened.content.end;
        pool.place(&mut chunk, content);
        let (bytes, now) = (pool.bytes(&chunk), self.engine.now);
        let handled = self.slot.session.handle_bytes(leg, bytes, now, &mut self.engine.effects);
        self.carry_out(handled, PayloadOrigin::Chunk(chunk));
        self.after_records(leg, opened.end);
    }

    /// All that came belongs to a record that is held, whose time goes on.
    fn on_part(&mut self, leg: Leg, chunk: Chunk) {
        self.engine.ring.pool().release(chunk);
        self.count_held(leg);
        let now = self.engine.now;
        let handled = self.slot.session.handle_bytes(leg, &[], now, &mut self.engine.effects);
        self.carry_out(handled, PayloadOrigin::Nothing);
    }

    /// Content of records, on the heap, came from a leg.
    fn on_content(&mut self, leg: Leg, content: Bytes) {
        let now = self.engine.now;
        let handled = self.slot.session.handle_bytes(leg, &content, now, &mut self.engine.effects);
        self.carry_out(handled, PayloadOrigin::Heap(content));
    }

    /// Counts what a record that is held takes of the heap.
    fn count_held(&mut self, leg: Leg) {
        let carrier = &mut *self.carriers[leg as usize];
        let Some(layer) = &mut carrier.record_layer else { return };
        let held_bytes = layer.held.as_ref().map_or(0, |held| held.heap_bytes());
        let counted_bytes = std::mem::replace(&mut layer.held_bytes, held_bytes);
        self.engine.ring.pool().add_backlog(held_bytes);
        self.engine.ring.pool().remove_backlog(counted_bytes);
        if held_bytes > 0 {
            self.engine.list_holder(carrier);
        }
    }

    /// Records that came before the session did.
    pub(super) fn on_early_records(&mut self, leg: Leg, mut bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let Some(layer) = &mut self.carriers[leg as usize].record_layer else {
            return self.break_off(BrokenInvariant::RecordsOfPlainLeg { from: leg });
        };
        let opened = layer.open(&mut bytes);
        self.on_content(leg, Bytes::from(bytes).slice(opened.content));
        self.after_records(leg, opened.end);
    }

    /// A record that was cut has come whole.
    fn on_whole(&mut self, leg: Leg, mut record: Vec<u8>) -> Option<EndOfInput> {
        let layer = self.carriers[leg as usize].record_layer.as_mut()?;
        self.engine.ring.pool().remove_backlog(std::mem::take(&mut layer.held_bytes));
        let opened = layer.open(&mut record);
        self.on_content(leg, Bytes::from(record).slice(opened.content));
        opened.end
    }

    /// Finishes the opening of received records: answers that they ask for, a cut record at their end, an end of the stream.
    fn after_records(&mut self, leg: Leg, end: Option<EndOfInput>) {
        self.engine.note_use_of_keys();
        let Some(layer) = &self.carriers[leg as usize].record_layer else { return };
        if layer.is_input_discarded {
            return;
        }
        let is_cut = layer.held.is_some();
        let owes = layer.records.owes();
        if !self.slot.session.is_over() {
            self.slot.session.handle_cut(leg, is_cut, self.engine.now, &mut self.engine.effects);
            self.apply_effects(PayloadOrigin::Nothing);
        }
        self.count_held(leg);
        if owes {
            self.pay_owed(leg);
        }
        self.on_end(leg, end);
    }

    fn on_end(&mut self, leg: Leg, end: Option<EndOfInput>) {
        match end {
            None => {}
            Some(EndOfInput::Closed) => self.is_gone(leg, Gone::Finished),
            Some(EndOfInput::Alerted) => self.is_gone(leg, Gone::Reset),
            Some(EndOfInput::Faulty(fault)) => self.end_by_fault(leg, fault.alert()),
            Some(EndOfInput::Beyond { opened, received }) => {
                self.break_off(BrokenInvariant::OpenedMoreThanReceived { from: leg, opened, received });
            }
        }
    }

    /// A leg cannot be understood any more. The alert that says why is the last thing that it is told.
    fn end_by_fault(&mut self, leg: Leg, alert: Alert) {
        if self.say_end(leg, alert) {
            self.engine.ring.shutdown(&self.carriers[leg as usize].socket);
        }
        self.slot.session.handle_record_fault(leg, self.engine.now, &mut self.engine.effects);
        self.apply_effects(PayloadOrigin::Nothing);
    }

    /// Says at once the last thing that there is to be said in a leg's records, and gives whether it did: not if anything is
    /// queued for the leg, or if nothing more is to be sent to it.
    pub(super) fn say_end(&mut self, leg: Leg, alert: Alert) -> bool {
        let carrier = &mut *self.carriers[leg as usize];
        let is_shut = self.slot.session.is_shut(leg);
        let may_say = carrier.takes_at_once() && (alert == Alert::CloseNotify || !is_shut);
        let Some(layer) = carrier.record_layer.as_mut().filter(|_| may_say) else { return false };
        let mut sealed = [0; SEALED_ALERT_BYTES_MAX];
        // A key that is used up says nothing more, nor does one that has said its end.
        match layer.records.seal_alert(alert, &mut sealed) {
            Ok(bytes) if bytes > 0 => self.engine.ring.send_now(&carrier.socket, &sealed[..bytes]) == bytes,
            Ok(_) | Err(_) => false,
        }
    }

    /// Sends a Close frame of ours at once, as far as the system takes it: there is no time for more.
    ///
    /// # Errors
    /// Its records are not as long as they were to be.
    pub(super) fn say_now(&mut self, leg: Leg, frame: &[u8]) -> Result<(), BrokenInvariant> {
        let sealed = self.seal_farewell(leg, frame)?;
        let carrier = &*self.carriers[leg as usize];
        // A key that is used up has sealed nothing: there is no record, only the room for it.
        if carrier.takes_at_once() && !self.key_exhausted[leg as usize] {
            self.engine.ring.send_now(&carrier.socket, &sealed);
        }
        Ok(())
    }

    /// Queues the end of a leg's records: it is owed like all that was queued before.
    ///
    /// # Errors
    /// A Close frame of ours is not sent yet, or the leg has no records.
    pub(super) fn queue_end(&mut self, leg: Leg) -> Result<(), BrokenInvariant> {
        let carrier = &mut *self.carriers[leg as usize];
        if carrier.queue.has_farewell() {
            return Err(BrokenInvariant::ForwardsBehindClose { to: leg });
        }
        let Some(layer) = &mut carrier.record_layer else {
            return Err(BrokenInvariant::RecordsOfPlainLeg { from: leg });
        };
        let mut sealed = vec![0; layer.records.sealed_alert_bytes()];
        match layer.records.seal_alert(Alert::CloseNotify, &mut sealed) {
            Ok(bytes) if bytes > 0 => {
                sealed.truncate(bytes);
                self.slot.session.handle_end_said(leg, bytes as u64);
                carrier.queue.push_farewell(sealed.into());
                self.engine.is_to_send(carrier);
            }
            // The key is used up: nothing can be said on this leg any more.
            Ok(_) | Err(_) => self.key_exhausted[leg as usize] = true,
        }
        Ok(())
    }

    /// Queues what records owe their peer although there is nothing to be sent.
    fn pay_owed(&mut self, leg: Leg) {
        let carrier = &mut *self.carriers[leg as usize];
        let takes_nothing = carrier.sending.is_discarding() || carrier.queue.has_farewell();
        if self.slot.session.is_shut(leg) || takes_nothing {
            return;
        }
        let Some(layer) = &mut carrier.record_layer else { return };
        let mut sealed = vec![0; layer.records.sealed_bytes(0)];
        match layer.records.seal(&[], &mut sealed) {
            Ok(bytes) => sealed.truncate(bytes),
            Err(_) => return self.end_by_fault(leg, Alert::InternalError),
        }
        self.slot.session.handle_wrapped(leg, sealed.len() as u64);
        let held_buffers = carrier.queue.holds_buffers();
        carrier.queue.push_heap(self.engine.ring.pool(), sealed.into());
        self.engine.list_holder(carrier);
        self.engine.is_queued(carrier, held_buffers);
    }

    /// Seals what a session forwards, and queues it. `origin` has these bytes.
    ///
    /// # Errors
    /// The leg has no records, or they are not as long as they were to be.
    pub(super) fn forward_sealed(
        &mut self,
        to: Leg,
        held: &Held,
        range: Range<usize>,
        origin: &PayloadOrigin,
    ) -> Result<(), BrokenInvariant> {
        self.engine.note_use_of_keys();
        let carrier = &mut *self.carriers[to as usize];
        let Some(layer) = &mut carrier.record_layer else {
            return Err(BrokenInvariant::RecordsOfPlainLeg { from: to });
        };
        let length = Length::announced(layer, to, held.as_bytes().len() + range.len())?;
        layer.use_of_keys = UseOfKeys::Recent;
        let held_buffers = carrier.queue.holds_buffers();
        let pool = self.engine.ring.pool();
        let is_sealed = match pool.take_empty() {
            Some(mut free) if length.announced <= BufferPool::ROOM_BYTES => {
                let (content, room) = match origin {
                    PayloadOrigin::Chunk(chunk) => pool.bytes_and_room(chunk, &free),
                    PayloadOrigin::Early(bytes) | PayloadOrigin::Heap(bytes) => {
                        (&bytes[..], pool.room(&free).0)
                    }
                    PayloadOrigin::Nothing => (&[][..], pool.room(&free).0),
                };
                let sealed = length.check(layer.records.seal(&[held.as_bytes(), &content[range]], room));
                if let Ok(true) = sealed {
                    pool.place(&mut free, 0..length.announced);
                    carrier.queue.push(pool, free);
                } else {
                    pool.release(free);
                }
                sealed?
            }
            free => {
                free.into_iter().for_each(|free| pool.release(free));
                let content = match origin {
                    PayloadOrigin::Chunk(chunk) => pool.bytes(chunk),
                    PayloadOrigin::Early(bytes) | PayloadOrigin::Heap(bytes) => bytes,
                    PayloadOrigin::Nothing => &[],
                };
                let mut sealed = vec![0; length.announced];
                let pieces = [held.as_bytes(), &content[range]];
                let is_sealed = length.check(layer.records.seal(&pieces, &mut sealed))?;
                if is_sealed {
                    carrier.queue.push_heap(pool, sealed.into());
                }
                is_sealed
            }
        };
        self.slot.session.handle_wrapped(to, length.added());
        if is_sealed {
            self.engine.list_holder(carrier);
            self.engine.is_queued(carrier, held_buffers);
        } else {
            self.key_exhausted[to as usize] = true;
        }
        Ok(())
    }

    /// A Close frame of ours as it goes into a leg's queue.
    ///
    /// # Errors
    /// The records are not as long as they were to be.
    pub(super) fn seal_farewell(&mut self, leg: Leg, frame: &[u8]) -> Result<Bytes, BrokenInvariant> {
        let Some(layer) = &mut self.carriers[leg as usize].record_layer else {
            return Ok(Bytes::copy_from_slice(frame));
        };
        let length = Length::announced(layer, leg, frame.len())?;
        let mut sealed = vec![0; length.announced];
        if !length.check(layer.records.seal(&[frame], &mut sealed))? {
            self.key_exhausted[leg as usize] = true;
        }
        self.slot.session.handle_wrapped(leg, length.added());
        Ok(sealed.into())
    }

    /// Ends legs whose key is used up.
    pub(super) fn end_key_exhausted(&mut self) {
        for leg in Leg::BOTH {
            if std::mem::take(&mut self.key_exhausted[leg as usize]) {
                self.end_by_fault(leg, Alert::InternalError);
            }
        }
    }
}

/// How long records are, as their layer announces it.
#[derive(Clone, Copy)]
struct Length {
    to: Leg,
    content: usize,
    announced: usize,
}

impl Length {
    /// Returns the sealed size of so many bytes to a leg. The real size is never smaller.
    fn announced(layer: &RecordLayer, to: Leg, content: usize) -> Result<Self, BrokenInvariant> {
        let length = Self { to, content, announced: layer.records.sealed_bytes(content) };
        if length.announced < content { Err(length.broken(None)) } else { Ok(length) }
    }

    /// Bytes that are not content.
    fn added(self) -> u64 {
        (self.announced - self.content) as u64
    }

    /// Whether it was sealed: `false` where the key is used up.
    fn check(self, sealed: Result<usize, Exhausted>) -> Result<bool, BrokenInvariant> {
        match sealed {
            Ok(bytes) if bytes == self.announced => Ok(true),
            Ok(bytes) => Err(self.broken(Some(bytes))),
            Err(Exhausted) => Ok(false),
        }
    }

    fn broken(self, sealed: Option<usize>) -> BrokenInvariant {
        let Self { to, content, announced } = self;
        BrokenInvariant::SealedOtherThanAnnounced { to, sealed, announced, content }
    }
}
