//! MATLAB's MAT-files, version 5, and the two data sets that come in them.
//!
//! This file reads the container: numeric arrays, compressed or not, of either byte order. Start
//! here; then `layouts.rs`, which turns the arrays of OMNIGLOT (`chardata.mat`) and SVHN
//! (`train_32x32.mat`) into upright images. A file is 128 bytes of header, then elements: a tag
//! (type, bytes) and content padded to 8 bytes. Content of at most four bytes may sit inside the
//! tag ("small element"). An array is an element of elements: flags, sizes, name, numbers.

mod layouts;

use std::path::Path;

use crate::npy::NpyValues;
use crate::source::{Source, product};
use crate::{Error, Result};

pub use layouts::{omniglot, svhn};

const HEADER_BYTES: u64 = 128;
const TYPE_INT8: u32 = 1;
const TYPE_UINT8: u32 = 2;
const TYPE_INT16: u32 = 3;
const TYPE_UINT16: u32 = 4;
const TYPE_INT32: u32 = 5;
const TYPE_UINT32: u32 = 6;
const TYPE_SINGLE: u32 = 7;
const TYPE_DOUBLE: u32 = 9;
const TYPE_INT64: u32 = 12;
const TYPE_UINT64: u32 = 13;
const TYPE_MATRIX: u32 = 14;
const TYPE_COMPRESSED: u32 = 15;
const TYPE_UTF8: u32 = 16;
const COMPLEX: u32 = 0x0800;
/// Classes 6 to 15 are numeric arrays: double, single and the integers.
const NUMERIC_CLASSES: std::ops::RangeInclusive<u32> = 6..=15;
const LONGEST_NAME: u64 = 255;
const MOST_DIMENSIONS: u64 = 32;

/// A numeric array of a MAT-file.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its sizes, **fastest first**: MATLAB stores columns.
    pub sizes: Vec<usize>,
    /// Its numbers, first dimension fastest: of one or two bytes as they are stored, wider ones
    /// rounded to `f32`.
    pub numbers: NpyValues,
}

/// Reads the numeric arrays with these names, the first of each name; those the file does not have
/// are not in the result. Others are passed over.
///
/// # Errors
/// [`Error::Format`] with the element that is wrong (inside a compressed array, the byte counts
/// from its decompressed start); a wanted array that is complex or not numeric; a file of version
/// 7.3, which is HDF5.
pub fn read(path: &Path, wanted: &[&str]) -> Result<Vec<Variable>> {
    parse(Source::open(path, "mat")?, wanted)
}

fn parse(mut source: Source<'_>, wanted: &[&str]) -> Result<Vec<Variable>> {
    let header: [u8; HEADER_BYTES as usize] = source.array("header")?;
    if header.starts_with(b"\x89HDF") || header.starts_with(b"MATLAB 7.3") {
        return Err(source.wrong(
            0,
            "version",
            "a MAT-file of version 5 (save it with -v7)",
            "version 7.3, which is HDF5",
        ));
    }
    let big_endian = match &header[126..] {
        b"IM" => false,
        b"MI" => true,
        other => {
            return Err(source.wrong(126, "byte order mark", "IM or MI", format!("{other:02x?}")));
        }
    };
    let version = if big_endian { header[124] } else { header[125] };
    if version != 1 {
        return Err(source.wrong(124, "version", "1 (MAT-file of version 5)", version));
    }
    let mut variables = Vec::new();
    let mut tag = [0; 8];
    loop {
        let start = source.offset();
        match source.read_up_to(&mut tag, "tag")? {
            0 => return Ok(variables),
            8 => {}
            cut => {
                return Err(source.wrong(start, "tag", "8 bytes", format!("the end after {cut}")));
            }
        }
        let (kind, bytes) = (word(&tag[..4], big_endian), u64::from(word(&tag[4..], big_endian)));
        source.claim(bytes, "element")?;
        match kind {
            TYPE_COMPRESSED | TYPE_MATRIX => {
                let mut part =
                    Reader { source: source.part(bytes, kind == TYPE_COMPRESSED), big_endian };
                let missing = |name: &str| {
                    wanted.contains(&name)
                        && !variables.iter().any(|known: &Variable| known.name == name)
                };
                let variable = part.outer(kind, bytes, &missing)?;
                variables.extend(variable);
                drop(part);
                // Unwanted arrays are left early, and a decompressor may stop before its last
                // bytes.
                source.advance_to(start + 8 + bytes, "element")?;
            }
            _ => source.skip(bytes, "element")?,
        }
    }
}

