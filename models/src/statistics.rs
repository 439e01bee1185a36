//! The statistics of batch normalisation that outlive a batch: one mean and one variance for each
//! unit of each layer.

use rung_autograd::ops::FrozenStatistics;
use rung_autograd::{DType, Device, Error, Result, Tensor};

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

/// Mean and variance of each column of a matrix that is seen in parts, in f64 (Chan, Golub and
/// LeVeque 1983).
#[derive(Clone, Debug, Default)]
pub(crate) struct Moments {
    count: f64,
    mean: Vec<f64>,
    /// Σ (x − mean)².
    squares: Vec<f64>,
}

impl Moments {
    /// Adds `rows` rows with these statistics.
    pub(crate) fn add(&mut self, rows: usize, part: &FrozenStatistics) -> Result<()> {
        let (part_mean, part_variance, rows) =
            (part.mean.to_f64()?, part.variance.to_f64()?, rows as f64);
        self.mean.resize(part_mean.len(), 0.0);
        self.squares.resize(part_mean.len(), 0.0);
        let total = self.count + rows;
        for ((mean, squares), (part_mean, part_variance)) in self
            .mean
            .iter_mut()
            .zip(&mut self.squares)
            .zip(part_mean.into_iter().zip(part_variance))
        {
            let distance = part_mean - *mean;
            *squares += rows * part_variance + distance * distance * self.count * rows / total;
            *mean += distance * rows / total;
        }
        self.count = total;
        Ok(())
    }

    /// Mean and biased variance of all rows.
    ///
    /// # Errors
    /// `Argument` if there were none.
    pub(crate) fn statistics(&self, device: &Device, dtype: DType) -> Result<FrozenStatistics> {
        if self.count == 0.0 {
            return Err(Error::argument("statistics", "data without rows have no mean"));
        }
        let vector = |values: &[f64]| Tensor::from_values(device, dtype, values, [values.len()]);
        let variance: Vec<f64> = self.squares.iter().map(|squares| squares / self.count).collect();
        Ok(FrozenStatistics { mean: vector(&self.mean)?, variance: vector(&variance)? })
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
