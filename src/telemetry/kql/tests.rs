//! Queries over a small store: their answers, their faults, their bounds.

mod answers;
mod bounds;
mod faults;
mod oracle;

use rusqlite::Connection;

use super::*;
use crate::observe::tables::{ColumnType, TABLES};

/// 2025-03-05 12:00, a Wednesday: when the queries of these tests run.
fn now() -> Ticks {
    Ticks(calendar::parse_datetime("2025-03-05T12:00:00Z").unwrap())
}

type Rows = &'static [&'static [&'static str]];

/// Rows of the tables: names of columns, then a line for each row. What is not named is empty or null.
const ROWS: &[(&str, &[&str], Rows)] = &[
    (
        "RinggateUsage",
        &[
            "TimeGenerated",
            "ApiId",
            "ProductId",
            "ApimSubscriptionId",
            "Sessions",
            "Refusals",
            "MessagesFromClient",
        ],
        &[
            &["2025-03-03T10:00:00Z", "chat", "gold", "anna", "10", "1", "100"],
            &["2025-03-03T11:00:00Z", "chat", "gold", "bert", "20", "0", ""],
            &["2025-03-03T10:00:00Z", "news", "silver", "anna", "5", "", "7"],
            &["2025-03-04T10:30:00Z", "news", "", "", "", "2", ""],
        ],
    ),
    (
        "ApiManagementGatewayLogs",
        &[
            "TimeGenerated",
            "CorrelationId",
            "ApiId",
            "OperationId",
            "Url",
            "ResponseCode",
            "IsRequestSuccess",
            "TotalTime",
            "LastErrorReason",
            "CallerIpAddress",
            "ApimSubscriptionId",
            "Errors",
            "RequestHeaders",
        ],
        &[
            &[
                "2025-03-05T11:00:00Z",
                "a",
                "chat",
                "onHandshake",
                "https://gw/chat/room_1",
                "101",
                "true",
                "12",
                "",
                "192.0.2.1",
                "anna",
                "",
                r#"{"Host":"gw","User-Agent":"curl/8","n":3}"#,
            ],
            &[
                "2025-03-05T11:01:30Z",
                "b",
                "chat",
                "onHandshake",
                "https://gw/chat/room-2",
                "101",
                "true",
                "18",
                "",
                "192.0.2.2",
                "bert",
                "[]",
                r#"{"Host":"GW","n":"5"}"#,
            ],
            &[
                "2025-03-05T11:04:59.5Z",
                "c",
                "chat",
                "onHandshake",
                "https://gw/chat",
                "401",
                "false",
                "3",
                "SubscriptionKeyNotFound",
                "192.0.2.1",
                "",
                r#"[{"source":"key","reason":"SubscriptionKeyNotFound"}]"#,
                "",
            ],
            &[
                "2025-03-05T11:05:00Z",
                "d",
                "news",
                "onHandshake",
                "https://gw/News?x=%5f",
                "502",
                "false",
                "250",
                "BackendConnectionFailure",
                "192.0.2.3",
                "bert",
                r#"[{"source":"dial","reason":"Timeout"},{"source":"dial","reason":"BackendConnectionFailure"}]"#,
                "",
            ],
            &[
                "2025-03-05T09:00:00Z",
                "e",
                "",
                "",
                "",
                "",
                "",
                "",
                "ClientConnectionFailure",
                "192.0.2.9",
                "",
                "",
                "",
            ],
        ],
    ),
    (
        "ApiManagementWebSocketConnectionLogs",
        &[
            "TimeGenerated",
            "CorrelationId",
            "EventName",
            "Source",
            "Destination",
            "Error",
            "ClientCloseCode",
            "FramesFromClient",
        ],
        &[
            &["2025-03-05T11:30:00Z", "a", "arrived", "client", "gateway", "", "", ""],
            &["2025-03-05T11:30:01Z", "a", "established", "gateway", "client", "", "", ""],
            &[
                "2025-03-05T11:31:01Z",
                "a",
                "terminated",
                "client",
                "gateway",
                "",
                "1000",
                r#"{"text":4,"close":1}"#,
            ],
            &["2025-03-05T11:40:00Z", "b", "arrived", "client", "gateway", "", "", ""],
            &[
                "2025-03-05T11:40:10.9Z",
                "b",
                "terminated",
                "backend",
                "gateway",
                "reset",
                "",
                r#"{"text":1}"#,
            ],
            &["2025-03-04T11:40:00Z", "x", "arrived", "client", "gateway", "", "", ""],
        ],
    ),
];

/// A store with these rows: a table for each of the log's, with an index on its time.
fn store() -> Connection {
    let connection = empty_store();
    for (table, names, rows) in ROWS {
        let table = TABLES.iter().find(|known| known.name == *table).unwrap();
        for row in *rows {
            assert_eq!(row.len(), names.len());
            let values = table.columns.iter().map(|column| {
                let text = names.iter().position(|name| *name == column.name).map_or("", |place| row[place]);
                match column.kind {
                    ColumnType::String => rusqlite::types::Value::Text(text.to_owned()),
                    _ if text.is_empty() => rusqlite::types::Value::Null,
                    ColumnType::Datetime => {
                        rusqlite::types::Value::Integer(calendar::parse_datetime(text).unwrap())
                    }
                    ColumnType::Int | ColumnType::Long => {
                        rusqlite::types::Value::Integer(text.parse().unwrap())
                    }
                    ColumnType::Real => rusqlite::types::Value::Real(text.parse().unwrap()),
                    ColumnType::Bool => rusqlite::types::Value::Integer(i64::from(text == "true")),
                    ColumnType::Dynamic => rusqlite::types::Value::Text(text.to_owned()),
                }
            });
            let places = vec!["?"; table.columns.len()].join(",");
            let insert = format!("INSERT INTO \"{}\" VALUES ({places})", table.name);
            connection.execute(&insert, rusqlite::params_from_iter(values)).unwrap();
        }
    }
    connection
}

fn empty_store() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    for table in TABLES {
        let columns: Vec<String> = table
            .columns
            .iter()
            .map(|column| {
                let kind = match column.kind {
                    ColumnType::String => "TEXT NOT NULL",
                    ColumnType::Real => "REAL",
                    ColumnType::Dynamic => "TEXT",
                    ColumnType::Datetime | ColumnType::Int | ColumnType::Long | ColumnType::Bool => "INTEGER",
                };
                format!("\"{}\" {kind}", column.name)
            })
            .collect();
        let name = table.name;
        connection
            .execute_batch(&format!(
                "CREATE TABLE \"{name}\" ({}); CREATE INDEX \"{name}_time\" ON \"{name}\" (TimeGenerated);",
                columns.join(", ")
            ))
            .unwrap();
    }
    connection
}

