//! A small variational autoencoder: one of each of the operations that a training step is made of.

use rung_autograd::gradcheck::{Failure, Options, Report, gradcheck_parameters};
use rung_autograd::ops::{Activation, Gaussian};
use rung_autograd::optim::{Adam, AdamOptions, Optimiser, clip_gradients};
use rung_autograd::rng::Address;
use rung_autograd::{
    DType, Device, Initialiser, ParameterId, ParameterList, ParameterStore, Result, Tape, Tensor,
};

const SEED: u64 = 20;
const EPSILON: f64 = 1e-5;

/// Sizes of the model and its batch.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Examples in a batch.
    pub batch: usize,
    /// Pixels of an example.
    pub pixels: usize,
    /// Units of the hidden layers.
    pub hidden: usize,
    /// Units of the latent layer.
    pub latent: usize,
}

/// The handles of the parameters.
#[derive(Clone, Copy, Debug)]
struct Weights {
    encoder: ParameterId,
    scale: ParameterId,
    shift: ParameterId,
    head: ParameterId,
    head_bias: ParameterId,
    decoder: ParameterId,
    pixels: ParameterId,
    pixels_bias: ParameterId,
}

/// The model without its parameters, and the one batch it is trained on.
#[derive(Debug)]
struct Model {
    sizes: Sizes,
    weights: Weights,
    batch: Tensor,
}

/// The model, its parameters and its optimiser.
#[derive(Debug)]
pub struct Mlp {
    model: Model,
    store: ParameterStore,
    adam: Adam,
    tape: Tape,
    steps: u64,
}

impl Model {
    /// The negative bound per example, in nats, with the noise of `step`.
    fn loss(&self, store: &ParameterStore, tape: Option<&Tape>, step: u64) -> Result<Tensor> {
        let weight = |id| store.tensor(id, tape);
        let Weights { encoder, scale, shift, head, head_bias, decoder, pixels, pixels_bias } =
            self.weights;
        let hidden = self.batch.linear(&weight(encoder), None)?;
        let hidden =
            hidden.batch_norm(&weight(scale), &weight(shift), EPSILON, Activation::Softplus)?.out;
        let q_z = hidden.linear(&weight(head), Some(&weight(head_bias)))?.gaussian_head(EPSILON)?;
        let shape = [self.sizes.batch, self.sizes.latent];
        let z = q_z.sample_with(&Tensor::normal(
            store.device(),
            store.dtype(),
            Address::new(SEED, 101, step),
            shape,
        )?)?;
        let logits = z
            .linear(&weight(decoder), None)?
            .tanh()?
            .linear(&weight(pixels), Some(&weight(pixels_bias)))?;
        let rate = Gaussian::kl_to_standard_normal(&q_z)?;
        rate.sub(&logits.bernoulli_log_prob(&self.batch)?)?.mean_all()
    }
}

impl Mlp {
    /// A model with random weights and a random binary batch.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn new(device: &Device, dtype: DType, sizes: Sizes) -> Result<Self> {
        let Sizes { batch, pixels, hidden, latent } = sizes;
        let mut list = ParameterList::new();
        let glorot = |inputs, outputs| Initialiser::glorot_normal(inputs, outputs, 1.0);
        let weights = Weights {
            encoder: list.add("encoder.weight", [pixels, hidden], glorot(pixels, hidden)),
            scale: list.add("encoder.scale", [hidden], Initialiser::Constant(1.0)),
            shift: list.add("encoder.shift", [hidden], Initialiser::Constant(0.0)),
            head: list.add("head.weight", [hidden, 2 * latent], glorot(hidden, 2 * latent)),
            head_bias: list.add("head.bias", [2 * latent], Initialiser::Constant(0.0)),
            decoder: list.add("decoder.weight", [latent, hidden], glorot(latent, hidden)),
            pixels: list.add("pixels.weight", [hidden, pixels], glorot(hidden, pixels)),
            pixels_bias: list.add("pixels.bias", [pixels], Initialiser::Constant(-1.0)),
        };
        let store = list.build(device, dtype, Address::new(SEED, 0, 0))?;
        let grey = Tensor::uniform(device, dtype, Address::new(SEED, 100, 0), [batch, pixels])?;
        let batch = grey.less(&Tensor::full(device, dtype, 0.2, [1])?)?;
        let adam = Adam::new(&store, AdamOptions::default())?;
        Ok(Self {
            model: Model { sizes, weights, batch },
            store,
            adam,
            tape: Tape::new(),
            steps: 0,
        })
    }

    /// One step of training; gives the loss before it and the norm of its gradient, as scalars on
    /// the device.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn train_step(&mut self) -> Result<(Tensor, Tensor)> {
        self.steps += 1;
        self.store.clear_gradients();
        let loss = self.model.loss(&self.store, Some(&self.tape), self.steps)?;
        self.tape.backward_into(&[&loss], &mut self.store)?;
        let norm = clip_gradients(&mut self.store, 4.0, 0.9)?;
        self.adam.step(&mut self.store, 1e-3)?;
        Ok((loss.detach(), norm))
    }

    /// All parameters, for comparison bit by bit.
    ///
    /// # Errors
    /// If the device fails.
    pub fn parameters(&self) -> Result<Vec<Vec<f64>>> {
        self.store.ids().map(|id| self.store.tensor(id, None).to_f64()).collect()
    }

    /// Checks the gradient of the loss with respect to all parameters; needs f64.
    ///
    /// # Errors
    /// As [`gradcheck_parameters`].
    pub fn check_gradients(&mut self, options: &Options) -> std::result::Result<Report, Failure> {
        let Self { model, store, .. } = self;
        gradcheck_parameters(store, |store, tape| model.loss(store, tape, 1), options)
    }
}
