//! ADGM, SDGM and M2: gradients of their objectives, a second implementation that sums over classes
//! and samples with loops, the limits in which a bound is known from another one, and statistics of
//! batch normalisation.

#[path = "auxiliary/reference.rs"]
mod reference;
#[path = "auxiliary/subject.rs"]
mod subject;

use std::collections::BTreeMap;
use std::ops::Range;

use proptest::prelude::{Strategy, any};
use proptest::sample::select;
use reference::Rows;
use rung_autograd::gradcheck::{Options, gradcheck_parameters};
use rung_autograd::ops::FrozenStatistics;
use rung_autograd::rng::Address;
use rung_autograd::{DType, ParameterList, ParameterStore, Ranks, Tape, Tensor};
use rung_models::auxiliary::AuxiliaryFamily::{Adgm, M2, Sdgm};
use rung_models::hierarchy::Observation;
use rung_models::objective::{ObjectiveConfig, bound};
use rung_models::semi_supervised::{SemiSupervisedConfig, semi_supervised_bound};
use rung_models::{
    AuxiliaryConfig, AuxiliaryModel, Classifier, Labelled, LatentModel, LatentSource, MapShape,
    Mode, ObservationParameters, Pass, Statistics, StatisticsList, WholeData, weight_energy,
};
use rung_tests::{case_count, property};
use subject::{STEP, Subject, WEIGHTS, cpu, one_hot, rows, scalar, small};

const CLASSES: usize = 3;

fn near(what: &str, found: f64, expected: f64) -> Result<(), String> {
    let close = (found - expected).abs() <= 1e-10 * (1.0 + expected.abs());
    close.then_some(()).ok_or_else(|| format!("{what} is {found}, expected {expected}"))
}

