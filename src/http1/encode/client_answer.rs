//! Answers to a client: the 101, a refusal, or the backend's own answer.
//!
//! Each has a Date: the one that came, the one that a policy set, or the one that is passed in (RFC 9110 §6.6.1).

use bytes::{BufMut as _, BytesMut};

use super::{fields_bytes, put_field};
use crate::head::forwarding::visible_to_policies;
use crate::head::forwarding::without_hop_by_hop;
use crate::head::status::{error_body, reason_phrase};
use crate::head::{Answer, Header, HttpDate, Method};
use crate::http1::response::ResponseHead;

/// Encodes the client's 101 out of the backend's, which `websocket::opening::check_answer` has accepted.
pub fn encode_switching_protocols(answer: &ResponseHead, date: &HttpDate) -> BytesMut {
    encode_switching_protocols_of(visible_to_policies(answer.headers()), date)
}

/// The same, of fields that policies may have changed.
pub fn encode_switching_protocols_of<'h>(
    fields: impl Iterator<Item = Header<'h>> + Clone,
    date: &HttpDate,
) -> BytesMut {
    let fields = without_hop_by_hop(fields);
    let mut head = BytesMut::with_capacity(fields_bytes(fields.clone()) + ADDED_BYTES);
    head.put_slice(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
    put_fields(&mut head, fields, date);
    head.put_slice(b"\r\n");
    head
}

/// Encodes an answer of a policy's making, head and body. The connection ends behind it.
pub fn encode_answer<'h>(
    Answer { status, reason, fields, body }: Answer<'_, impl Iterator<Item = Header<'h>> + Clone>,
    date: &HttpDate,
) -> BytesMut {
    let fields = without_hop_by_hop(fields);
    let has_body = status != 204 && status != 304;
    let body = if has_body { body } else { b"" };
    let mut answer =
        BytesMut::with_capacity(fields_bytes(fields.clone()) + reason.len() + body.len() + ADDED_BYTES);
    put_status_line(&mut answer, status, reason);
    put_fields(&mut answer, fields, date);
    if has_body {
        put_field(&mut answer, "Content-Length", body.len().to_string().as_bytes());
    }
    if status == 426 {
        put_field(&mut answer, "Upgrade", b"websocket");
    }
    put_closing_connection(&mut answer, status);
    answer.put_slice(b"\r\n");
    answer.put_slice(body);
    answer
}

/// Encodes a refusal of a request with `method`, head and JSON body. The connection ends behind it.
///
/// `extra_headers` are ours (`Allow`, `Retry-After`, `Upgrade`, …): no CR, LF or NUL in them.
pub fn encode_refusal(
    status: u16,
    extra_headers: &[(&str, &str)],
    message: &str,
    method: Method,
    date: &HttpDate,
) -> BytesMut {
    debug_assert!(extra_headers.iter().all(|(_, value)| !value.bytes().any(|byte| byte.is_ascii_control())));
    let body = error_body(status, message);
    let mut answer = BytesMut::with_capacity(body.len() + ADDED_BYTES);
    put_status_line(&mut answer, status, reason_phrase(status).as_bytes());
    for (name, value) in extra_headers {
        put_field(&mut answer, name, value.as_bytes());
    }
    put_field(&mut answer, "Content-Type", b"application/json");
    put_field(&mut answer, "Date", date.as_bytes());
    match method {
        Method::Other => {
            put_field(&mut answer, "Content-Length", body.len().to_string().as_bytes());
            put_closing_connection(&mut answer, status);
            answer.put_slice(b"\r\n");
            answer.put_slice(body.as_bytes());
        }
        // RFC 9110 §9.3.2, §8.6: no content, and no length that a GET might not have had.
        Method::Head => {
            put_closing_connection(&mut answer, status);
            answer.put_slice(b"\r\n");
        }
    }
    answer
}

/// The body of a backend's answer that is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedOnBody {
    /// Nothing, as the status says (1xx, 204, 304).
    NoBody,
    /// All of it, this many bytes, however the backend framed it.
    Whole(u64),
    /// Less than the backend declared: its Content-Length stays, and the shell resets when it has sent what it has.
    TruncatedLength(u64),
    /// The beginning of a body of unknown length: one chunk (`encode_chunk`), no last chunk, then a reset.
    TruncatedChunked,
}

/// Encodes the head of a backend's answer other than 101. The connection ends behind its body.
pub fn encode_passed_on_head(answer: &ResponseHead, body: PassedOnBody, date: &HttpDate) -> BytesMut {
    let fields = visible_to_policies(answer.headers());
    encode_passed_on_head_of(answer.status(), answer.reason(), fields, body, date)
}

