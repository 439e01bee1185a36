//! Matrix products: of two matrices in the four transposition forms, of a batch with a layer's
//! weights, and the transpose.

use rung_kernels::backend::Matrix;
use rung_kernels::{AxisExtent, Error, MatmulShape, Reduction, Result, Shape, ViewMut};
use smallvec::smallvec;

use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Refused, Saves, Shapes, apply_one};
use crate::tensor::Tensor;

/// out = op(left) · op(right), op transposing the stored matrix where its flag is set. With C =
/// op(A) op(B) and G = grad_out: grad of op(A) = G op(B)ᵀ, grad of op(B) = op(A)ᵀ G, each
/// transposed back if its flag is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matmul {
    left_transposed: bool,
    right_transposed: bool,
}

impl Matmul {
    /// The product of two matrices of these shapes, or `None` if one is not a matrix or the inner
    /// sizes differ.
    fn product(&self, left: &Shape, right: &Shape) -> Option<MatmulShape> {
        let (&[l0, l1], &[r0, r1]) = (left.sizes(), right.sizes()) else { return None };
        let (rows, inner) = if self.left_transposed { (l1, l0) } else { (l0, l1) };
        let (right_inner, columns) = if self.right_transposed { (r1, r0) } else { (r0, r1) };
        let Self { left_transposed, right_transposed } = *self;
        (inner == right_inner).then_some(MatmulShape {
            rows,
            columns,
            inner,
            left_transposed,
            right_transposed,
        })
    }

    fn refuse(&self, left: Shape, right: Shape) -> Error {
        let operands = [("left", left), ("right", right)];
        let (&[l0, l1], &[r0, r1]) = (left.sizes(), right.sizes()) else {
            return Error::shape(self.name(), "both operands must be matrices", &operands);
        };
        let (inner, right_inner) = (
            if self.left_transposed { l0 } else { l1 },
            if self.right_transposed { r1 } else { r0 },
        );
        let forms = [
            (false, false, "matmul"),
            (true, false, "matmul_tn"),
            (false, true, "matmul_nt"),
            (true, true, "matmul_tt"),
        ];
        let fits = |&&(left_transposed, right_transposed, _): &&(bool, bool, &str)| {
            Self { left_transposed, right_transposed }.product(&left, &right).is_some()
        };
        let guess = forms
            .iter()
            .find(fits)
            .map_or(String::new(), |(_, _, name)| format!(" (did you mean {name}?)"));
        Error::shape(
            self.name(),
            format!("inner sizes differ, {inner} against {right_inner}{guess}"),
            &operands,
        )
    }
}

impl Operation for Matmul {
    fn name(&self) -> &'static str {
        match (self.left_transposed, self.right_transposed) {
            (false, false) => "matmul",
            (true, false) => "matmul_tn",
            (false, true) => "matmul_nt",
            (true, true) => "matmul_tt",
        }
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let (left, right) = (inputs[0].shape, inputs[1].shape);
        let product = self.product(&left, &right).ok_or_else(|| self.refuse(left, right))?;
        Ok(smallvec![Shape::from([product.rows, product.columns])])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let (left, right) = (inputs[0], inputs[1]);
        let product = self
            .product(&left.shape, &right.shape)
            .ok_or_else(|| self.refuse(left.shape, right.shape))?;
        left.device.matmul(
            product,
            left.device.precision(),
            left.view(),
            right.view(),
            None,
            outputs[0].reborrow(),
        )
    }

    fn saves(&self) -> Saves {
        Saves::inputs([0, 1])
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, left, right, grad_out) =
            (adjoint.device(), adjoint.saved(0), adjoint.saved(1), adjoint.grad_out());
        let product = self
            .product(&left.shape, &right.shape)
            .ok_or_else(|| self.refuse(left.shape, right.shape))?;
        let MatmulShape { rows, columns, inner, left_transposed, right_transposed } = product;
        adjoint.emit(0, |grad_left| {
            if left_transposed {
                let shape = MatmulShape {
                    rows: inner,
                    columns: rows,
                    inner: columns,
                    left_transposed: right_transposed,
                    right_transposed: true,
                };
                device.matmul(
                    shape,
                    device.precision(),
                    right.view(),
                    grad_out.view(),
                    None,
                    grad_left,
                )
            } else {
                let shape = MatmulShape {
                    rows,
                    columns: inner,
                    inner: columns,
                    left_transposed: false,
                    right_transposed: !right_transposed,
                };
                device.matmul(
                    shape,
                    device.precision(),
                    grad_out.view(),
                    right.view(),
                    None,
                    grad_left,
                )
            }
        })?;
        adjoint.emit(1, |grad_right| {
            if right_transposed {
                let shape = MatmulShape {
                    rows: columns,
                    columns: inner,
                    inner: rows,
                    left_transposed: true,
                    right_transposed: left_transposed,
                };
                device.matmul(
                    shape,
                    device.precision(),
                    grad_out.view(),
                    left.view(),
                    None,
                    grad_right,
                )
            } else {
                let shape = MatmulShape {
                    rows: inner,
                    columns,
                    inner: rows,
                    left_transposed: !left_transposed,
                    right_transposed: false,
                };
                device.matmul(
                    shape,
                    device.precision(),
                    left.view(),
                    grad_out.view(),
                    None,
                    grad_right,
                )
            }
        })
    }

    fn declarations() -> Vec<Declaration> {
        macro_rules! form {
            ($name:literal, $method:ident, $left:expr, $right:expr) => {
                Declaration {
                    name: $name,
                    case: |rng| {
                        let (m, n, k) =
                            (draw::size_or_zero(rng), draw::size(rng), draw::size_or_zero(rng));
                        let (left, right): ([usize; 2], [usize; 2]) = ($left(m, k), $right(k, n));
                        let inputs = vec![
                            draw::uniform(rng, left, -2.0, 2.0),
                            draw::uniform(rng, right, -2.0, 2.0),
                        ];
                        draw::case($name, inputs, |x| x[0].$method(&x[1]))
                    },
                    refused: || {
                        vec![
                            Refused {
                                call: |device| product_of(device, Tensor::$method, [2, 3], [5, 7]),
                                message: "inner sizes differ",
                            },
                            Refused {
                                call: |device| vector_product(device, Tensor::$method),
                                message: "both operands must be matrices",
                            },
                        ]
                    },
                }
            };
        }
        vec![
            form!("matmul", matmul, |m, k| [m, k], |k, n| [k, n]),
            form!("matmul_tn", matmul_tn, |m, k| [k, m], |k, n| [k, n]),
            form!("matmul_nt", matmul_nt, |m, k| [m, k], |k, n| [n, k]),
            form!("matmul_tt", matmul_tt, |m, k| [k, m], |k, n| [n, k]),
        ]
    }
}

