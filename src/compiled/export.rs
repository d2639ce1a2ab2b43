//! The whole catalogue as one JSON document, under the names that the files use.
//!
//! Defaults are filled in. Secrets are masked: hashes of keys, and the values of secret named values. So the document is for
//! reading and comparing, and no catalogue can be made from it.
//!
//! Not here: the files themselves, which are the truth.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::catalog::api::{Api, FrameMode, Schemes};
use crate::catalog::diagnostics::{AlwaysLog, Diagnostics, Sampling, Verbosity};
use crate::catalog::fault::Fault;
use crate::catalog::name::Name;
use crate::catalog::policy_documents::PolicyDocuments;
use crate::catalog::product::Product;
use crate::catalog::request_name::HeaderName;
use crate::catalog::sealed_key::SealedKey;
use crate::catalog::subscription::Subscription;
use crate::catalog::subscription_key::KeyHash;
use crate::catalog::version_set::{VersionScheme, VersionSet};
use crate::compiled::snapshot::{Entities, Snapshot};

/// The document.
pub fn export(snapshot: &Snapshot) -> Value {
    let Entities { apis, products, subscriptions, gateways, version_sets, named_values, policies } =
        snapshot.entities();
    let named_values = named_values.iter().map(|(name, named)| {
        let value = if named.is_secret { Fault::MASKED } else { named.value.as_str() };
        (name.to_string(), json!({ "value": value, "secret": named.is_secret }))
    });
    let gateways = gateways.iter().map(|gateway| {
        let described = json!({ "description": gateway.description, "location": gateway.location });
        (gateway.name.to_string(), described)
    });
    json!({
        "apis": object(apis.iter().map(|api| (api.name.to_string(), api_value(api, snapshot.schemes_of(api))))),
        "products": object(products.iter().map(|(name, product)| (name.to_string(), product_value(product)))),
        "subscriptions": object(
            subscriptions.iter().map(|subscription| (subscription.name.to_string(), subscription_value(subscription)))
        ),
        "gateways": object(gateways),
        "version_sets": object(version_sets.iter().map(|(name, set)| (name.to_string(), version_set_value(set)))),
        "named_values": object(named_values),
        "policies": policies_value(policies),
    })
}

fn object(entries: impl Iterator<Item = (String, Value)>) -> Value {
    Value::Object(entries.collect::<Map<_, _>>())
}

/// Values as texts, in their own order.
fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn text<T: ToString>(value: Option<&T>) -> Option<String> {
    value.map(ToString::to_string)
}

fn api_value(api: &Api, schemes: Schemes) -> Value {
    // Every field is named, so that none is forgotten here.
    let Api {
        name: _,
        display_name,
        description,
        backend,
        schemes: _,
        suffix,
        products,
        gateways,
        subscription_required,
        key_names,
        version_set,
        version,
        on_revoke,
        revision,
        source_addresses,
        connections_max,
        pending_openings_max,
        dial_timeout_ms,
        answer_timeout_ms,
        idle_timeout_s,
        longest_life_s,
        linger_s,
        frame_bytes_max,
        message_bytes_max,
        frames,
        tls,
        diagnostics,
    } = api;
    let schemes: Vec<_> = [("ws", schemes.ws), ("wss", schemes.wss)]
        .iter()
        .filter(|(_, is)| *is)
        .map(|(name, _)| *name)
        .collect();
    let certificate = tls.certificate.as_ref().map(|files| json!({ "chain": files.chain, "key": files.key }));
    let pin = tls.pin.map(|pin| pin.map(|byte| format!("{byte:02x}")).concat());
    json!({
        "display_name": display_name,
        "description": description,
        "url": backend.to_string(),
        "schemes": schemes,
        "suffix": suffix.as_str(),
        "products": texts(products),
        "gateways": texts(gateways),
        "subscription_required": subscription_required,
        "subscription_key_names": { "header": key_names.header.as_str(), "query": key_names.query.as_str() },
        "version_set": text(version_set.as_ref()),
        "version": text(version.as_ref()),
        "on_revoke": on_revoke.name(),
        "revision": revision,
        "source_addresses": texts(source_addresses),
        "connections_max": connections_max,
        "pending_openings_max": pending_openings_max,
        "dial_timeout_ms": dial_timeout_ms,
        "answer_timeout_ms": answer_timeout_ms,
        "idle_timeout_s": idle_timeout_s,
        "longest_life_s": longest_life_s,
        "linger_s": linger_s,
        "frame_bytes_max": frame_bytes_max,
        "message_bytes_max": message_bytes_max,
        "frames": match frames {
            FrameMode::Strict => "strict",
            FrameMode::Opaque => "opaque",
        },
        "tls": { "ca": tls.ca, "certificate": certificate, "pin": pin },
        "diagnostics": diagnostics_value(diagnostics),
        // It is there without being made.
        "operations": ["onHandshake"],
    })
}

