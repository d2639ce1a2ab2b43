//! Moves a record layer to another process: keys, sequence numbers, owed answers, and the position in a message.
//!
//! The AEADs' contexts are derived again. A held record is exported separately
//! ([`HeldRecord::export_fields`](super::HeldRecord)).

use zeroize::Zeroizing;

use super::Role;
use super::inbound::Inbound;
use super::leg::LegRecords;
use super::outbound::Outbound;
use super::suite::Suite;
use crate::export::{ExportFault, ExportKind, FieldReader, FieldWriter};

impl LegRecords {
    /// Everything in a row of bytes, secrets included. `None`: the peer broke a rule or sent an alert, so that nothing more is
    /// read or sent.
    pub fn export(&self) -> Option<Zeroizing<Vec<u8>>> {
        let mut writer = FieldWriter::new(ExportKind::RecordLayer);
        self.export_fields(&mut writer).then(|| writer.finish())
    }

    /// Imports the bytes that [`Self::export`] returned.
    ///
    /// # Errors
    /// The bytes are no record layer that any version exported.
    pub fn import(bytes: &[u8]) -> Result<Self, ExportFault> {
        let mut reader = FieldReader::new(ExportKind::RecordLayer, bytes)?;
        let records = Self::import_fields(&mut reader)?;
        reader.finish()?;
        Ok(records)
    }

    /// Says whether there is something to write.
    pub(super) fn export_fields(&self, writer: &mut FieldWriter) -> bool {
        let Self { role, inbound, outbound } = self;
        let role = match role {
            Role::Server => 0,
            Role::Client => 1,
        };
        writer.u8("role", role);
        writer.u8("suite", self.suite().to_byte());
        writer.section("receiving");
        let is_read = inbound.export_fields(writer);
        writer.section("sending");
        outbound.export_fields(writer);
        is_read
    }

    fn import_fields(reader: &mut FieldReader<'_>) -> Result<Self, ExportFault> {
        let role = match reader.u8("role")? {
            0 => Role::Server,
            1 => Role::Client,
            _ => return Err(reader.impossible("role")),
        };
        let suite = Suite::from_byte(reader.u8("suite")?).ok_or(reader.impossible("suite"))?;
        Ok(Self {
            role,
            inbound: Inbound::import_fields(reader, role, suite)?,
            outbound: Outbound::import_fields(reader, suite)?,
        })
    }
}
