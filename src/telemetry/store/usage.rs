//! Usage by API, product and subscription, counted from rows and stored by the hour.
//!
//! A session counts in the hour of its 101, a refusal in the hour of its answer. Messages and bytes count in the hour of the row that
//! tells of them: the session's end, or a progress row before it, each only for what no row before told of. Sums over all hours are
//! exact; a session that is open and makes no progress rows is not in them yet.
//!
//! The property to trust: neither a full queue nor a full disk loses counts. The observer counts rows before they go to the queue, and
//! the writer takes the counts by itself; what it cannot store, it puts back, and stores with the next ones. Rows that the rings of
//! events dropped are not counted.

use crate::observe::tables::{ConnectionRow, Ticks, UsageRow};
use crate::telemetry::sink::LogRow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, MutexGuard, PoisonError};

/// How often counts go to the store, in ticks: 10 s. A process that is killed loses so much.
const INTERVAL: i64 = 10 * Ticks::PER_SECOND;

/// Most rows of usage that wait because they cannot be stored. Beyond it, a new one is lost and counted. About 200 bytes each.
const WAITING_MAX: usize = 65_536;

const HOUR: i64 = 3600 * Ticks::PER_SECOND;

/// Most open sessions of which it is known what progress rows told. Beyond it, a session's progress counts at its end. About 150
/// bytes each.
const SESSIONS_MAX: usize = 262_144;

/// How long, in ticks, a session may have told nothing when others need its place: 10 min, or as many progress rows. The row of its
/// end was dropped then.
const SILENCE_MAX: i64 = 600 * Ticks::PER_SECOND;

/// Messages and bytes from the client and from the backend.
type Totals = [i64; 4];

/// The counts of an hour.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    sessions: i64,
    refusals: i64,
    totals: Totals,
}

/// The counts by hour, and by names that are joined by line ends, which no name has.
type CountsByKey = HashMap<(i64, String), Counts>;

/// What progress rows told of a session.
#[derive(Debug)]
struct Told {
    totals: Totals,
    at: Ticks,
}

/// Counts since they were taken last.
#[derive(Debug, Default)]
struct UsageTally {
    counts: CountsByKey,
    /// By correlation id.
    told: HashMap<String, Told>,
    /// When those of which nothing was heard for long were last looked for.
    swept_at: Option<Ticks>,
    taken_at: Option<Ticks>,
    lost: u64,
    key: String,
}

#[expect(
    clippy::disallowed_types,
    reason = "the observer and the writer of the store share the counts; either holds the lock for a moment, and never while it writes"
)]
type Lock<T> = std::sync::Mutex<T>;

/// Counts that one thread adds to, and another one stores.
#[derive(Clone, Debug, Default)]
pub struct Usage(Arc<Lock<UsageTally>>);

/// Counts that are to be stored.
#[derive(Debug)]
pub struct TakenUsage(CountsByKey);

impl Usage {
    fn lock(&self) -> MutexGuard<'_, UsageTally> {
        // Whoever panicked has ended the process.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what rows tell of.
    pub fn count(&self, rows: &[LogRow]) {
        let mut tally = self.lock();
        rows.iter().for_each(|row| tally.count(row));
    }

    /// Takes the counts, if it is time to.
    pub fn take_due(&self, now: Ticks) -> Option<TakenUsage> {
        let mut tally = self.lock();
        tally.is_due(now).then(|| tally.take(now))
    }

    /// Takes the counts, if there are any.
    pub fn take(&self, now: Ticks) -> Option<TakenUsage> {
        let mut tally = self.lock();
        (!tally.counts.is_empty()).then(|| tally.take(now))
    }

    /// Puts back what could not be stored.
    pub fn put_back(&self, taken: TakenUsage) {
        let mut tally = self.lock();
        for (key, counts) in taken.0 {
            if let Some(sum) = tally.counts_of(key) {
                sum.add(&counts);
            }
        }
    }

