//! The regular grid of the ladder paper: every data set by every variant by every depth, and the
//! fine-tuned networks of its table 1.
//!
//! The presets are written out by [`presets`] as the files of the others are, each saying only what
//! differs from the defaults. What the paper found is kept as text, digit for digit.

use std::fmt::Write as _;

/// A data set with the settings of all its presets (specification, section 10).
struct DataSet {
    name: &'static str,
    title: &'static str,
    /// Where the paper shows its bounds.
    source: &'static str,
    /// Keys of `[model]`.
    model: &'static [&'static str],
    /// Epochs of warm-up, where they are not the default.
    warmup_epochs: Option<usize>,
    /// Keys of `[data]` beside the name.
    data: &'static [&'static str],
    train: &'static [&'static str],
    optimiser: &'static [&'static str],
}

const DATA_SETS: [DataSet; 3] = [
    DataSet {
        name: "mnist",
        title: "MNIST",
        source: "figure 3",
        model: &[],
        warmup_epochs: None,
        data: &[],
        train: &[],
        optimiser: &[],
    },
    DataSet {
        name: "omniglot",
        title: "OMNIGLOT",
        source: "table 3",
        model: &[],
        warmup_epochs: None,
        data: &[],
        train: &["epochs = 1500"],
        optimiser: &[],
    },
    DataSet {
        name: "norb",
        title: "NORB",
        source: "table 3",
        model: &["nonlinearity = \"tanh\"", "observation = \"gaussian\""],
        warmup_epochs: Some(1000),
        data: &["binarisation = \"none\"", "dequantisation = \"once\""],
        train: &["epochs = 4000"],
        optimiser: &["learning_rate = 0.002"],
    },
];

/// A column of the paper's tables: how a network infers and is trained.
struct Variant {
    name: &'static str,
    title: &'static str,
    /// `model.family`, where it is not the default.
    family: Option<&'static str>,
    batch_norm: bool,
    warms_up: bool,
    /// A ladder needs a layer above the first.
    least_depth: usize,
}

const VARIANTS: [Variant; 5] = [
    Variant {
        name: "vae",
        title: "VAE",
        family: Some("vae"),
        batch_norm: false,
        warms_up: false,
        least_depth: 1,
    },
    Variant {
        name: "vae-bn",
        title: "VAE + BN",
        family: Some("vae"),
        batch_norm: true,
        warms_up: false,
        least_depth: 1,
    },
    Variant {
        name: "vae-bn-wu",
        title: "VAE + BN + WU",
        family: Some("vae"),
        batch_norm: true,
        warms_up: true,
        least_depth: 1,
    },
    Variant {
        name: "ladder",
        title: "probabilistic ladder + BN + WU",
        family: None,
        batch_norm: true,
        warms_up: true,
        least_depth: 2,
    },
    Variant {
        name: LVAE,
        title: "Ladder VAE (published) + BN + WU",
        family: Some("lvae"),
        batch_norm: true,
        warms_up: true,
        least_depth: 2,
    },
];

/// The variant whose numbers are another paper's.
const LVAE: &str = "lvae";

/// Units of the stochastic layers and of the dense layers that belong to each, z_1 first: the first
/// so many of them are a network of that depth.
const LATENT_SIZES: [&str; 5] = ["64", "32", "16", "8", "4"];
const HIDDEN_SIZES: [&str; 5] = ["512", "256", "128", "64", "32"];

/// Test L_5000 in nats by the number of stochastic layers, 1 to 5; empty where there is only a
/// curve.
#[rustfmt::skip]
const BOUNDS: [(&str, &str, [&str; 5]); 15] = [
    ("mnist",    "vae",       ["",        "",        "",        "",        ""]),
    ("mnist",    "vae-bn",    ["",        "",        "",        "",        ""]),
    ("mnist",    "vae-bn-wu", ["",        "",        "",        "",        "-82.14"]),
    ("mnist",    "ladder",    ["",        "",        "",        "",        "-81.87"]),
    ("mnist",    "lvae",      ["",        "",        "",        "",        "-82.12"]),
    ("omniglot", "vae",       ["-114.45", "-112.60", "-112.13", "-112.49", "-112.10"]),
    ("omniglot", "vae-bn",    ["-108.79", "-106.86", "-107.09", "-107.66", "-107.94"]),
    ("omniglot", "vae-bn-wu", ["-104.63", "-102.03", "-101.60", "-101.68", "-101.86"]),
    ("omniglot", "ladder",    ["",        "-102.12", "-101.26", "-101.27", "-101.59"]),
    ("omniglot", "lvae",      ["",        "-102.63", "-102.18", "-102.21", "-102.11"]),
    ("norb",     "vae",       ["2630.8",  "2830.8",  "2757.5",  "2832",    "3064.1"]),
    ("norb",     "vae-bn",    ["3263.7",  "3140.1",  "3247.3",  "3302.3",  "3258.7"]),
    ("norb",     "vae-bn-wu", ["3481.5",  "3532.9",  "3346.7",  "3393.6",  "3393.6"]),
    ("norb",     "ladder",    ["",        "3522.7",  "3458.7",  "3499.4",  "3430.3"]),
    ("norb",     "lvae",      ["",        "3272",    "3519",    "3449",    "3455"]),
];

