//! One made-up handshake, which each test changes as it needs.

use core::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;

use crate::catalog::access::Access;
use crate::catalog::product::parse_product;
use crate::catalog::subscription::{Subscription, parse_subscription};
use crate::catalog::{Api, CatalogFiles, Fault, parse_api};
use crate::compiled::compile;
use crate::head::{Header, HttpDate, RequestHead, Target};
use crate::http1::encode::encode_answer;
use crate::policy::contract::{PolicyHost, Step, TraceLine};
use crate::policy::exchange::{EvaluationTime, Exchange, ExchangeParts, Fields, Response};
use crate::policy::expression::{DateTime, ExpressionHost, Guid, TimeSpan};
use crate::policy::failure::{Failure, ThrownAt};
use crate::policy::guards::Guards;
use crate::policy::machine::{Yield, start};
use crate::policy::slot::{Slot, Slots as _};
use crate::shared_counts::policy_guards::PolicyGuards;

/// A handshake, and the documents of a catalogue with one API in one product.
#[derive(Clone)]
pub(super) struct Scene {
    files: CatalogFiles,
    head: String,
    client: IpAddr,
    in_product: bool,
    answer: Answer,
    /// Those of a process: scenes that were cloned share them.
    guards: Arc<PolicyGuards>,
    /// The slots that others hold.
    held: Arc<Vec<Slot>>,
    monotonic_ms: i64,
    now: DateTime,
    subscription: Option<Arc<Subscription>>,
}

#[derive(Clone)]
enum Answer {
    Status(u16, &'static [(&'static str, &'static str)]),
    Unreachable,
    Silent,
}

/// The outcome of a handshake.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The request to the backend: the target, then the fields. Empty: there was none.
    pub(super) asked: String,
    /// Where it was asked.
    pub(super) backend: String,
    /// Milliseconds for its answer, if the policies say how many.
    pub(super) answer_timeout_ms: Option<u64>,
    /// The answer to the client, head and body; `passed on: …` if it was the backend's.
    pub(super) answered: String,
    /// The traced lines.
    pub(super) log: Vec<String>,
    /// The expressions that threw: the step, the place in the document, exception and message.
    pub(super) threw: Vec<String>,
    /// `LastError`.
    pub(super) last_error: Option<crate::policy::exchange::LastError>,
    /// Slots that it holds in the end.
    pub(super) slots: usize,
}

const API: &str = "display_name = \"Chat\"\nurl = \"ws://backend:9001/socket\"\nsuffix = \"chat\"\n\
                   products = [\"starter\"]\nsubscription_required = false\n";

impl Scene {
    /// Without documents.
    pub(super) fn new() -> Self {
        let mut files = CatalogFiles::default();
        files.insert("apis/chat.toml", API);
        files.insert("products/starter.toml", "display_name = \"Starter\"");
        Self {
            files,
            head: "GET /chat/room?a=1&b=2 HTTP/1.1\r\nHost: gateway.example:8080\r\nX-One: 1\r\n".to_owned(),
            client: Ipv4Addr::new(192, 0, 2, 7).into(),
            in_product: true,
            answer: Answer::Status(101, &[("Server", "b"), ("X-Answer", "1")]),
            guards: Arc::default(),
            held: Arc::default(),
            monotonic_ms: 0,
            now: DateTime::MIN,
            subscription: None,
        }
    }

    /// With `policies` in `section` of the API's document, after what is broader.
    pub(super) fn with(section: &str, policies: &str) -> Self {
        let document = format!("<policies><{section}><base/>{policies}</{section}></policies>");
        Self::new().file("policies/apis/chat.xml", &document)
    }

    /// With `policies` in inbound of the API's document.
    pub(super) fn inbound(policies: &str) -> Self {
        Self::with("inbound", policies)
    }

