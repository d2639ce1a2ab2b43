//! The URL of an API's backend, parsed once.
//!
//! An accepted URL can be dialled and put on a request line as it stands: it has no spaces, control characters, dot
//! segments or broken percent-encodings.
//!
//! Not here: resolving the host (the front), joining with a request's path (`compiled::snapshot`). `ws+unix:` is reserved: with
//! it, host and port become one variant of an endpoint, and path and authority stay as they are.

use core::fmt::{self, Write as _};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::fault::Remedy;
use super::suffix::is_path_byte;
use crate::limits::BACKEND_URL_CHARS_MAX;

/// The port of a `ws` URL that names none (RFC 6455 §3).
const WS_PORT: u16 = 80;
/// The port of a `wss` URL that names none.
const WSS_PORT: u16 = 443;

/// Longest host name and longest label of it, in characters (RFC 1035 §2.3.4).
const HOST_NAME_CHARS_MAX: usize = 253;
const HOST_LABEL_CHARS_MAX: usize = 63;

/// The host to dial.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BackendHost {
    /// An address.
    Ip(IpAddr),
    /// A name to resolve, in lower case.
    Name(String),
}

/// The schemes of a kind of URL, and what is said of a URL that is not allowed.
struct Schemes {
    plain: &'static str,
    tls: &'static str,
    allowed: &'static str,
    no_query: &'static str,
    no_user: &'static str,
}

const WEBSOCKET: Schemes = Schemes {
    plain: "ws",
    tls: "wss",
    allowed: "ws://host[:port][/path] or wss://host[:port][/path]",
    no_query: "remove the query: the backend gets that of the client's request",
    no_user: "remove the user information before @: set the Authorization header with a policy",
};

const HTTP: Schemes = Schemes {
    plain: "http",
    tls: "https",
    allowed: "http://host[:port][/path] or https://host[:port][/path]",
    no_query: "remove the query: it is not sent",
    no_user: "remove the user information before @: set the Authorization header in headers",
};

/// `ws://host[:port][/path]` or `wss://host[:port][/path]`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BackendUrl {
    /// Whether it is dialled with TLS (`wss`).
    pub is_tls: bool,
    /// The host to dial.
    pub host: BackendHost,
    /// The port that is dialled, never 0.
    pub port: u16,
    /// Empty, or the path with its leading `/`, percent-encoding as it was given.
    pub path: String,
    /// Host and port as they go into a Host header: without the port if it is the scheme's own.
    pub authority: String,
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "wss" } else { "ws" };
        write!(formatter, "{scheme}://{}{}", self.authority, self.path)
    }
}

impl BackendUrl {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// A description of the allowed URLs.
    pub fn parse(text: &str) -> Result<Self, Remedy> {
        Self::parse_of(text, &WEBSOCKET)
    }

    /// Takes an `http` or `https` URL apart, by the same rules.
    ///
    /// # Errors
    /// A description of the allowed URLs.
    pub fn parse_http(text: &str) -> Result<Self, Remedy> {
        Self::parse_of(text, &HTTP)
    }

    fn parse_of(text: &str, schemes: &Schemes) -> Result<Self, Remedy> {
        if text.chars().count() > BACKEND_URL_CHARS_MAX {
            return Err(format!("at most {BACKEND_URL_CHARS_MAX} characters").into());
        }
        let (is_tls, after_scheme) = after_scheme(text, schemes)?;
        let default_port = if is_tls { WSS_PORT } else { WS_PORT };
        if after_scheme.contains('?') {
            return Err(Remedy::act(schemes.no_query));
        }
        if after_scheme.contains('#') {
            return Err(Remedy::act("remove the fragment (#…): it is never sent"));
        }
        let (authority, path) = after_scheme.split_at(after_scheme.find('/').unwrap_or(after_scheme.len()));
        if authority.contains('@') {
            return Err(Remedy::act(schemes.no_user));
        }
        let (host, port) = split_port(authority, default_port)?;
        let host = parse_host(host)?;
        check_path(path)?;
        let authority = encode_authority(&host, port, default_port);
        Ok(Self { is_tls, host, port, path: path.to_owned(), authority })
    }

    /// The path to ask for: that of this URL, then `rest`, empty or with its leading `/`, with one `/` where they meet.
    pub fn path_with(&self, rest: &str) -> String {
        match (self.path.as_str(), rest) {
            ("", "") => "/".to_owned(),
            (base, "") => base.to_owned(),
            (base, rest) => [base.strip_suffix('/').unwrap_or(base), rest].concat(),
        }
    }

