//! Checkpoints: named tensors and a few words about them in safetensors files.
//!
//! The file is plain safetensors, so any program reads it. Its metadata has one key of ours,
//! `content_crc32`: the CRC-32 (zlib's) of, for each metadata pair but that one in the keys' order,
//! `key \0 value \0`, and then for each tensor in the names' order, `name \0 dtype \0 shape \0`
//! (the shape as `3,4`) and its bytes. The same content always gives the same file, byte for byte.
//!
//! [`Checkpoints`] is the folder: `last`, `previous`, `best` and, if asked for, numbered ones.

mod store;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use rung_autograd::rng::Phase;
use safetensors::SafeTensors;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::run::atomic_file;

pub use store::{Checkpoints, Loaded};

const CHECKSUM: &str = "content_crc32";
/// The number format of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit floating point.
    F32,
    /// 64-bit floating point.
    F64,
}

impl Dtype {
    /// The name in the file: `F32` or `F64`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F64 => "F64",
        }
    }

    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// One tensor: row-major little-endian numbers and their shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorData {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl TensorData {
    /// A tensor from its little-endian bytes.
    ///
    /// # Errors
    /// If the shape doesn't have as many bytes.
    pub fn new(dtype: Dtype, shape: Vec<usize>, bytes: Vec<u8>) -> Result<Self> {
        let expected =
            shape.iter().try_fold(dtype.bytes(), |product, &size| product.checked_mul(size));
        if expected != Some(bytes.len()) {
            return Err(Error::new(format!(
                "a tensor of shape {shape:?} in {} can't have {} bytes",
                dtype.name(),
                bytes.len()
            )));
        }
        Ok(Self { dtype, shape, bytes })
    }

    /// A tensor of 32-bit numbers.
    ///
    /// # Errors
    /// If the shape doesn't have as many numbers.
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Result<Self> {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self::new(Dtype::F32, shape.to_vec(), bytes)
    }

    /// A tensor of 64-bit numbers.
    ///
    /// # Errors
    /// If the shape doesn't have as many numbers.
    pub fn from_f64(shape: &[usize], values: &[f64]) -> Result<Self> {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self::new(Dtype::F64, shape.to_vec(), bytes)
    }

    /// The number format.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The length of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The numbers, little-endian.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The numbers as f32; those of an F64 tensor are rounded.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::F32 => self.words().map(f32::from_le_bytes).collect(),
            Dtype::F64 => self.words().map(|w| f64::from_le_bytes(w) as f32).collect(),
        }
    }

    /// The numbers as f64.
    pub fn to_f64(&self) -> Vec<f64> {
        match self.dtype {
            Dtype::F32 => self.words().map(|w| f64::from(f32::from_le_bytes(w))).collect(),
            Dtype::F64 => self.words().map(f64::from_le_bytes).collect(),
        }
    }

    fn words<const N: usize>(&self) -> impl Iterator<Item = [u8; N]> {
        self.bytes.as_chunks::<N>().0.iter().copied()
    }
}

/// What a checkpoint holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckpointData {
    /// The tensors by their paths.
    pub tensors: BTreeMap<String, TensorData>,
    /// Words about them, such as the step.
    pub metadata: BTreeMap<String, String>,
}

impl CheckpointData {
    /// Writes the file whole, or leaves what was there.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        atomic_file::write(path, |out| self.write_to(out))
    }

    /// Reads and verifies a file.
    ///
    /// # Errors
    /// If it can't be read, isn't safetensors, holds numbers of another format, or was damaged.
    pub fn load(path: &Path) -> Result<Self> {
        let length = fs::metadata(path).map_err(|error| Error::io("read", path, &error))?.len();
        let bytes = atomic_file::read(path)?;
        if bytes.len() as u64 != length {
            return Err(damaged(path, "its size changed while it was read"));
        }
        Self::parse(&bytes).map_err(|reason| damaged(path, &reason))
    }

    /// How many steps a checkpoint counts under `key`.
    ///
    /// # Errors
    /// If there is no such number, or one that no training can have reached.
    pub fn steps(&self, key: &str) -> Result<u64> {
        let text = self
            .metadata
            .get(key)
            .ok_or_else(|| Error::new(format!("the checkpoint has no {key}")))?;
        let steps = text.parse().ok().filter(|steps| Phase::Training.range().contains(steps));
        steps.ok_or_else(|| {
            Error::new(format!("the checkpoint's {key} is {text}: no number of steps"))
        })
    }

    /// Writes the content of the file.
    ///
    /// # Errors
    /// If `out` takes no more.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let header = self.header();
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        self.in_file_order().try_for_each(|(_, tensor)| out.write_all(&tensor.bytes))
    }

    /// The JSON header, padded with spaces so that the numbers are aligned to 8 bytes.
    fn header(&self) -> String {
        let mut metadata: Map<String, Value> =
            self.metadata.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        metadata.insert(CHECKSUM.into(), json!(self.checksum()));
        let mut entries = Map::new();
        entries.insert("__metadata__".into(), Value::Object(metadata));
        let mut start = 0;
        for (name, tensor) in self.in_file_order() {
            let end = start + tensor.bytes.len();
            let entry = json!({
                "dtype": tensor.dtype.name(),
                "shape": tensor.shape,
                "data_offsets": [start, end],
            });
            entries.insert(name.clone(), entry);
            start = end;
        }
        let mut header = Value::Object(entries).to_string();
        let padded = header.len().next_multiple_of(8);
        header.extend(std::iter::repeat_n(' ', padded - header.len()));
        header
    }

    /// F64 tensors first, so that each number is aligned to its own size.
    fn in_file_order(&self) -> impl Iterator<Item = (&String, &TensorData)> {
        let with = |dtype| {
            let tensors = self.tensors.iter();
            tensors.filter(move |(_, tensor)| tensor.dtype == dtype)
        };
        with(Dtype::F64).chain(with(Dtype::F32))
    }

    fn checksum(&self) -> String {
        let mut crc = crc32fast::Hasher::new();
        for (key, value) in self.metadata.iter().filter(|(key, _)| *key != CHECKSUM) {
            crc.update(format!("{key}\0{value}\0").as_bytes());
        }
        for (name, tensor) in &self.tensors {
            let shape: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
            let head = format!("{name}\0{}\0{}\0", tensor.dtype.name(), shape.join(","));
            crc.update(head.as_bytes());
            crc.update(&tensor.bytes);
        }
        format!("{:08x}", crc.finalize())
    }

    /// The content of a file. Every size in the header is held against the file's length before
    /// anything is copied.
    ///
    /// # Errors
    /// The reason why it can't be trusted.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (length, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
        let numbers = bytes.get(size_of::<u64>() + length..).unwrap_or_default();
        let mut data = Self::default();
        data.metadata.extend(header.metadata().clone().unwrap_or_default());
        for (name, info) in header.tensors() {
            let dtype = match info.dtype {
                safetensors::Dtype::F32 => Dtype::F32,
                safetensors::Dtype::F64 => Dtype::F64,
                other => return Err(format!("{name} holds {other}, not F32 or F64")),
            };
            let (start, end) = info.data_offsets;
            let bytes = numbers.get(start..end).ok_or_else(|| format!("{name} is cut off"))?;
            let tensor = TensorData::new(dtype, info.shape.clone(), bytes.to_vec());
            let tensor = tensor.map_err(|error| format!("{name}: {error}"))?;
            data.tensors.insert(name, tensor);
        }
        let found = data.checksum();
        match data.metadata.remove(CHECKSUM) {
            Some(expected) if expected == found => Ok(data),
            Some(expected) => {
                Err(format!("its content has checksum {found}, and {expected} was written"))
            }
            None => Err(format!("it has no {CHECKSUM}, so another program wrote it")),
        }
    }
}

