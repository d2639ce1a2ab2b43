//! Rows as JSON lines in a file that is rotated by size and age; rotated files are compressed.
//!
//! ```text
//! log.jsonl ──full, or old──► log.jsonl.20261130T140012345Z ──gzip, on a thread of its own──► log.jsonl.20261130T140012345Z.gz
//! ```
//!
//! The property to trust: no row is glued to another one. What a full disk cut is cut away again, and counted as lost; a line that a
//! process left unfinished when it was killed is ended, and is no row. A file that another program moved or removed (logrotate) is begun
//! anew within a second.

use super::json_line::push_json_line;
use super::queue::{RowWriter, WriteFault};
use crate::observe::tables::Ticks;
use crate::process::files::reason;
use crate::process::scheduling::come_last;
use crate::telemetry::calendar::datetime_text;
use crate::telemetry::kql::parse_datetime;
use crate::telemetry::sink::LogRow;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// When a file is rotated, and how many rotated ones are kept.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// Bytes from which on it is rotated.
    pub bytes_max: u64,
    /// Age from which on it is rotated.
    pub age_max: Duration,
    /// Rotated files that are kept.
    pub kept: usize,
}

/// Most bytes of a file's first line that are looked at for the time of its row.
const FIRST_LINE_BYTES_MAX: u64 = 1 << 20;

/// How long, in ticks, a compression that failed is left alone: a minute, and twice as long each time, up to an hour.
const COMPRESSION_PAUSE_LEAST: i64 = 60 * Ticks::PER_SECOND;
const COMPRESSION_PAUSE_MOST: i64 = 3600 * Ticks::PER_SECOND;

#[derive(Debug)]
struct OpenFile {
    file: File,
    bytes: u64,
    /// When its first row came. `None`: it has none.
    begun_at: Option<Ticks>,
    /// Its last line has no end.
    is_cut: bool,
}

/// A compression that failed.
#[derive(Debug)]
struct FailedCompression {
    reason: String,
    failed_at: Ticks,
    pause: i64,
}

/// Writes JSON lines to a file.
#[derive(Debug)]
pub struct JsonFileWriter {
    path: PathBuf,
    rotation: Rotation,
    open: Option<OpenFile>,
    compressing: Option<JoinHandle<io::Result<()>>>,
    not_compressed: Option<FailedCompression>,
    text: Vec<u8>,
}

impl JsonFileWriter {
    /// A writer to the file at `path`.
    pub fn new(path: PathBuf, rotation: Rotation) -> Self {
        Self { path, rotation, open: None, compressing: None, not_compressed: None, text: Vec::new() }
    }

    fn told(&self, error: &io::Error) -> String {
        format!(
            "{}: {}; free space on the disk, or change logs.json_file",
            self.path.display(),
            reason(error)
        )
    }

    /// Opens the file if it is not open, or if its name is another file's by now.
    fn open(&mut self, now: Ticks) -> io::Result<&mut OpenFile> {
        if self.open.is_none() {
            let file = OpenOptions::new().create(true).append(true).mode(0o640).open(&self.path)?;
            let metadata = file.metadata()?;
            let (begun_at, is_cut) = self.look_at(&metadata).unwrap_or_default();
            if is_cut {
                let file = self.path.display();
                tracing::warn!(%file, "the last row in the file of JSON lines is not whole: its line is ended");
            }
            let begun_at = begun_at.map(|time| time.min(now));
            self.open = Some(OpenFile { file, bytes: metadata.len(), begun_at, is_cut });
        }
        Ok(self.open.as_mut().expect("it was opened just now"))
    }

    /// When the first row of the file came, and whether its last line has no end. What is no regular file has neither.
    fn look_at(&self, metadata: &Metadata) -> io::Result<(Option<Ticks>, bool)> {
        if !metadata.is_file() || metadata.len() == 0 {
            return Ok((None, false));
        }
        let modified = Ticks::from_unix_ns(metadata.mtime().max(0) as u64 * 1_000_000_000);
        // Where it may not be read, its last change has to do.
        let Ok(file) = File::open(&self.path) else { return Ok((Some(modified), false)) };
        let mut last = [0];
        file.read_exact_at(&mut last, metadata.len() - 1)?;
        let mut line = Vec::new();
        BufReader::new(file.take(FIRST_LINE_BYTES_MAX)).read_until(b'\n', &mut line)?;
        let row = serde_json::from_slice::<serde_json::Value>(&line).unwrap_or_default();
        let time = row["TimeGenerated"].as_str().and_then(parse_datetime);
        Ok((Some(time.unwrap_or(modified)), last != *b"\n"))
    }

