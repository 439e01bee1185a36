//! The generative model as steps with plain numbers draws the images that the model itself draws,
//! in every family that has steps: an interpreter of loops over f64.

use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, ParameterList, ParameterStore, Shape};
use rung_models::auxiliary::{AuxiliaryConfig, AuxiliaryFamily, AuxiliaryModel};
use rung_models::biva::{
    BivaConfig, BlockConfig, LatentConfig, LogVariance, Paths, StageConfig, StageObservation,
};
use rung_models::hierarchy::{Inference, Observation};
use rung_models::layers::Product;
use rung_models::matnet::{LayerPrior, MatNetBlock, MatNetConfig, Module};
use rung_models::{
    Activation, Biva, Deviation, GenerativeSteps, Hierarchy, HierarchyConfig, LatentModel,
    LatentSource, MapShape, MatNet, Mode, ObservationParameters, Operation, Pass, Statistics,
    StatisticsList, Step, StepWeights, Value,
};

const SEED: u64 = 5;
const ROWS: usize = 2;

struct Built {
    name: String,
    model: Box<dyn LatentModel>,
    store: ParameterStore,
    statistics: Statistics,
}

type New<'a> = &'a dyn Fn(
    &mut ParameterList,
    &mut StatisticsList,
) -> rung_models::Result<Box<dyn LatentModel>>;

fn built(name: &str, new: New<'_>) -> Built {
    let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
    let model = new(&mut parameters, &mut statistics).unwrap();
    let device = Device::cpu();
    let store = parameters.build(&device, DType::F64, Address::new(SEED, 0, 0)).unwrap();
    let statistics = statistics.build(&device, DType::F64).unwrap();
    Built { name: name.into(), model, store, statistics }
}

/// Maps whose sides no stride divides evenly in the same way, latents of both kinds, second inputs
/// that are larger, smaller and as large.
fn biva(paths: Paths, observation: StageObservation, log_variance: LogVariance) -> BivaConfig {
    let block = |kernel, stride| BlockConfig { channels: 6, kernel, stride };
    let colours = observation == StageObservation::LogisticMixture;
    BivaConfig {
        paths,
        observation,
        log_variance,
        mixture_components: 2,
        image: MapShape { height: 8, width: 12, channels: if colours { 3 } else { 1 } },
        stages: vec![
            StageConfig {
                blocks: vec![block(3, 2), block(4, 1)],
                latent: LatentConfig::Map { channels: 2, kernel: 3 },
            },
            StageConfig {
                blocks: vec![block(5, 1), block(2, 2)],
                latent: LatentConfig::Dense { units: 3 },
            },
            StageConfig {
                blocks: vec![block(3, 1), block(1, 1)],
                latent: LatentConfig::Dense { units: 2 },
            },
        ],
        ..BivaConfig::default()
    }
}

fn matnet(module: Module, prior: LayerPrior, refines: bool) -> MatNetConfig {
    let block = |channels, stride, refines| MatNetBlock {
        channels,
        latent_channels: 2,
        layers: 2,
        stride,
        refines,
    };
    let mut blocks = vec![block(4, 2, false), block(3, 2, false)];
    if refines {
        blocks.insert(0, block(3, 1, true));
    }
    let config = MatNetConfig {
        module,
        prior,
        top_units: 3,
        top_hidden: 5,
        image_channels: if refines { 0 } else { 4 },
        top_beside_samples: module == Module::Residual,
        blocks,
        ..MatNetConfig::default()
    };
    config.for_images(MapShape { height: 8, width: 4, channels: 1 })
}

