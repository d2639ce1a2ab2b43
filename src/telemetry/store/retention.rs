//! Which segments are deleted: the oldest, by age and by the bytes of all.

use super::segment::{begin_of, beside};
use crate::observe::tables::Ticks;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How long rows are kept, and how many bytes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Days.
    pub days: u64,
    /// Bytes of all segments.
    pub bytes_max: u64,
}

impl Retention {
    /// Bytes at which a segment ends: an eighth of all, so that deleting one leaves most rows.
    pub fn segment_bytes_max(&self) -> u64 {
        self.bytes_max / 8
    }

    /// The age at which a segment ends: a day, or an eighth of a longer time.
    pub fn segment_ticks_max(&self) -> i64 {
        days(self.days.div_ceil(8))
    }
}

fn days(days: u64) -> i64 {
    i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(86_400 * Ticks::PER_SECOND)
}

/// A segment in the store's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Its main file.
    pub path: PathBuf,
    /// When it began.
    pub begin: Ticks,
    /// It is set aside.
    pub is_damaged: bool,
    /// Bytes of its files.
    pub bytes: u64,
}

/// The segments of a folder, the oldest first.
///
/// # Errors
/// The folder cannot be read.
pub fn list(folder: &Path) -> io::Result<Vec<SegmentFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Nobody but a stranger puts a link there.
        if entry.file_type()?.is_symlink() {
            continue;
        }
        let path = entry.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some((begin, is_damaged)) = begin_of(&name) {
            let bytes = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
            let bytes = bytes(&path) + beside(&path).iter().map(|path| bytes(path)).sum::<u64>();
            files.push(SegmentFile { path, begin, is_damaged, bytes });
        }
    }
    files.sort_by(|one, other| (one.begin, &one.path).cmp(&(other.begin, &other.path)));
    Ok(files)
}

/// How many of the oldest segments are to be deleted. The newest stays, whatever its size: it is written to.
pub fn expired(files: &[SegmentFile], now: Ticks, retention: &Retention) -> usize {
    let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let oldest_kept = now.0.saturating_sub(days(retention.days));
    let is_expired = |pair: &[SegmentFile]| {
        // Its last row came when the next one began.
        let is_old = pair[1].begin.0 < oldest_kept;
        let is_too_much = bytes > retention.bytes_max;
        bytes -= pair[0].bytes;
        is_old || is_too_much
    };
    files.windows(2).map(is_expired).take_while(|is| *is).count()
}

/// Deletes a segment's files.
///
/// # Errors
/// The main file cannot be deleted.
pub fn delete(file: &SegmentFile) -> io::Result<()> {
    fs::remove_file(&file.path)?;
    beside(&file.path).into_iter().for_each(|path| drop(fs::remove_file(path)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETENTION: Retention = Retention { days: 7, bytes_max: 1000 };

    fn files(of: &[(u64, u64)]) -> Vec<SegmentFile> {
        let file = |(begin_day, bytes): &(u64, u64)| SegmentFile {
            path: begin_day.to_string().into(),
            begin: Ticks(days(*begin_day)),
            is_damaged: false,
            bytes: *bytes,
        };
        of.iter().map(file).collect()
    }

    fn expired_at(day: u64, of: &[(u64, u64)]) -> usize {
        expired(&files(of), Ticks(days(day)), &RETENTION)
    }

    #[test]
    fn a_segment_is_deleted_when_the_next_one_is_older_than_the_days_or_all_are_too_large() {
        assert_eq!(expired_at(10, &[]), 0);
        assert_eq!(expired_at(100, &[(1, 5000)]), 0, "the newest stays");
        assert_eq!(expired_at(8, &[(1, 1), (2, 1)]), 0);
        assert_eq!(expired_at(9, &[(1, 1), (2, 1), (3, 1)]), 0, "its last row is seven days old");
        assert_eq!(expired_at(10, &[(1, 1), (2, 1), (3, 1)]), 1);
        assert_eq!(expired_at(3, &[(1, 400), (2, 400), (3, 200)]), 0);
        assert_eq!(expired_at(3, &[(1, 400), (2, 400), (3, 201)]), 1);
        assert_eq!(expired_at(3, &[(1, 400), (2, 1000), (3, 1)]), 2);
    }

    #[test]
    fn segments_are_an_eighth_of_what_is_kept_and_no_shorter_than_a_day() {
        for (kept, segment) in [(1, 1), (7, 1), (8, 1), (9, 2), (30, 4), (3650, 457)] {
            assert_eq!(Retention { days: kept, bytes_max: 1 }.segment_ticks_max(), days(segment), "{kept}");
        }
    }
}
