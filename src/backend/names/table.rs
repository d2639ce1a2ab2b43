//! Answers that may be used at once. Fronts read them without a lock and without the task that keeps them.
//!
//! The task writes, fronts read. A reader never waits; it sees an answer or the one before it.
//!
//! Not here: how long an answer is used, and when it is looked up again (`answers`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::time::Instant;

/// How exactly it is known when a name was asked for last: fronts that ask for one name all the time do not write to what others
/// read each time.
const ASKED_WITHIN: Duration = Duration::from_secs(1);

/// The names, each with what is to be used for it.
#[derive(Debug)]
pub(super) struct Table {
    by_name: ArcSwap<HashMap<Arc<str>, Arc<Entry>>>,
    /// The origin of the moments in this table.
    began: Instant,
}

#[derive(Debug)]
struct Entry {
    /// `None`: the task is to be asked.
    usable: ArcSwapOption<Usable>,
    /// When it was asked for last, in milliseconds since `began`.
    asked_ms: AtomicU64,
}

/// Addresses that may be used at once.
#[derive(Debug)]
pub(super) struct Usable {
    /// They, at least one.
    pub(super) addresses: Arc<[IpAddr]>,
    /// From then on a newer answer should have come.
    pub(super) stale_from: Instant,
    /// From then on they may not be used.
    pub(super) until: Instant,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { by_name: ArcSwap::default(), began: Instant::now() }
    }

    /// The addresses of `name`, which has no capital letters, and whether a newer answer was due and did not come. `None`: the
    /// task is to be asked.
    pub(super) fn ask(&self, name: &str, now: Instant) -> Option<(Arc<[IpAddr]>, bool)> {
        let by_name = self.by_name.load();
        let entry = by_name.get(name)?;
        let usable = entry.usable.load();
        let usable = usable.as_ref().filter(|usable| now < usable.until)?;
        let now_ms = self.milliseconds(now);
        if now_ms >= entry.asked_ms.load(Ordering::Relaxed) + ASKED_WITHIN.as_millis() as u64 {
            entry.asked_ms.store(now_ms, Ordering::Relaxed);
        }
        Some((Arc::clone(&usable.addresses), now >= usable.stale_from))
    }

    /// Names in it.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_name.load().len()
    }

    /// Whether fronts read something for `name`, without asking for it.
    #[cfg(test)]
    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.load().get(name).is_some_and(|entry| entry.usable.load().is_some())
    }

    /// When a front asked for `name` last, not later than `ASKED_WITHIN` before. `None`: it is not in the table.
    pub(super) fn asked_at(&self, name: &str) -> Option<Instant> {
        let by_name = self.by_name.load();
        let asked_ms = by_name.get(name)?.asked_ms.load(Ordering::Relaxed);
        Some(self.began + Duration::from_millis(asked_ms))
    }

    /// Sets the answer for `name` from now on. Only the task may call it: two concurrent writers would lose a name.
    ///
    /// A new name makes the table anew, which takes longer the more there are: names for which nothing is used leave it then, and not
    /// before.
    pub(super) fn set(&self, name: &Arc<str>, usable: Option<Usable>) {
        let by_name = self.by_name.load();
        let usable = usable.map(Arc::new);
        if let Some(entry) = by_name.get(name) {
            entry.usable.store(usable);
        } else if usable.is_some() {
            let entry = Entry { usable: usable.into(), asked_ms: AtomicU64::new(0) };
            let is_used = |entry: &Entry| entry.usable.load().is_some();
            let kept = by_name.iter().filter(|(_, entry)| is_used(entry));
            let mut names: HashMap<_, _> =
                kept.map(|(name, entry)| (Arc::clone(name), Arc::clone(entry))).collect();
            names.insert(Arc::clone(name), Arc::new(entry));
            self.by_name.store(Arc::new(names));
        }
    }

    fn milliseconds(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}
