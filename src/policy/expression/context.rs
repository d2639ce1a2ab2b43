//! The parts of an opening handshake that an expression can read, and the few actions that it can take.
//!
//! Everything is borrowed for one evaluation. Names stand as they are in Azure API Management's `context`; a `None` is its `null`.
//!
//! Not here: how values get in. Header values are text by then; an address of a client is written out.

use std::collections::HashMap;

use super::value::{Guid, Value};
use crate::policy::date_time::{DateTime, TimeSpan};

/// Names and values in their order, a name as often as it stands.
pub trait Fields {
    /// Name and value of the field at `index`; `None` behind the last.
    fn field(&self, index: usize) -> Option<(&str, &str)>;
}

impl<N: AsRef<str>, V: AsRef<str>> Fields for Vec<(N, V)> {
    fn field(&self, index: usize) -> Option<(&str, &str)> {
        self.get(index).map(|(name, value)| (name.as_ref(), value.as_ref()))
    }
}

impl<const COUNT: usize> Fields for [(&str, &str); COUNT] {
    fn field(&self, index: usize) -> Option<(&str, &str)> {
        self.get(index).copied()
    }
}

/// No fields.
pub const NO_FIELDS: &dyn Fields = &[("", ""); 0];

/// All of `fields`, in order.
pub(super) fn each(fields: &dyn Fields) -> impl Iterator<Item = (&str, &str)> {
    (0..).map_while(|index| fields.field(index))
}

/// The variables that policies have set, by name. Case counts.
#[derive(Clone, Debug, Default)]
pub struct Variables(HashMap<Box<str>, Value>);

impl Variables {
    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        let mut all: Vec<_> = self.0.iter().map(|(name, value)| (&**name, value)).collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        all.into_iter()
    }

    /// Sets `name`, whatever it was before. Only what an expression compiled for [`Wanted::Kept`](super::Wanted) gives belongs here.
    pub fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.into(), value);
    }
}

/// The input of an expression.
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the members are those of `context`, under their own names")]
pub struct Context<'c> {
    pub request: Request<'c>,
    /// The backend's answer, or the one that was made instead.
    pub response: Option<Response<'c>>,
    pub api: Api<'c>,
    pub operation: Operation<'c>,
    pub product: Option<Product<'c>>,
    pub subscription: Option<Subscription<'c>>,
    pub user: Option<User<'c>>,
    pub deployment: Deployment<'c>,
    /// `None`: no variable is set yet.
    pub variables: Option<&'c Variables>,
    pub last_error: Option<LastError<'c>>,
    pub request_id: Guid,
    /// When the handshake came.
    pub timestamp: DateTime,
    /// The value of `DateTime.UtcNow`.
    pub now: DateTime,
    /// Since the handshake came.
    pub elapsed: TimeSpan,
    pub is_tracing: bool,
}

/// `context.Request`.
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the members are those of `context`, under their own names")]
pub struct Request<'c> {
    pub method: &'c str,
    /// As policies have changed it.
    pub url: Url<'c>,
    /// As the client asked for it.
    pub original_url: Url<'c>,
    pub headers: &'c dyn Fields,
    pub ip_address: &'c str,
    pub certificate: Option<Certificate<'c>>,
    pub matched_parameters: &'c dyn Fields,
}

/// `context.Request.Url`.
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the members are those of `context`, under their own names")]
pub struct Url<'c> {
    pub scheme: &'c str,
    pub host: &'c str,
    pub port: u16,
    /// Begins with `/`.
    pub path: &'c str,
    /// As it is on the wire, without its `?`.
    pub query: &'c str,
}

/// `context.Request.Certificate`: the client's.
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the members are those of `context`, under their own names")]
pub struct Certificate<'c> {
    pub thumbprint: &'c str,
    pub subject: &'c str,
    pub issuer: &'c str,
    pub serial_number: &'c str,
    pub not_before: DateTime,
    pub not_after: DateTime,
}

/// `context.Response`.
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the members are those of `context`, under their own names")]
pub struct Response<'c> {
    pub status_code: u16,
    pub status_reason: &'c str,
    pub headers: &'c dyn Fields,
}

/// `context.Api`.
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the members are those of `context`, under their own names")]
pub struct Api<'c> {
    pub id: &'c str,
    pub name: &'c str,
    pub path: &'c str,
    pub revision: &'c str,
    pub version: &'c str,
    /// An absolute address, or empty.
    pub service_url: &'c str,
    pub is_current_revision: bool,
}

/// `context.Operation`.
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the members are those of `context`, under their own names")]
pub struct Operation<'c> {
    pub id: &'c str,
    pub name: &'c str,
    pub method: &'c str,
    pub url_template: &'c str,
}

/// `context.Product`.
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the members are those of `context`, under their own names")]
pub struct Product<'c> {
    pub id: &'c str,
    pub name: &'c str,
}

/// `context.Subscription`.
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the members are those of `context`, under their own names")]
pub struct Subscription<'c> {
    pub id: &'c str,
    pub name: &'c str,
    /// The one that was used.
    pub key: &'c str,
    pub primary_key: &'c str,
    pub secondary_key: &'c str,
}

/// `context.User`.
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the members are those of `context`, under their own names")]
pub struct User<'c> {
    pub id: &'c str,
    pub email: &'c str,
    pub first_name: &'c str,
    pub last_name: &'c str,
}

/// `context.Deployment`.
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the members are those of `context`, under their own names")]
pub struct Deployment<'c> {
    pub region: &'c str,
    pub gateway_id: &'c str,
    pub service_id: &'c str,
    pub service_name: &'c str,
}

/// `context.LastError`.
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the members are those of `context`, under their own names")]
pub struct LastError<'c> {
    pub source: &'c str,
    pub reason: &'c str,
    pub message: &'c str,
    pub scope: &'c str,
    pub section: &'c str,
    pub path: &'c str,
    pub policy_id: &'c str,
}

impl Default for Context<'_> {
    fn default() -> Self {
        let url = Url { scheme: "", host: "", port: 0, path: "/", query: "" };
        let request = Request {
            method: "GET",
            url,
            original_url: url,
            headers: NO_FIELDS,
            ip_address: "",
            certificate: None,
            matched_parameters: NO_FIELDS,
        };
        Self {
            request,
            response: None,
            api: Api::default(),
            operation: Operation::default(),
            product: None,
            subscription: None,
            user: None,
            deployment: Deployment::default(),
            variables: None,
            last_error: None,
            request_id: Guid([0; 16]),
            timestamp: DateTime::MIN,
            now: DateTime::MIN,
            elapsed: TimeSpan(0),
            is_tracing: false,
        }
    }
}

/// The interface of an expression to the outside.
pub trait ExpressionHost {
    /// 64 random bits, for `Random` and `Guid.NewGuid`.
    fn random_bits(&mut self) -> u64;

    /// `context.Trace(message)`.
    fn trace(&mut self, message: &str);
}
