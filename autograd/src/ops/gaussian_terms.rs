//! The Gaussian terms of a bound: log-densities and KLs, summed over the units of each row.

use rung_kernels::backend::{GaussianGradient, Matrix};
use rung_kernels::{Error, Result, Shape, ViewMut};
use smallvec::smallvec;

use super::draw;
use super::gaussian::{Gaussian, all_alike, draw_gaussian, view_of};
use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Refused, Saves, Shapes, apply_one};
use crate::tensor::Tensor;

pub(super) fn matrix(operation: &'static str, shape: &Shape) -> Result<Matrix> {
    match shape.sizes() {
        &[rows, columns] => Ok(Matrix { rows, columns }),
        _ => Err(Error::shape(operation, "operands must be [batch, units]", &[("x", *shape)])),
    }
}

/// How often the rows of `x` are repeated to meet those of the distribution.
pub(super) fn repeats(operation: &'static str, x: &Shape, parameters: &Shape) -> Result<usize> {
    let (x_matrix, matrix) = (matrix(operation, x)?, matrix(operation, parameters)?);
    let fits = x_matrix.columns == matrix.columns
        && (x_matrix.rows == matrix.rows || x_matrix.rows > 0 && matrix.rows % x_matrix.rows == 0);
    if fits {
        return Ok(if x_matrix.rows == matrix.rows { 1 } else { matrix.rows / x_matrix.rows });
    }
    let rule = "columns must agree, and the rows of the distribution be a multiple of those of x";
    Err(Error::shape(operation, rule, &[("x", *x), ("distribution", *parameters)]))
}

/// out[r] = Σ_c −½[ln 2π + ln v + (x − m)²/v].  With d = x − m, g = grad_out[r]: grad_x = −g·d/v,
/// grad_m = g·d/v, grad_v = g·(d²/v − 1)/(2v). Row r of the Gaussian meets row r div repeats of x.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogProb;

impl Operation for LogProb {
    fn name(&self) -> &'static str {
        "gaussian_log_prob"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let parameters = all_alike(self.name(), &inputs[1..], &["mean", "variance"])?;
        repeats(self.name(), &inputs[0].shape, &parameters)?;
        Ok(smallvec![Shape::from([parameters.sizes()[0]])])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let (x, mean, variance) = (inputs[0], inputs[1], inputs[2]);
        let (matrix, repeat) =
            (matrix(self.name(), &mean.shape)?, repeats(self.name(), &x.shape, &mean.shape)?);
        x.device.gaussian_log_prob(
            matrix,
            repeat,
            x.view(),
            view_of(mean, variance),
            outputs[0].reborrow(),
        )
    }

    fn saves(&self) -> Saves {
        Saves::inputs([0, 1, 2])
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let [x, mean, variance] = [0, 1, 2].map(|i| adjoint.saved(i));
        let (device, grad_out) = (adjoint.device(), adjoint.grad_out());
        let (matrix, repeat) =
            (matrix(self.name(), &mean.shape)?, repeats(self.name(), &x.shape, &mean.shape)?);
        adjoint.emit_together([0, 1, 2], |[grad_x, grad_mean, grad_variance]| {
            let grad_p = GaussianGradient { mean: grad_mean, variance: grad_variance };
            device.gaussian_log_prob_backward(
                matrix,
                repeat,
                x.view(),
                view_of(&mean, &variance),
                grad_out.view(),
                grad_x,
                grad_p,
            )
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "gaussian_log_prob",
            case: |rng| {
                let (rows, columns, repeat) =
                    (draw::size(rng), draw::size(rng), draw::size(rng).min(3));
                let [mean, variance] = draw_gaussian(rng, [rows * repeat, columns]);
                let inputs = vec![draw::uniform(rng, [rows, columns], -2.0, 2.0), mean, variance];
                draw::case("gaussian_log_prob", inputs, |x| {
                    Gaussian { mean: x[1].clone(), variance: x[2].clone() }.log_prob(&x[0])
                })
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    let (x, p) = (
                        Tensor::from_f64(device, &[1.0; 6], [2, 3])?,
                        Tensor::from_f64(device, &[1.0; 9], [3, 3])?,
                    );
                    Gaussian { mean: p.clone(), variance: p }.log_prob(&x).map(drop)
                };
                vec![Refused { call, message: "a multiple of those of x" }]
            },
        }]
    }
}

