//! Ends a truncated answer with a reset, after the client had a chance to read what was sent.

use super::refusal::drop_what_comes;
use super::stream::Stream;
use crate::limits::FAREWELL_DRAIN_MS;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Gives the client some time to take what was sent, unless it leaves before; then lets the close be a reset.
///
/// An earlier reset would take away what is still on its way. So neither what the client has sent behind its head nor
/// the end of its stream brings it forward: a client may be slow, and still read when it has nothing more to say.
pub(super) async fn reset_when_taken(socket: &impl Stream) {
    let deadline = Instant::now() + Duration::from_millis(FAREWELL_DRAIN_MS);
    if drop_what_comes(socket, deadline).await.is_err() {
        return;
    }
    sleep_until(deadline).await;
    let _ = socket.reset_on_close();
}
