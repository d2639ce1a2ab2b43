//! Rows as JSON lines in a file that is rotated by size and age; rotated files are compressed.
//!
//! ```text
//! log.jsonl ──full, or old──► log.jsonl.20261130T140012345Z ──gzip, on a thread of its own──► log.jsonl.20261130T140012345Z.gz
//! ```
//!
//! The property to trust: the file has whole lines only. What a full disk cut is cut away again, and counted as lost. A file that
//! another program moved or removed (logrotate) is begun anew within a second.

use super::json_line::push_json_line;
use super::queue::{RowWriter, WriteFault};
use crate::observe::tables::Ticks;
use crate::process::files::reason;
use crate::process::scheduling::come_last;
use crate::telemetry::calendar::datetime_text;
use crate::telemetry::sink::LogRow;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
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

#[derive(Debug)]
struct OpenFile {
    file: File,
    bytes: u64,
    opened_at: Ticks,
}

/// Writes JSON lines to a file.
#[derive(Debug)]
pub struct JsonFileWriter {
    path: PathBuf,
    rotation: Rotation,
    open: Option<OpenFile>,
    compressing: Option<JoinHandle<io::Result<()>>>,
    text: Vec<u8>,
}

impl JsonFileWriter {
    /// A writer to the file at `path`.
    pub fn new(path: PathBuf, rotation: Rotation) -> Self {
        Self { path, rotation, open: None, compressing: None, text: Vec::new() }
    }

    fn fault(&self, rows_lost: u64, error: &io::Error) -> WriteFault {
        let why = reason(error);
        let path = self.path.display();
        WriteFault {
            rows_lost,
            reason: format!("{path}: {why}; free space on the disk, or change logs.json_file"),
        }
    }

    /// Opens the file if it is not open, or if its name is another file's by now.
    fn open(&mut self, now: Ticks) -> io::Result<&mut OpenFile> {
        if self.open.is_none() {
            let file = OpenOptions::new().create(true).append(true).mode(0o640).open(&self.path)?;
            let metadata = file.metadata()?;
            let modified = Ticks::from_unix_ns(metadata.mtime().max(0) as u64 * 1_000_000_000);
            let opened_at = if metadata.len() > 0 { modified.min(now) } else { now };
            self.open = Some(OpenFile { file, bytes: metadata.len(), opened_at });
        }
        Ok(self.open.as_mut().expect("it was opened just now"))
    }

    /// Appends the text, or nothing but its whole lines. Gives how many lines were written, if not all.
    fn append(&mut self, now: Ticks) -> Result<(), (u64, io::Error)> {
        let text = std::mem::take(&mut self.text);
        let result = self.open(now).map_err(|error| (0, error)).and_then(|open| {
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
            Ok(())
        });
        self.text = text;
        result
    }

    /// Rotates the file if it is time to, and looks after the rotated ones.
    fn rotate(&mut self, now: Ticks) -> io::Result<()> {
        if let Some(open) = &self.open {
            let named = fs::metadata(&self.path).ok();
            let own = open.file.metadata()?;
            let is_other = named.is_none_or(|named| (named.dev(), named.ino()) != (own.dev(), own.ino()));
            let age_max = i64::try_from(self.rotation.age_max.as_nanos() / 100).unwrap_or(i64::MAX);
            let is_due = open.bytes >= self.rotation.bytes_max || now.0 - open.opened_at.0 >= age_max;
            if is_other {
                self.open = None;
            } else if is_due && open.bytes > 0 {
                fs::rename(&self.path, rotated_name(&self.path, now))?;
                self.open = None;
            }
        }
        let is_compressing = self.compressing.as_ref().is_some_and(|thread| !thread.is_finished());
        if !is_compressing {
            if let Some(Ok(result)) = self.compressing.take().map(JoinHandle::join) {
                result?;
            }
            let rotated = rotated_files(&self.path)?;
            for old in &rotated[..rotated.len().saturating_sub(self.rotation.kept)] {
                fs::remove_file(old)?;
            }
            let plain = rotated.into_iter().find(|file| file.extension().is_none_or(|end| end != "gz"));
            if let Some(plain) = plain.filter(|file| file.exists()) {
                let run = move || {
                    let _ = come_last();
                    compress(&plain)
                };
                self.compressing = Some(thread::Builder::new().name("log-gzip".to_owned()).spawn(run)?);
            }
        }
        Ok(())
    }
}

impl RowWriter for JsonFileWriter {
    const PATIENCE: Duration = Duration::from_millis(500);

    fn write(&mut self, rows: &[LogRow], now: Ticks) -> Result<(), WriteFault> {
        self.text.clear();
        rows.iter().for_each(|row| push_json_line(&mut self.text, row));
        self.append(now)
            .map_err(|(written, error)| self.fault((rows.len() as u64).saturating_sub(written), &error))
    }

    fn upkeep(&mut self, now: Ticks) -> Result<(), WriteFault> {
        self.rotate(now).map_err(|error| self.fault(0, &error))
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
        let entry = entry?.path();
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

/// Compresses a file, and removes it then. A compression that broke off is begun anew.
fn compress(path: &Path) -> io::Result<()> {
    let named = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let unfinished = named(".gz.tmp");
    let target = OpenOptions::new().create(true).truncate(true).write(true).mode(0o640).open(&unfinished)?;
    let mut encoder = GzEncoder::new(io::BufWriter::with_capacity(64 * 1024, target), Compression::default());
    io::copy(&mut io::BufReader::with_capacity(64 * 1024, File::open(path)?), &mut encoder)?;
    encoder.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&unfinished, named(".gz"))?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tables::ConnectionRow;
    use std::io::Read as _;

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
