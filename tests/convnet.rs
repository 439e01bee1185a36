//! A small convolutional autoencoder of weight-normalised layers with a gate, a transposed
//! convolution and a mixture of logistics: one of each of the operations that the training step of
//! a convolutional model adds.

use rung_autograd::gradcheck::{Failure, Options, Report, gradcheck_parameters};
use rung_autograd::optim::{Adamax, AdamaxOptions, Optimiser, ParameterAverage};
use rung_autograd::rng::Address;
use rung_autograd::{
    DType, Device, Initialiser, ParameterId, ParameterList, ParameterStore, Result, Tape, Tensor,
};

const SEED: u64 = 30;
const LEVELS: usize = 256;
/// Channels of the narrowest map, before its gate.
const GATED: usize = 12;
const HIDDEN: usize = 10;
const COMPONENTS: usize = 2;

/// A weight's direction, its gain and its bias.
#[derive(Clone, Copy, Debug)]
struct Layer {
    v: ParameterId,
    gain: ParameterId,
    bias: ParameterId,
    /// The axis of v that its output channels are.
    channel_axis: usize,
}

impl Layer {
    fn new(list: &mut ParameterList, name: &str, shape: [usize; 4], channel_axis: usize) -> Self {
        let channels = shape[channel_axis];
        Self {
            v: list.add(format!("{name}.v"), shape, Initialiser::Normal { sigma: 0.05 }),
            gain: list.add(format!("{name}.gain"), [channels], Initialiser::Constant(1.0)),
            bias: list.add(format!("{name}.bias"), [channels], Initialiser::Constant(0.0)),
            channel_axis,
        }
    }

    /// Its weight and its bias.
    fn read(&self, store: &ParameterStore, tape: Option<&Tape>) -> Result<(Tensor, Tensor)> {
        let weight = store
            .tensor(self.v, tape)
            .weight_norm(&store.tensor(self.gain, tape), self.channel_axis)?;
        Ok((weight, store.tensor(self.bias, tape)))
    }
}

/// The model, its parameters, its optimiser, and the one batch it is trained on:
/// `[batch, size, size, 1]`.
#[derive(Debug)]
pub struct ConvNet {
    layers: [Layer; 4],
    batch: Tensor,
    store: ParameterStore,
    adamax: Adamax,
    average: ParameterAverage,
    tape: Tape,
}

/// The negative log-likelihood per example, in nats.
fn loss(
    layers: &[Layer; 4],
    batch: &Tensor,
    store: &ParameterStore,
    tape: Option<&Tape>,
) -> Result<Tensor> {
    let [up, narrow, down, pixels] = layers.each_ref().map(|layer| layer.read(store, tape));
    let ((up, up_bias), (narrow, narrow_bias)) = (up?, narrow?);
    let ((down, down_bias), (pixels, pixels_bias)) = (down?, pixels?);
    let hidden = batch.conv2d(&up, Some(&up_bias), 1)?.elu(1.0)?;
    let code = hidden.conv2d(&narrow, Some(&narrow_bias), 2)?.gate()?;
    let wide = code.conv_transpose2d(&down, Some(&down_bias), 2)?.add(&hidden)?.elu(1.0)?;
    let wide = wide.dropout(0.2, Address::new(SEED, 1, 1))?;
    let parameters = wide.conv2d(&pixels, Some(&pixels_bias), 1)?;
    let &[images, height, width, numbers] = parameters.shape().sizes() else {
        unreachable!("a map has four axes")
    };
    let x = batch.reshape([images, height * width, 1])?;
    let parameters = parameters.reshape([images, height * width, numbers])?;
    parameters.logistic_mixture_log_prob(&x, LEVELS)?.mean_all()?.neg()
}

impl ConvNet {
    /// A model with random weights and a random batch of grey images.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn new(device: &Device, dtype: DType, batch: usize, size: usize) -> Result<Self> {
        let mut list = ParameterList::new();
        let layers = [
            Layer::new(&mut list, "up", [3, 3, 1, HIDDEN], 3),
            Layer::new(&mut list, "narrow", [5, 5, HIDDEN, GATED], 3),
            Layer::new(&mut list, "down", [3, 3, HIDDEN, GATED / 2], 2),
            Layer::new(&mut list, "pixels", [1, 1, HIDDEN, 3 * COMPONENTS], 3),
        ];
        let store = list.build(device, dtype, Address::new(SEED, 0, 0))?;
        let grey =
            Tensor::uniform(device, dtype, Address::new(SEED, 100, 0), [batch, size, size, 1])?;
        let adamax = Adamax::new(&store, AdamaxOptions::default())?;
        let average = ParameterAverage::new(&store, 0.9)?;
        Ok(Self {
            layers,
            batch: grey.affine(1.6, -0.8)?,
            store,
            adamax,
            average,
            tape: Tape::new(),
        })
    }

    /// One step of training; gives the loss before it.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn train_step(&mut self) -> Result<Tensor> {
        self.store.clear_gradients();
        let loss = loss(&self.layers, &self.batch, &self.store, Some(&self.tape))?;
        self.tape.backward_into(&[&loss], &mut self.store)?;
        self.adamax.step(&mut self.store, 2e-3)?;
        self.average.update(&self.store)?;
        Ok(loss.detach())
    }

    /// Checks the gradient of the loss with respect to all parameters; needs f64.
    ///
    /// # Errors
    /// As [`gradcheck_parameters`].
    pub fn check_gradients(&mut self, options: &Options) -> std::result::Result<Report, Failure> {
        let Self { layers, batch, store, .. } = self;
        gradcheck_parameters(store, |store, tape| loss(layers, batch, store, tape), options)
    }
}
