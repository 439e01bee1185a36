//! Missing pixels filled in: completions of images, and how well the missing pixels are predicted.

use std::path::Path;

use rung_autograd::Tensor;
use rung_autograd::rng::Phase;
use rung_datasets::ImageShape;
use rung_models::{Imputer, LatentModel, Pass, Statistics};

use super::evaluation::{Estimate, estimate};
use super::pictures;
use crate::data::DeviceImages;
use crate::data::image_grid::Images;
use crate::engine::chunks::in_chunks;
use crate::error::{Context, Error, Result};
use crate::model::Model;
use crate::run::atomic_file;
use crate::tasks::Pixels;

/// Images that pass through the model at once.
const BATCH: usize = 500;
/// How a missing pixel looks in pictures.
const MISSING_GREY: f64 = 0.5;
/// Values that a pixel described by its levels can have.
const LEVELS: usize = 256;

/// What fills in missing pixels.
///
/// # Errors
/// If the model is one of whole images.
pub fn of(network: &dyn LatentModel) -> Result<&dyn Imputer> {
    network.imputer().ok_or_else(|| {
        Error::new("the model is one of whole images: it fills in no missing pixels").with_advice(
            "train one with model.missing = \"quadrants\", such as the preset mnist-matnet-impute",
        )
    })
}

/// Which pixels are missing.
#[derive(Debug, Clone, PartialEq)]
pub enum Mask {
    /// Of each image those that a draw hides, as in training.
    Drawn,
    /// The same of all images: planar, 1 where a pixel is missing.
    Given(Vec<f64>),
}

impl Mask {
    /// Reads a mask from text: a line for each row of pixels, `#` where a pixel is missing and `.`
    /// where it is observed.
    ///
    /// # Errors
    /// If the file can't be read, or is no mask of such an image.
    pub fn read(path: &Path, shape: ImageShape) -> Result<Self> {
        let text = atomic_file::read_text(path)?;
        Self::parse(&text, shape).context(path.display())
    }

    fn parse(text: &str, shape: ImageShape) -> Result<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        if lines.len() != shape.height {
            return Err(Error::new(format!(
                "a mask has a line for each of the {} rows of an image, not {}",
                shape.height,
                lines.len()
            )));
        }
        let mut plane = Vec::with_capacity(shape.height * shape.width);
        for (line, number) in lines.iter().zip(1..) {
            let width = line.chars().count();
            if width != shape.width {
                return Err(Error::new(format!(
                    "line {number}: {width} characters for the {} pixels of a row",
                    shape.width
                )));
            }
            for character in line.chars() {
                plane.push(match character {
                    '#' => 1.0,
                    '.' => 0.0,
                    other => {
                        return Err(Error::new(format!(
                            "line {number}: {other:?} is neither # (missing) nor . (observed)"
                        )));
                    }
                });
            }
        }
        Ok(Self::Given(plane.repeat(shape.channels)))
    }

    /// The masks of some images, [images, values].
    fn of_images(
        &self,
        imputer: &dyn Imputer,
        pass: &Pass<'_>,
        x: &Tensor,
    ) -> rung_autograd::Result<Tensor> {
        let images = x.shape().sizes()[0];
        match self {
            Self::Drawn => imputer.masks(pass, images),
            Self::Given(mask) => {
                let one = Tensor::from_values(x.device(), x.dtype(), mask, [1, mask.len()])?;
                one.repeat_rows(images)
            }
        }
    }
}

/// Rows of pictures: an image with its missing pixels grey, `completions` completions, each the
/// mean of p(x|z) for one sample of the latents, and the image.
///
/// # Errors
/// If the model fills in nothing, or the device has no memory.
pub fn completions(
    model: &Model,
    statistics: &Statistics,
    data: &DeviceImages,
    mask: &Mask,
    (count, completions): (usize, usize),
    seed: u64,
) -> Result<Images> {
    let doing = "filling in missing pixels";
    let (imputer, shape) = (of(model.latent()?)?, data.shape());
    let mut pixels = Vec::with_capacity((completions + 2) * count * shape.values());
    for image in 0..count {
        let x = data.range(image, 1, 0).context(doing)?;
        let part = image..image + 1;
        let mut pass =
            model.image_pass(statistics, (seed, Phase::Reconstruction), &part, 0).context(doing)?;
        let hidden = mask.of_images(imputer, &pass, &x).context(doing)?;
        let grey = hidden.affine(-1.0, 1.0).and_then(|seen| seen.mul(&x));
        let masked = grey.and_then(|grey| grey.add(&hidden.scale(MISSING_GREY)?)).context(doing)?;
        let completed = imputer
            .complete(&mut pass, &x, &hidden, completions)
            .and_then(|p_x| p_x.mean())
            .context(doing)?;
        for pictures_of in [&masked, &completed, &x] {
            pixels.extend(pictures::images(pictures_of, shape)?.pixels());
        }
    }
    Images::new([(completions + 2) * count, shape.channels, shape.height, shape.width], pixels)
}

/// How well missing pixels are predicted, in nats per image and of the missing pixels alone.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// Images.
    pub images: usize,
    /// Missing pixels of an image, in the mean.
    pub missing: f64,
    /// The evidence lower bound of log p(x_missing | x_observed).
    pub bound: Estimate,
    /// What the frequencies of each pixel's values give it, whatever is observed.
    pub baseline: Estimate,
}

