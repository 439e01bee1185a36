//! Chapter 14: looking where it matters.

use rung_autograd::rng::{Address, normal_at};
use rung_autograd::{Outside, Tape, Tensor};
use rung_datasets::glyphs;

use crate::{Result, cpu};

// ANCHOR: bilinear
/// The image's value at a position between pixels: the four around it, weighted by nearness.
fn bilinear(image: &[f64], width: usize, x: f64, y: f64) -> f64 {
    let height = image.len() / width;
    let mut value = 0.0;
    for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let (at_x, at_y) = (x.floor() + f64::from(column), y.floor() + f64::from(row));
        let inside = at_x >= 0.0 && at_y >= 0.0 && at_x < width as f64 && at_y < height as f64;
        if inside {
            let weight = (1.0 - (x - at_x).abs()) * (1.0 - (y - at_y).abs());
            value += weight * image[at_y as usize * width + at_x as usize];
        }
    }
    value
}

/// Prints values between the pixels of a 2×2 image.
pub fn between() -> Result<()> {
    let image = [1.0, 3.0, 5.0, 7.0];
    for (x, y) in [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (1.0, 0.25), (1.5, 1.0)] {
        println!("({x}, {y}): {}", bilinear(&image, 2, x, y));
    }
    Ok(())
}
// ANCHOR_END: bilinear

// ANCHOR: canvas
const CANVAS: usize = 56;
const SIDE: usize = 28;

/// A canvas with one glyph on it, blurred so that it can be found from afar, and the glyph.
fn canvas(left: usize, top: usize) -> (Vec<f64>, Vec<f64>) {
    let (glyph, _) = glyphs::glyph(1, 3);
    let glyph: Vec<f64> = glyph.iter().map(|&grey| f64::from(grey) / 255.0).collect();
    let mut canvas = vec![0.0; CANVAS * CANVAS];
    for (n, grey) in glyph.iter().enumerate() {
        canvas[(top + n / SIDE) * CANVAS + left + n % SIDE] = *grey;
    }
    let twice = |image: &[f64], width| blurred(&blurred(image, width), width);
    (twice(&canvas, CANVAS), twice(&glyph, SIDE))
}

/// Each pixel becomes the mean of those within three rows and columns of it.
fn blurred(image: &[f64], width: usize) -> Vec<f64> {
    let height = image.len() / width;
    let mean = |n: usize| {
        let (row, column) = (n / width, n % width);
        let mut sum = 0.0;
        for y in row.saturating_sub(3)..(row + 4).min(height) {
            for x in column.saturating_sub(3)..(column + 4).min(width) {
                sum += image[y * width + x];
            }
        }
        sum / 49.0
    };
    (0..image.len()).map(mean).collect()
}
// ANCHOR_END: canvas

// ANCHOR: find
/// Prints where a glimpse looks while gradient descent moves it until it shows the glyph.
pub fn find() -> Result<()> {
    let (left, top) = (18, 9);
    let (canvas, glyph) = canvas(left, top);
    let image = Tensor::from_f64(&cpu(), &canvas, [1, CANVAS, CANVAS, 1])?;
    let wanted = Tensor::from_f64(&cpu(), &glyph, [1, SIDE, SIDE, 1])?;
    // θ = (s, 0, t_x, 0, s, t_y): a window of half the canvas's size, at first in the middle.
    let scale = (SIDE - 1) as f64 / (CANVAS - 1) as f64;
    let mut at = [0.0, 0.0];
    let tape = Tape::new();
    for step in 0..=80 {
        let theta = [scale, 0.0, at[0], 0.0, scale, at[1]];
        let theta = tape.variable(&Tensor::from_f64(&cpu(), &theta, [1, 6])?)?;
        let glimpse = image.spatial_transform(&theta, [SIDE, SIDE], Outside::Zeros)?;
        let loss = glimpse.sub(&wanted)?.square()?.sum_all()?;
        if step % 20 == 0 {
            // The window's left upper corner in pixels, from its centre in [−1, 1].
            let corner =
                at.map(|t| (t + 1.0) / 2.0 * (CANVAS - 1) as f64 - (SIDE - 1) as f64 / 2.0);
            println!(
                "step {step:3}: corner at ({:5.2}, {:5.2}), error {:.4}",
                corner[0],
                corner[1],
                loss.to_scalar()?
            );
        }
        let gradient = tape.backward(&loss)?.of(&theta)?.to_f64()?;
        at = [at[0] - 0.0002 * gradient[2], at[1] - 0.0002 * gradient[5]];
    }
    println!("the glyph lies at ({left}, {top})");
    Ok(())
}
// ANCHOR_END: find

// ANCHOR: gru
/// A gated recurrent unit (Cho et al. 2014) with one number as its state.
fn gru(x: f64, h: f64, [update, reset, candidate]: [[f64; 3]; 3]) -> f64 {
    let sigmoid = |a: f64| 1.0 / (1.0 + (-a).exp());
    let affine = |[w, u, b]: [f64; 3], h: f64| w * x + u * h + b;
    let u = sigmoid(affine(update, h));
    let r = sigmoid(affine(reset, h));
    (1.0 - u) * h + u * affine(candidate, r * h).tanh()
}

/// Prints how much of a first input is left in the state after some steps of noise.
pub fn memory() -> Result<()> {
    let noise = |n| 0.5 * normal_at(&Address::new(1, 0, 0), n);
    let after = |first: f64, bias: f64, steps: usize| {
        let weights = [[8.0, 0.0, bias], [0.0, 0.0, 2.0], [1.0, 0.0, 0.0]];
        (0..steps).fold(gru(first, 0.0, weights), |h, n| gru(noise(n), h, weights))
    };
    println!("steps   gate mostly open   gate mostly closed");
    for steps in [0, 1, 5, 20] {
        let difference = |bias| after(2.0, bias, steps) - after(1.0, bias, steps);
        println!("{steps:5}   {:16.4}   {:18.4}", difference(0.0), difference(-12.0));
    }
    Ok(())
}
// ANCHOR_END: gru
