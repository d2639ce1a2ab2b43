//! A row as a line of JSON: an object with the table's name as `Type`, and a member for each column that is not empty.
//!
//! Times are text with seven digits behind the second, dynamic columns are JSON within JSON. A column that is absent is null, or an
//! empty string.
//!
//! Not here: reading such lines (`store::json_lines`).

use crate::observe::tables::{Column, Table, Value};
use crate::telemetry::calendar::push_datetime;
use crate::telemetry::sink::LogRow;
use std::io::Write as _;

/// Appends the row as a line, with its end.
pub fn push_json_line(line: &mut Vec<u8>, row: &LogRow) {
    begin(line, row.table());
    row.visit(&mut |column, value| push_member(line, column, value));
    line.extend_from_slice(b"}\n");
}

/// Appends the line of a row whose values are these.
pub fn push_line_of<'v>(
    line: &mut Vec<u8>,
    table: &Table,
    values: impl IntoIterator<Item = (&'static Column, Value<'v>)>,
) {
    begin(line, table);
    values.into_iter().for_each(|(column, value)| push_member(line, column, value));
    line.extend_from_slice(b"}\n");
}

fn begin(line: &mut Vec<u8>, table: &Table) {
    line.extend_from_slice(b"{\"Type\":");
    push_text(line, table.name);
}

fn push_member(line: &mut Vec<u8>, column: &Column, value: Value<'_>) {
    if !matches!(value, Value::Null | Value::Text("")) {
        line.push(b',');
        push_text(line, column.name);
        line.push(b':');
        push_value(line, value);
    }
}

/// Appends a value as JSON.
pub fn push_value(text: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Null => text.extend_from_slice(b"null"),
        Value::Datetime(ticks) => {
            text.push(b'"');
            push_datetime(text, ticks.0);
            text.push(b'"');
        }
        Value::Text(value) => push_text(text, value),
        Value::Long(value) => write!(text, "{value}").expect("writing to a vector does not fail"),
        Value::Real(value) if value.is_finite() => {
            serde_json::to_writer(text, &value).expect("writing to a vector does not fail");
        }
        // JSON has no infinity, and nothing that is no number.
        Value::Real(_) => text.extend_from_slice(b"null"),
        Value::Bool(value) => text.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Dynamic(json) => text.extend_from_slice(json.as_bytes()),
    }
}

/// Appends text in quotes.
pub fn push_text(text: &mut Vec<u8>, value: &str) {
    serde_json::to_writer(text, value).expect("writing to a vector does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tables::{ConnectionRow, Json, Ticks};

    #[test]
    fn a_line_has_the_columns_that_are_not_empty_and_is_json() {
        let row = ConnectionRow {
            time_generated: Ticks::from_unix_ns(1_796_047_212_000_000_000),
            correlation_id: "0f3c".into(),
            error: "a \"quoted\"\nline".into(),
            client_close_code: Some(1000),
            frames_from_client: Json(Some("{\"text\":2}".to_owned())),
            ..ConnectionRow::default()
        };
        let mut line = Vec::new();
        push_json_line(&mut line, &row.into());
        let text = String::from_utf8(line).unwrap();
        assert_eq!(
            text,
            "{\"Type\":\"ApiManagementWebSocketConnectionLogs\",\"TimeGenerated\":\"2026-11-30T14:00:12.0000000Z\",\
             \"CorrelationId\":\"0f3c\",\"Error\":\"a \\\"quoted\\\"\\nline\",\"ClientCloseCode\":1000,\
             \"FramesFromClient\":{\"text\":2}}\n"
        );
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
    }

    #[test]
    fn what_json_cannot_hold_is_null() {
        let shown = |value| {
            let mut text = Vec::new();
            push_value(&mut text, value);
            String::from_utf8(text).unwrap()
        };
        assert_eq!(shown(Value::Real(f64::NAN)), "null");
        assert_eq!(shown(Value::Real(f64::INFINITY)), "null");
        assert_eq!(shown(Value::Real(1.5)), "1.5");
        assert_eq!(shown(Value::Bool(true)), "true");
    }
}
