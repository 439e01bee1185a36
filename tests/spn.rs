//! Spatial transformer networks: sizes and first values as published, values against a second
//! implementation, gradients against differences, the recurrent unit, and what is refused.

#[path = "spn/reference.rs"]
mod reference;

use std::sync::OnceLock;

use proptest::prelude::{Strategy, any};
use proptest::sample::select;
use reference::{GruLoops, Map, Reference};
use rung_autograd::gradcheck::{Options, gradcheck_parameters};
use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, Initialiser, ParameterList, ParameterStore, Tape, Tensor};
use rung_models::classifier::{ClassificationConfig, classification};
use rung_models::layers::{Builder, Gru, GruConfig, GruReset};
use rung_models::spn::{Glimpses, SpnFamily};
use rung_models::{MapShape, Mode, Pass, Spn, SpnConfig, StatisticsList};
use rung_tests::{case_count, property};

const CLASSES: usize = 4;
const POSITIONS: usize = 3;
const CANVAS: MapShape = MapShape { height: 22, width: 24, channels: 1 };

/// A network of a few units for small canvases.
fn small(family: SpnFamily) -> SpnConfig {
    let config = SpnConfig {
        family,
        input_pool: 2,
        localisation_channels: vec![3, 2],
        localisation_hidden: vec![5],
        recurrent_units: 6,
        downsampling: 2.0,
        theta_rate: 0.5,
        classifier_channels: vec![2, 3],
        classifier_hidden: vec![7],
        ..SpnConfig::default()
    };
    config.for_sequences(CANVAS, POSITIONS, CLASSES)
}

const FAMILIES: [SpnFamily; 3] = [SpnFamily::RnnSpn, SpnFamily::FfnSpn, SpnFamily::SequenceConvnet];

struct Subject {
    model: Spn,
    store: ParameterStore,
    seed: u64,
}

/// The device of all tensors: each `Device::cpu()` is one of its own.
fn cpu() -> Device {
    static CPU: OnceLock<Device> = OnceLock::new();
    CPU.get_or_init(Device::cpu).clone()
}

fn normal(seed: u64, stream: u32, number: usize, shape: &[usize]) -> Tensor {
    let shape = rung_autograd::Shape::from_slice(shape).unwrap();
    let address = Address::new(seed, stream, number as u64);
    Tensor::normal(&cpu(), DType::F64, address, shape).unwrap()
}

impl Subject {
    /// As training starts.
    fn fresh(config: SpnConfig, seed: u64) -> Self {
        let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
        let model = Spn::new(config, &mut parameters, &mut statistics).unwrap();
        let address = Address::new(seed, 0, 0);
        let store = parameters.build(&cpu(), DType::F64, address).unwrap();
        Self { model, store, seed }
    }

    /// With noise in every parameter.
    fn random(config: SpnConfig, seed: u64) -> Self {
        let mut subject = Self::fresh(config, seed);
        for (number, id) in subject.store.ids().enumerate().collect::<Vec<_>>() {
            let noise = normal(seed, 1, number, subject.store.parameter(id).shape.sizes());
            let value = subject.store.tensor(id, None).add(&noise.scale(0.2).unwrap()).unwrap();
            subject.store.set(id, &value.to_f64().unwrap()).unwrap();
        }
        subject
    }

    fn pass<'a>(&'a self, tape: Option<&'a Tape>) -> Pass<'a> {
        Pass::new(&self.store, tape, Mode::BatchOnly, self.seed, 0)
    }

    fn canvases(&self, count: usize) -> Tensor {
        normal(self.seed, 2, 0, &[count, CANVAS.units()]).square().unwrap()
    }

    fn reference(&self) -> Reference {
        let of_parameter = |id| {
            let values = self.store.tensor(id, None).to_f64().unwrap();
            (self.store.parameter(id).name.clone(), values)
        };
        let parameters = self.store.ids().map(of_parameter).collect();
        Reference { config: self.model.config().clone(), parameters }
    }

