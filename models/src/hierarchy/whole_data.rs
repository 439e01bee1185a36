//! Statistics of batch normalisation over a whole data set, without holding the data set's activations.
//!
//! The statistics of a layer are those of one huge batch only if every layer before it was normalised with the statistics of
//! that batch. So layers are settled one after the other: all chunks of the data pass through the settled layers up to the next
//! one, whose moments are collected. To spare passes from the pixels, what a network leads to is kept for all chunks: the
//! messages on the way up, then the samples on the way down, all of them narrow. A network's layers start from there.

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
struct Collector<'a> {
    store: &'a ParameterStore,
    statistics: &'a mut Statistics,
    ranges: Vec<Range<usize>>,
    noise: (u64, u64),
}

/// One tensor for each chunk: what goes into a network.
type Input<'a> = dyn Fn(usize) -> Result<Tensor> + 'a;

impl Hierarchy {
    /// [`LatentModel::collect_statistics`](crate::LatentModel::collect_statistics).
    ///
    /// Holds the hidden layers of one chunk, and of all images the messages (2 · units of each latent layer), as much again for one layer
    /// on the way down, and the samples of one layer. Where the way up continues from the hidden layer, also one hidden layer of all images,
    /// unless it is wider than any message; then it is computed again for each layer behind it.
    ///
    /// # Errors
    /// If there are no images, or the device has no memory.
    pub(super) fn settle(
        &self,
        store: &ParameterStore,
        data: &WholeData<'_>,
        noise: (u64, u64),
        statistics: &mut Statistics,
    ) -> Result<()> {
        if statistics.iter().next().is_none() {
            return Ok(());
        }
        let chunk = data.chunk.max(1);
        let ranges =
            (0..data.count).step_by(chunk).map(|start| start..data.count.min(start + chunk)).collect::<Vec<_>>();
        let pixels = |index: usize| (data.images)(ranges[index].clone());
        let mut collector = Collector { store, statistics, ranges: ranges.clone(), noise };
        match self.config().inference {
            Inference::BottomUp => self.settle_upwards(&mut collector, &pixels),
            Inference::Ladder { shares_generative, rises_through_mean } => {
                let messages = self.settle_messages(&mut collector, &pixels, rises_through_mean)?;
                self.settle_downwards(&mut collector, messages, shares_generative)
            }
        }
    }

    /// The networks of a VAE: each layer's posterior from the sample below, then the network that reads this layer's sample.
    fn settle_upwards(&self, collector: &mut Collector<'_>, pixels: &Input<'_>) -> Result<()> {
        let mut below: Option<Vec<Tensor>> = None;
        for (index, network) in self.inference.up.iter().enumerate() {
            let q = match &below {
                None => collector.network(&[], network, pixels)?,
                Some(z) => collector.network(&[], network, &|chunk| Ok(z[chunk].clone()))?,
            };
            let z = collector.sample(index, &q)?;
            self.settle_reader(collector, index, &z)?;
            below = Some(z);
        }
        Ok(())
    }

    /// The network that makes layer `index` − 1, or the data, from samples of layer `index`.
    fn settle_reader(&self, collector: &mut Collector<'_>, index: usize, z: &[Tensor]) -> Result<()> {
        let input = |chunk: usize| Ok(z[chunk].clone());
        match index.checked_sub(1) {
            None => collector.settle(&[], self.generative.observation_layers(), &input),
            Some(below) => collector.settle(&[], self.generative.between[below].layers(), &input),
        }
    }

    /// The way up of a ladder: the message of every layer, for every chunk.
    fn settle_messages(
        &self,
        collector: &mut Collector<'_>,
        pixels: &Input<'_>,
        rises_through_mean: bool,
    ) -> Result<Vec<Vec<Gaussian>>> {
        let widest_kept = self.config().latent_sizes.iter().max().map_or(0, |units| 2 * units);
        let mut messages: Vec<Vec<Gaussian>> = Vec::with_capacity(self.inference.up.len());
        // The next network starts from what is kept of all chunks, or else the pixels, and passes through the settled layers since then.
        let mut kept: Option<Vec<Tensor>> = None;
        let mut climbed: Vec<&Dense> = Vec::new();
        for (index, network) in self.inference.up.iter().enumerate() {
            let input = |chunk: usize| match &kept {
                None => pixels(chunk),
                Some(below) => Ok(below[chunk].clone()),
            };
            let message = collector.network(&climbed, network, &input)?;
            climbed.extend(network.hidden_layers());
            let next = if rises_through_mean {
                Some(message.iter().map(|message| message.mean.clone()).collect())
            } else if self.config().hidden_sizes[index] <= widest_kept {
                Some(collector.outputs(&climbed, &input)?)
            } else {
                None
            };
            if next.is_some() {
                kept = next;
                climbed.clear();
            }
            messages.push(message);
        }
        Ok(messages)
    }

