//! Parity cases of the Gaussian distributions: head, sample, log-density, KL.

mod log_ratio;
mod merge;

use super::case::{Case, Draw, Expected, LENGTHS, MATRICES, sum_factor};
use super::elementwise::{sigmoid, softplus};
use crate::backend::{GaussianGradient, GaussianView, Matrix};
use crate::{View, ViewMut};

pub(super) use log_ratio::*;
pub(super) use merge::*;

const LN_TAU: f64 = 1.837_877_066_409_345_5;

/// Terms that are added, and an error of some ε for each.
pub(super) fn of_terms<const N: usize>(terms: [f64; N]) -> Expected {
    Expected {
        value: terms.iter().sum(),
        scale: 8.0 * terms.iter().map(|term| term.abs()).sum::<f64>(),
    }
}

/// Sums over the columns of each row; `terms` are what one element adds.
pub(super) fn row_sums<const N: usize>(
    matrix: Matrix,
    terms: impl Fn(usize) -> [f64; N],
) -> Vec<Expected> {
    let row = |r: usize| {
        let all = || (0..matrix.columns).flat_map(|c| terms(r * matrix.columns + c));
        Expected {
            value: all().sum(),
            scale: (sum_factor(matrix.columns) + 4.0) * all().map(f64::abs).sum::<f64>(),
        }
    };
    (0..matrix.rows).map(row).collect()
}

pub(super) fn gaussian<'a>(x: &[View<'a>], first: usize) -> GaussianView<'a> {
    GaussianView { mean: x[first], variance: x[first + 1] }
}

/// The first two outputs that are left are the adjoints of a Gaussian, as far as they are wanted.
pub(super) fn gradient<'a>(
    wanted: [bool; 2],
    out: &mut impl Iterator<Item = ViewMut<'a>>,
) -> GaussianGradient<'a> {
    let mut next = |is_wanted: bool| if is_wanted { out.next() } else { None };
    GaussianGradient { mean: next(wanted[0]), variance: next(wanted[1]) }
}

/// The lists whose flag is set.
pub(super) fn select(wanted: &[bool], lists: Vec<Vec<Expected>>) -> Vec<Vec<Expected>> {
    lists
        .into_iter()
        .zip(wanted)
        .filter(|(_, is_wanted)| **is_wanted)
        .map(|(list, _)| list)
        .collect()
}

pub(super) fn matrices() -> impl Iterator<Item = Matrix> {
    MATRICES.into_iter().map(|(rows, columns)| Matrix { rows, columns })
}

pub(super) fn gaussian_head(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (matrix, floor) in matrices().flat_map(|matrix| [(matrix, 0.0), (matrix, 1e-3)]) {
        let (len, columns) = (matrix.element_count(), matrix.columns);
        cases.push(
            Case::new(format!("{matrix:?}, floor {floor}"))
                .float(draw.normal(2 * len).into_iter().map(|x| 4.0 * x).collect())
                .output(len)
                .output(len)
                .call(move |device, x, out| {
                    let [mean, variance] = out else { panic!("bug: two outputs") };
                    device.gaussian_head(matrix, floor, x[0], mean.reborrow(), variance.reborrow())
                })
                .expect(move |x, _| {
                    let at = |i: usize, half: usize| {
                        x[0][i / columns * 2 * columns + half * columns + i % columns]
                    };
                    vec![
                        (0..len).map(|i| Expected::exact(at(i, 0))).collect(),
                        (0..len).map(|i| Expected::ulps(softplus(at(i, 1)) + floor, 4.0)).collect(),
                    ]
                }),
        );
    }
    cases
}

