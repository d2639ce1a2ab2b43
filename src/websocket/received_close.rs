//! The Close frame that a leg sent: its code and its reason, kept from the frame as it passes (RFC 6455 §5.5.1).
//!
//! The frame itself goes on as it came. What is kept here is a copy, unmasked.

use super::close::is_code_allowed;
use super::frame::CONTROL_PAYLOAD_BYTES_MAX;
use crate::export::{ExportFault, FieldReader, FieldWriter};

/// Longest reason, in bytes: the payload of a control frame without the two bytes of the code.
pub const CLOSE_REASON_BYTES_MAX: usize = CONTROL_PAYLOAD_BYTES_MAX as usize - CODE_BYTES;

/// Bytes of the code, in front of the reason.
const CODE_BYTES: usize = 2;

/// Bytes of a mask.
const MASK_BYTES: usize = 4;

/// A Close frame with a code. One without has nothing to be kept.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceivedClose {
    code: u16,
    /// Bytes of the payload that have passed, the code's included.
    passed: u8,
    mask: [u8; MASK_BYTES],
    reason: [u8; CLOSE_REASON_BYTES_MAX],
}

/// Without the reason, which is its peer's.
impl core::fmt::Debug for ReceivedClose {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("ReceivedClose")
            .field("code", &self.code)
            .field("passed", &self.passed)
            .finish_non_exhaustive()
    }
}

impl ReceivedClose {
    /// One whose header, with this code, has come. `mask` is 0 where there is none.
    pub(super) fn begin(code: u16, mask: [u8; MASK_BYTES]) -> Self {
        Self { code, passed: 0, mask, reason: [0; CLOSE_REASON_BYTES_MAX] }
    }

    /// The next bytes of its payload pass.
    pub(super) fn pass(&mut self, payload: &[u8]) {
        for byte in payload {
            let at = usize::from(self.passed);
            if let Some(kept) = at.checked_sub(CODE_BYTES).and_then(|at| self.reason.get_mut(at)) {
                *kept = byte ^ self.mask[at % MASK_BYTES];
            }
            self.passed = self.passed.saturating_add(1);
        }
    }

    /// The code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The reason, as far as it has passed: UTF-8, if the endpoint keeps to RFC 6455.
    pub fn reason(&self) -> &[u8] {
        let bytes = usize::from(self.passed).saturating_sub(CODE_BYTES).min(CLOSE_REASON_BYTES_MAX);
        &self.reason[..bytes]
    }

    /// Writes its state.
    pub(super) fn export_fields(&self, writer: &mut FieldWriter) {
        let Self { code, passed, mask, reason: _ } = self;
        writer.u16("close_code_of_frame", *code);
        writer.u8("close_passed", *passed);
        writer.array("close_mask", *mask);
        writer.block("close_reason", self.reason());
    }

    /// Reads what [`ReceivedClose::export_fields`] wrote.
    ///
    /// # Errors
    /// It is cut, or no Close frame is like that.
    pub(super) fn import_fields(reader: &mut FieldReader<'_>) -> Result<Self, ExportFault> {
        let code = reader.u16("close_code_of_frame")?;
        reader.check("close_code_of_frame", is_code_allowed(code))?;
        let passed = reader.u8("close_passed")?;
        let mask = reader.array("close_mask")?;
        let kept = reader.block("close_reason", CLOSE_REASON_BYTES_MAX)?;
        let mut reason = [0; CLOSE_REASON_BYTES_MAX];
        reason[..kept.len()].copy_from_slice(kept);
        let close = Self { code, passed, mask, reason };
        let is_possible = u64::from(passed) <= CONTROL_PAYLOAD_BYTES_MAX && close.reason() == kept;
        reader.check("close_reason", is_possible)?;
        Ok(close)
    }
}
