//! Checks that have to hold for any input, one function for each fuzz target. They panic where one does not hold.
//!
//! The fuzzer makes inputs for them; `tests/documents/corpora.rs` replays those that are kept.

pub mod configuration;
pub mod export;
pub mod expression;
pub mod kql;
pub mod policy_document;
pub mod request_head;
pub mod response_head;
pub mod scanner;
pub mod session;
pub mod tls_records;

/// The first bytes of an input choose how it is played, the rest is played.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    /// The next byte; 0 when there is none left.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Whether there is nothing left to choose by.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Cuts `bytes` into pieces of lengths that `choices` give, one piece at least.
pub fn cut<'a>(bytes: &'a [u8], choices: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    for choice in choices {
        let (piece, behind) = rest.split_at(usize::from(*choice).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    pieces
}
