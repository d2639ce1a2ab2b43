//! The answer to a health check: whether this instance takes sessions.
//!
//! Not here: what counts as a health check (`http1::health_request`), and the connections that are read for it alone
//! (`kept_openings`).

use super::Front;
use super::opening::draining;
use super::stream::Network;
use crate::head::{Answer, Header, HttpDate, Method};
use crate::http1::HealthRequest;
use crate::http1::encode::encode_answer;
use bytes::Bytes;

/// The content of the answer while the instance serves.
const SERVING: &[u8] = b"serving\n";

impl<N: Network> Front<N> {
    /// The answer to a whole head, if it is a request for the health path. The connection ends behind it.
    pub(super) fn health_answer(&self, head: &Bytes) -> Option<Bytes> {
        let request = HealthRequest::parse(head, self.health_path.as_ref()?.as_str())?;
        let date = self.date.now();
        if self.is_draining() {
            return Some(draining().encode(Method::begun_by(head), &date));
        }
        Some(serving(request, &date))
    }
}

fn serving(request: HealthRequest, date: &HttpDate) -> Bytes {
    let allow = Header { name: "Allow", value: HealthRequest::METHODS.as_bytes() };
    let fields = [
        Header { name: "Content-Type", value: b"text/plain; charset=utf-8" },
        Header { name: "Cache-Control", value: b"no-store" },
    ];
    let fields = (request == HealthRequest::Options).then_some(allow).into_iter().chain(fields);
    let mut answer =
        encode_answer(Answer { status: 200, reason: b"OK", fields, body: SERVING }, date).freeze();
    if request == HealthRequest::Head {
        // RFC 9110 §9.3.2: the fields of a GET, and no content.
        answer.truncate(answer.len() - SERVING.len());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_that_it_serves_with_no_content_to_head_and_the_methods_to_options() {
        let date = HttpDate::from_unix(0);
        let told = |request| String::from_utf8(serving(request, &date).to_vec()).unwrap();
        let get = told(HealthRequest::Get);
        let fields = "Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n";
        assert!(get.starts_with("HTTP/1.1 200 OK\r\n") && get.contains(fields), "{get}");
        assert!(
            get.contains("\r\nContent-Length: 8\r\n") && get.contains("\r\nConnection: close\r\n"),
            "{get}"
        );
        assert!(get.ends_with("\r\n\r\nserving\n"), "{get}");
        assert_eq!(format!("{}serving\n", told(HealthRequest::Head)), get);
        let options = told(HealthRequest::Options);
        assert_eq!(options.replace("Allow: GET, HEAD, OPTIONS\r\n", ""), get);
        assert_ne!(options, get);
    }
}
