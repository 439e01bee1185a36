//! The sizes of a mixture of discretised logistics.

use super::Matrix;
use crate::{Error, Result};

/// A mixture of discretised logistic distributions for each pixel (Salimans et al. 2017), of grey
/// pixels or of colours.
///
/// A pixel's parameters are n mixture logits, then for each channel n means and n log-scales; with
/// three channels n raw coefficients follow those of
/// each: 3n numbers for one channel, 10n for three. The coefficients (their tanh) pull the mean of
/// green by the true red (those of red's group), and the mean
/// of blue by the true red and green (those of green's and of blue's group).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogisticMixture {
    /// Images with parameters of their own.
    pub images: usize,
    /// How many images in a row share one image of data.
    pub repeat: usize,
    /// Pixels of an image.
    pub pixels: usize,
    /// Channels of a pixel: 1 or 3.
    pub channels: usize,
    /// Components of the mixture, n.
    pub components: usize,
    /// Values that a channel can have: they lie evenly on [−1, 1].
    pub levels: usize,
}

impl LogisticMixture {
    /// Log-scales below are taken to be this.
    pub const LEAST_LOG_SCALE: f64 = -7.0;

    /// Numbers that describe the distribution of a pixel.
    #[must_use]
    pub const fn parameters_per_pixel(&self) -> usize {
        self.components * (1 + self.channels * self.group())
    }

    /// Numbers a component has for each channel: mean and log-scale, and a coefficient if there are
    /// other channels.
    pub(crate) const fn group(&self) -> usize {
        if self.channels == 1 { 2 } else { 3 }
    }

    /// Half the distance of two values.
    pub(crate) const fn half_bin(&self) -> f64 {
        1.0 / (self.levels - 1) as f64
    }

    /// The parameters, a row for each image.
    pub(crate) const fn parameter_matrix(&self) -> Matrix {
        Matrix {
            rows: self.images,
            columns: self.pixels.saturating_mul(self.parameters_per_pixel()),
        }
    }

    /// The data, a row for each of its images.
    pub(crate) fn data_matrix(&self) -> Matrix {
        Matrix { rows: self.images / self.repeat.max(1), columns: self.pixels * self.channels }
    }

    /// Refuses numbers of channels, levels, components or repeats that make no sense.
    pub(crate) fn check(&self, operation: &'static str) -> Result<()> {
        let refused = |what: String| Err(Error::argument(operation, what));
        if ![1, 3].contains(&self.channels) {
            return refused(format!("{} channels; a pixel has 1 or 3", self.channels));
        }
        if self.levels < 2 || self.components == 0 {
            return refused(format!(
                "{} levels and {} components; 2 and 1 are needed",
                self.levels, self.components
            ));
        }
        crate::check::rows_before_repeat(operation, self.images, self.repeat).map(drop)
    }
}
