//! Convolutions with SAME padding or none, and transposed ones: each is the other's adjoint, so
//! that three primitives serve both.
//!
//! Feature maps are `[batch, height, width, channel]`; a transposed convolution's weight has its
//! output channels third, as the convolution has whose adjoint it is.

use rung_kernels::backend::{Convolution, Padding};
use rung_kernels::{AxisExtent, DType, Device, Error, Reduction, Result, Shape, ViewMut};
use smallvec::smallvec;

use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{Case, Declaration, Operation, Refused, Saves, Shapes, apply_one};
use crate::tensor::Tensor;

/// out = x * weight (+ bias):  grad_x is the transposed convolution of grad_out, grad_weight sums
/// x·grad_out over positions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conv2d {
    stride: usize,
    padding: Padding,
}

/// The adjoint of [`Conv2d`] in x (+ bias): grad_x is the convolution of grad_out, grad_weight sums
/// grad_out·x over positions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvTranspose2d {
    stride: usize,
}

/// Four sizes.
fn four(shape: &Shape) -> Option<[usize; 4]> {
    shape.sizes().try_into().ok()
}

/// Refuses a bias that is not one number for each of the output's channels.
fn check_bias(operation: &'static str, inputs: &[&Tensor], out_channels: usize) -> Result<()> {
    match inputs.get(2).map(|bias| bias.shape) {
        Some(bias) if bias.sizes() != [out_channels] => Err(Error::shape(
            operation,
            "bias must be [out]",
            &[("weight", inputs[1].shape), ("bias", bias)],
        )),
        _ => Ok(()),
    }
}

/// The gradient of a bias: the sum of all positions.
fn emit_bias(adjoint: &mut Adjoint<'_>) -> Result<()> {
    let (device, grad_out) = (adjoint.device(), adjoint.grad_out());
    let (rows, columns) = grad_out.shape.as_matrix();
    let extent = AxisExtent { outer: 1, axis: rows, inner: columns };
    adjoint.emit(2, |grad_bias| device.reduce(Reduction::Sum, extent, grad_out.view(), grad_bias))
}

impl Conv2d {
    fn sizes(&self, x: &Shape, weight: &Shape) -> Result<Convolution> {
        let refused =
            |rule: &str| Err(Error::shape(self.name(), rule, &[("x", *x), ("weight", *weight)]));
        let (
            Some([batch, height, width, channels]),
            Some([rows, columns, in_channels, out_channels]),
        ) = (four(x), four(weight))
        else {
            return refused(
                "x must be [batch, height, width, in] and weight [height, width, in, out]",
            );
        };
        if channels != in_channels {
            return refused(&format!("x has {channels} channels, the weight takes {in_channels}"));
        }
        check_stride(self.name(), self.stride, [rows, columns])?;
        let Self { stride, padding } = *self;
        let (input, kernel) = ([height, width], [rows, columns]);
        if padding == Padding::Valid && (rows > height || columns > width) {
            return refused(&format!(
                "a kernel of {rows} × {columns} does not fit into a map of {height} × {width}"
            ));
        }
        Ok(Convolution { batch, input, in_channels, out_channels, kernel, stride, padding })
    }
}

/// Refuses a stride or a kernel of nothing, before shapes are made of them.
fn check_stride(operation: &'static str, stride: usize, kernel: [usize; 2]) -> Result<()> {
    if stride > 0 && !kernel.contains(&0) {
        return Ok(());
    }
    let what = format!(
        "the stride is {stride} and the kernel {} × {}; none may be 0",
        kernel[0], kernel[1]
    );
    Err(Error::argument(operation, what))
}

