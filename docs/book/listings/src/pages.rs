//! What every page must hold.

use std::path::Path;

use crate::repository;

/// The words of a text outside its blocks of code and its comments.
#[must_use]
pub fn prose_words(page: &str) -> usize {
    prose(page).split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count()
}

/// A page without blocks of code and comments.
#[must_use]
pub fn prose(page: &str) -> String {
    let mut is_code = false;
    let mut text = String::new();
    for line in page.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code && !line.starts_with("<!--") {
            text += line;
            text.push('\n');
        }
    }
    text
}

/// The code spans of a page's prose.
fn spans(page: &str) -> Vec<String> {
    prose(page).split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether a code span is a pointer: `path/file.rs`, `path/file.rs::name`, or a folder of sources,
/// `crate/src/folder/`.
fn is_pointer(span: &str) -> bool {
    let ends = [".rs", ".cl", ".md", ".sh", ".toml", ".svg"];
    span.contains('/')
        && !span.contains([' ', '*', '<', '='])
        && (ends.iter().any(|end| span.contains(end)) || is_folder(span))
}

fn is_folder(span: &str) -> bool {
    span.contains("/src/") && span.ends_with('/')
}

/// Files that a document outside the book names and the repository lacks: code spans with a folder
/// in them. `paths` are the repository's files; a document may leave out the first folders of one
/// (`cl/common.cl`). Names in capitals (`tasks/FAMILY.rs`) stand for any, `…` too.
#[must_use]
pub fn lost_files(page: &str, paths: &[String]) -> Vec<String> {
    let stands_for_any = |span: &str| {
        let is_capital = |part: &str| {
            let stem = part.split('.').next().unwrap_or("");
            stem.len() > 1 && stem.chars().all(|c| c.is_ascii_uppercase())
        };
        span.contains('…') || span.split('/').any(is_capital)
    };
    let is_there = |span: &String| {
        let file = span.split("::").next().unwrap_or(span).trim_start_matches("./");
        if is_folder(span) {
            return paths.iter().any(|path| path.starts_with(file));
        }
        paths.iter().any(|path| path == file || path.ends_with(&format!("/{file}")))
    };
    let named = spans(page).into_iter().filter(|span| is_pointer(span) && !stands_for_any(span));
    named.filter(|span| !is_there(span)).collect()
}

/// What is wrong with the pointers of a page: those to files and folders that are not there, and
/// those whose `name` is no function, type, constant, macro or module of the file.
#[must_use]
pub fn broken_pointers(page: &str) -> Vec<String> {
    let is_broken = |span: &String| {
        let (file, name) =
            span.split_once("::").map_or((span.as_str(), None), |(f, n)| (f, Some(n)));
        if is_folder(span) {
            return !repository().join(file).is_dir();
        }
        let Ok(source) = std::fs::read_to_string(repository().join(file)) else { return true };
        name.is_some_and(|name| !declares(&source, name))
    };
    spans(page).into_iter().filter(|span| is_pointer(span)).filter(is_broken).collect()
}

/// Code spans in the tables of a page that are no pointers, so that nothing proves them: in a
/// glossary, every name in the code is one.
#[must_use]
pub fn unproven_names(page: &str) -> Vec<String> {
    let rows: String = page.lines().filter(|line| line.starts_with('|')).collect();
    spans(&rows).into_iter().filter(|span| !is_pointer(span)).collect()
}

fn declares(source: &str, name: &str) -> bool {
    let before = [
        "fn ",
        "struct ",
        "enum ",
        "trait ",
        "const ",
        "static ",
        "mod ",
        "type ",
        "macro_rules! ",
        "kernel void ",
        "#define ",
        "matmul::",
        "optimiser::",
        "gaussian::",
    ];
    before.iter().any(|word| {
        source.match_indices(&format!("{word}{name}")).any(|(at, found)| {
            let next = source[at + found.len()..].chars().next();
            !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
    })
}

/// What is wrong with the links of a page in `folder`: files that are not there, and headings that
/// no page has. Addresses on the net are not followed.
#[must_use]
pub fn broken_links(folder: &Path, page: &str) -> Vec<String> {
    let text = prose(page);
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let is_broken = |target: &&str| {
        if target.contains("://") {
            return false;
        }
        let (file, heading) = target.split_once('#').unwrap_or((target, ""));
        let Ok(there) = (if file.is_empty() {
            Ok(page.to_owned())
        } else if file.ends_with(".md") {
            std::fs::read_to_string(folder.join(file))
        } else {
            std::fs::metadata(folder.join(file)).map(|_| String::new())
        }) else {
            return true;
        };
        !heading.is_empty() && !headings(&there).iter().any(|anchor| anchor == heading)
    };
    targets.filter(is_broken).map(str::to_owned).collect()
}

/// The anchors of a page's headings, as mdBook and GitHub make them.
fn headings(page: &str) -> Vec<String> {
    let anchor = |title: &str| {
        title
            .trim_start_matches('#')
            .trim()
            .to_lowercase()
            .chars()
            .filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            })
            .collect()
    };
    prose(page).lines().filter(|line| line.starts_with('#')).map(anchor).collect()
}

/// What a chapter lacks of its parts.
#[must_use]
pub fn missing_parts(page: &str) -> Vec<String> {
    let mut missing = Vec::new();
    let mut paragraphs = page.split("\n\n").map(str::trim).filter(|text| !text.is_empty());
    if !paragraphs.next().is_some_and(|title| title.starts_with("# ")) {
        missing.push("a title".into());
    }
    let is_question = |text: &str| text.starts_with('*') && text.ends_with("?*");
    if !paragraphs.next().is_some_and(is_question) {
        missing.push("a question, in italics, under the title".into());
    }
    for part in ["## What was left out", "## Exercises", "## Where it stands in full"] {
        if !page.lines().any(|line| line == part) {
            missing.push(part.into());
        }
    }
    let exercises = page.split("## Exercises").nth(1).unwrap_or("");
    let exercises = exercises.split("\n## ").next().unwrap_or("");
    let numbered = (1..=3).all(|n| exercises.contains(&format!("\n{n}. ")));
    if !numbered || exercises.contains("\n4. ") {
        missing.push("three exercises".into());
    }
    let words = prose_words(page);
    if !(1500..=3000).contains(&words) {
        missing.push(format!("between 1500 and 3000 words: there are {words}"));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_to_nothing_is_found() {
        let page = "See `autograd/src/tape.rs::walk`, `autograd/src/tape.rs`, `autograd/src/tape/`,\n\
                    `autograd/src/tape.rs::fly`, `autograd/src/rope.rs` and `autograd/src/rope/`.\n";
        assert_eq!(
            broken_pointers(page),
            ["autograd/src/tape.rs::fly", "autograd/src/rope.rs", "autograd/src/rope/"]
        );
    }

    #[test]
    fn a_file_that_is_lost_is_found() {
        let paths = ["kernels/src/opencl/cl/common.cl".to_owned(), "tests/run.sh".to_owned()];
        let page = "`cl/common.cl`, `tests/run.sh`, `tasks/FAMILY.rs`, `ops/….rs`, `run.rs`,\n\
                    `cl/common.rs`, `mon.cl`, `mmon/common.cl`, `kernels/src/opencl/`,\n\
                    `kernels/src/opencv/`";
        let lost = ["cl/common.rs", "mmon/common.cl", "kernels/src/opencv/"];
        assert_eq!(lost_files(page, &paths), lost);
    }

    #[test]
    fn a_name_that_nothing_proves_is_found() {
        let page =
            "| tape | `Tape` | `autograd/src/tape.rs::Tape` |\n\nThe `walk` goes backwards.\n";
        assert_eq!(unproven_names(page), ["Tape"]);
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        let page = "# A b\n[x](#a-b) [x](#c) [y](https://z) [z](nowhere.md) [w](book.toml)\n";
        assert_eq!(broken_links(&repository().join("docs/book"), page), ["#c", "nowhere.md"]);
    }

    #[test]
    fn a_chapter_without_its_parts_is_found() {
        assert_eq!(missing_parts("text").len(), 7);
    }
}
