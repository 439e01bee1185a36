//! The adjoint of a convolution in its weight: for each tap, the product of the shifted map with
//! the adjoint of the results, summed over positions.
//!
//! Channels of the map are the rows of a tile, channels of the results its columns, and the terms
//! of a sum are positions: a row of them is a segment. Both operands are packed, a band of
//! positions at a time: the map in strips of channels, with its padding, so that every tap reads
//! the same strips from another position on.
//!
//! Where the map has so few channels that they would leave a tile mostly empty, an image above all,
//! its rows are copied as they are, and the rows of a tile are the terms of a kernel row, all of
//! its taps: they lie side by side in the map. Each sum has its terms in the same order either way.
//!
//! Images are summed in groups, each into a weight of its own, and the groups are added in order:
//! how many there are depends on the sizes alone, so that the bits don't depend on the number of
//! threads.

use std::marker::PhantomData;
use std::ops::Range;

use super::super::lanes::update;
use super::super::parallel::{LIGHT, for_each_block, for_each_block_of, rows};
use super::super::scratch::Scratch;
use super::super::simd::vectorised;
use super::blocked::pack_in_groups;
use super::correlation::Correlation;
use super::kernel::{MicroKernel, Strip, Tile, Write};
use super::split::piece;

/// Numbers of the groups' weights together: 4 MiB.
const PARTIAL_LEN: usize = 1 << 20;
/// Groups at most: enough for the threads of most CPUs.
const MAX_GROUPS: usize = 16;
/// Multiply-adds that take as long as a unit of work of `parallel.rs`.
const MULTIPLY_ADDS_PER_WORK: usize = 8;

/// grad_weight = patchesᵀ · grad_out, for arrays that are not empty.
///
/// # Safety
/// The CPU has the instructions of `K`, and the slices have the lengths that `shape` says.
pub(super) unsafe fn correlate_weight<K: MicroKernel>(
    shape: &Correlation,
    source: &[f32],
    grad_out: &[f32],
    grad_weight: &mut [f32],
) {
    let len = grad_weight.len();
    let groups = (PARTIAL_LEN / len).clamp(1, MAX_GROUPS).min(shape.batch);
    let job = Job::<K> { shape, source, grad_out, kernel: PhantomData };
    let work = shape.product().multiply_adds() / MULTIPLY_ADDS_PER_WORK;
    // Rows of the kernel are shared out as well where there are fewer groups than threads.
    let taps_at_once = shape.rows.taps.div_ceil(rayon::current_num_threads().div_ceil(groups));
    let sum_group = |group: usize, weight: &mut [f32]| {
        let (image, images) = piece(shape.batch, groups, group);
        let (taps, row_len) = (shape.rows.taps, len / shape.rows.taps);
        for_each_block_of(
            taps_at_once,
            taps,
            work / groups / taps,
            rows(weight, row_len),
            |taps, part| {
                // SAFETY: the part has the weights of these rows of the kernel; the CPU has the
                // instructions.
                unsafe { job.sum(image..image + images, taps, part.slice) }
            },
        );
    };
    let tasks = groups * shape.rows.taps.div_ceil(taps_at_once);
    let [strips_len, panels_len] = job.lens(taps_at_once);
    let reserve = || {
        Scratch::reserve::<f32>(tasks.min(rayon::current_num_threads()), strips_len + panels_len)
    };
    if groups == 1 {
        reserve();
        return sum_group(0, grad_weight);
    }
    let mut scratch = Scratch::take::<f32>(groups * len);
    reserve();
    let partial = scratch.as_mut_slice::<f32>(groups * len);
    for_each_block_of(1, groups, work / groups, rows(&mut *partial, len), |range, part| {
        range
            .zip(part.slice.chunks_exact_mut(len))
            .for_each(|(group, weight)| sum_group(group, weight));
    });
    add_groups(partial, grad_weight);
}

/// out = Σ of the groups' weights, in order.
fn add_groups(partial: &[f32], out: &mut [f32]) {
    let len = out.len();
    for_each_block(len, partial.len() / len * LIGHT, out, |range, out| {
        vectorised(
            #[inline(always)]
            || {
                out.fill(0.0);
                for weight in partial.chunks_exact(len) {
                    update(
                        [&weight[range.clone()]],
                        out,
                        #[inline(always)]
                        |sum, [term]| sum + term,
                    );
                }
            },
        );
    });
}

/// Everything the tasks share.
struct Job<'a, K> {
    shape: &'a Correlation,
    source: &'a [f32],
    grad_out: &'a [f32],
    kernel: PhantomData<fn(K)>,
}

