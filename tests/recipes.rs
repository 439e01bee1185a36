//! The recipes in `docs/recipes` compute what the program computes: the bound, the images of given
//! latents, the brightness of samples, the classes, the missing pixels. They need Python with
//! PyTorch, safetensors and NumPy, so they run only where `RUNG_TEST_TORCH` is set.

mod program;

use std::path::Path;
use std::process::Command;

use program::rung;
use serde_json::Value;
use tempfile::TempDir;

/// Images of 12 by 12 pixels with three classes: black and white, grey bytes, coloured bytes.
const MAKE: &str = "
import numpy
def images(seed, count):
    r, y = numpy.random.default_rng(seed), numpy.arange(count) % 3
    x = r.random((count, 12, 12)) < 0.1
    for k in range(count):
        at = r.integers(0, 6)
        [x[k, at:at + 3, :], x[k, :, at:at + 3], x[k, at:at + 6, at:at + 6]][y[k]][:] = True
    return x.astype(numpy.float32), y
x_train, y_train = images(1, 320)
x_test, y_test = images(2, 60)
numpy.savez('images.npz', x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
def tinted(x, channels, seed):
    r = numpy.random.default_rng(seed)
    ink, paper = r.integers(40, 256, (len(x), 1, 1, channels)), r.integers(0, 40, (*x.shape, channels))
    return numpy.where(x[..., None] > 0, ink, paper).astype(numpy.uint8)
for name, channels in (('grey', 1), ('colours', 3)):
    train, test = tinted(x_train, channels, 3), tinted(x_test, channels, 4)
    numpy.savez(name + '.npz', x_train=train, y_train=y_train, x_test=test, y_test=y_test)
";

/// Half of the rows are missing on the left.
const MASK: &str = "\
    ######......\n######......\n######......\n######......\n######......\n######......\n\
    ............\n............\n............\n............\n............\n............\n";

/// The largest difference of the images that both made of the same latents, and of the mean
/// brightness of both's samples in standard errors.
const COMPARE: &str = "
import json, numpy
both = lambda a, b: [numpy.load(name)[key].astype(float) for name, key in (a, b)]
ours, theirs = both(('decoded.npz', 'images'), ('recipe-decoded.npz', 'images'))
same = abs(ours.reshape(len(ours), -1) - theirs.reshape(len(theirs), -1)).max()
ours, theirs = both(('samples.npz', 'samples'), ('recipe-samples.npz', 'images'))
a, b = (x.reshape(len(x), -1).mean(1) for x in (ours, theirs))
error = (a.var() / len(a) + b.var() / len(b)) ** 0.5
print(json.dumps([same, abs(a.mean() - b.mean()) / max(error, 1e-6)]))
";

fn python(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("python3").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with the images; `None` where the recipes are not to be run.
fn folder() -> Option<TempDir> {
    std::env::var_os("RUNG_TEST_TORCH")?;
    let folder = tempfile::tempdir().unwrap();
    python(folder.path(), &["-c", MAKE]);
    Some(folder)
}

/// Data sets of [`MAKE`].
const BLACK_AND_WHITE: &str = "images.npz";
const GREY: &str = "grey.npz";
const COLOURS: &str = "colours.npz";

struct Trained<'a> {
    folder: &'a Path,
    name: &'static str,
    data: &'static str,
}

impl<'a> Trained<'a> {
    /// Trains two epochs and exports the model.
    fn new(folder: &'a Path, name: &'static str, data: &'static str, sets: &[&str]) -> Self {
        let trained = Self { folder, name, data };
        let data = format!("npz:{}", trained.path(data));
        let run = trained.path(name);
        let fixed = ["train", "--dataset", &data, "--out", &run, "--epochs", "2", "--quiet"];
        let fixed = fixed.into_iter().chain(["--batch-size", "32", "--threads", "1"]);
        let sets = sets.iter().flat_map(|pair| ["--set", pair]);
        rung(&fixed.chain(sets).collect::<Vec<_>>()).exits(0);
        rung(&["export", &run, "--quiet"]).exits(0);
        trained
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// What a command prints of the run with `--json`.
    fn json(&self, command: &str, arguments: &[&str]) -> Value {
        let run = self.path(self.name);
        let fixed = [command, run.as_str(), "--json", "--quiet"];
        let said = rung(&fixed.into_iter().chain(arguments.iter().copied()).collect::<Vec<_>>());
        assert_eq!(said.code, Some(0), "{}: {}", self.name, said.err);
        serde_json::from_str(said.out.lines().last().unwrap()).unwrap()
    }

    fn recipe(&self, recipe: &str, arguments: &[&str]) -> String {
        let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/recipes");
        let program = recipes.join(recipe).display().to_string();
        let model = self.path(&format!("{}/model.safetensors", self.name));
        let all: Vec<&str> = [program.as_str(), model.as_str()]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        python(self.folder, &all)
    }

    /// What a recipe measures on the test images.
    fn measured(&self, recipe: &str, arguments: &[&str]) -> Value {
        let fixed = ["--images", self.data].into_iter();
        let said = self.recipe(recipe, &fixed.chain(arguments.iter().copied()).collect::<Vec<_>>());
        serde_json::from_str(&said).unwrap()
    }

    /// The bound that the program found, and that of a recipe by many draws of latents.
    fn same_bound(&self, ours: f64, theirs: &Value) {
        let deviation = number(theirs, "bound_1_draw_deviation_nats");
        let difference = ours - number(theirs, "bound_1_nats");
        let name = self.name;
        assert!(difference.abs() < 6.0 * deviation, "{name}: {difference} ± {deviation}");
        eprintln!("{name}: bound {difference:+.3} (± {deviation:.3})");
    }

    /// The bound, images of latents and samples, by the recipe and by the program.
    fn agrees(&self, recipe: &str) {
        let ours = self.json("evaluate", &["--importance-samples", "2"]);
        let theirs = self.measured(recipe, &["--samples", "20"]);
        self.same_bound(number(&ours, "bound_1_nats"), &theirs);
        self.same_images(recipe, true);
    }

    /// Images of latents, unless they are drawn, and the brightness of samples.
    fn same_images(&self, recipe: &str, of_latents: bool) {
        let (name, run) = (self.name, self.path(self.name));
        let latents = self.path("latents.npz");
        // Where pixels are drawn one after another, each takes a pass.
        let count = if of_latents { "400" } else { "60" };
        for arguments in [
            ["encode", &run, "--out", &latents].as_slice(),
            &["decode", &run, &latents, "--out", &self.path("decoded.npz")],
            &["sample", &run, "--count", count, "--out", &self.path("samples.npz")],
        ] {
            rung(&arguments.iter().copied().chain(["--quiet"]).collect::<Vec<_>>()).exits(0);
        }
        self.recipe(recipe, &["--latents", "latents.npz", "--out", "recipe-decoded.npz"]);
        self.recipe(recipe, &["--draw", count, "--out", "recipe-samples.npz"]);
        let [same, apart]: [f64; 2] =
            serde_json::from_str(&python(self.folder, &["-c", COMPARE])).unwrap();
        assert!(!of_latents || same < 1e-4, "{name}: images of latents differ by {same}");
        assert!(apart < 5.0, "{name}: samples are {apart} standard errors apart");
        eprintln!("{name}: images {same:.1e}, samples {apart:.1}");
    }

    /// The cross-entropy of the classes. That of 60 images varies by 0.02 with 20 draws for each.
    fn same_classes(&self, ours: &Value, theirs: &Value) {
        let [ours, theirs] = [ours, theirs].map(|value| number(value, "cross_entropy_nats"));
        assert!((ours - theirs).abs() < 0.15, "{}: {ours} {theirs}", self.name);
    }
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// Three stages, of maps and of vectors.
const STAGES: &str = "model.stages=[\
    {channels=4,kernels=[3,3],strides=[2,1],latent_channels=1,latent_kernel=3},\
    {channels=6,kernels=[3,3],strides=[1,2],latent_units=3},\
    {channels=6,kernels=[3,1],latent_units=2}]";

/// Labels for the training of a tenth of the images.
const LABELS: [&str; 2] = ["objective.labels=30", "objective.classes=3"];

#[test]
fn hierarchies_agree() {
    let Some(folder) = folder() else { return };
    for family in ["vae", "ladder", "lvae"] {
        let set = format!("model.family={family}");
        let sets = [&set, "model.latent_sizes=[6,3]", "model.hidden_sizes=[24,12]"];
        Trained::new(folder.path(), family, BLACK_AND_WHITE, &sets).agrees("hierarchy.py");
    }
}

#[test]
fn gated_blocks_agree() {
    let Some(folder) = folder() else { return };
    for (family, variance) in
        [("biva", "softplus_deviation"), ("staged_lvae", "softplus"), ("staged_vae", "free")]
    {
        let set = format!("model.family={family}");
        let variance = format!("model.log_variance={variance}");
        let sets = [set.as_str(), STAGES, &variance, "train.average_decay=0.9"];
        Trained::new(folder.path(), family, BLACK_AND_WHITE, &sets).agrees("biva.py");
    }
}

#[test]
fn mixtures_of_logistics_agree() {
    let Some(folder) = folder() else { return };
    let mixture = ["model.observation=logistic_mixture", "model.mixture_components=3"];
    for (name, data) in [("biva-grey", GREY), ("biva-colours", COLOURS)] {
        let sets = [&["model.family=biva", STAGES], &mixture[..]].concat();
        Trained::new(folder.path(), name, data, &sets).agrees("biva.py");
    }
    let blocks = "model.blocks=[{channels=6,latent_channels=2,layers=2,stride=2}]";
    let sets = ["model.family=matnet", "model.top_units=4", "model.image_channels=4", blocks];
    let sets = [&sets[..], &mixture].concat();
    Trained::new(folder.path(), "matnet-colours", COLOURS, &sets).agrees("matnet.py");
}

/// Images of latents are drawn, so that they can't be the same.
#[test]
fn autoregressive_outputs_agree() {
    let Some(folder) = folder() else { return };
    let head = ["model.autoregressive_layers=2", "model.autoregressive_channels=5"];
    let mixture = ["model.observation=logistic_mixture", "model.mixture_components=2"];
    let colours = [&["model.family=staged_lvae", STAGES], &head[..], &mixture].concat();
    let kernel = ["model.autoregressive_kernel=5"];
    let black = [&["model.family=biva", STAGES], &head[..], &kernel].concat();
    for (name, data, sets) in
        [("next-colours", COLOURS, colours), ("next-black", BLACK_AND_WHITE, black)]
    {
        let trained = Trained::new(folder.path(), name, data, &sets);
        let ours = trained.json("evaluate", &["--importance-samples", "2"]);
        let theirs = trained.measured("biva.py", &["--samples", "20"]);
        trained.same_bound(number(&ours, "bound_1_nats"), &theirs);
        trained.same_images("biva.py", false);
    }
}

#[test]
fn classes_of_few_labels_agree() {
    let Some(folder) = folder() else { return };
    let sets = [&["model.family=biva", STAGES], &LABELS[..]].concat();
    let trained = Trained::new(folder.path(), "biva-labels", BLACK_AND_WHITE, &sets);
    trained.agrees("biva.py");
    let ours = trained.json("evaluate", &[]);
    trained.same_classes(&ours, &trained.measured("biva.py", &["--samples", "20"]));
}

#[test]
fn auxiliary_variables_agree() {
    let Some(folder) = folder() else { return };
    for family in ["adgm", "sdgm", "m2"] {
        let set = format!("model.family={family}");
        let sets = [set.as_str(), "model.hidden_sizes=[24,16]", "model.latent_units=4"];
        let sets = [&sets[..], &["model.auxiliary_units=3"]].concat();
        Trained::new(folder.path(), family, BLACK_AND_WHITE, &sets).agrees("auxiliary.py");
    }
}

/// The recipe sums the class out, as `--every-class` does.
#[test]
fn auxiliary_variables_and_labels_agree() {
    let Some(folder) = folder() else { return };
    for (family, name) in [("adgm", "adgm-labels"), ("sdgm", "sdgm-labels"), ("m2", "m2-labels")] {
        let set = format!("model.family={family}");
        let sets = [set.as_str(), "model.hidden_sizes=[24,16]", "model.latent_units=4"];
        let sets = [&sets[..], &["model.auxiliary_units=3"], &LABELS].concat();
        let trained = Trained::new(folder.path(), name, BLACK_AND_WHITE, &sets);
        let ours = trained.json("evaluate", &["--importance-samples", "1", "--every-class"]);
        let theirs = trained.measured("auxiliary.py", &["--samples", "20"]);
        trained.same_bound(number(&ours, "bound_k_every_class_nats"), &theirs);
        trained.same_classes(&ours, &theirs);
        trained.same_images("auxiliary.py", true);
    }
}

#[test]
fn matnets_agree() {
    let Some(folder) = folder() else { return };
    let blocks = "{channels=6,latent_channels=2,layers=2,stride=2},\
        {channels=5,latent_channels=1,layers=2,stride=2}";
    let plain = format!("model.blocks=[{blocks}]");
    let refined =
        format!("model.blocks=[{{channels=4,latent_channels=1,layers=3,refines=true}},{blocks}]");
    let family = ["model.family=matnet", "model.top_units=4", "model.top_hidden=10"];
    let with = |more: &[&'static str]| -> Vec<&'static str> {
        family.into_iter().chain(more.iter().copied()).collect()
    };
    let residual = with(&["model.image_channels=4", "model.top_beside_samples=true"]);
    let additive = with(&[
        "model.module=additive",
        "model.prior=conditional",
        "model.top_components=3",
        "model.top_shared_units=1",
    ]);
    let gated = with(&["model.module=gru", "model.prior=conditional"]);
    for (name, sets, blocks) in [
        ("residual", residual, &plain),
        ("additive", additive, &plain),
        ("refiner", gated, &refined),
    ] {
        let sets: Vec<&str> = sets.into_iter().chain([blocks.as_str()]).collect();
        Trained::new(folder.path(), name, BLACK_AND_WHITE, &sets).agrees("matnet.py");
    }
}

#[test]
fn missing_pixels_agree() {
    let Some(folder) = folder() else { return };
    std::fs::write(folder.path().join("mask.txt"), MASK).unwrap();
    let blocks = "{channels=6,latent_channels=2,layers=2,stride=2},\
        {channels=5,latent_channels=1,layers=2,stride=2}";
    let plain = format!("model.blocks=[{blocks}]");
    let refined =
        format!("model.blocks=[{{channels=4,latent_channels=1,layers=3,refines=true}},{blocks}]");
    let family = ["model.family=matnet", "model.top_units=4", "model.top_hidden=10"];
    let quadrant = [
        plain.as_str(),
        "model.image_channels=4",
        "model.missing=quadrants",
        "model.missing_count=1",
    ];
    let square = [
        refined.as_str(),
        "model.module=gru",
        "model.missing=squares",
        "model.missing_count=1",
        "model.missing_side=4",
        "model.observation=logistic_mixture",
        "model.mixture_components=2",
    ];
    for (name, data, sets) in [
        ("quadrant", BLACK_AND_WHITE, [&family[..], &quadrant].concat()),
        ("square", GREY, [&family[..], &square].concat()),
    ] {
        let trained = Trained::new(folder.path(), name, data, &sets);
        let mask = trained.path("mask.txt");
        let ours = trained.json("impute", &["--mask", &mask]);
        let theirs = trained.measured("matnet.py", &["--samples", "20", "--mask", &mask]);
        trained.same_bound(number(&ours, "bound_nats"), &theirs);
        trained.same_images("matnet.py", true);
    }
}

#[test]
fn sequences_agree() {
    let Some(folder) = folder() else { return };
    let canvases = folder.path().join("canvases.npz").display().to_string();
    let few = [
        "data.sequence_canvas=64",
        "data.sequence_digits=2",
        "data.sequence_distractors=1",
        "data.train_images=200",
        "data.validation_images=0",
        "data.test_images=60",
    ];
    let written = ["data", "write", "sequences:glyphs", "--out", &canvases, "--quiet"];
    let sets = few.iter().flat_map(|pair| ["--set", pair]);
    rung(&written.into_iter().chain(sets).collect::<Vec<_>>()).exits(0);
    let small = [
        "model.localisation_channels=[4,4]",
        "model.localisation_hidden=[16]",
        "model.recurrent_units=16",
        "model.classifier_channels=[4]",
        "model.classifier_hidden=[16]",
        // Far enough from the identity in a few steps to look beyond the canvas.
        "optimiser.learning_rate=0.02",
    ];
    let before = ["model.family=rnn_spn", "model.gru_reset=before", "model.outside=paper_time"];
    let border = ["model.family=ffn_spn", "model.outside=border", "model.downsampling=2.5"];
    for (name, own) in [
        ("rnn-spn", &["model.family=rnn_spn", "model.downsampling=2"][..]),
        ("rnn-spn-before", &before),
        ("ffn-spn", &border),
        ("convnet", &["model.family=sequence_convnet"]),
    ] {
        let sets = [&small[..], own].concat();
        let trained = Trained::new(folder.path(), name, "canvases.npz", &sets);
        let ours = trained.json("evaluate", &[]);
        let theirs = trained.measured("sequences.py", &[]);
        for key in ["error_rate", "sequence_error_rate"] {
            assert_eq!(ours[key], theirs[key], "{name}: {ours} {theirs}");
        }
        let [ours, theirs] = [&ours, &theirs].map(|value| number(value, "cross_entropy_nats"));
        assert!((ours - theirs).abs() < 1e-4, "{name}: {ours} {theirs}");
        eprintln!("{name}: cross-entropy {:+.1e}", ours - theirs);
    }
}

#[test]
fn classifiers_agree() {
    let Some(folder) = folder() else { return };
    let sets = [
        "model.family=classifier",
        "model.convolutions=[{channels=4,kernel=3,stride=2},{channels=5,kernel=3,stride=1}]",
        "model.hidden_sizes=[12]",
    ];
    let trained = Trained::new(folder.path(), "classifier", BLACK_AND_WHITE, &sets);
    let ours = trained.json("evaluate", &[]);
    let theirs = trained.measured("classifier.py", &[]);
    assert_eq!(ours["error_rate"], theirs["error_rate"], "{ours} {theirs}");
}
