//! The top-down chain: the generative model.

use rung_autograd::ops::{Activation, Gaussian};
use rung_autograd::{Initialiser, ParameterId, Result, Tensor};

use super::config::{LayerPrior, MatNetConfig, Module};
use super::transition::{CHANNELS, Transition};
use crate::autoregressive::AutoregressiveHead;
use crate::layers::{Builder, Linear, Product};
use crate::map_shape::MapShape;
use crate::mixture_prior::MixturePrior;
use crate::observation::{ObservationParameters, PixelObservation};
use crate::pass::Pass;
use crate::steps::{Deviation, Recorded, StepPixels, StepRecorder, Value};

/// Bernoulli logits are kept within ± this, where a pixel's probability is 3·10⁻⁷ or 1 less that.
const LARGEST_LOGIT: f64 = 15.0;

/// The networks of the top-down chain.
#[derive(Clone, Debug)]
pub(super) struct Generative {
    top: Top,
    /// Nearest to the data first; the chain begins with the last.
    blocks: Vec<Block>,
    /// From the map between the first block and the pixels, where there is one.
    image: Option<Linear>,
    scale: ParameterId,
    top_beside_samples: bool,
    /// The prior of the top, where it is a mixture.
    top_prior: Option<MixturePrior>,
    activation: Activation,
    pixels: PixelObservation,
    autoregressive: Option<AutoregressiveHead>,
}

/// The layers of one resolution, nearest to the data first, and what leads to the map below.
#[derive(Clone, Debug)]
struct Block {
    layers: Vec<Layer>,
    up: Linear,
    latent_map: MapShape,
    refines: bool,
}

/// One latent layer: its prior, and the step that its sample leads to.
#[derive(Clone, Debug)]
struct Layer {
    prior: Option<Prior>,
    step: Transition,
}

/// The Gaussian of a layer given the state above: means of two convolutions and a variance of 1, or
/// with gated units both of one.
#[derive(Clone, Debug)]
struct Prior {
    hidden: Option<Linear>,
    output: Linear,
}

/// From the vector of the top to the first state: two dense layers.
#[derive(Clone, Debug)]
pub(super) struct Top {
    hidden: Linear,
    output: Linear,
    map: MapShape,
    activation: Activation,
}

impl Top {
    pub(super) fn new(builder: &mut Builder<'_>, config: &MatNetConfig) -> Self {
        let map = config.top_map();
        let mut builder = builder.at("top");
        let mut dense = |name: &str, inputs, outputs| {
            let (product, weight) = (Product::Dense, config.weight());
            Linear::new(&mut builder.at(name), product, inputs, outputs, weight)
        };
        Self {
            hidden: dense("hidden", config.top_units, config.top_hidden),
            output: dense("output", config.top_hidden, map.units()),
            map,
            activation: config.activation(),
        }
    }

    /// The first state as steps.
    fn record(&self, recorder: &mut StepRecorder<'_>, z: Value) -> Result<Value> {
        let hidden = self.hidden.record(recorder, z)?;
        let hidden = recorder.activate(hidden, self.activation);
        let state = self.output.record(recorder, hidden)?;
        Ok(recorder.activate(state, self.activation).shaped(self.map))
    }

    /// The state that the sample of the top [rows, units] leads to.
    pub(super) fn forward(&self, pass: &Pass<'_>, z: &Tensor) -> Result<Tensor> {
        let hidden = self.hidden.forward(pass, z)?.activate(self.activation)?;
        let MapShape { height, width, channels } = self.map;
        self.output.forward(pass, &hidden)?.activate(self.activation)?.reshape([
            z.shape().sizes()[0],
            height,
            width,
            channels,
        ])
    }
}

