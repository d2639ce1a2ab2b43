//! Both directions of one leg, and the trait that a relay drives them by.
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

/// A leg's record layer, as a relay drives it.
///
/// After received bytes: [`Records::open`] until it gives `Done`, `Hold`, `Closed`, `Alert` or a fault; then, if
/// [`Records::owes`], [`Records::seal`] with what is to be sent anyway, or with nothing.
pub trait Records: core::fmt::Debug + Send {
    /// The next step in `received` from `at`, which moves behind what was handled.
    ///
    /// # Errors
    /// The peer broke a rule. [`RecordFault::alert`] is what it is told.
    fn open(&mut self, received: &mut [u8], at: &mut usize) -> Result<Step, RecordFault>;

    /// A place for a record that [`Step::Hold`] says is cut.
    fn held(&self) -> HeldRecord;

    /// Whether what is sent has to be sealed. If not, the caller sends its own buffers as they are.
    fn is_sealing(&self) -> bool;

    /// Whether something is to be sent although there is no data.
    fn owes(&self) -> bool;

    /// How many bytes [`Records::seal`] makes of so many.
    fn sealed_bytes(&self, content_bytes: usize) -> usize;

    /// Seals what is owed, then `pieces` one behind the other, into the start of `out`; says how many bytes that took.
    ///
    /// # Errors
    /// The key is used up and there is no other: the connection has to be closed.
    fn seal(&mut self, pieces: &[&[u8]], out: &mut [u8]) -> Result<usize, Exhausted>;

    /// How many bytes [`Records::seal_alert`] makes: 0 when the end was said before.
    fn sealed_alert_bytes(&self) -> usize;

    /// Seals `alert` into the start of `out`, and says how many bytes that took; it is the last thing that is sealed.
    ///
    /// # Errors
    /// There is no sequence number left.
    fn seal_alert(&mut self, alert: Alert, out: &mut [u8]) -> Result<usize, Exhausted>;

    /// Whether the peer said that it sends nothing more. A stream that ends without is truncated (RFC 8446 §6.1).
    fn is_closed_by_peer(&self) -> bool;

    /// Drops what can be made again, for an idle leg.
    fn rest(&mut self);
}

/// Both directions, with AEADs in this process.
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

impl Records for LegRecords {
    fn open(&mut self, received: &mut [u8], at: &mut usize) -> Result<Step, RecordFault> {
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

    fn held(&self) -> HeldRecord {
        HeldRecord::new(self.suite())
    }

    fn is_sealing(&self) -> bool {
        true
    }

    fn owes(&self) -> bool {
        self.outbound.owes()
    }

    fn sealed_bytes(&self, content_bytes: usize) -> usize {
        self.outbound.sealed_bytes(content_bytes)
    }

    fn seal(&mut self, pieces: &[&[u8]], out: &mut [u8]) -> Result<usize, Exhausted> {
        self.outbound.seal(pieces, out)
    }

    fn sealed_alert_bytes(&self) -> usize {
        self.outbound.sealed_alert_bytes()
    }

    fn seal_alert(&mut self, alert: Alert, out: &mut [u8]) -> Result<usize, Exhausted> {
        self.outbound.seal_alert(alert, out)
    }

    fn is_closed_by_peer(&self) -> bool {
        self.inbound.is_closed()
    }

    fn rest(&mut self) {
        self.inbound.rest();
        self.outbound.rest();
    }
}
