//! A soak's course: open what stands, then mix and rest in turns, then close everything.
//!
//! At a rest churn and slow readers end, what they left settles, and for a moment not a message is on its way: what the
//! target holds then must be what it held at the first rest.

use super::contents::Contents;
use super::figures::Figures;
use super::plan::SoakPlan;
use super::record::{OwnFigures, Stage};
use super::session::{Kind, Role};
use super::sessions::Sessions;
use crate::load::parts::Arrivals;
use crate::load::random::Random;
use crate::machine::process_us;
use crate::poller::{Ready, now_ns};
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

const SECOND_NS: f64 = 1e9;
/// Sessions that open or close at once at the edges of the run.
const AT_ONCE: usize = 200;
/// Seconds in which something that must come to an end does: openings, messages, slow readers. Far longer than it takes: on a busy
/// machine the harness itself may get little of a core, and what never ends is found all the same.
const PATIENCE_S: f64 = 300.0;
/// Milliseconds after which a session leaves in the middle of a frame or a head: least and most.
const LEAVE_MS: [f64; 2] = [20.0, 300.0];
/// Payload of the message that an idle session echoes before it closes, in bytes.
const LAST_MESSAGE_BYTES: usize = 100;
/// Longest that a look at the target may take.
const LOOK_PATIENCE: Duration = Duration::from_secs(30);

/// The activities beside the standing sessions.
#[derive(Clone, Copy, Debug)]
struct Going {
    messages: bool,
    churn_and_slow: bool,
}

const EVERYTHING: Going = Going { messages: true, churn_and_slow: true };
const MESSAGES: Going = Going { messages: true, churn_and_slow: false };
const NOTHING: Going = Going { messages: false, churn_and_slow: false };

/// A soak in progress.
#[derive(Debug)]
pub(super) struct Drive<'a> {
    plan: &'a SoakPlan,
    sessions: Sessions,
    figures: Figures,
    random: Random,
    opening: Vec<u8>,
    flood_opening: Vec<u8>,
    messages: Option<Arrivals>,
    churn: Option<Arrivals>,
    next_group_ns: u64,
    started: u64,
    next_sample_ns: u64,
    stage: Stage,
    ready: Vec<Ready>,
    /// Who looks at the target takes each sample, and says when it has.
    samples: Sender<OwnFigures>,
    looked: Receiver<()>,
    unseen: usize,
}

impl<'a> Drive<'a> {
    pub(super) fn new(
        plan: &'a SoakPlan,
        target: SocketAddr,
        seed: u64,
        samples: Sender<OwnFigures>,
        looked: Receiver<()>,
    ) -> Result<Self> {
        let mut random = Random::new(seed);
        let contents = Contents::new(plan.message_bytes_max(), random.fork());
        let host = target.to_string();
        let now = now_ns();
        Ok(Self {
            plan,
            sessions: Sessions::new(target, contents)?,
            figures: Figures::new(),
            random,
            opening: crate::wire::opening(&host, "/"),
            flood_opening: crate::wire::opening(&host, &format!("/flood?bytes={}", plan.slow.bytes)),
            messages: None,
            churn: None,
            next_group_ns: 0,
            started: now,
            next_sample_ns: now,
            stage: Stage::Start,
            ready: Vec::new(),
            samples,
            looked,
            unseen: 0,
        })
    }

    /// The whole run. What goes wrong with sessions is in the samples.
    ///
    /// # Errors
    /// The run cannot go on.
    pub(super) fn run(&mut self) -> Result<()> {
        self.sample_and_wait()?;
        self.stage = Stage::Opening;
        self.open(Kind::Idle, self.plan.idle.sessions)?;
        self.open(Kind::Steady, self.plan.steady.sessions)?;
        self.rest()?;
        let begun = now_ns();
        for rest in 1..=self.plan.rests() {
            self.stage = Stage::Mix;
            self.run_until(begun + ns(self.plan.rest_begins_s(rest)), EVERYTHING)?;
            self.rest()?;
        }
        self.stage = Stage::Closing;
        self.close_all()?;
        self.run_for(self.plan.settle_s, NOTHING)?;
        self.stage = Stage::End;
        self.sample_and_wait()
    }

