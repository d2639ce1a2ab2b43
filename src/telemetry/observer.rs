//! The observer: a thread that takes the events of all workers, makes rows of them, and gives these to the sinks.
//!
//! ```text
//! front 0 ──ring──┐
//! relay 0 ──ring──┤
//! front 1 ──ring──┼──► observer ──rows──► sinks (store, JSON lines, ...)
//! relay 1 ──ring──┘
//! ```
//!
//! It looks at the rings every 50 ms: that costs those who send nothing, not even a wake-up. It is nice, SCHED_BATCH, and on
//! cores that no worker has, where there are any.
//!
//! The property to trust: nobody who opens or carries sessions waits for it, however long a sink takes. It gives rows of an opening
//! before those of the session that came of it.
//!
//! Not here: what rows look like (`rows`), and what sinks do with them (`sink`).

use super::rows::RowMaker;
use super::sink::{LogRow, RowSink};
use crate::observe::event_ring::{WorkerEvents, wall_ns};
use crate::observe::tables::Ticks;
use crate::process::cores::{CoreIndex, pin_current_thread};
use crate::process::scheduling::come_last_in_batches;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

/// Milliseconds between two looks at the rings. A ring holds the events of a second.
const TURN_MS: u64 = 50;

/// Rows that are given to the sinks at once.
const BATCH_ROWS: usize = 1024;

/// Milliseconds that the observer has for the last events when it is told to end. What it has not taken by then is lost.
const LAST_EVENTS_MS: u64 = 2_000;

/// Milliseconds that the end of the process waits for the observer and its sinks.
const END_MS: u64 = 5_000;

/// What the observer counts.
#[derive(Debug, Default)]
pub struct ObserverFigures {
    /// Rows that were given to the sinks.
    pub rows: AtomicU64,
}

/// A running observer. Dropping it tells it to end, and waits for nothing.
#[derive(Debug)]
pub struct Observer {
    is_to_end: Arc<AtomicBool>,
    thread: Thread,
    /// `None`: its end was seen.
    ended: Option<oneshot::Receiver<()>>,
}

impl Observer {
    /// Starts one on these cores; on any if there are none.
    ///
    /// # Errors
    /// No thread is left.
    pub fn start(
        workers: Vec<WorkerEvents>,
        maker: RowMaker,
        sinks: Vec<Box<dyn RowSink>>,
        figures: Arc<ObserverFigures>,
        cores: Vec<CoreIndex>,
    ) -> io::Result<Self> {
        let is_to_end = Arc::new(AtomicBool::new(false));
        let (end_sender, ended) = oneshot::channel();
        let watch = Watch { workers, maker, sinks, figures, rows: Vec::with_capacity(BATCH_ROWS) };
        let told = Arc::clone(&is_to_end);
        let handle = thread::Builder::new().name("observer".to_owned()).spawn(move || {
            if let Err(error) = come_last_in_batches() {
                tracing::warn!(%error, "cannot lower the priority of the observer; it competes with workers for their cores");
            }
            if !cores.is_empty()
                && let Err(error) = pin_current_thread(&cores)
            {
                tracing::warn!(%error, "the observer is not pinned; it may run on the cores of workers");
            }
            watch.run(&told);
            // Nobody waits any more if the instance was dropped.
            let _ = end_sender.send(());
        })?;
        Ok(Self { is_to_end, thread: handle.thread().clone(), ended: Some(ended) })
    }

    /// Ends it: what the workers have sent until now is given to the sinks, and they are closed. Says whether that was done in
    /// time.
    pub async fn end(&mut self) -> bool {
        self.tell();
        let Some(ended) = self.ended.take() else { return true };
        timeout(Duration::from_millis(END_MS), ended).await.is_ok_and(|ended| ended.is_ok())
    }

    fn tell(&self) {
        self.is_to_end.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.tell();
    }
}

/// What the observer's thread works with.
struct Watch {
    workers: Vec<WorkerEvents>,
    maker: RowMaker,
    sinks: Vec<Box<dyn RowSink>>,
    figures: Arc<ObserverFigures>,
    /// Not given to the sinks yet.
    rows: Vec<LogRow>,
}

impl Watch {
    fn run(mut self, is_to_end: &AtomicBool) {
        let mut until = None;
        loop {
            let is_told = is_to_end.load(Ordering::Acquire);
            let is_more = self.turn() >= BATCH_ROWS;
            if is_told {
                let until =
                    *until.get_or_insert_with(|| Instant::now() + Duration::from_millis(LAST_EVENTS_MS));
                let is_over = self.workers.iter().all(WorkerEvents::are_over);
                if is_over || Instant::now() >= until {
                    break;
                }
            }
            if !is_more {
                thread::park_timeout(Duration::from_millis(if is_told { 1 } else { TURN_MS }));
            }
        }
        self.sinks.into_iter().for_each(RowSink::close);
    }

    /// Takes the events that wait; gives how many that were.
    fn turn(&mut self) -> usize {
        // First: the event of the opening of a session whose event is counted here is in its front's ring by now, and taken before.
        let of_relays: Vec<_> = self.workers.iter().map(WorkerEvents::relay_events).collect();
        let mut taken = 0;
        for index in 0..self.workers.len() {
            for _ in 0..self.workers[index].front_events() {
                let events = &mut self.workers[index];
                let Some(event) = events.take_front() else { break };
                self.maker.push_opening(events.worker, &event, &mut self.rows);
                taken += 1;
                self.give(BATCH_ROWS);
            }
        }
        for (index, events) in of_relays.into_iter().enumerate() {
            for _ in 0..events {
                let events = &mut self.workers[index];
                let Some(event) = events.take_relay() else { break };
                self.maker.push_session(events.worker, &event, &mut self.rows);
                taken += 1;
                self.give(BATCH_ROWS);
            }
        }
        self.give(1);
        let now = Ticks::from_unix_ns(wall_ns());
        self.sinks.iter_mut().for_each(|sink| sink.turn(now));
        taken
    }

    /// Gives the sinks what there is for them, if it is at least so much.
    fn give(&mut self, least: usize) {
        if self.rows.len() < least {
            return;
        }
        self.sinks.iter_mut().for_each(|sink| sink.take(&self.rows));
        self.figures.rows.fetch_add(self.rows.len() as u64, Ordering::Relaxed);
        self.rows.clear();
    }
}
