//! `ringgate policy trace`: one made-up handshake, judged and changed step by step by a document in its catalogue.
//!
//! Nothing is opened, resolved or dialled: what the backend answers is made up too. Whether a key is right is not asked; the
//! subscription is the one that is named.
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
use crate::catalog::product::Product;
use crate::catalog::subscription::{Scope, Subscription};
use crate::catalog::{Api, Fault};
use crate::compiled::Snapshot;
use crate::compiled::given_version::given_version;
use crate::head::{Header, HttpDate, RequestHead, Target};
use crate::http1::encode::encode_answer;
use crate::policy::exchange::fields::is_owned;
use crate::policy::exchange::{EvaluationTime, Exchange, ExchangeParts, Fields, Response};
use crate::policy::expression::{DateTime, Guid, TimeSpan};
use crate::policy::failure::Failure;
use crate::policy::machine::{Yield, start};

/// Which document, and what handshake.
#[derive(Debug, clap::Args)]
pub struct Trace {
    /// The document
    file: PathBuf,
    /// The instance file that names the catalogue. Without it: the one the document lies in, or one that is made up
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
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
}

/// What the made-up backend does.
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
    /// Traces.
    pub(super) fn run(&self) -> ExitCode {
        match self.trace() {
            Ok(text) => {
                let _ = io::stdout().write_all(text.as_bytes());
                ExitCode::SUCCESS
            }
            Err(text) => {
                let _ = io::stderr().write_all(text.as_bytes());
                ExitCode::FAILURE
            }
        }
    }

    fn trace(&self) -> Result<String, String> {
        let stage = self.stage().map_err(|faults| lines(&faults))?;
        let snapshot = stage.compile().map_err(|faults| lines(&stage.told(faults)))?;
        let api = self.api_of(&stage, &snapshot)?;
        let subscription = self.subscription_of(&snapshot)?;
        let product = self.product_of(&stage, &snapshot, subscription)?;
        let access = Access { subscription, product };
        self.run_through(&snapshot, api, &access)
    }

    fn stage(&self) -> Result<Stage, Vec<Fault>> {
        let mut stage = Stage::of(&self.file, self.config.as_deref(), self.api.as_deref())?;
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

    fn run_through(
        &self,
        snapshot: &Snapshot,
        api: &Arc<Api>,
        access: &Access<'_>,
    ) -> Result<String, String> {
        let api_path = snapshot.path_of(api);
        let url = Url::parse(self.url.as_deref(), &api_path)?;
        let request = self.request(&url)?;
        let Target::Origin { path, query } = request.target() else {
            return Err(format!("{}: not a path\n", url.target));
        };
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
        let now = UnixTime::now().as_secs();
        let now = i64::try_from(now).ok().and_then(DateTime::from_unix_seconds).unwrap_or(DateTime::MIN);
        let mut exchange = Exchange::new(&ExchangeParts {
            request: &request,
            scheme: url.scheme,
            rest,
            api,
            api_path: &api_path,
            access,
            client: self.client,
            certificate: None,
            gateway: "",
            request_id: Guid::from_random(1),
            timestamp: now,
        });
        let mut masks = Masks::default();
        masks.add(exchange.key());
        let secrets = snapshot.entities().named_values.values().filter(|value| value.is_secret);
        secrets.for_each(|value| masks.add(&value.value));
        masks.add_credentials(request.headers().iter());
        let mut steps = Steps::new(masks, !self.no_times);
        steps.line(0, &format!("client {}: GET {} HTTP/1.1", self.client, url.target));
        write_fields(&mut steps, request.headers().iter());
        let Some(pipeline) = snapshot.policies_of(api, access) else {
            return Err("no document applies to this handshake\n".to_owned());
        };
        let moment = EvaluationTime { now, elapsed: TimeSpan(0) };
        let mut turn = start(pipeline, &mut exchange, moment, &mut steps);
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
        match turn {
            Yield::PassOn => {
                let Some(response) = &exchange.response else { return Err("no answer\n".to_owned()) };
                steps
                    .line(0, &format!("client gets the backend's {} {}", response.status, response.reason()));
                write_fields(&mut steps, response.fields.iter());
            }
            Yield::Respond(response) => {
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
                    write_fields(&mut steps, std::iter::once(Header { name, value: value.as_bytes() }));
                }
                if !body.is_empty() {
                    steps.line(2, body);
                }
            }
            Yield::Dial(_) => return Err("the backend is dialled twice\n".to_owned()),
        }
        Ok(steps.text)
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

    /// What comes of the dial.
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

/// What the client asks for.
struct Url {
    scheme: &'static str,
    host: String,
    target: String,
}

impl Url {
    fn parse(given: Option<&str>, api_path: &str) -> Result<Self, String> {
        let made_up = format!("ws://gateway.example/{api_path}");
        let given = given.unwrap_or(&made_up);
        let (scheme, rest) = match given.split_once("://") {
            Some(("ws" | "http", rest)) => ("http", rest),
            Some(("wss" | "https", rest)) => ("https", rest),
            Some(_) | None => return Err(format!("{given}: allowed is ws://host/path or wss://host/path\n")),
        };
        let host_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, target) = rest.split_at(host_end);
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { scheme, host: host.to_owned(), target })
    }
}
