//! Lines to standard output: rows as JSON, or access lines.
//!
//! The property to trust: a reader that stops reading stops nothing but this sink, whose queue then drops rows.
//!
//! Not here: the form of the lines (`json_line`, `access_line`).

use super::access_line::AccessLines;
use super::json_line::push_json_line;
use super::queue::{RowWriter, WriteFault};
use crate::observe::tables::Ticks;
use crate::process::files::reason;
use crate::process::log::queue::Output;
use crate::telemetry::sink::LogRow;
use std::io;
use std::time::Duration;

/// The form of a line.
pub trait LineForm: Send + 'static {
    /// Appends the line of a row, if it has one.
    fn push(&mut self, text: &mut Vec<u8>, row: &LogRow);
}

/// Every row as JSON.
#[derive(Debug)]
pub struct JsonForm;

impl LineForm for JsonForm {
    fn push(&mut self, text: &mut Vec<u8>, row: &LogRow) {
        push_json_line(text, row);
    }
}

impl LineForm for AccessLines {
    fn push(&mut self, text: &mut Vec<u8>, row: &LogRow) {
        let mut line = String::new();
        Self::push(self, &mut line, row);
        text.extend_from_slice(line.as_bytes());
    }
}

/// Writes lines to an output.
#[derive(Debug)]
pub struct LineWriter<F, O> {
    form: F,
    output: O,
    text: Vec<u8>,
}

impl<F: LineForm, O: Output> LineWriter<F, O> {
    /// Writes lines of this form to `output`.
    pub fn new(form: F, output: O) -> Self {
        Self { form, output, text: Vec::new() }
    }

    fn write_all(&mut self) -> io::Result<()> {
        let mut written = 0;
        while written < self.text.len() {
            match self.output.write(&self.text[written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.output.wait(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<F: LineForm, O: Output> RowWriter for LineWriter<F, O> {
    // Somebody may be watching.
    const PATIENCE: Duration = Duration::from_millis(20);

    fn write(&mut self, rows: &[LogRow], _now: Ticks) -> Result<(), WriteFault> {
        self.text.clear();
        rows.iter().for_each(|row| self.form.push(&mut self.text, row));
        self.write_all().map_err(|error| WriteFault {
            rows_lost: rows.len() as u64,
            reason: format!(
                "standard output: {}; give it a reader, or set logs.json_stdout and logs.access_lines to false",
                reason(&error)
            ),
        })
    }

    fn upkeep(&mut self, _now: Ticks) -> Result<(), WriteFault> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tables::ConnectionRow;

    /// Takes some bytes at a time, up to as many as it has room for.
    struct Narrow {
        taken: Vec<u8>,
        room: usize,
        would_block: bool,
    }

    impl Output for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.would_block = !self.would_block;
            if self.would_block {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = bytes.len().min(7).min(self.room - self.taken.len());
            if count == 0 {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn wait(&mut self) {}
    }

    #[test]
    fn lines_are_written_whole_however_little_the_output_takes_at_once() {
        let output = Narrow { taken: Vec::new(), room: usize::MAX, would_block: false };
        let mut writer = LineWriter::new(JsonForm, output);
        let rows = [ConnectionRow::default().into(), ConnectionRow::default().into()];
        assert_eq!(writer.write(&rows, Ticks(0)), Ok(()));
        let lines = String::from_utf8(writer.output.taken).unwrap();
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.ends_with("}\n"), "{lines}");
    }

    #[test]
    fn an_output_without_room_is_told_with_what_to_do() {
        let output = Narrow { taken: Vec::new(), room: 10, would_block: false };
        let mut writer = LineWriter::new(JsonForm, output);
        let fault = writer.write(&[ConnectionRow::default().into()], Ticks(0)).expect_err("no room");
        assert_eq!(fault.rows_lost, 1);
        assert!(fault.reason.starts_with("standard output: no space left on device"), "{}", fault.reason);
    }
}
