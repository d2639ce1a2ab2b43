//! The memory of received bytes, from the kernel's write to the end of the send.
//!
//! One region of equal buffers. The buffer that was received is the buffer that is sent: a [`Chunk`] names the received bytes and
//! moves from the completion into a send queue and back to the pool. An idle session owns none.
//!
//! ```text
//! ┌────────────┬──────────────────────────────┬───────┐
//! │ headroom   │ written by the kernel        │ skew  │   one buffer of the region
//! └────────────┴──────────────────────────────┴───────┘
//!   the cut start of a header goes here        spreads the buffers' first lines over the cache's sets
//! ```
//!
//! The free list is last in, first out, so that a lightly used pool stays within few cache lines and pages.
//!
//! The property to trust: no buffer is in two places. Every move is asserted in release builds too: the kernel would otherwise
//! write into a buffer that was returned twice while another session's bytes are sent from it.

use super::backlog::Backlog;
use crate::limits::{BUFFER_BYTES, BUFFER_HEADROOM_BYTES};
use core::ops::Range;
use core::ptr::NonNull;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Bytes behind a received buffer, so that the buffers' first lines do not all fall into the same sets of the cache.
const BUFFER_SKEW_BYTES: usize = 192;

const _: () = assert!(BUFFER_HEADROOM_BYTES > crate::websocket::scanner::HELD_BYTES_MAX);

/// Bytes from one buffer's start to the next one's.
const STRIDE_BYTES: usize = BUFFER_HEADROOM_BYTES + BUFFER_BYTES + BUFFER_SKEW_BYTES;

/// The room around the bytes of a full buffer with the longest cut header in front: the rest of the headroom, and the skew.
pub const ROOM_AROUND_BYTES: usize =
    BUFFER_HEADROOM_BYTES - crate::websocket::scanner::HELD_BYTES_MAX + BUFFER_SKEW_BYTES;

/// A buffer's number in its pool.
pub type BufferIndex = u16;

/// A buffer's number or none, in as many bytes as a number has: every carrier has some of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct OptionalIndex(BufferIndex);

impl OptionalIndex {
    /// No buffer has this number: of 65,535 at most, the last one's is below.
    const NONE: Self = Self(BufferIndex::MAX);

    pub(super) fn get(self) -> Option<BufferIndex> {
        (self != Self::NONE).then_some(self.0)
    }
}

impl From<Option<BufferIndex>> for OptionalIndex {
    fn from(index: Option<BufferIndex>) -> Self {
        index.map_or(Self::NONE, Self)
    }
}

impl Default for OptionalIndex {
    fn default() -> Self {
        Self::NONE
    }
}

impl core::fmt::Debug for OptionalIndex {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.get().fmt(formatter)
    }
}

/// Received bytes: a range of one buffer that the pool lent out. It goes back by [`BufferPool::release`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a chunk that is dropped is a buffer lost"]
pub struct Chunk {
    index: BufferIndex,
    start: u32,
    len: u32,
}

impl Chunk {
    /// How many bytes.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps only the first `len` bytes; a larger `len` keeps all.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len as u32);
    }

    /// Drops the first `bytes`; more than there are drops all.
    pub fn advance(&mut self, bytes: usize) {
        let bytes = self.len.min(bytes as u32);
        self.start += bytes;
        self.len -= bytes;
    }

    /// The buffer that it lies in.
    pub fn index(&self) -> BufferIndex {
        self.index
    }

    /// Its parts, for a queue that links chunks; made whole again by [`Chunk::from_parts`].
    pub(super) fn into_parts(self) -> (BufferIndex, u32, u32) {
        (self.index, self.start, self.len)
    }

    pub(super) fn from_parts(index: BufferIndex, start: u32, len: u32) -> Self {
        Self { index, start, len }
    }
}

/// A link of a send queue: where its chunk lies, and the next one's buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    pub(super) start: u32,
    pub(super) len: u32,
    pub(super) next: Option<BufferIndex>,
}

/// Where a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Place {
    Free,
    /// The kernel may write into it.
    Posted,
    /// A chunk names it: its bytes are on their way, and a send in flight may read them.
    LentOut,
}

