//! Handshakes with clients: who gets which certificate, who is let in, and what ends them.

use crate::gateway::{NAME, Secured};
use crate::pki::{Authority, client_config, provider};
use crate::secured::{connect, read_head, send, trusting};
use crate::support::backend::tungstenite_echo;
use crate::support::handshake::read_refusal_of;
use crate::support::raw::{Raw, StreamEnd, header, request};
use crate::support::served::{Configuration, INSTANCE, Served};
use crate::support::{TestInstance, api_file, wait_until};
use ringgate::policy::expression::{DateTime, Value};
use ringgate::session::{Cause, Phase};
use ringgate::tls::peer_certificate::PeerCertificate;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// A client that can show a certificate.
fn showing(authority: &Authority, by: &Authority, expired: bool) -> Arc<ClientConfig> {
    let leaf = if expired { by.expired_leaf(&["client"]) } else { by.leaf(&["client"]) };
    let config =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(authority.roots());
    Arc::new(config.with_client_auth_cert(leaf.chain(), leaf.key_der()).unwrap())
}

/// Whether a client with this configuration gets an answer to its request.
fn is_let_in(scene: &Secured, config: &Arc<ClientConfig>) -> bool {
    let mut client = connect(scene.gateway.address, config, NAME);
    // In TLS 1.3 a client hears of a refusal with its first answer.
    if client.write_all(request("/elsewhere", "").as_bytes()).and_then(|()| client.flush()).is_err() {
        return false;
    }
    let mut byte = [0];
    matches!(client.read(&mut byte), Ok(1))
}

#[test]
fn clients_show_certificates_where_they_have_to_and_only_of_their_authority() {
    for (mode, without, with, strange, expired) in [
        ("none", true, true, true, true),
        ("optional", true, true, false, false),
        ("required", false, true, false, false),
    ] {
        let clients = Authority::new("clients");
        let scene = Secured::start_with("", |_, folder| {
            std::fs::write(folder.join("clients.pem"), clients.pem()).unwrap();
            match mode {
                "none" => String::new(),
                mode => {
                    format!(", client_auth = \"{mode}\", client_ca = \"{}/clients.pem\"", folder.display())
                }
            }
        });
        let plain = trusting(&scene.authority);
        assert_eq!(is_let_in(&scene, &plain), without, "{mode} without a certificate");
        let of = |by: &Authority, expired| showing(&scene.authority, by, expired);
        assert_eq!(is_let_in(&scene, &of(&clients, false)), with, "{mode} with a certificate");
        assert_eq!(
            is_let_in(&scene, &of(&Authority::new("strange"), false)),
            strange,
            "{mode} with a strange one"
        );
        assert_eq!(is_let_in(&scene, &of(&clients, true)), expired, "{mode} with an expired one");
        let refused =
            [without, with, strange, expired].iter().filter(|is_let_in| !**is_let_in).count() as u64;
        scene.gateway.wait_for_terminations(Cause::TlsFault, Phase::Head, refused);
        scene.end();
    }
}

#[test]
fn policies_see_what_the_certificate_of_a_client_says() {
    let clients = Authority::new("clients");
    let mut scene = Secured::start_with("", |_, folder| {
        std::fs::write(folder.join("clients.pem"), clients.pem()).unwrap();
        format!(", client_auth = \"optional\", client_ca = \"{}/clients.pem\"", folder.display())
    });
    let api = api_file("t", crate::support::backend::closed_port(), "schemes = [\"wss\"]");
    let members = ["Subject", "Issuer", "Thumbprint", "SerialNumber", "NotBefore", "NotAfter"];
    let members: Vec<String> =
        members.iter().map(|member| format!("context.Request.Certificate?.{member}")).collect();
    let document = format!(
        "<policies><inbound><base/><return-response><set-header name=\"X-Certificate\"><value>@(string.Join(\"|\", {}))\
         </value></set-header></return-response></inbound></policies>",
        members.join(", ")
    );
    scene.gateway.publish_catalog(&[("apis/t.toml", api.as_str()), ("policies/apis/t.xml", &document)]);

    let leaf = clients.leaf(&["client"]);
    let says = PeerCertificate::parse(&leaf.chain()[0]).unwrap();
    let time = |seconds: u64| {
        let time = DateTime::from_unix_seconds(seconds.try_into().unwrap()).unwrap();
        Value::DateTime(time).written().unwrap().to_string()
    };
    let expected = [
        says.subject.clone(),
        says.issuer.clone(),
        says.thumbprint_sha1.clone(),
        says.serial.clone(),
        time(says.not_before),
        time(says.not_after),
    ];
    let config =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(scene.authority.roots());
    let config = Arc::new(config.with_client_auth_cert(leaf.chain(), leaf.key_der()).unwrap());
    for (config, expected) in
        [(&config, expected.join("|")), (&trusting(&scene.authority), "|||||".to_owned())]
    {
        let mut client = connect(scene.gateway.address, config, NAME);
        send(&mut client, request("/t", "").as_bytes());
        let head = read_head(&mut client);
        assert_eq!(header(&head, "X-Certificate"), Some(expected.as_str()), "{head}");
    }
    scene.end();
}

