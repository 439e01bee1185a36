//! Statistics of batch normalisation over a whole data set, in chunks: each network in turn, in the
//! order of a pass, and in it each layer.

use std::ops::Range;

use rung_autograd::{ParameterStore, Result, Shape, Tensor};

use super::model::{AuxiliaryModel, of_auxiliary};
use super::network::{Classes, Input, Network, total};
use crate::labelled::likeliest_class;
use crate::latent::WholeData;
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

/// The sum in a network's first layer for the chunk of this number.
type Sum<'a> = dyn Fn(&Pass<'_>, usize) -> Result<Tensor> + 'a;

impl AuxiliaryModel {
    /// [`LatentModel::recompute_statistics`](crate::LatentModel::recompute_statistics).
    ///
    /// Holds the hidden layers of one chunk, and of all images of the rank a, the class and z. An
    /// image passes through each layer once for each layer behind it in the same network.
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
        let images_of = |chunk: usize| (data.images)(ranges[chunk].clone());
        let limit = self.config().log_variance_limit;
        let mut all = Recomputer { store, data, statistics, ranges: ranges.clone(), noise };

        let mut a: Vec<Option<Tensor>> = vec![None; all.ranges.len()];
        if let Some(network) = &self.q_a {
            let sum = |pass: &Pass<'_>, chunk: usize| {
                total([network.product(pass, Input::Image, &images_of(chunk)?)?])
            };
            all.network(network, &sum)?;
            let units = self.config().auxiliary_units;
            a = all.each(1, units, |pass, chunk, noise| {
                let sum = sum(pass, chunk)?;
                network.gaussian(pass, &sum, limit)?.sample_with(noise).map(Some)
            })?;
        }

        let mut class: Vec<Option<Tensor>> = vec![None; all.ranges.len()];
        if let Some(network) = &self.q_y {
            let of_image = |pass: &Pass<'_>, chunk: usize| {
                network.product(pass, Input::Image, &images_of(chunk)?)
            };
            let sum = |pass: &Pass<'_>, chunk: usize| {
                total([of_image(pass, chunk)?, of_auxiliary(network, pass, a[chunk].as_ref())?])
            };
            all.network(network, &sum)?;
            for (chunk, class) in class.iter_mut().enumerate() {
                let mut pass = all.pass();
                let of_image = of_image(&pass, chunk)?;
                let log_q = self.classify(&mut pass, of_image, a[chunk].as_ref())?;
                *class = log_q.as_ref().map(likeliest_class).transpose()?;
            }
        }

        let classes = |chunk: usize| class[chunk].as_ref().map_or(Classes::None, Classes::Given);
        let sum = |pass: &Pass<'_>, chunk: usize| {
            let image = self.q_z.product(pass, Input::Image, &images_of(chunk)?)?;
            let shared = total([image, of_auxiliary(&self.q_z, pass, a[chunk].as_ref())?])?;
            self.q_z.sum(pass, Some(shared), None, classes(chunk))
        };
        all.network(&self.q_z, &sum)?;
        let position = self.q_a.iter().count() + 1;
        let z = all.each(position, self.config().latent_units, |pass, chunk, noise| {
            let sum = sum(pass, chunk)?;
            self.q_z.gaussian(pass, &sum, limit)?.sample_with(noise)
        })?;

        if let Some(network) = &self.p_a {
            let sum = |pass: &Pass<'_>, chunk: usize| {
                let image = if self.config().auxiliary_sees_image() {
                    network.product(pass, Input::Image, &images_of(chunk)?)?
                } else {
                    None
                };
                let own = network.product(pass, Input::Latent, &z[chunk])?;
                network.sum(pass, image, own, classes(chunk))
            };
            all.network(network, &sum)?;
        }
        let sum = |pass: &Pass<'_>, chunk: usize| {
            let shared = of_auxiliary(&self.p_x, pass, a[chunk].as_ref())?;
            let own = self.p_x.product(pass, Input::Latent, &z[chunk])?;
            self.p_x.sum(pass, shared, own, classes(chunk))
        };
        all.network(&self.p_x, &sum)
    }
}

impl Recomputer<'_> {
    fn pass(&self) -> Pass<'_> {
        Pass::new(self.store, None, Mode::Frozen(self.statistics), self.noise.0, self.noise.1)
    }

    /// Recomputes the statistics of a network's layers, first to last.
    fn network(&mut self, network: &Network, sum: &Sum<'_>) -> Result<()> {
        let layers = [network.first.statistics()];
        let layers = layers.into_iter().chain(network.rest.iter().map(|layer| layer.statistics()));
        for (index, id) in layers.enumerate().collect::<Vec<_>>() {
            let Some(id) = id else { continue };
            self.store.device().release_free();
            let mut moments = Moments::default();
            for (chunk, range) in self.ranges.iter().enumerate() {
                let mut pass = self.pass();
                let sum = sum(&pass, chunk)?;
                let a = match index.checked_sub(1) {
                    None => sum,
                    Some(before) => {
                        let h = network.hidden_up_to(&mut pass, &sum, before)?;
                        network.rest[before].pre_activation(&pass, &h)?
                    }
                };
                moments.add(range.len(), &a.column_statistics()?)?;
            }
            moments.replace(self.statistics.get_mut(id), self.data.ranks)?;
        }
        Ok(())
    }

    /// What `sample` makes of each chunk with its part of the noise of one batch of all images:
    /// that of the group at this position, from 1.
    fn each<T>(
        &self,
        position: usize,
        units: usize,
        sample: impl Fn(&mut Pass<'_>, usize, &Tensor) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut pass = self.pass();
        let noise = pass.posterior_noise(position, Shape::from([self.data.count, units]))?;
        let each = |(chunk, range): (usize, &Range<usize>)| {
            sample(&mut pass, chunk, &noise.slice(0, range.start, range.len())?)
        };
        self.ranges.iter().enumerate().map(each).collect()
    }
}
