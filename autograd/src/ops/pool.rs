//! Pooling, made of reductions.

use rung_kernels::{Error, Result};

use crate::tensor::Tensor;

impl Tensor {
    /// The mean of each window of `size` × `size` positions of a map
    /// `[batch, height, width, channel]`; windows lie side by side.
    ///
    /// out[n, p, q, c] = 1/size² · Σ_{a,b} x[n, p·size + a, q·size + b, c];  grad_x = grad_out/size² of the window
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
    /// let x = Tensor::from_f64(&Device::cpu(), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], [1, 2, 4, 1])?;
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
}
