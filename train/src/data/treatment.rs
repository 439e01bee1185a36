//! What is done to pixels before a model sees them, and what the number that the model gives them
//! is.
//!
//! A data set says what its values are ([`ValueRange`]), a configuration what it wants done to them
//! and which distribution describes them. [`settle`] decides what a configuration leaves open,
//! [`explain`] says what happens and refuses what makes no sense, and [`Measure`] is what a bound
//! of log p(x) then bounds. There is no second place that decides any of these.

use rung_datasets::{DataRecord, ImageShape, ValueRange};
use serde::{Deserialize, Serialize};

use crate::config::{Binarisation, Config, Dequantisation};
use crate::error::{Error, Result};
use crate::tasks::Pixels;

/// What log p(x) is a logarithm of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// A probability of images whose pixels have so many values and no others: a likelihood, which
    /// bits per dimension compare.
    #[default]
    Probability,
    /// A density of real-valued images: a likelihood in nats, of which bits per dimension say
    /// nothing.
    Density,
    /// Bernoulli probabilities to the power of grey levels: a cross-entropy, which sums to 1 over
    /// nothing.
    CrossEntropy,
    /// A density of pixels with so many values and no others, which grows without bound as it is
    /// concentrated on them.
    UnboundedDensity,
}

impl Measure {
    /// What the bounds of a configuration's model are for pixels of these values.
    #[must_use]
    pub fn of(config: &Config, values: ValueRange) -> Self {
        Self::with(
            config.family.pixels().0,
            config.data.binarisation,
            config.data.dequantisation,
            values,
        )
    }

    /// What they are for pixels of these values after this treatment, to a model of such pixels.
    #[must_use]
    pub fn with(
        pixels: Pixels,
        binarisation: Binarisation,
        dequantisation: Dequantisation,
        values: ValueRange,
    ) -> Self {
        let is_discrete = matches!(values, ValueRange::Binary | ValueRange::Bytes);
        match pixels {
            Pixels::Levels | Pixels::Any => Self::Probability,
            Pixels::Binary => match (values, binarisation) {
                (ValueRange::Binary, _) => Self::Probability,
                (_, Binarisation::None) => Self::CrossEntropy,
                _ => Self::Probability,
            },
            Pixels::Real => match dequantisation {
                _ if !is_discrete => Self::Density,
                Dequantisation::None => Self::UnboundedDensity,
                Dequantisation::Once | Dequantisation::EveryEpoch => Self::Probability,
            },
        }
    }

    /// Why bounds are no likelihoods of the images, in a few words; none where they are.
    #[must_use]
    pub const fn why_no_likelihood(self) -> Option<&'static str> {
        match self {
            Self::Probability | Self::Density => None,
            Self::CrossEntropy => Some("no likelihood: a Bernoulli cross-entropy of grey levels"),
            Self::UnboundedDensity => {
                Some("no likelihood: a density of pixels that have levels, without bound")
            }
        }
    }

    /// Whether bits per dimension mean something.
    #[must_use]
    pub const fn has_bits(self) -> bool {
        matches!(self, Self::Probability)
    }
}

/// What is done to grey images: what the configuration says, or what `auto` stands for with its
/// observation model.
#[must_use]
pub fn binarisation(config: &Config) -> Binarisation {
    match (config.data.binarisation, config.family.pixels().0) {
        (Binarisation::Auto, Pixels::Binary) => Binarisation::Dynamic,
        (Binarisation::Auto, Pixels::Real | Pixels::Levels | Pixels::Any) => Binarisation::None,
        (chosen, _) => chosen,
    }
}

