//! Autoregressive observations: what a pixel may depend on, gradients, a second implementation with
//! explicit loops, samples that follow the probabilities, and BIVA with them.

#[path = "autoregressive/reference.rs"]
mod reference;

use proptest::prelude::{Strategy, any};
use proptest::sample::select;
use rung_autograd::gradcheck::{Options, gradcheck_parameters};
use rung_autograd::rng::Address;
use rung_autograd::{
    DType, Device, Initialiser, ParameterList, ParameterStore, Result, Tape, Tensor,
};
use rung_models::autoregressive::{Autoregressive, AutoregressiveConfig, AutoregressiveHead};
use rung_models::biva::{BivaConfig, BlockConfig, LatentConfig, StageConfig, StageObservation};
use rung_models::layers::Builder;
use rung_models::objective::{ObjectiveConfig, bound, importance_bound};
use rung_models::{
    Biva, LatentModel, LatentSource, MapShape, Mode, ObservationParameters, Pass, PixelObservation,
    StatisticsList, initialise,
};
use rung_tests::{case_count, devices, property, run_seed};

/// A head for images of some kind.
#[derive(Clone, Copy, Debug)]
struct Choice {
    config: AutoregressiveConfig,
    pixels: PixelObservation,
    features: usize,
    images: usize,
    samples: usize,
    seed: u64,
}

fn choices() -> impl Strategy<Value = Choice> {
    let config = (1..=3usize, 1..=4usize, select(vec![3usize, 5, 7]))
        .prop_map(|(layers, channels, kernel)| AutoregressiveConfig { layers, channels, kernel });
    let kinds = vec![(1, None), (2, None), (1, Some(2)), (3, Some(2))];
    let pixels = (select(kinds), 1..=4usize, 1..=5usize).prop_map(
        |((channels, components), height, width)| PixelObservation {
            image: MapShape { height, width, channels },
            components,
        },
    );
    let seed = any::<u64>().prop_map(|seed| seed >> 8).no_shrink();
    (config, pixels, 1..=3usize, 1..=2usize, 1..=3usize, seed).prop_map(
        |(config, pixels, features, images, samples, seed)| Choice {
            config,
            pixels,
            features,
            images,
            samples,
            seed,
        },
    )
}

/// A head with random numbers in every parameter; the features and the parameters without the
/// pixels before are parameters too, so that their gradients are checked with the others.
struct Subject {
    choice: Choice,
    head: AutoregressiveHead,
    store: ParameterStore,
}

impl Subject {
    fn new(choice: Choice) -> Self {
        Self::on(&Device::cpu(), DType::F64, choice)
    }

    fn on(device: &Device, dtype: DType, choice: Choice) -> Self {
        let Choice { config, pixels, features, images, samples, seed } = choice;
        let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
        let mut builder = Builder::new(&mut parameters, &mut statistics);
        let head = AutoregressiveHead::new(&mut builder, &config, pixels, features);
        let MapShape { height, width, .. } = pixels.image;
        let mut map = |name, channels| {
            let shape = [images * samples, height, width, channels];
            builder.parameter(name, shape, Initialiser::Constant(0.0))
        };
        map("F", features);
        map("base", pixels.parameters());
        let mut store = parameters.build(device, dtype, Address::new(seed, 0, 0)).unwrap();
        for (number, id) in store.ids().enumerate() {
            let shape = store.parameter(id).shape;
            let address = Address::new(seed, 1, number as u64);
            let values = Tensor::normal(&Device::cpu(), DType::F64, address, shape).unwrap();
            store.set(id, &values.scale(0.5).unwrap().to_f64().unwrap()).unwrap();
        }
        Self { choice, head, store }
    }

    fn p_x(&self) -> Autoregressive {
        p_x(&self.head, &self.store, None, 1).unwrap()
    }

    fn positions(&self) -> usize {
        self.choice.pixels.image.height * self.choice.pixels.image.width
    }

    /// Random images, planar.
    fn values(&self) -> Vec<f64> {
        let Choice { pixels, images, seed, .. } = self.choice;
        let shape = [images * pixels.image.units()];
        let uniform =
            Tensor::uniform(&Device::cpu(), DType::F64, Address::new(seed, 2, 0), shape).unwrap();
        let level = |u: f64| match pixels.components {
            None => f64::from(u < 0.4),
            Some(_) => (u * 256.0).floor() / 255.0,
        };
        uniform.to_f64().unwrap().into_iter().map(level).collect()
    }

