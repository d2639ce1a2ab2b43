//! Serves: runs an instance and carries out its commands, until it has ended.
//!
//! ```text
//! Serving --drain--> Draining --all workers ended, or its time is over--> over
//!    |                  '--terminate--> Ending --all workers ended, or after CUT_MS--> over
//!    '-----terminate----------------------^
//! ```
//!
//! The property to trust: a command has the same effect from every source, and everybody who asks is answered, the last of them
//! before the process ends.
//!
//! Not here: receiving commands (`signals`, `socket`), their effect on workers (`instance`), publishing (`publisher`), the messages to
//! the service manager (`service_manager`).

use std::time::Duration;

use rustls::pki_types::UnixTime;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, sleep_until};

use super::command::status::Status;
use super::command::{Asker, Command, Order, Progress, Reply};
use super::instance::Instance;
use super::publisher::{Publisher, PublisherEvent};
use super::service_manager::{ServiceManager, Standing};
use super::signals::CommandSignals;
use crate::catalog::Revision;
use crate::catalog::timestamp::Timestamp;
use crate::config::InstanceConfig;
use crate::limits::CATALOG_UPKEEP;
use crate::observe::publishes::LastPublish;
use crate::observe::state::State;
use crate::process::log;

/// Milliseconds beyond the drain for the last completions; unfinished work is left to the end of the process.
const DRAIN_OVERTIME_MS: u64 = 2_000;

/// Milliseconds for the final messages of sessions when a second signal cuts them.
const CUT_MS: u64 = 500;

/// Most askers that wait for the end of a drain. Over it, the newest is told that the drain goes on without it.
const DRAIN_ASKERS_MAX: usize = 64;

/// The sources of commands.
#[derive(Debug)]
pub struct Doors {
    /// Signals to the process.
    pub signals: CommandSignals,
    /// The control socket. `None`: there is none.
    pub socket: Option<mpsc::Receiver<Order>>,
}

