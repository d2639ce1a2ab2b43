//! Attributes and values (`opentelemetry/proto/common/v1`), and the resource and the scope that all telemetry is of.

use super::protobuf::Message;
use crate::config::OtlpConfig;
use crate::session::CorrelationId;

/// A value of an attribute.
#[derive(Clone, Copy, Debug)]
pub(super) enum AnyValue<'v> {
    Text(&'v str),
    Bool(bool),
    Int(i64),
    Double(f64),
    /// JSON, as its text.
    Json(&'v str),
}

impl<'v> From<&'v str> for AnyValue<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for AnyValue<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// Writes a `KeyValue` as `field` of a message.
pub(super) fn attribute<'v>(
    message: &mut Message<'_>,
    field: u32,
    name: &str,
    value: impl Into<AnyValue<'v>>,
) {
    message.message(field, |pair| {
        pair.text(1, name);
        any_value(pair, 2, value.into());
    });
}

/// Writes an `AnyValue` as `field` of a message.
pub(super) fn any_value(message: &mut Message<'_>, field: u32, value: AnyValue<'_>) {
    message.message(field, |any| match value {
        AnyValue::Text(text) => any.text(1, text),
        AnyValue::Bool(is) => any.varint(2, is.into()),
        AnyValue::Int(number) => any.varint(3, number as u64),
        AnyValue::Double(number) => any.double(4, number),
        AnyValue::Json(text) => match serde_json::from_str(text) {
            Ok(value) => write_json(any, &value),
            Err(_) => any.text(1, text),
        },
    });
}

/// Writes the fields of an `AnyValue`. Null is one without any.
fn write_json(any: &mut Message<'_>, value: &serde_json::Value) {
    match value {
        serde_json::Value::Null => {}
        serde_json::Value::Bool(is) => any.varint(2, (*is).into()),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => any.varint(3, number as u64),
            None => any.double(4, number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => any.text(1, text),
        serde_json::Value::Array(values) => any.message(5, |array| {
            values.iter().for_each(|value| array.message(1, |any| write_json(any, value)));
        }),
        serde_json::Value::Object(members) => any.message(6, |list| {
            for (name, value) in members {
                list.message(1, |pair| {
                    pair.text(1, name);
                    pair.message(2, |any| write_json(any, value));
                });
            }
        }),
    }
}

/// What all telemetry of a process is of, written once.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    resource: Vec<u8>,
    scope: Vec<u8>,
}

impl Origin {
    /// That of this process, in a gateway of this name (empty: none).
    pub(super) fn of(config: &OtlpConfig, gateway: &str) -> Self {
        let mut id = [0; 16];
        // Without random bytes all instances of a host are told apart by their process alone.
        let _ = getrandom::fill(&mut id);
        let id = CorrelationId::from_random(id).to_string();
        let process = i64::from(std::process::id());
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let own: [(&str, AnyValue<'_>); 6] = [
            ("service.name", "ringgate".into()),
            ("service.version", env!("CARGO_PKG_VERSION").into()),
            ("service.instance.id", id.as_str().into()),
            ("host.name", host.as_str().into()),
            ("process.pid", process.into()),
            ("ringgate.gateway", gateway.into()),
        ];
        let mut resource = Vec::new();
        let mut message = Message::new(&mut resource);
        let is_given = |name: &str| config.attributes.iter().any(|(given, _)| given == name);
        for (name, value) in own {
            if !is_given(name) && !matches!(value, AnyValue::Text("")) {
                attribute(&mut message, 1, name, value);
            }
        }
        for (name, value) in &config.attributes {
            attribute(&mut message, 1, name, value.as_str());
        }
        let mut scope = Vec::new();
        let mut message = Message::new(&mut scope);
        message.text(1, "ringgate");
        message.text(2, env!("CARGO_PKG_VERSION"));
        Self { resource, scope }
    }

    /// A request with one resource and one scope, as those of all three signals are built; `write` adds what is of the scope.
    pub(super) fn request(&self, write: impl FnOnce(&mut Message<'_>)) -> Vec<u8> {
        let mut request = Vec::new();
        // ResourceLogs and its like: resource = 1, scope_logs = 2; ScopeLogs and its like: scope = 1.
        Message::new(&mut request).message(1, |of_resource| {
            of_resource.message(1, |resource| resource.fields(&self.resource));
            of_resource.message(2, |of_scope| {
                of_scope.message(1, |scope| scope.fields(&self.scope));
                write(of_scope);
            });
        });
        request
    }
}
