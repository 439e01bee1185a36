//! `report.html`: a run, or several, in one page that needs nothing but a browser.
//!
//! [`History`] is what a run has recorded, [`ModelFigures`] what its model shows; each file of
//! `charts/` makes one figure of them, and [`page`] puts the figures together. Everything is in the
//! file: style, scripts, pictures and, for one run, the generative network that the explorer draws
//! with. Start with [`page`], then any chart.

pub mod axis;
pub mod base64;
pub mod charts;
pub mod explorer;
pub mod figure;
pub mod history;
pub mod legend;
pub mod line_chart;
pub mod model_figures;
pub mod page;
pub mod paired;
pub mod principal;
pub mod svg;
pub mod verdict;

pub use figure::{Drawing, Figure};
pub use history::History;
pub use model_figures::{ModelFigures, ShownModel};

use std::path::Path;

use crate::error::Result;
use crate::run::atomic_file;

/// One run as the report shows it.
#[derive(Debug, Clone)]
pub struct Subject {
    /// What it has recorded.
    pub history: History,
    /// What its model shows; why not, if there is nothing to see.
    pub figures: Result<ModelFigures, String>,
}

/// Writes each drawing of the page for one run or several into a folder, as SVG and its numbers as
/// comma-separated values; gives their names without an ending.
///
/// # Errors
/// If one can't be written.
pub fn write_figures(subjects: &[Subject], folder: &Path) -> Result<Vec<String>> {
    let write = |drawing: Drawing| {
        for (ending, text) in [("svg", drawing.svg.file()), ("csv", drawing.csv)] {
            let path = folder.join(format!("{}.{ending}", drawing.name));
            atomic_file::write(&path, |out| out.write_all(text.as_bytes()))?;
        }
        Ok(drawing.name)
    };
    page::drawings(subjects).into_iter().map(write).collect()
}

/// Writes the page for one run or several.
///
/// # Errors
/// If it can't be written.
pub fn write(subjects: &[Subject], path: &Path) -> Result<()> {
    let html = page::html(subjects);
    atomic_file::write(path, |out| out.write_all(html.as_bytes()))
}
