//! BIVA and its relatives: their sizes, their gradients, their values against a second
//! implementation, and what must hold of any of them (specification B, section 21).

#[path = "biva/classes.rs"]
mod classes;
#[path = "biva/reference.rs"]
mod reference;

use rung_autograd::gradcheck::{Options, gradcheck_parameters};
use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, ParameterList, ParameterStore, Tape, Tensor};
use rung_models::biva::{
    BivaConfig, BlockConfig, LatentConfig, LogVariance, Paths, StageConfig, StageObservation,
};
use rung_models::layers::{Builder, Product, WeightNormed};
use rung_models::objective::{Bound, ObjectiveConfig, bound};
use rung_models::{
    Biva, InitialValue, Initialisation, LatentModel, LatentSource, MapShape, Mode, Pass,
    Statistics, StatisticsList, initialise,
};
use rung_tests::{case_count, property};

use proptest::prelude::{Strategy, any};
use proptest::sample::select;
use reference::Reference;

/// The step whose noise all passes have.
const STEP: u64 = 7;
const PATHS: [Paths; 3] = [Paths::BottomUp, Paths::TopDown, Paths::Bidirectional];

fn parameters(config: BivaConfig) -> usize {
    let mut parameters = ParameterList::new();
    Biva::new(config, &mut parameters, &mut StatisticsList::default()).unwrap();
    parameters.element_count()
}

#[test]
fn the_published_configurations_have_the_published_numbers_of_parameters() {
    assert_eq!(parameters(BivaConfig::mnist()), 31_550_946);
    assert_eq!(parameters(BivaConfig::cifar10()), 102_948_560);
}

#[test]
fn the_fully_connected_models_have_the_parameters_of_section_14() {
    assert_eq!(parameters(BivaConfig::dense(784, 256, &[32, 16, 8], 1)), 3_786_048);
    assert_eq!(parameters(BivaConfig::dense(784, 256, &[32, 16, 8], 2)), 6_162_752);
}

/// A few stages of a few channels: strides at the bottom and at the top, a vector and maps as
/// latents, channels that grow and shrink.
fn convolutional(paths: Paths, skips: bool) -> BivaConfig {
    let block = |channels, kernel, stride| BlockConfig { channels, kernel, stride };
    let map = |channels, kernel| LatentConfig::Map { channels, kernel };
    BivaConfig {
        image: MapShape { height: 4, width: 4, channels: 2 },
        stages: vec![
            StageConfig { blocks: vec![block(3, 3, 1), block(3, 5, 2)], latent: map(2, 2) },
            StageConfig {
                blocks: vec![block(4, 3, 1), block(4, 3, 1)],
                latent: LatentConfig::Dense { units: 3 },
            },
            StageConfig { blocks: vec![block(3, 3, 1), block(3, 3, 2)], latent: map(2, 1) },
        ],
        paths,
        skips,
        ..BivaConfig::dense(1, 1, &[1], 1)
    }
}

/// The same without positions.
fn dense(paths: Paths, skips: bool) -> BivaConfig {
    BivaConfig { paths, skips, ..BivaConfig::dense(5, 4, &[3, 2, 2], 2) }
}

/// Standard deviation of the parameters under test. With gains near 1, as they are before the
/// data-dependent initialisation, stage upon stage of σ² = e^softplus(r) can leave the range even
/// of f64.
const PARAMETER_SIGMA: f64 = 0.3;

/// A model, random numbers in every parameter, and images.
struct Subject {
    model: Biva,
    store: ParameterStore,
    statistics: Statistics,
    seed: u64,
}

impl Subject {
    fn new(config: BivaConfig, seed: u64) -> Self {
        Self::on(&Device::cpu(), config, seed)
    }

