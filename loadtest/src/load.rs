//! The load generator: every part of a plan at once, on one thread.
//!
//! Open loops count latency from the intended time of a message, not from when it was sent: a proxy that stalls is
//! charged for all that would have been sent meanwhile. How late the generator itself was is recorded beside it.

mod client;
mod figures;
pub mod greedy;
mod judge;
pub(crate) mod parts;
pub(crate) mod random;
pub mod verify;

use crate::machine::core_use::{Core, CoreUse};
use crate::machine::{process_us, rss_kib, slab_kib};
use crate::plan::{Handshake, Plan};
use crate::poller::{Poller, Ready, now_ns};
use crate::result::{GreedyBeside, MemoryStep, Processor, RunResult};
use crate::tls::configs;
use crate::tls::credentials::Credentials;
use anyhow::{Context, Result, bail};
use client::{Client, Clients, Destination};
use figures::Figures;
use greedy::Greedy;
use parts::{Arrivals, Churning, Job, Kind, Pace};
use random::Random;
use std::net::SocketAddr;
use std::rc::Rc;

/// Nanoseconds in a second.
const SECOND_NS: f64 = 1e9;

/// Busy time per second below which a second of /proc/stat, in ticks of 10 ms, cannot be told from none.
const BASELINE_RESOLUTION_US_PER_S: f64 = 20_000.0;

/// Seconds over which that is looked at, and where a spinner counts exactly.
const BASELINE_S: f64 = 1.0;
const EXACT_BASELINE_S: f64 = 0.3;

/// Seconds in which all sessions of a part must be open.
const OPENING_PATIENCE_S: f64 = 60.0;

/// Seconds that messages have to come back when the window is over.
const REST_PATIENCE_S: f64 = 5.0;

/// Seconds after which memory has settled.
const SETTLING_S: f64 = 2.0;

/// Who is measured and where.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name in the result.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it speaks TLS; plans with TLS need it.
    pub tls: Option<TlsTarget>,
    /// Processes whose time and memory count.
    pub pids: Vec<u32>,
    /// The core it runs on.
    pub core: Option<Core>,
    /// The core of load and backend.
    pub load_core: Option<Core>,
}

/// Where TLS is spoken, and by whom.
#[derive(Clone, Debug)]
pub struct TlsTarget {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whose certificate it shows.
    pub credentials: Credentials,
}

impl Target {
    /// Where a plan with TLS goes.
    fn tls(&self) -> Result<&TlsTarget> {
        self.tls.as_ref().context("a plan with tls needs an address that speaks it, and credentials")
    }

    /// The proxy's and the load's; of one that was not named nothing is read that would be used.
    fn cores(&self) -> [Core; 2] {
        [self.core, self.load_core].map(|core| core.unwrap_or(Core { number: usize::MAX, spinner: None }))
    }
}

/// Runs a plan.
///
/// # Errors
/// Sessions cannot be opened, or the kernel refuses something. What goes wrong later is in the result.
pub fn run(plan: &Plan, plan_name: &str, target: &Target, seed: u64) -> Result<RunResult> {
    let baseline = baseline_us_per_s(target);
    let mut load = Load::new(plan, target, seed)?;
    let mut result =
        RunResult { plan: plan_name.to_owned(), target: target.name.clone(), seed, ..RunResult::default() };
    load.open_standing_sessions(plan, &mut result)?;
    let greedy = plan.greedy.map(|greedy| Greedy::open(greedy, load.destination.clone())).transpose()?;
    load.start_arrivals(plan);
    load.run_for(plan.warmup_s)?;

    let before = target.cores().map(CoreUse::read);
    let process = process_us(&target.pids);
    let started = now_ns();
    load.figures = Figures::since(started);
    load.progress_name = Some(format!("{plan_name} × {}", target.name));
    if let Some(greedy) = &greedy {
        greedy.begin();
    }
    load.run_for(plan.duration_s)?;
    result.window_s = (now_ns() - started) as f64 / SECOND_NS;
    let in_window = load.figures.counts();
    if let Some(greedy) = &greedy {
        greedy.end();
    }
    result.rss_kib = rss_kib(&target.pids);
    let [proxy, load_core] = target.cores().map(CoreUse::read);
    if target.core.is_some() {
        let (proxy, load_core) = (proxy.since(&before[0]), load_core.since(&before[1]));
        result.processor = Some(Processor {
            proxy_core_busy_us: proxy.busy_us,
            proxy_core_ticks_us: proxy.by_ticks_us,
            idle_baseline_us_per_s: baseline,
            proxy_process_us: process_us(&target.pids) - process,
            load_core_busy: load_core.busy_us / load_core.elapsed_us,
            stolen_us: proxy.stolen_us + load_core.stolen_us,
        });
    }
    let missing = load.wait_for_the_rest()?;
    if greedy.is_some() {
        load.charge_the_missing();
    }
    load.figures.write_to(&mut result);
    result.messages = in_window.messages;
    result.sessions = in_window.sessions;
    match greedy.map(Greedy::join) {
        // That messages starve is what such a run measures.
        Some(Ok(flood)) => {
            result.greedy = Some(GreedyBeside {
                asked: in_window.asked,
                answered: in_window.answered,
                never_answered: missing as u64,
                sent_bytes: flood.bytes,
                sent_frames: flood.frames,
            });
        }
        Some(Err(error)) => result.faults.push(format!("{error:#}")),
        None if missing > 0 => result.faults.push(format!("{missing} messages never came back")),
        None => {}
    }
    judge::judge(plan, &mut result);
    Ok(result)
}

