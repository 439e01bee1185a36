//! The shape of a feature map, or of an image before it becomes one.

/// Height, width and channels of a feature map; in memory [row, height, width, channel].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapShape {
    /// Rows of positions.
    pub height: usize,
    /// Columns of positions.
    pub width: usize,
    /// Numbers at a position.
    pub channels: usize,
}

impl MapShape {
    /// Numbers in a map.
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

    /// The map that a transposed convolution with this stride makes of it.
    #[must_use]
    pub const fn enlarged(self, stride: usize) -> Self {
        Self { height: self.height * stride, width: self.width * stride, ..self }
    }
}
