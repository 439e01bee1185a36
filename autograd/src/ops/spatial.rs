//! The spatial transformer (Jaderberg et al. 2015): where to read an image, from the numbers of an
//! affine transform, and what is there.

use rung_kernels::backend::{AffineGrid as Grid, Outside, Sampler};
use rung_kernels::rng::Philox;
use rung_kernels::{DType, Device, Error, Result, Shape, ViewMut};
use smallvec::smallvec;

use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{CaseInput, Declaration, Operation, Refused, Saves, Shapes, apply_one};
use crate::tensor::Tensor;

/// out = positions of a grid under θ, in pixels; grad_theta sums the adjoints of the positions
/// times (x, y, 1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct AffineGrid {
    source: [usize; 2],
    target: [usize; 2],
    outside: Outside,
}

/// out[r, p] = image at position p of row r; grad_image spreads grad_out over the four neighbours,
/// grad_grid is grad_out times the slopes of the image there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SampleBilinear {
    outside: Outside,
}

const ALL_OUTSIDE: [Outside; 3] = [Outside::Zeros, Outside::Border, Outside::PaperTime];

impl AffineGrid {
    fn sizes(&self, transforms: usize) -> Grid {
        let Self { source, target, outside } = *self;
        Grid { transforms, source, target, outside }
    }
}

impl Operation for AffineGrid {
    fn name(&self) -> &'static str {
        "affine_grid"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let theta = inputs[0].shape;
        let &[transforms, 6] = theta.sizes() else {
            return Err(Error::shape(
                self.name(),
                "theta must be [transforms, 6]",
                &[("theta", theta)],
            ));
        };
        let [height, width] = self.target;
        Ok(smallvec![Shape::from([transforms, height, width, 2])])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let theta = inputs[0];
        let sizes = self.sizes(theta.shape.sizes()[0]);
        theta.device.affine_grid(sizes, theta.view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, grad_out) = (adjoint.device(), adjoint.grad_out());
        let sizes = self.sizes(grad_out.shape.sizes()[0]);
        adjoint
            .emit(0, |grad_theta| device.affine_grid_backward(sizes, grad_out.view(), grad_theta))
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "affine_grid",
            case: |rng| {
                let (transforms, source) = (draw::size_or_zero(rng), sides(rng));
                let (target, outside) = (sides(rng), outside(rng));
                let inputs = vec![draw::uniform(rng, [transforms, 6], -2.0, 2.0)];
                let what = format!("affine_grid {source:?} to {target:?}, {outside:?}");
                draw::case(what, inputs, move |x| x[0].affine_grid(source, target, outside))
            },
            refused: || {
                let four = |device: &Device| {
                    let theta = Tensor::zeros(device, DType::F64, [2, 4])?;
                    theta.affine_grid([3, 3], [3, 3], Outside::Zeros).map(drop)
                };
                vec![Refused { call: four, message: "theta must be [transforms, 6]" }]
            },
        }]
    }
}

impl SampleBilinear {
    fn sizes(&self, image: &Shape, grid: &Shape) -> Result<Sampler> {
        let refused = |rule: &str| {
            Err(Error::shape(self.name(), rule, &[("image", *image), ("grid", *grid)]))
        };
        let &[images, height, width, channels] = image.sizes() else {
            return refused("the image must be [batch, height, width, channel]");
        };
        let &[rows, grid_height, grid_width, 2] = grid.sizes() else {
            return refused("the grid must be [rows, height, width, 2]");
        };
        let is_multiple = if images == 0 { rows == 0 } else { rows % images == 0 };
        if !is_multiple {
            return refused(&format!(
                "{rows} rows of positions are no multiple of {images} images"
            ));
        }
        if height * width == 0 && rows * grid_height * grid_width > 0 {
            return refused("there is no pixel to read");
        }
        Ok(Sampler {
            images,
            repeat: rows.checked_div(images).unwrap_or(0),
            source: [height, width],
            channels,
            positions: grid_height * grid_width,
            outside: self.outside,
        })
    }
}

