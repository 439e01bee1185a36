//! A small model with random numbers in every parameter and statistic, and the ways to look at it:
//! by the tape, and by the second implementation.

use std::sync::OnceLock;

use rung_autograd::ops::FrozenStatistics;
use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, ParameterList, ParameterStore, Shape, Tensor};
use rung_models::auxiliary::AuxiliaryFamily;
use rung_models::hierarchy::Observation;
use rung_models::layers::Nonlinearity;
use rung_models::objective::Bound;
use rung_models::semi_supervised::{SemiSupervisedConfig, semi_supervised_bound};
use rung_models::{
    AuxiliaryConfig, AuxiliaryModel, Classifier, Labelled, LatentModel, MapShape, Mode, Pass,
    Statistics, StatisticsList,
};

use crate::reference::{Noise, Reference, Rows, Terms};

pub(super) const STEP: u64 = 5;
pub(super) const IMAGE: MapShape = MapShape { height: 2, width: 3, channels: 1 };
pub(super) const WEIGHTS: SemiSupervisedConfig = SemiSupervisedConfig {
    beta: 1.0,
    free_bits_nats: 0.0,
    samples: 1,
    labelled_weight: 0.7,
    unlabelled_weight: 1.3,
    classification_weight: 4.0,
};

/// A model of a few units. Its nonlinearity has no kink, so that differences are accurate.
pub(super) fn small(family: AuxiliaryFamily, classes: usize) -> AuxiliaryConfig {
    let config = AuxiliaryConfig {
        family,
        latent_units: 2,
        auxiliary_units: 3,
        hidden_sizes: vec![5, 4],
        nonlinearity: Nonlinearity::Tanh,
        ..AuxiliaryConfig::default()
    };
    config.for_images(IMAGE, classes)
}

/// The device of every tensor here: two devices would not be one, though both are the CPU.
pub(super) fn cpu() -> Device {
    static CPU: OnceLock<Device> = OnceLock::new();
    CPU.get_or_init(Device::cpu).clone()
}

pub(super) fn normal(seed: u64, stream: u32, number: usize, shape: &[usize]) -> Tensor {
    let shape = Shape::from_slice(shape).unwrap();
    let address = Address::new(seed, stream, number as u64);
    Tensor::normal(&cpu(), DType::F64, address, shape).unwrap()
}

/// Rows of one 1 each.
pub(super) fn one_hot(classes: &[usize], count: usize) -> Tensor {
    let mut ones = vec![0.0; classes.len() * count];
    classes.iter().enumerate().for_each(|(row, class)| ones[row * count + class] = 1.0);
    Tensor::from_f64(&cpu(), &ones, [classes.len(), count]).unwrap()
}

pub(super) fn scalar(tensor: &Tensor) -> f64 {
    tensor.to_scalar().unwrap()
}

pub(super) fn rows(tensor: &Tensor) -> Rows {
    let columns = tensor.shape().last();
    tensor.to_f64().unwrap().chunks(columns).map(<[f64]>::to_vec).collect()
}

/// A model with random numbers in every parameter and statistic.
pub(super) struct Subject {
    pub(super) model: AuxiliaryModel,
    pub(super) store: ParameterStore,
    pub(super) statistics: Statistics,
    pub(super) seed: u64,
}

impl Subject {
    pub(super) fn new(config: AuxiliaryConfig, seed: u64) -> Self {
        let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
        let model = AuxiliaryModel::new(config, &mut parameters, &mut statistics).unwrap();
        let device = cpu();
        let mut store = parameters.build(&device, DType::F64, Address::new(seed, 0, 0)).unwrap();
        let mut statistics = statistics.build(&device, DType::F64).unwrap();
        for (number, id) in store.ids().enumerate() {
            let noise = normal(seed, 1, number, store.parameter(id).shape.sizes());
            let values = store.tensor(id, None).add(&noise.scale(0.3).unwrap()).unwrap();
            store.set(id, &values.to_f64().unwrap()).unwrap();
        }
        let layers: Vec<(String, usize)> = statistics
            .iter()
            .map(|(name, values)| (name.to_owned(), values.mean.shape().element_count()))
            .collect();
        for (number, (name, units)) in layers.iter().enumerate() {
            let mean = normal(seed, 2, number, &[*units]).scale(0.3).unwrap();
            let variance = normal(seed, 3, number, &[*units]).square().unwrap().shift(0.3).unwrap();
            assert!(statistics.set(name, FrozenStatistics { mean, variance }));
        }
        Self { model, store, statistics, seed }
    }

