//! A drawing as SVG text: elements with attributes, everything escaped.

use std::fmt::Write;

/// A drawing of a fixed size in its own units, which a page scales to the room there is.
#[derive(Debug, Clone)]
pub struct Svg {
    width: f64,
    height: f64,
    label: String,
    body: String,
}

/// Where a text stands with respect to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// It is centred there.
    Middle,
    /// It ends there.
    End,
}

impl Svg {
    /// An empty drawing; `label` says in words what it shows, for those who can't see it.
    pub fn new(width: f64, height: f64, label: &str) -> Self {
        Self { width, height, label: label.into(), body: String::new() }
    }

    /// Adds `<name a="b" …/>`.
    pub fn element(&mut self, name: &str, attributes: &[(&str, String)]) {
        self.open(name, attributes);
        self.body.truncate(self.body.len() - 1);
        self.body.push_str("/>");
    }

    /// Adds `<name a="b" …>`, to be closed by [`Svg::close`].
    pub fn open(&mut self, name: &str, attributes: &[(&str, String)]) {
        self.body.push('<');
        self.body.push_str(name);
        for (attribute, value) in attributes {
            // Writing to a string can't fail.
            let _ = write!(self.body, " {attribute}=\"{}\"", escape(value));
        }
        self.body.push('>');
    }

    /// Closes the element that was opened last.
    pub fn close(&mut self, name: &str) {
        let _ = write!(self.body, "</{name}>");
    }

    /// A straight line of a CSS class.
    pub fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let ends = [("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2)]
            .map(|(name, value)| (name, number(value)));
        let mut attributes = vec![("class", class.to_string())];
        attributes.extend(ends);
        self.element("line", &attributes);
    }

    /// A rectangle of a CSS class, with its value in a tooltip.
    pub fn bar(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64), tip: &str) {
        let sizes = [("x", x), ("y", y), ("width", width.max(0.0)), ("height", height.max(0.0))];
        let mut attributes = vec![("class", class.to_string())];
        attributes.extend(sizes.map(|(name, value)| (name, number(value))));
        self.open("rect", &attributes);
        let _ = write!(self.body, "<title>{}</title>", escape(tip));
        self.close("rect");
    }

    /// A text of a CSS class at a point of its base line.
    pub fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        self.placed_text(
            &[("class", class.to_string()), ("x", number(x)), ("y", number(y))],
            anchor,
            text,
        );
    }

    /// A text that reads upwards, centred at a point.
    pub fn upward_text(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        let turn = format!("translate({} {}) rotate(-90)", number(x), number(y));
        self.placed_text(
            &[("class", class.to_string()), ("transform", turn)],
            Anchor::Middle,
            text,
        );
    }

    fn placed_text(&mut self, attributes: &[(&str, String)], anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let mut attributes = attributes.to_vec();
        attributes.push(("text-anchor", anchor.into()));
        self.open("text", &attributes);
        self.body.push_str(&escape(text));
        self.close("text");
    }

    /// The drawing as an `<svg>` element.
    pub fn finish(self) -> String {
        format!(
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\" \
            xmlns=\"http://www.w3.org/2000/svg\">{}</svg>",
            number(self.width),
            number(self.height),
            escape(&self.label),
            self.body
        )
    }
}

/// Text in which nothing can be taken for an element or the end of an attribute, in SVG as in HTML.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A coordinate with at most two decimals: finer than any screen, short in the file.
pub fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_runs_cannot_break_out_of_the_drawing() {
        let mut svg = Svg::new(10.0, 10.0, "a \"b\" <c>");
        svg.text("tick", (1.0, 2.0), Anchor::Middle, "</svg><script>alert('&')</script>");
        svg.bar("bar", (0.0, 0.0), (1.0, -1.0), "\"<");
        let text = svg.finish();
        assert!(!text.contains("<script") && !text.contains("<c>"), "{text}");
        assert!(text.contains("&lt;/svg&gt;&lt;script&gt;alert(&#39;&amp;&#39;)"), "{text}");
        assert!(text.contains("height=\"0\"><title>&quot;&lt;</title></rect>"), "{text}");
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!([1.0, 0.5, -0.001, 12.345_6].map(number), ["1", "0.5", "0", "12.35"]);
    }
}
