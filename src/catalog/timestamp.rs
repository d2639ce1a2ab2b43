//! A moment of the calendar, as files give it: RFC 3339 with its offset.
//!
//! It is a number of seconds, so that it can be compared with a given time without a calendar.
//!
//! Not here: what time it is (the shells' clocks).

use core::fmt;

use toml_datetime::{Datetime, Offset};

/// Seconds since 1970-01-01T00:00:00Z; leap seconds are not counted, and parts of a second are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The allowed form of a moment in a file, in words.
    pub const ALLOWED: &'static str =
        "a moment with its offset (rfc 3339) and without quotes, like 2030-01-31T12:00:00Z";

    /// Reads a moment with its offset (RFC 3339).
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_toml(&text.parse().ok()?)
    }

    /// Seconds since 1970-01-01T00:00:00Z; fewer than none before.
    pub fn unix_seconds(self) -> i64 {
        self.0
    }

    /// So many seconds since 1970-01-01T00:00:00Z.
    pub fn from_unix(seconds: u64) -> Self {
        Self(i64::try_from(seconds).unwrap_or(i64::MAX))
    }

    /// The moment that a TOML date-time means; `None` for a date, a time, or what has no offset. TOML has checked that
    /// the day and the time are there in the calendar.
    pub fn from_toml(given: &Datetime) -> Option<Self> {
        let (date, time, offset) = (given.date?, given.time?, given.offset?);
        let offset_minutes = match offset {
            Offset::Z => 0,
            Offset::Custom { minutes } => i64::from(minutes),
        };
        let days = days_since_1970(i64::from(date.year), i64::from(date.month), i64::from(date.day));
        let minutes = (days * 24 + i64::from(time.hour)) * 60 + i64::from(time.minute) - offset_minutes;
        Some(Self(minutes * 60 + i64::from(time.second.unwrap_or(0))))
    }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
///
/// A year is taken to begin with March, so that the day a leap year adds is its last; 400 years have 146,097 days.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, months_since_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    // The months from March on have 31, 30, 31, 30, 31 days, and again: 153 in five.
    let day_of_year = (153 * months_since_march + 2) / 5 + day - 1;
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year;
    // From 0000-03-01 to 1970-01-01.
    days - 719_468
}

impl fmt::Display for Timestamp {
    /// As RFC 3339 has it, in UTC.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0.div_euclid(86_400), self.0.rem_euclid(86_400));
        let from_march_0000 = days + 719_468;
        let (era, day_of_era) = (from_march_0000.div_euclid(146_097), from_march_0000.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let months_since_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
        let month = if months_since_march < 10 { months_since_march + 3 } else { months_since_march - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(text: &str) -> Option<Timestamp> {
        Timestamp::from_toml(&text.parse().expect("a toml date-time"))
    }

    #[test]
    fn counts_seconds_across_leap_years_centuries_and_offsets() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59Z", -1),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("2024-12-31T23:59:59.999Z", 1_735_689_599),
            ("2038-01-19T03:14:08Z", 1 << 31),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("2026-01-01T01:30:00+01:30", 1_767_225_600),
            ("2025-12-31T19:00:00-05:00", 1_767_225_600),
        ] {
            assert_eq!(timestamp(text), Some(Timestamp(seconds)), "{text}");
        }
    }

    #[test]
    fn is_told_in_utc_whatever_the_offset_was() {
        for (text, shown) in [
            ("2026-01-01T01:30:00+01:30", "2026-01-01T00:00:00Z"),
            ("2000-02-29T23:59:59Z", "2000-02-29T23:59:59Z"),
            ("2100-02-28T12:00:00Z", "2100-02-28T12:00:00Z"),
            ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(timestamp(text).expect("a moment").to_string(), shown);
        }
        for day in (0..100_000).step_by(37) {
            let moment = Timestamp(day * 86_400 + 3_661);
            assert_eq!(timestamp(&moment.to_string()), Some(moment));
        }
    }

    #[test]
    fn a_moment_needs_its_date_its_time_and_its_offset() {
        for text in ["2026-01-01", "12:00:00", "2026-01-01T12:00:00"] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }
}
