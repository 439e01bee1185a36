//! `rung bench kernels`: the primitives at the sizes that a model has, in GFLOP/s and GB/s;
//! products and convolutions alone where the model has convolutions.

use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, ParameterList, Shape, Tensor};
use rung_kernels::MatmulShape;
use serde_json::json;

use super::passes::{Sizes, passes};
use super::{Subject, Timing, convolutions, timed_ms};
use crate::config::Config;
use crate::config::sources::{Sources, layered};
use crate::data::published_shape;
use crate::engine::spin_wait::SpinWait;
use crate::error::{Context, Result};
use crate::model::{FIRST_WEIGHT, groups, parameter_list};
use crate::progress::Console;
use crate::tasks::latent::evaluation::DEFAULT_ROWS;

/// A primitive is repeated until this much time was measured …
const MEASURED_MS: f64 = 150.0;
/// … but not more often than this, and at least three times.
const MOST_RUNS: usize = 200;

/// The form of a product that multiplies a layer's input.
const FORWARD: &str = "forward";

/// A matrix product of the model, and how often a step computes it.
struct Product {
    form: &'static str,
    shape: MatmulShape,
    count: usize,
}

/// Times each product and each pass and prints a line for each.
///
/// # Errors
/// If the device fails.
pub fn run(subject: &Subject, device: &Device, console: &Console) -> Result<()> {
    let config = &subject.config;
    let shape = published_shape(&config.data)?;
    let list = parameter_list(config, shape)?;
    let rows = config.train.batch_size;
    console.info(&format!("{}, batches of {rows}, on {}", config.preset, device.description()));
    let _spin_wait = SpinWait::on(device);
    let (mut flop, mut ms) = (0.0, 0.0);
    for product in products(&list, rows) {
        let timing = time_product(&product, device)?;
        flop += product.flop() * product.count as f64;
        ms += timing.median * product.count as f64;
        console.result(&product.line(&timing, subject.json))?;
    }
    let convolutions = config.family.convolutions(shape, rows);
    if !convolutions.is_empty() {
        for kernel in convolutions::kernels(&convolutions) {
            console.result(&kernel.line(&kernel.time(device)?, subject.json))?;
        }
        return Ok(());
    }
    let sizes = Sizes {
        rows,
        data: shape.values(),
        hidden: widest_layer(&list, shape.values()),
        latent: groups(config, shape)?.first().map_or(1, |group| group.units),
        parameters: list.element_count(),
    };
    for mut pass in passes(&sizes, device)? {
        let timing = timed(device, || (pass.run)().context(pass.name))?;
        console.result(&pass.line(&timing, subject.json))?;
    }
    if subject.json {
        return Ok(());
    }
    console.result(&format!(
        "products of a step: {:.2} GFLOP in {ms:.1} ms, {:.0} GFLOP/s",
        flop / 1e9,
        flop / ms / 1e6
    ))
}

/// Units of the widest layer that a weight reads, but for the pixels.
fn widest_layer(list: &ParameterList, pixels: usize) -> usize {
    let inputs = list.parameters().iter().filter_map(|parameter| match *parameter.shape.sizes() {
        [inputs, _] if inputs != pixels => Some(inputs),
        _ => None,
    });
    inputs.max().unwrap_or(1)
}

/// The products of a training step: for each weight the forward one, the weight's gradient, and the
/// input's but for the pixels.
fn products(list: &ParameterList, rows: usize) -> Vec<Product> {
    let mut products: Vec<Product> = Vec::new();
    for parameter in list.parameters() {
        let &[inputs, outputs] = parameter.shape.sizes() else { continue };
        let shape = |rows, columns, inner, left_transposed, right_transposed| MatmulShape {
            rows,
            columns,
            inner,
            left_transposed,
            right_transposed,
        };
        let mut forms = vec![
            (FORWARD, shape(rows, outputs, inputs, false, false)),
            ("weight gradient", shape(inputs, outputs, rows, true, false)),
        ];
        if parameter.name != FIRST_WEIGHT {
            forms.push(("input gradient", shape(rows, inputs, outputs, false, true)));
        }
        for (form, shape) in forms {
            match products.iter_mut().find(|product| product.form == form && product.shape == shape)
            {
                Some(product) => product.count += 1,
                None => products.push(Product { form, shape, count: 1 }),
            }
        }
    }
    products.sort_by_key(|product| (product.form, std::cmp::Reverse(product.flop() as u64)));
    products
}

