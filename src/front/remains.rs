//! The rest of a TLS connection after its opening: its records, and bytes that arrived early.

use crate::relay::RecordLayer;
use crate::tls::endpoint::{Endpoint, Remains};
use bytes::Bytes;

/// The TLS state of one leg. Absent for a plain leg.
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

/// Joins the bytes that arrived behind a head.
pub(super) fn behind(first: Bytes, rest: Vec<u8>) -> Bytes {
    if rest.is_empty() { first } else { [first.as_ref(), &rest].concat().into() }
}