    /// Appends the text, or nothing but its whole lines. Gives how many lines were written, if not all.
    fn append(&mut self, now: Ticks) -> Result<(), (u64, io::Error)> {
        let text = std::mem::take(&mut self.text);
        let result = self.open(now).and_then(|open| {
            if open.is_cut {
                open.file.write_all(b"\n")?;
                open.bytes += 1;
                open.is_cut = false;
            }
            Ok(open)
        });
        let result = result.map_err(|error| (0, error)).and_then(|open| {
            let mut written = 0;
            while written < text.len() {
                match open.file.write(&text[written..]) {
                    Ok(count @ 1..) => written += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    failed => {
                        let error = failed.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into());
                        let whole = memchr::memrchr(b'\n', &text[..written]).map_or(0, |end| end + 1);
                        open.bytes += whole as u64;
                        let _ = open.file.set_len(open.bytes);
                        return Err((memchr::memchr_iter(b'\n', &text[..whole]).count() as u64, error));
                    }
                }
            }
            open.bytes += text.len() as u64;
            open.begun_at.get_or_insert(now);
            Ok(())
        });
        self.text = text;
        result
    }

    /// Rotates the file if it is time to.
    fn rotate(&mut self, now: Ticks) -> io::Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        let named = fs::metadata(&self.path).ok();
        let own = open.file.metadata()?;
        let is_other = named.is_none_or(|named| (named.dev(), named.ino()) != (own.dev(), own.ino()));
        let age_max = i64::try_from(self.rotation.age_max.as_nanos() / 100).unwrap_or(i64::MAX);
        let is_old = open.begun_at.is_some_and(|begun_at| now.0 - begun_at.0 >= age_max);
        if is_other {
            self.open = None;
        } else if open.bytes > 0 && (is_old || open.bytes >= self.rotation.bytes_max) {
            fs::rename(&self.path, rotated_name(&self.path, now))?;
            self.open = None;
        }
        Ok(())
    }

    /// Deletes rotated files that are too many, and has one that is not compressed compressed.
    fn keep_rotated(&mut self, now: Ticks) -> io::Result<()> {
        if self.compressing.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return Ok(());
        }
        match self.compressing.take().map(JoinHandle::join) {
            None | Some(Err(_)) => {}
            Some(Ok(Ok(()))) => self.not_compressed = None,
            Some(Ok(Err(error))) => {
                let before =
                    self.not_compressed.take().map_or(COMPRESSION_PAUSE_LEAST / 2, |failed| failed.pause);
                let pause = (before * 2).min(COMPRESSION_PAUSE_MOST);
                self.not_compressed =
                    Some(FailedCompression { reason: self.told(&error), failed_at: now, pause });
            }
        }
        let mut rotated = rotated_files(&self.path)?;
        for old in rotated.drain(..rotated.len().saturating_sub(self.rotation.kept)) {
            fs::remove_file(old)?;
        }
        let is_pausing = self
            .not_compressed
            .as_ref()
            .is_some_and(|failed| (0..failed.pause).contains(&(now.0 - failed.failed_at.0)));
        let plain = rotated.into_iter().find(|file| file.extension().is_none_or(|end| end != "gz"));
        match plain.filter(|_| !is_pausing) {
            Some(plain) => {
                let run = move || {
                    let _ = come_last();
                    compress(&plain)
                };
                self.compressing = Some(thread::Builder::new().name("log-gzip".to_owned()).spawn(run)?);
            }
            // Somebody else has compressed or removed it.
            None if !is_pausing => self.not_compressed = None,
            None => {}
        }
        Ok(())
    }
}

impl RowWriter for JsonFileWriter {
    const PATIENCE: Duration = Duration::from_millis(500);

    fn write(&mut self, rows: &[LogRow], now: Ticks) -> Result<(), WriteFault> {
        self.text.clear();
        rows.iter().for_each(|row| push_json_line(&mut self.text, row));
        self.append(now).map_err(|(written, error)| WriteFault {
            rows_lost: (rows.len() as u64).saturating_sub(written),
            reason: self.told(&error),
        })
    }

    fn upkeep(&mut self, now: Ticks) -> Result<(), WriteFault> {
        let rotated = self.rotate(now);
        let kept = rotated.and(self.keep_rotated(now)).map_err(|error| self.told(&error));
        let not_compressed = self.not_compressed.as_ref().map(|failed| failed.reason.clone());
        match kept.err().or(not_compressed) {
            None => Ok(()),
            Some(reason) => Err(WriteFault { rows_lost: 0, reason }),
        }
    }
}