impl Generative {
    pub(super) fn new(builder: &mut Builder<'_>, config: &MatNetConfig) -> Self {
        let mut builder = builder.at("generative");
        let scale = builder.parameter("scale", [1], Initialiser::Constant(config.initial_scale));
        let top_prior = config
            .mixture_prior()
            .map(|mixture| MixturePrior::new(&mut builder.at("top").at("prior"), mixture));
        let top = Top::new(&mut builder, config);
        let mut blocks = Vec::with_capacity(config.blocks.len());
        for index in (0..config.blocks.len()).rev() {
            blocks.push(Block::new(&mut builder.at("block").at(index + 1), config, index));
        }
        blocks.reverse();
        let image = (config.image_channels > 0).then(|| {
            let (inputs, outputs) = (config.image_channels, config.pixels().parameters());
            Linear::new(&mut builder.at("image"), config.plain(), inputs, outputs, config.weight())
        });
        let autoregressive = config.autoregressive().map(|sizes| {
            let (mut builder, features) = (builder.at("autoregressive"), config.image_channels);
            AutoregressiveHead::new(&mut builder, &sizes, config.pixels(), features)
        });
        Self {
            top,
            blocks,
            image,
            scale,
            top_beside_samples: config.top_beside_samples,
            top_prior,
            activation: config.activation(),
            pixels: config.pixels(),
            autoregressive,
        }
    }

    /// s, which multiplies every mean and log-variance.
    pub(super) fn scale(&self, pass: &Pass<'_>) -> Tensor {
        pass.parameter(self.scale)
    }

    /// p of the top, where it is a mixture.
    pub(super) const fn top_prior(&self) -> Option<&MixturePrior> {
        self.top_prior.as_ref()
    }

    /// The first state, from the sample of the top.
    pub(super) fn start(&self, pass: &Pass<'_>, top: &Tensor) -> Result<Tensor> {
        self.top.forward(pass, top)
    }

    /// p of a layer given the state above; `None` is the standard normal.
    pub(super) fn prior(
        &self,
        pass: &Pass<'_>,
        (block, layer): (usize, usize),
        state: &Tensor,
    ) -> Result<Option<Gaussian>> {
        let Some(Prior { hidden, output }) = &self.blocks[block].layers[layer].prior else {
            return Ok(None);
        };
        match hidden {
            None => gaussian(&output.forward(pass, state)?, &self.scale(pass)).map(Some),
            Some(hidden) => {
                let hidden = hidden.forward(pass, state)?.activate(self.activation)?;
                let mean = output.forward(pass, &hidden)?.mul(&self.scale(pass))?;
                let rows = mean.shape().sizes()[0];
                let mean = mean.reshape([rows, mean.shape().element_count() / rows.max(1)])?;
                let variance = Tensor::full(mean.device(), mean.dtype(), 1.0, *mean.shape())?;
                Ok(Some(Gaussian { mean, variance }))
            }
        }
    }

    /// The sample of the top [rows, units] as a map of a block, the same at every position, where
    /// the model has it beside the samples of the block.
    pub(super) fn spread(&self, block: usize, top: &Tensor) -> Result<Option<Tensor>> {
        let MapShape { height, width, .. } = self.blocks[block].latent_map;
        let map = [top.shape().sizes()[0], height, width, top.shape().last()];
        let spread = || top.repeat_rows(height * width)?.reshape(map);
        self.top_beside_samples.then(spread).transpose()
    }

    /// The state after a layer, whose sample is [rows, units]; `top` is what
    /// [`Generative::spread`] gives for the block.
    pub(super) fn advance(
        &self,
        pass: &Pass<'_>,
        (block, layer): (usize, usize),
        state: &Tensor,
        z: &Tensor,
        top: Option<&Tensor>,
    ) -> Result<Tensor> {
        let Block { layers, latent_map: MapShape { height, width, channels }, .. } =
            &self.blocks[block];
        let map = z.reshape([z.shape().sizes()[0], *height, *width, *channels])?;
        let read: Vec<&Tensor> = [&map].into_iter().chain(top).collect();
        layers[layer].step.forward(pass, &read, state)
    }