fn word(bytes: &[u8], big_endian: bool) -> u32 {
    let four = [bytes[0], bytes[1], bytes[2], bytes[3]];
    if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
}

/// A reader of the elements inside an array.
struct Reader<'a> {
    source: Source<'a>,
    big_endian: bool,
}

/// An element's tag; the content of a small one came with it.
struct Tag {
    kind: u32,
    bytes: u64,
    small: Option<[u8; 4]>,
}

impl Reader<'_> {
    /// The array in a top-level element of this kind, if it is wanted.
    fn outer(
        &mut self,
        kind: u32,
        bytes: u64,
        is_wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Option<Variable>> {
        if kind == TYPE_MATRIX {
            return if bytes == 0 { Ok(None) } else { self.matrix(is_wanted) };
        }
        let tag = self.tag("compressed element")?;
        if tag.kind != TYPE_MATRIX {
            return Ok(None);
        }
        self.source.claim(tag.bytes, "array")?;
        if tag.bytes == 0 { Ok(None) } else { self.matrix(is_wanted) }
    }

    fn matrix(&mut self, is_wanted: &dyn Fn(&str) -> bool) -> Result<Option<Variable>> {
        let flags = self.content(&[TYPE_UINT32], 8, "array flags")?;
        if flags.len() < 4 {
            return Err(self.source.wrong(
                self.source.offset(),
                "array flags",
                "8 bytes",
                flags.len(),
            ));
        }
        let flags = word(&flags, self.big_endian);
        let sizes = self.content(&[TYPE_INT32], MOST_DIMENSIONS * 4, "sizes")?;
        let sizes: Vec<u64> =
            sizes.chunks_exact(4).map(|size| u64::from(word(size, self.big_endian))).collect();
        let name = self.content(&[TYPE_INT8, TYPE_UINT8, TYPE_UTF8], LONGEST_NAME, "array name")?;
        let name = String::from_utf8_lossy(&name).into_owned();
        if !is_wanted(&name) {
            return Ok(None);
        }
        let place = self.source.offset();
        if !NUMERIC_CLASSES.contains(&(flags & 0xff)) || flags & COMPLEX != 0 {
            let what = format!("class of '{name}'");
            return Err(self.source.wrong(
                place,
                &what,
                "a real numeric array",
                format!("flags {flags:#06x}"),
            ));
        }
        if sizes.is_empty() || sizes.iter().any(|&size| size > i32::MAX as u64) {
            return Err(self.source.wrong(
                place,
                &format!("sizes of '{name}'"),
                "sizes from 0",
                format!("{sizes:?}"),
            ));
        }
        let count = product(&sizes, 1).ok_or_else(|| {
            self.source.wrong(
                place,
                &format!("sizes of '{name}'"),
                "a product below 2⁶⁴",
                format!("{sizes:?}"),
            )
        })?;
        let numbers = self.numbers(count, &name)?;
        Ok(Some(Variable {
            name,
            sizes: sizes.into_iter().map(|size| size as usize).collect(),
            numbers,
        }))
    }

    fn tag(&mut self, what: &str) -> Result<Tag> {
        let bytes: [u8; 8] = self.source.array(what)?;
        let first = word(&bytes[..4], self.big_endian);
        let small = first >> 16;
        if small == 0 {
            let size = u64::from(word(&bytes[4..], self.big_endian));
            return Ok(Tag { kind: first, bytes: size, small: None });
        }
        if small > 4 {
            let offset = self.source.offset() - 8;
            return Err(self.source.wrong(
                offset,
                what,
                "a small element of at most 4 bytes",
                small,
            ));
        }
        let content = [bytes[4], bytes[5], bytes[6], bytes[7]];
        Ok(Tag { kind: first & 0xffff, bytes: u64::from(small), small: Some(content) })
    }

    /// The content of an element of one of these kinds that may have at most so many bytes.
    fn content(&mut self, kinds: &[u32], most: u64, what: &str) -> Result<Vec<u8>> {
        let offset = self.source.offset();
        let tag = self.tag(what)?;
        if !kinds.contains(&tag.kind) {
            return Err(self.source.wrong(
                offset,
                what,
                format!("an element of type {kinds:?}"),
                tag.kind,
            ));
        }
        if tag.bytes > most {
            return Err(self.source.wrong(
                offset,
                what,
                format!("at most {most} bytes"),
                tag.bytes,
            ));
        }
        if let Some(small) = tag.small {
            return Ok(small[..tag.bytes as usize].to_vec());
        }
        let content = self.source.take_bytes(tag.bytes, what)?;
        self.source.skip(padding(tag.bytes), what)?;
        Ok(content)
    }

    /// The numbers of an array with `count` elements, of whatever type they are stored as.
    fn numbers(&mut self, count: u64, name: &str) -> Result<NpyValues> {
        let what = format!("numbers of '{name}'");
        let offset = self.source.offset();
        let tag = self.tag(&what)?;
        let Some(width) = width(tag.kind) else {
            return Err(self.source.wrong(offset, &what, "a numeric element type", tag.kind));
        };
        if count.checked_mul(width) != Some(tag.bytes) {
            let expected = format!("{count} elements of {width} bytes, as the sizes say");
            return Err(self.source.wrong(offset, &what, expected, format!("{} bytes", tag.bytes)));
        }
        let (kind, bytes, big_endian) = (tag.kind, tag.bytes, self.big_endian);
        let Some(small) = tag.small else {
            return numbers(&mut self.source, kind, bytes, big_endian, &what);
        };
        let mut inside = Source::inflated(self.source.path(), "mat", bytes, &small[..]);
        numbers(&mut inside, kind, bytes, big_endian, &what)
    }
}

