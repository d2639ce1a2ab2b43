//! The control socket of a process that serves, and `ringgate ctl`.

use super::{failure, stop_again, with_drain};
use crate::support::backend::{Backend, Pair, closed_port, tungstenite_echo};
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::raw::{Raw, StreamEnd, request};
use crate::support::served::{Configuration, INSTANCE, Served, output_in_time, wait_for_exit};
use crate::support::{PATIENCE, api_file, wait_until};
use ringgate::process::open_files::raise_open_files;
use rustix::process::Signal;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

/// Where an instance has its socket unless it is told otherwise.
fn socket_of(configuration: &Configuration) -> PathBuf {
    configuration.folder().join("ringgate.sock")
}

fn ctl_command(configuration: &Configuration, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    command.arg("ctl").args(arguments).arg("--config").arg(configuration.file());
    command.env_remove("RUNTIME_DIRECTORY");
    command
}

/// Returns the output of `ringgate ctl`, which gives up by itself if it is not answered.
fn ctl(configuration: &Configuration, arguments: &[&str]) -> Output {
    ctl_command(configuration, arguments).output().unwrap()
}

/// Returns standard output and standard error; the exit code has to be this one.
fn said(output: Output, code: i32) -> (String, String) {
    let [out, error] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(output.status.code(), Some(code), "{out}{error}");
    (out, error)
}

/// The JSON of the last line, after this exit code.
fn json(output: Output, code: i32) -> Value {
    let (out, error) = said(output, code);
    let line = out.lines().last().unwrap_or_else(|| panic!("nothing was said but {error}"));
    serde_json::from_str(line).unwrap()
}

