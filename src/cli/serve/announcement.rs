//! The announcement of a start: addresses, APIs, and how to try them.
//!
//! Not here: when it is printed (`serve`).

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::fmt::Write as _;

use super::Source;
use crate::catalog::Api;
use crate::compiled::Snapshot;
use crate::config::InstanceConfig;
use crate::control::instance::Instance;

/// Most APIs that a start names. Those beyond are counted.
const APIS_NAMED_MAX: usize = 20;

/// The status page of the instance.
#[derive(Clone, Copy, Debug)]
pub(super) enum StatusAt {
    /// It is served at this address.
    Served(SocketAddr),
    /// Another process has the address.
    Taken(SocketAddr),
}

/// Returns the lines before the APIs.
pub(super) fn head(
    instance: &Instance,
    config: &InstanceConfig,
    source: &Source,
    status: Option<StatusAt>,
) -> String {
    let mut text = String::new();
    let count = instance.workers();
    let (places, from) = (instance.places().limit(), instance.sessions_from());
    let plural = if count == 1 { "" } else { "s" };
    add(
        &mut text,
        format_args!("ringgate is open: {count} worker{plural}, at most {places} sessions ({from})"),
    );
    add(&mut text, format_args!("  {source}"));
    for (address, listener) in instance.addresses().iter().zip(&config.listeners) {
        let note = listener.note().map(|note| format!(" ({note})")).unwrap_or_default();
        add(&mut text, format_args!("  listening on {}://{address}{note}", listener.scheme()));
    }
    match status {
        Some(StatusAt::Served(address)) => add(&mut text, format_args!("  status page on http://{address}/")),
        Some(StatusAt::Taken(address)) => {
            add(
                &mut text,
                format_args!("  no status page yet: {address} is in use; it is tried again until it is free"),
            );
        }
        None => {}
    }
    text
}

/// The APIs, and how to try the first of them that a listener serves.
pub(super) fn apis(
    snapshot: &Snapshot,
    config: &InstanceConfig,
    addresses: &[SocketAddr],
    is_demo: bool,
) -> String {
    let mut text = String::new();
    let served = snapshot.served();
    if served.is_empty() {
        text.push_str("  no API is published: put one into the catalogue's apis folder\n");
    }
    for api in served.iter().take(APIS_NAMED_MAX) {
        let path = snapshot.path_of(api);
        if is_demo {
            add(&mut text, format_args!("  /{path} → the built-in echo server ({})", api.display_name));
        } else {
            add(&mut text, format_args!("  /{path} → {} ({})", api.backend, api.display_name));
        }
    }
    if let more @ 1.. = served.len().saturating_sub(APIS_NAMED_MAX) {
        add(&mut text, format_args!("  and {} more", grouped(more)));
    }
    match served.iter().find_map(|api| url_of(snapshot, api, config, addresses)) {
        Some((address, url)) => {
            let page = if is_demo { format!("http://{address}/ in a browser    or: ") } else { String::new() };
            let clients = format!("npx -y wscat -c {url}    or: python3 -m websockets {url}");
            add(&mut text, format_args!("try it: {page}{clients}"));
        }
        None if served.is_empty() => {}
        None => text.push_str("  no listener serves any of them: look at the schemes of the APIs and the tls of the listeners\n"),
    }
    text
}

/// How a client on this host reaches an API: the address, and the whole URL. `None`: no listener serves it.
fn url_of(
    snapshot: &Snapshot,
    api: &Api,
    config: &InstanceConfig,
    addresses: &[SocketAddr],
) -> Option<(SocketAddr, String)> {
    let schemes = snapshot.schemes_of(api);
    let mut listeners = addresses.iter().zip(&config.listeners);
    let is_served = |tls: bool| if tls { schemes.wss } else { schemes.ws };
    let (address, listener) = listeners.find(|(_, listener)| is_served(listener.tls.is_some()))?;
    let address = reachable(*address);
    Some((address, format!("{}://{address}/{}", listener.scheme(), snapshot.path_of(api))))
}

/// The address by which a client on this host reaches a listener: no client connects to all addresses at once.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A number with a comma before every three digits.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let first = (digits.len() - 1) % 3 + 1;
    let (start, rest) = digits.split_at(first);
    let groups = rest.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group));
    groups.fold(start.to_owned(), |text, group| text + "," + &group)
}

fn add(text: &mut String, line: fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a String does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::CatalogFiles;
    use crate::compiled::compile;
    use crate::config::parse_instance;

    /// The lines about so many APIs.
    fn lines(count: usize) -> Vec<String> {
        let mut files = CatalogFiles::default();
        for index in 0..count {
            let api = format!("display_name = \"A{index}\"\nurl = \"ws://h\"\nsuffix = \"a{index:04}\"\n");
            files.insert(&format!("apis/a{index:04}.toml"), api);
        }
        let snapshot = compile(&files, None).expect("no fault");
        let config = InstanceConfig::default();
        let addresses = ["0.0.0.0:8080".parse().expect("an address")];
        apis(&snapshot, &config, &addresses, false).lines().map(str::to_owned).collect()
    }

    #[test]
    fn names_twenty_apis_and_counts_the_others() {
        assert_eq!(lines(20).len(), 21);
        assert_eq!(lines(20)[19], "  /a0019 → ws://h (A19)");
        assert_eq!(lines(21)[20], "  and 1 more");
        let many = lines(3000);
        assert_eq!((many.len(), many[20].as_str()), (22, "  and 2,980 more"));
        let url = "ws://127.0.0.1:8080/a0000";
        assert_eq!(many[21], format!("try it: npx -y wscat -c {url}    or: python3 -m websockets {url}"));
        assert_eq!(lines(0), ["  no API is published: put one into the catalogue's apis folder"]);
    }

    #[test]
    fn tries_what_a_listener_serves_at_an_address_that_a_client_can_connect_to() {
        let mut files = CatalogFiles::default();
        let api = |suffix, schemes| {
            format!("display_name = \"A\"\nurl = \"ws://h\"\nsuffix = \"{suffix}\"\n{schemes}")
        };
        files.insert("apis/a.toml", api("a", "schemes = [\"ws\"]\n"));
        files.insert("apis/b.toml", api("b", ""));
        let tls = "tls = { certificates = [{ chain = \"c\", key = \"k\" }] }\n";
        let text = format!("[[listeners]]\naddress = \"[::]:443\"\n{tls}");
        let config = parse_instance("ringgate.toml", &text).expect("a correct file");
        let snapshot =
            compile(&files, None).expect("no fault").with_default_schemes(config.default_schemes());
        let addresses = [config.listeners[0].address];
        let said = apis(&snapshot, &config, &addresses, false);
        assert!(said.contains("try it: npx -y wscat -c wss://[::1]:443/b "), "{said}");
        files.remove("apis/b.toml");
        let snapshot =
            compile(&files, None).expect("no fault").with_default_schemes(config.default_schemes());
        let said = apis(&snapshot, &config, &addresses, false);
        assert!(said.contains("no listener serves any of them") && !said.contains("try it"), "{said}");
    }

    #[test]
    fn numbers_have_commas() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (2980, "2,980"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
