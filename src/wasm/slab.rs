//! Values by handle. A handle holds its slot's generation, so that one of a freed value finds nothing, even
//! after the slot was taken again.

/// 16 bits of slot, 16 of generation. No handle is 0.
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<(u32, Option<T>)>,
}

impl<T> Slab<T> {
    pub fn new() -> Self {
        Slab { slots: Vec::new() }
    }

    /// None when 65,536 values live at once.
    pub fn insert(&mut self, value: T) -> Option<u32> {
        let slot = self.slots.iter().position(|(_, v)| v.is_none()).unwrap_or(self.slots.len());
        if slot > 0xffff {
            return None;
        }
        if slot == self.slots.len() {
            self.slots.push((0, None));
        }
        let (generation, place) = &mut self.slots[slot];
        // Never 0: so is no handle.
        *generation = *generation % 0xffff + 1;
        *place = Some(value);
        Some(*generation << 16 | slot as u32)
    }

    fn slot(&self, handle: u32) -> Option<usize> {
        let slot = (handle & 0xffff) as usize;
        self.slots.get(slot).filter(|(generation, _)| *generation == handle >> 16).map(|_| slot)
    }

    #[cfg(feature = "ranking")]
    pub fn get(&self, handle: u32) -> Option<&T> {
        self.slots[self.slot(handle)?].1.as_ref()
    }

    pub fn get_mut(&mut self, handle: u32) -> Option<&mut T> {
        let slot = self.slot(handle)?;
        self.slots[slot].1.as_mut()
    }

    pub fn remove(&mut self, handle: u32) {
        if let Some(slot) = self.slot(handle) {
            self.slots[slot].1 = None;
        }
    }

    /// Frees what does not satisfy `keep`.
    #[cfg(feature = "ranking")]
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        for (_, value) in &mut self.slots {
            if value.as_ref().is_some_and(|v| !keep(v)) {
                *value = None;
            }
        }
    }
}
