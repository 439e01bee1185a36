//! Bytes of a file, plain or gzip, that no reader can be fooled with: a size is checked before
//! memory is asked for.
//!
//! For a plain file the length is known, and no claim may reach past it. Compressed content is
//! inflated as a stream, and no further than [`inflated_at_most`] allows for its size.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::read::{MultiGzDecoder, ZlibDecoder};

use crate::memory::{inflated_at_most, reserved};
use crate::{Error, Result};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// What the bound of compressed content is, in words.
const INFLATED: &str = "what compressed data of this size are inflated to \
    (if they are right, store them uncompressed)";

/// How content begins that is often found in place of a data file, in small letters, and what it
/// is.
const IMPOSTORS: [(&[u8], &str); 4] = [
    (b"<!doctype html", "a web page (HTML), which a server sent in place of the file"),
    (b"<html", "a web page (HTML), which a server sent in place of the file"),
    (b"<?xml", "an XML document, such as a server's error message"),
    (
        b"version https://git-lfs",
        "a pointer of Git LFS, not the file that it stands for (git lfs pull fetches it)",
    ),
];
/// Bytes of a content's start that tell an impostor.
const TELLING_BYTES: usize = 64;

/// What content that begins like this is, if it is none of a data file.
fn impostor(start: &[u8]) -> Option<&'static str> {
    let start = start
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(start)
        .trim_ascii_start()
        .to_ascii_lowercase();
    IMPOSTORS.iter().find(|(beginning, _)| start.starts_with(beginning)).map(|(_, what)| *what)
}

/// What the content of a file is, if it is none of a data file: a web page saved under its name,
/// and the like.
pub(crate) fn impostor_in(path: &Path) -> Option<&'static str> {
    let mut start = Vec::with_capacity(TELLING_BYTES);
    File::open(path).ok()?.take(TELLING_BYTES as u64).read_to_end(&mut start).ok()?;
    impostor(&start)
}

/// What something is, in words, that is no regular file: it may keep a reader waiting, or never
/// end.
#[must_use]
pub fn other_than_file(metadata: &std::fs::Metadata) -> Option<&'static str> {
    match (metadata.is_file(), metadata.is_dir()) {
        (true, _) => None,
        (false, true) => Some("a folder"),
        (false, false) => Some("a device, a pipe or a socket"),
    }
}

/// Opens a file and tells its length. What is no regular file is refused before it is opened, for
/// a pipe would keep whoever opens it waiting.
pub(crate) fn open_file(path: &Path) -> Result<(File, u64)> {
    let metadata = std::fs::metadata(path).map_err(Error::io("open", path))?;
    if let Some(found) = other_than_file(&metadata) {
        return Err(Error::mismatch(path, "what is read", "a file", found));
    }
    Ok((File::open(path).map_err(Error::io("open", path))?, metadata.len()))
}

/// Content being read from its start to its end, with what is needed for a good error.
pub(crate) struct Source<'a> {
    path: PathBuf,
    format: &'static str,
    reader: Box<dyn Read + 'a>,
    offset: u64,
    at_most: u64,
    bound: Bound,
}

/// What is known of the length of a content by `at_most`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// It is the length.
    Length,
    /// The content is part of another, which has no more.
    Part,
    /// It is what compressed content may inflate to.
    Inflated,
}

impl Source<'static> {
    /// Opens a file, looking through gzip by its first bytes and not by its name.
    pub(crate) fn open(path: &Path, format: &'static str) -> Result<Self> {
        let (file, length) = open_file(path)?;
        Self::over(path, format, length, BufReader::with_capacity(1 << 16, file))
    }
}

