//! A record layer with a bug of one's choice: a way to break a session from within, for tests.

use crate::tls::record::{Alert, Exhausted, HeldRecord, RecordFault, Records, Step, Suite};

/// A record layer that does not keep its word.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FaultyRecords {
    /// It opens more than was received.
    OpensMore,
    /// It reads on behind what was received.
    ReadsOn,
    /// It seals less than it announced.
    SealsLess,
    /// It announces less than there is to be sealed.
    AnnouncesNothing,
    /// It panics.
    Panics,
}

impl Records for FaultyRecords {
    fn open(&mut self, received: &mut [u8], at: &mut usize) -> Result<Step, RecordFault> {
        match self {
            Self::OpensMore => Ok(Step::Plaintext(0..received.len() + 1)),
            Self::ReadsOn => {
                *at = received.len() + 1;
                Ok(Step::Hold)
            }
            Self::SealsLess | Self::AnnouncesNothing => Ok(Step::Done),
            Self::Panics => panic!("an invariant of everybody's"),
        }
    }

    fn held(&self) -> HeldRecord {
        HeldRecord::new(Suite::ALL[0])
    }

    fn is_sealing(&self) -> bool {
        true
    }

    fn owes(&self) -> bool {
        false
    }

    fn sealed_bytes(&self, content_bytes: usize) -> usize {
        if matches!(self, Self::AnnouncesNothing) { 0 } else { content_bytes + 22 }
    }

    fn seal(&mut self, _: &[&[u8]], _: &mut [u8]) -> Result<usize, Exhausted> {
        Ok(1)
    }

    fn sealed_alert_bytes(&self) -> usize {
        0
    }

    fn seal_alert(&mut self, _: Alert, _: &mut [u8]) -> Result<usize, Exhausted> {
        Ok(0)
    }

    fn is_closed_by_peer(&self) -> bool {
        false
    }

    fn rest(&mut self) {}
}
