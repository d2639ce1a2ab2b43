//! `ringgate policy trace`: one made-up handshake, judged and changed step by step by a document in its catalogue.
//!
//! Nothing is opened, resolved or dialled: the backend's answer is made up too. With an instance file, listener and
//! subscription key are judged as the instance would judge them; without one, the subscription is given by name.
//!
//! Files of the catalogue with faults are left out if the handshake does not need them; the output says so.
//!
//! Not here: how a step is written down (`steps`), where a document stands (`stage`).

use core::net::IpAddr;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::UnixTime;

use super::lines;
use super::masks::Masks;
use super::stage::{MADE_UP, Stage};
use super::steps::Steps;
use crate::catalog::access::Access;
use crate::catalog::given_key::GivenKey;
use crate::catalog::product::Product;
use crate::catalog::subscription::{Scope, Subscription};
use crate::catalog::timestamp::Timestamp;
use crate::catalog::{Api, Fault};
use crate::cli::instance_file::InstanceFileOption;
use crate::cli::output;
use crate::compiled::Snapshot;
use crate::compiled::access::SubscriptionKeyFault;
use crate::compiled::given_version::given_version;
use crate::config::listener::default_schemes;
use crate::control::files::key_file;
use crate::head::{Header, HttpDate, RequestHead, Target};
use crate::http1::encode::encode_answer;
use crate::policy::exchange::fields::is_owned;
use crate::policy::exchange::{EvaluationTime, Exchange, ExchangeParts, Fields, Response};
use crate::policy::expression::{DateTime, Guid, TimeSpan};
use crate::policy::failure::Failure;
use crate::policy::machine::{Yield, start, start_refused};

/// The document, and the handshake to trace.
#[derive(Debug, clap::Args)]
pub struct Trace {
    /// The document
    file: PathBuf,
    #[command(flatten)]
    config: InstanceFileOption,
    /// The API whose handshake it is; the document stands for its own
    #[arg(long, value_name = "NAME")]
    api: Option<String>,
    /// The product in whose context it is
    #[arg(long, value_name = "NAME")]
    product: Option<String>,
    /// The subscription, as if its key had been given
    #[arg(long, value_name = "NAME")]
    subscription: Option<String>,
    /// What the client asks for. Without it: the API's own path
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A header of the client's; may be given more than once
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Who connects
    #[arg(long, value_name = "ADDRESS", default_value = "192.0.2.1")]
    client: IpAddr,
    /// What the backend answers: a status, `unreachable` or `silent`
    #[arg(long, value_name = "ANSWER", default_value = "101", value_parser = BackendAnswer::parse)]
    answer: BackendAnswer,
    /// A header of the backend's answer; may be given more than once
    #[arg(long = "answer-header", value_name = "NAME: VALUE")]
    answer_headers: Vec<String>,
    /// Leave the times out, so that two traces can be compared
    #[arg(long)]
    no_times: bool,
    /// The status that the client has to get: exit code 0 if it does, 1 if not
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(100..=599))]
    expect: Option<u16>,
    /// Write the trace as one JSON document
    #[arg(long)]
    json: bool,
}

/// A finished trace.
struct Traced {
    text: String,
    json: serde_json::Value,
    /// The status that the client gets.
    status: u16,
}

/// The stations of a handshake before its policies: the question at each, and the result.
#[derive(Default)]
struct Way(Vec<(&'static str, String)>);

impl Way {
    fn add(&mut self, station: &'static str, what: impl Into<String>) {
        self.0.push((station, what.into()));
    }

    fn write(&self, steps: &mut Steps) {
        for (station, what) in &self.0 {
            steps.line(0, &format!("{station}: {what}"));
        }
    }
}

/// Whether an API is served on listeners with TLS, or without.
fn is_served(stage: &Stage, api: &Api, is_tls: bool) -> bool {
    let listeners = stage.instance.as_ref().map_or(&[][..], |instance| &instance.listeners);
    let schemes = api.schemes.unwrap_or(default_schemes(listeners));
    if is_tls { schemes.wss } else { schemes.ws }
}

/// The scheme that a client would use: one that the API and a listener have.
fn default_scheme(stage: &Stage, api: &Api) -> &'static str {
    let has_listener = |is_tls| match &stage.instance {
        Some(instance) => instance.listeners.iter().any(|listener| listener.tls.is_some() == is_tls),
        None => true,
    };
    if is_served(stage, api, true)
        && has_listener(true)
        && !(is_served(stage, api, false) && has_listener(false))
    {
        "wss"
    } else {
        "ws"
    }
}

/// The answer of the made-up backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BackendAnswer {
    Status(u16),
    Unreachable,
    Silent,
}

