//! Exercise 04, chapter 2: Broadcasting
//!
//! Two arrays, each a shape and its elements in row-major order, are to be added element by
//! element. Shapes are aligned at their right ends; where one array has the size 1, or no axis at
//! all, its elements are used again for every index of the other.

/// The shape of the sum, or `None` if the sizes of an axis differ and neither is 1.
pub fn broadcast_shape(left: &[usize], right: &[usize]) -> Option<Vec<usize>> {
    (left == right).then(|| left.to_vec())
}

/// The elements of `left + right`, in row-major order; the shapes fit.
pub fn add(left: (&[usize], &[f64]), right: (&[usize], &[f64])) -> Vec<f64> {
    left.1.iter().zip(right.1).map(|(left, right)| left + right).collect()
}
