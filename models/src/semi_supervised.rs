//! The objective of learning from few labels (Kingma et al. 2014; specification B, section 16).
//!
//! With the log weight F(x, y) = log p(x|z, y) + log p(y) + Σ_i [log p(z_i|·, y) − log q(z_i|·, y)]
//! of one sample,
//!
//! labelled:    F(x, y)
//! unlabelled:  U(x) = Σ_y q(y|x, z) [F(x, y) − log q(y|x, z)]
//!
//! and the loss, for the share s of labelled images among all, is
//! −[s · mean F + (1 − s) · mean U + w · mean log q(y|x, z)]: the last mean, over the labelled
//! images, is what the classifier learns from directly.

use rung_autograd::ops::concat;
use rung_autograd::{Error, Result, Tensor};

use crate::labelled::{ClassSampled, Classifier};
use crate::objective::Bound;
use crate::pass::Pass;

/// The terms' weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SemiSupervisedConfig {
    /// Warm-up factor β of the latent terms.
    pub beta: f64,
    /// Free bits in nats: the KL of each group counts as no less than this in any row.
    pub free_bits_nats: f64,
    /// Labelled images among all, s.
    pub labelled_share: f64,
    /// Weight of the classifier's own term, w: α·s in the specification's α.
    pub classification_weight: f64,
}

/// Labelled images and their classes, [labelled, classes]: each row 1 at the class, 0 elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// The images.
    pub x: &'a Tensor,
    /// Their classes.
    pub class: &'a Tensor,
}

/// The objective for labelled images and others. The terms of the bound are expectations over the
/// classes, without that of the class itself.
///
/// # Errors
/// `Shape` if the images do not fit the model or the classes the images; `Argument` without images
/// of either kind.
pub fn semi_supervised_bound(
    model: &dyn Classifier,
    pass: &mut Pass<'_>,
    labelled: Labelled<'_>,
    unlabelled: &Tensor,
    config: &SemiSupervisedConfig,
) -> Result<Bound> {
    let [known, unknown] = [labelled.x, unlabelled].map(|x| x.shape().sizes()[0]);
    if known == 0 || unknown == 0 {
        return Err(Error::argument(
            "semi_supervised_bound",
            "there must be labelled images and others",
        ));
    }
    let classes = model.classes();
    let x = concat(&[labelled.x, unlabelled], 0)?;
    let ClassSampled { class_log_probs, sampled } =
        model.sample_for_classes(pass, &x, labelled.class)?;
    let log_p_x = sampled.p_x.log_prob(&for_every_class(&x, known, classes)?)?;
    let kl = sampled.log_ratios()?;
    let SemiSupervisedConfig { beta, free_bits_nats, .. } = *config;
    let log_weights = sampled.assemble_log_weights(&log_p_x, &kl, beta, free_bits_nats)?;

    let with_label = log_weights.slice(0, 0, known)?.mean_all()?;
    let log_q = class_log_probs.slice(0, known, unknown)?;
    let q = log_q.exp()?;
    let by_class = log_weights.slice(0, known, unknown * classes)?.reshape([unknown, classes])?;
    let without_label = q.mul(&by_class.sub(&log_q)?)?.sum(1)?.mean_all()?;
    let classified = class_log_probs.slice(0, 0, known)?.mul(labelled.class)?.sum(1)?.mean_all()?;
    let share = config.labelled_share;
    let loss = with_label
        .scale(-share)?
        .add(&without_label.scale(share - 1.0)?)?
        .add(&classified.scale(-config.classification_weight)?)?;

    let ones = Tensor::full(x.device(), x.dtype(), 1.0, [known])?;
    let weights = concat(&[&ones, &q.detach().reshape([unknown * classes])?], 0)?;
    let weights = weights.scale(1.0 / (known + unknown) as f64)?;
    let expected = |term: &Tensor| term.detach().mul(&weights)?.sum_all();
    Ok(Bound {
        loss,
        log_p_x: expected(&log_p_x)?,
        kl: kl.iter().map(expected).collect::<Result<_>>()?,
    })
}

/// The first `labelled` rows, then every other one `classes` times in a row.
pub(crate) fn for_every_class(x: &Tensor, labelled: usize, classes: usize) -> Result<Tensor> {
    let shape = *x.shape();
    let rows = shape.sizes()[0];
    let flat = x.reshape([rows, shape.element_count() / rows.max(1)])?;
    let others = flat.slice(0, labelled, rows - labelled)?.repeat_rows(classes)?;
    let all = concat(&[&flat.slice(0, 0, labelled)?, &others], 0)?;
    all.reshape(shape.with_axis(0, labelled + (rows - labelled) * classes))
}
