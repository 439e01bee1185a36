//! Ranks that share a batch train as one that has it all: in f64, so that what differs by more than
//! the order of sums is seen. Here ranks are threads; `tests/mpi.sh` has processes.
//!
//! `RUNG_TEST_RANK_STEPS=200 cargo test -p rung --test ranks shared` takes more steps than 6, and
//! says how far the losses are apart.

use std::thread;

use rung::config::Config;
use rung::config::sources::{Sources, layered};
use rung::data::DeviceImages;
use rung::engine::{Trainer, batch_norm};
use rung::model::Model;
use rung::run::metrics::Record;
use rung::tasks::latent::anomaly::{self, ImageBounds, bounds};
use rung::tasks::latent::encoding::{Encoded, encode};
use rung::tasks::{At, Request};
use rung_autograd::{DType, Device, Tensor};
use rung_datasets::batch::shuffled;
use rung_datasets::{GlyphCounts, Options, Split};
use rung_ranks::{Ranks, threads};

/// Rows of a batch: 7 ranks have shares of two sizes.
const BATCH: usize = 23;

/// The losses of every step, the parameters after the last, and the bound of the test images.
#[derive(Debug, Clone, PartialEq)]
struct Trained {
    losses: Vec<f64>,
    parameters: Vec<f64>,
    score: f64,
}

/// Steps of a training, two an epoch.
fn steps() -> u64 {
    std::env::var("RUNG_TEST_RANK_STEPS").map_or(6, |text| text.parse().unwrap())
}

fn configuration(sets: &[&str]) -> Config {
    let sets = sets.iter().copied().chain(["train.epochs=100", "train.gradient_norm_limit=4"]);
    let sets: Vec<String> = sets.map(str::to_string).collect();
    let mut config = layered(&Sources { sets: &sets, ..Sources::default() }).unwrap();
    config.train.batch_size = BATCH;
    config
}

fn images(config: &Config, split: Split, device: &Device, dtype: DType) -> DeviceImages {
    let glyphs = GlyphCounts { train: 2 * BATCH as u32, validation: 0, test: 9 };
    let options = Options { glyphs, ..Default::default() };
    let dataset = rung_datasets::open("glyphs", ".".as_ref(), &options).unwrap();
    DeviceImages::new(&dataset, split, 0, &config.data, config.train.seed, device, dtype).unwrap()
}

fn train(config: &Config, ranks: Ranks, dtype: DType) -> Trained {
    let device = Device::cpu();
    let train = images(config, Split::Train, &device, dtype);
    let test = images(config, Split::Test, &device, dtype);
    let mut model = Model::new(config, train.shape(), &device, dtype).unwrap();
    model.ranks = ranks;
    model.initialise(&train, config).unwrap();
    model.task.prepare(&train, &test, config.train.seed, BATCH).unwrap();
    let mut trainer = Trainer::new(model, config).unwrap();
    let share = trainer.share.clone();
    let mut losses = Vec::new();
    for step in 0..steps() {
        let at = At { epoch: step / 2 + 1, step };
        let order = shuffled(config.train.seed, at.epoch, train.count() as u32);
        let start = (step % 2) as usize * BATCH + share.first;
        let mine = &order[start..start + share.rows];
        let indices = Tensor::from_u32(&device, mine, [mine.len()]).unwrap();
        let batch = trainer.model.task.batch(&train, &indices, at, &share.ranks).unwrap();
        let loss = trainer.step(&batch, at).unwrap();
        losses.push(loss.loss.to_scalar().unwrap());
        losses.extend(loss.terms.iter().map(|term| term.to_scalar().unwrap()));
    }
    let Trainer { model, .. } = &trainer;
    let request = Request { importance_samples: 3, ..Request::once(9, 8, 5) };
    let score = model.evaluate(&model.statistics, &test, request).unwrap().value();
    let parameters = model.store.ids();
    let value = |id| model.store.tensor(id, None).to_f64().unwrap();
    Trained { losses, parameters: parameters.flat_map(value).collect(), score }
}

fn far_apart(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let distance = |(a, b): (&f64, &f64)| (a - b).abs() / (1.0 + b.abs());
    found.iter().zip(expected).map(distance).fold(0.0, f64::max)
}

/// A training on 2, 4 and 7 ranks is that of one, and its repetition is the same to the bit.
fn assert_shared(what: &str, sets: &[&str]) {
    let config = configuration(sets);
    let alone = train(&config, Ranks::one(), DType::F64);
    assert!(alone.losses.iter().all(|loss| loss.is_finite()));
    for size in [2, 4, 7] {
        let shared = threads::on_each(size, |ranks| train(&config, ranks, DType::F64));
        for (rank, found) in shared.iter().enumerate() {
            assert_eq!(*found, shared[0], "{what}: rank {rank} of {size} is not as rank 0");
        }
        let losses = far_apart(&shared[0].losses, &alone.losses);
        let parameters = far_apart(&shared[0].parameters, &alone.parameters);
        let score = far_apart(&[shared[0].score], &[alone.score]);
        println!("{what} on {size} ranks: losses {losses:e} apart after {} steps", steps());
        assert!(
            losses < 1e-10 && parameters < 1e-8 && score < 1e-8,
            "{what} on {size} ranks: losses {losses:e}, parameters {parameters:e}, score {score:e}"
        );
        if size == 4 {
            let again = threads::on_each(size, |ranks| train(&config, ranks, DType::F64));
            assert_eq!(again, shared, "{what}: repeated on {size} ranks");
        }
    }
}

