//! Code and outputs into the pages.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, repository};

/// The folder of the pages.
#[must_use]
pub fn pages_folder() -> PathBuf {
    repository().join("docs/book/src")
}

/// The pages of the chapters, in order, with the chapters' numbers: `01-slope.md` is chapter 1.
///
/// # Errors
/// If the folder cannot be read.
pub fn chapters() -> Result<Vec<(u8, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(pages_folder())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(number) = name.get(..2).and_then(|digits| digits.parse().ok()) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

/// A comment that says what the block after it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directive {
    /// A region of the chapter's file.
    Listing(String),
    /// What a function prints, the same on every machine.
    Output(String),
    /// What a function prints, with the numbers of one machine.
    Measured(String),
    /// An item of a real source: its file, and what its first line holds.
    Quote(String, String),
}

impl Directive {
    fn parse(line: &str) -> Option<Self> {
        let inside = line.strip_prefix("<!-- ")?.strip_suffix(" -->")?;
        let (kind, rest) = inside.split_once(' ')?;
        match kind {
            "listing" => Some(Self::Listing(rest.into())),
            "output" => Some(Self::Output(rest.into())),
            "measured" => Some(Self::Measured(rest.into())),
            "quote" => {
                rest.split_once(' ').map(|(file, needle)| Self::Quote(file.into(), needle.into()))
            }
            _ => None,
        }
    }

    /// The words after the fence.
    fn language(&self) -> &'static str {
        match self {
            Self::Listing(_) => "rust",
            Self::Output(_) | Self::Measured(_) => "text",
            Self::Quote(file, _) if file.ends_with(".cl") => "c",
            Self::Quote(..) => "rust",
        }
    }

    fn content(&self, chapter: u8, program: &Path) -> Result<String> {
        match self {
            Self::Listing(name) => {
                let file = format!("docs/book/listings/src/chapter_{chapter:02}.rs");
                region(&std::fs::read_to_string(repository().join(&file))?, name)
                    .ok_or_else(|| format!("{file} has no region {name}").into())
            }
            Self::Output(name) | Self::Measured(name) => printed(program, chapter, name),
            Self::Quote(file, needle) => {
                item(&std::fs::read_to_string(repository().join(file))?, needle)
                    .ok_or_else(|| format!("{file} has no line with {needle}").into())
            }
        }
    }
}

/// The names of the outputs that a page shows, from its first line to its last.
#[must_use]
pub fn outputs_on(page: &str) -> Vec<String> {
    let directives = page.lines().filter_map(Directive::parse);
    directives
        .filter_map(|directive| match directive {
            Directive::Output(name) | Directive::Measured(name) => Some(name),
            _ => None,
        })
        .collect()
}

/// The lines between `// ANCHOR: name` and `// ANCHOR_END: name`, without other anchors, moved to
/// the left margin.
#[must_use]
pub fn region(source: &str, name: &str) -> Option<String> {
    let (begin, end) = (format!("// ANCHOR: {name}"), format!("// ANCHOR_END: {name}"));
    let mut lines = source.lines().skip_while(|line| line.trim() != begin);
    lines.next()?;
    let mut inside = Vec::new();
    loop {
        let line = lines.next()?;
        if line.trim() == end {
            return Some(dedented(&inside));
        }
        if !line.trim().starts_with("// ANCHOR") {
            inside.push(line);
        }
    }
}

