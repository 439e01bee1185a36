//! The pen: paths of ink to pixels, with soft edges, centred as MNIST is.

use super::hand::Ink;
use super::{PIXELS, SIDE};

/// The canvas is larger than the image, so that centring can move the drawing without cutting it.
const CANVAS: usize = 40;
const MIDDLE: f32 = CANVAS as f32 / 2.0;
/// How far the edge of a line is spread, in pixels: scanned and shrunk ink has edges of about this
/// softness.
const SOFTNESS: f32 = 1.05;

/// The pixels of a drawing whose centre of mass is the centre of the image (to the nearest pixel,
/// as in MNIST).
pub(super) fn draw(strokes: &[Vec<Ink>]) -> [u8; PIXELS] {
    let mut canvas = [0.0f32; CANVAS * CANVAS];
    // Once around the path's middle, to know where the ink lies; MNIST centres the ink, not the
    // box.
    let (x, y) = middle(strokes);
    for stroke in strokes {
        for pair in stroke.windows(2) {
            capsule(&mut canvas, shifted(pair[0], x, y), shifted(pair[1], x, y));
        }
    }
    let (mass_x, mass_y) = centre_of_mass(&canvas);
    let corner =
        |mass: f32| ((mass - SIDE as f32 / 2.0).round().max(0.0) as usize).min(CANVAS - SIDE);
    let (left, top) = (corner(mass_x), corner(mass_y));
    let mut image = [0; PIXELS];
    for (row, line) in image.chunks_exact_mut(SIDE).enumerate() {
        let start = (top + row) * CANVAS + left;
        for (pixel, &ink) in line.iter_mut().zip(&canvas[start..start + SIDE]) {
            *pixel = (ink * 255.0 + 0.5) as u8;
        }
    }
    image
}

fn shifted(ink: Ink, x: f32, y: f32) -> Ink {
    Ink { x: ink.x - x + MIDDLE, y: ink.y - y + MIDDLE, ..ink }
}

/// The middle of the path's bounding box.
fn middle(strokes: &[Vec<Ink>]) -> (f32, f32) {
    let span = |coordinate: fn(&Ink) -> f32| {
        let values = strokes.iter().flatten().map(coordinate);
        let (low, high) =
            values.fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(v), high.max(v)));
        (low + high) / 2.0
    };
    (span(|ink| ink.x), span(|ink| ink.y))
}

/// Inks a line with round ends whose half width runs from one end's to the other's.
fn capsule(canvas: &mut [f32; CANVAS * CANVAS], from: Ink, to: Ink) {
    let reach = from.radius.max(to.radius) + SOFTNESS;
    let cells = |a: f32, b: f32| {
        let first = (a.min(b) - reach).floor().max(0.0) as usize;
        let last = ((a.max(b) + reach).ceil().max(0.0) as usize).min(CANVAS);
        first..last
    };
    let (dx, dy) = (to.x - from.x, to.y - from.y);
    let inverse = 1.0 / (dx * dx + dy * dy).max(1e-9);
    for row in cells(from.y, to.y) {
        for column in cells(from.x, to.x) {
            let (px, py) = (column as f32 + 0.5 - from.x, row as f32 + 0.5 - from.y);
            let t = ((px * dx + py * dy) * inverse).clamp(0.0, 1.0);
            let (away_x, away_y) = (px - t * dx, py - t * dy);
            let distance = (away_x * away_x + away_y * away_y).sqrt();
            let radius = from.radius + t * (to.radius - from.radius);
            let cover = ((radius - distance) / SOFTNESS + 0.5).clamp(0.0, 1.0);
            let ink = &mut canvas[row * CANVAS + column];
            *ink = ink.max(cover);
        }
    }
}

fn centre_of_mass(canvas: &[f32]) -> (f32, f32) {
    let (mut mass, mut x, mut y) = (1e-9, 0.0, 0.0);
    for (cell, &ink) in canvas.iter().enumerate() {
        mass += ink;
        x += ink * ((cell % CANVAS) as f32 + 0.5);
        y += ink * ((cell / CANVAS) as f32 + 0.5);
    }
    (x / mass, y / mass)
}