const SMALL: [&str; 2] = ["model.latent_sizes=[6,3]", "model.hidden_sizes=[12,9]"];

#[test]
fn a_ladder_with_batch_normalisation_is_shared() {
    assert_shared("ladder", &SMALL);
}

#[test]
fn importance_samples_are_those_of_the_whole_batch() {
    let samples = ["objective.importance_samples=3", "objective.monte_carlo_samples=2"];
    assert_shared("importance samples", &[&SMALL[..], &samples].concat());
}

#[test]
fn a_convolutional_model_with_activation_checkpointing_is_shared() {
    let stages = "model.stages=[{channels=8,kernels=[3],strides=[2],latent_units=4},\
    {channels=8,kernels=[3],strides=[2],latent_units=3}]";
    let sets = ["model.family=biva", stages, "model.initial_sigma=0.5"];
    assert_shared("biva", &[&sets[..], &["train.checkpoint_activations=true"]].concat());
}

#[test]
fn a_classifier_with_dropout_is_shared() {
    let sets = ["model.family=classifier", "model.hidden_sizes=[12,9]", "model.dropout=0.4"];
    assert_shared("classifier", &sets);
}

#[test]
fn few_labels_are_shared() {
    let labels = ["objective.labels=20", "objective.monte_carlo_samples=2"];
    for family in ["adgm", "sdgm", "m2"] {
        let family_of = format!("model.family={family}");
        let sets = [&family_of[..], "model.hidden_sizes=[12]", "model.latent_units=4"];
        let auxiliary = ["model.auxiliary_units=3"];
        let auxiliary = if family == "m2" { &[][..] } else { &auxiliary[..] };
        assert_shared(family, &[&sets[..], &labels, auxiliary].concat());
    }
}

#[test]
fn few_labels_of_a_convolutional_model_with_dropout_are_shared() {
    let stages = "model.stages=[{channels=8,kernels=[3],strides=[2],latent_units=4},\
    {channels=8,kernels=[3],strides=[2],latent_units=3}]";
    let sets = ["model.family=biva", stages, "objective.labels=20"];
    let dropout = ["model.inference_dropout=0.3", "train.checkpoint_activations=true"];
    assert_shared("biva", &[&sets[..], &dropout].concat());
}

#[test]
fn images_that_the_model_draws_itself_are_shared() {
    let blocks = "model.blocks=[{channels=4,latent_channels=1,layers=1,stride=4},\
    {channels=4,latent_channels=1,layers=1}]";
    let sets = ["model.family=matnet", blocks, "model.top_units=3", "model.top_hidden=8"];
    assert_shared("fantasies", &[&sets[..], &["objective.fantasy_start_epoch=2"]].concat());
}

#[test]
fn in_f32_ranks_differ_by_the_order_of_sums_alone() {
    let config = configuration(&SMALL);
    let alone = train(&config, Ranks::one(), DType::F32);
    let shared = threads::on_each(3, |ranks| train(&config, ranks, DType::F32));
    assert!(shared.iter().all(|trained| *trained == shared[0]));
    let losses = far_apart(&shared[0].losses, &alone.losses);
    assert!(losses < 1e-4, "{losses:e}");
}

/// What commands find of images that ranks share, each with a model of its own.
#[derive(Debug, Clone, PartialEq)]
struct Found {
    /// Exact statistics of batch normalisation, in f64.
    statistics: Vec<Vec<f64>>,
    /// The scores of an evaluation.
    record: Record,
    of_images: Vec<f64>,
    encoded: Option<Encoded>,
    bounds: Option<ImageBounds>,
}

fn found(config: &Config, ranks: Ranks) -> Found {
    let device = Device::cpu();
    let of = |split| images(config, split, &device, DType::F32);
    let (train, test) = (of(Split::Train), of(Split::Test));
    let mut model = Model::new(config, train.shape(), &device, DType::F32).unwrap();
    model.ranks = ranks;
    let exact = batch_norm::collect(&model, &train, 1, 0).unwrap();
    let request = Request { importance_samples: 3, every_class: true, ..Request::once(9, 8, 5) };
    let scores = model.evaluate(&exact, &test, request).unwrap();
    let on_latents = model.task.latent().map(|_| {
        let wanted = anomaly::Request { images: 9, importance_samples: 3, rows: 8, seed: 5 };
        let encoded = encode(&model, &exact, &test, (9, 5), || false, |_| ()).unwrap().unwrap();
        let of = (&model, &exact);
        (encoded, bounds(of, &test, wanted, || false, |_| ()).unwrap().unwrap())
    });
    let (encoded, bounds) = on_latents.unzip();
    let values = exact.iter().flat_map(|(_, layer)| [&layer.mean, &layer.variance]);
    Found {
        statistics: values.map(|values| values.to_f64().unwrap()).collect(),
        record: scores.record(1.0),
        of_images: scores.of_images().map(|(_, scores)| scores.to_vec()).unwrap_or_default(),
        encoded,
        bounds,
    }
}

