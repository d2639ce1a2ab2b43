//! Aggregates that SQLite does not have. Their state is counted, over all groups of a query, against one bound.

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;

use rusqlite::Connection;
use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use serde_json::Value as Json;

use super::{AggregateMemory, Answer, Exceeded, VALUE_BYTES_MAX, long, owned, real, scalar, text};

/// Bytes that a value in a list, a set or a row takes beside its own.
const VALUE_OVERHEAD: usize = 40;

/// What one group holds; given back when it is dropped.
struct Held {
    memory: AggregateMemory,
    bytes: u64,
}

impl Held {
    fn new(memory: &AggregateMemory) -> Self {
        Self { memory: memory.clone(), bytes: 0 }
    }

    fn take(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let bytes = bytes as u64;
        self.bytes += bytes;
        let held = self.memory.held.fetch_add(bytes, Relaxed) + bytes;
        if held > self.memory.bytes_max { Err(Exceeded::Aggregates(self.memory.bytes_max)) } else { Ok(()) }
    }

    fn give_back_all(&mut self) {
        self.memory.held.fetch_sub(self.bytes, Relaxed);
        self.bytes = 0;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back_all();
    }
}

/// What rusqlite asks of the state of an aggregate.
trait State: core::panic::UnwindSafe + core::panic::RefUnwindSafe + Send {}

impl<S: core::panic::UnwindSafe + core::panic::RefUnwindSafe + Send> State for S {}

/// An aggregate whose state one function makes, one feeds, and one ends.
struct Folding<S> {
    memory: AggregateMemory,
    start: fn(&AggregateMemory) -> S,
    step: fn(&mut S, &mut Context<'_>) -> rusqlite::Result<()>,
    end: fn(Option<S>) -> Answer,
}

impl<S: State> Aggregate<S, Value> for Folding<S> {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<S> {
        Ok((self.start)(&self.memory))
    }

    fn step(&self, context: &mut Context<'_>, state: &mut S) -> rusqlite::Result<()> {
        (self.step)(state, context)
    }

