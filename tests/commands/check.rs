//! `ringgate check` and `ringgate catalogue` on the configurations in `tests/golden/check/`: one at fault everywhere, one without
//! fault; and `check` beside `serve` on set-ups at fault, each in a folder of its own.
//!
//! `tests/golden/check/messages.txt` has every message on one page. `UPDATE_GOLDEN=1` rewrites what is expected.

mod setups;

mod help;

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use setups::Setup;
use tempfile::TempDir;

/// Runs the command where the package is, so that no path in its output depends on the machine.
fn check(case: &str) -> Output {
    run(&["check"], case)
}

fn run(command: &[&str], case: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringgate"))
        .args(command)
        .args(["--config", &format!("tests/golden/check/{case}/ringgate.toml")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the binary runs")
}

fn assert_golden(file: &str, actual: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/check").join(file);
    let actual = String::from_utf8_lossy(actual);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, actual.as_ref()).expect("the golden file can be written");
    }
    let expected = fs::read_to_string(&path).expect("the golden file can be read");
    assert_eq!(actual, expected, "{file}; UPDATE_GOLDEN=1 rewrites it");
}

#[test]
fn names_every_fault_of_every_file_and_fails() {
    let output = check("bad");
    assert_golden("bad.stderr", &output.stderr);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &[][..]));
}

#[test]
fn says_what_would_be_open_and_succeeds() {
    // A copy, with the file of a secret, whose mode a repository does not keep.
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("tests/golden/check");
    fs::create_dir_all(&place).unwrap();
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/check/good");
    assert!(Command::new("cp").arg("-r").args([&good, &place]).status().unwrap().success());
    setups::secret(&place.join("good"), &"0".repeat(64), 0o600);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    command.args(["check", "--config", "tests/golden/check/good/ringgate.toml"]).current_dir(folder.path());
    let output = command.output().unwrap();
    assert_golden("good.stdout", &output.stdout);
    assert_golden("good.stderr", &output.stderr);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_catalogue_is_counted_shown_and_exported_with_its_secrets_masked() {
    for command in ["check", "show", "export"] {
        let output = run(&["catalogue", command], "good");
        assert_golden(&format!("good.catalogue.{command}"), &output.stdout);
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &[][..]));
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(!shown.contains("hush") && !shown.contains("00112233"), "{shown}");
    }
}

#[test]
fn a_catalogue_at_fault_is_neither_shown_nor_exported() {
    for command in ["check", "show", "export"] {
        let output = run(&["catalogue", command], "bad");
        assert_golden("bad.stderr", &output.stderr);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &[][..]));
        let shown = String::from_utf8_lossy(&output.stderr);
        assert!(!shown.contains("hush") && !shown.contains("0123456789abcdef"), "{shown}");
    }
}

/// A folder with a set-up that is in order.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    setups::in_order(folder.path());
    folder
}

/// Runs the binary with these arguments, behind what limits it if anything does. What goes on serving is ended after a while.
fn limited(limits: &[&str], arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "30"]).args(limits).arg(env!("CARGO_BIN_EXE_ringgate"));
    command.args(arguments).arg("--config").arg(folder.join("ringgate.toml"));
    command.env_remove("RUNTIME_DIRECTORY").env_remove("RINGGATE_LOG").env_remove("RINGGATE_CONFIG");
    command.output().unwrap()
}

fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The faults that `check` names: its lines but for notes, warnings and the count.
fn faults_of_check(output: &Output, case: &str) -> Vec<String> {
    let stderr = stderr_of(output);
    let is_fault = |line: &&str| !line.starts_with("note: ") && !line.starts_with("warning: ");
    let mut faults: Vec<String> = stderr.lines().filter(is_fault).map(str::to_owned).collect();
    let count = faults.pop().unwrap_or_default();
    let plural = if faults.len() == 1 { "" } else { "s" };
    assert!(count.ends_with(&format!(": {} fault{plural}", faults.len())), "{case}: {stderr}");
    faults
}

