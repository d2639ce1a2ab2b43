//! The transition table of a direction (an intake and the outlet that it feeds), for every event in every state:
//! `tests/golden/directions.txt`.
//!
//! A test reaches each state the way a session does: by actions of its legs.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::driver::{OPAQUE, STRICT, close, frame};
use crate::session::life::{Ending, Gone, Intake, Outlet, Session};
use crate::session::{BrokenInvariant, Cause, Effects, Leg, Moment};
use std::fmt;

/// One direction of a session that is in the middle of something.
#[derive(Clone)]
struct Direction {
    session: Session,
    source: Leg,
    /// The rest of the frame that the source is sending.
    rest: Vec<u8>,
}

/// How a session comes to a state.
#[derive(Clone, Copy)]
struct State {
    what: &'static str,
    come_to: fn(&mut Direction),
    intake: Intake,
    /// Without its code and cause.
    outlet: &'static str,
}

/// An event of the table.
#[derive(Clone, Copy)]
struct Event {
    what: &'static str,
    happen: fn(&mut Direction) -> Result<(), BrokenInvariant>,
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} -> {}: {}", self.intake, self.outlet, self.what)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.what)
    }
}

const NOW: Moment = Moment::ZERO;

impl Direction {
    fn new(source: Leg, is_wrapped: bool) -> Self {
        let session = Session::new(STRICT, [1; 4], NOW).with_records([is_wrapped; 2]);
        Self { session, source, rest: Vec::new() }
    }

    fn target(&self) -> Leg {
        self.source.other()
    }

    fn says(&mut self, leg: Leg, bytes: &[u8]) -> Result<(), BrokenInvariant> {
        let mut whole = if leg == self.source { std::mem::take(&mut self.rest) } else { Vec::new() };
        whole.extend_from_slice(bytes);
        self.session.handle_bytes(leg, &whole, NOW, &mut Effects::new())
    }

    fn is_gone(&mut self, leg: Leg, how: Gone) {
        self.session.handle_gone(leg, how, NOW, &mut Effects::new());
    }

    /// Half a message of the source, all of which is sent.
    fn begin_message(&mut self) {
        let message = frame(self.source, 0x82, b"abcdef");
        let (begin, rest) = message.split_at(message.len() - 2);
        self.says(self.source, begin).unwrap();
        self.rest = rest.to_vec();
        self.take_all().unwrap();
    }

    /// The target takes all that it is owed.
    fn take_all(&mut self) -> Result<(), BrokenInvariant> {
        let owed = self.session.legs[self.target() as usize].owed_bytes;
        let mut effects = Effects::new();
        if owed > 0 { self.session.handle_sent(self.target(), owed, NOW, &mut effects) } else { Ok(()) }
    }

    /// Its state, as the golden file has it.
    fn shown(&self) -> String {
        let intake = self.session.legs[self.source as usize].intake;
        let outlet = outlet_name(self.session.legs[self.target() as usize].outlet);
        let over = if self.session.is_over() { ", and the session is over" } else { "" };
        format!("{intake:?} -> {outlet}{over}")
    }
}

/// An outlet without its code and cause. A new one does not compile before it has a name here.
fn outlet_name(outlet: Outlet) -> &'static str {
    match outlet {
        Outlet::Open => "Open",
        Outlet::ClosingAt { .. } => "ClosingAt",
        Outlet::Closed => "Closed",
        Outlet::Finishing(Ending::Plain) => "Finishing(Plain)",
        Outlet::Finishing(Ending::Bare) => "Finishing(Bare)",
        Outlet::Saying => "Saying",
        Outlet::Shut => "Shut",
    }
}

const OUTLETS: [&str; 7] =
    ["Open", "ClosingAt", "Closed", "Finishing(Plain)", "Finishing(Bare)", "Saying", "Shut"];

/// All intakes. A new one does not compile before it has a place here.
const INTAKES: [Intake; 4] = {
    match Intake::Relayed {
        Intake::Relayed | Intake::Dropped | Intake::Ignored | Intake::Over => {}
    }
    [Intake::Relayed, Intake::Dropped, Intake::Ignored, Intake::Over]
};

const fn state(
    what: &'static str,
    intake: Intake,
    outlet: &'static str,
    come_to: fn(&mut Direction),
) -> State {
    State { what, come_to, intake, outlet }
}

/// The source says something whole, which the target has not taken.
fn owe(direction: &mut Direction) {
    let message = frame(direction.source, 0x82, b"abc");
    direction.says(direction.source, &message).unwrap();
}

