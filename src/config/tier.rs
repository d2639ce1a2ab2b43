//! Tiers and units of Azure API Management, as presets of how many sessions an instance holds.
//!
//! Not here: the table itself (`limits`), and whether the host has the open files for them (`process::open_files`).

use core::fmt;

use crate::catalog::fault::Remedy;
use crate::limits::{TIERS, TierPreset};

/// Most sessions that a tier gives, whatever its units: Azure API Management's cap on one instance.
const TIER_SESSIONS_MAX: u64 = 60_000;

/// A tier, and so many units of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TierUnits {
    /// The tier.
    pub tier: &'static TierPreset,
    /// Its units: 1 to as many as it has.
    pub units: u64,
}

impl TierUnits {
    /// How many sessions they hold.
    pub fn sessions(&self) -> u64 {
        (self.tier.sessions_per_unit * self.units).min(TIER_SESSIONS_MAX)
    }
}

impl fmt::Display for TierUnits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tier, units } = self;
        write!(formatter, "tier {}, {units} unit{}", tier.name, if *units == 1 { "" } else { "s" })
    }
}

/// The tier of a name.
///
/// # Errors
/// A description of the allowed tiers, and the reason if the tier has no WebSocket APIs.
pub fn parse_tier(name: &str) -> Result<&'static TierPreset, Remedy> {
    TIERS.iter().find(|tier| tier.name == name).ok_or_else(|| {
        let remedy = Remedy::one_of(&TIERS.map(|tier| tier.name), name);
        match name {
            "consumption" => {
                remedy.map(|names| format!("{names}; WebSocket APIs are not available in tier consumption"))
            }
            _ => remedy,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_holds_what_azure_api_management_gives() {
        for (name, units, sessions) in [
            ("developer", 1, 2_500),
            ("basic", 1, 5_000),
            ("basic", 2, 10_000),
            ("standard", 4, 20_000),
            ("premium", 11, 55_000),
            ("premium", 12, 60_000),
            ("premium", 13, 60_000),
            ("premium", 31, 60_000),
            ("basic-v2", 10, 50_000),
            ("standard-v2", 10, 50_000),
            ("premium-v2", 30, 60_000),
        ] {
            let tier = parse_tier(name).expect("a tier");
            assert!(tier.units.contains(units), "{name} {units}");
            assert_eq!(TierUnits { tier, units }.sessions(), sessions, "{name} {units}");
        }
    }

    #[test]
    fn every_tier_has_its_most_units_and_a_name_of_its_own() {
        let most = TIERS.map(|tier| (tier.name, tier.units.most));
        assert_eq!(
            most,
            [
                ("developer", 1),
                ("basic", 2),
                ("standard", 4),
                ("premium", 31),
                ("basic-v2", 10),
                ("standard-v2", 10),
                ("premium-v2", 30),
            ]
        );
        for tier in &TIERS {
            assert_eq!(parse_tier(tier.name), Ok(tier));
            assert_eq!(tier.units.unit, format!("units of tier {}", tier.name));
        }
    }

    #[test]
    fn says_why_consumption_is_none() {
        let allowed = parse_tier("consumption").expect_err("it has no WebSocket APIs").text().to_owned();
        assert!(allowed.ends_with("WebSocket APIs are not available in tier consumption"), "{allowed}");
        for other in ["", "Basic", "basicv2", "isolated"] {
            assert_eq!(
                parse_tier(other).expect_err(other).text().split(", ").count(),
                TIERS.len(),
                "{other}"
            );
        }
    }

    #[test]
    fn is_told_with_its_units() {
        let told = |name, units| TierUnits { tier: parse_tier(name).expect("a tier"), units }.to_string();
        assert_eq!(told("basic", 1), "tier basic, 1 unit");
        assert_eq!(told("premium-v2", 30), "tier premium-v2, 30 units");
    }
}
