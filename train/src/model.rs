//! A model on a device: its architecture, parameters and statistics, made from a configuration or a checkpoint.

mod architecture;
mod images;
pub mod snapshot;

pub use architecture::{architecture, expected_shape, shape_of_size};
pub use images::DeviceImages;

use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, ParameterList, ParameterStore};
use rung_models::{Hierarchy, HierarchyConfig, Mode, Pass, Statistics, StatisticsList};

use crate::checkpoint::CheckpointData;
use crate::error::{Context, Error, Result};

/// The stream of the first parameter's initial values; each further parameter has the next.
const INITIAL_VALUES: u32 = 0x0100_0000;

/// The weight that reads the image: [values of an image, units].
pub const FIRST_WEIGHT: &str = "inference.up.1.hidden.0.weight";

/// A hierarchy with its numbers.
#[derive(Debug)]
pub struct Model {
    /// The networks.
    pub hierarchy: Hierarchy,
    /// Their parameters and gradients.
    pub store: ParameterStore,
    /// The running statistics of batch normalisation.
    pub statistics: Statistics,
}

impl Model {
    /// A model with fresh parameters.
    ///
    /// # Errors
    /// If the configuration makes no model or the device has no memory.
    pub fn new(config: HierarchyConfig, device: &Device, dtype: DType, seed: u64) -> Result<Self> {
        let (hierarchy, parameters, statistics) = description(config)?;
        let address = Address::new(seed, INITIAL_VALUES, 0);
        let store = parameters.build(device, dtype, address).context("allocating the parameters")?;
        let statistics = statistics.build(device, dtype).context("allocating the statistics")?;
        Ok(Self { hierarchy, store, statistics })
    }

    /// The length of an image that the model of a checkpoint was made for.
    ///
    /// # Errors
    /// If the checkpoint has no first layer.
    pub fn data_size_in(data: &CheckpointData) -> Result<usize> {
        let size = data.tensors.get(FIRST_WEIGHT).and_then(|weight| weight.shape().first().copied());
        size.ok_or_else(|| {
            Error::new(format!("the checkpoint has no tensor {FIRST_WEIGHT}, so it is of no model of this program"))
        })
    }

    /// A pass that normalises with `statistics` and records nothing.
    pub fn frozen_pass<'a>(&'a self, statistics: &'a Statistics, seed: u64, step: u64) -> Pass<'a> {
        Pass::new(&self.store, None, Mode::Frozen(statistics), seed, step)
    }
}

/// The parameters that a model would have, without their memory.
///
/// # Errors
/// If the configuration makes no model.
pub fn parameter_list(config: HierarchyConfig) -> Result<ParameterList> {
    Ok(description(config)?.1)
}

fn description(config: HierarchyConfig) -> Result<(Hierarchy, ParameterList, StatisticsList)> {
    let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
    let hierarchy = Hierarchy::new(config, &mut parameters, &mut statistics).context("building the model")?;
    Ok((hierarchy, parameters, statistics))
}
