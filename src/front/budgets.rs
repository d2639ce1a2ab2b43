//! Takes the places of openings and sessions, and says which limit stands in the way.
//!
//! Not here: counting them (`admission`, `sources`), and places of APIs, products and subscriptions, which come with a snapshot.

use super::policy_guards::PolicyGuards;
use super::refusal::Refusal;
use super::slots::SharedSlots;
use super::sources::{SourceIsFull, Sources};
use crate::admission::permit::{Permit, PermitToken};
use crate::admission::places::{HolderKind, Places};
use crate::admission::source::SourcePrefixes;
use crate::catalog::InstanceLimits;
use crate::session::Cause;
use std::net::IpAddr;
use std::sync::Arc;

/// All that openings and sessions of an instance are counted against, but what the catalogue has. Shared by its fronts.
#[derive(Clone, Debug)]
pub struct Budgets {
    sessions: Arc<Places>,
    sessions_by_source: Arc<Sources>,
    openings: Arc<Places>,
    openings_by_source: Arc<Sources>,
    guards: Arc<PolicyGuards>,
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
        Self {
            sessions: Places::new(sessions),
            sessions_by_source: by_source(limits.source_connections_max),
            openings: Places::new(openings),
            openings_by_source: by_source(limits.openings_per_source_max),
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

    /// What policies count with.
    pub(super) fn guards(&self) -> &Arc<PolicyGuards> {
        &self.guards
    }

    /// The places of all openings in progress.
    pub fn openings(&self) -> &Arc<Places> {
        &self.openings
    }

    /// Slots under keys that policies make up.
    pub fn slots(&self) -> &SharedSlots {
        self.guards.slots()
    }

    /// Takes what an opening needs that begins with a connection from `peer`.
    pub(super) fn take_opening(&self, peer: IpAddr) -> Result<Permit, Refusal> {
        let permit = self.openings.take().ok_or_else(|| {
            let limit = self.openings.limit();
            Refusal::of(
                Cause::OpeningsFull,
                format!("this instance has as many openings in progress as it may (openings_max = {limit})"),
            )
        })?;
        let place = self.openings_by_source.take(peer).map_err(|SourceIsFull { limit }| {
            Refusal::of(
                Cause::SourceFull,
                format!(
                    "your network has as many openings in progress as it may (openings_per_source_max = {limit})"
                ),
            )
        })?;
        Ok(permit.with_source(place))
    }

    /// Takes what a session from `peer` needs of the instance, whatever API it will be of.
    pub(super) fn take_session(&self, peer: IpAddr) -> Result<Permit, Refusal> {
        let permit = self.sessions.take().ok_or_else(|| {
            let limit = self.sessions.limit();
            Refusal::of(
                Cause::InstanceFull,
                format!("this instance holds as many connections as it may (connections_max = {limit})"),
            )
        })?;
        let place = self.sessions_by_source.take(peer).map_err(|SourceIsFull { limit }| {
            Refusal::of(
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
pub(super) fn with_places<'p>(
    permit: Permit,
    places: impl IntoIterator<Item = &'p Arc<Places>>,
) -> Result<Permit, Refusal> {
    places.into_iter().try_fold(permit, |permit, places| {
        let place = places.take_place().ok_or_else(|| no_place(places))?;
        Ok(permit.with_place(place))
    })
}

fn no_place(places: &Places) -> Refusal {
    let kind = places.holder().map_or(HolderKind::Api, |holder| holder.kind);
    let (cause, what) = match kind {
        HolderKind::Api => (Cause::ApiFull, "this API"),
        HolderKind::Product => (Cause::ProductFull, "this product"),
        HolderKind::Subscription => (Cause::SubscriptionFull, "this subscription"),
    };
    let limit = places.limit();
    Refusal::of(cause, format!("{what} holds as many connections as it may (connections_max = {limit})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::places::Holder;
    use crate::admission::slot::Slots as _;
    use crate::catalog::Name;
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
            let refusal = with_places(budgets.take_session(HERE).unwrap(), &all).unwrap_err();
            assert_eq!((refusal.cause, refusal.status), (cause, 503));
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
        let _opening = budgets.take_opening(HERE).unwrap();
        for refusal in [budgets.take_session(HERE).unwrap_err(), budgets.take_opening(HERE).unwrap_err()] {
            assert_eq!((refusal.cause, refusal.status), (Cause::SourceFull, 429));
        }
        assert_eq!((budgets.sessions().taken(), budgets.openings().taken()), (1, 1));
        let _others = (budgets.take_session(THERE).unwrap(), budgets.take_opening(THERE).unwrap());
        assert_eq!(budgets.take_session(THERE).unwrap_err().cause, Cause::InstanceFull);
        assert_eq!(budgets.take_opening(THERE).unwrap_err().cause, Cause::OpeningsFull);
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
        let token = session.into_token();
        assert_eq!((budgets.sessions().taken(), api.taken(), budgets.slots().keys()), (0, 0, 0));
        assert_eq!(token.holders.first(), api.holder());

        let adopted = [budgets.adopt(&token, [&api]), budgets.adopt(&token, [&api])];
        assert_eq!((budgets.sessions().taken(), api.taken()), (2, 2));
        assert!(take_slot().is_err());
        drop(adopted);
        assert_eq!((budgets.sessions().taken(), api.taken(), budgets.slots().keys()), (0, 0, 0));
        assert!(budgets.take_session(HERE).is_ok());
    }
}
