//! `[otlp]` of the instance file: where metrics, logs and traces are sent by the OpenTelemetry protocol.
//!
//! Not here: sending them (`telemetry::otlp`), and the content of the files that are named.

use core::fmt;

use crate::catalog::BackendUrl;
use crate::catalog::fault::{Fault, Remedy};
use crate::catalog::fields::Fields;
use crate::catalog::tls::{BackendTls, take_backend_tls};
use crate::head::token::is_token;
use crate::head::trace_context::Sampling;
use crate::limits::Allowed;

/// Share of the traces that begin here which are sampled. One that a client has begun is sampled where its `traceparent` says so.
const TRACES_PERCENT: Allowed = Allowed { least: 0, most: 100, unit: "percent" };
const TRACES_PERCENT_DEFAULT: u64 = 100;

/// Seconds between two exports of metrics.
const METRICS_INTERVAL_S: Allowed = Allowed { least: 1, most: 3600, unit: "seconds" };
const METRICS_INTERVAL_S_DEFAULT: u64 = 60;

/// Milliseconds that the receiver has for each request, the connection included.
const TIMEOUT_MS: Allowed = Allowed { least: 100, most: 120_000, unit: "milliseconds" };
const TIMEOUT_MS_DEFAULT: u64 = 10_000;

/// Log records, and likewise traces, that wait to be sent. Over it, they are dropped and counted. A log record takes some 2 KiB, a
/// trace the same.
const QUEUE_MAX: Allowed = Allowed { least: 64, most: 1_048_576, unit: "records" };
const QUEUE_MAX_DEFAULT: u64 = 16_384;

/// Log records, and likewise traces, in one request.
const BATCH_MAX: Allowed = Allowed { least: 1, most: 16_384, unit: "records" };
const BATCH_MAX_DEFAULT: u64 = 1024;

/// Most header fields of a request, and most attributes of the resource.
const LISTED_MAX: usize = 32;

/// Longest value of a header field, in bytes.
const HEADER_BYTES_MAX: usize = 8192;

/// Longest name and value of an attribute, in bytes.
const ATTRIBUTE_BYTES_MAX: usize = 1024;

/// Longest name of a file, in bytes (Linux: PATH_MAX less its final zero).
const FILE_NAME_BYTES_MAX: usize = 4095;

/// Fields that ringgate writes itself.
const OWN_FIELDS: [&str; 13] = [
    "host",
    "connection",
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "expect",
    "user-agent",
    "accept-encoding",
];

/// Where telemetry is sent, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConfig {
    /// The URL of the receiver, below which are `/v1/metrics`, `/v1/logs` and `/v1/traces`.
    pub endpoint: BackendUrl,
    /// Whether metrics are sent. Default yes.
    pub metrics: bool,
    /// Whether the rows of the log are sent. Default yes.
    pub logs: bool,
    /// Whether openings have traces, which are sent. Default yes.
    pub traces: bool,
    /// Share of the traces that begin here which are sampled. Default all.
    pub sampling: Sampling,
    /// Seconds between two exports of metrics, 1 to 3600. Default 60.
    pub metrics_interval_s: u64,
    /// Milliseconds that the receiver has for each request, 100 to 120,000. Default 10,000.
    pub timeout_ms: u64,
    /// Whether requests are compressed (gzip). Default yes.
    pub is_compressed: bool,
    /// Most log records, and most traces, that wait, 64 to 1,048,576. Default 16,384.
    pub queue_max: u64,
    /// Most log records, and most traces, in a request, 1 to 16,384. Default 1024.
    pub batch_max: u64,
    /// Fields of each request.
    pub headers: Vec<OtlpHeader>,
    /// Attributes of the resource, by name.
    pub attributes: Vec<(String, String)>,
    /// TLS with the receiver.
    pub tls: BackendTls,
}

