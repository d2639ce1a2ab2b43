//! Legs whose bytes are wrapped in records: opened where they were received, sealed on their way to a queue.
//!
//! ```text
//! received ── open, in place ──► session ── forward ──► seal, into a free buffer ──► queue
//!     └─ a record that is cut: heap, counted with the backlogs, under a deadline
//! ```
//!
//! What one receive brought leaves in as few records as it fits into, and at once: nothing waits for more. All that stands in
//! a queue is sealed, so that falling behind, taking back and ending work on it as on any bytes.
//!
//! Not here: the records themselves (`tls::record`).

use super::carrier::{RecordLayer, UseOfKeys};
use super::run::{PayloadOrigin, Relay};
use crate::limits::TLS_REST_MS;
use crate::ring::{BufferPool, Chunk, Ring};
use crate::session::{BrokenInvariant, Gone, Leg};
use crate::tls::record::{Alert, Exhausted, RecordFault, Step};
use crate::websocket::scanner::Held;
use bytes::Bytes;
use std::ops::Range;

/// Most bytes that one sealed alert has, in any suite.
const SEALED_ALERT_BYTES_MAX: usize = 64;

/// What received records came to.
struct Opened {
    /// Where in the received bytes their content stands now, all of it in a row.
    content: Range<usize>,
    end: Option<EndOfInput>,
}

/// Nothing more of a leg is to be understood.
enum EndOfInput {
    /// The peer said so in good order.
    Closed,
    /// The peer gave up.
    Alerted,
    /// The peer broke a rule.
    Faulty(RecordFault),
    /// Records were opened beyond what was received: their layer is broken.
    Beyond { opened: usize, received: usize },
}

impl<R: Ring> Relay<R> {
    /// Bytes came from a leg.
    pub(super) fn on_bytes(&mut self, index: u32, leg: Leg, mut chunk: Chunk) {
        let Some(live) = self.sessions.get_mut(index) else { return self.ring.pool().release(chunk) };
        let Some(record_layer) = &mut live.carriers[leg as usize].record_layer else {
            let bytes = self.ring.pool().bytes(&chunk);
            let handled = live.session.handle_bytes(leg, bytes, self.now, &mut self.effects);
            return self.carry_out(index, handled, PayloadOrigin::Chunk(chunk));
        };
        if record_layer.is_input_discarded {
            return self.ring.pool().release(chunk);
        }
        // The rest of a record that began in earlier bytes comes first.
        let mut end = None;
        if record_layer.held.is_some() {
            let received = self.ring.pool().bytes(&chunk);
            let (taken, whole) = match record_layer.fill_held(received) {
                Ok(filled) => filled,
                Err(fault) => (received.len(), Whole::Faulty(fault)),
            };
            chunk.advance(taken);
            if matches!(whole, Whole::NotYet) {
                return self.on_part(index, leg, chunk);
            }
            end = self.on_whole(index, leg, whole);
        }
        let Some(live) = self.sessions.get_mut(index) else { return self.ring.pool().release(chunk) };
        let record_layer = live.carriers[leg as usize].record_layer.as_mut();
        let Some(record_layer) =
            record_layer.filter(|record_layer| end.is_none() && !record_layer.is_input_discarded)
        else {
            self.ring.pool().release(chunk);
            return self.on_end(index, leg, end);
        };
        let (buffer, range) = self.ring.pool().room(&chunk);
        let opened = record_layer.open(&mut buffer[range.clone()]);
        let content = range.start + opened.content.start..range.start + opened.content.end;
        self.ring.pool().place(&mut chunk, content);
        let bytes = self.ring.pool().bytes(&chunk);
        let handled = live.session.handle_bytes(leg, bytes, self.now, &mut self.effects);
        self.carry_out(index, handled, PayloadOrigin::Chunk(chunk));
        self.after_records(index, leg, opened.end);
    }

