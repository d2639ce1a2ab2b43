//! Help, completions and man pages, as the binary prints them and as the tools that read them take them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn ringgate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringgate")).args(arguments).output().expect("the binary runs")
}

fn text(output: Output) -> String {
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &[][..]));
    String::from_utf8(output.stdout).expect("text")
}

/// Whether a program is here; says which test it is missed in.
fn is_here(program: &str, test: &str) -> bool {
    let found =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("SKIPPED a part of {test}: there is no {program} here");
    }
    found
}

#[test]
fn completions_of_every_shell_are_scripts_that_name_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    for (shell, checker) in [
        ("bash", &["bash", "-n"][..]),
        ("zsh", &["zsh", "-n"]),
        ("fish", &["fish", "--no-execute"]),
        ("elvish", &[]),
        ("powershell", &[]),
    ] {
        let script = text(ringgate(&["completions", shell]));
        for word in [
            "serve",
            "check",
            "ctl",
            "catalogue",
            "policy",
            "subscription",
            "completions",
            "man",
            "listen",
            "demo",
        ] {
            assert!(script.contains(word), "{word} in the completions of {shell}");
        }
        // They are the same on every host.
        assert!(!script.contains("[here:"), "{shell}");
        let Some((program, arguments)) = checker.split_first() else { continue };
        if is_here(program, "completions_of_every_shell_are_scripts_that_name_every_command") {
            let file = folder.path().join(shell);
            fs::write(&file, &script).expect("a file");
            let checked = Command::new(program).args(arguments).arg(&file).output().expect("the shell runs");
            assert!(checked.status.success() && checked.stderr.is_empty(), "{shell}: {checked:?}");
        }
    }
    assert_eq!(ringgate(&["completions", "cmd"]).status.code(), Some(2));
    assert_eq!(ringgate(&["completions"]).status.code(), Some(2));
}

/// A completion of bash, as bash itself makes it of a command line that is begun.
#[test]
fn bash_completes_commands_and_options() {
    if !is_here("bash", "bash_completes_commands_and_options") {
        return;
    }
    let script = text(ringgate(&["completions", "bash"]));
    for (words, completed) in
        [("ringgate ser", "serve"), ("ringgate serve --lis", "--listen"), ("ringgate ctl dr", "drain")]
    {
        let last = words.split(' ').next_back().unwrap_or_default();
        let count = words.split(' ').count() - 1;
        let ask = format!(
            "{script}\nCOMP_WORDS=({words}); COMP_CWORD={count}; _ringgate ringgate {last} \"\"; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let answer = Command::new("bash").args(["-c", &ask]).output().expect("bash runs");
        let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
        assert_eq!(answer.trim(), completed, "{words}");
    }
}

/// The pages of every command, by name.
fn pages(folder: &Path) -> Vec<(String, String)> {
    assert_eq!(text(ringgate(&["man", folder.to_str().expect("a path")])), "");
    let entries = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("a page"));
    let mut pages: Vec<_> = entries
        .map(|entry| {
            let page = fs::read_to_string(entry.path()).expect("a page");
            (entry.file_name().into_string().expect("a name"), page)
        })
        .collect();
    pages.sort();
    pages
}

#[test]
fn every_command_has_a_man_page_with_its_examples_and_exit_codes() {
    let folder = tempfile::tempdir().expect("a folder");
    let pages = pages(folder.path());
    let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
    for name in [
        "ringgate.1",
        "ringgate-serve.1",
        "ringgate-check.1",
        "ringgate-ctl.1",
        "ringgate-ctl-drain.1",
        "ringgate-catalogue-show.1",
        "ringgate-policy-trace.1",
        "ringgate-subscription-new-key.1",
        "ringgate-completions.1",
        "ringgate-man.1",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    for (name, page) in &pages {
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "EXIT STATUS", "ENVIRONMENT"] {
            let quoted = format!("\n.SH {section}\n");
            let spaced = format!("\n.SH \"{section}\"\n");
            assert!(page.contains(&quoted) || page.contains(&spaced), "{section} in {name}:\n{page}");
        }
        assert!(!page.contains("[here:"), "{name} is the same on every host");
    }
    let page = |name: &str| &pages.iter().find(|(found, _)| found == name).expect("a page").1;
    for signal in ["SIGTERM, SIGINT", "SIGHUP", "SIGUSR1"] {
        assert!(page("ringgate.1").contains(signal) && page("ringgate-serve.1").contains(signal), "{signal}");
    }
    assert_eq!(*page("ringgate.1"), text(ringgate(&["man"])), "without a folder it is ringgate(1)");
    let nowhere = folder.path().join("absent");
    let failed = ringgate(&["man", nowhere.to_str().expect("a path")]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stderr).starts_with("ringgate: cannot write man pages to "));
}

#[test]
fn man_pages_render_without_a_warning() {
    const TEST: &str = "man_pages_render_without_a_warning";
    let folder = tempfile::tempdir().expect("a folder");
    let pages = pages(folder.path());
    for (program, arguments) in
        [("groff", &["-man", "-ww", "-Tutf8", "-z"][..]), ("mandoc", &["-T", "lint", "-W", "error"])]
    {
        if !is_here(program, TEST) {
            continue;
        }
        for (name, _) in &pages {
            let rendered = Command::new(program)
                .args(arguments)
                .arg(folder.path().join(name))
                .output()
                .expect("it runs");
            let told = String::from_utf8_lossy(&rendered.stderr).into_owned()
                + &String::from_utf8_lossy(&rendered.stdout);
            assert!(rendered.status.success() && told.is_empty(), "{program} says of {name}: {told}");
        }
    }
}

#[test]
fn exit_codes_are_0_for_done_1_for_refused_and_2_for_a_wrong_command_line() {
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["serve", "--help"], 0),
        (&["catalogue", "check", "-c", "tests/golden/check/good/ringgate.toml"], 0),
        (&["check", "-c", "tests/golden/check/bad/ringgate.toml"], 1),
        (&["catalogue", "show", "-c", "absent.toml"], 1),
        (&["subscription", "new-key", "a", "-c", "absent.toml"], 1),
        (&["policy", "check", "absent.xml"], 1),
        (&["serve", "-c", "absent.toml"], 1),
        (&["ctl", "status", "--socket", "absent.sock"], 2),
        (&["serve", "--listen", "nowhere"], 2),
        (&["serve", "--nothing"], 2),
        (&["nothing"], 2),
        (&[], 2),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
        command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("RINGGATE_CONFIG");
        let output = command.output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    }
}
