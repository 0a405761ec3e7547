//! RNN, GRU and LSTM, unrolled over a sequence of known length. What comes from the inputs is one layer over all steps;
//! what comes from the state is one layer a step, whose sums start from there. So the sequence of a request, the same for
//! all candidates, is run once.

use super::constant::{Constant, Values};
use super::elementwise::{binary, chosen_by};
use super::lower::{Call, Lowered, Lowering, Val};
use super::matrix::product;
use super::moves::{joined, moved, permuted, reshaped, table_of};
use super::norms::unary;
use super::shape::{self, Dim};
use crate::engine::plan::{Binary, Unary};
use std::rc::Rc;

/// Steps of a plan that one node may become, about; a plan has at most 16,384.
const MAX_STEPS: usize = 12_000;
/// Steps of a plan for one step of the sequence, about.
const STEPS_EACH: usize = 24;

/// Lowers a recurrent layer; none if it is not one.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    let kind = match call.spec.op.as_str() {
        "RNN" => Kind::Rnn,
        "GRU" => Kind::Gru,
        "LSTM" => Kind::Lstm,
        _ => return None,
    };
    Some(recurrent(lowering, call, kind))
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Rnn,
    Gru,
    Lstm,
}

impl Kind {
    /// Gates, and functions of one direction.
    fn gates(self) -> (usize, &'static [&'static str]) {
        match self {
            Kind::Rnn => (1, &["Tanh"]),
            Kind::Gru => (3, &["Sigmoid", "Tanh"]),
            Kind::Lstm => (4, &["Sigmoid", "Tanh", "Tanh"]),
        }
    }
}

/// A function of a gate.
#[derive(Clone, Copy)]
enum Function {
    Plain(Unary),
    /// `alpha x + beta`.
    Affine(f32, f32),
}

impl Function {
    fn apply(self, lowering: &mut Lowering, x: &Val) -> Result<Val, String> {
        match self {
            Function::Plain(f) => unary(lowering, f, x),
            Function::Affine(alpha, beta) => {
                let scaled = binary(lowering, Binary::Mul, x, &scalar(alpha))?;
                binary(lowering, Binary::Add, &scaled, &scalar(beta))
            }
        }
    }
}

fn scalar(x: f32) -> Val {
    row(vec![x])
}

fn row(list: Vec<f32>) -> Val {
    let dims = if list.len() == 1 { vec![] } else { vec![list.len()] };
    Val::Constant(Rc::new(Constant::f32(&dims, list)))
}

/// The functions of each direction. Parameters are listed for those alone that take some.
fn functions(call: &Call, kind: Kind, directions: usize) -> Result<Vec<Vec<Function>>, String> {
    let (_, usual) = kind.gates();
    let mut names = call.spec.strings("activations");
    if names.is_empty() {
        names = usual.iter().map(|name| (*name).to_owned()).cycle().take(usual.len() * directions).collect();
    }
    if names.len() != usual.len() * directions {
        return Err(format!("{} activations for {directions} directions", names.len()));
    }
    let mut alphas = call.spec.floats("activation_alpha").iter().copied();
    let mut betas = call.spec.floats("activation_beta").iter().copied();
    let mut list = vec![];
    for name in &names {
        let mut alpha = |default: f32| alphas.next().unwrap_or(default);
        let mut beta = |default: f32| betas.next().unwrap_or(default);
        list.push(match name.to_ascii_lowercase().as_str() {
            "affine" => Function::Affine(alpha(1.0), beta(0.0)),
            "leakyrelu" => Function::Plain(Unary::LeakyRelu { alpha: alpha(0.01) }),
            "elu" => Function::Plain(Unary::Elu { alpha: alpha(1.0) }),
            "hardsigmoid" => Function::Plain(Unary::HardSigmoid { alpha: alpha(0.2), beta: beta(0.5) }),
            "sigmoid" => Function::Plain(Unary::Sigmoid),
            "tanh" => Function::Plain(Unary::Tanh),
            "relu" => Function::Plain(Unary::Relu),
            "softsign" => Function::Plain(Unary::Softsign),
            "softplus" => Function::Plain(Unary::Softplus),
            _ => return Err(format!("the activation `{name}`: use Sigmoid, Tanh or Relu")),
        });
    }
    Ok(list.chunks(usual.len()).map(<[Function]>::to_vec).collect())
}

