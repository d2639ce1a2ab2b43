//! Listeners with certificates in files, and rustls' clients.

use core::time::Duration;
use std::fs;
use std::path::Path;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, Error};
use tempfile::TempDir;

use super::pki::{Authority, Leaf, VERSION_1_PEM, client_config, provider};
use super::*;
use crate::catalog::tls::{CertificateFiles, ClientAuth, ListenerTls, MinVersion};
use crate::tls::failed_check::FailedCheck;
use crate::tls::listener::TlsListener;
use crate::tls::peer_certificate::PeerCertificate;
use crate::tls::record::Version;
use crate::tls::ticket_keys::TicketRing;

/// In 2030.
fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_900_000_000))
}

fn tls(certificates: Vec<CertificateFiles>) -> ListenerTls {
    ListenerTls {
        certificates,
        client_ca: None,
        client_auth: ClientAuth::None,
        min_version: MinVersion::Tls12,
    }
}

fn ring() -> Arc<TicketRing> {
    Arc::new(TicketRing::new().expect("random bytes"))
}

fn load(tls: ListenerTls, folder: &TempDir) -> TlsListener {
    TlsListener::load(tls, folder.path(), ring(), now()).expect("the files are right")
}

/// Connects a client and returns the outcome; the client sees the certificate of its server.
fn connect(
    listener: &TlsListener,
    client: &Arc<ClientConfig>,
    name: &'static str,
) -> (Result<Finished, HandshakeFault>, Peer) {
    let mut peer = Peer::client(client, name);
    let handshake = Handshake::with_client(listener.config()).expect("a handshake");
    let finished = shake(handshake, &mut peer, usize::MAX);
    (finished.map(|(finished, behind)| resume(finished, behind, &mut peer)), peer)
}

/// A word each way, so that tickets come through.
fn resume(mut finished: Finished, mut behind: Vec<u8>, peer: &mut Peer) -> Finished {
    assert_eq!(hear(&mut finished.records, &mut behind).end, None);
    assert_eq!(peer.take(&seal(&mut finished.records, b"word")).expect("authentic").0, b"word");
    finished
}

fn subject(peer: &Peer) -> String {
    let chain = peer.0.peer_certificates().expect("a server has a certificate");
    PeerCertificate::parse(&chain[0]).expect("a certificate").subject
}

#[test]
fn the_name_that_is_asked_for_chooses_the_certificate() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let write = |names: &[&str], file: &str| {
        let leaf = authority.leaf_with(names, |params| {
            params.distinguished_name.push(rcgen::DnType::CommonName, file);
        });
        leaf.write(folder.path(), file)
    };
    let listener = load(
        tls(vec![
            write(&["first.example", "other.example"], "first"),
            write(&["*.wild.example"], "wild"),
            write(&["exact.wild.example"], "exact"),
        ]),
        &folder,
    );
    // Clients that take any name, to see what they get.
    for (name, certificate) in [
        ("first.example", "first"),
        ("other.example", "first"),
        ("a.wild.example", "wild"),
        ("A.WILD.example", "wild"),
        ("exact.wild.example", "exact"),
        // Not of the wildcard, which stands for one label; an unknown name; no name at all.
        ("a.b.wild.example", "first"),
        ("wild.example", "first"),
        ("unknown.example", "first"),
        ("127.0.0.1", "first"),
    ] {
        let mut config = client_config(&provider(), &authority);
        let seen = Arc::new(Anything);
        config.dangerous().set_certificate_verifier(seen);
        let (finished, peer) = connect(&listener, &Arc::new(config), name);
        let finished = finished.expect("a connection");
        assert_eq!(subject(&peer), format!("CN={certificate},O=Ringgate Tests"), "{name}");
        let asked = (name != "127.0.0.1").then(|| name.to_ascii_lowercase());
        assert_eq!(finished.server_name.map(|name| name.to_ascii_lowercase()), asked);
    }
}

/// Takes any certificate.
#[derive(Debug)]
struct Anything;

