//! The table of policies: sections, attributes with their defaults, parts, and the function that compiles each policy.
//!
//! It knows every policy that Azure API Management documents, so that a policy without effect here is told apart from a misspelt
//! one.
//!
//! Not here: the values of attributes (`setting`, and the policies' own files).

use super::compiling::row::{AttributeRow, PolicyRow, Shape, Support, optional, required};
use super::contract::Scope;
use crate::catalog::fault::nearest;
use crate::policy::expression::Section;
use crate::policy::policies::{
    authentication_basic, check_header, choose, forward_request, include_fragment, ip_filter,
    limit_concurrency, quota, rate_limit, return_response, rewrite_uri, set_backend_service, set_header,
    set_query_parameter, set_status, set_variable, trace, validate_jwt,
};

const INBOUND: &[Section] = &[Section::Inbound];
const BACKEND: &[Section] = &[Section::Backend];
const BEFORE: &[Section] = &[Section::Inbound, Section::Backend];
const ANYWHERE: &[Section] = &Section::ALL;
const PRODUCT: &[Scope] = &[Scope::Product];
const BELOW_GLOBAL: &[Scope] = &[Scope::Product, Scope::Operation];
const EVERY_SCOPE: &[Scope] = &[Scope::Global, Scope::Product, Scope::Operation];

const VALUE: Shape = Shape::of_text("value");
const SET_STATUS: Shape = Shape::new("set-status", &[required("code"), optional("reason")], &[]);
const SET_HEADER: Shape =
    Shape::new("set-header", &[required("name"), optional("exists-action").or("override")], &[VALUE]);

const SIGNING_KEY: Shape = Shape {
    holds_text: true,
    ..Shape::new(
        "key",
        &[
            optional("id").fixed(),
            optional("certificate-id").fixed(),
            optional("n").fixed(),
            optional("e").fixed(),
        ],
        &[],
    )
};

const DECRYPTION_KEY: Shape = Shape {
    holds_text: true,
    ..Shape::new("key", &[optional("id").fixed(), optional("certificate-id").fixed()], &[])
};

/// The attributes of further limits inside `rate-limit` and `quota`: an API's, and in it an operation's.
const LIMIT_OF_API: [AttributeRow; 4] = [
    optional("name").fixed(),
    optional("id").fixed(),
    required("calls").fixed(),
    required("renewal-period").fixed(),
];
const QUOTA_OF_API: [AttributeRow; 5] = [
    optional("name").fixed(),
    optional("id").fixed(),
    optional("calls").fixed(),
    optional("bandwidth").fixed(),
    required("renewal-period").fixed(),
];