/// One direction of a layer.
struct Layer {
    kind: Kind,
    hidden: usize,
    functions: Vec<Function>,
    clip: Option<f32>,
    linear_before_reset: bool,
    input_forget: bool,
    /// `[inputs, gates * hidden]`.
    inputs: Val,
    /// `[gates * hidden]`: every bias that may be added to what comes from the inputs.
    bias: Option<Val>,
    /// `[hidden, gates * hidden]`.
    recurrence: Val,
    /// `[gates * hidden]`: GRU's bias of the hidden gate's recurrence alone, where the reset gate damps it.
    reset_bias: Option<Val>,
    /// `[3 * hidden]`: the input, output and forget gates'.
    peepholes: Option<Val>,
}

/// Hidden state, and the cell's; none is zeros.
#[derive(Clone, Default)]
struct State {
    h: Option<Val>,
    c: Option<Val>,
}

/// Columns of the last axis.
fn columns(lowering: &mut Lowering, x: &Val, from: usize, to: usize) -> Result<Val, String> {
    let mut shape = x.shape();
    let axis = shape.len() - 1;
    shape[axis] = Dim::Fixed(to - from);
    let table = table_of(x)?.pick(axis, &(from..to).collect::<Vec<_>>());
    moved(lowering, x, &table, shape)
}

impl Layer {
    fn activate(&self, lowering: &mut Lowering, which: usize, x: &Val) -> Result<Val, String> {
        let x = match self.clip {
            Some(clip) => &unary(lowering, Unary::Clip { low: -clip, high: clip }, x)?,
            None => x,
        };
        self.functions[which].apply(lowering, x)
    }

    /// Gates `from..to` of a value that has them side by side.
    fn gates(&self, lowering: &mut Lowering, x: &Val, from: usize, to: usize) -> Result<Val, String> {
        columns(lowering, x, from * self.hidden, to * self.hidden)
    }

    /// What comes from the inputs plus the state times the weights of gates `from..to`.
    fn with_state(
        &self,
        lowering: &mut Lowering,
        x: &Val,
        h: Option<&Val>,
        from: usize,
        to: usize,
    ) -> Result<Val, String> {
        let Some(h) = h else { return Ok(x.clone()) };
        let part = self.gates(lowering, &self.recurrence, from, to)?;
        let product = product(lowering, h, &part)?;
        binary(lowering, Binary::Add, &product, x)
    }

    /// The next state; `x` is what comes from the inputs, `[batch, gates * hidden]`.
    fn step(&self, lowering: &mut Lowering, x: &Val, state: &State) -> Result<State, String> {
        match self.kind {
            Kind::Rnn => {
                let sum = self.with_state(lowering, x, state.h.as_ref(), 0, 1)?;
                Ok(State { h: Some(self.activate(lowering, 0, &sum)?), c: None })
            }
            Kind::Gru => Ok(State { h: Some(self.gru(lowering, x, state.h.as_ref())?), c: None }),
            Kind::Lstm => self.lstm(lowering, x, state),
        }
    }

