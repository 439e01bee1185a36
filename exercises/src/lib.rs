//! The exercises of the reader's book.
//!
//! ```text
//! cargo run -p exercises               all exercises
//! cargo run -p exercises -- check NN   one of them: the first call copies its skeleton for you
//! cargo run -p exercises -- watch      checks whatever you save, and goes on to the next
//! cargo run -p exercises -- hint NN    a hint; `hint NN 2` the second
//! cargo run -p exercises -- reset NN   the skeleton again
//! ```
//!
//! An exercise is a folder `NN-name` with `skeleton.rs` (the task, and code that compiles and is
//! wrong), `check.rs` and `hints.md`; its solution is `solutions/NN-name.rs`. Your answers go to
//! `answers/`, which git ignores: the skeletons stay as they are, so that a test can prove that
//! every part of every one fails and every solution passes.
//!
//! The program comes in two parts. `main.rs` knows nothing of the answers and always builds;
//! `bin/grade.rs` is compiled with them, and an error of the compiler is shown as it is.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub use rung_book::{cpu, seed};

use rung_autograd::gradcheck::{Options, gradcheck};
use rung_autograd::rng::{Address, uniform_at};
use rung_autograd::{Error, Result, Shape, Tape, Tensor};

/// The names of all exercises, in order.
pub const NAMES: &[&str] = include!(concat!(env!("OUT_DIR"), "/names.rs"));

/// The program that is compiled with the answers and checks them.
pub const GRADER: &str = "grade";

/// Whether an answer holds; otherwise what is wrong with it.
pub type Outcome = std::result::Result<(), String>;

/// A part of an exercise that is to be solved: its name, and what checks it without the others. A
/// skeleton fails every part.
pub type Part = (&'static str, fn() -> Outcome);

/// An exercise's name, and its parts.
pub type Named = (&'static str, &'static [Part]);

/// The folder of the exercises.
#[must_use]
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The hints of an exercise, from the first to the one that says most: the parts of its `hints.md`
/// between lines `---`.
///
/// # Errors
/// If the file can't be read.
pub fn hints(name: &str) -> std::io::Result<Vec<String>> {
    let text = std::fs::read_to_string(folder().join(name).join("hints.md"))?;
    Ok(text.split("\n---\n").map(|hint| hint.trim().to_owned()).collect())
}

/// Checks the parts of an answer, one after the other.
///
/// # Errors
/// What is wrong in the first part that fails.
pub fn run(parts: &[Part]) -> Outcome {
    parts.iter().try_for_each(|&(_, check)| run_part(check))
}

/// Runs a check; a panic in the answer is a wrong answer.
///
/// # Errors
/// What is wrong.
pub fn run_part(check: fn() -> Outcome) -> Outcome {
    // What is said of panics is set for the whole process.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    static PANIC: Mutex<String> = Mutex::new(String::new());
    let noted = || PANIC.lock().unwrap_or_else(PoisonError::into_inner);
    let _turn = ONE_AT_A_TIME.lock();
    let silent = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| *noted() = described(panic)));
    let outcome = catch_unwind(AssertUnwindSafe(check));
    std::panic::set_hook(silent);
    outcome.unwrap_or_else(|_| Err(std::mem::take(&mut noted())))
}

/// Where a panic is and what it says.
fn described(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let said = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("without a word");
    let place = panic.location().and_then(|location| {
        let file = Path::new(location.file()).file_name()?.to_str()?;
        Some(format!(" at {file}:{}", location.line()))
    });
    format!("it panics{}: {said}", place.unwrap_or_default())
}

/// A generator for random cases.
pub struct Random {
    address: Address,
    next: usize,
}

impl Random {
    /// A number in [low, high).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        self.next += 1;
        low + (high - low) * uniform_at(&self.address, self.next)
    }

    /// Numbers in [low, high).
    pub fn many(&mut self, count: usize, low: f64, high: f64) -> Vec<f64> {
        (0..count).map(|_| self.between(low, high)).collect()
    }

    /// A whole number from `low` to `high`, both included.
    pub fn whole(&mut self, low: usize, high: usize) -> usize {
        low + (self.between(0.0, (high - low + 1) as f64) as usize).min(high - low)
    }

    /// A tensor of f64 on the CPU with elements in [low, high).
    ///
    /// # Errors
    /// If there is no memory.
    pub fn tensor(&mut self, shape: &[usize], low: f64, high: f64) -> Result<Tensor> {
        let values = self.many(shape.iter().product(), low, high);
        Tensor::from_f64(&cpu(), &values, shape_of(shape)?)
    }
}