    /// Describes the allowed URLs of a backend.
    pub fn allowed() -> &'static str {
        WEBSOCKET.allowed
    }

    /// The backend at an address, at its root.
    pub fn of_address(address: core::net::SocketAddr) -> Self {
        let host = BackendHost::Ip(address.ip());
        let authority = encode_authority(&host, address.port(), WS_PORT);
        Self { is_tls: false, host, port: address.port(), path: "/".to_owned(), authority }
    }
}

fn after_scheme<'t>(text: &'t str, schemes: &Schemes) -> Result<(bool, &'t str), Remedy> {
    let (scheme, after) = text.split_once(':').unwrap_or(("", text));
    // RFC 3986 §3.1: schemes are the same in any case.
    let is_tls = match scheme.to_ascii_lowercase().as_str() {
        plain if plain == schemes.plain => false,
        tls if tls == schemes.tls => true,
        "ws+unix" if schemes.plain == WEBSOCKET.plain => {
            return Err(Remedy::act("ws+unix is not supported by this version: use ws:// or wss://"));
        }
        _ => return Err(schemes.allowed.into()),
    };
    let after = after.strip_prefix("//").ok_or_else(|| Remedy::from(schemes.allowed))?;
    Ok((is_tls, after))
}

fn split_port(authority: &str, default_port: u16) -> Result<(&str, u16), String> {
    let host_end = if authority.starts_with('[') {
        authority.find(']').map_or(authority.len(), |bracket| bracket + 1)
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(host_end);
    let Some(port) = port.strip_prefix(':') else {
        return if port.is_empty() { Ok((host, default_port)) } else { Err(host_allowed()) };
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(port) if is_number && port != 0 => Ok((host, port)),
        Ok(_) | Err(_) => Err("a port of 1 to 65535".to_owned()),
    }
}

fn parse_host(host: &str) -> Result<BackendHost, String> {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| host_allowed())?;
        return Ok(BackendHost::Ip(address.into()));
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(BackendHost::Ip(address.into()));
    }
    // A final dot makes a name absolute: the resolver then tries no search domains.
    let labels = host.strip_suffix('.').unwrap_or(host);
    let is_name = labels.len() <= HOST_NAME_CHARS_MAX
        && labels.split('.').all(is_label)
        // `127.1` and `1.2.3.400` are misspelt addresses, and no top-level domain is a number (RFC 3696 §2).
        && !labels.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if is_name { Ok(BackendHost::Name(host.to_ascii_lowercase())) } else { Err(host_allowed()) }
}

fn host_allowed() -> String {
    "a host that is a name in ascii, an ipv4 address or an ipv6 address in brackets".to_owned()
}