    /// All that came belongs to a record that is held, whose time goes on.
    fn on_part(&mut self, index: u32, leg: Leg, chunk: Chunk) {
        self.ring.pool().release(chunk);
        self.count_held(index, leg);
        if let Some(live) = self.sessions.get_mut(index) {
            let handled = live.session.handle_bytes(leg, &[], self.now, &mut self.effects);
            self.carry_out(index, handled, PayloadOrigin::Nothing);
        }
    }

    /// Counts what a record that is held takes of the heap.
    fn count_held(&mut self, index: u32, leg: Leg) {
        let Some(live) = self.sessions.get_mut(index) else { return };
        let Some(record_layer) = &mut live.carriers[leg as usize].record_layer else { return };
        let held_bytes = record_layer.held.as_ref().map_or(0, |held| held.heap_bytes());
        let counted_bytes = std::mem::replace(&mut record_layer.held_bytes, held_bytes);
        self.ring.pool().add_backlog(held_bytes);
        self.ring.pool().remove_backlog(counted_bytes);
        if held_bytes > 0 {
            self.list_holder(index, leg);
        }
    }

    /// Records that came before the session did.
    pub(super) fn on_early_records(&mut self, index: u32, leg: Leg, mut bytes: Vec<u8>) {
        let Some(live) = self.sessions.get_mut(index).filter(|_| !bytes.is_empty()) else { return };
        let Some(record_layer) = &mut live.carriers[leg as usize].record_layer else {
            return self.break_off(index, BrokenInvariant::RecordsOfPlainLeg { from: leg });
        };
        let opened = record_layer.open(&mut bytes);
        let content = Bytes::from(bytes).slice(opened.content);
        let handled = live.session.handle_bytes(leg, &content, self.now, &mut self.effects);
        self.carry_out(index, handled, PayloadOrigin::Heap(content));
        self.after_records(index, leg, opened.end);
    }

    /// What a record that was cut came to.
    fn on_whole(&mut self, index: u32, leg: Leg, whole: Whole) -> Option<EndOfInput> {
        let mut record = match whole {
            Whole::NotYet => return None,
            Whole::Faulty(fault) => return Some(EndOfInput::Faulty(fault)),
            Whole::Record(record) => record,
        };
        let live = self.sessions.get_mut(index)?;
        let record_layer = live.carriers[leg as usize].record_layer.as_mut()?;
        self.ring.pool().remove_backlog(std::mem::take(&mut record_layer.held_bytes));
        let opened = record_layer.open(&mut record);
        let content = Bytes::from(record).slice(opened.content);
        let handled = live.session.handle_bytes(leg, &content, self.now, &mut self.effects);
        self.carry_out(index, handled, PayloadOrigin::Heap(content));
        opened.end
    }

    /// What is left to be done when received records are opened: what they ask for, a cut one at their end, an end.
    fn after_records(&mut self, index: u32, leg: Leg, end: Option<EndOfInput>) {
        self.idle_ciphers_at = self.idle_ciphers_at.or(Some(self.now.after_millis(TLS_REST_MS)));
        let Some(live) = self.sessions.get_mut(index) else { return };
        let Some(record_layer) = &mut live.carriers[leg as usize].record_layer else { return };
        if record_layer.is_input_discarded {
            return;
        }
        let is_cut = record_layer.held.is_some();
        let owes = record_layer.records.owes();
        if !live.session.is_over() {
            live.session.handle_cut(leg, is_cut, self.now, &mut self.effects);
            self.apply_effects(index, PayloadOrigin::Nothing);
        }
        self.count_held(index, leg);
        if owes {
            self.pay_owed(index, leg);
        }
        self.on_end(index, leg, end);
    }

    fn on_end(&mut self, index: u32, leg: Leg, end: Option<EndOfInput>) {
        let Some(end) = end else { return };
        let how = match end {
            EndOfInput::Closed => Gone::Finished,
            EndOfInput::Alerted => Gone::Reset,
            EndOfInput::Faulty(fault) => return self.end_by_fault(index, leg, fault.alert()),
            EndOfInput::Beyond { opened, received } => {
                let broken = BrokenInvariant::OpenedMoreThanReceived { from: leg, opened, received };
                return self.break_off(index, broken);
            }
        };
        if let Some(live) = self.sessions.get_mut(index) {
            live.session.handle_gone(leg, how, self.now, &mut self.effects);
            self.apply_effects(index, PayloadOrigin::Nothing);
        }
    }

