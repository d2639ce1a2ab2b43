//! Sessions that move to another process, at any time and in any state, go on as if they had stayed.

use proptest::prelude::*;

use super::driver::{
    Driver, FRAME_BYTES_MAX, IDLE_MS, LINGER_MS, MASK, OPAQUE, STRICT, close, frame, header,
};
use super::random::{any_step, any_stream, play_and_move};
use crate::export::{ExportFault, ExportKind, FieldWriter};

use crate::golden::exports;
use crate::limits::OWED_BYTES_HIGH;
use crate::session::life::{Gone, Outlet, Session, SessionLimits};
use crate::session::{Acknowledged, Cause, Effects, Leg, Moment};
use crate::websocket::close::CloseCode;
use crate::websocket::reserved_bits::ReservedBits;
use crate::websocket::scanner::FrameRules;
use Leg::{Downstream, Upstream};

const KIND: ExportKind = ExportKind::Session;

/// A session that has a life of its own length, and rules that are not the default ones.
const LONG_LIVED: SessionLimits = SessionLimits {
    frames: Some(FrameRules {
        reserved_bits: ReservedBits::MessageCompressed,
        frame_bytes_max: FRAME_BYTES_MAX,
        message_bytes_max: u64::MAX,
    }),
    longest_life_ms: Some(3_600_000),
    ..STRICT
};

/// Everything that two runs of the same script have to share.
#[track_caller]
fn assert_same(stayed: &Driver, moved: &Driver, what: &str) {
    assert_eq!(stayed.effects_made, moved.effects_made, "{what}");
    assert_eq!(stayed.ended, moved.ended, "{what}");
    for leg in Leg::BOTH {
        assert!(stayed.end(leg).queued == moved.end(leg).queued, "{what}: {leg:?} gets the same bytes");
        assert_eq!(stayed.session.tally(leg), moved.session.tally(leg), "{what}");
    }
}

/// Frames of every kind, a cut message among them, and a Close.
fn stream(from: Leg) -> Vec<u8> {
    let frames = [
        frame(from, 0x81, b"text"),
        frame(from, 0x02, b"one"),
        frame(from, 0x89, b"ping"),
        frame(from, 0x00, &[7; 126]),
        frame(from, 0x80, b""),
        header(from, 0x82, 65_536),
        vec![7; 20],
    ];
    frames.concat()
}

#[test]
fn every_cut_of_a_stream_may_be_where_its_session_moves() {
    for from in Leg::BOTH {
        let ending = [frame(from, 0x8a, b"pong"), close(from, 1000, "goodbye")].concat();
        let whole =
            [frame(from, 0x81, b"text"), frame(from, 0x02, b"one"), frame(from, 0x89, b"ping")].concat();
        for bytes in [stream(from), [whole, ending].concat()] {
            for cut in 0..=bytes.len() {
                let run = |is_moving: bool| {
                    let mut driver = Driver::new(STRICT);
                    driver.pass(7).bytes(from, &bytes[..cut]);
                    if is_moving {
                        driver.moved();
                    }
                    driver.pass(5).bytes(from, &bytes[cut..]).all_sent();
                    // The answer, if it was a Close, comes cut and with another move.
                    let answer = close(from.other(), 1000, "");
                    driver.bytes(from.other(), &answer[..3]);
                    if is_moving {
                        driver.moved();
                    }
                    driver.bytes(from.other(), &answer[3..]).endpoints_end();
                    driver
                };
                let (stayed, moved) = (run(false), run(true));
                assert_same(&stayed, &moved, &format!("{from:?}, cut at {cut}"));
                assert_eq!((moved.moves, moved.ended.is_some()), (2, true));
            }
        }
    }
}

