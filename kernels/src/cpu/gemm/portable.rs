//! The engine that runs anywhere: `matrixmultiply`, its output split over the threads of the pool.

use super::super::parallel::ColumnsMut;
use super::element::Element;
use super::split::{Part, Shared};
use super::{Epilogue, Finished, MatmulShape};

/// Multiply-adds below which a second thread doesn't pay for being woken.
const MIN_MULTIPLY_ADDS_PER_TASK: usize = 1 << 20;
/// Parts are cut at multiples of these rows and columns, so that none is so narrow that packing
/// outweighs it.
const TILE: [usize; 2] = [32, 32];

pub(super) fn multiply<T: Element>(
    shape: MatmulShape,
    left: &[T],
    right: &[T],
    epilogue: Epilogue<'_, T>,
    out: &mut [T],
) {
    let MatmulShape { rows, columns, inner, left_transposed, right_transposed } = shape;
    let left_strides = if left_transposed { (1, rows) } else { (inner, 1) };
    let right_strides = if right_transposed { (1, inner) } else { (columns, 1) };
    // `matrixmultiply` adds to what is there, so a bias is laid down first.
    let beta = match epilogue {
        Epilogue::Store | Epilogue::Then(_) => T::ZERO,
        Epilogue::AddBias(bias) => {
            out.chunks_exact_mut(columns).for_each(|row| row.copy_from_slice(bias));
            T::ONE
        }
        Epilogue::Accumulate => T::ONE,
    };
    let tasks =
        (shape.multiply_adds() / MIN_MULTIPLY_ADDS_PER_TASK).clamp(1, rayon::current_num_threads());
    let out = Shared::new(out.as_mut_ptr());
    Part::whole(shape).divide(tasks, TILE, &|part| {
        let (first_row, first_column) = (part.rows.start, part.columns.start);
        // SAFETY: the slices have the lengths of `shape`, a part lies within it, and parts are
        // disjoint.
        unsafe {
            T::portable_gemm(
                [part.rows.len(), part.columns.len(), inner],
                (
                    left.as_ptr().add(first_row * left_strides.0),
                    left_strides.0 as isize,
                    left_strides.1 as isize,
                ),
                (
                    right.as_ptr().add(first_column * right_strides.1),
                    right_strides.0 as isize,
                    right_strides.1 as isize,
                ),
                beta,
                (out.get().add(first_row * columns + first_column), columns as isize, 1),
            );
        }
        if let Epilogue::Then(finish) = epilogue {
            let first = out.get().wrapping_add(first_row * columns + first_column);
            // SAFETY: the part lies in `out`, and nobody else touches it.
            let elements = unsafe {
                ColumnsMut::from_raw(first, part.rows.len(), columns, part.columns.len())
            };
            finish(Finished { first_column, elements });
        }
    });
}