const STATES: [State; 19] = [
    state("at a boundary", Intake::Relayed, "Open", |_| {}),
    state("within a frame", Intake::Relayed, "Open", Direction::begin_message),
    state("ringgate ends it within a frame", Intake::Relayed, "ClosingAt", |direction| {
        direction.begin_message();
        direction.session.end_by_ringgate(Cause::Drain, NOW, &mut Effects::new());
    }),
    state("ringgate ends it", Intake::Dropped, "Closed", |direction| {
        direction.session.end_by_ringgate(Cause::Drain, NOW, &mut Effects::new());
    }),
    state("the target takes too little", Intake::Dropped, "Shut", |direction| {
        direction.session.end_slow_reader(direction.target(), NOW, &mut Effects::new());
    }),
    state("ringgate ends it, and the target ends", Intake::Dropped, "Finishing(Plain)", |direction| {
        direction.session.end_by_ringgate(Cause::Drain, NOW, &mut Effects::new());
        direction.is_gone(direction.target(), Gone::Finished);
    }),
    state(
        "ringgate ends it, and the target, which has records, ends",
        Intake::Dropped,
        "Saying",
        |direction| {
            *direction = Direction::new(direction.source, true);
            direction.session.end_by_ringgate(Cause::Drain, NOW, &mut Effects::new());
            direction.is_gone(direction.target(), Gone::Finished);
            direction.take_all().unwrap();
        },
    ),
    state(
        "the same, and the end of its records is queued",
        Intake::Dropped,
        "Finishing(Bare)",
        |direction| {
            *direction = Direction::new(direction.source, true);
            direction.session.end_by_ringgate(Cause::Drain, NOW, &mut Effects::new());
            direction.is_gone(direction.target(), Gone::Finished);
            direction.take_all().unwrap();
            direction.session.handle_end_said(direction.target(), 24);
        },
    ),
    state("ringgate ends an opaque session", Intake::Ignored, "Shut", |direction| {
        direction.session = Session::new(OPAQUE, [1; 4], NOW);
        direction.session.end_by_ringgate(Cause::Drain, NOW, &mut Effects::new());
    }),
    state(
        "ringgate ends an opaque session, the target has records",
        Intake::Ignored,
        "Saying",
        |direction| {
            direction.session = Session::new(OPAQUE, [1; 4], NOW).with_records([true; 2]);
            direction.session.end_by_ringgate(Cause::Drain, NOW, &mut Effects::new());
        },
    ),
    state(
        "the same, and the end of its records is queued",
        Intake::Ignored,
        "Finishing(Bare)",
        |direction| {
            direction.session = Session::new(OPAQUE, [1; 4], NOW).with_records([true; 2]);
            direction.session.end_by_ringgate(Cause::Drain, NOW, &mut Effects::new());
            direction.session.handle_end_said(direction.target(), 24);
        },
    ),
    state("ringgate ends it, and the source ends", Intake::Over, "Closed", |direction| {
        direction.session.end_by_ringgate(Cause::Drain, NOW, &mut Effects::new());
        direction.is_gone(direction.source, Gone::Finished);
    }),
    state("the source has closed", Intake::Ignored, "Closed", |direction| {
        let close = close(direction.source, 1000, "");
        direction.says(direction.source, &close).unwrap();
    }),
    state(
        "ringgate ends an opaque session, the target is owed something",
        Intake::Ignored,
        "Finishing(Plain)",
        |direction| {
            direction.session = Session::new(OPAQUE, [1; 4], NOW);
            owe(direction);
            direction.session.end_by_ringgate(Cause::Drain, NOW, &mut Effects::new());
        },
    ),
    state(
        "the source has ended, the target is owed something",
        Intake::Over,
        "Finishing(Plain)",
        |direction| {
            owe(direction);
            direction.is_gone(direction.source, Gone::Finished);
        },
    ),
    state("the source was cut, the target is owed something", Intake::Over, "Finishing(Bare)", |direction| {
        owe(direction);
        direction.is_gone(direction.source, Gone::Truncated);
    }),
    state("the source has ended, the target has records", Intake::Over, "Saying", |direction| {
        *direction = Direction::new(direction.source, true);
        direction.is_gone(direction.source, Gone::Finished);
    }),
    state("the end of the target's records is queued", Intake::Over, "Finishing(Bare)", |direction| {
        *direction = Direction::new(direction.source, true);
        direction.is_gone(direction.source, Gone::Finished);
        direction.session.handle_end_said(direction.target(), 24);
    }),
    state("the source has ended, the target is owed nothing", Intake::Over, "Shut", |direction| {
        direction.is_gone(direction.source, Gone::Finished);
    }),
];

