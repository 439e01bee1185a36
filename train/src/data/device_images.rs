//! Images in the memory of a device, and the batches that a model sees of them.

use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, PixelMap, Tensor};
use rung_datasets::binarise::dequantise_address;
use rung_datasets::sequences::Canvases;
use rung_datasets::{Binarisation, Dataset, ImageShape, Images, Labels, Pixels, Split, ValueRange};

use crate::config::{self, DataConfig, Dequantisation};
use crate::data::treatment::Measure;
use crate::error::{Context, Error, Result};
use crate::tasks;

/// Images that are drawn when they are asked for are drawn once and kept on the device where all of
/// them take no more bytes than this, else anew for every batch.
const MOST_KEPT_BYTES: usize = 256 << 20;

/// One split of a data set on a device. Batches are gathered, and binarised or dequantised, where
/// they lie.
#[derive(Debug)]
pub struct DeviceImages {
    pixels: Stored,
    device: Device,
    count: usize,
    /// Images that the split has, of which those on the device are the first.
    in_split: usize,
    /// Whether each has the pixels of the first.
    all_equal: bool,
    labels: Option<Vec<u32>>,
    positions: usize,
    /// The name of the data set.
    data_set: String,
    /// The file of each image; empty where they are not from files of their own.
    files: Vec<String>,
    shape: ImageShape,
    values: ValueRange,
    split: Split,
    treatment: Treatment,
    /// What the configuration asks to be done to pixels.
    asked: (config::Binarisation, Dequantisation),
    seed: u64,
    dtype: DType,
}

