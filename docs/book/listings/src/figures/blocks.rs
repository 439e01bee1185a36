//! The blocked product of chapter 4.

use crate::svg::{Anchor, BLUE, GREEN, INK, ORANGE, PALE, Svg};

/// Left, right and result, with the block, the strips and the tile that are at work.
pub(super) fn draw() -> String {
    let mut svg = Svg::new(680.0, 430.0, "The blocked matrix product");
    let side = 180.0;
    let (left, right, out) = ([30.0, 230.0], [250.0, 30.0], [250.0, 230.0]);
    for (at, name) in [(left, "left [m, k]"), (right, "right [k, n]"), (out, "out [m, n]")] {
        svg.rectangle(at, [side, side], PALE, INK);
        svg.text([at[0], at[1] - 6.0], Anchor::Start, INK, name);
    }
    let (depth, strip, columns) = (60.0, 24.0, 40.0);
    let (k, row, column) = (60.0, 84.0, 80.0);
    // The block of the inner dimension: all rows of left, one block of columns; and of right,
    // alike.
    svg.rectangle([left[0] + k, left[1]], [depth, side], "#cfe6f5", BLUE);
    svg.rectangle([right[0], right[1] + k], [side, depth], "#cfe6f5", BLUE);
    // Strips.
    svg.rectangle([left[0] + k, left[1] + row], [depth, strip], "#f7d8c0", ORANGE);
    svg.rectangle([right[0] + column, right[1] + k], [columns, depth], "#f7d8c0", ORANGE);
    // The tile.
    svg.rectangle([out[0] + column, out[1] + row], [columns, strip], "#bfe8da", GREEN);
    svg.arrow(
        [left[0] + k + depth, left[1] + row + 12.0],
        [out[0] + column, out[1] + row + 12.0],
        ORANGE,
    );
    svg.arrow(
        [right[0] + column + 20.0, right[1] + k + depth],
        [out[0] + column + 20.0, out[1] + row],
        ORANGE,
    );
    let notes = [
        (BLUE, 120.0, "a block of the inner dimension,"),
        (BLUE, 138.0, "packed: small enough for a cache"),
        (ORANGE, 180.0, "strips, read from start to end:"),
        (ORANGE, 198.0, "the right one stays in the L1 cache"),
        (GREEN, 300.0, "the tile of results: in registers"),
        (GREEN, 318.0, "until the strips are used up"),
    ];
    for (colour, y, text) in notes {
        svg.text([446.0, y], Anchor::Start, colour, text);
    }
    svg.finish()
}
