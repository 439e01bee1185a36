//! What a trained model shows of itself: samples, reconstructions, its latents, and the generative
//! network to play with.

use rung_datasets::ImageShape;
use rung_models::{LatentSource, Statistics};

use crate::data::DeviceImages;
use crate::error::Result;
use crate::model::Model;
use crate::report::explorer::{Explorer, Subjects};
use crate::report::principal::{Principal, principal};
use crate::tasks::Panel;
use crate::tasks::latent::encoding::{Encoded, LayerLatents, encode};
use crate::tasks::latent::pictures::{self, Wanted};

/// Images in the grid of each layer's samples, 8 by 8.
const SAMPLES: usize = 64;
/// Originals with their reconstructions.
const RECONSTRUCTIONS: usize = 30;
/// Held-out images whose latents are looked at: enough for clusters to be seen, few enough for a
/// small file.
const LATENTS: usize = 2000;
/// The seed of everything drawn: that of `rung sample` and `rung encode` when nobody says another.
pub const SEED: u64 = 1;

/// A model and the images it is shown.
pub struct ShownModel<'a> {
    /// The model.
    pub model: &'a Model,
    /// What batch normalisation uses.
    pub statistics: &'a Statistics,
    /// `exact` or `running` statistics of batch normalisation, if the model has it.
    pub statistics_name: Option<&'static str>,
    /// The shape of an image.
    pub shape: ImageShape,
    /// Held-out images, if the data is at hand.
    pub images: Option<&'a DeviceImages>,
    /// Whether the explorer is wanted.
    pub explorer: bool,
}

/// The pictures and numbers of a trained model.
#[derive(Debug, Clone, Default)]
pub struct ModelFigures {
    /// `exact` or `running` statistics of batch normalisation, if the model has it.
    pub statistics_name: Option<&'static str>,
    /// Which images were looked at, in words.
    pub images: Option<String>,
    /// PNG files: 64 images drawn at each layer, z_1 first.
    pub samples: Vec<Vec<u8>>,
    /// PNG file: originals, each with its reconstruction to the right.
    pub reconstructions: Option<Vec<u8>>,
    /// KL(q(z_i|·) ‖ N(0, I)) of each layer in nats per image, z_1 first; empty without images.
    pub normal_kl: Vec<f64>,
    /// The latents of each layer on the plane of their principal components; empty without images.
    pub planes: Vec<Principal>,
    /// The classes of the images.
    pub labels: Option<Vec<u32>>,
    /// The generative network for the page, or in words why there is none; `None` if it was not
    /// wanted.
    pub explorer: Option<std::result::Result<Explorer, String>>,
    /// What the task shows besides.
    pub panels: Vec<Panel>,
}

impl ModelFigures {
    /// Draws everything.
    ///
    /// # Errors
    /// If the device has no memory, or the images are of another size than the model's.
    pub fn new(shown: &ShownModel<'_>) -> Result<Self> {
        let ShownModel { model, statistics, images, .. } = *shown;
        let panels = images
            .map(|images| model.task.panels(model, statistics, images))
            .transpose()?
            .unwrap_or_default();
        let common = Self {
            statistics_name: shown.statistics_name,
            images: images.map(|images| format!("{} {} images", images.count(), images.split())),
            panels,
            ..Self::default()
        };
        let Some(network) = model.task.latent() else { return Ok(common) };
        let depth = network.depth();
        let source = |layer| match model.family.draws_layers_alone() {
            true => LatentSource::StandardNormal { layer, count: SAMPLES },
            // With skip connections no layer can be drawn without those above.
            false => LatentSource::SharedAbove { layer, count: SAMPLES },
        };
        let grid = |layer| {
            let wanted = Wanted::means(source(layer), SEED);
            let drawn = pictures::samples(model, statistics, &wanted, &mut |_, _| ())?;
            drawn.grid_to_fit(8, 1)?.png()
        };
        let samples = (1..=depth).map(grid).collect::<Result<_>>()?;
        let encoded = images.map(|images| encoded(shown, images)).transpose()?.unwrap_or_default();
        let latents = &encoded.layers;
        let reconstruct = |images: &DeviceImages| {
            let count = RECONSTRUCTIONS.min(images.count());
            let (originals, reconstructions) =
                pictures::reconstructions(model, statistics, images, count, SEED)?;
            originals.side_by_side(&reconstructions)?.grid_to_fit(12, 1)?.png()
        };
        let plane = |layer: &LayerLatents| principal(&layer.z, layer.units);
        let labels = images.and_then(|images| {
            Some(images.single_labels()?[..LATENTS.min(images.count())].to_vec())
        });
        let subjects = Subjects { shown, encoded: &encoded };
        Ok(Self {
            samples,
            reconstructions: images.map(reconstruct).transpose()?,
            normal_kl: latents.iter().map(normal_kl).collect(),
            planes: latents.iter().map(plane).collect(),
            labels,
            explorer: shown.explorer.then(|| Explorer::new(&subjects)).transpose()?,
            ..common
        })
    }
}

/// The latents and class probabilities of the first held-out images.
fn encoded(shown: &ShownModel<'_>, images: &DeviceImages) -> Result<Encoded> {
    let wanted = (LATENTS.min(images.count()), SEED);
    let encoded = encode(shown.model, shown.statistics, images, wanted, || false, |_| ())?;
    Ok(encoded.unwrap_or_default())
}

/// Mean over images of Σ_j ½ (m² + v − ln v − 1), in nats (specification section 7.3).
fn normal_kl(layer: &LayerLatents) -> f64 {
    let term = |(&mean, &variance): (&f32, &f32)| {
        let (m, v) = (f64::from(mean), f64::from(variance));
        0.5 * (m * m + v - v.ln() - 1.0)
    };
    let sum: f64 = layer.mean.iter().zip(&layer.variance).map(term).sum();
    sum * layer.units as f64 / layer.mean.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Specification section 7.3: KL(N(m, v) ‖ N(0, 1)) = ½ (m² + v − ln v − 1).
    #[test]
    fn the_kl_sums_over_units_and_averages_over_images() {
        let layer = LayerLatents {
            units: 2,
            z: vec![0.0; 4],
            mean: vec![1.0, 0.0, 1.0, 0.0],
            variance: vec![1.0, 1.0, 1.0, 4.0],
            kl_nats: Vec::new(),
        };
        // Images: ½ + 0 and ½ + ½(3 − ln 4).
        let expected = 0.5 + 0.25 * (3.0 - 4f64.ln());
        assert!((normal_kl(&layer) - expected).abs() < 1e-9);
    }
}
