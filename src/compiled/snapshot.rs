//! The whole catalogue as the workers see it: immutable, checked, ready to route and to look keys up.
//!
//! Neither gets slower with the number of entities. Nothing here reads a clock: a subscription that ends while the snapshot is in
//! use is refused from that moment on, because the time is an argument.
//!
//! Not here: reading files (`control::files::store`), checking them (`compile`), how a path is compared (`routing`), giving a snapshot to the workers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::access::{Presented, SubscriptionKeyFault, decide};
use super::path_segment::PathFault;
pub use super::routing::Routed;
use super::routing::Routes;
use super::suffixes::published_path;
use crate::catalog::access::Access;
use crate::catalog::api::{Api, Schemes};
use crate::catalog::gateway::Gateway;
use crate::catalog::given_key::GivenKey;
use crate::catalog::name::Name;
use crate::catalog::named_value::NamedValues;
use crate::catalog::policy_documents::PolicyDocuments;
use crate::catalog::product::Product;
use crate::catalog::subscription::{Scope, Subscription};
use crate::catalog::subscription_key::{HashOfKeys, KeyHash, KeyHasher};
use crate::catalog::timestamp::Timestamp;
use crate::catalog::version_set::{VersionScheme, VersionSet};
use crate::policy::compile::Policies;
use crate::policy::pipeline::Pipeline;

/// Everything that a catalogue's files say.
#[derive(Debug, Default)]
pub struct Entities {
    /// The APIs, of every gateway.
    pub apis: Vec<Arc<Api>>,
    /// The products.
    pub products: BTreeMap<Name, Arc<Product>>,
    /// The subscriptions.
    pub subscriptions: Vec<Arc<Subscription>>,
    /// The gateways that have a file.
    pub gateways: Vec<Arc<Gateway>>,
    /// The version sets.
    pub version_sets: BTreeMap<Name, Arc<VersionSet>>,
    /// The named values.
    pub named_values: NamedValues,
    /// The policy documents.
    pub policies: PolicyDocuments,
}

/// An immutable catalogue.
#[derive(Debug, Default)]
pub struct Snapshot {
    routes: Routes,
    /// Those this gateway serves, by name.
    served: Vec<Arc<Api>>,
    /// Those only other gateways serve, by name.
    elsewhere: Vec<Arc<Api>>,
    /// The place of each key's subscription among the entities.
    by_key: HashOfKeys<u32>,
    /// Under the instance's secret. `None`: there is none, and no key is any subscription's.
    key_hasher: Option<KeyHasher>,
    entities: Entities,
    policies: Policies,
    notes: Vec<String>,
    gateway: Option<Box<str>>,
    default_schemes: Schemes,
}

impl Snapshot {
    /// Makes a snapshot for an instance of `gateway` of entities that `compile` has checked.
    pub(super) fn new(mut entities: Entities, gateway: Option<&str>) -> Self {
        entities.apis.sort_by(|one, other| one.name.cmp(&other.name));
        let apis = entities.apis.iter().cloned();
        let (served, elsewhere): (Vec<_>, Vec<_>) =
            apis.partition(|api: &Arc<Api>| api.is_served_by(gateway));
        let mut by_key = HashOfKeys::default();
        by_key.reserve(2 * entities.subscriptions.len());
        for (index, subscription) in (0..).zip(&entities.subscriptions) {
            let hashes = [subscription.primary_key_hash, subscription.secondary_key_hash];
            by_key.extend(hashes.into_iter().flatten().map(|hash| (hash, index)));
        }
        let routes = Routes::new(&served, &entities.version_sets);
        Self {
            routes,
            served,
            elsewhere,
            by_key,
            key_hasher: None,
            entities,
            policies: Policies::default(),
            notes: Vec::new(),
            gateway: gateway.map(Into::into),
            default_schemes: Schemes::default(),
        }
    }

    /// The same with its policies, and with what there is to say about documents that are in order.
    pub(super) fn with_policies(self, policies: Policies, notes: Vec<String>) -> Self {
        Self { policies, notes, ..self }
    }

    /// The same, where keys are hashed under the secret of `key_hasher`.
    #[must_use]
    pub fn with_key_hasher(self, key_hasher: KeyHasher) -> Self {
        Self { key_hasher: Some(key_hasher), ..self }
    }

    /// The same, where an API that names no schemes is served on these.
    #[must_use]
    pub fn with_default_schemes(self, default_schemes: Schemes) -> Self {
        Self { default_schemes, ..self }
    }

