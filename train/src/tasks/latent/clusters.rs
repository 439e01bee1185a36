//! The components of a mixture prior as classes that nobody labelled: which images they take, and
//! what they look like.

use rung_autograd::rng::{Address, Phase, Stream};
use rung_datasets::Labels;
use rung_models::{Clusters, LatentModel, LatentSource, Statistics};
use serde_json::{Value, json};

use super::pictures;
use crate::data::DeviceImages;
use crate::data::image_grid::Images;
use crate::engine::chunks::in_chunks;
use crate::error::{Context, Error, Result};
use crate::model::Model;

/// Images that pass through the model at once.
const BATCH: usize = 1000;

/// The components of a model's prior.
///
/// # Errors
/// If its prior is no mixture.
pub fn of(network: &dyn LatentModel) -> Result<&dyn Clusters> {
    network.clusters().ok_or_else(|| {
        Error::new("the prior of the top layer is no mixture: it has no components").with_advice(
            "train one with model.top_components, such as the preset mnist-matnet-mixture",
        )
    })
}

/// The component of each of the first `count` images: argmax_k r(k|z), z being the mean of q of the
/// top layer. `progress` hears how many are done. `None` if `stop` said so.
///
/// # Errors
/// If the prior is no mixture, or the device fails.
pub fn components(
    model: &Model,
    statistics: &Statistics,
    images: &DeviceImages,
    (count, seed): (usize, u64),
    stop: impl Fn() -> bool,
    mut progress: impl FnMut(usize),
) -> Result<Option<Vec<usize>>> {
    let doing = "finding the components of images";
    let (network, mut found) = (model.latent()?, Vec::with_capacity(count));
    let clusters = of(network)?;
    let all_done = in_chunks(count, BATCH, stop, |part| {
        let x = images.range(part.start, part.len(), 0).context(doing)?;
        let mut pass =
            model.image_pass(statistics, (seed, Phase::Encoding), &part, 0).context(doing)?;
        let sampled = network.infer(&mut pass, &x, 1).context(doing)?;
        let Some(top) = sampled.latents.last() else { return Ok(()) };
        let log_r = clusters.log_responsibilities(&pass, &top.q.mean).context(doing)?;
        for row in log_r.to_f64().context(doing)?.chunks_exact(clusters.count()) {
            found.push((0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0));
        }
        progress(part.end);
        Ok(())
    })?;
    Ok(all_done.then_some(found))
}

/// What the components are to the classes of labelled images.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// Training images of each component, by class.
    counts: Vec<Vec<usize>>,
    /// Test images whose component's class is theirs.
    right: usize,
    /// Test images.
    test: usize,
}

impl Assignment {
    /// Names each component by the commonest class among its training images, and judges that by
    /// the test images: the unsupervised accuracy. A component without training images is of no
    /// class. Both parts are components with the labels of the same images; those without a label
    /// are left out.
    pub fn new(components: usize, train: (&[usize], &[u32]), test: (&[usize], &[u32])) -> Self {
        let known = |(components, labels): (&[usize], &[u32])| -> Vec<(usize, usize)> {
            let pairs = components.iter().zip(labels);
            let known = pairs.filter(|&(_, &label)| label != Labels::UNKNOWN);
            known.map(|(&component, &label)| (component, label as usize)).collect()
        };
        let (train, test) = (known(train), known(test));
        let classes = train.iter().chain(&test).map(|&(_, label)| label + 1).max().unwrap_or(0);
        let mut counts = vec![vec![0; classes]; components];
        for (component, label) in train {
            counts[component][label] += 1;
        }
        let mut assignment = Self { counts, right: 0, test: test.len() };
        let is_right =
            |&&(component, label): &&(usize, usize)| assignment.class(component) == Some(label);
        assignment.right = test.iter().filter(is_right).count();
        assignment
    }

    /// The class of a component.
    fn class(&self, component: usize) -> Option<usize> {
        let counts = &self.counts[component];
        // Of equal counts the first class.
        let best = (0..counts.len()).rev().max_by_key(|&class| counts[class])?;
        (counts[best] > 0).then_some(best)
    }

    /// Share of the test images whose component's class is theirs.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.test.max(1) as f64
    }

    /// A line for each component, then the accuracy.
    pub fn text(&self) -> String {
        let line = |component: usize| {
            let (images, counts): (usize, _) =
                (self.counts[component].iter().sum(), &self.counts[component]);
            match self.class(component) {
                None => format!("{component:>9}   {images:>6}       -\n"),
                Some(class) => {
                    let share = 100.0 * counts[class] as f64 / images as f64;
                    format!("{component:>9}   {images:>6}   {class:>5}   {share:.1} %\n")
                }
            }
        };
        let lines: String = (0..self.counts.len()).map(line).collect();
        format!(
            "component   images   class   share of it\n{lines}unsupervised accuracy: {:.2} % of {} \
            test images",
            100.0 * self.accuracy(),
            self.test
        )
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let classes: Vec<_> =
            (0..self.counts.len()).map(|component| self.class(component)).collect();
        json!({
            "unsupervised_accuracy": self.accuracy(),
            "test_images": self.test,
            "classes": classes,
            "train_images_per_component_and_class": self.counts,
        })
    }
}

/// `each` images of every component, one component after the other: means of p(x|z), or draws where
/// the mean has no closed form.
///
/// # Errors
/// If the prior is no mixture, or the device has no memory.
pub fn samples(model: &Model, statistics: &Statistics, each: usize, seed: u64) -> Result<Images> {
    let doing = "drawing samples of the components";
    let network = model.latent()?;
    let (clusters, layer) = (of(network)?, network.depth());
    let step = Phase::Sample.nth(layer).context(doing)?;
    let mut pass = model.frozen_pass(statistics, seed, step);
    let z = clusters.sample(&pass, each).context(doing)?;
    let source = LatentSource::Given { layer, z };
    let p_x = network.generate(&mut pass, &source).context(doing)?;
    let noise = Address::new(seed, Stream::DrawnPixel.first(), Phase::Sample.first());
    let pixels = p_x.picture(noise, &mut |_, _| ()).context(doing)?;
    pictures::images(&pixels, model.shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_named_by_their_commonest_class_and_judged_on_other_images() {
        let train = [(0, 3), (0, 3), (0, 1), (2, 1), (2, 1)];
        let test = [(0, 3), (0, 1), (1, 1), (2, 1), (2, 3)];
        let split =
            |pairs: &[(usize, u32)]| -> (Vec<usize>, Vec<u32>) { pairs.iter().copied().unzip() };
        let ((train, train_labels), (test, test_labels)) = (split(&train), split(&test));
        let found = Assignment::new(3, (&train, &train_labels), (&test, &test_labels));
        // Images without a label change nothing.
        let more = |of: &[usize], labels: &[u32]| {
            ([of, &[1, 1]].concat(), [labels, &[Labels::UNKNOWN; 2]].concat())
        };
        let ((train, train_labels), (test, test_labels)) =
            (more(&train, &train_labels), more(&test, &test_labels));
        let same = Assignment::new(3, (&train, &train_labels), (&test, &test_labels));
        assert_eq!(same, found);
        assert_eq!([0, 1, 2].map(|k| found.class(k)), [Some(3), None, Some(1)]);
        // The image of the component without a class is wrong, whatever it is.
        assert!((found.accuracy() - 2.0 / 5.0).abs() < 1e-15);
        let text = found.text();
        assert!(text.contains("        0        3       3   66.7 %\n"), "{text}");
        assert!(text.contains("unsupervised accuracy: 40.00 % of 5 test images"), "{text}");
    }
}
