//! Training the inference networks on images that the model draws itself (Bachman 2016): there is
//! no end of them, and what q must find of each is what the model drew.

use rung_autograd::{Error, Result, Tensor};

use crate::distributions::Bernoulli;
use crate::latent::{LatentModel, LatentSource};
use crate::objective::{ObjectiveConfig, bound};
use crate::observation::ObservationParameters;
use crate::pass::Pass;

/// What the names of the generative model's parameters begin with.
const GENERATIVE: &str = "generative.";

/// −L of as many `images` (a rank's share of those of the step) as are drawn from the model: x ~
/// p(x|z), z ~ p(z). The images and the parameters of the generative model are constants, so that
/// the gradient is that of the inference networks alone.
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
    let noise = drawing.pixel_noise();
    let x = match (drawing.share(), p_x) {
        // The pixels of these rows of the whole batch.
        (Some(share), ObservationParameters::Bernoulli(logits)) => {
            let before = share.batch.first;
            Bernoulli { logits }.sample_behind(before, noise)?
        }
        (None, p_x) => p_x.sample(noise, &mut |_, _| ())?,
        (Some(_), _) => {
            let rule = "ranks share the drawing of black and white images alone";
            return Err(Error::argument("fantasy_loss", rule));
        }
    };
    Ok(bound(model, &mut pass.of_fantasies(GENERATIVE)?, &x, config)?.loss)
}
