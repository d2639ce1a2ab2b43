//! One session's counters under its labels, and the session's record.
//!
//! Open sessions are counted too: a message counts when its bytes are queued for the other leg. The counters of the product and
//! the subscription move at the same moment as those of the API.
//!
//! Not here: the figures (`observe::entity_cells`), and counts by worker (`observe::counters`).

use crate::observe::SessionRecord;
use crate::observe::entity_cells::{EntityCells, Writer};
use crate::session::{Leg, Session, Termination};
use std::sync::Arc;

/// The account of one session.
#[derive(Debug)]
pub(super) struct Account {
    record: SessionRecord,
    /// The cells of this relay under the API's label: the others are looked up, as few sessions have them.
    of_api: Option<Arc<EntityCells>>,
    /// Messages of each leg that were counted, in the lowest 32 bits.
    counted_messages: [u32; Leg::BOTH.len()],
}

impl Account {
    /// The account of a session that `relay` takes over.
    pub(super) fn open(record: SessionRecord, relay: Writer, session: &Session) -> Self {
        let of_api = record.labels.api.cells(relay).cloned();
        // What a session has carried elsewhere was counted there.
        let counted_messages = Leg::BOTH.map(|leg| session.tally(leg).messages() as u32);
        let account = Self { record, of_api, counted_messages };
        account.each_cells(relay, EntityCells::count_open);
        account
    }

    /// Identifies the session to the outside: id, client, labels.
    pub(super) fn record(&self) -> &SessionRecord {
        &self.record
    }

    /// So many bytes of `from` were queued for the other leg.
    pub(super) fn count_relayed(&mut self, relay: Writer, from: Leg, bytes: usize, session: &Session) {
        // A difference of two counts, so that none is missed and none counts twice. Only the lowest bits matter for it.
        let messages = session.tally(from).messages() as u32;
        let counted = std::mem::replace(&mut self.counted_messages[from as usize], messages);
        let new = u64::from(messages.wrapping_sub(counted));
        self.each_cells(relay, |cells| cells.count_relayed(from, new, bytes as u64));
    }

    /// The session has ended.
    pub(super) fn count_end(&self, relay: Writer, termination: &Termination) {
        self.each_cells(relay, |cells| cells.count_end(termination));
    }

    fn each_cells(&self, relay: Writer, count: impl Fn(&EntityCells)) {
        let labels = &self.record.labels;
        self.of_api.as_deref().into_iter().for_each(&count);
        let others = [&labels.product, &labels.subscription].into_iter().flatten();
        others.filter_map(|label| label.cells(relay)).for_each(|cells| count(cells));
    }
}
