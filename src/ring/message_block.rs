//! The memory of one vectored send: a message header and the pieces it points to.

use crate::limits::SEND_PIECES_MAX;

/// A `msghdr` and its `iovec`s. It stays in one place (on the heap) while the kernel reads it.
pub struct MessageBlock {
    header: libc::msghdr,
    pieces: [libc::iovec; SEND_PIECES_MAX],
}

impl core::fmt::Debug for MessageBlock {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "MessageBlock({} pieces)", self.header.msg_iovlen)
    }
}

impl MessageBlock {
    /// An empty one.
    pub fn new() -> Box<Self> {
        const NOTHING: libc::iovec = libc::iovec { iov_base: core::ptr::null_mut(), iov_len: 0 };
        Box::new(Self {
            header: libc::msghdr {
                msg_name: core::ptr::null_mut(),
                msg_namelen: 0,
                msg_iov: core::ptr::null_mut(),
                msg_iovlen: 0,
                msg_control: core::ptr::null_mut(),
                msg_controllen: 0,
                msg_flags: 0,
            },
            pieces: [NOTHING; SEND_PIECES_MAX],
        })
    }

    /// Forgets its pieces.
    pub fn clear(&mut self) {
        self.header.msg_iovlen = 0;
    }

    /// Adds a piece; one beyond `SEND_PIECES_MAX` is not taken.
    pub fn push(&mut self, piece: &[u8]) {
        if let Some(place) = self.pieces.get_mut(self.header.msg_iovlen) {
            // The kernel only reads what a send points to.
            *place = libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() };
            self.header.msg_iovlen += 1;
        }
    }

    /// How many pieces it has.
    pub fn len(&self) -> usize {
        self.header.msg_iovlen
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The address and length of its first piece.
    pub fn first(&self) -> (*const u8, usize) {
        (self.pieces[0].iov_base.cast_const().cast(), self.pieces[0].iov_len)
    }

    /// The address for the kernel, valid while the block lives.
    pub fn as_message(&mut self) -> *const libc::msghdr {
        self.header.msg_iov = self.pieces.as_mut_ptr();
        &raw const self.header
    }
}
