//! The presets: one configuration for each experiment of the papers, built into the program.
//!
//! Each says only what differs from the defaults, with the row of the paper's table that it
//! reproduces on its first line. Those of the ladder paper's regular grid are written out of one
//! table (`grid.rs`); each other is a file of `train/presets/`.

mod grid;

use std::sync::LazyLock;

use crate::error::{Error, Result};
use rung_datasets::nearest::did_you_mean;

/// What `rung` trains when it is told nothing.
pub const DEFAULT_JOB: &str = "glyphs-ladder-5";

macro_rules! embed {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../presets/", $name, ".toml")))),*]
    };
}

/// The preset that comes before the grid.
const FIRST_FILES: &[(&str, &str)] = embed!["glyphs-ladder-5"];
/// Those that come after it.
const LAST_FILES: &[(&str, &str)] = embed![
    "mnist-ladder-5-quick",
    "biva-mnist-dense",
    "biva-mnist-small",
    "biva-mnist-small-ar",
    "biva-mnist",
    "biva-cifar-small",
    "biva-cifar-small-ar",
    "biva-cifar10",
    "mnist-matnet-dense",
    "mnist-matnet-mixture",
    "mnist-matnet-small",
    "mnist-matnet-impute",
    "mnist-matnet",
    "mnist-matnet-gru",
    "mnist-matnet-dense-512",
    "omniglot-matnet",
    "omniglot-matnet-refiner",
    "omniglot-matnet-mixture",
    "cifar10-matnet",
    "mnist-adgm-100",
    "mnist-sdgm-100",
    "mnist-adgm-100-narrow",
    "mnist-sdgm-100-narrow",
    "mnist-m2-100",
    "mnist-100-labels",
    "svhn-sdgm-1000",
    "norb-sdgm-1000",
    "moons-sdgm",
    "sequences-rnn-spn-d1",
    "sequences-rnn-spn-d2",
    "sequences-rnn-spn-d3",
    "sequences-rnn-spn-d4",
    "sequences-ffn-spn-d2",
    "sequences-convnet",
    "glyphs-rnn-spn-small",
    "mnist-classifier",
    "glyphs-classifier"
];

static PRESETS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let owned = |(name, text): &(&str, &str)| (name.to_string(), text.to_string());
    FIRST_FILES
        .iter()
        .map(owned)
        .chain(grid::presets())
        .chain(LAST_FILES.iter().map(owned))
        .collect()
});

/// Every preset's name and text, in the order of the papers.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    PRESETS.iter().map(|(name, text)| (name.as_str(), text.as_str()))
}

/// The text of a preset.
///
/// # Errors
/// If there is no such preset; the nearest name is given.
pub fn text(name: &str) -> Result<&'static str> {
    all().find(|(known, _)| *known == name).map(|(_, text)| text).ok_or_else(|| {
        let guess = did_you_mean(name, all().map(|(known, _)| known));
        Error::new(format!("unknown preset {name}{guess}"))
            .with_advice("rung info --presets lists every preset with what it reproduces")
    })
}

