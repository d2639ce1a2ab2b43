//! One gateway, from `gateways/<name>.toml`: the description of a group of instances.
//!
//! A gateway needs no file. Its name is what APIs and the instance file refer to, and it is known by that alone.

use super::fault::Fault;
use super::fields::Fields;
use super::name::Name;
use super::parsed::{Parsed, parse_entity};
use super::prose::parse_description;

/// Longest description of a gateway, in characters (Azure API Management's own bound).
const GATEWAY_DESCRIPTION_CHARS_MAX: usize = 1000;

/// Longest location of a gateway, in characters (Azure API Management's own bound).
const GATEWAY_LOCATION_CHARS_MAX: usize = 256;

/// A gateway's description, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The name, which is that of its file.
    pub name: Name,
    /// The description, at most 1000 characters. Default empty.
    pub description: String,
    /// The location, at most 256 characters. Default empty.
    pub location: String,
}

/// Reads a gateway's file. `file` is its name in faults; `name` is the gateway's.
///
/// # Errors
/// Every fault of the file, in the order of lines.
pub fn parse_gateway(file: &str, name: &str, text: &str) -> Result<Gateway, Vec<Fault>> {
    read_gateway(file, name, text).value
}

pub(crate) fn read_gateway(file: &str, name: &str, text: &str) -> Parsed<Gateway> {
    parse_entity(file, name, text, "a gateway", |document, name, _| take_gateway(document.fields(), name))
}

fn take_gateway(mut fields: Fields<'_>, name: Option<Name>) -> Option<Gateway> {
    let description =
        fields.take_text("description", |text| parse_description(text, GATEWAY_DESCRIPTION_CHARS_MAX));
    let location = fields.take_text("location", |text| parse_description(text, GATEWAY_LOCATION_CHARS_MAX));
    fields.finish();
    Some(Gateway {
        name: name?,
        description: description.unwrap_or_default(),
        location: location.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_a_gateway_and_unknown_keys_are_not() {
        assert_eq!(parse_gateway("gateways/edge.toml", "edge", "").unwrap().name.as_str(), "edge");
        let text = "description = \"D\"\nlocation = \"L\"";
        let gateway = parse_gateway("gateways/edge.toml", "edge", text).unwrap();
        assert_eq!((gateway.description.as_str(), gateway.location.as_str()), ("D", "L"));
        assert_eq!(parse_gateway("gateways/edge.toml", "edge", "apis = []").unwrap_err().len(), 1);
    }
}