/// Tries a property on `count` random cases; a failure names the case and the seed that brings it
/// again.
///
/// # Errors
/// What is wrong in the first case that fails.
pub fn cases(count: u64, mut holds: impl FnMut(&mut Random) -> Outcome) -> Outcome {
    let seed = seed()?;
    (0..count).try_for_each(|case| {
        let mut random = Random { address: Address::new(seed, 0, case), next: 0 };
        holds(&mut random).map_err(|wrong| {
            format!("{wrong}\n(random case {}; RUNG_TEST_SEED={seed} brings it again)", case + 1)
        })
    })
}

/// Whether two lists of numbers agree within `tolerance`, relative to the larger of 1 and the
/// wanted number.
///
/// # Errors
/// Says at which element they differ.
pub fn close(what: &str, found: &[f64], wanted: &[f64], tolerance: f64) -> Outcome {
    if found.len() != wanted.len() {
        let (found, wanted) = (found.len(), wanted.len());
        return Err(format!("{what}: {wanted} numbers are wanted, the answer has {found}"));
    }
    for (index, (&found, &wanted)) in found.iter().zip(wanted).enumerate() {
        let error = (found - wanted).abs();
        if error.is_nan() || error > tolerance * wanted.abs().max(1.0) {
            return Err(format!(
                "{what}, element {index}: {wanted} is wanted, the answer is {found}"
            ));
        }
    }
    Ok(())
}

/// Whether two values are the same.
///
/// # Errors
/// Shows both.
pub fn same<T: PartialEq + Debug>(what: &str, found: &T, wanted: &T) -> Outcome {
    if found == wanted {
        return Ok(());
    }
    Err(format!("{what}: {wanted:?} is wanted, the answer is {found:?}"))
}

/// Whether the gradients of a function are its derivatives, by the project's own checker.
///
/// # Errors
/// The checker's words.
pub fn gradients(
    what: &str,
    inputs: &[Tensor],
    function: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Outcome {
    let outcome = gradcheck(inputs, |x| Ok(vec![function(x)?]), &Options::default());
    outcome.map(|_| ()).map_err(|failure| format!("{what}: {failure}"))
}

/// Whether the gradients of an answer are derivatives of it, and those of what is wanted: an answer
/// made of the library's operations always has derivatives of its own.
///
/// # Errors
/// The checker's words, or the element that differs.
pub fn gradients_as(
    what: &str,
    inputs: &[Tensor],
    answer: impl Fn(&[Tensor]) -> Result<Tensor>,
    wanted: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Outcome {
    gradients(what, inputs, &answer)?;
    let of = |function: &dyn Fn(&[Tensor]) -> Result<Tensor>| -> Result<Vec<Vec<f64>>> {
        let tape = Tape::new();
        let tracked: Vec<Tensor> =
            inputs.iter().map(|input| tape.variable(input)).collect::<Result<_>>()?;
        let gradients = tape.backward(&function(&tracked)?.sum_all()?)?;
        tracked.iter().map(|input| gradients.of(input)?.to_f64()).collect()
    };
    let (found, wanted) = (of(&answer).map_err(said)?, of(&wanted).map_err(said)?);
    for (index, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        close(&format!("{what}: the gradient of input {index}"), found, wanted, 1e-9)?;
    }
    Ok(())
}

/// Sizes that are known only when the program runs, as a shape.
///
/// # Errors
/// If there are more axes than a tensor has.
pub fn shape_of(sizes: &[usize]) -> Result<Shape> {
    Shape::from_slice(sizes).ok_or_else(|| Error::argument("shape", "there are too many axes"))
}

/// An error of the library as a wrong answer.
pub fn said(error: rung_autograd::Error) -> String {
    format!("the library says: {error}")
}
