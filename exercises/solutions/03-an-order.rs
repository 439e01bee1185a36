//! Exercise 03, chapter 1: An order
//!
//! Here the nodes come in no particular order. Find one in which a walk backwards may visit them:
//! every node after all nodes that read it. A graph in which a node depends on itself, along
//! whatever way, has none.

/// An order for the walk, or `None` if there is a cycle. `inputs[n]` holds the nodes that n reads,
/// and may name one more than once.
pub fn walk_order(inputs: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut waiting = vec![0; inputs.len()];
    for &input in inputs.iter().flatten() {
        waiting[input] += 1;
    }
    let mut ready: Vec<usize> = (0..inputs.len()).filter(|&node| waiting[node] == 0).collect();
    let mut order = Vec::new();
    while let Some(node) = ready.pop() {
        order.push(node);
        for &input in &inputs[node] {
            waiting[input] -= 1;
            if waiting[input] == 0 {
                ready.push(input);
            }
        }
    }
    (order.len() == inputs.len()).then_some(order)
}
