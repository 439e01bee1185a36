//! Quantities over the epochs that a family names: on the training batches, and on held-out images.

use crate::report::figure::Figure;
use crate::report::history::{Epoch, History};
use crate::report::line_chart::{LineChart, Series, Span, Stroke};
use crate::tasks::Curve;

/// One chart a quantity; of a quantity that has parts, a line for each part.
pub fn figures(history: &History) -> Vec<Option<Figure>> {
    history.config.family.curves().into_iter().map(|curve| chart(history, curve)).collect()
}

fn chart(history: &History, curve: Curve) -> Option<Figure> {
    let line = |name: String, prefixes: &[&str], part: Option<usize>, colour: usize, stroke| {
        let value = |epoch: &Epoch| {
            let number = |prefix: &&str| {
                let value = epoch.others.get(&format!("{prefix}_{}", curve.key))?;
                match part {
                    Some(part) => value.get(part)?.as_f64(),
                    None => value.as_f64(),
                }
            };
            Some((epoch.epoch as f64, curve.drawn(prefixes.iter().find_map(number)?)))
        };
        let points = history.epochs.iter().filter_map(value).collect();
        Series { name, colour, stroke, points }
    };
    const HELD_OUT: [&str; 2] = ["held_out", "quick"];
    let parts = parts_of(history, curve.key, &HELD_OUT);
    let mut series = if parts == 0 {
        vec![
            line("training".into(), &["train"], None, 5, Stroke::Solid),
            line("held out".into(), &HELD_OUT, None, 6, Stroke::Dashed),
        ]
    } else {
        let part = |part: usize| {
            line((part + 1).to_string(), &HELD_OUT, Some(part), part + 1, Stroke::Solid)
        };
        (0..parts).map(part).collect()
    };
    series.retain(|series| !series.points.is_empty());
    let caption = if parts == 0 {
        "Training: the mean over the batches of the epoch, on the way through it. Held out: \
        measured after the epoch, on the first images alone where not all are evaluated."
    } else {
        "Measured on held-out images after each epoch, on the first alone where not all are \
        evaluated: a line for each, in their order."
    };
    LineChart {
        id: curve.key.into(),
        title: curve.title.into(),
        caption: caption.into(),
        x_title: "epoch".into(),
        y_title: curve.unit.into(),
        series,
        x_values: Vec::new(),
        warmup_end: None,
        span: Span::Settled,
    }
    .figure()
}

/// How many parts a quantity has; 0 if it is one number, or was never recorded.
fn parts_of(history: &History, key: &str, prefixes: &[&str]) -> usize {
    let recorded = |epoch: &Epoch| {
        let value =
            prefixes.iter().find_map(|prefix| epoch.others.get(&format!("{prefix}_{key}")))?;
        Some(value.as_array().map_or(0, Vec::len))
    };
    history.epochs.iter().find_map(recorded).unwrap_or(0)
}
