//! The one pass over positions.

use super::Policy;
use super::constraints::Counters;
use super::decision::{CONSTRAINTS, Choice, DEPENDENCY, DISPLACEMENT, Decision, FROZEN, PINNED, SUPPRESSED};
use super::diversity::Spread;
use super::explore::draw;
use super::input::{Input, NONE};
use super::noise::Noise;
use super::pool::{FREE, Pool};
use super::spec::Explore;
use super::utility::{ranked, standardised, utilities};
use super::windows::Deadlines;
use crate::error::ErrorKind;

/// Working memory, kept between decisions.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    utilities: Vec<f64>,
    z: Vec<f64>,
    pool: Pool,
    counters: Counters,
    deadlines: Deadlines,
    spread: Spread,
    /// By position: the row that stands there, or [`NONE`].
    standing: Vec<u32>,
    /// Rows behind those that are ordered here, in their order.
    tail: Vec<u32>,
    /// Ranks in the pool, by utility; those before `head` are gone.
    remaining: Vec<u32>,
    head: usize,
    /// Those that may stand at a position, by index into `remaining`, and their scores.
    allowed: Vec<u32>,
    scores: Vec<f64>,
    weights: Vec<f64>,
    /// By row: what the frame holds it with.
    frame: Vec<u32>,
}

/// Decides an order.
///
/// Frozen items stand. Suppressed items go behind the others, by utility; those that were not scored before them, in the
/// server's order. The rest are chosen position by position: of those that leave every window completable, those that
/// break least ([`CONSTRAINTS`], the strongest first), and of these the best, or one that is drawn.
///
/// # Errors
/// `score_not_finite`.
pub fn decide(policy: &Policy, input: &Input, scratch: &mut Scratch) -> Result<Decision, ErrorKind> {
    utilities(policy, input, &mut scratch.utilities)?;
    standardised(&scratch.utilities, &mut scratch.z);
    let order = ranked(input, &scratch.utilities);
    let explore = policy.spec.explore.filter(|e| e.first > 0 && e.strength > 0.0);
    let drawn = explore.zip(input.seed).map(|(e, seed)| (e, Noise::new(seed, &input.decision_id)));
    scratch.stand(policy, input, &order);
    scratch.pool.floors.clear();
    scratch.pool.bound(policy, input, &scratch.counters, &scratch.standing);
    let raises = |&row: &u32| input.candidates[row as usize].spend_effect > 0.0;
    if drawn.is_some() && scratch.pool.rows.iter().any(raises) {
        // Where an item that raises spend would stand without exploration bounds where exploration may lift it to.
        let plain = scratch.pass(policy, input, &order, None, true);
        scratch.stand(policy, input, &order);
        scratch.pool.raise(input, &scratch.counters, &scratch.standing, &plain.choices);
    }
    Ok(scratch.pass(policy, input, &order, drawn, false))
}

impl Scratch {
    /// Sorts rows into those that stand, those that are ordered, and those that follow.
    fn stand(&mut self, policy: &Policy, input: &Input, order: &[usize]) {
        let n = input.candidates.len();
        let scored = self.utilities.len();
        self.standing.clear();
        self.standing.resize(n, NONE);
        self.frame.clear();
        self.frame.resize(n, 0);
        for (position, row) in input.frozen.iter().enumerate().filter_map(|(p, row)| row.map(|row| (p, row))) {
            if position < n && row < n && self.frame[row] & FROZEN == 0 {
                self.standing[position] = row as u32;
                self.frame[row] |= FROZEN;
            }
        }
        for (row, c) in input.candidates.iter().enumerate() {
            let position = (c.pin as usize).wrapping_sub(1);
            let lifted = c.spend_effect > 0.0 && c.benefit_lower <= 0.0 && position < row;
            let own = self.frame[row] == 0 && !c.suppressed && !lifted;
            // What was not scored is not ordered here, and still stands where the server asks for it.
            if row >= scored && own && self.standing.get(position) == Some(&NONE) {
                self.standing[position] = row as u32;
                self.frame[row] |= PINNED;
            }
        }
        let free = |row: &usize| self.frame[*row] == 0;
        let Pool { rows, slots, .. } = &mut self.pool;
        rows.clear();
        rows.extend((0..scored).filter(free).filter(|&row| !input.candidates[row].suppressed).map(|row| row as u32));
        slots.clear();
        slots.extend((0..n as u32).filter(|&p| self.standing[p as usize] == NONE).take(rows.len()));
        self.tail.clear();
        let behind = |row: usize| input.candidates[row].suppressed;
        self.tail.extend((scored..n).filter(free).filter(|&row| !behind(row)).map(|row| row as u32));
        self.tail.extend(order.iter().copied().filter(free).filter(|&row| behind(row)).map(|row| row as u32));
        self.counters.start(policy, input);
        for (position, &row) in self.standing.iter().enumerate().filter(|(_, row)| **row != NONE) {
            self.counters.place(policy, input, row as usize, position);
            self.counters.expect(input, row as usize);
        }
        for &row in &self.pool.rows {
            self.counters.expect(input, row as usize);
        }
    }

