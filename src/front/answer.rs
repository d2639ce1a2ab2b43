//! The backend's answer: its head and, if it is not a 101, the body that is passed on.

use super::head_reader::{Head, NoHead, read_head};
use super::refusal::shut;
use super::socket::until;
use super::stream::Stream;
use super::upstream_fault::WhatFailed;
use crate::head::HttpDate;
use crate::http1::chunked::{ChunkedDecoder, ChunkedProgress};
use crate::http1::encode::{
    PassedOnBody, encode_chunk, encode_passed_on_head, encode_passed_on_head_of, encode_switching_protocols,
    encode_switching_protocols_of,
};
use crate::http1::response::check_incomplete_head;
use crate::http1::{AnswerFault, BodyLength, ResponseHead};
use crate::limits::{HEAD_READ_BYTES, INTERIM_ANSWERS_MAX, REFUSED_BODY_BYTES_MAX};
use crate::policy::exchange::Response;
use bytes::{Bytes, BytesMut};
use std::future::pending;
use std::net::Shutdown;
use tokio::time::Instant;

/// A backend's final answer.
#[derive(Debug)]
pub(super) struct BackendAnswer {
    /// Its head.
    pub(super) head: ResponseHead,
    /// The head after policies changed it.
    pub(super) changed: Option<Response>,
    /// The bytes that arrived behind the head.
    pub(super) behind: Bytes,
}

impl BackendAnswer {
    /// The head of a 101 as the client gets it.
    pub(super) fn encode_switching_protocols(&self, date: &HttpDate) -> BytesMut {
        match &self.changed {
            None => encode_switching_protocols(&self.head, date),
            Some(changed) => encode_switching_protocols_of(changed.fields.iter(), date),
        }
    }

    /// The head of another answer as the client gets it.
    fn encode_passed_on(&self, body: PassedOnBody, date: &HttpDate) -> BytesMut {
        match &self.changed {
            None => encode_passed_on_head(&self.head, body, date),
            Some(changed) => encode_passed_on_head_of(
                changed.status,
                changed.reason().as_bytes(),
                changed.fields.iter(),
                body,
                date,
            ),
        }
    }

    /// The status that the client gets.
    fn status(&self) -> u16 {
        self.changed.as_ref().map_or_else(|| self.head.status(), |changed| changed.status)
    }

    /// Whether a policy has made it one that has no body.
    fn has_lost_its_body(&self) -> bool {
        self.changed.as_ref().is_some_and(|changed| matches!(changed.status, 204 | 304))
    }
}

impl From<NoHead<AnswerFault>> for WhatFailed {
    fn from(reason: NoHead<AnswerFault>) -> Self {
        match reason {
            NoHead::Faulty(fault, _) => fault.into(),
            NoHead::Ended => Self::AnswerBrokenOff(None),
            NoHead::Broken(error) => Self::AnswerBrokenOff(Some(error)),
            NoHead::Late(_) | NoHead::Stopped(_) => Self::Silent,
        }
    }
}

/// Sends the request. A backend that does not take it by `deadline` is as silent as one that does not answer.
///
/// # Errors
/// The backend is silent, or breaks off.
pub(super) async fn send_request(
    backend: &impl Stream,
    request: Bytes,
    deadline: Instant,
) -> Result<(), WhatFailed> {
    let (result, is_late) =
        until(backend.send_all(request), deadline, || shut(backend, Shutdown::Both)).await;
    if is_late {
        return Err(WhatFailed::Silent);
    }
    result.map_err(WhatFailed::RequestNotTaken)
}

/// Reads the backend's answer; interim answers before it are skipped (RFC 9110 §15.2).
///
/// # Errors
/// The backend is silent, or answers wrongly.
pub(super) async fn read_answer(
    backend: &impl Stream,
    deadline: Instant,
) -> Result<BackendAnswer, WhatFailed> {
    let mut received = Vec::new();
    for _ in 0..=INTERIM_ANSWERS_MAX {
        let interrupt = async || shut(backend, Shutdown::Both);
        let Head { head, behind } =
            read_head(backend, received, check_incomplete_head, deadline, pending(), interrupt).await?;
        let head = ResponseHead::parse(head)?;
        if !head.is_interim() {
            return Ok(BackendAnswer { head, changed: None, behind });
        }
        received = behind.to_vec();
    }
    Err(WhatFailed::TooManyInterims)
}

/// An answer that is passed on, ready to be sent.
#[derive(Debug)]
pub(super) struct PassedOn {
    /// Its status.
    pub(super) status: u16,
    /// Head and body.
    pub(super) bytes: Bytes,
    /// The body is longer than what is passed on, or broke off: the connection is reset, so that the truncation shows.
    pub(super) is_truncated: bool,
}

