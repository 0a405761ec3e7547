//! Where each element of a moved tensor comes from: the one form in which all operators that only move elements
//! (Slice, Transpose, Expand, ...) are lowered, folded and applied to shapes.

/// Elements by the index that they had; -1 is an element that was not there (padding).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub dims: Vec<usize>,
    pub index: Vec<i32>,
}

impl Table {
    /// Nothing moved; indices from `start`.
    pub fn identity(dims: &[usize], start: usize) -> Self {
        let count = dims.iter().product::<usize>();
        Table { dims: dims.to_vec(), index: (start..start + count).map(|i| i as i32).collect() }
    }

    /// Whether every element stays in place, of `count` in all.
    pub fn is_identity(&self, count: usize) -> bool {
        self.index.len() == count && self.index.iter().enumerate().all(|(i, &from)| i as i32 == from)
    }

    /// The elements themselves, `fill` where there was none.
    pub fn apply<T: Clone>(&self, data: &[T], fill: &T) -> Vec<T> {
        self.index.iter().map(|&i| usize::try_from(i).ok().and_then(|i| data.get(i)).unwrap_or(fill).clone()).collect()
    }

    /// Element at these coordinates in a tensor of `dims`, each clipped by the caller.
    fn place(dims: &[usize], at: &[usize]) -> usize {
        dims.iter().zip(at).fold(0, |place, (size, at)| place * size + at)
    }

    /// A tensor of `dims` whose element comes from the coordinates that `from` gives; none: from nowhere.
    pub fn gather(&self, dims: &[usize], from: impl Fn(&[usize]) -> Option<Vec<usize>>) -> Self {
        let count: usize = dims.iter().product();
        let mut at = vec![0; dims.len()];
        let mut index = Vec::with_capacity(count);
        for _ in 0..count {
            index.push(from(&at).map_or(-1, |source| self.index[Self::place(&self.dims, &source)]));
            for axis in (0..dims.len()).rev() {
                at[axis] += 1;
                if at[axis] < dims[axis] {
                    break;
                }
                at[axis] = 0;
            }
        }
        Table { dims: dims.to_vec(), index }
    }

    /// Axes in another order.
    pub fn transpose(&self, order: &[usize]) -> Self {
        let dims: Vec<usize> = order.iter().map(|&axis| self.dims[axis]).collect();
        self.gather(&dims, |at| {
            let mut source = vec![0; at.len()];
            order.iter().zip(at).for_each(|(&axis, &i)| source[axis] = i);
            Some(source)
        })
    }

    /// Along one axis these elements in this order.
    pub fn pick(&self, axis: usize, list: &[usize]) -> Self {
        let mut dims = self.dims.clone();
        dims[axis] = list.len();
        self.gather(&dims, |at| {
            let mut source = at.to_vec();
            source[axis] = list[at[axis]];
            Some(source)
        })
    }

    /// Repeated to a broadcast shape.
    pub fn expand(&self, dims: &[usize]) -> Self {
        let skip = dims.len() - self.dims.len();
        self.gather(dims, |at| {
            Some(self.dims.iter().zip(&at[skip..]).map(|(&size, &i)| if size == 1 { 0 } else { i }).collect())
        })
    }

    /// Joined along an axis.
    pub fn concat(parts: &[Table], axis: usize) -> Self {
        let mut dims = parts[0].dims.clone();
        dims[axis] = parts.iter().map(|part| part.dims[axis]).sum();
        let outer: usize = dims[..axis].iter().product();
        let mut index = Vec::with_capacity(dims.iter().product());
        for i in 0..outer {
            for part in parts {
                let size = part.index.len() / outer.max(1);
                index.extend_from_slice(&part.index[i * size..(i + 1) * size]);
            }
        }
        Table { dims, index }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_tables() {
        let table = Table::identity(&[2, 3], 0);
        assert_eq!(table.transpose(&[1, 0]).index, [0, 3, 1, 4, 2, 5]);
        assert_eq!(table.pick(1, &[2, 0]).index, [2, 0, 5, 3]);
        assert_eq!(Table::identity(&[2, 1], 0).expand(&[2, 2, 3]).index, [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1]);
        let joined = Table::concat(&[table, Table::identity(&[2, 1], 6)], 1);
        assert_eq!((joined.dims, joined.index), (vec![2, 4], vec![0, 1, 2, 6, 3, 4, 5, 7]));
        let padded =
            Table::identity(&[2], 0).gather(&[4], |at| at[0].checked_sub(1).filter(|&i| i < 2).map(|i| vec![i]));
        assert_eq!(padded.apply(&[7, 8], &0), [0, 7, 8, 0]);
    }
}
