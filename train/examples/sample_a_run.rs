//! Loads a run as a program of your own would, and draws images from its model.
//!
//! `cargo run --release -p rung --example sample_a_run -- runs/glyphs-ladder-5-1 samples.png`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rung::error::Result;
use rung::progress::{ColorChoice, Console, LogFormat};
use rung::run::arguments::{CheckpointChoice, DataDirArgs, DeviceArgs, RunArgs, StatisticsChoice};
use rung::run::load::with_run;
use rung::tasks::latent::pictures::{Wanted, samples};
use rung_models::LatentSource;

/// Images of the picture, and its columns.
const COUNT: usize = 16;
const COLUMNS: usize = 4;

/// Draws images from the top layer of a run's model.
fn sample(run: &Path, picture: &Path) -> Result<()> {
    let arguments = RunArgs {
        run: run.into(),
        checkpoint: CheckpointChoice::Last,
        statistics: StatisticsChoice::Stored,
        device: DeviceArgs::default(),
    };
    let console = Console::new(true, ColorChoice::Never, LogFormat::Text);
    with_run(&arguments, &DataDirArgs::default(), &console, |loaded| {
        let layer = loaded.model.latent()?.depth();
        let source = LatentSource::StandardNormal { layer, count: COUNT };
        let wanted = Wanted::means(source, 1);
        let images = samples(&loaded.model, &loaded.statistics, &wanted, &mut |_, _| ())?;
        images.grid(COLUMNS, 2)?.save(picture)
    })
}

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [run, picture] = paths.as_slice() else {
        eprintln!("give the folder of a run, and the picture to write");
        return ExitCode::from(2);
    };
    match sample(run, picture) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rung::cli::train::TrainArgs;
    use rung::engine::interrupt::Interrupt;

    /// A tiny run is trained, then sampled from.
    #[test]
    fn a_run_is_loaded_and_sampled_from() {
        let folder = tempfile::tempdir().unwrap();
        let (run, picture) = (folder.path().join("run"), folder.path().join("samples.png"));
        let set = [
            "model.latent_sizes=[3,2]",
            "model.hidden_sizes=[8,6]",
            "data.train_images=64",
            "data.test_images=16",
        ];
        let arguments = TrainArgs {
            out: Some(run.clone()),
            epochs: Some(1),
            batch_size: Some(16),
            set: set.map(String::from).to_vec(),
            ..TrainArgs::default()
        };
        let console = Console::new(true, ColorChoice::Never, LogFormat::Text);
        rung::cli::train_run::run_quietly(
            &arguments,
            &Interrupt::install(&console).unwrap(),
            &console,
        )
        .unwrap();
        sample(&run, &picture).unwrap();
        // 16 images of 28 pixels at twice their size in four columns, with rules between them.
        let size = std::fs::read(&picture).unwrap().len();
        assert!(size > 1000, "{size} bytes");
    }
}