    fn on(device: &Device, config: BivaConfig, seed: u64) -> Self {
        let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
        let model = Biva::new(config, &mut parameters, &mut statistics).unwrap();
        let mut store = parameters.build(device, DType::F64, Address::new(seed, 0, 0)).unwrap();
        for (number, id) in store.ids().enumerate() {
            let shape = store.parameter(id).shape;
            let samples =
                Tensor::normal(device, DType::F64, Address::new(seed, 1, number as u64), shape)
                    .unwrap();
            store.set(id, &samples.scale(PARAMETER_SIGMA).unwrap().to_f64().unwrap()).unwrap();
        }
        Self { model, store, statistics: statistics.build(device, DType::F64).unwrap(), seed }
    }

    fn images(&self, count: usize) -> Tensor {
        Self::images_of(&self.model, &self.store, self.seed, count)
    }

    fn images_of(model: &Biva, store: &ParameterStore, seed: u64, count: usize) -> Tensor {
        let (device, shape) = (store.device(), [count, model.data_size()]);
        let uniform = Tensor::uniform(device, DType::F64, Address::new(seed, 4, 0), shape).unwrap();
        match model.config().observation {
            StageObservation::Bernoulli => {
                uniform.less(&Tensor::full(device, DType::F64, 0.3, [1]).unwrap()).unwrap()
            }
            // Values of bytes.
            StageObservation::LogisticMixture => {
                let bytes: Vec<f64> =
                    uniform.to_f64().unwrap().iter().map(|u| (u * 256.0).floor() / 255.0).collect();
                Tensor::from_f64(device, &bytes, shape).unwrap()
            }
        }
    }

    fn pass(&self) -> Pass<'_> {
        Pass::new(&self.store, None, Mode::Frozen(&self.statistics), self.seed, STEP)
    }

    fn bound(&self, x: &Tensor, objective: &ObjectiveConfig) -> Bound {
        bound(&self.model, &mut self.pass(), x, objective).unwrap()
    }
}

fn scalar(x: &Tensor) -> f64 {
    x.to_scalar().unwrap()
}

#[derive(Clone, Debug)]
struct Choice {
    config: BivaConfig,
    objective: ObjectiveConfig,
    images: usize,
    seed: u64,
}

fn choices(config: fn(Paths, bool) -> BivaConfig) -> impl Strategy<Value = Choice> {
    let log_variances =
        vec![LogVariance::Softplus, LogVariance::Free, LogVariance::SoftplusDeviation];
    let architecture = (select(PATHS.to_vec()), any::<bool>(), select(log_variances));
    let objective = (
        1..=2usize,
        select(vec![1usize, 3]),
        select(vec![1.0, 0.3]),
        any::<bool>(),
        select(vec![0.0, 0.5]),
    );
    let seed = any::<u64>().prop_map(|seed| seed >> 8).no_shrink();
    (architecture, objective, 1..=3usize, seed).prop_map(
        move |(
            (paths, skips, log_variance),
            (m, k, beta, analytic_kl, free_bits_nats),
            images,
            seed,
        )| Choice {
            config: BivaConfig { log_variance, ..config(paths, skips) },
            objective: ObjectiveConfig {
                beta,
                monte_carlo_samples: m,
                importance_samples: k,
                analytic_kl: analytic_kl && k == 1,
                free_bits_nats: if k == 1 { free_bits_nats } else { 0.0 },
                squared_kl: false,
            },
            images,
            seed,
        },
    )
}

#[test]
fn gradients_of_every_objective_match_differences() {
    for (config, cases) in [(dense as fn(Paths, bool) -> BivaConfig, 4), (convolutional, 2)] {
        property(
            case_count(cases),
            choices(config),
            |Choice { config, objective, images, seed }| {
                let description = format!("{config:?}, {objective:?}");
                let subject = Subject::new(config, seed);
                let x = subject.images(images);
                let Subject { model, mut store, statistics, .. } = subject;
                let loss = |store: &ParameterStore, tape: Option<&Tape>| {
                    let mut pass = Pass::new(store, tape, Mode::Frozen(&statistics), seed, STEP);
                    Ok(bound(&model, &mut pass, &x, &objective)?.loss)
                };
                let checked =
                    gradcheck_parameters(&mut store, loss, &Options { seed, ..Options::default() });
                checked.map(drop).map_err(|failure| format!("{description}: {failure}"))
            },
        );
    }
}

