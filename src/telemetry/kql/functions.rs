//! The functions of the language where SQLite has none, or one with other rules, as functions of a connection.
//!
//! They take what SQLite hands them and never fail for it: what cannot be calculated is null. The only errors are bounds.

mod aggregates;
mod dynamics;
mod texts;
mod times;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};

/// Longest value within a query, in bytes. Over it: the query ends with a fault. SQLite is given the same limit.
pub(super) const VALUE_BYTES_MAX: usize = 16 << 20;

/// Memory that aggregates of a query hold at one time, against its bound, in bytes.
#[derive(Clone, Debug)]
pub(super) struct AggregateMemory {
    pub(super) held: Arc<AtomicU64>,
    pub(super) bytes_max: u64,
}

/// Why a function ended the query.
#[derive(Debug, thiserror::Error)]
pub(super) enum Exceeded {
    #[error("a value has more than {VALUE_BYTES_MAX} bytes")]
    Value,
    #[error("lists, sets, percentiles and rows of aggregates hold more than {0} bytes")]
    Aggregates(u64),
}

impl From<Exceeded> for rusqlite::Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::UserFunctionError(Box::new(exceeded))
    }
}

type Answer = rusqlite::Result<Value>;

/// Registers a function of a number of arguments, or of any number (-1).
fn scalar(
    connection: &Connection,
    name: &str,
    arguments: i32,
    function: impl Fn(&Context<'_>) -> Answer + Send + 'static,
) -> rusqlite::Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function(name, arguments, flags, move |context| function(context))
}

pub(super) fn register(connection: &Connection, memory: &AggregateMemory) -> rusqlite::Result<()> {
    numbers(connection)?;
    texts::register(connection)?;
    times::register(connection)?;
    dynamics::register(connection)?;
    aggregates::register(connection, memory)
}

/// The argument as text; `None` if it is null.
fn text<'c>(context: &'c Context<'_>, index: usize) -> Option<&'c str> {
    text_of(context.get_raw(index))
}

fn text_of(value: ValueRef<'_>) -> Option<&str> {
    match value {
        // A store that is damaged may hold anything.
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(str::from_utf8(bytes).unwrap_or_default()),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
    }
}

/// The argument as a whole number; `None` if it is null.
fn long(context: &Context<'_>, index: usize) -> Option<i64> {
    long_of(context.get_raw(index))
}

fn long_of(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(number) => Some(number),
        ValueRef::Real(number) => Some(number as i64),
        ValueRef::Null | ValueRef::Text(_) | ValueRef::Blob(_) => None,
    }
}

fn real(context: &Context<'_>, index: usize) -> Option<f64> {
    match context.get_raw(index) {
        ValueRef::Integer(number) => Some(number as f64),
        ValueRef::Real(number) => Some(number),
        ValueRef::Null | ValueRef::Text(_) | ValueRef::Blob(_) => None,
    }
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

/// A text that is made, if it is not too long.
fn made(text: String) -> Answer {
    if text.len() > VALUE_BYTES_MAX { Err(Exceeded::Value.into()) } else { Ok(Value::Text(text)) }
}

fn long_or_null(number: Option<i64>) -> Answer {
    Ok(number.map_or(Value::Null, Value::Integer))
}

fn real_or_null(number: Option<f64>) -> Answer {
    Ok(number.map_or(Value::Null, Value::Real))
}

fn bool_or_null(is: Option<bool>) -> Answer {
    long_or_null(is.map(i64::from))
}

/// The text of a real: with a point or an exponent.
fn real_text(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "∞" } else { "-∞" }.to_owned();
    }
    format!("{number:?}")
}

/// A function of two whole numbers.
fn of_longs(
    connection: &Connection,
    name: &str,
    calculate: impl Fn(i64, i64) -> Option<i64> + Send + 'static,
) -> rusqlite::Result<()> {
    scalar(connection, name, 2, move |context| {
        let both = long(context, 0).zip(long(context, 1));
        long_or_null(both.and_then(|(left, right)| calculate(left, right)))
    })
}

/// A function of two reals.
fn of_reals(
    connection: &Connection,
    name: &str,
    calculate: impl Fn(f64, f64) -> Option<f64> + Send + 'static,
) -> rusqlite::Result<()> {
    scalar(connection, name, 2, move |context| {
        let both = real(context, 0).zip(real(context, 1));
        real_or_null(both.and_then(|(left, right)| calculate(left, right)))
    })
}

