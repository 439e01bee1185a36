//! Quantities over the epochs that a family names: on the training batches, and on held-out images.

use crate::report::figure::Figure;
use crate::report::history::{Epoch, History};
use crate::report::line_chart::{LineChart, Series, Span, Stroke};

/// One chart a quantity.
pub fn figures(history: &History) -> Vec<Option<Figure>> {
    let chart = |curve: crate::tasks::Curve| {
        let line = |name: &str, prefixes: &[&str], colour: usize, stroke: Stroke| {
            let value = |epoch: &Epoch| {
                let number =
                    |prefix: &&str| epoch.others.get(&format!("{prefix}_{}", curve.key))?.as_f64();
                Some((epoch.epoch as f64, curve.drawn(prefixes.iter().find_map(number)?)))
            };
            Series {
                name: name.into(),
                colour,
                stroke,
                points: history.epochs.iter().filter_map(value).collect(),
            }
        };
        let mut series = vec![
            line("training", &["train"], 5, Stroke::Solid),
            line("held out", &["held_out", "quick"], 6, Stroke::Dashed),
        ];
        series.retain(|series| !series.points.is_empty());
        LineChart {
            id: curve.key.into(),
            title: curve.title.into(),
            caption: "Training: the mean over the batches of the epoch, on the way through it. Held out: measured after the epoch, on the \
                      first images alone where not all are evaluated."
                .into(),
            x_title: "epoch".into(),
            y_title: curve.unit.into(),
            series,
            x_values: Vec::new(),
            warmup_end: None,
            span: Span::Settled,
        }
        .figure()
    };
    history.config.family.curves().into_iter().map(chart).collect()
}