/// Busy time of the proxy's core when nothing is asked of it, in µs per second. Less than one can tell counts as none.
fn baseline_us_per_s(target: &Target) -> f64 {
    let Some(core) = target.core else { return 0.0 };
    let seconds = if core.spinner.is_some() { EXACT_BASELINE_S } else { BASELINE_S };
    let before = CoreUse::read(core);
    std::thread::park_timeout(std::time::Duration::from_secs_f64(seconds));
    let used = CoreUse::read(core).since(&before);
    let baseline = used.busy_us * 1e6 / used.elapsed_us;
    if used.is_exact || baseline >= BASELINE_RESOLUTION_US_PER_S { baseline } else { 0.0 }
}

/// All sessions, and what is due.
struct Load {
    poller: Poller,
    clients: Clients,
    figures: Figures,
    random: Random,
    /// Without TLS, and where the plan's sessions go.
    plain: Destination,
    destination: Destination,
    pids: Vec<u32>,
    /// Prebuilt frames by size, with the sum of weights up to each.
    frames: Vec<(u32, Rc<[u8]>, usize)>,
    arrivals: Option<Arrivals>,
    pace: Pace,
    churning: Option<Churning>,
    is_closed_loop: bool,
    progress_name: Option<String>,
    ready: Vec<Ready>,
}

impl Load {
    fn new(plan: &Plan, target: &Target, seed: u64) -> Result<Self> {
        let mut frames = Vec::new();
        let mut weights = 0;
        for size in plan.steady.iter().flat_map(|steady| &steady.sizes) {
            weights += size.weight;
            frames.push((weights, crate::wire::client_frame(0x82, &vec![0; size.bytes]).into(), size.bytes));
        }
        let plain = Destination { address: target.address, tls: None };
        let destination = match plan.tls {
            None => plain.clone(),
            Some(_) => {
                let TlsTarget { address, credentials } = target.tls()?;
                let resumes = plan.churn.as_ref().is_some_and(|churn| churn.handshake == Handshake::Resumed);
                let config = configs::load_client(credentials, resumes)?;
                Destination { address: *address, tls: Some((config, resumes)) }
            }
        };
        Ok(Self {
            poller: Poller::new()?,
            clients: Clients::new(plan.tls.is_some()),
            figures: Figures::since(0),
            random: Random::new(seed),
            plain,
            destination,
            pids: target.pids.clone(),
            frames,
            arrivals: None,
            pace: Pace::new(plan.steady.as_ref().and_then(|steady| steady.at_once)),
            churning: None,
            is_closed_loop: plan.steady.as_ref().is_some_and(|steady| steady.rate_per_s.is_none()),
            progress_name: None,
            ready: Vec::new(),
        })
    }

