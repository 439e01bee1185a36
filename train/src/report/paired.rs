//! Two models compared image by image: the same images with the same noise, so that most of what
//! makes an image easy or hard drops out of the difference.

use rung_datasets::npy::{self, NpyValues};

use crate::error::{Error, Result};
use crate::report::history::EvaluationLine;
use crate::run::folder::RunFolder;

/// The noise of an evaluation, and the name that a run keeps its bounds of single images under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBounds {
    name: String,
    /// Seed of the samples, and of pixels that were drawn.
    seeds: (u64, Option<u64>),
}

/// The bound of each image in an evaluation, L_K in nats, and the noise that it was measured with.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageBounds {
    /// Seed of the samples, and of pixels that were drawn.
    pub seeds: (u64, Option<u64>),
    /// One for each image, in order.
    pub nats: Vec<f64>,
}

/// The mean of the differences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// The mean, in nats.
    pub nats: f64,
    /// Its standard error.
    pub standard_error_nats: f64,
}

impl KeptBounds {
    /// Those of an evaluation, if it kept them.
    pub fn of(line: &EvaluationLine) -> Option<Self> {
        Some(Self { name: line.image_bounds.clone()?, seeds: (line.seed?, line.pixel_seed) })
    }
}

impl ImageBounds {
    /// What a run has kept.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn read(run: &RunFolder, kept: &KeptBounds) -> Result<Self> {
        let path = run.bounds(&kept.name);
        let NpyValues::F32(bounds) = npy::read(&path).map_err(Error::from_source)?.values else {
            return Err(Error::new(format!("{}: not the bounds of images", path.display())));
        };
        let nats = bounds.into_iter().map(f64::from).collect();
        Ok(Self { seeds: kept.seeds, nats })
    }

    /// These less those of another model: the mean d of the differences d_i, and its standard error
    /// √(Σ (d_i − d)²/(n − 1)/n). `None` unless both have the same noise, and the same images, two
    /// at least.
    pub fn less(&self, other: &Self) -> Option<Paired> {
        if self.seeds != other.seeds || self.nats.len() != other.nats.len() || self.nats.len() < 2 {
            return None;
        }
        let n = self.nats.len() as f64;
        let differences = || self.nats.iter().zip(&other.nats).map(|(a, b)| a - b);
        let nats = differences().sum::<f64>() / n;
        let squares: f64 = differences().map(|difference| (difference - nats).powi(2)).sum();
        Some(Paired { nats, standard_error_nats: (squares / (n - 1.0) / n).sqrt() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_images_and_noise_are_compared() {
        let bounds = |nats: &[f64]| ImageBounds { seeds: (1, Some(2)), nats: nats.into() };
        let (a, b) = ([-80.0, -91.0, -84.5, -100.0], [-81.0, -91.5, -85.0, -102.0]);
        let paired = bounds(&a).less(&bounds(&b)).unwrap();
        assert!((paired.nats - 1.0).abs() < 1e-12);
        assert!((paired.standard_error_nats - (1.5f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
        assert_eq!(bounds(&a).less(&bounds(&b[..3])), None);
        assert_eq!(bounds(&a[..1]).less(&bounds(&b[..1])), None);
        assert_eq!(bounds(&a).less(&ImageBounds { seeds: (2, Some(2)), ..bounds(&b) }), None);
        assert_eq!(bounds(&a).less(&ImageBounds { seeds: (1, None), ..bounds(&b) }), None);
    }
}
