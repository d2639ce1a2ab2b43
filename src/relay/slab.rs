//! The slabs of a relay: sessions in one, carriers in another.
//!
//! A slot is freed only after the last completion of every operation that names it. Its generation then moves on, so that a late
//! completion is not taken for one of the slot's next user. Slots live in chunks: growing the slab moves no item.

use crate::ring::token::SLOTS_MAX;

/// Slots in one chunk.
const CHUNK_SLOTS: usize = 64;

/// The user of a slot: the slot's index, and which of its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotName {
    /// The slot.
    pub index: u32,
    /// Which user of the slot.
    pub generation: u32,
}

/// An item that can stand in a slot. It keeps the slot's generation where it has room for it, so that a slot is no larger than
/// its content.
pub trait InSlot {
    /// The generation of its name.
    fn generation(&self) -> u32;
}

#[derive(Debug)]
enum Slot<T> {
    /// Nobody's; its next user has this generation.
    Free {
        generation: u32,
    },
    Used(T),
}

/// Slots and the free ones among them. The slot that was freed last is used first.
#[derive(Debug)]
pub struct Slab<T> {
    chunks: Vec<Box<[Slot<T>]>>,
    free: Vec<u32>,
    used: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), used: 0 }
    }
}

impl<T: InSlot> Slab<T> {
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

    /// Makes room for one more: gives the name that it will have. `None`: a token could not name it.
    pub fn make_room(&mut self) -> Option<SlotName> {
        if self.free.is_empty() {
            self.grow()?;
        }
        let index = self.free.last().copied()?;
        let generation = self.slot_mut(index)?.generation();
        Some(SlotName { index, generation })
    }

    /// Puts into a free slot what is made for the name that it will have. `None`: a token could not name it.
    ///
    /// # Panics
    /// It is made with the generation of another name.
    pub fn insert(&mut self, make: impl FnOnce(SlotName) -> T) -> Option<SlotName> {
        let name = self.make_room()?;
        let content = make(name);
        assert!(content.generation() == name.generation, "what stands in a slot has the slot's generation");
        self.free.pop();
        *self.slot_mut(name.index)? = Slot::Used(content);
        self.used += 1;
        Some(name)
    }

    /// Returns the item with this name. `None`: it is gone.
    pub fn get_mut(&mut self, name: SlotName) -> Option<&mut T> {
        self.slot_mut(name.index)?.of(name)
    }

    /// Returns the items with these two names. `None`: one of them is gone, or both names are the same.
    pub fn pair_mut(&mut self, [first, second]: [SlotName; 2]) -> Option<[&mut T; 2]> {
        let [first_place, second_place] = [first, second].map(|name| name.index as usize);
        let (first_chunk, second_chunk) = (first_place / CHUNK_SLOTS, second_place / CHUNK_SLOTS);
        let slots = [first_place % CHUNK_SLOTS, second_place % CHUNK_SLOTS];
        let [first_slot, second_slot] = if first_chunk == second_chunk {
            self.chunks.get_mut(first_chunk)?.get_disjoint_mut(slots).ok()?
        } else {
            let [first, second] = self.chunks.get_disjoint_mut([first_chunk, second_chunk]).ok()?;
            [&mut first[slots[0]], &mut second[slots[1]]]
        };
        Some([first_slot.of(first)?, second_slot.of(second)?])
    }

    /// The name of who is in a slot. `None`: it is free, or there is none.
    pub fn name_at(&self, index: u32) -> Option<SlotName> {
        let place = index as usize;
        match self.chunks.get(place / CHUNK_SLOTS)?.get(place % CHUNK_SLOTS)? {
            Slot::Used(content) => Some(SlotName { index, generation: content.generation() }),
            Slot::Free { .. } => None,
        }
    }

    /// Everything that is in it, by slot.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flat_map(|chunk| chunk.iter_mut()).filter_map(Slot::content_mut)
    }

    /// Returns the item in a slot. `None`: the slot is free or does not exist.
    pub fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slot_mut(index)?.content_mut()
    }

    /// Frees a slot. `None`: who had this name is gone.
    pub fn remove(&mut self, name: SlotName) -> Option<T> {
        let slot = self.slot_mut(name.index)?;
        slot.of(name)?;
        let free = Slot::Free { generation: name.generation.wrapping_add(1) };
        let before = std::mem::replace(slot, free);
        self.free.push(name.index);
        self.used -= 1;
        match before {
            Slot::Used(content) => Some(content),
            Slot::Free { .. } => None,
        }
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
        self.chunks.push((0..CHUNK_SLOTS).map(|_| Slot::Free { generation: 0 }).collect());
        self.free.extend((first..first + CHUNK_SLOTS as u32).rev());
        Some(())
    }
}

