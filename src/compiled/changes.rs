//! The difference between two catalogues, in a line: the added, changed and removed APIs, products, subscriptions and other
//! entities.
//!
//! Only names are reported, never contents: a named value may be a secret.
//!
//! Not here: when it is logged (`control::publisher`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Snapshot;
use crate::catalog::policy_documents::PolicyDocuments;

/// Names that are told of each kind of change. Beyond it, the line says how many more there are.
const NAMES_TOLD_MAX: usize = 5;

/// Entities of one kind by their names.
type ByName<'e, T> = BTreeMap<String, &'e T>;

/// The changes from `before` to `now`: `apis added: chat; subscriptions removed: a, b`. Empty: there are none.
pub fn changes(before: &Snapshot, now: &Snapshot) -> String {
    let (old, new) = (before.entities(), now.entities());
    let mut told = Vec::new();
    tell(&mut told, "apis", named(&old.apis, |one| &one.name), named(&new.apis, |one| &one.name));
    tell(&mut told, "products", keyed(&old.products), keyed(&new.products));
    tell(
        &mut told,
        "subscriptions",
        named(&old.subscriptions, |one| &one.name),
        named(&new.subscriptions, |one| &one.name),
    );
    tell(&mut told, "gateways", named(&old.gateways, |one| &one.name), named(&new.gateways, |one| &one.name));
    tell(&mut told, "version sets", keyed(&old.version_sets), keyed(&new.version_sets));
    tell(&mut told, "named values", keyed(&old.named_values), keyed(&new.named_values));
    tell(&mut told, "policies", documents(&old.policies), documents(&new.policies));
    told.join("; ")
}

fn named<'e, T, N: ToString + 'e>(entities: &'e [T], name: impl Fn(&'e T) -> &'e N) -> ByName<'e, T> {
    entities.iter().map(|entity| (name(entity).to_string(), entity)).collect()
}

fn keyed<N: ToString, T>(entities: &BTreeMap<N, T>) -> ByName<'_, T> {
    entities.iter().map(|(name, entity)| (name.to_string(), entity)).collect()
}

/// Policy documents by the paths of their files.
fn documents(of: &PolicyDocuments) -> ByName<'_, Arc<str>> {
    let folders = [("apis", &of.of_apis), ("products", &of.of_products), ("fragments", &of.fragments)];
    let in_folders = folders.into_iter().flat_map(|(folder, documents)| {
        documents.iter().map(move |(name, text)| (format!("{folder}/{name}.xml"), text))
    });
    of.global.iter().map(|text| ("global.xml".to_owned(), text)).chain(in_folders).collect()
}

fn tell<T: PartialEq>(told: &mut Vec<String>, kind: &str, old: ByName<'_, T>, new: ByName<'_, T>) {
    let added = new.keys().filter(|name| !old.contains_key(*name));
    let changed = new.iter().filter(|(name, entity)| old.get(*name).is_some_and(|before| before != *entity));
    let removed = old.keys().filter(|name| !new.contains_key(*name));
    for (how, names) in [
        ("added", added.collect::<Vec<_>>()),
        ("changed", changed.map(|(name, _)| name).collect()),
        ("removed", removed.collect()),
    ] {
        if !names.is_empty() {
            told.push(format!("{kind} {how}: {}", some_of(&names)));
        }
    }
}

/// The first names, and how many more there are.
fn some_of(names: &[&String]) -> String {
    let shown = names.iter().take(NAMES_TOLD_MAX).map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_TOLD_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::CatalogFiles;
    use crate::compiled::compile;

    fn api(suffix: &str) -> String {
        format!("display_name = \"A\"\nurl = \"ws://h\"\nsuffix = \"{suffix}\"\n")
    }

    fn snapshot(files: &[(&str, &str)]) -> Snapshot {
        let mut made = CatalogFiles::default();
        for (path, text) in files {
            made.insert(path, *text);
        }
        compile(&made, None).unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    #[test]
    fn tells_what_was_added_changed_and_removed_by_kind() {
        let (a, b, c) = (api("a"), api("b"), api("c"));
        let before = snapshot(&[
            ("apis/chat.toml", &a),
            ("apis/gone.toml", &b),
            ("products/p.toml", "display_name = \"P\""),
            ("named-values.toml", "[key]\nvalue = \"hush\"\nsecret = true"),
        ]);
        let now = snapshot(&[
            ("apis/chat.toml", &c),
            ("apis/news.toml", &a),
            ("products/p.toml", "display_name = \"P\""),
            ("subscriptions/s.toml", "display_name = \"S\"\nscope = \"/apis\""),
            ("named-values.toml", "[key]\nvalue = \"hushed\"\nsecret = true"),
            ("policies/apis/chat.xml", "<policies/>"),
        ]);
        assert_eq!(
            changes(&before, &now),
            "apis added: news; apis changed: chat; apis removed: gone; subscriptions added: s; named values changed: key; \
             policies added: apis/chat.xml"
        );
        assert_eq!(changes(&now, &now), "");
    }

    #[test]
    fn names_the_first_five_and_counts_the_rest() {
        let files: Vec<(String, String)> =
            (0..12).map(|index| (format!("apis/a{index:02}.toml"), api(&format!("s{index}")))).collect();
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let (none, five, six, all) =
            (Snapshot::default(), snapshot(&files[..5]), snapshot(&files[..6]), snapshot(&files));
        assert_eq!(changes(&none, &five), "apis added: a00, a01, a02, a03, a04");
        assert_eq!(changes(&none, &six), "apis added: a00, a01, a02, a03, a04 and 1 more");
        assert_eq!(changes(&all, &none), "apis removed: a00, a01, a02, a03, a04 and 7 more");
    }
}
