//! Exercise 03, chapter 1: An order
//!
//! Here the nodes come in no particular order. Find one in which a walk backwards may visit them:
//! every node after all nodes that read it. A graph in which a node depends on itself, along
//! whatever way, has none.

/// An order for the walk, or `None` if there is a cycle. `inputs[n]` holds the nodes that n reads,
/// and may name one more than once.
pub fn walk_order(inputs: &[Vec<usize>]) -> Option<Vec<usize>> {
    Some((0..inputs.len()).collect())
}