impl Doors {
    /// Waits for the next command. May be dropped at any time: none is lost.
    async fn next(&mut self) -> Order {
        let from_socket = async {
            match &mut self.socket {
                Some(orders) => match orders.recv().await {
                    Some(order) => order,
                    None => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            command = self.signals.next() => Order { command, asker: Asker::LOG },
            order = from_socket => order,
        }
    }
}

/// An instance that is served.
#[derive(Debug)]
pub struct Serving {
    instance: Instance,
    config: InstanceConfig,
    /// `None`: it has no files, or publishes no more.
    publisher: Option<Publisher>,
    begun: Instant,
    /// When the drain began, and how many sessions were open then.
    drained: Option<(Instant, u64)>,
    /// Sessions that were open when the instance was cut.
    cut: u64,
    /// When unfinished work is left to the end of the process; none while it serves.
    until: Option<Instant>,
    drain_askers: Vec<Asker>,
    terminate_askers: Vec<Asker>,
    /// `None`: no service manager has started this process.
    manager: Option<ServiceManager>,
    /// Reloads that were asked for.
    reloads_asked: u64,
}

/// An event to handle.
enum Event {
    WorkersEnded(Result<(), String>),
    Ordered(Order),
    Published(PublisherEvent),
    Upkeep,
    ManagerRound,
    TimeIsOver,
}

impl Serving {
    /// Prepares to serve `instance`, whose configuration is `config`: its catalogue is `revision`, `publisher` finds changes, and
    /// `manager` is told how it is.
    pub fn new(
        instance: Instance,
        config: InstanceConfig,
        revision: Revision,
        publisher: Option<Publisher>,
        manager: Option<ServiceManager>,
    ) -> Self {
        let first = LastPublish { at: now(), revision, served: revision, fault_count: 0, faults: Vec::new() };
        instance.publishes().note(first);
        Self {
            instance,
            config,
            publisher,
            begun: Instant::now(),
            drained: None,
            cut: 0,
            until: None,
            drain_askers: Vec::new(),
            terminate_askers: Vec::new(),
            manager,
            reloads_asked: 0,
        }
    }

    /// Serves until the instance was told to end and has.
    ///
    /// # Errors
    /// The error of a worker that failed. The others may still run: the process is to end.
    pub async fn run(mut self, mut doors: Doors) -> Result<(), String> {
        let mut upkeep = tokio::time::interval(CATALOG_UPKEEP);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rounds = self.manager.as_ref().map(|manager| {
            let mut rounds = tokio::time::interval(manager.round_interval());
            rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
            rounds
        });
        loop {
            self.tell_manager();
            let until = self.until;
            let event = tokio::select! {
                ended = self.instance.ended() => Event::WorkersEnded(ended),
                order = doors.next() => Event::Ordered(order),
                found = next_of(&mut self.publisher) => Event::Published(found),
                _ = upkeep.tick() => Event::Upkeep,
                () = next_round(&mut rounds) => Event::ManagerRound,
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => Event::TimeIsOver,
            };
            match event {
                Event::WorkersEnded(ended) => {
                    // Whatever ended them: the rows of their last events tell of it.
                    self.instance.end_log().await;
                    ended?;
                    if self.instance.state() == State::Serving {
                        return Err("all workers ended by themselves".to_owned());
                    }
                    self.finish(true);
                    return Ok(());
                }
                Event::TimeIsOver => {
                    self.instance.end_log().await;
                    self.finish(false);
                    return Ok(());
                }
                Event::Ordered(order) => self.obey(order),
                Event::Published(event) => {
                    if let Some(publisher) = &mut self.publisher {
                        publisher.handle(event, &mut self.instance, now());
                    }
                }
                Event::Upkeep => {
                    if self.keep_up() {
                        upkeep.reset_immediately();
                    }
                }
                Event::ManagerRound => {
                    let standing = self.standing();
                    if let Some(manager) = &mut self.manager {
                        manager.round(&standing, self.instance.counters().workers(), Instant::now());
                    }
                }
            }
        }
    }

    /// Carries out a command, or begins to.
    fn obey(&mut self, Order { command, asker }: Order) {
        match command {
            Command::Status => asker.reply(self.status()),
            Command::Reload => self.reload(asker),
            Command::Drain => self.drain(asker),
            Command::Terminate => self.terminate(asker),
        }
    }

    fn reload(&mut self, asker: Asker) {
        self.reloads_asked += 1;
        match &mut self.publisher {
            Some(publisher) => publisher.request_look(asker),
            None if self.instance.state() == State::Serving => {
                asker.reply(Reply::NotReloaded("this instance has no files: it serves what is built in"));
            }
            None => asker.reply(Reply::NotReloaded(ENDING)),
        }
    }

    fn drain(&mut self, asker: Asker) {
        match self.instance.state() {
            State::Serving => {
                self.publish_no_more();
                let (drain_s, sessions) = (self.config.drain_s, self.instance.sessions_to_end());
                let spread_ms = self.instance.drain();
                log::say(&draining(sessions, spread_ms, drain_s));
                self.drained = Some((Instant::now(), sessions));
                self.until = Some(Instant::now() + Duration::from_millis(drain_s * 1000 + DRAIN_OVERTIME_MS));
            }
            State::Draining => {}
            State::Ending => return asker.reply(Reply::DrainCut),
        }
        self.drain_askers.retain(|asker| !asker.is_gone());
        if self.drain_askers.len() == DRAIN_ASKERS_MAX {
            return asker.reply(Reply::NotAwaited);
        }
        asker.tell(self.progress());
        self.drain_askers.push(asker);
    }

    fn terminate(&mut self, asker: Asker) {
        if self.terminate_askers.len() < DRAIN_ASKERS_MAX {
            self.terminate_askers.push(asker);
        }
        if self.instance.state() == State::Ending {
            return;
        }
        self.publish_no_more();
        // Openings in progress are not waited for.
        self.cut = self.instance.sessions_to_end();
        self.instance.cut();
        self.until = Some(Instant::now() + Duration::from_millis(CUT_MS));
    }

    /// Stops publishing: later changes of the files have no effect.
    fn publish_no_more(&mut self) {
        if let Some(mut publisher) = self.publisher.take() {
            publisher.end(ENDING);
            // It may hold much that nobody else does.
            tokio::task::spawn_blocking(move || drop(publisher));
        }
    }

    /// Does the periodic work, every second. Returns whether it has to be called again at once.
    fn keep_up(&mut self) -> bool {
        let progress = self.progress();
        self.drain_askers.iter().for_each(|asker| asker.tell(progress));
        let is_more = self.instance.state() == State::Serving && self.instance.end_revoked(now());
        self.instance.let_go_of_retired();
        if let Some(publisher) = &mut self.publisher {
            publisher.look_after(&self.instance, Instant::now());
            publisher.tell_askers(progress);
        }
        is_more
    }

    /// Tells everybody how the instance ended: whether all workers have finished, or their time is over.
    fn finish(&mut self, is_all_over: bool) {
        let is_cut = self.instance.state() == State::Ending;
        let (begun, sessions) = self.drained.unwrap_or((self.begun, 0));
        let (took_s, cut) = (begun.elapsed().as_secs_f64(), self.cut);
        log::say(&match (is_cut, is_all_over) {
            (true, _) => format!("ended at once; {} cut", were(cut)),
            (false, true) if sessions == 0 => "drained".to_owned(),
            (false, true) => format!("drained; {} closed in {took_s:.1} s", were(sessions)),
            (false, false) => "drained; openings that were still in progress are cut".to_owned(),
        });
        for asker in self.drain_askers.drain(..) {
            asker.reply(match (is_cut, is_all_over) {
                (true, _) => Reply::DrainCut,
                (false, true) => Reply::Drained,
                (false, false) => Reply::DrainedInPart,
            });
        }
        self.terminate_askers.drain(..).for_each(|asker| asker.reply(Reply::Terminated));
    }

    /// Tells the service manager what has changed.
    fn tell_manager(&mut self) {
        let standing = self.standing();
        if let Some(manager) = &mut self.manager {
            manager.tell(&standing, Instant::now());
        }
    }

    fn standing(&self) -> Standing {
        let last = self.instance.publishes().last().expect("one is noted from the beginning");
        Standing {
            state: self.instance.state(),
            sessions: self.instance.open_sessions(),
            sessions_max: self.instance.places().limit().into(),
            revision: last.served,
            fault_count: last.fault_count,
            reloads_asked: self.reloads_asked,
            is_reloading: self.publisher.as_ref().is_some_and(Publisher::is_asked),
        }
    }

    fn progress(&self) -> Progress {
        Progress {
            sessions: self.instance.open_sessions(),
            openings: self.instance.budgets().openings_taken().into(),
        }
    }

    fn status(&self) -> Reply {
        let last = self.instance.publishes().last().expect("one is noted from the beginning");
        let uptime_s = self.begun.elapsed().as_secs();
        Reply::Status(Box::new(Status::of(&self.instance, &self.config, last, uptime_s)))
    }
}

/// The line of the log at the beginning of a drain.
fn draining(sessions: u64, spread_ms: u64, drain_s: u64) -> String {
    if sessions == 0 {
        return "draining; no session is open".to_owned();
    }
    let (plural, told_s) = (if sessions == 1 { "" } else { "s" }, spread_ms.div_ceil(1000).max(1));
    format!(
        "draining {sessions} session{plural}: each is closed within {told_s} s, and what is open after {drain_s} s (drain_s) is cut; \
         another SIGTERM or SIGINT, from half a second on, or `ringgate ctl terminate` cuts at once"
    )
}

/// Formats a number of sessions as the subject of a passive sentence.
fn were(sessions: u64) -> String {
    if sessions == 1 { "1 session was".to_owned() } else { format!("{sessions} sessions were") }
}

/// Why nothing is published any more.
const ENDING: &str = "the instance is about to end, and publishes no more";

/// Waits for the next round of a service manager; for ever without one.
async fn next_round(rounds: &mut Option<Interval>) {
    match rounds {
        Some(rounds) => drop(rounds.tick().await),
        None => std::future::pending().await,
    }
}

/// Returns the next event of a publisher; pending for ever without one.
async fn next_of(publisher: &mut Option<Publisher>) -> PublisherEvent {
    match publisher {
        Some(publisher) => publisher.next().await,
        None => std::future::pending().await,
    }
}

fn now() -> Timestamp {
    Timestamp::from_unix(UnixTime::now().as_secs())
}
