//! The images of a training, on its device.

use rung_datasets::{DataRecord, Split};

use crate::data::DeviceImages;
use crate::error::{Error, Result};

/// The splits a run uses, on the device.
#[derive(Debug)]
pub struct TrainingImages {
    /// What the data set is.
    pub record: DataRecord,
    /// What the model learns from.
    pub train: DeviceImages,
    /// What progress is judged by: the validation images if there are some, else the test images.
    pub held_out: DeviceImages,
    /// Which of the two.
    pub held_out_split: Split,
}

impl TrainingImages {
    /// Steps in an epoch of batches of `batch` images.
    ///
    /// # Errors
    /// If a batch needs more images than there are.
    pub fn steps_per_epoch(&self, batch: usize) -> Result<u64> {
        let images = self.train.count();
        match images / batch {
            0 => Err(Error::new(format!(
                "a batch of {batch} needs more than the {images} training images"
            ))
            .with_advice("choose a smaller --batch-size")),
            steps => Ok(steps as u64),
        }
    }
}
