//! Elements per second of the f32 functions, one thread, data in the first-level cache: each vector
//! unit against the standard library.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rung_kernels::cpu::real::{Real, VectorUnit, vectorised_with};

/// 8 KiB in, 8 KiB out.
const COUNT: usize = 2048;

macro_rules! bench {
    ($criterion:expr, $name:ident, $standard:expr) => {{
        let x: Vec<f32> = (0..COUNT).map(|i| 0.001 + (i as f32 * 0.618).fract() * 6.0).collect();
        let mut out = vec![0.0f32; COUNT];
        let mut group = $criterion.benchmark_group(stringify!($name));
        group.throughput(Throughput::Elements(COUNT as u64));
        for unit in VectorUnit::ALL.into_iter().filter(|unit| unit.is_available()) {
            group.bench_function(unit.name(), |bencher| {
                bencher.iter(|| {
                    vectorised_with(
                        unit,
                        #[inline(always)]
                        || {
                            for (out, &x) in out.iter_mut().zip(&x) {
                                *out = <f32 as Real>::$name(x);
                            }
                        },
                    );
                    black_box(&mut out);
                });
            });
        }
        let standard: fn(f32) -> f32 = $standard;
        group.bench_function("std", |bencher| {
            bencher.iter(|| {
                out.iter_mut().zip(&x).for_each(|(out, &x)| *out = standard(x));
                black_box(&mut out);
            });
        });
        group.finish();
    }};
}

fn functions(criterion: &mut Criterion) {
    bench!(criterion, exp, |x| f32::exp(x));
    bench!(criterion, exp_m1, |x| f32::exp_m1(x));
    bench!(criterion, ln, |x| f32::ln(x));
    bench!(criterion, ln_1p, |x| f32::ln_1p(x));
    bench!(criterion, tanh, |x| f32::tanh(x));
    bench!(criterion, sin, |x| f32::sin(x));
    bench!(criterion, cos, |x| f32::cos(x));
    bench!(criterion, sigmoid, |x| 1.0 / (1.0 + f32::exp(-x)));
    bench!(criterion, softplus, |x| f32::max(x, 0.0) + f32::ln_1p(f32::exp(-f32::abs(x))));
}

criterion_group!(benches, functions);
criterion_main!(benches);
