//! The path by which balancers ask every listener whether this instance serves (`[health]`).
//!
//! Not here: what counts as a request for it (`http1::health_request`), and the answer (the front).

use core::fmt;
use std::sync::Arc;

use crate::catalog::fields::Fields;

/// The health path of Azure API Management, which is the default.
const HEALTH_PATH_DEFAULT: &str = "/status-0123456789abcdef";

/// Longest health path, in bytes.
pub const HEALTH_PATH_BYTES_MAX: usize = 256;

/// A path that is compared with that of a request byte by byte: visible ASCII, without a query.
#[derive(Clone, PartialEq, Eq)]
pub struct HealthPath(Arc<str>);

impl HealthPath {
    /// Reads a path. An empty text is none: health checks are off.
    ///
    /// # Errors
    /// What is allowed.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let is_visible = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
        let is_path =
            text.len() <= HEALTH_PATH_BYTES_MAX && text.starts_with('/') && text.bytes().all(is_visible);
        is_path.then(|| Some(Self(text.into()))).ok_or_else(|| {
            format!(
                "a path of at most {HEALTH_PATH_BYTES_MAX} visible ASCII characters that begins with / and has no ? and no #, or \
                 \"\", which switches health checks off"
            )
        })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for HealthPath {
    fn default() -> Self {
        Self(HEALTH_PATH_DEFAULT.into())
    }
}

/// Takes the table `[health]`.
pub(super) fn take_health(mut fields: Fields<'_>) -> Option<HealthPath> {
    let taken = fields.take_text("path", HealthPath::parse);
    fields.finish();
    taken.unwrap_or_else(|| Some(HealthPath::default()))
}

impl fmt::Debug for HealthPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_plain_path_within_its_bound_or_none() {
        let longest = format!("/{}", "x".repeat(HEALTH_PATH_BYTES_MAX - 1));
        for good in ["/", "/healthz", "/a/b.c%20~", HEALTH_PATH_DEFAULT, &longest] {
            let path = HealthPath::parse(good).expect(good).expect("a path");
            assert_eq!(path.as_str(), good);
        }
        assert_eq!(HealthPath::parse(""), Ok(None));
        for bad in ["healthz", "*", "/a b", "/a?b", "/a#b", "/\u{e4}", "/\n", " /", &format!("{longest}x")] {
            assert!(HealthPath::parse(bad).is_err(), "{bad:?}");
        }
    }
}
