//! Members of `context` and of what hangs on it.
//!
//! Several values of one header or query parameter are one text with commas where one text is asked for, as Azure API
//! Management has it. Names of headers and of query parameters match in any case, those of variables and claims exactly.

use super::short::{BOOL, GUID, INT, OBJECT, SPAN, TEXT, TEXTS, TIME, URI};
use super::{
    Call, Inner, Kind, Member, Part, Raised, Run, Takes, Text, Type, default_of, method, mistyped, property,
};
use crate::policy::expression::context::{
    Certificate, Fields, LastError, NO_FIELDS, Product, Response, Subscription, Url, User, each,
};
use crate::policy::expression::fault::Exception;
use crate::policy::expression::run::{Outcome, cast};
use crate::policy::expression::uri::{Uri, query_fields};
use crate::policy::expression::value::Value;

const CONTEXT: Type = Type::One(Kind::Context);
const REQUEST: Type = Type::One(Kind::Request);
const RESPONSE: Type = Type::One(Kind::Response);
const URL: Type = Type::One(Kind::Url);
const HEADERS: Type = Type::One(Kind::Headers);
const QUERY: Type = Type::One(Kind::Query);
const PAIRS: Type = Type::One(Kind::Pairs);
const CLAIMS: Type = Type::One(Kind::Claims);
const VARIABLES: Type = Type::One(Kind::Variables);
const API: Type = Type::One(Kind::Api);
const OPERATION: Type = Type::One(Kind::Operation);
const PRODUCT: Type = Type::One(Kind::Product);
const SUBSCRIPTION: Type = Type::One(Kind::Subscription);
const USER: Type = Type::One(Kind::User);
const DEPLOYMENT: Type = Type::One(Kind::Deployment);
const GATEWAY: Type = Type::One(Kind::Gateway);
const LAST_ERROR: Type = Type::One(Kind::LastError);
const CERTIFICATE: Type = Type::One(Kind::Certificate);

/// A property that depends on the context.
const fn of_context(
    on: Type,
    name: &'static str,
    gives: Type,
    run: fn(&mut Run<'_>, &Call<'_>) -> Outcome,
) -> Member {
    property(on, name, gives, run).varies()
}

