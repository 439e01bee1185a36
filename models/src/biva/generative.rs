//! The top-down pass: the generative model, and the top-down posteriors that share its features
//! (specification B, section 5.2).
//!
//! Prior and posterior of a stage stand side by side in [`Stage`], so that what they share, the
//! features above, is visible.

use rung_autograd::ops::Gaussian;
use rung_autograd::{Result, Tensor};

use super::block::{Direction, ELU, GatedBlock, GatedBlockConfig};
use super::config::{BivaConfig, Paths};
use super::head::{GroupHead, Projection};
use super::stage::{BlockConfig, StageConfig};
use crate::autoregressive::AutoregressiveHead;
use crate::layers::{Builder, Product, WeightNormed};
use crate::map_shape::MapShape;
use crate::observation::{ObservationParameters, PixelObservation};
use crate::pass::Pass;
use crate::steps::{Choice, Recorded, StepPixels, StepRecorder, Value};

/// The networks of the top-down pass.
#[derive(Clone, Debug)]
pub(super) struct Generative {
    /// Nearest to the data first; the top-down pass begins with the last.
    stages: Vec<Stage>,
    output: WeightNormed,
    pixels: PixelObservation,
    /// What predicts each pixel from those before it, if the model has it.
    autoregressive: Option<AutoregressiveHead>,
    skips: bool,
}

/// One stage of the top-down pass, and the heads of the groups below it, which read its features.
#[derive(Clone, Debug)]
struct Stage {
    projection: Projection,
    blocks: Vec<GatedBlock>,
    below: Option<Heads>,
}

/// The distributions of the groups of the stage below.
#[derive(Clone, Debug)]
struct Heads {
    /// p of the bottom-up group.
    bottom_up: Option<GroupHead>,
    top_down: Option<TopDown>,
}

/// The top-down group: p from the generative features, q from these merged with those of the
/// bottom-up pass.
#[derive(Clone, Debug)]
struct TopDown {
    p: GroupHead,
    merge: GatedBlock,
    q: GroupHead,
}

/// The distributions of the groups of a stage, given all that is above. `None` where there is no
/// such group.
#[derive(Clone, Debug)]
pub(super) struct StageDistributions {
    /// p of the bottom-up group.
    pub(super) p_bottom_up: Option<Gaussian>,
    /// p of the top-down group.
    pub(super) p_top_down: Option<Gaussian>,
    /// q of the top-down group, where the features of the bottom-up pass were given.
    pub(super) q_top_down: Option<Gaussian>,
}

/// Where the top-down pass is: the features so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Descent {
    /// The outputs of the blocks of the stage above: the second inputs of this stage's, one to
    /// one. Empty without skip connections.
    above: Vec<Tensor>,
    features: Option<Tensor>,
}

impl Generative {
    pub(super) fn new(builder: &mut Builder<'_>, config: &BivaConfig) -> Self {
        let mut builder = builder.at("generative");
        let maps = config.stage_maps();
        let mut stages = Vec::with_capacity(config.depth());
        let mut above: Vec<MapShape> = Vec::new();
        for index in (0..config.depth()).rev() {
            let below = index.checked_sub(1).map(|below| (&config.stages[below], maps[below]));
            let is_top = index + 1 == config.depth();
            let mut builder = builder.at(index + 1);
            stages.push(Stage::new(
                &mut builder,
                config,
                &config.stages[index],
                maps[index],
                below,
                is_top,
                &mut above,
            ));
        }
        stages.reverse();
        let features = above.last().map_or(config.image.channels, |map| map.channels);
        let pixels = config.pixels();
        let pointwise = Product::Convolution { kernel: 1, stride: 1 };
        let output =
            WeightNormed::new(&mut builder.at("x"), pointwise, features, pixels.parameters());
        let autoregressive = config.autoregressive().map(|config| {
            AutoregressiveHead::new(&mut builder.at("autoregressive"), &config, pixels, features)
        });
        Self { stages, output, pixels, autoregressive, skips: config.skips }
    }

    /// Goes down through one stage, given the samples of its groups and the class, if the model has
    /// classes; gives the distributions of the stage below, and the top-down posterior there if the
    /// features of the bottom-up pass at that stage are given. `index` is i − 1; nothing is below
    /// stage 1.
    pub(super) fn descend(
        &self,
        pass: &mut Pass<'_>,
        descent: &mut Descent,
        index: usize,
        samples: &[&Tensor],
        class: Option<&Tensor>,
        features_below: Option<&Tensor>,
    ) -> Result<Option<StageDistributions>> {
        let stage = &self.stages[index];
        let mut g = stage.projection.forward(pass, samples, class)?;
        let mut outputs = Vec::with_capacity(stage.blocks.len());
        for (index, block) in stage.blocks.iter().enumerate() {
            g = block.forward(pass, &g, descent.above.get(index))?;
            if self.skips {
                outputs.push(g.clone());
            }
        }
        descent.above = outputs;
        let distributions = match &stage.below {
            Some(heads) => Some(heads.forward(pass, &g, features_below)?),
            None => None,
        };
        descent.features = Some(g);
        Ok(distributions)
    }

