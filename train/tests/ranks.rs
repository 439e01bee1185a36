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
use rung::tasks::{At, Batch, Loss, Request};
use rung_autograd::ops::FrozenStatistics;
use rung_autograd::optim::{StepSize, minimise};
use rung_autograd::{DType, Device, Tape, Tensor};
use rung_datasets::batch::shuffled;
use rung_datasets::{GlyphCounts, Options, Split};
use rung_models::{BatchNormStatistics, BatchShare, Mode, Pass, Statistics, StatisticsList};
use rung_ranks::{Ranks, threads};

/// Rows of a batch: 7 ranks have shares of two sizes.
const BATCH: usize = 23;

/// The losses of every step, parameters and running statistics after the last, and the bound of the
/// test images.
#[derive(Debug, Clone, PartialEq)]
struct Trained {
    losses: Vec<f64>,
    parameters: Vec<f64>,
    statistics: Vec<f64>,
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
    train_by(config, ranks, dtype, |trainer, train, at| {
        let share = trainer.share.clone();
        let batch = rows_of(config, trainer, train, at, &share);
        trainer.step(&batch, at).unwrap()
    })
}

/// The rows of a step that are in this share.
fn rows_of(
    config: &Config,
    trainer: &Trainer,
    train: &DeviceImages,
    at: At,
    share: &BatchShare,
) -> Batch {
    let order = shuffled(config.train.seed, at.epoch, train.count() as u32);
    let start = (at.step % 2) as usize * BATCH + share.first;
    let mine = &order[start..start + share.rows];
    let device = trainer.model.store.device();
    let indices = Tensor::from_u32(device, mine, [mine.len()]).unwrap();
    trainer.model.task.batch(train, &indices, at, &share.ranks).unwrap()
}