fn rotated_name(path: &Path, now: Ticks) -> PathBuf {
    let time: String = datetime_text(now.0).chars().filter(char::is_ascii_alphanumeric).collect();
    let mut name = path.as_os_str().to_owned();
    // To the millisecond.
    name.push(format!(".{}Z", &time[..18]));
    name.into()
}

/// The rotated files, the oldest first.
fn rotated_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A link, which somebody else has made, is none of them.
        if !entry.file_type()?.is_file() {
            continue;
        }
        let entry = entry.path();
        let other = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let time = other.strip_prefix(&name).and_then(|rest| rest.strip_prefix('.'));
        let time = time.map(|time| time.strip_suffix(".gz").unwrap_or(time));
        if time.is_some_and(|time| time.len() == 19 && time.ends_with('Z') && time.as_bytes()[8] == b'T') {
            files.push(entry);
        }
    }
    files.sort();
    Ok(files)
}

/// Compresses a file, and removes it then. A compression that broke off is begun anew. Links are not followed.
fn compress(path: &Path) -> io::Result<()> {
    let named = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let (unfinished, finished) = (named(".gz.tmp"), named(".gz"));
    // From a compression that broke off.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let compressed = compress_into(path, &unfinished).and_then(|()| fs::rename(&unfinished, finished));
    if compressed.is_err() {
        // It takes room that others need.
        let _ = fs::remove_file(&unfinished);
    }
    compressed.and_then(|()| fs::remove_file(path))
}

