//! `System.Uri`, as far as policies look into addresses: absolute ones of hierarchical schemes.
//!
//! Not here: relative addresses, which `new Uri(text)` refuses too; normalization of dots and percent-encodings.

/// An absolute address, split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    text: String,
    scheme: String,
    user_info: String,
    host: String,
    port: Option<u16>,
    path: String,
    query: String,
    fragment: String,
}

impl Uri {
    /// Splits `text`; `None` if it is no absolute address.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://")?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (rest, fragment) = split_before(rest, '#');
        let (rest, query) = split_before(rest, '?');
        let (authority, path) = split_before(rest, '/');
        let (user_info, host_and_port) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (host, port) = split_port(host_and_port)?;
        if !is_scheme
            || host.is_empty()
            || host.contains(|character: char| character.is_whitespace() || "<>\"\\^`{|}".contains(character))
        {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let host = host.to_lowercase();
        let path = if path.is_empty() { "/" } else { path };
        let authority = match port {
            Some(port) if Some(port) != default_port(&scheme) => format!("{host}:{port}"),
            Some(_) | None => host.clone(),
        };
        let at = if user_info.is_empty() { "" } else { "@" };
        Some(Self {
            text: format!("{scheme}://{user_info}{at}{authority}{path}{query}{fragment}"),
            user_info: user_info.to_owned(),
            host,
            port,
            path: path.to_owned(),
            query: query.to_owned(),
            fragment: fragment.to_owned(),
            scheme,
        })
    }

    /// The whole address.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn scheme(&self) -> &str {
        &self.scheme
    }

    pub(super) fn user_info(&self) -> &str {
        &self.user_info
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The scheme's own if none is written; -1 if that has none.
    pub(super) fn port(&self) -> i32 {
        self.port.or(default_port(&self.scheme)).map_or(-1, i32::from)
    }

    pub(super) fn is_default_port(&self) -> bool {
        self.port.is_none() || self.port == default_port(&self.scheme)
    }

    /// Host, and port if it is not the scheme's own.
    pub(super) fn authority(&self) -> String {
        if self.is_default_port() { self.host.clone() } else { format!("{}:{}", self.host, self.port()) }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// With its `?`.
    pub(super) fn query(&self) -> &str {
        &self.query
    }

    /// With its `#`.
    pub(super) fn fragment(&self) -> &str {
        &self.fragment
    }
}

/// Returns the text before `sign`, and the rest from it on.
fn split_before(text: &str, sign: char) -> (&str, &str) {
    text.split_at(text.find(sign).unwrap_or(text.len()))
}

fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    // The colons of an IPv6 address stand in brackets.
    let host_end = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[host_end..].rfind(':') {
        None => Some((authority, None)),
        Some(at) => {
            let (host, port) = authority.split_at(host_end + at);
            match &port[1..] {
                "" => Some((host, None)),
                digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                    Some((host, Some(digits.parse().ok()?)))
                }
                _ => None,
            }
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        "ftp" => Some(21),
        _ => None,
    }
}

/// `text` with everything but unreserved characters (RFC 3986 §2.3) percent-encoded, as `Uri.EscapeDataString` does it.
pub(super) fn escaped(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            made.push(char::from(byte));
        } else {
            made.push('%');
            made.extend(
                [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789ABCDEF"[usize::from(digit)])),
            );
        }
    }
    made
}

/// `text` without its percent-encodings. Those that are none, or give no UTF-8, stay as they are or become U+FFFD.
pub(super) fn unescaped(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut made = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digit = |ahead: usize| bytes.get(at + ahead).and_then(|digit| char::from(*digit).to_digit(16));
        match (byte, digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                made.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                made.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(made).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The names and values of a query without its `?`, decoded; `+` is a space.
pub(super) fn query_fields(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|field| !field.is_empty()).map(|field| {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        (unescaped(&name.replace('+', " ")), unescaped(&value.replace('+', " ")))
    })
}
