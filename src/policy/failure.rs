//! The failure of a policy or the backend, in the words of Azure API Management's catalogue of errors.
//!
//! Not here: the consequence (`machine`).

use super::document::Origin;
use super::exchange::{LastError, Response, TargetFault};
use super::expression::{Section, Thrown};
use std::sync::Arc;

/// The message to a client about a fault that does not concern it.
pub(crate) const INTERNAL: &str = "Internal server error";

/// An exception of an expression, and where in its document that stands.
#[derive(Clone, PartialEq, Eq)]
pub struct ThrownAt {
    /// The file of the document.
    pub document: Arc<str>,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: u32,
    /// The type of the exception.
    pub exception: &'static str,
    /// Its message. It may quote what a client sent, or a secret.
    pub message: String,
}

/// Shows no message.
impl core::fmt::Debug for ThrownAt {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "{}:{}:{}: {}", self.document, self.line, self.column, self.exception)
    }
}

/// A failure, before it is known where.
#[derive(Debug)]
pub struct Failure {
    /// `LastError.Reason`.
    pub reason: &'static str,
    /// `LastError.Message`: for policies and the log. It may quote what a client sent.
    pub message: String,
    /// `LastError.Source`, if that is not the policy.
    pub source: Option<&'static str>,
    /// The exception of the expression that it comes from, if it comes from one.
    pub thrown: Option<Box<ThrownAt>>,
    /// The answer to the client, unless on-error replaces it.
    pub answer: Box<Response>,
}

impl Failure {
    /// A failure that the client is answered with `status` and `said`.
    pub fn new(reason: &'static str, message: impl Into<String>, status: u16, said: &str) -> Self {
        Self {
            reason,
            message: message.into(),
            source: None,
            thrown: None,
            answer: Box::new(Response::error(status, said)),
        }
    }

    /// A rule that said no: the client is told what policies are told.
    pub fn refused(reason: &'static str, status: u16, message: &str) -> Self {
        Self::new(reason, message, status, message)
    }

    /// An expression that threw.
    pub(crate) fn thrown(thrown: Thrown, origin: &Origin) -> Self {
        let place = origin.place_of(thrown.position.offset);
        let failure = Self::evaluation(format!("Expression evaluation failed. {thrown}"));
        let thrown = ThrownAt {
            document: Arc::clone(origin.file()),
            line: place.line,
            column: place.column,
            exception: thrown.exception.name(),
            message: thrown.message.into_owned(),
        };
        Self { thrown: Some(Box::new(thrown)), ..failure }
    }

    /// An expression whose value cannot be used.
    pub(crate) fn evaluation(message: impl Into<String>) -> Self {
        Self::new("ExpressionValueEvaluationFailure", message, 500, INTERNAL)
    }

    /// The backend could not be reached, or its answer was not a correct one.
    pub fn of_connection(status: u16, said: &str) -> Self {
        Self::of_backend("BackendConnectionFailure", status, said)
    }

    /// The backend was silent.
    pub fn of_timeout(status: u16, said: &str) -> Self {
        Self::of_backend("Timeout", status, said)
    }

    /// The subscription key is missing, or opens nothing: `reason` says which.
    pub fn of_key(reason: &'static str, status: u16, said: &str) -> Self {
        Self { source: Some("authorization"), ..Self::refused(reason, status, said) }
    }

    /// The API, the product or the subscription holds as many connections as it may. Azure API Management has no such limits;
    /// the words are in the manner of its others.
    pub fn of_limit(status: u16, said: &str) -> Self {
        Self { source: Some("connections"), ..Self::refused("ConnectionLimitExceeded", status, said) }
    }

    /// The same, and a field of the client's answer.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: &str) -> Self {
        self.answer = Box::new(self.answer.with_field(name, value));
        self
    }

    /// `LastError` of a handshake that no policy has seen: it has neither a document nor a place in one.
    pub(crate) fn before_policies(&self) -> LastError {
        LastError {
            source: self.source.unwrap_or_default(),
            reason: self.reason,
            message: self.message.clone(),
            scope: "",
            section: Section::Inbound.name(),
            path: "".into(),
            policy_id: None,
        }
    }

    fn of_backend(reason: &'static str, status: u16, said: &str) -> Self {
        Self { source: Some("forward-request"), ..Self::refused(reason, status, said) }
    }
}

impl From<TargetFault> for Failure {
    fn from(fault: TargetFault) -> Self {
        Self::evaluation(fault.message())
    }
}
