//! `ringgate logs`: asks the log, of a running instance too, in the Kusto query language.
//!
//! The property to trust: nothing of the store is changed, no read of it outlives its query, and every query ends: it has a deadline, and
//! bounds of rows, bytes and memory. What could not be read is said on standard error.
//!
//! Not here: the language (`telemetry::kql`), the store (`telemetry::store`), the form of what is printed (`shown`).

mod named;
mod shown;

use super::exit;
use super::help;
use super::instance_file::InstanceFileOption;
use super::output;
use crate::config::{LogsConfig, parse_instance};
use crate::control::files::store::read_text;
use crate::observe::tables::Ticks;
use crate::telemetry::kql::{Query, QueryLimits, RunFault, Source, parse_datetime};
use crate::telemetry::sinks::SinkPlaces;
use crate::telemetry::sinks::queue::now;
use crate::telemetry::store::json_lines::JsonLines;
use crate::telemetry::store::reader::{NoStore, Rows, SourceView, StoreReader, TableOfSegment};
use crate::telemetry::store::segment::is_damage;
use clap::{Args, Subcommand};
use rusqlite::Connection;
use shown::{Form, Shown};
use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// How long a query may take.
const QUERY_TIME_MAX: Duration = Duration::from_secs(60);

/// Rows of a result unless `--limit` says otherwise.
const ROWS_MAX: u64 = 100_000;

/// How often following looks for new rows.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(500);

/// The question, and whom to ask.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct LogsArguments {
    #[command(subcommand)]
    command: Option<LogsCommand>,
    /// The query, in the Kusto query language; - reads it from standard input. Without one: the newest openings
    query: Option<String>,
    /// Read the query from this file
    #[arg(long, value_name = "FILE", conflicts_with = "query")]
    query_file: Option<PathBuf>,
    /// Run the query with this name
    #[arg(long, conflicts_with_all = ["query", "query_file"])]
    name: Option<String>,
    /// List the queries that have a name
    #[arg(long, conflicts_with_all = ["query", "query_file", "name", "follow"])]
    list: bool,
    /// Keep running and show new rows: every half second, the query runs over the rows that were added since
    #[arg(short, long)]
    follow: bool,
    /// The form of the result
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
    /// Most rows that are shown; -f ends with the last of them
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Query these files of JSON lines (.gz: compressed) instead of the store; may be given more than once
    #[arg(long, value_name = "FILE", conflicts_with_all = ["follow", "store", "since"])]
    json_lines: Vec<PathBuf>,
    #[command(flatten)]
    span: Span,
    #[command(flatten)]
    place: Place,
}

/// The begin of a time span.
#[derive(Debug, Args)]
struct Span {
    /// Only rows since then: 90s, 30m, 1h, 7d, or a time of UTC like 2026-11-30T14:00
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    since: Option<Since>,
}

/// The store to ask.
#[derive(Debug, Args)]
struct Place {
    /// The store's folder. Default: the folder in the instance file; else logs in $STATE_DIRECTORY; else /var/lib/ringgate/logs
    #[arg(long, value_name = "FOLDER")]
    store: Option<PathBuf>,
    #[command(flatten)]
    config: InstanceFileOption,
}

#[derive(Debug, Subcommand)]
enum LogsCommand {
    /// Write the rows of a time span as JSON lines, table by table, in the order in which they were stored
    #[command(after_help = help::LOGS_EXPORT)]
    Export {
        #[command(flatten)]
        span: Span,
        /// Only rows before then
        #[arg(long, value_name = "TIME", value_parser = parse_since)]
        until: Option<Since>,
        #[command(flatten)]
        place: Place,
    },
}

/// A point in time, as it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// So many ticks before now.
    Ago(i64),
    At(Ticks),
}

impl Since {
    fn from(self, now: Ticks) -> Ticks {
        match self {
            Self::Ago(ticks) => Ticks(now.0.saturating_sub(ticks)),
            Self::At(time) => time,
        }
    }
}

