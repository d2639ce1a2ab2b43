//! Policy documents as they were written, by scope.
//!
//! ```text
//! policies/global.xml               every API
//! policies/products/starter.xml     the sessions of a product
//! policies/apis/chat.xml            the onHandshake operation of an API; there is no other operation to have one
//! policies/fragments/common.xml     a fragment, for documents to include
//! ```
//!
//! Not here: the content of the documents.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fault::Fault;
use super::files::CatalogFiles;
use super::name::Name;
use super::reference::Entity;
use crate::limits::POLICY_DOCUMENT_BYTES_MAX;

/// The fault of a document that would never run.
const NO_PLACE: &str = "no policy document is read from here";

/// Every policy document and fragment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyDocuments {
    /// The document for every API.
    pub global: Option<Arc<str>>,
    /// The documents of products.
    pub of_products: BTreeMap<Name, Arc<str>>,
    /// The documents of the onHandshake operation of APIs.
    pub of_apis: BTreeMap<Name, Arc<str>>,
    /// Fragments that documents include, by name.
    pub fragments: BTreeMap<Name, Arc<str>>,
}

impl PolicyDocuments {
    /// Takes the documents out of a catalogue's files. An owner is there when its file is, at fault or not.
    pub(crate) fn take(files: &CatalogFiles, faults: &mut Vec<Fault>) -> Self {
        let mut documents = Self::default();
        for (path, place, text) in files.all_in("policies") {
            let (Some(place), Ok(text)) = (place.strip_suffix(".xml"), text) else { continue };
            if text.len() > POLICY_DOCUMENT_BYTES_MAX {
                let matter = format!(
                    "has {} bytes, and a policy document may have {POLICY_DOCUMENT_BYTES_MAX}",
                    text.len()
                );
                faults.push(Fault::of_file(path, None, &matter, "move parts of it into fragments"));
                continue;
            }
            if let Err(fault) = documents.put(path, place, text, files, faults) {
                faults.push(fault);
            }
        }
        documents
    }

    /// Keeps a document by its place. One whose owner is not there is a fault and kept all the same, so that what is wrong
    /// in it is told as well.
    fn put(
        &mut self,
        path: &str,
        place: &str,
        text: &Arc<str>,
        files: &CatalogFiles,
        faults: &mut Vec<Fault>,
    ) -> Result<(), Fault> {
        if place == "global" {
            self.global = Some(Arc::clone(text));
            return Ok(());
        }
        let (owner, documents) = match place.split_once('/') {
            Some(("apis", below)) if below.contains('/') => {
                let (api, _) = below.split_once('/').unwrap_or((below, ""));
                let act = format!(
                    "move it to policies/apis/{api}.xml, the document of onHandshake: a WebSocket API has no other operation and \
                     no document of its own beside it"
                );
                return Err(Fault::of_file(path, None, NO_PLACE, &act));
            }
            Some(("products", _)) => (Some(Entity::Product), &mut self.of_products),
            Some(("apis", _)) => (Some(Entity::Api), &mut self.of_apis),
            Some(("fragments", _)) => (None, &mut self.fragments),
            // A document that is never run would be a rule that is never kept.
            Some(_) | None => {
                let act = "move it to policies/global.xml, policies/products/<name>.xml, policies/apis/<name>.xml or \
                           policies/fragments/<name>.xml";
                return Err(Fault::of_file(path, None, NO_PLACE, act));
            }
        };
        let name = place.split_once('/').map_or(place, |(_, name)| name);
        let name = Name::parse(name).map_err(|allowed| {
            let act = format!("rename the file: allowed is {allowed}, then .xml");
            Fault::of_file(path, None, "its name cannot be that of a policy document", &act)
        })?;
        if let Some(owner) = owner {
            let file = format!("{}/{name}.toml", owner.folder());
            if !files.has(&file) {
                let what = if owner == Entity::Product { "product" } else { "api" };
                let matter = format!("belongs to {what} {name}, and there is no {file}");
                let act = format!("add {file}, or rename or remove this document");
                faults.push(Fault::of_file(path, None, &matter, &act));
            }
        }
        documents.insert(name, Arc::clone(text));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(paths: &[&str]) -> (PolicyDocuments, Vec<String>) {
        let mut files = CatalogFiles::default();
        for path in paths {
            files.insert(path, *path);
        }
        let mut faults = Vec::new();
        let documents = PolicyDocuments::take(&files, &mut faults);
        (documents, faults.iter().map(Fault::to_string).collect())
    }

    #[test]
    fn each_document_is_kept_by_what_it_is_for() {
        let (documents, faults) = take(&[
            "apis/chat.toml",
            "products/starter.toml",
            "policies/global.xml",
            "policies/apis/chat.xml",
            "policies/products/starter.xml",
            "policies/fragments/common.xml",
        ]);
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(documents.global.as_deref(), Some("policies/global.xml"));
        let names =
            |documents: &BTreeMap<Name, Arc<str>>| documents.keys().map(Name::to_string).collect::<Vec<_>>();
        assert_eq!(names(&documents.of_apis), ["chat"]);
        assert_eq!(names(&documents.of_products), ["starter"]);
        assert_eq!(names(&documents.fragments), ["common"]);
    }

    #[test]
    fn a_document_in_the_wrong_place_or_without_an_owner_is_a_fault() {
        for path in [
            "policies/glboal.xml",
            "policies/operations/x.xml",
            "policies/apis/gone.xml",
            "policies/products/gone.xml",
            "policies/fragments/a b.xml",
            "policies/fragments/deep/a.xml",
        ] {
            let (_, faults) = take(&[path]);
            assert_eq!(faults.len(), 1, "{path}");
            assert!(faults[0].starts_with(&format!("{path}: ")), "{faults:?}");
        }
    }

    #[test]
    fn there_is_no_scope_of_an_api_and_no_other_operation() {
        for path in ["policies/apis/chat/policy.xml", "policies/apis/chat/operations/send.xml"] {
            let (_, faults) = take(&["apis/chat.toml", path]);
            let act = "move it to policies/apis/chat.xml, the document of onHandshake: a WebSocket API has no other operation \
                       and no document of its own beside it";
            assert_eq!(faults, [format!("{path}: {NO_PLACE}; {act}")]);
        }
    }

    #[test]
    fn a_document_has_a_largest_size() {
        let mut files = CatalogFiles::default();
        let mut faults = Vec::new();
        files.insert("policies/global.xml", "x".repeat(POLICY_DOCUMENT_BYTES_MAX));
        assert!(PolicyDocuments::take(&files, &mut faults).global.is_some() && faults.is_empty());
        files.insert("policies/global.xml", "x".repeat(POLICY_DOCUMENT_BYTES_MAX + 1));
        assert!(PolicyDocuments::take(&files, &mut faults).global.is_none());
        assert_eq!(faults.len(), 1);
    }
}
