//! Masks secrets wherever they occur: secret named values, the subscription key, credentials in headers, tokens.
//!
//! Not here: secrets in a document's own text (`policy`).

use std::sync::LazyLock;

use regex::Regex;

use crate::catalog::Fault;
use crate::catalog::fault::escaped;
use crate::head::Header;

/// Headers whose values open something.
const CREDENTIALS: [&str; 5] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", SUBSCRIPTION_KEY];

/// The header of the key, unless an API names another one; then the key itself is known.
const SUBSCRIPTION_KEY: &str = "ocp-apim-subscription-key";

/// Shortest credential, in bytes, that is masked beyond its own header: a shorter one is in every other line by chance.
const CREDENTIAL_BYTES_MIN: usize = 4;

/// A token in compact form, signed or encrypted: its header is the Base64 of what begins with `{"`.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"eyJ[A-Za-z0-9_-]*(\.[A-Za-z0-9_-]*){2,4}").expect("an expression that is in order")
});

/// Texts that are masked.
#[derive(Debug, Default)]
pub(super) struct Masks(Vec<String>);

impl Masks {
    /// Masks `secret` from here on, also as it is written in a query.
    pub(super) fn add(&mut self, secret: &str) {
        for form in [secret.to_owned(), percent_encoded(secret)] {
            if !form.is_empty() && !self.0.contains(&form) {
                self.0.push(form);
            }
        }
        // A secret may be a part of another one.
        self.0.sort_by_key(|form| core::cmp::Reverse(form.len()));
    }

    /// Masks the credentials in `fields` wherever else they turn up.
    pub(super) fn add_credentials<'h>(&mut self, fields: impl Iterator<Item = Header<'h>>) {
        for field in fields.filter(|field| is_credential(field.name)) {
            let value = String::from_utf8_lossy(field.value);
            let parts: Vec<&str> = if field.name.to_ascii_lowercase().ends_with("cookie") {
                value.split(';').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value).collect()
            } else {
                vec![behind_scheme(&value)]
            };
            for part in parts.into_iter().filter(|part| part.len() >= CREDENTIAL_BYTES_MIN) {
                self.add(part);
            }
        }
    }

    /// A field, its value masked if it is a credential.
    pub(super) fn field(&self, field: Header<'_>) -> String {
        let value = String::from_utf8_lossy(field.value);
        if !is_credential(field.name) {
            return self.masked(&format!("{}: {value}", field.name));
        }
        let scheme = value.strip_suffix(behind_scheme(&value)).unwrap_or_default();
        let scheme = if field.name.eq_ignore_ascii_case("cookie") { "" } else { scheme };
        self.masked(&format!("{}: {scheme}{}", field.name, Fault::MASKED))
    }

    /// `text` on one line, what is secret masked.
    pub(super) fn masked(&self, text: &str) -> String {
        let masked = self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, Fault::MASKED));
        escaped(TOKEN.replace_all(&masked, Fault::MASKED).chars())
    }
}

fn is_credential(name: &str) -> bool {
    CREDENTIALS.iter().any(|credential| name.eq_ignore_ascii_case(credential))
}

/// Returns the text behind `Bearer ` or another scheme, or the whole value if it has no scheme.
fn behind_scheme(value: &str) -> &str {
    value.split_once(' ').map_or(value, |(_, behind)| behind)
}

/// `text` as a query has it: everything but letters, digits and `-._~` encoded.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_wherever_it_stands() {
        let mut masks = Masks::default();
        masks.add("hu sh");
        masks.add("hu");
        assert_eq!(masks.masked("a=hu%20sh&b=hu sh\r\n"), "a=***&b=***\\r\\n");
    }

    #[test]
    fn a_token_is_masked_wherever_a_client_put_it() {
        let masks = Masks::default();
        for (text, shown) in [
            ("GET /a?token=eyJhbGciOiJub25lIn0.e30.&b=1", "GET /a?token=***&b=1"),
            ("chat, bearer.eyJhbGciOiJub25lIn0.e30.c2ln, v2", "chat, bearer.***, v2"),
            ("eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn", "***"),
            ("eyJust.a word", "eyJust.a word"),
        ] {
            assert_eq!(masks.masked(text), shown);
        }
    }

    #[test]
    fn credentials_are_masked_wherever_they_stand_and_their_scheme_is_not() {
        let mut masks = Masks::default();
        let field = |name, value: &'static str| Header { name, value: value.as_bytes() };
        let given = [
            field("Authorization", "Bearer abc.def"),
            field("Cookie", "one=first; n=1; two=second"),
            field("X", "free"),
        ];
        masks.add_credentials(given.into_iter());
        assert_eq!(masks.masked("Bearer abc.def, second, 1, free"), "Bearer ***, ***, 1, free");
        let shown = given.map(|field| masks.field(field));
        assert_eq!(shown, ["Authorization: Bearer ***", "Cookie: ***", "X: free"]);
    }
}
