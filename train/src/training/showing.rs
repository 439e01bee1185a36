//! Pictures for TensorBoard on the way: samples and reconstructions of the model as it stands.

use rung_models::LatentSource;

use super::run::Training;
use crate::error::Result;
use crate::picture::Picture;
use crate::pictures::{self, Drawing};

/// Images of a grid, and pairs of originals and reconstructions: each a square of eight by eight.
const SAMPLES: usize = 64;
const PAIRS: usize = 32;
const COLUMNS: usize = 8;
/// Width of a pixel in the pictures.
const SCALE: usize = 2;

impl Training<'_> {
    /// Writes both pictures as events of the current step, drawn with the running statistics and always from the same noise, so that
    /// TensorBoard shows how the same images change.
    ///
    /// # Errors
    /// If the device has no memory or the events can't be written.
    pub(super) fn show(&mut self) -> Result<()> {
        let (images, seed) = (&self.images.held_out, self.config.train.seed);
        let (samples, pairs) = self.trainer.with_average(|model| -> Result<_> {
            let source = LatentSource::StandardNormal { layer: model.network.depth(), count: SAMPLES };
            let samples = pictures::samples(model, &model.statistics, &source, seed, Drawing::Mean)?;
            let count = PAIRS.min(images.count());
            Ok((samples, pictures::reconstructions(model, &model.statistics, images, count, seed)?))
        })?;
        let grids: [(&str, Picture); 2] =
            [("samples", samples.grid(COLUMNS, SCALE)?), ("reconstructions", pairs.grid(COLUMNS, SCALE)?)];
        for (tag, picture) in grids {
            self.events.image(tag, self.step, picture.size(), &picture.png()?)?;
        }
        self.events.flush()
    }
}
