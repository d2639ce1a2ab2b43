//! The value of `context.LastError`.

/// `context.LastError`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// The policy.
    pub source: &'static str,
    /// Why, from the catalogue.
    pub reason: &'static str,
    /// Why, in words.
    pub message: String,
    /// Whose document: `global`, `product` or `operation`; empty if none was reached.
    pub scope: &'static str,
    /// In which section.
    pub section: &'static str,
    /// Where in the section: `choose[1]/when[2]/check-header[1]`.
    pub path: Box<str>,
    /// The policy's `id`.
    pub policy_id: Option<Box<str>>,
}

impl LastError {
    /// Where it was and why, for the log: `inbound of operation, check-header[1]: HeaderNotFound`. Without its message, which may
    /// quote what a client sent. What no policy has failed in has no place.
    pub fn place_and_reason(&self) -> String {
        let Self { reason, scope, section, path, .. } = self;
        match (*scope, &**path) {
            ("", "") => format!("{reason}, before any policy"),
            ("", path) => format!("{path} in {section}: {reason}"),
            (scope, "") => format!("{section} of the {scope} document: {reason}"),
            (scope, path) => format!("{path} in {section} of the {scope} document: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_no_gaps_where_there_is_no_place() {
        let told = |scope, path: &str| {
            let error = LastError {
                source: "",
                reason: "SubscriptionKeyInvalid",
                message: "not shown".to_owned(),
                scope,
                section: "inbound",
                path: path.into(),
                policy_id: None,
            };
            error.place_and_reason()
        };
        assert_eq!(told("", ""), "SubscriptionKeyInvalid, before any policy");
        assert_eq!(told("", "a[1]"), "a[1] in inbound: SubscriptionKeyInvalid");
        assert_eq!(told("global", ""), "inbound of the global document: SubscriptionKeyInvalid");
        assert_eq!(told("global", "a[1]"), "a[1] in inbound of the global document: SubscriptionKeyInvalid");
    }
}
