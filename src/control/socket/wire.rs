//! The lines of the control socket: requests and answers, a JSON object a line.
//!
//! ```text
//! → {"version":1,"command":"reload"}
//! ← {"fault":"apis/chat.toml:2: …"}          any number, before the result
//! ← {"progress":{"sessions":3,"openings":0}}   any number, before the result
//! ← {"version":1,"command":"reload","result":"refused",…}
//! ```
//!
//! Each request gets one line with a `result`, and then the next request is read. A reader must ignore fields and lines that it
//! does not know: within a version, fields may be added, but none changes or goes away.
//!
//! Not here: reading and writing (`conversation`), carrying a command out (`serving`).

use core::fmt;

use serde_json::{Map, Value, json};

use super::super::command::status::{Room, Status};
use super::super::command::{Command, Progress, Reply};

/// The version of requests and answers.
pub const VERSION: u64 = 1;

/// A fault of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum RequestFault {
    /// It is no JSON object.
    NotAnObject,
    /// It has a version that is not known, or none.
    Version(Value),
    /// It has a command that is not known, or none.
    Command(Value),
    /// It has a field that is not known.
    Field(String),
}

impl fmt::Display for RequestFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => formatter
                .write_str("the request is not a JSON object like {\"version\":1,\"command\":\"status\"}"),
            Self::Version(given) => {
                write!(formatter, "version {given} is not known here: allowed is {VERSION}")
            }
            Self::Command(given) => {
                let names: Vec<_> = Command::ALL.iter().map(|command| command.name()).collect();
                write!(formatter, "{given} is not a command: allowed are {}", names.join(", "))
            }
            Self::Field(name) => {
                write!(formatter, "{name:?} is not a field of a request: allowed are version, command")
            }
        }
    }
}

/// The line of a request.
pub fn request_line(command: Command) -> String {
    line(json!({ "version": VERSION, "command": command.name() }))
}

/// Reads a request, without its line end.
///
/// # Errors
/// The fault of the request.
pub fn parse_request(line: &[u8]) -> Result<Command, RequestFault> {
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(line) else {
        return Err(RequestFault::NotAnObject);
    };
    // Before all else: another version may have other fields.
    let version = fields.remove("version").unwrap_or_default();
    if version != VERSION {
        return Err(RequestFault::Version(version));
    }
    let command = fields.remove("command").unwrap_or_default();
    if let Some(field) = fields.keys().next() {
        return Err(RequestFault::Field(field.clone()));
    }
    command.as_str().and_then(Command::named).ok_or(RequestFault::Command(command))
}

/// The line that reports progress.
pub fn progress_line(Progress { sessions, openings }: Progress) -> String {
    line(json!({ "progress": { "sessions": sessions, "openings": openings } }))
}

/// The line of a fault.
pub fn fault_line(fault: &str) -> String {
    line(json!({ "fault": fault }))
}

/// The line for a malformed or forbidden request.
pub fn error_line(message: &str) -> String {
    line(json!({ "version": VERSION, "result": "error", "message": message }))
}

/// The faults that precede a reply.
pub fn faults_of(reply: &Reply) -> &[String] {
    match reply {
        Reply::ReloadRefused { faults, .. } | Reply::TlsRefused { faults, .. } => faults,
        Reply::Status(status) => &status.catalogue.last.faults,
        Reply::Reloaded { .. }
        | Reply::NotReloaded(_)
        | Reply::Drained
        | Reply::DrainedInPart
        | Reply::DrainCut
        | Reply::NotAwaited
        | Reply::Terminated => &[],
    }
}

