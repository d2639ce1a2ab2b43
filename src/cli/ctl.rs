//! `ringgate ctl`: sends a command to a running instance over its control socket, and reports the result.
//!
//! Exit code 0: the command was carried out. 1: the instance refused it, and says why. 2: no command was sent or answered: no instance
//! listens, it does not let this user in, it does not answer, or the command line is wrong.
//!
//! Not here: the lines of the socket (`control::socket::wire`), what a command does (`control::serving`).

mod text;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::exit;
use super::help;
use super::instance_file::{InstanceFileOption, NamedBy, NoInstanceFile};
use crate::config::parse_instance;
use crate::control::command::Command;
use crate::control::files::store;
use crate::control::socket::place::SocketPlace;
use crate::control::socket::wire;

/// How long an instance may be silent. A busy one reports every second.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest line of an answer, in bytes. Over it: the peer is not a control socket.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// The command for a running instance, and the instance.
#[derive(Debug, Args)]
pub struct CtlArguments {
    #[command(subcommand)]
    command: CtlCommand,
    /// Print what the instance answers as JSON
    #[arg(long, global = true)]
    json: bool,
    /// The control socket. Without it: that of the instance file, and without one ringgate.sock in $RUNTIME_DIRECTORY, else in
    /// /run/ringgate
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
    #[command(flatten)]
    config: InstanceFileOption,
}

/// The commands for a running instance.
#[derive(Clone, Copy, Debug, Subcommand)]
enum CtlCommand {
    /// Tell how it is: sessions, openings, catalogue, and the faults of the one that was refused last
    #[command(after_help = help::CTL_STATUS)]
    Status,
    /// Look at its files, and publish them or name every fault
    #[command(after_help = help::CTL_RELOAD)]
    Reload,
    /// Take no new sessions, finish those that are open within `drain_s`, and end
    #[command(after_help = help::CTL_DRAIN)]
    Drain,
    /// Cut all sessions, and end at once
    #[command(after_help = help::CTL_TERMINATE)]
    Terminate,
}

impl CtlCommand {
    fn command(self) -> Command {
        match self {
            Self::Status => Command::Status,
            Self::Reload => Command::Reload,
            Self::Drain => Command::Drain,
            Self::Terminate => Command::Terminate,
        }
    }
}

/// The answer of an instance.
struct Answer {
    /// The line with the result.
    result: Value,
    /// The lines before the result.
    faults: Vec<Value>,
}

impl CtlArguments {
    /// Sends the command, and gives the exit code.
    pub fn run(&self) -> ExitCode {
        let answer =
            self.socket_paths().and_then(|paths| self.ask(&paths)).unwrap_or_else(|message| Answer {
                result: json!({ "version": wire::VERSION, "result": "error", "message": message }),
                faults: Vec::new(),
            });
        let code = match answer.result["result"].as_str() {
            Some("done") => ExitCode::SUCCESS,
            Some("refused") => ExitCode::FAILURE,
            Some(_) | None => exit::USAGE.into(),
        };
        self.print(answer);
        code
    }

    /// A reader of the output may leave early (`| head`), which does not affect the result.
    fn print(&self, Answer { mut result, faults }: Answer) {
        if self.json {
            result["faults"] = faults.into();
            let _ = writeln!(io::stdout(), "{result}");
            return;
        }
        let faults: String =
            faults.iter().map(|fault| format!("  {}\n", fault.as_str().unwrap_or_default())).collect();
        let message = result["message"].as_str();
        let _ = match result["result"].as_str() {
            Some("done") => write!(io::stdout(), "{}{faults}", text::done(self.command.command(), &result)),
            Some("refused") => writeln!(io::stderr(), "{faults}ringgate: {}", message.unwrap_or("refused")),
            Some(_) | None => writeln!(io::stderr(), "ringgate: {}", message.unwrap_or("no answer")),
        };
    }

