//! A record that was cut between received buffers, collected until it is whole.
//!
//! It takes heap of the record's declared length, which its header tells, and never more. The holder counts
//! [`HeldRecord::heap_bytes`] against a budget and gives the record a deadline.

use super::fault::RecordFault;
use super::header::{Parsed, parse_header};
use super::suite::{HEADER_BYTES, Suite};
use crate::export::{ExportFault, FieldReader, FieldWriter};

/// The start of a record whose rest has not come.
#[derive(Debug)]
pub struct HeldRecord {
    suite: Suite,
    bytes: Vec<u8>,
    /// How many bytes it will have: those of the header until that is whole.
    wanted: usize,
}

impl HeldRecord {
    /// Nothing of a record of `suite`.
    pub fn new(suite: Suite) -> Self {
        Self { suite, bytes: Vec::with_capacity(HEADER_BYTES), wanted: HEADER_BYTES }
    }

    /// Takes what belongs to the record from the start of `received`, and says how many bytes that was.
    ///
    /// # Errors
    /// The header is one that no record may have.
    pub fn fill(&mut self, received: &[u8]) -> Result<usize, RecordFault> {
        let mut taken = self.take(received);
        if self.bytes.len() == self.wanted
            && let Parsed::Record(record_bytes) = parse_header(&self.bytes, self.suite)?
            && record_bytes > self.wanted
        {
            self.wanted = record_bytes;
            self.bytes.reserve_exact(record_bytes - self.bytes.len());
            taken += self.take(&received[taken..]);
        }
        Ok(taken)
    }

    /// Whether the record is whole.
    pub fn is_whole(&self) -> bool {
        self.wanted > HEADER_BYTES && self.bytes.len() == self.wanted
    }

    /// The record as far as it came.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The record, which is whole.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Bytes of heap that it takes.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Writes the record as far as it came.
    pub fn export_fields(&self, writer: &mut FieldWriter) {
        // The suite is that of its leg, and how long it will be stands in its header.
        let Self { suite: _, bytes, wanted: _ } = self;
        writer.block("held_record", bytes);
    }

    /// Reads what [`Self::export_fields`] wrote of a leg of `suite`.
    ///
    /// # Errors
    /// It is cut, or not the start of one record.
    pub fn import_fields(reader: &mut FieldReader<'_>, suite: Suite) -> Result<Self, ExportFault> {
        let bytes = reader.block("held_record", HEADER_BYTES + suite.protected_bytes_max())?;
        let mut held = Self::new(suite);
        let is_start = held.fill(bytes) == Ok(bytes.len()) && !held.is_whole() && !bytes.is_empty();
        reader.check("held_record", is_start)?;
        Ok(held)
    }

    fn take(&mut self, received: &[u8]) -> usize {
        let bytes = received.len().min(self.wanted - self.bytes.len());
        self.bytes.extend_from_slice(&received[..bytes]);
        bytes
    }
}