impl BackendAnswer {
    fn parse(text: &str) -> Result<Self, String> {
        let status = || text.parse().ok().filter(|status| (101..=599).contains(status)).map(Self::Status);
        match text {
            "unreachable" => Ok(Self::Unreachable),
            "silent" => Ok(Self::Silent),
            _ => status()
                .ok_or_else(|| "allowed is a status from 101 to 599, unreachable or silent".to_owned()),
        }
    }
}

impl Trace {
    /// Runs the trace.
    pub(super) fn run(&self) -> ExitCode {
        let traced = match self.trace() {
            Ok(traced) => traced,
            Err(text) => {
                let _ = io::stderr().write_all(text.as_bytes());
                return ExitCode::FAILURE;
            }
        };
        let shown = if self.json { format!("{:#}\n", traced.json) } else { traced.text };
        let printed = output::print(shown.as_bytes());
        match self.expect {
            Some(expected) if expected != traced.status => {
                let told = format!("expected status {expected}, and the client gets {}\n", traced.status);
                let _ = io::stderr().write_all(told.as_bytes());
                ExitCode::FAILURE
            }
            Some(_) | None => printed,
        }
    }

    fn trace(&self) -> Result<Traced, String> {
        let mut stage = self.stage().map_err(|faults| lines(&faults))?;
        let compiled = stage.compile_without_faulty(|stage, fault| self.needs(stage, fault));
        let (mut snapshot, left_out) = compiled.map_err(|faults| lines(&stage.told(faults)))?;
        if let Some(instance) = &stage.instance {
            let hasher =
                key_file::hasher_of(&snapshot, &instance.key_file).map_err(|fault| lines(&[fault]))?;
            snapshot = hasher.into_iter().fold(snapshot, Snapshot::with_key_hasher);
        }
        let left_out: Vec<String> = stage.told(left_out).iter().map(ToString::to_string).collect();
        let mut traced = self.run_through(&stage, &snapshot)?;
        let told: String = left_out.iter().map(|fault| format!("left out, at fault: {fault}\n")).collect();
        traced.text.insert_str(0, &told);
        traced.json["left_out"] = left_out.into();
        Ok(traced)
    }

    /// Whether the handshake needs a file that has faults.
    fn needs(&self, stage: &Stage, fault: &Fault) -> bool {
        let (api, product) = stage.owners();
        let api = self.api.as_deref().or(api).map(|name| format!("apis/{name}.toml"));
        let product = self.product.as_deref().or(product).map(|name| format!("products/{name}.toml"));
        let subscription = self.subscription.as_deref().map(|name| format!("subscriptions/{name}.toml"));
        let files = [Some(stage.place.clone()), api, product, subscription];
        files.into_iter().flatten().any(|file| file == fault.file)
    }

    fn stage(&self) -> Result<Stage, Vec<Fault>> {
        let mut stage = Stage::of(&self.file, &self.config, self.api.as_deref())?;
        if let Some(name) = stage.fragment().map(str::to_owned) {
            stage.make_up();
            let including = format!(
                "<policies><inbound><base/><include-fragment fragment-id=\"{name}\"/></inbound></policies>"
            );
            stage.files.insert(&format!("policies/apis/{MADE_UP}.xml"), including);
        }
        Ok(stage)
    }

