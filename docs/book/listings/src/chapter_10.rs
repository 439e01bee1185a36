//! Chapter 10: a hierarchy of latents, with and without what makes it work.

use rung_autograd::ops::{Gaussian, merge as rung_merge};
use rung_autograd::optim::{Adam, AdamOptions, StepSize, minimise};
use rung_autograd::rng::Address;
use rung_autograd::{DType, ParameterList, ParameterStore, Tape, Tensor};
use rung_models::hierarchy::Inference;
use rung_models::objective::{ObjectiveConfig, bound};
use rung_models::{Hierarchy, HierarchyConfig, Mode, Pass, StatisticsList};

use crate::chapter_09::{PIXELS, images};
use crate::svg::{Anchor, BLUE, GREEN, GREY, INK, ORANGE, Svg};
use crate::{Result, cpu};

// ANCHOR: merge
/// Two Gaussian opinions of one number, multiplied: precisions add, and each mean counts by its
/// precision.
fn merge_two([m_1, v_1]: [f64; 2], [m_2, v_2]: [f64; 2]) -> [f64; 2] {
    let (precision_1, precision_2) = (1.0 / v_1, 1.0 / v_2);
    let variance = 1.0 / (precision_1 + precision_2);
    [(m_1 * precision_1 + m_2 * precision_2) * variance, variance]
}

/// Prints merged opinions, here and by Rung.
pub fn merge() -> Result<()> {
    for (first, second) in
        [([0.0, 1.0], [2.0, 1.0]), ([0.0, 1.0], [2.0, 0.1]), ([0.0, 1.0], [2.0, 100.0])]
    {
        let [mean, variance] = merge_two(first, second);
        let gaussian = |[mean, variance]: [f64; 2]| -> Result<Gaussian> {
            let tensor = |value| Tensor::from_f64(&cpu(), &[value], [1]);
            Ok(Gaussian { mean: tensor(mean)?, variance: tensor(variance)? })
        };
        let theirs = rung_merge(&gaussian(first)?, &gaussian(second)?)?;
        let (m, v) = (theirs.mean.to_scalar()?, theirs.variance.to_scalar()?);
        println!(
            "N(0, 1) and N(2, {}) give N({mean:.3}, {variance:.3}), by Rung N({m:.3}, {v:.3})",
            second[1]
        );
    }
    Ok(())
}
// ANCHOR_END: merge

// ANCHOR: config
/// Three stochastic layers of 16, 8 and 4 units.
pub(crate) fn config(inference: Inference, batch_norm: bool) -> HierarchyConfig {
    HierarchyConfig {
        latent_sizes: vec![16, 8, 4],
        hidden_sizes: vec![64, 32, 16],
        batch_norm_hidden: batch_norm,
        batch_norm_heads: batch_norm,
        ..HierarchyConfig::paper(PIXELS, 3, inference)
    }
}

/// How a model is trained.
#[derive(Clone, Copy)]
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) inference: Inference,
    pub(crate) batch_norm: bool,
    /// Steps over which the weight of the latent terms rises from 0 to 1.
    pub(crate) warmup: u64,
}

const STEPS: u64 = 500;
const BATCH: usize = 100;

pub(crate) const RECIPES: [Recipe; 5] = [
    Recipe { name: "VAE, plain", inference: Inference::BottomUp, batch_norm: false, warmup: 0 },
    Recipe { name: "VAE, warm-up", inference: Inference::BottomUp, batch_norm: false, warmup: 250 },
    Recipe { name: "VAE, BN", inference: Inference::BottomUp, batch_norm: true, warmup: 0 },
    Recipe {
        name: "VAE, BN, warm-up",
        inference: Inference::BottomUp,
        batch_norm: true,
        warmup: 250,
    },
    Recipe {
        name: "ladder, BN, warm-up",
        inference: Inference::PROBABILISTIC_LADDER,
        batch_norm: true,
        warmup: 250,
    },
];
// ANCHOR_END: config

// ANCHOR: train
/// What is known after some steps: the step, ln p(x|z), and the KL of each layer, z_1 first.
type Record = (u64, f64, Vec<f64>);

/// A trained hierarchy, its parameters, and records of the training.
pub(crate) fn train(
    recipe: Recipe,
    steps: u64,
) -> Result<(Hierarchy, ParameterStore, Vec<Record>)> {
    let (mut list, mut statistics) = (ParameterList::new(), StatisticsList::default());
    let model =
        Hierarchy::new(config(recipe.inference, recipe.batch_norm), &mut list, &mut statistics)?;
    let mut store = list.build(&cpu(), DType::F32, Address::new(1, 1, 0))?;
    let mut adam = Adam::new(&store, AdamOptions::default())?;
    let batches: Vec<Tensor> =
        (0..20).map(|batch| images(batch * BATCH as u64, BATCH as u32)).collect::<Result<_>>()?;
    let (tape, mut records) = (Tape::new(), Vec::new());
    for step in 0..steps {
        let beta = if step < recipe.warmup { step as f64 / recipe.warmup as f64 } else { 1.0 };
        let objective = ObjectiveConfig { beta, ..ObjectiveConfig::default() };
        let mut pass = Pass::new(&store, Some(&tape), Mode::BatchOnly, 1, step);
        let bound = bound(&model, &mut pass, &batches[step as usize % 20], &objective)?;
        if step % 50 == 0 || step + 1 == steps {
            let kl = bound.kl.iter().map(Tensor::to_scalar).collect::<Result<Vec<_>, _>>()?;
            records.push((step, bound.log_p_x.to_scalar()?, kl));
        }
        minimise(&bound.loss, &tape, &mut store, &mut adam, &StepSize::unlimited(2e-3))?;
    }
    Ok((model, store, records))
}
// ANCHOR_END: train

