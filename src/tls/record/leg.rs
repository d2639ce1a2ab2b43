//! Both directions of one leg.
//!
//! Not here: what another implementation would do (`record`).

use super::alert::Alert;
use super::direction::DirectionState;
use super::fault::RecordFault;
use super::inbound::{Inbound, OwedAnswers, Step};
use super::outbound::Outbound;
use super::sealer::Exhausted;
use super::suite::Suite;
use super::{HeldRecord, Role};

/// Both directions, with AEADs in this process.
///
/// After received bytes: [`LegRecords::open`] until it gives `Done`, `Hold`, `Closed`, `Alert` or a fault; then, if
/// [`LegRecords::owes`], [`LegRecords::seal`] with what is to be sent anyway, or with nothing.
#[derive(Debug)]
pub struct LegRecords {
    pub(super) role: Role,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
}

impl LegRecords {
    /// Goes on where the handshake ended. `role` is ringgate's.
    pub fn new(role: Role, receiving: DirectionState, sending: DirectionState) -> Self {
        Self { role, inbound: Inbound::new(receiving, role), outbound: Outbound::new(sending) }
    }

    /// Its suite.
    pub fn suite(&self) -> Suite {
        self.inbound.state().suite()
    }

    /// Which end of the connection ringgate is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Tickets that the peer sent.
    pub fn tickets(&self) -> u32 {
        self.inbound.tickets()
    }

    /// Changes ringgate's keys with the next record, and asks the peer to change its own (TLS 1.3).
    pub fn refresh_keys(&mut self) {
        self.outbound.owe_key_update(true);
    }
}

/// The operations that a relay calls.
impl LegRecords {
    /// The next step in `received` from `at`, which moves behind what was handled.
    ///
    /// # Errors
    /// The peer broke a rule. [`RecordFault::alert`] is what it is told.
    pub fn open(&mut self, received: &mut [u8], at: &mut usize) -> Result<Step, RecordFault> {
        let mut asked = OwedAnswers::default();
        let step = self.inbound.next(received, at, &mut asked);
        if asked.key_update {
            self.outbound.owe_key_update(false);
        }
        if asked.no_renegotiation {
            self.outbound.owe_no_renegotiation();
        }
        if self.inbound.take_update_wish() {
            self.outbound.owe_key_update(true);
        }
        step
    }

    /// A place for a record that [`Step::Hold`] says is cut.
    pub fn held(&self) -> HeldRecord {
        HeldRecord::new(self.suite())
    }

    /// Whether something is to be sent although there is no data.
    pub fn owes(&self) -> bool {
        self.outbound.owes()
    }

    /// How many bytes [`LegRecords::seal`] makes of so many.
    pub fn sealed_bytes(&self, content_bytes: usize) -> usize {
        self.outbound.sealed_bytes(content_bytes)
    }

    /// Seals what is owed, then `pieces` one behind the other, into the start of `out`; says how many bytes that took.
    ///
    /// # Errors
    /// The key is used up and there is no other: the connection has to be closed.
    pub fn seal(&mut self, pieces: &[&[u8]], out: &mut [u8]) -> Result<usize, Exhausted> {
        self.outbound.seal(pieces, out)
    }

    /// How many bytes [`LegRecords::seal_alert`] makes: 0 when the end was said before.
    pub fn sealed_alert_bytes(&self) -> usize {
        self.outbound.sealed_alert_bytes()
    }

    /// Seals `alert` into the start of `out`, and says how many bytes that took; it is the last thing that is sealed.
    ///
    /// # Errors
    /// There is no sequence number left.
    pub fn seal_alert(&mut self, alert: Alert, out: &mut [u8]) -> Result<usize, Exhausted> {
        self.outbound.seal_alert(alert, out)
    }

    /// Whether the peer said that it sends nothing more. A stream that ends without is truncated (RFC 8446 §6.1).
    pub fn is_closed_by_peer(&self) -> bool {
        self.inbound.is_closed()
    }

    /// Drops what can be made again, for an idle leg.
    pub fn rest(&mut self) {
        self.inbound.rest();
        self.outbound.rest();
    }
}
