//! Matrix products: MatMul, Gemm, MatMulInteger. Sums in f64, rounded once; integers are exact.

use super::super::constant::{Constant, Elem, Values};
use super::super::node::Spec;
use super::binary::integer;
use super::shape::{broadcast, broadcast_strides, each, flat};
use super::{Args, Evaluator, Outputs};

pub(super) fn find(op: &str) -> Option<Evaluator> {
    Some(match op {
        "MatMul" => |_, args| Ok(vec![product(args.get(0)?, args.get(1)?)?]),
        "Gemm" => gemm,
        "MatMulInteger" => matmul_integer,
        _ => return None,
    })
}

/// Shapes of a product by numpy's rule: vectors are a row on the left, a column on the right.
pub(super) struct Shapes {
    /// For each matrix of the result the first element of both factors.
    starts: Vec<(usize, usize)>,
    rows: usize,
    inner: usize,
    columns: usize,
    dims: Vec<usize>,
}

pub(super) fn shapes(a: &[usize], b: &[usize]) -> Result<Shapes, String> {
    let refuse = || format!("the product of shapes {a:?} and {b:?}");
    if a.is_empty() || b.is_empty() {
        return Err(refuse());
    }
    let wide_a = if a.len() == 1 { vec![1, a[0]] } else { a.to_vec() };
    let wide_b = if b.len() == 1 { vec![b[0], 1] } else { b.to_vec() };
    let (batch_a, matrix_a) = wide_a.split_at(wide_a.len() - 2);
    let (batch_b, matrix_b) = wide_b.split_at(wide_b.len() - 2);
    let (rows, inner, columns) = (matrix_a[0], matrix_a[1], matrix_b[1]);
    if matrix_b[0] != inner {
        return Err(refuse());
    }
    let batch = broadcast([batch_a, batch_b])?;
    let (steps_a, steps_b) = (broadcast_strides(batch_a, &batch)?, broadcast_strides(batch_b, &batch)?);
    let mut starts = vec![];
    each(&batch, |at| {
        starts.push((flat(at, &steps_a) * rows * inner, flat(at, &steps_b) * inner * columns));
        Ok(())
    })?;
    let mut dims = batch.clone();
    dims.extend((a.len() > 1).then_some(rows));
    dims.extend((b.len() > 1).then_some(columns));
    Ok(Shapes { starts, rows, inner, columns, dims })
}

impl Shapes {
    /// Every element of the result: the sum over `k` of what `term` makes of positions in both factors.
    fn sums<S: std::ops::AddAssign + Default>(&self, term: impl Fn(usize, usize) -> S) -> Vec<S> {
        let mut y = vec![];
        for &(a, b) in &self.starts {
            for r in 0..self.rows {
                let mut row: Vec<S> = (0..self.columns).map(|_| S::default()).collect();
                for k in 0..self.inner {
                    for (c, sum) in row.iter_mut().enumerate() {
                        *sum += term(a + r * self.inner + k, b + k * self.columns + c);
                    }
                }
                y.append(&mut row);
            }
        }
        y
    }
}

/// numpy's `matmul`.
pub(super) fn product(a: &Constant, b: &Constant) -> Result<Constant, String> {
    let shapes = shapes(&a.dims, &b.dims)?;
    if a.elem != b.elem {
        return Err(format!("factors of the types {:?} and {:?}", a.elem, b.elem));
    }
    let values = if a.elem.is_float() {
        let (v, w) = (a.floats()?, b.floats()?);
        let sums = shapes.sums(|i, j| f64::from(v[i]) * f64::from(w[j]));
        Values::Float(sums.into_iter().map(|v| a.elem.round(v as f32)).collect())
    } else {
        let (v, w) = (a.ints()?, b.ints()?);
        let sums = shapes.sums(|i, j| integer(a.elem, v[i]) * integer(b.elem, w[j]));
        Values::Int(sums.into_iter().map(|v| a.elem.wrap(v as i64)).collect())
    };
    Constant::new(a.elem, &shapes.dims, values)
}

