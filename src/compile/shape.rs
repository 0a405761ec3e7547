//! Shapes in which one size, the number of candidates, is not known at compile, and whole numbers that depend on it.
//!
//! Wherever the candidates' axis stands in ONNX's shape, in the plan's memory it comes first: a value of the shape
//! `[8, N, 4]` lies as N rows of `[8, 4]`. So operators that move that axis about move nothing.

use super::constant::{Constant, Elem, Values};

/// One dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dim {
    /// A size.
    Fixed(usize),
    /// The candidates, joined by a Reshape with `before` positions outside and `after` inside of each.
    Rows { before: usize, after: usize },
}

impl Dim {
    /// The candidates alone.
    pub const N: Dim = Dim::Rows { before: 1, after: 1 };

    /// Positions in one candidate's row.
    pub fn inner(self) -> usize {
        match self {
            Dim::Fixed(size) => size,
            Dim::Rows { before, after } => before.saturating_mul(after),
        }
    }

    /// Whether the candidates are in it.
    pub fn is_rows(self) -> bool {
        matches!(self, Dim::Rows { .. })
    }

    /// As a whole number.
    pub fn size(self) -> Size {
        match self {
            Dim::Fixed(size) => Size { each: 0, fixed: size as i64 },
            Dim::Rows { .. } => Size { each: self.inner() as i64, fixed: 0 },
        }
    }
}

/// Sizes inside a row, the candidates' dimensions as what is joined to them.
pub(super) fn inner(shape: &[Dim]) -> Vec<usize> {
    shape.iter().map(|dim| dim.inner()).collect()
}

/// Elements of a row. A graph may ask for more than can be counted, which no value has: then it is the largest number.
pub(super) fn width(shape: &[Dim]) -> usize {
    shape.iter().fold(1, |all, dim| all.saturating_mul(dim.inner()))
}

/// In how many dimensions the candidates are.
pub(super) fn candidates(shape: &[Dim]) -> usize {
    shape.iter().filter(|dim| dim.is_rows()).count()
}

/// Where the candidates are.
pub(super) fn rows_axis(shape: &[Dim]) -> Option<usize> {
    shape.iter().position(|dim| dim.is_rows())
}

/// The elements before and behind the second candidates' dimension of pairs.
pub(super) fn around_second(shape: &[Dim]) -> (usize, usize) {
    let first = rows_axis(shape).unwrap_or(0);
    let second = shape.iter().skip(first + 1).position(|dim| dim.is_rows()).map_or(first, |at| first + 1 + at);
    (width(&shape[..second]), width(&shape[second + 1..]))
}

/// All sizes known.
pub(super) fn fixed(shape: &[Dim]) -> Option<Vec<usize>> {
    shape.iter().map(|dim| if let Dim::Fixed(size) = dim { Some(*size) } else { None }).collect()
}

/// A shape of known sizes.
pub(super) fn of_sizes(sizes: &[usize]) -> Vec<Dim> {
    sizes.iter().map(|&size| Dim::Fixed(size)).collect()
}

/// Elements of a row at most, wherever a graph makes more of fewer: a bundle holds no more, and a few bytes of a file ask for any number.
const MAX_ELEMENTS: usize = 1 << 26;

/// Whether the elements of a row are so few that a table of them can be made; how many they are.
pub(super) fn fits(inner: &[usize]) -> Result<usize, String> {
    let count = inner.iter().try_fold(1_usize, |n, &size| n.checked_mul(size)).filter(|&n| n <= MAX_ELEMENTS);
    count.ok_or_else(|| format!("more than {MAX_ELEMENTS} elements"))
}

