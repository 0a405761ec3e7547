//! Which of the checked rows a bundle carries for its self-test.

use super::check::rows_axis;
use crate::engine::{Data, Plan, Tensor, Tensors};

/// Classes that a column's numbers fall into, by rank.
const CLASSES: usize = 8;
/// The class of NaN.
const MISSING: usize = CLASSES;

/// At most `many` of the rows, ascending: each one that of all rows shows most of what those before do not show yet, a
/// missing value or an eighth of a column's values, its ends included. So a few rows reach far apart leaves and both sides
/// of what bends.
pub(super) fn telling_rows(plan: &Plan, inputs: &Tensors, rows: usize, many: usize) -> Vec<usize> {
    let columns: Vec<Vec<usize>> = plan
        .inputs
        .iter()
        .filter_map(|port| rows_axis(port).and(inputs.get(&port.name)))
        .flat_map(|tensor| columns(tensor, rows))
        .map(|values| classes(&values))
        .collect();
    let mut shown = vec![[false; CLASSES + 1]; columns.len()];
    let mut kept = vec![false; rows];
    for _ in 0..rows.min(many) {
        let news = |&row: &usize| {
            let new = columns.iter().zip(&shown).filter(|(column, shown)| !shown[column[row]]).count();
            // Of two rows that show as much the first.
            (new, std::cmp::Reverse(row))
        };
        let Some(best) = (0..rows).filter(|&row| !kept[row]).max_by_key(news) else { break };
        kept[best] = true;
        for (column, shown) in columns.iter().zip(&mut shown) {
            shown[column[best]] = true;
        }
    }
    (0..rows).filter(|&row| kept[row]).collect()
}

/// The columns of `[rows, ...]`.
fn columns(tensor: &Tensor, rows: usize) -> Vec<Vec<f64>> {
    fn spread<T: Copy>(v: &[T], rows: usize, f: fn(T) -> f64) -> Vec<Vec<f64>> {
        let width = v.len() / rows.max(1);
        (0..width).map(|column| (0..rows).map(|row| f(v[row * width + column])).collect()).collect()
    }
    match &tensor.data {
        Data::F32(v) => spread(v, rows, f64::from),
        Data::I32(v) => spread(v, rows, f64::from),
        Data::I64(v) => spread(v, rows, |i| i as f64),
        Data::U8(v) => spread(v, rows, f64::from),
        // No plan takes the others.
        _ => Vec::new(),
    }
}

/// Each value's class: equal values are in one, and the greatest in the last.
fn classes(values: &[f64]) -> Vec<usize> {
    let mut distinct: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    let last = distinct.len().saturating_sub(1).max(1);
    let class = |x: &f64| if x.is_nan() { MISSING } else { distinct.partition_point(|y| y < x) * (CLASSES - 1) / last };
    values.iter().map(class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::plan::{DType, Port, Rows, Value};

    fn kept(values: &[f32], width: usize, many: usize) -> Vec<usize> {
        let rows = values.len() / width;
        let value = Value { dtype: DType::F32, rows: Rows::Candidate, width: width as u32 };
        let port = Port { name: "x".to_owned(), value: 0, dims: vec![-1, width as i64] };
        let plan = Plan { inputs: vec![port], outputs: Vec::new(), values: vec![value], steps: Vec::new() };
        let inputs = Tensors::from([("x".to_owned(), Tensor::f32(&[rows, width], values.to_vec()))]);
        telling_rows(&plan, &inputs, rows, many)
    }

    #[test]
    fn rows_are_kept_for_what_they_alone_show() {
        // Nine rows alike, then one with a missing value, and one beyond them all.
        let mut values = vec![1.0; 9 * 2];
        values.extend([f32::NAN, 1.0, 1.0, 50.0]);
        assert_eq!(kept(&values, 2, 3), [0, 9, 10]);
        assert_eq!(kept(&values, 2, 100).len(), 11);
    }

    #[test]
    fn both_ends_of_a_column_are_shown_by_eight_rows() {
        let values: Vec<f32> = (0..1000).map(|i| (i * 7919 % 1000) as f32).collect();
        let rows = kept(&values, 1, 8);
        let shown: Vec<f32> = rows.iter().map(|&row| values[row]).collect();
        assert!(shown.contains(&999.0) && shown.iter().any(|x| *x < 143.0), "{shown:?}");
        assert_eq!(rows.len(), 8);
    }
}
