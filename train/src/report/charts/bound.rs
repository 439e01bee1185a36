//! The bound over the epochs, with the warm-up drawn in.

use crate::report::figure::Figure;
use crate::report::history::{EvaluationLine, History};
use crate::report::line_chart::{LineChart, Series, Span, Stroke};

/// Why a held-out bound in training can be far too low with batch normalisation.
const LAG: &str = " In training, held-out bounds use running statistics of batch normalisation, \
    which lag behind while the parameters change fast: a bound far below the training one in the \
    first epochs says nothing of the model.";

/// Train one-sample bound, held-out L_1, and every L_K that was evaluated.
pub fn figure(history: &History) -> Option<Figure> {
    let mut series = vec![
        train_series(history, "training, one sample", 5),
        held_out_series(history, "held out, L₁", 6),
    ];
    let evaluated: Vec<&EvaluationLine> = history
        .evaluations
        .iter()
        .filter(|line| line.importance_samples > 1 && line.split != "train")
        .collect();
    let mut counts: Vec<u64> = evaluated.iter().map(|line| line.importance_samples).collect();
    counts.sort_unstable();
    counts.dedup();
    for (index, k) in counts.into_iter().enumerate() {
        let of_k = evaluated.iter().filter(|line| line.importance_samples == k);
        let points: Vec<_> =
            of_k.clone().map(|line| (history.epoch_of(line.step), line.bound_k_nats)).collect();
        let images = of_k.map(|line| line.images).max().unwrap_or(0);
        let name = format!("held out, L{} ({images} images)", subscript(k));
        series.push(Series { name, colour: 3 + index, stroke: Stroke::Marks, points });
    }
    series.retain(|series| !series.points.is_empty());
    LineChart {
        id: "bound".into(),
        title: "Bound on log p(x)".into(),
        caption: "Higher is better. The held-out bound can lie above the training one: it is \
        measured after the epoch, the training bound on the way through it. All terms count in \
        full here, whatever the warm-up; the first epochs may lie outside."
            .to_string()
            + if history.has_batch_norm() { LAG } else { "" },
        x_title: "epoch".into(),
        y_title: "nats per image".into(),
        series,
        x_values: Vec::new(),
        warmup_end: warmup_end(history),
        span: Span::Settled,
    }
    .figure()
}

/// The training bound of each epoch.
pub fn train_series(history: &History, name: &str, colour: usize) -> Series {
    let point =
        |epoch: &crate::report::history::Epoch| Some((epoch.epoch as f64, epoch.train_bound_nats?));
    let points = history.epochs.iter().filter_map(point).collect();
    Series { name: name.into(), colour, stroke: Stroke::Solid, points }
}

/// The held-out one-sample bound, where it was measured.
pub fn held_out_series(history: &History, name: &str, colour: usize) -> Series {
    let point = |epoch: &crate::report::history::Epoch| {
        Some((epoch.epoch as f64, epoch.held_out_bound_1_nats?))
    };
    let points = history.epochs.iter().filter_map(point).collect();
    Series { name: name.into(), colour, stroke: Stroke::Dashed, points }
}

/// The epoch in which the latent terms reach their full weight.
pub fn warmup_end(history: &History) -> Option<f64> {
    Some(history.config.family.warmup_epochs() as f64).filter(|&epochs| epochs > 0.0)
}

/// A whole number in subscript digits.
pub fn subscript(number: u64) -> String {
    let digit = |c: char| char::from_u32(0x2080 + c.to_digit(10).unwrap_or(0)).unwrap_or(c);
    number.to_string().chars().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_subscripts() {
        assert_eq!(subscript(5010), "₅₀₁₀");
    }
}
