//! The record layer of a carrier: TLS records around its bytes.
//!
//! Not here: when records are opened or sealed (`sealing`), and the records themselves (`tls::record`).

use crate::ring::BufferPool;
use crate::tls::record::{Alert, Exhausted, HeldRecord, LegRecords, RecordFault, Step};
use std::ops::Range;

/// The state that opens and seals records.
///
/// Kernel TLS will be another one: there the socket does both, what is received is plaintext, and what is sent goes as it is.
#[derive(Debug)]
#[cfg_attr(test, expect(clippy::large_enum_variant, reason = "the small one is for tests only"))]
pub enum Records {
    /// AEADs in this process.
    InProcess(LegRecords),
    /// One with a bug.
    #[cfg(test)]
    Faulty(super::FaultyRecords),
}

/// How long ago records' keys were used, as far as looks at it tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseOfKeys {
    /// Since the last look.
    Recent,
    /// Between the last two looks.
    Past,
    /// The parts that can be derived again are dropped.
    Dropped,
}

impl UseOfKeys {
    /// After one more look.
    pub(super) fn after_look(self) -> Self {
        match self {
            Self::Recent => Self::Past,
            Self::Past | Self::Dropped => Self::Dropped,
        }
    }
}

/// The records around a carrier's bytes.
#[derive(Debug)]
pub struct RecordLayer {
    /// Opens what comes and seals what goes.
    pub records: Records,
    /// A record whose end has not come.
    pub held: Option<HeldRecord>,
    /// The bytes that the buffer pool counts for this layer.
    pub held_bytes: usize,
    /// Nothing that comes matters any more: it is not opened.
    pub is_input_discarded: bool,
    /// How long ago its keys were used.
    pub use_of_keys: UseOfKeys,
    /// Records that were opened since somebody asked.
    pub opened: u32,
}

/// The result of opening received records.
pub(super) struct Opened {
    /// Where in the received bytes their content stands now, all of it in a row.
    pub(super) content: Range<usize>,
    pub(super) end: Option<EndOfInput>,
}

/// Nothing more of a leg is to be understood.
pub(super) enum EndOfInput {
    /// The peer said so in good order.
    Closed,
    /// The peer gave up.
    Alerted,
    /// The peer broke a rule.
    Faulty(RecordFault),
    /// Records were opened beyond what was received: their layer is broken.
    Beyond { opened: usize, received: usize },
}

/// A record that was held.
pub(super) enum Whole {
    NotYet,
    Record(Vec<u8>),
    Faulty(RecordFault),
}

impl From<LegRecords> for Box<RecordLayer> {
    fn from(records: LegRecords) -> Self {
        Self::new(RecordLayer::new(Records::InProcess(records)))
    }
}

impl RecordLayer {
    /// A layer whose records are at the boundary between two.
    pub fn new(records: Records) -> Self {
        Self {
            records,
            held: None,
            held_bytes: 0,
            is_input_discarded: false,
            use_of_keys: UseOfKeys::Recent,
            opened: 0,
        }
    }

    /// From here on nothing that comes matters.
    pub(super) fn discard_input(&mut self, pool: &mut BufferPool) {
        self.is_input_discarded = true;
        self.held = None;
        pool.remove_backlog(std::mem::take(&mut self.held_bytes));
    }

    /// Adds what belongs to the record that is held; gives how many bytes did, and the record if it is whole.
    pub(super) fn fill_held(&mut self, received: &[u8]) -> Result<(usize, Whole), RecordFault> {
        let Some(mut held) = self.held.take() else { return Ok((0, Whole::NotYet)) };
        let taken = held.fill(received)?;
        if held.is_whole() {
            return Ok((taken, Whole::Record(held.into_bytes())));
        }
        self.held = Some(held);
        Ok((taken, Whole::NotYet))
    }

