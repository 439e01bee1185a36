//! Folders as people have them, made here.

use super::*;
use image::{
    DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, ImageEncoder, Luma, LumaA, Rgb, RgbImage,
    Rgba, RgbaImage,
};

fn grey(folder: &Path, name: &str, side: u32, value: u8) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    GrayImage::from_pixel(side, side, Luma([value])).save(path).unwrap();
}

#[test]
fn sub_folders_are_classes_and_a_tenth_is_for_testing() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..20 {
        grey(folder.path(), &format!("{}/{i:02}.png", if i < 12 { "cat" } else { "ant" }), 4, i);
    }
    std::fs::write(folder.path().join("ant/readme.txt"), "no picture").unwrap();
    let dataset = open(folder.path(), &Options::default()).unwrap();
    assert_eq!((dataset.train.count(), dataset.test.count()), (18, 2));
    assert_eq!(dataset.train.shape(), ImageShape::new(1, 4, 4));
    assert_eq!(dataset.train.labels().unwrap().class_names, ["ant", "cat"]);
    for images in [&dataset.train, &dataset.test] {
        for (row, &label) in images.labels().unwrap().values.iter().enumerate() {
            let value = (images.intensities(row..row + 1)[0] * 255.0).round();
            assert_eq!(label, u32::from(value < 12.0));
        }
    }
    let again = open(folder.path(), &Options::default()).unwrap();
    assert_eq!(dataset.test, again.test);
    let other = open(folder.path(), &Options { seed: 5, ..Options::default() }).unwrap();
    assert_ne!(dataset.test, other.test);
}

#[test]
fn pictures_within_class_folders_are_told_and_links_are_not_followed_back() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..4 {
        grey(folder.path(), &format!("a/{i}.png"), 2, 10 * i);
        grey(folder.path(), &format!("b/{i}.png"), 2, 10 * i);
        grey(folder.path(), &format!("a/more/of/{i}.png"), 2, 10 * i);
        grey(folder.path(), &format!("c/deep/{i}.png"), 2, 10 * i);
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink("..", folder.path().join("c/back")).unwrap();
    let dataset = open(folder.path(), &Options::default()).unwrap();
    assert_eq!(dataset.train.count() + dataset.test.count(), 8);
    assert!(
        dataset.notes[0].starts_with("left out: 4 pictures in c deeper than"),
        "{:?}",
        dataset.notes
    );
    assert_eq!(dataset.notes[1], "left out: 4 pictures in more inside the class folder a");
    let alone = open(&folder.path().join("c"), &Options::default()).unwrap();
    assert!(alone.notes[0].starts_with("no test folder"), "{:?}", alone.notes);
    assert_eq!(alone.train.count() + alone.test.count(), 4);
}

/// A PNG of one white pixel that says it has two frames.
fn animated() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    GrayImage::from_pixel(1, 1, Luma([255])).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let mut bytes = bytes.into_inner();
    let mut chunk = b"acTL".to_vec();
    chunk.extend([0, 0, 0, 2, 0, 0, 0, 0]);
    let mut crc = flate2::Crc::new();
    crc.update(&chunk);
    // After the signature and the chunk IHDR, which has 13 bytes.
    let after_header = 8 + 4 + 4 + 13 + 4;
    let chunk = [&8u32.to_be_bytes()[..], &chunk, &crc.sum().to_be_bytes()].concat();
    bytes.splice(after_header..after_header, chunk);
    bytes
}

#[test]
fn animated_pictures_are_told() {
    let folder = tempfile::tempdir().unwrap();
    grey(folder.path(), "0.png", 1, 0);
    std::fs::write(folder.path().join("1.png"), animated()).unwrap();
    let dataset = open(folder.path(), &Options::default()).unwrap();
    assert_eq!(dataset.notes[0], "1 picture with several frames: the first is taken");
}