fn parse_since(text: &str) -> Result<Since, String> {
    if let Some(time) = parse_datetime(text) {
        return Ok(Since::At(time));
    }
    let allowed = || "allowed is 90s, 30m, 1h, 7d, or a time of UTC like 2026-11-30T14:00".to_owned();
    let unit = text.chars().last().ok_or_else(allowed)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(allowed()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| allowed())?;
    Ok(Since::Ago(i64::from(number).saturating_mul(seconds * Ticks::PER_SECOND)))
}

impl LogsArguments {
    /// Asks, and prints the answer.
    pub fn run(&self) -> ExitCode {
        if self.list {
            return output::print(named::list().as_bytes());
        }
        let done = match &self.command {
            Some(LogsCommand::Export { span, until, place }) => export(span, *until, place),
            None => self.ask(),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(Failed::Told) => exit::FAILED.into(),
            Err(Failed::ReaderLeft) => ExitCode::SUCCESS,
            Err(Failed::Because(why)) => {
                say(&format!("ringgate: {why}"));
                exit::FAILED.into()
            }
        }
    }

    fn ask(&self) -> Result<(), Failed> {
        let text = self.text()?;
        if self.json_lines.is_empty() {
            let folder = self.place.folder()?;
            if self.follow {
                self.follow(&folder, text.as_deref())
            } else {
                self.ask_store(&folder, text.as_deref())
            }
        } else {
            self.ask_files(text.as_deref().unwrap_or(named::NEWEST.text))
        }
    }

    /// The text of the query; `None`: there is none.
    fn text(&self) -> Result<Option<String>, String> {
        if let Some(name) = &self.name {
            let found = named::ALL.iter().find(|query| query.name == name);
            return match found {
                Some(query) => Ok(Some(query.text.to_owned())),
                None => {
                    let names: Vec<_> = named::ALL.iter().map(|query| query.name).collect();
                    Err(format!("no query is named {name:?}; there are {}", names.join(", ")))
                }
            };
        }
        if let Some(file) = &self.query_file {
            let read = fs::read_to_string(file);
            return read
                .map(Some)
                .map_err(|error| format!("cannot read the query {}: {error}", file.display()));
        }
        if self.query.as_deref() == Some("-") {
            let mut text = String::new();
            let read = io::stdin().read_to_string(&mut text);
            return read.map(|_| Some(text)).map_err(|error| format!("cannot read the query: {error}"));
        }
        Ok(self.query.clone())
    }

    fn ask_store(&self, folder: &Path, text: Option<&str>) -> Result<(), Failed> {
        self.ask_store_once(&mut Asking::of(self), folder, text)
    }

    fn ask_store_once(&self, asking: &mut Asking, folder: &Path, text: Option<&str>) -> Result<(), Failed> {
        let query = parse(text.unwrap_or(named::NEWEST.text))?;
        let rows = Rows { since: self.span.since.map(|since| since.from(now())), ..Rows::default() };
        let mut reader = StoreReader::open(folder).map_err(|error| error.to_string())?;
        let mut shown = Shown::new(self.output, query.columns());
        let ran = asking.run_over(&mut reader, &query, &rows, &mut shown);
        asking.tell_notes(&reader);
        ran?;
        print(&shown.take(true))?;
        shown.note().iter().for_each(|note| say(&format!("ringgate: {note}")));
        Ok(())
    }

    fn ask_files(&self, text: &str) -> Result<(), Failed> {
        let query = parse(text)?;
        let mut lines = JsonLines::new().map_err(|error| error.to_string())?;
        for file in &self.json_lines {
            lines.add(file)?;
        }
        if let left_out @ 1.. = lines.lines_left_out() {
            say(&format!("ringgate: {left_out} lines are no rows of a table, and are left out"));
        }
        let mut connection = lines.connect(&views(query.sources())).map_err(|error| error.to_string())?;
        let mut shown = Shown::new(self.output, query.columns());
        Asking::of(self).run_on(&query, &mut connection, &mut shown)?;
        print(&shown.take(true))?;
        shown.note().iter().for_each(|note| say(&format!("ringgate: {note}")));
        Ok(())
    }

