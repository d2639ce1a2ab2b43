//! Chooses the relay for a session: the relay of the worker that opened it, unless another relay has far fewer sessions.
//!
//! The kernel assigns connections to listeners by a hash (SO_REUSEPORT), and a session stays on its relay for life. So without a
//! choice, chance alone could fill one relay while another idles.
//!
//! The property to trust: no session is given to a relay that has ended. Every thread that can hand over a session holds
//! [`Relays`]; when the last holder drops it, every relay is told that no more sessions come.
//!
//! Not here: moving sessions that are open.

use super::mailbox::{Mailbox, Message, NewSession};
use std::sync::Arc;

/// Sessions that a relay may have beyond the least loaded one before its front gives new ones away. Default 64.
///
/// A session that is given away costs its opening a wake-up of another core and its client nothing; one that stays on a
/// loaded relay shares its core for as long as it lives.
const PLACEMENT_SLACK_SESSIONS: u32 = 64;

/// As [`PLACEMENT_SLACK_SESSIONS`], in parts of the least loaded relay's sessions: an eighth. The larger one counts.
const PLACEMENT_SLACK_PART: u32 = 8;

/// Every relay's mailbox, as the fronts share them.
#[derive(Debug)]
pub struct Relays<S>(Vec<Arc<Mailbox<S>>>);

impl<S> Relays<S> {
    /// The relays of these mailboxes, in the order of their workers. Each front holds a clone for as long as it may
    /// still hand a session over.
    pub fn new(mailboxes: Vec<Arc<Mailbox<S>>>) -> Arc<Self> {
        Arc::new(Self(mailboxes))
    }

    /// Gives a session to the relay of worker `own`, or to the least loaded one; says whose it is.
    pub fn hand_over(&self, own: usize, session: Box<NewSession<S>>) -> usize {
        let chosen = choose(own, self.0.iter().map(|mailbox| mailbox.load()));
        self.0[chosen].push(Message::Open(session));
        chosen
    }
}

impl<S> Drop for Relays<S> {
    fn drop(&mut self) {
        // The last holder: every push of another one happened before its own letting go, so this comes behind them all.
        for mailbox in &self.0 {
            mailbox.push(Message::NoMore);
        }
    }
}

/// The worker whose relay takes a new session: `own`, unless its load is further above the least one than the slack.
fn choose(own: usize, loads: impl Iterator<Item = u32> + Clone) -> usize {
    let own_load = loads.clone().nth(own).unwrap_or(u32::MAX);
    let Some((least, least_load)) = loads.enumerate().min_by_key(|(_, load)| *load) else { return own };
    let slack = PLACEMENT_SLACK_SESSIONS.max(least_load / PLACEMENT_SLACK_PART);
    if own_load > least_load.saturating_add(slack) { least } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_stays_with_its_worker_up_to_the_slack() {
        let cases: &[(usize, &[u32], usize)] = &[
            (0, &[0], 0),
            (0, &[1_000_000], 0),
            (0, &[64, 0], 0),
            (0, &[65, 0], 1),
            (1, &[0, 65], 0),
            (1, &[65, 0], 1),
            // An eighth of the least: from 520 sessions on it is more than 64.
            (0, &[576, 512], 0),
            (0, &[577, 512], 1),
            (0, &[1125, 1000], 0),
            (0, &[1126, 1000], 1),
            (0, &[u32::MAX, u32::MAX], 0),
            // The least loaded of all, the first of several.
            (0, &[500, 300, 200, 200, 400], 2),
            (4, &[500, 300, 200, 200, 264], 4),
        ];
        for (own, loads, chosen) in cases {
            assert_eq!(choose(*own, loads.iter().copied()), *chosen, "{own} of {loads:?}");
        }
    }

    #[test]
    fn however_skewed_the_openings_are_the_relays_stay_within_the_slack() {
        for workers in [2, 3, 16] {
            let mut loads = vec![0; workers];
            for _ in 0..10_000 {
                let chosen = choose(0, loads.iter().copied());
                loads[chosen] += 1;
                let least = loads[1..].iter().min().copied().unwrap_or_default();
                let slack = PLACEMENT_SLACK_SESSIONS.max(least / PLACEMENT_SLACK_PART);
                assert!(loads[0] <= least + slack + 1, "{loads:?}");
            }
        }
    }

    #[test]
    fn each_relay_hears_that_no_more_come_from_the_last_holder_only() {
        let mailboxes: Vec<_> = (0..2).map(|_| Mailbox::<()>::new().unwrap()).collect();
        let first = Relays::new(mailboxes.clone());
        let last = Arc::clone(&first);
        drop(first);
        assert!(mailboxes.iter().all(|mailbox| mailbox.take().is_none()));
        drop(last);
        assert!(mailboxes.iter().all(|mailbox| matches!(mailbox.take(), Some(Message::NoMore))));
    }
}
