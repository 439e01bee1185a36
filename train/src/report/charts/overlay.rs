//! Several runs in one chart: training bound full, held-out bound broken (figure 4 of the paper).

use super::bound::{held_out_series, train_series};
use crate::report::figure::Figure;
use crate::report::history::History;
use crate::report::line_chart::{LineChart, Span};

/// The bounds of all runs over the epochs.
pub fn figure(histories: &[&History]) -> Option<Figure> {
    let lines = |(index, history): (usize, &&History)| {
        let training = train_series(history, &format!("{}, training", history.name), index + 1);
        let held_out = held_out_series(history, &format!("{}, held out L₁", history.name), index + 1);
        [training, held_out]
    };
    let series = histories.iter().enumerate().flat_map(lines).filter(|series| !series.points.is_empty()).collect();
    LineChart {
        id: "overlay".into(),
        title: "Bounds of all runs".into(),
        caption: "Higher is better. Full lines: one-sample bound in training; broken lines: one-sample bound of held-out images.".into(),
        x_title: "epoch".into(),
        y_title: "nats per image".into(),
        series,
        x_values: Vec::new(),
        warmup_end: None,
        span: Span::Settled,
    }
    .figure()
}
