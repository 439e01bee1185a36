//! Diagonal Gaussians: how a network makes one, how it is sampled, how two are merged.

use rung_kernels::backend::{GaussianGradient, GaussianView, Matrix};
use rung_kernels::{Error, Result, Shape, ViewMut};
use smallvec::smallvec;

use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{
    CaseInput, Declaration, Operation, Outputs, Positions, Refused, Saves, Shapes, apply, apply_one,
};
use crate::tensor::Tensor;

/// Mean and variance of a Gaussian with diagonal covariance, one row for each example.
#[derive(Clone, Debug)]
pub struct Gaussian {
    /// Mean of each unit.
    pub mean: Tensor,
    /// Variance (σ²) of each unit: neither a logarithm nor a standard deviation.
    pub variance: Tensor,
}

impl Gaussian {
    /// Of an operation whose first two outputs are the two.
    pub(super) fn from_outputs(outputs: Outputs) -> Result<Self> {
        let mut outputs = outputs.into_iter();
        match (outputs.next(), outputs.next()) {
            (Some(mean), Some(variance)) => Ok(Self { mean, variance }),
            _ => Err(Error::argument("gaussian", "bug: two outputs expected; please report it")),
        }
    }
}

/// Refuses inputs whose shapes are not all the same.
pub(super) fn all_alike(
    operation: &'static str,
    inputs: &[&Tensor],
    names: &[&'static str],
) -> Result<Shape> {
    let first = inputs[0].shape;
    if inputs.iter().all(|input| input.shape == first) {
        return Ok(first);
    }
    let shapes: Vec<_> =
        names.iter().copied().zip(inputs.iter().map(|input| input.shape)).collect();
    Err(Error::shape(operation, "all shapes must be the same", &shapes))
}

/// The parameters of a random Gaussian, variances well above 0.
pub(super) fn draw_gaussian(
    rng: &mut rung_kernels::rng::Philox,
    shape: impl Into<Shape>,
) -> [CaseInput; 2] {
    let shape = shape.into();
    [draw::uniform(rng, shape, -1.5, 1.5), draw::uniform(rng, shape, 0.3, 2.0)]
}

/// [a | b] of [rows, 2n] becomes mean = a and variance = softplus(b) + floor; grad =
/// [grad_mean | grad_variance · sigmoid(b)].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    floor: f64,
}

impl Operation for Head {
    fn name(&self) -> &'static str {
        "gaussian_head"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let x = inputs[0].shape;
        if x.rank() == 2 && x.last().is_multiple_of(2) {
            let half = Shape::from([x.sizes()[0], x.last() / 2]);
            return Ok(smallvec![half, half]);
        }
        Err(Error::shape(self.name(), "x must be [batch, 2 · units]", &[("x", x)]))
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let [mean, variance] = outputs else {
            return Err(Error::argument(self.name(), "bug: two outputs expected"));
        };
        let (rows, columns) = inputs[0].shape.as_matrix();
        let half = Matrix { rows, columns: columns / 2 };
        inputs[0].device.gaussian_head(
            half,
            self.floor,
            inputs[0].view(),
            mean.reborrow(),
            variance.reborrow(),
        )
    }

    fn saves(&self) -> Saves {
        Saves::inputs([0])
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, x) = (adjoint.device(), adjoint.saved(0));
        let (grad_mean, grad_variance) = (adjoint.grad_out_of(0), adjoint.grad_out_of(1));
        let (rows, columns) = x.shape.as_matrix();
        let half = Matrix { rows, columns: columns / 2 };
        let (grad_mean, grad_variance) =
            (grad_mean.as_ref().map(Tensor::view), grad_variance.as_ref().map(Tensor::view));
        adjoint.emit(0, |grad_x| {
            device.gaussian_head_backward(half, x.view(), grad_mean, grad_variance, grad_x)
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "gaussian_head",
            case: |rng| {
                use rand::RngExt;
                let (rows, units) = (draw::size_or_zero(rng), draw::size(rng));
                let which = rng.random_range(0..3);
                draw::case_of_many(
                    "gaussian_head",
                    vec![draw::uniform(rng, [rows, 2 * units], -4.0, 4.0)],
                    move |x| {
                        let Gaussian { mean, variance } = x[0].gaussian_head(1e-5)?;
                        Ok(match which {
                            0 => vec![mean],
                            1 => vec![variance],
                            _ => vec![mean, variance],
                        })
                    },
                )
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    Tensor::from_f64(device, &[0.0; 6], [2, 3])?.gaussian_head(0.0).map(drop)
                };
                vec![Refused { call, message: "x must be [batch, 2 · units]" }]
            },
        }]
    }
}