pub(super) fn gaussian_head_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (matrix, has) in matrices()
        .flat_map(|matrix| [[true, true], [true, false], [false, true]].map(|has| (matrix, has)))
    {
        let (len, columns) = (matrix.element_count(), matrix.columns);
        let case = Case::new(format!("{matrix:?}, adjoints {has:?}"))
            .float(draw.normal(2 * len).into_iter().map(|x| 4.0 * x).collect());
        let case = (0..2).filter(|&i| has[i]).fold(case, |case, _| case.float(draw.normal(len)));
        let place = [has[0].then_some(1), has[1].then_some(1 + usize::from(has[0]))];
        cases.push(
            case.output(2 * len)
                .call(move |device, x, out| {
                    let [mean, variance] = place.map(|place| place.map(|at| x[at]));
                    device.gaussian_head_backward(matrix, x[0], mean, variance, out[0].reborrow())
                })
                .expect(move |x, _| {
                    let element = |j: usize| {
                        let (r, c) = (j / (2 * columns), j % (2 * columns));
                        let (half, i) = (c / columns, r * columns + c % columns);
                        let g = place[half].map_or(0.0, |at| x[at][i]);
                        if half == 0 {
                            Expected::exact(g)
                        } else {
                            Expected::ulps(g * sigmoid(x[0][j]), 5.0)
                        }
                    };
                    vec![(0..2 * len).map(element).collect()]
                }),
        );
    }
    cases
}

pub(super) fn reparameterise(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for len in LENGTHS {
        cases.push(
            Case::new(format!("length {len}"))
                .float(draw.normal(len))
                .float(draw.variance(len))
                .float(draw.normal(len))
                .output(len)
                .call(move |device, x, out| {
                    device.reparameterise(gaussian(x, 0), x[2], out[0].reborrow())
                })
                .expect(move |x, _| {
                    vec![(0..len).map(|i| of_terms([x[0][i], x[1][i].sqrt() * x[2][i]])).collect()]
                }),
        );
    }
    cases
}

const WANTED: [[bool; 2]; 3] = [[true, true], [true, false], [false, true]];

pub(super) fn reparameterise_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    let wants = WANTED.map(|wanted| (wanted, false)).into_iter().chain([([true, true], true)]);
    for (len, (wanted, add)) in
        LENGTHS.into_iter().flat_map(|len| wants.clone().map(move |wanted| (len, wanted)))
    {
        let case = Case::new(format!("length {len}, wanted {wanted:?}, added {add}"))
            .float(draw.variance(len))
            .float(draw.normal(len))
            .float(draw.normal(len));
        cases.push(
            wanted
                .into_iter()
                .filter(|&wanted| wanted)
                .fold(
                    case,
                    |case, _| if add { case.in_place(draw.normal(len)) } else { case.output(len) },
                )
                .call(move |device, x, out| {
                    device.reparameterise_backward(
                        x[0],
                        x[1],
                        x[2],
                        add,
                        gradient(wanted, &mut out.iter_mut().map(ViewMut::reborrow)),
                    )
                })
                .expect(move |x, before| {
                    let mean: Vec<_> = x[2].iter().map(|&g| Expected::exact(g)).collect();
                    let variance: Vec<_> = (0..len)
                        .map(|i| Expected::ulps(x[2][i] * x[1][i] / (2.0 * x[0][i].sqrt()), 6.0))
                        .collect();
                    if add {
                        return vec![added(&before[0], &mean), added(&before[1], &variance)];
                    }
                    select(&wanted, vec![mean, variance])
                }),
        );
    }
    cases
}

/// before + more.
fn added(before: &[f64], more: &[Expected]) -> Vec<Expected> {
    let sum = |(&before, more): (&f64, &Expected)| Expected {
        value: before + more.value,
        scale: more.scale + before.abs() + more.value.abs(),
    };
    before.iter().zip(more).map(sum).collect()
}

/// Every matrix, and how often each row of x is repeated.
fn repeated_matrices() -> impl Iterator<Item = (Matrix, usize)> {
    [
        (0, 5, 3),
        (1, 1, 1),
        (6, 7, 3),
        (5, 64, 5),
        (2, 257, 1),
        (66, 131, 2),
        (1031, 3, 1),
        (13, 784, 1),
        (260, 300, 20),
    ]
    .into_iter()
    .map(|(rows, columns, repeat)| (Matrix { rows, columns }, repeat))
}

