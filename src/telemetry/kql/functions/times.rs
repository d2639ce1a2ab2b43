//! Functions of points in time and lengths of time.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::super::calendar::{self, Period};
use super::{long, long_or_null, made, scalar, text};

/// The period of a number that the checker gave it.
fn period(number: Option<i64>) -> Option<Period> {
    let name = Period::NAMES.get(usize::try_from(number?).ok()?)?;
    Period::named(name)
}

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    scalar(connection, "kql_start_of", 3, |context| {
        let start = || calendar::start_of(period(long(context, 0))?, long(context, 1)?, long(context, 2)?);
        long_or_null(start())
    })?;
    scalar(connection, "kql_datetime_diff", 3, |context| {
        let difference =
            || calendar::difference(period(long(context, 0))?, long(context, 1)?, long(context, 2)?);
        long_or_null(difference())
    })?;
    scalar(connection, "kql_day_of_week", 1, |context| {
        long_or_null(long(context, 0).and_then(calendar::day_of_week).map(|day| day * calendar::DAY))
    })?;
    scalar(connection, "kql_hour_of_day", 1, |context| {
        let ticks = long(context, 0).filter(|ticks| calendar::is_within(*ticks));
        long_or_null(ticks.map(|ticks| ticks % calendar::DAY / calendar::HOUR))
    })?;
    scalar(connection, "kql_format_datetime", 2, |context| {
        let shown = long(context, 0).zip(text(context, 1));
        made(shown.map_or_else(String::new, |(ticks, format)| calendar::format_datetime(ticks, format)))
    })?;
    scalar(connection, "kql_datetime", 1, |context| {
        Ok(text(context, 0).and_then(calendar::parse_datetime).map_or(Value::Null, Value::Integer))
    })
}
