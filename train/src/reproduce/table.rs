//! The paper's numbers beside ours, in Markdown and JSON.

use serde_json::{Value, json};

use super::experiments::{Entry, Experiment, Paper, Quantity};
use super::measured::Measured;
use super::plan::{Planned, Wishes};
use crate::error::Result;
use crate::progress::duration;
use crate::report::History;
use crate::report::axis::label;
use crate::report::page::estimate;
use crate::report::paired::{ImageBounds, Paired};
use crate::run::folder::RunFolder;

/// A line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// The run.
    pub planned: Planned,
    /// Its evaluation; none while it isn't finished.
    pub evaluation: Option<Measured>,
    /// Epochs done.
    pub epochs: u64,
    /// Whether no more will be, though the configuration has more.
    pub has_stopped_early: bool,
    /// The epoch that is measured, where that is the best one.
    pub best_epoch: Option<u64>,
    /// The time of its training steps, in seconds.
    pub training_s: f64,
    /// The bound of each image, where its evaluation kept them.
    pub image_bounds: Option<ImageBounds>,
}

/// A model's mean over several draws.
struct Mean {
    entry: &'static Entry,
    draws: usize,
    /// In the unit of the table.
    value: f64,
    /// Standard deviation of the draws over the root of their number.
    standard_error: f64,
    paper: Option<f64>,
}

/// The table of an experiment as far as it is done.
#[derive(Debug, Clone)]
pub struct Table {
    experiment: &'static Experiment,
    wishes: Wishes,
    rows: Vec<Row>,
}

impl Row {
    /// What a run has brought so far.
    ///
    /// # Errors
    /// If what it has recorded can't be read.
    pub fn of(planned: &Planned, wishes: &Wishes) -> Result<Self> {
        let history = planned.history()?;
        let finished = history.as_ref().filter(|history| history.is_finished());
        let evaluation =
            finished.and_then(|history| Measured::of(planned.quantity, history, wishes));
        let kept = evaluation.as_ref().and_then(|measured| measured.kept.as_ref());
        let read = |kept| ImageBounds::read(&RunFolder::open(&planned.folder)?, kept);
        Ok(Self {
            planned: planned.clone(),
            image_bounds: kept.map(read).transpose()?,
            evaluation,
            epochs: history.as_ref().map_or(0, History::epochs_done),
            has_stopped_early: history.as_ref().is_some_and(History::has_stopped_early),
            best_epoch: finished
                .filter(|history| history.config.train.is_for_the_best())
                .and_then(|history| Some(history.best_epoch()?.epoch)),
            training_s: history.as_ref().map_or(0.0, |history| history.training_s()),
        })
    }

    /// How far a run without a result is, in a few words.
    fn state(&self) -> String {
        match (self.epochs, self.planned.config.train.epochs) {
            (0, _) => "not begun".into(),
            (done, all) if done < all && !self.has_stopped_early => {
                format!("in training, epoch {done}")
            }
            _ => "to be evaluated".into(),
        }
    }

    /// How many epochs are done, and which of them is measured where that is not the last.
    fn epochs_text(&self) -> String {
        let best = self.best_epoch.map_or_else(String::new, |best| format!(", best {best}"));
        format!("{} of {}{best}", self.epochs, self.planned.config.train.epochs)
    }

    /// Ours less the paper's, in nats or %.
    fn difference(&self) -> Option<f64> {
        let ours = self.planned.quantity.drawn(self.evaluation.as_ref()?.value);
        match self.planned.entry.paper {
            Paper::Nats(paper) | Paper::Percent(paper) => Some(ours - paper),
            Paper::Units(_) | Paper::Plotted | Paper::NotRead => None,
        }
    }
}

impl Table {
    /// The table of these rows.
    pub fn new(experiment: &'static Experiment, wishes: Wishes, rows: Vec<Row>) -> Self {
        Self { experiment, wishes, rows }
    }