/// The faults that `serve` names: the lines of its last message, or the message itself.
fn faults_of_serve(output: &Output, case: &str) -> Vec<String> {
    let stderr = stderr_of(output);
    let (_, told) = stderr.split_once("ringgate: ").unwrap_or_else(|| panic!("{case}: {stderr}"));
    let lines: Vec<String> = told.lines().skip(1).map(|line| line.trim_start().to_owned()).collect();
    if lines.is_empty() { vec![told.trim_end().to_owned()] } else { lines }
}

/// That `check` and `serve` refuse a set-up with the same words, under these limits. Gives the faults.
#[track_caller]
fn refused_by_both(limits: &[&str], check: &[&str], folder: &Path, case: &str) -> Vec<String> {
    let (checked, served) = (limited(limits, check, folder), limited(limits, &["serve"], folder));
    let codes = (checked.status.code(), served.status.code());
    assert_eq!(codes, (Some(1), Some(1)), "{case}: {} {}", stderr_of(&checked), stderr_of(&served));
    assert!(checked.stdout.is_empty() && served.stdout.is_empty(), "{case}");
    let (of_check, of_serve) = (faults_of_check(&checked, case), faults_of_serve(&served, case));
    assert_eq!(of_check, of_serve, "{case}");
    assert!(!of_check.is_empty(), "{case}");
    of_check
}

/// That a message says where, what, and what to do, in one sentence without gaps.
fn assert_plain(message: &str) {
    let has_remedy = message.contains("; ") || message.contains(": allowed is ");
    assert!(has_remedy, "no remedy: {message}");
    for gap in [
        "  ",
        ": :",
        "of :",
        ":;",
        "allowed is nothing",
        "allowed is an attribute",
        "allowed is in ",
        "allowed is once",
    ] {
        assert!(!message.contains(gap), "{gap:?} in: {message}");
    }
    assert!(!message.ends_with('.') && message.len() < 700, "{message}");
}

#[test]
fn what_check_refuses_of_files_serve_refuses_with_the_same_words() {
    assert!(setups::OF_FILES.len() >= 40);
    let mut told = String::new();
    for Setup { name, breaks } in setups::OF_FILES {
        let folder = folder();
        breaks(folder.path());
        let faults = refused_by_both(&[], &["check"], folder.path(), name);
        // What is at fault with files is told first, and the host is not asked.
        assert_eq!(refused_by_both(&[], &["check", "--host"], folder.path(), name), faults, "{name}");
        told.push_str(&format!("# {name}\n"));
        for fault in faults {
            assert_plain(&fault);
            told.push_str(&format!("{}\n", fault.replace(&folder.path().display().to_string(), "DIR")));
        }
    }
    for (title, output) in
        [("a configuration at fault everywhere", check("bad")), ("policies at fault", bad_policies())]
    {
        told.push_str(&format!("\n# {title}\n"));
        for line in stderr_of(&output).lines().filter(|line| !line.ends_with(" faults")) {
            assert_plain(line);
            told.push_str(&format!("{line}\n"));
        }
    }
    assert_golden("messages.txt", told.as_bytes());
}

/// The faults of the policy documents that are at fault everywhere.
fn bad_policies() -> Output {
    let root = Path::new("tests/golden/policies/bad/policies");
    let below = |folder: &str| {
        let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(root).join(folder));
        let names = entries.into_iter().flatten().map(|entry| entry.unwrap().file_name());
        let mut paths: Vec<_> = names.map(|name| root.join(folder).join(name)).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "xml"));
        paths.sort();
        paths
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    command
        .args(["policy", "check"])
        .args(["", "apis", "products", "fragments"].iter().flat_map(|folder| below(folder)));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

#[test]
fn what_check_refuses_of_a_host_serve_refuses_with_the_same_words() {
    for Setup { name, breaks } in setups::OF_HOSTS {
        let folder = folder();
        breaks(folder.path());
        assert_eq!(
            limited(&[], &["check"], folder.path()).status.code(),
            Some(0),
            "{name}: the files are in order"
        );
        for fault in refused_by_both(&[], &["check", "--host"], folder.path(), name) {
            assert_plain(&fault);
        }
    }
}

