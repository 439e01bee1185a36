//! Draws the first 200 training images of a data set on one sheet:
//! `cargo run -p rung-datasets --example contact_sheet -- SHEET.png [NAME [DATA_DIR]]` (the glyphs,
//! if no name is given).

use std::path::Path;
use std::process::ExitCode;

use rung_datasets::{Images, Options, open};

const COLUMNS: usize = 20;
const ROWS: usize = 10;
const ZOOM: usize = 2;
const GAP: usize = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(path) = arguments.first() else {
        eprintln!("usage: contact_sheet SHEET.png [NAME [DATA_DIR]]");
        return ExitCode::from(2);
    };
    let name = arguments.get(1).map_or("glyphs", String::as_str);
    let data_dir = arguments.get(2).map_or(".", String::as_str);
    let opened =
        open(name, Path::new(data_dir), &Options::default()).map_err(|error| error.to_string());
    let saved = opened
        .and_then(|dataset| sheet(&dataset.train).save(path).map_err(|error| error.to_string()));
    match saved {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The images in rows, enlarged, with a gap between them.
fn sheet(images: &Images) -> image::RgbImage {
    let shape = images.shape();
    let (height, width) = (shape.height + GAP, shape.width + GAP);
    let count = images.count().min(ROWS * COLUMNS);
    let values = images.intensities(0..count);
    let size = |cells: usize, side: usize| (cells * side * ZOOM) as u32;
    image::RgbImage::from_fn(size(COLUMNS, width), size(ROWS, height), |x, y| {
        let (x, y) = (x as usize / ZOOM, y as usize / ZOOM);
        let (index, column, row) = (y / height * COLUMNS + x / width, x % width, y % height);
        if index >= count || column >= shape.width || row >= shape.height {
            return image::Rgb([60; 3]);
        }
        image::Rgb([0, 1, 2].map(|channel: usize| {
            let plane = index * shape.channels + channel.min(shape.channels - 1);
            (values[(plane * shape.height + row) * shape.width + column] * 255.0).round() as u8
        }))
    })
}