impl rustls::client::danger::ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.verify_tls12_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn of_two_certificates_for_a_name_the_client_gets_one_that_it_can_check() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let elliptic = authority.leaf(&["a.example"]).write(folder.path(), "elliptic");
    let rsa = authority.rsa_leaf(&["a.example"]).write(folder.path(), "rsa");
    for order in [[&elliptic, &rsa], [&rsa, &elliptic]] {
        let listener = load(tls(order.map(CertificateFiles::clone).to_vec()), &folder);
        for (suite, provider) in each_suite() {
            let client = Arc::new(client_config(&provider, &authority));
            let (finished, _) = connect(&listener, &client, "a.example");
            assert!(finished.is_ok(), "{suite:?}");
        }
    }
}

#[test]
fn clients_show_certificates_in_three_modes() {
    let folder = TempDir::new().expect("a folder");
    let (servers, clients, strangers) =
        (Authority::new("servers"), Authority::new("clients"), Authority::new("strangers"));
    let pair = servers.leaf(&["a.example"]).write(folder.path(), "server");
    fs::write(folder.path().join("clients.pem"), clients.pem()).expect("a file");
    let known = clients.leaf(&["known"]);
    let expired = clients.expired_leaf(&["expired"]);
    let strange = strangers.leaf(&["strange"]);
    let for_servers = clients.leaf_with(&["a server"], |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    let client = |leaf: Option<&Leaf>| {
        let config = ClientConfig::builder_with_provider(provider());
        let config = config.with_safe_default_protocol_versions().expect("versions");
        let config = config.with_root_certificates(servers.roots());
        Arc::new(match leaf {
            Some(leaf) => config.with_client_auth_cert(leaf.chain(), leaf.key_der()).expect("a pair"),
            None => config.with_no_client_auth(),
        })
    };
    use FailedCheck::{Expired, NoCertificate, Untrusted, WrongPurpose};
    for (client_auth, outcomes) in [
        (ClientAuth::None, [Ok(false), Ok(false), Ok(false), Ok(false), Ok(false)]),
        (ClientAuth::Optional, [Ok(false), Ok(true), Err(Expired), Err(Untrusted), Err(WrongPurpose)]),
        (
            ClientAuth::Required,
            [Err(NoCertificate), Ok(true), Err(Expired), Err(Untrusted), Err(WrongPurpose)],
        ),
    ] {
        let client_ca = (client_auth != ClientAuth::None).then(|| "clients.pem".to_owned());
        let listener = load(ListenerTls { client_ca, client_auth, ..tls(vec![pair.clone()]) }, &folder);
        let shown = [None, Some(&known), Some(&expired), Some(&strange), Some(&for_servers)];
        for (leaf, outcome) in shown.into_iter().zip(outcomes) {
            let (finished, _) = connect(&listener, &client(leaf), "a.example");
            let finished = finished.map(|finished| finished.peer_chain);
            let found = finished.as_ref().map(Option::is_some).map_err(FailedCheck::of);
            assert_eq!(found, outcome, "{client_auth:?}");
            if found == Ok(true) {
                assert_eq!(finished.ok().flatten(), Some(known.chain()));
            }
        }
    }
}

#[test]
fn the_lowest_version_is_kept() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let pair = authority.leaf(&["a.example"]).write(folder.path(), "server");
    let client = ClientConfig::builder_with_provider(provider());
    let client = client.with_protocol_versions(&[&rustls::version::TLS12]).expect("a version");
    let client = Arc::new(client.with_root_certificates(authority.roots()).with_no_client_auth());

    let listener = load(tls(vec![pair.clone()]), &folder);
    let finished = connect(&listener, &client, "a.example").0.expect("a connection");
    assert_eq!(finished.records.suite().version, Version::Tls12);
    let newest = Arc::new(client_config(&provider(), &authority));
    let finished = connect(&listener, &newest, "a.example").0.expect("a connection");
    assert_eq!(finished.records.suite().version, Version::Tls13);

    let listener = load(ListenerTls { min_version: MinVersion::Tls13, ..tls(vec![pair]) }, &folder);
    let fault = connect(&listener, &client, "a.example").0.expect_err("no common version");
    assert_eq!(FailedCheck::of(&fault), FailedCheck::NothingInCommon);
}

