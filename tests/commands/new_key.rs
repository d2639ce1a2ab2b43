//! `ringgate subscription new-key`: what it prints, what it writes, and that the key opens a session.

use crate::support::backend::{closed_port, tungstenite_echo};
use crate::support::locked_api_file;
use crate::support::raw::{Raw, request};
use crate::support::served::{Configuration, INSTANCE, Served};
use ringgate::catalog::Name;
use ringgate::catalog::key_secret::KeySecret;
use ringgate::catalog::sealed_key::SealedKey;
use ringgate::catalog::subscription_key::KeySlot;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Output};

const ACME: &str = "catalog/subscriptions/acme.toml";

/// The file's text as its author wrote it: comments, order and quotes have to stay.
const TEXT: &str = "# Acme, since March\nscope = '/apis'   # all of them\n\ndisplay_name = \"Acme\"\n";

fn configuration(instance: &str) -> Configuration {
    let api = locked_api_file("t", tungstenite_echo(), "");
    Configuration::new(&format!("{INSTANCE}{instance}"), &api).with_file(ACME, TEXT)
}

fn new_key(configuration: &Configuration, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    command.args(["subscription", "new-key"]).args(arguments).arg("--config").arg(configuration.file());
    command.output().unwrap()
}

/// The key that it printed, and nothing else.
fn printed(output: &Output) -> String {
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let key = text.strip_suffix('\n').unwrap();
    assert!(key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
    key.to_owned()
}

fn refusal(output: &Output) -> &str {
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &[][..]));
    std::str::from_utf8(&output.stderr).unwrap()
}

fn read(configuration: &Configuration, path: &str) -> String {
    fs::read_to_string(configuration.folder().join(path)).unwrap()
}

#[test]
fn a_new_key_is_printed_once_and_its_hash_is_written_where_the_author_left_room() {
    let configuration = configuration("");
    let key = printed(&new_key(&configuration, &["acme"]));
    let secret = KeySecret::parse(&read(&configuration, "ringgate.key")).unwrap();
    let hash = |key: &str| secret.hasher().text_of(key.as_bytes());
    let first = format!("{TEXT}primary_key_hash = \"{}\"\n", hash(&key));
    assert_eq!(read(&configuration, ACME), first);
    assert_eq!(fs::metadata(configuration.folder().join("ringgate.key")).unwrap().mode() & 0o777, 0o600);

    let second = printed(&new_key(&configuration, &["acme", "--secondary"]));
    assert_eq!(read(&configuration, ACME), format!("{first}secondary_key_hash = \"{}\"\n", hash(&second)));
    let third = printed(&new_key(&configuration, &["acme"]));
    assert!(key != second && second != third && third != key);
    let text = read(&configuration, ACME);
    assert_eq!(
        text,
        format!(
            "{TEXT}primary_key_hash = \"{}\"\nsecondary_key_hash = \"{}\"\n",
            hash(&third),
            hash(&second)
        )
    );

    let served = Served::start(&configuration);
    for (key, status) in [(&third, "101"), (&second, "101"), (&key, "401")] {
        let mut client = Raw::connect(served.address);
        client.send(request("/t", &format!("Ocp-Apim-Subscription-Key: {key}\r\n")).as_bytes());
        assert_eq!(client.read_head().split(' ').nth(1), Some(status));
    }
}

#[test]
fn a_key_can_be_had_again_where_the_instance_says_so_and_only_there() {
    let configuration = configuration("[keys]\nfile = \"own.secret\"\nrecoverable = true\n");
    let key = printed(&new_key(&configuration, &["acme", "--secondary"]));
    let text = read(&configuration, ACME);
    assert!(!text.contains(&key));
    let sealed = text.lines().find_map(|line| line.strip_prefix("secondary_key_sealed = ")).unwrap();
    let sealed = SealedKey::parse(sealed.trim_matches('"')).unwrap();
    let secret = KeySecret::parse(&read(&configuration, "own.secret")).unwrap();
    let opened = secret.sealer().open(&sealed, &Name::parse("acme").unwrap(), KeySlot::Secondary).unwrap();
    assert_eq!(opened.reveal(), key);

    // The sealed form of the key before would be told as that of the new one.
    let instance = format!("{INSTANCE}[keys]\nfile = \"own.secret\"\n");
    let configuration = configuration.with_file("ringgate.toml", &instance);
    printed(&new_key(&configuration, &["acme", "--secondary"]));
    assert!(!read(&configuration, ACME).contains("sealed"));
}

#[test]
fn no_key_is_made_for_who_is_not_there_or_where_anything_is_at_fault() {
    let configuration = configuration("");
    for name in ["acne", "../acme", "Ac me"] {
        let output = new_key(&configuration, &[name]);
        assert_eq!(refusal(&output), format!("ringgate: there is no subscription {name}\n"));
    }
    let configuration = configuration.with_api("bad", "display_name = 1\n");
    let output = new_key(&configuration, &["acme"]);
    let said = refusal(&output);
    assert!(said.contains("apis/bad.toml:1: display_name = 1"), "{said}");
    assert_eq!(read(&configuration, ACME), TEXT);
    assert!(!configuration.folder().join("ringgate.key").exists(), "no secret is made for nothing");
}

#[test]
fn no_key_is_made_under_a_new_secret_while_others_are_under_one_that_is_lost() {
    let hash = format!("{TEXT}primary_key_hash = \"hmac-sha256:{}\"\n", "0".repeat(64));
    let api = locked_api_file("t", closed_port(), "");
    let configuration = Configuration::new(INSTANCE, &api).with_file(ACME, &hash);
    let output = new_key(&configuration, &["acme", "--secondary"]);
    let said = refusal(&output);
    assert!(said.contains("ringgate.key: is not there"), "{said}");
    assert_eq!(read(&configuration, ACME), hash);
}
