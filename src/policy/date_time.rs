//! `DateTime` and `TimeSpan` as .NET has them: 100 ns ticks, the calendar, and their text in the invariant culture.
//!
//! The calendar is the `time` crate's. Nothing here reads a clock.
//!
//! Not here: time zones; what has none is taken for UTC.

use core::fmt::Write as _;

/// Ticks in a second.
pub const TICKS_PER_SECOND: i64 = 10_000_000;
const TICKS_PER_DAY: i64 = 86_400 * TICKS_PER_SECOND;
/// `DateTime.MaxValue`.
const TICKS_MAX: i64 = 3_155_378_975_999_999_999;
/// The Unix epoch.
const EPOCH_TICKS: i64 = 621_355_968_000_000_000;
/// Julian day of 0001-01-01.
const FIRST_JULIAN_DAY: i32 = 1_721_426;

/// Names of the days, from Sunday.
pub(crate) const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A date and a time of day; whether it is known to be UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    ticks: i64,
    is_utc: bool,
}

/// A length of time, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(pub i64);

impl DateTime {
    /// `DateTime.MinValue`.
    pub const MIN: Self = Self { ticks: 0, is_utc: false };
    /// `DateTime.MaxValue`.
    pub const MAX: Self = Self { ticks: TICKS_MAX, is_utc: false };

    /// So many ticks after 0001-01-01, if that is before the year 10000.
    pub fn from_ticks(ticks: i64, is_utc: bool) -> Option<Self> {
        (0..=TICKS_MAX).contains(&ticks).then_some(Self { ticks, is_utc })
    }

    /// So many ticks after 1970-01-01T00:00:00Z.
    pub fn from_unix_ticks(ticks: i64) -> Option<Self> {
        Self::from_ticks(ticks.checked_add(EPOCH_TICKS)?, true)
    }

    /// So many seconds after 1970-01-01T00:00:00Z.
    pub fn from_unix_seconds(seconds: i64) -> Option<Self> {
        Self::from_unix_ticks(seconds.checked_mul(TICKS_PER_SECOND)?)
    }

    /// That moment, in UTC; `None` for a date that there is not.
    pub(crate) fn from_parts(
        [year, month, day, hour, minute, second]: [i32; 6],
        is_utc: bool,
    ) -> Option<Self> {
        if !(1..=9999).contains(&year)
            || !(0..24).contains(&hour)
            || !(0..60).contains(&minute)
            || !(0..60).contains(&second)
        {
            return None;
        }
        let month = time::Month::try_from(u8::try_from(month).ok()?).ok()?;
        let date = time::Date::from_calendar_date(year, month, u8::try_from(day).ok()?).ok()?;
        let days = i64::from(date.to_julian_day() - FIRST_JULIAN_DAY);
        let seconds = i64::from(hour * 3600 + minute * 60 + second);
        Self::from_ticks(days * TICKS_PER_DAY + seconds * TICKS_PER_SECOND, is_utc)
    }

    /// Ticks since 0001-01-01.
    pub fn ticks(self) -> i64 {
        self.ticks
    }

    /// Ticks since 1970-01-01T00:00:00Z.
    pub fn unix_ticks(self) -> i64 {
        self.ticks - EPOCH_TICKS
    }

    /// So many ticks later, of the same kind.
    pub(crate) fn plus(self, ticks: i64) -> Option<Self> {
        Self::from_ticks(self.ticks.checked_add(ticks)?, self.is_utc)
    }

    /// The same moment, marked as UTC.
    pub(crate) fn as_utc(self) -> Self {
        Self { is_utc: true, ..self }
    }

    fn civil(self) -> time::Date {
        let day = FIRST_JULIAN_DAY + (self.ticks / TICKS_PER_DAY) as i32;
        time::Date::from_julian_day(day).unwrap_or(time::Date::MIN)
    }

    /// Year, month, day.
    pub(crate) fn date(self) -> (i32, i32, i32) {
        let date = self.civil();
        (date.year(), i32::from(u8::from(date.month())), i32::from(date.day()))
    }

    /// Day of the week, from Sunday.
    pub(crate) fn day_of_week(self) -> u8 {
        self.civil().weekday().number_days_from_sunday()
    }

    pub(crate) fn day_of_year(self) -> i32 {
        i32::from(self.civil().ordinal())
    }

    /// Ticks since midnight.
    pub(crate) fn time_of_day(self) -> i64 {
        self.ticks % TICKS_PER_DAY
    }

