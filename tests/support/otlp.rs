//! A receiver of OTLP that knows the protocol by a table of its own: what it does not know, or what is malformed, fails the test.

use super::PATIENCE;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// The type of a field in a `.proto` file.
enum Type {
    Text,
    /// Shown in hexadecimal digits.
    Bytes,
    Varint,
    Bool,
    Fixed64,
    Fixed32,
    Double,
    PackedFixed64,
    PackedDouble,
    Message(&'static str),
}

use Type::*;

/// The fields of a message: number, name, type, and whether it is repeated.
type Fields = &'static [(u64, &'static str, Type, bool)];

/// The messages of opentelemetry-proto 1.x: common/v1, resource/v1, logs/v1, trace/v1, metrics/v1 and their collectors.
const MESSAGES: &[(&str, Fields)] = &[
    ("logs", &[(1, "resource_logs", Message("ResourceLogs"), true)]),
    ("traces", &[(1, "resource_spans", Message("ResourceSpans"), true)]),
    ("metrics", &[(1, "resource_metrics", Message("ResourceMetrics"), true)]),
    (
        "ResourceLogs",
        &[
            (1, "resource", Message("Resource"), false),
            (2, "scope_logs", Message("ScopeLogs"), true),
            (3, "schema_url", Text, false),
        ],
    ),
    (
        "ResourceSpans",
        &[
            (1, "resource", Message("Resource"), false),
            (2, "scope_spans", Message("ScopeSpans"), true),
            (3, "schema_url", Text, false),
        ],
    ),
    (
        "ResourceMetrics",
        &[
            (1, "resource", Message("Resource"), false),
            (2, "scope_metrics", Message("ScopeMetrics"), true),
            (3, "schema_url", Text, false),
        ],
    ),
    (
        "Resource",
        &[(1, "attributes", Message("KeyValue"), true), (2, "dropped_attributes_count", Varint, false)],
    ),
    ("InstrumentationScope", &[(1, "name", Text, false), (2, "version", Text, false)]),
    (
        "ScopeLogs",
        &[
            (1, "scope", Message("InstrumentationScope"), false),
            (2, "log_records", Message("LogRecord"), true),
        ],
    ),
    (
        "ScopeSpans",
        &[(1, "scope", Message("InstrumentationScope"), false), (2, "spans", Message("Span"), true)],
    ),
    (
        "ScopeMetrics",
        &[(1, "scope", Message("InstrumentationScope"), false), (2, "metrics", Message("Metric"), true)],
    ),
    ("KeyValue", &[(1, "key", Text, false), (2, "value", Message("AnyValue"), false)]),
    (
        "AnyValue",
        &[
            (1, "string_value", Text, false),
            (2, "bool_value", Bool, false),
            (3, "int_value", Varint, false),
            (4, "double_value", Double, false),
            (5, "array_value", Message("ArrayValue"), false),
            (6, "kvlist_value", Message("KeyValueList"), false),
            (7, "bytes_value", Bytes, false),
        ],
    ),
    ("ArrayValue", &[(1, "values", Message("AnyValue"), true)]),
    ("KeyValueList", &[(1, "values", Message("KeyValue"), true)]),
    (
        "LogRecord",
        &[
            (1, "time_unix_nano", Fixed64, false),
            (11, "observed_time_unix_nano", Fixed64, false),
            (2, "severity_number", Varint, false),
            (3, "severity_text", Text, false),
            (5, "body", Message("AnyValue"), false),
            (6, "attributes", Message("KeyValue"), true),
            (7, "dropped_attributes_count", Varint, false),
            (8, "flags", Fixed32, false),
            (9, "trace_id", Bytes, false),
            (10, "span_id", Bytes, false),
            (12, "event_name", Text, false),
        ],
    ),
    (
        "Span",
        &[
            (1, "trace_id", Bytes, false),
            (2, "span_id", Bytes, false),
            (3, "trace_state", Text, false),
            (4, "parent_span_id", Bytes, false),
            (16, "flags", Fixed32, false),
            (5, "name", Text, false),
            (6, "kind", Varint, false),
            (7, "start_time_unix_nano", Fixed64, false),
            (8, "end_time_unix_nano", Fixed64, false),
            (9, "attributes", Message("KeyValue"), true),
            (15, "status", Message("Status"), false),
        ],
    ),
    ("Status", &[(2, "message", Text, false), (3, "code", Varint, false)]),
    (
        "Metric",
        &[
            (1, "name", Text, false),
            (2, "description", Text, false),
            (3, "unit", Text, false),
            (5, "gauge", Message("Gauge"), false),
            (7, "sum", Message("Sum"), false),
            (9, "histogram", Message("Histogram"), false),
        ],
    ),
    ("Gauge", &[(1, "data_points", Message("NumberDataPoint"), true)]),
    (
        "Sum",
        &[
            (1, "data_points", Message("NumberDataPoint"), true),
            (2, "aggregation_temporality", Varint, false),
            (3, "is_monotonic", Bool, false),
        ],
    ),
    (
        "Histogram",
        &[
            (1, "data_points", Message("HistogramDataPoint"), true),
            (2, "aggregation_temporality", Varint, false),
        ],
    ),
    (
        "NumberDataPoint",
        &[
            (7, "attributes", Message("KeyValue"), true),
            (2, "start_time_unix_nano", Fixed64, false),
            (3, "time_unix_nano", Fixed64, false),
            (4, "as_double", Double, false),
            (6, "as_int", Fixed64, false),
        ],
    ),
    (
        "HistogramDataPoint",
        &[
            (9, "attributes", Message("KeyValue"), true),
            (2, "start_time_unix_nano", Fixed64, false),
            (3, "time_unix_nano", Fixed64, false),
            (4, "count", Fixed64, false),
            (5, "sum", Double, false),
            (6, "bucket_counts", PackedFixed64, false),
            (7, "explicit_bounds", PackedDouble, false),
        ],
    ),
];

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    unreachable!()
}