/// With every second input and every bottom-up group off, that is without skips in the top-down
/// pass alone, the same reference is the LVAE.
#[test]
fn values_are_those_of_a_second_implementation() {
    for config in [dense, convolutional] {
        property(case_count(12), choices(config), |Choice { config, images, seed, .. }| {
            let subject = Subject::new(config, seed);
            let x = subject.images(images);
            let groups = subject.model.groups();
            let noise = |group: usize, rows: usize| {
                subject
                    .pass()
                    .posterior_noise(group + 1, [rows, groups[group].units].into())
                    .unwrap()
            };
            let reference =
                Reference { store: &subject.store, config: subject.model.config(), noise: &noise };
            let expected = reference.terms(&x);
            let sampled = subject.model.infer(&mut subject.pass(), &x, 1).unwrap();
            assert_eq!(sampled.latents.len(), groups.len());
            assert_eq!(expected.log_ratios.len(), groups.len());
            let near = |what: &str, found: &Tensor, expected: &Tensor| {
                let pairs = found.to_f64().unwrap().into_iter().zip(expected.to_f64().unwrap());
                match pairs.into_iter().find(|(a, b)| (a - b).abs() > 1e-10 * (1.0 + b.abs())) {
                    None => Ok(()),
                    Some((a, b)) => {
                        Err(format!("{:?}: {what} is {a}, not {b}", subject.model.config()))
                    }
                }
            };
            near("log p(x|z)", &sampled.p_x.log_prob(&x).unwrap(), &expected.log_p_x)?;
            for ((latent, expected), group) in
                sampled.latents.iter().zip(&expected.log_ratios).zip(&groups)
            {
                near(&group.name(), &latent.log_ratio().unwrap(), expected)?;
            }
            Ok(())
        });
    }
}

#[test]
fn groups_and_closed_forms_are_those_of_the_paths() {
    let describe = |paths| {
        let model = Subject::new(dense(paths, true), 1).model;
        let groups = model.groups();
        groups
            .iter()
            .enumerate()
            .map(|(i, group)| (group.name(), group.units, model.has_analytic_kl(i)))
            .collect::<Vec<_>>()
    };
    let plain = |analytic: [bool; 3]| {
        vec![
            ("z_1".to_string(), 3, analytic[0]),
            ("z_2".into(), 2, analytic[1]),
            ("z_3".into(), 2, analytic[2]),
        ]
    };
    assert_eq!(describe(Paths::BottomUp), plain([false, false, true]));
    assert_eq!(describe(Paths::TopDown), plain([true; 3]));
    let names = ["z_1 bottom-up", "z_1 top-down", "z_2 bottom-up", "z_2 top-down", "z_3"];
    let expected = names
        .map(str::to_string)
        .into_iter()
        .zip([3, 3, 2, 2, 2])
        .zip([false, true, false, true, true]);
    let expected: Vec<_> =
        expected.map(|((name, units), analytic)| (name, units, analytic)).collect();
    assert_eq!(describe(Paths::Bidirectional), expected);
}