/// All received buffers of one relay.
///
/// Every buffer is in exactly one place: free, posted to the kernel, or lent out as a chunk.
#[derive(Debug)]
pub struct BufferPool {
    memory: NonNull<u8>,
    buffers: usize,
    free: Vec<BufferIndex>,
    /// The place of each buffer.
    places: Box<[Place]>,
    posted: usize,
    /// The kernel gave up what was posted: the pool is at its end.
    is_given_up: bool,
    links: Vec<Link>,
    /// The backlog on the heap that goes out behind a buffer's bytes.
    followers: Vec<Option<Box<Backlog>>>,
    /// Bytes of heap that queues hold for readers that have fallen behind.
    backlog_bytes: usize,
}

impl BufferPool {
    /// The capacity of a buffer when all of it is written by us.
    pub const ROOM_BYTES: usize = STRIDE_BYTES;

    /// Reserves the memory of so many buffers; pages are taken when they are first used.
    ///
    /// # Errors
    /// The system refuses the mapping.
    #[expect(unsafe_code, reason = "maps the region that the kernel will write into")]
    pub fn new(buffers: u16) -> std::io::Result<Self> {
        let buffers = usize::from(buffers);
        // Miri knows private mappings only.
        let flags = if cfg!(miri) { MapFlags::PRIVATE } else { MapFlags::PRIVATE | MapFlags::NORESERVE };
        // SAFETY: a fresh anonymous mapping; nothing else refers to it, and it lives until `drop`.
        let memory = unsafe {
            mmap_anonymous(
                core::ptr::null_mut(),
                buffers * STRIDE_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                flags,
            )
        }?;
        let memory = NonNull::new(memory.cast()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            memory,
            buffers,
            // The first one to be taken is buffer 0.
            free: (0..buffers as BufferIndex).rev().collect(),
            places: vec![Place::Free; buffers].into(),
            posted: 0,
            is_given_up: false,
            links: vec![Link::default(); buffers],
            followers: (0..buffers).map(|_| None).collect(),
            backlog_bytes: 0,
        })
    }

    /// Buffers that are neither free nor posted: their bytes wait to be sent.
    pub fn lent_out(&self) -> usize {
        self.buffers - self.free.len() - self.posted
    }

    /// Bytes that queues moved to the heap because their readers have fallen behind.
    pub fn backlog_bytes(&self) -> usize {
        self.backlog_bytes
    }

    /// A queue moved so many bytes to the heap.
    pub fn add_backlog(&mut self, bytes: usize) {
        self.backlog_bytes += bytes;
    }

    /// So many of them are gone.
    ///
    /// # Panics
    /// More than there are: then nobody knows what all sessions together hold.
    pub fn remove_backlog(&mut self, bytes: usize) {
        let left = self.backlog_bytes.checked_sub(bytes);
        self.backlog_bytes = left.expect("what leaves the backlog was counted when it came");
    }

    /// How many buffers there are.
    pub fn buffers(&self) -> usize {
        self.buffers
    }

    /// Buffers that are posted to the kernel.
    pub fn posted(&self) -> usize {
        self.posted
    }

    /// Takes a free buffer to post it; the kernel may write into it until it comes back with a completion.
    pub fn take_to_post(&mut self) -> Option<BufferIndex> {
        let index = self.take_free(Place::Posted)?;
        self.posted += 1;
        Some(index)
    }

    fn take_free(&mut self, to: Place) -> Option<BufferIndex> {
        let index = self.free.pop()?;
        self.move_buffer(index, Place::Free, to);
        Some(index)
    }

    /// A buffer goes from one place to another.
    ///
    /// # Panics
    /// It is not where it should be.
    fn move_buffer(&mut self, index: BufferIndex, from: Place, to: Place) {
        let place = std::mem::replace(&mut self.places[usize::from(index)], to);
        assert!(
            place == from,
            "buffer {index} is in one place: it becomes {to:?}, was to be {from:?}, and is {place:?}"
        );
    }

    /// The kernel gave up its list while no buffer was lent out: nothing refers to the memory any more.
    pub(super) fn give_up(&mut self) {
        self.is_given_up = true;
    }

    /// Where the kernel may write `BUFFER_BYTES` of a posted buffer.
    pub(super) fn address(&self, index: BufferIndex) -> *mut u8 {
        self.pointer(index, BUFFER_HEADROOM_BYTES)
    }

    /// A posted buffer came back with `len` received bytes. With none it is free again.
    ///
    /// # Panics
    /// `index` is no posted buffer of this pool or `len` is more than one holds: the kernel said what cannot be.
    pub fn take_received(&mut self, index: BufferIndex, len: usize) -> Option<Chunk> {
        assert!(
            usize::from(index) < self.buffers && len <= BUFFER_BYTES,
            "a completion names a buffer of the pool and what it holds: buffer {index} of {}, {len} bytes of {BUFFER_BYTES}",
            self.buffers
        );
        self.move_buffer(index, Place::Posted, Place::LentOut);
        self.posted -= 1;
        let chunk = Chunk { index, start: BUFFER_HEADROOM_BYTES as u32, len: len as u32 };
        if len == 0 {
            self.release(chunk);
            return None;
        }
        Some(chunk)
    }

    /// Gives a buffer back.
    ///
    /// # Panics
    /// It was given back before.
    pub fn release(&mut self, chunk: Chunk) {
        self.move_buffer(chunk.index, Place::LentOut, Place::Free);
        self.free.push(chunk.index);
    }

    /// The bytes of a chunk.
    #[expect(unsafe_code, reason = "reads the mapping")]
    pub fn bytes(&self, chunk: &Chunk) -> &[u8] {
        // SAFETY: a chunk lies within its buffer (`take_received`, `prepend` and `advance` keep it there), its buffer is
        // lent out, so the kernel does not write to it, and nobody else does while `self` is borrowed.
        unsafe { core::slice::from_raw_parts(self.pointer(chunk.index, chunk.start as usize), chunk.len()) }
    }

    /// A chunk's whole buffer, for who works on its bytes in place, and where in it they lie.
    #[expect(unsafe_code, reason = "lends the mapping")]
    pub fn room(&mut self, chunk: &Chunk) -> (&mut [u8], Range<usize>) {
        let start = chunk.start as usize;
        // SAFETY: the buffer is within the region, and lent out as `chunk`: the kernel does not write to it. Nobody else
        // refers to it while `self` is borrowed mutably; a chunk in a queue is not at hand, so no send reads it.
        let buffer = unsafe { core::slice::from_raw_parts_mut(self.pointer(chunk.index, 0), STRIDE_BYTES) };
        (buffer, start..start + chunk.len())
    }

    /// A chunk's bytes are these of its buffer from here on.
    ///
    /// # Panics
    /// The range leaves the buffer.
    pub fn place(&self, chunk: &mut Chunk, range: Range<usize>) {
        assert!(range.start <= range.end && range.end <= STRIDE_BYTES, "a chunk stays within its buffer");
        chunk.start = range.start as u32;
        chunk.len = (range.end - range.start) as u32;
    }

    /// Puts `bytes` in front of a chunk, into its headroom. `false`: that is too short, and nothing was written.
    #[expect(unsafe_code, reason = "writes the headroom")]
    #[must_use = "without room nothing was written"]
    pub fn prepend(&mut self, chunk: &mut Chunk, bytes: &[u8]) -> bool {
        let Some(start) = (chunk.start as usize).checked_sub(bytes.len()) else { return false };
        // SAFETY: the headroom belongs to the buffer of `chunk`, which is lent out; `bytes` comes from elsewhere because
        // `self` is borrowed mutably.
        unsafe {
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), self.pointer(chunk.index, start), bytes.len());
        }
        chunk.start = start as u32;
        chunk.len += bytes.len() as u32;
        true
    }

    /// Copies a chunk's bytes behind those that the link of buffer `last` names, if they fit.
    #[expect(unsafe_code, reason = "writes the mapping")]
    pub(super) fn append(&mut self, last: BufferIndex, chunk: &Chunk) -> bool {
        let link = self.link(last);
        let end = (link.start + link.len) as usize;
        let is_followed = self.follower(last).is_some();
        if last == chunk.index || is_followed || end + chunk.len() > BUFFER_HEADROOM_BYTES + BUFFER_BYTES {
            return false;
        }
        // SAFETY: the place lies within the buffer by the check above. That buffer is lent out and its link is not part
        // of a send in flight (the queue's business), so nobody reads or writes it; the chunk lies in another buffer.
        unsafe {
            core::ptr::copy_nonoverlapping(
                self.pointer(chunk.index, chunk.start as usize),
                self.pointer(last, end),
                chunk.len(),
            );
        }
        self.link_mut(last).len += chunk.len;
        true
    }

    /// Takes a free buffer that is to be written here, with nothing in it.
    pub fn take_empty(&mut self) -> Option<Chunk> {
        let index = self.take_free(Place::LentOut)?;
        Some(Chunk { index, start: BUFFER_HEADROOM_BYTES as u32, len: 0 })
    }

    /// A chunk's bytes, and all of another one's buffer to be written.
    ///
    /// # Panics
    /// Both are one buffer.
    #[expect(unsafe_code, reason = "lends the mapping")]
    pub fn bytes_and_room(&mut self, from: &Chunk, to: &Chunk) -> (&[u8], &mut [u8]) {
        assert!(from.index != to.index, "two chunks lie in two buffers");
        // SAFETY: as for `bytes` and `room`; the two buffers do not overlap.
        unsafe {
            let bytes =
                core::slice::from_raw_parts(self.pointer(from.index, from.start as usize), from.len());
            (bytes, core::slice::from_raw_parts_mut(self.pointer(to.index, 0), STRIDE_BYTES))
        }
    }

    /// Writes received bytes into a posted buffer, as the kernel would: for a simulated ring.
    #[expect(unsafe_code, reason = "writes the mapping")]
    pub fn fill(&mut self, index: BufferIndex, bytes: &[u8]) {
        assert!(usize::from(index) < self.buffers && bytes.len() <= BUFFER_BYTES);
        // SAFETY: within the buffer by the assertion; a posted buffer has no other reader or writer in a simulation.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), self.address(index), bytes.len()) };
    }

    /// Returns the backlog that goes out behind a buffer's bytes.
    pub(super) fn follower(&self, index: BufferIndex) -> Option<&Backlog> {
        self.followers[usize::from(index)].as_deref()
    }

    /// As [`Self::follower`], to be changed or taken.
    pub(super) fn follower_mut(&mut self, index: BufferIndex) -> &mut Option<Box<Backlog>> {
        &mut self.followers[usize::from(index)]
    }

    pub(super) fn link(&self, index: BufferIndex) -> Link {
        self.links[usize::from(index)]
    }

    pub(super) fn link_mut(&mut self, index: BufferIndex) -> &mut Link {
        &mut self.links[usize::from(index)]
    }

    fn pointer(&self, index: BufferIndex, offset: usize) -> *mut u8 {
        assert!(usize::from(index) < self.buffers && offset <= STRIDE_BYTES, "within a buffer of the pool");
        self.memory.as_ptr().wrapping_add(usize::from(index) * STRIDE_BYTES + offset)
    }
}

