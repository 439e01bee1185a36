//! Tensors: a shape, a place in a device's memory and, while a tape records, a place on the tape.

use std::fmt;

use rung_kernels::backend::{PixelMap, RowNoise};
use rung_kernels::rng::Address;
use rung_kernels::{DType, Device, Error, Result, Shape, SharedBuffer, View, ViewMut, attempt};

use crate::tape::Tracked;

/// So many zeros on the host: how many is often a user's choice, so that lack of memory is an
/// error.
fn host_zeros<T: Clone + Default>(count: usize) -> Result<Vec<T>> {
    let mut zeros = Vec::new();
    attempt(|| zeros.try_reserve_exact(count)).map_err(|_| Error::OutOfMemory {
        device: "the host".into(),
        requested_bytes: count.saturating_mul(size_of::<T>()),
        device_bytes: None,
    })?;
    zeros.resize(count, T::default());
    Ok(zeros)
}

/// An immutable array of numbers on a device.
///
/// Cloning shares the memory. Operations on tensors that a [`Tape`](crate::Tape) tracks are
/// recorded on that tape; all others compute and keep nothing, so evaluation needs no special mode.
///
/// # Example
/// ```
/// use rung_autograd::{Device, Tape, Tensor};
///
/// let tape = Tape::new();
/// let x = tape.variable(&Tensor::from_f64(&Device::cpu(), &[1.0, 2.0, 3.0], [3])?)?;
/// let loss = x.square()?.sum_all()?;
/// let gradients = tape.backward(&loss)?;
/// assert_eq!(gradients.of(&x)?.to_f64()?, [2.0, 4.0, 6.0]);
/// # Ok::<(), rung_autograd::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor {
    pub(crate) shape: Shape,
    pub(crate) device: Device,
    pub(crate) buffer: SharedBuffer,
    pub(crate) offset: usize,
    pub(crate) tracked: Option<Tracked>,
}

impl Tensor {
    /// A tensor of f64 values.
    ///
    /// # Errors
    /// If the number of values is not the shape's, or the device has no memory.
    pub fn from_f64(device: &Device, values: &[f64], shape: impl Into<Shape>) -> Result<Self> {
        Self::upload(device, View::F64(values), shape.into())
    }

    /// A tensor of f32 values.
    ///
    /// # Errors
    /// As [`Tensor::from_f64`].
    pub fn from_f32(device: &Device, values: &[f32], shape: impl Into<Shape>) -> Result<Self> {
        Self::upload(device, View::F32(values), shape.into())
    }

    /// A tensor of indices or labels.
    ///
    /// # Errors
    /// As [`Tensor::from_f64`].
    pub fn from_u32(device: &Device, values: &[u32], shape: impl Into<Shape>) -> Result<Self> {
        Self::upload(device, View::U32(values), shape.into())
    }

    /// A tensor of pixels.
    ///
    /// # Errors
    /// As [`Tensor::from_f64`].
    pub fn from_u8(device: &Device, values: &[u8], shape: impl Into<Shape>) -> Result<Self> {
        Self::upload(device, View::U8(values), shape.into())
    }

    /// A tensor of `dtype` from f64 values, rounded.
    ///
    /// # Errors
    /// As [`Tensor::from_f64`].
    pub fn from_values(
        device: &Device,
        dtype: DType,
        values: &[f64],
        shape: impl Into<Shape>,
    ) -> Result<Self> {
        // Floats are rounded here: not every device has f64.
        if dtype == DType::F32 {
            let rounded: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            return Self::from_f32(device, &rounded, shape);
        }
        Self::from_f64(device, values, shape)?.to_dtype(dtype)
    }

