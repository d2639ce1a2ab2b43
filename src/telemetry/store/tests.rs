//! The writer and the reader of one store, on real files.

use super::json_lines::JsonLines;
use super::reader::{Rows, SourceView, StoreReader};
use super::retention::{Retention, list};
use super::segment::{STORE_VERSION, begin_of, file_name};
use super::writer::{StoreSink, StoreWriter};
use crate::observe::tables::{ConnectionRow, GatewayRow, Json, Row as _, Table, Ticks, UsageRow};
use crate::telemetry::sink::{LogRow, RowSink as _};
use crate::telemetry::sinks::json_line::push_json_line;
use crate::telemetry::sinks::queue::{BATCH_ROWS_MAX, QUEUE_ROWS_MAX, RowWriter as _, SinkFigures, now};
use rusqlite::Connection;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

const DAY: i64 = 86_400 * Ticks::PER_SECOND;
const RETENTION: Retention = Retention { days: 7, bytes_max: 64 << 20 };

fn gateway(at: Ticks, id: &str) -> LogRow {
    GatewayRow {
        time_generated: at,
        correlation_id: id.to_owned().into(),
        response_code: Some(101),
        is_request_success: Some(true),
        errors: Json(Some("[1]".to_owned())),
        ..GatewayRow::default()
    }
    .into()
}

fn connection(at: Ticks) -> LogRow {
    ConnectionRow { time_generated: at, event_name: "established".into(), ..ConnectionRow::default() }.into()
}

fn writer(folder: &Path) -> StoreWriter {
    StoreWriter::new(folder.to_owned(), RETENTION)
}

fn source(table: &'static Table) -> SourceView<'static> {
    SourceView { table, view: "v", from: None, to: None }
}

/// The answer of a query for one number about a table's rows.
fn number(reader: &StoreReader, source: SourceView<'_>, rows: &Rows, what: &str) -> i64 {
    let connection = reader.connect(&[source], rows).expect("a connection");
    connection.query_row(&format!("SELECT {what} FROM v"), [], |row| row.get(0)).expect("a number")
}

fn count(folder: &Path) -> i64 {
    let reader = StoreReader::open(folder).expect("a store");
    assert_eq!(reader.notes(), [""; 0]);
    number(&reader, source(GatewayRow::TABLE), &Rows::default(), "count(*)")
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    list(folder).unwrap().into_iter().map(|file| file.path).collect()
}

#[test]
fn what_is_stored_is_read_while_it_is_written_and_after() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path().join("made/for/it");
    let mut writer = writer(&folder);
    writer.write(&[gateway(now(), "a"), connection(now()), gateway(now(), "b")], now()).unwrap();
    assert_eq!(count(&folder), 2);
    writer.write(&[gateway(now(), "c")], now()).unwrap();
    assert_eq!(count(&folder), 3);
    let reader = StoreReader::open(&folder).unwrap();
    let connection = reader.connect(&[source(GatewayRow::TABLE)], &Rows::default()).unwrap();
    let row = "SELECT \"ResponseCode\", \"IsRequestSuccess\", \"Errors\", \"Url\", \"RequestSize\", typeof(\"TimeGenerated\") FROM v WHERE \"CorrelationId\" = 'a'";
    let row: (i64, i64, String, String, Option<i64>, String) =
        connection.query_row(row, [], |row| row.try_into()).unwrap();
    assert_eq!(row, (101, 1, "[1]".to_owned(), String::new(), None, "integer".to_owned()));
    drop((reader, connection));
    writer.close().unwrap();
    assert_eq!(count(&folder), 3);
    let mode = fs::metadata(&segments(&folder)[0]).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn a_restart_goes_on_with_the_newest_segment() {
    let folder = TempDir::new().unwrap();
    for id in ["a", "b"] {
        let mut writer = writer(folder.path());
        writer.write(&[gateway(now(), id)], now()).unwrap();
        writer.close().unwrap();
    }
    assert_eq!((segments(folder.path()).len(), count(folder.path())), (1, 2));
}

#[test]
fn a_segment_lasts_a_day_and_is_then_one_plain_file_with_an_index_of_ids() {
    let folder = TempDir::new().unwrap();
    let mut writer = writer(folder.path());
    let begin = now();
    writer.write(&[gateway(begin, "a")], begin).unwrap();
    writer.upkeep(Ticks(begin.0 + DAY - 1)).unwrap();
    assert_eq!(segments(folder.path()).len(), 1);
    let mut later = Ticks(begin.0 + DAY);
    writer.write(&[gateway(later, "b")], later).unwrap();
    let is_finished = |path: &Path| {
        let beside = super::segment::beside(path);
        !beside.iter().any(|file| file.exists()) && {
            let connection = Connection::open(path).unwrap();
            let indexes = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%_id' AND type = 'index'";
            connection.query_row(indexes, [], |row| row.get::<_, i64>(0)).unwrap() == 2
        }
    };
    // The work is done on another thread, which is looked after by the upkeep.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        later.0 += 10 * Ticks::PER_SECOND;
        writer.upkeep(later).unwrap();
        let files = segments(folder.path());
        if files.len() == 2 && is_finished(&files[0]) {
            break;
        }
        assert!(Instant::now() < deadline, "{files:?}");
        std::thread::yield_now();
    }
    assert_eq!(count(folder.path()), 2);
}

