//! One relay, run from its first turn to its end.

use super::arrivals::Arrivals;
use super::ring::SimRing;
use super::scenario::Scenario;
use super::world::{Fault, Shared, World};
use fastrand::Rng;
use ringgate::observe::WorkerCounters;
use ringgate::relay::{BugReports, Mailbox, Relay, RelayLimits, bug_reports};
use ringgate::session::{Cause, Phase};
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Turns after which a simulation is one that does not end.
const TURNS_MAX: usize = 200_000;

/// A relay, its ring within it, and the world around it.
pub struct Simulation {
    /// Not dropped when a check fails: a queue in flight would abort the process before it can be said.
    pub relay: ManuallyDrop<Relay<SimRing>>,
    pub world: Shared,
    pub counters: Arc<WorkerCounters>,
    pub backlog_bytes_max: usize,
    /// A leg's share of a turn, in KiB.
    pub turn_share_kib: u32,
    pub line_kib_per_turn: u32,
    /// How often each connection that is in line was passed over since it was read.
    pub passed_over: BTreeMap<usize, usize>,
    /// The relay's reports of broken sessions.
    pub reports: BugReports,
}

/// The outcome of a simulation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub turns: usize,
    pub sessions: usize,
    pub taken_back: u64,
    pub parked: u64,
    /// Times that a leg was greedy.
    pub rationed: u64,
    pub slow_readers: u64,
    pub bytes: usize,
    pub spliced: u64,
    /// Sessions that moved bytes for longer than their linger time after one of their legs had ended.
    pub went_on: usize,
    pub dead_peers: u64,
    /// Times that a reset stood behind bytes that were not read.
    pub hidden_breaks: u64,
    pub bugs: u64,
}

impl Simulation {
    pub fn new(scenario: Scenario, world: Shared) -> Self {
        let Scenario {
            odds,
            buffers,
            posted_max,
            backlog_bytes_max,
            zero_copy_bytes_min,
            splice_bytes_min,
            dead_peer_timeout_ms,
            shares_kib: [turn_share_kib, line_kib_per_turn],
            receive_bytes_max,
            arrivals,
        } = scenario;
        let mailbox = Mailbox::new().expect("a descriptor is left");
        let arrivals = Arrivals::new(Arc::clone(&mailbox), arrivals);
        let mut ring = SimRing::new(&world, odds, buffers, posted_max, arrivals);
        ring.receive_bytes_max = receive_bytes_max;
        let counters = Arc::new(WorkerCounters::default());
        let limits = RelayLimits {
            backlog_bytes_max,
            zero_copy_bytes_min,
            splice_bytes_min,
            dead_peer_timeout_ms,
            turn_share_kib,
            line_kib_per_turn,
            ..RelayLimits::default()
        };
        world.borrow_mut().dead_peer_timeout_ms = dead_peer_timeout_ms;
        let is_unfair = world.borrow_mut().takes_fault(Fault::RationsNobody);
        let limits = if is_unfair { RelayLimits { turn_share_kib: u32::MAX, ..limits } } else { limits };
        let (reporter, reports) = bug_reports();
        let relay = Relay::new(ring, mailbox, Arc::clone(&counters), limits).reporting_to(reporter);
        Self {
            relay: ManuallyDrop::new(relay),
            world,
            counters,
            backlog_bytes_max,
            turn_share_kib,
            line_kib_per_turn,
            passed_over: BTreeMap::new(),
            reports,
        }
    }

    /// One turn, and all checks.
    pub fn turn(&mut self) {
        let forges = self.world.borrow().forges;
        if forges > 0 && self.world.borrow_mut().rng.u16(..1_000) < forges {
            self.forge();
        }
        self.relay.turn().expect("the simulated ring does not fail");
        let is_ended = self.world.borrow().sessions.iter().any(|session| session.is_over);
        if is_ended && self.world.borrow_mut().takes_fault(Fault::CountsAnEndTwice) {
            self.counters.count_termination(Cause::Closed, Phase::Relay);
        }
        self.check();
    }

    /// Turns until something holds.
    #[track_caller]
    pub fn turn_until(&mut self, what: &str, mut holds: impl FnMut(&World) -> bool) {
        for _ in 0..10_000 {
            if holds(&self.world.borrow()) {
                return;
            }
            self.turn();
        }
        panic!("never came: {what}");
    }

    /// Turns until no session is left; nothing is held then.
    pub fn run(mut self) -> Summary {
        let mut turns = 0;
        while !self.relay.is_done() {
            self.turn();
            turns += 1;
            assert!(turns < TURNS_MAX, "the relay does not end");
        }
        self.check_causes();
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let world = self.world.borrow();
        assert!(world.connections.iter().all(|connection| connection.is_closed));
        assert_eq!(count(&self.counters.sessions_opened) as usize, world.sessions.len());
        let figures = world.label.figures();
        assert_eq!(
            (figures.opened, figures.ended),
            (world.sessions.len() as u64, world.sessions.len() as u64)
        );
        assert_eq!(figures.terminations.iter().sum::<u64>(), figures.ended, "each session has one end");
        assert_eq!(count(&self.counters.slots), 0);
        assert_eq!(count(&self.counters.buffers), 0);
        assert_eq!(count(&self.counters.backlog_bytes), 0);
        let reported = std::iter::from_fn(|| self.reports.take()).count();
        assert_eq!(reported, world.broken.len(), "reports, and sessions that were broken");
        assert!(count(&self.counters.broken_invariants) >= reported as u64);
        let summary = Summary {
            turns,
            sessions: world.sessions.len(),
            taken_back: count(&self.counters.sends_taken_back),
            parked: count(&self.counters.parked),
            rationed: count(&self.counters.rationed),
            slow_readers: self.counters.terminations_of(Cause::SlowReader, Phase::Relay),
            bytes: world.connections.iter().map(|connection| connection.taken.len()).sum(),
            spliced: count(&self.counters.spliced_bytes),
            went_on: world.sessions.iter().filter(|session| session.went_on).count(),
            dead_peers: self.counters.terminations_of(Cause::DeadPeer, Phase::Relay),
            hidden_breaks: world.hidden_breaks,
            bugs: world.bugs as u64,
        };
        drop(world);
        ManuallyDrop::into_inner(self.relay);
        summary
    }
}

/// Runs what a seed says; a failure says how to see it again.
pub fn run_seed(seed: u64, fault: Option<Fault>) -> Summary {
    run_forging(seed, fault, 0)
}

/// As [`run_seed`], but the relay is told what cannot be, in so many permille of its turns.
pub fn run_forging(seed: u64, fault: Option<Fault>, forges: u16) -> Summary {
    let mut rng = Rng::with_seed(seed);
    let scenario = Scenario::any(&mut rng);
    let world = World::new(seed, rng, fault);
    world.borrow_mut().forges = forges;
    let simulation = Simulation::new(scenario, world.clone());
    telling(&world, || simulation.run())
}

/// Lets a failure tell what happened before it.
pub fn telling<T>(world: &Shared, run: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|failure| {
        if let Ok(world) = world.try_borrow() {
            eprintln!("{}", world.report());
        }
        resume_unwind(failure)
    })
}
