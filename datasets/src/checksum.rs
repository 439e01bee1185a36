//! Checksums of files, as published: of the file itself, or of what is inside its gzip.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use md5::Md5;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// A published checksum, in lower-case hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// 32 digits. Against accidents only: MD5 can be forged.
    Md5(&'static str),
    /// 64 digits.
    Sha256(&'static str),
}

impl Checksum {
    /// "MD5" or "SHA-256".
    #[must_use]
    pub const fn algorithm(&self) -> &'static str {
        match self {
            Self::Md5(_) => "MD5",
            Self::Sha256(_) => "SHA-256",
        }
    }

    /// The published digits.
    #[must_use]
    pub const fn digits(&self) -> &'static str {
        match self {
            Self::Md5(digits) | Self::Sha256(digits) => digits,
        }
    }

    /// The digits this checksum has for a file, or for what is inside if `unpack` is set and the
    /// file is gzip.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, or its gzip is damaged.
    pub fn of_file(&self, path: &Path, unpack: bool) -> Result<String> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let mut reader: Box<dyn Read> = Box::new(BufReader::new(file));
        if unpack && is_gzip(path)? {
            reader = Box::new(MultiGzDecoder::new(reader));
        }
        self.of(reader).map_err(Error::io("read", path))
    }

    fn of(&self, reader: impl Read) -> std::io::Result<String> {
        match self {
            Self::Md5(_) => digest::<Md5>(reader),
            Self::Sha256(_) => digest::<Sha256>(reader),
        }
    }
}

fn digest<D: Digest>(mut reader: impl Read) -> std::io::Result<String> {
    let mut state = D::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => state.update(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hexadecimal(&state.finalize()))
}

/// As many digits of a checksum as a message needs.
pub(crate) const SHORT_DIGITS: usize = 8;

/// Bytes in lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// Whether a file begins as gzip does.
pub(crate) fn is_gzip(path: &Path) -> Result<bool> {
    let mut first = Vec::new();
    let file = File::open(path).map_err(Error::io("open", path))?;
    file.take(2).read_to_end(&mut first).map_err(Error::io("read", path))?;
    Ok(first == [0x1f, 0x8b])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{file, gzip};

    /// The test vectors of RFC 1321 and FIPS 180.
    #[test]
    fn checksums_are_the_standard_ones() {
        let (md5, sha256) = (Checksum::Md5(""), Checksum::Sha256(""));
        assert_eq!(md5.of(&b"abc"[..]).unwrap(), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            sha256.of(&b"abc"[..]).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn content_is_the_same_inside_gzip() {
        let (_a, plain) = file("a", b"abc");
        let (_b, packed) = file("a.gz", &gzip(b"abc"));
        let sum = Checksum::Md5("");
        assert_eq!(sum.of_file(&plain, true).unwrap(), sum.of_file(&packed, true).unwrap());
        assert_ne!(sum.of_file(&packed, false).unwrap(), sum.of_file(&packed, true).unwrap());
    }
}
