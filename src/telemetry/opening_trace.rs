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
use crate::policy::records::RanStep;
use std::fmt;
use std::sync::Arc;

/// Longest `tracestate`, in bytes, that a span shows; a longer one is left out, since half of one means something else (W3C Trace
/// Context §3.3.1.5: at least 512 are passed on).
const TRACESTATE_BYTES_MAX: usize = 512;

/// A trace that is sampled.
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
    pub steps: Vec<RanStep>,
    /// Its row in the log, whether the log has it or not.
    pub row: GatewayRow,
}

impl fmt::Debug for OpeningTrace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "OpeningTrace({:?}, {} steps)", self.context, self.steps.len())
    }
}

impl OpeningTrace {
    /// That of an opening that is over, with what is masked in it by `rows`.
    pub(super) fn new(
        context: TraceContext,
        event: &OpeningEnded,
        row: GatewayRow,
        state: String,
        steps: Vec<RanStep>,
    ) -> Self {
        Self {
            context,
            state,
            accepted_at_ns: event.accepted_at_ns,
            times: event.times,
            api: event.api.clone(),
            is_secured: event.is_secured,
            steps,
            row,
        }
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        let of_texts: usize = self.steps.iter().map(RanStep::text_bytes).sum();
        let of_steps = self.steps.capacity() * size_of::<RanStep>() + of_texts;
        size_of::<Self>() - size_of::<GatewayRow>() + self.row.bytes() + self.state.len() + of_steps
    }
}

/// The `tracestate` of the trace that an opening goes on with. One that quotes a secret of its request, or is too long, is left out; so is
/// one of a trace that was not taken up.
pub(super) fn shown_state(event: &OpeningEnded, masking: &Masking<'_>) -> String {
    let is_taken_up = event.trace.is_some_and(|trace| trace.client.is_some());
    let Some(request) = event.request.as_ref().filter(|_| is_taken_up) else { return String::new() };
    let fields: Vec<_> = request.headers().get_all(TRACESTATE).map(String::from_utf8_lossy).collect();
    let state = fields.join(",");
    // Most requests have none; to look for secrets takes time.
    let is_shown = !state.is_empty()
        && state.len() <= TRACESTATE_BYTES_MAX
        && Secrets::of(request, None, masking).masked(&state) == state;
    if is_shown { state } else { String::new() }
}