impl<'a> Source<'a> {
    /// A source of `len` bytes from `reader`, looking through gzip.
    pub(crate) fn over(
        path: &Path,
        format: &'static str,
        len: u64,
        mut reader: impl Read + 'a,
    ) -> Result<Self> {
        let mut first = Vec::with_capacity(TELLING_BYTES);
        let peek = reader.by_ref().take(TELLING_BYTES as u64).read_to_end(&mut first);
        peek.map_err(Error::io("read", path))?;
        let gzip = first.starts_with(&GZIP_MAGIC);
        let path = path.to_path_buf();
        if let Some(found) = impostor(&first) {
            return Err(Error::Format {
                path,
                format,
                offset: 0,
                what: "content".into(),
                expected: format!("{format} data"),
                found: found.into(),
            });
        }
        let whole = Cursor::new(first).chain(reader);
        Ok(if gzip {
            let reader = Box::new(MultiGzDecoder::new(whole));
            let (at_most, bound) = (inflated_at_most(len), Bound::Inflated);
            Self { path, format, reader, offset: 0, at_most, bound }
        } else {
            let (reader, bound) = (Box::new(whole), Bound::Length);
            Self { path, format, reader, offset: 0, at_most: len, bound }
        })
    }

    /// A source over content that is inflated from another's, which may be `at_most` bytes.
    pub(crate) fn inflated(
        path: &Path,
        format: &'static str,
        at_most: u64,
        reader: impl Read + 'a,
    ) -> Self {
        Self {
            path: path.to_path_buf(),
            format,
            reader: Box::new(reader),
            offset: 0,
            at_most,
            bound: Bound::Inflated,
        }
    }

