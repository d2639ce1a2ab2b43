//! The sending direction after the handshake: application data, and before it the owed answers.
//!
//! The property to trust: [`Outbound::seal`] takes exactly the size that [`Outbound::sealed_bytes`] returned, and nothing is
//! sealed behind an alert that ends the connection.
//!
//! Not here: the peer's demands (`inbound`).

use super::alert::Alert;
use super::direction::DirectionState;
use super::sealer::{Exhausted, Sealer};
use super::suite::Suite;
use super::{ContentType, Version};
use crate::export::{ExportFault, FieldReader, FieldWriter};

/// A KeyUpdate's bytes: type, length, and what is asked for (RFC 8446 §4.6.3).
const KEY_UPDATE_BYTES: usize = 5;
/// An alert's bytes.
const ALERT_BYTES: usize = 2;

/// The sending direction of one leg.
#[derive(Debug)]
pub struct Outbound {
    pub(super) sealer: Sealer,
    /// A KeyUpdate is owed: one answers any number of the peer's. `true`: it asks the peer for new keys too.
    key_update: Option<bool>,
    /// The peer is to be told that there is no renegotiation.
    is_no_renegotiation_owed: bool,
    /// An alert was sealed that ends what is sent.
    is_closed: bool,
}

impl Outbound {
    /// Goes on where `state` stands.
    pub fn new(state: DirectionState) -> Self {
        Self {
            sealer: Sealer::new(state),
            key_update: None,
            is_no_renegotiation_owed: false,
            is_closed: false,
        }
    }

    /// The direction's state.
    pub fn state(&self) -> &DirectionState {
        self.sealer.state()
    }

    /// Drops what can be made again.
    pub fn rest(&mut self) {
        self.sealer.rest();
    }

    /// Whether something is to be sent although there is no data.
    pub fn owes(&self) -> bool {
        !self.is_closed && (self.key_update.is_some() || self.is_no_renegotiation_owed)
    }

    /// Owes the peer a KeyUpdate; `is_answer_wanted`: and asks it for one. Nothing in TLS 1.2.
    pub fn owe_key_update(&mut self, is_answer_wanted: bool) {
        if self.state().suite().version == Version::Tls13 {
            self.key_update = Some(self.key_update.unwrap_or(false) | is_answer_wanted);
        }
    }

    /// Owes the peer a no_renegotiation. Nothing in TLS 1.3, which has no renegotiation to refuse.
    pub fn owe_no_renegotiation(&mut self) {
        self.is_no_renegotiation_owed |= self.state().suite().version == Version::Tls12;
    }

    /// How many bytes [`Self::seal`] makes of so many: what is owed, and records of the rest.
    pub fn sealed_bytes(&self, content_bytes: usize) -> usize {
        if self.is_closed {
            return 0;
        }
        let key_update = self.key_update_for(content_bytes).map_or(0, |_| KEY_UPDATE_BYTES);
        let warning = if self.is_no_renegotiation_owed { ALERT_BYTES } else { 0 };
        [key_update, warning, content_bytes].iter().map(|bytes| self.sealer.sealed_bytes(*bytes)).sum()
    }

    /// Seals what is owed and `pieces` into the start of `out`, and says how many bytes that took.
    ///
    /// Behind close_notify or a fatal alert nothing is sealed.
    ///
    /// # Errors
    /// The key is used up and there is no other: the connection has to be closed.
    ///
    /// # Panics
    /// `out` is shorter than [`Self::sealed_bytes`].
    pub fn seal(&mut self, pieces: &[&[u8]], out: &mut [u8]) -> Result<usize, Exhausted> {
        if self.is_closed {
            return Ok(0);
        }
        let content_bytes = pieces.iter().map(|piece| piece.len()).sum();
        let mut sealed = 0;
        if self.is_no_renegotiation_owed {
            sealed += self.sealer.seal(ContentType::Alert, &[&Alert::NoRenegotiation.to_bytes()], out)?;
            self.is_no_renegotiation_owed = false;
        }
        if let Some(is_answer_wanted) = self.key_update_for(content_bytes) {
            let message = [24, 0, 0, 1, u8::from(is_answer_wanted)];
            sealed += self.sealer.seal(ContentType::Handshake, &[&message], &mut out[sealed..])?;
            // RFC 8446 §4.6.3: the next record has the new keys.
            self.sealer.advance();
            self.key_update = None;
        }
        // TLS 1.2 has no new keys. What may still be said is an alert.
        if content_bytes > 0 && self.state().is_worn() {
            return Err(Exhausted);
        }
        sealed += self.sealer.seal(ContentType::ApplicationData, pieces, &mut out[sealed..])?;
        Ok(sealed)
    }

    /// How many bytes [`Self::seal_alert`] makes.
    pub fn sealed_alert_bytes(&self) -> usize {
        if self.is_closed { 0 } else { self.sealer.sealed_bytes(ALERT_BYTES) }
    }

    /// Seals `alert` into the start of `out`, and says how many bytes that took; it is the last thing that is sealed.
    ///
    /// # Errors
    /// There is no sequence number left.
    ///
    /// # Panics
    /// `out` is shorter than [`Self::sealed_alert_bytes`].
    pub fn seal_alert(&mut self, alert: Alert, out: &mut [u8]) -> Result<usize, Exhausted> {
        if std::mem::replace(&mut self.is_closed, true) {
            return Ok(0);
        }
        self.sealer.seal(ContentType::Alert, &[&alert.to_bytes()], out)
    }

    /// The KeyUpdate that goes before so much data: one that is owed, or one because the key is worn.
    fn key_update_for(&self, content_bytes: usize) -> Option<bool> {
        let state = self.state();
        let is_due = content_bytes > 0 && state.suite().version == Version::Tls13 && state.is_worn();
        self.key_update.or(is_due.then_some(false))
    }

    /// Writes everything but the suite.
    pub(super) fn export_fields(&self, writer: &mut FieldWriter) {
        let Self { sealer, key_update, is_no_renegotiation_owed, is_closed } = self;
        sealer.state().export_fields(writer);
        writer.option("key_update", *key_update, FieldWriter::bool);
        writer.bool("is_no_renegotiation_owed", *is_no_renegotiation_owed);
        writer.bool("is_closed", *is_closed);
    }

    /// Reads what [`Self::export_fields`] wrote of a leg of `suite`.
    pub(super) fn import_fields(reader: &mut FieldReader<'_>, suite: Suite) -> Result<Self, ExportFault> {
        let outbound = Self {
            sealer: Sealer::new(DirectionState::import_fields(reader, suite)?),
            key_update: reader.option("key_update", FieldReader::bool)?,
            is_no_renegotiation_owed: reader.bool("is_no_renegotiation_owed")?,
            is_closed: reader.bool("is_closed")?,
        };
        let is_of = |version| suite.version == version;
        reader.check("key_update", outbound.key_update.is_none() || is_of(Version::Tls13))?;
        let owes_no_renegotiation = outbound.is_no_renegotiation_owed;
        reader.check("is_no_renegotiation_owed", !owes_no_renegotiation || is_of(Version::Tls12))?;
        Ok(outbound)
    }
}
