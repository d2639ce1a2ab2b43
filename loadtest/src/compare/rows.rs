//! A row of the comparison: one plan, every target, figures with their spread and ratios within rounds.

use super::attempts::{Attempt, Comparison, FLOOR, NotCounted, PlanRun};
use super::figures::{self, Figure};
use super::statistics::{Rounds, Spread, ratios_within_rounds};
use crate::plan::Measures;
use serde::Serialize;

/// One plan.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name: the plan's, or one of its own where a plan makes two rows.
    pub name: String,
    /// The plan's name.
    pub plan: String,
    /// Its title.
    pub title: String,
    /// The kind of its figure.
    pub measures: Measures,
    /// Key of the figure that it compares.
    pub key: &'static str,
    /// The peer with the smallest median of that figure; beside greedy sessions only HAProxy and nginx are looked at.
    pub best_peer: Option<String>,
    /// Every target, in the order of the comparison.
    pub targets: Vec<TargetRow>,
}

/// One target in a row.
#[derive(Clone, Debug, Serialize)]
pub struct TargetRow {
    /// Its name.
    pub target: String,
    /// It cannot do what the plan asks for, so it was not run.
    pub lacks: Option<&'static str>,
    /// How many rounds count.
    pub rounds_counted: usize,
    /// Runs that do not count.
    pub not_counted: Vec<Excluded>,
    /// The results.
    pub figures: Vec<FigureRow>,
}

/// A run that does not count.
#[derive(Clone, Debug, Serialize)]
pub struct Excluded {
    /// From 0.
    pub round: usize,
    /// Whether it was itself a repetition.
    pub repetition: usize,
    /// Which sort.
    pub what: NotCounted,
    /// In words.
    pub why: String,
}

/// A figure of a target.
#[derive(Clone, Debug, Serialize)]
pub struct FigureRow {
    /// The figure.
    #[serde(flatten)]
    pub figure: Figure,
    /// By round; `results.json` has them in its attempts.
    #[serde(skip)]
    pub values: Rounds,
    /// Over the rounds.
    pub spread: Spread,
    /// To the row's best peer, within rounds.
    pub to_best_peer: Option<Spread>,
    /// To the floor, within rounds.
    pub to_floor: Option<Spread>,
}

impl Row {
    /// All rows of a comparison.
    pub fn all(comparison: &Comparison) -> Vec<Self> {
        comparison.plans.iter().flat_map(|plan| Self::of_plan(comparison, plan)).collect()
    }

    /// One row, and one more for the sessions without TLS where a plan has both, or for the latency of echoes beside greedy
    /// sessions.
    fn of_plan(comparison: &Comparison, plan: &PlanRun) -> Vec<Self> {
        let (name, title, measures) = (plan.name.clone(), plan.plan.title.clone(), plan.plan.measures);
        let has_both = plan.plan.steady.as_ref().is_some_and(|steady| steady.plain_sessions > 0);
        let mut rows = Vec::new();
        if measures == Measures::Tail && has_both {
            let (name, title) = (format!("{name}-plain"), format!("{title}: sessions without TLS"));
            rows.push(Self::of(comparison, plan, name, title, Measures::PlainTail));
        }
        if measures == Measures::Echoes {
            let (name, title) = (format!("{name}-p99"), format!("{title}: latency of the echoes"));
            rows.push(Self::of(comparison, plan, name, title, Measures::EchoP99));
        }
        rows.insert(0, Self::of(comparison, plan, name, title, measures));
        rows
    }

    fn of(comparison: &Comparison, plan: &PlanRun, name: String, title: String, measures: Measures) -> Self {
        let attempts: Vec<&Attempt> =
            comparison.attempts.iter().filter(|attempt| attempt.plan == plan.name).collect();
        let mut targets: Vec<TargetRow> =
            comparison.targets.iter().map(|target| TargetRow::of(&target.name, plan, &attempts)).collect();
        let key = figures::key_figure(measures);
        // Of this row: a comparison may be joined from several.
        let rounds = attempts.iter().map(|attempt| attempt.round + 1).max().unwrap_or(comparison.rounds);
        let best_peer = best_peer(plan, &targets, key, rounds);
        let bases = targets.clone();
        let base = |name: Option<&str>| bases.iter().find(|base| Some(base.target.as_str()) == name);
        let (best, floor) = (base(best_peer.as_deref()), base(Some(FLOOR)));
        for row in targets.iter_mut().flat_map(|target| &mut target.figures) {
            row.to_best_peer = row.ratio_to(best);
            row.to_floor = row.ratio_to(floor);
        }
        Self { name, plan: plan.name.clone(), title, measures, key, best_peer, targets }
    }

    /// A target's row.
    pub fn target(&self, name: &str) -> Option<&TargetRow> {
        self.targets.iter().find(|target| target.target == name)
    }

    /// Every figure that some target has, in order.
    pub fn figures(&self) -> Vec<&Figure> {
        let mut all: Vec<&Figure> = Vec::new();
        for row in self.targets.iter().flat_map(|target| &target.figures) {
            if !all.contains(&&row.figure) {
                all.push(&row.figure);
            }
        }
        all
    }
}

impl TargetRow {
    fn of(target: &str, plan: &PlanRun, attempts: &[&Attempt]) -> Self {
        let mut row = Self {
            target: target.to_owned(),
            lacks: plan.lacks(target),
            rounds_counted: 0,
            not_counted: Vec::new(),
            figures: Vec::new(),
        };
        for attempt in attempts.iter().filter(|attempt| attempt.target == target) {
            match attempt.counted() {
                Ok(result) => {
                    row.rounds_counted += 1;
                    for (figure, value) in figures::figures(result) {
                        row.add(figure, attempt.round, value);
                    }
                }
                Err((what, why)) => {
                    let (round, repetition) = (attempt.round, attempt.repetition);
                    row.not_counted.push(Excluded { round, repetition, what, why });
                }
            }
        }
        row
    }

    fn add(&mut self, figure: Figure, round: usize, value: f64) {
        let Some(spread) = Spread::of([value]) else { return };
        if let Some(row) = self.figures.iter_mut().find(|row| row.figure.key == figure.key) {
            row.values.push((round, value));
            row.spread = Spread::of_rounds(&row.values).unwrap_or(row.spread);
        } else {
            let values = vec![(round, value)];
            self.figures.push(FigureRow { figure, values, spread, to_best_peer: None, to_floor: None });
        }
    }

    /// A figure by key.
    pub fn figure(&self, key: &str) -> Option<&FigureRow> {
        self.figures.iter().find(|row| row.figure.key == key)
    }
}

impl FigureRow {
    /// The ratio to another target's same figure, within rounds.
    pub fn ratio_to(&self, other: Option<&TargetRow>) -> Option<Spread> {
        let other = other?.figure(&self.figure.key)?;
        Spread::of_rounds(&ratios_within_rounds(&self.values, &other.values))
    }
}

/// The peer with the smallest median. Fixed for the row: the smallest of each round would pick lucky runs. A peer that
/// counts in less than half of the rounds cannot be it, nor one that the plan does not compare with.
fn best_peer(plan: &PlanRun, targets: &[TargetRow], key: &str, rounds: usize) -> Option<String> {
    targets
        .iter()
        .filter(|target| Comparison::is_peer(&target.target) && plan.may_be_base(&target.target))
        .filter(|target| target.rounds_counted * 2 >= rounds)
        .filter_map(|target| Some((target.figure(key)?.spread.median, &target.target)))
        .min_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name.clone())
}
