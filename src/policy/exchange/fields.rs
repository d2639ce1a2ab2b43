//! The fields of a head as policies see and change them.
//!
//! The property to trust: no name and no value in here can end its line, and fields of the handshake or the connection stay as
//! they came. Both are checked where a field is set, whoever sets it.
//!
//! Not here: which fields a leg gets written anew (`http1::encode`).

use crate::head::Header;
use crate::head::forwarding::is_of_connection;
use crate::policy::expression;

/// Bytes that the fields of a head may have after policies have changed it, a request's target among them, and how many
/// there may be. Over it: the policy fails, and the client gets a 500.
const POLICY_FIELDS_BYTES_MAX: usize = 32 * 1024;

/// See [`POLICY_FIELDS_BYTES_MAX`].
const POLICY_FIELDS_MAX: usize = 200;

/// Names and values in order.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<Field>);

#[derive(Clone)]
struct Field {
    name: Box<str>,
    /// As policies read it: what is not UTF-8 is read as Latin-1.
    text: Box<str>,
    /// As it came, where that is not its text.
    came: Option<Box<[u8]>>,
}

/// Names only: values carry keys and tokens.
impl core::fmt::Debug for Field {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(&self.name)
    }
}

/// Why a field was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldFault {
    /// A name with characters that no name has.
    Name,
    /// A value with a line end or another control character.
    Value,
    /// The name of a field that policies may not touch.
    Owned,
    /// `Server`, which a policy may change and not take out.
    Kept,
    /// So many or so large ones that the head would exceed its bounds.
    TooMany,
}

impl FieldFault {
    /// Returns the fault's message, for policies and the log.
    pub fn message(self) -> &'static str {
        match self {
            Self::Name => "The name of a header has characters that none may have.",
            Self::Value => "The value of a header has control characters.",
            Self::Owned => {
                "The header belongs to the connection or to the opening handshake, and cannot be changed."
            }
            Self::Kept => "The header Server cannot be deleted.",
            Self::TooMany => "The headers would be too many or too large.",
        }
    }
}

/// The treatment of fields that exist already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExistsAction {
    /// They are replaced.
    Override,
    /// They stay, and nothing is set.
    Skip,
    /// They stay, and the values come behind them.
    Append,
    /// They are taken out, and nothing is set.
    Delete,
}

/// Fields of which each value has a line of its own; the values of others are joined by commas.
const SEPARATE: [&str; 12] = [
    "user-agent",
    "www-authenticate",
    "proxy-authenticate",
    "cookie",
    "set-cookie",
    "warning",
    "date",
    "expires",
    "if-modified-since",
    "if-unmodified-since",
    "last-modified",
    "retry-after",
];

/// Fields of the opening handshake (RFC 6455 §11.3).
const OWNED_PREFIX: &str = "sec-websocket-";

/// Whether policies may read the field and not change it: a connection's, the handshake's, and Host.
pub(crate) fn is_owned(name: &str) -> bool {
    let has_prefix =
        |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    has_prefix(OWNED_PREFIX) || name.eq_ignore_ascii_case("host") || is_of_connection(name)
}

/// RFC 9110 §5.6.2.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// RFC 9110 §5.5, obs-text included. No CR, LF or NUL.
pub(crate) fn is_value(value: &str) -> bool {
    value.bytes().all(|byte| byte == b'\t' || byte >= 0x20 && byte != 0x7f)
}

