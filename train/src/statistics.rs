//! Exact statistics of batch normalisation over a whole training set (specification section 6.3).

use rung_models::{Statistics, WholeData};

use crate::error::{Context, Result};
use crate::model::{DeviceImages, Model};

/// The noise of the pass that collects statistics: a step no training reaches.
const COLLECTION_STEP: u64 = u64::MAX;

/// Images that pass through a layer at once: their widest hidden layer stays in a processor's cache.
const CHUNK: usize = 1000;

/// The statistics of every layer when all training images pass as one batch with one sample each, as the authors' program does.
///
/// Exact for the current parameters; the images go through in chunks ([`WholeData`]), layer after layer.
///
/// # Errors
/// If the device has no memory for it.
pub fn collect(model: &Model, images: &DeviceImages, seed: u64, epoch: u64) -> Result<Statistics> {
    // A step of training leaves buffers of sizes that nothing here asks for, and so does this.
    model.store.device().release_free();
    let mut statistics = model.statistics.copied().context("copying the statistics")?;
    let batch = |range: std::ops::Range<usize>| images.range(range.start, range.len(), epoch);
    let data = WholeData { images: &batch, count: images.count(), chunk: CHUNK };
    let collected = model.network.collect_statistics(&model.store, &data, (seed, COLLECTION_STEP), &mut statistics);
    collected.context("collecting statistics")?;
    model.store.device().release_free();
    Ok(statistics)
}
