//! Models whose images belong to classes: p(x, z, y) with q(y|x, z), for learning from few labels
//! (Kingma et al. 2014).

use std::fmt::Debug;

use rung_autograd::ops::concat;
use rung_autograd::{DType, Device, Error, Result, Tensor};

use crate::latent::LatentSource;
use crate::observation::ObservationParameters;
use crate::pass::Pass;

/// Labelled images and their classes, [labelled, classes]: each row 1 at the class, 0 elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// The images.
    pub x: &'a Tensor,
    /// Their classes.
    pub class: &'a Tensor,
}

/// What learning from few labels asks of a model: p(x, z|y) p(y) with p(y) uniform, and a
/// classifier q(y|x, z).
pub trait Classifier: Debug {
    /// How many classes there are.
    fn classes(&self) -> usize;

    /// The terms of the log weight at `samples` samples of the latents for each image, given a
    /// class: of labelled images given theirs, of the others, if there are any, for every class in
    /// turn.
    ///
    /// # Errors
    /// `Shape` if the sizes do not fit.
    fn class_terms(
        &self,
        pass: &mut Pass<'_>,
        labelled: Labelled<'_>,
        others: Option<&Tensor>,
        samples: usize,
    ) -> Result<ClassTerms>;

    /// log q(y|x, z) at `samples` samples of what it is conditioned on: [images · samples,
    /// classes], row = image · samples + sample.
    ///
    /// # Errors
    /// `Shape` if the sizes do not fit.
    fn class_log_probs(&self, pass: &mut Pass<'_>, x: &Tensor, samples: usize) -> Result<Tensor>;

    /// log p(x, y, z) − log q(z|x, y) in nats, at `samples` samples of the latents for each image
    /// and every class y of each: [images · samples, classes], row = image · samples + sample.
    ///
    /// The logarithm of the mean over samples of Σ_y exp of these is a lower bound of log p(x) in
    /// expectation, in which the class is summed out instead of chosen. `None` for families that do
    /// not offer it.
    ///
    /// # Errors
    /// `Shape` if the sizes do not fit.
    fn log_weights_by_class(
        &self,
        pass: &mut Pass<'_>,
        x: &Tensor,
        samples: usize,
    ) -> Result<Option<Tensor>> {
        let _ = (pass, x, samples);
        Ok(None)
    }

    /// Samples from the generative model, as
    /// [`LatentModel::generate`](crate::LatentModel::generate), of these classes: [count,
    /// classes].
    ///
    /// # Errors
    /// As there, and `Shape` if the classes are not one for each sample.
    fn generate_of(
        &self,
        pass: &mut Pass<'_>,
        source: &LatentSource,
        class: &Tensor,
    ) -> Result<ObservationParameters>;

    /// What each image would be in every class: p(x|·) with the latents that are inferred for it,
    /// row = image · classes + class. `None` for families that do not tell a class from the latents
    /// below it.
    ///
    /// # Errors
    /// `Shape` if the sizes do not fit.
    fn vary_class(&self, pass: &mut Pass<'_>, x: &Tensor) -> Result<Option<ObservationParameters>> {
        let _ = (pass, x);
        Ok(None)
    }
}

/// What [`Classifier::class_terms`] finds. Rows are first those of the labelled images, image ·
/// samples + sample; then those of the others, (image · samples + sample) · classes + class, but in
/// `class_log_probs`, which has one row for each sample.
#[derive(Clone, Debug)]
pub struct ClassTerms {
    /// log q(y|x, z) of every sample: [images · samples, classes].
    pub class_log_probs: Tensor,
    /// log p(x|z, y) of each row, in nats.
    pub log_p_x: Tensor,
    /// log q(z_i|·) − log p(z_i|·) of each group at its sample, nearest to the data first.
    pub kl: Vec<Tensor>,
    /// log p(y), that of every row.
    pub log_p_class: f64,
}

/// For each of `rows` rows 1 at the next class in turn and 0 elsewhere: [rows, classes].
///
/// It is made on the device, as steps copy nothing to it: the unit matrix, read row after row, has
/// as many zeros between two ones as it has rows.
pub(crate) fn classes_in_turn(
    device: &Device,
    dtype: DType,
    rows: usize,
    classes: usize,
) -> Result<Tensor> {
    let filled = |value, count| Tensor::full(device, dtype, value, [1, count]);
    let period = concat(&[&filled(1.0, 1)?, &filled(0.0, classes)?], 1)?;
    let ones = period.repeat_rows(classes)?.reshape([classes * (classes + 1)])?;
    let unit_matrix = ones.slice(0, 0, classes * classes)?.reshape([1, classes * classes])?;
    let times = rows.div_ceil(classes);
    unit_matrix.repeat_rows(times)?.reshape([times * classes, classes])?.slice(0, 0, rows)
}

/// For each row, 1 at the class with the largest log q(y|x, z) and 0 elsewhere. As this class is a
/// function of what q(y|x, z) is conditioned on, which is sampled before z, log p(x, y, z) − log
/// q(z|x, y) with it bounds log p(x) from below.
pub(crate) fn likeliest_class(log_q: &Tensor) -> Result<Tensor> {
    let (log_q, rows) = (log_q.detach(), log_q.shape().sizes()[0]);
    log_q.less(&log_q.max(1)?.reshape([rows, 1])?)?.affine(-1.0, 1.0)
}

/// Refuses classes that are not one for each of `rows` rows.
pub(crate) fn check_classes(
    operation: &'static str,
    class: &Tensor,
    rows: usize,
    classes: usize,
) -> Result<()> {
    if class.shape().sizes() == [rows, classes] {
        return Ok(());
    }
    let rule = format!("the classes must be [{rows}, {classes}], one row for each image");
    Err(Error::shape(operation, rule, &[("class", *class.shape())]))
}