fn connect(configuration: &Configuration) -> UnixStream {
    let stream = UnixStream::connect(socket_of(configuration)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The next line of an answer.
fn line_of(reader: &mut BufReader<UnixStream>) -> Value {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|_| panic!("no answer: {line:?}"))
}

/// All that is answered to these bytes until the connection ends.
fn answer_to(configuration: &Configuration, sent: &[u8]) -> String {
    let mut stream = connect(configuration);
    // It may be closed before all is sent.
    let _ = stream.write_all(sent);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn status_of(served: &Served, path: &str) -> String {
    let mut client = Raw::connect(served.address);
    client.send(request(path, "").as_bytes());
    client.read_head().split(' ').nth(1).unwrap_or_default().to_owned()
}

fn write_api(configuration: &Configuration, name: &str, text: &str) {
    fs::write(configuration.folder().join(format!("catalog/apis/{name}.toml")), text).unwrap();
}

#[test]
fn status_tells_how_the_instance_is_in_words_and_as_json() {
    let backend = Backend::new();
    let instance = format!("{INSTANCE}[limits]\nconnections_max = 70\nopenings_max = 9\n");
    let configuration = Configuration::new(&instance, &api_file("t", backend.address, ""));
    let served = Served::start(&configuration);
    let pair = Pair::open(served.address, &backend);
    let answer = json(ctl(&configuration, &["status", "--json"]), 0);
    assert_eq!(
        (&answer["version"], &answer["command"], &answer["result"]),
        (&1.into(), &"status".into(), &"done".into())
    );
    assert_eq!(answer["faults"], Value::Array(Vec::new()));
    let status = &answer["status"];
    let address = format!("ws://{}", served.address);
    for (path, expected) in [
        ("/state", Value::from("serving")),
        ("/pid", served.child.id().into()),
        ("/ringgate", env!("CARGO_PKG_VERSION").into()),
        ("/workers", 2.into()),
        ("/listeners/0", address.as_str().into()),
        ("/sessions", 1.into()),
        ("/places/taken", 1.into()),
        ("/places/limit", 70.into()),
        ("/places/from", "limits.connections_max".into()),
        ("/openings/reading/taken", 0.into()),
        ("/openings/reading/limit", 9.into()),
        ("/openings/pending/taken", 0.into()),
        ("/openings/pending/limit", 9.into()),
        ("/catalogue/apis", 1.into()),
        ("/catalogue/published", 1.into()),
        ("/catalogue/refused", 0.into()),
        ("/catalogue/last/result", "published".into()),
        ("/catalogue/last/fault_count", 0.into()),
    ] {
        assert_eq!(status.pointer(path), Some(&expected), "{path} of {status}");
    }
    assert!(status["uptime_s"].is_u64() && status["catalogue"]["last"]["at"].is_string(), "{status}");
    let revision = status["catalogue"]["revision"].as_str().unwrap();
    assert_eq!(status["catalogue"]["last"]["revision"], revision);
    let (text, _) = said(ctl(&configuration, &["status"]), 0);
    for part in [
        &format!("ringgate {}, process {}: serving, up for ", env!("CARGO_PKG_VERSION"), served.child.id()),
        &format!("2 workers, listening on {address}\n"),
        "1 session; 1 of 70 places taken (limits.connections_max)",
        "openings: 0 of 9 read a head, 0 of 9 wait for a backend",
        &format!("catalogue: revision {revision}, 1 API; 1 published, 0 refused"),
        "last change: revision ",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    drop(pair);
}

#[test]
fn the_socket_is_beside_the_configuration_open_to_its_owner_alone_and_gone_at_the_end() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", closed_port(), ""));
    let mut served = Served::start(&configuration);
    let file = fs::symlink_metadata(socket_of(&configuration)).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.mode() & 0o7777, 0o600);
    served.signal(Signal::TERM);
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
    assert!(!socket_of(&configuration).exists());
}

#[test]
fn the_socket_is_where_the_configuration_or_else_the_service_manager_says() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", closed_port(), ""));
    let runtime = configuration.folder().join("run");
    fs::create_dir(&runtime).unwrap();
    let mut command = configuration.command();
    command.env("RUNTIME_DIRECTORY", format!("{}:/elsewhere", runtime.display())).stderr(Stdio::piped());
    let served = Served::start_command(&configuration, command);
    assert!(runtime.join("ringgate.sock").exists() && !socket_of(&configuration).exists());
    for arguments in [&["--config", configuration.file().to_str().unwrap()][..], &[]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
        command.args(["ctl", "status", "--json"]).args(arguments).env("RUNTIME_DIRECTORY", &runtime);
        assert_eq!(json(output_in_time(command), 0)["status"]["pid"], served.child.id());
    }
    drop(served);

    let named =
        configuration.with_file("ringgate.toml", &format!("{INSTANCE}[control]\nsocket = \"run/c.sock\"\n"));
    let mut command = named.command();
    command.env("RUNTIME_DIRECTORY", &runtime).stderr(Stdio::piped());
    let served = Served::start_command(&named, command);
    assert!(runtime.join("c.sock").exists());
    assert_eq!(json(ctl(&named, &["status", "--json"]), 0)["status"]["pid"], served.child.id());
    let socket = runtime.join("c.sock");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    command
        .args([OsStr::new("ctl"), OsStr::new("status"), OsStr::new("--json"), OsStr::new("--socket")])
        .arg(socket);
    assert_eq!(json(output_in_time(command), 0)["status"]["pid"], served.child.id());
}

#[test]
fn an_empty_name_is_no_socket_and_ctl_says_so() {
    let instance = format!("{INSTANCE}[control]\nsocket = \"\"\n");
    let configuration = Configuration::new(&instance, &api_file("t", closed_port(), ""));
    let _served = Served::start(&configuration);
    assert!(!socket_of(&configuration).exists());
    let (_, error) = said(ctl(&configuration, &["status"]), 2);
    assert!(error.contains("has no control socket (control.socket = \"\")"), "{error}");
}

#[test]
fn without_an_instance_ctl_says_where_it_looked_and_exits_with_2() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", closed_port(), ""));
    let (_, error) = said(ctl(&configuration, &["drain"]), 2);
    assert!(
        error.contains(&format!("no instance listens at {}", socket_of(&configuration).display())),
        "{error}"
    );
    // One that was left behind.
    drop(UnixListener::bind(socket_of(&configuration)).unwrap());
    let answer = json(ctl(&configuration, &["terminate", "--json"]), 2);
    assert_eq!(answer["result"], "error");
    assert!(answer["message"].as_str().unwrap().starts_with("no instance listens at "), "{answer}");
    said(ctl(&configuration, &["halt"]), 2);
}

