//! Points in time and lengths of time: their text, and their arithmetic by the calendar.
//!
//! Both are counted in ticks of 100 ns; points in time from 0001-01-01 UTC, a Monday. Sinks, the store and queries write and read them
//! alike: as the Kusto query language does.

/// Ticks of a second, a minute, an hour, a day.
pub(super) const SECOND: i64 = 10_000_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// The last point in time: the end of the year 9999.
pub(super) const LAST: i64 = 3_155_378_975_999_999_999;

/// Days between 0001-01-01 and 1970-01-01.
const EPOCH_DAYS: i64 = 719_162;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Whether it is a point in time that the calendar has.
pub(super) fn is_within(ticks: i64) -> bool {
    (0..=LAST).contains(&ticks)
}

/// Days since 0001-01-01 of a date of the Gregorian calendar.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    // By years that begin in March, in eras of 400 years.
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468 + EPOCH_DAYS
}

/// Year, month and day of so many days since 0001-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days - EPOCH_DAYS + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days_of(next_year, next, 1) - days_of(year, month, 1)
}

fn ticks_of_date(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_date = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day);
    is_date.then(|| days_of(year, month, day) * DAY)
}

/// Reads a text from its start.
struct Reader<'t>(&'t str);

impl<'t> Reader<'t> {
    fn skip(&mut self, character: char) -> bool {
        let rest = self.0.strip_prefix(character);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn skip_spaces(&mut self) {
        self.0 = self.0.trim_start();
    }

    /// A number of so many digits.
    fn number(&mut self, digits_min: usize, digits_max: usize) -> Option<i64> {
        let digits = self.0.bytes().take(digits_max).take_while(u8::is_ascii_digit).count();
        if digits < digits_min {
            return None;
        }
        let (number, rest) = self.0.split_at(digits);
        self.0 = rest;
        number.parse().ok()
    }

    fn word(&mut self) -> &'t str {
        let end = self.0.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word
    }

    /// Ticks of a fraction of a second, behind its point; what is finer than a tick is dropped.
    fn fraction(&mut self) -> Option<i64> {
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let (fraction, rest) = self.0.split_at(digits);
        self.0 = rest;
        let mut ticks = 0;
        for place in 0..7 {
            ticks = ticks * 10 + fraction.as_bytes().get(place).map_or(0, |digit| i64::from(digit - b'0'));
        }
        (digits > 0).then_some(ticks)
    }

    /// `hh:mm[:ss[.fffffff]]`, in ticks.
    fn time_of_day(&mut self) -> Option<i64> {
        let hours = self.number(1, 2)?;
        if !self.skip(':') {
            return None;
        }
        let minutes = self.number(2, 2)?;
        let mut ticks = hours * HOUR + minutes * MINUTE;
        let mut seconds = 0;
        if self.skip(':') {
            seconds = self.number(2, 2)?;
            ticks += seconds * SECOND;
            if self.skip('.') {
                ticks += self.fraction()?;
            }
        }
        (hours < 24 && minutes < 60 && seconds < 60).then_some(ticks)
    }

    /// `Z`, `GMT`, `UTC`, `+01:00`, `-0530` or nothing, in ticks east of Greenwich.
    fn zone(&mut self) -> Option<i64> {
        self.skip_spaces();
        let sign = if self.skip('+') {
            1
        } else if self.skip('-') {
            -1
        } else {
            return ["", "z", "gmt", "utc", "ut"].contains(&self.word().to_lowercase().as_str()).then_some(0);
        };
        let hours = self.number(2, 2)?;
        self.skip(':');
        let minutes = self.number(2, 2)?;
        (hours <= 14 && minutes < 60).then_some(sign * (hours * HOUR + minutes * MINUTE))
    }
}

/// Reads a point in time: ISO 8601, or the forms of RFC 822 and RFC 850. Without a zone it is UTC.
pub(super) fn parse_datetime(text: &str) -> Option<i64> {
    let text = text.trim();
    parse_iso(text).or_else(|| parse_rfc(text)).filter(|ticks| is_within(*ticks))
}

/// `yyyy[-MM[-dd[(T| )hh:mm[:ss[.fffffff]][zone]]]]`.
fn parse_iso(text: &str) -> Option<i64> {
    let mut reader = Reader(text);
    let year = reader.number(4, 4)?;
    let month = if reader.skip('-') { reader.number(1, 2)? } else { 1 };
    let day = if reader.skip('-') { reader.number(1, 2)? } else { 1 };
    let mut ticks = ticks_of_date(year, month, day)?;
    if reader.skip('T') || reader.skip('t') || reader.skip(' ') {
        reader.skip_spaces();
        ticks += reader.time_of_day()?;
    }
    ticks -= reader.zone()?;
    reader.0.is_empty().then_some(ticks)
}

