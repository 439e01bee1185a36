//! Declarations: max-pooling and spatial transformers, and their sizes.

use crate::shape::Matrix;
use crate::view::{View, ViewMut};
use crate::{Error, Result};

/// Windows of `size` × `size` positions side by side, over maps `[batch, height, width, channel]`.
///
/// An axis of n positions has ⌊n/size⌋ windows; the rows and columns after the last whole one
/// belong to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Images.
    pub batch: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Channels of both maps.
    pub channels: usize,
    /// Side of a window, and positions from one to the next.
    pub size: usize,
}

impl Pool2d {
    /// Height and width of the output.
    #[must_use]
    pub fn output(&self) -> [usize; 2] {
        self.input.map(|size| size / self.size.max(1))
    }

    /// The input as rows of channels.
    #[must_use]
    pub fn input_matrix(&self) -> Matrix {
        self.map(self.input)
    }

    /// The output as rows of channels.
    #[must_use]
    pub fn output_matrix(&self) -> Matrix {
        self.map(self.output())
    }

    const fn map(&self, [height, width]: [usize; 2]) -> Matrix {
        let rows = self.batch.saturating_mul(height).saturating_mul(width);
        Matrix { rows, columns: self.channels }
    }

    /// Refuses windows without positions.
    pub(crate) fn check(&self, operation: &'static str) -> Result<()> {
        if self.size > 0 {
            return Ok(());
        }
        Err(Error::argument(operation, "a window needs at least one position a side"))
    }
}

/// What a spatial transformer reads outside of the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outside {
    /// A neighbour outside counts as 0, with the weight that it has.
    #[default]
    Zeros,
    /// The nearest pixel of the border; the weights are those of the position itself.
    Border,
    /// The rule of the layer that the recurrent spatial transformer was trained with in 2015:
    /// [−1, 1] is mapped to [0, size], and a position before the first pixel, or at or behind the
    /// last one, gives 0 with a derivative of 0, so that the last row and column are never read.
    PaperTime,
}

impl Outside {
    /// Pixels that the normalised coordinates from −1 to 1 span along an axis.
    pub(crate) fn span(self, size: usize) -> f64 {
        match self {
            Self::Zeros | Self::Border => size.saturating_sub(1) as f64,
            Self::PaperTime => size as f64,
        }
    }
}

/// Sizes of affine sampling grids (Jaderberg et al. 2015, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AffineGrid {
    /// Transforms, each of which gives a grid.
    pub transforms: usize,
    /// Height and width of the image that is read.
    pub source: [usize; 2],
    /// Height and width of a grid.
    pub target: [usize; 2],
    /// Which pixels the normalised coordinates span.
    pub outside: Outside,
}

impl AffineGrid {
    /// The numbers of all transforms: a row of six each.
    #[must_use]
    pub const fn theta_matrix(&self) -> Matrix {
        Matrix { rows: self.transforms, columns: 6 }
    }

    /// Positions of a grid.
    #[must_use]
    pub const fn positions(&self) -> usize {
        self.target[0].saturating_mul(self.target[1])
    }

    /// The grids as rows of x and y.
    #[must_use]
    pub const fn grid_matrix(&self) -> Matrix {
        Matrix { rows: self.transforms.saturating_mul(self.positions()), columns: 2 }
    }

    /// What a kernel multiplies: `[step of x along a row, step of x down a column, middle of x]` of
    /// the image, and the same of y.
    ///
    /// With e pixels spanned along x, x_j = (2j − (W − 1))/(W − 1) and y_i alike, the position is
    /// e/2 · (1 + θ₁x_j + θ₂y_i + θ₃) = e/2 + θ₁ · (2j − (W − 1)) · e/(2(W − 1)) + …: counted from
    /// the middle, halves of whole pixels stay exact in f32, so that the identity reads exactly the
    /// pixels that are there.
    pub(crate) fn steps(&self) -> [[f64; 3]; 2] {
        let per_step = |span: f64, size: usize| match size {
            0 | 1 => 0.0,
            _ => span / (2.0 * (size - 1) as f64),
        };
        let [height, width] = self.target;
        // x first, then y.
        [self.source[1], self.source[0]].map(|size| {
            let span = self.outside.span(size);
            [per_step(span, width), per_step(span, height), span / 2.0]
        })
    }
}

/// Sizes of bilinear sampling: rows of positions, `repeat` of them one after the other for each
/// image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Images.
    pub images: usize,
    /// Rows of positions that read the same image.
    pub repeat: usize,
    /// Height and width of an image.
    pub source: [usize; 2],
    /// Channels of an image.
    pub channels: usize,
    /// Positions of a row.
    pub positions: usize,
    /// What is read outside.
    pub outside: Outside,
}

