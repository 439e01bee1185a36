//! The hierarchies: their sizes, their gradients, their values against a second implementation, and
//! what must hold of any of them.

#[path = "models/reference.rs"]
mod reference;
#[path = "models/subject.rs"]
mod subject;
#[path = "models/whole_data.rs"]
mod whole_data;

use std::f64::consts::LN_2;

use proptest::prelude::{Just, Strategy, any};
use proptest::sample::select;
use rung_autograd::gradcheck::{Options, gradcheck_parameters};
use rung_autograd::{DType, ParameterList, ParameterStore, Tape, Tensor};
use rung_models::hierarchy::{GenerativeWidths, Inference, Observation};
use rung_models::layers::Nonlinearity;
use rung_models::objective::{ObjectiveConfig, bound};
use rung_models::{Hierarchy, HierarchyConfig, LatentModel, Mode, Pass, StatisticsList};
use rung_tests::{case_count, property};
use subject::{From, STEP, Subject, rows_of};

const FAMILIES: [(&str, Inference); 5] = [
    ("VAE", Inference::BottomUp),
    ("probabilistic ladder", Inference::PROBABILISTIC_LADDER),
    ("Ladder VAE", Inference::LADDER_VAE),
    (
        "ladder with shared networks that rises through means",
        Inference::Ladder { shares_generative: true, rises_through_mean: true },
    ),
    (
        "ladder with its own networks that rises through hidden layers",
        Inference::Ladder { shares_generative: false, rises_through_mean: false },
    ),
];

/// A model of a few units. Its activation has no kink, so that differences are accurate.
fn small(inference: Inference, depth: usize, observation: Observation) -> HierarchyConfig {
    HierarchyConfig {
        data_size: 5,
        latent_sizes: [3, 2, 2][..depth].to_vec(),
        hidden_sizes: [4, 3, 2][..depth].to_vec(),
        nonlinearity: Nonlinearity::Tanh,
        observation,
        ..HierarchyConfig::paper(5, depth, inference)
    }
}

fn count(config: &HierarchyConfig) -> (usize, usize) {
    let mut parameters = ParameterList::new();
    Hierarchy::new(config.clone(), &mut parameters, &mut StatisticsList::default()).unwrap();
    let norms =
        parameters.parameters().iter().filter(|parameter| parameter.name.ends_with(".norm.scale"));
    (parameters.element_count(), norms.map(|norm| norm.shape.element_count()).sum())
}

/// Section 6.4 counts W, b, γ and β: with n normalised units, a model without the dead biases has n
/// fewer, and one without batch normalisation 2n fewer.
#[test]
fn parameter_counts_are_those_of_the_specification() {
    let ladder = Inference::PROBABILISTIC_LADDER;
    let vae_counts = [1_432_720, 1_641_168, 1_694_192, 1_707_904, 1_711_560];
    let cases = vae_counts
        .iter()
        .zip(1..)
        .map(|(&counted, depth)| (Inference::BottomUp, GenerativeWidths::Paper, depth, counted));
    let ladder_counts = [1_749_584, 1_830_192, 1_851_040, 1_856_600].iter().zip(2..);
    let cases = cases.chain(
        ladder_counts.map(|(&counted, depth)| (ladder, GenerativeWidths::Paper, depth, counted)),
    );
    let code_counts = [1_988_688, 2_129_456, 2_165_536, 2_175_000].iter().zip(2..);
    for (inference, widths, depth, counted) in cases.chain(
        code_counts.map(|(&counted, depth)| (ladder, GenerativeWidths::Code, depth, counted)),
    ) {
        let config = HierarchyConfig {
            generative_widths: widths,
            ..HierarchyConfig::paper(784, depth, inference)
        };
        let (parameters, normalised) = count(&config);
        assert_eq!(parameters, counted - normalised, "{inference:?}, {widths:?}, {depth} layers");
        let plain = HierarchyConfig { batch_norm_hidden: false, batch_norm_heads: false, ..config };
        assert_eq!(
            count(&plain),
            (counted - 2 * normalised, 0),
            "{inference:?}, {widths:?}, {depth} layers without normalisation"
        );
    }
}

#[test]
fn the_presets_have_the_parameters_the_issue_names() {
    let paper = |depth, inference| count(&HierarchyConfig::paper(784, depth, inference)).0;
    assert_eq!(paper(5, Inference::PROBABILISTIC_LADDER), 1_850_944);
    assert_eq!(paper(2, Inference::PROBABILISTIC_LADDER), 1_745_552);
    assert_eq!(paper(5, Inference::BottomUp), 1_707_104);
    assert_eq!(paper(1, Inference::BottomUp), 1_430_544);
}

