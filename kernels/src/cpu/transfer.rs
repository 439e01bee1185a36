//! Copies between host and buffers, fills, and conversions between dtypes.

use super::parallel::{LIGHT, for_each_block};
use super::typed::{Extent, check, for_any, on_host, operands};
use crate::{Result, View, ViewMut};

/// out[i] = x[i] for equal dtypes.
pub(super) fn copy(operation: &'static str, x: View<'_>, out: ViewMut<'_>) -> Result<()> {
    check(operation, Extent::Like("out", out.len()), operands!(x))?;
    for_any!(operation, x, out => copy_slice(x, out));
    Ok(())
}

fn copy_slice<T: Copy + Send + Sync>(x: &[T], out: &mut [T]) {
    for_each_block(out.len(), LIGHT, (x, out), |_, (x, out)| out.copy_from_slice(x));
}

/// `fill`, as declared.
pub(super) fn fill(value: f64, out: ViewMut<'_>) -> Result<()> {
    on_host("fill", operands!(out))?;
    match out {
        ViewMut::F32(out) => fill_slice(value as f32, out),
        ViewMut::F64(out) => fill_slice(value, out),
        ViewMut::U8(out) => fill_slice(value as u8, out),
        ViewMut::U32(out) => fill_slice(value as u32, out),
        ViewMut::Device(_) => {}
    }
    Ok(())
}

fn fill_slice<T: Copy + Send + Sync>(value: T, out: &mut [T]) {
    for_each_block(out.len(), LIGHT, out, |_, out| out.fill(value));
}

/// A number on its way between two dtypes. All four types fit into f64, and `as` saturates.
trait Number: Copy + Send + Sync {
    fn widen(self) -> f64;
    fn narrow(value: f64) -> Self;
}

macro_rules! number {
    ($($type:ty),+) => {
        $(impl Number for $type {
            #[inline(always)]
            fn widen(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn narrow(value: f64) -> Self {
                value as Self
            }
        })+
    };
}

number!(f32, f64, u8, u32);

/// `convert`, as declared.
pub(super) fn convert(x: View<'_>, out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "convert";
    if x.dtype() == out.dtype() {
        return copy(NAME, x, out);
    }
    check(NAME, Extent::Like("out", out.len()), operands!(x))?;
    on_host(NAME, operands!(x, out))?;
    match x {
        View::F32(x) => convert_from(x, out),
        View::F64(x) => convert_from(x, out),
        View::U8(x) => convert_from(x, out),
        View::U32(x) => convert_from(x, out),
        View::Device(_) => {}
    }
    Ok(())
}

fn convert_from<A: Number>(x: &[A], out: ViewMut<'_>) {
    match out {
        ViewMut::F32(out) => convert_slice(x, out),
        ViewMut::F64(out) => convert_slice(x, out),
        ViewMut::U8(out) => convert_slice(x, out),
        ViewMut::U32(out) => convert_slice(x, out),
        ViewMut::Device(_) => {}
    }
}

fn convert_slice<A: Number, B: Number>(x: &[A], out: &mut [B]) {
    for_each_block(out.len(), LIGHT, (x, out), |_, (x, out)| {
        for (out, x) in out.iter_mut().zip(x) {
            *out = B::narrow(x.widen());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversion_to_an_integer_truncates_and_saturates() {
        let mut bytes = [9u8; 6];
        convert(View::F64(&[1.9, -3.0, 300.0, f64::NAN, 255.0, 0.5]), ViewMut::U8(&mut bytes))
            .unwrap();
        assert_eq!(bytes, [1, 0, 255, 0, 255, 0]);
        let mut small = [0u8; 2];
        convert(View::U32(&[256, 7]), ViewMut::U8(&mut small)).unwrap();
        assert_eq!(small, [255, 7]);
        let mut floats = [0f32; 2];
        convert(View::U32(&[u32::MAX, 3]), ViewMut::F32(&mut floats)).unwrap();
        assert_eq!(floats, [4_294_967_296.0, 3.0]);
    }

    #[test]
    fn conversion_refuses_unequal_lengths() {
        let error = convert(View::U8(&[1, 2, 3]), ViewMut::F32(&mut [0.0; 2])).unwrap_err();
        assert_eq!(error.to_string(), "convert: x has 3 elements, out has 2");
    }

    #[test]
    fn a_copy_refuses_unequal_dtypes() {
        let error = copy("upload", View::U8(&[1]), ViewMut::F32(&mut [0.0])).unwrap_err();
        assert_eq!(error.to_string(), "upload: the dtypes must be equal: x u8, out f32");
    }

    #[test]
    fn fill_rounds_to_the_dtype() {
        let mut out = vec![0f32; 100_003];
        fill(0.1, ViewMut::F32(&mut out)).unwrap();
        assert!(out.iter().all(|&x| x == 0.1f32));
        let mut out = [7u32; 2];
        fill(-1.0, ViewMut::U32(&mut out)).unwrap();
        assert_eq!(out, [0, 0]);
    }
}
