//! The answer to the client.

use super::fields::{ExistsAction, Fields};
use crate::head::status::{error_body, reason_phrase};
use crate::head::{Answer, Header};

/// An answer: ringgate's, a policy's, or the backend's without its body.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Its fields.
    pub fields: Fields,
    /// The body.
    pub body: Body,
    reason: Option<Box<str>>,
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    Empty,
    /// This text.
    Text(String),
    /// The body of the backend's answer, whose status was this.
    OfTheBackend(u16),
}

impl Response {
    /// An answer without fields and body.
    pub fn new(status: u16) -> Self {
        Self { status, fields: Fields::default(), body: Body::Empty, reason: None }
    }

    /// An error, as Azure API Management words it.
    pub fn error(status: u16, message: &str) -> Self {
        let mut response = Self::new(status);
        response.body = Body::Text(error_body(status, message));
        response.with_field("Content-Type", "application/json")
    }

    /// The backend's answer.
    pub fn of_backend(status: u16, reason: &[u8], fields: Fields) -> Self {
        let reason = Some(String::from_utf8_lossy(reason).into());
        Self { status, fields, body: Body::OfTheBackend(status), reason }
    }

    /// The same with one more field, of ringgate's own making.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: &str) -> Self {
        let set = self.fields.change(name, ExistsAction::Override, &[value]);
        debug_assert!(set.is_ok(), "a field of ringgate's own: {name}");
        self
    }

    /// The reason phrase.
    pub fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or_else(|| reason_phrase(self.status))
    }

    /// Sets the status; `reason` is visible characters and spaces, or the status's own if it is `None`.
    pub(crate) fn set_status(&mut self, status: u16, reason: Option<&str>) {
        self.status = status;
        self.reason = reason.map(Into::into);
    }

    /// It as a version of HTTP writes it. A backend's body is not in it.
    pub fn answer(&self) -> Answer<'_, impl Iterator<Item = Header<'_>> + Clone> {
        let body = match &self.body {
            Body::Text(text) => text.as_bytes(),
            Body::Empty | Body::OfTheBackend(_) => b"",
        };
        Answer { status: self.status, reason: self.reason().as_bytes(), fields: self.fields.iter(), body }
    }
}
