//! Exercise 22, chapter 14: A glimpse with a gradient
//!
//! A glimpse reads an image, one row of pixels here, at positions between pixels. Write the value
//! and its derivative by the position and by the pixels.

/// The value at `x` by linear interpolation, with zeros beyond the row, its derivative by x, and
/// its derivative by each pixel. `x` is not a whole number.
pub fn glimpse(row: &[f64], x: f64) -> (f64, f64, Vec<f64>) {
    let mut by_pixel = vec![0.0; row.len()];
    let left = x.floor();
    let share = x - left;
    let pixel = |place: f64| {
        if place >= 0.0 { row.get(place as usize).copied().unwrap_or(0.0) } else { 0.0 }
    };
    for (place, weight) in [(left, 1.0 - share), (left + 1.0, share)] {
        if place >= 0.0
            && let Some(by_pixel) = by_pixel.get_mut(place as usize)
        {
            *by_pixel = weight;
        }
    }
    let (a, b) = (pixel(left), pixel(left + 1.0));
    ((1.0 - share) * a + share * b, b - a, by_pixel)
}
