//! `--profile` of `rung bench step` and `rung bench evaluate`: where the time goes.

use std::collections::BTreeMap;
use std::time::Duration;

use rung_autograd::Device;
use rung_kernels::profile::{Call, Record};
use serde_json::{Value, json};

use super::peak::Peak;
use crate::error::Result;
use crate::progress::Console;

/// Products narrower than this on some side are listed apart: they live from latency, not from the
/// multiply-add units.
const WIDE: usize = 64;

/// What several calls of a primitive amount to.
#[derive(Debug, Default)]
struct Line {
    calls: usize,
    time: Duration,
    bytes: usize,
    flop: f64,
}

/// How a profile is shown.
pub(super) struct Shown<'a> {
    /// What is repeated: `step` or `evaluation`.
    pub(super) unit: &'a str,
    pub(super) json: bool,
    pub(super) console: &'a Console,
}

/// Does `work` `times` times with the profile on, and prints a line for each primitive and
/// direction, the longest first.
///
/// # Errors
/// If the device fails.
pub(super) fn run(
    device: &Device,
    times: u32,
    shown: &Shown<'_>,
    mut work: impl FnMut() -> Result<()>,
) -> Result<()> {
    let &Shown { unit, json, console } = shown;
    let peak = Peak::measure();
    device.profile().start();
    let started = std::time::Instant::now();
    for _ in 0..times {
        work()?;
    }
    let total = started.elapsed();
    let mut lines = lines(&device.profile().stop());
    let inside: Duration = lines.iter().map(|(_, line)| line.time).sum();
    // The tape, the layers, the optimiser's bookkeeping, and the profile's own clock.
    let outside = Line { time: total.saturating_sub(inside), ..Line::default() };
    lines.push((("outside of primitives".into(), ""), outside));
    lines.sort_by_key(|(_, line)| std::cmp::Reverse(line.time));
    if !json {
        console.result(&format!(
            "\n{:<30} {:<8} {:>6} {:>8} {:>6} {:>15} {:>13}",
            "primitive", "pass", "calls", "ms", "share", "GFLOP/s (peak)", "GB/s"
        ))?;
    }
    for (key, line) in &lines {
        console.result(&line.shown(key, f64::from(times), unit, total, &peak, json))?;
    }
    if json {
        return Ok(());
    }
    let [cache, memory] = peak.gb_per_s;
    console.result(&format!(
        "per {unit}; peak, measured just before: {:.0} GFLOP/s of multiply-adds, triad {cache:.0} \
        GB/s in the caches, {memory:.0} GB/s in memory",
        peak.gflop_per_s
    ))
}

/// Records by name and direction.
fn lines(records: &[(Call, Record)]) -> Vec<((String, &'static str), Line)> {
    let mut lines: BTreeMap<_, Line> = BTreeMap::new();
    for (call, record) in records {
        let line = lines.entry(name_and_pass(call)).or_default();
        line.calls += record.calls;
        line.time += record.time;
        line.bytes += record.bytes;
        line.flop +=
            call.matmul.map_or(0.0, |shape| 2.0 * (shape.multiply_adds() * record.calls) as f64);
    }
    lines.into_iter().collect()
}

/// A product's transpositions say what it is for: a layer multiplies x·w, and backward gives x'·g
/// and g·w'.
fn name_and_pass(call: &Call) -> (String, &'static str) {
    let Some(shape) = call.matmul else {
        return match call.primitive.strip_suffix("_backward") {
            Some(name) => (name.into(), "backward"),
            None => (call.primitive.into(), forward_or_step(call.primitive)),
        };
    };
    let (form, pass) = match (shape.left_transposed, shape.right_transposed) {
        (false, false) => ("x·w", "forward"),
        (true, false) => ("x'·g", "backward"),
        (false, true) => ("g·w'", "backward"),
        (true, true) => ("x'·w'", "forward"),
    };
    let narrow = shape.rows.min(shape.columns).min(shape.inner) < WIDE;
    (format!("matmul {form}{}", if narrow { ", narrow" } else { "" }), pass)
}

/// Primitives that both passes and the optimiser share have no direction of their own.
fn forward_or_step(primitive: &str) -> &'static str {
    match primitive {
        "adam" | "adamax" | "sgd" | "sum_of_squares" | "clip_gradient" => "optimise",
        "fill" | "scale_and_add" | "expand" | "reduce" | "copy_block" | "convert" | "binary"
        | "unary" => "either",
        _ => "forward",
    }
}

impl Line {
    fn shown(
        &self,
        (name, pass): &(String, &str),
        times: f64,
        unit: &str,
        total: Duration,
        peak: &Peak,
        json: bool,
    ) -> String {
        let (seconds, calls) = (self.time.as_secs_f64(), self.calls as f64 / times);
        let rate = |amount: f64| if seconds > 0.0 { amount / seconds / 1e9 } else { 0.0 };
        let (gflop, gb) = (rate(self.flop), rate(self.bytes as f64));
        let (ms, share) = (seconds * 1e3 / times, self.time.as_secs_f64() / total.as_secs_f64());
        if json {
            let or_null =
                |amount: f64, rate: f64| if amount > 0.0 { json!(rate) } else { Value::Null };
            return json!({
                "primitive": name, "pass": pass, "per": unit, "calls": calls, "ms": ms,
                "share": share,
                "gflop_per_s": or_null(self.flop, gflop),
                "gb_per_s": or_null(self.bytes as f64, gb),
                "peak_gflop_per_s": peak.gflop_per_s,
            })
            .to_string();
        }
        let gflop = match self.flop > 0.0 {
            true => format!("{gflop:.0} ({:.0} %)", 100.0 * gflop / peak.gflop_per_s),
            false => String::new(),
        };
        let gb = if self.bytes > 0 { format!("{gb:.1}") } else { String::new() };
        format!(
            "{name:<30} {pass:<8} {calls:>6.0} {ms:>8.3} {:>5.1}% {gflop:>15} {gb:>13}",
            100.0 * share
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rung_kernels::MatmulShape;

    #[test]
    fn primitives_are_named_by_their_direction() {
        let call = |primitive, matmul| name_and_pass(&Call { primitive, matmul });
        assert_eq!(call("merge_backward", None), ("merge".into(), "backward"));
        assert_eq!(call("merge", None), ("merge".into(), "forward"));
        let shape = MatmulShape { left_transposed: true, ..MatmulShape::plain(512, 512, 256) };
        assert_eq!(call("matmul", Some(shape)), ("matmul x'·g".into(), "backward"));
        assert_eq!(call("matmul", Some(MatmulShape::plain(256, 8, 64))).0, "matmul x·w, narrow");
    }
}
