//! What can go wrong in a primitive: data, so that a caller can act on it, and a sentence, so that
//! a user can.

use crate::{DType, Shape};

/// The result of a primitive.
pub type Result<T> = std::result::Result<T, Error>;

/// An array named in an error message, with its shape.
pub type NamedShape = (&'static str, Shape);

/// The ways a primitive can be refused or fail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Shapes that break a rule of the operation.
    #[error("{operation}: {rule}: {}", name_shapes(shapes))]
    Shape {
        /// The operation that refused.
        operation: &'static str,
        /// The rule that broke, with the numbers that clash.
        rule: String,
        /// Every array involved.
        shapes: Vec<NamedShape>,
    },
    /// Arrays of different or unsuitable element types.
    #[error("{operation}: {rule}: {}", name_dtypes(dtypes))]
    DType {
        /// The operation that refused.
        operation: &'static str,
        /// The rule that broke.
        rule: &'static str,
        /// Every array involved.
        dtypes: Vec<(&'static str, DType)>,
    },
    /// Arrays on different devices.
    #[error(
        "{operation}: operands lie on different devices: {left} and {right}; move one with \
        to_device"
    )]
    Device {
        /// The operation that refused.
        operation: &'static str,
        /// Device of the first operand.
        left: String,
        /// Device of the operand that differs.
        right: String,
    },
    /// A parameter outside its range.
    #[error("{operation}: {what}")]
    Argument {
        /// The operation that refused.
        operation: &'static str,
        /// The parameter, its value and the rule.
        what: String,
    },
    /// A buffer that must be written is still read by somebody.
    #[error(
        "{operation}: the buffer is still shared; drop the tensors and the tape that hold it first"
    )]
    Shared {
        /// The operation that refused.
        operation: &'static str,
    },
    /// The device has no room.
    #[error(
        "{device}: no memory for {requested_bytes} bytes{}; a smaller batch or a smaller chunk of \
        importance samples needs less",
        describe_device_memory(*device_bytes)
    )]
    OutOfMemory {
        /// The device that was asked.
        device: String,
        /// What was asked for.
        requested_bytes: usize,
        /// What is in use and what the device has, where that is known.
        device_bytes: Option<(usize, usize)>,
    },
    /// The device or its driver failed.
    #[error("{device}: {what}")]
    Failed {
        /// The device that failed.
        device: String,
        /// What failed, in the driver's words.
        what: String,
    },
}

impl Error {
    /// An error about shapes.
    #[must_use]
    pub fn shape(operation: &'static str, rule: impl Into<String>, shapes: &[NamedShape]) -> Self {
        Self::Shape { operation, rule: rule.into(), shapes: shapes.to_vec() }
    }

    /// An error about a parameter.
    #[must_use]
    pub fn argument(operation: &'static str, what: impl Into<String>) -> Self {
        Self::Argument { operation, what: what.into() }
    }
}

fn describe_device_memory(device_bytes: Option<(usize, usize)>) -> String {
    device_bytes.map_or_else(String::new, |(used, all)| format!(" ({used} of {all} are in use)"))
}

fn name_shapes(shapes: &[NamedShape]) -> String {
    shapes.iter().map(|(name, shape)| format!("{name} {shape}")).collect::<Vec<_>>().join(", ")
}

fn name_dtypes(dtypes: &[(&'static str, DType)]) -> String {
    dtypes.iter().map(|(name, dtype)| format!("{name} {dtype}")).collect::<Vec<_>>().join(", ")
}
