//! The list behind the parity tests: every primitive with its cases and a slow, independent
//! reference.
//!
//! [`primitives`] lists all that is declared in `backend/`: what is declared as `room::name` has
//! its cases from the function `name` of the file `room.rs` here, so that a primitive without
//! parity cases does not compile. [`check`] runs the list on a device: inputs are rounded to the
//! type under test, uploaded and computed with; every element of every output is compared with the
//! f64 reference within the primitive's own bound, and words around each output must be untouched.
//! Read `case.rs` first, then any of the families.

mod case;
mod convolution;
mod cross_entropy;
mod elementwise;
mod gate;
mod gaussian;
mod likelihood;
mod logistic_mixture;
mod matmul;
mod max_pool;
mod norm;
mod optimiser;
mod pixels;
mod random;
mod reduce;
mod rows;
mod sampler;
mod softmax;
#[cfg(test)]
mod tests;
mod transfer;
mod weight_norm;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

pub use case::{Array, Case, Draw, Expected};

use crate::backend::contract;
use crate::host_memory::CACHE_LINE_BYTES;
use crate::{Backend, DType, Device, Result, SharedBuffer, View, ViewMut};

/// One method of [`Backend`].
pub struct Primitive {
    /// The method's name.
    pub name: &'static str,
    /// The stem of the files that compute and test it.
    pub room: &'static str,
    /// Draws its cases.
    pub cases: fn(&mut Draw) -> Vec<Case>,
}

impl fmt::Debug for Primitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Primitive({})", self.name)
    }
}

/// Every primitive that is declared.
#[must_use]
pub fn primitives() -> Vec<Primitive> {
    let mut all = Vec::new();
    macro_rules! list {
        (
            $(#[$trait_doc:meta])*
            trait $trait:ident;
            $(
                $(#[$doc:meta])*
                $room:ident::$name:ident($($argument:ident: $type:ty),+ $(,)?);
            )+
        ) => {
            all.extend([$(Primitive { name: stringify!($name), room: stringify!($room),
                cases: $room::$name }),+]);
        };
    }
    contract!(list!);
    all
}

/// An output that is not what the reference says.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// The method of [`Backend`].
    pub primitive: &'static str,
    /// The seed that drew the case.
    pub seed: u64,
    /// The float type under test.
    pub dtype: DType,
    /// Sizes and parameters of the case.
    pub sizes: String,
    /// What differs.
    pub problem: Problem,
}

/// What differs in a [`Mismatch`].
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// The primitive refused a valid case.
    Refused(String),
    /// A word outside an output was written.
    Guard {
        /// The output, from 0.
        output: usize,
        /// Where, in elements from the start of the output.
        index: isize,
    },
    /// An element is wrong.
    Value {
        /// The output, from 0.
        output: usize,
        /// The element that exceeds its bound most.
        index: usize,
        /// What the device gave.
        got: f64,
        /// What the reference says.
        want: f64,
        /// The error that was allowed.
        bound: f64,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}, seed {}): ", self.primitive, self.dtype, self.sizes, self.seed)?;
        match &self.problem {
            Problem::Refused(error) => write!(f, "refused: {error}"),
            Problem::Guard { output, index } => {
                write!(f, "output {output} was written outside of its range, at {index}")
            }
            Problem::Value { output, index, got, want, bound } => {
                write!(
                    f,
                    "output {output}[{index}] is {got:e}, not {want:e}: off by {:e}, bound \
                    {bound:e}",
                    (got - want).abs()
                )
            }
        }
    }
}

/// Runs every case of every primitive on `device`, in f32 and, where the device has it, f64; gives
/// their number.
///
/// # Errors
/// All mismatches, at most one for each case and type.
pub fn check(device: &Device, seed: u64) -> std::result::Result<usize, Vec<Mismatch>> {
    check_up_to(device, seed, usize::MAX)
}

