//! The loops of a product with patches around a micro-kernel; the chapter at the head of
//! [`super::correlation`] says how.
//!
//! From the outermost to the innermost: blocks of the weight, which are packed; bands of the map,
//! which are copied with their padding; blocks of the sum; panels of the weight; rows of positions;
//! tiles.

use std::marker::PhantomData;
use std::ops::Range;

use super::super::scratch::Scratch;
use super::blocked::pack_in_groups;
use super::correlation::Correlation;
use super::kernel::{MicroKernel, Strip, Tile, Write};
use super::plan::task_count;
use super::split::{Part, Shared, piece};

/// Numbers of a packed block of the weight: 1 MiB. Smaller blocks would have bands of the map
/// copied more often.
const WEIGHT_LEN: usize = 256 << 10;
/// Columns of such a block, so that even a single block of the sum fits.
const MAX_COLUMNS: usize = 1024;
/// Numbers of a copied band: 128 KiB, a quarter of the second-level cache, or what one row of
/// positions needs.
const BAND_LEN: usize = 32 << 10;

/// out = patches · weight (+ bias), for a map of results that is not empty.
///
/// # Safety
/// The CPU has the instructions of `K`, and the slices have the lengths that `shape` says.
pub(super) unsafe fn correlate<K: MicroKernel>(
    shape: &Correlation,
    source: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let job = Job::<K> {
        shape,
        source,
        weight,
        bias,
        out: Shared::new(out.as_mut_ptr()),
        kernel: PhantomData,
    };
    let tasks = task_count(shape.product(), rayon::current_num_threads());
    let whole = Part { rows: 0..shape.batch * shape.rows.count, columns: 0..shape.results };
    Scratch::reserve::<f32>(tasks.min(rayon::current_num_threads()), job.most_scratch(&whole));
    whole.divide(tasks, [1, K::COLUMNS], &|part| {
        // SAFETY: the parts are disjoint and lie in the map of results; the CPU has the
        // instructions.
        unsafe { job.compute(part) }
    });
}

/// Everything the tasks share. The rows of a part are rows of positions, counted over all images.
struct Job<'a, K> {
    shape: &'a Correlation,
    source: &'a [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    out: Shared<f32>,
    kernel: PhantomData<fn(K)>,
}

/// Terms of the sums: of some rows of the kernel, the same part of each.
#[derive(Clone, Copy, Debug)]
struct Block {
    first_tap: usize,
    taps: usize,
    first: usize,
    len: usize,
}

/// How the terms are cut into blocks of at most `max` terms, or of a part of a kernel row: by the
/// shape alone.
#[derive(Clone, Copy, Debug)]
struct Blocks {
    rows: usize,
    row_terms: usize,
    /// Blocks that a kernel row is cut into; if 1, a block has several rows or one.
    parts_of_row: usize,
    row_blocks: usize,
}

impl Blocks {
    fn new(shape: &Correlation, max: usize) -> Self {
        let (rows, row_terms) = (shape.rows.taps, shape.row_terms());
        let row_blocks = rows.div_ceil((max / row_terms.max(1)).max(1));
        Self { rows, row_terms, parts_of_row: row_terms.div_ceil(max), row_blocks }
    }

    fn count(&self) -> usize {
        self.row_blocks * self.parts_of_row
    }

    fn get(&self, index: usize) -> Block {
        let (first_tap, taps) = piece(self.rows, self.row_blocks, index / self.parts_of_row);
        let (first, len) = piece(self.row_terms, self.parts_of_row, index % self.parts_of_row);
        Block { first_tap, taps, first, len }
    }

    /// The terms of the largest block.
    fn largest(&self) -> usize {
        if self.count() == 0 { 0 } else { self.get(0).taps * self.get(0).len }
    }
}

/// Positions that are computed together: rows of one image, or all rows of several.
#[derive(Clone, Debug)]
struct Band {
    images: Range<usize>,
    rows: Range<usize>,
    /// Rows of the source that are copied of each image.
    sources: Range<usize>,
}