#[test]
fn reload_is_answered_when_every_worker_serves_what_was_written() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", closed_port(), ""));
    let served = Served::start(&configuration);
    let first = json(ctl(&configuration, &["reload", "--json"]), 0);
    assert_eq!((&first["published"], &first["apis"]), (&false.into(), &1.into()));
    let echo = tungstenite_echo();
    for round in 0..5 {
        write_api(&configuration, "u", &api_file(&format!("u{round}"), echo, ""));
        let answer = json(ctl(&configuration, &["reload", "--json"]), 0);
        assert_eq!((&answer["result"], &answer["apis"]), (&"done".into(), &2.into()));
        assert_ne!(answer["revision"], first["revision"]);
        // The kernel spreads them over both workers.
        for _ in 0..20 {
            assert_eq!(status_of(&served, &format!("/u{round}")), "101");
        }
    }
    let (text, _) = said(ctl(&configuration, &["reload"]), 0);
    assert!(
        text.starts_with("catalogue unchanged: still serving revision ") && text.contains(", 2 APIs"),
        "{text}"
    );
}

#[test]
fn a_reload_that_is_refused_names_every_fault_and_changes_nothing() {
    /// More than are logged and shown.
    const FAULTS: usize = 1200;
    let configuration = Configuration::new(INSTANCE, &api_file("t", tungstenite_echo(), ""));
    let served = Served::start(&configuration);
    let before =
        json(ctl(&configuration, &["status", "--json"]), 0)["status"]["catalogue"]["revision"].take();
    for number in 0..FAULTS {
        write_api(&configuration, &format!("bad{number}"), "=");
    }
    let (out, error) = said(ctl(&configuration, &["reload"]), 1);
    assert_eq!(out, "");
    let faults: Vec<_> = error.lines().filter(|line| line.starts_with("  apis/bad")).collect();
    assert_eq!(faults.len(), FAULTS, "{error}");
    assert!(
        error.ends_with("ringgate: the reload was refused; the previous catalogue stays served\n"),
        "{error}"
    );
    let answer = json(ctl(&configuration, &["reload", "--json"]), 1);
    assert_eq!(answer["faults"].as_array().unwrap().len(), FAULTS);
    assert_eq!((&answer["result"], &answer["fault_count"]), (&"refused".into(), &FAULTS.into()));
    assert_eq!(answer["revision"], before, "what is served");
    assert_ne!(answer["refused_revision"], before);
    assert_eq!(status_of(&served, "/t"), "101");

    let status = json(ctl(&configuration, &["status", "--json"]), 0);
    assert_eq!(status["faults"].as_array().unwrap().len(), 1000, "as many as are shown");
    let catalogue = &status["status"]["catalogue"];
    assert_eq!((&catalogue["revision"], &catalogue["last"]["result"]), (&before, &"refused".into()));
    let (text, _) = said(ctl(&configuration, &["status"]), 0);
    assert!(
        text.contains(" was refused 2") && text.contains(" for 1200 faults:\n  apis/bad0.toml"),
        "{text}"
    );
}

#[test]
fn each_of_many_that_ask_for_a_reload_at_once_gets_its_own_answer() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", tungstenite_echo(), ""));
    let served = Served::start(&configuration);
    write_api(&configuration, "bad", "=");
    for code in [1, 0] {
        thread::scope(|scope| {
            let asking: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| json(ctl(&configuration, &["reload", "--json"]), code)))
                .collect();
            for answer in asking {
                let answer = answer.join().unwrap();
                assert_eq!(answer["faults"].as_array().unwrap().len(), code as usize, "{answer}");
            }
        });
        assert_eq!(status_of(&served, "/t"), "101");
        if code == 1 {
            fs::remove_file(configuration.folder().join("catalog/apis/bad.toml")).unwrap();
        }
    }
}

