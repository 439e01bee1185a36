//! Event files that TensorBoard opens: scalars, histograms and pictures.
//!
//! An event file is a sequence of records (the framing of TensorFlow's TFRecord), and each record
//! is an `Event` message of protocol buffers. Both are small enough to be written by hand:
//!
//! record = length (u64) · masked CRC-32C of the length · data · masked CRC-32C of the data
//!
//! Field numbers are those of TensorFlow's `event.proto` and `summary.proto`.

mod proto;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use toml::Value;

use crate::error::{Error, Result};
use proto::Message;

/// Buckets of a histogram.
const BUCKETS: usize = 30;

/// Writes one event file.
#[derive(Debug)]
pub struct EventWriter {
    file: BufWriter<File>,
    path: PathBuf,
}

impl EventWriter {
    /// Starts a new event file in `folder` for a run that goes on after `step`; a new run has step
    /// 0.
    ///
    /// TensorBoard reads all files of a folder together, and forgets what earlier files say of
    /// later steps than the one that this file starts from, be it 0.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn create(folder: &Path, step: u64) -> Result<Self> {
        let is_first =
            step == 0 && std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_none());
        let mut writer = Self::beside(folder)?;
        if !is_first {
            let mut session = Message::default();
            session.integer(1, 1); // SessionLog.status = START
            let mut start = event(step + 1);
            start.message(7, &session);
            writer.record(&start)?;
        }
        writer.flush()?;
        Ok(writer)
    }

    /// Starts a new event file in `folder` whose numbers stand beside those of the others: nothing
    /// is forgotten for it, of whatever step they are.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn beside(folder: &Path) -> Result<Self> {
        let name = format!("events.out.tfevents.{:017.6}.{}.rung", now_s(), std::process::id());
        let path = folder.join(name);
        let file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(&path)
            .map_err(|error| Error::io("create", &path, &error))?;
        let mut writer = Self { file: BufWriter::new(file), path };
        let mut version = event(0);
        version.text(3, "brain.Event:2");
        writer.record(&version)?;
        Ok(writer)
    }

    /// One number.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f32) -> Result<()> {
        let mut summary = Message::default();
        summary.text(1, tag);
        summary.float(2, value);
        self.summary(step, &summary)
    }

    /// How numbers are spread; those that are not finite are left out.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn histogram(&mut self, tag: &str, step: u64, values: &[f32]) -> Result<()> {
        let mut summary = Message::default();
        summary.text(1, tag);
        summary.message(5, &histogram(values));
        self.summary(step, &summary)
    }

    /// A picture, as the bytes of a PNG file.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn image(
        &mut self,
        tag: &str,
        step: u64,
        (width, height): (u32, u32),
        png: &[u8],
    ) -> Result<()> {
        let mut image = Message::default();
        image.integer(1, height.into());
        image.integer(2, width.into());
        image.integer(3, 3); // RGB
        image.bytes(4, png);
        let mut summary = Message::default();
        summary.text(1, tag);
        summary.message(4, &image);
        self.summary(step, &summary)
    }

    /// The hyperparameters of a training that begins or goes on, by their dotted keys: numbers as
    /// numbers, all else as text. TensorBoard's HParams table has a row for each run.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn hyperparameters(&mut self, values: &BTreeMap<String, Value>) -> Result<()> {
        let mut start = Message::default();
        for (key, value) in values {
            // A `google.protobuf.Value`: 2 a number, 3 a string, 4 a truth value.
            let mut wrapped = Message::default();
            match value {
                Value::Integer(number) => wrapped.double(2, *number as f64),
                Value::Float(number) => wrapped.double(2, *number),
                Value::Boolean(truth) => wrapped.integer(4, u64::from(*truth)),
                Value::String(text) => wrapped.text(3, text),
                other => wrapped.text(3, &other.to_string()),
            }
            let mut entry = Message::default();
            entry.text(1, key);
            entry.message(2, &wrapped);
            start.message(1, &entry);
        }
        start.double(5, now_s());
        self.hparams("_hparams_/session_start_info", 3, &start)
    }

    /// The training is finished, as its row of the HParams table shows.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn session_end(&mut self) -> Result<()> {
        let mut end = Message::default();
        end.integer(1, 1); // Status = SUCCESS
        end.double(2, now_s());
        self.hparams("_hparams_/session_end_info", 4, &end)
    }

    /// A summary that the plug-in `hparams` reads: `HParamsPluginData` with this field.
    fn hparams(&mut self, tag: &str, field: u32, content: &Message) -> Result<()> {
        let mut data = Message::default();
        data.message(field, content);
        let mut plugin = Message::default();
        plugin.text(1, "hparams");
        plugin.bytes(2, data.as_bytes());
        let mut metadata = Message::default();
        metadata.message(1, &plugin);
        let mut summary = Message::default();
        summary.text(1, tag);
        summary.message(9, &metadata);
        self.summary(0, &summary)
    }

    /// Hands what was written to the system, so that TensorBoard sees it.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(|error| Error::io("write", &self.path, &error))
    }

    fn summary(&mut self, step: u64, value: &Message) -> Result<()> {
        let mut summary = Message::default();
        summary.message(1, value);
        let mut event = event(step);
        event.message(5, &summary);
        self.record(&event)
    }

    fn record(&mut self, event: &Message) -> Result<()> {
        let data = event.as_bytes();
        let length = (data.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(data.len() + 16);
        record.extend(length);
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(data);
        record.extend(masked_crc(data).to_le_bytes());
        self.file.write_all(&record).map_err(|error| Error::io("write", &self.path, &error))
    }
}