/// As [`check`], without the cases that have an array of more than `largest` elements: for devices
/// that are slow.
///
/// # Errors
/// As [`check`].
pub fn check_up_to(
    device: &Device,
    seed: u64,
    largest: usize,
) -> std::result::Result<usize, Vec<Mismatch>> {
    let (mut count, mut mismatches) = (0, Vec::new());
    for_each_case(seed, |primitive, dtype, case| {
        if !can_run(device, dtype, case) || case.largest() > largest {
            return;
        }
        count += 1;
        if let Err(problem) = check_case(&**device, dtype, case) {
            mismatches.push(Mismatch {
                primitive,
                seed,
                dtype,
                sizes: case.sizes.clone(),
                problem,
            });
        }
    });
    if mismatches.is_empty() { Ok(count) } else { Err(mismatches) }
}

/// As [`check_up_to`], with all cases of a primitive put to work before the first of their results
/// is asked for, so that a device which joins launches has some to join; those of the primitives
/// and float types that `is_wanted` says.
///
/// # Errors
/// As [`check`].
pub fn check_together(
    device: &Device,
    seed: u64,
    largest: usize,
    is_wanted: impl Fn(&Primitive, DType) -> bool,
) -> std::result::Result<usize, Vec<Mismatch>> {
    let (mut count, mut mismatches) = (0, Vec::new());
    for (stream, primitive) in primitives().into_iter().enumerate() {
        let cases = (primitive.cases)(&mut Draw::new(seed, stream as u32));
        let wanted = [DType::F32, DType::F64].into_iter().filter(|&it| is_wanted(&primitive, it));
        for dtype in wanted {
            let fit: Vec<&Case> = cases
                .iter()
                .filter(|case| can_run(device, dtype, case) && case.largest() <= largest)
                .collect();
            count += fit.len();
            // Uploads would part the work of one case from that of the next.
            let uploaded: Vec<_> =
                fit.iter().map(|case| Uploaded::new(&**device, dtype, case)).collect();
            let called: Vec<_> = uploaded
                .into_iter()
                .zip(&fit)
                .map(|(uploaded, case)| uploaded.and_then(|it| it.call(&**device, case)))
                .collect();
            for (case, called) in fit.iter().zip(called) {
                let outputs = called.and_then(|called| called.download(&**device, case));
                if let Err(problem) = judge(dtype, case, outputs) {
                    let (primitive, sizes) = (primitive.name, case.sizes.clone());
                    mismatches.push(Mismatch { primitive, seed, dtype, sizes, problem });
                }
            }
        }
    }
    if mismatches.is_empty() { Ok(count) } else { Err(mismatches) }
}

/// A number for the bits of all outputs of each case, named: two runs that agree bit for bit give
/// equal lists.
///
/// # Errors
/// What a primitive refused.
pub fn fingerprints(device: &Device, seed: u64) -> Result<Vec<(String, u64)>> {
    let mut all = Ok(Vec::new());
    for_each_case(seed, |primitive, dtype, case| {
        if let Ok(list) = &mut all
            && can_run(device, dtype, case)
        {
            match run(&**device, dtype, case) {
                Ok(outputs) => {
                    let mut hasher = DefaultHasher::new();
                    outputs.iter().flatten().for_each(|value| value.to_bits().hash(&mut hasher));
                    list.push((format!("{primitive} ({dtype}, {})", case.sizes), hasher.finish()));
                }
                Err(error) => all = Err(error),
            }
        }
    });
    all
}

/// Whether the device has all types of a case.
fn can_run(device: &Device, dtype: DType, case: &Case) -> bool {
    device.supports(dtype) && case.dtypes().all(|dtype| device.supports(dtype))
}