#[test]
fn drain_ends_sessions_with_1001_and_is_answered_when_the_last_is_over_and_the_process_ends_with_0() {
    let backend = Backend::new();
    let configuration = Configuration::new(&with_drain(3600), &api_file("t", backend.address, ""));
    let mut served = Served::start(&configuration);
    let Pair { mut client, backend: session } = Pair::open(served.address, &backend);
    let mut draining = ctl_command(&configuration, &["drain"]);
    let mut draining = draining.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(draining.stdout.take().unwrap()).lines().map_while(Result::ok);
    // Of all those that drain over an hour, the first one is told at once.
    client.expect(&server_frame(0x88, &close_payload(1001, "drain")));
    assert_eq!(lines.next().as_deref(), Some("draining: 1 session, 0 openings"));
    let answer = json(ctl(&configuration, &["status", "--json"]), 0);
    assert_eq!(answer["status"]["state"], "draining");
    let refused = json(ctl(&configuration, &["reload", "--json"]), 1);
    assert!(refused["message"].as_str().unwrap().contains("about to end"), "{refused}");
    assert!(draining.try_wait().unwrap().is_none(), "a session is open");
    client.send(&client_frame(0x88, &close_payload(1001, "")));
    assert_eq!(client.read_to_end(), (vec![], StreamEnd::Fin));
    drop((client, session));
    assert_eq!(lines.last().as_deref(), Some("drained"));
    assert_eq!(wait_for_exit(&mut draining).code(), Some(0));
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
    served.wait_until_said("draining 1 session: ");
    served.wait_until_said("drained");
    assert!(!socket_of(&configuration).exists());
}

/// An instance that drains for an hour, with a session that does not come to a boundary.
fn draining_for_long(configuration: &Configuration, backend: &Backend) -> (Served, Pair) {
    let served = Served::start(configuration);
    let mut pair = Pair::open(served.address, backend);
    pair.client.send(&client_frame(0x82, b"payload")[..8]);
    // The client has its 101 a moment before the session is a relay's.
    wait_until("a session", || json(ctl(configuration, &["status", "--json"]), 0)["status"]["sessions"] == 1);
    (served, pair)
}

#[test]
fn terminate_during_a_drain_ends_at_once_and_tells_who_waits_for_the_drain() {
    let backend = Backend::new();
    let configuration = Configuration::new(&with_drain(3600), &api_file("t", backend.address, ""));
    let (mut served, pair) = draining_for_long(&configuration, &backend);
    let mut waiting: Vec<_> = (0..2)
        .map(|_| {
            let mut reader = BufReader::new(connect(&configuration));
            reader.get_mut().write_all(b"{\"version\":1,\"command\":\"drain\"}\n").unwrap();
            assert_eq!(line_of(&mut reader)["progress"]["sessions"], 1);
            reader
        })
        .collect();
    let (out, _) = said(ctl(&configuration, &["terminate"]), 0);
    assert_eq!(out, "ended\n");
    for waiting in &mut waiting {
        let result = loop {
            let line = line_of(waiting);
            if line["progress"].is_null() {
                break line;
            }
        };
        assert_eq!((&result["result"], &result["command"]), (&"refused".into(), &"drain".into()));
        assert_eq!(result["message"], "sessions were cut: the instance was told to terminate");
    }
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
    served.wait_until_said("ended at once");
    assert!(!socket_of(&configuration).exists());
    drop(pair);
}

#[test]
fn terminate_ends_an_instance_that_serves_at_once() {
    let backend = Backend::new();
    let configuration = Configuration::new(&with_drain(3600), &api_file("t", backend.address, ""));
    let (mut served, pair) = draining_for_long(&configuration, &backend);
    assert_eq!(json(ctl(&configuration, &["terminate", "--json"]), 0)["result"], "done");
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
    drop(pair);
}

