//! The Date of an answer, in the one form that is sent (RFC 9110 §5.6.7, §6.6.1): `Sun, 06 Nov 1994 08:49:37 GMT`.
//!
//! Not here: what time it is (the shells' clocks).

use core::fmt;

use time::OffsetDateTime;

/// The last second of the year 9999, behind which there is no form for a year.
const LAST: u64 = 253_402_300_799;

/// A second, written out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HttpDate {
    unix_seconds: u64,
    text: [u8; 29],
}

impl HttpDate {
    /// That of a number of seconds since 1970-01-01T00:00:00Z.
    pub fn from_unix(unix_seconds: u64) -> Self {
        let at = i64::try_from(unix_seconds.min(LAST)).ok();
        let at = at.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        let at = at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (weekday, month) = (at.weekday().to_string(), at.month().to_string());
        let written = format!(
            "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
            &weekday[..3],
            at.day(),
            &month[..3],
            at.year(),
            at.hour(),
            at.minute(),
            at.second()
        );
        let mut text = [b' '; 29];
        text.copy_from_slice(written.as_bytes());
        Self { unix_seconds, text }
    }

    /// The second that it was made of.
    pub fn unix_seconds(&self) -> u64 {
        self.unix_seconds
    }

    /// The value of the field.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

impl fmt::Display for HttpDate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(&self.text))
    }
}

impl fmt::Debug for HttpDate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_has_a_date_of_one_form() {
        for (seconds, text) in [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (LAST, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            let date = HttpDate::from_unix(seconds);
            assert_eq!((date.as_bytes(), date.to_string().as_str()), (text.as_bytes(), text));
            assert_eq!(date.unix_seconds(), seconds);
        }
        // Every month and every day of a week, in a leap year and in another.
        for day in 0..800 {
            assert_eq!(HttpDate::from_unix(1_700_000_000 + day * 86_400).as_bytes().len(), 29);
        }
    }
}
