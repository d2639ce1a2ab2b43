//! A file per policy: its compiled form, and its effect on a handshake.
//!
//! Not here: attributes, sections and defaults (`compile::table`).

pub(crate) mod authentication_basic;
pub(crate) mod check_header;
pub(crate) mod choose;
pub(crate) mod counting;
pub(crate) mod forward_request;
pub(crate) mod include_fragment;
pub(crate) mod ip_filter;
pub(crate) mod limit_concurrency;
pub(crate) mod quota;
pub(crate) mod rate_limit;
pub(crate) mod return_response;
pub(crate) mod rewrite_uri;
pub(crate) mod set_backend_service;
pub(crate) mod set_header;
pub(crate) mod set_query_parameter;
pub(crate) mod set_status;
pub(crate) mod set_variable;
pub(crate) mod trace;
pub(crate) mod validate_jwt;
