//! APIs whose backends are rustls' servers.

use std::fs;

use rustls::AlertDescription;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use tempfile::TempDir;

use super::pki::{Authority, Leaf, VERSION_1_PEM, provider, self_signed_authority, server_config, version_1};
use super::*;
use crate::catalog::tls::{BackendTls, CertificateFiles};
use crate::catalog::{BackendHost, BackendUrl};
use crate::tls::backend::{SystemAuthorities, TlsBackend, server_name};
use crate::tls::failed_check::FailedCheck;
use crate::tls::peer_certificate::PeerCertificate;
use crate::tls::record::Version;

fn load(tls: BackendTls, folder: &TempDir, system: &Authority) -> TlsBackend {
    let system = SystemAuthorities::of(system.roots());
    TlsBackend::load(tls, folder.path(), &system).expect("the files are right")
}

fn connect(backend: &TlsBackend, server: &Arc<ServerConfig>, host: &str) -> Result<Finished, HandshakeFault> {
    let url = BackendUrl::parse(&format!("wss://{host}")).expect("a url");
    let name = server_name(&url.host).expect("a name");
    let mut peer = Peer::server(server);
    let handshake = Handshake::with_backend(backend.config(), name).expect("a handshake");
    shake(handshake, &mut peer, usize::MAX).map(|(finished, _)| finished)
}

fn failed(backend: &TlsBackend, server: &Arc<ServerConfig>, host: &str) -> Result<(), FailedCheck> {
    connect(backend, server, host).map(|_| ()).map_err(|fault| FailedCheck::of(&fault))
}

fn server(leaf: &Leaf) -> Arc<ServerConfig> {
    Arc::new(server_config(&provider(), leaf))
}

/// The pin of a certificate, as an operator finds it.
fn pin_of(leaf: &Leaf) -> Option<[u8; 32]> {
    use aws_lc_rs::digest::{SHA256, digest};
    digest(&SHA256, leaf.certificate.der()).as_ref().try_into().ok()
}

#[test]
fn a_certificate_has_to_be_trusted_and_for_the_name() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let strange = Authority::new("strange");
    let intermediate = authority.intermediate("intermediate");
    let young = |params: &mut rcgen::CertificateParams| params.not_before = rcgen::date_time_ymd(2090, 1, 1);
    let for_clients = |params: &mut rcgen::CertificateParams| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    };
    let names: &[&str] = &["a.example", "*.wild.example", "127.0.0.1", "::1"];
    let good = server(&authority.leaf(names));
    let backend = load(BackendTls::default(), &folder, &authority);
    for (server, host, outcome) in [
        (&good, "a.example", Ok(())),
        (&good, "A.Example.:9000/path", Ok(())),
        (&good, "b.wild.example", Ok(())),
        (&good, "127.0.0.1", Ok(())),
        (&good, "[::1]:443", Ok(())),
        (&good, "b.example", Err(FailedCheck::WrongName)),
        (&good, "wild.example", Err(FailedCheck::WrongName)),
        (&good, "a.b.wild.example", Err(FailedCheck::WrongName)),
        (&good, "127.0.0.2", Err(FailedCheck::WrongName)),
        (&server(&authority.expired_leaf(names)), "a.example", Err(FailedCheck::Expired)),
        (&server(&authority.leaf_with(names, young)), "a.example", Err(FailedCheck::NotValidYet)),
        (&server(&strange.leaf(names)), "a.example", Err(FailedCheck::Untrusted)),
        (&server(&intermediate.leaf(names)), "a.example", Err(FailedCheck::Untrusted)),
        (&server(&authority.leaf_with(names, for_clients)), "a.example", Err(FailedCheck::WrongPurpose)),
    ] {
        assert_eq!(failed(&backend, server, host), outcome, "{host}");
    }
}

