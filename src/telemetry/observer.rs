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
//! before those of the session that came of it. What sampling leaves out counts towards usage all the same.
//!
//! Not here: what rows look like (`rows`), which events become rows (`sampling`), and what sinks do with them (`sink`).

use super::rows::RowMaker;
use super::sampling::{JudgedOpening, JudgedSession, Sampler};
use super::sink::{LogRow, RowSink, close_all};
use crate::observe::event_ring::{WorkerEvents, wall_ns};
use crate::observe::events::{OpeningEnded, RelayEvent};
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

/// Bytes of rows from which on they are given to the sinks, however few they are.
const BATCH_BYTES: usize = 1 << 20;

/// Milliseconds that the observer has for the last events when it is told to end. What it has not taken by then is lost.
const LAST_EVENTS_MS: u64 = 2_000;

/// Milliseconds from the same moment until which the sinks have time to write what they took, all at once. What is not written
/// then counts as lost.
const SINKS_END_MS: u64 = 4_500;

/// Milliseconds that the end of the process waits for the observer and its sinks.
const END_MS: u64 = 5_000;

const _: () = assert!(LAST_EVENTS_MS < SINKS_END_MS && SINKS_END_MS < END_MS);

/// What the observer counts.
#[derive(Debug, Default)]
pub struct ObserverFigures {
    /// Rows that were given to the sinks.
    pub rows: AtomicU64,
    /// Openings that sampling left out.
    pub left_out: AtomicU64,
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
        let watch = Watch {
            workers,
            maker,
            sinks,
            figures,
            sampler: Sampler::default(),
            left_out: Vec::new(),
            rows: Vec::with_capacity(BATCH_ROWS),
            measured: 0,
            bytes: 0,
        };
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
    sampler: Sampler,
    /// Rows that count towards usage alone, and that were not given to the sinks yet.
    left_out: Vec<LogRow>,
    /// Not given to the sinks yet.
    rows: Vec<LogRow>,
    /// How many of them, from the first on, are counted in `bytes`.
    measured: usize,
    bytes: usize,
}

impl Watch {
    fn run(mut self, is_to_end: &AtomicBool) {
        let mut told_at = None;
        let deadline = loop {
            let is_told = is_to_end.load(Ordering::Acquire);
            let is_more = self.turn() >= BATCH_ROWS;
            if is_told {
                let told_at = *told_at.get_or_insert_with(Instant::now);
                let is_over = self.workers.iter().all(WorkerEvents::are_over);
                if is_over || Instant::now() >= told_at + Duration::from_millis(LAST_EVENTS_MS) {
                    break told_at + Duration::from_millis(SINKS_END_MS);
                }
            }
            if !is_more {
                thread::park_timeout(Duration::from_millis(if is_told { 1 } else { TURN_MS }));
            }
        };
        for held in self.sampler.take_all() {
            self.leave_out(&held.opening);
        }
        self.give();
        close_all(self.sinks, deadline);
    }

    /// Takes the events that wait; gives how many that were.
    fn turn(&mut self) -> usize {
        // First: the event of the opening of a session whose event is counted here is in its front's ring by now, and taken before.
        let of_relays: Vec<_> = self.workers.iter().map(WorkerEvents::relay_events).collect();
        let mut taken = 0;
        for index in 0..self.workers.len() {
            for _ in 0..self.workers[index].front_events() {
                let events = &mut self.workers[index];
                let Some(mut event) = events.take_front() else { break };
                let worker = events.worker;
                if let Some(trace) = self.maker.trace_of(worker, &mut event).map(Arc::new) {
                    self.sinks.iter_mut().for_each(|sink| sink.take_trace(&trace));
                }
                self.on_opening(worker, event);
                taken += 1;
                self.give_batch();
            }
        }
        for (index, events) in of_relays.into_iter().enumerate() {
            for _ in 0..events {
                let events = &mut self.workers[index];
                let Some(event) = events.take_relay() else { break };
                let worker = events.worker;
                self.on_session(worker, event);
                taken += 1;
                self.give_batch();
            }
        }
        self.give();
        let now = Ticks::from_unix_ns(wall_ns());
        self.sinks.iter_mut().for_each(|sink| sink.turn(now));
        taken
    }