#[test]
fn signals_and_the_socket_are_doors_to_the_same_commands() {
    let backend = Backend::new();
    let configuration = Configuration::new(&with_drain(3600), &api_file("t", backend.address, ""));
    let (mut served, pair) = draining_for_long(&configuration, &backend);
    served.signal(Signal::TERM);
    served.wait_until_said("draining 1 session: ");
    // Who joins a drain that a signal began is answered by its end.
    let mut draining = BufReader::new(connect(&configuration));
    draining.get_mut().write_all(b"{\"version\":1,\"command\":\"drain\"}\n").unwrap();
    assert_eq!(line_of(&mut draining)["progress"]["sessions"], 1);
    stop_again(&mut served);
    served.wait_until_said("ended at once");
    let mut rest = String::new();
    draining.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("\"result\":\"refused\""), "{rest}");
    drop(pair);
}

#[test]
fn the_first_stop_signal_after_a_drain_by_the_socket_cuts_nothing_and_the_second_does() {
    let backend = Backend::new();
    let configuration = Configuration::new(&with_drain(3600), &api_file("t", backend.address, ""));
    let (mut served, pair) = draining_for_long(&configuration, &backend);
    let mut draining = BufReader::new(connect(&configuration));
    draining.get_mut().write_all(b"{\"version\":1,\"command\":\"drain\"}\n").unwrap();
    line_of(&mut draining);
    served.wait_until_said(
        "another SIGTERM or SIGINT, from half a second on, or `ringgate ctl terminate` cuts at once",
    );
    // As a service manager does that stops what drains by itself.
    served.signal(Signal::TERM);
    let states: Vec<_> = (0..3)
        .map(|_| json(ctl(&configuration, &["status", "--json"]), 0)["status"]["state"].take())
        .collect();
    assert_eq!(states, ["draining"; 3]);
    stop_again(&mut served);
    drop(pair);
}

#[test]
fn one_that_leaves_while_it_waits_changes_nothing() {
    let backend = Backend::new();
    let configuration = Configuration::new(INSTANCE, &api_file("t", backend.address, ""));
    let mut served = Served::start(&configuration);
    let Pair { mut client, backend: session } = Pair::open(served.address, &backend);
    let mut draining = BufReader::new(connect(&configuration));
    draining.get_mut().write_all(b"{\"version\":1,\"command\":\"drain\"}\n").unwrap();
    line_of(&mut draining);
    drop(draining);
    client.expect(&server_frame(0x88, &close_payload(1001, "drain")));
    client.send(&client_frame(0x88, &close_payload(1001, "")));
    assert_eq!(client.read_to_end(), (vec![], StreamEnd::Fin));
    drop((client, session));
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
}

#[test]
fn what_is_no_request_is_told_so_and_the_instance_serves_on() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", tungstenite_echo(), ""));
    let served = Served::start(&configuration);
    for (sent, told) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "is not a JSON object"),
        (&[0xff; 64], "has no line end"),
        (b"{\"version\":1,\"command\":\"status\"", "has no line end"),
        (b"{\"version\":7,\"command\":\"status\"}\n", "version 7 is not known here"),
        (&[b'x'; 100_000], "is longer than 4096 bytes"),
        (b"", ""),
    ] {
        let answer = answer_to(&configuration, sent);
        assert!(answer.contains(told), "{told}: {answer}");
        assert_eq!(answer.contains("\"result\":\"error\""), !sent.is_empty(), "{answer}");
    }
    let two = b"{\"version\":1,\"command\":\"status\"}\n{\"version\":1,\"command\":\"reload\"}\n";
    assert_eq!(answer_to(&configuration, two).matches("\"result\":\"done\"").count(), 2);
    assert_eq!(status_of(&served, "/t"), "101");
}

