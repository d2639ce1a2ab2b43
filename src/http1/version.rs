//! The HTTP version of a message (RFC 9112 §2.3).

use bytes::{Bytes, BytesMut};

/// The meaning of a version to a recipient that speaks HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1.0, in which there is no upgrade (RFC 9110 §7.8).
    Http10,
    /// HTTP/1.1, or a later minor version, which is treated as 1.1 (RFC 9110 §6.2).
    Http11,
    /// Another major version.
    OtherMajor,
}

impl Version {
    /// Reads a version. `None`: it is none. HTTP/2 and HTTP/3 have no minor version, so another major one may go without.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        match text.strip_prefix(b"HTTP/")? {
            b"1.0" => Some(Self::Http10),
            [b'1', b'.', b'1'..=b'9'] => Some(Self::Http11),
            [b'0' | b'2'..=b'9'] | [b'0' | b'2'..=b'9', b'.', b'0'..=b'9'] => Some(Self::OtherMajor),
            _ => None,
        }
    }
}

/// A head with HTTP/1.1 in the place of the later minor version that stands in it at `at`. `None`: there is none.
pub(super) fn as_http_1_1(head: &Bytes, at: usize) -> Option<Bytes> {
    let version = head.get(at..at + b"HTTP/1.1".len())?;
    let minor = at + b"HTTP/1.".len();
    if Version::parse(version) != Some(Version::Http11) || head[minor] == b'1' {
        return None;
    }
    let mut head = BytesMut::from(&head[..]);
    head[minor] = b'1';
    Some(head.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_versions_are_told_from_major_ones_and_from_what_is_no_version() {
        for (version, texts) in [
            (Some(Version::Http10), &["1.0"][..]),
            (Some(Version::Http11), &["1.1", "1.2", "1.5", "1.9"]),
            (Some(Version::OtherMajor), &["0.9", "2", "2.0", "3", "3.0", "9.9"]),
            (
                None,
                &[
                    "", "1", "1.", "1.10", "1.01", "11", "11.1", "1.x", "x.1", "2.", "2.00", "20", "-1.1",
                    "1,1", "1.1 ",
                ],
            ),
        ] {
            for text in texts {
                assert_eq!(Version::parse(format!("HTTP/{text}").as_bytes()), version, "{text}");
            }
        }
        for text in ["http/1.1", "HTTP", "HTTP1.1", "XHTTP/1.1", ""] {
            assert_eq!(Version::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn only_a_later_minor_version_is_replaced() {
        let head = |version: &str| Bytes::from(format!("GET / {version}\r\n\r\n"));
        assert_eq!(as_http_1_1(&head("HTTP/1.7"), 6), Some(head("HTTP/1.1")));
        for version in ["HTTP/1.1", "HTTP/1.0", "HTTP/2.1", "HTTP/1", ""] {
            assert_eq!(as_http_1_1(&head(version), 6), None, "{version}");
        }
        assert_eq!(as_http_1_1(&head("HTTP/1.7"), 60), None);
    }
}