    fn on_opening(&mut self, worker: usize, event: Box<OpeningEnded>) {
        match self.sampler.judge_opening(worker, event) {
            JudgedOpening::Logged(event) => self.maker.push_opening(worker, &event, &mut self.rows),
            JudgedOpening::LeftOut(event) => self.leave_out(&event),
            JudgedOpening::Held { let_go } => let_go.iter().for_each(|held| self.leave_out(&held.opening)),
        }
    }

    fn on_session(&mut self, worker: usize, event: RelayEvent) {
        match self.sampler.judge_session(worker, event) {
            JudgedSession::Logged(held, event) => {
                if let Some(held) = held {
                    self.maker.push_opening(held.worker, &held.opening, &mut self.rows);
                    if let Some((worker, closing)) = held.closing {
                        self.maker.push_session(worker, &RelayEvent::Closing(closing), &mut self.rows);
                    }
                }
                self.maker.push_session(worker, &event, &mut self.rows);
            }
            JudgedSession::LeftOut(held, event) => {
                if let Some(held) = held {
                    self.leave_out(&held.opening);
                }
                self.maker.push_session(worker, &event, &mut self.left_out);
            }
            JudgedSession::Held => {}
        }
    }

    /// Counts an opening that is not logged.
    fn leave_out(&mut self, event: &OpeningEnded) {
        self.left_out.push(self.maker.usage_of(event));
        self.figures.left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives the sinks what there is for them, if it is enough.
    fn give_batch(&mut self) {
        self.bytes += self.rows[self.measured..].iter().map(LogRow::bytes).sum::<usize>();
        self.measured = self.rows.len();
        let is_much = self.rows.len().max(self.left_out.len()) >= BATCH_ROWS;
        if is_much || self.bytes >= BATCH_BYTES {
            self.give();
        }
    }

    fn give(&mut self) {
        if !self.rows.is_empty() {
            self.sinks.iter_mut().for_each(|sink| sink.take(&self.rows));
            self.figures.rows.fetch_add(self.rows.len() as u64, Ordering::Relaxed);
            self.rows.clear();
        }
        if !self.left_out.is_empty() {
            self.sinks.iter_mut().for_each(|sink| sink.count_left_out(&self.left_out));
            self.left_out.clear();
        }
        (self.measured, self.bytes) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tables::ConnectionRow;
    use crate::telemetry::sinks::queue::{QueuedSink, RowWriter, SinkFigures, WriteFault};
    use std::sync::mpsc::{Receiver, channel};

    /// Its disk never answers.
    struct Hanging(Receiver<()>);

    impl RowWriter for Hanging {
        const PATIENCE: Duration = Duration::ZERO;

        fn write(&mut self, _: &[LogRow], _: Ticks) -> Result<(), WriteFault> {
            let _ = self.0.recv();
            Ok(())
        }

        fn upkeep(&mut self, _: Ticks) -> Result<(), WriteFault> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn sinks_that_hang_are_given_up_within_the_time_that_the_end_waits_for_and_their_rows_count_as_lost()
     {
        let (mut figures, mut sinks, mut gates) = (Vec::new(), Vec::<Box<dyn RowSink>>::new(), Vec::new());
        for name in ["one", "two", "three"] {
            let of_sink = Arc::new(SinkFigures::new(name));
            let (gate, hanging) = channel();
            let mut sink = QueuedSink::start(Arc::clone(&of_sink), Hanging(hanging)).unwrap();
            sink.take(&vec![ConnectionRow::default().into(); 3]);
            figures.push(of_sink);
            sinks.push(Box::new(sink));
            gates.push(gate);
        }
        let maker = RowMaker::new("", &[], Arc::default());
        let mut observer = Observer::start(Vec::new(), maker, sinks, Arc::default(), Vec::new()).unwrap();
        assert!(observer.end().await, "it has ended in time");
        for figures in &figures {
            assert_eq!((figures.written(), figures.lost()), (0, 3), "{}", figures.name());
        }
    }
}
