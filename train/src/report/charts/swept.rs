//! A score against a number that runs differ in, such as the factor of down-sampling.

use std::collections::BTreeMap;

use super::depth::kind;
use crate::report::figure::Figure;
use crate::report::history::DataGroup;
use crate::report::line_chart::{LineChart, Series, Span, Stroke};

/// The newest held-out score of each run on one data set against the number that its description
/// says it varies in, a line for each kind of model; `None` with fewer than two such numbers.
///
/// Only runs whose families name the same score and the same number are drawn: those of the first
/// run that has both.
pub fn figure(group: &DataGroup<'_>) -> Option<Figure> {
    let measured = |history: &&crate::report::History| {
        let (what, at) = history.config.family.swept()?;
        let (curve, value) = history.last_score_value()?;
        Some((what, curve, kind(history), (at, value)))
    };
    let all: Vec<_> = group.histories().iter().filter_map(measured).collect();
    let &(what, curve, ..) = all.first()?;
    let mut kinds = BTreeMap::<(usize, String), Vec<(f64, f64)>>::new();
    let mut places = Vec::new();
    for (_, _, kind, point) in all.into_iter().filter(|run| (run.0, run.1) == (what, curve)) {
        kinds.entry(kind).or_default().push(point);
        places.push(point.0);
    }
    places.sort_by(f64::total_cmp);
    places.dedup();
    if places.len() < 2 {
        return None;
    }
    let series = kinds.into_iter().enumerate().map(|(index, ((_, name), mut points))| {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series { name, colour: index + 1, stroke: Stroke::Solid, points }
    });
    LineChart {
        id: group.chart_id("swept"),
        title: format!("{} against {what} on {}", curve.title, group.data),
        caption: "Held-out images, the newest evaluation of each run. Runs of different length or \
                  seed are drawn alike: see the table."
            .into(),
        x_title: what.into(),
        y_title: curve.unit.into(),
        series: series.collect(),
        x_values: places,
        warmup_end: None,
        span: Span::All,
    }
    .figure()
}
