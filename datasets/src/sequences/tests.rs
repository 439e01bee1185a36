//! Sequences against a second implementation that follows the protocol step by step, and against
//! what a reader of the protocol expects of them.

use proptest::prelude::*;
use rung_kernels::rng::{Address, Stream};

use super::*;
use crate::{DataRecord, GlyphCounts, Split};

/// Few glyphs, so that opening costs little.
fn options(sequences: Sequences) -> Options {
    let glyphs = GlyphCounts { train: 60, validation: 20, test: 30 };
    Options { glyphs, sequences, ..Options::default() }
}

fn opened(sequences: Sequences) -> Dataset {
    registry::open("sequences:glyphs", Path::new("."), &options(sequences)).unwrap()
}

fn few() -> Sequences {
    Sequences { train: 40, validation: 30, test: 30, ..Sequences::default() }
}

fn canvases(images: &Images) -> &Canvases {
    match images.pixels() {
        Pixels::Drawn(canvases) => canvases,
        other => panic!("sequences are drawn, not {} values", other.len()),
    }
}

fn drawn(images: &Images) -> Vec<u8> {
    canvases(images).draw(&(0..images.count() as u32).collect::<Vec<_>>())
}

fn refused(name: &str, options: &Options) -> String {
    registry::open(name, Path::new("."), options).unwrap_err().to_string()
}

