//! The catalogue in which a policy document is examined: its own, a named one, or a made-up one.
//!
//! ```text
//! …/policies/apis/chat.xml        its own catalogue, the folder above `policies`; it stands where it stands
//! -c FILE                         that instance's catalogue, wherever the document lies
//! in or beside a catalogue        that catalogue, with one made-up API, in one made-up product
//! $RINGGATE_CONFIG, ringgate.toml that instance's catalogue, for a document that lies in none
//! anything else                   the made-up ones alone
//! ```
//!
//! A document outside any catalogue belongs to the API that is named, or to a made-up one; a document that begins with
//! `<fragment>` is a fragment. Nothing is written anywhere.
//!
//! Not here: what is a fault (`catalog`).

use std::path::{Component, Path, PathBuf};

use crate::catalog::named_value::NAMED_VALUES_FILE;
use crate::catalog::{CatalogFiles, Fault, Name};
use crate::cli::instance_file::{InstanceFileOption, NoInstanceFile};
use crate::compiled::{Snapshot, compile};
use crate::config::ListenerConfig;
use crate::config::instance::catalog_folder;
use crate::config::parse_instance;
use crate::control::files::{key_file, store};

/// The name of every made-up entity.
pub(super) const MADE_UP: &str = "document";

const MADE_UP_API: &str = "display_name = \"Document\"\nurl = \"ws://backend.example\"\nsuffix = \"document\"\n\
                           products = [\"document\"]\nsubscription_required = false\n";

const MADE_UP_PRODUCT: &str = "display_name = \"Document\"\n";

/// How many folders above a document's own are searched for a catalogue that it lies in.
const FOLDERS_ABOVE_MAX: usize = 4;

/// A document in its catalogue.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) files: CatalogFiles,
    /// Path of the document in the catalogue.
    pub(super) place: String,
    /// The document as it was named on the command line.
    shown: String,
    gateway: Option<Name>,
    /// The instance that serves the catalogue. `None`: unknown.
    pub(super) instance: Option<Instance>,
}

/// The known facts of the instance that serves a catalogue.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) listeners: Vec<ListenerConfig>,
    /// The file of the instance's secret.
    pub(super) key_file: PathBuf,
}

impl Stage {
    /// Puts the document of `file` at its place in the catalogue: that of API `api`, if one is named.
    ///
    /// # Errors
    /// The files that cannot be read.
    pub(super) fn of(
        file: &Path,
        config: &InstanceFileOption,
        api: Option<&str>,
    ) -> Result<Self, Vec<Fault>> {
        let shown = file.display().to_string();
        let text = store::read_text(file, &shown).map_err(|fault| vec![fault])?;
        let own = place_in_catalogue(file);
        let (mut files, gateway, instance) = match (config.given(), &own) {
            (Some(config), _) => catalogue_of(config)?,
            (None, Some((catalogue, _))) => (store::read_catalog(catalogue), None, None),
            (None, None) => match (catalogue_near(file), config.find()) {
                (Some(near), _) => (store::read_catalog(&near), None, None),
                (None, Ok(found)) => catalogue_of(&found.path)?,
                (None, Err(NoInstanceFile)) => (CatalogFiles::default(), None, None),
            },
        };
        let place = match (api, own) {
            (Some(api), _) => format!("policies/apis/{api}.xml"),
            (None, Some((_, place))) => place,
            (None, None) if is_fragment(&text) => format!("policies/fragments/{MADE_UP}.xml"),
            (None, None) => format!("policies/apis/{MADE_UP}.xml"),
        };
        files.insert(&place, text);
        let mut stage = Self { files, place, shown, gateway, instance };
        if !stage.has_owner() {
            stage.make_up();
        }
        Ok(stage)
    }

    /// Whether the document is a fragment, which applies to nothing by itself.
    pub(super) fn fragment(&self) -> Option<&str> {
        self.place.strip_prefix("policies/fragments/")?.strip_suffix(".xml")
    }

    /// Returns the API or the product that the document belongs to.
    pub(super) fn owners(&self) -> (Option<&str>, Option<&str>) {
        let of = |folder: &str| self.place.strip_prefix(folder)?.strip_suffix(".xml");
        (of("policies/apis/"), of("policies/products/"))
    }

    /// Adds a made-up API and a made-up product.
    pub(super) fn make_up(&mut self) {
        self.files.insert(&format!("apis/{MADE_UP}.toml"), MADE_UP_API);
        self.files.insert(&format!("products/{MADE_UP}.toml"), MADE_UP_PRODUCT);
    }

    /// Compiles the catalogue, or gives all its faults, under the catalogue's own names of files.
    pub(super) fn compile(&self) -> Result<Snapshot, Vec<Fault>> {
        compile(&self.files, self.gateway.as_ref().map(Name::as_str))
    }

    /// As [`Stage::compile`], but leaves out files that have faults and are not needed. Gives their faults too.
    ///
    /// # Errors
    /// The faults of the needed files, and of those left out, which may be the cause.
    pub(super) fn compile_without_faulty(
        &mut self,
        is_needed: impl Fn(&Self, &Fault) -> bool,
    ) -> Result<(Snapshot, Vec<Fault>), Vec<Fault>> {
        let mut left_out = Vec::new();
        loop {
            let faults = match self.compile() {
                Ok(snapshot) => return Ok((snapshot, left_out)),
                Err(faults) => faults,
            };
            if faults.iter().any(|fault| is_needed(self, fault)) {
                return Err(faults
                    .into_iter()
                    .filter(|fault| is_needed(self, fault))
                    .chain(left_out)
                    .collect());
            }
            let removed = faults.iter().filter(|fault| self.files.remove(&fault.file)).count();
            if removed == 0 {
                return Err(faults);
            }
            // What is at fault only because something was left out is no news.
            if left_out.is_empty() {
                left_out = faults;
            }
        }
    }