pub(super) fn gaussian_log_prob(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (matrix, repeat) in repeated_matrices() {
        let (len, columns) = (matrix.element_count(), matrix.columns);
        cases.push(
            Case::new(format!("{matrix:?}, repeat {repeat}"))
                .float(draw.normal(len / repeat))
                .float(draw.normal(len))
                .float(draw.variance(len))
                .output(matrix.rows)
                .call(move |device, x, out| {
                    device.gaussian_log_prob(
                        matrix,
                        repeat,
                        x[0],
                        gaussian(x, 1),
                        out[0].reborrow(),
                    )
                })
                .expect(move |x, _| {
                    vec![row_sums(matrix, |i| {
                        let d = x[0][i / columns / repeat * columns + i % columns] - x[1][i];
                        [-0.5 * LN_TAU, -0.5 * x[2][i].ln(), -0.5 * d * d / x[2][i]]
                    })]
                }),
        );
    }
    cases
}

pub(super) fn gaussian_log_prob_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    let wants =
        [[true, true, true], [true, false, false], [false, true, false], [false, false, true]];
    for ((matrix, repeat), wanted) in
        repeated_matrices().flat_map(|case| wants.map(|wanted| (case, wanted)))
    {
        let (len, columns) = (matrix.element_count(), matrix.columns);
        let case = Case::new(format!("{matrix:?}, repeat {repeat}, wanted {wanted:?}"))
            .float(draw.normal(len / repeat))
            .float(draw.normal(len))
            .float(draw.variance(len))
            .float(draw.normal(matrix.rows));
        let lens = [len / repeat, len, len];
        cases.push(
            (0..3)
                .filter(|&i| wanted[i])
                .fold(case, |case, i| case.output(lens[i]))
                .call(move |device, x, out| {
                    let mut out = out.iter_mut().map(ViewMut::reborrow);
                    let grad_x = if wanted[0] { out.next() } else { None };
                    let grad_p = gradient([wanted[1], wanted[2]], &mut out);
                    device.gaussian_log_prob_backward(
                        matrix,
                        repeat,
                        x[0],
                        gaussian(x, 1),
                        x[3],
                        grad_x,
                        grad_p,
                    )
                })
                .expect(move |x, _| {
                    let source = |i: usize| i / columns / repeat * columns + i % columns;
                    let (d, g) =
                        (|i: usize| x[0][source(i)] - x[1][i], |i: usize| x[3][i / columns]);
                    let mut terms = vec![Vec::new(); len / repeat];
                    (0..len).for_each(|i| terms[source(i)].push(-g(i) * d(i) / x[2][i]));
                    let variance = |i: usize| {
                        of_terms([
                            g(i) * d(i) * d(i) / x[2][i] / (2.0 * x[2][i]),
                            -g(i) / (2.0 * x[2][i]),
                        ])
                    };
                    let lists = vec![
                        terms.into_iter().map(Expected::sum).collect(),
                        (0..len).map(|i| Expected::ulps(g(i) * d(i) / x[2][i], 6.0)).collect(),
                        (0..len).map(variance).collect(),
                    ];
                    select(&wanted, lists)
                }),
        );
    }
    cases
}

pub(super) fn standard_normal_log_prob(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for matrix in matrices() {
        cases.push(
            Case::new(format!("{matrix:?}"))
                .float(draw.normal(matrix.element_count()))
                .output(matrix.rows)
                .call(move |device, x, out| {
                    device.standard_normal_log_prob(matrix, x[0], out[0].reborrow())
                })
                .expect(move |x, _| {
                    vec![row_sums(matrix, |i| [-0.5 * LN_TAU, -0.5 * x[0][i] * x[0][i]])]
                }),
        );
    }
    cases
}

pub(super) fn standard_normal_log_prob_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for matrix in matrices() {
        let len = matrix.element_count();
        cases.push(
            Case::new(format!("{matrix:?}"))
                .float(draw.normal(len))
                .float(draw.normal(matrix.rows))
                .output(len)
                .call(move |device, x, out| {
                    device.standard_normal_log_prob_backward(matrix, x[0], x[1], out[0].reborrow())
                })
                .expect(move |x, _| {
                    vec![
                        (0..len)
                            .map(|i| Expected::ulps(-x[1][i / matrix.columns] * x[0][i], 2.0))
                            .collect(),
                    ]
                }),
        );
    }
    cases
}

