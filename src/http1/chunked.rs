//! Decodes a chunked body (RFC 9112 §7.1) that arrives in pieces.
//!
//! Input may be cut anywhere: every cut yields the same payload and the same end. Chunk extensions and trailers are
//! read, bounded and dropped: the body goes on with a length of its own.
//!
//! Not here: how much of a body is kept (the shell looks at the payload after each piece, which adds at most its own
//! length).

use super::answer_fault::AnswerFault;
use super::lines::is_control;
use crate::limits::{CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX};

/// How far a body has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkedProgress {
    /// The input was used up and the body goes on.
    More,
    /// The body has ended, trailers included.
    Done {
        /// How many bytes of this input belonged to it.
        consumed: usize,
    },
}

/// Each line is one transition, by what comes next.
///
/// ```text
/// Size         --CR--> SizeEnd     --;, SP, HTAB--> Extension     --digit--> Size
/// Extension    --CR--> SizeEnd     --other--> Extension
/// SizeEnd      --LF, size over 0--> Data     --LF, size 0--> TrailerStart
/// Data         --size bytes--> DataEnd --CR--> DataLf --LF--> Size
/// TrailerStart --CR--> End --LF--> Done     --other--> Trailer
/// Trailer      --CR--> TrailerLf --LF--> TrailerStart     --other--> Trailer
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeEnd,
    Data,
    DataEnd,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    End,
    Done,
}

/// The state of one body.
#[derive(Clone, Debug)]
pub struct ChunkedDecoder {
    state: State,
    /// While its size is read: the size so far. Then: what is still to come of the chunk.
    chunk_bytes: u64,
    has_digit: bool,
    /// Bytes of the chunk line so far, or of the trailer section.
    line_bytes: usize,
}

impl Default for ChunkedDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkedDecoder {
    /// Stands in front of the first chunk.
    pub fn new() -> Self {
        Self { state: State::Size, chunk_bytes: 0, has_digit: false, line_bytes: 0 }
    }

    /// Takes the next piece of the body, and appends the payload in it to `payload`.
    ///
    /// A decoder that is done consumes nothing more.
    ///
    /// # Errors
    /// `MalformedChunk`, `ChunkLineTooLong` or `TrailersTooBig`. What follows in the stream has no meaning then, and the
    /// decoder is not to be used again.
    pub fn decode(&mut self, input: &[u8], payload: &mut Vec<u8>) -> Result<ChunkedProgress, AnswerFault> {
        let mut consumed = 0;
        while self.state != State::Done {
            if self.state == State::Data {
                let rest = &input[consumed..];
                let len = usize::try_from(self.chunk_bytes).map_or(rest.len(), |bytes| bytes.min(rest.len()));
                payload.extend_from_slice(&rest[..len]);
                consumed += len;
                self.chunk_bytes -= len as u64;
                if self.chunk_bytes == 0 {
                    self.state = State::DataEnd;
                }
            }
            let Some(&byte) = input.get(consumed) else { return Ok(ChunkedProgress::More) };
            self.step(byte)?;
            consumed += 1;
        }
        Ok(ChunkedProgress::Done { consumed })
    }

