//! Weight normalisation: a weight's direction and its length as parameters of their own (Salimans
//! and Kingma 2016).

use rung_kernels::{AxisExtent, DType, Error, Result, Shape, ViewMut};
use smallvec::smallvec;

use super::draw;
use super::reduce::extent_of;
use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Refused, Saves, Shapes, apply_one};
use crate::tensor::Tensor;

/// out = gain/n · v with n = ‖v‖ of each channel;  grad_gain = ⟨grad_out, v⟩/n,  grad_v = gain/n ·
/// (grad_out − grad_gain · v/n).
#[derive(Clone, Copy, Debug)]
pub(crate) struct WeightNorm {
    channel_axis: usize,
}

impl WeightNorm {
    fn extent(&self, v: &Shape) -> Result<AxisExtent> {
        extent_of(self.name(), v, self.channel_axis)
    }
}

impl Operation for WeightNorm {
    fn name(&self) -> &'static str {
        "weight_norm"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let (v, gain) = (inputs[0].shape, inputs[1].shape);
        let channels = self.extent(&v)?.axis;
        if gain.sizes() == [channels] {
            return Ok(smallvec![v]);
        }
        let rule = format!("the gain must have one number for each of the {channels} channels");
        Err(Error::shape(self.name(), rule, &[("v", v), ("gain", gain)]))
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let extent = self.extent(&inputs[0].shape)?;
        inputs[0].device.weight_norm(
            extent,
            inputs[0].view(),
            inputs[1].view(),
            outputs[0].reborrow(),
        )
    }

    fn saves(&self) -> Saves {
        Saves::inputs([0, 1])
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, v, gain, grad_out) =
            (adjoint.device(), adjoint.saved(0), adjoint.saved(1), adjoint.grad_out());
        let extent = self.extent(&v.shape)?;
        adjoint.emit_together([0, 1], |[grad_v, grad_gain]| {
            device.weight_norm_backward(
                extent,
                v.view(),
                gain.view(),
                grad_out.view(),
                grad_v,
                grad_gain,
            )
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "weight_norm",
            case: |rng| {
                use rand::RngExt;
                let shape = [draw::size(rng).min(5), draw::size(rng).min(5), draw::size(rng)];
                let channel_axis = rng.random_range(0..3);
                let v = draw::signed(rng, shape, 0.3, 2.0);
                let gain = draw::uniform(rng, [shape[channel_axis]], -2.0, 2.0);
                let what = format!("weight_norm along {channel_axis}");
                draw::case(what, vec![v, gain], move |x| x[0].weight_norm(&x[1], channel_axis))
            },
            refused: || {
                let no_axis = |device: &rung_kernels::Device| {
                    let (v, gain) = (
                        Tensor::zeros(device, DType::F64, [2, 3])?,
                        Tensor::zeros(device, DType::F64, [3])?,
                    );
                    v.weight_norm(&gain, 2).map(drop)
                };
                let few_gains = |device: &rung_kernels::Device| {
                    let (v, gain) = (
                        Tensor::zeros(device, DType::F64, [2, 3])?,
                        Tensor::zeros(device, DType::F64, [2])?,
                    );
                    v.weight_norm(&gain, 1).map(drop)
                };
                vec![
                    Refused { call: no_axis, message: "axis 2" },
                    Refused { call: few_gains, message: "one number for each of the 3 channels" },
                ]
            },
        }]
    }
}

impl Tensor {
    /// This weight with each channel's vector scaled to the length that `gain` says (Salimans and
    /// Kingma 2016).
    ///
    /// `w = gain[c] · v/‖v‖`, the norm over all axes but `channel_axis`. With `n = ‖v‖`:
    /// `grad_gain = ⟨grad_w, v⟩/n`, `grad_v = gain/n · (grad_w − grad_gain · v/n)`.
    ///
    /// | weight | stored | channel axis |
    /// |---|---|---|
    /// | dense | `[in, out]` | 1 |
    /// | convolution | `[height, width, in, out]` | 3 |
    /// | transposed convolution | `[height, width, out, in]` | 2 |
    ///
    /// **Edges.** A channel of zeros has no direction: it gives NaN.
    /// **Cost.** Two passes over v forward, two over v and grad_w backward.
    ///
    /// # Errors
    /// `Shape` if there is no such axis, or the gain is not one number for each channel.
    ///
    /// # Example
    /// ```
    /// # use rung_autograd::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let v = Tensor::from_f64(&cpu, &[3.0, 0.0, 4.0, 2.0], [2, 2])?;
    /// let w = v.weight_norm(&Tensor::from_f64(&cpu, &[10.0, 1.0], [2])?, 1)?;
    /// assert_eq!(w.to_f64()?, [6.0, 0.0, 8.0, 1.0]);
    /// # Ok::<(), rung_autograd::Error>(())
    /// ```
    pub fn weight_norm(&self, gain: &Self, channel_axis: usize) -> Result<Self> {
        apply_one(WeightNorm { channel_axis }, &[self, gain])
    }
}
