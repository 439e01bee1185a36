//! NumPy's `.npy`: one array with its type and sizes in a header of Python text.
//!
//! | byte | what |
//! |------|------|
//! | 0 | `\x93NUMPY` |
//! | 6, 7 | version: 1.0, 2.0 or 3.0 |
//! | 8 | length of the header: 16-bit (version 1) or 32-bit little-endian |
//! | then | `{'descr': '<f4', 'fortran_order': False, 'shape': (10, 28, 28), }`, spaces, a newline |
//! | then | the elements, last dimension fastest, or the first in Fortran's order |

use std::path::Path;

use crate::source::{Source, product};
use crate::{Error, Result};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The header is padded so that the numbers begin at a multiple of this, as the format asks.
const ALIGNMENT: usize = 64;
const LONGEST_HEADER: u64 = 1 << 16;
const MOST_DIMENSIONS: usize = 32;

/// An array as a `.npy` file holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct NpyArray {
    /// The sizes, slowest first; none for a single number.
    pub shape: Vec<usize>,
    /// The elements, last dimension fastest.
    pub values: NpyValues,
}

/// The elements of an array, in one of four types that hold every type read exactly.
#[derive(Clone, Debug, PartialEq)]
pub enum NpyValues {
    /// From `u1` and `b1`.
    U8(Vec<u8>),
    /// From every other integer.
    I64(Vec<i64>),
    /// From `f2` and `f4`.
    F32(Vec<f32>),
    /// From `f8`.
    F64(Vec<f64>),
}

impl NpyValues {
    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands every element to `visit`, in order; integers above 2⁵³ are rounded.
    pub(crate) fn each(&self, mut visit: impl FnMut(f64)) {
        match self {
            Self::U8(values) => values.iter().for_each(|&value| visit(f64::from(value))),
            Self::I64(values) => values.iter().for_each(|&value| visit(value as f64)),
            Self::F32(values) => values.iter().for_each(|&value| visit(f64::from(value))),
            Self::F64(values) => values.iter().for_each(|&value| visit(value)),
        }
    }

    /// These elements, of an array of this shape in Fortran's order, in the order of C.
    fn in_c_order(self, shape: &[usize]) -> Self {
        match self {
            Self::U8(values) => Self::U8(c_order(&values, shape)),
            Self::I64(values) => Self::I64(c_order(&values, shape)),
            Self::F32(values) => Self::F32(c_order(&values, shape)),
            Self::F64(values) => Self::F64(c_order(&values, shape)),
        }
    }

    /// The elements as `f32`, wider ones rounded.
    pub(crate) fn to_f32(&self) -> Vec<f32> {
        let mut reals = Vec::with_capacity(self.len());
        self.each(|value| reals.push(value as f32));
        reals
    }

    /// The numpy type these elements are written as.
    fn description(&self) -> &'static str {
        match self {
            Self::U8(_) => "|u1",
            Self::I64(_) => "<i8",
            Self::F32(_) => "<f4",
            Self::F64(_) => "<f8",
        }
    }
}

/// Reads a `.npy` file (plain, or gzip as a whole).
///
/// Element types: `b1`, `u1`, `i1`, `u2`, `i2`, `u4`, `i4`, `u8`, `i8`, `f2`, `f4`, `f8`, of either
/// byte order. Elements in Fortran's order (the first dimension fastest) are brought into that of
/// C.
///
/// # Errors
/// [`Error::Format`] if the header is not as described, the type is another, or the sizes are not
/// those of the file.
pub fn read(path: &Path) -> Result<NpyArray> {
    let mut source = Source::open(path, "npy")?;
    parse(&mut source)
}

/// Writes an array as a `.npy` file of version 1.0, little-endian.
///
/// # Errors
/// [`Error::Io`]; [`Error::Argument`] if the sizes are not those of the elements.
pub fn write(path: &Path, array: &NpyArray) -> Result<()> {
    let bytes = encode(array)?;
    std::fs::write(path, bytes).map_err(Error::io("write", path))
}

