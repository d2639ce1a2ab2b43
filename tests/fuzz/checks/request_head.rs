//! A client's head: what is let through has one meaning, and what is made of it for the backend has the same.

use bytes::Bytes;
use ringgate::head::{Headers, HttpDate, Method, RequestHead, Target};
use ringgate::http1::encode::{Forwarded, encode_backend_request, encode_refusal};
use ringgate::http1::find_head_end;
use ringgate::http1::request::{check_incomplete_head, late_head_fault};
use ringgate::websocket::opening::{accept_value, check_request};
use std::net::{IpAddr, Ipv4Addr};

/// `input` is what a client sends.
pub fn check(input: &[u8]) {
    let Some(end) = find_head_end(input, 0) else {
        if check_incomplete_head(input).is_ok() {
            assert!((400..=599).contains(&late_head_fault(input).status()));
        }
        return;
    };
    for searched in 0..end {
        assert_eq!(find_head_end(input, searched.saturating_sub(3)).map(|found| found <= end), Some(true));
    }
    let parsed = RequestHead::parse(Bytes::copy_from_slice(&input[..end]));
    let request = match parsed {
        Ok(request) => request,
        Err(fault) => {
            assert!((400..=599).contains(&fault.status()), "{fault:?}");
            let method = Method::begun_by(input);
            let refusal = encode_refusal(
                fault.status(),
                fault.response_headers(),
                fault.message(),
                method,
                &HttpDate::from_unix(0),
            );
            let head_end = find_head_end(&refusal, 0).expect("a head");
            assert_eq!(head_end == refusal.len(), method == Method::Head, "no body to HEAD");
            return;
        }
    };
    for cut in 0..end {
        assert_eq!(find_head_end(&input[..cut], 0), None, "a head that ends twice");
        assert!(
            check_incomplete_head(&input[..cut]).is_ok(),
            "refused while it comes, let through as a whole"
        );
    }
    check_fields(request.headers());
    assert!(!request.headers().contains("transfer-encoding"), "a body would be the next request");
    let path_and_query = match request.target() {
        Target::Origin { path, query } => {
            assert!(path.starts_with('/'));
            query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
        }
        Target::Asterisk | Target::Other => return,
    };
    let offer = check_request(&request);
    let forwarded = Forwarded {
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        proto: "http",
        host: request.host(),
        trace: None,
    };
    let made = encode_backend_request(&request, &path_and_query, "backend:81", &forwarded).freeze();
    assert_eq!(find_head_end(&made, 0), Some(made.len()), "one head, and nothing behind it");
    // Ours may exceed the bounds of a head by what is added to it.
    let Ok(again) = RequestHead::parse(made.clone()) else {
        assert!(end + 256 > 16 * 1024 || request.headers().len() > 90, "{made:?}");
        return;
    };
    assert_eq!(again.host(), "backend:81");
    assert_eq!(again.headers().get_all("connection").collect::<Vec<_>>(), [b"Upgrade"]);
    for absent in ["transfer-encoding", "content-length", "te", "trailer", "keep-alive", "proxy-connection"] {
        assert!(!again.headers().contains(absent), "{absent} goes to the backend");
    }
    let last = again.headers().get_all("x-forwarded-for").last().expect("the client's address");
    assert!(last.ends_with(b"127.0.0.1"));
    if let Ok(offer) = offer {
        let same = check_request(&again).expect("a backend sees the handshake that was checked");
        assert_eq!(same, offer);
        assert_eq!(accept_value(offer.key()).len(), 28);
    }
}

/// No field can become two, on either leg.
pub fn check_fields(headers: &Headers) {
    for header in headers.iter() {
        assert!(!header.name.is_empty());
        assert!(header.name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'), "{:?}", header.name);
        assert!(header.value.iter().all(|byte| !matches!(byte, b'\r' | b'\n' | 0)), "{:?}", header.value);
        assert!(!header.value.starts_with(b" ") && !header.value.ends_with(b" "));
    }
}