    fn tensor(&self, values: &[f64]) -> Tensor {
        let units = self.choice.pixels.image.units();
        let (device, dtype) = (self.store.device(), self.store.dtype());
        Tensor::from_values(device, dtype, values, [values.len() / units, units]).unwrap()
    }

    fn images(&self) -> Tensor {
        self.tensor(&self.values())
    }
}

/// p(x|z) of the features in the store, each row `times` times.
fn p_x(
    head: &AutoregressiveHead,
    store: &ParameterStore,
    tape: Option<&Tape>,
    times: usize,
) -> Result<Autoregressive> {
    let mut pass = Pass::new(store, tape, Mode::BatchOnly, 0, 0);
    let map = |name| pass.parameter(store.find(name).unwrap()).repeat_rows(times);
    let [features, base] = [map("F")?, map("base")?];
    head.forward(&mut pass, &features, &base)
}

/// [row, position, parameter] of every position.
fn by_position(p_x: &ObservationParameters, image: MapShape) -> Vec<f64> {
    match p_x {
        ObservationParameters::LogisticMixture(mixture) => mixture.parameters.to_f64().unwrap(),
        ObservationParameters::Bernoulli(logits) => {
            let (planar, channels) = (logits.to_f64().unwrap(), image.channels);
            let positions = image.units() / channels;
            let of_row = |row: &[f64]| -> Vec<f64> {
                let value = |i: usize| row[i % channels * positions + i / channels];
                (0..row.len()).map(value).collect()
            };
            planar.chunks_exact(image.units()).flat_map(of_row).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_output_depends_on_its_own_pixel_or_on_later_ones() {
    property(case_count(40), (choices(), any::<usize>()), |(choice, at)| {
        let subject = Subject::new(choice);
        let (image, positions) = (choice.pixels.image, subject.positions());
        let (pixel, width) = (at % positions, image.width);
        let x = subject.values();
        let mut changed = x.clone();
        let value = &mut changed[at / positions % image.channels * positions + pixel];
        *value = if *value > 0.5 { 0.0 } else { 1.0 };
        let outputs = |x: &[f64]| {
            by_position(&subject.p_x().conditionals(&subject.tensor(x)).unwrap(), image)
        };
        let (before, after) = (outputs(&x), outputs(&changed));
        let each = choice.pixels.parameters();
        let mut reached = false;
        for (i, (a, b)) in before.iter().zip(&after).enumerate() {
            let position = i / each % positions;
            if a != b && position <= pixel {
                return Err(format!("{choice:?}: pixel {pixel} changes position {position}"));
            }
            reached |= a != b;
        }
        // The next pixel of the row sees this one, or one below does.
        let is_last =
            pixel + 1 == positions || (pixel + width >= positions && pixel % width + 1 == width);
        // With one channel and three ELUs a change may round away; with more it does not.
        if !reached && !is_last && choice.config.channels > 1 && width > 1 {
            return Err(format!("{choice:?}: pixel {pixel} changes nothing"));
        }
        Ok(())
    });
}

#[test]
fn gradients_match_differences() {
    property(case_count(12), choices(), |choice| {
        let subject = Subject::new(choice);
        let x = subject.images();
        let Subject { head, mut store, .. } = subject;
        let loss = |store: &ParameterStore, tape: Option<&Tape>| {
            p_x(&head, store, tape, 1)?.log_prob(&x)?.mean_all()
        };
        let options = Options { seed: choice.seed, ..Options::default() };
        gradcheck_parameters(&mut store, loss, &options)
            .map(drop)
            .map_err(|failure| format!("{choice:?}: {failure}"))
    });
}

#[test]
fn values_are_those_of_a_second_implementation() {
    property(case_count(40), choices(), |choice| {
        let Choice { config, pixels, features, images, samples, .. } = choice;
        let subject = Subject::new(choice);
        let (x, positions) = (subject.values(), subject.positions());
        let of = |name: &str| {
            let id = subject.store.find(name).unwrap();
            subject.store.tensor(id, None).to_f64().unwrap()
        };
        let (f, base, each) = (of("F"), of("base"), pixels.parameters());
        let found = subject.p_x().conditionals(&subject.images()).unwrap();
        let found = by_position(&found, pixels.image);
        for row in 0..images * samples {
            let expected = reference::parameters(
                &subject.store,
                &config,
                pixels.image,
                &x[row / samples * pixels.image.units()..][..pixels.image.units()],
                &f[row * positions * features..][..positions * features],
                &base[row * positions * each..][..positions * each],
            );
            for (a, b) in found[row * positions * each..].iter().zip(&expected) {
                if (a - b).abs() > 1e-10 * (1.0 + b.abs()) {
                    return Err(format!("{choice:?}: {a}, not {b}"));
                }
            }
        }
        Ok(())
    });
}

/// With the noise of a row, each position of a sample is what the parallel pass over the whole
/// sample predicts there: the two ways to compute p(x_i | x_<i, z) agree.
#[test]
fn a_sample_is_drawn_from_what_the_likelihood_predicts() {
    property(case_count(20), choices(), |choice| {
        let subject =
            Subject::new(Choice { images: choice.images * choice.samples, samples: 1, ..choice });
        let (p_x, pixels, positions) = (subject.p_x(), choice.pixels, subject.positions());
        let (rows, channels) = (subject.choice.images, pixels.image.channels);
        let address = Address::new(choice.seed, 5, 60);
        let mut heard = Vec::new();
        let sample = p_x.sample(address, &mut |done, total| heard.push((done, total))).unwrap();
        assert_eq!(heard, (1..=positions).map(|done| (done, positions)).collect::<Vec<_>>());
        let predicted = p_x.conditionals(&sample).unwrap();
        let each = pixels.components.unwrap_or(0) + channels;
        let noise = |row: usize| {
            let address = Address { step: address.step + row as u64, ..address };
            Tensor::uniform(subject.store.device(), DType::F64, address, [positions * each])
                .unwrap()
        };
        let noise: Vec<f64> = (0..rows).flat_map(|row| noise(row).to_f64().unwrap()).collect();
        let parameters = by_position(&predicted, pixels.image);
        let drawn: Vec<f64> = match pixels.components {
            None => noise
                .iter()
                .zip(&parameters)
                .map(|(u, l)| f64::from(*u < 1.0 / (1.0 + (-l).exp())))
                .collect(),
            Some(_) => {
                let shape = [rows, positions, pixels.parameters()];
                let noise =
                    Tensor::from_f64(subject.store.device(), &noise, [rows * positions, each]);
                let mixture = Tensor::from_f64(subject.store.device(), &parameters, shape).unwrap();
                let drawn =
                    mixture.logistic_mixture_sample_with(channels, &noise.unwrap()).unwrap();
                drawn
                    .to_f64()
                    .unwrap()
                    .iter()
                    .map(|x| ((0.5 * x + 0.5) * 255.0).round() / 255.0)
                    .collect()
            }
        };
        let planar = sample.to_f64().unwrap();
        for (i, drawn) in drawn.iter().enumerate() {
            let (row, position, channel) =
                (i / channels / positions, i / channels % positions, i % channels);
            let found = planar[(row * channels + channel) * positions + position];
            if (found - drawn).abs() > 1e-12 {
                return Err(format!("{choice:?}: position {position} is {found}, not {drawn}"));
            }
        }
        Ok(())
    });
}

/// Pearson's statistic of counts against probabilities.
fn chi_square(counts: &[usize], probabilities: &[f64]) -> f64 {
    let n = counts.iter().sum::<usize>() as f64;
    let cells = counts.iter().zip(probabilities).map(|(&count, p)| (count as f64, n * p));
    // The approximation by a χ² needs cells that are expected to fill: the others are one with the
    // fullest.
    let (full, rare): (Vec<_>, Vec<_>) = cells.partition(|&(_, expected)| expected >= 5.0);
    let statistic = |(count, expected): (f64, f64)| (count - expected).powi(2) / expected;
    let fullest = (0..full.len()).max_by(|&a, &b| full[a].1.total_cmp(&full[b].1)).unwrap();
    let rare = rare.into_iter().fold((0.0, 0.0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
    let joined = |(place, (count, expected)): (usize, (f64, f64))| {
        if place == fullest { (count + rare.0, expected + rare.1) } else { (count, expected) }
    };
    full.into_iter().enumerate().map(joined).map(statistic).sum()
}

/// Of 15 degrees of freedom: exceeded once in ten million runs.
const CHI_SQUARE_15: f64 = 62.0;

fn of_one_latent(pixels: PixelObservation, seed: u64) -> Subject {
    let config = AutoregressiveConfig { layers: 2, channels: 3, kernel: 3 };
    Subject::new(Choice { config, pixels, features: 2, images: 1, samples: 1, seed })
}

/// `rows` images drawn from one p(x|z), planar.
fn drawn(subject: &Subject, rows: usize) -> Vec<f64> {
    let p_x = p_x(&subject.head, &subject.store, None, rows).unwrap();
    p_x.sample(Address::new(subject.choice.seed, 6, 0), &mut |_, _| ()).unwrap().to_f64().unwrap()
}

/// exp log p(x|z) of images.
fn probabilities(subject: &Subject, images: &[f64]) -> Vec<f64> {
    let x = subject.tensor(images);
    let count = x.shape().sizes()[0];
    let p_x = p_x(&subject.head, &subject.store, None, count).unwrap();
    p_x.log_prob(&x).unwrap().to_f64().unwrap().into_iter().map(f64::exp).collect()
}

/// All 16 binary images of 2x2 pixels: their probabilities are exact, and sum to one.
#[test]
fn binary_samples_follow_the_probabilities() {
    let seed = run_seed() >> 8;
    let image = MapShape { height: 2, width: 2, channels: 1 };
    let subject = of_one_latent(PixelObservation { image, components: None }, seed);
    let all: Vec<f64> =
        (0..16).flat_map(|bits| (0..4).map(move |bit| f64::from(bits >> bit & 1))).collect();
    let exact = probabilities(&subject, &all);
    assert!((exact.iter().sum::<f64>() - 1.0).abs() < 1e-12, "RUNG_TEST_SEED={seed}");
    let mut counts = vec![0; 16];
    for x in drawn(&subject, 40_000).chunks_exact(4) {
        counts[x.iter().enumerate().map(|(bit, x)| (*x as usize) << bit).sum::<usize>()] += 1;
    }
    let statistic = chi_square(&counts, &exact);
    assert!(statistic < CHI_SQUARE_15, "seed {seed}: {statistic}, {counts:?}, {exact:?}");
}

/// All 256² images of two grey pixels, in 16 cells.
#[test]
fn grey_samples_follow_the_probabilities() {
    let seed = run_seed() >> 8;
    let image = MapShape { height: 1, width: 2, channels: 1 };
    let subject = of_one_latent(PixelObservation { image, components: Some(2) }, seed);
    let all: Vec<f64> =
        (0..256 * 256).flat_map(|i| [i / 256, i % 256]).map(|l| f64::from(l) / 255.0).collect();
    // Cells of equal probability of the first pixel, by that of the second.
    let exact = probabilities(&subject, &all);
    assert!((exact.iter().sum::<f64>() - 1.0).abs() < 1e-9, "seed {seed}");
    let cut = |weights: &[f64]| -> Vec<usize> {
        let mut sum = 0.0;
        weights
            .iter()
            .map(|weight| {
                let cell = (4.0 * sum) as usize;
                sum += weight;
                cell.min(3)
            })
            .collect()
    };
    let first: Vec<f64> = exact.chunks_exact(256).map(|row| row.iter().sum()).collect();
    let second: Vec<f64> = (0..256).map(|j| (0..256).map(|i| exact[256 * i + j]).sum()).collect();
    let (first, second) = (cut(&first), cut(&second));
    let cell = |a: usize, b: usize| 4 * first[a] + second[b];
    let mut cells = vec![0.0; 16];
    exact.iter().enumerate().for_each(|(i, p)| cells[cell(i / 256, i % 256)] += p);
    let mut counts = vec![0; 16];
    for x in drawn(&subject, 20_000).chunks_exact(2) {
        let [a, b] = [x[0], x[1]].map(|x| (x * 255.0).round() as usize);
        counts[cell(a, b)] += 1;
    }
    let statistic = chi_square(&counts, &cells);
    assert!(statistic < CHI_SQUARE_15, "seed {seed}: {statistic}, {counts:?}, {cells:?}");
}

/// Two stages on 4x4 pixels.
fn biva(channels: usize, observation: StageObservation) -> BivaConfig {
    let stage = |stride| StageConfig {
        blocks: vec![BlockConfig { channels: 3, kernel: 3, stride }],
        latent: LatentConfig::Dense { units: 2 },
    };
    BivaConfig {
        image: MapShape { height: 4, width: 4, channels },
        stages: vec![stage(2), stage(1)],
        observation,
        mixture_components: 2,
        autoregressive_layers: 2,
        autoregressive_channels: 3,
        autoregressive_kernel: 5,
        ..BivaConfig::default()
    }
}

struct BivaSubject {
    model: Biva,
    store: ParameterStore,
    x: Tensor,
}

fn biva_subject(config: BivaConfig, images: usize, seed: u64) -> BivaSubject {
    let (device, mut parameters) = (Device::cpu(), ParameterList::new());
    let model = Biva::new(config, &mut parameters, &mut StatisticsList::default()).unwrap();
    let mut store = parameters.build(&device, DType::F64, Address::new(seed, 0, 0)).unwrap();
    for (number, id) in store.ids().enumerate() {
        let shape = store.parameter(id).shape;
        let values =
            Tensor::normal(&device, DType::F64, Address::new(seed, 1, number as u64), shape)
                .unwrap();
        store.set(id, &values.scale(0.3).unwrap().to_f64().unwrap()).unwrap();
    }
    let shape = [images, model.data_size()];
    let uniform = Tensor::uniform(&device, DType::F64, Address::new(seed, 2, 0), shape).unwrap();
    let level: fn(f64) -> f64 = match model.config().observation {
        StageObservation::Bernoulli => |u| f64::from(u < 0.4),
        StageObservation::LogisticMixture => |u| (u * 256.0).floor() / 255.0,
    };
    let x: Vec<f64> = uniform.to_f64().unwrap().into_iter().map(level).collect();
    let x = Tensor::from_f64(&device, &x, shape).unwrap();
    BivaSubject { model, store, x }
}

const KINDS: [(usize, StageObservation); 2] =
    [(1, StageObservation::Bernoulli), (3, StageObservation::LogisticMixture)];

#[test]
fn gradients_of_biva_with_an_autoregressive_observation_match_differences() {
    for (channels, observation) in KINDS {
        let seed = run_seed() >> 8;
        let BivaSubject { model, mut store, x } =
            biva_subject(biva(channels, observation), 2, seed);
        let objective = ObjectiveConfig { importance_samples: 2, ..ObjectiveConfig::default() };
        let loss = |store: &ParameterStore, tape: Option<&Tape>| {
            let mut pass = Pass::new(store, tape, Mode::BatchOnly, seed, 7);
            Ok(bound(&model, &mut pass, &x, &objective)?.loss)
        };
        gradcheck_parameters(&mut store, loss, &Options { seed, ..Options::default() }).unwrap();
    }
}

/// K samples of an image share its context: the bound is that of every sample beside a copy of its
/// image.
#[test]
fn importance_samples_share_the_context_of_their_image() {
    let k = 4;
    for (channels, observation) in KINDS {
        let BivaSubject { model, store, x } = biva_subject(biva(channels, observation), 3, 11);
        let pass = || Pass::new(&store, None, Mode::BatchOnly, 11, 7);
        let objective = ObjectiveConfig { importance_samples: k, ..ObjectiveConfig::default() };
        let found = bound(&model, &mut pass(), &x, &objective).unwrap();
        let sampled = model.infer(&mut pass(), &x, k).unwrap();
        let copies = x.repeat_rows(k).unwrap();
        let ObservationParameters::Autoregressive(p_x) = &sampled.p_x else {
            panic!("{sampled:?}")
        };
        let log_p_x = p_x.conditionals(&copies).unwrap().log_prob(&copies).unwrap();
        let ratios: Vec<Tensor> =
            sampled.latents.iter().map(|latent| latent.log_ratio().unwrap()).collect();
        let log_weights = log_p_x.add_scaled(-1.0, &ratios).unwrap();
        let expected = importance_bound(&log_weights, k).unwrap().mean_all().unwrap();
        let (found, expected) = (found.loss.to_scalar().unwrap(), -expected.to_scalar().unwrap());
        assert!((found - expected).abs() < 1e-10 * expected.abs(), "{found}, not {expected}");
    }
}

/// It starts as the plain model does: every pixel about a fair coin.
#[test]
fn the_latents_come_first() {
    let config = biva(1, StageObservation::Bernoulli);
    let x = biva_subject(config.clone(), 40, 3).x;
    let mut parameters = ParameterList::new();
    let model = Biva::new(config, &mut parameters, &mut StatisticsList::default()).unwrap();
    let mut store = parameters.build(x.device(), DType::F64, Address::new(3, 0, 0)).unwrap();
    initialise(&model, &mut store, &x, 0.01, 3).unwrap();
    let mut pass = Pass::new(&store, None, Mode::BatchOnly, 3, 7);
    let log_p_x = bound(&model, &mut pass, &x, &ObjectiveConfig::default()).unwrap().log_p_x;
    let coins = -16.0 * std::f64::consts::LN_2;
    assert!((log_p_x.to_scalar().unwrap() - coins).abs() < 0.05 * coins.abs());
}

#[test]
fn pictures_of_an_autoregressive_model_are_drawn() {
    for (channels, observation) in KINDS {
        let BivaSubject { model, store, .. } = biva_subject(biva(channels, observation), 1, 5);
        let mut pass = Pass::new(&store, None, Mode::BatchOnly, 5, 7);
        let source = LatentSource::StandardNormal { layer: 2, count: 3 };
        let p_x = model.generate(&mut pass, &source).unwrap();
        let address = Address::new(1, 2, 3);
        let picture = p_x.picture(address, &mut |_, _| ()).unwrap();
        let sample = p_x.sample(address, &mut |_, _| ()).unwrap();
        assert_eq!(picture.shape().sizes(), [3, 16 * channels]);
        assert_eq!(picture.to_f64().unwrap(), sample.to_f64().unwrap());
        let refused = p_x.mean().unwrap_err().to_string();
        assert!(refused.contains("has no closed form: draw"), "{refused}");
    }
}

/// Every device gives the likelihoods and samples of the CPU.
#[test]
fn devices_agree() {
    let config = AutoregressiveConfig { layers: 3, channels: 4, kernel: 5 };
    let image = MapShape { height: 5, width: 4, channels: 3 };
    let pixels = PixelObservation { image, components: Some(2) };
    let choice = Choice { config, pixels, features: 3, images: 2, samples: 2, seed: 9 };
    let results: Vec<[Vec<f64>; 2]> = devices()
        .iter()
        .map(|device| {
            let subject = Subject::on(device, DType::F64, choice);
            let p_x = subject.p_x();
            let sample = p_x.sample(Address::new(9, 1, 1), &mut |_, _| ()).unwrap();
            [p_x.log_prob(&subject.images()).unwrap(), sample].map(|t| t.to_f64().unwrap())
        })
        .collect();
    for [log_prob, sample] in &results[1..] {
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-9 * (1.0 + b.abs());
        assert!(log_prob.iter().zip(&results[0][0]).all(near), "{log_prob:?}, {:?}", results[0][0]);
        assert!(sample.iter().zip(&results[0][1]).all(near), "{sample:?}, {:?}", results[0][1]);
    }
}

#[test]
fn what_makes_no_head_is_refused() {
    let refused = |change: fn(&mut BivaConfig)| {
        let mut config = biva(1, StageObservation::Bernoulli);
        change(&mut config);
        let made = Biva::new(config, &mut ParameterList::new(), &mut StatisticsList::default());
        made.unwrap_err().to_string()
    };
    let even = refused(|config| config.autoregressive_kernel = 4);
    assert!(even.contains("autoregressive_kernel = 4: must be an odd number from 3"), "{even}");
    let none = refused(|config| config.autoregressive_channels = 0);
    assert!(none.contains("autoregressive_channels = 0: must be 1 to 65536"), "{none}");
    let flat = refused(|config| {
        *config = BivaConfig { autoregressive_layers: 2, ..BivaConfig::dense(16, 4, &[2], 1) };
    });
    assert!(flat.contains("autoregressive_layers = 2: needs images with positions"), "{flat}");
    let subject = of_one_latent(
        PixelObservation { image: MapShape { height: 2, width: 2, channels: 1 }, components: None },
        1,
    );
    let wrong = subject.p_x().log_prob(&subject.tensor(&[0.0; 12])).unwrap_err().to_string();
    assert!(wrong.contains("1 rows of parameters are no samples of 3 images"), "{wrong}");
}
