//! Training the inference networks on images that the model draws itself (Bachman 2016): there is
//! no end of them, and what q must find of each is what the model drew.

use rung_autograd::{Result, Tensor};

use crate::latent::{LatentModel, LatentSource};
use crate::objective::{ObjectiveConfig, bound};
use crate::pass::Pass;

/// What the names of the generative model's parameters begin with.
const GENERATIVE: &str = "generative.";

/// −L of as many `images` as are drawn from the model: x ~ p(x|z), z ~ p(z). The images and the
/// parameters of the generative model are constants, so that the gradient is that of the inference
/// networks alone.
///
/// The published training makes a step of its own of it, after each step on data; here both losses
/// are minimised in one.
///
/// # Errors
/// As [`bound`].
pub fn fantasy_loss(
    model: &dyn LatentModel,
    pass: &Pass<'_>,
    images: usize,
    config: &ObjectiveConfig,
) -> Result<Tensor> {
    let mut drawing = pass.of_fantasies(GENERATIVE)?.untracked();
    let source = LatentSource::StandardNormal { layer: model.depth(), count: images };
    let p_x = model.generate(&mut drawing, &source)?;
    let x = p_x.sample(drawing.pixel_noise(), &mut |_, _| ())?;
    Ok(bound(model, &mut pass.of_fantasies(GENERATIVE)?, &x, config)?.loss)
}
