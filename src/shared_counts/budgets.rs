//! Takes the places of openings and sessions, and tells which limit has no room.
//!
//! Not here: counting them (`admission`, `sources`), and places of APIs, products and subscriptions, which come with a snapshot.

use super::policy_guards::PolicyGuards;
use super::shed::Shed;
use super::slots::SharedSlots;
use super::sources::{SourceIsFull, Sources};
use crate::admission::pending::{Lack, PendingPlaces};
use crate::admission::permit::Permit;
use crate::admission::permit_token::PermitToken;
use crate::admission::places::{HolderKind, Place, Places};
use crate::admission::registry::PublishedPlaces;
use crate::admission::source::{SourcePlace, SourcePrefixes};
use crate::catalog::Api;
use crate::catalog::network::Network;
use crate::config::InstanceLimits;
use crate::session::Cause;
use std::net::IpAddr;
use std::sync::Arc;

/// The part of the places to read a head that a source network may hold however few are free: where none is, others give way.
/// One place is always such a part.
///
/// Lowering it lets a network have more openings beside a flood from very many, and each of those make more others give way.
const SMALL_PART: u32 = 64;

/// All that openings and sessions of an instance are counted against, but what the catalogue has. Shared by its fronts.
#[derive(Clone, Debug)]
pub struct Budgets {
    sessions: Arc<Places>,
    sessions_by_source: Arc<Sources>,
    openings: Arc<Places>,
    /// Openings that read a head, by the network of their clients.
    readers_by_source: Arc<Sources>,
    pending: Arc<Places>,
    openings_by_source: Arc<Sources>,
    /// Whose clients are counted by no source.
    trusted: Arc<[Network]>,
    guards: Arc<PolicyGuards>,
}

/// The place of an opening that reads a head; dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub struct ReadingPlace {
    _instance: Place,
    /// `None`: the client's network is trusted.
    of_network: Option<SourcePlace>,
}

impl ReadingPlace {
    /// Whether a newcomer may be given it.
    pub fn may_be_given_away(&self) -> bool {
        self.of_network.is_some()
    }
}

/// The places of an opening from its accept on.
#[derive(Debug)]
#[must_use = "dropping it gives the places back"]
pub struct OpeningPlaces {
    /// Until its head is judged.
    pub reading: ReadingPlace,
    /// Until it is over, where openings are counted by source.
    pub of_source: Option<SourcePlace>,
}

