//! The command line from outside: exit codes, help, messages, and files that lie to it.

mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use program::{Run, Said, rung};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::sample::{Index, select};
use rung_tests::{case_count, property};
use serde_json::{Map, Value, json};

const SUBCOMMANDS: [&str; 13] = [
    "train",
    "evaluate",
    "sample",
    "reconstruct",
    "encode",
    "report",
    "reproduce",
    "export",
    "info",
    "data",
    "devices",
    "bench",
    "completions",
];

fn words(line: &str) -> Said {
    rung(&line.split_whitespace().collect::<Vec<_>>())
}

#[test]
fn every_help_begins_with_the_two_commands_most_people_want() {
    let listed = words("--help").exits(0).out;
    let commands = listed
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let commands: Vec<&str> = commands
        .filter(|line| !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    for name in SUBCOMMANDS {
        assert!(commands.contains(&name), "{name} is missing from {commands:?}");
    }
    let nested = [
        "",
        "bench step",
        "bench kernels",
        "bench evaluate",
        "data list",
        "data fetch",
        "data verify",
    ];
    for subcommand in commands.into_iter().filter(|name| *name != "help").chain(nested) {
        let said = words(&format!("{subcommand} --help")).exits(0);
        let lines: Vec<&str> = said.out.lines().take(3).collect();
        assert_eq!(lines[0], "Most people want:", "{subcommand}");
        assert!(
            lines[1].starts_with("  rung") && lines[2].starts_with("  rung"),
            "{subcommand}: {lines:?}"
        );
        assert_eq!(said.err, "", "{subcommand}");
    }
}

#[test]
fn completions_go_to_standard_output_alone() {
    for shell in ["bash", "zsh", "fish"] {
        let said = words(&format!("completions {shell}")).exits(0);
        assert!(said.out.contains("rung") && said.out.contains("importance-samples"), "{shell}");
        assert_eq!(said.err, "", "{shell}");
    }
}

#[test]
fn a_wrong_command_line_exits_with_2_and_says_what_was_meant() {
    for (line, expected) in [
        ("trian", "'train'"),
        ("train --epohcs 3", "'--epochs'"),
        ("train --epochs many", "many"),
        ("train --epochs 0", "0"),
        ("train --preset mnist-lader-5", "did you mean mnist-ladder-5?"),
        ("train --set model.latent_size=[3]", "did you mean model.latent_sizes?"),
        ("train --set train.seed", "expected key=value"),
        ("train --set model.family=vea", "vea"),
        ("train --set model.hidden_sizes=[3]", "must have one size for each stochastic layer"),
        ("train --set train.batch_size=1", "must be at least 4 with batch normalisation"),
        ("train --resume somewhere --seed 3", "'--seed"),
        ("info", "<RUN|--preset"),
    ] {
        let said = words(line).exits(2);
        assert!(said.err.contains(expected), "{line}: {}", said.err);
        assert_eq!(said.out, "", "{line}");
        assert!(!Path::new("runs").exists(), "{line} made a folder");
    }
}

#[test]
fn what_fails_exits_with_1_and_one_error() {
    let folder = tempfile::tempdir().unwrap();
    let misspelt = folder.path().join("misspelt.toml");
    fs::write(&misspelt, "[train]\nepoch = 3\n").unwrap();
    let torn = folder.path().join("torn.toml");
    fs::write(&torn, "[train\nepochs = 3\n").unwrap();
    let out = |name: &str| folder.path().join(name).display().to_string();
    let cases = [
        ("train --resume /nowhere/at-all".to_owned(), "doesn't exist"),
        (format!("train --resume {}", folder.path().display()), "isn't a run"),
        (format!("train --config {}", misspelt.display()), "did you mean train.epochs?"),
        (format!("train --config {}", torn.display()), "torn.toml"),
        ("train --config /nowhere.toml".to_owned(), "no such file"),
        (format!("train --dataset mnits --out {}", out("a")), "did you mean 'mnist'?"),
        (
            format!("train --dataset mnist --data-dir /nowhere --out {}", out("b")),
            "rung data fetch mnist",
        ),
        (format!("train --device nowhere --out {}", out("c")), "there is no device nowhere"),
        (format!("train --out {}", folder.path().display()), "isn't empty"),
        (
            format!(
                "train --batch-size 64 --set data.train_images=32 --set data.test_images=8 --out \
                {}",
                out("d")
            ),
            "needs more than the 32",
        ),
    ];
    for (line, expected) in cases {
        let said = words(&line).exits(1);
        assert!(
            said.error().contains(expected) || said.err.contains(expected),
            "{line}: {}",
            said.err
        );
        assert_eq!(said.out, "", "{line}");
    }
}

#[test]
fn results_go_to_standard_output_and_the_rest_to_standard_error() {
    let run = Run::new();
    let said = rung(&run.train(2, &[])).exits(0);
    assert!(
        said.out.starts_with("test bound L_1: -") && said.out.contains("nats per image, 40 images"),
        "{said:?}"
    );
    assert!(
        said.out.contains("\nKL in nats: z_1 ") && said.out.contains("\nactive units: z_1 "),
        "{said:?}"
    );
    assert!(said.out.ends_with(&format!("run: {}\n", run.path.display())), "{said:?}");
    for expected in [
        "model: probabilistic ladder, latent units z_1 6, z_2 3, ",
        "320 training images, 40 test images",
        "checkpoints/best: chosen by the bound of the test images, so its test bound flatters it",
        "epoch 2: bound -",
        "device: ",
    ] {
        assert!(said.err.contains(expected), "{said:?}");
    }
    for file in
        ["config.toml", "metrics.jsonl", "pictures/samples.png", "pictures/reconstructions.png"]
    {
        assert!(fs::metadata(run.file(file)).unwrap().len() > 0, "{file}");
    }
    let quiet = Run::new();
    let said = rung(&quiet.train(2, &["--quiet"])).exits(0);
    assert_eq!(said.err, "");
    assert!(quiet.bytes() == run.bytes(), "the same command gives another model");
    let again = rung(&run.train(2, &[])).exits(1);
    assert!(
        again.error().contains("holds a run already") && again.err.contains("--resume"),
        "{again:?}"
    );
}

#[test]
fn json_messages_are_json_lines() {
    let run = Run::new();
    let said = rung(&run.train(1, &["--log-format", "json"])).exits(0);
    let lines: Vec<Value> =
        said.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["level"] == "info"), "{said:?}");
}

