//! A line for each session that has ended and each opening that was refused, for people who read logs by eye.
//!
//! ```text
//! 2026-11-30T14:00:12.345Z 192.0.2.7 chat /chat/room 1000 closed 12.3s messages 3/4 bytes 120/88 id=0f3c…
//! 2026-11-30T14:00:12.345Z 192.0.2.7 - /nowhere 404 no_api 0.4ms id=1a2b…
//! ```
//!
//! Time of the end, client, API, path, close code of the client (or of the backend, if only that one closed) or status of the answer,
//! cause, duration; of a session the messages and bytes from the client and from the backend.
//!
//! Not here: where lines go (`lines`).

use crate::observe::tables::{ConnectionRow, GatewayRow, Ticks};
use crate::telemetry::calendar::datetime_text;
use crate::telemetry::open_sessions::OpenSessions;
use crate::telemetry::sink::LogRow;
use std::fmt::Write as _;

/// Most open sessions whose paths are kept for their lines. Beyond it, those that were opened first have `-` for the path: their ends
/// may have come already, in rows that were dropped. About 250 bytes each, and their paths.
const PATHS_MAX: usize = 65_536;

/// What stands for text that is missing.
const NONE: &str = "-";

/// Makes the lines.
#[derive(Debug)]
pub struct AccessLines {
    /// Paths of open sessions, by correlation id.
    paths: OpenSessions<String, String>,
}

impl Default for AccessLines {
    fn default() -> Self {
        Self { paths: OpenSessions::new(PATHS_MAX) }
    }
}

impl AccessLines {
    /// Appends the line of a row, if it is one that has a line.
    pub fn push(&mut self, text: &mut String, row: &LogRow) {
        match row {
            LogRow::Gateway(row) if row.response_code == Some(101) => self.keep_path(row),
            LogRow::Gateway(row) => push_refused(text, row),
            LogRow::Connection(row) if row.event_name.as_str() == "terminated" => self.push_ended(text, row),
            LogRow::Connection(_) | LogRow::Usage(_) => {}
        }
    }

    fn keep_path(&mut self, row: &GatewayRow) {
        let path = path_of(row.url.as_str()).to_owned();
        self.paths.keep(row.correlation_id.as_str().to_owned(), 1, path);
    }

    fn push_ended(&mut self, text: &mut String, row: &ConnectionRow) {
        let path = self.paths.take(row.correlation_id.as_str());
        // The opening's own row has told of one that never became a session.
        if path.is_none() && row.phase.as_str() != "relay" {
            return;
        }
        let code = row.client_close_code.or(row.backend_close_code);
        let number = |number: Option<i64>| number.unwrap_or(0);
        let duration = number(row.duration_ms) as f64 / 1000.0;
        let _ = writeln!(
            text,
            "{} {} {} {} {} {} {} messages {}/{} bytes {}/{} id={}",
            time(row.time_generated),
            shown(row.client_ip_address.as_str()),
            shown(row.api_id.as_str()),
            shown(path.as_deref().unwrap_or_default()),
            code.map_or_else(|| NONE.to_owned(), |code| code.to_string()),
            shown(row.cause.as_str()),
            seconds(duration),
            number(row.messages_from_client),
            number(row.messages_from_backend),
            number(row.bytes_from_client),
            number(row.bytes_from_backend),
            row.correlation_id.as_str(),
        );
    }
}

fn push_refused(text: &mut String, row: &GatewayRow) {
    let client = if row.client_ip_address.as_str().is_empty() {
        &row.caller_ip_address
    } else {
        &row.client_ip_address
    };
    let micros = row.total_time_us.or(row.total_time.map(|ms| ms * 1000)).unwrap_or(0);
    let _ = writeln!(
        text,
        "{} {} {} {} {} {} {} id={}",
        time(Ticks(row.time_generated.0 + micros * 10)),
        shown(client.as_str()),
        shown(row.api_id.as_str()),
        shown(path_of(row.url.as_str())),
        row.response_code.map_or_else(|| NONE.to_owned(), |code| code.to_string()),
        shown(row.cause.as_str()),
        seconds(micros as f64 / 1_000_000.0),
        row.correlation_id.as_str(),
    );
}

/// The time with milliseconds.
fn time(ticks: Ticks) -> String {
    let mut text = datetime_text(ticks.0);
    text.truncate("2026-11-30T14:00:12.345".len());
    text + "Z"
}