#[test]
fn a_client_gets_the_certificate_of_the_name_that_it_asks_for_and_else_the_first() {
    let (authority, folder) = (Authority::new("ca"), TempDir::new().unwrap());
    let at = folder.path().display();
    let mut listed = Vec::new();
    for (file, names) in
        [("first", &["first.example"][..]), ("second", &["second.example"]), ("any", &["*.wide.example"])]
    {
        let files = authority.leaf(names).write(folder.path(), file);
        listed.push(format!("{{ chain = \"{at}/{}\", key = \"{at}/{}\" }}", files.chain, files.key));
    }
    let tls = format!("tls = {{ certificates = [{}] }}", listed.join(", "));
    let api = api_file("t", crate::support::backend::closed_port(), "schemes = [\"wss\"]");
    let gateway = TestInstance::start_secured("workers = 1", &tls, &[("t", &api)]);
    let config = trusting(&authority);
    for (asked, is_right) in [
        ("first.example", true),
        ("second.example", true),
        ("SECOND.example", true),
        ("a.wide.example", true),
        ("a.b.wide.example", false),
        ("third.example", false),
    ] {
        let mut client = connect(gateway.address, &config, asked);
        let result = client.write_all(b"GET / HTTP/1.1\r\n");
        assert_eq!(result.is_ok(), is_right, "{asked}: {result:?}");
    }
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn versions_below_the_lowest_are_refused_and_those_from_it_on_are_spoken() {
    for (min, speaks_12) in [("1.2", true), ("1.3", false)] {
        let scene = Secured::start_with("", |_, _| format!(", min_version = \"{min}\""));
        let old = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(scene.authority.roots())
            .with_no_client_auth();
        assert_eq!(is_let_in(&scene, &Arc::new(old)), speaks_12, "TLS 1.2 where {min} is the lowest");
        assert!(is_let_in(&scene, &trusting(&scene.authority)));
        scene.end();
    }
}

#[test]
fn a_protocol_that_is_not_spoken_is_refused_by_its_name() {
    let scene = Secured::start();
    for (protocol, is_spoken) in [(&b"http/1.1"[..], true), (b"h2", false)] {
        let mut config = client_config(&provider(), &scene.authority);
        config.alpn_protocols = vec![protocol.to_vec()];
        assert_eq!(is_let_in(&scene, &Arc::new(config)), is_spoken, "{}", protocol.escape_ascii());
    }
    scene.end();
}

#[test]
fn a_client_that_comes_again_resumes() {
    let scene = Secured::start();
    let config = trusting(&scene.authority);
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
        let (mut client, session) = scene.open(&config);
        assert_eq!(client.conn.handshake_kind(), Some(expected));
        drop(session);
        let _ = client.read(&mut [0; 64]);
    }
    let counters = scene.gateway.instance.counters();
    assert_eq!(counters.sum(|worker| &worker.tls_handshakes), 3);
    assert_eq!(counters.sum(|worker| &worker.tls_resumptions), 2);
    scene.end();
}

#[test]
fn plain_http_on_a_tls_port_gets_a_plain_400_that_says_so() {
    let scene = Secured::start();
    for method in ["GET", "HEAD"] {
        let mut client = Raw::connect(scene.gateway.address);
        client.send(request("/t", "").replace("GET", method).as_bytes());
        read_refusal_of(method, &mut client, 400, "This port speaks TLS: use wss or https");
    }
    scene.gateway.wait_for_terminations(Cause::HeadFault, Phase::Head, 2);
    scene.end();
}

