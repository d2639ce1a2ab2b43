//! The rules of the opening handshake (RFC 6455 §4): what a client offers, and whether a backend's 101 keeps to it.
//!
//! An `Offer` can only come from a request that passed every rule; an `Agreement` is made from a 101 that fits the offer.
//! Key, subprotocols and extensions travel between the endpoints as they are; nothing is negotiated here.
//!
//! Not here: the lines of a head and their faults (`http1`), encoding (`http1::encode`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha1::{Digest as _, Sha1};

use super::extensions::parse_extension_names;
use super::reserved_bits::ReservedBits;
use crate::head::{Headers, Occurrence, RequestHead, Target};
use crate::http1::{AnswerFault, HeadFault, ResponseHead};

/// Appended to a key before it is hashed (RFC 6455 §1.3).
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Length, in characters, of 16 bytes in base64.
pub const KEY_CHARS: usize = 24;

/// Length, in characters, of a SHA-1 hash in base64.
pub const ACCEPT_CHARS: usize = 28;

/// RFC 7692 §7.
const PERMESSAGE_DEFLATE: &[u8] = b"permessage-deflate";

/// The offer of a client's opening handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    key: [u8; KEY_CHARS],
    subprotocols: Vec<Bytes>,
    extensions: Vec<Bytes>,
}

impl Offer {
    /// Sec-WebSocket-Key as it came: ASCII.
    pub fn key(&self) -> &[u8; KEY_CHARS] {
        &self.key
    }

    /// The subprotocols, in the client's order and spelling.
    pub fn subprotocols(&self) -> &[Bytes] {
        &self.subprotocols
    }

    /// The same with no other subprotocols than those in `values`, lists as the field has them.
    #[must_use]
    pub fn narrowed_to<'v>(mut self, values: impl Iterator<Item = &'v str> + Clone) -> Self {
        self.subprotocols.retain(|offered| {
            let mut listed = values.clone().flat_map(|value| value.split(','));
            listed.any(|protocol| protocol.trim_matches([' ', '\t']).as_bytes() == &**offered)
        });
        self
    }

    /// The names of the extensions, in the client's order and spelling; a name may stand several times.
    pub fn extensions(&self) -> &[Bytes] {
        &self.extensions
    }
}

/// The agreement of client and backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Which reserved bits frames may carry.
    pub reserved_bits: ReservedBits,
    /// The subprotocol that the backend chose.
    pub subprotocol: Option<Bytes>,
}

