//! Compiles a catalogue's files to a snapshot: every file is read, and all faults of all files are returned.
//!
//! Compiling is pure: the same files give the same snapshot or the same faults, in the order of paths and lines. A [`Compiler`]
//! keeps the result of each file, so that after a change only the changed files are read again; references between files are
//! checked each time.
//!
//! Not here: where the files come from (`control::files::store`), and the content of one of them (each entity's own module).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::snapshot::{Entities, Snapshot};
use super::suffixes::shared_suffixes;
use crate::catalog::api::{Api, read_api};
use crate::catalog::fault::{Fault, Remedy};
use crate::catalog::files::CatalogFiles;
use crate::catalog::gateway::{Gateway, read_gateway};
use crate::catalog::name::Name;
use crate::catalog::named_value::{NAMED_VALUES_FILE, NamedValues, parse_named_values};
use crate::catalog::parsed::Parsed;
use crate::catalog::policy_documents::PolicyDocuments;
use crate::catalog::product::{Product, read_product};
use crate::catalog::reference::{Entity, Reference};
use crate::catalog::subscription::{Subscription, read_subscription};
use crate::catalog::subscription_key::HashOfKeys;
use crate::catalog::version_set::{VersionSet, read_version_set};
use crate::policy::compile::{Compiled, Policies, compile_policies};

/// Compiles a catalogue for an instance of `gateway`; `None` is an instance that is part of no gateway.
///
/// # Errors
/// Every fault of all the files, unreadable ones included.
pub fn compile(files: &CatalogFiles, gateway: Option<&str>) -> Result<Snapshot, Vec<Fault>> {
    Compiler::default().compile(files, gateway)
}

/// Compiles one state of a catalogue after another.
#[derive(Debug, Default)]
pub struct Compiler {
    apis: ParsedFiles<Arc<Api>>,
    gateways: ParsedFiles<Arc<Gateway>>,
    products: ParsedFiles<Arc<Product>>,
    subscriptions: ParsedFiles<Arc<Subscription>>,
    version_sets: ParsedFiles<Arc<VersionSet>>,
    policies: KeptPolicies,
}

/// The compiled policy documents, with everything that they depend on.
#[derive(Debug, Default)]
struct KeptPolicies {
    documents: PolicyDocuments,
    named_values: NamedValues,
    compiled: Compiled,
    faults: Vec<Fault>,
}

/// The files of one kind of entity, in the order of paths, each with the text it had and what that came to.
type ParsedFiles<T> = BTreeMap<Box<str>, (Arc<str>, Parsed<T>)>;

impl Compiler {
    /// As [`compile`]: what was compiled before changes nothing but the time it takes.
    ///
    /// # Errors
    /// Every fault of all the files, unreadable ones included.
    pub fn compile(&mut self, files: &CatalogFiles, gateway: Option<&str>) -> Result<Snapshot, Vec<Fault>> {
        let mut faults: Vec<Fault> = files.unreadable().cloned().collect();
        let version_sets = read(&mut self.version_sets, files, "version-sets", read_version_set, &mut faults);
        let apis = read(&mut self.apis, files, "apis", read_api, &mut faults);
        let products = read(&mut self.products, files, "products", read_product, &mut faults);
        let subscriptions =
            read(&mut self.subscriptions, files, "subscriptions", read_subscription, &mut faults);
        let gateways = read(&mut self.gateways, files, "gateways", read_gateway, &mut faults);
        let named_values = match files.text(NAMED_VALUES_FILE) {
            Some(text) => parse_named_values(NAMED_VALUES_FILE, text)
                .map_err(|found| faults.extend(found))
                .unwrap_or_default(),
            None => BTreeMap::new(),
        };
        let policies = PolicyDocuments::take(files, &mut faults);
        self.policies.compile(&policies, &named_values, &mut faults);
        let version_sets: BTreeMap<_, _> =
            version_sets.into_iter().map(|set| (set.name.clone(), set)).collect();
        let products: BTreeMap<_, _> =
            products.into_iter().map(|product| (product.name.clone(), product)).collect();

        let names = FileNames::of(files);
        check_references(&self.apis, &names, &mut faults);
        check_references(&self.subscriptions, &names, &mut faults);
        self.check_open_products(&products, &mut faults);
        self.check_key_hashes(&mut faults);
        let claims: Vec<_> = self
            .apis
            .iter()
            .filter_map(|(path, (_, parsed))| Some((path.as_ref(), parsed.asks.suffix.as_ref()?)))
            .collect();
        faults.extend(shared_suffixes(&claims, |name| version_sets.get(name).map(|set| &set.scheme)));

        if !faults.is_empty() {
            let place = |fault: &Fault| (fault.file.clone(), fault.line, fault.column);
            faults.sort_by_cached_key(place);
            return Err(faults);
        }
        let compiled = &self.policies.compiled;
        let pipelines = Policies::of(compiled, &apis);
        let notes = compiled.notes.clone();
        let entities =
            Entities { apis, products, subscriptions, gateways, version_sets, named_values, policies };
        Ok(Snapshot::new(entities, gateway).with_policies(pipelines, notes))
    }