    /// So many months later; a day that there is not is the month's last.
    pub(crate) fn plus_months(self, months: i32) -> Option<Self> {
        let (year, month, day) = self.date();
        let months = year.checked_mul(12)?.checked_add(month - 1)?.checked_add(months)?;
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        let start = (28..=31)
            .rev()
            .find_map(|last| Self::from_parts([year, month, day.min(last), 0, 0, 0], self.is_utc));
        start?.plus(self.time_of_day())
    }

    /// As a standard or custom format of .NET asks for, in the invariant culture.
    ///
    /// # Errors
    /// The part of the format that is not supported.
    pub fn written(self, format: &str) -> Result<String, String> {
        let custom = match format {
            "" | "G" => "MM/dd/yyyy HH:mm:ss",
            "o" | "O" if self.is_utc => "yyyy-MM-ddTHH:mm:ss.fffffffZ",
            "o" | "O" => "yyyy-MM-ddTHH:mm:ss.fffffff",
            "s" => "yyyy-MM-ddTHH:mm:ss",
            "u" => "yyyy-MM-dd HH:mm:ssZ",
            "r" | "R" => "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
            "d" => "MM/dd/yyyy",
            "D" => "dddd, dd MMMM yyyy",
            "t" => "HH:mm",
            "T" => "HH:mm:ss",
            "g" => "MM/dd/yyyy HH:mm",
            "f" => "dddd, dd MMMM yyyy HH:mm",
            "F" => "dddd, dd MMMM yyyy HH:mm:ss",
            "m" | "M" => "MMMM dd",
            "y" | "Y" => "yyyy MMMM",
            one if one.chars().count() == 1 => {
                return Err(format!("'{one}' is no standard format of DateTime"));
            }
            custom => custom,
        };
        self.written_custom(custom)
    }

    fn written_custom(self, format: &str) -> Result<String, String> {
        let (year, month, day) = self.date();
        let of_day = self.time_of_day();
        let hour = (of_day / (3600 * TICKS_PER_SECOND)) as i32;
        let minute = (of_day / (60 * TICKS_PER_SECOND) % 60) as i32;
        let second = (of_day / TICKS_PER_SECOND % 60) as i32;
        let fraction = of_day % TICKS_PER_SECOND;
        let mut text = String::new();
        let mut rest = format;
        while let Some(first) = rest.chars().next() {
            let count = rest.chars().take_while(|next| *next == first).count();
            let padded = |text: &mut String, value: i32| _ = write!(text, "{value:0count$}");
            let mut taken = count * first.len_utf8();
            match (first, count) {
                ('y', 1 | 2) => padded(&mut text, year % 100),
                ('y', _) => padded(&mut text, year),
                ('M', 1 | 2) => padded(&mut text, month),
                ('M', 3) => text.push_str(&MONTHS[(month - 1) as usize][..3]),
                ('M', _) => text.push_str(MONTHS[(month - 1) as usize]),
                ('d', 1 | 2) => padded(&mut text, day),
                ('d', 3) => text.push_str(&DAYS[usize::from(self.day_of_week())][..3]),
                ('d', _) => text.push_str(DAYS[usize::from(self.day_of_week())]),
                ('H', 1 | 2) => padded(&mut text, hour),
                ('h', 1 | 2) => padded(&mut text, (hour + 11) % 12 + 1),
                ('m', 1 | 2) => padded(&mut text, minute),
                ('s', 1 | 2) => padded(&mut text, second),
                ('H' | 'h' | 'm' | 's', _) => padded_two(&mut text, first, [hour, minute, second]),
                ('t', 1) => text.push(if hour < 12 { 'A' } else { 'P' }),
                ('t', _) => text.push_str(if hour < 12 { "AM" } else { "PM" }),
                ('f', 1..=7) => {
                    let digits = format!("{fraction:07}");
                    text.push_str(&digits[..count]);
                }
                ('F', 1..=7) => {
                    let digits = format!("{fraction:07}");
                    let digits = digits[..count].trim_end_matches('0');
                    text.push_str(digits);
                    // Without a digit, the point in front of it goes too.
                    if digits.is_empty() && text.ends_with('.') {
                        text.pop();
                    }
                }
                ('K', 1) if self.is_utc => text.push('Z'),
                ('K', 1) => {}
                ('z', 1) => text.push_str("+0"),
                ('z', 2) => text.push_str("+00"),
                ('z', _) => text.push_str("+00:00"),
                ('\'' | '"', _) => {
                    let end = rest[1..].find(first).ok_or("a quote in the format has no end")?;
                    text.push_str(&rest[1..1 + end]);
                    taken = end + 2;
                }
                ('\\', _) => {
                    let next = rest[1..].chars().next().ok_or("the format ends with \\")?;
                    text.push(next);
                    taken = 1 + next.len_utf8();
                }
                // A single letter that would otherwise be a standard format: "%d".
                ('%', 1) if rest.len() > 1 => {}
                ('f' | 'F' | 'K' | '%' | 'g', _) => {
                    return Err(format!("'{}' is not supported in a format of DateTime", &rest[..taken]));
                }
                _ => text.push_str(&rest[..taken]),
            }
            rest = &rest[taken..];
        }
        Ok(text)
    }

