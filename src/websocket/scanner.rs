//! Finds frame boundaries in the bytes that one leg sends (RFC 6455 §5).
//!
//! Input may be cut anywhere: every cut yields the same frames and the same faults. Payload is located, never copied
//! or unmasked. Nothing of a frame is released before its header is whole and judged; a cut header (a Close frame's
//! code counts as part of it) waits here, at most 15 bytes of it.
//!
//! ```text
//!        forwarded              bytes of this chunk
//!   ──────────────────┬───────────────────────────────┬─────────────
//!    held from before │ forward                       │ cut header: held for the next chunk
//! ```
//!
//! Not here: what happens after a Close or a fault (`session`), and UTF-8, which stays with the endpoints.

mod export;
mod small_frames;

use super::frame::{FrameFault, Header, Opcode, Parsed, Sender, parse_header};
use super::received_close::ReceivedClose;
use super::reserved_bits::ReservedBits;
use super::tally::{FrameKind, Tally};

/// Most bytes that a cut header can have: a header of 14 and a close code of 2, less the one that makes it whole.
pub const HELD_BYTES_MAX: usize = 15;

/// The rules for the frames of a session; the same for both directions.
#[derive(Clone, Copy, Debug)]
pub struct FrameRules {
    /// Reserved bits that the agreed extensions free.
    pub reserved_bits: ReservedBits,
    /// Largest payload, in bytes, that one frame may declare; `u64::MAX` for no limit.
    ///
    /// Checked on the declared length, before any payload is passed on. Raising it costs no memory: a relay holds none
    /// of a frame but what is on its way.
    pub frame_bytes_max: u64,
    /// Largest sum of payloads, in bytes, that the data frames of one message may declare; `u64::MAX` for no limit.
    pub message_bytes_max: u64,
}

/// The start of a header that came in an earlier chunk and may be passed on at last.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    bytes: [u8; HELD_BYTES_MAX],
    len: u8,
}

impl Held {
    /// The bytes; empty when no header was cut.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl core::fmt::Debug for Held {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "Held({:02x?})", self.as_bytes())
    }
}

/// Why a scan stopped before the end of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanStop {
    /// A Close frame ended here; its code, if it had one. Nothing after it counts (RFC 6455 §5.5.1).
    Closed(Option<u16>),
    /// The next frame breaks a rule; nothing of it is passed on.
    Fault(FrameFault),
}

/// The result of scanning one chunk of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Bytes from earlier chunks that go out before this chunk's.
    pub held: Held,
    /// How many bytes from this chunk's start go out.
    pub forward_bytes: usize,
    /// Frames that began: their header was whole, and keeps the rules.
    pub frames: u32,
    /// Why the scan stopped, if it did.
    pub stop: Option<ScanStop>,
}

/// More payload passed unseen than may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassedTooMuch {
    /// How many bytes passed.
    pub bytes: u64,
    /// How many may.
    pub payload_left: u64,
}

/// The state of one direction.
///
/// Invariants: `held_len > 0` implies `payload_left == 0`; what is held is the start of a header, and no whole one.
#[derive(Clone)]
pub struct Scanner {
    sender: Sender,
    /// Payload of the current frame that has not passed yet, in bytes.
    payload_left: u64,
    kind: FrameKind,
    /// The largest payload that was declared since somebody asked.
    largest_bytes: u64,
    /// Frames that began since somebody asked. It does not move to another process: it is about the present turn only.
    frames: u32,
    /// The current frame, if it is a Close with a code. It is the last frame.
    close: Option<Box<ReceivedClose>>,
    /// The message in progress: whether it is text, and the bytes its frames declared so far.
    message: Option<Message>,
    held: [u8; HELD_BYTES_MAX + 1],
    held_len: u8,
    tally: Tally,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    is_text: bool,
    bytes: u64,
}

/// Without the bytes that are held: they are its peer's.
impl core::fmt::Debug for Scanner {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("Scanner")
            .field("kind", &self.kind)
            .field("payload_left", &self.payload_left)
            .field("held_bytes", &self.held_len)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

impl Scanner {
    /// A scanner for frames that `sender` makes, at the start of the stream.
    pub fn new(sender: Sender) -> Self {
        Self {
            sender,
            payload_left: 0,
            kind: FrameKind::Pong,
            largest_bytes: 0,
            frames: 0,
            close: None,
            message: None,
            held: [0; HELD_BYTES_MAX + 1],
            held_len: 0,
            tally: Tally::default(),
        }
    }

