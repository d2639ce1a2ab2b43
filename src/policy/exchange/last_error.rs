//! What `context.LastError` says.

/// `context.LastError`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// The policy.
    pub source: &'static str,
    /// Why, from the catalogue.
    pub reason: &'static str,
    /// Why, in words.
    pub message: String,
    /// Whose document: `global`, `product` or `operation`; empty if none was reached.
    pub scope: &'static str,
    /// In which section.
    pub section: &'static str,
    /// Where in the section: `choose[1]/when[2]/check-header[1]`.
    pub path: Box<str>,
    /// The policy's `id`.
    pub policy_id: Option<Box<str>>,
}
