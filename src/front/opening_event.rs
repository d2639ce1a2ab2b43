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
use crate::catalog::access::Access;
use crate::catalog::request_name::HeaderName;
use crate::catalog::{Api, BackendUrl, Diagnostics, DiagnosticsInForce};
use crate::compiled::Snapshot;
use crate::head::trace_context::TraceContext;
use crate::http1::without_leading_crlf;
use crate::observe::events::{Asked, LegFields, NamedFields, OpeningEnded, OpeningFailure, Told};
use crate::observe::stages::StageTimes;
use crate::observe::{Logged, SessionLabels};
use crate::policy::records::PolicyRecords;
use crate::session::{Cause, Phase};
use bytes::Bytes;
use std::rc::Rc;
use std::sync::Arc;

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
        let diagnostics = Diagnostics::in_force(None, &self.diagnostics);
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
            fields: fields_of(&diagnostics),
            logged: Logged::of(id, &diagnostics),
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

/// Room for the header fields that diagnostics name. `None`: they name none beyond the request's, which is kept anyway.
fn fields_of(diagnostics: &DiagnosticsInForce<'_>) -> Option<Box<LegFields>> {
    diagnostics.captures_beyond_request().then(Box::default)
}

/// The fields with these names in the head that `message`, which ringgate has encoded, begins with.
pub(super) fn named_fields(message: &[u8], names: &[HeaderName]) -> NamedFields {
    if names.is_empty() {
        return Vec::new();
    }
    let head = memchr::memmem::find(message, b"\r\n\r\n").map_or(message, |end| &message[..end]);
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    let fields = lines.filter_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = memchr::memchr(b':', line)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let found = names.iter().find(|known| known.as_str().as_bytes().eq_ignore_ascii_case(name))?;
        Some((found.clone(), value.into()))
    });
    fields.collect()
}

/// An answer to a client that is about to be sent.
pub(super) struct Telling {
    told: Told,
    fields: NamedFields,
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
            if let Some(fields) = &mut event.fields {
                fields.backend_request = progress.request_fields.take();
                fields.backend_response = progress.answer_fields.take();
            }
        });
    }

    /// Notes what the policies said, once they have run.
    pub(super) fn note_policy_records(&mut self) {
        let records = self.policy_records.take().map(|records| records.take());
        if let Some(records) = records {
            self.note(|event| event.policy_records = records);
        }
    }

    /// Notes the API that takes the opening, and in whose context.
    pub(super) fn note_api(&mut self, api: &Arc<Api>, known: &Access<'_>, snapshot: &Snapshot) {
        let front = Rc::clone(&self.front);
        self.note(|event| {
            let diagnostics = Diagnostics::in_force(Some(&api.diagnostics), &front.diagnostics);
            event.api = Some(Arc::clone(api));
            event.subscription = known.subscription.cloned();
            event.logged = Logged::of(event.id, &diagnostics);
            event.fields = fields_of(&diagnostics);
            if let Some(fields) = &mut event.fields {
                fields.pipeline = snapshot.policies_of(api, known).cloned();
            }
        });
    }

    /// The diagnostics of this opening, as far as its API is known. `None`: nobody wants its event.
    fn diagnostics(&self) -> Option<DiagnosticsInForce<'_>> {
        let api = self.event.as_ref()?.api.as_ref();
        Some(Diagnostics::in_force(api.map(|api| &api.diagnostics), &self.front.diagnostics))
    }

    /// What is to be noted of an answer once the client has taken it.
    pub(super) fn telling(&self, status: u16, answer: &[u8]) -> Telling {
        let names = self.diagnostics().map_or(&[][..], |diagnostics| diagnostics.frontend_response_headers);
        let bytes = u32::try_from(answer.len()).unwrap_or(u32::MAX);
        Telling { told: Told { status, bytes }, fields: named_fields(answer, names) }
    }

    /// Notes what the client was told.
    pub(super) fn note_told(&mut self, Telling { told, fields }: Telling) {
        self.note(|event| {
            event.told = Some(told);
            if let Some(of_legs) = &mut event.fields {
                of_legs.response = fields;
            }
        });
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
