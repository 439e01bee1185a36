//! What the float types have to offer; private, so that nobody else can be a
//! [`super::MatmulElement`].

use super::correlation::Correlation;
use super::{Engine, Epilogue, MatmulShape, patches, portable};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, avx512_bf16, blocked, correlate, correlate_weight};

/// What the module needs to know of a float type; outside it, nobody can implement it.
pub trait Element:
    Copy
    + Send
    + Sync
    + bytemuck::Pod
    + PartialEq
    + std::ops::Add<Output = Self>
    + std::ops::Mul<Output = Self>
    + 'static
{
    /// The empty sum.
    const ZERO: Self;
    /// One: it scales the product, and what it is added to.
    const ONE: Self;

    /// out = alpha·left·right + beta·out by `matrixmultiply`; strides are (row, column) in
    /// elements.
    ///
    /// # Safety
    /// Every index that the sizes and strides reach must lie in its matrix, and `out` must not be
    /// read or written by anyone else meanwhile.
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

    /// The product of patches with a weight, for results that are not empty.
    #[allow(private_interfaces, reason = "nobody outside can implement or call it")]
    fn correlate(
        engine: Engine,
        shape: &Correlation,
        source: &[Self],
        weight: &[Self],
        bias: Option<&[Self]>,
        out: &mut [Self],
    );

    /// The product of the patches, transposed, with the adjoint of the results, for arrays that are
    /// not empty.
    #[allow(private_interfaces, reason = "nobody outside can implement or call it")]
    fn correlate_weight(
        engine: Engine,
        shape: &Correlation,
        source: &[Self],
        grad_out: &[Self],
        grad_weight: &mut [Self],
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
            // SAFETY: the CPU has the engine's instructions, as `matmul_with` has made sure.
            Engine::Avx512 => unsafe {
                blocked::multiply::<avx512::Avx512>(shape, left, right, epilogue, out);
            },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Engine::Avx512Bf16 => unsafe {
                blocked::multiply::<avx512_bf16::Avx512Bf16>(shape, left, right, epilogue, out);
            },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Engine::Avx2 => unsafe {
                blocked::multiply::<avx2::Avx2>(shape, left, right, epilogue, out);
            },
            _ => portable::multiply(shape, left, right, epilogue, out),
        }
    }

    #[allow(private_interfaces, reason = "as declared")]
    fn correlate(
        engine: Engine,
        shape: &Correlation,
        source: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        out: &mut [f32],
    ) {
        match engine {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the CPU has the engine's instructions, as the door has made sure, and the
            // slices their lengths.
            Engine::Avx512 => unsafe {
                correlate::correlate::<avx512::Avx512>(shape, source, weight, bias, out)
            },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Engine::Avx2 => unsafe {
                correlate::correlate::<avx2::Avx2>(shape, source, weight, bias, out)
            },
            _ => patches::correlate(shape, source, weight, bias, out),
        }
    }

    #[allow(private_interfaces, reason = "as declared")]
    fn correlate_weight(
        engine: Engine,
        shape: &Correlation,
        source: &[f32],
        grad_out: &[f32],
        grad_weight: &mut [f32],
    ) {
        match engine {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Engine::Avx512 => unsafe {
                correlate_weight::correlate_weight::<avx512::Avx512>(
                    shape,
                    source,
                    grad_out,
                    grad_weight,
                );
            },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Engine::Avx2 => unsafe {
                correlate_weight::correlate_weight::<avx2::Avx2>(
                    shape,
                    source,
                    grad_out,
                    grad_weight,
                );
            },
            _ => patches::correlate_weight(shape, source, grad_out, grad_weight),
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

    #[allow(private_interfaces, reason = "as declared")]
    fn correlate(
        _engine: Engine,
        shape: &Correlation,
        source: &[f64],
        weight: &[f64],
        bias: Option<&[f64]>,
        out: &mut [f64],
    ) {
        patches::correlate(shape, source, weight, bias, out);
    }

    #[allow(private_interfaces, reason = "as declared")]
    fn correlate_weight(
        _engine: Engine,
        shape: &Correlation,
        source: &[f64],
        grad_out: &[f64],
        grad_weight: &mut [f64],
    ) {
        patches::correlate_weight(shape, source, grad_out, grad_weight);
    }
}
