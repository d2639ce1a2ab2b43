//! Functions of dynamic values, which are JSON as text, and of conversions between types.

use core::cmp::Ordering;

use rusqlite::Connection;
use rusqlite::functions::Context;
use rusqlite::types::{Value, ValueRef};
use serde_json::Value as Json;

use super::super::calendar;
use super::super::text_match;
use super::super::types::Type;
use super::{
    Answer, Exceeded, VALUE_BYTES_MAX, bool_or_null, long, long_of, long_or_null, made, real_or_null,
    real_text, scalar, text, text_of,
};

/// The JSON of an argument; `None` if it is null. Text that is no JSON is taken as a string.
fn json(context: &Context<'_>, index: usize) -> Option<Json> {
    json_of(text(context, index)?)
}

fn json_of(text: &str) -> Option<Json> {
    match serde_json::from_str(text) {
        Ok(Json::Null) => None,
        Ok(json) => Some(json),
        Err(_) => Some(Json::from(text)),
    }
}

/// A dynamic value for SQL: null is SQL's.
fn dynamic(json: Option<&Json>) -> Answer {
    match json {
        None | Some(Json::Null) => Ok(Value::Null),
        Some(json) => made(json.to_string()),
    }
}

/// The bare text of a dynamic value.
fn plain_text(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

/// Numbers by their value, whether whole or not.
pub(super) fn compare_numbers(left: ValueRef<'_>, right: ValueRef<'_>) -> Option<Ordering> {
    match (left, right) {
        (ValueRef::Integer(left), ValueRef::Integer(right)) => Some(left.cmp(&right)),
        (ValueRef::Integer(left), ValueRef::Real(right)) => (left as f64).partial_cmp(&right),
        (ValueRef::Real(left), ValueRef::Integer(right)) => left.partial_cmp(&(right as f64)),
        (ValueRef::Real(left), ValueRef::Real(right)) => left.partial_cmp(&right),
        _ => None,
    }
}

/// A value of SQL, of a type, as JSON.
fn to_json(kind: &str, value: ValueRef<'_>) -> Option<Json> {
    Some(match (kind, value) {
        (_, ValueRef::Null) => return None,
        ("bool", value) => Json::from(long_of(value)? != 0),
        ("datetime", value) => Json::from(calendar::datetime_text(long_of(value)?)),
        ("timespan", value) => Json::from(calendar::timespan_text(long_of(value)?)),
        ("dynamic", value) => return json_of(text_of(value)?),
        (_, ValueRef::Integer(number)) => Json::from(number),
        (_, ValueRef::Real(number)) => Json::from(number),
        (_, value) => Json::from(text_of(value)?),
    })
}

/// Converts to a type as `tolong` and its like do: what cannot be is null.
fn convert(to: Type, json: &Json) -> Value {
    let of_text = |text: &str| {
        let text = text.trim();
        match to {
            Type::Bool => match text.to_ascii_lowercase().as_str() {
                "true" => Some(Value::Integer(1)),
                "false" => Some(Value::Integer(0)),
                number => number.parse::<i64>().ok().map(|number| Value::Integer(i64::from(number != 0))),
            },
            Type::Int => integer(text)
                .and_then(|number| i32::try_from(number).ok())
                .map(|number| Value::Integer(number.into())),
            Type::Long => integer(text).map(Value::Integer),
            Type::Real => number(text).map(Value::Real),
            Type::Datetime => calendar::parse_datetime(text).map(Value::Integer),
            Type::Timespan => calendar::parse_timespan(text).map(Value::Integer),
            Type::String | Type::Dynamic => Some(Value::Text(text.to_owned())),
        }
    };
    let converted = match (json, to) {
        (Json::String(text), _) => of_text(text),
        (Json::Bool(is), Type::Bool | Type::Int | Type::Long) => Some(Value::Integer(i64::from(*is))),
        (Json::Bool(is), Type::Real) => Some(Value::Real(f64::from(u8::from(*is)))),
        (Json::Number(number), _) => of_number(to, number),
        _ => None,
    };
    converted.unwrap_or(Value::Null)
}

fn integer(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(u64::cast_signed),
        None => text.parse().ok(),
    }
}

fn number(text: &str) -> Option<f64> {
    let is_number = text.bytes().all(|byte| b"0123456789.eE+-".contains(&byte));
    text.parse().ok().filter(|_| is_number)
}

fn of_number(to: Type, number: &serde_json::Number) -> Option<Value> {
    let real = number.as_f64()?;
    let whole = number.as_i64();
    Some(match to {
        Type::Bool => Value::Integer(i64::from(real != 0.0)),
        // A whole number wraps to 32 bits, a real is cut off at the ends.
        Type::Int => Value::Integer(whole.map_or(i64::from(real as i32), |whole| i64::from(whole as i32))),
        Type::Long => Value::Integer(whole.unwrap_or(real as i64)),
        Type::Real => Value::Real(real),
        Type::Datetime => Value::Integer(whole.filter(|ticks| calendar::is_within(*ticks))?),
        Type::Timespan => Value::Integer(whole?),
        Type::String | Type::Dynamic => return None,
    })
}

