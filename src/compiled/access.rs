//! Decides whether a client may open a session of an API, by the subscription key it gives: Azure API Management's table.
//!
//! ```text
//! key given?                                                    outcome
//! yes, of a valid subscription whose scope covers the API       in the context of the subscription, and of its product
//! yes, any other                                                401 invalid, even where no key is needed
//! no, the API is in an open product that is published           in the context of that product
//! no, the API needs none                                        without context
//! no                                                            401 missing
//! ```
//!
//! Not here: finding the key in a request (`catalog::given_key`) and the subscription of a key (`snapshot`).

use std::sync::Arc;

use crate::catalog::access::Access;
use crate::catalog::api::Api;
use crate::catalog::product::Product;
use crate::catalog::subscription::{Scope, Subscription};
use crate::catalog::timestamp::Timestamp;

/// The result of looking up the key that a client gave.
#[derive(Clone, Copy, Debug)]
pub enum Presented<'a> {
    /// It gave none.
    Nothing,
    /// It gave what is no subscription's key.
    Unknown,
    /// It gave the key of this subscription.
    KeyOf {
        /// The subscription.
        subscription: &'a Arc<Subscription>,
        /// The product that its scope names.
        product: Option<&'a Arc<Product>>,
    },
}

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionKeyFault {
    /// A key is needed and none was given.
    Missing,
    /// The given key opens nothing here, or nothing now.
    Invalid,
}

impl SubscriptionKeyFault {
    /// Returns `LastError.Reason` for it, in Azure API Management's words.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "SubscriptionKeyNotFound",
            Self::Invalid => "SubscriptionKeyInvalid",
        }
    }

    /// Returns the message to the client, in Azure API Management's words.
    pub fn message(self) -> &'static str {
        match self {
            Self::Missing => {
                "Access denied due to missing subscription key. Make sure to include subscription key when making requests to an API."
            }
            Self::Invalid => {
                "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription."
            }
        }
    }
}