#[test]
fn http_1_1_is_the_one_protocol() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let listener = load(tls(vec![authority.leaf(&["a.example"]).write(folder.path(), "server")]), &folder);
    let offering = |protocols: &[&[u8]]| {
        let mut config = client_config(&provider(), &authority);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        connect(&listener, &Arc::new(config), "a.example").0
    };
    assert_eq!(offering(&[]).expect("a connection").alpn, None);
    for protocols in [&[&b"http/1.1"[..]][..], &[b"h2", b"http/1.1"]] {
        assert_eq!(offering(protocols).expect("a connection").alpn.as_deref(), Some(&b"http/1.1"[..]));
    }
    let fault = offering(&[b"h2"]).expect_err("no common protocol");
    assert_eq!(FailedCheck::of(&fault), FailedCheck::NothingInCommon);
}

#[test]
fn changed_files_are_picked_up_and_bad_ones_refused() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let leaf = |organization: &str| {
        authority.leaf_with(&["a.example"], |params| {
            params.distinguished_name.push(rcgen::DnType::OrganizationName, organization);
        })
    };
    let pair = leaf("old").write(folder.path(), "server");
    let mut listener = load(tls(vec![pair]), &folder);
    let served = |listener: &TlsListener| {
        // A client that comes for the first time: one that resumes is not shown a certificate.
        let client = Arc::new(client_config(&provider(), &authority));
        let (finished, peer) = connect(listener, &client, "a.example");
        finished.map(|finished| (subject(&peer), finished, peer)).expect("a connection")
    };
    let (subject, mut open, mut peer) = served(&listener);
    assert_eq!(subject, "CN=a.example,O=old");
    assert!(!listener.has_changed());

    // A new key that is not of the old certificate: half of an exchange, or a mistake.
    let new = leaf("new");
    fs::write(folder.path().join("server.key"), new.key.serialize_pem()).expect("a file");
    assert!(listener.has_changed());
    let faults = listener.reload(now()).expect_err("no pair");
    assert_eq!(faults.len(), 1);
    assert!(faults[0].to_string().contains("server.key has a private key that is not that of"), "{faults:?}");
    assert!(!listener.has_changed(), "not tried again before it changes again");
    assert_eq!(served(&listener).0, "CN=a.example,O=old");

    // By a rename, as careful tools do it.
    new.write(folder.path(), "next");
    fs::rename(folder.path().join("next.pem"), folder.path().join("server.pem")).expect("renamed");
    assert!(listener.has_changed());
    listener.reload(now()).expect("a pair");
    assert_eq!(served(&listener).0, "CN=a.example,O=new");

    // A file that is gone is a change and a fault.
    fs::remove_file(folder.path().join("server.pem")).expect("removed");
    assert!(listener.has_changed());
    let faults = listener.reload(now()).expect_err("no file");
    assert!(faults[0].to_string().contains("server.pem cannot be read"), "{faults:?}");
    assert_eq!(served(&listener).0, "CN=a.example,O=new");

    // The first connection never noticed.
    assert_eq!(peer.take(&seal(&mut open.records, b"still")).expect("authentic").0, b"still");
}

/// Kubernetes changes a link to a folder.
#[test]
fn a_link_that_points_elsewhere_is_a_change() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let link = folder.path().join("current");
    for version in ["1", "2"] {
        fs::create_dir(folder.path().join(version)).expect("a folder");
        authority.leaf(&["a.example"]).write(&folder.path().join(version), "server");
    }
    std::os::unix::fs::symlink("1", &link).expect("a link");
    let files =
        CertificateFiles { chain: "current/server.pem".to_owned(), key: "current/server.key".to_owned() };
    let mut listener = load(tls(vec![files]), &folder);
    assert!(!listener.has_changed());
    std::os::unix::fs::symlink("2", folder.path().join("next")).expect("a link");
    fs::rename(folder.path().join("next"), &link).expect("renamed");
    assert!(listener.has_changed());
    listener.reload(now()).expect("a pair");
    assert!(!listener.has_changed());
}