    fn api_of<'s>(&self, stage: &Stage, snapshot: &'s Snapshot) -> Result<&'s Arc<Api>, String> {
        let (own, product) = stage.owners();
        let mut all = snapshot.served().iter().chain(snapshot.elsewhere());
        let named = self.api.as_deref().or(own);
        let found = match (named, product, stage.fragment()) {
            (Some(name), _, _) => all.find(|api| api.name.as_str() == name),
            (None, Some(product), _) => {
                all.find(|api| api.products.iter().any(|name| name.as_str() == product))
            }
            (None, None, Some(_)) => all.find(|api| api.name.as_str() == MADE_UP),
            (None, None, None) => all.next(),
        };
        found.ok_or_else(|| match named {
            Some(name) => format!("there is no api {name}\n"),
            None => "there is no api that the document applies to; name one with --api\n".to_owned(),
        })
    }

    fn subscription_of<'s>(&self, snapshot: &'s Snapshot) -> Result<Option<&'s Arc<Subscription>>, String> {
        let Some(wanted) = self.subscription.as_deref() else { return Ok(None) };
        let found = snapshot.entities().subscriptions.iter().find(|one| one.name.as_str() == wanted);
        found.map(Some).ok_or_else(|| format!("there is no subscription {wanted}\n"))
    }

    fn product_of<'s>(
        &self,
        stage: &Stage,
        snapshot: &'s Snapshot,
        subscription: Option<&Arc<Subscription>>,
    ) -> Result<Option<&'s Arc<Product>>, String> {
        let of_subscription = subscription.and_then(|subscription| match &subscription.scope {
            Scope::Product(name) => Some(name.as_str()),
            Scope::Api(_) | Scope::AllApis => None,
        });
        let Some(wanted) = self.product.as_deref().or(of_subscription).or(stage.owners().1) else {
            return Ok(None);
        };
        let found = snapshot.entities().products.values().find(|one| one.name.as_str() == wanted);
        found.map(Some).ok_or_else(|| format!("there is no product {wanted}\n"))
    }

    fn run_through(&self, stage: &Stage, snapshot: &Snapshot) -> Result<Traced, String> {
        let api = self.api_of(stage, snapshot)?;
        let api_path = snapshot.path_of(api);
        let url = Url::parse(self.url.as_deref(), default_scheme(stage, api), &api_path)?;
        let request = self.request(&url)?;
        let Target::Origin { path, query } = request.target() else {
            return Err(format!("{}: not a path\n", url.target));
        };
        let mut way = Way::default();
        way.add("listener", self.listener_of(stage, &url)?);
        way.add("scheme", if url.is_tls { "wss" } else { "ws" });
        way.add("host", url.host.as_str());
        let mut masks = Masks::of_api(&api.key_names);
        let secrets = snapshot.entities().named_values.values().filter(|value| value.is_secret);
        secrets.for_each(|value| masks.add(&value.value));
        let given = GivenKey::find(&api.key_names, request.headers(), query);
        if let GivenKey::Key(key) = &given {
            masks.add(&String::from_utf8_lossy(key));
        }
        masks.add_credentials(request.headers().iter());
        let mut steps = Steps::new(masks, !self.no_times);
        steps.line(0, &format!("client {}: GET {} HTTP/1.1", self.client, url.target));
        write_fields(&mut steps, request.headers().iter());
        let refused = |fault| format!("{}: the handshake is refused with 400: {fault}\n", url.target);
        let asked_version = |scheme: &_| given_version(scheme, request.headers(), query);
        let routed = snapshot.route_version(path, asked_version).map_err(refused)?;
        let rest = match routed.filter(|routed| routed.api.name == api.name) {
            Some(routed) => Some(routed.rest),
            // One that is served elsewhere, or another version.
            None => snapshot.rest_of(api, path).map_err(refused)?,
        };
        let Some(rest) = rest else {
            return Err(format!("{}: not a path of api {}, which is at /{api_path}\n", url.target, api.name));
        };
        way.add("api", format!("{} at /{api_path}", api.name));
        // Without its instance file it is not known which schemes the listeners have.
        if stage.instance.is_some() && !is_served(stage, api, url.is_tls) {
            way.add(
                "answer",
                format!("404, because api {} is not served under this scheme (schemes)", api.name),
            );
            way.write(&mut steps);
            return Ok(self.ended(steps, &way, 404));
        }
        way.add("operation", "onHandshake");
        let (access, key) = self.access(stage, snapshot, api, &given)?;
        way.add("subscription key", key);
        let judged = access.unwrap_or_default();
        let named = |name: Option<&crate::catalog::Name>| name.map_or("none".to_owned(), ToString::to_string);
        way.add("subscription", named(judged.subscription.map(|one| &one.name)));
        way.add("product", named(judged.product.map(|one| &one.name)));
        let now = UnixTime::now().as_secs();
        let now = i64::try_from(now).ok().and_then(DateTime::from_unix_seconds).unwrap_or(DateTime::MIN);
        let mut exchange = Exchange::new(&ExchangeParts {
            request: &request,
            scheme: url.scheme(),
            rest,
            api,
            api_path: &api_path,
            access: &judged,
            client: self.client,
            certificate: None,
            gateway: "",
            request_id: Guid::from_random(1),
            timestamp: now,
        });
        steps.masks.add(exchange.key());
        way.write(&mut steps);
        let moment = EvaluationTime { now, elapsed: TimeSpan(0) };
        let pipeline = match (snapshot.policies_of(api, &judged), access) {
            (Some(pipeline), _) => pipeline,
            (None, Err(fault)) => {
                steps.line(0, &format!("client gets 401 {}", fault.message()));
                return Ok(self.ended(steps, &way, 401));
            }
            (None, Ok(_)) => return Err("no document applies to this handshake\n".to_owned()),
        };
        let mut turn = match access {
            Ok(_) => start(pipeline, &mut exchange, moment, &mut steps),
            Err(fault) => {
                let failure = Failure::of_key(fault.reason(), 401, fault.message());
                start_refused(pipeline, failure, &mut exchange, moment, &mut steps)
            }
        };
        if let Yield::Dial(dialling) = turn {
            steps.line(0, &format!("backend {}: GET {} HTTP/1.1", exchange.backend(), exchange.target()));
            // The handshake's own fields are written anew for the backend.
            write_fields(&mut steps, exchange.request.iter().filter(|field| !is_owned(field.name)));
            let came = self.came()?;
            match &came {
                Ok(response) => {
                    steps.line(0, &format!("backend answers {} {}", response.status, response.reason()));
                    write_fields(&mut steps, response.fields.iter());
                }
                Err(failure) => steps.line(0, &failure.message),
            }
            turn = dialling.resume(came, &mut exchange, moment, &mut steps);
        }
        steps.finish();
        let status = match turn {
            Yield::PassOn => {
                let Some(response) = &exchange.response else { return Err("no answer\n".to_owned()) };
                steps
                    .line(0, &format!("client gets the backend's {} {}", response.status, response.reason()));
                write_fields(&mut steps, response.fields.iter());
                response.status
            }
            Yield::Respond(response) => {
                self.write_answer(&mut steps, &response);
                response.status
            }
            Yield::Dial(_) => return Err("the backend is dialled twice\n".to_owned()),
        };
        Ok(self.ended(steps, &way, status))
    }

    /// Returns the finished trace.
    fn ended(&self, mut steps: Steps, way: &Way, status: u16) -> Traced {
        let path: serde_json::Map<String, serde_json::Value> = way
            .0
            .iter()
            .map(|(station, what)| (station.replace(' ', "_"), steps.masks.masked(what).into()))
            .collect();
        let json = serde_json::json!({
            "version": 1,
            "path": path,
            "steps": core::mem::take(&mut steps.records),
            "status": status,
        });
        Traced { text: steps.text, json, status }
    }

    /// Writes an answer that is not the backend's.
    fn write_answer(&self, steps: &mut Steps, response: &Response) {
        let date = HttpDate::from_unix(UnixTime::now().as_secs());
        let has_own_date = response.fields.get_all("Date").next().is_some();
        let bytes = encode_answer(response.answer(), &date);
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut head = head.split("\r\n");
        steps.line(0, &format!("client gets {}", head.next().unwrap_or_default()));
        for line in head {
            let (name, value) = line.split_once(": ").unwrap_or((line, ""));
            if self.no_times && name == "Date" && !has_own_date {
                continue;
            }
            write_fields(steps, std::iter::once(Header { name, value: value.as_bytes() }));
        }
        if !body.is_empty() {
            steps.line(2, body);
        }
    }

    /// Returns the listener that the client connects to.
    fn listener_of(&self, stage: &Stage, url: &Url) -> Result<String, String> {
        let Some(instance) = &stage.instance else {
            return Ok("not judged: no instance file is given (-c)".to_owned());
        };
        let found = instance.listeners.iter().find(|listener| listener.tls.is_some() == url.is_tls);
        found.map(|listener| format!("{}://{}", listener.scheme(), listener.address)).ok_or_else(|| {
            let scheme = if url.is_tls { "wss" } else { "ws" };
            format!(
                "no listener of this instance takes {scheme}; give another --url, or add such a listener\n"
            )
        })
    }

    /// Decides whether the client is admitted and in whose context; gives a remark on its key.
    fn access<'s>(
        &self,
        stage: &Stage,
        snapshot: &'s Snapshot,
        api: &Api,
        given: &GivenKey<'_>,
    ) -> Result<(Result<Access<'s>, SubscriptionKeyFault>, String), String> {
        let subscription = self.subscription_of(snapshot)?;
        let product = self.product_of(stage, snapshot, subscription)?;
        if let Some(subscription) = subscription {
            let told = format!("assumed to be one of subscription {} (--subscription)", subscription.name);
            return Ok((Ok(Access { subscription: Some(subscription), product }), told));
        }
        if product.is_some() || stage.instance.is_none() {
            let why =
                if product.is_some() { "the product is given" } else { "no instance file is given (-c)" };
            return Ok((Ok(Access { subscription: None, product }), format!("not checked: {why}")));
        }
        let access = snapshot.access(api, given, Timestamp::from_unix(UnixTime::now().as_secs()));
        let told = match (&access, given) {
            (Ok(Access { subscription: Some(subscription), .. }), _) => {
                format!("valid, of subscription {}", subscription.name)
            }
            (Ok(_), _) => "none is given, and none is needed".to_owned(),
            (Err(SubscriptionKeyFault::Missing), _) => "none is given, and one is needed".to_owned(),
            (Err(SubscriptionKeyFault::Invalid), _) => "opens nothing here, or nothing now".to_owned(),
        };
        Ok((access, told))
    }

    /// The head of the client's request.
    fn request(&self, url: &Url) -> Result<RequestHead, String> {
        let mut head = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
            url.target, url.host
        );
        for header in &self.headers {
            let (name, value) = field(header)?;
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        RequestHead::parse(Bytes::from(head)).map_err(|fault| format!("the handshake is none: {fault}\n"))
    }

    /// Returns the result of the dial.
    fn came(&self) -> Result<Result<Response, Failure>, String> {
        let status = match self.answer {
            BackendAnswer::Status(status) => status,
            BackendAnswer::Unreachable => {
                return Ok(Err(Failure::of_connection(502, "the backend cannot be reached")));
            }
            BackendAnswer::Silent => {
                return Ok(Err(Failure::of_timeout(504, "the backend did not answer in time")));
            }
        };
        let fields: Vec<(&str, &str)> =
            self.answer_headers.iter().map(|header| field(header)).collect::<Result<_, _>>()?;
        let fields = fields.iter().map(|(name, value)| Header { name, value: value.as_bytes() });
        let reason = Response::new(status).reason().to_owned();
        Ok(Ok(Response::of_backend(status, reason.as_bytes(), Fields::of(fields))))
    }
}

