//! Rows of a result as text: a table that fits the terminal, JSON lines, CSV.

use crate::telemetry::kql::{Cell, ResultColumn, Type, datetime_text, timespan_text};
use crate::telemetry::sinks::json_line::push_text;
use clap::ValueEnum;
use rustix::termios::tcgetwinsize;
use std::io::{self, IsTerminal as _};

/// The form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// A table for people; on a terminal as wide as that is
    Table,
    /// An object in each line
    Json,
    /// Comma-separated values with a head (RFC 4180)
    Csv,
}

/// Narrowest that a column is made so that others fit.
const COLUMN_CHARS_MIN: usize = 8;

/// Rows that are being shown.
#[derive(Debug)]
pub(super) struct Shown {
    form: Form,
    columns: Vec<ResultColumn>,
    /// Characters of a line; `None`: any.
    width: Option<usize>,
    /// Rows that wait for the widths of their columns.
    cells: Vec<Vec<String>>,
    /// Of the table so far.
    widths: Vec<usize>,
    text: String,
    has_head: bool,
    /// The head was taken.
    is_head_taken: bool,
}

impl Shown {
    pub(super) fn new(form: Form, columns: &[ResultColumn]) -> Self {
        Self::with_width(form, columns, terminal_width())
    }

    fn with_width(form: Form, columns: &[ResultColumn], width: Option<usize>) -> Self {
        let columns = columns.to_vec();
        let widths = columns.iter().map(|column| column.name.chars().count()).collect();
        let (cells, text) = (Vec::new(), String::new());
        Self { form, columns, width, cells, widths, text, has_head: false, is_head_taken: false }
    }