/// From the first line that holds `needle` to the line that closes it: the next one that is as far
/// to the left and begins with a closing brace.
#[must_use]
pub fn item(source: &str, needle: &str) -> Option<String> {
    let lines: Vec<&str> = source.lines().skip_while(|line| !line.contains(needle)).collect();
    let margin = indent(lines.first()?);
    let last =
        lines.iter().position(|line| indent(line) == margin && line.trim().starts_with('}'))?;
    Some(dedented(&lines[..=last]))
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn dedented(lines: &[&str]) -> String {
    let margin = lines.iter().filter(|line| !line.trim().is_empty()).map(|line| indent(line)).min();
    let margin = margin.unwrap_or(0);
    lines.iter().map(|line| format!("{}\n", line.get(margin..).unwrap_or(""))).collect()
}

/// What the program prints for an output.
fn printed(program: &Path, chapter: u8, name: &str) -> Result<String> {
    let output = Command::new(program).args(["run", &chapter.to_string(), name]).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("chapter {chapter}, output {name}: {said}").into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A text with every number replaced by a mark: what must be the same on all machines.
#[must_use]
pub fn words_of(text: &str) -> Vec<String> {
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '−' | '+' | '±');
    let mark = |word: &str| {
        let rest = word.trim_matches(is_number);
        if rest.len() < word.len() && word.contains(|c: char| c.is_ascii_digit()) {
            format!("#{rest}")
        } else {
            word.to_owned()
        }
    };
    text.split_whitespace().map(mark).collect()
}

/// A page with its blocks made anew, and what was out of date.
#[derive(Debug, Default)]
pub struct Woven {
    /// The page.
    pub text: String,
    /// One line for each block that differed.
    pub stale: Vec<String>,
}

/// Makes the blocks of a page anew; `program` runs the listings. Measured ones keep their numbers
/// as long as their words hold, unless `measures`.
///
/// # Errors
/// A directive names what isn't there, a listing fails, or a block has no end.
pub fn weave(chapter: u8, page: &str, measures: bool, program: &Path) -> Result<Woven> {
    let mut woven = Woven::default();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        woven.text += line;
        woven.text.push('\n');
        let Some(directive) = Directive::parse(line) else { continue };
        let mut old = String::new();
        if lines.peek().is_some_and(|line| line.starts_with("```")) {
            lines.next();
            loop {
                match lines.next() {
                    Some("```") => break,
                    Some(line) => old = old + line + "\n",
                    None => return Err(format!("{line}: the block has no end").into()),
                }
            }
        }
        let mut new = directive.content(chapter, program)?;
        if matches!(directive, Directive::Measured(_))
            && !measures
            && words_of(&new) == words_of(&old)
        {
            new.clone_from(&old);
        }
        if new != old {
            woven.stale.push(format!("chapter {chapter}: {line}\n--- page\n{old}--- now\n{new}"));
        }
        woven.text += &format!("```{}\n{new}```\n", directive.language());
    }
    Ok(woven)
}

/// Writes all pages of chapters.
///
/// # Errors
/// As [`weave`], or if a page cannot be read or written.
pub fn write_pages(measures: bool) -> Result<()> {
    let program = std::env::current_exe()?;
    for (chapter, path) in chapters()? {
        let page = std::fs::read_to_string(&path)?;
        let woven = weave(chapter, &page, measures, &program)?;
        if woven.text != page {
            std::fs::write(&path, &woven.text)?;
            println!("{}: {} blocks made anew", path.display(), woven.stale.len());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_what_stands_between_its_anchors() {
        let source = "a\n    // ANCHOR: x\n    b\n    // ANCHOR: y\n      c\n    // ANCHOR_END: y\n    // ANCHOR_END: x\nd\n";
        assert_eq!(region(source, "x").unwrap(), "b\n  c\n");
        assert_eq!(region(source, "y").unwrap(), "c\n");
        assert_eq!(region(source, "z"), None);
    }

    #[test]
    fn an_item_ends_with_the_brace_at_its_margin() {
        assert_eq!(
            item("x\n  fn f() {\n    {\n    }\n  }\n}\n", "fn f").unwrap(),
            "fn f() {\n  {\n  }\n}\n"
        );
    }

    #[test]
    fn numbers_differ_and_words_do_not() {
        assert_eq!(words_of("took 1.5 ms, −3.2"), words_of("took 17 ms, −4"));
        assert_ne!(words_of("took 1.5 ms"), words_of("needs 1.5 ms"));
        assert_ne!(words_of("took 1.5 ms"), words_of("took 1.5 s"));
    }

    #[test]
    fn a_block_that_differs_is_found_and_made_anew() {
        let page = "<!-- quote autograd/src/tape.rs pub fn is_empty -->\n```rust\nold\n```\nend\n";
        let woven = weave(1, page, false, "".as_ref()).unwrap();
        assert_eq!(woven.stale.len(), 1);
        assert!(woven.text.contains("self.len() == 0") && !woven.text.contains("old"));
        assert!(weave(1, &woven.text, false, "".as_ref()).unwrap().stale.is_empty());
        assert!(weave(1, "<!-- listing nowhere -->\n", false, "".as_ref()).is_err());
    }
}
