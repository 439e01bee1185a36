//! Arrays written and read back, the types of NumPy, and headers that lie.

use super::*;
use crate::source::testing::{file, gzip};
use proptest::prelude::*;

fn decode(bytes: &[u8]) -> Result<NpyArray> {
    parse(&mut Source::over(Path::new("f"), "npy", bytes.len() as u64, bytes)?)
}

/// A file as NumPy writes it, with this header text.
fn numpy(header: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(content);
    bytes
}

fn message(bytes: &[u8]) -> String {
    decode(bytes).unwrap_err().to_string()
}

#[test]
fn the_header_is_the_one_numpy_writes() {
    let array = NpyArray { shape: vec![3], values: NpyValues::F32(vec![1.0, 2.0, 3.0]) };
    let bytes = encode(&array).unwrap();
    let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }";
    assert_eq!(&bytes[10..10 + text.len()], text.as_bytes());
    assert_eq!((bytes.len() - 12) % ALIGNMENT, 0);
    assert_eq!(bytes[bytes.len() - 13], b'\n');
}

#[test]
fn every_type_is_read() {
    let read = |description: &str, content: &[u8], count: usize| {
        let header = format!(
            "{{'descr': '{description}', 'fortran_order': False, 'shape': ({count},), }}\n"
        );
        decode(&numpy(&header, content)).unwrap().values
    };
    assert_eq!(read("|b1", &[0, 1], 2), NpyValues::U8(vec![0, 1]));
    assert_eq!(read("|i1", &[255, 127], 2), NpyValues::I8(vec![-1, 127]));
    assert_eq!(read("<i2", &[0xfe, 0xff], 1), NpyValues::I16(vec![-2]));
    assert_eq!(read(">i2", &[0xff, 0xfe], 1), NpyValues::I16(vec![-2]));
    assert_eq!(read("<u2", &[0xfe, 0xff], 1), NpyValues::U16(vec![0xfffe]));
    assert_eq!(read(">u4", &[1, 0, 0, 2], 1), NpyValues::U32(vec![0x0100_0002]));
    assert_eq!(read("<i8", &(-5i64).to_le_bytes(), 1), NpyValues::I64(vec![-5]));
    assert_eq!(read(">f4", &1.5f32.to_be_bytes(), 1), NpyValues::F32(vec![1.5]));
    assert_eq!(read("<f8", &(-2.5f64).to_le_bytes(), 1), NpyValues::F64(vec![-2.5]));
    assert_eq!(read("|u1", &[], 0), NpyValues::U8(vec![]));
}

#[test]
fn half_precision_is_read_exactly() {
    // Zero, the smallest subnormal number, the smallest normal one, 1, 1/3 rounded, the largest,
    // and what is no number.
    let bits = [0u16, 1, 0x0400, 0x3c00, 0x3555, 0x7bff, 0xfc00];
    let tiny = 2f32.powi(-24);
    let expected =
        [0.0, tiny, 1024.0 * tiny, 1.0, 1365.0 * 2f32.powi(-12), 65_504.0, f32::NEG_INFINITY];
    for (order, bytes) in [('<', bits.map(u16::to_le_bytes)), ('>', bits.map(u16::to_be_bytes))] {
        let header = format!("{{'descr': '{order}f2', 'fortran_order': False, 'shape': (7,), }}\n");
        assert_eq!(
            decode(&numpy(&header, &bytes.concat())).unwrap().values,
            NpyValues::F32(expected.to_vec())
        );
    }
    assert!(half(0x7e00).is_nan());
}

#[test]
fn elements_in_the_order_of_fortran_are_put_in_that_of_c() {
    let header =
        |shape: &str| format!("{{'descr': '|u1', 'fortran_order': True, 'shape': {shape}, }}\n");
    // Element (i, j, k) of an array of 2 x 3 x 2 is 100 i + 10 j + k; the first index runs fastest
    // in the file.
    let content: Vec<u8> = (0..2)
        .flat_map(|k| (0..3).flat_map(move |j| (0..2).map(move |i| 100 * i + 10 * j + k)))
        .collect();
    let array = decode(&numpy(&header("(2, 3, 2)"), &content)).unwrap();
    assert_eq!(array.shape, [2, 3, 2]);
    assert_eq!(
        array.values,
        NpyValues::U8(vec![0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121])
    );
    assert_eq!(
        decode(&numpy(&header("(3,)"), &[7, 8, 9])).unwrap().values,
        NpyValues::U8(vec![7, 8, 9])
    );
    assert!(decode(&numpy(&header("(2, 0)"), &[])).unwrap().values.is_empty());
}

