//! Members of `DateTime`, `TimeSpan` and `DayOfWeek`.

use super::number::{check, written_as};
use super::short::{BOOL, DOUBLE, INT, LONG, OBJECT, SPAN, TEXT, TIME};
use super::{Call, DateTime, Inner, Kind, Member, Raised, Run, Takes, TimeSpan, Type, method, property};
use crate::policy::date_time::{DAYS, TICKS_PER_SECOND};
use crate::policy::expression::fault::Exception;
use crate::policy::expression::run::Outcome;
use crate::policy::expression::value::Value;

const TIMES: Type = Type::Class(Kind::DateTime);
const SPANS: Type = Type::Class(Kind::TimeSpan);
const DAY: Type = Type::One(Kind::DayOfWeek);
const DAY_NAMES: Type = Type::Class(Kind::DayOfWeek);

const MILLISECOND: i64 = TICKS_PER_SECOND / 1000;
const SECOND: i64 = TICKS_PER_SECOND;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY_TICKS: i64 = 24 * HOUR;

pub(super) const MEMBERS: &[Member] = &[
    property(TIMES, "UtcNow", TIME, |run, _| Ok(Value::DateTime(run.context.now))).varies(),
    property(TIMES, "Now", TIME, |run, _| Ok(Value::DateTime(run.context.now))).varies(),
    property(TIMES, "Today", TIME, |run, _| midnight(run.context.now)).varies(),
    property(TIMES, "MinValue", TIME, |_, _| Ok(Value::DateTime(DateTime::MIN))),
    property(TIMES, "UnixEpoch", TIME, |_, _| {
        Ok(DateTime::from_unix_ticks(0).map_or(Value::Null, Value::DateTime))
    }),
    property(TIMES, "MaxValue", TIME, |_, _| Ok(Value::DateTime(DateTime::MAX))),
    method(TIMES, "Parse", &[Takes::A(TEXT)], TIME, |run, call| {
        let text = call.text(0)?;
        run.read(text.len())?;
        let wrong = || Raised::new(Exception::Format, "string was not recognized as a valid DateTime");
        DateTime::parse(text).map(Value::DateTime).ok_or_else(wrong)
    }),
    method(TIMES, "TryParse", &[Takes::A(TEXT), Takes::Out(TIME)], TIME, |run, call| {
        let Some(text) = call.text_or_null(0) else { return Ok(Value::Null) };
        run.read(text.len())?;
        Ok(DateTime::parse(text).map_or(Value::Null, Value::DateTime))
    }),
    method(TIMES, "new", &[Takes::A(INT), Takes::A(INT), Takes::A(INT)], TIME, made_of_parts),
    method(
        TIMES,
        "new",
        &[Takes::A(INT), Takes::A(INT), Takes::A(INT), Takes::A(INT), Takes::A(INT), Takes::A(INT)],
        TIME,
        made_of_parts,
    ),
    method(TIME, "ToString", &[], TEXT, |run, call| run.written(&call.on).map(Value::Text)),
    method(TIME, "ToString", &[Takes::A(TEXT)], TEXT, written_as)
        .checked(|arguments| check(&Value::DateTime(DateTime::MIN), arguments)),
    method(TIME, "ToUniversalTime", &[], TIME, |_, call| Ok(Value::DateTime(call.on_time()?.as_utc()))),
    property(TIME, "Year", INT, |_, call| Ok(Value::Int(call.on_time()?.date().0))),
    property(TIME, "Month", INT, |_, call| Ok(Value::Int(call.on_time()?.date().1))),
    property(TIME, "Day", INT, |_, call| Ok(Value::Int(call.on_time()?.date().2))),
    property(TIME, "Hour", INT, |_, call| of_day(call, HOUR, 24)),
    property(TIME, "Minute", INT, |_, call| of_day(call, MINUTE, 60)),
    property(TIME, "Second", INT, |_, call| of_day(call, SECOND, 60)),
    property(TIME, "Millisecond", INT, |_, call| of_day(call, MILLISECOND, 1000)),
    property(TIME, "Ticks", LONG, |_, call| Ok(Value::Long(call.on_time()?.ticks()))),
    property(TIME, "Date", TIME, |_, call| midnight(call.on_time()?)),
    property(TIME, "TimeOfDay", SPAN, |_, call| Ok(Value::TimeSpan(TimeSpan(call.on_time()?.time_of_day())))),
    property(TIME, "DayOfWeek", DAY, |_, call| {
        Ok(Value::Inner(Inner::DayOfWeek(call.on_time()?.day_of_week())))
    }),
    property(TIME, "DayOfYear", INT, |_, call| Ok(Value::Int(call.on_time()?.day_of_year()))),
    method(TIME, "AddDays", &[Takes::A(DOUBLE)], TIME, |_, call| later(call, DAY_TICKS)),
    method(TIME, "AddHours", &[Takes::A(DOUBLE)], TIME, |_, call| later(call, HOUR)),
    method(TIME, "AddMinutes", &[Takes::A(DOUBLE)], TIME, |_, call| later(call, MINUTE)),
    method(TIME, "AddSeconds", &[Takes::A(DOUBLE)], TIME, |_, call| later(call, SECOND)),
    method(TIME, "AddMilliseconds", &[Takes::A(DOUBLE)], TIME, |_, call| later(call, MILLISECOND)),
    method(TIME, "AddMonths", &[Takes::A(INT)], TIME, |_, call| {
        call.on_time()?.plus_months(call.int(0)?).map(Value::DateTime).ok_or_else(no_date)
    }),
    method(TIME, "AddYears", &[Takes::A(INT)], TIME, |_, call| {
        let months = call.int(0)?.checked_mul(12);
        months
            .and_then(|months| call.on_time().ok()?.plus_months(months))
            .map(Value::DateTime)
            .ok_or_else(no_date)
    }),
    method(TIME, "Add", &[Takes::A(SPAN)], TIME, |_, call| {
        call.on_time()?.plus(call.span(0)?.0).map(Value::DateTime).ok_or_else(no_date)
    }),
    method(TIME, "Subtract", &[Takes::A(TIME)], SPAN, |_, call| {
        Ok(Value::TimeSpan(TimeSpan(call.on_time()?.ticks() - call.time(0)?.ticks())))
    }),
    method(TIME, "Subtract", &[Takes::A(SPAN)], TIME, |_, call| {
        let ticks = call.span(0)?.0.checked_neg();
        ticks.and_then(|ticks| call.on_time().ok()?.plus(ticks)).map(Value::DateTime).ok_or_else(no_date)
    }),
    method(TIME, "CompareTo", &[Takes::A(TIME)], INT, |_, call| {
        Ok(Value::Int(call.on_time()?.ticks().cmp(&call.time(0)?.ticks()) as i32))
    }),
    method(TIME, "Equals", &[Takes::A(OBJECT)], BOOL, |_, call| {
        Ok(Value::Bool(call.on.equals(call.argument(0))))
    }),
    method(SPAN, "ToString", &[], TEXT, |run, call| run.written(&call.on).map(Value::Text)),
    method(SPAN, "ToString", &[Takes::A(TEXT)], TEXT, written_as)
        .checked(|arguments| check(&Value::TimeSpan(TimeSpan(0)), arguments)),
    property(SPAN, "Days", INT, |_, call| of_span(call, DAY_TICKS, i64::MAX)),
    property(SPAN, "Hours", INT, |_, call| of_span(call, HOUR, 24)),
    property(SPAN, "Minutes", INT, |_, call| of_span(call, MINUTE, 60)),
    property(SPAN, "Seconds", INT, |_, call| of_span(call, SECOND, 60)),
    property(SPAN, "Milliseconds", INT, |_, call| of_span(call, MILLISECOND, 1000)),
    property(SPAN, "Ticks", LONG, |_, call| Ok(Value::Long(call.on_span()?.0))),
    property(SPAN, "TotalDays", DOUBLE, |_, call| Ok(Value::Double(call.on_span()?.total(DAY_TICKS)))),
    property(SPAN, "TotalHours", DOUBLE, |_, call| Ok(Value::Double(call.on_span()?.total(HOUR)))),
    property(SPAN, "TotalMinutes", DOUBLE, |_, call| Ok(Value::Double(call.on_span()?.total(MINUTE)))),
    property(SPAN, "TotalSeconds", DOUBLE, |_, call| Ok(Value::Double(call.on_span()?.total(SECOND)))),
    property(SPAN, "TotalMilliseconds", DOUBLE, |_, call| {
        Ok(Value::Double(call.on_span()?.total(MILLISECOND)))
    }),
    property(SPANS, "Zero", SPAN, |_, _| Ok(Value::TimeSpan(TimeSpan(0)))),
    method(SPANS, "FromDays", &[Takes::A(DOUBLE)], SPAN, |_, call| span(call, DAY_TICKS)),
    method(SPANS, "FromHours", &[Takes::A(DOUBLE)], SPAN, |_, call| span(call, HOUR)),
    method(SPANS, "FromMinutes", &[Takes::A(DOUBLE)], SPAN, |_, call| span(call, MINUTE)),
    method(SPANS, "FromSeconds", &[Takes::A(DOUBLE)], SPAN, |_, call| span(call, SECOND)),
    method(SPANS, "FromMilliseconds", &[Takes::A(DOUBLE)], SPAN, |_, call| span(call, MILLISECOND)),
    method(SPANS, "new", &[Takes::A(INT), Takes::A(INT), Takes::A(INT)], SPAN, |_, call| {
        let units = [HOUR, MINUTE, SECOND];
        let mut ticks = Some(0i64);
        for (index, unit) in units.into_iter().enumerate() {
            let part = i64::from(call.int(index)?).checked_mul(unit);
            ticks = ticks.zip(part).and_then(|(ticks, part)| ticks.checked_add(part));
        }
        ticks.map(|ticks| Value::TimeSpan(TimeSpan(ticks))).ok_or_else(too_long)
    }),
    method(DAY, "ToString", &[], TEXT, |run, call| run.written(&call.on).map(Value::Text)),
    property(DAY_NAMES, DAYS[0], DAY, |_, _| Ok(Value::Inner(Inner::DayOfWeek(0)))),
    property(DAY_NAMES, DAYS[1], DAY, |_, _| Ok(Value::Inner(Inner::DayOfWeek(1)))),
    property(DAY_NAMES, DAYS[2], DAY, |_, _| Ok(Value::Inner(Inner::DayOfWeek(2)))),
    property(DAY_NAMES, DAYS[3], DAY, |_, _| Ok(Value::Inner(Inner::DayOfWeek(3)))),
    property(DAY_NAMES, DAYS[4], DAY, |_, _| Ok(Value::Inner(Inner::DayOfWeek(4)))),
    property(DAY_NAMES, DAYS[5], DAY, |_, _| Ok(Value::Inner(Inner::DayOfWeek(5)))),
    property(DAY_NAMES, DAYS[6], DAY, |_, _| Ok(Value::Inner(Inner::DayOfWeek(6)))),
];

