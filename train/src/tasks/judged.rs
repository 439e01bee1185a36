//! How images were classified: error rate, confusions and mistakes, in numbers, words and figures.

use std::cmp::Reverse;

use rung_datasets::Labels;
use serde_json::json;

use crate::data::DeviceImages;
use crate::data::image_grid::Images;
use crate::error::{Context, Error, Result};
use crate::report::Figure;
use crate::report::base64::png_address;
use crate::report::svg::escape;
use crate::run::metrics::Record;
use crate::tasks::measures::{Measures, Place, Quantity};
use crate::tasks::task::Scores;

/// An image that was taken for one of another class.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mistake {
    image: usize,
    label: u32,
    /// The likeliest class.
    found: usize,
    /// −ln p(label|x): the larger, the surer the model was of something else.
    pub(super) nats: f64,
}

/// How the images of a set were classified.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    classes: usize,
    images: usize,
    wrong: usize,
    /// Σ −ln p(label|x) over the images.
    cross_entropy_nats: f64,
    /// How many images of each class (row) were taken for each (column).
    confusion: Vec<usize>,
    /// Those that the model was surest of, the worst first.
    pub(super) mistakes: Vec<Mistake>,
}

/// Mistakes that are kept, the worst first.
const MISTAKES: usize = 60;

/// Why images can't be judged.
pub(super) fn not_a_probability() -> Error {
    Error::new("a class probability is not a number: training has ruined this model's parameters")
        .with_advice("look at an older checkpoint, with --checkpoint best or previous")
}

impl Judged {
    pub(super) fn new(classes: usize) -> Self {
        let confusion = vec![0; classes * classes];
        Self {
            classes,
            images: 0,
            wrong: 0,
            cross_entropy_nats: 0.0,
            confusion,
            mistakes: Vec::new(),
        }
    }

    /// How the first images of a set were classified, by ln p(y|x) of every class, a row for each
    /// image.
    ///
    /// # Errors
    /// If a probability is no number.
    pub(super) fn of_images(classes: usize, labels: &[u32], log_probs: &[f64]) -> Result<Self> {
        let mut judged = Self::new(classes);
        for (image, row) in log_probs.chunks_exact(classes).enumerate() {
            judged.add(image, labels[image], row);
        }
        if !judged.cross_entropy_nats.is_finite() {
            return Err(not_a_probability());
        }
        judged.mistakes.sort_by(|one, other| other.nats.total_cmp(&one.nats));
        judged.mistakes.truncate(MISTAKES);
        Ok(judged)
    }

    /// Adds an image of this label, by ln p(y|x) of every class; one of unknown label is left out.
    pub(super) fn add(&mut self, image: usize, label: u32, log_probs: &[f64]) {
        if label == Labels::UNKNOWN {
            return;
        }
        let found =
            (0..self.classes).max_by(|&a, &b| log_probs[a].total_cmp(&log_probs[b])).unwrap_or(0);
        self.images += 1;
        let Some(log_prob) = log_probs.get(label as usize) else {
            // A class that the model has not can't be found.
            self.wrong += 1;
            return;
        };
        self.cross_entropy_nats -= log_prob;
        self.confusion[label as usize * self.classes + found] += 1;
        if found != label as usize {
            self.wrong += 1;
            self.mistakes.push(Mistake { image, label, found, nats: -log_prob });
        }
    }

    /// Share of the images whose likeliest class is not theirs.
    pub(super) fn error_rate(&self) -> f64 {
        self.wrong as f64 / self.images.max(1) as f64
    }

    /// √(e (1 − e) / n); one image has none.
    pub(super) fn standard_error(&self) -> Option<f64> {
        let error = self.error_rate();
        (self.images > 1).then(|| (error * (1.0 - error) / self.images as f64).sqrt())
    }

    pub(super) fn cross_entropy(&self) -> f64 {
        self.cross_entropy_nats / self.images.max(1) as f64
    }

