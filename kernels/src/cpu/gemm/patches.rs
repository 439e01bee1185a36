//! Products with patches for CPUs without an engine of their own, and in f64: blocks of patches are
//! written out and multiplied.

use super::super::parallel::{for_each_block_of, rows};
use super::super::scratch::Scratch;
use super::correlation::Correlation;
use super::element::Element;
use super::split::{Part, Shared};

/// Numbers of a block of patches: half a MiB of f64.
const PATCHES_LEN: usize = 64 << 10;
/// Multiply-adds below which a second thread doesn't pay for being woken.
const MIN_MULTIPLY_ADDS_PER_TASK: usize = 1 << 20;

/// out = patches · weight (+ bias).
///
/// The weight is first brought into the order of a patch, which is a copy of it; then each task
/// works with a block of patches and of results.
pub(super) fn correlate<T: Element>(
    shape: &Correlation,
    source: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    out: &mut [T],
) {
    let product = shape.product();
    let mut scratch = Scratch::take::<T>(product.right_len());
    let matrix = scratch.as_mut_slice::<T>(product.right_len());
    order_weight(shape, weight, matrix);
    let (matrix, out) = (&*matrix, Shared::new(out.as_mut_ptr()));
    let tasks = (product.multiply_adds() / MIN_MULTIPLY_ADDS_PER_TASK)
        .clamp(1, rayon::current_num_threads());
    let whole = Part { rows: 0..shape.batch * shape.rows.count, columns: 0..1 };
    whole.divide(tasks, [1, 1], &|part| {
        let width = shape.columns.count;
        let row_len = width * (product.inner + product.columns);
        let most = (PATCHES_LEN / row_len.max(1)).clamp(1, part.rows.len());
        let mut scratch = Scratch::take::<T>(most * row_len);
        let (patches, results) =
            scratch.as_mut_slice::<T>(most * row_len).split_at_mut(most * width * product.inner);
        for start in part.rows.clone().step_by(most) {
            let rows = start..part.rows.end.min(start + most);
            let positions = rows.len() * width;
            for (row, patches) in
                rows.clone().zip(patches.chunks_mut((width * product.inner).max(1)))
            {
                write_patches(shape, row, 0..shape.rows.taps, source, patches);
            }
            let results = &mut results[..positions * product.columns];
            multiply(
                [positions, product.columns, product.inner],
                patches,
                false,
                matrix,
                T::ZERO,
                results,
            );
            for (row, results) in rows.zip(results.chunks_exact(width * product.columns)) {
                for (column, result) in results.chunks_exact(product.columns).enumerate() {
                    let place =
                        shape.place_of(row / shape.rows.count, row % shape.rows.count, column);
                    // SAFETY: positions are disjoint, and this task alone has these.
                    let out = unsafe {
                        std::slice::from_raw_parts_mut(out.get().add(place), product.columns)
                    };
                    match bias {
                        Some(bias) => (0..out.len()).for_each(|o| out[o] = result[o] + bias[o]),
                        None => out.copy_from_slice(result),
                    }
                }
            }
        }
    });
}

/// grad_weight = patchesᵀ · grad_out: tasks share out the rows of the kernel.
pub(super) fn correlate_weight<T: Element>(
    shape: &Correlation,
    source: &[T],
    grad_out: &[T],
    grad_weight: &mut [T],
) {
    let (taps, terms, width) = (shape.rows.taps, shape.row_terms(), shape.columns.count);
    let row_len = grad_weight.len() / taps;
    let count = shape.batch * shape.rows.count;
    let work = shape.product().multiply_adds() / taps;
    for_each_block_of(1, taps, work, rows(grad_weight, row_len), |range, part| {
        let most = (PATCHES_LEN / (width * terms).max(1)).clamp(1, count);
        let mut scratch = Scratch::take::<T>(most * width * terms);
        let patches = scratch.as_mut_slice::<T>(most * width * terms);
        part.slice.fill(T::ZERO);
        for (tap, weight) in range.zip(part.slice.chunks_exact_mut(row_len.max(1))) {
            for start in (0..count).step_by(most) {
                let rows = start..count.min(start + most);
                for (row, patches) in rows.clone().zip(patches.chunks_mut((width * terms).max(1))) {
                    write_patches(shape, row, tap..tap + 1, source, patches);
                }
                let grads = &grad_out[start * width * shape.results..];
                multiply(
                    [terms, shape.results, rows.len() * width],
                    patches,
                    true,
                    grads,
                    T::ONE,
                    weight,
                );
            }
        }
    });
}

/// The weight with a row for each term of a patch.
fn order_weight<T: Element>(shape: &Correlation, weight: &[T], matrix: &mut [T]) {
    let taps = (0..shape.rows.taps)
        .flat_map(|row| (0..shape.columns.taps).map(move |column| (row, column)));
    let of_tap = (shape.channels * shape.results).max(1);
    for ((row, column), matrix) in taps.zip(matrix.chunks_exact_mut(of_tap)) {
        let from = &weight[shape.weight_of(row, column)..];
        for (i, out) in matrix.iter_mut().enumerate() {
            *out = from[i / shape.results * shape.along + i % shape.results * shape.across];
        }
    }
}

/// The patches of a row of positions, `row` counted over all images, for some rows of the kernel.
fn write_patches<T: Element>(
    shape: &Correlation,
    row: usize,
    taps: std::ops::Range<usize>,
    source: &[T],
    patches: &mut [T],
) {
    let (image, row) = (row / shape.rows.count, row % shape.rows.count);
    let (columns, channels) = (&shape.columns, shape.channels);
    let patch_len = taps.len() * shape.row_terms();
    for (position, patch) in patches.chunks_exact_mut(patch_len.max(1)).enumerate() {
        for (tap, terms) in taps.clone().zip(patch.chunks_exact_mut(shape.row_terms())) {
            terms.fill(T::ZERO);
            if !shape.rows.existing_taps(row).contains(&tap) {
                continue;
            }
            let existing = columns.existing_taps(position);
            if existing.is_empty() {
                continue;
            }
            let source_row = shape.rows.source_of(row, tap) as usize;
            let source_column = columns.source_of(position, existing.start) as usize;
            let from = shape.source_of(image, source_row, source_column);
            let terms = &mut terms[existing.start * channels..existing.end * channels];
            terms.copy_from_slice(&source[from..from + terms.len()]);
        }
    }
}

/// out = op(left) · right + beta · out on this thread, for [rows, columns, inner]; sizes of 0 are
/// allowed.
fn multiply<T: Element>(
    [rows, columns, inner]: [usize; 3],
    left: &[T],
    left_transposed: bool,
    right: &[T],
    beta: T,
    out: &mut [T],
) {
    assert!(
        left.len() >= rows * inner && right.len() >= inner * columns && out.len() >= rows * columns,
        "bug: a short slice"
    );
    let (left_row, left_inner) = if left_transposed { (1, rows) } else { (inner, 1) };
    // SAFETY: the slices are long enough for the sizes, as was just asserted, and `out` is borrowed
    // for writing.
    unsafe {
        T::portable_gemm(
            [rows, columns, inner],
            (left.as_ptr(), left_row as isize, left_inner as isize),
            (right.as_ptr(), columns as isize, 1),
            beta,
            (out.as_mut_ptr(), columns as isize, 1),
        );
    }
}