fn for_each_case(seed: u64, mut visit: impl FnMut(&'static str, DType, &Case)) {
    for (stream, primitive) in primitives().into_iter().enumerate() {
        let cases = (primitive.cases)(&mut Draw::new(seed, stream as u32));
        for case in &cases {
            visit(primitive.name, DType::F32, case);
            visit(primitive.name, DType::F64, case);
        }
    }
}

/// Elements before and after every output that must stay as they are.
const GUARD: usize = 64;
/// What they hold: a number that every type can hold.
const GUARD_VALUE: f64 = 173.0;

/// Runs one case and compares it with its reference.
pub(crate) fn check_case(
    device: &dyn Backend,
    dtype: DType,
    case: &Case,
) -> std::result::Result<(), Problem> {
    judge(dtype, case, run(device, dtype, case))
}

/// Compares what a case gave with its reference.
fn judge(
    dtype: DType,
    case: &Case,
    outputs: Result<Vec<Vec<f64>>>,
) -> std::result::Result<(), Problem> {
    let rounded =
        |arrays: &[Array]| arrays.iter().map(|array| round(array, dtype)).collect::<Vec<_>>();
    let expected = (case.reference)(&rounded(&case.inputs), &rounded(&case.outputs));
    let outputs = outputs.map_err(|error| Problem::Refused(error.to_string()))?;
    assert_eq!(
        expected.len(),
        outputs.len(),
        "bug: the reference of a parity case ({}) lacks outputs",
        case.sizes
    );
    for (output, (whole, expected)) in outputs.iter().zip(&expected).enumerate() {
        check_output(output, case.outputs[output].dtype.unwrap_or(dtype), whole, expected)?;
    }
    Ok(())
}

/// Compares an output, which `whole` has between its guards.
fn check_output(
    output: usize,
    dtype: DType,
    whole: &[f64],
    expected: &[Expected],
) -> std::result::Result<(), Problem> {
    let len = expected.len();
    assert_eq!(
        len + 2 * GUARD,
        whole.len(),
        "bug: the reference of a parity case has another length than output {output}"
    );
    let is_guard = |i: &usize| !(GUARD..GUARD + len).contains(i);
    if let Some(at) = (0..whole.len()).filter(is_guard).find(|&i| whole[i] != GUARD_VALUE) {
        return Err(Problem::Guard { output, index: at as isize - GUARD as isize });
    }
    compare(output, dtype, &whole[GUARD..GUARD + len], expected)
}

/// Finds the element that exceeds its bound by the largest factor.
fn compare(
    output: usize,
    dtype: DType,
    got: &[f64],
    expected: &[Expected],
) -> std::result::Result<(), Problem> {
    let mut worst = (1.0, None);
    for (index, (&got, &Expected { value: want, scale })) in got.iter().zip(expected).enumerate() {
        let want = if scale == 0.0 { round_value(want, dtype) } else { want };
        if got == want
            || (got.is_nan() && want.is_nan())
            || (dtype == DType::F32 && got.is_infinite() && got == f64::from(want as f32))
        {
            continue;
        }
        // Below the smallest normal number, digits are lost whatever the formula.
        let (epsilon, tiny) = match dtype {
            DType::F32 => (f64::from(f32::EPSILON), f64::from(f32::MIN_POSITIVE) * 1e-6),
            _ => (f64::EPSILON, f64::MIN_POSITIVE),
        };
        let bound = scale * epsilon + if scale > 0.0 { tiny } else { 0.0 };
        let excess = (got - want).abs() / bound;
        if excess.is_nan() || excess > worst.0 {
            let excess = if excess.is_nan() { f64::INFINITY } else { excess };
            worst = (excess, Some(Problem::Value { output, index, got, want, bound }));
        }
    }
    worst.1.map_or(Ok(()), Err)
}

fn round_value(value: f64, dtype: DType) -> f64 {
    if dtype == DType::F32 { f64::from(value as f32) } else { value }
}

/// The numbers of `array` that the device can hold.
fn round(array: &Array, dtype: DType) -> Vec<f64> {
    let dtype = array.dtype.unwrap_or(dtype);
    array.values.iter().map(|&value| round_value(value, dtype)).collect()
}

/// Uploads, calls and downloads: the outputs with the guards around them.
fn run(device: &dyn Backend, dtype: DType, case: &Case) -> Result<Vec<Vec<f64>>> {
    Uploaded::new(device, dtype, case)?.call(device, case)?.download(device, case)
}

/// The arrays of a case on a device, the outputs with guards around them.
struct Uploaded {
    inputs: Vec<SharedBuffer>,
    outputs: Vec<SharedBuffer>,
}

impl Uploaded {
    fn new(device: &dyn Backend, dtype: DType, case: &Case) -> Result<Self> {
        let upload = |array: &Array, guard: usize| {
            let mut values = vec![GUARD_VALUE; guard];
            values.extend_from_slice(&array.values);
            values.resize(values.len() + guard, GUARD_VALUE);
            to_device(device, array.dtype.unwrap_or(dtype), &values)
        };
        Ok(Self {
            inputs: case.inputs.iter().map(|array| upload(array, 0)).collect::<Result<_>>()?,
            outputs: case
                .outputs
                .iter()
                .map(|array| upload(array, GUARD))
                .collect::<Result<_>>()?,
        })
    }

    fn call(mut self, device: &dyn Backend, case: &Case) -> Result<Self> {
        let views = self.inputs.iter().zip(&case.inputs);
        let inputs: Vec<View<'_>> =
            views.map(|(buffer, array)| buffer.view().range(0..array.values.len())).collect();
        let views = self.outputs.iter_mut().zip(&case.outputs);
        let mut outputs: Vec<ViewMut<'_>> = views
            .map(|(buffer, array)| whole_mut(buffer).range(GUARD..GUARD + array.values.len()))
            .collect();
        (case.call)(device, &inputs, &mut outputs)?;
        Ok(self)
    }

    fn download(&self, device: &dyn Backend, case: &Case) -> Result<Vec<Vec<f64>>> {
        let guarded = self.outputs.iter().zip(&case.outputs);
        guarded
            .map(|(buffer, array)| {
                to_host(device, buffer.view().range(0..array.values.len() + 2 * GUARD))
            })
            .collect()
    }
}

fn whole_mut(buffer: &mut SharedBuffer) -> ViewMut<'_> {
    buffer.get_mut().expect("bug: a fresh buffer is shared; please report it").view_mut()
}