type Product = fn(&Tensor, &Tensor) -> Result<Tensor>;

fn product_of(
    device: &rung_kernels::Device,
    method: Product,
    left: [usize; 2],
    right: [usize; 2],
) -> Result<()> {
    let zeros = |shape| Tensor::zeros(device, rung_kernels::DType::F64, shape);
    method(&zeros(left)?, &zeros(right)?).map(drop)
}

fn vector_product(device: &rung_kernels::Device, method: Product) -> Result<()> {
    let x = Tensor::from_f64(device, &[1.0, 2.0], [2])?;
    method(&x, &x).map(drop)
}

/// out = x · weight (+ bias):  grad_x = grad_out · weightᵀ,  grad_weight = xᵀ · grad_out,
/// grad_bias = Σ_rows grad_out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear;

impl Linear {
    fn product(x: &Shape, weight: &Shape) -> MatmulShape {
        let (rows, inner) = x.as_matrix();
        MatmulShape {
            rows,
            columns: weight.last(),
            inner,
            left_transposed: false,
            right_transposed: false,
        }
    }
}

impl Operation for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let (x, weight) = (inputs[0].shape, inputs[1].shape);
        if x.rank() != 2 || weight.rank() != 2 || x.last() != weight.sizes()[0] {
            let rule = "x must be [batch, in] and weight [in, out]";
            return Err(Error::shape(self.name(), rule, &[("x", x), ("weight", weight)]));
        }
        match inputs.get(2).map(|bias| bias.shape) {
            Some(bias) if bias.sizes() != [weight.last()] => Err(Error::shape(
                self.name(),
                "bias must be [out]",
                &[("weight", weight), ("bias", bias)],
            )),
            _ => Ok(smallvec![Shape::from([x.sizes()[0], weight.last()])]),
        }
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let (x, weight) = (inputs[0], inputs[1]);
        let bias = inputs.get(2).map(|bias| bias.view());
        x.device.matmul(
            Self::product(&x.shape, &weight.shape),
            x.device.precision(),
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
        let MatmulShape { rows, columns, inner, .. } = Self::product(&x.shape, &weight.shape);
        let shape = MatmulShape {
            rows,
            columns: inner,
            inner: columns,
            left_transposed: false,
            right_transposed: true,
        };
        let added = adjoint.add_in_place([0], |[grad_x]| {
            device.matmul_accumulate(
                shape,
                device.precision(),
                grad_out.view(),
                weight.view(),
                grad_x,
            )
        })?;
        if !added {
            adjoint.emit(0, |grad_x| {
                device.matmul(
                    shape,
                    device.precision(),
                    grad_out.view(),
                    weight.view(),
                    None,
                    grad_x,
                )
            })?;
        }
        adjoint.emit(1, |grad_weight| {
            let shape = MatmulShape {
                rows: inner,
                columns,
                inner: rows,
                left_transposed: true,
                right_transposed: false,
            };
            device.matmul(shape, device.precision(), x.view(), grad_out.view(), None, grad_weight)
        })?;
        adjoint.emit(2, |grad_bias| {
            let extent = AxisExtent { outer: 1, axis: rows, inner: columns };
            device.reduce(Reduction::Sum, extent, grad_out.view(), grad_bias)
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "linear",
            case: |rng| {
                use rand::RngExt;
                let (rows, inputs, outputs) =
                    (draw::size_or_zero(rng), draw::size(rng), draw::size(rng));
                let with_bias: bool = rng.random();
                let mut operands = vec![
                    draw::uniform(rng, [rows, inputs], -2.0, 2.0),
                    draw::uniform(rng, [inputs, outputs], -2.0, 2.0),
                ];
                operands.extend(with_bias.then(|| draw::uniform(rng, [outputs], -2.0, 2.0)));
                draw::case("linear", operands, |x| x[0].linear(&x[1], x.get(2)))
            },
            refused: || {
                vec![
                    Refused {
                        call: |device| product_of(device, |x, w| x.linear(w, None), [2, 3], [4, 5]),
                        message: "weight [in, out]",
                    },
                    Refused {
                        call: |device| {
                            product_of(device, |x, w| x.linear(w, Some(x)), [2, 3], [3, 5])
                        },
                        message: "bias must be [out]",
                    },
                ]
            },
        }]
    }
}