    /// All of it as steps, of so many classes; `units` are those of the groups in their order,
    /// nearest to the data first.
    pub(super) fn record(
        &self,
        pass: &Pass<'_>,
        units: &[usize],
        classes: usize,
    ) -> Result<Recorded> {
        if self.autoregressive.is_some() {
            return Ok(Err("its pixels are drawn one after another, each given those before it"));
        }
        let mut recorder = StepRecorder::new(pass);
        let class = (classes > 0).then(|| recorder.choice(Choice::Class, classes));
        let mut group = units.len() - 1;
        let mut samples = vec![recorder.sample(group, units[group])];
        let mut above: Vec<Value> = Vec::new();
        let mut features = samples[0];
        for stage in self.stages.iter().rev() {
            let mut g = stage.projection.record(&mut recorder, &samples, class)?;
            let mut outputs = Vec::with_capacity(stage.blocks.len());
            for (index, block) in stage.blocks.iter().enumerate() {
                g = block.record(&mut recorder, g, above.get(index).copied())?;
                outputs.push(g);
            }
            above = if self.skips { outputs } else { Vec::new() };
            features = g;
            samples.clear();
            let below = stage.below.as_ref().map_or([None, None], Heads::priors);
            for head in below.into_iter().flatten() {
                group -= 1;
                head.record(&mut recorder, g, group)?;
                samples.push(recorder.sample(group, units[group]));
            }
        }
        let active = recorder.activate(features, ELU);
        self.output.record(&mut recorder, active)?;
        let mixture = self.pixels.components;
        let pixels =
            mixture.map_or(StepPixels::Logits, |components| StepPixels::Mixture { components });
        Ok(Ok(recorder.finish(pixels)))
    }

    /// p(x | z) at the end of the top-down pass.
    pub(super) fn observe(
        &self,
        pass: &mut Pass<'_>,
        descent: Descent,
    ) -> Result<ObservationParameters> {
        let Some(g) = descent.features else {
            return Err(rung_autograd::Error::argument(
                "observe",
                "bug: the top-down pass has not begun; please report it",
            ));
        };
        let features = g.activate(ELU)?;
        let parameters = self.output.forward(pass, &features)?;
        match &self.autoregressive {
            None => self.pixels.distribution(&parameters),
            Some(head) => {
                let p_x = head.forward(pass, &features, &parameters)?;
                Ok(ObservationParameters::Autoregressive(p_x))
            }
        }
    }
}

impl Stage {
    /// `above` has the shapes of the block outputs of the stage above, and of this one afterwards.
    fn new(
        builder: &mut Builder<'_>,
        config: &BivaConfig,
        stage: &StageConfig,
        map: MapShape,
        below: Option<(&StageConfig, MapShape)>,
        is_top: bool,
        above: &mut Vec<MapShape>,
    ) -> Self {
        let groups = if config.paths == Paths::Bidirectional && !is_top { 2 } else { 1 };
        let projection = Projection::new(
            &mut builder.at("projection"),
            stage.latent,
            groups,
            config.classes,
            map,
        );
        let mut input = projection.output();
        let mut blocks = Vec::with_capacity(stage.blocks.len());
        let mut outputs = Vec::with_capacity(stage.blocks.len());
        for (index, &block) in stage.blocks.iter().rev().enumerate() {
            let aux = above.get(index).copied().filter(|_| config.skips);
            let (residual, dropout) = (index > 0, config.generative_dropout);
            let block = GatedBlockConfig {
                input,
                aux,
                block,
                direction: Direction::TopDown,
                residual,
                dropout,
            };
            let made = GatedBlock::new(&mut builder.at("block").at(index + 1), &block);
            input = made.output();
            outputs.push(input);
            blocks.push(made);
        }
        *above = outputs;
        let kernel = stage.blocks[0].kernel;
        let below = below.map(|(below, below_map)| {
            Heads::new(&mut builder.at("below"), config, below, below_map, input, kernel)
        });
        Self { projection, blocks, below }
    }
}

impl Heads {
    /// `map` is the shape of the features of the bottom-up pass at the stage, `features` that of
    /// the features of the top-down pass above it.
    fn new(
        builder: &mut Builder<'_>,
        config: &BivaConfig,
        stage: &StageConfig,
        map: MapShape,
        features: MapShape,
        kernel: usize,
    ) -> Self {
        let head = |builder: &mut Builder<'_>, name: &str, map: MapShape| {
            GroupHead::new(&mut builder.at(name), stage.latent, map, config.log_variance)
        };
        let bottom_up =
            config.paths.has_bottom_up().then(|| head(builder, "p_bottom_up", features));
        let top_down = config.paths.has_top_down().then(|| {
            let (p, q) = (head(builder, "p_top_down", features), head(builder, "q_top_down", map));
            let merge = GatedBlockConfig {
                input: map,
                aux: Some(features),
                block: BlockConfig { channels: map.channels, kernel, stride: 1 },
                direction: Direction::BottomUp,
                residual: true,
                dropout: config.generative_dropout,
            };
            TopDown { p, merge: GatedBlock::new(&mut builder.at("merge"), &merge), q }
        });
        Self { bottom_up, top_down }
    }

    /// p of the top-down group and of the bottom-up one, in the order that their samples are read
    /// in.
    fn priors(&self) -> [Option<&GroupHead>; 2] {
        [self.top_down.as_ref().map(|top_down| &top_down.p), self.bottom_up.as_ref()]
    }

    fn forward(
        &self,
        pass: &mut Pass<'_>,
        generated: &Tensor,
        inferred: Option<&Tensor>,
    ) -> Result<StageDistributions> {
        let mut distributions =
            StageDistributions { p_bottom_up: None, p_top_down: None, q_top_down: None };
        if let Some(head) = &self.bottom_up {
            distributions.p_bottom_up = Some(head.forward(pass, generated)?);
        }
        if let Some(TopDown { p, merge, q }) = &self.top_down {
            distributions.p_top_down = Some(p.forward(pass, generated)?);
            if let Some(inferred) = inferred {
                let merged = merge.forward(pass, inferred, Some(generated))?;
                distributions.q_top_down = Some(q.forward(pass, &merged)?);
            }
        }
        Ok(distributions)
    }
}
