//! The catalogue's files as text: the input of a compile, wherever it came from.
//!
//! A path is relative to the catalogue's folder and has `/` between its parts (`apis/chat.toml`). Files are kept in the order of
//! their paths, so that nothing depends on the order in which a folder lists them. A file that exists and cannot be read is kept
//! with its fault: its entity does not count as missing.
//!
//! Not here: reading and writing them (`control::files::store`), what they mean (`compiled::compile`).

use core::ops::Bound;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::fault::Fault;

/// Every file of a catalogue. Cloning copies no text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogFiles {
    by_path: BTreeMap<Box<str>, Result<Arc<str>, Fault>>,
}

/// One file of a folder of entities.
#[derive(Clone, Copy, Debug)]
pub struct EntityFile<'f> {
    /// Its path.
    pub path: &'f str,
    /// Its name without folder and extension: that of the entity.
    pub stem: &'f str,
    /// Its text, or why that cannot be had.
    pub text: Result<&'f Arc<str>, &'f Fault>,
}

impl CatalogFiles {
    /// Adds a file, or replaces it.
    pub fn insert(&mut self, path: &str, text: impl Into<Arc<str>>) {
        self.by_path.insert(path.into(), Ok(text.into()));
    }

    /// Adds a file, or a folder, that is there and cannot be read.
    pub fn insert_unreadable(&mut self, path: &str, fault: Fault) {
        self.by_path.insert(path.into(), Err(fault));
    }

    /// Takes a file out. Whether it was there.
    pub fn remove(&mut self, path: &str) -> bool {
        self.by_path.remove(path).is_some()
    }

    /// Whether a file is there, readable or not.
    pub fn has(&self, path: &str) -> bool {
        self.by_path.contains_key(path)
    }

    /// The text of a file that is there and can be read.
    pub fn text(&self, path: &str) -> Option<&Arc<str>> {
        self.by_path.get(path)?.as_ref().ok()
    }

    /// Every path with its text, or with why that cannot be had, in the order of paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Result<&Arc<str>, &Fault>)> {
        self.by_path.iter().map(|(path, text)| (path.as_ref(), text.as_ref()))
    }

    /// Why files cannot be read, in the order of paths.
    pub fn unreadable(&self) -> impl Iterator<Item = &Fault> {
        self.by_path.values().filter_map(|text| text.as_ref().err())
    }

    /// The files `folder/*.extension`, in the order of paths, without those of folders inside.
    pub fn entities<'f>(
        &'f self,
        folder: &'f str,
        extension: &'f str,
    ) -> impl Iterator<Item = EntityFile<'f>> {
        self.all_in(folder).filter_map(move |(path, name, text)| {
            let stem = name.strip_suffix(extension)?.strip_suffix('.')?;
            (!stem.contains('/')).then_some(EntityFile { path, stem, text })
        })
    }

    /// Every file below `folder`: its path, what of it follows `folder/`, and its text.
    pub fn all_in<'f>(
        &'f self,
        folder: &'f str,
    ) -> impl Iterator<Item = (&'f str, &'f str, Result<&'f Arc<str>, &'f Fault>)> {
        let start = format!("{folder}/");
        self.by_path
            .range::<str, _>((Bound::Included(start.as_str()), Bound::Unbounded))
            .map_while(move |(path, text)| Some((path.as_ref(), in_folder(path, folder)?, text.as_ref())))
    }
}

/// Returns the rest of a path behind `folder/`, if it begins with that.
fn in_folder<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    path.strip_prefix(folder)?.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_files_in_the_order_of_their_paths() {
        let mut files = CatalogFiles::default();
        for path in ["products/a.toml", "apis/b.toml", "apis/a.toml", "apis"] {
            files.insert(path, path);
        }
        let paths: Vec<_> = files.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["apis", "apis/a.toml", "apis/b.toml", "products/a.toml"]);
    }

    #[test]
    fn entities_are_the_files_of_one_folder_with_one_extension() {
        let mut files = CatalogFiles::default();
        for path in [
            "apis-old/x.toml",
            "apis.toml",
            "apis/chat.toml",
            "apis/chat.v2.toml",
            "apis/deep/echo.toml",
            "apis/notes.txt",
            "apis/toml",
            "apisx/y.toml",
            "named-values.toml",
        ] {
            files.insert(path, "");
        }
        let stems: Vec<_> = files.entities("apis", "toml").map(|file| file.stem).collect();
        assert_eq!(stems, ["chat", "chat.v2"]);
        assert_eq!(files.entities("policies", "xml").count(), 0);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_there_without_a_text() {
        let mut files = CatalogFiles::default();
        let fault = Fault::of_file("apis/a.toml", None, "not utf-8", "text in utf-8");
        files.insert_unreadable("apis/a.toml", fault.clone());
        assert_eq!(files.text("apis/a.toml"), None);
        assert_eq!(files.unreadable().collect::<Vec<_>>(), [&fault]);
        assert!(files.entities("apis", "toml").all(|file| file.text.is_err()));
        assert!(files.remove("apis/a.toml") && !files.remove("apis/a.toml"));
    }
}