#[test]
fn train_and_test_folders_are_the_splits() {
    let folder = tempfile::tempdir().unwrap();
    grey(folder.path(), "train/a/1.png", 2, 10);
    grey(folder.path(), "train/b/2.png", 2, 20);
    grey(folder.path(), "test/b/3.png", 2, 30);
    grey(folder.path(), "val/a/4.png", 2, 40);
    let dataset = open(folder.path(), &Options::default()).unwrap();
    assert_eq!(dataset.test.pixels(), &Pixels::U8(vec![30; 4]));
    assert_eq!(dataset.test.labels().unwrap().values, [1]);
    assert_eq!(dataset.validation.unwrap().pixels(), &Pixels::U8(vec![40; 4]));
}

#[test]
fn parts_are_told_by_their_names_in_any_case() {
    for (train, test, validation) in [("Train", "TEST", "Valid"), ("training", "testing", "Val")] {
        let folder = tempfile::tempdir().unwrap();
        for (name, count) in [(train, 4), (test, 2), (validation, 3)] {
            (0..count).for_each(|i| grey(folder.path(), &format!("{name}/{i}.png"), 2, i));
        }
        let dataset = open(folder.path(), &Options::default()).unwrap();
        assert_eq!((dataset.train.count(), dataset.test.count()), (4, 2));
        assert_eq!(dataset.validation.unwrap().count(), 3);
        assert!(dataset.train.labels().is_none());
    }
    // Validation pictures are no test pictures, and `train` may be a thing to ride in.
    let folder = tempfile::tempdir().unwrap();
    (0..20).for_each(|i| grey(folder.path(), &format!("train/{i}.png"), 2, i));
    (0..5).for_each(|i| grey(folder.path(), &format!("val/{i}.png"), 2, i));
    let dataset = open(folder.path(), &Options::default()).unwrap();
    assert_eq!((dataset.train.count(), dataset.test.count()), (18, 2));
    assert_eq!(dataset.validation.unwrap().count(), 5);
    assert_eq!(dataset.notes, ["no test folder: 2 training pictures drawn for testing", DARK]);
    std::fs::rename(folder.path().join("val"), folder.path().join("bus")).unwrap();
    let dataset = open(folder.path(), &Options::default()).unwrap();
    assert_eq!(dataset.train.labels().unwrap().class_names, ["bus", "train"]);
    std::fs::rename(folder.path().join("bus"), folder.path().join("Train")).unwrap();
    assert!(
        open(folder.path(), &Options::default()).unwrap_err().to_string().contains("a second one")
    );
    std::fs::remove_dir_all(folder.path().join("train")).unwrap();
    std::fs::rename(folder.path().join("Train"), folder.path().join("test")).unwrap();
    assert!(
        open(folder.path(), &Options::default())
            .unwrap_err()
            .to_string()
            .contains("one called train")
    );
    let alone = open(folder.path(), &Options { test_only: true, ..Options::default() }).unwrap();
    assert_eq!((alone.train.count(), alone.test.count()), (0, 5));
}

/// Said of pictures that use the lowest of the levels of a byte alone.
const DARK: &str = "whole numbers up to 19 alone are taken as bytes, of which 255 is white: the \
images are dark; if 19 is white, divide by it";

