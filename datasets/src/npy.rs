//! NumPy's `.npy`: one array with its type and sizes in a header of Python text.
//!
//! | byte | what |
//! |------|------|
//! | 0 | `\x93NUMPY` |
//! | 6, 7 | version: 1.0, 2.0 or 3.0 |
//! | 8 | length of the header: 16-bit (version 1) or 32-bit little-endian |
//! | then | `{'descr': '<f4', 'fortran_order': False, 'shape': (10, 28, 28), }`, spaces, a newline |
//! | then | the elements, last dimension fastest, or the first in Fortran's order |

use std::io::Write;
use std::path::Path;

use crate::memory::reserved;
use crate::source::{Source, product};
use crate::{Error, Result};

pub(crate) const MAGIC: &[u8; 6] = b"\x93NUMPY";
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

/// Declares the element types: of each a variant, its Rust type and its name in NumPy.
macro_rules! elements {
    ($($(#[$meta:meta])* $variant:ident($number:ty) = $name:literal,)*) => {
        /// The elements of an array, in their own width: of every type that is read there is one
        /// that holds it exactly and, but for `f2`, takes no more memory.
        #[derive(Clone, Debug, PartialEq)]
        pub enum NpyValues {
            $($(#[$meta])* $variant(Vec<$number>),)*
        }

        impl NpyValues {
            /// How many elements there are.
            #[must_use]
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(values) => values.len(),)* }
            }

            /// Hands every element to `visit`, in order; integers above 2⁵³ are rounded.
            pub fn each(&self, mut visit: impl FnMut(f64)) {
                match self {
                    $(Self::$variant(values) => {
                        values.iter().for_each(|&value| visit(value as f64))
                    })*
                }
            }

            /// These elements, of an array of this shape in Fortran's order, in the order of C.
            fn in_c_order(self, shape: &[usize]) -> Result<Self> {
                Ok(match self {
                    $(Self::$variant(values) => Self::$variant(c_order(&values, shape)?),)*
                })
            }

            /// The NumPy type these elements are written as.
            pub(crate) fn description(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// Hands the little-endian bytes of every element to `visit`, in order.
            pub(crate) fn each_bytes(&self, mut visit: impl FnMut(&[u8])) {
                match self {
                    $(Self::$variant(values) => {
                        values.iter().for_each(|value| visit(&value.to_le_bytes()));
                    })*
                }
            }
        }
    };
}

elements! {
    /// From `u1` and `b1`.
    U8(u8) = "|u1",
    /// From `i1`.
    I8(i8) = "|i1",
    /// From `u2`.
    U16(u16) = "<u2",
    /// From `i2`.
    I16(i16) = "<i2",
    /// From `u4`.
    U32(u32) = "<u4",
    /// From `i4`.
    I32(i32) = "<i4",
    /// From `i8`, and from `u8` below 2⁶³.
    I64(i64) = "<i8",
    /// From `f2` and `f4`.
    F32(f32) = "<f4",
    /// From `f8`.
    F64(f64) = "<f8",
}

impl NpyValues {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the elements are whole numbers by their type.
    pub(crate) const fn are_integers(&self) -> bool {
        !matches!(self, Self::F32(_) | Self::F64(_))
    }

    /// The elements as `f32`, wider ones rounded.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub(crate) fn into_f32(self) -> Result<Vec<f32>> {
        if let Self::F32(reals) = self {
            return Ok(reals);
        }
        let mut reals = reserved(self.len(), "pixels")?;
        self.each(|value| reals.push(value as f32));
        Ok(reals)
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

/// Writes an array as a `.npy` file of version 1.0, little-endian; whole, or not at all.
///
/// # Errors
/// [`Error::Io`]; [`Error::Argument`] if the sizes are not those of the elements.
pub fn write(path: &Path, array: &NpyArray) -> Result<()> {
    let bytes = encode(array)?;
    let mut file = temporary_beside(path)?;
    file.write_all(&bytes)
        .and_then(|()| file.as_file().sync_all())
        .map_err(Error::io("write", path))?;
    file.persist(path).map_err(|error| Error::io("rename to", path)(error.error))?;
    Ok(())
}

/// A file with a name of its own beside `path`, which goes when it is dropped before it takes that
/// name. Who may read it is left to the system's defaults (on Unix, the umask).
pub(crate) fn temporary_beside(path: &Path) -> Result<tempfile::NamedTempFile> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    let builder = builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.prefix(".rung-").tempfile_in(folder).map_err(Error::io("create", path))
}

/// Reads an array that must end the source.
pub(crate) fn parse(source: &mut Source<'_>) -> Result<NpyArray> {
    let start = source.offset();
    let header = read_header(source)?;
    let Some(element) = Element::of(&header.description) else {
        let expected = "numbers: b1, or u, i of 1, 2, 4, 8 bytes, or f of 2, 4, 8 bytes";
        return Err(source.wrong(start, "descr", expected, described(&header.description)));
    };
    let bytes = product(&header.shape, element.bytes as u64).ok_or_else(|| {
        source.wrong(start, "shape", "a product below 2⁶⁴", format!("{:?}", header.shape))
    })?;
    source.claim_rest(bytes, "elements")?;
    let values = element.read(source, bytes)?;
    source.expect_end()?;
    let shape: Vec<usize> = header.shape.into_iter().map(|size| size as usize).collect();
    let values = if header.fortran_order { values.in_c_order(&shape)? } else { values };
    Ok(NpyArray { shape, values })
}

/// Elements of an array of this shape, first dimension fastest, with the last dimension fastest
/// instead.
fn c_order<T: Copy>(values: &[T], shape: &[usize]) -> Result<Vec<T>> {
    if values.is_empty() {
        return Ok(Vec::new());
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
    let mut ordered = reserved(values.len(), "elements in the order of C")?;
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
    Ok(ordered)
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

/// A type that is not read, and what to do about texts.
fn described(description: &str) -> String {
    let is_text = description.trim_start_matches(['<', '>', '|', '=']).starts_with(['U', 'S', 'O']);
    let advice = if is_text {
        " (of texts, numpy.unique(a, return_inverse=True)[1] makes numbers)"
    } else {
        ""
    };
    format!("'{description}'{advice}")
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
        macro_rules! numbers {
            ($number:ty) => {
                source.numbers(bytes, self.big_endian, "elements", |number: $number| number)?
            };
        }
        let place = source.offset();
        Ok(match (self.kind, self.bytes) {
            ('b', _) | ('u', 1) => NpyValues::U8(source.take_bytes(bytes, "elements")?),
            ('u', 2) => NpyValues::U16(numbers!(u16)),
            ('u', 4) => NpyValues::U32(numbers!(u32)),
            ('u', _) => {
                let values = numbers!(i64);
                // What is negative as a signed number is 2⁶³ or more as the unsigned one it is.
                if let Some(position) = values.iter().position(|&value| value < 0) {
                    let offset = place + 8 * position as u64;
                    let expected = "unsigned numbers below 2⁶³";
                    return Err(source.wrong(offset, "elements", expected, "a greater one"));
                }
                NpyValues::I64(values)
            }
            ('i', 1) => NpyValues::I8(numbers!(i8)),
            ('i', 2) => NpyValues::I16(numbers!(i16)),
            ('i', 4) => NpyValues::I32(numbers!(i32)),
            ('i', _) => NpyValues::I64(numbers!(i64)),
            ('f', 2) => NpyValues::F32(source.numbers(bytes, self.big_endian, "elements", half)?),
            ('f', 4) => NpyValues::F32(numbers!(f32)),
            _ => NpyValues::F64(numbers!(f64)),
        })
    }
}

/// The bytes of a `.npy` file with this array.
pub(crate) fn encode(array: &NpyArray) -> Result<Vec<u8>> {
    let mut bytes = header(array.values.description(), &array.shape, array.values.len())?;
    array.values.each_bytes(|element| bytes.extend(element));
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