    fn values(&self, name: &str) -> Vec<f64> {
        self.reference().parameters.remove(name).unwrap_or_else(|| panic!("no {name}"))
    }
}

fn near(what: &str, found: &[f64], expected: &[f64]) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!("{what}: {} numbers, not {}", found.len(), expected.len()));
    }
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        if (found - expected).abs() > 1e-10 * (1.0 + expected.abs()) {
            return Err(format!(
                "{what} [{at}] is {found}, the second implementation has {expected}"
            ));
        }
    }
    Ok(())
}

#[test]
fn values_are_those_of_a_second_implementation() {
    let choices = (
        select(FAMILIES.to_vec()),
        select(vec![GruReset::After, GruReset::Before]),
        select(vec![1.0, 1.7, 2.0]),
        1..=2usize,
        any::<u64>().prop_map(|seed| seed >> 8),
    );
    property(case_count(40), choices, |(family, gru_reset, downsampling, input_pool, seed)| {
        let config = SpnConfig { gru_reset, downsampling, input_pool, ..small(family) };
        let subject = Subject::random(config, seed);
        let (reference, x) = (subject.reference(), subject.canvases(3));
        let found = subject.model.look(&mut subject.pass(None), &x, 0.0).unwrap();
        let canvas = |values: &[f64]| Map {
            height: CANVAS.height,
            width: CANVAS.width,
            channels: 1,
            values: values.to_vec(),
        };
        let x = x.to_f64().unwrap();
        let readings: Vec<_> =
            x.chunks(CANVAS.units()).map(|values| reference.read(&canvas(values))).collect();
        // The glimpses and positions of a canvas lie one after the other.
        let expected: Vec<f64> =
            readings.iter().flat_map(|reading| &reading.log_probs).flatten().copied().collect();
        near("ln p", &found.log_probs.to_f64().unwrap(), &expected)?;
        let Some(Glimpses { theta, maps }) = found.glimpses else {
            return (family == SpnFamily::SequenceConvnet)
                .then_some(())
                .ok_or("no glimpses".into());
        };
        let expected: Vec<f64> =
            readings.iter().flat_map(|reading| &reading.thetas).flatten().copied().collect();
        near("θ", &theta.to_f64().unwrap(), &expected)?;
        let glimpses = readings.iter().flat_map(|reading| &reading.glimpses);
        let expected: Vec<f64> = glimpses.flat_map(|glimpse| glimpse.values.clone()).collect();
        near("glimpses", &maps.to_f64().unwrap(), &expected)
    });
}

/// The rectifiers and maxima of a whole network have kinks everywhere, so these networks are always
/// the same, and the differences are of small steps.
#[test]
fn gradients_of_the_loss_match_differences() {
    for family in FAMILIES {
        for gru_reset in [GruReset::After, GruReset::Before] {
            let seed = 7;
            let subject = Subject::random(SpnConfig { gru_reset, ..small(family) }, seed);
            let x = subject.canvases(3);
            let class: Vec<f64> = (0..3 * POSITIONS * CLASSES)
                .map(|i| f64::from(u8::from(i % CLASSES == i / CLASSES * 3 % CLASSES)))
                .collect();
            let class = Tensor::from_f64(x.device(), &class, [3 * POSITIONS, CLASSES]).unwrap();
            let Subject { model, mut store, .. } = subject;
            let loss = |store: &ParameterStore, tape: Option<&Tape>| {
                let mut pass = Pass::new(store, tape, Mode::BatchOnly, seed, 0);
                let log_probs = model.look(&mut pass, &x, 0.0)?.log_probs;
                Ok(classification(&log_probs, &class, &ClassificationConfig::default())?.loss)
            };
            let options = Options { seed, step: 1e-6, relative_error: 1e-5, ..Options::default() };
            let checked = gradcheck_parameters(&mut store, loss, &options);
            checked.unwrap_or_else(|failure| panic!("{family:?} {gru_reset:?}: {failure}"));
        }
    }
}

