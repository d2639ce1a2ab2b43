//! TLS 1.3 at both ends of the harness: clients of a proxy, and the backend behind it.
//!
//! One suite (TLS_AES_128_GCM_SHA256), one group (X25519) and one ECDSA P-256 certificate, so that every target does the
//! same work. rustls makes the handshakes; records after them are sealed and opened here, from prebuilt frames into buffers
//! that are used again, so that the load's core has as little to do as without TLS.
//!
//! Not here: the verifying mode's client (`load::verify`), which is rustls from end to end and checks certificates.

pub(crate) mod channel;
pub(crate) mod configs;
pub mod credentials;
mod record;
mod tickets;
