//! The models of the family beside each other.

use rung_autograd::ops::Gaussian;
use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, ParameterList, ParameterStore, Shape, Tensor};

use super::generative::Descent;
use super::{Biva, BivaConfig, BlockConfig, LatentConfig, Paths, StageConfig};
use crate::map_shape::MapShape;
use crate::statistics::{Statistics, StatisticsList};
use crate::{Mode, Pass};

const SEED: u64 = 4;

struct Subject {
    model: Biva,
    store: ParameterStore,
    statistics: Statistics,
}

fn normal(device: &Device, stream: u32, shape: impl Into<Shape>) -> Tensor {
    Tensor::normal(device, DType::F64, Address::new(SEED, stream, 0), shape).unwrap()
}

fn bits(x: &Tensor) -> Vec<u64> {
    x.to_f64().unwrap().into_iter().map(f64::to_bits).collect()
}

/// The block of `values` of shape `from` at the beginning of zeros of shape `to`, which is larger
/// along one axis at most.
fn padded(values: &[f64], from: Shape, to: Shape) -> Vec<f64> {
    let Some(axis) = (0..to.rank()).find(|&axis| from.sizes()[axis] != to.sizes()[axis]) else {
        return values.into();
    };
    let within: usize = to.sizes()[axis + 1..].iter().product();
    let (run, room) = (from.sizes()[axis] * within, to.sizes()[axis] * within);
    let rows = values.chunks(run).map(|row| [row, &vec![0.0; room - run]].concat());
    rows.collect::<Vec<_>>().concat()
}

impl Subject {
    fn new(config: BivaConfig, device: &Device) -> Self {
        let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
        let model = Biva::new(config, &mut parameters, &mut statistics).unwrap();
        let mut store = parameters.build(device, DType::F64, Address::new(SEED, 0, 0)).unwrap();
        for (id, stream) in store.ids().zip(1000..) {
            let shape = store.parameter(id).shape;
            store
                .set(id, &normal(device, stream, shape).scale(0.3).unwrap().to_f64().unwrap())
                .unwrap();
        }
        Self { model, store, statistics: statistics.build(device, DType::F64).unwrap() }
    }

    fn pass(&self) -> Pass<'_> {
        Pass::new(&self.store, None, Mode::Frozen(&self.statistics), SEED, 0)
    }

    /// Takes over the other's parameters of the same name; what these do not read, it no longer
    /// reads either.
    fn take_over(&mut self, other: &Self) {
        for (id, parameter) in self.store.ids().zip(self.store.parameters().to_vec()) {
            let found =
                other.store.ids().find(|&id| other.store.parameter(id).name == parameter.name);
            if let Some(found) = found {
                let values = other.store.tensor(found, None);
                let values = padded(&values.to_f64().unwrap(), *values.shape(), parameter.shape);
                self.store.set(id, &values).unwrap();
            }
        }
    }
}

/// Section 21: with the bottom-up groups and the second inputs off, each stage below the top is
/// that of the LVAE, bit for bit. (The block at the top adds its input to its output only where
/// both have as many channels, which BIVA's two streams have not.)
#[test]
fn without_bottom_up_groups_each_stage_is_that_of_the_lvae() {
    let device = Device::cpu();
    let block = |channels, stride| BlockConfig { channels, kernel: 3, stride };
    let stage = |channels, stride, latent| StageConfig {
        blocks: vec![block(channels, 1), block(channels, stride)],
        latent,
    };
    let map = LatentConfig::Map { channels: 2, kernel: 3 };
    let convolutional = BivaConfig {
        image: MapShape { height: 4, width: 4, channels: 2 },
        stages: vec![
            stage(3, 2, map),
            stage(4, 1, LatentConfig::Dense { units: 3 }),
            stage(4, 2, map),
        ],
        ..BivaConfig::dense(1, 1, &[1], 1)
    };
    for config in [BivaConfig::dense(6, 5, &[4, 3, 2], 2), convolutional] {
        let config = BivaConfig { skips: false, ..config };
        let lvae = Subject::new(BivaConfig { paths: Paths::TopDown, ..config.clone() }, &device);
        let mut biva = Subject::new(config.clone(), &device);
        biva.take_over(&lvae);
        let MapShape { height, width, channels } = config.image;
        let x = normal(&device, 1, [3, height, width, channels]);
        let features = [&lvae, &biva].map(|subject| {
            let draw = |_: &mut Pass<'_>, _: usize, q: &Gaussian| {
                q.sample_with(&normal(&device, 2, *q.mean.shape()))
            };
            let found =
                subject.model.inference.forward(&mut subject.pass(), &x, false, draw).unwrap();
            found.into_iter().map(|stage| stage.deterministic.unwrap()).collect::<Vec<_>>()
        });
        let maps = config.stage_maps();
        let units = |index: usize| config.stages[index].latent.units(maps[index]);
        let mut z = normal(&device, 3, [3, units(config.depth() - 1)]);
        let mut descents = [Descent::default(), Descent::default()];
        for index in (0..config.depth()).rev() {
            let bottom_up = normal(&device, 4, [3, units(index)]);
            let both = [&z, &bottom_up];
            let samples: [&[&Tensor]; 2] =
                [&both[..1], if index + 1 == config.depth() { &both[..1] } else { &both }];
            let below = [0, 1].map(|which| {
                let (subject, below) = ([&lvae, &biva][which], index.checked_sub(1));
                let features = below.map(|below| &features[which][below]);
                let mut pass = subject.pass();
                subject
                    .model
                    .generative
                    .descend(&mut pass, &mut descents[which], index, samples[which], None, features)
                    .unwrap()
            });
            let [Some(expected), Some(found)] = below else { break };
            let (expected, found) =
                ([expected.p_top_down, expected.q_top_down], [found.p_top_down, found.q_top_down]);
            for (expected, found) in expected.iter().zip(&found) {
                let (expected, found) = (expected.as_ref().unwrap(), found.as_ref().unwrap());
                assert_eq!(bits(&found.mean), bits(&expected.mean), "stage {index}");
                assert_eq!(bits(&found.variance), bits(&expected.variance), "stage {index}");
            }
            let q = expected[1].as_ref().unwrap();
            z = q.sample_with(&normal(&device, 5, *q.mean.shape())).unwrap();
        }
        let [expected, found] =
            [(&lvae, &descents[0]), (&biva, &descents[1])].map(|(subject, descent)| {
                let out =
                    subject.model.generative.observe(&mut subject.pass(), descent.clone()).unwrap();
                out.log_prob(
                    &x.reshape([3, config.image.units()]).unwrap().clamp(0.0, 1.0).unwrap(),
                )
                .unwrap()
            });
        assert_eq!(bits(&found), bits(&expected));
    }
}