impl OtlpConfig {
    /// What is sent where, for whoever starts the instance.
    pub fn describe(&self) -> String {
        let all = [("metrics", self.metrics), ("logs", self.logs), ("traces", self.traces)];
        let sent: Vec<_> = all.into_iter().filter(|(_, is_sent)| *is_sent).map(|(name, _)| name).collect();
        let scheme = if self.endpoint.is_tls { "https" } else { "http" };
        format!("{} by otlp to {scheme}://{}{}", sent.join(", "), self.endpoint.authority, self.endpoint.path)
    }
}

/// A header field of each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpHeader {
    /// Its name, in lower case.
    pub name: String,
    /// Where its value comes from.
    pub value: HeaderValue,
}

/// The value of a header field.
#[derive(Clone, PartialEq, Eq)]
pub enum HeaderValue {
    /// It stands in the instance file.
    Given(String),
    /// It is the text in this file, relative to the instance file's folder, or absolute.
    OfFile(String),
}

impl fmt::Debug for HeaderValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // It may be a key.
            Self::Given(_) => formatter.write_str(Fault::MASKED),
            Self::OfFile(file) => write!(formatter, "OfFile({file:?})"),
        }
    }
}

/// Whether a text can be the value of a header field.
pub fn is_header_value(text: &str) -> bool {
    let is_visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    (1..=HEADER_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_visible) && text.trim() == text
}

pub(super) fn take_otlp(mut fields: Fields<'_>) -> Option<OtlpConfig> {
    let allowed = "the URL of the receiver, like http://127.0.0.1:4318";
    let endpoint = fields.take_required_text("endpoint", allowed, BackendUrl::parse_http);
    let percent = fields.take_integer("traces_percent", &TRACES_PERCENT).unwrap_or(TRACES_PERCENT_DEFAULT);
    let taken = (
        fields.take_boolean("metrics").unwrap_or(true),
        fields.take_boolean("logs").unwrap_or(true),
        fields.take_boolean("traces").unwrap_or(true),
    );
    if taken == (false, false, false) {
        fields.object(
            "endpoint",
            Remedy::act("nothing is sent there: set metrics, logs or traces to true, or remove [otlp]"),
        );
    }
    let (metrics, logs, traces) = taken;
    let metrics_interval_s = fields.take_integer("metrics_interval_s", &METRICS_INTERVAL_S);
    let timeout_ms = fields.take_integer("timeout_ms", &TIMEOUT_MS);
    let is_compressed = fields.take_boolean("compress").unwrap_or(true);
    let queue_max = fields.take_integer("queue_max", &QUEUE_MAX).unwrap_or(QUEUE_MAX_DEFAULT);
    let batch_max = fields.take_integer("batch_max", &BATCH_MAX).unwrap_or(BATCH_MAX_DEFAULT);
    let headers = take_headers(&mut fields);
    let attributes = take_attributes(&mut fields);
    let tls = fields.take_table("tls").map(take_backend_tls);
    if let Some(endpoint) = &endpoint
        && !endpoint.is_tls
    {
        fields.object("tls", Remedy::act("endpoint has no TLS: write https:// there, or remove this table"));
    }
    fields.finish();
    Some(OtlpConfig {
        endpoint: endpoint?,
        metrics,
        logs,
        traces,
        sampling: Sampling(u8::try_from(percent).unwrap_or(u8::MAX)),
        metrics_interval_s: metrics_interval_s.unwrap_or(METRICS_INTERVAL_S_DEFAULT),
        timeout_ms: timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT),
        is_compressed,
        queue_max,
        batch_max,
        headers: headers?,
        attributes: attributes?,
        tls: tls.unwrap_or_default(),
    })
}

