//! Files that are not what they should be, at the start and while it serves: told, and never waited for.

use crate::pki::Authority;
use crate::support::backend::{closed_port, tungstenite_echo};
use crate::support::raw::{Raw, request};
use crate::support::served::{Configuration, INSTANCE, Served, output_in_time, wait_for_exit};
use crate::support::{api_file, wait_until};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

const SECRET: &str = "6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d";

/// Files that are read again while it serves, each in another role.
const ROLES: [&str; 8] = [
    "own.pem",
    "own.key",
    "clients.pem",
    "backends.pem",
    "shown.pem",
    "shown.key",
    "ringgate.key",
    "catalog/apis/t.toml",
];

/// The objects in place of a file, and the words of their faults.
const KINDS: [(&str, &str); 5] = [
    ("fifo", "is a fifo and not a regular file"),
    ("device", "is a device and not a regular file"),
    ("socket", "is a socket and not a regular file"),
    ("folder", "is a folder and not a regular file"),
    ("huge", "large"),
];

/// A configuration with a file in each role, and an open API at `/t`.
fn configuration() -> Configuration {
    let authority = Authority::new("ca");
    let listener = "[[listeners]]\naddress = \"127.0.0.2:0\"\n[listeners.tls]\n\
        certificates = [{ chain = \"own.pem\", key = \"own.key\" }]\nclient_ca = \"clients.pem\"\n\
        client_auth = \"optional\"\n[status]\naddress = \"127.0.0.1:0\"\n";
    let backends =
        "tls = { ca = \"backends.pem\", certificate = { chain = \"shown.pem\", key = \"shown.key\" } }";
    let secured = api_file("u", closed_port(), backends).replace("ws://", "wss://");
    let hash = ringgate::catalog::key_secret::KeySecret::parse(SECRET).unwrap().hasher().text_of(b"key");
    let subscription = format!("display_name = \"S\"\nscope = \"/apis\"\nprimary_key_hash = \"{hash}\"\n");
    let configuration = Configuration::new(
        &format!("{INSTANCE}{listener}"),
        &api_file("t", tungstenite_echo(), "schemes = [\"ws\"]"),
    )
    .with_api("u", &secured)
    .with_file("catalog/subscriptions/s.toml", &subscription)
    .with_secret_file("ringgate.key", SECRET)
    .with_file("clients.pem", &authority.pem())
    .with_file("backends.pem", &authority.pem());
    authority.leaf(&["gateway.example"]).write(configuration.folder(), "own");
    authority.leaf(&["client.example"]).write(configuration.folder(), "shown");
    configuration
}

/// Puts something else where a file is.
fn replace(path: &Path, kind: &str) {
    fs::remove_file(path).unwrap();
    match kind {
        "fifo" => mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap(),
        "device" => symlink("/dev/zero", path).unwrap(),
        "socket" => drop(UnixListener::bind(path).unwrap()),
        "folder" => fs::create_dir(path).unwrap(),
        "huge" => fs::File::create(path).and_then(|file| file.set_len(1 << 40)).unwrap(),
        other => panic!("{other}"),
    }
}

/// Puts a file back where something else is.
fn restore(path: &Path, (contents, mode): &(Vec<u8>, fs::Permissions)) {
    let gone = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
    gone.unwrap();
    let new = path.with_extension("new");
    fs::write(&new, contents).unwrap();
    fs::set_permissions(&new, mode.clone()).unwrap();
    fs::rename(new, path).unwrap();
}

/// It answers at once: a new session, and whoever reads its status page.
fn assert_serves(served: &Served) -> String {
    let mut client = Raw::connect(served.address);
    client.send(request("/t", "").as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    let page = served.status_page();
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    page
}

#[test]
fn a_start_with_a_file_of_another_kind_in_any_role_is_an_error_that_says_so() {
    let configuration = configuration();
    for role in ROLES.iter().chain(&["ringgate.toml"]) {
        let path = configuration.folder().join(role);
        let kept = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().permissions());
        for (kind, told) in KINDS {
            replace(&path, kind);
            let output = output_in_time(configuration.command());
            let said = String::from_utf8(output.stderr).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            let line = said.lines().find(|line| line.contains(name) && line.contains(told));
            assert!(!output.status.success() && line.is_some(), "{role} as {kind}: {said}");
            restore(&path, &kept);
        }
    }
}