/// ONNX's broadcast of two shapes.
pub(super) fn joint(a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, String> {
    let rank = a.len().max(b.len());
    let shape = (0..rank)
        .map(|axis| {
            let dim = |s: &[Dim]| (axis + s.len()).checked_sub(rank).map_or(Dim::Fixed(1), |i| s[i]);
            match (dim(a), dim(b)) {
                (a, b) if a == b || b == Dim::Fixed(1) => Ok(a),
                (Dim::Fixed(1), b) => Ok(b),
                _ => Err(format!("the shapes {} and {} do not broadcast", text(a), text(b))),
            }
        })
        .collect::<Result<Vec<Dim>, String>>()?;
    fits(&inner(&shape))?;
    Ok(shape)
}

/// For messages.
pub(super) fn text(shape: &[Dim]) -> String {
    let one = |dim: &Dim| match *dim {
        Dim::Fixed(size) => size.to_string(),
        Dim::N => "N".to_owned(),
        Dim::Rows { .. } => format!("{}N", dim.inner()),
    };
    format!("[{}]", shape.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// An axis counted from the front.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let from_front = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(from_front)
        .ok()
        .filter(|&a| a < rank)
        .ok_or_else(|| format!("axis {axis} of a value of rank {rank}"))
}

/// A whole number `each * N + fixed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub each: i64,
    pub fixed: i64,
}

impl Size {
    /// Without the candidates.
    pub fn known(self) -> Option<i64> {
        (self.each == 0).then_some(self.fixed)
    }
}

/// Whole numbers that depend on the number of candidates, as `Shape` gives them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sizes {
    pub elem: Elem,
    pub dims: Vec<usize>,
    pub list: Vec<Size>,
}

impl Sizes {
    /// The same as a constant, if none depends on the candidates.
    pub fn constant(&self) -> Option<Constant> {
        let values: Option<Vec<i64>> = self.list.iter().map(|size| size.known()).collect();
        Some(Constant { elem: self.elem, dims: self.dims.clone(), values: Values::Int(values?) })
    }

    /// Of constants.
    pub fn of(constant: &Constant) -> Option<Self> {
        let list = constant.ints().ok()?.iter().map(|&fixed| Size { each: 0, fixed }).collect();
        Some(Sizes { elem: constant.elem, dims: constant.dims.clone(), list })
    }
}

