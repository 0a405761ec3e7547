//! The policy's order against every list tried: windows, constraints and their order of relaxation, the guardrail of
//! spend, diversity.
//!
//! `RANKLET_POLICY_REQUESTS=100000` is the whole count; by default a twentieth of it.
#![allow(clippy::unwrap_used, reason = "a test states what it expects")]
#![allow(clippy::disallowed_methods, reason = "a test may compute otherwise than what it checks")]

mod policy_reference;

use policy_reference::{Random, Reference, anything, determinant, diversity, orders, policy, similarity, spanning};
use ranklet::policy::{
    CONSTRAINTS, Candidate, Cap, DISPLACEMENT, Dependency, Diversity, DiversityMethod, Explore, ExploreMethod, FROZEN,
    Input, PINNED, PolicySpec, Scratch, Similarity, Spacing, Weight, decide,
};

fn count(default: usize) -> usize {
    std::env::var("RANKLET_POLICY_REQUESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

const METHODS: [DiversityMethod; 3] = [DiversityMethod::Mmr, DiversityMethod::Dpp, DiversityMethod::Ssd];

#[test]
fn every_order_is_what_trying_all_lists_says() {
    let orders: Vec<_> = (0..8).map(orders).collect();
    let mut random = Random(5);
    let mut scratch = Scratch::default();
    let requests = count(5_000);
    let (mut free, mut relaxed_free) = (0, [0; CONSTRAINTS.len()]);
    let (mut relaxed, mut lists_relaxed, mut guarded, mut lifts) = ([0; CONSTRAINTS.len()], 0, 0, 0);
    for request in 0..requests {
        let n = 1 + random.below(7);
        let (mut spec, mut input) = anything(&mut random, n);
        if random.chance(0.4) {
            spec.diversity = Some(diversity(&mut random, METHODS[request % 3]));
        }
        let policy = policy(&spec);
        let mut reference = Reference::new(&spec, &input, &orders);
        let decision = decide(&policy, &input, &mut scratch).unwrap();
        let rows: Vec<usize> = decision.choices.iter().map(|c| c.row).collect();
        let place = |row: usize| rows.iter().position(|&r| r == row).unwrap();
        let told = || format!("request {request}\n{spec:?}\n{input:?}\n{rows:?}");

        let mut all = rows.clone();
        all.sort_unstable();
        assert_eq!(all, (0..n).collect::<Vec<_>>(), "{}", told());
        for (position, row) in input.frozen.iter().enumerate().filter_map(|(p, r)| r.map(|r| (p, r))) {
            assert_eq!(rows[position], row, "{}", told());
            assert!(decision.choices[position].constraints & FROZEN != 0);
        }
        assert!(decision.choices.iter().all(|c| c.propensity == 1.0 && c.log_propensity == 0.0));
        let plain = reference.greedy();
        if spec.diversity.is_none() {
            assert_eq!(rows, reference.list(&plain), "{}", told());
        } else {
            same_but_for_ties(&reference, &rows, &told());
        }

        // What each choice breaks is what the reference says it breaks, and no other choice would break weaker ones.
        let prefix: Vec<usize> = reference.slots.iter().map(|&p| rank_of(&reference, rows[p])).collect();
        for (slot, &rank) in prefix.iter().enumerate() {
            let choice = &decision.choices[reference.slots[slot]];
            let mut expected = reference.breaches(&prefix[..slot], rank);
            if reference.pins[rank].is_none() {
                let far = spec.displacement.is_some_and(|most| slot.abs_diff(rank) > most);
                expected |= if far { DISPLACEMENT } else { 0 };
                expected |= if input.candidates[choice.row].pin > 0 { PINNED } else { 0 };
            }
            assert_eq!(choice.relaxed, expected, "position {} of {}", reference.slots[slot], told());
            for &other in &reference.allowed(&prefix[..slot]) {
                assert_eq!(reference.breaches(&prefix[..slot], other), reference.breaches(&prefix[..slot], rank));
            }
        }
        for (_, _, bit) in decision.relaxations() {
            relaxed[bit.trailing_zeros() as usize] += 1;
        }
        let broken = decision.choices.iter().fold(0, |bits, c| bits | c.relaxed);
        lists_relaxed += usize::from(broken != 0);
        if reference.anything_is_free(&orders[reference.rows.len()]) {
            free += 1;
            for (bit, count) in relaxed_free.iter_mut().enumerate() {
                *count += usize::from(broken & (1 << bit) != 0);
            }
        }
        // Pins and displacement are never given up where a list keeps both.
        let kept = reference.lost_pins == 0 && spec.displacement.is_none_or(|most| reference.reach == most);
        assert!(!kept || broken & (PINNED | DISPLACEMENT) == 0, "{}", told());

        // The guardrail, without and with exploration.
        let raises = |row: usize| input.candidates[row].spend_effect > 0.0;
        for (rank, &row) in reference.rows.iter().enumerate() {
            let slot = reference.slots.iter().position(|&p| p == place(row)).unwrap();
            if raises(row) && input.candidates[row].benefit_lower <= 0.0 {
                guarded += 1;
                lifts += usize::from(slot < rank);
            }
        }
        spec.explore = Some(Explore { method: ExploreMethod::PlackettLuce, strength: 2.0, first: 6 });
        input.seed = Some(7);
        let plain_rows = rows;
        let policy = policy_reference::policy(&spec);
        reference = Reference::new(&spec, &input, &orders);
        for draw in 0..3 {
            let input = Input { decision_id: format!("{request}/{draw}"), ..input.clone() };
            let drawn = decide(&policy, &input, &mut scratch).unwrap();
            for (rank, &row) in reference.rows.iter().enumerate().filter(|(_, row)| raises(**row)) {
                let slot = |rows: &[usize]| {
                    let position = rows.iter().position(|&r| r == row).unwrap();
                    reference.slots.iter().position(|&p| p == position).unwrap()
                };
                let rows: Vec<usize> = drawn.choices.iter().map(|c| c.row).collect();
                guarded += 1;
                lifts += usize::from(slot(&rows) < slot(&plain_rows).min(rank));
            }
        }
    }
    println!("requests {requests}, at most 7 candidates; {lists_relaxed} lists with a relaxation");
    println!("constraint      relaxations   lists relaxed where a free one existed ({free})");
    for (bit, name) in CONSTRAINTS.iter().enumerate().skip(2) {
        let rate = 100.0 * relaxed_free[bit] as f64 / free as f64;
        println!("{name:<14} {:>12}   {:>6} ({rate:.3} %)", relaxed[bit], relaxed_free[bit]);
    }
    println!("spend guardrail: {guarded} places of items that raise spend, {lifts} above what it allows");
    assert_eq!(lifts, 0);
    assert!(guarded > requests / 4 && free > requests / 4 && lists_relaxed > requests / 50);
}

fn rank_of(reference: &Reference<'_>, row: usize) -> usize {
    reference.rows.iter().position(|&r| r == row).unwrap()
}

/// Scores of the reference and ours differ by rounding, so of two that tie either may come first: each choice must be
/// allowed and its score the best but for 1e-9, whatever stands before it.
fn same_but_for_ties(reference: &Reference<'_>, rows: &[usize], told: &str) {
    let mut prefix = Vec::new();
    for &position in &reference.slots {
        let rank = rank_of(reference, rows[position]);
        let allowed = reference.allowed(&prefix);
        assert!(allowed.contains(&rank), "position {position} of {told}");
        let diverse = reference.spec.diversity.as_ref().is_some_and(|d| position < d.first);
        if diverse {
            let best = allowed.iter().map(|&r| reference.score(&prefix, r)).fold(f64::NEG_INFINITY, f64::max);
            let own = reference.score(&prefix, rank);
            assert!(own >= best - 1e-9 * best.abs().max(1.0), "position {position}: {own} of {best}; {told}");
        } else {
            assert_eq!(allowed[0], rank, "position {position} of {told}");
        }
        prefix.push(rank);
    }
    assert_eq!(reference.list(&prefix), rows, "{told}");
}

/// Vectors in few dimensions, some nearly parallel: the kernel is singular after as many picks.
fn crowded(random: &mut Random, n: usize, width: usize, spread: f64) -> Input {
    let centres: Vec<Vec<f64>> = (0..6).map(|_| (0..width).map(|_| random.unit() - 0.5).collect()).collect();
    let mut vectors = Vec::new();
    for _ in 0..n {
        let centre = &centres[random.below(6)];
        vectors.extend(centre.iter().map(|x| (x + spread * (random.unit() - 0.5)) as f32));
    }
    Input {
        scored: n,
        heads: 1,
        raw: vec![0.0; n],
        calibrated: (0..n).map(|_| random.unit()).collect(),
        candidates: vec![Candidate::default(); n],
        width,
        vectors,
        ..Input::default()
    }
}

#[test]
fn greedy_dpp_is_the_direct_greedy_of_log_determinants() {
    let mut random = Random(11);
    let mut singular = 0;
    for round in 0..count(5_000) / 50 {
        let width = 2 + round % 6;
        let input = crowded(&mut random, 30, width, [0.5, 1e-2, 1e-4, 0.0][round % 4]);
        let strength = 0.3 + random.unit();
        let spec = PolicySpec {
            weights: vec![Weight { default: 1.0, surfaces: Vec::new() }],
            diversity: Some(Diversity {
                method: DiversityMethod::Dpp,
                strength,
                window: 2,
                first: 10,
                similarity: Similarity { output: Some("tower".into()), ..Similarity::default() },
            }),
            ..PolicySpec::default()
        };
        let decision = decide(&policy(&spec), &input, &mut Scratch::default()).unwrap();
        let u = &input.calibrated;
        let mean = u.iter().sum::<f64>() / 30.0;
        let deviation = (u.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 30.0).sqrt();
        let quality = |row: usize| strength * (u[row] - mean) / deviation;
        let s = |a: usize, b: usize| similarity(spec.diversity.as_ref().unwrap(), &input, a, b);
        let mut chosen: Vec<usize> = Vec::new();
        for choice in &decision.choices[..10] {
            // ln det L of the whole set, L(i, j) = q(i) S(i, j) q(j); what spans nothing is left at the floor.
            let value = |row: usize| {
                let basis = spanning(&chosen, &s);
                let mut with = basis.clone();
                with.push(row);
                #[allow(clippy::disallowed_methods, reason = "a reference has the standard library's functions")]
                let log = |x: f64| x.ln();
                let ratio = determinant(&with, &s) / determinant(&basis, &s);
                (2.0 * quality(row) + log(ratio.max(1e-10)), ratio)
            };
            let rest = (0..30).filter(|row| !chosen.contains(row));
            let best = rest.map(|row| value(row).0).fold(f64::NEG_INFINITY, f64::max);
            let (own, ratio) = value(choice.row);
            singular += usize::from(ratio < 1e-9);
            // A residual is a difference of numbers near 1: its logarithm is as uncertain as it is small.
            let uncertain = 1e-9 + 1e-13 / ratio.max(1e-10);
            assert!(
                own >= best - uncertain.max(1e-3 * f64::from(u8::from(ratio < 1e-8))),
                "round {round}: {own} of {best}"
            );
            chosen.push(choice.row);
        }
    }
    println!("greedy DPP: {singular} choices behind a singular kernel");
    assert!(singular > 0);
}

#[test]
fn the_most_candidates_are_ordered_under_every_constraint() {
    let mut random = Random(23);
    let n = 16_384;
    let mut input = crowded(&mut random, n, 16, 0.5);
    input.kinds = (0..20).map(|k| format!("k{k}")).collect();
    for (row, c) in input.candidates.iter_mut().enumerate() {
        c.id = row as u64;
        (c.kind, c.target) = (random.below(20) as u32, random.below(200) as u32);
        c.fatigue = if random.chance(0.1) { 20 } else { 0 };
        c.pin = if row % 1000 == 500 { row as u32 - 90 } else { 0 };
        c.spend_effect = if random.chance(0.3) { 1.0 } else { -1.0 };
        c.benefit_lower = random.unit() - 0.2;
    }
    for displacement in [50, n / 2] {
        let spec = PolicySpec {
            weights: vec![Weight { default: 1.0, surfaces: Vec::new() }],
            displacement: Some(displacement),
            caps: vec![Cap { kind: None, most: 3, first: 20 }],
            spacing: Some(Spacing { apart: 2, first: n }),
            dependencies: vec![Dependency { before: "k1".into(), then: "k2".into() }],
            diversity: Some(Diversity {
                method: DiversityMethod::Dpp,
                strength: 0.5,
                window: 2,
                first: 64,
                similarity: Similarity { output: Some("tower".into()), ..Similarity::default() },
            }),
            explore: Some(Explore { method: ExploreMethod::PlackettLuce, strength: 0.5, first: 64 }),
            ..PolicySpec::default()
        };
        input.seed = Some(1);
        let decision = decide(&policy(&spec), &input, &mut Scratch::default()).unwrap();
        let mut rows: Vec<usize> = decision.choices.iter().map(|c| c.row).collect();
        let far = |(position, row): (usize, &usize)| {
            position.abs_diff(*row) > displacement && input.candidates[*row].pin == 0
        };
        assert!(!rows.iter().enumerate().any(far));
        assert!(
            rows.iter()
                .enumerate()
                .all(|(p, row)| input.candidates[*row].pin == 0 || p + 1 == input.candidates[*row].pin as usize)
        );
        rows.sort_unstable();
        assert_eq!(rows, (0..n).collect::<Vec<_>>());
    }
}
