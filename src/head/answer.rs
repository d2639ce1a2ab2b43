//! An answer with a body of its own, before it is written in any version of HTTP.

/// What a client is answered.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a, F> {
    /// The status.
    pub status: u16,
    /// The reason phrase, without line ends.
    pub reason: &'a [u8],
    /// The fields, as [`Header`](super::Header)s.
    pub fields: F,
    /// What follows the head; a status that has no body goes without.
    pub body: &'a [u8],
}
