//! The published files themselves. Runs where the environment variable RUNG_REAL_DATA names a
//! folder that has them; says so if not.

use std::path::PathBuf;

use rung_datasets::registry::{Outcome, Presence, status, verify};
use rung_datasets::{Options, Pixels, open};

/// The folder, if it is named and has this data set.
fn real(name: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("RUNG_REAL_DATA").map(PathBuf::from) else {
        eprintln!("skipped: RUNG_REAL_DATA does not name a folder with {name}");
        return None;
    };
    if folder.join(name).is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: {} has no {name}", folder.display());
    None
}

/// Every file there has its published checksum, if one is known.
fn assert_verified(name: &str, folder: &std::path::Path, at_least: usize) {
    let reports = verify(name, folder).unwrap();
    let verified = reports.iter().filter(|r| matches!(r.outcome, Outcome::Verified { .. })).count();
    assert!(verified >= at_least, "{reports:?}");
    for report in reports {
        assert!(
            !matches!(report.outcome, Outcome::Differs { .. } | Outcome::Unreadable { .. }),
            "{report:?}"
        );
    }
}

#[test]
fn mnist_is_the_published_one() {
    let Some(folder) = real("mnist") else { return };
    assert_verified("mnist", &folder, 4);
    let dataset =
        open("mnist", &folder, &Options { validation: 10_000, ..Options::default() }).unwrap();
    assert_eq!((dataset.train.count(), dataset.test.count()), (50_000, 10_000));
    assert_eq!(dataset.train.labels().unwrap().values[..5], [5, 0, 4, 1, 9]);
    assert_eq!(dataset.test.labels().unwrap().values[..5], [7, 2, 1, 0, 4]);
    assert_eq!((dataset.scale, dataset.notes.len()), (256.0, 0));
    // Opened by the folder itself, and refused under a relative's name.
    assert!(open("mnist", &folder.join("mnist"), &Options::default()).is_ok());
    let message =
        open("fashion-mnist", &folder.join("mnist"), &Options::default()).unwrap_err().to_string();
    assert!(message.contains("found the labels of mnist"), "{message}");
}

#[test]
fn mnist_has_the_known_mean() {
    let Some(folder) = real("mnist") else { return };
    let train = open("mnist", &folder, &Options::default()).unwrap().train;
    let mean = train.mean_intensity();
    assert!((mean - 0.1307).abs() < 5e-5, "{mean}");
}

#[test]
fn fashion_mnist_serves_as_test_data() {
    let Some(folder) = real("fashion-mnist") else {
        return;
    };
    assert_verified("fashion-mnist", &folder, 2);
    let dataset =
        open("fashion-mnist", &folder, &Options { test_only: true, ..Options::default() }).unwrap();
    assert_eq!(dataset.test.count(), 10_000);
    assert_eq!(dataset.test.labels().unwrap().values[..3], [9, 2, 1]);
}

#[test]
fn omniglot_rebuilt_is_kept_as_bytes() {
    let Some(folder) = real("omniglot-rebuilt") else {
        return;
    };
    assert_verified("omniglot-rebuilt", &folder, 2);
    let dataset = open("omniglot-rebuilt", &folder, &Options::default()).unwrap();
    assert_eq!((dataset.train.count(), dataset.test.count()), (24_345, 8_070));
    assert!(matches!(dataset.train.pixels(), Pixels::U8(_)));
    assert!((dataset.train.mean_intensity() - 0.0805).abs() < 5e-5);
    assert!((dataset.test.mean_intensity() - 0.0804).abs() < 5e-5);
    let labels = dataset.train.labels().unwrap();
    assert_eq!((labels.classes(), labels.class_names[0].as_str()), (50, "Alphabet of the Magi"));
}

#[test]
fn cifar_opens_with_what_is_there() {
    let Some(folder) = real("cifar-10") else {
        return;
    };
    let options = Options::default();
    let dataset = open("cifar-10", &folder, &options).unwrap();
    let labels = |images: &rung_datasets::Images| images.labels().unwrap().values[..5].to_vec();
    assert_eq!(
        (labels(&dataset.train), labels(&dataset.test)),
        (vec![6, 9, 9, 4, 1], vec![3, 8, 8, 0, 6])
    );
    let presence = status(&folder)
        .into_iter()
        .find(|status| status.known.name == "cifar-10")
        .unwrap()
        .presence;
    assert!(matches!(presence, Presence::Complete | Presence::Partial { usable: true, .. }));
}
