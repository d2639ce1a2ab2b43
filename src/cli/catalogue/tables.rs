//! A catalogue as tables for people: a line for each entity, columns as wide as they need to be.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::catalog::fault::Fault;
use crate::catalog::version_set::VersionScheme;
use crate::catalog::{Name, Schemes};
use crate::compiled::Snapshot;

/// How many there are of each kind, one a line.
pub(super) fn counts(snapshot: &Snapshot) -> String {
    let entities = snapshot.entities();
    let policies = &entities.policies;
    let documents =
        usize::from(policies.global.is_some()) + policies.of_products.len() + policies.of_apis.len();
    [
        ("apis", entities.apis.len()),
        ("products", entities.products.len()),
        ("subscriptions", entities.subscriptions.len()),
        ("gateways", entities.gateways.len()),
        ("version sets", entities.version_sets.len()),
        ("named values", entities.named_values.len()),
        ("policy documents", documents),
        ("policy fragments", policies.fragments.len()),
    ]
    .iter()
    .map(|(what, count)| format!("{what} {count}\n"))
    .collect()
}

/// A table for each kind that there is something of, with an empty line between two.
pub(super) fn tables(snapshot: &Snapshot) -> String {
    let entities = snapshot.entities();
    let apis = entities.apis.iter().map(|api| {
        let is_served = snapshot.served().binary_search_by(|served| served.name.cmp(&api.name)).is_ok();
        vec![
            api.name.to_string(),
            format!("/{}", snapshot.path_of(api)),
            text_or_dash(api.version.as_ref()),
            api.revision.to_string(),
            schemes(snapshot.schemes_of(api)),
            api.backend.to_string(),
            names(&api.products),
            if api.gateways.is_empty() { "every".to_owned() } else { names(&api.gateways) },
            yes_or_no(api.subscription_required),
            yes_or_no(is_served),
        ]
    });
    let products = entities.products.values().map(|product| {
        vec![
            product.name.to_string(),
            product.display_name.clone(),
            yes_or_no(product.is_published),
            yes_or_no(product.is_open()),
            text_or_dash(product.connections_max.as_ref()),
        ]
    });
    let subscriptions = entities.subscriptions.iter().map(|subscription| {
        let keys =
            [("primary", subscription.primary_key_hash), ("secondary", subscription.secondary_key_hash)];
        let keys: Vec<_> = keys.iter().filter(|(_, hash)| hash.is_some()).map(|(slot, _)| *slot).collect();
        vec![
            subscription.name.to_string(),
            subscription.display_name.clone(),
            subscription.scope.to_string(),
            subscription.state.name().to_owned(),
            text_or_dash(subscription.start_date.as_ref()),
            text_or_dash(subscription.ends_at().as_ref()),
            or_dash(keys.join(",")),
            text_or_dash(subscription.connections_max.as_ref()),
        ]
    });
    let gateways = entities
        .gateways
        .iter()
        .map(|gateway| vec![gateway.name.to_string(), or_dash(gateway.location.clone())]);
    let version_sets = entities.version_sets.values().map(|set| {
        let scheme = match &set.scheme {
            VersionScheme::Segment => "Segment".to_owned(),
            VersionScheme::Header(name) => format!("Header {name}"),
            VersionScheme::Query(name) => format!("Query {name}"),
        };
        vec![set.name.to_string(), set.display_name.clone(), scheme]
    });
    let named_values = entities.named_values.iter().map(|(name, named)| {
        let value = if named.is_secret { Fault::MASKED } else { named.value.as_str() };
        vec![name.to_string(), value.escape_default().to_string()]
    });
    let policies = &entities.policies;
    let document = |scope: &str, text: &Arc<str>| vec![scope.to_owned(), format!("{} bytes", text.len())];
    let mut documents: Vec<_> = policies.global.iter().map(|text| document("global", text)).collect();
    for (scope, of) in
        [("product", &policies.of_products), ("api", &policies.of_apis), ("fragment", &policies.fragments)]
    {
        documents.extend(of.iter().map(|(name, text)| document(&format!("{scope} {name}"), text)));
    }
    let api_columns = [
        "API",
        "PATH",
        "VERSION",
        "REVISION",
        "SCHEMES",
        "BACKEND",
        "PRODUCTS",
        "GATEWAYS",
        "NEEDS KEY",
        "SERVED",
    ];
    let subscription_columns =
        ["SUBSCRIPTION", "DISPLAY NAME", "SCOPE", "STATE", "FROM", "UNTIL", "KEYS", "CONNECTIONS"];
    [
        table(&api_columns, apis.collect()),
        table(&["PRODUCT", "DISPLAY NAME", "PUBLISHED", "OPEN", "CONNECTIONS"], products.collect()),
        table(&subscription_columns, subscriptions.collect()),
        table(&["GATEWAY", "LOCATION"], gateways.collect()),
        table(&["VERSION SET", "DISPLAY NAME", "SCHEME"], version_sets.collect()),
        table(&["NAMED VALUE", "VALUE"], named_values.collect()),
        table(&["POLICY DOCUMENT", "SIZE"], documents),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join("\n")
}

/// Rows under their columns; nothing where there are no rows.
fn table(columns: &[&str], rows: Vec<Vec<String>>) -> Option<String> {
    if rows.is_empty() {
        return None;
    }
    let heading = columns.iter().map(|column| (*column).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            write!(line, "{cell:width$}  ").expect("writing to a String does not fail");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    Some(text)
}

fn schemes(schemes: Schemes) -> String {
    match (schemes.ws, schemes.wss) {
        (true, true) => "ws,wss",
        (true, false) => "ws",
        (false, _) => "wss",
    }
    .to_owned()
}

fn names(names: &[Name]) -> String {
    or_dash(names.iter().map(Name::as_str).collect::<Vec<_>>().join(","))
}

fn yes_or_no(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn text_or_dash<T: ToString>(value: Option<&T>) -> String {
    or_dash(value.map(ToString::to_string).unwrap_or_default())
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks() {
        let rows = vec![vec!["é".to_owned(), "x".to_owned()], vec!["longer".to_owned(), "y".to_owned()]];
        assert_eq!(table(&["A", "B"], rows).as_deref(), Some("A       B\né       x\nlonger  y\n"));
        assert_eq!(table(&["A"], Vec::new()), None);
    }
}