const fn event(what: &'static str, happen: fn(&mut Direction) -> Result<(), BrokenInvariant>) -> Event {
    Event { what, happen }
}

const EVENTS: [Event; 21] = [
    event("source sends", |direction| {
        let message = frame(direction.source, 0x82, b"abc");
        direction.says(direction.source, &message)
    }),
    event("source closes", |direction| {
        let close = close(direction.source, 1000, "");
        direction.says(direction.source, &close)
    }),
    event("source breaks framing", |direction| direction.says(direction.source, &[0xff; 14])),
    event("source ends", |direction| {
        direction.is_gone(direction.source, Gone::Finished);
        Ok(())
    }),
    event("source is cut", |direction| {
        direction.is_gone(direction.source, Gone::Truncated);
        Ok(())
    }),
    event("source resets", |direction| {
        direction.is_gone(direction.source, Gone::Reset);
        Ok(())
    }),
    event("source is dead", |direction| {
        direction.is_gone(direction.source, Gone::Dead);
        Ok(())
    }),
    event("source breaks records", |direction| {
        direction.session.handle_record_fault(direction.source, NOW, &mut Effects::new());
        Ok(())
    }),
    event("source takes too little", |direction| {
        direction.session.end_slow_reader(direction.source, NOW, &mut Effects::new());
        Ok(())
    }),
    event("target closes", |direction| {
        let close = close(direction.target(), 1000, "");
        direction.says(direction.target(), &close)
    }),
    event("target breaks framing", |direction| direction.says(direction.target(), &[0xff; 14])),
    event("target ends", |direction| {
        direction.is_gone(direction.target(), Gone::Finished);
        Ok(())
    }),
    event("target is cut", |direction| {
        direction.is_gone(direction.target(), Gone::Truncated);
        Ok(())
    }),
    event("target resets", |direction| {
        direction.is_gone(direction.target(), Gone::Reset);
        Ok(())
    }),
    event("target stalls", |direction| {
        direction.is_gone(direction.target(), Gone::Stalled);
        Ok(())
    }),
    event("target breaks records", |direction| {
        direction.session.handle_record_fault(direction.target(), NOW, &mut Effects::new());
        Ok(())
    }),
    event("target takes too little", |direction| {
        direction.session.end_slow_reader(direction.target(), NOW, &mut Effects::new());
        Ok(())
    }),
    event("target takes all", Direction::take_all),
    event("target's end is queued", |direction| {
        // As a relay does: only when it was asked to.
        if direction.session.legs[direction.target() as usize].outlet == Outlet::Saying {
            direction.session.handle_end_said(direction.target(), 24);
        }
        Ok(())
    }),
    event("ringgate ends it", |direction| {
        direction.session.end_by_ringgate(Cause::Drain, NOW, &mut Effects::new());
        Ok(())
    }),
    event("its time is over", |direction| {
        let late = direction.session.next_deadline();
        direction.session.handle_deadline(late, &mut Effects::new());
        Ok(())
    }),
];

#[test]
fn every_event_in_every_state_does_to_a_direction_what_the_table_says() {
    let mut table = String::new();
    let reached = RefCell::new(BTreeSet::new());
    for source in Leg::BOTH {
        table.push_str(&format!("# from {} to {}\n\n", source.name(), source.other().name()));
        table.push_str(&crate::golden::text::transitions(&STATES, &EVENTS, |state, event| {
            let mut direction = Direction::new(source, false);
            (state.come_to)(&mut direction);
            let before = direction.shown();
            assert_eq!(before, format!("{:?} -> {}", state.intake, state.outlet), "{}", state.what);
            match (event.happen)(&mut direction) {
                Ok(()) if direction.shown() == before => "=".to_owned(),
                Ok(()) => {
                    if !direction.session.is_over() {
                        reached.borrow_mut().insert(direction.shown());
                    }
                    direction.shown()
                }
                Err(broken) => panic!("{state:?}, {event:?}: {broken}"),
            }
        }));
        table.push('\n');
    }
    for pair in reached.take() {
        let has_row = STATES.iter().any(|state| format!("{:?} -> {}", state.intake, state.outlet) == pair);
        assert!(has_row, "{pair} is reached, and what happens in it is not in the table");
    }
    crate::golden::text::assert_golden("directions.txt", &table);
}

#[test]
fn the_table_has_every_intake_and_every_outlet() {
    for intake in INTAKES {
        assert!(STATES.iter().any(|state| state.intake == intake), "{intake:?}");
    }
    for outlet in OUTLETS {
        assert!(STATES.iter().any(|state| state.outlet == outlet), "{outlet}");
    }
}
