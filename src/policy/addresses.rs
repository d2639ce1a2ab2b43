//! Lists of addresses for `ip-filter`.
//!
//! A list is sorted and merged when it is made, so a look-up takes logarithmic time; its document bounds its length. An IPv4
//! address that is written as an IPv6 one (RFC 4291 §2.5.5.2) is an IPv4 address, in lists and in callers; no range crosses from
//! one family to the other.
//!
//! Not here: whose address is meant (the client's, which is the peer's unless a trusted one says otherwise); addresses that
//! are expressions, which are evaluated at the handshake.

use core::fmt;
use core::net::IpAddr;

use thiserror::Error;

/// Addresses from `first` to `last`, both included, of one family: `first <= last`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

/// Why two addresses make no range. It does not quote them: they may come from a named value that is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RangeFault {
    /// One end is IPv4, the other IPv6.
    #[error("a range is of IPv4 or of IPv6 addresses")]
    TwoFamilies,
    /// It ends before it begins.
    #[error("a range does not go down")]
    Backwards,
}

impl AddressRange {
    /// One address, from `<address>`.
    pub fn of_one(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { first: address, last: address }
    }

    /// From `<address-range from="" to=""/>`.
    ///
    /// # Errors
    /// The two make no range.
    pub fn between(from: IpAddr, to: IpAddr) -> Result<Self, RangeFault> {
        let (first, last) = (from.to_canonical(), to.to_canonical());
        if first.is_ipv4() != last.is_ipv4() {
            return Err(RangeFault::TwoFamilies);
        }
        if first > last {
            return Err(RangeFault::Backwards);
        }
        Ok(Self { first, last })
    }

    /// Whether `address` lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        // IPv4 addresses stand before IPv6 ones in the order of `IpAddr`, so a range holds none of the other family.
        self.first <= address && address <= self.last
    }

    /// Whether nothing lies between it and `later`, which does not begin before it.
    fn touches(&self, later: &Self) -> bool {
        later.first <= self.last
            || match (self.last, later.first) {
                (IpAddr::V4(last), IpAddr::V4(first)) => {
                    last.to_bits().checked_add(1) == Some(first.to_bits())
                }
                (IpAddr::V6(last), IpAddr::V6(first)) => {
                    last.to_bits().checked_add(1) == Some(first.to_bits())
                }
                (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
            }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.first)?;
        if self.first != self.last {
            write!(formatter, "-{}", self.last)?;
        }
        Ok(())
    }
}

impl fmt::Debug for AddressRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A list of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// In order, apart from one another: `a.last < b.first`, and something lies between.
    ranges: Box<[AddressRange]>,
}

impl FromIterator<AddressRange> for Addresses {
    fn from_iter<I: IntoIterator<Item = AddressRange>>(ranges: I) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        ranges.sort_unstable();
        ranges.dedup_by(|later, kept| {
            let is_one = kept.touches(later);
            if is_one {
                kept.last = kept.last.max(later.last);
            }
            is_one
        });
        Self { ranges: ranges.into_boxed_slice() }
    }
}

impl Addresses {
    /// Whether `address` is on it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let begun = self.ranges.partition_point(|range| range.first <= address);
        begun > 0 && self.ranges[begun - 1].contains(address)
    }
}

/// `192.0.2.1, 192.0.2.4-192.0.2.7`.
impl fmt::Display for Addresses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(formatter, "{comma}{range}")?;
        }
        Ok(())
    }
}

/// The meaning of being on a filter's list: its `action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterAction {
    /// Only they may pass.
    Allow,
    /// All others may pass.
    Forbid,
}

/// A caller that a filter does not let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FilteredOut {
    /// Others are allowed.
    #[error("Caller IP address {0} is not allowed. Access denied.")]
    NotAllowed(IpAddr),
    /// It is forbidden.
    #[error("Caller IP address is blocked. Access denied.")]
    Blocked,
}

impl FilterAction {
    /// The allowed actions, in words.
    pub const ALLOWED: &str = "allow or forbid";

    /// Reads an action.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "allow" => Some(Self::Allow),
            "forbid" => Some(Self::Forbid),
            _ => None,
        }
    }

    /// Judges a caller that is on the list or not.
    ///
    /// # Errors
    /// It does not pass.
    pub fn judge(self, caller: IpAddr, is_listed: bool) -> Result<(), FilteredOut> {
        match (self, is_listed) {
            (Self::Allow, true) | (Self::Forbid, false) => Ok(()),
            (Self::Allow, false) => Err(FilteredOut::NotAllowed(caller.to_canonical())),
            (Self::Forbid, true) => Err(FilteredOut::Blocked),
        }
    }
}

impl FilteredOut {
    /// `LastError.Reason`, from Azure API Management's catalogue.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotAllowed(_) => "CallerIpNotAllowed",
            Self::Blocked => "CallerIpBlocked",
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn list(ranges: &[(&str, &str)]) -> Addresses {
        ranges.iter().map(|(from, to)| AddressRange::between(ip(from), ip(to)).expect("a range")).collect()
    }