/// out[r] = Σ_c −½[ln 2π + x²];  grad_x = −grad_out[r] · x.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StandardLogProb;

impl Operation for StandardLogProb {
    fn name(&self) -> &'static str {
        "standard_normal_log_prob"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        Ok(smallvec![Shape::from([matrix(self.name(), &inputs[0].shape)?.rows])])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let matrix = matrix(self.name(), &inputs[0].shape)?;
        inputs[0].device.standard_normal_log_prob(matrix, inputs[0].view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        Saves::inputs([0])
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, x, grad_out) = (adjoint.device(), adjoint.saved(0), adjoint.grad_out());
        let matrix = matrix(self.name(), &x.shape)?;
        adjoint.emit(0, |grad_x| {
            device.standard_normal_log_prob_backward(matrix, x.view(), grad_out.view(), grad_x)
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "standard_normal_log_prob",
            case: |rng| {
                let shape = [draw::size_or_zero(rng), draw::size(rng)];
                draw::case(
                    "standard_normal_log_prob",
                    vec![draw::uniform(rng, shape, -2.0, 2.0)],
                    |x| x[0].standard_normal_log_prob(),
                )
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    Tensor::from_f64(device, &[1.0], [1])?.standard_normal_log_prob().map(drop)
                };
                vec![Refused { call, message: "operands must be [batch, units]" }]
            },
        }]
    }
}

/// out[r] = KL(q‖p) = ½ Σ_c [ln vp − ln vq + (vq + (mq − mp)²)/vp − 1].
///
/// With d = mq − mp, g = grad_out[r]: grad_mq = g·d/vp, grad_vq = ½g(1/vp − 1/vq), grad_mp =
/// −g·d/vp, grad_vp = ½g(1/vp − (vq + d²)/vp²).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kl;

impl Operation for Kl {
    fn name(&self) -> &'static str {
        "gaussian_kl"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let shape =
            all_alike(self.name(), inputs, &["q mean", "q variance", "p mean", "p variance"])?;
        Ok(smallvec![Shape::from([matrix(self.name(), &shape)?.rows])])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let (q, p) = (view_of(inputs[0], inputs[1]), view_of(inputs[2], inputs[3]));
        inputs[0].device.gaussian_kl(
            matrix(self.name(), &inputs[0].shape)?,
            q,
            Some(p),
            outputs[0].reborrow(),
        )
    }

    fn saves(&self) -> Saves {
        Saves::inputs([0, 1, 2, 3])
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let [mq, vq, mp, vp] = [0, 1, 2, 3].map(|i| adjoint.saved(i));
        let (device, grad_out) = (adjoint.device(), adjoint.grad_out());
        let matrix = matrix(self.name(), &mq.shape)?;
        adjoint.emit_together([0, 1, 2, 3], |[grad_mq, grad_vq, grad_mp, grad_vp]| {
            let grad_q = GaussianGradient { mean: grad_mq, variance: grad_vq };
            let grad_p = GaussianGradient { mean: grad_mp, variance: grad_vp };
            device.gaussian_kl_backward(
                matrix,
                view_of(&mq, &vq),
                Some(view_of(&mp, &vp)),
                grad_out.view(),
                grad_q,
                grad_p,
            )
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "gaussian_kl",
            case: |rng| {
                let shape = [draw::size_or_zero(rng), draw::size(rng)];
                let inputs = [draw_gaussian(rng, shape), draw_gaussian(rng, shape)].concat();
                draw::case("gaussian_kl", inputs, |x| {
                    let q = Gaussian { mean: x[0].clone(), variance: x[1].clone() };
                    q.kl(&Gaussian { mean: x[2].clone(), variance: x[3].clone() })
                })
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    let (a, b) = (
                        Tensor::from_f64(device, &[1.0; 6], [2, 3])?,
                        Tensor::from_f64(device, &[1.0; 6], [3, 2])?,
                    );
                    let gaussian = |x: &Tensor| Gaussian { mean: x.clone(), variance: x.clone() };
                    gaussian(&a).kl(&gaussian(&b)).map(drop)
                };
                vec![Refused { call, message: "all shapes must be the same" }]
            },
        }]
    }
}

