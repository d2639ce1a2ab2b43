//! Chooses the certificate for a client: one with the name that it asks for (SNI, RFC 6066 §3), else the first.
//!
//! An exact name goes before a wildcard, which stands for one label (RFC 6125 §6.4.3). Of several certificates for a name, the
//! first whose key type the client can check is taken: so a listener may have an RSA and an ECDSA certificate for one name.
//!
//! Not here: reading them (`files`), when they are read again (`listener`).

use core::fmt;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::files::Pair;

/// The certificates of one listener.
pub struct CertificateSet {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By what stands behind `*.`.
    wildcards: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// The first one, and those with just its names.
    defaults: Vec<Arc<CertifiedKey>>,
}

impl CertificateSet {
    /// The certificates of `pairs`, the first of which is the default.
    pub fn new(pairs: &[Pair]) -> Self {
        let mut set = Self { exact: HashMap::new(), wildcards: HashMap::new(), defaults: Vec::new() };
        for pair in pairs {
            for name in pair.facts.dns_names() {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut set.wildcards, parent),
                    None => (&mut set.exact, name),
                };
                map.entry(name.to_owned()).or_default().push(pair.certified.clone());
            }
            if pairs.first().is_some_and(|first| first.facts.names == pair.facts.names) {
                set.defaults.push(pair.certified.clone());
            }
        }
        set
    }

    /// The certificate for `name`, for a client that can check signatures of these kinds.
    pub fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        let candidates = name.and_then(|name| self.of_name(name)).unwrap_or(&self.defaults);
        let usable = candidates.iter().find(|certified| certified.key.choose_scheme(schemes).is_some());
        usable.or(candidates.first())
    }

    fn of_name(&self, name: &str) -> Option<&Vec<Arc<CertifiedKey>>> {
        let name = name.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        self.exact.get(name).or_else(|| self.wildcards.get(name.split_once('.')?.1))
    }
}

impl ResolvesServerCert for CertificateSet {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes()).cloned()
    }
}

impl fmt::Debug for CertificateSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.exact.keys().chain(self.wildcards.keys()).collect();
        names.sort();
        formatter.debug_struct("CertificateSet").field("names", &names).finish_non_exhaustive()
    }
}
