//! What the float types have to offer; private, so that nobody else can be a [`super::MatmulElement`].

use super::{Engine, Epilogue, MatmulShape, portable};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, blocked};

/// What the module needs to know of a float type; outside it, nobody can implement it.
pub trait Element: Copy + Send + Sync + 'static {
    /// The empty sum.
    const ZERO: Self;
    /// One: it scales the product, and what it is added to.
    const ONE: Self;

    /// out = alpha·left·right + beta·out by `matrixmultiply`; strides are (row, column) in elements.
    ///
    /// # Safety
    /// Every index that the sizes and strides reach must lie in its matrix, and `out` must not be read or
    /// written by anyone else meanwhile.
    #[allow(missing_docs)]
    unsafe fn portable_gemm(
        size: [usize; 3],
        left: (*const Self, isize, isize),
        right: (*const Self, isize, isize),
        beta: Self,
        out: (*mut Self, isize, isize),
    );

    /// The product for sizes that are all positive.
    fn multiply(
        engine: Engine,
        shape: MatmulShape,
        left: &[Self],
        right: &[Self],
        epilogue: Epilogue<'_, Self>,
        out: &mut [Self],
    );
}

macro_rules! portable_gemm {
    ($gemm:path) => {
        unsafe fn portable_gemm(
            [m, n, k]: [usize; 3],
            (left, left_row, left_column): (*const Self, isize, isize),
            (right, right_row, right_column): (*const Self, isize, isize),
            beta: Self,
            (out, out_row, out_column): (*mut Self, isize, isize),
        ) {
            // SAFETY: the caller promises what `matrixmultiply` asks for.
            unsafe {
                $gemm(
                    m,
                    k,
                    n,
                    1.0,
                    left,
                    left_row,
                    left_column,
                    right,
                    right_row,
                    right_column,
                    beta,
                    out,
                    out_row,
                    out_column,
                );
            }
        }
    };
}

impl Element for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    portable_gemm!(matrixmultiply::sgemm);

    fn multiply(
        engine: Engine,
        shape: MatmulShape,
        left: &[f32],
        right: &[f32],
        epilogue: Epilogue<'_, f32>,
        out: &mut [f32],
    ) {
        match engine {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has the engine's instructions, as `matmul_with` has made sure.
            Engine::Avx512 => unsafe {
                blocked::multiply::<avx512::Avx512>(shape, left, right, epilogue, out);
            },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Engine::Avx2 => unsafe {
                blocked::multiply::<avx2::Avx2>(shape, left, right, epilogue, out);
            },
            _ => portable::multiply(shape, left, right, epilogue, out),
        }
    }
}

impl Element for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    portable_gemm!(matrixmultiply::dgemm);

    fn multiply(
        _engine: Engine,
        shape: MatmulShape,
        left: &[f64],
        right: &[f64],
        epilogue: Epilogue<'_, f64>,
        out: &mut [f64],
    ) {
        portable::multiply(shape, left, right, epilogue, out);
    }
}