impl<K: MicroKernel> Job<'_, K> {
    /// Computes a part on this thread alone.
    ///
    /// # Safety
    /// The CPU has the instructions; the part lies in the map of results; nobody else writes to it.
    unsafe fn compute(&self, part: Part) {
        let blocks = Blocks::new(self.shape, K::MAX_INNER);
        let column_blocks = part.columns.len().div_ceil(MAX_COLUMNS);
        let widest = part.columns.len().div_ceil(column_blocks).next_multiple_of(K::COLUMNS);
        let blocks_at_once =
            (WEIGHT_LEN / (widest * blocks.largest()).max(1)).clamp(1, blocks.count().max(1));
        let weight_len = blocks_at_once * widest * blocks.largest();
        let mut scratch = Scratch::take::<f32>(weight_len + self.band_len(&part.rows));
        let packed = scratch.as_mut_ptr::<f32>();
        let copied = packed.wrapping_add(weight_len);
        self.fill_empty_rows(&part);
        for column_block in 0..column_blocks {
            let (first, columns) = piece(part.columns.len(), column_blocks, column_block);
            let columns = part.columns.start + first..part.columns.start + first + columns;
            for start in (0..blocks.count()).step_by(blocks_at_once) {
                let some = start..blocks.count().min(start + blocks_at_once);
                let panels = columns.len().next_multiple_of(K::COLUMNS);
                let offsets: &dyn Fn(usize) -> usize =
                    &|index| (index - start) * blocks.largest() * panels;
                for index in some.clone() {
                    // SAFETY: the packed blocks lie one after the other in the scratch, none longer
                    // than the largest.
                    unsafe {
                        self.pack(blocks.get(index), &columns, packed.wrapping_add(offsets(index)))
                    };
                }
                for band in self.bands(part.rows.clone()) {
                    // SAFETY: the scratch has room for every band of the part.
                    unsafe { self.copy(&band, copied) };
                    for index in some.clone() {
                        let right = packed.wrapping_add(offsets(index));
                        // SAFETY: the block is packed and the band copied; its positions lie in the
                        // part.
                        unsafe { self.multiply(blocks.get(index), right, &columns, &band, copied) };
                    }
                }
            }
        }
    }

    /// Numbers that a part of `whole` takes at most.
    fn most_scratch(&self, whole: &Part) -> usize {
        let blocks = Blocks::new(self.shape, K::MAX_INNER);
        let block =
            whole.columns.len().min(MAX_COLUMNS).next_multiple_of(K::COLUMNS) * blocks.largest();
        WEIGHT_LEN.max(block).min(blocks.count() * block) + self.band_len(&whole.rows)
    }

    /// Results without any term: those are zero, or the bias.
    fn fill_empty_rows(&self, part: &Part) {
        let Part { rows, columns } = part;
        for row in rows.clone() {
            let (image, row) = (row / self.shape.rows.count, row % self.shape.rows.count);
            if !self.shape.row_taps(row).is_empty() {
                continue;
            }
            for column in 0..self.shape.columns.count {
                let place = self
                    .out
                    .get()
                    .wrapping_add(self.shape.place_of(image, row, column) + columns.start);
                // SAFETY: these columns of the position lie in the part.
                let out = unsafe { std::slice::from_raw_parts_mut(place, columns.len()) };
                match self.bias {
                    Some(bias) => out.copy_from_slice(&bias[columns.clone()]),
                    None => out.fill(0.0),
                }
            }
        }
    }

    /// Packs a block of the weight: panels of `K::COLUMNS` columns, one after the other.
    ///
    /// # Safety
    /// The CPU has the instructions; there is room for the block.
    unsafe fn pack(&self, block: Block, columns: &Range<usize>, packed: *mut f32) {
        let shape = self.shape;
        for row in 0..block.taps {
            let mut term = block.first;
            while term < block.first + block.len {
                let (tap, channel) = (term / shape.channels, term % shape.channels);
                let run = (shape.channels - channel).min(block.first + block.len - term);
                let from = shape.weight_of(block.first_tap + row, tap) + channel * shape.along;
                let step = row * block.len + term - block.first;
                let strips = (0..columns.len()).step_by(K::LANES).map(|column| {
                    let panel = column / K::COLUMNS * K::COLUMNS * block.taps * block.len;
                    Strip {
                        source: self.weight[from + (columns.start + column) * shape.across..]
                            .as_ptr(),
                        lanes: (columns.len() - column).min(K::LANES),
                        lane_stride: shape.across,
                        inner: run,
                        inner_stride: shape.along,
                        packed: packed
                            .wrapping_add(panel + step * K::COLUMNS + column % K::COLUMNS),
                        packed_step: K::COLUMNS,
                    }
                });
                // SAFETY: a strip is a run of one tap's weights, and its place lies in its panel.
                unsafe { pack_in_groups::<K>(strips) };
                term += run;
            }
        }
    }

    /// Positions of a copied row, the padding among them.
    fn width(&self) -> usize {
        (self.shape.columns.count - 1) * self.shape.columns.step + self.shape.columns.taps
    }

    /// Numbers from a copied row to the next.
    fn pitch(&self) -> usize {
        self.width() * self.shape.channels
    }

    /// Rows of positions in a band, and images.
    fn band_size(&self) -> (usize, usize) {
        let rows = &self.shape.rows;
        let sources = BAND_LEN / self.pitch().max(1);
        let whole = rows.sources(0..rows.count, 0..rows.taps).len();
        if whole <= sources {
            return (rows.count, (sources / whole.max(1)).max(1));
        }
        let most = (sources.saturating_sub(rows.taps) / rows.step + 1).min(rows.count);
        (rows.count.div_ceil(rows.count.div_ceil(most)), 1)
    }

    /// The bands that make up some rows of positions.
    fn bands(&self, rows: Range<usize>) -> impl Iterator<Item = Band> {
        let (window, (most_rows, most_images)) = (self.shape.rows, self.band_size());
        let mut start = rows.start;
        std::iter::from_fn(move || {
            if start >= rows.end {
                return None;
            }
            let (image, row) = (start / window.count, start % window.count);
            let whole = (rows.end - start) / window.count;
            let (images, rows) = if row == 0 && whole > 0 && most_rows == window.count {
                (image..image + whole.min(most_images), 0..window.count)
            } else {
                (
                    image..image + 1,
                    row..window.count.min(row + most_rows).min(row + rows.end - start),
                )
            };
            start += images.len() * rows.len();
            Some(Band { images, sources: window.sources(rows.clone(), 0..window.taps), rows })
        })
    }

    /// Numbers of the longest band of some rows.
    fn band_len(&self, rows: &Range<usize>) -> usize {
        self.bands(rows.clone())
            .map(|band| band.images.len() * band.sources.len())
            .max()
            .unwrap_or(0)
            * self.pitch()
    }

    /// Copies the rows that a band reads, with zeros for what lies to the left and the right of the
    /// map.
    ///
    /// # Safety
    /// There is room for the band.
    unsafe fn copy(&self, band: &Band, copied: *mut f32) {
        let (shape, columns, channels) = (self.shape, &self.shape.columns, self.shape.channels);
        let before = ((-columns.first).max(0) as usize).min(self.width());
        let first = columns.first.max(0) as usize;
        let inside = columns.source.saturating_sub(first).min(self.width() - before);
        // SAFETY: as long as the scratch that the caller has made room in.
        let copied = unsafe {
            std::slice::from_raw_parts_mut(
                copied,
                band.images.len() * band.sources.len() * self.pitch(),
            )
        };
        let rows =
            band.images.clone().flat_map(|image| band.sources.clone().map(move |row| (image, row)));
        for ((image, row), copied) in rows.zip(copied.chunks_exact_mut(self.pitch().max(1))) {
            let (left, rest) = copied.split_at_mut(before * channels);
            let (middle, right) = rest.split_at_mut(inside * channels);
            left.fill(0.0);
            let from = shape.source_of(image, row, first);
            middle.copy_from_slice(&self.source[from..from + middle.len()]);
            right.fill(0.0);
        }
    }

    /// Adds a block of terms to the results of a band.
    ///
    /// # Safety
    /// The CPU has the instructions; the block is packed and the band copied; nobody else touches
    /// these results.
    unsafe fn multiply(
        &self,
        block: Block,
        packed: *const f32,
        columns: &Range<usize>,
        band: &Band,
        copied: *const f32,
    ) {
        let window = &self.shape.rows;
        let inner = self.inner_positions(block);
        for column in (0..columns.len()).step_by(K::COLUMNS) {
            let panel = packed.wrapping_add(column * block.taps * block.len);
            let width = (columns.len() - column).min(K::COLUMNS);
            if inner.len() < self.shape.columns.count {
                let edges = Edges { block, band, copied, panel, inner: inner.clone() };
                // SAFETY: as for the rows below.
                unsafe { self.multiply_edges(&edges, columns.start + column, width) };
            }
            for (at, image) in band.images.clone().enumerate() {
                for row in band.rows.clone() {
                    let existing = self.shape.row_taps(row);
                    let taps = existing.start.max(block.first_tap)
                        ..existing.end.min(block.first_tap + block.taps);
                    if taps.is_empty() {
                        continue;
                    }
                    let source = window.source_of(row, taps.start) as usize - band.sources.start;
                    let left = copied.wrapping_add(
                        (at * band.sources.len() + source) * self.pitch() + block.first,
                    );
                    let right =
                        panel.wrapping_add((taps.start - block.first_tap) * block.len * K::COLUMNS);
                    let is_first = block.first == 0 && taps.start == existing.start;
                    let row = Row {
                        image,
                        row,
                        left,
                        right,
                        segments: taps.len(),
                        len: block.len,
                        is_first,
                    };
                    // SAFETY: the row's positions lie in the part, its taps in the copied band.
                    unsafe { self.multiply_row(&row, &inner, columns.start + column, width) };
                }
            }
        }
    }

    /// The positions of a row that are computed side by side: all, but for the adjoint of a
    /// convolution without padding, where they are those that every column of the kernel reaches.
    /// The others, beside them, would multiply a band of zeros as wide as the kernel.
    fn inner_positions(&self, block: Block) -> Range<usize> {
        let columns = &self.shape.columns;
        let reaches_beyond = columns.taps > 1 && columns.first == 1 - columns.taps as isize;
        if !reaches_beyond || columns.step != 1 || block.len != self.shape.row_terms() {
            return 0..columns.count;
        }
        let low = (columns.taps - 1).min(columns.count);
        low..columns.source.clamp(low, columns.count)
    }

    /// The positions beside the inner ones: a tile has neighbours that the same columns of the
    /// kernel reach, and these alone are summed. They lie down a column of the map, or at the same
    /// place in the images of the band, whichever are more.
    ///
    /// # Safety
    /// As for [`Self::multiply`].
    unsafe fn multiply_edges(&self, edges: &Edges<'_>, first_column: usize, width: usize) {
        let Edges { block, band, copied, panel, inner } = edges;
        let (shape, window) = (self.shape, &self.shape.rows);
        let sides = || (0..inner.start).chain(inner.end..shape.columns.count);
        let images = band.images.len();
        let image_len = band.sources.len() * self.pitch();
        for rows in self.alike_rows(band.rows.clone()) {
            let existing = shape.row_taps(rows.start);
            let taps =
                existing.start.max(block.first_tap)..existing.end.min(block.first_tap + block.taps);
            if taps.is_empty() {
                continue;
            }
            let write = self.write(taps.start == existing.start, first_column);
            let is_down = rows.len() >= images;
            let (lines, line_len) =
                if is_down { (images, rows.len()) } else { (rows.len(), images) };
            let tiles = line_len.div_ceil(K::ROWS);
            let all_tiles = (0..lines).flat_map(|line| (0..tiles).map(move |tile| (line, tile)));
            for ((line, tile), position) in
                all_tiles.flat_map(|tile| sides().map(move |position| (tile, position)))
            {
                let (first, height) = piece(line_len, tiles, tile);
                let (at, row) = if is_down { (line, first) } else { (first, line) };
                let row = rows.start + row;
                let own = shape.columns.existing_taps(position);
                let source = window.source_of(row, taps.start) as usize - band.sources.start;
                let left = at * image_len
                    + source * self.pitch()
                    + (position + own.start) * shape.channels;
                let term = (taps.start - block.first_tap) * block.len + own.start * shape.channels;
                let right = panel.wrapping_add(term * K::COLUMNS);
                let place = |image, row| shape.place_of(band.images.start + image, row, position);
                let (left_row, out_row) = if is_down {
                    (window.step * self.pitch(), place(at, row + 1) - place(at, row))
                } else {
                    (image_len, place(at + 1, row) - place(at, row))
                };
                let tile = Tile {
                    rows: height,
                    columns: width,
                    segments: taps.len(),
                    inner: own.len() * shape.channels,
                    left: copied.wrapping_add(left),
                    left_row,
                    left_step: 1,
                    left_segment: self.pitch(),
                    right,
                    right_step: K::COLUMNS,
                    right_segment: block.len * K::COLUMNS,
                    ahead: right,
                    ahead_step: 0,
                    out: self.out.get().wrapping_add(place(at, row) + first_column),
                    out_row,
                    write,
                };
                // SAFETY: the caller's promise.
                unsafe { K::multiply_tile(&tile) };
            }
        }
    }

    /// Runs of rows that the same rows of the kernel reach.
    fn alike_rows(&self, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let mut start = rows.start;
        std::iter::from_fn(move || {
            let taps = (start < rows.end).then(|| self.shape.row_taps(start))?;
            let is_other = |&row: &usize| self.shape.row_taps(row) != taps;
            let end = (start..rows.end).find(is_other).unwrap_or(rows.end);
            Some(std::mem::replace(&mut start, end)..end)
        })
    }

    /// How the sums of the columns from `first_column` on enter the results.
    fn write(&self, is_first: bool, first_column: usize) -> Write {
        match self.bias {
            _ if !is_first => Write::Add,
            None => Write::Set,
            Some(bias) => Write::SetWithBias(bias[first_column..].as_ptr()),
        }
    }

    /// The tiles of a row's inner positions.
    ///
    /// # Safety
    /// As for [`Self::multiply`].
    unsafe fn multiply_row(
        &self,
        row: &Row,
        inner: &Range<usize>,
        first_column: usize,
        width: usize,
    ) {
        let step = self.shape.columns.step * self.shape.channels;
        let tiles = inner.len().div_ceil(K::ROWS);
        for tile in 0..tiles {
            let (position, height) = piece(inner.len(), tiles, tile);
            let position = inner.start + position;
            let place = self.shape.place_of(row.image, row.row, position) + first_column;
            let tile = Tile {
                rows: height,
                columns: width,
                segments: row.segments,
                inner: row.len,
                left: row.left.wrapping_add(position * step),
                left_row: step,
                left_step: 1,
                left_segment: self.pitch(),
                right: row.right,
                right_step: K::COLUMNS,
                right_segment: row.len * K::COLUMNS,
                ahead: row.right,
                ahead_step: 0,
                out: self.out.get().wrapping_add(place),
                out_row: self.shape.columns.out_step * self.shape.results,
                write: self.write(row.is_first, first_column),
            };
            // SAFETY: the caller's promise.
            unsafe { K::multiply_tile(&tile) };
        }
    }
}

/// The positions beside the inner ones, of a band, and the terms that are added to them.
struct Edges<'a> {
    block: Block,
    band: &'a Band,
    copied: *const f32,
    /// The packed panel of the block.
    panel: *const f32,
    inner: Range<usize>,
}

/// A row of positions, and the terms that are added to it.
struct Row {
    image: usize,
    row: usize,
    left: *const f32,
    right: *const f32,
    segments: usize,
    len: usize,
    is_first: bool,
}
