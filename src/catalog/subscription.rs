//! One subscription, from `subscriptions/<name>.toml`: a pair of keys and their scope.
//!
//! Both keys are valid at any time, so that one can be replaced while the other is used. Only their keyed hashes are here.
//!
//! Azure API Management keeps the dates of a subscription for the record; ringgate enforces them.
//!
//! Not here: which key belongs to which subscription (`compiled::snapshot`), the decision that follows (`compiled::access`).

use super::fault::{Fault, Remedy};
use super::fields::Fields;
use super::name::Name;
use super::parsed::{Asks, Parsed, parse_entity};
use super::prose::{display_name_allowed, parse_description, parse_display_name};
use super::reference::{Entity, Reference};
use super::sealed_key::SealedKey;
use super::subscription_key::{KeyHash, KeySlot};
use super::timestamp::Timestamp;
use crate::limits;

/// Longest text that says whose a subscription is, in characters.
const OWNER_CHARS_MAX: usize = 256;

/// A subscription, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its name: that of its file.
    pub name: Name,
    /// Display name, 1 to 100 characters.
    pub display_name: String,
    /// Owner, at most 256 characters. Default empty: no owner.
    pub owner: String,
    /// The scope of its keys.
    pub scope: Scope,
    /// Only an active subscription's keys are valid. Default active.
    pub state: SubscriptionState,
    /// Start of validity. `None`: no start.
    pub start_date: Option<Timestamp>,
    /// End of validity. `None`: no end.
    pub end_date: Option<Timestamp>,
    /// Expiry, which counts if it is before the end. `None`: none.
    pub expiration_date: Option<Timestamp>,
    /// The keyed hash of one key. `None`: it has no such key.
    pub primary_key_hash: Option<KeyHash>,
    /// The keyed hash of the other key.
    pub secondary_key_hash: Option<KeyHash>,
    /// The first key itself, sealed. `None`: it cannot be recovered.
    pub primary_key_sealed: Option<SealedKey>,
    /// The other key itself, sealed.
    pub secondary_key_sealed: Option<SealedKey>,
    /// Most sessions at once, 1 to 10,000,000. `None`: any.
    pub connections_max: Option<u64>,
}

impl Subscription {
    /// Whether its keys open anything at `now`: from its start until before its end and its expiry.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.state == SubscriptionState::Active
            && self.start_date.is_none_or(|start| start <= now)
            && self.ends_at().is_none_or(|end| now < end)
    }

    /// Returns the earlier of its end and its expiry. `None`: it has neither.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.end_date.into_iter().chain(self.expiration_date).min()
    }
}

/// The scope of a subscription's keys, as Azure API Management writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `/products/<name>`: the APIs of a product, in its context.
    Product(Name),
    /// `/apis/<name>`: one API, without a product.
    Api(Name),
    /// `/apis`: every API, without a product.
    AllApis,
}

impl Scope {
    const ALLOWED: &'static str = "\"/products/<name>\", \"/apis/<name>\" or \"/apis\"";

    fn parse(text: &str) -> Result<Self, String> {
        let named = |name: &str| Name::parse(name).map_err(|_| Self::ALLOWED.to_owned());
        if text == "/apis" {
            Ok(Self::AllApis)
        } else if let Some(name) = text.strip_prefix("/products/") {
            named(name).map(Self::Product)
        } else if let Some(name) = text.strip_prefix("/apis/") {
            named(name).map(Self::Api)
        } else {
            Err(Self::ALLOWED.to_owned())
        }
    }
}

impl core::fmt::Display for Scope {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Product(name) => write!(formatter, "/products/{name}"),
            Self::Api(name) => write!(formatter, "/apis/{name}"),
            Self::AllApis => formatter.write_str("/apis"),
        }
    }
}

/// The state of a subscription, in Azure API Management's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionState {
    /// Its keys are valid.
    Active,
    /// Its subscriber gave it up.
    Cancelled,
    /// Its time is over.
    Expired,
    /// Its approval was refused.
    Rejected,
    /// Its approval is awaited.
    Submitted,
    /// It is stopped for now.
    Suspended,
}