pub(super) const MEMBERS: &[Member] = &[
    of_context(CONTEXT, "Request", REQUEST, |_, _| Ok(Value::part(Part::Request))),
    of_context(CONTEXT, "Response", RESPONSE, |run, _| there(run.context.response.is_some(), Part::Response)),
    of_context(CONTEXT, "Api", API, |_, _| Ok(Value::part(Part::Api))),
    of_context(CONTEXT, "Operation", OPERATION, |_, _| Ok(Value::part(Part::Operation))),
    of_context(CONTEXT, "Product", PRODUCT, |run, _| there(run.context.product.is_some(), Part::Product)),
    of_context(CONTEXT, "Subscription", SUBSCRIPTION, |run, _| {
        there(run.context.subscription.is_some(), Part::Subscription)
    }),
    of_context(CONTEXT, "User", USER, |run, _| there(run.context.user.is_some(), Part::User)),
    of_context(CONTEXT, "Deployment", DEPLOYMENT, |_, _| Ok(Value::part(Part::Deployment))),
    of_context(CONTEXT, "Variables", VARIABLES, |_, _| Ok(Value::part(Part::Variables))),
    of_context(CONTEXT, "LastError", LAST_ERROR, |run, _| {
        there(run.context.last_error.is_some(), Part::LastError)
    }),
    of_context(CONTEXT, "RequestId", GUID, |run, _| Ok(Value::Guid(run.context.request_id))),
    of_context(CONTEXT, "Timestamp", TIME, |run, _| Ok(Value::DateTime(run.context.timestamp))),
    of_context(CONTEXT, "Elapsed", SPAN, |run, _| Ok(Value::TimeSpan(run.context.elapsed))),
    of_context(CONTEXT, "Tracing", BOOL, |run, _| Ok(Value::Bool(run.context.is_tracing))),
    method(CONTEXT, "Trace", &[Takes::A(TEXT)], Type::Void, |run, call| {
        let message = call.text_or_null(0).map_or("", |message| message);
        run.read(message.len())?;
        run.outside.trace(message);
        Ok(Value::Null)
    })
    .varies(),
    of_context(REQUEST, "Method", TEXT, |run, _| text_of(run, |context| context.request.method)),
    of_context(REQUEST, "Url", URL, |_, _| Ok(Value::part(Part::Url))),
    of_context(REQUEST, "OriginalUrl", URL, |_, _| Ok(Value::part(Part::OriginalUrl))),
    of_context(REQUEST, "Headers", HEADERS, |_, _| Ok(Value::part(Part::RequestHeaders))),
    of_context(REQUEST, "IpAddress", TEXT, |run, _| text_of(run, |context| context.request.ip_address)),
    of_context(REQUEST, "MatchedParameters", PAIRS, |_, _| Ok(Value::part(Part::MatchedParameters))),
    of_context(REQUEST, "Certificate", CERTIFICATE, |run, _| {
        there(run.context.request.certificate.is_some(), Part::Certificate)
    }),
    of_context(CERTIFICATE, "Thumbprint", TEXT, |run, _| {
        text_of(run, |context| certificate(context).thumbprint)
    }),
    of_context(CERTIFICATE, "Subject", TEXT, |run, _| text_of(run, |context| certificate(context).subject)),
    of_context(CERTIFICATE, "Issuer", TEXT, |run, _| text_of(run, |context| certificate(context).issuer)),
    of_context(CERTIFICATE, "SerialNumber", TEXT, |run, _| {
        text_of(run, |context| certificate(context).serial_number)
    }),
    of_context(CERTIFICATE, "NotBefore", TIME, |run, _| {
        Ok(Value::DateTime(certificate(run.context).not_before))
    }),
    of_context(CERTIFICATE, "NotAfter", TIME, |run, _| {
        Ok(Value::DateTime(certificate(run.context).not_after))
    }),
    of_context(RESPONSE, "StatusCode", INT, |run, _| {
        Ok(Value::Int(response(run.context).status_code.into()))
    }),
    of_context(RESPONSE, "StatusReason", TEXT, |run, _| {
        text_of(run, |context| response(context).status_reason)
    }),
    of_context(RESPONSE, "Headers", HEADERS, |_, _| Ok(Value::part(Part::ResponseHeaders))),
    of_context(URL, "Scheme", TEXT, |run, call| of_url(run, call, |url| url.scheme)),
    of_context(URL, "Host", TEXT, |run, call| of_url(run, call, |url| url.host)),
    of_context(URL, "Path", TEXT, |run, call| of_url(run, call, |url| url.path)),
    of_context(URL, "Port", INT, |run, call| Ok(Value::Int(url(run, call)?.port.into()))),
    of_context(URL, "QueryString", TEXT, |run, call| {
        let query = url(run, call)?.query;
        if query.is_empty() {
            return run.text("");
        }
        run.take_bytes(query.len() + 1)?;
        run.text(&format!("?{query}"))
    }),
    of_context(URL, "Query", QUERY, |_, call| {
        let is_original = call.on_part()? == Part::OriginalUrl;
        Ok(Value::part(if is_original { Part::OriginalQuery } else { Part::Query }))
    }),
    method(URL, "ToString", &[], TEXT, |run, call| {
        let url = url(run, call)?;
        let is_default =
            matches!((url.scheme, url.port), ("http" | "ws", 80) | ("https" | "wss", 443) | (_, 0));
        let port = if is_default { String::new() } else { format!(":{}", url.port) };
        let question = if url.query.is_empty() { "" } else { "?" };
        run.take_bytes(url.path.len() + url.query.len())?;
        run.text(&format!("{}://{}{port}{}{question}{}", url.scheme, url.host, url.path, url.query))
    })
    .varies(),
    method(HEADERS, "ContainsKey", &[Takes::A(TEXT)], BOOL, contains).varies(),
    method(HEADERS, "GetValueOrDefault", &[Takes::A(TEXT)], TEXT, joined_or_default).varies(),
    method(HEADERS, "GetValueOrDefault", &[Takes::A(TEXT), Takes::A(TEXT)], TEXT, joined_or_default).varies(),
    method(HEADERS, "[]", &[Takes::A(TEXT)], TEXTS, all_of).varies(),
    method(HEADERS, "TryGetValue", &[Takes::A(TEXT), Takes::Out(TEXTS)], TEXTS, all_or_null).varies(),
    of_context(HEADERS, "Keys", Type::Sequence(Kind::Text), names),
    of_context(HEADERS, "Count", INT, count),
    method(QUERY, "ContainsKey", &[Takes::A(TEXT)], BOOL, contains).varies(),
    method(QUERY, "GetValueOrDefault", &[Takes::A(TEXT)], TEXT, joined_or_default).varies(),
    method(QUERY, "GetValueOrDefault", &[Takes::A(TEXT), Takes::A(TEXT)], TEXT, joined_or_default).varies(),
    method(QUERY, "[]", &[Takes::A(TEXT)], TEXTS, all_of).varies(),
    method(QUERY, "TryGetValue", &[Takes::A(TEXT), Takes::Out(TEXTS)], TEXTS, all_or_null).varies(),
    of_context(QUERY, "Keys", Type::Sequence(Kind::Text), names),
    of_context(QUERY, "Count", INT, count),
    method(PAIRS, "ContainsKey", &[Takes::A(TEXT)], BOOL, contains).varies(),
    method(PAIRS, "GetValueOrDefault", &[Takes::A(TEXT)], TEXT, joined_or_default).varies(),
    method(PAIRS, "GetValueOrDefault", &[Takes::A(TEXT), Takes::A(TEXT)], TEXT, joined_or_default).varies(),
    method(PAIRS, "[]", &[Takes::A(TEXT)], TEXT, |run, call| {
        let values = values(run, call)?;
        let value = values.into_iter().next().ok_or_else(|| no_key(call))?;
        run.text(&value)
    })
    .varies(),
    method(PAIRS, "TryGetValue", &[Takes::A(TEXT), Takes::Out(TEXT)], TEXT, joined_or_default).varies(),
    of_context(PAIRS, "Keys", Type::Sequence(Kind::Text), names),
    of_context(PAIRS, "Count", INT, count),
    method(CLAIMS, "ContainsKey", &[Takes::A(TEXT)], BOOL, contains),
    method(CLAIMS, "GetValueOrDefault", &[Takes::A(TEXT)], TEXT, joined_or_default),
    method(CLAIMS, "GetValueOrDefault", &[Takes::A(TEXT), Takes::A(TEXT)], TEXT, joined_or_default),
    method(CLAIMS, "[]", &[Takes::A(TEXT)], TEXTS, all_of),
    method(CLAIMS, "TryGetValue", &[Takes::A(TEXT), Takes::Out(TEXTS)], TEXTS, all_or_null),
    property(CLAIMS, "Keys", Type::Sequence(Kind::Text), names),
    property(CLAIMS, "Count", INT, count),
    method(VARIABLES, "ContainsKey", &[Takes::A(TEXT)], BOOL, |run, call| {
        let name = call.text(0)?;
        Ok(Value::Bool(run.context.variables.is_some_and(|variables| variables.get(name).is_some())))
    })
    .varies(),
    // A variable that is null counts as none here.
    method(VARIABLES, "TryGetValue", &[Takes::A(TEXT), Takes::Out(OBJECT)], OBJECT, |run, call| {
        let name = call.text(0)?;
        Ok(run.context.variables.and_then(|variables| variables.get(name)).cloned().unwrap_or(Value::Null))
    })
    .varies(),
    method(VARIABLES, "[]", &[Takes::A(TEXT)], OBJECT, |run, call| {
        let found = run.context.variables.and_then(|variables| variables.get(call.text(0).ok()?));
        found.cloned().ok_or_else(|| no_key(call))
    })
    .varies(),
    method(VARIABLES, "GetValueOrDefault", &[Takes::A(TEXT)], Type::One(Kind::Made), variable).varies(),
    method(
        VARIABLES,
        "GetValueOrDefault",
        &[Takes::A(TEXT), Takes::A(Type::One(Kind::Made))],
        Type::One(Kind::Made),
        variable,
    )
    .varies(),
    of_context(API, "Id", TEXT, |run, _| text_of(run, |context| context.api.id)),
    of_context(API, "Name", TEXT, |run, _| text_of(run, |context| context.api.name)),
    of_context(API, "Path", TEXT, |run, _| text_of(run, |context| context.api.path)),
    of_context(API, "Revision", TEXT, |run, _| text_of(run, |context| context.api.revision)),
    of_context(API, "Version", TEXT, |run, _| text_of(run, |context| context.api.version)),
    of_context(API, "IsCurrentRevision", BOOL, |run, _| Ok(Value::Bool(run.context.api.is_current_revision))),
    of_context(API, "ServiceUrl", URI, |run, _| {
        let service_url = run.context.api.service_url;
        run.take_bytes(2 * service_url.len())?;
        Ok(Uri::parse(service_url).map_or(Value::Null, |uri| Value::Uri(uri.into())))
    }),
    of_context(OPERATION, "Id", TEXT, |run, _| text_of(run, |context| context.operation.id)),
    of_context(OPERATION, "Name", TEXT, |run, _| text_of(run, |context| context.operation.name)),
    of_context(OPERATION, "Method", TEXT, |run, _| text_of(run, |context| context.operation.method)),
    of_context(OPERATION, "UrlTemplate", TEXT, |run, _| {
        text_of(run, |context| context.operation.url_template)
    }),
    of_context(PRODUCT, "Id", TEXT, |run, _| text_of(run, |context| product(context).id)),
    of_context(PRODUCT, "Name", TEXT, |run, _| text_of(run, |context| product(context).name)),
    of_context(SUBSCRIPTION, "Id", TEXT, |run, _| text_of(run, |context| subscription(context).id)),
    of_context(SUBSCRIPTION, "Name", TEXT, |run, _| text_of(run, |context| subscription(context).name)),
    of_context(SUBSCRIPTION, "Key", TEXT, |run, _| text_of(run, |context| subscription(context).key)),
    of_context(SUBSCRIPTION, "PrimaryKey", TEXT, |run, _| {
        text_of(run, |context| subscription(context).primary_key)
    }),
    of_context(SUBSCRIPTION, "SecondaryKey", TEXT, |run, _| {
        text_of(run, |context| subscription(context).secondary_key)
    }),
    of_context(USER, "Id", TEXT, |run, _| text_of(run, |context| user(context).id)),
    of_context(USER, "Email", TEXT, |run, _| text_of(run, |context| user(context).email)),
    of_context(USER, "FirstName", TEXT, |run, _| text_of(run, |context| user(context).first_name)),
    of_context(USER, "LastName", TEXT, |run, _| text_of(run, |context| user(context).last_name)),
    of_context(DEPLOYMENT, "Region", TEXT, |run, _| text_of(run, |context| context.deployment.region)),
    of_context(DEPLOYMENT, "GatewayId", TEXT, |run, _| text_of(run, |context| context.deployment.gateway_id)),
    of_context(DEPLOYMENT, "ServiceId", TEXT, |run, _| text_of(run, |context| context.deployment.service_id)),
    of_context(DEPLOYMENT, "ServiceName", TEXT, |run, _| {
        text_of(run, |context| context.deployment.service_name)
    }),
    of_context(DEPLOYMENT, "Gateway", GATEWAY, |_, _| Ok(Value::part(Part::Gateway))),
    of_context(GATEWAY, "Id", TEXT, |run, _| text_of(run, |context| context.deployment.gateway_id)),
    of_context(LAST_ERROR, "Source", TEXT, |run, _| text_of(run, |context| last_error(context).source)),
    of_context(LAST_ERROR, "Reason", TEXT, |run, _| text_of(run, |context| last_error(context).reason)),
    of_context(LAST_ERROR, "Message", TEXT, |run, _| text_of(run, |context| last_error(context).message)),
    of_context(LAST_ERROR, "Scope", TEXT, |run, _| text_of(run, |context| last_error(context).scope)),
    of_context(LAST_ERROR, "Section", TEXT, |run, _| text_of(run, |context| last_error(context).section)),
    of_context(LAST_ERROR, "Path", TEXT, |run, _| text_of(run, |context| last_error(context).path)),
    of_context(LAST_ERROR, "PolicyId", TEXT, |run, _| text_of(run, |context| last_error(context).policy_id)),
];