/// A buffer that begins with `values`; zeros fill its last cache line.
///
/// Oclgrind takes the end of what the host wrote for the end of the buffer, and memory comes from
/// the pool in cache lines: with a part of a line written, what kernels write into the rest of it,
/// when it serves a longer array, would pass for never written.
fn to_device(device: &dyn Backend, dtype: DType, values: &[f64]) -> Result<SharedBuffer> {
    let mut values = values.to_vec();
    values.resize(values.len().next_multiple_of(CACHE_LINE_BYTES / dtype.size_bytes()), 0.0);
    let mut buffer = device.allocate(dtype, values.len())?;
    let out = whole_mut(&mut buffer);
    match dtype {
        DType::F32 => {
            device.upload(View::F32(&values.iter().map(|&x| x as f32).collect::<Vec<_>>()), out)
        }
        DType::F64 => device.upload(View::F64(&values), out),
        DType::U8 => {
            device.upload(View::U8(&values.iter().map(|&x| x as u8).collect::<Vec<_>>()), out)
        }
        DType::U32 => {
            device.upload(View::U32(&values.iter().map(|&x| x as u32).collect::<Vec<_>>()), out)
        }
    }?;
    Ok(buffer)
}

fn to_host(device: &dyn Backend, x: View<'_>) -> Result<Vec<f64>> {
    macro_rules! download {
        ($zero:expr, $variant:ident) => {{
            let mut host = vec![$zero; x.len()];
            device.download(x, ViewMut::$variant(&mut host))?;
            host.into_iter().map(f64::from).collect()
        }};
    }
    Ok(match x.dtype() {
        DType::F32 => download!(0f32, F32),
        DType::F64 => download!(0f64, F64),
        DType::U8 => download!(0u8, U8),
        DType::U32 => download!(0u32, U32),
    })
}
