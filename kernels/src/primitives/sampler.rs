//! Parity cases of spatial transformers. The references have the published formulas: normalised
//! coordinates, and Σ_{n,m} image[n, m] · max(0, 1 − |x − m|) · max(0, 1 − |y − n|).

use super::case::{Case, Draw, Expected};
use crate::backend::{AffineGrid, Outside, Sampler};

const OUTSIDE: [Outside; 3] = [Outside::Zeros, Outside::Border, Outside::PaperTime];

/// [transforms, height and width of the image, height and width of the grid].
const GRIDS: [[usize; 5]; 7] = [
    [1, 7, 5, 7, 5],
    [3, 10, 12, 4, 3],
    [2, 100, 100, 33, 33],
    [5, 1, 9, 1, 6],
    [4, 9, 1, 3, 1],
    [1031, 8, 8, 2, 3],
    [0, 4, 4, 2, 2],
];

fn grids() -> impl Iterator<Item = AffineGrid> {
    GRIDS.into_iter().enumerate().map(|(number, [transforms, height, width, rows, columns])| {
        let (source, target) = ([height, width], [rows, columns]);
        AffineGrid { transforms, source, target, outside: OUTSIDE[number % 3] }
    })
}

/// The normalised coordinate of a position, from −1 to 1.
fn normalised(at: usize, size: usize) -> f64 {
    if size == 1 { 0.0 } else { -1.0 + 2.0 * at as f64 / (size - 1) as f64 }
}

/// Half of the pixels that [−1, 1] spans along x and y.
fn half_spans(grid: &AffineGrid) -> [f64; 2] {
    let less = if grid.outside == Outside::PaperTime { 0.0 } else { 1.0 };
    [(grid.source[1] as f64 - less) / 2.0, (grid.source[0] as f64 - less) / 2.0]
}

/// (x_j, y_i, 1) of each position of a grid.
fn homogeneous(grid: &AffineGrid) -> Vec<[f64; 3]> {
    let [rows, columns] = grid.target;
    let place = |p: usize| [normalised(p % columns, columns), normalised(p / columns, rows), 1.0];
    (0..rows * columns).map(place).collect()
}

pub(super) fn affine_grid(draw: &mut Draw) -> Vec<Case> {
    let case = |grid: AffineGrid| {
        Case::new(format!("{grid:?}"))
            .float(draw.normal(6 * grid.transforms))
            .output(grid.grid_matrix().element_count())
            .call(move |device, x, out| device.affine_grid(grid, x[0], out[0].reborrow()))
            .expect(move |x, _| {
                let places = homogeneous(&grid);
                let mut out = Vec::new();
                for theta in x[0].chunks_exact(6) {
                    for place in &places {
                        for (theta, half) in theta.chunks_exact(3).zip(half_spans(&grid)) {
                            let terms = theta.iter().zip(place).map(|(t, x)| t * x);
                            out.push(Expected::sum(terms.chain([1.0])).times(half));
                        }
                    }
                }
                vec![out]
            })
    };
    grids().map(case).collect()
}

pub(super) fn affine_grid_backward(draw: &mut Draw) -> Vec<Case> {
    let case = |grid: AffineGrid| {
        Case::new(format!("{grid:?}"))
            .float(draw.normal(grid.grid_matrix().element_count()))
            .output(6 * grid.transforms)
            .call(move |device, x, out| device.affine_grid_backward(grid, x[0], out[0].reborrow()))
            .expect(move |x, _| {
                let places = homogeneous(&grid);
                let mut out = Vec::new();
                for grads in x[0].chunks_exact(2 * places.len()) {
                    for (axis, half) in half_spans(&grid).into_iter().enumerate() {
                        let grads = || grads.iter().skip(axis).step_by(2);
                        let sum = |k: usize| {
                            Expected::sum(grads().zip(&places).map(|(grad, place)| grad * place[k]))
                        };
                        out.extend((0..3).map(|k| sum(k).times(half)));
                    }
                }
                vec![out]
            })
    };
    grids().map(case).collect()
}

/// [images, repeat, height, width, channels, positions].
const SAMPLERS: [[usize; 6]; 7] = [
    [2, 1, 6, 5, 1, 40],
    [1, 3, 9, 8, 3, 70],
    [3, 2, 1, 7, 2, 20],
    [2, 2, 4, 1, 17, 33],
    [1, 1, 1, 1, 1, 9],
    [13, 3, 20, 20, 1, 300],
    [2, 0, 4, 4, 2, 3],
];

fn samplers() -> impl Iterator<Item = Sampler> {
    let sizes = SAMPLERS.into_iter().flat_map(|sizes| OUTSIDE.map(|outside| (sizes, outside)));
    sizes.map(|([images, repeat, height, width, channels, positions], outside)| {
        let source = [height, width];
        Sampler { images, repeat, source, channels, positions, outside }
    })
}

/// Positions inside and around the image, now and then a whole pixel.
fn positions(draw: &mut Draw, sampler: &Sampler) -> Vec<f64> {
    let [height, width] = sampler.source;
    let places = draw.uniform(-0.3, 1.3, 2 * sampler.points());
    let scaled = places.into_iter().enumerate().map(|(i, place)| {
        let at = place * if i % 2 == 0 { width as f64 } else { height as f64 } - 0.5;
        if i % 7 == 0 { at.round() } else { at }
    });
    scaled.collect()
}

