//! The policy again, by its definitions alone: every list is tried, nothing is counted ahead, no factor is kept. Slow, and
//! without a line of the policy's own; only the forms of input and section are shared.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(
    clippy::disallowed_methods,
    reason = "a reference has the standard library's functions, not the ones it checks"
)]
#![allow(
    clippy::unwrap_used,
    clippy::needless_range_loop,
    reason = "a test states what it expects; formulas have indices"
)]

use ranklet::policy::{
    CAP, CONFLICT, COOLDOWN, Candidate, Cap, Conflict, DEPENDENCY, DISPLACEMENT, Dependency, Diversity,
    DiversityMethod, Explore, ExploreMethod, FATIGUE, Input, NONE, Policy, PolicySpec, SPACING, Similarity, Spacing,
    Weight,
};

/// SplitMix64: the tests' own numbers.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }
}

/// A request as the reference sees it.
pub struct Reference<'a> {
    pub spec: &'a PolicySpec,
    pub input: &'a Input,
    pub utilities: Vec<f64>,
    z: Vec<f64>,
    /// By position, what stands before anything is chosen: frozen, unscored and pinned, pinned.
    pub at: Vec<Option<usize>>,
    /// By rank: rows that are chosen.
    pub rows: Vec<usize>,
    /// By slot: positions.
    pub slots: Vec<usize>,
    /// What follows them.
    pub tail: Vec<usize>,
    /// By rank: its slot.
    pub pins: Vec<Option<usize>>,
    /// Pins that cannot be kept.
    pub lost_pins: usize,
    /// Displacement that can be kept.
    pub reach: usize,
    pub keeps_dependencies: bool,
    /// Lists (by slot: the rank) that keep all that can be kept.
    pub lists: Vec<Vec<usize>>,
}

/// Every order of 0..n.
pub fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in orders(n - 1) {
        for place in 0..n {
            let mut order = shorter.clone();
            order.insert(place, n - 1);
            all.push(order);
        }
    }
    all
}

fn guarded(c: &Candidate) -> bool {
    c.spend_effect > 0.0 && c.benefit_lower <= 0.0
}

fn slot_of(list: &[usize], rank: usize) -> usize {
    list.iter().position(|&r| r == rank).unwrap()
}

