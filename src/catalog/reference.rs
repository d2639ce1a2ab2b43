//! References from one file to another: an API names its products, a subscription its scope.
//!
//! A reference is valid when the file it names exists, even if that file has faults: each mistake is reported once.
//!
//! Not here: which keys refer to which entities (each entity's own module).

use super::fault::{Fault, Remedy, nearest};
use super::name::Name;

/// An entity that can be referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entity {
    /// `apis/<name>.toml`.
    Api,
    /// `products/<name>.toml`.
    Product,
    /// `version-sets/<name>.toml`.
    VersionSet,
}

impl Entity {
    /// The folder of its files.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Api => "apis",
            Self::Product => "products",
            Self::VersionSet => "version-sets",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Api => "an api",
            Self::Product => "a product",
            Self::VersionSet => "a version set",
        }
    }
}

/// A key's value that names another entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The kind of entity that it names.
    pub to: Entity,
    /// Its name.
    pub name: Name,
    /// The line of the key.
    pub line: Option<usize>,
    /// The key: `products[1]`.
    pub key: String,
    /// The value as it was given.
    pub given: String,
}

impl Reference {
    /// The path of the file that has to be there.
    pub fn path(&self) -> String {
        format!("{}/{}.toml", self.to.folder(), self.name)
    }

    /// The fault of `file` where what it refers to is not there.
    pub fn dangling<'n>(&self, file: &str, known: impl Iterator<Item = &'n str>) -> Fault {
        let known: Vec<&str> = known.collect();
        let near = nearest(&known, self.name.as_str());
        let suggestion = near.map(|near| format!("did you mean \"{near}\"? otherwise ")).unwrap_or_default();
        let remedy = format!(
            "there is no {}; {suggestion}name {} that is there, or add that file",
            self.path(),
            self.to.word()
        );
        self.fault(file, Remedy::act(remedy))
    }

    /// A fault at this place of `file`.
    pub fn fault(&self, file: &str, remedy: Remedy) -> Fault {
        Fault {
            file: file.to_owned(),
            line: self.line,
            column: None,
            key: self.key.clone(),
            value: format!("\"{}\"", self.given),
            remedy,
        }
    }
}
