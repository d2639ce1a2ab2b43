//! Which plans a comparison runs: sets by name, or plan files.

use super::attempts::PlanRun;
use crate::plan::Plan;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A set, as in `sets.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// Names of plans, in order.
    pub plans: Vec<String>,
    /// How often each target runs each plan.
    pub rounds: Option<usize>,
    /// Who is measured; every one found if absent.
    pub targets: Option<Vec<String>>,
    /// In place of the plans' own.
    pub warmup_s: Option<f64>,
    /// In place of the plans' own.
    pub duration_s: Option<f64>,
}

/// The plans that a comparison runs.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// In order.
    pub plans: Vec<PlanRun>,
    /// Of the first set that says so.
    pub rounds: Option<usize>,
    /// Of the first set that says so.
    pub targets: Option<Vec<String>>,
}

/// Parses `sets.toml`.
///
/// # Errors
/// The fault of the text.
pub fn parse(text: &str) -> Result<BTreeMap<String, Set>> {
    Ok(toml::from_str(text)?)
}

/// Finds what was asked for: the name of a set, the name of a plan, or the path of a plan file.
///
/// # Errors
/// Something is not found or not correct.
pub fn select(folder: &Path, asked_for: &[String]) -> Result<Selection> {
    let path = folder.join("sets.toml");
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("cannot read {} (run from the repository's top folder, or give --harness)", path.display())
    })?;
    let sets = parse(&text).with_context(|| format!("{} is not a list of sets", path.display()))?;
    let mut selection = Selection::default();
    for asked in asked_for {
        if let Some(set) = sets.get(asked) {
            for name in &set.plans {
                selection.add(&folder.join(format!("{name}.toml")), set)?;
            }
            selection.rounds = selection.rounds.or(set.rounds);
            selection.targets = selection.targets.or_else(|| set.targets.clone());
        } else {
            let named = folder.join(format!("{asked}.toml"));
            let path = if named.is_file() { named } else { PathBuf::from(asked) };
            if !path.is_file() {
                let names: Vec<&str> = sets.keys().map(String::as_str).collect();
                bail!("{asked} is neither a set ({}) nor a plan", names.join(", "));
            }
            selection.add(&path, &Set::default())?;
        }
    }
    ensure!(!selection.plans.is_empty(), "no plan was asked for");
    Ok(selection)
}

impl Selection {
    fn add(&mut self, path: &Path, set: &Set) -> Result<()> {
        let mut plan = Plan::read(path)?;
        plan.warmup_s = set.warmup_s.unwrap_or(plan.warmup_s);
        plan.duration_s = set.duration_s.unwrap_or(plan.duration_s);
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        ensure!(self.plans.iter().all(|other| other.name != name), "plan {name} was asked for twice");
        let text = std::fs::read_to_string(path)?;
        self.plans.push(PlanRun { name, text, plan });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("plans")
    }

    #[test]
    fn every_plan_file_parses_and_is_in_a_set() {
        let mut files: Vec<String> = std::fs::read_dir(plans())
            .expect("the folder of plans")
            .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned()))
            // A soak's plan is of another kind and compares nothing.
            .filter(|name| !["sets", "soak"].contains(&name.as_str()))
            .collect();
        files.sort();
        let sets = ["standard", "short", "overload", "greedy", "openings", "tls"];
        let mut named: Vec<String> = sets
            .into_iter()
            .flat_map(|set| select(&plans(), &[set.to_owned()]).expect("a set of plans").plans)
            .map(|plan| plan.name)
            .collect();
        named.sort();
        named.dedup();
        assert_eq!(named, files);
    }

    #[test]
    fn the_short_set_takes_about_three_minutes_and_judges_the_floor() {
        let short = select(&plans(), &["short".to_owned()]).expect("the short set");
        let targets = short.targets.expect("its targets");
        assert_eq!(targets, ["ringgate", "floor", "haproxy", "nginx"]);
        let runs = targets.len() * short.rounds.expect("its rounds");
        // About 1.2 s to start and stop target and backend.
        let each: f64 = short.plans.iter().map(|plan| plan.plan.warmup_s + plan.plan.duration_s + 1.2).sum();
        let seconds = each * runs as f64;
        assert!((120.0..=210.0).contains(&seconds), "{seconds} s");
    }

    #[test]
    fn a_plan_survives_being_written_for_the_run() {
        for run in select(&plans(), &["standard".to_owned()]).expect("the standard set").plans {
            let text = toml::to_string(&run.plan).expect("a plan as text");
            let again = Plan::parse(&text).expect("the same plan");
            assert_eq!(format!("{:?}", run.plan), format!("{again:?}"));
        }
    }

    #[test]
    fn an_unknown_name_and_a_repetition_are_refused() {
        let select =
            |asked: &[&str]| select(&plans(), &asked.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert!(select(&["no-such-plan"]).is_err());
        assert!(select(&["idle-crowd", "idle-crowd"]).is_err());
        assert_eq!(select(&["idle-crowd"]).expect("one plan").plans.len(), 1);
    }
}