type Context<'c> = crate::policy::expression::context::Context<'c>;

/// A part of the context, or `null` where there is none.
fn there(is_there: bool, part: Part) -> Outcome {
    Ok(if is_there { Value::part(part) } else { Value::Null })
}

fn text_of(run: &mut Run<'_>, find: for<'c> fn(&Context<'c>) -> &'c str) -> Outcome {
    let text = find(run.context);
    run.text(text)
}

// Parts that may be null are looked up after a check that they are there.

fn certificate<'c>(context: &Context<'c>) -> Certificate<'c> {
    context.request.certificate.unwrap_or_default()
}

fn response<'c>(context: &Context<'c>) -> Response<'c> {
    context.response.unwrap_or(Response { status_code: 0, status_reason: "", headers: NO_FIELDS })
}

fn product<'c>(context: &Context<'c>) -> Product<'c> {
    context.product.unwrap_or_default()
}

fn subscription<'c>(context: &Context<'c>) -> Subscription<'c> {
    context.subscription.unwrap_or_default()
}

fn user<'c>(context: &Context<'c>) -> User<'c> {
    context.user.unwrap_or_default()
}

fn last_error<'c>(context: &Context<'c>) -> LastError<'c> {
    context.last_error.unwrap_or_default()
}

fn url<'r>(run: &Run<'r>, call: &Call<'_>) -> Result<Url<'r>, Raised> {
    match call.on_part()? {
        Part::Url | Part::Query => Ok(run.context.request.url),
        Part::OriginalUrl | Part::OriginalQuery => Ok(run.context.request.original_url),
        _ => Err(mistyped()),
    }
}

