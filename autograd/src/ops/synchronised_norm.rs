//! Batch normalisation over the rows of all ranks, each of which has a share of the batch.

use rung_kernels::backend::{BatchNorm, BatchNormVectors};
use rung_kernels::{Error, Result, UnaryFunction, ViewMut};
use rung_ranks::Ranks;
use smallvec::smallvec;

use super::FrozenStatistics;
use super::batch_norm::{check, example, matrix, with_all_gradients};
use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Refused, Saves, Shapes, apply_one};
use crate::ranks::failed;
use crate::tensor::Tensor;

/// out = activation(scale · x̂ + shift), x̂ = (x − mean)/√(variance + ε) with the statistics of the
/// rows of all ranks, of which there are N.
///
/// With g as in batch normalisation, and G = Σ g, S = Σ g·x̂ over the rows of all ranks:
/// grad_x = scale/√(variance + ε) · (g − G/N − x̂ · S/N). The gradients of `scale` and `shift` are
/// those of this rank's rows, which are added up with all others.
#[derive(Clone, Debug)]
pub(crate) struct SynchronisedNorm {
    epsilon: f64,
    activation: UnaryFunction,
    /// Rows of all ranks.
    rows: usize,
    ranks: Ranks,
}

impl Operation for SynchronisedNorm {
    fn name(&self) -> &'static str {
        "synchronised_norm"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        Ok(smallvec![check(self.name(), inputs, &["x", "scale", "shift", "mean", "variance"])?])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let norm = self.norm(inputs[0], self.activation);
        let [scale, shift, mean, variance] = [1, 2, 3, 4].map(|i| inputs[i].view());
        let vectors = BatchNormVectors { mean, variance, scale, shift };
        inputs[0].device.normalise(&norm, inputs[0].view(), vectors, outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        Saves {
            inputs: crate::op::Positions::of([0, 1, 2, 3, 4]),
            outputs: crate::op::Positions::NONE,
        }
    }

    /// The adjoint with constant statistics, and then what flows through them, which is affine in
    /// x.
    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let [x, scale, shift, mean, variance] = [0, 1, 2, 3, 4].map(|i| adjoint.saved(i));
        let norm = self.norm(&x, self.activation);
        let (device, grad_out) = (adjoint.device(), adjoint.grad_out());
        with_all_gradients(adjoint, &x, &scale, |mut grad_x, mut grad_scale, mut grad_shift| {
            let vectors = BatchNormVectors {
                mean: mean.view(),
                variance: variance.view(),
                scale: scale.view(),
                shift: shift.view(),
            };
            device.normalise_backward(
                &norm,
                x.view(),
                vectors,
                grad_out.view(),
                grad_x.reborrow(),
                grad_scale.reborrow(),
                grad_shift.reborrow(),
            )?;
            let vector = |of: &ViewMut<'_>| -> Result<Vec<f64>> {
                let copy = Tensor::build(&device, x.dtype(), scale.shape, |out| {
                    device.convert(of.as_view(), out)
                });
                copy?.to_f64()
            };
            let mut sums = vector(&grad_scale)?;
            sums.extend(vector(&grad_shift)?);
            sum_of_few(&self.ranks, &mut sums)?;
            let (of_scale, of_shift) = sums.split_at(sums.len() / 2);
            let per_row: Vec<f64> = (scale.to_f64()?.iter().zip(variance.to_f64()?))
                .map(|(scale, variance)| {
                    -scale / (variance + self.epsilon).sqrt() / self.rows as f64
                })
                .collect();
            let scaled = |sums: &[f64]| -> Result<Tensor> {
                let values: Vec<f64> = sums.iter().zip(&per_row).map(|(s, f)| s * f).collect();
                Tensor::from_values(&device, x.dtype(), &values, scale.shape)
            };
            let (of_scale, of_shift) = (scaled(of_scale)?, scaled(of_shift)?);
            let through_statistics = Tensor::build(&device, x.dtype(), x.shape, |out| {
                let vectors =
                    BatchNormVectors { scale: of_scale.view(), shift: of_shift.view(), ..vectors };
                let norm = self.norm(&x, UnaryFunction::Identity);
                device.normalise(&norm, x.view(), vectors, out)
            })?;
            device.scale_and_add(1.0, through_statistics.view(), 1.0, grad_x)
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "synchronised_norm",
            case: |rng| {
                let (inputs, activation) = example(rng);
                draw::case(format!("synchronised_norm with {activation:?}"), inputs, move |x| {
                    let statistics = x[0].column_statistics_of(&Ranks::one())?.0;
                    let rows = x[0].shape().sizes()[0];
                    x[0].synchronised_norm(
                        (&x[1], &x[2]),
                        &statistics,
                        1e-3,
                        activation,
                        (rows, &Ranks::one()),
                    )
                })
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    let x = Tensor::from_f64(device, &[0.0; 6], [2, 3])?;
                    let vector = Tensor::from_f64(device, &[0.0; 2], [2])?;
                    let statistics = x.column_statistics()?;
                    let of = (2, &Ranks::one());
                    let identity = UnaryFunction::Identity;
                    x.synchronised_norm((&vector, &vector), &statistics, 1e-5, identity, of)
                        .map(drop)
                };
                vec![Refused { call, message: "each vector [units]" }]
            },
        }]
    }
}