#[test]
fn sizes_are_those_of_the_paper() {
    let canvas = MapShape { height: 100, width: 100, channels: 1 };
    let count = |config: SpnConfig| {
        let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
        let config = config.for_sequences(canvas, 3, 10);
        let glimpse = config.glimpse();
        Spn::new(config, &mut parameters, &mut statistics).unwrap();
        (glimpse, parameters.element_count())
    };
    let convolution = |inputs: usize, outputs: usize| 9 * inputs * outputs + outputs;
    let dense = |inputs: usize, outputs: usize| inputs * outputs + outputs;
    let stack = |channels: usize| convolution(1, channels) + 2 * convolution(channels, channels);
    // Section 3: 1620 features of the canvas, and what is left of a glimpse.
    for (d, side, flat) in [(1.0, 100, 14112), (2.0, 50, 2592), (3.0, 33, 512), (4.0, 25, 128)] {
        let recurrence = 3 * (1620 * 256 + 256 * 256 + 256);
        let expected =
            stack(20) + recurrence + dense(256, 6) + stack(32) + dense(flat, 400) + dense(400, 10);
        let config = SpnConfig { downsampling: d, ..SpnConfig::default() };
        assert_eq!(count(config), ([side; 2], expected), "d = {d}");
    }
    // Section 4: 96 · 9 · 9 units of a glimpse of 50 × 50 in both.
    let classifier = stack(96) + dense(96 * 81, 400) + dense(400, 30);
    let wide = |family, downsampling| SpnConfig {
        family,
        downsampling,
        classifier_channels: vec![96; 3],
        ..SpnConfig::default()
    };
    let expected = stack(20) + dense(1620, 200) + dense(200, 6) + classifier;
    assert_eq!(count(wide(SpnFamily::FfnSpn, 2.0)), ([50; 2], expected));
    assert_eq!(count(wide(SpnFamily::SequenceConvnet, 2.0)).1, classifier);
}

/// θ starts as the identity, so that every glimpse is the whole canvas; weights start as section 3
/// has them.
#[test]
fn a_network_starts_as_specified() {
    for family in [SpnFamily::RnnSpn, SpnFamily::FfnSpn] {
        let subject = Subject::fresh(small(family), 3);
        let look = subject.model.look(&mut subject.pass(None), &subject.canvases(2), 0.0).unwrap();
        let Glimpses { theta, maps } = look.glimpses.unwrap();
        let rows = theta.shape().sizes()[0];
        assert_eq!(theta.to_f64().unwrap(), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0].repeat(rows));
        if family == SpnFamily::RnnSpn {
            let maps = maps.to_f64().unwrap();
            let glimpses: Vec<_> = maps.chunks(maps.len() / rows).collect();
            assert_eq!(glimpses[0], glimpses[1]);
            assert_ne!(glimpses[0], glimpses[POSITIONS], "another canvas");
        }
    }
    let config = SpnConfig { recurrent_units: 40, ..small(SpnFamily::RnnSpn) };
    let subject = Subject::fresh(config, 4);
    let weights = subject.values("localisation.recurrence.hidden_weight");
    let sigma = (weights.iter().map(|w| w * w).sum::<f64>() / weights.len() as f64).sqrt();
    // 4800 numbers: the standard error of σ is 1 % of it.
    assert!((sigma - 0.1).abs() < 0.006, "{sigma}");
    let weights = subject.values("classifier.convolution.2.weight");
    let limit = (6.0f64 / (9.0 * 2.0 + 9.0 * 3.0)).sqrt();
    let largest = weights.iter().map(|w| w.abs()).fold(0.0, f64::max);
    assert!(largest <= limit && largest > 0.8 * limit, "{largest} of {limit}");
    // Each head has its own classes alone: fan-out is that of one.
    let heads = Subject::fresh(small(SpnFamily::FfnSpn), 4).values("classifier.logits.weight");
    let limit = (6.0 / (7.0 + CLASSES as f64)).sqrt();
    let largest = heads.iter().map(|w| w.abs()).fold(0.0, f64::max);
    assert!(largest <= limit && largest > 0.8 * limit, "{largest} of {limit}");
    for name in ["localisation.recurrence.bias", "classifier.hidden.1.bias"] {
        assert!(subject.values(name).iter().all(|bias| *bias == 0.0), "{name}");
    }
}

