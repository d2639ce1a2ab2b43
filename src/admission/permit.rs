//! The places that an opening or a session holds.

use super::places::{Holder, HolderKind, Place};
use super::source::SourcePlace;
use crate::policy::slot::Slot;

/// Proof of admission; dropping it gives all its places back. A session holds its until both descriptors are closed.
///
/// Five words, as every session has one: what most sessions do not have, a source's place and slots, is apart.
#[derive(Debug)]
#[must_use = "dropping a permit gives its places back"]
pub struct Permit {
    // They go back in this order: when the instance's place is free, the others are too.
    rare: Option<Box<RareHoldings>>,
    /// One for each kind of holder.
    held: [Option<Place>; HolderKind::ALL.len()],
    _instance: Place,
}

/// Places and slots that few sessions hold.
#[derive(Debug, Default)]
struct RareHoldings {
    source: Option<SourcePlace>,
    slots: Vec<Slot>,
}

impl From<Place> for Permit {
    /// A permit of the instance's place alone.
    fn from(instance: Place) -> Self {
        Self { rare: None, held: [const { None }; HolderKind::ALL.len()], _instance: instance }
    }
}

impl Permit {
    /// All that it holds beside the instance's place. Every field, so that one that is added is thought of where a permit moves.
    pub(super) fn holdings(&self) -> (impl Iterator<Item = &Place>, Option<&SourcePlace>, &[Slot]) {
        let Self { rare, held, _instance } = self;
        let (source, slots) = match rare.as_deref() {
            Some(RareHoldings { source, slots }) => (source.as_ref(), &slots[..]),
            None => (None, &[][..]),
        };
        (held.iter().flatten(), source, slots)
    }

    /// The same, and a place of a source network, if there is one.
    pub fn with_source(mut self, place: Option<SourcePlace>) -> Self {
        if place.is_some() || self.rare.is_some() {
            self.rare.get_or_insert_default().source = place;
        }
        self
    }

    /// Holds these slots too.
    pub fn hold(&mut self, slots: Vec<Slot>) {
        if !slots.is_empty() {
            self.rare.get_or_insert_default().slots.extend(slots);
        }
    }

    /// The same, and a place of an API, a product or a subscription. It takes the stead of one of the same kind.
    pub fn with_place(mut self, place: Place) -> Self {
        let kind = place.places().holder().map(|holder| holder.kind);
        debug_assert!(kind.is_some(), "a session has one place of the instance");
        if let Some(kind) = kind {
            self.held[kind as usize] = Some(place);
        }
        self
    }

    /// Whether a session with this permit is to end: its API, product or subscription is revoked, and its API says so.
    pub fn is_revoked(&self) -> bool {
        let api = self.held[HolderKind::Api as usize].as_ref();
        api.is_some_and(|api| api.places().ends_revoked())
            && self.held.iter().flatten().any(|place| place.places().is_revoked())
    }

    /// The API, the product and the subscription that it has places of, as far as it has them.
    pub fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.held.iter().flatten().filter_map(|place| place.places().holder())
    }
}

const _: () = assert!(size_of::<Permit>() == 5 * size_of::<usize>());

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::admission::permit_token::PermitToken;
    use crate::admission::places::Places;
    use crate::admission::source::{SourceLedger, SourceNetwork, SourcePrefixes};
    use crate::catalog::Name;

    #[derive(Debug, Default)]
    struct GivenBack(AtomicU32);

    impl SourceLedger for GivenBack {
        fn give_back(&self, _network: SourceNetwork) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn holder(kind: HolderKind) -> Holder {
        Holder { kind, name: Name::parse("chat").unwrap() }
    }

    fn network() -> SourceNetwork {
        SourcePrefixes { ipv4: 32, ipv6: 64 }.network_of(Ipv4Addr::LOCALHOST.into())
    }

    #[test]
    fn gives_back_all_that_it_holds_once() {
        let (instance, ledger) = (Places::new(1), Arc::new(GivenBack::default()));
        let [api, product, subscription] = HolderKind::ALL.map(|kind| Places::of(holder(kind), 1));
        let permit = instance
            .take()
            .unwrap()
            .with_source(Some(SourcePlace::new(ledger.clone(), network())))
            .with_place(api.take_place().unwrap())
            .with_place(product.take_place().unwrap())
            .with_place(subscription.take_place().unwrap());
        assert!(instance.take().is_none() && api.take().is_none());
        assert_eq!((product.taken(), subscription.taken()), (1, 1));
        assert_eq!(ledger.0.load(Ordering::Relaxed), 0);
        drop(permit);
        assert_eq!((instance.taken(), api.taken(), ledger.0.load(Ordering::Relaxed)), (0, 0, 1));
        assert_eq!((product.taken(), subscription.taken()), (0, 0));
    }

    #[test]
    fn a_session_is_revoked_with_anything_that_it_is_of_if_its_api_says_so() {
        let instance = Places::new(9);
        let all = HolderKind::ALL.map(|kind| Places::of(holder(kind), 9));
        let [api, product, subscription] = &all;
        let alone = instance.take().unwrap();
        let of_api = instance.take().unwrap().with_place(api.take_place().unwrap());
        let of_all = all
            .iter()
            .fold(instance.take().unwrap(), |permit, places| permit.with_place(places.take_place().unwrap()));
        let revoked = || [&alone, &of_api, &of_all].map(Permit::is_revoked);
        assert!(subscription.set_revoked(true) && !subscription.set_revoked(true));
        assert_eq!(revoked(), [false; 3], "the api keeps them");
        assert!(api.set_ends_revoked(true));
        assert_eq!(revoked(), [false, false, true]);
        subscription.set_revoked(false);
        assert_eq!(revoked(), [false; 3]);
        product.set_revoked(true);
        assert_eq!(revoked(), [false, false, true]);
        api.set_revoked(true);
        assert_eq!(revoked(), [false, true, true]);
    }

    #[test]
    fn a_token_says_what_to_adopt_and_adopting_never_refuses() {
        let (instance, ledger) = (Places::new(1), Arc::new(GivenBack::default()));
        let [api, product, subscription] = HolderKind::ALL.map(|kind| Places::of(holder(kind), 1));
        let permit = instance
            .take()
            .unwrap()
            .with_source(Some(SourcePlace::new(ledger.clone(), network())))
            .with_place(api.take_place().unwrap())
            .with_place(product.take_place().unwrap())
            .with_place(subscription.take_place().unwrap());
        let token = permit.token();
        let [api_name, product_name, subscription_name] = HolderKind::ALL.map(|kind| Some(holder(kind).name));
        let expected = PermitToken {
            api: api_name,
            product: product_name,
            subscription: subscription_name,
            source: Some(network()),
            slots: Vec::new(),
        };
        assert_eq!(
            (&token, token.holders().collect::<Vec<_>>()),
            (&expected, HolderKind::ALL.map(holder).to_vec())
        );
        assert_eq!((instance.taken(), api.taken()), (1, 1), "a token alone gives nothing back");
        drop(permit);
        assert_eq!((instance.taken(), api.taken(), ledger.0.load(Ordering::Relaxed)), (0, 0, 1));

        let _others = (instance.take().unwrap(), api.take().unwrap());
        let adopted = Permit::from(instance.adopt()).with_place(api.adopt());
        assert_eq!((instance.taken(), api.taken()), (2, 2));
        assert!(instance.take().is_none() && api.take().is_none());
        drop(adopted);
        assert_eq!((instance.taken(), api.taken()), (1, 1));
    }
}
