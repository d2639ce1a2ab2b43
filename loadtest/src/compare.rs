//! Runs plans through ringgate, the bare relay and the peers in turn, and compares the results.
//!
//! For each plan there are rounds; in a round each target runs the plan once, with one seed for all, in an order that
//! turns from round to round. Target and backend are started afresh for each run, so nobody inherits anything. Costs are
//! compared within a round only, since a machine drifts.
//!
//! Not here: a single run (`ringgate-loadtest run`, a process of its own), and the form of the results (`report`).

pub mod about;
pub mod attempts;
pub mod awake;
pub mod figures;
pub mod floor_rule;
pub mod gateway_files;
pub(crate) mod processes;
pub mod rows;
pub mod sets;
pub mod statistics;
mod targets;

use crate::report;
use crate::result::RunResult;
use crate::tls::credentials::Credentials;
use about::About;
use anyhow::{Context, Result, bail, ensure};
use attempts::{Attempt, Comparison, PlanRun, RINGGATE};
use processes::Process;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use targets::{Running, Scratch, Targets};

/// Longest that a run may take beyond its own times: opening thousands of sessions, pushing megabytes at hundreds.
const RUN_PATIENCE: Duration = Duration::from_secs(120);
/// Real-time priority of the load, below the backend's.
const LOAD_PRIORITY: u8 = 1;
/// Rounds, where neither the caller nor the set says how many.
const ROUNDS: usize = 5;

/// The plans, targets and options of a comparison.
#[derive(Clone, Debug, clap::Args)]
pub struct CompareArguments {
    /// Sets, plans by name, or plan files
    #[arg(default_value = "short")]
    pub what: Vec<String>,
    /// Who is measured, with commas between [default: of the set, else all that are found]
    #[arg(long, value_delimiter = ',')]
    pub targets: Vec<String>,
    /// How often each target runs each plan [default: of the set, else 5]
    #[arg(long)]
    pub rounds: Option<usize>,
    /// The core of the proxy
    #[arg(long, default_value_t = 0)]
    pub proxy_core: usize,
    /// The core of clients and backend
    #[arg(long, default_value_t = 1)]
    pub load_core: usize,
    /// From which each run's seed and the order of targets come
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Folder for results.json and report.html
    #[arg(long, default_value = "target/comparison")]
    pub output: PathBuf,
    /// Folder that holds plans/ and peers/
    #[arg(long, default_value = "loadtest")]
    pub harness: PathBuf,
    /// The ringgate to measure [default: the one beside this program]
    #[arg(long)]
    pub ringgate: Option<PathBuf>,
    /// Another build of ringgate, as a target by its file's name, which begins with "ringgate-"; may be repeated
    #[arg(long = "other", value_name = "FILE")]
    pub others: Vec<PathBuf>,
    /// Address of the echo backend
    #[arg(long, default_value = "127.0.0.1:9001")]
    pub backend: SocketAddr,
    /// Address of the backend of greedy sessions
    #[arg(long, default_value = "127.0.0.1:9002")]
    pub greedy_backend: SocketAddr,
    /// Let idle cores halt, as the machine would by itself
    #[arg(long)]
    pub let_cores_halt: bool,
    /// Measure nothing: write the report of a results.json again, or one for several of the same commit and machine
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub from: Vec<PathBuf>,
}

/// Compares, and writes table, `results.json` and `report.html`.
///
/// # Errors
/// Plans or targets that are not there, a folder that cannot be written. No run counts. A target that does not start is in
/// the report.
pub fn run(arguments: &CompareArguments) -> Result<()> {
    let comparison = match arguments.from.split_first() {
        Some((first, others)) => {
            let mut comparison = read(first)?;
            for file in others {
                comparison.join(read(file)?).with_context(|| format!("cannot add {}", file.display()))?;
            }
            comparison
        }
        None => measure(arguments)?,
    };
    report::write(&comparison, &arguments.output)?;
    print!("{}", report::table(&comparison));
    println!("report: {}", arguments.output.join("report.html").display());
    ensure!(comparison.attempts.iter().any(|attempt| attempt.counted().is_ok()), "no run counts");
    Ok(())
}

