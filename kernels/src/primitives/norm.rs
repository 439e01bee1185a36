//! Parity cases of batch normalisation.

use super::case::{Case, Draw, Expected, MATRICES};
use super::elementwise::{derivative, value};
use super::matmul::{product, shapes};
use crate::backend::{
    BatchNorm, BatchNormVectors, BatchStatistics, Matrix, NormalisedHead, RunningStatistics,
};
use crate::{DerivativeNeeds, MatmulShape, Precision, UnaryFunction, View, ViewMut};

const ACTIVATIONS: [UnaryFunction; 7] = [
    UnaryFunction::Identity,
    UnaryFunction::Relu,
    UnaryFunction::LeakyRelu(0.01),
    UnaryFunction::Tanh,
    UnaryFunction::Softplus,
    UnaryFunction::Elu(1.0),
    UnaryFunction::Sigmoid,
];

/// Every matrix that has rows, with an activation of the list by turns, and the commonest ones for
/// the largest.
fn norms() -> Vec<BatchNorm> {
    let with = |(rows, columns), activation| BatchNorm {
        matrix: Matrix { rows, columns },
        epsilon: 1e-3,
        activation,
    };
    let shapes = MATRICES.into_iter().filter(|&(rows, _)| rows > 0);
    let all = ACTIVATIONS.into_iter().map(|activation| with((67, 131), activation));
    shapes
        .flat_map(|shape| {
            [with(shape, UnaryFunction::Relu), with(shape, UnaryFunction::LeakyRelu(0.1))]
        })
        .chain(all)
        .collect()
}

/// Mean and biased variance of each column.
fn statistics(matrix: Matrix, x: &[f64]) -> Vec<(Expected, Expected)> {
    let n = matrix.rows as f64;
    let column = |c: usize| (0..matrix.rows).map(move |r| x[r * matrix.columns + c]);
    (0..matrix.columns)
        .map(|c| {
            let mean = Expected::sum(column(c)).times(1.0 / n);
            let variance =
                Expected::sum(column(c).map(|x| (x - mean.value).powi(2))).times(1.0 / n);
            // A wrong mean shifts each deviation by its error.
            let deviation = column(c).map(|x| (x - mean.value).abs()).sum::<f64>() / n;
            let shifted =
                2.0 * deviation * mean.scale + mean.scale.powi(2) * f64::from(f32::EPSILON);
            (mean, Expected { value: variance.value, scale: variance.scale + shifted })
        })
        .collect()
}

pub(super) fn column_statistics(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, columns) in MATRICES.into_iter().filter(|&(rows, _)| rows > 0) {
        let matrix = Matrix { rows, columns };
        cases.push(
            Case::new(format!("{matrix:?}"))
                .float(draw.normal(matrix.element_count()).into_iter().map(|x| x + 1.0).collect())
                .output(columns)
                .output(columns)
                .call(move |device, x, out| {
                    let [mean, variance] = out else { panic!("bug: two outputs") };
                    device.column_statistics(matrix, x[0], mean.reborrow(), variance.reborrow())
                })
                .expect(move |x, _| {
                    let (mean, variance) = statistics(matrix, &x[0]).into_iter().unzip();
                    vec![mean, variance]
                }),
        );
    }
    cases
}

/// The number before the activation: scale · (x − mean)/√(variance + ε) + shift, with the error
/// that the mean and variance bring.
fn pre_activation(
    norm: &BatchNorm,
    x: f64,
    (mean, variance): (Expected, Expected),
    scale: f64,
    shift: f64,
) -> Expected {
    let deviation = (variance.value + norm.epsilon).sqrt();
    let normal = (x - mean.value) / deviation;
    let error = normal.abs() * (8.0 + 0.5 * variance.scale / (deviation * deviation))
        + mean.scale / deviation;
    // Folded into one factor and one offset, x and mean are rounded by themselves.
    let folded = 2.0 * (x.abs() + mean.value.abs()) / deviation;
    Expected {
        value: scale * normal + shift,
        scale: scale.abs() * (error + folded) + 2.0 * shift.abs(),
    }
}

/// None of the activations is steeper than 1.
fn activated(norm: &BatchNorm, a: Expected) -> Expected {
    let y = value(norm.activation, a.value);
    Expected { value: y.value, scale: y.scale + a.scale }
}

