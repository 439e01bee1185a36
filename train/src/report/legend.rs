//! What the colours and marks of a drawing stand for: beside it in a page, below it in a file.

use super::svg::{Anchor, Svg, escape, number};

/// Height of an entry in a file.
const ROW: f64 = 18.0;

/// One mark with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// CSS class of the mark.
    pub class: String,
    /// Width of the mark; it is 12 high.
    pub width: u32,
    /// The mark, as SVG elements.
    pub mark: String,
    /// What it stands for.
    pub name: String,
}

impl Entry {
    /// A square of a CSS class.
    pub fn square(class: &str, name: impl Into<String>) -> Self {
        let mark = format!("<rect class=\"{class} fill\" width=\"12\" height=\"12\"/>");
        Self { class: String::new(), width: 12, mark, name: name.into() }
    }
}

/// The entries as a list beside a drawing.
pub fn html(entries: &[Entry]) -> String {
    let item = |Entry { class, width, mark, name }: &Entry| {
        format!(
            "<li><svg class=\"{class}\" viewBox=\"0 0 {width} 12\" style=\"width:{width}px\" \
            aria-hidden=\"true\">{mark}</svg>{}</li>",
            escape(name)
        )
    };
    format!("<ul class=\"legend\">{}</ul>", entries.iter().map(item).collect::<String>())
}

/// Draws the entries below a drawing, a row each, where only a file of its own shows them.
pub fn draw(svg: &mut Svg, entries: &[Entry]) {
    for Entry { class, width, mark, name } in entries {
        let y = svg.extend(ROW);
        let place = format!("translate(62 {})", number(y + 2.0));
        svg.open("g", &[("class", format!("key {class}")), ("transform", place)]);
        svg.raw(mark);
        svg.text("tick", (f64::from(*width) + 8.0, 10.5), Anchor::Start, name);
        svg.close("g");
    }
}
