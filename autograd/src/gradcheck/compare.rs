//! The comparison of derivatives: which weights and directions are tried, how a derivative is
//! measured, and where it differs most.

use rung_kernels::rng::{Address, normal_quad, uniform_from_word};

use super::failure::{Cause, Mismatch, index_of};
use super::subject::{Subject, Weights};
use super::{Options, Report};

/// The most elements of an input and of an output whose full Jacobian is compared.
pub const JACOBIAN_LIMIT: usize = 16;

/// What the step is divided by in turn, until the derivatives agree.
const STEP_DIVISORS: [f64; 3] = [1.0, 8.0, 64.0];

/// How many roundings of the size of the values a difference of two outputs is allowed.
const ROUNDINGS: f64 = 32.0;

/// Levelling never lifts a gradient by more than this factor: below, rounding would show.
const LEVELLING_LIMIT: f64 = 1e4;

type Outcome<T> = std::result::Result<T, Cause>;

/// Compares all derivatives of a subject.
pub(super) fn check(subject: &mut impl Subject, options: &Options) -> Outcome<Report> {
    if subject.blocks().is_empty() {
        return Err(Cause::NothingToCheck);
    }
    let mut check =
        Check { subject, options, report: Report::default(), draws: Draws::new(options.seed) };
    check.directions()?;
    check.jacobian()?;
    Ok(check.report)
}

struct Check<'a, S> {
    subject: &'a mut S,
    options: &'a Options,
    report: Report,
    draws: Draws,
}

/// One comparison: the derivative of Σ weights·outputs along a direction in one block.
struct Derivative<'a> {
    block: usize,
    weights: &'a Weights,
    gradient: &'a [f64],
}

/// A derivative by differences, and a bound on its rounding.
struct Difference {
    derivative: f64,
    rounding: f64,
}

