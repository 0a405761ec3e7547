//! Linear maps over what is joined, added or multiplied from parts: `[a | b - c | a * h] W` is `a W1 + (b - c) W2 + ...`,
//! so that what is shared by all candidates, or is smaller than the whole, is multiplied once. An exact rewrite up to
//! rounding; compile checks it against the map left whole.

use super::call::Val;
use super::lower::Lowering;
use super::shape;
use crate::engine::plan::{Binary, DType, Op, Rows, Unary};
use crate::engine::tensor::Tensor;

/// What a value was made of.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// Joined along the last axis.
    Concat(Vec<Val>),
    /// First plus second, or minus (if true).
    Sum(Val, Val, bool),
    /// First times second.
    Product(Val, Val),
    /// Repeated to its shape.
    Repeat(Val),
    /// Of these values, which have these columns of it.
    Columns(Vec<(Val, Vec<i32>)>),
}

/// A part of a linear map: `x W`, or `(x * scale) W` where the scale is shared.
struct Term {
    x: Val,
    scale: Option<Val>,
    /// `[inputs, outputs]`.
    weights: Vec<f64>,
}

/// The matrix of a linear map.
pub(super) struct Map<'a> {
    /// `[inputs, outputs]`.
    pub weights: &'a [f32],
    pub inputs: usize,
    pub outputs: usize,
}

fn value_of(val: &Val) -> Option<u32> {
    if let Val::Run { value, .. } = val { Some(*value) } else { None }
}

fn same(a: &Val, b: &Val) -> bool {
    value_of(a).is_some() && value_of(a) == value_of(b)
}

impl Lowering {
    fn is_shared(&self, val: &Val) -> bool {
        value_of(val).is_none_or(|value| self.plan.values[value as usize].rows == Rows::Shared)
    }

    /// Whether multiplying `part` costs less than multiplying `whole`.
    fn is_less(&self, part: &Val, whole: &Val) -> bool {
        self.is_shared(part) && !self.is_shared(whole) || shape::width(&part.shape()) < shape::width(&whole.shape())
    }

    /// Adds the terms of `x W` to `terms`.
    fn terms(&self, x: &Val, weights: &[f64], outputs: usize, terms: &mut Vec<Term>) {
        let inputs = weights.len() / outputs;
        let as_wide = |val: &Val| val.shape().last().is_some_and(|dim| *dim == shape::Dim::Fixed(inputs));
        match value_of(x).and_then(|value| self.origins.get(&value)) {
            Some(Origin::Concat(parts)) => {
                let mut at = 0;
                for part in parts {
                    let rows = part.shape().last().map_or(0, |dim| dim.inner());
                    self.terms(part, &weights[at * outputs..(at + rows) * outputs], outputs, terms);
                    at += rows;
                }
                return;
            }
            Some(Origin::Columns(parts)) => {
                for (part, columns) in parts {
                    let rows: Vec<f64> = columns
                        .iter()
                        .flat_map(|&c| weights[c as usize * outputs..(c as usize + 1) * outputs].to_vec())
                        .collect();
                    self.terms(part, &rows, outputs, terms);
                }
                return;
            }
            Some(Origin::Sum(a, b, minus))
                if (self.is_less(a, x) || self.is_less(b, x)) && as_wide(a) && as_wide(b) =>
            {
                self.terms(a, weights, outputs, terms);
                let signed: Vec<f64> = if *minus { weights.iter().map(|w| -w).collect() } else { weights.to_vec() };
                self.terms(b, &signed, outputs, terms);
                return;
            }
            Some(Origin::Repeat(of)) if as_wide(of) => return self.terms(of, weights, outputs, terms),
            Some(Origin::Product(a, b)) if as_wide(a) && as_wide(b) => {
                for (one, scale) in [(a, b), (b, a)] {
                    let one = self.unrepeated(one);
                    if self.is_shared(scale) && !self.is_shared(&one) && self.is_less(&one, x) && as_wide(&one) {
                        terms.push(Term { x: one, scale: Some(scale.clone()), weights: weights.to_vec() });
                        return;
                    }
                }
            }
            _ => {}
        }
        match terms
            .iter_mut()
            .find(|term| term.scale.is_none() && same(&term.x, x) && term.weights.len() == weights.len())
        {
            Some(term) => term.weights.iter_mut().zip(weights).for_each(|(sum, w)| *sum += w),
            None => terms.push(Term { x: x.clone(), scale: None, weights: weights.to_vec() }),
        }
    }

