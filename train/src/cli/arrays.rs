//! Arrays with a row for each image, as a NumPy archive or as a table of comma-separated values.

use std::fmt::Write as _;
use std::path::Path;

use rung_datasets::Labels;
use rung_datasets::npz::NpzWriter;

use super::shared::{Format, OutputFile};
use crate::data::DeviceImages;
use crate::data::image_grid::Images;
use crate::error::{Error, Result};
use crate::progress::Console;
use crate::run::atomic_file;

/// Arrays of one length under their names, in the order in which they are written.
///
/// - `.npz`: an array [rows, …] for each name, as `numpy.load` reads it.
/// - `.csv`: a line for each row after one of names. An array of several numbers a row has as many
///   columns, `z_1_0`, `z_1_1`, …, counted from 0 in row-major order; an unknown label is empty.
#[derive(Debug, Clone, Default)]
pub struct Arrays {
    rows: usize,
    arrays: Vec<Array>,
    facts: Vec<Facts>,
}

/// What is known of the units that are left of a group.
#[derive(Debug, Clone)]
struct Facts {
    key: String,
    units: Vec<u32>,
    kl_nats: Vec<f32>,
}

#[derive(Debug, Clone)]
struct Array {
    name: String,
    /// The shape of a row; empty for a number.
    shape: Vec<usize>,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    Reals(Vec<f32>),
    Labels(Vec<u32>),
    Text(Vec<String>),
}

impl Arrays {
    /// No arrays yet, of this many rows.
    pub fn new(rows: usize) -> Self {
        Self { rows, ..Self::default() }
    }

    fn with(mut self, name: &str, shape: &[usize], values: Values) -> Self {
        self.arrays.push(Array { name: name.into(), shape: shape.to_vec(), values });
        self
    }

    /// With an array of real numbers, of which each row has this shape.
    #[must_use]
    pub fn with_reals(self, name: &str, shape: &[usize], values: Vec<f32>) -> Self {
        self.with(name, shape, Values::Reals(values))
    }

    /// With a text for each row.
    #[must_use]
    pub fn with_text(self, name: &str, values: Vec<String>) -> Self {
        self.with(name, &[], Values::Text(values))
    }

    /// With a whole number for each row.
    #[must_use]
    pub fn with_whole(self, name: &str, values: Vec<u32>) -> Self {
        self.with(name, &[], Values::Labels(values))
    }

    /// With the numbers of the units that are left of a group, and the KL of each in nats. In a
    /// table, which has room for rows of images alone, the columns are called by the units' numbers
    /// instead.
    #[must_use]
    pub fn with_facts(mut self, key: &str, units: &[usize], kl_nats: Vec<f32>) -> Self {
        let units = units.iter().map(|&unit| unit as u32).collect();
        self.facts.push(Facts { key: key.into(), units, kl_nats });
        self
    }

    /// With pictures [rows, channels, height, width].
    #[must_use]
    pub fn with_images(self, name: &str, images: &Images) -> Self {
        self.with_reals(name, &images.shape()[1..], images.pixels().to_vec())
    }

    /// With what is known of the images that the rows are of, from the first: `labels`, where they
    /// have some, and `files`, where each is from a file of its own.
    #[must_use]
    pub fn with_source(mut self, images: &DeviceImages) -> Self {
        let rows = self.rows;
        if let Some(labels) = images.labels() {
            let positions = images.positions();
            let shape = if positions == 1 { vec![] } else { vec![positions] };
            let known = labels[..rows * positions].to_vec();
            self = self.with("labels", &shape, Values::Labels(known));
        }
        match images.files() {
            [] => self,
            files => self.with_text("files", files[..rows].to_vec()),
        }
    }

    /// Writes the file in the format of its name, and says what it holds and where it is.
    ///
    /// # Errors
    /// If it can't be written, or has another format than these two.
    pub fn write(&self, out: &OutputFile, console: &Console) -> Result<()> {
        self.save(out)?;
        let of = |array: &Array| format!("{} {:?}", array.name, self.whole_shape(array));
        let arrays: Vec<String> = self.arrays.iter().map(of).collect();
        console.info(&format!("arrays: {}", arrays.join(", ")));
        console.result(&out.path.display().to_string())
    }

    /// Writes the file in the format of its name.
    ///
    /// # Errors
    /// As [`Arrays::write`].
    pub fn save(&self, out: &OutputFile) -> Result<()> {
        match out.format {
            Format::Npz => self.write_npz(&out.path),
            Format::Csv => {
                let text = self.csv();
                atomic_file::write(&out.path, |file| file.write_all(text.as_bytes()))
            }
            other => Err(Error::new(format!("bug: arrays in a file of {other}; please report it"))),
        }
    }

