//! Tickets that a backend sends: kept for the next connection to it.
//!
//! A TLS 1.3 server sends tickets after its handshake, in records that ringgate opens itself. Until the session goes to a relay,
//! their bodies go back to rustls, which keeps them in the store of its configuration; later ones are skipped. (TLS 1.2 sends its
//! ticket inside the handshake, so rustls has it already.)
//!
//! Not here: tickets that ringgate gives to its clients (`ticket_keys`).

use core::fmt;

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;

/// The rest of rustls's state after a handshake with a backend.
pub struct ReceivedTickets(Option<KernelConnection<ClientConnectionData>>);

impl ReceivedTickets {
    pub(super) fn of(kernel: KernelConnection<ClientConnectionData>) -> Self {
        let is_tls13 = kernel.protocol_version() == rustls::ProtocolVersion::TLSv1_3;
        Self(is_tls13.then_some(kernel))
    }

    /// For a connection on which no ticket comes.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Keeps the ticket whose body this is (`Step::Ticket`). A ticket that rustls has no use for is dropped.
    pub fn keep(&mut self, body: &[u8]) {
        if let Some(kernel) = &mut self.0
            && kernel.handle_new_session_ticket(body).is_err()
        {
            self.0 = None;
        }
    }
}

impl fmt::Debug for ReceivedTickets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ReceivedTickets").field(&self.0.is_some()).finish()
    }
}
