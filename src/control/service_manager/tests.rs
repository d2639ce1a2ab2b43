//! A manager that is a socket of the test's own.

use std::os::unix::net::UnixDatagram;

use super::*;
use crate::observe::Counters;

/// A manager's socket, and the end that ringgate has of it.
fn manager() -> (UnixDatagram, ServiceManager, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let ours = NotifySocket::named(path.as_os_str()).unwrap();
    (socket, ServiceManager::new(ours, None), folder)
}

/// What the manager has been told since it was last asked.
fn told(socket: &UnixDatagram) -> Vec<String> {
    let mut bytes = [0; 4096];
    let next =
        || socket.recv(&mut bytes).ok().map(|count| String::from_utf8_lossy(&bytes[..count]).into_owned());
    std::iter::from_fn(next).collect()
}

fn revision(text: &str) -> Revision {
    let mut files = crate::catalog::CatalogFiles::default();
    files.insert("apis/a.toml", text.to_owned());
    Revision::of(&files)
}

fn serving() -> Standing {
    Standing {
        state: State::Serving,
        sessions: 0,
        sessions_max: 10,
        revision: revision("a"),
        fault_count: 0,
        reloads_asked: 0,
        is_reloading: false,
    }
}

fn extension() -> String {
    "EXTEND_TIMEOUT_USEC=15000000".to_owned()
}

#[tokio::test(start_paused = true)]
async fn it_is_told_once_that_the_instance_is_ready_and_then_of_what_changes() {
    let (socket, mut manager, _folder) = manager();
    let now = Instant::now();
    let mut standing = serving();
    manager.tell(&standing, now);
    manager.tell(&standing, now);
    let status = format!("STATUS=serving 0 of 10 sessions, catalogue {}", standing.revision);
    assert_eq!(told(&socket), [format!("READY=1\n{status}")]);
    // Sessions come and go all the time: a round tells of them, and not each.
    standing.sessions = 3;
    manager.tell(&standing, now);
    manager.round(&standing, Counters::new(1).workers(), now + Duration::from_secs(1));
    assert_eq!(told(&socket), [""; 0]);
    manager.round(&standing, Counters::new(1).workers(), now + STATUS_INTERVAL);
    assert_eq!(told(&socket), [format!("STATUS=serving 3 of 10 sessions, catalogue {}", standing.revision)]);
    // A catalogue is told at once, and so is one that was refused.
    standing.revision = revision("b");
    manager.tell(&standing, now + STATUS_INTERVAL);
    let status = format!("STATUS=serving 3 of 10 sessions, catalogue {}", standing.revision);
    assert_eq!(told(&socket), [status.as_str()]);
    standing.fault_count = 2;
    manager.tell(&standing, now + STATUS_INTERVAL);
    assert_eq!(told(&socket), [format!("{status}; newer files were refused (2 faults, see the log)")]);
}

#[tokio::test(start_paused = true)]
async fn a_reload_is_told_with_the_time_of_its_beginning_and_then_with_ready() {
    let (socket, mut manager, _folder) = manager();
    let now = Instant::now();
    let mut standing = serving();
    manager.tell(&standing, now);
    assert_eq!(told(&socket).len(), 1);
    let before = clock_gettime(ClockId::Monotonic);
    standing.reloads_asked = 1;
    standing.is_reloading = true;
    manager.tell(&standing, now);
    manager.tell(&standing, now);
    let said = told(&socket);
    let [reloading] = &said[..] else { panic!("{said:?}") };
    let begun = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse::<i64>().unwrap();
    assert!(begun >= before.tv_sec * 1_000_000 + before.tv_nsec / 1000);
    // Another one is asked for meanwhile: the manager may wait for that one.
    standing.reloads_asked = 2;
    manager.tell(&standing, now);
    assert!(told(&socket)[0].starts_with("RELOADING=1\n"));
    standing.is_reloading = false;
    manager.tell(&standing, now);
    assert_eq!(told(&socket), ["READY=1"]);
    // One that is answered at once.
    standing.reloads_asked = 3;
    manager.tell(&standing, now);
    let said = told(&socket);
    assert!(said[0].starts_with("RELOADING=1\n") && said[1] == "READY=1" && said.len() == 2, "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_ends_says_so_once_and_asks_for_more_time_in_each_round() {
    let (socket, mut manager, _folder) = manager();
    let now = Instant::now();
    let mut standing = serving();
    standing.sessions = 2;
    manager.tell(&standing, now);
    assert_eq!(told(&socket).len(), 1);
    standing.state = State::Draining;
    // A reload that ends with the drain is not told any more.
    standing.reloads_asked = 1;
    manager.tell(&standing, now);
    manager.tell(&standing, now);
    assert_eq!(told(&socket), [format!("STOPPING=1\nSTATUS=draining, 2 sessions left\n{}", extension())]);
    manager.round(&standing, Counters::new(1).workers(), now);
    assert_eq!(told(&socket), [extension()]);
    standing.sessions = 1;
    manager.round(&standing, Counters::new(1).workers(), now);
    assert_eq!(told(&socket), [format!("STATUS=draining, 1 session left\n{}", extension())]);
    standing.state = State::Ending;
    manager.round(&standing, Counters::new(1).workers(), now);
    assert_eq!(told(&socket), [format!("STATUS=ending, 1 session left\n{}", extension())]);
}

#[tokio::test(start_paused = true)]
async fn what_a_manager_that_reads_nothing_does_not_take_is_told_later_as_it_is_then() {
    let (socket, mut manager, _folder) = manager();
    let now = Instant::now();
    let mut standing = serving();
    // Its queue is full.
    while manager.send("STATUS=before") {}
    assert!(!manager.is_failing, "a full queue is no fault");
    manager.tell(&standing, now);
    standing.sessions = 4;
    manager.tell(&standing, now);
    assert!(told(&socket).iter().all(|message| message == "STATUS=before"));
    manager.round(&standing, Counters::new(1).workers(), now);
    let status = format!("STATUS=serving 4 of 10 sessions, catalogue {}", standing.revision);
    assert_eq!(told(&socket), [format!("READY=1\n{status}")]);
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_is_gone_and_comes_back_is_told() {
    let (socket, mut manager, folder) = manager();
    drop(socket);
    std::fs::remove_file(folder.path().join("notify")).unwrap();
    let now = Instant::now();
    let mut standing = serving();
    manager.tell(&standing, now);
    assert!(manager.is_failing);
    let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    socket.set_nonblocking(true).unwrap();
    standing.sessions = 1;
    manager.round(&standing, Counters::new(1).workers(), now);
    assert!(told(&socket)[0].starts_with("READY=1\nSTATUS=serving 1 of 10 sessions"));
    assert!(!manager.is_failing);
}
