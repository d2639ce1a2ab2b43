//! Policy documents: any text compiles or is refused with faults that say where; what compiles runs over a handshake to an
//! end, and whatever it did, what leaves are heads that mean one thing.

use bytes::Bytes;
use ringgate::catalog::access::Access;
use ringgate::catalog::{CatalogFiles, Fault};
use ringgate::compiled::{Snapshot, compile};
use ringgate::head::{Header, HttpDate, RequestHead, Target};
use ringgate::http1::ResponseHead;
use ringgate::http1::encode::encode_answer;
use ringgate::policy::contract::{PolicyHost, TraceLine};
use ringgate::policy::exchange::{EvaluationTime, Exchange, ExchangeParts, Fields, Response};
use ringgate::policy::expression::{DateTime, ExpressionHost, Guid, TimeSpan};
use ringgate::policy::failure::Failure;
use ringgate::policy::guards::Guards;
use ringgate::policy::machine::{Yield, start};
use ringgate::shared_counts::policy_guards::PolicyGuards;

const API: &str = "display_name = \"A\"\nurl = \"ws://backend:9001/socket\"\nsuffix = \"a\"\nsubscription_required = false\n";

const NAMED_VALUES: &str =
    "[host]\nvalue = \"h&<x>\\\"\"\n\n[secret]\nvalue = \"\u{10fffd}hush\"\nsecret = true\n";

const FRAGMENT: &str =
    "<fragment><set-header name='X-Fragment'><value>{{secret}}</value></set-header></fragment>";

const SECRET: &str = "\u{10fffd}hush";

#[derive(Default)]
struct Silent {
    guards: PolicyGuards,
    steps: usize,
}

impl ExpressionHost for Silent {
    fn random_bits(&mut self) -> u64 {
        0x0123_4567_89ab_cdef
    }

    fn trace(&mut self, _: &str) {}
}

impl PolicyHost for Silent {
    fn guards(&self) -> Guards<'_> {
        self.guards.at(0)
    }

    fn log(&mut self, line: TraceLine) {
        let line = line.on_one_line();
        assert!(!line.contains(char::is_control), "a line of the log is one line: {line:?}");
    }

    fn begins(&mut self, _: &ringgate::policy::contract::Step, _: &Exchange) {
        self.steps += 1;
    }
}

/// `input` is the text of an API's document.
pub fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let mut files = CatalogFiles::default();
    files.insert("apis/a.toml", API);
    files.insert("named-values.toml", NAMED_VALUES);
    files.insert("policies/fragments/common.xml", FRAGMENT);
    files.insert("policies/apis/a.xml", text);
    match compile(&files, None) {
        Ok(snapshot) => {
            let answers = [
                || Ok(Response::of_backend(101, b"Switching Protocols", fields())),
                || Ok(Response::of_backend(503, b"Busy", fields())),
                || Err(Failure::of_timeout(504, "the backend did not answer in time")),
            ];
            answers.into_iter().for_each(|answer| run(&snapshot, text, answer));
        }
        Err(faults) => {
            assert!(!faults.is_empty(), "refused, and no reason given");
            faults.iter().for_each(|fault| check_fault(fault, text));
        }
    }
}

fn check_fault(fault: &Fault, text: &str) {
    let shown = fault.to_string();
    assert!(!shown.contains(char::is_control), "one fault is one line: {shown:?}");
    assert!(text.contains(SECRET) || !shown.contains(SECRET), "{shown}");
    let (Some(line), Some(column)) = (fault.line, fault.column.map(|column| column as usize)) else { return };
    let at = text.split('\n').nth(line - 1);
    let at = at.unwrap_or_else(|| panic!("{shown}: there is no such line"));
    assert!((1..=at.chars().count() + 1).contains(&column), "{shown}: there is no such column");
}

fn fields() -> Fields {
    let given = [("Server", "b"), ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), ("X", "1")];
    Fields::of(given.iter().map(|(name, value)| Header { name, value: value.as_bytes() }))
}

fn run(snapshot: &Snapshot, text: &str, answer: fn() -> Result<Response, Failure>) {
    let api = &snapshot.served()[0];
    let access = Access::default();
    let pipeline = snapshot.policies_of(api, &access).expect("a document applies");
    assert!(
        text.contains(SECRET) || !pipeline.to_string().contains(SECRET),
        "the compiled form shows a secret"
    );
    let head = "GET /a/room?a=1&b=%20&a=2 HTTP/1.1\r\nHost: gateway.example\r\nX-One: 1\r\nx-one: 2\r\n\
                Cookie: a=b\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let request = RequestHead::parse(Bytes::from_static(head.as_bytes())).expect("a head");
    let Target::Origin { path, .. } = request.target() else { panic!("a path") };
    let now = DateTime::from_unix_seconds(1_800_000_000).expect("a moment");
    let mut exchange = Exchange::new(&ExchangeParts {
        request: &request,
        scheme: "https",
        rest: &path[2..],
        api,
        api_path: "a",
        access: &access,
        client: [192, 0, 2, 1].into(),
        certificate: None,
        gateway: "",
        request_id: Guid([7; 16]),
        timestamp: now,
    });
    let moment = EvaluationTime { now, elapsed: TimeSpan(0) };
    let mut outside = Silent::default();
    let mut turn = start(pipeline, &mut exchange, moment, &mut outside);
    if let Yield::Dial(dialling) = turn {
        check_request(&exchange);
        turn = dialling.resume(answer(), &mut exchange, moment, &mut outside);
    }
    match turn {
        Yield::PassOn => {
            let response = exchange.response.as_ref().expect("the backend's answer");
            check_fields(&response.fields);
        }
        Yield::Respond(response) => check_answer(&response),
        Yield::Dial(_) => panic!("the backend is dialled once"),
    }
    let written = pipeline.to_string().lines().count();
    assert!(outside.steps <= written, "no step runs twice");
}

/// Checks that the request to the backend has one target and fields of one line each, and that the handshake's own fields are
/// unchanged.
fn check_request(exchange: &Exchange) {
    let target = exchange.target();
    assert!(target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic()), "{target:?}");
    assert!(!target.contains('#'), "{target:?}");
    check_fields(&exchange.request);
    let keys: Vec<&str> = exchange.request.get_all("sec-websocket-key").collect();
    assert_eq!(keys, ["dGhlIHNhbXBsZSBub25jZQ=="]);
}

fn check_fields(fields: &Fields) {
    for field in fields.iter() {
        assert!(!field.name.is_empty() && field.name.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(!field.value.iter().any(|byte| b"\r\n\0".contains(byte)), "{}", field.name);
    }
}

/// An answer is one head, which says where its body ends.
fn check_answer(response: &Response) {
    let bytes = encode_answer(response.answer(), &HttpDate::from_unix(0)).freeze();
    assert_ne!(response.status, 101, "only a backend opens a session");
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head ends") + 4;
    let head = ResponseHead::parse(bytes.slice(..end)).expect("a head that a client can read");
    let lengths: Vec<&[u8]> = head.headers().get_all("Content-Length").collect();
    if matches!(response.status, 204 | 304) {
        // RFC 9110 §8.6: none in a 204; neither has a body.
        assert_eq!((lengths.len(), bytes.len()), (0, end));
        return;
    }
    assert_eq!(lengths, [(bytes.len() - end).to_string().as_bytes()]);
}