#[test]
fn a_close_of_ours_waits_for_the_boundary_in_the_next_process_too() {
    for by in Leg::BOTH {
        let bytes = frame(by, 0x82, &[7; 50]);
        for cut in 1..bytes.len() {
            let mut driver = Driver::new(STRICT);
            driver.bytes(by, &bytes[..cut]).end_by_ringgate(Cause::Drain).moved().bytes(by, &bytes[cut..]);
            let farewell = Some((1001, "drain".to_owned()));
            assert_eq!(Leg::BOTH.map(|leg| driver.end(leg).farewell()), [farewell.clone(), farewell]);
            driver.moved().endpoints_end();
            driver.assert_ended(Cause::Drain, None);
        }
    }
}

#[test]
fn timers_go_on_where_they_were_although_the_clock_of_the_next_process_has_just_begun() {
    // What ends it, and when, whether or not it moves on the way.
    type Script = fn(&mut Driver);
    let table: [(Cause, SessionLimits, u64, Script); 5] = [
        (Cause::Idle, STRICT, IDLE_MS, |_| {}),
        (Cause::LongestLife, SessionLimits { longest_life_ms: Some(9_000), ..OPAQUE }, 9_000, |_| {}),
        (Cause::Ended, STRICT, LINGER_MS, |driver| {
            driver.finished(Downstream);
        }),
        (Cause::Drain, STRICT, LINGER_MS, |driver| {
            driver.end_by_ringgate(Cause::Drain);
        }),
        // One leg vanished with bytes for it: its time counts from the first look at it on.
        (Cause::Idle, STRICT, 75_000, |driver| {
            driver
                .vanished(Upstream)
                .bytes(Downstream, &frame(Downstream, 0x81, b"are you there"))
                .all_sent();
        }),
    ];
    for (cause, limits, after_ms, script) in table {
        for moves_at in [1, after_ms / 2, after_ms - 1] {
            let mut driver = Driver::new(limits);
            script(&mut driver);
            // The legs that are still there say something every second, where one has vanished.
            let is_chatty = driver.end(Upstream).is_vanished;
            let mut ended_at = None;
            for ms in 1..=2 * after_ms {
                if ms == moves_at {
                    driver.moved();
                }
                if is_chatty && ms % 1_000 == 0 && driver.session.end.is_none() {
                    driver.bytes(Downstream, &frame(Downstream, 0x8a, b"")).sent(Upstream, u64::MAX);
                }
                driver.pass(1);
                if driver.session.end.is_some() && ended_at.is_none() {
                    ended_at = Some(ms);
                }
                if driver.ended.is_some() {
                    break;
                }
            }
            assert_eq!(driver.moves, 1);
            let ended = driver.ended.map(|ended| ended.cause).or(driver.session.end.map(|end| end.cause));
            assert_eq!(ended, Some(cause), "moved at {moves_at}");
            if matches!(cause, Cause::Idle | Cause::LongestLife) {
                assert_eq!(ended_at, Some(after_ms), "{cause:?}, moved at {moves_at}");
            } else {
                assert_eq!(driver.now, after_ms, "{cause:?}, moved at {moves_at}");
            }
        }
    }
}

#[test]
fn a_session_that_is_over_does_not_move() {
    let mut driver = Driver::new(STRICT);
    driver.reset(Upstream);
    assert!(driver.ended.is_some() && driver.session.export(Moment::ZERO).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 60 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_session_that_moves_at_any_point_has_the_effects_of_one_that_stays(
        down in any_stream(Downstream),
        up in any_stream(Upstream),
        steps in prop::collection::vec(any_step(), 0..60),
        is_opaque in any::<bool>(),
        is_wrapped in any::<[bool; 2]>(),
    ) {
        let limits = if is_opaque { OPAQUE } else { LONG_LIVED };
        let run = |moves: &dyn Fn(usize) -> bool| {
            let mut driver = play_and_move(limits, is_wrapped, [&down, &up], &steps, moves);
            driver.pass(IDLE_MS).pass(LINGER_MS);
            driver
        };
        let stayed = run(&|_| false);
        for point in 0..steps.len() {
            assert_same(&stayed, &run(&|index| index == point), &format!("moved before step {point}"));
        }
        assert_same(&stayed, &run(&|_| true), "moved before every step");
    }

    #[test]
    fn bytes_that_are_no_session_are_refused_and_never_make_one_panic(
        example in 0usize..9,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        len in any::<prop::sample::Index>(),
        is_cut in prop::bool::weighted(0.2),
        events in prop::collection::vec((0u8..7, any_leg_index()), 0..20),
    ) {
        let (_, driver) = &examples()[example];
        let mut bytes = driver.session.export(driver.moment()).expect("it is not over").to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(len.index(bytes.len()));
        }
        if let Ok(session) = Session::import(&bytes, Moment::ZERO) {
            survive(session, &events);
        }
    }

    #[test]
    fn random_bytes_behind_a_head_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let bytes = [&[KIND as u8, KIND.version()], &bytes[..]].concat();
        let _ = Session::import(&bytes, Moment::ZERO);
    }
}

