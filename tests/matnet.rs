//! MatNet: the gradients of every module and objective, its values against a second implementation,
//! and what the specification (section 11) promises of it.

#[path = "matnet/reference.rs"]
mod reference;

use proptest::prelude::{Strategy, any};
use proptest::sample::select;
use reference::{Found, Reference};
use rung_autograd::gradcheck::{Options, gradcheck_parameters};
use rung_autograd::ops::Gaussian;
use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, ParameterList, ParameterStore, Shape, Tape, Tensor};
use rung_models::biva::StageObservation;
use rung_models::layers::Nonlinearity;
use rung_models::matnet::{LayerPrior, MatNetBlock, Missing, Module};
use rung_models::objective::{ObjectiveConfig, bound};
use rung_models::{
    GaussianMixture, LatentModel, LatentSource, MapShape, MatNet, MatNetConfig, MixtureKl, Mode,
    ObservationParameters, PartlyObserved, Pass, StatisticsList, fantasy_loss,
};
use rung_tests::{case_count, property};

const IMAGE: MapShape = MapShape { height: 8, width: 4, channels: 1 };

/// A block of few units.
const fn block(channels: usize, latent: usize, layers: usize, stride: usize) -> MatNetBlock {
    MatNetBlock { channels, latent_channels: latent, layers, stride, refines: false }
}

/// A model of a few units: maps of 8 × 4, 4 × 2 and 2 × 1.
fn small(module: Module) -> MatNetConfig {
    MatNetConfig {
        module,
        top_units: 3,
        top_hidden: 4,
        image_channels: 2,
        blocks: vec![block(3, 2, 2, 2), block(2, 1, 2, 2)],
        ..MatNetConfig::default()
    }
    .for_images(IMAGE)
}

/// A model with random numbers in every parameter.
struct Subject {
    model: MatNet,
    store: ParameterStore,
    seed: u64,
}

impl Subject {
    fn new(config: MatNetConfig, seed: u64) -> Self {
        let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
        let model = MatNet::new(config, &mut parameters, &mut statistics).unwrap();
        let device = Device::cpu();
        let mut store = parameters.build(&device, DType::F64, Address::new(seed, 0, 0)).unwrap();
        for (number, id) in store.ids().enumerate().collect::<Vec<_>>() {
            let noise = normal(&device, seed, 1, number, store.parameter(id).shape);
            let moved = store.tensor(id, None).add(&noise.scale(0.2).unwrap()).unwrap();
            let values = moved.to_f64().unwrap();
            drop(moved);
            store.set(id, &values).unwrap();
        }
        Self { model, store, seed }
    }

    fn pass(&self) -> Pass<'_> {
        Pass::new(&self.store, None, Mode::BatchOnly, self.seed, 0)
    }

    /// Black and white images.
    fn images(&self, count: usize) -> Tensor {
        let noise = normal(
            self.store.device(),
            self.seed,
            4,
            0,
            Shape::from([count, self.model.data_size()]),
        );
        let zeros = Tensor::zeros(noise.device(), noise.dtype(), *noise.shape()).unwrap();
        noise.less(&zeros).unwrap()
    }
}

fn normal(device: &Device, seed: u64, stream: u32, number: usize, shape: Shape) -> Tensor {
    let address = Address::new(seed, stream, number as u64);
    Tensor::normal(device, DType::F64, address, shape).unwrap()
}

fn near(what: &str, found: f64, expected: f64) -> Result<(), String> {
    let close = (found - expected).abs() <= 1e-10 * (1.0 + expected.abs());
    close
        .then_some(())
        .ok_or_else(|| format!("{what} is {found}, the second implementation has {expected}"))
}

