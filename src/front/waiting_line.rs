//! Who waits for a request, in the order of their accepts: where room is needed, the oldest gives way.
//!
//! Not here: what giving way means (`readers`, `kept_openings`).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A line of those that wait. A number is drawn at the accept; who has one is in the line from its entry until it leaves or gives way.
#[derive(Debug)]
pub(super) struct WaitingLine<W> {
    drawn: Cell<u64>,
    waiting: RefCell<BTreeMap<u64, Rc<W>>>,
}

impl<W> Default for WaitingLine<W> {
    fn default() -> Self {
        Self { drawn: Cell::new(0), waiting: RefCell::default() }
    }
}

impl<W> WaitingLine<W> {
    /// The next number.
    pub(super) fn draw(&self) -> u64 {
        let number = self.drawn.get();
        self.drawn.set(number + 1);
        number
    }

    /// Enters the line, at the place of its number.
    pub(super) fn enter(&self, number: u64, who: Rc<W>) {
        self.waiting.borrow_mut().insert(number, who);
    }

    /// Leaves the line. One that is not in it, because it has given way, changes nothing.
    pub(super) fn leave(&self, number: u64) {
        self.waiting.borrow_mut().remove(&number);
    }

    /// Takes the oldest out of the line.
    pub(super) fn take_oldest(&self) -> Option<Rc<W>> {
        Some(self.waiting.borrow_mut().pop_first()?.1)
    }

    /// How many are in the line.
    pub(super) fn len(&self) -> usize {
        self.waiting.borrow().len()
    }
}
