//! A batch walking through the ladder, with the shapes of chapter 10's model.

use rung_models::HierarchyConfig;
use rung_models::hierarchy::Inference;

use crate::chapter_10::config;
use crate::svg::{Anchor, BLUE, GREEN, INK, ORANGE, PALE, Svg};

const BOX: [f64; 2] = [150.0, 44.0];
const BATCH: usize = 100;

/// Bottom-up on the left, top-down on the right, and where they meet in the middle.
pub(super) fn draw() -> String {
    let HierarchyConfig { latent_sizes, hidden_sizes, data_size, .. } =
        config(Inference::PROBABILISTIC_LADDER, true);
    let layers = latent_sizes.len();
    let mut svg = Svg::new(
        640.0,
        130.0 + 150.0 * layers as f64,
        "A batch walking through the ladder: bottom-up on the left, top-down on the right",
    );
    let y = |layer: usize| 30.0 + 150.0 * (layers - 1 - layer) as f64;
    let bottom = 40.0 + 150.0 * layers as f64;
    let (left, middle, right) = (20.0, 245.0, 470.0);
    let boxed = |svg: &mut Svg, x: f64, y: f64, line: &str, first: &str, second: &str| {
        svg.rectangle([x, y], BOX, PALE, line);
        svg.text([x + BOX[0] / 2.0, y + 18.0], Anchor::Middle, INK, first);
        svg.text([x + BOX[0] / 2.0, y + 36.0], Anchor::Middle, line, second);
    };
    boxed(&mut svg, left, bottom, INK, "x", &format!("[{BATCH}, {data_size}]"));
    boxed(&mut svg, right, bottom, INK, "p(x | z_1)", &format!("[{BATCH}, {data_size}]"));
    let up = |svg: &mut Svg, x: f64, from: f64, to: f64, colour| {
        svg.arrow([x + BOX[0] / 2.0, from], [x + BOX[0] / 2.0, to], colour);
    };
    for layer in 0..layers {
        let (units, hidden, name) = (latent_sizes[layer], hidden_sizes[layer], layer + 1);
        boxed(
            &mut svg,
            left,
            y(layer),
            BLUE,
            &format!("d_{name}"),
            &format!("[{BATCH}, {hidden}]"),
        );
        let below = if layer == 0 { bottom } else { y(layer - 1) };
        up(&mut svg, left, below, y(layer) + BOX[1], BLUE);
        let middle_y = y(layer);
        let is_top = layer + 1 == layers;
        let what =
            if is_top { format!("q(z_{name} | x)") } else { format!("merge: q(z_{name} | ·)") };
        boxed(&mut svg, middle, middle_y, ORANGE, &what, &format!("[{BATCH}, {units}]"));
        svg.arrow([left + BOX[0], middle_y + 22.0], [middle, middle_y + 22.0], BLUE);
        boxed(
            &mut svg,
            right,
            middle_y,
            GREEN,
            &format!("z_{name}, drawn"),
            &format!("[{BATCH}, {units}]"),
        );
        svg.arrow([middle + BOX[0], middle_y + 22.0], [right, middle_y + 22.0], ORANGE);
        if !is_top {
            // What comes from above enters the merge: the top-down factor of q.
            svg.arrow(
                [right + 20.0, y(layer + 1) + BOX[1]],
                [middle + BOX[0] - 20.0, middle_y],
                GREEN,
            );
        }
        let next = if layer == 0 { bottom } else { y(layer - 1) };
        svg.arrow([right + BOX[0] / 2.0, middle_y + BOX[1]], [right + BOX[0] / 2.0, next], GREEN);
        svg.text(
            [right + BOX[0] / 2.0 + 8.0, (middle_y + BOX[1] + next) / 2.0],
            Anchor::Start,
            GREEN,
            if layer == 0 { "p(x|z_1)" } else { "p" },
        );
    }
    let legend = [
        (BLUE, "bottom-up, deterministic", left),
        (ORANGE, "posterior", middle),
        (GREEN, "top-down", right),
    ];
    for (colour, what, x) in legend {
        svg.text([x, bottom + BOX[1] + 26.0], Anchor::Start, colour, what);
    }
    svg.finish()
}
