//! The columns with header fields that diagnostics name: an object from name to value, masked, in a bound.
//!
//! Not here: which fields are named (`catalog::diagnostics`), and where they come from (the front).

use super::masking::{Masking, Secrets};
use crate::catalog::request_name::HeaderName;
use crate::observe::tables::Json;
use std::collections::BTreeMap;

/// Bytes of the values in one column. Over it: a value is cut, and the ones behind it are left out; each such value ends in `…`.
pub const CAPTURED_BYTES_MAX: usize = 4096;

/// Stands where a value was cut.
const CUT: &str = "…";

/// The fields with these names, under the names as they are spelled here. A field that stands on several lines has its values
/// joined by commas.
pub fn captured<'f>(
    names: &[HeaderName],
    fields: impl Iterator<Item = (&'f str, &'f [u8])>,
    masking: &Masking<'_>,
    secrets: &Secrets,
) -> Json {
    if names.is_empty() {
        return Json(None);
    }
    let mut values = BTreeMap::<&str, String>::new();
    for (name, value) in fields {
        let Some(name) = names.iter().find(|known| known.as_str().eq_ignore_ascii_case(name)) else {
            continue;
        };
        // Before it is cut: half a secret is not found.
        let value = secrets.masked(&masking.field(name.as_str(), &String::from_utf8_lossy(value)));
        values
            .entry(name.as_str())
            .and_modify(|joined| {
                joined.push_str(", ");
                joined.push_str(&value);
            })
            .or_insert(value);
    }
    let mut room = CAPTURED_BYTES_MAX;
    for value in values.values_mut() {
        if value.len() > room {
            value.truncate(value.floor_char_boundary(room));
            room = 0;
            value.push_str(CUT);
        } else {
            room -= value.len();
        }
    }
    let object: serde_json::Map<_, _> =
        values.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    Json((!object.is_empty()).then(|| serde_json::Value::Object(object).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::api::KeyNames;

    fn names(names: &[&str]) -> Vec<HeaderName> {
        names.iter().map(|name| HeaderName::parse_any(name).unwrap()).collect()
    }

    fn shown(named: &[&str], fields: &[(&str, &str)]) -> Option<String> {
        let key_names = KeyNames::default();
        let masking = Masking::of_api(&key_names, &[]);
        let secrets = Secrets::default().with(&["hush".into()]);
        let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
        captured(&names(named), fields, &masking, &secrets).0
    }

    #[test]
    fn named_fields_are_shown_under_the_names_of_the_diagnostics_and_joined() {
        assert_eq!(
            shown(
                &["User-Agent", "x-list", "X-None"],
                &[("user-agent", "a/1"), ("X-List", "1"), ("X-Other", "o"), ("x-LIST", "2")]
            )
            .as_deref(),
            Some(r#"{"User-Agent":"a/1","x-list":"1, 2"}"#)
        );
        assert_eq!(shown(&["X-None"], &[("X", "1")]), None);
        assert_eq!(shown(&[], &[("X", "1")]), None);
    }

    #[test]
    fn secrets_are_masked_in_them() {
        let json = shown(
            &[
                "Authorization",
                "Cookie",
                "Ocp-Apim-Subscription-Key",
                "X-Quotes",
                "Referer",
                "Sec-WebSocket-Protocol",
            ],
            &[
                ("Authorization", "Bearer t0ken"),
                ("Cookie", "a=b"),
                ("Cookie", "c=d"),
                ("ocp-apim-subscription-key", "k3y"),
                ("X-Quotes", "it says hush"),
                ("Referer", "https://h/a?b=c"),
                ("Sec-WebSocket-Protocol", "chat, bearer.t0ken"),
            ],
        );
        let expected = r#"{"Authorization":"***","Cookie":"***, ***","Ocp-Apim-Subscription-Key":"***","Referer":"https://h/a?b=***","Sec-WebSocket-Protocol":"chat, bearer.***","X-Quotes":"it says ***"}"#;
        assert_eq!(json.as_deref(), Some(expected));
    }

    #[test]
    fn what_is_beyond_the_bound_is_cut_and_says_so() {
        let long = "é".repeat(CAPTURED_BYTES_MAX / 2 - 1);
        let json =
            shown(&["A", "B", "C", "D"], &[("A", &long), ("B", "1"), ("C", "éé"), ("D", "4")]).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["B"], &json["C"], &json["D"]), (&"1".into(), &"…".into(), &"…".into()));
        let kept: usize =
            ["A", "B", "C"].iter().map(|name| json[name].as_str().unwrap().replace(CUT, "").len()).sum();
        assert!((CAPTURED_BYTES_MAX - 1..=CAPTURED_BYTES_MAX).contains(&kept), "{kept}");
        // A secret that the cut would halve.
        let before = "x".repeat(CAPTURED_BYTES_MAX - 2);
        let json = shown(&["A"], &[("A", &format!("{before}hush"))]).unwrap();
        assert!(!json.contains("hu"), "{json}");
    }
}
