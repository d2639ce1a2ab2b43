//! Whether the log has the rows of an opening and its session: decided once, by the id that both have.
//!
//! Not here: the settings (`catalog::diagnostics`), and what becomes of rows that are left out (`telemetry::sampling`).

use crate::catalog::DiagnosticsInForce;
use crate::catalog::diagnostics::AlwaysLog;
use crate::export::{ExportFault, FieldReader, FieldWriter};
use crate::session::CorrelationId;

/// Whether the log has the rows of an opening and of its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Logged {
    /// It has all of them.
    #[default]
    Whole = 0,
    /// It has them if the opening comes to no session, or the session fails.
    IfFailed = 1,
    /// It has none. They count all the same.
    Not = 2,
}

impl Logged {
    /// That of the opening with this id, under these diagnostics.
    pub fn of(id: CorrelationId, diagnostics: &DiagnosticsInForce<'_>) -> Self {
        match (diagnostics.sampling.takes(id.drawn()), diagnostics.always_log) {
            (true, _) => Self::Whole,
            (false, AlwaysLog::AllErrors) => Self::IfFailed,
            (false, AlwaysLog::Nothing) => Self::Not,
        }
    }

    pub(super) fn export_field(self, writer: &mut FieldWriter) {
        writer.u8("logged", self as u8);
    }

    pub(super) fn import_field(reader: &mut FieldReader<'_>) -> Result<Self, ExportFault> {
        let number = reader.u8("logged")?;
        let all = [Self::Whole, Self::IfFailed, Self::Not];
        all.into_iter().find(|logged| *logged as u8 == number).ok_or_else(|| reader.impossible("logged"))
    }
}
