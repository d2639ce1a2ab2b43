//! The file of a control socket: taken, replaced, refused, removed.

use std::io::{BufRead as _, BufReader};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

fn path_in(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

/// Leaves a file as a process does that is killed.
fn stale(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
    assert!(UnixStream::connect(path).is_err());
}

const DRAINING: &[u8] = b"{\"fault\":\"x\"}\n{\"result\":\"done\",\"status\":{\"state\":\"draining\"}}\n";

const SERVING: &[u8] = b"{\"result\":\"done\",\"status\":{\"state\":\"serving\"}}\n";

/// Reads a request, and answers it. Who asked may be gone.
fn answer(mut client: UnixStream, said: &[u8]) {
    let _ = BufReader::new(client.try_clone().unwrap()).read_line(&mut String::new());
    let _ = client.write_all(said);
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn is_where_the_configuration_says_or_in_the_runtime_directory_or_beside_the_configuration() {
    let place = |config: Option<&str>, named, runtime: Option<&str>| {
        let place =
            SocketPlace::with_runtime_directory(config.map(Path::new), named, runtime.map(OsString::from));
        place.map(|place| (place.path.display().to_string(), place.is_default))
    };
    let config = Some("/etc/ringgate/ringgate.toml");
    let at = |path: &str, is_default| Some((path.to_owned(), is_default));
    assert_eq!(place(config, Some("c.sock"), Some("/run/r")), at("/etc/ringgate/c.sock", false));
    assert_eq!(place(config, Some("/tmp/c.sock"), None), at("/tmp/c.sock", false));
    assert_eq!(place(config, Some(""), Some("/run/r")), None);
    assert_eq!(place(config, None, Some("/run/r")), at("/run/r/ringgate.sock", true));
    assert_eq!(place(config, None, Some("/run/r:/run/s")), at("/run/r/ringgate.sock", true));
    for unusable in [None, Some(""), Some("run/r"), Some(":/run/s")] {
        assert_eq!(place(config, None, unusable), at("/etc/ringgate/ringgate.sock", true));
        assert_eq!(place(None, None, unusable), None);
    }
    assert_eq!(place(Some("ringgate.toml"), None, None), at("ringgate.sock", true));
    assert_eq!(place(None, None, Some("/run/r")), at("/run/r/ringgate.sock", true));
}

#[test]
fn is_open_to_its_owner_alone_whatever_the_umask_and_removed_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder, "c.sock");
    let claimed = ClaimedSocket::claim(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert!(UnixStream::connect(&path).is_ok());
    drop(claimed);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["c.sock.lock"]);
    assert_eq!(mode(&path_in(&folder, "c.sock.lock")), 0o600);
}

#[test]
fn one_that_nobody_listens_behind_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder, "c.sock");
    stale(&path);
    let claimed = ClaimedSocket::claim(&path).unwrap();
    assert!(UnixStream::connect(&path).is_ok());
    assert_eq!(mode(&path), 0o600);
    drop(claimed);
    assert!(!path.exists());
}

#[test]
fn one_that_somebody_listens_behind_is_in_use_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder, "c.sock");
    let first = ClaimedSocket::claim(&path).unwrap();
    // It takes no connection, and answers nobody.
    let refused = ClaimedSocket::claim(&path).unwrap_err();
    assert!(!refused.is_of_the_place());
    let told = refused.to_string();
    let process = std::process::id();
    assert!(
        told.starts_with(&format!("another instance (process {process}) has the control socket ")),
        "{told}"
    );
    assert!(told.contains("stop that one (ringgate ctl drain --socket /"), "{told}");
    assert!(UnixStream::connect(&path).is_ok());
    drop(first);
}

#[test]
fn one_whose_queue_is_full_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder, "c.sock");
    let _first = ClaimedSocket::claim(&path).unwrap();
    let mut queued = Vec::new();
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        match socket.connect(&SockAddr::unix(&path).unwrap()) {
            Ok(()) => queued.push(socket),
            Err(_) => break,
        }
    }
    assert!(matches!(ClaimedSocket::claim(&path), Err(NoSocket::InUse(_, None))));
}

#[test]
fn one_of_an_instance_that_drains_is_taken_over_and_not_removed_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder, "c.sock");
    let first = ClaimedSocket::claim(&path).unwrap();
    let listener = first.listener().unwrap();
    let draining = std::thread::spawn(move || {
        answer(listener.accept().unwrap().0, DRAINING);
    });
    let second = ClaimedSocket::claim(&path).unwrap();
    draining.join().unwrap();
    drop(first);
    assert!(UnixStream::connect(&path).is_ok(), "the second one's stays");
    drop(second);
    assert!(!path.exists());
}

#[test]
fn one_whose_process_ends_while_it_is_asked_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder, "c.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let ending = std::thread::spawn(move || {
        // One ends before it is asked, and one behind the request.
        drop(listener.accept().unwrap());
        answer(listener.accept().unwrap().0, b"");
    });
    let claimed = ClaimedSocket::claim(&path).unwrap();
    ending.join().unwrap();
    assert!(UnixStream::connect(claimed.path()).is_ok());
}

