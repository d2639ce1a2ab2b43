//! The tables of the code that a reader may look things up in: `tests/golden/termination.txt` has every cause,
//! `tests/golden/upstream_faults.txt` every failure towards a backend.

use ringgate::backend::names::ResolveFault;
use ringgate::front::upstream_fault::{UpstreamFault, WhatFailed};
use ringgate::http1::AnswerFault;
use ringgate::session::Leg;
use ringgate::session::attribution::OpeningError;
use ringgate::session::termination::{Answer, Cause, Farewell, Phase};
use ringgate::tls::endpoint::EndpointFault;
use ringgate::tls::handshake::HandshakeFault;
use ringgate::websocket::close::CloseCode;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::net::Ipv4Addr;

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
        Farewell::Close(code) => close(cause, code),
        Farewell::LastClose(code) => format!("{} if at a boundary, else a plain end", close(cause, code)),
        Farewell::AsItCame => "the Close as it came".to_owned(),
        Farewell::PlainEnd => "a plain end".to_owned(),
        Farewell::BareFin => "a bare FIN".to_owned(),
        Farewell::Alert => "a TLS alert".to_owned(),
        Farewell::Reset => "a reset".to_owned(),
        Farewell::Nothing => "–".to_owned(),
    }
}

fn close(cause: Cause, code: CloseCode) -> String {
    format!("Close {} \"{}\"", code.number(), cause.close_reason(code))
}

#[test]
fn every_cause_has_the_outcomes_that_the_table_shows() {
    let mut table = String::from(
        "What a cause comes to: the answer before the 101, and what each leg is told after it, by who caused it.\n",
    );
    for cause in Cause::ALL {
        let mut row = format!("\n{}\n  before the 101: {}\n", cause.name(), answer(cause));
        let phases: Vec<_> = cause.phases().iter().map(|phase| phase.name()).collect();
        writeln!(row, "  in the phases : {}", phases.join(" ")).expect("a string takes all");
        if let Some(OpeningError { by, source, reason, unanswered }) = cause.opening_error() {
            let message = unanswered.map(|message| format!(", {message:?}")).unwrap_or_default();
            writeln!(row, "  in the log    : ended by {}; {}, {reason}{message}", by.name(), source.name())
                .expect("a string takes all");
        }
        if cause.phases().contains(&Phase::Relay) {
            let is = if cause.is_failure() { "a failure" } else { "no failure" };
            writeln!(row, "  of a session  : {is}").expect("a string takes all");
        }
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
    crate::golden::assert_golden("termination.txt", &table);
}

#[test]
fn a_cause_occurs_before_the_101_exactly_where_it_has_an_answer_there() {
    for cause in Cause::ALL {
        let is_before = cause.phases().iter().any(|phase| *phase != Phase::Relay);
        assert_eq!(is_before, cause.answer() != Answer::NotBefore, "{}", cause.name());
    }
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
                if let Farewell::Close(code) | Farewell::LastClose(code) = cause.farewell(leg, by) {
                    assert!((1000..=1011).contains(&code.number()), "{}", cause.name());
                    assert!(cause.close_reason(code).len() <= 24, "{}", cause.name());
                }
            }
        }
    }
}

#[test]
fn a_client_is_told_1011_for_its_backends_faults_of_framing_and_for_nothing_else() {
    for cause in Cause::ALL {
        let is_of_framing = matches!(cause, Cause::FrameFault | Cause::FrameTooBig | Cause::MessageTooBig);
        let told = cause.farewell(Leg::Downstream, Some(Leg::Upstream));
        assert_eq!(told == Farewell::Close(CloseCode::InternalError), is_of_framing, "{}", cause.name());
        for by in [None, Some(Leg::Downstream), Some(Leg::Upstream)] {
            let told = cause.farewell(Leg::Upstream, by);
            assert_ne!(told, Farewell::Close(CloseCode::InternalError), "{}", cause.name());
        }
    }
}

#[test]
fn what_ends_without_a_close_ends_the_other_leg_without_one() {
    for (cause, told) in [
        (Cause::Ended, Farewell::PlainEnd),
        (Cause::Truncated, Farewell::BareFin),
        (Cause::RecordFault, Farewell::BareFin),
        (Cause::Reset, Farewell::Reset),
        (Cause::SlowReader, Farewell::PlainEnd),
    ] {
        for by in Leg::BOTH {
            assert_eq!(cause.farewell(by.other(), Some(by)), told, "{}", cause.name());
        }
    }
}

