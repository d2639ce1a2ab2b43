//! The trace that a request belongs to, and the field `traceparent` that says so (W3C Trace Context, levels 1 and 2).
//!
//! ```text
//! traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//!              version  trace id                   span id of the caller  flags
//! ```
//!
//! A client's field is taken if it is valid, and the trace goes on; without one, or with one that is not valid, a trace begins. The
//! backend gets a field of its own, with the span of ringgate's request to it.
//!
//! Not here: where random bytes come from (`front::random_source`), and what is told of a span (`telemetry::otlp`).

use super::Headers;
use core::fmt;

/// The name of the field.
pub const TRACEPARENT: &str = "traceparent";

/// The name of the field that vendors add to. It is passed on as it came, with the trace that it belongs to.
pub const TRACESTATE: &str = "tracestate";

/// The id of a trace; never all zeros.
pub type TraceId = [u8; 16];

/// The id of a span; never all zeros.
pub type SpanId = [u8; 8];

/// Characters of a field of version 00.
const CHARS: usize = 55;

/// The flag of a trace whose spans are recorded.
const SAMPLED: u8 = 1;

/// The flag of a trace whose id ends in seven random bytes (level 2).
const RANDOM: u8 = 2;

/// What a field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The span of whoever sends the request.
    pub span: SpanId,
    /// The flags that are known.
    pub flags: u8,
}

impl TraceParent {
    /// Reads a field. `None`: it is not valid, and means nothing.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, further) = value.split_at_checked(CHARS)?;
        let dashes = [2, 35, 52].map(|at| known[at]);
        let [version] = hex(&known[..2])?;
        let is_of_version = match version {
            0 => further.is_empty(),
            // Forbidden by the specification.
            0xff => false,
            // A later version may have more behind a further dash.
            _ => further.first().is_none_or(|byte| *byte == b'-'),
        };
        let parent = Self {
            trace: hex(&known[3..35])?,
            span: hex(&known[36..52])?,
            flags: hex::<1>(&known[53..])?[0] & (SAMPLED | RANDOM),
        };
        let has_ids = parent.trace != [0; 16] && parent.span != [0; 8];
        (dashes == [b'-'; 3] && is_of_version && has_ids).then_some(parent)
    }

    /// That of a request. `None`: it has none, more than one, or one that is not valid.
    pub fn of(headers: &Headers) -> Option<Self> {
        let mut fields = headers.get_all(TRACEPARENT);
        let field = fields.next()?;
        fields.next().is_none().then(|| Self::parse(field))?
    }
}

/// As the field has it, in version 00.
impl fmt::Display for TraceParent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{}-{}-{:02x}", Hex(&self.trace), Hex(&self.span), self.flags)
    }
}

/// Bytes in hexadecimal digits, as ids are shown.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'b>(pub &'b [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// Bytes that are written in lower-case hexadecimal digits; others are not allowed.
fn hex<const BYTES: usize>(digits: &[u8]) -> Option<[u8; BYTES]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; BYTES];
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != BYTES || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(bytes)
}

/// The share of the traces that begin here which are sampled, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling(pub u8);

impl Sampling {
    /// Whether a trace with this id is sampled. Whoever decides by the same share and the same id decides alike: by the seven random
    /// bytes at its end, as OpenTelemetry's consistent sampling does.
    fn takes(self, trace: &TraceId) -> bool {
        let random = trace[9..].iter().fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
        random * 100 >= u128::from(100 - self.0.min(100)) << 56
    }
}

/// The place of one opening in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span of the opening.
    pub opening: SpanId,
    /// The span of the request to the backend.
    pub request: SpanId,
    /// The span of the client's, whose trace it is. `None`: the trace begins here.
    pub client: Option<SpanId>,
    /// The flags of the trace.
    flags: u8,
}

impl TraceContext {
    /// Begins a trace, with ids of these random bytes.
    pub fn begin(trace: TraceId, spans: [u8; 16], sampling: Sampling) -> Self {
        let [opening, request] = [&spans[..8], &spans[8..]].map(|span| span.try_into().unwrap_or_default());
        let flags = if sampling.takes(&trace) { SAMPLED | RANDOM } else { RANDOM };
        Self { trace, opening, request, client: None, flags }
    }

    /// The same opening in the trace that its client has begun, which decides whether it is sampled.
    #[must_use]
    pub fn within(self, client: TraceParent) -> Self {
        Self { trace: client.trace, client: Some(client.span), flags: client.flags, ..self }
    }

