//! What the chapters print.

use crate::Result;

/// A function of a chapter whose output the chapter shows.
#[derive(Clone, Copy)]
pub struct Output {
    /// The chapter's number.
    pub chapter: u8,
    /// The name in the chapter's comment.
    pub name: &'static str,
    /// Prints to standard output.
    pub run: fn() -> Result<()>,
}

macro_rules! outputs {
    ($($chapter:literal $module:ident: $($name:ident),+;)+) => {
        &[$($(Output {
            chapter: $chapter,
            name: stringify!($name),
            run: crate::$module::$name,
        }),+),+]
    };
}

/// All outputs, in the order of the book: `run` prints a chapter's as one reads them.
pub const OUTPUTS: &[Output] = outputs! {
    1 chapter_01: slope, tape, agreement, reused, order, cost;
    2 chapter_02: nodes, shapes, learned, forgotten, beside_rung, refused;
    3 chapter_03: steps, mutants, rungs_checker, surrogate, every_operation, corner;
    4 chapter_04: traffic, speed, order;
    5 chapter_05: pooled, steady, kept, same_gradient;
    6 chapter_06: grid, races, tree, devices;
    7 chapter_07: state, words, avalanche, parts, moments, resumed;
    8 chapter_08: race, scales, beside_rung, start, company, clip;
    9 chapter_09: jensen, kl, estimators, training;
    10 chapter_10: unit, merge, compare;
    11 chapter_11: exact, underflow, vae, unbounded;
    12 chapter_12: convolution, shared, beside_rung, reach, skips, gate;
    13 chapter_13: summed, few_labels;
    14 chapter_14: between, find, memory;
    15 chapter_15: charts, chance;
};