    fn open_standing_sessions(&mut self, plan: &Plan, result: &mut RunResult) -> Result<()> {
        if let Some(idle) = &plan.idle {
            for step in &idle.steps {
                let missing = step.saturating_sub(self.clients.count(Kind::Idle));
                self.open(Kind::Idle, missing, "/", 0.0)?;
                self.run_for(SETTLING_S)?;
                result.memory.push(self.memory("fresh", *step));
            }
            for bytes in &idle.then_echo {
                self.echo_once(*bytes)?;
                self.run_for(SETTLING_S)?;
                result.memory.push(self.memory(&format!("after {bytes} B"), self.clients.count(Kind::Idle)));
            }
        }
        if let Some(stopped) = &plan.stopped {
            let path = format!("/flood?bytes={}", stopped.bytes);
            self.open(Kind::Stopped, stopped.sessions, &path, 0.0)?;
        }
        if let Some(push) = &plan.push {
            let every_us = (1e6 / push.rate_per_s) as u64;
            let path = format!("/push?bytes={}&every_us={every_us}", push.bytes);
            self.open(Kind::Push, push.sessions, &path, 0.0)?;
        }
        if let Some(steady) = &plan.steady {
            if steady.plain_sessions > 0 {
                let destination = std::mem::replace(&mut self.destination, self.plain.clone());
                let opened = self.open(Kind::Steady, steady.plain_sessions, "/", steady.ramp_s);
                self.destination = destination;
                opened?;
            }
            self.open(Kind::Steady, steady.sessions - steady.plain_sessions, "/", steady.ramp_s)?;
        }
        Ok(())
    }

    fn start_arrivals(&mut self, plan: &Plan) {
        let now = now_ns();
        if let Some(steady) = &plan.steady {
            match steady.rate_per_s {
                Some(rate) => self.arrivals = Some(Arrivals::new(now, rate, self.random.fork())),
                None => {
                    for index in self.clients.of_kind(Kind::Steady) {
                        self.send_message(index, now);
                    }
                }
            }
        }
        if let Some(churn) = &plan.churn {
            self.churning = Some(Churning::new(now, churn, self.random.fork()));
        }
    }

    fn memory(&self, state: &str, sessions: usize) -> MemoryStep {
        MemoryStep { state: state.to_owned(), sessions, rss_kib: rss_kib(&self.pids), slab_kib: slab_kib() }
    }

    /// Opens sessions, a few hundred at a time, and waits until all are open.
    fn open(&mut self, kind: Kind, sessions: usize, path: &str, ramp_s: f64) -> Result<()> {
        const AT_ONCE: usize = 200;
        let target = self.clients.count(kind) + sessions;
        let opening: Rc<[u8]> = crate::wire::opening(&self.destination.address.to_string(), path).into();
        let started = now_ns();
        let mut begun = 0;
        while self.clients.open_count(kind) < target {
            let elapsed = (now_ns() - started) as f64 / SECOND_NS;
            let allowed = if ramp_s > 0.0 { (sessions as f64 * elapsed / ramp_s) as usize } else { sessions };
            while begun < allowed.min(sessions) && self.clients.opening_count() < AT_ONCE {
                let (opening, destination) = (Rc::clone(&opening), &self.destination);
                self.clients.begin(&self.poller, kind, destination, opening, Job::None)?;
                begun += 1;
            }
            self.turn(now_ns() + 1_000_000)?;
            if self.figures.has_faults() || elapsed > OPENING_PATIENCE_S + ramp_s {
                bail!(
                    "sessions do not open: {} of {target}; {}",
                    self.clients.open_count(kind),
                    self.figures.first_fault()
                );
            }
        }
        Ok(())
    }

    /// Every idle session echoes one message, a few at a time.
    fn echo_once(&mut self, bytes: usize) -> Result<()> {
        let frame: Rc<[u8]> = crate::wire::client_frame(0x82, &vec![0; bytes]).into();
        for indices in self.clients.of_kind(Kind::Idle).chunks(50) {
            for index in indices {
                self.clients.send(&self.poller, *index, &frame, bytes, now_ns());
            }
            let deadline = now_ns() + 10_000_000_000;
            while indices.iter().any(|index| self.clients.is_waiting(*index)) {
                self.turn(now_ns() + 1_000_000)?;
                if now_ns() > deadline {
                    bail!("an idle session's message did not come back");
                }
            }
        }
        Ok(())
    }