fn any_leg_index() -> impl Strategy<Value = usize> {
    0usize..2
}

/// Whatever happens to a session of changed bytes: it may be broken, and says so; it does not panic.
fn survive(mut session: Session, events: &[(u8, usize)]) {
    let (mut effects, mut now) = (Effects::new(), Moment::ZERO);
    for (event, leg) in events {
        let leg = Leg::BOTH[*leg];
        let result = match event {
            0 => session.handle_bytes(leg, &frame(leg, 0x82, b"abc"), now, &mut effects),
            1 => session.handle_sent(leg, 3, now, &mut effects),
            2 => session.handle_passed(leg, session.unseen_bytes(leg).min(9), now, &mut effects),
            3 => {
                session.handle_gone(leg, Gone::Finished, now, &mut effects);
                Ok(())
            }
            4 => {
                now = now.after_millis(IDLE_MS / 2);
                if session.awaits_acknowledged(leg, now) {
                    session.handle_acknowledged(leg, Acknowledged { is_all: false, ms_ago: 5 }, now);
                }
                session.handle_deadline(now, &mut effects);
                Ok(())
            }
            5 => session.handle_bytes(leg, &close(leg, 1000, "bye")[..5], now, &mut effects),
            _ => {
                session.end_by_ringgate(Cause::Drain, now, &mut effects);
                Ok(())
            }
        };
        if result.is_err() {
            session.break_off(now, &mut effects);
        }
    }
    let _ = (session.next_deadline(), session.export(now));
}

