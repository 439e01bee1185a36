//! Labels as rows of numbers, which losses and batches are made of.

use rung_autograd::{DType, Device, Tensor};
use rung_datasets::Labels;

use crate::error::{Context, Error, Result};

/// The rows of these labels: [labels, classes], 1 at the class and 0 elsewhere.
pub(super) fn one_hot(
    labels: &[u32],
    classes: usize,
    device: &Device,
    dtype: DType,
) -> Result<Tensor> {
    let mut ones = vec![0.0; labels.len() * classes];
    for (row, &label) in ones.chunks_exact_mut(classes).zip(labels) {
        if label == Labels::UNKNOWN {
            return Err(Error::new(
                "an image has no label, and a classifier learns from those of all images",
            )
            .with_advice("learn from the others too: --preset mnist-sdgm-100 shows how"));
        }
        let place = row.get_mut(label as usize).ok_or_else(|| {
            Error::new(format!("an image is of class {label}, and the model has {classes} classes"))
        })?;
        *place = 1.0;
    }
    let rows = Tensor::from_f64(device, &ones, [labels.len(), classes])
        .and_then(|rows| rows.to_dtype(dtype));
    rows.context("copying the labels to the device")
}
