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

/// ```text
/// Size --; or space--> Extension --CR--> SizeEnd --LF--> Data --all of it--> DataEnd --CR--> DataLf --LF--> Size
///   '---------CR--------------------------^   '--LF, size 0--> TrailerStart --CR--> End --LF--> Done
///                                        Trailer <--other--'  ^
///                                           '--CR--> TrailerLf --LF
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
        match self.state {
            State::Size | State::Extension | State::SizeEnd if self.line_bytes >= CHUNK_LINE_BYTES_MAX => {
                Err(AnswerFault::ChunkLineTooLong)
            }
            State::TrailerStart | State::Trailer | State::TrailerLf | State::End
                if self.line_bytes >= TRAILER_BYTES_MAX =>
            {
                Err(AnswerFault::TrailersTooBig)
            }
            _ => Ok(()),
        }
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