/// Mean and variance of p at element `i`: inputs `first` and the next, or the standard normal.
pub(super) fn prior(x: &[Vec<f64>], has_prior: bool, i: usize) -> (f64, f64) {
    if has_prior { (x[2][i], x[3][i]) } else { (0.0, 1.0) }
}

/// The Gaussian q, and p if there is one.
pub(super) fn two_gaussians(draw: &mut Draw, case: Case, len: usize, has_prior: bool) -> Case {
    let case = case.float(draw.normal(len)).float(draw.variance(len));
    if has_prior { case.float(draw.normal(len)).float(draw.variance(len)) } else { case }
}

pub(super) fn gaussian_kl(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (matrix, has_prior) in matrices().flat_map(|matrix| [(matrix, true), (matrix, false)]) {
        let case = Case::new(format!("{matrix:?}, prior {has_prior}"));
        cases.push(
            two_gaussians(draw, case, matrix.element_count(), has_prior)
                .output(matrix.rows)
                .call(move |device, x, out| {
                    device.gaussian_kl(
                        matrix,
                        gaussian(x, 0),
                        has_prior.then(|| gaussian(x, 2)),
                        out[0].reborrow(),
                    )
                })
                .expect(move |x, _| {
                    vec![row_sums(matrix, |i| {
                        let ((mq, vq), (mp, vp)) = ((x[0][i], x[1][i]), prior(x, has_prior, i));
                        [
                            0.5 * vp.ln(),
                            -0.5 * vq.ln(),
                            0.5 * vq / vp,
                            0.5 * (mq - mp).powi(2) / vp,
                            -0.5,
                        ]
                    })]
                }),
        );
    }
    cases
}

pub(super) fn gaussian_kl_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    let wants = [
        (true, [true; 4]),
        (true, [true, true, false, false]),
        (true, [false, false, true, true]),
        (false, [true, true, false, false]),
        (true, [false, true, true, false]),
    ];
    for (matrix, (has_prior, wanted)) in
        matrices().flat_map(|matrix| wants.map(|wanted| (matrix, wanted)))
    {
        let len = matrix.element_count();
        let case = Case::new(format!("{matrix:?}, prior {has_prior}, wanted {wanted:?}"));
        let case = two_gaussians(draw, case, len, has_prior).float(draw.normal(matrix.rows));
        let grad_at = if has_prior { 4 } else { 2 };
        cases.push(
            wanted
                .into_iter()
                .filter(|&wanted| wanted)
                .fold(case, |case, _| case.output(len))
                .call(move |device, x, out| {
                    let mut out = out.iter_mut().map(ViewMut::reborrow);
                    let grad_q = gradient([wanted[0], wanted[1]], &mut out);
                    let grad_p = gradient([wanted[2], wanted[3]], &mut out);
                    device.gaussian_kl_backward(
                        matrix,
                        gaussian(x, 0),
                        has_prior.then(|| gaussian(x, 2)),
                        x[grad_at],
                        grad_q,
                        grad_p,
                    )
                })
                .expect(move |x, _| {
                    let element = |i: usize| {
                        let ((mq, vq), (mp, vp), g) = (
                            (x[0][i], x[1][i]),
                            prior(x, has_prior, i),
                            x[grad_at][i / matrix.columns],
                        );
                        let d = mq - mp;
                        let (half, mean) = (0.5 * g, Expected::ulps(g * d / vp, 6.0));
                        let variance_p = of_terms([
                            half / vp,
                            -half * vq / (vp * vp),
                            -half * d * d / (vp * vp),
                        ]);
                        [mean, of_terms([half / vp, -half / vq]), mean.times(-1.0), variance_p]
                    };
                    select(
                        &wanted,
                        (0..4).map(|k| (0..len).map(|i| element(i)[k]).collect()).collect(),
                    )
                }),
        );
    }
    cases
}
