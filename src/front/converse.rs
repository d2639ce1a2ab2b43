//! The conversation with a backend up to its 101: dial, TLS, request, answer.
//!
//! Not here: watching the client meanwhile (`opening`), and the single steps (`dial`, `backend_tls`, `answer`).

use super::Front;
use super::answer::{BackendAnswer, pass_on, read_answer, send_request};
use super::backend_tls::secure_backend;
use super::channel::Channel;
use super::dial::{Abort, Destination, NoConnection, dial};
use super::opening::Admitted;
use super::opening_end::OpeningEnd;
use super::opening_event::named_fields;
use super::policies::PolicyRun;
use super::stages::Stopwatch;
use super::stream::{Network, Stream};
use super::upstream_fault::{UpstreamFault, WhatFailed};
use crate::catalog::Diagnostics;
use crate::head::Headers;
use crate::head::trace_context::TraceContext;
use crate::http1::encode::{Forwarded, encode_backend_request, encode_request_of};
use crate::observe::events::NamedFields;
use crate::observe::stages::Stage;
use crate::session::{Cause, CorrelationId, Phase};
use crate::websocket::ReservedBits;
use crate::websocket::opening::check_answer;
use bytes::Bytes;
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// A backend that has answered 101.
pub(super) struct Opened<S> {
    pub(super) backend: Channel<S>,
    /// Where it was reached.
    pub(super) address: SocketAddr,
    pub(super) answer: BackendAnswer,
    pub(super) reserved_bits: ReservedBits,
}

/// Why a conversation opened no session.
pub(super) enum NotOpened {
    /// Something failed towards the backend. It is not logged yet, and policies may answer it.
    Upstream(UpstreamFault),
    /// The opening ends in another way.
    End(OpeningEnd),
}

impl From<NoConnection> for NotOpened {
    fn from(reason: NoConnection) -> Self {
        match reason {
            NoConnection::ClientLeft => Self::End(OpeningEnd::CloseSilently(Cause::ClientGone)),
            NoConnection::Fault(fault) => Self::Upstream(fault),
        }
    }
}

impl From<UpstreamFault> for NotOpened {
    fn from(fault: UpstreamFault) -> Self {
        Self::Upstream(fault)
    }
}

/// How far a conversation has got.
pub(super) struct Progress {
    pub(super) phase: Cell<Phase>,
    /// Where the backend was reached.
    pub(super) address: Cell<Option<SocketAddr>>,
    /// Whether the request went out.
    pub(super) is_asked: Cell<bool>,
    /// The status of the backend's answer.
    pub(super) status: Cell<Option<u16>>,
    /// Header fields of the request that diagnostics name.
    pub(super) request_fields: Cell<NamedFields>,
    /// The fields of the answer, if diagnostics name any of it or of what is made of it.
    pub(super) answer_fields: Cell<Option<Headers>>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            phase: Cell::new(Phase::Dial),
            address: Cell::default(),
            is_asked: Cell::default(),
            status: Cell::default(),
            request_fields: Cell::default(),
            answer_fields: Cell::default(),
        }
    }
}

/// One request to a backend, and the opening that it is for.
pub(super) struct Conversation<'a, N: Network> {
    pub(super) front: &'a Front<N>,
    pub(super) admitted: &'a Admitted,
    pub(super) id: CorrelationId,
    pub(super) peer: SocketAddr,
    /// That of the client's request.
    pub(super) scheme: &'static str,
    /// The place of the opening in a trace. `None`: there are no traces.
    pub(super) trace: Option<&'a TraceContext>,
    /// Ends it when the client leaves.
    pub(super) abort: &'a Abort<N::Stream>,
    pub(super) progress: &'a Progress,
    /// Whether anybody wants the event of the opening.
    pub(super) is_noted: bool,
    pub(super) stages: &'a Stopwatch,
    /// When the dial begins.
    pub(super) begun_at: Instant,
}

