//! The architecture of a spatial transformer network as data: `[model]` of a configuration file.

use rung_autograd::{Convolution, Outside, Padding};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::layers::GruReset;
use crate::map_shape::MapShape;
use crate::rules::{BrokenRule, LARGEST_KERNEL, LARGEST_LAYER, dropout_rate, layer_sizes, rule};

/// Side of every kernel.
pub(super) const KERNEL: usize = 3;

/// Side of the windows between two convolutions.
pub(super) const POOL: usize = 2;

/// The family's names in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpnFamily {
    /// The recurrent spatial transformer: one glimpse for each digit.
    #[default]
    RnnSpn,
    /// The feed-forward spatial transformer: one glimpse for all digits.
    FfnSpn,
    /// No transformer: the classifier sees the whole canvas.
    SequenceConvnet,
}

/// What a transformer reads outside of the canvas: [`Outside`] by its name in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutsideRule {
    /// Zeros.
    #[default]
    Zeros,
    /// The pixels of the border.
    Border,
    /// Nothing, and not the last row and column either: the published training's layer.
    PaperTime,
}

impl From<OutsideRule> for Outside {
    fn from(rule: OutsideRule) -> Self {
        match rule {
            OutsideRule::Zeros => Self::Zeros,
            OutsideRule::Border => Self::Border,
            OutsideRule::PaperTime => Self::PaperTime,
        }
    }
}

/// A network that reads the digits of a canvas from left to right.
///
/// Convolutions are 3 × 3 without padding, each followed by a rectifier, with 2 × 2 max-pooling
/// between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpnConfig {
    /// Which network this describes.
    pub family: SpnFamily,
    /// Side of the max-pooling windows through which the first network sees the canvas: the
    /// localisation network, or the classifier of `sequence_convnet`. 1 for none. Glimpses are
    /// taken of the canvas itself.
    pub input_pool: usize,
    /// Channels of each convolution of the localisation network.
    pub localisation_channels: Vec<usize>,
    /// Width of each dense layer between these and θ (ffn_spn).
    pub localisation_hidden: Vec<usize>,
    /// Units of the recurrent layer (rnn_spn).
    pub recurrent_units: usize,
    /// Where the recurrent layer's reset gate acts (rnn_spn).
    pub gru_reset: GruReset,
    /// Down-sampling factor d of each side: a glimpse of a canvas of H × W has ⌊H/d⌋ × ⌊W/d⌋
    /// pixels.
    pub downsampling: f64,
    /// What is read outside of the canvas.
    pub outside: OutsideRule,
    /// Factor of the learning rate of the layer that gives θ: its output counts this often.
    pub theta_rate: f64,
    /// Channels of each convolution of the classifier.
    pub classifier_channels: Vec<usize>,
    /// Width of each dense layer of the classifier before the classes.
    pub classifier_hidden: Vec<usize>,
    /// Dropout rate: before the last pooling of the localisation network, and before every
    /// convolution of the classifier but the first.
    pub dropout: f64,
    /// Shape of a canvas. It is the data's, so that no file names it.
    #[serde(skip)]
    pub image: MapShape,
    /// How many classes a digit has. They are the data's.
    #[serde(skip)]
    pub classes: usize,
    /// How many digits a canvas has. They are the data's.
    #[serde(skip)]
    pub positions: usize,
}

impl Default for SpnConfig {
    /// The published recurrent network.
    fn default() -> Self {
        Self {
            family: SpnFamily::RnnSpn,
            input_pool: 2,
            localisation_channels: vec![20; 3],
            localisation_hidden: vec![200],
            recurrent_units: 256,
            gru_reset: GruReset::After,
            downsampling: 3.0,
            outside: OutsideRule::Zeros,
            theta_rate: 1.0,
            classifier_channels: vec![32; 3],
            classifier_hidden: vec![400],
            dropout: 0.0,
            image: MapShape { height: 0, width: 0, channels: 0 },
            classes: 0,
            positions: 0,
        }
    }
}

