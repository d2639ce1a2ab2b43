//! The last things that happened, for whoever has to understand a failure.

use std::collections::VecDeque;
use std::fmt;

/// How many are kept.
const NOTES: usize = 400;

#[derive(Clone, Copy, Debug)]
struct Note {
    at: u64,
    what: &'static str,
    id: usize,
    value: i64,
}

/// A short memory: of all sessions, or of the one that `RINGGATE_SIM_SESSION` names.
#[derive(Debug)]
pub struct Trace {
    notes: VecDeque<Note>,
    session: Option<usize>,
}

impl Trace {
    pub fn new() -> Self {
        let session = std::env::var("RINGGATE_SIM_SESSION").ok().and_then(|value| value.parse().ok());
        Self { notes: VecDeque::new(), session }
    }

    /// Something happened to a connection.
    pub fn note(&mut self, at: u64, what: &'static str, id: usize, value: i64) {
        if self.session.is_some_and(|session| session != id / 2) {
            return;
        }
        if self.notes.len() == NOTES {
            self.notes.pop_front();
        }
        self.notes.push_back(Note { at, what, id, value });
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Note { at, what, id, value } in &self.notes {
            let leg = if id & 1 == 0 { "downstream" } else { "upstream" };
            writeln!(formatter, "  {at:>6} ms  {what} session {} {leg}: {value}", id / 2)?;
        }
        Ok(())
    }
}
