//! Pooling: means, made of reductions, and maxima.

use rung_kernels::backend::Pool2d;
use rung_kernels::{DType, Device, Error, Result, Shape, ViewMut};
use smallvec::smallvec;

use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Positions, Refused, Saves, Shapes, apply_one};
use crate::tensor::Tensor;

/// out = the largest element of each window;  grad_x = grad_out at the first of the largest, 0
/// elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxPool {
    size: usize,
}

impl MaxPool {
    fn sizes(&self, x: &Shape) -> Result<Pool2d> {
        let &[batch, height, width, channels] = x.sizes() else {
            let rule = "x must be [batch, height, width, channel]";
            return Err(Error::shape(self.name(), rule, &[("x", *x)]));
        };
        if self.size == 0 {
            return Err(Error::argument(self.name(), "a window needs a side of at least 1"));
        }
        Ok(Pool2d { batch, input: [height, width], channels, size: self.size })
    }
}

impl Operation for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let sizes = self.sizes(&inputs[0].shape)?;
        let [height, width] = sizes.output();
        Ok(smallvec![Shape::from([sizes.batch, height, width, sizes.channels])])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let x = inputs[0];
        x.device.max_pool2d(self.sizes(&x.shape)?, x.view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        Saves { outputs: Positions::of([0]), ..Saves::inputs([0]) }
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, x, out, grad_out) =
            (adjoint.device(), adjoint.saved(0), adjoint.saved(1), adjoint.grad_out());
        let sizes = self.sizes(&x.shape)?;
        adjoint.emit(0, |grad_x| {
            device.max_pool2d_backward(sizes, x.view(), out.view(), grad_out.view(), grad_x)
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "max_pool2d",
            case: |rng| {
                use rand::RngExt;
                let (batch, size) = (rng.random_range(0..3), rng.random_range(1..4));
                let (height, width) = (draw::size(rng).min(7), draw::size(rng).min(7));
                let shape = [batch, height, width, draw::size(rng).min(5)];
                let inputs = vec![draw::spread(rng, shape, 0.1)];
                draw::case(format!("max_pool2d {size}"), inputs, move |x| x[0].max_pool2d(size))
            },
            refused: || {
                let no_map = |device: &Device| {
                    Tensor::zeros(device, DType::F64, [2, 3])?.max_pool2d(2).map(drop)
                };
                let no_window = |device: &Device| {
                    Tensor::zeros(device, DType::F64, [1, 2, 2, 1])?.max_pool2d(0).map(drop)
                };
                vec![
                    Refused { call: no_map, message: "x must be [batch, height, width, channel]" },
                    Refused { call: no_window, message: "a side of at least 1" },
                ]
            },
        }]
    }
}

impl Tensor {
    /// The mean of each window of `size` × `size` positions of a map
    /// `[batch, height, width, channel]`; windows lie side by side.
    ///
    /// out[n, p, q, c] = 1/size² · Σ_{a,b} x[n, p·size + a, q·size + b, c];  grad_x =
    /// grad_out/size² of the window
    ///
    /// **Cost.** One pass over x and one over a `size`-th of it: means along two axes, which is
    /// what is recorded.
    ///
    /// # Errors
    /// `Shape` if x has not four axes, or its height or width is no multiple of `size`.
    ///
    /// # Example
    /// ```
    /// # use rung_autograd::{Device, Tensor};
    /// let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    /// let x = Tensor::from_f64(&Device::cpu(), &values, [1, 2, 4, 1])?;
    /// assert_eq!(x.average_pool2d(2)?.to_f64()?, [3.5, 5.5]);
    /// # Ok::<(), rung_autograd::Error>(())
    /// ```
    pub fn average_pool2d(&self, size: usize) -> Result<Self> {
        let refused =
            |rule: String| Err(Error::shape("average_pool2d", rule, &[("x", self.shape)]));
        let &[batch, height, width, channels] = self.shape.sizes() else {
            return refused("x must be [batch, height, width, channel]".to_owned());
        };
        if size == 0 || !height.is_multiple_of(size) || !width.is_multiple_of(size) {
            return refused(format!(
                "height and width must be multiples of the window, which is {size}"
            ));
        }
        let (rows, columns) = (height / size, width / size);
        let of_rows = self.reshape([batch * rows, size, width * channels])?.mean(1)?;
        of_rows
            .reshape([batch * rows * columns, size, channels])?
            .mean(1)?
            .reshape([batch, rows, columns, channels])
    }

    /// The largest element of each window of `size` × `size` positions of a map
    /// `[batch, height, width, channel]`; windows lie side by side, and the rows and columns after
    /// the last whole one are left out: n positions give ⌊n/size⌋.
    ///
    /// out[n, p, q, c] = max_{a,b} x[n, p·size + a, q·size + b, c]
    ///
    /// **Edges.** NaN if any is. Of several largest elements the first, row by row, has the
    /// gradient.
    /// **Cost.** One pass over x each way. Keeps x and out.
    ///
    /// # Errors
    /// `Shape` if x has not four axes; `Argument` if `size` is 0.
    ///
    /// # Example
    /// ```
    /// # use rung_autograd::{Device, Tensor};
    /// let x = Tensor::from_f64(&Device::cpu(), &[1.0, 2.0, 9.0, 5.0, 4.0, 9.0], [1, 2, 3, 1])?;
    /// assert_eq!(x.max_pool2d(2)?.to_f64()?, [5.0]);
    /// # Ok::<(), rung_autograd::Error>(())
    /// ```
    pub fn max_pool2d(&self, size: usize) -> Result<Self> {
        apply_one(MaxPool { size }, &[self])
    }
}