impl SubscriptionState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Active, Self::Cancelled, Self::Expired, Self::Rejected, Self::Submitted, Self::Suspended];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Submitted => "submitted",
            Self::Suspended => "suspended",
        }
    }

    fn parse(text: &str) -> Result<Self, Remedy> {
        let state = Self::ALL.into_iter().find(|state| state.name() == text);
        state.ok_or_else(|| Remedy::one_of(&Self::ALL.map(Self::name), text))
    }
}

/// Reads a subscription's file. `file` is its name in faults; `name` is the subscription's.
///
/// # Errors
/// Every fault of the file, in the order of lines.
pub fn parse_subscription(file: &str, name: &str, text: &str) -> Result<Subscription, Vec<Fault>> {
    read_subscription(file, name, text).value
}

pub(crate) fn read_subscription(file: &str, name: &str, text: &str) -> Parsed<Subscription> {
    parse_entity(file, name, text, "a subscription", |document, name, asks| {
        take_subscription(document.fields(), name, asks)
    })
}

fn take_subscription(mut fields: Fields<'_>, name: Option<Name>, asks: &mut Asks) -> Option<Subscription> {
    let chars_max = limits::SHORT_DISPLAY_NAME_CHARS_MAX;
    let display_name = fields.take_required_text("display_name", &display_name_allowed(chars_max), |text| {
        parse_display_name(text, chars_max)
    });
    let owner = fields.take_text("owner", |text| parse_description(text, OWNER_CHARS_MAX));
    let scope = fields.take_required_text("scope", Scope::ALLOWED, Scope::parse);
    asks.references.extend(scope.as_ref().and_then(|scope| {
        let (to, name) = match scope {
            Scope::Product(name) => (Entity::Product, name),
            Scope::Api(name) => (Entity::Api, name),
            Scope::AllApis => return None,
        };
        let line = fields.line_of_key("scope");
        Some(Reference { to, name: name.clone(), line, key: "scope".to_owned(), given: scope.to_string() })
    }));
    let state = fields.take_text("state", SubscriptionState::parse);
    let start_date = fields.take_moment("start_date");
    let end_date = fields.take_moment("end_date");
    let expiration_date = fields.take_moment("expiration_date");
    if let Some(start) = start_date {
        for (key, end) in [("end_date", end_date), ("expiration_date", expiration_date)] {
            if end.is_some_and(|end| end <= start) {
                fields.object(key, Remedy::act("it has to be after start_date: change one of the two"));
            }
        }
    }
    // A key that somebody put there by mistake is not to be shown.
    let primary_key_hash = fields.take_secret_text("primary_key_hash", KeyHash::parse);
    let secondary_key_hash = fields.take_secret_text("secondary_key_hash", KeyHash::parse);
    let primary_key_sealed = fields.take_secret_text("primary_key_sealed", SealedKey::parse);
    let secondary_key_sealed = fields.take_secret_text("secondary_key_sealed", SealedKey::parse);
    for slot in [KeySlot::Primary, KeySlot::Secondary] {
        // What lets a client in is the hash; a sealed key alone would look like one that is valid.
        if !fields.has(slot.hash_field()) {
            let act = format!(
                "{} is missing: add the hash of the same key, or remove the sealed key",
                slot.hash_field()
            );
            fields.object_masked(slot.sealed_field(), Remedy::act(act));
        }
    }
    let connections_max = fields.take_integer("connections_max", &limits::CONNECTIONS_MAX);
    for (slot, hash) in [("primary_key_hash", primary_key_hash), ("secondary_key_hash", secondary_key_hash)] {
        asks.key_hashes.extend(hash.map(|hash| (hash, fields.line_of_key(slot), slot)));
    }
    fields.finish();
    Some(Subscription {
        name: name?,
        display_name: display_name?,
        owner: owner.unwrap_or_default(),
        scope: scope?,
        state: state.unwrap_or(SubscriptionState::Active),
        start_date,
        end_date,
        expiration_date,
        primary_key_hash,
        secondary_key_hash,
        primary_key_sealed,
        secondary_key_sealed,
        connections_max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "display_name = \"Acme\"\nscope = \"/apis\"\n";

    fn parse(text: &str) -> Result<Subscription, Vec<String>> {
        parse_subscription("subscriptions/acme.toml", "acme", text)
            .map_err(|faults| faults.iter().map(Fault::to_string).collect())
    }

    fn least_and(lines: &str) -> Result<Subscription, Vec<String>> {
        parse(&format!("{LEAST}{lines}"))
    }

    #[test]
    fn two_keys_make_an_active_subscription_without_keys_of_its_own() {
        let acme = parse(LEAST).expect("a subscription");
        assert_eq!((acme.name.as_str(), acme.display_name.as_str()), ("acme", "Acme"));
        assert_eq!((acme.scope, acme.state), (Scope::AllApis, SubscriptionState::Active));
        assert_eq!((acme.primary_key_hash, acme.secondary_key_hash), (None, None));
        assert!(parse("").expect_err("two faults").len() == 2);
    }

    #[test]
    fn has_azures_scopes_and_states() {
        for scope in ["/apis", "/apis/chat", "/products/starter"] {
            let acme = parse(&format!("display_name = \"A\"\nscope = {scope:?}")).expect(scope);
            assert_eq!(acme.scope.to_string(), scope);
        }
        for bad in ["", "/", "/apis/", "/products", "/products/a b", "apis", "/users/x"] {
            assert!(parse(&format!("display_name = \"A\"\nscope = {bad:?}")).is_err(), "{bad}");
        }
        for state in SubscriptionState::ALL {
            assert_eq!(least_and(&format!("state = {:?}", state.name())).expect("a state").state, state);
        }
        assert!(least_and("state = \"Active\"").is_err());
    }

    #[test]
    fn is_valid_while_active_from_its_start_until_before_its_end() {
        let at = Timestamp::from_unix;
        let acme = least_and(
            "start_date = 1970-01-01T00:01:40Z\nend_date = 1970-01-01T00:05:00Z\nexpiration_date = 1970-01-01T00:03:20Z",
        )
        .expect("a subscription");
        for (now, is_valid) in [(99, false), (100, true), (199, true), (200, false), (300, false)] {
            assert_eq!(acme.is_valid_at(at(now)), is_valid, "{now}");
        }
        assert_eq!(acme.ends_at(), Some(at(200)));
        for state in SubscriptionState::ALL {
            let acme = Subscription { state, ..acme.clone() };
            assert_eq!(acme.is_valid_at(at(150)), state == SubscriptionState::Active);
        }
    }

    #[test]
    fn dates_are_moments_in_order() {
        for bad in [
            "start_date = 2026-01-01",
            "start_date = \"2026-01-01T00:00:00Z\"",
            "start_date = 2026-01-01T00:00:00Z\nend_date = 2026-01-01T00:00:00Z",
            "start_date = 2026-01-01T00:00:00Z\nexpiration_date = 2025-01-01T00:00:00Z",
        ] {
            assert_eq!(least_and(bad).expect_err(bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_sealed_key_stands_beside_its_hash_and_is_not_shown() {
        let sealed = format!("aes-256-gcm:v1:{}", "A".repeat(80));
        let hash = format!("hmac-sha256:{}", "0".repeat(64));
        let acme = least_and(&format!("primary_key_hash = \"{hash}\"\nprimary_key_sealed = \"{sealed}\""));
        assert!(acme.expect("a subscription").primary_key_sealed.is_some());
        let faults =
            least_and(&format!("primary_key_hash = \"{hash}\"\nsecondary_key_sealed = \"{sealed}\""));
        assert_eq!(
            faults.expect_err("no hash"),
            [
                "subscriptions/acme.toml:4: secondary_key_sealed = ***; secondary_key_hash is missing: add the hash of the same key, or remove the sealed key"
            ]
        );
        assert!(
            !least_and("primary_key_sealed = \"key\"").expect_err("no sealed key")[0].contains("= \"key")
        );
    }

    #[test]
    fn a_key_where_its_hash_belongs_is_not_shown() {
        let faults = least_and("primary_key_hash = \"0123456789abcdef0123456789abcdef\"").expect_err("a key");
        assert_eq!(
            faults,
            [
                "subscriptions/acme.toml:3: primary_key_hash = ***: allowed is hmac-sha256: and 64 hexadecimal digits"
            ]
        );
        let faults = least_and("primary_key = \"0123456789abcdef\"").expect_err("unknown");
        assert!(!faults[0].contains("0123"), "{faults:?}");
    }
}