/// An objective of a small model: every choice there is.
#[derive(Clone, Debug)]
struct Choice {
    config: HierarchyConfig,
    objective: ObjectiveConfig,
    from: From,
    images: usize,
    seed: u64,
}

fn choices(inference: Inference, observation: Observation) -> impl Strategy<Value = Choice> {
    let architecture = (
        1..=3usize,
        1..=2usize,
        select(vec![Nonlinearity::Tanh, Nonlinearity::Softplus]),
        any::<[bool; 3]>(),
    );
    let samples = (1..=2usize, select(vec![1usize, 3]), select(vec![1.0, 0.3, 0.0]), any::<bool>());
    let rest = (
        select(vec![From::Batch, From::Frozen]),
        3..=5usize,
        any::<u64>().prop_map(|seed| seed >> 8).no_shrink(),
    );
    (Just((inference, observation)), architecture, samples, rest).prop_map(
        |(
            (inference, observation),
            (depth, mlp_layers, nonlinearity, [hidden, heads, code]),
            (m, k, beta, analytic),
            (from, images, seed),
        )| {
            let config = HierarchyConfig {
                mlp_layers,
                nonlinearity,
                batch_norm_hidden: hidden,
                batch_norm_heads: heads,
                generative_widths: if code {
                    GenerativeWidths::Code
                } else {
                    GenerativeWidths::Paper
                },
                ..small(inference, depth, observation)
            };
            let objective = ObjectiveConfig {
                beta,
                monte_carlo_samples: m,
                importance_samples: k,
                analytic_kl: analytic && k == 1,
                ..ObjectiveConfig::default()
            };
            Choice { config, objective, from, images, seed }
        },
    )
}

fn every_family_and_observation(cases: u32, holds: impl Fn(Choice) -> Result<(), String>) {
    for (name, inference) in FAMILIES {
        for observation in [Observation::Bernoulli, Observation::Gaussian] {
            property(case_count(cases), choices(inference, observation), |choice| {
                let description = format!("{name}, {choice:?}");
                holds(choice).map_err(|reason| format!("{description}: {reason}"))
            });
        }
    }
}

#[test]
fn gradients_of_every_objective_match_differences() {
    every_family_and_observation(4, |Choice { config, objective, from, images, seed }| {
        let subject = Subject::new(config, DType::F64, seed, 0.3);
        let x = subject.images(images);
        let Subject { hierarchy, mut store, statistics, .. } = subject;
        let loss = |store: &ParameterStore, tape: Option<&Tape>| {
            let mode =
                if from == From::Frozen { Mode::Frozen(&statistics) } else { Mode::BatchOnly };
            Ok(bound(&hierarchy, &mut Pass::new(store, tape, mode, seed, STEP), &x, &objective)?
                .loss)
        };
        let checked =
            gradcheck_parameters(&mut store, loss, &Options { seed, ..Options::default() });
        checked.map(drop).map_err(|failure| failure.to_string())
    });
}

fn near(what: &str, found: f64, expected: f64) -> Result<(), String> {
    let close = (found - expected).abs() <= 1e-10 * (1.0 + expected.abs());
    close
        .then_some(())
        .ok_or_else(|| format!("{what} is {found}, the second implementation has {expected}"))
}

#[test]
fn values_of_every_objective_are_those_of_a_second_implementation() {
    every_family_and_observation(40, |Choice { config, objective, from, images, seed }| {
        let subject = Subject::new(config, DType::F64, seed, 0.3);
        let x = subject.images(images);
        let found = subject.bound(&x, from, &objective).unwrap();
        let rows = images * objective.monte_carlo_samples * objective.importance_samples;
        let expected = subject.reference(from, rows).objective(&rows_of(&x), &objective);
        let scalar = |tensor: &Tensor| tensor.to_scalar().unwrap();
        near("the loss", scalar(&found.loss), expected.loss)?;
        near("log p(x|z_1)", scalar(&found.log_p_x), expected.log_p_x)?;
        assert_eq!(found.kl.len(), expected.kl.len());
        let mut layers = found.kl.iter().zip(&expected.kl).zip(1..);
        layers.try_for_each(|((kl, expected), layer)| {
            near(&format!("the KL of layer {layer}"), scalar(kl), *expected)
        })
    });
}

