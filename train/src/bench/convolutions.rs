//! The convolutions of a model for `rung bench kernels`.

use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, Tensor};
use rung_kernels::backend::Convolution;
use serde_json::json;

use super::Timing;
use super::kernels::timed;
use crate::error::{Context, Result};

/// A convolution of the bottom-up pass, in one of its three forms.
pub struct Kernel {
    form: &'static str,
    convolution: Convolution,
    /// How often one bottom-up pass computes it.
    count: usize,
}

const FORMS: [&str; 3] = ["convolution", "its input gradient", "weight gradient"];

/// The convolutions of a bottom-up pass in their three forms, each once, the most work first.
pub fn kernels(convolutions: &[Convolution]) -> Vec<Kernel> {
    let mut kernels: Vec<Kernel> = Vec::new();
    for &convolution in convolutions {
        for form in FORMS {
            match kernels
                .iter_mut()
                .find(|kernel| kernel.form == form && kernel.convolution == convolution)
            {
                Some(kernel) => kernel.count += 1,
                None => kernels.push(Kernel { form, convolution, count: 1 }),
            }
        }
    }
    kernels.sort_by_key(|kernel| (kernel.form, std::cmp::Reverse(kernel.flop() as u64)));
    kernels
}

impl Kernel {
    /// Two operations for each multiply-add of the product with as many.
    pub fn flop(&self) -> f64 {
        let product = self.convolution.product();
        2.0 * product.rows as f64 * product.columns as f64 * product.inner as f64
    }

    /// Times it on random numbers.
    ///
    /// # Errors
    /// If the device fails.
    pub fn time(&self, device: &Device) -> Result<Timing> {
        let Self { form, convolution, .. } = *self;
        let sizes =
            [convolution.input_matrix(), convolution.weight_matrix(), convolution.output_matrix()];
        let random = |stream: u32| {
            let shape = [sizes[stream as usize].rows, sizes[stream as usize].columns];
            Tensor::normal(device, DType::F32, Address::new(1, stream, 0), shape)
                .context("filling a map")
        };
        let (x, weight, y) = (random(0)?, random(1)?, random(2)?);
        timed(device, || {
            let of = |like: &Tensor| *like.shape();
            let done = match form {
                "convolution" => Tensor::build(device, DType::F32, of(&y), |out| {
                    device.conv2d(convolution, x.view(), weight.view(), None, out)
                }),
                "its input gradient" => Tensor::build(device, DType::F32, of(&x), |out| {
                    device.conv2d_transpose(convolution, y.view(), weight.view(), None, out)
                }),
                _ => Tensor::build(device, DType::F32, of(&weight), |out| {
                    device.conv2d_weight_gradient(convolution, x.view(), y.view(), out)
                }),
            };
            done.map(drop).context("convolving")
        })
    }

    /// A line of what was measured.
    pub fn line(&self, timing: &Timing, json: bool) -> String {
        let Convolution {
            batch,
            input: [height, width],
            in_channels,
            out_channels,
            kernel: [side, _],
            stride,
            ..
        } = self.convolution;
        let (Timing { median, min, max }, Self { form, count, .. }) = (*timing, self);
        let gflop_per_s = self.flop() / median / 1e6;
        if json {
            return json!({
                "kernel": "conv2d", "form": form, "batch": batch, "height": height, "width": width,
                "in_channels": in_channels,
                "out_channels": out_channels, "kernel_side": side, "stride": stride, "count": count,
                "gflop_per_s": gflop_per_s, "ms_median": median, "ms_min": min, "ms_max": max,
            })
            .to_string();
        }
        let sizes =
            format!("{height}x{width}, {in_channels} to {out_channels}, {side}x{side} by {stride}");
        format!(
            "{form:<18} {sizes:<30} {count:>3} in a pass {gflop_per_s:>8.1} GFLOP/s {median:>9.4} \
            ms ({min:.4} to {max:.4})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sources::{Sources, layered};
    use crate::data::published_shape;
    use rung_kernels::backend::Padding;

    #[test]
    fn the_convolutions_are_those_of_the_bottom_up_pass() {
        let config =
            layered(&Sources { preset: Some("biva-mnist-small"), ..Sources::default() }).unwrap();
        let shape = published_shape(&config.data).unwrap();
        let kernels = kernels(&config.family.convolutions(shape, 48));
        assert_eq!(kernels.iter().map(|kernel| kernel.count).sum::<usize>(), 3 * 2 * 6);
        let largest = &kernels[0];
        let expected = Convolution {
            batch: 48,
            input: [14, 14],
            in_channels: 24,
            out_channels: 32,
            kernel: [3, 3],
            stride: 1,
            padding: Padding::Same,
        };
        assert!(
            kernels.iter().any(|kernel| kernel.convolution == expected),
            "the first of stage 2"
        );
        assert!(largest.flop() >= kernels[1].flop() && largest.form == "convolution");
    }
}