#[test]
fn what_lies_beside_the_pictures_hides_nothing_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for i in 0..10 {
        grey(at, &format!("a/{i}.png"), 2, 10 * i);
        grey(at, &format!("b/{i}.png"), 2, 255);
    }
    assert!(
        open(at, &Options::default()).unwrap().notes.len() == 1,
        "only the test pictures were chosen"
    );
    grey(at, "preview.png", 9, 0);
    grey(at, ".ipynb_checkpoints/0-checkpoint.png", 2, 0);
    grey(at, "a/nested/1.png", 2, 0);
    for name in [
        "__MACOSX/._a.png",
        "a/._0.png",
        "a/.DS_Store",
        "b/Thumbs.db",
        "a/x.bmp",
        "a/x.WEBP",
        "readme.txt",
    ] {
        std::fs::create_dir_all(at.join(name).parent().unwrap()).unwrap();
        std::fs::write(at.join(name), b"\0\x05\x16\x07").unwrap();
    }
    let dataset = open(at, &Options::default()).unwrap();
    assert_eq!(dataset.train.count() + dataset.test.count(), 20);
    assert_eq!(dataset.train.labels().unwrap().class_names, ["a", "b"]);
    let notes = dataset.notes.join("\n");
    for expected in [
        "left out: 1 picture beside the class folders of ",
        "left out: 1 picture in nested inside the class folder a",
        "left out: 2 files of a picture format that is not read (PNG and JPEG are): x.WEBP, x.bmp",
        "left out: 5 files left by an operating system: .DS_Store, ._0.png, .ipynb_checkpoints and \
        2 more",
        "left out: 1 file without the ending of a picture: readme.txt",
    ] {
        assert!(notes.contains(expected), "{expected}: {notes}");
    }
    // Many pictures beside one small folder are not its strays: the folder is theirs.
    let other = tempfile::tempdir().unwrap();
    (0..12).for_each(|i| grey(other.path(), &format!("{i:02}.png"), 2, 200 + i));
    grey(other.path(), "thumbnails/1.png", 2, 0);
    let dataset = open(other.path(), &Options::default()).unwrap();
    assert_eq!(dataset.train.count() + dataset.test.count(), 12);
    assert!(
        dataset.notes[0].starts_with("left out: 1 picture in thumbnails beside the pictures of")
    );
}

/// Opens two equal pictures made by `save`; gives the test picture's shape, pixels and the notes
/// but for the drawing of test pictures.
fn opened(options: &Options, save: impl Fn(&Path)) -> (ImageShape, Pixels, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    ["a.png", "b.png"].iter().for_each(|name| save(&folder.path().join(name)));
    let dataset = open(folder.path(), options).unwrap();
    let notes =
        dataset.notes.into_iter().filter(|note| !note.starts_with("no test folder")).collect();
    (dataset.test.shape(), dataset.test.pixels().clone(), notes)
}

#[test]
fn colour_is_kept_channel_by_channel_or_made_grey() {
    let (coloured, bluish) = (
        RgbImage::from_pixel(2, 1, Rgb([1, 2, 200])),
        RgbImage::from_pixel(2, 1, Rgb([7, 7, 200])),
    );
    let automatic = opened(&Options::default(), |path| coloured.save(path).unwrap());
    assert_eq!(
        automatic,
        (ImageShape::new(3, 1, 2), Pixels::U8(vec![1, 1, 2, 2, 200, 200]), vec![])
    );
    let options = Options { colour: Colour::Grey, ..Options::default() };
    let (shape, _, notes) = opened(&options, |path| bluish.save(path).unwrap());
    assert_eq!(shape, ImageShape::new(1, 1, 2));
    assert_eq!(notes[0], "2 pictures stored in colour: made grey");
    let all_grey = RgbImage::from_fn(2, 1, |x, _| Rgb([100 + x as u8; 3]));
    let (shape, pixels, notes) = opened(&Options::default(), |path| all_grey.save(path).unwrap());
    assert_eq!((shape, pixels), (ImageShape::new(1, 1, 2), Pixels::U8(vec![100, 101])));
    assert_eq!(
        notes,
        ["pictures stored in colour of which every pixel is grey: taken as grey ones"]
    );
    let options = Options { colour: Colour::Rgb, ..Options::default() };
    assert_eq!(opened(&options, |path| all_grey.save(path).unwrap()).0.channels, 3);
}