impl Fields {
    /// Fields as they came in a head.
    pub fn of<'h>(headers: impl Iterator<Item = Header<'h>>) -> Self {
        let read = |header: Header<'_>| match str::from_utf8(header.value) {
            Ok(text) => Field { name: header.name.into(), text: text.into(), came: None },
            Err(_) => Field {
                name: header.name.into(),
                text: header.value.iter().map(|byte| char::from(*byte)).collect(),
                came: Some(header.value.into()),
            },
        };
        Self(headers.map(read).collect())
    }

    /// The fields as they go on.
    pub fn iter(&self) -> impl Iterator<Item = Header<'_>> + Clone {
        self.0.iter().map(|field| Header {
            name: &field.name,
            value: field.came.as_deref().unwrap_or(field.text.as_bytes()),
        })
    }

    /// The values of `name`, in any case, in order.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &str> + Clone {
        self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| &*field.text)
    }

    /// Sets `name`, as `set-header` does.
    ///
    /// # Errors
    /// Why it was not set; nothing has changed.
    pub fn change<V: AsRef<str>>(
        &mut self,
        name: &str,
        action: ExistsAction,
        values: &[V],
    ) -> Result<(), FieldFault> {
        if !is_name(name) {
            return Err(FieldFault::Name);
        }
        if is_owned(name) {
            return Err(FieldFault::Owned);
        }
        if !values.iter().all(|value| is_value(value.as_ref())) {
            return Err(FieldFault::Value);
        }
        let first = self.0.iter().position(|field| field.name.eq_ignore_ascii_case(name));
        if action == ExistsAction::Skip && first.is_some() {
            return Ok(());
        }
        let mut lines: Vec<&str> =
            if action == ExistsAction::Append { self.get_all(name).collect() } else { Vec::new() };
        if action != ExistsAction::Delete {
            lines.extend(values.iter().map(AsRef::as_ref));
        }
        let spelling = first.map_or(name, |first| &self.0[first].name);
        let is_separate = SEPARATE.iter().any(|separate| name.eq_ignore_ascii_case(separate));
        let joined = if is_separate || lines.len() < 2 { None } else { Some(lines.join(",")) };
        let field = |text: &str| Field { name: spelling.into(), text: text.trim().into(), came: None };
        let made: Vec<Field> = match &joined {
            Some(joined) => vec![field(joined)],
            None => lines.into_iter().map(field).collect(),
        };
        if made.is_empty() && first.is_some() && name.eq_ignore_ascii_case("server") {
            return Err(FieldFault::Kept);
        }
        self.check_room(name, &made)?;
        let at = first.unwrap_or(self.0.len());
        let is_other = |field: &Field| !field.name.eq_ignore_ascii_case(name);
        self.0.retain(is_other);
        // Nothing in front of the first was taken out.
        self.0.splice(at..at, made);
        Ok(())
    }

    /// Leaves these subprotocols, of those that are offered; with none, the field goes.
    pub(crate) fn set_protocols(&mut self, protocols: &str) {
        let is_meant = |field: &Field| field.name.eq_ignore_ascii_case("Sec-WebSocket-Protocol");
        let mut is_first = true;
        self.0.retain(|field| !is_meant(field) || core::mem::take(&mut is_first) && !protocols.is_empty());
        if let Some(field) = self.0.iter_mut().find(|field| is_meant(field)) {
            (field.text, field.came) = (protocols.into(), None);
        }
    }

    /// Whether there is room for `made` in the place of the fields called `name`.
    fn check_room(&self, name: &str, made: &[Field]) -> Result<(), FieldFault> {
        let others = self.0.iter().filter(|field| !field.name.eq_ignore_ascii_case(name));
        let (mut count, mut bytes) = (0, 0);
        for field in others.chain(made) {
            count += 1;
            // The colon, the space and the line end.
            bytes += field.name.len() + field.text.len() + 4;
        }
        // What came is within the bounds of heads, which are smaller: only what was made can exceed these.
        let is_in_bounds = count <= POLICY_FIELDS_MAX && bytes <= POLICY_FIELDS_BYTES_MAX;
        if made.is_empty() || is_in_bounds { Ok(()) } else { Err(FieldFault::TooMany) }
    }
}

