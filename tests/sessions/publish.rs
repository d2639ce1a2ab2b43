//! Changes of the catalogue's files while `serve` runs: when they are published, when they are refused, and that uninvolved
//! sessions do not notice.

use crate::support::backend::{Backend, Pair, closed_port, tokio_echo, tungstenite_echo};
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::raw::{Raw, StreamEnd, request};
use crate::support::served::{Configuration, INSTANCE, Served};
use crate::support::{TestInstance, api_file, key_hash, locked_api_file, subscription_file, wait_until};
use ringgate::catalog::CatalogFiles;
use ringgate::catalog::key_secret::KeySecret;
use ringgate::catalog::timestamp::Timestamp;
use ringgate::compiled::{Snapshot, compile};
use ringgate::session::{Cause, Phase};
use ringgate::tls::setup::TlsSetup;
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Within which a change of the files is served.
const IN_TIME: Duration = Duration::from_secs(1);

const PUBLISHED: &str = "published the catalogue";
const UNCHANGED: &str = "catalogue unchanged; still serving revision ";
const REFUSED: &str = "refused the catalogue";

/// Makes a change, and waits until it is told what became of it.
fn change(served: &Served, told: &str, change: impl FnOnce()) -> String {
    change();
    let begun = Instant::now();
    let line = served.wait_until_said(told);
    assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
    line
}

/// The status that a request is answered with.
fn status(gateway: SocketAddr, path: &str, lines: &str) -> u16 {
    let mut client = Raw::connect(gateway);
    client.send(request(path, lines).as_bytes());
    client.read_head().split(' ').nth(1).unwrap().parse().unwrap()
}

/// The revision that the status page begins with.
fn revision(page: &str) -> &str {
    &page.split("# catalogue: revision ").nth(1).unwrap()[..16]
}

fn in_catalog(configuration: &Configuration, path: &str) -> std::path::PathBuf {
    configuration.folder().join("catalog").join(path)
}

#[test]
fn a_publish_says_which_entities_were_added_changed_and_removed() {
    let backend = Backend::new();
    let api = api_file("t", backend.address, "");
    let configuration = Configuration::new(INSTANCE, &api).with_log("info");
    let served = Served::start(&configuration);
    let path = |path: &str| in_catalog(&configuration, path);
    let write = |at: &str, text: &str| fs::write(path(at), text).unwrap();
    let new = api_file("new", backend.address, "");
    change(&served, "published the catalogue: apis added: new", || write("apis/new.toml", &new));
    let changed = format!("{new}description = \"new\"\n");
    change(&served, "published the catalogue: apis changed: new", || write("apis/new.toml", &changed));
    let removed = "published the catalogue: apis removed: new";
    change(&served, removed, || fs::remove_file(path("apis/new.toml")).unwrap());
}

#[test]
fn a_file_that_is_written_changed_or_removed_is_served_within_a_second() {
    let backend = Backend::new();
    let configuration = Configuration::new(INSTANCE, &api_file("t", backend.address, ""));
    let served = Served::start(&configuration);
    let mut pair = Pair::open(served.address, &backend);
    let path = in_catalog(&configuration, "apis/new.toml");
    assert_eq!(status(served.address, "/new", ""), 404);
    let echo = tungstenite_echo();
    change(&served, PUBLISHED, || fs::write(&path, api_file("new", echo, "")).unwrap());
    assert_eq!(status(served.address, "/new", ""), 101);
    change(&served, PUBLISHED, || fs::write(&path, api_file("newer", echo, "")).unwrap());
    assert_eq!((status(served.address, "/new", ""), status(served.address, "/newer", "")), (404, 101));
    change(&served, PUBLISHED, || fs::remove_file(&path).unwrap());
    assert_eq!(status(served.address, "/newer", ""), 404);
    pair.exchange();
}