/// Every policy that ringgate has.
static POLICIES: &[PolicyRow] = &[
    row(
        Shape::new("authentication-basic", &[required("username"), required("password")], &[]),
        INBOUND,
        Support::Leaf(authentication_basic::compile),
    ),
    row(
        Shape::new(
            "check-header",
            &[
                required("name"),
                required("failed-check-httpcode"),
                required("failed-check-error-message"),
                required("ignore-case"),
            ],
            &[VALUE],
        ),
        INBOUND,
        Support::Leaf(check_header::compile),
    ),
    row(
        Shape::new(
            "choose",
            &[],
            &[
                Shape::new("when", &[required("condition")], &[]).with_policies(),
                Shape::new("otherwise", &[], &[]).with_policies(),
            ],
        ),
        ANYWHERE,
        Support::Nested(choose::compile),
    ),
    row(
        Shape::new(
            "forward-request",
            &[
                optional("timeout"),
                optional("timeout-ms"),
                optional("continue-timeout").fixed(),
                optional("http-version").or("1").fixed(),
                optional("follow-redirects").or("false").fixed(),
                optional("buffer-request-body").or("false").fixed(),
                optional("buffer-response").or("true").fixed(),
                optional("fail-on-error-status-code").or("false").fixed(),
            ],
            &[],
        ),
        BACKEND,
        Support::Nested(forward_request::compile),
    ),
    row(
        Shape::new("include-fragment", &[required("fragment-id").fixed()], &[]),
        ANYWHERE,
        Support::Nested(include_fragment::compile),
    ),
    row(
        Shape::new(
            "ip-filter",
            &[required("action")],
            &[
                Shape::of_text("address"),
                Shape::new("address-range", &[required("from").fixed(), required("to").fixed()], &[]),
            ],
        ),
        INBOUND,
        Support::Leaf(ip_filter::compile),
    ),
    row(
        Shape::new("limit-concurrency", &[required("key"), required("max-count").fixed()], &[])
            .with_policies(),
        ANYWHERE,
        Support::Nested(limit_concurrency::compile),
    ),
    row(
        Shape::new(
            "quota",
            &[optional("calls").fixed(), optional("bandwidth").fixed(), required("renewal-period").fixed()],
            &[Shape::new("api", &QUOTA_OF_API, &[Shape::new("operation", &QUOTA_OF_API, &[])])],
        ),
        INBOUND,
        Support::Leaf(quota::compile),
    )
    .within(PRODUCT),
    row(
        Shape::new(
            "quota-by-key",
            &[
                optional("calls"),
                optional("bandwidth"),
                required("renewal-period"),
                required("counter-key"),
                optional("increment-condition"),
                optional("increment-count").or("1"),
                optional("first-period-start").or("0001-01-01T00:00:00Z").fixed(),
            ],
            &[],
        ),
        INBOUND,
        Support::Leaf(quota::compile_by_key),
    ),
    row(
        Shape::new(
            "rate-limit",
            &[
                required("calls").fixed(),
                required("renewal-period").fixed(),
                optional("retry-after-header-name").or("Retry-After").fixed(),
                optional("retry-after-variable-name").fixed(),
                optional("remaining-calls-header-name").fixed(),
                optional("remaining-calls-variable-name").fixed(),
                optional("total-calls-header-name").fixed(),
            ],
            &[Shape::new("api", &LIMIT_OF_API, &[Shape::new("operation", &LIMIT_OF_API, &[])])],
        ),
        INBOUND,
        Support::Leaf(rate_limit::compile),
    )
    .within(BELOW_GLOBAL),
    row(
        Shape::new(
            "rate-limit-by-key",
            &[
                required("calls"),
                required("renewal-period"),
                required("counter-key"),
                optional("increment-condition"),
                optional("increment-count").or("1"),
                optional("retry-after-header-name").or("Retry-After").fixed(),
                optional("retry-after-variable-name").fixed(),
                optional("remaining-calls-header-name").fixed(),
                optional("remaining-calls-variable-name").fixed(),
                optional("total-calls-header-name").fixed(),
            ],
            &[],
        ),
        INBOUND,
        Support::Leaf(rate_limit::compile_by_key),
    ),
    row(
        Shape::new(
            "return-response",
            &[optional("response-variable-name").fixed()],
            &[SET_STATUS, SET_HEADER, Shape::of_text("set-body")],
        ),
        ANYWHERE,
        Support::Leaf(return_response::compile),
    ),
    row(
        Shape::new("rewrite-uri", &[required("template"), optional("copy-unmatched-params").or("true")], &[]),
        INBOUND,
        Support::Leaf(rewrite_uri::compile),
    ),
    row(
        Shape::new("set-backend-service", &[optional("base-url"), optional("backend-id")], &[]),
        BEFORE,
        Support::Leaf(set_backend_service::compile),
    ),
    row(SET_HEADER, ANYWHERE, Support::Leaf(set_header::compile)),
    row(
        Shape::new(
            "set-query-parameter",
            &[required("name"), optional("exists-action").or("override")],
            &[VALUE],
        ),
        BEFORE,
        Support::Leaf(set_query_parameter::compile),
    ),
    row(SET_STATUS, ANYWHERE, Support::Leaf(set_status::compile)),
    row(
        Shape::new("set-variable", &[required("name").fixed(), required("value")], &[]),
        ANYWHERE,
        Support::Leaf(set_variable::compile),
    ),
    row(
        Shape::new(
            "trace",
            &[required("source").fixed(), optional("severity").or("verbose").fixed()],
            &[
                Shape::of_text("message"),
                Shape::new("metadata", &[required("name").fixed(), required("value")], &[]),
            ],
        ),
        ANYWHERE,
        Support::Leaf(trace::compile),
    ),
    row(
        Shape::new(
            "validate-jwt",
            &[
                optional("header-name"),
                optional("query-parameter-name"),
                optional("token-value"),
                // Ringgate's own.
                optional("protocol-prefix"),
                optional("failed-validation-httpcode").or("401"),
                optional("failed-validation-error-message"),
                optional("require-expiration-time").or("true"),
                optional("require-scheme"),
                optional("require-signed-tokens").or("true"),
                optional("clock-skew").or("0"),
                optional("output-token-variable-name").fixed(),
            ],
            &[
                Shape::new("openid-config", &[required("url"), optional("validate-connectivity")], &[]),
                Shape::new("issuer-signing-keys", &[], &[SIGNING_KEY]),
                Shape::new("decryption-keys", &[], &[DECRYPTION_KEY]),
                Shape::new("audiences", &[], &[Shape::of_text("audience")]),
                Shape::new("issuers", &[], &[Shape::of_text("issuer")]),
                Shape::new(
                    "required-claims",
                    &[],
                    &[Shape::new(
                        "claim",
                        &[required("name"), optional("match").or("all"), optional("separator")],
                        &[VALUE],
                    )],
                ),
            ],
        ),
        INBOUND,
        Support::Leaf(validate_jwt::compile),
    ),
];

