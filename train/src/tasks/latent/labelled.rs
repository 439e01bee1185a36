//! The few images whose classes a semi-supervised training knows.

use std::collections::BTreeSet;

use rung_autograd::rng::{Address, Stream};
use rung_autograd::{DType, Tensor};
use rung_datasets::Labels;
use rung_datasets::batch::{shuffled, shuffled_at};
use rung_models::BatchShare;
use rung_ranks::Ranks;

use crate::data::DeviceImages;
use crate::error::{Context, Error, Result};
use crate::tasks::one_hot::one_hot;
use crate::tasks::task::LabelledBatch;

/// Where the draws of labelled images' pixels begin: after those of any epoch. They are seen every
/// few steps, so that draws once an epoch would be learned by heart.
const FIRST_DRAW: u64 = 1 << 40;

/// Labelled images: as many of each class, chosen by the run's seed.
#[derive(Debug)]
pub(super) struct LabelledImages {
    /// Their numbers among the training images.
    indices: Vec<u32>,
    /// The class of each.
    labels: Vec<u32>,
    /// How many classes the model has.
    classes: usize,
    /// How many of them a step sees.
    batch: usize,
    /// Their share of all images, labelled or not.
    share: f64,
    /// The run's seed, which their order follows from.
    seed: u64,
    dtype: DType,
}

impl LabelledImages {
    /// Chooses `wanted` images by the classes of all training images, for steps on batches of
    /// `batch_size` others. Classes that no image is of, such as class 0 where they are counted
    /// from 1, take no share; images whose class is not known are never chosen.
    ///
    /// # Errors
    /// If there are no labels, too few of a class, or a class that the model has not.
    pub(super) fn choose(
        labels: Option<&[u32]>,
        (wanted, classes): (usize, usize),
        seed: u64,
        batch_size: usize,
        dtype: DType,
    ) -> Result<Self> {
        let labels = labels.ok_or_else(|| {
            Error::new(
                "labels are wanted, and the images of the data set have none, or several each",
            )
        })?;
        let known = || labels.iter().copied().filter(|&label| label != Labels::UNKNOWN);
        if let Some(label) = known().find(|&label| label as usize >= classes) {
            return Err(Error::new(format!(
                "an image is of class {label}, and objective.classes is {classes}"
            ))
            .with_advice("set objective.classes to the number of classes that the data set has"));
        }
        let present: BTreeSet<u32> = known().collect();
        let present: Vec<usize> = present.into_iter().map(|class| class as usize).collect();
        let mut room = vec![0; classes];
        for (place, &class) in present.iter().enumerate() {
            room[class] = wanted / present.len() + usize::from(place < wanted % present.len());
        }
        // No more than there are, whatever is wanted.
        let mut chosen = Vec::with_capacity(wanted.min(labels.len()));
        for index in shuffled(seed, 0, labels.len() as u32) {
            let Some(left) = room.get_mut(labels[index as usize] as usize) else { continue };
            if *left > 0 {
                *left -= 1;
                chosen.push(index);
            }
        }
        if chosen.len() < wanted {
            return Err(Error::new(format!(
                "{wanted} labels are wanted, and some of the {} classes have too few images",
                present.len()
            ))
            .with_advice("ask for fewer --labels"));
        }
        Ok(Self {
            labels: chosen.iter().map(|&index| labels[index as usize]).collect(),
            batch: wanted.min(batch_size),
            share: wanted as f64 / (wanted + labels.len()) as f64,
            seed,
            indices: chosen,
            classes,
            dtype,
        })
    }

    /// Which images they are, and their classes.
    pub(super) fn chosen(&self) -> serde_json::Value {
        serde_json::json!({ "labelled_images": self.indices, "labels": self.labels })
    }

    /// A rank's part of those of a step, their pixels drawn for it alone: as many as fit into a
    /// batch.
    ///
    /// # Errors
    /// If the device has no memory, or there are fewer of them than ranks.
    pub(super) fn batch(
        &self,
        images: &DeviceImages,
        step: u64,
        ranks: &Ranks,
    ) -> Result<LabelledBatch> {
        let doing = "gathering labelled images";
        let share = self.share_of(ranks)?;
        let rows = &self.rows(step)[share.first..share.first + share.rows];
        let device = images.device();
        let of = |all: &[u32]| rows.iter().map(|&row| all[row as usize]).collect::<Vec<_>>();
        let (indices, labels) = (of(&self.indices), of(&self.labels));
        let indices = Tensor::from_u32(device, &indices, [rows.len()]).context(doing)?;
        Ok(LabelledBatch {
            x: images.batch(&indices, FIRST_DRAW + step).context(doing)?,
            class: one_hot(&labels, self.classes, device, self.dtype)?,
            share: self.share,
            rows: share,
        })
    }

    /// A rank's part of the labelled images of a step.
    ///
    /// # Errors
    /// If there are fewer of them than ranks.
    pub(super) fn share_of(&self, ranks: &Ranks) -> Result<BatchShare> {
        BatchShare::of_batch(ranks, self.batch).context("sharing the labelled images of a batch")
    }