impl<S: Subject> Check<'_, S> {
    /// Random directions in each block, for all outputs together and for each alone.
    fn directions(&mut self) -> Outcome<()> {
        let present: Vec<usize> = (0..self.subject.outputs().len())
            .filter(|&i| self.subject.outputs()[i].is_some())
            .collect();
        let alone = if present.len() > 1 { present.len() } else { 0 };
        for block in 0..self.subject.blocks().len() {
            for choice in 0..=alone {
                let only = choice.checked_sub(1).map(|i| present[i]);
                for number in 0..self.options.directions {
                    self.direction(block, only, number)?;
                }
            }
        }
        Ok(())
    }

    fn direction(&mut self, block: usize, only: Option<usize>, number: usize) -> Outcome<()> {
        let outputs = self.subject.outputs().to_vec();
        let chosen = outputs
            .iter()
            .enumerate()
            .map(|(i, shape)| shape.filter(|_| only.is_none_or(|only| only == i)));
        let weights: Weights = chosen
            .map(|shape| shape.map(|shape| self.draws.normals(shape.element_count())))
            .collect();
        let alone = number % 2 == 1;
        let gradient = self.gradient(&weights, block, alone)?;
        let kind = Kind::ALL[number % Kind::ALL.len()];
        let direction = self.draws.direction(kind, &gradient);
        let words = format!(
            "{} {number}, {}, {}",
            kind.words(),
            only.map_or("all outputs".to_owned(), |only| format!("output {only}")),
            if alone { "tracked alone" } else { "all tracked" }
        );
        self.compare(
            &Derivative { block, weights: &weights, gradient: &gradient },
            &direction,
            words,
        )
    }

    /// Every element of every tiny output by every element of every tiny block.
    fn jacobian(&mut self) -> Outcome<()> {
        let sizes: Vec<usize> = self
            .subject
            .outputs()
            .iter()
            .map(|shape| shape.map_or(0, |shape| shape.element_count()))
            .collect();
        for block in 0..self.subject.blocks().len() {
            let columns = self.subject.blocks()[block].values.len();
            for (output, &rows) in sizes.iter().enumerate() {
                if columns > JACOBIAN_LIMIT || rows > JACOBIAN_LIMIT {
                    continue;
                }
                for row in 0..rows {
                    let weights = sizes
                        .iter()
                        .enumerate()
                        .map(|(i, &size)| (i == output).then(|| basis(size, row)))
                        .collect();
                    let gradient = self.gradient(&weights, block, false)?;
                    let derivative = Derivative { block, weights: &weights, gradient: &gradient };
                    for column in 0..columns {
                        self.compare(
                            &derivative,
                            &basis(columns, column),
                            format!("Jacobian of element {row} of output {output}"),
                        )?;
                    }
                }
            }
        }
        Ok(())
    }

    fn gradient(&mut self, weights: &Weights, block: usize, alone: bool) -> Outcome<Vec<f64>> {
        self.report.evaluations += 1;
        let gradient = self.subject.gradient(weights, block, alone)?;
        let Some(place) = self.subject.blocks().get(block) else { return Ok(gradient) };
        if gradient.len() != place.values.len() {
            return Err(Cause::GradientShape {
                input: place.name.clone(),
                expected: place.values.len(),
                found: gradient.len(),
            });
        }
        match gradient.iter().position(|element| !element.is_finite()) {
            None => Ok(gradient),
            Some(at) => {
                let what = format!("the gradient of {}", place.name);
                Err(Cause::NotFinite {
                    what,
                    index: index_of(&place.shape, at),
                    value: gradient[at],
                })
            }
        }
    }

    fn compare(
        &mut self,
        derivative: &Derivative<'_>,
        direction: &[f64],
        words: String,
    ) -> Outcome<()> {
        let contributions = || derivative.gradient.iter().zip(direction).map(|(g, u)| g * u);
        let analytic: f64 = contributions().sum();
        let size = contributions().map(|term| term * term).sum::<f64>().sqrt();
        self.report.comparisons += 1;
        let mut best = (f64::INFINITY, f64::NAN);
        for divisor in STEP_DIVISORS {
            let Difference { derivative: numeric, rounding } =
                self.difference(derivative, direction, self.options.step / divisor)?;
            let scale = analytic
                .abs()
                .max(numeric.abs())
                .max(size)
                .max(rounding / self.options.relative_error);
            let error = if analytic == numeric { 0.0 } else { (analytic - numeric).abs() / scale };
            if error <= self.options.relative_error {
                self.report.worst_relative_error = self.report.worst_relative_error.max(error);
                return Ok(());
            }
            if error < best.0 {
                best = (error, numeric);
            }
        }
        let (worst, worst_numeric) = self.worst_element(derivative, direction)?;
        let block = &self.subject.blocks()[derivative.block];
        Err(Cause::Mismatch(Box::new(Mismatch {
            input: block.name.clone(),
            shape: block.shape,
            direction: words,
            analytic,
            numeric: best.1,
            relative_error: best.0,
            worst_index: index_of(&block.shape, worst),
            worst_analytic: derivative.gradient[worst],
            worst_numeric,
        })))
    }

    /// The derivative along `direction` by central differences at two steps, extrapolated
    /// (Richardson).
    fn difference(
        &mut self,
        derivative: &Derivative<'_>,
        direction: &[f64],
        step: f64,
    ) -> Outcome<Difference> {
        let (wide, _) = self.central(derivative, direction, step)?;
        let (narrow, squares) = self.central(derivative, direction, 0.5 * step)?;
        let values = &self.subject.blocks()[derivative.block].values;
        let moved: f64 =
            derivative.gradient.iter().zip(values).map(|(g, x)| (g * x) * (g * x)).sum();
        let rounding = ROUNDINGS * f64::EPSILON * (squares.sqrt() + moved.sqrt()) / step;
        Ok(Difference { derivative: (4.0 * narrow - wide) / 3.0, rounding })
    }

    /// Σ w·(f(x + h·u) − f(x − h·u))/2h and Σ (w·f)². Differences are taken before the sum, so that
    /// large sums cost no digits.
    fn central(
        &mut self,
        derivative: &Derivative<'_>,
        direction: &[f64],
        step: f64,
    ) -> Outcome<(f64, f64)> {
        let values = &self.subject.blocks()[derivative.block].values;
        let moved = |step: f64| -> Vec<f64> {
            values.iter().zip(direction).map(|(x, u)| x + step * u).collect()
        };
        let (above, below) = (moved(step), moved(-step));
        self.report.evaluations += 2;
        let (above, below) = (
            self.subject.evaluate(derivative.block, &above)?,
            self.subject.evaluate(derivative.block, &below)?,
        );
        let (mut sum, mut squares) = (0.0, 0.0);
        for ((above, below), weights) in above.iter().zip(&below).zip(derivative.weights) {
            let Some(weights) = weights else { continue };
            for ((above, below), weight) in above.iter().zip(below).zip(weights) {
                sum += weight * (above - below);
                squares += (weight * above) * (weight * above);
            }
        }
        Ok((sum / (2.0 * step), squares))
    }

    /// The element with the largest share in a mismatch, found by halving the direction, and its
    /// derivative by differences.
    fn worst_element(
        &mut self,
        derivative: &Derivative<'_>,
        direction: &[f64],
    ) -> Outcome<(usize, f64)> {
        let mut candidates: Vec<usize> =
            (0..direction.len()).filter(|&i| direction[i] != 0.0).collect();
        while candidates.len() > 1 {
            let half = candidates.split_off(candidates.len() / 2);
            let errors = [
                self.share(derivative, direction, &candidates)?,
                self.share(derivative, direction, &half)?,
            ];
            if errors[1] > errors[0] {
                candidates = half;
            }
        }
        let worst = candidates.first().copied().unwrap_or(0);
        let alone = basis(direction.len(), worst);
        Ok((worst, self.difference(derivative, &alone, self.options.step)?.derivative))
    }

    /// How far the derivatives are apart along the part of a direction that has only these
    /// elements.
    fn share(
        &mut self,
        derivative: &Derivative<'_>,
        direction: &[f64],
        elements: &[usize],
    ) -> Outcome<f64> {
        let mut part = vec![0.0; direction.len()];
        elements.iter().for_each(|&i| part[i] = direction[i]);
        let analytic: f64 = elements.iter().map(|&i| derivative.gradient[i] * direction[i]).sum();
        Ok((self.difference(derivative, &part, self.options.step)?.derivative - analytic).abs())
    }
}