    /// As Markdown, with what differs from the paper said above it.
    pub fn markdown(&self) -> String {
        let ours = match self.experiment.quantity {
            Quantity::Bound => format!("ours (L_{}, nats)", self.wishes.importance_samples),
            Quantity::ActiveUnits => "ours (active units, z_1 first)".into(),
            Quantity::ErrorRate => "ours (test error, %)".into(),
        };
        let beside = match self.experiment.quantity {
            Quantity::Bound | Quantity::ActiveUnits => "L_1, nats",
            Quantity::ErrorRate => "images with an error, %",
        };
        let mut head = vec!["model", self.experiment.varied, "paper", &ours, "difference"];
        head.extend(self.compares_pairs().then_some("less the first, paired"));
        head.extend([beside, "epochs", "training time"]);
        let mut text = format!("# {}\n\n{}\n\n", self.experiment.title, self.conditions());
        text += &format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
        for row in &self.rows {
            text += &format!("| {} |\n", self.cells(row).join(" | "));
        }
        for mean in self.means() {
            let ours = estimate(mean.value, Some(mean.standard_error), self.decimals());
            text += &format!(
                "| {} | mean of {} | {} | {ours} | {} | – | – | – |\n",
                mean.entry.model,
                mean.draws,
                mean.paper.map_or_else(|| "–".into(), |paper| label(paper, self.decimals())),
                mean.paper.map_or_else(|| "–".into(), |paper| self.signed(mean.value - paper)),
            );
        }
        text
    }

