//! The terms of the bound over the epochs: what the pixels cost, and what each layer costs.

use super::bound::warmup_end;
use crate::report::figure::Figure;
use crate::report::history::{Epoch, History};
use crate::report::line_chart::{LineChart, Series, Span, Stroke};
use crate::tasks::latent::evaluation::ACTIVE_NATS;

/// log p(x|z₁) of the training images.
pub fn likelihood(history: &History) -> Option<Figure> {
    let point = |epoch: &Epoch| Some((epoch.epoch as f64, epoch.train_log_p_x_nats?));
    let points: Vec<_> = history.epochs.iter().filter_map(point).collect();
    let series = Series { name: "training".into(), colour: 5, stroke: Stroke::Solid, points };
    LineChart {
        id: "likelihood".into(),
        title: "How well images are rebuilt: log p(x|z)".into(),
        caption: "The bound is this term less the KL of all layers.".into(),
        x_title: "epoch".into(),
        y_title: "nats per image".into(),
        series: vec![series],
        x_values: Vec::new(),
        warmup_end: warmup_end(history),
        span: Span::Settled,
    }
    .figure()
}

/// log q − log p of each layer.
pub fn kl(history: &History) -> Option<Figure> {
    LineChart {
        id: "kl".into(),
        title: "What each layer says: KL(q‖p)".into(),
        caption: "z₁ is nearest to the image. A layer on the axis (at most 0.01 nats) tells the \
        layers below nothing."
            .into(),
        x_title: "epoch".into(),
        y_title: "nats per image".into(),
        series: layer_series(history, |epoch, index| *epoch.train_kl_nats.get(index)?),
        x_values: Vec::new(),
        warmup_end: warmup_end(history),
        span: Span::Logarithmic(ACTIVE_NATS),
    }
    .figure()
}

/// A line for each layer that has values.
pub fn layer_series(
    history: &History,
    value: impl Fn(&Epoch, usize) -> Option<f64>,
) -> Vec<Series> {
    let layer = |index: usize| {
        let point = |epoch: &Epoch| Some((epoch.epoch as f64, value(epoch, index)?));
        let points: Vec<_> = history.epochs.iter().filter_map(point).collect();
        Series { name: history.group_name(index), colour: index + 1, stroke: Stroke::Solid, points }
    };
    (0..history.groups.len()).map(layer).filter(|series| !series.points.is_empty()).collect()
}
