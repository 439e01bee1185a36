//! Classifiers of images: their gradients, their values against a second implementation, their
//! statistics over a whole data set, and the descriptions that are refused.

#[path = "classifier/reference.rs"]
mod reference;

use std::ops::Range;

use proptest::prelude::{Strategy, any};
use proptest::sample::select;
use reference::Reference;
use rung_autograd::gradcheck::{Options, gradcheck_parameters};
use rung_autograd::ops::FrozenStatistics;
use rung_autograd::optim::{Adam, AdamOptions, Optimiser};
use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, ParameterList, ParameterStore, Ranks, Tape, Tensor};
use rung_models::classifier::{ClassificationConfig, ConvolutionBlock, classification};
use rung_models::layers::Nonlinearity;
use rung_models::{
    ClassifierConfig, ImageClassifier, MapShape, Mode, Pass, Statistics, StatisticsList, WholeData,
};
use rung_tests::{case_count, property};

const CLASSES: usize = 3;
const COLOUR: MapShape = MapShape { height: 5, width: 4, channels: 2 };

/// A network of a few units. Its nonlinearity has no kink, so that differences are accurate.
fn small(convolutions: &[(usize, usize, usize)], hidden_sizes: &[usize]) -> ClassifierConfig {
    let block = |&(channels, kernel, stride)| ConvolutionBlock { channels, kernel, stride };
    let config = ClassifierConfig {
        nonlinearity: Nonlinearity::Tanh,
        convolutions: convolutions.iter().map(block).collect(),
        ..ClassifierConfig::fully_connected(hidden_sizes.to_vec())
    };
    config.for_images(COLOUR, CLASSES)
}

/// A network with random numbers in every parameter and statistic.
struct Subject {
    model: ImageClassifier,
    store: ParameterStore,
    statistics: Statistics,
    seed: u64,
}

impl Subject {
    fn new(config: ClassifierConfig, seed: u64) -> Self {
        let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
        let model = ImageClassifier::new(config, &mut parameters, &mut statistics).unwrap();
        let device = Device::cpu();
        let mut store = parameters.build(&device, DType::F64, Address::new(seed, 0, 0)).unwrap();
        let mut statistics = statistics.build(&device, DType::F64).unwrap();
        for (number, id) in store.ids().enumerate() {
            let noise = normal(&device, seed, 1, number, store.parameter(id).shape.sizes());
            let values =
                store.tensor(id, None).add(&noise.scale(0.3).unwrap()).unwrap().to_f64().unwrap();
            store.set(id, &values).unwrap();
        }
        let layers: Vec<(String, usize)> = statistics
            .iter()
            .map(|(name, values)| (name.to_owned(), values.mean.shape().element_count()))
            .collect();
        for (number, (name, units)) in layers.iter().enumerate() {
            let mean = normal(&device, seed, 2, number, &[*units]).scale(0.3).unwrap();
            let variance =
                normal(&device, seed, 3, number, &[*units]).square().unwrap().shift(0.3).unwrap();
            assert!(statistics.set(name, FrozenStatistics { mean, variance }));
        }
        Self { model, store, statistics, seed }
    }

    fn images(&self, count: usize) -> Tensor {
        normal(self.store.device(), self.seed, 4, 0, &[count, COLOUR.units()])
    }

    fn mode(&self, frozen: bool) -> Mode<'_> {
        if frozen { Mode::Frozen(&self.statistics) } else { Mode::BatchOnly }
    }

    fn log_probs(&self, x: &Tensor, mode: Mode<'_>) -> Vec<f64> {
        let mut pass = Pass::new(&self.store, None, mode, self.seed, 0);
        self.model.log_probs(&mut pass, x).unwrap().to_f64().unwrap()
    }

    fn collect(&self, x: &Tensor, chunk: usize) -> Statistics {
        let mut statistics = self.statistics.copied().unwrap();
        let images = |range: Range<usize>| x.slice(0, range.start, range.len());
        let data =
            WholeData { images: &images, count: x.shape().sizes()[0], chunk, ranks: &Ranks::one() };
        self.model.recompute_statistics(&self.store, &data, &mut statistics).unwrap();
        statistics
    }
}

fn normal(device: &Device, seed: u64, stream: u32, number: usize, shape: &[usize]) -> Tensor {
    let shape = rung_autograd::Shape::from_slice(shape).unwrap();
    Tensor::normal(device, DType::F64, Address::new(seed, stream, number as u64), shape).unwrap()
}

/// Rows of one 1 each.
fn one_hot(device: &Device, classes: &[usize], count: usize) -> Tensor {
    let mut ones = vec![0.0; classes.len() * count];
    classes.iter().enumerate().for_each(|(row, class)| ones[row * count + class] = 1.0);
    Tensor::from_f64(device, &ones, [classes.len(), count]).unwrap()
}