#[test]
fn a_backend_is_told_why_it_is_refused() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let backend = load(BackendTls::default(), &folder, &authority);
    for (leaf, alert) in [
        (authority.expired_leaf(&["a.example"]), AlertDescription::CertificateExpired),
        (Authority::new("strange").leaf(&["a.example"]), AlertDescription::UnknownCA),
    ] {
        let mut peer = Peer::server(&server(&leaf));
        let name = ServerName::try_from("a.example").expect("a name");
        let mut handshake = Handshake::with_backend(backend.config(), name).expect("a handshake");
        let (mut received, mut out) = (Vec::new(), Vec::new());
        assert!(matches!(handshake.advance(&mut received, &mut out), Ok(Progress::NeedsMore)));
        peer.take(&out).expect("a client's hello");
        out.clear();
        assert!(handshake.advance(&mut peer.give(), &mut out).is_err());
        assert_eq!(peer.take(&out), Err(rustls::Error::AlertReceived(alert)));
    }
}

#[test]
fn a_self_signed_authority_that_is_its_own_ca_is_told_with_the_file_and_the_remedy() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let leaf = self_signed_authority(&["a.example"]);
    fs::write(folder.path().join("ca.pem"), leaf.certificate.pem()).expect("a file");
    let trusting = BackendTls { ca: Some("ca.pem".to_owned()), ..BackendTls::default() };
    let backend = load(trusting, &folder, &authority);
    let fault = connect(&backend, &server(&leaf), "a.example").map(|_| ()).expect_err("an authority's");
    let told = fault.to_string();
    let file = folder.path().join("ca.pem").display().to_string();
    let pin = PeerCertificate::parse(leaf.certificate.der()).expect("a certificate").thumbprint_sha256;
    for part in ["CA:TRUE", &file, "CA:FALSE", &format!("tls.pin = \"{}\"", pin.to_lowercase())] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert_eq!(FailedCheck::of(&fault), FailedCheck::WrongPurpose);
    // The remedy that it names is one.
    let pinned = load(BackendTls { pin: pin_of(&leaf), ..BackendTls::default() }, &folder, &authority);
    assert_eq!(failed(&pinned, &server(&leaf), "a.example"), Ok(()));
}

#[test]
fn a_certificate_of_version_1_is_told_with_the_remedy() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("ca.pem"), VERSION_1_PEM[0]).expect("a file");
    let trusting = BackendTls { ca: Some("ca.pem".to_owned()), ..BackendTls::default() };
    let backend = load(trusting, &folder, &Authority::new("authority"));
    let key = PrivateKeyDer::from_pem_slice(VERSION_1_PEM[1].as_bytes()).expect("a key");
    let key = provider().key_provider.load_private_key(key).expect("a key");
    // As a server that does not look at its own certificate shows it.
    let shown = Arc::new(CertifiedKey::new(vec![version_1()], key));
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)));
    let fault = connect(&backend, &Arc::new(config), "old.example").map(|_| ()).expect_err("version 1");
    let told = fault.to_string();
    let file = folder.path().join("ca.pem").display().to_string();
    for part in ["X.509 version 1", "CN=old.example", &file, "subjectAltName"] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[test]
fn an_api_has_authorities_of_its_own() {
    let folder = TempDir::new().expect("a folder");
    let (system, own) = (Authority::new("system"), Authority::new("own"));
    fs::write(folder.path().join("ca.pem"), own.pem()).expect("a file");
    let backend =
        load(BackendTls { ca: Some("ca.pem".to_owned()), ..BackendTls::default() }, &folder, &system);
    assert_eq!(failed(&backend, &server(&own.leaf(&["a.example"])), "a.example"), Ok(()));
    let of_system = server(&system.leaf(&["a.example"]));
    assert_eq!(failed(&backend, &of_system, "a.example"), Err(FailedCheck::Untrusted));
}

