//! The place where the kernel writes the address of an accepted peer.
//!
//! Plain bytes in the kernel's layout, decoded field by field, so that no uninitialised or foreign struct is ever read
//! as something else. An unknown family, or a length that does not fit its family, decodes to nothing.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Bytes of `struct sockaddr_storage`: room for the address of any family.
const STORAGE_BYTES: usize = size_of::<libc::sockaddr_storage>();

/// Bytes of `struct sockaddr_in`: family 2, port 2, address 4, padding 8.
const IPV4_BYTES: usize = 16;

/// Bytes of `struct sockaddr_in6`: family 2, port 2, flow label 4, address 16, scope 4.
const IPV6_BYTES: usize = 28;

/// The buffer that accept fills in: an address and its length in bytes. Boxed, so that it stays in place.
#[repr(C, align(8))]
pub(super) struct PeerAddress {
    bytes: [u8; STORAGE_BYTES],
    length: libc::socklen_t,
}

impl PeerAddress {
    /// An empty place, its length set to what the kernel may write.
    pub(super) fn empty() -> Box<Self> {
        Box::new(PeerAddress { bytes: [0; STORAGE_BYTES], length: STORAGE_BYTES as libc::socklen_t })
    }

    /// Where the kernel writes the address. Valid as long as the box lives, wherever the box itself is moved.
    pub(super) fn address_pointer(&mut self) -> *mut libc::sockaddr {
        (&raw mut self.bytes).cast()
    }

    /// Where the kernel reads how much room there is and writes how much the address took. Valid like the address.
    pub(super) fn length_pointer(&mut self) -> *mut libc::socklen_t {
        &raw mut self.length
    }

    /// The address that was written; nothing if it is not one of IPv4 or IPv6.
    pub(super) fn parse(&self) -> Option<SocketAddr> {
        let written = self.bytes.get(..self.length as usize)?;
        let family = i32::from(u16::from_ne_bytes(field(written, 0)?));
        // Ports and addresses are in network order, the rest is in the host's.
        let port = u16::from_be_bytes(field(written, 2)?);
        match family {
            libc::AF_INET if written.len() >= IPV4_BYTES => {
                let address = Ipv4Addr::from(field::<4>(written, 4)?);
                Some(SocketAddr::V4(SocketAddrV4::new(address, port)))
            }
            libc::AF_INET6 if written.len() >= IPV6_BYTES => {
                let flow_label = u32::from_ne_bytes(field(written, 4)?);
                let address = Ipv6Addr::from(field::<16>(written, 8)?);
                let scope = u32::from_ne_bytes(field(written, 24)?);
                Some(SocketAddr::V6(SocketAddrV6::new(address, port, flow_label, scope)))
            }
            _ => None,
        }
    }
}

/// The `N` bytes at `offset`, if there are as many.
fn field<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place filled as the kernel would: family in host order, then the rest as given.
    fn written(family: i32, rest: &[u8], length: usize) -> Box<PeerAddress> {
        let mut place = PeerAddress::empty();
        place.bytes[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        place.bytes[2..2 + rest.len()].copy_from_slice(rest);
        place.length = length as libc::socklen_t;
        place
    }

    #[test]
    fn reads_an_ipv4_address() {
        let place = written(libc::AF_INET, &[0x1f, 0x90, 192, 0, 2, 7], IPV4_BYTES);
        assert_eq!(place.parse(), Some("192.0.2.7:8080".parse().unwrap()));
    }

    #[test]
    fn reads_an_ipv6_address_with_its_scope() {
        let mut rest = vec![0x1f, 0x90, 0, 0, 0, 0];
        rest.extend_from_slice(&"fe80::1".parse::<Ipv6Addr>().unwrap().octets());
        rest.extend_from_slice(&3_u32.to_ne_bytes());
        let expected = SocketAddrV6::new("fe80::1".parse().unwrap(), 8080, 0, 3);
        assert_eq!(written(libc::AF_INET6, &rest, IPV6_BYTES).parse(), Some(SocketAddr::V6(expected)));
    }

    #[test]
    fn finds_no_address_in_what_is_cut_or_of_another_family() {
        for (family, length) in [
            (libc::AF_INET, 0),
            (libc::AF_INET, IPV4_BYTES - 1),
            (libc::AF_INET6, IPV4_BYTES),
            (libc::AF_INET6, IPV6_BYTES - 1),
            (libc::AF_UNIX, 2),
            (libc::AF_INET, STORAGE_BYTES + 1),
        ] {
            assert_eq!(written(family, &[], length).parse(), None, "family {family}, length {length}");
        }
    }
}
