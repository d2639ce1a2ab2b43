//! Makes a document well-formed by writing harmless characters over its raw expressions, so that an XML parser can read it.
//!
//! The length stays, so every place in the parser's tree is one in the author's file, and the expression itself is taken
//! from there (`given`).

use super::NoDocument;
use super::expression_end::expression_length;
use super::given::unescaped;
use crate::limits::{POLICY_ATTRIBUTES_MAX, POLICY_DEPTH_MAX};

/// `source` with its expressions written over where they hold what XML has a meaning for.
pub(super) fn mask(source: &str) -> Result<String, NoDocument> {
    let mut masked = source.as_bytes().to_vec();
    let mut scan = Scan { source, masked: &mut masked, at: 0, depth: 0 };
    scan.run()?;
    Ok(String::from_utf8(masked).expect("only ASCII characters are replaced, by ASCII ones"))
}

/// Whether an expression begins `text`, after white space.
fn begins_expression(text: &str) -> bool {
    crate::policy::expression::Expression::is_expression(text)
}

struct Scan<'s> {
    source: &'s str,
    masked: &'s mut Vec<u8>,
    at: usize,
    depth: usize,
}

impl Scan<'_> {
    fn run(&mut self) -> Result<(), NoDocument> {
        while let Some(tag) = memchr::memchr(b'<', &self.source.as_bytes()[self.at..]) {
            self.at += tag;
            let rest = &self.source[self.at..];
            if rest.starts_with("<!--") {
                self.skip_past("-->");
            } else if rest.starts_with("<![CDATA[") {
                self.skip_past("]]>");
            } else if rest.starts_with("<?") {
                self.skip_past("?>");
            } else if rest.starts_with("<!") {
                return Err(NoDocument::new(
                    self.at,
                    "a document type",
                    "remove it: it is not allowed in a policy document",
                ));
            } else if rest.starts_with("</") {
                self.depth = self.depth.saturating_sub(1);
                self.skip_past(">");
                self.text()?;
            } else {
                self.tag()?;
                self.text()?;
            }
        }
        Ok(())
    }

    /// Goes behind the next `end`; what has none is the parser's to refuse.
    fn skip_past(&mut self, end: &str) {
        self.at =
            self.source[self.at..].find(end).map_or(self.source.len(), |found| self.at + found + end.len());
    }

    /// A start tag, up to behind its `>`.
    fn tag(&mut self) -> Result<(), NoDocument> {
        let (start, mut attributes) = (self.at, 0);
        loop {
            let Some(found) = memchr::memchr3(b'"', b'\'', b'>', &self.source.as_bytes()[self.at..]) else {
                self.at = self.source.len();
                return Ok(());
            };
            self.at += found + 1;
            let byte = self.source.as_bytes()[self.at - 1];
            if byte != b'>' {
                attributes += 1;
                if attributes > POLICY_ATTRIBUTES_MAX {
                    let act = format!("an element may have at most {POLICY_ATTRIBUTES_MAX} attributes");
                    return Err(NoDocument::new(start, "too many attributes", act));
                }
                self.value(byte)?;
                continue;
            }
            if self.source.as_bytes()[self.at - 2] != b'/' {
                self.depth += 1;
            }
            if self.depth > POLICY_DEPTH_MAX {
                let act = format!("elements may stand in one another at most {POLICY_DEPTH_MAX} deep");
                return Err(NoDocument::new(start, "too deep", act));
            }
            return Ok(());
        }
    }

    /// The value of an attribute, up to behind the quote that closes it.
    fn value(&mut self, quote: u8) -> Result<(), NoDocument> {
        if begins_expression(&self.source[self.at..]) {
            self.expression(quote)?;
        }
        let close = memchr::memchr(quote, &self.source.as_bytes()[self.at..]);
        self.at = close.map_or(self.source.len(), |close| self.at + close + 1);
        Ok(())
    }

    /// Text, if it begins with an expression.
    fn text(&mut self) -> Result<(), NoDocument> {
        if begins_expression(&self.source[self.at..]) { self.expression(b'<') } else { Ok(()) }
    }

    /// Goes behind an expression that is followed by `end`, and writes over it.
    fn expression(&mut self, end: u8) -> Result<(), NoDocument> {
        let rest = &self.source[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        let rest = rest.trim_start();
        let plain = &rest[..memchr::memchr(end, rest.as_bytes()).unwrap_or(rest.len())];
        let length = match plain_or_raw(plain) {
            Reading::Plain(_) => plain.len(),
            Reading::Raw => expression_length(rest).ok_or_else(|| {
                NoDocument::new(self.at, "an expression that is not closed", "close @( with ) and @{ with }")
            })?,
        };
        let masked = &mut self.masked[self.at..self.at + length];
        for byte in masked {
            if matches!(byte, b'<' | b'>' | b'&' | b'"' | b'\'') {
                *byte = b'_';
            }
        }
        self.at += length;
        Ok(())
    }
}

/// How an expression has to be read.
pub(super) enum Reading {
    /// As XML: this is what it means.
    Plain(super::given::Unescaped),
    /// As it stands.
    Raw,
}

/// How `text` has to be read, which ends where XML says that it does.
pub(super) fn plain_or_raw(text: &str) -> Reading {
    let plain = unescaped(text);
    let trimmed = plain.text.trim_end();
    if expression_length(trimmed) == Some(trimmed.len()) { Reading::Plain(plain) } else { Reading::Raw }
}