/// Test L_5000 of the five-layer networks of MNIST after fine-tuning, by Monte Carlo and importance
/// samples (table 1).
#[rustfmt::skip]
const FINE_TUNED: [(&str, usize, usize, &str); 8] = [
    ("vae-bn-wu",  1,  1, "-81.97"),
    ("vae-bn-wu", 10,  1, "-81.84"),
    ("vae-bn-wu",  1, 10, "-81.41"),
    ("vae-bn-wu", 10, 10, "-81.30"),
    ("ladder",     1,  1, "-81.54"),
    ("ladder",    10,  1, "-81.46"),
    ("ladder",     1, 10, "-81.35"),
    ("ladder",    10, 10, "-81.20"),
];

/// Name and text of every preset of the grid, in the order of the paper.
pub(super) fn presets() -> impl Iterator<Item = (String, String)> {
    let bounds = BOUNDS.iter().flat_map(|(data_set, variant, bounds)| {
        let (data_set, variant) = (data_set_named(data_set), variant_named(variant));
        let depths = bounds.iter().zip(1..).skip(variant.least_depth - 1);
        depths.map(move |(bound, depth)| trained(data_set, variant, depth, bound))
    });
    let fine_tuned = FINE_TUNED.iter().map(|&(variant, monte_carlo, importance, bound)| {
        fine_tuned(variant_named(variant), monte_carlo, importance, bound)
    });
    bounds.chain(fine_tuned)
}

fn data_set_named(name: &str) -> &'static DataSet {
    DATA_SETS
        .iter()
        .find(|data_set| data_set.name == name)
        .expect("bug: a row of a data set that is not listed")
}

fn variant_named(name: &str) -> &'static Variant {
    VARIANTS
        .iter()
        .find(|variant| variant.name == name)
        .expect("bug: a row of a variant that is not listed")
}

/// A network trained from the start.
fn trained(data_set: &DataSet, variant: &Variant, depth: usize, bound: &str) -> (String, String) {
    let (latent, hidden) = (&LATENT_SIZES[..depth], &HIDDEN_SIZES[..depth]);
    let source = match (variant.name, data_set.name, bound) {
        (LVAE, ..) => "the published paper (values recalled, unverified)",
        (_, "mnist", found) if !found.is_empty() => "figure 3 and table 1, no fine-tuning",
        _ => data_set.source,
    };
    let found =
        if bound.is_empty() { String::new() } else { format!(", test L_5000 = {bound} nats") };
    let summary = format!(
        "# {}, {}, {}: {source}{found}.\n",
        data_set.title,
        variant.title,
        latent.join("-")
    );

    let mut model = family(variant);
    if depth < LATENT_SIZES.len() {
        model.push(format!("latent_sizes = [{}]", latent.join(", ")));
        model.push(format!("hidden_sizes = [{}]", hidden.join(", ")));
    }
    model.extend(owned(data_set.model));
    if !variant.batch_norm {
        model.extend(owned(&["batch_norm_hidden = false", "batch_norm_heads = false"]));
    }
    let warmup = if variant.warms_up { data_set.warmup_epochs } else { Some(0) };
    let objective = warmup.map(|epochs| format!("warmup_epochs = {epochs}")).into_iter().collect();
    let mut data = vec![format!("name = \"{}\"", data_set.name)];
    data.extend(owned(data_set.data));
    let sections = [
        ("model", model),
        ("objective", objective),
        ("data", data),
        ("train", owned(data_set.train)),
        ("optimiser", owned(data_set.optimiser)),
    ];
    (format!("{}-{}-{depth}", data_set.name, variant.name), written(summary, &sections))
}

/// The five-layer network of MNIST, trained on from a finished run.
fn fine_tuned(
    variant: &Variant,
    monte_carlo: usize,
    importance: usize,
    bound: &str,
) -> (String, String) {
    let start = format!("mnist-{}-5", variant.name);
    let mut text = format!(
        "# MNIST, {}, fine-tuned, MC {monte_carlo}, IW {importance}: table 1, test L_5000 = \
        {bound} nats.\n",
        variant.title
    );
    text += &format!("# Starts from a finished run of {start}: give it with --init-from RUN.\n");
    let mut objective = owned(&["warmup_epochs = 0"]);
    for (key, samples) in [("monte_carlo_samples", monte_carlo), ("importance_samples", importance)]
    {
        objective.extend((samples > 1).then(|| format!("{key} = {samples}")));
    }
    let sections = [
        ("model", family(variant)),
        ("objective", objective),
        ("data", owned(&["name = \"mnist\""])),
        ("optimiser", owned(&["schedule = \"step\""])),
    ];
    (format!("{start}-finetune-mc{monte_carlo}-iw{importance}"), written(text, &sections))
}

fn family(variant: &Variant) -> Vec<String> {
    variant.family.map(|family| format!("family = \"{family}\"")).into_iter().collect()
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(ToString::to_string).collect()
}

/// The head, then every section that has keys.
fn written(head: String, sections: &[(&str, Vec<String>)]) -> String {
    sections.iter().filter(|(_, lines)| !lines.is_empty()).fold(head, |mut text, (name, lines)| {
        let _ = write!(text, "\n[{name}]\n{}\n", lines.join("\n"));
        text
    })
}
