//! The list of buffers that the kernel may fill, shared with it (`IORING_REGISTER_PBUF_RING`, Linux 5.19).
//!
//! Entries are written first, and published once per turn by moving the tail.
//!
//! The kernel takes buffers in the order in which they were posted, so it cycles through all that are posted. For small messages
//! the ring is filled; for bulk only few are posted, so that the bytes of one cycle stay in the cache ([`PostedTarget`]).

use super::buffer_pool::{BufferIndex, BufferPool};
use crate::limits::{BUFFER_BYTES, BUFFERS_POSTED, BUFFERS_POSTED_LEAST};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering};
use io_uring::types::BufRingEntry;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Bytes that the posted buffers are to receive together, at the mean of what came lately. The kernel fills them in turn, so
/// this is the memory that bulk goes through: about a quarter of a core's second-level cache.
const POSTED_BYTES_EXPECTED: usize = 512 * 1024;

/// The one buffer group of a relay's ring.
pub(super) const BUFFER_GROUP: u16 = 0;

/// Bytes of the memory that the kernel takes posted buffers from.
pub(super) const REGION_BYTES: usize = BUFFERS_POSTED as usize * size_of::<BufRingEntry>();
const MASK: u16 = BUFFERS_POSTED - 1;

pub(super) struct BufferRing {
    entries: NonNull<BufRingEntry>,
    tail: u16,
    target: PostedTarget,
}

/// How many buffers to have posted.
#[derive(Debug, Default)]
struct PostedTarget {
    /// Mean of what buffers received lately, in bytes, times `MEAN_OVER`.
    mean_times_over: usize,
}

/// Buffers over which the mean of what they receive is taken, roughly.
const MEAN_OVER: usize = 32;

impl PostedTarget {
    fn note_received(&mut self, bytes: usize) {
        self.mean_times_over = self.mean_times_over - self.mean_times_over / MEAN_OVER + bytes;
    }

    fn buffers(&self) -> usize {
        let expected = POSTED_BYTES_EXPECTED * MEAN_OVER / self.mean_times_over.max(1);
        expected.clamp(usize::from(BUFFERS_POSTED_LEAST), usize::from(BUFFERS_POSTED))
    }
}

impl BufferRing {
    /// Maps the list and registers it with a ring.
    ///
    /// # Errors
    /// The kernel does not have buffer rings, or the system refuses the mapping.
    #[expect(unsafe_code, reason = "shares memory with the kernel")]
    pub(super) fn register(ring: &io_uring::IoUring) -> std::io::Result<Self> {
        // SAFETY: a fresh anonymous mapping, page-aligned as the kernel wants it; it is never unmapped while registered.
        let memory = unsafe {
            mmap_anonymous(
                core::ptr::null_mut(),
                REGION_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }?;
        let entries = NonNull::new(memory.cast::<BufRingEntry>()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        // SAFETY: the region holds `BUFFERS_POSTED` entries and outlives the registration (`close`).
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                entries.as_ptr() as u64,
                BUFFERS_POSTED,
                BUFFER_GROUP,
                0,
            )
        }?;
        Ok(Self { entries, tail: 0, target: PostedTarget::default() })
    }

    /// A posted buffer came back with so many bytes.
    pub(super) fn note_received(&mut self, bytes: usize) {
        self.target.note_received(bytes);
    }

    /// Posts free buffers of the pool until as many are posted as are to be.
    #[expect(unsafe_code, reason = "writes memory shared with the kernel")]
    pub(super) fn top_up(&mut self, pool: &mut BufferPool) {
        let before = self.tail;
        let target = self.target.buffers();
        while pool.posted() < target {
            let Some(index) = pool.take_to_post() else { break };
            self.write_entry(pool, index);
        }
        if self.tail != before {
            // SAFETY: the tail lies in the first entry's reserved field, in the registered region; the kernel reads it
            // with acquire semantics, and nobody but this thread writes it.
            unsafe {
                let tail = BufRingEntry::tail(self.entries.as_ptr()).cast_mut();
                AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
            }
        }
    }

    #[expect(unsafe_code, reason = "writes memory shared with the kernel")]
    fn write_entry(&mut self, pool: &BufferPool, index: BufferIndex) {
        // SAFETY: within the region by the mask. The kernel does not read entries between its head and the published
        // tail, and at most `BUFFERS_POSTED` are posted, so this entry is not one that it may still read. The fields are
        // set one by one because the first entry's reserved field is the tail.
        unsafe {
            let entry = self.entries.add(usize::from(self.tail & MASK)).as_mut();
            entry.set_addr(pool.address(index) as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(index);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Takes the list back from the kernel and unmaps it. The posted buffers belong to the pool again.
    #[expect(unsafe_code, reason = "unmaps the region")]
    pub(super) fn close(self, ring: &io_uring::IoUring) -> std::io::Result<()> {
        ring.submitter().unregister_buf_ring(BUFFER_GROUP)?;
        // SAFETY: the mapping of `register`, which the kernel has just given up.
        unsafe { munmap(self.entries.as_ptr().cast(), REGION_BYTES) }?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target_after(bytes: usize) -> usize {
        let mut target = PostedTarget::default();
        for _ in 0..10 * MEAN_OVER {
            target.note_received(bytes);
        }
        target.buffers()
    }

    #[test]
    fn few_buffers_are_posted_for_bulk_and_many_for_small_messages() {
        assert_eq!(PostedTarget::default().buffers(), 256);
        assert_eq!(target_after(64), 256);
        assert_eq!(target_after(2 * 1024), 256);
        assert!((32..=36).contains(&target_after(16 * 1024)), "{}", target_after(16 * 1024));
        assert_eq!(target_after(BUFFER_BYTES), 16);
    }

    #[test]
    fn one_large_message_among_small_ones_changes_little() {
        let mut target = PostedTarget::default();
        for _ in 0..1_000 {
            target.note_received(100);
        }
        target.note_received(BUFFER_BYTES);
        assert!(target.buffers() > 200, "{}", target.buffers());
    }
}
