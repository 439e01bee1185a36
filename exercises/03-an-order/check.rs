use exercises::{Outcome, cases, same};

use super::answer::walk_order;

pub fn check() -> Outcome {
    same("a node that reads itself", &walk_order(&[vec![0]]), &None)?;
    same("two that read each other", &walk_order(&[vec![1], vec![0], vec![0]]), &None)?;
    cases(100, |random| {
        let len = random.whole(1, 10);
        // `rank` hides the order in which the nodes could have been computed.
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
