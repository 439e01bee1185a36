//! A run on one page of Markdown, for a model hub: what it is, how it is made again, and its result
//! beside the published one.

use rung_datasets::registry;

use super::experiments::{EXPERIMENTS, Paper, Quantity};
use crate::config::sources::{Sources, layered};
use crate::error::Result;
use crate::report::History;
use crate::report::axis::label;
use crate::report::history::EvaluationLine;
use crate::report::page::estimate;

/// Keys that say where a run is, and not what it is.
const PLACES: [&str; 4] = ["preset", "data.directory", "train.device", "train.threads"];

/// The card of a run.
///
/// # Errors
/// If its configuration can't be written down.
pub fn card(history: &History) -> Result<String> {
    let config = &history.config;
    let family = &config.family;
    let parameters = history
        .starts
        .last()
        .map_or_else(|| "an unknown number of".to_string(), |start| start.parameters.to_string());
    let state = match (history.is_finished(), history.epochs_done()) {
        (true, epochs) => format!("{epochs} epochs"),
        (false, epochs) => format!("{epochs} of {} epochs: not finished", config.train.epochs),
    };
    let mut card = format!("# {}\n\n", history.name);
    let mut row = |name: &str, value: &str| card += &format!("| {name} | {value} |\n");
    row("", "");
    row("---", "---");
    row("model", &format!("{}, {parameters} parameters", family.name()));
    if !history.groups.is_empty() {
        row("latent units", &history.by_group(&history.group_sizes()));
    }
    row("data", &history.data());
    row("training", &format!("{state}, seed {}", config.train.seed));
    if let Some(start) = history.starts.last() {
        row("made with", &format!("rung {} on {}, {}", start.rung, start.device, start.system));
    }
    if let Some(line) = history.best_evaluation() {
        row("bound", &bound(history, line));
    }
    if let Some((name, value)) = history.last_score() {
        row(&name.to_lowercase(), &value);
    }
    for published in published(history) {
        row("published", &published);
    }
    let licence = registry::find(config.data.sequences_of().unwrap_or(&config.data.name))
        .map_or("your own to state", |known| known.licence);
    row("licence of the data", licence);
    row("licence of the weights", "to be stated by who publishes them");
    card += &format!("\n## To make it again\n\n```\n{}\n```\n", command(history)?);
    card += "\nThe folder's `config.toml` is the complete configuration: `rung train --config \
    config.toml`.\n";
    card += "With the same program, device and number of threads, the seed gives the same bits.\n";
    card += "\n## To use it\n\n```\nrung evaluate RUN\nrung sample RUN\nrung encode RUN --dataset \
    images:FOLDER\nrung export RUN\n```\n";
    Ok(card)
}

/// The newest bound that says most, with its circumstances.
fn bound(history: &History, line: &EvaluationLine) -> String {
    let bits = line
        .bits_per_dim
        .map_or_else(String::new, |bits| format!(", {} bits per dimension", label(bits, 3)));
    let whole = if line.is_whole_split() { "all " } else { "the first " };
    format!(
        "L_{} = {} nats{bits} ({whole}{} {} images, after epoch {})",
        line.importance_samples,
        estimate(line.bound_k_nats, line.standard_error_nats, 2),
        line.images,
        line.split,
        label(history.epoch_of(line.step), 0),
    )
}

/// What papers report of the preset.
fn published(history: &History) -> Vec<String> {
    let of_preset = EXPERIMENTS.iter().flat_map(|experiment| {
        let entries = experiment.entries.iter().filter(|entry| {
            entry.preset == history.config.preset
                && entry.change.is_none()
                && entry.starts_from.is_none()
                && entry.draw == 0
        });
        entries.filter_map(move |entry| {
            let value = match (entry.paper, experiment.quantity) {
                (Paper::Nats(nats), Quantity::Bound) => format!("{} nats", label(nats, 2)),
                (Paper::Percent(percent), _) => format!("{percent} % of the test images wrong"),
                (Paper::Units(units), _) => format!("active units {units:?}, z_1 first"),
                _ => return None,
            };
            Some(format!("{value} ({})", experiment.title))
        })
    });
    of_preset.collect()
}

/// The command that trains the same: the preset, and the keys that differ from it.
fn command(history: &History) -> Result<String> {
    let config = &history.config;
    let preset = Some(config.preset.as_str()).filter(|preset| !preset.is_empty());
    // A preset of another version of the program may be gone.
    let Ok(base) = layered(&Sources { preset, ..Sources::default() }) else {
        return Ok("rung train --config config.toml".into());
    };
    let mut command = String::from("rung train");
    if let Some(preset) = preset {
        command += &format!(" --preset {preset}");
    }
    for change in config.changes_from(&base)? {
        if PLACES.contains(&change.key.as_str()) {
            continue;
        }
        let value = match &change.to {
            toml::Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        let set = format!("{}={value}", change.key);
        let plain = set.chars().all(|c| c.is_ascii_alphanumeric() || "._-=:/+".contains(c));
        command += " \\\n  --set ";
        command += &if plain { set } else { format!("'{}'", set.replace('\'', "'\\''")) };
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::folder::RunFolder;

    #[test]
    fn a_card_has_the_command_that_makes_the_same_run_and_the_papers_number() {
        let folder = tempfile::tempdir().unwrap();
        let sets = ["train.epochs=3", "model.hidden_sizes=[512,256,128,64,31]"].map(String::from);
        let sources = Sources { preset: Some("mnist-ladder-5"), sets: &sets, ..Sources::default() };
        let config = layered(&sources).unwrap();
        let (run, _lock) = RunFolder::create(&folder.path().join("run"), &config).unwrap();
        let line = "{\"step\":3,\"split\":\"test\",\"bound_1_nats\":-90.5,\"bound_k_nats\":-88.25,\
                    \"standard_error_nats\":0.5,\"importance_samples\":50,\"images\":10,\
                    \"images_in_split\":10}\n";
        std::fs::write(run.evaluations(), line).unwrap();
        std::fs::write(run.metrics(), "{\"step\":3,\"epoch\":3}\n").unwrap();
        let card = card(&History::read(&run).unwrap()).unwrap();
        for expected in [
            "| bound | L_50 = −88.25 ± 0.50 nats (all 10 test images, after epoch 3) |",
            "| published | −81.87 nats (",
            "rung train --preset mnist-ladder-5 \\\n  --set 'model.hidden_sizes=[512, 256, 128, \
            64, 31]' \\\n  --set train.epochs=3\n",
            "| licence of the data | usually stated as CC BY-SA 3.0",
            "3 epochs, seed 1",
        ] {
            assert!(card.contains(expected), "{expected}: {card}");
        }
        // The command gives the configuration of the run.
        let again = layered(&sources).unwrap();
        assert_eq!(again, config);
    }
}
