//! The statistics of batch normalisation that outlive a batch: one mean and one variance for each
//! unit of each layer.

use rung_autograd::ops::FrozenStatistics;
use rung_autograd::ranks::{joined, summed};
use rung_autograd::{DType, Device, Error, Ranks, Result, Tensor};

use crate::share::{BatchNormStatistics, BatchShare};

/// The entry of one layer in [`Statistics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatisticsId(usize);

/// Names and sizes of the statistics a model needs, before their memory exists.
#[derive(Clone, Debug, Default)]
pub struct StatisticsList(Vec<(String, usize)>);

impl StatisticsList {
    /// Adds the statistics of a layer of `units`.
    pub fn add(&mut self, name: impl Into<String>, units: usize) -> StatisticsId {
        self.0.push((name.into(), units));
        StatisticsId(self.0.len() - 1)
    }

    /// Allocates them: mean 0, variance 1.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn build(&self, device: &Device, dtype: DType) -> Result<Statistics> {
        let entry = |(name, units): &(String, usize)| {
            let mean = Tensor::zeros(device, dtype, [*units])?;
            let variance = Tensor::full(device, dtype, 1.0, [*units])?;
            Ok(Entry { name: name.clone(), values: FrozenStatistics { mean, variance } })
        };
        Ok(Statistics(self.0.iter().map(entry).collect::<Result<_>>()?))
    }
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    values: FrozenStatistics,
}

/// Mean and variance of each column of a matrix that is seen in parts, by one rank or several, in
/// f64 (Chan, Golub and LeVeque 1983).
#[derive(Clone, Debug, Default)]
pub(crate) struct Moments {
    /// Of each part in turn: how many rows it has, its means, its variances.
    parts: Vec<f64>,
}

impl Moments {
    /// Adds `rows` rows with these statistics.
    pub(crate) fn add(&mut self, rows: usize, part: &FrozenStatistics) -> Result<()> {
        self.parts.push(rows as f64);
        self.parts.extend(part.mean.to_f64()?);
        self.parts.extend(part.variance.to_f64()?);
        Ok(())
    }

    /// Makes `statistics` the mean and biased variance of all rows of all ranks. Every rank joins
    /// all parts, in their order: the same parts give the same bits, whoever has which.
    ///
    /// # Errors
    /// `Argument` if there were none; `Failed` if another rank has ended.
    pub(crate) fn replace(self, statistics: &mut FrozenStatistics, ranks: &Ranks) -> Result<()> {
        let units = statistics.mean.shape().last();
        let parts = joined(ranks, self.parts)?;
        if parts.is_empty() {
            return Err(Error::argument("statistics", "data without rows have no mean"));
        }
        // Σ (x − mean)² of each column, and its mean.
        let (mut count, mut mean, mut squares) = (0.0, vec![0.0; units], vec![0.0; units]);
        for part in parts.chunks_exact(1 + 2 * units) {
            let (rows, (means, variances)) = (part[0], part[1..].split_at(units));
            let total = count + rows;
            for (unit, (&part_mean, &part_variance)) in means.iter().zip(variances).enumerate() {
                let distance = part_mean - mean[unit];
                squares[unit] += rows * part_variance + distance * distance * count * rows / total;
                mean[unit] += distance * rows / total;
            }
            count = total;
        }
        let variance: Vec<f64> = squares.iter().map(|squares| squares / count).collect();
        let (device, dtype) = (statistics.mean.device().clone(), statistics.mean.dtype());
        let vector = |values: &[f64]| Tensor::from_values(&device, dtype, values, [units]);
        *statistics = FrozenStatistics { mean: vector(&mean)?, variance: vector(&variance)? };
        Ok(())
    }
}

/// Means and variances that frozen batch normalisation uses: running averages, or those of a whole
/// data set.
#[derive(Clone, Debug)]
pub struct Statistics(Vec<Entry>);

impl Statistics {
    /// The statistics of one layer.
    #[must_use]
    pub fn get(&self, id: StatisticsId) -> &FrozenStatistics {
        &self.0[id.0].values
    }

    /// The statistics of one layer, for writing.
    pub fn get_mut(&mut self, id: StatisticsId) -> &mut FrozenStatistics {
        &mut self.0[id.0].values
    }

    /// Name, mean and variance of every layer: what a checkpoint holds.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &FrozenStatistics)> {
        self.0.iter().map(|entry| (entry.name.as_str(), &entry.values))
    }

    /// Replaces the statistics of the layer called `name`; false if there is none.
    pub fn set(&mut self, name: &str, values: FrozenStatistics) -> bool {
        match self.0.iter_mut().find(|entry| entry.name == name) {
            Some(entry) => {
                entry.values = values;
                true
            }
            None => false,
        }
    }

    /// Where each rank normalises with the statistics of its own rows, replaces these by their
    /// means over the ranks, of which rank r has nᵣ of the N rows of the batch:
    ///
    /// mean = Σ nᵣ meanᵣ / N,  variance = Σ nᵣ varianceᵣ / N,
    ///
    /// added in f64 in ascending order, the same bits on all of them. The variance between the
    /// ranks' means is left out, for no row is normalised with it: these are the running averages
    /// of a training whose batches have nᵣ rows. Else nothing is done.
    ///
    /// # Errors
    /// If the device has no memory; `Failed` if another rank has ended.
    pub fn average_over(&mut self, share: &BatchShare) -> Result<()> {
        let is_shared = share.ranks.are_many() && !self.0.is_empty();
        if share.batch_norm_statistics == BatchNormStatistics::Batch || !is_shared {
            return Ok(());
        }
        let weight = share.weight();
        let mut mine = Vec::new();
        for Entry { values, .. } in &self.0 {
            for vector in [&values.mean, &values.variance] {
                mine.extend(vector.to_f64()?.into_iter().map(|value| value * weight));
            }
        }
        let means = summed(&share.ranks, mine)?;
        let mut rest = means.as_slice();
        for Entry { values, .. } in &mut self.0 {
            for vector in [&mut values.mean, &mut values.variance] {
                let of_layer = rest.split_off(..vector.shape().last()).unwrap_or_default();
                *vector = Tensor::from_values(
                    vector.device(),
                    vector.dtype(),
                    of_layer,
                    [of_layer.len()],
                )?;
            }
        }
        Ok(())
    }

    /// A copy with memory of its own, which later updates of this one do not touch.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn copied(&self) -> Result<Self> {
        let entry = |entry: &Entry| {
            let FrozenStatistics { mean, variance } = &entry.values;
            let values = FrozenStatistics { mean: mean.copied()?, variance: variance.copied()? };
            Ok(Entry { name: entry.name.clone(), values })
        };
        Ok(Self(self.0.iter().map(entry).collect::<Result<_>>()?))
    }
}