    /// Opens sessions, some at a time, and waits until all are open.
    fn open(&mut self, kind: Kind, sessions: usize) -> Result<()> {
        let deadline = now_ns() + ns(PATIENCE_S);
        let mut begun = 0;
        while self.sessions.open_count(kind) < sessions {
            while begun < sessions && begun < self.sessions.open_count(kind) + AT_ONCE {
                self.sessions.begin(kind, Role::Standing, self.opening.clone())?;
                begun += 1;
            }
            self.turn(now_ns() + ns(0.01), NOTHING)?;
            ensure!(
                self.figures.fault_count == 0 && now_ns() < deadline,
                "sessions do not open: {} of {sessions}; {}",
                self.sessions.open_count(kind),
                self.figures.faults.first().map_or("no fault is known", String::as_str)
            );
        }
        Ok(())
    }

    /// Comes to rest, and samples.
    fn rest(&mut self) -> Result<()> {
        self.stage = Stage::Settling;
        self.run_while("churn and slow readers do not end", MESSAGES, |sessions| {
            sessions.count(Kind::Churn) + sessions.count(Kind::Slow) > 0
        })?;
        self.run_for(self.plan.settle_s, MESSAGES)?;
        self.run_while("messages do not come back", NOTHING, |sessions| {
            sessions.messages_on_their_way() > 0
        })?;
        self.run_for(self.plan.quiet_s, NOTHING)?;
        self.stage = Stage::Rest;
        self.sample_and_wait()
    }

    /// Each standing session echoes a message and closes.
    fn close_all(&mut self) -> Result<()> {
        for kind in [Kind::Steady, Kind::Idle] {
            for keys in self.sessions.of_kind(kind).chunks(AT_ONCE) {
                let left = self.sessions.count(kind).saturating_sub(keys.len());
                for key in keys {
                    self.sessions.echo_and_close(*key, LAST_MESSAGE_BYTES);
                }
                self.run_while("sessions do not close", NOTHING, |sessions| sessions.count(kind) > left)?;
            }
        }
        Ok(())
    }

    fn run_for(&mut self, seconds: f64, going: Going) -> Result<()> {
        self.run_until(now_ns() + ns(seconds), going)
    }

    fn run_until(&mut self, end: u64, going: Going) -> Result<()> {
        self.begin_arrivals(going);
        while now_ns() < end {
            self.turn(end, going)?;
        }
        Ok(())
    }

    /// An activity that takes too long is a fault, and the run goes on.
    fn run_while(&mut self, what: &str, going: Going, is_going: impl Fn(&Sessions) -> bool) -> Result<()> {
        self.begin_arrivals(going);
        let deadline = now_ns() + ns(PATIENCE_S);
        while is_going(&self.sessions) {
            if now_ns() > deadline {
                self.figures.record_fault(format!("{what} within {PATIENCE_S} s"));
                return Ok(());
            }
            self.turn(now_ns() + ns(0.01), going)?;
        }
        Ok(())
    }

    /// Restarts paused arrivals: none is due for the time of the pause.
    fn begin_arrivals(&mut self, going: Going) {
        let now = now_ns();
        if !going.messages {
            self.messages = None;
        } else if self.messages.is_none() {
            self.messages = Some(Arrivals::new(now, self.plan.steady.rate_per_s, self.random.fork()));
        }
        if !going.churn_and_slow {
            self.churn = None;
        } else if self.churn.is_none() {
            self.churn = Some(Arrivals::new(now, self.plan.churn.rate_per_s, self.random.fork()));
            self.next_group_ns = now;
        }
    }

    /// Waits for sockets or for what is due next, and does it.
    fn turn(&mut self, until: u64, going: Going) -> Result<()> {
        let due = [
            self.messages.as_ref().map(Arrivals::next_ns),
            // Who may not begin another one waits for one of them to end.
            self.churn.as_ref().filter(|_| self.may_churn()).map(Arrivals::next_ns),
            going.churn_and_slow.then_some(self.next_group_ns),
            self.sessions.next_timer_ns(),
            Some(self.next_sample_ns),
        ];
        let until = due.into_iter().flatten().fold(until, u64::min);
        self.sessions.turn(until, &mut self.ready, &mut self.figures)?;
        let now = now_ns();
        self.sessions.handle_timers(now, &mut self.figures);
        self.send_due(now);
        self.churn_due(now)?;
        if going.churn_and_slow && now >= self.next_group_ns {
            self.next_group_ns += ns(self.plan.slow.every_s);
            self.begin_group()?;
        }
        if now >= self.next_sample_ns {
            self.sample()?;
        }
        Ok(())
    }

