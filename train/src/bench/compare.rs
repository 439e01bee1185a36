//! `rung bench compare`: two programs turn by turn, so that a machine whose speed drifts treats
//! them alike.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::Timing;
use crate::error::{Context, Error, Result};
use crate::progress::Console;

/// How long the machine is left alone before each turn, for threads of the other program that still
/// spin.
const SETTLE: Duration = Duration::from_millis(250);

/// What is compared, and for how long.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Two binaries of `rung`, or commands with arguments that answer as `rung bench serve` does.
    pub programs: [String; 2],
    /// Arguments of `rung bench serve` for those that are binaries.
    pub arguments: Vec<String>,
    /// Turns of each program.
    pub rounds: u32,
    /// Steps or evaluations in a turn.
    pub steps: u32,
    /// Print JSON.
    pub json: bool,
}

/// Times the programs in turn and prints the ratio of their times, second to first: the median over
/// the rounds of the ratio of the medians of the two turns, its quartiles and its extremes.
///
/// # Errors
/// If a program cannot be started, ends early or answers otherwise than `rung bench serve`.
pub fn run(comparison: &Comparison, console: &Console) -> Result<()> {
    let [first, second] = &comparison.programs;
    let mut programs = [
        Program::start(first, &comparison.arguments)?,
        Program::start(second, &comparison.arguments)?,
    ];
    let mut times = [Vec::new(), Vec::new()];
    let mut ratios = Vec::new();
    let mut progress = console.progress("comparing", "rounds", 0, comparison.rounds.into());
    for round in 0..comparison.rounds {
        let mut medians = [0.0; 2];
        // Whoever went second goes first in the next round: neither always follows the other.
        for turn in 0..2 {
            let which = (round as usize + turn) % 2;
            sleep(SETTLE);
            let turn = programs[which].times_ms(comparison.steps)?;
            medians[which] = Timing::of(&turn).median;
            times[which].extend(turn);
        }
        let [first_ms, second_ms] = medians;
        ratios.push(second_ms / first_ms);
        let ratio = second_ms / first_ms;
        progress.update(
            u64::from(round) + 1,
            &format!("{first_ms:.2} and {second_ms:.2} ms, ratio {ratio:.3}"),
        );
    }
    drop(progress);
    let spread = Timing::of(&ratios);
    let [lower, upper] = quartiles(&ratios);
    if comparison.json {
        let programs = programs.iter().zip(&times).map(|(program, times)| {
            let Timing { median, min, max } = Timing::of(times);
            json!({"program": program.command, "ready": program.ready, "ms_median": median,
                "ms_min": min, "ms_max": max, "times": times.len()})
        });
        return console.result(
            &json!({
                "programs": programs.collect::<Vec<_>>(), "rounds": comparison.rounds,
                "ratio_median": spread.median, "ratio_lower_quartile": lower,
                "ratio_upper_quartile": upper, "ratio_min": spread.min, "ratio_max": spread.max,
            })
            .to_string(),
        );
    }
    for (program, times) in programs.iter().zip(&times) {
        let Timing { median, min, max } = Timing::of(times);
        console.result(&format!(
            "{}: {median:.2} ms ({min:.2} to {max:.2}), {} times\n    {}",
            program.command,
            times.len(),
            program.ready
        ))?;
    }
    console.result(&format!(
        "second / first: {:.3} in the median of {} rounds, half of them within {lower:.3} and \
        {upper:.3}, all within {:.3} and {:.3}",
        spread.median, comparison.rounds, spread.min, spread.max
    ))
}

/// The lower and the upper quartile: medians of the halves below and above the median.
fn quartiles(values: &[f64]) -> [f64; 2] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len().div_ceil(2);
    [&sorted[..half], &sorted[sorted.len() - half..]].map(|half| Timing::of(half).median)
}

/// A program that answers as `rung bench serve` does; it ends when this is dropped.
struct Program {
    command: String,
    ready: String,
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Ready {
    ready: String,
}

#[derive(Deserialize)]
struct Turn {
    ms: Vec<f64>,
}

impl Program {
    fn start(command: &str, arguments: &[String]) -> Result<Self> {
        let mut words = command.split_whitespace();
        let program = words.next().ok_or_else(|| Error::usage("an empty name of a program"))?;
        let mut process = Command::new(program);
        let own: Vec<&str> = words.collect();
        match own.is_empty() {
            true => process.args(["bench", "serve"]).args(arguments),
            false => process.args(own),
        };
        let mut child = process
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context(format_args!("starting {program}"))?;
        let (Some(questions), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::new(format!("{program} has no standard input and output")));
        };
        let (command, answers) = (command.to_string(), BufReader::new(answers));
        let mut program =
            Self { command, ready: String::new(), child, questions: Some(questions), answers };
        program.ready = program.answer::<Ready>()?.ready;
        Ok(program)
    }

    /// The milliseconds that each of so many steps took.
    fn times_ms(&mut self, steps: u32) -> Result<Vec<f64>> {
        if let Some(questions) = &mut self.questions {
            // A program that has ended is found out by its missing answer, which says more.
            let _ = writeln!(questions, "{steps}");
        }
        let Turn { ms } = self.answer()?;
        if ms.is_empty() || ms.iter().any(|ms| !ms.is_finite() || *ms <= 0.0) {
            return Err(Error::new(format!("{} gives no times: {ms:?}", self.command)));
        }
        Ok(ms)
    }

    /// The next line that is JSON of this kind; what else a program may print is passed over.
    fn answer<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T> {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.answers.read_line(&mut line);
            if read.context(format_args!("reading what {} answers", self.command))? == 0 {
                return Err(Error::new(format!(
                    "{} ended without an answer as of rung bench serve",
                    self.command
                )));
            }
            if let Ok(answer) = serde_json::from_str(&line) {
                return Ok(answer);
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The end of its standard input is what ends it; one that goes on all the same is ended.
        drop(self.questions.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_medians_of_the_halves() {
        assert_eq!(quartiles(&[4.0, 1.0, 3.0, 2.0]), [1.5, 3.5]);
        assert_eq!(quartiles(&[5.0, 1.0, 3.0, 2.0, 4.0]), [2.0, 4.0]);
        assert_eq!(quartiles(&[1.0]), [1.0, 1.0]);
    }
}