    /// Which of the labelled images a step sees.
    ///
    /// The steps cut an endless row of permutations of all of them, a fresh one for each pass, and
    /// a batch may lie across the end of a pass: after any number of steps each image was seen as
    /// often as any other, or once more. A function of seed and step alone, so that a resumed run
    /// goes on with the same ones.
    fn rows(&self, step: u64) -> Vec<u32> {
        let all = self.indices.len() as u128;
        let first = u128::from(step) * self.batch as u128;
        let pass = (first / all) as u64;
        let order = |pass| {
            shuffled_at(&Address::new(self.seed, Stream::ShuffleLabelled.first(), pass), all as u32)
        };
        let mut rows = order(pass).split_off((first % all) as usize);
        if rows.len() < self.batch {
            rows.extend(order(pass + 1));
        }
        rows.truncate(self.batch);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(
        labels: Option<&[u32]>,
        wanted: usize,
        classes: usize,
        batch_size: usize,
    ) -> Result<LabelledImages> {
        LabelledImages::choose(labels, (wanted, classes), 1, batch_size, DType::F32)
    }

    #[test]
    fn as_many_of_each_class_are_chosen() {
        let labels: Vec<u32> = (0..40).map(|index| u32::from(index % 8 == 0)).collect();
        let chosen = choose(Some(&labels), 9, 2, 4).unwrap();
        assert_eq!(chosen.labels.iter().filter(|&&label| label == 0).count(), 5);
        for (index, label) in chosen.indices.iter().zip(&chosen.labels) {
            assert_eq!(labels[*index as usize], *label);
        }
    }

    #[test]
    fn images_without_a_label_are_never_chosen() {
        let labels: Vec<u32> =
            (0..30).map(|index| if index % 3 == 0 { index % 2 } else { Labels::UNKNOWN }).collect();
        let chosen = choose(Some(&labels), 10, 2, 4).unwrap();
        assert!(chosen.indices.iter().all(|index| index % 3 == 0));
        assert_eq!(chosen.labels.iter().filter(|&&label| label == 0).count(), 5);
        assert!(choose(Some(&labels), 12, 2, 4).is_err(), "ten have a label");
    }

    #[test]
    fn classes_counted_from_one_leave_class_0_out() {
        let labels: Vec<u32> = (0..12).map(|index| 1 + index % 3).collect();
        let chosen = choose(Some(&labels), 7, 4, 4).unwrap();
        let of = |class| chosen.labels.iter().filter(|&&label| label == class).count();
        assert_eq!([0, 1, 2, 3].map(of), [0, 3, 2, 2]);
    }

    #[test]
    fn classes_that_do_not_fit_are_refused() {
        let labels = [0, 1, 2, 0, 1, 2];
        let refused = |labels: Option<&[u32]>, wanted: usize, classes: usize| {
            choose(labels, wanted, classes, 4).unwrap_err().cause().to_string()
        };
        assert!(refused(None, 2, 2).contains("the images of the data set have none"));
        assert!(
            refused(Some(&labels), 2, 2)
                .contains("an image is of class 2, and objective.classes is 2")
        );
        assert!(refused(Some(&labels), 9, 3).contains("too few images"));
    }

    /// How often each of 100 labelled images is seen in `steps` steps.
    fn seen(batch: usize, steps: u64) -> Vec<u32> {
        let labels: Vec<u32> = (0..100).map(|index| index % 10).collect();
        let chosen = choose(Some(&labels), 100, 10, batch).unwrap();
        let mut seen = vec![0; 100];
        for row in (0..steps).flat_map(|step| chosen.rows(step)) {
            seen[row as usize] += 1;
        }
        seen
    }

    #[test]
    fn every_label_is_used_equally_often_at_any_batch_size() {
        for batch in [1, 7, 48, 64, 99, 100, 256] {
            for steps in [1, 2, 3, 24, 25, 101] {
                let seen = seen(batch, steps);
                let (least, most) = (seen.iter().min().unwrap(), seen.iter().max().unwrap());
                assert!(most - least <= 1, "batch {batch}, {steps} steps: {seen:?}");
                let uses = batch.min(100) as u64 * steps;
                assert_eq!(
                    seen.iter().map(|&uses| u64::from(uses)).sum::<u64>(),
                    uses,
                    "batch {batch}"
                );
            }
        }
    }

    #[test]
    fn each_pass_has_an_order_of_its_own() {
        let labels: Vec<u32> = (0..8).collect();
        let chosen = choose(Some(&labels), 8, 8, 4).unwrap();
        let pass = |first: u64| [chosen.rows(first), chosen.rows(first + 1)].concat();
        assert_ne!(pass(0), pass(2));
        assert_eq!(pass(6), pass(6));
    }

    #[test]
    fn exchanging_any_two_labels_changes_what_the_training_sees() {
        let seen = |labels: &[u32]| -> Vec<(u32, u32)> {
            let chosen = choose(Some(labels), 10, 2, 6).unwrap();
            let rows = (0..2).flat_map(|step| chosen.rows(step));
            rows.map(|row| (chosen.indices[row as usize], chosen.labels[row as usize])).collect()
        };
        let labels: Vec<u32> = (0..10).map(|index| index % 2).collect();
        for (one, other) in
            (0..10).flat_map(|one| (one + 1..10).step_by(2).map(move |other| (one, other)))
        {
            let mut exchanged = labels.clone();
            exchanged.swap(one, other);
            assert_ne!(seen(&labels), seen(&exchanged), "{one} and {other}");
        }
    }
}