/// Decides; `open_product` is the open product of the API, published or not.
///
/// # Errors
/// Why not.
pub fn decide<'a>(
    api: &Api,
    presented: Presented<'a>,
    open_product: Option<&'a Arc<Product>>,
    now: Timestamp,
) -> Result<Access<'a>, SubscriptionKeyFault> {
    match presented {
        Presented::KeyOf { subscription, product } => {
            let is_covered = match &subscription.scope {
                // Whether the product is published does not matter: unpublishing leaves keys as they are.
                Scope::Product(name) => api.products.contains(name),
                Scope::Api(name) => api.name == *name,
                Scope::AllApis => true,
            };
            if !is_covered || !subscription.is_valid_at(now) {
                return Err(SubscriptionKeyFault::Invalid);
            }
            Ok(Access { subscription: Some(subscription), product })
        }
        Presented::Unknown => Err(SubscriptionKeyFault::Invalid),
        Presented::Nothing => match open_product.filter(|product| product.is_published) {
            Some(product) => Ok(Access { subscription: None, product: Some(product) }),
            None if !api.subscription_required => Ok(Access::default()),
            None => Err(SubscriptionKeyFault::Missing),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::api::parse_api;
    use crate::catalog::product::parse_product;
    use crate::catalog::subscription::{SubscriptionState, parse_subscription};

    const NOW: u64 = 1_000;

    fn api(lines: &str) -> Api {
        let text = format!("display_name = \"Chat\"\nurl = \"ws://h\"\nsuffix = \"chat\"\n{lines}");
        parse_api("apis/chat.toml", "chat", &text).expect("an api")
    }

    fn product(name: &str, lines: &str) -> Arc<Product> {
        let text = format!("display_name = \"P\"\n{lines}");
        Arc::new(parse_product("products/p.toml", name, &text).expect("a product"))
    }

    fn subscription(scope: &str, lines: &str) -> Arc<Subscription> {
        let text = format!("display_name = \"A\"\nscope = \"{scope}\"\n{lines}");
        Arc::new(parse_subscription("subscriptions/a.toml", "a", &text).expect("a subscription"))
    }

    /// The names of the context, or the fault.
    fn outcome(
        api: &Api,
        presented: Presented<'_>,
        open_product: Option<&Arc<Product>>,
    ) -> Result<(Option<String>, Option<String>), SubscriptionKeyFault> {
        let access = decide(api, presented, open_product, Timestamp::from_unix(NOW))?;
        let subscription = access.subscription.map(|subscription| subscription.name.to_string());
        Ok((subscription, access.product.map(|product| product.name.to_string())))
    }

    fn context(subscription: Option<&str>, product: Option<&str>) -> (Option<String>, Option<String>) {
        (subscription.map(str::to_owned), product.map(str::to_owned))
    }

    #[test]
    fn decides_as_azure_api_management_does_row_by_row() {
        const NEEDS_KEY: &str = "products = [\"starter\", \"open\"]";
        const NEEDS_NONE: &str = "products = [\"starter\", \"open\"]\nsubscription_required = false";
        let starter = product("starter", "");
        let open = product("open", "subscription_required = false\nstate = \"published\"");
        let hidden = product("open", "subscription_required = false");
        let of = |scope, product| (subscription(scope, ""), product);
        let in_product = of("/products/starter", Some(&starter));
        let in_other_product = of("/products/pro", None);
        let in_api = of("/apis/chat", None);
        let in_other_api = of("/apis/echo", None);
        let in_all = of("/apis", None);
        let key = |of: &'static str| -> Presented<'_> {
            let (subscription, product) = match of {
                "product" => &in_product,
                "other product" => &in_other_product,
                "api" => &in_api,
                "other api" => &in_other_api,
                "all" => &in_all,
                "unknown" => return Presented::Unknown,
                _ => return Presented::Nothing,
            };
            Presented::KeyOf { subscription, product: *product }
        };
        let (missing, invalid) = (Err(SubscriptionKeyFault::Missing), Err(SubscriptionKeyFault::Invalid));
        let with_product = Ok(context(Some("a"), Some("starter")));
        let without_product = Ok(context(Some("a"), None));
        let open_context = Ok(context(None, Some("open")));
        for (lines, open_product) in [
            (NEEDS_KEY, None),
            (NEEDS_KEY, Some(&hidden)),
            (NEEDS_KEY, Some(&open)),
            (NEEDS_NONE, None),
            (NEEDS_NONE, Some(&hidden)),
            (NEEDS_NONE, Some(&open)),
        ] {
            let is_open = open_product.is_some_and(|product| product.is_published);
            let no_key = match (is_open, lines == NEEDS_NONE) {
                (true, _) => open_context.clone(),
                (false, true) => Ok(context(None, None)),
                (false, false) => missing.clone(),
            };
            for (given, expected) in [
                ("product", with_product.clone()),
                ("api", without_product.clone()),
                ("all", without_product.clone()),
                ("other product", invalid.clone()),
                ("other api", invalid.clone()),
                ("unknown", invalid.clone()),
                ("nothing", no_key),
            ] {
                let decided = outcome(&api(lines), key(given), open_product);
                assert_eq!(decided, expected, "{given}, {lines}, {open_product:?}");
            }
        }
    }

    #[test]
    fn only_an_active_subscription_within_its_dates_opens_anything_even_where_no_key_is_needed() {
        let open = product("open", "subscription_required = false\nstate = \"published\"");
        let api = api("subscription_required = false");
        let decided = |lines: &str| {
            let subscription = subscription("/apis", lines);
            outcome(&api, Presented::KeyOf { subscription: &subscription, product: None }, Some(&open))
        };
        for state in SubscriptionState::ALL {
            let is_let_in = decided(&format!("state = {:?}", state.name())).is_ok();
            assert_eq!(is_let_in, state == SubscriptionState::Active, "{state:?}");
        }
        for (lines, is_let_in) in [
            ("start_date = 1970-01-01T00:16:40Z", true),
            ("start_date = 1970-01-01T00:16:41Z", false),
            ("end_date = 1970-01-01T00:16:41Z", true),
            ("end_date = 1970-01-01T00:16:40Z", false),
            ("expiration_date = 1970-01-01T00:16:40Z", false),
        ] {
            assert_eq!(decided(lines).is_ok(), is_let_in, "{lines}");
        }
    }

    #[test]
    fn a_key_opens_an_unpublished_product_as_before() {
        let starter = product("starter", "state = \"notPublished\"");
        let subscription = subscription("/products/starter", "");
        let presented = Presented::KeyOf { subscription: &subscription, product: Some(&starter) };
        let decided = outcome(&api("products = [\"starter\"]"), presented, None);
        assert_eq!(decided, Ok(context(Some("a"), Some("starter"))));
    }
}