/// What a preset reproduces: the comment that it begins with, up to an empty line of it.
pub fn summary(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("# "));
    lines.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers::Layers;
    use crate::config::{Binarisation, Config, OptimiserName, ScheduleName};
    use crate::tasks::{Family, Hierarchy};
    use rung_models::hierarchy::{GenerativeWidths, Inference, Observation};
    use rung_models::layers::Nonlinearity;

    fn preset(name: &str) -> Config {
        let mut layers = Layers::new(&Config::default()).unwrap();
        layers.add_preset(name).unwrap();
        layers.finish().unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn hierarchy(name: &str) -> Hierarchy {
        match preset(name).family {
            Family::Hierarchy(hierarchy) => hierarchy,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// The presets whose names follow the grid of the ladder paper.
    fn of_the_ladder_paper() -> impl Iterator<Item = (&'static str, &'static str)> {
        all().take(FIRST_FILES.len() + grid::presets().count())
    }

    #[test]
    fn the_quick_ladder_is_the_papers() {
        let [quick, paper] = ["mnist-ladder-5-quick", "mnist-ladder-5"].map(hierarchy);
        assert_eq!(quick.model, paper.model);
    }

    #[test]
    fn summaries_are_whole_sentences_of_however_many_lines() {
        assert_eq!(summary("# One,\n# two.\n#\n# Three.\n\n[model]\n"), "One, two.");
        for (name, text) in all() {
            assert!(summary(text).ends_with('.'), "{name}: {}", summary(text));
        }
    }

    #[test]
    fn the_published_models_of_stages_have_the_published_parameters() {
        for (name, count) in [
            ("biva-mnist-dense", 3_786_048),
            ("biva-mnist", 31_550_946),
            ("biva-cifar10", 102_948_560),
        ] {
            let config = preset(name);
            let list = crate::model::parameter_list(
                &config,
                crate::data::published_shape(&config.data).unwrap(),
            )
            .unwrap();
            assert_eq!(list.element_count(), count, "{name}");
            let Family::Biva(biva) = &config.family else { panic!("{name}: {config:?}") };
            assert_eq!(
                (biva.objective.bound.free_bits_nats, config.family.warmup_epochs()),
                (2.0, 0),
                "{name}"
            );
            assert_eq!(config.optimiser.name, OptimiserName::Adamax, "{name}");
        }
    }

    /// Counted from the equations, module by module: a convolution of 3 x 3 from i channels to o
    /// has 9io + o parameters, a dense layer io + o. Of `mnist-matnet`: TD and IM each 10
    /// residual modules, BU 10, and what leads in, out and between.
    #[test]
    fn matnets_have_the_parameters_that_the_equations_say() {
        let (conv, dense) = (|i: usize, o: usize| 9 * i * o + o, |i: usize, o: usize| i * o + o);
        let from_top = dense(32, 128) + dense(128, 49 * 64);
        let td = 10 * (conv(4 + 64, 64) + conv(64, 64)) + conv(64, 64) + conv(64, 32) + conv(32, 1);
        let merge = 10 * (conv(3 * 64, 64) + conv(64, 64) + conv(64, 2 * 4)) + conv(64, 64);
        let bu = conv(1, 32) + conv(32, 64) + conv(64, 64) + 10 * 2 * conv(64, 64);
        let bu = bu + dense(49 * 64, 128) + dense(128, 2 * 32);
        let start = dense(32, 256) + dense(256, 49 * 128);
        // The layers at full resolution once: they share their weights.
        let refiner = start
            + 3 * (conv(6 + 128, 128) + conv(128, 128) + conv(6 + 64, 64) + conv(64, 64))
            + conv(128, 64)
            + conv(64, 32)
            + (conv(6 + 32, 2 * 32) + conv(6 + 32, 32) + conv(32, 1) + 1)
            + start
            + 3 * (conv(3 * 128, 128) + conv(128, 128) + conv(128, 12))
            + 3 * (conv(3 * 64, 64) + conv(64, 64) + conv(64, 12))
            + conv(128, 64)
            + conv(64, 32)
            + (conv(3 * 32, 2 * 32) + conv(3 * 32, 32) + conv(32, 12))
            + conv(1, 32)
            + conv(32, 64)
            + conv(64, 128)
            + 3 * 2 * (conv(64, 64) + conv(128, 128))
            + dense(49 * 128, 256)
            + dense(256, 2 * 32);
        // The sample of the top beside that of each layer.
        let beside = 5 * 9 * 32 * (128 + 64);
        let of_mnist = from_top + td + 1 + from_top + merge + bu;
        for (name, count) in [
            ("mnist-matnet", of_mnist),
            ("mnist-matnet", 4_397_842),
            ("mnist-matnet-gru", 10_552_754),
            ("mnist-matnet-small", 224_046),
            ("mnist-matnet-impute", 378_778),
            ("mnist-matnet-dense", 1_430_609),
            ("mnist-matnet-mixture", 1_430_609 + 2 * 10 * 32),
            ("mnist-matnet-dense-512", 14_115_153),
            ("omniglot-matnet", 12_656_250),
            ("omniglot-matnet-refiner", refiner),
            ("omniglot-matnet-refiner", 9_780_470),
            ("omniglot-matnet-mixture", 12_656_250 + beside + 2 * 50 * 32),
            ("omniglot-matnet-mixture", 12_935_930),
            ("cifar10-matnet", 21_984_601),
        ] {
            let config = preset(name);
            let shape = crate::data::published_shape(&config.data).unwrap();
            let list = crate::model::parameter_list(&config, shape).unwrap();
            assert_eq!(list.element_count(), count, "{name}");
        }
    }

    /// A preset's name in its parts: data set, variant, depth, and the rest.
    fn parts(name: &str) -> (&str, &str, usize, &str) {
        let (name, rest) = match name.find("-finetune-") {
            Some(at) => name.split_at(at),
            None => (name, ""),
        };
        let (data_set, rung) = name.split_once('-').unwrap();
        let (variant, depth) = rung.rsplit_once('-').unwrap();
        (data_set, variant, depth.parse().unwrap(), rest)
    }

    #[test]
    fn every_file_is_listed_and_every_listed_preset_is_valid() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/presets");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let mut listed: Vec<String> =
            FIRST_FILES.iter().chain(LAST_FILES).map(|(name, _)| format!("{name}.toml")).collect();
        listed.sort();
        assert_eq!(files, listed);
        for (name, text) in all() {
            assert_eq!(preset(name).preset, name);
            assert!(text.starts_with("# "), "{name} says what it reproduces");
        }
    }

    #[test]
    fn a_preset_says_only_what_differs_from_the_defaults() {
        let defaults = |name: &str| {
            let family =
                preset(name).family.tables().unwrap().0["family"].as_str().unwrap().to_string();
            let family = Family::named(&family).unwrap();
            Config { family, ..Config::default() }.to_table().unwrap()
        };
        for (name, text) in all() {
            let defaults = defaults(name);
            for (section, values) in text.parse::<toml::Table>().unwrap() {
                for (key, value) in values.as_table().unwrap() {
                    if key != "family" {
                        assert_ne!(&defaults[&section][key], value, "{name}: {section}.{key}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_grid_of_the_papers_is_complete() {
        for data_set in ["mnist", "omniglot", "norb"] {
            for depth in 1..=5 {
                for variant in ["vae", "vae-bn", "vae-bn-wu", "ladder", "lvae"] {
                    let has_top_down_path = matches!(variant, "ladder" | "lvae");
                    let name = format!("{data_set}-{variant}-{depth}");
                    assert_eq!(text(&name).is_ok(), depth > 1 || !has_top_down_path, "{name}");
                }
            }
        }
    }

    #[test]
    fn training_settings_are_those_of_section_10() {
        for (name, _) in of_the_ladder_paper() {
            let (data_set, variant, _, finetune) = parts(name);
            let config = preset(name);
            let (epochs, learning_rate, warmup, nonlinearity) = match data_set {
                "mnist" => (2000, 0.001, 200, Nonlinearity::LeakyRelu),
                "omniglot" => (1500, 0.001, 200, Nonlinearity::LeakyRelu),
                "norb" => (4000, 0.002, 1000, Nonlinearity::Tanh),
                _ => continue,
            };
            let warms_up = !matches!(variant, "vae" | "vae-bn") && finetune.is_empty();
            let warmup = if warms_up { warmup } else { 0 };
            assert_eq!(config.data.name, data_set, "{name}");
            assert_eq!(config.train.epochs, epochs, "{name}");
            assert_eq!(config.train.batch_size, 256, "{name}");
            assert_eq!(config.family.warmup_epochs(), warmup, "{name}");
            assert_eq!(config.optimiser.name, OptimiserName::Adam, "{name}");
            assert_eq!(config.optimiser.learning_rate, learning_rate, "{name}");
            assert_eq!(config.optimiser.epsilon, 1e-4, "{name}");
            let Hierarchy { model, .. } = hierarchy(name);
            assert_eq!((model.nonlinearity, model.leaky_slope), (nonlinearity, 0.1), "{name}");
        }
    }

    #[test]
    fn architectures_are_those_of_the_paper() {
        for (name, _) in of_the_ladder_paper() {
            let (data_set, variant, depth, _) = parts(name);
            let config = preset(name);
            let Hierarchy { model, .. } = hierarchy(name);
            let inference = match variant {
                "ladder" => Inference::PROBABILISTIC_LADDER,
                "lvae" => Inference::LADDER_VAE,
                _ => Inference::BottomUp,
            };
            let norb = data_set == "norb";
            assert_eq!(model.inference, inference, "{name}");
            assert_eq!(model.latent_sizes, [64, 32, 16, 8, 4][..depth], "{name}");
            assert_eq!(model.hidden_sizes, [512, 256, 128, 64, 32][..depth], "{name}");
            assert_eq!(model.batch_norm_hidden, variant != "vae", "{name}");
            assert_eq!(model.batch_norm_heads, variant != "vae", "{name}");
            assert_eq!(model.generative_widths, GenerativeWidths::Paper, "{name}");
            assert_eq!(model.observation == Observation::Gaussian, norb, "{name}");
            assert_eq!(config.data.binarisation == Binarisation::None, norb, "{name}");
        }
    }

    #[test]
    fn fine_tuning_anneals_the_rate_and_says_where_it_starts() {
        let name = "mnist-ladder-5-finetune-mc10-iw10";
        let config = preset(name);
        assert_eq!(config.optimiser.schedule, ScheduleName::Step);
        assert_eq!(config.optimiser.schedule_factor, 0.75);
        assert_eq!(config.optimiser.schedule_every_epochs, 200);
        assert_eq!(
            (
                hierarchy(name).objective.monte_carlo_samples,
                hierarchy(name).objective.importance_samples
            ),
            (10, 10)
        );
        for (name, text) in all().filter(|(name, _)| name.contains("finetune")) {
            assert!(text.contains("--init-from RUN"), "{name}");
        }
    }

    #[test]
    fn an_unknown_preset_names_the_nearest() {
        let error = text("mnist-lader-5").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown preset mnist-lader-5 (did you mean mnist-ladder-5?)"
        );
    }
}