/// Reads an array that must end the source.
pub(crate) fn parse(source: &mut Source<'_>) -> Result<NpyArray> {
    let start = source.offset();
    let header = read_header(source)?;
    let Some(element) = Element::of(&header.description) else {
        let expected = "numbers: b1, or u, i of 1, 2, 4, 8 bytes, or f of 2, 4, 8 bytes";
        return Err(source.wrong(start, "descr", expected, format!("'{}'", header.description)));
    };
    let bytes = product(&header.shape, element.bytes as u64).ok_or_else(|| {
        source.wrong(start, "shape", "a product below 2⁶⁴", format!("{:?}", header.shape))
    })?;
    source.claim_rest(bytes, "elements")?;
    let values = element.read(source, bytes)?;
    source.expect_end()?;
    let shape: Vec<usize> = header.shape.into_iter().map(|size| size as usize).collect();
    let values = if header.fortran_order { values.in_c_order(&shape) } else { values };
    Ok(NpyArray { shape, values })
}

/// Elements of an array of this shape, first dimension fastest, with the last dimension fastest
/// instead.
fn c_order<T: Copy>(values: &[T], shape: &[usize]) -> Vec<T> {
    if values.is_empty() {
        return Vec::new();
    }
    // How far apart in `values` neighbours along each dimension are.
    let strides: Vec<usize> = shape
        .iter()
        .scan(1, |stride, &size| {
            let own = *stride;
            *stride *= size;
            Some(own)
        })
        .collect();
    let mut place = vec![0; shape.len()];
    let mut from = 0;
    let mut ordered = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        ordered.push(values[from]);
        for axis in (0..shape.len()).rev() {
            place[axis] += 1;
            from += strides[axis];
            if place[axis] < shape[axis] {
                break;
            }
            from -= strides[axis] * shape[axis];
            place[axis] = 0;
        }
    }
    ordered
}

/// The number that these bits are in IEEE 754's half precision; every one is a single-precision
/// number too.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let magnitude = u32::from(bits & 0x7fff);
    let value = match magnitude {
        0x7c00 => f32::INFINITY,
        0x7c01.. => f32::NAN,
        // Exponent and fraction at their places in single precision, whose exponents are greater by
        // 127 - 15; subnormal numbers are scaled with the others.
        _ => f32::from_bits(magnitude << 13) * 2f32.powi(127 - 15),
    };
    sign * value
}

/// The header, up to the first element.
fn read_header(source: &mut Source<'_>) -> Result<Header> {
    let magic: [u8; 8] = source.array("magic string")?;
    if &magic[..6] != MAGIC {
        return Err(source.wrong(0, "magic string", "\\x93NUMPY", format!("{:02x?}", &magic[..6])));
    }
    let length = match magic[6] {
        1 => u64::from(u16::from_le_bytes(source.array("header length")?)),
        2 | 3 => u64::from(u32::from_le_bytes(source.array("header length")?)),
        other => return Err(source.wrong(6, "version", "1, 2 or 3", other)),
    };
    if length > LONGEST_HEADER {
        return Err(source.wrong(8, "header length", format!("at most {LONGEST_HEADER}"), length));
    }
    let start = source.offset();
    let header = source.take_bytes(length, "header")?;
    let header = String::from_utf8_lossy(&header);
    Header::parse(&header).ok_or_else(|| {
        let expected = "a dictionary with descr, fortran_order and shape";
        source.wrong(start, "header", expected, format!("{:?}", header.trim_end()))
    })
}

/// The three entries of the header.
struct Header {
    description: String,
    fortran_order: bool,
    shape: Vec<u64>,
}

impl Header {
    fn parse(text: &str) -> Option<Self> {
        let entry = |key: &str| {
            let quoted = [format!("'{key}'"), format!("\"{key}\"")];
            let (start, length) =
                quoted.iter().find_map(|q| Some((text.find(q.as_str())?, q.len())))?;
            text[start + length..].trim_start().strip_prefix(':').map(str::trim_start)
        };
        let description = entry("descr")?;
        let quote = description.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let description = description[1..].split_once(quote)?.0.to_string();
        let order = entry("fortran_order")?;
        let fortran_order = match (order.starts_with("False"), order.starts_with("True")) {
            (true, _) => false,
            (_, true) => true,
            _ => return None,
        };
        let sizes = entry("shape")?.strip_prefix('(')?.split_once(')')?.0;
        let sizes = sizes.split(',').map(str::trim).filter(|size| !size.is_empty());
        let shape = sizes.map(|size| size.parse().ok()).collect::<Option<Vec<u64>>>()?;
        (shape.len() <= MOST_DIMENSIONS).then_some(Self { description, fortran_order, shape })
    }
}

/// An element type: its kind letter, width and byte order.
struct Element {
    kind: char,
    bytes: usize,
    big_endian: bool,
}

