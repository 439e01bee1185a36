//! `rung bench peak`: what the CPU could do at most.

use rung_kernels::cpu::peak::{bfloat16_time_ratio, multiply_add_gflop_per_s, triad_gb_per_s};
use serde_json::json;

use crate::error::{Context, Result};
use crate::progress::Console;

/// Numbers in each of the triad's arrays: 128 KiB for all three, which the second-level cache
/// holds, and 96 MiB a thread, which none does.
const TRIAD_SIZES: [(&str, usize); 2] = [("cache", 10 << 10), ("memory", 8 << 20)];

/// The peak rates of a number of threads.
#[derive(Debug, Clone, Copy)]
pub struct Peak {
    /// Multiply-adds from registers to registers.
    pub gflop_per_s: f64,
    /// Triad within the caches, and in memory.
    pub gb_per_s: [f64; TRIAD_SIZES.len()],
}

impl Peak {
    /// Measures on the threads of the current pool.
    pub fn measure() -> Self {
        Self {
            gflop_per_s: multiply_add_gflop_per_s(),
            gb_per_s: TRIAD_SIZES.map(|(_, len)| triad_gb_per_s(len)),
        }
    }
}

/// Measures on one thread and on `threads` (0 for one a core), and prints a line for each, and one
/// for products in bfloat16 where the CPU has them.
///
/// # Errors
/// If threads cannot be started.
pub fn run(threads: usize, json: bool, console: &Console) -> Result<()> {
    let all = if threads == 0 {
        std::thread::available_parallelism().map_or(1, usize::from)
    } else {
        threads
    };
    let mut counts = vec![1, all];
    counts.dedup();
    for threads in counts {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .context("starting threads")?;
        let Peak { gflop_per_s, gb_per_s: [cache, memory] } = pool.install(Peak::measure);
        console.result(&if json {
            json!({
                "threads": threads, "gflop_per_s": gflop_per_s, "cache_gb_per_s": cache,
                "memory_gb_per_s": memory,
            })
            .to_string()
        } else {
            format!(
                "{threads} thread{}: {gflop_per_s:.0} GFLOP/s of multiply-adds, triad {cache:.1} \
                GB/s in the caches, {memory:.1} GB/s in memory",
                if threads == 1 { "" } else { "s" }
            )
        })?;
    }
    let Some(ratio) = bfloat16_time_ratio() else { return Ok(()) };
    console.result(&if json {
        json!({"bf16_time_ratio": ratio}).to_string()
    } else {
        format!("products in bfloat16: {ratio:.2} of f32's time")
    })
}