fn fixed64(bytes: &mut &[u8]) -> u64 {
    u64::from_le_bytes(take(bytes, 8).try_into().unwrap())
}

/// Reads a message of the table as JSON.
pub fn decode(message: &str, mut bytes: &[u8]) -> Value {
    let (_, fields) = MESSAGES.iter().find(|(name, _)| *name == message).expect("a message of the table");
    let mut decoded = Map::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = fields.iter().find(|(number, ..)| *number == key >> 3);
        let (_, name, kind, is_repeated) =
            field.unwrap_or_else(|| panic!("{message} has no field {}", key >> 3));
        let expected = match kind {
            Varint | Bool => 0,
            Fixed64 | Double => 1,
            Fixed32 => 5,
            Text | Bytes | PackedFixed64 | PackedDouble | Message(_) => 2,
        };
        assert_eq!(key & 7, expected, "{message}.{name} is of another type");
        let value = match kind {
            Varint => json!(varint(&mut bytes)),
            Bool => json!(varint(&mut bytes) == 1),
            Fixed64 => json!(fixed64(&mut bytes)),
            Double => json!(f64::from_bits(fixed64(&mut bytes))),
            Fixed32 => json!(u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap())),
            Text | Bytes | PackedFixed64 | PackedDouble | Message(_) => {
                let count = varint(&mut bytes) as usize;
                let mut inner = take(&mut bytes, count);
                match kind {
                    Text => json!(str::from_utf8(inner).unwrap()),
                    Message(name) => decode(name, inner),
                    PackedFixed64 => json!((0..count / 8).map(|_| fixed64(&mut inner)).collect::<Vec<_>>()),
                    PackedDouble => {
                        json!((0..count / 8).map(|_| f64::from_bits(fixed64(&mut inner))).collect::<Vec<_>>())
                    }
                    Bytes | Varint | Bool | Fixed64 | Fixed32 | Double => {
                        json!(inner.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
                    }
                }
            }
        };
        let before = match is_repeated {
            true => {
                let values = decoded.entry(*name).or_insert_with(|| json!([]));
                values.as_array_mut().expect("a list").push(value);
                None
            }
            false => decoded.insert((*name).to_owned(), value),
        };
        assert_eq!(before, None, "{message}.{name} is there twice");
    }
    Value::Object(decoded)
}

/// Attributes as an object from name to value.
pub fn attributes(of: &Value) -> Map<String, Value> {
    let pairs = of["attributes"].as_array().cloned().unwrap_or_default();
    let named = |pair: Value| (pair["key"].as_str().unwrap().to_owned(), plain(&pair["value"]));
    let count = pairs.len();
    let found: Map<_, _> = pairs.into_iter().map(named).collect();
    assert_eq!(found.len(), count, "an attribute is there twice");
    found
}

