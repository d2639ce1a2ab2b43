//! The result of a run, as JSON. Units are in the names.

use serde::{Deserialize, Serialize};

/// One run of a plan against one target.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct RunResult {
    /// The plan's file name without its ending.
    pub plan: String,
    /// Who was measured.
    pub target: String,
    /// The seed of the run.
    pub seed: u64,
    /// Length of the window in seconds.
    pub window_s: f64,
    /// Messages that came back (round trips), or arrived (push), in the window.
    pub messages: u64,
    /// Latency of round trips; of pushed messages where there are no round trips.
    pub latency: Option<Percentiles>,
    /// Latency of round trips without TLS beside those with it, which are in `latency`.
    #[serde(default)]
    pub plain_latency: Option<Percentiles>,
    /// TLS handshakes in the window.
    #[serde(default)]
    pub handshakes: Option<Handshakes>,
    /// Sessions that churn opened and closed in the window.
    pub sessions: u64,
    /// From the connect to the echo of the one message.
    pub opening_latency: Option<Percentiles>,
    /// How the round trips fared beside greedy sessions; absent where there were none.
    #[serde(default)]
    pub greedy: Option<GreedyBeside>,
    /// The processor's work in the window; absent if no cores were named.
    pub processor: Option<Processor>,
    /// Resident memory of the proxy's processes at the end of the window, in KiB.
    #[serde(default)]
    pub rss_kib: u64,
    /// Memory at steps of an idle crowd.
    pub memory: Vec<MemoryStep>,
    /// How late the load generator itself was against its schedule; absent for closed loops.
    pub lateness: Option<Percentiles>,
    /// Faults: contents that differ, sessions that ended.
    pub faults: Vec<String>,
    /// Why the run does not count; empty if it does.
    pub thrown_out: Vec<String>,
}

/// TLS handshakes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Handshakes {
    /// With a certificate.
    pub full: u64,
    /// With a ticket.
    pub resumed: u64,
}

impl Handshakes {
    /// Share of those with a ticket, 0 to 1.
    pub fn resumed_share(&self) -> f64 {
        self.resumed as f64 / (self.full + self.resumed).max(1) as f64
    }
}

/// The results of steady sessions beside greedy ones.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct GreedyBeside {
    /// Echoes that were due in the window, by the plan's rate and seed: the same for every target of a round.
    pub asked: u64,
    /// Those of them that came in the window.
    pub answered: u64,
    /// Echoes that had not come when the run gave up waiting, seconds after the greedy sessions had ended. Each is among the
    /// latencies with the time for which it was waited for.
    pub never_answered: u64,
    /// Bytes that the sockets of the greedy sessions took; 0 where they only stop reading.
    pub sent_bytes: u64,
    /// The frames in them.
    pub sent_frames: u64,
}

impl GreedyBeside {
    /// Echoes asked for, for each one answered: 1 if every one was, and more is worse. Without any answer it is as many as
    /// were asked for, as if there had been one.
    pub fn asked_per_answer(&self) -> f64 {
        self.asked as f64 / self.answered.max(1) as f64
    }
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Percentiles {
    /// Median.
    pub p50_us: f64,
    /// 99th.
    pub p99_us: f64,
    /// 99.9th.
    pub p999_us: f64,
    /// Largest.
    pub max_us: f64,
}

/// The processor's work in the window.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Processor {
    /// Busy time of the proxy's core: all that is neither idle nor stolen, ksoftirqd too. Exact where a spinner keeps the core
    /// awake (`compare::awake`), else counted by ticks.
    pub proxy_core_busy_us: f64,
    /// The same by the ticks of /proc/stat: user, system, irq, softirq.
    #[serde(default)]
    pub proxy_core_ticks_us: f64,
    /// Busy time of that core per second when nobody uses it, taken before the run.
    pub idle_baseline_us_per_s: f64,
    /// Processor time of the proxy's processes. It misses what the kernel does for them in ksoftirqd.
    pub proxy_process_us: f64,
    /// Busy share of the core of load and backend, 0 to 1.
    pub load_core_busy: f64,
    /// Time that the hypervisor took from either core, in µs.
    pub stolen_us: f64,
}

/// Memory at a number of idle sessions.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct MemoryStep {
    /// The state of the sessions: `fresh`, or `after 100 B`.
    pub state: String,
    /// How many there are.
    pub sessions: usize,
    /// Resident memory of the proxy's processes, in KiB.
    pub rss_kib: u64,
    /// Kernel slab of the whole machine, in KiB: clients' and backend's sockets are in it too.
    pub slab_kib: u64,
}

impl Processor {
    /// Busy time of the proxy's core in the window, less the idle baseline, in µs.
    pub fn proxy_busy_us(&self, window_s: f64) -> f64 {
        (self.proxy_core_busy_us - self.idle_baseline_us_per_s * window_s).max(0.0)
    }
}

impl RunResult {
    /// Messages that a cost is for. Beside greedy sessions it is not for those that are counted.
    pub fn messages_paid_for(&self) -> Option<f64> {
        (self.messages > 0 && self.greedy.is_none()).then_some(self.messages as f64)
    }

    /// Busy time of the proxy's core per message, in µs.
    pub fn cost_per_message_us(&self) -> Option<f64> {
        let busy = self.processor.as_ref()?.proxy_busy_us(self.window_s);
        Some(busy / self.messages_paid_for()?)
    }

    /// Busy time of the proxy's core per churned session, in µs.
    pub fn cost_per_session_us(&self) -> Option<f64> {
        let busy = self.processor.as_ref()?.proxy_busy_us(self.window_s);
        (self.sessions > 0).then(|| busy / self.sessions as f64)
    }

    /// KiB of RSS and of slab per session in a state, as the slope from the first step to the last one of that state.
    pub fn memory_slope_kib(&self, state: &str) -> Option<(f64, f64)> {
        let first = self.memory.first()?;
        let last = self.memory.iter().rev().find(|step| step.state == state)?;
        let sessions = last.sessions.checked_sub(first.sessions).filter(|sessions| *sessions > 0)? as f64;
        let per_session = |first: u64, last: u64| (last as f64 - first as f64) / sessions;
        Some((per_session(first.rss_kib, last.rss_kib), per_session(first.slab_kib, last.slab_kib)))
    }
}
