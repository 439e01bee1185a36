//! A prior of the weights: what keeps the many weights of a network small.

use std::f64::consts::TAU;

use rung_autograd::{ParameterId, Result, Tensor};

use crate::pass::Pass;

/// −log N(W; 0, I) of all these matrices but for a constant: ½ Σ W², a scalar; its gradient is W.
/// `None` without matrices.
///
/// # Errors
/// `Shape` if a parameter is no matrix.
pub fn weight_energy(pass: &Pass<'_>, weights: &[ParameterId]) -> Result<Option<Tensor>> {
    let energy = |&id: &ParameterId| {
        let weight = pass.parameter(id);
        let constant = 0.5 * TAU.ln() * weight.shape().element_count() as f64;
        weight.standard_normal_log_prob()?.sum_all()?.affine(-1.0, -constant)
    };
    let mut energies = weights.iter().map(energy);
    let Some(first) = energies.next() else { return Ok(None) };
    energies.try_fold(first?, |sum, energy| sum.add(&energy?)).map(Some)
}
