//! Statistics of batch normalisation over a whole data set, without holding the data set's
//! activations.
//!
//! The statistics of a layer are those of one huge batch only if every layer before it was
//! normalised with the statistics of that batch. So layers take their turn: all chunks of the data
//! pass through the layers before, whose statistics are recomputed already, up to the next one,
//! whose moments are summed. To spare passes from the pixels, what a network leads to is kept for
//! all chunks: the messages in the bottom-up pass, then the samples in the top-down pass, all of
//! them narrow. A network's layers start from there.

use std::ops::Range;

use rung_autograd::ops::{Gaussian, merge};
use rung_autograd::{ParameterStore, Result, Shape, Tensor};

use super::config::Inference;
use super::generative::GaussianNetwork;
use super::model::Hierarchy;
use crate::latent::WholeData;
use crate::layers::Dense;
use crate::pass::{Mode, Pass};
use crate::statistics::{Moments, Statistics};

/// What every chunk needs.
struct Recomputer<'a> {
    store: &'a ParameterStore,
    data: &'a WholeData<'a>,
    statistics: &'a mut Statistics,
    /// The chunks of this rank.
    ranges: Vec<Range<usize>>,
    noise: (u64, u64),
}

/// One tensor for each chunk: what goes into a network.
type Input<'a> = dyn Fn(usize) -> Result<Tensor> + 'a;

impl Hierarchy {
    /// [`LatentModel::recompute_statistics`](crate::LatentModel::recompute_statistics).
    ///
    /// Holds the hidden layers of one chunk, and of all images of the rank the messages (2 · units
    /// of each latent layer), as much again for one layer of the top-down pass, and the samples of
    /// one layer. Where the bottom-up pass continues from the hidden layer, also one hidden layer
    /// of all images, unless it is wider than any message; then it is computed again for each layer
    /// behind it.
    ///
    /// # Errors
    /// If there are no images, or the device has no memory.
    pub(super) fn recompute_in_chunks(
        &self,
        store: &ParameterStore,
        data: &WholeData<'_>,
        noise: (u64, u64),
        statistics: &mut Statistics,
    ) -> Result<()> {
        if statistics.iter().next().is_none() {
            return Ok(());
        }
        let ranges = data.chunks();
        let pixels = |index: usize| (data.images)(ranges[index].clone());
        let mut recomputer = Recomputer { store, data, statistics, ranges: ranges.clone(), noise };
        match self.config().inference {
            Inference::BottomUp => self.recompute_bottom_up(&mut recomputer, &pixels),
            Inference::Ladder { shares_generative, rises_through_mean } => {
                let messages =
                    self.recompute_messages(&mut recomputer, &pixels, rises_through_mean)?;
                self.recompute_top_down(&mut recomputer, messages, shares_generative)
            }
        }
    }

    /// The networks of a VAE: each layer's posterior from the sample below, then the network that
    /// reads this layer's sample.
    fn recompute_bottom_up(
        &self,
        recomputer: &mut Recomputer<'_>,
        pixels: &Input<'_>,
    ) -> Result<()> {
        let mut below: Option<Vec<Tensor>> = None;
        for (index, network) in self.inference.up.iter().enumerate() {
            let q = match &below {
                None => recomputer.network(&[], network, pixels)?,
                Some(z) => recomputer.network(&[], network, &|chunk| Ok(z[chunk].clone()))?,
            };
            let z = recomputer.sample(index, &q)?;
            self.recompute_reader(recomputer, index, &z)?;
            below = Some(z);
        }
        Ok(())
    }

    /// The network that makes layer `index` − 1, or the data, from samples of layer `index`.
    fn recompute_reader(
        &self,
        recomputer: &mut Recomputer<'_>,
        index: usize,
        z: &[Tensor],
    ) -> Result<()> {
        let input = |chunk: usize| Ok(z[chunk].clone());
        match index.checked_sub(1) {
            None => recomputer.layers(&[], self.generative.observation_layers(), &input),
            Some(below) => recomputer.layers(&[], self.generative.between[below].layers(), &input),
        }
    }

    /// The bottom-up pass of a ladder: the message of every layer, for every chunk.
    fn recompute_messages(
        &self,
        recomputer: &mut Recomputer<'_>,
        pixels: &Input<'_>,
        rises_through_mean: bool,
    ) -> Result<Vec<Vec<Gaussian>>> {
        let widest_kept = self.config().latent_sizes.iter().max().map_or(0, |units| 2 * units);
        let mut messages: Vec<Vec<Gaussian>> = Vec::with_capacity(self.inference.up.len());
        // The next network starts from what is kept of all chunks, or else the pixels, and passes
        // through the layers since then.
        let mut kept: Option<Vec<Tensor>> = None;
        let mut since_kept: Vec<&Dense> = Vec::new();
        for (index, network) in self.inference.up.iter().enumerate() {
            let input = |chunk: usize| match &kept {
                None => pixels(chunk),
                Some(below) => Ok(below[chunk].clone()),
            };
            let message = recomputer.network(&since_kept, network, &input)?;
            since_kept.extend(network.hidden_layers());
            let next = if rises_through_mean {
                Some(message.iter().map(|message| message.mean.clone()).collect())
            } else if self.config().hidden_sizes[index] <= widest_kept {
                Some(recomputer.outputs(&since_kept, &input)?)
            } else {
                None
            };
            if next.is_some() {
                kept = next;
                since_kept.clear();
            }
            messages.push(message);
        }
        Ok(messages)
    }

