//! The end of an opening that opens no session: the client's answer, the log line, and the cause under which it is counted.
//!
//! Not here: the reasons for an end (`opening`), and writing a refusal (`refusal`).

use super::answer::PassedOn;
use super::opening::Opening;
use super::policies::{PolicyAnswer, PolicyRun};
use super::refusal::{BUG_MESSAGE, Refusal, end_after_answer, send_within, shut};
use super::root_page::RootPage;
use super::stream::{Network, Stream};
use super::truncation::reset_when_taken;
use super::upstream_fault::UpstreamFault;
use crate::catalog::Api;
use crate::http1::HeadFault;
use crate::http1::encode::encode_answer;
use crate::observe::events::OpeningFailure;
use crate::process::log::limited;
use crate::session::{Cause, CorrelationId, Leg, Phase};
use crate::shared_counts::Shed;
use bytes::Bytes;
use std::net::Shutdown;
use std::sync::Arc;

/// How an opening ends when it opens no session.
pub(super) enum OpeningEnd {
    /// The client is told why.
    Refused(Refusal),
    /// The client gets a policy's answer.
    Answered(Box<PolicyAnswer>),
    /// The client gets the backend's own answer.
    PassedOn(PassedOn),
    /// The client gets the page at the root.
    RootPage(Arc<RootPage>),
    /// The connection is closed without an answer: the client has left, or would not understand one.
    CloseSilently(Cause),
    /// Its place was given to a newcomer.
    GaveWay,
    /// An invariant of this opening does not hold. It ends, and no other.
    Broken,
}

/// An invariant of one opening that does not hold.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokenOpening {
    /// Nothing may be in flight on a connection that the relay takes over.
    #[error("an operation is in flight on the {} connection, which is to be handed over", .0.name())]
    IsInFlight(Leg),
    /// A session holds the places that its opening took.
    #[error("there is no permit, which a session needs to be handed over")]
    HasNoPermit,
    /// Every published entity has labels.
    #[error("there is no label of the API, which a session needs to be handed over")]
    HasNoLabel,
}

impl BrokenOpening {
    /// Logs it, with the API and how far the opening had got.
    pub(super) fn log(&self, id: CorrelationId, api: &Api, phase: Phase) {
        limited!(
            ERROR,
            Some(api.name.as_str()),
            "a bug of ringgate's ended an opening (and no other): please report this line",
            %id,
            phase = phase.name(),
            broken = self.to_string()
        );
    }
}

