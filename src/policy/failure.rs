//! The failure of a policy or the backend, in the words of Azure API Management's catalogue of errors.
//!
//! Not here: the consequence (`machine`).

use super::exchange::{LastError, Response, TargetFault};
use super::expression::{Section, Thrown};

/// The message to a client about a fault that does not concern it.
pub(crate) const INTERNAL: &str = "Internal server error";

/// A failure, before it is known where.
#[derive(Debug)]
pub struct Failure {
    /// `LastError.Reason`.
    pub reason: &'static str,
    /// `LastError.Message`: for policies and the log. It may quote what a client sent.
    pub message: String,
    /// `LastError.Source`, if that is not the policy.
    pub source: Option<&'static str>,
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
            answer: Box::new(Response::error(status, said)),
        }
    }

    /// A rule that said no: the client is told what policies are told.
    pub fn refused(reason: &'static str, status: u16, message: &str) -> Self {
        Self::new(reason, message, status, message)
    }

    /// An expression that threw.
    pub(crate) fn thrown(thrown: &Thrown) -> Self {
        Self::evaluation(format!("Expression evaluation failed. {thrown}"))
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

    /// The subscription key is missing, or opens nothing.
    pub fn of_key(is_missing: bool, status: u16, said: &str) -> Self {
        let reason = if is_missing { "SubscriptionKeyNotFound" } else { "SubscriptionKeyInvalid" };
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
