//! The binary version of CIFAR-10: records of one label byte and 3 · 32 · 32 pixel bytes, any
//! number of them.
//!
//! Read from single `.bin` files (plain or gzip) or straight from the published
//! `cifar-10-binary.tar.gz`.

use std::io::BufReader;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::memory::inflated_at_most;
use crate::source::{Source, open_file};
use crate::{Error, ImageShape, Images, Labels, Pixels, Result};

const SHAPE: ImageShape = ImageShape::new(3, 32, 32);
const RECORD_BYTES: usize = 1 + SHAPE.values();
/// More than three times the published data set: what a compressed file may expand to before it is
/// refused.
const MOST_RECORDS: usize = 200_000;

/// The ten classes, in the order of their numbers.
pub const CLASS_NAMES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Reads the records of several files, one after the other.
///
/// # Errors
/// [`Error::Format`] if a file is no whole number of records, has a label above 9, or more than
/// 200,000 records.
pub fn read(paths: &[impl AsRef<Path>]) -> Result<Images> {
    let mut records = Records::default();
    for path in paths {
        let mut source = Source::open(path.as_ref(), "cifar")?;
        records.append(&mut source)?;
    }
    records.into_images()
}

/// Reads training and test images from the published archive.
///
/// # Errors
/// As [`read`]; [`Error::Mismatch`] if the archive has no training or no test file.
pub fn read_archive(path: &Path) -> Result<(Images, Images)> {
    let (file, bytes) = open_file(path)?;
    let at_most = ((MOST_RECORDS * RECORD_BYTES) as u64).min(inflated_at_most(bytes));
    let content = MultiGzDecoder::new(BufReader::new(file));
    let mut archive = tar::Archive::new(Source::inflated(path, "tar", at_most, content));
    let (mut train, mut test) = (Vec::new(), Records::default());
    for entry in archive.entries().map_err(Error::io("read", path))? {
        let entry = entry.map_err(Error::io("read", path))?;
        let name = match entry
            .path()
            .ok()
            .and_then(|inside| Some(inside.file_name()?.to_str()?.to_string()))
        {
            Some(name) if name.ends_with(".bin") => name,
            _ => continue,
        };
        let mut source = Source::inflated(&path.join(&name), "cifar", at_most, entry);
        if name.starts_with("data_batch_") {
            let mut records = Records::default();
            records.append(&mut source)?;
            train.push((name, records));
        } else if name == "test_batch.bin" {
            test.append(&mut source)?;
        }
    }
    for (what, missing) in
        [("data_batch_1.bin", train.is_empty()), ("test_batch.bin", test.labels.is_empty())]
    {
        if missing {
            return Err(Error::mismatch(path, "files in the archive", what, "none of that name"));
        }
    }
    // The archive's own order is not the order of the batches.
    train.sort_by(|a, b| a.0.cmp(&b.0));
    let train =
        train.into_iter().fold(Records::default(), |all, (_, records)| all.followed_by(records));
    Ok((train.into_images()?, test.into_images()?))
}

#[derive(Default)]
struct Records {
    pixels: Vec<u8>,
    labels: Vec<u32>,
}

impl Records {
    fn append(&mut self, source: &mut Source<'_>) -> Result<()> {
        let mut record = vec![0; RECORD_BYTES];
        loop {
            let start = source.offset();
            match source.read_up_to(&mut record, "record")? {
                0 => return Ok(()),
                RECORD_BYTES => {}
                cut => {
                    let expected = format!("{RECORD_BYTES} bytes");
                    return Err(source.wrong(
                        start,
                        "record",
                        expected,
                        format!("the end after {cut}"),
                    ));
                }
            }
            if usize::from(record[0]) >= CLASS_NAMES.len() {
                return Err(source.wrong(start, "label", "0 to 9", record[0]));
            }
            if self.labels.len() == MOST_RECORDS {
                return Err(source.wrong(
                    start,
                    "records",
                    format!("at most {MOST_RECORDS}"),
                    "more",
                ));
            }
            self.labels.push(u32::from(record[0]));
            self.pixels.extend_from_slice(&record[1..]);
        }
    }

    fn followed_by(mut self, other: Self) -> Self {
        self.labels.extend(other.labels);
        self.pixels.extend(other.pixels);
        self
    }

    fn into_images(mut self) -> Result<Images> {
        self.pixels.shrink_to_fit();
        let class_names = CLASS_NAMES.map(String::from).to_vec();
        Images::new(SHAPE, Pixels::U8(self.pixels), Some(Labels::new(self.labels, class_names)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{file, gzip};
    use proptest::prelude::*;

    fn record(label: u8) -> Vec<u8> {
        let mut bytes = vec![label];
        bytes.extend((0..SHAPE.values()).map(|i| (i / 1024) as u8 * 100 + label));
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Images> {
        let mut records = Records::default();
        records.append(&mut Source::over(Path::new("f"), "cifar", bytes.len() as u64, bytes)?)?;
        records.into_images()
    }

    #[test]
    fn any_number_of_records_from_any_number_of_files() {
        let (_a, plain) = file("data_batch_1.bin", &[record(3), record(9)].concat());
        let (_b, packed) = file("data_batch_2.bin.gz", &gzip(&record(0)));
        let images = read(&[plain, packed]).unwrap();
        assert_eq!(images.labels().unwrap().values, [3, 9, 0]);
        assert_eq!(images.shape(), SHAPE);
        assert_eq!(images.intensities(1..2)[1024], 109.0 / 255.0);
    }

    #[test]
    fn the_published_archive_is_read_in_the_order_of_its_batches() {
        let mut archive = tar::Builder::new(Vec::new());
        let mut add = |name: &str, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            archive
                .append_data(&mut header, format!("cifar-10-batches-bin/{name}"), content)
                .unwrap();
        };
        add("batches.meta.txt", b"airplane\n");
        add("data_batch_2.bin", &record(2));
        add("data_batch_1.bin", &record(1));
        add("test_batch.bin", &[record(5), record(6)].concat());
        let whole = archive.into_inner().unwrap();
        let (_a, path) = file("cifar-10-binary.tar.gz", &gzip(&whole));
        let (train, test) = read_archive(&path).unwrap();
        assert_eq!(train.labels().unwrap().values, [1, 2]);
        assert_eq!(test.labels().unwrap().values, [5, 6]);
        let (_b, cut) = file("cifar-10-binary.tar.gz", &gzip(&whole[..whole.len() / 2]));
        assert!(read_archive(&cut).is_err());
        let (_c, empty) = file("cifar-10-binary.tar.gz", &gzip(&[0; 1024]));
        assert!(
            read_archive(&empty).unwrap_err().to_string().contains("expected data_batch_1.bin")
        );
    }

    #[test]
    fn cut_records_and_wild_labels_are_refused() {
        let bytes = [record(1), record(2)].concat();
        assert_eq!(
            decode(&bytes[..4000]).unwrap_err().to_string(),
            "f: cifar: byte 3073: record: expected 3073 bytes, found the end after 927"
        );
        assert_eq!(
            decode(&[record(1), record(10)].concat()).unwrap_err().to_string(),
            "f: cifar: byte 3073: label: expected 0 to 9, found 10"
        );
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
            let _ = decode(&bytes);
        }
    }
}