    /// All of it as steps; `units` are those of the layers, nearest to the data first.
    pub(super) fn record(&self, pass: &Pass<'_>, units: &[usize]) -> Result<Recorded> {
        if self.autoregressive.is_some() {
            return Ok(Err("its pixels are drawn one after another, each given those before it"));
        }
        let scale = self.scale(pass).to_f64()?.first().copied().unwrap_or(1.0);
        let mut recorder = StepRecorder::new(pass);
        let mut group = units.len() - 1;
        if let Some(prior) = &self.top_prior {
            prior.record(&mut recorder, group)?;
        }
        let top = recorder.sample(group, units[group]);
        let mut state = self.top.record(&mut recorder, top)?;
        let mut refined: Option<Value> = None;
        for (index, block) in self.blocks.iter().enumerate().rev() {
            let MapShape { height, width, .. } = block.latent_map;
            let spread = self.top_beside_samples.then(|| recorder.spread(top, height, width));
            for layer in block.layers.iter().rev() {
                group -= 1;
                if let Some(prior) = &layer.prior {
                    prior.record(&mut recorder, state, (group, scale), self.activation)?;
                }
                let z = recorder.sample(group, units[group]).shaped(block.latent_map);
                let read: Vec<Value> = [z].into_iter().chain(spread).collect();
                state = layer.step.record(&mut recorder, &read, state)?;
                if block.refines {
                    let added = block.up.record(&mut recorder, state)?;
                    refined = Some(match refined {
                        Some(sum) => recorder.add(sum, added),
                        None => added,
                    });
                }
            }
            if index > 0 {
                state = self.record_leaving(&mut recorder, block, state)?;
            }
        }
        let map = match (&self.image, refined) {
            (Some(image), _) => {
                let features = self.record_leaving(&mut recorder, &self.blocks[0], state)?;
                image.record(&mut recorder, features)?
            }
            (None, Some(refined)) => refined,
            (None, None) => self.blocks[0].up.record(&mut recorder, state)?,
        };
        let pixels = match self.pixels.components {
            Some(components) => StepPixels::Mixture { components },
            None => {
                recorder.clamp(map, LARGEST_LOGIT);
                StepPixels::Logits
            }
        };
        Ok(Ok(recorder.finish(pixels)))
    }

    fn record_leaving(
        &self,
        recorder: &mut StepRecorder<'_>,
        block: &Block,
        state: Value,
    ) -> Result<Value> {
        let below = block.up.record(recorder, state)?;
        Ok(recorder.activate(below, self.activation))
    }

    /// From the last state of a block to the first of the block below.
    pub(super) fn leave(&self, pass: &Pass<'_>, block: usize, state: &Tensor) -> Result<Tensor> {
        self.blocks[block].up.forward(pass, state)?.activate(self.activation)
    }

    /// The parameters of the pixels so far and what a state of the block adds to them, where the
    /// block refines the image.
    pub(super) fn refine(
        &self,
        pass: &Pass<'_>,
        block: usize,
        state: &Tensor,
        so_far: Option<Tensor>,
    ) -> Result<Option<Tensor>> {
        let Block { up, refines, .. } = &self.blocks[block];
        if !refines {
            return Ok(None);
        }
        let added = up.forward(pass, state)?;
        so_far.map_or(Ok(added.clone()), |sum| sum.add(&added)).map(Some)
    }

    /// p(x | z), from the last state of the first block, or from what its states have `refined`.
    pub(super) fn observe(
        &self,
        pass: &mut Pass<'_>,
        state: &Tensor,
        refined: Option<Tensor>,
    ) -> Result<ObservationParameters> {
        let Some(image) = &self.image else {
            let map = refined.map_or_else(|| self.blocks[0].up.forward(pass, state), Ok)?;
            return self.pixels.distribution(&self.clipped(map)?);
        };
        let features = self.leave(pass, 0, state)?;
        let map = self.clipped(image.forward(pass, &features)?)?;
        match &self.autoregressive {
            None => self.pixels.distribution(&map),
            Some(head) => {
                let p_x = head.forward(pass, &features, &map)?;
                Ok(ObservationParameters::Autoregressive(p_x))
            }
        }
    }

