//! What the policies of one opening said, for its row in the log: their traces, and the exceptions of their expressions, in bounds. And
//! when each of them ran, if the opening has a trace.
//!
//! What has no room is cut or counted, and says so.
//!
//! Not here: what is masked in them (the host), and their form in a row (`telemetry::rows`).

use super::contract::{Severity, Step, TraceLine};
use super::expression::Text;
use super::failure::ThrownAt;

/// Bytes of the texts of the records of one opening. Over it: a text is cut, and what comes behind it is counted alone.
///
/// An event that waits for the observer holds them.
pub const POLICY_RECORDS_BYTES_MAX: usize = 8 * 1024;

/// Records of one opening. Over it: counted alone.
pub const POLICY_RECORDS_MAX: usize = 64;

/// The part of both that traces leave to exceptions, so that a document that traces much does not hide where it threw.
const LEFT_TO_EXCEPTIONS: usize = 4;

/// The records of one opening. It shows none of their texts.
#[derive(Default)]
pub struct PolicyRecords {
    kept: Vec<PolicyRecord>,
    bytes: usize,
    dropped: usize,
    ran: Vec<RanStep>,
}

/// Steps of one opening that are kept with their times. Over it: the later ones are not.
pub const RAN_STEPS_MAX: usize = 128;

/// A step that ran, and when.
pub struct RanStep {
    /// Which.
    pub name: StepName,
    /// Microseconds from the accept of the connection to its begin.
    pub begun_us: u32,
    /// Microseconds that it took.
    pub took_us: u32,
    /// How it ended, if it did not go on as usual.
    pub outcome: Box<str>,
    /// Whether it failed.
    pub has_failed: bool,
}

impl RanStep {
    /// Bytes of its texts.
    pub fn text_bytes(&self) -> usize {
        self.name.path.len() + self.outcome.len()
    }
}

impl core::fmt::Debug for PolicyRecords {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "PolicyRecords({}, {} dropped)", self.kept.len(), self.dropped)
    }
}

/// One record.
pub struct PolicyRecord {
    /// What was said.
    pub said: PolicySaid,
    /// A text of it was cut, or left out.
    pub is_cut: bool,
}

/// What a policy said.
pub enum PolicySaid {
    /// A `trace` policy, or `context.Trace`.
    Traced(TraceLine),
    /// An expression threw.
    Threw {
        /// Where it belongs to. `None`: to what a step had put off until the answer was known.
        step: Option<StepName>,
        /// What, and where in the document.
        thrown: ThrownAt,
    },
}

/// Where a step stands, as `context.LastError` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepName {
    /// The policy.
    pub policy: &'static str,
    /// Whose document.
    pub scope: &'static str,
    /// In which section.
    pub section: &'static str,
    /// Where in the section.
    pub path: Box<str>,
}

impl StepName {
    /// That of a step.
    pub fn of(step: &Step) -> Self {
        Self {
            policy: step.place.policy,
            scope: step.scope().name(),
            section: step.section().name(),
            path: step.path().into(),
        }
    }
}

impl PolicyRecords {
    /// The records, in the order in which they were made.
    pub fn kept(&self) -> &[PolicyRecord] {
        &self.kept
    }

    /// How many had no room.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.dropped == 0
    }

    /// Bytes of memory that they take.
    pub fn bytes(&self) -> usize {
        let of_ran: usize = self.ran.iter().map(RanStep::text_bytes).sum();
        let lists =
            self.kept.capacity() * size_of::<PolicyRecord>() + self.ran.capacity() * size_of::<RanStep>();
        self.bytes + of_ran + lists
    }

    /// Takes the steps that ran, in order, if their times were wanted.
    pub fn take_ran(&mut self) -> Vec<RanStep> {
        core::mem::take(&mut self.ran)
    }

    /// Adds a step that ran, if there is room.
    pub fn add_ran(&mut self, step: impl FnOnce() -> RanStep) {
        if self.ran.len() < RAN_STEPS_MAX {
            self.ran.push(step());
        }
    }

    /// Adds what a policy traced.
    pub fn trace(&mut self, line: TraceLine) {
        let (bytes, records) =
            (POLICY_RECORDS_BYTES_MAX / LEFT_TO_EXCEPTIONS, POLICY_RECORDS_MAX / LEFT_TO_EXCEPTIONS);
        let Some(mut room) = self.room(POLICY_RECORDS_BYTES_MAX - bytes, POLICY_RECORDS_MAX - records) else {
            return;
        };
        let TraceLine { severity, source, message, metadata } = line;
        let source = room.take(&source);
        let message = room.take(&message);
        let mut taken = Vec::with_capacity(metadata.len());
        for (name, value) in metadata {
            // A name without its value says nothing.
            if name.len() >= room.bytes {
                room.is_cut = true;
                break;
            }
            taken.push((Text::from(room.take(&name)), room.take(&value)));
        }
        let line = TraceLine { severity, source: source.into(), message, metadata: taken };
        self.keep(PolicySaid::Traced(line), &room);
    }

    /// Adds an exception.
    pub fn threw(&mut self, step: Option<StepName>, thrown: ThrownAt) {
        let Some(mut room) = self.room(POLICY_RECORDS_BYTES_MAX, POLICY_RECORDS_MAX) else { return };
        let message = room.take(&thrown.message);
        self.keep(PolicySaid::Threw { step, thrown: ThrownAt { message, ..thrown } }, &room);
    }

    /// The room for one more, of so much in all. `None`: there is none, which was counted.
    fn room(&mut self, bytes_max: usize, records_max: usize) -> Option<Room> {
        let bytes = bytes_max.saturating_sub(self.bytes);
        if bytes == 0 || self.kept.len() >= records_max {
            self.dropped += 1;
            return None;
        }
        Some(Room { bytes, taken: 0, is_cut: false })
    }

    fn keep(&mut self, said: PolicySaid, room: &Room) {
        self.bytes += room.taken;
        self.kept.push(PolicyRecord { said, is_cut: room.is_cut });
    }
}

