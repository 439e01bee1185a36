//! The hand that writes: which variant, and how this one differs from the model in the copybook.

use std::f32::consts::{PI, TAU};

use rand::RngExt;
use rand_distr::StandardNormal;
use rung_kernels::rng::Philox;

use super::shapes::{DIGITS, Variant};

/// A point of the pen's path, in pixels, with the pen's half width there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ink {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) radius: f32,
}

type Point = (f32, f32);

/// The box that MNIST scales its drawings into, in pixels.
const BOX: f32 = 20.0;
/// Points on the curve between two points of the copybook.
const STEPS: usize = 7;

/// Writes a digit: its strokes as paths of ink, somewhere near the origin.
pub(super) fn write(digit: usize, rng: &mut Philox) -> Vec<Vec<Ink>> {
    let variant = choose(DIGITS[digit], rng);
    let bend = Bend::new(rng);
    let wobble = 0.026 * lognormal(rng, 0.40);
    let mut strokes: Vec<Vec<Point>> = Vec::new();
    for points in variant.strokes {
        // Whole strokes land a little beside their place; single points a little less.
        let offset = (0.018 * normal(rng), 0.018 * normal(rng));
        let moved = jitter(points, wobble, offset, rng);
        strokes.push(smooth(&moved).into_iter().map(|point| bend.apply(point)).collect());
    }
    lean(&mut strokes, rng);
    let pen = (1.24 * lognormal(rng, 0.26)).clamp(0.70, 2.2);
    fit(&mut strokes, pen, rng);
    press(&strokes, pen, rng)
}

fn normal(rng: &mut Philox) -> f32 {
    rng.sample::<f32, _>(StandardNormal).clamp(-2.5, 2.5)
}

/// A factor around 1 whose logarithm has this standard deviation.
fn lognormal(rng: &mut Philox, sigma: f32) -> f32 {
    (sigma * normal(rng)).exp()
}

fn choose<'a>(variants: &'a [Variant], rng: &mut Philox) -> &'a Variant {
    let total: f32 = variants.iter().map(|variant| variant.weight).sum();
    let mut left = rng.random::<f32>() * total;
    for variant in variants {
        left -= variant.weight;
        if left < 0.0 {
            return variant;
        }
    }
    &variants[0]
}

/// A smooth deformation of the sheet: three long waves, so that neighbouring parts of a digit move
/// together.
struct Bend {
    waves: [[f32; 5]; 3],
}

impl Bend {
    fn new(rng: &mut Philox) -> Self {
        let waves = [1.0, 1.7, 2.6].map(|frequency: f32| {
            let direction = rng.random::<f32>() * TAU;
            let amplitude = 0.052 / frequency;
            [
                PI * frequency * direction.cos(),
                PI * frequency * direction.sin(),
                rng.random::<f32>() * TAU,
                amplitude * normal(rng),
                amplitude * normal(rng),
            ]
        });
        Self { waves }
    }

    fn apply(&self, (x, y): Point) -> Point {
        self.waves.iter().fold((x, y), |(out_x, out_y), &[along_x, along_y, phase, dx, dy]| {
            let wave = (along_x * x + along_y * y + phase).sin();
            (out_x + dx * wave, out_y + dy * wave)
        })
    }
}

/// Moves the points of a stroke, each a little; the two halves of a corner stay together.
fn jitter(points: &[Point], wobble: f32, offset: Point, rng: &mut Philox) -> Vec<Point> {
    let mut moved: Vec<Point> = Vec::with_capacity(points.len());
    for (i, &(x, y)) in points.iter().enumerate() {
        let corner_repeats = i > 0 && points[i - 1] == (x, y);
        match (corner_repeats, moved.last()) {
            (true, Some(&previous)) => moved.push(previous),
            _ => moved
                .push((x + offset.0 + wobble * normal(rng), y + offset.1 + wobble * normal(rng))),
        }
    }
    moved
}

