//! RFC 8448 §3, "Simple 1-RTT Handshake": keys and records of its application data.

use super::super::key_schedule::{expand_label, next_secret, traffic_keys};
use super::super::opener::Opener;
use super::super::sealer::Sealer;
use super::super::{Aead, Alert, ContentType, DirectionState, Suite, Version};

const SUITE: Suite = Suite { version: Version::Tls13, aead: Aead::Aes128Gcm };

const SERVER_SECRET: &str = "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
const SERVER_KEY: &str = "9f02283b6c9c07efc26bb9f2ac92e356";
const SERVER_IV: &str = "cf782b88dd83549aadf1e984";
const CLIENT_SECRET: &str = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
const CLIENT_KEY: &str = "17422dda596ed5d9acd890e3c63f5051";
const CLIENT_IV: &str = "5b78923dee08579033e523d9";

const CLIENT_DATA: &str = "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a\
    20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4";
const SERVER_DATA: &str = "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb\
    501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d";
const CLIENT_ALERT: &str = "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3";
const SERVER_ALERT: &str = "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).expect("ascii"), 16).expect("hex");
    digits.chunks(2).map(pair).collect()
}

#[test]
fn keys_and_ivs_come_from_the_traffic_secrets() {
    for (secret, key, iv) in [(SERVER_SECRET, SERVER_KEY, SERVER_IV), (CLIENT_SECRET, CLIENT_KEY, CLIENT_IV)]
    {
        let (made_key, made_iv) = traffic_keys(SUITE, &bytes(secret));
        assert_eq!((made_key[..16].to_vec(), made_iv.to_vec()), (bytes(key), bytes(iv)));
        let state = DirectionState::from_secret(SUITE, &bytes(secret), 0).expect("a secret of this suite");
        assert!(state.has_keys(&bytes(key), &bytes(iv)));
        assert!(!state.has_keys(&bytes(key), &[0; 12]) && !state.has_keys(&[0; 16], &bytes(iv)));
    }
}

#[test]
fn the_records_of_the_trace_are_opened_and_made_alike() {
    let payload: Vec<u8> = (0..50).collect();
    // The server's first record under these keys is its NewSessionTicket.
    for (secret, first, data, alert) in
        [(CLIENT_SECRET, 0, CLIENT_DATA, CLIENT_ALERT), (SERVER_SECRET, 1, SERVER_DATA, SERVER_ALERT)]
    {
        let state =
            || DirectionState::from_secret(SUITE, &bytes(secret), first).expect("a secret of this suite");
        let (mut opener, mut sealer) = (Opener::new(state()), Sealer::new(state()));
        for (content_type, content, record) in [
            (ContentType::ApplicationData, &payload[..], data),
            (ContentType::Alert, &Alert::CloseNotify.to_bytes()[..], alert),
        ] {
            let mut received = bytes(record);
            let opened = opener.open_in_place(&mut received).expect("the trace is authentic");
            assert_eq!((opened.content_type, &received[opened.content]), (content_type, content));
            let mut made = vec![0; sealer.sealed_bytes(content.len())];
            assert_eq!(sealer.seal(content_type, &[content], &mut made), Ok(made.len()));
            assert_eq!(made, bytes(record));
        }
    }
}

/// The RFC has no trace of a KeyUpdate: the label's bytes are written out here (RFC 8446 §7.1, §7.2), and HMAC does the
/// rest, for HKDF-Expand of one block is HMAC(secret, info || 1).
#[test]
fn the_next_secret_is_what_the_label_says() {
    use aws_lc_rs::hmac;
    for (aead, length, algorithm) in [
        (Aead::Aes128Gcm, 32, hmac::HMAC_SHA256),
        (Aead::ChaCha20Poly1305, 32, hmac::HMAC_SHA256),
        (Aead::Aes256Gcm, 48, hmac::HMAC_SHA384),
    ] {
        let suite = Suite { version: Version::Tls13, aead };
        let secret = vec![7; length];
        let mut info = vec![0, length as u8, 17];
        info.extend_from_slice(b"tls13 traffic upd\0\x01");
        let expected = hmac::sign(&hmac::Key::new(algorithm, &secret), &info);
        assert_eq!(&next_secret(suite, &secret)[..length], expected.as_ref());
    }
}

#[test]
fn a_label_gives_as_many_bytes_as_are_asked_for() {
    let mut short = [0; 12];
    expand_label(SUITE, &bytes(SERVER_SECRET), b"iv", &mut short);
    assert_eq!(short.to_vec(), bytes(SERVER_IV));
}
