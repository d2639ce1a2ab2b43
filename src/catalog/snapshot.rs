//! The whole catalogue as the workers see it: immutable, checked, ready to route.
//!
//! Not here: reading files (`control::store`), checking them (`compile`), giving a snapshot to the workers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::api::Api;
use super::gateway::Gateway;
use super::name::Name;
use super::named_value::NamedValues;
use super::policy_documents::PolicyDocuments;
use super::product::Product;
pub use super::routing::Routed;
use super::routing::Routes;
use super::subscription::Subscription;
use super::version_set::{VersionScheme, VersionSet};

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
    entities: Entities,
}

impl Snapshot {
    /// Makes a snapshot for an instance of `gateway` of entities that `compile` has checked.
    pub(super) fn new(mut entities: Entities, gateway: Option<&str>) -> Self {
        entities.apis.sort_by(|one, other| one.name.cmp(&other.name));
        let apis = entities.apis.iter().cloned();
        let (served, elsewhere): (Vec<_>, Vec<_>) =
            apis.partition(|api: &Arc<Api>| api.is_served_by(gateway));
        let routes = Routes::new(&served, &entities.version_sets);
        Self { routes, served, elsewhere, entities }
    }

    /// The API that serves `path`, a request target's path without its query, to a request that asks for no version.
    ///
    /// `chat` serves `/chat` and `/chat/x`, not `/chatty` and not `/Chat`. The longest suffix wins.
    pub fn route<'a>(&'a self, path: &'a str) -> Option<Routed<'a>> {
        self.route_version(path, |_| None)
    }

    /// The API that serves `path`, where `asked_version` finds the version that the request asks for.
    pub fn route_version<'a>(
        &'a self,
        path: &'a str,
        asked_version: impl FnOnce(&VersionScheme) -> Option<Cow<'a, [u8]>>,
    ) -> Option<Routed<'a>> {
        self.routes.route(path, asked_version)
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
    use crate::catalog::{CatalogFiles, compile};

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
        assert!(of_edge.route("/edge").is_some() && of_edge.route("/x").is_none());

        let alone = snapshot(&files, None);
        assert_eq!(names(alone.served()), ["all"]);
    }
}
