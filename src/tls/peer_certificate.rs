//! The fields of a certificate as plain values: for policies, for logs, and for the choice of ringgate's own.
//!
//! Nothing is verified here. A peer's certificate was verified in the handshake or, for a resumed connection, in the first one.
//!
//! Not here: who is trusted (`listener`, `backend`).

use core::fmt::Write as _;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_cert::certificate::{CertificateInner, Raw, Version};
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};

/// A name that a certificate is for (RFC 5280 §4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// A host, in lower case; may begin with `*.`.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A mailbox.
    Email(String),
    /// A URI.
    Uri(String),
}

/// A certificate's facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Whom it is for, as RFC 4514 writes it: the most specific part first, `CN=name,O=organization`.
    pub subject: String,
    /// Who issued it, likewise.
    pub issuer: String,
    /// Its number at its issuer: hexadecimal digits in upper case, two for each byte, without a sign byte.
    pub serial: String,
    /// SHA-1 of the whole of it: hexadecimal digits in upper case. It names a certificate; it proves nothing.
    pub thumbprint_sha1: String,
    /// SHA-256 of the whole of it, likewise.
    pub thumbprint_sha256: String,
    /// The names in its subjectAltName, in their order. Other kinds of names are left out.
    pub names: Vec<CertificateName>,
    /// The first second at which it is valid, since 1970.
    pub not_before: u64,
    /// The last one.
    pub not_after: u64,
    /// Whether it is of X.509 version 1, which has no names of hosts.
    pub is_version_1: bool,
    /// Whether it is an authority's (RFC 5280 §4.2.1.9).
    pub is_authority: bool,
}

/// The bytes are no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an x.509 certificate")]
pub struct MalformedCertificate;

impl PeerCertificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(der: &CertificateDer<'_>) -> Result<Self, MalformedCertificate> {
        // `Raw`: serial numbers that are longer than they should be are told all the same.
        let certificate = CertificateInner::<Raw>::from_der(der).map_err(|_| MalformedCertificate)?;
        let certificate = certificate.tbs_certificate();
        let names = certificate.get_extension::<SubjectAltName>().map_err(|_| MalformedCertificate)?;
        let names = names.map_or(Vec::new(), |(_, names)| names.0.iter().filter_map(known_name).collect());
        let serial = certificate.serial_number().as_bytes();
        let serial = serial.strip_prefix(&[0]).filter(|serial| !serial.is_empty()).unwrap_or(serial);
        let validity = certificate.validity();
        let constraints =
            certificate.get_extension::<BasicConstraints>().map_err(|_| MalformedCertificate)?;
        Ok(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            serial: hexadecimal(serial),
            thumbprint_sha1: hexadecimal(digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref()),
            thumbprint_sha256: hexadecimal(digest(&SHA256, der).as_ref()),
            names,
            not_before: validity.not_before.to_unix_duration().as_secs(),
            not_after: validity.not_after.to_unix_duration().as_secs(),
            is_version_1: certificate.version() == Version::V1,
            is_authority: constraints.is_some_and(|(_, constraints)| constraints.ca),
        })
    }

    /// The hosts in its names.
    pub fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter_map(|name| match name {
            CertificateName::Dns(name) => Some(name.as_str()),
            CertificateName::Ip(_) | CertificateName::Email(_) | CertificateName::Uri(_) => None,
        })
    }

    /// Whether it is valid no more.
    pub fn is_expired(&self, now: UnixTime) -> bool {
        now.as_secs() > self.not_after
    }

    /// Whether it is not valid yet.
    pub fn is_too_young(&self, now: UnixTime) -> bool {
        now.as_secs() < self.not_before
    }
}

