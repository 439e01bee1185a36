//! Images in the memory of a device, and the batches that a model sees of them.

use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, PixelMap, Tensor};
use rung_datasets::binarise::dequantise_address;
use rung_datasets::{Binarisation, Dataset, ImageShape, Images, Pixels, Split, ValueRange};

use crate::config::{self, DataConfig, Dequantisation};
use crate::data::treatment::Measure;
use crate::error::{Context, Error, Result};
use crate::tasks;

/// One split of a data set on a device. Batches are gathered, and binarised or dequantised, where
/// they lie.
#[derive(Debug)]
pub struct DeviceImages {
    pixels: Tensor,
    /// Images that the split has, of which those on the device are the first.
    in_split: usize,
    /// Whether each has the pixels of the first.
    all_equal: bool,
    labels: Option<Vec<u32>>,
    shape: ImageShape,
    values: ValueRange,
    split: Split,
    treatment: Treatment,
    /// What the configuration asks to be done to pixels.
    asked: (config::Binarisation, Dequantisation),
    seed: u64,
    dtype: DType,
}

/// What is done to pixels before a model sees them.
#[derive(Clone, Copy, Debug)]
struct Treatment {
    binarisation: Binarisation,
    dequantisation: Dequantisation,
    /// 1/255 for bytes, 1 for real pixels.
    unit: f64,
    /// 1/scale: what dequantised pixels are multiplied by.
    dequantised_unit: f64,
}

impl DeviceImages {
    /// Copies the first `count` images of a split (0 for all) to a device.
    ///
    /// # Errors
    /// If the data set has no such split, or the device has no memory.
    pub fn new(
        dataset: &Dataset,
        split: Split,
        count: usize,
        config: &DataConfig,
        seed: u64,
        device: &Device,
        dtype: DType,
    ) -> Result<Self> {
        let images = dataset.split(split).filter(|images| !images.is_empty());
        let images =
            images.ok_or_else(|| Error::new(format!("{} has no {split} images", dataset.name)))?;
        let all = images.count();
        let count = if count == 0 { all } else { count.min(all) };
        let treatment = Treatment::new(config, images, dataset.scale);
        let asked = (config.binarisation, config.dequantisation);
        let (shape, used) = (images.shape(), count * images.values_per_image());
        let values = shape.values();
        let all_equal = match images.pixels() {
            Pixels::U8(bytes) => {
                bytes[..used].chunks_exact(values).all(|image| *image == bytes[..values])
            }
            Pixels::F32(reals) => {
                reals[..used].chunks_exact(values).all(|image| *image == reals[..values])
            }
        };
        let pixels = match images.pixels() {
            Pixels::U8(bytes) => Tensor::from_u8(device, &bytes[..used], [count, shape.values()]),
            Pixels::F32(reals) => Tensor::from_f32(device, &reals[..used], [count, shape.values()])
                .and_then(|pixels| pixels.to_dtype(dtype)),
        };
        let pixels = pixels.context("copying the images to the device")?;
        let labels = images.labels().map(|labels| labels.values[..count].to_vec());
        Ok(Self {
            pixels,
            in_split: all,
            all_equal,
            labels,
            shape,
            values: dataset.values,
            split,
            treatment,
            asked,
            seed,
            dtype,
        })
    }

    /// How many images there are.
    pub fn count(&self) -> usize {
        self.pixels.shape().sizes()[0]
    }

    /// How many images the split has: more than [`DeviceImages::count`] where the configuration has
    /// a limit.
    pub const fn in_split(&self) -> usize {
        self.in_split
    }

    /// Whether every image has the same pixels.
    pub const fn all_equal(&self) -> bool {
        self.all_equal
    }

    /// Whether a model sees the same in every image: [`DeviceImages::all_equal`], and no noise of
    /// binarisation or dequantisation tells them apart.
    ///
    /// # Errors
    /// As [`DeviceImages::batch`].
    pub fn look_all_equal(&self) -> rung_autograd::Result<bool> {
        if !self.all_equal {
            return Ok(false);
        }
        let few = self.range(0, self.count().min(16), 1)?.to_f64()?;
        let values = self.shape.values();
        Ok(few.chunks_exact(values).all(|image| *image == few[..values]))
    }

    /// The type of the numbers that a model sees.
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// Where they lie.
    pub fn device(&self) -> &Device {
        self.pixels.device()
    }

    /// The shape of one image.
    pub const fn shape(&self) -> ImageShape {
        self.shape
    }

