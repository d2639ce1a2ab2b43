//! The state of an instance, as whoever looks at it sees it: serving, draining, ending.
//!
//! Not here: what leads from one to the next (`control::serving`).

use std::sync::atomic::{AtomicU8, Ordering};

/// The state of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It takes sessions.
    #[default]
    Serving,
    /// It takes no more, and ends those that are open.
    Draining,
    /// It cuts what is open, and ends.
    Ending,
}

impl State {
    const ALL: [Self; 3] = [Self::Serving, Self::Draining, Self::Ending];

    /// Its name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Ending => "ending",
        }
    }
}

/// The state of one instance, written by the control thread and read by anyone.
#[derive(Debug, Default)]
pub struct StateCell(AtomicU8);

impl StateCell {
    /// The state.
    pub fn get(&self) -> State {
        let stored = self.0.load(Ordering::Relaxed);
        State::ALL.into_iter().find(|state| *state as u8 == stored).unwrap_or_default()
    }

    /// Changes it.
    pub fn set(&self, state: State) {
        self.0.store(state as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_it_was_set_to_and_serving_at_first() {
        let cell = StateCell::default();
        assert_eq!(cell.get(), State::Serving);
        for state in State::ALL {
            cell.set(state);
            assert_eq!(cell.get(), state);
        }
    }
}
