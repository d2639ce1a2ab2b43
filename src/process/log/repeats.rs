//! Warnings that repeat: which are logged, and which are only counted.
//!
//! ```text
//! happens  1 2 3 4 5 6 … 250                     251 …            (nothing more)
//! logged   1 2 3 ───── 10 s ─────► with times=247 ───── 10 s ─────► with times=N, by the log's writer
//! ```
//!
//! Each pair of a message and an API has a count of its own. The first few are logged as they happen; then there is one line
//! every `REPEATS_INTERVAL`, with the number of times since the previous line. The next occurrence after the interval is the one
//! that is logged; if there is none, the log's writer reports the count a moment later, and at the end of the process. After an
//! interval without occurrences, the next ones are logged as they happen.
//!
//! A message about a place in a policy document is counted by that place instead, whatever API its opening is of: the first one is
//! logged as it happens, then one line a minute.
//!
//! There is one table for all workers, bounded by `REPEATS_MAX`. It is behind a lock, which is held for a look-up. Only failures
//! come here, and no relay does.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use core::time::Duration;
use tokio::time::Instant;
use tracing::Level;

/// Times that a warning about one API is logged at once, before it counts as repeated.
const REPEATS_TOLD_AT_ONCE: u32 = 3;

/// How often a repeated warning is logged, with a count, and after how long a quiet one is logged at once again.
const REPEATS_INTERVAL: Duration = Duration::from_secs(10);

/// The same for what is counted by its place in a document.
const REPEATS_INTERVAL_OF_PLACE: Duration = Duration::from_secs(60);

/// Pairs of a warning and an API, or a place, that are counted by themselves. Over it: a warning's further ones are counted together.
const REPEATS_MAX: usize = 1024;

#[expect(
    clippy::disallowed_types,
    reason = "a map that grows and shrinks cannot be shared without a lock; only who warns takes it, for one look-up"
)]
type Lock<T> = std::sync::Mutex<T>;

/// The repeated warnings of this process.
pub(super) static REPEATS: Repeats = Repeats::new();

/// The subject of a count for all that have none of their own. No API and no file can have such a name.
const OTHERS: &str = "(others)";

/// Counts an event that is logged as `message` at `level`. `None`: it is not to be logged this time.
pub fn happened(level: Level, message: &'static str, api: Option<&str>) -> Option<Told> {
    REPEATS.happened((level, Subject::Api), message, api.unwrap_or_default(), Instant::now())
}

/// The same of an event at a place in a document: `policies/apis/chat.xml:12`.
pub fn happened_at(level: Level, message: &'static str, place: &str) -> Option<Told> {
    REPEATS.happened((level, Subject::Place), message, place, Instant::now())
}

/// What the occurrences of a message are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An API; the empty name for none.
    Api,
    /// A place in a policy document.
    Place,
}

impl Subject {
    /// How many are logged at once.
    fn told_at_once(self) -> u32 {
        match self {
            Self::Api => REPEATS_TOLD_AT_ONCE,
            Self::Place => 1,
        }
    }

    /// How often there is a line then.
    fn interval(self) -> Duration {
        match self {
            Self::Api => REPEATS_INTERVAL,
            Self::Place => REPEATS_INTERVAL_OF_PLACE,
        }
    }
}

/// A repeated warning that is to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// How often it happened since it was logged last, this time included. `None`: it is one of the first.
    pub times: Option<u64>,
}

/// The count of one message and one subject.
#[derive(Clone, Copy, Debug)]
struct Repeat {
    /// How many of the first ones were logged.
    at_once: u32,
    /// When it was logged last.
    told_at: Instant,
    /// How often it happened since.
    untold: u64,
}

impl Repeat {
    fn is_due(&self, subject: Subject, now: Instant) -> bool {
        now.saturating_duration_since(self.told_at) >= subject.interval()
    }

    fn happened(&mut self, subject: Subject, now: Instant) -> Option<Told> {
        if self.untold == 0 && self.is_due(subject, now) {
            self.at_once = 0;
        }
        if self.at_once < subject.told_at_once() {
            self.at_once += 1;
            self.told_at = now;
            return Some(Told { times: None });
        }
        self.untold += 1;
        self.is_due(subject, now).then(|| Told { times: Some(self.tell(now)) })
    }

    /// Returns the count, and resets it.
    fn tell(&mut self, now: Instant) -> u64 {
        self.told_at = now;
        std::mem::take(&mut self.untold)
    }
}

/// The counts of one message.
#[derive(Debug)]
struct BySubject {
    level: Level,
    subject: Subject,
    repeats: BTreeMap<Box<str>, Repeat>,
}

/// The messages and subjects of recent warnings.
#[derive(Debug, Default)]
struct Table {
    by_message: BTreeMap<&'static str, BySubject>,
    /// Pairs in it, those of [`OTHERS`] left out: of these there is one for each message at most.
    pairs: usize,
}

