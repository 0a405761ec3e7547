//! The items that the greedy pass orders, their slots and their windows.
//!
//! Slots are the positions where nothing stands, as many as there are items; an item's *rank* is its place in the server's
//! order among them. So a window never depends on what was frozen or went behind, and the server's order of the items
//! keeps every window but those of pins, cooldowns, fatigue and dependencies. Bounds are kept in order of strength: what
//! cannot be kept together with all that is stronger is given up before the first choice, and nothing else is.

use super::constraints::{self, Counters};
use super::decision::{COOLDOWN, Choice, DEPENDENCY, DISPLACEMENT, FATIGUE, PINNED, SPEND};
use super::input::{Candidate, Input};
use super::windows::{Matching, Window};
use crate::policy::Policy;

/// Items in the server's order, and where they may stand.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    /// By rank: the row.
    pub rows: Vec<u32>,
    /// By slot: the position.
    pub slots: Vec<u32>,
    /// By rank: what the row may take.
    pub windows: Vec<Window>,
    /// By rank: the slot that it is pinned to, or [`FREE`].
    pub pins: Vec<u32>,
    /// By rank: first slot that exploration may lift it to.
    pub floors: Vec<u32>,
    /// By rank: bits that can keep it from a slot at all, of those of [`Pool::held_by`].
    pub holds: Vec<u32>,
    /// Bounds that hold: bits of [`super::CONSTRAINTS`].
    kept: u32,
    /// Greatest displacement.
    reach: u32,
    /// Whether that is more than the policy says.
    widened: bool,
    matching: Matching,
    /// By target: working memory of dependencies.
    bounds: Vec<u32>,
}

/// Bounds that leave an item no slot before a first one.
const FIRSTS: [u32; 4] = [SPEND, DISPLACEMENT, COOLDOWN, FATIGUE];

/// The bits of [`FIRSTS`] whose first slot is behind `slot`.
fn later(firsts: &[u32; 4], slot: u32) -> u32 {
    let bit = |i: usize| if firsts[i] > slot { FIRSTS[i] } else { 0 };
    bit(0) | bit(1) | bit(2) | bit(3)
}

/// Not pinned.
pub(super) const FREE: u32 = u32::MAX;

/// Whether nothing lifts it above its rank: it costs, and is not known to bring anything.
fn guarded(c: &Candidate) -> bool {
    c.spend_effect > 0.0 && c.benefit_lower <= 0.0
}

impl Pool {
    /// Decides which bounds hold. `rows`, `slots` and `floors` are there.
    pub fn bound(&mut self, policy: &Policy, input: &Input, counters: &Counters, standing: &[u32]) {
        let n = self.rows.len();
        let any = |of: &dyn Fn(&Candidate) -> bool| self.rows.iter().any(|&row| of(&input.candidates[row as usize]));
        let pinned = any(&|c| c.pin > 0);
        let mut bits = 0;
        for (bit, is) in [
            (FATIGUE, any(&|c| c.fatigue > 0)),
            (COOLDOWN, any(&|c| c.cooldown > 0)),
            (DEPENDENCY, !counters.dependencies.is_empty()),
            (SPEND, any(&guarded)),
        ] {
            bits |= if is { bit } else { 0 };
        }
        self.kept = bits & SPEND;
        self.reach = n as u32;
        self.widened = false;
        self.pins.clear();
        self.pins.resize(n, FREE);
        if pinned {
            self.pin(input, counters, standing);
        }
        if let Some(most) = policy.spec.displacement.filter(|&most| most < n) {
            self.kept |= DISPLACEMENT;
            self.reach = most as u32;
            // The server's order itself keeps it where nothing is pinned.
            if pinned && !self.fits(input, counters, standing) {
                let (mut low, mut high) = (most as u32, n as u32);
                while high - low > 1 {
                    self.reach = low.midpoint(high);
                    if self.fits(input, counters, standing) { high = self.reach } else { low = self.reach }
                }
                self.reach = high;
                self.widened = true;
            }
        }
        let weaker = [DEPENDENCY, COOLDOWN, FATIGUE];
        if bits & (DEPENDENCY | COOLDOWN | FATIGUE) != 0 {
            let before = self.kept;
            self.kept |= bits;
            if !self.fits(input, counters, standing) {
                self.kept = before;
                for bit in weaker {
                    self.kept |= bits & bit;
                    if bits & bit != 0 && !self.fits(input, counters, standing) {
                        self.kept &= !bit;
                    }
                }
            }
        }
        self.build(input, counters, standing);
    }