/// `[Sat, ]8 Nov 2014[ 15:05[:02]][ GMT]` and `Saturday, 08-Nov-14 15:05:02 UTC`.
fn parse_rfc(text: &str) -> Option<i64> {
    let mut reader = Reader(text);
    if !reader.word().is_empty() && !reader.skip(',') {
        return None;
    }
    reader.skip_spaces();
    let day = reader.number(1, 2)?;
    reader.skip('-');
    reader.skip_spaces();
    let name = reader.word().to_lowercase();
    let month = MONTHS.iter().position(|month| *month == name)? as i64 + 1;
    reader.skip('-');
    reader.skip_spaces();
    let year = reader.number(2, 4)?;
    // Two digits mean 1950 to 2049, as with .NET.
    let year = match year {
        0..50 => year + 2000,
        50..100 => year + 1900,
        _ => year,
    };
    let mut ticks = ticks_of_date(year, month, day)?;
    reader.skip_spaces();
    if reader.0.starts_with(|first: char| first.is_ascii_digit()) {
        ticks += reader.time_of_day()?;
    }
    ticks -= reader.zone()?;
    reader.0.is_empty().then_some(ticks)
}

/// Reads a length of time as in `timespan(…)`: `2` (days), `1.5h`, `15 seconds`, `[-][d.]hh:mm[:ss[.fffffff]]`.
pub(super) fn parse_timespan(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let ticks = if rest.contains(':') {
        let mut reader = Reader(rest);
        let days = match rest.split_once('.') {
            Some((days, _)) if !days.contains(':') => {
                let days = reader.number(1, 8)?;
                reader.skip('.');
                days
            }
            _ => 0,
        };
        let ticks = reader.time_of_day()?;
        reader.0.is_empty().then_some(days * DAY + ticks)?
    } else {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.');
        let (number, unit) = rest.split_at(digits.unwrap_or(rest.len()));
        let unit = unit.trim();
        ticks_of(number, if unit.is_empty() { DAY } else { unit_ticks(unit)? })?
    };
    Some(sign * ticks)
}

/// The ticks of a unit of time; a part of one for `nanosecond` does not exist.
pub(super) fn unit_ticks(unit: &str) -> Option<i64> {
    Some(match unit {
        "d" | "day" | "days" => DAY,
        "h" | "hr" | "hrs" | "hour" | "hours" => HOUR,
        "m" | "min" | "minute" | "minutes" => MINUTE,
        "s" | "sec" | "second" | "seconds" => SECOND,
        "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => SECOND / 1_000,
        "micro" | "micros" | "microsecond" | "microseconds" => 10,
        "tick" | "ticks" => 1,
        _ => return None,
    })
}

/// Ticks of a decimal number of units, exactly for whole numbers.
pub(super) fn ticks_of(number: &str, unit: i64) -> Option<i64> {
    if let Ok(whole) = number.parse::<i64>() {
        return whole.checked_mul(unit);
    }
    let ticks = (number.parse::<f64>().ok()? * unit as f64).round();
    (ticks.abs() < i64::MAX as f64).then_some(ticks as i64)
}

/// `2025-03-03T10:00:00.0000000Z`; empty outside of the calendar.
pub(super) fn datetime_text(ticks: i64) -> String {
    let mut text = Vec::with_capacity(28);
    push_datetime(&mut text, ticks);
    String::from_utf8(text).expect("digits and signs are UTF-8")
}

/// Appends `2025-03-03T10:00:00.0000000Z`, always 28 bytes; nothing outside of the calendar.
pub(super) fn push_datetime(text: &mut Vec<u8>, ticks: i64) {
    if !is_within(ticks) {
        return;
    }
    let (year, month, day) = date_of(ticks / DAY);
    push_digits(text, year, 4);
    for (sign, value) in [
        (b'-', month),
        (b'-', day),
        (b'T', ticks % DAY / HOUR),
        (b':', ticks % HOUR / MINUTE),
        (b':', ticks % MINUTE / SECOND),
    ] {
        text.push(sign);
        push_digits(text, value, 2);
    }
    text.push(b'.');
    push_digits(text, ticks % SECOND, 7);
    text.push(b'Z');
}

fn push_digits(text: &mut Vec<u8>, value: i64, digits: u32) {
    for place in (0..digits).rev() {
        text.push(b'0' + (value / 10_i64.pow(place) % 10) as u8);
    }
}