fn of_url(run: &mut Run<'_>, call: &Call<'_>, find: for<'c> fn(&Url<'c>) -> &'c str) -> Outcome {
    let url = url(run, call)?;
    run.text(find(&url))
}

fn no_key(call: &Call<'_>) -> Raised {
    let name = call.text_or_null(0).map_or("", |name| name);
    Raised::new(Exception::KeyNotFound, format!("the key '{name}' was not present in the dictionary"))
}

/// Hands each name and value of the dictionary that `call` is on to `take`, until it says that it is enough.
fn each_of(
    run: &mut Run<'_>,
    call: &Call<'_>,
    mut take: impl FnMut(&str, &str) -> bool,
) -> Result<(), Raised> {
    let context = run.context;
    let fields: &dyn Fields = match &call.on {
        Value::Inner(Inner::Claims(jwt)) => {
            for (name, values) in &jwt.claims {
                for value in values.iter() {
                    run.read(name.len() + value.len())?;
                    if !take(name, value) {
                        return Ok(());
                    }
                }
            }
            return Ok(());
        }
        Value::Inner(Inner::Part(Part::Query | Part::OriginalQuery)) => {
            let query = url(run, call)?.query;
            run.take_bytes(2 * query.len())?;
            for (name, value) in query_fields(query) {
                run.take_steps(1)?;
                if !take(&name, &value) {
                    return Ok(());
                }
            }
            return Ok(());
        }
        Value::Inner(Inner::Part(Part::RequestHeaders)) => context.request.headers,
        Value::Inner(Inner::Part(Part::ResponseHeaders)) => {
            context.response.map_or(NO_FIELDS, |response| response.headers)
        }
        Value::Inner(Inner::Part(Part::MatchedParameters)) => context.request.matched_parameters,
        _ => return Err(mistyped()),
    };
    for (name, value) in each(fields) {
        run.read(name.len())?;
        if !take(name, value) {
            return Ok(());
        }
    }
    Ok(())
}

