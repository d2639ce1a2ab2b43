//! The head of a valid request, whatever version of HTTP it came in.
//!
//! Not here: how it is parsed and what is refused (`http1::request`).

use core::fmt;

use super::fields::{Headers, Span};
use super::target::Target;

/// A request head without a fault: a GET with a target, one valid Host, and no body announced.
#[derive(Clone)]
pub struct RequestHead {
    headers: Headers,
    target: Span,
    /// In the target or in the Host field.
    host: Span,
}

impl RequestHead {
    /// That of these fields, where `target` is ASCII, and `host` the valid authority of Host; both are slices of the head
    /// that the fields lie in.
    ///
    /// The authority of a target in absolute-form takes the place of Host (RFC 9112 §3.2.2).
    pub(crate) fn of(headers: &Headers, target: &[u8], host: &[u8]) -> Self {
        let head = headers.head();
        let host = match Target::parse(ascii(target)) {
            (_, Some(authority)) => Span::of(authority.as_bytes(), head),
            (_, None) => Span::of(host, head),
        };
        Self { headers: headers.clone(), target: Span::of(target, head), host }
    }

    /// The same in memory of its own, no larger than it needs: for who keeps it long.
    #[must_use]
    pub fn compact(&self) -> Self {
        Self { headers: self.headers.compact(), ..*self }
    }

    /// Returns the request target.
    pub fn target(&self) -> Target<'_> {
        Target::parse(self.target_text()).0
    }

    /// The request target as the client spelled it: visible ASCII without `#`. It may carry a subscription key.
    pub fn target_text(&self) -> &str {
        ascii(self.target.get(self.headers.head()))
    }

    /// The authority that the client speaks to: that of an absolute-form target, else that of Host.
    pub fn host(&self) -> &str {
        ascii(self.host.get(self.headers.head()))
    }

    /// The fields, in their order.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Length of the head in bytes, its empty line included, a leading CRLF not.
    pub fn len_bytes(&self) -> usize {
        self.headers.head().len()
    }
}

/// Path and names only: queries and values carry keys.
impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match self.target() {
            Target::Origin { path, query: _ } => path,
            Target::Asterisk | Target::Other => "",
        };
        f.debug_struct("RequestHead").field("path", &path).field("headers", &self.headers).finish()
    }
}

fn ascii(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("target and authority are ASCII: parse checked both")
}