/// A network, where its statistics come from, and how it is trained.
#[derive(Clone, Debug)]
struct Choice {
    config: ClassifierConfig,
    frozen: bool,
    label_smoothing: f64,
    images: usize,
    seed: u64,
}

fn choices() -> impl Strategy<Value = Choice> {
    let convolutions: Vec<&[(usize, usize, usize)]> = vec![
        &[],
        &[(3, 3, 2)],
        &[(2, 2, 1), (3, 5, 2)],
        &[(2, 1, 3)],
        &[(3, 4, 2), (2, 3, 2), (3, 3, 1)],
    ];
    let hidden: Vec<&[usize]> = vec![&[], &[4], &[4, 3]];
    let network = (
        select(convolutions),
        select(hidden),
        select(vec![Nonlinearity::Tanh, Nonlinearity::Softplus]),
    );
    let rest = (
        any::<[bool; 2]>(),
        select(vec![0.0, 0.2]),
        3..=5usize,
        any::<u64>().prop_map(|seed| seed >> 8),
    );
    (network, rest).prop_map(|((convolutions, hidden, nonlinearity), rest)| {
        let ([batch_norm, frozen], label_smoothing, images, seed) = rest;
        let config = ClassifierConfig {
            nonlinearity,
            batch_norm,
            dropout: 0.5,
            ..small(convolutions, hidden)
        };
        Choice { config, frozen, label_smoothing, images, seed }
    })
}

fn classes_of(images: usize) -> Vec<usize> {
    (0..images).map(|image| (image * 2 + 1) % CLASSES).collect()
}

#[test]
fn gradients_of_the_loss_match_differences() {
    property(
        case_count(24),
        choices(),
        |Choice { config, frozen, label_smoothing, images, seed }| {
            let description = format!("{config:?}, frozen {frozen}, smoothing {label_smoothing}");
            let subject = Subject::new(config, seed);
            let (x, class) = (
                subject.images(images),
                one_hot(subject.store.device(), &classes_of(images), CLASSES),
            );
            let objective = ClassificationConfig { label_smoothing };
            let Subject { model, mut store, statistics, .. } = subject;
            let loss = |store: &ParameterStore, tape: Option<&Tape>| {
                let mode = if frozen { Mode::Frozen(&statistics) } else { Mode::BatchOnly };
                let log_probs = model.log_probs(&mut Pass::new(store, tape, mode, seed, 0), &x)?;
                Ok(classification(&log_probs, &class, &objective)?.loss)
            };
            let checked =
                gradcheck_parameters(&mut store, loss, &Options { seed, ..Options::default() });
            checked.map(drop).map_err(|failure| format!("{description}: {failure}"))
        },
    );
}

#[test]
fn values_are_those_of_a_second_implementation() {
    property(
        case_count(60),
        choices(),
        |Choice { config, frozen, label_smoothing, images, seed }| {
            let subject = Subject::new(config.clone(), seed);
            let (x, classes) = (subject.images(images), classes_of(images));
            let of_parameter = |id| {
                let values = subject.store.tensor(id, None).to_f64().unwrap();
                (subject.store.parameter(id).name.clone(), values)
            };
            let of_layer = |(name, values): (&str, &FrozenStatistics)| {
                (
                    name.to_owned(),
                    [&values.mean, &values.variance].map(|values| values.to_f64().unwrap()),
                )
            };
            let reference = Reference {
                config,
                parameters: subject.store.ids().map(of_parameter).collect(),
                statistics: frozen.then(|| subject.statistics.iter().map(of_layer).collect()),
            };
            let rows: Vec<Vec<f64>> =
                x.to_f64().unwrap().chunks(COLOUR.units()).map(<[f64]>::to_vec).collect();
            let expected = reference.log_probs(&rows);
            let found = subject.log_probs(&x, subject.mode(frozen));
            for (found, expected) in found.iter().zip(expected.iter().flatten()) {
                near("ln p(k|x)", *found, *expected)?;
            }

            let device = subject.store.device();
            let log_probs = Tensor::from_f64(device, &found, [images, CLASSES]).unwrap();
            let objective = ClassificationConfig { label_smoothing };
            let found = classification(&log_probs, &one_hot(device, &classes, CLASSES), &objective)
                .unwrap();
            let given = |row: usize| expected[row][classes[row]];
            let mean = |of: &dyn Fn(usize) -> f64| (0..images).map(of).sum::<f64>() / images as f64;
            let spread = |row: usize| expected[row].iter().sum::<f64>() / CLASSES as f64;
            let smoothed =
                |row: usize| (1.0 - label_smoothing) * given(row) + label_smoothing * spread(row);
            let mistaken =
                |row: usize| f64::from(expected[row].iter().any(|&other| other > given(row)));
            near("the cross-entropy", found.cross_entropy.to_scalar().unwrap(), -mean(&given))?;
            near("the loss", found.loss.to_scalar().unwrap(), -mean(&smoothed))?;
            near("the error rate", found.error_rate.to_scalar().unwrap(), mean(&mistaken))
        },
    );
}

