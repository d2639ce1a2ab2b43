//! Openings that are kept for the health path: where there is no place for a connection, its request is read all the same, and the
//! health path alone is served to it.
//!
//! So a balancer does not take an instance out of service because a storm of openings takes all places. What cannot become a
//! request for the health path by its first bytes is turned away at once, as all are where there is no such path.
//!
//! ```text
//! no place ── its bytes tell that it asks for something else, or too many are kept ──► turned away
//!    └─ kept ── a request for the health path ──► answered
//!         └──── another request, an end, the deadline, the drain, a newcomer ──► refused
//! ```
//!
//! Half of the kept openings wait at most: with one more, the oldest gives way, and the other half is for those that do and are
//! not closed yet, and those that are being answered. So silent connections, however many come, keep none of these places for longer
//! than newcomers take to fill half of them.
//!
//! They are for a lack of openings alone. Where only one network has more than its share, its own connections would fill them, and a
//! balancer of another network has a place as any client.

use super::Front;
use super::channel::Channel;
use super::head_reader::read_head;
use super::opening::{Accepted, channel_of};
use super::refusal::{Refusal, end_after_answer, send_within};
use super::socket::Socket;
use super::stream::{Host, Network, Stream as _};
use super::turn_away::{note_turned_away, turn_away};
use super::waiting_line::WaitingLine;
use crate::config::health::HEALTH_PATH_BYTES_MAX;
use crate::head::Method;
use crate::http1::HealthRequest;
use crate::limits::HEALTH_REQUEST_MS;
use crate::observe::counters::add;
use bytes::Bytes;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Bytes of a request that tell whether it may be one for the health path: a line end before it, its method, its path, and one more.
const TELLING_BYTES: usize = "\r\nOPTIONS ".len() + HEALTH_PATH_BYTES_MAX + 1;

/// The kept openings of a front.
#[derive(Debug)]
pub(super) struct KeptOpenings {
    /// How many there are.
    limit: usize,
    taken: Cell<usize>,
    /// Those whose requests are awaited.
    waiting: WaitingLine<Notify>,
}

/// One of them; dropping it gives it back.
#[derive(Debug)]
struct KeptOpening<N: Network = Host> {
    front: Rc<Front<N>>,
    number: u64,
    gives_way: Rc<Notify>,
}

impl KeptOpenings {
    /// So many, all free.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, taken: Cell::new(0), waiting: WaitingLine::default() }
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.get()
    }

    /// Takes one, for which the oldest gives way if too many wait. `None`: all are taken.
    fn take(&self) -> Option<(u64, Rc<Notify>)> {
        if self.taken.get() >= self.limit {
            return None;
        }
        if self.waiting.len() >= (self.limit / 2).max(1)
            && let Some(oldest) = self.waiting.take_oldest()
        {
            oldest.notify_one();
        }
        self.taken.set(self.taken.get() + 1);
        let (number, gives_way) = (self.waiting.draw(), Rc::<Notify>::default());
        self.waiting.enter(number, Rc::clone(&gives_way));
        Some((number, gives_way))
    }

    /// Its request has come, or will not: it gives no way to anybody.
    fn stop_waiting(&self, number: u64) {
        self.waiting.leave(number);
    }

    fn give_back(&self, number: u64) {
        self.waiting.leave(number);
        self.taken.set(self.taken.get() - 1);
    }
}

impl<N: Network> KeptOpening<N> {
    fn take(front: &Rc<Front<N>>) -> Option<Self> {
        let (number, gives_way) = front.kept_openings.take()?;
        Some(Self { front: Rc::clone(front), number, gives_way })
    }

    /// Completes when the request is not to be awaited any longer: the drain begins, or a newcomer needs the place.
    async fn is_to_stop(&self) {
        tokio::select! {
            biased;
            () = self.front.drain_begun() => {}
            () = self.gives_way.notified() => {}
        }
    }
}

impl<N: Network> Drop for KeptOpening<N> {
    fn drop(&mut self) {
        self.front.kept_openings.give_back(self.number);
        self.front.kept_opening_ended();
    }
}

/// Answers a connection for which there is no place if it asks for the health path, and refuses it if it does not.
pub(super) fn turn_away_unless_health(
    front: &Rc<Front>,
    socket: Socket,
    accepted: Accepted,
    refusal: Refusal,
) {
    match keep(front, &socket, accepted.listener) {
        Some((kept, path)) => {
            drop(tokio_uring::spawn(read_and_answer(kept, path, socket, accepted, refusal)))
        }
        None => turn_away(front, socket, accepted, &refusal),
    }
}