    fn run_for(&mut self, seconds: f64) -> Result<()> {
        let end = now_ns() + (seconds * SECOND_NS) as u64;
        let mut next_progress = now_ns() + 1_000_000_000;
        while now_ns() < end {
            let due = [
                self.arrivals.as_ref().filter(|_| !self.pace.is_full()).map(Arrivals::next_ns),
                self.churning.as_ref().and_then(|churning| churning.next_ns(self.clients.count(Kind::Churn))),
            ];
            let until = due.into_iter().flatten().min().unwrap_or(end).min(end).min(next_progress);
            self.turn(until)?;
            let now = now_ns();
            self.send_due(now);
            self.churn_due(now)?;
            if now >= next_progress {
                next_progress = now + 1_000_000_000;
                if let Some(name) = &self.progress_name {
                    eprintln!("{name}: {}", self.figures.progress());
                }
            }
        }
        Ok(())
    }

    /// Sends no more, and waits for what is on its way; gives how many messages never came back.
    ///
    /// Their latency counts, their number does not: the window is over.
    fn wait_for_the_rest(&mut self) -> Result<usize> {
        self.arrivals = None;
        self.churning = None;
        self.is_closed_loop = false;
        let end = now_ns() + (REST_PATIENCE_S * SECOND_NS) as u64;
        while now_ns() < end && self.clients.messages_on_their_way() > 0 {
            self.turn(now_ns() + 10_000_000)?;
        }
        Ok(self.clients.messages_on_their_way())
    }

    /// Counts what never came back with the time for which it was waited for: at least so late it would have been.
    fn charge_the_missing(&mut self) {
        let now = now_ns();
        for intended in self.clients.intended_of_messages_on_their_way() {
            self.figures.record_missing(now.saturating_sub(intended));
        }
    }

    fn send_due(&mut self, now: u64) {
        while self.pace.lets_go(now)
            && let Some(due) = self.arrivals.as_mut().and_then(|arrivals| arrivals.take_due(now))
        {
            let Some(index) = self.clients.steady(self.random.next() as usize) else { return };
            let intended = self.pace.intended(due);
            if !self.pace.is_bounded() {
                self.figures.record_lateness(now_ns() - intended);
            }
            self.pace.sent();
            self.figures.record_ask(intended);
            self.send_message(index, intended);
        }
    }

    fn send_message(&mut self, index: usize, intended: u64) {
        let weights = self.frames.last().map_or(1, |(weights, ..)| *weights);
        let drawn = (self.random.next() % u64::from(weights)) as u32;
        if let Some((_, frame, bytes)) = self.frames.iter().find(|(weight, ..)| drawn < *weight) {
            let (frame, bytes) = (Rc::clone(frame), *bytes);
            self.clients.send(&self.poller, index, &frame, bytes, intended);
        }
    }

    fn churn_due(&mut self, now: u64) -> Result<()> {
        let Some(churning) = &mut self.churning else { return Ok(()) };
        let running = self.clients.count(Kind::Churn);
        let mut begun = 0;
        while let Some(intended) = churning.take_due(now, running + begun) {
            let opening = churning.opening(&self.destination.address);
            let job = churning.job(intended);
            self.clients.begin(&self.poller, Kind::Churn, &self.destination, opening, job)?;
            begun += 1;
        }
        Ok(())
    }

    /// Waits for sockets, and handles what came.
    fn turn(&mut self, until: u64) -> Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        self.poller.wait(until, &mut ready)?;
        for event in ready.drain(..) {
            let index = event.key as usize;
            let outcome = self.clients.handle(&self.poller, index, event, &mut self.figures);
            if outcome.came_back == 0 || self.clients.kind(index) != Some(Kind::Steady) {
                continue;
            }
            self.pace.came_back(outcome.came_back);
            if self.is_closed_loop {
                for _ in 0..outcome.came_back {
                    self.send_message(index, now_ns());
                }
            }
        }
        self.ready = ready;
        Ok(())
    }
}

impl Client {
    /// Whether its reader has stopped.
    fn is_stopped(&self) -> bool {
        self.kind == Kind::Stopped
    }
}
