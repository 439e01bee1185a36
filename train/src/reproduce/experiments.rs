//! What the papers' tables and figures report: of the ladder paper (Sønderby et al. 2016, the
//! preprint; specification section 13) and of those of the other families.

use crate::error::{Error, Result};
use rung_datasets::nearest::did_you_mean;

/// A table or figure of the paper.
#[derive(Debug, Clone, Copy)]
pub struct Experiment {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// The data set, or several with `and` between.
    pub dataset: &'static str,
    /// What is compared.
    pub quantity: Quantity,
    /// What the variants of a model differ in.
    pub varied: &'static str,
    /// What is not done as in the paper, in sentences; empty for nothing.
    pub departures: &'static str,
    /// Its numbers, in the paper's order.
    pub entries: &'static [Entry],
}

/// What an experiment compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Test L_5000 in nats per image.
    Bound,
    /// Active units of each layer, z_1 first.
    ActiveUnits,
    /// Test error rate, in %.
    ErrorRate,
}

impl Quantity {
    /// A measured value in the unit of the table: a share is shown in %.
    pub const fn drawn(self, value: f64) -> f64 {
        match self {
            Self::Bound | Self::ActiveUnits => value,
            Self::ErrorRate => 100.0 * value,
        }
    }
}

/// One number of a table, or one row of active units.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The preset that gives it.
    pub preset: &'static str,
    /// What is another than in the preset: a key and its value.
    pub change: Option<(&'static str, &'static str)>,
    /// Which of several draws it is, from 0: the seed of its run is so much higher, and with it
    /// the images whose labels are known are others.
    pub draw: u64,
    /// The kind of model, as the paper calls it.
    pub model: &'static str,
    /// The layers' sizes, or how it is fine-tuned.
    pub variant: &'static str,
    /// What the paper reports, if it does in figures.
    pub paper: Paper,
    /// The preset whose finished run the training starts from.
    pub starts_from: Option<&'static str>,
}

/// What the paper reports.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Paper {
    /// A number.
    Nats(f64),
    /// An error rate.
    Percent(f64),
    /// Active units, z_1 first.
    Units([usize; 5]),
    /// A point in a plot, with no number in the text.
    Plotted,
    /// A number that was not read: of the paper on sequences the abstract alone was at hand.
    NotRead,
}

const VAE: &str = "VAE";
const BN: &str = "VAE + BN";
const WU: &str = "VAE + BN + WU";
const LADDER: &str = "probabilistic ladder + BN + WU";
/// The sizes of the layers by depth.
const SIZES: [&str; 5] = ["64", "64-32", "64-32-16", "64-32-16-8", "64-32-16-8-4"];

const fn entry(preset: &'static str, model: &'static str, depth: usize, paper: Paper) -> Entry {
    Entry { variant: SIZES[depth - 1], ..plain(preset, model, paper) }
}

const fn plain(preset: &'static str, model: &'static str, paper: Paper) -> Entry {
    Entry { preset, change: None, draw: 0, model, variant: "", paper, starts_from: None }
}

const fn tuned(
    preset: &'static str,
    from: &'static str,
    model: &'static str,
    variant: &'static str,
    nats: f64,
) -> Entry {
    Entry { variant, starts_from: Some(from), ..plain(preset, model, Paper::Nats(nats)) }
}

const RNN_SPN: &str = "RNN-SPN";
const FFN_SPN: &str = "FFN-SPN";

const fn reader(
    preset: &'static str,
    model: &'static str,
    factor: &'static str,
    paper: Paper,
) -> Entry {
    Entry { variant: factor, ..plain(preset, model, paper) }
}

/// The feed-forward network at another factor than its preset's.
const fn feed_forward(factor: &'static str, value: &'static str, paper: Paper) -> Entry {
    let change = Some(("model.downsampling", value));
    Entry { change, ..reader("sequences-ffn-spn-d2", FFN_SPN, factor, paper) }
}

const fn matnet(preset: &'static str, variant: &'static str, nats: f64) -> Entry {
    Entry { variant, ..plain(preset, "MatNet", Paper::Nats(nats)) }
}