#[test]
fn a_ladder_of_one_layer_is_a_vae_of_one_layer() {
    for (name, inference) in &FAMILIES[1..] {
        for (observation, from) in
            [(Observation::Bernoulli, From::Batch), (Observation::Gaussian, From::Frozen)]
        {
            let values = [Inference::BottomUp, *inference].map(|inference| {
                let subject = Subject::new(small(inference, 1, observation), DType::F64, 11, 0.3);
                let names: Vec<String> = subject
                    .store
                    .parameters()
                    .iter()
                    .map(|parameter| parameter.name.clone())
                    .collect();
                (names, subject.log_weights(&subject.images(6), from, 3))
            });
            assert_eq!(values[0], values[1], "{name}, {observation:?}");
        }
    }
}

#[test]
fn a_decoder_without_weights_finds_every_pixel_equally_likely() {
    for dtype in [DType::F32, DType::F64] {
        let config = HierarchyConfig {
            data_size: 784,
            ..small(Inference::PROBABILISTIC_LADDER, 2, Observation::Bernoulli)
        };
        let mut subject = Subject::new(config, dtype, 3, 0.3);
        for name in ["generative.x.logits.weight", "generative.x.logits.bias"] {
            let id = subject.store.find(name).unwrap();
            let zeros = vec![0.0; subject.store.parameter(id).shape.element_count()];
            subject.store.set(id, &zeros).unwrap();
        }
        let x = subject.images(4);
        let log_p_x = subject
            .bound(&x, From::Batch, &ObjectiveConfig::default())
            .unwrap()
            .log_p_x
            .to_scalar()
            .unwrap();
        assert!((log_p_x + 784.0 * LN_2).abs() < 1e-3, "{dtype}: {log_p_x}");
        assert!((log_p_x + 543.43).abs() < 0.005);
    }
}

/// With β = 0 only log p(x|z_1) is left: what does not lead to z_1 stands still (specification
/// section 16.9).
#[test]
fn before_warm_up_only_what_leads_to_the_likelihood_gets_a_gradient() {
    for (name, inference) in &FAMILIES[..3] {
        let mut subject =
            Subject::new(small(*inference, 3, Observation::Bernoulli), DType::F64, 5, 0.3);
        let x = subject.images(6);
        let tape = Tape::new();
        let objective = ObjectiveConfig { beta: 0.0, ..ObjectiveConfig::default() };
        let mut pass = Pass::new(&subject.store, Some(&tape), Mode::BatchOnly, 5, STEP);
        let loss = bound(&subject.hierarchy, &mut pass, &x, &objective).unwrap().loss;
        tape.backward_into(&[&loss], &mut subject.store).unwrap();
        for id in subject.store.ids() {
            let parameter = &subject.store.parameter(id).name;
            let leads_to_z_1 = match *inference {
                Inference::BottomUp => parameter.starts_with("inference.up.1."),
                Inference::Ladder { shares_generative, .. } => {
                    parameter.starts_with("inference.") || shares_generative
                }
            };
            let gradient = subject.store.gradient(id).unwrap().to_f64().unwrap();
            let moves = gradient.iter().any(|element| *element != 0.0);
            assert_eq!(
                moves,
                leads_to_z_1 || parameter.starts_with("generative.x."),
                "{name}: {parameter}: {gradient:?}"
            );
        }
    }
}

#[test]
fn the_bound_rises_with_the_importance_samples() {
    for (name, inference) in &FAMILIES[..3] {
        let subject =
            Subject::new(small(*inference, 3, Observation::Bernoulli), DType::F64, 2, 0.5);
        let x = subject.images(40);
        let [l_1, l_50, l_500] =
            [(500, 1), (10, 50), (1, 500)].map(|(m, k)| subject.bound_nats(&x, From::Frozen, m, k));
        assert!(l_1 + 0.05 < l_50 && l_50 < l_500, "{name}: {l_1}, {l_50}, {l_500}");
        let other_noise = Subject { seed: 3, ..subject };
        let fresh = other_noise.bound_nats(&x, From::Frozen, 1, 500);
        assert!(
            (fresh - l_500).abs() < 0.5 * (l_500 - l_1),
            "{name}: L_500 is {l_500} and {fresh} with other noise, L_1 {l_1}"
        );
    }
}