fn choices() -> impl Strategy<Value = (MatNetConfig, usize, u64)> {
    let blocks = vec![
        vec![block(3, 2, 2, 2), block(2, 1, 2, 2)],
        vec![block(2, 2, 1, 1), block(3, 1, 3, 2)],
        vec![block(3, 1, 2, 4)],
        vec![block(4, 2, 1, 2)],
    ];
    let parts = (
        select(vec![Module::Residual, Module::Additive, Module::Gru]),
        (
            select(vec![LayerPrior::StandardNormal, LayerPrior::Conditional]),
            select(vec![Nonlinearity::LeakyRelu, Nonlinearity::Tanh]),
        ),
        select(blocks),
        (
            any::<[bool; 4]>(),
            select(vec![Missing::None, Missing::None, Missing::Quadrants, Missing::Squares]),
        ),
        select(vec![0, 2]),
        select(vec![1, 3]),
        1..=3usize,
        any::<u64>().prop_map(|seed| seed >> 8),
    );
    parts.prop_map(
        |(
            module,
            (prior, nonlinearity),
            blocks,
            ([flat, path, top_beside_samples, refines], missing),
            image_channels,
            channels,
            count,
            seed,
        )| {
            let prior = if missing == Missing::None { prior } else { LayerPrior::StandardNormal };
            let may_lack_paths = prior == LayerPrior::Conditional && module != Module::Gru;
            let deterministic_paths = path || !may_lack_paths;
            // What refines has the size of the image.
            let refines = refines && deterministic_paths;
            let refining = refines.then_some(MatNetBlock { refines, ..block(3, 2, 2, 1) });
            let config = MatNetConfig {
                prior,
                nonlinearity,
                missing,
                missing_count: 2,
                missing_side: 3,
                // A map of one position has nothing to shrink.
                blocks: refining
                    .into_iter()
                    .chain(blocks)
                    .map(|block| if flat { MatNetBlock { stride: 1, ..block } } else { block })
                    .collect(),
                flat_images: flat,
                deterministic_paths,
                top_beside_samples,
                image_channels: if refines { 0 } else { image_channels },
                ..small(module)
            };
            (config.for_images(IMAGE.with_channels(channels)), count, seed)
        },
    )
}

#[test]
fn values_are_those_of_a_second_implementation() {
    property(case_count(60), choices(), |(config, count, seed)| {
        let description = format!("{config:?}");
        let subject = Subject::new(config.clone(), seed);
        let x = subject.images(count);
        let parameter = |id| {
            let values = subject.store.tensor(id, None).to_f64().unwrap();
            (subject.store.parameter(id).name.clone(), values)
        };
        let reference =
            Reference { config, parameters: subject.store.ids().map(parameter).collect() };
        let mut pass = subject.pass();
        let sampled = subject.model.infer(&mut pass, &x, 1).unwrap();
        let noise: Vec<Vec<f64>> = sampled
            .latents
            .iter()
            .zip(1..)
            .map(|(latent, number)| {
                pass.posterior_noise(number, *latent.z.shape()).unwrap().to_f64().unwrap()
            })
            .collect();
        let log_p_x = sampled.p_x.log_prob(&x).unwrap().to_f64().unwrap();
        let read = |of: &dyn Fn(&rung_models::Latent) -> Tensor| -> Vec<Vec<f64>> {
            sampled.latents.iter().map(|latent| of(latent).to_f64().unwrap()).collect()
        };
        let kl = read(&|latent| latent.kl().unwrap());
        let per_unit = read(&|latent| latent.kl_per_unit().unwrap());
        let ratios = read(&|latent| latent.log_ratio().unwrap());
        let pixels = x.to_f64().unwrap();
        let masks = subject
            .model
            .imputer()
            .map(|imputer| imputer.masks(&subject.pass(), count).unwrap().to_f64().unwrap());
        for (row, image) in pixels.chunks(subject.model.data_size()).enumerate() {
            let of_row = |noise: &Vec<f64>| {
                let units = noise.len() / count;
                noise[row * units..(row + 1) * units].to_vec()
            };
            let own: Vec<Vec<f64>> = noise.iter().map(of_row).collect();
            let mask =
                masks.as_ref().map(|masks| &masks[row * image.len()..(row + 1) * image.len()]);
            let expected: Found = reference.forward(image, mask, &own);
            let said = |error: String| format!("{description}: {error}");
            near("ln p(x|z)", log_p_x[row], expected.log_p_x).map_err(said)?;
            for layer in 0..expected.kl.len() {
                let name = |what: &str| format!("{what} of z_{}", layer + 1);
                let sum: f64 = expected.kl[layer].iter().sum();
                near(&name("the KL"), kl[layer][row], sum).map_err(said)?;
                near(&name("the log ratio"), ratios[layer][row], expected.log_ratio[layer])
                    .map_err(said)?;
                for (found, expected) in of_row(&per_unit[layer]).iter().zip(&expected.kl[layer]) {
                    near(&name("the KL of a unit"), *found, *expected).map_err(said)?;
                }
            }
        }
        Ok(())
    });
}