/// The nineteen models of a data set, from one layer to five; the ladder begins at two.
macro_rules! grid {
    ($data:literal, $vae:expr, $bn:expr, $wu:expr, $ladder:expr) => {
        &[
            entry(concat!($data, "-vae-1"), VAE, 1, $vae[0]),
            entry(concat!($data, "-vae-2"), VAE, 2, $vae[1]),
            entry(concat!($data, "-vae-3"), VAE, 3, $vae[2]),
            entry(concat!($data, "-vae-4"), VAE, 4, $vae[3]),
            entry(concat!($data, "-vae-5"), VAE, 5, $vae[4]),
            entry(concat!($data, "-vae-bn-1"), BN, 1, $bn[0]),
            entry(concat!($data, "-vae-bn-2"), BN, 2, $bn[1]),
            entry(concat!($data, "-vae-bn-3"), BN, 3, $bn[2]),
            entry(concat!($data, "-vae-bn-4"), BN, 4, $bn[3]),
            entry(concat!($data, "-vae-bn-5"), BN, 5, $bn[4]),
            entry(concat!($data, "-vae-bn-wu-1"), WU, 1, $wu[0]),
            entry(concat!($data, "-vae-bn-wu-2"), WU, 2, $wu[1]),
            entry(concat!($data, "-vae-bn-wu-3"), WU, 3, $wu[2]),
            entry(concat!($data, "-vae-bn-wu-4"), WU, 4, $wu[3]),
            entry(concat!($data, "-vae-bn-wu-5"), WU, 5, $wu[4]),
            entry(concat!($data, "-ladder-2"), LADDER, 2, $ladder[0]),
            entry(concat!($data, "-ladder-3"), LADDER, 3, $ladder[1]),
            entry(concat!($data, "-ladder-4"), LADDER, 4, $ladder[2]),
            entry(concat!($data, "-ladder-5"), LADDER, 5, $ladder[3]),
        ]
    };
}

const fn nats<const N: usize>(values: [f64; N]) -> [Paper; N] {
    let mut all = [Paper::Plotted; N];
    let mut at = 0;
    while at < N {
        all[at] = Paper::Nats(values[at]);
        at += 1;
    }
    all
}

const PLOTTED: [Paper; 5] = [Paper::Plotted; 5];
const FIGURE_3_WU: [Paper; 5] =
    [Paper::Plotted, Paper::Plotted, Paper::Plotted, Paper::Plotted, Paper::Nats(-82.14)];
const FIGURE_3_LADDER: [Paper; 4] =
    [Paper::Plotted, Paper::Plotted, Paper::Plotted, Paper::Nats(-81.87)];

/// Three draws of the labels.
macro_rules! draws {
    ($($preset:literal, $model:expr, $paper:expr;)+) => {
        &[$(
            Entry { draw: 0, variant: "1", ..plain($preset, $model, $paper) },
            Entry { draw: 1, variant: "2", ..plain($preset, $model, $paper) },
            Entry { draw: 2, variant: "3", ..plain($preset, $model, $paper) },
        )+]
    };
}

