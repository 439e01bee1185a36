//! Refuses to go on with numbers that are no longer finite.

use rung_autograd::Tensor;
use rung_models::{Mode, Pass};

use super::training::Training;
use crate::error::{Context, Error, Result};
use crate::model::Model;
use crate::tasks::Loss;

/// Batches of fewer images than this are named as a cause where a training breaks down.
const SMALL_BATCH: usize = 8;

/// Steps after which the loss is looked at on a device that works on its own: to look is to wait
/// for it.
const CHECK_EVERY_STEPS: u64 = 50;

impl Training<'_> {
    /// Whether this step's loss is looked at: always where that costs nothing; elsewhere now and
    /// then, and before an epoch's end is written down. Parameters that are no longer finite stay
    /// so, so that a later look sees what an earlier one missed.
    pub(super) fn is_check_due(&self, per_epoch: u64) -> bool {
        let next = self.step + 1;
        self.device().name() == "cpu"
            || next.is_multiple_of(CHECK_EVERY_STEPS)
            || next.is_multiple_of(per_epoch)
    }

    /// The term of a loss that is NaN or infinite, if there is one.
    pub(super) fn culprit(&self, loss: &Loss) -> Result<Option<&str>> {
        let is_finite =
            |term: &Tensor| term.to_scalar().map(f64::is_finite).context("reading the loss");
        if is_finite(&loss.loss)? {
            return Ok(None);
        }
        for (name, term) in self.trainer.model.task.terms().iter().zip(&loss.terms) {
            if !is_finite(term)? {
                return Ok(Some(name));
            }
        }
        Ok(Some("the loss"))
    }

    /// Refuses to go on when a term of the loss is NaN or infinite.
    fn check_finite(&self, loss: &Loss) -> Result<()> {
        self.culprit(loss)?.map_or(Ok(()), |culprit| {
            Err(self.ruined(&format!("{culprit} is no longer a finite number")))
        })
    }

    pub(super) fn ruined(&self, what: &str) -> Error {
        let mut advice = String::from("try a lower --learning-rate");
        if self.config.train.batch_size < SMALL_BATCH {
            advice += &format!(
                " or a larger --batch-size: the gradient of {} images is noise",
                self.config.train.batch_size
            );
        }
        if self.checkpoints.any() {
            advice += &format!(
                "; the last checkpoint before it is kept in {}",
                self.run.checkpoints().display()
            );
        }
        Error::new(format!("step {}: {what}", self.step + 1)).with_advice(advice)
    }

    /// Refuses to keep a model that its last step has ruined, which the loss before that step could
    /// not show.
    pub(super) fn check_sound(&self) -> Result<()> {
        let images = &self.images.held_out;
        let count = images.count().min(self.config.train.batch_size);
        let Model { task, store, statistics, .. } = &self.trainer.model;
        for mode in [Mode::BatchOnly, Mode::Frozen(statistics)] {
            let mut pass = Pass::new(store, None, mode, self.config.train.seed, self.step);
            let loss = task
                .probe(&mut pass, images, count)
                .context("checking the model before it is kept")?;
            self.check_finite(&loss)?;
        }
        Ok(())
    }
}
