//! Finds the first fault of a refused request head.
//!
//! httparse stops at the first byte that it does not like; the answer depends on an order of rules instead (the order
//! of the variants of `HeadFault`). So a head that was refused is looked at again here, line by line and tolerantly.
//! The property to trust: `first_fault` finds none exactly when `RequestHead::parse` accepts.
//!
//! Not here: the rules of the opening handshake (`websocket::opening`), which only a head without these faults meets.

use super::head_fault::HeadFault;
use super::lines::{LineFault, RawLine, RawLines, first_field_line_fault, is_control};
use super::version::Version;
use crate::head::authority::is_authority;
use crate::head::token::is_token_byte;
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX};

/// Whether `bytes` can be the beginning of a request: one CRLF, then a token character (RFC 9112 §2.2, §3).
///
/// Anything else is known for what it is at its first bytes and need not be waited for.
pub(super) fn begins_like_a_request(bytes: &[u8]) -> bool {
    if bytes == b"\r" {
        return true;
    }
    without_leading_crlf(bytes).first().is_none_or(|&byte| is_token_byte(byte))
}

/// The bytes without the empty line that may stand before a request line (RFC 9112 §2.2).
pub fn without_leading_crlf(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\r\n").unwrap_or(bytes)
}

/// The first fault of a whole head.
pub(super) fn first_fault(head: &[u8]) -> Option<HeadFault> {
    if let Some(fault) = first_fault_of_size(head) {
        return Some(fault);
    }
    let mut lines = RawLines::new(without_leading_crlf(head));
    let line = lines.next()?;
    let request_line = RequestLine::guess(line);
    request_line
        .first_fault()
        .or_else(|| first_host_fault(lines.clone()))
        .or_else(|| request_line.line_fault(line).map(HeadFault::BrokenLine))
        .or_else(|| first_field_line_fault(lines.clone()).map(HeadFault::BrokenLine))
        .or_else(|| first_body_fault(lines))
}

/// The first of the faults that count before a head is whole; the head may still be incomplete.
pub(super) fn first_fault_of_size(head: &[u8]) -> Option<HeadFault> {
    if !begins_like_a_request(head) {
        return Some(HeadFault::SentNoHttp);
    }
    if head.len() > HEAD_BYTES_MAX {
        return Some(HeadFault::HeadTooBig);
    }
    let mut lines = RawLines::new(without_leading_crlf(head));
    let request_line = RequestLine::guess(lines.next()?);
    // A folded line belongs to the field above it.
    let header_count =
        lines.take_while(|line| !line.content.is_empty()).filter(|line| !line.is_folded()).count();
    if header_count > HEADERS_MAX {
        return Some(HeadFault::TooManyHeaders);
    }
    (request_line.target.len() > TARGET_BYTES_MAX).then_some(HeadFault::TargetTooLong)
}

/// The parts of a request line as their sender may have meant them.
struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    /// Begins with `HTTP/`.
    version: Option<&'a [u8]>,
}

impl<'a> RequestLine<'a> {
    /// The method ends at the first space, the version begins behind the last one.
    fn guess(line: RawLine<'a>) -> Self {
        let mut text = line.content;
        while let [rest @ .., b' ' | b'\t' | b'\r'] = text {
            text = rest;
        }
        let (method, rest) = match memchr::memchr(b' ', text) {
            Some(space) => (&text[..space], &text[space + 1..]),
            None => (text, &[][..]),
        };
        let (target, version) = match memchr::memrchr(b' ', rest) {
            Some(space) => (&rest[..space], &rest[space + 1..]),
            None => (&[][..], rest),
        };
        if version.starts_with(b"HTTP/") {
            Self { method, target, version: Some(version) }
        } else {
            Self { method, target: rest, version: None }
        }
    }

