//! The cost of the heads of one opening handshake: parse, check, encode.

use std::hint::black_box;
use std::net::IpAddr;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringgate::head::{HttpDate, RequestHead};
use ringgate::http1::encode::{Forwarded, encode_backend_request, encode_switching_protocols};
use ringgate::http1::{ResponseHead, find_head_end};
use ringgate::websocket::opening::{check_answer, check_request};

/// The request of a desktop browser: about 600 bytes.
const BROWSER_REQUEST: &str = "GET /chat/room?id=42 HTTP/1.1\r\n\
    Host: gateway.example.com:8080\r\n\
    Connection: Upgrade\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\n\
    Upgrade: websocket\r\n\
    Origin: https://app.example.com\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\n\
    Server: backend/1.0\r\n\
    Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

/// The browser's request with more fields, 40 in all.
fn request_with_40_headers() -> Bytes {
    let fields = BROWSER_REQUEST.lines().filter(|line| line.contains(": ")).count();
    let mut head = BROWSER_REQUEST.trim_end().to_owned();
    for index in fields..40 {
        head.push_str(&format!("\r\nX-Header-{index}: value-of-header-{index}"));
    }
    head.push_str("\r\n\r\n");
    Bytes::from(head)
}

fn parse_request(head: &Bytes) -> RequestHead {
    RequestHead::parse(head.clone()).expect("a head in order")
}

fn head_parsing(criterion: &mut Criterion) {
    let browser_request = Bytes::from_static(BROWSER_REQUEST.as_bytes());
    let long_request = request_with_40_headers();
    assert_eq!(parse_request(&long_request).headers().len(), 40);

    let mut group = criterion.benchmark_group("head_parsing");
    for (name, head) in [("request_browser", &browser_request), ("request_40_headers", &long_request)] {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| parse_request(black_box(head))));
    }

    // A refused head is looked at twice.
    let refused = Bytes::from(BROWSER_REQUEST.replace("Pragma:", "Pragma :"));
    group.throughput(Throughput::Bytes(refused.len() as u64));
    group.bench_function("request_refused", |bencher| {
        bencher.iter(|| RequestHead::parse(black_box(&refused).clone()).is_err())
    });

    let forwarded = Forwarded {
        client: IpAddr::from([192, 0, 2, 1]),
        proto: "https",
        host: "gateway.example.com",
        trace: None,
    };
    group.throughput(Throughput::Bytes(browser_request.len() as u64));
    group.bench_function("request_find_parse_check_encode", |bencher| {
        bencher.iter(|| {
            let end = find_head_end(black_box(&browser_request), 0).expect("a whole head");
            let request = parse_request(&browser_request.slice(..end));
            let offer = check_request(&request).expect("an opening handshake");
            (encode_backend_request(&request, "/socket/room?id=42", "backend:9001", &forwarded), offer)
        })
    });

    let answer = Bytes::from_static(ANSWER.as_bytes());
    group.throughput(Throughput::Bytes(answer.len() as u64));
    group.bench_function("response", |bencher| {
        bencher.iter(|| ResponseHead::parse(black_box(&answer).clone()).expect("a head in order"))
    });
    let offer = check_request(&parse_request(&browser_request)).expect("an opening handshake");
    let date = HttpDate::from_unix(1_700_000_000);
    group.bench_function("response_parse_check_encode", |bencher| {
        bencher.iter(|| {
            let head = ResponseHead::parse(black_box(&answer).clone()).expect("a head in order");
            let agreement = check_answer(&head, &offer).expect("an answer that fits");
            (encode_switching_protocols(&head, &date), agreement)
        })
    });
    group.finish();
}

criterion_group!(benches, head_parsing);
criterion_main!(benches);
