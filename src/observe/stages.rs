//! The stages of an opening handshake, and how long each took.
//!
//! Not here: the clock that measures them (`front::stages`).

/// A stage of an opening. They follow each other in this order, and each lasts until it has succeeded or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stage {
    /// From the accept to the first step of the opening: the wait for the thread of the front.
    Accept,
    /// The TLS handshake with the client.
    Tls,
    /// The wait for the whole request head.
    Head,
    /// Routing, the subscription key, RFC 6455's checks, places, and the policies before the dial.
    Policy,
    /// The dial, with the look-up of the backend's name and the TLS handshake with it.
    Dial,
    /// From the request to the backend to its whole answer head.
    Backend,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 6] = [Self::Accept, Self::Tls, Self::Head, Self::Policy, Self::Dial, Self::Backend];

    /// The name in logs, metrics and docs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Tls => "tls",
            Self::Head => "head",
            Self::Policy => "policy",
            Self::Dial => "dial",
            Self::Backend => "backend",
        }
    }
}

/// How long the stages of one opening took, in microseconds by a clock that never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// By stage. `None`: the opening did not come to it, or there is none (TLS on a plain listener).
    micros: [Option<u32>; Stage::ALL.len()],
    /// From the accept to the end of the opening: the stages, and what comes behind them (the policies on the backend's answer, and
    /// the answer to the client).
    pub total_us: u32,
}

impl StageTimes {
    /// Those of these stages, and in total.
    pub fn new(micros: [Option<u32>; Stage::ALL.len()], total_us: u32) -> Self {
        Self { micros, total_us }
    }

    /// Microseconds of a stage. `None`: the opening did not come to it, or there is none.
    pub fn of(&self, stage: Stage) -> Option<u32> {
        self.micros[stage as usize]
    }

    /// Microseconds from the accept to the end of `stage`. `None`: the opening did not come to it, or there is none.
    pub fn until(&self, stage: Stage) -> Option<u64> {
        self.of(stage)?;
        Some(self.micros[..=stage as usize].iter().flatten().map(|micros| u64::from(*micros)).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_in_the_order_of_their_numbers() {
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, index);
        }
    }

    #[test]
    fn the_end_of_a_stage_is_the_sum_of_those_up_to_it() {
        let times = StageTimes::new([Some(1), None, Some(20), Some(300), Some(4_000), None], 5_000);
        assert_eq!(times.of(Stage::Tls), None);
        assert_eq!(times.until(Stage::Accept), Some(1));
        assert_eq!(times.until(Stage::Tls), None);
        assert_eq!(times.until(Stage::Dial), Some(4_321));
        assert_eq!(times.until(Stage::Backend), None, "the backend was not asked");
    }
}
