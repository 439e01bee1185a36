//! The bottom-up and the merge chain: the inference model.
//!
//! In a block with latent layers 1 to K, nearest to the data first, the bottom-up modules follow
//! one another in the same order, and layer k reads the state that module k reads: that of layer 1
//! is the least processed. With gated units all layers of a block read that one.

use rung_autograd::ops::{Activation, Gaussian};
use rung_autograd::{Result, Tensor};

use super::config::{MatNetConfig, Module};
use super::generative::{Top, gaussian};
use super::transition::Transition;
use crate::layers::{Builder, Linear, Product};
use crate::map_shape::{MapShape, repeat_maps};
use crate::pass::Pass;

/// The networks of the inference model.
#[derive(Clone, Debug)]
pub(super) struct Inference {
    /// From the pixels to the map before the first block, where there is one.
    image: Option<Linear>,
    /// Nearest to the data first.
    blocks: Vec<Block>,
    top: TopHead,
    /// From the sample of the top to the first merge state.
    merge_start: Top,
    activation: Activation,
}

/// One resolution.
#[derive(Clone, Debug)]
struct Block {
    down: Linear,
    /// The modules of the bottom-up chain, nearest to the data first; none where the block refines.
    steps: Vec<Transition>,
    /// The merge modules, in the same order.
    merges: Vec<Merge>,
    /// To the merge state of the block below; none in the first.
    up: Option<Linear>,
    reads_first_state: bool,
}

/// q of a layer: the next merge state, and the head that reads it.
#[derive(Clone, Debug)]
struct Merge {
    step: Transition,
    head: Linear,
}

/// q of the top.
#[derive(Clone, Debug)]
struct TopHead {
    hidden: Linear,
    output: Linear,
}

/// What the bottom-up chain finds of some images.
#[derive(Clone, Debug)]
pub(super) struct BottomUp {
    /// The state that each layer reads, by block and layer, nearest to the data first.
    states: Vec<Vec<Tensor>>,
    /// Mean and log-variance of the top, before the scale.
    top: Tensor,
}

impl BottomUp {
    /// The same for each of `samples` samples of every image.
    pub(super) fn repeated(&self, samples: usize) -> Result<Self> {
        let block = |states: &Vec<Tensor>| -> Result<Vec<Tensor>> {
            states.iter().map(|state| repeat_maps(state, samples)).collect()
        };
        Ok(Self {
            states: self.states.iter().map(block).collect::<Result<_>>()?,
            top: self.top.repeat_rows(samples)?,
        })
    }

    /// q of the top.
    pub(super) fn top(&self, scale: &Tensor) -> Result<Gaussian> {
        gaussian(&self.top, scale)
    }
}

impl Inference {
    /// An inference model that reads images with `channels` channels.
    pub(super) fn new(builder: &mut Builder<'_>, config: &MatNetConfig, channels: usize) -> Self {
        let mut below = channels;
        let image = (config.image_channels > 0).then(|| {
            let outputs = config.image_channels;
            let (mut builder, inputs) =
                (builder.at("image"), std::mem::replace(&mut below, outputs));
            Linear::new(&mut builder, config.plain(), inputs, outputs, config.weight())
        });
        let mut blocks = Vec::with_capacity(config.blocks.len());
        for (index, block) in config.blocks.iter().enumerate() {
            blocks.push(Block::new(&mut builder.at("block").at(index + 1), config, index, below));
            below = block.channels;
        }
        let top = TopHead::new(&mut builder.at("top"), config);
        let merge_start = Top::new(&mut builder.at("merge"), config);
        Self { image, blocks, top, merge_start, activation: config.activation() }
    }

