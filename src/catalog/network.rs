//! Networks as operators write them: an address and how many of its leading bits count (RFC 4632 §3.1, RFC 4291 §2.3).
//!
//! An IPv4 address that is written as an IPv6 one (RFC 4291 §2.5.5.2) is an IPv4 address.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks that an instance may trust. Over it: a fault. Each is compared with the address of every connection.
pub const TRUSTED_NETWORKS_MAX: usize = 64;

/// All addresses with the same leading bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The others of its bits are zero.
    first: IpAddr,
    bits: u8,
}

impl Network {
    /// The allowed form of a network, in words.
    pub const ALLOWED: &str =
        "a network like 10.0.0.0/8 or fd00::/8, without bits behind its prefix, or one address";

    /// Reads `10.0.0.0/8`, or an address alone, which is a network of one.
    ///
    /// # Errors
    /// The allowed form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let parse = || {
            let first: IpAddr = address.parse().ok()?;
            let most = if first.is_ipv4() { 32 } else { 128 };
            let bits = match bits {
                // Digits alone: a sign is none.
                Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
                Some(_) => return None,
                None => most,
            };
            // An IPv4 network in IPv6's clothes would match no client: theirs are taken off.
            let is_canonical = first.to_canonical() == first;
            (is_canonical && bits <= most && leading_bits(first, bits, bits) == first)
                .then_some(Self { first, bits })
        };
        parse().ok_or_else(|| Self::ALLOWED.to_owned())
    }

    /// Whether it has `address`.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && leading_bits(address, self.bits, self.bits) == self.first
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.first, self.bits)
    }
}

/// The address with all but so many of its leading bits zero: `ipv4` of an IPv4 address, `ipv6` of an IPv6 one.
pub fn leading_bits(address: IpAddr, ipv4: u8, ipv6: u8) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            // A shift by all bits, for a prefix of none, is no shift.
            let mask = u32::MAX.checked_shl(32 - u32::from(ipv4.min(32))).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(ipv6.min(128))).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        Network::parse(network).expect(network).contains(address.parse().expect("an address"))
    }

    #[test]
    fn a_network_has_the_addresses_with_its_leading_bits() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0"]),
            ("192.0.2.128/25", ["192.0.2.128", "192.0.2.255"], ["192.0.2.127", "192.0.3.0"]),
            ("192.0.2.1/32", ["192.0.2.1", "::ffff:192.0.2.1"], ["192.0.2.0", "::192.0.2.1"]),
            ("192.0.2.1", ["192.0.2.1", "192.0.2.1"], ["192.0.2.2", "::1"]),
            ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "::1"]),
            ("::/0", ["::1", "ffff::"], ["0.0.0.0", "::ffff:192.0.2.1"]),
            ("fd00::/8", ["fd00::1", "fdff::"], ["fc00::", "fe00::"]),
            ("2001:db8::/64", ["2001:db8::", "2001:db8::ffff:0:0:1"], ["2001:db8:0:1::", "192.0.2.1"]),
            ("::1", ["::1", "::1"], ["::", "127.0.0.1"]),
        ] {
            assert!(inside.iter().all(|address| contains(network, address)), "{network}");
            assert!(!outside.iter().any(|address| contains(network, address)), "{network}");
        }
    }

    #[test]
    fn is_shown_as_it_is_written_with_its_bits() {
        for (text, shown) in
            [("10.0.0.0/8", "10.0.0.0/8"), ("192.0.2.1", "192.0.2.1/32"), ("fd00:0::/8", "fd00::/8")]
        {
            assert_eq!(Network::parse(text).map(|network| network.to_string()), Ok(shown.to_owned()));
        }
    }

    #[test]
    fn refuses_what_is_no_network() {
        for text in [
            "",
            "/",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "10.0.0.0 /8",
            "10.0.0/8",
            "10.0.0.1/8",
            "::/129",
            "::1/64",
            "::ffff:10.0.0.0/104",
            "::ffff:10.0.0.1",
            "localhost",
            "10.0.0.0/256",
            "10.0.0.0:80",
        ] {
            assert_eq!(Network::parse(text), Err(Network::ALLOWED.to_owned()), "{text}");
        }
    }
}
