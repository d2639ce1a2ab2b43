//! How the log and metrics class an end: which side ended an opening, what failed, and whether the end of a session is a failure.
//!
//! Each method is one exhaustive match over [`Cause`], so that a cause that is added does not compile until it is classed.
//! `tests/golden/termination.txt` shows the result.
//!
//! Not here: statuses, close codes and names (`termination`).

use super::Leg;
use super::termination::Cause;

/// A side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who connected.
    Client,
    /// Ringgate.
    Gateway,
    /// Whom ringgate connects to.
    Backend,
}

impl Side {
    /// The name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Backend => "backend",
        }
    }

    /// The side that something which comes from this one goes to.
    pub fn destination(self) -> Self {
        match self {
            Self::Client => Self::Backend,
            Self::Gateway | Self::Backend => Self::Client,
        }
    }

    /// The side that ended a session: that of the leg, or ringgate itself.
    pub fn that_ended(by: Option<Leg>) -> Self {
        match by {
            Some(Leg::Downstream) => Self::Client,
            Some(Leg::Upstream) => Self::Backend,
            None => Self::Gateway,
        }
    }
}

/// The part that failed in an opening: `LastError.Source` where no policy has set it, in the manner of Azure API Management.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorSource {
    /// The check of the subscription key.
    Authorization,
    /// The choice of the API.
    Configuration,
    /// The check of the request.
    Request,
    /// The client's connection.
    Client,
    /// The connection to the backend.
    ForwardRequest,
    /// The limits of connections.
    Connections,
    /// A policy.
    Policy,
    /// Ringgate itself.
    Gateway,
}

impl ErrorSource {
    /// The name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Configuration => "configuration",
            Self::Request => "request",
            Self::Client => "client",
            Self::ForwardRequest => "forward-request",
            Self::Connections => "connections",
            Self::Policy => "policy",
            Self::Gateway => "gateway",
        }
    }
}

/// How the log describes an opening that ended for a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpeningError {
    /// The side that ended it.
    pub by: Side,
    /// What failed.
    pub source: ErrorSource,
    /// Why, in one word, as `LastError.Reason`. A key's fault has one of its own.
    pub reason: &'static str,
    /// Why, in a sentence, where the client was told nothing. `None`: there is always an answer that says why.
    pub unanswered: Option<&'static str>,
}

impl Cause {
    /// How the log describes an opening that ended for it. `None`: it occurs only after the 101.
    pub fn opening_error(self) -> Option<OpeningError> {
        let error = |by, source, reason| OpeningError { by, source, reason, unanswered: None };
        let unanswered = |error, message| OpeningError { unanswered: Some(message), ..error };
        let of_gateway = |source, reason| error(Side::Gateway, source, reason);
        let of_backend = |reason| error(Side::Backend, ErrorSource::ForwardRequest, reason);
        let of_client = error(Side::Client, ErrorSource::Client, "ClientConnectionFailure");
        Some(match self {
            Self::InstanceFull
            | Self::ApiFull
            | Self::ProductFull
            | Self::SubscriptionFull
            | Self::SourceFull
            | Self::OpeningsFull
            | Self::BackendBusy => of_gateway(ErrorSource::Connections, "ConnectionLimitExceeded"),
            Self::NoLocalPort => of_gateway(ErrorSource::ForwardRequest, "BackendConnectionFailure"),
            Self::HeadFault => of_gateway(ErrorSource::Request, "BadRequest"),
            Self::NoApi => of_gateway(ErrorSource::Configuration, "OperationNotFound"),
            Self::Key => of_gateway(ErrorSource::Authorization, "SubscriptionKeyInvalid"),
            Self::RefusedByPolicy => of_gateway(ErrorSource::Policy, "Refused"),
            Self::Bug => of_gateway(ErrorSource::Gateway, "InternalError"),
            Self::Drain => {
                unanswered(of_gateway(ErrorSource::Gateway, "ShuttingDown"), "this instance is shutting down")
            }
            Self::BackendRefused | Self::BackendTls | Self::BackendAnswer => {
                of_backend("BackendConnectionFailure")
            }
            Self::BackendSilent => of_backend("Timeout"),
            Self::TlsFault => {
                unanswered(of_client, "the client's TLS handshake failed, or was not over in time")
            }
            Self::ClientGone => unanswered(of_client, "the client left before its opening was over"),
            Self::Closed
            | Self::Ended
            | Self::Truncated
            | Self::Reset
            | Self::RecordFault
            | Self::FrameFault
            | Self::FrameTooBig
            | Self::MessageTooBig
            | Self::Idle
            | Self::LongestLife
            | Self::SlowReader
            | Self::Revoked
            | Self::DeadPeer => return None,
        })
    }

    /// Whether an opening that ended for it failed to connect to its backend, or to get a 101 from it.
    pub fn is_of_backend_connection(self) -> bool {
        self.opening_error().is_some_and(|error| error.source == ErrorSource::ForwardRequest)
    }

    /// Whether a session that ended for it has failed. Ends in good order are no failures, nor are those that an operator or a limit
    /// of time brought about.
    pub fn is_failure(self) -> bool {
        match self {
            Self::Closed | Self::Ended | Self::Idle | Self::LongestLife | Self::Drain | Self::Revoked => {
                false
            }
            Self::Truncated
            | Self::Reset
            | Self::RecordFault
            | Self::FrameFault
            | Self::FrameTooBig
            | Self::MessageTooBig
            | Self::SlowReader
            | Self::InstanceFull
            | Self::ApiFull
            | Self::ProductFull
            | Self::SubscriptionFull
            | Self::SourceFull
            | Self::OpeningsFull
            | Self::BackendBusy
            | Self::NoLocalPort
            | Self::HeadFault
            | Self::TlsFault
            | Self::NoApi
            | Self::Key
            | Self::RefusedByPolicy
            | Self::BackendRefused
            | Self::BackendTls
            | Self::BackendAnswer
            | Self::BackendSilent
            | Self::ClientGone
            | Self::DeadPeer
            | Self::Bug => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Phase;
    use crate::session::termination::Answer;

    #[test]
    fn causes_before_the_101_and_no_others_describe_openings() {
        for cause in Cause::ALL {
            let is_before = cause.phases().iter().any(|phase| *phase != Phase::Relay);
            assert_eq!(cause.opening_error().is_some(), is_before, "{}", cause.name());
        }
    }

    #[test]
    fn whoever_may_be_told_nothing_has_a_sentence_for_the_log() {
        for cause in Cause::ALL.into_iter().filter(|cause| cause.answer() == Answer::Nothing) {
            let error = cause.opening_error().expect("it occurs before the 101");
            assert!(error.unanswered.is_some(), "{}", cause.name());
        }
    }
}