/// Reads as much of the body as is passed on and makes the client's answer of it.
///
/// # Errors
/// The body's length is contradictory, or its chunks are wrong.
pub(super) async fn pass_on(
    answer: BackendAnswer,
    backend: &impl Stream,
    deadline: Instant,
    date: &HttpDate,
) -> Result<PassedOn, WhatFailed> {
    let length = answer.head.body_length()?;
    let length = if answer.has_lost_its_body() { BodyLength::None } else { length };
    let mut body = Body { received: answer.behind.to_vec(), backend, deadline };
    match length {
        BodyLength::None => Ok(whole(&answer, PassedOnBody::NoBody, &[], date)),
        BodyLength::Length(declared) => {
            let wanted = declared.min(REFUSED_BODY_BYTES_MAX as u64) as usize;
            body.read_up_to(wanted).await;
            body.received.truncate(wanted);
            if body.received.len() as u64 == declared {
                let framing = PassedOnBody::Whole(declared);
                return Ok(whole(&answer, framing, &body.received, date));
            }
            let head = answer.encode_passed_on(PassedOnBody::TruncatedLength(declared), date);
            Ok(PassedOn { status: answer.status(), bytes: joined(head, &body.received), is_truncated: true })
        }
        BodyLength::Chunked => pass_on_chunked(&answer, body, date).await,
        BodyLength::UntilClose => {
            let is_over = body.read_up_to(REFUSED_BODY_BYTES_MAX + 1).await;
            let is_whole = is_over && body.received.len() <= REFUSED_BODY_BYTES_MAX;
            Ok(of_unknown_length(&answer, &body.received, is_whole, date))
        }
    }
}

async fn pass_on_chunked<S: Stream>(
    answer: &BackendAnswer,
    mut body: Body<'_, S>,
    date: &HttpDate,
) -> Result<PassedOn, WhatFailed> {
    let mut decoder = ChunkedDecoder::new();
    let mut payload = Vec::new();
    loop {
        match decoder.decode(&body.received, &mut payload) {
            Err(fault) => return Err(fault.into()),
            Ok(ChunkedProgress::Done { .. }) => return Ok(of_unknown_length(answer, &payload, true, date)),
            Ok(ChunkedProgress::More) if payload.len() > REFUSED_BODY_BYTES_MAX => break,
            Ok(ChunkedProgress::More) => {}
        }
        body.received.clear();
        body.receive().await;
        if body.received.is_empty() {
            break;
        }
    }
    Ok(of_unknown_length(answer, &payload, false, date))
}

/// A body whose length the backend did not declare. A truncated one ends in chunked framing without its last chunk.
fn of_unknown_length(answer: &BackendAnswer, payload: &[u8], is_whole: bool, date: &HttpDate) -> PassedOn {
    if is_whole && payload.len() <= REFUSED_BODY_BYTES_MAX {
        return whole(answer, PassedOnBody::Whole(payload.len() as u64), payload, date);
    }
    let payload = &payload[..payload.len().min(REFUSED_BODY_BYTES_MAX)];
    let mut bytes = answer.encode_passed_on(PassedOnBody::TruncatedChunked, date);
    if !payload.is_empty() {
        bytes.extend_from_slice(&encode_chunk(payload));
    }
    PassedOn { status: answer.status(), bytes: bytes.freeze(), is_truncated: true }
}

fn whole(answer: &BackendAnswer, framing: PassedOnBody, payload: &[u8], date: &HttpDate) -> PassedOn {
    let bytes = joined(answer.encode_passed_on(framing, date), payload);
    PassedOn { status: answer.status(), bytes, is_truncated: false }
}

fn joined(mut head: BytesMut, payload: &[u8]) -> Bytes {
    head.extend_from_slice(payload);
    head.freeze()
}

/// A body as it comes in.
struct Body<'a, S> {
    received: Vec<u8>,
    backend: &'a S,
    deadline: Instant,
}

impl<S: Stream> Body<'_, S> {
    /// Receives until so many bytes are there; gives whether the stream ended before.
    async fn read_up_to(&mut self, bytes: usize) -> bool {
        while self.received.len() < bytes {
            match self.receive().await {
                Some(0) => return true,
                Some(_) => {}
                None => return false,
            }
        }
        false
    }

    /// Receives once. `Some(0)` is an orderly end; `None` a break or the deadline.
    async fn receive(&mut self) -> Option<usize> {
        let buffer = std::mem::take(&mut self.received);
        let receive = self.backend.receive(buffer, HEAD_READ_BYTES);
        let ((result, buffer), is_late) =
            until(receive, self.deadline, || shut(self.backend, Shutdown::Both)).await;
        self.received = buffer;
        let is_whole = |bytes: &usize| *bytes > 0 || self.backend.has_ended_cleanly();
        result.ok().filter(|_| !is_late).filter(is_whole)
    }
}