fn compress_into(path: &Path, new: &Path) -> io::Result<()> {
    let source = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    let target = OpenOptions::new().create_new(true).write(true).mode(0o640).open(new)?;
    let mut encoder = GzEncoder::new(io::BufWriter::with_capacity(64 * 1024, target), Compression::default());
    io::copy(&mut BufReader::with_capacity(64 * 1024, source), &mut encoder)?;
    encoder.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tables::ConnectionRow;

    const NOW: Ticks = Ticks(639_000_000_000_000_000);

    fn writer(folder: &Path, bytes_max: u64, kept: usize) -> JsonFileWriter {
        let rotation = Rotation { bytes_max, age_max: Duration::from_secs(3600), kept };
        JsonFileWriter::new(folder.join("log.jsonl"), rotation)
    }

    fn rows(count: usize) -> Vec<LogRow> {
        vec![ConnectionRow::default().into(); count]
    }

    fn upkeep_to_the_end(writer: &mut JsonFileWriter, now: Ticks) {
        loop {
            writer.upkeep(now).expect("nothing is in the way");
            let Some(thread) = writer.compressing.take() else { return };
            thread.join().unwrap().expect("it is compressed");
        }
    }

    #[test]
    fn a_file_is_rotated_by_size_and_by_age_compressed_and_the_oldest_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path(), 1000, 2);
        for turn in 0..4 {
            let now = Ticks(NOW.0 + turn * Ticks::PER_SECOND);
            assert_eq!(writer.write(&rows(20), now), Ok(()));
            upkeep_to_the_end(&mut writer, now);
        }
        let rotated = rotated_files(&writer.path).unwrap();
        assert_eq!(rotated.len(), 2, "{rotated:?}");
        let mut text = String::new();
        flate2::read::GzDecoder::new(File::open(&rotated[0]).unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), 20);
        // Small, and old.
        assert_eq!(writer.write(&rows(1), NOW), Ok(()));
        upkeep_to_the_end(&mut writer, NOW);
        assert!(writer.path.exists());
        upkeep_to_the_end(&mut writer, Ticks(NOW.0 + 3600 * Ticks::PER_SECOND));
        assert!(!writer.path.exists());
    }

    fn hours_later(hours: i64) -> Ticks {
        Ticks(NOW.0 + hours * 3600 * Ticks::PER_SECOND)
    }

    #[test]
    fn the_age_of_a_file_is_that_of_its_first_row_through_restarts_and_later_rows() {
        let folder = tempfile::tempdir().unwrap();
        let writer = || writer(folder.path(), 1 << 30, 9);
        let row = |at| ConnectionRow { time_generated: at, ..ConnectionRow::default() };
        let now = Ticks::from_unix_ns(crate::observe::event_ring::wall_ns());
        let at = |minutes: i64| Ticks(now.0 + minutes * 60 * Ticks::PER_SECOND);
        for minutes in [-50, -20] {
            let mut writer = writer();
            writer.write(&[row(at(minutes)).into()], at(minutes)).unwrap();
            writer.upkeep(at(minutes)).unwrap();
            assert!(writer.path.exists());
        }
        // The file was changed just now, and its first row is 59 minutes old, then an hour.
        let mut last = writer();
        last.write(&[row(at(9)).into()], at(9)).unwrap();
        last.upkeep(at(9)).unwrap();
        assert!(last.path.exists());
        last.upkeep(at(10)).unwrap();
        assert!(!last.path.exists());
    }

    #[test]
    fn a_line_that_a_killed_process_left_unfinished_is_ended_and_no_row_is_glued_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = writer(folder.path(), 1 << 20, 2);
        first.write(&rows(2), NOW).unwrap();
        drop(first);
        let path = folder.path().join("log.jsonl");
        let text = fs::read(&path).unwrap();
        for cut in [1, 7, text.len() / 2 - 1] {
            fs::write(&path, &text[..text.len() - cut]).unwrap();
            let mut second = writer(folder.path(), 1 << 20, 2);
            second.write(&rows(1), NOW).unwrap();
            second.write(&rows(1), NOW).unwrap();
            let written = fs::read_to_string(&path).unwrap();
            let (begin, lines) = written.split_at(text.len() - cut);
            assert_eq!(begin.as_bytes(), &text[..text.len() - cut]);
            let whole = String::from_utf8_lossy(&text[..text.len() / 2]);
            assert_eq!(lines, format!("\n{whole}{whole}"), "cut by {cut}");
        }
    }

    #[test]
    fn a_compression_that_fails_is_left_alone_for_a_while_longer_each_time_and_shown_until_it_works() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path(), 10, 9);
        let mut now = NOW;
        writer.write(&rows(1), now).unwrap();
        // Something that is no file is in the way.
        let blocked = rotated_name(&writer.path, now);
        let blocked = PathBuf::from(format!("{}.gz.tmp", blocked.display()));
        fs::create_dir(&blocked).unwrap();
        let mut tried_at = Vec::new();
        let mut is_shown = false;
        for second in 0..1000 {
            now = Ticks(NOW.0 + second * Ticks::PER_SECOND);
            let kept = writer.upkeep(now);
            assert!(kept.is_err() || !is_shown, "{second}");
            is_shown |= kept.is_err();
            if let Some(thread) = &writer.compressing {
                tried_at.push(second);
                while !thread.is_finished() {
                    thread::yield_now();
                }
            }
        }
        assert_eq!(tried_at, [0, 61, 182, 423, 904]);
        fs::remove_dir(&blocked).unwrap();
        while writer.upkeep(hours_later(2)).is_err() || writer.compressing.is_some() {
            thread::yield_now();
        }
        assert!(rotated_files(&writer.path).unwrap().iter().all(|file| file.extension().unwrap() == "gz"));
    }

    #[test]
    fn links_in_the_place_of_rotated_and_unfinished_files_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path(), 10, 9);
        let victim = folder.path().join("victim");
        fs::write(&victim, "kept").unwrap();
        let link = |name: &Path| std::os::unix::fs::symlink(&victim, name).unwrap();
        link(&PathBuf::from(format!("{}.gz.tmp", rotated_name(&writer.path, NOW).display())));
        link(&rotated_name(&writer.path, hours_later(-1)));
        writer.write(&rows(1), NOW).unwrap();
        upkeep_to_the_end(&mut writer, NOW);
        let rotated = rotated_files(&writer.path).unwrap();
        assert_eq!(rotated.len(), 1, "{rotated:?}");
        assert!(rotated[0].extension().is_some_and(|end| end == "gz"));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "kept");
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path(), 1 << 20, 2);
        writer.write(&rows(1), NOW).unwrap();
        fs::rename(&writer.path, folder.path().join("moved")).unwrap();
        writer.upkeep(NOW).unwrap();
        writer.write(&rows(2), NOW).unwrap();
        assert_eq!(fs::read_to_string(&writer.path).unwrap().lines().count(), 2);
    }

    #[test]
    fn a_device_that_is_full_costs_rows_that_are_counted() {
        let rotation = Rotation { bytes_max: 1000, age_max: Duration::from_secs(3600), kept: 1 };
        let mut writer = JsonFileWriter::new("/dev/full".into(), rotation);
        let fault = writer.write(&rows(3), NOW).expect_err("it is full");
        assert_eq!(fault.rows_lost, 3);
        assert!(fault.reason.starts_with("/dev/full: no space left on device"), "{}", fault.reason);
    }
}
