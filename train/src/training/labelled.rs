//! The few images whose classes a semi-supervised training knows.

use rung_autograd::{DType, Device, Tensor};
use rung_datasets::batch::shuffled;

use crate::config::Config;
use crate::error::{Context, Error, Result};
use crate::model::DeviceImages;

/// What an error of the choice happened in.
const DOING: &str = "choosing the labelled images";

/// Labelled images: as many of each class, chosen by the run's seed.
#[derive(Debug)]
pub struct LabelledImages {
    /// Their numbers among the training images.
    indices: Tensor,
    /// A row for each: 1 at its class, 0 elsewhere.
    class: Tensor,
    /// How many of them a step sees.
    batch: usize,
    /// Their share of all images, labelled or not.
    share: f64,
}

/// The labelled images of a step.
#[derive(Debug)]
pub struct LabelledBatch {
    /// The images: [labelled, values].
    pub x: Tensor,
    /// Their classes: [labelled, classes].
    pub class: Tensor,
    /// Share of labelled images in the whole training set.
    pub share: f64,
}

impl LabelledImages {
    /// Chooses `train.labels` images by the classes of all training images; `None` if the configuration asks for no labels.
    ///
    /// # Errors
    /// If there are no labels, too few of a class, or a class that the model has not.
    pub fn choose(labels: Option<&[u32]>, config: &Config, device: &Device, dtype: DType) -> Result<Option<Self>> {
        let (wanted, classes) = (config.train.labels, config.staged.classes);
        if wanted == 0 {
            return Ok(None);
        }
        let labels = labels.ok_or_else(|| Error::new(format!("the images of {} have no classes", config.data.name)))?;
        if let Some(label) = labels.iter().find(|&&label| label as usize >= classes) {
            return Err(Error::new(format!("an image is of class {label}, and staged.classes is {classes}"))
                .with_advice("set staged.classes to the number of classes that the data set has"));
        }
        let mut room: Vec<usize> =
            (0..classes).map(|class| wanted / classes + usize::from(class < wanted % classes)).collect();
        let mut chosen = Vec::with_capacity(wanted);
        for index in shuffled(config.train.seed, 0, labels.len() as u32) {
            let left = &mut room[labels[index as usize] as usize];
            if *left > 0 {
                *left -= 1;
                chosen.push(index);
            }
        }
        if chosen.len() < wanted {
            return Err(Error::new(format!(
                "{wanted} labels are wanted, and some of the {classes} classes have too few images"
            ))
            .with_advice("ask for fewer --labels"));
        }
        let mut ones = vec![0.0; wanted * classes];
        chosen.iter().enumerate().for_each(|(row, &index)| ones[row * classes + labels[index as usize] as usize] = 1.0);
        let class = Tensor::from_f64(device, &ones, [wanted, classes]).and_then(|class| class.to_dtype(dtype));
        Ok(Some(Self {
            indices: Tensor::from_u32(device, &chosen, [wanted]).context(DOING)?,
            class: class.context(DOING)?,
            batch: wanted.min(config.train.batch_size),
            share: wanted as f64 / (wanted + labels.len()) as f64,
        }))
    }

    /// Those of a step, as the model sees them in `epoch`: all of them in turn, as many at once as fit into a batch.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn batch(&self, images: &DeviceImages, epoch: u64, step: u64) -> Result<LabelledBatch> {
        let doing = "gathering labelled images";
        let all = self.class.shape().sizes()[0];
        let first = (step % (all / self.batch) as u64) as usize * self.batch;
        let indices = self.indices.slice(0, first, self.batch).context(doing)?;
        let class = self.class.slice(0, first, self.batch).context(doing)?;
        Ok(LabelledBatch { x: images.batch(&indices, epoch).context(doing)?, class, share: self.share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(labels: usize, classes: usize) -> Config {
        let mut config = Config::default();
        (config.train.labels, config.staged.classes, config.train.batch_size) = (labels, classes, 4);
        config
    }

    fn choose(labels: &[u32], config: &Config) -> Result<Option<LabelledImages>> {
        LabelledImages::choose(Some(labels), config, &Device::cpu(), DType::F32)
    }

    #[test]
    fn as_many_of_each_class_are_chosen() {
        let labels: Vec<u32> = (0..40).map(|index| u32::from(index % 8 == 0)).collect();
        let chosen = choose(&labels, &config(9, 2)).unwrap().unwrap();
        let (indices, class) = (chosen.indices.to_f64().unwrap(), chosen.class.to_f64().unwrap());
        assert_eq!(class.chunks(2).filter(|row| row == &[1.0, 0.0]).count(), 5);
        for (index, row) in indices.iter().zip(class.chunks(2)) {
            assert_eq!(row[labels[*index as usize] as usize], 1.0);
        }
        assert!(choose(&labels, &config(0, 2)).unwrap().is_none());
    }

    #[test]
    fn classes_that_do_not_fit_are_refused() {
        let labels = [0, 1, 2, 0, 1, 2];
        let refused = |labels: Option<&[u32]>, config: &Config| {
            LabelledImages::choose(labels, config, &Device::cpu(), DType::F32).unwrap_err().cause().to_string()
        };
        assert!(refused(None, &config(2, 2)).contains("have no classes"));
        assert!(refused(Some(&labels), &config(2, 2)).contains("an image is of class 2, and staged.classes is 2"));
        assert!(refused(Some(&labels), &config(9, 3)).contains("too few images"));
    }
}
