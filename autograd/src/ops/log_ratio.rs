//! The log-ratio of two Gaussians at a sample: one latent layer's term of a bound.

use rung_kernels::backend::GaussianGradient;
use rung_kernels::{Result, Shape, ViewMut};
use smallvec::smallvec;

use super::draw;
use super::gaussian::{Gaussian, all_alike, draw_gaussian, view_of};
use super::gaussian_terms::matrix;
use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Refused, Saves, Shapes, apply_one};
use crate::tensor::Tensor;

/// out[r] = Σ_c ½[ln(vp/vq) + (z − mp)²/vp − (z − mq)²/vq]; without p, N(0, 1).
///
/// With dq = (z − mq)/vq, dp = (z − mp)/vp, g = grad_out[r]: grad_z = g(dp − dq), grad_mq = g·dq,
/// grad_vq = ½g(dq² − 1/vq), grad_mp = −g·dp, grad_vp = ½g(1/vp − dp²).
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogRatio;

impl Operation for LogRatio {
    fn name(&self) -> &'static str {
        "gaussian_log_ratio"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let shape =
            all_alike(self.name(), inputs, &["z", "q mean", "q variance", "p mean", "p variance"])?;
        Ok(smallvec![Shape::from([matrix(self.name(), &shape)?.rows])])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let (z, q) = (inputs[0], view_of(inputs[1], inputs[2]));
        let p = (inputs.len() > 3).then(|| view_of(inputs[3], inputs[4]));
        z.device.gaussian_log_ratio(
            matrix(self.name(), &z.shape)?,
            z.view(),
            q,
            p,
            outputs[0].reborrow(),
        )
    }

    fn saves(&self) -> Saves {
        Saves::inputs([0, 1, 2, 3, 4])
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let [z, mq, vq] = [0, 1, 2].map(|i| adjoint.saved(i));
        let p = (adjoint.node.inputs.len() > 3).then(|| [3, 4].map(|i| adjoint.saved(i)));
        let p = p.as_ref().map(|[mean, variance]| view_of(mean, variance));
        let (device, grad_out) = (adjoint.device(), adjoint.grad_out());
        let matrix = matrix(self.name(), &z.shape)?;
        adjoint.emit_together([0, 1, 2, 3, 4], |[grad_z, grad_mq, grad_vq, grad_mp, grad_vp]| {
            let grad_q = GaussianGradient { mean: grad_mq, variance: grad_vq };
            let grad_p = GaussianGradient { mean: grad_mp, variance: grad_vp };
            let q = view_of(&mq, &vq);
            device.gaussian_log_ratio_backward(
                matrix,
                z.view(),
                q,
                p,
                grad_out.view(),
                grad_z,
                grad_q,
                grad_p,
            )
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "gaussian_log_ratio",
            case: |rng| {
                use rand::RngExt;
                let shape = [draw::size_or_zero(rng), draw::size(rng)];
                let mut inputs = vec![draw::uniform(rng, shape, -2.0, 2.0)];
                inputs.extend(draw_gaussian(rng, shape));
                if rng.random() {
                    inputs.extend(draw_gaussian(rng, shape));
                }
                draw::case("gaussian_log_ratio", inputs, |x| {
                    let gaussian = |first: usize| Gaussian {
                        mean: x[first].clone(),
                        variance: x[first + 1].clone(),
                    };
                    gaussian(1).log_ratio((x.len() > 3).then(|| gaussian(3)).as_ref(), &x[0])
                })
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    let (a, b) = (
                        Tensor::from_f64(device, &[1.0; 6], [2, 3])?,
                        Tensor::from_f64(device, &[1.0; 6], [3, 2])?,
                    );
                    Gaussian { mean: a.clone(), variance: a }.log_ratio(None, &b).map(drop)
                };
                vec![Refused { call, message: "all shapes must be the same" }]
            },
        }]
    }
}

impl Gaussian {
    /// log q(z) − log p(z) of each row, in nats, for this distribution q: a one-sample estimate of
    /// KL(q‖p) where z is drawn from q.
    ///
    /// `out[r] = Σ_c ½[ln(vp/vq) + (z − mp)²/vp − (z − mq)²/vq]`; `p` None is the standard normal.
    ///
    /// # Errors
    /// `Shape` if the shapes are not all the same [batch, units].
    pub fn log_ratio(&self, p: Option<&Self>, z: &Tensor) -> Result<Tensor> {
        match p {
            Some(p) => apply_one(LogRatio, &[z, &self.mean, &self.variance, &p.mean, &p.variance]),
            None => apply_one(LogRatio, &[z, &self.mean, &self.variance]),
        }
    }
}