/// The same, of a status and fields that policies may have changed.
pub fn encode_passed_on_head_of<'h>(
    status: u16,
    reason: &[u8],
    fields: impl Iterator<Item = Header<'h>> + Clone,
    body: PassedOnBody,
    date: &HttpDate,
) -> BytesMut {
    let fields = without_hop_by_hop(fields);
    let mut head = BytesMut::with_capacity(fields_bytes(fields.clone()) + reason.len() + ADDED_BYTES);
    put_status_line(&mut head, status, reason);
    put_fields(&mut head, fields, date);
    match body {
        PassedOnBody::NoBody => {}
        PassedOnBody::Whole(bytes) | PassedOnBody::TruncatedLength(bytes) => {
            put_field(&mut head, "Content-Length", bytes.to_string().as_bytes());
        }
        PassedOnBody::TruncatedChunked => put_field(&mut head, "Transfer-Encoding", b"chunked"),
    }
    if status == 426 {
        // RFC 9110 §15.5.22: a 426 says to what to upgrade; the backend's own Upgrade was hop-by-hop.
        put_field(&mut head, "Upgrade", b"websocket");
    }
    put_closing_connection(&mut head, status);
    head.put_slice(b"\r\n");
    head
}

/// Encodes one chunk (RFC 9112 §7.1). `payload` is not empty: an empty chunk would end the body.
pub fn encode_chunk(payload: &[u8]) -> BytesMut {
    debug_assert!(!payload.is_empty());
    let mut chunk = BytesMut::with_capacity(payload.len() + 20);
    chunk.put_slice(format!("{:x}\r\n", payload.len()).as_bytes());
    chunk.put_slice(payload);
    chunk.put_slice(b"\r\n");
    chunk
}

/// Room for the fields that an answer gains.
const ADDED_BYTES: usize = 256;

fn put_status_line(head: &mut BytesMut, status: u16, reason: &[u8]) {
    head.put_slice(b"HTTP/1.1 ");
    head.put_slice(status.to_string().as_bytes());
    head.put_slice(b" ");
    head.put_slice(reason);
    head.put_slice(b"\r\n");
}

/// Writes the fields, and the date if there is none among them.
fn put_fields<'h>(head: &mut BytesMut, fields: impl Iterator<Item = Header<'h>>, date: &HttpDate) {
    let mut has_date = false;
    for header in fields {
        has_date |= header.is("date");
        put_field(head, header.name, header.value);
    }
    if !has_date {
        put_field(head, "Date", date.as_bytes());
    }
}