/// `[-][d.]hh:mm:ss[.fffffff]`.
pub(super) fn timespan_text(ticks: i64) -> String {
    let sign = if ticks < 0 { "-" } else { "" };
    let ticks = ticks.unsigned_abs();
    let in_units = |unit: i64| ticks / unit.unsigned_abs();
    let days = match in_units(DAY) {
        0 => String::new(),
        days => format!("{days}."),
    };
    let fraction = match ticks % SECOND.unsigned_abs() {
        0 => String::new(),
        fraction => format!(".{fraction:07}"),
    };
    let (hours, minutes, seconds) = (in_units(HOUR) % 24, in_units(MINUTE) % 60, in_units(SECOND) % 60);
    format!("{sign}{days}{hours:02}:{minutes:02}:{seconds:02}{fraction}")
}

/// A period of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Period {
    Year,
    Quarter,
    Month,
    /// From Sunday.
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
}

impl Period {
    /// The names, in the order of the variants.
    pub(super) const NAMES: [&str; 11] = [
        "year",
        "quarter",
        "month",
        "week",
        "day",
        "hour",
        "minute",
        "second",
        "millisecond",
        "microsecond",
        "nanosecond",
    ];

    const ALL: [Self; 11] = [
        Self::Year,
        Self::Quarter,
        Self::Month,
        Self::Week,
        Self::Day,
        Self::Hour,
        Self::Minute,
        Self::Second,
        Self::Millisecond,
        Self::Microsecond,
        Self::Nanosecond,
    ];

    /// The period of this name, in any case.
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let index = Self::NAMES.iter().position(|known| *known == name)?;
        Some(Self::ALL[index])
    }

    /// The number of this period that a point in time is in, counted from any beginning.
    fn ordinal(self, ticks: i64) -> i64 {
        let days = ticks.div_euclid(DAY);
        match self {
            Self::Year => date_of(days).0,
            Self::Quarter => date_of(days).0 * 4 + (date_of(days).1 - 1) / 3,
            Self::Month => date_of(days).0 * 12 + date_of(days).1 - 1,
            // 0001-01-01 is a Monday.
            Self::Week => (days + 1).div_euclid(7),
            Self::Day => days,
            Self::Hour => ticks.div_euclid(HOUR),
            Self::Minute => ticks.div_euclid(MINUTE),
            Self::Second => ticks.div_euclid(SECOND),
            Self::Millisecond => ticks.div_euclid(SECOND / 1_000),
            Self::Microsecond => ticks.div_euclid(10),
            Self::Nanosecond => ticks,
        }
    }
}

/// How many begins of the period lie between `b` and `a`. `None` outside of the calendar.
pub(super) fn difference(period: Period, a: i64, b: i64) -> Option<i64> {
    if !is_within(a) || !is_within(b) {
        return None;
    }
    let periods = period.ordinal(a) - period.ordinal(b);
    if period == Period::Nanosecond { periods.checked_mul(100) } else { Some(periods) }
}

/// The begin of the day, week, month or year that is `offset` ones behind that of a point in time.
pub(super) fn start_of(period: Period, ticks: i64, offset: i64) -> Option<i64> {
    if !is_within(ticks) {
        return None;
    }
    let days = ticks / DAY;
    let (year, month, _) = date_of(days);
    let start = match period {
        Period::Year => ticks_of_date(year.checked_add(offset)?, 1, 1)?,
        Period::Month => {
            let months = (year * 12 + month - 1).checked_add(offset)?;
            ticks_of_date(months.div_euclid(12), months.rem_euclid(12) + 1, 1)?
        }
        Period::Week => (days - (days + 1) % 7).checked_add(offset.checked_mul(7)?)?.checked_mul(DAY)?,
        Period::Quarter
        | Period::Day
        | Period::Hour
        | Period::Minute
        | Period::Second
        | Period::Millisecond
        | Period::Microsecond
        | Period::Nanosecond => days.checked_add(offset)?.checked_mul(DAY)?,
    };
    is_within(start).then_some(start)
}

/// Days since Sunday.
pub(super) fn day_of_week(ticks: i64) -> Option<i64> {
    is_within(ticks).then(|| (ticks / DAY + 1) % 7)
}

/// A part of a format for points in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FormatPart {
    Delimiter(char),
    /// A letter, and how often it stands there.
    Field(char, usize),
}

/// Reads a format of `format_datetime`.
///
/// # Errors
/// The piece that no format has.
fn format_parts(format: &str) -> Result<Vec<FormatPart>, String> {
    let mut parts = Vec::new();
    let mut characters = format.chars().peekable();
    while let Some(character) = characters.next() {
        if " /-:,._[]".contains(character) {
            parts.push(FormatPart::Delimiter(character));
            continue;
        }
        let mut count = 1;
        while characters.next_if_eq(&character).is_some() {
            count += 1;
        }
        let is_known = match character {
            'f' | 'F' => count <= 7,
            'd' | 'h' | 'H' | 'm' | 'M' | 's' => count <= 2,
            'y' => [1, 2, 4].contains(&count),
            't' => count == 2,
            _ => false,
        };
        if !is_known {
            return Err(character.to_string().repeat(count.min(10)));
        }
        parts.push(FormatPart::Field(character, count));
    }
    Ok(parts)
}

