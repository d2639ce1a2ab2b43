//! Openings that policies refused, by policy.
//!
//! Not here: those that limits refused, each of which is a cause of its own (`session::termination`).

use super::counters::{Cells, Visit};
use crate::policy::policy_names;
use std::sync::atomic::{AtomicU64, Ordering};

/// The label of what no policy has the name of.
const OTHER: &str = "other";

/// A count for each policy that there is.
#[derive(Debug)]
pub struct PolicyRefusals(Box<[(&'static str, AtomicU64)]>);

impl Default for PolicyRefusals {
    fn default() -> Self {
        Self(policy_names().chain([OTHER]).map(|name| (name, AtomicU64::new(0))).collect())
    }
}

impl PolicyRefusals {
    /// The policy called `name` refused an opening.
    pub fn count(&self, name: &str) {
        let found = self.0.iter().find(|(known, _)| *known == name).or(self.0.last());
        if let Some((_, count)) = found {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Cells for PolicyRefusals {
    fn visit(&self, visit: Visit<'_>) {
        for (name, count) in &self.0 {
            visit(&[("policy", name)], count.load(Ordering::Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_under_the_policys_own_name_and_what_is_none_apart() {
        let refusals = PolicyRefusals::default();
        for name in ["ip-filter", "validate-jwt", "ip-filter", "no-policy"] {
            refusals.count(name);
        }
        let mut counted = Vec::new();
        refusals.visit(&mut |labels, count| {
            if count > 0 {
                counted.push((labels[0].1, count));
            }
        });
        counted.sort_unstable();
        assert_eq!(counted, [("ip-filter", 2), ("other", 1), ("validate-jwt", 1)]);
    }
}