    /// The possible paths of the socket, the likeliest first.
    fn socket_paths(&self) -> Result<Vec<PathBuf>, String> {
        match (&self.socket, self.config.find()) {
            (Some(socket), _) => Ok(vec![socket.clone()]),
            (None, Err(NoInstanceFile)) => Ok(SocketPlace::of_host()),
            (None, Ok(file)) if file.by == NamedBy::Option => socket_paths_of(&file.path),
            (None, Ok(file)) => {
                socket_paths_of(&file.path).map_err(|why| format!("{why}\nthe instance file is {file}"))
            }
        }
    }

    /// Sends the command to the first of these paths on which an instance listens.
    fn ask(&self, paths: &[PathBuf]) -> Result<Answer, String> {
        let stream = connect(paths).map_err(|why| match self.config.find() {
            // No other instance is asked than that of the file: it might be the wrong one that is told to end.
            Ok(file) if self.socket.is_none() && file.by != NamedBy::Option => {
                format!("{why}\nthe instance file is {file}{}", hint_of_host(paths))
            }
            Ok(_) | Err(NoInstanceFile) => why,
        })?;
        self.converse(stream).map_err(|error| {
            let kind = error.kind();
            let is_end = |kind| {
                matches!(
                    kind,
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                )
            };
            if kind == io::ErrorKind::WouldBlock {
                format!("the instance says nothing for {} s", PATIENCE.as_secs())
            } else if is_end(kind) {
                "the instance closed the connection without an answer".to_owned()
            } else {
                format!("cannot talk to the instance: {error}")
            }
        })
    }

    fn converse(&self, mut stream: UnixStream) -> io::Result<Answer> {
        let command = self.command.command();
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // An instance that lets nobody in has said so, and closed.
        let asked = stream.write_all(wire::request_line(command).as_bytes());
        let mut reader = BufReader::new(stream);
        let mut faults = Vec::new();
        let result = loop {
            let mut line = String::new();
            if (&mut reader).take(LINE_BYTES_MAX).read_line(&mut line)? == 0 {
                asked?;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut line: Value = serde_json::from_str(&line)?;
            if !line["result"].is_null() {
                break line;
            } else if !line["fault"].is_null() {
                faults.push(line["fault"].take());
            } else if command == Command::Drain {
                self.tell(&line);
            }
        };
        let is_over = matches!(command, Command::Drain | Command::Terminate) && result["result"] == "done";
        if is_over {
            // The connection ends with the process.
            let _ = io::copy(&mut reader, &mut io::sink());
        }
        Ok(Answer { result, faults })
    }

    fn tell(&self, line: &Value) {
        let _ = if self.json {
            writeln!(io::stdout(), "{line}")
        } else {
            writeln!(io::stdout(), "{}", text::progress(line))
        };
    }
}

/// The control socket of the instance of this file.
fn socket_paths_of(config: &Path) -> Result<Vec<PathBuf>, String> {
    let file = config.display().to_string();
    let parsed = store::read_text(config, &file)
        .map_err(|fault| vec![fault])
        .and_then(|text| parse_instance(&file, &text));
    let instance = parsed.map_err(|faults| {
        let faults: String = faults.iter().map(|fault| format!("\n  {fault}")).collect();
        format!("the instance file does not tell where the control socket is; give --socket{faults}")
    })?;
    match instance.control_socket.as_deref() {
        Some("") => Err(format!("{file} has no control socket (control.socket = \"\"): use signals")),
        named => Ok(SocketPlace::candidates(config, named)),
    }
}

/// Returns a hint at the socket of this host's service, if that exists and is none of these paths.
fn hint_of_host(asked: &[PathBuf]) -> String {
    let of_host = SocketPlace::of_host().into_iter().find(|path| !asked.contains(path) && path.exists());
    of_host.map_or_else(String::new, |path| {
        format!("; for the service of this host, use --socket {}", path.display())
    })
}

fn connect(paths: &[PathBuf]) -> Result<UnixStream, String> {
    for path in paths {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(format!(
                    "{} is not open to this user: run this as root, or as the user of the instance",
                    path.display()
                ));
            }
            Err(error) => return Err(format!("cannot connect to {}: {error}", path.display())),
        }
    }
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    Err(format!(
        "no instance listens at {}; give the path of its control socket (--socket) or its instance file (--config)",
        paths.join(", nor at ")
    ))
}
