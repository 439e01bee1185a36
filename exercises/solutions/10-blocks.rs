//! Exercise 10, chapter 4: Blocks
//!
//! Write a matrix product that works in tiles: a tile of results is made from a strip of rows of
//! `left` and a strip of columns of `right`, each packed so that it is read from start to end.
//! The sizes need not be multiples of the tile's.
//!
//! Reads of the operands are counted: `Matrix::at` is the only way to an element. The definition
//! reads each operand m·k·n times in all; yours may read no element of an operand more than
//! ⌈m/4⌉ + ⌈n/8⌉ times.

use std::cell::Cell;

/// A matrix that counts how often it is read.
pub struct Matrix {
    pub rows: usize,
    pub columns: usize,
    pub values: Vec<f32>,
    pub reads: Cell<usize>,
}

impl Matrix {
    pub fn at(&self, row: usize, column: usize) -> f32 {
        self.reads.set(self.reads.get() + 1);
        self.values[row * self.columns + column]
    }
}

/// left · right: [m, k] · [k, n], in row-major order.
pub fn product(left: &Matrix, right: &Matrix) -> Vec<f32> {
    let (m, k, n) = (left.rows, left.columns, right.columns);
    let mut out = vec![0.0; m * n];
    for i in (0..m).step_by(4) {
        let height = 4.min(m - i);
        let rows: Vec<f32> =
            (0..k).flat_map(|l| (i..i + height).map(move |row| left.at(row, l))).collect();
        for j in (0..n).step_by(8) {
            let width = 8.min(n - j);
            for l in 0..k {
                let strip: Vec<f32> = (j..j + width).map(|column| right.at(l, column)).collect();
                for row in 0..height {
                    let at = (i + row) * n + j;
                    for (out, b) in out[at..at + width].iter_mut().zip(&strip) {
                        *out += rows[l * height + row] * b;
                    }
                }
            }
        }
    }
    out
}
