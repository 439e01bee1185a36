//! The objective of learning from few labels (Kingma et al. 2014; specification A, section 3, and
//! B, section 16).
//!
//! With the log weight F(x, y) = log p(x|z, y) + log p(y) + Σ_i [log p(z_i|·, y) − log q(z_i|·, y)]
//! of one sample,
//!
//! labelled:    F(x, y)
//! unlabelled:  U(x) = Σ_y q(y|x, z) [F(x, y) − log q(y|x, z)]
//!
//! and the loss is −[w_l · mean F + w_u · mean U + w_c · mean log q(y|x, z)], each mean over the
//! images and samples of its kind: the last, over the labelled images, is what the classifier
//! learns from directly. The class is summed out, never sampled, and the gradient goes through
//! q(y|x, z) in both of its places.

use rung_autograd::ops::concat;
use rung_autograd::{Error, Result, Tensor};

use crate::labelled::{ClassTerms, Classifier, Labelled};
use crate::objective::{Bound, ClassMeans, assemble_log_weights};
use crate::pass::Pass;
use crate::share::StepShare;

/// The terms' weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SemiSupervisedConfig {
    /// Warm-up factor β of the latent terms.
    pub beta: f64,
    /// Free bits in nats: the KL of each group counts as no less than this in any row.
    pub free_bits_nats: f64,
    /// Samples of the latents for each image.
    pub samples: usize,
    /// Weight of the bound of labelled images, w_l.
    pub labelled_weight: f64,
    /// Weight of the bound of the other images, w_u.
    pub unlabelled_weight: f64,
    /// Weight of the classifier's own term, w_c.
    pub classification_weight: f64,
}

/// The objective for labelled images and, unless there are none, others. The terms of the bound
/// are expectations over the classes, without that of the class itself.
///
/// # Errors
/// `Shape` if the images do not fit the model or the classes the images; `Argument` without
/// labelled images or samples.
pub fn semi_supervised_bound(
    model: &dyn Classifier,
    pass: &mut Pass<'_>,
    labelled: Labelled<'_>,
    unlabelled: Option<&Tensor>,
    config: &SemiSupervisedConfig,
) -> Result<Bound> {
    let SemiSupervisedConfig { beta, free_bits_nats, samples, .. } = *config;
    let rows = |x: &Tensor| x.shape().sizes()[0] * samples;
    let unlabelled = unlabelled.filter(|x| rows(x) > 0);
    let (known, unknown) = (rows(labelled.x), unlabelled.map_or(0, rows));
    if known == 0 {
        return Err(Error::argument(
            "semi_supervised_bound",
            "there must be labelled images and at least one sample",
        ));
    }
    let classes = model.classes();
    let terms = model.class_terms(pass, labelled, unlabelled, samples)?;
    let ClassTerms { class_log_probs, log_p_x, kl, log_p_class } = terms;
    let log_weights = assemble_log_weights(&log_p_x, &kl, Some(log_p_class), beta, free_bits_nats)?;

    let (of_known, all_rows) = shares(pass, samples, known, unknown);
    let with_label = log_weights.slice(0, 0, known)?.mean_all()?;
    let class = labelled.class.repeat_rows(samples)?;
    let classified = class_log_probs.slice(0, 0, known)?.mul(&class)?.sum(1)?.mean_all()?;
    let mut loss = with_label.scale(-config.labelled_weight * of_known)?;
    let (device, dtype) = (log_p_x.device(), log_p_x.dtype());
    let mut weights = Tensor::full(device, dtype, 1.0, [known])?;
    let mut log_q = class_log_probs.clone();
    if unknown > 0 {
        log_q = class_log_probs.slice(0, known, unknown)?;
        let q = log_q.exp()?;
        let by_class =
            log_weights.slice(0, known, unknown * classes)?.reshape([unknown, classes])?;
        let without_label = q.mul(&by_class.sub(&log_q)?)?.sum(1)?.mean_all()?;
        loss = loss.add(&without_label.scale(-config.unlabelled_weight)?)?;
        weights = concat(&[&weights, &q.detach().reshape([unknown * classes])?], 0)?;
    }
    let loss = loss.add(&classified.scale(-config.classification_weight * of_known)?)?;

    let weights = weights.scale(1.0 / all_rows)?;
    let expected = |term: &Tensor| term.detach().mul(&weights)?.sum_all();
    let log_q = log_q.detach();
    let of_entropy = if unknown > 0 { 1.0 } else { of_known };
    let means = ClassMeans {
        cross_entropy: classified.detach().scale(-of_known)?,
        entropy: log_q.exp()?.mul(&log_q)?.sum(1)?.mean_all()?.scale(-of_entropy)?,
    };
    Ok(Bound {
        loss,
        log_p_x: expected(&log_p_x)?,
        kl: kl.iter().map(expected).collect::<Result<_>>()?,
        classes: Some(means),
    })
}

/// What a rank's mean over its labelled rows counts, where its loss counts as its share of the
/// batch: (its part of the labelled rows)/(its part of the batch); and the rows that the terms are
/// means over: those of all ranks times its part of the batch. On one rank 1, and its rows.
fn shares(pass: &Pass<'_>, samples: usize, known: usize, unknown: usize) -> (f64, f64) {
    let Some(StepShare { batch, labelled: Some(labelled), .. }) = pass.share() else {
        return (1.0, (known + unknown) as f64);
    };
    let others = if unknown > 0 { batch.of } else { 0 };
    let of_all = ((labelled.of + others) * samples) as f64;
    (labelled.weight() / batch.weight(), of_all * batch.weight())
}
