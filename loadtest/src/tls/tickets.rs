//! Tickets that servers gave, each for one handshake (RFC 8446 §C.4).
//!
//! rustls' own store keeps eight for a server: too few where hundreds of handshakes are in progress.

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
#[expect(
    clippy::disallowed_types,
    reason = "rustls asks for a store that threads may share; one thread uses it"
)]
use std::sync::Mutex;

/// Most tickets that are kept; more are dropped. OpenSSL gives two for each full handshake and one for each resumed one.
const TICKETS_MAX: usize = 10_000;

/// Tickets of one server, used from the newest.
#[derive(Debug, Default)]
#[expect(
    clippy::disallowed_types,
    reason = "rustls asks for a store that threads may share; one thread uses it"
)]
pub(super) struct Tickets(Mutex<Vec<Tls13ClientSessionValue>>);

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        if let Ok(mut tickets) = self.0.lock()
            && tickets.len() < TICKETS_MAX
        {
            tickets.push(value);
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.lock().ok()?.pop()
    }
}