/// The line of a reply: the result of `command`.
pub fn result_line(command: Command, reply: &Reply) -> String {
    let (result, more) = match reply {
        Reply::Status(status) => ("done", json!({ "status": status_value(status) })),
        Reply::Reloaded { revision, apis, is_new } => {
            ("done", json!({ "revision": revision.to_string(), "apis": apis, "published": is_new }))
        }
        Reply::ReloadRefused { revision, served, faults } => (
            "refused",
            json!({
                "message": "the reload was refused; the previous catalogue stays served",
                "revision": served.to_string(),
                "refused_revision": revision.to_string(),
                "fault_count": faults.len(),
            }),
        ),
        Reply::TlsRefused { revision, is_new, faults } => (
            "refused",
            json!({
                "message": "files of TLS have faults; what was read of them before stays in use",
                "revision": revision.to_string(),
                "published": is_new,
                "fault_count": faults.len(),
            }),
        ),
        Reply::NotReloaded(why) => ("refused", json!({ "message": why })),
        Reply::Drained | Reply::Terminated => ("done", json!({})),
        Reply::DrainedInPart => {
            ("done", json!({ "message": "the time of the drain is over; openings in progress were cut" }))
        }
        Reply::DrainCut => {
            ("refused", json!({ "message": "sessions were cut: the instance was told to terminate" }))
        }
        Reply::NotAwaited => {
            ("refused", json!({ "message": "the drain goes on; too many wait for its end already" }))
        }
    };
    let mut fields = Map::new();
    fields.insert("version".to_owned(), VERSION.into());
    fields.insert("command".to_owned(), command.name().into());
    fields.insert("result".to_owned(), result.into());
    if let Value::Object(more) = more {
        fields.extend(more);
    }
    line(Value::Object(fields))
}

fn status_value(status: &Status) -> Value {
    let room = |room: Room| json!({ "taken": room.taken, "limit": room.limit });
    let catalogue = &status.catalogue;
    let last = &catalogue.last;
    json!({
        "state": status.state.name(),
        "pid": std::process::id(),
        "ringgate": env!("CARGO_PKG_VERSION"),
        "uptime_s": status.uptime_s,
        "workers": status.workers,
        "listeners": status.listeners,
        "sessions": status.sessions,
        "places": { "taken": status.places.taken, "limit": status.places.limit, "from": status.places_from },
        "openings": { "reading": room(status.reading), "pending": room(status.pending) },
        "catalogue": {
            "revision": last.served.to_string(),
            "apis": catalogue.apis,
            "published": catalogue.published,
            "refused": catalogue.refused,
            "hanging": catalogue.hanging,
            "last": {
                "at": last.at.to_string(),
                "revision": last.revision.to_string(),
                "result": if last.fault_count == 0 { "published" } else { "refused" },
                "fault_count": last.fault_count,
            },
        },
    })
}

fn line(value: Value) -> String {
    let mut text = value.to_string();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_is_written() {
        for command in Command::ALL {
            let line = request_line(command);
            assert_eq!(parse_request(line.trim_end().as_bytes()), Ok(command), "{line}");
            assert_eq!(parse_request(line.as_bytes()), Ok(command), "with its line end");
        }
    }

    #[test]
    fn what_is_no_request_is_refused_by_what_is_wrong_with_it() {
        for (line, told) in [
            ("", "not a JSON object"),
            ("status", "not a JSON object"),
            ("[]", "not a JSON object"),
            ("{} {}", "not a JSON object"),
            ("{\"version\":1,\"command\":\"status\"", "not a JSON object"),
            ("{}", "version null is not known here: allowed is 1"),
            ("{\"command\":\"status\"}", "version null is not known here"),
            ("{\"version\":2,\"command\":\"status\",\"more\":1}", "version 2 is not known here"),
            ("{\"version\":\"1\",\"command\":\"status\"}", "version \"1\" is not known here"),
            ("{\"version\":1}", "null is not a command: allowed are status, reload, drain, terminate"),
            ("{\"version\":1,\"command\":\"Drain\"}", "\"Drain\" is not a command"),
            ("{\"version\":1,\"command\":[\"drain\"]}", "[\"drain\"] is not a command"),
            ("{\"version\":1,\"command\":\"drain\",\"now\":true}", "\"now\" is not a field of a request"),
        ] {
            let fault = parse_request(line.as_bytes()).unwrap_err().to_string();
            assert!(fault.contains(told), "{line}: {fault}");
        }
        assert_eq!(parse_request(b"\xff"), Err(RequestFault::NotAnObject));
        let deep = [b"{\"version\":1,\"command\":".as_slice(), &[b'['; 4000]].concat();
        assert_eq!(parse_request(&deep), Err(RequestFault::NotAnObject));
    }

    #[test]
    fn each_line_is_one_line_whatever_a_fault_says() {
        for text in ["a\nb", "\"", "\u{0}\u{2028}"] {
            for line in [fault_line(text), error_line(text)] {
                assert_eq!((line.matches('\n').count(), line.ends_with('\n')), (1, true), "{line}");
            }
        }
    }
}