#[test]
fn users_other_than_root_and_its_own_are_refused_by_who_they_are() {
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        eprintln!(
            "SKIPPED users_other_than_root_and_its_own_are_refused_by_who_they_are: only root can be another user"
        );
        return;
    }
    let configuration = Configuration::new(INSTANCE, &api_file("t", closed_port(), ""));
    let mut served = Served::start(&configuration);
    let socket = socket_of(&configuration);
    let folders = socket.ancestors().skip(1).take_while(|folder| *folder != Path::new("/tmp"));
    folders.take(1).for_each(|folder| fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap());
    let as_nobody = |sent: &'static [u8]| {
        let socket = socket.clone();
        // The user of one thread: what the kernel tells is who connected.
        let asking = thread::spawn(move || {
            let nobody = rustix::process::Uid::from_raw(NOBODY);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            let mut stream = UnixStream::connect(socket)?;
            stream.write_all(sent)?;
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            Ok::<_, std::io::Error>(answer)
        });
        asking.join().unwrap()
    };
    let terminate = b"{\"version\":1,\"command\":\"terminate\"}\n";
    assert_eq!(as_nobody(terminate).unwrap_err().kind(), std::io::ErrorKind::PermissionDenied, "by its mode");
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    // It may be closed before the request is written.
    if let Ok(answer) = as_nobody(terminate) {
        assert!(
            answer.contains("\"result\":\"error\"")
                && answer.contains("user 65534 may not command this instance"),
            "{answer}"
        );
    }
    let told = as_nobody(b"").unwrap();
    assert!(
        told.contains("user 65534 may not command this instance: run ringgate ctl as root or as user 0"),
        "{told}"
    );
    assert!(served.wait_until_said("refused a user").contains("user=65534"));
    assert!(served.child.try_wait().unwrap().is_none(), "it serves");
    assert_eq!(json(ctl(&configuration, &["status", "--json"]), 0)["status"]["state"], "serving");
}

#[test]
fn a_socket_that_a_killed_process_left_is_replaced_and_that_of_a_live_one_is_not() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", closed_port(), ""));
    let mut killed = Served::start(&configuration);
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    assert!(socket_of(&configuration).exists(), "it is left");
    let served = Served::start(&configuration);
    let told = failure(output_in_time(configuration.command()));
    let process = served.child.id();
    assert!(told.contains(&format!("another instance (process {process}) has the control socket")), "{told}");
    assert!(
        told.contains("stop that one (ringgate ctl drain --socket ")
            && told.contains("or set control.socket"),
        "{told}"
    );
    assert_eq!(json(ctl(&configuration, &["status", "--json"]), 0)["status"]["pid"], process);
}

#[test]
fn the_next_instance_takes_the_socket_over_from_one_that_drains_and_keeps_it() {
    let backend = Backend::new();
    let configuration = Configuration::new(&with_drain(3600), &api_file("t", backend.address, ""));
    let (mut first, pair) = draining_for_long(&configuration, &backend);
    first.signal(Signal::TERM);
    first.wait_until_said("draining");
    let second = Served::start(&configuration);
    second.wait_until_said("taking the control socket over from an instance that ends");
    stop_again(&mut first);
    assert_eq!(json(ctl(&configuration, &["status", "--json"]), 0)["status"]["pid"], second.child.id());
    drop(pair);
}

#[test]
fn a_start_that_fails_takes_no_socket_from_an_instance_that_drains() {
    let backend = Backend::new();
    let api = api_file("t", backend.address, "");
    let configuration = Configuration::new(&with_drain(3600), &api);
    let (mut first, pair) = draining_for_long(&configuration, &backend);
    first.signal(Signal::TERM);
    first.wait_until_said("draining");
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let in_use = with_drain(3600).replace("127.0.0.1:0", &holder.local_addr().unwrap().to_string());
    let too_much = format!("{}[limits]\nconnections_max = 10000000\n", with_drain(3600));
    let mut configuration = configuration;
    for (instance, told) in [(in_use, "cannot listen on "), (too_much, "open files")] {
        configuration = configuration.with_file("ringgate.toml", &instance);
        let output = configuration.run_with_open_files(1000);
        let said = failure(output);
        assert!(said.contains(told), "{said}");
        let status = &json(ctl(&configuration, &["status", "--json"]), 0)["status"];
        assert_eq!((&status["pid"], &status["state"]), (&first.child.id().into(), &"draining".into()));
    }
    stop_again(&mut first);
    drop(pair);
}

