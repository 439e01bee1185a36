//! Exercise 05, chapter 2: Broadcasting backwards
//!
//! A row b of `columns` numbers is added to every row of a matrix. Given the adjoint of the sum,
//! find that of the row; and, for a column s of as many numbers as a matrix has rows, each of which
//! is multiplied with its row, the adjoints of both.

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
