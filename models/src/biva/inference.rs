//! The bottom-up pass: features of every stage, and the samples of the bottom-up groups
//! (specification B, section 5.1).

use rung_autograd::ops::Gaussian;
use rung_autograd::{Result, Tensor};

use super::block::{Direction, ELU, GatedBlock, GatedBlockConfig};
use super::config::BivaConfig;
use super::head::{GroupHead, Projection, joined, with_class};
use super::stage::{BlockConfig, StageConfig};
use crate::layers::{Builder, Product, WeightNormed};
use crate::map_shape::MapShape;
use crate::pass::Pass;

/// The networks of the bottom-up pass.
#[derive(Clone, Debug)]
pub(super) struct Inference {
    stages: Vec<Stage>,
    /// The block between the features of the last stage and the head of z_L; the VAE has none.
    top: Option<GatedBlock>,
    top_head: GroupHead,
    /// q(y|x, z) from the features of the last stage, where there are classes.
    classifier: Option<ClassHead>,
}

/// Logits of the classes: W_y e(block(f)).
#[derive(Clone, Debug)]
struct ClassHead {
    block: GatedBlock,
    head: WeightNormed,
}

/// One stage of the bottom-up pass.
#[derive(Clone, Debug)]
struct Stage {
    /// The stream that samples travel on; empty without bottom-up groups.
    bottom_up: Vec<GatedBlock>,
    /// The deterministic stream; empty without top-down groups.
    deterministic: Vec<GatedBlock>,
    /// The bottom-up group and the projection of its sample into the next stage; none in the top
    /// stage.
    group: Option<(GroupHead, Projection)>,
}

/// What the bottom-up pass finds at a stage.
#[derive(Clone, Debug)]
pub(super) struct StageFeatures {
    /// The features of the bottom-up stream.
    bottom_up: Option<Tensor>,
    /// The features of the deterministic stream, which the top-down posterior reads.
    pub(super) deterministic: Option<Tensor>,
    /// The bottom-up group: its posterior and its sample.
    pub(super) group: Option<(Gaussian, Tensor)>,
}

impl StageFeatures {
    /// The features that the next stage sees beside what travels on its stream, side by side.
    fn skip(&self) -> Result<Tensor> {
        let parts: Vec<&Tensor> = self.bottom_up.iter().chain(&self.deterministic).collect();
        joined(&parts, 3)
    }
}

impl Inference {
    pub(super) fn new(builder: &mut Builder<'_>, config: &BivaConfig) -> Self {
        let mut builder = builder.at("inference");
        let maps = config.stage_maps();
        let mut streams =
            Streams { bottom_up: config.image, deterministic: config.image, skip: None };
        let mut stages = Vec::with_capacity(config.depth());
        for (index, (stage, &map)) in config.stages.iter().zip(&maps).enumerate() {
            let is_top = index + 1 == config.depth();
            stages.push(Stage::new(
                &mut builder.at(index + 1),
                config,
                stage,
                map,
                is_top,
                &mut streams,
            ));
        }
        let (last, map) = (&config.stages[config.depth() - 1], maps[config.depth() - 1]);
        let classifier =
            (config.classes > 0).then(|| ClassHead::new(&mut builder.at("y"), config, map));
        let mut builder = builder.at("top");
        let top = top_block(&mut builder, config, last, map);
        let top_head = GroupHead::new(&mut builder.at("q"), last.latent, map, config.log_variance);
        Self { stages, top, top_head, classifier }
    }

