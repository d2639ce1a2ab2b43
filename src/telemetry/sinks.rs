//! The sinks of the log's rows, as `[logs]` of the instance file asks for them.

pub mod access_line;
pub mod journal;
pub mod json_file;
pub mod json_line;
pub mod lines;
pub mod queue;

use super::otlp::OtlpFigures;
use super::sink::RowSink;
use super::store::retention::Retention;
use super::store::writer::StoreSink;
use crate::config::LogsConfig;
use crate::process::log;
use access_line::AccessLines;
use journal::{JOURNAL_SOCKET, JournalWriter};
use json_file::{JsonFileWriter, Rotation};
use lines::{JsonForm, LineWriter};
use queue::{QueuedSink, SinkFigures};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Most threads of all sinks: one for each place, one that finishes a segment of the store, and one that compresses a file.
pub const SINK_THREADS_MAX: u64 = 5 + 2;

/// The folder of the store within the folder of a service's state.
const STATE_SUBFOLDER: &str = "logs";

/// Where a service's state is if the service manager does not say (`StateDirectory=ringgate` of systemd.exec(5)).
const STATE_FOLDER_DEFAULT: &str = "/var/lib/ringgate";

/// The figures of all sinks of an instance.
#[derive(Clone, Debug, Default)]
pub struct AllSinkFigures(Arc<[Arc<SinkFigures>]>);

impl AllSinkFigures {
    /// The figures, in the order of the sinks.
    pub fn iter(&self) -> impl Iterator<Item = &SinkFigures> {
        self.0.iter().map(Arc::as_ref)
    }

    /// What is wrong, a line for each sink that has a fault, behind `prefix`.
    pub fn describe(&self, prefix: &str) -> String {
        let line = |sink: &SinkFigures| {
            let fault = sink.fault()?;
            let (name, lost, dropped) = (sink.name(), sink.lost(), sink.dropped());
            Some(format!("{prefix}log sink {name}: {fault} ({lost} rows lost, {dropped} dropped)\n"))
        };
        self.iter().filter_map(line).collect()
    }
}

/// The sinks of an instance.
#[derive(Default)]
pub struct Sinks {
    /// The sinks themselves, for the observer.
    pub sinks: Vec<Box<dyn RowSink>>,
    /// Their figures.
    pub figures: AllSinkFigures,
    /// Those of what is sent by OTLP, whose sink is among them.
    pub otlp: OtlpFigures,
}

impl fmt::Debug for Sinks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.figures.fmt(formatter)
    }
}

/// Where the sinks write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkPlaces {
    /// The store's folder. `None`: rows are not stored.
    pub store: Option<PathBuf>,
    /// The file of JSON lines.
    pub json_file: Option<PathBuf>,
    /// JSON lines go to standard output.
    pub json_stdout: bool,
    /// Access lines go to standard output.
    pub access_lines: bool,
    /// Rows go to the journal.
    pub journald: bool,
}

impl SinkPlaces {
    /// The places for an instance whose file is in `folder`, and whose standard output is a terminal or not.
    pub fn of(config: &LogsConfig, folder: Option<&Path>, is_terminal: bool) -> Self {
        let state = std::env::var_os("STATE_DIRECTORY");
        Self::with_state_directory(config, folder, is_terminal, state.as_deref())
    }

    fn with_state_directory(
        config: &LogsConfig,
        folder: Option<&Path>,
        is_terminal: bool,
        state: Option<&OsStr>,
    ) -> Self {
        let beside = |named: &String| folder.unwrap_or(Path::new("")).join(named);
        let store = match &config.folder {
            Some(named) => Some(beside(named)),
            None => state.and_then(first_folder).map(|state| state.join(STATE_SUBFOLDER)),
        };
        // Asked for, and no service manager says where: beside the instance file.
        let fallback = || (config.store == Some(true)).then(|| beside(&STATE_SUBFOLDER.to_owned()));
        Self {
            store: store.or_else(fallback).filter(|_| config.store != Some(false)),
            json_file: config.json_file.as_ref().map(beside),
            json_stdout: config.json_stdout,
            access_lines: config.access_lines.unwrap_or(is_terminal && !config.json_stdout),
            journald: config.journald,
        }
    }

    /// What a start says about where rows go: a line each.
    pub fn describe(&self, config: &LogsConfig) -> String {
        let mut text = match &self.store {
            Some(folder) => format!(
                "  log store in {} ({} days, {} MiB)\n",
                folder.display(),
                config.store_days,
                config.store_mib
            ),
            None if config.store == Some(false) => String::new(),
            None => "  no log store: set folder in [logs] of the instance file\n".to_owned(),
        };
        if let Some(file) = &self.json_file {
            text.push_str(&format!("  log as JSON lines in {}\n", file.display()));
        }
        text
    }

    /// The folders in which a running instance's store may be, the likeliest first.
    pub fn store_candidates(config: &LogsConfig, folder: Option<&Path>) -> Vec<PathBuf> {
        let likeliest = Self::of(config, folder, false).store;
        let of_service = config.folder.is_none().then(Self::store_of_host);
        let beside = folder.map(|folder| folder.join(STATE_SUBFOLDER));
        let mut folders: Vec<_> = likeliest.into_iter().chain(of_service).chain(beside).collect();
        folders.dedup();
        folders
    }