    fn send_due(&mut self, now: u64) {
        while let Some(intended) = self.messages.as_mut().and_then(|arrivals| arrivals.take_due(now)) {
            let Some(key) = self.sessions.steady(self.random.next()) else { return };
            let bytes = self.draw_size();
            self.figures.record_lateness(now_ns() - intended);
            self.sessions.send(key, bytes, intended);
        }
    }

    fn draw_size(&mut self) -> usize {
        let sizes = &self.plan.steady.sizes;
        let weights: u64 = sizes.iter().map(|size| u64::from(size.weight)).sum();
        let mut drawn = self.random.next() % weights;
        for size in sizes {
            match drawn.checked_sub(u64::from(size.weight)) {
                Some(left) => drawn = left,
                None => return size.bytes,
            }
        }
        LAST_MESSAGE_BYTES
    }

    fn may_churn(&self) -> bool {
        self.sessions.count(Kind::Churn) < self.plan.churn.at_once
    }

    fn churn_due(&mut self, now: u64) -> Result<()> {
        while self.may_churn() && self.churn.as_mut().and_then(|arrivals| arrivals.take_due(now)).is_some() {
            let role = self.draw_visit();
            self.sessions.begin(Kind::Churn, role, self.opening.clone())?;
        }
        Ok(())
    }

    fn draw_visit(&mut self) -> Role {
        let churn = &self.plan.churn;
        let drawn = self.random.share();
        let after_ns = ns(self.draw_between(LEAVE_MS) / 1e3);
        if drawn < churn.mid_frame_share {
            return Role::ResetMidFrame { bytes: churn.bytes, after_ns };
        }
        if drawn >= churn.mid_frame_share + churn.in_opening_share {
            return Role::EchoAndClose { bytes: churn.bytes };
        }
        match self.random.next() % 3 {
            0 => Role::LeaveInHead { by_reset: true, after_ns },
            1 => Role::LeaveInHead { by_reset: false, after_ns },
            _ => Role::ResetInDial,
        }
    }

    fn begin_group(&mut self) -> Result<()> {
        for _ in 0..self.plan.slow.sessions {
            let role = Role::ReadSlowly {
                bytes: self.plan.slow.bytes as u64,
                stop_ns: ns(self.draw_between(self.plan.slow.stop_s)),
                is_reset: self.random.share() < self.plan.slow.reset_share,
            };
            self.sessions.begin(Kind::Slow, role, self.flood_opening.clone())?;
        }
        Ok(())
    }

    fn draw_between(&mut self, [least, most]: [f64; 2]) -> f64 {
        least + self.random.share() * (most - least)
    }

    /// Hands over what was seen since the last sample.
    fn sample(&mut self) -> Result<()> {
        let now = now_ns();
        self.next_sample_ns = now + ns(self.plan.sample_every_s);
        let figures = &self.figures;
        let us = |ns: u64| ns as f64 / 1e3;
        let latency = &figures.latency;
        let own = OwnFigures {
            at_s: (now - self.started) as f64 / SECOND_NS,
            stage: self.stage,
            steady: self.sessions.open_count(Kind::Steady),
            idle: self.sessions.open_count(Kind::Idle),
            churn: self.sessions.count(Kind::Churn),
            slow: self.sessions.count(Kind::Slow),
            round_trips: figures.round_trips,
            latency_us: (!latency.is_empty()).then(|| {
                [us(latency.value_at_quantile(0.5)), us(latency.value_at_quantile(0.99)), us(latency.max())]
            }),
            lateness_p99_us: (!figures.lateness.is_empty())
                .then(|| us(figures.lateness.value_at_quantile(0.99))),
            ends: figures.ends,
            faults: figures.faults.clone(),
            fault_count: figures.fault_count,
            harness_cpu_us: process_us(&[std::process::id()]),
        };
        self.figures.begin_sample();
        self.unseen += 1;
        self.samples.send(own).context("nobody takes the samples any more")
    }

    /// Samples, and does nothing until the target was looked at: no message is on its way.
    fn sample_and_wait(&mut self) -> Result<()> {
        self.sample()?;
        while self.unseen > 0 {
            self.looked.recv_timeout(LOOK_PATIENCE).context("the target cannot be looked at")?;
            self.unseen -= 1;
        }
        Ok(())
    }
}

fn ns(seconds: f64) -> u64 {
    (seconds * SECOND_NS) as u64
}