    /// Takes one byte that is not payload.
    fn step(&mut self, byte: u8) -> Result<(), AnswerFault> {
        self.line_bytes += 1;
        self.state = match (self.state, byte) {
            (State::Size, digit) if digit.is_ascii_hexdigit() => {
                self.add_digit(digit)?;
                State::Size
            }
            (State::Size | State::Extension, b'\r') if self.has_digit => State::SizeEnd,
            // RFC 9112 §7.1.1: BWS may stand in front of an extension. Behind that, only its characters are checked.
            (State::Size, b';' | b' ' | b'\t') if self.has_digit => State::Extension,
            (State::Extension, byte) if !is_control(byte) => State::Extension,
            (State::SizeEnd, b'\n') => {
                self.line_bytes = 0;
                if self.chunk_bytes > 0 { State::Data } else { State::TrailerStart }
            }
            (State::DataEnd, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                (self.has_digit, self.line_bytes) = (false, 0);
                State::Size
            }
            (State::TrailerStart, b'\r') => State::End,
            // RFC 9112 §5.2: no obs-fold.
            (State::TrailerStart, byte) if !is_control(byte) && byte != b' ' && byte != b'\t' => {
                State::Trailer
            }
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::Trailer, byte) if !is_control(byte) => State::Trailer,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::End, b'\n') => State::Done,
            (_, _) => return Err(AnswerFault::MalformedChunk),
        };
        let (bytes_max, fault) = match self.state {
            State::Size | State::Extension | State::SizeEnd => {
                (CHUNK_LINE_BYTES_MAX, AnswerFault::ChunkLineTooLong)
            }
            State::TrailerStart | State::Trailer | State::TrailerLf | State::End => {
                (TRAILER_BYTES_MAX, AnswerFault::TrailersTooBig)
            }
            State::Data | State::DataEnd | State::DataLf | State::Done => return Ok(()),
        };
        // Each of these states has at least one byte of the line or section still to come.
        if self.line_bytes >= bytes_max { Err(fault) } else { Ok(()) }
    }

    fn add_digit(&mut self, digit: u8) -> Result<(), AnswerFault> {
        let digit = char::from(digit).to_digit(16).ok_or(AnswerFault::MalformedChunk)?;
        if !self.has_digit {
            (self.has_digit, self.chunk_bytes) = (true, 0);
        }
        self.chunk_bytes = self
            .chunk_bytes
            .checked_mul(16)
            .and_then(|bytes| bytes.checked_add(u64::from(digit)))
            .ok_or(AnswerFault::MalformedChunk)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Payload and end of `pieces`, or the fault.
    fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, Option<usize>), AnswerFault> {
        let (mut decoder, mut payload, mut before) = (ChunkedDecoder::new(), Vec::new(), 0);
        for piece in pieces {
            if let ChunkedProgress::Done { consumed } = decoder.decode(piece, &mut payload)? {
                return Ok((payload, Some(before + consumed)));
            }
            before += piece.len();
        }
        Ok((payload, None))
    }

    #[test]
    fn decodes_chunks_extensions_and_trailers() {
        let table: &[(&[u8], &[u8], Option<usize>)] = &[
            (b"0\r\n\r\n", b"", Some(5)),
            (b"3\r\nabc\r\n0\r\n\r\nnext", b"abc", Some(13)),
            (b"A\r\n0123456789\r\n00a\r\n0123456789\r\n000\r\n\r\n", b"01234567890123456789", Some(39)),
            (b"1;a=b;c=\"d\"\r\nx\r\n0 ;e\r\n\r\n", b"x", Some(24)),
            (b"1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", b"x", Some(23)),
            (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", Some(12)),
            (b"5\r\nabc", b"abc", None),
            (b"3\r\nabc\r\n0\r\n", b"abc", None),
            (b"", b"", None),
            (b"ffffffffffffffff\r\nab", b"ab", None),
        ];
        for (body, payload, end) in table {
            assert_eq!(decode(&[body]), Ok((payload.to_vec(), *end)), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn refuses_malformed_chunks() {
        for body in [
            &b"\r\n"[..],
            b";a\r\n",
            b" 1\r\n",
            b"-1\r\n",
            b"0x1\r\n",
            b"g\r\n",
            b"1\nx",
            b"1\rx",
            b"1;a\nx",
            b"1;\0\r\n",
            b"1\r\nxy",
            b"1\r\nx\n",
            b"1\r\nx\r0",
            b"10000000000000000\r\n",
            b"0\r\n\n",
            b"0\r\n\rx",
            b"0\r\n a: b\r\n",
            b"0\r\na: b\n",
            b"0\r\na: \0\r\n",
        ] {
            assert_eq!(decode(&[body]), Err(AnswerFault::MalformedChunk), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn bounds_the_chunk_line_and_the_trailers() {
        let line = |len: usize| [&b"1;"[..], &vec![b'a'; len - 4], b"\r\nx\r\n0\r\n\r\n"].concat();
        assert!(decode(&[&line(CHUNK_LINE_BYTES_MAX)]).is_ok_and(|(_, end)| end.is_some()));
        assert_eq!(decode(&[&line(CHUNK_LINE_BYTES_MAX + 1)]), Err(AnswerFault::ChunkLineTooLong));
        assert_eq!(decode(&[&[b'0'; CHUNK_LINE_BYTES_MAX]]), Err(AnswerFault::ChunkLineTooLong));

        let trailers = |len: usize| [&b"0\r\na:"[..], &vec![b'b'; len - 6], b"\r\n\r\n"].concat();
        assert!(decode(&[&trailers(TRAILER_BYTES_MAX)]).is_ok_and(|(_, end)| end.is_some()));
        assert_eq!(decode(&[&trailers(TRAILER_BYTES_MAX + 1)]), Err(AnswerFault::TrailersTooBig));
    }

    #[test]
    fn a_decoder_that_is_done_consumes_nothing_more() {
        let (mut decoder, mut payload) = (ChunkedDecoder::new(), Vec::new());
        assert_eq!(decoder.decode(b"0\r\n\r\n", &mut payload), Ok(ChunkedProgress::Done { consumed: 5 }));
        assert_eq!(decoder.decode(b"1\r\nx", &mut payload), Ok(ChunkedProgress::Done { consumed: 0 }));
        assert!(payload.is_empty());
    }

    fn arbitrary_body() -> impl Strategy<Value = Vec<u8>> {
        let chunk = prop_oneof![
            8 => prop::collection::vec(any::<u8>(), 1..40)
                .prop_map(|payload| [format!("{:x}\r\n", payload.len()).as_bytes(), &payload, b"\r\n"].concat()),
            2 => Just(b"2 ;a=b\r\nxy\r\n".to_vec()),
            1 => Just(b"0\r\n\r\n".to_vec()),
            1 => Just(b"0\r\nA: b\r\n\r\n".to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..8),
        ];
        prop::collection::vec(chunk, 0..10).prop_map(|chunks| chunks.concat())
    }

    proptest! {
        #[test]
        fn every_cut_decodes_to_the_same(body in arbitrary_body(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut start = 0;
            for cut in cuts.into_iter().chain([body.len()]) {
                pieces.push(&body[start..cut]);
                start = cut;
            }
            let single_bytes: Vec<&[u8]> = body.chunks(1).collect();
            prop_assert_eq!(decode(&pieces), decode(&[&body]));
            prop_assert_eq!(decode(&single_bytes), decode(&[&body]));
        }
    }
}
