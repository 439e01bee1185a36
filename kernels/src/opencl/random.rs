//! Random numbers: each launch is told its address, and each work-item computes its own.

use super::context::Context;
use super::program::File;
use crate::backend::RowNoise;
use crate::check::{Extent, check, common_float, operands};
use crate::rng::Address;
use crate::{Error, Result, View, ViewMut};

/// How many different words there are: 2³².
const WORDS: f64 = 4_294_967_296.0;

/// Numbers of one counter.
const QUAD: usize = 4;

/// An address as the kernels take it: key, stream, step.
pub(super) const fn words(address: Address) -> [u32; 8] {
    let ([low, high], [_, stream, step_low, step_high]) = (address.key(), address.counter(0));
    [low, high, stream, step_low, step_high, 0, 0, 0]
}

/// `fill_uniform`, as declared.
pub(super) fn fill_uniform(
    context: &Context,
    address: Address,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "fill_uniform";
    let (n, dtype) = (out.len(), common_float(NAME, operands!(out))?);
    let launch =
        context.launch(NAME, dtype, File::Random, "fill_uniform").count(n).eight(words(address));
    launch.output(&mut out).over(n)
}

/// `fill_normal`, as declared.
pub(super) fn fill_normal(context: &Context, address: Address, mut out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "fill_normal";
    let (n, dtype) = (out.len(), common_float(NAME, operands!(out))?);
    let launch =
        context.launch(NAME, dtype, File::Random, "fill_normal").count(n).eight(words(address));
    launch.output(&mut out).joinable().over(n.div_ceil(QUAD))
}

/// `fill_normal_rows`, as declared.
pub(super) fn fill_normal_rows(
    context: &Context,
    noise: RowNoise,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "fill_normal_rows";
    let quads = noise.rows(NAME, out.len())? * noise.blocks();
    let dtype = common_float(NAME, operands!(out))?;
    let launch = context
        .launch(NAME, dtype, File::Random, "fill_normal_rows")
        .count(quads)
        .eight(words(noise.address));
    let launch = launch.count(noise.columns).count(noise.samples).count(noise.first_sample);
    launch.output(&mut out).over(quads)
}

/// `bernoulli`, as declared.
pub(super) fn bernoulli(
    context: &Context,
    address: Address,
    x: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "bernoulli";
    check(NAME, Extent::Like("out", out.len()), operands!(x))?;
    let (n, dtype) = (out.len(), common_float(NAME, operands!(x, out))?);
    let launch =
        context.launch(NAME, dtype, File::Random, "bernoulli").count(n).eight(words(address));
    launch.input(x).output(&mut out).over(n)
}

/// `dropout`, as declared.
pub(super) fn dropout(
    context: &Context,
    address: Address,
    rate: f64,
    x: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "dropout";
    if !(0.0..=1.0).contains(&rate) {
        return Err(Error::argument(NAME, format!("rate is {rate}, which must be from 0 to 1")));
    }
    check(NAME, Extent::Like("out", out.len()), operands!(x))?;
    let (n, dtype) = (out.len(), common_float(NAME, operands!(x, out))?);
    // word ≥ rate · 2³² is word ≥ its ceiling, which fits 32 bits unless the rate is 1: then the
    // share is 0, and nothing is kept.
    let first_kept = (rate * WORDS).ceil() as u32;
    let launch =
        context.launch(NAME, dtype, File::Random, "dropout").count(n).eight(words(address));
    launch.word(first_kept).real(1.0 - rate).input(x).output(&mut out).over(n)
}
