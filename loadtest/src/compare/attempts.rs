//! The runs of a comparison as they were made: its data, before any statistics.

use super::about::About;
use crate::plan::Plan;
use crate::result::RunResult;
use serde::{Deserialize, Serialize};

/// Name of the target that is ours.
pub const RINGGATE: &str = "ringgate";
/// Name of the bare relay.
pub const FLOOR: &str = "floor";
/// Targets that see bytes only.
const BLIND: [&str; 2] = [FLOOR, "haproxy-tcp"];
/// The prefixes of the peers that greedy rows are compared with: like ringgate, they have one loop for all sessions of a worker,
/// and have to prevent one session from holding the others up.
const GREEDY_BASES: [&str; 2] = ["haproxy", "nginx"];

/// A whole comparison: enough to write its report again.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Comparison {
    /// Where and when, and from what sources.
    pub about: About,
    /// The sets or plans that were asked for.
    pub asked_for: Vec<String>,
    /// From which the seeds of runs and the order of targets come.
    pub seed: u64,
    /// How often each target runs each plan.
    pub rounds: usize,
    /// Who was measured.
    pub targets: Vec<TargetAbout>,
    /// The plans that were run.
    pub plans: Vec<PlanRun>,
    /// Each run, in the order of time.
    pub attempts: Vec<Attempt>,
}

/// Who was measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TargetAbout {
    /// Its name.
    pub name: String,
    /// The version that it reports.
    pub version: String,
}

/// A plan that was run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PlanRun {
    /// File name without its ending.
    pub name: String,
    /// The file.
    pub text: String,
    /// The plan that was run: the file, with the set's times where it has some.
    pub plan: Plan,
}

/// One run, whatever came of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Attempt {
    /// The plan's name.
    pub plan: String,
    /// The target's name.
    pub target: String,
    /// From 0.
    pub round: usize,
    /// 0, or 1 for the repetition of a run that was thrown out.
    pub repetition: usize,
    /// The result; absent if it could not be run.
    pub result: Option<RunResult>,
    /// Why it could not be run.
    pub failure: Option<String>,
}

/// Why a run is not among the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotCounted {
    /// The harness was not fit to measure: it was too busy, or late.
    ThrownOut,
    /// The target lost, changed or ended what it should have relayed.
    Faults,
    /// The target did not start, or the run ended without a result.
    CouldNotRun,
}

impl NotCounted {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::ThrownOut => "thrown out",
            Self::Faults => "faults",
            Self::CouldNotRun => "could not be run",
        }
    }
}

impl PlanRun {
    /// Returns the feature that the plan needs and the target lacks; the target is not run then.
    pub fn lacks(&self, target: &str) -> Option<&'static str> {
        if target == FLOOR && self.plan.tls.is_some() {
            return Some("no TLS");
        }
        // Neither reads a path, by which sessions would go to the one or the other.
        (BLIND.contains(&target) && self.plan.greedy.is_some()).then_some("one backend only")
    }

    /// Whether a peer may be the base of a row of this plan.
    pub fn may_be_base(&self, peer: &str) -> bool {
        self.plan.greedy.is_none() || GREEDY_BASES.iter().any(|base| peer.starts_with(base))
    }
}

impl Attempt {
    /// The result, if its figures count.
    ///
    /// # Errors
    /// Why they do not, and in which words.
    pub fn counted(&self) -> Result<&RunResult, (NotCounted, String)> {
        let Some(result) = &self.result else {
            let why = self.failure.clone().unwrap_or_else(|| "no result".to_owned());
            return Err((NotCounted::CouldNotRun, why));
        };
        if !result.thrown_out.is_empty() {
            return Err((NotCounted::ThrownOut, result.thrown_out.join("; ")));
        }
        // A proxy that loses messages looks cheap.
        if !result.faults.is_empty() {
            return Err((NotCounted::Faults, result.faults.join("; ")));
        }
        Ok(result)
    }
}

impl Comparison {
    /// Takes over the plans of another comparison of the same commit on the same machine: rows that were measured at another
    /// time. Each row still has all its rounds from one.
    ///
    /// # Errors
    /// It is of another commit or machine, or both have run the same plan.
    pub fn join(&mut self, other: Self) -> anyhow::Result<()> {
        let of = |about: &About| (about.commit.clone(), about.kernel.clone(), about.cpu.clone());
        anyhow::ensure!(of(&self.about) == of(&other.about), "it is of another commit or machine");
        for plan in &other.plans {
            let is_known = self.plans.iter().any(|known| known.name == plan.name);
            anyhow::ensure!(!is_known || !self.has_run(&plan.name), "both have a row {}", plan.name);
        }
        self.about.date = format!("{}; {}", self.about.date, other.about.date);
        self.rounds = self.rounds.max(other.rounds);
        for target in other.targets {
            if !self.targets.iter().any(|known| known.name == target.name) {
                self.targets.push(target);
            }
        }
        self.asked_for.extend(other.asked_for);
        for plan in other.plans {
            if !self.plans.iter().any(|known| known.name == plan.name) {
                self.plans.push(plan);
            }
        }
        self.attempts.extend(other.attempts);
        Ok(())
    }

    fn has_run(&self, plan: &str) -> bool {
        self.attempts.iter().any(|attempt| attempt.plan == plan)
    }

    /// Whether a target is neither ours nor the bare relay.
    pub fn is_peer(name: &str) -> bool {
        name != RINGGATE && name != FLOOR && !is_build(name)
    }
}

/// Whether that is the name of another build of ours beside the one that is measured: `ringgate-before`.
pub fn is_build(name: &str) -> bool {
    name.strip_prefix(RINGGATE).is_some_and(|rest| rest.starts_with('-') && rest.len() > 1)
}