    /// Gates in ONNX's order: update, reset, hidden.
    fn gru(&self, lowering: &mut Lowering, x: &Val, h: Option<&Val>) -> Result<Val, String> {
        let (gates, own) = (self.gates(lowering, x, 0, 2)?, self.gates(lowering, x, 2, 3)?);
        let new;
        let update;
        if self.linear_before_reset {
            // The hidden gate's part is damped with its bias, so it cannot start from the inputs' part.
            let zeros = row(vec![0.0; 3 * self.hidden]);
            let bias = self.reset_bias.as_ref();
            let from_state = match h {
                Some(h) => {
                    let product = product(lowering, h, &self.recurrence)?;
                    bias.map_or(Ok(product.clone()), |bias| binary(lowering, Binary::Add, &product, bias))?
                }
                None => bias.unwrap_or(&zeros).clone(),
            };
            let state_gates = self.gates(lowering, &from_state, 0, 2)?;
            let sums = binary(lowering, Binary::Add, &gates, &state_gates)?;
            let both = self.activate(lowering, 0, &sums)?;
            let reset = self.gates(lowering, &both, 1, 2)?;
            let state_own = self.gates(lowering, &from_state, 2, 3)?;
            let damped = binary(lowering, Binary::Mul, &reset, &state_own)?;
            let sum = binary(lowering, Binary::Add, &own, &damped)?;
            new = self.activate(lowering, 1, &sum)?;
            update = self.gates(lowering, &both, 0, 1)?;
        } else {
            let sums = self.with_state(lowering, &gates, h, 0, 2)?;
            let both = self.activate(lowering, 0, &sums)?;
            let damped = match h {
                Some(h) => {
                    let reset = self.gates(lowering, &both, 1, 2)?;
                    Some(binary(lowering, Binary::Mul, &reset, h)?)
                }
                None => None,
            };
            let sum = self.with_state(lowering, &own, damped.as_ref(), 2, 3)?;
            new = self.activate(lowering, 1, &sum)?;
            update = self.gates(lowering, &both, 0, 1)?;
        }
        let rest = binary(lowering, Binary::Sub, &row(vec![1.0; self.hidden]), &update)?;
        let fresh = binary(lowering, Binary::Mul, &rest, &new)?;
        let Some(h) = h else { return Ok(fresh) };
        let kept = binary(lowering, Binary::Mul, &update, h)?;
        binary(lowering, Binary::Add, &fresh, &kept)
    }

    /// Gates in ONNX's order: input, output, forget, cell.
    fn lstm(&self, lowering: &mut Lowering, x: &Val, state: &State) -> Result<State, String> {
        let sums = self.with_state(lowering, x, state.h.as_ref(), 0, 4)?;
        let cell = self.gates(lowering, &sums, 3, 4)?;
        let fresh = self.activate(lowering, 1, &cell)?;
        let (input, output, forget) = match &self.peepholes {
            None => {
                let gates = self.gates(lowering, &sums, 0, 3)?;
                let gates = self.activate(lowering, 0, &gates)?;
                let mut one = |gate: usize| self.gates(lowering, &gates, gate, gate + 1);
                (one(0)?, Some(one(1)?), one(2)?)
            }
            Some(weights) => {
                let mut one = |gate: usize| -> Result<Val, String> {
                    let sum = self.gates(lowering, &sums, gate, gate + 1)?;
                    let sum = self.peep(lowering, &sum, weights, gate, state.c.as_ref())?;
                    self.activate(lowering, 0, &sum)
                };
                (one(0)?, None, one(2)?)
            }
        };
        let forget = if self.input_forget {
            binary(lowering, Binary::Sub, &row(vec![1.0; self.hidden]), &input)?
        } else {
            forget
        };
        let mut c = binary(lowering, Binary::Mul, &input, &fresh)?;
        if let Some(before) = &state.c {
            let kept = binary(lowering, Binary::Mul, &forget, before)?;
            c = binary(lowering, Binary::Add, &kept, &c)?;
        }
        let output = match (output, &self.peepholes) {
            (Some(output), _) => output,
            (None, Some(weights)) => {
                let sum = self.gates(lowering, &sums, 1, 2)?;
                let sum = self.peep(lowering, &sum, weights, 1, Some(&c))?;
                self.activate(lowering, 0, &sum)?
            }
            (None, None) => return Err("it has no output gate".into()),
        };
        let shown = self.functions[2].apply(lowering, &c)?;
        Ok(State { h: Some(binary(lowering, Binary::Mul, &output, &shown)?), c: Some(c) })
    }

