//! Failures towards a backend, and the one place that decides their consequences.
//!
//! The property to trust: the client's answer, `context.LastError`, the counted cause and the log line are all made by
//! [`UpstreamFault::consequence`], so they agree. `tests/golden/upstream_faults.txt` lists all of them.
//!
//! The client learns neither an address nor which rule the backend broke. Both are in the log.
//!
//! Not here: an answer of the backend that is passed on, which is not a fault.

use super::refusal::Refusal;
use crate::backend::names::ResolveFault;
use crate::http1::AnswerFault;
use crate::limits::INTERIM_ANSWERS_MAX;
use crate::policy::failure::Failure;
use crate::process::log::limited;
use crate::session::{Cause, CorrelationId};
use crate::tls::endpoint::EndpointFault;
use crate::tls::failed_check::FailedCheck;
use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tracing::Level;

/// A failure towards a backend.
#[derive(Debug)]
pub struct UpstreamFault {
    /// Where the backend was to be reached. `None`: its name gave no address.
    pub address: Option<SocketAddr>,
    /// The step that failed, and how.
    pub what: WhatFailed,
}

/// The step that failed towards a backend, in the order of an opening. It reads as the `error` of a log line.
#[derive(Debug, thiserror::Error)]
pub enum WhatFailed {
    /// The name has no address, or cannot be looked up.
    #[error("{0}")]
    NameNotResolved(ResolveFault),
    /// The name was not resolved by the dial deadline.
    #[error("no answer of the name service within dial_timeout_ms")]
    NameLate,
    /// The look-up gave an empty list.
    #[error("the name has no address")]
    HasNoAddress,
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// The connection was reset before it came about.
    #[error("connection reset")]
    Reset,
    /// There is no way there.
    #[error("{0}")]
    Unreachable(io::Error),
    /// The kernel has another reason.
    #[error("{0}")]
    NotConnected(io::Error),
    /// The backend took no connection by the dial deadline, or within the kernel's own patience.
    #[error("no connection within dial_timeout_ms")]
    ConnectLate,
    /// Each port of the source address has a connection to the backend already.
    #[error("every port of net.ipv4.ip_local_port_range is in use: list more source_addresses")]
    NoLocalPort,
    /// One of the API's source addresses is none of this host.
    #[error("{0} is not an address of this host: correct source_addresses")]
    SourceNotOfHost(IpAddr),
    /// This instance has no descriptor or no memory left.
    #[error("{0}")]
    NoResources(io::Error),
    /// The backend is to have TLS, and there is no configuration to do it with.
    #[error("there is no TLS configuration for this backend")]
    TlsNotConfigured,
    /// The backend broke the rules of TLS, or is not to be trusted.
    #[error("{0}")]
    TlsFailed(EndpointFault),
    /// The backend ended the connection during the TLS handshake, or spoke without TLS. `None`: it ended it in good order.
    #[error("the connection ended{}", detail(.0.as_ref()))]
    TlsBrokenOff(Option<io::Error>),
    /// The backend speaks HTTP without TLS.
    #[error("it speaks HTTP without TLS")]
    TlsPlainHttp,
    /// The TLS handshake was not over by the dial deadline.
    #[error("no TLS handshake within dial_timeout_ms")]
    TlsLate,
    /// The backend broke off while it was sent the request.
    #[error("the request was not taken: {0}")]
    RequestNotTaken(io::Error),
    /// The backend took no request, or gave no whole answer, by the answer deadline.
    #[error("no answer within answer_timeout_ms, or the timeout of forward-request")]
    Silent,
    /// The connection ended before the answer's head was complete. `None`: in good order.
    #[error("the connection ended before the head of the answer was complete{}", detail(.0.as_ref()))]
    AnswerBrokenOff(Option<io::Error>),
    /// More interim answers (1xx) than are skipped.
    #[error("more than {INTERIM_ANSWERS_MAX} interim answers")]
    TooManyInterims,
    /// The answer breaks a rule.
    #[error("{0}")]
    AnswerFaulty(AnswerFault),
}

fn detail(error: Option<&io::Error>) -> String {
    error.map_or_else(String::new, |error| format!(": {error}"))
}

/// The consequences of a fault.
#[derive(Clone, Copy, Debug)]
pub struct Consequence {
    /// Under which cause the opening is counted. The table of terminations has its status.
    pub cause: Cause,
    /// The message to the client, and to policies as `context.LastError.Message`.
    pub told: &'static str,
    /// `context.LastError.Reason`, from the catalogue of Azure API Management.
    pub reason: Reason,
    /// How much the line of the log matters.
    pub level: Level,
    /// The message of that line.
    pub logged: &'static str,
}

/// `context.LastError.Reason` of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `BackendConnectionFailure`.
    Connection,
    /// `Timeout`.
    Timeout,
}

impl Consequence {
    fn of(cause: Cause, told: &'static str, logged: &'static str) -> Self {
        Self { cause, told, reason: Reason::Connection, level: Level::WARN, logged }
    }

    fn late(told: &'static str, logged: &'static str) -> Self {
        Self { reason: Reason::Timeout, ..Self::of(Cause::BackendSilent, told, logged) }
    }

    /// To be mended in the configuration: no other backend would do better.
    fn at_error(self) -> Self {
        Self { level: Level::ERROR, ..self }
    }
}

/// In whose name a fault is logged.
#[derive(Clone, Copy, Debug)]
pub(super) struct FaultOwner<'a> {
    /// The opening that met it.
    pub(super) id: CorrelationId,
    pub(super) api: &'a str,
    /// The backend's host and port as its URL has them.
    pub(super) backend: &'a str,
}

