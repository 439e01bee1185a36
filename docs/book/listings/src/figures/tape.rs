//! The tape of chapter 1 as a graph.

use crate::chapter_01::{Node, Tape, neuron};
use crate::svg::{Anchor, BLUE, GREY, INK, ORANGE, PALE, Svg};

const BOX: [f64; 2] = [108.0, 46.0];

/// Values go down, adjoints come back up: a node is drawn below all that it was computed from.
pub(super) fn draw() -> String {
    let tape = Tape::default();
    let adjoints = neuron(&tape).backward();
    let nodes = tape.nodes();
    let mut levels: Vec<usize> = Vec::new();
    for node in &nodes {
        levels.push(node.inputs.iter().map(|&(input, _)| levels[input] + 1).max().unwrap_or(0));
    }
    // A node stands just above the first that reads it.
    for index in (0..nodes.len()).rev() {
        let readers = (0..nodes.len())
            .filter(|&at| nodes[at].inputs.iter().any(|&(input, _)| input == index));
        levels[index] = readers.map(|reader| levels[reader] - 1).min().unwrap_or(levels[index]);
    }
    // On each level what was computed comes first, leaves last.
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    order.sort_by_key(|&index| (nodes[index].inputs.is_empty(), index));
    let mut taken = vec![0; nodes.len()];
    let mut place = vec![[0.0; 2]; nodes.len()];
    for index in order {
        let level = levels[index];
        place[index] = [30.0 + 170.0 * f64::from(taken[level]), 20.0 + 78.0 * level as f64];
        taken[level] += 1;
    }
    let height = place.iter().map(|[_, y]| y + BOX[1]).fold(0.0, f64::max) + 46.0;
    let mut svg = Svg::new(360.0, height, "The tape of one neuron as a graph");
    for (index, node) in nodes.iter().enumerate() {
        let inputs = &node.inputs;
        for (nth, &(input, local)) in inputs.iter().enumerate() {
            let (from, to) = (place[input], place[index]);
            let twice = inputs.len() == 2 && inputs[0].0 == inputs[1].0;
            let shift = if twice { 24.0 * (nth as f64 - 0.5) } else { 0.0 };
            let start = [from[0] + BOX[0] / 2.0 + shift, from[1] + BOX[1]];
            let end = [to[0] + BOX[0] / 2.0 + shift + (from[0] - to[0]) * 0.12, to[1]];
            svg.arrow(start, end, GREY);
            // The label's side keeps the two of a pair apart.
            let middle = [(start[0] + end[0]) / 2.0, (start[1] + end[1]) / 2.0 + 4.0];
            let (at, anchor) = if nth == 0 && from[0] == to[0] {
                ([middle[0] - 6.0, middle[1]], Anchor::End)
            } else {
                ([middle[0] + 8.0, middle[1]], Anchor::Start)
            };
            svg.text(at, anchor, ORANGE, &format!("{local:.3}"));
        }
    }
    for (index, Node { what, value, .. }) in nodes.iter().enumerate() {
        let [x, y] = place[index];
        svg.rectangle([x, y], BOX, PALE, INK);
        let middle = x + BOX[0] / 2.0;
        svg.text([middle, y + 18.0], Anchor::Middle, INK, &format!("{index}: {what}  {value:.3}"));
        svg.text(
            [middle, y + 36.0],
            Anchor::Middle,
            BLUE,
            &format!("adjoint {:.3}", adjoints[index]),
        );
    }
    let legend =
        [(INK, "value", 20.0), (BLUE, "adjoint", 90.0), (ORANGE, "local derivative", 170.0)];
    for (colour, what, x) in legend {
        svg.text([x, height - 14.0], Anchor::Start, colour, what);
    }
    svg.finish()
}
