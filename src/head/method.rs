//! The method of a request that is refused (RFC 9110 §9). One that is served is a GET.

/// A method, as far as a refusal of it has to know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// HEAD: the answer has no content (RFC 9110 §9.3.2).
    Head,
    /// Another one, or one that is not known yet.
    #[default]
    Other,
}