/// Decides what a configuration leaves open about its data set: how many classes there are, how
/// many labels an image has, and `data.binarisation = auto`, and with it the observation model of
/// colour images. Gives what was decided that a user may not expect, a line each.
///
/// # Errors
/// If there is no clear choice; the settings to choose by are named.
pub fn settle(config: &mut Config, record: &DataRecord) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let classes = record.class_names.len();
    if classes > 0
        && let Some(configured) = config.family.settle_classes(classes)
    {
        lines.push(format!(
            "{} has {classes} classes: objective.classes = {classes}, where {configured} were \
            configured",
            record.name
        ));
    }
    if classes > 0 {
        let configured = config.family.positions();
        config.family.settle_positions(record.positions);
        let positions = config.family.positions();
        if positions != configured {
            lines.push(format!(
                "{} has {positions} labels an image: a model of as many positions, where \
                {configured} were configured",
                record.name
            ));
        }
    }
    if config.data.binarisation != Binarisation::Auto {
        return Ok(lines);
    }
    let is_bernoulli = config.family.pixels().0 == Pixels::Binary;
    config.data.binarisation = binarisation(config);
    let is_coloured = record.shape.channels > 1 && record.values != ValueRange::Binary;
    if !is_bernoulli || !is_coloured || !record.values.is_intensity() {
        return Ok(lines);
    }
    if record.values == ValueRange::Bytes && config.family.describe_levels() {
        config.data.binarisation = Binarisation::None;
        lines.push(
            "colour images in bytes: described by a mixture of discretised logistics \
            (model.observation = logistic_mixture; data.binarisation = dynamic would draw each \
            colour black or white instead)"
                .into(),
        );
        return Ok(lines);
    }
    let advice = "choose one: --set model.observation=gaussian --set data.dequantisation=once \
    describes the colours; --set data.binarisation=dynamic draws each of them 0 or 1; a \
    convolutional family, such as that of --preset biva-cifar-small, has model.observation = \
    logistic_mixture for bytes";
    Err(Error::new(format!(
        "{} has colour images ({}), and model.observation = bernoulli describes black and white",
        record.name, record.values
    ))
    .with_advice(advice))
}

/// What is done to the pixels of a data set before a model sees them, and what their bounds are if
/// that is not what a reader expects: one line each.
///
/// # Errors
/// If the observation model cannot describe such values.
pub fn explain(
    config: &Config,
    name: &str,
    shape: ImageShape,
    values: ValueRange,
) -> Result<Vec<String>> {
    let data = &config.data;
    let refuse = |needs: &str, advice: &str| {
        Err(Error::new(format!("{name} has {values}: {needs}")).with_advice(advice))
    };
    let mut lines = Vec::new();
    let is_discrete = matches!(values, ValueRange::Binary | ValueRange::Bytes);
    match config.family.pixels().0 {
        Pixels::Binary if !values.is_intensity() => {
            return refuse(
                "model.observation = bernoulli is for values from 0 to 1, or bytes",
                "bring the values to [0, 1] in the file, or describe them as they are with --set \
                model.observation=gaussian",
            );
        }
        Pixels::Levels if !is_discrete => {
            return refuse(
                "model.observation = logistic_mixture is for bytes",
                "save the images as whole numbers from 0 to 255, or choose --set \
                model.observation=gaussian (for a family of dense layers)",
            );
        }
        Pixels::Binary | Pixels::Any if values != ValueRange::Binary => {
            let what = if shape.channels > 1 { "each colour of a pixel" } else { "each pixel" };
            lines.extend(match data.binarisation {
                Binarisation::Auto | Binarisation::Dynamic => Some(format!(
                    "binarised: {what} is drawn black or white anew in every epoch, its value \
                    being the probability of white (data.binarisation = dynamic)"
                )),
                Binarisation::Static => Some(format!(
                    "binarised: {what} is drawn black or white once, its value being the \
                    probability of white (data.binarisation = static)"
                )),
                Binarisation::Threshold => Some(format!(
                    "binarised: {what} is white from one half up (data.binarisation = \
                    threshold)"
                )),
                Binarisation::None => None,
            });
        }
        Pixels::Real => lines.extend(match data.dequantisation {
            Dequantisation::None => None,
            _ if !is_discrete => Some(format!(
                "no noise is added: real numbers have no steps to fill (data.dequantisation = {} \
                is for bytes)",
                words(data.dequantisation)
            )),
            wanted => Some(format!(
                "dequantised: uniform noise fills the steps between the bytes (data.dequantisation \
                = {})",
                words(wanted)
            )),
        }),
        Pixels::Binary | Pixels::Levels | Pixels::Any => {}
    }
    if !values.is_intensity() {
        lines.push(
            "pictures show the values from 0 (black) to 1 (white) and cut the others off".into(),
        );
    }
    let advice = match Measure::of(config, values) {
        Measure::Probability | Measure::Density => return Ok(lines),
        Measure::CrossEntropy => {
            if let Some(key) = config.family.needs_black_and_white() {
                return refuse(
                    &format!("model.{key} is for black and white pixels"),
                    "leave data.binarisation = dynamic, which draws them so",
                );
            }
            "data.binarisation = dynamic makes them likelihoods of black and white images"
        }
        Measure::UnboundedDensity => "data.dequantisation = once makes them likelihoods",
    };
    let why = Measure::of(config, values).why_no_likelihood().unwrap_or_default();
    lines.push(format!("the bounds are {why}; {advice}"));
    Ok(lines)
}

