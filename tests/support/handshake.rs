//! An opening handshake that a test can spoil part by part, and what a refusal of it looks like.

use super::PATIENCE;
use super::raw::{KEY, Raw, StreamEnd, header};
use ringgate::head::HttpDate;

/// A request head in parts. As it begins it is a correct handshake for `/t`.
#[derive(Clone)]
pub struct Handshake {
    pub method: &'static str,
    pub target: String,
    pub version: &'static str,
    /// Header lines without their ends.
    pub lines: Vec<String>,
}

impl Handshake {
    pub fn new(target: &str) -> Self {
        let lines = [
            "Host: gateway.example".to_owned(),
            "Upgrade: websocket".to_owned(),
            "Connection: Upgrade".to_owned(),
            "Sec-WebSocket-Version: 13".to_owned(),
            format!("Sec-WebSocket-Key: {KEY}"),
        ];
        Self { method: "GET", target: target.to_owned(), version: "HTTP/1.1", lines: lines.to_vec() }
    }

    /// Without the lines of a field.
    pub fn without(mut self, name: &str) -> Self {
        let is_it =
            |line: &String| line.split(':').next().is_some_and(|found| found.eq_ignore_ascii_case(name));
        self.lines.retain(|line| !is_it(line));
        self
    }

    /// With one more line.
    pub fn with(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// With this line in the place of those of the same field.
    pub fn with_only(self, line: &str) -> Self {
        self.without(line.split(':').next().unwrap_or_default()).with(line)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut head = format!("{} {} {}\r\n", self.method, self.target, self.version);
        for line in &self.lines {
            head.push_str(line);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// A head without its Date, which is there once and of now (RFC 9110 §6.6.1).
pub fn without_date(head: &str) -> String {
    let (dates, others): (Vec<&str>, Vec<&str>) =
        head.split_inclusive('\n').partition(|line| line.to_ascii_lowercase().starts_with("date:"));
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let is_of = |second: u64| {
        dates
            .iter()
            .map(|line| line.trim_end())
            .eq([format!("Date: {}", HttpDate::from_unix(second)).as_str()])
    };
    assert!((now - PATIENCE.as_secs()..=now).rev().any(is_of), "{head}");
    others.concat()
}

/// Reads a refusal of ringgate's own to its orderly end, and gives its head.
///
/// Every refusal has the same body, says that it is the last answer, and leaves the client time to read it: what the
/// client sends after it is still taken.
pub fn read_refusal(client: &mut Raw, status: u16, message: &str) -> String {
    read_refusal_of("GET", client, status, message)
}

/// The same of a request with this method: the answer to HEAD has neither a body nor its length (RFC 9110 §9.3.2, §8.6).
pub fn read_refusal_of(method: &str, client: &mut Raw, status: u16, message: &str) -> String {
    let (bytes, end) = client.read_to_end();
    let text = String::from_utf8(bytes).expect("a refusal in ASCII");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "expected {status} {message}: {text}");
    if method == "HEAD" {
        assert_eq!((body, header(head, "Content-Length")), ("", None), "{text}");
    } else {
        assert_eq!(body, format!("{{ \"statusCode\": {status}, \"message\": \"{message}\" }}"));
        assert_eq!(header(head, "Content-Length"), Some(body.len().to_string().as_str()), "{head}");
    }
    assert_eq!(header(head, "Content-Type"), Some("application/json"), "{head}");
    without_date(head);
    let connection = if status == 426 { "upgrade, close" } else { "close" };
    assert_eq!(header(head, "Connection"), Some(connection), "{head}");
    assert_eq!(end, StreamEnd::Fin, "{head}");
    // A gateway that had closed would answer the first of these with a reset, and the second would fail.
    assert!(client.try_send(b"late") && client.try_send(b"later"), "nobody reads behind the answer: {head}");
    head.to_owned()
}

/// Whether a head tells its client to come again, at a time that is not everybody's.
pub fn is_to_come_again(head: &str) -> bool {
    header(head, "Retry-After").is_some_and(|seconds| matches!(seconds.parse(), Ok(5..=9)))
}