fn models() -> Vec<Built> {
    let mut models = Vec::new();
    for inference in [Inference::BottomUp, Inference::PROBABILISTIC_LADDER] {
        let config = HierarchyConfig {
            latent_sizes: vec![4, 3, 2],
            hidden_sizes: vec![7, 5, 4],
            ..HierarchyConfig::paper(6, 3, inference)
        };
        models.push(built("hierarchy", &|parameters, statistics| {
            Ok(Box::new(Hierarchy::new(config.clone(), parameters, statistics)?))
        }));
    }
    let kinds = [
        (Paths::BottomUp, StageObservation::Bernoulli, LogVariance::Softplus),
        (Paths::TopDown, StageObservation::Bernoulli, LogVariance::Free),
        (Paths::Bidirectional, StageObservation::LogisticMixture, LogVariance::SoftplusDeviation),
    ];
    for (paths, observation, log_variance) in kinds {
        let config = biva(paths, observation, log_variance);
        models.push(built(config.name(), &|parameters, statistics| {
            Ok(Box::new(Biva::new(config.clone(), parameters, statistics)?))
        }));
    }
    let config = BivaConfig {
        classes: 3,
        ..biva(Paths::Bidirectional, StageObservation::Bernoulli, LogVariance::Free)
    };
    models.push(built("BIVA with classes", &|parameters, statistics| {
        Ok(Box::new(Biva::new(config.clone(), parameters, statistics)?))
    }));
    for (family, observation, classes) in [
        (AuxiliaryFamily::Adgm, Observation::Gaussian, 3),
        (AuxiliaryFamily::Sdgm, Observation::Bernoulli, 3),
        (AuxiliaryFamily::Sdgm, Observation::Bernoulli, 0),
        (AuxiliaryFamily::M2, Observation::Bernoulli, 2),
    ] {
        let config = AuxiliaryConfig {
            family,
            observation,
            classes,
            data_size: 6,
            hidden_sizes: vec![5, 4],
            auxiliary_units: 3,
            latent_units: 2,
            ..AuxiliaryConfig::default()
        };
        models.push(built("auxiliary", &|parameters, statistics| {
            Ok(Box::new(AuxiliaryModel::new(config.clone(), parameters, statistics)?))
        }));
    }
    let mixture = MatNetConfig {
        top_components: 3,
        top_shared_units: 1,
        ..matnet(Module::Additive, LayerPrior::Conditional, false)
    };
    models.push(built("mixture", &|parameters, statistics| {
        Ok(Box::new(MatNet::new(mixture.clone(), parameters, statistics)?))
    }));
    for (module, prior, refines) in [
        (Module::Residual, LayerPrior::StandardNormal, false),
        (Module::Additive, LayerPrior::Conditional, false),
        (Module::Gru, LayerPrior::Conditional, true),
    ] {
        let config = matnet(module, prior, refines);
        models.push(built(config.name(), &|parameters, statistics| {
            Ok(Box::new(MatNet::new(config.clone(), parameters, statistics)?))
        }));
    }
    models
}

#[test]
fn the_steps_draw_what_the_model_draws() {
    for Built { name, model, store, statistics } in models() {
        let pass = || Pass::new(&store, None, Mode::Frozen(&statistics), SEED, 1);
        let source = LatentSource::StandardNormal { layer: model.depth(), count: ROWS };
        let p_x = model.generate(&mut pass(), &source).unwrap();
        let expected = match p_x {
            ObservationParameters::Bernoulli(logits) => logits.to_f64().unwrap(),
            ObservationParameters::LogisticMixture(p_x) => p_x.parameters.to_f64().unwrap(),
            ObservationParameters::Gaussian(p_x) => p_x.mean.to_f64().unwrap(),
            other => panic!("{name}: {other:?}"),
        };
        let steps = model.generative_steps(&pass()).unwrap().unwrap();
        let choices = model.drawn_choices(&pass(), ROWS).unwrap();
        let noise: Vec<Vec<f64>> = (model.groups().iter().zip(1..))
            .map(|(group, number)| {
                let noise = pass().prior_noise(number, Shape::from([ROWS, group.units])).unwrap();
                noise.to_f64().unwrap()
            })
            .collect();
        for row in 0..ROWS {
            let of_row = |noise: &Vec<f64>| {
                let units = noise.len() / ROWS;
                noise[row * units..(row + 1) * units].to_vec()
            };
            let noise: Vec<Vec<f64>> = noise.iter().map(of_row).collect();
            let found = interpreted(&steps, &noise, choices.get(row).copied());
            let size = expected.len() / ROWS;
            // Behind the means of Gaussian pixels stands what makes their variances.
            assert!(found.len() == size || found.len() == 2 * size, "{name}");
            for (found, expected) in found.iter().zip(&expected[row * size..][..size]) {
                let allowed = 1e-9 * expected.abs().max(1.0);
                assert!((found - expected).abs() < allowed, "{name}: {found} {expected}");
            }
        }
        assert!(steps.multiplications() >= steps.weight_count(), "{name}");
    }
}

