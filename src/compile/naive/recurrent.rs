//! RNN, GRU and LSTM, one step and one row after the other, in f64.

use super::super::constant::Constant;
use super::super::node::Spec;
use super::elementwise::{recurrent_activation, rounded};
use super::moves::transposed;
use super::{Args, Evaluator, Outputs};

pub(super) fn find(op: &str) -> Option<Evaluator> {
    matches!(op, "RNN" | "GRU" | "LSTM").then_some(recurrent as Evaluator)
}

type Activation = Box<dyn Fn(f64) -> f64>;

/// One direction of a layer: its weights, and how its gates work.
struct Layer<'a> {
    op: &'a str,
    hidden: usize,
    /// `[gates * hidden, in]` and `[gates * hidden, hidden]`.
    w: Vec<f64>,
    r: Vec<f64>,
    /// Biases of input and of recurrence, each `[gates * hidden]`.
    wb: Vec<f64>,
    rb: Vec<f64>,
    /// LSTM: `[3 * hidden]` for the input, output and forget gates.
    peephole: Vec<f64>,
    activations: Vec<Activation>,
    clip: Option<f64>,
    linear_before_reset: bool,
    input_forget: bool,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Layer<'_> {
    fn activate(&self, which: usize, v: f64) -> f64 {
        let v = match self.clip {
            Some(clip) if v > clip => clip,
            Some(clip) if v < -clip => -clip,
            _ => v,
        };
        (self.activations[which])(v)
    }

    /// W x of unit `i` of gate `gate`, with its bias.
    fn input_part(&self, gate: usize, i: usize, x: &[f64]) -> f64 {
        let row = gate * self.hidden + i;
        dot(&self.w[row * x.len()..][..x.len()], x) + self.wb[row]
    }

    /// R h of unit `i` of gate `gate`, with its bias.
    fn state_part(&self, gate: usize, i: usize, h: &[f64]) -> f64 {
        let row = gate * self.hidden + i;
        dot(&self.r[row * self.hidden..][..self.hidden], h) + self.rb[row]
    }

    /// The next hidden and cell state.
    fn step(&self, x: &[f64], h: &[f64], c: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let units = 0..self.hidden;
        match self.op {
            "RNN" => {
                let next = units.map(|i| self.activate(0, self.input_part(0, i, x) + self.state_part(0, i, h)));
                (next.collect(), vec![])
            }
            "GRU" => (self.gru(x, h), vec![]),
            _ => self.lstm(x, h, c),
        }
    }

    /// Gates in ONNX's order: update, reset, hidden.
    fn gru(&self, x: &[f64], h: &[f64]) -> Vec<f64> {
        let gate = |gate: usize, i: usize| self.activate(0, self.input_part(gate, i, x) + self.state_part(gate, i, h));
        let reset: Vec<f64> = (0..self.hidden).map(|i| gate(1, i)).collect();
        let damped: Vec<f64> = reset.iter().zip(h).map(|(r, h)| r * h).collect();
        let unit = |i: usize| {
            let recurrent = if self.linear_before_reset {
                reset[i] * self.state_part(2, i, h)
            } else {
                self.state_part(2, i, &damped)
            };
            let (z, new) = (gate(0, i), self.activate(1, self.input_part(2, i, x) + recurrent));
            (1.0 - z) * new + z * h[i]
        };
        (0..self.hidden).map(unit).collect()
    }

    /// Gates in ONNX's order: input, output, forget, cell.
    fn lstm(&self, x: &[f64], h: &[f64], c: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (mut next_h, mut next_c) = (vec![], vec![]);
        for i in 0..self.hidden {
            let sum = |gate: usize| self.input_part(gate, i, x) + self.state_part(gate, i, h);
            let peep = |gate: usize, c: f64| self.peephole[gate * self.hidden + i] * c;
            let input = self.activate(0, sum(0) + peep(0, c[i]));
            let forget = if self.input_forget { 1.0 - input } else { self.activate(0, sum(2) + peep(2, c[i])) };
            let cell = forget * c[i] + input * self.activate(1, sum(3));
            let output = self.activate(0, sum(1) + peep(1, cell));
            next_h.push(output * (self.activations[2])(cell));
            next_c.push(cell);
        }
        (next_h, next_c)
    }
}