#[test]
fn what_is_written_again_as_it_was_is_no_publish() {
    let instance = format!("{INSTANCE}[status]\naddress = \"127.0.0.1:0\"\n");
    let text = api_file("t", tungstenite_echo(), "");
    let configuration = Configuration::new(&instance, &text);
    let served = Served::start(&configuration);
    fs::write(in_catalog(&configuration, "apis/t.toml"), &text).unwrap();
    change(&served, PUBLISHED, || {
        fs::write(in_catalog(&configuration, "apis/u.toml"), text.replace("\"t\"", "\"u\"")).unwrap();
    });
    let page = served.status_page();
    assert!(page.contains("\ncatalogue_publishes 2\n"), "the start and the change: {page}");
}

#[test]
fn a_folder_that_a_link_leads_to_is_replaced_as_one() {
    let echo = tungstenite_echo();
    let configuration =
        Configuration::new(&INSTANCE.replace("workers", "catalog = \"current\"\nworkers"), "")
            .with_file("one/apis/t.toml", &api_file("t", echo, ""))
            .with_file("two/apis/t.toml", &api_file("t", echo, "products = [\"p\"]"))
            .with_file("two/apis/u.toml", &api_file("u", echo, ""))
            .with_file("two/products/p.toml", "display_name = \"P\"\n");
    let link = |to: &str| {
        let hidden = configuration.folder().join(".next");
        std::os::unix::fs::symlink(to, &hidden).unwrap();
        fs::rename(hidden, configuration.folder().join("current")).unwrap();
    };
    link("one");
    let served = Served::start(&configuration);
    assert_eq!(status(served.address, "/u", ""), 404);
    change(&served, PUBLISHED, || link("two"));
    assert_eq!(status(served.address, "/u", ""), 101);
    // What it leads to is watched from then on.
    let path = configuration.folder().join("two/apis/u.toml");
    change(&served, PUBLISHED, || fs::remove_file(path).unwrap());
    assert_eq!(status(served.address, "/u", ""), 404);
}

#[test]
fn a_bad_change_is_refused_with_all_its_faults_and_the_catalogue_before_it_stays() {
    let instance = format!("{INSTANCE}[status]\naddress = \"127.0.0.1:0\"\n");
    let configuration = Configuration::new(&instance, &api_file("t", tungstenite_echo(), ""));
    let served = Served::start(&configuration);
    let first = served.status_page();
    assert!(first.contains("\n# catalogue: revision ") && first.contains(" was published 2"), "{first}");
    assert!(
        first.contains("\ncatalogue_publishes 1\n") && first.contains("\ncatalogue_faults 0\n"),
        "{first}"
    );

    let (t, u) = (in_catalog(&configuration, "apis/t.toml"), in_catalog(&configuration, "apis/u.toml"));
    let good = fs::read_to_string(&t).unwrap();
    let bad = "display_name = \"U\"\nurl = \"http://a\"\nsuffix = \"u\"\nconnections_max = 0\n";
    change(&served, REFUSED, || {
        // One that would be correct alone is not served either.
        fs::write(&t, good.replace("\"t\"", "\"other\"")).unwrap();
        fs::write(&u, bad).unwrap();
    });
    let faults = ["apis/u.toml:2: url = \"http://a\"", "apis/u.toml:4: connections_max = 0"];
    for fault in faults {
        served.wait_until_said(fault);
    }
    assert_eq!(["/t", "/other", "/u"].map(|path| status(served.address, path, "")), [101, 404, 404]);
    let page = served.status_page();
    for part in
        [" was refused 2", " for 2 faults; served is ", "\ncatalogue_refusals 1\n", "\ncatalogue_faults 2\n"]
    {
        assert!(page.contains(part), "{part} in {page}");
    }
    for fault in faults {
        assert!(page.contains(&format!("\n#   {fault}")), "{page}");
    }
    served.signal(Signal::USR1);
    served.wait_until_said("was refused 2");
    served.wait_until_said(faults[1]);

    // Back to what is served: that is a publish too, which says that all is well again.
    change(&served, PUBLISHED, || {
        fs::write(&t, good).unwrap();
        fs::remove_file(&u).unwrap();
    });
    let page = served.status_page();
    assert!(page.contains("\ncatalogue_publishes 2\n") && page.contains("\ncatalogue_faults 0\n"), "{page}");
    assert_eq!(revision(&page), revision(&first), "the same files are the same revision");
}