/// Every experiment.
pub const EXPERIMENTS: &[Experiment] = &[
    Experiment {
        name: "mnist-figure3",
        title: "MNIST test bound against the number of layers (figure 3)",
        dataset: "mnist",
        quantity: Quantity::Bound,
        varied: "layers",
        departures: "",
        entries: grid!("mnist", PLOTTED, PLOTTED, FIGURE_3_WU, FIGURE_3_LADDER),
    },
    Experiment {
        name: "mnist-table1",
        title: "MNIST, five layers, fine-tuned (table 1)",
        dataset: "mnist",
        quantity: Quantity::Bound,
        varied: "layers",
        departures: "",
        entries: &[
            Entry {
                variant: "no fine-tuning",
                ..entry("mnist-vae-bn-wu-5", WU, 5, Paper::Nats(-82.14))
            },
            tuned(
                "mnist-vae-bn-wu-5-finetune-mc1-iw1",
                "mnist-vae-bn-wu-5",
                WU,
                "MC 1, IW 1",
                -81.97,
            ),
            tuned(
                "mnist-vae-bn-wu-5-finetune-mc10-iw1",
                "mnist-vae-bn-wu-5",
                WU,
                "MC 10, IW 1",
                -81.84,
            ),
            tuned(
                "mnist-vae-bn-wu-5-finetune-mc1-iw10",
                "mnist-vae-bn-wu-5",
                WU,
                "MC 1, IW 10",
                -81.41,
            ),
            tuned(
                "mnist-vae-bn-wu-5-finetune-mc10-iw10",
                "mnist-vae-bn-wu-5",
                WU,
                "MC 10, IW 10",
                -81.30,
            ),
            Entry {
                variant: "no fine-tuning",
                ..entry("mnist-ladder-5", LADDER, 5, Paper::Nats(-81.87))
            },
            tuned(
                "mnist-ladder-5-finetune-mc1-iw1",
                "mnist-ladder-5",
                LADDER,
                "MC 1, IW 1",
                -81.54,
            ),
            tuned(
                "mnist-ladder-5-finetune-mc10-iw1",
                "mnist-ladder-5",
                LADDER,
                "MC 10, IW 1",
                -81.46,
            ),
            tuned(
                "mnist-ladder-5-finetune-mc1-iw10",
                "mnist-ladder-5",
                LADDER,
                "MC 1, IW 10",
                -81.35,
            ),
            tuned(
                "mnist-ladder-5-finetune-mc10-iw10",
                "mnist-ladder-5",
                LADDER,
                "MC 10, IW 10",
                -81.20,
            ),
        ],
    },
    Experiment {
        name: "mnist-table2",
        title: "MNIST, active units of five layers (table 2)",
        dataset: "mnist",
        quantity: Quantity::ActiveUnits,
        varied: "layers",
        departures: "",
        entries: &[
            entry("mnist-vae-5", VAE, 5, Paper::Units([20, 1, 0, 0, 0])),
            entry("mnist-vae-bn-5", BN, 5, Paper::Units([20, 9, 3, 3, 2])),
            entry("mnist-vae-bn-wu-5", WU, 5, Paper::Units([34, 18, 6, 2, 1])),
            entry("mnist-ladder-5", LADDER, 5, Paper::Units([46, 22, 8, 3, 2])),
        ],
    },
    Experiment {
        name: "omniglot-table3",
        title: "OMNIGLOT test bound (table 3)",
        dataset: "omniglot",
        quantity: Quantity::Bound,
        varied: "layers",
        departures: "",
        entries: grid!(
            "omniglot",
            nats([-114.45, -112.60, -112.13, -112.49, -112.10]),
            nats([-108.79, -106.86, -107.09, -107.66, -107.94]),
            nats([-104.63, -102.03, -101.60, -101.68, -101.86]),
            nats([-102.12, -101.26, -101.27, -101.59])
        ),
    },
    Experiment {
        name: "norb-table3",
        title: "NORB test bound (table 3)",
        dataset: "norb",
        quantity: Quantity::Bound,
        varied: "layers",
        departures: "",
        entries: grid!(
            "norb",
            nats([2630.8, 2830.8, 2757.5, 2832.0, 3064.1]),
            nats([3263.7, 3140.1, 3247.3, 3302.3, 3258.7]),
            nats([3481.5, 3532.9, 3346.7, 3393.6, 3393.6]),
            nats([3522.7, 3458.7, 3499.4, 3430.3])
        ),
    },
    Experiment {
        name: "rnn-spn",
        title: "Cluttered MNIST sequences, error per digit by the factor of down-sampling",
        dataset: "sequences:mnist",
        quantity: Quantity::ErrorRate,
        varied: "down-sampling",
        departures: "",
        entries: &[
            reader("sequences-rnn-spn-d1", RNN_SPN, "1", Paper::NotRead),
            reader("sequences-rnn-spn-d2", RNN_SPN, "2", Paper::Percent(1.5)),
            reader("sequences-rnn-spn-d3", RNN_SPN, "3", Paper::NotRead),
            reader("sequences-rnn-spn-d4", RNN_SPN, "4", Paper::NotRead),
            feed_forward("1", "1.0", Paper::NotRead),
            reader("sequences-ffn-spn-d2", FFN_SPN, "2", Paper::Percent(2.0)),
            feed_forward("3", "3.0", Paper::NotRead),
            feed_forward("4", "4.0", Paper::NotRead),
            reader("sequences-convnet", "convolutional network", "1", Paper::Percent(2.9)),
        ],
    },
    Experiment {
        name: "matnet",
        title: "MNIST and OMNIGLOT test bound of MatNet (Bachman 2016; values recalled, \
        unverified)",
        dataset: "mnist and omniglot",
        quantity: Quantity::Bound,
        varied: "latent layers",
        departures: "",
        entries: &[
            matnet("mnist-matnet", "MNIST, 11", -78.5),
            matnet("omniglot-matnet", "OMNIGLOT, 11", -89.5),
        ],
    },
    Experiment {
        name: "adgm-mnist",
        title: "MNIST with 100 labels: ADGM, SDGM and M2 (table 1 of Maaløe et al. 2016)",
        dataset: "mnist",
        quantity: Quantity::ErrorRate,
        varied: "draw of the labels",
        departures: "A step has one sample of a for each image; the authors' has five. M2 has the \
        networks and the protocol of the others, not those of its own paper.",
        entries: draws![
            "mnist-adgm-100", "ADGM", Paper::Percent(0.96);
            "mnist-sdgm-100", "SDGM", Paper::Percent(1.32);
            "mnist-m2-100", "M2", Paper::Percent(11.97);
            "mnist-100-labels", "M2's q(y|x) on the labelled images alone", Paper::NotRead;
        ],
    },
    Experiment {
        name: "adgm-mnist-narrow",
        title: "MNIST with 100 labels: ADGM and SDGM with few units, beside table 1 of Maaløe et \
        al. 2016",
        dataset: "mnist",
        quantity: Quantity::ErrorRate,
        varied: "draw of the labels",
        departures: "Sizes and training are not the paper's: a and z of 8 units, not 100, hidden \
        layers of 200, 100 epochs, two free nats, a weight of 0.1 for the bound of labelled images.",
        entries: draws![
            "mnist-adgm-100-narrow", "ADGM", Paper::Percent(0.96);
            "mnist-sdgm-100-narrow", "SDGM", Paper::Percent(1.32);
        ],
    },
];