    /// The top-down pass of a ladder: from the top, each layer's message merged with what the
    /// sample above leads to.
    fn recompute_top_down(
        &self,
        recomputer: &mut Recomputer<'_>,
        mut messages: Vec<Vec<Gaussian>>,
        shares_generative: bool,
    ) -> Result<()> {
        let mut above: Option<Vec<Tensor>> = None;
        while let Some(from_below) = messages.pop() {
            let index = messages.len();
            let q = match &above {
                None => from_below,
                Some(z) => {
                    let input = |chunk: usize| Ok(z[chunk].clone());
                    let prior = &self.generative.between[index];
                    let from_above = if shares_generative {
                        recomputer.network(&[], prior, &input)?
                    } else {
                        recomputer.layers(&[], prior.layers(), &input)?;
                        recomputer.network(&[], &self.inference.down[index], &input)?
                    };
                    // Each pair is given back as it is merged.
                    let pairs = from_below.into_iter().zip(from_above);
                    pairs.map(|(below, above)| merge(&below, &above)).collect::<Result<_>>()?
                }
            };
            above = Some(recomputer.sample(index, &q)?);
        }
        above.map_or(Ok(()), |z| self.recompute_reader(recomputer, 0, &z))
    }
}

impl Recomputer<'_> {
    /// Where sizes change, so that buffers of the former ones, of all images perhaps, are not held
    /// for nothing.
    fn release_free(&self) {
        self.store.device().release_free();
    }

    fn pass(&self) -> Pass<'_> {
        Pass::new(self.store, None, Mode::Frozen(self.statistics), self.noise.0, self.noise.1)
    }

    /// Recomputes the statistics of a network behind the layers `before`, and gives what it leads
    /// to.
    fn network(
        &mut self,
        before: &[&Dense],
        network: &GaussianNetwork,
        input: &Input<'_>,
    ) -> Result<Vec<Gaussian>> {
        self.layers(before, network.hidden_layers(), input)?;
        let hidden = before.iter().copied().chain(network.hidden_layers()).collect::<Vec<_>>();
        let layer = network.head().layer();
        // The pre-activations of a head are narrow: kept, they spare a pass.
        let mut pre_activations = Vec::with_capacity(self.ranges.len());
        self.layer(&hidden, layer, input, |a| pre_activations.push(a))?;
        let mut pass = self.pass();
        let gaussian = |a: Tensor| {
            let gaussian = network.head().gaussian(&layer.finish(&mut pass, &a)?);
            drop(a);
            self.release_free();
            gaussian
        };
        pre_activations.into_iter().map(gaussian).collect()
    }

    /// Recomputes the statistics of layers that follow one another, behind the layers `before`.
    fn layers<'l>(
        &mut self,
        before: &[&'l Dense],
        layers: impl Iterator<Item = &'l Dense>,
        input: &Input<'_>,
    ) -> Result<()> {
        let mut before = before.to_vec();
        for layer in layers {
            if layer.statistics().is_some() {
                self.layer(&before, layer, input, drop)?;
            }
            before.push(layer);
        }
        Ok(())
    }

    /// Recomputes the statistics of a layer behind the layers `before`; `keep` is given its
    /// pre-activations, chunk by chunk.
    fn layer(
        &mut self,
        before: &[&Dense],
        layer: &Dense,
        input: &Input<'_>,
        mut keep: impl FnMut(Tensor),
    ) -> Result<()> {
        self.release_free();
        let mut moments = Moments::default();
        for (chunk, range) in self.ranges.iter().enumerate() {
            let mut pass = self.pass();
            let h =
                before.iter().try_fold(input(chunk)?, |h, layer| layer.forward(&mut pass, &h))?;
            let a = layer.pre_activation(&pass, &h)?;
            if layer.statistics().is_some() {
                moments.add(range.len(), &a.column_statistics()?)?;
            }
            keep(a);
        }
        let Some(id) = layer.statistics() else { return Ok(()) };
        moments.replace(self.statistics.get_mut(id), self.data.ranks)
    }

    /// What layers make of every chunk.
    fn outputs(&self, layers: &[&Dense], input: &Input<'_>) -> Result<Vec<Tensor>> {
        let mut pass = self.pass();
        let mut output =
            |chunk| layers.iter().try_fold(input(chunk)?, |h, layer| layer.forward(&mut pass, &h));
        (0..self.ranges.len()).map(&mut output).collect()
    }

    /// A sample of layer `index` + 1 for every image: the noise of a chunk is its part of that of
    /// one batch.
    fn sample(&self, index: usize, q: &[Gaussian]) -> Result<Vec<Tensor>> {
        self.release_free();
        let Some(first) = q.first() else { return Ok(Vec::new()) };
        let shape = Shape::from([self.data.count, first.mean.shape().last()]);
        let noise = self.pass().posterior_noise(index + 1, shape)?;
        let sample = |(q, range): (&Gaussian, &Range<usize>)| {
            q.sample_with(&noise.slice(0, range.start, range.len())?)
        };
        q.iter().zip(&self.ranges).map(sample).collect()
    }
}
