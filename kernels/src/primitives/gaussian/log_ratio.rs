//! Parity cases of the log-ratio of two Gaussians at a sample.

use super::{gaussian, gradient, matrices, of_terms, prior, row_sums, select, two_gaussians};
use crate::ViewMut;
use crate::primitives::case::{Case, Draw, Expected};

pub(in crate::primitives) fn gaussian_log_ratio(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (matrix, has_prior) in matrices().flat_map(|matrix| [(matrix, true), (matrix, false)]) {
        let (len, z_at) = (matrix.element_count(), if has_prior { 4 } else { 2 });
        let case = Case::new(format!("{matrix:?}, prior {has_prior}"));
        cases.push(
            two_gaussians(draw, case, len, has_prior)
                .float(draw.normal(len))
                .output(matrix.rows)
                .call(move |device, x, out| {
                    let p = has_prior.then(|| gaussian(x, 2));
                    device.gaussian_log_ratio(matrix, x[z_at], gaussian(x, 0), p, out[0].reborrow())
                })
                .expect(move |x, _| {
                    vec![row_sums(matrix, |i| {
                        let ((mq, vq), (mp, vp), z) =
                            ((x[0][i], x[1][i]), prior(x, has_prior, i), x[z_at][i]);
                        [
                            0.5 * vp.ln(),
                            -0.5 * vq.ln(),
                            0.5 * (z - mp).powi(2) / vp,
                            -0.5 * (z - mq).powi(2) / vq,
                        ]
                    })]
                }),
        );
    }
    cases
}

pub(in crate::primitives) fn gaussian_log_ratio_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    let wants = [
        (true, [true; 5]),
        (true, [true, false, false, false, false]),
        (true, [false, true, true, false, false]),
        (true, [false, false, false, true, true]),
        (false, [true, true, true, false, false]),
        (true, [false, false, true, true, false]),
    ];
    for (matrix, (has_prior, wanted)) in
        matrices().flat_map(|matrix| wants.map(|wanted| (matrix, wanted)))
    {
        let (len, z_at) = (matrix.element_count(), if has_prior { 4 } else { 2 });
        let case = Case::new(format!("{matrix:?}, prior {has_prior}, wanted {wanted:?}"));
        let case = two_gaussians(draw, case, len, has_prior)
            .float(draw.normal(len))
            .float(draw.normal(matrix.rows));
        cases.push(
            wanted
                .into_iter()
                .filter(|&wanted| wanted)
                .fold(case, |case, _| case.output(len))
                .call(move |device, x, out| {
                    let mut out = out.iter_mut().map(ViewMut::reborrow);
                    let grad_z = if wanted[0] { out.next() } else { None };
                    let grad_q = gradient([wanted[1], wanted[2]], &mut out);
                    let grad_p = gradient([wanted[3], wanted[4]], &mut out);
                    let (q, p) = (gaussian(x, 0), has_prior.then(|| gaussian(x, 2)));
                    device.gaussian_log_ratio_backward(
                        matrix,
                        x[z_at],
                        q,
                        p,
                        x[z_at + 1],
                        grad_z,
                        grad_q,
                        grad_p,
                    )
                })
                .expect(move |x, _| {
                    let element = |i: usize| {
                        let ((mq, vq), (mp, vp)) = ((x[0][i], x[1][i]), prior(x, has_prior, i));
                        let (z, g) = (x[z_at][i], x[z_at + 1][i / matrix.columns]);
                        let (q_score, p_score, half) = ((z - mq) / vq, (z - mp) / vp, 0.5 * g);
                        [
                            of_terms([-g * q_score, g * p_score]),
                            Expected::ulps(g * q_score, 6.0),
                            of_terms([half * q_score * q_score, -half / vq]),
                            Expected::ulps(-g * p_score, 6.0),
                            of_terms([half / vp, -half * p_score * p_score]),
                        ]
                    };
                    select(
                        &wanted,
                        (0..5).map(|k| (0..len).map(|i| element(i)[k]).collect()).collect(),
                    )
                }),
        );
    }
    cases
}
