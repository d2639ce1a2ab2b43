//! Why a session ended and how far it had got: one list, used in code, logs, metrics and docs.
//!
//! The methods of [`Cause`], here and in `attribution`, are the only place that maps a cause to a status, a close code, a name, or
//! what the log says of it. A golden table (`tests/golden/termination.txt`) shows the whole mapping.

use super::Leg;
use crate::websocket::close::CloseCode;

/// Why a session ended, or never came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Cause {
    /// An endpoint sent a Close frame.
    Closed,
    /// An endpoint ended its stream (FIN) without a Close frame.
    Ended,
    /// An endpoint ended its TLS stream without saying so: whether more was to come is not known (RFC 8446 §6.1).
    Truncated,
    /// An endpoint reset its connection, or it broke.
    Reset,
    /// An endpoint sent a TLS record that is wrong, or did not finish one in time.
    RecordFault,
    /// An endpoint broke the framing rules.
    FrameFault,
    /// A frame declared more than the API's `frame_bytes_max`.
    FrameTooBig,
    /// A message declared more than the API's `message_bytes_max`.
    MessageTooBig,
    /// Not a byte came from either endpoint, or was taken by one, for the API's `idle_timeout_s`.
    Idle,
    /// The session reached the API's `longest_life_s`.
    LongestLife,
    /// An endpoint took so little of what it was sent that the relay's room for such bytes was full, and it held most; or it
    /// took nothing for `dead_peer_timeout_s`, though its system answered.
    SlowReader,
    /// The instance is shutting down.
    Drain,
    /// The session's API, product or subscription is gone, or its subscription was stopped or has run out, and the API ends
    /// sessions for that (`on_revoke`).
    Revoked,
    /// The instance holds as many sessions as it may.
    InstanceFull,
    /// The API holds as many sessions as it may.
    ApiFull,
    /// The product holds as many sessions as it may.
    ProductFull,
    /// The subscription holds as many sessions as it may.
    SubscriptionFull,
    /// The client's network holds as many sessions, or has as many openings in progress, as it may.
    SourceFull,
    /// The instance has as many openings in progress as it may.
    OpeningsFull,
    /// The API has as many openings that wait for its backend as it may.
    BackendBusy,
    /// No local port is left for a connection to the backend.
    NoLocalPort,
    /// The request was not a correct opening handshake.
    HeadFault,
    /// The client's TLS handshake broke a rule, or came to nothing in time.
    TlsFault,
    /// No API is published at the request's path.
    NoApi,
    /// A subscription key was needed and missing, or did not match.
    Key,
    /// A policy answered instead of the backend, or failed.
    RefusedByPolicy,
    /// The backend could not be reached.
    BackendRefused,
    /// The backend's TLS handshake failed, or its certificate is not one to trust.
    BackendTls,
    /// The backend's answer was not a correct one, or was no upgrade.
    BackendAnswer,
    /// The backend did not answer in time.
    BackendSilent,
    /// The client left before the opening was over.
    ClientGone,
    /// An endpoint's system acknowledged nothing for `dead_peer_timeout_s`: it is gone without a word, or out of reach.
    DeadPeer,
    /// Ringgate broke an invariant of its own.
    Bug,
}

/// The answer to a client when a session ends before the 101.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This status.
    Status(u16),
    /// The status of the rule that was broken (4xx).
    OfTheRule,
    /// The backend's own status if it gave a correct one, else 502.
    OfTheBackend,
    /// Nothing more is sent.
    Nothing,
    /// The cause does not occur before the 101.
    NotBefore,
}

/// The end that a leg receives when a session ends after the 101. Everything but a reset and an alert follows all bytes that are
/// owed to the leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// A Close frame with this code, at the next frame boundary. Where the stream ends before one: a plain end.
    Close(CloseCode),
    /// A Close frame with this code if a boundary is at hand, else a plain end: there is no time to wait for either.
    LastClose(CloseCode),
    /// The other endpoint's Close frame as it came.
    AsItCame,
    /// An end in good order: FIN, under TLS a close_notify before it.
    PlainEnd,
    /// FIN alone. Under TLS the missing close_notify shows that more may have been to come (RFC 8446 §6.1).
    BareFin,
    /// A TLS alert that names the fault, and FIN.
    Alert,
    /// A reset.
    Reset,
    /// Nothing: the leg ended by itself, or the cause does not occur after the 101.
    Nothing,
}

