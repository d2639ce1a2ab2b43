//! The figures of an API, a product or a subscription.
//!
//! Each thread that counts has cells of its own, on cache lines of its own. It writes them with plain stores, because nobody else
//! does; a reader sums them up, also while sessions are open.
//!
//! Not here: the entity that the cells belong to (`labels`).

use super::counters::Dimension as _;
use crate::session::{Cause, Leg, Termination};
use std::sync::atomic::{AtomicU64, Ordering};

/// A thread that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer(usize);

impl Writer {
    /// A worker's front.
    pub fn front(worker: usize) -> Self {
        Self(2 * worker)
    }

    /// A worker's relay.
    pub fn relay(worker: usize) -> Self {
        Self(2 * worker + 1)
    }

    /// The place among all writers.
    pub fn index(self) -> usize {
        self.0
    }

    /// How many there are with so many workers.
    pub fn count(workers: usize) -> usize {
        2 * workers
    }
}

/// The code of the first Close frame that an endpoint sent, as far as codes are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseClass(usize);

impl CloseClass {
    /// The names of all, in the order in which they are shown. Codes from 3000 on are each application's own.
    pub const NAMES: [&'static str; 15] = [
        "none", "1000", "1001", "1002", "1003", "1007", "1008", "1009", "1010", "1011", "1012", "1013",
        "1014", "3xxx", "4xxx",
    ];

    /// That of a code. `None`: the frame had none, or a code that no endpoint may send.
    fn of(code: Option<u16>) -> Self {
        Self(match code {
            Some(code @ 1000..=1003) => usize::from(code) - 999,
            Some(code @ 1007..=1014) => usize::from(code) - 1002,
            Some(3000..=3999) => 13,
            Some(4000..=4999) => 14,
            Some(_) | None => 0,
        })
    }
}

/// Counts of one writer.
#[derive(Debug)]
#[repr(align(64))]
pub struct EntityCells {
    opened: AtomicU64,
    ended: AtomicU64,
    messages: [AtomicU64; Leg::BOTH.len()],
    bytes: [AtomicU64; Leg::BOTH.len()],
    closes: [AtomicU64; CloseClass::NAMES.len()],
    terminations: [AtomicU64; Cause::ALL.len()],
}

impl Default for EntityCells {
    fn default() -> Self {
        Self {
            opened: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            messages: [const { AtomicU64::new(0) }; _],
            bytes: [const { AtomicU64::new(0) }; _],
            closes: [const { AtomicU64::new(0) }; _],
            terminations: [const { AtomicU64::new(0) }; _],
        }
    }
}

impl EntityCells {
    /// A session was opened.
    pub fn count_open(&self) {
        add(&self.opened, 1);
    }

    /// So much more of what `from` sent is on its way to the other leg.
    pub fn count_relayed(&self, from: Leg, messages: u64, bytes: u64) {
        add(&self.messages[from.index()], messages);
        add(&self.bytes[from.index()], bytes);
    }

    /// A session has ended.
    pub fn count_end(&self, termination: &Termination) {
        if termination.cause == Cause::Closed || termination.close_code.is_some() {
            add(&self.closes[CloseClass::of(termination.close_code).0], 1);
        }
        self.count_termination(termination.cause);
        add(&self.ended, 1);
    }

    /// An opening has ended that opened no session.
    pub fn count_termination(&self, cause: Cause) {
        add(&self.terminations[cause.index()], 1);
    }
}

/// Adds to a cell of one's own: no other thread writes it, so a load and a store are enough.
fn add(cell: &AtomicU64, amount: u64) {
    cell.store(cell.load(Ordering::Relaxed) + amount, Ordering::Relaxed);
}

/// The sum over the cells of all writers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityFigures {
    /// Sessions that were opened.
    pub opened: u64,
    /// Sessions that have ended.
    pub ended: u64,
    /// Messages that each leg has sent, whole or begun with their last frame; none of opaque sessions.
    pub messages: [u64; Leg::BOTH.len()],
    /// Bytes that were taken over from each leg for the other one, heads of frames included.
    pub bytes: [u64; Leg::BOTH.len()],
    /// Sessions by the code of the first Close frame that an endpoint sent, in the order of [`CloseClass::NAMES`].
    pub closes: [u64; CloseClass::NAMES.len()],
    /// Openings and sessions by the cause of their end, in the order of [`Cause::ALL`].
    pub terminations: [u64; Cause::ALL.len()],
}

