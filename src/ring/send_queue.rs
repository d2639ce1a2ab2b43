//! The bytes that wait to be sent on one socket, in order, in the buffers in which they arrived.
//!
//! ```text
//!   early bytes (heap)  →  backlog (heap)  →  chunk → chunk (linked through the pool)  →  Close frame of ours (heap)
//!   └── at the start only  └── of a reader that has fallen behind,                        └── at the end only
//!                              or what came in pieces; such a piece may follow a chunk too
//! ```
//!
//! A slow reader holds no received buffer for long: [`SendQueue::move_to_heap`] takes them from it, and later bytes join that
//! backlog. The pool counts the bytes of all backlogs.
//!
//! One send is in flight at a time (two could reorder). Its memory stays untouched until its completion: while it is in flight
//! nothing leaves the queue, and dropping the queue aborts the process. The same holds for buffers that were lent to the kernel:
//! they leave the queue when they are sent, and stay with it until the kernel returns them.
//!
//! All of this is asserted in release builds too: freeing memory that the kernel reads would send one session's bytes to another.
//!
//! Not here: the order of queued bytes. It concerns one session only, so the relay checks it, and ends that session.

use super::backlog::Backlog;
use super::buffer_pool::{BufferIndex, BufferPool, Chunk, OptionalIndex};
use super::message_block::MessageBlock;
use crate::limits::{BUFFER_BYTES, SEND_PIECES_MAX};
use bytes::{Buf, Bytes, BytesMut};

/// Largest received piece, in bytes, that is copied behind what already waits for a reader that has fallen behind. A larger
/// one keeps its own buffer, which it fills well enough.
const COPIED_BYTES_MAX: usize = 16 * 1024;

/// The queue of one socket. An empty one owns nothing.
#[derive(Debug, Default)]
pub struct SendQueue {
    early: Option<Box<Bytes>>,
    backlog: Option<Box<Backlog>>,
    /// Its reader has fallen behind: what comes joins the backlog until that is gone.
    is_behind: bool,
    first: OptionalIndex,
    last: OptionalIndex,
    farewell: Option<Box<Bytes>>,
    is_in_flight: bool,
    /// The last chunk when the send in flight began: it may be part of it.
    last_in_flight: OptionalIndex,
    /// The pieces of the send in flight, if it is a vectored one.
    block: Option<Box<MessageBlock>>,
    /// Chunks that were sent, or were to be, and that the kernel may still read.
    lent: Option<Box<[Chunk]>>,
}