fn basis(len: usize, at: usize) -> Vec<f64> {
    (0..len).map(|i| f64::from(u8::from(i == at))).collect()
}

/// Which elements a direction has, and how large.
#[derive(Clone, Copy)]
enum Kind {
    Dense,
    Levelled,
    Quarter,
    Single,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Dense, Self::Levelled, Self::Quarter, Self::Single];

    const fn words(self) -> &'static str {
        match self {
            Self::Dense => "dense direction",
            Self::Levelled => "levelled direction",
            Self::Quarter => "quarter direction",
            Self::Single => "single direction",
        }
    }
}

/// The random numbers of one check.
struct Draws {
    address: Address,
}

impl Draws {
    const fn new(seed: u64) -> Self {
        Self { address: Address::new(seed, 1, 0) }
    }

    /// The next block of numbers, apart from all before.
    const fn next(&mut self) -> Address {
        self.address.step += 1;
        self.address
    }

    fn normals(&mut self, len: usize) -> Vec<f64> {
        let address = self.next();
        let quads = (0..len.div_ceil(4)).flat_map(|block| normal_quad(address.words(block as u32)));
        quads.take(len).collect()
    }

    /// A direction whose elements are between ½ and 1½ in size, with either sign, or 0 where the
    /// kind leaves them out.
    fn direction(&mut self, kind: Kind, gradient: &[f64]) -> Vec<f64> {
        let (address, choice) = (self.next(), self.next());
        let size = |i: usize| {
            let word = address.word(i);
            (0.5 + uniform_from_word(word)) * if word & 1 == 0 { 1.0 } else { -1.0 }
        };
        let len = gradient.len();
        match kind {
            Kind::Dense => (0..len).map(size).collect(),
            Kind::Levelled => {
                let level = smallest_level(gradient);
                (0..len)
                    .map(|i| {
                        size(i)
                            * if gradient[i].abs() > level {
                                level / gradient[i].abs()
                            } else {
                                1.0
                            }
                    })
                    .collect()
            }
            Kind::Quarter => {
                (0..len).map(|i| if choice.word(i) % 4 == 0 { size(i) } else { 0.0 }).collect()
            }
            Kind::Single => {
                let at = choice.word(0) as usize % len.max(1);
                (0..len).map(|i| if i == at { size(i) } else { 0.0 }).collect()
            }
        }
    }
}

/// The size to which larger gradients are brought down: the smallest that is not 0, unless rounding
/// would show.
fn smallest_level(gradient: &[f64]) -> f64 {
    let sizes = || gradient.iter().map(|g| g.abs()).filter(|&size| size > 0.0);
    let (smallest, largest) = (sizes().fold(f64::INFINITY, f64::min), sizes().fold(0.0, f64::max));
    smallest.max(largest / LEVELLING_LIMIT)
}
