//! What a finished run ends with: exact statistics, the test bound, pictures.

use std::time::Instant;

use rung_models::{LatentSource, Statistics};

use super::run::Training;
use crate::error::{Error, Result};
use crate::evaluation::{Evaluation, Request, evaluate};
use crate::measurement::Measurement;
use crate::model::snapshot::save_exact_statistics;
use crate::pictures::{self, Drawing};
use crate::report::{self, History, Portrait, Sitter, Subject};
use crate::statistics;
use crate::treatment::Measure;

/// Images in the grids that a run ends with.
const SAMPLES: usize = 100;
const RECONSTRUCTIONS: usize = 50;
/// Width of a pixel in the pictures.
const SCALE: usize = 2;

/// How a run ended.
#[derive(Debug)]
pub struct Ending {
    /// L_1 of the held-out images.
    pub evaluation: Evaluation,
    /// Whether the report could be written.
    pub has_report: bool,
}

impl Training<'_> {
    /// Collects the exact statistics, stores them in the newest checkpoint, measures L_1 on the held-out images and writes the
    /// pictures and the report.
    ///
    /// # Errors
    /// If the device has no memory or a file cannot be written.
    pub fn finish(&mut self) -> Result<Ending> {
        let mut data = self.snapshot()?;
        self.trainer.use_average()?;
        let exact = statistics::collect(&self.trainer.model, &self.images.train, self.config.train.seed, 0)?;
        save_exact_statistics(&exact, &mut data)?;
        self.save_last(&data)?;
        drop(data);
        let model = &self.trainer.model;
        let images = &self.images.held_out;
        let request = Request {
            importance_samples: 1,
            images: images.count(),
            rows: model.rows_at_once(),
            seed: self.config.train.seed,
        };
        let started = Instant::now();
        let evaluation = evaluate(model, &exact, images, request, || false, |_, _| ())?
            .ok_or_else(|| Error::new("bug: an evaluation without interruption gave nothing; please report it"))?;
        let measurement = Measurement {
            evaluation,
            groups: model.network.groups(),
            request,
            binarisation: images.binarisation(),
            pixel_seed: images.pixel_seed(),
            split: images.split().to_string(),
            images_in_split: images.in_split(),
            values: images.shape().values(),
            log_volume: images.log_volume(),
            measure: Measure::of(self.config, images.values()),
            checkpoint: self.checkpoints.last(),
            step: self.step,
            chosen_on: None,
            statistics: exact_name(&exact),
            elapsed_s: started.elapsed().as_secs_f64(),
        };
        measurement.keep(self.run)?;
        let folder = self.run.pictures();
        let source = LatentSource::StandardNormal { layer: model.network.depth(), count: SAMPLES };
        let seed = self.config.train.seed;
        let samples = pictures::samples(model, &exact, &source, seed, Drawing::Mean)?;
        samples.grid(10, SCALE)?.save(&folder.join("samples.png"))?;
        let reconstructions =
            pictures::reconstructions(model, &exact, images, RECONSTRUCTIONS.min(images.count()), seed)?;
        reconstructions.grid(10, SCALE)?.save(&folder.join("reconstructions.png"))?;
        let report = self.report(&exact);
        if let Err(error) = &report {
            self.console.warn(&format!("the run is finished, but its report could not be written: {error}"));
        }
        Ok(Ending { evaluation: measurement.evaluation, has_report: report.is_ok() })
    }

    /// Writes `report.html`.
    fn report(&self, exact: &Statistics) -> Result<()> {
        let images = &self.images.held_out;
        let sitter = Sitter {
            model: &self.trainer.model,
            statistics: exact,
            statistics_name: exact_name(exact),
            shape: images.shape(),
            images: Some(images),
            explorer: true,
        };
        let portrait = Ok(Portrait::new(&sitter)?);
        report::write(&[Subject { history: History::read(self.run)?, portrait }], &self.run.report())
    }
}

/// What results call the exact statistics of a finished run; nothing where there are none.
fn exact_name(statistics: &Statistics) -> Option<&'static str> {
    statistics.iter().next().map(|_| "exact")
}