/// The packed operands of some rows of positions of an image, for some rows of the kernel.
struct Band {
    image: usize,
    rows: Range<usize>,
    /// Rows of the map that are packed.
    sources: Range<usize>,
    /// Strips of channels, each [source row, padded position, K::LANES]; one of all channels, as
    /// many as there are in place of the lanes, where they are few.
    strips: *mut f32,
    /// Panels of `K::COLUMNS` columns, each a row for each position.
    panels: *mut f32,
}

/// The terms of a kernel row that are the rows of one tile.
struct Terms {
    /// Counted over the taps of the kernel row, the channels of each side by side.
    first: usize,
    count: usize,
    /// The strip that they lie in, and where in its first position.
    strip: usize,
    place: usize,
}

impl<K: MicroKernel> Job<'_, K> {
    /// Sums some images, for some rows of the kernel, on this thread alone.
    ///
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn sum(&self, images: Range<usize>, taps: Range<usize>, weight: &mut [f32]) {
        let window = &self.shape.rows;
        weight.fill(0.0);
        let bands = self.bands();
        let [strips_len, panels_len] = self.lens(taps.len());
        let mut scratch = Scratch::take::<f32>(strips_len + panels_len);
        let strips = scratch.as_mut_ptr::<f32>();
        for image in images {
            for band in 0..bands {
                let (first, rows) = piece(window.count, bands, band);
                let rows = first..first + rows;
                let sources = window.sources(rows.clone(), taps.clone());
                let band =
                    Band { image, rows, sources, strips, panels: strips.wrapping_add(strips_len) };
                // SAFETY: the scratch has room for the largest band; the CPU has the instructions.
                unsafe {
                    self.pack_strips(&band);
                    self.pack_panels(&band);
                    self.multiply(&band, &taps, weight);
                }
            }
        }
    }

    /// Bands of positions that an image is cut into: their rows together are the terms of a block.
    fn bands(&self) -> usize {
        let most = (K::MAX_INNER / self.shape.columns.count).clamp(1, self.shape.rows.count);
        self.shape.rows.count.div_ceil(most)
    }

    /// Numbers of a band's strips and panels, for so many rows of the kernel.
    fn lens(&self, taps: usize) -> [usize; 2] {
        let rows = self.shape.rows.count.div_ceil(self.bands());
        let sources = (rows - 1) * self.shape.rows.step + taps;
        let panels =
            self.shape.results.next_multiple_of(K::COLUMNS) * rows * self.shape.columns.count;
        [self.strip_count() * sources * self.pitch(), panels]
    }

    /// Whether a tile with a row for each channel would be half empty, or more.
    fn has_few_channels(&self) -> bool {
        2 * self.shape.channels <= K::ROWS
    }

    /// Strips of channels: as many as tiles have rows.
    fn strip_count(&self) -> usize {
        self.shape.channels.div_ceil(K::ROWS)
    }

    /// Numbers of a packed position.
    fn position_len(&self) -> usize {
        if self.has_few_channels() { self.shape.channels } else { K::LANES }
    }

    /// Tiles that the terms of a kernel row are the rows of.
    fn tile_count(&self) -> usize {
        match self.has_few_channels() {
            true => self.shape.row_terms().div_ceil(K::ROWS),
            false => self.shape.columns.taps * self.strip_count(),
        }
    }

    /// One of these tiles.
    fn terms(&self, tile: usize) -> Terms {
        if self.has_few_channels() {
            let (first, count) = piece(self.shape.row_terms(), self.tile_count(), tile);
            return Terms { first, count, strip: 0, place: first };
        }
        let (tap, strip) = (tile / self.strip_count(), tile % self.strip_count());
        let (channel, count) = piece(self.shape.channels, self.strip_count(), strip);
        let first = tap * self.shape.channels + channel;
        Terms { first, count, strip, place: tap * K::LANES }
    }

    /// Positions of a packed row of the map, the padding among them.
    fn width(&self) -> usize {
        (self.shape.columns.count - 1) * self.shape.columns.step + self.shape.columns.taps
    }

    /// Numbers from a packed row of a strip to the next.
    fn pitch(&self) -> usize {
        self.width() * self.position_len()
    }

    /// Packs the rows of the map that a band reads, with zeros to the left and the right of it.
    ///
    /// # Safety
    /// The CPU has the instructions; there is room for the band.
    unsafe fn pack_strips(&self, band: &Band) {
        let (columns, channels, strips) =
            (&self.shape.columns, self.shape.channels, self.strip_count());
        let before = ((-columns.first).max(0) as usize).min(self.width());
        let first = columns.first.max(0) as usize;
        let inside = columns.source.saturating_sub(first).min(self.width() - before);
        let len = self.position_len();
        for (at, row) in band.sources.clone().enumerate() {
            let place = |strip: usize| {
                band.strips.wrapping_add((strip * band.sources.len() + at) * self.pitch())
            };
            for strip in 0..strips {
                // SAFETY: the row of the strip lies in the scratch.
                let packed = unsafe { std::slice::from_raw_parts_mut(place(strip), self.pitch()) };
                packed[..before * len].fill(0.0);
                packed[(before + inside) * len..].fill(0.0);
            }
            if inside == 0 {
                continue;
            }
            let from = self.shape.source_of(band.image, row, first);
            if self.has_few_channels() {
                let source = &self.source[from..][..inside * len];
                let packed = place(0).wrapping_add(before * len);
                // SAFETY: these positions lie in the row of the strip.
                unsafe { packed.copy_from_nonoverlapping(source.as_ptr(), source.len()) };
                continue;
            }
            let all = (0..strips).map(|strip| {
                let (channel, lanes) = piece(channels, strips, strip);
                Strip {
                    source: self.source[from + channel..].as_ptr(),
                    lanes,
                    lane_stride: 1,
                    inner: inside,
                    inner_stride: channels,
                    packed: place(strip).wrapping_add(before * K::LANES),
                    packed_step: K::LANES,
                }
            });
            // SAFETY: the positions lie in a row of the map and in the row of each strip.
            unsafe { pack_in_groups::<K>(all) };
        }
    }

    /// Packs the adjoints of a band's results.
    ///
    /// # Safety
    /// The CPU has the instructions; there is room for the band.
    unsafe fn pack_panels(&self, band: &Band) {
        let results = self.shape.results;
        let positions = band.rows.len() * self.shape.columns.count;
        let from = self.shape.place_of(band.image, band.rows.start, 0);
        let strips = (0..results).step_by(K::LANES).map(|column| Strip {
            source: self.grad_out[from + column..].as_ptr(),
            lanes: (results - column).min(K::LANES),
            lane_stride: 1,
            inner: positions,
            inner_stride: results,
            packed: band
                .panels
                .wrapping_add(column / K::COLUMNS * K::COLUMNS * positions + column % K::COLUMNS),
            packed_step: K::COLUMNS,
        });
        // SAFETY: the positions lie one after the other in the map of results, and in each panel.
        unsafe { pack_in_groups::<K>(strips) };
    }

    /// Adds a band's products to the weights of some rows of the kernel.
    ///
    /// # Safety
    /// The CPU has the instructions; the band is packed.
    unsafe fn multiply(&self, band: &Band, taps: &Range<usize>, weight: &mut [f32]) {
        let shape = self.shape;
        let (window, width, results) = (&shape.rows, shape.columns.count, shape.results);
        let positions = band.rows.len() * width;
        for column in (0..results).step_by(K::COLUMNS) {
            let panel = band.panels.wrapping_add(column * positions);
            for (at, tap) in taps.clone().enumerate() {
                let existing = window.existing_results(tap);
                let rows = existing.start.max(band.rows.start)..existing.end.min(band.rows.end);
                if rows.is_empty() {
                    continue;
                }
                let source = window.source_of(rows.start, tap) as usize - band.sources.start;
                let right = panel.wrapping_add((rows.start - band.rows.start) * width * K::COLUMNS);
                for terms in (0..self.tile_count()).map(|tile| self.terms(tile)) {
                    let row = terms.strip * band.sources.len() + source;
                    let term = at * shape.row_terms() + terms.first;
                    let tile = Tile {
                        rows: terms.count,
                        columns: (results - column).min(K::COLUMNS),
                        segments: rows.len(),
                        inner: width,
                        left: band.strips.wrapping_add(row * self.pitch() + terms.place),
                        left_row: 1,
                        left_step: shape.columns.step * self.position_len(),
                        left_segment: window.step * self.pitch(),
                        right,
                        right_step: K::COLUMNS,
                        right_segment: width * K::COLUMNS,
                        ahead: right,
                        ahead_step: 0,
                        out: weight[term * results + column..].as_mut_ptr(),
                        out_row: results,
                        write: Write::Add,
                    };
                    // SAFETY: rows and taps exist, so the strips reach them; the tile lies in these
                    // rows' weights.
                    unsafe { K::multiply_tile(&tile) };
                }
            }
        }
    }
}