/// RFC 9110 §7.8: who sends Upgrade names it in Connection.
fn put_closing_connection(head: &mut BytesMut, status: u16) {
    put_field(head, "Connection", if status == 426 { b"upgrade, close" } else { b"close" });
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::http1::{AnswerFault, HeadFault, LineFault};

    /// That of the example in RFC 9110 §5.6.7.
    fn date() -> HttpDate {
        HttpDate::from_unix(784_111_777)
    }

    fn text(bytes: &BytesMut) -> &str {
        str::from_utf8(bytes).expect("ASCII")
    }

    fn answer(head: &str) -> ResponseHead {
        ResponseHead::parse(Bytes::from(head.to_owned())).expect("a head in order")
    }

    #[test]
    fn passes_the_switch_on_with_the_backends_fields() {
        let switch = answer(
            "HTTP/1.1 101 Sure\r\nserver: x\r\nupgrade: WEBSOCKET\r\nConnection: upgrade, x-hop\r\nX-Hop: 1\r\n\
             Sec-WEBSOCKET-Accept: y\r\nKeep-Alive: 5\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n",
        );
        assert_eq!(
            text(&encode_switching_protocols(&switch, &date())),
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nserver: x\r\n\
             Sec-WEBSOCKET-Accept: y\r\nSet-Cookie: a\r\nset-cookie: b\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
        );
    }

    #[test]
    fn refuses_in_json_and_closes() {
        assert_eq!(
            text(&encode_refusal(404, &[], "Resource not found", Method::Other, &date())),
            "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 54\r\n\
             Connection: close\r\n\r\n{ \"statusCode\": 404, \"message\": \"Resource not found\" }"
        );
        let busy = encode_refusal(503, &[("Retry-After", "5")], "Busy", Method::Other, &date());
        assert!(text(&busy).starts_with("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n"));
    }

    #[test]
    fn escapes_the_message() {
        let refusal = encode_refusal(400, &[], "a \"b\" \\ \r\n \u{1} \u{e4}", Method::Other, &date());
        let (head, body) = text(&refusal).split_once("\r\n\r\n").expect("an empty line");
        assert_eq!(body, "{ \"statusCode\": 400, \"message\": \"a \\\"b\\\" \\\\ \\r\\n \\u0001 \u{e4}\" }");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }

    #[test]
    fn every_refusal_parses_back_with_exactly_one_connection_line() {
        let faults = [
            (HeadFault::SentNoHttp, "Bad Request", "close"),
            (HeadFault::HeadTooBig, "Request Header Fields Too Large", "close"),
            (HeadFault::TargetTooLong, "URI Too Long", "close"),
            (HeadFault::NotInTime, "Request Timeout", "close"),
            (HeadFault::AskedForHttp10, "Upgrade Required", "upgrade, close"),
            (HeadFault::AskedForOtherVersion, "HTTP Version Not Supported", "close"),
            (HeadFault::MethodNotGet, "Method Not Allowed", "close"),
            (HeadFault::BrokenLine(LineFault::Folded), "Bad Request", "close"),
            (HeadFault::NotAnUpgrade, "Upgrade Required", "upgrade, close"),
            (HeadFault::AskedForOtherWebSocketVersion, "Upgrade Required", "upgrade, close"),
        ];
        for (fault, reason, connection) in faults {
            let refusal = |method| {
                encode_refusal(fault.status(), fault.response_headers(), fault.message(), method, &date())
            };
            let [with_body, without] = [Method::Other, Method::Head].map(refusal);
            let end = text(&with_body).find("{ ").expect("a body");
            let head = answer(&text(&with_body)[..end]);
            // The same to HEAD, but for the body and its length.
            let length = format!("Content-Length: {}\r\n", with_body.len() - end);
            assert_eq!(text(&without), text(&with_body)[..end].replace(&length, ""));
            assert_eq!((head.status(), head.reason()), (fault.status(), reason.as_bytes()));
            assert_eq!(head.headers().get_all("connection").collect::<Vec<_>>(), [connection.as_bytes()]);
            for (name, value) in fault.response_headers() {
                assert_eq!(head.headers().get_all(name).collect::<Vec<_>>(), [value.as_bytes()]);
            }
        }
        assert_eq!(HeadFault::MethodNotGet.response_headers(), [("Allow", "GET")]);
        assert_eq!(
            HeadFault::AskedForOtherWebSocketVersion.response_headers(),
            [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
        );
    }

    #[test]
    fn passes_a_refusal_on_with_a_length_of_its_own() {
        let refusal = answer(
            "HTTP/1.1 403 No Way\r\nServer: x\r\nTransfer-Encoding: chunked\r\nTrailer: y\r\nKeep-Alive: 1\r\n\
             Connection: keep-alive\r\nWWW-authenticate: z\r\n\r\n",
        );
        let kept = "HTTP/1.1 403 No Way\r\nServer: x\r\nWWW-authenticate: z\r\n\
                    Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        let table = [
            (PassedOnBody::NoBody, ""),
            (PassedOnBody::Whole(0), "Content-Length: 0\r\n"),
            (PassedOnBody::Whole(7), "Content-Length: 7\r\n"),
            (PassedOnBody::TruncatedLength(70_000), "Content-Length: 70000\r\n"),
            (PassedOnBody::TruncatedChunked, "Transfer-Encoding: chunked\r\n"),
        ];
        for (body, framing) in table {
            let expected = format!("{kept}{framing}Connection: close\r\n\r\n");
            assert_eq!(text(&encode_passed_on_head(&refusal, body, &date())), expected, "{body:?}");
        }
    }

    #[test]
    fn a_426_that_is_passed_on_says_to_what_to_upgrade() {
        let refusal =
            answer("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
        assert_eq!(
            text(&encode_passed_on_head(&refusal, PassedOnBody::Whole(0), &date())),
            "HTTP/1.1 426 Upgrade Required\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\
             Upgrade: websocket\r\n\
             Connection: upgrade, close\r\n\r\n"
        );
    }

    #[test]
    fn a_date_that_came_stays_and_stands_alone() {
        let head = |status: &str, lines: &str| answer(&format!("HTTP/1.1 {status} X\r\n{lines}\r\n"));
        let came = "DATE: Mon, 07 Nov 1994 08:49:37 GMT\r\n";
        let made = [
            encode_switching_protocols(&head("101", came), &date()),
            encode_passed_on_head(&head("403", came), PassedOnBody::NoBody, &date()),
            encode_answer(
                Answer { status: 403, reason: b"No", fields: head("403", came).headers().iter(), body: b"x" },
                &date(),
            ),
        ];
        for made in &made {
            assert!(text(made).contains(came) && !text(made).contains("Sun, 06"), "{}", text(made));
        }
        // Connection takes out the one that came (RFC 9110 §7.6.1), and the answer has one all the same.
        let nominated = head("403", &format!("{came}Connection: date\r\n"));
        let made = encode_passed_on_head(&nominated, PassedOnBody::NoBody, &date());
        assert!(text(&made).contains("\r\nDate: Sun, 06 Nov 1994"), "{}", text(&made));
        assert!(!text(&made).contains(came), "{}", text(&made));
    }

    #[test]
    fn an_encoded_chunk_decodes_to_its_payload() -> Result<(), AnswerFault> {
        let mut payload = Vec::new();
        let chunk = encode_chunk(&[b'x'; 300]);
        assert!(chunk.starts_with(b"12c\r\n"));
        crate::http1::chunked::ChunkedDecoder::new().decode(&chunk, &mut payload)?;
        assert_eq!(payload, [b'x'; 300]);
        Ok(())
    }
}
