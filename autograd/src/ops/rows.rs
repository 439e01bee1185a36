//! Choosing and repeating rows: the first axis is the rows, all others together the columns.

use rung_kernels::backend::Matrix;
use rung_kernels::{AxisExtent, DType, Error, Reduction, Result, Shape, ViewMut};
use smallvec::smallvec;

use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Refused, Saves, Shapes, apply_one};
use crate::tensor::Tensor;

/// The shape as rows and columns.
fn matrix(operation: &'static str, shape: &Shape) -> Result<Matrix> {
    match shape.sizes() {
        [] => Err(Error::shape(operation, "a scalar has no rows", &[("x", *shape)])),
        [rows, rest @ ..] => Ok(Matrix { rows: *rows, columns: rest.iter().product() }),
    }
}

/// out[r] = x[indices[r]];  grad_x[i] = Σ over r with indices[r] = i of grad_out[r].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gather;

impl Operation for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let (x, indices) = (inputs[0], inputs[1]);
        matrix(self.name(), &x.shape)?;
        if indices.dtype() != DType::U32 {
            let dtypes = vec![("indices", indices.dtype())];
            return Err(Error::DType {
                operation: self.name(),
                rule: "indices must be u32",
                dtypes,
            });
        }
        if indices.shape.rank() != 1 {
            return Err(Error::shape(
                self.name(),
                "indices must have one axis",
                &[("indices", indices.shape)],
            ));
        }
        Ok(smallvec![x.shape.with_axis(0, indices.shape.element_count())])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let columns = matrix(self.name(), &inputs[0].shape)?.columns;
        inputs[0].device.gather_rows(
            columns,
            inputs[0].view(),
            inputs[1].view(),
            outputs[0].reborrow(),
        )
    }

    fn saves(&self) -> Saves {
        Saves::inputs([1])
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, indices, grad_out) = (adjoint.device(), adjoint.saved(1), adjoint.grad_out());
        let columns = matrix(self.name(), &grad_out.shape)?.columns;
        adjoint.emit(0, |grad_x| {
            device.gather_rows_backward(columns, indices.view(), grad_out.view(), grad_x)
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "gather",
            case: |rng| {
                let (rows, columns, count) =
                    (draw::size(rng), draw::size(rng), draw::size_or_zero(rng));
                let inputs = vec![
                    draw::uniform(rng, [rows, columns], -2.0, 2.0),
                    draw::indices(rng, count, rows),
                ];
                draw::case("gather", inputs, |x| x[0].gather(&x[1]))
            },
            refused: || {
                let out_of_range = |device: &rung_kernels::Device| {
                    let x = Tensor::from_f64(device, &[0.0; 6], [2, 3])?;
                    x.gather(&Tensor::from_u32(device, &[0, 2], [2])?).map(drop)
                };
                let floats = |device: &rung_kernels::Device| {
                    let x = Tensor::from_f64(device, &[0.0; 6], [2, 3])?;
                    x.gather(&Tensor::from_f64(device, &[0.0], [1])?).map(drop)
                };
                vec![
                    Refused { call: out_of_range, message: "indices[1] is 2" },
                    Refused { call: floats, message: "indices must be u32" },
                ]
            },
        }]
    }
}

/// Each row `times` times in a row: out[r · times + t] = x[r]; grad_x[r] = Σ_t grad_out[r · times +
/// t].
#[derive(Clone, Copy, Debug)]
pub(crate) struct RepeatRows {
    times: usize,
}

impl Operation for RepeatRows {
    fn name(&self) -> &'static str {
        "repeat_rows"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let rows = matrix(self.name(), &inputs[0].shape)?.rows;
        Ok(smallvec![inputs[0].shape.with_axis(0, rows * self.times)])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let matrix = matrix(self.name(), &inputs[0].shape)?;
        inputs[0].device.repeat_rows(matrix, self.times, inputs[0].view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let Some(shape) = adjoint.input_shape(0) else { return Ok(()) };
        let (device, grad_out) = (adjoint.device(), adjoint.grad_out());
        let Matrix { rows, columns } = matrix(self.name(), &shape)?;
        let extent = AxisExtent { outer: rows, axis: self.times, inner: columns };
        adjoint.emit(0, |grad_x| device.reduce(Reduction::Sum, extent, grad_out.view(), grad_x))
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "repeat_rows",
            case: |rng| {
                let (rows, columns, times) =
                    (draw::size_or_zero(rng), draw::size(rng), draw::size(rng).min(5));
                let inputs = vec![draw::uniform(rng, [rows, columns], -2.0, 2.0)];
                draw::case(format!("repeat_rows {times} times"), inputs, move |x| {
                    x[0].repeat_rows(times)
                })
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    Tensor::zeros(device, DType::F64, Shape::SCALAR)?.repeat_rows(2).map(drop)
                };
                vec![Refused { call, message: "a scalar has no rows" }]
            },
        }]
    }
}

impl Tensor {
    /// The rows at `indices` (u32, one axis), in that order; a row may occur several times.
    ///
    /// # Errors
    /// `Argument` if an index is too large; `DType`, `Shape` if the indices are not u32 along one
    /// axis.
    pub fn gather(&self, indices: &Self) -> Result<Self> {
        apply_one(Gather, &[self, indices])
    }

    /// Each row `times` times in a row: how what exists once per image meets several samples of it.
    ///
    /// # Errors
    /// `Shape` if there is no axis.
    pub fn repeat_rows(&self, times: usize) -> Result<Self> {
        match times {
            1 => Ok(self.clone()),
            times => apply_one(RepeatRows { times }, &[self]),
        }
    }
}
