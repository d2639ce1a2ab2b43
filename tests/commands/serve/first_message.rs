//! The first hour of a user: which file is read, the demo and its page, `--listen`, and what a start says.

use super::failure;
use crate::support::backend::{closed_port, tungstenite_echo};
use crate::support::raw::{Raw, StreamEnd, header, request};
use crate::support::served::{Configuration, INSTANCE, Served, output_in_time};
use crate::support::{api_file, locked_api_file};
use rustix::process::Signal;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tungstenite::Message;

/// The binary in a folder, where nothing of the environment names a file.
fn ringgate(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    command.args(arguments).current_dir(folder);
    for variable in ["RINGGATE_CONFIG", "RINGGATE_LOG", "RUNTIME_DIRECTORY"] {
        command.env_remove(variable);
    }
    command
}

/// A folder without any file.
fn empty() -> Configuration {
    let configuration = Configuration::new("", "");
    fs::remove_file(configuration.file()).unwrap();
    fs::remove_dir_all(configuration.folder().join("catalog")).unwrap();
    configuration
}

fn start(configuration: &Configuration, mut command: Command) -> Served {
    command.stderr(Stdio::piped());
    Served::start_command(configuration, command)
}

/// Exit code, standard output and standard error.
fn said(output: Output) -> (Option<i32>, String, String) {
    let [out, error] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), out, error)
}

/// Sends a request, and returns the head and the body of the answer.
fn ask(address: SocketAddr, head: &str) -> (String, String) {
    let mut client = Raw::connect(address);
    client.send(head.as_bytes());
    let (answer, end) = client.read_to_end();
    assert_eq!(end, StreamEnd::Fin);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
    (head.to_owned(), body.to_owned())
}

fn echoes(url: &str) {
    let (mut client, _) = tungstenite::connect(url).expect("a session");
    client.send(Message::text("hello")).unwrap();
    assert_eq!(client.read().unwrap(), Message::text("hello"));
    client.close(None).unwrap();
    while client.read().is_ok() {}
}

/// The commands that read the configuration and end.
const READERS: [&[&str]; 4] =
    [&["check"], &["catalogue", "check"], &["catalogue", "show"], &["subscription", "new-key", "acme"]];

#[test]
fn a_bare_serve_without_a_file_is_the_demo_and_says_why() {
    let folder = empty();
    let mut command = ringgate(folder.folder(), &["serve", "--listen", "127.0.0.1:0"]);
    // A variable that is set to nothing names nothing.
    command.env("RINGGATE_CONFIG", "");
    let served = start(&folder, command);
    let why = "  no instance file: this is the demo (-c is not given, RINGGATE_CONFIG is not set, and the working folder has no \
               ringgate.toml)";
    assert_eq!(served.announced[1], why);
    let (address, last) = (served.address, served.announced.last().unwrap());
    assert!(last.starts_with(&format!("try it: http://{address}/ in a browser")), "{last}");
    assert!(last.contains(&format!("npx -y wscat -c ws://{address}/echo")), "{last}");
    echoes(&format!("ws://{address}/echo"));
}

#[test]
fn a_demo_that_is_asked_for_reads_no_file_whoever_names_one() {
    let folder = Configuration::new("workers = 0", "=");
    let mut command = ringgate(folder.folder(), &["serve", "--demo", "--listen", "127.0.0.1:0"]);
    command.env("RINGGATE_CONFIG", "absent.toml");
    let served = start(&folder, command);
    assert_eq!(served.announced[1], "  no instance file: this is the demo (--demo)");
    echoes(&format!("ws://{}/echo", served.address));
    drop(served);
    let mut both = ringgate(folder.folder(), &["serve", "--demo", "-c", "ringgate.toml"]);
    assert_eq!(said(both.output().unwrap()).0, Some(2), "one or the other");
}