    /// The schemes that an API is served on.
    pub fn schemes_of(&self, api: &Api) -> Schemes {
        api.schemes.unwrap_or(self.default_schemes)
    }

    /// Tells the secret that keys are hashed under from others. `None`: there is none.
    pub fn secret_mark(&self) -> Option<KeyHash> {
        self.key_hasher.as_ref().map(KeyHasher::mark)
    }

    /// Whether any subscription has a key, so that keys have to be hashed.
    pub fn has_keys(&self) -> bool {
        !self.by_key.is_empty()
    }

    /// The API that serves `path`, a request target's path without its query, to a request that asks for no version.
    ///
    /// `chat` serves `/chat`, `//%63hat/x` and `/chat;rev=1` where 1 is its revision, not `/chatty` and not `/Chat`. The
    /// longest suffix wins.
    ///
    /// # Errors
    /// The path is ambiguous: recipients may read it in different ways.
    pub fn route<'a>(&'a self, path: &'a str) -> Result<Option<Routed<'a>>, PathFault> {
        self.route_version(path, |_| None)
    }

    /// The API that serves `path`, where `asked_version` finds the version that the request asks for.
    ///
    /// # Errors
    /// The path is ambiguous: recipients may read it in different ways.
    pub fn route_version<'a>(
        &'a self,
        path: &'a str,
        asked_version: impl FnOnce(&VersionScheme) -> Option<Cow<'a, [u8]>>,
    ) -> Result<Option<Routed<'a>>, PathFault> {
        self.routes.route(path, asked_version)
    }

    /// Returns the rest of `path` behind the suffix of `api`, as if there were no other API. `None`: the path is not below it.
    ///
    /// # Errors
    /// The path is ambiguous: recipients may read it in different ways.
    pub fn rest_of<'p>(&self, api: &Arc<Api>, path: &'p str) -> Result<Option<&'p str>, PathFault> {
        let alone = Routes::new(core::slice::from_ref(api), &self.entities.version_sets);
        alone.rest_of(api, path)
    }

    /// The path of an API, without its leading `/`: its suffix, and its version where that is a segment.
    pub fn path_of(&self, api: &Api) -> String {
        let set = api.version_set.as_ref().and_then(|name| self.entities.version_sets.get(name));
        published_path(&api.suffix, set.map(|set| &set.scheme), api.version.as_ref())
    }

    /// Whether what a client gave for a key lets it in, and in whose context.
    ///
    /// # Errors
    /// Why not.
    pub fn access(
        &self,
        api: &Api,
        given: &GivenKey<'_>,
        now: Timestamp,
    ) -> Result<Access<'_>, SubscriptionKeyFault> {
        let presented = match given {
            GivenKey::Nothing => Presented::Nothing,
            GivenKey::NoKey => Presented::Unknown,
            GivenKey::Key(key) => match self.subscription_of(key) {
                Some(subscription) => {
                    Presented::KeyOf { subscription, product: self.product_of(subscription) }
                }
                None => Presented::Unknown,
            },
        };
        decide(api, presented, self.open_product(api), now)
    }

    fn subscription_of(&self, key: &[u8]) -> Option<&Arc<Subscription>> {
        let index = *self.by_key.get(&self.key_hasher.as_ref()?.hash(key))?;
        self.entities.subscriptions.get(index as usize)
    }

    fn product_of(&self, subscription: &Subscription) -> Option<&Arc<Product>> {
        match &subscription.scope {
            Scope::Product(name) => self.entities.products.get(name),
            Scope::Api(_) | Scope::AllApis => None,
        }
    }

    fn open_product(&self, api: &Api) -> Option<&Arc<Product>> {
        let products = api.products.iter().filter_map(|name| self.entities.products.get(name));
        products.into_iter().find(|product| product.is_open())
    }

    /// The policies of a handshake of `api` in the context of `access`. `None`: there are none.
    pub fn policies_of(&self, api: &Api, access: &Access<'_>) -> Option<&Arc<Pipeline>> {
        self.policies.of_handshake(&api.name, access.product.map(|product| &product.name))
    }

    /// Whether sessions of `api` may go to a backend with TLS.
    pub fn may_dial_tls(&self, api: &Api) -> bool {
        api.backend.is_tls || self.policies.may_change_backend(&api.name)
    }

    /// The gateway that this instance is part of; that of no gateway is called as Azure API Management's own is.
    pub fn gateway(&self) -> &str {
        self.gateway.as_deref().unwrap_or("managed")
    }

    /// Returns notes on files without faults, a line each: policies that are skipped.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The APIs that this gateway serves, by name.
    pub fn served(&self) -> &[Arc<Api>] {
        &self.served
    }

    /// The APIs that only other gateways serve, by name.
    pub fn elsewhere(&self) -> &[Arc<Api>] {
        &self.elsewhere
    }

    /// Everything that the files say.
    pub fn entities(&self) -> &Entities {
        &self.entities
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::CatalogFiles;
    use crate::compiled::compile;

    /// The snapshot of these files, for an instance of `gateway`.
    fn snapshot(files: &[(&str, &str)], gateway: Option<&str>) -> Snapshot {
        let mut made = CatalogFiles::default();
        for (path, text) in files {
            made.insert(path, *text);
        }
        compile(&made, gateway).expect("no fault")
    }

    fn api(suffix: &str, lines: &str) -> String {
        format!("display_name = \"A\"\nurl = \"ws://h\"\nsuffix = \"{suffix}\"\n{lines}\n")
    }

    #[test]
    fn serves_what_names_no_gateway_or_this_one() {
        let [all, edge, x] =
            [api("all", ""), api("edge", "gateways = [\"edge\", \"core\"]"), api("x", "gateways = [\"x\"]")];
        let files = [("apis/all.toml", &*all), ("apis/edge.toml", &*edge), ("apis/x.toml", &*x)];
        let names = |apis: &[Arc<Api>]| apis.iter().map(|api| api.name.to_string()).collect::<Vec<_>>();

        let of_edge = snapshot(&files, Some("edge"));
        assert_eq!(
            (names(of_edge.served()), names(of_edge.elsewhere())),
            (vec!["all".into(), "edge".into()], vec!["x".into()])
        );
        let is_served = |path| of_edge.route(path).expect("a path in order").is_some();
        assert!(is_served("/edge") && !is_served("/x"));

        let alone = snapshot(&files, None);
        assert_eq!(names(alone.served()), ["all"]);
    }

    #[test]
    fn either_key_of_a_subscription_is_found_under_the_instances_secret_alone() {
        let hasher = KeyHasher::new(&[1; 32]);
        let acme = format!(
            "display_name = \"A\"\nscope = \"/products/starter\"\nexpiration_date = 1970-01-01T00:01:40Z\n\
             primary_key_hash = \"{}\"\nsecondary_key_hash = \"{}\"",
            hasher.text_of(b"one"),
            hasher.text_of(b"two")
        );
        let chat = api("chat", "products = [\"starter\"]");
        let files = || {
            let files = [
                ("apis/chat.toml", &*chat),
                ("products/starter.toml", "display_name = \"Starter\""),
                ("subscriptions/acme.toml", &*acme),
            ];
            snapshot(&files, None)
        };
        let outcome = |snapshot: &Snapshot, given: GivenKey<'_>, now| {
            let access = snapshot.access(&snapshot.served()[0], &given, Timestamp::from_unix(now))?;
            let product = access.product.map(|product| product.name.to_string());
            Ok((access.subscription.map(|subscription| subscription.name.to_string()), product))
        };
        let key = |key: &'static [u8]| GivenKey::Key(Cow::Borrowed(key));
        let (keyed, other) =
            (files().with_key_hasher(hasher), files().with_key_hasher(KeyHasher::new(&[2; 32])));
        let acme = Ok((Some("acme".to_owned()), Some("starter".to_owned())));
        assert_eq!(outcome(&keyed, key(b"one"), 99), acme);
        assert_eq!(outcome(&keyed, key(b"two"), 99), acme);
        // It runs out while the snapshot lives.
        assert_eq!(outcome(&keyed, key(b"one"), 100), Err(SubscriptionKeyFault::Invalid));
        assert_eq!(outcome(&keyed, key(b"three"), 99), Err(SubscriptionKeyFault::Invalid));
        assert_eq!(outcome(&keyed, GivenKey::NoKey, 99), Err(SubscriptionKeyFault::Invalid));
        assert_eq!(outcome(&keyed, GivenKey::Nothing, 99), Err(SubscriptionKeyFault::Missing));
        assert_eq!(outcome(&other, key(b"one"), 99), Err(SubscriptionKeyFault::Invalid));
        assert_eq!(outcome(&files(), key(b"one"), 99), Err(SubscriptionKeyFault::Invalid));
    }
}
