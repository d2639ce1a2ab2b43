//! The fields of a head, in their order.
//!
//! A field is a range over the bytes that came: name and value keep their spelling, nothing is copied, and `Debug`
//! never shows a value (keys and tokens travel in them).
//!
//! Not here: parsing fields (`http1`), and the choice of those that go on to the other leg (`forwarding`).

use core::fmt;

use bytes::Bytes;

use crate::limits::HEAD_BYTES_MAX;

const _: () = assert!(HEAD_BYTES_MAX <= u16::MAX as usize, "a span counts in u16");

/// A range over a head. Two u16 instead of two usize: a head has up to 200 of them.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    start: u16,
    len: u16,
}

impl Span {
    /// Where `part` lies in `whole`.
    ///
    /// # Panics
    /// If `part` is no slice of `whole` or `whole` is no head: both are in the hands of this module's callers.
    pub(crate) fn of(part: &[u8], whole: &[u8]) -> Self {
        // httparse may answer an empty value with an empty slice from elsewhere.
        if part.is_empty() {
            return Self { start: 0, len: 0 };
        }
        let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        assert!(start <= whole.len() && part.len() <= whole.len() - start, "part is a slice of whole");
        let in_head = "a head has at most HEAD_BYTES_MAX bytes: checked before it is parsed";
        Self { start: u16::try_from(start).expect(in_head), len: u16::try_from(part.len()).expect(in_head) }
    }

    pub(crate) fn get(self, whole: &[u8]) -> &[u8] {
        &whole[usize::from(self.start)..][..usize::from(self.len)]
    }
}

/// One header field: the name as it was spelled, the value without white space around it (RFC 9110 §5.5).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// A token (RFC 9110 §5.6.2).
    pub name: &'a str,
    /// Visible characters, SP, HTAB and obs-text (0x80-0xFF): never CR, LF, NUL or another control character.
    pub value: &'a [u8],
}

impl Header<'_> {
    /// Whether this field has `name`, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// How often a field that may stand once does stand in a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurrence<'a> {
    /// Not at all.
    Absent,
    /// Once, with this value.
    Once(&'a [u8]),
    /// On two lines or more, equal or not.
    Repeated,
}

/// The fields of one head, in their order.
#[derive(Clone)]
pub struct Headers {
    head: Bytes,
    fields: Vec<(Span, Span)>,
}

impl Headers {
    /// Fields whose names and values are slices of `head`: each name a token, each value what `Header::value` allows, with or
    /// without white space around it.
    pub(crate) fn new<'h>(head: &'h Bytes, fields: impl Iterator<Item = (&'h str, &'h [u8])>) -> Self {
        let fields = fields
            .map(|(name, value)| (Span::of(name.as_bytes(), head), Span::of(trim(value), head)))
            .collect();
        Self { head: head.clone(), fields }
    }

    /// Bytes that a field takes beside those of the head.
    pub(crate) const FIELD_BYTES: usize = size_of::<(Span, Span)>();

    /// The same in memory of their own.
    pub(super) fn compact(&self) -> Self {
        Self { head: Bytes::copy_from_slice(&self.head), fields: self.fields.clone() }
    }

    /// The bytes of the whole head.
    pub(crate) fn head(&self) -> &Bytes {
        &self.head
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Every field, in order.
    pub fn iter(&self) -> impl Iterator<Item = Header<'_>> + Clone {
        self.fields.iter().map(|(name, value)| Header {
            name: str::from_utf8(name.get(&self.head))
                .expect("a field name is a token: whoever made this checked it"),
            value: value.get(&self.head),
        })
    }

    /// The values of the fields called `name`, in any case, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(|(field_name, _)| field_name.get(&self.head).eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.get(&self.head))
    }

    /// Whether there is a field called `name`, in any case.
    pub fn contains(&self, name: &str) -> bool {
        self.get_all(name).next().is_some()
    }

    /// The one value of `name`, for fields that may stand once.
    pub fn occurrence<'a>(&'a self, name: &'a str) -> Occurrence<'a> {
        let mut values = self.get_all(name);
        match (values.next(), values.next()) {
            (None, _) => Occurrence::Absent,
            (Some(value), None) => Occurrence::Once(value),
            (Some(_), Some(_)) => Occurrence::Repeated,
        }
    }

    /// The elements of the comma-separated list `name`, over all its lines, without the empty ones (RFC 9110 §5.6.1).
    ///
    /// For lists of tokens: a comma within a quoted string would be taken for a separator.
    pub fn tokens<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(trim)
            .filter(|element| !element.is_empty())
    }

    /// Whether the list `name` has the element `token`, in any case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.tokens(name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// `part`, a slice of one of these fields, as a value of its own; the head is shared, not copied.
    pub(crate) fn share(&self, part: &[u8]) -> Bytes {
        self.head.slice_ref(part)
    }
}

/// Names only.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|header| header.name)).finish()
    }
}

/// `bytes` without optional white space (SP, HTAB) at either end (RFC 9110 §5.6.3).
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::ResponseHead;

    fn headers(lines: &str) -> Headers {
        let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        ResponseHead::parse(Bytes::from(head)).expect("a head in order").headers().clone()
    }

    #[test]
    fn keeps_order_and_spelling_and_trims_values() {
        let headers = headers("B-b: 1\r\na:\t 2 x \t\r\nb-B:\r\n");
        let fields: Vec<_> = headers.iter().map(|header| (header.name, header.value)).collect();
        assert_eq!(fields, [("B-b", &b"1"[..]), ("a", b"2 x"), ("b-B", b"")]);
        assert_eq!(headers.len(), 3);
        assert_eq!(headers.get_all("B-B").collect::<Vec<_>>(), [&b"1"[..], b""]);
        assert_eq!(headers.occurrence("A"), Occurrence::Once(b"2 x"));
        assert_eq!(headers.occurrence("b-b"), Occurrence::Repeated);
        assert_eq!(headers.occurrence("c"), Occurrence::Absent);
    }

    #[test]
    fn lists_tokens_over_several_lines() {
        let headers = headers("Connection: keep-alive,\t,Upgrade ,\r\nX: y\r\nconnection: close\r\n");
        let tokens: Vec<_> = headers.tokens("Connection").collect();
        assert_eq!(tokens, [&b"keep-alive"[..], b"Upgrade", b"close"]);
        assert!(headers.has_token("connection", "upgrade"));
        assert!(!headers.has_token("connection", "up"));
    }

    #[test]
    fn debug_shows_no_value() {
        let shown = format!("{:?}", headers("Authorization: Bearer secret\r\n"));
        assert!(shown.contains("Authorization") && !shown.contains("secret"), "{shown}");
    }
}