impl Operation for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let sizes = self.sizes(&inputs[0].shape, &inputs[1].shape)?;
        check_bias(self.name(), inputs, sizes.out_channels)?;
        let [height, width] = sizes.output();
        Ok(smallvec![Shape::from([sizes.batch, height, width, sizes.out_channels])])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let (x, weight) = (inputs[0], inputs[1]);
        let bias = inputs.get(2).map(|bias| bias.view());
        x.device.conv2d(
            self.sizes(&x.shape, &weight.shape)?,
            x.view(),
            weight.view(),
            bias,
            outputs[0].reborrow(),
        )
    }

    fn saves(&self) -> Saves {
        Saves::inputs([0, 1])
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, x, weight, grad_out) =
            (adjoint.device(), adjoint.saved(0), adjoint.saved(1), adjoint.grad_out());
        let sizes = self.sizes(&x.shape, &weight.shape)?;
        adjoint.emit(0, |grad_x| {
            device.conv2d_transpose(sizes, grad_out.view(), weight.view(), None, grad_x)
        })?;
        adjoint.emit(1, |grad_weight| {
            device.conv2d_weight_gradient(sizes, x.view(), grad_out.view(), grad_weight)
        })?;
        emit_bias(adjoint)
    }

    fn declarations() -> Vec<Declaration> {
        vec![
            Declaration {
                name: "conv2d",
                case: |rng| {
                    convolution_case(
                        rng,
                        "conv2d",
                        |[channels, outputs]| [channels, outputs],
                        |x, w, b, s| x.conv2d(w, b, s),
                        |kernel, _| kernel,
                    )
                },
                refused: || {
                    vec![
                        Refused {
                            call: |device| {
                                call(device, [2, 4, 4, 3], [3, 3, 2, 5], None, 1, Tensor::conv2d)
                            },
                            message: "x has 3 channels, the weight takes 2",
                        },
                        Refused {
                            call: |device| {
                                call(device, [2, 4, 4, 3], [3, 3, 3, 5], Some(3), 1, Tensor::conv2d)
                            },
                            message: "bias must be [out]",
                        },
                        Refused {
                            call: |device| {
                                call(device, [2, 4, 4, 3], [3, 3, 3, 5], None, 0, Tensor::conv2d)
                            },
                            message: "the stride is 0",
                        },
                        Refused {
                            call: |device| {
                                let (x, w) = (zeros(device, [4, 3])?, zeros(device, [3, 3, 3, 5])?);
                                x.conv2d(&w, None, 1).map(drop)
                            },
                            message: "x must be [batch, height, width, in]",
                        },
                    ]
                },
            },
            Declaration {
                name: "conv2d_valid",
                case: |rng| {
                    let method: Method = |x, w, b, s| x.conv2d_valid(w, b, s);
                    convolution_case(rng, "conv2d_valid", |channels| channels, method, usize::min)
                },
                refused: || {
                    let too_large = |device: &Device| {
                        call(device, [2, 4, 4, 3], [3, 5, 3, 5], None, 1, Tensor::conv2d_valid)
                    };
                    vec![Refused {
                        call: too_large,
                        message: "3 × 5 does not fit into a map of 4 × 4",
                    }]
                },
            },
        ]
    }
}

impl ConvTranspose2d {
    /// The convolution whose adjoint this is: from this one's output to its input.
    fn sizes(&self, x: &Shape, weight: &Shape) -> Result<Convolution> {
        let refused =
            |rule: &str| Err(Error::shape(self.name(), rule, &[("x", *x), ("weight", *weight)]));
        let (
            Some([batch, height, width, channels]),
            Some([rows, columns, out_channels, in_channels]),
        ) = (four(x), four(weight))
        else {
            return refused(
                "x must be [batch, height, width, in] and weight [height, width, out, in]",
            );
        };
        if channels != in_channels {
            return refused(&format!("x has {channels} channels, the weight takes {in_channels}"));
        }
        check_stride(self.name(), self.stride, [rows, columns])?;
        let input = [height, width].map(|size| size.saturating_mul(self.stride));
        let (in_channels, out_channels) = (out_channels, in_channels);
        Ok(Convolution {
            batch,
            input,
            in_channels,
            out_channels,
            kernel: [rows, columns],
            stride: self.stride,
            padding: Padding::Same,
        })
    }
}