impl SendQueue {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.first.get().is_none()
            && self.early.is_none()
            && self.backlog.is_none()
            && self.farewell.is_none()
    }

    /// Whether received buffers wait in it.
    pub fn holds_buffers(&self) -> bool {
        self.first.get().is_some()
    }

    /// Whether the last bytes there will be are queued.
    pub fn has_farewell(&self) -> bool {
        self.farewell.is_some()
    }

    /// Bytes of heap that it holds, as the pool counts them.
    pub fn heap_bytes(&self, pool: &BufferPool) -> usize {
        let mut bytes = self.backlog.as_ref().map_or(0, |backlog| backlog.bytes());
        self.for_each_buffer(pool, |index| bytes += pool.follower(index).map_or(0, Backlog::bytes));
        bytes
    }

    /// Whether a send is in flight.
    pub fn is_in_flight(&self) -> bool {
        self.is_in_flight
    }

    /// Whether the kernel still has buffers of an earlier send.
    pub fn has_lent(&self) -> bool {
        self.lent.is_some()
    }

    /// Bytes at the front that a send could lend to the kernel: those of received buffers, if nothing stands before them.
    pub fn lendable_bytes(&self, pool: &BufferPool) -> usize {
        let mut bytes = 0;
        self.for_each_lendable(pool, SEND_PIECES_MAX, |piece| bytes += piece.len());
        bytes
    }

    /// The received buffers at the front, as many as `limit`; none if anything stands before them.
    pub fn for_each_lendable(&self, pool: &BufferPool, limit: usize, mut take: impl FnMut(&[u8])) {
        if self.early.is_some() || self.backlog.is_some() {
            return;
        }
        let (mut at, mut left) = (self.first.get(), limit);
        while let Some(index) = at.filter(|_| left > 0) {
            let link = pool.link(index);
            take(pool.bytes(&Chunk::from_parts(index, link.start, link.len)));
            // What follows a buffer's bytes has to go out before the next buffer.
            at = link.next.filter(|_| pool.follower(index).is_none());
            left -= 1;
        }
    }

    /// Returns the chunks of an earlier send that the kernel may still read.
    pub fn lent(&self) -> &[Chunk] {
        self.lent.as_ref().map_or(&[], |lent| lent)
    }

    /// Hands over what the kernel may still read, to be kept unchanged until it is given back.
    pub fn take_lent(&mut self) -> Option<Vec<Chunk>> {
        self.lent.take().map(<[Chunk]>::into_vec)
    }

    /// Queues bytes that came before the session began. Nothing else is queued yet.
    ///
    /// # Panics
    /// A send is in flight: it may be of such bytes, which would be freed.
    pub fn push_early(&mut self, bytes: Bytes) {
        assert!(!self.is_in_flight, "what the kernel reads is not replaced");
        if !bytes.is_empty() {
            self.early = Some(Box::new(bytes));
        }
    }

    /// Queues received bytes.
    ///
    /// Small ones that come while a send is in flight are copied behind the last chunk, where that is not part of the
    /// send and has room: a reader that falls behind with small messages would hold a whole buffer for each.
    pub fn push(&mut self, pool: &mut BufferPool, chunk: Chunk) {
        if let Some(backlog) = self.backlog.as_mut().filter(|_| self.is_behind && self.first.get().is_none())
        {
            let bytes = Bytes::copy_from_slice(pool.bytes(&chunk));
            backlog.push(pool, bytes);
            return pool.release(chunk);
        }
        if let Some(last) = self.last.get()
            && self.is_in_flight
            && self.last_in_flight.get() != Some(last)
            && chunk.len() <= COPIED_BYTES_MAX
            && pool.append(last, &chunk)
        {
            return pool.release(chunk);
        }
        let (index, start, len) = chunk.into_parts();
        *pool.link_mut(index) = super::buffer_pool::Link { start, len, next: None };
        match self.last.get() {
            Some(last) => pool.link_mut(last).next = Some(index),
            None => self.first = Some(index).into(),
        }
        self.last = Some(index).into();
    }

    /// Queues bytes that stand on the heap already.
    pub fn push_heap(&mut self, pool: &mut BufferPool, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let Some(last) = self.last.get() else {
            return self.backlog.get_or_insert_default().push(pool, bytes);
        };
        let mut follower = pool.follower_mut(last).take().unwrap_or_default();
        follower.push(pool, bytes);
        *pool.follower_mut(last) = Some(follower);
    }

    /// Moves what waits in received buffers to the heap, and gives the buffers back.
    ///
    /// # Panics
    /// A send is in flight.
    pub fn move_to_heap(&mut self, pool: &mut BufferPool) {
        assert!(!self.is_in_flight, "what the kernel reads stays where it is");
        let mut pieces = Backlog::default();
        let mut joined = BytesMut::new();
        while let Some(index) = self.first.get() {
            let link = pool.link(index);
            let chunk = Chunk::from_parts(index, link.start, link.len);
            // Pieces of about a buffer's size: each is given back as a whole when it is sent.
            if joined.len() + chunk.len() > BUFFER_BYTES && !joined.is_empty() {
                pieces.push(pool, joined.split().freeze());
            }
            joined.extend_from_slice(pool.bytes(&chunk));
            let follower = pool.follower_mut(index).take();
            self.drop_first(pool);
            if let Some(follower) = follower {
                pieces.push(pool, joined.split().freeze());
                pieces.append(*follower);
            }
        }
        if !joined.is_empty() {
            pieces.push(pool, joined.freeze());
        }
        if !pieces.is_empty() {
            self.is_behind = true;
            self.backlog.get_or_insert_default().append(pieces);
        }
    }

    /// Nobody takes what is queued: it counts as gone, though a send in flight may still hold it for a moment.
    pub fn uncount_backlog(&mut self, pool: &mut BufferPool) {
        if let Some(backlog) = &mut self.backlog {
            backlog.uncount_backlog(pool);
        }
        let mut at = self.first.get();
        while let Some(index) = at {
            if let Some(mut follower) = pool.follower_mut(index).take() {
                follower.uncount_backlog(pool);
                *pool.follower_mut(index) = Some(follower);
            }
            at = pool.link(index).next;
        }
    }

    /// Queues the last bytes there will be.
    ///
    /// # Panics
    /// They were queued before: a send in flight may be of them, and they would be freed.
    pub fn push_farewell(&mut self, bytes: Bytes) {
        assert!(self.farewell.is_none(), "what the kernel reads is not replaced");
        self.farewell = Some(Box::new(bytes));
    }

    /// The pieces in order, as many as `limit`.
    pub fn for_each_piece(&self, pool: &BufferPool, limit: usize, mut take: impl FnMut(&[u8])) {
        let mut left = limit;
        let mut give = |bytes: &[u8]| {
            if left > 0 {
                left -= 1;
                take(bytes);
            }
            left > 0
        };
        if self.early.as_ref().is_some_and(|early| !give(early)) {
            return;
        }
        if self.backlog.as_ref().is_some_and(|backlog| !backlog.pieces().all(&mut give)) {
            return;
        }
        let mut at = self.first.get();
        while let Some(index) = at {
            let link = pool.link(index);
            let chunk = Chunk::from_parts(index, link.start, link.len);
            if !give(pool.bytes(&chunk)) {
                return;
            }
            if pool.follower(index).is_some_and(|follower| !follower.pieces().all(&mut give)) {
                return;
            }
            at = link.next;
        }
        if let Some(farewell) = &self.farewell {
            give(farewell);
        }
    }

    /// Returns the waiting bytes and, apart from them, the last bytes of the stream if they are queued.
    ///
    /// # Panics
    /// A send is in flight: how much of it is gone is not known.
    pub fn to_bytes(&self, pool: &BufferPool) -> (Vec<u8>, Option<&[u8]>) {
        // Every field, so that one that is added is thought of here: what waits is what `for_each_piece` visits.
        let Self {
            early: _,
            backlog: _,
            is_behind: _,
            first: _,
            last: _,
            farewell,
            is_in_flight,
            last_in_flight: _,
            block: _,
            lent: _,
        } = self;
        assert!(!is_in_flight, "what is in flight has left in part");
        let mut queued = Vec::new();
        self.for_each_piece(pool, usize::MAX, |piece| queued.extend_from_slice(piece));
        let farewell = farewell.as_ref().map(|farewell| &farewell[..]);
        queued.truncate(queued.len() - farewell.map_or(0, <[u8]>::len));
        (queued, farewell)
    }

    /// The received buffers that wait in it, in order.
    pub fn for_each_buffer(&self, pool: &BufferPool, mut take: impl FnMut(BufferIndex)) {
        let mut at = self.first.get();
        while let Some(index) = at {
            take(index);
            at = pool.link(index).next;
        }
    }

    /// Marks the front of the queue as in flight; `block` holds its pieces if it is a vectored send.
    ///
    /// # Panics
    /// A send is in flight, or nothing waits.
    pub(super) fn begin_send(&mut self, block: Option<Box<MessageBlock>>) {
        assert!(!self.is_in_flight && !self.is_empty(), "one send is in flight at a time, and of something");
        self.is_in_flight = true;
        self.last_in_flight = self.last;
        self.block = block;
    }

    /// Marks the queue as in flight, with nothing of it: what goes before it waits for room.
    ///
    /// # Panics
    /// A send is in flight.
    pub fn begin_wait(&mut self) {
        assert!(!self.is_in_flight, "room is waited for while no send is in flight");
        self.is_in_flight = true;
        self.last_in_flight = None.into();
    }

    /// The send in flight is over and sent so many bytes, which leave the queue. Gives its pieces' memory back.
    ///
    /// # Panics
    /// No send is in flight.
    pub(super) fn end_send(&mut self, pool: &mut BufferPool, sent: usize) -> Option<Box<MessageBlock>> {
        assert!(self.is_in_flight, "a send that is over was in flight");
        self.is_in_flight = false;
        self.drop_front(pool, sent);
        self.block.take()
    }

    /// Marks the lendable front of the queue as in flight; `block` holds its pieces.
    ///
    /// # Panics
    /// A send is in flight, an earlier one has not given back what it was lent, or there is nothing to lend.
    pub(super) fn begin_zero_copy(&mut self, block: Box<MessageBlock>) {
        assert!(!block.is_empty() && self.lent.is_none(), "one send lends at a time, and something");
        self.begin_send(Some(block));
    }

    /// A send that lends is over, and so many bytes of it went out. All its buffers stay lent; what was not sent of them goes on
    /// from a copy.
    ///
    /// # Panics
    /// No send is in flight.
    pub(super) fn end_zero_copy(&mut self, pool: &mut BufferPool, sent: usize) -> Option<Box<MessageBlock>> {
        assert!(self.is_in_flight, "a send that is over was in flight");
        self.is_in_flight = false;
        let block = self.block.take();
        self.lend_front(pool, block.as_ref().map_or(0, |block| block.len()), sent);
        block
    }

    fn lend_front(&mut self, pool: &mut BufferPool, buffers: usize, mut sent: usize) {
        let mut lent = Vec::with_capacity(buffers);
        while lent.len() < buffers
            && let Some(index) = self.first.get()
        {
            let link = pool.link(index);
            let chunk = Chunk::from_parts(index, link.start, link.len);
            self.first = link.next.into();
            if self.first.get().is_none() {
                self.last = None.into();
            }
            let gone = chunk.len().min(sent);
            sent -= gone;
            if gone < chunk.len() {
                let rest = Bytes::copy_from_slice(&pool.bytes(&chunk)[gone..]);
                self.backlog.get_or_insert_default().push(pool, rest);
            }
            if let Some(follower) = pool.follower_mut(index).take() {
                self.backlog.get_or_insert_default().append(*follower);
            }
            lent.push(chunk);
        }
        self.lent = Some(lent.into_boxed_slice());
    }

    /// Drops all that waits.
    ///
    /// # Panics
    /// A send is in flight.
    pub fn clear(&mut self, pool: &mut BufferPool) {
        assert!(!self.is_in_flight, "what the kernel reads is not freed");
        self.early = None;
        self.farewell = None;
        while self.first.get().is_some() {
            self.drop_first(pool);
        }
        if let Some(mut backlog) = self.backlog.take() {
            backlog.uncount_backlog(pool);
        }
        self.is_behind = false;
    }

    /// For a simulated ring: marks the front as in flight.
    pub fn begin_simulated_send(&mut self) {
        self.begin_send(None);
    }

    /// For a simulated ring: the send in flight is over and sent so many bytes.
    pub fn end_simulated_send(&mut self, pool: &mut BufferPool, sent: usize) {
        self.end_send(pool, sent);
    }

    /// For a simulated ring: the send in flight, which lent so many buffers, is over and sent so many bytes.
    pub fn end_simulated_zero_copy(&mut self, pool: &mut BufferPool, buffers: usize, sent: usize) {
        assert!(self.is_in_flight, "a send that is over was in flight");
        self.is_in_flight = false;
        self.lend_front(pool, buffers, sent);
    }

    fn drop_front(&mut self, pool: &mut BufferPool, mut bytes: usize) {
        Self::drop_front_of_heap(&mut self.early, &mut bytes);
        self.drop_front_of_backlog(pool, &mut bytes);
        while bytes > 0
            && let Some(index) = self.first.get()
        {
            let link = pool.link_mut(index);
            if bytes < link.len as usize {
                link.start += bytes as u32;
                link.len -= bytes as u32;
                return;
            }
            bytes -= link.len as usize;
            self.drop_first(pool);
            self.drop_front_of_backlog(pool, &mut bytes);
        }
        Self::drop_front_of_heap(&mut self.farewell, &mut bytes);
    }

    fn drop_front_of_backlog(&mut self, pool: &mut BufferPool, bytes: &mut usize) {
        if let Some(backlog) = &mut self.backlog {
            backlog.drop_front(pool, bytes);
            if backlog.is_empty() {
                self.backlog = None;
                self.is_behind = false;
            }
        }
    }

    fn drop_front_of_heap(piece: &mut Option<Box<Bytes>>, bytes: &mut usize) {
        if let Some(left) = piece {
            let dropped = left.len().min(*bytes);
            left.advance(dropped);
            *bytes -= dropped;
            if left.is_empty() {
                *piece = None;
            }
        }
    }

    fn drop_first(&mut self, pool: &mut BufferPool) {
        if let Some(index) = self.first.get() {
            let link = pool.link(index);
            self.first = link.next.into();
            if self.first.get().is_none() {
                self.last = None.into();
            }
            // What followed it is what goes out next.
            if let Some(follower) = pool.follower_mut(index).take() {
                self.backlog.get_or_insert_default().append(*follower);
            }
            pool.release(Chunk::from_parts(index, link.start, link.len));
        }
    }
}

