//! The passes over memory that a training step is made of besides its matrix products.

use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, PixelMap, Tensor, View, ViewMut};
use rung_kernels::backend::{
    AdamStep, BatchNorm, BatchNormVectors, BatchStatistics, GaussianView, Matrix,
};
use rung_kernels::{Error, SharedBuffer, UnaryFunction};
use serde_json::json;

use super::Timing;
use crate::error::{Context, Result};

/// The sizes of a model that matter.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Images in a batch.
    pub rows: usize,
    /// Values in an image.
    pub data: usize,
    /// Units of the widest hidden layer.
    pub hidden: usize,
    /// Units of z_1.
    pub latent: usize,
    /// Numbers in all parameters.
    pub parameters: usize,
}

/// A primitive with its operands.
pub struct Pass {
    /// The primitive.
    pub name: &'static str,
    matrix: Matrix,
    /// Bytes that must be read and written for each element, each operand once.
    bytes_per_element: usize,
    /// Runs it.
    pub run: Box<dyn FnMut() -> rung_kernels::Result<()>>,
}

impl Pass {
    /// The result as a line.
    pub fn line(&self, timing: &Timing, json: bool) -> String {
        let Matrix { rows, columns } = self.matrix;
        let Timing { median, min, max } = *timing;
        let gb_per_s = (self.matrix.element_count() * self.bytes_per_element) as f64 / median / 1e6;
        if json {
            return json!({
                "kernel": self.name, "rows": rows, "columns": columns,
                "bytes_per_element": self.bytes_per_element,
                "gb_per_s": gb_per_s, "ms_median": median, "ms_min": min, "ms_max": max,
            })
            .to_string();
        }
        let sizes = format!("{rows} x {columns}");
        format!(
            "{:<28} {sizes:<14} {gb_per_s:>15.1} GB/s    {median:>9.4} ms ({min:.4} to {max:.4})",
            self.name
        )
    }
}

/// Memory for operands and results on a device.
struct Memory<'a>(&'a Device);

impl Memory<'_> {
    /// Standard normal numbers.
    fn normal(&self, len: usize) -> Result<Tensor> {
        Tensor::normal(self.0, DType::F32, Address::new(1, 0, 0), [len]).context("filling memory")
    }

    /// Numbers in (0, 1).
    fn uniform(&self, len: usize) -> Result<Tensor> {
        Tensor::uniform(self.0, DType::F32, Address::new(1, 1, 0), [len]).context("filling memory")
    }

    /// Zeros to be written over.
    fn out(&self, len: usize) -> Result<SharedBuffer> {
        let mut buffer = self.0.allocate(DType::F32, len).context("allocating memory")?;
        let filled = writable(&mut buffer).and_then(|out| self.0.fill(0.0, out));
        filled.context("filling memory")?;
        Ok(buffer)
    }
}

fn writable(buffer: &mut SharedBuffer) -> rung_kernels::Result<ViewMut<'_>> {
    let buffer = buffer.get_mut().ok_or(Error::Shared { operation: "bench" })?;
    Ok(buffer.view_mut())
}

/// The passes at these sizes, in the order of a step.
///
/// # Errors
/// If the device has no memory.
pub fn passes(sizes: &Sizes, device: &Device) -> Result<Vec<Pass>> {
    let memory = Memory(device);
    let mut passes = pixels(sizes, device)?;
    passes.extend(norms(sizes, device, &memory)?);
    passes.extend(gaussians(sizes, device, &memory)?);
    passes.extend(likelihood(sizes, device, &memory)?);
    passes.push(adam(sizes, device, &memory)?);
    Ok(passes)
}

fn pixels(sizes: &Sizes, device: &Device) -> Result<Vec<Pass>> {
    let matrix = Matrix { rows: sizes.rows, columns: sizes.data };
    let doing = "copying pixels";
    let pixels =
        Tensor::from_u8(device, &vec![50; matrix.element_count()], [matrix.rows, matrix.columns])
            .context(doing)?;
    let indices: Vec<u32> = (0..sizes.rows as u32).collect();
    let indices = Tensor::from_u32(device, &indices, [sizes.rows]).context(doing)?;
    let map = PixelMap::Bernoulli(Address::new(1, 2, 0));
    let run = move || pixels.gather_pixels(map, &indices, DType::F32).map(drop);
    Ok(vec![Pass {
        name: "gather_pixels (binarised)",
        matrix,
        bytes_per_element: 1 + 4,
        run: Box::new(run),
    }])
}

