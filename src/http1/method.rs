//! The parts of a request's method that an answer depends on.

use super::first_fault::without_leading_crlf;
use crate::head::Method;

impl Method {
    /// So many bytes of a request are enough to know.
    pub const BYTES: usize = b"\r\nHEAD ".len();

    /// That of the request that begins with `received`.
    pub fn begun_by(received: &[u8]) -> Self {
        if without_leading_crlf(received).starts_with(b"HEAD ") { Self::Head } else { Self::Other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_is_known_by_its_first_bytes_and_nothing_else_is_taken_for_it() {
        for begun in ["HEAD ", "HEAD / HTTP/1.1\r\n", "\r\nHEAD ", "HEAD  "] {
            assert_eq!(Method::begun_by(begun.as_bytes()), Method::Head, "{begun:?}");
            assert_eq!(Method::begun_by(&begun.as_bytes()[..begun.len().min(Method::BYTES)]), Method::Head);
        }
        for begun in
            ["", "\r\n", "HEAD", "HEADS ", "head ", " HEAD ", "GET /HEAD ", "\nHEAD ", "\r\n\r\nHEAD "]
        {
            assert_eq!(Method::begun_by(begun.as_bytes()), Method::Other, "{begun:?}");
        }
    }
}
