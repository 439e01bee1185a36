//! `rung decode`: the images of given latent variables.

use std::path::{Path, PathBuf};

use clap::Args;
use rung_autograd::Tensor;
use rung_datasets::npy::{NpyArray, NpyValues};
use rung_datasets::npz;
use rung_models::Group;

use super::arrays::Arrays;
use super::shared::{DataDirArgs, Format, PictureArgs, RunArgs, output_file};
use crate::engine::interrupt::Interrupt;
use crate::error::{Context, Error, Result};
use crate::progress::Console;
use crate::run::folder::RunFolder;
use crate::run::load::{LoadedRun, with_run};
use crate::tasks::latent::pictures::{self, Drawing, columns_for};

/// The classes of the images that latents are of, and the probabilities of them.
const CLASSES: [&str; 2] = ["class", "class_probs"];

/// Draw the images of given latent variables.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung decode runs/ladder runs/ladder/latents-test.npz   what rung encode wrote\n  \
        rung decode runs/ladder mine.npz --out mine.png        latents of your own")]
pub struct DecodeArgs {
    /// The model.
    #[command(flatten)]
    pub run: RunArgs,
    /// File of the latents (.npz), with an array of images by units for each, named as those of
    /// rung encode: z_1, z_2, …; the top one alone is enough. For models with classes, the array
    /// class (a number for each image) or class_probs (a row for each) says which class each has
    #[arg(value_name = "FILE")]
    pub latents: PathBuf,
    /// Where data sets lie.
    #[command(flatten)]
    pub data_dir: DataDirArgs,
    /// Images to draw, from the first; 0 for all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub count: usize,
    /// Class of every image, from 0, for models with classes
    #[arg(long, value_name = "N")]
    pub class: Option<u32>,
    /// Draw pixels, instead of showing their means; autoregressive models always draw them
    #[arg(long)]
    pub draw_pixels: bool,
    /// How the picture is drawn.
    #[command(flatten)]
    pub picture: PictureArgs,
    /// Seed of the layers that the file does not have
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// File to write: a picture (.png), or the array images (.npz, .csv)
    /// [default: RUN/pictures/decoded.png]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Decodes, and says where the picture is.
///
/// # Errors
/// If the run or the file cannot be opened, the arrays are not those of the model's latents, or the
/// picture cannot be written.
pub fn run(arguments: &DecodeArgs, console: &Console) -> Result<()> {
    Interrupt::install(console)?;
    let run = RunFolder::open(&arguments.run.run)?;
    let out = output_file(
        arguments.out.as_deref(),
        (&run.pictures(), "decoded"),
        &[Format::Png, Format::Npz, Format::Csv],
    )?;
    with_run(&arguments.run, &arguments.data_dir, console, |loaded| {
        let network = loaded.model.latent()?;
        let groups = network.groups();
        let classes = network.classifier().map(|classifier| classifier.classes());
        let file = Latents::read(&arguments.latents, &groups, arguments.count)?;
        let class = match (arguments.class, classes) {
            (_, None) if arguments.class.is_some() => {
                return Err(Error::usage("--class: the model has no classes"));
            }
            (_, None) => None,
            (Some(class), Some(_)) => Some(vec![class; file.count]),
            (None, Some(classes)) => file.classes(classes)?,
        };
        if let (Some(class), Some(classes)) = (&class, classes)
            && let Some(wild) = class.iter().find(|&&class| class as usize >= classes)
        {
            let rule = format!("class {wild}: the model has classes 0 to {}", classes - 1);
            return Err(Error::new(rule));
        }
        if class.is_none() && classes.is_some() {
            console
                .info("no classes are given (class or class_probs): each image has the next one");
        }
        file.explain(&groups, console);
        let images = decode(arguments, &loaded, &file, class.as_deref(), console)?;
        if out.format != Format::Png {
            return Arrays::new(images.count()).with_images("images", &images).write(&out, console);
        }
        arguments.picture.save(&images, columns_for(images.count()), &out.path)?;
        console.result(&out.path.display().to_string())
    })
}

fn decode(
    arguments: &DecodeArgs,
    loaded: &LoadedRun<'_>,
    file: &Latents,
    class: Option<&[u32]>,
    console: &Console,
) -> Result<crate::data::image_grid::Images> {
    let drawing = if arguments.draw_pixels { Drawing::Sample } else { Drawing::Mean };
    if drawing == Drawing::Mean && !loaded.model.family.has_mean_image() {
        console.info(pictures::PIXELS_ARE_DRAWN);
    }
    let store = &loaded.model.store;
    let tensor = |z: &Vec<f32>| -> Result<Tensor> {
        let shape = [file.count, z.len() / file.count];
        Tensor::from_f32(store.device(), z, shape)
            .and_then(|z| z.to_dtype(store.dtype()))
            .context("copying the latents to the device")
    };
    let given: Vec<Option<Tensor>> =
        file.groups.iter().map(|z| z.as_ref().map(tensor).transpose()).collect::<Result<_>>()?;
    let of = (arguments.seed, drawing, &[][..]);
    let mut progress = None;
    pictures::decoded(&loaded.model, &loaded.statistics, &given, class, of, &mut |done, total| {
        let total = total as u64;
        progress
            .get_or_insert_with(|| console.progress("drawing", "pixels", 0, total))
            .update(done as u64, "");
    })
}

/// Latents from a file.
struct Latents {
    /// Images that they are of.
    count: usize,
    /// The samples of each group, [count, units], where the file has them.
    groups: Vec<Option<Vec<f32>>>,
    /// The array of classes, or of their probabilities, under its name.
    class: Option<(String, NpyArray)>,
}

impl Latents {
    /// The latents of the first `most` images of a file (0 for all).
    fn read(path: &Path, groups: &[Group], most: usize) -> Result<Self> {
        let names: Vec<String> = groups.iter().map(Group::sample_key).collect();
        let wanted = |name: &str| names.iter().any(|own| own == name) || CLASSES.contains(&name);
        let arrays = npz::read_wanted(path, wanted).map_err(Error::from_source)?;
        let refused = |name: &str, rule: String| {
            Error::new(format!("{}: array {name}: {rule}", path.display()))
        };
        let mut found: Vec<(String, NpyArray)> =
            arrays.into_iter().filter_map(|(name, array)| Some((name, array?))).collect();
        let class = CLASSES.iter().find_map(|name| {
            let at = found.iter().position(|(own, _)| own == name)?;
            Some(found.swap_remove(at))
        });
        let array = |name: &String| found.iter().find(|(own, _)| own == name).map(|(_, a)| a);
        let rows = names.iter().find_map(|name| array(name)?.shape.first().copied());
        let Some(all) = rows.filter(|&rows| rows > 0) else {
            let rule = format!("{}: no latents of this model in it", path.display());
            return Err(Error::new(rule).with_advice(format!(
                "arrays of samples are called {}, each [images, units], as rung encode writes them",
                names.join(", ")
            )));
        };
        let count = if most == 0 { all } else { most.min(all) };
        let samples = |(name, group): (&String, &Group)| {
            let Some(array) = array(name) else { return Ok(None) };
            if array.shape != [all, group.units] {
                let expected = [all, group.units];
                return Err(refused(
                    name,
                    format!("expected {expected:?}, it is {:?}", array.shape),
                ));
            }
            let mut values = reals(&array.values);
            values.truncate(count * group.units);
            match values.iter().position(|value| !value.is_finite()) {
                None => Ok(Some(values)),
                Some(at) => Err(refused(name, format!("number {at} is {}", values[at]))),
            }
        };
        let groups = names.iter().zip(groups).map(samples).collect::<Result<Vec<_>>>()?;
        match &class {
            Some((name, array)) if array.shape.first() != Some(&all) => {
                Err(refused(name, format!("expected {all} rows, it is {:?}", array.shape)))
            }
            _ => Ok(Self { count, groups, class }),
        }
    }

