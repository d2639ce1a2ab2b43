//! The front: one thread per core that opens sessions, on tokio-uring.
//!
//! Opening a session is a conversation with many branches, so it is async code over pure parsers. Sockets are blocking
//! descriptors with a few operations of our own; nothing is in flight on a socket when it goes to the relay.
//!
//! Not here: carrying a session (`relay`), and the rules of an opening (`http1`, `websocket::opening`, `catalog`).

mod accept;
mod answer;
mod answer_date;
mod backend_tls;
mod channel;
mod converse;
mod dial;
mod hand_over;
mod head_reader;
mod health;
mod kept_openings;
pub mod listener;
mod opening;
mod opening_end;
mod opening_event;
mod policies;
mod random_source;
mod readers;
mod refusal;
mod remains;
mod root_page;
mod run;
pub mod socket;
mod source_addresses;
mod stages;
mod stream;
mod truncation;
mod turn_away;
pub mod upstream_fault;
mod waiting_line;

#[cfg(test)]
mod tests;

pub use root_page::RootPage;
use run::{Front, OpeningGuard};
pub use run::{FrontParts, Published, front_ring_bytes, run_front};

/// Bytes of the future that an opening is, whatever it waits for.
#[cfg(test)]
pub(crate) fn opening_bytes() -> usize {
    /// Those of what a function gives, which is not called.
    fn bytes_of<A, B, C, D, F: Future>(_: fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }
    bytes_of(opening::open::<stream::Host>)
}