/// A deployment that forgot the mode of a file mends it: its contents and its time of modification stay.
#[test]
fn a_file_whose_mode_alone_changes_is_read_again() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let pair = authority.leaf(&["a.example"]).write(folder.path(), "server");
    let mut listener = load(tls(vec![pair]), &folder);
    let mut change = |mode| {
        assert!(!listener.has_changed());
        let key = folder.path().join("server.key");
        fs::set_permissions(key, fs::Permissions::from_mode(mode)).expect("a mode");
        assert!(listener.has_changed());
        listener.reload(now()).expect("a pair");
        listener.warnings().to_vec()
    };
    let warnings = change(0o644);
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].contains("server.key: this private key is open to every user of this host (mode 0644)"),
        "{warnings:?}"
    );
    assert_eq!(change(0o600), [""; 0]);
}

#[test]
fn says_what_is_wrong_with_each_file() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let good = authority.leaf(&["a.example"]).write(folder.path(), "good");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    write("empty", "");
    write("text", "just text\n");
    write("cut", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    write("wrong", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    write("key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    write("locked", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    write("old.pem", VERSION_1_PEM[0]);
    write("old.key", VERSION_1_PEM[1]);
    write("large", &" ".repeat(crate::limits::TLS_FILE_BYTES_MAX as usize + 1));
    let faults_of = |tls: ListenerTls| -> Vec<String> {
        let faults = TlsListener::load(tls, folder.path(), ring(), now()).expect_err("at fault");
        let folder = format!("{}/", folder.path().display());
        faults.iter().map(|fault| fault.to_string().replace(&folder, "")).collect()
    };
    for (chain, key, fault) in [
        ("missing", "good.key", "missing cannot be read (no such file or directory (os error 2))"),
        (".", "good.key", ". is a folder and not a regular file"),
        ("empty", "good.key", "empty has no certificate"),
        ("text", "good.key", "text has no certificate"),
        ("good.key", "good.key", "good.key has no certificate"),
        ("cut", "good.key", "cut is not pem: "),
        ("wrong", "good.key", "wrong has a malformed certificate, number 1"),
        (
            "old.pem",
            "old.key",
            "old.pem has a certificate of X.509 version 1, which TLS clients refuse; issue it anew",
        ),
        ("large", "good.key", "large is larger than 4194304 bytes"),
        ("good.pem", "good.pem", "good.pem has no private key that is not encrypted"),
        ("good.pem", "locked", "locked has no private key that is not encrypted"),
        ("good.pem", "key", "key has a private key that cannot be used: "),
    ] {
        let files = CertificateFiles { chain: chain.to_owned(), key: key.to_owned() };
        let faults = faults_of(tls(vec![good.clone(), files]));
        assert!(
            faults.len() == 1 && faults[0].trim_start_matches("./").starts_with(fault),
            "{fault}: {faults:?}"
        );
    }
    // All of them at once.
    let files = |chain: &str| CertificateFiles { chain: chain.to_owned(), key: "good.key".to_owned() };
    let all = ListenerTls {
        client_ca: Some("wrong".to_owned()),
        client_auth: ClientAuth::Required,
        ..tls(vec![files("empty"), files("missing")])
    };
    assert_eq!(faults_of(all).len(), 3);
}

#[test]
fn certificates_that_are_not_valid_are_told() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let expired = authority.expired_leaf(&["old.example"]).write(folder.path(), "expired");
    let good = authority.leaf(&["a.example"]).write(folder.path(), "good");
    let listener = load(tls(vec![good, expired]), &folder);
    let told = format!(
        "{}: the certificate of CN=old.example,O=Ringgate Tests has expired",
        folder.path().join("expired.pem").display()
    );
    assert_eq!(listener.warnings(), [told]);
}

#[test]
fn clients_resume_for_as_long_as_the_ring_knows_their_ticket() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let pair = authority.leaf(&["a.example"]).write(folder.path(), "server");
    fs::write(folder.path().join("clients.pem"), authority.pem()).expect("a file");
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let config = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions);
        let config = config.expect("a version").with_root_certificates(authority.roots());
        let client = Arc::new(config.with_no_client_auth());
        let is_resumed = |listener: &TlsListener| {
            connect(listener, &client, "a.example").0.expect("a connection").is_resumed
        };
        let tickets = ring();
        let mut listener = TlsListener::load(tls(vec![pair.clone()]), folder.path(), tickets.clone(), now())
            .expect("the files are right");
        assert!(!is_resumed(&listener) && is_resumed(&listener));
        // Another process with the same keys.
        let shared = TicketRing::import(&tickets.export()).expect("a ring");
        listener.set_tickets(Arc::new(shared));
        assert!(is_resumed(&listener));
        // A turn keeps the last key.
        let turned = Arc::new(tickets.turned().expect("random bytes"));
        listener.set_tickets(turned.clone());
        assert!(is_resumed(&listener));
        // Other certificates change nothing.
        listener.reload(now()).expect("a pair");
        assert!(is_resumed(&listener));
        listener.set_tickets(ring());
        assert!(!is_resumed(&listener), "none of its keys is left");
        assert!(is_resumed(&listener));
        // Whoever was not asked for a certificate does not come in where one is asked for.
        let asking = ListenerTls {
            client_ca: Some("clients.pem".to_owned()),
            client_auth: ClientAuth::Optional,
            ..tls(vec![pair.clone()])
        };
        listener.set_tickets(turned.clone());
        assert!(!is_resumed(&listener) && is_resumed(&listener));
        let asking = TlsListener::load(asking, folder.path(), turned, now()).expect("the files are right");
        assert!(!is_resumed(&asking));
    }
}