#[test]
fn what_a_browser_can_not_draw_says_why() {
    let config = BivaConfig {
        autoregressive_layers: 1,
        ..biva(Paths::TopDown, StageObservation::Bernoulli, LogVariance::Free)
    };
    let Built { model, store, statistics, .. } = built("LVAE", &|parameters, statistics| {
        Ok(Box::new(Biva::new(config.clone(), parameters, statistics)?))
    });
    let pass = Pass::new(&store, None, Mode::Frozen(&statistics), SEED, 1);
    let reason = model.generative_steps(&pass).unwrap().unwrap_err();
    assert!(reason.contains("one after another"), "{reason}");
}

/// What the last step gives.
fn interpreted(model: &GenerativeSteps, noise: &[Vec<f64>], choice: Option<u32>) -> Vec<f64> {
    let mut results: Vec<Vec<f64>> = Vec::new();
    let mut priors: Vec<Option<[Vec<f64>; 2]>> = vec![None; noise.len()];
    for step in &model.steps {
        let inputs: Vec<&Vec<f64>> = step.inputs.iter().map(|input| &results[input.step]).collect();
        let result = match step.operation {
            Operation::Sample { group } => match &priors[group] {
                None => noise[group].clone(),
                Some([mean, sigma]) => (0..mean.len())
                    .map(|unit| mean[unit] + sigma[unit] * noise[group][unit])
                    .collect(),
            },
            Operation::Choice(_) => {
                let chosen = choice.expect("a model with a choice says what it drew") as usize;
                (0..step.shape.units()).map(|option| f64::from(option == chosen)).collect()
            }
            Operation::Gaussian { group, deviation } => {
                priors[group] = Some(gaussian(inputs[0], step.shape.channels, deviation));
                inputs[0].clone()
            }
            Operation::Product { product, weights } => {
                multiplied(step, product, &model.weights[weights], inputs[0])
            }
            _ => mapped(step, &inputs),
        };
        assert_eq!(result.len(), step.shape.units(), "{step:?}");
        results.push(result);
    }
    results.pop().unwrap()
}

fn softplus(a: f64) -> f64 {
    a.max(0.0) + (-a.abs()).exp().ln_1p()
}

fn gaussian(head: &[f64], channels: usize, deviation: Deviation) -> [Vec<f64>; 2] {
    if deviation == Deviation::One {
        return [head.to_vec(), vec![1.0; head.len()]];
    }
    let half = channels / 2;
    let of = |first: usize| {
        head.chunks(channels).flat_map(move |position| position[first..first + half].to_vec())
    };
    let sigma = |r: f64| match deviation {
        Deviation::Softplus { floor } => (softplus(r) + floor).sqrt(),
        Deviation::ExpSoftplus { floor } => (0.5 * (softplus(r) + floor)).exp(),
        Deviation::BinarySoftplus { floor } => (1.0 + 2f64.powf(r)).log2() + floor,
        Deviation::Exp => (0.5 * r).exp(),
        Deviation::One => unreachable!("treated above"),
    };
    [of(0).collect(), of(half).map(sigma).collect()]
}