    /// What the values of the data set are.
    pub const fn values(&self) -> ValueRange {
        self.values
    }

    /// What log p(x) of these images is a logarithm of, for a model of such pixels.
    pub fn measure(&self, pixels: tasks::Pixels) -> Measure {
        Measure::with(pixels, self.asked.0, self.asked.1, self.values)
    }

    /// Which part of the data set they are.
    pub const fn split(&self) -> Split {
        self.split
    }

    /// How they are binarised.
    pub const fn binarisation(&self) -> Binarisation {
        self.treatment.binarisation
    }

    /// The seed of what a model sees of them, where it is drawn, binary or dequantised.
    pub fn pixel_seed(&self) -> Option<u64> {
        matches!(self.map(0), PixelMap::Bernoulli(_) | PixelMap::Dequantise(..))
            .then_some(self.seed)
    }

    /// The class of each image, if the data set has them.
    pub fn labels(&self) -> Option<&[u32]> {
        self.labels.as_deref()
    }

    /// ln |∂x/∂pixel| of a whole image: what a density of dequantised images gains, in nats, when
    /// it is one of bytes. 0 without noise.
    pub fn log_volume(&self) -> f64 {
        match self.map(0) {
            PixelMap::Dequantise(_, unit) => self.shape.values() as f64 * unit.ln(),
            _ => 0.0,
        }
    }

    /// What [`DeviceImages::batch`] does to the pixels in `epoch`.
    fn map(&self, epoch: u64) -> PixelMap {
        let Treatment { binarisation, dequantisation, unit, dequantised_unit } = self.treatment;
        if let Some(address) = binarisation.address(self.split, self.seed, epoch) {
            return PixelMap::Bernoulli(address);
        }
        let noise = |epoch| {
            let address = Address { step: epoch, ..dequantise_address(self.split, self.seed) };
            PixelMap::Dequantise(address, dequantised_unit)
        };
        match (binarisation, dequantisation, self.split) {
            (Binarisation::Threshold, ..) => PixelMap::Threshold(unit),
            (_, Dequantisation::EveryEpoch, Split::Train) => noise(epoch),
            (_, Dequantisation::Once | Dequantisation::EveryEpoch, _) => noise(0),
            _ => PixelMap::Scale(unit),
        }
    }

    /// The images at `indices` (u32, one axis), as the model sees them in `epoch`: [batch, values].
    ///
    /// # Errors
    /// If an index is too large or the device has no memory.
    pub fn batch(&self, indices: &Tensor, epoch: u64) -> rung_autograd::Result<Tensor> {
        self.gather(self.map(epoch), indices)
    }

    /// The images `start..start + count` as [`DeviceImages::batch`] gives them.
    ///
    /// # Errors
    /// As [`DeviceImages::batch`].
    pub fn range(&self, start: usize, count: usize, epoch: u64) -> rung_autograd::Result<Tensor> {
        self.batch(&self.indices(start, count)?, epoch)
    }

    /// The images `start..start + count` as intensities in [0, 1], for pictures.
    ///
    /// # Errors
    /// As [`DeviceImages::batch`].
    pub fn intensities(&self, start: usize, count: usize) -> rung_autograd::Result<Tensor> {
        self.gather(PixelMap::Scale(self.treatment.unit), &self.indices(start, count)?)
    }

    fn indices(&self, start: usize, count: usize) -> rung_autograd::Result<Tensor> {
        let indices: Vec<u32> = (start..start + count).map(|index| index as u32).collect();
        Tensor::from_u32(self.device(), &indices, [count])
    }

    fn gather(&self, map: PixelMap, indices: &Tensor) -> rung_autograd::Result<Tensor> {
        self.pixels.gather_pixels(map, indices, self.dtype)
    }
}

impl Treatment {
    fn new(config: &DataConfig, images: &Images, scale: f32) -> Self {
        let is_bytes = matches!(images.pixels(), Pixels::U8(_));
        Self {
            binarisation: match config.binarisation {
                config::Binarisation::Auto | config::Binarisation::Dynamic => {
                    Binarisation::PerEpoch
                }
                config::Binarisation::Static => Binarisation::Static,
                config::Binarisation::Threshold => Binarisation::Threshold,
                config::Binarisation::None => Binarisation::None,
            },
            // Noise fills the steps between bytes; real pixels have none.
            dequantisation: if is_bytes { config.dequantisation } else { Dequantisation::None },
            unit: if is_bytes { 1.0 / 255.0 } else { 1.0 },
            dequantised_unit: 1.0 / f64::from(scale),
        }
    }
}