#[test]
fn an_api_is_served_on_listeners_of_its_schemes_only() {
    let scene = Secured::start();
    let mut client = connect(scene.gateway.address, &trusting(&scene.authority), NAME);
    send(&mut client, request("/t", "").as_bytes());
    drop((client, scene.backend.take()));
    let api = api_file("t", scene.backend.address, "schemes = [\"wss\"]");
    let plain = TestInstance::start_with("workers = 1", &[("t", &api)]);
    let mut client = Raw::connect(plain.address);
    client.send(request("/t", "").as_bytes());
    crate::support::handshake::read_refusal(&mut client, 404, "Resource not found");
    drop(client);
    plain.wait_for_rest();
    plain.end();
    scene.end();
}

#[test]
fn an_api_that_names_no_schemes_is_served_with_tls_alone_where_a_listener_has_it_also_after_a_publish() {
    let authority = Authority::new("ca");
    let listener = "[[listeners]]\naddress = \"127.0.0.2:0\"\n[listeners.tls]\ncertificates = [{ chain = \"own.pem\", key = \"own.key\" }]\n";
    let echo = tungstenite_echo();
    let configuration =
        Configuration::new(&format!("{INSTANCE}{listener}"), &api_file("t", echo, "schemes = [\"ws\"]"))
            .with_api("u", &api_file("u", echo, ""))
            .with_api("v", &api_file("v", echo, "schemes = [\"ws\", \"wss\"]"));
    authority.leaf(&[NAME]).write(configuration.folder(), "own");
    let served = Served::start(&configuration);
    let secured = served.announced.iter().find_map(|line| line.strip_prefix("  listening on wss://"));
    let secured = secured.expect("a listener with TLS").parse().unwrap();
    let plain = |path: &str| {
        let mut client = Raw::connect(served.address);
        client.send(request(path, "").as_bytes());
        client.read_head()[9..12].to_owned()
    };
    let with_tls = |path: &str| {
        let mut client = connect(secured, &trusting(&authority), NAME);
        send(&mut client, request(path, "").as_bytes());
        read_head(&mut client)[9..12].to_owned()
    };
    for (path, on_plain, on_secured) in [("/t", "101", "404"), ("/u", "404", "101"), ("/v", "101", "101")] {
        assert_eq!((plain(path).as_str(), with_tls(path).as_str()), (on_plain, on_secured), "{path}");
    }
    std::fs::write(configuration.folder().join("catalog/apis/w.toml"), api_file("w", echo, "")).unwrap();
    served.wait_until_said("published the catalogue");
    for path in ["/u", "/w"] {
        assert_eq!((plain(path).as_str(), with_tls(path).as_str()), ("404", "101"), "{path} after a publish");
    }
}

#[test]
fn a_handshake_that_is_not_over_in_time_ends_wherever_it_stops() {
    let scene = Secured::start_with("[limits]\nhead_timeout_ms = 200", |_, _| String::new());
    let name = ServerName::try_from(NAME).unwrap();
    let mut hello = Vec::new();
    ClientConnection::new(trusting(&scene.authority), name).unwrap().write_tls(&mut hello).unwrap();
    let cuts = [0, 1, 4, 5, 6, hello.len() / 2, hello.len()];
    let mut clients: Vec<_> = cuts
        .map(|cut| {
            let mut client = Raw::connect(scene.gateway.address);
            client.send(&hello[..cut]);
            client
        })
        .into();
    for client in &mut clients {
        client.read_to_end();
    }
    scene.gateway.wait_for_terminations(Cause::TlsFault, Phase::Head, cuts.len() as u64);
    scene.end();
}