fn damaged(path: &Path, reason: &str) -> Error {
    Error::new(format!("{} can't be used as a checkpoint: {reason}", path.display()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A small checkpoint that knows its step.
    pub(crate) fn example(step: u64) -> CheckpointData {
        let mut data = CheckpointData::default();
        let weights: Vec<f32> = (0..12).map(|i| i as f32 + step as f32).collect();
        data.tensors.insert("up.1.weight".into(), TensorData::from_f32(&[3, 4], &weights).unwrap());
        data.tensors.insert("empty".into(), TensorData::from_f32(&[0, 4], &[]).unwrap());
        data.tensors.insert("statistics".into(), TensorData::from_f64(&[], &[0.1]).unwrap());
        data.metadata.insert("step".into(), step.to_string());
        data
    }

    fn bytes_of(data: &CheckpointData) -> Vec<u8> {
        let mut bytes = Vec::new();
        data.write_to(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_checkpoint_reads_back_equal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        example(7).save(&path).unwrap();
        let loaded = CheckpointData::load(&path).unwrap();
        assert_eq!(loaded, example(7));
        assert_eq!(loaded.tensors["up.1.weight"].to_f32()[3], 10.0);
        assert_eq!(loaded.tensors["statistics"].to_f64(), [0.1]);
    }

    #[test]
    fn equal_content_gives_equal_bytes() {
        assert_eq!(bytes_of(&example(7)), bytes_of(&example(7)));
    }

    #[test]
    fn numbers_are_aligned_to_their_size() {
        let bytes = bytes_of(&example(7));
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert_eq!(header % 8, 0);
        let at = 8 + header as usize;
        assert_eq!(bytes[at..at + 8], 0.1f64.to_le_bytes());
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = bytes_of(&example(7));
        for length in 0..bytes.len() {
            assert!(CheckpointData::parse(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = bytes_of(&example(7));
        let original = CheckpointData::parse(&bytes).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            // A change in the padding may leave the content as it was.
            if let Ok(data) = CheckpointData::parse(&changed) {
                assert_eq!(data, original, "bit {bit}");
            }
        }
    }

    #[test]
    fn a_header_that_lies_about_sizes_is_an_error() {
        for (length, header) in
            [(u64::MAX, "{}".to_string()), (90_000_000, "{}".to_string()), (0, String::new())]
        {
            let mut bytes = length.to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            assert!(CheckpointData::parse(&bytes).is_err(), "{length}");
        }
        for entry in [
            r#"{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}"#,
            r#"{"dtype":"F32","shape":[9223372036854775807,4],"data_offsets":[0,4]}"#,
            r#"{"dtype":"F32","shape":[1],"data_offsets":[4,0]}"#,
            r#"{"dtype":"I32","shape":[1],"data_offsets":[0,4]}"#,
        ] {
            let header = format!(r#"{{"a":{entry}}}"#);
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            bytes.extend([0; 4]);
            assert!(CheckpointData::parse(&bytes).is_err(), "{entry}");
        }
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let mut bytes = bytes_of(&example(7));
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, bytes).unwrap();
        let message = CheckpointData::load(&path).unwrap_err().to_string();
        assert!(message.contains("a.safetensors can't be used"), "{message}");
        assert!(message.contains("checksum"), "{message}");
    }

    #[test]
    fn a_shape_that_does_not_fit_its_numbers_is_refused() {
        assert!(TensorData::from_f32(&[2, 3], &[0.0; 5]).is_err());
        assert!(TensorData::new(Dtype::F64, vec![usize::MAX, 2], vec![]).is_err());
    }
}
