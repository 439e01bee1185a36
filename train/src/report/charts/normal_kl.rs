//! How far each layer's posterior is from the standard normal (figure 6a of the paper).

use crate::report::axis::{Frame, Scale, label};
use crate::report::figure::Figure;
use crate::report::history::History;
use crate::report::svg::{Anchor, Svg};

const FRAME: Frame = Frame { x: (62.0, 466.0), y: (24.0, 266.0) };

/// One run's KL(q(z_i|·) ‖ N(0, I)) by layer.
pub struct NormalKl<'a> {
    /// The run.
    pub history: &'a History,
    /// Nats per image, nearest to the image first.
    pub nats: &'a [f64],
}

/// A group of bars for each layer, a bar for each run.
pub fn figure(runs: &[NormalKl<'_>]) -> Option<Figure> {
    let longest = runs.iter().max_by_key(|run| run.nats.len()).filter(|run| !run.nats.is_empty())?;
    let depth = longest.nats.len();
    let most = runs.iter().flat_map(|run| run.nats).copied().fold(0.0, f64::max);
    let mut svg = Svg::new(480.0, 320.0, "Divergence of each layer from the standard normal");
    let y = Scale::new((0.0, most.max(0.1) * 1.04), (FRAME.y.1, FRAME.y.0));
    FRAME.draw_y_axis(&mut svg, &y, "nats per image");
    let pitch = (FRAME.x.1 - FRAME.x.0) / depth as f64;
    let width = (pitch * 0.7 / runs.len() as f64).min(52.0);
    let mut ticks = Vec::new();
    for layer in 0..depth {
        let centre = FRAME.x.0 + pitch * (layer as f64 + 0.5);
        let name = longest.history.group_name(layer);
        for (index, run) in runs.iter().enumerate() {
            let Some(&nats) = run.nats.get(layer) else { continue };
            let left = centre + (index as f64 - runs.len() as f64 / 2.0) * width;
            let tip = format!("{}, {name}: {} nats", run.history.name, label(nats, 3));
            svg.bar(
                &format!("{} fill", colour(runs, index)),
                (left, y.at(nats)),
                (width - 1.0, FRAME.y.1 - y.at(nats)),
                &tip,
            );
            if runs.len() == 1 {
                let decimals = if nats < 9.95 { 2 } else { 1 };
                svg.text("value", (centre, y.at(nats) - 6.0), Anchor::Middle, &label(nats, decimals));
            }
        }
        ticks.push((centre, name));
    }
    FRAME.draw_x_axis(&mut svg, &ticks, "layer");
    Some(Figure {
        title: "Distance to the standard normal".into(),
        body: legend(runs) + &svg.finish(),
        caption: "KL(q(zᵢ|·) ‖ N(0, I)) in closed form, summed over the units of the layer, mean over images. About 0: the layer says \
                  nothing of the image."
            .into(),
        class: "chart",
    })
}

fn colour(runs: &[NormalKl<'_>], index: usize) -> String {
    if runs.len() == 1 { "c5".into() } else { format!("c{}", (index + 1) % 8) }
}

fn legend(runs: &[NormalKl<'_>]) -> String {
    if runs.len() == 1 {
        return String::new();
    }
    let entry = |(index, run): (usize, &NormalKl<'_>)| {
        let name = crate::report::svg::escape(&run.history.name);
        format!(
            "<li><svg viewBox=\"0 0 12 12\" aria-hidden=\"true\"><rect class=\"{} fill\" width=\"12\" height=\"12\"/></svg>{name}</li>",
            colour(runs, index)
        )
    };
    format!("<ul class=\"legend\">{}</ul>", runs.iter().enumerate().map(entry).collect::<String>())
}
