//! The figures of a run, and which of them a row compares.

use crate::plan::Measures;
use crate::result::{Percentiles, RunResult};
use serde::Serialize;

/// The identity of a figure. Two figures with one key are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// As in `results.json`; the unit is in it.
    pub key: String,
    /// For people.
    pub name: String,
    /// For people.
    pub unit: &'static str,
}

/// Key of the 99.9th percentile of latency.
pub const P999: &str = "latency_p999_us";
/// Key of the 99th percentile of latency.
pub const P99: &str = "latency_p99_us";
/// Key of the echoes asked for, for each one answered.
pub const ASKED_PER_ANSWER: &str = "asked_per_answer";
/// Key of the echoes answered.
pub const ANSWERED: &str = "echoes_answered";
/// Key of the 99.9th percentile of sessions without TLS beside others with it.
pub const PLAIN_P999: &str = "plain_latency_p999_us";
/// Key of the busy time of the proxy's core per message.
pub const COST_PER_MESSAGE: &str = "core_us_per_message";
/// Key of the busy time of the proxy's core per session.
pub const COST_PER_SESSION: &str = "core_us_per_session";
/// Key of the memory of a fresh session.
pub const MEMORY_FRESH: &str = "memory_kib_per_session/fresh";
/// Key of the proxy's own part of it.
pub const RESIDENT_FRESH: &str = "rss_kib_per_session/fresh";

/// The figure that a row is about. Less is better for each of them.
pub fn key_figure(measures: Measures) -> &'static str {
    match measures {
        Measures::CostPerMessage => COST_PER_MESSAGE,
        Measures::CostPerSession => COST_PER_SESSION,
        Measures::Memory => MEMORY_FRESH,
        Measures::Resident => RESIDENT_FRESH,
        Measures::Tail => P999,
        Measures::PlainTail => PLAIN_P999,
        Measures::Echoes => ASKED_PER_ANSWER,
        Measures::EchoP99 => P99,
    }
}

/// Name and unit of a row's figure, also where no run has it.
pub fn key_figure_name(measures: Measures) -> (&'static str, &'static str) {
    match measures {
        Measures::CostPerMessage => ("busy core per message", "µs"),
        Measures::CostPerSession => ("busy core per session", "µs"),
        Measures::Memory => ("memory per fresh session (RSS + slab)", "KiB"),
        Measures::Resident => ("RSS per fresh session", "KiB"),
        Measures::Tail => ("latency p99.9", "µs"),
        Measures::PlainTail => ("latency p99.9 of sessions without TLS", "µs"),
        Measures::Echoes => ("echoes asked for, for each one answered", "1 is the least"),
        Measures::EchoP99 => ("latency p99", "µs"),
    }
}

/// All figures that a run has, in the order in which a report lists them.
pub fn figures(result: &RunResult) -> Vec<(Figure, f64)> {
    let mut list = List(Vec::new());
    if let Some(cost) = result.cost_per_message_us() {
        list.push(COST_PER_MESSAGE, "busy core per message", "µs", cost);
    }
    if let Some(cost) = result.cost_per_session_us() {
        list.push(COST_PER_SESSION, "busy core per session", "µs", cost);
        if cost > 0.0 {
            list.push("sessions_per_busy_s", "sessions per second of a busy core", "/s", 1e6 / cost);
        }
    }
    list.greedy(result);
    if let Some(processor) = &result.processor {
        if let Some(messages) = result.messages_paid_for() {
            let cost = processor.proxy_process_us / messages;
            list.push("process_us_per_message", "process CPU per message", "µs", cost);
        }
        if result.sessions > 0 {
            let cost = processor.proxy_process_us / result.sessions as f64;
            list.push("process_us_per_session", "process CPU per session", "µs", cost);
        }
    }
    if result.window_s > 0.0 {
        if result.messages > 0 {
            list.push(
                "messages_per_s",
                "messages per second",
                "/s",
                result.messages as f64 / result.window_s,
            );
        }
        if result.sessions > 0 {
            list.push(
                "sessions_per_s",
                "sessions per second",
                "/s",
                result.sessions as f64 / result.window_s,
            );
        }
    }
    list.percentiles("latency", "latency", result.latency.as_ref());
    list.percentiles("plain_latency", "latency without TLS", result.plain_latency.as_ref());
    if let Some(handshakes) = &result.handshakes {
        let share = handshakes.resumed_share() * 100.0;
        list.push("resumed_percent", "TLS handshakes that were resumed", "%", share);
    }
    list.percentiles("opening", "opening", result.opening_latency.as_ref());
    list.memory(result);
    if result.rss_kib > 0 {
        list.push("rss_mib", "RSS at the end", "MiB", result.rss_kib as f64 / 1024.0);
    }
    list.percentiles("lateness", "generator's lateness", result.lateness.as_ref());
    if let Some(processor) = &result.processor {
        if result.window_s > 0.0 {
            let busy = processor.proxy_core_busy_us / 1e4 / result.window_s;
            list.push("proxy_core_busy_percent", "proxy core busy", "%", busy);
        }
        if let Some(messages) = result.messages_paid_for() {
            let ticks = processor.proxy_core_ticks_us / messages;
            list.push("ticks_us_per_message", "busy core by ticks, per message", "µs", ticks);
        }
        list.push("load_core_busy_percent", "load core busy", "%", processor.load_core_busy * 100.0);
        list.push("stolen_ms", "stolen by the hypervisor", "ms", processor.stolen_us / 1e3);
    }
    list.0
}

struct List(Vec<(Figure, f64)>);

impl List {
    fn push(&mut self, key: &str, name: &str, unit: &'static str, value: f64) {
        self.0.push((Figure { key: key.to_owned(), name: name.to_owned(), unit }, value));
    }

