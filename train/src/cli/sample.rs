//! `rung sample`: pictures from the generative model.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use clap::Args;
use rung_models::LatentSource;

use super::arrays::Arrays;
use super::shared::{
    ClassChoice, DataDirArgs, Format, LayerChoice, OutputFile, PictureArgs, RunArgs, formats_asked,
    output_file,
};
use crate::data::image_grid::Images;
use crate::engine::interrupt::Interrupt;
use crate::error::{Error, Result};
use crate::model::{groups, no_latents};
use crate::progress::Console;
use crate::run::folder::RunFolder;
use crate::run::load::{LoadedRun, image_shape, with_run};
use crate::tasks::latent::pictures::{self, Drawing, Wanted, columns_for};

/// What samples can be written as.
const SAMPLES_FORMATS: [Format; 3] = [Format::Png, Format::Npz, Format::Csv];

/// Draw new images from a trained model.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung sample runs/ladder                a grid of 100 new images\n  \
        rung sample runs/ladder --layer all    a grid for each layer (figure 6b)\n  \
        rung sample runs/biva --vary 2         what the layers up to the second decide\n  \
        rung sample runs/biva --temperature 0.7  nearer to what the model finds likely\n  \
        rung sample runs/sdgm --class all --count 10   ten styles in every class")]
pub struct SampleArgs {
    /// The model.
    #[command(flatten)]
    pub run: RunArgs,
    /// Where data sets lie.
    #[command(flatten)]
    pub data_dir: DataDirArgs,
    /// Layer to draw at: a number, 1 being nearest to the image, or all [default: the top layer]
    #[arg(long, value_name = "N|all")]
    pub layer: Option<LayerChoice>,
    /// Draw only the layers up to this one anew for each image; the layers above it are drawn
    /// once, for all images
    #[arg(long, value_name = "N", conflicts_with = "layer")]
    pub vary: Option<usize>,
    /// Draw images of this class (from 0), or a row of every class with one z for each row; for
    /// models with classes
    #[arg(long, value_name = "N|all", conflicts_with_all = ["layer", "vary"])]
    pub class: Option<ClassChoice>,
    /// Images to draw; with --class all, rows
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub count: u32,
    /// Factor of the standard deviations that latents are drawn with, for all layers or, as a list
    /// such as 0.7,0.9,1, for each, that nearest to the image first; pixels are not concerned
    #[arg(
        long, value_name = "T", value_delimiter = ',', default_value = "1",
        value_parser = temperature
    )]
    pub temperature: Vec<f64>,
    /// Draw pixels, instead of showing their means; autoregressive models always draw them
    #[arg(long)]
    pub draw_pixels: bool,
    /// How pictures are drawn.
    #[command(flatten)]
    pub picture: PictureArgs,
    /// Seed of the images
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Format of the file: a picture, or the array samples [default: that of --out, or png]
    #[arg(long, value_name = "FORMAT", value_parser = SAMPLES_FORMATS.map(Format::ending))]
    pub format: Option<String>,
    /// File to write, whose ending decides the format; the layer's number is added with --layer all
    /// [default: RUN/pictures/samples.png]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Draws, and says where the pictures are.
///
/// # Errors
/// If the run cannot be opened, has no such layer, or a picture cannot be written.
pub fn run(arguments: &SampleArgs, console: &Console) -> Result<()> {
    Interrupt::install(console)?;
    let run = RunFolder::open(&arguments.run.run)?;
    let config = run.load_config()?;
    let groups = groups(&config, image_shape(&run, &config)?)?;
    let depth = groups.last().map(|group| group.layer).ok_or_else(|| no_latents(&config.family))?;
    let layers = match arguments.layer {
        None => depth..=depth,
        Some(LayerChoice::All) => 1..=depth,
        Some(LayerChoice::One(layer)) if layer <= depth => layer..=layer,
        Some(LayerChoice::One(layer)) => {
            return Err(Error::usage(format!(
                "--layer {layer}: the model has layers 1 to {depth}"
            ))
            .with_advice("1 is nearest to the image; without --layer, images come from the top"));
        }
    };
    let temperatures = match arguments.temperature[..] {
        [one] => vec![one; depth],
        ref each if each.len() == depth => each.to_vec(),
        ref each => {
            return Err(Error::usage(format!(
                "--temperature has {} values: the model has {depth} layers",
                each.len()
            ))
            .with_advice("give one value for all layers, or one for each"));
        }
    };
    let formats = formats_asked(&SAMPLES_FORMATS, arguments.format.as_deref());
    let out = output_file(arguments.out.as_deref(), (&run.pictures(), "samples"), &formats)?;
    with_run(&arguments.run, &arguments.data_dir, console, |loaded| {
        if let Some(class) = arguments.class {
            return draw_class(arguments, &loaded, class, &temperatures, &out, console);
        }
        draw(arguments, &loaded, layers, &temperatures, &out, console)
    })
}

