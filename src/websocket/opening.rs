//! The rules of the opening handshake (RFC 6455 §4): what a client offers, and whether a backend's 101 keeps to it.
//!
//! An `Offer` can only come from a request that passed every rule, an `Agreement` only from a 101 that fits the offer.
//! Key, subprotocols and extensions travel between the endpoints as they are; nothing is negotiated here.
//!
//! Not here: the lines of a head and their faults (`http1`), encoding (`http1::encode`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha1::{Digest as _, Sha1};

use super::extensions::parse_extension_names;
use super::reserved_bits::ReservedBits;
use crate::http1::{AnswerFault, HeadFault, Headers, Occurrence, RequestHead, ResponseHead, Target};

/// Appended to a key before it is hashed (RFC 6455 §1.3).
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Length, in characters, of 16 bytes in base64.
pub const KEY_CHARS: usize = 24;

/// Length, in characters, of a SHA-1 hash in base64.
pub const ACCEPT_CHARS: usize = 28;

/// RFC 7692 §7.
const PERMESSAGE_DEFLATE: &[u8] = b"permessage-deflate";

/// What a client's opening handshake offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Sec-WebSocket-Key as it came.
    pub key: [u8; KEY_CHARS],
    /// The subprotocols, in the client's order and spelling.
    pub subprotocols: Vec<Bytes>,
    /// The names of the extensions, in the client's order and spelling; a name may stand several times.
    pub extensions: Vec<Bytes>,
}

/// What client and backend have agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Which reserved bits frames may carry.
    pub reserved_bits: ReservedBits,
    /// The subprotocol that the backend chose.
    pub subprotocol: Option<Bytes>,
}

/// Checks that `request` is an opening handshake (RFC 6455 §4.2.1).
///
/// Of the last fault, `TargetHasNoPath`, there is no route: the caller asks the catalogue only for a target with a path.
///
/// # Errors
/// The first fault in the order of the variants of `HeadFault`, from `NotAnUpgrade` on.
pub fn check_request(request: &RequestHead) -> Result<Offer, HeadFault> {
    let headers = request.headers();
    if !is_upgrade(headers) {
        return Err(HeadFault::NotAnUpgrade);
    }
    if headers.occurrence("sec-websocket-version") != Occurrence::Once(b"13") {
        return Err(HeadFault::AskedForOtherWebSocketVersion);
    }
    let key = match headers.occurrence("sec-websocket-key") {
        Occurrence::Absent => return Err(HeadFault::KeyMissing),
        Occurrence::Repeated => return Err(HeadFault::KeyRepeated),
        Occurrence::Once(key) => parse_key(key).ok_or(HeadFault::KeyMalformed)?,
    };
    // RFC 6455 §9.1: whoever receives a malformed value fails the handshake.
    let extensions = parse_extension_names(headers).ok_or(HeadFault::ExtensionsMalformed)?;
    match request.target() {
        Target::Origin { .. } => {}
        Target::Asterisk | Target::Other => return Err(HeadFault::TargetHasNoPath),
    }
    Ok(Offer {
        key,
        subprotocols: headers.tokens("sec-websocket-protocol").map(|name| headers.share(name)).collect(),
        extensions: extensions.into_iter().map(|name| headers.share(name)).collect(),
    })
}

fn is_upgrade(headers: &Headers) -> bool {
    headers.has_token("upgrade", "websocket") && headers.has_token("connection", "upgrade")
}

/// 22 characters of the alphabet and `==`: 16 bytes. The four bits that the last character has too many may be
/// anything, as in the example of RFC 6455 §4.1.
fn parse_key(value: &[u8]) -> Option<[u8; KEY_CHARS]> {
    let key: [u8; KEY_CHARS] = value.try_into().ok()?;
    let (digits, padding) = key.split_at(KEY_CHARS - 2);
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    (padding == b"==" && digits.iter().all(is_digit)).then_some(key)
}

