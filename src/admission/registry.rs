//! Places of APIs, products and subscriptions, which live beyond snapshots.
//!
//! Sessions outlast the catalogue that admitted them, so an entity's places are found again at each publish by its name,
//! and only their limit changes. The control thread owns the registry; the fronts get a view of it with each snapshot.

use core::borrow::Borrow;
use core::cmp::Reverse;
use core::hash::{Hash, Hasher};
use std::collections::HashSet;
use std::sync::Arc;

use super::pending::{Lack, PendingPlaces, Shares};
use super::places::{Holder, HolderKind, Places};
use crate::catalog::access::Access;
use crate::catalog::api::OnRevoke;
use crate::catalog::subscription::SubscriptionState;
use crate::catalog::timestamp::Timestamp;
use crate::catalog::{Api, Name};
use crate::compiled::Snapshot;

/// The places of everything that is published or still has sessions.
#[derive(Debug, Default)]
pub struct Registry {
    /// How many openings of the instance may wait for backends.
    pending_openings_max: u32,
    known: [ByName; HolderKind::ALL.len()],
    /// When active subscriptions are over, as far as they ever are and that has not come, the first one last.
    ends: Vec<(Timestamp, Arc<Places>)>,
    /// Sessions that may have to end for what was revoked, since that was asked for last.
    revoked: Option<u64>,
}

/// The places of what one snapshot has, by kind and name.
#[derive(Debug, Default)]
pub struct PublishedPlaces {
    by_name: [ByName; HolderKind::ALL.len()],
    /// The APIs' shares of the openings that wait for a backend.
    shares: Shares,
}

/// Places by the name of their holder, which they know themselves.
type ByName = HashSet<Named>;

/// Places that are found by the name of their holder.
#[derive(Clone, Debug)]
struct Named(Arc<Places>);

impl Borrow<str> for Named {
    fn borrow(&self) -> &str {
        self.0.holder().map_or("", |holder| holder.name.as_str())
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        Borrow::<str>::borrow(self) == Borrow::<str>::borrow(other)
    }
}

impl Eq for Named {}

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Borrow::<str>::borrow(self).hash(state);
    }
}

impl Registry {
    /// The registry of an instance of which so many openings may wait for backends.
    pub fn new(pending_openings_max: u32) -> Self {
        Self { pending_openings_max, ..Self::default() }
    }

    /// The places of all that `snapshot` has, with the limits that they have from here on. What has no limit is counted all
    /// the same: the next publish may give it one.
    ///
    /// An entity that was known and is not in the snapshot is revoked, as is a subscription that is not active, or has ended by
    /// `now`.
    pub fn publish(&mut self, snapshot: &Snapshot, now: Timestamp) -> PublishedPlaces {
        let mut published = PublishedPlaces::default();
        self.ends.clear();
        let entities = snapshot.entities();
        published.by_name[HolderKind::Subscription as usize].reserve(entities.subscriptions.len());
        published.by_name[HolderKind::Api as usize].reserve(snapshot.served().len());
        for api in snapshot.served() {
            let places = self.publish_one(HolderKind::Api, &api.name, api.connections_max, &mut published);
            if places.set_ends_revoked(api.on_revoke == OnRevoke::Close) && places.ends_revoked() {
                // Of those that it had kept until now.
                self.note_revoked(&places);
            }
            places.set_revoked(false);
            published.shares.add(self.set_pending_share(&places, api.pending_openings_max));
        }
        for product in entities.products.values() {
            let limit = product.connections_max;
            let places = self.publish_one(HolderKind::Product, &product.name, limit, &mut published);
            places.set_revoked(false);
        }
        for subscription in &entities.subscriptions {
            let limit = subscription.connections_max;
            let places =
                self.publish_one(HolderKind::Subscription, &subscription.name, limit, &mut published);
            let is_active = subscription.state == SubscriptionState::Active;
            let end = subscription.ends_at();
            self.set_revoked(&places, !is_active || end.is_some_and(|end| end <= now));
            if let Some(end) = end.filter(|end| is_active && *end > now) {
                self.ends.push((end, places));
            }
        }
        self.ends.sort_unstable_by_key(|(end, _)| Reverse(*end));
        for kind in HolderKind::ALL {
            if self.known[kind as usize].len() == published.by_name[kind as usize].len() {
                continue;
            }
            let gone = self.known[kind as usize].difference(&published.by_name[kind as usize]);
            for Named(places) in gone.cloned().collect::<Vec<_>>() {
                self.set_revoked(&places, true);
            }
        }
        // What nobody else holds has no session, and no front can take a place of it.
        for known in &mut self.known {
            known.retain(|Named(places)| Arc::strong_count(places) > 1);
        }
        published
    }