    pub(super) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path, text);
        self
    }

    pub(super) fn named_values(self, text: &str) -> Self {
        self.file("named-values.toml", text)
    }

    /// With one more line in the head.
    pub(super) fn header(mut self, line: &str) -> Self {
        self.head.push_str(line);
        self.head.push_str("\r\n");
        self
    }

    /// Asking for another target.
    pub(super) fn asking(mut self, target: &str) -> Self {
        self.head = self.head.replacen("/chat/room?a=1&b=2", target, 1);
        self
    }

    /// From another client.
    pub(super) fn from(mut self, client: &str) -> Self {
        self.client = client.parse().expect("an address");
        self
    }

    /// So many milliseconds after the process began.
    pub(super) fn after_ms(mut self, monotonic_ms: i64) -> Self {
        self.monotonic_ms = monotonic_ms;
        self
    }

    /// At a time of day, in seconds since 1970.
    pub(super) fn at(mut self, now_s: i64) -> Self {
        self.now = DateTime::from_unix_seconds(now_s).expect("a time");
        self
    }

    /// In the name of a subscription.
    pub(super) fn subscribed(mut self, name: &str, lines: &str) -> Self {
        let text = format!("display_name = \"S\"\nscope = \"/products/starter\"\n{lines}");
        self.subscription = Some(Arc::new(parse_subscription("s", name, &text).expect("a subscription")));
        self
    }

    /// With so many slots of a key taken by others.
    pub(super) fn slots_taken(mut self, key: &str, count: u32) -> Self {
        let taken = (0..count).map(|_| self.guards.slots().take_slot(key, count, &[]).expect("a slot"));
        self.held = Arc::new(taken.flatten().collect());
        self
    }

    pub(super) fn without_product(mut self) -> Self {
        self.in_product = false;
        self
    }

    pub(super) fn backend_answers(
        mut self,
        status: u16,
        fields: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.answer = Answer::Status(status, fields);
        self
    }

    pub(super) fn backend_is_unreachable(mut self) -> Self {
        self.answer = Answer::Unreachable;
        self
    }

    pub(super) fn backend_is_silent(mut self) -> Self {
        self.answer = Answer::Silent;
        self
    }

    /// The faults of the documents.
    pub(super) fn faults(&self) -> Vec<String> {
        compile(&self.files, None).err().unwrap_or_default().iter().map(Fault::to_string).collect()
    }

    /// Returns the notes on documents without faults.
    pub(super) fn notes(&self) -> Vec<String> {
        compile(&self.files, None).expect("no fault").notes().to_vec()
    }

    /// The compiled form of what applies; empty if nothing does.
    pub(super) fn compiled(&self) -> String {
        let snapshot = compile(&self.files, None).expect("no fault");
        let product = parse_product("p", "starter", "display_name = \"Starter\"").expect("a product");
        let product = self.in_product.then(|| Arc::new(product));
        let access = Access { subscription: None, product: product.as_ref() };
        let pipeline = snapshot.policies_of(&snapshot.served()[0], &access);
        pipeline.map(ToString::to_string).unwrap_or_default()
    }

    pub(super) fn run(&self) -> Outcome {
        let snapshot = compile(&self.files, None).unwrap_or_else(|faults| {
            panic!("{:#?}", faults.iter().map(Fault::to_string).collect::<Vec<_>>())
        });
        let api: Arc<Api> = Arc::new(parse_api("a", "chat", API).expect("an api"));
        let product = parse_product("p", "starter", "display_name = \"Starter\"").expect("a product");
        let product = self.in_product.then(|| Arc::new(product));
        let access = Access { subscription: self.subscription.as_ref(), product: product.as_ref() };
        let pipeline = snapshot.policies_of(&api, &access).expect("a pipeline");
        let request = RequestHead::parse(Bytes::from(format!("{}\r\n", self.head))).expect("a head");
        let Target::Origin { path, .. } = request.target() else { panic!("a path") };
        let mut exchange = Exchange::new(&ExchangeParts {
            request: &request,
            scheme: "https",
            rest: path.strip_prefix("/chat").expect("the suffix"),
            api: &api,
            api_path: "chat",
            access: &access,
            client: self.client,
            certificate: None,
            gateway: "edge",
            request_id: Guid([7; 16]),
            timestamp: DateTime::MIN,
        });
        let mut outside = Recorder {
            guards: Arc::clone(&self.guards),
            monotonic_ms: self.monotonic_ms,
            log: Vec::new(),
            threw: Vec::new(),
        };
        let moment = EvaluationTime { now: self.now, elapsed: TimeSpan(0) };
        let mut asked = String::new();
        let mut backend = String::new();
        let mut answer_timeout_ms = None;
        let mut turn = start(pipeline, &mut exchange, moment, &mut outside);
        if let Yield::Dial(dialling) = turn {
            asked = format!("{}\n", exchange.target());
            asked.extend(exchange.request.iter().map(line));
            backend = exchange.backend().to_string();
            answer_timeout_ms = dialling.forward.answer_timeout_ms;
            let came = match &self.answer {
                Answer::Status(status, fields) => {
                    let fields = fields.iter().map(|(name, value)| Header { name, value: value.as_bytes() });
                    Ok(Response::of_backend(*status, b"As It Says", Fields::of(fields)))
                }
                Answer::Unreachable => Err(Failure::of_connection(502, "the backend cannot be reached")),
                Answer::Silent => Err(Failure::of_timeout(504, "the backend did not answer in time")),
            };
            turn = dialling.resume(came, &mut exchange, moment, &mut outside);
        }
        let answered = match turn {
            Yield::PassOn => {
                let response = exchange.response.as_ref().expect("an answer");
                let fields: String = response.fields.iter().map(line).collect();
                format!("passed on: {} {}\n{fields}", response.status, response.reason())
            }
            Yield::Respond(response) => {
                let answered = encode_answer(response.answer(), &HttpDate::from_unix(0));
                let answered = String::from_utf8(answered.to_vec()).expect("text").replace("\r\n", "\n");
                // It has the date that it was given, as every answer.
                let without_date = answered.replacen("Date: Thu, 01 Jan 1970 00:00:00 GMT\n", "", 1);
                assert_ne!(without_date, answered);
                without_date
            }
            Yield::Dial(_) => panic!("dials twice"),
        };
        let slots = exchange.take_slots().len();
        Outcome {
            asked,
            backend,
            answer_timeout_ms,
            answered,
            slots,
            log: outside.log,
            threw: outside.threw,
            last_error: exchange.last_error,
        }
    }
}

fn line(field: Header<'_>) -> String {
    format!("{}: {}\n", field.name, String::from_utf8_lossy(field.value))
}

struct Recorder {
    guards: Arc<PolicyGuards>,
    monotonic_ms: i64,
    log: Vec<String>,
    threw: Vec<String>,
}

impl ExpressionHost for Recorder {
    fn random_bits(&mut self) -> u64 {
        0
    }

    fn trace(&mut self, message: &str) {
        self.log.push(format!("traced {message}"));
    }
}

impl PolicyHost for Recorder {
    fn guards(&self) -> Guards<'_> {
        self.guards.at(self.monotonic_ms)
    }

    fn log(&mut self, line: TraceLine) {
        self.log.push(format!("{:?} {} {}", line.severity, line.source, line.on_one_line()));
    }

    fn threw(&mut self, step: Option<&Step>, thrown: &ThrownAt) {
        let step = step.map_or("put off", Step::path);
        self.threw.push(format!("{step} at {thrown:?}: {}", thrown.message));
    }
}