/// `None`: one of them is at fault.
fn take_headers(fields: &mut Fields<'_>) -> Option<Vec<OtlpHeader>> {
    if !fields.has("headers") {
        // So that it counts among the known keys.
        fields.take_tables("headers", (0, LISTED_MAX));
        return Some(Vec::new());
    }
    let mut headers: Vec<OtlpHeader> = Vec::new();
    let mut is_whole = true;
    for mut header in fields.take_tables("headers", (0, LISTED_MAX))? {
        let allowed = "the name of a header field, like authorization";
        let name = header.take_required_text("name", allowed, |text| {
            let name = text.to_ascii_lowercase();
            if headers.iter().any(|header| header.name == name) {
                return Err(Remedy::act("it stands in the list already; remove one of the two"));
            }
            let is_name = is_token(name.as_bytes()) && !OWN_FIELDS.contains(&name.as_str());
            is_name.then_some(name).ok_or_else(|| {
                Remedy::from("the name of a header field, and none of those that HTTP and OTLP define")
            })
        });
        let value = header.take_secret_text("value", |text| {
            is_header_value(text)
                .then(|| text.to_owned())
                .ok_or_else(|| format!("1 to {HEADER_BYTES_MAX} visible ASCII characters"))
        });
        let file = header.take_text("file", |text| {
            let is_name = (1..=FILE_NAME_BYTES_MAX).contains(&text.len()) && !text.contains('\0');
            is_name
                .then(|| text.to_owned())
                .ok_or_else(|| format!("a file name of 1 to {FILE_NAME_BYTES_MAX} bytes"))
        });
        match (header.has("value"), header.has("file")) {
            (true, true) => {
                header.object("file", Remedy::act("it has no effect beside value: remove one of the two"))
            }
            (false, false) => {
                header.require("value", "the value of the field; or name a file with it in file")
            }
            (true, false) | (false, true) => {}
        }
        header.finish();
        let value = value.map(HeaderValue::Given).or(file.map(HeaderValue::OfFile));
        match (name, value) {
            (Some(name), Some(value)) => headers.push(OtlpHeader { name, value }),
            _ => is_whole = false,
        }
    }
    is_whole.then_some(headers)
}

