//! The exporter's thread: sends each signal by itself, so that what one receiver refuses keeps no other signal.
//!
//! | the answer | what is done |
//! |---|---|
//! | 200 | taken; records that it rejects are lost |
//! | 429, 502, 503, 504, none | again: after `Retry-After`, or 1 s, 2 s, 4 s, … 30 s; given up at a failure after [`RETRY_MAX`] |
//! | any other | the records are lost |
//!
//! What is collected meanwhile waits in the queue, and is dropped where that is full. Metrics are never sent twice: the next attempt sends
//! what they are by then.

use super::client::{Answer, Client, on_one_line};
use super::figures::{Outcomes, Signal, SignalFigures};
use super::metrics;
use super::protobuf::Response;
use super::queue::{Queue, is_told};
use super::values::Origin;
use crate::observe::event_ring::wall_ns;
use crate::telemetry::figures::Observed;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};

/// The time until a failed request is repeated, the first time. It doubles with each failure.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);

/// The longest such time.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// For how long a request is repeated, and the longest `Retry-After` that is kept to. At the first failure after it, the records are
/// given up.
pub(super) const RETRY_MAX: Duration = Duration::from_secs(300);

/// The outcome of one attempt.
enum Attempt {
    Taken(Response),
    /// It may succeed later.
    Later {
        why: String,
        after: Option<Duration>,
    },
    /// It never will.
    Refused(String),
}

impl Attempt {
    fn of(answered: Result<Answer, String>) -> Self {
        let answer = match answered {
            Ok(answer) => answer,
            Err(why) => return Self::Later { why, after: None },
        };
        let Answer { status, retry_after, message, shown } = answer;
        let shown =
            if shown.is_empty() { on_one_line(&Response::message_of_refusal(&message)) } else { shown };
        let said = if shown.is_empty() { String::new() } else { format!(" ({shown})") };
        match status {
            200..=299 => Self::Taken(Response::parse(&message)),
            429 | 502..=504 => {
                Self::Later { why: format!("the receiver answers {status}{said}"), after: retry_after }
            }
            413 => Self::Refused(format!(
                "the receiver answers {status}{said}, and the records are lost: lower otlp.batch_max, or let it take more"
            )),
            _ => Self::Refused(format!(
                "the receiver answers {status}{said}, and the records are lost: check otlp.endpoint and otlp.headers"
            )),
        }
    }
}

/// The times between the attempts of a request.
struct Backoff {
    next: Duration,
}

impl Backoff {
    fn new() -> Self {
        Self { next: BACKOFF_FIRST }
    }

    /// The time until the next attempt: what the receiver asks for, or one that grows, a fifth more or less so that not all instances come
    /// back together.
    fn take(&mut self, asked: Option<Duration>) -> Duration {
        let own = self.next;
        self.next = (own * 2).min(BACKOFF_MAX);
        asked.map_or_else(
            || own.mul_f64(spread(getrandom::u32().unwrap_or_default())),
            |asked| asked.min(RETRY_MAX),
        )
    }
}

/// 0.8 to 1.2.
fn spread(random: u32) -> f64 {
    0.8 + 0.4 * f64::from(random) / f64::from(u32::MAX)
}

/// What a signal is sent with.
pub(super) struct Sender {
    pub(super) client: Client,
    pub(super) outcomes: Outcomes,
}

impl Sender {
    /// Sends what comes into a queue, until it is closed and empty.
    pub(super) async fn send_all<T>(
        mut self,
        queue: Arc<Queue<T>>,
        batch_max: usize,
        mut closing: watch::Receiver<bool>,
        encode: impl Fn(&[T]) -> (Vec<u8>, u64),
    ) {
        loop {
            let batch = queue.next(batch_max, &mut closing).await;
            if batch.is_empty() {
                return;
            }
            let (message, records) = encode(&batch);
            self.send(message, records, &mut closing).await;
        }
    }

