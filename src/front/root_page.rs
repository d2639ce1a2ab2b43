//! A page that answers `GET /` without an upgrade, for an instance that is to be tried with a browser.
//!
//! An instance of a catalogue has none, and its root is a path as any other.
//!
//! Not here: the text of the page (`services::demo_page`).

use bytes::{Bytes, BytesMut};

use crate::head::{Answer, Header, HttpDate};
use crate::http1::encode::encode_answer;

/// A page with its fields.
#[derive(Debug)]
pub struct RootPage {
    /// Fields beside those that every answer has: names, and values without control characters.
    pub fields: Vec<(&'static str, String)>,
    /// The text.
    pub body: String,
}

impl RootPage {
    /// The answer, head and body. The connection ends behind it.
    pub(super) fn encode(&self, date: &HttpDate) -> Bytes {
        let fields = self.fields.iter().map(|(name, value)| Header { name, value: value.as_bytes() });
        let answer = Answer { status: 200, reason: b"OK", fields, body: self.body.as_bytes() };
        BytesMut::freeze(encode_answer(answer, date))
    }
}
