//! A score against a number that runs differ in, such as the factor of down-sampling.

use std::collections::BTreeMap;

use super::depth::kind;
use crate::report::figure::Figure;
use crate::report::history::DataGroup;
use crate::report::line_chart::{LineChart, Series, Span, Stroke};

/// The held-out score of each run on one data set against the number that its description
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
        caption: "Held-out images: the newest evaluation of the model that each training is \
                  judged by. Runs of different length or seed are drawn alike: see the table."
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sources::{Sources, layered};
    use crate::report::History;
    use crate::report::history::data_groups;
    use crate::run::folder::RunFolder;

    #[test]
    fn runs_that_differ_in_the_number_are_drawn_over_it_and_others_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let history = |(name, preset, sets, rate): (&str, &str, &[&str], f64)| {
            let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
            let sources = Sources { preset: Some(preset), sets: &sets, ..Sources::default() };
            let path = folder.path().join(name);
            let (run, _lock) = RunFolder::create(&path, &layered(&sources).unwrap()).unwrap();
            let line = |split, rate| {
                format!("{{\"step\":9,\"split\":\"{split}\",\"error_rate\":{rate}}}\n")
            };
            // What is drawn is the error on test images, not the newest number.
            let line = line("test", rate) + &line("validation", 0.5) + &line("train", 0.0);
            std::fs::write(run.evaluations(), line).unwrap();
            History::read(&run).unwrap()
        };
        let runs = [
            ("a", "sequences-rnn-spn-d4", &[][..], 0.023),
            ("b", "sequences-rnn-spn-d2", &[], 0.015),
            ("c", "sequences-ffn-spn-d2", &["model.downsampling=4"], 0.053),
            ("d", "sequences-convnet", &[], 0.029),
        ]
        .map(history);
        let html = |runs: &[&History]| {
            let groups = data_groups(runs);
            assert_eq!(groups.len(), 1, "all are of one data set");
            figure(&groups[0]).map(|figure| figure.html())
        };
        let all: Vec<&History> = runs.iter().collect();
        let drawn = html(&all).unwrap();
        for text in [
            "Error per digit against down-sampling factor d",
            "sequences:mnist, 3 digits and 8 patches, 100x100",
            "recurrent spatial transformer network",
            "feed-forward spatial transformer network",
        ] {
            assert!(drawn.contains(text), "{text}: {drawn}");
        }
        assert!(!drawn.contains("50.0"), "{drawn}");
        assert!(!drawn.contains("convolutional network"), "it has no such factor: {drawn}");
        assert!(html(&all[..1]).is_none() && html(&all[3..]).is_none(), "one point is no curve");
    }
}
