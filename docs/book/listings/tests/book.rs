//! The pages say what the sources say and what the listings print.

use std::path::Path;

use rung_book::outputs::OUTPUTS;
use rung_book::weave::{chapters, outputs_on, pages_folder, weave};
use rung_book::{pages, repository};

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All pages, with their names.
fn all_pages() -> Vec<(String, String)> {
    let entries = std::fs::read_dir(pages_folder()).unwrap().map(|entry| entry.unwrap().path());
    let pages = entries.filter(|path| path.extension().is_some_and(|end| end == "md"));
    pages.map(|path| (path.file_name().unwrap().to_string_lossy().into(), read(&path))).collect()
}

#[test]
fn every_listing_is_the_code_that_ran_and_every_output_is_what_it_printed() {
    let program = env!("CARGO_BIN_EXE_rung-book").as_ref();
    let mut stale = Vec::new();
    for (chapter, path) in chapters().unwrap() {
        stale.extend(weave(chapter, &read(&path), false, program).unwrap().stale);
    }
    assert!(
        stale.is_empty(),
        "`cargo run -p rung-book -- weave` makes the pages anew:\n{}",
        stale.join("\n")
    );
}

#[test]
fn a_chapters_outputs_are_run_in_the_order_of_its_page() {
    for (number, path) in chapters().unwrap() {
        let run: Vec<_> =
            OUTPUTS.iter().filter(|it| it.chapter == number).map(|it| it.name.to_owned()).collect();
        assert_eq!(run, outputs_on(&read(&path)), "chapter {number}: run, and shown");
    }
    assert!(
        OUTPUTS.iter().all(|output| chapters().unwrap().iter().any(|(n, _)| *n == output.chapter))
    );
}

#[test]
fn every_chapter_has_its_parts() {
    for (_, path) in chapters().unwrap() {
        let missing = pages::missing_parts(&read(&path));
        assert!(missing.is_empty(), "{} lacks {missing:?}", path.display());
    }
}

#[test]
fn every_pointer_and_link_leads_somewhere() {
    for (name, page) in all_pages() {
        let (pointers, links) =
            (pages::broken_pointers(&page), pages::broken_links(&pages_folder(), &page));
        assert!(pointers.is_empty() && links.is_empty(), "{name}: {pointers:?} {links:?}");
    }
}

/// The files below `folder`, as paths from the repository's root; build outputs and answers to
/// exercises are none of it.
fn files(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["target", ".git", "answers", "runs"].contains(&name.as_str()) {
            files(&path, found);
        } else if path.is_file() {
            found.push(path.strip_prefix(repository()).unwrap().to_string_lossy().into_owned());
        }
    }
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let mut paths = Vec::new();
    files(&repository(), &mut paths);
    let is_document = |path: &&String| {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        path.ends_with(".md") && ["", "docs", "fuzz"].contains(&folder)
    };
    let documents: Vec<_> = paths.iter().filter(is_document).collect();
    assert!(documents.len() > 15, "{documents:?}");
    for document in documents {
        let page = read(&repository().join(document));
        let folder = repository().join(document);
        let links = pages::broken_links(folder.parent().unwrap(), &page);
        let lost = pages::lost_files(&page, &paths);
        assert!(lost.is_empty() && links.is_empty(), "{document}: {lost:?} {links:?}");
    }
}

#[test]
fn every_name_of_glossary_and_notation_is_in_the_code() {
    for name in ["glossary.md", "notation.md"] {
        let page = read(&pages_folder().join(name));
        let unproven = pages::unproven_names(&page);
        assert!(unproven.is_empty(), "{name}: a file belongs to each name: {unproven:?}");
        assert!(page.matches(".rs::").count() > 10, "{name} points into the code");
    }
}

#[test]
fn every_crate_points_to_its_chapters() {
    for name in ["kernels", "ranks", "autograd", "models", "datasets", "train", "opencl-loader"] {
        let head = read(&repository().join(name).join("src/lib.rs"));
        assert!(head.contains("of the reader's book, `docs/book/src/`"), "{name}/src/lib.rs");
    }
}

#[test]
fn the_summary_names_every_page() {
    let summary = read(&pages_folder().join("SUMMARY.md"));
    for (name, _) in all_pages().iter().filter(|(name, _)| name != "SUMMARY.md") {
        assert!(summary.contains(&format!("({name})")), "SUMMARY.md does not name {name}");
    }
}

#[test]
fn every_drawing_is_what_its_command_draws() {
    for (name, drawing) in rung_book::figures::drawings().unwrap() {
        let stored = read(&repository().join("docs/book/src/figures").join(name));
        assert!(stored == drawing, "`cargo run -p rung-book -- figures` draws {name} anew");
    }
}
