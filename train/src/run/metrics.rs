//! `metrics.jsonl`: everything that was measured, one JSON object a line, in the order of the
//! steps.
//!
//! Every line has a whole number `step`. A resumed run cuts off the lines after its checkpoint, so
//! the file of a run that was stopped reads like that of one that wasn't.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::run::atomic_file;

/// One line: the measured quantities by name.
pub type Record = Map<String, Value>;

/// Appends lines to a run's metrics.
#[derive(Debug)]
pub struct MetricsWriter {
    file: File,
    path: PathBuf,
}

impl MetricsWriter {
    /// Opens the metrics of a run that goes on after `step`; a new run has step 0.
    ///
    /// Lines of later steps and a half-written last line are cut off.
    ///
    /// # Errors
    /// If the file can't be read or written, or has a line that isn't a record.
    pub fn open(path: &Path, step: u64) -> Result<Self> {
        let kept = match atomic_file::read_text_if_any(path)? {
            Some(text) => length_up_to(path, &text, step)?,
            None => 0,
        };
        let file = appended(path)?;
        file.set_len(kept).map_err(|error| Error::io("open", path, &error))?;
        Ok(Self { file, path: path.into() })
    }

    /// Appends one line, in a single write. Numbers that are not finite become null.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write(&mut self, step: u64, record: &Record) -> Result<()> {
        let mut line = Record::new();
        line.insert("step".into(), step.into());
        line.extend(record.iter().map(|(key, value)| (key.clone(), value.clone())));
        let text = format!("{}\n", Value::Object(line));
        self.file.write_all(text.as_bytes()).map_err(|error| Error::io("write", &self.path, &error))
    }

    /// Waits until all lines are on the disk; called with each checkpoint, which relies on them.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| Error::io("write", &self.path, &error))
    }
}

/// Appends one line to a file whose lines are never taken back, such as the evaluations of a run. A
/// half-written last line is cut off. Processes that append at once take turns: no line is lost.
///
/// # Errors
/// If the file can't be read or written, or has a line that isn't a record.
pub fn append(path: &Path, record: &Record) -> Result<()> {
    let step = record.get("step").and_then(Value::as_u64).unwrap_or(0);
    let turn = appended(path)?;
    // Where files can't be locked, lines that are written at the same instant may be lost.
    let _ = turn.lock();
    let mut writer = MetricsWriter::open(path, u64::MAX)?;
    writer.write(step, record)?;
    writer.sync()
}

/// A file that is written at its end, made if there is none.
fn appended(path: &Path) -> Result<File> {
    atomic_file::open(path, OpenOptions::new().create(true).append(true))
}

/// Seconds since 1970, for the records that say when.
pub fn unix_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |time| time.as_secs())
}

/// Reads every line; a half-written last one, which a killed process leaves, is passed over.
///
/// # Errors
/// If the file can't be read, or a line in it isn't a record.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    let text = atomic_file::read_text(path)?;
    complete_lines(&text)
        .enumerate()
        .map(|(index, line)| parse(path, index, line).map(|(_, record)| record))
        .collect()
}

/// Bytes of the file up to the last line that belongs to `step` or an earlier one.
fn length_up_to(path: &Path, text: &str, step: u64) -> Result<u64> {
    let mut length = 0;
    for (index, line) in complete_lines(text).enumerate() {
        if parse(path, index, line)?.0 > step {
            break;
        }
        length += line.len() as u64;
    }
    Ok(length)
}

fn complete_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter(|line| line.ends_with('\n'))
}

fn parse(path: &Path, index: usize, line: &str) -> Result<(u64, Record)> {
    let record: Option<Record> = serde_json::from_str(line).ok();
    let step = record.as_ref().and_then(|r| r.get("step")?.as_u64());
    step.zip(record).ok_or_else(|| {
        Error::new(format!(
            "{}, line {}: expected a JSON object with a whole number \"step\"",
            path.display(),
            index + 1
        ))
        .with_advice("remove the line, or move the file away")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;

    #[test]
    fn of_lines_appended_at_once_none_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evaluations.jsonl");
        std::thread::scope(|scope| {
            for writer in 0..8u64 {
                let path = &path;
                scope.spawn(move || {
                    for line in 0..10u64 {
                        let record = json!({ "step": 10 * writer + line });
                        append(path, record.as_object().unwrap()).unwrap();
                    }
                });
            }
        });
        let mut steps: Vec<u64> =
            read(&path).unwrap().iter().map(|record| record["step"].as_u64().unwrap()).collect();
        steps.sort_unstable();
        assert_eq!(steps, (0..80).collect::<Vec<u64>>());
    }

    fn record(bound: f64) -> Record {
        let mut record = Record::new();
        record.insert("bound_nats".into(), json!(bound));
        record
    }

    fn file_with_steps(steps: u64) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut writer = MetricsWriter::open(&path, 0).unwrap();
        for step in 1..=steps {
            writer.write(step, &record(-90.0 - step as f64)).unwrap();
        }
        writer.sync().unwrap();
        (folder, path)
    }

    #[test]
    fn lines_read_back_in_order() {
        let (_folder, path) = file_with_steps(3);
        let records = read(&path).unwrap();
        assert_eq!(records.len(), 3);
        assert_eq!(records[2]["step"], 3);
        assert_eq!(records[2]["bound_nats"], -93.0);
    }

    #[test]
    fn resuming_cuts_off_what_came_after_the_checkpoint() {
        let (_folder, path) = file_with_steps(5);
        let mut writer = MetricsWriter::open(&path, 3).unwrap();
        writer.write(4, &record(0.0)).unwrap();
        let records = read(&path).unwrap();
        assert_eq!(records.len(), 4);
        assert_eq!(records[3]["bound_nats"], 0.0);
    }

    #[test]
    fn a_stopped_and_resumed_file_equals_an_uninterrupted_one() {
        let (_folder, whole) = file_with_steps(5);
        let (_folder2, path) = file_with_steps(4);
        let mut text = fs::read(&path).unwrap();
        text.extend(b"{\"step\":5,\"bou");
        fs::write(&path, text).unwrap();
        let mut writer = MetricsWriter::open(&path, 4).unwrap();
        writer.write(5, &record(-95.0)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), fs::read(&whole).unwrap());
    }

    #[test]
    fn appending_keeps_every_line_whatever_its_step() {
        let (_folder, path) = file_with_steps(2);
        let mut line = record(1.0);
        line.insert("step".into(), json!(1));
        append(&path, &line).unwrap();
        let steps: Vec<Value> =
            read(&path).unwrap().iter().map(|line| line["step"].clone()).collect();
        assert_eq!(steps, [1, 2, 1]);
    }

    #[test]
    fn a_half_written_last_line_is_passed_over() {
        let (_folder, path) = file_with_steps(2);
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 4]).unwrap();
        assert_eq!(read(&path).unwrap().len(), 1);
    }

    #[test]
    fn a_bad_line_names_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        for bad in ["nonsense\n", "[1]\n", "{\"step\":-1}\n", "{}\n"] {
            fs::write(&path, format!("{{\"step\":1}}\n{bad}")).unwrap();
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains("metrics.jsonl, line 2: "), "{message}");
            assert!(MetricsWriter::open(&path, 9).is_err());
        }
    }

    #[test]
    fn numbers_that_are_not_finite_become_null() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut writer = MetricsWriter::open(&path, 0).unwrap();
        writer.write(1, &record(f64::NAN)).unwrap();
        assert_eq!(read(&path).unwrap()[0]["bound_nats"], Value::Null);
    }
}
