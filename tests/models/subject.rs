//! A small model with random numbers in every parameter and statistic, and the ways to look at it.

use std::collections::BTreeMap;

use rung_autograd::ops::FrozenStatistics;
use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, ParameterList, ParameterStore, Result, Tensor};
use rung_models::hierarchy::Observation;
use rung_models::objective::{Bound, ObjectiveConfig, bound};
use rung_models::{
    Hierarchy, HierarchyConfig, LatentModel, Mode, Pass, Statistics, StatisticsList,
};

use crate::reference::{Reference, Rows};

/// The step whose noise all passes have.
pub(crate) const STEP: u64 = 7;

/// Where batch normalisation gets its statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Batch,
    Frozen,
}

pub(crate) struct Subject {
    pub(crate) hierarchy: Hierarchy,
    pub(crate) store: ParameterStore,
    pub(crate) statistics: Statistics,
    pub(crate) seed: u64,
}

impl Subject {
    /// Parameters as initialised plus `spread` times a normal sample each; statistics random.
    pub(crate) fn new(config: HierarchyConfig, dtype: DType, seed: u64, spread: f64) -> Self {
        let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
        let hierarchy = Hierarchy::new(config, &mut parameters, &mut statistics).unwrap();
        let device = Device::cpu();
        let mut store = parameters.build(&device, dtype, Address::new(seed, 0, 0)).unwrap();
        let mut statistics = statistics.build(&device, dtype).unwrap();
        for id in store.ids() {
            let samples = Tensor::normal(
                &device,
                DType::F64,
                Address::new(seed, 1, id_number(&store, id)),
                store.parameter(id).shape,
            );
            let values = store.tensor(id, None).to_f64().unwrap();
            let moved: Vec<f64> = values
                .iter()
                .zip(samples.unwrap().to_f64().unwrap())
                .map(|(value, e)| value + spread * e)
                .collect();
            store.set(id, &moved).unwrap();
        }
        let layers: Vec<(String, usize)> = statistics
            .iter()
            .map(|(name, values)| (name.to_owned(), values.mean.shape().element_count()))
            .collect();
        for (number, (name, units)) in layers.iter().enumerate() {
            let uniform = |stream: u32| {
                Tensor::uniform(&device, dtype, Address::new(seed, stream, number as u64), [*units])
                    .unwrap()
            };
            let values = FrozenStatistics {
                mean: uniform(2).shift(-0.5).unwrap(),
                variance: uniform(3).shift(0.3).unwrap(),
            };
            assert!(statistics.set(name, values));
        }
        Self { hierarchy, store, statistics, seed }
    }

    /// Random images, zeros and ones for a Bernoulli model.
    pub(crate) fn images(&self, count: usize) -> Tensor {
        let config = self.hierarchy.config();
        let (device, dtype, shape) =
            (self.store.device(), self.store.dtype(), [count, config.data_size]);
        let address = Address::new(self.seed, 4, 0);
        match config.observation {
            Observation::Gaussian => Tensor::normal(device, dtype, address, shape).unwrap(),
            Observation::Bernoulli => {
                let third = Tensor::full(device, dtype, 1.0 / 3.0, [1]).unwrap();
                Tensor::uniform(device, dtype, address, shape).unwrap().less(&third).unwrap()
            }
        }
    }

    pub(crate) fn pass(&self, from: From) -> Pass<'_> {
        let mode = match from {
            From::Batch => Mode::BatchOnly,
            From::Frozen => Mode::Frozen(&self.statistics),
        };
        Pass::new(&self.store, None, mode, self.seed, STEP)
    }

    pub(crate) fn bound(
        &self,
        x: &Tensor,
        from: From,
        objective: &ObjectiveConfig,
    ) -> Result<Bound> {
        bound(&self.hierarchy, &mut self.pass(from), x, objective)
    }

    /// L_{M,K} of the images, at the common noise.
    pub(crate) fn bound_nats(
        &self,
        x: &Tensor,
        from: From,
        monte_carlo_samples: usize,
        importance_samples: usize,
    ) -> f64 {
        let objective = ObjectiveConfig {
            monte_carlo_samples,
            importance_samples,
            ..ObjectiveConfig::default()
        };
        -self.bound(x, from, &objective).unwrap().loss.to_scalar().unwrap()
    }

    /// log w of each image and sample.
    pub(crate) fn log_weights(&self, x: &Tensor, from: From, samples: usize) -> Vec<f64> {
        let sampled = self.hierarchy.infer(&mut self.pass(from), x, samples).unwrap();
        sampled.log_weights(x).unwrap().to_f64().unwrap()
    }

    /// The same model with the same noise for so many rows, in the second implementation.
    pub(crate) fn reference(&self, from: From, rows: usize) -> Reference {
        let values = |id| self.store.tensor(id, None).to_f64().unwrap();
        let parameters = self
            .store
            .ids()
            .map(|id| (self.store.parameter(id).name.clone(), values(id)))
            .collect();
        let of_layer = |(name, values): (&str, &FrozenStatistics)| {
            (name.to_owned(), [values.mean.to_f64().unwrap(), values.variance.to_f64().unwrap()])
        };
        let statistics: BTreeMap<_, _> = self.statistics.iter().map(of_layer).collect();
        let config = self.hierarchy.config().clone();
        let noise = |(index, &units): (usize, &usize)| {
            rows_of(&self.pass(from).posterior_noise(index + 1, [rows, units].into()).unwrap())
        };
        let noise = config.latent_sizes.iter().enumerate().map(noise).collect();
        Reference {
            config,
            parameters,
            statistics: (from == From::Frozen).then_some(statistics),
            noise,
        }
    }
}

/// A matrix on the host.
pub(crate) fn rows_of(x: &Tensor) -> Rows {
    x.to_f64().unwrap().chunks(x.shape().last()).map(<[f64]>::to_vec).collect()
}

fn id_number(store: &ParameterStore, id: rung_autograd::ParameterId) -> u64 {
    store.ids().position(|other| other == id).unwrap_or_default() as u64
}
