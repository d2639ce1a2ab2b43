//! The layout, enforced: the core imports only itself and pure packages, the top level stays as agreed, files stay short.
//!
//! One package has no crate edge between core and shell, so this reads the source. It reads tokens, not types: what is
//! imported under a name of its own, or written out as a path, is seen; what a macro of another package makes is not.

#[path = "tidy/manual.rs"]
mod manual;
#[path = "tidy/messages.rs"]
mod messages;

#[path = "tidy/source.rs"]
mod source;

use source::{Token, WrittenPath, module_of, paths, tokens, without_tests};
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules that take bytes and time as arguments and give values back.
const CORE: [&str; 11] = [
    "limits",
    "export",
    "head",
    "http1",
    "websocket",
    "catalog",
    "config",
    "policy",
    "compiled",
    "admission",
    "session",
];

/// The floors of the crate from the ground up: a module uses those below it, never those above.
const FLOORS: [&str; 26] = [
    "limits",
    "export",
    "head",
    "http1",
    "websocket",
    "catalog",
    "config",
    "policy",
    "compiled",
    "admission",
    "session",
    "process",
    "tls",
    "observe",
    "ring",
    "shared_counts",
    "backend",
    "telemetry",
    "relay",
    "front",
    "services",
    "control",
    "cli",
    // Of tests only.
    "golden",
    "main",
    "lib",
];

/// The floors within `policy`.
const POLICY_FLOORS: [&str; 20] = [
    "addresses",
    "date_time",
    "slot",
    "counters",
    "guards",
    "jwt",
    "expression",
    "document",
    "token",
    "exchange",
    "failure",
    "contract",
    "setting",
    "pipeline",
    "compiling",
    "policies",
    "table",
    "compile",
    "machine",
    "records",
];

/// Modules that know nothing of a version of HTTP: what they need of a request is in `head`.
const WITHOUT_HTTP_VERSIONS: [&str; 4] = ["catalog", "config", "policy", "compiled"];

/// Parts of the core in modules that are shell otherwise.
const CORE_PARTS: [[&str; 2]; 1] = [["tls", "record"]];

/// Packages that the core may use: they compute, and touch nothing.
const PURE_PACKAGES: [&str; 17] = [
    "bytes",
    "httparse",
    "thiserror",
    "sha1",
    "base64",
    "memchr",
    "toml",
    "toml_datetime",
    // AEADs and hashes.
    "aws_lc_rs",
    "zeroize",
    // Quotes the texts of answers (`http1`), reads tokens (`policy`).
    "serde_json",
    // Documents (`policy`): XML.
    "roxmltree",
    // Expressions (`policy`): patterns, spelling, the calendar.
    "regex",
    "regex_syntax",
    "strsim",
    "time",
    // Keys in certificates (`policy`).
    "x509_cert",
];

/// The parts of `std` that the core may use; all of `core` and `alloc` is open to it.
const PURE_STD: [&str; 18] = [
    "borrow",
    "boxed",
    "cmp",
    "collections",
    "convert",
    "error",
    "fmt",
    "hash",
    "iter",
    "mem",
    "num",
    "ops",
    "rc",
    "slice",
    "str",
    "string",
    "vec",
    "array",
];

/// The parts of `std::sync` that the core may use: shared values and counters, no lock and no channel.
const PURE_STD_SYNC: [&str; 2] = ["Arc", "atomic"];

/// Macros that write somewhere, belong to a thread, or stop short of an answer.
const IMPURE_MACROS: [&str; 8] =
    ["print", "println", "eprint", "eprintln", "dbg", "thread_local", "include_str", "include_bytes"];

/// Macros that write to standard error or output by themselves: they wait for the reader, and panic where there is none.
const PRINTING_MACROS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// Modules that may name standard error and output: the log itself, and what runs once and ends.
const MAY_NAME_STANDARD_STREAMS: [&str; 15] = [
    "src/main.rs",
    "src/process/log.rs",
    "src/cli/check.rs",
    // What another program prints.
    "src/cli/check/unit.rs",
    "src/cli/catalogue.rs",
    "src/cli/ctl.rs",
    "src/cli/output.rs",
    "src/cli/instance_file.rs",
    "src/cli/logs.rs",
    "src/cli/logs/",
    "src/cli/man.rs",
    "src/cli/subscription.rs",
    "src/cli/policy/",
    // Files of the tables and texts that these print.
    "src/cli/policy.rs",
    "src/cli/catalogue/",
];