fn known_name(name: &GeneralName) -> Option<CertificateName> {
    match name {
        GeneralName::DnsName(name) => Some(CertificateName::Dns(name.as_str().to_ascii_lowercase())),
        GeneralName::Rfc822Name(name) => Some(CertificateName::Email(name.to_string())),
        GeneralName::UniformResourceIdentifier(name) => Some(CertificateName::Uri(name.to_string())),
        GeneralName::IpAddress(address) => {
            let bytes = address.as_bytes();
            let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
            let v6 = <[u8; 16]>::try_from(bytes).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)));
            v4.or(v6).ok().map(CertificateName::Ip)
        }
        GeneralName::OtherName(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::RegisteredId(_) => None,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02X}").expect("writing to a String does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{DnType, SanType, SerialNumber};

    use super::*;
    use crate::tls::tests::pki::{Authority, version_1};

    fn parse(change: impl FnOnce(&mut rcgen::CertificateParams)) -> PeerCertificate {
        let leaf = Authority::new("the authority").leaf_with(&["Client.Example"], change);
        PeerCertificate::parse(leaf.certificate.der()).expect("a certificate")
    }

    #[test]
    fn tells_who_it_is_for_and_who_says_so() {
        let certificate = parse(|params| {
            params.serial_number = Some(SerialNumber::from_slice(&[0x80, 0x01, 0xff]));
            params.distinguished_name.push(DnType::OrganizationalUnitName, "a,b");
        });
        assert_eq!(certificate.subject, "OU=a\\,b,CN=Client.Example,O=Ringgate Tests");
        assert_eq!(certificate.issuer, "CN=the authority,O=Ringgate Tests");
        // The sign byte, which makes the number positive in DER, is no part of it.
        assert_eq!(certificate.serial, "8001FF");
        // 2019-01-01 and 2099-01-01.
        assert_eq!((certificate.not_before, certificate.not_after), (1_546_300_800, 4_070_908_800));
    }

    #[test]
    fn tells_every_kind_of_name_that_policies_know() {
        let certificate = parse(|params| {
            let text = |text: &str| text.try_into().expect("ascii");
            params.subject_alt_names.extend([
                SanType::DnsName(text("*.example")),
                SanType::IpAddress("10.0.0.1".parse().expect("an address")),
                SanType::IpAddress("fd00::1".parse().expect("an address")),
                SanType::Rfc822Name(text("a@example")),
                SanType::URI(text("spiffe://example/a")),
            ]);
        });
        assert_eq!(
            certificate.names,
            [
                CertificateName::Dns("client.example".to_owned()),
                CertificateName::Dns("*.example".to_owned()),
                CertificateName::Ip("10.0.0.1".parse().expect("an address")),
                CertificateName::Ip("fd00::1".parse().expect("an address")),
                CertificateName::Email("a@example".to_owned()),
                CertificateName::Uri("spiffe://example/a".to_owned()),
            ]
        );
        assert_eq!(certificate.dns_names().collect::<Vec<_>>(), ["client.example", "*.example"]);
    }

    #[test]
    fn tells_an_authority_and_a_version_1_from_what_a_server_shows() {
        let facts = |der: &CertificateDer<'_>| {
            let facts = PeerCertificate::parse(der).expect("a certificate");
            (facts.is_version_1, facts.is_authority)
        };
        let authority = Authority::new("the authority");
        assert_eq!(facts(authority.leaf(&["a"]).certificate.der()), (false, false));
        assert_eq!(facts(&authority.der()), (false, true));
        assert_eq!(facts(&version_1()), (true, false));
    }

    #[test]
    fn a_certificate_may_have_no_names() {
        assert_eq!(parse(|params| params.subject_alt_names.clear()).names, []);
    }

    #[test]
    fn thumbprints_are_hashes_of_the_whole_certificate() {
        use sha1::Digest as _;
        let leaf = Authority::new("the authority").leaf(&["a"]);
        let der = leaf.certificate.der();
        let certificate = PeerCertificate::parse(der).expect("a certificate");
        assert_eq!(certificate.thumbprint_sha1, hexadecimal(&sha1::Sha1::digest(der)));
        assert_eq!(certificate.thumbprint_sha256.len(), 64);
    }

    #[test]
    fn validity_includes_both_ends() {
        let certificate = parse(|_| {});
        let at = |seconds: u64| UnixTime::since_unix_epoch(core::time::Duration::from_secs(seconds));
        let (first, last) = (certificate.not_before, certificate.not_after);
        assert!(certificate.is_too_young(at(first - 1)) && !certificate.is_too_young(at(first)));
        assert!(certificate.is_expired(at(last + 1)) && !certificate.is_expired(at(last)));
    }

    #[test]
    fn other_bytes_are_no_certificate() {
        let leaf = Authority::new("the authority").leaf(&["a"]);
        let der = leaf.certificate.der().to_vec();
        for bytes in [&[][..], b"certificate", &der[..der.len() - 1], &[&der[..], &[0]].concat()] {
            assert_eq!(PeerCertificate::parse(&bytes.into()), Err(MalformedCertificate));
        }
    }
}