    fn publish_one(
        &mut self,
        kind: HolderKind,
        name: &Name,
        limit: Option<u64>,
        published: &mut PublishedPlaces,
    ) -> Arc<Places> {
        let limit = limit.map_or(Places::NO_LIMIT, |limit| u32::try_from(limit).unwrap_or(Places::NO_LIMIT));
        let places = match self.known[kind as usize].get(name.as_str()) {
            Some(Named(places)) => Arc::clone(places),
            None => self.places_of(&Holder { kind, name: name.clone() }),
        };
        if places.limit() != limit {
            places.set_limit(limit);
        }
        published.by_name[kind as usize].insert(Named(Arc::clone(&places)));
        places
    }

    /// Sets an API's share of the openings that may wait for a backend, and gives it. A file may ask for more than there are.
    fn set_pending_share(&self, places: &Places, asked: Option<u64>) -> u32 {
        let all = self.pending_openings_max;
        let share = match asked {
            Some(share) => u32::try_from(share).unwrap_or(all).min(all),
            None => Shares::default_of(all),
        };
        if let Some(places) = places.pending_share().filter(|places| places.limit() != share) {
            places.set_limit(share);
        }
        share
    }

    /// Revokes subscriptions whose end has come by `now`, `most` of them. Gives whether there may be more.
    pub fn revoke_ended(&mut self, now: Timestamp, most: usize) -> bool {
        for _ in 0..most {
            let Some((_, places)) = self.ends.pop_if(|(end, _)| *end <= now) else { return false };
            self.set_revoked(&places, true);
        }
        true
    }

    /// Whether anything was revoked that has sessions since this was asked last: then how many there are at most that have
    /// to end. Whether they do is up to their APIs.
    pub fn take_revoked(&mut self) -> Option<u64> {
        self.revoked.take()
    }

    fn set_revoked(&mut self, places: &Places, is_revoked: bool) {
        if places.set_revoked(is_revoked) && is_revoked {
            self.note_revoked(places);
        }
    }

    fn note_revoked(&mut self, places: &Places) {
        // One whose opening is in progress is looked at when it comes to a relay.
        let taken = u64::from(places.taken());
        if taken > 0 {
            self.revoked = Some(self.revoked.unwrap_or(0) + taken);
        }
    }

    /// Places that are taken, over all that have some of one kind.
    pub fn taken(&self, kind: HolderKind) -> u64 {
        self.known[kind as usize].iter().map(|Named(places)| u64::from(places.taken())).sum()
    }

    /// The places of what may not be published: a session that is adopted may be of an API that is gone.
    #[expect(clippy::mutable_key_type, reason = "hash and order are of the holder's name, which stays")]
    pub fn places_of(&mut self, holder: &Holder) -> Arc<Places> {
        let known = &mut self.known[holder.kind as usize];
        if let Some(Named(places)) = known.get(holder.name.as_str()) {
            return Arc::clone(places);
        }
        let places = Places::of(holder.clone(), Places::NO_LIMIT);
        known.insert(Named(Arc::clone(&places)));
        places
    }
}

