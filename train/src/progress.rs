//! What the program says while it works: log lines and one progress line, through one writer.
//!
//! A terminal gets a progress line that log lines never tear. A pipe, a file or a CI job gets plain
//! lines at a steady pace without escape codes, or JSON lines. Everything here goes to stderr but
//! [`Console::result`], which is what the user asked for and goes to stdout.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use clap::ColorChoice;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// Time between the progress lines of a program without a terminal.
const PACE: Duration = Duration::from_secs(10);

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Plain words.
    Text,
    /// One JSON object a line.
    Json,
}

/// How lines come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Lines above a progress bar.
    Bar,
    /// Plain lines.
    Lines,
    /// JSON lines.
    Json,
}

/// The one place that writes to stderr. A copy writes to the same place.
#[derive(Clone)]
pub struct Console {
    style: Style,
    quiet: bool,
    /// Whether results are left out too.
    is_silent: bool,
    colour: bool,
    pace: Duration,
    /// Whose lines they are, where several kinds of work go on at once; empty for the program's.
    speaker: String,
    bar: Arc<Mutex<Option<ProgressBar>>>,
    sink: Arc<Mutex<Box<dyn Write + Send>>>,
}

/// Columns of a terminal below which the progress line has no room for a bar and all its words.
const ROOMY_COLUMNS: u16 = 76;

/// Two lines that do not wrap: the bar gives way to the words, and what is long below is cut off at
/// the edge.
fn template(columns: u16, unit: &str) -> String {
    let first = if columns < ROOMY_COLUMNS {
        "{prefix}, {eta} left".into()
    } else {
        format!("{{prefix}} {{wide_bar}} {{pos}}/{{len}} {unit}, {{rate}}/s, {{eta}} left")
    };
    format!("{first}\n{{wide_msg}}")
}

/// Long work under way. The progress line disappears when this is dropped.
pub struct Progress<'a> {
    console: &'a Console,
    task: String,
    /// Where in the task the work is, such as an epoch; empty if nobody says.
    part: String,
    unit: &'static str,
    first: u64,
    total: u64,
    done: u64,
    started: Instant,
    last_line: Instant,
    fields: Map<String, Value>,
}

