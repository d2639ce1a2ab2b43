//! Addresses that the host gave for names, how long they are used, and their order.
//!
//! ```text
//! Nothing ──found──► fresh ──refresh──► refreshed in the background while it is asked for ──kept──► dormant
//!    ▲                 ▲                     │        │ found                                         │
//!    │                 └─────────────────────┼────────┘◄────────────── looked up when asked for ──────┘
//!    └──── no answer for stale_max, or the name service says that there is no such name ────┘
//! ```
//!
//! Plain data: time comes in as an argument.
//!
//! Not here: asking the host, and who waits for it (`names`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::table::{Table, Usable};
use crate::config::NamesConfig;
use crate::limits::RESOLVER_ADDRESSES_MAX;

/// Names whose addresses are remembered. Over it the oldest answer is forgotten. About 1 KiB each at most.
const RESOLVER_ANSWERS_MAX: usize = 1024;

/// How long a name is refreshed in the background after it was asked for last. Over it, the next opening that asks waits for a
/// look-up, as for a new name.
const RESOLVER_KEPT: Duration = Duration::from_secs(60);

/// For how long the name service has to say that there is no such name until that is believed of one that there was. HAProxy's
/// `hold nx` has the same default: a service that restarts may say so of a name for a moment.
const NO_NAME_HOLD: Duration = Duration::from_secs(30);

/// The answers, by name.
///
/// Invariants: `due` has exactly the names whose refresh is [`Refresh::At`], each with its time; `table` has those that may be
/// used at once.
#[derive(Debug)]
pub(super) struct Answers {
    refresh: Duration,
    stale_max: Duration,
    by_name: BTreeMap<Arc<str>, Answer>,
    due: BTreeSet<(Instant, Arc<str>)>,
    table: Arc<Table>,
}

/// One answer, and what has become of its refreshes.
#[derive(Debug)]
struct Answer {
    addresses: Arc<[IpAddr]>,
    found_at: Instant,
    asked_at: Instant,
    refresh: Refresh,
    /// The last refresh brought nothing.
    is_failing: bool,
    /// Since when every refresh has brought the answer that there is no such name.
    no_name_since: Option<Instant>,
}

/// When an answer is looked up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresh {
    /// Then, if it is asked for until then.
    At(Instant),
    /// It is, and nobody waits for that.
    InProgress,
    /// It is, and who asks waits for that a moment: nobody had asked for so long that the answer may be very old.
    Awaited,
    /// When somebody asks.
    Dormant,
}

/// The knowledge of a name at a moment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Addresses to use.
    Addresses {
        /// They.
        addresses: Arc<[IpAddr]>,
        /// A newer answer was due and did not come.
        is_stale: bool,
    },
    /// Addresses to use where a look-up brings none soon.
    Old(Arc<[IpAddr]>),
    /// Nothing that may be used.
    Nothing,
}

/// The meaning of a failed look-up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// Nothing that may be used was known of it.
    Unknown,
    /// Its old addresses are used.
    StaysOld {
        /// They.
        addresses: Arc<[IpAddr]>,
        /// The look-up before this one was none that failed.
        is_first: bool,
    },
}

impl Answers {
    pub(super) fn new(config: &NamesConfig) -> Self {
        Self {
            refresh: Duration::from_secs(config.refresh_s),
            stale_max: Duration::from_secs(config.stale_max_s),
            by_name: BTreeMap::new(),
            due: BTreeSet::new(),
            table: Arc::new(Table::new()),
        }
    }

    /// Where fronts read what may be used at once.
    pub(super) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Somebody asks for a name.
    pub(super) fn ask(&mut self, name: &str, now: Instant) -> Known {
        let Some(answer) = self.by_name.get_mut(name) else { return Known::Nothing };
        if !answer.is_usable(self.refresh + self.stale_max, now) {
            self.forget(name);
            return Known::Nothing;
        }
        answer.asked_at = now;
        let addresses = Arc::clone(&answer.addresses);
        let age = now.saturating_duration_since(answer.found_at);
        if answer.is_kept() || age < self.refresh {
            Known::Addresses { addresses, is_stale: answer.is_failing || age >= 2 * self.refresh }
        } else {
            Known::Old(addresses)
        }
    }