    /// A look at how long ago the keys were used: at the second one since then, what can be made of them again is dropped. Gives
    /// whether there is something left to drop.
    pub(super) fn rest_if_unused(&mut self) -> bool {
        let before = self.use_of_keys;
        self.use_of_keys = before.after_look();
        let is_at_rest = self.use_of_keys == UseOfKeys::Dropped;
        if is_at_rest && before != UseOfKeys::Dropped {
            self.records.rest();
        }
        !is_at_rest
    }

    /// Opens records in place, and moves their contents together. What is cut at the end is held.
    pub(super) fn open(&mut self, received: &mut [u8]) -> Opened {
        self.use_of_keys = UseOfKeys::Recent;
        let mut at = 0;
        let mut content = 0..0;
        let end = loop {
            let step = self.records.open(received, &mut at);
            self.opened += 1;
            let opened = if let Ok(Step::Plaintext(range)) = &step { range.end.max(at) } else { at };
            if opened > received.len() {
                break Some(EndOfInput::Beyond { opened, received: received.len() });
            }
            match step {
                Ok(Step::Plaintext(range)) if content.is_empty() => content = range,
                Ok(Step::Plaintext(range)) => {
                    let end = content.end + range.len();
                    received.copy_within(range, content.end);
                    content.end = end;
                }
                Ok(Step::Ticket(_)) => {}
                Ok(Step::Hold) => {
                    let mut held = self.records.held();
                    match held.fill(&received[at..]) {
                        Ok(_) => {
                            self.held = Some(held);
                            break None;
                        }
                        Err(fault) => break Some(EndOfInput::Faulty(fault)),
                    }
                }
                Ok(Step::Done) => break None,
                Ok(Step::Closed) => break Some(EndOfInput::Closed),
                Ok(Step::Alert(_)) => break Some(EndOfInput::Alerted),
                Err(fault) => break Some(EndOfInput::Faulty(fault)),
            }
        };
        Opened { content, end }
    }
}

/// As for [`LegRecords`].
#[expect(missing_docs, reason = "each is that of `LegRecords`")]
impl Records {
    pub fn open(&mut self, received: &mut [u8], at: &mut usize) -> Result<Step, RecordFault> {
        match self {
            Self::InProcess(records) => records.open(received, at),
            #[cfg(test)]
            Self::Faulty(records) => records.open(received, at),
        }
    }

    pub fn held(&self) -> HeldRecord {
        match self {
            Self::InProcess(records) => records.held(),
            #[cfg(test)]
            Self::Faulty(records) => records.held(),
        }
    }

    pub fn owes(&self) -> bool {
        match self {
            Self::InProcess(records) => records.owes(),
            #[cfg(test)]
            Self::Faulty(_) => false,
        }
    }

    pub fn sealed_bytes(&self, content_bytes: usize) -> usize {
        match self {
            Self::InProcess(records) => records.sealed_bytes(content_bytes),
            #[cfg(test)]
            Self::Faulty(records) => records.sealed_bytes(content_bytes),
        }
    }

    pub fn seal(&mut self, pieces: &[&[u8]], out: &mut [u8]) -> Result<usize, Exhausted> {
        match self {
            Self::InProcess(records) => records.seal(pieces, out),
            #[cfg(test)]
            Self::Faulty(records) => records.seal(),
        }
    }

    pub fn sealed_alert_bytes(&self) -> usize {
        match self {
            Self::InProcess(records) => records.sealed_alert_bytes(),
            #[cfg(test)]
            Self::Faulty(_) => 0,
        }
    }

    pub fn seal_alert(&mut self, alert: Alert, out: &mut [u8]) -> Result<usize, Exhausted> {
        match self {
            Self::InProcess(records) => records.seal_alert(alert, out),
            #[cfg(test)]
            Self::Faulty(_) => Ok(0),
        }
    }

    pub fn is_closed_by_peer(&self) -> bool {
        match self {
            Self::InProcess(records) => records.is_closed_by_peer(),
            #[cfg(test)]
            Self::Faulty(_) => false,
        }
    }

    pub fn rest(&mut self) {
        match self {
            Self::InProcess(records) => records.rest(),
            #[cfg(test)]
            Self::Faulty(_) => {}
        }
    }
}