/// Every product, alone: mean 0 and standard deviation 0.01 in every channel of its output on the
/// batch.
#[test]
fn a_layer_is_initialised_to_a_hundredth() {
    let device = Device::cpu();
    let products = [
        (Product::Dense, vec![32, 6]),
        (Product::Convolution { kernel: 3, stride: 1 }, vec![5, 4, 4, 6]),
        (Product::Convolution { kernel: 5, stride: 2 }, vec![5, 4, 4, 6]),
        (Product::Transposed { kernel: 3, stride: 2 }, vec![5, 4, 4, 6]),
    ];
    for (product, sizes) in products {
        let (mut parameters, mut list) = (ParameterList::new(), StatisticsList::default());
        let layer = WeightNormed::new(&mut Builder::new(&mut parameters, &mut list), product, 6, 3);
        let mut store = parameters.build(&device, DType::F64, Address::new(2, 0, 0)).unwrap();
        let rows = sizes.iter().product::<usize>() / 6;
        let x = Tensor::normal(&device, DType::F64, Address::new(2, 9, 0), [rows, 6])
            .unwrap()
            .shift(0.7)
            .unwrap();
        let x = match sizes.as_slice() {
            &[a, b, c, d] => x.reshape([a, b, c, d]).unwrap(),
            _ => x,
        };
        let mut found = Initialisation { output_sigma: 0.01, values: Vec::new() };
        let first = layer
            .forward(&mut Pass::new(&store, None, Mode::Initialise(&mut found), 2, 0), &x)
            .unwrap();
        for InitialValue { parameter, value } in &found.values {
            store.set(*parameter, &value.to_f64().unwrap()).unwrap();
        }
        let out = layer.forward(&mut Pass::new(&store, None, Mode::BatchOnly, 2, 0), &x).unwrap();
        let out = out.reshape([out.shape().element_count() / 3, 3]).unwrap();
        let mean = out.mean(0).unwrap();
        let deviation = out.sub(&mean).unwrap().square().unwrap().mean(0).unwrap().sqrt().unwrap();
        for (mean, deviation) in mean.to_f64().unwrap().iter().zip(deviation.to_f64().unwrap()) {
            assert!(
                mean.abs() < 1e-12 && (deviation - 0.01).abs() < 1e-7,
                "{product:?}: {mean}, {deviation}"
            );
        }
        let pairs = first.to_f64().unwrap().into_iter().zip(out.to_f64().unwrap());
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-12), "{product:?}");
    }
}

/// A second initialisation finds what the first one set: each layer saw in the first pass what it
/// sees ever after.
#[test]
fn a_whole_model_is_initialised_in_the_order_of_execution() {
    for config in [dense(Paths::Bidirectional, true), convolutional(Paths::Bidirectional, true)] {
        let config = BivaConfig { inference_dropout: 0.3, generative_dropout: 0.2, ..config };
        let subject = Subject::new(config, 5);
        let x = subject.images(9);
        let Subject { model, mut store, .. } = subject;
        let layers =
            store.parameters().iter().filter(|parameter| parameter.name.ends_with(".gain")).count();
        assert_eq!(initialise(&model, &mut store, &x, 0.01, 5).unwrap(), 2 * layers);
        let values = |store: &ParameterStore| -> Vec<f64> {
            store.ids().flat_map(|id| store.tensor(id, None).to_f64().unwrap()).collect()
        };
        let first = values(&store);
        initialise(&model, &mut store, &x, 0.01, 5).unwrap();
        for (a, b) in first.iter().zip(values(&store)) {
            assert!((a - b).abs() <= 1e-9 * (1.0 + b.abs()), "{a} became {b}");
        }
    }
}

/// Section 20.8: small pre-activations everywhere, so every pixel is a fair coin at first.
#[test]
fn the_first_loss_is_ln_2_a_pixel() {
    let mut subject = Subject::new(BivaConfig::dense(784, 16, &[4, 3, 2], 1), 3);
    let x = subject.images(20);
    initialise(&subject.model, &mut subject.store, &x, 0.01, 3).unwrap();
    let bound = subject.bound(&x, &ObjectiveConfig::default());
    assert!(
        (scalar(&bound.log_p_x) + 784.0 * std::f64::consts::LN_2).abs() < 1.0,
        "{}",
        scalar(&bound.log_p_x)
    );
}