impl Cause {
    /// Every cause, in the order of the table.
    pub const ALL: [Self; 33] = [
        Self::Closed,
        Self::Ended,
        Self::Truncated,
        Self::Reset,
        Self::RecordFault,
        Self::FrameFault,
        Self::FrameTooBig,
        Self::MessageTooBig,
        Self::Idle,
        Self::LongestLife,
        Self::SlowReader,
        Self::Drain,
        Self::Revoked,
        Self::InstanceFull,
        Self::ApiFull,
        Self::ProductFull,
        Self::SubscriptionFull,
        Self::SourceFull,
        Self::OpeningsFull,
        Self::BackendBusy,
        Self::NoLocalPort,
        Self::HeadFault,
        Self::TlsFault,
        Self::NoApi,
        Self::Key,
        Self::RefusedByPolicy,
        Self::BackendRefused,
        Self::BackendTls,
        Self::BackendAnswer,
        Self::BackendSilent,
        Self::ClientGone,
        Self::DeadPeer,
        Self::Bug,
    ];

    /// The name in logs, metrics and docs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Ended => "ended",
            Self::Truncated => "truncated",
            Self::Reset => "reset",
            Self::RecordFault => "record_fault",
            Self::FrameFault => "frame_fault",
            Self::FrameTooBig => "frame_too_big",
            Self::MessageTooBig => "message_too_big",
            Self::Idle => "idle",
            Self::LongestLife => "longest_life",
            Self::SlowReader => "slow_reader",
            Self::Drain => "drain",
            Self::Revoked => "revoked",
            Self::InstanceFull => "instance_full",
            Self::ApiFull => "api_full",
            Self::ProductFull => "product_full",
            Self::SubscriptionFull => "subscription_full",
            Self::SourceFull => "source_full",
            Self::OpeningsFull => "openings_full",
            Self::BackendBusy => "backend_busy",
            Self::NoLocalPort => "no_local_port",
            Self::HeadFault => "head_fault",
            Self::TlsFault => "tls_fault",
            Self::NoApi => "no_api",
            Self::Key => "key",
            Self::RefusedByPolicy => "refused_by_policy",
            Self::BackendRefused => "backend_refused",
            Self::BackendTls => "backend_tls",
            Self::BackendAnswer => "backend_answer",
            Self::BackendSilent => "backend_silent",
            Self::ClientGone => "client_gone",
            Self::DeadPeer => "dead_peer",
            Self::Bug => "bug",
        }
    }

    /// The cause with this name. The name is what is exported: a number would change with every cause that is added.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }

    /// The phases in which it occurs. No other is counted or shown.
    pub fn phases(self) -> &'static [Phase] {
        match self {
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
            | Self::DeadPeer => &[Phase::Relay],
            Self::ApiFull
            | Self::ProductFull
            | Self::SubscriptionFull
            | Self::SourceFull
            | Self::OpeningsFull
            | Self::BackendBusy
            | Self::HeadFault
            | Self::TlsFault
            | Self::NoApi
            | Self::Key => &[Phase::Head],
            Self::Drain => &[Phase::Head, Phase::Relay],
            // A dial may find that nothing is left to connect with.
            Self::InstanceFull => &[Phase::Head, Phase::Dial],
            Self::NoLocalPort | Self::BackendRefused | Self::BackendTls => &[Phase::Dial],
            Self::BackendAnswer => &[Phase::Answer],
            Self::BackendSilent => &[Phase::Dial, Phase::Answer],
            Self::RefusedByPolicy => &[Phase::Head, Phase::Answer],
            Self::ClientGone => &[Phase::Head, Phase::Dial, Phase::Answer],
            Self::Bug => &Phase::ALL,
        }
    }

    /// Returns the answer to the client if this cause occurs before the 101.
    pub fn answer(self) -> Answer {
        match self {
            Self::Drain
            | Self::InstanceFull
            | Self::ApiFull
            | Self::ProductFull
            | Self::SubscriptionFull
            | Self::OpeningsFull
            | Self::BackendBusy
            | Self::NoLocalPort => Answer::Status(503),
            Self::SourceFull => Answer::Status(429),
            Self::HeadFault | Self::RefusedByPolicy => Answer::OfTheRule,
            Self::NoApi => Answer::Status(404),
            Self::Key => Answer::Status(401),
            Self::BackendRefused | Self::BackendTls => Answer::Status(502),
            Self::BackendAnswer => Answer::OfTheBackend,
            Self::BackendSilent => Answer::Status(504),
            Self::TlsFault | Self::ClientGone => Answer::Nothing,
            Self::Bug => Answer::Status(500),
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
            | Self::DeadPeer => Answer::NotBefore,
        }
    }

    /// Whether a client is told to come again (`Retry-After`): the refusal is for lack of room, not for its request.
    pub fn may_be_retried(self) -> bool {
        matches!(
            self,
            Self::Drain
                | Self::InstanceFull
                | Self::ApiFull
                | Self::ProductFull
                | Self::SubscriptionFull
                | Self::SourceFull
                | Self::OpeningsFull
                | Self::BackendBusy
                | Self::NoLocalPort
        )
    }

    /// Returns the end that `leg` receives if this cause occurs after the 101 and `by` is the leg that caused it.
    ///
    /// Where ringgate itself ends the session, `by` is absent and the table's two columns are client and backend.
    pub fn farewell(self, leg: Leg, by: Option<Leg>) -> Farewell {
        let is_culprit = by == Some(leg);
        // A client hears of its backend's faults of framing (1011). A backend hears of a client's fault as it would of the
        // client's end: it can do nothing about it.
        let of_a_frame_fault = match leg {
            Leg::Downstream => Farewell::Close(CloseCode::InternalError),
            Leg::Upstream => Farewell::PlainEnd,
        };
        match self {
            Self::Closed | Self::Ended | Self::Truncated | Self::Reset if is_culprit => Farewell::Nothing,
            Self::Closed => Farewell::AsItCame,
            Self::Ended => Farewell::PlainEnd,
            Self::Truncated => Farewell::BareFin,
            Self::DeadPeer if is_culprit => Farewell::Nothing,
            Self::DeadPeer => Farewell::PlainEnd,
            Self::Reset => Farewell::Reset,
            Self::RecordFault if is_culprit => Farewell::Alert,
            Self::RecordFault => Farewell::BareFin,
            Self::FrameFault if is_culprit => Farewell::Close(CloseCode::ProtocolError),
            Self::FrameTooBig | Self::MessageTooBig if is_culprit => {
                Farewell::Close(CloseCode::MessageTooBig)
            }
            Self::FrameFault | Self::FrameTooBig | Self::MessageTooBig => of_a_frame_fault,
            Self::SlowReader if is_culprit => Farewell::Reset,
            Self::SlowReader => Farewell::PlainEnd,
            Self::Idle | Self::LongestLife | Self::Drain => Farewell::Close(CloseCode::GoingAway),
            Self::Revoked => match leg {
                Leg::Downstream => Farewell::Close(CloseCode::PolicyViolation),
                Leg::Upstream => Farewell::Close(CloseCode::GoingAway),
            },
            Self::Bug => Farewell::LastClose(CloseCode::GoingAway),
            Self::InstanceFull
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
            | Self::ClientGone => Farewell::Nothing,
        }
    }

    /// The reason that goes with a Close frame of ringgate's own with this code.
    ///
    /// 1011 goes to a client whose backend broke the rules of framing: "bad gateway".
    pub fn close_reason(self, code: CloseCode) -> &'static str {
        if code == CloseCode::InternalError { "bad gateway" } else { self.name() }
    }
}

