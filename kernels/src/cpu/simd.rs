//! Loops compiled for the widest vector unit of the CPU at hand.
//!
//! The program is compiled for the oldest CPU of its kind, and the loops that matter once more for
//! each newer vector unit: a `#[target_feature]` function around an inlined closure is compiled
//! with that unit's instructions, and which of the copies runs is decided when the program starts.
//! Nothing here is an intrinsic; LLVM vectorises the plain loops.
//!
//! All copies give the same bits: Rust never fuses a multiplication with an addition by itself, no
//! sum is reordered, and `math.rs` asks for no fused operation. LLVM uses 512-bit registers in the
//! AVX-512 copy, because the preference for 256 bits belongs to CPU models (`target-cpu`) and not
//! to the features enabled here. For arithmetic this is worth 1.6 to 2.2 times on a Xeon with two
//! 512-bit units; loops bound by memory don't notice.

use std::sync::OnceLock;

/// A set of vector instructions that loops are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorUnit {
    /// What every CPU of this kind has: 128 bits on `x86_64`.
    Baseline,
    /// 256 bits (AVX2 and its companions).
    Avx2,
    /// 512 bits (AVX-512 F, DQ, BW, VL and CD).
    Avx512,
}

impl VectorUnit {
    /// Every unit, the narrowest first.
    pub const ALL: [Self; 3] = [Self::Baseline, Self::Avx2, Self::Avx512];

    /// The name that the environment variable `RUNG_VECTOR` takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this CPU, and its operating system, have it.
    #[must_use]
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return match self {
            Self::Baseline => true,
            Self::Avx2 => has_avx2(),
            Self::Avx512 => has_avx512(),
        };
        #[cfg(not(target_arch = "x86_64"))]
        return self == Self::Baseline;
    }

    /// The unit that [`vectorised`] uses: the widest there is, or the one that `RUNG_VECTOR` names
    /// if the CPU has it.
    #[must_use]
    pub fn in_use() -> Self {
        static IN_USE: OnceLock<VectorUnit> = OnceLock::new();
        *IN_USE.get_or_init(|| {
            let wanted = std::env::var("RUNG_VECTOR").ok();
            let named = Self::ALL
                .into_iter()
                .find(|unit| wanted.as_deref() == Some(unit.name()) && unit.is_available());
            let widest = Self::ALL.into_iter().rev().find(|unit| unit.is_available());
            named.or(widest).unwrap_or(Self::Baseline)
        })
    }
}

/// Runs `body` compiled for the widest vector unit of this CPU.
///
/// What is not inlined into `body` is compiled for the baseline. A long closure is not inlined of
/// itself, since it is called from one place for each unit, so **write the attribute on the closure
/// and on every helper**:
///
/// ```ignore
/// vectorised(
///     #[inline(always)]
///     || for (out, &x) in out.iter_mut().zip(x) { *out = x.exp() },
/// );
/// ```
///
/// Inside, loop over slices of known equal length (`zip`, `chunks_exact`), keep conditions to
/// values (`if … { a } else { b }` with both cheap), and call no function of the standard library's
/// mathematics. The dispatch costs a nanosecond: call this once for a block of rows, inside the
/// parallel loop. A closure passed *into* `body` needs the attribute as well.
#[inline(always)]
pub fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    dispatch(VectorUnit::in_use(), body)
}

/// [`vectorised`] for a given unit: for tests and benchmarks.
///
/// # Panics
/// If the CPU lacks the unit.
#[inline(always)]
pub fn vectorised_with<R>(unit: VectorUnit, body: impl FnOnce() -> R) -> R {
    assert!(unit.is_available(), "this CPU has no {unit:?}");
    dispatch(unit, body)
}

/// Runs the copy for `unit`, which is available: it comes from [`VectorUnit::in_use`] or was
/// asserted to be.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn dispatch<R>(unit: VectorUnit, body: impl FnOnce() -> R) -> R {
    match unit {
        VectorUnit::Baseline => body(),
        // SAFETY: the unit is available, so the CPU has all the features that the function enables.
        VectorUnit::Avx2 => unsafe { run_avx2(body) },
        // SAFETY: as above.
        VectorUnit::Avx512 => unsafe { run_avx512(body) },
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn dispatch<R>(_unit: VectorUnit, body: impl FnOnce() -> R) -> R {
    body()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,fma,lzcnt,popcnt")]
fn run_avx2<R>(body: impl FnOnce() -> R) -> R {
    body()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(
    enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512cd,avx2,bmi1,bmi2,fma,lzcnt,popcnt"
)]
fn run_avx512<R>(body: impl FnOnce() -> R) -> R {
    body()
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512cd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_available_unit_computes_the_same() {
        let x: Vec<f32> = (0..1000).map(|i| i as f32 * 0.37).collect();
        let run = |unit| {
            let mut out = vec![0.0f32; x.len()];
            vectorised_with(
                unit,
                #[inline(always)]
                || out.iter_mut().zip(&x).for_each(|(out, x)| *out = x * x + 0.1),
            );
            out
        };
        let baseline = run(VectorUnit::Baseline);
        for unit in VectorUnit::ALL.into_iter().filter(|unit| unit.is_available()) {
            assert_eq!(run(unit), baseline, "{unit:?}");
        }
    }

    #[test]
    fn the_unit_in_use_is_available() {
        assert!(VectorUnit::in_use().is_available());
        assert_eq!(vectorised(|| 7), 7);
    }
}