impl PublishedPlaces {
    /// The places that a session of `api` counts against in the context of `access`, the largest holder last.
    pub fn of_session<'p>(
        &'p self,
        api: &'p Api,
        access: &Access<'p>,
    ) -> impl Iterator<Item = &'p Arc<Places>> + use<'p> {
        let subscription = access.subscription.map(|subscription| &subscription.name);
        let product = access.product.map(|product| &product.name);
        [
            (HolderKind::Subscription, subscription),
            (HolderKind::Product, product),
            (HolderKind::Api, Some(&api.name)),
        ]
        .into_iter()
        .filter_map(|(kind, name)| self.of(kind, name?))
    }

    /// Takes what an opening of `api` needs, of `all` places, to wait for its backend. An API whose file says how many may, gets
    /// no more; any other may borrow what the rest leave free.
    ///
    /// # Errors
    /// The limit that has no room left.
    pub fn take_pending(&self, all: &Arc<Places>, api: &Api) -> Result<PendingPlaces, Lack> {
        let share = self.pending_share(api);
        let may_borrow = api.pending_openings_max.is_none();
        let reserve =
            share.filter(|_| may_borrow).map(|share| self.shares.reserve(all.limit(), share.limit()));
        PendingPlaces::take(all, share, reserve)
    }

    /// The share of `api` of the openings that may wait for a backend.
    pub fn pending_share(&self, api: &Api) -> Option<&Arc<Places>> {
        self.of(HolderKind::Api, &api.name)?.pending_share()
    }

    /// The places of one of the snapshot's entities.
    pub fn of(&self, kind: HolderKind, name: &Name) -> Option<&Arc<Places>> {
        self.by_name[kind as usize].get(name.as_str()).map(|Named(places)| places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::CatalogFiles;
    use crate::compiled::compile;

    /// A snapshot with these APIs, products and subscriptions, each with its limit.
    fn snapshot(entities: &[(HolderKind, &str, Option<u64>)]) -> Snapshot {
        let mut files = CatalogFiles::default();
        for (kind, name, limit) in entities {
            let limit = limit.map(|limit| format!("connections_max = {limit}\n")).unwrap_or_default();
            let (folder, lines) = match kind {
                HolderKind::Api => ("apis", format!("url = \"ws://h\"\nsuffix = \"{name}\"")),
                HolderKind::Product => ("products", String::new()),
                HolderKind::Subscription => ("subscriptions", "scope = \"/apis\"".to_owned()),
            };
            files.insert(&format!("{folder}/{name}.toml"), format!("display_name = \"X\"\n{limit}{lines}\n"));
        }
        compile(&files, None).expect("a catalogue")
    }

    fn start() -> Timestamp {
        Timestamp::from_unix(0)
    }

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    #[test]
    fn sessions_count_through_every_publish() {
        for kind in HolderKind::ALL {
            let mut registry = Registry::default();
            let chat = name("chat");
            let first = registry.publish(&snapshot(&[(kind, "chat", None)]), start());
            let sessions: Vec<_> = (0..3).map(|_| first.of(kind, &chat).unwrap().take().unwrap()).collect();
            drop(first);

            let second =
                registry.publish(&snapshot(&[(kind, "chat", Some(2)), (kind, "echo", Some(1))]), start());
            let places = second.of(kind, &chat).unwrap();
            assert_eq!((places.taken(), places.limit()), (3, 2));
            assert!(places.take().is_none());
            assert_eq!(registry.taken(kind), 3);

            // It is taken out of the catalogue, and comes back while a session lives.
            let none = registry.publish(&snapshot(&[]), start());
            assert!(none.of(kind, &chat).is_none());
            drop((second, none));
            let third = registry.publish(&snapshot(&[(kind, "chat", Some(4))]), start());
            let places = third.of(kind, &chat).unwrap();
            assert_eq!((places.taken(), places.limit()), (3, 4));
            let _fourth = places.take().unwrap();
            assert!(places.take().is_none());
            drop(sessions);
            assert_eq!(places.taken(), 1);
        }
    }

    #[test]
    fn what_is_gone_is_revoked_until_it_is_back() {
        for kind in HolderKind::ALL {
            let mut registry = Registry::default();
            let view = registry.publish(&snapshot(&[(kind, "chat", None), (kind, "echo", None)]), start());
            let places = view.of(kind, &name("chat")).unwrap();
            let _sessions = [places.take().unwrap(), places.take().unwrap()];
            assert_eq!((places.is_revoked(), registry.take_revoked()), (false, None));
            drop(registry.publish(&snapshot(&[]), start()));
            assert_eq!((places.is_revoked(), registry.take_revoked()), (true, Some(2)), "{kind:?}");
            drop(registry.publish(&snapshot(&[]), start()));
            assert_eq!(registry.take_revoked(), None, "it is told once");
            drop(registry.publish(&snapshot(&[(kind, "chat", None)]), start()));
            assert_eq!((places.is_revoked(), registry.take_revoked()), (false, None));
        }
    }

    #[test]
    fn many_subscriptions_whose_end_comes_at_once_are_revoked_a_few_at_a_time() {
        let mut files = CatalogFiles::default();
        let names = ["a", "b", "c", "d", "e"];
        for name in names {
            let text = "display_name = \"A\"\nscope = \"/apis\"\nend_date = 1970-01-01T00:01:40Z\n";
            files.insert(&format!("subscriptions/{name}.toml"), text);
        }
        let mut registry = Registry::default();
        let view = registry.publish(&compile(&files, None).expect("a catalogue"), start());
        let revoked = || {
            let places = names.map(|of| view.of(HolderKind::Subscription, &name(of)).expect("places"));
            places.into_iter().filter(|places| places.is_revoked()).count()
        };
        let at = Timestamp::from_unix(100);
        for (is_more, count) in [(true, 2), (true, 4), (false, 5), (false, 5)] {
            assert_eq!((registry.revoke_ended(at, 2), revoked()), (is_more, count));
        }
    }

    #[test]
    fn a_subscription_is_revoked_when_it_is_stopped_and_when_its_end_comes() {
        let at = Timestamp::from_unix;
        let with = |lines: &str| {
            let mut files = CatalogFiles::default();
            files.insert(
                "subscriptions/acme.toml",
                format!("display_name = \"A\"\nscope = \"/apis\"\n{lines}"),
            );
            compile(&files, None).expect("a catalogue")
        };
        let mut registry = Registry::default();
        let view = registry.publish(&with("end_date = 1970-01-01T00:01:40Z"), start());
        let places = view.of(HolderKind::Subscription, &name("acme")).unwrap();
        let _session = places.take().unwrap();
        assert!(!registry.revoke_ended(at(99), 10));
        assert_eq!((places.is_revoked(), registry.take_revoked()), (false, None));
        assert!(!registry.revoke_ended(at(100), 10));
        assert_eq!((places.is_revoked(), registry.take_revoked()), (true, Some(1)));

        // A publish of the same changes nothing, and one that puts the end off takes it back.
        drop(registry.publish(&with("end_date = 1970-01-01T00:01:40Z"), at(101)));
        assert!(!registry.revoke_ended(at(101), 10));
        assert_eq!((places.is_revoked(), registry.take_revoked()), (true, None));
        drop(registry.publish(&with("end_date = 1970-01-01T00:05:00Z"), at(101)));
        assert!(!places.is_revoked());
        assert!(!registry.revoke_ended(at(299), 10));
        assert!(!places.is_revoked());
        assert!(!registry.revoke_ended(at(400), 10));
        assert_eq!((places.is_revoked(), registry.take_revoked()), (true, Some(1)));
        drop(registry.publish(&with("end_date = 1970-01-01T00:10:00Z"), at(400)));

        drop(registry.publish(&with("state = \"suspended\""), start()));
        assert_eq!((places.is_revoked(), registry.take_revoked()), (true, Some(1)));
        // One that has not begun has let nobody in, and is not over.
        drop(registry.publish(&with("start_date = 1980-01-01T00:00:00Z"), at(101)));
        assert!(!registry.revoke_ended(at(101), 10));
        assert!(!places.is_revoked());
    }

    #[test]
    fn what_has_the_same_name_and_is_of_another_kind_counts_apart() {
        let mut registry = Registry::default();
        let view = registry.publish(&snapshot(&HolderKind::ALL.map(|kind| (kind, "chat", Some(1)))), start());
        let _sessions = HolderKind::ALL.map(|kind| view.of(kind, &name("chat")).unwrap().take().unwrap());
        assert_eq!(HolderKind::ALL.map(|kind| registry.taken(kind)), [1, 1, 1]);
    }

    #[test]
    fn forgets_what_has_neither_a_session_nor_a_snapshot() {
        let mut registry = Registry::default();
        let view = registry.publish(&snapshot(&[(HolderKind::Api, "chat", None)]), start());
        let session = view.of(HolderKind::Api, &name("chat")).unwrap().take().unwrap();
        drop(registry.publish(&snapshot(&[]), start()));
        drop(view);
        drop(registry.publish(&snapshot(&[]), start()));
        assert_eq!(registry.known[HolderKind::Api as usize].len(), 1, "it has a session");
        drop(session);
        drop(registry.publish(&snapshot(&[]), start()));
        assert!(registry.known.iter().all(HashSet::is_empty));
    }

    #[test]
    fn a_session_may_be_adopted_of_what_is_not_published() {
        let mut registry = Registry::default();
        let kind = HolderKind::Api;
        let adopted = registry.places_of(&Holder { kind, name: name("chat") }).adopt();
        let view = registry.publish(&snapshot(&[(kind, "chat", Some(1))]), start());
        assert!(view.of(kind, &name("chat")).unwrap().take().is_none());
        drop(adopted);
        assert!(view.of(kind, &name("chat")).unwrap().take().is_some());
    }

    #[test]
    fn openings_that_wait_count_in_their_apis_share_through_every_publish() {
        let with = |apis: &[(&str, &str)]| {
            let mut files = CatalogFiles::default();
            for (name, lines) in apis {
                let text = format!("display_name = \"X\"\nurl = \"ws://h\"\nsuffix = \"{name}\"\n{lines}");
                files.insert(&format!("apis/{name}.toml"), text);
            }
            compile(&files, None).expect("a catalogue")
        };
        let all = Places::new(16);
        let mut registry = Registry::new(16);
        let take =
            |snapshot: &Snapshot, view: &PublishedPlaces| view.take_pending(&all, &snapshot.served()[0]);

        let two = with(&[("chat", ""), ("echo", "")]);
        let view = registry.publish(&two, start());
        let session = view.of(HolderKind::Api, &name("chat")).unwrap().take();
        // Its quarter, and what the other's share does not need.
        let mut held: Vec<_> = std::iter::from_fn(|| take(&two, &view).ok()).collect();
        assert_eq!((held.len(), take(&two, &view).unwrap_err()), (12, Lack::OfShare));

        let fewer = with(&[("chat", "pending_openings_max = 3"), ("echo", "")]);
        let view = registry.publish(&fewer, start());
        let share = view.pending_share(&fewer.served()[0]).unwrap();
        assert_eq!((share.taken(), share.limit()), (12, 3));
        held.truncate(3);
        assert_eq!(take(&fewer, &view).unwrap_err(), Lack::OfShare);
        held.truncate(2);
        held.push(take(&fewer, &view).unwrap());

        // It is taken out of the catalogue, and comes back alone.
        drop(registry.publish(&with(&[]), start()));
        let alone = with(&[("chat", "")]);
        let view = registry.publish(&alone, start());
        held.extend(std::iter::from_fn(|| take(&alone, &view).ok()));
        assert_eq!((held.len(), take(&alone, &view).unwrap_err()), (16, Lack::OfShare));

        let more = with(&[("chat", "pending_openings_max = 1000000")]);
        let view = registry.publish(&more, start());
        assert_eq!(view.pending_share(&more.served()[0]).unwrap().limit(), 16, "no more than there are");
        drop((held, session));
        assert_eq!(all.taken(), 0);
    }
}
