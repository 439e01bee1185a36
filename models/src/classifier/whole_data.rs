//! Statistics of batch normalisation over a whole data set, in chunks.

use rung_autograd::{ParameterStore, Result};

use super::model::ImageClassifier;
use crate::latent::WholeData;
use crate::pass::{Mode, Pass};
use crate::statistics::{Moments, Statistics};

impl ImageClassifier {
    /// Recomputes the statistics of batch normalisation as those of all images as one batch.
    ///
    /// A layer's are those of one batch only if all before it were normalised with such: so layers
    /// take their turn, and for each of them every chunk passes through those before it, from the
    /// pixels. Nothing is held of all images.
    ///
    /// # Errors
    /// If there are no images, they do not fit, or the device has no memory.
    pub fn recompute_statistics(
        &self,
        store: &ParameterStore,
        data: &WholeData<'_>,
        statistics: &mut Statistics,
    ) -> Result<()> {
        for (index, layer) in self.layers.iter().enumerate() {
            let Some(id) = layer.statistics() else { continue };
            let mut moments = Moments::default();
            for chunk in data.chunks() {
                let x = (data.images)(chunk)?;
                // Frozen passes of classifiers draw no noise: seed and step are of no account.
                let mut pass = Pass::new(store, None, Mode::Frozen(statistics), 0, 0);
                let h = self.hidden(&mut pass, &x, index)?;
                let a = layer.pre_activation(&pass, &h)?;
                moments.add(a.shape().sizes()[0], &a.column_statistics()?)?;
            }
            moments.replace(statistics.get_mut(id), data.ranks)?;
        }
        Ok(())
    }
}