fn read(file: &Path) -> Result<Comparison> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} holds no comparison", file.display()))
}

fn measure(arguments: &CompareArguments) -> Result<Comparison> {
    ensure!(arguments.proxy_core != arguments.load_core, "proxy and load need a core each");
    raise_open_files();
    let selection = sets::select(&arguments.harness.join("plans"), &arguments.what)?;
    let scratch = Scratch::new()?;
    let credentials = scratch.path().join("tls");
    Credentials::make()?.write(&credentials)?;
    let loadtest = std::env::current_exe().context("cannot find this program")?;
    let ringgate = arguments.ringgate.clone().unwrap_or_else(|| loadtest.with_file_name(RINGGATE));
    for other in &arguments.others {
        let is_named = attempts::is_build(&other.file_name().unwrap_or_default().to_string_lossy());
        ensure!(is_named, "{}: its file's name must begin with {RINGGATE}-", other.display());
    }
    let build = loadtest.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let targets = Targets {
        peers: absolute(&arguments.harness.join("peers").join("peers.sh"))?,
        ringgate,
        others: arguments.others.clone(),
        loadtest,
        scratch: scratch.path().to_owned(),
        credentials,
        backend: arguments.backend,
        greedy_backend: arguments.greedy_backend,
        proxy_core: arguments.proxy_core,
        load_core: arguments.load_core,
        may_be_real_time: targets::may_be_real_time(),
    };
    let names = if !arguments.targets.is_empty() {
        arguments.targets.clone()
    } else {
        selection.targets.unwrap_or_else(|| targets.found())
    };
    targets.check(&names)?;
    let cores = [arguments.proxy_core, arguments.load_core];
    let awake =
        if arguments.let_cores_halt { None } else { Some(awake::Awake::keep(&cores, &targets.loadtest)?) };
    let mut comparison = Comparison {
        about: About::find_out(
            arguments.proxy_core,
            arguments.load_core,
            build.as_deref().unwrap_or("unknown"),
            about::Conditions {
                kept_awake: !arguments.let_cores_halt,
                real_time_load: targets.may_be_real_time,
            },
        ),
        asked_for: arguments.what.clone(),
        seed: arguments.seed,
        rounds: arguments.rounds.or(selection.rounds).unwrap_or(ROUNDS).max(1),
        targets: targets.about(&names)?,
        plans: selection.plans,
        attempts: Vec::new(),
    };
    report::write(&comparison, &arguments.output)?;
    announce(&comparison);
    for (index, plan) in comparison.plans.clone().iter().enumerate() {
        for round in 0..comparison.rounds {
            let seed = run_seed(comparison.seed, index, round);
            for target in order_of(&names, comparison.seed, round) {
                if plan.lacks(target).is_some() {
                    continue;
                }
                eprintln!(
                    "{} ({} of {}), round {} of {}, {target}",
                    plan.name,
                    index + 1,
                    comparison.plans.len(),
                    round + 1,
                    comparison.rounds
                );
                let attempts = attempt_twice(plan, target, round, || {
                    run_once(&targets, plan, target, seed, awake.as_ref())
                });
                comparison.attempts.extend(attempts);
            }
        }
        // What is done is kept, should a later row be interrupted.
        report::write(&comparison, &arguments.output)?;
    }
    Ok(comparison)
}

/// How long it will take: each run's times, and about 1.5 s to start and stop everything.
fn announce(comparison: &Comparison) {
    let runs = comparison.rounds * comparison.targets.len();
    let of = |plan: &PlanRun| {
        let ramp_s = plan.plan.steady.as_ref().map_or(0.0, |steady| steady.ramp_s);
        plan.plan.warmup_s + plan.plan.duration_s + ramp_s + 1.5
    };
    let minutes = comparison.plans.iter().map(of).sum::<f64>() * runs as f64 / 60.0;
    eprintln!("{} runs, about {minutes:.0} minutes", runs * comparison.plans.len());
}

