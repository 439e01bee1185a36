//! NumPy's `.npz`: a zip of `.npy` arrays, read as a data set and written to hold what a model
//! made.

use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::memory::inflated_at_most;
use crate::npy::{self, NpyArray, NpyValues};
use crate::source::{Source, impostor_in, open_file};
use crate::{Error, Labels, Result};

/// Bytes that are written at a time.
const CHUNK_BYTES: usize = 1 << 16;

/// Reads every array of a `.npz` file, with its name (without `.npy`), in the order of the file.
///
/// # Errors
/// [`Error::Format`] if it is no zip, an entry is not what [`npy::read`] takes, or an entry's
/// checksum differs.
pub fn read(path: &Path) -> Result<Vec<(String, NpyArray)>> {
    let arrays = read_wanted(path, |_| true)?;
    Ok(arrays.into_iter().filter_map(|(name, array)| Some((name, array?))).collect())
}

/// The names of all arrays of a file, with those arrays that are wanted by their names: the others
/// may be of types that [`npy::read`] does not take, such as texts.
///
/// # Errors
/// As [`read`], of the wanted arrays alone.
pub fn read_wanted(
    path: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Option<NpyArray>)>> {
    let (file, length) = open_file(path)?;
    if let Some(found) = impostor_in(path) {
        return Err(not_a_zip(path, "content", found));
    }
    parse(path, length, BufReader::new(file), is_wanted)
}

/// Reads the arrays of an archive of `length` bytes. Together they may be as large as compressed
/// content of that length may: entries may share their bytes.
fn parse(
    path: &Path,
    length: u64,
    mut reader: impl Read + Seek,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Option<NpyArray>)>> {
    let mut start = Vec::new();
    let peeked = reader.by_ref().take(npy::MAGIC.len() as u64).read_to_end(&mut start);
    peeked.and_then(|_| reader.rewind()).map_err(Error::io("read", path))?;
    if start == npy::MAGIC {
        let found = "one .npy array (numpy.savez(\"images.npz\", images=array) makes such a zip)";
        return Err(not_a_zip(path, "archive", found));
    }
    let mut archive = ZipArchive::new(reader).map_err(|error| not_a_zip(path, "archive", error))?;
    let mut arrays: Vec<(String, Option<NpyArray>)> = Vec::new();
    let mut left = inflated_at_most(length);
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| not_a_zip(path, "entry", error))?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let Some(stem) = name.strip_suffix(".npy") else {
            continue;
        };
        if !is_wanted(stem) {
            arrays.push((stem.to_string(), None));
            continue;
        }
        if arrays.iter().any(|(known, _)| known == stem) {
            return Err(not_a_zip(path, "entry", format!("a second array called '{stem}'")));
        }
        let mut source = Source::inflated(&path.join(&name), "npy", left, entry);
        let array = npy::parse(&mut source)?;
        left = left.saturating_sub(source.offset());
        arrays.push((stem.to_string(), Some(array)));
    }
    Ok(arrays)
}

fn not_a_zip(path: &Path, what: &str, found: impl ToString) -> Error {
    Error::Format {
        path: path.to_path_buf(),
        format: "npz",
        offset: 0,
        what: what.to_string(),
        expected: "a zip of .npy arrays".into(),
        found: found.to_string(),
    }
}

/// Writes a `.npz` file array by array, uncompressed as `numpy.savez` does, so that `numpy.load`
/// can map it.
///
/// Nothing lies under the final name until [`finish`](NpzWriter::finish) has written everything:
/// the file is made under a temporary name beside it, which goes when the writer is dropped.
///
/// # Example
/// ```
/// use rung_datasets::npz::{self, NpzWriter};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("latents.npz");
/// let mut writer = NpzWriter::create(&path)?;
/// writer.add_f32("z1", &[2, 3], &[0.0, 0.5, 1.0, 1.5, 2.0, 2.5])?;
/// writer.add_u32("labels", &[2], &[7, 1])?;
/// writer.finish()?;
/// assert_eq!(npz::read(&path)?[0].1.shape, [2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct NpzWriter {
    path: PathBuf,
    zip: ZipWriter<BufWriter<tempfile::NamedTempFile>>,
    names: Vec<String>,
}

