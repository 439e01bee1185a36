//! A figure of the page: a title, what it shows, and how to read it.

use serde_json::Value;

use super::svg::{Svg, escape};

/// A drawing, and the numbers that it shows.
#[derive(Debug, Clone)]
pub struct Drawing {
    /// What its files are called, without an ending: letters, digits and hyphens, unique among
    /// those of a page.
    pub name: String,
    /// The drawing.
    pub svg: Svg,
    /// Its numbers: comma-separated values under a line of names.
    pub csv: String,
}

impl Drawing {
    /// The drawing in a page, with its numbers for the button that saves them.
    pub fn html(&self) -> String {
        // No text of a table can end its element.
        let csv = self.csv.replace("</", "<\u{200b}/");
        format!(
            "{}<script type=\"text/csv\" data-name=\"{}\">{csv}</script>",
            self.svg.inline(),
            escape(&self.name)
        )
    }
}

/// Lines of comma-separated values; a text that could be taken for several is put in quotes.
pub fn csv<R: IntoIterator<Item = String>>(
    names: &[&str],
    rows: impl Iterator<Item = R>,
) -> String {
    let quoted = |text: &str| match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    };
    let line = |cells: Vec<String>| {
        cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",") + "\n"
    };
    let head = line(names.iter().map(ToString::to_string).collect());
    rows.fold(head, |text, row| text + &line(row.into_iter().collect()))
}

/// A figure.
#[derive(Debug, Clone, Default)]
pub struct Figure {
    /// What it shows.
    pub title: String,
    /// What is shown, as HTML.
    pub body: String,
    /// The drawings in it that can be saved.
    pub drawings: Vec<Drawing>,
    /// How to read it.
    pub caption: String,
    /// CSS classes; `wide` takes the page's whole width.
    pub class: &'static str,
}

impl Figure {
    /// The same figure of a run by its number, of several whose drawings have the same names.
    pub fn of_run(mut self, number: usize) -> Self {
        for drawing in &mut self.drawings {
            let name = format!("run-{number}-{}", drawing.name);
            let attribute = |name: &str| format!("data-name=\"{}\"", escape(name));
            self.body = self.body.replace(&attribute(&drawing.name), &attribute(&name));
            drawing.name = name;
        }
        self
    }

    /// The figure as HTML.
    pub fn html(&self) -> String {
        let Self { title, body, caption, class, .. } = self;
        let caption =
            if caption.is_empty() { String::new() } else { format!("<p>{}</p>", escape(caption)) };
        format!(
            "<figure \
            class=\"{class}\"><figcaption><h3>{}</h3></figcaption>{body}{caption}</figure>\n",
            escape(title)
        )
    }
}

/// Data for the page's script, in which nothing ends the element early.
pub fn embedded_json(value: &Value) -> String {
    let text = value.to_string().replace('<', "\\u003c");
    format!("<script type=\"application/json\">{text}</script>")
}

/// A table: the first row is the heading, numbers stand on the right.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let numeric =
        |text: &str| text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '−' | '–' | '+'));
    let cell = |text: &String| {
        let class = if numeric(text) { " class=\"number\"" } else { "" };
        format!("<td{class}>{}</td>", escape(text))
    };
    let head: String = heading.iter().map(|text| format!("<th>{}</th>", escape(text))).collect();
    let body: String = rows
        .iter()
        .map(|row| format!("<tr>{}</tr>", row.iter().map(cell).collect::<String>()))
        .collect();
    format!(
        "<div \
        class=\"table\"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_end_its_element() {
        let html = embedded_json(&serde_json::json!({"name": "</script><b>"}));
        assert_eq!(html.matches('<').count(), 2);
        assert!(html.contains("\\u003c/script>"));
    }

    #[test]
    fn tables_quote_what_would_break_them() {
        let rows = [["a,b".to_string(), "1".to_string()], ["c \"d\"".into(), "2".into()]];
        assert_eq!(
            csv(&["run", "nats"], rows.into_iter()),
            "run,nats\n\"a,b\",1\n\"c \"\"d\"\"\",2\n"
        );
        let svg = Svg::new(1.0, 1.0, "x");
        let drawing = Drawing { name: "x".into(), svg, csv: "</script>".into() };
        assert_eq!(drawing.html().matches("</script>").count(), 1);
    }

    #[test]
    fn numbers_stand_on_the_right() {
        let html = table(&["run", "nats"], &[vec!["a&b".into(), "−81.9".into()]]);
        assert!(html.contains("<td>a&amp;b</td><td class=\"number\">−81.9</td>"), "{html}");
    }
}
