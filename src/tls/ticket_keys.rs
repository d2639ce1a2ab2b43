//! Keys of the tickets that clients resume with (RFC 5077 §4, RFC 8446 §4.6.1): a ring of keys that is rotated.
//!
//! The first key seals; the keys behind it only open. Rotating the ring puts a new key in front and drops the last, so that a
//! ticket lives for one to two rotations, and traffic under it cannot be read once its key is gone.
//!
//! A ring is immutable, so nobody waits for a lock: a rotation is a new configuration of each listener. It is also plain data,
//! which several processes can share or keep.
//!
//! Not here: when it is rotated (the control thread), and tickets that backends give (`tickets`).

use core::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::server::ProducesTickets;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::limits::{TLS_TICKET_KEY_LIFETIME_S, TLS_TICKET_KEYS};

/// Bytes of a key's name, which stands in front of each ticket.
const NAME_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// First byte of an export.
const EXPORT_VERSION: u8 = 1;

#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
struct TicketKey {
    name: [u8; NAME_BYTES],
    key: [u8; KEY_BYTES],
}

impl TicketKey {
    fn new() -> Result<Self, getrandom::Error> {
        let mut fresh = Self { name: [0; NAME_BYTES], key: [0; KEY_BYTES] };
        getrandom::fill(&mut fresh.name)?;
        getrandom::fill(&mut fresh.key)?;
        Ok(fresh)
    }
}

/// One to [`TLS_TICKET_KEYS`] keys, the newest first.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketRing {
    keys: Vec<TicketKey>,
}

impl TicketRing {
    /// A ring with one new key.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn new() -> Result<Self, getrandom::Error> {
        Ok(Self { keys: vec![TicketKey::new()?] })
    }

    /// This ring with a new key in front, and without those that are too many.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn turned(&self) -> Result<Self, getrandom::Error> {
        let mut keys = Vec::with_capacity(TLS_TICKET_KEYS);
        keys.push(TicketKey::new()?);
        keys.extend(self.keys.iter().take(TLS_TICKET_KEYS - 1).cloned());
        Ok(Self { keys })
    }

    /// All keys in a row of bytes.
    pub fn export(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 + self.keys.len() * (NAME_BYTES + KEY_BYTES)));
        bytes.push(EXPORT_VERSION);
        for key in &self.keys {
            bytes.extend_from_slice(&key.name);
            bytes.extend_from_slice(&key.key);
        }
        bytes
    }

    /// Imports the bytes that [`Self::export`] returned; `None` for anything else.
    pub fn import(bytes: &[u8]) -> Option<Self> {
        let (&version, bytes) = bytes.split_first()?;
        let (keys, rest) = bytes.as_chunks::<{ NAME_BYTES + KEY_BYTES }>();
        if version != EXPORT_VERSION || !rest.is_empty() || !(1..=TLS_TICKET_KEYS).contains(&keys.len()) {
            return None;
        }
        let key = |bytes: &[u8; NAME_BYTES + KEY_BYTES]| {
            let (name, key) = bytes.split_first_chunk()?;
            Some(TicketKey { name: *name, key: key.try_into().ok()? })
        };
        Some(Self { keys: keys.iter().map(key).collect::<Option<_>>()? })
    }
}

impl fmt::Debug for TicketRing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TicketRing({} keys)", self.keys.len())
    }
}

/// Seals and opens tickets of one listener.
///
/// A ticket is the key's name, a nonce, and the sealed session. What is authenticated beside it is `binding`: whom the listener
/// asks for certificates. A resumed connection is not asked again, so a ticket must not outlive that answer.
pub(super) struct Ticketer {
    keys: Vec<([u8; NAME_BYTES], LessSafeKey)>,
    binding: [u8; 32],
}

impl Ticketer {
    pub(super) fn new(ring: &TicketRing, binding: [u8; 32]) -> Self {
        let context = |key: &TicketKey| {
            let unbound = UnboundKey::new(&AES_256_GCM, &key.key);
            (key.name, LessSafeKey::new(unbound.expect("a key has the length that its aead has")))
        };
        Self { keys: ring.keys.iter().map(context).collect(), binding }
    }

    fn data(&self, name: &[u8; NAME_BYTES]) -> [u8; NAME_BYTES + 32] {
        let mut data = [0; NAME_BYTES + 32];
        data[..NAME_BYTES].copy_from_slice(name);
        data[NAME_BYTES..].copy_from_slice(&self.binding);
        data
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        TLS_TICKET_KEY_LIFETIME_S
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let (name, key) = self.keys.first()?;
        // 96 random bits: fine for 2^32 tickets of a key (NIST SP 800-38D §8.3), which are 200,000 a second for its lifetime.
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(NAME_BYTES + NONCE_LEN + plain.len() + TAG_BYTES);
        ticket.extend_from_slice(name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        let body = &mut ticket[NAME_BYTES + NONCE_LEN..];
        let data = Aad::from(self.data(name));
        let tag = key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), data, body).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (_, key) = self.keys.iter().find(|(known, _)| known == name)?;
        let mut plain = body.to_vec();
        let data = Aad::from(self.data(name));
        let bytes = key.open_in_place(Nonce::assume_unique_for_key(*nonce), data, &mut plain).ok()?.len();
        plain.truncate(bytes);
        Some(plain)
    }
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Ticketer({} keys)", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_lives_for_as_many_turns_as_there_are_keys() {
        let mut ring = TicketRing::new().expect("random bytes");
        let ticket = Ticketer::new(&ring, [1; 32]).encrypt(b"session").expect("a ticket");
        for _ in 0..TLS_TICKET_KEYS {
            assert_eq!(Ticketer::new(&ring, [1; 32]).decrypt(&ticket).as_deref(), Some(&b"session"[..]));
            ring = ring.turned().expect("random bytes");
        }
        assert_eq!(Ticketer::new(&ring, [1; 32]).decrypt(&ticket), None);
    }

    #[test]
    fn a_ticket_is_good_only_whole_and_where_it_was_given() {
        let ring = TicketRing::new().expect("random bytes");
        let ticketer = Ticketer::new(&ring, [1; 32]);
        let ticket = ticketer.encrypt(b"session").expect("a ticket");
        assert_ne!(ticketer.encrypt(b"session"), Some(ticket.clone()));
        assert_eq!(Ticketer::new(&ring, [2; 32]).decrypt(&ticket), None);
        for at in 0..ticket.len() {
            let mut wrong = ticket.clone();
            wrong[at] ^= 1;
            assert_eq!(ticketer.decrypt(&wrong), None);
            assert_eq!(ticketer.decrypt(&ticket[..at]), None);
        }
    }

    #[test]
    fn a_ring_is_shared_by_its_bytes() {
        let ring = TicketRing::new().and_then(|ring| ring.turned()).expect("random bytes");
        let bytes = ring.export();
        assert!(TicketRing::import(&bytes).as_ref() == Some(&ring));
        for bad in [&bytes[..0], &bytes[..1], &bytes[..bytes.len() - 1], &[2], &[&bytes[..], &[0]].concat()] {
            assert!(TicketRing::import(bad).is_none());
        }
        let too_many = [&bytes[..], &[0; 48 * TLS_TICKET_KEYS]].concat();
        assert!(TicketRing::import(&too_many).is_none());
        assert_eq!(format!("{ring:?}"), "TicketRing(2 keys)");
    }
}
