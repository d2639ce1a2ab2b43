//! Sessions with a broken invariant: such a session ends alone, with the cause `bug`, while all others go on.
//!
//! ```text
//! broken invariant ──► report, counted ──► session over ──► its operations are cancelled ──► last completions ──► slot freed
//!                        └─► who logs
//! ```
//!
//! Nothing else in the session's state is relied on any more. Its buffers and its slot still wait for the last completions, as
//! those of every session do. A completion that cannot belong to the session is not counted as one of them.
//!
//! The relay formats nothing: it hands the state over to the thread that logs, if there is room, and goes on.
//!
//! Not here: the list of invariants (`session::invariant`), and the invariants of memory that the kernel may touch: a break of
//! those ends the process (`ring`).

use super::carrier::{Carrier, CarrierName, Reading, Receiving, Sending, ZeroCopy};
use super::effects::PayloadOrigin;
use super::engine::Engine;
use super::handle::SessionHandle;
use super::liveness::Watch;
use super::session_slot::SessionName;
use crate::admission::places::Holder;
use crate::observe::counters::add;
use crate::ring::{BufferPool, Completion, Ring};
use crate::session::{BrokenInvariant, Cause, CorrelationId, Gone, Phase, Session, Termination};
use tokio::sync::mpsc;

/// Reports that wait for who logs them, of all relays together. One more is dropped: that it was due is counted all the same
/// (`broken_invariants`).
const REPORTS_MAX: usize = 64;

/// A session's broken invariant, and its state when that was found.
#[derive(Debug)]
pub struct BugReport {
    /// The invariant that does not hold.
    pub broken: BrokenInvariant,
    /// The session's id.
    pub id: CorrelationId,
    /// The API, the product and the subscription that the session is of, as far as it has them.
    pub holders: Vec<Holder>,
    /// The state of the session when the fault was found.
    pub state: BrokenState,
}

/// The state of a session, without anything that its peers said and without keys.
#[derive(Debug)]
#[expect(dead_code, reason = "read by whoever reads the log")]
pub struct BrokenState {
    name: SessionName,
    session: Session,
    downstream: CarrierState,
    upstream: CarrierState,
}

/// The state of a carrier.
#[derive(Debug)]
#[expect(dead_code, reason = "read by whoever reads the log")]
struct CarrierState {
    name: CarrierName,
    receiving: Receiving,
    reading: Reading,
    sending: Sending,
    watch: Watch,
    in_flight: u8,
    cancels: u8,
    broken: Option<Gone>,
    is_empty: bool,
    holds_buffers: bool,
    has_farewell: bool,
    heap_bytes: usize,
    pipe_bytes: Option<usize>,
    zero_copy: ZeroCopy,
    has_lent: bool,
    /// Whether there are records, and whether they are opened.
    records: Option<&'static str>,
}

impl CarrierState {
    fn of<S>(carrier: &Carrier<S>, pool: &BufferPool) -> Self {
        let layer = carrier.record_layer.as_ref();
        Self {
            name: carrier.name,
            receiving: carrier.receiving,
            reading: carrier.reading,
            sending: carrier.sending,
            watch: carrier.watch,
            in_flight: carrier.in_flight,
            cancels: carrier.cancels,
            broken: carrier.broken,
            is_empty: carrier.queue.is_empty(),
            holds_buffers: carrier.queue.holds_buffers(),
            has_farewell: carrier.queue.has_farewell(),
            heap_bytes: carrier.heap_bytes(pool),
            pipe_bytes: carrier.pipe.as_ref().map(|pipe| pipe.bytes()),
            zero_copy: carrier.zero_copy,
            has_lent: carrier.queue.has_lent(),
            records: layer.map(|layer| if layer.is_input_discarded { "unread" } else { "open" }),
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

impl<R: Ring> SessionHandle<'_, R> {
    /// A completion that cannot be.
    pub(super) fn on_broken_completion(&mut self, completion: Completion, broken: BrokenInvariant) {
        if let Some(chunk) = completion.chunk {
            self.engine.ring.pool().release(chunk);
        }
        self.break_off(broken);
    }

    /// Ends a session of which an invariant does not hold, and no other.
    ///
    /// Whoever calls it may go on with the session as with any that is over.
    pub(super) fn break_off(&mut self, broken: BrokenInvariant) {
        self.engine.effects.clear();
        self.note_broken(broken);
        self.slot.session.break_off(self.engine.now, &mut self.engine.effects);
        if self.slot.has_ended {
            // Its operations are cancelled already, and it is counted as what it ended as.
            return self.engine.effects.clear();
        }
        self.apply_effects(PayloadOrigin::Nothing);
        if !self.slot.has_ended {
            // It cannot even end as sessions do.
            let bug = Termination { cause: Cause::Bug, phase: Phase::Relay, by: None, close_code: None };
            self.end(bug);
        }
    }

    /// Counts a broken invariant, and reports the first one of its session.
    fn note_broken(&mut self, broken: BrokenInvariant) {
        let Engine { ring, counters, bug_reporter, .. } = &mut *self.engine;
        add(&counters.broken_invariants, 1);
        let is_first = !std::mem::replace(&mut self.slot.is_broken_off, true);
        let Some(BugReporter(reporter)) = bug_reporter.as_ref().filter(|_| is_first) else { return };
        // Where there is no room for it, it is not made either.
        let Ok(room) = reporter.try_reserve() else { return };
        let [downstream, upstream] =
            self.carriers.each_ref().map(|carrier| CarrierState::of(carrier, ring.pool()));
        let state = BrokenState { name: self.name, session: self.slot.session.clone(), downstream, upstream };
        let holders = self.slot.permit.holders().cloned().collect();
        let id = self.slot.account.record().id;
        room.send(Box::new(BugReport { broken, id, holders, state }));
    }
}

#[cfg(test)]
pub(crate) mod faulty;
#[cfg(test)]
mod tests;
