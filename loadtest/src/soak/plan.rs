//! The plan of a soak: one file, checked; together with a seed it is enough to repeat the run.

use super::verdict::SLOPE_RESTS_MIN;
use crate::plan::Size;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A soak's plan. Every part is there: a soak without one of them would not say what this one says.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SoakPlan {
    /// The title in the report.
    pub title: String,
    /// Seconds of the mix and its rests, from the first rest to the last.
    pub duration_s: f64,
    /// Seconds from one sample to the next.
    pub sample_every_s: f64,
    /// Seconds whose rest points do not count for the slope of memory.
    pub warmup_s: f64,
    /// Seconds from one rest to the next.
    pub rest_every_s: f64,
    /// Seconds from when the last of churn and slow readers is gone to the rest point: time for what they left to end.
    pub settle_s: f64,
    /// Seconds without a message before the rest point.
    pub quiet_s: f64,
    /// Size of a received buffer of the gateway, in KiB: by it the mappings of its pools are found.
    pub pool_buffer_kib: u64,
    /// Largest slope over the rest points of resident memory outside the pools, in KiB per hour. Over it the run is not
    /// flat. A pool's pages become resident when a peak needs them for the first time, up to the pool's fixed size; its
    /// buffers are counted one by one.
    pub rss_slope_kib_per_h_max: f64,
    /// Most that steps of it over the rest points may add up to, in KiB. Over it the run is not flat. A step is what the allocator
    /// keeps of a burst.
    #[serde(default = "rss_steps_kib_max")]
    pub rss_steps_kib_max: f64,
    /// Workers of the gateway.
    pub workers: usize,
    /// Sessions that exchange messages with an echo, all the time.
    pub steady: SoakSteady,
    /// Sessions that do nothing until they echo one message at the end.
    pub idle: SoakIdle,
    /// Sessions that come and go.
    pub churn: SoakChurn,
    /// Sessions whose readers stop for a while.
    pub slow: SoakSlow,
}

/// The bound of plans that name none, which those of older runs do not.
fn rss_steps_kib_max() -> f64 {
    16_384.0
}

/// Round trips.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SoakSteady {
    /// How many sessions.
    pub sessions: usize,
    /// Messages per second over all sessions (open loop: latency counts from the intended time).
    pub rate_per_s: f64,
    /// Message sizes, at least 8 bytes, and how often each is drawn.
    pub sizes: Vec<Size>,
}

/// An idle crowd.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SoakIdle {
    /// How many sessions.
    pub sessions: usize,
}

/// New sessions. Those of neither share echo a message and close.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SoakChurn {
    /// New sessions per second (open loop).
    pub rate_per_s: f64,
    /// Most that are in progress at once.
    pub at_once: usize,
    /// Payload of the one message in bytes, at least 8.
    pub bytes: usize,
    /// Share that is reset in the middle of a frame, 0 to 1.
    pub mid_frame_share: f64,
    /// Share that leaves during the opening, 0 to 1: by reset or FIN within the head, or by reset right behind it.
    pub in_opening_share: f64,
}

/// Slow readers, in groups.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SoakSlow {
    /// Seconds from one group to the next.
    pub every_s: f64,
    /// How many are in a group.
    pub sessions: usize,
    /// Bytes that the backend pushes at each.
    pub bytes: usize,
    /// For how many seconds each stops reading: least and most.
    pub stop_s: [f64; 2],
    /// Share that is reset instead of reading on, 0 to 1.
    pub reset_share: f64,
}