/// Whether `format_datetime` knows this format.
///
/// # Errors
/// The piece that it does not know.
pub(super) fn check_format(format: &str) -> Result<(), String> {
    format_parts(format).map(drop)
}

/// A point in time in a format of `format_datetime`; empty outside of the calendar, or if the format is not known.
pub(super) fn format_datetime(ticks: i64, format: &str) -> String {
    let (true, Ok(parts)) = (is_within(ticks), format_parts(format)) else { return String::new() };
    let (year, month, day) = date_of(ticks / DAY);
    let hour = ticks % DAY / HOUR;
    let mut text = String::with_capacity(format.len() + 8);
    for part in parts {
        let (letter, count) = match part {
            FormatPart::Delimiter(delimiter) => {
                text.push(delimiter);
                continue;
            }
            FormatPart::Field(letter, count) => (letter, count),
        };
        let number = match letter {
            'd' => day,
            'M' => month,
            'y' if count < 4 => year % 100,
            'y' => year,
            'H' => hour,
            'h' => (hour + 11) % 12 + 1,
            'm' => ticks % HOUR / MINUTE,
            's' => ticks % MINUTE / SECOND,
            't' => {
                text.push_str(if hour < 12 { "AM" } else { "PM" });
                continue;
            }
            _ => {
                let digits = &format!("{:07}", ticks % SECOND)[..count];
                // A capital `F` shows no trailing zeros.
                text.push_str(if letter == 'F' { digits.trim_end_matches('0') } else { digits });
                continue;
            }
        };
        text.push_str(&format!("{number:0count$}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_days_agree_over_the_whole_calendar() {
        for days in 0..=LAST / DAY {
            let (year, month, day) = date_of(days);
            assert_eq!(ticks_of_date(year, month, day), Some(days * DAY), "{year}-{month}-{day}");
        }
        assert_eq!(date_of(0), (1, 1, 1));
        assert_eq!(date_of(LAST / DAY), (9999, 12, 31));
        assert_eq!(ticks_of_date(1970, 1, 1), Some(621_355_968_000_000_000));
    }

    #[test]
    fn reads_points_in_time_in_every_documented_form() {
        let noon = parse_datetime("2014-11-08T15:05:02Z").unwrap();
        for text in [
            "2014-11-08 15:05:02",
            "2014-11-08T15:05:02.0000000Z",
            "2014-11-08T16:05:02+01:00",
            "Sat, 8 Nov 14 15:05:02 GMT",
            "Sat, 8 Nov 2014 15:05:02 GMT",
            "8 Nov 14 15:05:02",
            "Saturday, 08-Nov-14 15:05:02 UTC",
            "08-Nov-14 15:05:02 UTC",
        ] {
            assert_eq!(parse_datetime(text), Some(noon), "{text}");
        }
        assert_eq!(parse_datetime("2014-11"), parse_datetime("2014-11-01 00:00"));
        for text in
            ["", "x", "2014-13-01", "2014-02-30", "2014-11-08T25:00", "2014-11-08 1", "0000-01-01", "12"]
        {
            assert_eq!(parse_datetime(text), None, "{text}");
        }
    }

    #[test]
    fn a_point_in_time_and_its_text_round_trip() {
        for (ticks, text) in [
            (0, "0001-01-01T00:00:00.0000000Z"),
            (1, "0001-01-01T00:00:00.0000001Z"),
            (621_355_968_000_000_000, "1970-01-01T00:00:00.0000000Z"),
            (630_873_792_000_000_000, "2000-02-29T00:00:00.0000000Z"),
            (639_316_440_123_456_789, "2026-11-30T14:00:12.3456789Z"),
            // As .NET's DateTime.MaxValue.Ticks.
            (LAST, "9999-12-31T23:59:59.9999999Z"),
        ] {
            assert_eq!(datetime_text(ticks), text);
            assert_eq!(parse_datetime(text), Some(ticks), "{text}");
        }
        assert_eq!(datetime_text(-1), "");
        assert_eq!(datetime_text(LAST + 1), "");
    }

    #[test]
    fn a_length_of_time_and_its_text_round_trip() {
        for ticks in [0, 1, -1, SECOND, 90 * SECOND, DAY + 2 * HOUR + 3 * MINUTE + 45 * SECOND / 10, -DAY] {
            assert_eq!(parse_timespan(&timespan_text(ticks)), Some(ticks), "{ticks}");
        }
        assert_eq!(timespan_text(90 * SECOND), "00:01:30");
        assert_eq!(timespan_text(i64::MIN), "-10675199.02:48:05.4775808");
    }
}