#[test]
fn policies_that_do_not_apply_are_told_at_each_publish_and_refused_where_they_stand_for_the_handshake() {
    let global = "<policies><inbound><cors><allowed-origins/></cors></inbound><backend><forward-request/></backend></policies>";
    let told = "policies/global.xml:1:20: <cors>: skipped: it does not apply to onHandshake";
    let configuration = Configuration::new(INSTANCE, &api_file("t", tungstenite_echo(), ""))
        .with_file("catalog/policies/global.xml", global)
        .with_log("info");
    let served = Served::start(&configuration);
    served.wait_until_said(told);
    assert_eq!(status(served.address, "/t", ""), 101);
    let own = in_catalog(&configuration, "policies/apis/t.xml");
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    change(&served, told, || fs::write(&own, "<policies/>").unwrap());
    let fault = "policies/apis/t.xml:1:20: <cors>; remove it: it does not apply to an opening handshake";
    change(&served, fault, || fs::write(&own, global).unwrap());
    assert_eq!(status(served.address, "/t", ""), 101);
}

#[test]
fn a_certificate_that_cannot_be_read_refuses_the_catalogue_that_names_it() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", tungstenite_echo(), ""));
    let served = Served::start(&configuration);
    let api =
        api_file("u", closed_port(), "tls = { certificate = { chain = \"none.pem\", key = \"none.pem\" } }")
            .replace("ws://", "wss://");
    let path = in_catalog(&configuration, "apis/u.toml");
    change(&served, REFUSED, || fs::write(&path, &api).unwrap());
    served.wait_until_said("none.pem");
    assert_eq!(["/t", "/u"].map(|path| status(served.address, path, "")), [101, 404]);
}

#[test]
fn sighup_has_everything_looked_at_at_once_and_without_a_change_publishes_nothing_and_says_so() {
    let instance = format!("{INSTANCE}[status]\naddress = \"127.0.0.1:0\"\n");
    let configuration = Configuration::new(&instance, &api_file("t", tungstenite_echo(), ""));
    let served = Served::start(&configuration);
    let first = served.status_page();
    for _ in 0..3 {
        let told = change(&served, UNCHANGED, || served.signal(Signal::HUP));
        assert!(told.ends_with(revision(&first)), "{told}");
    }
    let page = served.status_page();
    assert!(page.contains("\ncatalogue_publishes 1\n") && page.contains(" was published "), "{page}");
    let path = in_catalog(&configuration, "apis/u.toml");
    change(&served, REFUSED, || fs::write(&path, "=").unwrap());
    change(&served, REFUSED, || served.signal(Signal::HUP));
    assert_eq!(status(served.address, "/t", ""), 101);
    // Back to what is served: that is told as a publish, since what was said last is that it was refused.
    change(&served, PUBLISHED, || fs::remove_file(&path).unwrap());
    change(&served, UNCHANGED, || served.signal(Signal::HUP));
}