/// The classifier sees the glimpse, not the canvas: what lies outside of it changes nothing, and
/// another θ changes the classes.
#[test]
fn the_classifier_sees_the_glimpses_alone() {
    let subject = Subject::random(small(SpnFamily::RnnSpn), 5);
    let model = &subject.model;
    let classified = |canvas: &Tensor, theta: [f64; 6]| {
        let theta = Tensor::from_f64(canvas.device(), &theta, [1, 6]).unwrap();
        let glimpse = model.glimpses(canvas, &theta).unwrap();
        model.classify(&mut subject.pass(None), &glimpse, 0.0).unwrap().to_f64().unwrap()
    };
    let canvas = subject.canvases(1).reshape([1, CANVAS.height, CANVAS.width, 1]).unwrap();
    // The left half, up to column 11.5.
    let left = [0.5, 0.0, -0.5, 0.0, 1.0, 0.0];
    let mut pixels = canvas.to_f64().unwrap();
    for row in pixels.chunks_mut(CANVAS.width) {
        row[13..].fill(9.0);
    }
    let changed = Tensor::from_f64(canvas.device(), &pixels, *canvas.shape()).unwrap();
    assert_eq!(classified(&canvas, left), classified(&changed, left));
    let right = [0.5, 0.0, 0.5, 0.0, 1.0, 0.0];
    assert_ne!(classified(&canvas, right), classified(&changed, right));
    assert_ne!(classified(&canvas, left), classified(&canvas, right));
}

/// Dropping units before the rectifier and the pooling is dropping them after the rectifier.
#[test]
fn dropout_acts_in_training_alone() {
    for family in FAMILIES {
        let subject = Subject::random(small(family), 6);
        let x = subject.canvases(2);
        let log_probs = |mode: Mode<'_>, rate: f64| {
            let mut pass = Pass::new(&subject.store, None, mode, 6, 0);
            subject.model.look(&mut pass, &x, rate).unwrap().log_probs.to_f64().unwrap()
        };
        let mut statistics = StatisticsList::default().build(x.device(), DType::F64).unwrap();
        let kept = log_probs(Mode::BatchOnly, 0.0);
        assert_eq!(log_probs(Mode::BatchOnly, 0.5), kept);
        assert_eq!(log_probs(Mode::Batch(&mut statistics, 0.1), 0.0), kept);
        let dropped = log_probs(Mode::Batch(&mut statistics, 0.1), 0.5);
        assert!(dropped != kept && dropped.iter().all(|value| value.is_finite()), "{family:?}");
    }
}

/// A recurrent unit with an input of `inputs` units, and `units` of its own.
fn unit(
    inputs: usize,
    units: usize,
    reset: GruReset,
    weight: Initialiser,
) -> (Gru, ParameterStore) {
    let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
    let config = GruConfig { inputs, units, reset, weight };
    let gru = Gru::new(&mut Builder::new(&mut parameters, &mut statistics), &config);
    let store = parameters.build(&cpu(), DType::F64, Address::new(9, 0, 0)).unwrap();
    (gru, store)
}