    /// What a gate sees of the cell.
    fn peep(
        &self,
        lowering: &mut Lowering,
        sum: &Val,
        weights: &Val,
        gate: usize,
        c: Option<&Val>,
    ) -> Result<Val, String> {
        let Some(c) = c else { return Ok(sum.clone()) };
        let own = self.gates(lowering, weights, gate, gate + 1)?;
        let seen = binary(lowering, Binary::Mul, c, &own)?;
        binary(lowering, Binary::Add, sum, &seen)
    }
}

/// One direction of an input `[directions, ...]`, without that axis.
fn own(lowering: &mut Lowering, x: &Val, d: usize, rest: &[usize]) -> Result<Val, String> {
    let shape = x.shape();
    let fits = shape.len() == rest.len() + 1 && shape::fixed(&shape[1..]).is_some_and(|dims| dims == rest);
    if !fits || shape[0].is_rows() || shape[0].inner() <= d {
        return Err(format!("weights of the shape {}, not {rest:?} for each direction", shape::text(&shape)));
    }
    let table = table_of(x)?.pick(0, &[d]);
    moved(lowering, x, &table, shape::of_sizes(rest))
}

/// The sum of two rows, of constants at once.
fn sum(lowering: &mut Lowering, a: &Val, b: &Val) -> Result<Val, String> {
    match (a, b) {
        (Val::Constant(x), Val::Constant(y)) => {
            Ok(row(x.floats()?.iter().zip(y.floats()?).map(|(x, y)| x + y).collect()))
        }
        _ => binary(lowering, Binary::Add, a, b),
    }
}

/// The node as a whole.
struct Sequence {
    /// `[steps, batch, inputs]`.
    x: Val,
    steps: usize,
    batch: Dim,
    /// Whether each step is inside the sequence, `[batch, 1]`; none where all are.
    inside: Option<Vec<Val>>,
}

fn recurrent(lowering: &mut Lowering, call: &Call, kind: Kind) -> Lowered {
    let batch_first = call.spec.int("layout", 0) == 1;
    let swap =
        |lowering: &mut Lowering, x: &Val| if batch_first { permuted(lowering, x, &[1, 0, 2]) } else { Ok(x.clone()) };
    if call.need(0)?.shape().len() != 3 {
        return Err("its input is not of rank 3".into());
    }
    let x = swap(lowering, call.need(0)?)?;
    let [Dim::Fixed(steps), batch, Dim::Fixed(inputs)] = x.shape()[..] else {
        return Err("its sequence has no fixed length: export it with one, or bind its symbol with --dim".into());
    };
    let backward: &[bool] = match call.spec.string("direction").as_deref() {
        None | Some("forward") => &[false],
        Some("reverse") => &[true],
        Some("bidirectional") => &[false, true],
        Some(other) => return Err(format!("the direction `{other}`")),
    };
    if steps == 0 || steps * backward.len() * STEPS_EACH > MAX_STEPS {
        let most = MAX_STEPS / STEPS_EACH / backward.len();
        return Err(format!("a sequence of {steps} steps: at most {most}; cut it to the latest, or use attention"));
    }
    let inside = lengths(lowering, call, steps, batch)?;
    let sequence = Sequence { x, steps, batch, inside };
    let mut states = vec![];
    for i in [5, 6] {
        states.push(call.optional(i).map(|state| swap(lowering, state)).transpose()?);
    }
    let directions = backward.len();
    let all = functions(call, kind, directions)?;
    // By direction: the outputs of all steps, in their order, and the last state.
    let mut runs = vec![];
    for (d, functions) in all.into_iter().enumerate() {
        let layer = layer(lowering, call, kind, functions, d, inputs)?;
        let mut initial = State::default();
        for (i, state) in states.iter().enumerate() {
            let own = state.as_ref().map(|state| direction(lowering, state, d, batch, layer.hidden)).transpose()?;
            *(if i == 0 { &mut initial.h } else { &mut initial.c }) = own.flatten();
        }
        runs.push(run(lowering, &sequence, &layer, initial, backward[d])?);
    }
    outputs(lowering, kind, &sequence, &runs, batch_first)
}