/// Sampled log-ratios of the groups that have a closed form average to it.
#[test]
fn sampled_kl_averages_to_the_closed_form() {
    let samples = 100_000;
    let subject = Subject::new(dense(Paths::Bidirectional, true), 4);
    let sampled = subject.model.infer(&mut subject.pass(), &subject.images(1), samples).unwrap();
    for (index, (latent, group)) in sampled.latents.iter().zip(subject.model.groups()).enumerate() {
        if !subject.model.has_analytic_kl(index) {
            continue;
        }
        // Given what is above, the difference has mean 0 in every row.
        let difference =
            latent.log_ratio().unwrap().sub(&latent.kl().unwrap()).unwrap().to_f64().unwrap();
        let mean = difference.iter().sum::<f64>() / samples as f64;
        let variance = difference.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / samples as f64;
        let error = (variance / samples as f64).sqrt();
        assert!(
            mean.abs() < 5.0 * error,
            "{}: {mean} with a standard error of {error}",
            group.name()
        );
    }
}

#[test]
fn the_bound_rises_with_the_importance_samples() {
    for paths in PATHS {
        let subject = Subject::new(dense(paths, true), 2);
        let x = subject.images(40);
        let bounds =
            [(1000, 1), (100, 10), (10, 100)].map(|(monte_carlo_samples, importance_samples)| {
                let objective = ObjectiveConfig {
                    monte_carlo_samples,
                    importance_samples,
                    ..ObjectiveConfig::default()
                };
                -scalar(&subject.bound(&x, &objective).loss)
            });
        assert!(bounds[0] < bounds[1] && bounds[1] < bounds[2], "{paths:?}: {bounds:?}");
    }
}

/// Dropout included: the second time the same units are dropped.
#[test]
fn recomputed_activations_change_no_bit_of_a_gradient() {
    for config in [dense(Paths::Bidirectional, true), convolutional(Paths::Bidirectional, true)] {
        let config = BivaConfig { inference_dropout: 0.3, generative_dropout: 0.2, ..config };
        let Subject { model, mut store, mut statistics, seed } = Subject::new(config, 8);
        let x = Subject::images_of(&model, &store, seed, 3);
        let mut gradients = |recomputes: bool| {
            let tape = Tape::new();
            let mut pass =
                Pass::new(&store, Some(&tape), Mode::Batch(&mut statistics, 0.1), seed, STEP)
                    .recomputing_activations(recomputes);
            let bound = bound(&model, &mut pass, &x, &ObjectiveConfig::default()).unwrap();
            let nodes = tape.len();
            store.clear_gradients();
            tape.backward_into(&[&bound.loss], &mut store).unwrap();
            let gradients: Vec<Vec<f64>> =
                store.ids().map(|id| store.gradient(id).unwrap().to_f64().unwrap()).collect();
            (nodes, scalar(&bound.loss), gradients)
        };
        let ((recorded, loss, expected), (recomputed, again, found)) =
            (gradients(false), gradients(true));
        assert_eq!((again, found), (loss, expected));
        assert!(recomputed < recorded / 2, "{recomputed} operations, {recorded} without");
    }
}

/// An image and group with less than the free nats counts as exactly these, and moves nothing.
#[test]
fn free_bits_are_exact_and_have_no_gradient() {
    let mut subject = Subject::new(dense(Paths::Bidirectional, true), 6);
    let x = subject.images(3);
    let gradient = |subject: &mut Subject, objective: &ObjectiveConfig| {
        let tape = Tape::new();
        let mut pass = Pass::new(&subject.store, Some(&tape), Mode::BatchOnly, 6, STEP);
        let bound = bound(&subject.model, &mut pass, &x, objective).unwrap();
        subject.store.clear_gradients();
        tape.backward_into(&[&bound.loss], &mut subject.store).unwrap();
        let ids = subject.store.ids();
        let gradients = ids
            .flat_map(|id| subject.store.gradient(id).unwrap().to_f64().unwrap())
            .collect::<Vec<_>>();
        (scalar(&bound.loss), scalar(&bound.log_p_x), gradients)
    };
    let free = ObjectiveConfig { free_bits_nats: 1000.0, ..ObjectiveConfig::default() };
    let (loss, log_p_x, gradients) = gradient(&mut subject, &free);
    assert!((loss - (5000.0 - log_p_x)).abs() < 1e-9, "{loss}, {log_p_x}");
    let only_likelihood = ObjectiveConfig { beta: 0.0, ..ObjectiveConfig::default() };
    assert_eq!(gradients, gradient(&mut subject, &only_likelihood).2);
    let none = ObjectiveConfig { free_bits_nats: 1e-300, ..ObjectiveConfig::default() };
    assert_ne!(gradients, gradient(&mut subject, &none).2);
    let k = ObjectiveConfig { importance_samples: 2, ..free };
    let refused = bound(&subject.model, &mut subject.pass(), &x, &k).unwrap_err().to_string();
    assert!(refused.contains("free bits are for one importance sample"), "{refused}");
}