#[test]
fn a_recurrent_unit_of_zeros_gives_zeros() {
    for reset in [GruReset::After, GruReset::Before] {
        let (gru, store) = unit(4, 3, reset, Initialiser::Constant(0.0));
        let pass = Pass::new(&store, None, Mode::BatchOnly, 0, 0);
        let input = gru.input(&pass, &normal(1, 0, 0, &[2, 4])).unwrap();
        let first = gru.step(&pass, &input, None).unwrap();
        let second = gru.step(&pass, &input, Some(&first)).unwrap();
        for state in [first, second] {
            assert!(state.to_f64().unwrap().iter().all(|value| *value == 0.0), "{reset:?}");
        }
    }
}

#[test]
fn a_recurrent_unit_follows_its_equations() {
    for reset in [GruReset::After, GruReset::Before] {
        let (gru, mut store) = unit(4, 3, reset, Initialiser::Normal { sigma: 0.8 });
        let ids: Vec<_> = store.ids().collect();
        store.set(ids[2], &normal(3, 0, 0, &[9]).to_f64().unwrap()).unwrap();
        let parameters: Vec<Vec<f64>> =
            ids.iter().map(|id| store.tensor(*id, None).to_f64().unwrap()).collect();
        let [input_weight, hidden_weight, bias] = &parameters[..] else { panic!("three") };
        let loops = GruLoops { input_weight, hidden_weight, bias, reset };
        let pass = Pass::new(&store, None, Mode::BatchOnly, 0, 0);
        let x = normal(1, 0, 0, &[5, 4]);
        let input = gru.input(&pass, &x).unwrap();
        let rows = x.to_f64().unwrap();
        let mut expected = vec![vec![0.0; 3]; 5];
        let mut state: Option<Tensor> = None;
        for step in 0..4 {
            let next = gru.step(&pass, &input, state.as_ref()).unwrap();
            for (row, h) in expected.iter_mut().enumerate() {
                *h = loops.step(&rows[4 * row..][..4], h);
            }
            let found = next.to_f64().unwrap();
            near(&format!("{reset:?}, step {step}"), &found, &expected.concat()).unwrap();
            state = Some(next);
        }
        // A state of zeros is none.
        let zeros = Tensor::zeros(x.device(), DType::F64, [5, 3]).unwrap();
        let [with, without] =
            [Some(&zeros), None].map(|h| gru.step(&pass, &input, h).unwrap().to_f64().unwrap());
        near("the first step", &with, &without).unwrap();
    }
}

#[test]
fn descriptions_that_make_no_network_are_refused() {
    let rnn = || small(SpnFamily::RnnSpn);
    for (config, message) in [
        (SpnConfig { input_pool: 0, ..rnn() }, "input_pool = 0: must be 1 to 64"),
        (SpnConfig { localisation_channels: vec![], ..rnn() }, "localisation_channels = []"),
        (SpnConfig { recurrent_units: 0, ..rnn() }, "recurrent_units = 0: must be 1 to 65536"),
        (SpnConfig { downsampling: 0.0, ..rnn() }, "downsampling = 0: must be 0.1 to 100"),
        (SpnConfig { downsampling: f64::NAN, ..rnn() }, "downsampling = NaN"),
        (SpnConfig { theta_rate: 0.0, ..rnn() }, "theta_rate = 0: must be above 0"),
        (SpnConfig { dropout: 1.0, ..rnn() }, "dropout = 1: must be at least 0 and below 1"),
        (
            SpnConfig { downsampling: 5.0, ..rnn() },
            "classifier_channels = [2, 3]: so many 3 x 3 convolutions with pooling between do not \
             fit into glimpses of 4x4",
        ),
        (
            SpnConfig { localisation_channels: vec![2; 4], ..rnn() },
            "localisation_channels = [2, 2, 2, 2]: so many 3 x 3 convolutions",
        ),
        (rnn().for_sequences(CANVAS, 0, CLASSES), "positions = 0: must be 1 to 64"),
    ] {
        let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
        let error = Spn::new(config, &mut parameters, &mut statistics).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