impl SoakPlan {
    /// Reads and checks a plan.
    ///
    /// # Errors
    /// The fault of the file.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not a soak's plan", path.display()))
    }

    /// Parses and checks a plan.
    ///
    /// # Errors
    /// The fault of the text.
    pub fn parse(text: &str) -> Result<Self> {
        let plan: Self = toml::from_str(text)?;
        let times = [plan.duration_s, plan.sample_every_s, plan.rest_every_s, plan.slow.every_s];
        ensure!(times.iter().all(|seconds| *seconds > 0.0), "times are positive");
        let pauses = [plan.warmup_s, plan.settle_s, plan.quiet_s, plan.slow.stop_s[0]];
        ensure!(pauses.iter().all(|seconds| *seconds >= 0.0), "pauses are not negative");
        ensure!(plan.slow.stop_s.is_sorted(), "slow.stop_s is the least and the most");
        ensure!(plan.workers > 0 && plan.pool_buffer_kib > 0, "workers and pool_buffer_kib are at least 1");
        ensure!(plan.steady.sessions > 0 && plan.steady.rate_per_s > 0.0, "steady sessions have a rate");
        ensure!(plan.churn.rate_per_s > 0.0 && plan.churn.at_once > 0, "churn has a rate");
        let weights: u32 = plan.steady.sizes.iter().map(|size| size.weight).sum();
        ensure!(weights > 0, "steady.sizes has one size");
        let smallest = plan.steady.sizes.iter().map(|size| size.bytes).min().unwrap_or(0);
        ensure!(smallest.min(plan.churn.bytes) >= 8, "a message has at least 8 bytes");
        let shares = [plan.churn.mid_frame_share, plan.churn.in_opening_share, plan.slow.reset_share];
        ensure!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "shares are from 0 to 1");
        ensure!(shares[0] + shares[1] <= 1.0, "the shares of churn are at most 1 together");
        let rest_s = plan.settle_s + plan.quiet_s + plan.slow.stop_s[1];
        ensure!(
            plan.rest_every_s > rest_s,
            "rest_every_s is longer than settle_s, quiet_s and slow.stop_s together"
        );
        ensure!(
            plan.rests_behind_warmup() >= SLOPE_RESTS_MIN,
            "duration_s, rest_every_s and warmup_s leave fewer than {SLOPE_RESTS_MIN} rests for a slope"
        );
        Ok(plan)
    }

    /// How many rests there are beside the first one, which is before the mix.
    pub(super) fn rests(&self) -> usize {
        (self.duration_s / self.rest_every_s).ceil() as usize
    }

    /// When a rest begins, in seconds from the begin of the mix; the last one is at its end.
    pub(super) fn rest_begins_s(&self, rest: usize) -> f64 {
        (rest as f64 * self.rest_every_s).min(self.duration_s)
    }

    fn rests_behind_warmup(&self) -> usize {
        (0..=self.rests()).filter(|rest| self.rest_begins_s(*rest) >= self.warmup_s).count()
    }

    /// Payload of the largest message, in bytes.
    pub(super) fn message_bytes_max(&self) -> usize {
        self.steady.sizes.iter().map(|size| size.bytes).max().unwrap_or(0).max(self.churn.bytes)
    }

    /// Sessions that are open at a rest.
    pub fn standing_sessions(&self) -> usize {
        self.steady.sessions + self.idle.sessions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOAK: &str = include_str!("../../plans/soak.toml");

    #[test]
    fn the_plan_of_an_hour_has_rests_enough() {
        let plan = SoakPlan::parse(SOAK).expect("a plan");
        assert_eq!((plan.rests_behind_warmup(), plan.standing_sessions()), (11, 2200));
        assert_eq!(plan.message_bytes_max(), 65_536);
    }

    #[test]
    fn what_cannot_be_run_or_judged_is_refused() {
        for (from, to) in [
            ("warmup_s = 600", "warmup_s = 3100"),
            ("settle_s = 8", "settle_s = 300"),
            ("settle_s = 8", "settle_s = -1"),
            ("stop_s = [2.0, 8.0]", "stop_s = [8.0, 2.0]"),
            ("mid_frame_share = 0.1", "mid_frame_share = 0.95"),
            ("bytes = 300", "bytes = 7"),
            ("bytes = 64,", "bytes = 4,"),
            ("workers = 2", "workers = 0"),
            ("rate_per_s = 50", "rate_per_s = 0"),
            ("every_s = 15", "every_s = 0"),
        ] {
            assert!(SOAK.contains(from), "{from}");
            assert!(SoakPlan::parse(&SOAK.replace(from, to)).is_err(), "{to}");
        }
    }
}