    /// A fault for each open product of an API beyond the first: whoever gives no key would be in the context of either.
    fn check_open_products(&self, products: &BTreeMap<Name, Arc<Product>>, faults: &mut Vec<Fault>) {
        for (path, (_, parsed)) in &self.apis {
            let is_open = |name| products.get(name).is_some_and(|product| product.is_open());
            let named = parsed.asks.references.iter().filter(|named| named.to == Entity::Product);
            let mut open = named.filter(|named| is_open(&named.name));
            let Some(first) = open.next() else { continue };
            faults.extend(open.map(|second| {
                let act = format!(
                    "product {} is open too (subscription_required = false), and an api may be in one open product only: \
                     take it out of one of the two",
                    first.name
                );
                second.fault(path, Remedy::act(act))
            }));
        }
    }

    /// A fault for each keyed hash that stands anywhere before: its key would be of two subscriptions.
    fn check_key_hashes(&self, faults: &mut Vec<Fault>) {
        let mut holders: HashOfKeys<&str> = HashOfKeys::default();
        holders.reserve(2 * self.subscriptions.len());
        for (path, (_, parsed)) in &self.subscriptions {
            for (hash, line, key) in &parsed.asks.key_hashes {
                let Some(holder) = holders.insert(*hash, path) else { continue };
                faults.push(Fault {
                    file: path.to_string(),
                    line: *line,
                    column: None,
                    key: (*key).to_owned(),
                    value: Fault::MASKED.to_owned(),
                    remedy: Remedy::act(format!(
                        "{holder} has the same key: make another one (ringgate subscription new-key)"
                    )),
                });
            }
        }
    }
}

impl KeptPolicies {
    /// Compiles the documents, unless they and the named values are those of before.
    fn compile(&mut self, documents: &PolicyDocuments, named_values: &NamedValues, faults: &mut Vec<Fault>) {
        if self.documents != *documents || self.named_values != *named_values {
            self.faults.clear();
            self.compiled = compile_policies(documents, named_values, &mut self.faults);
            self.documents = documents.clone();
            self.named_values = named_values.clone();
        }
        faults.extend_from_slice(&self.faults);
    }
}

/// Reads the files of one kind: those whose text is the same as before are not read again. Gives the entities that are
/// without fault, in the order of paths.
fn read<T>(
    kept: &mut ParsedFiles<Arc<T>>,
    files: &CatalogFiles,
    folder: &str,
    read_one: fn(&str, &str, &str) -> Parsed<T>,
    faults: &mut Vec<Fault>,
) -> Vec<Arc<T>> {
    // Both are in the order of paths, so they are walked side by side; what is skipped is there no more.
    let mut before = core::mem::take(kept).into_iter().peekable();
    let mut entities = Vec::with_capacity(before.len());
    let now = files.entities(folder, "toml").filter_map(|file| {
        let text = file.text.ok()?;
        while before.next_if(|(path, _)| **path < *file.path).is_some() {}
        let (path, parsed) = match before.next_if(|(path, _)| **path == *file.path) {
            Some((path, (same, parsed))) if same == *text => (path, parsed),
            Some(_) | None => {
                let Parsed { value, asks } = read_one(file.path, file.stem, text);
                (file.path.into(), Parsed { value: value.map(Arc::new), asks })
            }
        };
        match &parsed.value {
            Ok(entity) => entities.push(Arc::clone(entity)),
            Err(found) => faults.extend_from_slice(found),
        }
        Some((path, (Arc::clone(text), parsed)))
    });
    *kept = now.collect();
    entities
}

/// A fault for each reference to what is not there.
fn check_references<T>(kept: &ParsedFiles<T>, names: &FileNames<'_>, faults: &mut Vec<Fault>) {
    for (path, (_, parsed)) in kept {
        let dangling = parsed.asks.references.iter().filter(|reference| !names.has(reference));
        faults.extend(
            dangling.map(|reference| reference.dangling(path, names.of_kind(reference.to).iter().copied())),
        );
    }
}

/// The names of the files that can be referred to, whether they are at fault or not.
struct FileNames<'f> {
    apis: BTreeSet<&'f str>,
    products: BTreeSet<&'f str>,
    version_sets: BTreeSet<&'f str>,
}

impl<'f> FileNames<'f> {
    fn of(files: &'f CatalogFiles) -> Self {
        let of = |entity: Entity| files.entities(entity.folder(), "toml").map(|file| file.stem).collect();
        Self { apis: of(Entity::Api), products: of(Entity::Product), version_sets: of(Entity::VersionSet) }
    }

    fn has(&self, reference: &Reference) -> bool {
        self.of_kind(reference.to).contains(reference.name.as_str())
    }