    fn first_fault(&self) -> Option<HeadFault> {
        match self.version.and_then(Version::parse) {
            None => Some(HeadFault::NamedNoVersion),
            Some(Version::Http10) => Some(HeadFault::AskedForHttp10),
            Some(Version::OtherMajor) => Some(HeadFault::AskedForOtherVersion),
            Some(Version::Http11) if self.method != b"GET" => Some(HeadFault::MethodNotGet),
            Some(Version::Http11) => None,
        }
    }

    /// Returns the fault of the line itself, once version and method are known to be right.
    fn line_fault(&self, line: RawLine<'_>) -> Option<LineFault> {
        if let Some(fault) = line.end_fault() {
            return Some(fault);
        }
        if line.content.iter().any(|&byte| is_control(byte)) {
            return Some(LineFault::ControlCharacter);
        }
        // Also finds what the guess has trimmed off.
        let expected_len = b"GET".len() + 1 + self.target.len() + 1 + b"HTTP/1.1".len();
        (!is_target(self.target) || line.content.len() != expected_len).then_some(LineFault::Malformed)
    }
}

/// Whether `bytes` may stand as a request target: visible ASCII, no fragment (RFC 9112 §3.2).
pub(super) fn is_target(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'#')
}

fn first_host_fault(lines: RawLines<'_>) -> Option<HeadFault> {
    let mut hosts = values(lines, b"host");
    match (hosts.next(), hosts.next()) {
        (None, _) => Some(HeadFault::HostMissing),
        (Some(_), Some(_)) => Some(HeadFault::HostRepeated),
        (Some(host), None) => (!is_authority(host)).then_some(HeadFault::HostNotAnAuthority),
    }
}

fn first_body_fault(lines: RawLines<'_>) -> Option<HeadFault> {
    let mut lengths = values(lines.clone(), b"content-length");
    let announces_content = match (lengths.next(), lengths.next()) {
        (None, _) => false,
        (Some(length), None) => !is_zero_length(length),
        (Some(_), Some(_)) => true,
    };
    if announces_content {
        return Some(HeadFault::AnnouncedContent);
    }
    values(lines, b"transfer-encoding").next().map(|_| HeadFault::AnnouncedTransferEncoding)
}

/// Whether a Content-Length (RFC 9110 §8.6: digits) says that nothing follows.
pub(super) fn is_zero_length(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|&byte| byte == b'0')
}

