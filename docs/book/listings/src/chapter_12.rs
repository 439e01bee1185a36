//! Chapter 12: convolutions, skip connections, and what BIVA makes of them.

use rung_autograd::rng::{Address, normal_at};
use rung_autograd::{DType, Tape, Tensor};

use crate::{Result, cpu};

// ANCHOR: convolution
/// A convolution of one row: out[i] = Σ_a x[i·stride + a − k/2] · w[a], zeros beyond the edges.
fn convolve(x: &[f64], w: &[f64], stride: usize) -> Vec<f64> {
    let at = |place: usize| {
        // `place` counts from k/2 before the row.
        place.checked_sub(w.len() / 2).and_then(|place| x.get(place)).copied().unwrap_or(0.0)
    };
    (0..x.len().div_ceil(stride))
        .map(|i| (0..w.len()).map(|a| at(i * stride + a) * w[a]).sum())
        .collect()
}

/// Its adjoint: each output's adjoint goes to all inputs that it read, with the same weights.
fn convolve_adjoint(grad_out: &[f64], w: &[f64], stride: usize, len: usize) -> Vec<f64> {
    let mut grad_x = vec![0.0; len];
    for (i, grad) in grad_out.iter().enumerate() {
        for (a, weight) in w.iter().enumerate() {
            let place = (i * stride + a).checked_sub(w.len() / 2);
            if let Some(grad_x) = place.and_then(|place| grad_x.get_mut(place)) {
                *grad_x += grad * weight;
            }
        }
    }
    grad_x
}

/// Prints a row's edges, a map of half the size, and whether ⟨y, conv x⟩ = ⟨convᵀ y, x⟩.
pub fn convolution() -> Result<()> {
    let step = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    println!("edges  {:?}", convolve(&step, &[-1.0, 0.0, 1.0], 1));
    println!("halved {:?}", convolve(&step, &[0.25, 0.5, 0.25], 2));
    let normal = |stream, len| -> Vec<f64> {
        (0..len).map(|n| normal_at(&Address::new(1, stream, 0), n)).collect()
    };
    let (x, w, y) = (normal(0, 9), normal(1, 3), normal(2, 5));
    let inner = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let forward = inner(&y, &convolve(&x, &w, 2));
    let back = inner(&convolve_adjoint(&y, &w, 2, 9), &x);
    println!("⟨y, conv x⟩ {forward:.6}, ⟨convᵀ y, x⟩ {back:.6}");
    Ok(())
}
// ANCHOR_END: convolution

// ANCHOR: shared
/// Prints the weights and the multiply-adds of a layer from a map of 28×28 with 16 channels to one
/// of the same size.
pub fn shared() -> Result<()> {
    let (side, channels, kernel) = (28_usize, 16, 3);
    let places = side * side;
    let dense = (places * channels).pow(2);
    println!("dense:           {dense:>12} weights, {dense:>12} multiply-adds an image");
    let weights = kernel * kernel * channels * channels;
    println!("3×3 convolution: {weights:>12} weights, {:>12} multiply-adds", places * weights);
    Ok(())
}
// ANCHOR_END: shared

// ANCHOR: reach
/// Prints how many pixels along a side one value depends on, after some layers of 3×3.
pub fn reach() -> Result<()> {
    for (name, strides) in [("stride 1", [1; 6]), ("every third with stride 2", [1, 1, 2, 1, 1, 2])]
    {
        let (mut reach, mut jump) = (1, 1);
        let mut after = Vec::new();
        for stride in strides {
            reach += 2 * jump;
            jump *= stride;
            after.push(reach);
        }
        println!("{name:26} {after:?}");
    }
    Ok(())
}
// ANCHOR_END: reach

// ANCHOR: skips
/// Prints the norm of the gradient at the input of a stack of layers, relative to that at its end,
/// without and with skip connections.
pub fn skips() -> Result<()> {
    let norm = |depth: u64, skip: bool| -> Result<f64> {
        let tape = Tape::new();
        let draw = |stream, rows| {
            Tensor::normal(&cpu(), DType::F64, Address::new(1, stream, 0), [rows, 64])
        };
        let x = tape.variable(&draw(0, 32)?)?;
        let mut h = x.clone();
        for layer in 1..=depth {
            let weight = draw(layer as u32, 64)?.scale(0.08)?;
            let change = h.matmul(&weight)?.tanh()?;
            h = if skip { h.add(&change)? } else { change };
        }
        let target = draw(1000, 32)?;
        let gradient = tape.backward(&h.mul(&target)?.sum_all()?)?.of(&x)?;
        let size = |tensor: &Tensor| -> Result<f64> {
            Ok(tensor.square()?.sum_all()?.to_scalar()?.sqrt())
        };
        Ok(size(&gradient)? / size(&target)?)
    };
    println!("layers   without     with");
    for depth in [1, 5, 10, 20, 40] {
        println!("{depth:6}   {:7.0e}   {:6.1}", norm(depth, false)?, norm(depth, true)?);
    }
    Ok(())
}
// ANCHOR_END: skips

// ANCHOR: gate
/// Prints what a gated residual block adds to its input 1, as its gate opens.
pub fn gate() -> Result<()> {
    let (h, change) = (1.0, 2.0_f64);
    for gate in [-6.0, -2.0, 0.0, 2.0, 6.0] {
        let open = 1.0 / (1.0 + f64::exp(-gate));
        println!("gate {gate:4}: {:.3}", h + open * change.tanh());
    }
    Ok(())
}
// ANCHOR_END: gate

// ANCHOR: beside
/// Prints a convolution of this chapter and Rung's, on the same numbers.
pub fn beside_rung() -> Result<()> {
    let (x, w) = ([1.0, 2.0, 4.0, 8.0, 16.0], [1.0, 10.0, 100.0]);
    let map = Tensor::from_f64(&cpu(), &x, [1, 1, 5, 1])?; // [batch, height, width, channels]
    let kernel = Tensor::from_f64(&cpu(), &w, [1, 3, 1, 1])?; // [height, width, in, out]
    for stride in [1, 2] {
        println!("here {:?}", convolve(&x, &w, stride));
        println!("Rung {:?}", map.conv2d(&kernel, None, stride)?.to_f64()?);
    }
    Ok(())
}
// ANCHOR_END: beside