/// The bound with warm-up: β times the KL, and (1 − β) times the sum of its squares.
#[test]
fn the_loss_has_the_kl_of_every_unit_squared() {
    let subject = Subject::new(small(Module::Residual), 5);
    let x = subject.images(3);
    let with = |beta, squared_kl| {
        let config =
            ObjectiveConfig { beta, squared_kl, analytic_kl: true, ..ObjectiveConfig::default() };
        bound(&subject.model, &mut subject.pass(), &x, &config).unwrap().loss.to_scalar().unwrap()
    };
    let sampled = subject.model.infer(&mut subject.pass(), &x, 1).unwrap();
    let sum = |power: i32| -> f64 {
        let of = |latent: &rung_models::Latent| latent.kl_per_unit().unwrap().to_f64().unwrap();
        sampled.latents.iter().flat_map(of).map(|kl| kl.powi(power)).sum::<f64>() / 3.0
    };
    let log_p_x: f64 =
        sampled.p_x.log_prob(&x).unwrap().to_f64().unwrap().iter().sum::<f64>() / 3.0;
    let expected = -log_p_x + 0.3 * sum(1) + 0.7 * sum(2);
    near("the loss", with(0.3, true), expected).unwrap();
    near("the loss without the warm-up", with(1.0, true), with(1.0, false)).unwrap();
    let refused = ObjectiveConfig { squared_kl: true, ..ObjectiveConfig::default() };
    let error = bound(&subject.model, &mut subject.pass(), &x, &refused).unwrap_err().to_string();
    assert!(error.contains("set analytic_kl"), "{error}");
}

#[test]
fn gradients_of_the_objectives_match_differences() {
    property(case_count(8), (choices(), any::<bool>(), any::<bool>()), |case| {
        let ((config, count, seed), squared_kl, has_mixture) = case;
        let description = format!("{config:?}, squared {squared_kl}");
        // Without a kink, so that differences are accurate.
        let config = MatNetConfig { nonlinearity: Nonlinearity::Tanh, ..config };
        let config = match has_mixture && config.missing == Missing::None {
            true => MatNetConfig {
                top_components: 3,
                top_shared_units: 1,
                top_kl: if squared_kl { MixtureKl::Mixture } else { MixtureKl::MonteCarlo },
                top_entropy_penalty: 0.4,
                ..config
            },
            false => config,
        };
        let Subject { model, mut store, seed } = Subject::new(config, seed);
        let x = normal(store.device(), seed, 4, 0, Shape::from([count, model.data_size()]))
            .sigmoid()
            .unwrap();
        let objective = ObjectiveConfig {
            beta: 0.4,
            squared_kl,
            analytic_kl: squared_kl,
            importance_samples: if squared_kl { 1 } else { 2 },
            ..ObjectiveConfig::default()
        };
        let loss = |store: &ParameterStore, tape: Option<&Tape>| {
            let mut pass = Pass::new(store, tape, Mode::BatchOnly, seed, 0);
            Ok(bound(&model, &mut pass, &x, &objective)?.loss)
        };
        let checked =
            gradcheck_parameters(&mut store, loss, &Options { seed, ..Options::default() });
        checked.map(drop).map_err(|failure| format!("{description}: {failure}"))
    });
}

/// A refining block and an autoregressive output included.
#[test]
fn recomputed_activations_change_no_bit_of_a_gradient() {
    let refining = MatNetConfig {
        image_channels: 0,
        top_beside_samples: true,
        blocks: vec![
            MatNetBlock { refines: true, ..block(3, 2, 3, 1) },
            block(3, 2, 2, 2),
            block(2, 1, 2, 2),
        ],
        ..small(Module::Residual)
    };
    let autoregressive = MatNetConfig {
        autoregressive_layers: 3,
        autoregressive_channels: 3,
        ..small(Module::Residual)
    };
    for config in [small(Module::Additive), small(Module::Gru), refining, autoregressive] {
        let said = format!("{config:?}");
        let subject = Subject::new(config, 8);
        let x = subject.images(3);
        let Subject { model, mut store, seed } = subject;
        let mut gradients = |recomputes: bool| {
            let tape = Tape::new();
            let mut pass = Pass::new(&store, Some(&tape), Mode::BatchOnly, seed, 0)
                .recomputing_activations(recomputes);
            let bound = bound(&model, &mut pass, &x, &ObjectiveConfig::default()).unwrap();
            let nodes = tape.len();
            store.clear_gradients();
            tape.backward_into(&[&bound.loss], &mut store).unwrap();
            let gradients: Vec<Vec<f64>> =
                store.ids().map(|id| store.gradient(id).unwrap().to_f64().unwrap()).collect();
            (nodes, bound.loss.to_scalar().unwrap(), gradients)
        };
        let ((recorded, loss, expected), (recomputed, again, found)) =
            (gradients(false), gradients(true));
        assert_eq!((again, found), (loss, expected), "{said}");
        assert!(4 * recomputed < 3 * recorded, "{recomputed} of {recorded} operations: {said}");
    }
}

