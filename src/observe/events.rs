//! The events of openings and sessions: every type once, with its fields, and what is made of it.
//!
//! ```text
//! front ──ring──┐                       ┌─► rows of the log
//!               ├─► observer (telemetry)┼─► spans
//! relay ──ring──┘                       └─► whoever looks at single sessions
//! ```
//!
//! A producer fills in what it knows and formats nothing; rows, which are text, are made by the observer. `tests/golden/events.txt`
//! shows the list.
//!
//! Not here: the rings (`event_ring`), rows (`telemetry::rows`), and counters, which the producers move by themselves: an event that
//! is dropped is counted all the same.

use super::labels::SessionLabels;
use super::record::SessionRecord;
use super::sampling::Logged;
use super::stages::StageTimes;
use crate::catalog::request_name::HeaderName;
use crate::catalog::subscription::Subscription;
use crate::catalog::{Api, BackendUrl};
use crate::compiled::access::SubscriptionKeyFault;
use crate::head::trace_context::{TraceContext, TraceId, TraceParent};
use crate::head::{Headers, RequestHead};
use crate::policy::exchange::LastError;
use crate::policy::pipeline::Pipeline;
use crate::policy::records::PolicyRecords;
use crate::session::{Cause, CorrelationId, Leg, Phase, Termination};
use crate::websocket::received_close::ReceivedClose;
use crate::websocket::tally::FrameKind;
use bytes::Bytes;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The kind of thread that an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// A worker's front.
    Front,
    /// A worker's relay.
    Relay,
}

impl Plane {
    /// The name in docs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Relay => "relay",
        }
    }
}

/// A field of an event.
#[derive(Clone, Copy, Debug)]
pub struct EventField {
    /// Its name.
    pub name: &'static str,
    /// Its unit; empty if it has none.
    pub unit: &'static str,
    /// The meaning, in a sentence.
    pub help: &'static str,
}

/// A row that is made of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadeRow {
    /// The name of the table.
    pub table: &'static str,
    /// The value of its `EventName`; empty in a table without one.
    pub event_name: &'static str,
}

/// A type of event.
#[derive(Clone, Copy, Debug)]
pub struct EventType {
    /// Its name.
    pub name: &'static str,
    /// The meaning, in sentences.
    pub help: &'static str,
    /// Which threads send it.
    pub plane: Plane,
    /// Its fields.
    pub fields: &'static [EventField],
    /// The rows that may be made of one.
    pub rows: &'static [MadeRow],
    /// The figures that move when it happens, by their names on the status page.
    pub metrics: &'static [&'static str],
    /// The span that it becomes, with spans of its stages and policies below it; empty if it becomes none.
    pub span: &'static str,
}

const GATEWAY: &str = "ApiManagementGatewayLogs";
const CONNECTION: &str = "ApiManagementWebSocketConnectionLogs";