/// Every number of a record, in its order.
fn numbers(value: &serde_json::Value, into: &mut Vec<f64>) {
    match value {
        serde_json::Value::Array(values) => values.iter().for_each(|value| numbers(value, into)),
        serde_json::Value::Object(values) => values.values().for_each(|value| numbers(value, into)),
        value => into.extend(value.as_f64()),
    }
}

/// What is computed for each image is the same to the bit on any number of ranks, and so are the
/// statistics of batch normalisation; what is summed over images differs by the order of the sum.
fn assert_images_are_shared(what: &str, sets: &[&str]) {
    let config = configuration(sets);
    let alone = found(&config, Ranks::one());
    let means = |found: &Found| {
        let mut all = Vec::new();
        found.record.values().for_each(|value| numbers(value, &mut all));
        let layers = found.encoded.iter().flat_map(|encoded| &encoded.layers);
        all.extend(layers.flat_map(|layer| &layer.kl_nats));
        all
    };
    let arrays = |found: &Found| {
        let mut encoded = found.encoded.clone();
        let layers = encoded.iter_mut().flat_map(|encoded| &mut encoded.layers);
        layers.for_each(|layer| layer.kl_nats.clear());
        encoded
    };
    for size in [2, 3, 7, 11] {
        let shared = threads::on_each(size, |ranks| found(&config, ranks));
        for (rank, found) in shared.iter().enumerate() {
            let here = format!("{what}, rank {rank} of {size}");
            assert_eq!(found.statistics, alone.statistics, "{here}");
            assert_eq!(found.of_images, alone.of_images, "{here}");
            assert_eq!(found.bounds, alone.bounds, "{here}");
            let far = far_apart(&means(found), &means(&alone));
            // The device sums in f32.
            assert!(far < 1e-5, "{here}: {far:e}");
            match rank {
                0 => assert_eq!(arrays(found), arrays(&alone), "{here}"),
                _ => assert!(arrays(found).is_none_or(|found| found.layers[0].z.is_empty())),
            }
        }
    }
}

#[test]
fn images_of_a_ladder_are_shared() {
    assert_images_are_shared("ladder", &SMALL);
}

#[test]
fn images_of_a_model_with_classes_are_shared() {
    let sets = ["model.family=adgm", "objective.labels=20", "model.hidden_sizes=[12]"];
    assert_images_are_shared("adgm", &sets);
}

#[test]
fn images_of_a_classifier_are_shared() {
    assert_images_are_shared("classifier", &["model.family=classifier", "model.hidden_sizes=[9]"]);
}

/// With a fixed number of logical ranks a training in f32 is the same to the bit on 1, 2, 4 and 8
/// ranks: batch normalisation, importance samples, few labels and all.
#[test]
fn logical_ranks_give_the_same_bits_on_any_number_of_ranks() {
    let labelled = ["model.family=sdgm", "model.hidden_sizes=[12]", "objective.labels=20"];
    let samples = [&SMALL[..], &["objective.importance_samples=3"]].concat();
    for sets in [&samples[..], &labelled] {
        let config = configuration(sets);
        let on = |size| {
            let logical =
                |ranks: Ranks| ranks.on_logical(8, |ranks| train(&config, ranks, DType::F32));
            threads::on_each(size, |ranks| logical(ranks).unwrap()).concat()
        };
        let alone = on(1);
        assert!(alone.len() == 8 && alone.iter().all(|trained| *trained == alone[0]), "{sets:?}");
        for size in [2, 4, 8] {
            assert_eq!(on(size), alone, "{sets:?} on {size} ranks");
        }
    }
}

#[test]
fn what_ranks_cannot_share_is_refused() {
    let refused = |size, sets: &[&str]| {
        let config = configuration(sets);
        let errors = threads::on_each(size, |ranks| {
            let device = Device::cpu();
            let shape = images(&config, Split::Train, &device, DType::F32).shape();
            let mut model = Model::new(&config, shape, &device, DType::F32).unwrap();
            model.ranks = ranks;
            Trainer::new(model, &config).unwrap_err().to_string()
        });
        errors[0].clone()
    };
    let few = refused(BATCH + 1, &SMALL);
    assert!(few.contains("a batch of 23 has no row for each of 24 ranks"), "{few}");
}

/// A rank that ends leaves an error to the others, who do not wait for it.
#[test]
fn a_rank_that_ends_is_noticed() {
    let config = configuration(&SMALL);
    let ends = threads::on_each(2, |ranks| {
        if ranks.rank() == 1 {
            return String::new();
        }
        let panicked = thread::scope(|scope| {
            scope.spawn(|| train(&config, ranks, DType::F64)).join().is_err()
        });
        panicked.to_string()
    });
    assert_eq!(ends[0], "true");
}