/// L^{>k} keeps the terms of the layers above k; the others are drawn from the prior.
#[test]
fn lower_layers_can_be_left_to_the_prior() {
    for paths in PATHS {
        let subject = Subject::new(dense(paths, true), 8);
        let x = subject.images(4);
        let posterior = subject.model.infer_bottom_up(&mut subject.pass(), &x).unwrap();
        let above = |k| posterior.sample_above(&mut subject.pass(), 2, k);
        let whole = subject.model.infer(&mut subject.pass(), &x, 2).unwrap();
        let weights =
            |sampled: &rung_models::Sampled| sampled.log_weights(&x).unwrap().to_f64().unwrap();
        assert_eq!(weights(&above(0).unwrap()), weights(&whole), "{paths:?}");
        let groups = subject.model.groups();
        for k in 1..3 {
            let sampled = above(k).unwrap();
            assert_eq!(
                sampled.latents.len(),
                groups.iter().filter(|group| group.layer > k).count(),
                "{paths:?}"
            );
            let all: Vec<f64> = whole.latents.last().unwrap().z.to_f64().unwrap();
            assert_eq!(
                sampled.latents.last().unwrap().z.to_f64().unwrap(),
                all,
                "{paths:?}: the top is inferred"
            );
            assert_ne!(
                sampled.p_x.mean().unwrap().to_f64().unwrap(),
                whole.p_x.mean().unwrap().to_f64().unwrap()
            );
        }
        assert!(
            above(3).unwrap_err().to_string().contains("at least the top must be inferred"),
            "{paths:?}"
        );
    }
}

#[test]
fn samples_can_share_their_upper_layers() {
    for config in [dense(Paths::Bidirectional, true), convolutional(Paths::Bidirectional, true)] {
        let subject = Subject::new(config, 9);
        let generate =
            |source| subject.model.generate(&mut subject.pass(), &source).unwrap().mean().unwrap();
        let rows = |x: &Tensor| {
            x.to_f64().unwrap().chunks(x.shape().last()).map(<[f64]>::to_vec).collect::<Vec<_>>()
        };
        let [none, some, all] =
            [0, 2, 3].map(|layer| rows(&generate(LatentSource::SharedAbove { layer, count: 3 })));
        assert!(none[0] == none[1] && none[1] == none[2]);
        assert!(some[0] != some[1] && all[0] != all[1] && some[1] != all[1]);
        assert_eq!(all, rows(&generate(LatentSource::StandardNormal { layer: 3, count: 3 })));
        let refused = subject
            .model
            .generate(&mut subject.pass(), &LatentSource::StandardNormal { layer: 2, count: 1 });
        assert!(refused.unwrap_err().to_string().contains("sampling starts at the top, 3"));
    }
}