impl SynchronisedNorm {
    fn norm(&self, x: &Tensor, activation: UnaryFunction) -> BatchNorm {
        BatchNorm { matrix: matrix(&x.shape), epsilon: self.epsilon, activation }
    }
}

/// Σ over the ranks in ascending order, of few numbers: each rank hears all of them and adds.
fn sum_of_few(ranks: &Ranks, values: &mut [f64]) -> Result<()> {
    let all = ranks.gather_numbers(values).map_err(failed)?;
    let mut of_ranks = all.chunks_exact(values.len().max(1));
    values.copy_from_slice(of_ranks.next().unwrap_or(&[]));
    for of_rank in of_ranks {
        values.iter_mut().zip(of_rank).for_each(|(sum, value)| *sum += value);
    }
    Ok(())
}

impl Tensor {
    /// Mean and variance of each column over the rows of all ranks, and how many rows these are,
    /// off the tape: with nᵣ rows of rank r, N = Σ nᵣ,
    ///
    /// mean = Σ nᵣ meanᵣ / N,  variance = Σ nᵣ (varianceᵣ + (meanᵣ − mean)²) / N,
    ///
    /// added in f64 in ascending order (Chan, Golub and LeVeque 1983, eq. 2.1).
    ///
    /// # Errors
    /// As [`Tensor::column_statistics`]; `Failed` if another rank has ended.
    pub fn column_statistics_of(&self, ranks: &Ranks) -> Result<(FrozenStatistics, usize)> {
        let here = self.column_statistics()?;
        let (rows, columns) = (self.shape.sizes()[0] as f64, self.shape.last());
        let mut mine = vec![rows];
        mine.extend(here.mean.to_f64()?);
        mine.extend(here.variance.to_f64()?);
        let all = ranks.gather_numbers(&mine).map_err(failed)?;
        let of_ranks = || all.chunks_exact(mine.len());
        let total: f64 = of_ranks().map(|of_rank| of_rank[0]).sum();
        let (mut mean, mut variance) = (vec![0.0; columns], vec![0.0; columns]);
        for of_rank in of_ranks() {
            let share = of_rank[0] / total;
            mean.iter_mut().zip(&of_rank[1..]).for_each(|(sum, value)| *sum += share * value);
        }
        for of_rank in of_ranks() {
            let share = of_rank[0] / total;
            let (means, variances) = of_rank[1..].split_at(columns);
            for (column, sum) in variance.iter_mut().enumerate() {
                *sum += share * (variances[column] + (means[column] - mean[column]).powi(2));
            }
        }
        let vector =
            |values: &[f64]| Self::from_values(&self.device, self.dtype(), values, [columns]);
        Ok((
            FrozenStatistics { mean: vector(&mean)?, variance: vector(&variance)? },
            total as usize,
        ))
    }

    /// [`Tensor::batch_norm`] of a batch that lies on many ranks, `statistics` and `rows` being
    /// those of [`Tensor::column_statistics_of`] for this same tensor: gradients flow through them.
    ///
    /// # Errors
    /// `Shape` if the shapes do not fit; in backward `Failed` if another rank has ended.
    pub fn synchronised_norm(
        &self,
        (scale, shift): (&Self, &Self),
        statistics: &FrozenStatistics,
        epsilon: f64,
        activation: UnaryFunction,
        (rows, ranks): (usize, &Ranks),
    ) -> Result<Self> {
        if rows < self.shape.as_matrix().0 {
            let what = format!("{rows} rows of all ranks, and this one has more");
            return Err(Error::argument("synchronised_norm", what));
        }
        let (mean, variance) = (statistics.mean.detach(), statistics.variance.detach());
        let op = SynchronisedNorm { epsilon, activation, rows, ranks: ranks.clone() };
        apply_one(op, &[self, scale, shift, &mean, &variance])
    }
}
