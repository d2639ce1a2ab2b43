//! The sessions of one relay, by slot.
//!
//! A slot is freed only after the last completion of every operation on its sockets; its generation then moves on, so
//! that a token of its former user is told apart. Slots live in chunks: growing the table moves no session.

use crate::ring::token::SLOTS_MAX;

/// Slots in one chunk of the table.
const CHUNK_SLOTS: usize = 64;

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    content: Option<T>,
}

/// Slots and the free ones among them. The slot that was freed last is used first.
#[derive(Debug)]
pub struct SessionTable<T> {
    chunks: Vec<Box<[Slot<T>]>>,
    free: Vec<u32>,
    used: usize,
}

impl<T> Default for SessionTable<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), used: 0 }
    }
}

impl<T> SessionTable<T> {
    /// How many slots are in use.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether no slot is in use.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Slots that exist, used or not: indices are below this.
    pub fn slots(&self) -> u32 {
        (self.chunks.len() * CHUNK_SLOTS) as u32
    }

    /// Puts `content` into a free slot; gives its index and generation. `None` if a token could not name it.
    pub fn insert(&mut self, content: T) -> Option<(u32, u32)> {
        if self.free.is_empty() {
            self.grow()?;
        }
        let index = self.free.pop()?;
        let slot = self.slot_mut(index)?;
        slot.content = Some(content);
        let generation = slot.generation;
        self.used += 1;
        Some((index, generation))
    }

    /// The content of a slot in use.
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slot_mut(index)?.content.as_mut()
    }

    /// The generation of a slot's present or next user.
    pub fn generation(&self, index: u32) -> u32 {
        let index = index as usize;
        self.chunks.get(index / CHUNK_SLOTS).map_or(0, |chunk| chunk[index % CHUNK_SLOTS].generation)
    }

    /// Frees a slot.
    pub fn remove(&mut self, index: u32) -> Option<T> {
        let slot = self.slot_mut(index)?;
        let content = slot.content.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        self.used -= 1;
        Some(content)
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<T>> {
        let index = index as usize;
        self.chunks.get_mut(index / CHUNK_SLOTS)?.get_mut(index % CHUNK_SLOTS)
    }

    fn grow(&mut self) -> Option<()> {
        let first = self.slots();
        if first as usize + CHUNK_SLOTS > SLOTS_MAX {
            return None;
        }
        self.chunks.push((0..CHUNK_SLOTS).map(|_| Slot { generation: 0, content: None }).collect());
        self.free.extend((first..first + CHUNK_SLOTS as u32).rev());
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_slot_has_another_generation() {
        let mut table = SessionTable::default();
        let (index, generation) = table.insert("first").unwrap();
        assert_eq!(table.remove(index), Some("first"));
        assert_eq!(table.remove(index), None);
        let (again, next_generation) = table.insert("second").unwrap();
        assert_eq!(again, index);
        assert_ne!(next_generation, generation);
        assert_eq!(table.generation(index), next_generation);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn grows_and_finds_everything_again() {
        let mut table = SessionTable::default();
        let indices: Vec<_> = (0..1000).map(|number| table.insert(number).unwrap().0).collect();
        for (number, index) in indices.iter().enumerate() {
            assert_eq!(table.get_mut(*index), Some(&mut (number as i32)));
        }
        assert!(table.slots() as usize >= table.len());
        assert_eq!(table.get_mut(1 << 20), None);
    }
}
