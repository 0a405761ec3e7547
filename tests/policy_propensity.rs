//! Logged propensities are the probabilities of what is drawn: every reachable list is enumerated by the reference, and
//! the lists that are drawn are counted.
//!
//! `RANKLET_POLICY_DRAWS=200000` is the whole count for each of the 50 configurations; by default a twentieth of it.
#![allow(clippy::unwrap_used, reason = "a test states what it expects")]
#![allow(clippy::disallowed_methods, reason = "a test may compute otherwise than what it checks")]

mod policy_reference;

use policy_reference::{KINDS, Random, Reference, anything, diversity, orders, policy};
use ranklet::policy::{
    Candidate, Cap, Dependency, DiversityMethod, Explore, ExploreMethod, Input, PolicySpec, Scratch, Spacing, Weight,
    decide,
};
use std::collections::BTreeMap;

fn draws() -> usize {
    std::env::var("RANKLET_POLICY_DRAWS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000)
}

/// Lists and their probabilities.
type Lists = BTreeMap<Vec<usize>, f64>;

fn enumerate(reference: &Reference<'_>, explore: &Explore, prefix: &mut Vec<usize>, p: f64, into: &mut Lists) {
    if prefix.len() == reference.rows.len() {
        let list = reference.list(prefix);
        assert!(into.insert(list, p).is_none());
        return;
    }
    for (rank, q) in reference.probabilities(prefix, explore) {
        prefix.push(rank);
        enumerate(reference, explore, prefix, p * q, into);
        prefix.pop();
    }
}

/// Standard score of Pearson's chi-square, by the cube root of Wilson and Hilferty; cells that expect fewer than five are
/// one cell.
fn chi_square(counts: &BTreeMap<Vec<usize>, usize>, expected: &Lists, total: usize) -> f64 {
    let (mut statistic, mut cells) = (0.0, 0.0);
    let (mut rest, mut rest_expected) = (0.0, 0.0);
    let mut add = |seen: f64, expect: f64| {
        statistic += (seen - expect) * (seen - expect) / expect;
        cells += 1.0;
    };
    for (list, p) in expected {
        let (seen, expect) = (counts.get(list).copied().unwrap_or(0) as f64, p * total as f64);
        if expect < 5.0 {
            rest += seen;
            rest_expected += expect;
        } else {
            add(seen, expect);
        }
    }
    if rest_expected > 0.0 {
        add(rest, rest_expected.max(1.0));
    }
    let freedom: f64 = cells - 1.0;
    if freedom < 1.0 {
        return 0.0;
    }
    let spread = 2.0 / (9.0 * freedom);
    #[allow(clippy::disallowed_methods, reason = "a statistic of a test")]
    let root = (statistic / freedom).cbrt();
    (root - (1.0 - spread)) / spread.sqrt()
}

/// One in a thousand over 50 configurations: 2e-5 on one side.
const BONFERRONI: f64 = 4.11;

/// The configuration `i`: each diversity method, none, and epsilon-greedy, each with each constraint.
fn configuration(i: usize) -> (PolicySpec, Input, Explore) {
    let mut random = Random(1000 + i as u64);
    let methods = [None, Some(DiversityMethod::Mmr), Some(DiversityMethod::Dpp), Some(DiversityMethod::Ssd)];
    loop {
        let n = 5 + random.below(2);
        let (mut spec, mut input) = anything(&mut random, n);
        spec.diversity = None;
        // Epsilon-greedy without diversity first, then with each method in turn.
        if let Some(method) = if i % 5 < 4 { methods[i % 5] } else { methods[i / 5 % 5 % 4].filter(|_| i >= 25) } {
            spec.diversity = Some(diversity(&mut random, method));
        }
        match i / 5 % 5 {
            0 => spec.displacement = Some(1 + random.below(3)),
            1 => spec.spacing = Some(Spacing { apart: 1 + random.below(2), first: 6 }),
            2 => spec.dependencies = vec![Dependency { before: KINDS[2].into(), then: KINDS[0].into() }],
            3 => spec.caps = vec![Cap { kind: None, most: 1, first: 3 }],
            _ => {
                let (row, position) = (random.below(n), random.below(n));
                input.candidates[row].pin = position as u32 + 1;
            }
        }
        let epsilon = i % 5 == 4;
        let method = if epsilon { ExploreMethod::EpsilonGreedy } else { ExploreMethod::PlackettLuce };
        let strength = if epsilon { 0.2 + 0.6 * random.unit() } else { 0.5 + random.unit() };
        let explore = Explore { method, strength, first: 1 + random.below(5) };
        spec.explore = Some(explore);
        input.seed = Some(i as u64);
        // A configuration without a choice shows nothing.
        let choices = orders_of(&spec, &input, &explore);
        if choices.len() > 4 {
            return (spec, input, explore);
        }
    }
}

fn orders_of(spec: &PolicySpec, input: &Input, explore: &Explore) -> Lists {
    let orders: Vec<_> = (0..8).map(orders).collect();
    let mut reference = Reference::new(spec, input, &orders);
    let plain = reference.greedy();
    reference.guard_exploration(&plain);
    let mut lists = Lists::new();
    enumerate(&reference, explore, &mut Vec::new(), 1.0, &mut lists);
    lists
}

/// Draws, counting lists; every logged probability is compared with the reference's.
fn drawn(spec: &PolicySpec, input: &Input, lists: &Lists, draws: usize) -> BTreeMap<Vec<usize>, usize> {
    let policy = policy(spec);
    let mut scratch = Scratch::default();
    let mut input = input.clone();
    let mut counts = BTreeMap::new();
    for draw in 0..draws {
        input.decision_id = draw.to_string();
        let decision = decide(&policy, &input, &mut scratch).unwrap();
        let list: Vec<usize> = decision.choices.iter().map(|c| c.row).collect();
        let p = lists.get(&list).unwrap_or_else(|| panic!("{list:?} cannot be reached\n{spec:?}\n{input:?}"));
        let product: f64 = decision.choices.iter().map(|c| c.propensity).product();
        assert!((product - p).abs() < 1e-9, "{list:?}: {product}, not {p}\n{spec:?}\n{input:?}");
        #[allow(clippy::disallowed_methods, reason = "a reference has the standard library's functions")]
        let log = p.ln();
        assert!((decision.log_propensity - log).abs() < 1e-9);
        assert_eq!(decision.choices.last().unwrap().prefix_log_propensity, decision.log_propensity);
        *counts.entry(list).or_insert(0) += 1;
    }
    counts
}

#[test]
fn propensities_are_exact_in_fifty_configurations() {
    let draws = draws();
    println!("  i lists  explored by     diversity  sum - 1    score of {draws} draws");
    let mut worst: f64 = 0.0;
    for i in 0..50 {
        let (spec, input, explore) = configuration(i);
        let lists = orders_of(&spec, &input, &explore);
        let sum: f64 = lists.values().sum();
        assert!((sum - 1.0).abs() < 1e-9, "configuration {i}: {sum}");
        let score = chi_square(&drawn(&spec, &input, &lists, draws), &lists, draws);
        let diverse = spec.diversity.as_ref().map_or("none".into(), |d| format!("{:?}", d.method));
        let method = format!("{:?}", explore.method);
        println!("{i:>3} {:>5}  {method:<14}  {diverse:<9} {:>9.1e}  {score:+.2}", lists.len(), sum - 1.0);
        assert!(score < BONFERRONI, "configuration {i}: {score}\n{spec:?}\n{input:?}");
        worst = worst.max(score);
    }
    println!("worst {worst:+.2}; the bound is {BONFERRONI}");
}

/// A configuration whose set of those that may stand grows: the second candidate may stand once the first does.
fn growing() -> (PolicySpec, Input, Explore) {
    let explore = Explore { method: ExploreMethod::PlackettLuce, strength: 1.0, first: 4 };
    let spec = PolicySpec {
        weights: vec![Weight { default: 1.0, surfaces: Vec::new() }],
        dependencies: vec![Dependency { before: KINDS[0].into(), then: KINDS[1].into() }],
        explore: Some(explore),
        ..PolicySpec::default()
    };
    let candidate = |row: usize| Candidate { id: row as u64, kind: row.min(2) as u32, target: 0, ..Default::default() };
    let input = Input {
        seed: Some(1),
        scored: 4,
        kinds: KINDS.map(str::to_owned).to_vec(),
        heads: 1,
        raw: vec![0.0; 4],
        calibrated: vec![0.2, 0.5, 0.4, 0.1],
        candidates: (0..4).map(candidate).collect(),
        ..Input::default()
    };
    (spec, input, explore)
}

#[test]
fn a_wrong_sampler_and_a_wrong_propensity_are_seen() {
    let (spec, input, explore) = growing();
    let lists = orders_of(&spec, &input, &explore);
    let draws = draws().max(100_000);
    let right = drawn(&spec, &input, &lists, draws);
    let score = chi_square(&right, &lists, draws);
    assert!(score < BONFERRONI, "{score}");

    // The noise is drawn once for each candidate and kept over the positions: the sampler that the design warns of.
    let orders: Vec<_> = (0..8).map(policy_reference::orders).collect();
    let reference = Reference::new(&spec, &input, &orders);
    let mut random = Random(17);
    let mut kept = BTreeMap::new();
    for _ in 0..draws {
        #[allow(clippy::disallowed_methods, reason = "a sampler of a test")]
        let noise: Vec<f64> = (0..4).map(|_| -(-(random.unit().max(1e-300)).ln()).ln()).collect();
        let mut prefix = Vec::new();
        while prefix.len() < 4 {
            let perturbed = |rank: usize| reference.score(&prefix, rank) / explore.strength + noise[rank];
            let best = reference.allowed(&prefix).into_iter().max_by(|&a, &b| perturbed(a).total_cmp(&perturbed(b)));
            prefix.push(best.unwrap());
        }
        *kept.entry(reference.list(&prefix)).or_insert(0) += 1;
    }
    let score = chi_square(&kept, &lists, draws);
    println!("noise kept by candidate: {score:+.1}");
    assert!(score > BONFERRONI);

    // A propensity of the first choice that is 2 % too high, the others lower in proportion.
    let best = lists.iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0[0];
    let first: f64 = lists.iter().filter(|(list, _)| list[0] == best).map(|(_, p)| p).sum();
    let wrong = |(list, p): (&Vec<usize>, &f64)| {
        let factor = if list[0] == best { 1.02 } else { (1.0 - 1.02 * first) / (1.0 - first) };
        (list.clone(), p * factor)
    };
    let score = chi_square(&right, &lists.iter().map(wrong).collect(), draws);
    println!("a propensity 2 % too high: {score:+.1}");
    assert!(score > BONFERRONI);
}

#[test]
fn the_same_decision_draws_the_same_and_another_draws_anew() {
    let (spec, input, _) = growing();
    let policy = policy(&spec);
    let list = |seed, id: &str| {
        let input = Input { seed, decision_id: id.into(), ..input.clone() };
        decide(&policy, &input, &mut Scratch::default()).unwrap()
    };
    assert_eq!(list(Some(1), "a"), list(Some(1), "a"));
    let differ = |of: &dyn Fn(usize) -> Vec<usize>| (0..50).filter(|&i| of(i) != of(0)).count();
    let rows = |d: ranklet::policy::Decision| d.choices.iter().map(|c| c.row).collect::<Vec<_>>();
    assert!(differ(&|i| rows(list(Some(1), &i.to_string()))) > 20);
    assert!(differ(&|i| rows(list(Some(i as u64), "a"))) > 20);
    let plain = list(None, "a");
    assert!(!plain.explored && plain.log_propensity == 0.0);
}
