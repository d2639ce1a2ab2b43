//! One opening handshake as policies see and change it: the request on its way to the backend, variables, and the answer.
//!
//! The property to trust: whatever policies do, the request that leaves has a target of its backend, begins with `/` and holds
//! visible ASCII only, and no field can end its line.
//!
//! Not here: which fields a leg gets written anew (`http1::encode`), the body of a backend's answer (the shell).

pub mod fields;
mod last_error;
pub(crate) mod query;
mod response;

pub use fields::Fields;
pub use last_error::LastError;
pub use response::{Body, Response};

use core::net::IpAddr;
use std::sync::Arc;

use super::expression::{self, Context, DateTime, Guid, Text, TimeSpan, Variables};
use super::slot::Slot;
use crate::catalog::BackendUrl;
use crate::catalog::access::Access;
use crate::catalog::api::Api;
use crate::catalog::given_key::GivenKey;
use crate::catalog::product::Product;
use crate::catalog::subscription::Subscription;
use crate::head::forwarding::visible_to_policies;
use crate::head::path_escape::leaves_suffix;
use crate::head::{RequestHead, Target};
use crate::limits::TARGET_BYTES_MAX;

/// The name and the id of the one operation of a WebSocket API.
const OPERATION: &str = "onHandshake";

/// The parts that an exchange is made of.
#[derive(Clone, Copy)]
pub struct ExchangeParts<'a> {
    /// The request.
    pub request: &'a RequestHead,
    /// `http` or `https`: that of the listener.
    pub scheme: &'static str,
    /// The rest of its path behind the API's suffix.
    pub rest: &'a str,
    /// The API.
    pub api: &'a Arc<Api>,
    /// Its path, its version included, without a leading `/`.
    pub api_path: &'a str,
    /// In whose name the handshake is.
    pub access: &'a Access<'a>,
    /// Who connected.
    pub client: IpAddr,
    /// The client's certificate, if it showed one.
    pub certificate: Option<expression::Certificate<'a>>,
    /// Which gateway this is.
    pub gateway: &'a str,
    /// A random id of this handshake.
    pub request_id: Guid,
    /// When it came.
    pub timestamp: DateTime,
}

/// The time that policies see.
#[derive(Clone, Copy, Debug)]
pub struct EvaluationTime {
    /// The time of day.
    pub now: DateTime,
    /// Since the handshake came.
    pub elapsed: TimeSpan,
}

/// Why the backend cannot be asked for what a policy has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetFault {
    /// It does not begin with `/`, or has characters that no path has.
    IsNoPath,
    /// Its dot segments lead above the path of the backend's URL.
    LeavesBackendPath,
    /// The query has characters that no query has.
    NeedsEncoding,
    /// Path and query are too long together.
    TooLong,
}

impl TargetFault {
    /// Returns the fault's message, for policies and the log.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::IsNoPath => "The rewritten path is not one: it begins with / and has visible characters.",
            Self::LeavesBackendPath => "The rewritten path leaves the one of the backend's URL.",
            Self::NeedsEncoding => "The query has characters that have to be percent-encoded.",
            Self::TooLong => "The rewritten target is too long.",
        }
    }
}

/// One handshake. It shows no value of it, as keys and tokens travel in them.
pub struct Exchange {
    /// The fields of the request.
    pub request: Fields,
    /// The variables that policies have set.
    pub variables: Variables,
    /// The backend's answer, or what is answered instead.
    pub response: Option<Response>,
    /// The last error.
    pub last_error: Option<LastError>,
    /// Fields that the client's answer gets, whatever it is.
    pub(crate) told: Vec<(Text, String)>,
    slots: Vec<Slot>,
    backend: BackendUrl,
    /// Behind the path of the backend's URL.
    rest: String,
    query: String,
    /// The path to ask the backend for.
    path: String,
    came: OriginalRequest,
}

/// The parts of the request that no policy changes.
struct OriginalRequest {
    scheme: &'static str,
    host: String,
    port: u16,
    path: String,
    query: String,
    api: Arc<Api>,
    api_path: String,
    service_url: String,
    version: String,
    revision: String,
    subscription: Option<Arc<Subscription>>,
    key: String,
    product: Option<Arc<Product>>,
    client: IpAddr,
    client_text: String,
    certificate: Option<Box<OwnCertificate>>,
    gateway: String,
    request_id: Guid,
    timestamp: DateTime,
}

/// The fields of a certificate.
struct OwnCertificate {
    thumbprint: String,
    subject: String,
    issuer: String,
    serial_number: String,
    not_before: DateTime,
    not_after: DateTime,
}