pub(super) fn batch_norm(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    let weights = [None, Some(0.1), Some(1.0)];
    for (norm, weight) in norms().into_iter().flat_map(|norm| weights.map(|weight| (norm, weight)))
    {
        let Matrix { rows, columns } = norm.matrix;
        let case = Case::new(format!("{norm:?}, averages moved by {weight:?}"))
            .float(draw.normal(rows * columns).into_iter().map(|x| 2.0 * x + 0.5).collect())
            .float(draw.variance(columns))
            .float(draw.normal(columns))
            .output(columns)
            .output(columns)
            .output(rows * columns);
        let case = with_averages(case, draw, columns, weight);
        cases.push(
            case.call(move |device, x, out| {
                let [mean, variance, out, averages @ ..] = out else {
                    panic!("bug: three outputs")
                };
                let statistics = BatchStatistics {
                    mean: mean.reborrow(),
                    variance: variance.reborrow(),
                    running: running(averages, weight),
                };
                device.batch_norm(&norm, x[0], x[1], x[2], statistics, out.reborrow())
            })
            .expect(move |x, before| {
                let statistics = statistics(norm.matrix, &x[0]);
                let element = |(i, &value): (usize, &f64)| {
                    let c = i % columns;
                    activated(&norm, pre_activation(&norm, value, statistics[c], x[1][c], x[2][c]))
                };
                let out = x[0].iter().enumerate().map(element).collect();
                let (mean, variance): (Vec<_>, Vec<_>) = statistics.into_iter().unzip();
                let averages = moved_averages(weight, &before[3..], [&mean, &variance]);
                [mean, variance, out].into_iter().chain(averages).collect()
            }),
        );
    }
    cases
}

/// The case with averages over batches as its last two outputs, if they are moved.
fn with_averages(case: Case, draw: &mut Draw, columns: usize, weight: Option<f64>) -> Case {
    match weight {
        None => case,
        // A weight of 1 replaces the averages even where they are no numbers.
        Some(1.0) => case.output(columns).output(columns),
        Some(_) => case.in_place(draw.normal(columns)).in_place(draw.variance(columns)),
    }
}

/// Those outputs as an argument.
fn running<'a>(
    averages: &'a mut [ViewMut<'_>],
    weight: Option<f64>,
) -> Option<RunningStatistics<'a>> {
    let ([mean, variance], Some(weight)) = (averages, weight) else { return None };
    Some(RunningStatistics { mean: mean.reborrow(), variance: variance.reborrow(), weight })
}

/// What those outputs must be, from what they were.
fn moved_averages(
    weight: Option<f64>,
    before: &[Vec<f64>],
    batch: [&[Expected]; 2],
) -> Vec<Vec<Expected>> {
    let Some(weight) = weight else { return Vec::new() };
    before.iter().zip(batch).map(|(average, batch)| moved(weight, average, batch)).collect()
}

/// (1 − weight) · average + weight · batch.
fn moved(weight: f64, average: &[f64], batch: &[Expected]) -> Vec<Expected> {
    let moved = |(&average, batch): (&f64, &Expected)| {
        let kept = if weight == 1.0 { 0.0 } else { (1.0 - weight) * average };
        let added = batch.times(weight);
        Expected {
            value: kept + added.value,
            scale: 4.0 * (kept.abs() + added.value.abs()) + added.scale,
        }
    };
    average.iter().zip(batch).map(moved).collect()
}

/// Every matrix that has rows as one half of a head.
fn heads() -> impl Iterator<Item = NormalisedHead> {
    let shapes = MATRICES.into_iter().filter(|&(rows, _)| rows > 0);
    let head = |((rows, columns), floor)| NormalisedHead {
        matrix: Matrix { rows, columns },
        epsilon: 1e-3,
        floor,
    };
    shapes.zip([0.0, 1e-3].into_iter().cycle()).map(head)
}

/// How each half of a head's columns is normalised: with the function that makes mean or variance
/// of it.
fn halves(head: &NormalisedHead) -> [BatchNorm; 2] {
    let NormalisedHead { matrix, epsilon, .. } = *head;
    [UnaryFunction::Identity, UnaryFunction::Softplus].map(|activation| BatchNorm {
        matrix,
        epsilon,
        activation,
    })
}