impl<T: InSlot> Slot<T> {
    /// The generation of its present or next user.
    fn generation(&self) -> u32 {
        match self {
            Self::Free { generation } => *generation,
            Self::Used(content) => content.generation(),
        }
    }

    fn content_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Free { .. } => None,
            Self::Used(content) => Some(content),
        }
    }

    /// Its content, if its user has this name.
    fn of(&mut self, name: SlotName) -> Option<&mut T> {
        self.content_mut().filter(|content| content.generation() == name.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Content {
        generation: u32,
        number: u32,
    }

    impl InSlot for Content {
        fn generation(&self) -> u32 {
            self.generation
        }
    }

    fn insert(slab: &mut Slab<Content>, number: u32) -> SlotName {
        slab.insert(|name| Content { generation: name.generation, number }).unwrap()
    }

    fn number_of(slab: &mut Slab<Content>, name: SlotName) -> Option<u32> {
        slab.get_mut(name).map(|content| content.number)
    }

    #[test]
    fn a_reused_slot_has_another_generation_and_its_former_name_finds_nothing() {
        let mut slab = Slab::default();
        let first = insert(&mut slab, 1);
        assert_eq!(slab.remove(first).map(|content| content.number), Some(1));
        assert_eq!(slab.remove(first), None);
        let expected = slab.make_room().unwrap();
        let second = insert(&mut slab, 2);
        assert_eq!(second, expected, "whoever makes room is told the name");
        assert_eq!(second.index, first.index);
        assert_ne!(second.generation, first.generation);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(number_of(&mut slab, second), Some(2));
        assert_eq!((slab.name_at(second.index), slab.len()), (Some(second), 1));
    }

    #[test]
    fn grows_and_finds_everything_again() {
        let mut slab = Slab::default();
        let names: Vec<_> = (0..1000).map(|number| insert(&mut slab, number)).collect();
        for (number, name) in (0..).zip(&names) {
            assert_eq!(number_of(&mut slab, *name), Some(number));
        }
        let at_slots: Vec<_> =
            (0..slab.slots()).map(|index| slab.at_mut(index).map(|at| at.number)).collect();
        assert!(at_slots[..1000].iter().copied().eq((0..1000).map(Some)));
        assert!(at_slots[1000..].iter().all(Option::is_none));
        assert_eq!(slab.at_mut(slab.slots()), None);
        assert!(slab.slots() as usize >= slab.len());
        assert_eq!(slab.get_mut(SlotName { index: 1 << 20, generation: 0 }), None);
        assert_eq!(slab.name_at(slab.slots() - 1), None);
    }

    #[test]
    fn two_are_found_at_once_wherever_they_stand_unless_one_is_gone_or_both_are_one() {
        let mut slab = Slab::default();
        let names: Vec<_> = (0..200).map(|number| insert(&mut slab, number)).collect();
        for (first, second) in [(0, 1), (1, 0), (63, 64), (199, 3), (130, 131)] {
            let pair = slab.pair_mut([names[first], names[second]]).unwrap();
            assert_eq!(pair.map(|content| content.number as usize), [first, second]);
        }
        assert!(slab.pair_mut([names[7], names[7]]).is_none());
        slab.remove(names[7]);
        assert!(slab.pair_mut([names[7], names[8]]).is_none());
        assert!(slab.pair_mut([names[100], names[7]]).is_none());
        insert(&mut slab, 7);
        assert!(slab.pair_mut([names[7], names[8]]).is_none(), "the slot has another user");
    }

    #[test]
    fn a_slot_is_no_larger_than_its_content() {
        use crate::relay::carrier::Carrier;
        use crate::relay::session_slot::SessionSlot;
        assert_eq!(size_of::<Slot<SessionSlot>>(), size_of::<SessionSlot>());
        assert_eq!(
            size_of::<Slot<Carrier<std::os::fd::OwnedFd>>>(),
            size_of::<Carrier<std::os::fd::OwnedFd>>()
        );
    }

    #[test]
    fn a_chunk_of_slots_fills_what_the_allocator_gives_for_it() {
        use crate::relay::carrier::Carrier;
        use crate::relay::session_slot::SessionSlot;
        for slot_bytes in [size_of::<SessionSlot>(), size_of::<Carrier<std::os::fd::OwnedFd>>()] {
            let chunk_bytes = CHUNK_SLOTS * slot_bytes;
            // The allocator has four sizes between a power of two and the next one.
            let given = chunk_bytes.next_multiple_of(1 << (chunk_bytes.ilog2() - 2));
            assert!((given - chunk_bytes) * 32 <= given, "{chunk_bytes} bytes are given {given}");
        }
    }

    #[test]
    #[should_panic(expected = "what stands in a slot has the slot's generation")]
    fn nothing_stands_in_a_slot_under_the_name_of_another_user() {
        Slab::default().insert(|_| Content { generation: 7, number: 0 });
    }
}