impl expression::Fields for Fields {
    fn field(&self, index: usize) -> Option<(&str, &str)> {
        self.0.get(index).map(|field| (&*field.name, &*field.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        Fields::of(lines.iter().map(|(name, value)| Header { name, value: value.as_bytes() }))
    }

    fn text(fields: &Fields) -> String {
        fields.iter().map(|field| format!("{}: {}\n", field.name, field.value.escape_ascii())).collect()
    }

    #[test]
    fn each_exists_action_does_what_it_says() {
        use ExistsAction::{Append, Delete, Override, Skip};
        for (action, values, expected) in [
            (Override, &["c"][..], "A: 1\nx-B: c\nC: 2\n"),
            (Override, &["c", "d"], "A: 1\nx-B: c,d\nC: 2\n"),
            (Override, &[], "A: 1\nC: 2\n"),
            (Skip, &["c"], "A: 1\nx-B: a\nC: 2\nX-b: b\n"),
            (Append, &["c", "d"], "A: 1\nx-B: a,b,c,d\nC: 2\n"),
            (Delete, &[], "A: 1\nC: 2\n"),
        ] {
            let mut fields = fields(&[("A", "1"), ("x-B", "a"), ("C", "2"), ("X-b", "b")]);
            fields.change("X-B", action, values).expect("a field");
            assert_eq!(text(&fields), expected, "{action:?} {values:?}");
        }
        for action in [Override, Skip, Append] {
            let mut fields = fields(&[("A", "1")]);
            fields.change("Cookie", action, &["c", " d "]).expect("a field");
            assert_eq!(text(&fields), "A: 1\nCookie: c\nCookie: d\n", "{action:?}");
        }
    }

    #[test]
    fn no_value_and_no_name_ends_its_line() {
        let mut fields = fields(&[]);
        for bad in ["a\r\nB: c", "a\nb", "a\rb", "a\0b", "\u{7f}", "\u{1b}"] {
            assert_eq!(fields.change("A", ExistsAction::Override, &[bad]), Err(FieldFault::Value), "{bad:?}");
        }
        for bad in ["", "a b", "a:", "a\r\nb", "é", "a\0"] {
            assert_eq!(fields.change(bad, ExistsAction::Override, &["x"]), Err(FieldFault::Name), "{bad:?}");
        }
        assert_eq!(text(&fields), "");
        assert_eq!(fields.change("A", ExistsAction::Override, &["\té"]), Ok(()));
    }

    #[test]
    fn what_the_handshake_owns_stays() {
        let mut fields = fields(&[("Host", "a"), ("Sec-WebSocket-Key", "k")]);
        for name in [
            "host",
            "HOST",
            "Connection",
            "Upgrade",
            "sec-websocket-KEY",
            "Sec-WebSocket-Protocol",
            "Content-Length",
            "Transfer-Encoding",
            "TE",
        ] {
            for action in
                [ExistsAction::Override, ExistsAction::Delete, ExistsAction::Append, ExistsAction::Skip]
            {
                assert_eq!(fields.change(name, action, &["x"]), Err(FieldFault::Owned), "{name}");
            }
        }
        assert_eq!(text(&fields), "Host: a\nSec-WebSocket-Key: k\n");
    }

    #[test]
    fn what_came_goes_on_as_it_came() {
        let came = [Header { name: "X", value: b"\xe4\xff" }];
        let fields = Fields::of(came.into_iter());
        assert_eq!(fields.get_all("x").collect::<Vec<_>>(), ["\u{e4}\u{ff}"]);
        assert_eq!(fields.iter().next().map(|field| field.value), Some(&b"\xe4\xff"[..]));
    }

    #[test]
    fn heads_stay_within_their_bounds() {
        let mut fields = fields(&[]);
        let large = "x".repeat(POLICY_FIELDS_BYTES_MAX - 5);
        assert_eq!(fields.change("A", ExistsAction::Override, &[&large]), Ok(()));
        assert_eq!(fields.change("B", ExistsAction::Override, &["x"]), Err(FieldFault::TooMany));
        assert_eq!(fields.change("A", ExistsAction::Override, &["x"]), Ok(()));
        let many = vec!["x"; POLICY_FIELDS_MAX];
        assert_eq!(fields.change("Cookie", ExistsAction::Override, &many), Err(FieldFault::TooMany));
    }
}
