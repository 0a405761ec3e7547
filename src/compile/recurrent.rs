//! RNN, GRU and LSTM, unrolled over a sequence of known length. What comes from the inputs is one layer over all steps;
//! what comes from the state is one layer a step, whose sums start from there. So the sequence of a request, the same for
//! all candidates, is run once.

use super::call::{Call, Lowered, Val};
use super::cells::{Function, Kind, Layer, State, columns, functions, row};
use super::constant::{Constant, Values};
use super::elementwise::{binary, chosen_by};
use super::lower::Lowering;
use super::matrix::product;
use super::moves::{joined, moved, permuted, reshaped, table_of};
use super::shape::{self, Dim};
use crate::engine::plan::Binary;
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