pub(super) fn batch_norm_head(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    let weights = [None, Some(0.1), Some(1.0)];
    for (head, weight) in heads().flat_map(|head| weights.map(|weight| (head, weight))) {
        let (joined, len) = (head.matrix.both_halves(), head.matrix.element_count());
        let (units, columns) = (head.matrix.columns, joined.columns);
        let case = Case::new(format!("{head:?}, averages moved by {weight:?}"))
            .float(draw.normal(2 * len).into_iter().map(|x| 2.0 * x + 0.5).collect())
            .float(draw.variance(columns))
            .float(draw.normal(columns))
            .output(columns)
            .output(columns)
            .output(len)
            .output(len);
        let case = with_averages(case, draw, columns, weight);
        cases.push(
            case.call(move |device, x, out| {
                let [mean_of_batch, variance_of_batch, mean, variance, averages @ ..] = out else {
                    panic!("bug: four outputs")
                };
                let statistics = BatchStatistics {
                    mean: mean_of_batch.reborrow(),
                    variance: variance_of_batch.reborrow(),
                    running: running(averages, weight),
                };
                let (mean, variance) = (mean.reborrow(), variance.reborrow());
                device.batch_norm_head(&head, x[0], x[1], x[2], statistics, mean, variance)
            })
            .expect(move |x, before| {
                let statistics = statistics(joined, &x[0]);
                let half = |number: usize| -> Vec<Expected> {
                    let norm = halves(&head)[number];
                    let element = |i: usize| {
                        let c = number * units + i % units;
                        let value = x[0][i / units * columns + c];
                        let a = pre_activation(&norm, value, statistics[c], x[1][c], x[2][c]);
                        activated(&norm, a)
                    };
                    (0..len).map(element).collect()
                };
                let (of_mean, mut of_variance) = (half(0), half(1));
                for variance in &mut of_variance {
                    variance.value += head.floor;
                    variance.scale += 2.0 * head.floor;
                }
                let (mean, variance): (Vec<_>, Vec<_>) = statistics.iter().copied().unzip();
                let averages = moved_averages(weight, &before[4..], [&mean, &variance]);
                [mean, variance, of_mean, of_variance].into_iter().chain(averages).collect()
            }),
        );
    }
    cases
}

/// x, mean, variance, scale and shift of a normalisation, in this order.
fn normalisation_inputs(draw: &mut Draw, norm: &BatchNorm) -> [Vec<f64>; 5] {
    let Matrix { rows, columns } = norm.matrix;
    let (mean, variance) = (draw.normal(columns), draw.variance(columns));
    let (scale, shift) = (draw.variance(columns), draw.normal(columns));
    let mut x = draw.normal(rows * columns);
    for (i, x) in x.iter_mut().enumerate() {
        let c = i % columns;
        let deviation = (variance[c] + norm.epsilon).sqrt();
        // A derivative that jumps at 0 is not compared there: what rounding decides is not a
        // mistake.
        let pre_activation = scale[c] * (*x - mean[c]) / deviation + shift[c];
        if pre_activation.abs() < 1e-2 {
            *x += 0.1 * deviation / scale[c];
        }
    }
    [x, mean, variance, scale, shift]
}

fn vectors<'a>(x: &[View<'a>]) -> BatchNormVectors<'a> {
    BatchNormVectors { mean: x[1], variance: x[2], scale: x[3], shift: x[4] }
}

pub(super) fn normalise(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for norm in norms() {
        let columns = norm.matrix.columns;
        let case = normalisation_inputs(draw, &norm)
            .into_iter()
            .fold(Case::new(format!("{norm:?}")), Case::float);
        cases.push(
            case.output(norm.matrix.element_count())
                .call(move |device, x, out| {
                    device.normalise(&norm, x[0], vectors(x), out[0].reborrow())
                })
                .expect(move |x, _| {
                    let element = |(i, &value): (usize, &f64)| {
                        let c = i % columns;
                        let statistics = (Expected::exact(x[1][c]), Expected::exact(x[2][c]));
                        activated(&norm, pre_activation(&norm, value, statistics, x[3][c], x[4][c]))
                    };
                    vec![x[0].iter().enumerate().map(element).collect()]
                }),
        );
    }
    cases
}

