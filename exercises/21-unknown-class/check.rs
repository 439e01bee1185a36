use exercises::{Outcome, cases, close, cpu, gradients, said};
use rung_autograd::Tensor;

use super::answer::{best_logits, unlabelled};

pub fn check() -> Outcome {
    cases(10, |random| {
        let shape = [random.whole(1, 4), random.whole(2, 5)];
        let mut draw = |low, high| random.tensor(&shape, low, high).map_err(said);
        let (logits, bounds) = (draw(-2.0, 2.0)?, draw(-95.0, -90.0)?);
        let values =
            |tensor: rung_autograd::Result<Tensor>| tensor.and_then(|t| t.to_f64()).map_err(said);
        let (l, b) = (values(Ok(logits.clone()))?, values(Ok(bounds.clone()))?);
        let wanted: Vec<f64> = l
            .chunks(shape[1])
            .zip(b.chunks(shape[1]))
            .map(|(l, b)| {
                let total: f64 = l.iter().map(|l| l.exp()).sum();
                let q = l.iter().map(|l| l.exp() / total);
                q.zip(b).map(|(q, b)| q * (b - q.ln())).sum()
            })
            .collect();
        close("U", &values(unlabelled(&logits, &bounds))?, &wanted, 1e-9)?;
        gradients("U", &[logits, bounds.clone()], |x| unlabelled(&x[0], &x[1]))?;

        let best = best_logits(&bounds).map_err(said)?;
        let highest = values(bounds.log_sum_exp(1))?;
        close("U at the best q", &values(unlabelled(&best, &bounds))?, &highest, 1e-9)?;

        let far = Tensor::from_f64(&cpu(), &[1000.0, -1000.0], [1, 2]).map_err(said)?;
        let two = Tensor::from_f64(&cpu(), &[-90.0, -80.0], [1, 2]).map_err(said)?;
        close("U at logits of ±1000", &values(unlabelled(&far, &two))?, &[-90.0], 1e-9)
    })
}