/// Which steps lie inside, from the lengths of the sequences.
fn lengths(lowering: &mut Lowering, call: &Call, steps: usize, batch: Dim) -> Result<Option<Vec<Val>>, String> {
    let Some(lengths) = call.optional(4) else { return Ok(None) };
    if let Val::Constant(list) = lengths
        && list.ints()?.iter().all(|&n| n >= steps as i64)
    {
        return Ok(None);
    }
    if lengths.shape() != [batch] {
        return Err("the lengths of its sequences are not one for each row".into());
    }
    let lengths = reshaped(lengths, vec![batch, Dim::Fixed(1)])?;
    let inside = (0..steps as i64).map(|t| {
        let t = Constant { elem: lengths.elem(), dims: vec![], values: Values::Int(vec![t]) };
        binary(lowering, Binary::Greater, &lengths, &Val::Constant(Rc::new(t)))
    });
    inside.collect::<Result<Vec<_>, _>>().map(Some)
}

/// One direction's weights.
fn layer(
    lowering: &mut Lowering,
    call: &Call,
    kind: Kind,
    functions: Vec<Function>,
    d: usize,
    inputs: usize,
) -> Result<Layer, String> {
    let Some(Dim::Fixed(hidden)) = call.need(2)?.shape().get(2).copied() else {
        return Err("its recurrence weights are not of rank 3".into());
    };
    let rows = kind.gates().0 * hidden;
    let w = own(lowering, call.need(1)?, d, &[rows, inputs])?;
    let r = own(lowering, call.need(2)?, d, &[rows, hidden])?;
    let linear_before_reset = kind == Kind::Gru && call.spec.int("linear_before_reset", 0) != 0;
    let (mut bias, mut reset_bias) = (None, None);
    if let Some(both) = call.optional(3) {
        let both = own(lowering, both, d, &[2 * rows])?;
        let (input, state) = (columns(lowering, &both, 0, rows)?, columns(lowering, &both, rows, 2 * rows)?);
        let split = if linear_before_reset { 2 * hidden } else { rows };
        let part = |lowering: &mut Lowering, keep: fn(usize, usize) -> bool| {
            let table = table_of(&state)?;
            let table = table.gather(&[rows], |at| keep(at[0], split).then(|| at.to_vec()));
            moved(lowering, &state, &table, vec![Dim::Fixed(rows)])
        };
        // Where the columns of a table come from nowhere there are zeros.
        let early = part(lowering, |column, split| column < split)?;
        bias = Some(sum(lowering, &input, &early)?);
        if linear_before_reset {
            reset_bias = Some(part(lowering, |column, split| column >= split)?);
        }
    }
    let peepholes = match call.optional(7) {
        Some(weights) if kind == Kind::Lstm => Some(own(lowering, weights, d, &[3 * hidden])?),
        _ => None,
    };
    Ok(Layer {
        kind,
        hidden,
        functions,
        clip: call.spec.has("clip").then(|| call.spec.float("clip", 0.0)).filter(|&clip| clip > 0.0),
        linear_before_reset,
        input_forget: kind == Kind::Lstm && call.spec.int("input_forget", 0) != 0,
        inputs: permuted(lowering, &w, &[1, 0])?,
        bias,
        recurrence: permuted(lowering, &r, &[1, 0])?,
        reset_bias,
        peepholes,
    })
}

/// The initial state of one direction, `[batch, hidden]`; none if it is zeros.
fn direction(lowering: &mut Lowering, state: &Val, d: usize, batch: Dim, hidden: usize) -> Result<Option<Val>, String> {
    let shape = state.shape();
    if shape.len() != 3 || shape[1..] != [batch, Dim::Fixed(hidden)] || shape[0].inner() <= d {
        return Err(format!("an initial state of the shape {}", shape::text(&shape)));
    }
    if let Val::Constant(list) = state
        && list.floats()?.iter().all(|&v| v == 0.0)
    {
        return Ok(None);
    }
    let table = table_of(state)?.pick(0, &[d]);
    moved(lowering, state, &table, vec![batch, Dim::Fixed(hidden)]).map(Some)
}

