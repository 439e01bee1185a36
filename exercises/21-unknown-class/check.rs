use exercises::{Outcome, Part, Random, cases, close, cpu, gradients_as, said};
use rung_autograd::Tensor;

use super::answer::{best_logits, unlabelled};

pub const PARTS: &[Part] = &[
    ("the value", value),
    ("the gradient", gradient),
    ("the best logits", best),
    ("certain classes", certain),
];

/// Logits and bounds.
fn draw(random: &mut Random) -> Result<[Tensor; 2], String> {
    let shape = [random.whole(1, 4), random.whole(2, 5)];
    let mut draw = |low, high| random.tensor(&shape, low, high).map_err(said);
    Ok([draw(-2.0, 2.0)?, draw(-95.0, -90.0)?])
}

fn values(tensor: rung_autograd::Result<Tensor>) -> Result<Vec<f64>, String> {
    tensor.and_then(|tensor| tensor.to_f64()).map_err(said)
}

/// U with logarithms of probabilities, which ±1000 would not allow.
fn wanted(x: &[Tensor]) -> rung_autograd::Result<Tensor> {
    let q = x[0].log_softmax(1)?.exp()?;
    q.mul(&x[1].sub(&q.log()?)?)?.sum(1)
}

fn value() -> Outcome {
    cases(10, |random| {
        let [logits, bounds] = draw(random)?;
        let classes = logits.shape().sizes()[1];
        let (l, b) = (values(Ok(logits.clone()))?, values(Ok(bounds.clone()))?);
        let wanted: Vec<f64> = l
            .chunks(classes)
            .zip(b.chunks(classes))
            .map(|(l, b)| {
                let total: f64 = l.iter().map(|l| l.exp()).sum();
                let q = l.iter().map(|l| l.exp() / total);
                q.zip(b).map(|(q, b)| q * (b - q.ln())).sum()
            })
            .collect();
        close("U", &values(unlabelled(&logits, &bounds))?, &wanted, 1e-9)
    })
}

fn gradient() -> Outcome {
    cases(10, |random| gradients_as("U", &draw(random)?, |x| unlabelled(&x[0], &x[1]), wanted))
}

fn best() -> Outcome {
    cases(10, |random| {
        let [_, bounds] = draw(random)?;
        let best = best_logits(&bounds).map_err(said)?;
        let highest = values(bounds.log_sum_exp(1))?;
        close("U at the best q", &values(wanted(&[best, bounds]))?, &highest, 1e-9)
    })
}

fn certain() -> Outcome {
    let far = Tensor::from_f64(&cpu(), &[1000.0, -1000.0], [1, 2]).map_err(said)?;
    let two = Tensor::from_f64(&cpu(), &[-90.0, -80.0], [1, 2]).map_err(said)?;
    close("U at logits of ±1000", &values(unlabelled(&far, &two))?, &[-90.0], 1e-9)
}