impl UpstreamFault {
    /// Returns the consequences of the fault.
    pub fn consequence(&self) -> Consequence {
        const NO_CONNECTION: &str = "cannot connect to a backend";
        const NO_ANSWER: &str = "the backend's answer is not a correct opening handshake";
        match &self.what {
            WhatFailed::NameNotResolved(_) => Consequence::of(
                Cause::BackendRefused,
                "the backend's name cannot be resolved",
                "cannot resolve a backend",
            ),
            WhatFailed::NameLate => Consequence::late(
                "the backend's name was not resolved in time",
                "a backend's name was not resolved in time",
            ),
            WhatFailed::HasNoAddress => Consequence::of(
                Cause::BackendRefused,
                "the backend has no address",
                "cannot resolve a backend",
            ),
            WhatFailed::Refused
            | WhatFailed::Reset
            | WhatFailed::Unreachable(_)
            | WhatFailed::NotConnected(_) => {
                Consequence::of(Cause::BackendRefused, "the backend cannot be reached", NO_CONNECTION)
            }
            WhatFailed::ConnectLate => Consequence::late(
                "the backend did not take the connection in time",
                "a backend did not take a connection in time",
            ),
            WhatFailed::NoLocalPort => Consequence::of(
                Cause::NoLocalPort,
                "no local port is left towards the backend",
                "no local port is left towards a backend",
            ),
            WhatFailed::SourceNotOfHost(_) => Consequence::of(
                Cause::NoLocalPort,
                "no local port is left towards the backend",
                "a source address is not an address of this host",
            )
            .at_error(),
            WhatFailed::NoResources(_) => Consequence::of(
                Cause::InstanceFull,
                "this instance has no open files or memory left",
                "too few resources to connect to a backend",
            ),
            WhatFailed::TlsNotConfigured => Consequence::of(
                Cause::BackendTls,
                "the backend cannot be trusted",
                "TLS with a backend is not configured",
            )
            .at_error(),
            WhatFailed::TlsFailed(_) => Consequence::of(
                Cause::BackendTls,
                "the backend's TLS handshake failed",
                "TLS with a backend failed",
            ),
            WhatFailed::TlsBrokenOff(_) | WhatFailed::TlsPlainHttp => Consequence::of(
                Cause::BackendTls,
                "the backend broke off its TLS handshake",
                "a backend broke off its TLS handshake",
            ),
            WhatFailed::TlsLate => Consequence::late(
                "the backend did not finish its TLS handshake in time",
                "a backend did not finish its TLS handshake in time",
            ),
            WhatFailed::Silent => {
                Consequence::late("the backend did not answer in time", "a backend did not answer in time")
            }
            WhatFailed::RequestNotTaken(_) | WhatFailed::AnswerBrokenOff(_) => {
                Consequence::of(Cause::BackendAnswer, NO_ANSWER, "a backend broke off before it had answered")
            }
            WhatFailed::TooManyInterims | WhatFailed::AnswerFaulty(_) => {
                Consequence::of(Cause::BackendAnswer, NO_ANSWER, "a backend's answer is not a correct one")
            }
        }
    }

    /// The client's answer.
    pub(super) fn refusal(&self) -> Refusal {
        let Consequence { cause, told, .. } = self.consequence();
        Refusal::of(cause, told)
    }

    /// Returns the policies' view of the fault, where the client's answer has this status.
    pub fn failure(&self, status: u16) -> Failure {
        let Consequence { told, reason, .. } = self.consequence();
        match reason {
            Reason::Connection => Failure::of_connection(status, told),
            Reason::Timeout => Failure::of_timeout(status, told),
        }
    }

    /// Logs it.
    pub(super) fn log(&self, owner: FaultOwner<'_>) {
        let FaultOwner { id, api, backend } = owner;
        let Consequence { level, logged, .. } = self.consequence();
        let address = self.address.map(tracing::field::display);
        let (check, error): (_, &dyn Display) = (self.what.failed_check(), &self.what);
        if level == Level::ERROR {
            limited!(ERROR, Some(api), logged, %id, backend, address, check, %error);
        } else {
            limited!(WARN, Some(api), logged, %id, backend, address, check, %error);
        }
    }
}

impl WhatFailed {
    /// The fault of a backend that was to be reached at `address`.
    pub(super) fn at(self, address: SocketAddr) -> UpstreamFault {
        UpstreamFault { address: Some(address), what: self }
    }

    /// Interprets an error of a socket that is to be connected, or of the connect.
    pub(super) fn of_connect(error: io::Error) -> Self {
        match error.raw_os_error() {
            // The kernel chooses the port at the connect.
            Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE) => Self::NoLocalPort,
            // It is this instance that cannot take the session, not the backend.
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Self::NoResources(error),
            // The kernel's own patience with an address that does not answer may be shorter than the API's.
            Some(libc::ETIMEDOUT) => Self::ConnectLate,
            Some(libc::ECONNREFUSED) => Self::Refused,
            Some(libc::ECONNRESET) => Self::Reset,
            Some(libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN | libc::ENETDOWN) => {
                Self::Unreachable(error)
            }
            _ => Self::NotConnected(error),
        }
    }

    /// Which check of a TLS handshake failed, in one word.
    pub fn failed_check(&self) -> Option<&'static str> {
        let Self::TlsFailed(fault) = self else { return None };
        Some(match fault {
            EndpointFault::Handshake(fault) => FailedCheck::of(fault).name(),
            EndpointFault::Record(_) | EndpointFault::Alerted(_) | EndpointFault::Exhausted(_) => "protocol",
        })
    }
}

impl From<AnswerFault> for WhatFailed {
    fn from(fault: AnswerFault) -> Self {
        Self::AnswerFaulty(fault)
    }
}