/// The Sec-WebSocket-Accept that answers `key` (RFC 6455 §4.2.2): ASCII.
pub fn accept_value(key: &[u8; KEY_CHARS]) -> [u8; ACCEPT_CHARS] {
    let hash = Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize();
    let mut accept = [0; ACCEPT_CHARS];
    let written =
        STANDARD.encode_slice(&hash[..], &mut accept).expect("20 bytes are 28 characters in base64");
    debug_assert_eq!(written, ACCEPT_CHARS);
    accept
}

/// Checks that `answer` is a 101 that fits `offer` (RFC 6455 §4.1, as a client has to).
///
/// # Errors
/// The first rule that it breaks.
pub fn check_answer(answer: &ResponseHead, offer: &Offer) -> Result<Agreement, AnswerFault> {
    let headers = answer.headers();
    if answer.status() != 101 {
        return Err(AnswerFault::NotSwitchingProtocols);
    }
    // RFC 9110 §8.6, RFC 9112 §6.1: neither may stand in a 1xx; a peer that believed one would lose frames.
    if headers.contains("content-length") || headers.contains("transfer-encoding") {
        return Err(AnswerFault::SwitchAnnouncesBody);
    }
    // The client offers one protocol or several; the session goes on in this one, so no other may stand beside it.
    let mut protocols = headers.tokens("upgrade");
    match (protocols.next(), protocols.next()) {
        (Some(protocol), None) if protocol.eq_ignore_ascii_case(b"websocket") => {}
        (_, _) => return Err(AnswerFault::SwitchesToOtherProtocol),
    }
    if !headers.has_token("connection", "upgrade") {
        return Err(AnswerFault::ConnectionNotUpgraded);
    }
    match headers.occurrence("sec-websocket-accept") {
        Occurrence::Absent => return Err(AnswerFault::AcceptMissing),
        Occurrence::Repeated => return Err(AnswerFault::AcceptRepeated),
        Occurrence::Once(accept) if accept != accept_value(&offer.key) => {
            return Err(AnswerFault::AcceptWrong);
        }
        Occurrence::Once(_) => {}
    }
    Ok(Agreement {
        subprotocol: check_subprotocol(headers, offer)?,
        reserved_bits: check_extensions(headers, offer)?,
    })
}

fn check_subprotocol(headers: &Headers, offer: &Offer) -> Result<Option<Bytes>, AnswerFault> {
    match headers.occurrence("sec-websocket-protocol") {
        Occurrence::Absent => Ok(None),
        Occurrence::Repeated => Err(AnswerFault::SubprotocolRepeated),
        // Names are compared as they are spelled, as clients do.
        Occurrence::Once(chosen) => match offer.subprotocols.iter().find(|offered| *offered == chosen) {
            Some(offered) => Ok(Some(offered.clone())),
            None => Err(AnswerFault::SubprotocolNotOffered),
        },
    }
}

fn check_extensions(headers: &Headers, offer: &Offer) -> Result<ReservedBits, AnswerFault> {
    let accepted = parse_extension_names(headers).ok_or(AnswerFault::ExtensionsMalformed)?;
    let mut reserved_bits = ReservedBits::None;
    for (index, name) in accepted.iter().enumerate() {
        let accepted_before = accepted[..index].iter().filter(|before| *before == name).count();
        // RFC 7692 §5: several offers of it are alternatives, of which a server takes one.
        if *name == PERMESSAGE_DEFLATE && accepted_before > 0 {
            return Err(AnswerFault::CompressionRepeated);
        }
        // RFC 6455 §9.1 lets one extension be used several times, in the order in which it was offered.
        let offered = offer.extensions.iter().filter(|offered| *offered == name).count();
        if accepted_before >= offered {
            return Err(AnswerFault::ExtensionNotOffered);
        }
        reserved_bits = match (*name == PERMESSAGE_DEFLATE, reserved_bits) {
            (true, ReservedBits::None) => ReservedBits::MessageCompressed,
            (_, _) => ReservedBits::Any,
        };
    }
    Ok(reserved_bits)
}