/// Where the pixels of images are.
#[derive(Debug)]
enum Stored {
    /// On the device: [images, values].
    OnDevice(Tensor),
    /// Nowhere: a batch is drawn on the host and copied.
    Drawn(Canvases),
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
    /// If the data set has no such split, the device has no memory, or noise is wanted on images
    /// that are drawn anew for every batch.
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
        let bytes = |bytes: &[u8]| -> rung_autograd::Result<(Stored, bool)> {
            let all_equal = bytes.chunks_exact(values).all(|image| *image == bytes[..values]);
            let pixels = Tensor::from_u8(device, bytes, [count, values])?;
            Ok((Stored::OnDevice(pixels), all_equal))
        };
        let stored = match images.pixels() {
            Pixels::U8(all) => bytes(&all[..used]),
            Pixels::F32(all) => {
                let reals = &all[..used];
                let all_equal = reals.chunks_exact(values).all(|image| *image == reals[..values]);
                Tensor::from_f32(device, reals, [count, values])
                    .and_then(|pixels| pixels.to_dtype(dtype))
                    .map(|pixels| (Stored::OnDevice(pixels), all_equal))
            }
            Pixels::Drawn(canvases) if used <= MOST_KEPT_BYTES => {
                bytes(&canvases.draw(&(0..count as u32).collect::<Vec<_>>()))
            }
            Pixels::Drawn(canvases) => {
                let first = canvases.draw(&[0]);
                let all_equal = (1..count as u32).all(|image| canvases.draw(&[image]) == first);
                Ok((Stored::Drawn(canvases.clone()), all_equal))
            }
        };
        let (pixels, all_equal) = stored.context("copying the images to the device")?;
        let labels = images.labels();
        let known = |labels: &Vec<u32>| labels.iter().any(|&label| label != Labels::UNKNOWN);
        let images = Self {
            pixels,
            device: device.clone(),
            count,
            in_split: all,
            all_equal,
            labels: labels
                .map(|labels| labels.values[..count * labels.positions].to_vec())
                .filter(known),
            positions: labels.map_or(1, |labels| labels.positions),
            data_set: dataset.name.clone(),
            files: images.files().iter().take(count).cloned().collect(),
            shape,
            values: dataset.values,
            split,
            treatment,
            asked,
            seed,
            dtype,
        };
        // The noise of a pixel is addressed by its place in the data set, which a drawn batch is
        // not in.
        if images.is_drawn_anew() && images.pixel_seed().is_some() {
            return Err(Error::new(format!(
                "{count} images of {shape} are drawn anew for every batch, and get no noise"
            ))
            .with_advice(
                "set data.binarisation = none or threshold, and data.dequantisation = none; or \
                take images of 256 MB or less in all: fewer of them, a smaller canvas or more \
                pooling",
            ));
        }
        Ok(images)
    }

    /// Whether every batch is drawn anew, since all images together take too much memory.
    pub const fn is_drawn_anew(&self) -> bool {
        matches!(self.pixels, Stored::Drawn(_))
    }

    /// How many images there are.
    pub const fn count(&self) -> usize {
        self.count
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
    pub const fn device(&self) -> &Device {
        &self.device
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

    /// The classes of the images, if the data set has them: [`DeviceImages::positions`] for each,
    /// one image after the other, [`Labels::UNKNOWN`] where it is not known; `None` where none is.
    pub fn labels(&self) -> Option<&[u32]> {
        self.labels.as_deref()
    }

    /// Labels of an image: as many as the digits of a sequence, else 1.
    pub const fn positions(&self) -> usize {
        self.positions
    }

    /// The name of the data set that they are from.
    pub fn data_set(&self) -> &str {
        &self.data_set
    }

    /// The file of each image, relative to the data set's folder; none where they are not from
    /// files of their own.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// The class of each image, if it has one and no more.
    pub fn single_labels(&self) -> Option<&[u32]> {
        self.labels().filter(|_| self.positions == 1)
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

    /// The images `start..start + count` as a model sees them on average: where it sees a new draw
    /// of each pixel every epoch, the probabilities that it is drawn by; else as
    /// [`DeviceImages::range`] gives them.
    ///
    /// # Errors
    /// As [`DeviceImages::batch`].
    pub fn expected(&self, start: usize, count: usize) -> rung_autograd::Result<Tensor> {
        match self.binarisation() {
            Binarisation::PerEpoch => self.intensities(start, count),
            _ => self.range(start, count, 0),
        }
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
        match &self.pixels {
            Stored::OnDevice(pixels) => pixels.gather_pixels(map, indices, self.dtype),
            Stored::Drawn(canvases) => {
                let numbers = indices.to_u32()?;
                if let Some(number) = numbers.iter().find(|&&number| number as usize >= self.count)
                {
                    let rule = format!("there is no image {number}: there are {}", self.count);
                    return Err(rung_autograd::Error::argument("batch", rule));
                }
                let (images, values) = (numbers.len(), self.shape.values());
                let drawn =
                    Tensor::from_u8(&self.device, &canvases.draw(&numbers), [images, values])?;
                drawn.gather_pixels(map, &self.indices(0, images)?, self.dtype)
            }
        }
    }
}

impl Treatment {
    fn new(config: &DataConfig, images: &Images, scale: f32) -> Self {
        let is_bytes = !matches!(images.pixels(), Pixels::F32(_));
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

#[cfg(test)]
mod tests {
    use super::*;
    use rung_datasets::{GlyphCounts, Options, Sequences};

    fn sequences(train: usize) -> Dataset {
        let glyphs = GlyphCounts { train: 30, validation: 10, test: 10 };
        let sequences = Sequences { train, test: 4, ..Sequences::default() };
        let options = Options { glyphs, sequences, ..Options::default() };
        rung_datasets::open("sequences:glyphs", ".".as_ref(), &options).unwrap()
    }

    fn images(dataset: &Dataset, binarisation: config::Binarisation) -> Result<DeviceImages> {
        let config = DataConfig { binarisation, ..DataConfig::default() };
        DeviceImages::new(dataset, Split::Train, 0, &config, 1, &Device::cpu(), DType::F32)
    }

    #[test]
    fn a_batch_drawn_anew_is_the_one_that_would_have_been_kept() {
        let none = config::Binarisation::None;
        let (few, many) = (sequences(20), sequences(30_000));
        let (kept, drawn) = (images(&few, none).unwrap(), images(&many, none).unwrap());
        assert!(!kept.is_drawn_anew() && drawn.is_drawn_anew());
        assert_eq!((drawn.count(), drawn.positions(), kept.all_equal()), (30_000, 3, false));
        assert_eq!(drawn.labels().unwrap()[..60], *kept.labels().unwrap());
        assert!(drawn.single_labels().is_none() && !drawn.look_all_equal().unwrap());
        let indices = Tensor::from_u32(&Device::cpu(), &[19, 3, 3, 0], [4]).unwrap();
        let batch = |images: &DeviceImages| images.batch(&indices, 1).unwrap().to_f32().unwrap();
        assert_eq!(batch(&drawn), batch(&kept));
        let pixels = |images: &DeviceImages| images.intensities(5, 2).unwrap().to_f32().unwrap();
        assert_eq!(pixels(&drawn), pixels(&kept));
        let bytes = |pixels: &[f32]| -> Vec<u8> {
            pixels.iter().map(|pixel| (255.0 * pixel).round() as u8).collect()
        };
        assert_eq!(bytes(&pixels(&drawn)[..10_000]), few.train.select(&[5]).into_bytes().unwrap());
        let error = drawn.range(29_999, 2, 1).unwrap_err().to_string();
        assert_eq!(error, "batch: there is no image 30000: there are 30000");
    }

    #[test]
    fn noise_is_refused_where_images_are_drawn_anew() {
        let (few, many) = (sequences(20), sequences(30_000));
        let refused = images(&many, config::Binarisation::Dynamic).unwrap_err();
        assert!(
            refused.cause().starts_with("30000 images of 1x100x100 are drawn anew"),
            "{refused}"
        );
        assert!(refused.advice().unwrap().contains("data.binarisation = none or threshold"));
        assert!(images(&few, config::Binarisation::Dynamic).is_ok());
        assert!(images(&many, config::Binarisation::Threshold).is_ok());
    }
}
