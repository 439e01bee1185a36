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

/// All outputs, in the order of the book.
pub const OUTPUTS: &[Output] = outputs! {
    1 chapter_01: slope, tape, agreement, reused, order, cost;
    2 chapter_02: shapes, nodes, forgotten, learned, beside_rung, refused;
    3 chapter_03: steps, mutants, rungs_checker, surrogate, every_operation, corner;
    9 chapter_09: jensen, kl, estimators, training;
};
