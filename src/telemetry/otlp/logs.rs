//! Rows of the log as log records (`opentelemetry/proto/logs/v1`): a record for each row, with its columns as attributes, under the
//! names that queries have for them.

use super::protobuf::Message;
use super::values::{AnyValue, Origin, any_value, attribute};
use crate::observe::tables::{ConnectionRow, GatewayRow, Value};
use crate::telemetry::sink::LogRow;

/// How much a record matters (`SeverityNumber`), and the word for it.
const INFO: (u64, &str) = (9, "INFO");
const WARN: (u64, &str) = (13, "WARN");
const ERROR: (u64, &str) = (17, "ERROR");

/// The columns that a record has elsewhere.
const TIME: &str = "TimeGenerated";
const TRACE_ID: &str = "TraceId";

/// An `ExportLogsServiceRequest` with these rows. `now_ns` is when they are sent.
pub(super) fn request<'r>(origin: &Origin, rows: impl Iterator<Item = &'r LogRow>, now_ns: u64) -> Vec<u8> {
    origin.request(|scope| {
        // log_records = 2
        rows.for_each(|row| scope.message(2, |record| write_record(record, row, now_ns)));
    })
}

fn write_record(record: &mut Message<'_>, row: &LogRow, now_ns: u64) {
    let ((severity, word), body) = match row {
        LogRow::Gateway(row) => (severity_of_opening(row), body_of_opening(row)),
        LogRow::Connection(row) => (severity_of_event(row), row.event_name.as_str().to_owned()),
        LogRow::Usage(_) => (INFO, String::new()),
    };
    // severity_number = 2, severity_text = 3, body = 5, observed_time_unix_nano = 11, event_name = 12
    record.varint(2, severity);
    record.text(3, word);
    any_value(record, 5, AnyValue::Text(&body));
    record.fixed64(11, now_ns);
    record.text(12, row.table().name);
    row.visit(&mut |column, value| {
        let value = match value {
            // time_unix_nano = 1
            Value::Datetime(ticks) if column.name == TIME => return record.fixed64(1, ticks.unix_ns()),
            // trace_id = 9
            Value::Text(id) if column.name == TRACE_ID => {
                if let Some(id) = trace_id(id) {
                    record.bytes(9, &id);
                }
                return;
            }
            Value::Null | Value::Text("") => return,
            Value::Datetime(ticks) => AnyValue::Int(i64::try_from(ticks.unix_ns()).unwrap_or(i64::MAX)),
            Value::Text(text) => AnyValue::Text(text),
            Value::Long(number) => AnyValue::Int(number),
            Value::Real(number) => AnyValue::Double(number),
            Value::Bool(is) => AnyValue::Bool(is),
            Value::Dynamic(json) => AnyValue::Json(json),
        };
        // attributes = 6
        attribute(record, 6, column.name, value);
    });
}

fn severity_of_opening(row: &GatewayRow) -> (u64, &'static str) {
    match (row.category.as_str(), row.is_request_success) {
        ("Erroneous", _) => ERROR,
        (_, Some(true)) => INFO,
        _ => WARN,
    }
}

fn severity_of_event(row: &ConnectionRow) -> (u64, &'static str) {
    if row.error.as_str().is_empty() { INFO } else { WARN }
}

/// `GET wss://gateway.example/chat 101`.
fn body_of_opening(row: &GatewayRow) -> String {
    let status = row.response_code.map(|code| code.to_string());
    let parts = [row.method.as_str(), row.url.as_str(), status.as_deref().unwrap_or(row.cause.as_str())];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

/// The 16 bytes of an id in hexadecimal digits.
fn trace_id(text: &str) -> Option<[u8; 16]> {
    let is_digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digits.then(|| u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes))?
}