/// The name of a fault. A new one is a new line here, and has a row in the table for that.
fn name(what: &WhatFailed) -> &'static str {
    match what {
        WhatFailed::NameNotResolved(_) => "NameNotResolved",
        WhatFailed::NameLate => "NameLate",
        WhatFailed::HasNoAddress => "HasNoAddress",
        WhatFailed::Refused => "Refused",
        WhatFailed::Reset => "Reset",
        WhatFailed::Unreachable(_) => "Unreachable",
        WhatFailed::NotConnected(_) => "NotConnected",
        WhatFailed::ConnectLate => "ConnectLate",
        WhatFailed::NoLocalPort => "NoLocalPort",
        WhatFailed::SourceNotOfHost(_) => "SourceNotOfHost",
        WhatFailed::NoResources(_) => "NoResources",
        WhatFailed::TlsNotConfigured => "TlsNotConfigured",
        WhatFailed::TlsFailed(_) => "TlsFailed",
        WhatFailed::TlsBrokenOff(_) => "TlsBrokenOff",
        WhatFailed::TlsPlainHttp => "TlsPlainHttp",
        WhatFailed::TlsLate => "TlsLate",
        WhatFailed::RequestNotTaken(_) => "RequestNotTaken",
        WhatFailed::Silent => "Silent",
        WhatFailed::AnswerBrokenOff(_) => "AnswerBrokenOff",
        WhatFailed::TooManyInterims => "TooManyInterims",
        WhatFailed::AnswerFaulty(_) => "AnswerFaulty",
    }
}

/// How many names [`name`] has.
const FAULTS: usize = 21;

/// Each fault, some with more than one reason.
fn every_fault() -> Vec<WhatFailed> {
    let error = io::Error::from_raw_os_error;
    let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
    vec![
        WhatFailed::NameNotResolved(ResolveFault::LookupFailed {
            name: "chat.example".into(),
            cause: io::Error::other("Name or service not known").into(),
        }),
        WhatFailed::NameNotResolved(ResolveFault::HasNoAddress { name: "chat.example".into() }),
        WhatFailed::NameNotResolved(ResolveFault::IsBusy),
        WhatFailed::NameNotResolved(ResolveFault::HasStopped),
        WhatFailed::NameLate,
        WhatFailed::HasNoAddress,
        WhatFailed::Refused,
        WhatFailed::Reset,
        WhatFailed::Unreachable(error(libc::EHOSTUNREACH)),
        WhatFailed::NotConnected(error(libc::EACCES)),
        WhatFailed::ConnectLate,
        WhatFailed::NoLocalPort,
        WhatFailed::SourceNotOfHost(Ipv4Addr::new(192, 0, 2, 1).into()),
        WhatFailed::NoResources(error(libc::EMFILE)),
        WhatFailed::TlsNotConfigured,
        WhatFailed::TlsFailed(EndpointFault::Handshake(HandshakeFault::Refused(expired))),
        WhatFailed::TlsFailed(EndpointFault::Alerted(40)),
        WhatFailed::TlsBrokenOff(None),
        WhatFailed::TlsBrokenOff(Some(error(libc::ECONNRESET))),
        WhatFailed::TlsPlainHttp,
        WhatFailed::TlsLate,
        WhatFailed::RequestNotTaken(error(libc::EPIPE)),
        WhatFailed::Silent,
        WhatFailed::AnswerBrokenOff(None),
        WhatFailed::AnswerBrokenOff(Some(error(libc::ECONNRESET))),
        WhatFailed::TooManyInterims,
        WhatFailed::AnswerFaulty(AnswerFault::AcceptWrong),
    ]
}

#[test]
fn every_fault_of_a_backend_has_the_outcomes_that_the_table_shows() {
    let mut table = String::from(
        "What a failure towards a backend comes to: the client's answer and the cause that is counted, context.LastError, \
         and the line of the log.\n",
    );
    let mut names = BTreeSet::new();
    for what in every_fault() {
        names.insert(name(&what));
        let (name, error, check) = (name(&what), what.to_string(), what.failed_check());
        let fault = UpstreamFault { address: None, what };
        let status = match fault.consequence().cause.answer() {
            Answer::Status(status) => status,
            Answer::OfTheBackend => 502,
            other @ (Answer::OfTheRule | Answer::Nothing | Answer::NotBefore) => panic!("{name}: {other:?}"),
        };
        add_row(&mut table, name, &fault, status, &error, check);
    }
    assert_eq!(names.len(), FAULTS, "a fault without a row: {names:?}");
    crate::golden::assert_golden("upstream_faults.txt", &table);
}

fn add_row(
    table: &mut String,
    name: &str,
    fault: &UpstreamFault,
    status: u16,
    error: &str,
    check: Option<&str>,
) {
    let consequence = fault.consequence();
    let failure = fault.failure(status);
    let retry = if consequence.cause.may_be_retried() { " with Retry-After" } else { "" };
    let check = check.map(|check| format!(" check={check:?}")).unwrap_or_default();
    writeln!(
        table,
        "\n{name}\n  answer   : {status}{retry} {told:?}, counted as {cause}\n  LastError: {source}, {reason}, {message:?}\n  log      : {level} {logged}{check} error={error}",
        told = consequence.told,
        cause = consequence.cause.name(),
        source = failure.source.unwrap_or_default(),
        reason = failure.reason,
        message = failure.message,
        level = consequence.level,
        logged = consequence.logged,
    )
    .expect("a string takes all");
}