#[test]
fn a_trained_model_is_evaluated_sampled_reconstructed_encoded_and_described() {
    let run = Run::new();
    let trained = rung(&run.train(2, &[])).exits(0);
    let path = run.path.display().to_string();
    let json =
        |line: String| -> Value { serde_json::from_str(&words(&line).exits(0).out).unwrap() };

    let evaluate = |samples| {
        json(format!("evaluate {path} --importance-samples {samples} --json --threads 1"))
    };
    let (one, hundred) = (evaluate(1), evaluate(100));
    let bound = one["bound_1_nats"].as_f64().unwrap();
    assert!(trained.out.contains(&format!("L_1: {bound:.2} ±")), "{one} against {trained:?}");
    assert_eq!((&one["bound_k_nats"], one["images"].as_u64()), (&one["bound_1_nats"], Some(40)));
    assert_eq!(hundred["importance_samples"], 100);
    assert!(hundred["bound_k_nats"].as_f64() > hundred["bound_1_nats"].as_f64());
    assert!(hundred["standard_error_nats"].as_f64().is_some_and(|error| error > 0.0));
    let bits = -hundred["bound_k_nats"].as_f64().unwrap() / (784.0 * std::f64::consts::LN_2);
    assert!((hundred["bits_per_dim"].as_f64().unwrap() - bits).abs() < 1e-9);

    for (line, files) in [
        (format!("sample {path} --count 9"), vec!["pictures/samples.png"]),
        (
            format!("sample {path} --count 9 --layer all"),
            vec!["pictures/samples-1.png", "pictures/samples-2.png"],
        ),
        (format!("reconstruct {path} --count 5"), vec!["pictures/reconstructions.png"]),
        (format!("encode {path} --count 10"), vec!["latents-test.npz"]),
    ] {
        files.iter().for_each(|file| drop(fs::remove_file(run.file(file))));
        let said = words(&line).exits(0);
        for file in files {
            assert!(
                fs::metadata(run.file(file)).unwrap().len() > 100 && said.out.contains(file),
                "{line}: {said:?}"
            );
        }
    }
    let said = words(&format!("sample {path} --layer 3")).exits(2);
    assert!(said.error().contains("the model has layers 1 to 2"), "{said:?}");
    assert_eq!(json(format!("info {path} --json"))["step"], 20);
}

