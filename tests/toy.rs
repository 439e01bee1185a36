//! A model whose log p(x) is known: z ~ N(0, I), x = W z + b + noise. The bounds must find it.
//!
//! p(x) is N(b, W Wᵀ + S) with S = diag(s). Where the columns of W are orthogonal under S⁻¹, the
//! posterior is diagonal as well: unit j has precision 1 + Σ_i W²_ij/s_i and mean Σ_i W_ij (x_i −
//! b_i)/s_i over that precision.

#[path = "toy/families.rs"]
mod families;

use rung_autograd::ops::Gaussian;
use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, Result, Tensor};
use rung_models::objective::importance_bound;

/// Columns of W, orthogonal under S⁻¹: Σ_i W_i1 W_i2 / s_i = 1.6 − 1.0 − 0.6 = 0.
const W: [[f64; 2]; 3] = [[0.8, 1.0], [1.0, -0.5], [-0.6, 0.4]];
const S: [f64; 3] = [0.5, 0.5, 0.4];
const B: [f64; 3] = [0.1, -0.3, 0.7];
const IMAGES: usize = 256;

struct Toy {
    device: Device,
    /// Images drawn from the model.
    x: Tensor,
}

impl Toy {
    fn new() -> Result<Self> {
        let device = Device::cpu();
        let normal = |stream, columns: usize| {
            Tensor::normal(&device, DType::F64, Address::new(17, stream, 0), [IMAGES, columns])
        };
        let z = normal(0, 2)?;
        let p_x = Self::likelihood(&device, &z)?;
        let x = p_x.sample_with(&normal(1, 3)?)?;
        Ok(Self { device, x })
    }

    /// p(x|z) for each row of z.
    fn likelihood(device: &Device, z: &Tensor) -> Result<Gaussian> {
        let transposed: Vec<f64> = (0..2).flat_map(|j| W.map(|row| row[j])).collect();
        let weight = Tensor::from_f64(device, &transposed, [2, 3])?;
        let mean = z.linear(&weight, Some(&Tensor::from_f64(device, &B, [3])?))?;
        let variance = Tensor::from_f64(device, &S, [1, 3])?.broadcast_to(*mean.shape())?;
        Ok(Gaussian { mean, variance })
    }

    /// The posterior, its means moved and its variances multiplied.
    fn q(&self, shift: f64, factor: f64) -> Result<Gaussian> {
        let precision = [0, 1].map(|j| 1.0 + (0..3).map(|i| W[i][j].powi(2) / S[i]).sum::<f64>());
        let gain: Vec<f64> =
            (0..3).flat_map(|i| [0, 1].map(|j| W[i][j] / S[i] / precision[j])).collect();
        let centred = self.x.sub(&Tensor::from_f64(&self.device, &B, [3])?)?;
        let mean =
            centred.linear(&Tensor::from_f64(&self.device, &gain, [3, 2])?, None)?.shift(shift)?;
        let variance = precision.map(|precision| factor / precision);
        let variance =
            Tensor::from_f64(&self.device, &variance, [1, 2])?.broadcast_to(*mean.shape())?;
        Ok(Gaussian { mean, variance })
    }

    /// log p(x|z) + log p(z) − log q(z) of `samples` samples of each image.
    fn log_weights(&self, q: &Gaussian, samples: usize) -> Result<Tensor> {
        let q = q.repeat_rows(samples)?;
        let z = q.sample_with(&Tensor::normal(
            &self.device,
            DType::F64,
            Address::new(17, 2, 0),
            *q.mean.shape(),
        )?)?;
        let log_p_x = Self::likelihood(&self.device, &z)?.log_prob(&self.x)?;
        log_p_x.add(&z.standard_normal_log_prob()?)?.sub(&q.log_prob(&z)?)
    }