/// A kept opening for a connection that may ask for the health path, and that path.
fn keep(front: &Rc<Front>, socket: &Socket, listener: usize) -> Option<(KeptOpening, Rc<str>)> {
    let path = front.health_path.as_ref()?.as_str();
    let is_plain = front.published().tls.of_listener(listener).is_none();
    if is_plain && !HealthRequest::may_begin(&socket.peek_now::<TELLING_BYTES>(), path) {
        return None;
    }
    Some((KeptOpening::take(front)?, path.into()))
}

async fn read_and_answer(
    kept: KeptOpening,
    path: Rc<str>,
    socket: Socket,
    accepted: Accepted,
    refusal: Refusal,
) {
    let front = Rc::clone(&kept.front);
    let Some(channel) = channel_of(&front, socket, accepted) else {
        return note_turned_away(&front, &accepted, &refusal, None);
    };
    let head = read_request(&kept, &path, &channel).await;
    front.kept_openings.stop_waiting(kept.number);
    let health = head.as_ref().and_then(|head| front.health_answer(head));
    let is_health = health.is_some();
    let answer = health.unwrap_or_else(|| {
        let method = head.as_deref().map_or(Method::Other, Method::begun_by);
        refusal.encode(method, &front.date.now())
    });
    let bytes = answer.len();
    // Room for so few bytes is in every new connection's buffer.
    let is_told = send_within(&channel, answer).await.is_ok();
    if is_health {
        let Accepted { id, peer, .. } = accepted;
        tracing::debug!(%id, %peer, "answered a health check of a connection without a place");
        add(&front.counters.health_checks, 1);
    } else {
        note_turned_away(&front, &accepted, &refusal, is_told.then_some(bytes));
    }
    let lingering = front.begin_lingering();
    drop(kept);
    if is_told && lingering.is_some() {
        end_after_answer(&channel).await;
    }
    drop(channel);
}

/// The whole head of a request that begins like one for `path`. `None`: it does not come.
async fn read_request(kept: &KeptOpening, path: &str, channel: &Channel<Socket>) -> Option<Bytes> {
    let patience_ms = HEALTH_REQUEST_MS.min(kept.front.head_timeout_ms);
    let deadline = Instant::now() + Duration::from_millis(patience_ms);
    let interrupt = async || {
        let _ = channel.cancel_all().await;
    };
    channel.handshake(deadline, kept.is_to_stop(), &interrupt).await.ok()?;
    let check = |received: &[u8]| if HealthRequest::may_begin(received, path) { Ok(()) } else { Err(()) };
    let head = read_head(channel, Vec::new(), check, deadline, kept.is_to_stop(), interrupt).await;
    head.ok().map(|head| head.head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_wait_at_most_the_oldest_gives_way_and_none_is_taken_twice() {
        let kept = KeptOpenings::new(4);
        let gives_way = |(_, notify): &(u64, Rc<Notify>)| {
            use futures_util::FutureExt as _;
            notify.notified().now_or_never().is_some()
        };
        let mut all: Vec<_> = (0..2).map(|_| kept.take().unwrap()).collect();
        assert!(!all.iter().any(gives_way));
        all.push(kept.take().unwrap());
        assert_eq!(all.iter().map(gives_way).collect::<Vec<_>>(), [true, false, false]);
        all.push(kept.take().unwrap());
        assert_eq!(all.iter().map(gives_way).collect::<Vec<_>>(), [false, true, false, false]);
        assert!(kept.take().is_none(), "two wait, and two give way");
        kept.give_back(all[0].0);
        let fifth = kept.take().unwrap();
        assert!(gives_way(&all[2]) && kept.take().is_none());
        for (number, _) in all.into_iter().skip(1).chain([fifth]) {
            kept.give_back(number);
        }
        assert_eq!((kept.taken(), kept.waiting.len()), (0, 0));
    }

    #[test]
    fn one_that_is_being_answered_is_no_longer_in_the_way_of_those_that_wait() {
        let kept = KeptOpenings::new(4);
        let answered = kept.take().unwrap();
        kept.stop_waiting(answered.0);
        let waiting: Vec<_> = (0..2).map(|_| kept.take().unwrap()).collect();
        assert_eq!(kept.waiting.len(), 2);
        // A newcomer has the oldest of those that wait give way, and not the one that is answered.
        let newcomer = kept.take().unwrap();
        use futures_util::FutureExt as _;
        let gives_way = |notify: &Rc<Notify>| notify.notified().now_or_never().is_some();
        assert!(gives_way(&waiting[0].1) && !gives_way(&waiting[1].1) && !gives_way(&answered.1));
        for (number, _) in waiting.into_iter().chain([answered, newcomer]) {
            kept.give_back(number);
        }
        assert_eq!((kept.taken(), kept.waiting.len()), (0, 0));
    }
}