fn norms(sizes: &Sizes, device: &Device, memory: &Memory<'_>) -> Result<Vec<Pass>> {
    let matrix = Matrix { rows: sizes.rows, columns: sizes.hidden };
    let norm = BatchNorm { matrix, epsilon: 1e-5, activation: UnaryFunction::LeakyRelu(0.1) };
    let len = matrix.element_count();
    let (x, grad_out) = (memory.normal(len)?, memory.normal(len)?);
    let vector = memory.uniform(sizes.hidden)?;
    let mut outs = [memory.out(len)?, memory.out(sizes.hidden)?, memory.out(sizes.hidden)?];
    let (forward_device, forward_x, forward_vector) = (device.clone(), x.clone(), vector.clone());
    let forward = move || {
        let [out, mean, variance] = &mut outs;
        let (x, vector) = (forward_x.view(), forward_vector.view());
        let statistics =
            BatchStatistics { mean: writable(mean)?, variance: writable(variance)?, running: None };
        forward_device.batch_norm(&norm, x, vector, vector, statistics, writable(out)?)
    };
    let mut outs = [memory.out(len)?, memory.out(sizes.hidden)?, memory.out(sizes.hidden)?];
    let device = device.clone();
    let backward = move || {
        let [grad_x, grad_scale, grad_shift] = &mut outs;
        let view: View<'_> = vector.view();
        let vectors = BatchNormVectors { mean: view, variance: view, scale: view, shift: view };
        let (grad_x, grad_scale, grad_shift) =
            (writable(grad_x)?, writable(grad_scale)?, writable(grad_shift)?);
        device.batch_norm_backward(
            &norm,
            x.view(),
            vectors,
            grad_out.view(),
            grad_x,
            grad_scale,
            grad_shift,
        )
    };
    Ok(vec![
        Pass { name: "batch_norm", matrix, bytes_per_element: 8, run: Box::new(forward) },
        Pass {
            name: "batch_norm_backward",
            matrix,
            bytes_per_element: 12,
            run: Box::new(backward),
        },
    ])
}

fn gaussians(sizes: &Sizes, device: &Device, memory: &Memory<'_>) -> Result<Vec<Pass>> {
    let matrix = Matrix { rows: sizes.rows, columns: sizes.latent };
    let len = matrix.element_count();
    let (joined, noise, variance) =
        (memory.normal(2 * len)?, memory.normal(len)?, memory.uniform(len)?);
    let mut passes = Vec::new();
    let mut add = |name, bytes_per_element, run: Box<dyn FnMut() -> rung_kernels::Result<()>>| {
        passes.push(Pass { name, matrix, bytes_per_element, run });
    };
    let (d, mut mean_out, mut variance_out) = (device.clone(), memory.out(len)?, memory.out(len)?);
    add(
        "gaussian_head",
        16,
        Box::new(move || {
            d.gaussian_head(
                matrix,
                1e-5,
                joined.view(),
                writable(&mut mean_out)?,
                writable(&mut variance_out)?,
            )
        }),
    );
    let (d, mut out) = (device.clone(), memory.out(len)?);
    add(
        "fill_normal",
        4,
        Box::new(move || d.fill_normal(Address::new(1, 3, 0), writable(&mut out)?)),
    );
    let (d, m, v, mut out) = (device.clone(), noise.clone(), variance.clone(), memory.out(len)?);
    add(
        "reparameterise",
        16,
        Box::new(move || d.reparameterise(gaussian(&m, &v), m.view(), writable(&mut out)?)),
    );
    let (d, m, v, mut mean_out, mut variance_out) =
        (device.clone(), noise.clone(), variance.clone(), memory.out(len)?, memory.out(len)?);
    let merge = move || {
        d.merge(
            gaussian(&m, &v),
            gaussian(&m, &v),
            writable(&mut mean_out)?,
            writable(&mut variance_out)?,
        )
    };
    add("merge", 24, Box::new(merge));
    let (d, mut out) = (device.clone(), memory.out(sizes.rows)?);
    let log_prob = move || {
        d.gaussian_log_prob(
            matrix,
            1,
            noise.view(),
            gaussian(&noise, &variance),
            writable(&mut out)?,
        )
    };
    add("gaussian_log_prob", 12, Box::new(log_prob));
    Ok(passes)
}

fn gaussian<'a>(mean: &'a Tensor, variance: &'a Tensor) -> GaussianView<'a> {
    GaussianView { mean: mean.view(), variance: variance.view() }
}

fn likelihood(sizes: &Sizes, device: &Device, memory: &Memory<'_>) -> Result<Vec<Pass>> {
    let matrix = Matrix { rows: sizes.rows, columns: sizes.data };
    let len = matrix.element_count();
    let (logits, x, grad_out) =
        (memory.normal(len)?, memory.uniform(len)?, memory.normal(sizes.rows)?);
    let (d, l, images, mut out) =
        (device.clone(), logits.clone(), x.clone(), memory.out(sizes.rows)?);
    let forward =
        move || d.bernoulli_log_prob(matrix, 1, images.view(), l.view(), writable(&mut out)?);
    let (d, mut out) = (device.clone(), memory.out(len)?);
    let backward = move || {
        d.bernoulli_log_prob_backward(
            matrix,
            1,
            x.view(),
            logits.view(),
            grad_out.view(),
            writable(&mut out)?,
        )
    };
    Ok(vec![
        Pass { name: "bernoulli_log_prob", matrix, bytes_per_element: 8, run: Box::new(forward) },
        Pass {
            name: "bernoulli_log_prob_backward",
            matrix,
            bytes_per_element: 12,
            run: Box::new(backward),
        },
    ])
}

fn adam(sizes: &Sizes, device: &Device, memory: &Memory<'_>) -> Result<Pass> {
    let len = sizes.parameters;
    let step = AdamStep { corrected_rate: 1e-3, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-4 };
    let gradient = memory.normal(len)?;
    let mut outs = [memory.out(len)?, memory.out(len)?, memory.out(len)?];
    let device = device.clone();
    let run = move || {
        let [value, first, second] = &mut outs;
        device.adam(
            step,
            None,
            gradient.view(),
            writable(value)?,
            writable(first)?,
            writable(second)?,
        )
    };
    Ok(Pass {
        name: "adam",
        matrix: Matrix { rows: 1, columns: len },
        bytes_per_element: 28,
        run: Box::new(run),
    })
}