#[test]
fn a_pin_stands_for_the_chain_and_for_nothing_else() {
    let folder = TempDir::new().expect("a folder");
    let (system, own) = (Authority::new("system"), Authority::new("own"));
    let pinned =
        |leaf: &Leaf| load(BackendTls { pin: pin_of(leaf), ..BackendTls::default() }, &folder, &system);
    let (leaf, other) = (own.leaf(&["a.example"]), own.leaf(&["a.example"]));
    assert_eq!(failed(&pinned(&leaf), &server(&leaf), "a.example"), Ok(()));
    assert_eq!(failed(&pinned(&leaf), &server(&other), "a.example"), Err(FailedCheck::WrongPin));
    // Not even one that the system trusts.
    let of_system = server(&system.leaf(&["a.example"]));
    assert_eq!(failed(&pinned(&leaf), &of_system, "a.example"), Err(FailedCheck::WrongPin));
    assert_eq!(failed(&pinned(&leaf), &server(&leaf), "b.example"), Err(FailedCheck::WrongName));
    let expired = own.expired_leaf(&["a.example"]);
    assert_eq!(failed(&pinned(&expired), &server(&expired), "a.example"), Err(FailedCheck::Expired));
    // The certificate is no secret: whoever has it without its key is not the backend.
    let impostor = without_key(&leaf, &other);
    assert_eq!(failed(&pinned(&leaf), &impostor, "a.example"), Err(FailedCheck::BadSignature));
}

#[test]
fn a_backend_has_to_have_the_key_of_its_certificate() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let (leaf, other) = (authority.leaf(&["a.example"]), authority.leaf(&["a.example"]));
    let backend = load(BackendTls::default(), &folder, &authority);
    assert_eq!(failed(&backend, &without_key(&leaf, &other), "a.example"), Err(FailedCheck::BadSignature));
}

/// A server that shows one certificate and signs with the key of another.
fn without_key(shown: &Leaf, other: &Leaf) -> Arc<ServerConfig> {
    let key = provider().key_provider.load_private_key(other.key_der()).expect("a key");
    let certified = CertifiedKey::new(shown.chain(), key);
    let mut config = server_config(&provider(), other);
    config.cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    Arc::new(config)
}

#[test]
fn a_certificate_is_shown_to_a_backend_that_asks() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let own = authority.leaf(&["ringgate"]);
    let files = own.write(folder.path(), "own");
    let verifier = WebPkiClientVerifier::builder_with_provider(authority.roots(), provider());
    let config = ServerConfig::builder_with_provider(provider());
    let config = config.with_protocol_versions(&[&rustls::version::TLS12]).expect("a version");
    let config = config.with_client_cert_verifier(verifier.build().expect("a verifier"));
    let leaf = authority.leaf(&["a.example"]);
    let asking = Arc::new(config.with_single_cert(leaf.chain(), leaf.key_der()).expect("a pair"));

    let showing = BackendTls { certificate: Some(files), ..BackendTls::default() };
    assert_eq!(failed(&load(showing, &folder, &authority), &asking, "a.example"), Ok(()));
    // TLS 1.2: the backend's refusal comes within the handshake. 116 is certificate_required, 40 handshake_failure.
    let refused = failed(&load(BackendTls::default(), &folder, &authority), &asking, "a.example");
    assert!(matches!(refused, Err(FailedCheck::Alert(116 | 40))), "{refused:?}");
}

#[test]
fn what_is_known_of_a_backend_is_told() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let mut config = server_config(&provider(), &authority.leaf(&["a.example"]));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let backend = load(BackendTls::default(), &folder, &authority);
    let finished = connect(&backend, &Arc::new(config), "a.example").expect("a connection");
    assert_eq!(finished.alpn.as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(finished.records.suite().version, Version::Tls13);
    let chain = finished.peer_chain.expect("a server has a certificate");
    let subject = PeerCertificate::parse(&chain[0]).expect("a certificate").subject;
    assert_eq!(subject, "CN=a.example,O=Ringgate Tests");
}