/// What a pixel of one axis has to do with a position: its weight, and the derivative of that to
/// the right. A hat of width 1 around the pixel, for the nearest pixels of the border where it
/// counts beyond it.
fn hat(at: f64, pixel: usize, size: usize, outside: Outside) -> [f64; 2] {
    let last = size as f64 - 1.0;
    if outside == Outside::PaperTime && !(at >= 0.0 && at < last) {
        return [0.0, 0.0];
    }
    let distance = at - pixel as f64;
    let slope = if (-1.0..0.0).contains(&distance) {
        1.0
    } else if (0.0..1.0).contains(&distance) {
        -1.0
    } else {
        0.0
    };
    let weight = (1.0 - distance.abs()).max(0.0);
    let is_beyond = (pixel == 0 && at < 0.0) || (pixel as f64 == last && at >= last);
    if outside == Outside::Border && is_beyond { [1.0, 0.0] } else { [weight, slope] }
}

/// Calls `visit` with the index of a point, of a pixel of its image, and the hats of x and of y
/// there.
fn for_each_pair(
    sampler: &Sampler,
    grid: &[f64],
    mut visit: impl FnMut(usize, usize, [[f64; 2]; 2]),
) {
    let ([height, width], outside) = (sampler.source, sampler.outside);
    for (point, at) in grid.chunks_exact(2).enumerate() {
        let image = point / (sampler.repeat * sampler.positions);
        for (row, column) in (0..height).flat_map(|row| (0..width).map(move |c| (row, c))) {
            let hats = [hat(at[0], column, width, outside), hat(at[1], row, height, outside)];
            if hats.iter().any(|hat| *hat != [0.0, 0.0]) {
                visit(point, (image * height + row) * width + column, hats);
            }
        }
    }
}

/// Σ terms and Σ |terms|: a sum whose terms have a few roundings each.
#[derive(Clone, Copy, Default)]
struct Sum {
    value: f64,
    magnitude: f64,
    count: usize,
}

impl Sum {
    /// Adds a term; `magnitude` bounds it and what it was made of.
    fn add(&mut self, term: f64, magnitude: f64) {
        self.value += term;
        self.magnitude += magnitude.abs();
        self.count += usize::from(magnitude != 0.0);
    }

    fn expected(self) -> Expected {
        let factor = 8.0 * ((self.count as f64).sqrt() + 1.0);
        Expected { value: self.value, scale: factor * self.magnitude }
    }
}

pub(super) fn sample_bilinear(draw: &mut Draw) -> Vec<Case> {
    let case = |sampler: Sampler| {
        let channels = sampler.channels;
        Case::new(format!("{sampler:?}"))
            .float(draw.normal(sampler.image_matrix().element_count()))
            .float(positions(draw, &sampler))
            .output(sampler.output_matrix().element_count())
            .call(move |device, x, out| {
                device.sample_bilinear(sampler, x[0], x[1], out[0].reborrow())
            })
            .expect(move |x, _| {
                let mut sums = vec![Sum::default(); sampler.output_matrix().element_count()];
                for_each_pair(&sampler, &x[1], |point, pixel, [[x_weight, _], [y_weight, _]]| {
                    for c in 0..channels {
                        let value = x[0][pixel * channels + c];
                        sums[point * channels + c].add(x_weight * y_weight * value, value);
                    }
                });
                vec![sums.into_iter().map(Sum::expected).collect()]
            })
    };
    samplers().map(case).collect()
}

pub(super) fn sample_bilinear_grid_gradient(draw: &mut Draw) -> Vec<Case> {
    let case = |sampler: Sampler| {
        let channels = sampler.channels;
        Case::new(format!("{sampler:?}"))
            .float(draw.normal(sampler.image_matrix().element_count()))
            .float(positions(draw, &sampler))
            .float(draw.normal(sampler.output_matrix().element_count()))
            .output(sampler.grid_matrix().element_count())
            .call(move |device, x, out| {
                device.sample_bilinear_grid_gradient(sampler, x[0], x[1], x[2], out[0].reborrow())
            })
            .expect(move |x, _| {
                let mut sums = vec![Sum::default(); sampler.grid_matrix().element_count()];
                for_each_pair(
                    &sampler,
                    &x[1],
                    |point, pixel, [[x_weight, x_slope], [y_weight, y_slope]]| {
                        for c in 0..channels {
                            let product = x[0][pixel * channels + c] * x[2][point * channels + c];
                            sums[2 * point].add(y_weight * x_slope * product, product);
                            sums[2 * point + 1].add(y_slope * x_weight * product, product);
                        }
                    },
                );
                vec![sums.into_iter().map(Sum::expected).collect()]
            })
    };
    samplers().map(case).collect()
}

pub(super) fn sample_bilinear_image_gradient(draw: &mut Draw) -> Vec<Case> {
    let case = |sampler: Sampler| {
        let channels = sampler.channels;
        Case::new(format!("{sampler:?}"))
            .float(positions(draw, &sampler))
            .float(draw.normal(sampler.output_matrix().element_count()))
            .output(sampler.image_matrix().element_count())
            .call(move |device, x, out| {
                device.sample_bilinear_image_gradient(sampler, x[0], x[1], out[0].reborrow())
            })
            .expect(move |x, _| {
                let mut sums = vec![Sum::default(); sampler.image_matrix().element_count()];
                for_each_pair(&sampler, &x[0], |point, pixel, [[x_weight, _], [y_weight, _]]| {
                    for c in 0..channels {
                        let grad = x[1][point * channels + c];
                        sums[pixel * channels + c].add(x_weight * y_weight * grad, grad);
                    }
                });
                vec![sums.into_iter().map(Sum::expected).collect()]
            })
    };
    samplers().map(case).collect()
}