    fn unrepeated(&self, val: &Val) -> Val {
        match value_of(val).and_then(|value| self.origins.get(&value)) {
            Some(Origin::Repeat(of)) => self.unrepeated(of),
            _ => val.clone(),
        }
    }

    /// `x W` by its parts, the last axis of `x` being the inputs; none where nothing is gained.
    pub fn split(&mut self, x: &Val, map: &Map<'_>) -> Result<Option<u32>, String> {
        if self.is_shared(x) {
            return Ok(None);
        }
        let wide: Vec<f64> = map.weights.iter().map(|&w| f64::from(w)).collect();
        let mut terms = vec![];
        self.terms(x, &wide, map.outputs, &mut terms);
        let groups = shape::width(&x.shape()) / map.inputs;
        let gains = terms.iter().any(|term| {
            self.is_shared(&term.x)
                || term.scale.is_some()
                || shape::width(&term.x.shape()) < groups * (term.weights.len() / map.outputs)
        });
        // Dimensions but the last must be the whole's, or ones.
        let whole = x.shape();
        let fits = |val: &Val| {
            let (part, own) = (val.shape(), &whole[..whole.len() - 1]);
            part.len() <= whole.len()
                && part[..part.len().max(1) - 1]
                    .iter()
                    .rev()
                    .zip(own.iter().rev())
                    .all(|(a, b)| a == b || *a == shape::Dim::Fixed(1))
        };
        if !gains || !terms.iter().all(|term| fits(&term.x) && term.scale.as_ref().is_none_or(fits)) {
            return Ok(None);
        }
        self.assemble(x, terms, map.outputs, groups).map(Some)
    }

    fn assemble(&mut self, x: &Val, mut terms: Vec<Term>, outputs: usize, groups: usize) -> Result<u32, String> {
        let width = groups * outputs;
        let narrow = |w: &[f64]| w.iter().map(|&w| w as f32).collect::<Vec<f32>>();
        // Shared parts are the start.
        let mut start: Option<u32> = None;
        let (shared, own): (Vec<Term>, Vec<Term>) =
            terms.drain(..).partition(|term| term.scale.is_none() && self.is_shared(&term.x));
        for term in shared {
            let part = self.dense(&term.x, narrow(&term.weights), outputs, None)?;
            let part = self.repeat_groups(part, x, &term.x, outputs)?;
            start = Some(match start {
                None => part,
                Some(sum) => self.float_step(Op::Binary { f: Binary::Add, each: [1, 1] }, &[sum, part], width),
            });
        }
        let (mut scaled, mut plain): (Vec<Term>, Vec<Term>) = own.into_iter().partition(|term| term.scale.is_some());
        // Weights of a part that is also scaled are added to those that the scale gives.
        for term in &mut scaled {
            let Some(scale) = term.scale.clone() else { continue };
            let inputs = term.weights.len() / outputs;
            let twin = plain.iter().position(|p| same(&p.x, &term.x) && p.weights.len() == term.weights.len());
            let twin = twin.map(|at| plain.swap_remove(at));
            let weights =
                self.computed_weights(&scale, x, narrow(&term.weights), twin.map(|t| narrow(&t.weights)), outputs)?;
            let (value, _) = self.float_operand(&term.x)?;
            let inputs_of = [Some(value), Some(weights), start];
            let given: Vec<u32> = inputs_of.into_iter().flatten().collect();
            let op = Op::Dense {
                weights: None,
                scales: None,
                bias: None,
                start: start.is_some(),
                inputs: inputs as u32,
                outputs: width as u32,
                activation: Unary::Identity,
            };
            start = Some(self.push(op, &given, DType::F32, Rows::Candidate, width));
        }
        // Parts that are smaller than the whole are repeated; the others are one layer over what is left of the join.
        let full = |term: &Term| shape::width(&term.x.shape()) * outputs == groups * term.weights.len();
        let (full, small): (Vec<Term>, Vec<Term>) = plain.into_iter().partition(full);
        for term in small {
            let part = self.dense(&term.x, narrow(&term.weights), outputs, None)?;
            let part = self.repeat_groups(part, x, &term.x, outputs)?;
            start = Some(match start {
                None => part,
                Some(sum) => self.float_step(Op::Binary { f: Binary::Add, each: [1, 1] }, &[sum, part], width),
            });
        }
        // What depends on candidates alone is multiplied by itself: a list that is prepared keeps it.
        let of_request = |term: &Term| value_of(&term.x).is_some_and(|value| self.is_of_request(value));
        let (mixed, own): (Vec<Term>, Vec<Term>) = full.into_iter().partition(of_request);
        let several = self.plan.inputs.len() > 1;
        if !own.is_empty() {
            let apart = several && start.is_some();
            let part = self.join_layer(x, &own, outputs, start.filter(|_| !apart))?;
            start = Some(match start {
                Some(sum) if apart => self.float_step(Op::Binary { f: Binary::Add, each: [1, 1] }, &[part, sum], width),
                _ => part,
            });
        }
        if !mixed.is_empty() {
            start = Some(self.join_layer(x, &mixed, outputs, start)?);
        }
        let value = start.ok_or("a linear map of nothing")?;
        if self.plan.values[value as usize].rows == Rows::Shared {
            self.spread(value, &[shape::Dim::N])
        } else {
            Ok(value)
        }
    }