    /// Whether its spans are recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The field for the backend.
    pub fn outgoing(&self) -> TraceParent {
        TraceParent { trace: self.trace, span: self.request, flags: self.flags }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::RequestHead;
    use bytes::Bytes;
    use proptest::prelude::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parse(value: &str) -> Option<String> {
        TraceParent::parse(value.as_bytes()).map(|parent| parent.to_string())
    }

    #[test]
    fn a_valid_field_is_read_and_written_again_in_version_00_with_the_flags_that_are_known() {
        let ids = &VALID[3..52];
        for (value, flags) in [
            (VALID.to_owned(), "01"),
            (format!("00-{ids}-00"), "00"),
            (format!("00-{ids}-03"), "03"),
            (format!("00-{ids}-ff"), "03"),
            (format!("01-{ids}-09"), "01"),
            (format!("cc-{ids}-01-what-comes-later"), "01"),
            (format!("cc-{ids}-01-"), "01"),
        ] {
            assert_eq!(parse(&value), Some(format!("00-{ids}-{flags}")), "{value}");
        }
    }

    #[test]
    fn a_field_that_is_not_valid_means_nothing() {
        let ids = &VALID[3..52];
        for value in [
            String::new(),
            VALID[..54].to_owned(),
            format!("{VALID}-"),
            format!("{VALID} "),
            format!(" {VALID}"),
            VALID.to_ascii_uppercase(),
            format!("ff-{ids}-01"),
            format!("0g-{ids}-01"),
            format!("01-{ids}-01x"),
            format!("00-{ids}-0g"),
            format!("00-{ids}_01"),
            VALID.replace("00f0", "00F0"),
            VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            VALID.replace("00f067aa0ba902b7", &"0".repeat(16)),
            VALID.replacen('-', "_", 1),
        ] {
            assert_eq!(parse(&value), None, "{value}");
        }
    }

    #[test]
    fn a_request_with_two_fields_has_none() {
        let request = |fields: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            RequestHead::parse(Bytes::from(head)).expect("a head in order")
        };
        let of = |fields: &str| TraceParent::of(request(fields).headers()).map(|parent| parent.to_string());
        assert_eq!(of(""), None);
        assert_eq!(of(&format!("TraceParent: {VALID}\r\n")).as_deref(), Some(VALID));
        assert_eq!(of(&format!("traceparent: {VALID}\r\ntraceparent: {VALID}\r\n")), None);
    }

    #[test]
    fn the_trace_of_a_client_goes_on_with_new_spans_and_its_own_flags() {
        let begun =
            TraceContext::begin([7; 16], [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2], Sampling(100));
        assert_eq!(begun.outgoing().to_string(), format!("00-{}-0202020202020202-03", "07".repeat(16)));
        assert!(begun.is_sampled() && begun.client.is_none());
        for (flags, is_sampled) in [("00", false), ("01", true), ("02", false), ("03", true)] {
            let client = TraceParent::parse(format!("{}{flags}", &VALID[..53]).as_bytes()).expect("valid");
            let within = begun.within(client);
            assert_eq!((within.is_sampled(), within.client), (is_sampled, Some(client.span)));
            let outgoing = format!("{}-0202020202020202-{flags}", &VALID[..35]);
            assert_eq!(within.outgoing().to_string(), outgoing);
        }
    }

    #[test]
    fn a_share_of_new_traces_is_sampled_by_their_random_bytes() {
        let takes = |percent, last: [u8; 7]| {
            let mut trace = [0xff; 16];
            trace[9..].copy_from_slice(&last);
            Sampling(percent).takes(&trace)
        };
        let low = [0; 7];
        let high = [0xff; 7];
        assert_eq!((takes(0, low), takes(0, high)), (false, false));
        assert_eq!((takes(100, low), takes(100, high)), (true, true));
        assert_eq!((takes(1, low), takes(1, high)), (false, true));
        let half = [0x80, 0, 0, 0, 0, 0, 0];
        assert_eq!((takes(50, half), takes(49, half)), (true, false));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(trace: TraceId, span: SpanId, flags in 0_u8..4) {
            prop_assume!(trace != [0; 16] && span != [0; 8]);
            let parent = TraceParent { trace, span, flags };
            prop_assert_eq!(TraceParent::parse(parent.to_string().as_bytes()), Some(parent));
        }

        #[test]
        fn no_bytes_make_it_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = TraceParent::parse(&value);
        }
    }
}