    pub(super) fn error_text(&self) -> String {
        let spread = self
            .standard_error()
            .map_or_else(String::new, |error| format!(" ± {:.2}", 100.0 * error));
        format!("{:.2}{spread} %", 100.0 * self.error_rate())
    }

    /// What a record says of it.
    pub(super) fn fields(&self) -> Record {
        let confusion: Vec<&[usize]> = self.confusion.chunks_exact(self.classes).collect();
        let record = json!({
            "error_rate": self.error_rate(),
            "error_rate_standard_error": self.standard_error(),
            "cross_entropy_nats": self.cross_entropy(),
            "confusion": confusion,
        });
        record.as_object().cloned().unwrap_or_default()
    }

    /// The classes that are taken for others most often: `4 for 9: 12`.
    pub(super) fn most_confused(&self) -> Option<String> {
        let mut confused: Vec<(usize, usize, usize)> = (0..self.classes * self.classes)
            .map(|place| (self.confusion[place], place / self.classes, place % self.classes))
            .filter(|(count, label, found)| *count > 0 && label != found)
            .collect();
        confused.sort_by_key(|&(count, label, found)| (Reverse(count), label, found));
        let list: Vec<String> = confused
            .iter()
            .take(5)
            .map(|(count, label, found)| format!("{label} for {found}: {count}"))
            .collect();
        (!list.is_empty()).then(|| format!("most often taken {}\n", list.join(", ")))
    }

    /// A table of which classes are taken for which, the commonest confusions darkest.
    pub(super) fn confusion_figure(&self) -> Figure {
        let row_of = |label: usize| &self.confusion[label * self.classes..][..self.classes];
        let most = (0..self.classes).flat_map(|label| {
            row_of(label)
                .iter()
                .enumerate()
                .filter(move |(found, _)| *found != label)
                .map(|(_, count)| *count)
        });
        let most = most.max().unwrap_or(0).max(1) as f64;
        let cell = |label: usize, found: usize, count: usize| {
            let share = if label == found { 0.0 } else { count as f64 / most };
            let text = if count == 0 { String::new() } else { count.to_string() };
            let class = if label == found { "number diagonal" } else { "number" };
            format!(
                "<td class=\"{class}\" style=\"background:color-mix(in srgb, var(--c6) {:.0}%, \
                transparent)\">{text}</td>",
                60.0 * share
            )
        };
        let rows: String = (0..self.classes)
            .map(|label| {
                let cells: String = row_of(label)
                    .iter()
                    .enumerate()
                    .map(|(found, &count)| cell(label, found, count))
                    .collect();
                format!("<tr><th>{label}</th>{cells}</tr>")
            })
            .collect();
        let heads: String = (0..self.classes).map(|found| format!("<th>{found}</th>")).collect();
        Figure {
            title: "Confusion matrix".into(),
            body: format!(
                "<div \
                class=\"table\"><table><thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
            ),
            caption: format!(
                "Held-out images: {}. Rows: the class of an image; columns: the likeliest class. \
                {} of {} images are off the diagonal.",
                self.images, self.wrong, self.images
            ),
            class: "wide",
            ..Figure::default()
        }
    }

    /// The images that the model was surest of and wrong about.
    pub(super) fn mistakes_figure(&self, images: &DeviceImages) -> Result<Option<Figure>> {
        let mut tiles = String::new();
        for mistake in &self.mistakes[..self.mistakes.len().min(24)] {
            let Some(picture) = mistaken_images(images, std::slice::from_ref(mistake))? else {
                continue;
            };
            let address = png_address(&picture.grid_to_fit(1, 2)?.png()?);
            let text = format!("{} taken for {}", mistake.label, mistake.found);
            tiles += &format!(
                "<div class=\"panel\"><img class=\"pixels\" alt=\"{}\" \
                src=\"{address}\"><h4>{}</h4></div>",
                escape(&text),
                escape(&text)
            );
        }
        Ok((!tiles.is_empty()).then(|| Figure {
            title: "Worst mistakes".into(),
            body: format!("<div class=\"panels small\">{tiles}</div>"),
            caption:
                "Held-out images whose own class the model thought least likely, the worst first."
                    .into(),
            class: "wide",
            ..Figure::default()
        }))
    }
}