const fn padding(bytes: u64) -> u64 {
    (8 - bytes % 8) % 8
}

/// The width in bytes of an element type, or `None` if the type is not numeric.
const fn width(kind: u32) -> Option<u64> {
    match kind {
        TYPE_INT8 | TYPE_UINT8 => Some(1),
        TYPE_INT16 | TYPE_UINT16 => Some(2),
        TYPE_INT32 | TYPE_UINT32 | TYPE_SINGLE => Some(4),
        TYPE_DOUBLE | TYPE_INT64 | TYPE_UINT64 => Some(8),
        _ => None,
    }
}

/// The numbers in the next `bytes` bytes, of a type that has a [`width`].
fn numbers(
    source: &mut Source<'_>,
    kind: u32,
    bytes: u64,
    big_endian: bool,
    what: &str,
) -> Result<NpyValues> {
    macro_rules! of {
        ($number:ty) => {
            source.numbers(bytes, big_endian, what, |number: $number| number)?
        };
        ($number:ty, rounded) => {
            NpyValues::F32(
                source.numbers(bytes, big_endian, what, |number: $number| number as f32)?,
            )
        };
    }
    Ok(match kind {
        TYPE_UINT8 => NpyValues::U8(source.take_bytes(bytes, what)?),
        TYPE_INT8 => NpyValues::I8(of!(i8)),
        TYPE_INT16 => NpyValues::I16(of!(i16)),
        TYPE_UINT16 => NpyValues::U16(of!(u16)),
        TYPE_INT32 => of!(i32, rounded),
        TYPE_UINT32 => of!(u32, rounded),
        TYPE_INT64 => of!(i64, rounded),
        TYPE_UINT64 => of!(u64, rounded),
        TYPE_SINGLE => NpyValues::F32(of!(f32)),
        _ => of!(f64, rounded),
    })
}

/// Takes out an array that must be there.
fn require(variables: &mut Vec<Variable>, name: &str, path: &Path) -> Result<Variable> {
    if let Some(place) = variables.iter().position(|variable| variable.name == name) {
        return Ok(variables.remove(place));
    }
    let found: Vec<&str> = variables.iter().map(|variable| variable.name.as_str()).collect();
    Err(Error::mismatch(path, "arrays", format!("one called '{name}'"), format!("{found:?}")))
}

#[cfg(test)]
mod tests;