impl Operation for ConvTranspose2d {
    fn name(&self) -> &'static str {
        "conv_transpose2d"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let sizes = self.sizes(&inputs[0].shape, &inputs[1].shape)?;
        check_bias(self.name(), inputs, sizes.in_channels)?;
        let [height, width] = sizes.input;
        Ok(smallvec![Shape::from([sizes.batch, height, width, sizes.in_channels])])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let (x, weight) = (inputs[0], inputs[1]);
        let (sizes, bias) =
            (self.sizes(&x.shape, &weight.shape)?, inputs.get(2).map(|bias| bias.view()));
        x.device.conv2d_transpose(sizes, x.view(), weight.view(), bias, outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        Saves::inputs([0, 1])
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, x, weight, grad_out) =
            (adjoint.device(), adjoint.saved(0), adjoint.saved(1), adjoint.grad_out());
        let sizes = self.sizes(&x.shape, &weight.shape)?;
        adjoint
            .emit(0, |grad_x| device.conv2d(sizes, grad_out.view(), weight.view(), None, grad_x))?;
        adjoint.emit(1, |grad_weight| {
            device.conv2d_weight_gradient(sizes, grad_out.view(), x.view(), grad_weight)
        })?;
        emit_bias(adjoint)
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "conv_transpose2d",
            case: |rng| {
                let channels_last = |[channels, outputs]: [usize; 2]| [outputs, channels];
                let method: Method = |x, w, b, s| x.conv_transpose2d(w, b, s);
                convolution_case(rng, "conv_transpose2d", channels_last, method, |kernel, _| kernel)
            },
            refused: || {
                vec![
                    Refused {
                        call: |device| {
                            call(
                                device,
                                [2, 4, 4, 3],
                                [3, 3, 3, 5],
                                None,
                                1,
                                Tensor::conv_transpose2d,
                            )
                        },
                        message: "x has 3 channels, the weight takes 5",
                    },
                    Refused {
                        call: |device| {
                            call(
                                device,
                                [2, 4, 4, 3],
                                [3, 3, 5, 3],
                                Some(3),
                                2,
                                Tensor::conv_transpose2d,
                            )
                        },
                        message: "bias must be [out]",
                    },
                    Refused {
                        call: |device| {
                            call(
                                device,
                                [2, 4, 4, 3],
                                [0, 3, 5, 3],
                                None,
                                1,
                                Tensor::conv_transpose2d,
                            )
                        },
                        message: "the kernel 0 × 3",
                    },
                ]
            },
        }]
    }
}

type Method = fn(&Tensor, &Tensor, Option<&Tensor>, usize) -> Result<Tensor>;

/// A map, a weight with its channels in the order that `channel_axes` makes of [in, out], whose
/// sides `fit` makes of those drawn and the map's, and now and then a bias.
fn convolution_case(
    rng: &mut rung_kernels::rng::Philox,
    name: &'static str,
    channel_axes: fn([usize; 2]) -> [usize; 2],
    method: Method,
    fit: fn(usize, usize) -> usize,
) -> Case {
    use rand::RngExt;
    let (batch, height, width) =
        (rng.random_range(0..3), draw::size(rng).min(7), draw::size(rng).min(7));
    let (channels, outputs) = (draw::size(rng).min(5), draw::size(rng).min(5));
    let (rows, columns, stride) =
        (rng.random_range(1..6), rng.random_range(1..6), rng.random_range(1..4));
    let (rows, columns) = (fit(rows, height), fit(columns, width));
    let [third, fourth] = channel_axes([channels, outputs]);
    let mut inputs = vec![
        draw::uniform(rng, [batch, height, width, channels], -2.0, 2.0),
        draw::uniform(rng, [rows, columns, third, fourth], -2.0, 2.0),
    ];
    let with_bias: bool = rng.random();
    inputs.extend(with_bias.then(|| draw::uniform(rng, [outputs], -2.0, 2.0)));
    draw::case(format!("{name} with stride {stride}"), inputs, move |x| {
        method(&x[0], &x[1], x.get(2), stride)
    })
}

fn zeros(device: &Device, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::zeros(device, DType::F64, shape)
}

/// The operation on zeros of these shapes.
fn call(
    device: &Device,
    x: [usize; 4],
    weight: [usize; 4],
    bias: Option<usize>,
    stride: usize,
    method: Method,
) -> Result<()> {
    let bias = bias.map(|len| zeros(device, [len])).transpose()?;
    method(&zeros(device, x)?, &zeros(device, weight)?, bias.as_ref(), stride).map(drop)
}

