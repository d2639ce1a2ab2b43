//! The source addresses of a dial: those that its API lists, in turn.
//!
//! One address has as many ports towards one backend as `net.ipv4.ip_local_port_range` allows; each further address adds as many.
//!
//! Not here: the consequence of an address without a free port (`dial`).

use crate::catalog::{Api, Name};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// APIs whose source addresses a front takes in turn. Over it, all turns begin anew, which costs some evenness.
const ADDRESS_TURNS_MAX: usize = 4096;

/// How often each API with source addresses was dialled by this front, so that its next dial begins with the next one.
///
/// Each API has a count of its own: with one for all, two APIs that are dialled by turns would each use every second
/// address only.
#[derive(Debug, Default)]
pub(super) struct AddressTurns(RefCell<HashMap<Name, usize>>);

impl AddressTurns {
    /// The sources of the next dial of `api`.
    pub(super) fn next<'a>(&self, api: &'a Api) -> SourceAddresses<'a> {
        if api.source_addresses.is_empty() {
            return SourceAddresses { addresses: &[], turn: 0 };
        }
        let mut turns = self.0.borrow_mut();
        // Names of APIs that are published no more are not told apart, so the count of them needs a bound.
        if turns.len() >= ADDRESS_TURNS_MAX && !turns.contains_key(&api.name) {
            turns.clear();
        }
        let turn = turns.entry(api.name.clone()).or_default();
        let sources = SourceAddresses { addresses: &api.source_addresses, turn: *turn };
        *turn = turn.wrapping_add(1);
        sources
    }
}

/// The source addresses of one dial.
#[derive(Clone, Copy, Debug)]
pub(super) struct SourceAddresses<'a> {
    addresses: &'a [IpAddr],
    turn: usize,
}

impl SourceAddresses<'_> {
    /// The addresses that can reach `to`, each once, beginning with the one whose turn it is. Empty: the kernel chooses.
    pub(super) fn towards(&self, to: SocketAddr) -> Vec<IpAddr> {
        let mut fitting: Vec<_> =
            self.addresses.iter().copied().filter(|address| address.is_ipv4() == to.is_ipv4()).collect();
        if !fitting.is_empty() {
            let first = self.turn % fitting.len();
            fitting.rotate_left(first);
        }
        fitting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::parse_api;

    fn api(name: &str, sources: &str) -> Api {
        let text = format!(
            "display_name = \"T\"\nurl = \"ws://h\"\nsuffix = \"{name}\"\nsource_addresses = [{sources}]"
        );
        parse_api("t.toml", name, &text).unwrap()
    }

    fn towards(turns: &AddressTurns, api: &Api, to: &str) -> Vec<String> {
        turns.next(api).towards(to.parse().unwrap()).iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn each_dial_of_an_api_begins_with_the_next_address_of_the_family() {
        let turns = AddressTurns::default();
        let three = api("three", "\"10.0.0.1\", \"fd00::1\", \"10.0.0.2\", \"10.0.0.3\"");
        let two = api("two", "\"10.0.0.8\", \"10.0.0.9\"");
        for round in 0..2 {
            for expected in [
                ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
                ["10.0.0.2", "10.0.0.3", "10.0.0.1"],
                ["10.0.0.3", "10.0.0.1", "10.0.0.2"],
            ] {
                assert_eq!(towards(&turns, &three, "192.0.2.1:80"), expected, "round {round}");
                // Another API that is dialled in between has its own turns.
                towards(&turns, &two, "192.0.2.1:80");
            }
        }
        assert_eq!(towards(&turns, &two, "192.0.2.1:80"), ["10.0.0.8", "10.0.0.9"]);
        assert_eq!(towards(&turns, &two, "192.0.2.1:80"), ["10.0.0.9", "10.0.0.8"]);
    }

    #[test]
    fn where_no_address_of_the_family_is_listed_the_kernel_chooses() {
        let turns = AddressTurns::default();
        assert_eq!(towards(&turns, &api("none", ""), "192.0.2.1:80"), [] as [&str; 0]);
        let six = api("six", "\"fd00::1\"");
        assert_eq!(towards(&turns, &six, "192.0.2.1:80"), [] as [&str; 0]);
        assert_eq!(towards(&turns, &six, "[2001:db8::1]:80"), ["fd00::1"]);
    }

    #[test]
    fn remembers_the_turns_of_a_bounded_number_of_apis() {
        let turns = AddressTurns::default();
        let listed = api("t", "\"10.0.0.1\"");
        for index in 0..=ADDRESS_TURNS_MAX {
            let named = Api { name: Name::parse(&format!("a{index}")).unwrap(), ..listed.clone() };
            towards(&turns, &named, "192.0.2.1:80");
        }
        assert_eq!(turns.0.borrow().len(), 1);
    }
}