/// The images of some mistakes; none where there are no mistakes.
pub(super) fn mistaken_images(
    images: &DeviceImages,
    mistakes: &[Mistake],
) -> Result<Option<Images>> {
    if mistakes.is_empty() {
        return Ok(None);
    }
    let mut pixels = Vec::new();
    for mistake in mistakes {
        let image = images.intensities(mistake.image, 1).and_then(|image| image.to_f32());
        pixels.extend(
            image.context("reading images")?.into_iter().map(|pixel| pixel.clamp(0.0, 1.0)),
        );
    }
    let shape = images.shape();
    Images::new([mistakes.len(), shape.channels, shape.height, shape.width], pixels).map(Some)
}

impl Scores for Judged {
    fn value(&self) -> f64 {
        self.error_rate()
    }

    fn images(&self) -> usize {
        self.images
    }

    fn headline(&self) -> Vec<(String, f64)> {
        vec![("error_rate".into(), self.error_rate())]
    }

    fn measures(&self) -> Measures {
        Measures::default()
            .with("images", Place::Line, Quantity::Count(self.images))
            .with("error_rate", Place::FullEvents, Quantity::Number(self.error_rate()))
            .with_some(
                "error_rate_standard_error",
                Place::FullLine,
                self.standard_error().map(Quantity::Number),
            )
            .with("cross_entropy_nats", Place::FullEvents, Quantity::Number(self.cross_entropy()))
    }

    fn brief(&self) -> String {
        format!(
            "error {:.2} %, cross-entropy {:.3}",
            100.0 * self.error_rate(),
            self.cross_entropy()
        )
    }

    fn record(&self, elapsed_s: f64) -> Record {
        let mut record = self.fields();
        let rate = self.images as f64 / elapsed_s.max(1e-9);
        record.insert("images_per_s".into(), json!(rate));
        record
    }

    fn text(&self, elapsed_s: f64) -> [String; 2] {
        let scores = format!(
            "error rate     {} of the images\ncross-entropy  {:.4} nats per image\n",
            self.error_text(),
            self.cross_entropy()
        );
        let confused = self.most_confused().unwrap_or_default();
        let rate = self.images as f64 / elapsed_s.max(1e-9);
        [scores, format!("{confused}{elapsed_s:.1} s, {rate:.0} images per second")]
    }

    fn conclusion(&self, split: &str) -> Vec<String> {
        vec![
            format!("{split} error rate: {}, {} images", self.error_text(), self.images),
            format!("{split} cross-entropy: {:.4} nats per image", self.cross_entropy()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_counted_where_they_are_made() {
        let mut judged = Judged::new(2);
        let row = |p: f64| [p.ln(), (1.0 - p).ln()];
        for (image, (label, p)) in [(0, 0.9), (0, 0.2), (1, 0.3), (1, 0.6)].into_iter().enumerate()
        {
            judged.add(image, label, &row(p));
        }
        assert_eq!(
            (judged.images, judged.wrong, judged.confusion.clone()),
            (4, 2, vec![1, 1, 1, 1])
        );
        assert_eq!(judged.mistakes.iter().map(|mistake| mistake.image).collect::<Vec<_>>(), [1, 3]);
        let expected = -(0.9f64.ln() + 0.2f64.ln() + 0.7f64.ln() + 0.4f64.ln()) / 4.0;
        assert!((judged.cross_entropy() - expected).abs() < 1e-12);
        assert!((judged.standard_error().unwrap() - 0.25).abs() < 1e-12);
        assert_eq!(judged.error_text(), "50.00 ± 25.00 %");
        judged.add(4, 7, &row(0.5));
        assert_eq!(judged.wrong, 3, "a class that the model has not is never found");
    }
}