pub(super) fn matmul_normalise(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (shape, activation) in shapes().zip(ACTIVATIONS.into_iter().cycle()) {
        let MatmulShape { rows, columns, inner, .. } = shape;
        let norm = BatchNorm { matrix: Matrix { rows, columns }, epsilon: 1e-3, activation };
        // Sums of so many terms have about the statistics that normalise them.
        let spread = inner as f64 + 1.0;
        let inputs = [
            draw.normal(shape.left_len()),
            draw.normal(columns).into_iter().map(|mean| mean * spread.sqrt()).collect(),
            draw.variance(columns).into_iter().map(|variance| variance * spread).collect(),
            draw.variance(columns),
            draw.normal(columns),
            draw.normal(shape.right_len()),
        ];
        cases.push(
            inputs
                .into_iter()
                .fold(Case::new(format!("{shape:?}, {activation:?}")), Case::float)
                .output(shape.out_len())
                .call(move |device, x, out| {
                    device.matmul_normalise(
                        shape,
                        Precision::Full,
                        x[0],
                        x[5],
                        &norm,
                        vectors(x),
                        out[0].reborrow(),
                    )
                })
                .expect(move |x, _| {
                    let element = |(i, sum): (usize, Expected)| {
                        let c = i % columns;
                        let statistics = (Expected::exact(x[1][c]), Expected::exact(x[2][c]));
                        let mut a = pre_activation(&norm, sum.value, statistics, x[3][c], x[4][c]);
                        a.scale += sum.scale * x[3][c].abs() / (x[2][c] + norm.epsilon).sqrt();
                        activated(&norm, a)
                    };
                    let sums = product(shape, &x[0], &x[5], |_, _| 0.0);
                    vec![sums.into_iter().enumerate().map(element).collect()]
                }),
        );
    }
    cases
}

/// grad_x, grad_scale, grad_shift by the formulas of the contract; the inputs are x, the four
/// vectors and grad_out.
fn backward(norm: &BatchNorm, statistics_are_constant: bool, x: &[Vec<f64>]) -> Vec<Vec<Expected>> {
    let Matrix { rows, columns } = norm.matrix;
    let n = rows as f64;
    let mut grad_x = vec![Expected::exact(0.0); rows * columns];
    let (mut grad_scale, mut grad_shift) = (Vec::new(), Vec::new());
    for c in 0..columns {
        let (mean, variance, scale, shift) = (x[1][c], x[2][c], x[3][c], x[4][c]);
        let deviation = (variance + norm.epsilon).sqrt();
        // x̂ and g of each row, both with their errors.
        let row = |r: usize| {
            let i = r * columns + c;
            let normal = Expected {
                value: (x[0][i] - mean) / deviation,
                scale: 6.0 * (x[0][i].abs() + mean.abs()) / deviation,
            };
            let a = pre_activation(
                norm,
                x[0][i],
                (Expected::exact(mean), Expected::exact(variance)),
                scale,
                shift,
            );
            let saved = match norm.activation.derivative_needs() {
                DerivativeNeeds::Output => value(norm.activation, a.value).value,
                DerivativeNeeds::Input | DerivativeNeeds::Nothing => a.value,
            };
            // The derivatives themselves are not steeper than 1, and have an error of 8 ε where
            // they come from a rounded value.
            let (derivative, grad) = (derivative(norm.activation, saved), x[5][i]);
            let is_step = matches!(
                norm.activation,
                UnaryFunction::Identity | UnaryFunction::Relu | UnaryFunction::LeakyRelu(_)
            );
            let derivative_error =
                if is_step { derivative.scale } else { derivative.scale + a.scale + 8.0 };
            (
                normal,
                Expected {
                    value: grad * derivative.value,
                    scale: grad.abs() * (derivative_error + 2.0 * derivative.value.abs()),
                },
            )
        };
        let sum = |term: &dyn Fn((Expected, Expected)) -> Expected| {
            let terms: Vec<_> = (0..rows).map(|r| term(row(r))).collect();
            let rounded = Expected::sum(terms.iter().map(|term| term.value));
            Expected {
                value: rounded.value,
                scale: rounded.scale + terms.iter().map(|term| term.scale).sum::<f64>(),
            }
        };
        let shift_sum = sum(&|(_, g)| g);
        let scale_sum = sum(&|(normal, g)| Expected {
            value: normal.value * g.value,
            scale: normal.value.abs() * g.scale + normal.scale * g.value.abs(),
        });
        for r in 0..rows {
            let (normal, g) = row(r);
            let means = if statistics_are_constant { 0.0 } else { 1.0 / n };
            let terms =
                [g.value, -means * shift_sum.value, -means * normal.value * scale_sum.value];
            let scales = [
                g.scale,
                means * shift_sum.scale,
                means
                    * (normal.value.abs() * scale_sum.scale + normal.scale * scale_sum.value.abs()),
            ];
            let factor = scale / deviation;
            let rounding = 8.0 * terms.iter().map(|term| term.abs()).sum::<f64>();
            grad_x[r * columns + c] = Expected {
                value: factor * terms.iter().sum::<f64>(),
                scale: factor.abs() * (scales.iter().sum::<f64>() + rounding),
            };
        }
        grad_scale.push(scale_sum);
        grad_shift.push(shift_sum);
    }
    vec![grad_x, grad_scale, grad_shift]
}