/// The catalogue's files are the same then, and the keys in them are others.
#[test]
fn sighup_takes_up_another_secret_of_keys() {
    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
    let secrets = ["11", "22"].map(|digits| digits.repeat(32));
    let hash = KeySecret::parse(&secrets[1]).unwrap().hasher().text_of(KEY);
    let subscription = format!("display_name = \"Acme\"\nscope = \"/apis\"\nprimary_key_hash = \"{hash}\"\n");
    let configuration = Configuration::new(INSTANCE, &locked_api_file("t", tungstenite_echo(), ""))
        .with_file("catalog/subscriptions/acme.toml", &subscription)
        .with_secret_file("ringgate.key", &secrets[0]);
    let served = Served::start(&configuration);
    let line = format!("Ocp-Apim-Subscription-Key: {}\r\n", str::from_utf8(KEY).unwrap());
    change(&served, UNCHANGED, || served.signal(Signal::HUP));
    assert_eq!(status(served.address, "/t", &line), 401);
    fs::write(configuration.folder().join("ringgate.key"), &secrets[1]).unwrap();
    change(&served, PUBLISHED, || served.signal(Signal::HUP));
    assert_eq!(status(served.address, "/t", &line), 101);
}

#[test]
fn a_new_key_opens_a_session_of_an_instance_that_runs() {
    let api = locked_api_file("t", tungstenite_echo(), "");
    let subscription = "display_name = \"Acme\"\nscope = \"/apis\"\n";
    let configuration =
        Configuration::new(INSTANCE, &api).with_file("catalog/subscriptions/acme.toml", subscription);
    let served = Served::start(&configuration);
    let mut key = String::new();
    change(&served, PUBLISHED, || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
        command.args(["subscription", "new-key", "acme", "--config"]).arg(configuration.file());
        key = String::from_utf8(command.output().unwrap().stdout).unwrap();
    });
    let line = |key: &str| format!("Ocp-Apim-Subscription-Key: {key}\r\n");
    assert_eq!(status(served.address, "/t", &line(key.trim_end())), 101);
    assert_eq!(status(served.address, "/t", &line("another")), 401);
}

#[test]
fn a_subscription_that_runs_out_ends_its_sessions_by_itself() {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    const SECRET: &str = "6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d";
    let backend = Backend::new();
    let hash = KeySecret::parse(SECRET).unwrap().hasher().text_of(KEY.as_bytes());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let end = format!("end_date = {}", Timestamp::from_unix(now + 3));
    let subscription = subscription_file("/apis", KEY, &end).replace(&key_hash(KEY), &hash);
    let api = locked_api_file("t", backend.address, "on_revoke = \"close\"");
    let configuration = Configuration::new(INSTANCE, &api)
        .with_file("catalog/subscriptions/acme.toml", &subscription)
        .with_secret_file("ringgate.key", SECRET);
    let served = Served::start(&configuration);
    let mut client = Raw::connect(served.address);
    let line = format!("Ocp-Apim-Subscription-Key: {KEY}\r\n");
    client.send(request("/t", &line).as_bytes());
    let session = backend.take_session();
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    client.expect(&server_frame(0x88, &close_payload(1008, "revoked")));
    client.send(&client_frame(0x88, &close_payload(1008, "")));
    assert_eq!(client.read_to_end(), (vec![], StreamEnd::Fin));
    assert_eq!(status(served.address, "/t", &line), 401);
    drop(session);
}

fn snapshot(backend: SocketAddr) -> Arc<Snapshot> {
    let mut files = CatalogFiles::default();
    files.insert("apis/t.toml", api_file("t", backend, ""));
    Arc::new(compile(&files, None).unwrap())
}

#[test]
fn no_session_and_no_opening_in_progress_keeps_a_catalogue_alive() {
    let backend = Backend::new();
    let mut gateway = TestInstance::start(closed_port(), "");
    let first = snapshot(backend.address);
    let held = Arc::downgrade(&first);
    gateway.publish_snapshot(first, TlsSetup::default());
    let mut pair = Pair::open(gateway.address, &backend);
    let mut waiting = Raw::connect(gateway.address);
    waiting.send(request("/t", "").as_bytes());
    let dialled = backend.take_request();
    gateway.publish_snapshot(snapshot(closed_port()), TlsSetup::default());
    wait_until("a catalogue that is freed", || {
        gateway.instance.let_go_of_retired();
        held.strong_count() == 0
    });
    pair.exchange();
    drop((pair, waiting, dialled));
    gateway.wait_for_rest();
    gateway.end();
}