/// Names, with their parameters, of all activations of all directions.
fn activations(spec: &Spec, directions: usize) -> Result<Vec<Vec<Activation>>, String> {
    let default: &[&str] = match spec.op.as_str() {
        "RNN" => &["Tanh"],
        "GRU" => &["Sigmoid", "Tanh"],
        _ => &["Sigmoid", "Tanh", "Tanh"],
    };
    let mut names = spec.strings("activations");
    if names.is_empty() {
        names = default.iter().map(|name| (*name).to_string()).cycle().take(default.len() * directions).collect();
    }
    if names.len() != default.len() * directions {
        return Err(format!("{} activations for {directions} directions", names.len()));
    }
    // Parameters are listed for those functions alone that take some.
    let (mut alphas, mut betas) =
        (spec.floats("activation_alpha").iter().copied(), spec.floats("activation_beta").iter().copied());
    let mut made = vec![];
    for name in &names {
        let lower = name.to_ascii_lowercase();
        let alpha = matches!(lower.as_str(), "affine" | "leakyrelu" | "hardsigmoid" | "elu").then(|| alphas.next());
        let beta = matches!(lower.as_str(), "affine" | "hardsigmoid").then(|| betas.next());
        let function = recurrent_activation(name, alpha.flatten(), beta.flatten());
        made.push(function.ok_or_else(|| format!("the activation `{name}`: use Sigmoid, Tanh or Relu"))?);
    }
    let mut made = made.into_iter();
    Ok((0..directions).map(|_| made.by_ref().take(default.len()).collect()).collect())
}

/// A value of the shape that ONNX demands, in f64; zeros where it is left out.
fn part(x: Option<&Constant>, dims: &[usize]) -> Result<Vec<f64>, String> {
    match x {
        None => Ok(vec![0.0; dims.iter().product()]),
        Some(x) if x.dims == dims => Ok(x.floats()?.iter().map(|&v| f64::from(v)).collect()),
        Some(x) => Err(format!("a value of shape {:?} instead of {dims:?}", x.dims)),
    }
}

/// The value with its first two axes exchanged, as `layout` 1 has them.
fn swapped(x: &Constant) -> Result<Constant, String> {
    let mut perm: Vec<usize> = (0..x.rank()).collect();
    perm.swap(0, 1);
    transposed(x, &perm)
}