/// out[b, j, i] = x[b, i, j]: the last two axes exchanged;  grad_x is grad_out with them exchanged
/// back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transpose;

impl Transpose {
    fn sizes(shape: &Shape) -> (usize, Matrix) {
        let (rows, columns) = (shape.from_last(2), shape.from_last(1));
        (shape.sizes()[..shape.rank() - 2].iter().product(), Matrix { rows, columns })
    }
}

impl Operation for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let shape = inputs[0].shape;
        if shape.rank() < 2 {
            return Err(Error::shape(self.name(), "at least two axes are needed", &[("x", shape)]));
        }
        let last = shape.rank() - 1;
        Ok(smallvec![
            shape.with_axis(last, shape.sizes()[last - 1]).with_axis(last - 1, shape.sizes()[last])
        ])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let (batch, matrix) = Self::sizes(&inputs[0].shape);
        inputs[0].device.transpose(batch, matrix, inputs[0].view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, grad_out) = (adjoint.device(), adjoint.grad_out());
        let (batch, matrix) = Self::sizes(&grad_out.shape);
        adjoint.emit(0, |grad_x| device.transpose(batch, matrix, grad_out.view(), grad_x))
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "transpose",
            case: |rng| {
                let shape =
                    Shape::from([draw::size(rng).min(4), draw::size(rng), draw::size_or_zero(rng)]);
                draw::case("transpose", vec![draw::uniform(rng, shape, -2.0, 2.0)], |x| {
                    x[0].transpose()
                })
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    Tensor::from_f64(device, &[1.0], [1])?.transpose().map(drop)
                };
                vec![Refused { call, message: "at least two axes are needed" }]
            },
        }]
    }
}

macro_rules! products {
    ($($(#[$doc:meta])* $name:ident($left_transposed:literal, $right_transposed:literal);)*) => {
        impl Tensor {
            $($(#[$doc])*
            ///
            /// # Errors
            /// `Shape` if an operand is not a matrix or the inner sizes differ; `DType`, `Device`
            /// if the operands differ in those.
            pub fn $name(&self, right: &Self) -> Result<Self> {
                apply_one(Matmul { left_transposed: $left_transposed,
                    right_transposed: $right_transposed }, &[self, right])
            })*
        }
    };
}

products! {
    /// Product of `self` [m, k] and `right` [k, n].
    matmul(false, false);
    /// Product of `self`ᵀ, stored [k, m], and `right` [k, n].
    matmul_tn(true, false);
    /// Product of `self` [m, k] and `right`ᵀ, stored [n, k].
    matmul_nt(false, true);
    /// Product of `self`ᵀ, stored [k, m], and `right`ᵀ, stored [n, k].
    matmul_tt(true, true);
}

impl Tensor {
    /// A layer's affine map of each row: `x · weight + bias`, with x `[batch, in]`,
    /// weight `[in, out]`, bias `[out]`.
    ///
    /// # Errors
    /// `Shape` if the sizes do not fit; `DType`, `Device` if the operands differ in those.
    pub fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        match bias {
            Some(bias) => apply_one(Linear, &[self, weight, bias]),
            None => apply_one(Linear, &[self, weight]),
        }
    }

    /// The last two axes exchanged.
    ///
    /// # Errors
    /// `Shape` if there are fewer than two axes.
    pub fn transpose(&self) -> Result<Self> {
        apply_one(Transpose, &[self])
    }
}