/// The outputs of all steps, by their place in the sequence, and the last state.
fn run(
    lowering: &mut Lowering,
    sequence: &Sequence,
    layer: &Layer,
    initial: State,
    backward: bool,
) -> Result<(Vec<Val>, State), String> {
    let mut projected = product(lowering, &sequence.x, &layer.inputs)?;
    if let Some(bias) = &layer.bias {
        projected = binary(lowering, Binary::Add, &projected, bias)?;
    }
    let table = table_of(&projected)?;
    let shape = vec![sequence.batch, layer.inputs.shape()[1]];
    let zeros = row(vec![0.0; layer.hidden]);
    let mut state = initial;
    let mut shown: Vec<Option<Val>> = vec![None; sequence.steps];
    for i in 0..sequence.steps {
        let t = if backward { sequence.steps - 1 - i } else { i };
        let x = moved(lowering, &projected, &table.pick(0, &[t]), shape.clone())?;
        let mut next = layer.step(lowering, &x, &state)?;
        if let Some(inside) = &sequence.inside {
            let h = next.h.as_ref().ok_or("a step without a state")?;
            shown[t] = Some(chosen_by(lowering, &inside[t], h, &zeros)?);
            // Behind the end of a sequence its state stays.
            for (next, before) in [(&mut next.h, &state.h), (&mut next.c, &state.c)] {
                if let Some(new) = next {
                    *new = chosen_by(lowering, &inside[t], new, before.as_ref().unwrap_or(&zeros))?;
                }
            }
        } else {
            shown[t] = next.h.clone();
        }
        state = next;
    }
    Ok((shown.into_iter().flatten().collect(), state))
}

