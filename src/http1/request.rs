//! A client's request head: parsed, checked strictly, refused by the first fault in a fixed order.
//!
//! A `RequestHead` is proof: HTTP/1.1, GET, exactly one valid Host, every line as RFC 9112 wants it, no body announced,
//! all within bounds.
//!
//! Not here: what makes it an opening handshake (`websocket::opening`), which API it belongs to (the catalogue).

use core::fmt;
use core::mem::MaybeUninit;

use bytes::{Buf, Bytes};

use super::authority::is_authority;
use super::first_fault::{
    begins_like_a_request, first_fault, first_fault_of_size, is_target, is_zero_length,
};
use super::head::{Headers, Occurrence, Span};
use super::head_fault::HeadFault;
use super::lines::{LineFault, has_only_crlf_line_ends};
use super::target::Target;
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX};

/// Judges the bytes received so far of a head that is not whole (`find_head_end` has found no end).
///
/// # Errors
/// `SentNoHttp` at the first byte that cannot begin a request, `HeadTooBig` as soon as the head has no room for its end.
pub fn check_incomplete_head(received: &[u8]) -> Result<(), HeadFault> {
    if !begins_like_a_request(received) {
        return Err(HeadFault::SentNoHttp);
    }
    if received.len() >= HEAD_BYTES_MAX {
        return Err(HeadFault::HeadTooBig);
    }
    Ok(())
}

/// The fault of a head that was not whole in time: one that counts before `NotInTime` if what came of it shows one.
pub fn late_head_fault(received: &[u8]) -> HeadFault {
    first_fault_of_size(received).unwrap_or(HeadFault::NotInTime)
}

/// A request head without a fault.
#[derive(Clone)]
pub struct RequestHead {
    headers: Headers,
    target: Span,
    /// In the target or in the Host field.
    host: Span,
}

impl RequestHead {
    /// Parses one whole head: the bytes up to the end that `find_head_end` has found, nothing behind it.
    ///
    /// # Errors
    /// The first fault in the order of the variants of `HeadFault`, `BrokenLine` being one place in that order.
    pub fn parse(head: Bytes) -> Result<Self, HeadFault> {
        // The second look decides what the fault is; this one only whether there is one. That they agree is tested, and
        // if they did not, the head would still be refused.
        Self::parse_faultless(&head)
            .ok_or_else(|| first_fault(&head).unwrap_or(HeadFault::BrokenLine(LineFault::Malformed)))
    }

    fn parse_faultless(head: &Bytes) -> Option<Self> {
        if head.len() > HEAD_BYTES_MAX || !has_only_crlf_line_ends(head) {
            return None;
        }
        let mut head = head.clone();
        if head.starts_with(b"\r\n") {
            head.advance(2);
        }
        // httparse skips any number of empty lines; one is enough (RFC 9112 §2.2).
        if !begins_like_a_request(&head) || head.starts_with(b"\r") {
            return None;
        }

        let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut []);
        let end = request.parse_with_uninit_headers(&head, &mut fields).ok()?;
        if end != httparse::Status::Complete(head.len())
            || request.version != Some(1)
            || request.method != Some("GET")
        {
            return None;
        }
        let target = request.path?.as_bytes();
        if target.len() > TARGET_BYTES_MAX || !is_target(target) {
            return None;
        }

        let target = Span::of(target, &head);
        let headers = Headers::new(head.clone(), request.headers);
        let Occurrence::Once(host) = headers.occurrence("host") else { return None };
        if !is_authority(host) || announces_body(&headers) {
            return None;
        }
        // RFC 9112 §3.2.2: the authority of an absolute-form takes the place of Host.
        let host = match Target::parse(ascii(target.get(&head))) {
            (_, Some(authority)) => Span::of(authority.as_bytes(), &head),
            (_, None) => Span::of(host, &head),
        };
        Some(Self { headers, target, host })
    }

    /// What is asked for.
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

fn announces_body(headers: &Headers) -> bool {
    headers.contains("transfer-encoding")
        || match headers.occurrence("content-length") {
            Occurrence::Absent => false,
            Occurrence::Once(length) => !is_zero_length(length),
            Occurrence::Repeated => true,
        }
}

fn ascii(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("target and authority are ASCII: parse checked both")
}