impl OwnCertificate {
    fn of(shown: &expression::Certificate<'_>) -> Self {
        Self {
            thumbprint: shown.thumbprint.to_owned(),
            subject: shown.subject.to_owned(),
            issuer: shown.issuer.to_owned(),
            serial_number: shown.serial_number.to_owned(),
            not_before: shown.not_before,
            not_after: shown.not_after,
        }
    }

    fn shown(&self) -> expression::Certificate<'_> {
        expression::Certificate {
            thumbprint: &self.thumbprint,
            subject: &self.subject,
            issuer: &self.issuer,
            serial_number: &self.serial_number,
            not_before: self.not_before,
            not_after: self.not_after,
        }
    }
}

impl core::fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("Exchange")
            .field("api", &self.came.api.name)
            .field("backend", &self.backend)
            .field("path", &self.path)
            .field("request", &self.request)
            .field("response", &self.response)
            .field("last_error", &self.last_error)
            .finish_non_exhaustive()
    }
}

impl Exchange {
    /// A handshake as it came.
    pub fn new(arrival: &ExchangeParts<'_>) -> Self {
        let ExchangeParts { request, api, .. } = *arrival;
        let (path, query) = match request.target() {
            Target::Origin { path, query } => (path, query),
            Target::Asterisk | Target::Other => ("", None),
        };
        let (host, port) = split_host(request.host(), arrival.scheme);
        let mut exchange = Self {
            request: Fields::of(visible_to_policies(request.headers())),
            variables: Variables::default(),
            response: None,
            last_error: None,
            told: Vec::new(),
            slots: Vec::new(),
            backend: api.backend.clone(),
            rest: arrival.rest.to_owned(),
            query: query.unwrap_or_default().to_owned(),
            path: String::new(),
            came: OriginalRequest {
                scheme: arrival.scheme,
                host,
                port,
                path: path.to_owned(),
                query: query.unwrap_or_default().to_owned(),
                api: Arc::clone(api),
                api_path: arrival.api_path.to_owned(),
                service_url: api.backend.to_string(),
                version: api.version.as_ref().map(ToString::to_string).unwrap_or_default(),
                revision: api.revision.to_string(),
                subscription: arrival.access.subscription.cloned(),
                key: key_of(api, request, query),
                product: arrival.access.product.cloned(),
                client: arrival.client,
                client_text: arrival.client.to_canonical().to_string(),
                certificate: arrival.certificate.as_ref().map(|shown| Box::new(OwnCertificate::of(shown))),
                gateway: arrival.gateway.to_owned(),
                request_id: arrival.request_id,
                timestamp: arrival.timestamp,
            },
        };
        exchange.path = exchange.backend.path_with(&exchange.rest);
        exchange
    }

    /// Where the session goes.
    pub fn backend(&self) -> &BackendUrl {
        &self.backend
    }

    /// Who connected.
    pub fn client(&self) -> IpAddr {
        self.came.client
    }

    /// The API.
    pub fn api(&self) -> &Arc<Api> {
        &self.came.api
    }

    /// The subscription whose key was given.
    pub fn subscription(&self) -> Option<&Arc<Subscription>> {
        self.came.subscription.as_ref()
    }

    /// The subscription key that was given; empty if none was.
    pub fn key(&self) -> &str {
        &self.came.key
    }

    /// The product in whose context the handshake is.
    pub fn product(&self) -> Option<&Arc<Product>> {
        self.came.product.as_ref()
    }

    /// The slots that it holds.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Holds a slot until it ends; the session that it opens takes it over.
    pub(crate) fn hold(&mut self, slot: Slot) {
        self.slots.push(slot);
    }

    /// Gives up the slots that it holds to the session that it opened.
    pub fn take_slots(&mut self) -> Vec<Slot> {
        core::mem::take(&mut self.slots)
    }

    /// The query on its way to the backend, without its `?`.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// Returns the target of the request to the backend.
    pub fn target(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }

    /// Sends the session to another backend.
    ///
    /// # Errors
    /// The target is too long then.
    pub(crate) fn set_backend(&mut self, backend: BackendUrl) -> Result<(), TargetFault> {
        self.backend = backend;
        self.path = self.backend.path_with(&self.rest);
        self.check_target()
    }