/// Positions of the output and of the input, and the tap between them.
fn taps(product: Product, input: MapShape, output: MapShape) -> Vec<(usize, usize, usize)> {
    let (kernel, stride, small, large) = match product {
        Product::Dense => return vec![(0, 0, 0)],
        Product::Convolution { kernel, stride } => (kernel, stride, output, input),
        Product::Transposed { kernel, stride } => (kernel, stride, input, output),
    };
    let before =
        |small: usize, large: usize| (((small - 1) * stride + kernel).saturating_sub(large)) / 2;
    let (above, left) = (before(small.height, large.height), before(small.width, large.width));
    let mut taps = Vec::new();
    for (y, x) in (0..small.height).flat_map(|y| (0..small.width).map(move |x| (y, x))) {
        for (ky, kx) in (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| (ky, kx))) {
            let (Some(row), Some(column)) =
                ((y * stride + ky).checked_sub(above), (x * stride + kx).checked_sub(left))
            else {
                continue;
            };
            if row < large.height && column < large.width {
                let (small, large) = (y * small.width + x, row * large.width + column);
                let tap = ky * kernel + kx;
                taps.push(match product {
                    Product::Transposed { .. } => (large, small, tap),
                    _ => (small, large, tap),
                });
            }
        }
    }
    taps
}

fn multiplied(step: &Step, product: Product, layer: &StepWeights, x: &[f64]) -> Vec<f64> {
    let StepWeights { inputs, outputs, weight, bias } = layer;
    let positions = step.shape.units() / outputs;
    let mut out: Vec<f64> = (0..positions).flat_map(|_| bias.clone()).collect();
    for (to, from, tap) in taps(product, step.inputs[0].shape, step.shape) {
        for (input, output) in (0..*inputs).flat_map(|i| (0..*outputs).map(move |o| (i, o))) {
            out[to * outputs + output] +=
                x[from * inputs + input] * weight[(tap * inputs + input) * outputs + output];
        }
    }
    out
}

fn mapped(step: &Step, inputs: &[&Vec<f64>]) -> Vec<f64> {
    let MapShape { height, width, channels } = step.shape;
    let each = |map: &dyn Fn(f64) -> f64| inputs[0].iter().map(|&a| map(a)).collect();
    let pair = |map: &dyn Fn(f64, f64) -> f64| {
        inputs[0].iter().zip(inputs[1]).map(|(&a, &b)| map(a, b)).collect()
    };
    let read = |input: usize, y: usize, x: usize, channel: usize| {
        let Value { shape, .. } = step.inputs[input];
        if channel >= shape.channels {
            return 0.0;
        }
        inputs[input][(y * shape.width + x) * shape.channels + channel]
    };
    let build = |value: &dyn Fn(usize, usize, usize) -> f64| {
        let mut out = Vec::new();
        for y in 0..height {
            for x in 0..width {
                out.extend((0..channels).map(|channel| value(y, x, channel)));
            }
        }
        out
    };
    match step.operation {
        Operation::Activation(function) => each(&|a| match function {
            Activation::Relu => a.max(0.0),
            Activation::LeakyRelu(slope) => a.max(0.0) + slope * a.min(0.0),
            Activation::Elu(alpha) => a.max(0.0) + alpha * a.min(0.0).exp_m1(),
            Activation::Tanh => a.tanh(),
            Activation::Sigmoid => 1.0 / (1.0 + (-a).exp()),
            other => panic!("{other:?}"),
        }),
        Operation::Affine { scale, shift } => each(&|a| scale * a + shift),
        Operation::Clamp(most) => each(&|a| a.clamp(-most, most)),
        Operation::Add => pair(&|a, b| a + b),
        Operation::Subtract => pair(&|a, b| a - b),
        Operation::Multiply => pair(&|a, b| a * b),
        Operation::Channels(first) => build(&|y, x, channel| read(0, y, x, first + channel)),
        Operation::Widen => build(&|y, x, channel| read(0, y, x, channel)),
        Operation::Spread => build(&|_, _, channel| inputs[0][channel]),
        Operation::Beside => build(&|y, x, channel| {
            let mut channel = channel;
            for (index, input) in step.inputs.iter().enumerate() {
                match channel.checked_sub(input.shape.channels) {
                    None => return read(index, y, x, channel),
                    Some(rest) => channel = rest,
                }
            }
            panic!("{step:?}")
        }),
        Operation::AveragePool(side) => build(&|y, x, channel| {
            let square = (0..side * side).map(|at| (y * side + at / side, x * side + at % side));
            square.map(|(y, x)| read(0, y, x, channel)).sum::<f64>() / (side * side) as f64
        }),
        other => panic!("{other:?}"),
    }
}
