//! A backend's answer: what is let through has one meaning, and a body is the same however it is cut.

use super::cut;
use super::request_head::check_fields;
use bytes::Bytes;
use ringgate::head::{HttpDate, RequestHead};
use ringgate::http1::chunked::{ChunkedDecoder, ChunkedProgress};
use ringgate::http1::encode::{PassedOnBody, encode_passed_on_head, encode_switching_protocols};
use ringgate::http1::response::check_incomplete_head;
use ringgate::http1::{AnswerFault, BodyLength, ResponseHead, find_head_end};
use ringgate::websocket::opening::{check_answer, check_request};

const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
     Sec-WebSocket-Protocol: one, two\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

/// `input` is what a backend sends.
pub fn check(input: &[u8]) {
    let Some(end) = find_head_end(input, 0) else {
        let _ = check_incomplete_head(input);
        return;
    };
    let (head, body) = input.split_at(end);
    let Ok(answer) = ResponseHead::parse(Bytes::copy_from_slice(head)) else { return };
    for cut in 0..end {
        assert!(
            check_incomplete_head(&input[..cut]).is_ok(),
            "refused while it comes, let through as a whole"
        );
    }
    assert!((100..600).contains(&answer.status()));
    check_fields(answer.headers());
    let date = HttpDate::from_unix(0);
    check_made(&encode_passed_on_head(&answer, PassedOnBody::Whole(0), &date).freeze());

    let request = RequestHead::parse(Bytes::from_static(HANDSHAKE.as_bytes())).expect("a request");
    let offer = check_request(&request).expect("a handshake");
    if check_answer(&answer, &offer).is_ok() {
        assert_eq!(answer.status(), 101);
        let made = encode_switching_protocols(&answer, &date).freeze();
        check_made(&made);
        let again = ResponseHead::parse(made).expect("the client's 101");
        assert_eq!(check_answer(&again, &offer), check_answer(&answer, &offer));
    }
    if answer.body_length() == Ok(BodyLength::Chunked) {
        check_chunked(body);
    }
}

/// One head, and nothing in it that could make it two.
fn check_made(made: &Bytes) {
    assert_eq!(find_head_end(made, 0), Some(made.len()), "{made:?}");
    if let Ok(head) = ResponseHead::parse(made.clone()) {
        check_fields(head.headers());
        assert!(!head.headers().contains("transfer-encoding"));
        assert!(head.headers().get_all("content-length").count() <= 1);
    }
}

fn check_chunked(body: &[u8]) {
    let whole = decode(&[body]);
    for choices in [&[1][..], &[1, 1, 1, 1, 1, 1, 1, 1], &[2, 3, 5, 7], &[16, 1, 1]] {
        assert_eq!(decode(&cut(body, choices)), whole, "cut by {choices:?}");
    }
}

/// The payload, and how many bytes the body had, if it ended.
fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, Option<usize>), AnswerFault> {
    let (mut decoder, mut payload, mut before) = (ChunkedDecoder::new(), Vec::new(), 0);
    for piece in pieces {
        if let ChunkedProgress::Done { consumed } = decoder.decode(piece, &mut payload)? {
            return Ok((payload, Some(before + consumed)));
        }
        before += piece.len();
    }
    Ok((payload, None))
}
