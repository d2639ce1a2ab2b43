//! Sessions with a broken invariant: ended by themselves, as `bug`, while all others go on.
//!
//! ```text
//! broken invariant ──► report, counted ──► session over ──► its operations are cancelled ──► last completions ──► slot freed
//!                        └─► who logs
//! ```
//!
//! What the session's state says is not relied on any more, but for what it has in flight: its buffers and its slot wait for
//! the last completions as those of every session do. A completion that cannot be is not counted as one of them.
//!
//! The relay formats nothing: it hands the state over, if there is room, and goes on.
//!
//! Not here: which invariants there are (`session::invariant`), and those of memory that the kernel may touch, whose break
//! ends the process (`ring`).

use super::carrier::{Carrier, Reading, Receive, ZeroCopy};
use super::liveness::Watch;
use super::run::{PayloadOrigin, Relay, SessionSlot};
use crate::admission::places::Holder;
use crate::observe::counters::add;
use crate::ring::{BufferPool, Completion, Operation, Ring};
use crate::session::{BrokenInvariant, Cause, Gone, Leg, Phase, Session, Termination};
use tokio::sync::mpsc;

/// Reports that wait for who logs them, of all relays together. One more is dropped: that it was due is counted all the same
/// (`broken_invariants`).
const REPORTS_MAX: usize = 64;

/// A session's broken invariant, and its state when that was found.
#[derive(Debug)]
pub struct BugReport {
    /// What does not hold.
    pub broken: BrokenInvariant,
    /// The API, the product and the subscription that the session is of, as far as it has them.
    pub holders: Vec<Holder>,
    /// What the session was doing.
    pub state: BrokenState,
}

/// The state of a session, without anything that its peers said and without keys.
#[derive(Debug)]
#[expect(dead_code, reason = "read by whoever reads the log")]
pub struct BrokenState {
    slot: u32,
    generation: u32,
    session: Session,
    downstream: CarrierState,
    upstream: CarrierState,
    in_flight: u8,
    cancels: u8,
}

/// The state of a carrier.
#[derive(Debug)]
#[expect(dead_code, reason = "read by whoever reads the log")]
struct CarrierState {
    receive: Receive,
    reading: Reading,
    watch: Watch,
    broken: Option<Gone>,
    is_sending: bool,
    is_send_cancelled: bool,
    awaits_room: bool,
    is_discarding: bool,
    is_empty: bool,
    holds_buffers: bool,
    has_farewell: bool,
    heap_bytes: usize,
    pipe_bytes: Option<usize>,
    zero_copy: ZeroCopy,
    is_lending: bool,
    has_lent: bool,
    /// Whether there are records, and whether they are opened.
    records: Option<&'static str>,
}

impl CarrierState {
    fn of<S>(carrier: &Carrier<S>, pool: &BufferPool) -> Self {
        Self {
            receive: carrier.receive,
            reading: carrier.reading,
            watch: carrier.watch,
            broken: carrier.broken,
            is_sending: carrier.queue.is_in_flight(),
            is_send_cancelled: carrier.is_send_cancelled,
            awaits_room: carrier.awaits_room,
            is_discarding: carrier.is_discarding,
            is_empty: carrier.queue.is_empty(),
            holds_buffers: carrier.queue.holds_buffers(),
            has_farewell: carrier.queue.has_farewell(),
            heap_bytes: carrier.heap_bytes(pool),
            pipe_bytes: carrier.pipe.as_ref().map(|pipe| pipe.bytes()),
            zero_copy: carrier.zero_copy,
            is_lending: carrier.is_lending,
            has_lent: carrier.queue.has_lent(),
            records: carrier
                .record_layer
                .as_ref()
                .map(|record_layer| if record_layer.is_input_discarded { "unread" } else { "open" }),
        }
    }
}

/// Where relays leave reports.
#[derive(Clone, Debug)]
pub struct BugReporter(mpsc::Sender<Box<BugReport>>);

/// Where reports come out.
#[derive(Debug)]
pub struct BugReports(mpsc::Receiver<Box<BugReport>>);

/// A way for reports, with room for so many at a time that no relay ever waits.
pub fn bug_reports() -> (BugReporter, BugReports) {
    let (sender, receiver) = mpsc::channel(REPORTS_MAX);
    (BugReporter(sender), BugReports(receiver))
}

impl BugReports {
    /// The next one. `None`: there is no relay any more.
    pub async fn next(&mut self) -> Option<Box<BugReport>> {
        self.0.recv().await
    }