impl Operation for SampleBilinear {
    fn name(&self) -> &'static str {
        "sample_bilinear"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let (image, grid) = (inputs[0].shape, inputs[1].shape);
        let channels = self.sizes(&image, &grid)?.channels;
        Ok(smallvec![grid.with_axis(3, channels)])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let (image, grid) = (inputs[0], inputs[1]);
        let sizes = self.sizes(&image.shape, &grid.shape)?;
        image.device.sample_bilinear(sizes, image.view(), grid.view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        Saves::inputs([0, 1])
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, image, grid, grad_out) =
            (adjoint.device(), adjoint.saved(0), adjoint.saved(1), adjoint.grad_out());
        let sizes = self.sizes(&image.shape, &grid.shape)?;
        adjoint.emit(0, |grad_image| {
            device.sample_bilinear_image_gradient(sizes, grid.view(), grad_out.view(), grad_image)
        })?;
        adjoint.emit(1, |grad_grid| {
            let (image, grid, grad_out) = (image.view(), grid.view(), grad_out.view());
            device.sample_bilinear_grid_gradient(sizes, image, grid, grad_out, grad_grid)
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "sample_bilinear",
            case: |rng| {
                use rand::RngExt;
                let (images, repeat) = (draw::size(rng).min(3), rng.random_range(0..4));
                let ([height, width], channels) = (sides(rng), draw::size(rng).min(4));
                let (target, outside) = (sides(rng), outside(rng));
                let rows = images * repeat;
                let grid = positions(rng, [rows, target[0], target[1], 2], [width, height]);
                let image = draw::uniform(rng, [images, height, width, channels], -2.0, 2.0);
                draw::case(format!("sample_bilinear {outside:?}"), vec![image, grid], move |x| {
                    x[0].sample_bilinear(&x[1], outside)
                })
            },
            refused: || {
                let other_rows = |device: &Device| sample(device, [2, 3, 3, 1], [3, 2, 2, 2]);
                let no_pair = |device: &Device| sample(device, [2, 3, 3, 1], [2, 2, 2, 3]);
                let no_map = |device: &Device| sample(device, [2, 9], [2, 2, 2, 2]);
                let no_pixel = |device: &Device| sample(device, [2, 0, 3, 1], [2, 2, 2, 2]);
                vec![
                    Refused { call: other_rows, message: "3 rows of positions are no multiple" },
                    Refused { call: no_pair, message: "the grid must be [rows, height, width, 2]" },
                    Refused { call: no_map, message: "the image must be [batch, height" },
                    Refused { call: no_pixel, message: "there is no pixel to read" },
                ]
            },
        }]
    }
}

/// Height and width of a small map.
fn sides(rng: &mut Philox) -> [usize; 2] {
    [draw::size(rng).min(6), draw::size(rng).min(6)]
}

fn outside(rng: &mut Philox) -> Outside {
    use rand::RngExt;
    ALL_OUTSIDE[rng.random_range(0..ALL_OUTSIDE.len())]
}

/// Positions inside and around an image of these sides, none near a whole pixel, where the
/// derivative jumps.
fn positions(rng: &mut Philox, shape: [usize; 4], sides: [usize; 2]) -> CaseInput {
    use rand::RngExt;
    let mut grid = draw::uniform(rng, shape, 0.1, 0.9);
    for (i, value) in grid.values.iter_mut().enumerate() {
        *value += f64::from(rng.random_range(-2..sides[i % 2] as i32 + 1));
    }
    grid
}

/// Samples of zeros at zeros, of these shapes.
fn sample(device: &Device, image: impl Into<Shape>, grid: impl Into<Shape>) -> Result<()> {
    let zeros = |shape: Shape| Tensor::zeros(device, DType::F64, shape);
    zeros(image.into())?.sample_bilinear(&zeros(grid.into())?, Outside::Zeros).map(drop)
}

