//! One product, from `products/<name>.toml`: APIs that are subscribed to together.
//!
//! The APIs name the products that they belong to. Unpublishing hides a product from possible subscribers; existing keys
//! stay valid, as in Azure API Management. An open product is closed by it to requests without a key.
//!
//! Not here: approval, terms and the limit of subscriptions. They are kept for software that creates subscriptions; no
//! key is judged by them.

use super::fault::{Fault, Remedy};
use super::fields::{Document, Fields};
use super::name::Name;
use super::parsed::{Parsed, parse_entity};
use super::prose::{display_name_allowed, parse_description, parse_display_name};
use crate::limits;
use crate::limits::Allowed;

/// Longest description of a product, in characters (Azure API Management's own bound).
const PRODUCT_DESCRIPTION_CHARS_MAX: usize = 1000;

/// Longest terms of a product, in characters. Azure API Management names no bound.
const TERMS_CHARS_MAX: usize = 65_536;

/// Subscriptions of one owner that a product takes. Kept for software that creates subscriptions. Absent: no bound.
const SUBSCRIPTIONS_LIMIT: Allowed = Allowed { least: 1, most: 1_000_000, unit: "subscriptions" };

/// The remedy for a key about subscriptions in an open product.
const NOBODY_SUBSCRIBES: &str = "nobody subscribes to a product with subscription_required = false: remove it, or set \
                                 subscription_required to true";

/// A product, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// The name, which is that of its file.
    pub name: Name,
    /// Display name, 1 to 300 characters.
    pub display_name: String,
    /// Purpose, at most 1000 characters. Default empty.
    pub description: String,
    /// Terms of use that a subscriber agrees to, at most 65,536 characters. Default empty.
    pub terms: String,
    /// Whether it is published. Default no, as in Azure API Management.
    pub is_published: bool,
    /// Whether its APIs need a key. Without: the product is open. Default yes.
    pub subscription_required: bool,
    /// Whether a subscription waits for approval. Default no.
    pub approval_required: bool,
    /// Most subscriptions of one owner, 1 to 1,000,000. `None`: any.
    pub subscriptions_limit: Option<u64>,
    /// Most sessions at once, 1 to 10,000,000. `None`: any.
    pub connections_max: Option<u64>,
}

impl Product {
    /// Whether its APIs are open to clients without a key, once it is published.
    pub fn is_open(&self) -> bool {
        !self.subscription_required
    }
}

/// Reads a product's file. `file` is its name in faults; `name` is the product's.
///
/// # Errors
/// Every fault of the file, in the order of lines.
pub fn parse_product(file: &str, name: &str, text: &str) -> Result<Product, Vec<Fault>> {
    read_product(file, name, text).value
}

pub(crate) fn read_product(file: &str, name: &str, text: &str) -> Parsed<Product> {
    parse_entity(file, name, text, "a product", |document: &Document<'_>, name, _| {
        take_product(document.fields(), name)
    })
}

fn take_product(mut fields: Fields<'_>, name: Option<Name>) -> Option<Product> {
    let display_name = fields.take_required_text(
        "display_name",
        &display_name_allowed(limits::DISPLAY_NAME_CHARS_MAX),
        |text| parse_display_name(text, limits::DISPLAY_NAME_CHARS_MAX),
    );
    let description =
        fields.take_text("description", |text| parse_description(text, PRODUCT_DESCRIPTION_CHARS_MAX));
    let terms = fields.take_text("terms", |text| parse_description(text, TERMS_CHARS_MAX));
    let is_published = fields.take_text("state", |text| match text {
        "published" => Ok(true),
        "notPublished" => Ok(false),
        _ => Err("\"published\" or \"notPublished\"".to_owned()),
    });
    let subscription_required = fields.take_boolean("subscription_required").unwrap_or(true);
    let approval_required = fields.take_boolean("approval_required");
    let subscriptions_limit = fields.take_integer("subscriptions_limit", &SUBSCRIPTIONS_LIMIT);
    let connections_max = fields.take_integer("connections_max", &limits::CONNECTIONS_MAX);
    if !subscription_required {
        // Azure API Management takes neither where there is nothing to subscribe to.
        if approval_required == Some(true) {
            fields.object("approval_required", Remedy::act(NOBODY_SUBSCRIBES));
        }
        fields.object("subscriptions_limit", Remedy::act(NOBODY_SUBSCRIBES));
    }
    fields.finish();
    Some(Product {
        name: name?,
        display_name: display_name?,
        description: description.unwrap_or_default(),
        terms: terms.unwrap_or_default(),
        is_published: is_published.unwrap_or(false),
        subscription_required,
        approval_required: approval_required.unwrap_or(false),
        subscriptions_limit,
        connections_max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Product, Vec<String>> {
        parse_product("products/starter.toml", "starter", text)
            .map_err(|faults| faults.iter().map(Fault::to_string).collect())
    }

    #[test]
    fn a_display_name_makes_a_product_that_needs_keys_and_is_not_published() {
        let product = parse("display_name = \"Starter\"").expect("a product");
        assert_eq!((product.name.as_str(), product.display_name.as_str()), ("starter", "Starter"));
        assert!(product.subscription_required && !product.approval_required && !product.is_published);
        assert_eq!((product.subscriptions_limit, product.connections_max), (None, None));
    }

    #[test]
    fn takes_every_key() {
        let product = parse(
            "display_name = \"S\"\ndescription = \"D\"\nterms = \"T\\nU\"\nstate = \"published\"\n\
             subscription_required = true\napproval_required = true\nsubscriptions_limit = 3\nconnections_max = 4",
        )
        .expect("a product");
        assert_eq!((product.description.as_str(), product.terms.as_str()), ("D", "T\nU"));
        assert!(product.is_published && product.approval_required && !product.is_open());
        assert_eq!((product.subscriptions_limit, product.connections_max), (Some(3), Some(4)));
    }

    #[test]
    fn an_open_product_has_nothing_to_approve_or_to_limit() {
        let faults = parse(
            "display_name = \"S\"\nsubscription_required = false\napproval_required = true\nsubscriptions_limit = 1",
        )
        .expect_err("two faults");
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(
            parse("display_name = \"S\"\nsubscription_required = false\napproval_required = false").is_ok()
        );
    }

    #[test]
    fn every_key_is_refused_beyond_its_bounds() {
        for (line, key) in [
            (format!("display_name = {:?}", "é".repeat(301)), "display_name"),
            (format!("description = {:?}", "é".repeat(1001)), "description"),
            (format!("terms = {:?}", "é".repeat(65_537)), "terms"),
            ("state = \"Published\"".to_owned(), "state"),
            ("subscriptions_limit = 0".to_owned(), "subscriptions_limit"),
            ("connections_max = 0".to_owned(), "connections_max"),
            ("published = true".to_owned(), "published"),
        ] {
            let named = if key == "display_name" { "" } else { "display_name = \"S\"\n" };
            let faults = parse(&format!("{named}{line}")).expect_err(&line);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains(&format!(": {key} ")), "{faults:?}");
        }
    }
}
