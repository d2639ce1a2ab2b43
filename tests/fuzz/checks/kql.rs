//! Queries over the log: any text is refused with a place or becomes a query, whose SQL prepares and runs on an empty and on a small
//! store, and ends in time.

use ringgate::observe::tables::{ColumnType, TABLES, Ticks};
use ringgate::telemetry::kql::{Cell, Query, QueryLimits, RunFault, Type};
use rusqlite::Connection;
use rusqlite::types::Value;
use std::time::Duration;

/// `input` is the text of a query.
pub fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let query = match Query::parse(text, Ticks(638_767_872_000_000_000)) {
        Ok(query) => query,
        Err(fault) => {
            assert!(fault.line >= 1 && fault.column >= 1, "{fault:?}");
            assert!(!fault.reason.is_empty(), "refused, and no reason given");
            assert!(!fault.to_string().contains(char::is_control), "one fault is one line: {fault:?}");
            return;
        }
    };
    let limits =
        QueryLimits { time: Duration::from_secs(2), rows: 1_000, bytes: 1 << 20, aggregate_bytes: 1 << 20 };
    for rows in [0, 3] {
        let mut connection = store(rows);
        for source in query.sources() {
            let (view, table) = (&source.view, source.table.name);
            connection
                .execute_batch(&format!("CREATE TEMP VIEW \"{view}\" AS SELECT * FROM main.\"{table}\""))
                .expect("a view can be made");
        }
        let ended = query.run(&mut connection, &limits, &mut |cells| {
            assert_eq!(cells.len(), query.columns().len());
            for (cell, column) in cells.iter().zip(query.columns()) {
                check_cell(cell, column.kind);
            }
        });
        if let Err(RunFault::Store(error)) = ended {
            panic!("{error}\n{text}\n{}", query.sql());
        }
    }
}

fn check_cell(cell: &Cell<'_>, kind: Type) {
    let is_of_its_type = match cell {
        Cell::Null => kind != Type::String,
        Cell::Bool(_) => kind == Type::Bool,
        Cell::Long(_) => matches!(kind, Type::Int | Type::Long),
        Cell::Real(_) => kind == Type::Real,
        Cell::Text(_) => kind == Type::String,
        Cell::Datetime(_) => kind == Type::Datetime,
        Cell::Timespan(_) => kind == Type::Timespan,
        Cell::Dynamic(json) => {
            assert!(serde_json::from_str::<serde_json::Value>(json).is_ok(), "{json}");
            kind == Type::Dynamic
        }
    };
    assert!(is_of_its_type, "{cell:?} in a column of {kind}");
}

/// A store with so many rows in each table: the first with small values, the second with nulls, the third with large ones.
fn store(rows: usize) -> Connection {
    let connection = Connection::open_in_memory().expect("a store in memory");
    for table in TABLES {
        let columns: Vec<String> =
            table.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
        connection
            .execute_batch(&format!("CREATE TABLE \"{}\" ({})", table.name, columns.join(", ")))
            .expect("a table can be made");
        for row in 0..rows {
            let values = table.columns.iter().enumerate().map(|(place, column)| match (column.kind, row) {
                (ColumnType::String, 0) => Value::Text("a b-1".to_owned()),
                (ColumnType::String, 1) => Value::Text(String::new()),
                (ColumnType::String, _) => Value::Text("Größe \u{1f600} https://x/y?z=%5f".to_owned()),
                (ColumnType::Datetime, _) => {
                    Value::Integer(638_767_872_000_000_000 - (row * 36_000_000_000) as i64)
                }
                (_, 1) => Value::Null,
                (ColumnType::Real, _) => Value::Real(1.5),
                (ColumnType::Bool, _) => Value::Integer(1),
                (ColumnType::Dynamic, 0) => Value::Text("{\"a\":[1,2.5,\"x\",null,{\"b\":true}]}".to_owned()),
                (ColumnType::Dynamic, _) => Value::Text("[]".to_owned()),
                (ColumnType::Int, 0) | (ColumnType::Long, 0) => Value::Integer(place as i64),
                (ColumnType::Int, _) => Value::Integer(i64::from(i32::MIN)),
                (ColumnType::Long, _) => Value::Integer(i64::MIN),
            });
            let places = vec!["?"; table.columns.len()].join(",");
            connection
                .execute(
                    &format!("INSERT INTO \"{}\" VALUES ({places})", table.name),
                    rusqlite::params_from_iter(values),
                )
                .expect("a row can be written");
        }
    }
    connection
}