    /// Fills every position. If `brief`, nobody asks which constraints held an item where it stands.
    fn pass(
        &mut self,
        policy: &Policy,
        input: &Input,
        order: &[usize],
        drawn: Option<(Explore, Noise)>,
        brief: bool,
    ) -> Decision {
        let n = input.candidates.len();
        self.start_pass(policy, input, order);
        let bounded = !self.pool.rows.is_empty() && self.pool.is_bounded();
        if bounded {
            self.deadlines.start(&self.pool.windows);
        }
        let mut decision = Decision { degraded: self.utilities.len() < n, ..Decision::default() };
        decision.choices.reserve(n);
        let (mut slot, mut tail) = (0, 0);
        for position in 0..n {
            let row = self.standing[position];
            let mut choice = if row != NONE {
                self.set(row, 0)
            } else if slot < self.pool.rows.len() {
                slot += 1;
                self.choose(policy, input, (slot - 1, position), (bounded, brief), drawn)
            } else {
                tail += 1;
                self.set(self.tail[tail - 1], 0)
            };
            choice.constraints |= if input.candidates[choice.row].suppressed { SUPPRESSED } else { 0 };
            if tail == 0 || row != NONE {
                self.counters.come(input, choice.row);
            }
            decision.explored |= choice.propensity < 1.0;
            decision.log_propensity += choice.log_propensity;
            choice.prefix_log_propensity = decision.log_propensity;
            decision.choices.push(choice);
        }
        decision
    }

    fn start_pass(&mut self, policy: &Policy, input: &Input, order: &[usize]) {
        // By row: its rank in the pool.
        let mut ranks = vec![NONE; input.candidates.len()];
        for (rank, &row) in self.pool.rows.iter().enumerate() {
            ranks[row as usize] = rank as u32;
        }
        self.remaining.clear();
        self.remaining.extend(order.iter().map(|&row| ranks[row]).filter(|&rank| rank != NONE));
        self.head = 0;
        for (rank, &slot) in self.pool.pins.iter().enumerate().filter(|(_, slot)| **slot != FREE) {
            let position = self.pool.slots[slot as usize];
            self.counters.place(policy, input, self.pool.rows[rank] as usize, position as usize);
        }
        if let Some(spec) = &policy.spec.diversity {
            let reach = self.pool.slots.partition_point(|&p| (p as usize) < spec.first) as u32;
            let near = self.pool.rows.iter().zip(&self.pool.windows).filter(|(_, w)| w.earliest < reach);
            self.spread.start(spec, input, near.map(|(&row, _)| row));
            for (position, &row) in self.standing.iter().enumerate().filter(|(_, row)| **row != NONE) {
                self.spread.take(spec, input, row, position);
            }
            for (rank, &slot) in self.pool.pins.iter().enumerate().filter(|(_, slot)| **slot != FREE) {
                let position = self.pool.slots[slot as usize];
                self.spread.take(spec, input, self.pool.rows[rank], position as usize);
            }
        }
    }

    /// A row that nothing was drawn for.
    fn set(&self, row: u32, relaxed: u32) -> Choice {
        let row = row as usize;
        Choice {
            row,
            utility: self.utilities.get(row).copied().unwrap_or(f64::NAN),
            constraints: self.frame[row],
            relaxed,
            propensity: 1.0,
            log_propensity: 0.0,
            prefix_log_propensity: 0.0,
        }
    }

    /// Fills a slot: (slot, position).
    fn choose(
        &mut self,
        policy: &Policy,
        input: &Input,
        (slot, position): (usize, usize),
        (bounded, brief): (bool, bool),
        drawn: Option<(Explore, Noise)>,
    ) -> Choice {
        let tight = if bounded { self.deadlines.tight(slot) } else { u32::MAX };
        let diverse = policy.spec.diversity.as_ref().filter(|d| position < d.first);
        let drawn = drawn.filter(|(e, _)| position < e.first);
        let asked = self.counters.asked_at(position) || self.pool.may_break();
        if asked {
            self.counters.look(policy, position);
        }
        let at = (slot as u32, position, asked);
        let least = self.allow(policy, input, at, tight, diverse.is_none() && drawn.is_none());
        let scored = diverse.is_some() || drawn.is_some();
        let mut best = 0;
        if scored && self.allowed.len() > 1 {
            if let Some(spec) = diverse {
                self.spread.look(spec, input, position);
            }
            let (rows, remaining, z) = (&self.pool.rows[..], &self.remaining[..], &self.z[..]);
            self.scores.clear();
            self.scores.extend(self.allowed.iter().map(|&at| {
                let row = rows[remaining[at as usize] as usize];
                let z = z[row as usize];
                diverse.map_or(z, |spec| self.spread.score(spec, row, z))
            }));
            let scores = &self.scores[..];
            for (i, &score) in scores.iter().enumerate() {
                if score > scores[best] {
                    best = i;
                }
            }
        }
        let (mut index, mut propensity, mut log_propensity) = (best, 1.0, 0.0);
        if let Some((explore, noise)) = drawn.filter(|_| self.allowed.len() > 1) {
            let (rows, remaining, allowed) = (&self.pool.rows[..], &self.remaining[..], &self.allowed[..]);
            let candidates = &input.candidates[..];
            let id = |i: usize| candidates[rows[remaining[allowed[i] as usize] as usize] as usize].id;
            let draw = draw(&explore, noise, position, &self.scores, best, id, &mut self.weights);
            (index, propensity, log_propensity) = (draw.index, draw.probability, draw.log);
        }
        let chosen = self.allowed[index] as usize;
        let rank = self.remaining[chosen];
        let row = self.pool.rows[rank as usize];
        let pinned = self.pool.pins[rank as usize] != FREE;
        let kept = if brief || pinned { 0 } else { self.kept_away(policy, input, at, chosen, (tight, least)) };
        // Those ahead of it by utility move one place on: the gap closes from the front, where choices are made.
        self.remaining.copy_within(self.head..chosen, self.head + 1);
        self.head += 1;
        if bounded {
            self.deadlines.take(self.pool.windows[rank as usize]);
        }
        if !pinned {
            self.counters.place(policy, input, row as usize, position);
        }
        if let Some(spec) = diverse {
            self.spread.take(spec, input, row, position);
        }
        let relaxed = least | self.given_up(policy, input, rank, slot as u32);
        let choice = self.set(row, relaxed);
        let constraints = choice.constraints | if pinned { PINNED } else { kept };
        Choice { constraints, propensity, log_propensity, ..choice }
    }