/// RFC 1123 §2.1, and `_`, which containers' names have.
fn is_label(label: &str) -> bool {
    (1..=HOST_LABEL_CHARS_MAX).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn check_path(path: &str) -> Result<(), String> {
    if !is_path(path.as_bytes()) {
        return Err("a path of url path characters, with others percent-encoded".to_owned());
    }
    let is_dot_segment =
        |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if path.split('/').any(is_dot_segment) {
        return Err("a path without '.' and '..' segments".to_owned());
    }
    Ok(())
}

/// RFC 3986 §3.3, whole percent-encodings included.
fn is_path(mut path: &[u8]) -> bool {
    loop {
        path = match path {
            [] => return true,
            [b'%', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => after,
            [byte, after @ ..] if *byte == b'/' || is_path_byte(*byte) => after,
            _ => return false,
        };
    }
}

fn encode_authority(host: &BackendHost, port: u16, default_port: u16) -> String {
    let mut authority = match host {
        BackendHost::Ip(IpAddr::V4(address)) => address.to_string(),
        BackendHost::Ip(IpAddr::V6(address)) => format!("[{address}]"),
        BackendHost::Name(name) => name.clone(),
    };
    if port != default_port {
        write!(authority, ":{port}").expect("writing to a String does not fail");
    }
    authority
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_every_form_of_host_apart() {
        let name = |name: &str| BackendHost::Name(name.to_owned());
        let ip = |address: &str| BackendHost::Ip(address.parse().expect("an address"));
        for (url, host, port, path, authority) in [
            ("ws://chat", name("chat"), 80, "", "chat"),
            ("ws://chat:80/", name("chat"), 80, "/", "chat"),
            ("WS://Chat.Example:9001/Socket", name("chat.example"), 9001, "/Socket", "chat.example:9001"),
            ("ws://chat.:1", name("chat."), 1, "", "chat.:1"),
            ("ws://my_chat-1:65535", name("my_chat-1"), 65535, "", "my_chat-1:65535"),
            ("ws://127.0.0.1:9001/socket", ip("127.0.0.1"), 9001, "/socket", "127.0.0.1:9001"),
            ("ws://[::1]", ip("::1"), 80, "", "[::1]"),
            ("ws://[0:0::1]:81/a", ip("::1"), 81, "/a", "[::1]:81"),
            ("ws://h/a%20b/c@d:e//f/", name("h"), 80, "/a%20b/c@d:e//f/", "h"),
            ("ws://h:443", name("h"), 443, "", "h:443"),
            ("wss://h", name("h"), 443, "", "h"),
            ("WSS://h:443/a", name("h"), 443, "/a", "h"),
            ("wss://[::1]:80", ip("::1"), 80, "", "[::1]:80"),
        ] {
            let parsed = BackendUrl::parse(url);
            let is_tls = url.starts_with("wss:") || url.starts_with("WSS:");
            let expected =
                BackendUrl { is_tls, host, port, path: path.to_owned(), authority: authority.to_owned() };
            assert_eq!(parsed, Ok(expected), "{url}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_url() {
        let long = format!("ws://h/{}", "a".repeat(1994));
        let long_label = format!("ws://{}", "a".repeat(64));
        let long_name = format!("ws://{}a", "a.".repeat(127));
        for (url, word) in [
            ("", "ws://"),
            ("chat", "ws://"),
            ("ws:chat", "ws://"),
            ("ws:/chat", "ws://"),
            ("http://chat", "ws://"),
            ("wss:chat", "ws://"),
            ("wsss://chat", "ws://"),
            ("ws+unix:/run/chat.sock", "not supported"),
            ("ws://h/a?b", "query"),
            ("ws://h?", "query"),
            ("ws://h/#", "fragment"),
            ("ws://u:p@h", "user information"),
            ("ws://@h", "user information"),
            ("ws://h:", "port"),
            ("ws://h:0", "port"),
            ("ws://h:65536", "port"),
            ("ws://h:+80", "port"),
            ("ws://h:8a", "port"),
            ("ws://", "host"),
            ("ws:///a", "host"),
            ("ws://:80", "host"),
            ("ws://a..b", "host"),
            ("ws://.", "host"),
            ("ws://-a", "host"),
            ("ws://a-", "host"),
            ("ws://a b", "host"),
            ("ws://bücher", "host"),
            ("ws://127.1", "host"),
            ("ws://256.1.1.1", "host"),
            ("ws://::1", "port"),
            ("ws://[::1", "host"),
            ("ws://[::1]x", "host"),
            ("ws://[127.0.0.1]", "host"),
            ("ws://[fe80::1%25eth0]", "host"),
            ("ws://h/a b", "path"),
            ("ws://h/%", "path"),
            ("ws://h/%2", "path"),
            ("ws://h/%zz", "path"),
            ("ws://h/é", "path"),
            ("ws://h/a/../b", "'..' segments"),
            ("ws://h/%2E.", "'..' segments"),
            ("ws://h/.", "'..' segments"),
            (&long, "2000 characters"),
            (&long_label, "host"),
            (&long_name, "host"),
        ] {
            let allowed = BackendUrl::parse(url).expect_err(url);
            assert!(allowed.text().contains(word), "{url}: {allowed:?}");
        }
    }

    #[test]
    fn accepts_the_longest_of_everything() {
        for url in [
            format!("ws://h/{}", "a".repeat(1993)),
            format!("ws://{}", "a".repeat(63)),
            format!("ws://{}a", "a.".repeat(126)),
        ] {
            assert!(BackendUrl::parse(&url).is_ok(), "{url}");
        }
    }

    #[test]
    fn an_address_makes_a_backend_at_its_root() {
        let address = "[::1]:9000".parse().expect("an address");
        assert_eq!(Ok(BackendUrl::of_address(address)), BackendUrl::parse("ws://[::1]:9000/"));
    }
}
