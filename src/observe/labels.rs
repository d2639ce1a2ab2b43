//! APIs, products and subscriptions as labels of figures: one label for each, shared by everything that is counted under it.
//!
//! ```text
//! snapshot ─ publish ─► LabelRegistry ─► openings ─► session records
//!                           │  ▲                          │ figures: cells of one writer each
//!                 reader ◄──┘  └── the same label again ──┘
//! ```
//!
//! The property to trust: a label is an entity of the catalogue and nothing else, so nothing that a client makes up becomes one.
//! A label outlives snapshots: an entity that is published again, changed or not, keeps its figures. The label of a deleted
//! entity is kept while anything is counted under it, and then forgotten; if the entity comes back later, it begins anew.
//!
//! Not here: what is counted under a label (`entity_cells`), and how it is shown (`telemetry`).

use super::entity_cells::{EntityCells, EntityFigures, Writer};
use crate::admission::places::HolderKind;
use crate::catalog::access::Access;
use crate::catalog::{Api, Name};
use crate::compiled::Snapshot;
use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// Most labels of a kind with series of their own on the page for Prometheus, where each is up to fifty rows. Those that come when there are
/// so many are shown as one, and stay so.
pub const OWN_SERIES_MAX: usize = 1_000;

/// An API, a product or a subscription, and what is counted under it.
///
/// Nothing is allocated for figures before there are any; then it is 512 bytes for each thread that counts.
#[derive(Debug)]
pub struct EntityLabel {
    kind: HolderKind,
    name: Name,
    workers: usize,
    has_own_series: bool,
    /// By [`Writer::index`].
    cells: OnceLock<Box<[OnceLock<Arc<EntityCells>>]>>,
}

impl EntityLabel {
    /// A label of an instance with so many workers, without figures.
    pub fn new(kind: HolderKind, name: Name, workers: usize) -> Self {
        Self { kind, name, workers, has_own_series: true, cells: OnceLock::new() }
    }

    /// Whether its figures are shown under its own name where names are bounded, and not among those of all others. That never
    /// changes, so that what is summed up over all others never becomes less.
    pub fn has_own_series(&self) -> bool {
        self.has_own_series
    }

    /// Returns the kind of the entity.
    pub fn kind(&self) -> HolderKind {
        self.kind
    }

    /// Returns the name of the entity.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The cells that `writer` counts in, and nobody else. `None`: the instance has no such worker.
    pub fn cells(&self, writer: Writer) -> Option<&Arc<EntityCells>> {
        Some(self.room().get(writer.index())?.get_or_init(Arc::default))
    }

    /// Room for the cells of each writer. Whoever comes while another thread makes it waits for that one.
    fn room(&self) -> &[OnceLock<Arc<EntityCells>>] {
        self.cells.get_or_init(|| (0..Writer::count(self.workers)).map(|_| OnceLock::new()).collect())
    }

    /// The sums over all writers.
    pub fn figures(&self) -> EntityFigures {
        let mut figures = EntityFigures::default();
        let cells = self.cells.get().map(Box::as_ref).unwrap_or_default();
        for of_writer in cells.iter().filter_map(OnceLock::get) {
            figures.add(of_writer);
        }
        figures
    }
}

/// The labels of a session.
#[derive(Clone, Debug)]
pub struct SessionLabels {
    /// Its API.
    pub api: Arc<EntityLabel>,
    /// The product in whose context it is, if there is one.
    pub product: Option<Arc<EntityLabel>>,
    /// The subscription whose key was given, if one was.
    pub subscription: Option<Arc<EntityLabel>>,
}

impl SessionLabels {
    /// Those of a session of an API, and of nothing else.
    pub fn of_api(api: Arc<EntityLabel>) -> Self {
        Self { api, product: None, subscription: None }
    }

    /// Each of them, the API first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<EntityLabel>> {
        [Some(&self.api), self.product.as_ref(), self.subscription.as_ref()].into_iter().flatten()
    }
}

/// A label that is found by its name.
#[derive(Clone, Debug)]
struct ByName(Arc<EntityLabel>);

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        self.0.name.as_str()
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for ByName {}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.as_str().hash(state);
    }
}

/// The labels of what one snapshot has.
#[derive(Debug, Default)]
pub struct PublishedLabels {
    by_name: [HashSet<ByName>; HolderKind::ALL.len()],
}

impl PublishedLabels {
    /// Those of a session of `api` in the context of `access`. `None`: the API is not of this snapshot.
    pub fn of_session(&self, api: &Api, access: &Access<'_>) -> Option<SessionLabels> {
        let product =
            access.product.and_then(|product| self.of_session_to_be(HolderKind::Product, &product.name));
        let subscription = access
            .subscription
            .and_then(|subscription| self.of_session_to_be(HolderKind::Subscription, &subscription.name));
        Some(SessionLabels { api: self.of_session_to_be(HolderKind::Api, &api.name)?, product, subscription })
    }

