use exercises::{Outcome, Part, cases, close, cpu, said, same};
use rung_autograd::Tensor;

use super::answer::{bound, effective_samples};

pub const PARTS: &[Part] = &[("the bound", bounds), ("draws that count", effective)];

fn bounds() -> Outcome {
    same("the bound of no weight at all", &bound(&[f64::NEG_INFINITY; 3]), &f64::NEG_INFINITY)?;
    cases(50, |random| {
        let k = random.whole(1, 20);
        let offset = random.between(-1000.0, 1000.0);
        let weights: Vec<f64> = random.many(k, -3.0, 3.0).iter().map(|w| w + offset).collect();
        let wanted = Tensor::from_f64(&cpu(), &weights, [k])
            .and_then(|w| w.log_sum_exp(0)?.to_scalar())
            .map_err(said)?;
        close("the bound", &[bound(&weights)], &[wanted - (k as f64).ln()], 1e-9)?;
        let mut with_zero = weights.clone();
        with_zero.push(f64::NEG_INFINITY);
        let wanted = wanted - ((k + 1) as f64).ln();
        close("the bound with a weight of zero", &[bound(&with_zero)], &[wanted], 1e-9)
    })
}

fn effective() -> Outcome {
    let none = effective_samples(&[f64::NEG_INFINITY; 3]);
    same("draws that count of no weight at all", &none, &0.0)?;
    cases(50, |random| {
        let k = random.whole(1, 20);
        let offset = random.between(-1000.0, 1000.0);
        close("equal weights", &[effective_samples(&vec![offset; k])], &[k as f64], 1e-9)?;
        close("one weight", &[effective_samples(&[offset, offset - 800.0])], &[1.0], 1e-9)?;
        let logs = random.many(k, -3.0, 3.0);
        let sum = |power: f64| logs.iter().map(|w| (power * w).exp()).sum::<f64>();
        let far: Vec<f64> = logs.iter().map(|w| w + offset).collect();
        let wanted = sum(1.0).powi(2) / sum(2.0);
        close("draws that count", &[effective_samples(&far)], &[wanted], 1e-9)
    })
}
