//! The shape of a feature map, or of an image before it becomes one.

use rung_autograd::{Error, Result, Tensor};

/// Height, width and channels of a feature map; in memory [row, height, width, channel].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapShape {
    /// Rows of positions.
    pub height: usize,
    /// Columns of positions.
    pub width: usize,
    /// Elements at a position.
    pub channels: usize,
}

impl MapShape {
    /// Elements of a map.
    #[must_use]
    pub const fn units(self) -> usize {
        self.height * self.width * self.channels
    }

    /// The same positions with other channels.
    #[must_use]
    pub const fn with_channels(self, channels: usize) -> Self {
        Self { channels, ..self }
    }

    /// The map that a convolution with this stride makes of it: ⌈side/stride⌉ positions a side.
    #[must_use]
    pub const fn shrunk(self, stride: usize) -> Self {
        Self { height: self.height.div_ceil(stride), width: self.width.div_ceil(stride), ..self }
    }

    /// The map that a convolution with a kernel of this side and no padding makes of it; `None` if
    /// the kernel does not fit.
    #[must_use]
    pub const fn unpadded(self, kernel: usize) -> Option<Self> {
        if kernel > self.height || kernel > self.width {
            return None;
        }
        Some(Self { height: self.height - kernel + 1, width: self.width - kernel + 1, ..self })
    }

    /// The map that whole windows of this side, side by side, make of it.
    #[must_use]
    pub const fn pooled(self, size: usize) -> Self {
        Self { height: self.height / size, width: self.width / size, ..self }
    }

    /// The map that a transposed convolution with this stride makes of it.
    #[must_use]
    pub const fn enlarged(self, stride: usize) -> Self {
        Self { height: self.height * stride, width: self.width * stride, ..self }
    }

    /// Planar images as feature maps: [rows, channel · height · width] becomes [rows, height,
    /// width, channel].
    ///
    /// # Errors
    /// `Shape`, in the name of `operation`, if the images have another number of values.
    pub(crate) fn maps(self, operation: &'static str, x: &Tensor) -> Result<Tensor> {
        let &[rows, values] = x.shape().sizes() else {
            return Err(Error::shape(operation, "x must be [batch, values]", &[("x", *x.shape())]));
        };
        if values != self.units() {
            let rule = format!("an image has {} values, not {values}", self.units());
            return Err(Error::shape(operation, rule, &[("x", *x.shape())]));
        }
        let Self { height, width, channels } = self;
        if channels == 1 || height * width == 1 {
            return x.reshape([rows, height, width, channels]);
        }
        let channels_last = x.reshape([rows, channels, height * width])?.transpose()?;
        channels_last.reshape([rows, height, width, channels])
    }
}

/// Each map `times` times in a row.
pub(crate) fn repeat_maps(maps: &Tensor, times: usize) -> Result<Tensor> {
    let &[rows, height, width, channels] = maps.shape().sizes() else {
        return Err(Error::argument("repeat_maps", "bug: not a feature map; please report it"));
    };
    if times == 1 {
        return Ok(maps.clone());
    }
    let flat = maps.reshape([rows, height * width * channels])?.repeat_rows(times)?;
    flat.reshape([rows * times, height, width, channels])
}