#[test]
fn every_command_takes_the_same_file_by_option_variable_or_working_folder() {
    let api = api_file("t", tungstenite_echo(), "");
    let named = Configuration::new(INSTANCE, &api);
    let subscription = "display_name = \"A\"\nscope = \"/apis\"\n";
    let named = named.with_file("catalog/subscriptions/acme.toml", subscription);
    let file = named.file().display().to_string();
    let elsewhere = empty();
    let ways: [(&Path, Option<&str>, Option<&str>, String); 4] = [
        (elsewhere.folder(), Some(&file), None, format!("{file} (-c)")),
        (elsewhere.folder(), None, Some(&file), format!("{file} (RINGGATE_CONFIG)")),
        (named.folder(), None, None, "ringgate.toml (in the working folder)".to_owned()),
        // The option goes first.
        (elsewhere.folder(), Some(&file), Some("absent.toml"), format!("{file} (-c)")),
    ];
    for (folder, option, variable, told) in &ways {
        let command = |arguments: &[&str]| {
            let mut command = ringgate(folder, arguments);
            command.args(option.map(|file| ["-c", file]).into_iter().flatten());
            command.envs(variable.map(|file| ("RINGGATE_CONFIG", file)));
            command
        };
        for reader in READERS {
            let (code, out, error) = said(command(reader).output().unwrap());
            assert_eq!((code, error.as_str()), (Some(0), ""), "{reader:?} {told}: {out}");
        }
        let (_, help, _) = said(command(&["check", "--help"]).output().unwrap());
        if option.is_none() {
            let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(help.contains(&format!("[here: {told}]")), "{told} in {help}");
        }
        let served = start(&named, command(&["serve"]));
        assert_eq!(served.announced[1], format!("  instance file {told}"));
        let (code, out, error) = said(command(&["ctl", "status", "--json"]).output().unwrap());
        assert_eq!((code, error.as_str()), (Some(0), ""), "{out}");
        assert!(out.contains(&format!("\"pid\":{}", served.child.id())), "{out}");
    }
}

#[test]
fn a_file_that_is_named_and_missing_is_an_error_and_never_the_demo() {
    let (folder, with_link) = (empty(), empty());
    std::os::unix::fs::symlink("nowhere.toml", with_link.file()).unwrap();
    for command in [&["serve"][..], &["check"], &["catalogue", "check"], &["subscription", "new-key", "acme"]]
    {
        let mut by_option = ringgate(folder.folder(), command);
        by_option.args(["-c", "absent.toml"]);
        let mut by_variable = ringgate(folder.folder(), command);
        by_variable.env("RINGGATE_CONFIG", "absent.toml");
        let by_link = ringgate(with_link.folder(), command);
        for (by, command, file, why) in [
            ("-c", by_option, "absent.toml", None),
            (
                "variable",
                by_variable,
                "absent.toml",
                Some("the instance file is absent.toml (RINGGATE_CONFIG)"),
            ),
            (
                "link",
                by_link,
                "ringgate.toml",
                Some("the instance file is ringgate.toml (in the working folder)"),
            ),
        ] {
            let shown = format!("{command:?} {by}");
            let said = failure(output_in_time(command));
            assert!(said.contains(&format!("{file}: cannot be read (no such file")), "{shown}: {said}");
            match why {
                Some(why) => assert_eq!(said.lines().last(), Some(why), "{shown}"),
                None => assert!(!said.contains("the instance file is"), "{shown}: {said}"),
            }
        }
    }
}

#[test]
fn without_a_file_the_others_say_how_to_name_one_and_exit_with_2() {
    let folder = empty();
    for reader in READERS {
        let (code, out, error) = said(ringgate(folder.folder(), reader).output().unwrap());
        assert_eq!((code, out.as_str()), (Some(2), ""), "{reader:?}");
        assert_eq!(
            error,
            "ringgate: no instance file: -c is not given, RINGGATE_CONFIG is not set, and the working folder has no \
             ringgate.toml; give one with -c FILE\n"
        );
    }
    let (_, help, _) = said(ringgate(folder.folder(), &["check", "--help"]).output().unwrap());
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        help.contains("[here: none, as RINGGATE_CONFIG is not set and there is no ./ringgate.toml]"),
        "{help}"
    );
}

#[test]
fn ctl_says_which_file_it_went_by_where_nobody_listens() {
    let folder = Configuration::new(INSTANCE, "");
    let (code, _, error) = said(ringgate(folder.folder(), &["ctl", "status"]).output().unwrap());
    assert_eq!(code, Some(2), "{error}");
    assert!(error.starts_with("ringgate: no instance listens at ringgate.sock"), "{error}");
    assert!(error.contains("\nthe instance file is ringgate.toml (in the working folder)"), "{error}");
}

#[test]
fn listen_stands_instead_of_the_listeners_of_the_file_whose_certificates_are_not_read_then() {
    let tls = "[listeners.tls]\ncertificates = [{ chain = \"absent.pem\", key = \"absent.key\" }]\n";
    let api = api_file("t", tungstenite_echo(), "");
    let configuration = Configuration::new(&format!("{INSTANCE}{tls}"), &api);
    assert!(failure(output_in_time(configuration.command())).contains("absent.pem"));
    let mut command = configuration.command();
    command.args(["--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0"]).stderr(Stdio::piped());
    let served = Served::start_command(&configuration, command);
    let listening: Vec<_> =
        served.announced.iter().filter_map(|line| line.strip_prefix("  listening on ws://")).collect();
    assert!(
        listening.len() == 2
            && listening[0].starts_with("127.0.0.1:")
            && listening[1].starts_with("127.0.0.2:"),
        "{:?}",
        served.announced
    );
    // No listener has TLS, so that is where an API is that names no schemes.
    listening.iter().for_each(|address| echoes(&format!("ws://{address}/t")));
}

