//! Answers of an instance as text for people.

use core::fmt::Write as _;

use serde_json::Value;

use crate::control::command::Command;

/// Returns the text for a command that was carried out.
pub(super) fn done(command: Command, result: &Value) -> String {
    match command {
        Command::Status => status(&result["status"]),
        Command::Reload => {
            let (revision, apis) = (text(&result["revision"]), count(&result["apis"], "API"));
            if result["published"] == true {
                format!("published the catalogue: revision {revision}, {apis}\n")
            } else {
                format!("catalogue unchanged: still serving revision {revision}, {apis}\n")
            }
        }
        Command::Drain => match result["message"].as_str() {
            Some(message) => format!("drained: {message}\n"),
            None => "drained\n".to_owned(),
        },
        Command::Terminate => "ended\n".to_owned(),
    }
}

/// The progress of a drain.
pub(super) fn progress(line: &Value) -> String {
    let progress = &line["progress"];
    let (sessions, openings) = (&progress["sessions"], &progress["openings"]);
    format!("draining: {}, {}", count(sessions, "session"), count(openings, "opening"))
}

fn status(status: &Value) -> String {
    let mut text = String::new();
    let mut add = |line: core::fmt::Arguments<'_>| {
        writeln!(text, "{line}").expect("writing to a String does not fail");
    };
    let (version, pid, state) =
        (self::text(&status["ringgate"]), &status["pid"], self::text(&status["state"]));
    let uptime = duration(status["uptime_s"].as_u64().unwrap_or_default());
    add(format_args!("ringgate {version}, process {pid}: {state}, up for {uptime}"));
    let listeners = status["listeners"].as_array().map(Vec::as_slice).unwrap_or_default();
    let listeners: Vec<_> = listeners.iter().filter_map(Value::as_str).collect();
    add(format_args!("  {}, listening on {}", count(&status["workers"], "worker"), listeners.join(", ")));
    let places = &status["places"];
    add(format_args!(
        "  {}; {} of {} places taken ({})",
        count(&status["sessions"], "session"),
        places["taken"],
        places["limit"],
        self::text(&places["from"])
    ));
    let (reading, pending) = (&status["openings"]["reading"], &status["openings"]["pending"]);
    add(format_args!(
        "  openings: {} of {} read a head, {} of {} wait for a backend",
        reading["taken"], reading["limit"], pending["taken"], pending["limit"]
    ));
    let catalogue = &status["catalogue"];
    add(format_args!(
        "  catalogue: revision {}, {}; {} published, {} refused",
        self::text(&catalogue["revision"]),
        count(&catalogue["apis"], "API"),
        catalogue["published"],
        catalogue["refused"]
    ));
    let hanging = catalogue["hanging"].as_array().map(Vec::as_slice).unwrap_or_default();
    for path in hanging {
        add(format_args!("  {} does not answer: it cannot be looked at", self::text(path)));
    }
    let last = &catalogue["last"];
    let (revision, at) = (self::text(&last["revision"]), self::text(&last["at"]));
    if last["result"] == "refused" {
        let faults = count(&last["fault_count"], "fault");
        add(format_args!("  last change: revision {revision} was refused {at} for {faults}:"));
    } else {
        add(format_args!("  last change: revision {revision} was published {at}"));
    }
    text
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn count(value: &Value, noun: &str) -> String {
    let number = value.as_u64().unwrap_or_default();
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, _, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_its_two_largest_units() {
        for (seconds, told) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min 0 s"),
            (3599, "59 min 59 s"),
            (3600, "1 h 0 min"),
            (86_399, "23 h 59 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(seconds), told);
        }
    }

    #[test]
    fn an_answer_of_another_make_is_told_without_a_panic() {
        for command in Command::ALL {
            assert!(done(command, &Value::Null).ends_with('\n'));
        }
        assert_eq!(progress(&Value::Null), "draining: 0 sessions, 0 openings");
    }
}