    /// One layer over parts of `whole` beside each other.
    fn join_layer(&mut self, whole: &Val, terms: &[Term], outputs: usize, start: Option<u32>) -> Result<u32, String> {
        let axis = whole.shape().len() - 1;
        let mut parts = vec![];
        for term in terms {
            let mut shape = whole.shape();
            shape[axis] = shape::Dim::Fixed(term.weights.len() / outputs);
            parts.push(super::moves::reshaped(&term.x, shape)?);
        }
        let joined = super::moves::joined(self, &parts, axis)?;
        let weights: Vec<f32> = terms.iter().flat_map(|term| term.weights.iter().map(|&w| w as f32)).collect();
        self.dense(&joined, weights, outputs, start)
    }

    /// A layer over the last axis of `x`.
    pub fn dense(&mut self, x: &Val, weights: Vec<f32>, outputs: usize, start: Option<u32>) -> Result<u32, String> {
        let inputs = weights.len() / outputs;
        let (value, _) = self.float_operand(x)?;
        let groups = self.width(value) / inputs;
        let weights = self.tensor("weights", Tensor::f32(&[inputs, outputs], weights));
        let op = Op::Dense {
            weights: Some(weights),
            scales: None,
            bias: None,
            start: start.is_some(),
            inputs: inputs as u32,
            outputs: outputs as u32,
            activation: Unary::Identity,
        };
        let given: Vec<u32> = std::iter::once(value).chain(start).collect();
        let rows = self.plan.values[value as usize].rows;
        Ok(self.push(op, &given, DType::F32, rows, groups * outputs))
    }

    /// A part's outputs for each group of the whole.
    fn repeat_groups(&mut self, part: u32, whole: &Val, of: &Val, outputs: usize) -> Result<u32, String> {
        let (mut from, mut to) = (of.shape(), whole.shape());
        let last = shape::Dim::Fixed(outputs);
        if let (Some(a), Some(b)) = (from.last_mut(), to.last_mut()) {
            (*a, *b) = (last, last);
        }
        let table = super::table::Table::identity(&shape::inner(&from), 0).expand(&shape::inner(&to));
        self.moved(part, &table)
    }

    /// `[groups, inputs, outputs]`: `scale[g, k] * w[k, o] + v[k, o]`, packed for a layer of `groups * outputs` outputs.
    fn computed_weights(
        &mut self,
        scale: &Val,
        whole: &Val,
        w: Vec<f32>,
        v: Option<Vec<f32>>,
        outputs: usize,
    ) -> Result<u32, String> {
        let inputs = w.len() / outputs;
        let (value, own) = self.float_operand(scale)?;
        let mut full = shape::inner(&whole.shape());
        if let Some(last) = full.last_mut() {
            *last = inputs;
        }
        let table = super::table::Table::identity(&shape::inner(&own), 0).expand(&full);
        let scale = self.moved(value, &table)?;
        let groups = self.width(scale) / inputs;
        let w = self.constant_row(w);
        let given = match v {
            Some(v) => vec![scale, w, self.constant_row(v)],
            // The scale's element stands for `outputs` neighbours; the weights are the same in each group.
            None => {
                let each = [outputs as u32, 1];
                vec![self.float_step(Op::Binary { f: Binary::Mul, each }, &[scale, w], groups * inputs * outputs)]
            }
        };
        let (inputs, columns) = (inputs as u32, (groups * outputs) as u32);
        let packed = ranklet_kernels::dense::packed_len(inputs as usize, columns as usize);
        let op = Op::Pack { groups: groups as u32, inputs, outputs: columns };
        Ok(self.push(op, &given, DType::F32, Rows::Shared, packed))
    }
}
