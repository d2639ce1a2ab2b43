//! `ringgate subscription new-key`: makes a key of a subscription, writes its hash, and prints the key once.
//!
//! The previous key is valid until the change is published, and never after; to have both valid, use the other slot.
//!
//! Not here: the rules of a change (`control::files::writer`), what a key is (`catalog::subscription_key`).

use core::fmt;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use toml_edit::{DocumentMut, value};
use zeroize::Zeroizing;

use super::help;
use super::instance_file::InstanceFileOption;
use crate::catalog::sealed_key::NONCE_BYTES;
use crate::catalog::subscription_key::{KEY_RANDOM_BYTES, KeySlot, SubscriptionKey};
use crate::catalog::{Fault, Name};
use crate::control::files::key_file;
use crate::control::files::store::{self, Loaded};
use crate::control::files::writer::{CatalogWriter, NotWritten};

/// The subcommands of `ringgate subscription`.
#[derive(Debug, Subcommand)]
pub enum SubscriptionCommand {
    /// Make a new key and print it, once: only its hash is kept
    #[command(after_help = help::SUBSCRIPTION)]
    NewKey {
        /// The subscription
        name: String,
        /// Replace the secondary key, not the primary one
        #[arg(long)]
        secondary: bool,
        /// Which instance file.
        #[command(flatten)]
        config: InstanceFileOption,
    },
}

impl SubscriptionCommand {
    /// Runs the command. Exit code 0 and the key on standard output, or 1 and the reason on standard error.
    pub fn run(&self) -> ExitCode {
        let Self::NewKey { name, secondary, config } = self;
        let slot = if *secondary { KeySlot::Secondary } else { KeySlot::Primary };
        config.with_file(|file| match new_key(file, name, slot) {
            Ok(key) => print(&key),
            Err(error) => {
                let _ = writeln!(io::stderr(), "ringgate: {error}");
                ExitCode::FAILURE
            }
        })
    }
}

/// Prints the key, which exists nowhere else: a failure to print it is a failure of the command.
fn print(key: &SubscriptionKey) -> ExitCode {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", key.reveal()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let matter = "the key is made and cannot be printed";
            let _ = writeln!(io::stderr(), "ringgate: {matter} ({error}); make another one");
            ExitCode::FAILURE
        }
    }
}

/// Why no key was made.
#[derive(Debug)]
enum NoKey {
    Faults(Vec<Fault>),
    NoSuchSubscription(String),
    NotToml(String),
    NotWritten(NotWritten),
    NoRandomBytes(getrandom::Error),
}

impl From<NotWritten> for NoKey {
    fn from(error: NotWritten) -> Self {
        match error {
            NotWritten::Faulty(faults) => Self::Faults(faults),
            NotWritten::NoPath(_)
            | NotWritten::NotThere(_)
            | NotWritten::HasChanged(_)
            | NotWritten::System { .. } => Self::NotWritten(error),
        }
    }
}

impl fmt::Display for NoKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faults(faults) => {
                formatter.write_str("no key was made; what is there is not correct")?;
                faults.iter().try_for_each(|fault| write!(formatter, "\n  {fault}"))
            }
            Self::NoSuchSubscription(name) => write!(formatter, "there is no subscription {name}"),
            Self::NotToml(path) => write!(formatter, "{path} is not toml"),
            Self::NotWritten(error) => error.fmt(formatter),
            Self::NoRandomBytes(error) => write!(formatter, "no random bytes: {error}"),
        }
    }
}

/// Makes a key, and writes its stored form into the subscription's file.
fn new_key(config_file: &Path, name: &str, slot: KeySlot) -> Result<SubscriptionKey, NoKey> {
    let Loaded { config, snapshot, .. } = store::load(config_file).map_err(NoKey::Faults)?;
    let no_such = || NoKey::NoSuchSubscription(name.to_owned());
    let subscription = Name::parse(name).map_err(|_| no_such())?;
    let path = format!("subscriptions/{subscription}.toml");
    let mut random = Zeroizing::new([0; KEY_RANDOM_BYTES]);
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut random[..])
        .and_then(|()| getrandom::fill(&mut nonce))
        .map_err(NoKey::NoRandomBytes)?;
    let key = SubscriptionKey::from_random(&random);

    let writer = CatalogWriter::new(store::beside(config_file, &config.catalog), config.gateway);
    writer.edit(&path, |text| {
        let text = text.ok_or_else(no_such)?;
        let mut document: DocumentMut = text.parse().map_err(|_| NoKey::NotToml(path.clone()))?;
        // Only for a subscription that is there: a mistyped name makes no secret.
        let key_file = store::beside(config_file, &config.keys.file);
        // Keys that were hashed under a secret that is lost would open nothing under a new one.
        let secret = if snapshot.has_keys() {
            key_file::read_needed(&key_file)
        } else {
            key_file::read_or_make(&key_file)
        };
        let secret = secret.map_err(|fault| NoKey::Faults(vec![fault]))?;
        set(&mut document, slot.hash_field(), &secret.hasher().text_of(key.reveal().as_bytes()));
        if config.keys.recoverable {
            let sealed = secret.sealer().seal(&key, &subscription, slot, nonce);
            set(&mut document, slot.sealed_field(), &sealed.to_text());
        } else {
            // It would be the key before.
            document.remove(slot.sealed_field());
        }
        Ok::<_, NoKey>(Some(document.to_string()))
    })?;
    Ok(key)
}

/// Sets a field of a document, and keeps comments around the old value.
fn set(document: &mut DocumentMut, field: &str, text: &str) {
    match document.get_mut(field).and_then(|item| item.as_value_mut()) {
        Some(before) => {
            let decor = before.decor().clone();
            *before = text.into();
            *before.decor_mut() = decor;
        }
        None => {
            document.insert(field, value(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_set_and_everything_around_it_stays() {
        let text = "# Acme\ndisplay_name = 'A' # a name\n\nprimary_key_hash = \"old\" # of March\nscope = \"/apis\"\n";
        let mut document: DocumentMut = text.parse().expect("toml");
        set(&mut document, "primary_key_hash", "new");
        set(&mut document, "secondary_key_hash", "second");
        assert_eq!(
            document.to_string(),
            text.replace("\"old\"", "\"new\"") + "secondary_key_hash = \"second\"\n"
        );
    }
}