    /// A leg cannot be understood any more. The alert that says why is the last thing that it is told.
    fn end_by_fault(&mut self, index: u32, leg: Leg, alert: Alert) {
        let is_told = self.say_end(index, leg, alert);
        if let Some(live) = self.sessions.get_mut(index).filter(|_| is_told) {
            self.ring.shutdown(&live.carriers[leg as usize].socket);
        }
        if let Some(live) = self.sessions.get_mut(index) {
            live.session.handle_record_fault(leg, self.now, &mut self.effects);
            self.apply_effects(index, PayloadOrigin::Nothing);
        }
    }

    /// Says at once the last thing that there is to be said in a leg's records, and gives whether it did: not if anything is
    /// queued for the leg, or if nothing more is to be sent to it.
    pub(super) fn say_end(&mut self, index: u32, leg: Leg, alert: Alert) -> bool {
        let Some(live) = self.sessions.get_mut(index) else { return false };
        let carrier = &mut live.carriers[leg as usize];
        let may_say = carrier.takes_at_once() && (alert == Alert::CloseNotify || !live.session.is_shut(leg));
        let Some(record_layer) = carrier.record_layer.as_mut().filter(|_| may_say) else { return false };
        let mut sealed = [0; SEALED_ALERT_BYTES_MAX];
        // A key that is used up says nothing more, nor does one that has said its end.
        match record_layer.records.seal_alert(alert, &mut sealed) {
            Ok(bytes) if bytes > 0 => self.ring.send_now(&carrier.socket, &sealed[..bytes]) == bytes,
            Ok(_) | Err(_) => false,
        }
    }

    /// Sends a Close frame of ours at once, as far as the system takes it: there is no time for more.
    ///
    /// # Errors
    /// Its records are not as long as they were to be.
    pub(super) fn say_now(&mut self, index: u32, leg: Leg, frame: &[u8]) -> Result<(), BrokenInvariant> {
        let sealed = self.seal_farewell(index, leg, frame)?;
        let Some(live) = self.sessions.get_mut(index) else { return Ok(()) };
        let carrier = &live.carriers[leg as usize];
        if carrier.takes_at_once() {
            self.ring.send_now(&carrier.socket, &sealed);
        }
        Ok(())
    }

    /// Queues the end of a leg's records: it is owed like all that was queued before.
    ///
    /// # Errors
    /// A Close frame of ours is not sent yet.
    pub(super) fn queue_end(&mut self, index: u32, leg: Leg) -> Result<(), BrokenInvariant> {
        let Some(live) = self.sessions.get_mut(index) else { return Ok(()) };
        let carrier = &mut live.carriers[leg as usize];
        if carrier.queue.has_farewell() {
            return Err(BrokenInvariant::ForwardsBehindClose { to: leg });
        }
        let Some(record_layer) = &mut carrier.record_layer else { return Ok(()) };
        let mut sealed = vec![0; record_layer.records.sealed_alert_bytes()];
        match record_layer.records.seal_alert(Alert::CloseNotify, &mut sealed) {
            Ok(bytes) if bytes > 0 => {
                sealed.truncate(bytes);
                live.session.handle_end_said(leg, bytes as u64);
                carrier.queue.push_farewell(sealed.into());
                Self::mark_ready(&mut self.ready, index, leg, carrier);
            }
            // The key is used up: nothing can be said on this leg any more.
            Ok(_) | Err(_) => self.key_exhausted.push((index, leg)),
        }
        Ok(())
    }