    /// Reads ISO 8601 and the invariant culture's own format.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (date, time) = match text.find(['T', ' ']) {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, ""),
        };
        let (year, month, day) = if date.contains('-') {
            let mut parts = date.splitn(3, '-');
            (parts.next()?, parts.next()?, parts.next()?)
        } else {
            let mut parts = date.splitn(3, '/');
            let (month, day) = (parts.next()?, parts.next()?);
            (parts.next()?, month, day)
        };
        if year.len() != 4 {
            return None;
        }
        let date = [digits(year, 4)?, digits(month, 2)?, digits(day, 2)?];
        let (time, offset_minutes) = split_offset(time)?;
        let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
        let mut clock = [0; 3];
        if !time.is_empty() {
            let parts: Vec<&str> = time.split(':').collect();
            if !(2..=3).contains(&parts.len()) {
                return None;
            }
            for (value, part) in clock.iter_mut().zip(parts) {
                *value = digits(part, 2)?;
            }
        }
        let fraction_ticks = if fraction.is_empty() {
            0
        } else {
            let seven: String = fraction.chars().chain("0000000".chars()).take(7).collect();
            fraction.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
            i64::from(digits(&seven, 7)?)
        };
        let [year, month, day] = date;
        let [hour, minute, second] = clock;
        let local = Self::from_parts([year, month, day, hour, minute, second], offset_minutes.is_some())?;
        let offset_ticks = i64::from(offset_minutes.unwrap_or(0)) * 60 * TICKS_PER_SECOND;
        local.plus(fraction_ticks)?.plus(-offset_ticks)
    }
}

impl Default for DateTime {
    fn default() -> Self {
        Self::MIN
    }
}

/// More letters than a number has digits are padded to two, as .NET does it.
fn padded_two(text: &mut String, letter: char, [hour, minute, second]: [i32; 3]) {
    let value = match letter {
        'H' => hour,
        'h' => (hour + 11) % 12 + 1,
        'm' => minute,
        _ => second,
    };
    _ = write!(text, "{value:02}");
}

fn digits(text: &str, most: usize) -> Option<i32> {
    let is_number = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// A time of day without its offset, and the offset in minutes.
fn split_offset(time: &str) -> Option<(&str, Option<i32>)> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some((time, Some(0)));
    }
    let Some(at) = time.find(['+', '-']) else { return Some((time, None)) };
    let (hours, minutes) = time[at + 1..].split_once(':')?;
    let minutes = digits(hours, 2)? * 60 + digits(minutes, 2)?;
    Some((&time[..at], Some(if time[at..].starts_with('-') { -minutes } else { minutes })))
}

impl TimeSpan {
    /// As .NET's format `c` has it: `[-][d.]hh:mm:ss[.fffffff]`.
    pub(crate) fn written(self) -> String {
        let ticks = self.0.unsigned_abs();
        let seconds = ticks / TICKS_PER_SECOND as u64;
        let (days, fraction) = (seconds / 86_400, ticks % TICKS_PER_SECOND as u64);
        let mut text = String::from(if self.0 < 0 { "-" } else { "" });
        if days > 0 {
            _ = write!(text, "{days}.");
        }
        _ = write!(text, "{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        if fraction > 0 {
            _ = write!(text, ".{fraction:07}");
        }
        text
    }

    /// So many units of `unit_ticks` each; `None` if that is more than a span holds.
    pub(crate) fn of(count: f64, unit_ticks: i64) -> Option<Self> {
        let ticks = count * unit_ticks as f64;
        // Not a number is in no range either.
        (ticks.abs() < i64::MAX as f64).then_some(Self(ticks as i64))
    }

    /// How many of `unit_ticks` it is, with the fraction.
    pub(crate) fn total(self, unit_ticks: i64) -> f64 {
        self.0 as f64 / unit_ticks as f64
    }
}
