//! Which process listens on an address, by what `/proc` shows (proc_pid_net(5)).
//!
//! Not here: what is made of it (`addresses`).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::fs;

/// The state of a socket that listens, as `/proc/net/tcp` has it.
const LISTENS: &str = "0A";

/// The process that listens where `address` would be taken. `None`: nobody does, or this user may not know.
pub fn holder_of(address: SocketAddr) -> Option<i32> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let inodes: Vec<&str> = tables.iter().flat_map(|table| listening_inodes(table, address)).collect();
    if inodes.is_empty() {
        return None;
    }
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(number) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let is_one = |file: fs::DirEntry| {
            let target = fs::read_link(file.path()).unwrap_or_default();
            links.iter().any(|link| target.as_os_str() == link.as_str())
        };
        if files.flatten().any(is_one) {
            return Some(number);
        }
    }
    None
}

/// The inodes of the sockets of a table that listen where `address` would.
fn listening_inodes(table: &str, address: SocketAddr) -> impl Iterator<Item = &str> {
    table.lines().skip(1).filter_map(move |line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let local = address_of(local)?;
        let overlaps =
            local.ip() == address.ip() || local.ip().is_unspecified() || address.ip().is_unspecified();
        (*state == LISTENS && local.port() == address.port() && overlaps).then_some(*inode)
    })
}

/// An address as the table has it: 32-bit words in the host's order, in hexadecimal digits.
fn address_of(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words = ip.as_bytes().chunks(8).map(|word| u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok());
    let bytes: Vec<u8> =
        words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(v4) => IpAddr::V4(Ipv4Addr::from(v4)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?)),
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn finds_the_process_that_listens_and_none_where_nobody_does() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).expect("a free port");
            let bound = listener.local_addr().expect("an address");
            let own = i32::try_from(std::process::id()).expect("a process's number");
            assert_eq!(holder_of(bound), Some(own), "{bound}");
            drop(listener);
            assert_eq!(holder_of(bound), None, "{bound}");
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn reads_addresses_of_both_families() {
        for (text, address) in [
            ("0100007F:1F90", Some("127.0.0.1:8080")),
            ("00000000:0050", Some("0.0.0.0:80")),
            ("00000000000000000000000001000000:1F90", Some("[::1]:8080")),
            ("0100007F", None),
            ("xx:1F90", None),
        ] {
            assert_eq!(
                address_of(text),
                address.map(|address| address.parse().expect("an address")),
                "{text}"
            );
        }
    }
}