/// The experiment of this name.
///
/// # Errors
/// If there is none; the nearest name is given.
pub fn find(name: &str) -> Result<&'static Experiment> {
    let found = EXPERIMENTS.iter().find(|experiment| experiment.name == name);
    found.ok_or_else(|| {
        let guess = did_you_mean(name, EXPERIMENTS.iter().map(|experiment| experiment.name));
        let names: Vec<&str> = EXPERIMENTS.iter().map(|experiment| experiment.name).collect();
        Error::usage(format!("unknown experiment {name}{guess}"))
            .with_advice(format!("there are {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets;

    #[test]
    fn every_entry_has_its_preset_and_the_preset_says_the_same_number() {
        for experiment in EXPERIMENTS {
            for entry in experiment.entries {
                let text = presets::text(entry.preset).unwrap();
                let mut data_sets = experiment.dataset.split(" and ");
                assert!(
                    data_sets.any(|data_set| text.contains(&format!("name = \"{data_set}\""))),
                    "{}",
                    entry.preset
                );
                if let Paper::Nats(nats) = entry.paper {
                    let summary = presets::summary(text);
                    assert!(
                        summary.contains(&format!("L_5000 = {nats}"))
                            || summary.contains(&format!("L_5000 = {nats:.2}")),
                        "{}: {summary}",
                        entry.preset
                    );
                }
                if let Paper::Percent(percent) = entry.paper {
                    let summary = presets::summary(text);
                    let says = |number: String| summary.contains(&format!("paper {number} %"));
                    assert!(
                        says(format!("{percent:.1}")) || says(percent.to_string()),
                        "{summary}"
                    );
                }
                if let Some(from) = entry.starts_from {
                    assert!(
                        experiment.entries.iter().any(|other| other.preset == from),
                        "{}: {from} comes with it",
                        entry.preset
                    );
                }
            }
        }
    }

    #[test]
    fn a_misspelt_name_is_a_wrong_command_line_with_a_guess() {
        let error = find("mnist-figure-3").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.cause().contains("did you mean mnist-figure3?"), "{error}");
        assert_eq!(find("norb-table3").unwrap().entries.len(), 19);
    }
}
