//! Breaks every invariant of a session on purpose, over the real ring: that session ends, and its neighbour does not notice.

use super::faulty::FaultyRecords;
use super::*;
use crate::admission::places::Places;
use crate::observe::WorkerCounters;
use crate::observe::record::record_of_api;
use crate::relay::carrier::{Fate, ReceiveEvent, SendEvent, Way};
use crate::relay::run::Relay;
use crate::relay::{Mailbox, Message, NewSession, RelayLimits};
use crate::ring::{GivenBack, KernelRing, Operation, Token};
use crate::session::{Effect, Leg, Moment, SessionLimits};
use crate::websocket::ReservedBits;
use crate::websocket::close::{CloseCode, CloseFrame};
use crate::websocket::frame::Sender;
use crate::websocket::scanner::{FrameRules, Held, PassedTooMuch, Scanner};
use bytes::Bytes;
use core::ops::Range;
use std::io::{ErrorKind, Read as _, Write as _};
use std::mem::ManuallyDrop;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const RULES: FrameRules =
    FrameRules { reserved_bits: ReservedBits::None, frame_bytes_max: u64::MAX, message_bytes_max: u64::MAX };

const LIMITS: SessionLimits =
    SessionLimits { frames: Some(RULES), idle_timeout_ms: 60_000, longest_life_ms: None, linger_ms: 60_000 };

/// Far longer than anything here takes.
const PATIENCE_MS: u64 = 50_000;

/// The session that is broken, by its slot and by its place among the peers.
const VICTIM: usize = 0;

const MASK: [u8; 4] = [0xa1, 0xb2, 0xc3, 0xd4];

const DOWN: Leg = Leg::Downstream;
const UP: Leg = Leg::Upstream;

/// A frame of a client, and one of a backend.
const ASKED: &[u8] = b"\x82\x83\x01\x02\x03\x04abc";
const ANSWERED: &[u8] = b"\x82\x03abc";

/// A relay, driven by hand, and the peers of its sessions.
struct Bench {
    /// Not dropped where it is left broken.
    relay: ManuallyDrop<Relay<KernelRing>>,
    mailbox: Arc<Mailbox<OwnedFd>>,
    counters: Arc<WorkerCounters>,
    places: Arc<Places>,
    reports: BugReports,
    /// Client and backend of each session.
    peers: Vec<[UnixStream; 2]>,
}

impl Bench {
    /// One with a session that will be broken, whose client speaks through `records`, and another one.
    fn new(records: Option<FaultyRecords>) -> Self {
        let mut bench = Self::with_entries(1024);
        bench.open(records);
        bench.open(None);
        bench.turn_until("both sessions", |bench| bench.relay.sessions.len() == 2);
        bench
    }

    /// One without sessions, whose submission queue has so many entries.
    fn with_entries(submission_entries: u32) -> Self {
        let mailbox = Mailbox::<OwnedFd>::new().unwrap();
        let counters = Arc::new(WorkerCounters::default());
        let (reporter, reports) = bug_reports();
        let ring = KernelRing::with_entries(mailbox.wake_up().unwrap(), 300, submission_entries).unwrap();
        let relay = Relay::new(ring, Arc::clone(&mailbox), Arc::clone(&counters), RelayLimits::default());
        let relay = ManuallyDrop::new(relay.reporting_to(reporter));
        let places = Places::new(100);
        Self { relay, mailbox, counters, places, reports, peers: Vec::new() }
    }

    fn open(&mut self, records: Option<FaultyRecords>) {
        let (client, client_inside) = UnixStream::pair().unwrap();
        let (backend, backend_inside) = UnixStream::pair().unwrap();
        let peers = [client, backend];
        for peer in &peers {
            peer.set_nonblocking(true).unwrap();
        }
        self.peers.push(peers);
        self.mailbox.push(Message::Open(Box::new(NewSession {
            sockets: [client_inside.into(), backend_inside.into()],
            early: [Bytes::new(), Bytes::new()],
            records: [records.map(Into::into), None],
            sealed: [Vec::new(), Vec::new()],
            limits: LIMITS,
            mask: MASK,
            reports_progress: false,
            permit: self.places.take().unwrap(),
            record: record_of_api("chat"),
        })));
    }