    /// Asks the backend for another path below its URL's; `rest` begins with `/`.
    ///
    /// # Errors
    /// It is no path, leaves the backend's, or is too long.
    pub(crate) fn set_path(&mut self, rest: String) -> Result<(), TargetFault> {
        if !rest.starts_with('/')
            || !rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte))
        {
            return Err(TargetFault::IsNoPath);
        }
        if leaves_suffix(&rest) {
            return Err(TargetFault::LeavesBackendPath);
        }
        self.rest = rest;
        self.path = self.backend.path_with(&self.rest);
        self.check_target()
    }

    /// Sets the query.
    ///
    /// # Errors
    /// It has characters that none may have, or the target is too long.
    pub(crate) fn set_query(&mut self, query: String) -> Result<(), TargetFault> {
        if !query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(TargetFault::NeedsEncoding);
        }
        self.query = query;
        self.check_target()
    }

    fn check_target(&self) -> Result<(), TargetFault> {
        if self.path.len() + 1 + self.query.len() <= TARGET_BYTES_MAX {
            return Ok(());
        }
        Err(TargetFault::TooLong)
    }

    /// Returns the view that expressions read.
    pub fn context(&self, moment: EvaluationTime) -> Context<'_> {
        let came = &self.came;
        let name = self.came.api.name.as_str();
        Context {
            request: expression::Request {
                method: "GET",
                url: expression::Url {
                    scheme: if self.backend.is_tls { "https" } else { "http" },
                    host: host_of(&self.backend.authority),
                    port: self.backend.port,
                    path: &self.path,
                    query: &self.query,
                },
                original_url: expression::Url {
                    scheme: came.scheme,
                    host: &came.host,
                    port: came.port,
                    path: &came.path,
                    query: &came.query,
                },
                headers: &self.request,
                ip_address: &came.client_text,
                certificate: came.certificate.as_deref().map(OwnCertificate::shown),
                matched_parameters: expression::NO_FIELDS,
            },
            response: self.response.as_ref().map(|response| expression::Response {
                status_code: response.status,
                status_reason: response.reason(),
                headers: &response.fields,
            }),
            api: expression::Api {
                id: name,
                name: &came.api.display_name,
                path: &came.api_path,
                revision: &came.revision,
                version: &came.version,
                service_url: &came.service_url,
                is_current_revision: true,
            },
            operation: expression::Operation {
                id: OPERATION,
                name: OPERATION,
                method: "GET",
                url_template: "/",
            },
            product: came.product.as_ref().map(|product| expression::Product {
                id: product.name.as_str(),
                name: &product.display_name,
            }),
            subscription: came.subscription.as_ref().map(|subscription| expression::Subscription {
                id: subscription.name.as_str(),
                name: &subscription.display_name,
                key: &came.key,
                // Ringgate keeps hashes alone.
                primary_key: "",
                secondary_key: "",
            }),
            user: None,
            deployment: expression::Deployment {
                gateway_id: &came.gateway,
                service_name: "ringgate",
                ..expression::Deployment::default()
            },
            variables: Some(&self.variables),
            last_error: self.last_error.as_ref().map(|error| expression::LastError {
                source: error.source,
                reason: error.reason,
                message: &error.message,
                scope: error.scope,
                section: error.section,
                path: &error.path,
                policy_id: error.policy_id.as_deref().unwrap_or_default(),
            }),
            request_id: came.request_id,
            timestamp: came.timestamp,
            now: moment.now,
            elapsed: moment.elapsed,
            is_tracing: false,
        }
    }
}

/// The subscription key that was given. What is no text is no subscription's key either.
fn key_of(api: &Api, request: &RequestHead, query: Option<&str>) -> String {
    match GivenKey::find(&api.key_names, request.headers(), query) {
        GivenKey::Key(key) => String::from_utf8_lossy(&key).into_owned(),
        GivenKey::Nothing | GivenKey::NoKey => String::new(),
    }
}

/// Host and port of a checked authority; without a port, that of the scheme.
fn split_host(authority: &str, scheme: &str) -> (String, u16) {
    let default = if scheme == "https" { 443 } else { 80 };
    let host = host_of(authority);
    let port = authority[host.len()..].strip_prefix(':').and_then(|port| port.parse().ok());
    (host.to_owned(), port.unwrap_or(default))
}

fn host_of(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        Some(_) | None => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_and_a_port() {
        for (authority, scheme, host, port) in [
            ("a.example", "http", "a.example", 80),
            ("a.example", "https", "a.example", 443),
            ("a.example:81", "https", "a.example", 81),
            ("[::1]", "http", "[::1]", 80),
            ("[::1]:8080", "http", "[::1]", 8080),
            ("a:", "http", "a", 80),
        ] {
            assert_eq!(split_host(authority, scheme), (host.to_owned(), port), "{authority}");
        }
    }
}
