//! The latents of each layer on the plane of their two principal components, coloured by class
//! (figure 7 of the paper).

use rung_datasets::Labels;
use rung_models::Group;

use crate::report::axis::{Scale, label};
use crate::report::figure::{Drawing, Figure, csv};
use crate::report::history::History;
use crate::report::legend::{self, Entry};
use crate::report::model_figures::ModelFigures;
use crate::report::principal::Principal;
use crate::report::svg::{Anchor, Svg, number};

/// Classes that have a colour of their own in the style sheet.
const COLOURS: u32 = 10;
/// Side of the square of points.
const SIDE: f64 = 280.0;
/// Free room within the square, and what the axes' names take beside it.
const MARGIN: f64 = 8.0;
const NAMES: f64 = 52.0;
/// What the number of a class takes, on either side: two that are nearer than this would overlap.
const LABEL: f64 = 17.0;

/// A scatter for each layer, the nearest to the image first.
pub fn figure(figures: &ModelFigures, history: &History) -> Option<Figure> {
    let (planes, labels) = (&figures.planes, figures.labels.as_deref());
    let first = planes.first()?;
    let count = first.points.len();
    let known = |labels: &[u32]| {
        labels.iter().take(count).copied().filter(|&label| label != Labels::UNKNOWN).max()
    };
    let classes = labels.and_then(known).map_or(0, |most| most + 1);
    let legend = legend_entries(classes);
    let (panels, drawings): (Vec<String>, Vec<Drawing>) = planes
        .iter()
        .enumerate()
        .map(|(index, plane)| {
            let key = history.groups.get(index).map_or_else(String::new, Group::sample_key);
            let names = (history.group_name(index), format!("latents-{}", key.replace('_', "-")));
            panel(names, plane, labels, classes, &legend)
        })
        .unzip();
    let colours = match classes {
        0 => "The data has no classes.".to_string(),
        _ => "The number on a cluster is its class, at or beside the median of its images."
            .to_string(),
    };
    Some(Figure {
        title: "Latents of each layer by class".into(),
        body: format!(
            "{}<div class=\"panels medium\">{}</div>",
            legend::html(&legend),
            panels.concat()
        ),
        drawings,
        caption: format!(
            "{count} held-out images: one sample of each layer's posterior, on its two directions \
            of largest variance, with the share of the layer's variance that each explains. A \
            shapeless cloud is a layer that knows nothing of the classes. {colours}"
        ),
        class: "wide",
    })
}

fn legend_entries(classes: u32) -> Vec<Entry> {
    let entry = |class: u32| {
        let mark =
            format!("<circle class=\"k{} fill\" cx=\"6\" cy=\"6\" r=\"5\"/>", class % COLOURS);
        Entry { class: String::new(), width: 12, mark, name: class.to_string() }
    };
    (0..classes.min(COLOURS)).map(entry).collect()
}

