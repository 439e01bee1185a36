//! How many units of each layer are in use (table 2 of the paper).

use super::bound::warmup_end;
use super::terms::layer_series;
use crate::report::axis::{Frame, Scale};
use crate::report::figure::{Drawing, Figure, csv};
use crate::report::history::History;
use crate::report::line_chart::{LineChart, Span};
use crate::report::svg::{Anchor, Svg};
use crate::report::verdict;

/// Width of a character above a bar.
const CHARACTER: f64 = 8.0;
const FRAME: Frame = Frame { x: (62.0, 466.0), y: (24.0, 266.0) };

/// A bar for each layer, in the frame of all its units, with the verdict in words.
pub fn figure(history: &History) -> Option<Figure> {
    let (epoch, _) = history.last_kl_per_unit()?;
    let active = history.active_units()?;
    let sizes = history.group_sizes();
    let most = sizes.iter().copied().max()? as f64;
    let mut svg = Svg::new(480.0, 320.0, "Active units of each layer");
    let y = Scale::new((0.0, most), (FRAME.y.1, FRAME.y.0));
    FRAME.draw_y_axis(&mut svg, &y, "units");
    let pitch = (FRAME.x.1 - FRAME.x.0) / sizes.len() as f64;
    let width = (pitch * 0.6).min(64.0);
    let mut ticks = Vec::new();
    // Beside each other, long numbers would run into one: then the size is left to the outline.
    let label = |active: usize, units: usize| format!("{active} / {units}");
    let longest =
        active.iter().zip(&sizes).map(|(&active, &units)| label(active, units).len()).max()?;
    let has_room = longest as f64 * CHARACTER < pitch;
    for (index, (&units, &active)) in sizes.iter().zip(&active).enumerate() {
        let centre = FRAME.x.0 + pitch * (index as f64 + 0.5);
        let name = history.group_name(index);
        let tip = format!("{name}: {active} of {units} units active");
        let (top, filled) = (y.at(units as f64), y.at(active as f64));
        svg.bar("all-units", (centre - width / 2.0, top), (width, FRAME.y.1 - top), &tip);
        svg.bar("c5 fill", (centre - width / 2.0, filled), (width, FRAME.y.1 - filled), &tip);
        let label = if has_room { label(active, units) } else { active.to_string() };
        svg.text("value", (centre, top - 6.0), Anchor::Middle, &label);
        ticks.push((centre, name));
    }
    FRAME.draw_x_axis(&mut svg, &ticks, "layer");
    let verdict = verdict::html(history, &active);
    let rows = sizes.iter().zip(&active).enumerate().map(|(index, (units, active))| {
        [history.group_name(index), active.to_string(), units.to_string()]
    });
    let csv = csv(&["layer", "active units", "units"], rows);
    let drawing = Drawing { name: "active-units".into(), svg, csv };
    Some(Figure {
        title: format!("Active units after {epoch} epochs"),
        body: drawing.html() + &verdict,
        drawings: vec![drawing],
        caption: "A unit is active if its mean KL exceeds 0.01 nats; the outline is the size of \
        the layer."
            .into(),
        class: "chart",
    })
}

/// The active units of each layer over the epochs.
pub fn over_epochs(history: &History) -> Option<Figure> {
    let caption = match warmup_end(history) {
        Some(_) => {
            "A warm-up begins with many units in use, of which those that the bound does not pay \
            for are pruned."
        }
        None => "Without a warm-up, units that are pruned in the first epochs seldom come back.",
    };
    LineChart {
        id: "active-units-over-epochs".into(),
        title: "Active units over the epochs".into(),
        caption: caption.into(),
        x_title: "epoch".into(),
        y_title: "units".into(),
        series: layer_series(history, |epoch, index| {
            Some(*epoch.active_units()?.get(index)? as f64)
        }),
        x_values: Vec::new(),
        warmup_end: warmup_end(history),
        span: Span::FromZero,
    }
    .figure()
}
