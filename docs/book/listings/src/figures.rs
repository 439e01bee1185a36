//! The pictures of the book. Most are drawn from what the listings compute; those of trainings are
//! made by the same command, and their numbers are those of one machine.

mod blocks;
mod ladder;
mod tape;

use crate::{Result, chapter_09, chapter_10, weave};

/// The pictures that are the same on every machine: file names and contents.
///
/// # Errors
/// If a listing fails.
pub fn drawings() -> Result<Vec<(&'static str, String)>> {
    Ok(vec![
        ("tape.svg", tape::draw()),
        ("blocks.svg", blocks::draw()),
        ("ladder.svg", ladder::draw()),
    ])
}

/// The pictures of trainings, whose last digits are those of one machine.
///
/// # Errors
/// If a training fails.
fn trained() -> Result<Vec<(&'static str, String)>> {
    Ok(vec![("glyphs.svg", chapter_09::pictures()?), ("kl.svg", chapter_10::kl_picture()?)])
}

/// Writes all pictures.
///
/// # Errors
/// If a listing fails or a file cannot be written.
pub fn write_all() -> Result<()> {
    let folder = weave::pages_folder().join("figures");
    std::fs::create_dir_all(&folder)?;
    for (name, drawing) in drawings()?.into_iter().chain(trained()?) {
        std::fs::write(folder.join(name), drawing)?;
        println!("{name}");
    }
    Ok(())
}
