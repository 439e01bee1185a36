//! Pictures for TensorBoard on the way: what the model makes as it stands.

use std::mem;

use super::saving::Files;
use super::training::Training;
use crate::error::Result;
use crate::tasks::PictureSizes;

/// Squares of eight by eight.
const SIZES: PictureSizes = PictureSizes { samples: 64, pairs: 32, columns: 8, scale: 2 };

impl Training<'_> {
    /// Writes the task's pictures as events of the current step, drawn with the running statistics
    /// and always from the same noise, so that TensorBoard shows how the same images change.
    ///
    /// # Errors
    /// If the events can't be written. What can't be drawn is said and left out.
    pub(super) fn write_previews(&mut self) -> Result<()> {
        let Some(Files { events, .. }) = &mut self.files else { return Ok(()) };
        // By this rank alone.
        let ranks = mem::take(&mut self.trainer.model.ranks);
        let (images, seed) = (&self.images.held_out, self.config.train.seed);
        let pictures = self.trainer.with_average(|model| {
            model.task.pictures(model, &model.statistics, images, seed, SIZES)
        });
        self.trainer.model.ranks = ranks;
        let pictures = pictures.unwrap_or_else(|error| {
            self.console.warn(&format!("step {}: no pictures: {error}", self.step));
            Vec::new()
        });
        for (name, picture) in pictures {
            events.image(name, self.step, picture.size(), &picture.png()?)?;
        }
        events.flush()
    }
}
