//! Models whose images belong to classes: p(x, z, y) with q(y|x, z), for learning from few labels
//! (Kingma et al. 2014).

use std::fmt::Debug;

use rung_autograd::{Result, Tensor};

use crate::latent::Sampled;
use crate::pass::Pass;

/// What learning from few labels asks of a model: p(x, z|y) p(y) with p(y) uniform, and a
/// classifier q(y|x, z).
pub trait Classifier: Debug {
    /// How many classes there are.
    fn classes(&self) -> usize;

    /// One sample of the latents given a class: of the first images of `x` given theirs, `class`
    /// [labelled, classes], each row 1 at the class and 0 elsewhere; of each other image for every
    /// class in turn.
    ///
    /// # Errors
    /// `Shape` if the sizes do not fit.
    fn sample_for_classes(
        &self,
        pass: &mut Pass<'_>,
        x: &Tensor,
        class: &Tensor,
    ) -> Result<ClassSampled>;
}

/// What [`Classifier::sample_for_classes`] finds.
#[derive(Clone, Debug)]
pub struct ClassSampled {
    /// log q(y|x, z) of every image: [batch, classes].
    pub class_log_probs: Tensor,
    /// The rows of the labelled images, then those of the others: row = image · classes + class.
    pub sampled: Sampled,
}