    /// Sends a request until it is taken, refused, or given up. Once the signal is `closing`, there is one more attempt.
    async fn send(&mut self, message: Vec<u8>, records: u64, closing: &mut watch::Receiver<bool>) {
        self.outcomes.begin(records);
        let begun = Instant::now();
        let mut backoff = Backoff::new();
        let mut is_last = is_told(closing);
        loop {
            match Attempt::of(self.client.post(message.clone()).await) {
                Attempt::Taken(Response { rejected, message }) => {
                    return self.outcomes.taken(rejected, &message);
                }
                Attempt::Refused(why) => {
                    self.outcomes.lose();
                    return self.outcomes.failed(why);
                }
                Attempt::Later { why, after } => {
                    let is_given_up = is_last || begun.elapsed() >= RETRY_MAX;
                    if is_given_up {
                        self.outcomes.lose();
                    }
                    self.outcomes.failed(why);
                    if is_last {
                        return;
                    }
                    // Before the next request too: a receiver that asks for time is left alone, whatever is sent.
                    tokio::select! {
                        () = sleep(backoff.take(after)) => {}
                        _ = closing.wait_for(|is_closing| *is_closing) => {}
                    }
                    if is_given_up {
                        return;
                    }
                    is_last = is_told(closing);
                }
            }
        }
    }

    /// Sends the figures of an instance at each interval, and a last time when it is over.
    pub(super) async fn send_metrics(
        mut self,
        observed: oneshot::Receiver<Observed>,
        origin: &Origin,
        interval: Duration,
        mut over: watch::Receiver<bool>,
    ) {
        // None is given if the instance does not start.
        let Ok(observed) = observed.await else { return };
        let mut backoff = Backoff::new();
        loop {
            let is_last = is_told(&over);
            let (message, points) = metrics::request(origin, &observed, wall_ns());
            self.outcomes.begin(points);
            let wait = match Attempt::of(self.client.post(message).await) {
                Attempt::Taken(Response { rejected, message }) => {
                    self.outcomes.taken(rejected, &message);
                    backoff = Backoff::new();
                    interval
                }
                Attempt::Refused(why) => {
                    self.outcomes.failed(why);
                    interval
                }
                Attempt::Later { why, after } => {
                    self.outcomes.failed(why);
                    let wait = backoff.take(after);
                    if after.is_some() { wait } else { wait.min(interval) }
                }
            };
            if is_last {
                return;
            }
            tokio::select! {
                () = sleep(wait) => {}
                _ = over.wait_for(|is_over| *is_over) => {}
            }
        }
    }
}

/// The figures of a signal that is to be sent.
pub(super) fn figures_of(signal: Signal, is_sent: bool) -> Option<Arc<SignalFigures>> {
    is_sent.then(|| Arc::new(SignalFigures::new(signal)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<u64>) -> Attempt {
        let retry_after = retry_after.map(Duration::from_secs);
        Attempt::of(Ok(Answer { status, retry_after, message: bytes::Bytes::new(), shown: String::new() }))
    }

    #[test]
    fn what_the_specification_calls_retryable_is_tried_again_and_no_other_failure() {
        for status in [200, 202] {
            assert!(matches!(answer(status, None), Attempt::Taken(_)), "{status}");
        }
        for status in [429, 502, 503, 504] {
            assert!(matches!(answer(status, None), Attempt::Later { after: None, .. }), "{status}");
        }
        for status in [301, 400, 401, 403, 404, 408, 413, 500, 501, 505] {
            assert!(matches!(answer(status, None), Attempt::Refused(_)), "{status}");
        }
        assert!(
            matches!(answer(503, Some(7)), Attempt::Later { after: Some(wait), .. } if wait.as_secs() == 7)
        );
        assert!(matches!(Attempt::of(Err("away".to_owned())), Attempt::Later { .. }));
    }

    #[test]
    fn attempts_come_further_apart_up_to_half_a_minute_unless_the_receiver_says_when() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..7).map(|_| backoff.take(None).as_secs_f64()).collect();
        for (wait, around) in waits.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]) {
            assert!((around * 0.799..=around * 1.201).contains(wait), "{waits:?}");
        }
        assert_eq!(backoff.take(Some(Duration::from_secs(3))), Duration::from_secs(3));
        assert_eq!(backoff.take(Some(Duration::from_secs(86_400))), RETRY_MAX);
        assert_eq!((spread(0), spread(u32::MAX)), (0.8, 1.2000000000000002));
    }
}