    fn percentiles(&mut self, key: &str, name: &str, percentiles: Option<&Percentiles>) {
        let Some(percentiles) = percentiles else { return };
        let each = [
            ("p50", "p50", percentiles.p50_us),
            ("p99", "p99", percentiles.p99_us),
            ("p999", "p99.9", percentiles.p999_us),
            ("max", "largest", percentiles.max_us),
        ];
        for (suffix, label, value) in each {
            self.push(&format!("{key}_{suffix}_us"), &format!("{name} {label}"), "µs", value);
        }
    }

    fn greedy(&mut self, result: &RunResult) {
        let Some(greedy) = &result.greedy else { return };
        let names = key_figure_name(Measures::Echoes);
        self.push(ASKED_PER_ANSWER, names.0, names.1, greedy.asked_per_answer());
        let share = greedy.answered as f64 * 100.0 / greedy.asked.max(1) as f64;
        self.push(ANSWERED, "answered in the window", "echoes", greedy.answered as f64);
        self.push("echoes_answered_percent", "of the echoes asked for", "%", share);
        self.push("echoes_never_answered", "never answered", "echoes", greedy.never_answered as f64);
        if greedy.sent_bytes > 0 && result.window_s > 0.0 {
            let mib = greedy.sent_bytes as f64 / result.window_s / f64::from(1 << 20);
            self.push("greedy_mib_per_s", "greedy sessions' bytes", "MiB/s", mib);
            let frames = greedy.sent_frames as f64 / result.window_s;
            self.push("greedy_frames_per_s", "greedy sessions' frames", "/s", frames);
        }
    }

    fn memory(&mut self, result: &RunResult) {
        let mut states: Vec<&str> = Vec::new();
        for step in &result.memory {
            if !states.contains(&step.state.as_str()) {
                states.push(&step.state);
            }
        }
        for state in states {
            let Some((rss, slab)) = result.memory_slope_kib(state) else { continue };
            let each = [("memory", "RSS + slab", rss + slab), ("rss", "RSS", rss), ("slab", "slab", slab)];
            for (key, name, value) in each {
                let key = format!("{key}_kib_per_session/{state}");
                self.push(&key, &format!("{name} per session, {state}"), "KiB", value);
            }
        }
        if let Some(most) = result.memory.iter().map(|step| step.rss_kib).max() {
            self.push("rss_mib_most", "RSS, largest read", "MiB", most as f64 / 1024.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{GreedyBeside, MemoryStep, Processor};

    fn value(result: &RunResult, key: &str) -> Option<f64> {
        figures(result).into_iter().find(|(figure, _)| figure.key == key).map(|(_, value)| value)
    }

    #[test]
    fn both_costs_are_per_message_and_the_baseline_is_off() {
        let processor = Processor {
            proxy_core_busy_us: 1_100.0,
            proxy_core_ticks_us: 1_000.0,
            idle_baseline_us_per_s: 50.0,
            proxy_process_us: 700.0,
            ..Processor::default()
        };
        let result =
            RunResult { window_s: 2.0, messages: 100, processor: Some(processor), ..RunResult::default() };
        assert_eq!(value(&result, COST_PER_MESSAGE), Some(10.0));
        assert_eq!(value(&result, "process_us_per_message"), Some(7.0));
        assert_eq!(value(&result, COST_PER_SESSION), None);
    }

    #[test]
    fn memory_is_the_slope_for_each_state() {
        let step = |state: &str, sessions, rss_kib, slab_kib| MemoryStep {
            state: state.to_owned(),
            sessions,
            rss_kib,
            slab_kib,
        };
        let memory = vec![
            step("fresh", 1000, 10_000, 5_000),
            step("fresh", 9000, 26_000, 45_000),
            step("after 100 B", 9000, 50_000, 45_000),
        ];
        let result = RunResult { memory, ..RunResult::default() };
        assert_eq!(value(&result, MEMORY_FRESH), Some(7.0));
        assert_eq!(value(&result, "rss_kib_per_session/fresh"), Some(2.0));
        assert_eq!(value(&result, "rss_kib_per_session/after 100 B"), Some(5.0));
    }

    #[test]
    fn beside_greedy_sessions_echoes_are_told_and_no_cost_per_message() {
        let greedy = GreedyBeside {
            asked: 5_000,
            answered: 4_000,
            never_answered: 3,
            sent_bytes: 12 << 20,
            sent_frames: 2_097_152,
        };
        let mut result = RunResult {
            window_s: 2.0,
            messages: 4_000,
            greedy: Some(greedy),
            processor: Some(Processor::default()),
            ..RunResult::default()
        };
        for (key, expected) in [
            (ASKED_PER_ANSWER, Some(1.25)),
            (ANSWERED, Some(4_000.0)),
            ("echoes_answered_percent", Some(80.0)),
            ("echoes_never_answered", Some(3.0)),
            ("greedy_mib_per_s", Some(6.0)),
            ("greedy_frames_per_s", Some(1_048_576.0)),
            (COST_PER_MESSAGE, None),
            ("process_us_per_message", None),
        ] {
            assert_eq!(value(&result, key), expected, "{key}");
        }
        // Nobody was answered, and readers that stop send nothing.
        result.greedy = Some(GreedyBeside { asked: 5_000, never_answered: 5_000, ..GreedyBeside::default() });
        assert_eq!(value(&result, ASKED_PER_ANSWER), Some(5_000.0));
        assert_eq!(value(&result, "greedy_mib_per_s"), None);
    }

    #[test]
    fn a_run_without_cores_has_no_cost() {
        let result = RunResult { window_s: 1.0, messages: 5, ..RunResult::default() };
        assert_eq!(value(&result, COST_PER_MESSAGE), None);
        assert_eq!(value(&result, "messages_per_s"), Some(5.0));
    }
}
