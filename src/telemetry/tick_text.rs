//! Points in time as text: `2026-11-30T14:00:12.3456789Z`, as the Kusto query language writes them.
//!
//! Not here: other forms that queries may name.

use crate::observe::tables::Ticks;

/// Ticks of one day.
const PER_DAY: i64 = 86_400 * Ticks::PER_SECOND;

/// Days of 400 years of the Gregorian calendar.
const ERA_DAYS: i64 = 146_097;

/// Days from 0000-03-01 to 0001-01-01.
const DAYS_BEFORE_YEAR_ONE: i64 = 306;

/// Appends the time with its seven digits behind the second: always 28 bytes.
pub fn push_ticks(text: &mut Vec<u8>, ticks: Ticks) {
    let (day, of_day) = (ticks.0.div_euclid(PER_DAY), ticks.0.rem_euclid(PER_DAY));
    let (year, month, day) = date_of(day);
    let (second, fraction) = (of_day / Ticks::PER_SECOND, of_day % Ticks::PER_SECOND);
    push_digits(text, year, 4);
    for (sign, value) in
        [(b'-', month), (b'-', day), (b'T', second / 3600), (b':', second / 60 % 60), (b':', second % 60)]
    {
        text.push(sign);
        push_digits(text, value, 2);
    }
    text.push(b'.');
    push_digits(text, fraction, 7);
    text.push(b'Z');
}

/// The time as text.
pub fn ticks_text(ticks: Ticks) -> String {
    let mut text = Vec::with_capacity(28);
    push_ticks(&mut text, ticks);
    String::from_utf8(text).expect("digits and signs are UTF-8")
}

/// Reads a date, or a date and a time of UTC with up to seven digits behind the second: `2026-11-30`, `2026-11-30T14:00`,
/// `2026-11-30 14:00:12.5Z`. `None`: it is not one.
pub fn parse_ticks(text: &str) -> Option<Ticks> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, time),
        None => (text, "00:00"),
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let time = if time.len() == 5 { format!("{time}:00") } else { time.to_owned() };
    let [hour, minute, second] = numbers(&time, ':', [2, 2, 2])?;
    let is_fraction = fraction.len() <= 7 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let days = days_of(year, month, day)?;
    if !is_fraction || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction: i64 = format!("{fraction:0<7}").parse().ok()?;
    let seconds = hour * 3600 + minute * 60 + second;
    Some(Ticks(days * PER_DAY + seconds * Ticks::PER_SECOND + fraction))
}

fn numbers<const N: usize>(text: &str, sign: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(sign);
    let mut values = [0; N];
    for (value, digits) in values.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        *value = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(values)
}

fn push_digits(text: &mut Vec<u8>, value: i64, digits: u32) {
    for place in (0..digits).rev() {
        text.push(b'0' + (value / 10_i64.pow(place) % 10) as u8);
    }
}

/// Year, month and day of a day counted from 0001-01-01. The year begins in March here, so that a leap day comes last.
fn date_of(day: i64) -> (i64, i64, i64) {
    let day = day + DAYS_BEFORE_YEAR_ONE;
    let (era, of_era) = (day.div_euclid(ERA_DAYS), day.rem_euclid(ERA_DAYS));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / (ERA_DAYS - 1)) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The day from 0001-01-01 of a date from then on; `None`: there is no such date.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    if year < 1 || !(1..=12).contains(&month) || day < 1 {
        return None;
    }
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (years.div_euclid(400), years.rem_euclid(400));
    let days = era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + (153 * months + 2) / 5 + day
        - 1
        - DAYS_BEFORE_YEAR_ONE;
    (date_of(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_seven_digits_and_read_back() {
        for (ticks, text) in [
            (0, "0001-01-01T00:00:00.0000000Z"),
            (621_355_968_000_000_000, "1970-01-01T00:00:00.0000000Z"),
            (Ticks::from_unix_ns(951_782_400_000_000_000).0, "2000-02-29T00:00:00.0000000Z"),
            (Ticks::from_unix_ns(1_796_047_212_345_678_999).0, "2026-11-30T14:00:12.3456789Z"),
            // As .NET's DateTime.MaxValue.Ticks.
            (3_155_378_975_999_999_999, "9999-12-31T23:59:59.9999999Z"),
        ] {
            assert_eq!(ticks_text(Ticks(ticks)), text);
            assert_eq!(parse_ticks(text), Some(Ticks(ticks)), "{text}");
        }
    }

    #[test]
    fn every_day_of_four_hundred_years_is_read_back() {
        for day in 719_000..719_000 + ERA_DAYS {
            let (year, month, of_month) = date_of(day);
            assert_eq!(days_of(year, month, of_month), Some(day));
        }
    }

    #[test]
    fn shorter_forms_are_read_and_what_is_no_time_is_not() {
        let whole = parse_ticks("2026-11-30T14:00:00.0000000Z");
        for text in ["2026-11-30T14:00", "2026-11-30 14:00:00", "2026-11-30T14:00:00.0Z", "2026-11-30T14:00Z"]
        {
            assert_eq!(parse_ticks(text), whole, "{text}");
        }
        assert_eq!(parse_ticks("2026-11-30"), parse_ticks("2026-11-30T00:00"));
        for text in [
            "",
            "2026",
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "2026-1-1",
            "0000-01-01",
            "2026-01-01T24:00",
            "2026-01-01T00:60",
            "2026-01-01T00:00:60",
            "2026-01-01T00:00:00.12345678",
            "2026-01-01T00:00:00+01:00",
            "2026-01-01T",
            "+026-01-01",
            "2026-01-01-01",
        ] {
            assert_eq!(parse_ticks(text), None, "{text}");
        }
    }
}