    /// A tensor with every element `value`.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn full(
        device: &Device,
        dtype: DType,
        value: f64,
        shape: impl Into<Shape>,
    ) -> Result<Self> {
        Self::build(device, dtype, shape.into(), |out| device.fill(value, out))
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn zeros(device: &Device, dtype: DType, shape: impl Into<Shape>) -> Result<Self> {
        Self::full(device, dtype, 0.0, shape)
    }

    /// Standard normal samples; element i is element i of `address`.
    ///
    /// # Errors
    /// If the device has no memory or the dtype is not a float.
    pub fn normal(
        device: &Device,
        dtype: DType,
        address: Address,
        shape: impl Into<Shape>,
    ) -> Result<Self> {
        Self::build(device, dtype, shape.into(), |out| device.fill_normal(address, out))
    }

    /// The rows `first..first + shape[0]` of [`Tensor::normal`] with as many rows as one likes, all
    /// other axes being those of `shape`: no others are drawn.
    ///
    /// # Errors
    /// As [`Tensor::normal`].
    pub fn normal_from_row(
        device: &Device,
        dtype: DType,
        address: Address,
        first: usize,
        shape: impl Into<Shape>,
    ) -> Result<Self> {
        let shape = shape.into();
        let count = shape.element_count();
        let row = count / shape.sizes()[0].max(1);
        // A row of `RowNoise` begins with a block of four words.
        let columns = if row % 4 == 0 && row > 0 { row } else { 4 };
        let (start, end) = (first * row, first * row + count);
        let (block, blocks) = (start / columns, end.div_ceil(columns) - start / columns);
        let noise = RowNoise { address, columns, samples: blocks.max(1), first_sample: block };
        let drawn = Self::normal_rows(device, dtype, noise, blocks)?;
        drawn.reshape([blocks * columns])?.slice(0, start - block * columns, count)?.reshape(shape)
    }

    /// Standard normal numbers whose rows are addressed by example and sample:
    /// [rows, `noise.columns`]; see [`RowNoise`].
    ///
    /// # Errors
    /// `Argument` if `rows` are no whole examples; if the device has no memory or the dtype is not
    /// a float.
    pub fn normal_rows(
        device: &Device,
        dtype: DType,
        noise: RowNoise,
        rows: usize,
    ) -> Result<Self> {
        Self::build(device, dtype, Shape::from([rows, noise.columns]), |out| {
            device.fill_normal_rows(noise, out)
        })
    }

    /// Uniform samples on (0, 1); element i is element i of `address`.
    ///
    /// # Errors
    /// If the device has no memory or the dtype is not a float.
    pub fn uniform(
        device: &Device,
        dtype: DType,
        address: Address,
        shape: impl Into<Shape>,
    ) -> Result<Self> {
        Self::build(device, dtype, shape.into(), |out| device.fill_uniform(address, out))
    }

    /// The images at `indices` (u32) of these pixels [image, value], mapped to what a model sees:
    /// gathering, binarising or dequantising and conversion in one pass. Pixels are u8, or floats
    /// in [0, 1].
    ///
    /// # Errors
    /// `Argument` if an index is too large.
    pub fn gather_pixels(&self, map: PixelMap, indices: &Self, dtype: DType) -> Result<Self> {
        let columns = self.shape.last();
        let shape = Shape::from([indices.shape.element_count(), columns]);
        Self::build(&self.device, dtype, shape, |out| {
            self.device.gather_pixels(map, columns, self.view(), indices.view(), out)
        })
    }

    /// Sizes of the axes.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Type of the elements.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.buffer.dtype()
    }

    /// Where the elements lie.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// Whether operations on this tensor are recorded.
    #[must_use]
    pub const fn is_tracked(&self) -> bool {
        self.tracked.is_some()
    }

    /// The same values, off the tape: no gradient flows through the result.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self { tracked: None, ..self.clone() }
    }

    /// The elements, for reading by a primitive.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        self.buffer.view().range(self.offset..self.offset + self.shape.element_count())
    }

    /// The elements as f64, on the host, row-major. Waits for the device.
    ///
    /// # Errors
    /// If the device fails; `OutOfMemory` of the host.
    pub fn to_f64(&self) -> Result<Vec<f64>> {
        if self.dtype() == DType::F32 {
            // Widened here: not every device has f64.
            return Ok(self.to_f32()?.into_iter().map(f64::from).collect());
        }
        let converted = self.detach().to_dtype(DType::F64)?;
        let mut host = host_zeros(self.shape.element_count())?;
        self.device.download(converted.view(), ViewMut::F64(&mut host))?;
        Ok(host)
    }

    /// The elements as f32, on the host, row-major. Waits for the device.
    ///
    /// # Errors
    /// If the device fails; `OutOfMemory` of the host.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        let converted = self.detach().to_dtype(DType::F32)?;
        let mut host = host_zeros(self.shape.element_count())?;
        self.device.download(converted.view(), ViewMut::F32(&mut host))?;
        Ok(host)
    }

    /// The indices or labels, on the host, row-major. Waits for the device.
    ///
    /// # Errors
    /// `DType` if they are not u32; if the device fails; `OutOfMemory` of the host.
    pub fn to_u32(&self) -> Result<Vec<u32>> {
        if self.dtype() != DType::U32 {
            let (rule, dtypes) = ("x must be u32", vec![("x", self.dtype())]);
            return Err(Error::DType { operation: "to_u32", rule, dtypes });
        }
        let mut host = host_zeros(self.shape.element_count())?;
        self.device.download(self.view(), ViewMut::U32(&mut host))?;
        Ok(host)
    }

    /// The one element of a scalar (or of any tensor with one element). Waits for the device.
    ///
    /// # Errors
    /// `Shape` if there is not exactly one element.
    pub fn to_scalar(&self) -> Result<f64> {
        if self.shape.element_count() != 1 {
            return Err(Error::shape(
                "to_scalar",
                "exactly one element is needed",
                &[("x", self.shape)],
            ));
        }
        Ok(self.to_f64()?[0])
    }

    /// The same values in another dtype, off the tape.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        if dtype == self.dtype() {
            return Ok(self.detach());
        }
        Self::build(&self.device, dtype, self.shape, |out| self.device.convert(self.view(), out))
    }

    /// The same values on another device, off the tape.
    ///
    /// # Errors
    /// If that device has no memory.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        if *device == self.device {
            return Ok(self.detach());
        }
        match self.dtype() {
            DType::U8 => {
                let mut host = vec![0; self.shape.element_count()];
                self.device.download(self.view(), ViewMut::U8(&mut host))?;
                Self::from_u8(device, &host, self.shape)
            }
            DType::U32 => {
                let host = self.to_u32()?;
                Self::from_u32(device, &host, self.shape)
            }
            DType::F32 => Self::from_f32(device, &self.to_f32()?, self.shape),
            DType::F64 => Self::from_f64(device, &self.to_f64()?, self.shape),
        }
    }

    /// A copy with memory of its own, off the tape.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn copied(&self) -> Result<Self> {
        Self::build(&self.device, self.dtype(), self.shape, |out| {
            self.device.convert(self.view(), out)
        })
    }

    /// Moves this tensor towards another, in place: x ← (1 − weight)·x + weight·other.
    ///
    /// # Errors
    /// `Shape` if the shapes differ; `Shared` while anything else holds the memory.
    pub fn blend(&mut self, other: &Self, weight: f64) -> Result<()> {
        self.update("blend", weight, other, 1.0 - weight)
    }

    /// Adds another tensor in place.
    ///
    /// # Errors
    /// As [`Tensor::blend`].
    pub fn accumulate(&mut self, other: &Self) -> Result<()> {
        self.update("accumulate", 1.0, other, 1.0)
    }

    /// x ← a·other + b·x.
    fn update(&mut self, operation: &'static str, a: f64, other: &Self, b: f64) -> Result<()> {
        if self.shape != other.shape {
            return Err(Error::shape(
                operation,
                "shapes must be the same",
                &[("x", self.shape), ("other", other.shape)],
            ));
        }
        let device = self.device.clone();
        device.scale_and_add(a, other.view(), b, self.view_mut(operation)?)
    }

    /// The elements, for writing by a primitive.
    pub(crate) fn view_mut(&mut self, operation: &'static str) -> Result<ViewMut<'_>> {
        let range = self.offset..self.offset + self.shape.element_count();
        let buffer = self.buffer.get_mut().ok_or(Error::Shared { operation })?;
        Ok(buffer.view_mut().range(range))
    }

    /// A new tensor whose memory `write` fills.
    ///
    /// # Errors
    /// If the device has no memory, or what `write` returns.
    pub fn build(
        device: &Device,
        dtype: DType,
        shape: Shape,
        write: impl FnOnce(ViewMut<'_>) -> Result<()>,
    ) -> Result<Self> {
        let mut buffer = device.allocate(dtype, shape.element_count())?;
        write(sole(&mut buffer))?;
        Ok(Self { shape, device: device.clone(), buffer, offset: 0, tracked: None })
    }

    fn upload(device: &Device, host: View<'_>, shape: Shape) -> Result<Self> {
        if host.len() != shape.element_count() {
            let rule = format!("{} values do not fill the shape", host.len());
            return Err(Error::shape("tensor", rule, &[("shape", shape)]));
        }
        Self::build(device, host.dtype(), shape, |out| device.upload(host, out))
    }
}

/// The memory of a buffer nobody else holds yet.
pub(crate) fn sole(buffer: &mut SharedBuffer) -> ViewMut<'_> {
    buffer.get_mut().expect("bug: a new buffer is shared; please report it").view_mut()
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tracked = if self.is_tracked() { ", tracked" } else { "" };
        write!(f, "Tensor({} {} on {}{tracked})", self.dtype(), self.shape, self.device.name())
    }
}
