//! The plan of a run: one file in `plans/`, checked; together with a seed it is enough to repeat the run.
//!
//! A plan has parts that go on at the same time: steady round trips, a one-way push, churn, an idle crowd, readers that
//! stop, greedy sessions. Each part is optional; at least one is there.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::Path;

/// A plan.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The title in the report.
    pub title: String,
    /// The kind of the row's figure: it decides which figures the report compares.
    pub measures: Measures,
    /// Seconds before the window, not counted. Default 1.
    #[serde(default = "default_warmup_s")]
    pub warmup_s: f64,
    /// Seconds of the window. Default 5.
    #[serde(default = "default_duration_s")]
    pub duration_s: f64,
    /// Contents are checked message by message, by tungstenite, instead of by length. Slower: not for figures.
    #[serde(default)]
    pub verify: bool,
    /// Where TLS is spoken. Absent: nowhere.
    pub tls: Option<Tls>,
    /// Name of the backend's host, in place of its address. Absent: the address. Proxies that resolve names while they run
    /// get the name; the others, which look a name up once at their start, get the address as in any other plan.
    pub backend_name: Option<String>,
    /// A policy document for the API. Only ringgate can run it; every other target serves the plan without.
    pub policies: Option<String>,
    /// Sessions that exchange messages with an echo.
    pub steady: Option<Steady>,
    /// Sessions that the backend pushes to.
    pub push: Option<Push>,
    /// Sessions that open, exchange one message and close, again and again.
    pub churn: Option<Churn>,
    /// Sessions that do nothing, in growing numbers: their memory is measured.
    pub idle: Option<Idle>,
    /// Sessions whose readers stop while the backend pushes at them.
    pub stopped: Option<Stopped>,
    /// Sessions of another API and another backend that take all they can get, while the steady ones are measured.
    pub greedy: Option<Greedy>,
}

/// The kind of a row's figure.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Measures {
    /// Busy time of the proxy's core per message.
    CostPerMessage,
    /// Busy time of the proxy's core per session, and sessions per second.
    CostPerSession,
    /// Memory per idle session: the proxy's and the kernel's.
    Memory,
    /// Resident memory of the proxy per idle session.
    Resident,
    /// 99.9th percentile of the steady sessions' latency.
    Tail,
    /// The same of `steady.plain_sessions`. A row for them is made beside each of `tail`.
    PlainTail,
    /// Echoes that the steady sessions asked for in the window, for each one answered in it.
    Echoes,
    /// 99th percentile of the steady sessions' latency. A row for it is made beside each of `echoes`.
    EchoP99,
}

/// Where TLS is spoken.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Between clients and proxy.
    Clients,
    /// There, and between proxy and backend.
    Both,
}

/// Round trips.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Steady {
    /// How many sessions.
    pub sessions: usize,
    /// How many of them go without TLS where the others have it; their latency is told apart. Default 0.
    #[serde(default)]
    pub plain_sessions: usize,
    /// Messages per second over all sessions (open loop: latency counts from the intended time). Absent: closed loop.
    pub rate_per_s: Option<f64>,
    /// Message sizes and how often each is drawn.
    pub sizes: Vec<Size>,
    /// Most messages on their way at once, with `rate_per_s`: a closed loop of that many that goes no faster than the rate.
    /// A target that cannot keep the rate is then as busy as a closed loop makes it, and no more is asked of it; latency
    /// counts from the moment at which a message might go. Absent: no bound, an open loop.
    pub at_once: Option<usize>,
    /// Seconds over which the sessions are opened. Default 0: as fast as they come.
    #[serde(default)]
    pub ramp_s: f64,
}

/// A message size.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Payload in bytes.
    pub bytes: usize,
    /// Share among the sizes. Default 1.
    #[serde(default = "default_weight")]
    pub weight: u32,
}

/// A one-way push from the backend.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// How many sessions.
    pub sessions: usize,
    /// Payload of each message in bytes, at least 16: the first 8 are the time at which it was to be sent.
    pub bytes: usize,
    /// Messages per second for each session.
    pub rate_per_s: f64,
}