/// Refuses images that are of another kind than those a model was trained on, where its observation
/// model can't tell.
///
/// # Errors
/// If one of the two has real values and the other bytes, for a Gaussian model, whose densities are
/// then of different things.
pub fn check_alike(
    config: &Config,
    trained_on: &DataRecord,
    name: &str,
    values: ValueRange,
) -> Result<()> {
    let is_discrete = |values| matches!(values, ValueRange::Binary | ValueRange::Bytes);
    let own = trained_on.values;
    let are_alike =
        is_discrete(own) == is_discrete(values) && own.is_intensity() == values.is_intensity();
    if config.family.pixels().0 != Pixels::Real || are_alike {
        return Ok(());
    }
    Err(Error::new(format!(
        "{name} has {values}, and the model was trained on {own}: their densities can't be compared"
    )))
}

const fn words(dequantisation: Dequantisation) -> &'static str {
    match dequantisation {
        Dequantisation::Once => "once",
        Dequantisation::EveryEpoch => "every_epoch",
        Dequantisation::None => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{Biva, Family, MatNet};
    use rung_datasets::{SplitChecksums, SplitSizes};
    use rung_models::biva::StageObservation;
    use rung_models::hierarchy::Observation;
    use rung_models::matnet::Missing;

    const REAL: ValueRange = ValueRange::Real { lowest: -1.0, highest: 1.0 };

    fn record(channels: usize, values: ValueRange) -> DataRecord {
        DataRecord {
            name: "npz:a.npz".into(),
            shape: ImageShape::new(channels, 8, 8),
            values,
            scale: 256.0,
            class_names: Vec::new(),
            positions: 1,
            images: SplitSizes { train: 9, validation: 0, test: 1 },
            sha256: SplitChecksums {
                train: String::new(),
                validation: String::new(),
                test: String::new(),
            },
        }
    }

    /// A model of pixels of this kind.
    fn config(
        pixels: Pixels,
        binarisation: Binarisation,
        dequantisation: Dequantisation,
    ) -> Config {
        let mut config = Config::default();
        match (&mut config.family, pixels) {
            (family, Pixels::Levels) => *family = levels(),
            (Family::Hierarchy(described), Pixels::Real) => {
                described.model.observation = Observation::Gaussian
            }
            _ => {}
        }
        (config.data.binarisation, config.data.dequantisation) = (binarisation, dequantisation);
        config
    }

    fn levels() -> Family {
        let mut biva = Biva::default();
        biva.model.observation = StageObservation::LogisticMixture;
        Family::Biva(biva)
    }

    fn lines(config: &Config, values: ValueRange) -> Vec<String> {
        explain(config, "npz:a.npz", ImageShape::new(1, 8, 8), values).unwrap()
    }

    #[test]
    fn grey_levels_are_binarised_aloud_and_black_and_white_in_silence() {
        let mut config = Config::default();
        assert!(settle(&mut config, &record(1, ValueRange::Bytes)).unwrap().is_empty());
        assert_eq!(config.data.binarisation, Binarisation::Dynamic);
        assert!(
            lines(&config, ValueRange::Bytes)[0]
                .starts_with("binarised: each pixel is drawn black or white anew")
        );
        assert!(lines(&config, ValueRange::Intensities)[0].contains("data.binarisation = dynamic"));
        assert!(lines(&config, ValueRange::Binary).is_empty());
        assert_eq!(Measure::of(&config, ValueRange::Bytes), Measure::Probability);
    }

    #[test]
    fn colours_are_never_binarised_by_default() {
        let refused = settle(&mut Config::default(), &record(3, ValueRange::Bytes)).unwrap_err();
        assert!(
            refused
                .cause()
                .contains("colour images (bytes 0 to 255), and model.observation = bernoulli"),
            "{refused}"
        );
        assert!(refused.advice().unwrap().contains("--set data.binarisation=dynamic"));
        let mut staged = Config { family: Family::Biva(Biva::default()), ..Config::default() };
        assert!(
            settle(&mut staged, &record(3, ValueRange::Bytes)).unwrap()[0]
                .contains("logistic_mixture")
        );
        assert_eq!(staged.family, levels());
        assert_eq!(staged.data.binarisation, Binarisation::None);
        let mut asked = config(Pixels::Binary, Binarisation::Dynamic, Dequantisation::None);
        assert!(settle(&mut asked, &record(3, ValueRange::Bytes)).unwrap().is_empty());
        let line = explain(&asked, "a", ImageShape::new(3, 8, 8), ValueRange::Bytes).unwrap();
        assert!(line[0].starts_with("binarised: each colour of a pixel is drawn"));
    }

    #[test]
    fn classes_are_the_data_sets_and_another_number_is_not_dropped_in_silence() {
        let mut record = record(1, ValueRange::Binary);
        record.class_names = ["a", "b", "c"].map(String::from).to_vec();
        let mut biva = Biva::default();
        biva.objective.label.labels = 6;
        for (classes, lines) in [
            (3, vec![]),
            (7, vec!["npz:a.npz has 3 classes: objective.classes = 3, where 7 were configured"]),
        ] {
            biva.objective.label.classes = classes;
            let mut config = Config { family: Family::Biva(biva.clone()), ..Config::default() };
            assert_eq!(settle(&mut config, &record).unwrap(), lines);
            assert_eq!(config.family.labels().unwrap().classes, 3);
        }
    }

    #[test]
    fn values_that_an_observation_model_cannot_describe_are_refused() {
        use Binarisation::{Dynamic, None as Grey};
        for (pixels, binarisation, values) in [
            (Pixels::Binary, Dynamic, REAL),
            (Pixels::Binary, Grey, REAL),
            (Pixels::Levels, Grey, REAL),
            (Pixels::Levels, Grey, ValueRange::Intensities),
        ] {
            let config = config(pixels, binarisation, Dequantisation::None);
            let refused = explain(&config, "a", ImageShape::new(1, 8, 8), values).unwrap_err();
            assert!(
                refused.cause().starts_with("a has ") && refused.advice().is_some(),
                "{refused}"
            );
        }
    }

    #[test]
    fn what_is_no_likelihood_is_called_so_and_has_no_bits() {
        let grey = config(Pixels::Binary, Binarisation::None, Dequantisation::None);
        assert_eq!(Measure::of(&grey, ValueRange::Intensities), Measure::CrossEntropy);
        assert!(
            lines(&grey, ValueRange::Bytes)[0]
                .contains("no likelihood: a Bernoulli cross-entropy of grey levels")
        );
        assert_eq!(Measure::of(&grey, ValueRange::Binary), Measure::Probability);
        let gaussian = |noise| config(Pixels::Real, Binarisation::None, noise);
        assert!(
            lines(&gaussian(Dequantisation::None), ValueRange::Bytes)[0]
                .contains("data.dequantisation = once")
        );
        for (noise, values, measure) in [
            (Dequantisation::None, ValueRange::Bytes, Measure::UnboundedDensity),
            (Dequantisation::None, ValueRange::Binary, Measure::UnboundedDensity),
            (Dequantisation::Once, ValueRange::Bytes, Measure::Probability),
            (Dequantisation::None, REAL, Measure::Density),
            (Dequantisation::EveryEpoch, ValueRange::Intensities, Measure::Density),
        ] {
            let found = Measure::of(&gaussian(noise), values);
            assert_eq!(found, measure, "{values}");
            assert_eq!(found.has_bits(), measure == Measure::Probability);
        }
        assert!(lines(&gaussian(Dequantisation::Once), REAL)[0].starts_with("no noise is added"));
        assert!(lines(&gaussian(Dequantisation::None), ValueRange::Intensities).is_empty());
        assert!(
            lines(&gaussian(Dequantisation::None), REAL)[0]
                .starts_with("pictures show the values from 0")
        );
    }

    #[test]
    fn pixels_are_imputed_black_or_white_alone() {
        let mut matnet = MatNet::default();
        matnet.model.missing = Missing::Quadrants;
        let mut config = Config { family: Family::MatNet(matnet), ..Config::default() };
        config.data.binarisation = Binarisation::None;
        let shape = ImageShape::new(1, 8, 8);
        let refused = explain(&config, "a", shape, ValueRange::Bytes).unwrap_err();
        assert!(refused.cause().contains("model.missing is for black and white"), "{refused}");
        assert!(explain(&config, "a", shape, ValueRange::Binary).is_ok());
        config.data.binarisation = Binarisation::Dynamic;
        assert!(explain(&config, "a", shape, ValueRange::Bytes).is_ok());
    }

    #[test]
    fn densities_of_bytes_and_of_reals_are_not_compared() {
        let gaussian = config(Pixels::Real, Binarisation::None, Dequantisation::Once);
        let own = record(1, ValueRange::Bytes);
        assert!(check_alike(&gaussian, &own, "b", ValueRange::Intensities).is_err());
        assert!(check_alike(&gaussian, &own, "b", ValueRange::Binary).is_ok());
        assert!(check_alike(&Config::default(), &own, "b", ValueRange::Intensities).is_ok());
    }
}