    /// Queues what records owe their peer although there is nothing to be sent.
    fn pay_owed(&mut self, index: u32, leg: Leg) {
        let Some(live) = self.sessions.get_mut(index) else { return };
        let carrier = &mut live.carriers[leg as usize];
        if live.session.is_shut(leg) || carrier.is_discarding || carrier.queue.has_farewell() {
            return;
        }
        let Some(record_layer) = &mut carrier.record_layer else { return };
        let mut sealed = vec![0; record_layer.records.sealed_bytes(0)];
        match record_layer.records.seal(&[], &mut sealed) {
            Ok(bytes) => sealed.truncate(bytes),
            Err(_) => return self.end_by_fault(index, leg, Alert::InternalError),
        }
        live.session.handle_wrapped(leg, sealed.len() as u64);
        let held_buffers = carrier.queue.holds_buffers();
        carrier.queue.push_heap(self.ring.pool(), sealed.into());
        self.list_holder(index, leg);
        self.is_queued(index, leg, held_buffers);
    }

    /// Seals what a session forwards, and queues it. `source` has these bytes.
    ///
    /// # Errors
    /// The records are not as long as they were to be.
    pub(super) fn forward_sealed(
        &mut self,
        index: u32,
        to: Leg,
        held: &Held,
        range: Range<usize>,
        source: &mut PayloadOrigin,
    ) -> Result<(), BrokenInvariant> {
        let Some(live) = self.sessions.get_mut(index) else { return Ok(()) };
        let carrier = &mut live.carriers[to as usize];
        let Some(record_layer) = &mut carrier.record_layer else { return Ok(()) };
        let length = Length::announced(record_layer, to, held.as_bytes().len() + range.len())?;
        record_layer.use_of_keys = UseOfKeys::Recent;
        self.idle_ciphers_at = self.idle_ciphers_at.or(Some(self.now.after_millis(TLS_REST_MS)));
        let held_buffers = carrier.queue.holds_buffers();
        let pool = self.ring.pool();
        let is_sealed = match pool.take_empty() {
            Some(mut free) if length.announced <= BufferPool::ROOM_BYTES => {
                let (content, room) = match &*source {
                    PayloadOrigin::Chunk(chunk) => pool.bytes_and_room(chunk, &free),
                    PayloadOrigin::Early(bytes) | PayloadOrigin::Heap(bytes) => {
                        (&bytes[..], pool.room(&free).0)
                    }
                    PayloadOrigin::Nothing => (&[][..], pool.room(&free).0),
                };
                let sealed =
                    length.check(record_layer.records.seal(&[held.as_bytes(), &content[range]], room));
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
                let content = match &*source {
                    PayloadOrigin::Chunk(chunk) => pool.bytes(chunk),
                    PayloadOrigin::Early(bytes) | PayloadOrigin::Heap(bytes) => bytes,
                    PayloadOrigin::Nothing => &[],
                };
                let mut sealed = vec![0; length.announced];
                let is_sealed = length
                    .check(record_layer.records.seal(&[held.as_bytes(), &content[range]], &mut sealed))?;
                if is_sealed {
                    carrier.queue.push_heap(pool, sealed.into());
                }
                is_sealed
            }
        };
        live.session.handle_wrapped(to, length.added());
        if is_sealed {
            self.list_holder(index, to);
            self.is_queued(index, to, held_buffers);
        } else {
            self.key_exhausted.push((index, to));
        }
        Ok(())
    }

    /// A Close frame of ours as it goes into a leg's queue.
    ///
    /// # Errors
    /// The records are not as long as they were to be.
    pub(super) fn seal_farewell(
        &mut self,
        index: u32,
        leg: Leg,
        frame: &[u8],
    ) -> Result<Bytes, BrokenInvariant> {
        let Some(live) = self.sessions.get_mut(index) else { return Ok(Bytes::new()) };
        let Some(record_layer) = &mut live.carriers[leg as usize].record_layer else {
            return Ok(Bytes::copy_from_slice(frame));
        };
        let length = Length::announced(record_layer, leg, frame.len())?;
        let mut sealed = vec![0; length.announced];
        if !length.check(record_layer.records.seal(&[frame], &mut sealed))? {
            self.key_exhausted.push((index, leg));
        }
        live.session.handle_wrapped(leg, length.added());
        Ok(sealed.into())
    }