#[test]
fn with_frozen_statistics_a_row_does_not_see_its_neighbours() {
    for (name, inference) in &FAMILIES[..3] {
        let subject =
            Subject::new(small(*inference, 3, Observation::Bernoulli), DType::F64, 8, 0.3);
        let (x, mut changed) = (subject.images(6), rows_of(&subject.images(6)));
        for pixel in
            changed.iter_mut().enumerate().filter(|(row, _)| *row != 2).flat_map(|(_, row)| row)
        {
            *pixel = 1.0 - *pixel;
        }
        let changed = Tensor::from_f64(subject.store.device(), &changed.concat(), [6, 5]).unwrap();
        let weights = |from, x: &Tensor| subject.log_weights(x, from, 4)[2 * 4..3 * 4].to_vec();
        assert_eq!(weights(From::Frozen, &x), weights(From::Frozen, &changed), "{name}");
        assert_ne!(
            weights(From::Batch, &x),
            weights(From::Batch, &changed),
            "{name}: batch statistics couple rows"
        );
    }
}

/// Row = image · samples + sample (specification section 7.2): repeating each image gives the same
/// rows and the same noise, so S samples of an image are S images with one sample each. Repeating
/// leaves batch statistics as they are.
#[test]
fn samples_of_an_image_are_neighbouring_rows() {
    let samples = 3;
    for (name, inference) in &FAMILIES[..3] {
        for (observation, from) in
            [(Observation::Bernoulli, From::Frozen), (Observation::Gaussian, From::Batch)]
        {
            let subject = Subject::new(small(*inference, 3, observation), DType::F64, 21, 0.3);
            let x = subject.images(4);
            let rows = rows_of(&x);
            let repeated: Vec<f64> =
                (0..4 * samples).flat_map(|row| rows[row / samples].clone()).collect();
            let repeated =
                Tensor::from_f64(subject.store.device(), &repeated, [4 * samples, 5]).unwrap();
            let (found, expected) =
                (subject.log_weights(&x, from, samples), subject.log_weights(&repeated, from, 1));
            for (row, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert!(
                    (found - expected).abs() < 1e-10,
                    "{name}, {from:?}, row {row}: {found} against {expected}"
                );
            }
            let mean = expected.iter().sum::<f64>() / expected.len() as f64;
            assert!(
                (subject.bound_nats(&x, from, samples, 1) - mean).abs() < 1e-10,
                "{name}, {from:?}"
            );
        }
    }
}

/// The densities that an evaluation reads are those of the rows, summed the other way round.
#[test]
fn densities_of_the_units_add_up_to_those_of_the_rows() {
    for (name, inference) in &FAMILIES {
        let subject =
            Subject::new(small(*inference, 3, Observation::Bernoulli), DType::F64, 34, 0.3);
        let x = subject.images(6);
        let sampled = subject.hierarchy.infer(&mut subject.pass(From::Frozen), &x, 2).unwrap();
        let sum = |tensor: &Tensor| tensor.to_f64().unwrap().iter().sum::<f64>();
        for latent in &sampled.latents {
            let found = latent.densities().unwrap();
            let ratios = latent.log_ratio().unwrap().to_f64().unwrap();
            for (found, expected) in found.log_ratio.to_f64().unwrap().iter().zip(&ratios) {
                near(name, *found, *expected).unwrap();
            }
            let log_q = latent.q.log_prob(&latent.z).unwrap();
            near(name, sum(&found.log_q_per_unit), sum(&log_q) / 12.0).unwrap();
            let difference = sum(&found.log_q_per_unit) - sum(&found.log_p_per_unit);
            near(name, difference, ratios.iter().sum::<f64>() / 12.0).unwrap();
        }
    }
}

#[test]
fn closed_forms_are_refused_inside_an_importance_weighted_bound() {
    let subject =
        Subject::new(small(Inference::BottomUp, 1, Observation::Bernoulli), DType::F64, 1, 0.3);
    let refused = |objective| {
        subject.bound(&subject.images(3), From::Batch, &objective).unwrap_err().to_string()
    };
    let both =
        ObjectiveConfig { importance_samples: 2, analytic_kl: true, ..ObjectiveConfig::default() };
    assert_eq!(
        refused(both),
        "bound: an importance-weighted bound needs sampled log-ratios: set analytic_kl to false"
    );
    assert_eq!(
        refused(ObjectiveConfig { monte_carlo_samples: 0, ..ObjectiveConfig::default() }),
        "bound: at least one sample is needed"
    );
}