    /// The next `bytes` bytes as a source of its own, decompressed by zlib if asked.
    ///
    /// It may leave some of its bytes unread: go on with [`Self::advance_to`].
    pub(crate) fn part(&mut self, bytes: u64, zlib: bool) -> Source<'_> {
        let (path, format) = (self.path.clone(), self.format);
        let limited = self.by_ref().take(bytes);
        let (reader, at_most, bound): (Box<dyn Read + '_>, u64, Bound) = if zlib {
            (Box::new(ZlibDecoder::new(limited)), inflated_at_most(bytes), Bound::Inflated)
        } else {
            (Box::new(limited), bytes, Bound::Part)
        };
        Source { path, format, reader, offset: 0, at_most, bound }
    }

    /// The file that is read.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes have been read.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The error that `what`, which ends here or begins at `offset`, is not as expected.
    pub(crate) fn wrong(
        &self,
        offset: u64,
        what: &str,
        expected: impl ToString,
        found: impl ToString,
    ) -> Error {
        Error::Format {
            path: self.path.clone(),
            format: self.format,
            offset,
            what: what.to_string(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    /// Refuses a claim of `bytes` more bytes if the content cannot have them.
    pub(crate) fn claim(&self, bytes: u64, what: &str) -> Result<()> {
        let left = self.at_most.saturating_sub(self.offset);
        if bytes <= left {
            return Ok(());
        }
        Err(self.wrong(self.offset, what, self.limit(left), format!("{bytes} bytes")))
    }

    /// What is allowed where `left` bytes are left, in words.
    fn limit(&self, left: u64) -> String {
        match self.bound {
            Bound::Length | Bound::Part => {
                format!("at most {left} bytes, for the file has no more")
            }
            Bound::Inflated => format!("at most {left} bytes, {INFLATED}"),
        }
    }

    /// As [`Self::claim`], where `bytes` more bytes must end the content.
    pub(crate) fn claim_rest(&self, bytes: u64, what: &str) -> Result<()> {
        self.claim(bytes, what)?;
        let left = self.at_most.saturating_sub(self.offset);
        if self.bound == Bound::Length && bytes != left {
            return Err(self.wrong(
                self.offset,
                what,
                format!("{left} bytes, to the end of the file"),
                bytes,
            ));
        }
        Ok(())
    }

    /// Fills `buffer`, or fails with the byte where the content ends.
    pub(crate) fn fill(&mut self, buffer: &mut [u8], what: &str) -> Result<()> {
        let read = self.read_up_to(buffer, what)?;
        if read < buffer.len() {
            return Err(self.wrong(
                self.offset,
                what,
                format!("{} bytes", buffer.len()),
                format!("the end after {read}"),
            ));
        }
        Ok(())
    }

    /// Fills as much of `buffer` as the content allows and says how much that was.
    pub(crate) fn read_up_to(&mut self, buffer: &mut [u8], what: &str) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.unreadable(error, what)),
            }
        }
        Ok(filled)
    }

    /// Damaged compression is the file's fault and has a place; anything else is the system's.
    fn unreadable(&self, error: std::io::Error, what: &str) -> Error {
        use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        match error.kind() {
            InvalidData | InvalidInput | UnexpectedEof => {
                self.wrong(self.offset, what, "intact compressed data", error)
            }
            _ => Error::io("read", &self.path)(error),
        }
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    /// The next `bytes` bytes, claimed first.
    pub(crate) fn take_bytes(&mut self, bytes: u64, what: &str) -> Result<Vec<u8>> {
        self.claim(bytes, what)?;
        let mut content = reserved(bytes as usize, what)?;
        self.each_chunk(bytes, what, |chunk| content.extend_from_slice(chunk))?;
        Ok(content)
    }

    /// Hands the next `bytes` bytes to `visit` in pieces; each but the last is a multiple of 8
    /// bytes long.
    pub(crate) fn each_chunk(
        &mut self,
        bytes: u64,
        what: &str,
        mut visit: impl FnMut(&[u8]),
    ) -> Result<()> {
        self.claim(bytes, what)?;
        let mut buffer = vec![0; bytes.min(1 << 16) as usize];
        let mut left = bytes;
        while left > 0 {
            let chunk = &mut buffer[..left.min(1 << 16) as usize];
            self.fill(chunk, what)?;
            visit(chunk);
            left -= chunk.len() as u64;
        }
        Ok(())
    }

    /// The numbers in the next `bytes` bytes, a whole number of them, each turned into what is
    /// kept.
    pub(crate) fn numbers<N: Number, T>(
        &mut self,
        bytes: u64,
        big_endian: bool,
        what: &str,
        keep: impl Fn(N) -> T,
    ) -> Result<Vec<T>> {
        self.claim(bytes, what)?;
        let mut numbers = reserved((bytes / size_of::<N>() as u64) as usize, what)?;
        self.each_chunk(bytes, what, |chunk| {
            let elements = chunk.chunks_exact(size_of::<N>());
            numbers.extend(elements.map(|element| keep(N::from_bytes(element, big_endian))));
        })?;
        Ok(numbers)
    }

    /// Reads over the next `bytes` bytes.
    pub(crate) fn skip(&mut self, bytes: u64, what: &str) -> Result<()> {
        self.each_chunk(bytes, what, |_| ())
    }

    /// Reads over what a [`Self::part`] that ends at `offset` has left.
    pub(crate) fn advance_to(&mut self, offset: u64, what: &str) -> Result<()> {
        self.skip(offset.saturating_sub(self.offset), what)
    }

    /// Fails unless the content ends here (which also makes a decompressor test its checksum).
    pub(crate) fn expect_end(&mut self) -> Result<()> {
        let offset = self.offset;
        match self.read_up_to(&mut [0; 1], "end of file")? {
            0 => Ok(()),
            _ => Err(self.wrong(offset, "end of file", "nothing more", "more bytes")),
        }
    }
}

/// A number as files hold it.
pub(crate) trait Number: Sized {
    /// The number in as many bytes as it takes.
    fn from_bytes(bytes: &[u8], big_endian: bool) -> Self;
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Number for $number {
            fn from_bytes(bytes: &[u8], big_endian: bool) -> Self {
                let mut element = [0; size_of::<Self>()];
                element.copy_from_slice(bytes);
                if big_endian { Self::from_be_bytes(element) } else { Self::from_le_bytes(element) }
            }
        }
    )*};
}

numbers! { i8 u16 i16 u32 i32 u64 i64 f32 f64 }

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.offset += read as u64;
        if self.bound == Bound::Inflated && self.offset > self.at_most {
            let message = format!("more than {} bytes, {INFLATED}", self.at_most);
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message));
        }
        Ok(read)
    }
}

/// The number of bytes of `sizes` elements of `bytes` each, or `None` if no file could have as
/// many.
pub(crate) fn product(sizes: &[u64], bytes: u64) -> Option<u64> {
    sizes.iter().try_fold(bytes, |total, &size| total.checked_mul(size))
}

