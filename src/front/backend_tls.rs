//! The TLS handshake with a backend: part of its dial, and a 502 where it fails.
//!
//! The client is not told which check failed: that is between ringgate and the backend. The log is.

use super::channel::{Channel, NoHandshake};
use super::refusal::{Refusal, shut};
use super::stream::Stream;
use crate::catalog::Name;
use crate::process::log::limited;
use crate::session::Cause;
use crate::tls::endpoint::EndpointFault;
use crate::tls::failed_check::FailedCheck;
use crate::tls::setup::BackendTls;
use std::future::pending;
use std::net::Shutdown;
use std::rc::Rc;
use tokio::time::Instant;

/// Does the TLS handshake with a backend of `api`.
pub(super) async fn secure_backend<S: Stream>(
    stream: Rc<S>,
    api: &Name,
    tls: &BackendTls,
    deadline: Instant,
) -> Result<Channel<S>, Refusal> {
    let failed = |error: &EndpointFault| {
        let check = match error {
            EndpointFault::Handshake(fault) => FailedCheck::of(fault).name(),
            EndpointFault::Record(_) | EndpointFault::Alerted(_) | EndpointFault::Exhausted(_) => "protocol",
        };
        limited!(WARN, Some(api.as_str()), "TLS with a backend failed", name = ?tls.name, check, %error);
        Refusal::of(Cause::BackendTls, "the backend's TLS handshake failed")
    };
    let endpoint = tls.endpoint().map_err(|error| failed(&error))?;
    let channel = Channel::secured(stream, endpoint);
    let interrupt = async || shut(&channel, Shutdown::Both);
    match channel.handshake(deadline, pending(), interrupt).await {
        Ok(()) => Ok(channel),
        Err(NoHandshake::Faulty(error)) => Err(failed(&error)),
        Err(NoHandshake::Late | NoHandshake::Stopped) => {
            Err(Refusal::of(Cause::BackendSilent, "the backend did not finish its TLS handshake in time"))
        }
        Err(reason @ (NoHandshake::Ended | NoHandshake::Broken(_) | NoHandshake::IsPlainHttp(_))) => {
            let api = Some(api.as_str());
            limited!(WARN, api, "a backend broke off its TLS handshake", name = ?tls.name, ?reason);
            Err(Refusal::of(Cause::BackendTls, "the backend broke off its TLS handshake"))
        }
    }
}