/// Makes the type of each event and the list of what they are, out of one declaration.
macro_rules! events {
    ($(
        $(#[doc = $help:literal])+
        $event:ident = $name:literal from $plane:ident, span $span:literal,
        rows [$($table:ident $event_name:literal),*], metrics [$($metric:literal),*] {
            $($(#[doc = $field_help:literal])+ $field:ident: $type:ty $(, in $unit:literal)?;)+
        }
    )+) => {
        /// Every type of event.
        pub const EVENT_TYPES: &[EventType] = &[$($event::TYPE),+];

        $(
            $(#[doc = $help])+
            #[derive(Debug)]
            pub struct $event {
                $($(#[doc = $field_help])+ pub $field: $type,)+
            }

            impl $event {
                /// What it is.
                pub const TYPE: EventType = EventType {
                    name: $name,
                    help: concat!($($help),+).trim_ascii(),
                    plane: Plane::$plane,
                    fields: &[$(EventField {
                        name: stringify!($field),
                        unit: concat!($($unit)?),
                        help: concat!($($field_help),+).trim_ascii(),
                    }),+],
                    rows: &[$(MadeRow { table: $table, event_name: $event_name }),*],
                    metrics: &[$($metric),*],
                    span: $span,
                };
            }
        )+
    };
}

events! {
    /// An opening has ended: with a session, a refusal, or in any other way.
    OpeningEnded = "opening_ended" from Front, span "opening",
    rows [
        GATEWAY "", CONNECTION "arrived", CONNECTION "backendConnected", CONNECTION "established",
        CONNECTION "terminated"
    ],
    metrics ["connections_accepted", "tls_handshakes", "tls_resumptions", "terminations"] {
        /// The id of the opening, and of the session that came of it.
        id: CorrelationId;
        /// When the connection was accepted, since 1970.
        accepted_at_ns: u64, in "nanoseconds";
        /// How long each stage took.
        times: StageTimes, in "microseconds";
        /// The listener's place in the configuration.
        listener: usize;
        /// Who connected.
        peer: SocketAddr;
        /// Whom policies, limits and logs mean.
        client: IpAddr;
        /// Whether the listener has TLS.
        is_secured: bool;
        /// The version of TLS with the client.
        tls_version: &'static str;
        /// The name that the client asked for (SNI).
        server_name: Option<Box<str>>;
        /// The method of a request that was not one in order, if it had one.
        method: Option<Box<str>>;
        /// The version of HTTP, as far as it is known.
        protocol: &'static str;
        /// The request, if it was one in order.
        request: Option<Arc<RequestHead>>;
        /// The size of the request's head, if it came whole.
        request_bytes: Option<u32>, in "bytes";
        /// The API, once it was found.
        api: Option<Arc<Api>>;
        /// The subscription whose key was given.
        subscription: Option<Arc<Subscription>>;
        /// The labels of what it counts under.
        labels: Option<SessionLabels>;
        /// What the backend was asked.
        asked: Option<Asked>;
        /// What the client was told.
        told: Option<Told>;
        /// What failed.
        failure: Option<OpeningFailure>;
        /// What its policies said, without secrets.
        policy_records: PolicyRecords;
        /// Its place in a trace; none if openings have no traces.
        trace: Option<TraceContext>;
        /// Header fields that diagnostics name; none if these name none beyond the request's.
        fields: Option<Box<LegFields>>;
        /// Whether the log has its rows.
        logged: Logged;
        /// Why and where it ended; none if a session came of it.
        termination: Option<(Cause, Phase)>;
    }

    /// A session begins to end: an endpoint closed, ended or broke its connection, or ringgate ends the session.
    SessionClosing = "session_closing" from Relay, span "",
    rows [CONNECTION "closing"],
    metrics [] {
        /// When, since 1970.
        at_ns: u64, in "nanoseconds";
        /// Who the session is of, and from where to where it goes.
        record: SessionRecord;
        /// Why it ends.
        cause: Cause;
        /// The leg that it comes from; none if ringgate itself ends it.
        by: Option<Leg>;
    }

    /// A session has ended.
    SessionTerminated = "session_terminated" from Relay, span "",
    rows [CONNECTION "closing", CONNECTION "terminated"],
    metrics ["terminations", "frames", "payload_bytes"] {
        /// When, since 1970.
        at_ns: u64, in "nanoseconds";
        /// Who the session was of, and from where to where it went.
        record: SessionRecord;
        /// Why it ended, and who ended it.
        termination: Termination;
        /// It began to end in the same moment, so that there is no event of that.
        is_at_once: bool;
        /// What its legs sent.
        carried: Carried;
        /// The Close frames with a code that its legs sent.
        closes: [Option<Box<ReceivedClose>>; 2];
    }

    /// What an open session has carried so far. Sent once in a while, if the API asks for it.
    SessionProgress = "session_progress" from Relay, span "",
    rows [CONNECTION "progress"],
    metrics [] {
        /// When, since 1970.
        at_ns: u64, in "nanoseconds";
        /// Who the session is of, and from where to where it goes.
        record: SessionRecord;
        /// What its legs have sent.
        carried: Carried;
    }
}

impl OpeningEnded {
    /// Goes on with the trace that the request is part of, if openings have traces and it is part of one.
    pub fn take_up_trace(&mut self) {
        let client = self.request.as_ref().and_then(|request| TraceParent::of(request.headers()));
        if let (Some(trace), Some(client)) = (&mut self.trace, client) {
            *trace = trace.within(client);
        }
    }

    /// The trace that it is part of: its own, or that which its request names.
    pub fn trace_id(&self) -> Option<TraceId> {
        let of_request = || Some(TraceParent::of(self.request.as_ref()?.headers())?.trace);
        self.trace.map(|trace| trace.trace).or_else(of_request)
    }
}

/// A request to a backend.
#[derive(Debug)]
pub struct Asked {
    /// The backend that policies chose. `None`: that of the API.
    pub backend: Option<Box<BackendUrl>>,
    /// Path and query of the request.
    pub target: String,
    /// Where it was connected to.
    pub address: Option<SocketAddr>,
    /// Whether it was sent the request.
    pub is_sent: bool,
    /// The status of its answer.
    pub status: Option<u16>,
    /// The subprotocol that was agreed on.
    pub subprotocol: Option<Bytes>,
    /// The fields with the extensions that were agreed on.
    pub extensions: Vec<Bytes>,
}

/// Header fields of the legs of an opening, as they were: a row shows them masked and cut. It shows no value itself.
#[derive(Default)]
pub struct LegFields {
    /// Those of the answer to the client.
    pub response: NamedFields,
    /// Those of the request to the backend.
    pub backend_request: NamedFields,
    /// All of the backend's answer.
    pub backend_response: Option<Headers>,
    /// The policies of the opening: secrets of their documents may stand in what they set.
    pub pipeline: Option<Arc<Pipeline>>,
}

impl fmt::Debug for LegFields {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LegFields({}, {})", self.response.len(), self.backend_request.len())
    }
}

/// Names, as diagnostics spell them, and values, in the order in which they came.
pub type NamedFields = Vec<(HeaderName, Box<[u8]>)>;

/// An answer to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its status.
    pub status: u16,
    /// Its size in bytes, head and body.
    pub bytes: u32,
}

/// What failed in an opening.
#[derive(Debug)]
pub enum OpeningFailure {
    /// A rule of ringgate's, or the backend: with the message that the client got.
    Refused(String),
    /// The subscription key.
    Key(SubscriptionKeyFault),
    /// A policy, or what policies were told of. It may quote what the client sent.
    Policy(Box<LastError>),
}

/// What the legs of a session sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Frames by leg and kind; none of an opaque session.
    pub frames: [[u64; FrameKind::ALL.len()]; Leg::BOTH.len()],
    /// Bytes by leg, heads of frames included, that were queued towards the other leg.
    pub bytes: [u64; Leg::BOTH.len()],
}

impl Carried {
    /// Whole messages that a leg sent.
    pub fn messages(&self, leg: Leg) -> u64 {
        let frames = &self.frames[leg as usize];
        frames[FrameKind::BinaryMessage as usize] + frames[FrameKind::Utf8Message as usize]
    }
}

/// An event of a relay.
#[derive(Debug)]
pub enum RelayEvent {
    /// A session begins to end.
    Closing(SessionClosing),
    /// A session has ended.
    Terminated(SessionTerminated),
    /// What an open session has carried so far.
    Progress(SessionProgress),
}

impl RelayEvent {
    /// Whose it is.
    pub fn record(&self) -> &SessionRecord {
        match self {
            Self::Closing(SessionClosing { record, .. })
            | Self::Terminated(SessionTerminated { record, .. })
            | Self::Progress(SessionProgress { record, .. }) => record,
        }
    }
}

// Each relay has a ring of them (`event_ring`), whose memory this is.
const _: () = assert!(size_of::<RelayEvent>() <= 288);

/// An opening of a request without an API, for tests of what is made of events.
#[cfg(test)]
pub(crate) fn opening_of_tests(termination: Option<(Cause, Phase)>) -> OpeningEnded {
    let request = "GET /chat/room?token=t0ken HTTP/1.1\r\nHost: gateway.example\r\nUser-Agent: x/1\r\n\r\n";
    let peer = SocketAddr::from(([192, 0, 2, 7], 50_000));
    OpeningEnded {
        id: CorrelationId::from_random([0x42; 16]),
        accepted_at_ns: 1_800_000_000_000_000_000,
        times: StageTimes::default(),
        listener: 0,
        peer,
        client: peer.ip(),
        is_secured: false,
        tls_version: "",
        server_name: None,
        method: None,
        protocol: "HTTP/1.1",
        request: RequestHead::parse(Bytes::from(request)).ok().map(Arc::new),
        request_bytes: Some(request.len() as u32),
        api: None,
        subscription: None,
        labels: None,
        asked: None,
        told: None,
        failure: None,
        policy_records: PolicyRecords::default(),
        trace: None,
        fields: None,
        logged: Logged::Whole,
        termination,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::counters::WORKER_METRICS;
    use crate::observe::tables::TABLES;
    use std::collections::HashSet;
    use std::fmt::Write as _;

    #[test]
    fn the_list_of_events_is_the_golden_one() {
        let mut text = String::from("The events of openings and sessions, and what is made of them.\n");
        for event in EVENT_TYPES {
            let rows: Vec<_> = event
                .rows
                .iter()
                .map(|row| format!("{} {}", row.table, row.event_name).trim_end().to_owned())
                .collect();
            let (plane, help) = (event.plane.name(), event.help);
            writeln!(text, "\n{} (from a {plane})\n    {help}", event.name).unwrap();
            writeln!(text, "    rows: {}", rows.join(", ")).unwrap();
            writeln!(text, "    metrics: {}", event.metrics.join(", ")).unwrap();
            writeln!(text, "    span: {}", event.span).unwrap();
            for EventField { name, unit, help } in event.fields {
                let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
                writeln!(text, "    {name:<16} {help}{unit}").unwrap();
            }
        }
        crate::golden::text::assert_golden("events.txt", &text.replace(": \n", ": none\n"));
    }

    #[test]
    fn what_events_name_exists_and_no_two_are_called_alike() {
        let names: HashSet<_> = EVENT_TYPES.iter().map(|event| event.name).collect();
        assert_eq!(names.len(), EVENT_TYPES.len());
        for event in EVENT_TYPES {
            for row in event.rows {
                let table = TABLES.iter().find(|table| table.name == row.table);
                let table = table.unwrap_or_else(|| panic!("{} has no table {}", event.name, row.table));
                let has_names = table.columns.iter().any(|column| column.name == "EventName");
                assert_eq!(has_names, !row.event_name.is_empty(), "{}", event.name);
            }
            for metric in event.metrics {
                let is_known = WORKER_METRICS.iter().any(|known| known.info.name == *metric);
                assert!(is_known, "{} moves {metric}, which is no figure", event.name);
            }
            let fields: HashSet<_> = event.fields.iter().map(|field| field.name).collect();
            assert_eq!(fields.len(), event.fields.len(), "{}", event.name);
        }
    }
}