    /// Adds a row.
    pub(super) fn add(&mut self, row: &[Cell<'_>]) {
        match self.form {
            Form::Table => {
                let cells: Vec<_> = row.iter().map(|cell| one_line(&text_of(cell))).collect();
                for (width, cell) in self.widths.iter_mut().zip(&cells) {
                    *width = (*width).max(cell.chars().count());
                }
                self.cells.push(cells);
            }
            Form::Json => self.add_json(row),
            Form::Csv => {
                self.head_of_csv();
                let cells: Vec<_> = row.iter().map(|cell| quoted(&text_of(cell))).collect();
                self.text.push_str(&cells.join(","));
                self.text.push_str("\r\n");
            }
        }
    }

    /// Takes the text of the rows so far. The head of a table, or of CSV, is taken with the first, and by `is_whole` without rows too.
    pub(super) fn take(&mut self, is_whole: bool) -> String {
        match self.form {
            Form::Table => self.lay_out(is_whole),
            Form::Csv if is_whole => self.head_of_csv(),
            Form::Csv | Form::Json => {}
        }
        self.is_head_taken = self.has_head;
        std::mem::take(&mut self.text)
    }

    /// Forgets the rows that were added since text was taken last: their query begins anew.
    pub(super) fn forget(&mut self) {
        self.cells.clear();
        self.text.clear();
        self.has_head = self.is_head_taken;
    }

    /// What of the result is not shown; `None`: nothing.
    pub(super) fn note(&self) -> Option<String> {
        let shown = self.fitting().len();
        let hidden = self.columns.len() - shown;
        (self.form == Form::Table && hidden > 0).then(|| {
            format!(
                "{hidden} of {} columns do not fit the terminal: name fewer (| project …), or use -o json",
                self.columns.len()
            )
        })
    }

    fn add_json(&mut self, row: &[Cell<'_>]) {
        let mut line = vec![b'{'];
        for (index, (column, cell)) in self.columns.iter().zip(row).enumerate() {
            if index > 0 {
                line.push(b',');
            }
            push_text(&mut line, &column.name);
            line.push(b':');
            match cell {
                Cell::Text(_) | Cell::Datetime(_) | Cell::Timespan(_) => push_text(&mut line, &text_of(cell)),
                Cell::Real(number) if !number.is_finite() => line.extend_from_slice(b"null"),
                Cell::Real(number) => push_real(&mut line, *number),
                Cell::Null => line.extend_from_slice(b"null"),
                Cell::Bool(_) | Cell::Long(_) | Cell::Dynamic(_) => {
                    line.extend_from_slice(text_of(cell).as_bytes());
                }
            }
        }
        line.extend_from_slice(b"}\n");
        self.text.push_str(&String::from_utf8_lossy(&line));
    }

    fn head_of_csv(&mut self) {
        if !std::mem::replace(&mut self.has_head, true) {
            let names: Vec<_> = self.columns.iter().map(|column| quoted(&column.name)).collect();
            self.text.push_str(&names.join(","));
            self.text.push_str("\r\n");
        }
    }

    /// The widths of the columns that are shown: all of them, made narrower until they fit, or the first ones.
    fn fitting(&self) -> Vec<usize> {
        let mut widths = self.widths.clone();
        let Some(room) = self.width else { return widths };
        let taken = |widths: &[usize]| widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        while taken(&widths) > room {
            let Some(widest) = widths.iter_mut().max().filter(|width| **width > COLUMN_CHARS_MIN) else {
                widths.pop();
                continue;
            };
            *widest -= 1;
        }
        widths
    }

    fn lay_out(&mut self, is_whole: bool) {
        if self.cells.is_empty() && !is_whole {
            return;
        }
        let widths = self.fitting();
        let mut rows = std::mem::take(&mut self.cells);
        if !std::mem::replace(&mut self.has_head, true) {
            rows.insert(0, self.columns.iter().map(|column| column.name.clone()).collect());
        }
        for row in rows {
            let mut line = String::new();
            for ((cell, width), column) in row.iter().zip(&widths).zip(&self.columns) {
                let cell = cut(cell, *width);
                let blanks = " ".repeat(width - cell.chars().count());
                let is_number = matches!(column.kind, Type::Int | Type::Long | Type::Real);
                let padded = if is_number { blanks + &cell } else { cell + &blanks };
                line.push_str(&padded);
                line.push_str("  ");
            }
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }
}

/// The columns of the terminal that standard output is; `None`: it is none.
fn terminal_width() -> Option<usize> {
    let output = io::stdout();
    let size = output.is_terminal().then(|| tcgetwinsize(&output).ok()).flatten();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

fn text_of(cell: &Cell<'_>) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Bool(is) => is.to_string(),
        Cell::Long(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Text(text) | Cell::Dynamic(text) => (*text).to_owned(),
        Cell::Datetime(ticks) => datetime_text(*ticks),
        Cell::Timespan(ticks) => timespan_text(*ticks),
    }
}

fn push_real(line: &mut Vec<u8>, number: f64) {
    serde_json::to_writer(line, &number).expect("writing to a vector does not fail");
}

/// The text without what a terminal takes for a command.
fn one_line(text: &str) -> String {
    let shown =
        |char: char| if char.is_control() { char.escape_unicode().to_string() } else { char.to_string() };
    text.chars().map(shown).collect()
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tables::Ticks;

    fn columns(of: &[(&str, Type)]) -> Vec<ResultColumn> {
        of.iter().map(|(name, kind)| ResultColumn { name: (*name).to_owned(), kind: *kind }).collect()
    }

    fn shown(form: Form, width: Option<usize>) -> (String, Option<String>) {
        let columns = columns(&[
            ("Time", Type::Datetime),
            ("Count", Type::Long),
            ("Text", Type::String),
            ("More", Type::Dynamic),
        ]);
        let mut shown = Shown::with_width(form, &columns, width);
        let time = Cell::Datetime(Ticks::UNIX_EPOCH);
        shown.add(&[time, Cell::Long(7), Cell::Text("a \"b\", c\u{1b}"), Cell::Dynamic("{\"a\":1}")]);
        shown.add(&[Cell::Null, Cell::Null, Cell::Text(""), Cell::Null]);
        (shown.take(true), shown.note())
    }

    #[test]
    fn a_table_is_as_wide_as_it_needs_to_be_and_no_wider_than_the_terminal() {
        let whole = "Time                          Count  Text            More\n\
                     1970-01-01T00:00:00.0000000Z      7  a \"b\", c\\u{1b}  {\"a\":1}\n\n";
        assert_eq!(shown(Form::Table, None), (whole.to_owned(), None));
        let (narrow, note) = shown(Form::Table, Some(40));
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
        assert!(narrow.contains('…') && note.is_none(), "{narrow}");
        let (few, note) = shown(Form::Table, Some(20));
        assert!(few.lines().all(|line| line.chars().count() <= 20), "{few}");
        assert!(note.is_some_and(|note| note.starts_with("2 of 4 columns do not fit")), "{few}");
    }

    #[test]
    fn json_has_an_object_in_each_line_and_csv_quotes_what_needs_it() {
        let json = "{\"Time\":\"1970-01-01T00:00:00.0000000Z\",\"Count\":7,\"Text\":\"a \\\"b\\\", c\\u001b\",\"More\":{\"a\":1}}\n\
                    {\"Time\":null,\"Count\":null,\"Text\":\"\",\"More\":null}\n";
        assert_eq!(shown(Form::Json, Some(10)), (json.to_owned(), None));
        let csv = "Time,Count,Text,More\r\n1970-01-01T00:00:00.0000000Z,7,\"a \"\"b\"\", c\u{1b}\",\"{\"\"a\"\":1}\"\r\n,,,\r\n";
        assert_eq!(shown(Form::Csv, None), (csv.to_owned(), None));
    }

    #[test]
    fn rows_that_are_forgotten_leave_nothing_behind() {
        for (form, expected) in
            [(Form::Table, "A\n1\n"), (Form::Json, "{\"A\":1}\n"), (Form::Csv, "A\r\n1\r\n")]
        {
            let mut shown = Shown::with_width(form, &columns(&[("A", Type::Long)]), None);
            shown.add(&[Cell::Long(7)]);
            shown.forget();
            shown.add(&[Cell::Long(1)]);
            assert_eq!(shown.take(false), expected);
        }
    }

    #[test]
    fn a_table_that_goes_on_has_its_head_once() {
        let columns = columns(&[("A", Type::Long)]);
        let mut shown = Shown::with_width(Form::Table, &columns, None);
        assert_eq!(shown.take(false), "");
        shown.add(&[Cell::Long(1)]);
        assert_eq!(shown.take(false), "A\n1\n");
        shown.add(&[Cell::Long(22)]);
        assert_eq!(shown.take(false), "22\n");
    }
}