#[test]
fn an_address_that_another_process_holds_is_refused_by_both_and_the_process_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let own = std::process::id();
    let folder = folder();
    let instance = format!("[[listeners]]\naddress = \"{address}\"\n");
    setups::write(folder.path(), "ringgate.toml", &instance);
    let faults = refused_by_both(&[], &["check", "--host"], folder.path(), &instance);
    let told = format!(
        "cannot listen on {address}: address already in use (os error 98); stop what listens there (process {own}), or choose \
         another address"
    );
    assert_eq!(faults, [told]);
}

#[test]
fn a_status_page_whose_address_another_process_holds_is_noted_by_check_and_waited_for_by_serve() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = folder();
    let instance = format!("{}[status]\naddress = \"{address}\"\n", setups::INSTANCE);
    setups::write(folder.path(), "ringgate.toml", &instance);
    let checked = limited(&[], &["check", "--host"], folder.path());
    let said = String::from_utf8_lossy(&checked.stdout).into_owned() + &stderr_of(&checked);
    assert_eq!(checked.status.code(), Some(0), "{said}");
    let told = format!(
        "status.address {address} is in use by process {}; an instance starts without",
        std::process::id()
    );
    assert!(said.contains(&told), "{said}");
}

#[test]
fn too_few_open_files_are_refused_by_both() {
    let folder = folder();
    let limits = ["prlimit", "--nofile=64:64"];
    let faults = refused_by_both(&limits, &["check", "--host"], folder.path(), "64 open files");
    assert!(faults[0].starts_with("cannot hold 1 session: needs 642 open files"), "{faults:?}");
}

/// Returns the prefix that runs a command as a user of its own, if this process may do that and that user may run the binary. The
/// kernel counts threads and locked memory by user: each test has one of its own.
fn as_user(reuid: &'static str) -> Option<Vec<&'static str>> {
    let become_other =
        vec!["setpriv", reuid, "--regid=61234", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
    let mut command = Command::new(become_other[0]);
    command.args(&become_other[1..]).arg(env!("CARGO_BIN_EXE_ringgate")).arg("--version");
    let is_possible = command.output().is_ok_and(|output| output.status.success());
    if !is_possible {
        eprintln!("left out: this process cannot run the binary as another user");
    }
    is_possible.then_some(become_other)
}

/// A folder that others may read.
fn open_folder() -> TempDir {
    let folder = folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn too_little_locked_memory_is_refused_by_both_with_what_is_needed_which_is_enough() {
    let Some(other) = as_user("--reuid=61234") else { return };
    let folder = open_folder();
    let under = |bytes: u64, workers: u32| {
        setups::write(
            folder.path(),
            "ringgate.toml",
            format!("workers = {workers}\n{}", &setups::INSTANCE[12..]),
        );
        let limit = format!("--memlock={bytes}:{bytes}");
        let limits: Vec<&str> = other.iter().copied().chain(["prlimit", limit.leak()]).collect();
        limits
    };
    let few = under(8 << 20, 32);
    if limited(&few, &["check", "--host"], folder.path()).status.success() {
        eprintln!("left out: this kernel does not count the memory of rings as locked");
        return;
    }
    let faults = refused_by_both(&few, &["check", "--host"], folder.path(), "32 workers");
    assert_eq!(
        faults,
        [
            "cannot hold the rings of 32 workers: they need 14284 KiB of locked memory, and the limit is 8192 KiB; raise \
          LimitMEMLOCK= in the unit or ulimit -l to 14284 KiB or more, or lower workers to 18"
        ]
    );
    let enough = under(1204 << 10, 2);
    assert_eq!(limited(&enough, &["check", "--host"], folder.path()).status.code(), Some(0));
    let said = served_until(&enough, folder.path(), &["ringgate is open: 2 workers"]);
    assert!(said.is_ok(), "{said:?}");
    let less = under((1204 << 10) - 4096, 2);
    refused_by_both(&less, &["check", "--host"], folder.path(), "a page less");
}

#[test]
fn a_start_waits_for_the_locked_memory_of_an_instance_that_ends() {
    let Some(other) = as_user("--reuid=61236") else { return };
    let folder = open_folder();
    setups::write(folder.path(), "ringgate.toml", setups::INSTANCE);
    let limits = |bytes: u64| {
        let limit = format!("--memlock={bytes}:{bytes}");
        other.iter().copied().chain(["prlimit", limit.leak()]).collect::<Vec<_>>()
    };
    let mut ending = Serving::start(&limits(8 << 20), folder.path());
    ending.waits_for(&["ringgate is open: 2 workers"]).unwrap();
    let mut starting = Serving::start(&limits(1204 << 10), folder.path());
    // It has come as far as the control socket, and its rings do not fit beside those of the other.
    starting.waits_for(&["serving without a control socket"]).unwrap();
    ending.terminate();
    starting.waits_for(&["ringgate is open: 2 workers"]).unwrap();
    starting.terminate();
}

#[test]
fn too_few_threads_are_refused_by_both() {
    let Some(other) = as_user("--reuid=61235") else { return };
    let folder = open_folder();
    let limits: Vec<&str> = other.iter().copied().chain(["prlimit", "--nproc=11:11"]).collect();
    let faults = refused_by_both(&limits, &["check", "--host"], folder.path(), "11 threads");
    assert!(
        faults[0].starts_with("cannot start the 20 threads of 2 workers: the user may have 11"),
        "{faults:?}"
    );
}

/// A running instance, and its output up to now.
struct Serving {
    child: Child,
    lines: Receiver<String>,
    said: String,
}

impl Serving {
    fn start(limits: &[&str], folder: &Path) -> Self {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "30"]).args(limits).arg(env!("CARGO_BIN_EXE_ringgate")).arg("serve");
        command.arg("--config").arg(folder.join("ringgate.toml"));
        command.env_remove("RUNTIME_DIRECTORY").env_remove("RINGGATE_LOG").env_remove("RINGGATE_CONFIG");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        for pipe in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn Read + Send>,
            Box::new(child.stderr.take().unwrap()) as Box<dyn Read + Send>,
        ] {
            let sender = sender.clone();
            thread::spawn(move || {
                BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
            });
        }
        Self { child, lines, said: String::new() }
    }

    /// Waits until it has said all of `told` on either output. The error is its output, if it ended before.
    fn waits_for(&mut self, told: &[&str]) -> Result<(), String> {
        while !told.iter().all(|told| self.said.contains(told)) {
            let Ok(line) = self.lines.recv() else {
                self.child.wait().unwrap();
                return Err(std::mem::take(&mut self.said));
            };
            self.said.push_str(&line);
            self.said.push('\n');
        }
        Ok(())
    }

    fn terminate(mut self) {
        // `timeout` passes this on.
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }
}

