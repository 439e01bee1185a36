//! Exact statistics of batch normalisation over a whole training set (specification section 6.3).

use rung_autograd::rng::Phase;
use rung_models::{Statistics, WholeData};

use crate::data::DeviceImages;
use crate::error::{Context, Result};
use crate::model::Model;

/// Images that pass through a layer at once: their widest hidden layer stays in the CPU's cache.
const CHUNK: usize = 1000;

/// The statistics of every layer when all training images pass as one batch with one sample each,
/// as the authors' program does.
///
/// Exact for the current parameters; the images go through in chunks ([`WholeData`]), layer after
/// layer, in smaller ones on a device that lacks the memory. The ranks that the model is shared
/// with take whole chunks, so that all get the bits of one rank; as all must have the same chunks,
/// they don't try smaller ones.
///
/// # Errors
/// If the device fails, or has no memory for one image at a time, or another rank has ended.
pub fn collect(model: &Model, images: &DeviceImages, seed: u64, epoch: u64) -> Result<Statistics> {
    // A step of training leaves buffers of sizes that nothing here asks for, and so does this.
    model.store.device().release_free();
    let batch = |range: std::ops::Range<usize>| images.range(range.start, range.len(), epoch);
    let collect = |chunk: usize| -> Result<Statistics> {
        let mut statistics = model.statistics.copied().context("copying the statistics")?;
        let data = WholeData { images: &batch, count: images.count(), chunk, ranks: &model.ranks };
        let noise = (seed, Phase::Statistics.first());
        let collected =
            model.task.recompute_statistics(&model.store, &data, noise, &mut statistics);
        collected.context("collecting statistics")?;
        Ok(statistics)
    };
    let mut chunk = CHUNK.min(images.count());
    let statistics = loop {
        match collect(chunk) {
            Err(error) if error.is_out_of_memory() && chunk > 1 && !model.ranks.are_many() => {
                chunk = chunk.div_ceil(2);
            }
            result => break result?,
        }
    };
    model.store.device().release_free();
    Ok(statistics)
}