    /// The mean of each model over its draws, where all of them are done.
    fn means(&self) -> Vec<Mean> {
        let quantity = self.experiment.quantity;
        let firsts = self.rows.iter().map(|row| row.planned.entry).filter(|entry| entry.draw == 0);
        let mean = |entry: &'static Entry| {
            let is_a_draw = |row: &&Row| {
                let Entry { preset, change, .. } = *row.planned.entry;
                (preset, change) == (entry.preset, entry.change)
            };
            let draws = self.rows.iter().filter(is_a_draw);
            let value = |row: &Row| Some(quantity.drawn(row.evaluation.as_ref()?.value));
            let values: Vec<f64> = draws.map(value).collect::<Option<_>>()?;
            if values.len() < 2 || quantity != Quantity::ErrorRate {
                return None;
            }
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let paper = match entry.paper {
                Paper::Percent(percent) => Some(percent),
                Paper::Nats(_) | Paper::Units(_) | Paper::Plotted | Paper::NotRead => None,
            };
            let standard_error = (squares / (n - 1.0) / n).sqrt();
            Some(Mean { entry, draws: values.len(), value: mean, standard_error, paper })
        };
        firsts.filter_map(mean).collect()
    }

    /// How our numbers were made, and where that is not as in the paper.
    fn conditions(&self) -> String {
        let Wishes { count, importance_samples, seed, epochs, .. } = &self.wishes;
        let images = if *count == 0 {
            "all test images".into()
        } else {
            format!("the first {count} test images")
        };
        let mut text = match self.experiment.quantity {
            Quantity::Bound | Quantity::ActiveUnits => format!(
                "Test bounds are in nats per image, L_{importance_samples} on {images}, seed \
                {seed}."
            ),
            Quantity::ErrorRate => {
                format!("Test error rates are in % with standard errors, on {images}, seed {seed}.")
            }
        };
        let patience = |row: &Row| row.planned.config.train.patience_epochs;
        if let Some(patience) = self.rows.iter().map(patience).find(|&patience| patience > 0) {
            text += &format!(
                " What is measured is the epoch with the best validation score; {patience} epochs \
                after it a training stops early."
            );
        }
        if !self.experiment.departures.is_empty() {
            text += &format!(" {}", self.experiment.departures);
        }
        match epochs {
            None => text += " Epochs and schedule are the paper's.",
            Some(epochs) => {
                text += &format!(
                    " Trained for {epochs} epoch{}, to which warm-up and learning-rate steps are \
                    scaled in proportion;",
                    if *epochs == 1 { "" } else { "s" }
                );
                let mut paper: Vec<u64> =
                    self.rows.iter().map(|row| row.planned.paper_epochs).collect();
                paper.dedup();
                let paper: Vec<String> = paper.iter().map(ToString::to_string).collect();
                text += &format!(" the paper trains for {}.", paper.join(" and "));
            }
        }
        text
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        let missing = || "–".to_string();
        let units =
            |units: &[usize]| units.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let paper = match row.planned.entry.paper {
            Paper::Nats(number) | Paper::Percent(number) => label(number, self.decimals()),
            Paper::Units(counts) => units(&counts),
            Paper::Plotted => "plot only".into(),
            Paper::NotRead => missing(),
        };
        let line = row.evaluation.as_ref();
        let ours = match self.experiment.quantity {
            quantity @ (Quantity::Bound | Quantity::ErrorRate) => line.map(|line| {
                let spread = line.standard_error.map(|error| quantity.drawn(error));
                estimate(quantity.drawn(line.value), spread, self.decimals())
            }),
            Quantity::ActiveUnits => line.map(|line| units(&line.active_units)),
        };
        let difference = match (self.experiment.quantity, row.planned.entry.paper, line) {
            (Quantity::ActiveUnits, Paper::Units(counts), Some(line)) => {
                let (ours, paper): (usize, usize) =
                    (line.active_units.iter().sum(), counts.iter().sum());
                Some(format!("{:+} in all", ours as i64 - paper as i64).replace('-', "−"))
            }
            _ => row.difference().map(|difference| self.signed(difference)),
        };
        let mut cells = vec![
            row.planned.entry.model.into(),
            row.planned.entry.variant.into(),
            paper,
            ours.unwrap_or_else(|| row.state()),
            difference.unwrap_or_else(missing),
        ];
        if self.compares_pairs() {
            let paired = self.less_the_first(row).map(|Paired { nats, standard_error_nats }| {
                let error = label(standard_error_nats, self.decimals() + 1);
                format!("{} ± {error}", self.signed(nats))
            });
            cells.push(paired.unwrap_or_else(missing));
        }
        cells.extend([
            line.and_then(|line| line.beside).map_or_else(missing, |beside| {
                label(self.experiment.quantity.drawn(beside), self.decimals())
            }),
            row.epochs_text(),
            if row.epochs == 0 { missing() } else { duration(row.training_s) },
        ]);
        cells
    }

    /// Whether models are compared image by image: where bounds are.
    fn compares_pairs(&self) -> bool {
        self.experiment.quantity == Quantity::Bound
    }

    /// The difference to the first row of the same data set that has a result, over the same images
    /// and noise; none for that row itself.
    fn less_the_first(&self, row: &Row) -> Option<Paired> {
        let data_set = |row: &Row| row.planned.config.data.name.clone();
        let is_comparable =
            |first: &&Row| first.evaluation.is_some() && data_set(first) == data_set(row);
        let first = self.rows.iter().find(is_comparable)?;
        let is_itself = first.planned.folder == row.planned.folder;
        let (ours, firsts) = (row.image_bounds.as_ref()?, first.image_bounds.as_ref()?);
        if is_itself { None } else { ours.less(firsts) }
    }

    /// A difference with its sign.
    fn signed(&self, difference: f64) -> String {
        let sign = if difference > 0.0 { "+" } else { "" };
        format!("{sign}{}", label(difference, self.decimals()))
    }

    /// Decimals of the paper's numbers: densities of NORB have one, the others two.
    fn decimals(&self) -> usize {
        if self.experiment.dataset == "norb" { 1 } else { 2 }
    }

    /// As one object, with units in the keys.
    pub fn json(&self) -> Value {
        let row = |row: &Row| {
            let (entry, line) = (row.planned.entry, row.evaluation.as_ref());
            let (number, units) = match entry.paper {
                Paper::Nats(number) | Paper::Percent(number) => (Some(number), None),
                Paper::Units(units) => (None, Some(units)),
                Paper::Plotted | Paper::NotRead => (None, None),
            };
            let value = line.map(|line| line.value);
            let standard_error = line.and_then(|line| line.standard_error);
            let beside = line.and_then(|line| line.beside);
            let mut object = match row.planned.quantity {
                Quantity::Bound | Quantity::ActiveUnits => json!({
                    "paper_bound_nats": number, "paper_active_units": units,
                    "bound_k_nats": value, "standard_error_nats": standard_error,
                    "difference_nats": row.difference(), "bound_1_nats": beside,
                    "less_the_first_nats": self.less_the_first(row).map(|paired| paired.nats),
                    "less_the_first_standard_error_nats":
                        self.less_the_first(row).map(|paired| paired.standard_error_nats),
                    "active_units": line.map(|line| &line.active_units),
                }),
                Quantity::ErrorRate => json!({
                    "paper_error_rate": number.map(|percent| percent / 100.0), "error_rate": value,
                    "error_rate_standard_error": standard_error,
                    "difference": row.difference().map(|percent| percent / 100.0),
                    "sequence_error_rate": beside,
                }),
            };
            let common = json!({
                "preset": entry.preset, "model": entry.model, "variant": entry.variant,
                "run": row.planned.folder.display().to_string(),
                "paper_epochs": row.planned.paper_epochs,
                "images": line.map(|line| line.images),
                "state": if line.is_some() { "done".into() } else { row.state() },
                "best_epoch": row.best_epoch,
                "epochs_done": row.epochs, "epochs": row.planned.config.train.epochs,
                "warmup_epochs": row.planned.config.family.warmup_epochs(),
                "training_s": row.training_s,
            });
            if let (Value::Object(object), Value::Object(common)) = (&mut object, common) {
                object.extend(common);
            }
            object
        };
        let mean = |mean: &Mean| {
            json!({
                "preset": mean.entry.preset, "model": mean.entry.model, "draws": mean.draws,
                "error_rate": mean.value / 100.0,
                "error_rate_standard_error": mean.standard_error / 100.0,
                "paper_error_rate": mean.paper.map(|percent| percent / 100.0),
                "difference": mean.paper.map(|percent| (mean.value - percent) / 100.0),
            })
        };
        json!({
            "experiment": self.experiment.name, "title": self.experiment.title,
            "importance_samples": self.wishes.importance_samples, "test_images": self.wishes.count,
            "seed": self.wishes.seed,
            "conditions": self.conditions(), "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "means": self.means().iter().map(mean).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::Plan;
    use crate::reproduce::experiments::{Entry, find};

    fn bounds() -> Measured {
        Measured {
            value: -82.5,
            standard_error: Some(0.1),
            beside: Some(-88.5),
            active_units: vec![40, 20, 9, 3, 2],
            images: 10_000,
            kept: None,
        }
    }

    fn table(name: &str) -> Table {
        table_of(find(name).unwrap(), bounds())
    }

    fn table_of(experiment: &'static Experiment, measured: Measured) -> Table {
        let wishes = Wishes {
            epochs: Some(100),
            out: "nowhere".into(),
            importance_samples: 5000,
            count: 0,
            seed: 1,
        };
        let plan = Plan::new(experiment, &wishes).unwrap();
        let mut rows: Vec<Row> =
            plan.runs.iter().map(|planned| Row::of(planned, &wishes).unwrap()).collect();
        let last = rows.last_mut().unwrap();
        (last.evaluation, last.epochs, last.training_s) = (Some(measured), 100, 700.0);
        Table::new(experiment, wishes, rows)
    }

    #[test]
    fn the_papers_number_ours_and_the_difference_stand_in_a_row() {
        let text = table("mnist-figure3").markdown();
        let row = "| probabilistic ladder + BN + WU | 64-32-16-8-4 | −81.87 | −82.50 ± 0.10 | \
        −0.63 | – | −88.50 | 100 of 100 | 11m 40s |";
        assert!(text.contains(row), "{text}");
        let new = "| VAE | 64 | plot only | not begun | – | – | – | 0 of 100 | – |";
        assert!(text.contains(new), "{text}");
        assert!(
            text.contains("Trained for 100 epochs") && text.contains("the paper trains for 2000."),
            "{text}"
        );
    }

    #[test]
    fn bounds_of_the_same_images_are_compared_with_the_first_row_that_has_a_result() {
        let mut table = table("mnist-figure3");
        let last = table.rows.len() - 1;
        for (index, nats) in
            [(2, [-81.0, -91.5, -85.0, -102.0]), (last, [-80.0, -91.0, -84.5, -100.0])]
        {
            let row = &mut table.rows[index];
            row.evaluation = Some(bounds());
            row.image_bounds = Some(ImageBounds { seeds: (1, Some(1)), nats: nats.to_vec() });
        }
        let text = table.markdown();
        assert!(text.contains("| −0.63 | +1.00 ± 0.354 | −88.50 |"), "{text}");
        assert_eq!(text.matches("± 0.354").count(), 1, "the first with nothing: {text}");
        assert_eq!(table.json()["rows"][last]["less_the_first_nats"], 1.0);
        assert_eq!(table.json()["rows"][2]["less_the_first_nats"], Value::Null);
    }

    #[test]
    fn error_rates_are_compared_in_percent() {
        static CLASSIFIER: Experiment = Experiment {
            name: "test",
            title: "Test",
            dataset: "glyphs",
            quantity: Quantity::ErrorRate,
            varied: "hidden units",
            departures: "",
            entries: &[Entry {
                preset: "glyphs-classifier",
                change: Some(("model.hidden_sizes", "[32]")),
                draw: 0,
                model: "classifier",
                variant: "32",
                paper: Paper::Percent(1.5),
                starts_from: None,
            }],
        };
        let measured =
            Measured { value: 0.02, standard_error: Some(0.001), beside: Some(0.0575), ..bounds() };
        let table = table_of(&CLASSIFIER, measured);
        let text = table.markdown();
        let head = "| model | hidden units | paper | ours (test error, %) | difference | images \
        with an error, % |";
        assert!(text.contains(head), "{text}");
        let row = "| classifier | 32 | 1.50 | 2.00 ± 0.10 | +0.50 | 5.75 | 100 of 100 | 11m 40s |";
        assert!(text.contains(row), "{text}");
        let json = &table.json()["rows"][0];
        assert_eq!(
            (json["error_rate"].as_f64(), json["paper_error_rate"].as_f64()),
            (Some(0.02), Some(0.015))
        );
        let run = json["run"].as_str().unwrap();
        assert!(run.ends_with("glyphs-classifier-hidden-sizes-[32]-100-epochs"), "{run}");
    }

    #[test]
    fn draws_of_labels_have_their_mean_once_all_are_done() {
        let mut table = table("adgm-mnist");
        let is_seed = |(row, seed): (&Row, u64)| row.planned.config.train.seed == seed;
        assert!(table.rows[..3].iter().zip(1..).all(is_seed), "a seed for each draw");
        assert_eq!(table.json()["means"].as_array().unwrap().len(), 0);
        for (row, value) in table.rows.iter_mut().zip([0.01, 0.02, 0.03]) {
            row.evaluation = Some(Measured { value, ..bounds() });
        }
        // √(1/3) of a per cent.
        let text = table.markdown();
        assert!(text.contains("| ADGM | mean of 3 | 0.96 | 2.00 ± 0.58 | +1.04 |"), "{text}");
        let means = table.json()["means"].clone();
        assert_eq!(means.as_array().unwrap().len(), 1);
        assert!((means[0]["error_rate"].as_f64().unwrap() - 0.02).abs() < 1e-12);
    }

    #[test]
    fn a_run_without_a_result_says_how_far_it_is() {
        let mut table = table("mnist-table2");
        let row = table.rows.last_mut().unwrap();
        (row.evaluation, row.epochs, row.training_s) = (None, 37, 90.0);
        let text = table.markdown();
        assert!(text.contains("| in training, epoch 37 | – | – | 37 of 100 | 1m 30s |"), "{text}");
        table.rows.last_mut().unwrap().epochs = 100;
        let text = table.markdown();
        assert!(text.contains("| to be evaluated | – | – | 100 of 100 | 1m 30s |"), "{text}");
        assert_eq!(table.json()["rows"][3]["state"], "to be evaluated");
        assert_eq!(table.json()["rows"][0]["state"], "not begun");
    }

    #[test]
    fn active_units_are_compared_in_all() {
        let text = table("mnist-table2").markdown();
        assert!(text.contains("| 46 22 8 3 2 | 40 20 9 3 2 | −7 in all |"), "{text}");
        let json = table("mnist-table2").json();
        assert_eq!(json["rows"][3]["paper_active_units"][0], 46);
        assert_eq!(json["rows"][0]["bound_k_nats"], Value::Null);
    }
}
