//! Between feature maps and latents: the heads that give a Gaussian, and the projection of samples
//! back to a map.

use rung_autograd::ops::{Gaussian, concat};
use rung_autograd::{Result, Tensor};

use super::block::ELU;
use super::config::LogVariance;
use super::stage::LatentConfig;
use crate::layers::{Builder, Product, WeightNormed};
use crate::map_shape::MapShape;
use crate::pass::Pass;
use crate::steps::{Deviation, StepRecorder, Value};

/// Added to ln σ² where that is a softplus.
const LOG_VARIANCE_FLOOR: f64 = 1e-8;
/// Added to σ where that is a softplus.
const DEVIATION_FLOOR: f64 = 1e-6;

/// The Gaussian of a group, from the features of its stage: m = W_m e(f), r = W_r e(f); see
/// [`LogVariance`] for σ².
///
/// Both weights lie in one layer, the mean's output channels first, so that they are multiplied as
/// one product.
#[derive(Clone, Debug)]
pub(super) struct GroupHead {
    joined: WeightNormed,
    latent: LatentConfig,
    map: MapShape,
    log_variance: LogVariance,
}

impl GroupHead {
    pub(super) fn new(
        builder: &mut Builder<'_>,
        latent: LatentConfig,
        map: MapShape,
        log_variance: LogVariance,
    ) -> Self {
        let joined = match latent {
            LatentConfig::Dense { units } => {
                WeightNormed::new(builder, Product::Dense, map.units(), 2 * units)
            }
            LatentConfig::Map { channels, kernel } => {
                let product = Product::Convolution { kernel, stride: 1 };
                WeightNormed::new(builder, product, map.channels, 2 * channels)
            }
        };
        Self { joined, latent, map, log_variance }
    }

    /// Mean and variance, [rows, units] each, from a feature map.
    pub(super) fn forward(&self, pass: &mut Pass<'_>, features: &Tensor) -> Result<Gaussian> {
        let active = features.activate(ELU)?;
        let rows = active.shape().sizes()[0];
        let (heads, axis, channels) = match self.latent {
            LatentConfig::Dense { units } => {
                let flat = active.reshape([rows, self.map.units()])?;
                (self.joined.forward(pass, &flat)?, 1, units)
            }
            LatentConfig::Map { channels, .. } => {
                (self.joined.forward(pass, &active)?, 3, channels)
            }
        };
        let flat = [rows, self.latent.units(self.map)];
        let mean = heads.slice(axis, 0, channels)?.reshape(flat)?;
        let raw = heads.slice(axis, channels, channels)?.reshape(flat)?;
        Ok(Gaussian { mean, variance: self.variance(&raw)? })
    }

    /// The group's p as steps, from a feature map.
    pub(super) fn record(
        &self,
        recorder: &mut StepRecorder<'_>,
        features: Value,
        group: usize,
    ) -> Result<()> {
        let active = recorder.activate(features, ELU);
        let head = self.joined.record(recorder, active)?;
        let deviation = match self.log_variance {
            LogVariance::Softplus => Deviation::ExpSoftplus { floor: LOG_VARIANCE_FLOOR },
            LogVariance::Free => Deviation::Exp,
            LogVariance::SoftplusDeviation => Deviation::BinarySoftplus { floor: DEVIATION_FLOOR },
        };
        recorder.gaussian(group, head, deviation);
        Ok(())
    }

    fn variance(&self, raw: &Tensor) -> Result<Tensor> {
        match self.log_variance {
            LogVariance::Softplus => raw.softplus()?.shift(LOG_VARIANCE_FLOOR)?.exp(),
            LogVariance::Free => raw.exp(),
            LogVariance::SoftplusDeviation => {
                let ln_2 = std::f64::consts::LN_2;
                raw.scale(ln_2)?.softplus()?.scale(1.0 / ln_2)?.shift(DEVIATION_FLOOR)?.square()
            }
        }
    }
}

/// From samples, and the class if there is one, to a feature map: a dense layer to all its
/// positions for vectors; themselves, side by side, for maps.
#[derive(Clone, Debug)]
pub(super) struct Projection {
    dense: Option<WeightNormed>,
    output: MapShape,
    /// Channels of a group's map.
    channels: usize,
}

impl Projection {
    /// For `groups` groups of a stage and so many classes, to a map of this shape.
    pub(super) fn new(
        builder: &mut Builder<'_>,
        latent: LatentConfig,
        groups: usize,
        classes: usize,
        map: MapShape,
    ) -> Self {
        match latent {
            LatentConfig::Dense { units } => {
                let dense = WeightNormed::new(
                    builder,
                    Product::Dense,
                    groups * units + classes,
                    map.units(),
                );
                Self { dense: Some(dense), output: map, channels: 0 }
            }
            LatentConfig::Map { channels, .. } => Self {
                dense: None,
                output: map.with_channels(groups * channels + classes),
                channels,
            },
        }
    }

    /// The shape of what the projection makes.
    pub(super) const fn output(&self) -> MapShape {
        self.output
    }

    /// The map of the groups' samples, and of the class where there are classes, as steps.
    pub(super) fn record(
        &self,
        recorder: &mut StepRecorder<'_>,
        samples: &[Value],
        class: Option<Value>,
    ) -> Result<Value> {
        if let Some(dense) = &self.dense {
            let parts: Vec<Value> = samples.iter().copied().chain(class).collect();
            let x = recorder.beside(&parts);
            return Ok(dense.record(recorder, x)?.shaped(self.output));
        }
        let MapShape { height, width, .. } = self.output;
        let map = self.output.with_channels(self.channels);
        let class = class.map(|class| recorder.spread(class, height, width));
        let maps: Vec<Value> = samples.iter().map(|z| z.shaped(map)).chain(class).collect();
        Ok(recorder.beside(&maps))
    }

    /// The map of the groups' samples, [rows, units] each, and of the class as [rows, classes].
    pub(super) fn forward(
        &self,
        pass: &mut Pass<'_>,
        samples: &[&Tensor],
        class: Option<&Tensor>,
    ) -> Result<Tensor> {
        let rows = samples[0].shape().sizes()[0];
        let MapShape { height, width, channels } = self.output;
        if let Some(dense) = &self.dense {
            let parts: Vec<&Tensor> = samples.iter().copied().chain(class).collect();
            return dense
                .forward(pass, &joined(&parts, 1)?)?
                .reshape([rows, height, width, channels]);
        }
        let map = |z: &&Tensor| z.reshape([rows, height, width, self.channels]);
        let maps: Vec<Tensor> = samples.iter().map(map).collect::<Result<_>>()?;
        with_class(joined(&maps.iter().collect::<Vec<_>>(), 3)?, class)
    }
}

/// The map with a channel for each class beside its own: 1 everywhere in that of the row's class, 0
/// in the others.
pub(super) fn with_class(map: Tensor, class: Option<&Tensor>) -> Result<Tensor> {
    let Some(class) = class else { return Ok(map) };
    let (rows, classes) = (class.shape().sizes()[0], class.shape().sizes()[1]);
    let positions = Tensor::zeros(
        map.device(),
        map.dtype(),
        map.shape().with_axis(0, 1).with_axis(3, classes),
    )?;
    concat(&[&map, &class.reshape([rows, 1, 1, classes])?.add(&positions)?], 3)
}

/// The tensors side by side along an axis.
pub(super) fn joined(parts: &[&Tensor], axis: usize) -> Result<Tensor> {
    match parts {
        [only] => Ok((*only).clone()),
        parts => concat(parts, axis),
    }
}
