//! A record layer that breaks in a chosen way, so that tests can break a session from within.

use crate::relay::record_layer::{RecordLayer, Records};
use crate::tls::record::{Exhausted, HeldRecord, RecordFault, Step, Suite};

/// A record layer that does not keep its word.
#[derive(Clone, Copy, Debug)]
pub enum FaultyRecords {
    /// It opens more than was received.
    OpensMore,
    /// It reads on behind what was received.
    ReadsOn,
    /// It seals less than it announced.
    SealsLess,
    /// It announces less than there is to be sealed.
    AnnouncesNothing,
    /// Its key has sealed all that it may.
    IsExhausted,
    /// It panics.
    Panics,
}

impl From<FaultyRecords> for Box<RecordLayer> {
    fn from(records: FaultyRecords) -> Self {
        Self::new(RecordLayer::new(Records::Faulty(records)))
    }
}

/// As for `LegRecords`.
impl FaultyRecords {
    pub(crate) fn open(self, received: &mut [u8], at: &mut usize) -> Result<Step, RecordFault> {
        match self {
            Self::OpensMore => Ok(Step::Plaintext(0..received.len() + 1)),
            Self::ReadsOn => {
                *at = received.len() + 1;
                Ok(Step::Hold)
            }
            Self::SealsLess | Self::AnnouncesNothing | Self::IsExhausted => Ok(Step::Done),
            Self::Panics => panic!("an invariant of everybody's"),
        }
    }

    pub(crate) fn held(self) -> HeldRecord {
        HeldRecord::new(Suite::ALL[0])
    }

    pub(crate) fn seal(self) -> Result<usize, Exhausted> {
        if matches!(self, Self::IsExhausted) { Err(Exhausted) } else { Ok(1) }
    }

    pub(crate) fn sealed_bytes(self, content_bytes: usize) -> usize {
        if matches!(self, Self::AnnouncesNothing) { 0 } else { content_bytes + 22 }
    }
}