impl Drop for BufferPool {
    #[expect(unsafe_code, reason = "unmaps the region")]
    fn drop(&mut self) {
        // A posted buffer may still be written by the kernel, and one that is lent out may be read by a send in flight:
        // their addresses must not be reused, so the memory stays mapped.
        if self.is_given_up || (self.posted == 0 && self.lent_out() == 0) {
            // SAFETY: the mapping of `new`; no chunk and no posted buffer refers to it any more.
            let _ = unsafe { munmap(self.memory.as_ptr().cast(), self.buffers * STRIDE_BYTES) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(pool: &mut BufferPool, bytes: &[u8]) -> Chunk {
        let index = pool.take_to_post().expect("a free buffer");
        pool.fill(index, bytes);
        pool.take_received(index, bytes.len()).expect("some bytes")
    }

    #[test]
    fn every_buffer_is_in_one_place() {
        let mut pool = BufferPool::new(3).unwrap();
        let chunk = receive(&mut pool, b"abc");
        let posted = pool.take_to_post().unwrap();
        assert_eq!((pool.lent_out(), pool.posted()), (1, 1));
        assert_eq!(pool.take_received(posted, 0), None);
        assert_eq!((pool.lent_out(), pool.posted()), (1, 0));
        pool.release(chunk);
        assert_eq!(pool.lent_out(), 0);
    }

    #[test]
    fn a_number_or_none_is_either() {
        for index in [None, Some(0), Some(BufferIndex::MAX - 1)] {
            assert_eq!(OptionalIndex::from(index).get(), index);
        }
        assert_eq!(OptionalIndex::default().get(), None);
    }

    #[test]
    fn takes_the_buffer_that_was_last_given_back() {
        let mut pool = BufferPool::new(8).unwrap();
        let first = receive(&mut pool, b"1");
        let second = receive(&mut pool, b"2");
        let index = first.index();
        pool.release(second);
        pool.release(first);
        assert_eq!(pool.take_to_post(), Some(index));
        pool.take_received(index, 0);
    }

    #[test]
    fn a_chunk_shrinks_from_both_ends_and_grows_into_its_headroom() {
        let mut pool = BufferPool::new(1).unwrap();
        let mut chunk = receive(&mut pool, b"56789");
        assert!(pool.prepend(&mut chunk, b"01234"));
        assert_eq!(pool.bytes(&chunk), b"0123456789");
        chunk.advance(3);
        chunk.truncate(4);
        assert_eq!(pool.bytes(&chunk), b"3456");
        chunk.advance(100);
        assert!(chunk.is_empty());
        pool.release(chunk);
    }

    #[test]
    fn a_full_buffer_with_the_longest_cut_header_stays_within_bounds() {
        let mut pool = BufferPool::new(2).unwrap();
        let mut chunk = receive(&mut pool, &[7; BUFFER_BYTES]);
        assert!(pool.prepend(&mut chunk, &[9; crate::websocket::scanner::HELD_BYTES_MAX]));
        assert_eq!(chunk.len(), BUFFER_BYTES + crate::websocket::scanner::HELD_BYTES_MAX);
        assert!(pool.bytes(&chunk).ends_with(&[7; 100]));
        assert!(!pool.prepend(&mut chunk, &[0; BUFFER_HEADROOM_BYTES]), "no room is left for that much");
        pool.release(chunk);
    }

    /// No build lets a buffer that the kernel may touch be in two places.
    #[test]
    fn a_buffer_that_would_be_in_two_places_is_a_panic_in_every_build() {
        type Violation = (&'static str, fn(&mut BufferPool));
        let violations: [Violation; 7] = [
            ("given back twice", |pool| {
                let chunk = receive(pool, b"abc");
                let twin = Chunk { index: chunk.index, start: chunk.start, len: chunk.len };
                pool.release(chunk);
                pool.release(twin);
            }),
            ("given back while it is posted", |pool| {
                let index = pool.take_to_post().unwrap();
                pool.release(Chunk { index, start: 0, len: 1 });
            }),
            ("posted twice", |pool| {
                let index = pool.take_to_post().unwrap();
                pool.free.push(index);
                pool.take_to_post();
            }),
            ("received twice", |pool| {
                let index = pool.take_to_post().unwrap();
                let _first = pool.take_received(index, 1);
                let _second = pool.take_received(index, 1);
            }),
            ("received without being posted", |pool| {
                let _chunk = pool.take_received(0, 1);
            }),
            ("received beyond its end", |pool| {
                let index = pool.take_to_post().unwrap();
                let _chunk = pool.take_received(index, BUFFER_BYTES + 1);
            }),
            ("read beyond the pool", |pool| {
                let _bytes = pool.bytes(&Chunk { index: 3, start: 0, len: 1 });
            }),
        ];
        for (what, violate) in violations {
            let mut pool = BufferPool::new(3).unwrap();
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| violate(&mut pool)));
            assert!(outcome.is_err(), "a buffer is {what}");
        }
    }
}
