//! Matrix products of the five-layer ladder at a batch of 256, by every engine of this CPU, and
//! with a left matrix of zeros and ones, on 1 and 2 threads.
//!
//! `cargo bench -p rung-kernels --bench matmul -- "forward 256x512x784"` runs one shape.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rung_kernels::cpu::gemm::{Engine, Epilogue, matmul, matmul_with};
use rung_kernels::{MatmulShape, Precision};
use std::hint::black_box;

/// Role, then rows, columns and inner size.
type Case = (&'static str, usize, usize, usize);

const CASES: [Case; 21] = [
    ("forward", 256, 512, 784),
    ("forward", 256, 512, 512),
    ("forward", 256, 784, 512),
    ("forward", 256, 256, 256),
    ("forward", 256, 128, 512),
    ("forward", 256, 64, 512),
    ("forward", 256, 64, 128),
    ("forward", 256, 32, 64),
    ("forward", 256, 8, 32),
    ("weight gradient", 784, 512, 256),
    ("weight gradient", 512, 512, 256),
    ("weight gradient", 512, 784, 256),
    ("weight gradient", 512, 128, 256),
    ("weight gradient", 64, 32, 256),
    ("weight gradient", 32, 8, 256),
    ("input gradient", 256, 512, 784),
    ("input gradient", 256, 512, 512),
    ("input gradient", 256, 512, 128),
    ("evaluation", 5000, 512, 512),
    ("evaluation", 5000, 784, 512),
    ("square", 2048, 2048, 2048),
];

fn products(criterion: &mut Criterion) {
    for (role, rows, columns, inner) in CASES {
        let shape = MatmulShape {
            rows,
            columns,
            inner,
            left_transposed: role == "weight gradient",
            right_transposed: role == "input gradient",
        };
        let left: Vec<f32> = (0..rows * inner).map(|i| (i % 17) as f32 - 8.0).collect();
        let binary: Vec<f32> = (0..rows * inner).map(|i| f32::from(i % 17 < 3)).collect();
        let right: Vec<f32> = (0..inner * columns).map(|i| (i % 13) as f32 - 6.0).collect();
        let mut out = vec![0.0f32; rows * columns];
        let mut group = criterion.benchmark_group(format!("{role} {rows}x{columns}x{inner}"));
        // One element is one multiply-add.
        group.throughput(Throughput::Elements((rows * columns * inner) as u64));
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("a thread pool");
            for engine in Engine::ALL.into_iter().filter(|engine| engine.is_available()) {
                group.bench_function(BenchmarkId::new(engine.name(), threads), |bencher| {
                    pool.install(|| {
                        bencher.iter(|| {
                            matmul_with(
                                engine,
                                shape,
                                &left,
                                &right,
                                Epilogue::Store,
                                black_box(&mut out),
                            )
                        });
                    });
                });
            }
            group.bench_function(BenchmarkId::new("binary", threads), |bencher| {
                pool.install(|| {
                    bencher.iter(|| {
                        matmul(
                            shape,
                            Precision::Full,
                            &binary,
                            &right,
                            Epilogue::Store,
                            black_box(&mut out),
                        )
                    });
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
