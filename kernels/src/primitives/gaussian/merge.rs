//! Parity cases of the precision-weighted merge.

use super::{gaussian, gradient, of_terms, select, two_gaussians};
use crate::ViewMut;
use crate::primitives::case::{Case, Draw, Expected, LENGTHS};

pub(in crate::primitives) fn merge(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for len in LENGTHS {
        cases.push(
            two_gaussians(draw, Case::new(format!("length {len}")), len, true)
                .output(len)
                .output(len)
                .call(move |device, x, out| {
                    let [mean, variance] = out else { panic!("bug: two outputs") };
                    device.merge(
                        gaussian(x, 0),
                        gaussian(x, 2),
                        mean.reborrow(),
                        variance.reborrow(),
                    )
                })
                .expect(move |x, _| {
                    let (m1, v1, m2, v2) = (&x[0], &x[1], &x[2], &x[3]);
                    let mean = |i: usize| {
                        of_terms([m1[i] * v2[i] / (v1[i] + v2[i]), m2[i] * v1[i] / (v1[i] + v2[i])])
                    };
                    let variance = |i: usize| Expected::ulps(v1[i] * v2[i] / (v1[i] + v2[i]), 5.0);
                    vec![(0..len).map(mean).collect(), (0..len).map(variance).collect()]
                }),
        );
    }
    cases
}

pub(in crate::primitives) fn merge_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    let kinds = [
        ([true, true], [true; 4]),
        ([true, false], [true; 4]),
        ([false, true], [true, true, false, false]),
        ([true, true], [false, true, true, false]),
    ];
    for (len, (has, wanted)) in LENGTHS.into_iter().flat_map(|len| kinds.map(|kind| (len, kind))) {
        let case = two_gaussians(
            draw,
            Case::new(format!("length {len}, adjoints {has:?}, wanted {wanted:?}")),
            len,
            true,
        );
        let case = (0..2).filter(|&i| has[i]).fold(case, |case, _| case.float(draw.normal(len)));
        let place = [has[0].then_some(4), has[1].then_some(4 + usize::from(has[0]))];
        cases.push(
            wanted
                .into_iter()
                .filter(|&wanted| wanted)
                .fold(case, |case, _| case.output(len))
                .call(move |device, x, out| {
                    let mut out = out.iter_mut().map(ViewMut::reborrow);
                    let [mean, variance] = place.map(|place| place.map(|at| x[at]));
                    let grad_first = gradient([wanted[0], wanted[1]], &mut out);
                    let grad_second = gradient([wanted[2], wanted[3]], &mut out);
                    device.merge_backward(
                        gaussian(x, 0),
                        gaussian(x, 2),
                        mean,
                        variance,
                        grad_first,
                        grad_second,
                    )
                })
                .expect(move |x, _| {
                    let element = |i: usize| {
                        let (m1, v1, m2, v2) = (x[0][i], x[1][i], x[2][i], x[3][i]);
                        let [g_mean, g_variance] =
                            place.map(|place| place.map_or(0.0, |at| x[at][i]));
                        let s = v1 + v2;
                        let of_variance = |own: f64, other_m: f64, m: f64| {
                            of_terms([
                                g_mean * own * (other_m - m) / (s * s),
                                g_variance * (own / s).powi(2),
                            ])
                        };
                        [
                            Expected::ulps(g_mean * v2 / s, 5.0),
                            of_variance(v2, m2, m1),
                            Expected::ulps(g_mean * v1 / s, 5.0),
                            of_variance(v1, m1, m2),
                        ]
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
