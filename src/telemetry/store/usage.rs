//! Usage by API, product and subscription, counted from rows and stored by the hour.
//!
//! A session counts in the hour of its 101, a refusal in the hour of its answer. Messages and bytes count in the hour of the row that
//! tells of them: the session's end, or a progress row before it, each only for what no row before told of. Sums over all hours are
//! exact; a session that is open and makes no progress rows is not in them yet.
//!
//! Rows that the observer or its rings dropped are not counted.

use crate::observe::tables::{ConnectionRow, Ticks, UsageRow};
use crate::telemetry::sink::LogRow;
use std::collections::HashMap;

/// How often counts go to the store, in ticks: 10 s. A process that is killed loses so much.
const INTERVAL: i64 = 10 * Ticks::PER_SECOND;

const HOUR: i64 = 3600 * Ticks::PER_SECOND;

/// Most open sessions of which it is known what progress rows told. Beyond it, a session's progress counts at its end.
const SESSIONS_MAX: usize = 262_144;

/// Messages and bytes from the client and from the backend.
type Totals = [i64; 4];

/// The counts of an hour.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    sessions: i64,
    refusals: i64,
    totals: Totals,
}

/// Counts since they were taken last.
#[derive(Debug, Default)]
pub struct UsageTally {
    /// By hour, and by names that are joined by line ends, which no name has.
    counts: HashMap<(i64, String), Counts>,
    told: HashMap<String, Totals>,
    taken_at: Option<Ticks>,
    key: String,
}

impl UsageTally {
    /// Counts what a row tells of.
    pub fn count(&mut self, row: &LogRow) {
        match row {
            LogRow::Gateway(row) if row.response_code != Some(101) => {
                let elapsed = row.total_time.unwrap_or(0) * (Ticks::PER_SECOND / 1000);
                let names =
                    [&row.api_id, &row.product_id, &row.apim_subscription_id].map(|name| name.as_str());
                self.of(Ticks(row.time_generated.0 + elapsed), names).refusals += 1;
            }
            LogRow::Connection(row) => self.count_event(row),
            LogRow::Gateway(_) | LogRow::Usage(_) => {}
        }
    }

    fn count_event(&mut self, row: &ConnectionRow) {
        let names = [&row.api_id, &row.product_id, &row.apim_subscription_id].map(|name| name.as_str());
        match row.event_name.as_str() {
            "established" => self.of(row.time_generated, names).sessions += 1,
            "progress" => {
                let (id, totals) = (row.correlation_id.as_str(), totals_of(row));
                let is_room = self.told.len() < SESSIONS_MAX;
                let before = match self.told.get_mut(id) {
                    Some(before) => std::mem::replace(before, totals),
                    None if is_room => {
                        self.told.insert(id.to_owned(), totals);
                        [0; 4]
                    }
                    None => return,
                };
                add(&mut self.of(row.time_generated, names).totals, totals, before);
            }
            "terminated" => {
                let before = self.told.remove(row.correlation_id.as_str()).unwrap_or_default();
                let totals = totals_of(row);
                if totals != before {
                    add(&mut self.of(row.time_generated, names).totals, totals, before);
                }
            }
            _ => {}
        }
    }

    fn of(&mut self, time: Ticks, names: [&str; 3]) -> &mut Counts {
        self.key.clear();
        for name in names {
            self.key.push_str(name);
            self.key.push('\n');
        }
        let hour = time.0.div_euclid(HOUR) * HOUR;
        self.counts.entry((hour, self.key.clone())).or_default()
    }

    /// Whether it is time to take the counts.
    pub fn is_due(&self, now: Ticks) -> bool {
        let since = self.taken_at.map_or(INTERVAL, |at| now.0 - at.0);
        !self.counts.is_empty() && !(0..INTERVAL).contains(&since)
    }

    /// Takes the counts as rows.
    pub fn take(&mut self, now: Ticks, mut take: impl FnMut(LogRow)) {
        self.taken_at = Some(now);
        for ((hour, key), counts) in self.counts.drain() {
            let mut names = key.split('\n').map(str::to_owned);
            let mut name = || names.next().unwrap_or_default().into();
            let [messages_from_client, messages_from_backend, bytes_from_client, bytes_from_backend] =
                counts.totals.map(Some);
            let row = UsageRow {
                time_generated: Ticks(hour),
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
            take(row.into());
        }
    }
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
        let mut rows = Vec::new();
        tally.take(Ticks(0), |row| {
            let LogRow::Usage(row) = row else { panic!("{row:?}") };
            let names = [&row.api_id, &row.product_id, &row.apim_subscription_id].map(|name| name.as_str());
            let counts = [row.sessions, row.refusals, row.messages_from_client, row.bytes_from_backend];
            rows.push((row.time_generated.0, names.join("/"), counts.map(Option::unwrap)));
        });
        rows.sort();
        rows
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
        tally.take(Ticks(TEN), drop);
        tally.count(&event("established", TEN, 0));
        assert!(!tally.is_due(Ticks(TEN + INTERVAL - 1)));
        assert!(tally.is_due(Ticks(TEN + INTERVAL)) && tally.is_due(Ticks(TEN - 1)));
    }
}
