//! The record that a soak writes to disk while it runs: JSON lines, each written as soon as it is known.
//!
//! A run that is broken off, and a report that is written again, both begin with this file.

use super::figures::Ends;
use super::plan::SoakPlan;
use super::subject::SubjectFigures;
use crate::compare::about::{About, Conditions};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// The file's name in the folder of a run.
pub const RECORD_FILE: &str = "samples.jsonl";

/// One line.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first one.
    Begun(Box<Begun>),
    /// One for each interval, and one for each rest point.
    Sample(Box<Sample>),
    /// The last one.
    Ended(Ended),
}

/// The identity of the run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Begun {
    /// Machine and sources.
    pub about: Machine,
    /// The version that the target reports.
    pub version: String,
    /// The plan.
    pub plan: SoakPlan,
    /// The plan's text with its comments.
    pub plan_text: String,
    /// From which everything is drawn.
    pub seed: u64,
}

/// Where and when a soak ran, and from what sources. It is bound to no core.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Machine {
    /// Of the working copy.
    pub commit: String,
    /// When it began, in UTC.
    pub date: String,
    /// Release of the kernel.
    pub kernel: String,
    /// The processor.
    pub cpu: String,
    /// Cores that this process may see.
    pub cores: usize,
    /// MiB of memory.
    pub memory_mib: u64,
    /// The cargo profile of the harness.
    pub build: String,
}

impl Machine {
    /// Asks the machine.
    pub(super) fn find_out(build: &str) -> Self {
        let About { commit, date, kernel, cpu, cores, memory_mib, build, .. } =
            About::find_out(0, 0, build, Conditions::default());
        Self { commit, date, kernel, cpu, cores, memory_mib, build }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing is open yet.
    Start,
    /// Steady and idle sessions are opened.
    Opening,
    /// Everything at once.
    Mix,
    /// Churn and slow readers end, and what they left settles.
    Settling,
    /// A rest point: steady and idle sessions are open, and not a message is on its way.
    Rest,
    /// Steady and idle sessions close.
    Closing,
    /// Nothing is open any more.
    End,
}

/// The observations at a moment.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Sample {
    /// By the clients.
    #[serde(flatten)]
    pub own: OwnFigures,
    /// By looking at the target.
    pub target: SubjectFigures,
}

/// The clients' figures.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct OwnFigures {
    /// Seconds from the start of the run.
    pub at_s: f64,
    /// How far the run is.
    pub stage: Stage,
    /// Open steady sessions.
    pub steady: usize,
    /// Open idle sessions.
    pub idle: usize,
    /// Sessions of churn, opening ones too.
    pub churn: usize,
    /// Slow readers, opening ones too.
    pub slow: usize,
    /// Messages that came back since the last sample.
    pub round_trips: u64,
    /// Latency of the steady ones among them, in µs: median, 99th percentile, largest. Absent without one.
    pub latency_us: Option<[f64; 3]>,
    /// 99th percentile of the generator's own lateness, in µs.
    pub lateness_p99_us: Option<f64>,
    /// How churn and slow readers ended, from the start of the run.
    pub ends: Ends,
    /// The faults since the last sample, up to twenty of them.
    pub faults: Vec<String>,
    /// How often something went wrong, from the start of the run.
    pub fault_count: u64,
    /// Processor time of the harness (clients and backend) from its start, in µs.
    pub harness_cpu_us: f64,
}

/// How the run ended.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Ended {
    /// The target's exit status, after SIGTERM; absent if it did not end.
    pub exit_code: Option<i32>,
    /// Seconds from SIGTERM to its end.
    pub drain_s: f64,
    /// Why the run was broken off.
    pub failure: Option<String>,
}

/// A record that is written.
#[derive(Debug)]
pub(super) struct Writer(File);

impl Writer {
    pub(super) fn create(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join(RECORD_FILE);
        Ok(Self(File::create(&path).with_context(|| format!("cannot write {}", path.display()))?))
    }

    pub(super) fn write(&mut self, line: &Line) -> Result<()> {
        let text = serde_json::to_string(line)? + "\n";
        self.0.write_all(text.as_bytes()).context("cannot write the record")
    }
}

/// A record that was read.
#[derive(Clone, Debug)]
pub struct Record {
    /// The identity of the run.
    pub begun: Begun,
    /// In the order of time.
    pub samples: Vec<Sample>,
    /// Absent if the run is not over or was killed.
    pub ended: Option<Ended>,
}

impl Record {
    /// Reads the record of a folder.
    ///
    /// # Errors
    /// It is not there, or is none.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(RECORD_FILE);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is no record of a soak", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let first = lines.next().context("it is empty")?;
        let Line::Begun(begun) = serde_json::from_str(first)? else { bail!("its first line is another one") };
        let mut record = Self { begun: *begun, samples: Vec::new(), ended: None };
        for line in lines {
            match serde_json::from_str(line)? {
                Line::Begun(_) => bail!("it begins twice"),
                Line::Sample(sample) => record.samples.push(*sample),
                Line::Ended(ended) => record.ended = Some(ended),
            }
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::made_up;

    #[test]
    fn what_was_written_is_read_back_up_to_a_line_that_was_cut_off() {
        let record = made_up::flat();
        let line = |line: &Line| serde_json::to_string(line).expect("a line") + "\n";
        let mut text = line(&Line::Begun(Box::new(record.begun.clone())));
        for sample in &record.samples {
            text += &line(&Line::Sample(Box::new(sample.clone())));
        }
        let whole = Record::parse(&(text.clone() + &line(&Line::Ended(Ended::default())))).expect("a record");
        assert_eq!(whole.samples.len(), record.samples.len());
        assert!(whole.ended.is_some());
        let cut = Record::parse(&text[..text.len() - 5]).expect("a record");
        assert_eq!(cut.samples.len(), record.samples.len() - 1);
        assert!(cut.ended.is_none());
        assert!(Record::parse("").is_err() && Record::parse(&line(&Line::Ended(Ended::default()))).is_err());
    }
}
