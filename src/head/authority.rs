//! Whether bytes are an authority: host and optional port (RFC 3986 §3.2).
//!
//! Not here: names, addresses and their resolution.

use core::net::Ipv6Addr;

/// Whether `bytes` is a host, not empty, with an optional port of 0 to 65,535, and no userinfo.
///
/// An empty port behind its colon is one (RFC 3986 §3.2.3).
pub fn is_authority(bytes: &[u8]) -> bool {
    let (host, port) = if bytes.starts_with(b"[") {
        let Some(closing) = memchr::memchr(b']', bytes) else { return false };
        if !is_ip_literal(&bytes[1..closing]) {
            return false;
        }
        (&bytes[..=closing], &bytes[closing + 1..])
    } else {
        let colon = memchr::memchr(b':', bytes).unwrap_or(bytes.len());
        if !is_reg_name(&bytes[..colon]) {
            return false;
        }
        bytes.split_at(colon)
    };
    !host.is_empty() && (port.is_empty() || port.strip_prefix(b":").is_some_and(is_port))
}

/// A reg-name; an IPv4 address is one too (RFC 3986 §3.2.2).
fn is_reg_name(mut bytes: &[u8]) -> bool {
    loop {
        bytes = match bytes {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            [byte, rest @ ..] if is_unreserved_or_sub_delim(*byte) => rest,
            _ => return false,
        };
    }
}

/// Whether `bytes` may stand between brackets: an IPv6 address or an IPvFuture (RFC 3986 §3.2.2).
fn is_ip_literal(bytes: &[u8]) -> bool {
    if let [b'v' | b'V', future @ ..] = bytes {
        let Some(dot) = memchr::memchr(b'.', future) else { return false };
        let (version, address) = (&future[..dot], &future[dot + 1..]);
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !address.is_empty()
            && address.iter().all(|&byte| byte == b':' || is_unreserved_or_sub_delim(byte));
    }
    // The standard library's grammar has no zone and no port, as RFC 3986 has it.
    str::from_utf8(bytes).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

fn is_port(digits: &[u8]) -> bool {
    let mut port = 0u32;
    digits.iter().all(|digit| {
        port = port.saturating_mul(10).saturating_add(u32::from(digit.wrapping_sub(b'0')));
        digit.is_ascii_digit() && port <= u32::from(u16::MAX)
    })
}

fn is_unreserved_or_sub_delim(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_rfc_3986_calls_an_authority() {
        for good in [
            "a",
            "example.com",
            "example.com:80",
            "example.com:0",
            "example.com:65535",
            "example.com:00080",
            "example.com:",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:443",
            "[2001:db8::1]",
            "[::ffff:1.2.3.4]",
            "[v1.a:b]",
            "a%20b",
            "a_b~c!$&'()*+,;=",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for bad in [
            "",
            ":80",
            "user@example.com",
            "example.com:65536",
            "example.com:99999999999",
            "example.com:8a",
            "example.com:-1",
            "a:1:2",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a%2",
            "a%zz",
            "[]",
            "[::1",
            "::1",
            "[::1]80",
            "[::1%25eth0]",
            "[::g]",
            "[1.2.3.4]",
            "[v.a]",
            "[v1.]",
            "[v1]",
            "[vz.a]",
            "a]",
            "a\\b",
            "a,b c",
            "\u{e4}",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }
}
