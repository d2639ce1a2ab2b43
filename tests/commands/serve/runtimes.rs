//! The control thread and the thread of the services keep nothing of each other waiting, when either is held.

use super::held::{Held, thread_of};
use crate::support::backend::{Backend, Pair, tungstenite_echo};
use crate::support::raw::{Raw, request};
use crate::support::served::{Configuration, INSTANCE, Served, output_in_time, wait_for_exit};
use crate::support::{api_file, wait_until};
use ringgate::process::cores::usable_cores;
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

/// Within which what does not wait is served, on a busy machine too.
const IN_TIME: Duration = Duration::from_secs(5);

fn with_status(instance: &str) -> String {
    format!("{instance}[status]\naddress = \"127.0.0.1:0\"\n")
}

fn status_of(address: SocketAddr, path: &str) -> String {
    let mut client = Raw::connect(address);
    client.send(request(path, "").as_bytes());
    client.read_head().split(' ').nth(1).unwrap_or_default().to_owned()
}

/// Does something, and looks whether it was done in time.
fn in_time<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = act();
    assert!(begun.elapsed() < IN_TIME, "{what}: {:?}", begun.elapsed());
    done
}

/// Whatever the control thread does is done in time: a publish, a command, a name, signals.
fn assert_control_serves(configuration: &Configuration, served: &Served, echo: SocketAddr) {
    let new = configuration.folder().join("catalog/apis/new.toml");
    let named = api_file("new", echo, "").replace("127.0.0.1", "localhost");
    in_time("a publish", || {
        fs::write(&new, &named).unwrap();
        served.wait_until_said("published the catalogue");
    });
    in_time("the look-up of a name", || assert_eq!(status_of(served.address, "/new"), "101"));
    in_time("SIGHUP", || served.wait_for_looks());
    let mut ctl = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    ctl.args(["ctl", "status", "--config"]).arg(configuration.file());
    let output = in_time("a command", || output_in_time(ctl));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn services_that_are_stopped_keep_no_publish_no_name_no_command_and_no_signal_waiting() {
    let echo = tungstenite_echo();
    let configuration = Configuration::new(&with_status(INSTANCE), &api_file("t", echo, ""));
    let mut served = Served::start(&configuration);
    assert!(served.status_page().starts_with("HTTP/1.1 200 "));
    let Some(held) = Held::stop(thread_of(&served, "services")) else {
        eprintln!(
            "SKIPPED services_that_are_stopped_keep_no_publish_no_name_no_command_and_no_signal_waiting: no tracing here"
        );
        return;
    };
    let mut unanswered = Raw::connect(served.status_address());
    unanswered.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_control_serves(&configuration, &served, echo);
    assert!(unanswered.is_silent_for(Duration::from_millis(1)), "the services are stopped");
    served.signal(Signal::TERM);
    // The process ends although one of its threads is stopped.
    wait_until("the end of the process", || held.has_ended());
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
    served.wait_until_said("drained");
}

#[test]
fn a_control_thread_that_is_stopped_keeps_no_service_and_no_session_waiting() {
    let backend = Backend::new();
    let configuration = Configuration::new(&with_status(INSTANCE), &api_file("t", backend.address, ""));
    let served = Served::start(&configuration);
    let mut pair = Pair::open(served.address, &backend);
    let Some(held) = Held::stop(served.child.id()) else {
        eprintln!(
            "SKIPPED a_control_thread_that_is_stopped_keeps_no_service_and_no_session_waiting: no tracing here"
        );
        return;
    };
    for _ in 0..3 {
        let page = in_time("the status page", || served.status_page());
        assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("\nplaces_taken 1\n"), "{page}");
        in_time("a message", || pair.exchange());
    }
    let mut second = in_time("an opening", || Pair::open(served.address, &backend));
    in_time("a message", || second.exchange());
    drop(held);
    served.wait_for_looks();
    drop((pair, second));
}

#[test]
fn thousands_of_status_requests_whose_readers_stall_keep_no_publish_no_name_and_no_signal_waiting() {
    const READERS: usize = 3_000;
    let echo = tungstenite_echo();
    let configuration = Configuration::new(&with_status(INSTANCE), &api_file("t", echo, ""));
    let mut served = Served::start(&configuration);
    let address = served.status_address();
    // The newest of them ask for as long as the test asks for other things.
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let begun = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let (is_over, begun_sender) = (&is_over, begun.0);
        scope.spawn(move || {
            let mut stalled = std::collections::VecDeque::new();
            for number in 0.. {
                if is_over.load(std::sync::atomic::Ordering::Relaxed) && number >= READERS {
                    break;
                }
                // Its listener may be gone by now.
                let Ok(mut stream) = std::net::TcpStream::connect(address) else { break };
                let _ = std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
                stalled.push_back(stream);
                if stalled.len() > 200 {
                    stalled.pop_front();
                }
                if number == 200 {
                    begun_sender.send(()).unwrap();
                }
            }
        });
        begun.1.recv().unwrap();
        assert_control_serves(&configuration, &served, echo);
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    in_time("SIGTERM", || {
        served.signal(Signal::TERM);
        served.wait_until_said("draining");
    });
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
}

#[test]
fn the_services_are_nice_and_off_the_cores_of_workers_where_there_are_others() {
    let cores = usable_cores().unwrap().len();
    let nice_and_cores = |served: &Served, name| {
        let task = format!("/proc/{}/task/{}", served.child.id(), thread_of(served, name));
        let stat = fs::read_to_string(format!("{task}/stat")).unwrap();
        let nice: i32 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap();
        let status = fs::read_to_string(format!("{task}/status")).unwrap();
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        (nice, allowed.unwrap().trim().to_owned())
    };
    for workers in [1, cores] {
        let instance = INSTANCE.replace("workers = 2", &format!("workers = {workers}"));
        let served = Served::start(&Configuration::new(&instance, &api_file("t", tungstenite_echo(), "")));
        let (nice, of_services) = nice_and_cores(&served, "services");
        assert!(nice >= 10, "{nice}");
        let (of_relay_nice, of_relay) = nice_and_cores(&served, "relay-0");
        assert!(of_relay_nice < nice, "{of_relay_nice}");
        let (_, of_control) = nice_and_cores(&served, "ringgate");
        if workers == cores {
            assert_eq!(of_services, of_control, "no core is left for them: they run anywhere");
        } else {
            assert!(
                !of_services.split(',').any(|cores| cores.split('-').next() == Some(&of_relay)),
                "{of_services}, {of_relay}"
            );
        }
    }
}
