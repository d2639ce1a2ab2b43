//! Places by source network.
//!
//! Not here: how they are counted (`places`), what is one network (`admission::source`), and when a place is taken (`budgets`).

use std::net::IpAddr;
use std::sync::Arc;

use super::keyed_places::KeyedPlaces;
use crate::admission::source::{SourceLedger, SourceNetwork, SourcePlace, SourcePrefixes};

/// Parts that places by source network are kept in, each under its own lock, so that handshakes seldom meet.
const SOURCE_SHARDS: usize = 64;

/// The places of all source networks.
#[derive(Debug)]
pub struct Sources {
    /// Without one, nothing is counted.
    limit: Option<u32>,
    prefixes: SourcePrefixes,
    places: KeyedPlaces<SourceNetwork>,
}

/// All places of a network are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceIsFull {
    /// How many it may take.
    pub limit: u32,
}

impl Sources {
    /// `limit` places for each network, all free.
    pub fn new(limit: Option<u32>, prefixes: SourcePrefixes) -> Arc<Self> {
        Arc::new(Self { limit, prefixes, places: KeyedPlaces::new(SOURCE_SHARDS) })
    }

    /// Takes a place for a client at `address`; `None` if places are not counted. Never one more than the limit, whoever
    /// asks at the same time.
    ///
    /// # Errors
    /// Its network has all its places taken.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Result<Option<SourcePlace>, SourceIsFull> {
        let Some(limit) = self.limit else { return Ok(None) };
        self.take_up_to(address, limit).map(Some).ok_or(SourceIsFull { limit })
    }

    /// Takes a place for a client at `address` if its network has fewer than `limit`, whatever all networks may have.
    pub(crate) fn take_up_to(self: &Arc<Self>, address: IpAddr, limit: u32) -> Option<SourcePlace> {
        let network = self.prefixes.network_of(address);
        self.places.take(network, limit).then(|| self.place(network))
    }

    /// Takes a place for a session that comes from another process, even beyond the limit; `None` if places are not counted.
    ///
    /// That process may have told networks apart by longer prefixes: here it counts in the network that it is in here. With shorter ones
    /// it counts in the one of the first address.
    pub fn adopt(self: &Arc<Self>, network: SourceNetwork) -> Option<SourcePlace> {
        self.limit?;
        let network = self.prefixes.network_of(network.address());
        self.places.take(network, u32::MAX);
        Some(self.place(network))
    }

    /// Networks that have a place taken.
    pub fn networks(&self) -> usize {
        self.places.keys()
    }

    fn place(self: &Arc<Self>, network: SourceNetwork) -> SourcePlace {
        let ledger: Arc<dyn SourceLedger> = Arc::<Self>::clone(self);
        SourcePlace::new(ledger, network)
    }
}

impl SourceLedger for Sources {
    fn give_back(&self, network: SourceNetwork) {
        self.places.give_back(network);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const PREFIXES: SourcePrefixes = SourcePrefixes { ipv4: 32, ipv6: 64 };

    fn address(index: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + index).into()
    }

    #[test]
    fn counts_each_network_by_itself() {
        let sources = Sources::new(Some(2), SourcePrefixes { ipv4: 24, ipv6: 64 });
        let take = |text: &str| sources.take(text.parse().unwrap());
        let first = take("192.0.2.1").unwrap();
        let _second = take("192.0.2.2").unwrap();
        assert_eq!(take("192.0.2.3").unwrap_err(), SourceIsFull { limit: 2 });
        assert!(take("::ffff:192.0.2.3").is_err(), "written otherwise, it is the same network");
        let _other = take("192.0.3.3").unwrap();
        assert_eq!(sources.networks(), 2);
        drop(first);
        let _third = take("192.0.2.3").unwrap();
        assert!(take("192.0.2.1").is_err());
    }

    #[test]
    fn counts_nothing_without_a_limit() {
        let sources = Sources::new(None, PREFIXES);
        assert!(matches!(sources.take(address(0)), Ok(None)));
        assert!(sources.adopt(PREFIXES.network_of(address(0))).is_none());
        assert_eq!(sources.networks(), 0);
    }

    #[test]
    fn adopting_never_refuses_and_counts() {
        let sources = Sources::new(Some(1), PREFIXES);
        let first = sources.take(address(0)).unwrap();
        let adopted = sources.adopt(PREFIXES.network_of(address(0)));
        drop(first);
        assert!(sources.take(address(0)).is_err(), "the adopted session has the place");
        drop(adopted);
        assert!(sources.take(address(0)).is_ok());
    }

    #[test]
    fn an_adopted_session_counts_in_the_network_that_its_client_is_in_here() {
        let sources = Sources::new(Some(1), SourcePrefixes { ipv4: 24, ipv6: 64 });
        let adopted = sources.adopt(PREFIXES.network_of(address(7)));
        assert!(sources.take(address(200)).is_err());
        drop(adopted);
        assert!(sources.take(address(200)).is_ok());
        assert_eq!(sources.networks(), 0);
    }
}