impl Budgets {
    /// Budgets of `sessions` and `openings` in all, and of what `limits` says for one source.
    pub fn new(limits: &InstanceLimits, sessions: u32, openings: u32) -> Self {
        let prefix = |bits: u64| u8::try_from(bits).unwrap_or(u8::MAX);
        let prefixes = SourcePrefixes {
            ipv4: prefix(limits.source_prefix_ipv4),
            ipv6: prefix(limits.source_prefix_ipv6),
        };
        let by_source = |limit: Option<u64>| {
            Sources::new(limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)), prefixes)
        };
        let pending = limits.pending_openings_max.unwrap_or(u64::from(openings));
        let pending = u32::try_from(pending).unwrap_or(u32::MAX).min(sessions);
        Self {
            sessions: Places::new(sessions),
            sessions_by_source: by_source(limits.source_connections_max),
            openings: Places::new(openings),
            readers_by_source: by_source(None),
            // Each has the place of a session, too: more than those would be a share of nothing.
            pending: Places::new(pending),
            openings_by_source: by_source(limits.openings_per_source_max),
            trusted: limits.trusted_networks.as_slice().into(),
            guards: Arc::default(),
        }
    }

    /// Budgets of so many sessions and openings, and none by source.
    pub fn of(sessions: u32, openings: u32) -> Self {
        Self::new(&InstanceLimits::default(), sessions, openings)
    }

    /// The places of all sessions.
    pub fn sessions(&self) -> &Arc<Places> {
        &self.sessions
    }

    /// Networks of clients that hold a place of a session, as far as they are counted.
    pub fn source_networks(&self) -> usize {
        self.sessions_by_source.networks()
    }

    /// Returns the counters and slots of policies.
    pub fn guards(&self) -> &Arc<PolicyGuards> {
        &self.guards
    }

    /// The places of openings that read a head.
    pub fn openings(&self) -> &Arc<Places> {
        &self.openings
    }

    /// The places of openings that wait for a backend.
    pub fn pending(&self) -> &Arc<Places> {
        &self.pending
    }

    /// Openings in progress, of either kind. One that goes from the first to the second counts twice for a moment.
    pub fn openings_taken(&self) -> u32 {
        self.openings.taken() + self.pending.taken()
    }

    /// Slots under keys that policies make up.
    pub fn slots(&self) -> &SharedSlots {
        self.guards.slots()
    }

    /// Takes what an opening needs to read its head, that begins with a connection from `peer`.
    ///
    /// Beyond a small part of these places, a source network holds no more than stay free, so that some are left for the others
    /// however many it asks for. Where all are taken, one with less than that part gets a place that `make_room` finds.
    pub fn take_opening(
        &self,
        peer: IpAddr,
        make_room: impl FnOnce() -> Option<ReadingPlace>,
    ) -> Result<OpeningPlaces, Shed> {
        if self.is_trusted(peer) {
            let instance = self.openings.take_place().ok_or_else(|| self.openings_full())?;
            let reading = ReadingPlace { _instance: instance, of_network: None };
            return Ok(OpeningPlaces { reading, of_source: None });
        }
        let free = self.openings.take_place();
        let few = (self.openings.limit() / SMALL_PART).max(1);
        let most = if free.is_some() { few.max(self.openings.free().saturating_add(1)) } else { few };
        let of_network = self.readers_by_source.take_up_to(peer, most);
        let Some(of_network) = of_network else {
            return Err(if free.is_some() { self.reads_too_much() } else { self.openings_full() });
        };
        let of_source = self.openings_by_source.take(peer).map_err(|SourceIsFull { limit }| {
            Shed::of(
                Cause::SourceFull,
                format!(
                    "your network has as many openings in progress as it may (openings_per_source_max = {limit})"
                ),
            )
        })?;
        let instance = match free {
            Some(place) => place,
            None => make_room().ok_or_else(|| self.openings_full())?._instance,
        };
        Ok(OpeningPlaces {
            reading: ReadingPlace { _instance: instance, of_network: Some(of_network) },
            of_source,
        })
    }

    /// Returns the refusal of an opening for which there is no place to read its head.
    pub fn openings_full(&self) -> Shed {
        let limit = self.openings.limit();
        Shed::of(
            Cause::OpeningsFull,
            format!("this instance has as many openings in progress as it may (openings_max = {limit})"),
        )
    }

    fn reads_too_much(&self) -> Shed {
        let limit = self.openings.limit();
        Shed::of(
            Cause::SourceFull,
            format!(
                "your network has as many openings that wait for a request as its share allows (openings_max = {limit})"
            ),
        )
    }

    fn is_trusted(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(peer))
    }

    /// Takes what an opening of `api` needs to wait for its backend.
    pub fn take_pending(&self, published: &PublishedPlaces, api: &Api) -> Result<PendingPlaces, Shed> {
        published.take_pending(&self.pending, api).map_err(|lack| match lack {
            Lack::OfAll => {
                let limit = self.pending.limit();
                let message = format!(
                    "this instance has as many openings waiting for backends as it may (pending_openings_max = {limit})"
                );
                Shed::of(Cause::OpeningsFull, message)
            }
            Lack::OfShare => {
                let limit = published.pending_share(api).map_or(0, |share| share.limit());
                let message = format!(
                    "this API has used up its share of openings that wait for a backend (pending_openings_max = {limit})"
                );
                Shed::of(Cause::BackendBusy, message)
            }
        })
    }

    /// Takes what a session from `peer` needs of the instance, whatever API it will be of.
    pub fn take_session(&self, peer: IpAddr) -> Result<Permit, Shed> {
        let permit = self.sessions.take().ok_or_else(|| {
            let limit = self.sessions.limit();
            Shed::of(
                Cause::InstanceFull,
                format!("this instance holds as many connections as it may (connections_max = {limit})"),
            )
        })?;
        if self.is_trusted(peer) {
            return Ok(permit);
        }
        let place = self.sessions_by_source.take(peer).map_err(|SourceIsFull { limit }| {
            Shed::of(
                Cause::SourceFull,
                format!(
                    "your network holds as many connections as it may (source_connections_max = {limit})"
                ),
            )
        })?;
        Ok(permit.with_source(place))
    }

    /// Takes the places of a session that comes from another process, even beyond the limits; `places` are those of the
    /// token's holders.
    pub fn adopt<'p>(
        &self,
        token: &PermitToken,
        places: impl IntoIterator<Item = &'p Arc<Places>>,
    ) -> Permit {
        let source = token.source.and_then(|network| self.sessions_by_source.adopt(network));
        let mut permit = Permit::from(self.sessions.adopt()).with_source(source);
        permit.hold(token.slots.iter().map(|key| self.slots().adopt(*key)).collect());
        places.into_iter().fold(permit, |permit, places| permit.with_place(places.adopt()))
    }
}