impl Tensor {
    /// Positions `[transforms, height, width, 2]` (x, then y, in pixels) at which the affine
    /// transforms θ `[transforms, 6]` read an image of height and width `source` for a grid of
    /// height and width `target` (Jaderberg et al. 2015, eq. 1).
    ///
    /// A = [θ₁ θ₂ θ₃; θ₄ θ₅ θ₆] takes the normalised coordinates (x_j, y_i, 1) of the grid,
    /// x_j = −1 + 2j/(width − 1) (0 for one column), to those of the image, whose corner pixels
    /// have the coordinates ±1. The identity is (1, 0, 0, 0, 1, 0).
    ///
    /// Positions are pixels and not normalised coordinates because f32 has no room for both: at the
    /// right of an image of 100 pixels the latter are wrong by 3·10⁻⁶ of a pixel, while this
    /// identity reads the very pixels that are there.
    ///
    /// # Errors
    /// `Shape` if θ is not rows of six.
    ///
    /// # Example
    /// ```
    /// # use rung_autograd::{Device, Outside, Tensor};
    /// let theta = Tensor::from_f64(&Device::cpu(), &[0.5, 0.0, 0.5, 0.0, 1.0, 0.0], [1, 6])?;
    /// // The right half of a row of nine pixels, in three steps.
    /// let grid = theta.affine_grid([1, 9], [1, 3], Outside::Zeros)?;
    /// assert_eq!(grid.to_f64()?, [4.0, 0.0, 6.0, 0.0, 8.0, 0.0]);
    /// # Ok::<(), rung_autograd::Error>(())
    /// ```
    pub fn affine_grid(
        &self,
        source: [usize; 2],
        target: [usize; 2],
        outside: Outside,
    ) -> Result<Self> {
        apply_one(AffineGrid { source, target, outside }, &[self])
    }

    /// Bilinear interpolation of images `[batch, height, width, channel]` at the positions
    /// `[rows, height, width, 2]` of a grid (x, then y, in pixels): `[rows, height, width,
    /// channel]`. Row r reads image r div (rows/batch): the rows of an image lie one after the
    /// other.
    ///
    /// V = Σ_{n,m} image[n, m] · max(0, 1 − |x − m|) · max(0, 1 − |y − n|)   (Jaderberg et al.
    /// 2015, eq. 5)
    ///
    /// **Edges.** `outside` says what there is beyond the border. At a whole pixel V has a kink;
    /// the derivative is that to the right. A position that is NaN gives NaN.
    /// **Order.** The gradient of an image is summed in the order of the positions, on every device
    /// and any number of threads.
    ///
    /// # Errors
    /// `Shape` if the shapes are others, the rows no multiple of the images, or an image has no
    /// pixel.
    ///
    /// # Example
    /// ```
    /// # use rung_autograd::{Device, Outside, Tensor};
    /// let cpu = Device::cpu();
    /// let image = Tensor::from_f64(&cpu, &[1.0, 3.0, 5.0, 7.0], [1, 2, 2, 1])?;
    /// let grid = Tensor::from_f64(&cpu, &[0.5, 0.0, 0.5, 0.5, 1.5, 1.0], [1, 1, 3, 2])?;
    /// assert_eq!(image.sample_bilinear(&grid, Outside::Zeros)?.to_f64()?, [2.0, 4.0, 3.5]);
    /// assert_eq!(image.sample_bilinear(&grid, Outside::Border)?.to_f64()?, [2.0, 4.0, 7.0]);
    /// # Ok::<(), rung_autograd::Error>(())
    /// ```
    pub fn sample_bilinear(&self, grid: &Self, outside: Outside) -> Result<Self> {
        apply_one(SampleBilinear { outside }, &[self, grid])
    }

    /// The images `[batch, height, width, channel]` as the affine transforms θ `[rows, 6]` see
    /// them, each as a map of height and width `target`: [`Tensor::affine_grid`] and
    /// [`Tensor::sample_bilinear`] with one convention.
    ///
    /// # Errors
    /// As both.
    pub fn spatial_transform(
        &self,
        theta: &Self,
        target: [usize; 2],
        outside: Outside,
    ) -> Result<Self> {
        let &[_, height, width, _] = self.shape.sizes() else {
            let rule = "the image must be [batch, height, width, channel]";
            return Err(Error::shape("spatial_transform", rule, &[("image", self.shape)]));
        };
        self.sample_bilinear(&theta.affine_grid([height, width], target, outside)?, outside)
    }
}