    /// Shows new rows as they come, until the process is ended, its reader has left, or as many are shown as were asked for.
    fn follow(&self, folder: &Path, text: Option<&str>) -> Result<(), Failed> {
        let mut asking = Asking::of(self);
        let mut seen = HashMap::new();
        let since = self.span.since.map(|since| since.from(now()));
        let mut shown: Option<Shown> = None;
        if since.is_none() {
            seen = StoreReader::open(folder).map_err(|error| error.to_string())?.last_rows();
            if text.is_none() {
                self.ask_store_once(&mut asking, folder, None)?;
            }
        }
        while asking.rows_left() > 0 {
            let mut reader = StoreReader::open(folder).map_err(|error| error.to_string())?;
            reader.leave_out_known(&asking.damaged);
            let last = reader.last_rows();
            if last != seen {
                let between =
                    last.iter().map(|(at, last)| (at.clone(), (seen.get(at).copied().unwrap_or(0), *last)));
                let rows = Rows {
                    since,
                    until: None,
                    between: Some(between.collect::<HashMap<TableOfSegment, _>>()),
                };
                // `now()` of the query is that of these rows.
                let query = parse(text.unwrap_or(named::FOLLOWED))?;
                let shown = shown.get_or_insert_with(|| Shown::new(self.output, query.columns()));
                let ran = asking.run_over(&mut reader, &query, &rows, shown);
                asking.tell_notes(&reader);
                ran?;
                print(&shown.take(false))?;
                seen = last;
            }
            asking.tell_notes(&reader);
            thread::park_timeout(FOLLOW_INTERVAL);
        }
        Ok(())
    }
}

/// One or more runs of a query over what of a store can be read.
#[derive(Debug)]
struct Asking {
    /// Most rows that are shown by all runs, if it was asked for.
    limit: Option<u64>,
    shown: u64,
    /// Segments of which it is known that they are damaged.
    damaged: Vec<PathBuf>,
    /// Notes that were told.
    told: Vec<String>,
}

impl Asking {
    fn of(arguments: &LogsArguments) -> Self {
        Self { limit: arguments.limit, shown: 0, damaged: Vec::new(), told: Vec::new() }
    }

    /// How many rows may still be shown.
    fn rows_left(&self) -> u64 {
        self.limit.map_or(ROWS_MAX, |limit| limit - self.shown)
    }

    /// Runs the query over the segments of a store, without those that turn out to be damaged or that retention has deleted meanwhile.
    fn run_over(
        &mut self,
        reader: &mut StoreReader,
        query: &Query,
        rows: &Rows,
        shown: &mut Shown,
    ) -> Result<(), Unfinished> {
        loop {
            let ran = match reader.connect(&views(query.sources()), rows) {
                Ok(mut connection) => self.run_on(query, &mut connection, shown),
                Err(NoStore::Sqlite(error)) => Err(Unfinished::by_store(&error, error.to_string())),
                Err(error @ NoStore::Folder(..)) => Err(Unfinished::Because(error.to_string())),
            };
            // Each time there are fewer.
            let is_to_begin_anew = match &ran {
                Err(Unfinished::Damaged(_)) => {
                    let found = reader.leave_out_damaged();
                    let is_any = !found.is_empty();
                    self.damaged.extend(found);
                    is_any
                }
                Err(Unfinished::Failed(_)) => reader.leave_out_deleted(),
                Ok(()) | Err(Unfinished::Because(_)) => false,
            };
            if !is_to_begin_anew {
                return ran;
            }
            shown.forget();
        }
    }

    /// Runs the query to its end, or to the limit that was asked for.
    fn run_on(
        &mut self,
        query: &Query,
        connection: &mut Connection,
        shown: &mut Shown,
    ) -> Result<(), Unfinished> {
        let limits = QueryLimits { time: QUERY_TIME_MAX, rows: self.rows_left(), ..QueryLimits::default() };
        let mut count = 0;
        let ran = query.run(connection, &limits, &mut |row| {
            count += 1;
            shown.add(row);
        });
        match ran {
            Err(RunFault::TooManyRows(_)) if self.limit.is_some() => {}
            Ok(()) => {}
            Err(fault) => {
                let told = fault.to_string();
                return Err(match fault {
                    RunFault::Store(error) => Unfinished::by_store(&error, told),
                    RunFault::TookTooLong(_)
                    | RunFault::Interrupted
                    | RunFault::TooManyRows(_)
                    | RunFault::TooManyBytes(_)
                    | RunFault::TooMuchMemory(_) => Unfinished::Because(told),
                });
            }
        }
        self.shown += count;
        Ok(())
    }