/// What is left for the texts of a record.
struct Room {
    bytes: usize,
    taken: usize,
    is_cut: bool,
}

impl Room {
    fn take(&mut self, text: &str) -> String {
        let taken = &text[..text.floor_char_boundary(self.bytes)];
        self.is_cut |= taken.len() < text.len();
        self.bytes -= taken.len();
        self.taken += taken.len();
        taken.to_owned()
    }
}

impl PolicySaid {
    /// How much it matters.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Traced(line) => line.severity,
            Self::Threw { .. } => Severity::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str) -> TraceLine {
        TraceLine {
            severity: Severity::Error,
            source: "s".into(),
            message: message.to_owned(),
            metadata: vec![("n".into(), "v".to_owned())],
        }
    }

    fn thrown(message: String) -> ThrownAt {
        ThrownAt { document: "d.xml".into(), line: 1, column: 2, exception: "Exception", message }
    }

    #[test]
    fn keeps_no_more_bytes_than_it_may_and_says_what_is_cut() {
        let mut records = PolicyRecords::default();
        records.trace(line("short"));
        records.threw(None, thrown("é".repeat(POLICY_RECORDS_BYTES_MAX)));
        records.trace(line("no room"));
        let cut: Vec<_> = records.kept().iter().map(|record| record.is_cut).collect();
        assert_eq!((cut, records.dropped()), (vec![false, true], 1));
        let PolicySaid::Threw { thrown, .. } = &records.kept()[1].said else { panic!("an exception") };
        let bytes = "sshortnv".len() + thrown.message.len();
        assert!((POLICY_RECORDS_BYTES_MAX - 1..=POLICY_RECORDS_BYTES_MAX).contains(&bytes), "{bytes}");
    }

    #[test]
    fn keeps_no_more_records_than_it_may_and_counts_the_others() {
        let mut records = PolicyRecords::default();
        assert!(records.is_empty());
        (0..POLICY_RECORDS_MAX).for_each(|_| records.trace(line("m")));
        assert_eq!(
            (records.kept().len(), records.dropped()),
            (POLICY_RECORDS_MAX * 3 / 4, POLICY_RECORDS_MAX / 4)
        );
        (0..POLICY_RECORDS_MAX).for_each(|_| records.threw(None, thrown(String::new())));
        assert_eq!((records.kept().len(), records.dropped()), (POLICY_RECORDS_MAX, POLICY_RECORDS_MAX));
    }

    #[test]
    fn a_document_that_traces_much_does_not_hide_its_exception() {
        let mut records = PolicyRecords::default();
        (0..9).for_each(|_| records.trace(line(&"m".repeat(POLICY_RECORDS_BYTES_MAX))));
        records.threw(None, thrown("why".to_owned()));
        let last = &records.kept().last().unwrap().said;
        assert!(matches!(last, PolicySaid::Threw { thrown, .. } if thrown.message == "why"));
    }

    #[test]
    fn keeps_no_more_steps_with_their_times_than_it_may() {
        let mut records = PolicyRecords::default();
        let name = StepName { policy: "trace", scope: "global", section: "inbound", path: "trace[1]".into() };
        let step = |begun_us| RanStep {
            name: name.clone(),
            begun_us,
            took_us: 1,
            outcome: "".into(),
            has_failed: false,
        };
        (0..200).for_each(|begun_us| records.add_ran(|| step(begun_us)));
        let begun: Vec<_> = records.take_ran().iter().map(|step| step.begun_us).collect();
        assert_eq!(begun, (0..RAN_STEPS_MAX as u32).collect::<Vec<_>>());
        assert!(records.is_empty(), "nothing was said");
    }

    #[test]
    fn metadata_without_room_is_left_out_and_said() {
        let mut records = PolicyRecords::default();
        records.trace(line(&"m".repeat(POLICY_RECORDS_BYTES_MAX * 3 / 4 - "s".len() - "n".len())));
        let record = &records.kept()[0];
        let PolicySaid::Traced(line) = &record.said else { panic!("a trace") };
        assert!(record.is_cut && line.metadata.is_empty());
    }
}