/// Name and value of a header as it is given on the command line.
fn field(given: &str) -> Result<(&str, &str), String> {
    let (name, value) = given
        .split_once(':')
        .ok_or_else(|| "a header without its ':': allowed is \"Name: value\"\n".to_owned())?;
    if given.contains(['\r', '\n', '\0']) {
        return Err(format!("header {name}: a value of one line is allowed\n"));
    }
    Ok((name.trim(), value.trim()))
}

fn write_fields<'h>(steps: &mut Steps, fields: impl Iterator<Item = Header<'h>>) {
    for field in fields {
        let shown = steps.masks.field(field);
        steps.line(2, &shown);
    }
}

/// The URL that the client requests.
struct Url {
    is_tls: bool,
    host: String,
    target: String,
}

impl Url {
    /// Returns the scheme of the request, as HTTP fields have it.
    fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }

    /// Parses the given URL; without one, uses the path of the API under `scheme`.
    fn parse(given: Option<&str>, scheme: &str, api_path: &str) -> Result<Self, String> {
        let made_up = format!("{scheme}://gateway.example/{api_path}");
        let given = given.unwrap_or(&made_up);
        let (is_tls, rest) = match given.split_once("://") {
            Some(("ws" | "http", rest)) => (false, rest),
            Some(("wss" | "https", rest)) => (true, rest),
            Some(_) | None => return Err(format!("{given}: allowed is ws://host/path or wss://host/path\n")),
        };
        let host_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, target) = rest.split_at(host_end);
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { is_tls, host: host.to_owned(), target })
    }
}
