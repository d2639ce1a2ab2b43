//! `ringgate check`: every fault of an instance file and its catalogue, or what would be open.
//!
//! Nothing is opened, resolved or dialled: what it says depends on the files alone.
//!
//! Not here: what is a fault (`catalog`), whether the host lets an instance start.

use core::fmt;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::catalog::{Api, Fault};
use crate::control::files::store::{self, Loaded};

/// Checks the instance file `config`. Exit code 0 and a summary, or 1 and the faults on standard error.
pub fn run(config: &Path) -> ExitCode {
    // Who reads the output may leave early (`| head`): that changes nothing about the result.
    match store::load(config) {
        Ok(loaded) => {
            let _ = io::stdout().write_all(summary(config, &loaded).as_bytes());
            ExitCode::SUCCESS
        }
        Err(faults) => {
            let _ = io::stderr().write_all(report(config, &faults).as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// One line for each fault, and a closing one with their count.
pub fn report(config: &Path, faults: &[Fault]) -> String {
    let mut text: String = faults.iter().map(|fault| format!("{fault}\n")).collect();
    let (count, plural) = (faults.len(), if faults.len() == 1 { "" } else { "s" });
    push_line(&mut text, format_args!("{}: {count} fault{plural}", config.display()));
    text
}

/// What an instance of this configuration would open and serve.
pub fn summary(config: &Path, loaded: &Loaded) -> String {
    let mut text = String::new();
    push_line(&mut text, format_args!("{}: no faults", config.display()));
    for listener in &loaded.config.listeners {
        push_line(&mut text, format_args!("listener {}://{}", listener.scheme(), listener.address));
    }
    if let Some(status) = &loaded.config.status {
        push_line(&mut text, format_args!("status http://{}/", status.address));
    }
    if loaded.snapshot.served().is_empty() {
        text.push_str("no api is served\n");
    }
    for api in loaded.snapshot.served() {
        let (path, version) = (loaded.snapshot.path_of(api), version_of(api));
        push_line(&mut text, format_args!("api {}: /{path}{version} -> {}", api.name, api.backend));
    }
    for api in loaded.snapshot.elsewhere() {
        push_line(&mut text, format_args!("api {}: not served by this gateway", api.name));
    }
    text
}

/// What tells an API from others at its path, in words.
fn version_of(api: &Api) -> String {
    match (&api.version_set, &api.version) {
        (Some(set), Some(version)) => format!(" (version {version} of {set})"),
        (Some(set), None) => format!(" (original of {set})"),
        (None, _) => String::new(),
    }
}

fn push_line(text: &mut String, line: fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a String does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_faults_it_names() {
        let fault = Fault::of_file("a.toml", None, "not utf-8", "text in utf-8");
        let config = Path::new("ringgate.toml");
        let named = "a.toml: not utf-8: allowed is text in utf-8\n";
        assert_eq!(report(config, core::slice::from_ref(&fault)), format!("{named}ringgate.toml: 1 fault\n"));
        let two = [fault.clone(), fault];
        assert_eq!(report(config, &two), format!("{named}{named}ringgate.toml: 2 faults\n"));
    }
}