/// Images of the model's own move every inference network, and no part of what drew them.
#[test]
fn fantasies_train_the_inference_networks_alone() {
    for config in [small(Module::Additive), small(Module::Gru)] {
        let Subject { model, mut store, seed } = Subject::new(config, 31);
        let tape = Tape::new();
        let pass = Pass::new(&store, Some(&tape), Mode::BatchOnly, seed, 7);
        let loss = fantasy_loss(&model, &pass, 5, &ObjectiveConfig::default()).unwrap();
        assert!(loss.to_scalar().unwrap() > 0.0);
        store.clear_gradients();
        tape.backward_into(&[&loss], &mut store).unwrap();
        for id in store.ids() {
            let gradient = store.gradient(id).unwrap().to_f64().unwrap();
            let largest = gradient.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
            let name = &store.parameter(id).name;
            assert_eq!(largest > 1e-9, !name.starts_with("generative."), "{name}: {largest}");
        }
    }
}

/// Every parameter of the model moves the loss: each latent layer has its path to the data, and no
/// network is left out.
#[test]
fn every_parameter_has_a_gradient() {
    let of_missing_pixels = MatNetConfig { missing: Missing::Quadrants, ..small(Module::Residual) };
    let colours = MatNetConfig {
        observation: StageObservation::LogisticMixture,
        mixture_components: 2,
        ..of_missing_pixels.clone()
    };
    let colours = colours.for_images(IMAGE.with_channels(3));
    let whole = [Module::Residual, Module::Additive, Module::Gru].map(small);
    for config in whole.into_iter().chain([of_missing_pixels, colours]) {
        let module = config.module;
        let subject = Subject::new(config, 9);
        let x = subject.images(4);
        let Subject { model, mut store, seed } = subject;
        let tape = Tape::new();
        let mut pass = Pass::new(&store, Some(&tape), Mode::BatchOnly, seed, 0);
        let loss = bound(&model, &mut pass, &x, &ObjectiveConfig::default()).unwrap().loss;
        tape.backward_into(&[&loss], &mut store).unwrap();
        for id in store.ids() {
            let largest = store.gradient(id).unwrap().to_f64().unwrap();
            let largest = largest.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
            assert!(largest > 1e-9, "{module:?}: {}", store.parameter(id).name);
        }
    }
}

/// The latents that reach the data when the layers between do not: with every lower sample held,
/// another z_L gives another image with the paths, and, as priors are only drawn from, none
/// without.
#[test]
fn only_the_deterministic_path_leads_past_the_layers_below() {
    let image = |deterministic_paths: bool, noise: u64| {
        let config = MatNetConfig {
            deterministic_paths,
            prior: LayerPrior::Conditional,
            ..small(Module::Residual)
        };
        let subject = Subject::new(config, 3);
        let mut store = subject.store;
        // Priors whose means are 0 whatever is above.
        for id in store.ids().collect::<Vec<_>>() {
            if store.parameter(id).name.contains(".prior.output.") {
                let zeros = vec![0.0; store.parameter(id).shape.element_count()];
                store.set(id, &zeros).unwrap();
            }
        }
        let z = normal(store.device(), noise, 7, 0, Shape::from([1, 3]));
        let depth = subject.model.depth();
        let mut pass = Pass::new(&store, None, Mode::BatchOnly, 3, 0);
        let p_x = subject.model.generate(&mut pass, &LatentSource::Given { layer: depth, z });
        p_x.unwrap().mean().unwrap().to_f64().unwrap()
    };
    assert_ne!(image(true, 1), image(true, 2));
    assert_eq!(image(false, 1), image(false, 2));
}

/// Where q is p, as it is where every head gives nothing, the KL is 0 (specification, section 11).
#[test]
fn q_equal_to_p_costs_nothing() {
    for module in [Module::Residual, Module::Additive, Module::Gru] {
        let Subject { model, mut store, seed } = Subject::new(small(module), 4);
        for id in store.ids().collect::<Vec<_>>() {
            if store.parameter(id).name.contains(".q.") {
                let zeros = vec![0.0; store.parameter(id).shape.element_count()];
                store.set(id, &zeros).unwrap();
            }
        }
        let x = normal(store.device(), seed, 4, 0, Shape::from([3, model.data_size()]))
            .sigmoid()
            .unwrap();
        let mut pass = Pass::new(&store, None, Mode::BatchOnly, seed, 0);
        let sampled = model.infer(&mut pass, &x, 2).unwrap();
        assert_eq!(sampled.latents.len(), model.depth());
        for latent in &sampled.latents {
            assert!(latent.kl().unwrap().to_f64().unwrap().iter().all(|kl| kl.abs() < 1e-12));
            let ratios = latent.log_ratio().unwrap().to_f64().unwrap();
            assert!(ratios.iter().all(|ratio| ratio.abs() < 1e-12), "{ratios:?}");
        }
    }
}

