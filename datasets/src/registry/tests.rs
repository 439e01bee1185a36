//! Finding, opening and checking known data sets, on small files made here.

use super::*;
use crate::source::testing::gzip;
use std::fs;

fn idx(sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
    bytes.extend(values);
    bytes
}

/// Writes a small data set in MNIST's files, plain or gzip.
fn write_idx(folder: &Path, packed: bool, train: usize, test: usize) {
    fs::create_dir_all(folder).unwrap();
    for (prefix, count) in [("train", train), ("t10k", test)] {
        if count == 0 {
            continue;
        }
        let pixels: Vec<u8> = (0..count * 784).map(|i| (i / 784) as u8).collect();
        let labels: Vec<u8> = (0..count).map(|i| (i % 10) as u8).collect();
        let write = |name: String, bytes: Vec<u8>| {
            let (name, bytes) = if packed { (name + ".gz", gzip(&bytes)) } else { (name, bytes) };
            fs::write(folder.join(name), bytes).unwrap();
        };
        write(format!("{prefix}-images-idx3-ubyte"), idx(&[count as u32, 28, 28], &pixels));
        write(format!("{prefix}-labels-idx1-ubyte"), idx(&[count as u32], &labels));
    }
}

#[test]
fn names_are_found_and_near_misses_named() {
    assert_eq!(find("MNIST").unwrap().name, "mnist");
    let message = find("mnits").unwrap_err().to_string();
    assert!(
        message.starts_with(
            "no data set is called 'mnits' (did you mean 'mnist'?); known: glyphs, half-moons, \
            mnist"
        ),
        "{message}"
    );
    assert!(!find("something else").unwrap_err().to_string().contains("did you mean"));
}

#[test]
fn files_are_found_in_every_usual_place() {
    for (place, packed) in [("mnist", true), ("MNIST/raw", false), (".", true), (".", false)] {
        let data = tempfile::tempdir().unwrap();
        write_idx(&data.path().join(place), packed, 12, 3);
        let dataset = open("mnist", data.path(), &Options::default()).unwrap();
        assert_eq!((dataset.train.count(), dataset.test.count()), (12, 3), "{place}");
        assert_eq!(dataset.train.labels().unwrap().values[11], 1);
        assert_eq!(dataset.binarisation, Binarisation::PerEpoch);
        assert_eq!(dataset.notes, ["12 of 60000 training images", "3 of 10000 test images"]);
    }
}

#[test]
fn a_missing_set_names_files_folders_and_the_command() {
    let data = tempfile::tempdir().unwrap();
    write_idx(&data.path().join("mnist"), true, 0, 3);
    let message = open("mnist", data.path(), &Options::default()).unwrap_err().to_string();
    assert!(message.starts_with(
        "mnist: not found: train-images-idx3-ubyte, train-labels-idx1-ubyte (looked in"
    ));
    assert!(message.contains(&data.path().join("mnist").display().to_string()));
    assert!(message.ends_with("get it with `rung data fetch mnist`"), "{message}");
}

#[test]
fn the_test_part_opens_alone_and_validation_is_set_aside() {
    let data = tempfile::tempdir().unwrap();
    write_idx(&data.path().join("fashion-mnist"), true, 0, 3);
    let options = Options { test_only: true, validation: 2, ..Options::default() };
    let dataset = open("fashion-mnist", data.path(), &options).unwrap();
    assert_eq!((dataset.train.count(), dataset.test.count()), (0, 3));
    assert_eq!(dataset.test.labels().unwrap().class_names[9], "Ankle boot");

    write_idx(&data.path().join("kmnist"), false, 10, 3);
    let dataset =
        open("kmnist", data.path(), &Options { validation: 4, ..Options::default() }).unwrap();
    assert_eq!((dataset.train.count(), dataset.validation.unwrap().count()), (6, 4));
}

#[test]
fn cifar_is_content_with_some_batches() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("cifar-10");
    fs::create_dir_all(&folder).unwrap();
    let record = |label: u8| [vec![label], vec![label; 3072]].concat();
    fs::write(folder.join("data_batch_2.bin"), [record(1), record(2)].concat()).unwrap();
    fs::write(folder.join("test_batch.bin.gz"), gzip(&record(3))).unwrap();
    let dataset = open("cifar-10", data.path(), &Options::default()).unwrap();
    assert_eq!((dataset.train.count(), dataset.test.count()), (2, 1));
    assert_eq!(dataset.scale, 3.0);
    assert_eq!(dataset.notes[0], "2 of 50000 training images");
    let presence =
        status(data.path()).into_iter().find(|s| s.known.name == "cifar-10").unwrap().presence;
    let Presence::Partial { missing, usable: true } = presence else { panic!("{presence:?}") };
    assert_eq!(
        missing,
        ["data_batch_1.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"]
    );
}

#[test]
fn status_and_verify_tell_what_is_there() {
    let data = tempfile::tempdir().unwrap();
    write_idx(&data.path().join("mnist"), true, 2, 2);
    let presence = |name: &str| {
        let status =
            status(data.path()).into_iter().find(|status| status.known.name == name).unwrap();
        (status.presence, status.bytes)
    };
    let (mnist, bytes) = presence("mnist");
    assert_eq!(mnist, Presence::Complete);
    assert!(bytes > 100);
    assert_eq!(presence("glyphs"), (Presence::BuiltIn, 0));
    assert_eq!(presence("svhn"), (Presence::Absent, 0));
    let reports = verify("mnist", data.path()).unwrap();
    assert_eq!(reports.len(), 4);
    assert!(
        reports
            .iter()
            .all(|report| matches!(report.outcome, Outcome::Differs { algorithm: "SHA-256", .. }))
    );
    assert!(
        verify("svhn", data.path())
            .unwrap()
            .iter()
            .all(|report| report.outcome == Outcome::Missing)
    );
    assert!(verify("glyphs", data.path()).unwrap().is_empty());
}

/// The table: names, roles and checksums have the right form.
#[test]
fn the_table_is_well_formed() {
    for known in KNOWN {
        assert_eq!(KNOWN.iter().filter(|other| other.name == known.name).count(), 1);
        assert!(
            known.mirrors.iter().all(|mirror| mirror.starts_with("http") && mirror.ends_with('/'))
        );
        for file in known.files {
            let sums = [file.content, file.download.and_then(|download| download.checksum)];
            for sum in sums.into_iter().flatten() {
                let digits = if matches!(sum, Checksum::Md5(_)) { 32 } else { 64 };
                assert_eq!(sum.digits().len(), digits, "{}", file.name);
                assert!(sum.digits().chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')));
            }
        }
    }
}