    /// Lets records that nobody uses drop what can be made again: some hundred bytes a direction.
    pub(super) fn free_idle_ciphers(&mut self) {
        if self.idle_ciphers_at.is_none_or(|at| at > self.now) {
            return;
        }
        let mut is_any_in_use = false;
        for index in 0..self.sessions.slots() {
            let Some(live) = self.sessions.get_mut(index) else { continue };
            for record_layer in live.carriers.iter_mut().filter_map(|carrier| carrier.record_layer.as_mut()) {
                record_layer.use_of_keys = match record_layer.use_of_keys {
                    UseOfKeys::Recent => UseOfKeys::Past,
                    UseOfKeys::Past => {
                        record_layer.records.rest();
                        UseOfKeys::Dropped
                    }
                    UseOfKeys::Dropped => UseOfKeys::Dropped,
                };
                is_any_in_use |= record_layer.use_of_keys != UseOfKeys::Dropped;
            }
        }
        self.idle_ciphers_at = is_any_in_use.then(|| self.now.after_millis(TLS_REST_MS));
    }

    /// Ends sessions of which a leg's key is used up.
    pub(super) fn end_key_exhausted(&mut self) {
        while let Some((index, leg)) = self.key_exhausted.pop() {
            self.end_by_fault(index, leg, Alert::InternalError);
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
    /// What so many bytes to a leg will come to: never to less.
    fn announced(record_layer: &RecordLayer, to: Leg, content: usize) -> Result<Self, BrokenInvariant> {
        let length = Self { to, content, announced: record_layer.records.sealed_bytes(content) };
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

/// A record that was held.
enum Whole {
    NotYet,
    Record(Vec<u8>),
    Faulty(RecordFault),
}

impl RecordLayer {
    /// From here on nothing that comes matters.
    pub(super) fn discard_input(&mut self, pool: &mut BufferPool) {
        self.is_input_discarded = true;
        self.held = None;
        pool.remove_backlog(std::mem::take(&mut self.held_bytes));
    }

    /// Adds what belongs to the record that is held; gives how many bytes did, and the record if it is whole.
    fn fill_held(&mut self, received: &[u8]) -> Result<(usize, Whole), RecordFault> {
        let Some(mut held) = self.held.take() else { return Ok((0, Whole::NotYet)) };
        let taken = held.fill(received)?;
        if held.is_whole() {
            return Ok((taken, Whole::Record(held.into_bytes())));
        }
        self.held = Some(held);
        Ok((taken, Whole::NotYet))
    }

    /// Opens records in place, and moves their contents together. What is cut at the end is held.
    fn open(&mut self, received: &mut [u8]) -> Opened {
        self.use_of_keys = UseOfKeys::Recent;
        let mut at = 0;
        let mut content = 0..0;
        let end = loop {
            let step = self.records.open(received, &mut at);
            let opened = if let Ok(Step::Plaintext(range)) = &step { range.end.max(at) } else { at };
            if opened > received.len() {
                break Some(EndOfInput::Beyond { opened, received: received.len() });
            }
            match step {
                Ok(Step::Plaintext(range)) if content.is_empty() => content = range,
                Ok(Step::Plaintext(range)) => {
                    let end = content.end + range.len();
                    received.copy_within(range, content.end);
                    content.end = end;
                }
                Ok(Step::Ticket(_)) => {}
                Ok(Step::Hold) => {
                    let mut held = self.records.held();
                    match held.fill(&received[at..]) {
                        Ok(_) => {
                            self.held = Some(held);
                            break None;
                        }
                        Err(fault) => break Some(EndOfInput::Faulty(fault)),
                    }
                }
                Ok(Step::Done) => break None,
                Ok(Step::Closed) => break Some(EndOfInput::Closed),
                Ok(Step::Alert(_)) => break Some(EndOfInput::Alerted),
                Err(fault) => break Some(EndOfInput::Faulty(fault)),
            }
        };
        Opened { content, end }
    }
}