// ANCHOR: compare
/// Prints the held-out ELBO of each recipe, and the KL of each layer.
pub fn compare() -> Result<()> {
    println!("                        ELBO   KL of z_1, z_2, z_3");
    let x = images(100_000, 1000)?;
    for recipe in RECIPES {
        let (model, store, _) = train(recipe, STEPS)?;
        let mut pass = Pass::new(&store, None, Mode::BatchOnly, 2, 0);
        let bound = bound(&model, &mut pass, &x, &ObjectiveConfig::default())?;
        let kl = bound.kl.iter().map(Tensor::to_scalar).collect::<Result<Vec<_>, _>>()?;
        let (name, elbo) = (recipe.name, -bound.loss.to_scalar()?);
        println!("{name:20} {elbo:7.1}   {:5.1} {:5.1} {:5.1}", kl[0], kl[1], kl[2]);
    }
    Ok(())
}
// ANCHOR_END: compare

// ANCHOR: unit
/// A unit that can tell the decoder about a signal s ~ N(0, 1) by z = c·s + √(1 − c²)·ε; the
/// decoder predicts x = strength·s + noise as w·z. This is one step of gradient ascent on the
/// bound, −½ E(x − w·z)² − β·KL with KL = −½ ln(1 − c²).
fn ascend([c, w]: [f64; 2], strength: f64, beta: f64) -> [f64; 2] {
    const RATE: f64 = 0.1;
    let by_c = strength * w - beta * c / (1.0 - c * c);
    let by_w = strength * c - w;
    [(c + RATE * by_c).clamp(0.0, 0.999), w + RATE * by_w]
}

/// Prints c while the signal is weak for 200 steps and strong from then on, with the full price
/// from the start and with warm-up over the 200 steps.
pub fn unit() -> Result<()> {
    let (mut full, mut warm) = ([0.5, 0.5], [0.5, 0.5]);
    println!("step   signal   full price   warm-up");
    for step in 0..=500 {
        let strength = if step < 200 { 0.4 } else { 1.5 };
        if step % 50 == 0 {
            println!("{step:4}   {strength:6}   {:10.5}   {:7.3}", full[0], warm[0]);
        }
        full = ascend(full, strength, 1.0);
        warm = ascend(warm, strength, (step as f64 / 200.0).min(1.0));
    }
    Ok(())
}
// ANCHOR_END: unit

/// KL per layer over the training, with and without warm-up.
///
/// # Errors
/// If a training fails.
pub(crate) fn kl_picture() -> Result<String> {
    let mut svg = Svg::new(700.0, 300.0, "KL of each layer while a VAE of three layers is trained");
    for (panel, recipe) in [RECIPES[0], RECIPES[1]].into_iter().enumerate() {
        let (_, _, records) = train(recipe, STEPS)?;
        let left = 60.0 + 330.0 * panel as f64;
        let (width, top, height) = (260.0, 40.0, 200.0);
        // The first steps of a warm-up have no price on the KL: their peak is cut.
        let highest = 40.0;
        svg.text([left + width / 2.0, 24.0], Anchor::Middle, INK, recipe.name);
        svg.rectangle([left, top], [width, height], "#ffffff", GREY);
        for tick in [0.0, 10.0, 20.0, 30.0, 40.0] {
            let y = top + height * (1.0 - tick / highest);
            svg.text([left - 8.0, y + 4.0], Anchor::End, INK, &format!("{tick}"));
            svg.line([left, y], [left + 4.0, y], GREY);
        }
        for tick in [0, STEPS / 2, STEPS] {
            let x = left + width * tick as f64 / STEPS as f64;
            svg.text([x, top + height + 18.0], Anchor::Middle, INK, &tick.to_string());
        }
        for (layer, colour) in [BLUE, ORANGE, GREEN].into_iter().enumerate() {
            let points: Vec<[f64; 2]> = records
                .iter()
                .map(|(step, _, kl)| {
                    let share = (kl[layer] / highest).clamp(0.0, 1.0);
                    [left + width * *step as f64 / STEPS as f64, top + height * (1.0 - share)]
                })
                .collect();
            svg.polyline(&points, colour);
            let place = [70.0 + 60.0 * layer as f64 + 330.0 * panel as f64, 290.0];
            svg.text(place, Anchor::Start, colour, &format!("z_{}", layer + 1));
        }
        svg.text([left + width / 2.0, 276.0], Anchor::Middle, INK, "step; KL in nats an image");
    }
    Ok(svg.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_merge_is_the_product_of_the_densities() {
        let density = |z: f64, [m, v]: [f64; 2]| (-(z - m).powi(2) / (2.0 * v)).exp() / v.sqrt();
        let (first, second) = ([0.3, 0.7], [-1.2, 2.0]);
        let merged = merge_two(first, second);
        let ratio = |z| density(z, first) * density(z, second) / density(z, merged);
        assert!((ratio(-1.0) / ratio(0.5) - 1.0).abs() < 1e-12);
        assert!((ratio(2.0) / ratio(0.5) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_ladder_learns_with_all_its_terms_finite() {
        let (_, _, records) = train(RECIPES[4], 101).unwrap();
        let (_, first, _) = &records[0];
        let (_, last, kl) = &records[records.len() - 1];
        assert!(*last > first + 200.0 && kl.iter().all(|kl| kl.is_finite()), "{records:?}");
    }
}
