//! Exercise 22, chapter 14: A glimpse with a gradient
//!
//! A glimpse reads an image, one row of pixels here, at positions between pixels. Write the value
//! and its derivative by the position and by the pixels.

/// The value at `x` by linear interpolation, with zeros beyond the row, its derivative by x, and
/// its derivative by each pixel. `x` is not a whole number.
pub fn glimpse(row: &[f64], x: f64) -> (f64, f64, Vec<f64>) {
    let mut by_pixel = vec![0.0; row.len()];
    (row[x.clamp(0.0, row.len() as f64 - 1.0) as usize], 0.0, by_pixel)
}
