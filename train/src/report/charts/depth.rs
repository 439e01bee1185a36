//! Held-out bound against depth (figure 3 of the paper).

use std::collections::BTreeMap;

use super::bound::subscript;
use crate::report::figure::Figure;
use crate::report::history::{DataGroup, History};
use crate::report::line_chart::{LineChart, Series, Span, Stroke};

/// The bound of each run on one data set against its number of layers, a line for each kind of
/// model; `None` with fewer than two depths.
///
/// They are compared by the same bound: L_K of the largest K that every run was evaluated with,
/// else L_1.
pub fn figure(group: &DataGroup<'_>) -> Option<Figure> {
    let histories = group.histories();
    let common = common_samples(&histories);
    let bound = |history: &History| match common {
        Some(k) => {
            let of_k = history
                .evaluations
                .iter()
                .filter(|line| line.importance_samples == k && line.split != "train");
            of_k.max_by_key(|line| (line.step, line.images)).map(|line| line.bound_k_nats)
        }
        None => history.last_bound_1(),
    };
    let mut kinds = BTreeMap::<(usize, String), Vec<(f64, f64)>>::new();
    let mut depths: Vec<f64> = Vec::new();
    for history in &histories {
        let Some(nats) = bound(history) else { continue };
        let depth = history.depth() as f64;
        depths.push(depth);
        kinds.entry(kind(history)).or_default().push((depth, nats));
    }
    depths.sort_by(f64::total_cmp);
    depths.dedup();
    if depths.len() < 2 {
        return None;
    }
    let series = kinds.into_iter().enumerate().map(|(index, ((_, name), mut points))| {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series { name, colour: index + 1, stroke: Stroke::Dashed, points }
    });
    let name = common.map_or("L₁".to_string(), |k| format!("L{}", subscript(k)));
    LineChart {
        id: group.chart_id("depth"),
        title: format!("Held-out bound {name} against depth on {}", group.data),
        caption:
            "Higher is better. Runs of different length or seed are drawn alike: see the table."
                .into(),
        x_title: "stochastic layers".into(),
        y_title: "nats per image".into(),
        series: series.collect(),
        x_values: depths,
        warmup_end: None,
        span: Span::All,
    }
    .figure()
}

/// The largest number of importance samples above 1 that every run was evaluated with.
fn common_samples(histories: &[&History]) -> Option<u64> {
    let mut counts = histories.iter().map(|history| {
        let tested = history
            .evaluations
            .iter()
            .filter(|line| line.split != "train" && line.importance_samples > 1);
        tested.map(|line| line.importance_samples).collect::<Vec<_>>()
    });
    let first = counts.next()?;
    let rest: Vec<_> = counts.collect();
    first.into_iter().filter(|k| rest.iter().all(|counts| counts.contains(k))).max()
}

/// The kind of a model as the paper names it, with its place in the papers' order.
pub fn kind(history: &History) -> (usize, String) {
    let family = &history.config.family;
    let fine_tuned = !history.config.train.init_from.is_empty();
    let has_warmup = family.warmup_epochs() > 0 || fine_tuned;
    let has_batch_norm = family.batch_norm_momentum().is_some();
    let mut name = family.name().to_string();
    for (has, what) in
        [(has_batch_norm, " + BN"), (has_warmup, " + WU"), (fine_tuned, ", fine-tuned")]
    {
        name += if has { what } else { "" };
    }
    let variant =
        4 * usize::from(fine_tuned) + 2 * usize::from(has_warmup) + usize::from(has_batch_norm);
    (8 * family.order() + variant, name)
}