impl Default for EntityFigures {
    fn default() -> Self {
        Self { opened: 0, ended: 0, messages: [0; _], bytes: [0; _], closes: [0; _], terminations: [0; _] }
    }
}

impl EntityFigures {
    /// Adds those of one writer.
    pub(super) fn add(&mut self, cells: &EntityCells) {
        let EntityCells { opened, ended, messages, bytes, closes, terminations } = cells;
        // First, so that a session that begins and ends meanwhile makes no fewer than none.
        self.ended += ended.load(Ordering::Relaxed);
        self.opened += opened.load(Ordering::Relaxed);
        let arrays: [(&mut [u64], &[AtomicU64]); 4] = [
            (&mut self.messages, messages),
            (&mut self.bytes, bytes),
            (&mut self.closes, closes),
            (&mut self.terminations, terminations),
        ];
        for (sums, cells) in arrays {
            for (sum, cell) in sums.iter_mut().zip(cells) {
                *sum += cell.load(Ordering::Relaxed);
            }
        }
    }

    /// Adds the figures of another entity.
    pub fn add_figures(&mut self, other: &Self) {
        let Self { opened, ended, messages, bytes, closes, terminations } = other;
        self.opened += opened;
        self.ended += ended;
        let arrays: [(&mut [u64], &[u64]); 4] = [
            (&mut self.messages, messages),
            (&mut self.bytes, bytes),
            (&mut self.closes, closes),
            (&mut self.terminations, terminations),
        ];
        for (sums, numbers) in arrays {
            sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
        }
    }

    /// Sessions that are open.
    pub fn open(&self) -> u64 {
        self.opened.saturating_sub(self.ended)
    }

    /// Whether nothing was ever counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Phase;

    fn ended(cause: Cause, close_code: Option<u16>) -> Termination {
        Termination { cause, phase: Phase::Relay, by: None, close_code }
    }

    #[test]
    fn every_code_that_an_endpoint_may_send_has_a_class() {
        let allowed = (1000..=1003).chain(1007..=1014);
        for code in allowed {
            assert_eq!(CloseClass::NAMES[CloseClass::of(Some(code)).0], code.to_string());
        }
        for (code, name) in [
            (Some(3000), "3xxx"),
            (Some(3999), "3xxx"),
            (Some(4000), "4xxx"),
            (Some(4999), "4xxx"),
            (Some(999), "none"),
            (Some(1004), "none"),
            (Some(1015), "none"),
            (Some(5000), "none"),
            (None, "none"),
        ] {
            assert_eq!(CloseClass::NAMES[CloseClass::of(code).0], name, "{code:?}");
        }
    }

    #[test]
    fn sums_what_every_writer_counted() {
        let cells = [EntityCells::default(), EntityCells::default()];
        for of_writer in &cells {
            of_writer.count_open();
            of_writer.count_open();
            of_writer.count_relayed(Leg::Upstream, 2, 300);
        }
        cells[0].count_end(&ended(Cause::Closed, None));
        cells[1].count_end(&ended(Cause::Idle, None));
        cells[1].count_end(&ended(Cause::Reset, Some(4001)));
        cells[1].count_termination(Cause::BackendSilent);
        let mut figures = EntityFigures::default();
        assert!(figures.is_empty());
        cells.iter().for_each(|cells| figures.add(cells));
        assert_eq!((figures.opened, figures.ended, figures.open()), (4, 3, 1));
        assert_eq!((figures.messages, figures.bytes), ([0, 4], [0, 600]));
        let closes: Vec<_> =
            CloseClass::NAMES.iter().zip(figures.closes).filter(|(_, count)| *count > 0).collect();
        assert_eq!(closes, [(&"none", 1), (&"4xxx", 1)], "an end without a Close has no code");
        let causes: Vec<_> =
            Cause::ALL.into_iter().zip(figures.terminations).filter(|(_, count)| *count > 0).collect();
        assert_eq!(
            causes,
            [(Cause::Closed, 1), (Cause::Reset, 1), (Cause::Idle, 1), (Cause::BackendSilent, 1)]
        );
    }

    #[test]
    fn two_writers_share_no_cache_line() {
        assert_eq!(align_of::<EntityCells>(), 64);
        // With the counts of its Arc in front of it: the size that the manual gives.
        assert_eq!(size_of::<EntityCells>() + 64, 512);
    }
}