/// Checks that `request` is an opening handshake (RFC 6455 §4.2.1).
///
/// The caller asks the catalogue before, but only if the target has a path: the other targets are refused here, last.
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

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn request(lines: &str) -> Result<Offer, HeadFault> {
        let head = format!("GET /chat HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        check_request(&RequestHead::parse(Bytes::from(head)).expect("a head in order"))
    }

    /// An offer with these further lines.
    fn offer(lines: &str) -> Offer {
        request(&format!(
            "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{lines}"
        ))
        .expect("an opening handshake")
    }

    fn answer(offer: &Offer, lines: &str) -> Result<Agreement, AnswerFault> {
        let head = format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n");
        check_answer(&ResponseHead::parse(Bytes::from(head)).expect("a head in order"), offer)
    }

    /// The answer to `offer` with these lines beside what every 101 has.
    fn good_answer(offer: &Offer, lines: &str) -> Result<Agreement, AnswerFault> {
        let accept = String::from_utf8_lossy(&accept_value(offer.key())).into_owned();
        answer(
            offer,
            &format!(
                "Upgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{lines}"
            ),
        )
    }

    #[test]
    fn answers_the_key_of_rfc_6455_section_1_3() {
        let key = KEY.as_bytes().try_into().expect("24 characters");
        assert_eq!(&accept_value(&key), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn checks_each_rule_of_the_request() {
        let upgrade = "Upgrade: websocket\r\nConnection: upgrade\r\n";
        let version = "Sec-WebSocket-Version: 13\r\n";
        let key = format!("Sec-WebSocket-Key: {KEY}\r\n");
        let table = [
            (format!("{upgrade}{version}{key}"), None),
            (
                format!(
                    "UPGRADE: h2c\r\nupgrade: WebSocket\r\nconnection: keep-alive\r\nConnection: x, UPGRADE\r\n{version}{key}"
                ),
                None,
            ),
            (format!("{version}{key}"), Some(HeadFault::NotAnUpgrade)),
            (format!("Upgrade: websocket\r\n{version}{key}"), Some(HeadFault::NotAnUpgrade)),
            (format!("Connection: upgrade\r\n{version}{key}"), Some(HeadFault::NotAnUpgrade)),
            (
                format!("Upgrade: websocket2\r\nConnection: upgrade\r\n{version}{key}"),
                Some(HeadFault::NotAnUpgrade),
            ),
            (
                format!("Upgrade: websocket\r\nConnection: upgraded\r\n{version}{key}"),
                Some(HeadFault::NotAnUpgrade),
            ),
            (format!("{upgrade}{key}"), Some(HeadFault::AskedForOtherWebSocketVersion)),
            (format!("{upgrade}{version}{version}{key}"), Some(HeadFault::AskedForOtherWebSocketVersion)),
            (
                format!("{upgrade}Sec-WebSocket-Version: 8\r\n{key}"),
                Some(HeadFault::AskedForOtherWebSocketVersion),
            ),
            (
                format!("{upgrade}Sec-WebSocket-Version: 13, 8\r\n{key}"),
                Some(HeadFault::AskedForOtherWebSocketVersion),
            ),
            (
                format!("{upgrade}Sec-WebSocket-Version: 013\r\n{key}"),
                Some(HeadFault::AskedForOtherWebSocketVersion),
            ),
            (format!("{upgrade}{version}"), Some(HeadFault::KeyMissing)),
            (format!("{upgrade}{version}{key}{key}"), Some(HeadFault::KeyRepeated)),
            (
                format!("{upgrade}{version}{key}Sec-WebSocket-Extensions: a;\r\n"),
                Some(HeadFault::ExtensionsMalformed),
            ),
        ];
        for (lines, expected) in table {
            assert_eq!(request(&lines).err(), expected, "{lines}");
        }
    }

    #[test]
    fn takes_any_16_bytes_in_base64_for_a_key() {
        for good in [KEY, "AQIDBAUGBwgJCgsMDQ4PEC==", "AAAAAAAAAAAAAAAAAAAAAA==", "++++++++++//////////+w=="]
        {
            assert!(parse_key(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            "",
            "AQIDBAUGBwgJCgsMDQ4PEC=",
            "AQIDBAUGBwgJCgsMDQ4PEC",
            "AQIDBAUGBwgJCgsMDQ4PECA=",
            "AQIDBAUGBwgJCgsMDQ4PECAA",
            "AQIDBAUGBwgJCgsMDQ4P====",
            "AQIDBAUGBwgJCgsMDQ4PE-==",
            "AQIDBAUGBwgJCgsMDQ4PE C==",
            "AQIDBAUGBwgJCgsMDQ4PECAgICA=",
        ] {
            assert!(parse_key(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn refuses_targets_without_a_path_last() {
        for target in ["*", "example.com:80", "ftp://x/"] {
            let head = |key: &str| {
                Bytes::from(format!(
                    "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
                ))
            };
            let check = |key| check_request(&RequestHead::parse(head(key)).expect("a head in order"));
            assert_eq!(check(KEY), Err(HeadFault::TargetHasNoPath), "{target}");
            assert_eq!(check("x"), Err(HeadFault::KeyMalformed), "{target}");
        }
    }

    #[test]
    fn lists_what_the_client_offers() {
        let offer = offer(
            "Sec-WebSocket-Protocol: Chat, superchat\r\nSec-WebSocket-Extensions: a;b=\"c\", d\r\n\
             sec-websocket-protocol: mqtt\r\nSec-WebSocket-Extensions: a\r\n",
        );
        assert_eq!(offer.key(), KEY.as_bytes());
        assert_eq!(offer.subprotocols(), ["Chat", "superchat", "mqtt"]);
        assert_eq!(offer.extensions(), ["a", "d", "a"]);
    }

    #[test]
    fn checks_each_rule_of_the_answer() {
        let offer = offer("");
        let upgrade = "Upgrade: websocket\r\n";
        let connection = "Connection: upgrade\r\n";
        let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        let all = format!("{upgrade}{connection}{accept}");
        let table = [
            (all.clone(), None),
            (format!("upgrade: WEBSOCKET\r\nConnection: x\r\nconnection: y, Upgrade\r\n{accept}"), None),
            (format!("{connection}{accept}"), Some(AnswerFault::SwitchesToOtherProtocol)),
            (format!("Upgrade: h2c\r\n{connection}{accept}"), Some(AnswerFault::SwitchesToOtherProtocol)),
            (
                format!("Upgrade: websocket, h2c\r\n{connection}{accept}"),
                Some(AnswerFault::SwitchesToOtherProtocol),
            ),
            (format!("{upgrade}{accept}"), Some(AnswerFault::ConnectionNotUpgraded)),
            (format!("{upgrade}Connection: close\r\n{accept}"), Some(AnswerFault::ConnectionNotUpgraded)),
            (format!("{upgrade}{connection}"), Some(AnswerFault::AcceptMissing)),
            (format!("{all}{accept}"), Some(AnswerFault::AcceptRepeated)),
            (
                format!("{upgrade}{connection}Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
                Some(AnswerFault::AcceptWrong),
            ),
            (format!("{upgrade}{connection}Sec-WebSocket-Accept:\r\n"), Some(AnswerFault::AcceptWrong)),
            (format!("{all}Content-Length: 0\r\n"), Some(AnswerFault::SwitchAnnouncesBody)),
            (format!("{all}Transfer-Encoding: chunked\r\n"), Some(AnswerFault::SwitchAnnouncesBody)),
        ];
        for (lines, expected) in table {
            assert_eq!(answer(&offer, &lines).err(), expected, "{lines}");
        }
        let refusal =
            ResponseHead::parse(Bytes::from(format!("HTTP/1.1 200 OK\r\n{all}\r\n"))).expect("a head");
        assert_eq!(check_answer(&refusal, &offer), Err(AnswerFault::NotSwitchingProtocols));
    }

    #[test]
    fn takes_only_a_subprotocol_that_was_offered() {
        let some = offer("Sec-WebSocket-Protocol: Chat, mqtt\r\n");
        let chosen = |lines: &str| good_answer(&some, lines).map(|agreement| agreement.subprotocol);
        assert_eq!(chosen(""), Ok(None));
        assert_eq!(chosen("Sec-WebSocket-Protocol: mqtt\r\n"), Ok(Some(Bytes::from("mqtt"))));
        for lines in ["chat", "Chat, mqtt", "", "other"] {
            let line = format!("Sec-WebSocket-Protocol: {lines}\r\n");
            assert_eq!(chosen(&line), Err(AnswerFault::SubprotocolNotOffered), "{line}");
        }
        let twice = "Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Protocol: mqtt\r\n";
        assert_eq!(chosen(twice), Err(AnswerFault::SubprotocolRepeated));
        let none = good_answer(&offer(""), "Sec-WebSocket-Protocol: mqtt\r\n");
        assert_eq!(none, Err(AnswerFault::SubprotocolNotOffered));
    }

    #[test]
    fn frees_the_reserved_bits_of_the_extensions_agreed_on() {
        let some = offer(
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, permessage-deflate, x, x, y\r\n",
        );
        let table = [
            ("", Ok(ReservedBits::None)),
            ("permessage-deflate; server_max_window_bits=\"10\"", Ok(ReservedBits::MessageCompressed)),
            ("x", Ok(ReservedBits::Any)),
            ("permessage-deflate, y", Ok(ReservedBits::Any)),
            ("y, permessage-deflate", Ok(ReservedBits::Any)),
            ("x;a, x;b", Ok(ReservedBits::Any)),
            ("x, x, x", Err(AnswerFault::ExtensionNotOffered)),
            ("z", Err(AnswerFault::ExtensionNotOffered)),
            ("X", Err(AnswerFault::ExtensionNotOffered)),
            ("permessage-deflate, permessage-deflate", Err(AnswerFault::CompressionRepeated)),
            ("x;", Err(AnswerFault::ExtensionsMalformed)),
        ];
        for (value, expected) in table {
            let agreement = good_answer(&some, &format!("Sec-WebSocket-Extensions: {value}\r\n"));
            assert_eq!(agreement.map(|agreement| agreement.reserved_bits), expected, "{value}");
        }
        let none = good_answer(&offer(""), "Sec-WebSocket-Extensions: permessage-deflate\r\n");
        assert_eq!(none, Err(AnswerFault::ExtensionNotOffered));
    }
}