/// out = mean + √variance · noise;  grad_mean = grad_out, grad_variance = grad_out ·
/// noise/(2√variance).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample;

impl Operation for Sample {
    fn name(&self) -> &'static str {
        "sample"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        Ok(smallvec![all_alike(self.name(), inputs, &["mean", "variance", "noise"])?])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let q = GaussianView { mean: inputs[0].view(), variance: inputs[1].view() };
        inputs[0].device.reparameterise(q, inputs[2].view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        Saves::inputs([1, 2])
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, variance, noise, grad_out) =
            (adjoint.device(), adjoint.saved(1), adjoint.saved(2), adjoint.grad_out());
        if adjoint.needs(2) {
            adjoint.emit_tensor(2, grad_out.mul(&variance.sqrt()?)?)?;
        }
        let added = adjoint.add_in_place([0, 1], |[grad_mean, grad_variance]| {
            let grad = GaussianGradient { mean: Some(grad_mean), variance: Some(grad_variance) };
            device.reparameterise_backward(
                variance.view(),
                noise.view(),
                grad_out.view(),
                true,
                grad,
            )
        })?;
        if added {
            return Ok(());
        }
        adjoint.emit(1, |grad_variance| {
            let grad = GaussianGradient { mean: None, variance: Some(grad_variance) };
            device.reparameterise_backward(
                variance.view(),
                noise.view(),
                grad_out.view(),
                false,
                grad,
            )
        })?;
        adjoint.emit_tensor(0, grad_out)
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "sample",
            case: |rng| {
                let shape = draw::shape(rng);
                let [mean, variance] = draw_gaussian(rng, shape);
                let noise = draw::uniform(rng, shape, -2.0, 2.0);
                draw::case("sample", vec![mean, variance, noise], |x| {
                    Gaussian { mean: x[0].clone(), variance: x[1].clone() }.sample_with(&x[2])
                })
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    let (x, noise) = (
                        Tensor::from_f64(device, &[1.0; 6], [2, 3])?,
                        Tensor::from_f64(device, &[0.0; 3], [3])?,
                    );
                    Gaussian { mean: x.clone(), variance: x }.sample_with(&noise).map(drop)
                };
                vec![Refused { call, message: "all shapes must be the same" }]
            },
        }]
    }
}

/// Precision-weighted merge of two Gaussians (Sønderby 2016, eqs 17 and 18); see [`merge`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Merge;

