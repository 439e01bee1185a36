use exercises::{Outcome, Part, Random, cases, same};

use super::answer::walk_order;

pub const PARTS: &[Part] = &[("graphs with a cycle", cycles), ("graphs without", orders)];

/// A random graph without a cycle, and its nodes in an order in which they could be computed.
fn draw(random: &mut Random, len: usize) -> (Vec<Vec<usize>>, Vec<usize>) {
    // `rank` hides that order.
    let mut rank: Vec<usize> = (0..len).collect();
    for last in (1..len).rev() {
        rank.swap(last, random.whole(0, last));
    }
    let mut inputs = vec![vec![]; len];
    for place in 1..len {
        for _ in 0..random.whole(0, 3) {
            inputs[rank[place]].push(rank[random.whole(0, place - 1)]);
        }
    }
    (inputs, rank)
}

fn cycles() -> Outcome {
    same("a node that reads itself", &walk_order(&[vec![0]]), &None)?;
    same("two that read each other", &walk_order(&[vec![1], vec![0], vec![0]]), &None)?;
    cases(100, |random| {
        let len = random.whole(2, 10);
        let (mut inputs, rank) = draw(random, len);
        // A way round through some of the nodes, in the order of their ranks and back.
        let first = random.whole(0, len - 2);
        let last = random.whole(first + 1, len - 1);
        for place in first..last {
            inputs[rank[place + 1]].push(rank[place]);
        }
        inputs[rank[first]].push(rank[last]);
        same(&format!("the order of {inputs:?}, which has a cycle"), &walk_order(&inputs), &None)
    })
}

fn orders() -> Outcome {
    cases(100, |random| {
        let len = random.whole(1, 10);
        let (inputs, _) = draw(random, len);
        let Some(order) = walk_order(&inputs) else {
            return Err(format!("{inputs:?} has no cycle, but the answer found no order"));
        };
        let mut sorted = order.clone();
        sorted.sort_unstable();
        same("the nodes visited", &sorted, &(0..len).collect::<Vec<_>>())?;
        let visit = |node: usize| order.iter().position(|&other| other == node);
        for (reader, read) in inputs.iter().enumerate() {
            if let Some(early) = read.iter().find(|&&input| visit(input) < visit(reader)) {
                return Err(format!(
                    "in {inputs:?}, {reader} reads {early}, which {order:?} visits first"
                ));
            }
        }
        Ok(())
    })
}
