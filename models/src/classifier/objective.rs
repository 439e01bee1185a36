//! What a classifier learns by: the cross-entropy of the classes, with label smoothing.

use rung_autograd::{Error, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::{BrokenRule, rule};

/// How the loss is made: `[objective]` of a configuration file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClassificationConfig {
    /// Share s of the target that is spread evenly over all classes (Szegedy et al. 2016).
    pub label_smoothing: f64,
}

impl ClassificationConfig {
    /// Refuses a share that leaves nothing of the label.
    ///
    /// # Errors
    /// The rule that is broken, with key and value.
    pub fn check(&self) -> std::result::Result<(), BrokenRule> {
        let share = self.label_smoothing;
        rule(
            (0.0..1.0).contains(&share),
            "label_smoothing",
            share,
            "must be at least 0 and below 1",
        )
    }
}

/// A loss and what it says: scalars on the device, means over the batch.
#[derive(Clone, Debug)]
pub struct Classification {
    /// −mean Σ_k t_k ln p(k|x) with the smoothed targets t: what training minimises, in nats.
    pub loss: Tensor,
    /// −mean ln p(y|x), in nats; off the tape.
    pub cross_entropy: Tensor,
    /// Share of the rows in which another class is likelier than y, from 0 to 1; off the tape.
    pub error_rate: Tensor,
}

/// The objective for rows of ln p(k|x) [batch, classes] and their classes y: `class` has the same
/// shape, each row 1 at y and 0 elsewhere.
///
/// loss = −1/batch · Σ_rows Σ_k t_k ln p(k|x),   t_k = (1 − s) · class_k + s/classes
///
/// # Errors
/// `Shape` if the shapes differ or there are no rows.
///
/// # Example
/// ```
/// use rung_autograd::{Device, Tensor};
/// use rung_models::classifier::{ClassificationConfig, classification};
///
/// let cpu = Device::cpu();
/// let log_probs = Tensor::from_f64(&cpu, &[0.25_f64.ln(), 0.75_f64.ln()], [1, 2])?;
/// let class = Tensor::from_f64(&cpu, &[0.0, 1.0], [1, 2])?;
/// let found = classification(&log_probs, &class, &ClassificationConfig { label_smoothing: 0.5 })?;
/// assert!((found.cross_entropy.to_scalar()? + 0.75_f64.ln()).abs() < 1e-12);
/// assert!((found.loss.to_scalar()? + 0.25 * 0.25_f64.ln() + 0.75 * 0.75_f64.ln()).abs() < 1e-12);
/// assert_eq!(found.error_rate.to_scalar()?, 0.0);
/// # Ok::<(), rung_autograd::Error>(())
/// ```
pub fn classification(
    log_probs: &Tensor,
    class: &Tensor,
    config: &ClassificationConfig,
) -> Result<Classification> {
    let shapes = [("log_probs", *log_probs.shape()), ("class", *class.shape())];
    let &[rows, classes] = log_probs.shape().sizes() else {
        return Err(Error::shape("classification", "log_probs must be [batch, classes]", &shapes));
    };
    if class.shape() != log_probs.shape() || rows == 0 {
        return Err(Error::shape(
            "classification",
            "there must be one row of classes for each row",
            &shapes,
        ));
    }
    let of_class = |log_probs: &Tensor| log_probs.mul(class)?.sum(1);
    let given = of_class(&log_probs.detach())?;
    let cross_entropy = given.mean_all()?.neg()?;
    let error_rate = given.less(&log_probs.detach().max(1)?)?.mean_all()?;
    let share = config.label_smoothing;
    let fit = if share == 0.0 {
        of_class(log_probs)?
    } else {
        log_probs.mul(&class.affine(1.0 - share, share / classes as f64)?)?.sum(1)?
    };
    Ok(Classification { loss: fit.mean_all()?.neg()?, cross_entropy, error_rate })
}
