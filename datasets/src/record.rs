//! What a data set is, as a small record that outlives it: everything that a trained model must
//! know of its data.

use serde::{Deserialize, Serialize};

use crate::checksum;
use crate::{Dataset, ImageShape, Images, Split, ValueRange};

/// The facts of a data set, found when it is opened and kept beside a model that is trained on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataRecord {
    /// The name it was opened by.
    pub name: String,
    /// The shape of every image.
    pub shape: ImageShape,
    /// What the values of its pixels are.
    pub values: ValueRange,
    /// See [`Dataset::scale`].
    pub scale: f32,
    /// The classes by name, in the order of the labels; none if there are no labels.
    pub class_names: Vec<String>,
    /// See [`Labels::positions`](crate::Labels::positions); 1 if there are no labels.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub positions: usize,
    /// How many images each part has.
    pub images: SplitSizes,
    /// What the images of each part are.
    pub sha256: SplitChecksums,
}

const fn one() -> usize {
    1
}

/// One label an image is what a record that says nothing stands for.
#[allow(clippy::trivially_copy_pass_by_ref)] // the signature is serde's
const fn is_one(positions: &usize) -> bool {
    *positions == 1
}

/// How many images the parts of a data set have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitSizes {
    /// Training images.
    pub train: usize,
    /// Validation images.
    pub validation: usize,
    /// Test images.
    pub test: usize,
}

/// The SHA-256 of the parts of a data set as [`Images::sha256`] has them, in hexadecimal; empty for
/// a part that it has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitChecksums {
    /// Of the training images.
    pub train: String,
    /// Of the validation images.
    pub validation: String,
    /// Of the test images.
    pub test: String,
}

impl DataRecord {
    /// The record of an opened data set.
    #[must_use]
    pub fn of(dataset: &Dataset) -> Self {
        let sha256 = |split| {
            let images = dataset.split(split).filter(|images| !images.is_empty());
            images.map_or_else(String::new, Images::sha256)
        };
        let labels = dataset.train.labels().or(dataset.test.labels());
        Self {
            name: dataset.name.clone(),
            shape: dataset.test.shape(),
            values: dataset.values,
            scale: dataset.scale,
            class_names: labels.map_or_else(Vec::new, |labels| labels.class_names.clone()),
            positions: labels.map_or(1, |labels| labels.positions),
            images: SplitSizes {
                train: dataset.train.count(),
                validation: dataset.validation.as_ref().map_or(0, Images::count),
                test: dataset.test.count(),
            },
            sha256: SplitChecksums {
                train: sha256(Split::Train),
                validation: sha256(Split::Validation),
                test: sha256(Split::Test),
            },
        }
    }

    /// In words, the first fact in which a data set that should be the same differs; its name may
    /// be another.
    #[must_use]
    pub fn difference(&self, now: &Self) -> Option<String> {
        let sizes = |images: SplitSizes| {
            let SplitSizes { train, validation, test } = images;
            format!("{train} training, {validation} validation and {test} test images")
        };
        let facts = |record: &Self| {
            [
                format!("images of {}", record.shape),
                record.values.to_string(),
                sizes(record.images),
                format!("{} classes ({})", record.class_names.len(), record.class_names.join(", ")),
                format!("{} labels an image", record.positions),
                format!("a scale of {}", record.scale),
            ]
        };
        let differing = facts(self).into_iter().zip(facts(now)).find(|(before, now)| before != now);
        let differing = differing.map(|(before, now)| format!("it had {before}, it has {now}"));
        differing.or_else(|| self.sha256.difference(&now.sha256))
    }
}

impl SplitChecksums {
    fn difference(&self, now: &Self) -> Option<String> {
        let parts = |sums: &Self| [sums.train.clone(), sums.validation.clone(), sums.test.clone()];
        let names = [Split::Train, Split::Validation, Split::Test];
        let differing = names
            .into_iter()
            .zip(parts(self))
            .zip(parts(now))
            .find(|((_, before), now)| before != now);
        let short = |sum: &str| sum.get(..checksum::SHORT_DIGITS).unwrap_or(sum).to_string();
        differing.map(|((split, before), now)| {
            format!(
                "its {split} images or their labels are others (SHA-256 {}…, it was {}…)",
                short(&now),
                short(&before)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Binarisation, Labels, Pixels};

    fn dataset(pixels: Vec<u8>) -> Dataset {
        let labels = Labels::new(vec![1; pixels.len()], vec!["cat".into(), "dog".into()]);
        let images =
            Images::new(ImageShape::new(1, 1, 1), Pixels::U8(pixels), Some(labels)).unwrap();
        Dataset::new("pets", images.clone(), images, Binarisation::None).unwrap()
    }

    #[test]
    fn a_record_holds_the_facts_and_names_what_differs() {
        let record = DataRecord::of(&dataset(vec![0, 7]));
        assert_eq!(
            (record.shape, record.values, record.scale),
            (ImageShape::new(1, 1, 1), ValueRange::Bytes, 8.0)
        );
        assert_eq!(
            (record.images.train, record.images.test, record.class_names[1].as_str()),
            (2, 2, "dog")
        );
        assert_eq!(
            record.difference(&DataRecord { name: "elsewhere".into(), ..record.clone() }),
            None
        );
        let binary = DataRecord::of(&dataset(vec![0, 255]));
        assert_eq!(
            record.difference(&binary).unwrap(),
            "it had bytes 0 to 255, it has black and white"
        );
        let halved = DataRecord::of(&dataset(vec![7]));
        assert!(
            record
                .difference(&halved)
                .unwrap()
                .starts_with("it had 2 training, 0 validation and 2 test images")
        );
    }

    #[test]
    fn other_pixels_or_labels_of_the_same_kind_are_noticed() {
        let record = DataRecord::of(&dataset(vec![0, 7]));
        let pixels = DataRecord::of(&dataset(vec![7, 0]));
        let difference = record.difference(&pixels).unwrap();
        assert!(
            difference.starts_with("its train images or their labels are others (SHA-256 "),
            "{difference}"
        );
        let labels = Labels::new(vec![1, 0], vec!["cat".into(), "dog".into()]);
        let images =
            Images::new(ImageShape::new(1, 1, 1), Pixels::U8(vec![0, 7]), Some(labels)).unwrap();
        let relabelled = Dataset { test: images, ..dataset(vec![0, 7]) };
        let difference = record.difference(&DataRecord::of(&relabelled)).unwrap();
        assert!(difference.starts_with("its test images"), "{difference}");
        assert_eq!(record.difference(&record), None);
    }
}
