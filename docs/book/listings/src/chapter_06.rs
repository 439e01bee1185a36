//! Chapter 6: how a kernel runs.

use rung_autograd::{Device, Tensor};
use rung_kernels::opencl::{OpenCl, found};

use crate::{Result, cpu};

// ANCHOR: grid
/// A kernel as a function: what one work-item does that knows its place in the grid.
type Kernel = fn(place: usize, x: &[f32], out: &mut [f32]);

/// Starts a kernel for so many work-items, in groups of `GROUP`, as a device would: here one after
/// the other, there all at once.
fn launch(kernel: Kernel, items: usize, x: &[f32], out: &mut [f32]) {
    let rounded = items.div_ceil(GROUP) * GROUP;
    (0..rounded).for_each(|place| kernel(place, x, out));
}

const GROUP: usize = 64;

/// out[i] = x[i]².
fn square(place: usize, x: &[f32], out: &mut [f32]) {
    if place < x.len() {
        out[place] = x[place] * x[place];
    }
}

/// Prints squares, and how many work-items were started for them.
pub fn grid() -> Result<()> {
    let x = [1.0, 2.0, 3.0];
    let mut out = [0.0; 3];
    launch(square, x.len(), &x, &mut out);
    println!("{out:?} by {} work-items", x.len().div_ceil(GROUP) * GROUP);
    Ok(())
}
// ANCHOR_END: grid

// ANCHOR: tree
/// The sum of a work-group's numbers by halving: in each round the first half adds the second.
fn tree_sum(mut local: Vec<f32>) -> (f32, usize) {
    let mut rounds = 0;
    let mut half = local.len().next_power_of_two() / 2;
    local.resize(2 * half.max(1), 0.0);
    while half > 0 {
        // On a device: one work-item for each `place`, then a barrier.
        for place in 0..half {
            local[place] += local[place + half];
        }
        half /= 2;
        rounds += 1;
    }
    (local[0], rounds)
}

/// Prints the sum of 1 to 256 as a work-group takes it.
pub fn tree() -> Result<()> {
    let (sum, rounds) = tree_sum((1..=256).map(|n| n as f32).collect());
    println!("sum {sum} after {rounds} rounds");
    Ok(())
}
// ANCHOR_END: tree

// ANCHOR: races
/// Prints what becomes of 100 additions to one number if all work-items read before any writes,
/// and if each adds to a number of its own first.
pub fn races() -> Result<()> {
    let mut shared = 0.0;
    let read: Vec<f32> = (0..100).map(|_| shared).collect(); // all at the same moment
    read.iter().for_each(|seen| shared = seen + 1.0);
    let own = vec![1.0; 100];
    println!("added by all at once: {shared}, each its own and then a sum: {}", tree_sum(own).0);
    Ok(())
}
// ANCHOR_END: races

// ANCHOR: devices
/// Prints whether every OpenCL device of this machine agrees with the CPU on a small model.
pub fn devices() -> Result<()> {
    let run = |device: &Device| -> Result<Vec<f32>> {
        let x = Tensor::from_f32(device, &[0.5, -1.0, 2.0, 0.25], [2, 2])?;
        Ok(x.matmul(&x)?.tanh()?.softmax(1)?.to_f32()?)
    };
    let wanted = run(&cpu())?;
    for listed in found().unwrap_or(&[]) {
        let values = run(&Device::new(OpenCl::open(listed)?))?;
        let close = values.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-6);
        if !close {
            return Err(format!("{values:?} is not {wanted:?}").into());
        }
    }
    println!("every OpenCL device agrees with the CPU: {wanted:.4?}");
    Ok(())
}
// ANCHOR_END: devices