    /// Who makes the frames that it scans.
    pub fn sender(&self) -> Sender {
        self.sender
    }

    /// Whether what was released so far ends with a whole frame.
    pub fn is_at_boundary(&self) -> bool {
        self.payload_left == 0
    }

    /// Payload of the current frame that has not passed yet, in bytes.
    pub fn payload_left(&self) -> u64 {
        self.payload_left
    }

    /// So much payload of the current frame passes without being looked at.
    ///
    /// # Errors
    /// It is more than may: what is left of the frame, and nothing of a Close frame, whose end has to be seen.
    pub fn pass_unseen(&mut self, bytes: u64) -> Result<(), PassedTooMuch> {
        let payload_left = if self.kind == FrameKind::Close { 0 } else { self.payload_left };
        if bytes > payload_left {
            return Err(PassedTooMuch { bytes, payload_left });
        }
        self.pass_payload(bytes);
        Ok(())
    }

    /// The start of a header that was cut; empty when none was.
    fn held_bytes(&self) -> &[u8] {
        &self.held[..usize::from(self.held_len)]
    }

    /// The largest payload, in bytes, that a data frame declared since this was last asked; 0 if none began.
    pub fn take_largest(&mut self) -> u64 {
        core::mem::take(&mut self.largest_bytes)
    }

    /// How many frames began since this was last asked.
    pub fn take_frames(&mut self) -> u32 {
        core::mem::take(&mut self.frames)
    }

    /// Returns the counts of everything that has passed, by kind.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Takes the next bytes of the stream. After a `stop`, the stream has no further meaning here.
    pub fn scan(&mut self, bytes: &[u8], rules: &FrameRules) -> Scan {
        let frames_before = self.frames;
        let mut scan = Scan { held: Held::default(), forward_bytes: 0, frames: 0, stop: None };
        self.scan_into(bytes, rules, &mut scan);
        scan.frames = self.frames.wrapping_sub(frames_before);
        scan
    }

    fn scan_into(&mut self, bytes: &[u8], rules: &FrameRules, scan: &mut Scan) {
        if self.held_len > 0 {
            let earlier = self.held_len;
            match self.complete_held_header(bytes) {
                None => return,
                Some(header) => {
                    let header_end = usize::from(self.held_len);
                    // The header is whole: from here on it is not held, whatever it is judged to be.
                    self.held_len = 0;
                    if let Err(fault) = self.begin_frame(&header, rules) {
                        scan.stop = Some(ScanStop::Fault(fault));
                        return;
                    }
                    scan.held.bytes.copy_from_slice(&self.held[..HELD_BYTES_MAX]);
                    scan.held.len = earlier;
                    scan.forward_bytes = header_end - usize::from(earlier);
                    // A Close frame's code was read with its header: it is payload that has passed.
                    let (start, end) = (header.header_bytes, header_end);
                    if let Some(close) = &mut self.close {
                        close.pass(&self.held[start..end]);
                    }
                    self.pass_payload((end - start) as u64);
                    if self.payload_left == 0 && self.kind == FrameKind::Close {
                        scan.stop = Some(self.closed());
                        return;
                    }
                }
            }
        }
        self.scan_whole(bytes, rules, scan);
    }

    fn scan_whole(&mut self, bytes: &[u8], rules: &FrameRules, scan: &mut Scan) {
        let mut at = scan.forward_bytes;
        loop {
            if self.payload_left > 0 {
                at += self.pass_payload_of(&bytes[at..]);
                if self.payload_left > 0 {
                    break;
                }
                if self.kind == FrameKind::Close {
                    scan.stop = Some(self.closed());
                    break;
                }
            }
            if small_frames::may_begin(&bytes[at..]) {
                at += self.pass_small_frames(&bytes[at..], rules);
            }
            if at == bytes.len() {
                break;
            }
            match parse_header(&bytes[at..]) {
                Parsed::Needs(_) => {
                    let cut = &bytes[at..];
                    self.held[..cut.len()].copy_from_slice(cut);
                    self.held_len = cut.len() as u8;
                    break;
                }
                Parsed::Whole(header) => {
                    if let Err(fault) = self.begin_frame(&header, rules) {
                        scan.stop = Some(ScanStop::Fault(fault));
                        break;
                    }
                    at += header.header_bytes;
                    if self.payload_left == 0 && self.kind == FrameKind::Close {
                        scan.stop = Some(self.closed());
                        break;
                    }
                }
            }
        }
        scan.forward_bytes = at;
    }

