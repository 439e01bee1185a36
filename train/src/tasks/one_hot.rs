//! Labels as rows of numbers, and batches of images with those of theirs.

use rung_autograd::{DType, Device, PixelMap, Tensor};
use rung_datasets::Labels;

use crate::data::DeviceImages;
use crate::error::{Context, Error, Result};
use crate::tasks::task::{At, Batch};

/// The rows of these labels, all of which are known: [labels, classes], 1 at the class and 0
/// elsewhere.
///
/// # Errors
/// If a label is unknown or no class of the model, or the device has no memory.
pub(super) fn one_hot(
    labels: &[u32],
    classes: usize,
    device: &Device,
    dtype: DType,
) -> Result<Tensor> {
    if labels.contains(&Labels::UNKNOWN) {
        return Err(Error::new(
            "an image has no label, and a classifier learns from those of all images",
        )
        .with_advice(
            "learn from images without a label too: --preset mnist-sdgm-100 shows how, for images \
            of one label",
        ));
    }
    one_hot_or_zeros(labels, classes, device, dtype)
}

/// As [`one_hot`], but the row of an unknown label is 0.
///
/// # Errors
/// If a label is no class of the model, or the device has no memory.
pub(super) fn one_hot_or_zeros(
    labels: &[u32],
    classes: usize,
    device: &Device,
    dtype: DType,
) -> Result<Tensor> {
    let mut ones = vec![0.0; labels.len() * classes];
    let rows = ones.chunks_exact_mut(classes).zip(labels);
    for (row, &label) in rows.filter(|(_, label)| **label != Labels::UNKNOWN) {
        let place = row.get_mut(label as usize).ok_or_else(|| {
            Error::new(format!("an image is of class {label}, and the model has {classes} classes"))
        })?;
        *place = 1.0;
    }
    let rows = Tensor::from_f64(device, &ones, [labels.len(), classes])
        .and_then(|rows| rows.to_dtype(dtype));
    rows.context("copying the labels to the device")
}

/// The images of these numbers with their rows of `classes`, one row for each image of the data
/// set.
///
/// # Errors
/// If the device has no memory.
pub(super) fn labelled_batch(
    images: &DeviceImages,
    classes: Option<&Tensor>,
    indices: &Tensor,
    at: At,
) -> Result<Batch> {
    let doing = "gathering a batch";
    let classes = classes
        .ok_or_else(|| Error::new("bug: a batch before the labels are known; please report it"))?;
    let class =
        classes.gather_pixels(PixelMap::Scale(1.0), indices, images.dtype()).context(doing)?;
    let x = images.batch(indices, at.epoch).context(doing)?;
    Ok(Batch { x, class: Some(class), labelled: None })
}

/// The classes of what [`labelled_batch`] made.
///
/// # Errors
/// If it did not: a bug.
pub(super) fn classes_of(batch: &Batch) -> Result<&Tensor> {
    let class = batch.class.as_ref();
    class.ok_or_else(|| Error::new("bug: a batch without classes; please report it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_label_is_refused_where_it_would_be_learned_from() {
        let (labels, cpu) = ([1, Labels::UNKNOWN], Device::cpu());
        let error = one_hot(&labels, 2, &cpu, DType::F64).unwrap_err();
        assert!(error.cause().contains("has no label"), "{error}");
        let rows = one_hot_or_zeros(&labels, 2, &cpu, DType::F64).unwrap();
        assert_eq!(rows.to_f64().unwrap(), [0.0, 1.0, 0.0, 0.0]);
        assert!(one_hot_or_zeros(&[2], 2, &cpu, DType::F64).is_err());
    }
}