impl<'a> Reference<'a> {
    pub fn new(spec: &'a PolicySpec, input: &'a Input, orders: &[Vec<Vec<usize>>]) -> Reference<'a> {
        let n = input.candidates.len();
        let utilities: Vec<f64> = (0..input.scored).map(|row| utility(spec, input, row)).collect();
        let mut at: Vec<Option<usize>> = (0..n).map(|p| input.frozen.get(p).copied().flatten()).collect();
        let c = &input.candidates;
        for row in input.scored..n {
            let position = (c[row].pin as usize).wrapping_sub(1);
            let lifted = guarded(&c[row]) && position < row;
            if !c[row].suppressed && !lifted && !at.contains(&Some(row)) && at.get(position) == Some(&None) {
                at[position] = Some(row);
            }
        }
        let free: Vec<usize> = (0..n).filter(|&row| !at.contains(&Some(row))).collect();
        let rows: Vec<usize> = free.iter().copied().filter(|&r| r < input.scored && !c[r].suppressed).collect();
        let slots: Vec<usize> = (0..n).filter(|&p| at[p].is_none()).take(rows.len()).collect();
        let mut tail: Vec<usize> = free.iter().copied().filter(|&r| r >= input.scored && !c[r].suppressed).collect();
        let mut behind: Vec<usize> = free.iter().copied().filter(|&r| c[r].suppressed).collect();
        behind.sort_by(|&a, &b| better(input, &utilities, a, b));
        tail.extend(behind);
        let mut reference = Reference {
            spec,
            input,
            z: standard(&utilities),
            utilities,
            at,
            pins: vec![None; rows.len()],
            lost_pins: 0,
            reach: spec.displacement.unwrap_or(rows.len()),
            keeps_dependencies: false,
            lists: Vec::new(),
            rows,
            slots,
            tail,
        };
        reference.bound(&orders[reference.rows.len()]);
        for (rank, pin) in reference.pins.clone().into_iter().enumerate() {
            if let Some(slot) = pin {
                reference.at[reference.slots[slot]] = Some(reference.rows[rank]);
            }
        }
        reference
    }

    fn row(&self, rank: usize) -> &Candidate {
        &self.input.candidates[self.rows[rank]]
    }

    /// Keeps what can be kept, the strongest first: guard, pins, displacement, dependencies, cooldown, fatigue.
    fn bound(&mut self, all: &[Vec<usize>]) {
        let n = self.rows.len();
        let safe = |me: &Self, list: &[usize]| (0..n).all(|slot| !guarded(me.row(list[slot])) || slot >= list[slot]);
        let mut lists: Vec<Vec<usize>> = all.iter().filter(|l| safe(self, l)).cloned().collect();
        let mut wanted = Vec::new();
        for rank in 0..n {
            let c = self.row(rank);
            if c.pin == 0 {
                continue;
            }
            let slot = self.slots.iter().position(|&p| p + 1 == c.pin as usize);
            let slot = slot.filter(|&s| wanted.iter().all(|&(_, t)| t != s) && !(guarded(c) && s < rank));
            match slot {
                Some(slot) => wanted.push((rank, slot)),
                None => self.lost_pins += 1,
            }
        }
        let together: Vec<_> =
            lists.iter().filter(|l| wanted.iter().all(|&(rank, slot)| l[slot] == rank)).cloned().collect();
        if together.is_empty() {
            for &(rank, slot) in &wanted {
                let with: Vec<_> = lists.iter().filter(|l| l[slot] == rank).cloned().collect();
                if with.is_empty() {
                    self.lost_pins += 1;
                } else {
                    lists = with;
                    self.pins[rank] = Some(slot);
                }
            }
        } else {
            lists = together;
            wanted.iter().for_each(|&(rank, slot)| self.pins[rank] = Some(slot));
        }
        loop {
            let near = |l: &Vec<usize>| {
                (0..n).all(|slot| self.pins[l[slot]].is_some() || l[slot].abs_diff(slot) <= self.reach)
            };
            let with: Vec<_> = lists.iter().filter(|l| near(l)).cloned().collect();
            if !with.is_empty() {
                lists = with;
                break;
            }
            self.reach += 1;
        }
        let with: Vec<_> = lists.iter().filter(|l| self.in_order(l)).cloned().collect();
        if !with.is_empty() {
            lists = with;
            self.keeps_dependencies = true;
        }
        for of in [|c: &Candidate| c.cooldown as usize, |c: &Candidate| c.fatigue as usize] {
            let late = |l: &Vec<usize>| {
                (0..n).all(|slot| self.pins[l[slot]].is_some() || self.slots[slot] >= of(self.row(l[slot])))
            };
            let with: Vec<_> = lists.iter().filter(|l| late(l)).cloned().collect();
            if !with.is_empty() {
                lists = with;
            }
        }
        self.lists = lists;
    }

    /// Whether every dependency of an item that is not pinned is kept.
    fn in_order(&self, list: &[usize]) -> bool {
        (0..list.len()).all(|slot| {
            let waits = list[slot];
            self.pins[waits].is_some()
                || !self.waits(self.rows[waits], |row| match self.rows.iter().position(|&r| r == row) {
                    Some(rank) => slot_of(list, rank) < slot,
                    None => self.at.iter().position(|&a| a == Some(row)).unwrap() < self.slots[slot],
                })
        })
    }

    /// Whether `row` waits for one that stands or is chosen here, and has not come.
    fn waits(&self, row: usize, has_come: impl Fn(usize) -> bool) -> bool {
        let c = &self.input.candidates;
        let kind = |row: usize| self.input.kinds.get(c[row].kind as usize);
        let here: Vec<usize> = self.at.iter().flatten().chain(&self.rows).copied().collect();
        self.spec.dependencies.iter().any(|d| {
            kind(row) == Some(&d.then)
                && c[row].target != NONE
                && here.iter().any(|&a| kind(a) == Some(&d.before) && c[a].target == c[row].target && !has_come(a))
        })
    }

    /// What stands after `prefix` (ranks by slot), by position.
    fn standing(&self, prefix: &[usize]) -> Vec<Option<usize>> {
        let mut at = self.at.clone();
        for (slot, &rank) in prefix.iter().enumerate() {
            at[self.slots[slot]] = Some(self.rows[rank]);
        }
        at
    }

    /// The soft constraints that `rank` breaks behind `prefix`, the strongest first in the result's bits.
    pub fn breaches(&self, prefix: &[usize], rank: usize) -> u32 {
        if self.pins[rank].is_some() {
            return 0;
        }
        let (row, position, slot) = (self.rows[rank], self.slots[prefix.len()], prefix.len());
        let c = &self.input.candidates;
        let at = self.standing(prefix);
        let kind = |row: usize| self.input.kinds.get(c[row].kind as usize);
        let mut bits = 0;
        let most = self.spec.displacement.unwrap_or(usize::MAX);
        if slot.saturating_add(most) < rank {
            bits |= DISPLACEMENT;
        }
        if self.waits(row, |a| at.iter().position(|&x| x == Some(a)).is_some_and(|p| p < position)) {
            bits |= DEPENDENCY;
        }
        if position < c[row].cooldown as usize {
            bits |= COOLDOWN;
        }
        if position < c[row].fatigue as usize {
            bits |= FATIGUE;
        }
        let shown = |first: usize| at.iter().take(first).flatten().copied();
        for rule in &self.spec.conflicts {
            let is = |r: usize| kind(r).is_some_and(|k| rule.types.contains(k));
            if position < rule.first
                && is(row)
                && c[row].target != NONE
                && shown(rule.first).any(|r| is(r) && c[r].target == c[row].target)
            {
                bits |= CONFLICT;
            }
        }
        for rule in &self.spec.caps {
            let counts = rule.kind.is_none() || kind(row) == rule.kind.as_ref();
            let same = shown(rule.first).filter(|&r| kind(r) == kind(row)).count();
            if position < rule.first && kind(row).is_some() && counts && same >= rule.most as usize {
                bits |= CAP;
            }
        }
        if let Some(rule) = &self.spec.spacing {
            let near = |p: usize| p != position && p < rule.first && p.abs_diff(position) <= rule.apart;
            let same = |p: usize| at[p].is_some_and(|r| kind(r) == kind(row));
            if position < rule.first && kind(row).is_some() && (0..at.len()).any(|p| near(p) && same(p)) {
                bits |= SPACING;
            }
        }
        bits
    }

    /// Ranks that may follow `prefix`, by utility: those that some list continues with, then, constraint by constraint
    /// from the strongest, those that keep it where any does.
    pub fn allowed(&self, prefix: &[usize]) -> Vec<usize> {
        let mut ranks: Vec<usize> = Vec::new();
        for list in self.lists.iter().filter(|l| l.starts_with(prefix)) {
            if !ranks.contains(&list[prefix.len()]) {
                ranks.push(list[prefix.len()]);
            }
        }
        for bit in [DISPLACEMENT, DEPENDENCY, COOLDOWN, FATIGUE, CONFLICT, CAP, SPACING] {
            let keep: Vec<usize> = ranks.iter().copied().filter(|&r| self.breaches(prefix, r) & bit == 0).collect();
            if !keep.is_empty() {
                ranks = keep;
            }
        }
        ranks.sort_by(|&a, &b| better(self.input, &self.utilities, self.rows[a], self.rows[b]));
        ranks
    }

    /// The score of `rank` behind `prefix`; a larger one is better.
    pub fn score(&self, prefix: &[usize], rank: usize) -> f64 {
        let (row, position) = (self.rows[rank], self.slots[prefix.len()]);
        let z = self.z[row];
        let Some(spec) = self.spec.diversity.as_ref().filter(|d| position < d.first) else { return z };
        let at = self.standing(prefix);
        let near: Vec<usize> = (0..at.len().min(spec.first))
            .filter(|&p| spec.method != DiversityMethod::Ssd || p.abs_diff(position) < spec.window)
            .filter_map(|p| at[p])
            .collect();
        let s = |a, b| similarity(spec, self.input, a, b);
        match spec.method {
            DiversityMethod::Mmr => {
                let most = near.iter().map(|&r| s(row, r)).fold(f64::NEG_INFINITY, f64::max);
                spec.strength * z - (1.0 - spec.strength) * if near.is_empty() { 0.0 } else { most }
            }
            DiversityMethod::Dpp => {
                // What stands was chosen in an order that does not matter here: any spanning part of it will do.
                let basis = spanning(&near, &s);
                2.0 * spec.strength * z + residual(&basis, row, &s).max(1e-10).ln()
            }
            DiversityMethod::Ssd => {
                let basis = spanning(&near, &s);
                let volume = determinant(&basis, &s).max(0.0).sqrt();
                let own = residual(&basis, row, &s);
                z + if own > 1e-10 { spec.strength * volume * own.sqrt() } else { 0.0 }
            }
        }
    }

    /// The greedy list: by slot, the rank.
    pub fn greedy(&self) -> Vec<usize> {
        let mut prefix = Vec::new();
        while prefix.len() < self.rows.len() {
            let allowed = self.allowed(&prefix);
            let scored = self.spec.diversity.as_ref().is_some_and(|d| self.slots[prefix.len()] < d.first);
            let mut best = allowed[0];
            if scored {
                for &rank in &allowed {
                    if self.score(&prefix, rank) > self.score(&prefix, best) {
                        best = rank;
                    }
                }
            }
            prefix.push(best);
        }
        prefix
    }

    /// With exploration nothing that raises spend goes above the better of its rank and its place in `plain`.
    pub fn guard_exploration(&mut self, plain: &[usize]) {
        let floor = |me: &Self, rank: usize| match me.row(rank).spend_effect > 0.0 && me.pins[rank].is_none() {
            true => slot_of(plain, rank).min(rank),
            false => 0,
        };
        let floors: Vec<usize> = (0..self.rows.len()).map(|rank| floor(self, rank)).collect();
        self.lists.retain(|l| (0..l.len()).all(|slot| slot >= floors[l[slot]]));
    }

    /// P(rank | prefix) of those that may follow.
    pub fn probabilities(&self, prefix: &[usize], explore: &Explore) -> Vec<(usize, f64)> {
        let allowed = self.allowed(prefix);
        let position = self.slots[prefix.len()];
        let scores: Vec<f64> = allowed.iter().map(|&rank| self.score(prefix, rank)).collect();
        let drawn = position < explore.first;
        let diverse = self.spec.diversity.as_ref().is_some_and(|d| position < d.first);
        let mut best = 0;
        if drawn || diverse {
            for i in 1..scores.len() {
                if scores[i] > scores[best] {
                    best = i;
                }
            }
        }
        let n = allowed.len() as f64;
        let p: Vec<f64> = if !drawn {
            (0..allowed.len()).map(|i| if i == best { 1.0 } else { 0.0 }).collect()
        } else if explore.method == ExploreMethod::EpsilonGreedy {
            let e = explore.strength;
            (0..allowed.len()).map(|i| e / n + if i == best { 1.0 - e } else { 0.0 }).collect()
        } else {
            let sum: f64 = scores.iter().map(|s| (s / explore.strength).exp()).sum();
            scores.iter().map(|s| (s / explore.strength).exp() / sum).collect()
        };
        allowed.into_iter().zip(p).filter(|(_, p)| *p > 0.0).collect()
    }

    /// The whole list: rows in final order.
    pub fn list(&self, ranks: &[usize]) -> Vec<usize> {
        let mut tail = self.tail.iter();
        self.standing(ranks).into_iter().map(|row| row.unwrap_or_else(|| *tail.next().unwrap())).collect()
    }

    /// Whether some list keeps every bound and constraint, pins included.
    pub fn anything_is_free(&self, all: &[Vec<usize>]) -> bool {
        if self.lost_pins > 0
            || self.spec.displacement.is_some_and(|most| self.reach > most)
            || !self.keeps_dependencies
        {
            return false;
        }
        let clean = |l: &Vec<usize>| (0..l.len()).all(|slot| self.breaches(&l[..slot], l[slot]) == 0);
        let _ = all;
        self.lists.iter().any(clean)
    }
}

