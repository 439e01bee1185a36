//! MAT-files made here, read back; then every way to spoil them.

use super::*;
use crate::source::testing::{file, zlib};
use crate::{ImageShape, Pixels};
use proptest::prelude::*;

const DOUBLE_CLASS: u32 = 6;
const BYTE_CLASS: u32 = 9;

fn element(kind: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = [kind.to_le_bytes(), (content.len() as u32).to_le_bytes()].concat();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn small_element(kind: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = (kind | (content.len() as u32) << 16).to_le_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(8, 0);
    bytes
}

/// An array element whose numbers are stored as `kind`.
fn matrix(name: &str, class: u32, sizes: &[u32], kind: u32, numbers: &[u8]) -> Vec<u8> {
    let sizes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
    let pack = |kind, content: &[u8]| {
        if content.len() <= 4 { small_element(kind, content) } else { element(kind, content) }
    };
    let flags = [class.to_le_bytes(), 0u32.to_le_bytes()].concat();
    let parts = [
        element(TYPE_UINT32, &flags),
        element(TYPE_INT32, &sizes),
        pack(TYPE_INT8, name.as_bytes()),
        pack(kind, numbers),
    ];
    element(TYPE_MATRIX, &parts.concat())
}

fn compressed(element: &[u8]) -> Vec<u8> {
    let packed = zlib(element);
    let mut bytes = [TYPE_COMPRESSED.to_le_bytes(), (packed.len() as u32).to_le_bytes()].concat();
    bytes.extend(packed);
    bytes
}

fn doubles(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn whole(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![b' '; 124];
    bytes[..10].copy_from_slice(b"MATLAB 5.0");
    bytes.extend([0, 1, b'I', b'M']);
    bytes.extend(elements.concat());
    bytes
}

fn decode(bytes: &[u8], wanted: &[&str]) -> Result<Vec<Variable>> {
    parse(Source::over(Path::new("f"), "mat", bytes.len() as u64, bytes)?, wanted)
}

fn sample() -> Vec<u8> {
    let a = matrix("a", DOUBLE_CLASS, &[2, 3], 9, &doubles(&[0.0, 0.5, 1.0, -2.0, 3.25, 1e9]));
    // A double array stored as bytes, as MATLAB does when nothing is lost; small enough to sit in
    // its tag.
    let b = matrix("b", DOUBLE_CLASS, &[1, 3], TYPE_UINT8, &[1, 2, 3]);
    let skipped = element(TYPE_MATRIX, &[]);
    whole(&[
        compressed(&a),
        b,
        skipped,
        compressed(&matrix("other", BYTE_CLASS, &[9, 1], TYPE_UINT8, &[7; 9])),
    ])
}

#[test]
fn compressed_plain_and_small_elements_are_read() {
    let variables = decode(&sample(), &["a", "b", "missing"]).unwrap();
    assert_eq!(variables.len(), 2);
    assert_eq!(variables[0].sizes, [2, 3]);
    assert_eq!(variables[0].numbers, NpyValues::F32(vec![0.0, 0.5, 1.0, -2.0, 3.25, 1e9]));
    assert_eq!(variables[1].numbers, NpyValues::U8(vec![1, 2, 3]));
}

#[test]
fn big_endian_files_are_read() {
    let mut bytes = vec![b' '; 124];
    bytes.extend([1, 0, b'M', b'I']);
    let element = |kind: u32, content: &[u8]| {
        let mut bytes = [kind.to_be_bytes(), (content.len() as u32).to_be_bytes()].concat();
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    };
    let sizes = [1u32.to_be_bytes(), 2u32.to_be_bytes()].concat();
    let flags = [DOUBLE_CLASS.to_be_bytes(), [0; 4]].concat();
    let numbers = [1.5f32.to_be_bytes(), (-4f32).to_be_bytes()].concat();
    let parts = [element(6, &flags), element(5, &sizes), element(1, b"x"), element(7, &numbers)];
    bytes.extend(element(TYPE_MATRIX, &parts.concat()));
    assert_eq!(decode(&bytes, &["x"]).unwrap()[0].numbers, NpyValues::F32(vec![1.5, -4.0]));
}

#[test]
fn lies_are_named() {
    let message = |bytes: &[u8]| decode(bytes, &["a"]).unwrap_err().to_string();
    let with = |at: usize, value: u8| {
        let mut bytes = sample();
        bytes[at] = value;
        bytes
    };
    assert!(message(&with(126, b'X')).contains("byte order mark"));
    assert!(message(&with(125, 2)).contains("version"));
    assert!(message(&with(135, 9)).contains("has no more"), "{}", message(&with(135, 9)));
    let mut hdf = vec![0; 600];
    hdf[..4].copy_from_slice(b"\x89HDF");
    assert!(message(&hdf).contains("7.3"));

    let short = matrix("a", DOUBLE_CLASS, &[2, 4], 9, &doubles(&[1.0; 6]));
    let expected =
        "numbers of 'a': expected 8 elements of 8 bytes, as the sizes say, found 48 bytes";
    assert!(message(&whole(&[compressed(&short)])).contains(expected));
    let negative = matrix("a", DOUBLE_CLASS, &[u32::MAX, 4], 9, &[]);
    assert!(message(&whole(&[negative])).contains("sizes of 'a'"));
    let complex = matrix("a", DOUBLE_CLASS | COMPLEX, &[1, 1], 9, &doubles(&[1.0]));
    assert!(message(&whole(&[complex])).contains("a real numeric array"));
    let cell = matrix("a", 1, &[1, 1], 9, &doubles(&[1.0]));
    assert!(message(&whole(&[cell])).contains("a real numeric array"));
    let odd = matrix("a", DOUBLE_CLASS, &[8, 1], 11, &doubles(&[1.0]));
    assert!(message(&whole(&[odd])).contains("a numeric element type, found 11"));
}

#[test]
fn a_bomb_is_refused_without_memory_for_it() {
    // 2³⁰ doubles claimed by an array of a few bytes.
    let mut parts =
        [element(6, &[6, 0, 0, 0, 0, 0, 0, 0]), element(5, &[0, 0, 0, 64, 1, 0, 0, 0])].concat();
    parts.extend(small_element(1, b"a"));
    parts.extend([9u32.to_le_bytes(), u32::MAX.to_le_bytes()].concat());
    let array = [TYPE_MATRIX.to_le_bytes(), 4000u32.to_le_bytes()].concat();
    let bytes = whole(&[compressed(&[array, parts].concat())]);
    assert!(decode(&bytes, &["a"]).is_err());
}

#[test]
fn every_cut_is_an_error_or_an_earlier_end() {
    let good = sample();
    for cut in 0..good.len() {
        if let Ok(variables) = decode(&good[..cut], &["a", "b"]) {
            assert!(variables.len() <= 2);
        }
    }
    assert!(decode(&good[..127], &[]).is_err());
    assert!(decode(&good[..150], &["a"]).is_err());
}

#[test]
fn omniglot_columns_become_upright_images() {
    // Two images of which pixel (row 1, column 3) is 51/255; in column order that is entry 28·3 +
    // 1.
    let mut pixels = vec![0.0; 784 * 2];
    pixels[28 * 3 + 1] = 0.2;
    pixels[784 + 28 * 3 + 1] = 1.0;
    let data =
        |name: &str| compressed(&matrix(name, DOUBLE_CLASS, &[784, 2], 9, &doubles(&pixels)));
    let hot = |name: &str| {
        compressed(&matrix(name, DOUBLE_CLASS, &[3, 2], TYPE_UINT8, &[0, 1, 0, 0, 0, 1]))
    };
    let bytes = whole(&[data("data"), hot("target"), data("testdata"), hot("testtarget")]);
    let (folder, path) = file("chardata.mat", &bytes);
    let (train, test) = omniglot(&path).unwrap();
    assert_eq!(train, test);
    assert_eq!(train.labels().unwrap().values, [1, 2]);
    assert_eq!(train.labels().unwrap().class_names[0], "alphabet 1");
    let Pixels::U8(bytes) = train.pixels() else { panic!("k/255 must be bytes") };
    assert_eq!((bytes[28 + 3], bytes[784 + 28 + 3]), (51, 255));
    assert_eq!(bytes.iter().filter(|&&byte| byte > 0).count(), 2);
    std::fs::write(
        folder.path().join("alphabets.txt"),
        "# row, name\n0\tGreek\n1\tOld_Latin\nRunes\n",
    )
    .unwrap();
    assert_eq!(
        omniglot(&path).unwrap().0.labels().unwrap().class_names,
        ["Greek", "Old Latin", "Runes"]
    );
}

#[test]
fn omniglot_refuses_other_sizes() {
    let (_folder, path) =
        file("chardata.mat", &whole(&[matrix("data", DOUBLE_CLASS, &[783, 1], 2, &[0; 783])]));
    let message = omniglot(&path).unwrap_err().to_string();
    assert!(message.ends_with("sizes of 'data': expected [784, N], found [783, 1]"), "{message}");
    let bomb = [
        matrix("data", DOUBLE_CLASS, &[784, 0], 9, &[]),
        matrix("testdata", DOUBLE_CLASS, &[784, 0], 9, &[]),
        matrix("target", DOUBLE_CLASS, &[i32::MAX as u32, 0], 9, &[]),
    ];
    let (_folder, path) = file("chardata.mat", &whole(&bomb));
    let message = omniglot(&path).unwrap_err().to_string();
    assert!(
        message.ends_with("expected one-hot, [classes, 0], found [2147483647, 0]"),
        "{message}"
    );
    let (_folder, path) = file("chardata.mat", &whole(&[]));
    assert!(
        omniglot(&path)
            .unwrap_err()
            .to_string()
            .ends_with("arrays: expected one called 'data', found []")
    );
}

#[test]
fn omniglot_refuses_labels_with_several_ones_and_values_of_two_scales() {
    let refused = |ones: [f64; 3], ink: f64| {
        let pixels = |ink: f64| doubles(&[ink; 784]);
        let whole = whole(&[
            matrix("data", 6, &[784, 1], 9, &pixels(1.0)),
            matrix("testdata", 6, &[784, 1], 9, &pixels(ink)),
            matrix("target", 6, &[3, 1], 9, &doubles(&ones)),
            matrix("testtarget", 6, &[3, 1], 9, &doubles(&[0.0, 1.0, 0.0])),
        ]);
        let (_folder, path) = file("chardata.mat", &whole);
        omniglot(&path).unwrap_err().to_string()
    };
    assert!(
        refused([1.0, 1.0, 0.0], 1.0)
            .ends_with("'target': expected one-hot, [classes, 1], found no single 1 in column 0")
    );
    assert!(refused([1.0, 0.5, 0.0], 1.0).contains("no single 1 in column 0"));
    assert!(
        refused([1.0, 0.0, 0.0], 255.0).contains("'testdata' has whole numbers from 255 to 255")
    );
    assert!(
        refused([1.0, 0.0, 0.0], f64::NAN)
            .contains("element 0 of 'testdata': expected a finite number")
    );
}

/// A file of cropped digits, one image for each label.
fn digits(pixels: &[u8], labels: &[u8]) -> Vec<u8> {
    let count = labels.len() as u32;
    let x = compressed(&matrix("X", BYTE_CLASS, &[32, 32, 3, count], TYPE_UINT8, pixels));
    whole(&[x, matrix("y", BYTE_CLASS, &[count, 1], TYPE_UINT8, labels)])
}

#[test]
fn extra_digits_follow_the_training_images() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, value: u8, labels: &[u8]| {
        let pixels = vec![value; 32 * 32 * 3 * labels.len()];
        std::fs::write(folder.path().join(name), digits(&pixels, labels)).unwrap();
    };
    write("train_32x32.mat", 1, &[4, 10]);
    write("test_32x32.mat", 2, &[5]);
    let open = |name: &str| crate::open(name, folder.path(), &crate::Options::default());
    assert_eq!(open("svhn").unwrap().train.count(), 2);
    let missing = open("svhn-extra").unwrap_err().to_string();
    assert!(missing.contains("extra_32x32.mat"), "{missing}");
    write("extra_32x32.mat", 3, &[6]);
    let all = open("svhn-extra").unwrap();
    assert_eq!((all.train.count(), all.test.count()), (3, 1));
    assert_eq!(all.train.labels().unwrap().values, [4, 0, 6]);
    let Pixels::U8(bytes) = all.train.pixels() else { panic!("bytes") };
    assert!(bytes[..6144].iter().all(|&b| b == 1) && bytes[6144..].iter().all(|&b| b == 3));
}

#[test]
fn svhn_columns_become_upright_images_and_ten_is_zero() {
    let mut pixels = vec![0u8; 32 * 32 * 3 * 2];
    // Image 1, channel 2, row 5, column 30.
    pixels[5 + 32 * (30 + 32 * (2 + 3))] = 99;
    let images = |labels: &[u8]| {
        let (folder, path) = file("train_32x32.mat", &digits(&pixels, labels));
        svhn(&path).map(|images| (images, folder))
    };
    let (read, _folder) = images(&[10, 3]).unwrap();
    assert_eq!(read.shape(), ImageShape::new(3, 32, 32));
    assert_eq!(read.labels().unwrap().values, [0, 3]);
    let Pixels::U8(bytes) = read.pixels() else { panic!("bytes") };
    assert_eq!(bytes.iter().position(|&byte| byte == 99), Some(((3 + 2) * 32 + 5) * 32 + 30));
    assert!(
        images(&[0, 3]).unwrap_err().to_string().ends_with("label 0: expected 1 to 10, found 0")
    );
}

proptest! {
    #[test]
    fn random_changes_never_panic(at in 0usize..2000, value: u8, cut in 0usize..2000) {
        let mut bytes = sample();
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = decode(&bytes, &["a", "b", "other"]);
        bytes.truncate(cut);
        let _ = decode(&bytes, &["a", "b", "other"]);
    }

    #[test]
    fn random_elements_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&whole(std::slice::from_ref(&bytes)), &["a", ""]);
        let _ = decode(&whole(&[compressed(&bytes)]), &["a", ""]);
        let _ = decode(&whole(&[compressed(&element(TYPE_MATRIX, &bytes))]), &["a", ""]);
    }
}
