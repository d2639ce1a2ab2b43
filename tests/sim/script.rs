//! The script of an endpoint: frames whose positions are known from how they were made, so that no scanner is asked.

use fastrand::Rng;
use ringgate::session::{Cause, Leg};
use std::sync::OnceLock;

/// Where one frame lies.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub start: usize,
    /// Behind its header and, for a Close frame, its code: what must be there before any of it is passed on.
    pub judged: usize,
    pub end: usize,
}

/// Why nothing behind a place is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A Close frame ends there.
    Close,
    /// A frame starts there that breaks a rule; the session ends with this cause.
    Fault(Cause),
}

/// The sizes that a session allows.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub frame_bytes_max: usize,
    pub message_bytes_max: usize,
}

/// All that an endpoint will ever send.
#[derive(Clone, Debug)]
pub struct Script {
    from: Leg,
    pub is_opaque: bool,
    pub bytes: Vec<u8>,
    spans: Vec<Span>,
    stop: Option<(usize, Stop)>,
}

impl Script {
    pub fn new(from: Leg, is_opaque: bool) -> Self {
        Self { from, is_opaque, bytes: Vec::new(), spans: Vec::new(), stop: None }
    }

    /// One drawn from `rng`: about `frames` frames within the sizes, perhaps a stop, perhaps something behind it.
    pub fn any(rng: &mut Rng, from: Leg, is_opaque: bool, frames: usize, sizes: Sizes) -> Self {
        let mut script = Self::new(from, is_opaque);
        for _ in 0..frames {
            script.push_any_message(rng, sizes);
        }
        match rng.u8(..10) {
            0..4 => {}
            4..8 => script.push_any_close(rng),
            _ => script.push_any_fault(rng, sizes),
        }
        if script.stop.is_some() && rng.bool() {
            let junk = rng.usize(1..200);
            script.bytes.extend_from_slice(noise(rng, junk));
        }
        script
    }

    fn push_any_message(&mut self, rng: &mut Rng, sizes: Sizes) {
        let largest = sizes.frame_bytes_max;
        let len = match rng.u8(..12) {
            0 => 0,
            1..7 => rng.usize(..largest.min(125)),
            7..10 => rng.usize(..=largest.min(1_000)),
            10 => [125, 126, 65_535, 65_536][rng.usize(..4)].min(largest),
            _ => rng.usize(..=largest),
        };
        match rng.u8(..10) {
            0 => self.push_frame(rng, 0x89, len.min(125)),
            1 => self.push_frame(rng, 0x8a, len.min(125)),
            2 => {
                let share = (sizes.message_bytes_max / 3).min(len);
                self.push_frame(rng, 0x01, share);
                self.push_frame(rng, 0x89, 4);
                self.push_frame(rng, 0x00, share);
                self.push_frame(rng, 0x80, share);
            }
            3..6 => self.push_frame(rng, 0x81, len),
            _ => self.push_frame(rng, 0x82, len),
        }
    }

    /// A whole frame with any payload.
    pub fn push_frame(&mut self, rng: &mut Rng, first: u8, len: usize) {
        let start = self.bytes.len();
        self.push_header(first, len as u64);
        let judged = self.bytes.len();
        self.bytes.extend_from_slice(noise(rng, len));
        self.spans.push(Span { start, judged, end: self.bytes.len() });
    }

    /// A Close frame; without a code it is empty.
    pub fn push_close(&mut self, code: Option<u16>, reason: &str) {
        let start = self.bytes.len();
        let mut payload = Vec::new();
        if let Some(code) = code {
            payload.extend(code.to_be_bytes());
            payload.extend(reason.as_bytes());
        }
        self.push_header(0x88, payload.len() as u64);
        let mask = if self.from == Leg::Downstream { CLIENT_MASK } else { [0; 4] };
        self.bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        let end = self.bytes.len();
        self.spans.push(Span { start, judged: end - payload.len() + code.map_or(0, |_| 2), end });
        self.stop = Some((end, Stop::Close));
    }

    fn push_any_close(&mut self, rng: &mut Rng) {
        match rng.u8(..4) {
            0 => self.push_close(None, ""),
            // The very frames that ringgate makes: they must not be taken for ours.
            1 => self.push_close(Some(1001), "drain"),
            _ => self.push_close(Some(rng.u16(1000..1004)), &"x".repeat(rng.usize(..40))),
        }
    }

