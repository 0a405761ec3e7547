//! One step of a recurrent layer: the gates of RNN, GRU and LSTM.

use super::call::{Call, Val};
use super::constant::Constant;
use super::elementwise::binary;
use super::lower::Lowering;
use super::matrix::product;
use super::moves::{moved, table_of};
use super::norms::unary;
use super::shape::Dim;
use crate::engine::plan::{Binary, Unary};
use std::rc::Rc;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Rnn,
    Gru,
    Lstm,
}

impl Kind {
    /// Gates, and functions of one direction.
    pub fn gates(self) -> (usize, &'static [&'static str]) {
        match self {
            Kind::Rnn => (1, &["Tanh"]),
            Kind::Gru => (3, &["Sigmoid", "Tanh"]),
            Kind::Lstm => (4, &["Sigmoid", "Tanh", "Tanh"]),
        }
    }
}

/// A function of a gate.
#[derive(Clone, Copy)]
pub(super) enum Function {
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

pub(super) fn row(list: Vec<f32>) -> Val {
    let dims = if list.len() == 1 { vec![] } else { vec![list.len()] };
    Val::Constant(Rc::new(Constant::f32(&dims, list)))
}

/// The functions of each direction. Parameters are listed for those alone that take some.
pub(super) fn functions(call: &Call, kind: Kind, directions: usize) -> Result<Vec<Vec<Function>>, String> {
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
pub(super) struct Layer {
    pub kind: Kind,
    pub hidden: usize,
    pub functions: Vec<Function>,
    pub clip: Option<f32>,
    pub linear_before_reset: bool,
    pub input_forget: bool,
    /// `[inputs, gates * hidden]`.
    pub inputs: Val,
    /// `[gates * hidden]`: every bias that may be added to what comes from the inputs.
    pub bias: Option<Val>,
    /// `[hidden, gates * hidden]`.
    pub recurrence: Val,
    /// `[gates * hidden]`: GRU's bias of the hidden gate's recurrence alone, where the reset gate damps it.
    pub reset_bias: Option<Val>,
    /// `[3 * hidden]`: the input, output and forget gates'.
    pub peepholes: Option<Val>,
}

/// Hidden state, and the cell's; none is zeros.
#[derive(Clone, Default)]
pub(super) struct State {
    pub h: Option<Val>,
    pub c: Option<Val>,
}

/// Columns of the last axis.
pub(super) fn columns(lowering: &mut Lowering, x: &Val, from: usize, to: usize) -> Result<Val, String> {
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
    pub fn step(&self, lowering: &mut Lowering, x: &Val, state: &State) -> Result<State, String> {
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