/// New sessions.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// New sessions per second (open loop). Absent: closed loop, as fast as they go.
    pub rate_per_s: Option<f64>,
    /// Most that are in progress at once.
    pub at_once: usize,
    /// Payload of the one message, in bytes. Absent: no message; a session is over as soon as it is open.
    pub bytes: Option<usize>,
    /// How each begins where there is TLS. Default full.
    #[serde(default)]
    pub handshake: Handshake,
    /// How the client ends each. Default close.
    #[serde(default)]
    pub end: End,
}

/// How a client ends a session.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// With a Close frame, and it waits for the answer to it.
    #[default]
    Close,
    /// With a TCP reset.
    Reset,
}

/// How a TLS handshake goes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Handshake {
    /// With a certificate.
    #[default]
    Full,
    /// With a ticket of an earlier session. If less than 95 % of them are, the run does not count.
    Resumed,
}

/// An idle crowd.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Idle {
    /// Numbers of sessions at which memory is read, ascending; the slope is taken from the first to the last.
    pub steps: Vec<usize>,
    /// After the last step each session echoes a message of each of these sizes, and memory is read again.
    pub then_echo: Vec<usize>,
}

/// Readers that stop.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Stopped {
    /// How many.
    pub sessions: usize,
    /// Bytes that the backend pushes at each.
    pub bytes: usize,
}

/// Sessions that take all they can get.
///
/// They are of an API and a backend of their own. That backend is a sink: it reads and drops what they send, so that
/// nothing comes back. They begin with the window and end with it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Greedy {
    /// How many sessions.
    pub sessions: usize,
    /// The behaviour of each of them.
    pub does: Greed,
    /// Bytes of each message (`send_messages`), or that the backend pushes at each session (`stop_reading`).
    pub bytes: Option<usize>,
}

/// The behaviour of a greedy session.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Greed {
    /// Sends messages without payload, one behind the other.
    SendEmptyFrames,
    /// Sends fragments of one byte, of a message that never ends.
    SendByteFragments,
    /// Sends messages, one behind the other.
    SendMessages,
    /// Sends messages of 64 bytes, each byte of which is a record of its own: under TLS.
    SendByteRecords,
    /// Asks for a push, and never reads.
    StopReading,
}

impl Greed {
    /// Whether `bytes` says how much.
    fn takes_bytes(self) -> bool {
        matches!(self, Self::SendMessages | Self::StopReading)
    }
}

fn default_warmup_s() -> f64 {
    1.0
}

fn default_duration_s() -> f64 {
    5.0
}

fn default_weight() -> u32 {
    1
}

