//! The decision boundary of a model of points in the plane, as a picture.

use rung_autograd::Tensor;
use rung_autograd::rng::Phase;
use rung_models::{Classifier, Statistics};

use super::classes::mean_log_probs;
use crate::data::DeviceImages;
use crate::data::image_grid::{Images, Picture};
use crate::error::{Context, Result};
use crate::model::Model;
use crate::tasks::task::Request;

/// Width and height of the picture.
const SIDE: usize = 240;
/// Held-out points that are drawn into it.
const POINTS: usize = 400;
/// Red, green and blue of the classes, in turn.
const COLOURS: [[f32; 3]; 4] =
    [[0.12, 0.47, 0.71], [0.84, 0.37, 0.0], [0.17, 0.63, 0.17], [0.58, 0.4, 0.74]];
/// How much of a colour the plane has where its class is certain; the rest is white.
const FAINT: f32 = 0.35;

/// The plane around held-out points, coloured by (1/M) Σ_m q(y|x, a_m), with the points in the
/// colours of their classes; `None` for images that are no points in the plane.
///
/// # Errors
/// If the device fails.
pub(super) fn picture(
    classifier: &dyn Classifier,
    (model, statistics): (&Model, &Statistics),
    images: &DeviceImages,
    labels: &[u32],
) -> Result<Option<Picture>> {
    let doing = "drawing the decision boundary";
    if images.shape().values() != 2 {
        return Ok(None);
    }
    let count = POINTS.min(images.count());
    let points = images.expected(0, count).and_then(|points| points.to_f64()).context(doing)?;
    let plane = Plane::around(&points);
    let centres: Vec<f64> = (0..SIDE * SIDE).flat_map(|cell| plane.centre(cell)).collect();
    let (classes, samples) = (classifier.classes(), Request::FEW_CLASS_SAMPLES);
    let mut pixels = vec![1.0f32; 3 * SIDE * SIDE];
    let (device, dtype) = (images.device(), images.dtype());
    for (row, part) in centres.chunks(2 * SIDE).enumerate() {
        let x = Tensor::from_f64(device, part, [SIDE, 2]).and_then(|x| x.to_dtype(dtype));
        let range = row * SIDE..(row + 1) * SIDE;
        let mut pass =
            model.image_pass(statistics, (0, Phase::Evaluation), &range, 0).context(doing)?;
        let log_probs = x.and_then(|x| classifier.class_log_probs(&mut pass, &x, samples));
        let log_probs = log_probs.and_then(|log_probs| log_probs.to_f64()).context(doing)?;
        for (cell, rows) in range.zip(log_probs.chunks_exact(samples * classes)) {
            let probs = mean_log_probs(rows, classes);
            for channel in 0..3 {
                let colour = |(class, log): (usize, &f64)| {
                    log.exp() as f32 * COLOURS[class % COLOURS.len()][channel]
                };
                let mixed: f32 = probs.iter().enumerate().map(colour).sum();
                pixels[channel * SIDE * SIDE + cell] = 1.0 - FAINT + FAINT * mixed;
            }
        }
    }
    for (point, &label) in points.chunks_exact(2).zip(labels) {
        let Some(colour) = COLOURS.get(label as usize % COLOURS.len()) else { continue };
        if label as usize >= classes {
            continue;
        }
        for cell in plane.cells_at(point[0], point[1]) {
            for (channel, value) in colour.iter().enumerate() {
                pixels[channel * SIDE * SIDE + cell] = *value;
            }
        }
    }
    Images::new([1, 3, SIDE, SIDE], pixels)?.grid(1, 2).map(Some)
}

/// The square of the plane that is drawn.
struct Plane {
    left: f64,
    bottom: f64,
    side: f64,
}

impl Plane {
    /// A square around points, with a margin.
    fn around(points: &[f64]) -> Self {
        let ends = |axis: usize| {
            let values = || points.iter().skip(axis).step_by(2).copied();
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
        };
        let ((left, right), (bottom, top)) = (ends(0), ends(1));
        let side = 1.2 * (right - left).max(top - bottom).max(1e-6);
        let start = |low: f64, high: f64| f64::midpoint(low, high) - 0.5 * side;
        Self { left: start(left, right), bottom: start(bottom, top), side }
    }

    /// The middle of a cell of the picture, whose first row is at the top.
    fn centre(&self, cell: usize) -> [f64; 2] {
        let step = self.side / SIDE as f64;
        let (row, column) = (cell / SIDE, cell % SIDE);
        let up = (SIDE - 1 - row) as f64;
        [self.left + (column as f64 + 0.5) * step, self.bottom + (up + 0.5) * step]
    }

    /// The cells of a dot at a point.
    fn cells_at(&self, x: f64, y: f64) -> impl Iterator<Item = usize> {
        let step = self.side / SIDE as f64;
        let column = ((x - self.left) / step) as usize;
        let row = SIDE.saturating_sub(1 + ((y - self.bottom) / step) as usize);
        let near = move |(down, right): (usize, usize)| {
            let (row, column) = (row + down, column + right);
            (row < SIDE && column < SIDE).then_some(row * SIDE + column)
        };
        [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().filter_map(near)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_drawn_in_the_cell_around_it() {
        let plane = Plane::around(&[0.0, 1.0, 3.0, 2.0]);
        assert!((plane.side - 3.6).abs() < 1e-12);
        for cell in [0, 17, SIDE * SIDE / 2 + 5, SIDE * SIDE - 1] {
            let [x, y] = plane.centre(cell);
            assert_eq!(plane.cells_at(x, y).next(), Some(cell));
        }
        let [_, top] = plane.centre(0);
        let [_, bottom] = plane.centre(SIDE * SIDE - 1);
        assert!(top > bottom);
    }
}
