//! Identifies states of a file and of a whole catalogue: hashes of their contents.
//!
//! Both are computed from the files alone, so a folder that was edited by hand has them as well as one that ringgate wrote,
//! and the same files have the same revision on every host.
//!
//! Not here: who compares them (`control::files::writer`).

use core::fmt;

use aws_lc_rs::digest::{Context, SHA256, digest};

use super::files::CatalogFiles;

/// One state of one file: SHA-256 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ETag([u8; 32]);

impl ETag {
    /// Returns the state of a file with this text.
    pub fn of(text: &str) -> Self {
        Self(bytes_of(digest(&SHA256, text.as_bytes()).as_ref()))
    }

    /// Reads 64 hexadecimal digits, in quotation marks (RFC 9110 §8.8.3) or without.
    ///
    /// # Errors
    /// The allowed form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = || "64 hexadecimal digits".to_owned();
        let unquoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let digits = unquoted.as_bytes();
        if digits.len() != 64 {
            return Err(allowed());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or_else(allowed);
            *byte = (digit(0)? * 16 + digit(1)?) as u8;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for ETag {
    /// As `ETag` has it in HTTP: in quotation marks.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("\"")?;
        hexadecimal(&self.0, formatter)?;
        formatter.write_str("\"")
    }
}

impl fmt::Debug for ETag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Bytes that are gathered before they are hashed.
const GATHERED_BYTES: usize = 16 * 1024;

/// One state of a whole catalogue: a hash of every path and the state of its file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision([u8; 32]);

impl Revision {
    /// Returns the revision of these files. An unreadable file counts with the reason.
    pub fn of(files: &CatalogFiles) -> Self {
        let mut context = Context::new(&SHA256);
        // Hashing little at a time takes twice as long, with tens of thousands of files.
        let mut gathered = Vec::with_capacity(2 * GATHERED_BYTES);
        let mut part = |bytes: &[u8]| {
            // Each part has its length in front, so that no two catalogues are one row of bytes.
            gathered.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            gathered.extend_from_slice(bytes);
            if gathered.len() >= GATHERED_BYTES {
                context.update(&gathered);
                gathered.clear();
            }
        };
        for (path, text) in files.iter() {
            part(path.as_bytes());
            match text {
                Ok(text) => part(text.as_bytes()),
                Err(fault) => {
                    part(b"");
                    part(fault.to_string().as_bytes());
                }
            }
        }
        context.update(&gathered);
        Self(bytes_of(context.finish().as_ref()))
    }
}

impl fmt::Display for Revision {
    /// The first 16 digits: enough to tell catalogues apart by eye, and in a log.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0[..8], formatter)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, formatter)
    }
}

fn bytes_of(hash: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash);
    bytes
}

fn hexadecimal(bytes: &[u8], formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Fault;

    fn revision(files: &[(&str, &str)]) -> Revision {
        let mut made = CatalogFiles::default();
        for (path, text) in files {
            made.insert(path, *text);
        }
        Revision::of(&made)
    }

    #[test]
    fn an_etag_is_read_as_it_was_written() {
        let tag = ETag::of("abc");
        let text = tag.to_string();
        assert_eq!(text, "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"");
        assert_eq!(ETag::parse(&text), Ok(tag));
        assert_eq!(ETag::parse(text.trim_matches('"')), Ok(tag));
        assert_ne!(tag, ETag::of("abd"));
        for bad in ["", "\"\"", &text[..65], &text.replace('b', "g"), &format!("W/{text}")] {
            assert!(ETag::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_revision_is_that_of_its_files_whoever_put_them_there_in_whatever_order() {
        let files = [("apis/a.toml", "1"), ("apis/b.toml", "2")];
        assert_eq!(revision(&files), revision(&[files[1], files[0]]));
        for other in [
            &files[..1],
            &[files[0], ("apis/b.toml", "3")],
            &[files[0], ("apis/c.toml", "2")],
            &[("apis/a.toml", "1apis/b.toml2")],
            &[],
        ] {
            assert_ne!(revision(&files), revision(other), "{other:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_another_state_than_one_that_is_empty() {
        let mut files = CatalogFiles::default();
        files.insert_unreadable("apis/a.toml", Fault::of_file("apis/a.toml", None, "not utf-8", "text"));
        assert_ne!(Revision::of(&files), revision(&[("apis/a.toml", "")]));
        assert_ne!(Revision::of(&files), revision(&[]));
    }
}