impl<N: Network> Conversation<'_, N> {
    /// Holds it.
    ///
    /// # Errors
    /// Why there is no session.
    pub(super) async fn hold(self, policies: &mut Option<PolicyRun>) -> Result<Opened<N::Stream>, NotOpened> {
        let Self { front, admitted, stages, progress, .. } = self;
        let api = &admitted.api;
        let url = policies.as_ref().map_or(&api.backend, |run| run.exchange().backend());
        let destination = Destination {
            id: self.id,
            api: &api.name,
            backend: url,
            policies: policies.as_ref(),
            sources: front.address_turns.next(api),
        };
        let dial_deadline = self.begun_at + Duration::from_millis(api.dial_timeout_ms);
        let connected = self.connect(&destination, dial_deadline).await;
        let dialled_at = stages.complete(Stage::Dial);
        let (backend, address) = connected?;
        let at_address = |what: WhatFailed| what.at(address);
        progress.phase.set(Phase::Answer);
        progress.address.set(Some(address));
        progress.is_asked.set(true);
        let forward = policies.as_ref().map(PolicyRun::forward).unwrap_or_default();
        let answer_timeout_ms = forward.answer_timeout_ms.unwrap_or(api.answer_timeout_ms);
        let deadline = dialled_at + Duration::from_millis(answer_timeout_ms);
        // In a scope of its own: the future of an opening keeps nothing of it.
        let request = {
            let forwarded = Forwarded {
                client: self.peer.ip(),
                proto: self.scheme,
                host: admitted.request.host(),
                trace: self.trace.copied(),
            };
            let (target, authority) = (&admitted.backend_target, &url.authority);
            match policies.as_ref() {
                Some(run) => encode_request_of(run.exchange().request.iter(), target, authority, &forwarded),
                None => encode_backend_request(&admitted.request, target, authority, &forwarded),
            }
        };
        let diagnostics = Diagnostics::in_force(Some(&api.diagnostics), &front.diagnostics);
        if self.is_noted {
            progress.request_fields.set(named_fields(&request, diagnostics.backend_request_headers));
        }
        let answered = ask(&backend, request.freeze(), deadline).await;
        stages.complete(Stage::Backend);
        let mut answer = answered.map_err(at_address)?;
        progress.status.set(Some(answer.head.status()));
        if self.is_noted && diagnostics.captures_beyond_request() {
            progress.answer_fields.set(Some(answer.head.headers().clone()));
        }
        // Whether a 101 is a correct one is judged before policies see it.
        let agreement = match answer.head.status() {
            101 => {
                let agreement = check_answer(&answer.head, &admitted.offer);
                Some(agreement.map_err(|fault| at_address(fault.into()))?)
            }
            _ => None,
        };
        if let Some(run) = policies {
            answer = run.answered(answer).map_err(|answer| NotOpened::End(answer.into()))?;
        }
        match agreement {
            Some(agreement) => {
                Ok(Opened { backend, address, answer, reserved_bits: agreement.reserved_bits })
            }
            None => {
                let date = front.date.now();
                let passed_on = pass_on(answer, &backend, deadline, &date).await.map_err(at_address)?;
                Err(NotOpened::End(OpeningEnd::PassedOn(passed_on)))
            }
        }
    }

    /// Connects to the backend, with TLS if its URL says so; gives the address too.
    async fn connect(
        &self,
        destination: &Destination<'_>,
        deadline: Instant,
    ) -> Result<(Channel<N::Stream>, SocketAddr), NotOpened> {
        let Self { front, admitted, abort, .. } = self;
        let (stream, address) = dial(&front.network, destination, &front.resolver, deadline, abort).await?;
        let is_tls = destination.backend.is_tls;
        let backend = match &admitted.backend_tls {
            Some(tls) if is_tls => {
                let secured = secure_backend(stream, tls, deadline).await;
                secured.map_err(|what| what.at(address))?
            }
            None if is_tls => return Err(WhatFailed::TlsNotConfigured.at(address).into()),
            Some(_) | None => Channel::plain(stream),
        };
        Ok((backend, address))
    }
}

/// Sends the request, and reads the answer to it.
async fn ask(backend: &impl Stream, request: Bytes, deadline: Instant) -> Result<BackendAnswer, WhatFailed> {
    send_request(backend, request, deadline).await?;
    read_answer(backend, deadline).await
}
