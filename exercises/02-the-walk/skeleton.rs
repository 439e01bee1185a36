//! Exercise 02, chapter 1: The walk
//!
//! A tape is a list of nodes; each says which earlier nodes it read and with which local
//! derivatives. The last node is the loss. Find the derivative of the loss by every node.

/// A node: the places of its inputs, each with the derivative of this node by that input.
pub type Node = Vec<(usize, f64)>;

/// The adjoint of each node of `tape`; an empty tape has none.
pub fn backward(tape: &[Node]) -> Vec<f64> {
    let mut adjoints = vec![0.0; tape.len()];
    adjoints
}
