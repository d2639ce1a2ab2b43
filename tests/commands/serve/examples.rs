//! The examples of `tuning/examples`: each is complete, is without fault, and serves a session as its README says.

use crate::support::backend::{Backend, switching};
use crate::support::frames::{client_frame, server_frame};
use crate::support::handshake::read_refusal;
use crate::support::raw::{Raw, header, request};
use crate::support::served::{Configuration, Served, wait_for_exit};
use crate::support::{PATIENCE, wait_until};
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

/// A copy of an example's folder, in which the ports of its files are replaced by free ones.
struct Example {
    configuration: Configuration,
    readme: String,
}

impl Example {
    fn new(name: &str, ports: &[(&str, String)]) -> Self {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning/examples").join(name);
        let text = |path: &str| fs::read_to_string(from.join(path)).unwrap();
        let mut missing: Vec<&str> = ports.iter().map(|(port, _)| *port).collect();
        let mut replaced = |path: &str| {
            let mut text = text(path);
            for (port, by) in ports {
                missing.retain(|missing| missing != port || !text.contains(port));
                text = text.replace(port, by);
            }
            text
        };
        let mut configuration = Configuration::empty();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(from.join(&folder)).unwrap().map(Result::unwrap) {
                let path = Path::new(&folder).join(entry.file_name()).to_str().unwrap().to_owned();
                if entry.path().is_dir() {
                    folders.push(path);
                // Nothing that somebody who tried the example has left.
                } else if [".toml", ".xml", ".md"].iter().any(|ending| path.ends_with(ending)) {
                    configuration = configuration.with_file(&path, &replaced(&path));
                }
            }
        }
        assert!(missing.is_empty(), "ports that the example does not have: {missing:?}");
        Self { configuration, readme: text("README.md") }
    }

    /// The command of the README that begins so.
    fn command_of_the_readme(&self, start: &str) -> String {
        let mut commands = self.readme.lines().filter(|line| line.starts_with(start));
        commands.next().unwrap_or_else(|| panic!("no command {start} in the README")).to_owned()
    }

    /// Runs a command of the README by a shell in the folder, as somebody who pastes it.
    fn paste(&self, command: &str) -> Output {
        let binary = Path::new(env!("CARGO_BIN_EXE_ringgate"));
        let folders = [binary.parent().unwrap().to_owned()];
        let path = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path))).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(self.configuration.folder()).env("PATH", path);
        shell.env_remove("RINGGATE_CONFIG").env_remove("RUNTIME_DIRECTORY").output().unwrap()
    }

    /// Runs a command of the README that must succeed, and gives what it prints.
    fn paste_well(&self, command: &str) -> String {
        let output = self.paste(command);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {said}{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Answers the next handshake at a backend, has one message pass each way, and gives the request.
fn one_message(backend: &Backend, client: &mut (impl std::io::Read + std::io::Write)) -> String {
    let (mut session, asked) = backend.take_request();
    session.send(switching(&asked, "").as_bytes());
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
    client.write_all(&client_frame(0x81, b"hello")).unwrap();
    assert_eq!(session.read(1), [0x81]);
    session.send(&server_frame(0x81, b"welcome"));
    let mut got = vec![0; server_frame(0x81, b"welcome").len()];
    client.read_exact(&mut got).unwrap();
    assert_eq!(got, server_frame(0x81, b"welcome"));
    asked
}

/// A TLS connection to `address` by a client that trusts the certificate in `file` only.
fn tls_client(address: SocketAddr, file: &Path) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

/// Makes the certificate by the README's command; where there is no openssl, a like one.
fn make_certificate(example: &Example) {
    let folder = example.configuration.folder();
    let command = example.command_of_the_readme("openssl req ");
    let has_openssl =
        Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success());
    if has_openssl {
        example.paste_well(&command);
    } else {
        println!("no openssl here: the certificate is made by rcgen, and the README's command is not tried");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(folder.join("gateway.pem"), made.cert.pem()).unwrap();
        fs::write(folder.join("gateway.key"), made.signing_key.serialize_pem()).unwrap();
    }
    // As openssl makes it, and as the check wants it.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(folder.join("gateway.key"), mode).unwrap();
}

#[test]
fn the_operators_example_serves_both_backends_with_tls_and_without() {
    let (chat, feed) = (Backend::new(), Backend::new());
    let example = Example::new(
        "operator",
        &[
            ("127.0.0.1:8443", "127.0.0.1:0".to_owned()),
            ("127.0.0.1:8080", "[::1]:0".to_owned()),
            ("127.0.0.1:9900", "127.0.0.1:0".to_owned()),
            ("127.0.0.1:9001", chat.address.to_string()),
            ("127.0.0.1:9002", feed.address.to_string()),
        ],
    );
    make_certificate(&example);
    let checked = example.paste_well("ringgate check --config ringgate.toml");
    assert!(
        checked.contains("no faults") && checked.contains("api chat") && checked.contains("api feed"),
        "{checked}"
    );

    let mut served = Served::start(&example.configuration);
    let secured = served.announced.iter().find_map(|line| line.trim().strip_prefix("listening on wss://"));
    let secured = secured.expect("a TLS listener").parse().unwrap();
    let certificate = example.configuration.folder().join("gateway.pem");
    for (backend, path) in [(&chat, "/chat/room?x=2"), (&feed, "/feed")] {
        let mut client = tls_client(secured, &certificate);
        client.write_all(request(path, "").as_bytes()).unwrap();
        let asked = one_message(backend, &mut client);
        let wanted = path.replace("/chat", "/echo").replace("/feed", "/echo");
        assert!(asked.starts_with(&format!("GET {wanted} ")), "{asked}");
    }
    // The chat is served with TLS only, the feed without it too.
    let mut client = Raw::connect(served.address);
    client.send(request("/feed", "").as_bytes());
    one_message(&feed, &mut client.stream);
    drop(client);
    let mut client = Raw::connect(served.address);
    client.send(request("/chat", "").as_bytes());
    read_refusal(&mut client, 404, "Resource not found");
    drop(client);
    let status = example.paste_well("ringgate ctl status --config ringgate.toml");
    assert!(status.contains("serving"), "{status}");
    wait_until("a status page", || TcpStream::connect(served.status_address()).is_ok());
    served.signal(Signal::TERM);
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
}

/// The publisher's example in front of `backend`, and the key that its README's command makes.
fn publishers_example(backend: &Backend) -> (Example, String) {
    let ports =
        [("127.0.0.1:8080", "127.0.0.1:0".to_owned()), ("127.0.0.1:9001", backend.address.to_string())];
    let example = Example::new("publisher", &ports);
    let key = example.paste_well("ringgate subscription new-key acme --config ringgate.toml");
    (example, key.trim().to_owned())
}

#[test]
fn the_publishers_example_serves_who_has_its_key_and_keeps_its_policies() {
    let backend = Backend::new();
    let (example, key) = publishers_example(&backend);
    let checked = example.paste_well("ringgate check --config ringgate.toml");
    assert!(checked.contains("no faults") && checked.contains("api quotes"), "{checked}");
    example.paste_well(&example.command_of_the_readme("ringgate policy check "));
    let traced = example.paste_well(&example.command_of_the_readme("ringgate policy trace "));
    assert!(traced.contains("client gets the backend's 101") && !traced.contains("replace-me"), "{traced}");

    let mut served = Served::start(&example.configuration);
    let ask = |path: &str, lines: &str| {
        let mut client = Raw::connect(served.address);
        client.send(request(path, lines).as_bytes());
        client
    };
    let with_key = format!("Ocp-Apim-Subscription-Key: {key}\r\n");
    let mut client = ask("/quotes/live?client-version=2", &with_key);
    let asked = one_message(&backend, &mut client.stream);
    assert!(asked.starts_with("GET /echo/live?client-version=2 "), "{asked}");
    assert_eq!(header(&asked, "Authorization"), Some("Bearer replace-me"), "{asked}");
    assert_eq!(header(&asked, "Ocp-Apim-Subscription-Key"), None, "{asked}");
    assert!(header(&asked, "X-Request-Id").is_some_and(|id| id.len() == 36), "{asked}");
    drop(client);

    assert!(ask("/quotes?client-version=2", "").read_head().starts_with("HTTP/1.1 401 "));
    let (refused, _) = ask("/quotes?client-version=1", &with_key).read_to_end();
    let refused = String::from_utf8(refused).unwrap();
    assert!(refused.starts_with("HTTP/1.1 403 ") && refused.ends_with("version 2 is needed."), "{refused}");
    served.signal(Signal::TERM);
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
}

#[test]
fn the_fifth_session_of_an_address_is_the_last_in_the_publishers_example() {
    let backend = Backend::new();
    let (example, key) = publishers_example(&backend);
    let served = Served::start(&example.configuration);
    let ask = || {
        let mut client = Raw::connect(served.address);
        let lines = format!("Ocp-Apim-Subscription-Key: {key}\r\n");
        client.send(request("/quotes?client-version=2", &lines).as_bytes());
        client
    };
    let sessions: Vec<_> = (0..5).map(|_| (ask(), backend.take_session())).collect();
    assert!(ask().read_head().starts_with("HTTP/1.1 429 "));
    drop(sessions);
}