fn event(step: u64) -> Message {
    let mut event = Message::default();
    event.double(1, now_s());
    event.integer(2, step);
    event
}

fn now_s() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |time| time.as_secs_f64())
}

/// TensorFlow's mask: a checksum of data that holds checksums itself would be weak without it.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A `HistogramProto` with equal buckets between the least and the greatest value.
fn histogram(values: &[f32]) -> Message {
    let values = || values.iter().map(|&x| f64::from(x)).filter(|x| x.is_finite());
    let count = values().count();
    let (mut min, mut max) = (0.0, 0.0);
    if count > 0 {
        min = values().fold(f64::INFINITY, f64::min);
        max = values().fold(f64::NEG_INFINITY, f64::max);
    }
    let width = if max > min { (max - min) / BUCKETS as f64 } else { 1.0 };
    let mut counts = [0.0; BUCKETS];
    for x in values() {
        counts[(((x - min) / width) as usize).min(BUCKETS - 1)] += 1.0;
    }
    let limits: Vec<f64> = (1..=BUCKETS).map(|i| min + width * i as f64).collect();
    let mut message = Message::default();
    message.double(1, min);
    message.double(2, max);
    message.double(3, count as f64);
    message.double(4, values().sum());
    message.double(5, values().map(|x| x * x).sum());
    message.packed_doubles(6, &limits);
    message.packed_doubles(7, &counts);
    message
}

#[cfg(test)]
mod tests {
    use super::proto::tests::{Field, fields};
    use super::*;

    /// The messages of the only event file, whose framing is verified on the way.
    fn records(folder: &Path) -> Vec<Vec<u8>> {
        let entry = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
        records_of(&entry.path())
    }

