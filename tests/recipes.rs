//! The recipes in `docs/recipes` compute what the program computes: the bound, the images of given
//! latents, the brightness of samples, the classes. They need Python with PyTorch, safetensors and
//! NumPy, so they run only where `RUNG_TEST_TORCH` is set.

mod program;

use std::path::Path;
use std::process::Command;

use program::rung;
use serde_json::Value;
use tempfile::TempDir;

/// Black and white images of 12 by 12 pixels with three classes.
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
";

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

struct Trained<'a> {
    folder: &'a Path,
    name: &'static str,
}

impl<'a> Trained<'a> {
    /// Trains two epochs and exports the model.
    fn new(folder: &'a Path, name: &'static str, sets: &[&str]) -> Self {
        let trained = Self { folder, name };
        let data = format!("npz:{}", trained.path("images.npz"));
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

    fn evaluated(&self) -> Value {
        let run = self.path(self.name);
        let said = rung(&["evaluate", &run, "--importance-samples", "2", "--json", "--quiet"]);
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

    /// The bound, images of latents and samples, by the recipe and by the program.
    fn agrees(&self, recipe: &str) {
        let (name, run) = (self.name, self.path(self.name));
        let ours = self.evaluated();
        let said = self.recipe(recipe, &["--images", "images.npz", "--samples", "20"]);
        let theirs: Value = serde_json::from_str(&said).unwrap();
        let number = |value: &Value, key: &str| value[key].as_f64().unwrap();
        let deviation = number(&theirs, "bound_1_draw_deviation_nats");
        let difference = number(&ours, "bound_1_nats") - number(&theirs, "bound_1_nats");
        assert!(difference.abs() < 6.0 * deviation, "{name}: {difference} ± {deviation}");
        let latents = self.path("latents.npz");
        for arguments in [
            ["encode", &run, "--out", &latents].as_slice(),
            &["decode", &run, &latents, "--out", &self.path("decoded.npz")],
            &["sample", &run, "--count", "400", "--out", &self.path("samples.npz")],
        ] {
            rung(&arguments.iter().copied().chain(["--quiet"]).collect::<Vec<_>>()).exits(0);
        }
        self.recipe(recipe, &["--latents", "latents.npz", "--out", "recipe-decoded.npz"]);
        self.recipe(recipe, &["--draw", "400", "--out", "recipe-samples.npz"]);
        let [same, apart]: [f64; 2] =
            serde_json::from_str(&python(self.folder, &["-c", COMPARE])).unwrap();
        assert!(same < 1e-4, "{name}: images of the same latents differ by {same}");
        assert!(apart < 5.0, "{name}: samples are {apart} standard errors apart");
        eprintln!("{name}: bound {difference:+.3} (± {deviation:.3}), {same:.1e}, {apart:.1}");
    }
}

#[test]
fn hierarchies_agree() {
    let Some(folder) = folder() else { return };
    for family in ["vae", "ladder", "lvae"] {
        let set = format!("model.family={family}");
        let sets = [&set, "model.latent_sizes=[6,3]", "model.hidden_sizes=[24,12]"];
        Trained::new(folder.path(), family, &sets).agrees("hierarchy.py");
    }
}

#[test]
fn gated_blocks_agree() {
    let Some(folder) = folder() else { return };
    let stages = "model.stages=[\
        {channels=4,kernels=[3,3],strides=[2,1],latent_channels=1,latent_kernel=3},\
        {channels=6,kernels=[3,3],strides=[1,2],latent_units=3},\
        {channels=6,kernels=[3,1],latent_units=2}]";
    for (family, variance) in
        [("biva", "softplus_deviation"), ("staged_lvae", "softplus"), ("staged_vae", "free")]
    {
        let set = format!("model.family={family}");
        let variance = format!("model.log_variance={variance}");
        let sets = [set.as_str(), stages, &variance, "train.average_decay=0.9"];
        Trained::new(folder.path(), family, &sets).agrees("biva.py");
    }
}

#[test]
fn auxiliary_variables_agree() {
    let Some(folder) = folder() else { return };
    for family in ["adgm", "sdgm", "m2"] {
        let set = format!("model.family={family}");
        let sets = [set.as_str(), "model.hidden_sizes=[24,16]", "model.latent_units=4"];
        let sets: Vec<&str> = sets.into_iter().chain(["model.auxiliary_units=3"]).collect();
        Trained::new(folder.path(), family, &sets).agrees("auxiliary.py");
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
        Trained::new(folder.path(), name, &sets).agrees("matnet.py");
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
    let trained = Trained::new(folder.path(), "classifier", &sets);
    let ours = trained.evaluated();
    let said = trained.recipe("classifier.py", &["--images", "images.npz"]);
    let theirs: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(ours["error_rate"], theirs["error_rate"], "{ours} {theirs}");
}
