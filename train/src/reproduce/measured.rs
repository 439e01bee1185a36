//! What an evaluation brought, in the quantity that an experiment compares.

use serde_json::{Map, Value};

use super::experiments::Quantity;
use super::plan::Wishes;
use crate::report::History;
use crate::report::history::EvaluationLine;
use crate::report::paired::KeptBounds;
use crate::tasks::Request;

/// What was measured of a finished model.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The quantity of the experiment: L_K in nats, or the error rate from 0 to 1.
    pub value: f64,
    /// Its standard error over images.
    pub standard_error: Option<f64>,
    /// What stands beside it: L_1 in nats, or the share of sequences with an error.
    pub beside: Option<f64>,
    /// Active units of each layer, z_1 first.
    pub active_units: Vec<usize>,
    /// Images that were measured.
    pub images: u64,
    /// Where the bound of each is kept, if it is.
    pub kept: Option<KeptBounds>,
}

impl Measured {
    /// The evaluation of the finished model that is asked for, if it was made.
    pub fn of(quantity: Quantity, history: &History, wishes: &Wishes) -> Option<Self> {
        let step = history.judged_step()?;
        let fits = |of_step: u64, split: &str, images: u64, in_split: u64| {
            let is_whole = images > 0 && images == in_split;
            let is_enough = is_whole || (wishes.count > 0 && images >= wishes.count);
            of_step == step && split == "test" && is_enough
        };
        if quantity == Quantity::ErrorRate {
            let number = |line: &Map<String, Value>, key: &str| line.get(key)?.as_f64();
            let whole = |line: &Map<String, Value>, key| line.get(key)?.as_u64();
            return history.scores.iter().rev().find_map(|line| {
                let images = whole(line, "images")?;
                let split = line.get("split")?.as_str()?;
                let is_asked =
                    fits(whole(line, "step")?, split, images, whole(line, "images_in_split")?);
                let many = Request::MANY_CLASS_SAMPLES as u64;
                let has_all_samples = whole(line, "class_samples").is_none_or(|n| n >= many);
                (is_asked && has_all_samples).then_some(Self {
                    value: number(line, "error_rate")?,
                    standard_error: number(line, "error_rate_standard_error"),
                    beside: number(line, "sequence_error_rate"),
                    active_units: Vec::new(),
                    images,
                    kept: None,
                })
            });
        }
        let is_asked = |line: &&EvaluationLine| {
            fits(line.step, &line.split, line.images, line.images_in_split)
                && line.importance_samples == wishes.importance_samples
        };
        history.evaluations.iter().rev().find(is_asked).map(|line| Self {
            value: line.bound_k_nats,
            standard_error: line.standard_error_nats,
            beside: Some(line.bound_1_nats),
            active_units: line.active_units.clone(),
            images: line.images,
            kept: KeptBounds::of(line),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sources::{Sources, layered};
    use crate::run::folder::RunFolder;

    fn wishes(count: u64) -> Wishes {
        Wishes { epochs: None, out: "nowhere".into(), importance_samples: 1, count, seed: 1 }
    }

    #[test]
    fn the_newest_error_rate_of_all_test_images_counts() {
        let out = tempfile::tempdir().unwrap();
        let config =
            layered(&Sources { preset: Some("glyphs-classifier"), ..Sources::default() }).unwrap();
        let (run, _lock) = RunFolder::create(&out.path().join("run"), &config).unwrap();
        std::fs::write(run.metrics(), "{\"step\":640,\"epoch\":8}\n").unwrap();
        let line = |step: u64, images: u64, split: &str, rate: f64| {
            format!(
                "{{\"step\":{step},\"images\":{images},\"images_in_split\":9,\"split\":\"{split}\",\"error_rate\":{rate},\
                 \"error_rate_standard_error\":0.01,\"sequence_error_rate\":0.5}}\n"
            )
        };
        let lines = [
            line(640, 9, "test", 0.3),
            line(640, 9, "test", 0.2),
            line(640, 9, "test", 0.4).replace('}', ",\"class_samples\":1}"),
            line(640, 5, "test", 0.1),
            line(640, 9, "train", 0.1),
            line(320, 9, "test", 0.1),
        ];
        std::fs::write(run.evaluations(), lines.concat()).unwrap();
        let history = History::read(&run).unwrap();
        let measured = |count| Measured::of(Quantity::ErrorRate, &history, &wishes(count)).unwrap();
        let expected = Measured {
            value: 0.2,
            standard_error: Some(0.01),
            beside: Some(0.5),
            active_units: Vec::new(),
            images: 9,
            kept: None,
        };
        assert_eq!(measured(0), expected);
        assert_eq!((measured(5).value, measured(5).images), (0.1, 5));
        let bounds = Measured::of(Quantity::Bound, &history, &wishes(0));
        assert_eq!(bounds, None);

        let mut config = config;
        config.train.patience_epochs = 10;
        run.save_config(&config).unwrap();
        let metrics = "{\"step\":320,\"epoch\":4,\"is_best\":true}\n{\"step\":640,\"epoch\":8}\n";
        std::fs::write(run.metrics(), metrics).unwrap();
        let history = History::read(&run).unwrap();
        let best = Measured::of(Quantity::ErrorRate, &history, &wishes(0)).unwrap();
        assert_eq!(best.value, 0.1, "where a training may stop early, the best epoch counts");
    }
}