/// Adds a place of each of these holders to what a session holds.
pub fn with_places<'p>(
    permit: Permit,
    places: impl IntoIterator<Item = &'p Arc<Places>>,
) -> Result<Permit, Shed> {
    places.into_iter().try_fold(permit, |permit, places| {
        let place = places.take_place().ok_or_else(|| no_place(places))?;
        Ok(permit.with_place(place))
    })
}

fn no_place(places: &Places) -> Shed {
    let kind = places.holder().map_or(HolderKind::Api, |holder| holder.kind);
    let (cause, what) = match kind {
        HolderKind::Api => (Cause::ApiFull, "this API"),
        HolderKind::Product => (Cause::ProductFull, "this product"),
        HolderKind::Subscription => (Cause::SubscriptionFull, "this subscription"),
    };
    let limit = places.limit();
    Shed::of(cause, format!("{what} holds as many connections as it may (connections_max = {limit})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::places::Holder;
    use crate::admission::registry::Registry;
    use crate::catalog::Name;
    use crate::policy::slot::Slots as _;
    use std::net::Ipv4Addr;

    fn places_of(kind: HolderKind, limit: u32) -> Arc<Places> {
        Places::of(Holder { kind, name: Name::parse("chat").unwrap() }, limit)
    }

    #[test]
    fn each_holder_refuses_in_its_own_name_and_nothing_is_kept_of_the_others() {
        let budgets = Budgets::of(9, 9);
        for (full, cause) in [
            (HolderKind::Api, Cause::ApiFull),
            (HolderKind::Product, Cause::ProductFull),
            (HolderKind::Subscription, Cause::SubscriptionFull),
        ] {
            let all = HolderKind::ALL.map(|kind| places_of(kind, u32::from(kind != full)));
            let shed = with_places(budgets.take_session(HERE).unwrap(), &all).unwrap_err();
            assert_eq!(shed.cause, cause);
            assert!(all.iter().all(|places| places.taken() == 0));
            assert_eq!(budgets.sessions().taken(), 0);
        }
    }

    fn limits(sessions: Option<u64>, openings: Option<u64>) -> InstanceLimits {
        InstanceLimits {
            source_connections_max: sessions,
            openings_per_source_max: openings,
            ..InstanceLimits::default()
        }
    }

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

    #[test]
    fn a_refusal_for_the_source_keeps_no_place_of_the_instance() {
        let budgets = Budgets::new(&limits(Some(1), Some(1)), 2, 2);
        let _session = budgets.take_session(HERE).unwrap();
        let take_opening = |peer| budgets.take_opening(peer, || None);
        let _opening = take_opening(HERE).unwrap();
        for shed in [budgets.take_session(HERE).unwrap_err(), take_opening(HERE).unwrap_err()] {
            assert_eq!(shed.cause, Cause::SourceFull);
        }
        assert_eq!((budgets.sessions().taken(), budgets.openings().taken()), (1, 1));
        let _others = (budgets.take_session(THERE).unwrap(), take_opening(THERE).unwrap());
        assert_eq!(budgets.take_session(THERE).unwrap_err().cause, Cause::InstanceFull);
        assert_eq!(take_opening(THERE).unwrap_err().cause, Cause::OpeningsFull);
    }

    #[test]
    fn what_is_adopted_counts_everywhere_and_is_given_back_everywhere() {
        let budgets = Budgets::new(&limits(Some(1), None), 2, 2);
        let api = places_of(HolderKind::Api, 1);
        let mut session = with_places(budgets.take_session(HERE).unwrap(), [&api]).unwrap();
        let take_slot = || budgets.slots().take_slot("ann", 1, &[]);
        session.hold(take_slot().unwrap().into_iter().collect());
        assert!(take_slot().is_err());
        assert_eq!(
            with_places(budgets.take_session(THERE).unwrap(), [&api]).unwrap_err().cause,
            Cause::ApiFull
        );
        let token = PermitToken::import(&session.token().export()).unwrap();
        drop(session);
        assert_eq!((budgets.sessions().taken(), api.taken(), budgets.slots().keys()), (0, 0, 0));
        assert_eq!(token.holders().next().as_ref(), api.holder());

        let adopted = [budgets.adopt(&token, [&api]), budgets.adopt(&token, [&api])];
        assert_eq!((budgets.sessions().taken(), api.taken()), (2, 2));
        assert!(take_slot().is_err());
        drop(adopted);
        assert_eq!((budgets.sessions().taken(), api.taken(), budgets.slots().keys()), (0, 0, 0));
        assert!(budgets.take_session(HERE).is_ok());
    }

    #[test]
    fn a_session_that_comes_from_another_process_has_all_its_places_in_this_one_beyond_every_limit() {
        let (here, there) =
            (Budgets::new(&limits(Some(1), None), 1, 1), Budgets::new(&limits(Some(1), None), 1, 1));
        let holders = HolderKind::ALL.map(|kind| places_of(kind, 1));
        let mut session = with_places(here.take_session(HERE).unwrap(), &holders).unwrap();
        session.hold(here.slots().take_slot("ann", 1, &[]).unwrap().into_iter().collect());
        let exported = session.token().export();

        // The other process is full, and its catalogue has nothing of what the session is of.
        let _full = there.take_session(HERE).unwrap();
        let mut registry = Registry::default();
        let token = PermitToken::import(&exported).unwrap();
        let places: Vec<_> = token.holders().map(|holder| registry.places_of(&holder)).collect();
        let adopted = there.adopt(&token, &places);
        assert_eq!((there.sessions().taken(), there.source_networks(), there.slots().keys()), (2, 1, 1));
        assert_eq!(HolderKind::ALL.map(|kind| registry.taken(kind)), [1; 3]);
        assert_eq!(adopted.token(), token, "it can move on");
        drop(adopted);
        assert_eq!((there.sessions().taken(), there.slots().keys()), (1, 0));
        assert_eq!(HolderKind::ALL.map(|kind| registry.taken(kind)), [0; 3]);

        // What it held in the process that it came from goes back there, and only then.
        assert_eq!((here.sessions().taken(), holders[0].taken(), here.slots().keys()), (1, 1, 1));
        drop(session);
        assert_eq!((here.sessions().taken(), holders[0].taken(), here.slots().keys()), (0, 0, 0));
    }

    /// As many openings of clients at these addresses as get in, each address as often as it can.
    fn fill(budgets: &Budgets, peers: impl IntoIterator<Item = IpAddr>) -> Vec<Vec<OpeningPlaces>> {
        let all_of = |peer| std::iter::from_fn(|| budgets.take_opening(peer, || None).ok()).collect();
        peers.into_iter().map(all_of).collect()
    }

    fn client(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    fn counts(held: &[Vec<OpeningPlaces>]) -> Vec<usize> {
        held.iter().map(Vec::len).collect()
    }

    #[test]
    fn a_source_network_holds_no_more_places_of_readers_than_stay_free() {
        let budgets = Budgets::of(100, 64);
        let mut held = fill(&budgets, [client(1), client(2), client(3), client(1)]);
        assert_eq!(counts(&held), [32, 16, 8, 0]);
        assert_eq!(budgets.openings().free(), 8);
        let shed = budgets.take_opening(client(1), || panic!("there are places")).unwrap_err();
        assert_eq!(shed.cause, Cause::SourceFull);
        // What leaves gives the others more.
        drop(held.remove(0));
        assert_eq!(counts(&fill(&budgets, [client(4)])), [20]);
        // And everyone behind one address gets in where nobody else asks.
        let budgets = Budgets::of(100, 64);
        for _ in 0..1_000 {
            drop(budgets.take_opening(client(1), || None).unwrap());
        }
        assert_eq!(budgets.readers_by_source.networks(), 0, "nothing is kept of who has left");
    }

    #[test]
    fn the_only_place_goes_to_whoever_comes_first() {
        let budgets = Budgets::of(100, 1);
        let held = fill(&budgets, [client(1)]);
        assert_eq!(counts(&held), [1]);
        assert_eq!(budgets.take_opening(client(1), || None).unwrap_err().cause, Cause::OpeningsFull);
        assert_eq!(budgets.take_opening(client(2), || None).unwrap_err().cause, Cause::OpeningsFull);
    }

    #[test]
    fn clients_of_one_ipv6_network_have_one_share() {
        let budgets = Budgets::of(100, 16);
        let peers = (1..100).map(|host: u16| format!("2001:db8::{host:x}").parse().unwrap());
        let held = fill(&budgets, peers);
        assert_eq!(counts(&held).iter().sum::<usize>(), 8);
        assert!(budgets.take_opening("2001:db8:0:1::1".parse().unwrap(), || None).is_ok());
    }

    #[test]
    fn where_all_places_are_taken_a_network_without_one_gets_one_that_is_given_away() {
        let budgets = Budgets::of(100, 4);
        let mut held: Vec<_> =
            (0..4).map(|number| budgets.take_opening(client(number), || None).unwrap()).collect();
        assert_eq!(budgets.openings().free(), 0);
        // One that holds a place makes nobody give way.
        let shed = budgets.take_opening(client(1), || panic!("it has a place")).unwrap_err();
        assert_eq!(shed.cause, Cause::OpeningsFull);
        assert_eq!(budgets.take_opening(client(9), || None).unwrap_err().cause, Cause::OpeningsFull);
        let oldest = held.remove(0).reading;
        held.push(budgets.take_opening(client(9), || Some(oldest)).unwrap());
        assert_eq!((budgets.openings().taken(), budgets.readers_by_source.networks()), (4, 4));
        // The one that gave way has none, and is a newcomer again.
        let oldest = held.remove(0).reading;
        held.push(budgets.take_opening(client(0), || Some(oldest)).unwrap());
        drop(held);
        assert_eq!((budgets.openings().taken(), budgets.readers_by_source.networks()), (0, 0));
    }

    #[test]
    fn a_network_gets_a_small_part_of_the_places_however_few_are_free() {
        let budgets = Budgets::of(1_000, 256);
        let take = |number| budgets.take_opening(client(number), || panic!("some are free")).unwrap();
        let mut held: Vec<_> = (0..253).map(take).collect();
        held.extend((0..3).map(|_| take(8)));
        assert_eq!(budgets.openings().free(), 0);
        for has in 1..4 {
            let oldest = held.remove(100).reading;
            let taken = budgets.take_opening(client(7), || Some(oldest));
            held.push(taken.unwrap_or_else(|_| panic!("it has {has} of 256")));
        }
        for number in [7, 8] {
            let taken = budgets.take_opening(client(number), || panic!("it has a 64th"));
            assert_eq!(taken.unwrap_err().cause, Cause::OpeningsFull);
        }
    }

    #[test]
    fn no_limit_by_source_holds_for_a_trusted_network() {
        let trusted = ["10.0.0.0/24", "2001:db8::/32"].map(|text| Network::parse(text).unwrap()).to_vec();
        let limits = InstanceLimits { trusted_networks: trusted, ..limits(Some(1), Some(1)) };
        let budgets = Budgets::new(&limits, 8, 8);
        let peers = [client(1), "::ffff:10.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        for peer in peers {
            let held = fill(&budgets, [peer]);
            assert_eq!(counts(&held), [8], "{peer}");
            let shed = budgets.take_opening(peer, || panic!("a balancer makes nobody give way")).unwrap_err();
            assert_eq!(shed.cause, Cause::OpeningsFull);
            assert!(!held[0][0].reading.may_be_given_away());
            let sessions: Vec<_> = (0..8).map(|_| budgets.take_session(peer).unwrap()).collect();
            assert_eq!(sessions.len(), 8);
        }
        let other = client(0x100);
        let _held = (budgets.take_session(other).unwrap(), budgets.take_opening(other, || None).unwrap());
        assert_eq!(budgets.take_session(other).unwrap_err().cause, Cause::SourceFull);
        assert_eq!(budgets.take_opening(other, || None).unwrap_err().cause, Cause::SourceFull);
    }

    #[test]
    fn as_many_openings_wait_as_read_a_head_unless_the_file_says_otherwise_and_no_more_than_sessions() {
        for (asked, sessions, openings, pending) in
            [(None, 9, 4, 4), (None, 3, 4, 3), (Some(2), 9, 4, 2), (Some(6), 9, 4, 6), (Some(99), 9, 4, 9)]
        {
            let limits = InstanceLimits { pending_openings_max: asked, ..InstanceLimits::default() };
            let budgets = Budgets::new(&limits, sessions, openings);
            assert_eq!(
                (budgets.openings().limit(), budgets.pending().limit()),
                (openings, pending),
                "{asked:?}"
            );
        }
    }
}
