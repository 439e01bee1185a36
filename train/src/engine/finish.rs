//! What a finished run ends with: exact statistics, the test bound, pictures.

use std::time::Instant;

use rung_models::Statistics;
use rung_ranks::Ranks;

use super::batch_norm;
use super::training::Training;
use crate::error::Result;
use crate::model::snapshot::save_exact_statistics;
use crate::report::{self, History, ModelFigures, ShownModel, Subject};
use crate::run::evaluations::{self, EvaluationRecord};
use crate::tasks::{PictureSizes, Request, Scores};

/// The grids that a run ends with.
const SIZES: PictureSizes = PictureSizes { samples: 100, pairs: 50, columns: 10, scale: 2 };

/// How a run ended.
#[derive(Debug)]
pub struct Ending {
    /// The scores of the held-out images.
    pub scores: Box<dyn Scores>,
    /// Whether the report could be written.
    pub has_report: bool,
}

impl Training<'_> {
    /// Collects the exact statistics, stores them in the newest checkpoint, evaluates the held-out
    /// images and writes the pictures and the report.
    ///
    /// # Errors
    /// If the device has no memory or a file cannot be written.
    pub fn finish(&mut self) -> Result<Ending> {
        let mut data = self.snapshot()?;
        self.trainer.use_average()?;
        let exact = batch_norm::collect(
            &self.trainer.model,
            &self.images.train,
            self.config.train.seed,
            0,
        )?;
        if self.files.is_some() {
            save_exact_statistics(&exact, &mut data)?;
            self.save_last(&data)?;
        }
        drop(data);
        let model = &self.trainer.model;
        let images = &self.images.held_out;
        let (rows, seed) = (model.rows_at_once(), self.config.train.seed);
        let class_samples = Request::MANY_CLASS_SAMPLES;
        let request = Request { class_samples, ..Request::once(images.count(), rows, seed) };
        let started = Instant::now();
        let scores = model.evaluate(&exact, images, request)?;
        let subject = evaluations::Subject {
            other_data_set: None,
            data_set: self.config.data.name.clone(),
            checkpoint: self.checkpoints.last(),
            step: self.step,
            chosen_on: None,
            statistics: exact_name(&exact),
        };
        let record = EvaluationRecord::new(scores, subject, request, images, started);
        // What is left is for the rank that writes, alone.
        self.trainer.model.ranks = Ranks::one();
        if self.files.is_none() {
            return Ok(Ending { scores: record.scores, has_report: false });
        }
        record.keep(self.run)?;
        if let Err(error) = self.draw(&exact) {
            self.console.warn(&format!(
                "the run is finished, but not all pictures could be drawn: {error}"
            ));
        }
        let report = self.report(&exact);
        if let Err(error) = &report {
            self.console.warn(&format!(
                "the run is finished, but its report could not be written: {error}"
            ));
        }
        Ok(Ending { scores: record.scores, has_report: report.is_ok() })
    }

    /// Writes the pictures.
    fn draw(&self, exact: &Statistics) -> Result<()> {
        let (model, images) = (&self.trainer.model, &self.images.held_out);
        let folder = self.run.pictures();
        let seed = self.config.train.seed;
        for (name, picture) in model.task.pictures(model, exact, images, seed, SIZES)? {
            picture.save(&folder.join(format!("{name}.png")))?;
        }
        Ok(())
    }

    /// Writes `report.html`.
    fn report(&self, exact: &Statistics) -> Result<()> {
        let images = &self.images.held_out;
        let shown = ShownModel {
            model: &self.trainer.model,
            statistics: exact,
            statistics_name: exact_name(exact),
            shape: images.shape(),
            images: Some(images),
            explorer: true,
        };
        let figures = Ok(ModelFigures::new(&shown)?);
        report::write(&[Subject { history: History::read(self.run)?, figures }], &self.run.report())
    }
}

/// What results call the exact statistics of a finished run; nothing where there are none.
fn exact_name(statistics: &Statistics) -> Option<&'static str> {
    statistics.iter().next().map(|_| "exact")
}