    /// From a batch of maps up to the features of the last stage, nearest to the data first;
    /// `draw(i − 1)` gives the sample of stage i's bottom-up group.
    pub(super) fn forward(
        &self,
        pass: &mut Pass<'_>,
        x: &Tensor,
        skips: bool,
        mut draw: impl FnMut(&mut Pass<'_>, usize, &Gaussian) -> Result<Tensor>,
    ) -> Result<Vec<StageFeatures>> {
        let (mut bottom_up, mut deterministic) = (x.clone(), x.clone());
        let mut stages: Vec<StageFeatures> = Vec::with_capacity(self.stages.len());
        for (index, stage) in self.stages.iter().enumerate() {
            let skip = match stages.last() {
                Some(below) if skips => Some(below.skip()?),
                _ => None,
            };
            let mut features = StageFeatures { bottom_up: None, deterministic: None, group: None };
            if !stage.bottom_up.is_empty() {
                bottom_up = through(&stage.bottom_up, pass, bottom_up, skip.as_ref())?;
                features.bottom_up = Some(bottom_up.clone());
            }
            if !stage.deterministic.is_empty() {
                let aux = if stage.bottom_up.is_empty() {
                    skip
                } else {
                    skips.then(|| bottom_up.clone())
                };
                deterministic = through(&stage.deterministic, pass, deterministic, aux.as_ref())?;
                features.deterministic = Some(deterministic.clone());
            }
            if let Some((head, projection)) = &stage.group {
                let q = head.forward(pass, &bottom_up)?;
                let z = draw(pass, index, &q)?;
                bottom_up = projection.forward(pass, &[&z], None)?;
                features.group = Some((q, z));
            }
            stages.push(features);
        }
        Ok(stages)
    }

    /// q(z_L | ·), given the class too where there are classes.
    pub(super) fn top(
        &self,
        pass: &mut Pass<'_>,
        stages: &[StageFeatures],
        class: Option<&Tensor>,
    ) -> Result<Gaussian> {
        let mut features = with_class(last_features(stages)?, class)?;
        if let Some(block) = &self.top {
            features = block.forward(pass, &features, None)?;
        }
        self.top_head.forward(pass, &features)
    }

    /// log q(y|x, z) of the bottom-up samples, [rows, classes]; `None` without classes.
    pub(super) fn class_log_probs(
        &self,
        pass: &mut Pass<'_>,
        stages: &[StageFeatures],
    ) -> Result<Option<Tensor>> {
        let Some(ClassHead { block, head }) = &self.classifier else { return Ok(None) };
        let features = block.forward(pass, &last_features(stages)?, None)?.activate(ELU)?;
        let rows = features.shape().sizes()[0];
        let flat = features.reshape([rows, features.shape().element_count() / rows.max(1)])?;
        head.forward(pass, &flat)?.log_softmax(1).map(Some)
    }
}

impl StageFeatures {
    /// What the top-down pass reads, with rows as `change` makes them of the rows there are.
    pub(super) fn with_rows(self, change: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let group = self.group.map(|(Gaussian { mean, variance }, z)| -> Result<_> {
            Ok((Gaussian { mean: change(&mean)?, variance: change(&variance)? }, change(&z)?))
        });
        let map = |map: Option<Tensor>| map.as_ref().map(&change).transpose();
        Ok(Self {
            bottom_up: map(self.bottom_up)?,
            deterministic: map(self.deterministic)?,
            group: group.transpose()?,
        })
    }
}

/// The features of both streams of the last stage, side by side.
fn last_features(stages: &[StageFeatures]) -> Result<Tensor> {
    let last = &stages[stages.len() - 1];
    let parts: Vec<&Tensor> = last.deterministic.iter().chain(&last.bottom_up).collect();
    joined(&parts, 3)
}

impl ClassHead {
    fn new(builder: &mut Builder<'_>, config: &BivaConfig, map: MapShape) -> Self {
        let block = BlockConfig { channels: map.channels, kernel: 1, stride: 1 };
        let input = map.with_channels(2 * map.channels);
        let dropout = config.inference_dropout;
        let block = GatedBlockConfig {
            input,
            aux: None,
            block,
            direction: Direction::BottomUp,
            residual: false,
            dropout,
        };
        Self {
            block: GatedBlock::new(&mut builder.at("block"), &block),
            head: WeightNormed::new(
                &mut builder.at("logits"),
                Product::Dense,
                map.units(),
                config.classes,
            ),
        }
    }
}

/// The shapes of what arrives at a stage.
struct Streams {
    bottom_up: MapShape,
    deterministic: MapShape,
    /// The features of the stage below, side by side.
    skip: Option<MapShape>,
}

impl Stage {
    fn new(
        builder: &mut Builder<'_>,
        config: &BivaConfig,
        stage: &StageConfig,
        map: MapShape,
        is_top: bool,
        streams: &mut Streams,
    ) -> Self {
        let (paths, skips, dropout) = (config.paths, config.skips, config.inference_dropout);
        let is_first = streams.skip.is_none();
        let skip = streams.skip.filter(|_| skips);
        let mut bottom_up = Vec::new();
        if paths.has_bottom_up() {
            let mut builder = builder.at("bottom_up");
            bottom_up =
                stream(&mut builder, &stage.blocks, streams.bottom_up, skip, !is_first, dropout);
        }
        let mut deterministic = Vec::new();
        if paths.has_top_down() {
            let aux = if paths.has_bottom_up() { Some(map).filter(|_| skips) } else { skip };
            let mut builder = builder.at("deterministic");
            deterministic =
                stream(&mut builder, &stage.blocks, streams.deterministic, aux, !is_first, dropout);
        }
        let group = (paths.has_bottom_up() && !is_top).then(|| {
            let head = GroupHead::new(&mut builder.at("q"), stage.latent, map, config.log_variance);
            (head, Projection::new(&mut builder.at("projection"), stage.latent, 1, 0, map))
        });
        streams.bottom_up = group.as_ref().map_or(map, |(_, projection)| projection.output());
        streams.deterministic = map;
        let features = usize::from(paths.has_bottom_up()) + usize::from(paths.has_top_down());
        streams.skip = Some(map.with_channels(features * map.channels));
        Self { bottom_up, deterministic, group }
    }
}

/// The blocks of a stage on one stream; all see the same second input.
fn stream(
    builder: &mut Builder<'_>,
    blocks: &[BlockConfig],
    mut input: MapShape,
    aux: Option<MapShape>,
    first_is_residual: bool,
    dropout: f64,
) -> Vec<GatedBlock> {
    let mut block = |(index, &block): (usize, &BlockConfig)| {
        let residual = index > 0 || first_is_residual;
        let config = GatedBlockConfig {
            input,
            aux,
            block,
            direction: Direction::BottomUp,
            residual,
            dropout,
        };
        let made = GatedBlock::new(&mut builder.at(index + 1), &config);
        input = made.output();
        made
    };
    blocks.iter().enumerate().map(&mut block).collect()
}

fn through(
    blocks: &[GatedBlock],
    pass: &mut Pass<'_>,
    mut x: Tensor,
    aux: Option<&Tensor>,
) -> Result<Tensor> {
    for block in blocks {
        x = block.forward(pass, &x, aux)?;
    }
    Ok(x)
}

/// The block at the top: over both streams' features side by side for BIVA, over the one stream's,
/// with a residual, for the LVAE.
fn top_block(
    builder: &mut Builder<'_>,
    config: &BivaConfig,
    last: &StageConfig,
    map: MapShape,
) -> Option<GatedBlock> {
    if !config.paths.has_top_down() {
        return None;
    }
    let streams = if config.paths.has_bottom_up() { 2 } else { 1 };
    let block = BlockConfig { stride: 1, ..*last.blocks.last()? };
    let input = map.with_channels(streams * map.channels + config.classes);
    let block = GatedBlockConfig {
        input,
        aux: None,
        block,
        direction: Direction::BottomUp,
        residual: true,
        dropout: config.inference_dropout,
    };
    Some(GatedBlock::new(&mut builder.at("block"), &block))
}