/// T scales what is drawn from p, group by group: 1 is the model, 0 its mean, and the sample of the
/// top is proportional to it. Samples from q know nothing of it.
#[test]
fn temperatures_scale_the_deviations_of_the_prior() {
    let subject = Subject::new(dense(Paths::Bidirectional, true), 12);
    let source = LatentSource::StandardNormal { layer: 3, count: 3 };
    let rows = |temperatures: &[f64]| -> Vec<Vec<f64>> {
        let mut pass = subject.pass().with_temperatures(temperatures);
        let mean = subject.model.generate(&mut pass, &source).unwrap().mean().unwrap();
        mean.to_f64().unwrap().chunks(5).map(<[f64]>::to_vec).collect()
    };
    let model = rows(&[]);
    assert_eq!(rows(&[1.0; 5]), model);
    let cold = rows(&[0.0; 5]);
    assert!(cold[0] == cold[1] && cold[1] == cold[2] && model[0] != model[1]);
    // Five groups: the lower ones at their means leave what z_3 decides.
    let top = rows(&[0.0, 0.0, 0.0, 0.0, 1.0]);
    assert!(top[0] != top[1] && top != model);
    let noise = |temperatures: &[f64]| {
        let pass = subject.pass().with_temperatures(temperatures);
        let [p, q] = [pass.prior_noise(2, [2, 3].into()), pass.posterior_noise(2, [2, 3].into())];
        [p, q].map(|noise| noise.unwrap().to_f64().unwrap())
    };
    let ([p, q], [scaled, same]) = (noise(&[1.0, 1.0]), noise(&[9.0, 0.5]));
    assert_eq!(scaled, p.iter().map(|x| 0.5 * x).collect::<Vec<_>>());
    assert_eq!(same, q);
}

/// A colour model: planes on the outside, positions within.
#[test]
fn a_mixture_of_logistics_models_colour_images() {
    let config = BivaConfig {
        image: MapShape { height: 4, width: 4, channels: 3 },
        observation: StageObservation::LogisticMixture,
        mixture_components: 2,
        ..convolutional(Paths::Bidirectional, true)
    };
    let subject = Subject::new(config, 10);
    let x = subject.images(3);
    let sampled = subject.model.infer(&mut subject.pass(), &x, 2).unwrap();
    assert_eq!(sampled.p_x.log_prob(&x).unwrap().shape().sizes(), [6]);
    for picture in [
        sampled.p_x.mean().unwrap(),
        sampled.p_x.sample(Address::new(1, 2, 3), &mut |_, _| ()).unwrap(),
    ] {
        assert_eq!(picture.shape().sizes(), [6, 48]);
        assert!(picture.to_f64().unwrap().iter().all(|value| (0.0..=1.0).contains(value)));
    }
    let Subject { model, mut store, statistics, .. } = subject;
    let loss = |store: &ParameterStore, tape: Option<&Tape>| {
        let mut pass = Pass::new(store, tape, Mode::Frozen(&statistics), 10, STEP);
        Ok(bound(&model, &mut pass, &x, &ObjectiveConfig::default())?.loss)
    };
    gradcheck_parameters(&mut store, loss, &Options::default()).unwrap();
}

#[test]
fn sizes_that_make_no_model_are_refused() {
    let refused = |config: BivaConfig| {
        Biva::new(config, &mut ParameterList::new(), &mut StatisticsList::default())
            .unwrap_err()
            .to_string()
    };
    let base = || convolutional(Paths::Bidirectional, true);
    let with_stage = |change: fn(&mut StageConfig)| {
        let mut config = base();
        change(&mut config.stages[1]);
        refused(config)
    };
    assert!(
        refused(BivaConfig { stages: Vec::new(), ..base() })
            .contains("stages = []: there must be at least one")
    );
    assert!(
        with_stage(|stage| stage.blocks.truncate(1)).contains("stage 2 has 1 blocks, stage 1 2")
    );
    assert!(
        with_stage(|stage| stage.blocks[0].stride = 3)
            .contains("a map of 2x2 can't shrink by a stride of 3")
    );
    assert!(
        with_stage(|stage| stage.blocks[0].kernel = 0)
            .contains("stages[2].kernels = [0, 3]: needs one side")
    );
    assert!(
        with_stage(|stage| stage.latent = LatentConfig::Dense { units: 0 })
            .contains("latent_units = 0")
    );
    assert!(
        refused(BivaConfig { inference_dropout: 1.0, ..base() })
            .contains("inference_dropout = 1: must be")
    );
    let mixture = StageObservation::LogisticMixture;
    assert!(
        refused(BivaConfig { observation: mixture, ..base() })
            .contains("for 1 or 3 channels, not 2")
    );
}
