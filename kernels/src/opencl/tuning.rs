//! Which kernel multiplies a shape fastest on a device: searched when a user asks for it, and kept
//! with the compiled programs.
//!
//! Without a search, `matmul.rs` chooses by the size of the result alone.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::cache;
use super::context::Context;
use super::matmul::{Mode, Operands, run};
use super::platform::Kind;
use super::program::File;
use crate::{DType, MatmulShape, Result};

/// A candidate is run for so long; its shortest time counts.
const TRIAL: Duration = Duration::from_millis(40);

/// The fastest kernel that was found for a shape, in f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// The product.
    pub shape: MatmulShape,
    /// The kernel and its parameters.
    pub kernel: String,
    /// Its rate.
    pub gflop_per_s: f64,
    /// The rate of the kernel that is chosen without a search.
    pub default_gflop_per_s: f64,
}

/// What searches on a device have found.
#[derive(Debug, Default)]
pub(super) struct Choices(HashMap<MatmulShape, File>);

impl Choices {
    /// What earlier searches kept for a device with this driver.
    pub(super) fn read(machine: &str) -> Self {
        let kept = cache::read(&key(machine))
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_default();
        Self(kept.lines().filter_map(parse).collect())
    }

    fn write(&self, machine: &str) {
        let lines: String = self.0.iter().map(|(shape, file)| line(shape, *file)).collect();
        cache::write(&key(machine), lines.as_bytes());
    }

    /// The kernel for a shape, if it was searched for.
    pub(super) fn get(&self, shape: &MatmulShape) -> Option<File> {
        self.0.get(shape).copied()
    }
}

fn key(machine: &str) -> String {
    format!("tuning of products, 1\n{machine}")
}

/// The kernels that may multiply on a kind of device.
fn candidates(kind: Kind) -> Vec<File> {
    let sizes =
        [96, 48, 24, 12].into_iter().flat_map(|rows| [8, 4, 2].map(|vectors| (rows, vectors)));
    match kind {
        Kind::Cpu => sizes.map(|(rows, vectors)| File::MatmulBlocks(rows, vectors)).collect(),
        Kind::Gpu => [128, 64, 32].map(File::MatmulTiles).to_vec(),
    }
}

/// A choice as a line of the file that keeps them: rows, columns, inner, transpositions, kernel,
/// its parameters.
fn line(shape: &MatmulShape, file: File) -> String {
    let MatmulShape { rows, columns, inner, left_transposed, right_transposed } = shape;
    let (left, right) = (u8::from(*left_transposed), u8::from(*right_transposed));
    format!("{rows} {columns} {inner} {left} {right} {}\n", describe(file))
}

fn describe(file: File) -> String {
    match file {
        File::MatmulBlocks(rows, vectors) => format!("blocks {rows} {vectors}"),
        File::MatmulTiles(tile) => format!("tiles {tile}"),
        _ => unreachable!("bug: a product in a file without one; please report it"),
    }
}

/// Undoes [`line`]; a kernel that is no candidate any more is as if it were not there.
fn parse(line: &str) -> Option<(MatmulShape, File)> {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |at: usize| words.get(at)?.parse::<usize>().ok();
    let shape = MatmulShape {
        rows: number(0)?,
        columns: number(1)?,
        inner: number(2)?,
        left_transposed: number(3)? == 1,
        right_transposed: number(4)? == 1,
    };
    let kernel = words.get(5..)?.join(" ");
    let mut known = [Kind::Cpu, Kind::Gpu].into_iter().flat_map(candidates);
    Some((shape, known.find(|&file| describe(file) == kernel)?))
}

/// Searches for the fastest kernel of each shape, uses it from now on and keeps it; `seen` hears of
/// each.
pub(super) fn tune(
    context: &std::sync::Arc<Context>,
    shapes: &[MatmulShape],
    mut seen: impl FnMut(&Tuned),
) -> Result<()> {
    for &shape in shapes {
        let default = super::matmul::by_size(context, shape, DType::F32);
        let default_gflop_per_s = rate(context, shape, default)?;
        let mut best = (default_gflop_per_s, default);
        for file in candidates(context.kind) {
            let found = rate(context, shape, file)?;
            if found > best.0 {
                best = (found, file);
            }
        }
        let (gflop_per_s, file) = best;
        context.choices().0.insert(shape, file);
        seen(&Tuned { shape, kernel: describe(file), gflop_per_s, default_gflop_per_s });
    }
    context.choices().write(&context.machine);
    Ok(())
}

/// The rate of a kernel, in GFLOP/s.
fn rate(context: &std::sync::Arc<Context>, shape: MatmulShape, file: File) -> Result<f64> {
    let allocate = |len| -> Result<_> {
        let mut buffer = Context::allocate(context, DType::F32, len)?;
        let fresh = buffer.get_mut().expect("bug: a fresh buffer is shared; please report it");
        super::transfer::fill(context, 0.5, fresh.view_mut())?;
        Ok(buffer)
    };
    let (left, right, mut out) =
        (allocate(shape.left_len())?, allocate(shape.right_len())?, allocate(shape.out_len())?);
    let mut once = || -> Result<Duration> {
        let started = Instant::now();
        let out = out.get_mut().expect("bug: a fresh buffer is shared; please report it");
        let operands = Operands { left: left.view(), right: right.view(), bias: None };
        run(context, "tune", file, shape, Mode::Write, operands, out.view_mut())?;
        context.finish()?;
        Ok(started.elapsed())
    };
    // The first run compiles.
    once()?;
    let (started, mut shortest) = (Instant::now(), once()?);
    while started.elapsed() < TRIAL {
        shortest = shortest.min(once()?);
    }
    Ok(2.0 * shape.multiply_adds() as f64 / shortest.as_secs_f64() / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_comes_back_from_its_line() {
        let shape = MatmulShape { left_transposed: true, ..MatmulShape::plain(256, 512, 784) };
        for file in [Kind::Cpu, Kind::Gpu].into_iter().flat_map(candidates) {
            assert_eq!(parse(line(&shape, file).trim_end()), Some((shape, file)));
        }
        for damaged in
            ["", "1 2 3", "1 2 3 0 0 tiles 77", "1 2 3 0 x tiles 64", "a 2 3 0 0 tiles 64"]
        {
            assert_eq!(parse(damaged), None, "{damaged}");
        }
    }
}