/// The dimensions that a value of the shape `from` has in the shape `sizes` (all given, no -1 or 0 left): the same
/// elements in the same order.
pub(super) fn reshape(from: &[Dim], sizes: &[Size]) -> Result<Vec<Dim>, String> {
    let mixed = || format!("it cannot be split or joined from {} without mixing candidates", text(from));
    match candidates(from) {
        0 => {
            let known: Option<Vec<i64>> = sizes.iter().map(|size| size.known()).collect();
            let known = known.ok_or_else(mixed)?;
            let shape: Vec<Dim> = known.iter().map(|&size| Dim::Fixed(size.max(0) as usize)).collect();
            if width(&shape) == width(from) {
                Ok(shape)
            } else {
                Err(format!("{} elements do not fill {}", width(from), text(&shape)))
            }
        }
        1 => {
            let at = rows_axis(from).unwrap_or(0);
            let Dim::Rows { before, after } = from[at] else { return Err(mixed()) };
            let outside = width(&from[..at]).saturating_mul(before);
            let inside = width(&from[at + 1..]).saturating_mul(after);
            let place = sizes.iter().position(|size| size.each != 0).ok_or_else(mixed)?;
            let known = |list: &[Size]| -> Result<Vec<Dim>, String> {
                let size = |s: &Size| s.known().and_then(|size| usize::try_from(size).ok());
                list.iter().map(|s| size(s).map(Dim::Fixed).ok_or_else(mixed)).collect()
            };
            let (mut shape, behind) = (known(&sizes[..place])?, known(&sizes[place + 1..])?);
            let joined = sizes[place];
            // What stands outside of the candidates must go on standing there, in this dimension or before it.
            let leading = width(&shape).max(1);
            let (before, rest) = (outside / leading, outside % leading);
            let each = usize::try_from(joined.each).unwrap_or(0);
            if rest != 0 || joined.fixed != 0 || before == 0 || each % before != 0 {
                return Err(mixed());
            }
            let after = each / before;
            if after.saturating_mul(width(&behind)) != inside {
                return Err(mixed());
            }
            shape.push(Dim::Rows { before, after });
            shape.extend(behind);
            Ok(shape)
        }
        _ => {
            // Pairs: only dimensions of 1 come and go.
            let plain: Vec<Size> = from.iter().map(|dim| dim.size()).filter(|s| s.known() != Some(1)).collect();
            let wanted: Vec<Size> = sizes.iter().copied().filter(|s| s.known() != Some(1)).collect();
            if plain != wanted {
                return Err(mixed());
            }
            let mut dims = from.iter().filter(|dim| **dim != Dim::Fixed(1));
            sizes
                .iter()
                .map(|s| if s.known() == Some(1) { Ok(Dim::Fixed(1)) } else { dims.next().copied().ok_or_else(mixed) })
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_few_bytes_ask_for_is_bounded() {
        let [wide, tall] = [[Dim::Fixed(1), Dim::Fixed(1 << 20)], [Dim::Fixed(1 << 20), Dim::Fixed(1)]];
        assert_eq!(joint(&wide, &[Dim::Fixed(64), Dim::Fixed(1)]).map(|shape| width(&shape)), Ok(1 << 26));
        assert!(joint(&wide, &tall).is_err_and(|e| e.contains("elements")));
        assert!(fits(&[usize::MAX, 2]).is_err() && fits(&[1 << 40]).is_err());
        assert_eq!(fits(&[3, 0, 5]), Ok(0));
    }

    fn n(each: i64) -> Size {
        Size { each, fixed: 0 }
    }
    fn k(fixed: i64) -> Size {
        Size { each: 0, fixed }
    }

    #[test]
    fn the_candidates_keep_their_neighbours_through_a_reshape() {
        let from = [Dim::N, Dim::Fixed(8), Dim::Fixed(4)];
        let joined = reshape(&from, &[n(8), k(4)]).unwrap();
        assert_eq!(joined, [Dim::Rows { before: 1, after: 8 }, Dim::Fixed(4)]);
        assert_eq!(reshape(&joined, &[n(1), k(8), k(2), k(2)]).unwrap()[1..], of_sizes(&[8, 2, 2]));
        let later = [Dim::Fixed(3), Dim::N, Dim::Fixed(4)];
        assert_eq!(reshape(&later, &[n(3), k(4)]).unwrap(), [Dim::Rows { before: 3, after: 1 }, Dim::Fixed(4)]);
        assert_eq!(reshape(&later, &[k(3), n(2), k(2)]).unwrap()[1], Dim::Rows { before: 1, after: 2 });
        assert!(reshape(&later, &[n(1), k(12)]).is_err(), "that would interleave candidates");
        assert!(reshape(&from, &[k(4), n(8)]).is_err());
    }

    #[test]
    fn a_shape_of_more_than_can_be_counted_is_refused() {
        let huge = [k(i64::MAX), k(i64::MAX), k(i64::MAX)];
        assert!(reshape(&of_sizes(&[2, 3]), &huge).is_err());
        assert!(reshape(&[Dim::N, Dim::Fixed(6)], &[&[n(1)], &huge[..]].concat()).is_err());
        assert!(reshape(&[Dim::N, Dim::Fixed(6)], &[n(1), k(-1), k(-6)]).is_err(), "two sizes are left open");
        assert_eq!(width(&of_sizes(&[usize::MAX, 2])), usize::MAX);
        assert_eq!(Dim::Rows { before: usize::MAX, after: 2 }.inner(), usize::MAX);
    }

    #[test]
    fn shapes_broadcast_as_onnx_says() {
        let a = [Dim::N, Dim::Fixed(1), Dim::Fixed(4)];
        assert_eq!(joint(&a, &of_sizes(&[3, 1])).unwrap(), [Dim::N, Dim::Fixed(3), Dim::Fixed(4)]);
        assert!(joint(&a, &of_sizes(&[2, 1, 1])).is_err(), "a fixed size never meets the candidates");
    }
}
