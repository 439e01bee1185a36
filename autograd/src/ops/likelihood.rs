//! Likelihoods of discrete data, straight from logits.

use rung_kernels::{DType, Error, Result, Shape, ViewMut};
use smallvec::smallvec;

use super::draw;
use super::gaussian_terms::{matrix, repeats};
use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Refused, Saves, Shapes, apply_one};
use crate::tensor::Tensor;

/// out[r] = Σ_c x·l − softplus(l);  grad_l = grad_out[r] · (x − sigmoid(l)),  grad_x = grad_out[r]
/// · l summed over the repeats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BernoulliLogProb;

impl Operation for BernoulliLogProb {
    fn name(&self) -> &'static str {
        "bernoulli_log_prob"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        repeats(self.name(), &inputs[0].shape, &inputs[1].shape)?;
        Ok(smallvec![Shape::from([inputs[1].shape.sizes()[0]])])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let (x, logits) = (inputs[0], inputs[1]);
        let (matrix, repeat) =
            (matrix(self.name(), &logits.shape)?, repeats(self.name(), &x.shape, &logits.shape)?);
        x.device.bernoulli_log_prob(matrix, repeat, x.view(), logits.view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        Saves::inputs([0, 1])
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, x, logits, grad_out) =
            (adjoint.device(), adjoint.saved(0), adjoint.saved(1), adjoint.grad_out());
        let (matrix, repeat) =
            (matrix(self.name(), &logits.shape)?, repeats(self.name(), &x.shape, &logits.shape)?);
        adjoint.emit(1, |grad_logits| {
            device.bernoulli_log_prob_backward(
                matrix,
                repeat,
                x.view(),
                logits.view(),
                grad_out.view(),
                grad_logits,
            )
        })?;
        if adjoint.needs(0) {
            let each = logits.mul(&grad_out.reshape([matrix.rows, 1])?)?;
            adjoint.emit_tensor(
                0,
                each.reshape([matrix.rows / repeat, repeat, matrix.columns])?.sum(1)?,
            )?;
        }
        Ok(())
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "bernoulli_log_prob",
            case: |rng| {
                let (rows, columns, repeat) =
                    (draw::size(rng), draw::size(rng), draw::size(rng).min(3));
                let inputs = vec![
                    draw::binary(rng, [rows, columns]),
                    draw::uniform(rng, [rows * repeat, columns], -4.0, 4.0),
                ];
                draw::case("bernoulli_log_prob", inputs, |x| x[1].bernoulli_log_prob(&x[0]))
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    let (x, logits) = (
                        Tensor::from_f64(device, &[1.0; 6], [2, 3])?,
                        Tensor::from_f64(device, &[1.0; 8], [2, 4])?,
                    );
                    logits.bernoulli_log_prob(&x).map(drop)
                };
                vec![Refused { call, message: "columns must agree" }]
            },
        }]
    }
}

/// out[r] = log_sum_exp_c logits[r, c] − logits[r, label[r]];  grad_logits = grad_out[r] · (softmax
/// − one-hot label).
#[derive(Clone, Copy, Debug)]
pub(crate) struct CrossEntropy;

impl Operation for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let (logits, labels) = (inputs[0], inputs[1]);
        let rows = matrix(self.name(), &logits.shape)?.rows;
        if labels.dtype() != DType::U32 {
            let dtypes = vec![("labels", labels.dtype())];
            return Err(Error::DType {
                operation: self.name(),
                rule: "labels must be u32",
                dtypes,
            });
        }
        if labels.shape.sizes() != [rows] {
            let shapes = [("logits", logits.shape), ("labels", labels.shape)];
            return Err(Error::shape(self.name(), "one label for each row is needed", &shapes));
        }
        Ok(smallvec![labels.shape])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let matrix = matrix(self.name(), &inputs[0].shape)?;
        inputs[0].device.cross_entropy(
            matrix,
            inputs[0].view(),
            inputs[1].view(),
            outputs[0].reborrow(),
        )
    }

    fn saves(&self) -> Saves {
        Saves::inputs([0, 1])
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, logits, labels, grad_out) =
            (adjoint.device(), adjoint.saved(0), adjoint.saved(1), adjoint.grad_out());
        let matrix = matrix(self.name(), &logits.shape)?;
        adjoint.emit(0, |grad_logits| {
            device.cross_entropy_backward(
                matrix,
                logits.view(),
                labels.view(),
                grad_out.view(),
                grad_logits,
            )
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "cross_entropy",
            case: |rng| {
                let (rows, classes) = (draw::size_or_zero(rng), draw::size(rng));
                let inputs = vec![
                    draw::uniform(rng, [rows, classes], -3.0, 3.0),
                    draw::indices(rng, rows, classes),
                ];
                draw::case("cross_entropy", inputs, |x| x[0].cross_entropy(&x[1]))
            },
            refused: || {
                let label_too_large = |device: &rung_kernels::Device| {
                    let logits = Tensor::from_f64(device, &[0.0; 6], [2, 3])?;
                    logits.cross_entropy(&Tensor::from_u32(device, &[0, 3], [2])?).map(drop)
                };
                let label_missing = |device: &rung_kernels::Device| {
                    let logits = Tensor::from_f64(device, &[0.0; 6], [2, 3])?;
                    logits.cross_entropy(&Tensor::from_u32(device, &[0], [1])?).map(drop)
                };
                vec![
                    Refused { call: label_too_large, message: "labels[1] is 3" },
                    Refused { call: label_missing, message: "one label for each row" },
                ]
            },
        }]
    }
}

impl Tensor {
    /// Log-probability of binary data under Bernoulli distributions with these logits, for each
    /// row, in nats.
    ///
    /// `out[r] = Σ_c x·l − softplus(l)`: no probability is formed, so none is clipped. The logits
    /// may have several rows for each row of `x` (its samples): row r meets row r div repeats.
    ///
    /// # Errors
    /// `Shape` if the columns differ or the rows are no multiple.
    ///
    /// # Example
    /// ```
    /// # use rung_autograd::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let x = Tensor::from_f64(&cpu, &[1.0, 0.0], [2, 1])?;
    /// let logits = Tensor::from_f64(&cpu, &[2.0, 2.0], [2, 1])?;
    /// let log_prob = logits.bernoulli_log_prob(&x)?.to_f64()?;
    /// assert!((log_prob[0] - -0.126928).abs() < 1e-6 && (log_prob[1] - -2.126928).abs() < 1e-6);
    /// # Ok::<(), rung_autograd::Error>(())
    /// ```
    pub fn bernoulli_log_prob(&self, x: &Self) -> Result<Self> {
        apply_one(BernoulliLogProb, &[x, self])
    }

    /// Negative log-probability of each row's label (u32) under a softmax of the row's logits, in
    /// nats.
    ///
    /// # Errors
    /// `Shape` unless there is one label a row; `DType` if the labels are not u32; `Argument` if a
    /// label is too large.
    pub fn cross_entropy(&self, labels: &Self) -> Result<Self> {
        apply_one(CrossEntropy, &[self, labels])
    }
}