#[test]
fn addresses_that_cannot_be_listened_on_are_a_wrong_command_line() {
    let folder = empty();
    for (arguments, told) in [
        (&["--listen", "8080"][..], "allowed is an address with its port, like 127.0.0.1:8080 or [::1]:8080"),
        (&["--listen", "localhost:80"], "allowed is an address with its port"),
        (
            &["--listen", "127.0.0.1:80", "--listen", "127.0.0.1:80"],
            "127.0.0.1:80 takes connections of 127.0.0.1:80: give one of the two",
        ),
    ] {
        let mut command = ringgate(folder.folder(), &["serve", "--demo"]);
        let (code, _, error) = said(output_in_time({
            command.args(arguments);
            command
        }));
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains(told), "{told} in {error}");
    }
}

#[test]
fn the_demo_has_a_page_at_its_root_that_runs_nothing_but_its_own_script() {
    let folder = empty();
    let served = start(&folder, ringgate(folder.folder(), &["serve", "--demo", "--listen", "127.0.0.1:0"]));
    let host = format!("Host: {}\r\n\r\n", served.address);
    for line in ["GET / HTTP/1.1", "GET /?x=1 HTTP/1.1"] {
        let (head, body) = ask(served.address, &format!("{line}\r\nAccept: text/html\r\n{host}"));
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        for (name, value) in [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", &*body.len().to_string()),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
        ] {
            assert_eq!(header(&head, name), Some(value), "{head}");
        }
        let policy = header(&head, "Content-Security-Policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
        assert!(policy.contains("; connect-src 'self'; ") && !policy.contains("unsafe"), "{policy}");
        // The hashes are those of what the page has.
        for (element, source) in [("script", "script-src"), ("style", "style-src")] {
            let text = body.split_once(&format!("<{element}>")).unwrap().1;
            let text = text.split_once(&format!("</{element}>")).unwrap().0;
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
            let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest);
            assert!(policy.contains(&format!("{source} 'sha256-{hash}'")), "{source} in {policy}");
        }
        assert!(body.starts_with("<!doctype html>") && body.contains("\"/echo\""), "{body}");
    }
    for (request, status) in [
        (format!("GET /other HTTP/1.1\r\n{host}"), 404),
        (format!("POST / HTTP/1.1\r\nContent-Length: 0\r\n{host}"), 405),
        (request("/", ""), 404),
    ] {
        let (head, _) = ask(served.address, &request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
    }
}

#[test]
fn an_instance_of_a_file_has_no_page_at_its_root() {
    let served = Served::start(&Configuration::new(INSTANCE, &api_file("t", closed_port(), "")));
    let (head, body) = ask(served.address, "GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 404 ") && !body.contains("<html"), "{head}{body}");
}

#[test]
fn a_start_names_twenty_apis_and_counts_the_others() {
    let mut configuration = Configuration::new(INSTANCE, &api_file("t", closed_port(), ""));
    for index in 0..24 {
        let suffix = format!("a{index:02}");
        configuration = configuration.with_api(&suffix, &api_file(&suffix, closed_port(), ""));
    }
    let served = Served::start(&configuration);
    let named: Vec<_> = served.announced.iter().filter(|line| line.contains(" → ")).collect();
    assert_eq!(named.len(), 20, "{named:?}");
    assert!(served.announced.iter().any(|line| line == "  and 5 more"), "{:?}", served.announced);
}

#[test]
fn a_start_logs_twenty_warnings_of_its_files_and_counts_the_others() {
    let mut configuration = Configuration::new(INSTANCE, &locked_api_file("t", closed_port(), ""));
    for index in 0..24 {
        let suffix = format!("a{index:02}");
        configuration = configuration.with_api(&suffix, &locked_api_file(&suffix, closed_port(), ""));
    }
    let mut served = Served::start(&configuration);
    served.signal(Signal::TERM);
    assert_eq!(crate::support::served::wait_for_exit(&mut served.child).code(), Some(0));
    let said = served.said_to_the_end();
    let warnings: Vec<_> = said.iter().filter(|line| line.contains(" WARN ")).collect();
    assert_eq!(warnings.len(), 21, "{warnings:?}");
    assert_eq!(
        warnings.iter().filter(|line| line.contains(": no key opens api ")).count(),
        20,
        "{warnings:?}"
    );
    let rest = " 5 more such warnings; `ringgate check` prints all of them";
    assert!(warnings[20].ends_with(rest), "{}", warnings[20]);
}

