//! Lets a ringgate run under a mixed load for long, and checks at every rest whether it is as before.
//!
//! It starts a ringgate of its own, puts the mix of the plan on it, and writes down every few seconds what the clients
//! saw, what the kernel says about the process and what its status page says. The verdict compares rests, at which the
//! same sessions are open and nothing else.
//!
//! Not here: speed. Rates are low, and other work may go on beside it.

mod contents;
mod drive;
mod figures;
#[cfg(test)]
pub(crate) mod made_up;
pub mod plan;
pub mod record;
mod session;
mod sessions;
pub mod subject;
pub mod verdict;

use crate::backend::Backend;
use crate::compare::processes::output_of;
use crate::compare::raise_open_files;
use crate::poller::now_ns;
use crate::report;
use anyhow::{Context, Result, ensure};
use drive::Drive;
use plan::SoakPlan;
use record::{Begun, Ended, Line, Machine, OwnFigures, Record, Sample, Writer};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use subject::Subject;
use verdict::Verdict;

/// Longest that the gateway may take to end once nothing is open.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// The plan and options of a soak.
#[derive(Clone, Debug, clap::Args)]
pub struct SoakArguments {
    /// The plan's file
    #[arg(default_value = "loadtest/plans/soak.toml")]
    pub plan: PathBuf,
    /// The ringgate to soak [default: the one beside this program]
    #[arg(long)]
    pub ringgate: Option<PathBuf>,
    /// Same plan, same seed, same run
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Folder for the record and the report
    #[arg(long, default_value = "target/soak")]
    pub output: PathBuf,
    /// Run nothing: write the report of a folder's record again
    #[arg(long, value_name = "FOLDER")]
    pub report: Option<PathBuf>,
}

/// Soaks, and writes record and report.
///
/// # Errors
/// It cannot be run, or it was not flat.
pub fn run(arguments: &SoakArguments) -> Result<()> {
    let (record, folder) = match &arguments.report {
        Some(folder) => (Record::read(folder)?, folder),
        None => (soak(arguments)?, &arguments.output),
    };
    let verdict = Verdict::of(&record);
    report::soak::write(&record, &verdict, folder)?;
    print!("{}", report::soak::table(&record, &verdict));
    ensure!(verdict.is_flat, "the run was not flat");
    Ok(())
}

fn soak(arguments: &SoakArguments) -> Result<Record> {
    let plan = SoakPlan::read(&arguments.plan)?;
    raise_open_files();
    let loadtest = std::env::current_exe().context("cannot find this program")?;
    let ringgate = arguments.ringgate.clone().unwrap_or_else(|| loadtest.with_file_name("ringgate"));
    let build = loadtest.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let backend = start_backend()?;
    let begun = Begun {
        about: Machine::find_out(build.as_deref().unwrap_or("unknown")),
        version: output_of(&ringgate, &["--version"], &[])?,
        plan_text: std::fs::read_to_string(&arguments.plan)?,
        plan,
        seed: arguments.seed,
    };
    let folder = arguments.output.join("ringgate");
    let (process, subject) = subject::start(&ringgate, &begun.plan, backend, &folder)?;
    let minutes = begun.plan.duration_s / 60.0;
    eprintln!("ringgate {} on {}, {minutes:.0} minutes and some", subject.pid, subject.address);
    soak_subject(begun, subject, &arguments.output, || process.end(END_PATIENCE)?.code().context("a signal"))
}

/// Soaks who is there already, and leaves the record in `folder`. `end` ends it, and gives its exit status.
///
/// # Errors
/// The record cannot be written. Whatever else goes wrong is in the record.
pub fn soak_subject(
    begun: Begun,
    subject: Subject,
    folder: &Path,
    end: impl FnOnce() -> Result<i32>,
) -> Result<Record> {
    let mut writer = Writer::create(folder)?;
    writer.write(&Line::Begun(Box::new(begun.clone())))?;
    let outcome = drive(&begun.plan, subject, begun.seed, &mut writer);
    let asked = now_ns();
    let exit = end();
    let ended = Ended {
        exit_code: exit.ok(),
        drain_s: (now_ns() - asked) as f64 / 1e9,
        failure: outcome.err().map(|error| format!("{error:#}")),
    };
    writer.write(&Line::Ended(ended))?;
    Record::read(folder)
}

fn start_backend() -> Result<SocketAddr> {
    let backend = Backend::listen("127.0.0.1:0".parse().context("an address")?)?;
    let address = backend.address()?;
    std::thread::spawn(move || backend.serve());
    Ok(address)
}

/// Puts the mix on a target, and writes down what is seen of both.
///
/// # Errors
/// The run cannot go on. What goes wrong with sessions is written down.
fn drive(plan: &SoakPlan, subject: Subject, seed: u64, record: &mut Writer) -> Result<()> {
    let (samples, to_look) = channel();
    let (looked, seen) = channel();
    std::thread::scope(|scope| {
        let looking = scope.spawn(move || look(subject, record, &to_look, &looked));
        let outcome =
            Drive::new(plan, subject.address, seed, samples, seen).and_then(|mut drive| drive.run());
        let recorded = looking.join().unwrap_or_else(|_| anyhow::bail!("the look at the target failed"));
        outcome.and(recorded)
    })
}

/// Adds what is seen of the target to each sample: on a thread of its own, since a look takes longer than a message may.
fn look(
    subject: Subject,
    record: &mut Writer,
    samples: &Receiver<OwnFigures>,
    looked: &Sender<()>,
) -> Result<()> {
    for own in samples {
        for fault in &own.faults {
            eprintln!("{:.0} s: {fault}", own.at_s);
        }
        record.write(&Line::Sample(Box::new(Sample { own, target: subject.look() })))?;
        let _ = looked.send(());
    }
    Ok(())
}