    /// The label of a session to be. Its room is made here, by a front: a relay that made it would wait for another one that does.
    fn of_session_to_be(&self, kind: HolderKind, name: &Name) -> Option<Arc<EntityLabel>> {
        let label = self.of(kind, name)?;
        label.room();
        Some(label)
    }

    fn of(&self, kind: HolderKind, name: &Name) -> Option<Arc<EntityLabel>> {
        self.by_name[kind as usize].get(name.as_str()).map(|ByName(label)| Arc::clone(label))
    }
}

/// The labels of what is published, and of what is gone and still counted under.
#[derive(Debug, Default)]
struct Known {
    published: Arc<PublishedLabels>,
    gone: [HashSet<ByName>; HolderKind::ALL.len()],
    /// How many of these labels have series of their own.
    own_series: [usize; HolderKind::ALL.len()],
    /// The figures of forgotten labels: of those with series of their own, and of those without.
    forgotten: [[EntityFigures; 2]; HolderKind::ALL.len()],
}

impl Known {
    /// Takes the label of that name, or makes one.
    fn take(&mut self, kind: HolderKind, name: &Name, workers: usize) -> Arc<EntityLabel> {
        self.published.of(kind, name).unwrap_or_else(|| match self.gone[kind as usize].take(name.as_str()) {
            Some(ByName(label)) => label,
            None => {
                let own_series = &mut self.own_series[kind as usize];
                let has_own_series = *own_series < OWN_SERIES_MAX;
                *own_series += usize::from(has_own_series);
                Arc::new(EntityLabel { has_own_series, ..EntityLabel::new(kind, name.clone(), workers) })
            }
        })
    }

    /// A label is known no more.
    fn forget(&mut self, label: &EntityLabel) {
        let kind = label.kind as usize;
        self.own_series[kind] -= usize::from(label.has_own_series);
        self.forgotten[kind][usize::from(label.has_own_series)].add_figures(&label.figures());
    }
}

/// All labels of an instance. Whoever shows figures reads them.
///
/// A publish takes milliseconds where there are many, and who asks meanwhile waits for it: the control thread does neither itself.
#[derive(Debug)]
pub struct LabelRegistry {
    workers: usize,
    known: watch::Sender<Known>,
    /// How many labels are gone and not forgotten.
    gone: AtomicUsize,
}

impl LabelRegistry {
    /// That of an instance with so many workers, without labels.
    pub fn new(workers: usize) -> Self {
        Self { workers, known: watch::Sender::default(), gone: AtomicUsize::new(0) }
    }

    /// The labels of all that `snapshot` has. What was known and is not in it is forgotten when nothing is counted under it any
    /// more.
    pub fn publish(&self, snapshot: &Snapshot) -> Arc<PublishedLabels> {
        let entities = snapshot.entities();
        let apis = snapshot.served().iter().map(|api| (HolderKind::Api, &api.name));
        let products = entities.products.keys().map(|name| (HolderKind::Product, name));
        let subscriptions =
            entities.subscriptions.iter().map(|subscription| (HolderKind::Subscription, &subscription.name));
        let mut published = PublishedLabels::default();
        self.known.send_modify(|known| {
            for (kind, name) in apis.chain(products).chain(subscriptions) {
                let label = known.take(kind, name, self.workers);
                published.by_name[kind as usize].insert(ByName(label));
            }
            for kind in HolderKind::ALL.map(|kind| kind as usize) {
                let gone = known.published.by_name[kind].difference(&published.by_name[kind]);
                known.gone[kind].extend(gone.cloned());
            }
            known.published = Arc::new(published);
            self.count_gone(known);
        });
        Arc::clone(&self.known.borrow().published)
    }