    fn records_of(path: &Path) -> Vec<Vec<u8>> {
        let bytes = std::fs::read(path).unwrap();
        let (mut rest, mut records) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let (length, crc) = (&rest[..8], &rest[8..12]);
            assert_eq!(masked_crc(length).to_le_bytes(), crc);
            let end = 12 + u64::from_le_bytes(length.try_into().unwrap()) as usize;
            assert_eq!(masked_crc(&rest[12..end]).to_le_bytes(), rest[end..end + 4]);
            records.push(rest[12..end].to_vec());
            rest = &rest[end + 4..];
        }
        records
    }

    fn length_delimited(message: &[u8], number: u32) -> Vec<u8> {
        fields(message)
            .into_iter()
            .find_map(|field| match field {
                (n, Field::Bytes(bytes)) if n == number => Some(bytes),
                _ => None,
            })
            .unwrap()
    }

    /// The `Summary.Value` of the last record.
    fn last_value(folder: &Path) -> Vec<u8> {
        let records = records(folder);
        length_delimited(&length_delimited(records.last().unwrap(), 5), 1)
    }

    #[test]
    fn masked_checksum_agrees_with_a_known_file() {
        // CRC-32C of "123456789" is 0xe3069283 (RFC 3720); rotated right by 15 and shifted by the
        // mask.
        let expected = 0xe306_9283u32.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(masked_crc(b"123456789"), expected);
    }

    #[test]
    fn a_file_starts_with_its_version_and_a_resumed_one_says_where() {
        let folder = tempfile::tempdir().unwrap();
        drop(EventWriter::create(folder.path(), 41).unwrap());
        let records = records(folder.path());
        assert_eq!(length_delimited(&records[0], 3), b"brain.Event:2");
        assert!(fields(&records[1]).contains(&(2, Field::Varint(42))));
        assert_eq!(length_delimited(&records[1], 7), [8, 1]);
    }

    #[test]
    fn a_run_that_starts_over_takes_back_what_it_said_of_every_step() {
        let folder = tempfile::tempdir().unwrap();
        let first = EventWriter::create(folder.path(), 0).unwrap();
        assert_eq!(records_of(&first.path).len(), 1);
        let again = EventWriter::create(folder.path(), 0).unwrap();
        let records = records_of(&again.path);
        assert!(fields(&records[1]).contains(&(2, Field::Varint(1))), "from step 1 on");
        assert_eq!(length_delimited(&records[1], 7), [8, 1]);
    }

    #[test]
    fn a_scalar_decodes_to_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path(), 0).unwrap();
        writer.scalar("bound/train", 300, -91.5).unwrap();
        writer.flush().unwrap();
        assert!(fields(&records(folder.path())[1]).contains(&(2, Field::Varint(300))));
        let value = fields(&last_value(folder.path()));
        assert_eq!(value[0], (1, Field::Bytes(b"bound/train".to_vec())));
        assert_eq!(value[1], (2, Field::Fixed32((-91.5f32).to_bits())));
    }

    #[test]
    fn hyperparameters_are_what_the_plug_in_reads() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path(), 0).unwrap();
        let values = [
            ("model.family".to_string(), Value::String("ladder".into())),
            ("train.epochs".to_string(), Value::Integer(7)),
        ];
        writer.hyperparameters(&values.into_iter().collect()).unwrap();
        writer.flush().unwrap();
        let value = last_value(folder.path());
        assert_eq!(length_delimited(&value, 1), b"_hparams_/session_start_info");
        let plugin = length_delimited(&length_delimited(&value, 9), 1);
        assert_eq!(length_delimited(&plugin, 1), b"hparams");
        let start = length_delimited(&length_delimited(&plugin, 2), 3);
        let entries = fields(&start).into_iter().filter_map(|field| match field {
            (1, Field::Bytes(entry)) => Some(entry),
            _ => None,
        });
        let entries: Vec<Vec<u8>> = entries.collect();
        assert_eq!(length_delimited(&entries[0], 1), b"model.family");
        assert_eq!(length_delimited(&length_delimited(&entries[0], 2), 3), b"ladder");
        let number = fields(&length_delimited(&entries[1], 2));
        assert_eq!(number, [(2, Field::Fixed64(7.0f64.to_bits()))]);
    }

    #[test]
    fn a_histogram_counts_every_finite_number_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path(), 0).unwrap();
        let values = [0.0, 0.0, 0.5, 1.0, f32::NAN, f32::INFINITY];
        writer.histogram("kl", 1, &values).unwrap();
        writer.flush().unwrap();
        let histogram = length_delimited(&last_value(folder.path()), 5);
        let doubles = |number| -> Vec<f64> {
            let bytes = length_delimited(&histogram, number);
            let words = bytes.chunks(8).map(|w| f64::from_le_bytes(w.try_into().unwrap()));
            words.collect()
        };
        assert_eq!(doubles(7).iter().sum::<f64>(), 4.0);
        assert_eq!((doubles(7)[0], doubles(7)[BUCKETS - 1]), (2.0, 1.0));
        assert!((doubles(6)[BUCKETS - 1] - 1.0).abs() < 1e-12);
        assert!(fields(&histogram).contains(&(4, Field::Fixed64(1.5f64.to_bits()))));
    }

    #[test]
    fn a_histogram_of_nothing_or_of_equal_numbers_is_well_formed() {
        for values in [&[][..], &[f32::NAN], &[2.0, 2.0]] {
            assert!(!histogram(values).as_bytes().is_empty());
        }
    }

    #[test]
    fn an_image_carries_its_size_and_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path(), 0).unwrap();
        writer.image("samples", 1, (300, 20), b"not a png").unwrap();
        writer.flush().unwrap();
        let image = fields(&length_delimited(&last_value(folder.path()), 4));
        assert!(image.contains(&(1, Field::Varint(20))));
        assert!(image.contains(&(2, Field::Varint(300))));
        assert!(image.contains(&(4, Field::Bytes(b"not a png".to_vec()))));
    }
}
