use exercises::{Outcome, Part, Random, cases, close};

use super::answer::{Node, backward};

/// A random tape in which later nodes read earlier ones, often the same more than once.
fn draw(random: &mut Random) -> Vec<Node> {
    let len = random.whole(1, 12);
    (0..len)
        .map(|index| {
            let reads = if index == 0 { 0 } else { random.whole(0, 3) };
            (0..reads).map(|_| (random.whole(0, index - 1), random.between(-2.0, 2.0))).collect()
        })
        .collect()
}

/// The sum over all paths of the product of the local derivatives, path by path.
fn by_paths(tape: &[Node], from: usize, to: usize) -> f64 {
    if from == to {
        return 1.0;
    }
    tape[from].iter().map(|&(input, local)| local * by_paths(tape, input, to)).sum()
}

pub const PARTS: &[Part] = &[("the adjoints", check)];

fn check() -> Outcome {
    close("an empty tape", &backward(&[]), &[], 0.0)?;
    close("x·x at 3", &backward(&[vec![], vec![(0, 3.0), (0, 3.0)]]), &[6.0, 1.0], 1e-12)?;
    cases(100, |random| {
        let tape = draw(random);
        let wanted: Vec<f64> =
            (0..tape.len()).map(|node| by_paths(&tape, tape.len() - 1, node)).collect();
        close(&format!("the adjoints of {tape:.3?}"), &backward(&tape), &wanted, 1e-9)
    })
}