    /// Lets the current frame's payload pass and nothing after it; gives how many bytes of the chunk that is.
    ///
    /// For a stream that is to end at its next boundary. A header that was cut is not begun.
    pub fn finish_frame(&mut self, bytes: &[u8]) -> (usize, Option<ScanStop>) {
        let passing = self.pass_payload_of(bytes);
        let is_closed = passing > 0 && self.payload_left == 0 && self.kind == FrameKind::Close;
        (passing, is_closed.then(|| self.closed()))
    }

    /// Copies from `bytes` into the held header until it is whole; `None` while it is not.
    fn complete_held_header(&mut self, bytes: &[u8]) -> Option<Header> {
        let mut taken = 0;
        loop {
            let held = usize::from(self.held_len);
            match parse_header(&self.held[..held]) {
                Parsed::Whole(header) => return Some(header),
                Parsed::Needs(needed) => {
                    let adding = (needed - held).min(bytes.len() - taken);
                    if adding == 0 {
                        return None;
                    }
                    self.held[held..held + adding].copy_from_slice(&bytes[taken..taken + adding]);
                    self.held_len += adding as u8;
                    taken += adding;
                }
            }
        }
    }

    /// Judges a whole header against the rules and the frames before it, and makes it the current frame.
    fn begin_frame(&mut self, header: &Header, rules: &FrameRules) -> Result<(), FrameFault> {
        let opcode = header.check(self.sender, rules.reserved_bits)?;
        self.kind = match opcode {
            Opcode::Close => FrameKind::Close,
            Opcode::Ping => FrameKind::Ping,
            Opcode::Pong => FrameKind::Pong,
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                self.begin_data_frame(opcode, header.is_final(), header.payload_bytes, rules)?
            }
        };
        self.close = header.close_code.map(|code| ReceivedClose::begin(code, header.mask).into());
        self.payload_left = header.payload_bytes;
        self.largest_bytes = self.largest_bytes.max(header.payload_bytes);
        self.tally.count_frame(self.kind);
        self.frames = self.frames.wrapping_add(1);
        Ok(())
    }

    /// Judges a data frame by the frames before it and by the limits. On a fault, nothing has changed.
    #[inline]
    fn begin_data_frame(
        &mut self,
        opcode: Opcode,
        is_final: bool,
        payload_bytes: u64,
        rules: &FrameRules,
    ) -> Result<FrameKind, FrameFault> {
        // RFC 6455 §5.4: fragments of one message follow each other, and a continuation continues one.
        let (is_text, bytes_before) = match (opcode, self.message) {
            (Opcode::Continuation, Some(message)) => (message.is_text, message.bytes),
            (Opcode::Continuation, None) => return Err(FrameFault::ContinuationWithoutMessage),
            (_, Some(_)) => return Err(FrameFault::MessageInsideMessage),
            (opcode, None) => (opcode == Opcode::Text, 0),
        };
        if payload_bytes > rules.frame_bytes_max {
            return Err(FrameFault::FrameTooBig(payload_bytes));
        }
        let bytes = bytes_before.saturating_add(payload_bytes);
        if bytes > rules.message_bytes_max {
            return Err(FrameFault::MessageTooBig(bytes));
        }
        self.message = (!is_final).then_some(Message { is_text, bytes });
        Ok(match (is_text, is_final) {
            (true, true) => FrameKind::Utf8Message,
            (true, false) => FrameKind::Utf8Fragment,
            (false, true) => FrameKind::BinaryMessage,
            (false, false) => FrameKind::BinaryFragment,
        })
    }

    /// Lets payload of the current frame pass, as much as `bytes` begin with; gives how many bytes that is.
    fn pass_payload_of(&mut self, bytes: &[u8]) -> usize {
        let passing = self.payload_left.min(bytes.len() as u64);
        if let Some(close) = &mut self.close {
            close.pass(&bytes[..passing as usize]);
        }
        self.pass_payload(passing);
        passing as usize
    }

