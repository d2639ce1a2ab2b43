//! One operation on the front's ring, from its submission to its one completion.
//!
//! Memory that the kernel may touch is owned by the operation, never by the caller: tokio-uring keeps it until the completion,
//! also if the waiting future is dropped. The descriptor is part of it, so its number cannot be closed and reused while the
//! kernel works on it.
//!
//! Not here: the list of operations (`socket`); operations with more than one completion, which tokio-uring lacks.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;

use io_uring_06::{cqueue, squeue, types};
use tokio::time::{Instant, timeout_at};
use tokio_uring::{OneshotOutputTransform, UnsubmittedOneshot};

/// Runs one operation and gives back what it kept, with the completion's result: a count, a mask or a descriptor.
///
/// `describe` builds the submission. A pointer that it takes from `kept` must point into memory that stays in place
/// when `kept` itself moves: the heap of a `Box`, `Vec` or `Bytes`, not a field of `kept`.
///
/// # Errors
/// The kernel's, from the completion.
///
/// # Panics
/// Outside a tokio-uring runtime.
pub(super) async fn run<Kept: Unpin + 'static>(
    descriptor: &Arc<OwnedFd>,
    mut kept: Kept,
    describe: impl FnOnce(types::Fd, &mut Kept) -> squeue::Entry,
) -> (io::Result<u32>, Kept) {
    let entry = describe(types::Fd(descriptor.as_raw_fd()), &mut kept);
    let owned = (Arc::clone(descriptor), kept);
    UnsubmittedOneshot::new(owned, Finished(PhantomData), entry).submit().await
}

/// Turns the completion into a result, lets go of the descriptor, and hands back what was kept.
struct Finished<Kept>(PhantomData<Kept>);

impl<Kept> OneshotOutputTransform for Finished<Kept> {
    type Output = (io::Result<u32>, Kept);
    type StoredData = (Arc<OwnedFd>, Kept);

    fn transform_oneshot_output(
        self,
        (_, kept): Self::StoredData,
        completion: cqueue::Entry,
    ) -> Self::Output {
        let result = completion.result();
        (u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result)), kept)
    }
}

/// Runs `operation` to its completion; if `deadline` comes first, does `on_deadline` and goes on waiting.
///
/// This stands where other code has a timeout. The operation is never dropped, so `on_deadline` has to be something
/// that ends it: a shutdown of reading for a receive (writing still works), a shutdown of both for a connect. The flag
/// says whether the deadline came first. The operation may have succeeded all the same, when its completion and the
/// deadline crossed; the caller decides which counts. A future that is ready at once is never late.
pub async fn until<Operation: Future>(
    operation: Operation,
    deadline: Instant,
    on_deadline: impl FnOnce(),
) -> (Operation::Output, bool) {
    let mut operation = pin!(operation);
    // The time-out gets a borrow: it drops that, not the operation.
    match timeout_at(deadline, operation.as_mut()).await {
        Ok(output) => (output, false),
        Err(_) => {
            on_deadline();
            (operation.await, true)
        }
    }
}