    /// Keeps exploration from lifting an item that raises spend above the better of its rank and its place in `plain`,
    /// the order without exploration. That order keeps these bounds too, so windows that were completable stay so.
    pub fn raise(&mut self, input: &Input, counters: &Counters, standing: &[u32], plain: &[Choice]) {
        let n = self.rows.len();
        self.floors.resize(n, 0);
        for (position, choice) in plain.iter().enumerate() {
            if let (Ok(slot), Ok(rank)) =
                (self.slots.binary_search(&(position as u32)), self.rows.binary_search(&(choice.row as u32)))
                && input.candidates[choice.row].spend_effect > 0.0
            {
                self.floors[rank] = slot.min(rank) as u32;
            }
        }
        self.build(input, counters, standing);
    }

    /// Whether a bound holds.
    pub fn keeps(&self, bit: u32) -> bool {
        self.kept & bit != 0
    }

    /// Whether a bound was given up that a choice still looks at.
    pub fn may_break(&self) -> bool {
        self.widened
    }

    /// Pins: first all that name a free slot of their own, then, where the guard of spend forbids that, those that go
    /// together in the server's order.
    fn pin(&mut self, input: &Input, counters: &Counters, standing: &[u32]) {
        let n = self.rows.len();
        let mut taken = vec![false; n];
        let mut wanted = Vec::new();
        for (rank, &row) in self.rows.iter().enumerate() {
            let c = &input.candidates[row as usize];
            let at = c.pin.checked_sub(1).and_then(|p| self.slots.binary_search(&p).ok());
            let Some(slot) = at.filter(|&slot| !(taken[slot] || guarded(c) && slot < rank)) else { continue };
            taken[slot] = true;
            wanted.push((rank, slot as u32));
            self.pins[rank] = slot as u32;
        }
        if self.fits(input, counters, standing) {
            return;
        }
        self.pins.fill(FREE);
        for (rank, slot) in wanted {
            self.pins[rank] = slot;
            if !self.fits(input, counters, standing) {
                self.pins[rank] = FREE;
            }
        }
    }

    fn fits(&mut self, input: &Input, counters: &Counters, standing: &[u32]) -> bool {
        self.build(input, counters, standing) && self.matching.completable(&self.windows)
    }

    /// Whether any window is narrower than all slots.
    pub fn is_bounded(&self) -> bool {
        let last = self.rows.len() as u32 - 1;
        self.windows.iter().any(|w| *w != Window { earliest: 0, latest: last })
    }

    /// Windows of the bounds that are kept; false where one is empty.
    fn build(&mut self, input: &Input, counters: &Counters, standing: &[u32]) -> bool {
        let n = self.rows.len() as u32;
        self.windows.clear();
        self.holds.clear();
        for (rank, &row) in self.rows.iter().enumerate() {
            let (rank, pin) = (rank as u32, self.pins[rank]);
            let mut w = Window { earliest: 0, latest: n - 1 };
            let mut holds = PINNED;
            if pin == FREE {
                let firsts = self.firsts(&input.candidates[row as usize], rank);
                w.earliest = firsts.iter().fold(0, |most, &first| first.max(most));
                holds = later(&firsts, 0) | self.kept & DEPENDENCY;
                if self.kept & DISPLACEMENT != 0 {
                    w.latest = w.latest.min(rank.saturating_add(self.reach));
                }
            } else {
                w = Window { earliest: pin, latest: pin };
            }
            self.windows.push(w);
            self.holds.push(holds);
        }
        self.kept & DEPENDENCY == 0 || self.order_dependencies(input, counters, standing)
    }

    /// First slots that the bounds of [`FIRSTS`] leave to an item; 0 where one is not kept.
    fn firsts(&self, c: &Candidate, rank: u32) -> [u32; 4] {
        let kept = |bit: u32| self.kept & bit != 0;
        let behind = |bit: u32, positions: u32| match positions {
            1.. if kept(bit) => self.slots.partition_point(|&p| p < positions) as u32,
            _ => 0,
        };
        let guard = if kept(SPEND) && guarded(c) { rank } else { 0 };
        [
            guard.max(self.floors.get(rank as usize).copied().unwrap_or(0)),
            if kept(DISPLACEMENT) { rank.saturating_sub(self.reach) } else { 0 },
            behind(COOLDOWN, c.cooldown),
            behind(FATIGUE, c.fatigue),
        ]
    }