fn recurrent(spec: &Spec, args: &Args) -> Outputs {
    let batch_first = spec.int("layout", 0) == 1;
    let ordered = |x: Option<&Constant>| -> Result<Option<Constant>, String> {
        Ok(match x {
            Some(x) if batch_first && x.rank() == 3 => Some(swapped(x)?),
            other => other.cloned(),
        })
    };
    let x = ordered(Some(args.get(0)?))?.ok_or("no input")?;
    let &[steps, batch, width] = &x.dims[..] else { return Err(format!("an input of shape {:?}", x.dims)) };
    let gates = match spec.op.as_str() {
        "RNN" => 1,
        "GRU" => 3,
        _ => 4,
    };
    let backward: &[bool] = match spec.string("direction").as_deref() {
        None | Some("forward") => &[false],
        Some("reverse") => &[true],
        Some("bidirectional") => &[false, true],
        Some(other) => return Err(format!("the direction `{other}`")),
    };
    let directions = backward.len();
    let hidden = *args.get(2)?.dims.last().ok_or("recurrence weights of rank 0")?;
    let rows = gates * hidden;
    let w = part(Some(args.get(1)?), &[directions, rows, width])?;
    let r = part(Some(args.get(2)?), &[directions, rows, hidden])?;
    let b = part(args.optional(3), &[directions, 2 * rows])?;
    let lengths = match args.ints(4)? {
        None => vec![steps; batch],
        Some(list) if list.len() == batch => list.iter().map(|&v| (v.max(0) as usize).min(steps)).collect(),
        Some(list) => return Err(format!("{} sequence lengths for {batch} rows", list.len())),
    };
    let state = [directions, batch, hidden];
    let mut h = part(ordered(args.optional(5))?.as_ref(), &state)?;
    let mut c = part(ordered(args.optional(6))?.as_ref(), &state)?;
    let p = part(args.optional(7), &[directions, 3 * hidden])?;
    let v: Vec<f64> = x.floats()?.iter().map(|&v| f64::from(v)).collect();

    let mut y = vec![0.0; steps * directions * batch * hidden];
    for (d, activations) in activations(spec, directions)?.into_iter().enumerate() {
        let piece = |list: &[f64], n: usize| list[d * n..(d + 1) * n].to_vec();
        let bias = piece(&b, 2 * rows);
        let layer = Layer {
            op: &spec.op,
            hidden,
            w: piece(&w, rows * width),
            r: piece(&r, rows * hidden),
            wb: bias[..rows].to_vec(),
            rb: bias[rows..].to_vec(),
            peephole: piece(&p, 3 * hidden),
            activations,
            clip: spec.has("clip").then(|| f64::from(spec.float("clip", 0.0))),
            linear_before_reset: spec.int("linear_before_reset", 0) != 0,
            input_forget: spec.int("input_forget", 0) != 0,
        };
        for (row, &length) in lengths.iter().enumerate() {
            let own = (d * batch + row) * hidden..(d * batch + row + 1) * hidden;
            for step in 0..length {
                // A reversed sequence ends at its first step; what lies behind its length stays zero.
                let time = if backward[d] { length - 1 - step } else { step };
                let input = &v[(time * batch + row) * width..][..width];
                let (next_h, next_c) = layer.step(input, &h[own.clone()], &c[own.clone()]);
                y[((time * directions + d) * batch + row) * hidden..][..hidden].copy_from_slice(&next_h);
                h[own.clone()].copy_from_slice(&next_h);
                if !next_c.is_empty() {
                    c[own.clone()].copy_from_slice(&next_c);
                }
            }
        }
    }
    let y = rounded(x.elem, &[steps, directions, batch, hidden], y)?;
    let last = |state_of: Vec<f64>| -> Result<Constant, String> {
        let last = rounded(x.elem, &state, state_of)?;
        if batch_first { swapped(&last) } else { Ok(last) }
    };
    let y = if batch_first { transposed(&y, &[2, 0, 1, 3])? } else { y };
    let mut outputs = vec![y, last(h)?];
    if spec.op == "LSTM" {
        outputs.push(last(c)?);
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::super::super::constant::{Elem, Values};
    use super::super::testing::{NodeBuilder, f32s, node};
    use super::*;

    fn close(y: &Constant, dims: &[usize], expected: &[f32]) {
        assert_eq!(y.dims, dims);
        let y = y.floats().unwrap();
        assert!(y.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-6), "{y:?} for {expected:?}");
    }

    /// A layer of one unit whose weights are all `weight`, on the sequence 1, 2.
    fn run(node: NodeBuilder, gates: usize, directions: usize, weight: f32) -> Vec<Constant> {
        let x = f32s(&[2, 1, 1], &[1.0, 2.0]);
        let w = f32s(&[directions, gates, 1], &vec![weight; directions * gates]);
        node.run(&[Some(&x), Some(&w), Some(&w)]).unwrap()
    }

    #[test]
    fn one_unit_by_hand() {
        // h1 = tanh(0.5), h2 = tanh(1 + 0.5 h1).
        let y = run(node("RNN").int("hidden_size", 1), 1, 1, 0.5);
        close(&y[0], &[2, 1, 1, 1], &[0.462_117_2, 0.842_886_1]);
        close(&y[1], &[1, 1, 1], &[0.842_886_1]);
        // z = sigmoid(1), h1 = (1 - z) tanh(1), and with weight 1 z2 = sigmoid(2 + h1), and so on.
        let y = run(node("GRU").int("linear_before_reset", 1), 3, 1, 1.0);
        close(&y[0], &[2, 1, 1, 1], &[0.204_824_2, 0.281_315_43]);
        // i = o = f = sigmoid(1), c1 = i tanh(1), h1 = o tanh(c1).
        let y = run(node("LSTM"), 4, 1, 1.0);
        close(&y[0], &[2, 1, 1, 1], &[0.369_606_35, 0.811_163_5]);
        assert_eq!(y.len(), 3);
    }

    #[test]
    fn directions_lengths_and_layouts() {
        let relu = || node("RNN").strings("activations", &["Relu"]);
        let back = run(relu().string("direction", "reverse"), 1, 1, 1.0);
        close(&back[0], &[2, 1, 1, 1], &[3.0, 2.0]);
        close(&back[1], &[1, 1, 1], &[3.0]);
        let both = node("RNN").strings("activations", &["Relu", "Relu"]).string("direction", "bidirectional");
        close(&run(both, 1, 2, 1.0)[0], &[2, 2, 1, 1], &[1.0, 3.0, 3.0, 2.0]);
        let x = f32s(&[2, 2, 1], &[1.0, 2.0, 3.0, 4.0]);
        let one = f32s(&[1, 1, 1], &[1.0]);
        let lengths = Constant::new(Elem::I32, &[2], Values::Int(vec![1, 2])).unwrap();
        let y = relu().run(&[Some(&x), Some(&one), Some(&one), None, Some(&lengths)]).unwrap();
        close(&y[0], &[2, 1, 2, 1], &[1.0, 2.0, 0.0, 6.0]);
        close(&y[1], &[1, 2, 1], &[1.0, 6.0]);
        let y = relu().int("layout", 1).run(&[Some(&x), Some(&one), Some(&one)]).unwrap();
        close(&y[0], &[2, 2, 1, 1], &[1.0, 3.0, 3.0, 7.0]);
        close(&y[1], &[2, 1, 1], &[3.0, 7.0]);
        let clipped = run(relu().float("clip", 1.5), 1, 1, 1.0);
        close(&clipped[0], &[2, 1, 1, 1], &[1.0, 1.5]);
    }

    #[test]
    fn unknown_activations_are_refused() {
        let one = f32s(&[1, 1, 1], &[1.0]);
        let odd = node("RNN").strings("activations", &["Sine"]);
        assert!(odd.run(&[Some(&one), Some(&one), Some(&one)]).unwrap_err().contains("`Sine`"));
    }
}
