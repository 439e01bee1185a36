//! The learning rate over the epochs of a run.

use std::f64::consts::PI;

/// How the learning rate of an epoch follows from the base rate. Epochs are counted from 1, and the
/// first has the base rate.
///
/// | schedule | rate of epoch e of E |
/// |---|---|
/// | `Constant` | base |
/// | `StepDecay` | base · factor^⌊(e − 1)/every⌋ |
/// | `Milestones` | base · factor^(milestones before e) |
/// | `Exponential` | base · factor^(e − 1) |
/// | `Cosine` | base · (f + (1 − f) · ½(1 + cos(π(e − 1)/E))), f the final factor |
///
/// # Example
/// ```
/// use rung_autograd::optim::Schedule;
///
/// let fine_tuning = Schedule::StepDecay { factor: 0.75, every: 200 };
/// assert_eq!(fine_tuning.rate(1e-3, 200, 2000), 1e-3);
/// assert_eq!(fine_tuning.rate(1e-3, 201, 2000), 0.75e-3);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Schedule {
    /// The base rate in every epoch.
    #[default]
    Constant,
    /// The rate is multiplied by `factor` after every `every` epochs.
    StepDecay {
        /// What the rate is multiplied by; the ladder's fine-tuning has 0.75.
        factor: f64,
        /// Epochs between two reductions; the ladder's fine-tuning has 200. Zero counts as one.
        every: usize,
    },
    /// The rate is multiplied by `factor` at the end of each of `epochs`.
    Milestones {
        /// What the rate is multiplied by; MatNet's has 0.5.
        factor: f64,
        /// The epochs; MatNet's are 5, 15, 30, 60 and 100.
        epochs: Vec<usize>,
    },
    /// The rate is multiplied by `factor` after every epoch.
    Exponential {
        /// What the rate is multiplied by.
        factor: f64,
    },
    /// Half a period of the cosine: slowly at first, nearly the final rate in the last epoch.
    Cosine {
        /// What is left of the rate at the end.
        final_factor: f64,
    },
}

impl Schedule {
    /// The learning rate of `epoch` (from 1) in a run of `epochs`.
    #[must_use]
    pub fn rate(&self, base: f64, epoch: usize, epochs: usize) -> f64 {
        let done = epoch.saturating_sub(1);
        match self {
            Self::Constant => base,
            Self::StepDecay { factor, every } => {
                base * factor.powf((done / (*every).max(1)) as f64)
            }
            Self::Milestones { factor, .. } => base * factor.powf(self.passed(epoch) as f64),
            Self::Exponential { factor } => base * factor.powf(done as f64),
            Self::Cosine { final_factor } => {
                let wave = 0.5 * (1.0 + (PI * (done as f64 / epochs.max(1) as f64).min(1.0)).cos());
                base * (final_factor + (1.0 - final_factor) * wave)
            }
        }
    }

    /// How many milestones ended before `epoch` (from 1); 0 for schedules without any.
    #[must_use]
    pub fn passed(&self, epoch: usize) -> usize {
        match self {
            Self::Milestones { epochs, .. } => epochs.iter().filter(|&&end| end < epoch).count(),
            _ => 0,
        }
    }
}

/// What is left of the learning rate in `epoch` (from 1) of `epochs`, if it falls linearly over the
/// last `decay` of them, to 0 after the last: min(1, (epochs + 1 − epoch)/(decay + 1)).
#[must_use]
pub fn final_decay(decay: usize, epoch: usize, epochs: usize) -> f64 {
    let left = (epochs + 1).saturating_sub(epoch);
    (left as f64 / (decay + 1) as f64).min(1.0)
}
