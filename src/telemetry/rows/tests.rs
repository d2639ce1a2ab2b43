//! The rows of every cause in every phase in which it occurs, made of events: a cause that is added has its rows here at once.

use super::*;
use crate::compiled::access::SubscriptionKeyFault;
use crate::golden::text::assert_golden;
use crate::observe::events::{Told, opening_of_tests};
use crate::observe::record::record_of_api;
use crate::session::Termination;
use crate::session::termination::Answer;

fn maker() -> RowMaker {
    RowMaker::new("edge", &["127.0.0.1:80".parse().unwrap()], Arc::default())
}

/// A row in a line: what it says of an end.
fn shown(row: &LogRow) -> String {
    match row {
        LogRow::Gateway(row) => {
            let status = row.response_code.map_or("-".to_owned(), |status| status.to_string());
            let [category, source, reason, message, section, cause, phase] = [
                &row.category,
                &row.last_error_source,
                &row.last_error_reason,
                &row.last_error_message,
                &row.last_error_section,
                &row.cause,
                &row.phase,
            ]
            .map(Text::as_str);
            format!(
                "gateway: {status} {category}; {source}, {reason}, {section}, {message:?}; {cause} in {phase}"
            )
        }
        LogRow::Connection(row) => {
            let [event, source, destination, error, cause, phase, ended_by] = [
                &row.event_name,
                &row.source,
                &row.destination,
                &row.error,
                &row.cause,
                &row.phase,
                &row.ended_by,
            ]
            .map(Text::as_str);
            format!("{event}: {source} to {destination}; {error:?}; {cause} in {phase}, ended by {ended_by}")
        }
        LogRow::Usage(row) => format!("{row:?}"),
    }
}

fn opening_rows(cause: Cause, phase: Phase) -> Vec<LogRow> {
    let status = match cause.answer() {
        Answer::Status(status) => Some(status),
        Answer::OfTheRule => Some(400),
        Answer::OfTheBackend => Some(502),
        Answer::Nothing | Answer::NotBefore => None,
    };
    let failure = if cause == Cause::Key {
        Some(OpeningFailure::Key(SubscriptionKeyFault::Missing))
    } else {
        status.map(|_| OpeningFailure::Refused("what the client was told".to_owned()))
    };
    let told = status.map(|status| Told { status, bytes: 1 });
    let event = OpeningEnded { told, failure, ..opening_of_tests(Some((cause, phase))) };
    let mut rows = Vec::new();
    maker().push_opening(0, &event, &mut rows);
    rows
}

fn session_rows(cause: Cause, by: Option<Leg>) -> Vec<LogRow> {
    let event = RelayEvent::Terminated(SessionTerminated {
        at_ns: 1_800_000_000_000_000_000,
        record: record_of_api("chat"),
        termination: Termination { cause, phase: Phase::Relay, by, close_code: None },
        is_at_once: true,
        carried: Carried::default(),
        closes: [None, None],
    });
    let mut rows = Vec::new();
    maker().push_session(0, &event, &mut rows);
    rows
}

#[test]
fn every_cause_has_the_rows_that_the_golden_file_shows() {
    let mut text =
        String::from("The rows of every cause, as they are made of an event: what they say of the end.\n");
    for cause in Cause::ALL {
        for phase in cause.phases() {
            let of_openings = [("", None)];
            let of_sessions = [
                (" by the client", Some(Leg::Downstream)),
                (" by the backend", Some(Leg::Upstream)),
                (" by ringgate", None),
            ];
            let ways: &[_] = if *phase == Phase::Relay { &of_sessions } else { &of_openings };
            for (who, by) in ways {
                let rows = if *phase == Phase::Relay {
                    session_rows(cause, *by)
                } else {
                    opening_rows(cause, *phase)
                };
                let _ = writeln!(text, "\n{} in {}{who}", cause.name(), phase.name());
                rows.iter().for_each(|row| {
                    let _ = writeln!(text, "  {}", shown(row));
                });
            }
        }
    }
    assert_golden("log-causes.txt", &text);
}

#[test]
fn a_query_shows_the_values_that_the_apis_diagnostics_name_and_none_without_an_api() {
    let api = "display_name = \"A\"\nurl = \"ws://h\"\nsuffix = \"a\"\ndiagnostics = { query_names = [\"token\"] }\n";
    let api = Arc::new(crate::catalog::parse_api("apis/a.toml", "a", api).unwrap());
    let instance = Diagnostics { query_names: Some(vec!["token".into()]), ..Diagnostics::default() };
    let maker = RowMaker::new("", &[], Arc::new(instance));
    for (api, expected) in [(None, "token=***"), (Some(api), "token=t0ken")] {
        let mut rows = Vec::new();
        maker.push_opening(0, &OpeningEnded { api, ..opening_of_tests(None) }, &mut rows);
        let LogRow::Gateway(row) = &rows[0] else { panic!("{rows:?}") };
        assert!(row.url.as_str().ends_with(expected), "{:?}", row.url);
    }
}