    /// Takes the number of rows of usage that are lost because too many wait.
    pub fn take_lost(&self) -> u64 {
        std::mem::take(&mut self.lock().lost)
    }
}

impl TakenUsage {
    /// The counts as rows.
    pub fn rows(&self) -> Vec<LogRow> {
        let row = |((hour, key), counts): (&(i64, String), &Counts)| {
            let mut names = key.split('\n').map(str::to_owned);
            let mut name = || names.next().unwrap_or_default().into();
            let [messages_from_client, messages_from_backend, bytes_from_client, bytes_from_backend] =
                counts.totals.map(Some);
            let row = UsageRow {
                time_generated: Ticks(*hour),
                api_id: name(),
                product_id: name(),
                apim_subscription_id: name(),
                sessions: Some(counts.sessions),
                refusals: Some(counts.refusals),
                messages_from_client,
                messages_from_backend,
                bytes_from_client,
                bytes_from_backend,
            };
            LogRow::from(row)
        };
        self.0.iter().map(row).collect()
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        let Self { sessions, refusals, totals } = other;
        self.sessions += sessions;
        self.refusals += refusals;
        add(&mut self.totals, *totals, [0; 4]);
    }
}

impl UsageTally {
    /// Counts what a row tells of.
    fn count(&mut self, row: &LogRow) {
        match row {
            LogRow::Gateway(row) if row.response_code != Some(101) => {
                let elapsed = row.total_time.unwrap_or(0) * (Ticks::PER_SECOND / 1000);
                let names =
                    [&row.api_id, &row.product_id, &row.apim_subscription_id].map(|name| name.as_str());
                let answered_at = Ticks(row.time_generated.0 + elapsed);
                self.change(answered_at, names, |counts| counts.refusals += 1);
            }
            LogRow::Connection(row) => self.count_event(row),
            LogRow::Gateway(_) | LogRow::Usage(_) => {}
        }
    }

    fn count_event(&mut self, row: &ConnectionRow) {
        let names = [&row.api_id, &row.product_id, &row.apim_subscription_id].map(|name| name.as_str());
        match row.event_name.as_str() {
            "established" => self.change(row.time_generated, names, |counts| counts.sessions += 1),
            "progress" => {
                let totals = totals_of(row);
                let Some(before) = self.told_before(row, totals) else { return };
                self.change(row.time_generated, names, |counts| add(&mut counts.totals, totals, before));
            }
            "terminated" => {
                let told = self.told.remove(row.correlation_id.as_str());
                let before = told.map(|told| told.totals).unwrap_or_default();
                let totals = totals_of(row);
                if totals != before {
                    self.change(row.time_generated, names, |counts| add(&mut counts.totals, totals, before));
                }
            }
            _ => {}
        }
    }

    /// What a session told before, which is these totals from here on. `None`: there is no room to know that.
    fn told_before(&mut self, row: &ConnectionRow, totals: Totals) -> Option<Totals> {
        let (id, at) = (row.correlation_id.as_str(), row.time_generated);
        if let Some(told) = self.told.get_mut(id) {
            told.at = at;
            return Some(std::mem::replace(&mut told.totals, totals));
        }
        if self.told.len() >= SESSIONS_MAX && self.swept_at.is_none_or(|swept_at| is_long_ago(swept_at, at)) {
            self.told.retain(|_, told| !is_long_ago(told.at, at));
            self.swept_at = Some(at);
        }
        if self.told.len() >= SESSIONS_MAX {
            return None;
        }
        self.told.insert(id.to_owned(), Told { totals, at });
        Some([0; 4])
    }

    fn change(&mut self, time: Ticks, names: [&str; 3], change: impl FnOnce(&mut Counts)) {
        self.key.clear();
        for name in names {
            self.key.push_str(name);
            self.key.push('\n');
        }
        let hour = time.0.div_euclid(HOUR) * HOUR;
        let key = (hour, self.key.clone());
        if let Some(counts) = self.counts_of(key) {
            change(counts);
        }
    }

