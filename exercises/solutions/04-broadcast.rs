//! Exercise 04, chapter 2: Broadcasting
//!
//! Two arrays, each a shape and its elements in row-major order, are to be added element by
//! element. Shapes are aligned at their right ends; where one array has the size 1, or no axis at
//! all, its elements are used again for every index of the other.

/// The shape of the sum, or `None` if the sizes of an axis differ and neither is 1.
pub fn broadcast_shape(left: &[usize], right: &[usize]) -> Option<Vec<usize>> {
    let rank = left.len().max(right.len());
    let size = |shape: &[usize], axis: usize| {
        (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis])
    };
    (0..rank)
        .map(|axis| match (size(left, axis), size(right, axis)) {
            (1, size) | (size, 1) => Some(size),
            (left, right) => (left == right).then_some(left),
        })
        .collect()
}

/// The elements of `left + right`, in row-major order; the shapes fit.
pub fn add(left: (&[usize], &[f64]), right: (&[usize], &[f64])) -> Vec<f64> {
    let Some(shape) = broadcast_shape(left.0, right.0) else { return vec![] };
    let element = |(sizes, values): (&[usize], &[f64]), mut index: usize| {
        let (mut place, mut stride) = (0, 1);
        for axis in (0..shape.len()).rev() {
            let (at, skipped) = (index % shape[axis], shape.len() - sizes.len());
            index /= shape[axis];
            if axis >= skipped {
                place += stride * (at % sizes[axis - skipped]);
                stride *= sizes[axis - skipped];
            }
        }
        values[place]
    };
    (0..shape.iter().product()).map(|index| element(left, index) + element(right, index)).collect()
}