/// alpha A' B' + beta C, with C broadcast.
fn gemm(spec: &Spec, args: &Args) -> Outputs {
    let flipped = |i: usize, name: &str| -> Result<Constant, String> {
        let x = args.get(i)?;
        if x.rank() != 2 {
            return Err(format!("a factor of shape {:?}", x.dims));
        }
        if spec.int(name, 0) == 0 { Ok(x.clone()) } else { super::moves::transposed(x, &[1, 0]) }
    };
    let (a, b) = (flipped(0, "transA")?, flipped(1, "transB")?);
    let (alpha, beta) = (f64::from(spec.float("alpha", 1.0)), f64::from(spec.float("beta", 1.0)));
    let shapes = shapes(&a.dims, &b.dims)?;
    let (v, w) = (as_f64(&a)?, as_f64(&b)?);
    let mut y = shapes.sums(|i, j| v[i] * w[j]);
    y.iter_mut().for_each(|v| *v *= alpha);
    if let Some(c) = args.optional(2) {
        let (c, at) = (as_f64(c)?, super::shape::broadcast_positions(&c.dims, &shapes.dims)?);
        y.iter_mut().zip(at).for_each(|(y, i)| *y += beta * c[i]);
    }
    if a.elem.is_float() {
        return Ok(vec![super::elementwise::rounded(a.elem, &shapes.dims, y)?]);
    }
    let whole = y.into_iter().map(|v| super::convert::saturate(a.elem, v)).collect();
    Ok(vec![Constant::new(a.elem, &shapes.dims, Values::Int(whole))?])
}

fn as_f64(x: &Constant) -> Result<Vec<f64>, String> {
    Ok(match &x.values {
        Values::Float(v) => v.iter().map(|&v| f64::from(v)).collect(),
        _ => x.ints()?.iter().map(|&v| integer(x.elem, v) as f64).collect(),
    })
}

/// (A - a)(B - b) in i32; a zero point is one number, or one for each row of A and column of B.
fn matmul_integer(_: &Spec, args: &Args) -> Outputs {
    let centred = |x: &Constant, zero: Option<&Constant>, column: bool| -> Result<Constant, String> {
        let Some(zero) = zero else { return Constant::new(Elem::I32, &x.dims, x.values.clone()) };
        let dims = match zero.dims[..] {
            [n] if n > 1 && !column => vec![n, 1],
            _ => zero.dims.clone(),
        };
        let at = super::shape::broadcast_positions(&dims, &x.dims)?;
        let zero = zero.ints()?;
        let v = x.ints()?.iter().zip(at).map(|(v, i)| v - zero[i]).collect();
        Constant::new(Elem::I32, &x.dims, Values::Int(v))
    };
    let (a, b) = (args.get(0)?, args.get(1)?);
    Ok(vec![product(&centred(a, args.optional(2), false)?, &centred(b, args.optional(3), true)?)?])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f32s, i64s, node};
    use super::*;

    #[test]
    fn products_follow_numpy() {
        let a = f32s(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(node("MatMul").run1(&[&a, &a]), f32s(&[2, 2], &[7.0, 10.0, 15.0, 22.0]));
        let v = f32s(&[2], &[1.0, -1.0]);
        assert_eq!(node("MatMul").run1(&[&a, &v]), f32s(&[2], &[-1.0, -1.0]));
        assert_eq!(node("MatMul").run1(&[&v, &a]), f32s(&[2], &[-2.0, -2.0]));
        assert_eq!(node("MatMul").run1(&[&v, &v]), f32s(&[], &[2.0]));
        let batch = i64s(&[2, 1, 2], &[1, 0, 0, 1]);
        assert_eq!(node("MatMul").run1(&[&batch, &i64s(&[2, 1], &[5, 6])]), i64s(&[2, 1, 1], &[5, 6]));
        assert!(node("MatMul").run(&[Some(&a), Some(&f32s(&[3, 1], &[0.0; 3]))]).is_err());
    }

    #[test]
    fn gemm_honours_every_attribute() {
        let a = f32s(&[2, 1], &[1.0, 2.0]);
        let b = f32s(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let gemm = node("Gemm").int("transA", 1).int("transB", 1).float("alpha", 2.0).float("beta", 0.5);
        let y = gemm.run1(&[&a, &b, &f32s(&[3], &[2.0, 4.0, 6.0])]);
        assert_eq!(y, f32s(&[1, 3], &[11.0, 24.0, 37.0]));
        assert_eq!(gemm.run1(&[&a, &b]), f32s(&[1, 3], &[10.0, 22.0, 34.0]));
    }

    #[test]
    fn integers_are_centred_first() {
        let bytes = |dims: &[usize], v: &[i64]| Constant::new(Elem::U8, dims, Values::Int(v.to_vec())).unwrap();
        let (a, b) = (bytes(&[2, 2], &[1, 2, 3, 4]), bytes(&[2, 1], &[10, 20]));
        let y = node("MatMulInteger").run1(&[&a, &b, &bytes(&[2], &[1, 3]), &bytes(&[1], &[12])]);
        assert_eq!((y.elem, y.ints().unwrap()), (Elem::I32, &[8, 8][..]));
    }
}