    /// The counts of a key. `None`: there is no room for more keys, which is counted.
    fn counts_of(&mut self, key: (i64, String)) -> Option<&mut Counts> {
        let is_full = self.counts.len() >= WAITING_MAX;
        match self.counts.entry(key) {
            Entry::Vacant(_) if is_full => {
                self.lost += 1;
                None
            }
            entry @ (Entry::Occupied(_) | Entry::Vacant(_)) => Some(entry.or_default()),
        }
    }

    /// Whether it is time to take the counts.
    fn is_due(&self, now: Ticks) -> bool {
        let since = self.taken_at.map_or(INTERVAL, |at| now.0 - at.0);
        !self.counts.is_empty() && !(0..INTERVAL).contains(&since)
    }

    fn take(&mut self, now: Ticks) -> TakenUsage {
        self.taken_at = Some(now);
        TakenUsage(std::mem::take(&mut self.counts))
    }
}

/// Whether a time is so long ago that something which tells of itself every minute would have.
fn is_long_ago(time: Ticks, now: Ticks) -> bool {
    now.0 - time.0 >= SILENCE_MAX
}

fn totals_of(row: &ConnectionRow) -> Totals {
    [row.messages_from_client, row.messages_from_backend, row.bytes_from_client, row.bytes_from_backend]
        .map(|total| total.unwrap_or(0))
}