fn panel(
    (name, file): (String, String),
    plane: &Principal,
    labels: Option<&[u32]>,
    classes: u32,
    legend: &[Entry],
) -> (String, Drawing) {
    let points = &plane.points;
    let reach = reach(points);
    let place = |value: f64| SIDE / 2.0 + value / reach * (SIDE / 2.0 - MARGIN);
    let mut svg =
        Svg::new(SIDE + NAMES, SIDE + NAMES, &format!("Two principal components of {name}"));
    svg.open("g", &[("transform", format!("translate({NAMES} 0)"))]);
    // The same values on both axes, as the plane has one scale.
    for (value, text) in Scale::new((-reach, reach), (0.0, SIDE)).ticks(4) {
        let (x, y) = (place(value), SIDE - place(value));
        svg.line("grid", (0.0, y), (SIDE, y));
        svg.line("grid", (x, 0.0), (x, SIDE));
        if value.abs() < 0.95 * reach {
            svg.text("tick", (x, SIDE + 14.0), Anchor::Middle, &text);
            svg.text("tick", (-4.0, y + 4.0), Anchor::End, &text);
        }
    }
    let class_of = |row: usize| labels.map_or(0, |labels| labels[row]);
    for class in 0..classes.max(1) {
        let members: Vec<&[f64; 2]> = points
            .iter()
            .enumerate()
            .filter(|(row, _)| class_of(*row) == class)
            .map(|(_, p)| p)
            .collect();
        if members.is_empty() {
            continue;
        }
        // A line of no length with round ends is a dot, in a tenth of a circle's bytes.
        let dot = |p: &&[f64; 2]| {
            format!(
                "M{} {}h0",
                number(place(p[0]).clamp(0.0, SIDE)),
                number(SIDE - place(p[1]).clamp(0.0, SIDE))
            )
        };
        let path: String = members.iter().map(dot).collect();
        svg.element("path", &[("class", format!("dots k{}", class % COLOURS)), ("d", path)]);
    }
    let median_place = |class: u32| {
        let coordinate = |axis: usize| {
            let members = points.iter().enumerate().filter(|(row, _)| class_of(*row) == class);
            median(members.map(|(_, point)| point[axis]).collect())
        };
        Some((class, [place(coordinate(0)?), SIDE - place(coordinate(1)?)]))
    };
    let (names, mut places): (Vec<u32>, Vec<[f64; 2]>) =
        (0..classes).filter_map(median_place).unzip();
    spread(&mut places);
    for (class, [x, y]) in names.into_iter().zip(places) {
        svg.text("class-label", (x, y + 5.0), Anchor::Middle, &class.to_string());
    }
    svg.close("g");
    let [first, second] = plane.shares.map(|share| label(share * 100.0, 0));
    let middle = SIDE / 2.0;
    svg.text(
        "axis-title",
        (NAMES + middle, SIDE + NAMES - 6.0),
        Anchor::Middle,
        &format!("component 1 ({first} %)"),
    );
    svg.upward_text("axis-title", (16.0, middle), &format!("component 2 ({second} %)"));
    legend::draw(&mut svg, legend);
    let rows = points.iter().enumerate().map(|(row, point)| {
        let class = labels.map(|labels| labels[row]).filter(|&class| class != Labels::UNKNOWN);
        let [x, y] = point.map(|coordinate| format!("{coordinate:.4}"));
        [x, y, class.map_or_else(String::new, |class| class.to_string())]
    });
    let csv = csv(&["component 1", "component 2", "class"], rows);
    let drawing = Drawing { name: file, svg, csv };
    let panel = format!("<div class=\"panel\"><h4>{name}</h4>{}</div>", drawing.html());
    (panel, drawing)
}

/// Half the side of the square that holds all but the outermost hundredth of the points.
fn reach(points: &[[f64; 2]]) -> f64 {
    let mut sizes: Vec<f64> = points.iter().map(|p| p[0].abs().max(p[1].abs())).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.get(sizes.len() * 99 / 100).copied().unwrap_or(1.0).max(1e-9) * 1.05
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Moves what would overlap apart, a little at a time, so that each number stays as near to its
/// place as it can.
fn spread(places: &mut [[f64; 2]]) {
    for _ in 0..100 {
        let mut is_free = true;
        for second in 1..places.len() {
            for first in 0..second {
                let [dx, dy] = [0, 1].map(|axis| places[second][axis] - places[first][axis]);
                let distance = dx.hypot(dy);
                if distance >= LABEL {
                    continue;
                }
                is_free = false;
                // Two in one place part sideways.
                let direction =
                    if distance > 1e-9 { [dx / distance, dy / distance] } else { [1.0, 0.0] };
                for axis in [0, 1] {
                    let step = direction[axis] * (LABEL - distance) * 0.51;
                    places[second][axis] += step;
                    places[first][axis] -= step;
                }
            }
        }
        if is_free {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_classes_do_not_overlap_and_stay_near() {
        let mut places = vec![[100.0, 100.0], [100.0, 100.0], [104.0, 97.0], [200.0, 50.0]];
        let before = places.clone();
        spread(&mut places);
        for (second, b) in places.iter().enumerate() {
            for a in &places[..second] {
                assert!((a[0] - b[0]).hypot(a[1] - b[1]) > LABEL - 0.1, "{places:?}");
            }
            let moved = (b[0] - before[second][0]).hypot(b[1] - before[second][1]);
            assert!(moved < 2.0 * LABEL, "{places:?}");
        }
        assert_eq!(places[3], before[3], "what overlaps nothing stays");
    }

    #[test]
    fn all_but_the_outermost_points_are_in_the_square() {
        let mut points: Vec<[f64; 2]> =
            (0..200).map(|k| [f64::from(k) / 100.0 - 1.0, 0.1]).collect();
        points[7] = [50.0, 0.0];
        assert!((reach(&points) - 1.05).abs() < 0.02, "{}", reach(&points));
        assert_eq!(reach(&[]), 1.05);
    }
}