impl Sampler {
    /// The images as rows of channels.
    #[must_use]
    pub const fn image_matrix(&self) -> Matrix {
        let rows = self.images.saturating_mul(self.source[0]).saturating_mul(self.source[1]);
        Matrix { rows, columns: self.channels }
    }

    /// Positions that are read in all.
    #[must_use]
    pub const fn points(&self) -> usize {
        self.images.saturating_mul(self.repeat).saturating_mul(self.positions)
    }

    /// The positions as rows of x and y.
    #[must_use]
    pub const fn grid_matrix(&self) -> Matrix {
        Matrix { rows: self.points(), columns: 2 }
    }

    /// What is read, as rows of channels.
    #[must_use]
    pub const fn output_matrix(&self) -> Matrix {
        Matrix { rows: self.points(), columns: self.channels }
    }

    /// Refuses images without a pixel to read.
    pub(crate) fn check(&self, operation: &'static str) -> Result<()> {
        if self.points() == 0 || !self.source.contains(&0) {
            return Ok(());
        }
        let [height, width] = self.source;
        Err(Error::argument(operation, format!("an image of {height} × {width} has no pixel")))
    }
}

/// The declarations of [`Spatial`], given to the macro `$consumer`; see `backend.rs`.
macro_rules! spatial {
    ($consumer:ident!) => {
        $consumer! {
            /// Maxima of windows, and the spatial transformer: where to read an image, and what is
            /// there.
            trait Spatial;

            /// `out[n, p, q, c] = max_{a,b} x[n, p·s + a, q·s + b, c]` with s the side of a window,
            /// a and b below s; see [`Pool2d`]. NaN if any is.
            max_pool::max_pool2d(pool: Pool2d, x: View<'_>, out: ViewMut<'_>);

            /// grad_x of [`Spatial::max_pool2d`]: grad_out at the first position of a window that
            /// attains `out`, 0 elsewhere.
            max_pool::max_pool2d_backward(
                pool: Pool2d, x: View<'_>, out: View<'_>, grad_out: View<'_>,
                grad_x: ViewMut<'_>
            );

            /// Positions to read an image at, in pixels: with x_j = −1 + 2j/(W − 1) over the W
            /// columns of the grid (0 for one column), y_i alike over its rows, and e the pixels
            /// that [−1, 1] spans, which are those of the image less 1 ([`Outside`]),
            /// `out[n, i, j] = (e_x/2 · (1 + θ₁x_j + θ₂y_i + θ₃), e_y/2 · (1 + θ₄x_j + θ₅y_i +
            /// θ₆))` for the row θ of `theta`.
            sampler::affine_grid(grid: AffineGrid, theta: View<'_>, out: ViewMut<'_>);

            /// The adjoint of [`Spatial::affine_grid`]: `grad_theta[n] = e_x/2 · Σ_{i,j} g_x ·
            /// (x_j, y_i, 1)`, then the same of y, with `grad_out` = (g_x, g_y).
            sampler::affine_grid_backward(
                grid: AffineGrid, grad_out: View<'_>, grad_theta: ViewMut<'_>
            );

            /// Bilinear interpolation of image r div `repeat` at the positions (x, y) of row r:
            /// `out[r, p, c] = Σ_{a,b ∈ {0,1}} w_a(y) · w_b(x) · image[⌊y⌋ + a, ⌊x⌋ + b, c]` with
            /// w₁(x) = x − ⌊x⌋ and w₀ = 1 − w₁; [`Outside`] says what there is outside.
            sampler::sample_bilinear(
                sampler: Sampler, image: View<'_>, grid: View<'_>, out: ViewMut<'_>
            );

            /// The adjoint in the positions: `grad_grid[r, p] = Σ_c grad_out[r, p, c] · (∂out/∂x,
            /// ∂out/∂y)`, with ∂w₁ = 1 and ∂w₀ = −1: at a whole pixel, the derivative to the right.
            sampler::sample_bilinear_grid_gradient(
                sampler: Sampler, image: View<'_>, grid: View<'_>, grad_out: View<'_>,
                grad_grid: ViewMut<'_>
            );

            /// The adjoint in the image: each element of `grad_out`, times its weights, is added to
            /// the pixels that it was made of, in the order of the positions: the bits depend on
            /// neither threads nor luck.
            sampler::sample_bilinear_image_gradient(
                sampler: Sampler, grid: View<'_>, grad_out: View<'_>, grad_image: ViewMut<'_>
            );
        }
    };
}

pub(crate) use spatial;

spatial!(declare_trait!);