#[test]
fn transparent_pixels_show_the_background_that_the_ink_stands_out_from() {
    let ink = |value: u8| {
        RgbaImage::from_fn(2, 1, |x, _| Rgba([value, value, value, [255, 0][x as usize]]))
    };
    let (_, pixels, notes) = opened(&Options::default(), |path| ink(0).save(path).unwrap());
    assert_eq!(pixels, Pixels::U8(vec![0, 255]));
    assert!(
        notes.contains(&"transparent pixels: laid on white, for what is opaque is dark".into()),
        "{notes:?}"
    );
    let (_, pixels, notes) = opened(&Options::default(), |path| ink(250).save(path).unwrap());
    assert_eq!(pixels, Pixels::U8(vec![250, 0]));
    assert!(
        notes.contains(&"transparent pixels: laid on black, for what is opaque is light".into()),
        "{notes:?}"
    );
    let black = Options { background: Background::Black, ..Options::default() };
    let half = GrayAlphaImage::from_pixel(1, 1, LumaA([200, 51]));
    assert_eq!(opened(&black, |path| half.save(path).unwrap()).1, Pixels::U8(vec![40]));
    let white = Options { background: Background::White, ..Options::default() };
    assert_eq!(opened(&white, |path| half.save(path).unwrap()).1, Pixels::U8(vec![244]));
    // An alpha channel that hides nothing changes nothing, and nothing is said of it.
    let opaque = GrayAlphaImage::from_fn(256, 1, |x, _| LumaA([x as u8, 255]));
    let (_, pixels, notes) = opened(&Options::default(), |path| opaque.save(path).unwrap());
    assert_eq!((pixels, notes), (Pixels::U8((0..=255).collect()), vec![]));
}

#[test]
fn pictures_are_turned_upright() {
    let sideways = GrayImage::from_fn(3, 2, |x, y| Luma([100 + (10 * y + x) as u8]));
    // TIFF header, one entry: orientation (0x0112) 6, which is to be turned clockwise by a quarter.
    let exif =
        [b"II*\0\x08\0\0\0\x01\0".as_slice(), b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0", &[0; 4]]
            .concat();
    let (shape, pixels, notes) = opened(&Options::default(), |path| {
        let mut encoder = image::codecs::png::PngEncoder::new(std::fs::File::create(path).unwrap());
        encoder.set_exif_metadata(exif.clone()).unwrap();
        DynamicImage::from(sideways.clone()).write_with_encoder(encoder).unwrap();
    });
    assert_eq!(shape, ImageShape::new(1, 3, 2));
    assert_eq!(pixels, Pixels::U8(vec![110, 100, 111, 101, 112, 102]));
    assert_eq!(notes, ["2 pictures turned upright by the EXIF orientation"]);
}

#[test]
fn sixteen_bits_keep_their_levels() {
    let ramp = |top: u32| {
        ImageBuffer::<Luma<u16>, Vec<u16>>::from_fn(784, 1, move |x, _| {
            Luma([(x * top / 783) as u16])
        })
    };
    let (_, Pixels::F32(full), notes) =
        opened(&Options::default(), |path| ramp(65_535).save(path).unwrap())
    else {
        panic!("bytes can't hold 784 levels")
    };
    assert_eq!((full[0], full[783], notes.len()), (0.0, 1.0, 0));
    let levels: BTreeSet<u32> = full.iter().map(|value| value.to_bits()).collect();
    assert_eq!(levels.len(), 784);
    let (_, Pixels::F32(twelve), notes) =
        opened(&Options::default(), |path| ramp(4095).save(path).unwrap())
    else {
        panic!("bytes can't hold 784 levels")
    };
    assert_eq!((twelve[0], twelve[783]), (0.0, 1.0));
    assert_eq!(
        notes,
        ["16-bit pictures with values up to 4095 alone: taken as 12-bit ones, of which 4095 is \
            white"]
    );
    let bytes = ImageBuffer::<Luma<u16>, Vec<u16>>::from_fn(256, 1, |x, _| Luma([x as u16 * 257]));
    assert_eq!(
        opened(&Options::default(), |path| bytes.save(path).unwrap()).1,
        Pixels::U8((0..=255).collect())
    );
}

/// A white disc on black in 16 rows and 8 columns: its height and width must stay equal whatever is
/// done.
fn disc(path: &Path) {
    let inside = |x: u32, y: u32| (2 * x as i32 - 7).pow(2) + (2 * y as i32 - 15).pow(2) < 36;
    GrayImage::from_fn(8, 16, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]))
        .save(path)
        .unwrap();
}