#[test]
fn presets_devices_and_data_sets_are_described() {
    for (preset, parameters) in [
        ("mnist-ladder-5", 1_850_944),
        ("mnist-ladder-2", 1_745_552),
        ("mnist-vae-bn-wu-5", 1_707_104),
        ("mnist-vae-bn-wu-1", 1_430_544),
    ] {
        let described: Value =
            serde_json::from_str(&words(&format!("info --preset {preset} --json")).exits(0).out)
                .unwrap();
        assert_eq!(described["parameters"], parameters, "{preset}");
    }
    let presets = words("info --presets").exits(0).out;
    assert!(
        presets.lines().any(|line| line.starts_with("omniglot-lvae-5 "))
            && presets.contains("norb-vae-bn-3 "),
        "{presets}"
    );
    assert!(
        words("info --preset mnist-lader-5")
            .exits(2)
            .error()
            .contains("did you mean mnist-ladder-5?")
    );
    assert!(words("devices").exits(0).out.contains("cpu"));
    let only = words("devices --device cpu --json").exits(0).out;
    assert_eq!(only.lines().count(), 1, "{only}");
    let checked = words("devices --device cpu --check").exits(0);
    assert!(checked.err.contains("results as the references say"), "{checked:?}");
    let error = words("devices --device opencl:77").exits(1);
    assert!(error.error().contains("there is no device opencl:77"), "{error:?}");
    assert!(words("data list").exits(0).out.contains("fashion-mnist"));
}

#[test]
fn a_benchmark_gives_its_numbers_with_units() {
    let said =
        words("bench step --preset mnist-vae-bn-wu-1 --batch-size 8 --steps 3 --threads 1 --json")
            .exits(0);
    let numbers: Value = serde_json::from_str(&said.out).unwrap();
    let [min, median, max] =
        ["step_ms_min", "step_ms_median", "step_ms_max"].map(|key| numbers[key].as_f64().unwrap());
    assert!(0.0 < min && min <= median && median <= max, "{numbers}");
    assert_eq!(numbers["parameters"], 1_430_544);
}

#[test]
fn two_programs_are_timed_turn_by_turn() {
    let own = program::binary().to_str().unwrap();
    let model = "--preset mnist-vae-bn-wu-1 --batch-size 8 --threads 1";
    let said = words(&format!("bench compare {own} {own} --rounds 3 --steps 2 --json -- {model}"))
        .exits(0);
    let numbers: Value = serde_json::from_str(&said.out).unwrap();
    let [min, lower, median, upper, max] =
        ["min", "lower_quartile", "median", "upper_quartile", "max"]
            .map(|key| numbers[format!("ratio_{key}")].as_f64().unwrap());
    assert!(0.0 < min && min <= lower && lower <= median, "{numbers}");
    assert!(median <= upper && upper <= max, "{numbers}");
    for program in numbers["programs"].as_array().unwrap() {
        assert_eq!(program["times"], 6);
        assert!(program["ready"].as_str().unwrap().contains("mnist-vae-bn-wu-1"), "{program}");
    }
    let compared = |second: &str| {
        let command = ["bench", "compare", own, second, "--rounds", "1", "--steps", "1", "--"];
        let command: Vec<&str> = command.into_iter().chain(model.split_whitespace()).collect();
        rung(&command).exits(1).error().to_owned()
    };
    assert!(compared("no-such-program").contains("starting no-such-program"));
    assert!(compared("echo no JSON").contains("ended without an answer"));
    assert!(compared("echo {\"ready\":\"I\"}").contains("ended without an answer"));
}

/// A safetensors file, taken apart: the header's entries and the numbers.
struct Parts {
    metadata: Map<String, Value>,
    /// Name, dtype, shape, bytes.
    tensors: BTreeMap<String, (String, Vec<u64>, Vec<u8>)>,
}

impl Parts {
    fn read(bytes: &[u8]) -> Self {
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut entries: Map<String, Value> = serde_json::from_slice(&bytes[8..header]).unwrap();
        let metadata = entries.remove("__metadata__").unwrap().as_object().unwrap().clone();
        let tensor = |(name, entry): (String, Value)| {
            let [start, end] =
                [0, 1].map(|k| header + entry["data_offsets"][k].as_u64().unwrap() as usize);
            let shape = entry["shape"]
                .as_array()
                .unwrap()
                .iter()
                .map(|size| size.as_u64().unwrap())
                .collect();
            (name, (entry["dtype"].as_str().unwrap().to_owned(), shape, bytes[start..end].to_vec()))
        };
        Self { metadata, tensors: entries.into_iter().map(tensor).collect() }
    }

