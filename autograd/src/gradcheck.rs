//! Proof by numbers that a gradient is the derivative: for a closure, for a declared operation, for
//! a whole model.
//!
//! # How a gradient is checked
//!
//! Let f map some tensors to others. Backward computes, for weights w on the outputs, the gradient
//! g of the scalar L = Σ w·f. Along a direction u in the space of one input, the derivative of L is
//! therefore a = Σ g·u. The same derivative comes from forward alone, by differences: n =
//! [L(x + h·u) − L(x − h·u)] / 2h. The check draws w and u at random and compares the two numbers.
//!
//! **Why projections.** The full Jacobian takes as many evaluations as there are inputs; a
//! projection takes four, whatever the size. A gradient that is wrong anywhere is orthogonal to a
//! random direction with probability zero. Rounding limits this: an error in an element far smaller
//! than its neighbours could drown. So several kinds of direction take turns: all elements; all
//! elements *levelled*, so that large gradients don't drown small ones; a random quarter; a single
//! one. Several outputs are weighted together and each alone, and every other check tracks only the
//! input in question, so that all ways through a backward are taken. Where input and output both
//! have at most [`JACOBIAN_LIMIT`] elements the full Jacobian is compared as well.
//!
//! **Which step.** Differences err by truncation, which grows with h, and by rounding, which grows
//! with 1/h. One step of Richardson's extrapolation, (4·n(h/2) − n(h))/3, makes the truncation
//! O(h⁴); with h = 10⁻³ and values around 1 both errors are then near 10⁻¹³. Where the comparison
//! fails it is repeated with h/8 and h/64, which helps strongly curved functions and inputs close
//! to a kink; a wrong gradient fails at every step. All this needs f64: other floats are refused.
//!
//! **Which accuracy.** The error is |a − n| / max(|a|, |n|, √Σ(g·u)², ρ). The root is the size that
//! a would have without cancellation between elements; ρ bounds the rounding of the differences. At
//! most 10⁻⁶ passes.
//!
//! # Example
//! ```
//! use rung_autograd::gradcheck::{Options, gradcheck};
//! use rung_autograd::{Device, Tensor};
//!
//! let x = Tensor::from_f64(&Device::cpu(), &[0.3, -1.2, 2.0], [3])?;
//! let options = Options::default();
//! let report = gradcheck(&[x.clone()], |x| Ok(vec![x[0].tanh()?.square()?]), &options).unwrap();
//! assert!(report.worst_relative_error < 1e-9);
//!
//! // A gradient that is wrong by 0.05 % is found: here the value is x², the gradient that of
//! // 1.0005·x².
//! let failure = gradcheck(&[x], |x| {
//!     let (value, wrong) = (x[0].square()?, x[0].square()?.scale(1.0005)?);
//!     Ok(vec![wrong.add(&value.sub(&wrong)?.detach())?])
//! }, &Options::default());
//! assert!(failure.unwrap_err().to_string().contains("relative error"));
//! # Ok::<(), rung_autograd::Error>(())
//! ```
//!
//! `subject.rs` says what can be checked, `compare.rs` compares, `failure.rs` words the outcome.

mod compare;
mod failure;
mod subject;
#[cfg(test)]
mod tests;

pub use compare::JACOBIAN_LIMIT;
pub use failure::{Cause, Failure, Mismatch};

use rung_kernels::rng::{Address, Philox};
use rung_kernels::{DType, Device, Error, Result};

use crate::op::{Case, Declaration};
use crate::parameters::ParameterStore;
use crate::tape::Tape;
use crate::tensor::Tensor;
use subject::{Closure, Model};

/// How a gradient is checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Chooses weights and directions.
    pub seed: u64,
    /// Directions tried for each input (and for each choice of outputs); four kinds take turns.
    pub directions: usize,
    /// The largest relative error that passes.
    pub relative_error: f64,
    /// The difference step h, for inputs around 1.
    pub step: f64,
}

impl Default for Options {
    /// Seed 0, four directions, 10⁻⁶, 10⁻³.
    fn default() -> Self {
        Self { seed: 0, directions: 4, relative_error: 1e-6, step: 1e-3 }
    }
}