#[test]
fn handshakes_in_progress_count_as_openings() {
    let scene =
        Secured::start_with("[limits]\nopenings_max = 2\nhead_timeout_ms = 120000", |_, _| String::new());
    let connect = |host| Raw::connect_from([127, 0, 0, host].into(), scene.gateway.address);
    let mut silent = [1, 2].map(connect);
    scene.gateway.wait_for_openings(2);
    // Of a network that has a place already: it is told in plain text, which no TLS client takes for an answer.
    let mut third = connect(1);
    third.read_to_end();
    scene.gateway.wait_for_terminations(Cause::OpeningsFull, Phase::Head, 1);
    // Of a network that has none: the handshake that has waited longest gives way, and is told nothing.
    let mut fourth = connect(3);
    assert_eq!(silent[0].read_to_end(), (Vec::new(), StreamEnd::Fin));
    scene.gateway.wait_for_terminations(Cause::OpeningsFull, Phase::Head, 2);
    assert!(fourth.is_silent_for(Duration::from_millis(50)), "it has the place");
    drop((silent, third, fourth));
    scene.end();
}

#[test]
fn what_is_no_handshake_is_told_by_an_alert() {
    let scene = Secured::start();
    let mut client = Raw::connect(scene.gateway.address);
    client.send(&[22, 3, 1, 0, 5, 1, 0, 0, 1, 9]);
    let (told, _) = client.read_to_end();
    assert_eq!(told.first(), Some(&21), "an alert: {told:02x?}");
    scene.gateway.wait_for_terminations(Cause::TlsFault, Phase::Head, 1);
    scene.end();
}

#[test]
fn refusals_come_under_tls_with_an_end_that_is_said() {
    let scene = Secured::start();
    let mut client = connect(scene.gateway.address, &trusting(&scene.authority), NAME);
    send(&mut client, request("/nowhere", "").as_bytes());
    let head = read_head(&mut client);
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    let mut body = Vec::new();
    // An end without close_notify would be an error here.
    client.read_to_end(&mut body).unwrap();
    assert!(body.ends_with(b"}"));
    drop(client);
    scene.end();
}

#[test]
fn certificates_that_were_written_anew_are_shown_to_new_clients_and_open_sessions_go_on() {
    let mut scene = Secured::start();
    let old = trusting(&scene.authority);
    let (mut client, mut session) = scene.open(&old);
    let fresh = Authority::new("fresh");
    fresh.leaf(&[NAME]).write(scene.folder.path(), "next");
    for end in ["pem", "key"] {
        let path = |name: &str| scene.folder.path().join(format!("{name}.{end}"));
        std::fs::rename(path("next"), path("own")).unwrap();
    }
    scene.gateway.look_at_tls_files();
    wait_until("the new certificate", || is_let_in(&scene, &trusting(&fresh)));
    assert!(
        !is_let_in(&scene, &Arc::new(client_config(&provider(), &scene.authority))),
        "the old one is gone"
    );
    let message = crate::support::frames::client_frame(0x82, b"still here");
    send(&mut client, &message);
    session.expect(&message);
    // A pair that does not fit changes nothing.
    std::fs::write(scene.folder.path().join("own.key"), fresh.leaf(&[NAME]).key.serialize_pem()).unwrap();
    scene.gateway.look_at_tls_files();
    assert!(is_let_in(&scene, &trusting(&fresh)), "what was read before stays in use");
    drop((client, session));
    scene.end();
}

#[test]
fn certificates_change_under_a_storm_of_handshakes_and_no_client_notices() {
    let mut scene = Secured::start();
    let config = trusting(&scene.authority);
    let (mut client, mut session) = scene.open(&config);
    let is_over = Arc::new(AtomicBool::new(false));
    let storm = std::thread::spawn({
        let (is_over, address, config) = (Arc::clone(&is_over), scene.gateway.address, Arc::clone(&config));
        move || {
            let mut handshakes = 0;
            while !is_over.load(Ordering::Relaxed) {
                let mut client = connect(address, &config, NAME);
                send(&mut client, request("/nowhere", "").as_bytes());
                assert!(read_head(&mut client).starts_with("HTTP/1.1 404 "));
                handshakes += 1;
            }
            handshakes
        }
    });
    for round in 0..20u8 {
        scene.authority.leaf(&[NAME]).write(scene.folder.path(), "own");
        scene.gateway.look_at_tls_files();
        let message = crate::support::frames::client_frame(0x82, &[round; 100]);
        send(&mut client, &message);
        session.expect(&message);
    }
    is_over.store(true, Ordering::Relaxed);
    assert!(storm.join().unwrap() > 0);
    drop((client, session));
    scene.end();
}