/// The values of the fields called `name`, which is in lower case, up to the empty line.
fn values<'a>(lines: RawLines<'a>, name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    lines
        .take_while(|line| !line.content.is_empty())
        .filter_map(RawLine::field)
        .filter(|(field_name, _)| field_name.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::head::RequestHead;
    use crate::websocket::opening::check_request;

    /// The parts of an opening handshake, each of which can be spoilt without touching the others.
    #[derive(Clone)]
    struct Sketch {
        first: &'static str,
        method: &'static str,
        target: String,
        version: &'static str,
        host: &'static str,
        broken_line: &'static str,
        content_length: &'static str,
        transfer_encoding: &'static str,
        upgrade: &'static str,
        websocket_version: &'static str,
        key: &'static str,
        extensions: &'static str,
        filler: String,
    }

    impl Sketch {
        fn in_order() -> Self {
            Self {
                first: "",
                method: "GET",
                target: "/echo".to_owned(),
                version: " HTTP/1.1",
                host: "Host: a\r\n",
                broken_line: "",
                content_length: "",
                transfer_encoding: "",
                upgrade: "Upgrade: websocket\r\nConnection: upgrade\r\n",
                websocket_version: "Sec-WebSocket-Version: 13\r\n",
                key: "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                extensions: "",
                filler: String::new(),
            }
        }

        fn fault(&self) -> Option<HeadFault> {
            let lines = [
                self.broken_line,
                self.host,
                self.extensions,
                self.key,
                self.websocket_version,
                self.upgrade,
                self.transfer_encoding,
                self.content_length,
                &self.filler,
            ];
            let head = format!(
                "{}{} {}{}\r\n{}\r\n",
                self.first,
                self.method,
                self.target,
                self.version,
                lines.concat()
            );
            RequestHead::parse(Bytes::from(head)).and_then(|request| check_request(&request)).err()
        }
    }

    type Spoil = fn(&mut Sketch);

    /// Every fault that bytes can have, in the order in which they count. Spoils of the same line differ in their place.
    const ORDER: [(HeadFault, Spoil); 25] = [
        (HeadFault::SentNoHttp, |head| head.first = "\x16"),
        (HeadFault::HeadTooBig, |head| head.filler += &format!("X: {}\r\n", "x".repeat(HEAD_BYTES_MAX))),
        (HeadFault::TooManyHeaders, |head| head.filler += &"X: y\r\n".repeat(HEADERS_MAX)),
        (HeadFault::TargetTooLong, |head| head.target = "x".repeat(TARGET_BYTES_MAX + 1)),
        (HeadFault::NamedNoVersion, |head| head.version = ""),
        (HeadFault::AskedForHttp10, |head| head.version = " HTTP/1.0"),
        (HeadFault::AskedForOtherVersion, |head| head.version = " HTTP/2.0"),
        (HeadFault::MethodNotGet, |head| head.method = "POST"),
        (HeadFault::HostMissing, |head| head.host = ""),
        (HeadFault::HostRepeated, |head| head.host = "Host: a\r\nHost: a\r\n"),
        (HeadFault::HostNotAnAuthority, |head| head.host = "Host: a b\r\n"),
        (HeadFault::BrokenLine(LineFault::Folded), |head| head.broken_line = " folded\r\n"),
        (HeadFault::BrokenLine(LineFault::BareLineFeed), |head| head.broken_line = "X: y\n"),
        (HeadFault::BrokenLine(LineFault::BareCarriageReturn), |head| head.broken_line = "X: y\rz\r\n"),
        (HeadFault::BrokenLine(LineFault::ControlCharacter), |head| head.broken_line = "X: \0\r\n"),
        (HeadFault::BrokenLine(LineFault::SpaceBeforeColon), |head| head.broken_line = "X : y\r\n"),
        (HeadFault::BrokenLine(LineFault::Malformed), |head| head.broken_line = "X\r\n"),
        (HeadFault::AnnouncedContent, |head| head.content_length = "Content-Length: 5\r\n"),
        (HeadFault::AnnouncedTransferEncoding, |head| {
            head.transfer_encoding = "Transfer-Encoding: chunked\r\n"
        }),
        (HeadFault::NotAnUpgrade, |head| head.upgrade = ""),
        (HeadFault::AskedForOtherWebSocketVersion, |head| head.websocket_version = ""),
        (HeadFault::KeyMissing, |head| head.key = ""),
        (HeadFault::KeyMalformed, |head| head.key = "Sec-WebSocket-Key: x\r\n"),
        (HeadFault::ExtensionsMalformed, |head| head.extensions = "Sec-WebSocket-Extensions: ;\r\n"),
        (HeadFault::TargetHasNoPath, |head| head.target = "*".to_owned()),
    ];

    #[test]
    fn finds_no_fault_in_a_head_in_order() {
        assert_eq!(Sketch::in_order().fault(), None);
    }

    #[test]
    fn the_first_of_two_faults_answers() {
        for (first, (expected, spoil_first)) in ORDER.iter().enumerate() {
            for (other, spoil_other) in &ORDER[first..] {
                // The later fault first: where both spoil the same line, the earlier one has to be there.
                let mut head = Sketch::in_order();
                spoil_other(&mut head);
                spoil_first(&mut head);
                assert_eq!(head.fault(), Some(*expected), "with {other:?}");
            }
        }
    }

    #[test]
    fn the_first_of_all_faults_answers() {
        let mut head = Sketch::in_order();
        for (expected, spoil) in ORDER.iter().rev() {
            spoil(&mut head);
            assert_eq!(head.fault(), Some(*expected));
        }
    }

    #[test]
    fn looks_past_the_place_where_the_parser_stops() {
        let table: [(&[u8], HeadFault); 8] = [
            (b"POST / HTTP/1.1\nHost: a\n\n", HeadFault::MethodNotGet),
            (b"GET / HTTP/1.0\r\nHost: a\r\n folded\r\n\r\n", HeadFault::AskedForHttp10),
            (b"G\x01T / HTTP/1.1\r\n\r\n", HeadFault::MethodNotGet),
            (b"POST /a b HTTP/1.1\r\n\r\n", HeadFault::MethodNotGet),
            (b"GET / HTTP/3.0 \r\n\r\n", HeadFault::AskedForOtherVersion),
            (b"GET /\0 HTTP/1.1\r\nX\r\n\r\n", HeadFault::HostMissing),
            (b"GET / HTTP/1.1\r\nX\r\nHost: a b\r\n c\r\n\r\n", HeadFault::HostNotAnAuthority),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX\r\n\r\n",
                HeadFault::BrokenLine(LineFault::Malformed),
            ),
        ];
        for (head, expected) in table {
            assert_eq!(
                RequestHead::parse(Bytes::from_static(head)).err(),
                Some(expected),
                "{}",
                head.escape_ascii()
            );
        }
    }

    /// Heads near the border between good and bad: pieces of good ones, and bytes that matter in them.
    fn nearly_a_head() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            10 => prop::sample::select(vec![
                &b"Host: a\r\n"[..], b"X: y\r\n", b"X:\r\n", b"Content-Length: 0\r\n", b"a-b!c: \x80 \t z \r\n", b"",
            ]),
            1 => prop::sample::select(vec![
                &b"\r\n"[..], b"\n", b"\r", b" ", b"\t", b":", b"\0", b"\x7f", b"\xff", b"x", b"HTTP/1.1", b",", b"\"",
                b"Host:b\r\n", b" x\r\n", b"X : y\r\n", b"Content-Length: 1\r\n", b"Transfer-Encoding: x\r\n",
            ]),
        ]
        .prop_map(<[u8]>::to_vec);
        let request_line = prop_oneof![
            8 => Just(b"GET /a?b HTTP/1.1\r\n".to_vec()),
            1 => Just(b"\r\nGET /a?b HTTP/1.1\r\n".to_vec()),
            2 => "(\r\n)?GET /a HTTP/[0-3](.[0-9])?\r\n".prop_map(String::into_bytes),
            1 => "[!-~\\x7f\\x80]{1,6}".prop_map(|target| format!("GET {target} HTTP/1.1\r\n").into_bytes()),
            1 => "[\\x00-\\x7f]{0,3}G?E?T? {0,2}/?[\\x00-\\xff]{0,4} ?(HTTP/1.[0129])?\r?\n?".prop_map(String::into_bytes),
        ];
        let mutation = prop::option::weighted(0.4, (any::<prop::sample::Index>(), any::<u8>()));
        (request_line, prop::collection::vec(piece, 0..6), mutation).prop_map(|(line, pieces, mutation)| {
            let mut head = [line, b"Host: a\r\n".to_vec(), pieces.concat(), b"\r\n".to_vec()].concat();
            if let Some((index, byte)) = mutation {
                let index = index.index(head.len());
                head[index] = byte;
            }
            let end = crate::http1::find_head_end(&head, 0).unwrap_or(head.len());
            head.truncate(end);
            head
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 4096 }))]

        #[test]
        fn both_looks_at_a_head_agree(head in nearly_a_head()) {
            let parsed = RequestHead::parse(Bytes::from(head.clone()));
            if crate::http1::find_head_end(&head, 0) == Some(head.len()) {
                prop_assert_eq!(parsed.err(), first_fault(&head), "{}", head.escape_ascii());
            } else {
                prop_assert!(parsed.is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let parsed = RequestHead::parse(Bytes::from(bytes.clone()));
            prop_assert!(parsed.is_err() || first_fault(&bytes).is_none());
            let _ = first_fault_of_size(&bytes);
        }
    }
}