/// Null is what the instance file says.
fn diagnostics_value(diagnostics: &Diagnostics) -> Value {
    let Diagnostics {
        sampling,
        always_log,
        verbosity,
        query_names,
        progress,
        frontend_request_headers,
        frontend_response_headers,
        backend_request_headers,
        backend_response_headers,
    } = diagnostics;
    let names = |headers: &Option<Vec<HeaderName>>| headers.as_deref().map(texts);
    json!({
        "sampling": sampling.map(Sampling::percentage),
        "always_log": always_log.map(AlwaysLog::name),
        "verbosity": verbosity.map(Verbosity::name),
        "query_names": query_names,
        "progress": progress,
        "frontend_request_headers": names(frontend_request_headers),
        "frontend_response_headers": names(frontend_response_headers),
        "backend_request_headers": names(backend_request_headers),
        "backend_response_headers": names(backend_response_headers),
    })
}

fn product_value(product: &Product) -> Value {
    let Product {
        name: _,
        display_name,
        description,
        terms,
        is_published,
        subscription_required,
        approval_required,
        subscriptions_limit,
        connections_max,
    } = product;
    json!({
        "display_name": display_name,
        "description": description,
        "terms": terms,
        "state": if *is_published { "published" } else { "notPublished" },
        "subscription_required": subscription_required,
        "approval_required": approval_required,
        "subscriptions_limit": subscriptions_limit,
        "connections_max": connections_max,
    })
}

fn subscription_value(subscription: &Subscription) -> Value {
    let Subscription {
        name: _,
        display_name,
        owner,
        scope,
        state,
        start_date,
        end_date,
        expiration_date,
        primary_key_hash,
        secondary_key_hash,
        primary_key_sealed,
        secondary_key_sealed,
        connections_max,
    } = subscription;
    let sealed = |key: &Option<SealedKey>| key.as_ref().map(|_| Fault::MASKED);
    let masked = |hash: &Option<KeyHash>| hash.map(|_| Fault::MASKED);
    json!({
        "display_name": display_name,
        "owner": owner,
        "scope": scope.to_string(),
        "state": state.name(),
        "start_date": text(start_date.as_ref()),
        "end_date": text(end_date.as_ref()),
        "expiration_date": text(expiration_date.as_ref()),
        "primary_key_hash": masked(primary_key_hash),
        "secondary_key_hash": masked(secondary_key_hash),
        "primary_key_sealed": sealed(primary_key_sealed),
        "secondary_key_sealed": sealed(secondary_key_sealed),
        "connections_max": connections_max,
    })
}

fn version_set_value(set: &VersionSet) -> Value {
    let VersionSet { name: _, display_name, description, scheme } = set;
    let (scheme, header, query) = match scheme {
        VersionScheme::Segment => ("Segment", None, None),
        VersionScheme::Header(name) => ("Header", Some(name.as_str()), None),
        VersionScheme::Query(name) => ("Query", None, Some(name.as_str())),
    };
    json!({
        "display_name": display_name,
        "description": description,
        "versioning_scheme": scheme,
        "version_header_name": header,
        "version_query_name": query,
    })
}

fn policies_value(policies: &PolicyDocuments) -> Value {
    let PolicyDocuments { global, of_products, of_apis, fragments } = policies;
    let documents = |documents: &BTreeMap<Name, Arc<str>>| {
        object(documents.iter().map(|(name, text)| (name.to_string(), Value::from(text.as_ref()))))
    };
    json!({
        "global": global.as_deref(),
        "products": documents(of_products),
        "apis": documents(of_apis),
        "fragments": documents(fragments),
    })
}
