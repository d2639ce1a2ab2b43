//! From a finished rustls connection to ringgate's own records.
//!
//! rustls gives keys, IVs and sequence numbers of both directions, and keeps the traffic secrets from which the next keys are
//! derived (RFC 8446 §7.2). It tells these to its key log while the handshake derives them; each connection has a log of its own.
//! So the two sources check each other: the keys that follow from a logged secret must be the keys that rustls extracts.
//!
//! Decision 9 says why.

use core::fmt;
use std::sync::OnceLock;

use rustls::{
    CipherSuite, ConnectionTrafficSecrets, ExtractedSecrets, KeyLog, ProtocolVersion, SupportedCipherSuite,
};
use zeroize::Zeroizing;

use super::record::{Aead, DirectionState, LegRecords, Role, Suite, Version};

const CLIENT_LABEL: &str = "CLIENT_TRAFFIC_SECRET_0";
const SERVER_LABEL: &str = "SERVER_TRAFFIC_SECRET_0";

/// Why a connection cannot be taken on. None of these has a known way to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandoverFault {
    /// A version or AEAD that this record layer does not have.
    #[error("a cipher suite without a record layer: {0:?}")]
    UnknownSuite(CipherSuite),
    /// rustls logged no secret.
    #[error("a tls 1.3 handshake without a traffic secret")]
    MissingSecret,
    /// The logged secret does not lead to the extracted keys.
    #[error("a traffic secret that is not that of the extracted keys")]
    WrongSecret,
}

/// The first application traffic secrets of one connection, as rustls logs them.
#[derive(Default)]
pub(super) struct TrafficSecrets {
    client: OnceLock<Zeroizing<Vec<u8>>>,
    server: OnceLock<Zeroizing<Vec<u8>>>,
}

impl TrafficSecrets {
    fn slot(&self, label: &str) -> Option<&OnceLock<Zeroizing<Vec<u8>>>> {
        match label {
            CLIENT_LABEL => Some(&self.client),
            SERVER_LABEL => Some(&self.server),
            _ => None,
        }
    }
}

impl KeyLog for TrafficSecrets {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if let Some(slot) = self.slot(label) {
            slot.get_or_init(|| Zeroizing::new(secret.to_vec()));
        }
    }

    fn will_log(&self, label: &str) -> bool {
        self.slot(label).is_some()
    }
}

impl fmt::Debug for TrafficSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TrafficSecrets")
    }
}

/// The values that rustls gives for a finished connection.
pub(super) struct Handover {
    pub(super) role: Role,
    pub(super) suite: (ProtocolVersion, SupportedCipherSuite),
    pub(super) secrets: ExtractedSecrets,
}

pub(super) fn hand_over(handover: Handover, logged: &TrafficSecrets) -> Result<LegRecords, HandoverFault> {
    let Handover { role, suite: (version, cipher_suite), secrets } = handover;
    let version = if version == ProtocolVersion::TLSv1_3 {
        Version::Tls13
    } else if version == ProtocolVersion::TLSv1_2 {
        Version::Tls12
    } else {
        return Err(HandoverFault::UnknownSuite(cipher_suite.suite()));
    };
    let (receiving_from, sending_from) = match role {
        Role::Server => (&logged.client, &logged.server),
        Role::Client => (&logged.server, &logged.client),
    };
    let direction = |(sequence, keys), secret: &OnceLock<Zeroizing<Vec<u8>>>| {
        let unknown = HandoverFault::UnknownSuite(cipher_suite.suite());
        let (aead, key, iv) = parts(&keys).ok_or(unknown)?;
        let suite = Suite { version, aead };
        match version {
            Version::Tls12 => DirectionState::from_keys(suite, key, iv, sequence).ok_or(unknown),
            Version::Tls13 => {
                let secret = secret.get().ok_or(HandoverFault::MissingSecret)?;
                DirectionState::from_secret(suite, secret, sequence)
                    .filter(|state| state.has_keys(key, &iv))
                    .ok_or(HandoverFault::WrongSecret)
            }
        }
    };
    let receiving = direction(secrets.rx, receiving_from)?;
    let sending = direction(secrets.tx, sending_from)?;
    Ok(LegRecords::new(role, receiving, sending))
}

fn parts(keys: &ConnectionTrafficSecrets) -> Option<(Aead, &[u8], [u8; 12])> {
    let (aead, key, iv) = match keys {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Aead::Aes128Gcm, key, iv),
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Aead::Aes256Gcm, key, iv),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (Aead::ChaCha20Poly1305, key, iv),
        _ => return None,
    };
    Some((aead, key.as_ref(), iv.as_ref().try_into().ok()?))
}
