//! A training step, forward, backward and Adam, by depth; batch 256, all threads.
//!
//! `cargo bench -p rung-models -- "ladder, 5"` runs one model. With the data and the clipping:
//! `rung bench step`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rung_autograd::optim::{Adam, AdamOptions, StepSize, minimise};
use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, ParameterList, Result, Tape, Tensor};
use rung_models::hierarchy::Inference;
use rung_models::objective::{ObjectiveConfig, bound};
use rung_models::{Hierarchy, HierarchyConfig, Mode, Pass, StatisticsList};

const BATCH: usize = 256;
const PIXELS: usize = 784;

/// A step of a fresh model, ready to be repeated.
fn step(inference: Inference, layers: usize) -> Result<impl FnMut() -> Result<()>> {
    let (cpu, mut parameters, mut statistics) =
        (Device::cpu(), ParameterList::new(), StatisticsList::default());
    let model = Hierarchy::new(
        HierarchyConfig::paper(PIXELS, layers, inference),
        &mut parameters,
        &mut statistics,
    )?;
    let mut store = parameters.build(&cpu, DType::F32, Address::new(1, 0, 0))?;
    let mut statistics = statistics.build(&cpu, DType::F32)?;
    let mut adam = Adam::new(&store, AdamOptions::default())?;
    let x = Tensor::uniform(&cpu, DType::F32, Address::new(1, 1, 0), [BATCH, PIXELS])?;
    let mut steps = 0;
    Ok(move || {
        let tape = Tape::new();
        let mut pass = Pass::new(&store, Some(&tape), Mode::Batch(&mut statistics, 0.1), 1, steps);
        let bound = bound(&model, &mut pass, &x, &ObjectiveConfig::default())?;
        steps += 1;
        minimise(&bound.loss, &tape, &mut store, &mut adam, &StepSize::unlimited(1e-3))?;
        Ok(())
    })
}

fn steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("training step");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, inference) in
        [("ladder", Inference::PROBABILISTIC_LADDER), ("VAE", Inference::BottomUp)]
    {
        for layers in 1..=5 {
            let mut step = step(inference, layers).expect("the model fits into memory");
            let id = BenchmarkId::from_parameter(format!("{name}, {layers} layers"));
            group.bench_function(id, |bencher| bencher.iter(|| step().expect("the step succeeds")));
        }
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