/// Macros for what an operator is told.
const TELLING_MACROS: [&str; 3] = ["info", "warn", "error"];

/// Macros that make a line of the log.
const LOG_MACROS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "limited"];

/// The entries of the repository's top folder, besides dotfiles.
const TOP_LEVEL: [&str; 9] =
    ["Cargo.toml", "Cargo.lock", "LICENSE", "README.md", "src", "benches", "loadtest", "tuning", "tests"];

/// Longest file of `src`, in lines.
const FILE_LINES_MAX: usize = 800;

#[derive(Debug, PartialEq, Eq)]
struct Violation {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// Returns the imports and actions of a core file that are not allowed.
fn violations(file: &str, source: &str, packages: &BTreeSet<String>) -> Vec<Violation> {
    let tokens = tokens(&without_tests(source));
    let mut found = Vec::new();
    let mut report = |line: usize, what: String| found.push(Violation { file: file.to_owned(), line, what });
    for (index, (token, line)) in tokens.iter().enumerate() {
        let Some(word) = token.word() else { continue };
        if word == "unsafe" {
            report(*line, "`unsafe` in the core".to_owned());
        }
        let is_macro = tokens.get(index + 1).is_some_and(|(token, _)| *token == Token::Sign('!'));
        if is_macro && IMPURE_MACROS.contains(&word) {
            report(*line, format!("`{word}!` in the core"));
        }
    }
    let children: BTreeSet<&str> = tokens
        .windows(2)
        .filter(|pair| pair[0].0.word() == Some("mod"))
        .filter_map(|pair| pair[1].0.word())
        .collect();
    let (used, inline) = paths(&tokens);
    let module = module_of(file);
    for (path, line) in &used {
        let is_local = children.contains(path[0].as_str()) || path[0].starts_with(char::is_uppercase);
        if !is_local && !is_allowed(path, &module) {
            report(*line, format!("`{}` is not for the core", path.join("::")));
        }
    }
    for (path, line) in &inline {
        // Any other first word is something that a `use` brought in.
        let is_root = ["std", "core", "alloc", "crate", "super", "self", "ringgate"]
            .contains(&path[0].as_str())
            || (packages.contains(&path[0]) && !children.contains(path[0].as_str()));
        if is_root && !is_allowed(path, &module) {
            report(*line, format!("`{}` is not for the core", path.join("::")));
        }
    }
    found
}

/// Whether the path, from the crate's root, is of the core.
fn is_core(path: &[String]) -> bool {
    let word = |index: usize| path.get(index).map_or("", String::as_str);
    CORE.contains(&word(0)) || CORE_PARTS.contains(&[word(0), word(1)])
}

/// Whether the core may name this path, in this module of its own.
fn is_allowed(path: &[String], module: &[String]) -> bool {
    let word = |index: usize| path.get(index).map_or("", String::as_str);
    match word(0) {
        "core" | "alloc" => true,
        "std" if word(1) == "sync" => PURE_STD_SYNC.contains(&word(2)),
        "std" => PURE_STD.contains(&word(1)),
        "crate" => is_core(&path[1..]),
        "self" => true,
        "super" => {
            let ups = path.iter().take_while(|word| *word == "super").count();
            // A path that climbs out of the core may go down into the core only.
            let top = module.len().checked_sub(ups);
            top.is_some_and(|top| is_core(&[&module[..top], &path[ups..]].concat()))
        }
        package => PURE_PACKAGES.contains(&package),
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a folder, in order.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let entries = fs::read_dir(folder).expect("a folder of the repository can be read");
    for entry in entries.map(|entry| entry.expect("an entry can be read").path()) {
        if entry.is_dir() {
            files.extend(rust_files(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
    files.sort();
    files
}

/// A path below the repository, with slashes.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a source file can be read")
}

/// The modules of the crate that a path of a file in `module` leads to, outermost first. `None`: it stays where it is, or leads out
/// of the crate.
fn modules_reached(path: &[String], module: &[String]) -> Option<Vec<String>> {
    match path[0].as_str() {
        "crate" => Some(path[1..].to_vec()),
        "super" => {
            let ups = path.iter().take_while(|word| *word == "super").count();
            Some([&module[..module.len().checked_sub(ups)?], &path[ups..]].concat())
        }
        _ => None,
    }
}

/// Returns the paths of a file that lead to a floor above its own, or to none.
fn reaches_up(file: &str, source: &str) -> Vec<Violation> {
    let module = module_of(file);
    let has_floor = FLOORS.contains(&module[0].as_str())
        && (module[0] != "policy" || module.get(1).is_none_or(|name| POLICY_FLOORS.contains(&name.as_str())));
    if !has_floor {
        let what = format!("`{}` has no floor: give it one", module.join("::"));
        return vec![Violation { file: file.to_owned(), line: 1, what }];
    }
    let (used, inline) = paths(&tokens(&without_tests(source)));
    let violation = |(path, line): WrittenPath| {
        let reached = modules_reached(&path, &module)?;
        let is_above = |depth: usize, floors: &[&str]| {
            let floor_at = |of: &[String]| {
                floors.iter().position(|floor| of.get(depth).is_some_and(|name| name == floor))
            };
            match (floor_at(&reached), floor_at(&module)) {
                (Some(reached), Some(own)) => reached > own,
                // A macro of the crate, or all of it.
                (None, _) => reached.get(depth).is_some_and(|name| name == "*"),
                (Some(_), None) => false,
            }
        };
        let is_within_policy = reached[0] == "policy" && module[0] == "policy" && module.len() > 1;
        let above = is_above(0, &FLOORS) || (is_within_policy && is_above(1, &POLICY_FLOORS));
        let names_version = reached[0] == "http1" && WITHOUT_HTTP_VERSIONS.contains(&module[0].as_str());
        let why = match (above, names_version) {
            (true, _) => "stands above",
            (false, true) => "is of a version of HTTP, which is not known in",
            (false, false) => return None,
        };
        let what = format!("`{}` {why} `{}`", path.join("::"), module[0]);
        Some(Violation { file: file.to_owned(), line, what })
    };
    used.into_iter().chain(inline).filter_map(violation).collect()
}

#[test]
fn each_module_uses_only_those_on_floors_below() {
    let is_root = |file: &PathBuf| ["src/lib.rs", "src/main.rs"].contains(&shown(file).as_str());
    let files: Vec<_> = source_files().into_iter().filter(|file| !is_root(file)).collect();
    assert!(files.len() > 200, "the source is not where it is looked for: {} files", files.len());
    let found: Vec<_> = files.iter().flat_map(|file| reaches_up(&shown(file), &read(file))).collect();
    assert!(found.is_empty(), "{}", list(found));
    let used: BTreeSet<_> = files.iter().map(|file| module_of(&shown(file))[0].clone()).collect();
    let empty: Vec<_> =
        FLOORS.iter().filter(|floor| !["main", "lib"].contains(floor) && !used.contains(**floor)).collect();
    assert!(empty.is_empty(), "floors without a module:{}", list(empty));
}

#[test]
fn notices_what_reaches_up() {
    for (file, planted) in [
        ("src/catalog/api.rs", "use crate::policy::compile;"),
        ("src/observe/counters.rs", "use crate::front::run_front;"),
        ("src/front.rs", "use crate::control::instance;"),
        ("src/front/dial.rs", "use super::super::control::instance;"),
        ("src/front/dial.rs", "use crate::{limits, control};"),
        ("src/relay/run.rs", "fn wake(front: &crate::front::Front) {}"),
        ("src/policy/exchange.rs", "use crate::http1::RequestHead;"),
        ("src/policy/exchange.rs", "use crate::*;"),
        ("src/policy/contract.rs", "use super::machine::Yield;"),
        ("src/policy/contract/step.rs", "use super::super::policies::trace;"),
        ("src/policy/policies/trace.rs", "use crate::policy::table::policy_row;"),
        ("src/policy/attic.rs", "use super::document;"),
        ("src/attic/box.rs", "use crate::limits;"),
    ] {
        assert_eq!(reaches_up(file, planted).len(), 1, "{planted}");
    }
    for (file, fine) in [
        ("src/policy/compile.rs", "use crate::catalog::api; use super::document; use crate::limits::X;"),
        ("src/policy/policies/quota.rs", "use super::counting::Rule; use crate::policy::contract::Policy;"),
        ("src/front.rs", "mod run; use run::Front; use super::relay;"),
        (
            "src/http1/request.rs",
            "use crate::head::Target;\n#[cfg(test)]\nmod tests {\n    use crate::websocket;\n}",
        ),
        ("src/cli.rs", "use crate::control; use std::fmt;"),
    ] {
        assert_eq!(reaches_up(file, fine), [], "{fine}");
    }
}

/// Names under which the packages of `Cargo.toml` are used in code.
fn packages() -> BTreeSet<String> {
    let manifest = read(&root().join("Cargo.toml"));
    let mut is_dependencies = false;
    let mut packages = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_dependencies = line.ends_with("dependencies]");
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| is_dependencies) {
            packages.insert(name.replace('-', "_"));
        }
    }
    packages
}

/// Files of the core that are not tests.
fn core_files() -> Vec<PathBuf> {
    let is_core = |file: &PathBuf| {
        let module = module_of(&shown(file));
        is_core(&module) && !module.iter().any(|part| part == "tests")
    };
    rust_files(&root().join("src")).into_iter().filter(is_core).collect()
}

fn list(lines: impl IntoIterator<Item = impl fmt::Display>) -> String {
    lines.into_iter().map(|line| format!("\n  {line}")).collect()
}

#[test]
fn the_core_imports_only_the_core_and_pure_packages() {
    let packages = packages();
    assert!(packages.contains("io_uring") && packages.contains("tokio"), "{packages:?}");
    let files = core_files();
    assert!(files.len() > 10, "the core is not where it is looked for: {files:?}");
    let found: Vec<_> =
        files.iter().flat_map(|file| violations(&shown(file), &read(file), &packages)).collect();
    assert!(found.is_empty(), "{}", list(found));
}

/// Returns the statements of a file that wait for standard error or output, or fail with it.
fn prints(file: &str, source: &str) -> Vec<Violation> {
    let may_name = MAY_NAME_STANDARD_STREAMS.iter().any(|allowed| file.starts_with(allowed));
    let tokens = tokens(&without_tests(source));
    let mut found = Vec::new();
    for (index, (token, line)) in tokens.iter().enumerate() {
        let Some(word) = token.word() else { continue };
        let is_macro = tokens.get(index + 1).is_some_and(|(token, _)| *token == Token::Sign('!'));
        let is_print = is_macro && PRINTING_MACROS.contains(&word);
        if is_print || (matches!(word, "stderr" | "stdout") && !may_name) {
            let what = format!("`{word}` in what serves: say it by `process::log`");
            found.push(Violation { file: file.to_owned(), line: *line, what });
        }
    }
    found
}

/// Returns the log lines of a front that clients and backends can provoke as often as they like.
fn unlimited_warnings(file: &str, source: &str) -> Vec<Violation> {
    let violation = |(path, line): WrittenPath| {
        let is_telling = path[0] == "tracing" && TELLING_MACROS.contains(&path[path.len() - 1].as_str());
        let what = format!("`{}` in a front: use `limited!`", path.join("::"));
        is_telling.then(|| Violation { file: file.to_owned(), line, what })
    };
    let (used, inline) = paths(&tokens(&without_tests(source)));
    used.into_iter().chain(inline).filter_map(violation).collect()
}

/// Lines of the log in a front that do not say by its id which opening they are about.
fn nameless_lines(file: &str, source: &str) -> Vec<Violation> {
    let tokens = tokens(&without_tests(source));
    let sign = |at: usize| match tokens.get(at) {
        Some((Token::Sign(sign), _)) => Some(*sign),
        _ => None,
    };
    let mut found = Vec::new();
    for (index, (token, line)) in tokens.iter().enumerate() {
        let is_log = token.word().is_some_and(|word| LOG_MACROS.contains(&word));
        if !is_log || sign(index + 1) != Some('!') || sign(index + 2) != Some('(') {
            continue;
        }
        let mut depth = 0;
        let end = (index + 2..tokens.len()).find(|at| {
            depth += match sign(*at) {
                Some('(') => 1,
                Some(')') => -1,
                _ => 0,
            };
            depth == 0
        });
        let arguments = &tokens[index..end.unwrap_or(tokens.len())];
        if !arguments.iter().any(|(token, _)| token.word() == Some("id")) {
            let what = "a line of the log that does not name its opening: give it `id`".to_owned();
            found.push(Violation { file: file.to_owned(), line: *line, what });
        }
    }
    found
}

#[test]
fn every_line_of_the_log_about_an_opening_names_it() {
    // A listener that cannot accept has none.
    let is_front = |file: &String| file.starts_with("src/front") && file != "src/front/accept.rs";
    let files = source_files();
    let fronts: Vec<_> = files.iter().filter(|file| is_front(&shown(file))).collect();
    let found: Vec<_> = fronts.iter().flat_map(|file| nameless_lines(&shown(file), &read(file))).collect();
    assert!(found.is_empty(), "{}", list(found));
}

#[test]
fn notices_a_line_of_the_log_that_names_no_opening() {
    for planted in [
        "fn say() { tracing::debug!(peer = %peer, \"so\"); }",
        "fn say() { limited!(WARN, Some(api(x)), \"so\", %error); let id = 1; }",
    ] {
        assert_eq!(nameless_lines("src/front/dial.rs", planted).len(), 1, "{planted}");
    }
    for fine in [
        "fn say() { tracing::debug!(id = %self.id, \"so\"); }",
        "fn say() { limited!(WARN, Some(api(x)), \"so\", %id, %error); }",
        "// tracing::debug!(\"so\")",
    ] {
        assert_eq!(nameless_lines("src/front/dial.rs", fine), [], "{fine}");
    }
}

/// All files of the source that are not tests.
fn source_files() -> Vec<PathBuf> {
    let is_test = |file: &PathBuf| module_of(&shown(file)).iter().any(|part| part == "tests");
    rust_files(&root().join("src")).into_iter().filter(|file| !is_test(file)).collect()
}

#[test]
fn nothing_that_serves_writes_to_standard_error_or_output_but_the_log() {
    let files = source_files();
    let found: Vec<_> = files.iter().flat_map(|file| prints(&shown(file), &read(file))).collect();
    assert!(found.is_empty(), "{}", list(found));
}

#[test]
fn what_traffic_may_provoke_is_logged_within_limits() {
    // A document asks for each line that its `trace` writes; that an expression threw is limited by its place.
    let is_front = |file: &String| file.starts_with("src/front") && file != "src/front/policies.rs";
    let files = source_files();
    let fronts: Vec<_> = files.iter().filter(|file| is_front(&shown(file))).collect();
    assert!(fronts.len() > 10, "the front is not where it is looked for: {fronts:?}");
    let found: Vec<_> =
        fronts.iter().flat_map(|file| unlimited_warnings(&shown(file), &read(file))).collect();
    assert!(found.is_empty(), "{}", list(found));
}

#[test]
fn notices_what_prints_and_what_warns_without_limits() {
    for planted in [
        "fn say() { println!(\"said\"); }",
        "fn say() { eprintln!(\"said\"); }",
        "fn say() { let _ = std::io::stderr().write_all(b\"said\"); }",
        "use std::io::{self, stdout};",
    ] {
        assert_eq!(prints("src/cli/serve.rs", planted).len(), 1, "{planted}");
    }
    assert_eq!(prints("src/cli/check.rs", "fn say() { let _ = io::stderr().write_all(b\"said\"); }"), []);
    assert_eq!(prints("src/cli/check.rs", "fn say() { eprintln!(\"said\"); }").len(), 1);
    assert_eq!(
        prints("src/cli/serve.rs", "// stderr\n#[cfg(test)]\nmod tests { fn say() { println!(); } }"),
        []
    );
    for planted in
        ["fn warn() { tracing::warn!(\"so\"); }", "use tracing::{debug, error};", "use tracing::info;"]
    {
        assert_eq!(unlimited_warnings("src/front/dial.rs", planted).len(), 1, "{planted}");
    }
    assert_eq!(
        unlimited_warnings(
            "src/front/dial.rs",
            "fn say() { tracing::debug!(\"so\"); limited!(WARN, None, \"so\"); }"
        ),
        []
    );
}

#[test]
fn the_top_level_is_as_agreed() {
    let entries = fs::read_dir(root()).expect("the repository can be read");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let strange: Vec<_> = names
        .filter(|name| !name.starts_with('.') && name != "target" && !TOP_LEVEL.contains(&name.as_str()))
        .collect();
    assert!(strange.is_empty(), "not agreed on:{}", list(strange));
}

#[test]
fn no_file_of_the_source_is_too_long() {
    let lines = |file: &PathBuf| read(file).lines().count();
    let files = rust_files(&root().join("src"));
    let long: Vec<_> = files
        .iter()
        .filter(|file| lines(file) > FILE_LINES_MAX)
        .map(|file| format!("{}: {} lines", shown(file), lines(file)))
        .collect();
    assert!(long.is_empty(), "look for the second noun:{}", list(long));
}

/// Returns the violations in a core file of two lines, the second of which is this.
fn found_in(line: &str) -> Vec<(usize, String)> {
    found_in_file("src/session/life.rs", line)
}

/// The lines of a core file in which something is found, the first of which is not among these.
fn found_in_lines(lines: &str) -> Vec<usize> {
    found_in(lines).into_iter().map(|(line, _)| line).collect()
}

fn found_in_file(file: &str, line: &str) -> Vec<(usize, String)> {
    let source = format!("//! A file of the core.\n{line}\n");
    let found = violations(file, &source, &packages());
    found.into_iter().map(|violation| (violation.line, violation.what)).collect()
}

#[test]
fn notices_what_the_core_must_not_do() {
    for planted in [
        "use std::net::TcpStream;",
        "use std::time::Instant;",
        "use std::{fmt, fs};",
        "use std::io::{self, Read};",
        "use std::sync::Mutex;",
        "use std::sync::{Arc, RwLock};",
        "use std::collections::{HashMap, BTreeMap}; use std::thread;",
        "use std::*;",
        "use crate::relay::run::Relay;",
        "use crate::{limits, ring};",
        "use crate::*;",
        "use super::super::front::answer;",
        "pub use tracing::info;",
        "use tokio::sync::mpsc as channel;",
        "use libc;",
        "fn now() -> u64 { std::time::Instant::now() }",
        "fn peer(of: &socket2::Socket) {}",
        "fn pid() -> i32 { libc::getpid() }",
        "fn wake(mailbox: &crate::relay::mailbox::Mailbox) {}",
        "fn read() { unsafe { work() } }",
        "fn say() { println!(\"said\"); }",
        "fn quoted() -> (char, &'static str) { ('\"', std::env::consts::OS) }",
    ] {
        let found = found_in(planted);
        assert!(!found.is_empty() && found.iter().all(|(line, _)| *line == 2), "{planted}: {found:?}");
    }
}

#[test]
fn leaves_alone_what_the_core_may_do() {
    for fine in [
        "use core::ops::Range; use std::collections::HashMap; use std::sync::{Arc, atomic::AtomicU64};",
        "use super::{Leg, Moment}; use super::super::limits; use crate::websocket::close::CloseCode;",
        "mod effect; pub use effect::{Effect, Effects}; use Effect::*;",
        "use bytes::{Buf as _, Bytes}; fn hash() { sha1::Sha1::new() }",
        "// use std::net::TcpStream;",
        "/* unsafe */ const TEXT: &str = \"use std::fs; \\\" std::thread::spawn\"; const RAW: &str = r#\"unsafe \"#;",
        "fn lives<'a>(text: &'a str) -> impl Iterator<Item = char> + use<'a> { text.chars() }",
        "#[cfg(test)]\nmod tests {\n    use std::net::TcpStream;\n}",
    ] {
        assert_eq!(found_in(fine), [], "{fine}");
    }
}

#[test]
fn a_part_of_the_core_does_not_reach_into_the_shell_around_it() {
    let file = "src/tls/record/opener.rs";
    let fine = "use super::suite::Suite; use super::super::record::Alert; use crate::tls::record::Alert;";
    assert_eq!(found_in_file(file, fine), [], "{fine}");
    for planted in ["use super::super::handover::Hands;", "use crate::tls::handover;", "use crate::tls::*;"] {
        assert_eq!(found_in_file(file, planted).len(), 1, "{planted}");
    }
}

#[test]
fn notices_code_that_hides_behind_a_test_attribute() {
    assert_eq!(found_in_lines("#[cfg(test)]\nuse std::fs;\nuse std::net::TcpStream;"), [3, 4]);
    assert_eq!(found_in_lines("#[cfg(test)]\nmod tests;\nuse std::net::TcpStream;"), [4]);
    assert_eq!(
        found_in_lines("#[cfg(test)]\npub(crate) mod tests {\n    use std::net::TcpStream;\n}"),
        [0; 0]
    );
}
