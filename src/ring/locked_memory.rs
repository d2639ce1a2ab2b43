//! How much memory a ring takes, as the kernel counts it against the limit of locked memory.
//!
//! Not here: the limit (`process::host_limits`), and whether it is counted (`probe`).

/// The kernel counts whole pages. Where they are larger than this, a ring takes a little more than is said here.
const PAGE_BYTES: u64 = 4096;

/// The heads and tails before a ring's completions (`struct io_rings`), rounded up.
const HEADER_BYTES: u64 = 512;

/// Bytes of one entry of a submission queue, of its index, and of a completion.
const SUBMISSION_BYTES: u64 = 64;
const INDEX_BYTES: u64 = 4;
const COMPLETION_BYTES: u64 = 16;

/// The memory of a ring with so many entries in its two queues.
pub const fn ring_bytes(submission_entries: u32, completion_entries: u32) -> u64 {
    let (submissions, completions) = (submission_entries as u64, completion_entries as u64);
    let queues = HEADER_BYTES + completions * COMPLETION_BYTES + submissions * INDEX_BYTES;
    in_pages(queues) + in_pages(submissions * SUBMISSION_BYTES)
}

/// `bytes` in whole pages.
pub const fn in_pages(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_part_of_a_ring_in_whole_pages() {
        assert_eq!(ring_bytes(1, 2), 2 * PAGE_BYTES);
        assert_eq!(ring_bytes(1024, 2048), (10 + 16) * PAGE_BYTES);
        assert_eq!(ring_bytes(1024, 16 * 1024), (66 + 16) * PAGE_BYTES);
    }
}