#[test]
fn one_that_closes_a_connection_without_an_answer_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    for (said, is_leaving) in [(DRAINING, true), (SERVING, false)] {
        let path = path_in(&folder, if is_leaving { "draining" } else { "serving" });
        let listener = UnixListener::bind(&path).unwrap();
        let asked = std::thread::spawn(move || {
            drop(listener.accept().unwrap());
            answer(listener.accept().unwrap().0, said);
            listener
        });
        let behind = behind(&path, Duration::from_secs(60)).unwrap();
        assert_eq!(matches!(behind, Behind::Leaving), is_leaving);
        assert_eq!(matches!(behind, Behind::Somebody(Some(_))), !is_leaving);
        drop(asked.join().unwrap());
    }
}

#[test]
fn one_that_never_ends_its_answer_or_always_closes_is_in_use_when_the_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let drip: fn(UnixStream) = |mut client| while client.write_all(b"{\"fault\":\"x\"}\n").is_ok() {};
    for (name, talk) in [("drips", drip), ("closes", drop)] {
        let path = path_in(&folder, name);
        let listener = UnixListener::bind(&path).unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    talk(listener.accept().unwrap().0);
                }
            });
            let behind = behind(&path, Duration::from_millis(200)).unwrap();
            is_over.store(true, Ordering::Relaxed);
            drop(UnixStream::connect(&path));
            assert!(matches!(behind, Behind::Somebody(Some(_))), "{name}");
        });
    }
}

#[test]
fn a_lock_of_its_folder_holds_no_start_up() {
    let folder = tempfile::tempdir().unwrap();
    let held = File::open(folder.path()).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    assert!(ClaimedSocket::claim(&path_in(&folder, "c.sock")).is_ok());
}

#[test]
fn one_whose_lock_another_holds_is_told_and_never_waited_for_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder, "c.sock");
    let held = lock(&path, LOCK_PATIENCE).unwrap();
    let refused = ClaimedSocket::claim(&path).unwrap_err();
    assert!(matches!(refused, NoSocket::Locked(..)) && !refused.is_of_the_place(), "{refused}");
    assert!(refused.to_string().contains("/c.sock.lock is locked by another process for 3 s"), "{refused}");
    assert!(!path.exists());
    drop(held);
    assert!(ClaimedSocket::claim(&path).is_ok());
}

#[test]
fn a_link_in_the_place_of_its_lock_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("elsewhere", path_in(&folder, "c.sock.lock")).unwrap();
    let refused = ClaimedSocket::claim(&path_in(&folder, "c.sock")).unwrap_err();
    assert!(refused.to_string().starts_with("cannot open the control socket's lock /"), "{refused}");
    assert!(!path_in(&folder, "elsewhere").exists());
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (name, make) in [
        ("file", (|path| fs::write(path, "mine").unwrap()) as fn(&Path)),
        ("folder", |path| fs::create_dir(path).unwrap()),
        ("link", |path| std::os::unix::fs::symlink("nowhere", path).unwrap()),
    ] {
        let path = path_in(&folder, name);
        make(&path);
        let refused = ClaimedSocket::claim(&path).unwrap_err();
        assert!(matches!(refused, NoSocket::Occupied(_)) && !refused.is_of_the_place(), "{refused}");
        assert!(fs::symlink_metadata(&path).is_ok(), "it stays");
    }
}

#[test]
fn a_path_of_107_bytes_is_the_longest() {
    let folder = tempfile::tempdir().unwrap();
    let room = PATH_BYTES_MAX - folder.path().as_os_str().len() - 1;
    let longest = path_in(&folder, &"x".repeat(room));
    drop(ClaimedSocket::claim(&longest).unwrap());
    let refused = ClaimedSocket::claim(&path_in(&folder, &"x".repeat(room + 1))).unwrap_err();
    assert!(
        refused.to_string().contains("has 108 bytes, and a Unix socket's may have 107; set control.socket"),
        "{refused}"
    );
    assert!(refused.is_of_the_place());
}

#[test]
fn a_folder_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let refused = ClaimedSocket::claim(&path_in(&folder, "none/c.sock")).unwrap_err();
    let told = refused.to_string();
    assert!(told.contains("/none/c.sock.lock (no such file or directory"), "{told}");
    assert!(told.contains("set control.socket to a path in a folder that this user can write to"), "{told}");
    assert!(refused.is_of_the_place());
}

#[test]
fn of_many_that_start_at_once_beside_a_stale_file_one_has_it() {
    const STARTS: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder, "c.sock");
    for _ in 0..20 {
        stale(&path);
        let (start, ended) = (Barrier::new(STARTS), AtomicUsize::new(0));
        let one = || {
            start.wait();
            let claimed = ClaimedSocket::claim(&path);
            ended.fetch_add(1, Ordering::Relaxed);
            let Ok(claimed) = claimed else { return None };
            // Who connects is not kept waiting for an answer.
            let listener = claimed.listener().unwrap();
            listener.set_nonblocking(true).unwrap();
            while ended.load(Ordering::Relaxed) < STARTS {
                if let Ok((client, _)) = listener.accept() {
                    answer(client, SERVING);
                }
                std::thread::yield_now();
            }
            Some(claimed)
        };
        let claimed: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..STARTS).map(|_| scope.spawn(one)).collect();
            starts.into_iter().filter_map(|start| start.join().unwrap()).collect()
        });
        assert_eq!(claimed.len(), 1);
        assert!(UnixStream::connect(&path).is_ok());
    }
}
