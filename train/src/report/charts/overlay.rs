//! Several runs in one chart: training bound full, held-out bound broken (figure 4 of the paper).

use super::bound::{held_out_series, train_series};
use crate::report::figure::Figure;
use crate::report::history::{DataGroup, History};
use crate::report::line_chart::{LineChart, Span};

/// The bounds of all runs on one data set over the epochs.
pub fn figure(group: &DataGroup<'_>) -> Option<Figure> {
    let lines = |&(index, history): &(usize, &History)| {
        let training = train_series(history, &format!("{}, training", history.name), index + 1);
        let held_out =
            held_out_series(history, &format!("{}, held out L₁", history.name), index + 1);
        [training, held_out]
    };
    let series =
        group.runs.iter().flat_map(lines).filter(|series| !series.points.is_empty()).collect();
    LineChart {
        id: group.chart_id("overlay"),
        title: format!("Bounds of all runs on {}", group.data),
        caption: "Higher is better. Full lines: one-sample bound in training; broken lines: \
        one-sample bound of held-out images."
            .into(),
        x_title: "epoch".into(),
        y_title: "nats per image".into(),
        series,
        x_values: Vec::new(),
        warmup_end: None,
        span: Span::Settled,
    }
    .figure()
}
