//! Exact statistics of batch normalisation over a whole training set (specification section 6.3).

use rung_models::objective::{ObjectiveConfig, bound};
use rung_models::{Mode, Pass, Statistics};

use crate::error::{Context, Result};
use crate::model::{DeviceImages, Model};

/// The noise of the pass that collects statistics: a step no training reaches.
const COLLECTION_STEP: u64 = u64::MAX;

/// The statistics of every layer when all training images pass as one batch with one sample each, as the authors' program does.
///
/// Exact for the current parameters, at the price of holding a hidden layer of all images at once: about 4 · images · (pixels + 3 · widest
/// hidden layer) bytes, 540 MB for MNIST and the paper's networks.
///
/// # Errors
/// If the device has no memory for it.
pub fn collect(model: &Model, images: &DeviceImages, seed: u64, epoch: u64) -> Result<Statistics> {
    let mut statistics = model.statistics.copied().context("copying the statistics")?;
    let x = images.range(0, images.count(), epoch).context("gathering the training images")?;
    let mut pass = Pass::new(&model.store, None, Mode::Batch(&mut statistics, 1.0), seed, COLLECTION_STEP);
    bound(&model.hierarchy, &mut pass, &x, &ObjectiveConfig::default()).context("collecting statistics")?;
    Ok(statistics)
}