#[test]
fn pictures_keep_their_size_and_always_their_aspect() {
    let (shape, _, notes) = opened(&Options::default(), disc);
    assert_eq!((shape, notes.len()), (ImageShape::new(1, 16, 8), 0));
    for (fit, side, ink_side, expected) in [
        (
            Fit::Pad,
            8,
            3,
            "2 of 2 pictures resized to 8x8: aspect kept, 2 of them padded with black, for the \
            pictures' edges are dark",
        ),
        (
            Fit::Crop,
            8,
            6,
            "2 of 2 pictures resized to 8x8: aspect kept, the middle cut out where it differs",
        ),
    ] {
        let options = Options { size: Some((side, side)), fit, ..Options::default() };
        let (shape, Pixels::U8(pixels), notes) = opened(&options, disc) else {
            panic!("bytes stay bytes")
        };
        assert_eq!(shape, ImageShape::new(1, side, side));
        let is_ink = |y: usize, x: usize| pixels[y * side + x] > 100;
        let rows = (0..side).filter(|&y| (0..side).any(|x| is_ink(y, x))).count();
        let columns = (0..side).filter(|&x| (0..side).any(|y| is_ink(y, x))).count();
        assert!(
            rows.abs_diff(columns) == 0 && rows.abs_diff(ink_side) <= 1,
            "{rows} rows, {columns} columns"
        );
        assert_eq!(notes, [expected]);
    }
}

#[test]
fn of_several_sizes_one_is_chosen_aloud() {
    let folder = tempfile::tempdir().unwrap();
    (0..5).for_each(|i| grey(folder.path(), &format!("{i}.png"), 4, 255));
    (5..7).for_each(|i| grey(folder.path(), &format!("{i}.png"), 9, 255));
    let dataset = open(folder.path(), &Options::default()).unwrap();
    assert_eq!(dataset.train.shape(), ImageShape::new(1, 4, 4));
    assert_eq!(dataset.notes[0], "pictures of 2 sizes: 4x4 is taken, the commonest");
    assert_eq!(dataset.notes[1], "2 of 7 pictures resized to 4x4: aspect kept");
    (0..4).for_each(|i| grey(folder.path(), &format!("{i}.png"), 10 + i, 255));
    let dataset = open(folder.path(), &Options::default()).unwrap();
    assert_eq!(dataset.train.shape(), ImageShape::new(1, 10, 10));
    assert_eq!(
        dataset.notes[0],
        "pictures of 6 sizes: 10x10 is taken, the median height and width"
    );
}

#[test]
fn what_cannot_be_a_data_set_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let message = |options: &Options| open(folder.path(), options).unwrap_err().to_string();
    let standard = Options::default();
    assert!(message(&standard).contains("pictures: expected PNG or JPEG files"));
    std::fs::write(folder.path().join("a.bmp"), b"BM").unwrap();
    assert!(message(&standard).ends_with(
        "none; left out: 1 file of a picture format that is not read (PNG and JPEG are): a.bmp"
    ));
    grey(folder.path(), "a.png", 2, 1);
    assert!(message(&standard).contains("at least 2"));
    assert!(message(&Options { size: Some((0, 9)), ..Options::default() }).contains("found 0x9"));
    std::fs::write(folder.path().join("c.jpg"), b"no jpeg at all").unwrap();
    assert!(message(&standard).contains("c.jpg: picture: expected a PNG or JPEG file"));
    std::fs::write(folder.path().join("c.jpg"), b"<!DOCTYPE html>").unwrap();
    assert!(
        message(&standard)
            .contains("c.jpg: picture: expected a PNG or JPEG file, found a web page (HTML)")
    );
    std::fs::remove_file(folder.path().join("c.jpg")).unwrap();
    GrayImage::new(1030, 1).save(folder.path().join("a.png")).unwrap();
    GrayImage::new(1030, 1).save(folder.path().join("b.png")).unwrap();
    assert!(
        message(&standard)
            .contains("data.image_size set, for the pictures' own is not within 1 to 1024")
    );
    let error = open(&folder.path().join("a.png"), &standard).unwrap_err().to_string();
    assert!(error.contains("a.png: pictures: expected a folder of them"), "{error}");
    assert!(
        open(Path::new("/nowhere/at all"), &standard)
            .unwrap_err()
            .to_string()
            .contains("cannot list")
    );
}