/// Samples of one image are what they are when it is repeated, and the bound of more importance
/// samples is the tighter: of the same samples, ln mean w ≥ mean ln w (Jensen).
#[test]
fn more_importance_samples_do_not_loosen_the_bound() {
    let subject = Subject::new(small(Module::Gru), 11);
    let x = subject.images(6);
    let of = |samples: usize, importance_samples: usize| {
        let config = ObjectiveConfig {
            monte_carlo_samples: samples / importance_samples,
            importance_samples,
            ..ObjectiveConfig::default()
        };
        let bound = bound(&subject.model, &mut subject.pass(), &x, &config).unwrap();
        -bound.loss.to_scalar().unwrap()
    };
    let bounds = [1, 2, 4, 16].map(|importance_samples| of(16, importance_samples));
    assert!(bounds.is_sorted() && bounds[0] < bounds[3], "{bounds:?}");
}

/// Layers that are skipped are drawn from p: their latents are left out, and those above them are
/// what they are without.
#[test]
fn skipped_layers_are_drawn_from_p() {
    let subject = Subject::new(small(Module::Residual), 12);
    let x = subject.images(2);
    let posterior = subject.model.infer_bottom_up(&mut subject.pass(), &x).unwrap();
    let all = posterior.sample_above(&mut subject.pass(), 3, 0).unwrap();
    let depth = subject.model.depth();
    for skipped in 1..depth {
        let some = posterior.sample_above(&mut subject.pass(), 3, skipped).unwrap();
        assert_eq!(some.latents.len(), depth - skipped);
        for (found, expected) in some.latents.iter().zip(&all.latents[skipped..]) {
            assert_eq!(found.z.to_f64().unwrap(), expected.z.to_f64().unwrap());
        }
        let differs = |p_x: &ObservationParameters| p_x.mean().unwrap().to_f64().unwrap();
        assert_ne!(differs(&some.p_x), differs(&all.p_x));
    }
    let error = posterior.sample_above(&mut subject.pass(), 1, depth).unwrap_err().to_string();
    assert!(error.contains("at least the top must be inferred"), "{error}");
}

#[test]
fn samples_share_what_is_above_the_layers_that_vary() {
    let subject = Subject::new(small(Module::Residual), 13);
    let images = |layer, count| {
        let source = LatentSource::SharedAbove { layer, count };
        let p_x = subject.model.generate(&mut subject.pass(), &source).unwrap();
        p_x.mean().unwrap().to_f64().unwrap()
    };
    let same = images(0, 2);
    let (first, second) = same.split_at(subject.model.data_size());
    assert_eq!(first, second);
    let varied = images(1, 2);
    let (first, second) = varied.split_at(subject.model.data_size());
    assert_ne!(first, second);
    let below = LatentSource::StandardNormal { layer: 1, count: 1 };
    let error = subject.model.generate(&mut subject.pass(), &below).unwrap_err().to_string();
    assert!(error.contains("sampling starts at the top, 5"), "{error}");
}

/// 7 → 14 → 28 and 8 → 16 → 32, and the sizes of the latents there (specification, section 3).
#[test]
fn maps_double_on_the_way_down() {
    for (side, strides) in [(28, [2, 2]), (32, [1, 2])] {
        let image = MapShape { height: side, width: side, channels: 1 };
        let config = MatNetConfig {
            blocks: vec![block(2, 1, 1, strides[0]), block(2, 1, 1, strides[1])],
            ..small(Module::Residual)
        }
        .for_images(image);
        let maps: Vec<usize> = config.block_maps().iter().map(|map| map.height).collect();
        assert_eq!(maps, [side / strides[0], side / (strides[0] * strides[1])]);
        let Subject { model, store, seed } = Subject::new(config, 2);
        let units: Vec<usize> = model.groups().iter().map(|group| group.units).collect();
        assert_eq!(units, [maps[0] * maps[0], maps[1] * maps[1], 3]);
        let mut pass = Pass::new(&store, None, Mode::BatchOnly, seed, 0);
        let source = LatentSource::StandardNormal { layer: 3, count: 2 };
        let mean = model.generate(&mut pass, &source).unwrap().mean().unwrap();
        assert_eq!(mean.shape().sizes(), [2, side * side]);
    }
}

/// A mixture of logistics at every position, for grey and for coloured images.
#[test]
fn levels_of_a_byte_are_described_by_a_mixture_of_logistics() {
    for channels in [1, 3] {
        let config = MatNetConfig {
            observation: StageObservation::LogisticMixture,
            mixture_components: 2,
            ..small(Module::Residual)
        }
        .for_images(IMAGE.with_channels(channels));
        let subject = Subject::new(config, 6);
        let x = subject.images(3);
        let sampled = subject.model.infer(&mut subject.pass(), &x, 1).unwrap();
        let log_p = sampled.p_x.log_prob(&x).unwrap().to_f64().unwrap();
        assert!(log_p.iter().all(|log_p| log_p.is_finite() && *log_p < 0.0), "{log_p:?}");
    }
}