#[test]
fn retention_deletes_the_oldest_segments_and_their_rows() {
    let folder = TempDir::new().unwrap();
    let mut writer = writer(folder.path());
    let begin = now();
    for day in 0..12 {
        let at = Ticks(begin.0 + day * DAY);
        writer.write(&[gateway(at, "a")], at).unwrap();
        writer.upkeep(at).unwrap();
    }
    let begins: Vec<_> =
        list(folder.path()).unwrap().iter().map(|file| (file.begin.0 - begin.0) / DAY).collect();
    assert!(begins.len() <= 9 && begins[0] >= 3, "{begins:?}");
    assert!(count(folder.path()) <= 10);
}

#[test]
fn what_is_over_goes_though_no_segment_can_be_opened() {
    let folder = TempDir::new().unwrap();
    let (old, begin) = (now(), now());
    let mut before = writer(folder.path());
    before.write(&[gateway(old, "a")], old).unwrap();
    before.close().unwrap();
    // The newest one cannot be opened: as on a disk without room for what SQLite keeps beside it.
    let newest = folder.path().join(file_name(Ticks(begin.0 + DAY)));
    fs::create_dir(&newest).unwrap();
    let later = Ticks(begin.0 + 9 * DAY);
    assert!(writer(folder.path()).upkeep(later).is_err());
    assert_eq!(segments(folder.path()), [newest], "the old one is deleted");
}

#[test]
fn a_segment_that_is_locked_is_not_read_behind_its_writer() {
    let folder = TempDir::new().unwrap();
    let mut writer = writer(folder.path());
    writer.write(&[gateway(now(), "a")], now()).unwrap();
    writer.close().unwrap();
    let path = &segments(folder.path())[0];
    let locking = Connection::open(path).unwrap();
    locking.execute_batch("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE").unwrap();
    let reader = StoreReader::open(folder.path()).unwrap();
    assert_eq!(reader.notes().len(), 1, "it is left out with a note");
}

