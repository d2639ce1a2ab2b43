//! Authorities and certificates, made for tests.
//!
//! It names the crate from outside: tests outside of it use it too.

use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm, date_time_ymd,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use ringgate::catalog::tls::CertificateFiles;

/// An authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub(crate) struct Leaf {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let (params, key) = Self::params(name);
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// An authority that this one vouches for.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        let (params, key) = Self::params(name);
        Self(CertifiedIssuer::signed_by(params, key, &self.0).expect("an authority"))
    }

    fn params(name: &str) -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = named(name);
        (params, KeyPair::generate().expect("a key"))
    }

    /// A certificate for these names, valid now.
    pub(crate) fn leaf(&self, names: &[&str]) -> Leaf {
        self.leaf_with(names, |_| {})
    }

    /// A certificate that is valid no more.
    pub(crate) fn expired_leaf(&self, names: &[&str]) -> Leaf {
        self.leaf_with(names, |params| params.not_after = date_time_ymd(2020, 1, 1))
    }

    pub(crate) fn leaf_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        self.leaf_of(&PKCS_ECDSA_P256_SHA256, names, change)
    }

    /// As [`Self::leaf`], for the suites that need an RSA key.
    pub(crate) fn rsa_leaf(&self, names: &[&str]) -> Leaf {
        self.leaf_of(&PKCS_RSA_SHA256, names, |_| {})
    }

    fn leaf_of(
        &self,
        algorithm: &'static SignatureAlgorithm,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Leaf {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).expect("names");
        params.distinguished_name = named(names.first().map_or("leaf", String::as_str));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2099, 1, 1);
        change(&mut params);
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Leaf { certificate, key }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// This authority alone.
    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).expect("an authority");
        Arc::new(roots)
    }
}

impl Leaf {
    /// Writes `<name>.pem` and `<name>.key`.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> CertificateFiles {
        let files = CertificateFiles { chain: format!("{name}.pem"), key: format!("{name}.key") };
        std::fs::write(folder.join(&files.chain), self.certificate.pem()).expect("a file");
        let key = folder.join(&files.key);
        std::fs::write(&key, self.key.serialize_pem()).expect("a file");
        // A key that others can read is worth a warning.
        std::fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
        files
    }

    pub(crate) fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone()]
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::OrganizationName, "Ringgate Tests");
    distinguished.push(DnType::CommonName, name);
    distinguished
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A server with one certificate.
pub(crate) fn server_config(provider: &Arc<CryptoProvider>, leaf: &Leaf) -> ServerConfig {
    let config = ServerConfig::builder_with_provider(provider.clone());
    let config = config.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    config.with_single_cert(leaf.chain(), leaf.key_der()).expect("a pair")
}

/// A server that wants certificates of `clients`.
pub(crate) fn mutual_server_config(leaf: &Leaf, clients: &Authority) -> ServerConfig {
    let verifier = WebPkiClientVerifier::builder_with_provider(clients.roots(), provider());
    let config = ServerConfig::builder_with_provider(provider());
    let config = config.with_safe_default_protocol_versions().expect("versions");
    let config = config.with_client_cert_verifier(verifier.build().expect("a verifier"));
    config.with_single_cert(leaf.chain(), leaf.key_der()).expect("a pair")
}

/// A client that trusts `authority`.
pub(crate) fn client_config(provider: &Arc<CryptoProvider>, authority: &Authority) -> ClientConfig {
    let config = ClientConfig::builder_with_provider(provider.clone());
    let config = config.with_safe_default_protocol_versions().expect("versions");
    config.with_root_certificates(authority.roots()).with_no_client_auth()
}

/// A certificate of X.509 version 1, which no library of today makes, and its key: for `old.example`, valid until 2126.
pub(crate) const VERSION_1_PEM: [&str; 2] = [
    "\
-----BEGIN CERTIFICATE-----
MIIBWzCCAQECFFk5RkZeycMb2LVMKT46wQ8243BJMAoGCCqGSM49BAMCMC8xFzAV
BgNVBAoMDlJpbmdnYXRlIFRlc3RzMRQwEgYDVQQDDAtvbGQuZXhhbXBsZTAgFw0y
NjExMzAxMDU4NDFaGA8yMTI2MTEwNjEwNTg0MVowLzEXMBUGA1UECgwOUmluZ2dh
dGUgVGVzdHMxFDASBgNVBAMMC29sZC5leGFtcGxlMFkwEwYHKoZIzj0CAQYIKoZI
zj0DAQcDQgAE/Zxb3/47LExCEw+5gC79ydfpV/hmVYhoEW1eRr5iF+ZdyQhpA7X6
L8xV9tTuDbcb6Iit0nuWj/rgfgtgHCE55DAKBggqhkjOPQQDAgNIADBFAiEA8YtY
diQZFLDOzokWtr7bQFM+crnozbnOV/AQPvcC5Q0CIGxUmvkuoYFatdcUrviB+oUp
SSfJtEg69C47828V3TfY
-----END CERTIFICATE-----
",
    "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgNFa4cjjZ16g/2+sh
fDfVRxjl/m4MOkdIYOuYQfaqMkOhRANCAAT9nFvf/jssTEITD7mALv3J1+lX+GZV
iGgRbV5GvmIX5l3JCGkDtfovzFX21O4NtxvoiK3Se5aP+uB+C2AcITnk
-----END PRIVATE KEY-----
",
];

/// The certificate of [`VERSION_1_PEM`].
pub(crate) fn version_1() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(VERSION_1_PEM[0].as_bytes()).expect("a certificate")
}

/// A self-signed certificate for these names that is an authority's, as `openssl req -x509` makes them.
pub(crate) fn self_signed_authority(names: &[&str]) -> Leaf {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = named("self-signed");
    let key = KeyPair::generate().expect("a key");
    Leaf { certificate: params.self_signed(&key).expect("a certificate"), key }
}
