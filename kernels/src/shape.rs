//! Shapes of contiguous, row-major arrays, and how an operation sees them: along an axis, or
//! broadcast.

use std::fmt;

/// The most axes a shape can have.
pub const MAX_RANK: usize = 6;

/// The sizes of an array's axes, outermost first. A scalar has no axes and one element.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    sizes: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// The shape of a scalar: no axes, one element.
    pub const SCALAR: Self = Self { sizes: [1; MAX_RANK], rank: 0 };

    /// A shape from its axis sizes, or `None` if there are more than [`MAX_RANK`].
    #[must_use]
    pub fn from_slice(sizes: &[usize]) -> Option<Self> {
        if sizes.len() > MAX_RANK {
            return None;
        }
        let mut shape = Self { sizes: [1; MAX_RANK], rank: sizes.len() };
        shape.sizes[..sizes.len()].copy_from_slice(sizes);
        Some(shape)
    }

    /// The axis sizes, outermost first.
    #[must_use]
    pub fn sizes(&self) -> &[usize] {
        &self.sizes[..self.rank]
    }

    /// How many axes there are.
    #[must_use]
    pub const fn rank(&self) -> usize {
        self.rank
    }

    /// How many elements there are: the product of the sizes.
    #[must_use]
    pub fn element_count(&self) -> usize {
        self.sizes().iter().product()
    }

    /// Size of the last axis; 1 for a scalar.
    #[must_use]
    pub fn last(&self) -> usize {
        self.sizes().last().copied().unwrap_or(1)
    }

    /// The array seen as a matrix: all axes but the last are rows, the last is the columns.
    #[must_use]
    pub fn as_matrix(&self) -> (usize, usize) {
        let leading = self.rank.saturating_sub(1);
        (self.sizes[..leading].iter().product(), self.last())
    }

    /// The sizes before, at and after `axis`, or `None` if there is no such axis.
    #[must_use]
    pub fn around(&self, axis: usize) -> Option<AxisExtent> {
        (axis < self.rank).then(|| AxisExtent {
            outer: self.sizes[..axis].iter().product(),
            axis: self.sizes[axis],
            inner: self.sizes[axis + 1..self.rank].iter().product(),
        })
    }

    /// The same shape with `axis` of another size.
    #[must_use]
    pub fn with_axis(mut self, axis: usize, size: usize) -> Self {
        assert!(axis < self.rank, "bug: axis {axis} of {self:?}; please report it");
        self.sizes[axis] = size;
        self
    }

    /// The shape without `axis`.
    #[must_use]
    pub fn without_axis(mut self, axis: usize) -> Self {
        assert!(axis < self.rank, "bug: axis {axis} of {self:?}; please report it");
        self.sizes.copy_within(axis + 1.., axis);
        self.sizes[self.rank - 1] = 1;
        self.rank -= 1;
        self
    }

    /// The shape two arrays broadcast to: axes are aligned at the last; sizes agree or one of them
    /// is 1.
    #[must_use]
    pub fn broadcast(&self, other: &Self) -> Option<Self> {
        let rank = self.rank.max(other.rank);
        let mut out = Self { sizes: [1; MAX_RANK], rank };
        for from_last in 1..=rank {
            out.sizes[rank - from_last] =
                match (self.from_last(from_last), other.from_last(from_last)) {
                    (a, b) if a == b => a,
                    (1, b) => b,
                    (a, 1) => a,
                    _ => return None,
                };
        }
        Some(out)
    }

    /// Size of the `n`-th axis counted from the last (1 is the last); 1 where there is none.
    #[must_use]
    pub fn from_last(&self, n: usize) -> usize {
        if n <= self.rank { self.sizes[self.rank - n] } else { 1 }
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(sizes: [usize; N]) -> Self {
        const { assert!(N <= MAX_RANK, "a shape has at most MAX_RANK axes") };
        Self::from_slice(&sizes).unwrap_or(Self::SCALAR)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.sizes(), f)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An array seen along one axis: element `(o, a, i)` lies at `(o · axis + a) · inner + i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AxisExtent {
    /// Product of the sizes before the axis.
    pub outer: usize,
    /// Size of the axis.
    pub axis: usize,
    /// Product of the sizes after the axis.
    pub inner: usize,
}

/// How two arrays are read while a third, of the broadcast shape, is written: a stride of 0 repeats
/// an element.
///
/// Neighbouring axes that both operands walk alike are joined, so most broadcasts have one or two
/// axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// Sizes of the joined axes of the result; unused leading axes have size 1.
    pub sizes: [usize; MAX_RANK],
    /// Distance in elements between neighbours along each axis of the left operand; 0 where it is
    /// repeated.
    pub left_strides: [usize; MAX_RANK],
    /// The same for the right operand.
    pub right_strides: [usize; MAX_RANK],
}

impl Broadcast {
    /// The walk for two shapes, or `None` if they do not broadcast.
    #[must_use]
    pub fn new(left: &Shape, right: &Shape) -> Option<Self> {
        let out = left.broadcast(right)?;
        let mut walk = Self {
            sizes: [1; MAX_RANK],
            left_strides: [0; MAX_RANK],
            right_strides: [0; MAX_RANK],
        };
        let (mut at, mut left_stride, mut right_stride) = (MAX_RANK, 1, 1);
        for n in 1..=out.rank() {
            let (size, l, r) = (out.from_last(n), left.from_last(n), right.from_last(n));
            if size == 1 {
                continue;
            }
            let strides =
                (if l == 1 { 0 } else { left_stride }, if r == 1 { 0 } else { right_stride });
            let joins = at < MAX_RANK
                && strides.0 == walk.left_strides[at] * walk.sizes[at]
                && strides.1 == walk.right_strides[at] * walk.sizes[at]
                && (strides.0 == 0) == (walk.left_strides[at] == 0)
                && (strides.1 == 0) == (walk.right_strides[at] == 0);
            if joins {
                walk.sizes[at] *= size;
            } else {
                at -= 1;
                walk.sizes[at] = size;
                (walk.left_strides[at], walk.right_strides[at]) = strides;
            }
            left_stride *= l;
            right_stride *= r;
        }
        Some(walk)
    }

    /// Elements of the result.
    #[must_use]
    pub fn element_count(&self) -> usize {
        self.sizes.iter().product()
    }
}

/// A rectangle copied between two arrays seen as matrices: the primitive under slicing and
/// concatenation.
///
/// out[r · to_stride + to_offset + c] = x[r · from_stride + from_offset + c],  r < rows, c < width
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Rows copied.
    pub rows: usize,
    /// Elements copied of each row.
    pub width: usize,
    /// Elements from a row of the source to the next.
    pub from_stride: usize,
    /// First element copied of a source row.
    pub from_offset: usize,
    /// Elements from a row of the destination to the next.
    pub to_stride: usize,
    /// First element written of a destination row.
    pub to_offset: usize,
}

/// Rows and columns of a matrix, or of several alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Rows: for models, examples times samples.
    pub rows: usize,
    /// Columns: for models, units or pixels.
    pub columns: usize,
}

impl Matrix {
    /// Elements of the matrix.
    #[must_use]
    pub const fn element_count(self) -> usize {
        self.rows * self.columns
    }

    /// Two matrices of these sizes side by side.
    pub(crate) const fn both_halves(self) -> Self {
        Self { rows: self.rows, columns: self.columns.saturating_mul(2) }
    }
}

/// op(left) · op(right), where op transposes the stored matrix if its flag is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatmulShape {
    /// Rows of the product, `m`.
    pub rows: usize,
    /// Columns of the product, `n`.
    pub columns: usize,
    /// The inner dimension, `k`: the length of the sum behind each element.
    pub inner: usize,
    /// The left matrix is stored `[inner, rows]` instead of `[rows, inner]`.
    pub left_transposed: bool,
    /// The right matrix is stored `[columns, inner]` instead of `[inner, columns]`.
    pub right_transposed: bool,
}

impl MatmulShape {
    /// The product of matrices that are stored as they are multiplied.
    pub fn plain(rows: usize, columns: usize, inner: usize) -> Self {
        Self { rows, columns, inner, left_transposed: false, right_transposed: false }
    }

    /// Multiply-adds of the product.
    pub fn multiply_adds(&self) -> usize {
        self.rows * self.columns * self.inner
    }

    /// Elements of the left matrix.
    pub fn left_len(&self) -> usize {
        self.rows * self.inner
    }

    /// Elements of the right matrix.
    pub fn right_len(&self) -> usize {
        self.inner * self.columns
    }

    /// Elements of the product.
    pub fn out_len(&self) -> usize {
        self.rows * self.columns
    }
}

/// How a product of `f32` matrices rounds its operands. One of `f64` takes them as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Not at all.
    #[default]
    Full,
    /// To bfloat16: to the nearest of numbers with 8 significant bits and the exponents of `f32`,
    /// ties to even. Products of two are exact in `f32`, in which sums are added, but for numbers
    /// below 2⁻¹²⁶, which count as 0. A left matrix of zeros and ones may be multiplied exactly.
    BFloat16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_aligns_the_last_axes() {
        let shape = |sizes: &[usize]| Shape::from_slice(sizes).unwrap();
        assert_eq!(shape(&[4, 1, 3]).broadcast(&shape(&[5, 1])), Some(shape(&[4, 5, 3])));
        assert_eq!(shape(&[2, 3]).broadcast(&shape(&[2])), None);
        assert_eq!(Shape::SCALAR.broadcast(&shape(&[0, 2])), Some(shape(&[0, 2])));
    }

    #[test]
    fn equal_shapes_join_into_one_axis() {
        let walk = Broadcast::new(&[3, 4, 5].into(), &[3, 4, 5].into()).unwrap();
        assert_eq!(walk.sizes, [1, 1, 1, 1, 1, 60]);
        assert_eq!((walk.left_strides[5], walk.right_strides[5]), (1, 1));
    }

    #[test]
    fn a_row_vector_repeats_down_the_rows() {
        let walk = Broadcast::new(&[3, 4, 5].into(), &[5].into()).unwrap();
        assert_eq!(walk.sizes, [1, 1, 1, 1, 12, 5]);
        assert_eq!((walk.left_strides[4], walk.right_strides[4]), (5, 0));
    }

    #[test]
    fn a_middle_axis_is_seen_between_outer_and_inner() {
        let extent = Shape::from([2, 3, 4]).around(1).unwrap();
        assert_eq!((extent.outer, extent.axis, extent.inner), (2, 3, 4));
        assert!(Shape::from([2]).around(1).is_none());
    }
}