/// `None`: one of them is at fault.
fn take_attributes(fields: &mut Fields<'_>) -> Option<Vec<(String, String)>> {
    if !fields.has("attributes") {
        fields.take_tables("attributes", (0, LISTED_MAX));
        return Some(Vec::new());
    }
    let parse = |text: &str| {
        let is_text = (1..=ATTRIBUTE_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
        is_text.then(|| text.to_owned()).ok_or_else(|| format!("a text of 1 to {ATTRIBUTE_BYTES_MAX} bytes"))
    };
    let mut attributes: Vec<(String, String)> = Vec::new();
    let mut is_whole = true;
    for mut attribute in fields.take_tables("attributes", (0, LISTED_MAX))? {
        let allowed = "the name of an attribute, like deployment.environment.name";
        let name = attribute.take_required_text("name", allowed, |text| {
            if attributes.iter().any(|(name, _)| name == text) {
                return Err(Remedy::act("it stands in the list already; remove one of the two"));
            }
            parse(text).map_err(Remedy::from)
        });
        let value = attribute.take_required_text("value", "the value of the attribute", parse);
        attribute.finish();
        match (name, value) {
            (Some(name), Some(value)) => attributes.push((name, value)),
            _ => is_whole = false,
        }
    }
    is_whole.then_some(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_instance;

    fn parse(lines: &str) -> Result<OtlpConfig, Vec<String>> {
        let config = parse_instance("ringgate.toml", &format!("[otlp]\n{lines}"));
        let config = config.map_err(|faults| faults.iter().map(Fault::to_string).collect::<Vec<_>>())?;
        Ok(config.otlp.expect("there is a table"))
    }

    #[test]
    fn nothing_is_sent_without_the_table() {
        assert_eq!(parse_instance("ringgate.toml", "").expect("an empty file is valid").otlp, None);
    }

    #[test]
    fn an_endpoint_is_enough_and_all_three_signals_are_sent_there() {
        let config = parse("endpoint = \"http://collector.example:4318/otlp\"").expect("the least");
        assert_eq!((config.metrics, config.logs, config.traces), (true, true, true));
        assert_eq!((config.endpoint.port, config.endpoint.path.as_str()), (4318, "/otlp"));
        assert_eq!(
            (config.sampling, config.metrics_interval_s, config.timeout_ms),
            (Sampling(100), 60, 10_000)
        );
        assert_eq!((config.is_compressed, config.queue_max, config.batch_max), (true, 16_384, 1024));
        assert_eq!((config.headers.len(), config.attributes.len()), (0, 0));
        assert_eq!(config.describe(), "metrics, logs, traces by otlp to http://collector.example:4318/otlp");
    }

    #[test]
    fn every_key_is_taken() {
        let config = parse(
            "endpoint = \"https://collector.example\"\nmetrics = false\nlogs = false\ntraces = true\ntraces_percent = 5\n\
             metrics_interval_s = 1\ntimeout_ms = 100\ncompress = false\nqueue_max = 64\nbatch_max = 1\n\
             headers = [{ name = \"X-Tenant\", value = \"t 1\" }, { name = \"authorization\", file = \"token\" }]\n\
             attributes = [{ name = \"deployment.environment.name\", value = \"test\" }]\n[otlp.tls]\nca = \"ca.pem\"\n",
        );
        let config = config.expect("a correct file");
        assert_eq!(
            (config.metrics, config.logs, config.traces, config.sampling),
            (false, false, true, Sampling(5))
        );
        assert_eq!((config.metrics_interval_s, config.timeout_ms, config.is_compressed), (1, 100, false));
        assert_eq!((config.queue_max, config.batch_max), (64, 1));
        let header = |name: &str, value| OtlpHeader { name: name.to_owned(), value };
        let given = HeaderValue::Given("t 1".to_owned());
        let of_file = HeaderValue::OfFile("token".to_owned());
        assert_eq!(config.headers, [header("x-tenant", given), header("authorization", of_file)]);
        assert_eq!(config.attributes, [("deployment.environment.name".to_owned(), "test".to_owned())]);
        assert_eq!(config.tls.ca.as_deref(), Some("ca.pem"));
        assert_eq!(config.describe(), "traces by otlp to https://collector.example");
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_one_fault_each_that_shows_no_value_of_a_field() {
        const AT: &str = "endpoint = \"http://a\"\n";
        for (lines, told) in [
            ("metrics = true".to_owned(), "otlp.endpoint is missing"),
            ("endpoint = \"ws://a\"".to_owned(), "http://host[:port][/path]"),
            ("endpoint = \"http://u:p@a\"".to_owned(), "set the Authorization header in headers"),
            ("endpoint = \"http://a?b\"".to_owned(), "remove the query"),
            (format!("{AT}metrics = false\nlogs = false\ntraces = false"), "nothing is sent there"),
            (format!("{AT}traces_percent = 101"), "0 to 100"),
            (format!("{AT}metrics_interval_s = 0"), "1 to 3"),
            (format!("{AT}timeout_ms = 99"), "100 to"),
            (format!("{AT}queue_max = 63"), "64 to"),
            (format!("{AT}batch_max = 0"), "1 to"),
            (format!("{AT}headers = [{{ name = \"Content-Type\", value = \"v\" }}]"), "none of those"),
            (format!("{AT}headers = [{{ name = \"a\", value = \"hush\\n\" }}]"), "visible ASCII"),
            (format!("{AT}headers = [{{ name = \"a\" }}]"), "name a file"),
            (
                format!("{AT}headers = [{{ name = \"a\", value = \"hush\", file = \"f\" }}]"),
                "remove one of the two",
            ),
            (
                format!("{AT}headers = [{{ name = \"a\", file = \"f\" }}, {{ name = \"A\", file = \"f\" }}]"),
                "already",
            ),
            (format!("{AT}attributes = [{{ name = \"a\" }}]"), "the value of the attribute"),
            (format!("{AT}[otlp.tls]\nca = \"c\""), "endpoint has no TLS"),
        ] {
            let faults = parse(&lines).expect_err(&lines);
            assert!(faults.len() == 1 && faults[0].contains(told), "{lines}: {faults:?}");
            assert!(!faults[0].contains("hush"), "{faults:?}");
        }
    }

    #[test]
    fn no_debug_output_shows_the_value_of_a_field() {
        let config = parse("endpoint = \"http://a\"\nheaders = [{ name = \"a\", value = \"hush\" }]");
        assert!(!format!("{config:?}").contains("hush"));
    }
}
