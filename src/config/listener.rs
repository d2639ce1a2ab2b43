//! The listeners of an instance: where each is bound, and whether it has TLS.
//!
//! Not here: what a listener's TLS may say (`catalog::tls`), binding (`front::listener`).

use core::net::SocketAddr;

use crate::catalog::api::Schemes;
use crate::catalog::fault::Remedy;
use crate::catalog::fields::Fields;
use crate::catalog::tls::{ListenerTls, take_listener_tls};

/// Most listeners of an instance. Each worker has an accept loop for each of them.
const LISTENERS_MAX: usize = 64;

/// An address to be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Address and port; port 0 lets the kernel choose one.
    pub address: SocketAddr,
    /// `None`: plain.
    pub tls: Option<ListenerTls>,
}

impl ListenerConfig {
    /// A listener without TLS.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }

    /// A note on a possible false expectation of it.
    pub fn note(&self) -> Option<&'static str> {
        let is_all_of_ipv6 = self.address.is_ipv6() && self.address.ip().is_unspecified();
        is_all_of_ipv6.then_some("IPv6 only; IPv4 needs a listener on 0.0.0.0 as well")
    }

    /// The scheme of URLs that lead to it.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "wss" } else { "ws" }
    }
}

/// The schemes of an API that lists none, on an instance with these listeners: `wss` if any of them has TLS, else `ws`.
pub fn default_schemes(listeners: &[ListenerConfig]) -> Schemes {
    let wss = listeners.iter().any(|listener| listener.tls.is_some());
    Schemes { ws: !wss, wss }
}

/// Takes the listeners of an instance file. `None`: it names none.
pub(super) fn take_listeners(fields: &mut Fields<'_>) -> Option<Vec<ListenerConfig>> {
    let mut listeners: Vec<ListenerConfig> = Vec::new();
    for mut table in fields.take_tables("listeners", (1, LISTENERS_MAX))? {
        let allowed = "an address with its port, like 127.0.0.1:8080 or [::1]:8080";
        let address = table.take_required_text("address", allowed, |text| {
            let address: SocketAddr = text.parse().map_err(|_| Remedy::from(allowed))?;
            if listeners.iter().any(|listener| overlap(listener.address, address)) {
                return Err(Remedy::act("another listener has this address: change one of the two"));
            }
            Ok(address)
        });
        let tls = table.take_table("tls").and_then(take_listener_tls);
        table.finish();
        listeners.extend(address.map(|address| ListenerConfig { address, tls }));
    }
    Some(listeners)
}

/// Whether one of two listeners accepts connections meant for the other. An IPv6 listener accepts none of IPv4.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_wider = one.ip().is_unspecified() || other.ip().is_unspecified();
    let is_same_port = one.port() == other.port() && one.port() != 0;
    one == other || is_same_port && one.is_ipv4() == other.is_ipv4() && is_wider
}

/// Listeners without TLS on these addresses, under the same rules as those of a file.
///
/// # Errors
/// There are too many, or two are alike.
pub fn plain_listeners(addresses: &[SocketAddr]) -> Result<Vec<ListenerConfig>, String> {
    if addresses.len() > LISTENERS_MAX {
        return Err(format!("{} listeners: there may be at most {LISTENERS_MAX}", addresses.len()));
    }
    let pairs = (0..addresses.len()).flat_map(|second| (0..second).map(move |first| (first, second)));
    let mut pairs = pairs.map(|(first, second)| (addresses[first], addresses[second]));
    match pairs.find(|(first, second)| overlap(*first, *second)) {
        Some((first, second)) => Err(format!("{second} takes connections of {first}: give one of the two")),
        None => Ok(addresses.iter().copied().map(ListenerConfig::plain).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_of_ipv6_says_that_ipv4_is_not_in_it() {
        let note = |address: &str| ListenerConfig::plain(address.parse().expect("an address")).note();
        assert!(note("[::]:80").is_some_and(|note| note.starts_with("IPv6 only")));
        for address in ["0.0.0.0:80", "[::1]:80", "127.0.0.1:80"] {
            assert_eq!(note(address), None, "{address}");
        }
    }

    #[test]
    fn listeners_of_a_command_line_keep_the_rules_of_those_of_a_file() {
        let addresses =
            |count: u16| (1..=count).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect::<Vec<_>>();
        assert_eq!(plain_listeners(&addresses(64)).map(|listeners| listeners.len()), Ok(64));
        assert!(plain_listeners(&addresses(65)).is_err_and(|why| why.contains("at most 64")));
        let twice = [addresses(1), addresses(1)].concat();
        assert!(plain_listeners(&twice).is_err_and(|why| why.contains("give one of the two")));
    }
}
