//! What is kept of open sessions until they end, in bounds: where there is no room, what came first is let go of.
//!
//! A session whose end is never told of, because its event or its row was dropped, is let go of in the same way.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Values of open sessions, by their ids.
#[derive(Debug)]
pub struct OpenSessions<K, V> {
    room: usize,
    taken: usize,
    begun: u64,
    by_id: HashMap<K, Kept<V>>,
    /// Ids by the order in which they came.
    in_order: BTreeMap<u64, K>,
}

#[derive(Debug)]
struct Kept<V> {
    number: u64,
    size: usize,
    value: V,
}

impl<K: Hash + Eq + Clone, V> OpenSessions<K, V> {
    /// With room for so much, in the unit of the sizes that values are kept with.
    pub fn new(room: usize) -> Self {
        Self { room, taken: 0, begun: 0, by_id: HashMap::new(), in_order: BTreeMap::new() }
    }

    /// Keeps a value of this size. Gives the others that were let go of for it.
    pub fn keep(&mut self, id: K, size: usize, value: V) -> Vec<V> {
        self.take(&id);
        let mut let_go = Vec::new();
        while self.taken + size > self.room
            && let Some((_, first)) = self.in_order.pop_first()
        {
            let_go.extend(self.take(&first));
        }
        let number = self.begun;
        self.begun += 1;
        self.taken += size;
        self.in_order.insert(number, id.clone());
        self.by_id.insert(id, Kept { number, size, value });
        let_go
    }

    /// The value of a session.
    pub fn get_mut(&mut self, id: &K) -> Option<&mut V> {
        self.by_id.get_mut(id).map(|kept| &mut kept.value)
    }

    /// Takes the value of a session.
    pub fn take<Q: Hash + Eq + ?Sized>(&mut self, id: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let Kept { number, size, value } = self.by_id.remove(id)?;
        self.in_order.remove(&number);
        self.taken -= size;
        Some(value)
    }

    /// Takes all values, in the order in which they came.
    pub fn take_all(&mut self) -> Vec<V> {
        let ids: Vec<K> = std::mem::take(&mut self.in_order).into_values().collect();
        ids.iter().filter_map(|id| self.take(id)).collect()
    }

    /// Of how many sessions there is one.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_first_is_let_go_of_where_there_is_no_room() {
        let mut open = OpenSessions::new(10);
        for id in 0..5 {
            assert!(open.keep(id, 2, id * 10).is_empty());
        }
        assert_eq!(open.take(&1), Some(10));
        assert!(open.keep(5, 2, 50).is_empty(), "room was given back");
        assert_eq!(open.keep(6, 3, 60), [0, 20]);
        assert_eq!((open.take(&0), open.take(&2), open.take(&3)), (None, None, Some(30)));
        *open.get_mut(&6).unwrap() += 1;
        assert_eq!(open.take(&6), Some(61));
        assert_eq!((open.len(), open.taken, open.in_order.len()), (2, 4, 2));
        assert_eq!((open.take_all(), open.taken), (vec![40, 50], 0));
    }

    #[test]
    fn the_same_session_takes_its_room_once_and_one_that_is_too_large_is_kept_alone() {
        let mut open = OpenSessions::new(10);
        let let_go = [open.keep('a', 4, 1), open.keep('a', 5, 2), open.keep('b', 20, 3)];
        assert_eq!(let_go, [vec![], vec![], vec![2]]);
        assert_eq!((open.take(&'a'), open.take(&'b'), open.taken), (None, Some(3), 0));
        assert!(open.is_empty() && open.in_order.is_empty());
    }
}
