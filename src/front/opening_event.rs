//! The event of an opening: filled in while the opening goes on, and sent once, when it is over.
//!
//! Nothing is formatted here, and nothing is made if nobody wants events.
//!
//! Not here: what an event has (`observe::events`), and the rows that are made of it (`telemetry::rows`).

use super::Front;
use super::converse::{Opened, Progress};
use super::opening::{Accepted, Opening};
use super::policies::PolicyRun;
use super::stream::Network;
use crate::catalog::BackendUrl;
use crate::head::trace_context::TraceContext;
use crate::http1::without_leading_crlf;
use crate::observe::SessionLabels;
use crate::observe::events::{Asked, OpeningEnded, OpeningFailure, Told};
use crate::observe::stages::StageTimes;
use crate::policy::records::PolicyRecords;
use crate::session::{Cause, Phase};
use bytes::Bytes;

/// Longest method of a faulty request that is kept, in bytes.
const METHOD_BYTES_MAX: usize = 32;

impl<N: Network> Front<N> {
    /// The event of an opening that begins. `None`: nobody wants it.
    pub(super) fn begin_event(&self, accepted: &Accepted, is_secured: bool) -> Option<Box<OpeningEnded>> {
        if !self.events.borrow().is_on() {
            return None;
        }
        let Accepted { id, peer, listener, at, at_ns: accepted_at_ns } = *accepted;
        let _ = at;
        Some(Box::new(OpeningEnded {
            id,
            accepted_at_ns,
            times: StageTimes::default(),
            listener,
            peer,
            client: peer.ip(),
            is_secured,
            tls_version: "",
            server_name: None,
            method: None,
            protocol: "",
            request: None,
            request_bytes: None,
            api: None,
            subscription: None,
            labels: None,
            asked: None,
            told: None,
            failure: None,
            policy_records: PolicyRecords::default(),
            trace: self.sampling.map(|sampling| {
                let (trace, spans) = self.random.trace_ids();
                TraceContext::begin(trace, spans, sampling)
            }),
            termination: None,
        }))
    }

    /// Sends the event of an opening that is over. `termination` is `None` if a session came of it.
    pub(super) fn send_event(
        &self,
        event: Option<Box<OpeningEnded>>,
        times: StageTimes,
        labels: Option<&SessionLabels>,
        termination: Option<(Cause, Phase)>,
    ) {
        let Some(mut event) = event else { return };
        event.times = times;
        event.labels = labels.cloned();
        event.termination = termination;
        self.events.borrow_mut().send(event);
    }
}

impl<N: Network> Opening<N> {
    /// Fills in the event, if there is one.
    pub(super) fn note(&mut self, fill: impl FnOnce(&mut OpeningEnded)) {
        if let Some(event) = &mut self.event {
            fill(event);
        }
    }

    /// Notes what came of a request that is not one in order.
    pub(super) fn note_faulty_request(&mut self, received: &[u8]) {
        self.note(|event| event.method = method_of_faulty(received).map(Into::into));
    }

    /// Notes what the backend was asked, and what it answered.
    pub(super) fn note_asked(
        &mut self,
        own: &BackendUrl,
        target: String,
        policies: Option<&PolicyRun>,
        progress: &Progress,
        opened: Option<&Opened<N::Stream>>,
    ) {
        self.note(|event| {
            let chosen = policies.map(|run| run.exchange().backend()).filter(|chosen| *chosen != own);
            let values = |name: &'static str| {
                let headers = opened.map(|opened| opened.answer.head.headers());
                headers.into_iter().flat_map(move |headers| headers.get_all(name)).map(Bytes::copy_from_slice)
            };
            event.asked = Some(Asked {
                backend: policies.zip(chosen).map(|(run, chosen)| {
                    let authority = run.masked_authority().into_owned();
                    Box::new(BackendUrl { authority, ..chosen.clone() })
                }),
                target: match policies {
                    Some(run) => run.masked_target(target),
                    None => target,
                },
                address: progress.address.get(),
                is_sent: progress.is_asked.get(),
                status: progress.status.get(),
                subprotocol: values("sec-websocket-protocol").next(),
                extensions: values("sec-websocket-extensions").collect(),
            });
        });
    }

    /// Notes what the policies said, once they have run.
    pub(super) fn note_policy_records(&mut self) {
        let records = self.policy_records.take().map(|records| records.take());
        if let Some(records) = records {
            self.note(|event| event.policy_records = records);
        }
    }

    /// Notes what the client was told, and in how many bytes.
    pub(super) fn note_told(&mut self, status: u16, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.note(|event| event.told = Some(Told { status, bytes }));
    }

    /// Notes what failed, unless that is known already.
    pub(super) fn note_failure(&mut self, failure: impl FnOnce() -> OpeningFailure) {
        self.note(|event| {
            event.failure.get_or_insert_with(failure);
        });
    }
}

/// The method of a request that is not one in order, if it begins with one.
fn method_of_faulty(received: &[u8]) -> Option<&str> {
    let line = without_leading_crlf(received);
    let start = &line[..line.len().min(METHOD_BYTES_MAX + 1)];
    let end = start.iter().position(|byte| *byte == b' ')?;
    let method = str::from_utf8(&start[..end]).ok()?;
    (!method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphabetic())).then_some(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_of_a_faulty_request_is_its_first_word_if_it_looks_like_one() {
        for (received, method) in [
            (&b"POST /t HTTP/1.1\r\n\r\n"[..], Some("POST")),
            (b"\r\nDELETE /t HTTP/1.1\r\n\r\n", Some("DELETE")),
            (b"\r\n\r\nGET /t HTTP/1.1\r\n\r\n", None),
            (b"GET", None),
            (b" /t", None),
            (b"\x16\x03\x01 ", None),
            (&[b'A'; METHOD_BYTES_MAX + 2], None),
        ] {
            assert_eq!(method_of_faulty(received), method, "{}", received.escape_ascii());
        }
    }
}