fn no_date() -> Raised {
    Raised::out_of_range("the result is no date between the years 1 and 9999")
}

fn midnight(time: DateTime) -> Outcome {
    time.plus(-time.time_of_day()).map(Value::DateTime).ok_or_else(no_date)
}

fn made_of_parts(_: &mut Run<'_>, call: &Call<'_>) -> Outcome {
    let mut parts = [0; 6];
    for (index, part) in parts.iter_mut().enumerate().take(call.arguments.len()) {
        *part = call.int(index)?;
    }
    let made = DateTime::from_parts(parts, false).map(Value::DateTime);
    made.ok_or_else(|| {
        Raised::out_of_range("year, month and day, hour, minute and second describe no moment")
    })
}

fn of_day(call: &Call<'_>, unit: i64, count: i64) -> Outcome {
    Ok(Value::Int((call.on_time()?.time_of_day() / unit % count) as i32))
}

fn of_span(call: &Call<'_>, unit: i64, count: i64) -> Outcome {
    Ok(Value::Int((call.on_span()?.0 / unit % count) as i32))
}

fn later(call: &Call<'_>, unit: i64) -> Outcome {
    let span = TimeSpan::of(call.double(0)?, unit);
    span.and_then(|span| call.on_time().ok()?.plus(span.0)).map(Value::DateTime).ok_or_else(no_date)
}

fn too_long() -> Raised {
    Raised::new(Exception::Overflow, "TimeSpan overflowed because the duration is too long")
}

fn span(call: &Call<'_>, unit: i64) -> Outcome {
    TimeSpan::of(call.double(0)?, unit).map(Value::TimeSpan).ok_or_else(too_long)
}