fn outputs(
    lowering: &mut Lowering,
    kind: Kind,
    sequence: &Sequence,
    runs: &[(Vec<Val>, State)],
    batch_first: bool,
) -> Lowered {
    let hidden = runs[0].1.h.as_ref().ok_or("no state")?.shape()[1];
    let one = |val: &Val| reshaped(val, vec![Dim::Fixed(1), sequence.batch, hidden]);
    let mut parts = vec![];
    for t in 0..sequence.steps {
        for (shown, _) in runs {
            parts.push(one(&shown[t])?);
        }
    }
    let directions = Dim::Fixed(runs.len());
    let all = joined(lowering, &parts, 0)?;
    let all = reshaped(&all, vec![Dim::Fixed(sequence.steps), directions, sequence.batch, hidden])?;
    let all = if batch_first { permuted(lowering, &all, &[2, 0, 1, 3])? } else { all };
    let mut given = vec![all];
    let cells = if kind == Kind::Lstm { 2 } else { 1 };
    for which in 0..cells {
        let mut parts = vec![];
        for (_, state) in runs {
            let state = if which == 0 { &state.h } else { &state.c };
            parts.push(one(state.as_ref().ok_or("no state")?)?);
        }
        let last = joined(lowering, &parts, 0)?;
        given.push(if batch_first { permuted(lowering, &last, &[1, 0, 2])? } else { last });
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::super::naive::testing::{NodeBuilder, node};
    use super::super::twins::Given::{self, Absent, Each, Known, Shared};
    use super::super::twins::{agree, noise, refusal};
    use super::Constant;

    const STEPS: usize = 4;
    const INPUTS: usize = 3;
    const HIDDEN: usize = 2;

    fn scaled(x: Constant, by: f32) -> Constant {
        Constant::f32(&x.dims, x.floats().unwrap().iter().map(|v| v * by).collect())
    }

    /// Weights and biases of a layer.
    fn weights(op: &str, directions: usize) -> [Constant; 3] {
        let rows = HIDDEN * [("RNN", 1), ("GRU", 3), ("LSTM", 4)].iter().find(|(name, _)| *name == op).unwrap().1;
        let of = |dims: &[usize], seed| scaled(noise(dims, seed), 0.4);
        [of(&[directions, rows, INPUTS], 1), of(&[directions, rows, HIDDEN], 2), of(&[directions, 2 * rows], 3)]
    }

    fn layers() -> Vec<(NodeBuilder, usize, usize)> {
        let mut list = vec![];
        for (op, states) in [("RNN", 1), ("GRU", 1), ("LSTM", 2)] {
            for (direction, directions) in [("forward", 1), ("reverse", 1), ("bidirectional", 2)] {
                let node = node(op).int("layout", 1).int("hidden_size", HIDDEN as i64).string("direction", direction);
                list.push((node, directions, states));
            }
        }
        list
    }

    #[test]
    fn every_layer_in_every_direction() {
        let x = noise(&[5, STEPS, INPUTS], 9);
        for (node, directions, states) in layers() {
            let [w, r, b] = weights(&node.proto.op_type, directions);
            let given = |x: Given| vec![x, Known(w.clone()), Known(r.clone()), Known(b.clone())];
            agree(&node, &given(Each(x.clone())), 1 + states);
            agree(&node, &given(Shared(x.clone())), 1 + states);
            agree(&node, &[Each(x.clone()), Known(w.clone()), Known(r.clone())], 1 + states);
            agree(&node, &[Each(x.clone()), Shared(w.clone()), Shared(r.clone()), Shared(b.clone())], 1 + states);
            // Lengths and states of each candidate, and of all alike.
            let lengths =
                Constant { elem: super::super::constant::Elem::I32, ..super::super::twins::numbers(&[5], 0, 5, 3) };
            let state = |seed| Each(noise(&[5, directions, HIDDEN], seed));
            let mut all = given(Each(x.clone()));
            all.push(Each(lengths.clone()));
            all.extend((0..states).map(|i| state(4 + i as u32)));
            agree(&node, &all, 1 + states);
            let mut fixed = given(Shared(x.clone()));
            fixed.push(Known(lengths));
            agree(&node, &fixed, 1 + states);
            let clipped = node.clone().float("clip", 0.3);
            agree(&clipped, &given(Each(x.clone())), 1 + states);
        }
    }

    #[test]
    fn every_variant() {
        let x = noise(&[5, STEPS, INPUTS], 9);
        let given = |op: &str| {
            let [w, r, b] = weights(op, 1);
            vec![Each(x.clone()), Known(w), Known(r), Known(b)]
        };
        let layer = |op: &str| node(op).int("layout", 1);
        agree(&layer("GRU").int("linear_before_reset", 1), &given("GRU"), 2);
        let mut plain = given("GRU");
        plain.truncate(3);
        agree(&layer("GRU").int("linear_before_reset", 1), &plain, 2);
        agree(&layer("LSTM").int("input_forget", 1), &given("LSTM"), 3);
        let mut peeping = given("LSTM");
        peeping.extend([Absent, Absent, Absent, Known(noise(&[1, 3 * HIDDEN], 7))]);
        agree(&layer("LSTM"), &peeping, 3);
        let functions = layer("LSTM").strings("activations", &["HardSigmoid", "Affine", "LeakyRelu"]);
        let functions = functions.floats("activation_alpha", &[0.3, 0.7, 0.2]).floats("activation_beta", &[0.4, 0.1]);
        agree(&functions, &given("LSTM"), 3);
        let wrong = layer("RNN").strings("activations", &["Sine"]);
        assert!(refusal(&wrong, &given("RNN")).contains("`Sine`"));
    }

    #[test]
    fn the_length_must_be_known_and_short() {
        let [w, r, _] = weights("RNN", 1);
        // The steps stand first: here they are the candidates.
        let given = [Each(noise(&[4, 2, INPUTS], 1)), Known(w.clone()), Known(r.clone())];
        assert!(refusal(&node("RNN"), &given).contains("fixed length"));
        let given = [Shared(noise(&[600, 1, INPUTS], 1)), Known(w), Known(r)];
        assert!(refusal(&node("RNN"), &given).contains("at most 500"));
    }
}
