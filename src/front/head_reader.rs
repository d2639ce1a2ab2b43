//! Reads a head, and keeps the bytes that arrived behind it.

use super::stream::Stream;
use crate::http1::find_head_end;
use crate::limits::HEAD_READ_BYTES;
use bytes::Bytes;
use std::io;
use std::pin::{Pin, pin};
use tokio::time::Instant;

/// A head and the bytes behind it; both are views of what was received.
#[derive(Debug)]
pub(super) struct Head {
    /// The head, its empty line included.
    pub(super) head: Bytes,
    /// The bytes that arrived behind the head. Not one of them may be lost.
    pub(super) behind: Bytes,
}

/// Why there is no head. `F` is the fault of what was received of it.
#[derive(Debug)]
pub(super) enum NoHead<F> {
    /// The bytes that arrived are already wrong.
    Faulty(F, Vec<u8>),
    /// The stream ended before it was complete.
    Ended,
    /// The connection broke.
    Broken(io::Error),
    /// The deadline passed; this had come.
    Late(Vec<u8>),
    /// The reader was told to stop; this had come.
    Stopped(Vec<u8>),
}

/// The result of a receive that may be interrupted.
pub(super) enum Awaited {
    /// It is complete.
    Done(io::Result<usize>, Vec<u8>),
    /// The deadline passed first; this was there.
    Late(Vec<u8>),
    /// The reader was told to stop first; this was there.
    Stopped(Vec<u8>),
}

/// Awaits a receive. At the deadline, or when `stop` completes, `interrupt` is to end it; it is awaited all the same,
/// because one that is dropped would lose bytes.
pub(super) async fn receive_until(
    receive: impl Future<Output = (io::Result<usize>, Vec<u8>)>,
    deadline: Instant,
    stop: Pin<&mut impl Future<Output = ()>>,
    interrupt: &impl AsyncFn(),
) -> Awaited {
    let mut receive = pin!(receive);
    tokio::select! {
        biased;
        (result, received) = &mut receive => Awaited::Done(result, received),
        () = tokio::time::sleep_until(deadline) => {
            interrupt().await;
            let (_, received) = receive.await;
            Awaited::Late(received)
        }
        () = stop => {
            interrupt().await;
            let (_, received) = receive.await;
            Awaited::Stopped(received)
        }
    }
}

/// Receives from `socket` until a head is complete. `received` is what came already.
///
/// `check_incomplete` judges what came of a head that has no end yet, its length included. Deadline, `stop` and `interrupt` are
/// those of [`receive_until`].
///
/// # Errors
/// Why there is none.
pub(super) async fn read_head<F>(
    socket: &impl Stream,
    received: Vec<u8>,
    check_incomplete: impl Fn(&[u8]) -> Result<(), F>,
    deadline: Instant,
    stop: impl Future<Output = ()>,
    interrupt: impl AsyncFn(),
) -> Result<Head, NoHead<F>> {
    let mut buffer = received;
    let mut searched = 0;
    let mut stop = pin!(stop);
    loop {
        if let Some(end) = find_head_end(&buffer, searched) {
            let mut head = Bytes::from(buffer);
            let behind = head.split_off(end);
            return Ok(Head { head, behind });
        }
        if let Err(fault) = check_incomplete(&buffer) {
            return Err(NoHead::Faulty(fault, buffer));
        }
        searched = buffer.len();
        let receive = socket.receive(buffer, HEAD_READ_BYTES);
        let (result, filled) = match receive_until(receive, deadline, stop.as_mut(), &interrupt).await {
            Awaited::Done(result, filled) => (result, filled),
            Awaited::Late(received) => return Err(NoHead::Late(received)),
            Awaited::Stopped(received) => return Err(NoHead::Stopped(received)),
        };
        buffer = filled;
        match result {
            Ok(0) => return Err(NoHead::Ended),
            Ok(_) => {}
            Err(error) => return Err(NoHead::Broken(error)),
        }
    }
}