    /// The file, with the checksum that belongs to its content: it lies, but it is whole.
    fn write(mut self) -> Vec<u8> {
        self.metadata.remove("content_crc32");
        let mut crc = crc32fast::Hasher::new();
        let sorted: BTreeMap<_, _> = self.metadata.iter().collect();
        sorted.iter().for_each(|(key, value)| {
            crc.update(format!("{key}\0{}\0", value.as_str().unwrap()).as_bytes())
        });
        for (name, (dtype, shape, bytes)) in &self.tensors {
            let shape: Vec<String> = shape.iter().map(u64::to_string).collect();
            crc.update(format!("{name}\0{dtype}\0{}\0", shape.join(",")).as_bytes());
            crc.update(bytes);
        }
        self.metadata.insert("content_crc32".into(), json!(format!("{:08x}", crc.finalize())));
        let mut header =
            Map::from_iter([("__metadata__".to_owned(), Value::Object(self.metadata))]);
        let mut numbers = Vec::new();
        for wide in ["F64", "F32"] {
            for (name, (dtype, shape, bytes)) in
                self.tensors.iter().filter(|(_, (dtype, ..))| dtype == wide)
            {
                let start = numbers.len();
                numbers.extend_from_slice(bytes);
                header.insert(
                    name.clone(),
                    json!({"dtype": dtype, "shape": shape, "data_offsets": [start, numbers.len()]}),
                );
            }
        }
        let mut header = Value::Object(header).to_string();
        header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &numbers].concat()
    }
}

/// A run of one epoch that could go on to two, with nothing but its last checkpoint to go on from.
fn unfinished() -> (Run, Vec<u8>) {
    let run = Run::new();
    rung(&run.train(1, &[])).exits(0);
    fs::remove_file(run.file("checkpoints/previous.safetensors")).unwrap();
    let bytes = run.bytes();
    (run, bytes)
}

/// Puts a checkpoint in place of the last one and goes on from it.
fn resume_from(run: &Run, config: &[u8], checkpoint: &[u8]) -> Said {
    for file in
        ["checkpoints/previous.safetensors", "checkpoints/last.safetensors.tmp", "metrics.jsonl"]
    {
        let _ = fs::remove_file(run.file(file));
    }
    fs::write(run.file("config.toml"), config).unwrap();
    fs::write(run.last(), checkpoint).unwrap();
    rung(&run.resume(2))
}

#[test]
fn the_checkpoint_writer_of_this_test_is_understood() {
    let (run, bytes) = unfinished();
    let config = fs::read(run.file("config.toml")).unwrap();
    resume_from(&run, &config, &Parts::read(&bytes).write()).exits(0);
}

#[test]
fn a_checkpoint_with_any_damage_is_refused_with_its_reason() {
    let (run, bytes) = unfinished();
    let config = fs::read(run.file("config.toml")).unwrap();
    let changes = vec((any::<Index>(), 1..=255u8), 0..4);
    // Half of the changes hit the header, which is where parsers break.
    let damage = (changes, any::<bool>(), any::<Index>(), any::<bool>());
    property(case_count(60), damage, |(changes, in_header, end, cut)| {
        let mut damaged = bytes.clone();
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let reach = if in_header { header } else { bytes.len() };
        changes.iter().for_each(|(place, change)| damaged[place.index(reach)] ^= change);
        if cut {
            damaged.truncate(end.index(bytes.len()));
        }
        if damaged == bytes {
            return Ok(());
        }
        let said = resume_from(&run, &config, &damaged);
        let refused =
            said.code == Some(1) && said.error().contains("can't be used as a checkpoint");
        refused.then_some(()).ok_or_else(|| format!("{said:?}"))
    });
}