    /// Says what is left out, once.
    fn tell_notes(&mut self, reader: &StoreReader) {
        for note in reader.notes() {
            if !self.told.contains(note) {
                say(&format!("ringgate: {note}"));
                self.told.push(note.clone());
            }
        }
    }
}

impl Place {
    /// The folder of the store.
    fn folder(&self) -> Result<PathBuf, String> {
        if let Some(folder) = &self.store {
            return Ok(folder.clone());
        }
        let candidates = match self.config.find() {
            Ok(file) => {
                let shown = file.path.display().to_string();
                let parsed = read_text(&file.path, &shown)
                    .map_err(|fault| vec![fault])
                    .and_then(|text| parse_instance(&shown, &text));
                let config = parsed.map_err(|faults| {
                    let faults: String = faults.iter().map(|fault| format!("\n  {fault}")).collect();
                    format!("cannot take the log store's folder from the instance file; correct the file, or give --store FOLDER:{faults}")
                })?;
                SinkPlaces::store_candidates(&config.logs, file.path.parent())
            }
            Err(_) => SinkPlaces::store_candidates(&LogsConfig::default(), None),
        };
        candidates.iter().find(|folder| folder.is_dir()).cloned().ok_or_else(|| {
            let tried: Vec<_> = candidates.iter().map(|folder| folder.display().to_string()).collect();
            format!("there is no log store in {}; give its folder with --store FOLDER", tried.join(" or "))
        })
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
enum Failed {
    Because(String),
    /// It was said where it happened.
    Told,
    /// The reader has what it wants.
    ReaderLeft,
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self::Because(why)
    }
}

/// Why a query did not come to its end.
#[derive(Debug)]
enum Unfinished {
    /// A segment is damaged.
    Damaged(String),
    /// The store failed in any other way.
    Failed(String),
    Because(String),
}

impl Unfinished {
    fn by_store(error: &rusqlite::Error, told: String) -> Self {
        if is_damage(error) { Self::Damaged(error.to_string()) } else { Self::Failed(told) }
    }
}

impl From<Unfinished> for Failed {
    fn from(unfinished: Unfinished) -> Self {
        match unfinished {
            Unfinished::Damaged(why) => Self::Because(format!("the log store is damaged: {why}")),
            Unfinished::Failed(why) | Unfinished::Because(why) => Self::Because(why),
        }
    }
}

fn parse(text: &str) -> Result<Query, Failed> {
    Query::parse(text, now())
        .map_err(|fault| Failed::Because(format!("the query is not understood: {fault}")))
}

fn views(sources: &[Source]) -> Vec<SourceView<'_>> {
    let mut views = Vec::new();
    for Source { table, view, from, to } in sources {
        views.push(SourceView { table, view, from: *from, to: *to });
    }
    views
}

/// Writes all rows of a span to standard output.
fn export(span: &Span, until: Option<Since>, place: &Place) -> Result<(), Failed> {
    let now = now();
    let rows = Rows {
        since: span.since.map(|since| since.from(now)),
        until: until.map(|until| until.from(now)),
        between: None,
    };
    let reader = StoreReader::open(&place.folder()?).map_err(|error| error.to_string())?;
    reader.notes().iter().for_each(|note| say(&format!("ringgate: {note}")));
    let mut failed = None;
    let exported = reader.export(&rows, &mut |lines| match write(lines) {
        Ok(()) => true,
        Err(why) => {
            failed = Some(why);
            false
        }
    });
    if let Some(failed) = failed {
        return Err(failed);
    }
    exported.map_err(|error| Failed::Because(error.to_string()))?;
    if reader.notes().is_empty() { Ok(()) } else { Err(Failed::Told) }
}

fn print(text: &str) -> Result<(), Failed> {
    write(text.as_bytes())
}

fn write(bytes: &[u8]) -> Result<(), Failed> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failed::ReaderLeft),
        Err(error) => Err(Failed::Because(format!("cannot write to standard output: {error}"))),
    }
}

fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tables::{GatewayRow, Row as _};
    use crate::telemetry::sinks::queue::RowWriter as _;
    use crate::telemetry::store::retention::Retention;
    use crate::telemetry::store::writer::StoreWriter;

    /// A store with a segment for each of so many days, of so many openings each.
    fn store_of_days(folder: &Path, days: i64, openings: usize) -> Vec<PathBuf> {
        let mut writer = StoreWriter::new(folder.to_owned(), Retention { days: 7, bytes_max: 64 << 20 });
        let now = now();
        for day in (0..days).rev() {
            let at = Ticks(now.0 - day * 86_400 * Ticks::PER_SECOND);
            let row = GatewayRow { time_generated: at, ..GatewayRow::default() };
            writer.write(&vec![row.into(); openings], at).unwrap();
        }
        writer.close().unwrap();
        let mut paths: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "sqlite"))
            .collect();
        paths.sort();
        assert_eq!(paths.len(), days as usize);
        paths
    }

    #[test]
    fn a_query_comes_to_its_end_without_segments_that_are_damaged_or_deleted_behind_the_first_look() {
        let folder = tempfile::tempdir().unwrap();
        // More than are attached: rows of the oldest are copied.
        let paths = store_of_days(folder.path(), 13, 300);
        let query = Query::parse("ApiManagementGatewayLogs | project Url", now()).unwrap();
        let mut asking = Asking { limit: None, shown: 0, damaged: Vec::new(), told: Vec::new() };
        let mut reader = StoreReader::open(folder.path()).unwrap();
        for damaged in [&paths[0], &paths[7]] {
            let mut bytes = fs::read(damaged).unwrap();
            let half = bytes.len() / 2 / 8192 * 8192;
            bytes[half..].fill(0x55);
            fs::write(damaged, bytes).unwrap();
        }
        for deleted in [&paths[1], &paths[11]] {
            fs::remove_file(deleted).unwrap();
        }
        let mut shown = Shown::new(Form::Json, query.columns());
        asking.run_over(&mut reader, &query, &Rows::default(), &mut shown).unwrap();
        assert_eq!(shown.take(true).lines().count(), 9 * 300);
        assert_eq!(asking.damaged, [paths[0].clone(), paths[7].clone()]);
        assert_eq!(reader.notes().len(), 2, "{:?}", reader.notes());
        assert_eq!(asking.shown, 9 * 300);
    }

    #[test]
    fn all_runs_together_show_no_more_rows_than_were_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        store_of_days(folder.path(), 1, 10);
        let query = Query::parse(&format!("{} | project Url", GatewayRow::TABLE.name), now()).unwrap();
        let mut asking = Asking { limit: Some(25), shown: 0, damaged: Vec::new(), told: Vec::new() };
        let counts = [10, 10, 5].map(|expected| {
            let mut reader = StoreReader::open(folder.path()).unwrap();
            let mut shown = Shown::new(Form::Json, query.columns());
            asking.run_over(&mut reader, &query, &Rows::default(), &mut shown).unwrap();
            (shown.take(true).lines().count(), expected)
        });
        assert!(counts.iter().all(|(count, expected)| count == expected), "{counts:?}");
        assert_eq!(asking.rows_left(), 0);
    }

    #[test]
    fn times_are_given_as_a_while_ago_or_as_they_are() {
        let hour = 3600 * Ticks::PER_SECOND;
        for (text, since) in [
            ("1h", Some(Since::Ago(hour))),
            ("90s", Some(Since::Ago(90 * Ticks::PER_SECOND))),
            ("30m", Some(Since::Ago(hour / 2))),
            ("7d", Some(Since::Ago(7 * 24 * hour))),
            ("2026-11-30", parse_datetime("2026-11-30").map(Since::At)),
            ("", None),
            ("h", None),
            ("1w", None),
            ("-1h", None),
            ("1é", None),
        ] {
            assert_eq!(parse_since(text).ok(), since, "{text}");
        }
        assert_eq!(Since::Ago(5).from(Ticks(7)), Ticks(2));
    }
}
