//! Which kernel multiplies a shape fastest on a device: searched when a user asks for it, and kept
//! with the compiled programs.
//!
//! Without a search, `matmul.rs` chooses by the size of the result alone.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::cache;
use super::context::Context;
use super::matmul::{Mode, Operands, Plan, run};
use super::platform::Kind;
use crate::{DType, MatmulShape, Result};

/// A candidate is run for so long; its shortest time counts.
const TRIAL: Duration = Duration::from_millis(40);

/// The fastest kernel that was found for a shape, in f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// The product.
    pub shape: MatmulShape,
    /// The kernel, its block or tile, and the parts of the inner axis.
    pub kernel: String,
    /// Its rate.
    pub gflop_per_s: f64,
    /// The rate of the kernel that is chosen without a search.
    pub default_gflop_per_s: f64,
}

/// What searches on a device have found.
#[derive(Debug, Default)]
pub(super) struct Choices(HashMap<MatmulShape, Plan>);

impl Choices {
    /// What earlier searches kept for a device with this driver.
    pub(super) fn read(machine: &str) -> Self {
        let kept = cache::read(&key(machine))
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_default();
        Self(kept.lines().filter_map(parse).collect())
    }

    fn write(&self, machine: &str) {
        let lines: String = self.0.iter().map(|(shape, plan)| line(shape, *plan)).collect();
        cache::write(&key(machine), lines.as_bytes());
    }

    /// The kernel for a shape, if it was searched for.
    pub(super) fn get(&self, shape: &MatmulShape) -> Option<Plan> {
        self.0.get(shape).copied()
    }
}

fn key(machine: &str) -> String {
    format!("tuning of products, 2\n{machine}")
}

/// A choice as a line of the file that keeps them: rows, columns, inner, transpositions, plan.
fn line(shape: &MatmulShape, plan: Plan) -> String {
    let MatmulShape { rows, columns, inner, left_transposed, right_transposed } = shape;
    let (left, right) = (u8::from(*left_transposed), u8::from(*right_transposed));
    format!("{rows} {columns} {inner} {left} {right} {}\n", plan.label())
}

/// Undoes [`line`]; a kernel that is no candidate any more is as if it were not there.
fn parse(line: &str) -> Option<(MatmulShape, Plan)> {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |at: usize| words.get(at)?.parse::<usize>().ok();
    let shape = MatmulShape {
        rows: number(0)?,
        columns: number(1)?,
        inner: number(2)?,
        left_transposed: number(3)? == 1,
        right_transposed: number(4)? == 1,
    };
    let plan = words.get(5..)?.join(" ");
    let mut known = [Kind::Cpu, Kind::Gpu].into_iter().flat_map(Plan::all);
    Some((shape, known.find(|known| known.label() == plan)?))
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
        let plans = Plan::all(context.kind);
        for plan in plans.into_iter().filter(|plan| plan.fits(context, shape, DType::F32)) {
            let found = rate(context, shape, plan)?;
            if found > best.0 {
                best = (found, plan);
            }
        }
        let (gflop_per_s, plan) = best;
        context.choices().0.insert(shape, plan);
        seen(&Tuned { shape, kernel: plan.label(), gflop_per_s, default_gflop_per_s });
    }
    context.choices().write(&context.machine);
    Ok(())
}

/// The rate of a kernel, in GFLOP/s.
fn rate(context: &std::sync::Arc<Context>, shape: MatmulShape, plan: Plan) -> Result<f64> {
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
        run(context, "tune", plan, shape, Mode::Write, operands, out.view_mut())?;
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
        for plan in [Kind::Cpu, Kind::Gpu].into_iter().flat_map(Plan::all) {
            assert_eq!(parse(line(&shape, plan).trim_end()), Some((shape, plan)));
        }
        for damaged in [
            "",
            "1 2 3",
            "1 2 3 0 0 matmul_tiles-77",
            "1 2 3 0 x matmul_tiles-64",
            "a 2 3 0 0 matmul_tiles-64",
        ] {
            assert_eq!(parse(damaged), None, "{damaged}");
        }
    }
}