impl Plan {
    /// Reads and checks a plan.
    ///
    /// # Errors
    /// The fault of the file.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not a plan", path.display()))
    }

    /// Parses and checks a plan.
    ///
    /// # Errors
    /// The fault of the text.
    pub fn parse(text: &str) -> Result<Self> {
        let plan: Self = toml::from_str(text)?;
        ensure!(plan.warmup_s >= 0.0 && plan.duration_s > 0.0, "times are positive");
        let has_part = plan.steady.is_some()
            || plan.push.is_some()
            || plan.churn.is_some()
            || plan.idle.is_some()
            || plan.stopped.is_some()
            || plan.greedy.is_some();
        ensure!(has_part, "at least one of steady, push, churn, idle, stopped, greedy");
        if let Some(steady) = &plan.steady {
            ensure!(steady.sessions > 0, "steady.sessions is at least 1");
            ensure!(steady.at_once != Some(0), "steady.at_once is at least 1");
            ensure!(
                steady.at_once.is_none() || steady.rate_per_s.is_some(),
                "steady.at_once goes with steady.rate_per_s; a closed loop has one message for each session"
            );
            ensure!(
                steady.plain_sessions == 0 || plan.tls.is_some() && steady.plain_sessions < steady.sessions,
                "steady.plain_sessions are some of steady.sessions, where there is tls"
            );
            ensure!(
                steady.sizes.iter().map(|size| size.weight).sum::<u32>() > 0,
                "steady.sizes has one size"
            );
        }
        if let Some(push) = &plan.push {
            ensure!(push.bytes >= 16, "push.bytes is at least 16");
        }
        if let Some(churn) = &plan.churn {
            ensure!(churn.at_once > 0, "churn.at_once is at least 1");
            ensure!(
                churn.handshake == Handshake::Full || plan.tls.is_some(),
                "churn.handshake = \"resumed\" goes with tls"
            );
        }
        if let Some(idle) = &plan.idle {
            ensure!(idle.steps.is_sorted() && idle.steps.len() >= 2, "idle.steps are two or more, ascending");
        }
        plan.check_greedy()?;
        ensure!(
            plan.backend_name.is_none() || plan.tls != Some(Tls::Both),
            "backend_name goes with a backend without tls"
        );
        Ok(plan)
    }

    /// Where the backend is, as a URL says it: by its name, if the plan has one.
    pub fn backend_authority(&self, backend: SocketAddr) -> String {
        match &self.backend_name {
            Some(name) => format!("{name}:{}", backend.port()),
            None => backend.to_string(),
        }
    }

    fn check_greedy(&self) -> Result<()> {
        ensure!(
            (self.measures == Measures::Echoes) == self.greedy.is_some(),
            "measures = \"echoes\" and a greedy part go together"
        );
        let Some(greedy) = &self.greedy else { return Ok(()) };
        ensure!(greedy.sessions > 0, "greedy.sessions is at least 1");
        ensure!(
            greedy.does.takes_bytes() == greedy.bytes.is_some_and(|bytes| bytes > 0)
                && greedy.bytes.is_none_or(|bytes| bytes > 0),
            "greedy.bytes is at least 1 where sessions send messages or stop reading, and absent otherwise"
        );
        // How many echoes are asked for must not depend on who is measured, as it does in a closed loop.
        let is_open_loop = self
            .steady
            .as_ref()
            .is_some_and(|steady| steady.rate_per_s.is_some() && steady.at_once.is_none());
        ensure!(is_open_loop, "greedy sessions stand beside steady ones with rate_per_s and without at_once");
        ensure!(self.tls != Some(Tls::Both), "greedy sessions have a backend without tls");
        ensure!(
            greedy.does != Greed::SendByteRecords || self.tls.is_some(),
            "greedy.does = \"send_byte_records\" goes with tls"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEADY: &str = "[steady]\nsessions = 2\nrate_per_s = 10\nsizes = [{ bytes = 64 }]\n";

    fn greedy(measures: &str, greedy: &str, steady: &str) -> Result<Plan> {
        Plan::parse(&format!("title = \"t\"\nmeasures = \"{measures}\"\n{steady}{greedy}"))
    }

    #[test]
    fn greedy_sessions_need_an_open_loop_beside_them_and_bytes_where_they_have_some() {
        let one = "[greedy]\nsessions = 1\n";
        let plan = greedy("echoes", &format!("{one}does = \"send_messages\"\nbytes = 64\n"), STEADY);
        assert_eq!(plan.expect("a plan").greedy.expect("a part").does, Greed::SendMessages);
        let empty = format!("{one}does = \"send_empty_frames\"\n");
        assert!(greedy("echoes", &empty, STEADY).is_ok());
        for (measures, part, steady) in [
            ("tail", empty.as_str(), STEADY),
            ("echoes", "", STEADY),
            ("echoes", &empty, ""),
            ("echoes", &empty, "[steady]\nsessions = 2\nsizes = [{ bytes = 64 }]\n"),
            ("echoes", &empty, &format!("{STEADY}at_once = 2\n")),
            ("echoes", &empty, &format!("tls = \"both\"\n{STEADY}")),
            ("echoes", "[greedy]\nsessions = 1\ndoes = \"send_byte_records\"\n", STEADY),
            ("echoes", "[greedy]\nsessions = 0\ndoes = \"send_empty_frames\"\n", STEADY),
            ("echoes", &format!("{empty}bytes = 0\n"), STEADY),
            ("echoes", &format!("{empty}bytes = 1\n"), STEADY),
            ("echoes", &format!("{one}does = \"stop_reading\"\n"), STEADY),
            ("echoes", &format!("{one}does = \"send_messages\"\nbytes = 0\n"), STEADY),
        ] {
            assert!(greedy(measures, part, steady).is_err(), "{measures} {part} {steady}");
        }
    }
}
