//! What TLS leaves of a leg when its opening is over: its records, and what came and was not asked for.

use crate::relay::RecordLayer;
use crate::tls::endpoint::{Endpoint, Remains};
use bytes::Bytes;

/// What TLS left of one leg; nothing for a plain one.
#[derive(Default)]
pub(super) struct LegRemains {
    pub(super) records: Option<Box<RecordLayer>>,
    pub(super) payload: Vec<u8>,
    pub(super) received: Vec<u8>,
}

/// Takes an end apart.
pub(super) fn take_apart(tls: Option<Box<Endpoint>>) -> LegRemains {
    let Some(Remains { records, payload, received }) = tls.and_then(|tls| tls.into_remains()) else {
        return LegRemains::default();
    };
    LegRemains { records: Some(records.into()), payload, received }
}

/// What came behind a head, and what came behind that.
pub(super) fn behind(first: Bytes, rest: Vec<u8>) -> Bytes {
    if rest.is_empty() { first } else { [first.as_ref(), &rest].concat().into() }
}
