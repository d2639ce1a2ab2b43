//! The parsed file of one entity, and its demands on other files.
//!
//! It depends on that file alone, so it can be kept for as long as the file does not change.
//!
//! This depends on the file alone, so it can be kept for as long as the file does not change.

use super::fault::Fault;
use super::fields::Document;
use super::name::Name;
use super::reference::Reference;
use super::subscription_key::KeyHash;
use super::suffix::SuffixClaim;

/// An entity or every fault of its file, and what is known of it either way.
#[derive(Clone, Debug)]
pub struct Parsed<T> {
    /// The entity, or its file's faults in the order of lines.
    pub value: Result<T, Vec<Fault>>,
    /// The file's demands on others.
    pub asks: Asks,
}

/// The demands of a file on others.
#[derive(Clone, Debug, Default)]
pub struct Asks {
    /// The entities that it names.
    pub references: Vec<Reference>,
    /// The suffix that it wants for itself.
    pub suffix: Option<SuffixClaim>,
    /// The hashes of keys that it wants for itself, with their lines and keys.
    pub key_hashes: Vec<(KeyHash, Option<usize>, &'static str)>,
}

/// Reads a file whose name is the entity's. `what` is the entity in words.
pub(super) fn parse_entity<T>(
    file: &str,
    name: &str,
    text: &str,
    what: &str,
    take: impl FnOnce(&Document<'_>, Option<Name>, &mut Asks) -> Option<T>,
) -> Parsed<T> {
    let mut asks = Asks::default();
    let name = Name::parse(name).map_err(|allowed| {
        let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
        let act = format!("rename the file: allowed is {allowed}, then .{extension}");
        Fault::of_file(file, None, &format!("its name cannot be that of {what}"), &act)
    });
    let value = match Document::parse(file, text) {
        Ok(document) => {
            // The contents are checked under a bad name too.
            let name = name.map_err(|fault| document.record(fault)).ok();
            let value = take(&document, name, &mut asks);
            document.finish(value)
        }
        Err(faults) => Err(name.err().into_iter().chain(faults).collect()),
    };
    Parsed { value, asks }
}