#[test]
fn a_file_that_becomes_another_kind_is_told_while_everything_else_goes_on() {
    let configuration = configuration();
    let mut served = Served::start(&configuration);
    let looked = |served: &Served, role: &str, told: &str| {
        served.signal(Signal::HUP);
        let name = role.rsplit('/').next().unwrap();
        while !served.wait_until_said(name).contains(told) {}
        assert_serves(served);
    };
    for role in ROLES {
        let path = configuration.folder().join(role);
        let kept = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().permissions());
        for (kind, told) in KINDS {
            replace(&path, kind);
            looked(&served, role, told);
            restore(&path, &kept);
        }
    }
    // All of them at once are no reason not to drain.
    for role in ROLES {
        replace(&configuration.folder().join(role), "fifo");
    }
    looked(&served, "own.pem", "is a fifo");
    served.signal(Signal::TERM);
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
}

/// Runs `ringgate ctl reload`, and returns its exit code and output.
fn reload(configuration: &Configuration) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    command.args(["ctl", "reload", "--config"]).arg(configuration.file()).env_remove("RUNTIME_DIRECTORY");
    let output = output_in_time(command);
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn a_reload_with_a_key_of_another_certificate_is_refused_as_often_as_it_is_asked_for() {
    const REFUSED: &str = "ringgate: files of TLS have faults; what was read of them before stays in use\n";
    let configuration = configuration();
    let served = Served::start(&configuration);
    let at = |path: &str| configuration.folder().join(path);
    assert_eq!(reload(&configuration).0, Some(0));
    // One of a listener, and one of a backend.
    for (key, other) in [("own.key", "shown.key"), ("shown.key", "own.key")] {
        let kept = fs::read(at(key)).unwrap();
        fs::copy(at(other), at(key)).unwrap();
        for _ in 0..2 {
            let (code, said) = reload(&configuration);
            assert!(code == Some(1) && said.contains(key) && said.ends_with(REFUSED), "{code:?}: {said}");
            assert_eq!(said.lines().count(), 2, "{said}");
        }
        // A catalogue is published all the same.
        fs::write(at("catalog/apis/v.toml"), api_file("v", closed_port(), "")).unwrap();
        let (code, said) = reload(&configuration);
        assert!(code == Some(1) && said.contains(key) && said.ends_with(REFUSED), "{code:?}: {said}");
        served.wait_until_said("published the catalogue");
        // Of one that is refused, those faults are told, too.
        fs::write(at("catalog/apis/v.toml"), "=").unwrap();
        let (code, said) = reload(&configuration);
        assert!(
            code == Some(1) && said.contains(key) && said.contains("  apis/v.toml:1"),
            "{code:?}: {said}"
        );
        fs::remove_file(at("catalog/apis/v.toml")).unwrap();
        fs::write(at(key), kept).unwrap();
        assert_eq!(reload(&configuration).0, Some(0));
        assert_serves(&served);
    }
}

#[test]
fn a_private_key_that_others_can_read_is_used_with_a_warning_that_names_it() {
    let configuration = configuration();
    let mode = |mode| {
        let path = configuration.folder().join("own.key");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o640);
    let served = Served::start(&configuration);
    let told = served.wait_until_said("own.key");
    assert!(told.contains("open to its group (mode 0640)") && told.contains("chmod 600"), "{told}");
    mode(0o644);
    served.signal(Signal::HUP);
    served.wait_until_said("own.key: this private key is open to every user of this host (mode 0644)");
    mode(0o600);
    served.signal(Signal::HUP);
    served.wait_until_said("reloaded a listener's certificates");
}