    /// The end of a Close frame.
    fn closed(&self) -> ScanStop {
        ScanStop::Closed(self.close.as_ref().map(|close| close.code()))
    }

    /// The Close frame that came, or is coming, if it has a code.
    pub fn close(&self) -> Option<&ReceivedClose> {
        self.close.as_deref()
    }

    /// Takes that Close frame, for whoever reports it: the stream is over.
    pub fn take_close(&mut self) -> Option<Box<ReceivedClose>> {
        self.close.take()
    }

    fn pass_payload(&mut self, bytes: u64) {
        self.payload_left -= bytes;
        self.tally.count_payload(self.kind, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: FrameRules = FrameRules {
        reserved_bits: ReservedBits::None,
        frame_bytes_max: u64::MAX,
        message_bytes_max: u64::MAX,
    };

    /// A frame as a server sends it, or with a mask of `1 2 3 4` as a client does.
    fn frame(first: u8, payload: &[u8], sender: Sender) -> Vec<u8> {
        let masked = sender == Sender::Client;
        let bit = if masked { 0x80 } else { 0 };
        let mut bytes = vec![first];
        match payload.len() {
            len @ 0..=125 => bytes.push(bit | len as u8),
            len @ 126..=65_535 => {
                bytes.push(bit | 126);
                bytes.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                bytes.push(bit | 127);
                bytes.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        if masked {
            bytes.extend_from_slice(&[1, 2, 3, 4]);
            bytes.extend(payload.iter().zip([1, 2, 3, 4].into_iter().cycle()).map(|(byte, key)| byte ^ key));
        } else {
            bytes.extend_from_slice(payload);
        }
        bytes
    }

    /// Feeds chunks; gives all that was passed on, the stop, and the tally.
    fn run(chunks: &[&[u8]], sender: Sender, rules: &FrameRules) -> (Vec<u8>, Option<ScanStop>, Tally) {
        let mut scanner = Scanner::new(sender);
        let mut passed = Vec::new();
        for chunk in chunks {
            let scan = scanner.scan(chunk, rules);
            passed.extend_from_slice(scan.held.as_bytes());
            passed.extend_from_slice(&chunk[..scan.forward_bytes]);
            if scan.stop.is_some() {
                return (passed, scan.stop, scanner.tally);
            }
        }
        (passed, None, scanner.tally)
    }

    /// The Close that a scanner has kept of these chunks: its code and its reason.
    fn kept(chunks: &[&[u8]], sender: Sender) -> Option<(u16, Vec<u8>)> {
        let mut scanner = Scanner::new(sender);
        for chunk in chunks {
            scanner.scan(chunk, &RULES);
        }
        scanner.close().map(|close| (close.code(), close.reason().to_vec()))
    }

    #[test]
    fn keeps_code_and_reason_of_a_close_unmasked_wherever_the_frame_is_cut() {
        let longest = "r".repeat(123);
        for sender in [Sender::Client, Sender::Server] {
            for reason in ["", "b", "going home", &longest] {
                let payload = [&4001_u16.to_be_bytes()[..], reason.as_bytes()].concat();
                let bytes = [frame(0x81, b"before", sender), frame(0x88, &payload, sender)].concat();
                let expected = Some((4001, reason.as_bytes().to_vec()));
                assert_eq!(kept(&[&bytes], sender), expected);
                for cut in 0..bytes.len() {
                    let (first, rest) = bytes.split_at(cut);
                    assert_eq!(kept(&[first, rest], sender), expected, "{reason:?} cut at {cut}");
                }
                let single: Vec<_> = bytes.chunks(1).collect();
                assert_eq!(kept(&single, sender), expected, "{reason:?} byte by byte");
            }
        }
    }

    #[test]
    fn keeps_nothing_of_a_close_without_a_code_or_of_another_frame() {
        for bytes in [frame(0x88, b"", Sender::Server), frame(0x89, b"ping", Sender::Server)] {
            assert_eq!(kept(&[&bytes], Sender::Server), None);
        }
    }

    fn run_server(bytes: &[u8]) -> (Vec<u8>, Option<ScanStop>, Tally) {
        run(&[bytes], Sender::Server, &RULES)
    }

    #[test]
    fn counts_kinds_messages_and_bytes() {
        let mut bytes = frame(0x01, b"ab", Sender::Server);
        bytes.extend(frame(0x89, b"ping", Sender::Server));
        bytes.extend(frame(0x00, b"c", Sender::Server));
        bytes.extend(frame(0x80, b"def", Sender::Server));
        bytes.extend(frame(0x82, &[7; 70_000], Sender::Server));
        bytes.extend(frame(0x8a, b"", Sender::Server));
        bytes.extend(frame(0x88, b"\x03\xe8bye", Sender::Server));
        let (passed, stop, tally) = run_server(&bytes);
        assert_eq!(passed, bytes);
        assert_eq!(stop, Some(ScanStop::Closed(Some(1000))));
        let counted = FrameKind::ALL.map(|kind| (tally.frames(kind), tally.payload_bytes(kind)));
        assert_eq!(counted, [(1, 5), (0, 0), (1, 70_000), (2, 3), (1, 3), (1, 4), (1, 0)]);
        assert_eq!(tally.messages(), 2);
    }

    #[test]
    fn counts_each_frame_once_and_in_the_scan_that_judged_its_header() {
        let mut scanner = Scanner::new(Sender::Server);
        let mut bytes = frame(0x81, b"ab", Sender::Server).repeat(3);
        bytes.extend(frame(0x82, &[0; 200], Sender::Server));
        let last_header = bytes.len() - 204;
        let frames_of = |scanner: &mut Scanner, bytes: &[u8]| scanner.scan(bytes, &RULES).frames;
        assert_eq!(frames_of(&mut scanner, &bytes[..last_header + 2]), 3, "a cut header is not judged");
        assert_eq!(frames_of(&mut scanner, &bytes[last_header + 2..last_header + 9]), 1);
        assert_eq!(frames_of(&mut scanner, &bytes[last_header + 9..]), 0, "payload begins no frame");
        assert_eq!((scanner.take_frames(), scanner.take_frames()), (4, 0));
        let refused = [frame(0x89, b"", Sender::Server), frame(0x80, b"", Sender::Server)].concat();
        assert_eq!(frames_of(&mut scanner, &refused), 1, "a frame that breaks a rule does not begin");
        assert_eq!(scanner.take_frames(), 1);
    }

    #[test]
    fn passes_on_nothing_of_a_frame_that_breaks_a_rule() {
        let mut bytes = frame(0x81, b"fine", Sender::Server);
        let good = bytes.len();
        bytes.extend(frame(0x80, b"stray", Sender::Server));
        let (passed, stop, _) = run_server(&bytes);
        assert_eq!(passed, bytes[..good]);
        assert_eq!(stop, Some(ScanStop::Fault(FrameFault::ContinuationWithoutMessage)));
    }

    #[test]
    fn refuses_a_message_inside_a_message() {
        let mut bytes = frame(0x01, b"a", Sender::Server);
        bytes.extend(frame(0x82, b"b", Sender::Server));
        assert_eq!(run_server(&bytes).1, Some(ScanStop::Fault(FrameFault::MessageInsideMessage)));
    }

    #[test]
    fn holds_sizes_to_the_byte() {
        let rules = FrameRules { frame_bytes_max: 10, message_bytes_max: 15, ..RULES };
        let run_rules = |bytes: &[u8]| run(&[bytes], Sender::Server, &rules).1;
        assert_eq!(run_rules(&frame(0x82, &[0; 10], Sender::Server)), None);
        assert_eq!(
            run_rules(&frame(0x82, &[0; 11], Sender::Server)),
            Some(ScanStop::Fault(FrameFault::FrameTooBig(11)))
        );
        let mut message = frame(0x02, &[0; 10], Sender::Server);
        message.extend(frame(0x00, &[0; 5], Sender::Server));
        assert_eq!(run_rules(&message), None);
        message.extend(frame(0x80, &[0; 1], Sender::Server));
        assert_eq!(run_rules(&message), Some(ScanStop::Fault(FrameFault::MessageTooBig(16))));
        // A new message starts from nothing; control frames do not count.
        let mut messages = frame(0x82, &[0; 10], Sender::Server);
        messages.extend(frame(0x89, &[0; 100], Sender::Server));
        messages.extend(frame(0x82, &[0; 10], Sender::Server));
        assert_eq!(run_rules(&messages), None);
    }

    #[test]
    fn releases_a_close_frame_only_when_its_code_is_known() {
        let bytes = frame(0x88, b"\x03\xe8bye", Sender::Client);
        for cut in 1..8 {
            let mut scanner = Scanner::new(Sender::Client);
            let scan = scanner.scan(&bytes[..cut], &RULES);
            assert_eq!((scan.forward_bytes, scan.stop), (0, None), "cut at {cut}");
            let scan = scanner.scan(&bytes[cut..], &RULES);
            assert_eq!(scan.held.as_bytes(), &bytes[..cut]);
            assert_eq!(scan.forward_bytes, bytes.len() - cut);
            assert_eq!(scan.stop, Some(ScanStop::Closed(Some(1000))));
        }
    }

    #[test]
    fn stops_behind_a_close_frame() {
        for close in [&b""[..], b"\x03\xe8", b"\x03\xe8reason"] {
            let mut bytes = frame(0x88, close, Sender::Server);
            let end = bytes.len();
            bytes.extend_from_slice(b"whatever");
            let (passed, stop, _) = run_server(&bytes);
            assert_eq!(passed, bytes[..end]);
            assert!(matches!(stop, Some(ScanStop::Closed(_))));
        }
    }

    #[test]
    fn knows_the_boundary_of_what_it_released() {
        let bytes = frame(0x82, &[1; 300], Sender::Server);
        let mut scanner = Scanner::new(Sender::Server);
        assert!(scanner.is_at_boundary());
        scanner.scan(&bytes[..3], &RULES);
        assert!(scanner.is_at_boundary(), "a cut header was not released");
        scanner.scan(&bytes[3..100], &RULES);
        assert!(!scanner.is_at_boundary());
        let mut rest = bytes[100..].to_vec();
        rest.extend(frame(0x82, b"next", Sender::Server));
        assert_eq!(scanner.finish_frame(&rest), (204, None));
        assert!(scanner.is_at_boundary());
        assert_eq!(scanner.finish_frame(&rest[204..]), (0, None));
    }

    #[test]
    fn finishing_a_close_frame_is_its_end() {
        let bytes = frame(0x88, b"\x03\xe8bye", Sender::Server);
        let mut scanner = Scanner::new(Sender::Server);
        assert_eq!(scanner.scan(&bytes[..5], &RULES).stop, None);
        assert_eq!(scanner.finish_frame(&bytes[5..]), (2, Some(ScanStop::Closed(Some(1000)))));
    }

    fn any_frame() -> impl Strategy<Value = (u8, Vec<u8>)> {
        let first = prop_oneof![
            8 => prop::sample::select(vec![0x81u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a]),
            1 => any::<u8>(),
        ];
        let payload = prop_oneof![
            8 => prop::collection::vec(any::<u8>(), 0..6),
            2 => prop::collection::vec(any::<u8>(), 124..130),
            1 => Just(vec![9; 65_537]),
        ];
        (first, payload)
    }

    proptest! {
        #[test]
        fn every_cut_of_the_input_yields_the_same_frames(
            frames in prop::collection::vec(any_frame(), 0..12),
            noise in prop::collection::vec(any::<u8>(), 0..20),
            from_client in any::<bool>(),
            cuts in prop::collection::vec(1usize..40, 0..200),
        ) {
            let sender = if from_client { Sender::Client } else { Sender::Server };
            let rules = FrameRules { frame_bytes_max: 65_537, message_bytes_max: 140_000, ..RULES };
            let mut bytes: Vec<u8> =
                frames.iter().flat_map(|(first, payload)| frame(*first, payload, sender)).collect();
            bytes.extend(noise);
            let mut chunks = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (chunk, behind) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk);
                rest = behind;
            }
            chunks.push(rest);
            prop_assert_eq!(run(&chunks, sender, &rules), run(&[&bytes], sender, &rules));
        }

        #[test]
        fn what_is_passed_on_is_what_came_in(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let (passed, _, _) = run_server(&bytes);
            prop_assert_eq!(&passed[..], &bytes[..passed.len()]);
        }
    }
}