impl Tensor {
    /// The convolution of a map `[batch, height, width, in]` with a weight
    /// `[kernel height, kernel width, in, out]`, plus a bias for each channel.
    ///
    /// `out[n, p, q, o] = Σ_{a,b,c} x[n, p·s + a − p₀, q·s + b − q₀, c] · weight[a, b, c, o] +
    /// bias[o]`, x being 0 outside of the map.
    ///
    /// With SAME padding an axis of n positions gives ⌈n/s⌉, and P = max(0, (⌈n/s⌉ − 1)·s + k − n)
    /// zeros are added, p₀ = ⌊P/2⌋ of them before the first: where P is odd, the additional zero
    /// comes last (TensorFlow's convention).
    ///
    /// **Cost.** 2·batch·⌈h/s⌉·⌈w/s⌉·k²·in·out operations each way and operand. A kernel of 1 × 1,
    /// or a map of one position, is a plain product.
    ///
    /// # Errors
    /// `Shape` if an operand has not four axes, the channels differ, or the bias is not one number
    /// for each; `Argument` if the stride or the kernel is 0.
    ///
    /// # Example
    /// ```
    /// # use rung_autograd::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let x = Tensor::from_f64(&cpu, &[1.0, 2.0, 3.0, 4.0], [1, 1, 4, 1])?;
    /// let weight = Tensor::from_f64(&cpu, &[100.0, 10.0, 1.0], [1, 3, 1, 1])?;
    /// assert_eq!(x.conv2d(&weight, None, 1)?.to_f64()?, [12.0, 123.0, 234.0, 340.0]);
    /// assert_eq!(x.conv2d(&weight, None, 2)?.to_f64()?, [123.0, 340.0]);
    /// # Ok::<(), rung_autograd::Error>(())
    /// ```
    pub fn conv2d(&self, weight: &Self, bias: Option<&Self>, stride: usize) -> Result<Self> {
        self.convolved(Conv2d { stride, padding: Padding::Same }, weight, bias)
    }

    /// The convolution of [`Tensor::conv2d`] where the whole kernel lies within the map ("valid"):
    /// an axis of n positions gives ⌊(n − k)/s⌋ + 1.
    ///
    /// `out[n, p, q, o] = Σ_{a,b,c} x[n, p·s + a, q·s + b, c] · weight[a, b, c, o] + bias[o]`
    ///
    /// # Errors
    /// As [`Tensor::conv2d`], and `Shape` if the kernel is larger than the map.
    ///
    /// # Example
    /// ```
    /// # use rung_autograd::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let x = Tensor::from_f64(&cpu, &[1.0, 2.0, 3.0, 4.0], [1, 1, 4, 1])?;
    /// let weight = Tensor::from_f64(&cpu, &[100.0, 10.0, 1.0], [1, 3, 1, 1])?;
    /// assert_eq!(x.conv2d_valid(&weight, None, 1)?.to_f64()?, [123.0, 234.0]);
    /// # Ok::<(), rung_autograd::Error>(())
    /// ```
    pub fn conv2d_valid(&self, weight: &Self, bias: Option<&Self>, stride: usize) -> Result<Self> {
        self.convolved(Conv2d { stride, padding: Padding::Valid }, weight, bias)
    }

    fn convolved(&self, convolution: Conv2d, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        match bias {
            Some(bias) => apply_one(convolution, &[self, weight, bias]),
            None => apply_one(convolution, &[self, weight]),
        }
    }

    /// The transposed convolution of a map `[batch, height, width, in]` with a weight
    /// `[kernel height, kernel width, out, in]`, plus a bias for each channel: exactly the adjoint
    /// of [`Tensor::conv2d`] from `[height·s, width·s]` to `[height, width]` with the same weight
    /// and stride.
    ///
    /// `out[n, h, w, o] = Σ x[n, p, q, c] · weight[a, b, o, c] + bias[o]` over all
    /// `p·s + a − p₀ = h`, `q·s + b − q₀ = w` and c.
    ///
    /// # Errors
    /// As [`Tensor::conv2d`].
    ///
    /// # Example
    /// ```
    /// # use rung_autograd::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let x = Tensor::from_f64(&cpu, &[1.0, 2.0], [1, 1, 2, 1])?;
    /// let weight = Tensor::from_f64(&cpu, &[100.0, 10.0, 1.0], [1, 3, 1, 1])?;
    /// // A kernel of one row reaches the upper of the two rows that each row becomes.
    /// let out = x.conv_transpose2d(&weight, None, 2)?;
    /// assert_eq!(out.to_f64()?, [100.0, 10.0, 201.0, 20.0, 0.0, 0.0, 0.0, 0.0]);
    /// # Ok::<(), rung_autograd::Error>(())
    /// ```
    pub fn conv_transpose2d(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        stride: usize,
    ) -> Result<Self> {
        match bias {
            Some(bias) => apply_one(ConvTranspose2d { stride }, &[self, weight, bias]),
            None => apply_one(ConvTranspose2d { stride }, &[self, weight]),
        }
    }
}
