//! What waits to be sent, of one signal: a queue between the observer and the exporter, bounded in number and in bytes.
//!
//! The property to trust: who pushes never waits. What finds no room is dropped and counted.

use super::figures::SignalFigures;
use crossbeam_queue::ArrayQueue;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Most bytes that wait, of each signal. Over it, what comes is dropped and counted.
pub(super) const QUEUE_BYTES_MAX: usize = 64 << 20;

/// Bytes from which on a batch takes no further item. Receivers bound a request too: OpenTelemetry's collector at 20 MiB by default.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Longest time for which the first record of a batch waits for others.
const BATCH_PATIENCE: Duration = Duration::from_secs(1);

/// A queue.
#[derive(Debug)]
pub(super) struct Queue<T> {
    items: ArrayQueue<(T, usize)>,
    bytes: AtomicUsize,
    bytes_max: usize,
    /// Something was pushed, or is not to be waited for any longer.
    is_changed: Notify,
    figures: Arc<SignalFigures>,
}

impl<T> Queue<T> {
    pub(super) fn new(figures: Arc<SignalFigures>, items_max: usize, bytes_max: usize) -> Self {
        Self {
            items: ArrayQueue::new(items_max),
            bytes: AtomicUsize::new(0),
            bytes_max,
            is_changed: Notify::new(),
            figures,
        }
    }

    /// Adds an item that takes so many bytes and is so many records, or drops and counts it.
    pub(super) fn push(&self, item: T, bytes: usize, records: u64) {
        // One thread pushes; others only make it less.
        if self.bytes.load(Ordering::Relaxed) + bytes <= self.bytes_max {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            if self.items.push((item, bytes)).is_ok() {
                return;
            }
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.figures.dropped.fetch_add(records, Ordering::Relaxed);
    }

    /// Has the exporter look at what was pushed.
    pub(super) fn wake(&self) {
        self.is_changed.notify_one();
    }

    /// Waits for something, then for as much as `batch_max` for a moment. Empty: the queue is, and is `closing`.
    pub(super) async fn next(&self, batch_max: usize, closing: &mut watch::Receiver<bool>) -> Vec<T> {
        while self.items.is_empty() {
            if is_told(closing) {
                return Vec::new();
            }
            self.change(closing).await;
        }
        let is_enough = async {
            while self.items.len() < batch_max.min(self.items.capacity() / 2) && !is_told(closing) {
                self.change(closing).await;
            }
        };
        let _ = timeout(BATCH_PATIENCE, is_enough).await;
        let mut batch = Vec::new();
        let mut taken = 0;
        while batch.len() < batch_max
            && taken < BATCH_BYTES_MAX
            && let Some((item, bytes)) = self.items.pop()
        {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            taken += bytes;
            batch.push(item);
        }
        batch
    }

    async fn change(&self, closing: &mut watch::Receiver<bool>) {
        tokio::select! {
            () = self.is_changed.notified() => {}
            _ = closing.wait_for(|is_closing| *is_closing) => {}
        }
    }

    /// Records that are lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.figures.lost.load(Ordering::Relaxed)
    }

    /// Gives up all that waits, and what is being sent: each item is `records` records.
    pub(super) fn give_up(&self, records: impl Fn(&T) -> u64) {
        let waiting: u64 = std::iter::from_fn(|| self.items.pop()).map(|(item, _)| records(&item)).sum();
        let given_up = waiting + self.figures.in_hand.swap(0, Ordering::Relaxed);
        self.figures.lost.fetch_add(given_up, Ordering::Relaxed);
    }
}

/// Whether whoever may say so has said so, or is gone.
pub(super) fn is_told(told: &watch::Receiver<bool>) -> bool {
    *told.borrow() || told.has_changed().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::otlp::figures::Signal;

    fn queue(items_max: usize, bytes_max: usize) -> (Queue<u32>, Arc<SignalFigures>) {
        let figures = Arc::new(SignalFigures::new(Signal::Traces));
        (Queue::new(Arc::clone(&figures), items_max, bytes_max), figures)
    }

    fn dropped(figures: &SignalFigures) -> u64 {
        figures.dropped.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_room_by_number_or_by_bytes_is_dropped_and_counted_and_the_rest_comes_in_order() {
        let (_close, mut closing) = watch::channel(false);
        let (of_three, figures) = queue(3, 1000);
        (0..5).for_each(|item| of_three.push(item, 1, 7));
        assert_eq!(dropped(&figures), 14);
        assert_eq!(of_three.next(10, &mut closing).await, [0, 1, 2]);
        let (of_bytes, figures) = queue(100, 1000);
        (0..5).for_each(|item| of_bytes.push(item, 400, 1));
        assert_eq!(dropped(&figures), 3);
        assert_eq!(of_bytes.next(10, &mut closing).await, [0, 1]);
        // What was taken makes room.
        of_bytes.push(9, 1000, 1);
        assert_eq!((of_bytes.next(10, &mut closing).await, dropped(&figures)), (vec![9], 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_others_for_a_moment_and_is_no_larger_than_it_may_be() {
        let (_close, mut closing) = watch::channel(false);
        let (queue, _) = queue(100, 1000);
        (0..3).for_each(|item| queue.push(item, 1, 1));
        let begun = tokio::time::Instant::now();
        assert_eq!(queue.next(2, &mut closing).await, [0, 1]);
        assert_eq!(begun.elapsed(), Duration::ZERO, "it was whole");
        assert_eq!(queue.next(2, &mut closing).await, [2]);
        assert_eq!(begun.elapsed(), BATCH_PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_takes_no_further_item_once_it_has_its_bytes() {
        let (_close, mut closing) = watch::channel(false);
        let (queue, _) = queue(100, QUEUE_BYTES_MAX);
        (0..5).for_each(|item| queue.push(item, BATCH_BYTES_MAX / 2, 1));
        assert_eq!(queue.next(100, &mut closing).await, [0, 1]);
        assert_eq!(queue.next(100, &mut closing).await, [2, 3]);
        assert_eq!(queue.next(100, &mut closing).await, [4]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_closes_gives_what_there_is_at_once_and_then_nothing() {
        let (close, mut closing) = watch::channel(false);
        let (queue, _) = queue(100, 1000);
        queue.push(1, 1, 1);
        close.send_replace(true);
        let begun = tokio::time::Instant::now();
        assert_eq!(queue.next(2, &mut closing).await, [1]);
        assert!(queue.next(2, &mut closing).await.is_empty());
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
