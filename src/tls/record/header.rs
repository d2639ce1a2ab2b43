//! A record's header (RFC 8446 §5.1, RFC 5246 §6.2.1), checked as soon as its bytes are there.
//!
//! Not here: the record behind it (`opener`).

use super::ContentType;
use super::fault::RecordFault;
use super::suite::{HEADER_BYTES, Suite, TAG_BYTES, Version};

/// The result of parsing the start of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The header is cut: so many bytes, counted from the record's start, are needed to know more.
    Needs(usize),
    /// The record has so many bytes, its header included.
    Record(usize),
}

/// Reads and judges a header at the start of `bytes`, which may be cut anywhere.
///
/// # Errors
/// The first byte that no record may have.
pub fn parse_header(bytes: &[u8], suite: Suite) -> Result<Parsed, RecordFault> {
    if let Some(content_type) = bytes.first() {
        check_type(*content_type, suite)?;
    }
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(Parsed::Needs(HEADER_BYTES)) };
    let version = u16::from_be_bytes([header[1], header[2]]);
    // RFC 8446 §5.1: legacy_record_version is ignored for all purposes; it is part of what is authenticated all the same.
    if suite.version == Version::Tls12 && version != 0x0303 {
        return Err(RecordFault::WrongVersion(version));
    }
    let protected = usize::from(u16::from_be_bytes([header[3], header[4]]));
    if protected > suite.protected_bytes_max() {
        return Err(RecordFault::RecordTooLong(protected));
    }
    if protected < suite.explicit_nonce_bytes() + TAG_BYTES {
        return Err(RecordFault::NotAuthentic);
    }
    Ok(Parsed::Record(HEADER_BYTES + protected))
}

fn check_type(content_type: u8, suite: Suite) -> Result<(), RecordFault> {
    match (suite.version, ContentType::from_byte(content_type)?) {
        (Version::Tls12, _) | (Version::Tls13, ContentType::ApplicationData) => Ok(()),
        // RFC 8446 §5.2: the outer type of a protected record is always that of application data.
        (Version::Tls13, ContentType::Alert | ContentType::Handshake) => {
            Err(RecordFault::NotProtected(content_type))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::record::Aead;

    const TLS13: Suite = Suite { version: Version::Tls13, aead: Aead::Aes128Gcm };
    const TLS12: Suite = Suite { version: Version::Tls12, aead: Aead::Aes128Gcm };

    #[test]
    fn lengths_are_taken_at_their_bounds_and_refused_beyond() {
        for (suite, least, most) in [(TLS13, 16, 16_640), (TLS12, 24, 18_432)] {
            let parse = |bytes: usize| parse_header(&[23, 3, 3, (bytes >> 8) as u8, bytes as u8], suite);
            assert_eq!(parse(least), Ok(Parsed::Record(least + 5)));
            assert_eq!(parse(most), Ok(Parsed::Record(most + 5)));
            assert_eq!(parse(least - 1), Err(RecordFault::NotAuthentic));
            assert_eq!(parse(most + 1), Err(RecordFault::RecordTooLong(most + 1)));
        }
    }

    #[test]
    fn a_wrong_type_is_known_from_the_first_byte() {
        for (content_type, in_tls13, in_tls12) in [
            (20, Err(RecordFault::UnexpectedChangeCipherSpec), Err(RecordFault::UnexpectedChangeCipherSpec)),
            (21, Err(RecordFault::NotProtected(21)), Ok(Parsed::Needs(5))),
            (22, Err(RecordFault::NotProtected(22)), Ok(Parsed::Needs(5))),
            (23, Ok(Parsed::Needs(5)), Ok(Parsed::Needs(5))),
            (24, Err(RecordFault::UnknownContentType(24)), Err(RecordFault::UnknownContentType(24))),
            (b'G', Err(RecordFault::UnknownContentType(b'G')), Err(RecordFault::UnknownContentType(b'G'))),
        ] {
            assert_eq!(parse_header(&[content_type], TLS13), in_tls13);
            assert_eq!(parse_header(&[content_type], TLS12), in_tls12);
        }
        assert_eq!(parse_header(&[], TLS13), Ok(Parsed::Needs(5)));
    }

    #[test]
    fn tls_13_does_not_look_at_the_version_and_tls_12_does() {
        assert_eq!(parse_header(&[23, 9, 9, 0, 32], TLS13), Ok(Parsed::Record(37)));
        assert_eq!(parse_header(&[23, 3, 1, 0, 32], TLS12), Err(RecordFault::WrongVersion(0x0301)));
    }
}