    /// Whether a fault is one of the document, or of a file that it may refer to.
    pub(super) fn concerns(&self, fault: &Fault) -> bool {
        let is_referred_to = fault.file.starts_with("policies/fragments/") || fault.file == NAMED_VALUES_FILE;
        fault.file == self.place || is_referred_to
    }

    /// Renames the files in faults: the document to the name it was given by, its neighbours to paths relative to that name.
    pub(super) fn told(&self, mut faults: Vec<Fault>) -> Vec<Fault> {
        for fault in &mut faults {
            if fault.file == self.place {
                fault.file.clone_from(&self.shown);
            } else if let Some(catalogue) = self.shown.strip_suffix(&self.place) {
                fault.file.insert_str(0, catalogue);
            }
        }
        faults
    }

    /// Returns a note about the document under the name it was given by; `None` for a note about another file.
    pub(super) fn renamed(&self, note: &str) -> Option<String> {
        Some(format!("{}{}", self.shown, note.strip_prefix(&self.place)?))
    }

    fn has_owner(&self) -> bool {
        match self.owners() {
            (Some(api), _) => api != MADE_UP || self.files.has(&format!("apis/{api}.toml")),
            (None, Some(_)) => true,
            (None, None) => self.fragment().is_none(),
        }
    }
}

/// The files of the catalogue that an instance file names, and the instance's gateway.
fn catalogue_of(config: &Path) -> Result<(CatalogFiles, Option<Name>, Option<Instance>), Vec<Fault>> {
    let shown = config.display().to_string();
    let text = store::read_text(config, &shown).map_err(|fault| vec![fault])?;
    let instance = parse_instance(&shown, &text)?;
    let folder = catalog_folder(&text).unwrap_or(instance.catalog);
    let key_file = key_file::path(config, &instance.keys);
    let known = Instance { listeners: instance.listeners, key_file };
    Ok((store::read_catalog(&store::beside(config, &folder)), instance.gateway, Some(known)))
}

/// The catalogue that a file lies in, or beside, without being one of its documents. A catalogue is a folder with the folder `apis`.
fn catalogue_near(file: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(file).ok()?;
    let folder = absolute.parent()?;
    let is_catalogue = |folder: &Path| folder.join("apis").is_dir();
    let beside = [folder.to_owned(), folder.join("catalog")];
    beside
        .into_iter()
        .chain(folder.ancestors().skip(1).take(FOLDERS_ABOVE_MAX).map(Path::to_owned))
        .find(|folder| is_catalogue(folder))
}

/// The catalogue that a file lies in, and its path there; `None` for a file that is none of a catalogue's documents.
fn place_in_catalogue(file: &Path) -> Option<(PathBuf, String)> {
    let absolute = std::path::absolute(file).ok()?;
    let parts: Vec<Component<'_>> = absolute.components().collect();
    let policies = parts.iter().rposition(|part| part.as_os_str() == "policies")?;
    let catalogue: PathBuf = parts[..policies].iter().collect();
    let place: Vec<&str> =
        parts[policies..].iter().map(|part| part.as_os_str().to_str()).collect::<Option<_>>()?;
    let is_document = match place[..] {
        ["policies", "global.xml"] => true,
        ["policies", "apis" | "products" | "fragments", name] => name.ends_with(".xml"),
        _ => false,
    };
    (is_document && catalogue.join("apis").is_dir()).then(|| (catalogue, place.join("/")))
}

/// Whether the first element of a document, after comments and the like, is `<fragment>`.
fn is_fragment(text: &str) -> bool {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        let end = match rest {
            _ if rest.starts_with("<!--") => "-->",
            _ if rest.starts_with("<?") => "?>",
            _ => return rest.starts_with("<fragment"),
        };
        let Some((_, behind)) = rest.split_once(end) else { return false };
        rest = behind.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_element_tells_a_fragment() {
        for text in ["<fragment/>", "\u{feff}<?xml version='1.0'?>\n<!-- <policies> -->\n<fragment>"] {
            assert!(is_fragment(text), "{text}");
        }
        for text in ["", "<policies/>", "<!-- <fragment/> -->", "<!-- <fragment/>", "fragment"] {
            assert!(!is_fragment(text), "{text}");
        }
    }

    #[test]
    fn a_catalogue_is_found_around_and_beside_a_document_that_is_none_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        for path in ["catalog/apis", "catalog/drafts/new", "other"] {
            std::fs::create_dir_all(root.join(path)).expect("a folder");
        }
        let near = |path: &str| catalogue_near(&root.join(path));
        for path in ["a.xml", "catalog/a.xml", "catalog/drafts/a.xml", "catalog/drafts/new/a.xml"] {
            assert_eq!(near(path), Some(root.join("catalog")), "{path}");
        }
        assert_eq!(near("other/a.xml"), None);
    }

    #[test]
    fn a_document_in_a_catalogue_is_known_by_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("apis")).expect("a folder");
        let place = |path: &str| place_in_catalogue(&folder.path().join(path)).map(|(_, place)| place);
        for path in ["policies/global.xml", "policies/apis/a.xml", "policies/fragments/b.xml"] {
            assert_eq!(place(path).as_deref(), Some(path));
        }
        for path in ["global.xml", "policies/a.xml", "policies/apis/a.txt", "policies/apis/a/b.xml"] {
            assert_eq!(place(path), None, "{path}");
        }
    }
}
