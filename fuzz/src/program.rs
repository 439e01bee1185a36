//! What a user hands to the program: configurations, presets, checkpoints, the records of a run.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;

use rung::config::Config;
use rung::config::layers::Layers;
use rung::model::Model;
use rung::presets;
use rung::report::history::History;
use rung::report::{Subject, page};
use rung::run::checkpoint::{CheckpointData, Dtype, TensorData};
use rung::run::folder::RunFolder;
use rung_autograd::{DType, Device};
use rung_datasets::ImageShape;

use crate::files::{choice, in_folder};

/// A configuration file, whose lines after one of dashes are pairs of `--set`.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (file, pairs) = text.split_once("\n---\n").unwrap_or((&text, ""));
    let Ok(mut layers) = Layers::new(&Config::default()) else { return };
    let _ = layers.add_text("a.toml", file);
    for pair in pairs.lines() {
        let _ = layers.set(pair);
    }
    if let Ok(config) = layers.finish() {
        described(&config);
    }
}

/// A preset of the program, some lines of which are replaced.
pub fn preset(data: &[u8]) {
    let (which, data) = choice(data);
    let names: Vec<&str> = presets::all().map(|(name, _)| name).collect();
    let text = presets::text(names[usize::from(which) % names.len()]).expect("a preset");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for edit in String::from_utf8_lossy(data).split('\n') {
        let mut letters = edit.chars();
        let Some(place) = letters.next() else { continue };
        let place = place as usize % lines.len();
        match letters.as_str().strip_prefix('=') {
            // Another value for the same key.
            Some(value) => {
                let key = lines[place].split('=').next().unwrap_or_default().to_string();
                lines[place] = format!("{key}={value}");
            }
            None => lines[place] = letters.collect(),
        }
    }
    let Ok(mut layers) = Layers::new(&Config::default()) else { return };
    let _ = layers.add_text("preset", &lines.join("\n"));
    if let Ok(config) = layers.finish() {
        described(&config);
    }
}

/// What is done with a configuration that keeps every rule: it is written, read again, and its
/// model described.
fn described(config: &Config) {
    let table = config.to_table().expect("a valid configuration can be written");
    assert_eq!(&Config::from_table(table).expect("and read"), config, "it is not the same again");
    let _ = rung::model::parameter_list(config, ImageShape::new(1, 8, 8));
}

/// Checkpoints: bytes, and those of a small model with tensors and words of which some are changed,
/// checksum and all, loaded into that model.
pub fn checkpoint(data: &[u8]) {
    thread_local!(static MODEL: RefCell<Option<(Model, CheckpointData)>> = const { RefCell::new(None) });
    let _ = CheckpointData::parse(data);
    MODEL.with_borrow_mut(|made| {
        let (model, whole) = made.get_or_insert_with(small_model);
        let changed = changed(whole, data);
        let loaded = CheckpointData::parse(&file(&changed)).expect("what was written is read");
        assert!(loaded == changed, "it is not the same again");
        let _ = model.load_for_use(&loaded);
        let _ = model.load_exact_statistics(&loaded);
        let _ = Model::shape_in(&loaded);
        let _ = loaded.steps("step");
    });
}

/// The bytes of a checkpoint's file.
fn file(data: &CheckpointData) -> Vec<u8> {
    let mut bytes = Vec::new();
    data.write_to(&mut bytes).expect("memory");
    bytes
}

fn small_model() -> (Model, CheckpointData) {
    let mut layers = Layers::new(&Config::default()).expect("defaults");
    // Of one layer, which has every kind of tensor that more would have.
    for pair in ["model.latent_sizes=[2]", "model.hidden_sizes=[3]"] {
        layers.set(pair).expect("a key");
    }
    let config = layers.finish().expect("a model");
    let shape = ImageShape::new(1, 2, 2);
    let model = Model::new(&config, shape, &Device::cpu(), DType::F32).expect("a model");
    let mut data = CheckpointData::default();
    model.save(&mut data).expect("memory");
    data.metadata.insert("step".into(), "7".into());
    (model, data)
}

/// A checkpoint with the changes that `edits` say: each a kind, a place, a size and a byte.
fn changed(whole: &CheckpointData, edits: &[u8]) -> CheckpointData {
    let mut data = whole.clone();
    for &[kind, place, size, byte] in edits.as_chunks::<4>().0.iter().take(32) {
        let place = usize::from(place);
        let Some(name) = data.tensors.keys().nth(place % data.tensors.len().max(1)).cloned() else {
            return data;
        };
        let size = usize::from(size);
        match kind % 6 {
            0 => drop(data.tensors.remove(&name)),
            1 => {
                let tensor = TensorData::new(Dtype::F32, vec![size], vec![byte; 4 * size]);
                data.tensors.insert(name, tensor.expect("a shape that fits"));
            }
            2 => {
                let tensor = TensorData::new(Dtype::F64, vec![size, 2], vec![byte; 16 * size]);
                data.tensors.insert(format!("average.{name}"), tensor.expect("a shape that fits"));
            }
            3 => {
                let numbers = vec![f32::from_bits(u32::from(byte) << 23); size];
                let tensor = TensorData::from_f32(&[size], &numbers).expect("a shape that fits");
                data.tensors.insert(format!("{}{name}", byte as char), tensor);
            }
            4 => {
                let words = data.metadata.len().max(1);
                if let Some(word) = data.metadata.values_mut().nth(place % words) {
                    *word = String::from(byte as char).repeat(size);
                }
            }
            _ => drop(data.metadata.insert(String::from(byte as char), size.to_string())),
        }
    }
    data
}

/// The report of a run whose records are these lines: metrics, and evaluations after a line of
/// dashes. Of an even number of bytes its own page is made, else a comparison with itself.
pub fn report(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (metrics, evaluations) = text.split_once("\n---\n").unwrap_or((&text, ""));
    in_folder(|folder| {
        let path = folder.join("run");
        if !path.exists() {
            RunFolder::create(&path, &Config::default()).expect("a run");
        }
        let run = RunFolder::open(&path).expect("the run");
        fs::write(run.metrics(), metrics).expect("room");
        fs::write(run.evaluations(), evaluations).expect("room");
        if let Ok(history) = History::of(&run, Config::default()) {
            let subject = Subject { history, figures: Err("no checkpoint".into()) };
            let subjects = vec![subject; 1 + data.len() % 2];
            assert!(page::html(&subjects).ends_with("</html>\n"), "the page is cut off");
        }
    });
}

/// Seeds that the program writes: the presets, and the small model's checkpoint.
pub fn seeds() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let presets = presets::all().map(|(_, text)| text.as_bytes().to_vec()).collect();
    let (_, data) = small_model();
    BTreeMap::from([("config", presets), ("checkpoint", vec![file(&data)])])
}
