//! An answer with a body of its own, before it is written in any version of HTTP.

/// An answer to a client.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a, F> {
    /// The status.
    pub status: u16,
    /// The reason phrase, without line ends.
    pub reason: &'a [u8],
    /// The fields, as [`Header`](super::Header)s.
    pub fields: F,
    /// The body. It is left out for a status without a body.
    pub body: &'a [u8],
}