fn numbers(connection: &Connection) -> rusqlite::Result<()> {
    of_longs(connection, "kql_add", |left, right| Some(left.wrapping_add(right)))?;
    of_longs(connection, "kql_subtract", |left, right| Some(left.wrapping_sub(right)))?;
    of_longs(connection, "kql_divide_integer", |left, right| (right != 0).then(|| left.wrapping_div(right)))?;
    of_longs(connection, "kql_modulo", |left, right| (right != 0).then(|| left.wrapping_rem_euclid(right)))?;
    of_longs(connection, "kql_bin", |value, size| {
        (size > 0).then(|| value.wrapping_sub(value.rem_euclid(size)))
    })?;
    of_reals(connection, "kql_divide", |left, right| Some(left / right))?;
    of_reals(connection, "kql_modulo_real", |left, right| Some(left.rem_euclid(right)))?;
    of_reals(connection, "kql_bin_real", |value, size| (size > 0.0).then(|| (value / size).floor() * size))?;
    // Whole numbers, or a length of time and a real.
    scalar(connection, "kql_multiply", 2, |context| match (context.get_raw(0), context.get_raw(1)) {
        (ValueRef::Integer(left), ValueRef::Integer(right)) => Ok(Value::Integer(left.wrapping_mul(right))),
        _ => long_or_null(
            real(context, 0).zip(real(context, 1)).map(|(left, right)| (left * right).round() as i64),
        ),
    })?;
    scalar(connection, "kql_abs", 1, |context| long_or_null(long(context, 0).map(i64::wrapping_abs)))?;
    scalar(connection, "kql_ceiling", 1, |context| real_or_null(real(context, 0).map(f64::ceil)))?;
    scalar(connection, "kql_round", 2, |context| {
        let Some(digits) = long(context, 1) else { return Ok(Value::Null) };
        let is_integer = matches!(context.get_raw(0), ValueRef::Integer(_));
        // More digits than a real has change nothing.
        let scale = 10_f64.powi(digits.clamp(-20, 17) as i32);
        let rounded = real(context, 0).map(|number| {
            let scaled = (number * scale).round() / scale;
            if scaled.is_finite() { scaled } else { number }
        });
        if is_integer && digits >= 0 {
            return long_or_null(long(context, 0));
        }
        if is_integer { long_or_null(rounded.map(|number| number as i64)) } else { real_or_null(rounded) }
    })?;
    scalar(connection, "kql_is_nan", 1, |_| Ok(Value::Integer(0)))?;
    scalar(connection, "kql_is_infinite", 1, |context| {
        bool_or_null(Some(real(context, 0).is_some_and(f64::is_infinite)))
    })?;
    scalar(connection, "kql_is_finite", 1, |context| {
        bool_or_null(Some(real(context, 0).is_some_and(f64::is_finite)))
    })?;
    for (name, wanted) in [("kql_equal", true), ("kql_not_equal", false)] {
        scalar(connection, name, 2, move |context| {
            let (left, right) = (context.get_raw(0), context.get_raw(1));
            let both_null = left == ValueRef::Null && right == ValueRef::Null;
            let is_same = match (left, right) {
                (ValueRef::Integer(_) | ValueRef::Real(_), ValueRef::Integer(_) | ValueRef::Real(_)) => {
                    dynamics::compare_numbers(left, right) == Some(core::cmp::Ordering::Equal)
                }
                _ => left == right,
            };
            bool_or_null((!both_null).then_some(is_same == wanted))
        })?;
    }
    for (name, wanted) in
        [("kql_least", core::cmp::Ordering::Less), ("kql_greatest", core::cmp::Ordering::Greater)]
    {
        scalar(connection, name, -1, move |context| {
            let mut best = ValueRef::Null;
            for index in 0..context.len() {
                let next = context.get_raw(index);
                let is_better =
                    best == ValueRef::Null || dynamics::compare_numbers(next, best) == Some(wanted);
                if next != ValueRef::Null && is_better {
                    best = next;
                }
            }
            Ok(owned(best))
        })?;
    }
    Ok(())
}