/// Serves until all of `told` was said on either output, and ends it then. The error is its output, if it ended before.
fn served_until(limits: &[&str], folder: &Path, told: &[&str]) -> Result<(), String> {
    let mut serving = Serving::start(limits, folder);
    serving.waits_for(told)?;
    serving.terminate();
    Ok(())
}

#[test]
fn what_is_legal_and_useless_is_warned_of_by_both() {
    let folder = folder();
    let at = folder.path();
    let api = |suffix: &str, lines: &str| {
        format!("display_name = \"A\"\nurl = \"ws://127.0.0.1:9\"\nsuffix = \"{suffix}\"\n{lines}\n")
    };
    setups::write(at, "catalog/apis/locked.toml", api("locked", ""));
    setups::write(
        at,
        "catalog/apis/secured.toml",
        api("secured", "schemes = [\"wss\"]\nsubscription_required = false"),
    );
    setups::write(
        at,
        "catalog/apis/v1.toml",
        api("v", "version_set = \"v\"\nversion = \"v1\"\nsubscription_required = false"),
    );
    setups::write(
        at,
        "catalog/version-sets/v.toml",
        "display_name = \"V\"\nversioning_scheme = \"Segment\"\n",
    );
    setups::write(at, "catalog/apis/chat.yaml", "display_name: Chat\n");
    let warnings = [
        "apis/chat.yaml is not read: only *.toml is read in apis; rename or move it",
        "apis/locked.toml: no key opens api locked: it needs one, and no subscription covers it; add a subscription and make its \
         key (ringgate subscription new-key), or set subscription_required = false",
        "apis/secured.toml: no listener serves api secured: its schemes are [\"wss\"], and no listener has tls; add such a \
         listener, or change schemes",
        "version-sets/v.toml: version set v has no original: a request without a version gets 404; add an api with \
         version_set = \"v\" and without version, if such requests are to be served",
        "only 12 sessions will fit: the limit of open files is 664; raise LimitNOFILE= in the unit or ulimit -n, or set \
         limits.connections_max to say that this is enough",
    ];
    let limits = ["prlimit", "--nofile=664:664"];
    let output = limited(&limits, &["check", "--host"], at);
    let told: Vec<String> = warnings.iter().map(|warning| format!("warning: {warning}")).collect();
    assert_eq!(stderr_of(&output).lines().collect::<Vec<_>>(), told);
    assert_eq!(output.status.code(), Some(0));
    // Without --host, the host's is missing.
    assert_eq!(stderr_of(&limited(&limits, &["check"], at)).lines().count(), warnings.len() - 1);
    let served = served_until(&limits, at, &[&warnings[..], &["ringgate is open"]].concat());
    assert!(served.is_ok(), "{}", served.unwrap_err());
}