    /// A name is looked up because somebody asks for it, who waits.
    pub(super) fn await_refresh(&mut self, name: &str) {
        self.set_refresh(name, Refresh::Awaited);
    }

    /// Nobody waits any more for the look-up of a name. Gives the addresses that are used meanwhile.
    pub(super) fn give_up_waiting(&mut self, name: &str, now: Instant) -> Option<Arc<[IpAddr]>> {
        let answer = self.by_name.get(name)?;
        if !answer.is_usable(self.refresh + self.stale_max, now) {
            return None;
        }
        let addresses = Arc::clone(&answer.addresses);
        self.set_refresh(name, Refresh::InProgress);
        Some(addresses)
    }

    /// A name that is to be refreshed now; it counts as being looked up from here on.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Arc<str>> {
        while let Some((at, name)) = self.due.first() {
            if *at > now {
                return None;
            }
            let name = Arc::clone(name);
            let asked_of_table = self.table.asked_at(&name);
            let is_kept = self.by_name.get(&name).is_some_and(|answer| {
                let asked_at = asked_of_table.map_or(answer.asked_at, |at| at.max(answer.asked_at));
                now.saturating_duration_since(asked_at) < RESOLVER_KEPT.max(self.refresh)
            });
            self.set_refresh(&name, if is_kept { Refresh::InProgress } else { Refresh::Dormant });
            if is_kept {
                return Some(name);
            }
        }
        None
    }

    /// When [`Answers::take_due`] is to be called.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A look-up of `name` found addresses. Gives whether those before it had failed. Forgets what is too old, and the oldest
    /// answer where there are too many.
    pub(super) fn found(&mut self, name: &Arc<str>, addresses: Arc<[IpAddr]>, now: Instant) -> bool {
        let before = self.by_name.get(name);
        let was_failing = before.is_some_and(|answer| answer.is_failing);
        let asked_at = before.map_or(now, |answer| answer.asked_at);
        let is_new = before.is_none();
        let answer = Answer {
            addresses,
            found_at: now,
            asked_at,
            refresh: Refresh::Dormant,
            is_failing: false,
            no_name_since: None,
        };
        if is_new {
            self.make_room(now);
        }
        self.unschedule(name);
        self.by_name.insert(Arc::clone(name), answer);
        self.set_refresh(name, Refresh::At(now + self.refresh));
        was_failing
    }

    /// A look-up of `name` found none: the service says that there is no such name, or says nothing of use.
    pub(super) fn failed(&mut self, name: &str, is_no_name: bool, now: Instant) -> Failed {
        let Some(answer) = self.by_name.get_mut(name) else { return Failed::Unknown };
        answer.no_name_since = is_no_name.then_some(answer.no_name_since.unwrap_or(now));
        if !answer.is_usable(self.refresh + self.stale_max, now) {
            self.forget(name);
            return Failed::Unknown;
        }
        let is_first = !std::mem::replace(&mut answer.is_failing, true);
        let addresses = Arc::clone(&answer.addresses);
        self.set_refresh(name, Refresh::At(now + self.refresh));
        Failed::StaysOld { addresses, is_first }
    }

    /// A name that was due is not looked up yet.
    pub(super) fn postpone(&mut self, name: &str, until: Instant) {
        self.set_refresh(name, Refresh::At(until));
    }

    fn set_refresh(&mut self, name: &str, refresh: Refresh) {
        let Some((name, _)) = self.by_name.get_key_value(name) else { return };
        let name = Arc::clone(name);
        self.unschedule(&name);
        if let Refresh::At(at) = refresh {
            self.due.insert((at, Arc::clone(&name)));
        }
        if let Some(answer) = self.by_name.get_mut(&name) {
            answer.refresh = refresh;
            let usable = answer.is_kept().then(|| Usable {
                addresses: Arc::clone(&answer.addresses),
                stale_from: answer.found_at
                    + if answer.is_failing { Duration::ZERO } else { 2 * self.refresh },
                until: answer.usable_until(self.refresh + self.stale_max),
            });
            self.table.set(&name, usable);
        }
    }

    fn unschedule(&mut self, name: &Arc<str>) {
        if let Some(Answer { refresh: Refresh::At(at), .. }) = self.by_name.get(name) {
            self.due.remove(&(*at, Arc::clone(name)));
        }
    }

    fn forget(&mut self, name: &str) {
        self.set_refresh(name, Refresh::Dormant);
        self.by_name.remove(name);
    }

    fn make_room(&mut self, now: Instant) {
        let lifetime = self.refresh + self.stale_max;
        let over = |answer: &Answer| !answer.is_usable(lifetime, now);
        let over: Vec<_> = self
            .by_name
            .iter()
            .filter(|(_, answer)| over(answer))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in over {
            self.forget(&name);
        }
        if self.by_name.len() >= RESOLVER_ANSWERS_MAX {
            let oldest = self.by_name.iter().min_by_key(|(_, answer)| answer.found_at);
            if let Some(oldest) = oldest.map(|(name, _)| Arc::clone(name)) {
                self.forget(&oldest);
            }
        }
    }
}

