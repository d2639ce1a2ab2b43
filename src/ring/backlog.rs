//! The bytes that a slow reader has not taken: pieces on the heap, in order.

use super::buffer_pool::BufferPool;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;

/// A piece: what is left of it, and what it takes until it is gone.
#[derive(Debug)]
struct Piece {
    left: Bytes,
    taken_bytes: usize,
}

/// Pieces on the heap. The pool counts what they take, until they are sent or uncounted ([`Backlog::uncount_backlog`]).
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pieces: VecDeque<Piece>,
    /// The bytes that the pool counts for it.
    counted_bytes: usize,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes of heap, those of a piece that is sent in part included.
    pub(super) fn bytes(&self) -> usize {
        self.counted_bytes
    }

    pub(super) fn push(&mut self, pool: &mut BufferPool, bytes: Bytes) {
        pool.add_backlog(bytes.len());
        self.counted_bytes += bytes.len();
        self.pieces.push_back(Piece { taken_bytes: bytes.len(), left: bytes });
    }

    /// Takes over the pieces of another one.
    pub(super) fn append(&mut self, mut other: Self) {
        self.counted_bytes += other.counted_bytes;
        self.pieces.append(&mut other.pieces);
    }

    /// Returns the rest, piece by piece.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(|piece| piece.left.as_ref())
    }

    /// So many bytes were sent; those that were not of this backlog stay in `bytes`.
    pub(super) fn drop_front(&mut self, pool: &mut BufferPool, bytes: &mut usize) {
        while *bytes > 0
            && let Some(piece) = self.pieces.front_mut()
        {
            let sent = piece.left.len().min(*bytes);
            piece.left.advance(sent);
            *bytes -= sent;
            if piece.left.is_empty() {
                let taken_bytes = piece.taken_bytes.min(self.counted_bytes);
                self.counted_bytes -= taken_bytes;
                pool.remove_backlog(taken_bytes);
                self.pieces.pop_front();
            }
        }
    }

    /// The pool counts it no longer.
    pub(super) fn uncount_backlog(&mut self, pool: &mut BufferPool) {
        pool.remove_backlog(std::mem::take(&mut self.counted_bytes));
    }
}
