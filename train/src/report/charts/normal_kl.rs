//! How far each layer's posterior is from the standard normal (figure 6a of the paper).

use rung_models::Group;

use crate::report::axis::{Frame, Scale, label};
use crate::report::figure::{Drawing, Figure, csv};
use crate::report::history::History;
use crate::report::legend::{self, Entry};
use crate::report::svg::{Anchor, Svg};

const FRAME: Frame = Frame { x: (62.0, 466.0), y: (24.0, 266.0) };

/// One run's KL(q(z_i|·) ‖ N(0, I)) by layer.
pub struct NormalKl<'a> {
    /// The run.
    pub history: &'a History,
    /// Nats per image, nearest to the image first.
    pub nats: &'a [f64],
    /// The run's place among all that are compared, which gives its colour.
    pub index: usize,
}

impl NormalKl<'_> {
    /// The value of a group, if the run has it.
    fn of(&self, group: &Group) -> Option<f64> {
        let place = self
            .history
            .groups
            .iter()
            .position(|own| (own.layer, own.role) == (group.layer, group.role))?;
        self.nats.get(place).copied()
    }
}

/// Every group that one of the runs has, with its name, nearest to the image first.
fn all_groups<'a>(runs: &[NormalKl<'a>]) -> Vec<(&'a Group, String)> {
    let named = |run: &NormalKl<'a>| {
        let history = run.history;
        history.groups.iter().enumerate().map(|(index, group)| (group, history.group_name(index)))
    };
    let mut groups: Vec<(&Group, String)> = runs.iter().flat_map(named).collect();
    groups.sort_by_key(|(group, _)| (group.layer, group.role));
    groups.dedup_by(|(a, _), (b, _)| (a.layer, a.role) == (b.layer, b.role));
    groups
}

/// A cluster of bars for each group of latent units, a bar for each run; `data` is what the runs
/// have in common where several are compared.
pub fn figure(runs: &[NormalKl<'_>], data: Option<&str>) -> Option<Figure> {
    let groups = all_groups(runs);
    groups.first()?;
    let most = runs.iter().flat_map(|run| run.nats).copied().fold(0.0, f64::max);
    let mut svg = Svg::new(480.0, 320.0, "KL of each layer from the standard normal");
    let y = Scale::new((0.0, most.max(0.1) * 1.04), (FRAME.y.1, FRAME.y.0));
    FRAME.draw_y_axis(&mut svg, &y, "nats per image");
    let pitch = (FRAME.x.1 - FRAME.x.0) / groups.len() as f64;
    let width = (pitch * 0.7 / runs.len() as f64).min(52.0);
    let mut ticks = Vec::new();
    for (place, (group, name)) in groups.into_iter().enumerate() {
        let centre = FRAME.x.0 + pitch * (place as f64 + 0.5);
        for (index, run) in runs.iter().enumerate() {
            let Some(nats) = run.of(group) else { continue };
            let left = centre + (index as f64 - runs.len() as f64 / 2.0) * width;
            let tip = format!("{}, {name}: {} nats", run.history.name, label(nats, 3));
            svg.bar(
                &format!("{} fill", colour(run, data)),
                (left, y.at(nats)),
                (width - 1.0, FRAME.y.1 - y.at(nats)),
                &tip,
            );
            if runs.len() == 1 {
                let decimals = if nats < 9.95 { 2 } else { 1 };
                svg.text(
                    "value",
                    (centre, y.at(nats) - 6.0),
                    Anchor::Middle,
                    &label(nats, decimals),
                );
            }
        }
        ticks.push((centre, name));
    }
    FRAME.draw_x_axis(&mut svg, &ticks, "layer");
    let rows = runs.iter().flat_map(|run| {
        let values = run.nats.iter().enumerate();
        values.map(|(index, nats)| {
            [run.history.name.clone(), run.history.group_name(index), nats.to_string()]
        })
    });
    let csv = csv(&["run", "layer", "nats per image"], rows);
    let legend = if data.is_some() { legend(runs) } else { Vec::new() };
    legend::draw(&mut svg, &legend);
    // Of several comparisons in a page each has its own runs.
    let number = data.and(runs.first()).map_or(String::new(), |run| format!("-{}", run.index + 1));
    let drawing = Drawing { name: format!("distance-to-standard-normal{number}"), svg, csv };
    Some(Figure {
        title: "Distance to the standard normal".to_string()
            + &data.map_or(String::new(), |data| format!(" on {data}")),
        body: legend::html(&legend) + &drawing.html(),
        drawings: vec![drawing],
        caption: "KL(q(zᵢ|·) ‖ N(0, I)) in closed form, summed over the units of the layer, mean \
        over images. About 0: the layer says nothing of the image."
            .into(),
        class: "chart",
    })
}

/// The colour of a run: that of its line in the charts of a comparison.
fn colour(run: &NormalKl<'_>, data: Option<&str>) -> String {
    data.map_or("c5".into(), |_| format!("c{}", (run.index + 1) % 8))
}

fn legend(runs: &[NormalKl<'_>]) -> Vec<Entry> {
    runs.iter().map(|run| Entry::square(&colour(run, Some("")), run.history.name.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn history(groups: &[(usize, &'static str)]) -> History {
        let group = |&(layer, role): &(usize, &'static str)| Group {
            layer,
            role,
            own_name: None,
            units: 1,
        };
        History {
            name: format!("run of {}", groups.len()),
            folder: crate::run::folder::RunFolder::nowhere(),
            config: Config::default(),
            groups: groups.iter().map(group).collect(),
            epochs: Vec::new(),
            starts: Vec::new(),
            evaluations: Vec::new(),
            scores: Vec::new(),
            anomaly: None,
        }
    }

    /// A ladder's z₂ stands beside no bottom-up group of another model's first layer, though both
    /// are second in their rows.
    #[test]
    fn bars_stand_together_by_group_and_not_by_place() {
        let ladder = history(&[(1, ""), (2, ""), (3, "")]);
        let biva = history(&[(1, "bottom-up"), (1, "top-down"), (2, "")]);
        let runs = [
            NormalKl { history: &ladder, nats: &[1.0, 2.0, 3.0], index: 0 },
            NormalKl { history: &biva, nats: &[4.0, 5.0, 6.0], index: 1 },
        ];
        let names: Vec<String> = all_groups(&runs).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["z₁", "z₁↑", "z₁↓", "z₂", "z₃"]);
        let body = figure(&runs, Some("glyphs")).unwrap().body;
        for tip in ["run of 3, z₂: 2.000 nats", "run of 3, z₁↓: 5.000 nats"] {
            assert!(body.contains(tip), "{tip}: {body}");
        }
        assert_eq!(runs[1].of(&ladder.groups[1]), Some(6.0));
    }
}
