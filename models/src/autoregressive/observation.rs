//! p(x|z) of given latents: the likelihood of images, all positions at once.

use rung_autograd::{Error, Result, Tensor};

use super::ELU;
use super::masked::MaskedKernel;
use crate::observation::{ObservationParameters, PixelObservation};

/// p(x|z) = Π_i p(x_i | x_<i, z) over the positions in raster order, one row for each sample of the
/// latents. The channels of a position are predicted together.
#[derive(Clone, Debug)]
pub struct Autoregressive {
    pub(super) pixels: PixelObservation,
    pub(super) layers: Vec<ConditionedLayer>,
    /// W: [channels, parameters of a position].
    pub(super) output: Tensor,
    /// Parameters without the pixels before: [rows, height, width, parameters of a position].
    pub(super) base: Tensor,
    /// Whether backward recomputes all that comes between these tensors and log p.
    pub(super) recomputes: bool,
}

/// A masked convolution and the summand that the latents give.
#[derive(Clone, Debug)]
pub(super) struct ConditionedLayer {
    pub(super) kernel: MaskedKernel,
    /// W_l F + b_l: [rows, height, width, channels].
    pub(super) added: Tensor,
}

impl Autoregressive {
    /// log p(x|z) of each row, in nats. The rows are a multiple of those of `x`: its samples.
    ///
    /// # Errors
    /// `Shape` if the sizes do not fit.
    pub fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        if !self.recomputes {
            return self.conditionals(x)?.log_prob(x);
        }
        let mut tensors = Vec::new();
        let form = self.mapped(|tensor| {
            tensors.push(tensor.clone());
            tensor.detach()
        });
        let x = x.detach();
        Tensor::recomputed(&tensors.iter().collect::<Vec<_>>(), move |tensors| {
            let mut tensors = tensors.iter();
            // As many as `mapped` has shown, in its order.
            let p_x = form.mapped(|old| tensors.next().unwrap_or(old).clone());
            p_x.conditionals(&x)?.log_prob(&x)
        })
    }

    /// The same with other tensors in place of each.
    fn mapped(&self, mut change: impl FnMut(&Tensor) -> Tensor) -> Self {
        let layer = |ConditionedLayer { kernel, added }: &ConditionedLayer| ConditionedLayer {
            kernel: kernel.with_weight(&mut change),
            added: change(added),
        };
        Self {
            pixels: self.pixels,
            layers: self.layers.iter().map(layer).collect(),
            output: change(&self.output),
            base: change(&self.base),
            recomputes: self.recomputes,
        }
    }

    /// p(x_i | x_<i, z) of every position i for the given images. What depends on them alone is
    /// computed once for each image, however many rows are its samples.
    ///
    /// # Errors
    /// `Shape` if the rows are no samples of these images.
    pub fn conditionals(&self, x: &Tensor) -> Result<ObservationParameters> {
        let maps = self.pixels.image.maps("autoregressive", x)?.affine(2.0, -1.0)?;
        let (images, rows) = (maps.shape().sizes()[0], self.base.shape().sizes()[0]);
        if rows.checked_rem(images) != Some(0) {
            let rule = format!("{rows} rows of parameters are no samples of {images} images");
            return Err(Error::shape("autoregressive", rule, &[("x", *x.shape())]));
        }
        let mut features: Option<Tensor> = None;
        for ConditionedLayer { kernel, added } in &self.layers {
            let seen = match &features {
                None => kernel.convolve(&maps)?.repeat_rows(rows / images)?,
                Some(g) => kernel.convolve(g)?.add(g)?,
            };
            features = Some(seen.add(added)?.activate(ELU)?);
        }
        self.pixels.distribution(&self.parameters(features, &self.base)?)
    }

    /// base + W g for features of any positions, [rows, …, channels].
    pub(super) fn parameters(&self, features: Option<Tensor>, base: &Tensor) -> Result<Tensor> {
        let Some(g) = features else { return Ok(base.clone()) };
        let (positions, channels) = g.shape().as_matrix();
        let change = g.reshape([positions, channels])?.matmul(&self.output)?;
        base.add(&change.reshape(*base.shape())?)
    }
}