/// What a check that passed did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// Derivatives compared.
    pub comparisons: usize,
    /// Evaluations of the function.
    pub evaluations: usize,
    /// The worst relative error of all comparisons.
    pub worst_relative_error: f64,
}

/// Checks the gradients of `function` at `inputs`: of all f64 tensors, the integer ones are passed
/// through.
///
/// The function is called many times and must give the same values for the same inputs. Outputs
/// that are not tracked are taken to have no gradient and are ignored; but if none is tracked, the
/// function claims to be constant, and that is checked.
///
/// # Errors
/// [`Failure`], with the cause: a derivative that differs, a number that is not finite, an input or
/// output that is not f64, or an error from `function` itself.
pub fn gradcheck(
    inputs: &[Tensor],
    function: impl Fn(&[Tensor]) -> Result<Vec<Tensor>>,
    options: &Options,
) -> std::result::Result<Report, Failure> {
    let shapes: Vec<String> = inputs.iter().map(|input| input.shape().to_string()).collect();
    let named =
        |cause| Failure::new("function", format!("of {}", shapes.join(", ")), options.seed, cause);
    Closure::new(inputs, function)
        .and_then(|mut closure| compare::check(&mut closure, options))
        .map_err(named)
}

/// Draws a random case of a declared operation from `seed` and checks its gradients on `device`.
///
/// # Errors
/// As [`gradcheck`]; the failure has the operation's name, the seed and the drawn shapes and
/// parameters.
pub fn check_declaration(
    declaration: &Declaration,
    device: &Device,
    seed: u64,
) -> std::result::Result<Report, Failure> {
    let case = draw_case(declaration, seed);
    let options = Options { seed, ..Options::default() };
    let named = |cause| Failure::new(declaration.name, case.description.clone(), seed, cause);
    let inputs =
        case_inputs(&case, device, DType::F64).map_err(|error| named(Cause::Error(error)))?;
    Closure::new(&inputs, &case.function)
        .and_then(|mut closure| compare::check(&mut closure, &options))
        .map_err(named)
}

/// Checks the gradients of a model's loss with respect to all its parameters, one parameter at a
/// time.
///
/// `loss` computes a tensor with one element from the parameters, which it reads with
/// [`ParameterStore::tensor`] and the tape it is given (`None` where only the value is wanted). It
/// must draw the same noise each time. The parameters end as they began; their gradients end
/// cleared.
///
/// # Errors
/// As [`gradcheck`]; `Shared` if a tensor holds the parameters.
pub fn gradcheck_parameters(
    store: &mut ParameterStore,
    loss: impl Fn(&ParameterStore, Option<&Tape>) -> Result<Tensor>,
    options: &Options,
) -> std::result::Result<Report, Failure> {
    let description = format!(
        "of {} parameters with {} elements",
        store.parameters().len(),
        store.element_count()
    );
    let named = |cause| Failure::new("model", description.clone(), options.seed, cause);
    Model::new(store, loss).and_then(|mut model| compare::check(&mut model, options)).map_err(named)
}

/// The case that [`check_declaration`] draws from `seed`.
#[must_use]
pub fn draw_case(declaration: &Declaration, seed: u64) -> Case {
    (declaration.case)(&mut Philox::new(Address::new(seed, 0, 0)))
}

/// The inputs of a case as tensors on `device`; its f64 inputs have the dtype `float`.
///
/// # Errors
/// If the device has no memory; `DType` if `float` is not a float.
pub fn case_inputs(case: &Case, device: &Device, float: DType) -> Result<Vec<Tensor>> {
    if !float.is_float() {
        return Err(Error::DType {
            operation: "case",
            rule: "the type under test must be a float",
            dtypes: vec![("x", float)],
        });
    }
    let tensor = |input: &crate::op::CaseInput| match input.dtype {
        DType::F64 | DType::F32 => Tensor::from_values(device, float, &input.values, input.shape),
        DType::U32 => Tensor::from_u32(
            device,
            &input.values.iter().map(|&value| value as u32).collect::<Vec<_>>(),
            input.shape,
        ),
        DType::U8 => Tensor::from_u8(
            device,
            &input.values.iter().map(|&value| value as u8).collect::<Vec<_>>(),
            input.shape,
        ),
    };
    case.inputs.iter().map(tensor).collect()
}