/// A session that goes on until it is told to stop: how many messages came back.
async fn live(url: &str, is_over: &AtomicBool) -> u64 {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::tungstenite::Message;
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("a session");
    let mut round = 0;
    while !is_over.load(Ordering::Relaxed) || round == 0 {
        let message = Message::text(format!("message {round}"));
        socket.send(message.clone()).await.expect("a sent message");
        assert_eq!(socket.next().await.expect("a message").expect("a correct one"), message);
        round += 1;
    }
    socket.close(None).await.expect("a sent Close");
    while let Some(Ok(_)) = socket.next().await {}
    round
}

#[test]
fn publishing_in_a_loop_loses_no_session_and_no_handshake() {
    const SESSIONS: u64 = 2_000;
    /// Clients that open a session and close it, one after the other.
    const STORM: u64 = 64;
    const PUBLISHES: u32 = 500;
    let limit = ringgate::process::open_files::raise_open_files().unwrap();
    assert!(limit > 5 * (SESSIONS + STORM) + 500, "this test needs more open files than {limit}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let backend = runtime.block_on(tokio_echo());
    let mut gateway = TestInstance::start_with(
        "workers = 2\n[limits]\nopenings_max = 4000\ntrusted_networks = [\"127.0.0.1\"]",
        &[("t", &api_file("t", backend, ""))],
    );
    let url: Arc<str> = format!("ws://{}/t", gateway.address).into();
    let is_over = Arc::new(AtomicBool::new(false));
    let sessions: Vec<_> = (0..SESSIONS)
        .map(|_| {
            let (url, is_over) = (Arc::clone(&url), Arc::clone(&is_over));
            runtime.spawn(async move { live(&url, &is_over).await })
        })
        .collect();
    gateway.wait_for_sessions(SESSIONS);
    let storm: Vec<_> = (0..STORM)
        .map(|_| {
            let (url, is_over) = (Arc::clone(&url), Arc::clone(&is_over));
            runtime.spawn(async move {
                let (mut opened, once) = (0, AtomicBool::new(true));
                while !is_over.load(Ordering::Relaxed) {
                    live(&url, &once).await;
                    opened += 1;
                }
                opened
            })
        })
        .collect();
    for round in 0..PUBLISHES {
        // Everything of it changes, and others come and go beside it.
        let lines = format!("idle_timeout_s = {}\nconnections_max = {}", 600 + round, 10_000 + round);
        let api = api_file("t", backend, &lines);
        let others: Vec<_> = (0..round % 7).map(|index| format!("o{index}")).collect();
        let files: Vec<_> = others.iter().map(|name| (name.as_str(), api_file(name, backend, ""))).collect();
        let mut all = vec![("t", api.as_str())];
        all.extend(files.iter().map(|(name, text)| (*name, text.as_str())));
        gateway.publish(&all);
        // So many of each are served under one catalogue at least.
        let opened = gateway.instance.counters().sum(|worker| &worker.sessions_opened);
        if round % 50 == 0 {
            gateway.wait_for_sessions(opened + 1);
        }
    }
    // A slow machine opens few meanwhile.
    gateway.wait_for_sessions(SESSIONS + 101);
    is_over.store(true, Ordering::Relaxed);
    let (sessions, storm) = runtime.block_on(async {
        let sessions = futures_util::future::try_join_all(sessions).await.expect("sessions without a fault");
        let storm = futures_util::future::try_join_all(storm).await.expect("handshakes without a fault");
        (sessions, storm)
    });
    assert!(sessions.iter().all(|rounds| *rounds > 0));
    let opened: u64 = storm.iter().sum();
    assert!(opened > 100, "{opened}: that was no storm");
    gateway.wait_for_terminations(Cause::Closed, Phase::Relay, SESSIONS + opened);
    gateway.wait_for_rest();
    gateway.end();
}