fn near(what: &str, found: f64, expected: f64) -> Result<(), String> {
    let close = (found - expected).abs() <= 1e-10 * (1.0 + expected.abs());
    close
        .then_some(())
        .ok_or_else(|| format!("{what} is {found}, the second implementation has {expected}"))
}

/// As in a batch of the whole data set, so in chunks of it, the last of which may be smaller.
#[test]
fn whole_data_statistics_in_chunks_are_those_of_one_batch() {
    const IMAGES: usize = 17;
    for config in [small(&[(3, 3, 2), (2, 2, 1)], &[4]), small(&[], &[4, 3])] {
        let subject = Subject::new(config, 3);
        let x = subject.images(IMAGES);
        let mut at_once = subject.statistics.copied().unwrap();
        let of_batch = subject.log_probs(&x, Mode::Batch(&mut at_once, 1.0));
        for chunk in [IMAGES, 5, 1] {
            let found = subject.collect(&x, chunk);
            for ((name, expected), (_, found)) in at_once.iter().zip(found.iter()) {
                for (expected, found) in
                    [(&expected.mean, &found.mean), (&expected.variance, &found.variance)]
                {
                    for (found, expected) in
                        found.to_f64().unwrap().iter().zip(expected.to_f64().unwrap())
                    {
                        near(&format!("{name}, chunks of {chunk}"), *found, expected).unwrap();
                    }
                }
            }
            for (found, expected) in
                subject.log_probs(&x, Mode::Frozen(&found)).iter().zip(&of_batch)
            {
                near("ln p(k|x)", *found, *expected).unwrap();
            }
        }
    }
}

/// Ten times as many images need no more memory than the chunk that passes.
#[test]
fn nothing_is_held_of_all_images() {
    let most = |images: usize| {
        let subject = Subject::new(small(&[(8, 3, 1), (8, 3, 1)], &[16]), 3);
        let (x, device) = (subject.images(images), subject.store.device());
        device.release_free();
        let before = device.statistics().pool.bytes;
        subject.collect(&x, 20);
        device.statistics().pool.most_bytes - before
    };
    assert_eq!(most(2000), most(200));
}

#[test]
fn with_frozen_statistics_a_row_does_not_see_its_neighbours() {
    let subject = Subject::new(ClassifierConfig { dropout: 0.5, ..small(&[(3, 3, 2)], &[4]) }, 8);
    let x = subject.images(4);
    let row = x.slice(0, 2, 1).unwrap();
    let all = subject.log_probs(&x, Mode::Frozen(&subject.statistics));
    let alone = subject.log_probs(&row, Mode::Frozen(&subject.statistics));
    for (found, expected) in alone.iter().zip(&all[2 * CLASSES..3 * CLASSES]) {
        near("ln p(k|x)", *found, *expected).unwrap();
    }
}

/// The units that are dropped are those of the seed and the step; none are in a frozen pass.
#[test]
fn dropout_is_for_training_alone() {
    let dropping = Subject::new(ClassifierConfig { dropout: 0.5, ..small(&[], &[40]) }, 9);
    let x = dropping.images(6);
    let mut statistics = dropping.statistics.copied().unwrap();
    let mut trained = |step| {
        let mut pass = Pass::new(&dropping.store, None, Mode::Batch(&mut statistics, 0.1), 9, step);
        dropping.model.log_probs(&mut pass, &x).unwrap().to_f64().unwrap()
    };
    let (first, again, other) = (trained(0), trained(0), trained(1));
    assert_eq!(first, again);
    assert_ne!(first, other);
    let undropped = dropping.log_probs(&x, Mode::BatchOnly);
    assert_ne!(first, undropped);
}