/// An `AnyValue` as the value that it is.
fn plain(any: &Value) -> Value {
    let Some((kind, value)) = any.as_object().and_then(|any| any.iter().next()) else { return Value::Null };
    match kind.as_str() {
        "array_value" => value["values"].as_array().into_iter().flatten().map(plain).collect(),
        "kvlist_value" => {
            let pairs = value["values"].as_array().cloned().unwrap_or_default();
            Value::Object(
                pairs
                    .iter()
                    .map(|pair| (pair["key"].as_str().unwrap().to_owned(), plain(&pair["value"])))
                    .collect(),
            )
        }
        _ => value.clone(),
    }
}

/// A request as a receiver gets it.
pub struct Request {
    /// `logs`, `traces` or `metrics`.
    pub signal: String,
    /// Its lines, in lower case but for values.
    pub head: Vec<String>,
    /// The message, decompressed.
    pub bytes: Vec<u8>,
}

impl Request {
    /// The message as JSON.
    pub fn message(&self) -> Value {
        decode(&self.signal, &self.bytes)
    }
}

/// What a receiver answers: the lines behind `HTTP/1.1 ` without those for its body, and the body. `None`: nothing, for ever.
pub type Reply = Option<(&'static str, Vec<u8>)>;

/// The answer of one that has taken all.
pub fn taken() -> Reply {
    Some(("200 OK\r\ncontent-type: application/x-protobuf", Vec::new()))
}

/// A receiver on a port of its own.
pub struct OtlpReceiver {
    pub address: SocketAddr,
    requests: Receiver<Request>,
    /// Those that were received and not asked for yet.
    kept: VecDeque<Request>,
}

impl OtlpReceiver {
    /// One that answers each request as `reply` says.
    pub fn start(reply: impl Fn(&Request) -> Reply + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (reply, sender) = (reply.clone(), sender.clone());
                thread::spawn(move || serve(stream.unwrap(), &reply, &sender));
            }
        });
        Self { address, requests, kept: VecDeque::new() }
    }

    /// One that takes all.
    pub fn taking() -> Self {
        Self::start(|_| taken())
    }

    /// The next request of a signal.
    pub fn next(&mut self, signal: &str) -> Request {
        if let Some(at) = self.kept.iter().position(|request| request.signal == signal) {
            return self.kept.remove(at).unwrap();
        }
        loop {
            let request =
                self.requests.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no request with {signal}"));
            if request.signal == signal {
                return request;
            }
            self.kept.push_back(request);
        }
    }

    /// All requests until now.
    pub fn all(&mut self) -> Vec<Request> {
        let received = std::iter::from_fn(|| self.requests.try_recv().ok());
        self.kept.drain(..).chain(received).collect()
    }
}

fn serve(stream: TcpStream, reply: &dyn Fn(&Request) -> Reply, requests: &Sender<Request>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or_default() == 0 {
                return;
            }
            match line.trim_end() {
                "" => break,
                line => match line.split_once(": ") {
                    Some((name, value)) => head.push(format!("{}: {value}", name.to_ascii_lowercase())),
                    None => head.push(line.to_owned()),
                },
            }
        }
        let value = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let mut body = vec![0; value("content-length").expect("a length").parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        if value("content-encoding") == Some("gzip") {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
            body = plain;
        }
        assert_eq!(value("content-type"), Some("application/x-protobuf"));
        let target = head[0].strip_prefix("POST ").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
        let signal =
            target.and_then(|target| target.rsplit_once("/v1/")).expect("a path of OTLP").1.to_owned();
        let request = Request { signal, head, bytes: body };
        let answer = reply(&request);
        // The test may be over.
        if requests.send(request).is_err() {
            return;
        }
        let Some((lines, body)) = answer else {
            // Held open until whoever asks gives up.
            let _ = reader.read(&mut [0]);
            return;
        };
        let head = format!("HTTP/1.1 {lines}\r\ncontent-length: {}\r\n\r\n", body.len());
        if writer.write_all(&[head.as_bytes(), &body].concat()).is_err() {
            return;
        }
    }
}
