//! Masks secrets in what a trace shows, as the log does (`telemetry::masking`): secret named values, the subscription key, credentials
//! in headers, tokens.
//!
//! Not here: secrets in a document's own text (`policy`).

use crate::catalog::api::KeyNames;
use crate::catalog::fault::escaped;
use crate::head::Header;
use crate::telemetry::masking::{MASK, Masking, Secrets, scheme_of};

/// What is masked.
#[derive(Debug, Default)]
pub(super) struct Masks {
    key_names: KeyNames,
    secrets: Secrets,
}

impl Masks {
    /// Those of an API with these names for its key.
    pub(super) fn of_api(key_names: &KeyNames) -> Self {
        Self { key_names: key_names.clone(), secrets: Secrets::default() }
    }

    fn masking(&self) -> Masking<'_> {
        Masking::of_api(&self.key_names, &[])
    }

    /// Masks `secret` from here on, also as it is written in a query.
    pub(super) fn add(&mut self, secret: &str) {
        self.secrets = std::mem::take(&mut self.secrets).with(&[secret.into()]);
    }

    /// Masks the credentials in `fields` wherever else they turn up.
    pub(super) fn add_credentials<'h>(&mut self, fields: impl Iterator<Item = Header<'h>>) {
        self.secrets = std::mem::take(&mut self.secrets).with_fields(fields, &self.masking());
    }

    /// A field, its value masked if it is a credential. A scheme before it is none.
    pub(super) fn field(&self, field: Header<'_>) -> String {
        let (name, value) = (field.name, String::from_utf8_lossy(field.value));
        if self.masking().is_secret_field(name) {
            let scheme = scheme_of(name, &value);
            return escaped(format!("{name}: {scheme}{MASK}").chars());
        }
        self.masked(&format!("{name}: {}", self.masking().field(name, &value)))
    }

    /// `text` on one line, what is secret masked.
    pub(super) fn masked(&self, text: &str) -> String {
        escaped(self.secrets.masked(text).chars())
    }
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
        assert_eq!(masks.masked("chat, bearer.eyJhbGciOiJub25lIn0.e30.c2ln, v2"), "chat, bearer.***, v2");
    }

    #[test]
    fn credentials_are_masked_wherever_they_stand_and_their_scheme_is_not() {
        let mut masks = Masks::default();
        let field = |name, value: &'static str| Header { name, value: value.as_bytes() };
        let given = [
            field("Authorization", "Bearer abc.def"),
            field("Cookie", "one=first; n=1; two=second"),
            field("X-Api-Key", "another"),
            field("Sec-WebSocket-Protocol", "chat, bearer.token-of-it"),
            field("X", "free"),
        ];
        masks.add_credentials(given.into_iter());
        let quoted = "Bearer abc.def, second, another, token-of-it, 1, free";
        assert_eq!(masks.masked(quoted), "Bearer ***, ***, ***, ***, 1, free");
        let shown = given.map(|field| masks.field(field));
        let expected = [
            "Authorization: Bearer ***",
            "Cookie: ***",
            "X-Api-Key: ***",
            "Sec-WebSocket-Protocol: chat, bearer.***",
            "X: free",
        ];
        assert_eq!(shown, expected);
    }
}