    fn clipped(&self, map: Tensor) -> Result<Tensor> {
        match self.pixels.components {
            None => map.clamp(-LARGEST_LOGIT, LARGEST_LOGIT),
            Some(_) => Ok(map),
        }
    }
}

impl Block {
    fn new(builder: &mut Builder<'_>, config: &MatNetConfig, index: usize) -> Self {
        let block = config.blocks[index];
        let below = match (index.checked_sub(1), config.image_channels) {
            (Some(below), _) => config.blocks[below].channels,
            (None, 0) => config.pixels().parameters(),
            (None, channels) => channels,
        };
        let mut layer =
            |number: usize| Layer::new(&mut builder.at("layer").at(number), config, index);
        let layers = match block.refines {
            true => vec![layer(1); block.layers],
            false => (1..=block.layers).map(&mut layer).collect(),
        };
        let (product, weight) = (config.up(block.stride), config.weight());
        let up = Linear::new(&mut builder.at("up"), product, block.channels, below, weight);
        Self { layers, up, latent_map: config.latent_map(index), refines: block.refines }
    }
}

impl Layer {
    fn new(builder: &mut Builder<'_>, config: &MatNetConfig, block: usize) -> Self {
        let (read, module) = (config.read_beside(block), config.module_of(block));
        let block = config.blocks[block];
        let (channels, latent) = (block.channels, block.latent_channels);
        let prior = (config.prior == LayerPrior::Conditional)
            .then(|| Prior::new(&mut builder.at("prior"), config, (module, channels), latent));
        let path = config.deterministic_paths;
        let step = Transition::new(builder, config, module, read, channels, path);
        Self { prior, step }
    }
}

impl Prior {
    /// p of a group as steps, from the state above; `scale` multiplies means and log-variances.
    fn record(
        &self,
        recorder: &mut StepRecorder<'_>,
        state: Value,
        (group, scale): (usize, f64),
        activation: Activation,
    ) -> Result<()> {
        let (head, deviation) = match &self.hidden {
            None => (self.output.record(recorder, state)?, Deviation::Exp),
            Some(hidden) => {
                let hidden = hidden.record(recorder, state)?;
                let hidden = recorder.activate(hidden, activation);
                (self.output.record(recorder, hidden)?, Deviation::One)
            }
        };
        let scaled = recorder.affine(head, scale, 0.0);
        recorder.gaussian(group, scaled, deviation);
        Ok(())
    }

    fn new(
        builder: &mut Builder<'_>,
        config: &MatNetConfig,
        (module, channels): (Module, usize),
        latent: usize,
    ) -> Self {
        let mut layer = |name: &str, outputs| {
            Linear::new(&mut builder.at(name), config.plain(), channels, outputs, config.weight())
        };
        match module {
            Module::Gru => Self { hidden: None, output: layer("output", 2 * latent) },
            Module::Residual | Module::Additive => {
                Self { hidden: Some(layer("hidden", channels)), output: layer("output", latent) }
            }
        }
    }
}

/// The Gaussian of a head's map or rows, the means' channels first and the log-variances' behind
/// them: mean s·m and variance exp(s·r), [rows, units] each.
pub(super) fn gaussian(head: &Tensor, scale: &Tensor) -> Result<Gaussian> {
    let scaled = head.mul(scale)?;
    let (axis, rows) = (head.shape().rank() - 1, head.shape().sizes()[0]);
    let channels = head.shape().last() / 2;
    let units = head.shape().element_count() / (2 * rows.max(1));
    debug_assert!(axis == CHANNELS || axis == 1);
    let mean = scaled.slice(axis, 0, channels)?.reshape([rows, units])?;
    let log_variance = scaled.slice(axis, channels, channels)?.reshape([rows, units])?;
    Ok(Gaussian { mean, variance: log_variance.exp()? })
}