/// How far a session had got when its cause stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The request head was being read or judged.
    Head,
    /// The backend was being resolved and connected to.
    Dial,
    /// The backend's answer was awaited, read or passed on.
    Answer,
    /// The 101 was sent: frames were being relayed.
    Relay,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 4] = [Self::Head, Self::Dial, Self::Answer, Self::Relay];

    /// The name in logs, metrics and docs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Dial => "dial",
            Self::Answer => "answer",
            Self::Relay => "relay",
        }
    }
}

/// Why a session ended and how far it had got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Termination {
    /// Why.
    pub cause: Cause,
    /// How far it had got.
    pub phase: Phase,
    /// Which endpoint it came from; absent if ringgate itself ended the session.
    pub by: Option<Leg>,
    /// The code in the first Close frame that an endpoint sent, if one did and had one.
    pub close_code: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_all_causes_is_complete_and_in_order() {
        for (index, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, index);
        }
        // The last variant's number closes the list: a new variant behind it shows here.
        assert_eq!(Cause::Bug as usize + 1, Cause::ALL.len());
    }

    #[test]
    fn names_are_distinct() {
        let names: std::collections::HashSet<_> = Cause::ALL.iter().map(|cause| cause.name()).collect();
        assert_eq!(names.len(), Cause::ALL.len());
        for cause in Cause::ALL {
            assert_eq!(Cause::from_name(cause.name()), Some(cause));
        }
        assert_eq!(Cause::from_name("Closed"), None);
    }
}