#[test]
fn lies_are_named() {
    let header = |description: &str, order: &str, shape: &str| {
        format!("{{'descr': '{description}', 'fortran_order': {order}, 'shape': {shape}, }}\n")
    };
    let say = |text: &str, bytes: usize| message(&numpy(text, &vec![0; bytes]));
    assert!(say(&header("<f4", "False", "(2, 3)"), 20).contains("found 24 bytes"));
    assert!(say(&header("<f4", "False", "(2, 3)"), 28).contains("to the end of the file"));
    assert!(say(&header("<c8", "False", "(2, 3)"), 24).contains("found '<c8'"));
    assert!(say(&header("<f4", "Maybe", "(2, 3)"), 24).contains("expected a dictionary"));
    assert!(say(&header("<f4", "False", "(-1, 3)"), 24).contains("expected a dictionary"));
    let huge = "(4294967296, 4294967296, 4)";
    assert!(say(&header("<f4", "False", huge), 24).contains("a product below 2⁶⁴"));
    let large = numpy(&header("<u8", "False", "(1,)"), &u64::MAX.to_le_bytes());
    assert!(message(&large).contains("below 2⁶³"));
    assert!(message(b"\x93NUMPZ\x01\x00\x00\x00").contains("magic string"));
    assert!(message(b"\x93NUMPY\x04\x00\x00\x00").contains("version: expected 1, 2 or 3, found 4"));
    assert!(message(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").contains("header length"));
}

#[test]
fn shapes_that_do_not_fit_are_not_written() {
    let array = NpyArray { shape: vec![2, 2], values: NpyValues::U8(vec![0; 5]) };
    assert!(encode(&array).unwrap_err().to_string().contains("product is 5, found [2, 2]"));
}

fn any_values() -> impl Strategy<Value = NpyValues> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40).prop_map(NpyValues::U8),
        prop::collection::vec(any::<i8>(), 0..40).prop_map(NpyValues::I8),
        prop::collection::vec(any::<u16>(), 0..40).prop_map(NpyValues::U16),
        prop::collection::vec(any::<i16>(), 0..40).prop_map(NpyValues::I16),
        prop::collection::vec(any::<u32>(), 0..40).prop_map(NpyValues::U32),
        prop::collection::vec(any::<i32>(), 0..40).prop_map(NpyValues::I32),
        prop::collection::vec(any::<i64>(), 0..40).prop_map(NpyValues::I64),
        prop::collection::vec(-1e9f32..1e9, 0..40).prop_map(NpyValues::F32),
        prop::collection::vec(-1e99f64..1e99, 0..40).prop_map(NpyValues::F64),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(values in any_values(), packed: bool) {
        let array = NpyArray { shape: vec![1, values.len()], values };
        let bytes = encode(&array).unwrap();
        let (_folder, path) = file("a.npy", &if packed { gzip(&bytes) } else { bytes });
        prop_assert_eq!(read(&path).unwrap(), array);
    }

    #[test]
    fn changed_and_cut_files_never_panic(at in 0usize..200, value: u8, cut in 0usize..200) {
        let array = NpyArray { shape: vec![3, 3], values: NpyValues::F32(vec![1.0; 9]) };
        let mut bytes = encode(&array).unwrap();
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = decode(&bytes);
        bytes.truncate(cut);
        let _ = decode(&bytes);
    }

    #[test]
    fn random_headers_never_panic(text in "\\PC{0,80}", keys in "[{}'a-z:(), <>0-9]{0,80}") {
        let _ = decode(&numpy(&text, &[0; 9]));
        let _ = decode(&numpy(&format!("{{'descr': '{keys}', 'fortran_order': False, 'shape': \
        ({keys}"), &[0; 9]));
    }
}