#[cfg(test)]
pub(crate) mod testing {
    //! What the tests of every format need.

    use super::*;
    use std::io::Write;

    /// A folder with one file of these bytes in it; the folder goes when the first value is
    /// dropped.
    pub(crate) fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    /// These bytes as a gzip file.
    pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    /// These bytes as a zlib stream.
    pub(crate) fn zlib(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{gzip, zlib};
    use super::*;

    fn source(content: &[u8]) -> Source<'_> {
        Source::over(Path::new("f"), "test", content.len() as u64, content).unwrap()
    }

    #[test]
    fn a_web_page_in_place_of_a_file_is_called_one() {
        let refused = |content: &[u8]| {
            Source::over(Path::new("f"), "idx", content.len() as u64, content)
                .err()
                .unwrap()
                .to_string()
        };
        let page = refused(b"\xef\xbb\xbf \n<!DOCTYPE html><html><head><title>404</title>");
        assert!(
            page.starts_with("f: idx: byte 0: content: expected idx data, found a web page (HTML)"),
            "{page}"
        );
        assert!(refused(b"<HTML>").contains("web page"));
        assert!(
            refused(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
                .contains("Git LFS")
        );
    }

    #[test]
    #[cfg(unix)]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), Path::new("/dev/zero"), folder.path()] {
            let error = open_file(path).unwrap_err().to_string();
            assert!(error.contains("what is read: expected a file, found a "), "{error}");
        }
    }

    #[test]
    fn gzip_and_plain_give_the_same_bytes() {
        let content: Vec<u8> = (0..100_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
        assert_eq!(source(&content).take_bytes(100_000, "x").unwrap(), content);
        let packed = gzip(&content);
        let mut packed = source(&packed);
        assert_eq!(packed.take_bytes(100_000, "x").unwrap(), content);
        packed.expect_end().unwrap();
    }

    #[test]
    fn claims_beyond_the_file_are_refused_before_reading() {
        assert_eq!(
            source(&[0; 10]).take_bytes(11, "pixels").unwrap_err().to_string(),
            "f: test: byte 0: pixels: expected at most 10 bytes, for the file has no more, found \
            11 bytes"
        );
        let packed = gzip(&[0; 10]);
        let bound = inflated_at_most(packed.len() as u64);
        assert!(
            source(&packed)
                .take_bytes(bound + 1, "pixels")
                .unwrap_err()
                .to_string()
                .contains("compressed data of this size")
        );
        assert!(
            source(&packed)
                .take_bytes(bound, "pixels")
                .unwrap_err()
                .to_string()
                .contains("the end after")
        );
    }

    #[test]
    fn content_is_inflated_no_further_than_it_may() {
        let zeros = zlib(&vec![0; 8 << 20]);
        let at_most = 4 << 20;
        let decoder = ZlibDecoder::new(&zeros[..]);
        let mut read = Source::inflated(Path::new("f"), "test", at_most, decoder);
        let mut buffer = vec![0; 1 << 16];
        let error = loop {
            match read.fill(&mut buffer, "records") {
                Ok(()) => assert!(read.offset() <= at_most),
                Err(error) => break error.to_string(),
            }
        };
        assert!(
            error.contains("records: expected intact compressed data, found more than"),
            "{error}"
        );
    }

    #[test]
    fn damaged_gzip_is_an_error_with_a_place() {
        let mut packed = gzip(&[7; 5000]);
        let crc = packed.len() - 8;
        packed[crc] ^= 1;
        let read = |packed: &[u8]| {
            let mut source = source(packed);
            source.take_bytes(5000, "pixels")?;
            source.expect_end()
        };
        read(&packed).unwrap_err();
        read(&packed[..crc]).unwrap_err();
    }

    #[test]
    fn a_file_that_goes_on_is_refused() {
        let mut source = source(&[1, 2, 3]);
        source.take_bytes(2, "x").unwrap();
        assert_eq!(
            source.expect_end().unwrap_err().to_string(),
            "f: test: byte 2: end of file: expected nothing more, found more bytes"
        );
    }
}