    #[track_caller]
    fn turn_until(&mut self, what: &str, holds: impl Fn(&mut Self) -> bool) {
        let late = self.relay.engine.now.after_millis(PATIENCE_MS);
        for _ in 0..1_000 {
            if holds(self) {
                return;
            }
            self.relay.turn().unwrap();
            assert!(self.relay.engine.now < late, "it takes too long: {what}");
        }
        panic!("never came: {what}");
    }

    fn say(&mut self, session: usize, leg: Leg, bytes: &[u8]) {
        self.peers[session][leg as usize].write_all(bytes).unwrap();
    }

    /// Returns the bytes that a peer received, and whether its connection is over.
    fn heard(&mut self, session: usize, leg: Leg) -> (Vec<u8>, bool) {
        let mut heard = Vec::new();
        match self.peers[session][leg as usize].read_to_end(&mut heard) {
            Ok(_) => (heard, true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => (heard, false),
            Err(_) => (heard, true),
        }
    }

    /// A message goes each way on the neighbour.
    #[track_caller]
    fn check_neighbour(&mut self) {
        self.check_session(1);
    }

    /// A message goes each way, whole and unchanged.
    #[track_caller]
    fn check_session(&mut self, session: usize) {
        for (from, bytes) in [(DOWN, ASKED), (UP, ANSWERED)] {
            self.say(session, from, bytes);
            let mut came = Vec::new();
            for _ in 0..1_000 {
                let (heard, is_over) = self.heard(session, from.other());
                assert!(!is_over, "session {session} is over");
                came.extend(heard);
                if came.len() >= bytes.len() {
                    break;
                }
                self.relay.turn().unwrap();
            }
            assert_eq!(came, bytes);
        }
    }

    fn terminations(&self, cause: Cause) -> u64 {
        self.counters.terminations_of(cause, Phase::Relay)
    }

    /// Works on the victim.
    fn work<T>(&mut self, step: impl FnOnce(&mut SessionHandle<'_, KernelRing>) -> T) -> T {
        let name = self.victim();
        self.relay.with_session(name, step).expect("the victim is there")
    }

    /// Whoever is in the victim's slot.
    fn victim(&self) -> SessionName {
        SessionName(self.relay.sessions.name_at(VICTIM as u32).expect("the victim is there"))
    }

    fn victim_carrier(&mut self, leg: Leg) -> CarrierName {
        self.work(|handle| handle.slot.legs[leg as usize].carrier)
    }

    /// So many bytes from a leg of the victim, in a buffer that they begin at `start` of.
    fn chunk(&mut self, start: usize, bytes: usize) -> PayloadOrigin {
        let pool = self.relay.engine.ring.pool();
        let mut chunk = pool.take_empty().unwrap();
        pool.place(&mut chunk, start..start + bytes);
        PayloadOrigin::Chunk(chunk)
    }

    /// Carries out effects of the victim.
    fn apply(&mut self, effects: impl IntoIterator<Item = Effect>, source: PayloadOrigin) {
        self.work(|handle| {
            handle.engine.effects.extend(effects);
            handle.apply_effects(source);
        });
    }

    /// The victim is told what the kernel did not do.
    fn complete(&mut self, operation: Operation, leg: Leg, result: i32, given_back: Option<GivenBack>) {
        let token = self.victim_carrier(leg).token(operation);
        self.relay.on_completion(Completion { token, result, has_more: false, chunk: None, given_back });
    }
}

fn forward(range: Range<usize>, held: Held) -> Effect {
    Effect::Forward { to: UP, held, range }
}

fn close() -> Effect {
    Effect::Inject { to: UP, frame: CloseFrame::new(CloseCode::GoingAway, "bug", Some([1; 4])) }
}

fn end(cause: Cause) -> Effect {
    Effect::Ended(Termination { cause, phase: Phase::Relay, by: None, close_code: None })
}

/// The start of a header that was cut.
fn held() -> Held {
    let mut scanner = Scanner::new(Sender::Client);
    scanner.scan(&ASKED[..5], &RULES);
    scanner.scan(&ASKED[5..], &RULES).held
}

/// Returns the bytes that a leg of a broken session receives where a frame boundary is at hand.
fn farewell(leg: Leg, cause: Cause) -> Vec<u8> {
    let mask = (leg == UP).then_some(MASK);
    CloseFrame::new(CloseCode::GoingAway, cause.name(), mask).as_bytes().to_vec()
}

/// One fault: the action that breaks the victim, and the outcome.
struct Case {
    what: &'static str,
    records: Option<FaultyRecords>,
    violate: fn(&mut Bench),
    broken: BrokenInvariant,
    /// The cause under which the session is counted.
    counted: Cause,
}

/// A case of a plain session that ends as a bug.
const fn case(what: &'static str, violate: fn(&mut Bench), broken: BrokenInvariant) -> Case {
    Case { what, records: None, violate, broken, counted: Cause::Bug }
}

fn completion_of_nothing(operation: Operation, leg: Leg) -> BrokenInvariant {
    BrokenInvariant::CompletionOfNothing { operation: operation.name(), leg }
}

fn cases() -> Vec<Case> {
    const HEADROOM: usize = crate::limits::BUFFER_HEADROOM_BYTES;
    vec![
        case(
            "relays to a leg that takes nothing more",
            |bench| {
                let source = bench.chunk(HEADROOM, 5);
                let broken = BrokenInvariant::RelaysToClosedLeg { from: DOWN };
                bench.work(|handle| handle.carry_out(Err(broken), source));
            },
            BrokenInvariant::RelaysToClosedLeg { from: DOWN },
        ),
        case(
            "forwards more than came in a buffer",
            |bench| {
                let source = bench.chunk(HEADROOM, 5);
                bench.apply([forward(0..6, Held::default())], source);
            },
            BrokenInvariant::ForwardsMoreThanCame { to: UP, forwarded: 6, came: 5 },
        ),
        case(
            "forwards more than came on the heap",
            |bench| {
                bench.apply(
                    [forward(0..6, Held::default())],
                    PayloadOrigin::Heap(Bytes::from_static(b"12345")),
                )
            },
            BrokenInvariant::ForwardsMoreThanCame { to: UP, forwarded: 6, came: 5 },
        ),
        case(
            "was sent more than it is owed",
            |bench| bench.work(|handle| handle.is_sent(UP, Fate::Wanted, 7)),
            BrokenInvariant::SentMoreThanOwed { to: UP, sent: 7, owed: 0 },
        ),
        case(
            "passed more than payload",
            |bench| {
                bench.work(|handle| {
                    let effects = &mut handle.engine.effects;
                    let passed = handle.slot.session.handle_passed(DOWN, 7, Moment::ZERO, effects);
                    handle.carry_out(passed, PayloadOrigin::Nothing);
                });
            },
            BrokenInvariant::PassedMoreThanPayload {
                from: DOWN,
                passed: PassedTooMuch { bytes: 7, payload_left: 0 },
            },
        ),
        case(
            "forwards nothing",
            |bench| bench.apply([forward(0..1, Held::default())], PayloadOrigin::Nothing),
            BrokenInvariant::ForwardsNothing { to: UP },
        ),
        case(
            "forwards the same bytes twice",
            |bench| {
                let source = bench.chunk(HEADROOM, 5);
                bench.apply([forward(0..5, Held::default()), forward(0..5, Held::default())], source);
            },
            BrokenInvariant::ForwardsNothing { to: UP },
        ),
        case(
            "forwards behind a Close frame of ours",
            |bench| {
                let source = bench.chunk(HEADROOM, 5);
                bench.apply([close(), forward(0..5, Held::default())], source);
            },
            BrokenInvariant::ForwardsBehindClose { to: UP },
        ),
        case(
            "closes twice",
            |bench| bench.apply([close(), close()], PayloadOrigin::Nothing),
            BrokenInvariant::ForwardsBehindClose { to: UP },
        ),
        case(
            "has early bytes late",
            |bench| {
                bench.apply(
                    [forward(0..5, Held::default())],
                    PayloadOrigin::Heap(Bytes::from_static(b"12345")),
                );
                bench.apply(
                    [forward(0..5, Held::default())],
                    PayloadOrigin::Early(Bytes::from_static(b"12345")),
                );
            },
            BrokenInvariant::EarlyBytesComeLate { to: UP },
        ),
        case(
            "has a header without room for it",
            |bench| {
                let source = bench.chunk(2, 5);
                bench.apply([forward(0..5, held())], source);
            },
            BrokenInvariant::HeaderHasNoRoom { to: UP },
        ),
        Case {
            records: Some(FaultyRecords::SealsLess),
            ..case(
                "seals less than announced",
                |bench| bench.say(VICTIM, UP, ANSWERED),
                BrokenInvariant::SealedOtherThanAnnounced {
                    to: DOWN,
                    sealed: Some(1),
                    announced: 27,
                    content: 5,
                },
            )
        },
        Case {
            records: Some(FaultyRecords::AnnouncesNothing),
            ..case(
                "announces less than it seals",
                |bench| bench.say(VICTIM, UP, ANSWERED),
                BrokenInvariant::SealedOtherThanAnnounced {
                    to: DOWN,
                    sealed: None,
                    announced: 0,
                    content: 5,
                },
            )
        },
        Case {
            records: Some(FaultyRecords::OpensMore),
            ..case(
                "opens more than was received",
                |bench| bench.say(VICTIM, DOWN, b"12345"),
                BrokenInvariant::OpenedMoreThanReceived { from: DOWN, opened: 6, received: 5 },
            )
        },
        Case {
            records: Some(FaultyRecords::ReadsOn),
            ..case(
                "reads on behind what was received",
                |bench| bench.say(VICTIM, DOWN, b"12345"),
                BrokenInvariant::OpenedMoreThanReceived { from: DOWN, opened: 6, received: 5 },
            )
        },
        case(
            "has records of a plain leg",
            |bench| bench.work(|handle| handle.on_early_records(UP, vec![23])),
            BrokenInvariant::RecordsOfPlainLeg { from: UP },
        ),
        case(
            "is told the end of a send that is none",
            |bench| bench.complete(Operation::Send, UP, 7, None),
            completion_of_nothing(Operation::Send, UP),
        ),
        case(
            "is told the end of a cancel that is none",
            |bench| bench.complete(Operation::CancelReceive, UP, 0, None),
            completion_of_nothing(Operation::CancelReceive, UP),
        ),
        case(
            "is told the end of another cancel that is none",
            |bench| bench.complete(Operation::CancelSend, DOWN, -libc::ENOENT, None),
            completion_of_nothing(Operation::CancelSend, DOWN),
        ),
        case(
            "is told the end of a receive twice",
            |bench| {
                bench.peers[VICTIM][DOWN as usize].shutdown(std::net::Shutdown::Write).unwrap();
                bench.turn_until("its end", |bench| {
                    bench.work(|handle| handle.carriers[0].receiving == Receiving::Over)
                });
                bench.complete(Operation::Receive, DOWN, 0, None);
            },
            completion_of_nothing(Operation::Receive, DOWN),
        ),
        case(
            "receives without bytes",
            |bench| {
                // It goes on: otherwise the kernel would have one in flight that nobody waits for.
                let token = bench.victim_carrier(DOWN).token(Operation::Receive);
                let completion =
                    Completion { token, result: 7, has_more: true, chunk: None, given_back: None };
                bench.relay.on_completion(completion);
            },
            BrokenInvariant::ReceivedWithoutBytes { from: DOWN, bytes: 7 },
        ),
        case(
            "arms a receive that is armed",
            |bench| {
                bench.work(|handle| {
                    let armed = handle.carriers[UP as usize].receive_event(ReceiveEvent::Arm);
                    handle.check(armed);
                });
            },
            BrokenInvariant::OutOfTurn { side: "receive", leg: UP },
        ),
        case(
            "begins a send of nothing",
            |bench| {
                bench.work(|handle| {
                    let began = handle.carriers[DOWN as usize].send_event(SendEvent::Began(Way::Copy));
                    handle.check(began);
                });
            },
            BrokenInvariant::OutOfTurn { side: "send", leg: DOWN },
        ),
        case(
            "gets memory back that it did not lend",
            |bench| bench.complete(Operation::Send, DOWN, 0, Some(GivenBack::Uncopied)),
            BrokenInvariant::GaveBackWhatWasNotLent { to: DOWN },
        ),
        case(
            "ends without a cause",
            |bench| bench.apply([end(Cause::Bug)], PayloadOrigin::Nothing),
            BrokenInvariant::EndsWithoutCause,
        ),
        case(
            "ends before it is over",
            |bench| bench.apply([end(Cause::Closed)], PayloadOrigin::Nothing),
            BrokenInvariant::EndsWithoutCause,
        ),
        Case {
            counted: Cause::Drain,
            ..case(
                "wants something behind its end",
                |bench| {
                    bench.work(|handle| {
                        let effects = &mut handle.engine.effects;
                        handle.slot.session.cut(Cause::Drain, Moment::ZERO, effects);
                        effects.push(Effect::Discard { leg: UP });
                        handle.apply_effects(PayloadOrigin::Nothing);
                    });
                },
                BrokenInvariant::EffectBehindEnd,
            )
        },
        case(
            "breaks again while it is broken off",
            |bench| {
                bench.complete(Operation::Send, UP, 7, None);
                bench.complete(Operation::CancelSend, UP, 0, None);
                bench.apply([forward(0..1, Held::default())], PayloadOrigin::Nothing);
            },
            completion_of_nothing(Operation::Send, UP),
        ),
    ]
}

/// Its place among all kinds; a new kind does not compile before it has one, and fails before it has a case.
fn kind(broken: &BrokenInvariant) -> usize {
    match broken {
        BrokenInvariant::RelaysToClosedLeg { .. } => 0,
        BrokenInvariant::ForwardsMoreThanCame { .. } => 1,
        BrokenInvariant::SentMoreThanOwed { .. } => 2,
        BrokenInvariant::PassedMoreThanPayload { .. } => 3,
        BrokenInvariant::ForwardsNothing { .. } => 4,
        BrokenInvariant::ForwardsBehindClose { .. } => 5,
        BrokenInvariant::EarlyBytesComeLate { .. } => 6,
        BrokenInvariant::HeaderHasNoRoom { .. } => 7,
        BrokenInvariant::SealedOtherThanAnnounced { .. } => 8,
        BrokenInvariant::OpenedMoreThanReceived { .. } => 9,
        BrokenInvariant::RecordsOfPlainLeg { .. } => 10,
        BrokenInvariant::CompletionOfNothing { .. } => 11,
        BrokenInvariant::ReceivedWithoutBytes { .. } => 12,
        BrokenInvariant::GaveBackWhatWasNotLent { .. } => 13,
        BrokenInvariant::EndsWithoutCause => 14,
        BrokenInvariant::EffectBehindEnd => 15,
        BrokenInvariant::OutOfTurn { .. } => 16,
    }
}

const KINDS: usize = 17;

#[test]
fn each_broken_invariant_ends_its_session_and_no_other() {
    let mut is_met = [false; KINDS];
    for Case { what, records, violate, broken, counted } in cases() {
        let mut bench = Bench::new(records);
        violate(&mut bench);
        bench.turn_until(what, |bench| bench.relay.sessions.len() == 1);
        for leg in Leg::BOTH {
            let (heard, is_over) = bench.heard(VICTIM, leg);
            assert!(is_over, "{what}: {leg:?} is not closed");
            assert!(
                heard.is_empty() || heard == farewell(leg, counted),
                "{what}: {leg:?} heard {heard:02x?}"
            );
        }
        let report = bench.reports.take().unwrap_or_else(|| panic!("{what}: it is not reported"));
        assert_eq!(report.broken, broken, "{what}");
        assert_eq!(report.id, record_of_api("chat").id, "{what}: it names the session");
        is_met[kind(&broken)] = true;
        assert!(bench.reports.take().is_none(), "{what}: it is reported once");
        assert!(bench.counters.broken_invariants.load(std::sync::atomic::Ordering::Relaxed) >= 1, "{what}");
        assert_eq!(bench.terminations(counted), 1, "{what}");
        let others = Cause::ALL.iter().filter(|cause| **cause != counted);
        assert_eq!(others.map(|cause| bench.terminations(*cause)).sum::<u64>(), 0, "{what}: it ends once");
        assert_eq!(bench.places.taken(), 1, "{what}: its place is back");
        assert_eq!(bench.relay.engine.ring.pool().lent_out(), 0, "{what}: its buffers are back");
        assert_eq!(bench.relay.engine.ring.pool().backlog_bytes(), 0, "{what}");
        bench.check_neighbour();
        // Its slot is as good as any.
        bench.open(None);
        bench.turn_until(what, |bench| bench.relay.sessions.len() == 2);
        assert_eq!(bench.relay.sessions.slots(), 64, "{what}");
        bench.peers.clear();
        bench.turn_until(what, |bench| bench.relay.sessions.is_empty());
        assert_eq!(bench.places.taken(), 0, "{what}");
        // Nothing is in flight.
        drop(ManuallyDrop::into_inner(bench.relay));
    }
    assert_eq!(is_met, [true; KINDS], "every kind has a case");
}

#[test]
fn both_legs_of_a_broken_session_hear_close_1001_at_a_boundary_and_else_a_plain_end() {
    // What the client has sent of a frame, and what the backend hears before the end.
    for (said, is_at_boundary) in [(&b""[..], true), (ASKED, true), (&ASKED[..7], false)] {
        let mut bench = Bench::new(None);
        bench.say(VICTIM, DOWN, said);
        let mut heard = Vec::new();
        for _ in 0..1_000 {
            heard.extend(bench.heard(VICTIM, UP).0);
            if heard.len() == said.len() {
                break;
            }
            bench.relay.turn().unwrap();
        }
        bench.complete(Operation::CancelSend, UP, 0, None);
        bench.turn_until("its end", |bench| bench.relay.sessions.len() == 1);
        heard.extend(bench.heard(VICTIM, UP).0);
        let end = if is_at_boundary { farewell(UP, Cause::Bug) } else { Vec::new() };
        assert_eq!(heard, [said, &end].concat());
        assert_eq!(bench.heard(VICTIM, DOWN), (farewell(DOWN, Cause::Bug), true));
    }
}

/// A drain cuts a session while the key of one leg is used up: that leg receives no bytes that are not a record.
#[test]
fn a_leg_whose_key_is_used_up_is_told_nothing() {
    let mut bench = Bench::new(Some(FaultyRecords::IsExhausted));
    bench.work(|handle| handle.cut(Cause::Drain));
    bench.turn_until("its end", |bench| bench.relay.sessions.len() == 1);
    assert_eq!(bench.heard(VICTIM, DOWN), (vec![], true));
    bench.check_neighbour();
}

#[test]
fn a_report_says_what_the_session_did_and_nothing_that_was_said_on_it() {
    let mut bench = Bench::new(None);
    // A header that is cut waits in the session.
    bench.say(VICTIM, DOWN, &ASKED[..5]);
    bench.turn_until("a cut header", |bench| {
        bench.work(|handle| format!("{:?}", handle.slot.session).contains("held_bytes: 5"))
    });
    bench.complete(Operation::Send, UP, 7, None);
    let report = bench.reports.take().unwrap();
    assert_eq!(report.broken.to_string(), "a send of upstream completed, and none is in flight");
    let state = format!("{:?}", report.state);
    for shown in [
        "SessionName(SlotName { index: 0, generation: 0 })",
        "CarrierName(SlotName { index: 1, generation: 0 })",
        "intake: Relayed",
        "outlet: Open",
        "owed_bytes: 0",
        "receiving: Armed",
        "sending: Idle",
        "in_flight: 1",
        "cancels: 0",
    ] {
        assert!(state.contains(shown), "{shown}: {state}");
    }
    // The mask of a Close frame of ours, in decimal as a derived form would have it, and what the client sent.
    for secret in ["161", "178", "195", "212", "130, 131", "mask"] {
        assert!(!state.contains(secret), "{secret}: {state}");
    }
    bench.turn_until("its end", |bench| bench.relay.sessions.len() == 1);
}

#[test]
fn reports_without_room_are_counted_and_hold_nothing_up() {
    let mut bench = Bench::new(None);
    for broken in 0..REPORTS_MAX + 10 {
        bench.complete(Operation::Send, UP, 7, None);
        bench.turn_until("its end", |bench| bench.relay.sessions.len() == 1);
        bench.open(None);
        bench.turn_until("another one", |bench| bench.relay.sessions.len() == 2);
        assert_eq!(bench.terminations(Cause::Bug), broken as u64 + 1);
    }
    let reported = std::iter::from_fn(|| bench.reports.take()).count();
    assert_eq!(reported, REPORTS_MAX);
    bench.check_neighbour();
}

#[test]
fn sessions_are_carried_and_ended_however_short_the_submission_queue_is() {
    const SESSIONS: usize = 40;
    let mut bench = Bench::with_entries(2);
    for _ in 0..SESSIONS {
        bench.open(None);
    }
    bench.turn_until("every session", |bench| bench.relay.sessions.len() == SESSIONS);
    for session in 0..SESSIONS {
        bench.check_session(session);
    }
    // All receives are cancelled in one turn, and every cancel is behind its receive.
    bench.mailbox.push(Message::Drain { spread_ms: 0, cut_after_ms: 0 });
    bench.mailbox.push(Message::NoMore);
    bench.turn_until("the end of all", |bench| bench.relay.is_done());
    assert_eq!(bench.terminations(Cause::Drain), SESSIONS as u64);
    assert_eq!(bench.counters.broken_invariants.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert_eq!(bench.places.taken(), 0);
    for session in 0..SESSIONS {
        for leg in Leg::BOTH {
            assert_eq!(bench.heard(session, leg), (farewell(leg, Cause::Drain), true));
        }
    }
    drop(ManuallyDrop::into_inner(bench.relay));
}

/// A fault that concerns more than one session is a panic in every build: it ends the process (`process::fatal`).
#[test]
fn a_broken_ring_is_a_panic_and_no_sessions_end() {
    type Violation = (&'static str, fn(&mut Bench));
    let violations: [Violation; 4] = [
        ("a completion for a slot that is free", |bench| {
            let token = Token::new(Operation::Receive, 9, 0);
            let completion = Completion { token, result: 0, has_more: false, chunk: None, given_back: None };
            bench.relay.on_completion(completion);
        }),
        ("a completion for an earlier user of a slot", |bench| {
            let token = Token::new(Operation::Receive, 0, 77);
            let completion = Completion { token, result: 0, has_more: false, chunk: None, given_back: None };
            bench.relay.on_completion(completion);
        }),
        ("memory that comes back to nobody", |bench| {
            let token = Token::new(Operation::Send, 0, 77);
            let given_back = Some(GivenBack::Uncopied);
            bench.relay.on_completion(Completion {
                token,
                result: 0,
                has_more: false,
                chunk: None,
                given_back,
            });
        }),
        ("memory that is kept of a send that lent none", |bench| {
            let token = bench.work(|handle| {
                let carrier = &mut *handle.carriers[UP as usize];
                carrier.queue.begin_wait();
                carrier.sending = Sending::InFlight { way: Way::Copy, fate: Fate::Wanted };
                carrier.begin(Operation::Send)
            });
            bench.relay.on_completion(Completion {
                token,
                result: 5,
                has_more: true,
                chunk: None,
                given_back: None,
            });
        }),
    ];
    for (what, violate) in violations {
        let mut bench = Bench::new(None);
        assert!(catch_unwind(AssertUnwindSafe(|| violate(&mut bench))).is_err(), "{what}");
        assert_eq!(bench.terminations(Cause::Bug), 0, "{what}");
    }
}