/// What no network of one layer can learn: whether two of four pixels are equal.
#[test]
fn both_kinds_learn_what_is_not_linear() {
    let cpu = Device::cpu();
    let image = MapShape { height: 2, width: 2, channels: 1 };
    let patterns: Vec<[f64; 4]> =
        (0..16_u8).map(|bits| [0, 1, 2, 3].map(|bit| f64::from(bits >> bit & 1))).collect();
    let x = Tensor::from_f64(&cpu, patterns.as_flattened(), [16, 4]).unwrap();
    let equal: Vec<usize> =
        patterns.iter().map(|pixels| usize::from(pixels[0] == pixels[3])).collect();
    let class = one_hot(&cpu, &equal, 2);
    let convolutional = ClassifierConfig {
        convolutions: vec![ConvolutionBlock { channels: 16, kernel: 2, stride: 1 }],
        ..small(&[], &[])
    };
    for config in [small(&[], &[16]), convolutional] {
        let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
        let model =
            ImageClassifier::new(config.for_images(image, 2), &mut parameters, &mut statistics)
                .unwrap();
        let mut store = parameters.build(&cpu, DType::F64, Address::new(2, 0, 0)).unwrap();
        let mut statistics = statistics.build(&cpu, DType::F64).unwrap();
        let mut adam = Adam::new(&store, AdamOptions::default()).unwrap();
        let objective = ClassificationConfig { label_smoothing: 0.05 };
        for step in 0..300 {
            let tape = Tape::new();
            store.clear_gradients();
            let mut pass =
                Pass::new(&store, Some(&tape), Mode::Batch(&mut statistics, 0.1), 2, step);
            let log_probs = model.log_probs(&mut pass, &x).unwrap();
            let found = classification(&log_probs, &class, &objective).unwrap();
            tape.backward_into(&[&found.loss], &mut store).unwrap();
            adam.step(&mut store, 0.02).unwrap();
        }
        let mut pass = Pass::new(&store, None, Mode::Frozen(&statistics), 2, 0);
        let log_probs = model.log_probs(&mut pass, &x).unwrap();
        let found = classification(&log_probs, &class, &objective).unwrap();
        let name = model.config().name();
        assert_eq!(found.error_rate.to_scalar().unwrap(), 0.0, "{name}");
        assert!(found.cross_entropy.to_scalar().unwrap() < 0.2, "{name}");
    }
}

#[test]
fn descriptions_that_make_no_network_are_refused() {
    let refused = |config: ClassifierConfig| {
        let made =
            ImageClassifier::new(config, &mut ParameterList::new(), &mut StatisticsList::default());
        made.map(drop).unwrap_err().to_string()
    };
    let usual = || small(&[(3, 3, 2)], &[4]);
    let cases = [
        (small(&[(3, 3, 2), (3, 0, 2)], &[4]), "convolutions[2].kernel = 0: must be 1 to 64"),
        (small(&[(3, 3, 0)], &[4]), "convolutions[1].stride = 0: must be 1 to 64"),
        (small(&[(0, 3, 1)], &[4]), "convolutions[1].channels = 0: must be 1 to 65536"),
        (small(&[(3, 3, 1); 65], &[4]), "convolutions = 65 layers: must be at most 64"),
        (small(&[], &[4, 0]), "hidden_sizes = [4, 0]: each layer needs 1 to 65536 units"),
        (small(&[], &[4; 65]), "hidden_sizes = 65 layers: must be at most 64"),
        (
            ClassifierConfig { dropout: 1.0, ..usual() },
            "dropout = 1: must be at least 0 and below 1",
        ),
        (
            ClassifierConfig { leaky_slope: 1.5, ..usual() },
            "leaky_slope = 1.5: must be at least 0 and below 1",
        ),
        (
            ClassifierConfig { batch_norm_momentum: 0.0, ..usual() },
            "batch_norm_momentum = 0: must be above 0",
        ),
        (
            ClassifierConfig { batch_norm_epsilon: f64::NAN, ..usual() },
            "batch_norm_epsilon = NaN: must be a number",
        ),
        (
            usual().for_images(MapShape::default(), 3),
            "image = 0x0x0: an image must have at least one value",
        ),
        (usual().for_images(COLOUR, 1), "classes = 1: must be 2 to 65536"),
    ];
    for (config, message) in cases {
        let said = refused(config);
        assert!(said.contains(message), "{said} for {message}");
    }
    let smoothing = ClassificationConfig { label_smoothing: 1.0 }.check().unwrap_err();
    assert_eq!(smoothing.to_string(), "label_smoothing = 1: must be at least 0 and below 1");
}

#[test]
fn images_and_classes_of_another_shape_are_refused() {
    let subject = Subject::new(small(&[(3, 3, 2)], &[4]), 1);
    let device = subject.store.device();
    let mut pass = Pass::new(&subject.store, None, Mode::BatchOnly, 1, 0);
    let error = subject
        .model
        .log_probs(&mut pass, &normal(device, 1, 4, 0, &[2, 39]))
        .unwrap_err()
        .to_string();
    assert!(error.contains("classifier: an image has 40 values, not 39"), "{error}");
    let log_probs = normal(device, 1, 5, 0, &[2, CLASSES]);
    let refused = |class: &Tensor| {
        classification(&log_probs, class, &ClassificationConfig::default()).unwrap_err()
    };
    assert!(
        refused(&one_hot(device, &[0], CLASSES))
            .to_string()
            .contains("one row of classes for each row")
    );
    assert!(
        refused(&one_hot(device, &[0, 1], 2))
            .to_string()
            .contains("one row of classes for each row")
    );
}