/// An element of an array by its place, or of an object by its key.
fn element<'j>(json: &'j Json, index: ValueRef<'_>) -> Option<&'j Json> {
    match (json, index) {
        (Json::Array(items), ValueRef::Integer(index)) => {
            let place = if index < 0 { (items.len() as i64).checked_add(index)? } else { index };
            items.get(usize::try_from(place).ok()?)
        }
        (Json::Object(fields), index) => fields.get(text_of(index)?),
        _ => None,
    }
}

fn same_json(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        _ => left == right,
    }
}

/// The text of JSON in which equal values have equal texts.
fn canonical(json: &Json) -> Json {
    match json {
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (None, Some(real)) if real.fract() == 0.0 && real.abs() < 9e15 => Json::from(real as i64),
            _ => json.clone(),
        },
        Json::Array(items) => Json::Array(items.iter().map(canonical).collect()),
        Json::Object(fields) => {
            Json::Object(fields.iter().map(|(key, value)| (key.clone(), canonical(value))).collect())
        }
        Json::Null | Json::Bool(_) | Json::String(_) => json.clone(),
    }
}

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    conversions(connection)?;
    scalar(connection, "kql_element", 2, |context| {
        let json = json(context, 0);
        dynamic(json.as_ref().and_then(|json| element(json, context.get_raw(1))))
    })?;
    scalar(connection, "kql_canonical", 1, |context| {
        dynamic(json(context, 0).as_ref().map(canonical).as_ref())
    })?;
    scalar(connection, "kql_compare_dynamic", 2, |context| {
        let numbers = || {
            let (left, right) = (json(context, 0)?.as_f64()?, json(context, 1)?.as_f64()?);
            left.partial_cmp(&right)
        };
        long_or_null(numbers().map(|order| order as i64))
    })?;
    scalar(connection, "kql_dynamic_arithmetic", 3, |context| {
        let calculated = || {
            let (left, right) = (json(context, 1)?, json(context, 2)?);
            calculate(text(context, 0)?, &left, &right)
        };
        dynamic(calculated().as_ref())
    })?;
    scalar(connection, "kql_in_array", 2, |context| {
        let found = json(context, 0).zip(json(context, 1)).is_some_and(|(value, list)| match list {
            Json::Array(items) => items.iter().any(|item| same_json(item, &value)),
            other => same_json(&other, &value),
        });
        bool_or_null(Some(found))
    })?;
    scalar(connection, "kql_in_array_ignoring_case", 2, |context| {
        let found = json(context, 0).zip(json(context, 1)).is_some_and(|(value, list)| {
            let value = plain_text(&value);
            let is_same = |item: &Json| text_match::is_same(&plain_text(item), &value);
            match &list {
                Json::Array(items) => items.iter().any(is_same),
                other => is_same(other),
            }
        });
        bool_or_null(Some(found))
    })?;
    scalar(connection, "kql_has_any", 2, |context| {
        let source = text(context, 0);
        let found = source.zip(json(context, 1)).is_some_and(|(source, list)| {
            let has = |item: &Json| text_match::has(source, &plain_text(item), true);
            match &list {
                Json::Array(items) => items.iter().any(has),
                other => has(other),
            }
        });
        bool_or_null(Some(found))
    })?;
    scalar(connection, "kql_dynamic_is_empty", 1, |context| {
        let is_empty = json(context, 0).is_none_or(|json| json.as_str().is_some_and(str::is_empty));
        bool_or_null(Some(is_empty))
    })?;
    scalar(connection, "kql_array_length", 1, |context| {
        long_or_null(json(context, 0).and_then(|json| json.as_array().map(|items| items.len() as i64)))
    })?;
    scalar(connection, "kql_bag_keys", 1, |context| {
        let keys = json(context, 0).and_then(|json| {
            let keys = json.as_object()?.keys();
            Some(keys.cloned().map(Json::String).collect::<Json>())
        });
        dynamic(keys.as_ref())
    })?;
    scalar(connection, "kql_rows", -1, rows)?;
    scalar(connection, "kql_cell", 3, |context| {
        let cell = json(context, 0);
        let place = long(context, 1).unwrap_or(0);
        let cell = cell
            .as_ref()
            .and_then(|row| element(row, ValueRef::Integer(place)))
            .filter(|cell| !cell.is_null());
        match text(context, 2).unwrap_or_default() {
            "" | "dynamic" => dynamic(cell),
            "string" => made(cell.map_or_else(String::new, plain_text)),
            // This casts, it does not parse.
            cast => Ok(match (Type::named(cast), cell) {
                (Some(Type::Datetime | Type::Timespan), Some(cell @ Json::String(_)))
                | (Some(Type::Bool), Some(cell @ Json::Bool(_)))
                | (Some(Type::Int | Type::Long | Type::Real), Some(cell @ Json::Number(_))) => {
                    convert(Type::named(cast).unwrap_or(Type::Dynamic), cell)
                }
                _ => Value::Null,
            }),
        }
    })
}