    /// Whether there is anything that [`Self::forget_gone`] might forget. It waits for nobody.
    pub fn has_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed) > 0
    }

    /// Forgets what is gone and has no session, no opening and no snapshot any more.
    pub fn forget_gone(&self) {
        let mut forgotten = Vec::new();
        self.known.send_if_modified(|known| {
            for gone in &mut known.gone {
                forgotten.extend(gone.extract_if(|ByName(label)| Arc::strong_count(label) == 1));
            }
            forgotten.iter().for_each(|ByName(label)| known.forget(label));
            self.count_gone(known);
            false
        });
        // Freed when nobody waits for it any more.
        drop(forgotten);
    }

    fn count_gone(&self, known: &Known) {
        self.gone.store(known.gone.iter().map(HashSet::len).sum(), Ordering::Relaxed);
    }

    /// The label of an entity that may not be published: a session that is adopted may be of an API that is gone.
    pub fn label_of(&self, kind: HolderKind, name: &Name) -> Arc<EntityLabel> {
        let mut found = None;
        self.known.send_modify(|known| {
            let label = known.take(kind, name, self.workers);
            if known.published.of(kind, name).is_none() {
                known.gone[kind as usize].insert(ByName(Arc::clone(&label)));
                self.count_gone(known);
            }
            found = Some(label);
        });
        found.unwrap_or_else(|| Arc::new(EntityLabel::new(kind, name.clone(), self.workers)))
    }

    /// The figures of all labels of a kind that were forgotten.
    pub fn forgotten(&self, kind: HolderKind) -> EntityFigures {
        let known = self.known.borrow();
        let [mut all, with_series] = known.forgotten[kind as usize].clone();
        all.add_figures(&with_series);
        all
    }

    /// Those of the labels among them that had no series of their own.
    pub fn forgotten_without_series(&self, kind: HolderKind) -> EntityFigures {
        self.known.borrow().forgotten[kind as usize][0].clone()
    }

    /// All labels of a kind, in the order of their names.
    pub fn all_of(&self, kind: HolderKind) -> Vec<Arc<EntityLabel>> {
        let known = self.known.borrow();
        let published = known.published.by_name[kind as usize].iter().map(|ByName(label)| label);
        let gone = known.gone[kind as usize].iter().map(|ByName(label)| label);
        let mut all: Vec<_> = published.chain(gone).cloned().collect();
        drop(known);
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::CatalogFiles;
    use crate::compiled::compile;

    fn snapshot(apis: &[&str]) -> Snapshot {
        let mut files = CatalogFiles::default();
        for api in apis {
            let text = format!("display_name = \"X\"\nurl = \"ws://h\"\nsuffix = \"{api}\"\n");
            files.insert(&format!("apis/{api}.toml"), text);
        }
        files.insert("products/starter.toml", "display_name = \"S\"\n");
        files.insert("subscriptions/acme.toml", "display_name = \"A\"\nscope = \"/apis\"\n");
        compile(&files, None).expect("a catalogue")
    }

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    fn names(registry: &LabelRegistry, kind: HolderKind) -> Vec<String> {
        registry.all_of(kind).iter().map(|label| label.name().to_string()).collect()
    }

    #[test]
    fn every_entity_has_one_label_which_it_keeps_through_every_publish() {
        let registry = LabelRegistry::new(2);
        let first = registry.publish(&snapshot(&["chat", "echo"]));
        assert_eq!(names(&registry, HolderKind::Api), ["chat", "echo"]);
        assert_eq!(names(&registry, HolderKind::Product), ["starter"]);
        assert_eq!(names(&registry, HolderKind::Subscription), ["acme"]);
        let chat = first.of(HolderKind::Api, &name("chat")).unwrap();
        chat.cells(Writer::relay(1)).unwrap().count_open();
        let second = registry.publish(&snapshot(&["chat"]));
        assert!(Arc::ptr_eq(&chat, &second.of(HolderKind::Api, &name("chat")).unwrap()));
        assert!(second.of(HolderKind::Api, &name("echo")).is_none());
        assert_eq!(chat.figures().opened, 1);
    }

    #[test]
    fn what_is_gone_is_listed_while_it_is_held_and_forgotten_then() {
        let registry = LabelRegistry::new(1);
        let first = registry.publish(&snapshot(&["chat"]));
        let session = first.of(HolderKind::Api, &name("chat")).unwrap();
        drop(registry.publish(&snapshot(&[])));
        registry.forget_gone();
        assert_eq!(names(&registry, HolderKind::Api), ["chat"], "its snapshot and its session hold it");
        drop(first);
        registry.forget_gone();
        assert_eq!(names(&registry, HolderKind::Api), ["chat"], "its session holds it");
        // It comes back meanwhile, and is the same.
        let back = registry.publish(&snapshot(&["chat"]));
        assert!(Arc::ptr_eq(&session, &back.of(HolderKind::Api, &name("chat")).unwrap()));
        assert_eq!(names(&registry, HolderKind::Api), ["chat"], "it is listed once");
        drop((back, registry.publish(&snapshot(&[])), session));
        registry.forget_gone();
        assert_eq!(names(&registry, HolderKind::Api), [""; 0]);
    }

    #[test]
    fn an_adopted_session_finds_the_label_of_its_api_or_makes_one_that_lives_as_long_as_it() {
        let registry = LabelRegistry::new(1);
        let published = registry.publish(&snapshot(&["chat"]));
        let chat = registry.label_of(HolderKind::Api, &name("chat"));
        assert!(Arc::ptr_eq(&chat, &published.of(HolderKind::Api, &name("chat")).unwrap()));
        let gone = registry.label_of(HolderKind::Api, &name("gone"));
        assert!(Arc::ptr_eq(&gone, &registry.label_of(HolderKind::Api, &name("gone"))));
        assert_eq!(names(&registry, HolderKind::Api), ["chat", "gone"]);
        drop(gone);
        registry.forget_gone();
        assert_eq!(names(&registry, HolderKind::Api), ["chat"]);
    }

    #[test]
    fn a_label_without_figures_takes_nothing_for_them() {
        let label = EntityLabel::new(HolderKind::Api, name("chat"), 64);
        assert_eq!(label.figures(), EntityFigures::default());
        assert!(label.cells.get().is_none());
        assert!(label.cells(Writer::relay(64)).is_none(), "there is no such worker");
        label.cells(Writer::front(63)).unwrap();
        assert_eq!(label.cells.get().unwrap().iter().filter(|cells| cells.get().is_some()).count(), 1);
    }
}