impl Operation for Merge {
    fn name(&self) -> &'static str {
        "merge"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let names = ["first mean", "first variance", "second mean", "second variance"];
        let shape = all_alike(self.name(), inputs, &names)?;
        Ok(smallvec![shape, shape])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let [mean, variance] = outputs else {
            return Err(Error::argument(self.name(), "bug: two outputs expected"));
        };
        let (first, second) = (view_of(inputs[0], inputs[1]), view_of(inputs[2], inputs[3]));
        inputs[0].device.merge(first, second, mean.reborrow(), variance.reborrow())
    }

    fn saves(&self) -> Saves {
        Saves { inputs: Positions::of([0, 1, 2, 3]), outputs: Positions::NONE }
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let [m1, v1, m2, v2] = [0, 1, 2, 3].map(|i| adjoint.saved(i));
        let (device, grad_mean, grad_variance) =
            (adjoint.device(), adjoint.grad_out_of(0), adjoint.grad_out_of(1));
        let (grad_mean, grad_variance) =
            (grad_mean.as_ref().map(Tensor::view), grad_variance.as_ref().map(Tensor::view));
        adjoint.emit_together([0, 1, 2, 3], |[grad_m1, grad_v1, grad_m2, grad_v2]| {
            let grad_first = GaussianGradient { mean: grad_m1, variance: grad_v1 };
            let grad_second = GaussianGradient { mean: grad_m2, variance: grad_v2 };
            device.merge_backward(
                view_of(&m1, &v1),
                view_of(&m2, &v2),
                grad_mean,
                grad_variance,
                grad_first,
                grad_second,
            )
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "merge",
            case: |rng| {
                use rand::RngExt;
                let shape = draw::shape(rng);
                let inputs = [draw_gaussian(rng, shape), draw_gaussian(rng, shape)].concat();
                let which = rng.random_range(0..3);
                draw::case_of_many("merge", inputs, move |x| {
                    let first = Gaussian { mean: x[0].clone(), variance: x[1].clone() };
                    let Gaussian { mean, variance } =
                        merge(&first, &Gaussian { mean: x[2].clone(), variance: x[3].clone() })?;
                    Ok(match which {
                        0 => vec![mean],
                        1 => vec![variance],
                        _ => vec![mean, variance],
                    })
                })
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    let (a, b) = (
                        Tensor::from_f64(device, &[1.0; 6], [2, 3])?,
                        Tensor::from_f64(device, &[1.0; 6], [3, 2])?,
                    );
                    let gaussian = |x: &Tensor| Gaussian { mean: x.clone(), variance: x.clone() };
                    merge(&gaussian(&a), &gaussian(&b)).map(drop)
                };
                vec![Refused { call, message: "all shapes must be the same" }]
            },
        }]
    }
}

pub(super) fn view_of<'a>(mean: &'a Tensor, variance: &'a Tensor) -> GaussianView<'a> {
    GaussianView { mean: mean.view(), variance: variance.view() }
}

/// The product of two Gaussian densities, normalised: precisions add, means are weighted by them
/// (Sønderby 2016, eqs 17 and 18).
///
/// variance = v₁v₂/(v₁ + v₂),  mean = (m₁v₂ + m₂v₁)/(v₁ + v₂): the same numbers without forming
/// 1/v.
///
/// # Errors
/// `Shape` if the four shapes are not the same.
///
/// # Example
/// ```
/// # use rung_autograd::{Device, Tensor, ops::{Gaussian, merge}};
/// let cpu = Device::cpu();
/// let gaussian = |mean, variance| -> Result<Gaussian, rung_autograd::Error> {
///     let [mean, variance] = [mean, variance].map(|value| Tensor::from_f64(&cpu, &[value], [1]));
///     Ok(Gaussian { mean: mean?, variance: variance? })
/// };
/// let merged = merge(&gaussian(0.5, 0.8)?, &gaussian(-1.0, 2.0)?)?;
/// assert!((merged.mean.to_scalar()? - 0.0714286).abs() < 1e-6);
/// assert!((merged.variance.to_scalar()? - 0.5714286).abs() < 1e-6);
/// # Ok::<(), rung_autograd::Error>(())
/// ```
pub fn merge(first: &Gaussian, second: &Gaussian) -> Result<Gaussian> {
    Gaussian::from_outputs(apply(
        Merge,
        &[&first.mean, &first.variance, &second.mean, &second.variance],
    )?)
}

impl Gaussian {
    /// A sample by reparameterisation (Kingma and Welling 2014): mean + √variance · noise.
    ///
    /// # Errors
    /// `Shape` if the noise has another shape.
    pub fn sample_with(&self, noise: &Tensor) -> Result<Tensor> {
        apply_one(Sample, &[&self.mean, &self.variance, noise])
    }

    /// The same distribution for each of `times` samples of every row.
    ///
    /// # Errors
    /// `Shape` if there are no rows.
    pub fn repeat_rows(&self, times: usize) -> Result<Self> {
        Ok(Self {
            mean: self.mean.repeat_rows(times)?,
            variance: self.variance.repeat_rows(times)?,
        })
    }
}

impl Tensor {
    /// The Gaussian that the joined product of a mean head and a variance head gives: mean = left
    /// half of the columns, variance = softplus(right half) + floor.
    ///
    /// # Errors
    /// `Shape` unless the tensor is [batch, 2 · units].
    pub fn gaussian_head(&self, floor: f64) -> Result<Gaussian> {
        Gaussian::from_outputs(apply(Head { floor }, &[self])?)
    }
}