/// U, tie by the raw first head, tie by the server.
fn better(input: &Input, utilities: &[f64], a: usize, b: usize) -> std::cmp::Ordering {
    let key = |r: usize| utilities.get(r).map(|&u| (u, input.raw[r * input.heads]));
    match (key(a), key(b)) {
        (Some((u, x)), Some((v, y))) => v.partial_cmp(&u).unwrap().then(y.partial_cmp(&x).unwrap()).then(a.cmp(&b)),
        (x, y) => y.is_some().cmp(&x.is_some()).then(a.cmp(&b)),
    }
}

fn utility(spec: &PolicySpec, input: &Input, row: usize) -> f64 {
    let p = &input.calibrated[row * input.heads..(row + 1) * input.heads];
    let c = &input.candidates[row];
    let own = if c.value.is_nan() { spec.value_head.map_or(1.0, |h| p[h]) } else { c.value };
    let mut u = 0.0;
    for (w, p) in spec.weights.iter().zip(p) {
        u += w.default * p * own;
    }
    u + if c.boost.is_nan() { 0.0 } else { c.boost }
}

fn standard(u: &[f64]) -> Vec<f64> {
    let n = u.len() as f64;
    let mean = u.iter().sum::<f64>() / n;
    let deviation = (u.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    u.iter().map(|x| if deviation > 0.0 { (x - mean) / deviation } else { 0.0 }).collect()
}

pub fn similarity(spec: &Diversity, input: &Input, a: usize, b: usize) -> f64 {
    let Similarity { same_type, same_target, .. } = spec.similarity;
    if a == b {
        return 1.0;
    }
    if spec.similarity.is_vector() {
        let v = |r: usize| &input.vectors[r * input.width..(r + 1) * input.width];
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let (x, y) = (dot(v(a), v(a)), dot(v(b), v(b)));
        return if x > 0.0 && y > 0.0 { dot(v(a), v(b)) / (x * y).sqrt() } else { 0.0 };
    }
    let (x, y) = (&input.candidates[a], &input.candidates[b]);
    let mut s = 0.0;
    if x.kind == y.kind && x.kind != NONE {
        s += same_type;
    }
    if x.target == y.target && x.target != NONE {
        s += same_target;
    }
    s
}

/// Of `rows`, in order, those that are not explained by the ones before.
pub fn spanning(rows: &[usize], s: &dyn Fn(usize, usize) -> f64) -> Vec<usize> {
    let mut basis = Vec::new();
    for &row in rows {
        if residual(&basis, row, s) > 1e-10 {
            basis.push(row);
        }
    }
    basis
}

/// det S(basis and row) / det S(basis).
pub fn residual(basis: &[usize], row: usize, s: &dyn Fn(usize, usize) -> f64) -> f64 {
    let mut with = basis.to_vec();
    with.push(row);
    if basis.contains(&row) { 0.0 } else { determinant(&with, s) / determinant(basis, s) }
}

/// det of the similarities of `rows`, by elimination with pivoting.
pub fn determinant(rows: &[usize], s: &dyn Fn(usize, usize) -> f64) -> f64 {
    let n = rows.len();
    let mut m: Vec<Vec<f64>> = rows.iter().map(|&a| rows.iter().map(|&b| s(a, b)).collect()).collect();
    let mut det = 1.0;
    for k in 0..n {
        let pivot = (k..n).max_by(|&a, &b| m[a][k].abs().total_cmp(&m[b][k].abs())).unwrap();
        if pivot != k {
            m.swap(pivot, k);
            det = -det;
        }
        if m[k][k] == 0.0 {
            return 0.0;
        }
        det *= m[k][k];
        for i in k + 1..n {
            let f = m[i][k] / m[k][k];
            for j in k..n {
                m[i][j] -= f * m[k][j];
            }
        }
    }
    det
}

pub const KINDS: [&str; 3] = ["budget", "bid", "tag"];

/// A request of `n` candidates and a section, with anything in them.
pub fn anything(random: &mut Random, n: usize) -> (PolicySpec, Input) {
    let heads = 1 + random.below(2);
    let weight = |r: &mut Random| Weight { default: r.below(5) as f64 / 2.0, surfaces: Vec::new() };
    let mut spec = PolicySpec { weights: (0..heads).map(|_| weight(random)).collect(), ..PolicySpec::default() };
    let kind = |r: &mut Random| KINDS[r.below(3)].to_owned();
    if random.chance(0.4) {
        spec.displacement = Some(random.below(5));
    }
    for _ in 0..random.below(3) * usize::from(random.chance(0.5)) {
        let of = if random.chance(0.5) { Some(kind(random)) } else { None };
        spec.caps.push(Cap { kind: of, most: random.below(3) as u32, first: 1 + random.below(6) });
    }
    if random.chance(0.3) {
        spec.spacing = Some(Spacing { apart: 1 + random.below(2), first: 1 + random.below(7) });
    }
    if random.chance(0.3) {
        spec.conflicts.push(Conflict { types: vec!["budget".into(), "bid".into()], first: 1 + random.below(6) });
    }
    for _ in 0..random.below(3) * usize::from(random.chance(0.5)) {
        let (before, then) = (random.below(3), random.below(3));
        if before != then {
            spec.dependencies.push(Dependency { before: KINDS[before].into(), then: KINDS[then].into() });
        }
    }
    if random.chance(0.2) {
        spec.value_head = Some(random.below(heads));
    }
    let scored = if random.chance(0.15) { random.below(n + 1) } else { n };
    let rare = |r: &mut Random, p: f64, most: usize| if r.chance(p) { 1 + r.below(most) as u32 } else { 0 };
    let (pins, out) = (random.chance(0.4), random.chance(0.3));
    let (spends, hidden) = (random.chance(0.4), random.chance(0.3));
    let candidates = (0..n)
        .map(|_| Candidate {
            id: random.next(),
            value: if random.chance(0.3) { random.below(4) as f64 } else { f64::NAN },
            boost: if random.chance(0.2) { random.unit() - 0.5 } else { f64::NAN },
            spend_effect: if spends && random.chance(0.5) { random.unit() - 0.3 } else { f64::NAN },
            benefit_lower: if random.chance(0.6) { random.unit() - 0.5 } else { f64::NAN },
            pin: if pins { rare(random, 0.3, n + 1) } else { 0 },
            kind: if random.chance(0.9) { random.below(3) as u32 } else { NONE },
            target: if random.chance(0.8) { random.below(n.min(2)) as u32 } else { NONE },
            suppressed: hidden && random.chance(0.3),
            cooldown: if out { rare(random, 0.3, 5) } else { 0 },
            fatigue: if out { rare(random, 0.3, 5) } else { 0 },
        })
        .collect();
    let mut frozen = vec![None; if random.chance(0.3) { n } else { 0 }];
    for _ in 0..frozen.len().min(2) {
        let (position, row) = (random.below(n), random.below(n));
        if frozen[position].is_none() && !frozen.contains(&Some(row)) {
            frozen[position] = Some(row);
        }
    }
    let width = 3;
    // Coarse numbers, so that ties, parallel vectors and plateaus are common.
    let input = Input {
        surface: None,
        seed: None,
        decision_id: String::new(),
        frozen,
        scored,
        kinds: KINDS.iter().map(|k| (*k).to_owned()).collect(),
        heads,
        raw: (0..scored * heads).map(|_| random.below(4) as f32).collect(),
        calibrated: (0..scored * heads).map(|_| random.below(8) as f64 / 8.0).collect(),
        candidates,
        width,
        vectors: (0..n * width).map(|_| random.below(3) as f32).collect(),
    };
    (spec, input)
}

/// A diversity section.
pub fn diversity(random: &mut Random, method: DiversityMethod) -> Diversity {
    let similarity = match random.below(2) {
        0 => Similarity { output: Some("tower".into()), ..Similarity::default() },
        _ => Similarity { same_type: 0.5, same_target: 0.3, ..Similarity::default() },
    };
    let strength = 0.2 + 0.6 * random.unit();
    Diversity { method, strength, window: 2 + random.below(3), first: 1 + random.below(6), similarity }
}

/// The checked policy of a section.
pub fn policy(spec: &PolicySpec) -> Policy {
    Policy::new(spec, &["accept", "open"][..spec.weights.len()]).unwrap()
}