    fn finalize(&self, _: &mut Context<'_>, state: Option<S>) -> Answer {
        (self.end)(state)
    }
}

fn size(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => VALUE_OVERHEAD + bytes.len(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => VALUE_OVERHEAD,
    }
}

/// A sum of whole numbers, which wraps.
#[derive(Default)]
struct Sum(i64);

/// Mean and squares of deviations so far (Welford).
#[derive(Default)]
struct Deviation {
    count: f64,
    mean: f64,
    squares: f64,
}

#[derive(Default)]
struct Mean {
    count: i128,
    sum: i128,
}

struct Percentiles {
    wanted: Vec<f64>,
    longs: Vec<i64>,
    reals: Vec<f64>,
    held: Held,
}

struct List {
    text: String,
    count: i64,
    known: HashSet<String>,
    held: Held,
}

struct RowOf {
    best: Vec<Value>,
    held: Held,
}

pub(super) fn register(connection: &Connection, memory: &AggregateMemory) -> rusqlite::Result<()> {
    add(
        connection,
        "kql_sum",
        1,
        memory,
        |_| Sum::default(),
        |sum, context| {
            sum.0 = sum.0.wrapping_add(long(context, 0).unwrap_or(0));
            Ok(())
        },
        |sum| Ok(Value::Integer(sum.map_or(0, |sum| sum.0))),
    )?;
    add(
        connection,
        "kql_average_time",
        1,
        memory,
        |_| Mean::default(),
        |mean, context| {
            if let Some(ticks) = long(context, 0) {
                mean.count += 1;
                mean.sum += i128::from(ticks);
            }
            Ok(())
        },
        |mean| {
            let mean = mean.filter(|mean| mean.count > 0).map(|mean| (mean.sum / mean.count) as i64);
            Ok(mean.map_or(Value::Null, Value::Integer))
        },
    )?;
    add(
        connection,
        "kql_deviation",
        1,
        memory,
        |_| Deviation::default(),
        |state, context| {
            if let Some(number) = real(context, 0) {
                state.count += 1.0;
                let difference = number - state.mean;
                state.mean += difference / state.count;
                state.squares += difference * (number - state.mean);
            }
            Ok(())
        },
        |state| {
            let state = state.filter(|state| state.count > 1.0);
            Ok(Value::Real(state.map_or(0.0, |state| (state.squares / (state.count - 1.0)).sqrt())))
        },
    )?;
    add(
        connection,
        "kql_percentiles",
        -1,
        memory,
        |memory| Percentiles {
            wanted: Vec::new(),
            longs: Vec::new(),
            reals: Vec::new(),
            held: Held::new(memory),
        },
        |state, context| {
            if state.wanted.is_empty() {
                state.wanted = (1..context.len()).filter_map(|index| real(context, index)).collect();
            }
            let (longs, reals) = (state.longs.capacity(), state.reals.capacity());
            match context.get_raw(0) {
                ValueRef::Integer(number) => state.longs.push(number),
                ValueRef::Real(number) => state.reals.push(number),
                ValueRef::Null | ValueRef::Text(_) | ValueRef::Blob(_) => {}
            }
            let grown = state.longs.capacity() - longs + state.reals.capacity() - reals;
            if grown > 0 {
                state.held.take(grown * 8)?;
            }
            Ok(())
        },
        |state| {
            let Some(mut state) = state else { return Ok(Value::Null) };
            state.longs.sort_unstable();
            state.reals.sort_unstable_by(f64::total_cmp);
            let count = state.longs.len().max(state.reals.len());
            // The nearest rank: the smallest value that so many percent of all are not above.
            let ranked = state.wanted.iter().map(|wanted| {
                let rank = (wanted / 100.0 * count as f64).ceil() as usize;
                let place = rank.clamp(1, count.max(1)) - 1;
                let real = || state.reals.get(place).map_or(Value::Null, |number| Value::Real(*number));
                state.longs.get(place).map_or_else(real, |number| Value::Integer(*number))
            });
            Ok(pack(&ranked.collect::<Vec<_>>()))
        },
    )?;
    // Both take JSON.
    add(
        connection,
        "kql_list",
        2,
        memory,
        new_list,
        |list, context| match text(context, 0) {
            Some(json) => list_push(list, json, long(context, 1).unwrap_or(0)),
            None => Ok(()),
        },
        list_end,
    )?;
    add(
        connection,
        "kql_set",
        2,
        memory,
        new_list,
        |list, context| {
            let most = long(context, 1).unwrap_or(0);
            let Some(json) = text(context, 0) else { return Ok(()) };
            // Arrays are merged element by element.
            if json.starts_with('[')
                && let Ok(Json::Array(items)) = serde_json::from_str(json)
            {
                for item in items.iter().filter(|item| !item.is_null()) {
                    set_insert(list, &item.to_string(), most)?;
                }
                return Ok(());
            }
            set_insert(list, json, most)
        },
        list_end,
    )?;
    add(
        connection,
        "kql_any",
        1,
        memory,
        |memory| RowOf { best: Vec::new(), held: Held::new(memory) },
        |row, context| {
            let value = context.get_raw(0);
            let is_empty =
                |value: &Value| matches!(value, Value::Null) || *value == Value::Text(String::new());
            if row.best.first().is_none_or(is_empty) && value != ValueRef::Null {
                row.held.give_back_all();
                row.held.take(size(value))?;
                row.best = vec![owned(value)];
            }
            Ok(())
        },
        |row| Ok(row.and_then(|mut row| row.best.pop()).unwrap_or(Value::Null)),
    )?;
    add(
        connection,
        "kql_row_of_largest",
        -1,
        memory,
        new_row,
        |row, context| keep_better(row, context, core::cmp::Ordering::Greater),
        row_end,
    )?;
    add(
        connection,
        "kql_row_of_smallest",
        -1,
        memory,
        new_row,
        |row, context| keep_better(row, context, core::cmp::Ordering::Less),
        row_end,
    )?;
    scalar(connection, "kql_packed", 2, |context| {
        Ok(packed_value(context.get_raw(0), long(context, 1)).unwrap_or(Value::Null))
    })?;
    scalar(connection, "kql_packed_text", 2, |context| {
        Ok(match packed_value(context.get_raw(0), long(context, 1)) {
            None | Some(Value::Null) => Value::Text(String::new()),
            Some(value) => value,
        })
    })
}

fn add<S: State + 'static>(
    connection: &Connection,
    name: &str,
    arguments: i32,
    memory: &AggregateMemory,
    start: fn(&AggregateMemory) -> S,
    step: fn(&mut S, &mut Context<'_>) -> rusqlite::Result<()>,
    end: fn(Option<S>) -> Answer,
) -> rusqlite::Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_aggregate_function(
        name,
        arguments,
        flags,
        Folding { memory: memory.clone(), start, step, end },
    )
}