impl Console {
    /// The console of this process.
    pub fn new(quiet: bool, color: ColorChoice, format: LogFormat) -> Self {
        let capable = io::stderr().is_terminal() && !env_is("TERM", |term| term == "dumb");
        let style = match format {
            LogFormat::Json => Style::Json,
            LogFormat::Text if capable => Style::Bar,
            LogFormat::Text => Style::Lines,
        };
        let colour = match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => capable && !env_is("NO_COLOR", |value| !value.is_empty()),
        };
        Self::with(style, quiet, colour, PACE, Box::new(io::stderr()))
    }

    fn with(
        style: Style,
        quiet: bool,
        colour: bool,
        pace: Duration,
        sink: Box<dyn Write + Send>,
    ) -> Self {
        let (speaker, bar, sink) = (String::new(), Arc::default(), Arc::new(Mutex::new(sink)));
        Self { style, quiet, is_silent: false, colour, pace, speaker, bar, sink }
    }

    /// A console for one of several kinds of work that go on at once: its lines begin with the
    /// name, in JSON they have it as `run`, and there is no progress bar for them to fight over.
    #[must_use]
    pub fn of(&self, name: &str) -> Self {
        let style = if self.style == Style::Bar { Style::Lines } else { self.style };
        let console = Self::with(style, self.quiet, self.colour, self.pace, Box::new(io::stderr()));
        Self { speaker: name.into(), ..console }
    }

    /// A console that says nothing: of a rank that leaves the word to the first.
    #[must_use]
    pub fn silent() -> Self {
        let sink = Box::new(io::sink());
        Self { is_silent: true, ..Self::with(Style::Lines, true, false, PACE, sink) }
    }

    /// Says what happens; `--quiet` leaves it out.
    pub fn info(&self, message: &str) {
        if self.quiet {
            return;
        }
        match self.style {
            Style::Json => self.write_json(&json!({"level": "info", "message": message})),
            Style::Bar | Style::Lines => self.write_line(message),
        }
    }

    /// Says what the user should know even with `--quiet`.
    pub fn warn(&self, message: &str) {
        match self.style {
            Style::Json => self.write_json(&json!({"level": "warning", "message": message})),
            Style::Bar | Style::Lines => {
                self.write_line(&format!("{} {message}", self.label("33", "warning:")));
            }
        }
    }

    /// Says why the program ends: a line with the cause, and one with what to do.
    pub fn error(&self, error: &Error) {
        if self.style == Style::Json {
            let advice = error.advice();
            return self.write_json(
                &json!({"level": "error", "message": error.cause(), "advice": advice}),
            );
        }
        // The program promises one line; a library's message may have more.
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let label = self.label("31", "error:");
        self.write_line(&format!("{label} {}", one_line(error.cause())));
        if let Some(advice) = error.advice() {
            let label = self.label("36", "  try:");
            self.write_line(&format!("{label} {}", one_line(advice)));
        }
    }

    /// Prints a result to stdout, with a line end. A reader that has gone away is no error.
    ///
    /// # Errors
    /// If stdout can't be written for another reason.
    pub fn result(&self, text: &str) -> Result<()> {
        if self.is_silent {
            return Ok(());
        }
        let print = || {
            let mut out = io::stdout().lock();
            writeln!(out, "{}", text.trim_end_matches('\n'))?;
            out.flush()
        };
        let printed = match &*lock(&self.bar) {
            Some(bar) => bar.suspend(print),
            None => print(),
        };
        match printed {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Error::io("write", "standard output".as_ref(), &error))
            }
            _ => Ok(()),
        }
    }

    /// Starts to show the progress of `task`, from `first` to `total` of a `unit` ("epochs").
    pub fn progress(&self, task: &str, unit: &'static str, first: u64, total: u64) -> Progress<'_> {
        if self.style == Style::Bar && !self.quiet {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let (_, columns) = console::Term::stderr().size();
            if let Ok(style) = ProgressStyle::with_template(&template(columns, unit)) {
                let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                    // A rate that can't be shown is no reason to stop the work.
                    let _ = out.write_str(&rate(state.per_sec()));
                };
                bar.set_style(style.with_key("rate", rate));
            }
            bar.set_prefix(task.to_string());
            bar.set_position(first);
            bar.reset_eta();
            *lock(&self.bar) = Some(bar);
        }
        Progress {
            console: self,
            task: task.into(),
            part: String::new(),
            unit,
            first,
            total,
            done: first,
            started: Instant::now(),
            last_line: Instant::now(),
            fields: Map::new(),
        }
    }

    fn label(&self, ansi_colour: &str, text: &str) -> String {
        if self.colour {
            return format!("\x1b[1;{ansi_colour}m{text}\x1b[0m");
        }
        text.into()
    }

    fn write_json(&self, value: &Value) {
        let mut value = value.clone();
        if let (Value::Object(object), false) = (&mut value, self.speaker.is_empty()) {
            object.insert("run".into(), json!(self.speaker));
        }
        self.write(&format!("{value}\n"));
    }

    fn write_line(&self, line: &str) {
        let gap = if self.speaker.is_empty() { "" } else { ": " };
        self.write(&format!("{}{gap}{line}\n", self.speaker));
    }

    /// Whole lines. A stderr that has gone away is no reason to stop the work.
    fn write(&self, text: &str) {
        let write = || {
            let mut sink = lock(&self.sink);
            let _ = sink.write_all(text.as_bytes());
            let _ = sink.flush();
        };
        match &*lock(&self.bar) {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Progress<'_> {
    /// Notes how far the work is; `note` is what else the user wants to see, such as the bound.
    pub fn update(&mut self, done: u64, note: &str) {
        self.done = done;
        if let Some(bar) = &*lock(&self.console.bar) {
            bar.set_position(done);
            bar.set_message(note.to_string());
            return;
        }
        let due = self.last_line.elapsed() >= self.console.pace;
        if !self.console.quiet && (due || done >= self.total) {
            self.last_line = Instant::now();
            self.line(note);
        }
    }

    /// Leaves a line of what was reached above the progress line of a terminal, which a pipe has
    /// anyway.
    pub fn milestone(&self, note: &str) {
        if self.console.style == Style::Bar && !note.is_empty() {
            self.console.info(note);
        }
    }

    /// Says where in the task the work is from now on, such as `epoch 3/20`.
    pub fn set_part(&mut self, part: &str) {
        self.part = part.into();
        if let Some(bar) = &*lock(&self.console.bar) {
            bar.set_prefix(self.task_and_part());
        }
    }

    fn task_and_part(&self) -> String {
        format!("{} {}", self.task, self.part).trim_end().into()
    }

    /// What else the lines of JSON say from now on: what the note has in words, for programs.
    pub fn set_fields(&mut self, fields: Map<String, Value>) {
        self.fields = fields;
    }

    fn line(&self, note: &str) {
        let elapsed_s = self.started.elapsed().as_secs_f64();
        let per_s = self.done.saturating_sub(self.first) as f64 / elapsed_s.max(1e-9);
        let left = self.total.saturating_sub(self.done) as f64;
        let left_s = (per_s > 0.0).then(|| left / per_s);
        if self.console.style == Style::Json {
            let mut line = json!({
                "level": "info",
                "event": "progress",
                "task": self.task,
                "unit": self.unit,
                "done": self.done,
                "total": self.total,
                "elapsed_s": elapsed_s,
                "per_s": per_s,
                "left_s": left_s,
                "message": note,
            });
            if let Value::Object(line) = &mut line {
                line.extend(self.fields.clone());
            }
            return self.console.write_json(&line);
        }
        let left = left_s.map_or(String::new(), |s| format!(", {} left", duration(s)));
        let (task, Self { unit, done, total, .. }) = (self.task_and_part(), self);
        let gap = if self.part.is_empty() { " " } else { ", " };
        let line = format!("{task}{gap}{done}/{total} {unit}, {}/s{left}  {note}", rate(per_s));
        self.console.write_line(line.trim_end());
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = lock(&self.console.bar).take() {
            bar.finish_and_clear();
        }
    }
}

/// A rate for people: three digits at least, and no more decimals than they ask for.
fn rate(per_s: f64) -> String {
    match per_s {
        0.0..10.0 => format!("{per_s:.2}"),
        10.0..100.0 => format!("{per_s:.1}"),
        _ => format!("{per_s:.0}"),
    }
}

/// A span of time for people: `8s`, `2m 05s`, `3h 10m`.
pub fn duration(seconds: f64) -> String {
    let s = seconds.round().max(0.0) as u64;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        _ => format!("{}h {:02}m", s / 3600, s % 3600 / 60),
    }
}