    #[test]
    fn both_ends_of_a_range_are_on_the_list_and_their_neighbours_are_not() {
        let list = list(&[
            ("192.0.2.4", "192.0.2.7"),
            ("0.0.0.0", "0.0.0.0"),
            ("255.255.255.255", "255.255.255.255"),
            ("2001:db8::10", "2001:db8::1f"),
            ("::", "::"),
        ]);
        for (address, is_listed) in [
            ("192.0.2.3", false),
            ("192.0.2.4", true),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("0.0.0.0", true),
            ("0.0.0.1", false),
            ("255.255.255.254", false),
            ("255.255.255.255", true),
            ("2001:db8::f", false),
            ("2001:db8::10", true),
            ("2001:db8::1f", true),
            ("2001:db8::20", false),
            ("::", true),
            ("::1", false),
            // The compatible form of RFC 4291 §2.5.5.1 is no IPv4 address.
            ("::192.0.2.4", false),
        ] {
            assert_eq!(list.contains(ip(address)), is_listed, "{address}");
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_an_ipv4_address() {
        let plain = list(&[("192.0.2.1", "192.0.2.9")]);
        let dressed = list(&[("::ffff:192.0.2.1", "::ffff:192.0.2.9")]);
        assert_eq!(plain, dressed);
        assert!(plain.contains(ip("::ffff:192.0.2.5")) && !plain.contains(ip("::ffff:192.0.2.10")));
    }

    #[test]
    fn ranges_that_overlap_or_meet_are_one() {
        for (ranges, shown) in [
            (&[("10.0.0.1", "10.0.0.3"), ("10.0.0.2", "10.0.0.9")][..], "10.0.0.1-10.0.0.9"),
            (&[("10.0.0.4", "10.0.0.4"), ("10.0.0.1", "10.0.0.3")], "10.0.0.1-10.0.0.4"),
            (&[("10.0.0.1", "10.0.0.9"), ("10.0.0.2", "10.0.0.3")], "10.0.0.1-10.0.0.9"),
            (&[("10.0.0.1", "10.0.0.2"), ("10.0.0.4", "10.0.0.4")], "10.0.0.1-10.0.0.2, 10.0.0.4"),
            // The end of one family does not meet the start of the other.
            (&[("::", "::"), ("255.255.255.255", "255.255.255.255")], "255.255.255.255, ::"),
            (&[], ""),
        ] {
            assert_eq!(list(ranges).to_string(), shown);
        }
    }

    #[test]
    fn says_what_is_no_range() {
        let between = |from, to| AddressRange::between(ip(from), ip(to));
        assert_eq!(between("10.0.0.2", "10.0.0.1"), Err(RangeFault::Backwards));
        assert_eq!(between("10.0.0.1", "::1"), Err(RangeFault::TwoFamilies));
        assert!(between("10.0.0.1", "::ffff:10.0.0.1").is_ok());
    }

    #[test]
    fn allow_lets_pass_who_is_listed_and_forbid_who_is_not() {
        let caller = ip("::ffff:192.0.2.1");
        assert_eq!(FilterAction::Allow.judge(caller, true), Ok(()));
        assert_eq!(FilterAction::Forbid.judge(caller, false), Ok(()));
        let not_allowed = FilterAction::Allow.judge(caller, false).unwrap_err();
        assert_eq!(not_allowed.reason(), "CallerIpNotAllowed");
        assert_eq!(not_allowed.to_string(), "Caller IP address 192.0.2.1 is not allowed. Access denied.");
        let blocked = FilterAction::Forbid.judge(caller, true).unwrap_err();
        assert_eq!(blocked.reason(), "CallerIpBlocked");
        assert_eq!(blocked.to_string(), "Caller IP address is blocked. Access denied.");
        assert_eq!(FilterAction::parse("allow"), Some(FilterAction::Allow));
        assert_eq!(FilterAction::parse(" forbid "), Some(FilterAction::Forbid));
        assert_eq!((FilterAction::parse("Allow"), FilterAction::parse("")), (None, None));
    }

    /// Few addresses, so that ranges meet, and both families.
    fn any_address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0..24_u32).prop_map(|low| Ipv4Addr::from_bits(low).into()),
            (0..24_u32).prop_map(|low| Ipv4Addr::from_bits(u32::MAX - low).into()),
            (0..24_u128).prop_map(|low| Ipv6Addr::from_bits(low).into()),
            (0..24_u128).prop_map(|low| Ipv6Addr::from_bits(u128::MAX - low).into()),
        ]
    }

    proptest! {
        #[test]
        fn a_list_holds_what_any_of_its_ranges_holds(
            ends in proptest::collection::vec((any_address(), any_address()), 0..20),
            asked in proptest::collection::vec(any_address(), 50),
        ) {
            let ranges: Vec<_> = ends
                .iter()
                .filter_map(|(from, to)| AddressRange::between(*from, *to).ok())
                .collect();
            let list: Addresses = ranges.iter().copied().collect();
            prop_assert!(list.ranges.windows(2).all(|pair| !pair[0].touches(&pair[1])));
            for address in asked {
                let expected = ranges.iter().any(|range| range.contains(address));
                prop_assert_eq!(list.contains(address), expected, "{} in {}", address, list);
            }
        }
    }
}