/// A count that is due: level, message, API or place, and how often it happened.
type Due = ((Level, Subject), &'static str, Box<str>, u64);

impl Table {
    fn happened(
        &mut self,
        (level, subject): (Level, Subject),
        message: &'static str,
        name: &str,
        now: Instant,
    ) -> Option<Told> {
        let make = || BySubject { level, subject, repeats: BTreeMap::new() };
        let by_subject = self.by_message.entry(message).or_insert_with(make);
        if let Some(repeat) = by_subject.repeats.get_mut(name) {
            return repeat.happened(subject, now);
        }
        let name = if self.pairs < REPEATS_MAX {
            self.pairs += 1;
            name
        } else {
            OTHERS
        };
        let first = Repeat { at_once: 0, told_at: now, untold: 0 };
        by_subject.repeats.entry(name.into()).or_insert(first).happened(subject, now)
    }

    /// Takes the counts that are due, or all, and forgets what was quiet for an interval.
    fn take_due(&mut self, now: Instant, all: bool) -> Vec<Due> {
        let mut due = Vec::new();
        let mut pairs = 0;
        self.by_message.retain(|message, by_subject| {
            let (level, subject) = (by_subject.level, by_subject.subject);
            by_subject.repeats.retain(|name, repeat| {
                let is_due = repeat.is_due(subject, now);
                let is_quiet = repeat.untold == 0 && is_due;
                if repeat.untold > 0 && (all || is_due) {
                    due.push(((level, subject), *message, name.clone(), repeat.tell(now)));
                }
                pairs += usize::from(!is_quiet && **name != *OTHERS);
                !is_quiet
            });
            !by_subject.repeats.is_empty()
        });
        self.pairs = pairs;
        due
    }
}

/// The table, for all threads.
#[derive(Debug)]
pub(super) struct Repeats(Lock<Option<Table>>);

impl Repeats {
    const fn new() -> Self {
        Self(Lock::new(None))
    }

    fn happened(
        &self,
        level: (Level, Subject),
        message: &'static str,
        name: &str,
        now: Instant,
    ) -> Option<Told> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.get_or_insert_default().happened(level, message, name, now)
    }

    /// Reports the counts that are due, or all of them. Returns whether any are left to report later.
    pub(super) fn tell_counts(
        &self,
        now: Instant,
        all: bool,
        tell: impl Fn((Level, Subject), &str, &str, u64),
    ) -> bool {
        let (due, is_left) = {
            let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(known) = table.as_mut() else { return false };
            (known.take_due(now, all), !known.by_message.is_empty())
        };
        for (level, message, name, times) in due {
            tell(level, message, &name, times);
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::time::Duration;

    const MESSAGE: &str = "cannot connect to a backend";

    /// A table, and the seconds at which things happen to it.
    struct Scene {
        repeats: Repeats,
        start: Instant,
    }

    impl Scene {
        fn new() -> Self {
            Self { repeats: Repeats::new(), start: Instant::now() }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn happens(&self, api: &str, ms: u64) -> Option<Told> {
            self.repeats.happened(WARNING, MESSAGE, api, self.at(ms))
        }

        /// Returns the writer's reports at that time: API and count.
        fn told_by_the_writer(&self, ms: u64, all: bool) -> Vec<(String, u64)> {
            let told = RefCell::default();
            self.repeats.tell_counts(self.at(ms), all, |level, message, api, times| {
                assert_eq!((level, message), (WARNING, MESSAGE));
                let told: &RefCell<Vec<_>> = &told;
                told.borrow_mut().push((api.to_owned(), times));
            });
            told.into_inner()
        }

        fn pairs(&self) -> usize {
            self.repeats.0.lock().unwrap().as_ref().map_or(0, |table| table.pairs)
        }
    }

    const WARNING: (Level, Subject) = (Level::WARN, Subject::Api);

    const AT_ONCE: Option<Told> = Some(Told { times: None });

    fn counted(times: u64) -> Option<Told> {
        Some(Told { times: Some(times) })
    }

    #[test]
    fn the_first_three_are_told_at_once_and_then_a_count_every_ten_seconds() {
        let scene = Scene::new();
        assert_eq!([0, 1, 2, 3, 100, 9_999].map(|ms| scene.happens("a", ms)), {
            [AT_ONCE, AT_ONCE, AT_ONCE, None, None, None]
        });
        // The third was told at 2 ms.
        assert_eq!(scene.happens("a", 10_001), None);
        assert_eq!(scene.happens("a", 10_002), counted(5));
        assert_eq!(scene.happens("a", 10_003), None);
        assert_eq!(scene.happens("a", 20_001), None);
        assert_eq!(scene.happens("a", 20_002), counted(3));
    }

    #[test]
    fn a_steady_stream_makes_a_line_in_ten_seconds_and_every_one_of_it_is_counted() {
        let scene = Scene::new();
        let (mut lines, mut told) = (0, 0);
        for ms in 0..60_000 {
            if let Some(line) = scene.happens("a", ms) {
                lines += 1;
                told += line.times.unwrap_or(1);
            }
        }
        for (_, times) in scene.told_by_the_writer(60_000, true) {
            lines += 1;
            told += times;
        }
        assert_eq!((lines, told), (3 + 5 + 1, 60_000));
    }

    #[test]
    fn a_place_in_a_document_is_told_once_a_minute_with_a_count() {
        let scene = Scene::new();
        let happens = |place, ms| {
            scene.repeats.happened((Level::WARN, Subject::Place), "an expression threw", place, scene.at(ms))
        };
        assert_eq!([0, 1, 10_002, 59_999].map(|ms| happens("a.xml:1", ms)), [AT_ONCE, None, None, None]);
        assert_eq!((happens("a.xml:2", 2), happens("a.xml:2", 3)), (AT_ONCE, None));
        assert_eq!(happens("a.xml:1", 60_000), counted(4));
        assert_eq!(happens("a.xml:1", 119_999), None);
        let told = RefCell::<Vec<_>>::default();
        scene.repeats.tell_counts(scene.at(60_002), false, |(_, subject), _, place, times| {
            told.borrow_mut().push((subject, place.to_owned(), times));
        });
        assert_eq!(told.into_inner(), [(Subject::Place, "a.xml:2".to_owned(), 1)]);
    }

    #[test]
    fn each_message_and_each_api_is_counted_by_itself() {
        let scene = Scene::new();
        for api in ["a", "b", ""] {
            assert_eq!([0, 1, 2, 3].map(|ms| scene.happens(api, ms)), [AT_ONCE, AT_ONCE, AT_ONCE, None]);
        }
        let other = scene.repeats.happened(WARNING, "another message", "a", scene.at(4));
        assert_eq!(other, AT_ONCE);
    }

    #[test]
    fn the_last_count_is_told_though_nothing_more_happens() {
        let scene = Scene::new();
        for ms in 0..10 {
            scene.happens("a", ms);
        }
        assert_eq!(scene.told_by_the_writer(10_001, false), []);
        assert_eq!(scene.told_by_the_writer(10_002, false), [("a".to_owned(), 7)]);
        assert_eq!(scene.told_by_the_writer(30_000, true), []);
    }

    #[test]
    fn at_the_end_every_count_is_told_at_once() {
        let scene = Scene::new();
        for api in ["a", "b"] {
            for ms in 0..5 {
                scene.happens(api, ms);
            }
        }
        scene.happens("c", 5);
        assert_eq!(scene.told_by_the_writer(6, true), [("a".to_owned(), 2), ("b".to_owned(), 2)]);
    }

    #[test]
    fn what_was_quiet_for_an_interval_is_told_at_once_again_and_takes_no_room_meanwhile() {
        let scene = Scene::new();
        for ms in 0..5 {
            scene.happens("a", ms);
        }
        assert_eq!(scene.told_by_the_writer(10_002, false).len(), 1);
        assert_eq!(scene.pairs(), 1, "it may go on");
        assert_eq!(scene.happens("a", 20_001), None, "it does, within ten seconds of the last line");
        assert_eq!(scene.told_by_the_writer(20_002, false), [("a".to_owned(), 1)]);
        let is_left = scene.repeats.tell_counts(scene.at(30_002), false, |_, _, _, _| {});
        assert_eq!((scene.pairs(), is_left), (0, false));
        assert_eq!(scene.happens("a", 30_003), AT_ONCE);
        // Without a visit of the writer's too.
        assert_eq!([40_003, 40_004, 40_005, 40_006].map(|ms| scene.happens("a", ms)), {
            [AT_ONCE, AT_ONCE, AT_ONCE, None]
        });
    }

    #[test]
    fn apis_beyond_the_bound_share_a_count_and_none_is_lost() {
        let scene = Scene::new();
        for api in 0..REPEATS_MAX {
            assert_eq!(scene.happens(&api.to_string(), 0), AT_ONCE);
        }
        let beyond: Vec<_> = (0..10).map(|api| scene.happens(&format!("beyond-{api}"), 1)).collect();
        assert_eq!(beyond[..4], [AT_ONCE, AT_ONCE, AT_ONCE, None]);
        assert_eq!(beyond.iter().flatten().count(), 3);
        assert_eq!(scene.pairs(), REPEATS_MAX);
        assert_eq!(scene.told_by_the_writer(2, true), [(OTHERS.to_owned(), 7)]);
        // Those with a count of their own keep it.
        assert_eq!(scene.happens("0", 3), AT_ONCE);
        // Quiet ones make room.
        assert_eq!(scene.told_by_the_writer(20_000, false), []);
        assert_eq!(scene.pairs(), 0);
    }
}
