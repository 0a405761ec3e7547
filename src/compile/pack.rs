//! The weights of dense layers in the order in which the kernel reads them, so that a page uses them where they lie in the
//! file: to pack a megabyte anew costs a page more than its first score.

use crate::engine::Plan;
use crate::engine::plan::Op;
use crate::engine::tensor::{Tensor, Tensors};
use ranklet_kernels::dense;
use std::collections::BTreeMap;

/// Elements of a matrix that is worth it. Smaller ones are packed in no time, and stay readable to a runtime of format 1.0.
const LEAST: usize = 2048;

/// Packs every f32 matrix of some size that is nothing but a dense layer's weights, of one shape; whether there was one. Those
/// of 16 bits and whole numbers are decoded by the page anyway. Packed weights promise a page that it may leave out what is
/// times 0: they are finite, and no bias of theirs is -0, which 0 would make 0 of.
pub(super) fn pack(plan: &Plan, tensors: &mut Tensors) -> bool {
    // The shape of each that is read as weights alone; none where its readers differ.
    let mut shapes: BTreeMap<String, Option<(usize, usize)>> = BTreeMap::new();
    for step in &plan.steps {
        let dense = match &step.op {
            Op::Dense { weights: Some(_), scales: None, bias, inputs, outputs, .. }
                if !bias.as_ref().is_some_and(|bias| starts_below_zero(tensors.get(bias))) =>
            {
                Some((*inputs as usize, *outputs as usize))
            }
            _ => None,
        };
        for (at, name) in step.op.tensors().into_iter().enumerate() {
            // Weights are the first that a layer names.
            let shape = dense.filter(|_| at == 0);
            shapes.entry(name.clone()).and_modify(|known| *known = known.filter(|_| *known == shape)).or_insert(shape);
        }
    }
    let mut any = false;
    for (name, shape) in shapes {
        let (Some((inputs, outputs)), Some(tensor)) = (shape, tensors.get_mut(&name)) else { continue };
        let Some(weights) = tensor.as_f32().filter(|w| w.len() == inputs * outputs && w.len() >= LEAST) else {
            continue;
        };
        // A few columns would be filled up to many.
        if !weights.iter().all(|w| w.is_finite()) || 8 * dense::packed_len(inputs, outputs) > 9 * weights.len() {
            continue;
        }
        let mut packed = vec![0.0; dense::packed_len(inputs, outputs)];
        dense::pack(weights, inputs, outputs, &mut packed);
        *tensor = Tensor::f32(&[packed.len()], packed);
        any = true;
    }
    any
}

/// Whether a bias has a -0; one that is not f32 is taken to.
fn starts_below_zero(bias: Option<&Tensor>) -> bool {
    bias.and_then(Tensor::as_f32).is_none_or(|bias| bias.iter().any(|b| b.to_bits() == (-0.0_f32).to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Data;
    use crate::engine::plan::{Step, Unary};

    fn dense(weights: &str, inputs: u32, outputs: u32) -> Step {
        let op = Op::Dense {
            weights: Some(weights.into()),
            scales: None,
            bias: Some(if weights == "start" { "minus" } else { "bias" }.into()),
            start: false,
            inputs,
            outputs,
            activation: Unary::Identity,
        };
        Step { node: String::new(), op, inputs: vec![0], output: 1 }
    }

    fn constant(tensor: &str) -> Step {
        Step { node: String::new(), op: Op::Constant { tensor: tensor.into() }, inputs: vec![], output: 2 }
    }

    #[test]
    fn only_what_one_shape_of_layer_reads_is_packed() {
        let matrix = |rows: usize, columns: usize| {
            Tensor::f32(&[rows, columns], (0..rows * columns).map(|i| i as f32).collect())
        };
        let mut tensors = Tensors::from([
            ("both".to_owned(), matrix(64, 70)),
            ("twice".to_owned(), matrix(64, 70)),
            ("shapes".to_owned(), matrix(64, 80)),
            ("few".to_owned(), matrix(45, 45)),
            ("narrow".to_owned(), matrix(1100, 2)),
            ("start".to_owned(), matrix(64, 64)),
            ("mixed".to_owned(), matrix(64, 64)),
            ("infinite".to_owned(), Tensor::f32(&[64, 64], vec![f32::INFINITY; 4096])),
            ("bias".to_owned(), Tensor::f32(&[1], vec![0.0])),
            ("minus".to_owned(), Tensor::f32(&[1], vec![-0.0])),
            ("half".to_owned(), Tensor { dims: vec![64, 64], data: Data::F16(vec![0; 4096]) }),
        ]);
        let mut other = dense("mixed", 64, 64);
        if let Op::Dense { bias, .. } = &mut other.op {
            *bias = Some("minus".into());
        }
        let mut plan = Plan {
            steps: vec![
                dense("both", 64, 70),
                constant("both"),
                dense("twice", 64, 70),
                dense("twice", 64, 70),
                dense("shapes", 64, 80),
                dense("shapes", 80, 64),
                dense("few", 45, 45),
                dense("narrow", 1100, 2),
                dense("half", 64, 64),
                dense("start", 64, 64),
                dense("mixed", 64, 64),
                other,
                dense("infinite", 64, 64),
            ],
            ..Plan::default()
        };
        let before = tensors.clone();
        assert!(pack(&plan, &mut tensors));
        // Four panels of 16 columns, and one of 8, of which two are not there.
        assert_eq!(tensors["twice"].dims, [64 * 72]);
        let packed = tensors["twice"].as_f32().unwrap();
        assert_eq!(packed[14..18], [14.0, 15.0, 70.0, 71.0]);
        assert_eq!(packed[64 * 64..][4..10], [68.0, 69.0, 0.0, 0.0, 134.0, 135.0]);
        for name in ["both", "shapes", "few", "narrow", "half", "start", "mixed", "infinite"] {
            assert_eq!(tensors[name], before[name], "{name}");
        }
        tensors.remove("twice");
        plan.steps.drain(2..4);
        assert!(!pack(&plan, &mut tensors), "there is nothing left");
    }
}