/// A smooth curve through the points (Catmull and Rom 1974), broken at doubled points.
fn smooth(points: &[Point]) -> Vec<Point> {
    let mut curve = vec![points[0]];
    let corner = |i: usize| i > 0 && points[i] == points[i - 1];
    for i in 0..points.len() - 1 {
        let (from, to) = (points[i], points[i + 1]);
        if from == to {
            continue;
        }
        // At an end or a corner there is no neighbour beyond: mirror the segment's own direction.
        let before = if i == 0 || corner(i) {
            (2.0 * from.0 - to.0, 2.0 * from.1 - to.1)
        } else {
            points[i - 1]
        };
        let ends = i + 2 >= points.len() || points[i + 2] == to;
        let after = if ends { (2.0 * to.0 - from.0, 2.0 * to.1 - from.1) } else { points[i + 2] };
        for step in 1..=STEPS {
            let t = step as f32 / STEPS as f32;
            let along = |p0: f32, p1: f32, p2: f32, p3: f32| {
                0.5 * (2.0 * p1
                    + t * ((p2 - p0)
                        + t * ((2.0 * p0 - 5.0 * p1 + 4.0 * p2 - p3)
                            + t * (3.0 * (p1 - p2) + p3 - p0))))
            };
            curve.push((
                along(before.0, from.0, to.0, after.0),
                along(before.1, from.1, to.1, after.1),
            ));
        }
    }
    curve
}

/// Slant, turn and proportions of the whole digit.
fn lean(strokes: &mut [Vec<Point>], rng: &mut Philox) {
    let slant = 0.16 + 0.20 * normal(rng);
    let (sine, cosine) = (0.08 * normal(rng)).sin_cos();
    let width = lognormal(rng, 0.18);
    for (x, y) in strokes.iter_mut().flatten() {
        let (across, down) = ((*x - 0.4) * width - slant * (*y - 0.5), *y - 0.5);
        (*x, *y) = (cosine * across - sine * down, sine * across + cosine * down);
    }
}

/// Scales the digit into MNIST's box, now and then a little smaller. The box holds the ink: the
/// path leaves room for the pen.
fn fit(strokes: &mut [Vec<Point>], pen: f32, rng: &mut Philox) {
    let (mut low, mut high) = ((f32::MAX, f32::MAX), (f32::MIN, f32::MIN));
    for &(x, y) in strokes.iter().flatten() {
        low = (low.0.min(x), low.1.min(y));
        high = (high.0.max(x), high.1.max(y));
    }
    let extent = (high.0 - low.0).max(high.1 - low.1).max(0.1);
    let scale = (BOX - 2.0 * pen) * (1.0 - 0.03 * normal(rng).abs()) / extent;
    for (x, y) in strokes.iter_mut().flatten() {
        (*x, *y) = (*x * scale, *y * scale);
    }
}

/// Gives the path its width: a pen, a slow wave of pressure, and lighter ends.
fn press(strokes: &[Vec<Point>], pen: f32, rng: &mut Philox) -> Vec<Vec<Ink>> {
    let depth = 0.14 * rng.random::<f32>();
    let mut inked = Vec::with_capacity(strokes.len());
    for stroke in strokes {
        let (phase, speed) = (rng.random::<f32>() * TAU, 0.10 + 0.12 * rng.random::<f32>());
        let tapers = [0.55 + 0.45 * rng.random::<f32>(), 0.45 + 0.55 * rng.random::<f32>()];
        let last = (stroke.len() - 1) as f32;
        let ink = stroke.iter().enumerate().map(|(i, &(x, y))| {
            let wave = 1.0 + depth * (speed * i as f32 + phase).sin();
            let end = |distance: f32, taper: f32| taper + (1.0 - taper) * (distance / 6.0).min(1.0);
            let taper = end(i as f32, tapers[0]) * end(last - i as f32, tapers[1]);
            Ink { x, y, radius: (pen * wave * taper).max(0.55) }
        });
        inked.push(ink.collect());
    }
    inked
}