#[test]
fn a_filter_of_the_log_that_means_nothing_is_refused_with_the_allowed_values() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", closed_port(), ""));
    for filter in ["verbose", "info,ringgate::fornt=debug", "debug,"] {
        let mut command = configuration.command();
        command.env("RINGGATE_LOG", filter);
        let (code, out, error) = said(output_in_time(command));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{error}");
        assert!(error.starts_with("ringgate: RINGGATE_LOG: ") && error.lines().count() == 1, "{error}");
        assert!(error.contains("off, error, warn, info, debug, trace"), "{error}");
    }
    // Who asks for help gets it.
    let help = ringgate(configuration.folder(), &["--help"]).env("RINGGATE_LOG", "verbose").output().unwrap();
    assert_eq!(help.status.code(), Some(0));
}

#[test]
fn a_listener_on_all_addresses_of_ipv6_says_that_ipv4_is_not_in_it() {
    if TcpListener::bind("[::]:0").is_err() {
        eprintln!(
            "SKIPPED a_listener_on_all_addresses_of_ipv6_says_that_ipv4_is_not_in_it: this host has no IPv6"
        );
        return;
    }
    let configuration = Configuration::new(INSTANCE, &api_file("t", closed_port(), ""));
    let mut command = configuration.command();
    command.args(["--listen", "127.0.0.1:0", "--listen", "[::]:0"]).stderr(Stdio::piped());
    let served = Served::start_command(&configuration, command);
    let lines: Vec<_> = served.announced.iter().filter(|line| line.contains("listening on ")).collect();
    assert!(!lines[0].contains("IPv"), "{lines:?}");
    assert!(lines[1].ends_with(" (IPv6 only; IPv4 needs a listener on 0.0.0.0 as well)"), "{lines:?}");
}

#[test]
fn no_line_and_no_cause_of_an_error_is_printed_twice() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let taken_instance = INSTANCE.replace("127.0.0.1:0", &taken.to_string());
    let good = api_file("t", closed_port(), "");
    let faulty = "display_name = \"T\"\nurl = \"http://a\"\nsuffix = \"t\"\n";
    for (instance, api, commands, cause) in [
        (taken_instance.as_str(), good.as_str(), &[&["serve"][..]][..], "(os error 98)"),
        ("[[listeners]]\naddress = \"192.0.2.1:80\"\n", &good, &[&["serve"]], "(os error 99)"),
        (
            INSTANCE,
            faulty,
            &[&["serve"], &["check"], &["catalogue", "check"], &["subscription", "new-key", "a"]],
            "http://a",
        ),
        (INSTANCE, &good, &[&["ctl", "status"]], "no instance listens"),
        ("[control]\nsocket = 3\n", &good, &[&["ctl", "status"], &["check"], &["serve"]], "control.socket"),
        (
            INSTANCE,
            &good,
            &[&["policy", "check", "absent.xml"], &["policy", "trace", "absent.xml"]],
            "os error 2",
        ),
    ] {
        let configuration = Configuration::new(instance, api);
        for command in commands {
            let (code, _, error) = said(output_in_time(ringgate(configuration.folder(), command)));
            assert!(matches!(code, Some(1 | 2)), "{command:?}: {error}");
            // What a start waited for is another line than that it was in vain.
            let lines: Vec<_> = error.lines().filter(|line| !line.contains("trying again")).collect();
            let count = lines.iter().map(|line| line.matches(cause).count()).sum::<usize>();
            assert_eq!(count, 1, "{command:?}: {error}");
            let mut once = lines.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), lines.len(), "{command:?}: {error}");
        }
    }
    drop(holder);
}

#[test]
fn the_demo_drains_as_any_other_instance() {
    let folder = empty();
    let mut served =
        start(&folder, ringgate(folder.folder(), &["serve", "--demo", "--listen", "127.0.0.1:0"]));
    let (mut client, _) = tungstenite::connect(format!("ws://{}/echo", served.address)).unwrap();
    served.signal(Signal::TERM);
    assert!(matches!(client.read().unwrap(), Message::Close(Some(_))));
    while client.read().is_ok() {}
    assert_eq!(crate::support::served::wait_for_exit(&mut served.child).code(), Some(0));
    served.wait_until_said("draining 1 session: ");
    served.wait_until_said("drained; 1 session was closed in ");
}
