//! Samples of an autoregressive p(x|z), pixel by pixel.
//!
//! What a layer has at a position depends on positions before it, which are known by then: a pixel
//! costs each layer one position, and a whole image no more arithmetic than its likelihood. The
//! layers' values are kept on the host, where the taps of the next position are gathered; the
//! products are the device's.

use rung_autograd::rng::Address;
use rung_autograd::{Error, Result, Tensor};

use super::ELU;
use super::masked::MaskedKernel;
use super::observation::{Autoregressive, ConditionedLayer};
use crate::map_shape::MapShape;

/// Values at the positions so far, on the host: [row, position, channel].
struct Known {
    shape: MapShape,
    values: Vec<f64>,
}

impl Known {
    fn new(rows: usize, shape: MapShape) -> Self {
        Self { shape, values: vec![0.0; rows * shape.units()] }
    }

    /// The channels at a position of a row.
    fn at(&mut self, row: usize, position: usize) -> &mut [f64] {
        let start = row * self.shape.units() + position * self.shape.channels;
        &mut self.values[start..start + self.shape.channels]
    }

    /// Takes over what is at a position in every row, [rows, channels].
    fn set(&mut self, position: usize, values: &[f64]) {
        for (row, values) in values.chunks_exact(self.shape.channels).enumerate() {
            self.at(row, position).copy_from_slice(values);
        }
    }

    /// What a kernel at this position sees in every row, [rows, taps · channels]; 0 outside of the
    /// map.
    fn taps(&self, kernel: &MaskedKernel, position: usize) -> Vec<f64> {
        let MapShape { height, width, channels } = self.shape;
        let (row, column) = (position / width, position % width);
        let seen: Vec<Option<usize>> = kernel
            .offsets()
            .map(|[down, right]| {
                let row = row.checked_add_signed(down).filter(|&row| row < height)?;
                let column = column.checked_add_signed(right).filter(|&column| column < width)?;
                Some((row * width + column) * channels)
            })
            .collect();
        let mut taps = Vec::with_capacity(seen.len() * channels);
        for map in self.values.chunks_exact(self.shape.units()) {
            for start in &seen {
                match start {
                    Some(start) => taps.extend_from_slice(&map[*start..start + channels]),
                    None => taps.resize(taps.len() + channels, 0.0),
                }
            }
        }
        taps
    }
}

impl Autoregressive {
    /// An image drawn from each row; `progress` hears how many positions are done, and of how many.
    ///
    /// Row r has the noise of the address's step + r, so that its image does not depend on the rows
    /// beside it. Values of a mixture of logistics are rounded to the levels that it is a
    /// distribution over.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn sample(
        &self,
        address: Address,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Tensor> {
        let (device, dtype) = (self.base.device(), self.base.dtype());
        let (image, rows) = (self.pixels.image, self.base.shape().sizes()[0]);
        let positions = image.height * image.width;
        let upload = |values: &[f64]| {
            Tensor::from_values(device, dtype, values, [rows, values.len() / rows.max(1)])
        };
        let each = self.pixels.noise_per_position();
        let noise = self.noise(address, rows, positions * each)?;
        let mut pixels = Known::new(rows, image);
        let mut hidden: Vec<Known> = self
            .layers
            .iter()
            .map(|layer| Known::new(rows, image.with_channels(layer.added.shape().last())))
            .collect();
        for position in 0..positions {
            let mut features: Option<Tensor> = None;
            for (index, ConditionedLayer { kernel, added }) in self.layers.iter().enumerate() {
                let source = if index == 0 { &pixels } else { &hidden[index - 1] };
                let mut sum = kernel.at_taps(&upload(&source.taps(kernel, position))?)?;
                sum = sum.add(&at_position(added, position)?)?;
                if let Some(g) = &features {
                    sum = sum.add(g)?;
                }
                let g = sum.activate(ELU)?;
                hidden[index].set(position, &g.to_f64()?);
                features = Some(g);
            }
            let parameters = self.parameters(features, &at_position(&self.base, position)?)?;
            let drawn: Vec<f64> = noise
                .chunks_exact(positions * each)
                .flat_map(|row| &row[position * each..(position + 1) * each])
                .copied()
                .collect();
            let values = self.pixels.draw(&parameters, &upload(&drawn)?)?;
            pixels.set(position, &values.iter().map(|x| 2.0 * x - 1.0).collect::<Vec<_>>());
            progress(position + 1, positions);
        }
        let value = |map: &[f64], i: usize| {
            let (channel, position) = (i / positions, i % positions);
            0.5 * map[position * image.channels + channel] + 0.5
        };
        let maps = pixels.values.chunks_exact(image.units());
        let planar: Vec<f64> =
            maps.flat_map(|map| (0..map.len()).map(move |i| value(map, i))).collect();
        upload(&planar)
    }

    /// So many uniform numbers for every row, on the host.
    fn noise(&self, address: Address, rows: usize, count: usize) -> Result<Vec<f64>> {
        let (device, dtype) = (self.base.device(), self.base.dtype());
        let mut noise = Vec::with_capacity(rows * count);
        for row in 0..rows as u64 {
            let step = address.step.checked_add(row).ok_or_else(|| {
                Error::argument("sample", "the noise of the last rows has no address")
            })?;
            let address = Address { step, ..address };
            noise.extend(Tensor::uniform(device, dtype, address, [count])?.to_f64()?);
        }
        Ok(noise)
    }
}

/// What a map has at a position: [rows, channels].
fn at_position(map: &Tensor, position: usize) -> Result<Tensor> {
    let map = map.detach();
    let (rows, channels) = (map.shape().sizes()[0], map.shape().last());
    let columns = map.shape().element_count() / rows.max(1);
    map.reshape([rows, columns])?.slice(1, position * channels, channels)
}