#[test]
fn descriptions_that_make_no_model_are_refused() {
    let refused = |config: MatNetConfig| {
        MatNet::new(config, &mut ParameterList::new(), &mut StatisticsList::default())
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    let usual = || small(Module::Residual);
    let blocks = |blocks: &[MatNetBlock]| MatNetConfig { blocks: blocks.to_vec(), ..usual() };
    let conditional = |module| MatNetConfig {
        deterministic_paths: false,
        prior: LayerPrior::Conditional,
        ..small(module)
    };
    let cases = [
        (blocks(&[]), "blocks = []: there must be at least one"),
        (blocks(&[block(0, 1, 1, 1)]), "blocks[1].channels = 0: must be 1 to 65536"),
        (
            blocks(&[block(1, 1, 1, 1), block(1, 1, 0, 1)]),
            "blocks[2].layers = 0: must be 1 to 1000",
        ),
        (blocks(&[block(1, 1, 600, 1); 2]), "blocks = 1201 latent layers: must be at most 1000"),
        (blocks(&[block(1, 1, 1, 3)]), "a map of 8x4 can't shrink by a stride of 3"),
        (MatNetConfig { top_units: 0, ..usual() }, "top_units = 0: must be 1 to 65536"),
        (
            MatNetConfig { initial_scale: 0.0, ..usual() },
            "initial_scale = 0: must be a number above 0",
        ),
        (MatNetConfig { leaky_slope: 1.0, ..usual() }, "leaky_slope = 1: must be at least 0"),
        (
            MatNetConfig { deterministic_paths: false, ..usual() },
            "deterministic_paths = false: needs model.prior = conditional",
        ),
        (
            MatNetConfig { top_entropy_penalty: 0.4, ..usual() },
            "top_entropy_penalty = 0.4: needs a mixture",
        ),
        (MatNetConfig { top_shared_units: 1, ..usual() }, "top_shared_units = 1: needs a mixture"),
        (
            MatNetConfig { missing: Missing::Quadrants, missing_count: 4, ..usual() },
            "missing_count = 4: must be 1 to 3 quadrants",
        ),
        (
            MatNetConfig { missing: Missing::Squares, top_components: 2, ..usual() },
            "missing = squares: needs autoregressive_layers = 0",
        ),
        (
            MatNetConfig { missing: Missing::Squares, ..usual() },
            "missing_side = 14: must be less than the sides of an image of 8x4",
        ),
        (
            blocks(&[block(2, 1, 1, 1), MatNetBlock { refines: true, ..block(2, 1, 1, 1) }]),
            "blocks[2].refines = true: is for the first block",
        ),
        (
            blocks(&[MatNetBlock { refines: true, ..block(2, 1, 1, 2) }]),
            "blocks[1].refines = true: is for the first block, with a stride of 1",
        ),
        (conditional(Module::Gru), "needs model.module = residual or additive"),
        (usual().for_images(MapShape::default()), "an image must have at least one value"),
    ];
    for (config, message) in cases {
        let said = refused(config);
        assert!(said.contains(message), "{said} for {message}");
    }
}

/// A mixture with these means and log-variances, [component, units], and a Gaussian of one row.
fn mixture(kl: MixtureKl, means: &[f64], log_variances: &[f64], units: usize) -> GaussianMixture {
    let device = Device::cpu();
    let components = means.len() / units;
    let matrix = |values| Tensor::from_f64(&device, values, [components, units]).unwrap();
    let (means, log_variances) = (matrix(means), matrix(log_variances));
    GaussianMixture { means, log_variances, kl, entropy_penalty: 0.0 }
}

fn row(of: &GaussianMixture, values: &[f64]) -> Tensor {
    Tensor::from_f64(of.means.device(), values, [1, values.len()]).unwrap()
}

/// One component with m = v = 0 is N(0, I) (specification, section 11).
#[test]
fn a_mixture_of_one_standard_normal_is_the_standard_normal() {
    for kl in [MixtureKl::MonteCarlo, MixtureKl::Mixture, MixtureKl::Nearest] {
        let p = mixture(kl, &[0.0; 3], &[0.0; 3], 3);
        let q = Gaussian { mean: row(&p, &[0.3, -1.2, 2.0]), variance: row(&p, &[0.5, 1.5, 0.1]) };
        let z = row(&p, &[0.7, -0.4, 1.9]);
        let expected = match kl {
            MixtureKl::MonteCarlo => q.log_ratio(None, &z),
            MixtureKl::Mixture | MixtureKl::Nearest => q.kl_to_standard_normal(),
        };
        let found = p.kl(&q, &z).unwrap().to_f64().unwrap()[0];
        near("the KL", found, expected.unwrap().to_f64().unwrap()[0]).unwrap();
        let entropy = p.assignment_entropy(&z).unwrap().to_f64().unwrap()[0];
        near("the entropy of one component", entropy, 0.0).unwrap();
    }
}

/// KL ≤ `mixture` ≤ `nearest`, the first by quadrature over one unit.
#[test]
fn the_closed_forms_of_a_mixture_bound_its_kl_from_above() {
    let (means, log_variances) = ([-1.0, 0.5, 2.0], [-0.7, 0.2, -1.5]);
    let log_normal = |z: f64, mean: f64, log_variance: f64| {
        let scaled = (z - mean).powi(2) / log_variance.exp();
        -0.5 * (std::f64::consts::TAU.ln() + log_variance + scaled)
    };
    for (mean, variance) in [(0.0, 1.0), (-1.0, 0.5_f64), (1.9, 0.05), (0.4, 3.0)] {
        let log_p = |z: f64| {
            let sum: f64 =
                means.iter().zip(log_variances).map(|(&m, v)| log_normal(z, m, v).exp()).sum();
            (sum / 3.0).ln()
        };
        let (steps, width) = (20_000, 16.0 * variance.sqrt());
        let integrand = |step: i32| {
            let z = mean + width * (f64::from(step) / f64::from(steps) - 0.5);
            let log_q = log_normal(z, mean, variance.ln());
            log_q.exp() * (log_q - log_p(z)) * width / f64::from(steps)
        };
        let exact: f64 = (0..=steps).map(integrand).sum();
        let of = |kl| {
            let p = mixture(kl, &means, &log_variances, 1);
            let q = Gaussian { mean: row(&p, &[mean]), variance: row(&p, &[variance]) };
            let log_p_found = p.log_prob(&row(&p, &[0.3])).unwrap().to_f64().unwrap()[0];
            near("ln p", log_p_found, log_p(0.3)).unwrap();
            p.kl(&q, &q.mean).unwrap().to_f64().unwrap()[0]
        };
        let (joint, nearest) = (of(MixtureKl::Mixture), of(MixtureKl::Nearest));
        assert!(exact <= joint + 1e-9 && joint <= nearest + 1e-12, "{exact} {joint} {nearest}");
        assert!(nearest <= joint + 3f64.ln() + 1e-12, "{joint} {nearest}");
    }
}

/// With the components far apart, each sample is recognised as its component's, and images of all
/// of them are made; the shared units are those of N(0, I).
#[test]
fn samples_of_components_are_theirs() {
    let config = MatNetConfig { top_components: 4, top_shared_units: 1, ..small(Module::Residual) };
    let Subject { model, mut store, seed } = Subject::new(config, 7);
    let means = store.find("generative.top.prior.means").unwrap();
    store.set(means, &[40.0, 0.0, 0.0, 40.0, -40.0, 0.0, 0.0, -40.0]).unwrap();
    let pass = Pass::new(&store, None, Mode::BatchOnly, seed, 0);
    let clusters = model.clusters().unwrap();
    let z = clusters.sample(&pass, 3).unwrap();
    assert_eq!(z.shape().sizes(), [12, 3]);
    let log_r = clusters.log_responsibilities(&pass, &z).unwrap().to_f64().unwrap();
    for (row, log_r) in log_r.chunks(4).enumerate() {
        assert!(log_r[row / 3] > -1e-9, "row {row}: {log_r:?}");
    }
    assert!(z.to_f64().unwrap().chunks(3).all(|z| z[0].abs() < 6.0), "the shared unit");
    let mut pass = Pass::new(&store, None, Mode::BatchOnly, seed, 0);
    let source = LatentSource::StandardNormal { layer: model.depth(), count: 5 };
    assert_eq!(model.generate(&mut pass, &source).unwrap().mean().unwrap().shape().sizes()[0], 5);
    assert!(Subject::new(small(Module::Residual), 7).model.clusters().is_none());
}

/// The imputer of a small model, its masks of some images, and these images as 0 and 1.
fn occluded(missing: Missing) -> (Subject, Tensor, Tensor) {
    let config = MatNetConfig { missing, missing_side: 3, ..small(Module::Residual) };
    let subject = Subject::new(config, 21);
    let mask = subject.model.imputer().unwrap().masks(&subject.pass(), 5).unwrap();
    let x = subject.images(5);
    (subject, x, mask)
}

/// Completions have the observed pixels, whose log-probability is 0, and do not see the missing
/// ones; only q does.
#[test]
fn p_sees_the_observed_pixels_alone() {
    for missing in [Missing::Quadrants, Missing::Squares] {
        let (subject, x, mask) = occluded(missing);
        let imputer = subject.model.imputer().unwrap();
        let flipped = x.sub(&mask).unwrap().abs().unwrap();
        let complete = |x: &Tensor| {
            let p_x = imputer.complete(&mut subject.pass(), x, &mask, 2).unwrap();
            p_x.mean().unwrap().to_f64().unwrap()
        };
        let (mean, other) = (complete(&x), complete(&flipped));
        assert_eq!(mean, other, "what is missing is not seen");
        let rows = |tensor: &Tensor| tensor.repeat_rows(2).unwrap().to_f64().unwrap();
        let (pixels, hidden) = (rows(&x), rows(&mask));
        assert!(hidden.contains(&1.0) && hidden.contains(&0.0));
        for ((mean, pixel), hidden) in mean.iter().zip(&pixels).zip(&hidden) {
            assert!(if *hidden == 1.0 { (0.0..1.0).contains(mean) } else { mean == pixel });
        }
        let q = |x: &Tensor| {
            let sampled = imputer.infer_missing(&mut subject.pass(), x, &mask).unwrap();
            sampled.latents[0].q.mean.to_f64().unwrap()
        };
        assert_ne!(q(&x), q(&flipped));
        let nothing = mask.scale(0.0).unwrap();
        let sampled = imputer.infer_missing(&mut subject.pass(), &x, &nothing).unwrap();
        let log_p = sampled.p_x.log_prob(&x).unwrap().to_f64().unwrap();
        assert!(log_p.iter().all(|log_p| *log_p == 0.0), "nothing is missing: {log_p:?}");
    }
}

/// Of colours too what is observed is as it is and costs nothing: a mask and its complement share
/// the log-probability of the whole image, for every sample of its latents.
#[test]
fn colours_are_completed() {
    let shape = IMAGE.with_channels(3);
    let config = MatNetConfig {
        observation: StageObservation::LogisticMixture,
        mixture_components: 2,
        missing: Missing::Quadrants,
        ..small(Module::Residual)
    };
    let subject = Subject::new(config.for_images(shape), 22);
    let imputer = subject.model.imputer().unwrap();
    assert_eq!(imputer.quadrants(), Some(1));
    let mask = imputer.masks(&subject.pass(), 4).unwrap();
    let x = subject.images(4);
    let p_x = imputer.complete(&mut subject.pass(), &x, &mask, 2).unwrap();
    let ObservationParameters::PartlyObserved(of_mask) = &p_x else { panic!("{p_x:?}") };
    let complement = ObservationParameters::PartlyObserved(PartlyObserved {
        missing: of_mask.missing.affine(-1.0, 1.0).unwrap(),
        ..of_mask.clone()
    });
    let whole = ObservationParameters::LogisticMixture(of_mask.p_x.clone());
    let log_p = |p: &ObservationParameters| p.log_prob(&x).unwrap().to_f64().unwrap();
    let (one, other, both) = (log_p(&p_x), log_p(&complement), log_p(&whole));
    assert_eq!(both.len(), 8);
    for row in 0..8 {
        near("ln p of the whole", one[row] + other[row], both[row]).unwrap();
    }
    let rows = |tensor: &Tensor| tensor.repeat_rows(2).unwrap().to_f64().unwrap();
    let (pixels, hidden) = (rows(&x), rows(&mask));
    let drawn = p_x.sample(Address::new(3, 3, 3), &mut |_, _| ()).unwrap();
    for image in [p_x.mean().unwrap(), drawn] {
        for ((value, pixel), hidden) in image.to_f64().unwrap().iter().zip(&pixels).zip(&hidden) {
            assert!((0.0..=1.0).contains(value) && (*hidden == 1.0 || value == pixel));
        }
    }
}

/// A mask hides its quadrants or squares, each image has one of its own, and the same pass the
/// same.
#[test]
fn masks_are_drawn_for_each_image() {
    let (subject, _, mask) = occluded(Missing::Quadrants);
    let again = subject.model.imputer().unwrap().masks(&subject.pass(), 5).unwrap();
    let (mask, again) = (mask.to_f64().unwrap(), again.to_f64().unwrap());
    assert_eq!(mask, again);
    let rows: Vec<&[f64]> = mask.chunks(IMAGE.units()).collect();
    assert!(rows.iter().all(|row| row.iter().sum::<f64>() == IMAGE.units() as f64 / 4.0));
    assert!(rows.iter().any(|row| row != &rows[0]));
    assert!(Subject::new(small(Module::Residual), 1).model.imputer().is_none());
}
