//! Exercise 05, chapter 2: Broadcasting backwards
//!
//! A row b of `columns` numbers is added to every row of a matrix. Given the adjoint of the sum,
//! find those of both operands; and the adjoints of a column c that is multiplied with every
//! column of a matrix.

/// A matrix: rows, columns, elements in row-major order.
pub struct Matrix {
    pub rows: usize,
    pub columns: usize,
    pub values: Vec<f64>,
}

/// For out[r, c] = x[r, c] + b[c]: the adjoint of b, from that of `out`.
pub fn of_added_row(grad_out: &Matrix) -> Vec<f64> {
    grad_out.values[..grad_out.columns].to_vec()
}

/// For out[r, c] = x[r, c] · s[r]: the adjoints of x and of s.
pub fn of_scaled_rows(x: &Matrix, s: &[f64], grad_out: &Matrix) -> (Vec<f64>, Vec<f64>) {
    (x.values.clone(), s.to_vec())
}