impl NpzWriter {
    /// Begins a file that will be at `path`, replacing what is there.
    ///
    /// # Errors
    /// [`Error::Io`] if its folder cannot be written to.
    pub fn create(path: &Path) -> Result<Self> {
        let file = npy::temporary_beside(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            zip: ZipWriter::new(BufWriter::new(file)),
            names: Vec::new(),
        })
    }

    /// Adds an array of `f32`.
    ///
    /// # Errors
    /// [`Error::Argument`] if the name was used, or the sizes are not those of the values;
    /// [`Error::Io`].
    pub fn add_f32(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<()> {
        self.add_rows(
            name,
            shape,
            "<f4",
            values.len(),
            values.iter().map(|value| value.to_le_bytes()),
        )
    }

    /// Adds an array of `u32`, such as labels.
    ///
    /// # Errors
    /// As [`add_f32`](Self::add_f32).
    pub fn add_u32(&mut self, name: &str, shape: &[usize], values: &[u32]) -> Result<()> {
        self.add_rows(
            name,
            shape,
            "<u4",
            values.len(),
            values.iter().map(|value| value.to_le_bytes()),
        )
    }

    /// Adds labels: as [`add_u32`](Self::add_u32), or as `i64` with -1 for an unknown one where
    /// there are any.
    ///
    /// # Errors
    /// As [`add_f32`](Self::add_f32).
    pub fn add_labels(&mut self, name: &str, shape: &[usize], labels: &[u32]) -> Result<()> {
        if !labels.contains(&Labels::UNKNOWN) {
            return self.add_u32(name, shape, labels);
        }
        let value = |&label: &u32| if label == Labels::UNKNOWN { -1 } else { i64::from(label) };
        let values = NpyValues::I64(labels.iter().map(value).collect());
        self.add(name, &NpyArray { shape: shape.to_vec(), values })
    }

    /// Adds a text for each row, as NumPy's fixed-width Unicode (`<U…`, UTF-32).
    ///
    /// # Errors
    /// As [`add_f32`](Self::add_f32).
    pub fn add_text(&mut self, name: &str, rows: &[String]) -> Result<()> {
        let width = rows.iter().map(|row| row.chars().count()).max().unwrap_or(0).max(1);
        self.begin(name, &[rows.len()], &format!("<U{width}"), rows.len())?;
        for row in rows {
            let padded = row.chars().map(u32::from).chain(std::iter::repeat(0)).take(width);
            let bytes: Vec<u8> = padded.flat_map(u32::to_le_bytes).collect();
            self.zip.write_all(&bytes).map_err(Error::io("write", &self.path))?;
        }
        Ok(())
    }

    /// Adds an array of any type.
    ///
    /// # Errors
    /// As [`add_f32`](Self::add_f32).
    pub fn add(&mut self, name: &str, array: &NpyArray) -> Result<()> {
        let values = &array.values;
        self.begin(name, &array.shape, values.description(), values.len())?;
        let (mut chunk, mut written) = (Vec::new(), Ok(()));
        values.each_bytes(|element| {
            chunk.extend(element);
            if chunk.len() >= CHUNK_BYTES && written.is_ok() {
                written = self.zip.write_all(&chunk);
                chunk.clear();
            }
        });
        written.and_then(|()| self.zip.write_all(&chunk)).map_err(Error::io("write", &self.path))
    }

    /// Adds an array of bytes that come piece by piece, so that they need not all be in memory.
    ///
    /// # Errors
    /// As [`add_f32`](Self::add_f32).
    pub fn add_bytes(
        &mut self,
        name: &str,
        shape: &[usize],
        pieces: impl Iterator<Item = Vec<u8>>,
    ) -> Result<()> {
        let expected = shape.iter().product::<usize>();
        self.begin(name, shape, "|u1", expected)?;
        let mut written = 0;
        for piece in pieces {
            written += piece.len();
            self.zip.write_all(&piece).map_err(Error::io("write", &self.path))?;
        }
        if written == expected {
            return Ok(());
        }
        let (expected, found) = (format!("{expected} for {shape:?}"), written.to_string());
        Err(Error::Argument { what: "bytes of an array", expected, found })
    }

    fn add_rows<const N: usize>(
        &mut self,
        name: &str,
        shape: &[usize],
        description: &str,
        count: usize,
        elements: impl Iterator<Item = [u8; N]>,
    ) -> Result<()> {
        self.begin(name, shape, description, count)?;
        let mut chunk = Vec::new();
        for element in elements {
            chunk.extend(element);
            if chunk.len() >= CHUNK_BYTES {
                self.zip.write_all(&chunk).map_err(Error::io("write", &self.path))?;
                chunk.clear();
            }
        }
        self.zip.write_all(&chunk).map_err(Error::io("write", &self.path))
    }

    /// Begins the array of this name and writes its header.
    fn begin(
        &mut self,
        name: &str,
        shape: &[usize],
        description: &str,
        count: usize,
    ) -> Result<()> {
        if name.is_empty() || self.names.iter().any(|used| used == name) {
            let expected = "one that is not empty and not used before".into();
            return Err(Error::Argument {
                what: "name of an array",
                expected,
                found: format!("'{name}'"),
            });
        }
        let header = npy::header(description, shape, count)?;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(true);
        self.names.push(name.to_string());
        let refused = |error: zip::result::ZipError| Error::io("write", &self.path)(error.into());
        self.zip.start_file(format!("{name}.npy"), options).map_err(refused)?;
        self.zip.write_all(&header).map_err(Error::io("write", &self.path))
    }

    /// Completes the file, makes sure it is on the disk, and puts it under its name.
    ///
    /// # Errors
    /// [`Error::Io`]; nothing is left under the name then but what was there before.
    pub fn finish(self) -> Result<()> {
        let path = self.path;
        let buffered =
            self.zip.finish().map_err(|error| Error::io("write", &path)(error.into()))?;
        let file =
            buffered.into_inner().map_err(|error| Error::io("write", &path)(error.into_error()))?;
        file.as_file().sync_all().map_err(Error::io("write", &path))?;
        file.persist(&path).map_err(|error| Error::io("rename to", &path)(error.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn sample() -> Vec<(String, NpyArray)> {
        vec![
            (
                "z".into(),
                NpyArray { shape: vec![2, 2], values: NpyValues::F32(vec![1.0, -2.0, 0.5, 9.0]) },
            ),
            (
                "labels".into(),
                NpyArray { shape: vec![3], values: NpyValues::I64(vec![-1, 0, 1 << 40]) },
            ),
            (
                "pixels".into(),
                NpyArray { shape: vec![1, 2, 1], values: NpyValues::U8(vec![0, 255]) },
            ),
            ("one".into(), NpyArray { shape: vec![], values: NpyValues::F64(vec![0.1]) }),
        ]
    }

    fn written() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let mut writer = NpzWriter::create(&path).unwrap();
        for (name, array) in sample() {
            writer.add(&name, &array).unwrap();
        }
        writer.finish().unwrap();
        std::fs::read(path).unwrap()
    }

    fn decode(bytes: &[u8]) -> Result<Vec<(String, NpyArray)>> {
        let arrays = parse(Path::new("f.npz"), bytes.len() as u64, Cursor::new(bytes), |_| true)?;
        Ok(arrays.into_iter().map(|(name, array)| (name, array.unwrap())).collect())
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(decode(&written()).unwrap(), sample());
    }

    #[test]
    fn compressed_archives_are_read() {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file("a.npy", options).unwrap();
        let array = NpyArray { shape: vec![1000], values: NpyValues::U8(vec![3; 1000]) };
        zip.write_all(&npy::encode(&array).unwrap()).unwrap();
        zip.start_file("readme.txt", options).unwrap();
        let bytes = zip.finish().unwrap().into_inner();
        assert_eq!(decode(&bytes).unwrap(), [("a".to_string(), array)]);
    }

    /// The shape of dSprites: a byte for each pixel of a white square, of which most are black.
    #[test]
    fn images_of_two_values_are_read_however_well_they_deflate() {
        let (count, side) = (6144, 64);
        let square = |image: usize, pixel: usize| {
            let (row, column) = (pixel / side, pixel % side);
            let (top, left) = (image / 48 % 48, image % 48);
            (top..top + 16).contains(&row) && (left..left + 16).contains(&column)
        };
        let pixels: Vec<u8> = (0..count * side * side)
            .map(|at| u8::from(square(at / (side * side), at % (side * side))))
            .collect();
        let array = NpyArray { shape: vec![count, side, side], values: NpyValues::U8(pixels) };
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file("images.npy", options).unwrap();
        zip.write_all(&npy::encode(&array).unwrap()).unwrap();
        let bytes = zip.finish().unwrap().into_inner();
        let times = array.values.len() / bytes.len();
        assert!(times > 100 && array.values.len() - 100 * bytes.len() > 16 << 20, "{times} times");
        assert!(decode(&bytes).unwrap() == [("images".to_string(), array)]);
    }

    #[test]
    fn an_unfinished_file_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let mut writer = NpzWriter::create(&path).unwrap();
        writer.add_f32("z", &[1], &[1.0]).unwrap();
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn bytes_may_come_piece_by_piece() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let mut writer = NpzWriter::create(&path).unwrap();
        writer.add_bytes("x", &[2, 2], [vec![1, 2, 3], vec![], vec![4]].into_iter()).unwrap();
        let few = writer.add_bytes("y", &[3], [vec![1, 2]].into_iter()).unwrap_err().to_string();
        assert_eq!(few, "bytes of an array: expected 3 for [3], found 2");
        let mut writer = NpzWriter::create(&path).unwrap();
        writer.add_bytes("x", &[2, 2], [vec![1, 2, 3], vec![4]].into_iter()).unwrap();
        writer.finish().unwrap();
        let expected = NpyArray { shape: vec![2, 2], values: NpyValues::U8(vec![1, 2, 3, 4]) };
        assert_eq!(read(&path).unwrap(), [("x".to_string(), expected)]);
    }

    #[test]
    fn names_are_used_once_and_shapes_must_fit() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = NpzWriter::create(&folder.path().join("a.npz")).unwrap();
        assert!(writer.add_f32("z", &[2], &[1.0]).is_err());
        writer.add_f32("z", &[1], &[1.0]).unwrap();
        assert!(
            writer
                .add_u32("z", &[1], &[1])
                .unwrap_err()
                .to_string()
                .contains("not used before, found 'z'")
        );
    }

    #[test]
    fn damaged_arrays_are_found_by_their_checksum() {
        let mut bytes = written();
        let at = bytes.windows(4).position(|w| w == 9f32.to_le_bytes()).unwrap();
        bytes[at] ^= 1;
        assert!(decode(&bytes).unwrap_err().to_string().starts_with("f.npz/z.npy: npy: byte"));
    }

    proptest! {
        #[test]
        fn changed_and_cut_archives_never_panic(at in 0usize..1 << 16, value: u8,
            cut in 0usize..1 << 16) {
            let mut bytes = written();
            let (at, cut) = (at % bytes.len(), cut % bytes.len());
            bytes[at] = value;
            let _ = decode(&bytes);
            bytes.truncate(cut);
            let _ = decode(&bytes);
        }
    }
}