    fn of_kind(&self, entity: Entity) -> &BTreeSet<&'f str> {
        match entity {
            Entity::Api => &self.apis,
            Entity::Product => &self.products,
            Entity::VersionSet => &self.version_sets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::subscription_key::KeyHasher;

    const CHAT: &str = "display_name = \"Chat\"\nurl = \"ws://h\"\nsuffix = \"chat\"\n";
    const OPEN: &str = "display_name = \"Open\"\nsubscription_required = false\n";

    fn files(files: &[(&str, &str)]) -> CatalogFiles {
        let mut made = CatalogFiles::default();
        for (path, text) in files {
            made.insert(path, *text);
        }
        made
    }

    fn faults(given: &[(&str, &str)]) -> Vec<String> {
        let faults = compile(&files(given), None).err().unwrap_or_default();
        faults.iter().map(Fault::to_string).collect()
    }

    #[test]
    fn compiles_whole_or_not_at_all() {
        let good = files(&[("apis/chat.toml", CHAT)]);
        let snapshot = compile(&good, None).expect("no fault");
        assert_eq!(snapshot.served()[0].name.as_str(), "chat");
        let mut bad = good.clone();
        bad.insert("apis/echo.toml", "=");
        assert_eq!(compile(&bad, None).expect_err("a fault").len(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_fault_among_the_others() {
        let mut files = files(&[("apis/a.toml", "="), ("apis/c.toml", CHAT), ("apis/d.toml", CHAT)]);
        files.insert_unreadable("apis/b.toml", Fault::of_file("apis/b.toml", None, "not utf-8", "text"));
        let faults = compile(&files, None).expect_err("three faults");
        let at: Vec<_> = faults.iter().map(|fault| (fault.file.as_str(), fault.line)).collect();
        assert_eq!(at, [("apis/a.toml", Some(1)), ("apis/b.toml", None), ("apis/d.toml", Some(3))]);
    }

    #[test]
    fn what_is_referred_to_has_to_be_there() {
        let chat = format!("{CHAT}products = [\"gone\"]\nversion_set = \"lost\"\n");
        assert_eq!(
            faults(&[
                ("apis/chat.toml", &chat),
                ("subscriptions/a.toml", "display_name = \"A\"\nscope = \"/products/gone\""),
                ("subscriptions/b.toml", "display_name = \"B\"\nscope = \"/apis/echo\""),
            ]),
            [
                "apis/chat.toml:4: products[0] = \"gone\"; there is no products/gone.toml; name a product that is there, or add that file",
                "apis/chat.toml:5: version_set = \"lost\"; there is no version-sets/lost.toml; name a version set that is there, or add that file",
                "subscriptions/a.toml:2: scope = \"/products/gone\"; there is no products/gone.toml; name a product that is there, or add that file",
                "subscriptions/b.toml:2: scope = \"/apis/echo\"; there is no apis/echo.toml; name an api that is there, or add that file",
            ]
        );
    }

    #[test]
    fn what_is_there_and_at_fault_is_told_once() {
        let chat = format!("{CHAT}products = [\"starter\"]\n");
        assert_eq!(faults(&[("apis/chat.toml", &chat), ("products/starter.toml", "=")]).len(), 1);
    }

    #[test]
    fn an_api_has_at_most_one_open_product() {
        let chat = format!("{CHAT}products = [\"one\", \"shut\", \"two\"]\n");
        let shut = "display_name = \"Shut\"";
        assert_eq!(
            faults(&[
                ("apis/chat.toml", &chat),
                ("products/one.toml", OPEN),
                ("products/shut.toml", shut),
                ("products/two.toml", OPEN),
            ]),
            [
                "apis/chat.toml:4: products[2] = \"two\"; product one is open too (subscription_required = false), and an api may be in one open product only: take it out of one of the two"
            ]
        );
    }

    #[test]
    fn a_key_belongs_to_one_subscription() {
        let hash = KeyHasher::new(&[1; 32]).text_of(b"key");
        let text = format!("display_name = \"A\"\nscope = \"/apis\"\nsecondary_key_hash = \"{hash}\"");
        let faults = faults(&[("subscriptions/a.toml", &text), ("subscriptions/b.toml", &text)]);
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with("subscriptions/b.toml:3: secondary_key_hash = ***; "), "{faults:?}");
    }

    #[test]
    fn what_was_compiled_before_changes_nothing() {
        let mut compiler = Compiler::default();
        let good = files(&[("apis/chat.toml", CHAT), ("products/starter.toml", "display_name = \"S\"")]);
        let first = compiler.compile(&good, None).expect("no fault");
        let mut bad = good.clone();
        bad.insert("products/starter.toml", "=");
        for _ in 0..2 {
            assert_eq!(compiler.compile(&bad, None).err(), compile(&bad, None).err());
        }
        bad.remove("apis/chat.toml");
        bad.remove("products/starter.toml");
        assert!(compiler.compile(&bad, None).expect("nothing").served().is_empty());
        let again = compiler.compile(&good, None).expect("no fault");
        assert_eq!(again.served(), first.served());
        // What has not changed is not read again.
        let third = compiler.compile(&good, None).expect("no fault");
        assert!(Arc::ptr_eq(&again.served()[0], &third.served()[0]));
    }
}