fn seconds(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.1}ms", seconds * 1000.0) } else { format!("{seconds:.1}s") }
}

/// The path and query of a URL, or the whole text if it is none.
fn path_of(url: &str) -> &str {
    let behind_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    match behind_scheme.find('/') {
        Some(start) => &behind_scheme[start..],
        None => behind_scheme,
    }
}

/// The text as one word that no terminal takes for a command.
fn shown(text: &str) -> String {
    if text.is_empty() {
        return NONE.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len()), |mut shown, char| {
        if char.is_control() || char == ' ' {
            let _ = write!(shown, "{}", char.escape_unicode());
        } else {
            shown.push(char);
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: u64 = 1_796_047_212_345_678_900;

    fn opened(id: &'static str) -> LogRow {
        GatewayRow {
            time_generated: Ticks::from_unix_ns(AT),
            correlation_id: id.into(),
            api_id: "chat".into(),
            url: "wss://gateway.example/chat/room?x=***".into(),
            response_code: Some(101),
            ..GatewayRow::default()
        }
        .into()
    }

    fn ended(id: &'static str) -> LogRow {
        ConnectionRow {
            time_generated: Ticks::from_unix_ns(AT),
            correlation_id: id.into(),
            event_name: "terminated".into(),
            client_ip_address: "192.0.2.7".into(),
            api_id: "chat".into(),
            cause: "closed".into(),
            phase: "relay".into(),
            client_close_code: Some(1000),
            duration_ms: Some(12_340),
            messages_from_client: Some(3),
            messages_from_backend: Some(4),
            bytes_from_client: Some(120),
            bytes_from_backend: Some(88),
            ..ConnectionRow::default()
        }
        .into()
    }

    fn lines(rows: &[LogRow]) -> String {
        let (mut lines, mut text) = (AccessLines::default(), String::new());
        rows.iter().for_each(|row| lines.push(&mut text, row));
        assert!(lines.paths.is_empty());
        text
    }

    #[test]
    fn a_session_has_one_line_at_its_end() {
        assert_eq!(
            lines(&[opened("0f3c"), ended("0f3c")]),
            "2026-11-30T14:00:12.345Z 192.0.2.7 chat /chat/room?x=*** 1000 closed 12.3s messages 3/4 bytes 120/88 id=0f3c\n"
        );
    }

    #[test]
    fn a_refused_opening_has_one_line_and_its_termination_none() {
        let refused = GatewayRow {
            time_generated: Ticks::from_unix_ns(AT),
            correlation_id: "1a2b".into(),
            caller_ip_address: "192.0.2.8".into(),
            url: "ws://gateway.example/no\u{1b}[31mwhere".into(),
            response_code: Some(404),
            cause: "no_api".into(),
            total_time_us: Some(400),
            ..GatewayRow::default()
        };
        let terminated = ConnectionRow {
            correlation_id: "1a2b".into(),
            event_name: "terminated".into(),
            phase: "head".into(),
            ..ConnectionRow::default()
        };
        assert_eq!(
            lines(&[refused.into(), terminated.into()]),
            "2026-11-30T14:00:12.346Z 192.0.2.8 - /no\\u{1b}[31mwhere 404 no_api 0.4ms id=1a2b\n"
        );
    }

    #[test]
    fn beyond_the_paths_that_are_kept_the_oldest_is_forgotten_and_its_session_still_has_its_line() {
        let (mut lines, mut text) = (AccessLines::default(), String::new());
        lines.push(&mut text, &opened("first"));
        // Sessions whose ends were dropped.
        for index in 1..PATHS_MAX {
            let LogRow::Gateway(row) = opened("") else { panic!("a gateway's") };
            lines.push(
                &mut text,
                &GatewayRow { correlation_id: index.to_string().into(), ..(*row).clone() }.into(),
            );
        }
        lines.push(&mut text, &opened("last"));
        assert_eq!(lines.paths.len(), PATHS_MAX);
        lines.push(&mut text, &ended("first"));
        lines.push(&mut text, &ended("last"));
        let shown: Vec<_> = text.lines().map(|line| line.split(' ').nth(3).unwrap()).collect();
        assert_eq!(shown, ["-", "/chat/room?x=***"]);
        assert_eq!(lines.paths.len(), PATHS_MAX - 1);
    }
}