    /// The bottom-up chain over a batch of maps.
    pub(super) fn bottom_up(&self, pass: &Pass<'_>, x: &Tensor) -> Result<BottomUp> {
        let mut state = match &self.image {
            None => x.clone(),
            Some(image) => image.forward(pass, x)?.activate(self.activation)?,
        };
        let mut states = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            state = block.down.forward(pass, &state)?.activate(self.activation)?;
            let first = state.clone();
            let mut read = Vec::with_capacity(block.merges.len());
            for step in &block.steps {
                let next = step.forward(pass, &[], &state)?;
                read.push(if block.reads_first_state { first.clone() } else { state });
                state = next;
            }
            read.resize(block.merges.len(), first);
            states.push(read);
        }
        let shape = state.shape();
        let rows = shape.sizes()[0];
        let flat = state.reshape([rows, shape.element_count() / rows.max(1)])?;
        let hidden = self.top.hidden.forward(pass, &flat)?.activate(self.activation)?;
        Ok(BottomUp { states, top: self.top.output.forward(pass, &hidden)? })
    }

    /// The first merge state, from the sample of the top: what is in it of the images is what the
    /// sample has.
    pub(super) fn start(&self, pass: &Pass<'_>, top: &Tensor) -> Result<Tensor> {
        self.merge_start.forward(pass, top)
    }

    /// q of a layer, and the merge state after it, from the top-down state above, what the
    /// bottom-up chain found and the merge state above.
    pub(super) fn merge(
        &self,
        pass: &Pass<'_>,
        (block, layer): (usize, usize),
        top_down: &Tensor,
        bottom_up: &BottomUp,
        merged: &Tensor,
        scale: &Tensor,
    ) -> Result<(Gaussian, Tensor)> {
        let Merge { step, head } = &self.blocks[block].merges[layer];
        let read = [top_down, &bottom_up.states[block][layer]];
        let next = step.forward(pass, &read, merged)?;
        Ok((gaussian(&head.forward(pass, &next)?, scale)?, next))
    }

    /// From the last merge state of a block to the first of the block below; below the first block
    /// there is none.
    pub(super) fn leave(&self, pass: &Pass<'_>, block: usize, merged: Tensor) -> Result<Tensor> {
        match &self.blocks[block].up {
            None => Ok(merged),
            Some(up) => up.forward(pass, &merged)?.activate(self.activation),
        }
    }
}

impl Block {
    /// `below` is how many channels the map below has.
    fn new(builder: &mut Builder<'_>, config: &MatNetConfig, index: usize, below: usize) -> Self {
        let block = config.blocks[index];
        let (channels, latent, weight) = (block.channels, block.latent_channels, config.weight());
        let (product, mut at) = (config.down(block.stride), builder.at("down"));
        let down = Linear::new(&mut at, product, below, channels, weight);
        let (mut steps, mut merges) = (Vec::new(), Vec::new());
        let own = if block.refines { 1 } else { block.layers };
        for number in 1..=own {
            let mut step = |name: &str, read| {
                let (mut at, module) = (builder.at(name), config.module_of(index));
                // What a merge module or none reads is no sample, so that nothing is to be added.
                let module = if module == Module::Additive { Module::Residual } else { module };
                Transition::new(&mut at.at(number), config, module, read, channels, true)
            };
            if !block.refines {
                steps.push(step("bottom_up", 0));
            }
            let step = step("merge", 2 * channels);
            let mut at = builder.at("q");
            let head =
                Linear::new(&mut at.at(number), config.plain(), channels, 2 * latent, weight);
            merges.push(Merge { step, head });
        }
        if let [merge] = &merges[..] {
            // Layers that refine share their weights.
            merges = vec![merge.clone(); block.layers];
        }
        let up = index.checked_sub(1).map(|below| {
            let (product, below) = (config.up(block.stride), config.blocks[below].channels);
            Linear::new(&mut builder.at("up"), product, channels, below, weight)
        });
        Self { down, steps, merges, up, reads_first_state: config.module_of(index) == Module::Gru }
    }
}

impl TopHead {
    fn new(builder: &mut Builder<'_>, config: &MatNetConfig) -> Self {
        let map: MapShape = config.top_map();
        let mut dense = |name: &str, inputs, outputs| {
            let (product, weight) = (Product::Dense, config.weight());
            Linear::new(&mut builder.at(name), product, inputs, outputs, weight)
        };
        Self {
            hidden: dense("hidden", map.units(), config.top_hidden),
            output: dense("q", config.top_hidden, 2 * config.top_units),
        }
    }
}