    /// The likely folder of a service's store.
    pub fn store_of_host() -> PathBuf {
        Path::new(STATE_FOLDER_DEFAULT).join(STATE_SUBFOLDER)
    }
}

/// The first of the folders of `STATE_DIRECTORY`, which systemd separates by colons.
fn first_folder(folders: &OsStr) -> Option<PathBuf> {
    let first = folders.as_bytes().split(|byte| *byte == b':').next()?;
    let folder = Path::new(OsStr::from_bytes(first));
    folder.is_absolute().then(|| folder.to_owned())
}

/// Starts the sinks of an instance. A place that cannot be written to is a fault of its sink, which is counted and shown, and no reason
/// not to start.
///
/// # Errors
/// There is no thread.
pub fn start(config: &LogsConfig, places: &SinkPlaces) -> io::Result<Sinks> {
    let mut sinks: Vec<Box<dyn RowSink>> = Vec::new();
    let mut all = Vec::new();
    let mut figures = |name| {
        let figures = Arc::new(SinkFigures::new(name));
        all.push(Arc::clone(&figures));
        figures
    };
    if let Some(folder) = &places.store {
        let retention = Retention { days: config.store_days, bytes_max: config.store_mib << 20 };
        sinks.push(Box::new(StoreSink::start(folder.clone(), retention, figures("store"))?));
    }
    if let Some(path) = &places.json_file {
        let rotation = Rotation {
            bytes_max: config.json_file_mib << 20,
            age_max: Duration::from_secs(config.json_file_hours * 3600),
            kept: config.json_files_kept as usize,
        };
        let writer = JsonFileWriter::new(path.clone(), rotation);
        sinks.push(Box::new(QueuedSink::start(figures("json_file"), writer)?));
    }
    if places.json_stdout {
        let writer = LineWriter::new(JsonForm, log::standard_output());
        sinks.push(Box::new(QueuedSink::start(figures("json_stdout"), writer)?));
    }
    if places.access_lines {
        let writer = LineWriter::new(AccessLines::default(), log::standard_output());
        sinks.push(Box::new(QueuedSink::start(figures("access"), writer)?));
    }
    if places.journald {
        let writer = JournalWriter::new(JOURNAL_SOCKET.into());
        sinks.push(Box::new(QueuedSink::start(figures("journald"), writer)?));
    }
    Ok(Sinks { sinks, figures: AllSinkFigures(all.into()), otlp: OtlpFigures::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::sink::close_all;
    use tokio::time::Instant;

    fn places(config: &LogsConfig, is_terminal: bool, state: Option<&str>) -> SinkPlaces {
        let folder = Some(Path::new("/etc/ringgate"));
        SinkPlaces::with_state_directory(config, folder, is_terminal, state.map(OsStr::new))
    }

    #[test]
    fn rows_are_stored_where_the_file_says_else_in_the_services_state_else_not_at_all() {
        let default = LogsConfig::default();
        let store = |config: &LogsConfig, state| {
            places(config, false, state).store.map(|path| path.display().to_string())
        };
        let named = LogsConfig { folder: Some("rows".to_owned()), ..default.clone() };
        assert_eq!(store(&named, Some("/var/lib/x")).as_deref(), Some("/etc/ringgate/rows"));
        assert_eq!(store(&default, Some("/var/lib/x:/var/lib/y")).as_deref(), Some("/var/lib/x/logs"));
        assert_eq!(store(&default, Some("relative")), None);
        assert_eq!(store(&default, None), None);
        let asked = LogsConfig { store: Some(true), ..default.clone() };
        assert_eq!(store(&asked, None).as_deref(), Some("/etc/ringgate/logs"));
        let off = LogsConfig { store: Some(false), ..named };
        assert_eq!(store(&off, Some("/var/lib/x")), None);
    }

    #[test]
    fn every_place_has_a_sink_and_all_have_no_more_threads_than_a_start_asks_for() {
        let folder = tempfile::tempdir().unwrap();
        let places = SinkPlaces {
            store: Some(folder.path().join("store")),
            json_file: Some(folder.path().join("rows.json")),
            json_stdout: true,
            access_lines: true,
            journald: true,
        };
        let Sinks { sinks, figures, otlp: _ } = start(&LogsConfig::default(), &places).unwrap();
        let names: Vec<_> = figures.iter().map(SinkFigures::name).collect();
        assert_eq!(names, ["store", "json_file", "json_stdout", "access", "journald"]);
        // One more finishes a segment of the store, and one compresses a file.
        assert_eq!(sinks.len() as u64 + 2, SINK_THREADS_MAX);
        close_all(sinks, Instant::now() + Duration::from_secs(60));
    }

    #[test]
    fn access_lines_are_for_terminals_unless_the_file_says_otherwise_or_json_goes_there() {
        let with =
            |access_lines, json_stdout| LogsConfig { access_lines, json_stdout, ..LogsConfig::default() };
        for (config, is_terminal, expected) in [
            (with(None, false), true, true),
            (with(None, false), false, false),
            (with(None, true), true, false),
            (with(Some(true), false), false, true),
            (with(Some(false), false), true, false),
        ] {
            assert_eq!(places(&config, is_terminal, None).access_lines, expected, "{config:?}");
        }
    }
}
