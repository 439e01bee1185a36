//! Reshaping, slicing and concatenation.

use rung_kernels::{AxisExtent, Block, Error, Result, Shape, ViewMut};
use smallvec::{SmallVec, smallvec};

use super::draw;
use super::reduce::extent_of;
use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Refused, Saves, Shapes, apply_one};
use crate::tape::NODE_ROOM;
use crate::tensor::Tensor;

/// The same memory under another shape;  grad_x is grad_out under the old one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reshape {
    shape: Shape,
}

impl Operation for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let shape = inputs[0].shape;
        if shape.element_count() == self.shape.element_count() {
            return Ok(smallvec![self.shape]);
        }
        let rule = format!(
            "{} elements do not fill {}",
            shape.element_count(),
            self.shape.element_count()
        );
        Err(Error::shape(self.name(), rule, &[("x", shape), ("wanted", self.shape)]))
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        inputs[0].device.convert(inputs[0].view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn moves_only(&self) -> bool {
        true
    }

    fn alias(&self, _inputs: &[&Tensor]) -> Option<usize> {
        Some(0)
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let Some(shape) = adjoint.input_shape(0) else { return Ok(()) };
        let grad_x = Tensor { shape, ..adjoint.grad_out() };
        adjoint.emit_tensor(0, grad_x)
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "reshape",
            case: |rng| {
                let (a, b, c) = (draw::size(rng), draw::size_or_zero(rng), draw::size(rng).min(5));
                draw::case("reshape", vec![draw::uniform(rng, [a, b, c], -2.0, 2.0)], move |x| {
                    x[0].reshape([c * b, a])
                })
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    Tensor::from_f64(device, &[0.0; 6], [6])?.reshape([4]).map(drop)
                };
                vec![Refused { call, message: "6 elements do not fill 4" }]
            },
        }]
    }
}

/// out = x[.., start..start + len, ..] along an axis;  grad_x is grad_out there and 0 elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    axis: usize,
    start: usize,
    len: usize,
}

impl Slice {
    /// The rectangle this slice is of an array seen along its axis.
    const fn block(&self, extent: AxisExtent) -> Block {
        Block {
            rows: extent.outer,
            width: self.len * extent.inner,
            from_stride: extent.axis * extent.inner,
            from_offset: self.start * extent.inner,
            to_stride: self.len * extent.inner,
            to_offset: 0,
        }
    }
}

/// The same rectangle, copied the other way.
const fn reversed(block: Block) -> Block {
    let Block { rows, width, from_stride, from_offset, to_stride, to_offset } = block;
    Block {
        rows,
        width,
        from_stride: to_stride,
        from_offset: to_offset,
        to_stride: from_stride,
        to_offset: from_offset,
    }
}

impl Operation for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let shape = inputs[0].shape;
        let extent = extent_of(self.name(), &shape, self.axis)?;
        if self.start.checked_add(self.len).is_none_or(|end| end > extent.axis) {
            let rule = format!(
                "{} from {} leaves axis {} of size {}",
                self.len, self.start, self.axis, extent.axis
            );
            return Err(Error::shape(self.name(), rule, &[("x", shape)]));
        }
        Ok(smallvec![shape.with_axis(self.axis, self.len)])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let block = self.block(extent_of(self.name(), &inputs[0].shape, self.axis)?);
        inputs[0].device.copy_block(block, inputs[0].view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn moves_only(&self) -> bool {
        true
    }

    /// A slice of the outermost axis that varies lies in one piece, so it shares memory.
    fn alias(&self, inputs: &[&Tensor]) -> Option<usize> {
        let extent = inputs[0].shape.around(self.axis)?;
        (extent.outer == 1).then_some(self.start * extent.inner)
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let Some(shape) = adjoint.input_shape(0) else { return Ok(()) };
        let (device, grad_out) = (adjoint.device(), adjoint.grad_out());
        let block = reversed(self.block(extent_of(self.name(), &shape, self.axis)?));
        adjoint.emit(0, |mut grad_x| {
            device.fill(0.0, grad_x.reborrow())?;
            device.copy_block(block, grad_out.view(), grad_x)
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "slice",
            case: |rng| {
                use rand::RngExt;
                let shape = Shape::from([draw::size(rng), draw::size(rng), draw::size(rng).min(5)]);
                let axis = rng.random_range(0..3);
                let start = rng.random_range(0..=shape.sizes()[axis]);
                let len = rng.random_range(0..=shape.sizes()[axis] - start);
                let what = format!("slice {start}..{} of axis {axis}", start + len);
                draw::case(what, vec![draw::uniform(rng, shape, -2.0, 2.0)], move |x| {
                    x[0].slice(axis, start, len)
                })
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    Tensor::from_f64(device, &[0.0; 6], [2, 3])?.slice(1, 2, 2).map(drop)
                };
                vec![Refused { call, message: "2 from 2 leaves axis 1 of size 3" }]
            },
        }]
    }
}