    /// The way down of a ladder: from the top, each layer's message merged with what the sample above leads to.
    fn settle_downwards(
        &self,
        collector: &mut Collector<'_>,
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
                        collector.network(&[], prior, &input)?
                    } else {
                        collector.settle(&[], prior.layers(), &input)?;
                        collector.network(&[], &self.inference.down[index], &input)?
                    };
                    // Each pair is given back as it is merged.
                    let pairs = from_below.into_iter().zip(from_above);
                    pairs.map(|(below, above)| merge(&below, &above)).collect::<Result<_>>()?
                }
            };
            above = Some(collector.sample(index, &q)?);
        }
        above.map_or(Ok(()), |z| self.settle_reader(collector, 0, &z))
    }
}

impl Collector<'_> {
    /// Where sizes change, so that buffers of the former ones, of all images perhaps, are not held for nothing.
    fn release_free(&self) {
        self.store.device().release_free();
    }

    fn pass(&self) -> Pass<'_> {
        Pass::new(self.store, None, Mode::Frozen(self.statistics), self.noise.0, self.noise.1)
    }

    /// Settles the layers of a network behind settled ones, and gives what it leads to.
    fn network(&mut self, settled: &[&Dense], network: &GaussianNetwork, input: &Input<'_>) -> Result<Vec<Gaussian>> {
        self.settle(settled, network.hidden_layers(), input)?;
        let hidden = settled.iter().copied().chain(network.hidden_layers()).collect::<Vec<_>>();
        let layer = network.head().layer();
        // The pre-activations of a head are narrow: kept, they spare a pass.
        let mut pre_activations = Vec::with_capacity(self.ranges.len());
        self.settle_last(&hidden, layer, input, |a| pre_activations.push(a))?;
        let mut pass = self.pass();
        let gaussian = |a: Tensor| {
            let gaussian = network.head().gaussian(&layer.finish(&mut pass, &a)?);
            drop(a);
            self.release_free();
            gaussian
        };
        pre_activations.into_iter().map(gaussian).collect()
    }

    /// Settles layers that follow one another, behind settled ones.
    fn settle<'l>(
        &mut self,
        settled: &[&'l Dense],
        layers: impl Iterator<Item = &'l Dense>,
        input: &Input<'_>,
    ) -> Result<()> {
        let mut settled = settled.to_vec();
        for layer in layers {
            if layer.statistics().is_some() {
                self.settle_last(&settled, layer, input, drop)?;
            }
            settled.push(layer);
        }
        Ok(())
    }

    /// Settles a layer behind settled ones; `keep` is given its pre-activations, chunk by chunk.
    fn settle_last(
        &mut self,
        settled: &[&Dense],
        layer: &Dense,
        input: &Input<'_>,
        mut keep: impl FnMut(Tensor),
    ) -> Result<()> {
        self.release_free();
        let mut moments = Moments::default();
        for (chunk, range) in self.ranges.iter().enumerate() {
            let mut pass = self.pass();
            let h = settled.iter().try_fold(input(chunk)?, |h, layer| layer.forward(&mut pass, &h))?;
            let a = layer.pre_activation(&pass, &h)?;
            if layer.statistics().is_some() {
                moments.add(range.len(), &a.column_statistics()?)?;
            }
            keep(a);
        }
        let Some(id) = layer.statistics() else { return Ok(()) };
        let (device, dtype) = (self.store.device(), self.store.dtype());
        *self.statistics.get_mut(id) = moments.statistics(device, dtype)?;
        Ok(())
    }

    /// What settled layers make of every chunk.
    fn outputs(&self, layers: &[&Dense], input: &Input<'_>) -> Result<Vec<Tensor>> {
        let mut pass = self.pass();
        let mut output = |chunk| layers.iter().try_fold(input(chunk)?, |h, layer| layer.forward(&mut pass, &h));
        (0..self.ranges.len()).map(&mut output).collect()
    }

    /// A sample of layer `index` + 1 for every image: the noise of a chunk is its part of that of one batch.
    fn sample(&self, index: usize, q: &[Gaussian]) -> Result<Vec<Tensor>> {
        self.release_free();
        let (count, units) = (self.ranges.last().map_or(0, |range| range.end), q[0].mean.shape().last());
        let noise = self.pass().posterior_noise(index + 1, Shape::from([count, units]))?;
        let sample =
            |(q, range): (&Gaussian, &Range<usize>)| q.sample_with(&noise.slice(0, range.start, range.len())?);
        q.iter().zip(&self.ranges).map(sample).collect()
    }
}
