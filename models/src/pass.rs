//! One pass through a model: where its parameters, statistics and noise come from.

use std::mem;
use std::ops::Range;

use rung_autograd::ops::{FrozenStatistics, Gaussian, concat};
use rung_autograd::rng::{Address, Phase, Stream};
use rung_autograd::{
    Error, ParameterId, ParameterStore, Ranks, Result, RowNoise, Shape, Tape, Tensor,
};

use crate::share::{BatchNormStatistics, BatchShare, Rows, RowsOf, StepShare};
use crate::statistics::{Statistics, StatisticsId};

/// What a pass is for: where batch normalisation gets its statistics, and whether units are
/// dropped.
#[derive(Debug)]
pub enum Mode<'a> {
    /// Training. From the batch; the running statistics, whose memory nothing else may hold, move
    /// towards them by this weight (1 replaces them).
    Batch(&'a mut Statistics, f64),
    /// From the batch, leaving no trace.
    BatchOnly,
    /// Given: the result for a row does not depend on the other rows.
    Frozen(&'a Statistics),
    /// As in training, from the batch; layers with data-dependent initialisation note their first
    /// values.
    Initialise(&'a mut Initialisation),
}

/// Data-dependent initialisation at work: the scale wanted, and the first values found.
#[derive(Clone, Debug)]
pub struct Initialisation {
    /// Standard deviation that every channel of a layer's output is to have over the batch.
    pub output_sigma: f64,
    /// The parameters' first values.
    pub values: Vec<InitialValue>,
}

/// The value that data-dependent initialisation gives to a parameter.
#[derive(Clone, Debug)]
pub struct InitialValue {
    /// The parameter.
    pub parameter: ParameterId,
    /// Its value.
    pub value: Tensor,
}

/// [`Mode`] for one layer.
#[derive(Debug)]
pub(crate) enum LayerStatistics<'a> {
    /// From the batch, with averages that move towards them by this weight.
    BatchAveraged(&'a mut FrozenStatistics, f64),
    /// From the batch.
    Batch,
    /// Given.
    Frozen(&'a FrozenStatistics),
}

/// What the layers of a model need besides their input.
#[derive(Debug)]
pub struct Pass<'a> {
    store: &'a ParameterStore,
    tape: Option<&'a Tape>,
    mode: Mode<'a>,
    seed: u64,
    step: u64,
    images: Option<ImageNoise>,
    /// Temperature of each group's prior, in the order of the groups; empty for 1 everywhere.
    temperatures: &'a [f64],
    /// Samples of each group that stand in place of those from p, in the order of the groups.
    given: &'a [Option<Tensor>],
    drops_units: bool,
    recomputes: bool,
    averages: bool,
    /// Parameters whose names begin with this are constants: no gradient flows to them.
    constants: Option<&'static str>,
    /// Which rows of a step these are, where it lies on many ranks.
    share: Option<StepShare>,
}

/// Latent noise that is addressed by image and sample.
#[derive(Clone, Copy, Debug)]
struct ImageNoise {
    images: usize,
    first_sample: usize,
}

impl<'a> Pass<'a> {
    /// A pass whose noise is that of `step` in the run with this `seed`. With a tape, parameters
    /// are tracked.
    #[must_use]
    pub const fn new(
        store: &'a ParameterStore,
        tape: Option<&'a Tape>,
        mode: Mode<'a>,
        seed: u64,
        step: u64,
    ) -> Self {
        let drops_units = matches!(mode, Mode::Batch(..) | Mode::Initialise(_));
        Self {
            store,
            tape,
            mode,
            seed,
            step,
            images: None,
            temperatures: &[],
            given: &[],
            drops_units,
            recomputes: false,
            averages: true,
            constants: None,
            share: None,
        }
    }

    /// The same pass through this rank's share of a batch: the noise is that of the rows in the
    /// whole batch, and batch normalisation takes the statistics that the share says.
    #[must_use]
    pub fn sharing(self, share: &BatchShare) -> Self {
        let batch = Some(share).filter(|share| share.ranks.are_many()).cloned();
        let share = batch.map(|batch| StepShare { batch, labelled: None, of: RowsOf::Batch });
        Self { share, ..self }
    }

    /// Makes the labelled images beside those of the batch this rank's share of theirs.
    pub fn share_labelled(&mut self, labelled: &BatchShare) {
        if let Some(share) = &mut self.share {
            share.labelled = Some(labelled.clone());
        }
    }

    /// This rank's share of the step, if there are others.
    pub(crate) const fn share(&self) -> Option<&StepShare> {
        self.share.as_ref()
    }

    /// The ranks over whose rows batch normalisation takes its statistics, if over others' too.
    pub(crate) fn normalised_over(&self) -> Option<&Ranks> {
        let share = &self.share.as_ref()?.batch;
        (share.batch_norm_statistics == BatchNormStatistics::Batch).then_some(&share.ranks)
    }

    /// Does `work` with arrays of these rows.
    pub(crate) fn with_rows<R>(&mut self, of: RowsOf, work: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.share.as_mut().map(|share| mem::replace(&mut share.of, of));
        let result = work(self);
        if let (Some(share), Some(before)) = (&mut self.share, before) {
            share.of = before;
        }
        result
    }

    /// A pass over images that the model draws itself, beside this one in the same step: with noise
    /// of its own, statistics of the batch that leave no trace, and parameters that are constants
    /// where their names begin with `constants`.
    pub(crate) fn of_fantasies(&self, constants: &'static str) -> Result<Pass<'a>> {
        let step = usize::try_from(self.step).unwrap_or(usize::MAX);
        let step = Phase::Fantasy.nth(step)?;
        let pass = Pass::new(self.store, self.tape, Mode::BatchOnly, self.seed, step);
        let (drops_units, recomputes, share) =
            (self.drops_units, self.recomputes, self.share.clone());
        Ok(Pass { drops_units, recomputes, constants: Some(constants), share, ..pass })
    }

    /// The same pass, without a tape: all of it is constant.
    pub(crate) fn untracked(self) -> Self {
        Self { tape: None, ..self }
    }

    /// Where the pixels of images lie that are drawn in this pass.
    pub(crate) const fn pixel_noise(&self) -> Address {
        Address::new(self.seed, Stream::DrawnPixel.first(), self.step)
    }

    /// The same pass, whose latent noise is addressed by image and sample instead of by the row:
    /// the first of its `images` images has the pass's step, each further one the next, and its
    /// first row is that image's sample `first_sample`. So a sample of an image is the same
    /// whichever images and samples it is computed beside.
    #[must_use]
    pub fn of_images(self, images: usize, first_sample: usize) -> Self {
        Self { images: Some(ImageNoise { images, first_sample }), ..self }
    }

    /// The same pass, whose samples from p have standard deviations scaled by these factors, one
    /// for each group (1 is nearest to the data, and the first); groups beyond the list keep
    /// theirs. A factor of 0 gives the mean. Samples from q are left alone.
    #[must_use]
    pub fn with_temperatures(self, temperatures: &'a [f64]) -> Self {
        Self { temperatures, ..self }
    }

    /// The same pass, in which these samples, one for each group (1 is nearest to the data, and the
    /// first), take the place of those that would be drawn from p; of a group without one, and of
    /// those beyond the list, they are drawn. Samples from q are left alone.
    #[must_use]
    pub fn with_given(self, given: &'a [Option<Tensor>]) -> Self {
        Self { given, ..self }
    }

    /// The same pass, whose blocks are recomputed in backward (activation checkpointing), if this
    /// is true, instead of keeping what is within them: less memory for one more pass forward.
    /// Without a tape, and in models without such blocks, nothing changes.
    #[must_use]
    pub fn recomputing_activations(self, recomputes: bool) -> Self {
        Self { recomputes, ..self }
    }

    /// Whether a block is to go through [`Pass::recomputed`].
    pub(crate) const fn recomputes(&self) -> bool {
        self.recomputes && self.tape.is_some()
    }

    /// `block` of the inputs, of which nothing but the inputs and the result are kept.
    ///
    /// # Errors
    /// Those of the block; `Argument` in a pass without a tape.
    pub(crate) fn recomputed(
        &self,
        inputs: &[&Tensor],
        block: impl Fn(&mut Pass<'_>, &[Tensor]) -> Result<Tensor> + 'static,
    ) -> Result<Tensor> {
        let Self { seed, step, images, drops_units, constants, .. } = *self;
        let share = self.share.clone();
        let Some(tape) = self.tape else {
            return Err(Error::argument(
                "pass",
                "bug: nothing to recompute without a tape; please report it",
            ));
        };
        tape.recomputed(self.store, inputs, move |store, tape, inputs| {
            let mode = Mode::BatchOnly;
            let pass = Pass::new(store, tape, mode, seed, step);
            let share = share.clone();
            block(&mut Pass { images, drops_units, constants, share, ..pass }, inputs)
        })
    }

    /// Does `work`, in which the running statistics move as the mode says if `averages`, and else
    /// stay as they are: rows that are not how the data are leave no trace.
    pub(crate) fn averaging<R>(&mut self, averages: bool, work: impl FnOnce(&mut Self) -> R) -> R {
        let before = mem::replace(&mut self.averages, averages);
        let result = work(self);
        self.averages = before;
        result
    }

    /// A parameter's value.
    #[must_use]
    pub fn parameter(&self, id: ParameterId) -> Tensor {
        let name = || &self.store.parameter(id).name;
        let is_constant = self.constants.is_some_and(|prefix| name().starts_with(prefix));
        self.store.tensor(id, self.tape.filter(|_| !is_constant))
    }

    /// The noise of latent group `group` (1 is nearest to the data) where it is drawn from q:
    /// [rows, units].
    ///
    /// # Errors
    /// If the device has no memory; `Argument` if the rows are not those of the pass's images.
    pub fn posterior_noise(&self, group: usize, shape: Shape) -> Result<Tensor> {
        self.posterior_noise_of_each(group, shape, 1)
    }

    /// The same for a group that has `rows_each` rows for each sample of the pass.
    pub(crate) fn posterior_noise_of_each(
        &self,
        group: usize,
        shape: Shape,
        rows_each: usize,
    ) -> Result<Tensor> {
        self.latent_noise((Stream::PosteriorLatent, group), shape, rows_each)
    }

    /// The same where it is drawn from p: independent of what the bottom-up pass drew for the
    /// group, and scaled by the group's temperature.
    ///
    /// # Errors
    /// As [`Pass::posterior_noise`].
    pub fn prior_noise(&self, group: usize, shape: Shape) -> Result<Tensor> {
        let noise = self.latent_noise((Stream::PriorLatent, group), shape, 1)?;
        match group.checked_sub(1).and_then(|index| self.temperatures.get(index)) {
            Some(&temperature) if temperature != 1.0 => noise.scale(temperature),
            _ => Ok(noise),
        }
    }

    /// A sample of latent group `group` from its p: the given one, if there is one, else drawn with
    /// [`Pass::prior_noise`] of its own for every row, or with one row of it for all.
    ///
    /// # Errors
    /// If the device has no memory; `Shape` if a given sample is not of the shape of p.
    pub(crate) fn sample_prior(
        &self,
        group: usize,
        p: &Gaussian,
        is_shared: bool,
    ) -> Result<Tensor> {
        let shape = *p.mean.shape();
        if let Some(Some(z)) = group.checked_sub(1).and_then(|index| self.given.get(index)) {
            if *z.shape() != shape {
                let rule = format!("a given sample of group {group} must have the shape of its p");
                return Err(Error::shape("sample_prior", rule, &[("z", *z.shape()), ("p", shape)]));
            }
            return Ok(z.clone());
        }
        if is_shared {
            let noise = self.prior_noise(group, shape.with_axis(0, 1))?;
            return p.sample_with(&noise.repeat_rows(shape.sizes()[0])?);
        }
        p.sample_with(&self.prior_noise(group, shape)?)
    }

    /// The numbers that choose which pixels are missing: [images, count].
    pub(crate) fn mask_noise(&self, shape: Shape) -> Result<Tensor> {
        self.latent_noise((Stream::Mask, 0), shape, 1)
    }

    fn latent_noise(
        &self,
        (stream, group): (Stream, usize),
        shape: Shape,
        rows_each: usize,
    ) -> Result<Tensor> {
        let address = Address::new(self.seed, stream.nth(group)?, self.step);
        let (device, dtype) = (self.store.device(), self.store.dtype());
        let Some(ImageNoise { images, first_sample }) = self.images else {
            let Some(share) = &self.share else {
                return Tensor::normal(device, dtype, address, shape);
            };
            let part = |part: Range<usize>| {
                let shape = shape.with_axis(0, part.len());
                Tensor::normal_from_row(device, dtype, address, part.start, shape)
            };
            return joined(share.rows(shape)?.parts.into_iter().map(part));
        };
        let (rows, columns) = (shape.sizes()[0], shape.last());
        if rows.checked_rem(images) != Some(0) {
            return Err(Error::argument(
                "pass",
                format!("{rows} rows are no samples of {images} images"),
            ));
        }
        Tensor::normal_rows(
            device,
            dtype,
            RowNoise {
                address,
                columns,
                samples: rows / images,
                first_sample: first_sample * rows_each,
            },
            rows,
        )
    }

    /// `x` with units dropped at this rate in training, unchanged otherwise; `layer` is a number of
    /// the layer's own.
    ///
    /// # Errors
    /// `Argument` unless 0 ≤ rate < 1.
    pub(crate) fn dropout(&self, x: &Tensor, rate: f64, layer: usize) -> Result<Tensor> {
        if rate == 0.0 || !self.drops_units {
            return Ok(x.clone());
        }
        let address = Address::new(self.seed, Stream::Dropout.nth(layer)?, self.step);
        let Some(share) = &self.share else { return x.dropout(rate, address) };
        // The mask of the whole step, of which this rank has parts.
        let Rows { parts, of } = share.rows(*x.shape())?;
        let all = Tensor::full(x.device(), x.dtype(), 1.0, x.shape().with_axis(0, of))?;
        let all = all.dropout(rate, address)?;
        x.mul(&joined(parts.into_iter().map(|part| all.slice(0, part.start, part.len())))?)
    }

    /// Where layers with data-dependent initialisation note their first values, if this is the pass
    /// in which they find them.
    pub(crate) fn initialisation(&mut self) -> Option<&mut Initialisation> {
        match &mut self.mode {
            Mode::Initialise(initialisation) => Some(initialisation),
            _ => None,
        }
    }

    /// The given statistics of a layer, if this pass has any.
    pub(crate) fn frozen(&self, id: StatisticsId) -> Option<&FrozenStatistics> {
        match &self.mode {
            Mode::Frozen(statistics) => Some(statistics.get(id)),
            Mode::Batch(..) | Mode::BatchOnly | Mode::Initialise(_) => None,
        }
    }

    /// What to normalise a layer with.
    pub(crate) fn statistics(&mut self, id: StatisticsId) -> LayerStatistics<'_> {
        match &mut self.mode {
            Mode::Frozen(statistics) => LayerStatistics::Frozen(statistics.get(id)),
            Mode::Batch(..) if !self.averages => LayerStatistics::Batch,
            Mode::Batch(statistics, weight) => {
                LayerStatistics::BatchAveraged(statistics.get_mut(id), *weight)
            }
            Mode::BatchOnly | Mode::Initialise(_) => LayerStatistics::Batch,
        }
    }
}

/// One or two parts, end to end along the first axis.
fn joined(parts: impl Iterator<Item = Result<Tensor>>) -> Result<Tensor> {
    let parts: Vec<Tensor> = parts.collect::<Result<_>>()?;
    match parts.as_slice() {
        [one] => Ok(one.clone()),
        parts => concat(&parts.iter().collect::<Vec<_>>(), 0),
    }
}