    /// The class of each image: that of the file, or the likeliest one.
    fn classes(&self, classes: usize) -> Result<Option<Vec<u32>>> {
        let Some((name, array)) = &self.class else { return Ok(None) };
        let values = reals(&array.values);
        let class: Vec<u32> = match array.shape[..] {
            [_] => values[..self.count].iter().map(|&class| class as u32).collect(),
            [_, columns] if columns == classes => {
                let likeliest = |row: &[f32]| {
                    let best = (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b]));
                    best.unwrap_or_default() as u32
                };
                values.chunks_exact(classes).take(self.count).map(likeliest).collect()
            }
            _ => {
                return Err(Error::new(format!(
                    "array {name}: expected [images] or [images, {classes}], it is {:?}",
                    array.shape
                )));
            }
        };
        match array.shape.len() == 1
            && values[..self.count].iter().any(|v| *v < 0.0 || v.fract() != 0.0)
        {
            true => Err(Error::new(format!("array {name}: classes are whole numbers from 0"))),
            false => Ok(Some(class)),
        }
    }

    /// Says which layers are drawn, and where the picture shows a part of the file alone.
    fn explain(&self, groups: &[Group], console: &Console) {
        let highest = self.groups.iter().rposition(Option::is_some).unwrap_or_default();
        let missing = self.groups[..highest].iter().zip(groups).filter(|(z, _)| z.is_none());
        let missing: Vec<String> = missing.map(|(_, group)| group.name()).collect();
        if !missing.is_empty() {
            console.info(&format!("drawn, for the file has none: {}", missing.join(", ")));
        }
    }
}

/// The numbers of an array, whatever their type.
fn reals(values: &NpyValues) -> Vec<f32> {
    let mut reals = Vec::with_capacity(values.len());
    values.each(|value| reals.push(value as f32));
    reals
}
