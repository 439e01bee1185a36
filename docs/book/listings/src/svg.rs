//! SVG, as text: just what the pictures need.

use std::fmt::Write;

/// A picture under way.
pub(crate) struct Svg {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

/// Colours that can be told apart in print and by the colour-blind (Okabe and Ito 2008).
pub(crate) const BLUE: &str = "#0072b2";
pub(crate) const ORANGE: &str = "#d55e00";
pub(crate) const GREEN: &str = "#009e73";
pub(crate) const INK: &str = "#222222";
pub(crate) const PALE: &str = "#f4f4f0";
pub(crate) const GREY: &str = "#999999";

/// Where a text is held.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub(crate) fn new(width: f64, height: f64, title: &str) -> Self {
        Self { width, height, title: title.to_owned(), body: String::new() }
    }

    pub(crate) fn rectangle(&mut self, [x, y]: [f64; 2], [w, h]: [f64; 2], fill: &str, line: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"4\" \
             fill=\"{fill}\" stroke=\"{line}\"/>"
        );
    }

    pub(crate) fn line(&mut self, from: [f64; 2], to: [f64; 2], colour: &str) {
        self.polyline(&[from, to], colour);
    }

    pub(crate) fn polyline(&mut self, points: &[[f64; 2]], colour: &str) {
        let points: Vec<String> = points.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            self.body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>",
            points.join(" ")
        );
    }

    /// A line with a head at `to`.
    pub(crate) fn arrow(&mut self, from: [f64; 2], to: [f64; 2], colour: &str) {
        let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
        let length = dx.hypot(dy).max(1e-9);
        let (ux, uy) = (dx / length, dy / length);
        self.line(from, [to[0] - 6.0 * ux, to[1] - 6.0 * uy], colour);
        let side =
            |sign: f64| [to[0] - 9.0 * ux - sign * 4.0 * uy, to[1] - 9.0 * uy + sign * 4.0 * ux];
        let (left, right) = (side(1.0), side(-1.0));
        let _ = writeln!(
            self.body,
            "<polygon points=\"{:.1},{:.1} {:.1},{:.1} {:.1},{:.1}\" fill=\"{colour}\"/>",
            to[0], to[1], left[0], left[1], right[0], right[1]
        );
    }

    pub(crate) fn text(&mut self, [x, y]: [f64; 2], anchor: Anchor, colour: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = writeln!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{}</text>",
            escaped(text)
        );
    }

    /// A square image of `side` pixels a row, from 0 (white) to 1 (black), in nine shades.
    pub(crate) fn grey_image(&mut self, [x, y]: [f64; 2], scale: f64, side: usize, image: &[f64]) {
        const SHADES: usize = 8;
        let size = scale * side as f64;
        self.rectangle([x, y], [size, size], "#ffffff", GREY);
        for shade in 1..=SHADES {
            let mut path = String::new();
            for (place, _) in image
                .iter()
                .enumerate()
                .filter(|(_, value)| (**value * SHADES as f64).round() as usize == shade)
            {
                let (row, column) = (place / side, place % side);
                let _ = write!(path, "M{column} {row}h1v1h-1z");
            }
            if !path.is_empty() {
                let level = 255 - 255 * shade / SHADES;
                let _ = writeln!(
                    self.body,
                    "<path transform=\"translate({x:.1},{y:.1}) scale({scale})\" \
                     fill=\"#{level:02x}{level:02x}{level:02x}\" d=\"{path}\"/>"
                );
            }
        }
    }

    /// The whole file.
    pub(crate) fn finish(self) -> String {
        let Self { width, height, title, body } = self;
        let title = escaped(&title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" role=\"img\" font-family=\"sans-serif\" \
             font-size=\"13\">\n<title>{title}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n{body}</svg>\n"
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
