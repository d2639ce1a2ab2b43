//! The TLS handshake with a backend: part of its dial.

use super::channel::{Channel, NoHandshake};
use super::refusal::shut;
use super::stream::Stream;
use super::upstream_fault::WhatFailed;
use crate::tls::setup::BackendTls;
use std::future::pending;
use std::net::Shutdown;
use std::rc::Rc;
use tokio::time::Instant;

/// Does the TLS handshake with a backend.
///
/// # Errors
/// Why there is no TLS.
pub(super) async fn secure_backend<S: Stream>(
    stream: Rc<S>,
    tls: &BackendTls,
    deadline: Instant,
) -> Result<Channel<S>, WhatFailed> {
    let channel = Channel::secured(stream, tls.endpoint().map_err(WhatFailed::TlsFailed)?);
    let interrupt = async || shut(&channel, Shutdown::Both);
    let result = channel.handshake(deadline, pending(), interrupt).await;
    result.map(|()| channel).map_err(|reason| match reason {
        NoHandshake::Faulty(fault) => WhatFailed::TlsFailed(fault),
        NoHandshake::Late | NoHandshake::Stopped => WhatFailed::TlsLate,
        NoHandshake::Ended => WhatFailed::TlsBrokenOff(None),
        NoHandshake::Broken(error) => WhatFailed::TlsBrokenOff(Some(error)),
        NoHandshake::IsPlainHttp(_) => WhatFailed::TlsPlainHttp,
    })
}