impl Drop for SendQueue {
    fn drop(&mut self) {
        if self.is_in_flight || self.lent.is_some() {
            // The kernel still reads this memory: going on would hand it to someone else.
            std::process::abort();
        }
        // Buffers that are lost are no danger, and a relay clears a queue before it drops it.
        let owns_nothing = self.first.get().is_none() && self.backlog.is_none();
        debug_assert!(owns_nothing, "a queue gives back what it holds before it is dropped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &mut SendQueue, pool: &mut BufferPool, bytes: &[u8]) {
        let index = pool.take_to_post().unwrap();
        pool.fill(index, bytes);
        let chunk = pool.take_received(index, bytes.len()).unwrap();
        queue.push(pool, chunk);
    }

    fn content(queue: &SendQueue, pool: &BufferPool) -> Vec<u8> {
        let mut content = Vec::new();
        queue.for_each_piece(pool, usize::MAX, |piece| content.extend_from_slice(piece));
        content
    }

    #[test]
    fn keeps_order_whatever_is_sent_at_a_time() {
        let whole = b"earlyonetwothreebye";
        for step in 1..=whole.len() {
            let mut pool = BufferPool::new(4).unwrap();
            let mut queue = SendQueue::default();
            queue.push_early(Bytes::from_static(b"early"));
            for part in [&b"one"[..], b"two", b"three"] {
                push(&mut queue, &mut pool, part);
            }
            queue.push_farewell(Bytes::from_static(b"bye"));
            let mut sent = 0;
            while !queue.is_empty() {
                assert_eq!(content(&queue, &pool), whole[sent..]);
                queue.begin_simulated_send();
                let now = step.min(whole.len() - sent);
                queue.end_simulated_send(&mut pool, now);
                sent += now;
            }
            assert_eq!((sent, pool.lent_out()), (whole.len(), 0), "step {step}");
        }
    }

    #[test]
    fn keeps_order_when_a_reader_falls_behind_at_any_moment() {
        let whole = b"onetwothreefourfivesixbye";
        for step in 1..=whole.len() {
            let mut pool = BufferPool::new(4).unwrap();
            let mut queue = SendQueue::default();
            push(&mut queue, &mut pool, b"one");
            push(&mut queue, &mut pool, b"two");
            queue.begin_simulated_send();
            push(&mut queue, &mut pool, b"three");
            let now = step.min(content(&queue, &pool).len());
            queue.end_simulated_send(&mut pool, now);
            let mut sent = now;
            queue.move_to_heap(&mut pool);
            assert_eq!(pool.lent_out(), 0, "a backlog holds no buffer");
            push(&mut queue, &mut pool, b"four");
            if !queue.is_empty() {
                queue.begin_simulated_send();
                push(&mut queue, &mut pool, b"five");
                queue.end_simulated_send(&mut pool, 0);
                queue.move_to_heap(&mut pool);
            } else {
                push(&mut queue, &mut pool, b"five");
            }
            push(&mut queue, &mut pool, b"six");
            queue.push_farewell(Bytes::from_static(b"bye"));
            while !queue.is_empty() {
                assert_eq!(content(&queue, &pool), whole[sent..], "step {step}");
                queue.begin_simulated_send();
                let now = step.min(whole.len() - sent);
                queue.end_simulated_send(&mut pool, now);
                sent += now;
            }
            assert_eq!((sent, pool.lent_out(), pool.backlog_bytes()), (whole.len(), 0, 0), "step {step}");
        }
    }

    #[test]
    fn what_stands_on_the_heap_keeps_its_place_among_the_buffers() {
        let whole = b"zeroonetwothreefourfivesixbye";
        for step in 1..=whole.len() {
            for falls_behind_at in 0..=whole.len() / step {
                let mut pool = BufferPool::new(4).unwrap();
                let mut queue = SendQueue::default();
                queue.push_heap(&mut pool, Bytes::from_static(b"zero"));
                push(&mut queue, &mut pool, b"one");
                queue.push_heap(&mut pool, Bytes::from_static(b"two"));
                queue.push_heap(&mut pool, Bytes::from_static(b"three"));
                queue.begin_simulated_send();
                queue.push_heap(&mut pool, Bytes::from_static(b"four"));
                push(&mut queue, &mut pool, b"five");
                let mut sent = step.min(10);
                queue.end_simulated_send(&mut pool, sent);
                queue.push_heap(&mut pool, Bytes::from_static(b"six"));
                queue.push_farewell(Bytes::from_static(b"bye"));
                let mut turn = 0;
                while !queue.is_empty() {
                    if turn == falls_behind_at {
                        queue.move_to_heap(&mut pool);
                        assert_eq!(pool.lent_out(), 0);
                    }
                    assert_eq!(content(&queue, &pool), whole[sent..], "step {step}, turn {turn}");
                    queue.begin_simulated_send();
                    let now = step.min(whole.len() - sent);
                    queue.end_simulated_send(&mut pool, now);
                    sent += now;
                    turn += 1;
                }
                assert_eq!((sent, pool.lent_out(), pool.backlog_bytes()), (whole.len(), 0, 0), "step {step}");
            }
        }
    }

    #[test]
    fn what_is_cleared_or_uncounted_counts_no_longer_wherever_it_stands() {
        for is_uncounted in [false, true] {
            let mut pool = BufferPool::new(4).unwrap();
            let mut queue = SendQueue::default();
            queue.push_heap(&mut pool, Bytes::from_static(b"in front"));
            push(&mut queue, &mut pool, b"one");
            queue.push_heap(&mut pool, Bytes::from_static(b"behind"));
            push(&mut queue, &mut pool, b"two");
            assert_eq!(pool.backlog_bytes(), 14);
            if is_uncounted {
                queue.begin_simulated_send();
                queue.uncount_backlog(&mut pool);
                assert_eq!(pool.backlog_bytes(), 0);
                queue.end_simulated_send(&mut pool, 12);
            }
            queue.clear(&mut pool);
            assert_eq!((pool.lent_out(), pool.backlog_bytes()), (0, 0));
        }
    }

    #[test]
    fn a_backlog_counts_until_it_is_sent_cleared_or_uncounted() {
        let mut pool = BufferPool::new(4).unwrap();
        let mut queue = SendQueue::default();
        push(&mut queue, &mut pool, &[7; 1000]);
        queue.move_to_heap(&mut pool);
        assert_eq!((pool.backlog_bytes(), queue.heap_bytes(&pool)), (1000, 1000));
        push(&mut queue, &mut pool, &[8; 500]);
        assert_eq!((pool.backlog_bytes(), pool.lent_out()), (1500, 0));
        queue.begin_simulated_send();
        queue.end_simulated_send(&mut pool, 999);
        assert_eq!(pool.backlog_bytes(), 1500, "a piece is given back as a whole");
        queue.begin_simulated_send();
        queue.end_simulated_send(&mut pool, 2);
        assert_eq!(pool.backlog_bytes(), 500);
        queue.begin_simulated_send();
        queue.uncount_backlog(&mut pool);
        assert_eq!((pool.backlog_bytes(), content(&queue, &pool).len()), (0, 499));
        queue.end_simulated_send(&mut pool, 100);
        queue.clear(&mut pool);
        assert_eq!(pool.backlog_bytes(), 0);
    }

    #[test]
    fn limits_the_pieces_of_one_send() {
        let mut pool = BufferPool::new(4).unwrap();
        let mut queue = SendQueue::default();
        for part in [&b"a"[..], b"b", b"c"] {
            push(&mut queue, &mut pool, part);
        }
        let mut pieces = 0;
        queue.for_each_piece(&pool, 2, |_| pieces += 1);
        assert_eq!(pieces, 2);
        queue.clear(&mut pool);
        assert_eq!(pool.lent_out(), 0);
    }

    #[test]
    fn a_reader_that_falls_behind_with_small_messages_holds_few_buffers() {
        let mut pool = BufferPool::new(8).unwrap();
        let mut queue = SendQueue::default();
        push(&mut queue, &mut pool, b"in flight");
        queue.begin_simulated_send();
        let mut expected = b"in flight".to_vec();
        for number in 0..50_000u32 {
            push(&mut queue, &mut pool, &number.to_be_bytes());
            expected.extend(number.to_be_bytes());
        }
        // 200,000 bytes fill three buffers and some of a fourth.
        assert_eq!(pool.lent_out(), 5);
        assert!(content(&queue, &pool) == expected);
        queue.end_simulated_send(&mut pool, 9);
        // What is not in flight any more is joined, not copied.
        let before = pool.lent_out();
        push(&mut queue, &mut pool, b"next");
        assert_eq!(pool.lent_out(), before + 1);
        expected.extend(b"next");
        assert!(content(&queue, &pool) == expected[9..]);
        queue.clear(&mut pool);
        assert_eq!(pool.lent_out(), 0);
    }

    #[test]
    fn never_writes_behind_a_chunk_that_is_in_flight() {
        let mut pool = BufferPool::new(8).unwrap();
        let mut queue = SendQueue::default();
        push(&mut queue, &mut pool, b"one");
        push(&mut queue, &mut pool, b"two");
        queue.begin_simulated_send();
        push(&mut queue, &mut pool, b"three");
        assert_eq!(pool.lent_out(), 3);
        queue.end_simulated_send(&mut pool, 4);
        queue.begin_simulated_send();
        push(&mut queue, &mut pool, b"four");
        assert_eq!(pool.lent_out(), 3, "half of two, three, and four by itself");
        queue.end_simulated_send(&mut pool, 2);
        assert_eq!(content(&queue, &pool), b"threefour");
        queue.clear(&mut pool);
    }

    #[test]
    fn takes_more_while_a_send_is_in_flight() {
        let mut pool = BufferPool::new(4).unwrap();
        let mut queue = SendQueue::default();
        push(&mut queue, &mut pool, b"first");
        queue.begin_simulated_send();
        push(&mut queue, &mut pool, b"second");
        queue.end_simulated_send(&mut pool, 5);
        assert_eq!(content(&queue, &pool), b"second");
        queue.clear(&mut pool);
    }

    type Violation = (&'static str, fn(&mut SendQueue, &mut BufferPool));

    /// Violations that no build may let happen to memory that the kernel may read.
    const VIOLATIONS: [Violation; 10] = [
        ("cleared in flight", |queue, pool| {
            queue.begin_send(None);
            queue.clear(pool);
        }),
        ("moved to the heap in flight", |queue, pool| {
            queue.begin_send(None);
            queue.move_to_heap(pool);
        }),
        ("sent twice", |queue, _| {
            queue.begin_send(None);
            queue.begin_send(None);
        }),
        ("waited for in flight", |queue, _| {
            queue.begin_send(None);
            queue.begin_wait();
        }),
        ("lent twice", |queue, pool| {
            let block = || {
                let mut block = MessageBlock::new();
                block.push(b"some");
                block
            };
            queue.begin_zero_copy(block());
            queue.end_zero_copy(pool, 2);
            queue.begin_zero_copy(block());
        }),
        ("given other early bytes in flight", |queue, _| {
            queue.begin_send(None);
            queue.push_early(Bytes::from_static(b"early"));
        }),
        ("given another farewell", |queue, _| {
            queue.push_farewell(Bytes::from_static(b"bye"));
            queue.begin_send(None);
            queue.push_farewell(Bytes::from_static(b"bye"));
        }),
        ("said to be sent and not in flight", |queue, pool| {
            queue.end_send(pool, 1);
        }),
        ("said to be lent and not in flight", |queue, pool| {
            queue.end_zero_copy(pool, 1);
        }),
        ("sent with nothing in it", |queue, pool| {
            queue.clear(pool);
            queue.begin_send(None);
        }),
    ];

    #[test]
    fn whoever_frees_or_moves_what_the_kernel_reads_panics_in_every_build() {
        for (what, violate) in VIOLATIONS {
            let mut pool = BufferPool::new(4).unwrap();
            // Never dropped: one that is in flight would abort.
            let mut queue = std::mem::ManuallyDrop::new(SendQueue::default());
            push(&mut queue, &mut pool, b"some");
            push(&mut queue, &mut pool, b"more");
            let violated = std::panic::AssertUnwindSafe(|| violate(&mut queue, &mut pool));
            assert!(std::panic::catch_unwind(violated).is_err(), "a queue is {what}");
        }
    }

    #[test]
    #[ignore = "ends its process: dropping_what_the_kernel_reads_aborts runs it in one of its own"]
    fn child_drops_a_queue_in_flight() {
        let mut pool = BufferPool::new(4).unwrap();
        let mut queue = SendQueue::default();
        push(&mut queue, &mut pool, b"some");
        queue.begin_send(None);
        drop(queue);
    }

    #[test]
    #[ignore = "ends its process: dropping_what_the_kernel_reads_aborts runs it in one of its own"]
    fn child_drops_a_queue_that_lends() {
        let mut pool = BufferPool::new(4).unwrap();
        let mut queue = SendQueue::default();
        push(&mut queue, &mut pool, b"some");
        queue.begin_send(None);
        queue.end_simulated_zero_copy(&mut pool, 1, 4);
        drop(queue);
    }

    #[test]
    #[cfg_attr(miri, ignore = "starts processes")]
    fn dropping_what_the_kernel_reads_aborts() {
        for child in ["child_drops_a_queue_in_flight", "child_drops_a_queue_that_lends"] {
            let ended = crate::process::fatal::child::run(&format!("ring::send_queue::tests::{child}"));
            assert!(crate::process::fatal::child::is_aborted(&ended), "{child}: {:?}", ended.status);
        }
    }
}