/// out[r] = KL(q‖N(0, I)) = ½ Σ_c [m² + v − ln v − 1];  grad_m = g·m, grad_v = ½g(1 − 1/v).
#[derive(Clone, Copy, Debug)]
pub(crate) struct StandardKl;

impl Operation for StandardKl {
    fn name(&self) -> &'static str {
        "standard_normal_kl"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let shape = all_alike(self.name(), inputs, &["mean", "variance"])?;
        Ok(smallvec![Shape::from([matrix(self.name(), &shape)?.rows])])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let matrix = matrix(self.name(), &inputs[0].shape)?;
        inputs[0].device.gaussian_kl(
            matrix,
            view_of(inputs[0], inputs[1]),
            None,
            outputs[0].reborrow(),
        )
    }

    fn saves(&self) -> Saves {
        Saves::inputs([0, 1])
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, mean, variance, grad_out) =
            (adjoint.device(), adjoint.saved(0), adjoint.saved(1), adjoint.grad_out());
        let matrix = matrix(self.name(), &mean.shape)?;
        adjoint.emit_together([0, 1], |[grad_mean, grad_variance]| {
            let grad_q = GaussianGradient { mean: grad_mean, variance: grad_variance };
            let nothing = GaussianGradient { mean: None, variance: None };
            device.gaussian_kl_backward(
                matrix,
                view_of(&mean, &variance),
                None,
                grad_out.view(),
                grad_q,
                nothing,
            )
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "standard_normal_kl",
            case: |rng| {
                let shape = [draw::size_or_zero(rng), draw::size(rng)];
                draw::case("standard_normal_kl", draw_gaussian(rng, shape).into(), |x| {
                    Gaussian { mean: x[0].clone(), variance: x[1].clone() }.kl_to_standard_normal()
                })
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    let (mean, variance) = (
                        Tensor::from_f64(device, &[1.0; 2], [1, 2])?,
                        Tensor::from_f64(device, &[1.0], [1, 1])?,
                    );
                    Gaussian { mean, variance }.kl_to_standard_normal().map(drop)
                };
                vec![Refused { call, message: "all shapes must be the same" }]
            },
        }]
    }
}

impl Gaussian {
    /// Log-density of each row, in nats:
    /// `out[r] = Σ_c −½[ln 2π + ln variance + (x − mean)²/variance]`.
    ///
    /// The distribution may have several rows for each row of `x` (its samples): row r meets row r
    /// div repeats.
    ///
    /// # Errors
    /// `Shape` if the columns differ or the rows are no multiple.
    ///
    /// # Example
    /// ```
    /// # use rung_autograd::{Device, Tensor, ops::Gaussian};
    /// let cpu = Device::cpu();
    /// let scalar = |value| Tensor::from_f64(&cpu, &[value], [1, 1]);
    /// let p = Gaussian { mean: scalar(-0.2)?, variance: scalar(0.5)? };
    /// assert!((p.log_prob(&scalar(0.3)?)?.to_scalar()? - -0.822365).abs() < 1e-6);
    /// # Ok::<(), rung_autograd::Error>(())
    /// ```
    pub fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        apply_one(LogProb, &[x, &self.mean, &self.variance])
    }

    /// Kullback-Leibler divergence (KL) from this distribution (q) to `p`, for each row, in nats.
    ///
    /// # Errors
    /// `Shape` if the four shapes are not the same [batch, units].
    pub fn kl(&self, p: &Self) -> Result<Tensor> {
        apply_one(Kl, &[&self.mean, &self.variance, &p.mean, &p.variance])
    }

    /// Kullback-Leibler divergence (KL) to the standard normal, for each row, in nats.
    ///
    /// # Errors
    /// `Shape` if the two shapes are not the same [batch, units].
    pub fn kl_to_standard_normal(&self) -> Result<Tensor> {
        apply_one(StandardKl, &[&self.mean, &self.variance])
    }
}

impl Tensor {
    /// Log-density of each row under the standard normal, in nats.
    ///
    /// # Errors
    /// `Shape` unless the tensor is [batch, units].
    pub fn standard_normal_log_prob(&self) -> Result<Self> {
        apply_one(StandardLogProb, &[self])
    }
}