fn add(sums: &mut Totals, totals: Totals, before: Totals) {
    for ((sum, total), before) in sums.iter_mut().zip(totals).zip(before) {
        *sum += total - before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tables::GatewayRow;

    const TEN: i64 = 10 * HOUR;

    fn event(name: &'static str, at: i64, messages: i64) -> LogRow {
        ConnectionRow {
            time_generated: Ticks(at),
            correlation_id: "a".into(),
            event_name: name.into(),
            api_id: "chat".into(),
            product_id: "gold".into(),
            apim_subscription_id: "acme".into(),
            messages_from_client: Some(messages),
            bytes_from_backend: Some(messages * 10),
            ..ConnectionRow::default()
        }
        .into()
    }

    fn taken(tally: &mut UsageTally) -> Vec<(i64, String, [i64; 4])> {
        rows_of(&tally.take(Ticks(0)))
    }

    fn rows_of(taken: &TakenUsage) -> Vec<(i64, String, [i64; 4])> {
        let shown = |row: LogRow| {
            let LogRow::Usage(row) = row else { panic!("{row:?}") };
            let names = [&row.api_id, &row.product_id, &row.apim_subscription_id].map(|name| name.as_str());
            let counts = [row.sessions, row.refusals, row.messages_from_client, row.bytes_from_backend];
            (row.time_generated.0, names.join("/"), counts.map(Option::unwrap))
        };
        let mut rows: Vec<_> = taken.rows().into_iter().map(shown).collect();
        rows.sort();
        rows
    }

    #[test]
    fn what_is_put_back_is_added_to_what_came_meanwhile() {
        let usage = Usage::default();
        usage.count(&[event("established", TEN, 0), event("terminated", TEN, 5)]);
        let taken = usage.take_due(Ticks(TEN)).unwrap();
        usage.count(&[event("established", TEN, 0), event("established", TEN + HOUR, 0)]);
        usage.put_back(taken);
        assert!(usage.take_due(Ticks(TEN + 1)).is_none(), "it is not time yet");
        let rows = rows_of(&usage.take(Ticks(TEN + 1)).unwrap());
        let name = || "chat/gold/acme".to_owned();
        assert_eq!(rows, [(TEN, name(), [2, 0, 5, 50]), (TEN + HOUR, name(), [1, 0, 0, 0])]);
        assert!(usage.take(Ticks(TEN)).is_none());
    }

    #[test]
    fn beyond_the_rows_that_may_wait_new_ones_are_lost_and_counted_and_known_ones_go_on() {
        let usage = Usage::default();
        for hour in 0..WAITING_MAX as i64 + 2 {
            usage.count(&[event("established", hour * HOUR, 0)]);
        }
        usage.count(&[event("established", 0, 0)]);
        assert_eq!((usage.take_lost(), usage.take_lost()), (2, 0));
        let rows = rows_of(&usage.take(Ticks(0)).unwrap());
        assert_eq!((rows.len(), rows[0].2[0]), (WAITING_MAX, 2));
    }

    #[test]
    fn sessions_whose_ends_were_dropped_take_no_room_for_long() {
        let mut tally = UsageTally::default();
        let progress = |id: usize, at: i64| -> LogRow {
            let LogRow::Connection(row) = event("progress", at, 1) else { panic!("a connection's") };
            ConnectionRow { correlation_id: id.to_string().into(), ..(*row).clone() }.into()
        };
        (0..SESSIONS_MAX).for_each(|id| tally.count(&progress(id, TEN)));
        // One of them is alive.
        tally.count(&progress(7, TEN + SILENCE_MAX - 1));
        tally.count(&progress(SESSIONS_MAX, TEN + SILENCE_MAX - 1));
        assert_eq!(tally.told.len(), SESSIONS_MAX, "all of them may be alive");
        tally.count(&progress(SESSIONS_MAX + 1, TEN + 2 * SILENCE_MAX - 2));
        assert_eq!(tally.told.len(), SESSIONS_MAX, "it was looked for them just before");
        tally.count(&progress(7, TEN + 2 * SILENCE_MAX - 1));
        tally.count(&progress(SESSIONS_MAX + 2, TEN + 2 * SILENCE_MAX - 1));
        let mut left: Vec<_> = tally.told.keys().cloned().collect();
        left.sort();
        assert_eq!(left, [(SESSIONS_MAX + 2).to_string(), "7".to_owned()]);
    }

    #[test]
    fn what_progress_told_of_is_not_counted_again_at_the_end() {
        let mut tally = UsageTally::default();
        for row in [
            event("arrived", TEN, 0),
            event("established", TEN + 1, 0),
            event("progress", TEN + 2, 5),
            event("progress", TEN + HOUR, 7),
            event("terminated", TEN + HOUR + 1, 9),
        ] {
            tally.count(&row);
        }
        let name = || "chat/gold/acme".to_owned();
        assert_eq!(taken(&mut tally), [(TEN, name(), [1, 0, 5, 50]), (TEN + HOUR, name(), [0, 0, 4, 40])]);
        assert_eq!(taken(&mut tally), []);
        assert!(tally.told.is_empty());
    }

    #[test]
    fn a_refusal_counts_in_the_hour_of_its_answer_and_a_101_is_none() {
        let mut tally = UsageTally::default();
        let row = GatewayRow {
            time_generated: Ticks(TEN + HOUR - 1),
            total_time: Some(1),
            response_code: Some(429),
            api_id: "chat".into(),
            ..GatewayRow::default()
        };
        tally.count(&row.clone().into());
        tally.count(&GatewayRow { response_code: Some(101), ..row }.into());
        assert_eq!(taken(&mut tally), [(TEN + HOUR, "chat//".to_owned(), [0, 1, 0, 0])]);
    }

    #[test]
    fn counts_are_due_ten_seconds_after_they_were_taken_or_when_the_clock_was_set_back() {
        let mut tally = UsageTally::default();
        assert!(!tally.is_due(Ticks(TEN)), "there are none");
        tally.count(&event("established", TEN, 0));
        assert!(tally.is_due(Ticks(TEN)));
        tally.take(Ticks(TEN));
        tally.count(&event("established", TEN, 0));
        assert!(!tally.is_due(Ticks(TEN + INTERVAL - 1)));
        assert!(tally.is_due(Ticks(TEN + INTERVAL)) && tally.is_due(Ticks(TEN - 1)));
    }
}