#[test]
fn a_link_in_the_place_of_a_segment_is_neither_written_to_nor_read_nor_deleted() {
    let (folder, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut other = writer(elsewhere.path());
    other.write(&[gateway(now(), "other")], now()).unwrap();
    other.close().unwrap();
    let victim = segments(elsewhere.path())[0].clone();
    let before = fs::read(&victim).unwrap();
    // One that would be gone on with, and one that would be deleted.
    for begin in [now(), Ticks(now().0 - 100 * DAY)] {
        std::os::unix::fs::symlink(&victim, folder.path().join(file_name(begin))).unwrap();
    }
    let mut writer = writer(folder.path());
    writer.write(&[gateway(now(), "own")], now()).unwrap();
    writer.upkeep(now()).unwrap();
    assert_eq!(count(folder.path()), 1);
    assert_eq!(
        fs::read_dir(folder.path())
            .unwrap()
            .filter(|entry| { entry.as_ref().unwrap().file_type().unwrap().is_symlink() })
            .count(),
        2
    );
    assert!(fs::read(&victim).unwrap() == before);
    // One that comes behind the look at the folder.
    let segment = segments(folder.path())[0].clone();
    drop(writer);
    fs::remove_file(&segment).unwrap();
    std::os::unix::fs::symlink(&victim, &segment).unwrap();
    let resumed = super::segment::Segment::resume(&segment, now());
    assert!(matches!(resumed, Err(super::segment::SegmentFault::Failed(_))), "{resumed:?}");
    assert!(super::segment::finish(&segment).is_err());
}

#[test]
fn a_folder_may_be_a_link_that_the_operator_made() {
    let (folder, state) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let link = state.path().join("logs");
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    let mut writer = writer(&link);
    writer.write(&[gateway(now(), "a")], now()).unwrap();
    assert_eq!((count(&link), count(folder.path())), (1, 1));
}

#[test]
fn a_damaged_segment_is_set_aside_and_a_new_one_takes_the_rows() {
    let folder = TempDir::new().unwrap();
    let damaged = folder.path().join(file_name(Ticks(now().0 - Ticks::PER_SECOND)));
    fs::write(&damaged, vec![7; 100_000]).unwrap();
    let mut writer = writer(folder.path());
    writer.write(&[gateway(now(), "a")], now()).unwrap();
    assert_eq!(count(folder.path()), 1);
    let files = list(folder.path()).unwrap();
    assert_eq!(files.iter().filter(|file| file.is_damaged).count(), 1, "{files:?}");
    assert!(!damaged.exists());
}

#[test]
fn a_damaged_segment_among_others_is_left_out_by_a_reader_with_a_note() {
    let folder = TempDir::new().unwrap();
    let mut writer = writer(folder.path());
    writer.write(&[gateway(now(), "a")], now()).unwrap();
    let damaged = folder.path().join(file_name(Ticks(now().0 - DAY)));
    fs::write(&damaged, vec![7; 100_000]).unwrap();
    let reader = StoreReader::open(folder.path()).unwrap();
    assert_eq!(number(&reader, source(GatewayRow::TABLE), &Rows::default(), "count(*)"), 1);
    assert_eq!(reader.notes().len(), 1);
    assert!(reader.notes()[0].contains("is left out: it is damaged"), "{:?}", reader.notes());
    assert!(damaged.exists(), "a reader changes nothing");
}

#[test]
fn a_segment_whose_pages_are_damaged_is_found_and_left_out() {
    let folder = TempDir::new().unwrap();
    let mut writer = writer(folder.path());
    let old = Ticks(now().0 - DAY);
    let rows: Vec<_> = (0..2000).map(|index| gateway(old, &index.to_string())).collect();
    writer.write(&rows, old).unwrap();
    writer.close().unwrap();
    let first = segments(folder.path())[0].clone();
    writer.write(&[gateway(now(), "a")], now()).unwrap();
    assert_eq!(segments(folder.path()).len(), 2);
    let mut bytes = fs::read(&first).unwrap();
    // A page of rows, so that only who reads them notices.
    bytes[10 * 8192..11 * 8192].fill(0x55);
    fs::write(&first, bytes).unwrap();
    let mut reader = StoreReader::open(folder.path()).expect("its begin is whole");
    assert_eq!(reader.leave_out_damaged(), [first]);
    assert_eq!(number(&reader, source(GatewayRow::TABLE), &Rows::default(), "count(*)"), 1);
    assert!(reader.leave_out_damaged().is_empty());
}

#[test]
fn a_newer_stores_segment_is_left_alone_and_what_is_known_of_it_is_read() {
    let folder = TempDir::new().unwrap();
    let mut first = writer(folder.path());
    first.write(&[gateway(now(), "a")], now()).unwrap();
    first.close().unwrap();
    let path = segments(folder.path())[0].clone();
    let newer = Connection::open(&path).unwrap();
    newer
        .execute_batch(&format!(
            "ALTER TABLE ApiManagementGatewayLogs ADD COLUMN Colour TEXT; ALTER TABLE ApiManagementGatewayLogs DROP COLUMN Sni; \
             PRAGMA user_version = {};",
            STORE_VERSION + 1
        ))
        .unwrap();
    drop(newer);
    let before = fs::read(&path).unwrap();
    let mut second = writer(folder.path());
    second.write(&[gateway(now(), "b")], now()).unwrap();
    assert_eq!(count(folder.path()), 2);
    let reader = StoreReader::open(folder.path()).unwrap();
    let empty = number(&reader, source(GatewayRow::TABLE), &Rows::default(), "sum(\"Sni\" = '')");
    assert_eq!(empty, 2, "a column that is not stored is empty");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_folder_that_cannot_be_made_costs_rows_that_are_counted_and_is_used_once_it_can() {
    let folder = TempDir::new().unwrap();
    let in_the_way = folder.path().join("logs");
    fs::write(&in_the_way, "a file").unwrap();
    let mut writer = writer(&in_the_way);
    let fault = writer.write(&[gateway(now(), "a"), gateway(now(), "b")], now()).expect_err("no folder");
    assert_eq!(fault.rows_lost, 2);
    assert!(fault.reason.contains("change logs.folder"), "{}", fault.reason);
    fs::remove_file(&in_the_way).unwrap();
    writer.write(&[gateway(now(), "c")], now()).unwrap();
    assert_eq!(count(&in_the_way), 1);
}

#[test]
fn a_segment_that_is_full_costs_rows_that_are_counted_and_leaves_the_others_whole() {
    let folder = TempDir::new().unwrap();
    let mut segment = super::segment::Segment::create(folder.path(), now()).unwrap();
    segment.insert(&[gateway(now(), "a")]).unwrap();
    // As a disk without room: SQLite gives the same error.
    segment.limit_pages(20);
    let rows: Vec<_> = (0..5000).map(|index| gateway(now(), &index.to_string())).collect();
    let fault = segment.insert(&rows).expect_err("there is no room");
    assert!(format!("{fault:?}").contains("DiskFull"), "{fault:?}");
    segment.insert(&[gateway(now(), "b")]).expect("there is room for one");
    assert_eq!(count(folder.path()), 2);
}

#[test]
fn only_segments_within_the_bounds_are_read_and_rows_within_since_and_until() {
    let folder = TempDir::new().unwrap();
    let mut writer = writer(folder.path());
    let begin = now();
    for day in 0..14 {
        let at = Ticks(begin.0 + day * DAY);
        writer.write(&[gateway(at, "a"), gateway(Ticks(at.0 + 1), "b")], at).unwrap();
    }
    assert_eq!(segments(folder.path()).len(), 14);
    let reader = StoreReader::open(folder.path()).unwrap();
    // More than SQLite attaches.
    assert_eq!(number(&reader, source(GatewayRow::TABLE), &Rows::default(), "count(*)"), 28);
    let day = |day: i64| Some(Ticks(begin.0 + day * DAY));
    let bounded = SourceView { from: day(3), to: day(3), ..source(GatewayRow::TABLE) };
    assert_eq!(number(&reader, bounded, &Rows::default(), "count(*)"), 2);
    let rows = Rows { since: day(2), until: day(4), between: None };
    assert_eq!(number(&reader, source(GatewayRow::TABLE), &rows, "count(*)"), 4);
    assert_eq!(number(&reader, source(ConnectionRow::TABLE), &Rows::default(), "count(*)"), 0);
}

#[test]
fn following_sees_each_new_row_once() {
    let folder = TempDir::new().unwrap();
    let mut writer = writer(folder.path());
    writer.write(&[gateway(now(), "a")], now()).unwrap();
    let seen = StoreReader::open(folder.path()).unwrap().last_rows();
    writer.write(&[gateway(now(), "b"), gateway(now(), "c")], now()).unwrap();
    let reader = StoreReader::open(folder.path()).unwrap();
    let last = reader.last_rows();
    let between = last.iter().map(|(key, last)| (key.clone(), (seen.get(key).copied().unwrap_or(0), *last)));
    let rows = Rows { between: Some(between.collect()), ..Rows::default() };
    assert_eq!(number(&reader, source(GatewayRow::TABLE), &rows, "count(*)"), 2);
}

#[test]
fn usage_of_an_hour_adds_up_in_one_row() {
    let folder = TempDir::new().unwrap();
    let figures = Arc::new(SinkFigures::new("store"));
    for _ in 0..2 {
        let started = StoreSink::start(folder.path().to_owned(), RETENTION, Arc::clone(&figures));
        let mut sink = Box::new(started.expect("a thread"));
        sink.take(&[connection(Ticks(now().0 / DAY * DAY)), connection(Ticks(now().0 / DAY * DAY))]);
        // It counts, and is not stored.
        sink.count_left_out(&[connection(Ticks(now().0 / DAY * DAY))]);
        close_sink(sink);
    }
    let reader = StoreReader::open(folder.path()).unwrap();
    let usage = |what| number(&reader, source(UsageRow::TABLE), &Rows::default(), what);
    assert_eq!((usage("count(*)"), usage("sum(\"Sessions\")")), (1, 6));
    assert_eq!((figures.written(), figures.lost(), figures.dropped()), (4, 0, 0));
}

fn close_sink(mut sink: Box<StoreSink>) {
    sink.end();
    sink.close(Instant::now() + Duration::from_secs(60));
}

/// The sum of the sessions in a store's usage.
fn sessions_of_usage(folder: &Path) -> i64 {
    let reader = StoreReader::open(folder).expect("a store");
    number(&reader, source(UsageRow::TABLE), &Rows::default(), "ifnull(sum(\"Sessions\"), 0)")
}

#[test]
fn usage_is_exact_though_the_queue_was_full_and_its_rows_were_dropped() {
    let folder = TempDir::new().unwrap();
    let figures = Arc::new(SinkFigures::new("store"));
    // A lock on the newest segment holds the writer for as long as it waits for locks.
    writer(folder.path()).upkeep(now()).unwrap();
    let locking = Connection::open(&segments(folder.path())[0]).unwrap();
    locking.execute_batch("BEGIN IMMEDIATE").unwrap();
    let started = StoreSink::start(folder.path().to_owned(), RETENTION, Arc::clone(&figures));
    let mut sink = Box::new(started.expect("a thread"));
    let rows = vec![connection(now()); QUEUE_ROWS_MAX + BATCH_ROWS_MAX + 1000];
    sink.take(&rows);
    assert!(figures.dropped() > 0, "the queue is full");
    locking.execute_batch("ROLLBACK").unwrap();
    sink.take(&rows[..10]);
    close_sink(sink);
    assert_eq!(sessions_of_usage(folder.path()), rows.len() as i64 + 10);
}

#[test]
fn usage_that_cannot_be_stored_is_stored_with_the_next() {
    let folder = TempDir::new().unwrap();
    let in_the_way = folder.path().join("logs");
    fs::write(&in_the_way, "a file").unwrap();
    let mut writer = writer(&in_the_way);
    writer.usage().count(&[connection(now()), connection(now())]);
    assert!(writer.upkeep(now()).is_err());
    writer.usage().count(&[connection(now())]);
    let fault = writer.close().expect_err("no folder");
    assert_eq!(fault.rows_lost, 1, "a row of usage");
    // It goes on, as a writer that has not ended does.
    fs::remove_file(&in_the_way).unwrap();
    writer.upkeep(Ticks(now().0 + 20 * Ticks::PER_SECOND)).unwrap();
    writer.close().unwrap();
    assert_eq!(sessions_of_usage(&in_the_way), 3);
}

#[test]
fn a_write_ahead_log_that_a_reader_holds_ends_the_segment_before_it_is_too_large() {
    let folder = TempDir::new().unwrap();
    let large = Retention { bytes_max: 64 << 30, ..RETENTION };
    let mut writer = StoreWriter::new(folder.path().to_owned(), large);
    let text = "x".repeat(8000);
    let row: LogRow = GatewayRow { time_generated: now(), url: text.into(), ..GatewayRow::default() }.into();
    let rows = vec![row; 2000];
    writer.write(&rows, now()).unwrap();
    let reader = Connection::open(&segments(folder.path())[0]).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM ApiManagementGatewayLogs;").unwrap();
    for _ in 0..20 {
        writer.write(&rows, now()).unwrap();
        writer.upkeep(now()).unwrap();
        for file in segments(folder.path()) {
            let wal = fs::metadata(&super::segment::beside(&file)[0]).map_or(0, |wal| wal.len());
            assert!(wal <= 256 << 20, "{wal} bytes");
        }
    }
    assert!(segments(folder.path()).len() > 1);
    drop(reader);
    assert_eq!(count(folder.path()), 21 * 2000);
}

#[test]
fn json_lines_plain_and_compressed_are_tables_too_and_what_is_no_row_is_counted() {
    let folder = TempDir::new().unwrap();
    let mut text = Vec::new();
    push_json_line(&mut text, &gateway(now(), "a"));
    push_json_line(&mut text, &connection(now()));
    let plain = folder.path().join("log.jsonl");
    let strange = "not json\n\n{\"Type\":\"Other\"}\n{\"Type\":\"ApiManagementGatewayLogs\"}\n";
    fs::write(&plain, [&text[..], strange.as_bytes()].concat()).unwrap();
    let compressed = folder.path().join("log.jsonl.gz");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &text).unwrap();
    fs::write(&compressed, encoder.finish().unwrap()).unwrap();
    let mut lines = JsonLines::new().unwrap();
    lines.add(&plain).unwrap();
    lines.add(&compressed).unwrap();
    assert_eq!(lines.lines_left_out(), 3);
    assert!(lines.add(&folder.path().join("absent")).is_err());
    let connection = lines.connect(&[source(GatewayRow::TABLE)]).unwrap();
    let row = "SELECT count(*), min(\"Errors\"), min(\"CorrelationId\"), max(\"IsRequestSuccess\") FROM v";
    let row: (i64, String, String, i64) = connection.query_row(row, [], |row| row.try_into()).unwrap();
    assert_eq!(row, (2, "[1]".to_owned(), "a".to_owned(), 1));
}

#[test]
fn what_is_exported_is_what_json_lines_would_have_been() {
    let folder = TempDir::new().unwrap();
    let mut writer = writer(folder.path());
    let begin = now();
    let at = |second: i64| Ticks(begin.0 + second * Ticks::PER_SECOND);
    let rows: Vec<_> = (0..5000).map(|second| gateway(at(second), &second.to_string())).collect();
    writer.write(&rows, begin).unwrap();
    writer.write(&[connection(at(10))], begin).unwrap();
    let exported = |rows: Rows| {
        let mut lines = Vec::new();
        let reader = StoreReader::open(folder.path()).unwrap();
        reader
            .export(&rows, &mut |some| {
                lines.extend_from_slice(some);
                true
            })
            .unwrap();
        lines
    };
    let mut expected = Vec::new();
    rows.iter().for_each(|row| push_json_line(&mut expected, row));
    push_json_line(&mut expected, &connection(at(10)));
    assert!(exported(Rows::default()) == expected, "all rows, in chunks");
    let some = exported(Rows { since: Some(at(9)), until: Some(at(11)), between: None });
    assert_eq!(String::from_utf8(some).unwrap().lines().count(), 3);
}

#[test]
fn the_name_of_a_segment_is_its_begin() {
    let begin = Ticks(now().0 / 10_000 * 10_000);
    assert_eq!(begin_of(&file_name(begin)), Some((begin, false)));
    assert_eq!(begin_of(&format!("{}.damaged", file_name(begin))), Some((begin, true)));
    for other in ["log-.sqlite", "log-20261130T140012345Z.sqlite-wal", "x", "log-2026113ßT140012345Z.sqlite"]
    {
        assert_eq!(begin_of(other), None, "{other}");
    }
}
