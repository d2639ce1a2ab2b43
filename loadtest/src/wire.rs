//! The few bytes of HTTP and WebSocket that a load generator needs: prebuilt frames, and frames told apart by length.

/// RFC 6455 §1.3's key; every session sends the same one.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The accept value for [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A frame from a client. Its mask is zero, so that the payload reads the same on both legs.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(14 + payload.len());
    put_header(&mut frame, first, payload.len(), 0x80);
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// Appends the header of a frame; `mask_bit` is 0x80 if a mask follows.
pub fn put_header(out: &mut Vec<u8>, first: u8, len: usize, mask_bit: u8) {
    out.push(first);
    match len {
        0..=125 => out.push(mask_bit | len as u8),
        126..=65_535 => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// An opening handshake for `path`.
pub fn opening(host: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
    .into_bytes()
}

/// Where a head ends, its empty line included.
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// A part of the stream that a frame reader found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A whole header.
    Header {
        /// FIN, reserved bits and opcode.
        first: u8,
        /// Declared payload in bytes.
        len: u64,
        /// The mask; zero without one.
        mask: [u8; 4],
    },
    /// Some of the payload.
    Payload(&'a [u8]),
    /// The frame is over.
    End,
}

/// Tells frames apart in any cut of a stream. It trusts its peer: the gateway is what judges.
#[derive(Clone, Debug, Default)]
pub struct FrameReader {
    header: [u8; 14],
    have: usize,
    left: u64,
    is_in_payload: bool,
}

impl FrameReader {
    /// Takes the next bytes; `take` gets the parts in order.
    pub fn read<'a>(&mut self, mut bytes: &'a [u8], mut take: impl FnMut(Part<'a>)) {
        while !bytes.is_empty() {
            if !self.is_in_payload {
                let needed = self.needed();
                let taken = (needed - self.have).min(bytes.len());
                self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
                self.have += taken;
                bytes = &bytes[taken..];
                if self.have < self.needed() {
                    continue;
                }
                self.begin(&mut take);
            } else {
                let taken = self.left.min(bytes.len() as u64) as usize;
                self.left -= taken as u64;
                take(Part::Payload(&bytes[..taken]));
                bytes = &bytes[taken..];
            }
            if self.left == 0 {
                self.is_in_payload = false;
                self.have = 0;
                take(Part::End);
            }
        }
    }

    /// Whether the stream stands between two frames.
    pub fn is_between_frames(&self) -> bool {
        self.have == 0
    }

    fn needed(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let extended = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + extended + if self.header[1] & 0x80 != 0 { 4 } else { 0 }
    }

    fn begin<'a>(&mut self, take: &mut impl FnMut(Part<'a>)) {
        let (len, mask_at) = match self.header[1] & 0x7f {
            126 => (u64::from(u16::from_be_bytes([self.header[2], self.header[3]])), 4),
            127 => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(&self.header[2..10]);
                (u64::from_be_bytes(bytes), 10)
            }
            short => (u64::from(short), 2),
        };
        let mut mask = [0; 4];
        if self.header[1] & 0x80 != 0 {
            mask.copy_from_slice(&self.header[mask_at..mask_at + 4]);
        }
        self.left = len;
        self.is_in_payload = true;
        take(Part::Header { first: self.header[0], len, mask });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_tells_the_same_frames_apart() {
        let mut bytes = client_frame(0x82, &[1; 5]);
        bytes.extend(client_frame(0x82, &[]));
        bytes.extend(client_frame(0x82, &[2; 300]));
        bytes.extend(client_frame(0x88, &[3, 232]));
        for step in 1..bytes.len() {
            let mut reader = FrameReader::default();
            let (mut lens, mut ends, mut payload) = (Vec::new(), 0, 0);
            for chunk in bytes.chunks(step) {
                reader.read(chunk, |part| match part {
                    Part::Header { len, .. } => lens.push(len),
                    Part::Payload(bytes) => payload += bytes.len(),
                    Part::End => ends += 1,
                });
            }
            assert_eq!((lens, ends, payload), (vec![5, 0, 300, 2], 4, 307), "step {step}");
            assert!(reader.is_between_frames());
        }
    }
}