fn draw(
    arguments: &SampleArgs,
    loaded: &LoadedRun<'_>,
    layers: RangeInclusive<usize>,
    temperatures: &[f64],
    out: &OutputFile,
    console: &Console,
) -> Result<()> {
    let count = arguments.count as usize;
    let drawing = if arguments.draw_pixels { Drawing::Sample } else { Drawing::Mean };
    if drawing == Drawing::Mean && !loaded.model.family.has_mean_image() {
        console.info(pictures::PIXELS_ARE_DRAWN);
    }
    for layer in layers {
        let source = match arguments.vary {
            Some(layer) => LatentSource::SharedAbove { layer, count },
            None => LatentSource::StandardNormal { layer, count },
        };
        let mut progress = None;
        let images = pictures::samples(
            &loaded.model,
            &loaded.statistics,
            &Wanted { source, seed: arguments.seed, drawing, temperatures },
            &mut |done, total| {
                let total = total as u64;
                progress
                    .get_or_insert_with(|| console.progress("drawing", "pixels", 0, total))
                    .update(done as u64, "");
            },
        )?;
        let path = match arguments.layer {
            Some(LayerChoice::All) => numbered(&out.path, layer),
            _ => out.path.clone(),
        };
        let out = OutputFile { path, ..*out };
        save(arguments, &images, columns_for(count), &out, console)?;
    }
    Ok(())
}

/// Images of one class, or of every class with a style for each row.
fn draw_class(
    arguments: &SampleArgs,
    loaded: &LoadedRun<'_>,
    class: ClassChoice,
    temperatures: &[f64],
    out: &OutputFile,
    console: &Console,
) -> Result<()> {
    let count = arguments.count as usize;
    let drawing = if arguments.draw_pixels { Drawing::Sample } else { Drawing::Mean };
    let (images, columns) = pictures::samples_of_classes(
        &loaded.model,
        &loaded.statistics,
        (
            count,
            match class {
                ClassChoice::One(class) => Some(class),
                ClassChoice::All => None,
            },
        ),
        (arguments.seed, drawing, temperatures),
        &mut |_, _| (),
    )?;
    save(arguments, &images, columns, out, console)
}

/// Writes images as a picture of so many columns or as an array, and says where they are.
fn save(
    arguments: &SampleArgs,
    images: &Images,
    columns: usize,
    out: &OutputFile,
    console: &Console,
) -> Result<()> {
    if out.format != Format::Png {
        let samples = Arrays::new(images.count()).with_images("samples", images);
        return samples.write(out, console);
    }
    arguments.picture.save(images, columns, &out.path)?;
    console.result(&out.path.display().to_string())
}

/// The highest temperature: of more, latents come near to what no number of the model's can hold.
const HOTTEST: f64 = 1000.0;

fn temperature(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|t: &f64| (0.0..=HOTTEST).contains(t));
    number.ok_or_else(|| format!("{text} is no temperature: give a number from 0 to {HOTTEST}"))
}

/// `samples.png` becomes `samples-3.png`.
fn numbered(path: &Path, layer: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map_or("png".into(), |extension| extension.to_string_lossy());
    path.with_file_name(format!("{stem}-{layer}.{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_has_a_picture_of_its_own() {
        assert_eq!(numbered(Path::new("a/samples.png"), 3), Path::new("a/samples-3.png"));
        assert_eq!(numbered(Path::new("plain"), 1), Path::new("plain-1.png"));
    }
}
