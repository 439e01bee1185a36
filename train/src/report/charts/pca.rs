//! The latents of each layer on the plane of their two principal components, coloured by class (figure 7 of the paper).

use super::bound::subscript;
use crate::report::axis::label;
use crate::report::figure::Figure;
use crate::report::portrait::Plane;
use crate::report::svg::{Anchor, Svg, number};

/// Classes that have a colour of their own in the style sheet.
const COLOURS: u32 = 10;
/// Side of the square of points.
const SIDE: f64 = 280.0;
/// Free room within the square, and what the axes' names take beside it.
const MARGIN: f64 = 8.0;
const NAMES: f64 = 24.0;

/// A scatter for each layer, the nearest to the image first.
pub fn figure(planes: &[Plane], labels: Option<&[u32]>) -> Option<Figure> {
    let first = planes.first()?;
    let count = first.principal.points.len();
    let classes = labels.map_or(0, |labels| labels.iter().take(count).max().map_or(0, |&most| most + 1));
    let panels: String = planes.iter().enumerate().map(|(index, plane)| panel(index, plane, labels, classes)).collect();
    let colours = match classes {
        0 => "The data has no classes.".to_string(),
        _ => "The number on a cluster is its class, at the median of its images.".to_string(),
    };
    Some(Figure {
        title: "Latents of each layer by class".into(),
        body: format!("{}<div class=\"panels small\">{panels}</div>", legend(classes)),
        caption: format!(
            "{count} held-out images: one sample of q(zᵢ|·) each, on the two directions of largest variance. A shapeless cloud is a layer \
             that knows nothing of the classes. {colours}"
        ),
        class: "wide",
    })
}

fn legend(classes: u32) -> String {
    let entry = |class: u32| {
        let colour = class % COLOURS;
        format!(
            "<li><svg viewBox=\"0 0 12 12\" aria-hidden=\"true\"><circle class=\"k{colour} fill\" cx=\"6\" cy=\"6\" r=\"5\"/></svg>{class}</li>"
        )
    };
    format!("<ul class=\"legend\">{}</ul>", (0..classes.min(COLOURS)).map(entry).collect::<String>())
}

fn panel(index: usize, plane: &Plane, labels: Option<&[u32]>, classes: u32) -> String {
    let name = format!("z{}", subscript(index as u64 + 1));
    let points = &plane.principal.points;
    let reach = reach(points);
    let place = |value: f64| SIDE / 2.0 + value / reach * (SIDE / 2.0 - MARGIN);
    let mut svg = Svg::new(SIDE + NAMES, SIDE + NAMES, &format!("Two principal components of {name}"));
    svg.open("g", &[("transform", format!("translate({NAMES} 0)"))]);
    svg.line("grid", (0.0, SIDE / 2.0), (SIDE, SIDE / 2.0));
    svg.line("grid", (SIDE / 2.0, 0.0), (SIDE / 2.0, SIDE));
    let class_of = |row: usize| labels.map_or(0, |labels| labels[row]);
    for class in 0..classes.max(1) {
        let members: Vec<&[f64; 2]> =
            points.iter().enumerate().filter(|(row, _)| class_of(*row) == class).map(|(_, p)| p).collect();
        if members.is_empty() {
            continue;
        }
        // A line of no length with round ends is a dot, in a tenth of a circle's bytes.
        let dot = |p: &&[f64; 2]| {
            format!("M{} {}h0", number(place(p[0]).clamp(0.0, SIDE)), number(SIDE - place(p[1]).clamp(0.0, SIDE)))
        };
        let path: String = members.iter().map(dot).collect();
        svg.element("path", &[("class", format!("dots k{}", class % COLOURS)), ("d", path)]);
    }
    for class in 0..classes {
        let coordinate = |axis: usize| {
            let mut values: Vec<f64> =
                points.iter().enumerate().filter(|(row, _)| class_of(*row) == class).map(|(_, p)| p[axis]).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        if let (Some(x), Some(y)) = (coordinate(0), coordinate(1)) {
            svg.text("class-label", (place(x), SIDE - place(y) + 5.0), Anchor::Middle, &class.to_string());
        }
    }
    svg.close("g");
    let [first, second] = plane.principal.shares.map(|share| label(share * 100.0, 0));
    let middle = SIDE / 2.0;
    svg.text(
        "axis-title",
        (NAMES + middle, SIDE + NAMES - 6.0),
        Anchor::Middle,
        &format!("component 1, {first} % of the variance"),
    );
    svg.upward_text("axis-title", (16.0, middle), &format!("component 2, {second} % of the variance"));
    format!("<div class=\"panel\"><h4>{name}</h4>{}</div>", svg.finish())
}

/// Half the side of the square that holds all but the outermost hundredth of the points.
fn reach(points: &[[f64; 2]]) -> f64 {
    let mut sizes: Vec<f64> = points.iter().map(|p| p[0].abs().max(p[1].abs())).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.get(sizes.len() * 99 / 100).copied().unwrap_or(1.0).max(1e-9) * 1.05
}