impl Answer {
    fn is_usable(&self, lifetime: Duration, now: Instant) -> bool {
        now < self.usable_until(lifetime)
    }

    /// Until when its addresses may be used, if nothing else comes to be known.
    fn usable_until(&self, lifetime: Duration) -> Instant {
        let until = self.found_at + lifetime;
        self.no_name_since.map_or(until, |since| until.min(since + NO_NAME_HOLD))
    }

    /// Whether it is refreshed in the background, so that nobody has to wait for a newer one.
    fn is_kept(&self) -> bool {
        matches!(self.refresh, Refresh::At(_) | Refresh::InProgress)
    }
}

/// Puts addresses in the order in which to dial them and drops repetitions and what is over the bound.
///
/// RFC 8305 §4: the first address stays first, then the families alternate; within a family the order stays.
pub(super) fn interleave(sorted: Vec<IpAddr>) -> Vec<IpAddr> {
    let first_is_ipv6 = sorted.first().is_some_and(IpAddr::is_ipv6);
    let (first_family, other_family): (Vec<_>, Vec<_>) =
        sorted.into_iter().partition(|address| address.is_ipv6() == first_is_ipv6);
    let (mut first_family, mut other_family) = (first_family.into_iter(), other_family.into_iter());
    let mut ordered = Vec::new();
    while ordered.len() < RESOLVER_ADDRESSES_MAX {
        let pair = [first_family.next(), other_family.next()];
        if pair == [None, None] {
            break;
        }
        for address in pair.into_iter().flatten() {
            if !ordered.contains(&address) {
                ordered.push(address);
            }
        }
    }
    ordered.truncate(RESOLVER_ADDRESSES_MAX);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFRESH_S: u64 = 5;
    const STALE_MAX_S: u64 = 3600;

    fn addresses(text: &[&str]) -> Vec<IpAddr> {
        text.iter().map(|address| address.parse().unwrap()).collect()
    }

    /// Answers, one of which, `a`, was found and asked for at the start.
    struct Scene {
        answers: Answers,
        start: Instant,
    }

    impl Scene {
        fn new(stale_max_s: u64) -> Self {
            let config = NamesConfig { refresh_s: REFRESH_S, stale_max_s };
            let mut scene = Self { answers: Answers::new(&config), start: Instant::now() };
            scene.found_at(0);
            scene
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn found_at(&mut self, seconds: u64) -> bool {
            let now = self.at(seconds);
            let found = self.answers.found(&"a".into(), addresses(&["::1"]).into(), now);
            check_invariants(&self.answers);
            found
        }

        /// `fresh`, `stale`, `old` or `nothing`.
        fn ask_at(&mut self, seconds: u64) -> &'static str {
            let now = self.at(seconds);
            let at_once = self.answers.table.ask("a", now);
            let known = self.answers.ask("a", now);
            check_invariants(&self.answers);
            if let Some((addresses, is_stale)) = at_once {
                // What fronts read by themselves is what the task would have said.
                assert_eq!(known, Known::Addresses { addresses, is_stale });
            }
            match known {
                Known::Addresses { is_stale: false, .. } => "fresh",
                Known::Addresses { is_stale: true, .. } => "stale",
                Known::Old(_) => "old",
                Known::Nothing => "nothing",
            }
        }

        fn is_due_at(&mut self, seconds: u64) -> bool {
            let now = self.at(seconds);
            let due = self.answers.take_due(now).is_some();
            check_invariants(&self.answers);
            due
        }

        fn failed_at(&mut self, seconds: u64, is_no_name: bool) -> Failed {
            let now = self.at(seconds);
            let failed = self.answers.failed("a", is_no_name, now);
            check_invariants(&self.answers);
            failed
        }
    }

    fn check_invariants(answers: &Answers) {
        let due: BTreeSet<_> = answers
            .by_name
            .iter()
            .filter_map(|(name, answer)| match answer.refresh {
                Refresh::At(at) => Some((at, Arc::clone(name))),
                Refresh::InProgress | Refresh::Awaited | Refresh::Dormant => None,
            })
            .collect();
        assert_eq!(answers.due, due);
        for (name, answer) in &answers.by_name {
            assert_eq!(answers.table.has(name), answer.is_kept(), "{name}");
        }
        assert!(answers.by_name.len() <= RESOLVER_ANSWERS_MAX);
        // One whose answer was forgotten leaves the table with the next new name.
        assert!(answers.table.len() <= RESOLVER_ANSWERS_MAX + 1);
    }

    #[test]
    fn alternates_the_families_and_keeps_the_order_in_each() {
        for (sorted, ordered) in [
            (&["::1", "::2", "::3", "1.1.1.1"][..], &["::1", "1.1.1.1", "::2", "::3"][..]),
            (&["1.1.1.1", "2.2.2.2", "::1", "::2"], &["1.1.1.1", "::1", "2.2.2.2", "::2"]),
            (&["1.1.1.1", "1.1.1.1", "::1"], &["1.1.1.1", "::1"]),
            (&["::1"], &["::1"]),
            (&[], &[]),
        ] {
            assert_eq!(interleave(addresses(sorted)), addresses(ordered), "{sorted:?}");
        }
    }

    #[test]
    fn dials_a_bounded_number_of_addresses() {
        let many: Vec<IpAddr> = (0..200_u8).map(|n| IpAddr::from([192, 0, 2, n])).collect();
        assert_eq!(interleave(many.clone()), many[..RESOLVER_ADDRESSES_MAX]);
    }

    #[test]
    fn a_name_that_is_asked_for_is_refreshed_in_the_background_and_used_meanwhile() {
        let mut scene = Scene::new(STALE_MAX_S);
        assert!(!scene.is_due_at(4));
        assert_eq!(scene.ask_at(4), "fresh");
        assert!(scene.is_due_at(5));
        assert!(!scene.is_due_at(5), "once at a time");
        // The refresh is on its way; from when it should be over, it is told.
        assert_eq!([5, 9, 10, 1000].map(|second| scene.ask_at(second)), ["fresh", "fresh", "stale", "stale"]);
        assert!(!scene.found_at(1001), "it did not fail, it was late");
        assert_eq!(scene.ask_at(1002), "fresh");
    }

    #[test]
    fn a_name_that_nobody_asks_for_is_not_looked_up_until_somebody_does() {
        let mut scene = Scene::new(STALE_MAX_S);
        for round in 0..11 {
            assert!(scene.is_due_at(5 * round + 5), "{round}");
            scene.found_at(5 * round + 5);
        }
        assert!(!scene.is_due_at(60));
        assert_eq!(scene.answers.next_due(), None);
        // It is as old as it may be, so a new one is waited for, by all who ask in that moment.
        assert_eq!(scene.ask_at(66), "old");
        scene.answers.await_refresh("a");
        assert_eq!(scene.ask_at(66), "old");
        let now = scene.at(67);
        assert!(scene.answers.give_up_waiting("a", now).is_some());
        assert_eq!(scene.ask_at(67), "stale", "who asks later does not wait again");
    }

    #[test]
    fn a_name_that_fronts_read_by_themselves_is_asked_for() {
        let mut scene = Scene::new(STALE_MAX_S);
        for round in 0..100 {
            let second = 5 * round + 5;
            assert!(scene.answers.table.ask("a", scene.at(second - 1)).is_some(), "{round}");
            assert!(scene.is_due_at(second), "{round}");
            scene.found_at(second);
        }
        assert!(
            !(501..=600).any(|second| scene.is_due_at(second) && scene.found_at(second)),
            "it is asked for no more"
        );
        assert!(
            scene.answers.table.ask("a", scene.at(600)).is_none(),
            "so the next one waits for a new answer"
        );
    }

    #[test]
    fn an_old_answer_is_used_for_as_long_as_it_may_while_the_service_fails() {
        let mut scene = Scene::new(STALE_MAX_S);
        let stays = |is_first| Failed::StaysOld { addresses: addresses(&["::1"]).into(), is_first };
        assert!(scene.is_due_at(5));
        assert_eq!(scene.failed_at(6, false), stays(true));
        assert_eq!(scene.ask_at(6), "stale");
        assert!(!scene.is_due_at(10) && scene.is_due_at(11), "it is tried again, no more often than before");
        assert_eq!(scene.failed_at(11, false), stays(false));
        assert_eq!([100, 3604].map(|second| scene.ask_at(second)), ["stale", "stale"]);
        assert_eq!(scene.ask_at(3605), "nothing");
        assert_eq!(scene.failed_at(3606, false), Failed::Unknown);
    }

    #[test]
    fn a_service_that_is_back_ends_that_at_once() {
        let mut scene = Scene::new(STALE_MAX_S);
        scene.failed_at(6, false);
        assert!(scene.found_at(20), "it had failed");
        assert_eq!(scene.ask_at(21), "fresh");
        assert!(!scene.found_at(25));
    }

    #[test]
    fn that_there_is_no_such_name_is_believed_after_a_while_of_nothing_else() {
        let mut scene = Scene::new(STALE_MAX_S);
        for second in [5, 10, 30] {
            assert!(matches!(scene.failed_at(second, true), Failed::StaysOld { .. }), "{second}");
        }
        assert_eq!(scene.ask_at(34), "stale");
        // Silence in between says nothing about the name.
        scene.failed_at(34, false);
        scene.failed_at(40, true);
        assert_eq!(scene.ask_at(69), "stale");
        assert_eq!(scene.ask_at(70), "nothing");

        let mut scene = Scene::new(STALE_MAX_S);
        scene.failed_at(5, true);
        assert_eq!(scene.failed_at(35, true), Failed::Unknown);
        assert_eq!(scene.ask_at(35), "nothing");
    }

    #[test]
    fn without_a_time_for_old_answers_none_is_used_beyond_its_refresh() {
        let mut scene = Scene::new(0);
        assert_eq!(scene.ask_at(4), "fresh");
        assert!(scene.is_due_at(5));
        assert_eq!(scene.ask_at(5), "nothing");
        assert_eq!(scene.failed_at(6, false), Failed::Unknown);
    }

    #[test]
    fn forgets_what_is_over_and_the_oldest_when_there_are_too_many() {
        let config = NamesConfig { refresh_s: REFRESH_S, stale_max_s: STALE_MAX_S };
        let (mut answers, start) = (Answers::new(&config), Instant::now());
        let at = |n: usize| start + Duration::from_millis(n as u64);
        for n in 0..=RESOLVER_ANSWERS_MAX {
            answers.found(&n.to_string().into(), addresses(&["::1"]).into(), at(n));
            check_invariants(&answers);
        }
        assert_eq!(answers.by_name.len(), RESOLVER_ANSWERS_MAX);
        assert_eq!(answers.ask("0", at(2000)), Known::Nothing);
        assert_ne!(answers.ask("1", at(2000)), Known::Nothing);
        let over = start + Duration::from_secs(REFRESH_S + STALE_MAX_S + 60);
        answers.found(&"new".into(), addresses(&["::1"]).into(), over);
        check_invariants(&answers);
        assert_eq!(answers.by_name.len(), 1);
    }
}