/// A training whose steps are made by `step`.
fn train_by(
    config: &Config,
    ranks: Ranks,
    dtype: DType,
    mut step: impl FnMut(&mut Trainer, &DeviceImages, At) -> Loss,
) -> Trained {
    let device = Device::cpu();
    let train = images(config, Split::Train, &device, dtype);
    let test = images(config, Split::Test, &device, dtype);
    let mut model = Model::new(config, train.shape(), &device, dtype).unwrap();
    model.ranks = ranks;
    model.initialise(&train, config).unwrap();
    model.task.prepare(&train, &test, config.train.seed, BATCH).unwrap();
    let mut trainer = Trainer::new(model, config).unwrap();
    let mut losses = Vec::new();
    for number in 0..steps() {
        let loss = step(&mut trainer, &train, At { epoch: number / 2 + 1, step: number });
        losses.push(loss.loss.to_scalar().unwrap());
        losses.extend(loss.terms.iter().map(|term| term.to_scalar().unwrap()));
    }
    let Trainer { model, .. } = &trainer;
    let request = Request { importance_samples: 3, ..Request::once(9, 8, 5) };
    let score = model.evaluate(&model.statistics, &test, request).unwrap().value();
    let parameters = model.store.ids();
    let value = |id| model.store.tensor(id, None).to_f64().unwrap();
    let statistics = model.statistics.iter();
    let numbers = |(_, FrozenStatistics { mean, variance }): (&str, &FrozenStatistics)| {
        [mean.to_f64().unwrap(), variance.to_f64().unwrap()].concat()
    };
    Trained {
        losses,
        parameters: parameters.flat_map(value).collect(),
        statistics: statistics.flat_map(numbers).collect(),
        score,
    }
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
        let parameters = far_apart(&shared[0].parameters, &alone.parameters)
            .max(far_apart(&shared[0].statistics, &alone.statistics));
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

/// What makes each rank normalise with the statistics of its own rows.
const BY_RANK: &str = "train.batch_norm_statistics=rank";

/// A training on one rank that does what `size` ranks with statistics of their own do: a pass for
/// the rows of each, losses and running statistics weighed by the rows.
fn train_share_by_share(config: &Config, size: usize) -> Trained {
    let momentum = config.family.batch_norm_momentum().unwrap();
    let edge = |rank: usize| rank * BATCH / size;
    let share = |rank: usize| BatchShare {
        first: edge(rank),
        rows: edge(rank + 1) - edge(rank),
        ..BatchShare::of_batch(&Ranks::one(), BATCH).unwrap()
    };
    train_by(config, Ranks::one(), DType::F64, |trainer, train, at| {
        let tape = Tape::new();
        let (mut losses, mut averages): (Vec<Vec<Tensor>>, Vec<(f64, Statistics)>) = <_>::default();
        for share in (0..size).map(share) {
            let batch = rows_of(config, trainer, train, at, &share);
            let Model { task, store, statistics, .. } = &mut trainer.model;
            let mut own = statistics.copied().unwrap();
            let mode = Mode::Batch(&mut own, momentum);
            let mut pass = Pass::new(store, Some(&tape), mode, config.train.seed, at.step);
            let Loss { loss, terms } = task.loss(&mut pass, &batch, at).unwrap();
            let weighed = [loss].into_iter().chain(terms).map(|x| x.scale(share.weight()).unwrap());
            losses.push(weighed.collect());
            averages.push((share.weight(), own));
        }
        let sum = |index: usize| {
            let mut each = losses.iter().map(|of_share| of_share[index].clone());
            let first = each.next().unwrap();
            each.fold(first, |sum, loss| sum.add(&loss).unwrap())
        };
        let Model { store, statistics, .. } = &mut trainer.model;
        let names: Vec<String> = statistics.iter().map(|(name, _)| name.to_string()).collect();
        for (layer, name) in names.iter().enumerate() {
            let of_layer = |(weight, own): &(f64, Statistics)| {
                (*weight, own.iter().nth(layer).unwrap().1.clone())
            };
            let of_shares: Vec<_> = averages.iter().map(of_layer).collect();
            let mean = |part: fn(&FrozenStatistics) -> &Tensor| {
                let weighed = of_shares.iter().map(|(w, own)| part(own).scale(*w).unwrap());
                weighed.reduce(|sum, part| sum.add(&part).unwrap()).unwrap()
            };
            let values =
                FrozenStatistics { mean: mean(|s| &s.mean), variance: mean(|s| &s.variance) };
            assert!(statistics.set(name, values));
        }
        let loss = Loss { loss: sum(0), terms: (1..losses[0].len()).map(sum).collect() };
        let size =
            StepSize { norm_limit: 4.0, ..StepSize::unlimited(config.optimiser.learning_rate) };
        let size = StepSize { element_limit: config.train.gradient_element_limit, ..size };
        minimise(&loss.loss, &tape, store, &mut *trainer.optimiser, &size).unwrap();
        loss
    })
}

/// Against a second implementation: a classifier without dropout, whose rows have no noise.
#[test]
fn with_statistics_of_each_rank_a_step_is_the_sum_of_passes_over_their_rows() {
    let sets = ["model.family=classifier", "model.hidden_sizes=[12,9]", "model.dropout=0"];
    let config = configuration(&[&sets[..], &[BY_RANK]].concat());
    let batch = train(&configuration(&sets), Ranks::one(), DType::F64);
    assert!(!batch.statistics.is_empty());
    for size in [1, 2, 3, 5] {
        let expected = train_share_by_share(&config, size);
        let shared = threads::on_each(size, |ranks| train(&config, ranks, DType::F64));
        assert!(shared.iter().all(|trained| *trained == shared[0]), "{size} ranks");
        let Trained { losses, parameters, statistics, score } = &shared[0];
        let far = far_apart(losses, &expected.losses)
            .max(far_apart(parameters, &expected.parameters))
            .max(far_apart(statistics, &expected.statistics))
            .max(far_apart(&[*score], &[expected.score]));
        assert!(far < 1e-9, "{size} ranks: {far:e} from passes over their rows");
        let far = far_apart(losses, &batch.losses);
        assert_eq!(far > 1e-3, size > 1, "{size} ranks: {far:e} from the whole batch's statistics");
    }
}

#[test]
fn statistics_of_each_rank_are_averaged_by_their_rows() {
    let device = Device::cpu();
    let averaged = |size: usize, statistics: BatchNormStatistics| {
        threads::on_each(size, |ranks| {
            let mut list = StatisticsList::default();
            let ids = [list.add("a", 2), list.add("b", 1)];
            let mut found = list.build(&device, DType::F64).unwrap();
            let rank = ranks.rank() as f64;
            let vector =
                |values: &[f64]| Tensor::from_f64(&device, values, [values.len()]).unwrap();
            *found.get_mut(ids[0]) = FrozenStatistics {
                mean: vector(&[rank, 1.0]),
                variance: vector(&[2.0, 4.0 * rank]),
            };
            let share = BatchShare::of_batch(&ranks, BATCH).unwrap();
            found.average_over(&BatchShare { batch_norm_statistics: statistics, ..share }).unwrap();
            let values = found.iter().flat_map(|(_, layer)| [&layer.mean, &layer.variance]);
            values.flat_map(|values| values.to_f64().unwrap()).collect::<Vec<_>>()
        })
    };
    // 7, 8 and 8 of 23 rows.
    let mean_rank = (8.0 + 2.0 * 8.0) / 23.0;
    for found in averaged(3, BatchNormStatistics::Rank) {
        let far = far_apart(&found, &[mean_rank, 1.0, 2.0, 4.0 * mean_rank, 0.0, 1.0]);
        assert!(far < 1e-15, "{found:?}");
    }
    let own = averaged(3, BatchNormStatistics::Batch);
    assert_eq!(own[2], [2.0, 1.0, 2.0, 8.0, 0.0, 1.0]);
    assert_eq!(averaged(1, BatchNormStatistics::Rank)[0], [0.0, 1.0, 2.0, 0.0, 0.0, 1.0]);
}

#[test]
fn statistics_of_each_rank_make_another_training_than_those_of_the_batch() {
    let labelled = ["model.family=sdgm", "model.hidden_sizes=[12]", "objective.labels=20"];
    for (what, sets) in [("ladder", &SMALL[..]), ("sdgm", &labelled)] {
        let config = configuration(&[sets, &[BY_RANK]].concat());
        let alone = train(&config, Ranks::one(), DType::F32);
        assert_eq!(
            alone,
            train(&configuration(sets), Ranks::one(), DType::F32),
            "{what}, one rank"
        );
        let shared = threads::on_each(4, |ranks| train(&config, ranks, DType::F32));
        assert!(shared.iter().all(|trained| *trained == shared[0]), "{what}");
        assert!(shared[0].losses.iter().all(|loss| loss.is_finite()), "{what}");
        let far = far_apart(&shared[0].losses, &alone.losses);
        assert!(far > 1e-3, "{what}: the statistics of 4 ranks are as those of the batch, {far:e}");
        let again = threads::on_each(4, |ranks| train(&config, ranks, DType::F32));
        assert_eq!(again, shared, "{what}: repeated");
    }
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
    let by_rank = [&samples[..], &[BY_RANK]].concat();
    for (sets, count) in [(&samples[..], 8), (&labelled, 8), (&by_rank, 4)] {
        let config = configuration(sets);
        let on = |size| {
            let logical =
                |ranks: Ranks| ranks.on_logical(count, |ranks| train(&config, ranks, DType::F32));
            threads::on_each(size, |ranks| logical(ranks).unwrap()).concat()
        };
        let alone = on(1);
        assert!(alone.len() == count && alone.iter().all(|trained| *trained == alone[0]));
        for size in [2, 4, 8].into_iter().filter(|size| *size <= count) {
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
    let few = refused(6, &[&SMALL[..], &[BY_RANK]].concat());
    assert!(few.contains("a rank has 3 of the 23 images of a batch"), "{few}");
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
