//! What a device can do at most that matters here: multiply large matrices, and read and write
//! memory.

use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, Tensor};
use rung_kernels::{MatmulShape, SharedBuffer, ViewMut};

use super::timed_ms;
use crate::error::{Context, Result};

/// Rows and columns of the matrices: enough work to fill the device, within a second of time.
const PROCESSOR_SIZE: usize = 1024;
const GPU_SIZE: usize = 4096;

/// Numbers in an array that is passed over: 64 MiB, more than any cache.
const LONG: usize = 1 << 24;

/// Runs; the shortest counts, since what else runs on a machine only makes them longer.
const RUNS: usize = 8;

/// The rates of a device, in f32.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Of a product of large square matrices.
    pub gflop_per_s: f64,
    /// Of out = a·x + b·out: two arrays read, one written.
    pub gb_per_s: f64,
}

impl Rates {
    /// Measures a device; a GPU gets larger matrices.
    ///
    /// # Errors
    /// If the device fails or has no memory.
    pub fn measure(device: &Device, is_gpu: bool) -> Result<Self> {
        let size = if is_gpu { GPU_SIZE } else { PROCESSOR_SIZE };
        let shape = MatmulShape::plain(size, size, size);
        let [left, right] = [normal(device, shape.left_len())?, normal(device, shape.right_len())?];
        let mut out = zeros(device, shape.out_len())?;
        let ms = shortest(device, || {
            device.matmul(
                shape,
                device.precision(),
                left.view(),
                right.view(),
                None,
                view_mut(&mut out),
            )
        })?;
        let gflop_per_s = 2.0 * shape.multiply_adds() as f64 / ms / 1e6;
        let (x, mut out) = (normal(device, LONG)?, zeros(device, LONG)?);
        let ms = shortest(device, || device.scale_and_add(0.5, x.view(), 0.5, view_mut(&mut out)))?;
        Ok(Self { gflop_per_s, gb_per_s: (3 * LONG * size_of::<f32>()) as f64 / ms / 1e6 })
    }
}

fn normal(device: &Device, len: usize) -> Result<Tensor> {
    Tensor::normal(device, DType::F32, Address::new(1, 0, 0), [len]).context("filling an array")
}

fn zeros(device: &Device, len: usize) -> Result<SharedBuffer> {
    let mut buffer = device.allocate(DType::F32, len).context("allocating an array")?;
    device.fill(0.0, view_mut(&mut buffer)).context("filling an array")?;
    Ok(buffer)
}

fn view_mut(buffer: &mut SharedBuffer) -> ViewMut<'_> {
    buffer
        .get_mut()
        .expect("bug: a buffer of the measurement is shared; please report it")
        .view_mut()
}

/// Milliseconds of the shortest of several runs, after one that is not counted.
fn shortest(device: &Device, mut work: impl FnMut() -> rung_kernels::Result<()>) -> Result<f64> {
    let mut run = || work().and_then(|()| device.finish()).context("measuring");
    run()?;
    let mut shortest = f64::INFINITY;
    for _ in 0..RUNS {
        shortest = shortest.min(timed_ms(&mut run)?.1);
    }
    Ok(shortest)
}
