//! Statistics of batch normalisation over a whole data set, in chunks.

use std::ops::Range;

use rung_autograd::{DType, Ranks, Tensor};
use rung_models::hierarchy::{Inference, Observation};
use rung_models::{HierarchyConfig, LatentModel, Mode, Pass, Statistics, WholeData};

use super::subject::{STEP, Subject};
use super::{FAMILIES, small};

fn recomputed(subject: &Subject, x: &Tensor, chunk: usize, ranks: &Ranks) -> Statistics {
    let mut statistics = subject.statistics.copied().unwrap();
    let images = |range: Range<usize>| x.slice(0, range.start, range.len());
    let data = WholeData { images: &images, count: x.shape().sizes()[0], chunk, ranks };
    subject
        .hierarchy
        .recompute_statistics(&subject.store, &data, (subject.seed, STEP), &mut statistics)
        .unwrap();
    statistics
}

/// Where the statistics are those of one batch, chunks must give what the batch gives: with hidden
/// layers that are kept for all images, and with some that are too wide for that.
#[test]
fn whole_data_statistics_in_chunks_are_those_of_one_batch() {
    const IMAGES: usize = 53;
    let observations = [Observation::Bernoulli, Observation::Gaussian].into_iter().cycle();
    for ((family, inference), observation) in FAMILIES.into_iter().zip(observations) {
        for hidden_sizes in [vec![4, 3, 2], vec![8, 3, 2], vec![9, 8, 2]] {
            let config = HierarchyConfig { hidden_sizes, ..small(inference, 3, observation) };
            let case = format!("{family}, hidden sizes {:?}", config.hidden_sizes);
            let subject = Subject::new(config, DType::F64, 3, 0.1);
            let x = subject.images(IMAGES);
            let mut at_once = subject.statistics.copied().unwrap();
            let mode = Mode::Batch(&mut at_once, 1.0);
            let mut pass = Pass::new(&subject.store, None, mode, subject.seed, STEP);
            subject.hierarchy.infer(&mut pass, &x, 1).unwrap();
            for chunk in [IMAGES, 1, 20] {
                assert_same(
                    &at_once,
                    &recomputed(&subject, &x, chunk, &Ranks::one()),
                    &format!("{case}, chunks of {chunk}"),
                );
            }
        }
    }
}

/// Ranks take whole chunks, and join them in one order.
#[test]
fn whole_data_statistics_have_the_same_bits_on_any_number_of_ranks() {
    for (family, inference) in FAMILIES {
        let of = |ranks: Ranks| {
            let config = small(inference, 3, Observation::Bernoulli);
            let subject = Subject::new(config, DType::F32, 3, 0.1);
            let statistics = recomputed(&subject, &subject.images(53), 10, &ranks);
            let values = statistics.iter().flat_map(|(_, layer)| [&layer.mean, &layer.variance]);
            values.map(|values| values.to_f64().unwrap()).collect::<Vec<_>>()
        };
        let alone = of(Ranks::one());
        for size in [2, 3, 7] {
            let shared = rung_ranks::threads::on_each(size, of);
            assert!(shared.iter().all(|found| *found == alone), "{family} on {size} ranks");
        }
    }
}

fn assert_same(expected: &Statistics, found: &Statistics, case: &str) {
    for ((name, expected), (_, found)) in expected.iter().zip(found.iter()) {
        for (expected, found) in
            [(&expected.mean, &found.mean), (&expected.variance, &found.variance)]
        {
            let (expected, found) = (expected.to_f64().unwrap(), found.to_f64().unwrap());
            let worst = expected
                .iter()
                .zip(&found)
                .map(|(e, f)| (e - f).abs() / (1.0 + e.abs()))
                .fold(0.0, f64::max);
            assert!(worst < 1e-11, "{case}, {name}: off by {worst:e}");
        }
    }
}

/// What is held for each image: the messages of all layers, the widest of them twice; and a hidden
/// layer, if it is no wider.
#[test]
fn little_is_held_of_all_images() {
    const IMAGES: usize = 2000;
    let latent_sizes = vec![8, 2, 1];
    let (messages, widest): (usize, usize) = (2 * (8 + 2 + 1), 2 * 8);
    for (family, inference) in FAMILIES {
        let rises_through_hidden =
            matches!(inference, Inference::Ladder { rises_through_mean: false, .. });
        let numbers = messages + widest + if rises_through_hidden { widest } else { 0 };
        let config = HierarchyConfig {
            latent_sizes: latent_sizes.clone(),
            hidden_sizes: vec![80, 64, 10],
            ..small(inference, 3, Observation::Bernoulli)
        };
        let held = |images: usize| {
            let subject = Subject::new(config.clone(), DType::F64, 3, 0.1);
            let x = subject.images(images);
            let pool = || subject.store.device().statistics().pool;
            subject.store.device().release_free();
            let before = pool().bytes;
            recomputed(&subject, &x, 50, &Ranks::one());
            pool().most_bytes - before
        };
        let found = (held(2 * IMAGES) - held(IMAGES)).div_ceil(IMAGES * size_of::<f64>());
        assert!(
            found <= numbers,
            "{family}: {found} numbers are held for each image, instead of {numbers}"
        );
    }
}