impl SpnConfig {
    /// The same architecture for canvases of this shape with so many digits of so many classes.
    #[must_use]
    pub fn for_sequences(self, image: MapShape, positions: usize, classes: usize) -> Self {
        Self { image, positions, classes, ..self }
    }

    /// The kind of network, in words.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.family {
            SpnFamily::RnnSpn => "recurrent spatial transformer network (RNN-SPN)",
            SpnFamily::FfnSpn => "feed-forward spatial transformer network (FFN-SPN)",
            SpnFamily::SequenceConvnet => "convolutional network for sequences",
        }
    }

    /// Glimpses that the classifier sees of a canvas; 0 if it sees the canvas.
    #[must_use]
    pub const fn glimpses(&self) -> usize {
        match self.family {
            SpnFamily::RnnSpn => self.positions,
            SpnFamily::FfnSpn => 1,
            SpnFamily::SequenceConvnet => 0,
        }
    }

    /// Digits that the classifier reads off one map.
    pub(super) const fn positions_at_once(&self) -> usize {
        match self.family {
            SpnFamily::RnnSpn => 1,
            SpnFamily::FfnSpn | SpnFamily::SequenceConvnet => self.positions,
        }
    }

    /// Height and width of a glimpse.
    #[must_use]
    pub fn glimpse(&self) -> [usize; 2] {
        [self.image.height, self.image.width].map(|side| (side as f64 / self.downsampling) as usize)
    }

    /// The maps that the localisation network's convolutions make, the canvas it sees first; none
    /// where a map is too small for the next convolution.
    fn localisation_maps(&self) -> Option<Vec<MapShape>> {
        maps(self.pooled(), &self.localisation_channels)
    }

    /// The maps that the classifier's convolutions make, what it sees first.
    fn classifier_maps(&self) -> Option<Vec<MapShape>> {
        let [height, width] = self.glimpse();
        let seen = match self.family {
            SpnFamily::RnnSpn | SpnFamily::FfnSpn => MapShape { height, width, ..self.image },
            SpnFamily::SequenceConvnet => self.pooled(),
        };
        maps(seen, &self.classifier_channels)
    }

    /// The canvas as the first network sees it.
    const fn pooled(&self) -> MapShape {
        self.image.pooled(self.input_pool)
    }

    /// Units of the last map of the localisation network, and of the classifier.
    pub(super) fn features(&self) -> [usize; 2] {
        let units = |maps: Option<Vec<MapShape>>| {
            maps.and_then(|maps| maps.last().copied()).map_or(0, MapShape::units)
        };
        [units(self.localisation_maps()), units(self.classifier_maps())]
    }

    /// Elements of the largest map that a canvas gives.
    #[must_use]
    pub fn largest_map(&self) -> usize {
        let largest = |maps: Option<Vec<MapShape>>| {
            maps.into_iter().flatten().map(MapShape::units).max().unwrap_or(0)
        };
        let rows = self.glimpses().max(1);
        let localisation = if self.glimpses() > 0 { largest(self.localisation_maps()) } else { 0 };
        localisation.max(rows * largest(self.classifier_maps())).max(self.image.units())
    }

    /// The convolutions of a pass over so many canvases.
    #[must_use]
    pub fn convolutions(&self, canvases: usize) -> Vec<Convolution> {
        let of = |maps: Option<Vec<MapShape>>, batch: usize| {
            let maps = maps.unwrap_or_default();
            let pairs = maps.iter().zip(maps.iter().skip(1)).enumerate();
            let convolution = |(number, (before, after)): (usize, (&MapShape, &MapShape))| {
                let seen = if number == 0 { *before } else { before.pooled(POOL) };
                Convolution {
                    batch,
                    input: [seen.height, seen.width],
                    in_channels: seen.channels,
                    out_channels: after.channels,
                    kernel: [KERNEL; 2],
                    stride: 1,
                    padding: Padding::Valid,
                }
            };
            pairs.map(convolution).collect::<Vec<_>>()
        };
        let localisation = if self.glimpses() > 0 { self.localisation_maps() } else { None };
        let mut all = of(localisation, canvases);
        all.extend(of(self.classifier_maps(), canvases * self.glimpses().max(1)));
        all
    }

    /// Refuses what makes no network, whatever the data.
    ///
    /// # Errors
    /// The first rule that is broken, with key and value.
    pub fn check(&self) -> Result<(), BrokenRule> {
        let pool = self.input_pool;
        let sides = format!("must be 1 to {LARGEST_KERNEL}");
        rule((1..=LARGEST_KERNEL).contains(&pool), "input_pool", pool, sides)?;
        layer_sizes("localisation_channels", &self.localisation_channels)?;
        layer_sizes("classifier_channels", &self.classifier_channels)?;
        for (key, sizes) in [
            ("localisation_hidden", &self.localisation_hidden),
            ("classifier_hidden", &self.classifier_hidden),
        ] {
            let valid = sizes.iter().all(|size| (1..=LARGEST_LAYER).contains(size));
            rule(valid, key, format!("{sizes:?}"), "each layer needs 1 to 65536 units")?;
        }
        let units = self.recurrent_units;
        let valid = (1..=LARGEST_LAYER).contains(&units);
        rule(valid, "recurrent_units", units, "must be 1 to 65536")?;
        let factor = self.downsampling;
        let valid = (0.1..=100.0).contains(&factor);
        rule(
            valid,
            "downsampling",
            factor,
            "must be 0.1 to 100: the canvas' side over a glimpse's",
        )?;
        let rate = self.theta_rate;
        let valid = rate > 0.0 && rate <= 1.0;
        rule(valid, "theta_rate", rate, "must be above 0 and at most 1")?;
        dropout_rate("dropout", self.dropout)
    }

    /// Refuses data that the network can't be for.
    ///
    /// # Errors
    /// The first rule that is broken, with key and value.
    pub fn check_data(&self) -> Result<(), BrokenRule> {
        let MapShape { height, width, channels } = self.image;
        let shape = format!("{channels}x{height}x{width}");
        rule(self.image.units() > 0, "image", &shape, "an image must have at least one value")?;
        let classes = self.classes;
        rule((2..=LARGEST_LAYER).contains(&classes), "classes", classes, "must be 2 to 65536")?;
        let positions = self.positions;
        rule((1..=64).contains(&positions), "positions", positions, "must be 1 to 64")?;
        let has_transformer = self.family != SpnFamily::SequenceConvnet;
        let [glimpse_height, glimpse_width] = self.glimpse();
        rule(
            !has_transformer || self.localisation_maps().is_some(),
            "localisation_channels",
            format!("{:?}", self.localisation_channels),
            format!("so many 3 x 3 convolutions with pooling between do not fit into {shape}"),
        )?;
        let seen = if has_transformer {
            format!("glimpses of {glimpse_height}x{glimpse_width}")
        } else {
            shape
        };
        rule(
            self.classifier_maps().is_some(),
            "classifier_channels",
            format!("{:?}", self.classifier_channels),
            format!("so many 3 x 3 convolutions with pooling between do not fit into {seen}"),
        )
    }
}

/// The maps that convolutions with these channels make of `first`, with pooling between them: the
/// first, then what each convolution gives. `None` where a map is too small.
fn maps(first: MapShape, channels: &[usize]) -> Option<Vec<MapShape>> {
    let mut all = vec![first];
    for (number, &channels) in channels.iter().enumerate() {
        let before = *all.last()?;
        let before = if number == 0 { before } else { before.pooled(POOL) };
        let convolved = before.unpadded(KERNEL)?;
        all.push(convolved.with_channels(channels));
    }
    Some(all)
}
