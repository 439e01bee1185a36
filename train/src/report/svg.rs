//! A drawing as SVG text: elements with attributes, everything escaped.

use std::fmt::Write;

/// A drawing of a fixed size in its own units, which a page scales to the room there is.
#[derive(Debug, Clone)]
pub struct Svg {
    width: f64,
    height: f64,
    /// The height of a file of its own, which has the legend too.
    full_height: f64,
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
        Self { width, height, full_height: height, label: label.into(), body: String::new() }
    }

    /// Makes room below for what only a file of its own shows; gives the place where it begins.
    pub fn extend(&mut self, height: f64) -> f64 {
        let from = self.full_height;
        self.full_height += height;
        from
    }

    /// Adds elements as they are.
    pub fn raw(&mut self, elements: &str) {
        self.body.push_str(elements);
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
        self.titled("rect", &attributes, tip);
    }

    /// An element with words in a tooltip.
    pub fn titled(&mut self, name: &str, attributes: &[(&str, String)], tip: &str) {
        self.open(name, attributes);
        let _ = write!(self.body, "<title>{}</title>", escape(tip));
        self.close(name);
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

    /// The drawing as an `<svg>` element of a page, which has the styles; `data-full` is the view
    /// box of a file of its own.
    pub fn inline(&self) -> String {
        let [width, height, full] = [self.width, self.height, self.full_height].map(number);
        format!(
            "<svg viewBox=\"0 0 {width} {height}\" data-full=\"0 0 {width} {full}\" role=\"img\" \
            aria-label=\"{}\" xmlns=\"http://www.w3.org/2000/svg\">{}</svg>",
            escape(&self.label),
            self.body
        )
    }

    /// The drawing as a file of its own, with the legend and the styles that it needs: colours on
    /// white, whatever a page's are.
    pub fn file(&self) -> String {
        let [width, height] = [self.width, self.full_height].map(number);
        format!(
            "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
            role=\"img\" aria-label=\"{}\" \
            xmlns=\"http://www.w3.org/2000/svg\"><style>{}</style>{}</svg>\n",
            escape(&self.label),
            file_style(),
            self.body
        )
    }
}

/// The styles of drawings with the colours of the light page written out, for programs that know no
/// variables in style sheets.
pub fn file_style() -> String {
    // `--name: value`, whatever stands before it in its declaration, such as a comment.
    let colours = LIGHT.split([';', '{', '}']).filter_map(|declaration| {
        let (_, colour) = declaration.rsplit_once("--")?;
        colour.split_once(':')
    });
    colours.fold(CHARTS.to_string(), |style, (name, value)| {
        style.replace(&format!("var(--{name})"), value.trim())
    })
}

/// The colours of the light page.
pub const LIGHT: &str = include_str!("assets/light.css");
/// The styles of drawings.
pub const CHARTS: &str = include_str!("assets/charts.css");

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
        let text = svg.inline();
        assert!(!text.contains("<script") && !text.contains("<c>"), "{text}");
        assert!(text.contains("&lt;/svg&gt;&lt;script&gt;alert(&#39;&amp;&#39;)"), "{text}");
        assert!(text.contains("height=\"0\"><title>&quot;&lt;</title></rect>"), "{text}");
    }

    #[test]
    fn a_file_of_its_own_has_its_styles_and_its_legend() {
        let mut svg = Svg::new(10.0, 10.0, "a");
        let y = svg.extend(8.0);
        svg.text("tick", (0.0, y), Anchor::Start, "b");
        let (inline, file) = (svg.inline(), svg.file());
        assert!(
            inline.starts_with("<svg viewBox=\"0 0 10 10\" data-full=\"0 0 10 18\""),
            "{inline}"
        );
        assert!(
            file.starts_with("<svg viewBox=\"0 0 10 18\" width=\"10\" height=\"18\""),
            "{file}"
        );
        assert!(file.contains(".c1 {\n  color: #e69f00;"), "{file}");
        assert!(!file.contains("var("), "{file}");
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!([1.0, 0.5, -0.001, 12.345_6].map(number), ["1", "0.5", "0", "12.35"]);
    }
}