    /// Finds those that may stand in a slot: windows first, then the least that can be broken, which it returns. With
    /// `first`, the first that breaks nothing is enough: they are looked at by utility.
    fn allow(
        &mut self,
        policy: &Policy,
        input: &Input,
        (slot, position, asked): (u32, usize, bool),
        tight: u32,
        first: bool,
    ) -> u32 {
        let mut allowed = std::mem::take(&mut self.allowed);
        allowed.clear();
        let windows = &self.pool.windows[..];
        let mut least = u32::MAX;
        for (at, &rank) in self.remaining.iter().enumerate().skip(self.head) {
            let w = windows[rank as usize];
            if w.earliest > slot || w.latest > tight {
                continue;
            }
            let broken = if asked { self.breaches(policy, input, rank, slot, position) } else { 0 };
            if broken & DEPENDENCY != 0 && self.pool.keeps(DEPENDENCY) {
                continue;
            }
            if broken < least {
                allowed.clear();
                least = broken;
            }
            if broken == least {
                allowed.push(at as u32);
            }
            if first && broken == 0 {
                break;
            }
        }
        self.allowed = allowed;
        least
    }

    /// What an item breaks in a slot. A pinned one is asked nothing.
    fn breaches(&self, policy: &Policy, input: &Input, rank: u32, slot: u32, position: usize) -> u32 {
        if self.pool.pins[rank as usize] != FREE {
            return 0;
        }
        let row = self.pool.rows[rank as usize] as usize;
        self.counters.breaches(policy, input, row, position) | self.pool.broken(policy, rank, slot)
    }

    /// What a placed item had to give up before the first choice: its pin, its displacement.
    fn given_up(&self, policy: &Policy, input: &Input, rank: u32, slot: u32) -> u32 {
        let pin = self.pool.pins[rank as usize];
        if pin != FREE {
            return 0;
        }
        let far = policy.spec.displacement.is_some_and(|most| slot.abs_diff(rank) as usize > most);
        let asked = input.candidates[self.pool.rows[rank as usize] as usize].pin > 0;
        (if far { DISPLACEMENT } else { 0 }) | if asked { PINNED } else { 0 }
    }

    /// What kept those away that were ahead of the chosen one.
    fn kept_away(
        &self,
        policy: &Policy,
        input: &Input,
        (slot, position, asked): (u32, usize, bool),
        chosen: usize,
        (tight, least): (u32, u32),
    ) -> u32 {
        let (windows, holds) = (&self.pool.windows[..], &self.pool.holds[..]);
        let mut bits = 0;
        for &rank in &self.remaining[self.head..chosen] {
            let w = windows[rank as usize];
            if w.earliest > slot {
                // Many are held by what others are held by.
                if holds[rank as usize] & !bits != 0 {
                    bits |= self.pool.held_by(input, rank, slot);
                }
            } else if w.latest > tight {
                // Another's deadline takes the slot: its displacement's, or that of what waits for it.
                bits |= if policy.spec.displacement.is_some() { DISPLACEMENT } else { DEPENDENCY };
            } else if asked {
                let broken = self.breaches(policy, input, rank, slot, position);
                bits |= if broken > least { broken } else { 0 };
            }
        }
        bits
    }
}

/// The names of the set bits, lowest first.
pub fn constraint_names(bits: u32) -> Vec<&'static str> {
    CONSTRAINTS.iter().enumerate().filter(|(i, _)| bits & (1 << i) != 0).map(|(_, name)| *name).collect()
}