    /// log N(x; b, W Wᵀ + S) by the 3x3 determinant and inverse.
    fn log_evidence(&self) -> Vec<f64> {
        let covariance = |i: usize, k: usize| {
            W[i][0] * W[k][0] + W[i][1] * W[k][1] + if i == k { S[i] } else { 0.0 }
        };
        let minor = |i: usize, k: usize| {
            let (rows, columns) = ([(i + 1) % 3, (i + 2) % 3], [(k + 1) % 3, (k + 2) % 3]);
            covariance(rows[0], columns[0]) * covariance(rows[1], columns[1])
                - covariance(rows[0], columns[1]) * covariance(rows[1], columns[0])
        };
        let determinant: f64 = (0..3).map(|k| covariance(0, k) * minor(0, k)).sum();
        let constant = -1.5 * std::f64::consts::TAU.ln() - 0.5 * determinant.ln();
        let log_density = |x: &[f64]| {
            let pairs = (0..3).flat_map(|i| (0..3).map(move |k| (i, k)));
            let square: f64 =
                pairs.map(|(i, k)| (x[i] - B[i]) * minor(i, k) / determinant * (x[k] - B[k])).sum();
            constant - 0.5 * square
        };
        self.x.to_f64().unwrap().chunks(3).map(log_density).collect()
    }

    /// L_K − log p(x): mean over the images, and its standard error.
    fn gap(&self, q: &Gaussian, importance_samples: usize) -> (f64, f64) {
        let bounds =
            importance_bound(&self.log_weights(q, importance_samples).unwrap(), importance_samples)
                .unwrap();
        let gaps: Vec<f64> = bounds
            .to_f64()
            .unwrap()
            .iter()
            .zip(self.log_evidence())
            .map(|(bound, evidence)| bound - evidence)
            .collect();
        let count = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / count;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, (variance / count).sqrt())
    }
}

#[test]
fn the_exact_posterior_gives_log_p_of_x_with_every_sample() {
    let toy = Toy::new().unwrap();
    let log_weights = toy.log_weights(&toy.q(0.0, 1.0).unwrap(), 5).unwrap().to_f64().unwrap();
    for (image, (log_weights, evidence)) in
        log_weights.chunks(5).zip(toy.log_evidence()).enumerate()
    {
        for log_weight in log_weights {
            assert!(
                (log_weight - evidence).abs() < 1e-12,
                "image {image}: {log_weights:?}, log p(x) is {evidence}"
            );
        }
    }
}

/// L_1 falls short of log p(x) by KL(q‖posterior): for each of the two units ½[f − 1 − ln f +
/// shift²·precision].
#[test]
fn one_sample_falls_short_by_the_kl_to_the_posterior() {
    let toy = Toy::new().unwrap();
    let (shift, factor) = (0.4, 1.5f64);
    let posterior = toy.q(0.0, 1.0).unwrap();
    let q = toy.q(shift, factor).unwrap();
    let kl = q.kl(&posterior).unwrap().mean_all().unwrap().to_scalar().unwrap();
    let by_hand: f64 = posterior.variance.to_f64().unwrap()[..2]
        .iter()
        .map(|v| 0.5 * (factor - 1.0 - factor.ln() + shift * shift / v))
        .sum();
    assert!((kl - by_hand).abs() < 1e-12);
    let log_weights = toy.log_weights(&q, 400).unwrap().to_f64().unwrap();
    let average: Vec<f64> =
        log_weights.chunks(400).map(|weights| weights.iter().sum::<f64>() / 400.0).collect();
    let gaps: Vec<f64> =
        average.iter().zip(toy.log_evidence()).map(|(bound, evidence)| evidence - bound).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let error = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>()
        / (gaps.len() * (gaps.len() - 1)) as f64)
        .sqrt();
    assert!(error < 0.01 && (mean - kl).abs() < 4.0 * error, "{mean} ± {error} against {kl}");
}

#[test]
fn the_importance_weighted_bound_reaches_log_p_of_x() {
    let toy = Toy::new().unwrap();
    let q = toy.q(0.4, 1.5).unwrap();
    let gaps = [1, 10, 100, 5000].map(|samples| toy.gap(&q, samples));
    for pair in gaps.windows(2) {
        assert!(pair[0].0 + pair[0].1 < pair[1].0, "the bound does not rise with K: {gaps:?}");
    }
    let (gap, error) = gaps[3];
    assert!(error < 0.005 && gap.abs() < 4.0 * error, "L_5000 is off by {gap} ± {error}");
    assert!(gaps[0].0 < -20.0 * error, "a single sample is no test of the convergence: {gaps:?}");
}