#[test]
fn other_ends_have_names_too() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let backend = load(BackendTls::default(), &folder, &authority);
    let answered = |bytes: &[u8]| {
        let name = ServerName::try_from("a.example").expect("a name");
        let mut handshake = Handshake::with_backend(backend.config(), name).expect("a handshake");
        let progress = handshake.advance(&mut bytes.to_vec(), &mut Vec::new());
        progress.map_err(|fault| FailedCheck::of(&fault).to_string())
    };
    for (bytes, name) in [
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], "plain_http"),
        (&[21, 3, 3, 0, 2, 2, 70], "alert protocol_version"),
        (&[21, 3, 3, 0, 2, 2, 40], "alert handshake_failure"),
        (&[21, 3, 3, 0, 2, 2, 112], "alert unrecognized_name"),
        (b"SSH-2.0-OpenSSH", "protocol"),
        (b"HTTPS", "protocol"),
        (b"\0\0\0\0\0\0\0\0", "protocol"),
    ] {
        assert_eq!(answered(bytes), Err(name.to_owned()), "{bytes:?}");
    }
    // rustls overlooks a close_notify before there is a version; the end of the stream follows it.
    assert_eq!(answered(&[21, 3, 3, 0, 2, 1, 0]), Ok(Progress::NeedsMore));
    assert_eq!(server_name(&BackendHost::Name("a".repeat(300))), None);
}

#[test]
fn files_of_an_api_are_read_again() {
    let folder = TempDir::new().expect("a folder");
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let write =
        |authority: &Authority| fs::write(folder.path().join("ca.pem"), authority.pem()).expect("a file");
    write(&first);
    let tls = BackendTls { ca: Some("ca.pem".to_owned()), ..BackendTls::default() };
    let mut backend = load(tls, &folder, &first);
    let of_second = server(&second.leaf(&["a.example"]));
    assert_eq!(failed(&backend, &of_second, "a.example"), Err(FailedCheck::Untrusted));
    write(&second);
    assert!(backend.has_changed());
    backend.reload().expect("authorities");
    assert_eq!(failed(&backend, &of_second, "a.example"), Ok(()));
    fs::write(folder.path().join("ca.pem"), "").expect("a file");
    assert!(backend.has_changed() && backend.reload().is_err() && !backend.has_changed());
    assert_eq!(failed(&backend, &of_second, "a.example"), Ok(()));
}

#[test]
fn says_what_is_wrong_with_the_files_of_an_api() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let missing = CertificateFiles { chain: "own.pem".to_owned(), key: "own.key".to_owned() };
    let tls = BackendTls { ca: Some("ca.pem".to_owned()), certificate: Some(missing), pin: None };
    let faults = TlsBackend::load(tls, folder.path(), &SystemAuthorities::of(authority.roots()));
    assert_eq!(faults.expect_err("two files are missing").len(), 2);
    // One that can be used, and read by others.
    let pair = authority.leaf(&["a.example"]).write(folder.path(), "shown");
    let key = folder.path().join("shown.key");
    fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o640)).expect("a mode");
    let backend = load(BackendTls { certificate: Some(pair), ..BackendTls::default() }, &folder, &authority);
    assert!(backend.warnings()[0].contains("shown.key: this private key is open to its group (mode 0640)"));
    let none = SystemAuthorities::of(Arc::new(rustls::RootCertStore::empty()));
    let faults =
        TlsBackend::load(BackendTls::default(), folder.path(), &none).expect_err("nobody is trusted");
    assert!(faults[0].to_string().starts_with("the system's store has authorities that cannot be used"));
    // A pin needs none.
    let pinned = BackendTls { pin: Some([0; 32]), ..BackendTls::default() };
    assert!(TlsBackend::load(pinned, folder.path(), &none).is_ok());
}

/// An API without `ca` trusts the bundle that the environment names.
#[test]
fn the_systems_authorities_are_counted() {
    let authority = Authority::new("authority");
    assert_eq!(SystemAuthorities::of(authority.roots()).count(), 1);
    // The loader runs wherever this does; how many it finds is that system's business.
    let (found, warnings) = SystemAuthorities::load().expect("a file system that answers");
    assert!(warnings.iter().all(|warning| !warning.is_empty()), "{} found, {warnings:?}", found.count());
}