impl Element {
    fn of(description: &str) -> Option<Self> {
        let mut letters = description.chars();
        let big_endian = match letters.next()? {
            '<' | '|' => false,
            '>' => true,
            '=' => cfg!(target_endian = "big"),
            _ => return None,
        };
        let kind = letters.next()?;
        let bytes = letters.as_str().parse().ok()?;
        let known =
            matches!((kind, bytes), ('b', 1) | ('u' | 'i', 1 | 2 | 4 | 8) | ('f', 2 | 4 | 8));
        known.then_some(Self { kind, bytes, big_endian })
    }

    fn read(&self, source: &mut Source<'_>, bytes: u64) -> Result<NpyValues> {
        // The eight bytes of an element, little-endian: the last ones are the element's, so that
        // signs can be shifted in.
        let aligned = |element: &[u8]| {
            let mut eight = [0; 8];
            let high = &mut eight[8 - self.bytes..];
            high.copy_from_slice(element);
            if self.big_endian {
                high.reverse();
            }
            u64::from_le_bytes(eight)
        };
        let shift = 64 - 8 * self.bytes as u32;
        let mut too_large = false;
        let values = match (self.kind, self.bytes) {
            ('b', _) | ('u', 1) => NpyValues::U8(source.take_bytes(bytes, "elements")?),
            ('f', 2) => NpyValues::F32(
                self.collect(source, bytes, |element| half((aligned(element) >> shift) as u16))?,
            ),
            ('f', 4) => NpyValues::F32(self.collect(source, bytes, |element| {
                f32::from_bits((aligned(element) >> shift) as u32)
            })?),
            ('f', _) => NpyValues::F64(
                self.collect(source, bytes, |element| f64::from_bits(aligned(element)))?,
            ),
            ('i', _) => NpyValues::I64(
                self.collect(source, bytes, |element| aligned(element) as i64 >> shift)?,
            ),
            _ => NpyValues::I64(self.collect(source, bytes, |element| {
                let value = aligned(element) >> shift;
                too_large |= value > i64::MAX as u64;
                value as i64
            })?),
        };
        if too_large {
            return Err(source.wrong(
                source.offset(),
                "elements",
                "unsigned numbers below 2⁶³",
                "a greater one",
            ));
        }
        Ok(values)
    }

    fn collect<T>(
        &self,
        source: &mut Source<'_>,
        bytes: u64,
        mut of: impl FnMut(&[u8]) -> T,
    ) -> Result<Vec<T>> {
        let mut values = Vec::new();
        source.each_chunk(bytes, "elements", |chunk| {
            values.extend(chunk.chunks_exact(self.bytes).map(&mut of));
        })?;
        values.shrink_to_fit();
        Ok(values)
    }
}

/// The bytes of a `.npy` file with this array.
pub(crate) fn encode(array: &NpyArray) -> Result<Vec<u8>> {
    let mut bytes = header(array.values.description(), &array.shape, array.values.len())?;
    match &array.values {
        NpyValues::U8(values) => bytes.extend(values),
        NpyValues::I64(values) => values.iter().for_each(|value| bytes.extend(value.to_le_bytes())),
        NpyValues::F32(values) => values.iter().for_each(|value| bytes.extend(value.to_le_bytes())),
        NpyValues::F64(values) => values.iter().for_each(|value| bytes.extend(value.to_le_bytes())),
    }
    Ok(bytes)
}

/// The header of an array of `count` elements, up to the first element.
pub(crate) fn header(description: &str, shape: &[usize], count: usize) -> Result<Vec<u8>> {
    let product = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    if product != Some(count) || shape.len() > MOST_DIMENSIONS {
        let expected = format!("sizes whose product is {count}");
        return Err(Error::Argument {
            what: "shape of an array",
            expected,
            found: format!("{shape:?}"),
        });
    }
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let sizes = if shape.len() == 1 { sizes.trim_end() } else { sizes.trim_end_matches(", ") };
    let mut text =
        format!("{{'descr': '{description}', 'fortran_order': False, 'shape': ({sizes}), }}");
    let prefix = MAGIC.len() + 2 + 2;
    let padded = (prefix + text.len() + 1).next_multiple_of(ALIGNMENT) - prefix - 1;
    text.extend(std::iter::repeat_n(' ', padded - text.len()));
    text.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    // At most 32 sizes of 22 characters: far below the 65,535 that version 1 allows.
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    Ok(bytes)
}

#[cfg(test)]
#[path = "npy/tests.rs"]
mod tests;