#[test]
fn a_port_that_the_running_instance_holds_is_a_note() {
    let folder = folder();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    setups::write(
        folder.path(),
        "ringgate.toml",
        format!("workers = 1\ndrain_s = 0\n[[listeners]]\naddress = \"{free}\"\n"),
    );
    let mut served = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    served
        .arg("serve")
        .arg("--config")
        .arg(folder.path().join("ringgate.toml"))
        .env_remove("RUNTIME_DIRECTORY");
    let mut served = served.stdout(Stdio::piped()).spawn().unwrap();
    let mut announced = BufReader::new(served.stdout.take().unwrap()).lines();
    assert!(announced.any(|line| line.unwrap().starts_with("try it: ")));
    let output = limited(&[], &["check", "--host"], folder.path());
    let (own, socket) = (served.id(), folder.path().join("ringgate.sock"));
    assert_eq!(
        stderr_of(&output).lines().collect::<Vec<_>>(),
        [
            &*format!(
                "note: an instance runs already (process {own}): it has the control socket {}, and serve would start only after \
                 its end",
                socket.display()
            ),
            &*format!("note: {free} is held by the instance that runs already (process {own})"),
        ]
    );
    assert_eq!(output.status.code(), Some(0));
    served.kill().unwrap();
    served.wait().unwrap();
}

#[test]
fn a_check_leaves_no_file_behind() {
    let folder = folder();
    let names =
        || fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    let before = names();
    assert_eq!(limited(&[], &["check", "--host"], folder.path()).status.code(), Some(0));
    assert_eq!(names(), before);
}

#[test]
fn the_limits_of_a_unit_hold_in_place_of_those_of_the_check() {
    let folder = folder();
    let systemctl = folder.path().join("bin/systemctl");
    setups::write(
        folder.path(),
        "bin/systemctl",
        "#!/bin/sh\ncase \"$*\" in *ringgate*) echo LoadState=loaded; echo LimitNOFILE=100; \
        echo LimitMEMLOCK=65536; echo TasksMax=4; echo User=ringgate;; *) echo LoadState=not-found;; esac\n",
    );
    fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", systemctl.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let check = |unit: &str, path: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
        command
            .args(["check", "--host", "--unit", unit, "--config"])
            .arg(folder.path().join("ringgate.toml"));
        command.env("PATH", path).env_remove("RUNTIME_DIRECTORY").output().unwrap()
    };
    let told = stderr_of(&check("ringgate", &path));
    assert!(
        told.contains("cannot hold 1 session: needs 642 open files") && told.contains("the limit is 100"),
        "{told}"
    );
    assert!(told.contains("the control group may have 4 and has 0"), "{told}");
    let unknown = stderr_of(&check("other", &path));
    assert!(unknown.starts_with("systemd has no unit other (it is not-found); "), "{unknown}");
    let nowhere = check("ringgate", "/nonexistent");
    assert!(
        stderr_of(&nowhere).starts_with("cannot ask systemd for the limits of ringgate (systemctl: "),
        "{nowhere:?}"
    );
    assert_eq!(nowhere.status.code(), Some(1));
}
