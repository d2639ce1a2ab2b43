//! The date that a front writes into its answers.

use crate::head::HttpDate;
use rustls::pki_types::UnixTime;
use std::cell::Cell;

/// The date, written out once a second.
#[derive(Debug)]
pub(super) struct AnswerDate(Cell<HttpDate>);

impl Default for AnswerDate {
    fn default() -> Self {
        Self(Cell::new(HttpDate::from_unix(UnixTime::now().as_secs())))
    }
}

impl AnswerDate {
    /// That of this second.
    pub(super) fn now(&self) -> HttpDate {
        self.at(UnixTime::now())
    }

    fn at(&self, now: UnixTime) -> HttpDate {
        // Not only a later one: a clock may be set back.
        if self.0.get().unix_seconds() != now.as_secs() {
            self.0.set(HttpDate::from_unix(now.as_secs()));
        }
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn follows_the_clock_forwards_and_back() {
        let date = AnswerDate::default();
        for seconds in [784_111_777, 784_111_777, 784_111_778, 784_111_000] {
            let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            assert_eq!(date.at(now), HttpDate::from_unix(seconds));
        }
    }
}
