//! The termination table as the code has it, in `tests/golden/termination.txt`.

use ringgate::session::Leg;
use ringgate::session::termination::{Answer, Cause, Farewell, Phase};
use std::fmt::Write as _;

#[path = "support/golden.rs"]
mod golden;

fn answer(cause: Cause) -> String {
    let answer = match cause.answer() {
        Answer::Status(status) => status.to_string(),
        Answer::OfTheRule => "4xx as the rule says".to_owned(),
        Answer::OfTheBackend => "the backend's own status, or 502".to_owned(),
        Answer::Nothing => "nothing".to_owned(),
        Answer::NotBefore => "does not occur".to_owned(),
    };
    if cause.may_be_retried() { format!("{answer} with Retry-After") } else { answer }
}

fn farewell(cause: Cause, leg: Leg, by: Option<Leg>) -> String {
    match cause.farewell(leg, by) {
        Farewell::Close(code) => format!("Close {} \"{}\"", code.number(), cause.close_reason(code)),
        Farewell::AsItCame => "the Close as it came".to_owned(),
        Farewell::Reset => "a reset".to_owned(),
        Farewell::Nothing => "–".to_owned(),
    }
}

#[test]
fn every_cause_has_the_outcomes_that_the_table_shows() {
    let mut table = String::from(
        "What a cause comes to: the answer before the 101, and what each leg is told after it, by who caused it.\n",
    );
    for cause in Cause::ALL {
        let mut row = format!("\n{}\n  before the 101: {}\n", cause.name(), answer(cause));
        for (who, by) in [
            ("by downstream", Some(Leg::Downstream)),
            ("by upstream", Some(Leg::Upstream)),
            ("by ringgate", None),
        ] {
            let told = Leg::BOTH.map(|leg| farewell(cause, leg, by));
            writeln!(row, "  {who:13}: downstream {}, upstream {}", told[0], told[1])
                .expect("a string takes all");
        }
        table.push_str(&row);
    }
    let phases = Phase::ALL.map(Phase::name).join(" ");
    writeln!(table, "\nphases: {phases}").expect("a string takes all");
    golden::assert_golden("termination.txt", &table);
}

#[test]
fn a_cause_that_is_answered_before_the_101_with_503_or_429_may_be_retried() {
    for cause in Cause::ALL {
        let is_shed = matches!(cause.answer(), Answer::Status(503 | 429));
        assert_eq!(cause.may_be_retried(), is_shed, "{}", cause.name());
    }
}

#[test]
fn no_close_of_ringgate_has_a_code_that_clients_reject_or_a_reason_that_is_cut() {
    for cause in Cause::ALL {
        for leg in Leg::BOTH {
            for by in [None, Some(Leg::Downstream), Some(Leg::Upstream)] {
                if let Farewell::Close(code) = cause.farewell(leg, by) {
                    assert!((1000..=1011).contains(&code.number()), "{}", cause.name());
                    assert!(cause.close_reason(code).len() <= 24, "{}", cause.name());
                }
            }
        }
    }
}