    /// The next one, if it is there.
    pub fn take(&mut self) -> Option<Box<BugReport>> {
        self.0.try_recv().ok()
    }
}

impl<S> SessionSlot<S> {
    /// Takes note of a completion.
    ///
    /// # Errors
    /// No such operation is in flight: the completion is not counted, so that the session waits for those that are.
    pub(super) fn note_completion(
        &mut self,
        operation: Operation,
        leg: Leg,
        has_more: bool,
    ) -> Result<(), BrokenInvariant> {
        let carrier = &self.carriers[leg as usize];
        let is_cancel =
            matches!(operation, Operation::CancelReceive | Operation::CancelSend | Operation::CancelWatch);
        let is_in_flight = match operation {
            Operation::Receive => matches!(carrier.receive, Receive::Armed | Receive::Cancelling),
            Operation::Send => carrier.queue.is_in_flight(),
            Operation::Watch => matches!(carrier.watch, Watch::Armed | Watch::Cancelling),
            Operation::CancelReceive | Operation::CancelSend | Operation::CancelWatch => self.cancels > 0,
            Operation::Mailbox => false,
        };
        if !is_in_flight || self.in_flight == 0 {
            return Err(BrokenInvariant::CompletionOfNothing { operation: operation.name(), leg });
        }
        self.cancels -= u8::from(is_cancel);
        // What is more to come of a send is memory that it lent.
        if !has_more || operation == Operation::Send {
            self.in_flight -= 1;
        }
        Ok(())
    }
}

impl<R: Ring> Relay<R> {
    /// Leaves a report of each session that is ended for a broken invariant there.
    pub fn reporting_to(mut self, reporter: BugReporter) -> Self {
        self.bug_reporter = Some(reporter);
        self
    }

    /// A completion that cannot be.
    pub(super) fn on_broken_completion(
        &mut self,
        index: u32,
        completion: Completion,
        broken: BrokenInvariant,
    ) {
        if let Some(chunk) = completion.chunk {
            self.ring.pool().release(chunk);
        }
        self.break_off(index, broken);
    }

    /// Ends a session of which an invariant does not hold, and no other.
    ///
    /// Whoever calls it may go on with the session as with any that is over; its slot is freed at the end of the turn at the
    /// earliest.
    pub(super) fn break_off(&mut self, index: u32, broken: BrokenInvariant) {
        self.effects.clear();
        self.note_broken(index, broken);
        let Some(live) = self.sessions.get_mut(index) else { return };
        live.session.break_off(self.now, &mut self.effects);
        if live.has_ended {
            // Its operations are cancelled already, and it is counted as what it ended as.
            return self.effects.clear();
        }
        self.apply_effects(index, PayloadOrigin::Nothing);
        // It cannot even end as sessions do.
        let has_ended = self.sessions.get_mut(index).is_none_or(|live| live.has_ended);
        if !has_ended {
            let bug = Termination { cause: Cause::Bug, phase: Phase::Relay, by: None, close_code: None };
            self.end(index, bug);
        }
    }

    /// Counts a broken invariant, and reports the first one of its session.
    pub(super) fn note_broken(&mut self, index: u32, broken: BrokenInvariant) {
        add(&self.counters.broken_invariants, 1);
        self.broken_off.push(index);
        let generation = self.sessions.generation(index);
        let Some(live) = self.sessions.get_mut(index) else { return };
        let is_first = !std::mem::replace(&mut live.is_broken_off, true);
        let Some(BugReporter(reporter)) = self.bug_reporter.as_ref().filter(|_| is_first) else { return };
        // Where there is no room for it, it is not made either.
        let Ok(room) = reporter.try_reserve() else { return };
        let [downstream, upstream] =
            live.carriers.each_ref().map(|carrier| CarrierState::of(carrier, self.ring.pool()));
        let state = BrokenState {
            slot: index,
            generation,
            session: live.session.clone(),
            downstream,
            upstream,
            in_flight: live.in_flight,
            cancels: live.cancels,
        };
        room.send(Box::new(BugReport { broken, holders: live.permit.holders().cloned().collect(), state }));
    }

    /// Frees the slots of broken sessions that had nothing in flight.
    pub(super) fn free_broken_off(&mut self) {
        while let Some(index) = self.broken_off.pop() {
            self.free_if_over(index);
        }
    }
}

#[cfg(test)]
pub(crate) mod faulty;
#[cfg(test)]
mod tests;