impl From<Refusal> for OpeningEnd {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Shed> for OpeningEnd {
    fn from(shed: Shed) -> Self {
        Self::Refused(shed.into())
    }
}

impl From<Box<PolicyAnswer>> for OpeningEnd {
    fn from(answer: Box<PolicyAnswer>) -> Self {
        Self::Answered(answer)
    }
}

impl From<HeadFault> for OpeningEnd {
    fn from(fault: HeadFault) -> Self {
        Self::Refused(Refusal::of_head(fault))
    }
}

/// The end of an opening whose policies have begun, and which a limit stands in the way of: on-error may answer it.
pub(super) fn limited_end(policies: Option<PolicyRun>, refusal: Refusal) -> OpeningEnd {
    let answer = policies.and_then(|mut run| run.limited(&refusal));
    answer.map_or(OpeningEnd::Refused(refusal), OpeningEnd::Answered)
}

/// The end of an opening whose backend failed: on-error may answer it.
pub(super) fn upstream_end(policies: Option<PolicyRun>, fault: &UpstreamFault) -> OpeningEnd {
    let refusal = fault.refusal();
    let answer = policies.and_then(|mut run| run.upstream_failed(fault, &refusal));
    answer.map_or(OpeningEnd::Refused(refusal), OpeningEnd::Answered)
}

impl<N: Network> Opening<N> {
    /// Tells the client, and gives the cause and the phase that are counted.
    pub(super) async fn end(&mut self, end: OpeningEnd) -> (Cause, Phase) {
        match end {
            OpeningEnd::Refused(refusal) => {
                refusal.log_bug(self.id);
                tracing::debug!(
                    id = %self.id,
                    peer = %self.peer,
                    certificate = self.certificate.as_ref().map(|certificate| certificate.subject.as_str()),
                    cause = refusal.cause.name(),
                    phase = self.phase.name(),
                    status = refusal.status,
                    message = refusal.message,
                    "refused an opening"
                );
                self.note_failure(|| refusal.failure());
                self.tell(&refusal).await;
                (refusal.cause, self.phase)
            }
            OpeningEnd::Answered(mut answer) => {
                tracing::debug!(
                    id = %self.id,
                    peer = %self.peer,
                    cause = answer.cause.name(),
                    phase = self.phase.name(),
                    status = answer.response.status,
                    why = answer.why,
                    "policies answered an opening"
                );
                let bytes = encode_answer(answer.response.answer(), &self.front.date.now());
                if answer.cause == Cause::RefusedByPolicy {
                    self.front.counters.policy_refusals.count(answer.policy);
                }
                if let Some(error) = answer.last_error.take() {
                    self.note_failure(|| OpeningFailure::Policy(error));
                }
                self.send_last(answer.response.status, bytes.freeze()).await;
                (answer.cause, self.phase)
            }
            OpeningEnd::PassedOn(answer) => {
                self.pass_on(answer).await;
                (Cause::BackendAnswer, Phase::Answer)
            }
            OpeningEnd::RootPage(page) => {
                let answer = page.encode(&self.front.date.now());
                self.send_last(200, answer).await;
                // As far as sessions go, the request names no API.
                (Cause::NoApi, self.phase)
            }
            OpeningEnd::CloseSilently(cause) => (cause, self.phase),
            OpeningEnd::GaveWay => {
                self.say_that_it_gave_way();
                (Cause::OpeningsFull, self.phase)
            }
            OpeningEnd::Broken => {
                self.note_failure(|| OpeningFailure::Refused(BUG_MESSAGE.to_owned()));
                self.tell(&Refusal::of(Cause::Bug, BUG_MESSAGE)).await;
                (Cause::Bug, self.phase)
            }
        }
    }

    async fn tell(&mut self, refusal: &Refusal) {
        let answer = refusal.encode(self.method, &self.front.date.now());
        self.send_last(refusal.status, answer).await;
    }

    /// Sends the client the last thing that it gets, and notes it if the client took it.
    async fn send_last(&mut self, status: u16, answer: Bytes) {
        let telling = self.telling(status, &answer);
        if send_within(&self.socket, answer).await.is_ok() {
            self.note_told(telling);
            end_after_answer(&self.socket).await;
        }
    }

    /// Sends the backend's answer; one that is truncated ends in a reset, so that it cannot pass for a whole one.
    async fn pass_on(&mut self, answer: PassedOn) {
        if !answer.is_truncated {
            return self.send_last(answer.status, answer.bytes).await;
        }
        let telling = self.telling(answer.status, &answer.bytes);
        if send_within(&self.socket, answer.bytes).await.is_ok() {
            self.note_told(telling);
            reset_when_taken(&self.socket).await;
        }
    }

    /// Says at once, or not at all, that the place was given to a newcomer: nothing may be awaited without one.
    fn say_that_it_gave_way(&mut self) {
        let refusal = Refusal::from(self.front.budgets.openings_full());
        self.note_failure(|| refusal.failure());
        tracing::debug!(
            id = %self.id,
            peer = %self.peer,
            cause = refusal.cause.name(),
            phase = self.phase.name(),
            "an opening gave way to a newcomer: it had waited longest for its request"
        );
        if !self.socket.is_secured() {
            let answer = refusal.encode(self.method, &self.front.date.now());
            // What does not fit, nobody reads.
            if self.socket.send_now(&answer).is_ok_and(|sent| sent == answer.len()) {
                self.note_told(self.telling(refusal.status, &answer));
            }
        }
        shut(&self.socket, Shutdown::Write);
    }
}