fn is_named(call: &Call<'_>, name: &str, wanted: &str) -> bool {
    match call.on {
        Value::Inner(Inner::Claims(_)) => name == wanted,
        _ => name.eq_ignore_ascii_case(wanted),
    }
}

/// The values of the name in the first argument.
fn values(run: &mut Run<'_>, call: &Call<'_>) -> Result<Vec<Text>, Raised> {
    let wanted = call.text(0)?;
    let mut values: Vec<Text> = Vec::new();
    each_of(run, call, |name, value| {
        if is_named(call, name, wanted) {
            values.push(value.into());
        }
        true
    })?;
    run.take_bytes(values.iter().map(|value| value.len()).sum())?;
    Ok(values)
}

fn contains(run: &mut Run<'_>, call: &Call<'_>) -> Outcome {
    let wanted = call.text(0)?;
    // A claim without values is there all the same.
    if let Value::Inner(Inner::Claims(jwt)) = &call.on {
        return Ok(Value::Bool(jwt.claim(wanted).is_some()));
    }
    let mut is_there = false;
    each_of(run, call, |name, _| {
        is_there = is_named(call, name, wanted);
        !is_there
    })?;
    Ok(Value::Bool(is_there))
}

fn joined_or_default(run: &mut Run<'_>, call: &Call<'_>) -> Outcome {
    match &*values(run, call)? {
        [] => Ok(call.argument(1).clone()),
        [one] => Ok(Value::Text(one.clone())),
        several => run.text(&several.join(",")),
    }
}