fn new_list(memory: &AggregateMemory) -> List {
    List { text: String::new(), count: 0, known: HashSet::new(), held: Held::new(memory) }
}

fn list_push(list: &mut List, json: &str, most: i64) -> rusqlite::Result<()> {
    if list.count >= most {
        return Ok(());
    }
    list.held.take(json.len() + 1)?;
    if list.text.len() + json.len() + 3 > VALUE_BYTES_MAX {
        return Err(Exceeded::Value.into());
    }
    if list.count > 0 {
        list.text.push(',');
    }
    list.text.push_str(json);
    list.count += 1;
    Ok(())
}

fn set_insert(list: &mut List, json: &str, most: i64) -> rusqlite::Result<()> {
    if list.count >= most || list.known.contains(json) {
        return Ok(());
    }
    list.held.take(json.len() + VALUE_OVERHEAD)?;
    list.known.insert(json.to_owned());
    list_push(list, json, most)
}

fn list_end(list: Option<List>) -> Answer {
    Ok(Value::Text(format!("[{}]", list.map(|list| list.text).unwrap_or_default())))
}

fn new_row(memory: &AggregateMemory) -> RowOf {
    RowOf { best: Vec::new(), held: Held::new(memory) }
}

fn compare(left: ValueRef<'_>, right: ValueRef<'_>) -> Option<core::cmp::Ordering> {
    match (left, right) {
        (ValueRef::Text(left), ValueRef::Text(right)) => Some(left.cmp(right)),
        _ => super::dynamics::compare_numbers(left, right),
    }
}

/// Keeps the row if its first value is larger, or smaller; rows in which it is null count only while there is no other.
fn keep_better(row: &mut RowOf, context: &Context<'_>, wanted: core::cmp::Ordering) -> rusqlite::Result<()> {
    let next = context.get_raw(0);
    let is_better = match row.best.first() {
        None => true,
        Some(Value::Null) => next != ValueRef::Null,
        Some(best) => compare(next, ValueRef::from(best)) == Some(wanted),
    };
    if is_better {
        row.held.give_back_all();
        let values = (0..context.len()).map(|index| context.get_raw(index));
        row.held.take(values.clone().map(size).sum())?;
        row.best = values.map(owned).collect();
    }
    Ok(())
}

fn row_end(row: Option<RowOf>) -> Answer {
    Ok(row.map_or(Value::Null, |row| pack(&row.best)))
}

/// Several values as one.
fn pack(values: &[Value]) -> Value {
    let mut bytes = Vec::new();
    for value in values {
        let (kind, content): (u8, &[u8]) = match value {
            Value::Null => (0, &[]),
            Value::Integer(number) => (1, &number.to_le_bytes()),
            Value::Real(number) => (2, &number.to_le_bytes()),
            Value::Text(text) => (3, text.as_bytes()),
            Value::Blob(blob) => (4, blob),
        };
        bytes.push(kind);
        bytes.extend_from_slice(&(content.len() as u32).to_le_bytes());
        bytes.extend_from_slice(content);
    }
    Value::Blob(bytes)
}

fn packed_value(packed: ValueRef<'_>, index: Option<i64>) -> Option<Value> {
    let ValueRef::Blob(bytes) = packed else { return None };
    unpack(bytes, usize::try_from(index?).ok()?)
}

/// One of the values that are packed.
fn unpack(mut bytes: &[u8], index: usize) -> Option<Value> {
    for _ in 0..index {
        bytes = next_packed(bytes)?.2;
    }
    let (kind, content, _) = next_packed(bytes)?;
    Some(match kind {
        1 => Value::Integer(i64::from_le_bytes(content.try_into().ok()?)),
        2 => Value::Real(f64::from_le_bytes(content.try_into().ok()?)),
        3 => Value::Text(String::from_utf8_lossy(content).into_owned()),
        4 => Value::Blob(content.to_vec()),
        _ => Value::Null,
    })
}

fn next_packed(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    Some((*kind, rest.get(..length)?, rest.get(length..)?))
}