/// A session of each kind, with the name of what it shows.
fn examples() -> [(&'static str, Driver); 9] {
    let mut fresh = Driver::new(LONG_LIVED);
    fresh.pass(1);
    let mut frame_aware = Driver::new(LONG_LIVED);
    frame_aware
        .pass(1_000)
        .bytes(Downstream, &[frame(Downstream, 0x81, b"hello"), frame(Downstream, 0x89, b"ping")].concat())
        .bytes(Upstream, &[frame(Upstream, 0x01, b"part"), header(Upstream, 0x80, 65_536)].concat())
        .bytes(Upstream, &[7; 100])
        .sent(Upstream, 5)
        .pass(250);
    let mut cut_header = Driver::new(STRICT);
    let bytes = header(Downstream, 0x82, 70_000);
    cut_header.bytes(Downstream, &bytes[..bytes.len() - 1]).bytes(Upstream, &close(Upstream, 1001, "x")[..3]);
    let mut opaque = Driver::new(OPAQUE);
    opaque.bytes(Downstream, &vec![7; OWED_BYTES_HIGH as usize]).pass(10);
    let mut draining = Driver::new(STRICT);
    draining.bytes(Downstream, &frame(Downstream, 0x82, b"cut")[..7]).end_by_ringgate(Cause::Drain).pass(40);
    let mut closing = Driver::new(STRICT);
    closing.bytes(Upstream, &close(Upstream, 4_000, "done")).pass(3);
    let mut faulty = Driver::new(STRICT);
    faulty.bytes(Downstream, &header(Downstream, 0x83, 0));
    let mut half_closed = Driver::on(STRICT, [true, false]);
    half_closed.bytes(Upstream, &frame(Upstream, 0x82, b"owed")).gone(Upstream, Gone::Truncated).pass(9);
    let mut wrapped = Driver::on(STRICT, [true, true]);
    wrapped.bytes(Downstream, &frame(Downstream, 0x82, b"abc")).within_record(Downstream, true).pass(8);
    [
        ("a session that has just begun", fresh),
        ("both legs in the middle of messages", frame_aware),
        ("a header and a Close frame that are cut", cut_header),
        ("an opaque session, one leg of which is paused", opaque),
        ("a drain that waits for the end of a frame", draining),
        ("a Close frame of the backend on its way", closing),
        ("a client that broke the framing rules", faulty),
        ("a backend whose TLS stream ended in the middle, the client under TLS", half_closed),
        ("both legs under TLS, one within a record", wrapped),
    ]
}

#[test]
fn exports_of_every_kind_of_session_have_the_layout_of_their_version() {
    let examples = examples().map(|(name, driver)| {
        let mut writer = FieldWriter::with_layout(KIND);
        assert!(driver.session.export_fields(&mut writer, driver.moment()));
        (name, writer)
    });
    exports::assert_exports(KIND, &examples);
}

#[test]
fn sessions_that_any_supported_version_exported_are_imported() {
    exports::assert_imports(KIND, |bytes| {
        Session::import(bytes, Moment::ZERO).map(|session| session.export(Moment::ZERO))
    });
}

/// The session of the bytes that `change` makes of an export.
fn imported(export: &Session, change: impl Fn(&mut Session)) -> Result<(), ExportFault> {
    let mut changed = export.clone();
    change(&mut changed);
    let bytes = changed.export(Moment::ZERO).expect("it is not over");
    Session::import(&bytes, Moment::ZERO).map(|_| ())
}

#[test]
fn states_that_no_session_has_are_refused_with_their_field() {
    type Change = fn(&mut Session);
    let session = Session::new(STRICT, MASK, Moment::ZERO);
    assert_eq!(imported(&session, |_| {}), Ok(()));
    let changes: [(&str, Change); 5] = [
        ("intake", |session| session.legs[0].outlet = Outlet::Closed),
        ("sender", |session| session.legs.swap(0, 1)),
        ("owed_bytes", |session| session.legs[1].owed_bytes = 1 << 63),
        ("relayed_bytes", |session| session.legs[0].relayed_bytes = 1 << 63),
        ("outlet", |session| {
            session.limits.frames = None;
            session.legs[0].outlet = Outlet::ClosingAt { code: CloseCode::GoingAway, cause: Cause::Drain };
        }),
    ];
    for (field, change) in changes {
        assert_eq!(imported(&session, change), Err(ExportFault::Impossible { kind: KIND, field }), "{field}");
    }
    // It is the opaque session that has no boundary.
    let closing = |session: &mut Session| {
        session.legs[0].outlet = Outlet::ClosingAt { code: CloseCode::GoingAway, cause: Cause::Drain }
    };
    assert_eq!(imported(&session, closing), Ok(()));
}

#[test]
fn what_is_held_is_the_start_of_a_header_between_frames() {
    let mut driver = Driver::new(STRICT);
    driver.bytes(Upstream, &[0x82, 126]);
    let bytes = driver.session.export(Moment::ZERO).expect("it is not over");
    let at =
        bytes.windows(6).rposition(|window| window == [2, 0, 0, 0, 0x82, 126]).expect("what is held") + 4;
    let impossible = |field| Some(ExportFault::Impossible { kind: KIND, field });
    for (held, fault) in [([0x82, 126], None), ([0x82, 127], None), ([0x82, 0], impossible("held"))] {
        let mut bytes = bytes.to_vec();
        bytes[at..at + 2].copy_from_slice(&held);
        assert_eq!(Session::import(&bytes, Moment::ZERO).err(), fault, "{held:02x?}");
    }
}
