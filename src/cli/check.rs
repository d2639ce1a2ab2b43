//! `ringgate check`: reports everything that would keep `serve` from starting, or what would be open.
//!
//! Without `--host` the result depends on the files alone. With it, the host is examined too, in its current state. Nothing is
//! changed, listened on, resolved or dialled.
//!
//! The property to trust: faults are found by the functions that `serve` calls (`Start::read`, `host::judge`), so both give the same
//! verdict in the same words.
//!
//! Not here: the rules (`catalog`, `control::files`, `control::host`).

mod unit;

use core::fmt;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use rustls::pki_types::UnixTime;
use unit::UnitLimits;

use super::output;
use super::serve::no_socket;
use crate::catalog::Api;
use crate::compiled::Snapshot;
use crate::config::InstanceConfig;
use crate::control::files::looker::{NoStart, Start};
use crate::control::host::{HostFacts, HostNeeds, addresses, judge};
use crate::control::socket::place::{ClaimedSocket, NoSocket, SocketPlace};
use crate::process::cores::{CorePlan, usable_cores};
use crate::process::files::reason;

/// The host check.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// The systemd unit whose limits hold. `None`: those of this process.
    pub unit: Option<&'a str>,
}

/// The findings of a check.
#[derive(Debug, Default)]
struct Findings {
    /// Faults that keep `serve` from starting.
    faults: Vec<String>,
    /// Conditions with which it would start, but which are probably not intended.
    warnings: Vec<String>,
    /// Facts that are in order, and useful to know.
    notes: Vec<String>,
}

/// Checks the instance file `config`, and the `host` if asked to. Exit code 0 and a summary, or 1 and the faults on standard error.
pub fn run(config: &Path, host: Option<Host<'_>>) -> ExitCode {
    let mut findings = Findings::default();
    let mut said = String::new();
    match Start::read(config, UnixTime::now()) {
        Ok(start) => {
            findings.warnings.extend(start.warnings);
            if let Some(host) = host {
                findings.look_at(config, &start.config, host);
            }
            if findings.faults.is_empty() {
                said = summary(config, &start.config, &start.served.snapshot);
            }
        }
        Err(NoStart(faults)) => findings.faults.extend(faults.iter().map(ToString::to_string)),
    }
    let _ = io::stderr().write_all(findings.told(config).as_bytes());
    let printed = output::print(said.as_bytes());
    if findings.faults.is_empty() { printed } else { ExitCode::FAILURE }
}

impl Findings {
    /// Adds the findings about the host.
    fn look_at(&mut self, file: &Path, config: &InstanceConfig, host: Host<'_>) {
        let own = self.look_at_socket(file, config);
        match usable_cores() {
            Ok(cores) => {
                let cores = CorePlan::of(&cores, config.workers.map(|workers| workers as usize));
                let needs = HostNeeds::of(config, cores.of_workers().len(), 0);
                let mut facts = HostFacts::of_this_process();
                if let Some(unit) = host.unit {
                    facts = match UnitLimits::of(unit) {
                        Ok(limits) => limits.on(unit, facts),
                        Err(no_unit) => return self.faults.push(no_unit.to_string()),
                    };
                }
                let judgement = judge(facts, &needs);
                self.faults.extend(judgement.faults.iter().map(ToString::to_string));
                self.warnings.extend(judgement.warnings);
            }
            Err(error) => {
                self.faults.push(format!("cannot tell the cores of this process: {}", reason(&error)))
            }
        }
        let found = addresses::look(config, own);
        self.faults.extend(found.faults.iter().map(ToString::to_string));
        self.notes.extend(found.notes);
    }

    /// Checks the control socket. Gives the process that holds it, which runs the instance already.
    fn look_at_socket(&mut self, file: &Path, config: &InstanceConfig) -> Option<i32> {
        let place = SocketPlace::of(Some(file), config.control_socket.as_deref())?;
        match ClaimedSocket::look(&place.path) {
            Ok(()) => {}
            Err(NoSocket::InUse(path, process)) => {
                let process_told = process.map(|process| format!(" (process {process})")).unwrap_or_default();
                self.notes.push(format!(
                    "an instance runs already{process_told}: it has the control socket {}, and serve would start only after its end",
                    path.display()
                ));
                return process;
            }
            Err(error) if place.is_default && error.is_of_the_place() => {
                self.warnings.push(no_socket(&error))
            }
            Err(error) => self.faults.push(error.to_string()),
        }
        None
    }

    /// A line for each, and a closing one with the count of faults if there are any.
    fn told(&self, config: &Path) -> String {
        let mut text = String::new();
        self.notes.iter().for_each(|note| push_line(&mut text, format_args!("note: {note}")));
        self.warnings.iter().for_each(|warning| push_line(&mut text, format_args!("warning: {warning}")));
        if !self.faults.is_empty() {
            text.push_str(&report(config, &self.faults));
        }
        text
    }
}

/// One line for each fault, and a closing one with their count.
pub fn report(config: &Path, faults: &[impl fmt::Display]) -> String {
    let mut text: String = faults.iter().map(|fault| format!("{fault}\n")).collect();
    let (count, plural) = (faults.len(), if faults.len() == 1 { "" } else { "s" });
    push_line(&mut text, format_args!("{}: {count} fault{plural}", config.display()));
    text
}

/// Summarises what an instance of this configuration would open and serve.
pub fn summary(file: &Path, config: &InstanceConfig, snapshot: &Snapshot) -> String {
    let mut text = String::new();
    push_line(&mut text, format_args!("{}: no faults", file.display()));
    for listener in &config.listeners {
        push_line(&mut text, format_args!("listener {}://{}", listener.scheme(), listener.address));
    }
    if let Some(status) = &config.status {
        push_line(&mut text, format_args!("status http://{}/", status.address));
    }
    if snapshot.served().is_empty() {
        text.push_str("no api is served\n");
    }
    for api in snapshot.served() {
        let (path, version) = (snapshot.path_of(api), version_of(api));
        push_line(&mut text, format_args!("api {}: /{path}{version} -> {}", api.name, api.backend));
    }
    for api in snapshot.elsewhere() {
        push_line(&mut text, format_args!("api {}: not served by this gateway", api.name));
    }
    text
}

/// Describes the version that tells an API from others at its path.
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
    use crate::catalog::Fault;

    #[test]
    fn counts_the_faults_it_names() {
        let fault = Fault::of_file("a.toml", None, "is not utf-8 text", "save it in utf-8");
        let config = Path::new("ringgate.toml");
        let named = "a.toml: is not utf-8 text; save it in utf-8\n";
        assert_eq!(report(config, core::slice::from_ref(&fault)), format!("{named}ringgate.toml: 1 fault\n"));
        let two = [fault.clone(), fault];
        assert_eq!(report(config, &two), format!("{named}{named}ringgate.toml: 2 faults\n"));
    }
}