/// Predicts the missing pixels of the first `count` images, and by the frequencies of each pixel's
/// values. `progress` hears how many are done. `None` if `stop` said so.
///
/// # Errors
/// If the model fills in nothing, or the device fails.
pub fn predict(
    model: &Model,
    statistics: &Statistics,
    images: &DeviceImages,
    mask: &Mask,
    frequencies: &Frequencies,
    (count, seed): (usize, u64),
    stop: impl Fn() -> bool,
    mut progress: impl FnMut(usize),
) -> Result<Option<Prediction>> {
    let doing = "predicting missing pixels";
    let imputer = of(model.latent()?)?;
    let (mut bounds, mut baselines, mut missing) = (Vec::new(), Vec::new(), 0.0);
    let values = images.shape().values();
    let all_done = in_chunks(count, BATCH, stop, |part| {
        let x = images.range(part.start, part.len(), 0).context(doing)?;
        let mut pass =
            model.image_pass(statistics, (seed, Phase::Evaluation), &part, 0).context(doing)?;
        let hidden = mask.of_images(imputer, &pass, &x).context(doing)?;
        let sampled = imputer.infer_missing(&mut pass, &x, &hidden).context(doing)?;
        let bound = sampled.log_weights(&x).and_then(|bound| bound.to_f64()).context(doing)?;
        let (x, hidden) = (x.to_f64().context(doing)?, hidden.to_f64().context(doing)?);
        bounds.extend(bound);
        for (x, hidden) in x.chunks_exact(values).zip(hidden.chunks_exact(values)) {
            baselines.push(frequencies.log_p(x, hidden));
            missing += hidden.iter().sum::<f64>() / images.shape().channels as f64;
        }
        progress(part.end);
        Ok(())
    })?;
    let images = bounds.len();
    Ok(all_done.then(|| Prediction {
        images,
        missing: missing / images.max(1) as f64,
        bound: estimate(bounds.iter().copied()),
        baseline: estimate(baselines.iter().copied()),
    }))
}

/// How often each pixel has each of its values: what predicts missing pixels without a look at the
/// others.
#[derive(Debug, Clone)]
pub struct Frequencies {
    /// ln p of each value of each pixel: [pixel, value].
    log_p: Vec<f64>,
    /// Values that a pixel can have, evenly from 0 to 1.
    levels: usize,
}

impl Frequencies {
    /// Of some images, each value being counted once more than it occurs (Laplace's rule): none is
    /// impossible.
    ///
    /// # Errors
    /// If the device fails.
    pub fn of(images: &DeviceImages, model: &Model) -> Result<Self> {
        let doing = "counting the values of the training images' pixels";
        let levels = match model.family.pixels().0 {
            Pixels::Binary => 2,
            Pixels::Levels | Pixels::Real | Pixels::Any => LEVELS,
        };
        let values = images.shape().values();
        let mut counts = vec![1_u32; values * levels];
        in_chunks(
            images.count(),
            BATCH,
            || false,
            |part| {
                let x = images.range(part.start, part.len(), 0).context(doing)?;
                for image in x.to_f64().context(doing)?.chunks_exact(values) {
                    for (x, counts) in image.iter().zip(counts.chunks_exact_mut(levels)) {
                        counts[level(*x, levels)] += 1;
                    }
                }
                Ok(())
            },
        )?;
        let total = (images.count() + levels) as f64;
        let log_p = counts.into_iter().map(|count| (f64::from(count) / total).ln()).collect();
        Ok(Self { log_p, levels })
    }

    /// ln p of an image's hidden pixels, those where `hidden` is 1.
    fn log_p(&self, x: &[f64], hidden: &[f64]) -> f64 {
        let of_pixel =
            |((x, hidden), log_p): ((&f64, &f64), &[f64])| hidden * log_p[level(*x, self.levels)];
        x.iter().zip(hidden).zip(self.log_p.chunks_exact(self.levels)).map(of_pixel).sum()
    }
}

/// The number of a value in [0, 1] among so many levels.
fn level(x: f64, levels: usize) -> usize {
    let most = levels - 1;
    ((x * most as f64).round() as usize).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_pixels_alone_count_by_their_frequencies() {
        let log_p: Vec<f64> = [0.25, 0.75, 0.5, 0.5].into_iter().map(f64::ln).collect();
        let frequencies = Frequencies { log_p, levels: 2 };
        assert_eq!(frequencies.log_p(&[1.0, 0.0], &[1.0, 0.0]), 0.75_f64.ln());
        assert_eq!(frequencies.log_p(&[0.0, 0.0], &[1.0, 1.0]), 0.25_f64.ln() + 0.5_f64.ln());
        assert_eq!([0.0, 0.5 / 255.0 + 1e-9, 1.0].map(|x| level(x, 256)), [0, 1, 255]);
    }

    #[test]
    fn a_mask_is_read_from_text_and_a_wrong_one_is_refused() {
        let shape = ImageShape { channels: 2, height: 2, width: 3 };
        let plane = [0.0, 1.0, 1.0, 0.0, 0.0, 1.0];
        let expected = Mask::Given([plane, plane].concat());
        assert_eq!(Mask::parse(".##\n..#\n", shape).unwrap(), expected);
        let refused = |text| Mask::parse(text, shape).unwrap_err().to_string();
        assert!(refused(".##\n").contains("each of the 2 rows of an image, not 1"));
        assert!(refused(".##\n..##").contains("line 2: 4 characters for the 3 pixels"));
        assert!(refused(".##\n..x").contains("line 2: 'x' is neither # (missing)"));
    }
}
