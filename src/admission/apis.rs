//! Places of APIs, which live beyond snapshots.
//!
//! Sessions outlast the catalogue that admitted them, so an API's places are found again at each publish by its name,
//! and only their limit changes. The control thread owns the registry; the fronts get a view of it with each snapshot.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::places::Places;
use crate::catalog::{Api, Name};

/// The places of every API that is published or still has sessions.
#[derive(Debug, Default)]
pub struct ApiRegistry {
    known: BTreeMap<Name, Arc<Places>>,
}

/// The places of the APIs of one snapshot, by name.
#[derive(Debug, Default)]
pub struct ApiPlaces {
    /// Looked up in, never walked.
    by_name: HashMap<Name, Arc<Places>>,
}

impl ApiRegistry {
    /// The places of `apis`, with the limits that they have from here on. An API without one is counted all the same: the
    /// next publish may give it one.
    pub fn publish(&mut self, apis: &[Arc<Api>]) -> ApiPlaces {
        let mut by_name = HashMap::with_capacity(apis.len());
        for api in apis {
            let limit = api
                .connections_max
                .map_or(Places::NO_LIMIT, |limit| u32::try_from(limit).unwrap_or(Places::NO_LIMIT));
            let places = self.places_of(&api.name);
            places.set_limit(limit);
            by_name.insert(api.name.clone(), places);
        }
        // What nobody else holds has no session, and no front can take a place of it.
        self.known.retain(|_, places| Arc::strong_count(places) > 1);
        ApiPlaces { by_name }
    }

    /// Places of APIs that are taken, over all of them.
    pub fn taken(&self) -> u64 {
        self.known.values().map(|places| u64::from(places.taken())).sum()
    }

    /// The places of an API, published or not: a session that is adopted may be of one that is gone.
    pub fn places_of(&mut self, name: &Name) -> Arc<Places> {
        let new = || Places::of_api(name.clone(), Places::NO_LIMIT);
        Arc::clone(self.known.entry(name.clone()).or_insert_with(new))
    }
}

impl ApiPlaces {
    /// The places of an API of the snapshot.
    pub fn of(&self, api: &Api) -> Option<&Arc<Places>> {
        self.by_name.get(&api.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{BackendUrl, Suffix};

    fn api(name: &str, connections_max: Option<u64>) -> Arc<Api> {
        let backend = BackendUrl::parse("ws://h").expect("a url");
        let suffix = Suffix::parse(name).expect("a suffix");
        let api = Api::new(Name::parse(name).expect("a name"), name.to_owned(), backend, suffix);
        Arc::new(Api { connections_max, ..api })
    }

    #[test]
    fn sessions_count_through_every_publish() {
        let mut registry = ApiRegistry::default();
        let chat = api("chat", None);
        let first = registry.publish(std::slice::from_ref(&chat));
        let sessions: Vec<_> = (0..3).map(|_| first.of(&chat).unwrap().take().unwrap()).collect();
        drop(first);

        let chat = api("chat", Some(2));
        let second = registry.publish(&[Arc::clone(&chat), api("echo", Some(1))]);
        let places = second.of(&chat).unwrap();
        assert_eq!((places.taken(), places.limit()), (3, 2));
        assert!(places.take().is_none());

        // It is taken out of the catalogue, and comes back while a session lives.
        let none = registry.publish(&[]);
        assert!(none.of(&chat).is_none());
        drop((second, none));
        let chat = api("chat", Some(4));
        let third = registry.publish(std::slice::from_ref(&chat));
        let places = third.of(&chat).unwrap();
        assert_eq!((places.taken(), places.limit()), (3, 4));
        let _fourth = places.take().unwrap();
        assert!(places.take().is_none());
        drop(sessions);
        assert_eq!(places.taken(), 1);
    }

    #[test]
    fn forgets_what_has_neither_a_session_nor_a_snapshot() {
        let mut registry = ApiRegistry::default();
        let chat = api("chat", None);
        let view = registry.publish(std::slice::from_ref(&chat));
        let session = view.of(&chat).unwrap().take().unwrap();
        drop(registry.publish(&[]));
        drop(view);
        drop(registry.publish(&[]));
        assert_eq!(registry.known.len(), 1, "it has a session");
        drop(session);
        drop(registry.publish(&[]));
        assert!(registry.known.is_empty());
    }

    #[test]
    fn a_session_may_be_adopted_of_an_api_that_is_not_published() {
        let mut registry = ApiRegistry::default();
        let adopted = registry.places_of(&Name::parse("chat").expect("a name")).adopt();
        let chat = api("chat", Some(1));
        let view = registry.publish(std::slice::from_ref(&chat));
        assert!(view.of(&chat).unwrap().take().is_none());
        drop(adopted);
        assert!(view.of(&chat).unwrap().take().is_some());
    }
}