#[test]
fn a_start_that_fails_leaves_no_socket_behind() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let instance = INSTANCE.replace("127.0.0.1:0", &holder.local_addr().unwrap().to_string());
    let configuration = Configuration::new(&instance, &api_file("t", closed_port(), ""));
    let told = failure(output_in_time(configuration.command()));
    assert!(told.contains("cannot listen on "), "{told}");
    assert!(!socket_of(&configuration).exists());
}

#[test]
fn a_socket_that_cannot_be_where_it_was_asked_for_is_an_error_with_its_remedy() {
    for (name, told) in [
        (
            "none/c.sock",
            "/none/c.sock.lock (no such file or directory (os error 2)); set control.socket to a path in a folder that",
        ),
        ("ringgate.toml", "ringgate.toml is not a socket; remove it, or set control.socket to another path"),
        (
            &"x".repeat(100),
            "bytes, and a Unix socket's may have 107; set control.socket to a shorter one, or to \"\" for none",
        ),
        (&"x".repeat(108), "control.socket = "),
    ] {
        let instance = format!("{INSTANCE}[control]\nsocket = \"{name}\"\n");
        let configuration = Configuration::new(&instance, &api_file("t", closed_port(), ""));
        let said = failure(output_in_time(configuration.command()));
        assert!(said.contains(told), "{told}: {said}");
        assert!(configuration.file().is_file(), "what was there stays");
    }
}

#[test]
fn an_instance_serves_without_a_socket_that_nobody_asked_for_and_says_so() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", tungstenite_echo(), ""));
    let mut command = configuration.command();
    command.env("RUNTIME_DIRECTORY", "/none/at/all").stderr(Stdio::piped());
    let served = Served::start_command(&configuration, command);
    let said = served.wait_until_said("serving without a control socket: ");
    assert!(said.contains("/none/at/all/ringgate.sock.lock (no such file or directory"), "{said}");
    assert_eq!(status_of(&served, "/t"), "101");
}

#[test]
fn ten_thousand_connections_that_say_nothing_keep_no_command_out() {
    const FLOOD: usize = 10_000;
    let limit = raise_open_files().unwrap();
    assert!(limit > FLOOD as u64 + 1000, "this test needs more open files than {limit}");
    let backend = Backend::new();
    let configuration = Configuration::new(INSTANCE, &api_file("t", backend.address, ""));
    let served = Served::start(&configuration);
    let mut pair = Pair::open(served.address, &backend);
    served.wait_for_looks();
    let before = served.open_files().len();
    let mut flood = Vec::new();
    for number in 1..=FLOOD {
        flood.push(UnixStream::connect(socket_of(&configuration)).unwrap());
        if number % 2_500 == 0 {
            assert_eq!(json(ctl(&configuration, &["status", "--json"]), 0)["status"]["sessions"], 1);
            // 16 are served, one is being closed to make room, and one more is just accepted.
            let open = served.open_files().len();
            assert!(open <= before + 18, "{open} open files, {before} before");
            pair.exchange();
        }
    }
    json(ctl(&configuration, &["reload", "--json"]), 0);
    drop(flood);
    wait_until("as many open files as before", || served.open_files().len() == before);
}

#[test]
fn a_command_gets_in_though_all_connections_wait_for_answers() {
    let backend = Backend::new();
    let configuration = Configuration::new(&with_drain(3600), &api_file("t", backend.address, ""));
    let (mut served, pair) = draining_for_long(&configuration, &backend);
    let waiting: Vec<_> = (0..16)
        .map(|_| {
            let mut reader = BufReader::new(connect(&configuration));
            reader.get_mut().write_all(b"{\"version\":1,\"command\":\"drain\"}\n").unwrap();
            line_of(&mut reader);
            reader
        })
        .collect();
    assert_eq!(json(ctl(&configuration, &["terminate", "--json"]), 0)["result"], "done");
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
    let answered = waiting.into_iter().map(|mut reader| {
        let mut rest = String::new();
        // The connection of the first one was given away.
        let _ = reader.read_to_string(&mut rest);
        usize::from(rest.contains("\"result\":\"refused\""))
    });
    assert_eq!(answered.sum::<usize>(), 15);
    drop(pair);
}