    fn push_any_fault(&mut self, rng: &mut Rng, sizes: Sizes) {
        let start = self.bytes.len();
        let mask_bit = self.mask_bit();
        let cause = match rng.u8(..8) {
            0 => {
                self.push_header(0x82, sizes.frame_bytes_max as u64 + 1);
                Cause::FrameTooBig
            }
            1 => {
                // The first fragment is correct.
                self.push_frame(rng, 0x02, 1);
                let start = self.bytes.len();
                let len = sizes.frame_bytes_max as u64;
                self.push_header(0x80, len);
                self.stop = Some((start, Stop::Fault(Cause::MessageTooBig)));
                assert!(len + 1 > sizes.message_bytes_max as u64);
                return self.bytes.extend_from_slice(noise(rng, 20));
            }
            2 => {
                self.push_header(0xc2, 5);
                Cause::FrameFault
            }
            3 => {
                self.push_header(0x83, 5);
                Cause::FrameFault
            }
            4 => {
                // Masked by a server, or unmasked by a client.
                self.bytes.extend([0x82, 5 | (mask_bit ^ 0x80)]);
                self.bytes.extend([1, 2, 3, 4, 5, 6, 7, 8, 9]);
                Cause::FrameFault
            }
            5 => {
                self.push_header(0x80, 5);
                Cause::FrameFault
            }
            6 => {
                self.bytes.extend([0x82, 126 | mask_bit, 0, 5]);
                Cause::FrameFault
            }
            _ => {
                self.push_close(Some(1005), "not to be sent");
                self.spans.pop();
                Cause::FrameFault
            }
        };
        // Enough for every header to be whole.
        self.bytes.extend_from_slice(noise(rng, 20));
        self.stop = Some((start, Stop::Fault(cause)));
    }

    fn push_header(&mut self, first: u8, len: u64) {
        let mask_bit = self.mask_bit();
        self.bytes.push(first);
        match len {
            0..=125 => self.bytes.push(mask_bit | len as u8),
            126..=65_535 => {
                self.bytes.push(mask_bit | 126);
                self.bytes.extend((len as u16).to_be_bytes());
            }
            _ => {
                self.bytes.push(mask_bit | 127);
                self.bytes.extend(len.to_be_bytes());
            }
        }
        if self.from == Leg::Downstream {
            self.bytes.extend(CLIENT_MASK);
        }
    }

    fn mask_bit(&self) -> u8 {
        if self.from == Leg::Downstream { 0x80 } else { 0 }
    }

    /// Why a session that saw `came` bytes of this ends, if it is for something in them.
    pub fn stop_within(&self, came: usize) -> Option<Stop> {
        self.stop.filter(|(at, _)| *at <= came).map(|(_, stop)| stop)
    }

    /// Where its Close frame ends.
    pub fn close_end(&self) -> Option<usize> {
        self.stop.filter(|(_, stop)| *stop == Stop::Close).map(|(at, _)| at)
    }

    /// How much of it may have been passed on when `came` bytes have come: no header before it was judged, nothing behind
    /// a stop.
    pub fn passable(&self, came: usize) -> usize {
        if self.is_opaque {
            return came;
        }
        let came = self.stop.map_or(came, |(at, _)| came.min(at));
        let behind = self.spans.partition_point(|span| span.start < came);
        match behind.checked_sub(1).map(|index| self.spans[index]) {
            Some(span) if came < span.judged => span.start,
            Some(_) | None => came,
        }
    }

    /// The last place up to `at` that is between two frames.
    pub fn boundary_before(&self, at: usize) -> usize {
        let behind = self.spans.partition_point(|span| span.end <= at);
        behind.checked_sub(1).map_or(0, |index| self.spans[index].end)
    }

    /// Ends it behind the frame that byte `sent` lies in, with the answer to a Close frame, if what was sent is correct.
    pub fn end_with_answer(&mut self, sent: usize) {
        if self.is_opaque || self.stop.is_some_and(|(at, _)| at < sent || self.close_end() == Some(at)) {
            return;
        }
        let whole = self.spans.partition_point(|span| span.start < sent);
        let end = whole.checked_sub(1).map_or(0, |index| self.spans[index].end);
        if end < sent {
            return;
        }
        self.bytes.truncate(end);
        self.spans.truncate(whole);
        self.push_close(Some(1000), "");
    }
}

/// The mask of every client's frames.
const CLIENT_MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

/// Bytes without a pattern, the same in every run.
fn noise(rng: &mut Rng, len: usize) -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let noise = NOISE.get_or_init(|| {
        let mut rng = Rng::with_seed(1);
        (0..3 << 20).map(|_| rng.u8(..)).collect()
    });
    let start = rng.usize(..=noise.len() - len);
    &noise[start..start + len]
}
