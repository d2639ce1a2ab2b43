//! Parameters of a query, for `set-query-parameter` and `rewrite-uri`.
//!
//! Parameters that are not changed keep their spelling.

use super::fields::ExistsAction;
use crate::head::percent::{percent_decoded, percent_encoded};

/// Whether `pair`, `name=value` as it is spelled, has this name. Names are compared decoded, and without case, as Azure API
/// Management compares them.
fn has_name(pair: &str, name: &str) -> bool {
    let given = pair.split_once('=').map_or(pair, |(given, _)| given);
    percent_decoded(given).eq_ignore_ascii_case(name.as_bytes())
}

/// The values of the parameter `name`, decoded; what is no text then is none.
pub(crate) fn values(query: &str, name: &str) -> impl Iterator<Item = String> {
    let pairs = query.split('&').filter(move |pair| has_name(pair, name));
    pairs.map(|pair| {
        let value = pair.split_once('=').map_or("", |(_, value)| value);
        String::from_utf8(percent_decoded(value).into_owned()).unwrap_or_default()
    })
}

/// The query with the parameter `name` set.
pub(crate) fn changed<V: AsRef<str>>(query: &str, name: &str, action: ExistsAction, values: &[V]) -> String {
    let pairs = || query.split('&').filter(|pair| !pair.is_empty());
    let is_there = pairs().any(|pair| has_name(pair, name));
    if action == ExistsAction::Skip && is_there {
        return query.to_owned();
    }
    let keeps_old = action == ExistsAction::Append;
    let mut made: Vec<String> =
        pairs().filter(|pair| keeps_old || !has_name(pair, name)).map(str::to_owned).collect();
    if action != ExistsAction::Delete {
        made.extend(
            values
                .iter()
                .map(|value| format!("{}={}", percent_encoded(name), percent_encoded(value.as_ref()))),
        );
    }
    made.join("&")
}

/// The pairs of `query` whose names `template` does not have.
pub(crate) fn unmatched<'q>(query: &'q str, template: &'q str) -> impl Iterator<Item = &'q str> {
    query.split('&').filter(move |pair| {
        let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
        let name = String::from_utf8_lossy(&percent_decoded(name)).into_owned();
        !pair.is_empty() && !template.split('&').any(|given| has_name(given, &name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_exists_action_does_what_it_says() {
        use ExistsAction::{Append, Delete, Override, Skip};
        for (action, values, expected) in [
            (Override, &["x y", "\r\n&"][..], "c=%zz&b=x%20y&b=%0D%0A%26"),
            (Skip, &["x"], "a=1&%42=2&c=%zz&b"),
            (Append, &["x"], "a=1&%42=2&c=%zz&b&b=x"),
            (Delete, &[], "a=1&c=%zz"),
        ] {
            let given = if action == Override { "c=%zz&%42=2&b" } else { "a=1&%42=2&c=%zz&b" };
            assert_eq!(changed(given, "b", action, values), expected, "{action:?}");
        }
        assert_eq!(changed("", "é", Skip, &["1"]), "%C3%A9=1");
        assert_eq!(changed("&&a", "b", Delete, &[""; 0]), "a");
    }

    #[test]
    fn what_a_template_names_is_matched() {
        assert_eq!(unmatched("a=1&B=2&&c", "b=x").collect::<Vec<_>>(), ["a=1", "c"]);
        assert_eq!(unmatched("", "b").count(), 0);
    }
}