/// One run, and one more if it was thrown out.
fn attempt_twice(
    plan: &PlanRun,
    target: &str,
    round: usize,
    mut run_once: impl FnMut() -> Result<RunResult>,
) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for repetition in 0..2 {
        let (result, failure) = match run_once() {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let attempt = Attempt {
            plan: plan.name.clone(),
            target: target.to_owned(),
            round,
            repetition,
            result,
            failure,
        };
        let again = matches!(attempt.counted(), Err((attempts::NotCounted::ThrownOut, _)));
        if let Err((what, why)) = attempt.counted() {
            eprintln!("{}: {why}", what.words());
        }
        attempts.push(attempt);
        if !again {
            break;
        }
    }
    attempts
}

fn run_once(
    targets: &Targets,
    plan: &PlanRun,
    target: &str,
    seed: u64,
    awake: Option<&awake::Awake>,
) -> Result<RunResult> {
    let file = targets.scratch.join(format!("{}.toml", plan.name));
    std::fs::write(&file, toml::to_string(&plan.plan)?)?;
    let json = targets.scratch.join("result.json");
    let _ = std::fs::remove_file(&json);
    // In this order, so that the proxy ends before its backend does.
    let _backends = targets.start_backends(&plan.plan)?;
    let running: Running<'_> = targets.start(target, &plan.plan)?;
    let pids: Vec<String> = running.pids.iter().map(u32::to_string).collect();
    let mut command = targets.load_command(LOAD_PRIORITY);
    command.arg("run").arg(&file);
    command.args(["--target", &running.address.to_string(), "--name", target, "--seed", &seed.to_string()]);
    if let Some(address) = running.tls_address {
        command.args(["--tls-target", &address.to_string()]).arg("--tls").arg(&targets.credentials);
    }
    command.args(["--proxy-pids", &pids.join(",")]);
    command.args(["--proxy-core", &targets.proxy_core.to_string()]);
    command.args(["--load-core", &targets.load_core.to_string()]);
    for (option, core) in [("--proxy-spinner", targets.proxy_core), ("--load-spinner", targets.load_core)] {
        if let Some(pid) = awake.and_then(|awake| awake.pid(core)) {
            command.args([option, &pid.to_string()]);
        }
    }
    command.arg("--json").arg(&json);
    let ramp_s = plan.plan.steady.as_ref().map_or(0.0, |steady| steady.ramp_s);
    let own = Duration::try_from_secs_f64(plan.plan.warmup_s + plan.plan.duration_s + ramp_s)?;
    let status = Process::spawn("run", command)?.wait(own + RUN_PATIENCE)?;
    if !status.success() {
        bail!("run ended with {status}");
    }
    let text = std::fs::read_to_string(&json).context("run wrote no result")?;
    serde_json::from_str(&text).context("run wrote a result that cannot be read")
}

/// The same for every target of a round.
fn run_seed(seed: u64, plan: usize, round: usize) -> u64 {
    seed.wrapping_mul(1_000_003).wrapping_add(plan as u64 * 1_000).wrapping_add(round as u64)
}

/// A B C, B C A, C A B: nobody is always first, and nobody always follows the same one after a pause.
fn order_of(names: &[String], seed: u64, round: usize) -> impl Iterator<Item = &String> {
    let first = (seed.wrapping_add(round as u64) % names.len().max(1) as u64) as usize;
    names.iter().cycle().skip(first).take(names.len())
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()))
}

/// Children inherit it. Where the hard limit is low, the crowds are refused and the runs say so.
pub(crate) fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

#[cfg(test)]
mod tests;
