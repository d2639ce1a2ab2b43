//! The source network of a client, as the limits by source count it.
//!
//! Not here: the counts themselves, which need a lock (`shared_counts::sources`).

use core::fmt;
use core::net::IpAddr;
use std::sync::Arc;

use crate::catalog::network::leading_bits;

/// The leading bits of an address; the others are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceNetwork(IpAddr);

impl SourceNetwork {
    /// Its first address.
    pub fn address(self) -> IpAddr {
        self.0
    }

    /// The network whose first address this is. `None`: it is an IPv4 address that is written as an IPv6 one.
    pub fn from_address(address: IpAddr) -> Option<Self> {
        (address.to_canonical() == address).then_some(Self(address))
    }
}

/// How many leading bits of an address make its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePrefixes {
    /// Of an IPv4 address, at most 32.
    pub ipv4: u8,
    /// Of an IPv6 address, at most 128.
    pub ipv6: u8,
}

impl SourcePrefixes {
    /// The network of an address. An IPv4 address that is written as an IPv6 one (RFC 4291 §2.5.5.2) is an IPv4 address.
    pub fn network_of(&self, address: IpAddr) -> SourceNetwork {
        SourceNetwork(leading_bits(address, self.ipv4, self.ipv6))
    }
}

/// Who counts the places of source networks.
pub trait SourceLedger: fmt::Debug + Send + Sync {
    /// Takes a place back. Called on any thread, relays included: it does not wait for others.
    fn give_back(&self, network: SourceNetwork);
}

/// One place of a source network; dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping a place gives it back"]
pub struct SourcePlace {
    ledger: Arc<dyn SourceLedger>,
    network: SourceNetwork,
}

impl SourcePlace {
    /// A place that `ledger` has counted.
    pub fn new(ledger: Arc<dyn SourceLedger>, network: SourceNetwork) -> Self {
        Self { ledger, network }
    }

    /// Whose it is.
    pub fn network(&self) -> SourceNetwork {
        self.network
    }
}

impl Drop for SourcePlace {
    fn drop(&mut self) {
        self.ledger.give_back(self.network);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(prefixes: (u8, u8), address: &str) -> SourceNetwork {
        let (ipv4, ipv6) = prefixes;
        SourcePrefixes { ipv4, ipv6 }.network_of(address.parse().expect("an address"))
    }

    #[test]
    fn addresses_with_the_same_leading_bits_are_one_network() {
        for (prefixes, one, other) in [
            ((32, 64), "192.0.2.1", "192.0.2.1"),
            ((24, 64), "192.0.2.1", "192.0.2.255"),
            ((8, 64), "10.0.0.0", "10.255.255.255"),
            ((25, 64), "192.0.2.128", "192.0.2.255"),
            ((32, 64), "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"),
            ((32, 16), "2001:db8::1", "2001::"),
            ((32, 128), "2001:db8::1", "2001:db8:0::1"),
            ((0, 0), "0.0.0.1", "255.255.255.255"),
            ((0, 0), "::1", "ffff::"),
        ] {
            assert_eq!(network(prefixes, one), network(prefixes, other), "{prefixes:?} {one} {other}");
        }
    }

    #[test]
    fn addresses_that_differ_in_a_leading_bit_are_two() {
        for (prefixes, one, other) in [
            ((32, 64), "192.0.2.1", "192.0.2.2"),
            ((24, 64), "192.0.2.1", "192.0.3.1"),
            ((25, 64), "192.0.2.127", "192.0.2.128"),
            ((8, 64), "10.0.0.0", "11.0.0.0"),
            ((32, 64), "2001:db8::", "2001:db8:0:1::"),
            ((32, 128), "2001:db8::1", "2001:db8::2"),
            // No IPv6 network is an IPv4 one.
            ((8, 16), "10.0.0.0", "a00::"),
        ] {
            assert_ne!(network(prefixes, one), network(prefixes, other), "{prefixes:?} {one} {other}");
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_an_ipv4_address() {
        for prefixes in [(32, 16), (24, 128)] {
            assert_eq!(network(prefixes, "::ffff:192.0.2.1"), network(prefixes, "192.0.2.1"));
        }
        assert_ne!(network((32, 16), "::ffff:192.0.2.1"), network((32, 16), "::ffff:192.0.2.2"));
    }
}