/// A command that runs another one where the folder `$1` belongs to a file system that never answers: FUSE, whose server does
/// nothing.
fn with_hanging_folder(folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    let script = "exec 7<>/dev/fuse && mount -i -t fuse -o fd=7,rootmode=40000,user_id=0,group_id=0 hanging \"$0\" && exec \"$@\"";
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg(folder);
    command
}

#[test]
fn a_file_system_that_does_not_answer_holds_nothing_else_up() {
    let configuration = configuration();
    let at = |path: &str| configuration.folder().join(path);
    fs::create_dir(at("net")).unwrap();
    let mut probe = with_hanging_folder(&at("net"));
    if !probe.arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        eprintln!(
            "SKIPPED a_file_system_that_does_not_answer_holds_nothing_else_up: no FUSE in a name space of one's own here"
        );
        return;
    }
    let inner = configuration.command();
    let mut command = with_hanging_folder(&at("net"));
    command.arg(inner.get_program()).args(inner.get_args());
    command.stderr(Stdio::piped());
    let mut served = Served::start_command(&configuration, command);
    let link = |to: &str| {
        symlink(to, at("next")).unwrap();
        fs::rename(at("next"), at("own.pem")).unwrap();
    };
    fs::rename(at("own.pem"), at("good.pem")).unwrap();
    link("net/own.pem");
    served.signal(Signal::HUP);
    assert_serves(&served);
    served.wait_until_said("own.pem does not answer for 10 s");
    let page = assert_serves(&served);
    assert!(page.contains("own.pem does not answer") && page.contains("\nfiles_hanging 1\n"), "{page}");

    // Neither the catalogue nor another certificate waits for it.
    fs::write(at("catalog/apis/v.toml"), api_file("v", closed_port(), "")).unwrap();
    served.wait_until_said("published the catalogue");
    fs::write(at("backends.pem"), "").unwrap();
    served.signal(Signal::HUP);
    served.wait_until_said("backends.pem has no certificate");

    // The mount stays busy, but its server is given up, and with it every wait.
    let mut answer = Command::new("nsenter");
    let pid = served.child.id().to_string();
    answer.args(["--preserve-credentials", "--user", "--mount", "-t", &pid, "umount", "-f"]).arg(at("net"));
    answer.stderr(Stdio::null()).status().unwrap();
    served.wait_until_said("own.pem answers again");
    link("good.pem");
    served.signal(Signal::HUP);
    served.wait_until_said("reloaded a listener's certificates");
    served.signal(Signal::TERM);
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
}

#[test]
fn a_start_from_a_file_system_that_does_not_answer_ends_by_itself_and_by_sigterm() {
    let configuration = configuration();
    let at = |path: &str| configuration.folder().join(path);
    fs::create_dir(at("net")).unwrap();
    let mut probe = with_hanging_folder(&at("net"));
    if !probe.arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        eprintln!(
            "SKIPPED a_start_from_a_file_system_that_does_not_answer_ends_by_itself_and_by_sigterm: no FUSE here"
        );
        return;
    }
    fs::remove_file(at("own.key")).unwrap();
    symlink("net/own.key", at("own.key")).unwrap();
    let inner = configuration.command();
    let command = || {
        let mut command = with_hanging_folder(&at("net"));
        command.arg(inner.get_program()).args(inner.get_args());
        command
    };
    let output = output_in_time(command());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("own.key does not answer for 10 s"), "{said}");

    let mut child = command().stderr(Stdio::piped()).spawn().unwrap();
    let threads = format!("/proc/{}/task", child.id());
    let name = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
    wait_until("the thread that reads", || {
        fs::read_dir(&threads).unwrap().any(|thread| name(thread.unwrap()) == "files\n")
    });
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(wait_for_exit(&mut child).code(), Some(0));
    let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert!(said.contains("ended before it was open"), "{said}");
}
