//! What an opening or a session holds of all that is bounded.

use super::places::Place;
use super::source::{SourceNetwork, SourcePlace};
use crate::catalog::Name;

/// Proof of admission; dropping it gives all its places back. A session holds its until both descriptors are closed.
///
/// Three words, as every session has one: a source's place is apart, because most instances do not count by source.
#[derive(Debug)]
#[must_use = "dropping a permit gives its places back"]
pub struct Permit {
    // They go back in this order: when the instance's place is free, the others are too.
    source: Option<Box<SourcePlace>>,
    api: Option<Place>,
    _instance: Place,
}

/// A permit as plain data, for a session that moves to another process: what it counts against besides the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermitToken {
    /// Its API.
    pub api: Option<Name>,
    /// The network that its client came from, if it was counted.
    pub source: Option<SourceNetwork>,
}

impl From<Place> for Permit {
    /// A permit of the instance's place alone.
    fn from(instance: Place) -> Self {
        Self { source: None, api: None, _instance: instance }
    }
}

impl Permit {
    /// The same, and a place of a source network, if there is one.
    pub fn with_source(self, place: Option<SourcePlace>) -> Self {
        Self { source: place.map(Box::new), ..self }
    }

    /// The same, and a place of an API.
    pub fn with_api(self, place: Place) -> Self {
        Self { api: Some(place), ..self }
    }

    /// Gives the places back here, to be adopted elsewhere.
    pub fn into_token(self) -> PermitToken {
        PermitToken {
            api: self.api.as_ref().and_then(|place| place.places().api().cloned()),
            source: self.source.as_ref().map(|place| place.network()),
        }
    }
}

const _: () = assert!(size_of::<Permit>() == 3 * size_of::<usize>());

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::admission::places::Places;
    use crate::admission::source::{SourceLedger, SourcePrefixes};

    #[derive(Debug, Default)]
    struct GivenBack(AtomicU32);

    impl SourceLedger for GivenBack {
        fn give_back(&self, _network: SourceNetwork) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn network() -> SourceNetwork {
        SourcePrefixes { ipv4: 32, ipv6: 64 }.network_of(Ipv4Addr::LOCALHOST.into())
    }

    #[test]
    fn gives_back_all_that_it_holds_once() {
        let (instance, ledger) = (Places::new(1), Arc::new(GivenBack::default()));
        let api = Places::of_api(Name::parse("chat").unwrap(), 1);
        let permit = instance
            .take()
            .unwrap()
            .with_source(Some(SourcePlace::new(ledger.clone(), network())))
            .with_api(api.take_place().unwrap());
        assert!(instance.take().is_none() && api.take().is_none());
        assert_eq!(ledger.0.load(Ordering::Relaxed), 0);
        drop(permit);
        assert_eq!((instance.taken(), api.taken(), ledger.0.load(Ordering::Relaxed)), (0, 0, 1));
    }

    #[test]
    fn a_token_says_what_to_adopt_and_adopting_never_refuses() {
        let (instance, ledger) = (Places::new(1), Arc::new(GivenBack::default()));
        let api = Places::of_api(Name::parse("chat").unwrap(), 1);
        let permit = instance
            .take()
            .unwrap()
            .with_source(Some(SourcePlace::new(ledger.clone(), network())))
            .with_api(api.take_place().unwrap());
        let token = permit.into_token();
        assert_eq!(token, PermitToken { api: Name::parse("chat").ok(), source: Some(network()) });
        assert_eq!((instance.taken(), api.taken(), ledger.0.load(Ordering::Relaxed)), (0, 0, 1));

        let _others = (instance.take().unwrap(), api.take().unwrap());
        let adopted = Permit::from(instance.adopt()).with_api(api.adopt());
        assert_eq!((instance.taken(), api.taken()), (2, 2));
        assert!(instance.take().is_none() && api.take().is_none());
        drop(adopted);
        assert_eq!((instance.taken(), api.taken()), (1, 1));
    }
}