/// Arrays joined along an axis;  grad of each is its slice of grad_out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Concat {
    axis: usize,
    /// Sizes of the parts along the axis; 0 beyond the last.
    sizes: [usize; NODE_ROOM],
    parts: usize,
}

impl Concat {
    /// The slice of the result that part `index` is.
    fn slice(&self, index: usize) -> Slice {
        Slice { axis: self.axis, start: self.sizes[..index].iter().sum(), len: self.sizes[index] }
    }
}

impl Operation for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let first = inputs[0].shape;
        extent_of(self.name(), &first, self.axis)?;
        for part in &inputs[1..] {
            let agrees = part.shape.rank() == first.rank()
                && part.shape.with_axis(self.axis, 0) == first.with_axis(self.axis, 0);
            if !agrees {
                let rule = format!("all sizes but that of axis {} must agree", self.axis);
                return Err(Error::shape(
                    self.name(),
                    rule,
                    &[("first", first), ("part", part.shape)],
                ));
            }
        }
        Ok(smallvec![first.with_axis(self.axis, self.sizes.iter().sum())])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let total = inputs[0].shape.with_axis(self.axis, self.sizes.iter().sum());
        let extent = extent_of(self.name(), &total, self.axis)?;
        for (index, part) in inputs.iter().enumerate() {
            let block = reversed(self.slice(index).block(extent));
            part.device.copy_block(block, part.view(), outputs[0].reborrow())?;
        }
        Ok(())
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, grad_out) = (adjoint.device(), adjoint.grad_out());
        let extent = extent_of(self.name(), &grad_out.shape, self.axis)?;
        for index in 0..self.parts {
            let block = self.slice(index).block(extent);
            adjoint
                .emit(index, |grad_part| device.copy_block(block, grad_out.view(), grad_part))?;
        }
        Ok(())
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "concat",
            case: |rng| {
                use rand::RngExt;
                let shape = Shape::from([draw::size(rng), draw::size(rng), draw::size(rng).min(5)]);
                let axis = rng.random_range(0..3);
                let parts = rng.random_range(1..=4);
                let part = |rng: &mut rung_kernels::rng::Philox| {
                    let size = draw::size_or_zero(rng);
                    draw::uniform(rng, shape.with_axis(axis, size), -2.0, 2.0)
                };
                let inputs = (0..parts).map(|_| part(rng)).collect();
                draw::case(format!("concat along axis {axis}"), inputs, move |x| {
                    concat(&x.iter().collect::<Vec<_>>(), axis)
                })
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    let (a, b) = (
                        Tensor::from_f64(device, &[0.0; 6], [2, 3])?,
                        Tensor::from_f64(device, &[0.0; 3], [3, 1])?,
                    );
                    concat(&[&a, &b], 1).map(drop)
                };
                vec![
                    Refused { call, message: "all sizes but that of axis 1 must agree" },
                    Refused { call: |_| concat(&[], 0).map(drop), message: "1 to 6 tensors" },
                ]
            },
        }]
    }
}

/// Tensors joined along `axis`; all other sizes must agree.
///
/// # Errors
/// `Shape` if they do not, `Argument` if there are no tensors or more than six; `DType`, `Device`
/// if they differ in those.
pub fn concat(parts: &[&Tensor], axis: usize) -> Result<Tensor> {
    if parts.is_empty() || parts.len() > NODE_ROOM {
        return Err(Error::argument(
            "concat",
            format!("1 to {NODE_ROOM} tensors can be joined, not {}", parts.len()),
        ));
    }
    let mut sizes = [0; NODE_ROOM];
    for (size, part) in sizes.iter_mut().zip(parts) {
        *size = extent_of("concat", &part.shape, axis)?.axis;
    }
    apply_one(Concat { axis, sizes, parts: parts.len() }, parts)
}

impl Tensor {
    /// The same elements under another shape, sharing memory.
    ///
    /// # Errors
    /// `Shape` if the numbers of elements differ.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self> {
        apply_one(Reshape { shape: shape.into() }, &[self])
    }

    /// All elements along one axis.
    ///
    /// # Errors
    /// None in practice: the number of elements is the same.
    pub fn flatten(&self) -> Result<Self> {
        self.reshape([self.shape.element_count()])
    }

    /// `len` positions from `start` along `axis`. Slices of the first axis share memory, others are
    /// copied.
    ///
    /// # Errors
    /// `Shape` if the slice leaves the axis.
    pub fn slice(&self, axis: usize, start: usize, len: usize) -> Result<Self> {
        apply_one(Slice { axis, start, len }, &[self])
    }

    /// Parts of the given sizes along `axis`.
    ///
    /// # Errors
    /// `Shape` if the sizes together exceed the axis.
    pub fn split(&self, axis: usize, sizes: &[usize]) -> Result<SmallVec<[Self; 4]>> {
        let mut start = 0;
        let mut part = |&len: &usize| {
            start += len;
            self.slice(axis, start - len, len)
        };
        sizes.iter().map(&mut part).collect()
    }
}
