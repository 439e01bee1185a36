//! Exercise 12, chapter 6: A sum by work-groups
//!
//! Write a kernel that sums the rows of a matrix. It is started for one work-group a row; the
//! work-items of a group run in turn here, one whole stage for all of them before the next, as a
//! barrier would have it. A row may be longer than the group, and shorter.

/// Work-items in a group.
pub const GROUP: usize = 8;

/// Stage 1, run by each work-item: its share of the row, added up.
///
/// Neighbouring work-items must read neighbouring elements: work-item `item` takes the elements
/// item, item + GROUP, item + 2·GROUP, …
pub fn share(item: usize, row: &[f64]) -> f64 {
    row.get(item).copied().unwrap_or(0.0)
}

/// Stages 2, 3, …, run by each work-item between barriers: `local` holds the shares at first, and
/// its first element the sum after log₂(GROUP) stages. Stage `half` is GROUP/2, GROUP/4, …, 1.
///
/// A work-item may write to `local[item]` only.
pub fn combine(item: usize, half: usize, local: &mut [f64; GROUP]) {
    local[0] += local[item];
}
