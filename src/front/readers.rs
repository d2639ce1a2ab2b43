//! Openings that wait for their requests, oldest first. When all places are taken, the oldest gives its place to a newcomer.
//!
//! So silent connections, from however many networks, keep nobody out: their places are given away before they run out. An
//! opening whose request has arrived already is never in this list.
//!
//! ```text
//! awaited ── a newcomer ──► without a place, interrupted, told why ──► closed
//!    └────── the head, an end, the deadline ──► no longer in here
//! ```
//!
//! An opening that gives way has no place from that moment on, but its descriptor stays open until its operation is cancelled:
//! there are at most [`GIVING_WAY_MAX`] of these.
//!
//! Each front gives away only places of its own openings.
//!
//! Not here: who may take another opening's place (`budgets`), and the line itself (`waiting_line`).

use super::waiting_line::WaitingLine;
use crate::limits::GIVING_WAY_MAX;
use crate::shared_counts::budgets::ReadingPlace;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::sync::Notify;

/// The openings of a front that have a place to read their heads.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// Those whose requests are awaited.
    awaited: WaitingLine<Reader>,
    giving_way: Cell<usize>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Reader {
    number: u64,
    /// Absent once it was given away or given back.
    place: RefCell<Option<ReadingPlace>>,
    has_given_way: Cell<bool>,
    gives_way: Notify,
}

impl Readers {
    /// The next opening, which has `place`.
    pub(super) fn begin(&self, place: ReadingPlace) -> Rc<Reader> {
        Rc::new(Reader {
            number: self.awaited.draw(),
            place: RefCell::new(Some(place)),
            has_given_way: Cell::new(false),
            gives_way: Notify::new(),
        })
    }

    /// Completes when `reader` has given way, which it does only while this is awaited.
    pub(super) async fn gives_way(&self, reader: &Rc<Reader>) {
        if !reader.place.borrow().as_ref().is_some_and(ReadingPlace::may_be_given_away) {
            return std::future::pending().await;
        }
        self.awaited.enter(reader.number, Rc::clone(reader));
        let _awaited = Awaited { readers: self, number: reader.number };
        reader.gives_way.notified().await;
    }

    /// Takes the place of the opening that has waited longest, if one waits and not too many are giving way already.
    pub(super) fn make_room(&self) -> Option<ReadingPlace> {
        if self.giving_way.get() >= GIVING_WAY_MAX {
            return None;
        }
        let reader = self.awaited.take_oldest()?;
        let place = reader.place.borrow_mut().take();
        reader.has_given_way.set(true);
        self.giving_way.set(self.giving_way.get() + 1);
        reader.gives_way.notify_one();
        place
    }

    /// An opening's sockets are closed, or not its own any more.
    pub(super) fn end(&self, reader: &Reader) {
        if reader.has_given_way.get() {
            self.giving_way.set(self.giving_way.get() - 1);
        }
    }
}

impl Reader {
    /// Whether its place was given to a newcomer.
    pub(super) fn has_given_way(&self) -> bool {
        self.has_given_way.get()
    }

    /// Gives its place back.
    pub(super) fn give_back(&self) {
        self.place.borrow_mut().take();
    }
}

/// Stands for an opening in the list.
struct Awaited<'r> {
    readers: &'r Readers,
    number: u64,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.readers.awaited.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared_counts::budgets::Budgets;
    use std::future::poll_fn;
    use std::net::Ipv4Addr;
    use std::pin::Pin;
    use std::task::Poll;

    /// The place of an opening from an address of its own.
    fn place(budgets: &Budgets, number: u32) -> ReadingPlace {
        let peer = Ipv4Addr::from_bits(0x0a00_0000 + number).into();
        budgets.take_opening(peer, || None).unwrap().reading
    }

    /// An opening whose request is awaited.
    type Waiting<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

    /// Whether it has given way by now.
    async fn is_over(waiting: &mut Waiting<'_>) -> bool {
        poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context).is_ready())).await
    }

    async fn await_request<'a>(readers: &'a Readers, reader: &'a Rc<Reader>) -> Waiting<'a> {
        let mut waiting: Waiting<'_> = Box::pin(readers.gives_way(reader));
        assert!(!is_over(&mut waiting).await);
        waiting
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_one_that_has_waited_longest_gives_way_and_only_while_it_waits() {
        let (budgets, readers) = (Budgets::of(9, 9), Readers::default());
        let [first, second, third, fourth] =
            [0, 1, 2, 3].map(|number| readers.begin(place(&budgets, number)));
        assert!(readers.make_room().is_none(), "nobody waits");
        // They begin to wait in another order than they began in.
        let mut third_waits = await_request(&readers, &third).await;
        let mut second_waits = await_request(&readers, &second).await;
        let first_waits = await_request(&readers, &first).await;
        // The request of the first has come; the fourth has never waited.
        drop(first_waits);
        let _place = readers.make_room().unwrap();
        assert!(is_over(&mut second_waits).await && !is_over(&mut third_waits).await);
        assert_eq!(
            [&first, &second, &third, &fourth].map(|reader| reader.has_given_way()),
            [false, true, false, false]
        );
        assert_eq!(budgets.openings().taken(), 4, "the place is another one's, not free");
        second.give_back();
        assert_eq!(budgets.openings().taken(), 4, "it has none to give back");
        first.give_back();
        assert_eq!(budgets.openings().taken(), 3);
        drop((second_waits, third_waits));
        assert!(readers.make_room().is_none() && readers.awaited.len() == 0);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn no_more_give_way_at_a_time_than_there_are_open_files_for() {
        let (budgets, readers) = (Budgets::of(99, 99), Readers::default());
        let all: Vec<_> = (0..40).map(|number| readers.begin(place(&budgets, number))).collect();
        let mut waiting = Vec::new();
        for reader in &all {
            waiting.push(await_request(&readers, reader).await);
        }
        let given: Vec<_> = std::iter::from_fn(|| readers.make_room()).collect();
        assert_eq!(given.len(), GIVING_WAY_MAX);
        readers.end(&all[0]);
        assert!(readers.make_room().is_some() && readers.make_room().is_none());
        // One that has not given way ends like any other.
        readers.end(&all[39]);
        assert!(readers.make_room().is_none());
    }
}