    /// Images of zeros and ones, or of real numbers for a Gaussian.
    pub(super) fn images(&self, stream: u32, count: usize) -> Tensor {
        let values = normal(self.seed, stream, 0, &[count, self.model.data_size()]);
        match self.model.config().observation {
            Observation::Gaussian => values,
            Observation::Bernoulli => {
                let zero = Tensor::zeros(values.device(), DType::F64, Shape::SCALAR).unwrap();
                values.greater(&zero).unwrap()
            }
        }
    }

    pub(super) fn set(&mut self, name: &str, values: &[f64]) {
        let id = self.store.find(name).unwrap_or_else(|| panic!("no parameter {name}"));
        self.store.set(id, values).unwrap();
    }

    /// Sets every element of a parameter.
    pub(super) fn fill(&mut self, name: &str, value: f64) {
        let id = self.store.find(name).unwrap_or_else(|| panic!("no parameter {name}"));
        let count = self.store.parameter(id).shape.element_count();
        self.set(name, &vec![value; count]);
    }

    pub(super) fn mode(&self, frozen: bool) -> Mode<'_> {
        if frozen { Mode::Frozen(&self.statistics) } else { Mode::BatchOnly }
    }

    pub(super) fn pass(&self, frozen: bool) -> Pass<'_> {
        Pass::new(&self.store, None, self.mode(frozen), self.seed, STEP)
    }

    pub(super) fn reference(&self, frozen: bool) -> Reference {
        let of_parameter = |id| {
            let values = self.store.tensor(id, None).to_f64().unwrap();
            (self.store.parameter(id).name.clone(), values)
        };
        let of_layer = |(name, values): (&str, &FrozenStatistics)| {
            let vectors = [&values.mean, &values.variance].map(|values| values.to_f64().unwrap());
            (name.to_owned(), vectors)
        };
        Reference {
            config: self.model.config().clone(),
            parameters: self.store.ids().map(of_parameter).collect(),
            statistics: frozen.then(|| self.statistics.iter().map(of_layer).collect()),
        }
    }

    /// The noise of the groups at these positions, for `count` rows of a and `each` times as many
    /// of z.
    pub(super) fn noise(&self, [a, z]: [usize; 2], count: usize, each: usize) -> Noise {
        let AuxiliaryConfig { auxiliary_units, latent_units, .. } = *self.model.config();
        let of = |position: usize, rows_wanted: usize, units: usize| {
            let shape = Shape::from([rows_wanted, units]);
            rows(&self.pass(true).posterior_noise(position, shape).unwrap())
        };
        Noise { a: of(a, count, auxiliary_units), z: of(z, count * each, latent_units) }
    }

    /// The positions of a and z: those of other images, then those of labelled ones.
    pub(super) fn positions(&self) -> [[usize; 2]; 2] {
        match self.model.groups().len() {
            1 => [[1, 1], [2, 2]],
            _ => [[1, 2], [3, 4]],
        }
    }

    /// The second implementation's terms of images without a label.
    pub(super) fn unlabelled(&self, x: &Tensor, samples: usize, frozen: bool) -> Terms {
        let (images, classes) = (rows(x), self.model.classes());
        let noise = self.noise(self.positions()[0], images.len() * samples, classes);
        self.reference(frozen).terms(&images, samples, &noise, |_| (0..classes).collect())
    }

    /// The same of labelled images, with the noise at these positions.
    pub(super) fn labelled(
        &self,
        (x, class): (&Tensor, &[usize]),
        samples: usize,
        frozen: bool,
        positions: [usize; 2],
    ) -> Terms {
        let images = rows(x);
        let noise = self.noise(positions, images.len() * samples, 1);
        self.reference(frozen).terms(&images, samples, &noise, |image| vec![class[image]])
    }

    pub(super) fn objective(
        &self,
        known: (&Tensor, &[usize]),
        unknown: Option<&Tensor>,
        config: &SemiSupervisedConfig,
        frozen: bool,
    ) -> Bound {
        let class = one_hot(known.1, self.model.classes());
        let labelled = Labelled { x: known.0, class: &class };
        semi_supervised_bound(&self.model, &mut self.pass(frozen), labelled, unknown, config)
            .unwrap()
    }

    /// The mean of U over images without a label, as the objective has it.
    pub(super) fn mean_unlabelled(&self, x: &Tensor) -> f64 {
        let known = self.images(7, 1);
        let config = SemiSupervisedConfig {
            labelled_weight: 0.0,
            unlabelled_weight: 1.0,
            classification_weight: 0.0,
            ..WEIGHTS
        };
        -scalar(&self.objective((&known, &[0]), Some(x), &config, true).loss)
    }
}