    fn whole_shape(&self, array: &Array) -> Vec<usize> {
        [&[self.rows], array.shape.as_slice()].concat()
    }

    fn write_npz(&self, path: &Path) -> Result<()> {
        let refused = |error: rung_datasets::Error| {
            Error::from_source(error).with_advice("choose another file with --out")
        };
        let mut writer = NpzWriter::create(path).map_err(refused)?;
        for array in &self.arrays {
            let (name, shape) = (&array.name, self.whole_shape(array));
            match &array.values {
                Values::Reals(values) => writer.add_f32(name, &shape, values),
                Values::Labels(labels) => writer.add_labels(name, &shape, labels),
                Values::Text(text) => writer.add_text(name, text),
            }
            .map_err(refused)?;
        }
        for Facts { key, units, kl_nats } in &self.facts {
            let shape = [units.len()];
            writer.add_u32(&format!("units_{key}"), &shape, units).map_err(refused)?;
            writer.add_f32(&format!("kl_{key}"), &shape, kl_nats).map_err(refused)?;
        }
        writer.finish().map_err(refused)
    }

    /// The number of the unit that a column of an array is of, where some units are left out.
    fn unit(&self, array: &Array, column: usize) -> usize {
        let of_array = |facts: &&Facts| {
            let key = &facts.key;
            array.name == *key
                || ["z_", "mean_", "variance_"].iter().any(|p| array.name == format!("{p}{key}"))
        };
        let facts = self.facts.iter().find(of_array);
        facts.and_then(|facts| facts.units.get(column)).map_or(column, |&unit| unit as usize)
    }

    fn csv(&self) -> String {
        let width = |array: &Array| array.shape.iter().product::<usize>();
        let columns = self.arrays.iter().flat_map(|array| {
            let numbered = (0..width(array))
                .map(|column| format!("{}_{}", array.name, self.unit(array, column)));
            let alone = array.shape.is_empty().then(|| array.name.clone());
            let numbered = numbered.filter(|_| !array.shape.is_empty());
            alone.into_iter().chain(numbered).collect::<Vec<_>>()
        });
        let mut csv = columns.collect::<Vec<_>>().join(",") + "\n";
        for row in 0..self.rows {
            for (index, array) in self.arrays.iter().enumerate() {
                for column in 0..width(array) {
                    if index + column > 0 {
                        csv.push(',');
                    }
                    let at = row * width(array) + column;
                    // Writing to a string can't fail.
                    let _ = match &array.values {
                        Values::Reals(values) => write!(csv, "{}", values[at]),
                        Values::Labels(labels) if labels[at] == Labels::UNKNOWN => Ok(()),
                        Values::Labels(labels) => write!(csv, "{}", labels[at]),
                        Values::Text(text) => write!(csv, "{}", quoted(&text[at])),
                    };
                }
            }
            csv.push('\n');
        }
        csv
    }
}

/// A field of a table, in quotes where its text could be taken for the table's own (RFC 4180).
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rung_datasets::npy::NpyValues;
    use rung_datasets::npz;

    fn arrays() -> Arrays {
        Arrays::new(2)
            .with_reals("z_1", &[2], vec![0.5, -1.0, 2.0, 1e-8])
            .with("labels", &[], Values::Labels(vec![7, Labels::UNKNOWN]))
            .with_text("files", vec!["a,b.png".into(), "čaj \"1\".png".into()])
    }

    #[test]
    fn a_table_has_a_line_for_each_row() {
        assert_eq!(
            arrays().csv(),
            "z_1_0,z_1_1,labels,files\n0.5,-1,7,\"a,b.png\"\n2,0.00000001,,\"čaj \"\"1\"\".png\"\n"
        );
    }

    #[test]
    fn an_archive_has_an_array_for_each_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        arrays().write_npz(&path).unwrap();
        let read = npz::read_wanted(&path, |name| name != "files").unwrap();
        let shapes: Vec<_> = read
            .iter()
            .map(|(name, array)| (name.as_str(), array.as_ref().map(|a| a.shape.clone())))
            .collect();
        assert_eq!(shapes, [("z_1", Some(vec![2, 2])), ("labels", Some(vec![2])), ("files", None)]);
        let labels = &read[1].1.as_ref().unwrap().values;
        assert!(matches!(labels, NpyValues::I64(values) if values == &[7, -1]), "{labels:?}");
    }
}