/// Policies that do not apply to the opening handshake of a WebSocket API.
static NOT_ON_HANDSHAKE: &[&str] = &[
    "cache-lookup",
    "cache-store",
    "cors",
    "cross-domain",
    "json-to-xml",
    "jsonp",
    "mock-response",
    "set-body",
    "set-method",
    "validate-content",
    "validate-headers",
    "validate-parameters",
    "validate-status-code",
    "xml-to-json",
    "xsl-transform",
];

/// Policies of Azure API Management that ringgate does not have.
static NOT_YET: &[&str] = &[
    "authentication-certificate",
    "authentication-managed-identity",
    "azure-openai-emit-token-metric",
    "azure-openai-semantic-cache-lookup",
    "azure-openai-semantic-cache-store",
    "azure-openai-token-limit",
    "cache-lookup-value",
    "cache-remove-value",
    "cache-store-value",
    "cosmosdb-data-source",
    "emit-metric",
    "find-and-replace",
    "get-authorization-context",
    "http-data-source",
    "invoke-dapr-binding",
    "llm-content-safety",
    "llm-emit-token-metric",
    "llm-semantic-cache-lookup",
    "llm-semantic-cache-store",
    "llm-token-limit",
    "log-to-eventhub",
    "proxy",
    "publish-event",
    "publish-to-dapr",
    "redirect-content-urls",
    "retry",
    "send-one-way-request",
    "send-request",
    "send-service-bus-message",
    "set-graphql-resolver",
    "sql-data-source",
    "validate-azure-ad-token",
    "validate-client-certificate",
    "validate-graphql-request",
    "validate-odata-request",
    "wait",
];

static OTHERS_NOT_ON_HANDSHAKE: PolicyRow = row(Shape::NONE, ANYWHERE, Support::NotOnHandshake);
static OTHERS_NOT_YET: PolicyRow = row(Shape::NONE, ANYWHERE, Support::NotYet);

/// The names of all policies that there are.
pub fn policy_names() -> impl Iterator<Item = &'static str> {
    POLICIES.iter().map(|row| row.shape.name)
}

/// The row of the policy called `name`.
pub(crate) fn policy_row(name: &str) -> Option<&'static PolicyRow> {
    if let Some(row) = POLICIES.iter().find(|row| row.shape.name == name) {
        Some(row)
    } else if NOT_ON_HANDSHAKE.contains(&name) {
        Some(&OTHERS_NOT_ON_HANDSHAKE)
    } else if NOT_YET.contains(&name) {
        Some(&OTHERS_NOT_YET)
    } else {
        None
    }
}

/// The remedy for an `unknown` policy in `section`: the nearest name, if one is near, and all names that are allowed there.
pub(crate) fn suggestion(unknown: &str, section: Section) -> String {
    let mut names: Vec<&str> = POLICIES
        .iter()
        .filter(|row| row.sections.contains(&section))
        .map(|row| row.shape.name)
        .chain(["base"])
        .collect();
    names.sort_unstable();
    let near = nearest(&names, unknown).map(|near| format!("did you mean {near}? ")).unwrap_or_default();
    format!("{near}in {} may stand {}", section.name(), names.join(", "))
}

const fn row(shape: Shape, sections: &'static [Section], support: Support) -> PolicyRow {
    PolicyRow { shape, sections, scopes: EVERY_SCOPE, support }
}
