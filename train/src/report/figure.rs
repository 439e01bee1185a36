//! A figure of the page: a title, what it shows, and how to read it.

use serde_json::Value;

use super::svg::escape;

/// A figure.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What it shows.
    pub title: String,
    /// The drawing, as HTML.
    pub body: String,
    /// How to read it.
    pub caption: String,
    /// CSS classes; `wide` takes the page's whole width.
    pub class: &'static str,
}

impl Figure {
    /// The figure as HTML.
    pub fn html(&self) -> String {
        let Self { title, body, caption, class } = self;
        let caption =
            if caption.is_empty() { String::new() } else { format!("<p>{}</p>", escape(caption)) };
        format!(
            "<figure class=\"{class}\"><figcaption><h3>{}</h3></figcaption>{body}{caption}</figure>\n",
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
        "<div class=\"table\"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
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
    fn numbers_stand_on_the_right() {
        let html = table(&["run", "nats"], &[vec!["a&b".into(), "−81.9".into()]]);
        assert!(html.contains("<td>a&amp;b</td><td class=\"number\">−81.9</td>"), "{html}");
    }
}