/// log p(x, y) + log p(·) − log q(·) of one class.
fn log_weight([log_p_x, kl_a, kl_z]: [f64; 3], classes: usize, beta: f64) -> f64 {
    log_p_x - beta * (kl_a + kl_z) - (classes as f64).ln()
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.into_iter().collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// A model, where its statistics come from, and how it is trained.
#[derive(Clone, Debug)]
struct Choice {
    config: AuxiliaryConfig,
    frozen: bool,
    samples: usize,
    beta: f64,
    has_others: bool,
    seed: u64,
}

fn choices() -> impl Strategy<Value = Choice> {
    let network = (
        select(vec![Adgm, Sdgm, M2]),
        select(vec![Observation::Bernoulli, Observation::Gaussian]),
        select(vec![vec![4], vec![5, 4], vec![3, 4, 3]]),
        any::<[bool; 2]>(),
        1..=4usize,
    );
    let rest = (
        any::<bool>(),
        1..=3usize,
        select(vec![1.0, 0.6]),
        (0..5u8).prop_map(|drawn| drawn > 0),
        any::<u64>().prop_map(|seed| seed >> 8),
    );
    (network, rest).prop_map(|(network, (frozen, samples, beta, has_others, seed))| {
        let (family, observation, hidden_sizes, [reads_image, batch_norm], classes) = network;
        let config = AuxiliaryConfig {
            observation,
            hidden_sizes,
            auxiliary_reads_image: reads_image,
            batch_norm,
            ..small(family, classes)
        };
        Choice { config, frozen, samples, beta, has_others, seed }
    })
}

/// Three labelled images of these classes.
fn classes_of(classes: usize) -> [usize; 3] {
    [0, 1 % classes, classes - 1]
}

#[test]
fn gradients_of_the_semi_supervised_objective_match_differences() {
    property(case_count(16), choices(), |choice| {
        let description = format!("{choice:?}");
        let Choice { config, frozen, samples, beta, has_others, seed } = choice;
        let subject = Subject::new(config, seed);
        let (known, unknown) = (subject.images(5, 3), subject.images(6, 3));
        let classes = subject.model.classes();
        let class = one_hot(&classes_of(classes), classes);
        let Subject { model, mut store, statistics, .. } = subject;
        let weights = model.weights();
        let objective = SemiSupervisedConfig { samples, beta, ..WEIGHTS };
        let loss = |store: &ParameterStore, tape: Option<&Tape>| {
            let mode = if frozen { Mode::Frozen(&statistics) } else { Mode::BatchOnly };
            let mut pass = Pass::new(store, tape, mode, seed, STEP);
            let labelled = Labelled { x: &known, class: &class };
            let others = has_others.then_some(&unknown);
            let bound = semi_supervised_bound(&model, &mut pass, labelled, others, &objective)?;
            let prior = weight_energy(&pass, &weights)?.expect("a model has weights");
            bound.loss.add(&prior.scale(0.01)?)
        };
        let options = Options { seed, ..Options::default() };
        let checked = gradcheck_parameters(&mut store, loss, &options);
        checked.map(drop).map_err(|failure| format!("{description}: {failure}"))
    });
}

/// log p(x, y, z) − log q(z|x, y) of every class, of each image alone: its statistics are frozen.
#[test]
fn weights_by_class_are_those_of_explicit_loops() {
    property(case_count(16), choices(), |choice| {
        let Choice { config, samples, seed, .. } = choice;
        let subject = Subject::new(config, seed);
        let (x, classes) = (subject.images(6, 3), subject.model.classes());
        let found = subject
            .model
            .log_weights_by_class(&mut subject.pass(true), &x, samples)
            .unwrap()
            .expect("the family offers them");
        let terms = subject.unlabelled(&x, samples, true);
        for (row, (found, expected)) in rows(&found).iter().zip(&terms.by_class).enumerate() {
            assert_eq!((found.len(), expected.len()), (classes, classes));
            for (class, (found, expected)) in found.iter().zip(expected).enumerate() {
                let what = format!("row {row}, class {class}");
                near(&what, *found, log_weight(*expected, classes, 1.0))?;
            }
        }
        Ok(())
    });
}

#[test]
fn gradients_of_the_bound_without_classes_match_differences() {
    for (family, observation) in [
        (Adgm, Observation::Bernoulli),
        (Sdgm, Observation::Gaussian),
        (M2, Observation::Bernoulli),
    ] {
        let subject = Subject::new(AuxiliaryConfig { observation, ..small(family, 0) }, 31);
        let x = subject.images(5, 4);
        let Subject { model, mut store, statistics, seed } = subject;
        for (importance_samples, analytic_kl) in [(1, false), (1, true), (3, false)] {
            let objective =
                ObjectiveConfig { importance_samples, analytic_kl, ..ObjectiveConfig::default() };
            let loss = |store: &ParameterStore, tape: Option<&Tape>| {
                let mut pass = Pass::new(store, tape, Mode::Frozen(&statistics), seed, STEP);
                Ok(bound(&model, &mut pass, &x, &objective)?.loss)
            };
            gradcheck_parameters(&mut store, loss, &Options { seed, ..Options::default() })
                .unwrap();
        }
    }
}

#[test]
fn the_objective_is_that_of_a_second_implementation() {
    property(case_count(60), choices(), |choice| {
        let Choice { config, frozen, samples, beta, has_others, seed } = choice;
        let subject = Subject::new(config, seed);
        let classes = subject.model.classes();
        let (known, unknown) = (subject.images(5, 3), subject.images(6, 4));
        let class = classes_of(classes);
        let [_, positions] = subject.positions();
        let labelled = subject.labelled((&known, &class), samples, frozen, positions);
        let (mut with_label, mut fit) = (Vec::new(), Vec::new());
        let mut terms: Vec<(f64, [f64; 3])> = Vec::new();
        for (row, by_class) in labelled.by_class.iter().enumerate() {
            with_label.push(log_weight(by_class[0], classes, beta));
            fit.push(labelled.class_log_probs[row][class[row / samples]]);
            terms.push((1.0, by_class[0]));
        }
        let mut expected = -(WEIGHTS.labelled_weight * mean(with_label)
            + WEIGHTS.classification_weight * mean(fit.iter().copied()));
        let mut all_rows = labelled.by_class.len();
        let mut log_probs = labelled.class_log_probs;
        if has_others {
            let others = subject.unlabelled(&unknown, samples, frozen);
            let mut without_label = Vec::new();
            for (log_q, by_class) in others.class_log_probs.iter().zip(&others.by_class) {
                let mut u = 0.0;
                for (&log_q, &class_terms) in log_q.iter().zip(by_class) {
                    u += log_q.exp() * (log_weight(class_terms, classes, beta) - log_q);
                    terms.push((log_q.exp(), class_terms));
                }
                without_label.push(u);
            }
            expected -= WEIGHTS.unlabelled_weight * mean(without_label);
            all_rows += others.by_class.len();
            log_probs = others.class_log_probs;
        }
        let objective = SemiSupervisedConfig { samples, beta, ..WEIGHTS };
        let others = has_others.then_some(&unknown);
        let found = subject.objective((&known, &class), others, &objective, frozen);
        near("the loss", scalar(&found.loss), expected)?;
        let expectation = |term: usize| {
            terms.iter().map(|(q, terms)| q * terms[term]).sum::<f64>() / all_rows as f64
        };
        near("log p(x|z)", scalar(&found.log_p_x), expectation(0))?;
        let kl: Vec<f64> = found.kl.iter().map(scalar).collect();
        near("the KL of z", kl[kl.len() - 1], expectation(2))?;
        if kl.len() > 1 {
            near("the KL of a", kl[0], expectation(1))?;
        }
        let means = found.classes.expect("classes");
        near("the cross-entropy", scalar(&means.cross_entropy), -mean(fit))?;
        let entropy = |row: &Vec<f64>| -row.iter().map(|log| log.exp() * log).sum::<f64>();
        near("the entropy", scalar(&means.entropy), mean(log_probs.iter().map(entropy)))
    });
}

/// Specification A, section 11: with one class the estimate for an image without a label is that
/// of a labelled one, on the same noise.
#[test]
fn with_one_class_a_label_says_nothing() {
    for family in [Adgm, Sdgm, M2] {
        let subject = Subject::new(small(family, 1), 41);
        let x = subject.images(5, 4);
        let [positions, _] = subject.positions();
        let terms = subject.labelled((&x, &[0; 4]), 1, true, positions);
        let expected = mean(terms.by_class.iter().map(|row| log_weight(row[0], 1, 1.0)));
        near("U", subject.mean_unlabelled(&x), expected).unwrap();
    }
}

/// Where q(y|a, x) is sure of a class, U is the labelled bound of that class.
#[test]
fn a_certain_class_is_as_good_as_a_label() {
    for family in [Adgm, Sdgm, M2] {
        let mut subject = Subject::new(small(family, CLASSES), 42);
        subject.fill("inference.class.head.weight", 0.0);
        subject.set("inference.class.head.bias", &[-800.0, 800.0, -800.0]);
        let x = subject.images(5, 4);
        let terms = subject.unlabelled(&x, 1, true);
        let expected = mean(terms.by_class.iter().map(|row| log_weight(row[1], CLASSES, 1.0)));
        near("U", subject.mean_unlabelled(&x), expected).unwrap();
    }
}

/// With two classes and a q made by hand, each class meets its own weight: a sum over the wrong
/// axis would not.
#[test]
fn each_class_meets_its_own_probability() {
    let q = [0.2f64, 0.8];
    for family in [Adgm, Sdgm, M2] {
        let mut subject = Subject::new(small(family, 2), 43);
        subject.fill("inference.class.head.weight", 0.0);
        subject.set("inference.class.head.bias", &q.map(f64::ln));
        let x = subject.images(5, 3);
        let terms = subject.unlabelled(&x, 1, true);
        let entropy: f64 = q.iter().map(|q| -q * q.ln()).sum();
        let image = |row: &Vec<[f64; 3]>| {
            q[0] * log_weight(row[0], 2, 1.0) + q[1] * log_weight(row[1], 2, 1.0) + entropy
        };
        near("U", subject.mean_unlabelled(&x), mean(terms.by_class.iter().map(image))).unwrap();
    }
}

/// An a that nothing reads and that p describes as q does costs nothing: what is left is M2.
#[test]
fn a_decoupled_auxiliary_variable_leaves_the_bound_of_m2() {
    for family in [Adgm, Sdgm] {
        let mut subject = Subject::new(small(family, CLASSES), 44);
        let mut readers = vec!["inference.class", "inference.latent"];
        if family == Sdgm {
            readers.push("generative.image");
        }
        for reader in readers {
            subject.fill(&format!("{reader}.hidden.0.weight.auxiliary"), 0.0);
        }
        let distribution = [0.3, -0.2, 0.7, -0.5, 0.4, 0.1];
        for network in ["inference.auxiliary", "generative.auxiliary"] {
            subject.fill(&format!("{network}.head.weight"), 0.0);
            subject.set(&format!("{network}.head.bias"), &distribution);
        }
        let mut without = Subject::new(small(M2, CLASSES), 45);
        for id in without.store.ids() {
            let name = without.store.parameter(id).name.clone();
            let values = subject.store.tensor(subject.store.find(&name).unwrap(), None);
            without.set(&name, &values.to_f64().unwrap());
        }
        let layers: BTreeMap<String, FrozenStatistics> = subject
            .statistics
            .iter()
            .map(|(name, values)| (name.to_owned(), values.clone()))
            .collect();
        for (name, values) in layers {
            // Those of a's own networks have no counterpart.
            without.statistics.set(&name, values);
        }
        without.seed = subject.seed;
        let x = subject.images(5, 4);
        // z has the noise of the model with a.
        let noise = without.noise([1, 2], 4, CLASSES);
        let terms = without.reference(true).terms(&rows(&x), 1, &noise, |_| (0..CLASSES).collect());
        let image = |(row, log_q): (&Vec<[f64; 3]>, &Vec<f64>)| {
            let class = |(terms, log_q): (&[f64; 3], &f64)| {
                log_q.exp() * (log_weight(*terms, CLASSES, 1.0) - log_q)
            };
            row.iter().zip(log_q).map(class).sum::<f64>()
        };
        let expected = mean(terms.by_class.iter().zip(&terms.class_log_probs).map(image));
        near("U", subject.mean_unlabelled(&x), expected).unwrap();
    }
}

/// At the start the Gaussians are near N(0, 1), so that a labelled image of 784 pixels costs
/// 784 ln 2 + ln 10 nats and some that the random logits add.
#[test]
fn the_first_bound_is_that_of_a_coin_for_each_pixel() {
    for family in [Adgm, Sdgm, M2] {
        let image = MapShape { height: 28, width: 28, channels: 1 };
        let config = AuxiliaryConfig { family, ..AuxiliaryConfig::default() };
        let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
        let config = config.for_images(image, 10);
        let model = AuxiliaryModel::new(config, &mut parameters, &mut statistics).unwrap();
        let (device, address) = (cpu(), Address::new(46, 0, 0));
        let store = parameters.build(&device, DType::F64, address).unwrap();
        let statistics = statistics.build(&device, DType::F64).unwrap();
        let subject = Subject { model, store, statistics, seed: 46 };
        let x = subject.images(5, 20);
        let class: Vec<usize> = (0..20).map(|image| image % 10).collect();
        let config =
            SemiSupervisedConfig { labelled_weight: 1.0, classification_weight: 0.0, ..WEIGHTS };
        let found = subject.objective((&x, &class), None, &config, false);
        let bound = -scalar(&found.loss);
        assert!((-620.0..-545.7).contains(&bound), "{family:?}: {bound}");
        let kl: f64 = found.kl.iter().map(scalar).sum();
        assert!(kl.abs() < 0.5, "{family:?}: KL {kl}");
    }
}

#[test]
fn whole_data_statistics_in_chunks_are_those_of_one_batch() {
    const IMAGES: usize = 17;
    for (family, classes) in [(Adgm, CLASSES), (Sdgm, CLASSES), (M2, CLASSES), (Adgm, 0), (Sdgm, 0)]
    {
        let subject = Subject::new(small(family, classes), 47);
        let x = subject.images(5, IMAGES);
        let mut expected = subject.statistics.copied().unwrap();
        let mode = Mode::Batch(&mut expected, 1.0);
        let mut pass = Pass::new(&subject.store, None, mode, subject.seed, STEP);
        subject.model.infer(&mut pass, &x, 1).unwrap();
        for chunk in [1, 5, 17, 40] {
            let mut found = subject.statistics.copied().unwrap();
            let images = |range: Range<usize>| x.slice(0, range.start, range.len());
            let data = WholeData { images: &images, count: IMAGES, chunk, ranks: &Ranks::one() };
            let noise = (subject.seed, STEP);
            subject.model.recompute_statistics(&subject.store, &data, noise, &mut found).unwrap();
            assert_same(&found, &expected, |_| true, &format!("{family:?}, chunks of {chunk}"));
        }
    }
}

/// Ranks take whole chunks, and join them in one order.
#[test]
fn whole_data_statistics_have_the_same_bits_on_any_number_of_ranks() {
    let of = |ranks: Ranks| {
        let subject = Subject::new(small(Adgm, CLASSES), 47);
        let (x, mut found) = (subject.images(5, 17), subject.statistics.copied().unwrap());
        let images = |range: Range<usize>| x.slice(0, range.start, range.len());
        let data = WholeData { images: &images, count: 17, chunk: 3, ranks: &ranks };
        let noise = (subject.seed, STEP);
        subject.model.recompute_statistics(&subject.store, &data, noise, &mut found).unwrap();
        let values = found.iter().flat_map(|(_, layer)| [&layer.mean, &layer.variance]);
        values.map(|values| values.to_f64().unwrap()).collect::<Vec<_>>()
    };
    let alone = of(Ranks::one());
    for size in [2, 3, 7] {
        let shared = rung_ranks::threads::on_each(size, of);
        assert!(shared.iter().all(|found| *found == alone), "{size} ranks");
    }
}

/// Compares the statistics of the layers that are asked for.
fn assert_same(
    found: &Statistics,
    expected: &Statistics,
    is_compared: impl Fn(&str) -> bool,
    what: &str,
) {
    let mut compared = 0;
    for ((name, found), (_, expected)) in found.iter().zip(expected.iter()) {
        if !is_compared(name) {
            continue;
        }
        compared += 1;
        for (found, expected) in
            [(&found.mean, &expected.mean), (&found.variance, &expected.variance)]
        {
            let pairs = found.to_f64().unwrap().into_iter().zip(expected.to_f64().unwrap());
            for (found, expected) in pairs {
                near(&format!("{what}: {name}"), found, expected).unwrap();
            }
        }
    }
    assert!(compared > 0, "{what}");
}

/// The running statistics of networks that read no class are those of images without a label, of
/// the others those of labelled images: a row for every class is not how the data are.
#[test]
fn running_statistics_come_from_rows_that_are_like_the_data() {
    for family in [Adgm, Sdgm, M2] {
        let subject = Subject::new(small(family, CLASSES), 48);
        let (known, unknown) = (subject.images(5, 6), subject.images(6, 7));
        let class = one_hot(&[0, 1, 2, 0, 1, 2], CLASSES);
        let labelled = Labelled { x: &known, class: &class };
        let after = |others: Option<&Tensor>| {
            let mut statistics = subject.statistics.copied().unwrap();
            let mode = Mode::Batch(&mut statistics, 1.0);
            let mut pass = Pass::new(&subject.store, None, mode, subject.seed, STEP);
            let model = &subject.model;
            semi_supervised_bound(model, &mut pass, labelled, others, &WEIGHTS).unwrap();
            statistics
        };
        let both = after(Some(&unknown));
        let reads_class =
            |name: &str| name.starts_with("generative") || name.starts_with("inference.latent");
        assert_same(&both, &after(None), reads_class, "networks with a class");
        let mut alone = subject.statistics.copied().unwrap();
        let mode = Mode::Batch(&mut alone, 1.0);
        let mut pass = Pass::new(&subject.store, None, mode, subject.seed, STEP);
        subject.model.class_log_probs(&mut pass, &unknown, 1).unwrap();
        assert_same(&both, &alone, |name| !reads_class(name), "networks without a class");
    }
}

fn pixels(p_x: &ObservationParameters) -> Rows {
    rows(&p_x.mean().unwrap())
}

#[test]
fn samples_are_of_the_classes_that_are_asked_for() {
    for family in [Adgm, Sdgm, M2] {
        let subject = Subject::new(small(family, CLASSES), 49);
        let depth = subject.model.depth();
        let source = LatentSource::StandardNormal { layer: depth, count: 2 * CLASSES };
        let in_turn = pixels(&subject.model.generate(&mut subject.pass(true), &source).unwrap());
        let of = |classes: &[usize]| {
            let class = one_hot(classes, CLASSES);
            subject.model.generate_of(&mut subject.pass(true), &source, &class)
        };
        assert_eq!(pixels(&of(&[0, 1, 2, 0, 1, 2]).unwrap()), in_turn);
        let ones = pixels(&of(&[1; 6]).unwrap());
        for row in 0..6 {
            assert_eq!(ones[row] == in_turn[row], row % CLASSES == 1, "{family:?}, row {row}");
        }
        let refused = of(&[1, 2]).unwrap_err().to_string();
        assert!(refused.contains("must be [6, 3]"), "{refused}");
        let below = LatentSource::StandardNormal { layer: 1, count: 2 };
        let drawn = subject.model.generate(&mut subject.pass(true), &below);
        assert_eq!(drawn.is_ok(), family == M2, "a alone says nothing of an image");
        // What is shared by all samples, and what varies: a is drawn anew where x comes of it.
        let varied = LatentSource::SharedAbove { layer: 1, count: 2 };
        let class = one_hot(&[2, 2], CLASSES);
        let drawn = subject.model.generate_of(&mut subject.pass(true), &varied, &class).unwrap();
        let drawn = pixels(&drawn);
        assert_eq!(drawn[0] == drawn[1], family == Adgm, "{family:?}");
    }
}

#[test]
fn an_image_varied_is_itself_in_its_own_class() {
    for family in [Adgm, Sdgm, M2] {
        let subject = Subject::new(small(family, CLASSES), 50);
        let x = subject.images(5, 4);
        let varied = subject.model.vary_class(&mut subject.pass(true), &x).unwrap().unwrap();
        let varied = pixels(&varied);
        assert_eq!(varied.len(), 4 * CLASSES);
        let sampled = subject.model.infer(&mut subject.pass(true), &x, 1).unwrap();
        let log_q = rows(sampled.class.unwrap().log_q.as_ref().unwrap());
        for (image, own) in pixels(&sampled.p_x).iter().enumerate() {
            let likeliest =
                (0..CLASSES).max_by(|&a, &b| log_q[image][a].total_cmp(&log_q[image][b])).unwrap();
            for class in 0..CLASSES {
                let row = &varied[image * CLASSES + class];
                let same = row.iter().zip(own).all(|(a, b)| (a - b).abs() < 1e-12);
                assert_eq!(same, class == likeliest, "{family:?}, image {image}, class {class}");
            }
        }
    }
}

/// Without a the bound is over z alone, and no layer is left without z.
#[test]
fn a_skipped_auxiliary_variable_is_no_term_of_the_bound() {
    for family in [Adgm, Sdgm] {
        let subject = Subject::new(small(family, CLASSES), 51);
        let x = subject.images(5, 3);
        let mut pass = subject.pass(true);
        let posterior = subject.model.infer_bottom_up(&mut pass, &x).unwrap();
        let whole = posterior.sample_above(&mut pass, 2, 0).unwrap();
        let skipped = posterior.sample_above(&mut pass, 2, 1).unwrap();
        assert_eq!((whole.latents.len(), skipped.latents.len()), (2, 1));
        assert_eq!(rows(&whole.latents[1].z), rows(&skipped.latents[0].z));
        let same = pixels(&whole.p_x) == pixels(&skipped.p_x);
        assert_eq!(same, family == Adgm, "the SDGM draws a anew");
        assert!(posterior.sample_above(&mut pass, 2, 2).is_err());
    }
}

#[test]
fn a_log_variance_stays_within_its_limits() {
    let observation = Observation::Gaussian;
    let mut subject = Subject::new(AuxiliaryConfig { observation, ..small(Sdgm, CLASSES) }, 52);
    subject.set(
        "generative.image.head.bias",
        &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -90.0, 90.0, -90.0, 90.0, -90.0, 90.0],
    );
    let sampled = subject.model.infer(&mut subject.pass(true), &subject.images(5, 2), 1).unwrap();
    let ObservationParameters::Gaussian(p_x) = sampled.p_x else { panic!("a Gaussian") };
    let limits = [(-7.0f64).exp(), 7.0f64.exp()];
    for row in rows(&p_x.variance) {
        for (pixel, variance) in row.iter().enumerate() {
            near("the variance", *variance, limits[pixel % 2]).unwrap();
        }
    }
}

#[test]
fn descriptions_that_make_no_model_are_refused() {
    for (config, message) in [
        (AuxiliaryConfig { hidden_sizes: Vec::new(), ..small(Adgm, 2) }, "hidden_sizes = []"),
        (AuxiliaryConfig { latent_units: 0, ..small(Adgm, 2) }, "latent_units = 0"),
        (AuxiliaryConfig { head_sigma: 0.0, ..small(Adgm, 2) }, "head_sigma = 0"),
        (AuxiliaryConfig { log_variance_limit: 99.0, ..small(Adgm, 2) }, "at most 40"),
        (AuxiliaryConfig { data_size: 0, ..small(Adgm, 2) }, "at least one value"),
        (small(Adgm, 1001), "classes = 1001"),
    ] {
        let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
        let refused = AuxiliaryModel::new(config, &mut parameters, &mut statistics).unwrap_err();
        assert!(refused.to_string().contains(message), "{refused}");
    }
}
