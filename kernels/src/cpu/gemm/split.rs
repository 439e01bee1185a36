//! Cutting a product into parts for the threads of the current rayon pool, and the pointer that
//! lets them share one output.

use std::ops::Range;

use super::MatmulShape;

/// Some rows and columns of `out`: what one task computes.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

impl Part {
    pub(super) fn whole(shape: MatmulShape) -> Part {
        Part { rows: 0..shape.rows, columns: 0..shape.columns }
    }

    /// Runs `compute` on `tasks` disjoint parts that cover this one and begin at borders of tiles
    /// of [rows, columns], or on fewer where it is too small.
    ///
    /// The longer side is cut: a task packs its rows of the left matrix and its columns of the
    /// right one for itself, and squares have the least of both for their area. Packing in common
    /// would save that work, but then every thread waits for the slowest twice, and reads what
    /// another core has just written; on two cores that cost a fifth of the speed. Halving by
    /// `join` allocates nothing inside a worker, unlike `spawn`, and idle workers steal the larger
    /// halves.
    pub(super) fn divide(self, tasks: usize, tile: [usize; 2], compute: &(impl Fn(Part) + Sync)) {
        let first_tasks = tasks.div_ceil(2);
        let Some((first, rest)) = (tasks > 1).then(|| self.cut(first_tasks, tasks, tile)).flatten()
        else {
            return compute(self);
        };
        rayon::join(
            || first.divide(first_tasks, tile, compute),
            || rest.divide(tasks - first_tasks, tile, compute),
        );
    }

    /// The first `share / of` and the rest, cut at the border of a tile; nothing if there is only
    /// one.
    fn cut(
        &self,
        share: usize,
        of: usize,
        [tile_rows, tile_columns]: [usize; 2],
    ) -> Option<(Part, Part)> {
        let at = |side: &Range<usize>, tile: usize| {
            let tiles = side.len().div_ceil(tile);
            (tiles > 1).then(|| side.start + (tiles * share / of).clamp(1, tiles - 1) * tile)
        };
        let Part { rows, columns } = self.clone();
        let (row, column) = (at(&rows, tile_rows), at(&columns, tile_columns));
        match (row, column) {
            (Some(row), _) if column.is_none() || rows.len() >= columns.len() => Some((
                Part { rows: rows.start..row, columns: columns.clone() },
                Part { rows: row..rows.end, columns },
            )),
            (_, Some(column)) => Some((
                Part { rows: rows.clone(), columns: columns.start..column },
                Part { rows, columns: column..columns.end },
            )),
            _ => None,
        }
    }
}

/// The `index`-th of `parts` nearly equal pieces of `0..length`, as (start, size): sizes differ by
/// one at most.
pub(super) fn piece(length: usize, parts: usize, index: usize) -> (usize, usize) {
    let (size, longer) = (length / parts, length % parts);
    (index * size + index.min(longer), size + usize::from(index < longer))
}

/// A pointer that tasks may share; each task has to write to a part of its own.
#[derive(Clone, Copy)]
pub(super) struct Shared<T>(*mut T);

// SAFETY: the pointer is plain data; whoever dereferences it promises that tasks touch disjoint
// elements.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(super) fn new(pointer: *mut T) -> Self {
        Shared(pointer)
    }

    /// The pointer itself (a method, so that a closure captures the wrapper and not the field).
    pub(super) fn get(self) -> *mut T {
        self.0
    }
}
