//! The engine that runs anywhere: `matrixmultiply`, its output split over the threads of the pool.

use super::element::Element;
use super::split::{Shared, piece, run_tasks};
use super::{Epilogue, MatmulShape};

/// Multiply-adds below which a second thread doesn't pay for being woken.
const MIN_MULTIPLY_ADDS_PER_TASK: usize = 1 << 20;
/// Rows or columns of a task are no fewer, so that its share of the packing stays small.
const MIN_SIDE_PER_TASK: usize = 32;

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
        Epilogue::Store => T::ZERO,
        Epilogue::AddBias(bias) => {
            out.chunks_exact_mut(columns).for_each(|row| row.copy_from_slice(bias));
            T::ONE
        }
        Epilogue::Accumulate => T::ONE,
    };
    // A task packs all of the operand that isn't split, so the larger side of the output is split.
    let by_rows = rows >= columns;
    let side = if by_rows { rows } else { columns };
    let tasks = (rows * columns * inner / MIN_MULTIPLY_ADDS_PER_TASK)
        .min(side / MIN_SIDE_PER_TASK)
        .min(rayon::current_num_threads())
        .max(1);
    let out = Shared::new(out.as_mut_ptr());
    run_tasks(tasks, &|index| {
        let (start, size) = piece(side, tasks, index);
        let (first_row, task_rows) = if by_rows { (start, size) } else { (0, rows) };
        let (first_column, task_columns) = if by_rows { (0, columns) } else { (start, size) };
        // SAFETY: the slices have the lengths of `shape`, a task's rows and columns lie within it, and tasks
        // write to disjoint rows or columns of `out`.
        unsafe {
            T::portable_gemm(
                [task_rows, task_columns, inner],
                (left.as_ptr().add(first_row * left_strides.0), left_strides.0 as isize, left_strides.1 as isize),
                (
                    right.as_ptr().add(first_column * right_strides.1),
                    right_strides.0 as isize,
                    right_strides.1 as isize,
                ),
                beta,
                (out.get().add(first_row * columns + first_column), columns as isize, 1),
            );
        }
    });
}
