//! The trace of one opening, as sinks get it: where it belongs, and how long what took.
//!
//! What its spans say of the request comes from the opening's row, where secrets are masked.
//!
//! Not here: the spans (`otlp::spans`).

use super::masking::{Masking, Secrets};
use crate::catalog::Api;
use crate::head::trace_context::{TRACESTATE, TraceContext};
use crate::observe::events::OpeningEnded;
use crate::observe::stages::StageTimes;
use crate::observe::tables::{GatewayRow, Row as _};
use crate::policy::records::PolicyRecords;
use std::sync::Arc;

/// Longest `tracestate`, in bytes, that a span shows; a longer one is left out, since half of one means something else (W3C Trace
/// Context §3.3.1.5: at least 512 are passed on).
const TRACESTATE_BYTES_MAX: usize = 512;

/// A trace that is sampled.
#[derive(Debug)]
pub struct OpeningTrace {
    /// Its place in the trace.
    pub context: TraceContext,
    /// What vendors added to it, without secrets.
    pub state: String,
    /// When the connection was accepted, since 1970.
    pub accepted_at_ns: u64,
    /// How long each stage took.
    pub times: StageTimes,
    /// The API, once it was found.
    pub api: Option<Arc<Api>>,
    /// Whether the listener has TLS.
    pub is_secured: bool,
    /// The steps of policies that ran.
    pub policies: PolicyRecords,
    /// Its row in the log.
    pub row: Arc<GatewayRow>,
}

impl OpeningTrace {
    /// That of an opening that is over, with its row. `None`: it has none, or its trace is not sampled.
    pub fn of(event: OpeningEnded, row: &Arc<GatewayRow>) -> Option<Self> {
        let context = event.trace.filter(TraceContext::is_sampled)?;
        let state = match context.client {
            Some(_) => state_of(&event),
            // What belongs to a trace that was not taken up means nothing in this one.
            None => String::new(),
        };
        Some(Self {
            context,
            state,
            accepted_at_ns: event.accepted_at_ns,
            times: event.times,
            api: event.api,
            is_secured: event.is_secured,
            policies: event.policy_records,
            row: Arc::clone(row),
        })
    }

    /// Bytes of memory that it takes, its row included.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.state.len() + self.policies.bytes() + self.row.bytes()
    }
}

/// The `tracestate` of a request. One that quotes a secret of the request, or is too long, is left out.
fn state_of(event: &OpeningEnded) -> String {
    let Some(request) = &event.request else { return String::new() };
    let fields: Vec<_> = request.headers().get_all(TRACESTATE).map(String::from_utf8_lossy).collect();
    let state = fields.join(",");
    let masking = event.api.as_ref().map(|api| Masking::of_api(&api.key_names, &[])).unwrap_or_default();
    let is_shown =
        state.len() <= TRACESTATE_BYTES_MAX && Secrets::of(request, None, &masking).masked(&state) == state;
    if is_shown { state } else { String::new() }
}