    /// What keeps an item from `slot`, in bits.
    pub fn held_by(&self, input: &Input, rank: u32, slot: u32) -> u32 {
        let c = &input.candidates[self.rows[rank as usize] as usize];
        if self.pins[rank as usize] != FREE {
            return PINNED;
        }
        let bits = later(&self.firsts(c, rank), slot);
        if bits == 0 { DEPENDENCY } else { bits }
    }

    /// The bits that an item breaks at `slot`: bounds that were given up. A choice prefers those that break none.
    pub fn broken(&self, policy: &Policy, rank: u32, slot: u32) -> u32 {
        let most = policy.spec.displacement.map_or(u32::MAX, |most| most.min(u32::MAX as usize) as u32);
        if self.pins[rank as usize] == FREE && slot.saturating_add(most) < rank { DISPLACEMENT } else { 0 }
    }

    /// Narrows windows so that of two in order the first can still come first: its end before the other's end, the
    /// other's start behind its start. With that, any order by deadlines keeps the dependencies, so windows that can be
    /// matched can be matched in order. False where a window is empty.
    fn order_dependencies(&mut self, input: &Input, counters: &Counters, standing: &[u32]) -> bool {
        let n = self.rows.len() as u32;
        // A chain is as long as there are rules at most; longer is a circle.
        for _ in 0..=counters.dependencies.len() {
            let mut moved = false;
            for &(before, then) in &counters.dependencies {
                moved |= self.start_behind(input, (before, then), standing);
                moved |= self.end_before(input, (before, then));
            }
            if self.windows.iter().any(|w| w.earliest > w.latest || w.latest >= n) {
                return false;
            }
            if !moved {
                return true;
            }
        }
        false
    }

    /// The waiting items start behind the start of every one that comes first.
    fn start_behind(&mut self, input: &Input, (before, then): (u32, u32), standing: &[u32]) -> bool {
        self.bounds.clear();
        self.bounds.resize(input.candidates.len(), 0);
        for (position, &row) in standing.iter().enumerate() {
            let Some(c) = input.candidates.get(row as usize) else { continue };
            if let Some(target) = constraints::target(input, c).filter(|_| c.kind == before) {
                let behind = self.slots.partition_point(|&p| (p as usize) < position) as u32;
                self.bounds[target] = self.bounds[target].max(behind);
            }
        }
        for (&row, w) in self.rows.iter().zip(&self.windows) {
            let c = &input.candidates[row as usize];
            if let Some(target) = constraints::target(input, c).filter(|_| c.kind == before) {
                self.bounds[target] = self.bounds[target].max(w.earliest + 1);
            }
        }
        let mut moved = false;
        for ((&row, w), &pin) in self.rows.iter().zip(&mut self.windows).zip(&self.pins) {
            let c = &input.candidates[row as usize];
            // The server's own pin stands.
            if let Some(target) = constraints::target(input, c).filter(|_| c.kind == then && pin == FREE)
                && w.earliest < self.bounds[target]
            {
                w.earliest = self.bounds[target];
                moved = true;
            }
        }
        moved
    }

    /// Those that come first end before the end of every waiting one.
    fn end_before(&mut self, input: &Input, (before, then): (u32, u32)) -> bool {
        self.bounds.clear();
        self.bounds.resize(input.candidates.len(), u32::MAX);
        for ((&row, w), &pin) in self.rows.iter().zip(&self.windows).zip(&self.pins) {
            let c = &input.candidates[row as usize];
            if let Some(target) = constraints::target(input, c).filter(|_| c.kind == then && pin == FREE) {
                // An end before the first slot is no slot at all.
                self.bounds[target] = self.bounds[target].min(w.latest.wrapping_sub(1));
            }
        }
        let mut moved = false;
        for ((&row, w), &pin) in self.rows.iter().zip(&mut self.windows).zip(&self.pins) {
            let c = &input.candidates[row as usize];
            if let Some(target) = constraints::target(input, c).filter(|_| c.kind == before && pin == FREE)
                && self.bounds[target] != u32::MAX
                && w.latest > self.bounds[target]
            {
                w.latest = self.bounds[target];
                moved = true;
            }
        }
        moved
    }
}