fn all_of(run: &mut Run<'_>, call: &Call<'_>) -> Outcome {
    match all_or_null(run, call)? {
        Value::Null => Err(no_key(call)),
        values => Ok(values),
    }
}

fn all_or_null(run: &mut Run<'_>, call: &Call<'_>) -> Outcome {
    let values = values(run, call)?;
    let is_empty_claim =
        matches!(&call.on, Value::Inner(Inner::Claims(jwt)) if jwt.claim(call.text(0)?).is_some());
    if values.is_empty() && !is_empty_claim {
        return Ok(Value::Null);
    }
    run.list(values.into_iter().map(Value::Text).collect())
}

/// Every name once, as it stands first.
fn every_name(run: &mut Run<'_>, call: &Call<'_>) -> Result<Vec<Text>, Raised> {
    if let Value::Inner(Inner::Claims(jwt)) = &call.on {
        return Ok(jwt.claims.iter().map(|(name, _)| name.clone()).collect());
    }
    let mut seen = std::collections::HashSet::new();
    let mut names: Vec<Text> = Vec::new();
    each_of(run, call, |name, _| {
        if seen.insert(name.to_ascii_lowercase()) {
            names.push(name.into());
        }
        true
    })?;
    run.take_bytes(2 * names.iter().map(|name| name.len()).sum::<usize>())?;
    Ok(names)
}

fn names(run: &mut Run<'_>, call: &Call<'_>) -> Outcome {
    let names = every_name(run, call)?;
    run.list(names.into_iter().map(Value::Text).collect())
}

fn count(run: &mut Run<'_>, call: &Call<'_>) -> Outcome {
    Ok(Value::Int(i32::try_from(every_name(run, call)?.len()).unwrap_or(i32::MAX)))
}

/// A variable as the type that is asked for; what is not set is the default, or that type's own.
fn variable(run: &mut Run<'_>, call: &Call<'_>) -> Outcome {
    let kind = call.made.ok_or_else(mistyped)?;
    let name = call.text(0)?;
    match run.context.variables.and_then(|variables| variables.get(name)) {
        Some(value) => cast(Type::One(kind), value.clone()),
        None if call.arguments.len() > 1 => Ok(call.argument(1).clone()),
        None => Ok(default_of(kind)),
    }
}
