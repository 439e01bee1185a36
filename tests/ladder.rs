//! What `rung train` does in a step of a paper's model, from the batch to the optimiser, without
//! files.

use rung_autograd::optim::{Adam, AdamOptions, StepSize, minimise};
use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, ParameterList, ParameterStore, PixelMap, Result, Tape, Tensor};
use rung_models::hierarchy::Inference;
use rung_models::objective::{ObjectiveConfig, bound};
use rung_models::{Hierarchy, HierarchyConfig, Mode, Pass, Statistics, StatisticsList};

const IMAGES: usize = 256;
const PIXELS: usize = 784;
const SEED: u64 = 1;

/// A model of the papers in training on images of arbitrary bytes.
#[derive(Debug)]
pub struct Trainer {
    hierarchy: Hierarchy,
    store: ParameterStore,
    statistics: Statistics,
    adam: Adam,
    tape: Tape,
    pixels: Tensor,
    order: Tensor,
    batch: usize,
}

impl Trainer {
    /// A fresh model with five layers, and its images on a device.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn new(device: &Device, dtype: DType, inference: Inference, batch: usize) -> Result<Self> {
        let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
        let hierarchy = Hierarchy::new(
            HierarchyConfig::paper(PIXELS, 5, inference),
            &mut parameters,
            &mut statistics,
        )?;
        let store = parameters.build(device, dtype, Address::new(SEED, 0, 0))?;
        let bytes: Vec<u8> = (0..IMAGES * PIXELS).map(|i| (i * i / 7 % 256) as u8).collect();
        let order: Vec<u32> = (0..IMAGES as u32).rev().collect();
        Ok(Self {
            statistics: statistics.build(device, dtype)?,
            adam: Adam::new(&store, AdamOptions::default())?,
            tape: Tape::new(),
            pixels: Tensor::from_u8(device, &bytes, [IMAGES, PIXELS])?,
            order: Tensor::from_u32(device, &order, [IMAGES])?,
            hierarchy,
            store,
            batch,
        })
    }

    /// One step; the loss before it, which stays on the device.
    ///
    /// # Errors
    /// If the device fails.
    pub fn step(&mut self, step: usize, objective: &ObjectiveConfig) -> Result<Tensor> {
        let indices = self.order.slice(0, step * self.batch % IMAGES, self.batch)?;
        let map = PixelMap::Bernoulli(Address::new(SEED, 2, 0));
        let x = self.pixels.gather_pixels(map, &indices, self.store.dtype())?;
        let mode = Mode::Batch(&mut self.statistics, 0.1);
        let mut pass = Pass::new(&self.store, Some(&self.tape), mode, SEED, step as u64);
        let bound = bound(&self.hierarchy, &mut pass, &x, objective)?;
        let size = StepSize { norm_limit: 4.0, element_limit: 0.9, ..StepSize::unlimited(1e-3) };
        minimise(&bound.loss, &self.tape, &mut self.store, &mut self.adam, &size)?;
        Ok(bound.loss)
    }

    /// All parameters, in the order of the model.
    ///
    /// # Errors
    /// If the device fails.
    pub fn parameters(&self) -> Result<Vec<f64>> {
        let ids: Vec<_> = self.store.ids().collect();
        let values = ids.into_iter().map(|id| self.store.tensor(id, None).to_f64());
        Ok(values.collect::<Result<Vec<_>>>()?.concat())
    }
}