fn backward_cases(draw: &mut Draw, statistics_are_constant: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for norm in norms() {
        let Matrix { rows, columns } = norm.matrix;
        let case = normalisation_inputs(draw, &norm)
            .into_iter()
            .fold(Case::new(format!("{norm:?}")), Case::float);
        cases.push(
            case.float(draw.normal(rows * columns))
                .output(rows * columns)
                .output(columns)
                .output(columns)
                .call(move |device, x, out| {
                    let [grad_x, grad_scale, grad_shift] = out else {
                        panic!("bug: three outputs")
                    };
                    let (grad_x, grad_scale, grad_shift) =
                        (grad_x.reborrow(), grad_scale.reborrow(), grad_shift.reborrow());
                    if statistics_are_constant {
                        device.normalise_backward(
                            &norm,
                            x[0],
                            vectors(x),
                            x[5],
                            grad_x,
                            grad_scale,
                            grad_shift,
                        )
                    } else {
                        device.batch_norm_backward(
                            &norm,
                            x[0],
                            vectors(x),
                            x[5],
                            grad_x,
                            grad_scale,
                            grad_shift,
                        )
                    }
                })
                .expect(move |x, _| backward(&norm, statistics_are_constant, x)),
        );
    }
    cases
}

pub(super) fn batch_norm_head_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (head, has) in
        heads().flat_map(|head| [[true, true], [true, false], [false, true]].map(|has| (head, has)))
    {
        let (joined, len) = (head.matrix.both_halves(), head.matrix.element_count());
        let [norm, _] = halves(&head);
        let inputs = normalisation_inputs(draw, &BatchNorm { matrix: joined, ..norm });
        let case = inputs
            .into_iter()
            .fold(Case::new(format!("{head:?}, adjoints {has:?}")), Case::float)
            .float(draw.normal(len))
            .float(draw.normal(len));
        cases.push(
            case.output(2 * len)
                .output(joined.columns)
                .output(joined.columns)
                .call(move |device, x, out| {
                    let [grad_x, grad_scale, grad_shift] = out else {
                        panic!("bug: three outputs")
                    };
                    let [grad_mean, grad_variance] = [0, 1].map(|i| has[i].then(|| x[5 + i]));
                    device.batch_norm_head_backward(
                        &head,
                        x[0],
                        vectors(x),
                        grad_mean,
                        grad_variance,
                        grad_x.reborrow(),
                        grad_scale.reborrow(),
                        grad_shift.reborrow(),
                    )
                })
                .expect(move |x, _| head_backward(&head, has, x)),
        );
    }
    cases
}

/// grad_x, grad_scale, grad_shift: those of each half by itself; the inputs are x, the four
/// vectors, grad_mean and grad_variance, of which the missing count as 0.
fn head_backward(head: &NormalisedHead, has: [bool; 2], x: &[Vec<f64>]) -> Vec<Vec<Expected>> {
    let units = head.matrix.columns;
    let of_half = |number: usize| {
        let part = |array: &Vec<f64>| -> Vec<f64> {
            let rows = array.chunks_exact(2 * units);
            rows.flat_map(|row| &row[number * units..(number + 1) * units]).copied().collect()
        };
        let mut inputs: Vec<Vec<f64>> = x[..5].iter().map(part).collect();
        let grad = &x[5 + number];
        inputs.push(if has[number] { grad.clone() } else { vec![0.0; grad.len()] });
        backward(&halves(head)[number], false, &inputs)
    };
    let side_by_side = |(left, right): (Vec<Expected>, Vec<Expected>)| {
        let rows = left.chunks_exact(units).zip(right.chunks_exact(units));
        rows.flat_map(|(left, right)| left.iter().chain(right)).copied().collect()
    };
    of_half(0).into_iter().zip(of_half(1)).map(side_by_side).collect()
}

pub(super) fn batch_norm_backward(draw: &mut Draw) -> Vec<Case> {
    backward_cases(draw, false)
}

pub(super) fn normalise_backward(draw: &mut Draw) -> Vec<Case> {
    backward_cases(draw, true)
}

#[cfg(test)]
mod tests {
    use super::super::case::sum_factor;
    use super::*;

    /// The sum's factor grows with the rows, so a bound for a few rows is tight.
    #[test]
    fn the_variance_of_one_row_is_zero() {
        let matrix = Matrix { rows: 1, columns: 2 };
        let both = statistics(matrix, &[3.0, -4.0]);
        assert_eq!(both[1].0.value, -4.0);
        assert_eq!(both[1].1.value, 0.0);
        assert!(both[1].0.scale <= sum_factor(1) * 4.0);
    }
}
