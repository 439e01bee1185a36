//! Samples of the latents of given images, for bounds, encodings and reconstructions: the class is
//! the likeliest one.

use rung_autograd::Result;

use super::model::{AuxiliaryModel, Of, OfImages};
use super::network::Classes;
use crate::labelled::likeliest_class;
use crate::latent::{Latent, LatentModel, Posterior, Prior, Sampled, SampledClass, no_layer_left};
use crate::pass::Pass;

/// q(a, z|x) of some images.
#[derive(Debug)]
pub(super) struct AuxiliaryPosterior<'a> {
    model: &'a AuxiliaryModel,
    images: OfImages,
}

impl<'a> AuxiliaryPosterior<'a> {
    /// That of these images by the model.
    pub(super) const fn new(model: &'a AuxiliaryModel, images: OfImages) -> Self {
        Self { model, images }
    }
}

impl Posterior for AuxiliaryPosterior<'_> {
    /// With a skipped, the latents are z alone, which q(z|a, y, x) proposes whatever a was: the
    /// bound holds for each a. The SDGM then draws a from p(a|y, z); in the ADGM x does not depend
    /// on it.
    fn sample_above(
        &self,
        pass: &mut Pass<'_>,
        samples: usize,
        skipped_layers: usize,
    ) -> Result<Sampled> {
        let Self { model, images } = self;
        if skipped_layers >= model.depth() {
            return Err(no_layer_left(skipped_layers, model.depth()));
        }
        let features = model.features(pass, images, samples, Of::Images)?;
        let class = features.class_log_probs.as_ref().map(likeliest_class).transpose()?;
        let classes = class.as_ref().map_or(Classes::None, Classes::Given);
        let (q_z, z) = model.sample_latent(pass, &features, classes, Of::Images)?;
        let latent = Latent { q: q_z, p: Prior::StandardNormal, z: z.clone() };
        let (a, latents) = if skipped_layers > 0 {
            let is_drawn = model.config().generates_from_auxiliary();
            let a = if is_drawn { model.draw_auxiliary(pass, &z, classes, false)? } else { None };
            (a, vec![latent])
        } else {
            let of_image = features.to_auxiliary.clone();
            let p = model.auxiliary_prior(pass, of_image, &z, classes)?;
            let p = Prior::from(p);
            let a = features.auxiliary.as_ref().map(|(_, a)| a.clone());
            let auxiliary = features.auxiliary.clone().map(|(q, z)| Latent { q, p, z });
            (a, auxiliary.into_iter().chain([latent]).collect())
        };
        let p_x = model.observe(pass, a.as_ref(), &z, classes)?;
        let class = features
            .class_log_probs
            .map(|log_q| SampledClass { log_p: model.log_p_class(), log_q: Some(log_q) });
        Ok(Sampled { latents, p_x, class })
    }
}
