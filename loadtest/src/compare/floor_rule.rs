//! Whether `floor` is a floor: a bare relay that costs more than a proxy does not bound anything.

use super::attempts::FLOOR;
use super::figures::COST_PER_MESSAGE;
use super::rows::Row;
use super::statistics::Spread;
use serde::Serialize;

/// The rows that decide, and the largest ratio to nginx in each.
const BOUNDS: [(&str, &str, f64); 3] = [
    ("round-trip-64b-100", "64 B", 1.0),
    ("round-trip-16kib-100", "16 KiB", 0.55),
    ("round-trip-1mib-8", "1 MiB", 0.47),
];
/// Against whom.
const NGINX: &str = "nginx";

/// The result of the rule.
#[derive(Clone, Debug, Serialize)]
pub struct FloorVerdict {
    /// `None`: this comparison cannot say.
    pub is_floor: Option<bool>,
    /// Row by row.
    pub checks: Vec<FloorCheck>,
}

/// One row of the rule.
#[derive(Clone, Debug, Serialize)]
pub struct FloorCheck {
    /// The plan.
    pub plan: &'static str,
    /// Size of its messages, for people.
    pub size: &'static str,
    /// Largest median ratio allowed.
    pub ratio_max: f64,
    /// `floor / nginx`, within rounds. `None`: one of them, or the row, is not there.
    pub ratio: Option<Spread>,
}

impl FloorCheck {
    fn holds(&self) -> Option<bool> {
        self.ratio.map(|ratio| ratio.median <= self.ratio_max)
    }

    fn words(&self) -> String {
        let Self { size, ratio_max, .. } = self;
        match self.ratio {
            Some(ratio) => format!("{:.2} × nginx at {size} (at most {ratio_max:.2})", ratio.median),
            None => format!("nothing to compare at {size}"),
        }
    }
}

impl FloorVerdict {
    /// Of a comparison's rows.
    pub fn of(rows: &[Row]) -> Self {
        let checks = BOUNDS.map(|(plan, size, ratio_max)| {
            let row = rows.iter().find(|row| row.plan == plan);
            let ratio =
                row.and_then(|row| row.target(FLOOR)?.figure(COST_PER_MESSAGE)?.ratio_to(row.target(NGINX)));
            FloorCheck { plan, size, ratio_max, ratio }
        });
        let holds = checks.each_ref().map(FloorCheck::holds);
        let is_floor = if holds.contains(&Some(false)) {
            Some(false)
        } else {
            holds.iter().all(Option::is_some).then_some(true)
        };
        Self { is_floor, checks: checks.into() }
    }

    /// In plain words.
    pub fn words(&self) -> String {
        let each: Vec<String> = self.checks.iter().map(FloorCheck::words).collect();
        let each = each.join(", ");
        match self.is_floor {
            Some(true) => format!("`floor` is a floor in this comparison: {each}."),
            Some(false) => {
                format!("`floor` is NOT a floor in this comparison, so ratios to it bound nothing: {each}.")
            }
            None => format!("Whether `floor` is a floor cannot be said from this comparison: {each}."),
        }
    }
}