#[test]
fn a_whole_checkpoint_that_lies_is_refused_or_used_but_never_a_crash() {
    let (run, bytes) = unfinished();
    let config = fs::read(run.file("config.toml")).unwrap();
    let names: Vec<String> = Parts::read(&bytes)
        .tensors
        .into_keys()
        .filter(|name| !name.starts_with("exact_statistics"))
        .collect();
    let numbers = select(vec![
        "",
        "-1",
        "0",
        "10",
        "11",
        "18446744073709551615",
        "9223372036854775807",
        "1e3",
        "NaN",
        "ten",
    ]);
    let lie = (
        0..6usize,
        select(names),
        select(vec!["step", "optimiser_steps", "epoch_steps", "best_score", "optimiser"]),
        numbers,
    );
    property(case_count(60), lie, |(kind, name, key, number)| {
        let mut parts = Parts::read(&bytes);
        let (dtype, shape, numbers) = parts.tensors.get_mut(&name).unwrap();
        match kind {
            0 => drop(parts.tensors.remove(&name)),
            1 => shape.push(1),
            2 => *shape = vec![numbers.len() as u64 / if dtype == "F32" { 4 } else { 8 }],
            3 => numbers.fill(0xff),
            4 => drop(parts.metadata.remove(key)),
            _ => drop(parts.metadata.insert(key.into(), json!(number))),
        }
        let said = resume_from(&run, &config, &parts.write());
        let lies_about_the_model = matches!(kind, 0 | 1) && name != "training.epoch_sums";
        match said.code {
            Some(0) if !lies_about_the_model => Ok(()),
            Some(1) if !said.error().is_empty() => Ok(()),
            _ => Err(format!("{kind} {name} {key}={number}: {said:?}")),
        }
    });
}

/// The counts that a checkpoint holds are added to and multiplied with; the largest must not
/// overflow anything.
#[test]
fn a_checkpoint_that_counts_more_steps_than_any_training_makes_is_refused() {
    let (run, bytes) = unfinished();
    let config = fs::read(run.file("config.toml")).unwrap();
    for key in ["step", "optimiser_steps"] {
        for count in [u64::MAX, i64::MAX as u64, (1 << 53) + 1] {
            let mut parts = Parts::read(&bytes);
            parts.metadata.insert(key.into(), json!(count.to_string()));
            let said = resume_from(&run, &config, &parts.write()).exits(1);
            assert!(said.error().contains(&format!("{key} is {count}")), "{said:?}");
        }
    }
}

#[test]
fn a_damaged_checkpoint_serves_no_command() {
    let (run, mut bytes) = unfinished();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(run.last(), &bytes).unwrap();
    for command in ["evaluate", "sample", "reconstruct", "encode", "train --resume"] {
        let said = words(&format!("{command} {}", run.path.display())).exits(1);
        assert!(said.error().contains("can't be used as a checkpoint"), "{command}: {said:?}");
    }
    let said = rung(&Run::new().train(1, &["--init-from", run.last().to_str().unwrap()])).exits(1);
    assert!(said.error().contains("can't be used as a checkpoint"), "{said:?}");
}

#[test]
fn a_run_that_never_began_does_not_take_the_folder() {
    for mistake in [["--dataset", "mnits"], ["--device", "nowhere"]] {
        let run = Run::new();
        rung(&run.train(1, &mistake)).exits(1);
        rung(&run.train(1, &[])).exits(0);
    }
}

/// A whole configuration ends at the device, which does not exist; a damaged one before.
#[test]
fn a_configuration_with_any_damage_gives_an_error() {
    let run = Run::new();
    rung(&run.train(1, &[])).exits(0);
    let config = fs::read_to_string(run.file("config.toml")).unwrap();
    let resume = ["train", "--resume", run.path.to_str().unwrap(), "--device", "nowhere"];
    let said = rung(&resume).exits(1);
    assert!(said.error().contains("there is no device nowhere"), "{said:?}");
    let replacement = select(vec![
        "",
        "[",
        "]",
        "\"",
        "=",
        "-",
        "9",
        "0",
        ".",
        "\n",
        "nan",
        "é",
        "99999999999999999999",
        "[[",
        "e",
    ]);
    property(case_count(100), vec((any::<Index>(), replacement), 1..4), |changes| {
        let mut characters: Vec<String> = config.chars().map(String::from).collect();
        changes
            .iter()
            .for_each(|(place, text)| *place.get_mut(&mut characters) = (*text).to_owned());
        fs::write(run.file("config.toml"), characters.concat()).unwrap();
        let said = rung(&resume);
        let refused = matches!(said.code, Some(1 | 2)) && !said.error().is_empty();
        refused.then_some(()).ok_or_else(|| format!("{said:?}"))
    });
    fs::write(run.file("config.toml"), [0xff, 0xfe, 0x00]).unwrap();
    let said = rung(&resume).exits(1);
    assert!(said.error().contains("config.toml"), "{said:?}");
}