#[test]
fn a_resumed_connection_has_the_certificate_of_the_first() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let pair = authority.leaf(&["a.example"]).write(folder.path(), "server");
    fs::write(folder.path().join("clients.pem"), authority.pem()).expect("a file");
    let asking = ListenerTls {
        client_ca: Some("clients.pem".to_owned()),
        client_auth: ClientAuth::Required,
        ..tls(vec![pair])
    };
    let listener = load(asking, &folder);
    let known = authority.leaf(&["known"]);
    let config = ClientConfig::builder_with_provider(provider());
    let config = config.with_safe_default_protocol_versions().expect("versions");
    let config = config.with_root_certificates(authority.roots());
    let client = Arc::new(config.with_client_auth_cert(known.chain(), known.key_der()).expect("a pair"));
    for is_resumed in [false, true] {
        let finished = connect(&listener, &client, "a.example").0.expect("a connection");
        assert_eq!((finished.is_resumed, finished.peer_chain), (is_resumed, Some(known.chain())));
        assert_eq!(finished.server_name.as_deref(), Some("a.example"));
    }
}

/// The client's side of trust, for one leg of the proof: what rustls' client says of ringgate's certificate.
#[test]
fn clients_notice_a_certificate_that_they_should_not_take() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("authority"));
    let intermediate = authority.intermediate("intermediate");
    let serve = |leaf: Leaf| load(tls(vec![leaf.write(folder.path(), "server")]), &folder);
    for (listener, authority, alert) in [
        (serve(authority.expired_leaf(&["a.example"])), &authority, AlertDescription::CertificateExpired),
        (serve(authority.leaf(&["b.example"])), &authority, AlertDescription::BadCertificate),
        (serve(authority.leaf(&["a.example"])), &Authority::new("authority"), AlertDescription::DecryptError),
        (serve(intermediate.leaf(&["a.example"])), &authority, AlertDescription::UnknownCA),
    ] {
        let client = Arc::new(client_config(&provider(), authority));
        let fault = connect(&listener, &client, "a.example").0.expect_err("refused");
        assert_eq!(FailedCheck::of(&fault), FailedCheck::Alert(u8::from(alert)), "{fault}");
    }
    // With its intermediate certificate it is taken.
    let leaf = intermediate.leaf(&["a.example"]);
    let files = leaf.write(folder.path(), "server");
    append(&folder.path().join("server.pem"), &intermediate.pem());
    let client = Arc::new(client_config(&provider(), &authority));
    assert!(connect(&load(tls(vec![files]), &folder), &client, "a.example").0.is_ok());
}

fn append(file: &Path, text: &str) {
    let before = fs::read_to_string(file).expect("a file");
    fs::write(file, before + text).expect("a file");
}