/// Presets whose products are searched for: their models share their sizes with those of all others
/// on images of 28 x 28 pixels.
const SEARCHED: [&str; 3] = ["mnist-ladder-5", "mnist-vae-bn-wu-5", "mnist-vae-bn-wu-1"];

/// Every product of the steps of these presets, once, and the forward ones of an evaluation.
///
/// # Errors
/// If a preset breaks a rule.
pub fn shapes_of_presets() -> Result<Vec<MatmulShape>> {
    let mut shapes: Vec<MatmulShape> = Vec::new();
    for preset in SEARCHED {
        let config: Config = layered(&Sources { preset: Some(preset), ..Sources::default() })?;
        let list = parameter_list(&config, published_shape(&config.data)?)?;
        let evaluation = products(&list, DEFAULT_ROWS as usize)
            .into_iter()
            .filter(|product| product.form == FORWARD);
        for Product { shape, .. } in
            products(&list, config.train.batch_size).into_iter().chain(evaluation)
        {
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
    }
    Ok(shapes)
}

impl Product {
    fn flop(&self) -> f64 {
        let MatmulShape { rows, columns, inner, .. } = self.shape;
        2.0 * rows as f64 * columns as f64 * inner as f64
    }

    fn line(&self, timing: &Timing, json: bool) -> String {
        let MatmulShape { rows, columns, inner, .. } = self.shape;
        let Timing { median, min, max } = *timing;
        let gflop_per_s = self.flop() / median / 1e6;
        if json {
            return json!({
                "kernel": "matmul", "form": self.form, "rows": rows, "inner": inner,
                "columns": columns, "count": self.count,
                "gflop_per_s": gflop_per_s, "ms_median": median, "ms_min": min, "ms_max": max,
            })
            .to_string();
        }
        let (form, count) = (self.form, self.count);
        let sizes = format!("{rows} x {inner} . {inner} x {columns}");
        format!(
            "{form:<16} {sizes:<24} {count:>3} a step {gflop_per_s:>8.1} GFLOP/s {median:>9.4} ms \
            ({min:.4} to {max:.4})"
        )
    }
}

fn time_product(product: &Product, device: &Device) -> Result<Timing> {
    let shape = product.shape;
    let matrix = |stream: u32, len: usize| {
        Tensor::normal(device, DType::F32, Address::new(1, stream, 0), [len])
            .context("filling a matrix")
    };
    let (left, right) = (matrix(0, shape.left_len())?, matrix(1, shape.right_len())?);
    timed(device, || {
        let out = Shape::from([shape.out_len()]);
        let product = Tensor::build(device, DType::F32, out, |out| {
            device.matmul(shape, device.precision(), left.view(), right.view(), None, out)
        });
        product.map(drop).context("multiplying")
    })
}

/// The spread of the times of `work` in milliseconds, each until the device is done.
pub(super) fn timed(device: &Device, mut work: impl FnMut() -> Result<()>) -> Result<Timing> {
    let mut work = || work().and_then(|()| device.finish().context("waiting for the device"));
    work()?;
    let (mut times, mut total) = (Vec::new(), 0.0);
    while times.len() < 3 || (total < MEASURED_MS && times.len() < MOST_RUNS) {
        let ms = timed_ms(&mut work)?.1;
        times.push(ms);
        total += ms;
    }
    Ok(Timing::of(&times))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rung_datasets::ImageShape;

    /// `PEERS.md`, section 4: 0.941 + 0.941 + 0.736 GFLOP for the five-layer ladder in batches of
    /// 256, as 164 products of single heads.
    #[test]
    fn the_products_are_those_of_a_step() {
        let list = parameter_list(&Config::default(), ImageShape::new(1, 28, 28)).unwrap();
        let total = |form: &str| -> f64 {
            let products = products(&list, 256);
            products
                .iter()
                .filter(|product| product.form == form)
                .map(|product| product.flop() * product.count as f64)
                .sum()
        };
        assert!((total("forward") / 1e9 - 0.941).abs() < 2e-3);
        assert_eq!(total("forward"), total("weight gradient"));
        assert!((total("input gradient") / 1e9 - 0.736).abs() < 2e-3);
    }
}
