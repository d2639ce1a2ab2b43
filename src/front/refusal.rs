//! The answer to a refused client, and how its connection is closed afterwards.

use super::socket::until;
use super::stream::Stream;
use crate::compiled::PathFault;
use crate::compiled::access::SubscriptionKeyFault;
use crate::head::{HttpDate, Method};
use crate::http1::HeadFault;
use crate::http1::encode::encode_refusal;
use crate::limits::{FAREWELL_DRAIN_MS, FAREWELL_SEND_MS};
use crate::observe::events::OpeningFailure;
use crate::process::log::limited;
use crate::session::{Cause, CorrelationId, termination::Answer};
use crate::shared_counts::Shed;
use bytes::Bytes;
use std::hash::{BuildHasher as _, RandomState};
use std::net::Shutdown;
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes that are read of a refused client after the answer.
const FAREWELL_DRAIN_BYTES: usize = 64 * 1024;

/// The message to a client that hits a bug of ringgate's: nothing that the client could act on.
pub(super) const BUG_MESSAGE: &str = "this instance has a fault of its own";

/// Seconds after which a client that was refused for lack of room is told to come again (`Retry-After`): any of these, so that
/// those who were refused together do not come back together.
const RETRY_AFTER_S: RangeInclusive<u64> = 5..=9;

/// An answer of ringgate's own, and why.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Why.
    pub(super) cause: Cause,
    /// The HTTP status.
    pub(super) status: u16,
    /// Said to the client and in the log.
    pub(super) message: String,
    /// Header fields beside those that every refusal has.
    pub(super) headers: Vec<(&'static str, String)>,
    /// The fault of the subscription key, if that is what it is for.
    key_fault: Option<SubscriptionKeyFault>,
    /// It was made for this cause, which has no answer: a bug.
    without_answer: Option<Cause>,
}

impl Refusal {
    /// The refusal that the termination table has for `cause`.
    pub(super) fn of(cause: Cause, message: impl Into<String>) -> Self {
        let status = match cause.answer() {
            Answer::Status(status) => status,
            Answer::OfTheBackend => 502,
            Answer::OfTheRule => 400,
            // These causes make no refusal. Where one is made all the same, it is a bug of ours.
            Answer::Nothing | Answer::NotBefore => {
                return Self { without_answer: Some(cause), ..Self::of(Cause::Bug, BUG_MESSAGE) };
            }
        };
        let mut headers = Vec::new();
        if cause.may_be_retried() {
            headers.push(("Retry-After", retry_after_s().to_string()));
        }
        Self { cause, status, message: message.into(), headers, key_fault: None, without_answer: None }
    }

    /// The refusal of a client whose subscription key does not let it in.
    pub(super) fn of_key(fault: SubscriptionKeyFault) -> Self {
        Self { key_fault: Some(fault), ..Self::of(Cause::Key, fault.message()) }
    }

    /// The refusal of a request that is no correct opening handshake.
    pub(super) fn of_head(fault: HeadFault) -> Self {
        Self {
            cause: Cause::HeadFault,
            status: fault.status(),
            message: fault.message().to_owned(),
            headers: fault
                .response_headers()
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            key_fault: None,
            without_answer: None,
        }
    }

    /// The refusal of a path that not all servers read alike.
    pub(super) fn of_path(fault: PathFault) -> Self {
        Self {
            cause: Cause::HeadFault,
            status: 400,
            message: fault.message().to_owned(),
            headers: Vec::new(),
            key_fault: None,
            without_answer: None,
        }
    }

    /// The failure that the log shows.
    pub(super) fn failure(&self) -> OpeningFailure {
        match self.key_fault {
            Some(fault) => OpeningFailure::Key(fault),
            None => OpeningFailure::Refused(self.message.clone()),
        }
    }

    /// Logs the bug, if it was one to make this refusal for the opening of this id.
    pub(super) fn log_bug(&self, id: CorrelationId) {
        if let Some(cause) = self.without_answer {
            limited!(
                ERROR,
                None,
                "a bug of ringgate's: an opening is refused for a cause without an answer: please report this line",
                %id,
                cause = cause.name()
            );
        }
    }

    /// The bytes that say it to a request with `method`.
    pub(super) fn encode(&self, method: Method, date: &HttpDate) -> Bytes {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        encode_refusal(self.status, &headers, &self.message, method, date).freeze()
    }
}

impl From<Shed> for Refusal {
    fn from(shed: Shed) -> Self {
        Self::of(shed.cause, shed.message)
    }
}

/// Seconds after which a client that finds no room is to come again: chosen anew each time.
fn retry_after_s() -> u64 {
    // The system seeds a thread's first state alone, and each is another one: no call for each refusal.
    let random: u64 = RandomState::new().hash_one(());
    let (least, most) = RETRY_AFTER_S.into_inner();
    least + random % (most - least + 1)
}

/// Sends an answer that ends the connection, and closes it so that the client can read all of it.
///
/// A close with bytes that were not read would reset the connection, and the client would lose the answer (RFC 9112
/// §9.6): so writing ends first, and what the client still sends is read for a while.
pub(super) async fn send_last_answer(socket: &impl Stream, answer: Bytes) {
    if send_within(socket, answer).await.is_ok() {
        end_after_answer(socket).await;
    }
}

/// Sends `bytes`; a client that does not take them for too long is cut off.
///
/// # Errors
/// The client is gone, or was cut off.
pub(super) async fn send_within(socket: &impl Stream, bytes: Bytes) -> std::io::Result<()> {
    let deadline = Instant::now() + Duration::from_millis(FAREWELL_SEND_MS);
    let (result, _) = until(socket.send_all(bytes), deadline, || shut(socket, Shutdown::Both)).await;
    result
}

/// Ends what is sent, and reads what the client still sends for a while.
pub(super) async fn end_after_answer(socket: &impl Stream) {
    shut(socket, Shutdown::Write);
    // Whether it has left does not matter any more.
    let _ = drop_what_comes(socket, Instant::now() + Duration::from_millis(FAREWELL_DRAIN_MS)).await;
}

/// Reads and drops what the client still sends, up to a bound, until its stream or the time is over.
///
/// # Errors
/// The client has left altogether.
pub(super) async fn drop_what_comes(socket: &impl Stream, deadline: Instant) -> std::io::Result<()> {
    let mut dropped = 0;
    while dropped < FAREWELL_DRAIN_BYTES {
        let receive = socket.receive(Vec::new(), FAREWELL_DRAIN_BYTES - dropped);
        let ((result, _), _) = until(receive, deadline, || shut(socket, Shutdown::Read)).await;
        match result? {
            0 => break,
            bytes => dropped += bytes,
        }
    }
    Ok(())
}

/// Ends directions of a socket. It fails only if the peer is gone, which the next operation says too.
pub(super) fn shut(socket: &impl Stream, how: Shutdown) {
    let _ = socket.shutdown(how);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn clients_that_find_no_room_are_told_to_come_again_at_different_times() {
        for cause in Cause::ALL.into_iter().filter(|cause| cause.may_be_retried()) {
            let told: BTreeSet<u64> = (0..500)
                .map(|_| {
                    let refusal = Refusal::of(cause, "full");
                    let [(name, seconds)] = &refusal.headers[..] else { panic!("{:?}", refusal.headers) };
                    assert_eq!(*name, "Retry-After");
                    seconds.parse().unwrap()
                })
                .collect();
            // Each of five in 500 draws: one that never comes would be an accident of 10^-47.
            assert_eq!(told.into_iter().collect::<Vec<_>>(), [5, 6, 7, 8, 9], "{}", cause.name());
        }
    }
}