/// `kql_rows(as_arrays, limit, value, …)`: the rows that values expand to, as an array of arrays with an element of each.
fn rows(context: &Context<'_>) -> Answer {
    let as_arrays = long(context, 0) == Some(1);
    let limit = usize::try_from(long(context, 1).unwrap_or(0)).unwrap_or(0);
    let mut columns: Vec<Vec<Json>> = Vec::new();
    for index in 2..context.len() {
        columns.push(match json(context, index) {
            None => vec![Json::Null],
            Some(Json::Array(items)) => items,
            Some(Json::Object(fields)) => {
                let item = |(key, value)| {
                    if as_arrays {
                        Json::from(vec![Json::String(key), value])
                    } else {
                        Json::Object([(key, value)].into_iter().collect())
                    }
                };
                fields.into_iter().map(item).collect()
            }
            Some(other) => vec![other],
        });
    }
    let count = columns.iter().map(Vec::len).max().unwrap_or(0).min(limit);
    let mut text = String::from("[");
    for row in 0..count {
        text.push_str(if row == 0 { "[" } else { ",[" });
        for (place, column) in columns.iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            text.push_str(&column.get(row).unwrap_or(&Json::Null).to_string());
        }
        text.push(']');
        if text.len() > VALUE_BYTES_MAX {
            return Err(Exceeded::Value.into());
        }
    }
    text.push(']');
    made(text)
}

fn calculate(sign: &str, left: &Json, right: &Json) -> Option<Json> {
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64()) {
        let whole = match sign {
            "+" => Some(left.wrapping_add(right)),
            "-" => Some(left.wrapping_sub(right)),
            "*" => Some(left.wrapping_mul(right)),
            "/" => (right != 0).then(|| left.wrapping_div(right)),
            _ => (right != 0).then(|| left.wrapping_rem_euclid(right)),
        };
        return whole.map(Json::from);
    }
    let (left, right) = (left.as_f64()?, right.as_f64()?);
    let real = match sign {
        "+" => left + right,
        "-" => left - right,
        "*" => left * right,
        "/" => left / right,
        _ => left.rem_euclid(right),
    };
    Some(Json::from(real))
}

fn conversions(connection: &Connection) -> rusqlite::Result<()> {
    scalar(connection, "kql_text_of_real", 1, |context| {
        made(super::real(context, 0).map_or_else(String::new, real_text))
    })?;
    scalar(connection, "kql_text_of_bool", 1, |context| {
        made(long(context, 0).map_or("", |is| if is == 0 { "False" } else { "True" }).to_owned())
    })?;
    scalar(connection, "kql_text_of_datetime", 1, |context| {
        made(long(context, 0).map_or_else(String::new, calendar::datetime_text))
    })?;
    scalar(connection, "kql_text_of_timespan", 1, |context| {
        made(long(context, 0).map_or_else(String::new, calendar::timespan_text))
    })?;
    scalar(connection, "kql_text_of_dynamic", 1, |context| {
        made(json(context, 0).as_ref().map_or_else(String::new, plain_text))
    })?;
    // The same, and a null stays one.
    scalar(connection, "kql_dynamic_text", 1, |context| {
        json(context, 0).as_ref().map_or(Ok(Value::Null), |json| made(plain_text(json)))
    })?;
    scalar(connection, "kql_dynamic", 2, |context| {
        dynamic(to_json(text(context, 0).unwrap_or_default(), context.get_raw(1)).as_ref())
    })?;
    scalar(connection, "kql_parse_json", 1, |context| {
        let parsed = text(context, 0).filter(|text| !text.trim().is_empty()).and_then(json_of);
        dynamic(parsed.as_ref())
    })?;
    for (name, to) in [
        ("kql_dynamic_bool", Type::Bool),
        ("kql_dynamic_real", Type::Real),
        ("kql_dynamic_datetime", Type::Datetime),
        ("kql_dynamic_timespan", Type::Timespan),
    ] {
        scalar(connection, name, 1, move |context| {
            Ok(json(context, 0).map_or(Value::Null, |json| convert(to, &json)))
        })?;
    }
    // A number as it is, for comparisons with whole numbers.
    scalar(connection, "kql_dynamic_number", 1, |context| {
        let json = json(context, 0);
        match &json {
            Some(Json::Number(number)) => match number.as_i64() {
                Some(whole) => long_or_null(Some(whole)),
                None => real_or_null(number.as_f64()),
            },
            Some(other) => Ok(convert(Type::Long, other)),
            None => Ok(Value::Null),
        }
    })?;
    // `kql_convert(to, from, value)`.
    scalar(connection, "kql_convert", 3, |context| {
        let Some(to) = text(context, 0).and_then(Type::named) else { return Ok(Value::Null) };
        let from = text(context, 1).unwrap_or_default();
        let json = match (from, context.get_raw(2)) {
            // JSON has no infinity.
            ("real", ValueRef::Real(number)) if to.is_integer() => {
                return long_or_null(Some(if to == Type::Int {
                    i64::from(number as i32)
                } else {
                    number as i64
                }));
            }
            ("timespan" | "datetime", ValueRef::Integer(ticks)) => Some(Json::from(ticks)),
            (_, value) => to_json(from, value),
        };
        Ok(json.map_or(Value::Null, |json| convert(to, &json)))
    })
}
