//! Ends a truncated answer with a reset, after the client had a chance to take what was sent.

use super::refusal::shut;
use super::socket::{Socket, until};
use crate::limits::FAREWELL_DRAIN_MS;
use std::net::Shutdown;
use std::time::Duration;
use tokio::time::Instant;

/// Waits until the client has taken what was sent (it acknowledges all of it), says more or leaves; then lets the close
/// be a reset. A reset that came earlier would take away what is still on its way.
pub(super) async fn reset_when_taken(socket: &Socket) {
    let deadline = Instant::now() + Duration::from_millis(FAREWELL_DRAIN_MS);
    let _ = until(socket.receive(Vec::new(), 1), deadline, || shut(socket, Shutdown::Read)).await;
    let _ = socket.reset_on_close();
}