fn env_is(name: &str, test: impl Fn(&str) -> bool) -> bool {
    std::env::var(name).is_ok_and(|value| test(&value))
}

/// What a thread that panicked has left is still a fit state for printing.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn said(style: Style, quiet: bool, pace: Duration, talk: impl FnOnce(&Console)) -> String {
        let captured = Captured::default();
        talk(&Console::with(style, quiet, false, pace, Box::new(captured.clone())));
        String::from_utf8(lock(&captured.0).clone()).unwrap()
    }

    fn work(console: &Console) {
        let mut progress = console.progress("training", "epochs", 0, 3);
        for epoch in 1..=3 {
            progress.update(epoch, "bound -90.1");
        }
    }

    #[test]
    fn a_narrow_terminal_gets_the_time_that_is_left_without_a_bar() {
        assert_eq!(template(40, "steps"), "{prefix}, {eta} left\n{wide_msg}");
        assert!(template(80, "steps").starts_with("{prefix} {wide_bar} {pos}/{len} steps"));
    }

    #[test]
    fn without_a_terminal_there_are_plain_lines_at_a_pace() {
        let all = said(Style::Lines, false, Duration::ZERO, work);
        assert_eq!(all.lines().count(), 3);
        assert!(all.starts_with("training 1/3 epochs, "), "{all}");
        let with_part = said(Style::Lines, false, Duration::ZERO, |console| {
            let mut progress = console.progress("training", "steps", 0, 6);
            progress.set_part("epoch 2/3");
            progress.update(4, "");
        });
        assert!(with_part.starts_with("training epoch 2/3, 4/6 steps, "), "{with_part}");
        assert!(!all.contains('\x1b') && !all.contains('\r'));
        let slow = said(Style::Lines, false, Duration::from_secs(3600), work);
        assert!(
            slow.starts_with("training 3/3 epochs, ")
                && slow.ends_with("/s, 0s left  bound -90.1\n"),
            "{slow}"
        );
    }

    #[test]
    fn json_lines_parse_and_carry_units() {
        let text = said(Style::Json, false, Duration::ZERO, |console| {
            console.info("a \"quoted\"\nline");
            let mut progress = console.progress("training", "epochs", 0, 3);
            progress.set_fields(json!({"train_bound_nats": -90.1}).as_object().unwrap().clone());
            (1..=3).for_each(|epoch| progress.update(epoch, "bound -90.1"));
            console.error(&Error::new("it broke").with_advice("mend it"));
        });
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["message"], "a \"quoted\"\nline");
        assert_eq!(lines[1]["done"], 1);
        assert!(lines[1]["left_s"].is_number());
        assert_eq!(lines[1]["train_bound_nats"], -90.1);
        assert_eq!(lines[4]["level"], "error");
        assert_eq!(lines[4]["advice"], "mend it");
    }

    #[test]
    fn lines_of_work_beside_other_work_have_its_name() {
        let speak = |style| {
            said(style, false, Duration::ZERO, |console| {
                let named = Console {
                    speaker: "a run".into(),
                    ..Console::with(
                        style,
                        false,
                        false,
                        Duration::ZERO,
                        std::mem::replace(&mut *lock(&console.sink), Box::new(io::sink())),
                    )
                };
                named.warn("look out");
                work(&named);
            })
        };
        let text = speak(Style::Lines);
        assert!(
            text.starts_with("a run: warning: look out\na run: training 1/3 epochs, "),
            "{text}"
        );
        let json: Value = serde_json::from_str(speak(Style::Json).lines().next().unwrap()).unwrap();
        assert_eq!(
            (json["run"].as_str(), json["level"].as_str()),
            (Some("a run"), Some("warning"))
        );
        let console = Console::with(Style::Bar, false, false, PACE, Box::new(io::sink()));
        assert_eq!(console.of("a run").style, Style::Lines);
    }

    #[test]
    fn quiet_leaves_warnings_and_errors() {
        let text = said(Style::Lines, true, Duration::ZERO, |console| {
            console.info("chatter");
            work(console);
            console.warn("look out");
            console.error(&Error::new("it\nbroke").with_advice("mend it"));
        });
        assert_eq!(text, "warning: look out\nerror: it broke\n  try: mend it\n");
    }

    #[test]
    fn rates_and_spans_of_time_read_well() {
        assert_eq!([0.1234, 12.34, 123.4].map(rate), ["0.12", "12.3", "123"]);
        assert_eq!(duration(7.6), "8s");
        assert_eq!(duration(125.0), "2m 05s");
        assert_eq!(duration(11_400.0), "3h 10m");
        assert_eq!(duration(f64::NAN), "0s");
    }
}