/// Makes the views that a query reads: each over one segment.
fn make_views(query: &Query, connection: &Connection) {
    for source in query.sources() {
        let view = &source.view;
        connection
            .execute_batch(&format!(
                "DROP VIEW IF EXISTS temp.\"{view}\"; CREATE TEMP VIEW \"{view}\" AS SELECT * FROM main.\"{}\"",
                source.table.name
            ))
            .unwrap();
    }
}

fn run_within(
    text: &str,
    connection: &mut Connection,
    limits: &QueryLimits,
) -> Result<Vec<Vec<String>>, RunFault> {
    let query = Query::parse(text, now()).unwrap_or_else(|fault| panic!("{text}\n{fault}"));
    make_views(&query, connection);
    let mut rows = Vec::new();
    query.run(connection, limits, &mut |cells| rows.push(cells.iter().map(shown).collect()))?;
    Ok(rows)
}

/// A cell as the table of answers has it.
fn shown(cell: &Cell<'_>) -> String {
    match cell {
        Cell::Null => "null".to_owned(),
        Cell::Bool(is) => is.to_string(),
        Cell::Long(number) => number.to_string(),
        Cell::Real(number) => format!("{number:?}"),
        Cell::Text("") => "''".to_owned(),
        Cell::Text(text) => (*text).to_owned(),
        Cell::Datetime(time) => {
            let text = datetime_text(*time);
            text.trim_end_matches('Z')
                .trim_end_matches('0')
                .trim_end_matches('.')
                .trim_end_matches(":00")
                .to_owned()
        }
        Cell::Timespan(ticks) => timespan_text(*ticks),
        Cell::Dynamic(text) => (*text).to_owned(),
    }
}