/// Sections 1 to 7 of the protocol by themselves, pixel by pixel on signed numbers, with the words
/// of the addresses taken one by one.
fn by_the_protocol(
    sequences: &Sequences,
    digits: &[(&[u8], u32)],
    patches: &[&[u8]],
    number: u64,
) -> (Vec<u8>, Vec<u32>) {
    let side = sequences.canvas as i64;
    let address = Address::new(sequences.seed, Stream::Sequence.first(), number);
    let mut used = 0;
    let mut uniform = |count: i64| {
        used += 1;
        (i64::from(address.word(used - 1)) * count) >> 32
    };
    let chosen: Vec<i64> = (0..sequences.digits).map(|_| uniform(digits.len() as i64)).collect();
    let offset = uniform(side - 28 * sequences.digits as i64);
    let (row, slope) = (uniform(side), uniform(28) - 14);
    let mut clutter = vec![0i64; (side * side) as usize];
    for _ in 0..sequences.distractors {
        let patch = uniform(100_000) as u64;
        let (to_row, to_column) = (uniform(side - 9), uniform(side - 9));
        let source = Address::new(sequences.seed, Stream::SequencePatch.first(), patch);
        let at = |element: usize, count: i64| (i64::from(source.word(element)) * count) >> 32;
        let (image, from_row, from_column) = (at(0, patches.len() as i64), at(1, 19), at(2, 19));
        for y in 0..9 {
            for x in 0..9 {
                let from = (from_row + y) * 28 + from_column + x;
                let to = (to_row + y) * side + to_column + x;
                clutter[to as usize] = i64::from(patches[image as usize][from as usize]);
            }
        }
    }
    let mut ink = vec![0i64; (side * side) as usize];
    for (k, &image) in chosen.iter().enumerate() {
        let mut top = row + slope * k as i64;
        if top + 28 > side {
            top = side - 28;
        }
        if top < 0 {
            top = 0;
        }
        for y in 0..28 {
            for x in 0..28 {
                let to = (top + y) * side + offset + 28 * k as i64 + x;
                ink[to as usize] = i64::from(digits[image as usize].0[(y * 28 + x) as usize]);
            }
        }
    }
    let sum = |(ink, clutter): (&i64, &i64)| (ink + clutter).clamp(0, 255);
    let canvas: Vec<i64> = ink.iter().zip(&clutter).map(sum).collect();
    let pooling = sequences.pooling as i64;
    let mut image = Vec::new();
    for y in 0..side / pooling {
        for x in 0..side / pooling {
            let mut total = 0;
            for (dy, dx) in (0..pooling).flat_map(|dy| (0..pooling).map(move |dx| (dy, dx))) {
                total += canvas[((y * pooling + dy) * side + x * pooling + dx) as usize];
            }
            image.push((total as f64 / (pooling * pooling) as f64).round() as u8);
        }
    }
    (image, chosen.iter().map(|&image| digits[image as usize].1).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_second_implementation_paints_the_same(
        seed: u64,
        digits in 1usize..4,
        distractors in 0usize..12,
        pooling in prop::sample::select(vec![1usize, 2, 4]),
        more in 0usize..4,
    ) {
        let canvas = 28 * digits + 4 * more + if digits == 1 { 12 } else { 0 };
        let sequences = Sequences { canvas, digits, distractors, pooling, seed, ..few() };
        let dataset = opened(sequences);
        let glyphs = registry::open("glyphs", Path::new("."), &options(sequences)).unwrap();
        let of = |images: &Images| -> Vec<(Vec<u8>, u32)> {
            let Pixels::U8(pixels) = images.pixels() else { panic!("bytes") };
            let labels = images.labels().unwrap().values.clone();
            pixels.chunks_exact(28 * 28).map(<[u8]>::to_vec).zip(labels).collect()
        };
        let parts = [Split::Train, Split::Validation, Split::Test];
        let digits_of = parts.map(|split| of(glyphs.split(split).unwrap()));
        let bank: Vec<&[u8]> =
            digits_of[..2].iter().flatten().map(|(pixels, _)| &pixels[..]).collect();
        for (part, split) in parts.into_iter().enumerate() {
            let images = dataset.split(split).unwrap();
            let own: Vec<(&[u8], u32)> =
                digits_of[part].iter().map(|(pixels, label)| (&pixels[..], *label)).collect();
            let pixels = drawn(images);
            let labels = &images.labels().unwrap().values;
            for number in [0, 1, images.count() - 1] {
                let start = [0, 1 << 40, 1 << 41][part];
                let (expected, classes) =
                    by_the_protocol(&sequences, &own, &bank, start + number as u64);
                let values = expected.len();
                prop_assert_eq!(&pixels[number * values..][..values], &expected[..]);
                prop_assert_eq!(&labels[number * digits..][..digits], &classes[..]);
            }
        }
    }
}

#[test]
fn an_example_is_a_function_of_seed_and_number() {
    let dataset = opened(few());
    let whole = drawn(&dataset.train);
    let values = 100 * 100;
    let shuffled = canvases(&dataset.train).draw(&[7, 0, 7]);
    for (place, number) in [7, 0, 7].into_iter().enumerate() {
        assert_eq!(shuffled[place * values..][..values], whole[number * values..][..values]);
    }
    // Fewer or more of them are the same ones, and another seed gives others.
    let more = opened(Sequences { train: 50, ..few() });
    assert_eq!(drawn(&more.train)[..whole.len()], whole[..]);
    assert_ne!(drawn(&opened(Sequences { seed: 1235, ..few() }).train), whole);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    assert_eq!(pool.install(|| drawn(&dataset.train)), whole);
    // The splits do not meet.
    assert_ne!(drawn(&dataset.test)[..values], whole[..values]);
}

#[test]
fn labels_stand_from_left_to_right_and_stay_with_their_images() {
    let sequences = Sequences { distractors: 0, ..few() };
    let dataset = opened(sequences);
    let labels = dataset.train.labels().unwrap();
    assert_eq!((labels.positions, labels.values.len(), labels.classes()), (3, 120, 10));
    let (head, tail) = dataset.train.clone().split_at(25);
    assert_eq!((head.count(), tail.count(), tail.labels().unwrap().values.len()), (25, 15, 45));
    let whole = drawn(&dataset.train);
    assert_eq!([drawn(&head), drawn(&tail)].concat(), whole);
    let chosen = dataset.train.select(&[39, 2]);
    let Pixels::U8(pixels) = chosen.pixels() else { panic!("drawn by now") };
    assert_eq!(pixels[10_000..], whole[20_000..30_000]);
    assert_eq!(chosen.labels().unwrap().values[3..], labels.values[6..9]);
    let mean = whole.iter().map(|&byte| f64::from(byte)).sum::<f64>() / (255 * whole.len()) as f64;
    assert!((dataset.train.mean_intensity() - mean).abs() < 1e-9);
    assert_eq!(dataset.train.intensities(3..4), dataset.train.select(&[3]).intensities(0..1));
}

/// The offsets of the paper's code: 16 columns, 100 rows, 28 slopes, 91 places of a patch.
#[test]
fn every_place_of_the_protocol_is_reached_and_no_other() {
    let (sequences, digit) = (Sequences::default(), ImageShape::new(1, 28, 28));
    let (mut columns, mut slopes) = ([0; 100], [0; 200]);
    let (mut flattened, mut corner) = (0, [0; 100]);
    for number in 0..5000 {
        let layout = layout::layout(&sequences, digit, (50_000, 60_000), number);
        let [first, second, third] = &layout.digits[..] else { panic!("three digits") };
        columns[first.column] += 1;
        assert_eq!((second.column, third.column), (first.column + 28, first.column + 56));
        assert!(layout.digits.iter().all(|digit| digit.row <= 72 && digit.image < 50_000));
        flattened += usize::from(layout.digits.iter().filter(|digit| digit.row == 72).count() > 1);
        slopes[(second.row + 100) - first.row] += 1;
        assert_eq!(layout.patches.len(), 8);
        for patch in &layout.patches {
            assert!(patch.image < 60_000 && patch.from_row < 19 && patch.from_column < 19);
            corner[patch.row] += 1;
        }
    }
    let reached = |counts: &[u32]| -> Vec<usize> {
        counts.iter().enumerate().filter(|&(_, &count)| count > 0).map(|(at, _)| at).collect()
    };
    assert_eq!(reached(&columns), (0..16).collect::<Vec<_>>());
    assert_eq!(reached(&corner), (0..91).collect::<Vec<_>>());
    assert_eq!(reached(&slopes), (86..114).collect::<Vec<_>>());
    assert!(flattened > 1000, "sequences that start low are flat at the bottom: {flattened}");
}

#[test]
fn what_a_set_is_made_of_is_its_identity() {
    let record = |sequences| DataRecord::of(&opened(sequences));
    let own = record(few());
    assert_eq!((own.positions, own.shape, own.images.validation), (3, few().shape(), 30));
    assert_eq!(own.difference(&record(few())), None);
    for (other, says) in [
        (Sequences { seed: 7, ..few() }, "its train images or their labels are others"),
        (Sequences { distractors: 7, ..few() }, "its train images or their labels are others"),
        (Sequences { digits: 2, ..few() }, "it had 3 labels an image, it has 2 labels an image"),
        (Sequences { test: 29, ..few() }, "and 30 test images"),
        (Sequences { pooling: 2, ..few() }, "it had images of 1x100x100"),
    ] {
        let difference = own.difference(&record(other)).unwrap();
        assert!(difference.contains(says), "{difference}");
    }
    // A record of one label an image says nothing of it, as those of earlier versions.
    let glyphs = registry::open("glyphs", Path::new("."), &options(few())).unwrap();
    assert_eq!(DataRecord::of(&glyphs).positions, 1);
}

#[test]
fn what_makes_no_sequence_is_refused_with_a_reason() {
    for (sequences, says) in [
        (
            Sequences { canvas: 80, ..few() },
            "canvas of sequences: expected room for 3 images of 28x28 beside each other, 28x84 \
            pixels, found 80x80, of glyphs",
        ),
        (
            Sequences { canvas: 5000, ..few() },
            "canvas of sequences: expected 10 to 1024, found 5000",
        ),
        (Sequences { digits: 0, ..few() }, "digits of sequences: expected 1 to 16, found 0"),
        (Sequences { digits: usize::MAX, ..few() }, "digits of sequences: expected 1 to 16"),
        (Sequences { distractors: 1001, ..few() }, "distractors of sequences: expected 0 to 1000"),
        (Sequences { pooling: 0, ..few() }, "pooling of sequences: expected 1 to 100, found 0"),
        (
            Sequences { pooling: 3, ..few() },
            "pooling of sequences: expected a divisor of the canvas, 100, found 3",
        ),
        (Sequences { test: 0, ..few() }, "test sequences: expected 1 to 10000000, found 0"),
        (Sequences { train: 1 << 40, ..few() }, "training sequences: expected 0 to 10000000"),
    ] {
        let found = refused("sequences:glyphs", &options(sequences));
        assert!(found.starts_with(says), "{found}");
    }
    let own = options(few());
    assert!(refused("sequences:sequences:glyphs", &own).contains("one label an image, found 3"));
    assert!(refused("sequences:glyhps", &own).contains("did you mean 'glyphs'?"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.npz");
    let mut writer = crate::npz::NpzWriter::create(&file).unwrap();
    writer.add_f32("images", &[12, 28, 28], &[0.3; 12 * 28 * 28]).unwrap();
    writer.finish().unwrap();
    let found = refused(&format!("sequences:npz:{}", file.display()), &own);
    assert!(found.starts_with("digits of sequences: expected images with labels"), "{found}");
}

#[test]
fn a_test_part_alone_is_the_same() {
    let only = Options { test_only: true, ..options(few()) };
    let only = registry::open("sequences:glyphs", Path::new("."), &only).unwrap();
    assert!(only.train.is_empty() && only.validation.is_none());
    assert_eq!(drawn(&only.test), drawn(&opened(few()).test));
}
