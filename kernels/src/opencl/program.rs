//! Programs: the files of `cl/`, compiled for a device and a float type when a kernel of theirs is
//! first asked for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::CString;

use ocl::core::{self, Kernel, Program};

use super::cache;
use super::context::{Context, Cut};
use super::matmul::{self, TileForm};
use super::platform::Kind;
use crate::function::{BINARY_KERNELS, UNARY_KERNELS};
use crate::{DType, Error, Result};

/// A file of kernels, with what it is compiled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is named like its file")]
pub(super) enum File {
    Elementwise,
    Transfer,
    Rows,
    Reduce,
    Softmax,
    Norm,
    WeightNorm,
    Gate,
    Convolution,
    MaxPool,
    Sampler,
    Gaussian,
    Likelihood,
    CrossEntropy,
    LogisticMixture,
    Random,
    Pixels,
    Optimiser,
    /// The product for CPUs, with blocks of so many rows, and columns in vectors.
    MatmulBlocks(usize, usize),
    /// The product for GPUs.
    MatmulTiles(TileForm),
}

const COMMON: &str = include_str!("cl/common.cl");
/// What other files start with: the functions of one number and the tables of functions, or random
/// words.
const FUNCTIONS: &[(&str, &str)] = &[
    ("functions.cl", include_str!("cl/functions.cl")),
    ("unary.rs", UNARY_KERNELS),
    ("binary.rs", BINARY_KERNELS),
];
const PHILOX: &[(&str, &str)] = &[("philox.cl", include_str!("cl/philox.cl"))];

/// A file's name and its text.
macro_rules! kernels {
    ($name:literal) => {
        ($name, include_str!(concat!("cl/", $name)))
    };
}

impl File {
    /// The files that are compiled in one way for a kind of device.
    const WITHOUT_PARAMETERS: [Self; 18] = [
        Self::Elementwise,
        Self::Transfer,
        Self::Rows,
        Self::Reduce,
        Self::Softmax,
        Self::Norm,
        Self::WeightNorm,
        Self::Gate,
        Self::Convolution,
        Self::MaxPool,
        Self::Sampler,
        Self::Gaussian,
        Self::Likelihood,
        Self::CrossEntropy,
        Self::LogisticMixture,
        Self::Random,
        Self::Pixels,
        Self::Optimiser,
    ];

    /// What the file starts with after `common.cl`, and the file itself.
    const fn parts(
        self,
    ) -> (&'static [(&'static str, &'static str)], (&'static str, &'static str)) {
        match self {
            Self::Elementwise => (FUNCTIONS, kernels!("elementwise.cl")),
            Self::Transfer => (&[], kernels!("transfer.cl")),
            Self::Rows => (&[], kernels!("rows.cl")),
            Self::Reduce => (&[], kernels!("reduce.cl")),
            Self::Softmax => (&[], kernels!("softmax.cl")),
            Self::Norm => (FUNCTIONS, kernels!("norm.cl")),
            Self::WeightNorm => (&[], kernels!("weight_norm.cl")),
            Self::Gate => (FUNCTIONS, kernels!("gate.cl")),
            Self::Convolution => (&[], kernels!("convolution.cl")),
            Self::MaxPool => (&[], kernels!("max_pool.cl")),
            Self::Sampler => (&[], kernels!("sampler.cl")),
            Self::Gaussian => (FUNCTIONS, kernels!("gaussian.cl")),
            Self::Likelihood => (FUNCTIONS, kernels!("likelihood.cl")),
            Self::CrossEntropy => (&[], kernels!("cross_entropy.cl")),
            Self::LogisticMixture => (&[], kernels!("logistic_mixture.cl")),
            Self::Random => (PHILOX, kernels!("random.cl")),
            Self::Pixels => (PHILOX, kernels!("pixels.cl")),
            Self::Optimiser => (FUNCTIONS, kernels!("optimiser.cl")),
            Self::MatmulBlocks(..) => (&[], kernels!("matmul_blocks.cl")),
            Self::MatmulTiles(_) => (&[], kernels!("matmul_tiles.cl")),
        }
    }

    /// Whether some launch asks for the file in a float type.
    fn is_used_in(self, dtype: DType) -> bool {
        match self {
            Self::MatmulTiles(form) => matmul::has_tile(form.tile, dtype),
            _ => true,
        }
    }

    /// Whether a launch can hold problems of two kernels of one name, of this file and of another.
    fn joins(self, other: Self) -> bool {
        match (self, other) {
            (Self::MatmulTiles(form), Self::MatmulTiles(other)) => form.joins(other),
            _ => self == other,
        }
    }

    /// The name of the file in `cl/`.
    const fn name(self) -> &'static str {
        self.parts().1.0
    }

    /// The file and its parameters, in a word.
    pub(super) fn label(self) -> String {
        let stem = self.name().trim_end_matches(".cl");
        match self {
            Self::MatmulBlocks(rows, vectors) => format!("{stem}-{rows}-{vectors}"),
            Self::MatmulTiles(form) => {
                let side = |along_inner| if along_inner { "inner" } else { "outer" };
                let (left, right) = (side(form.left_along_inner), side(form.right_along_inner));
                let aligned = if form.is_aligned { "-aligned" } else { "" };
                format!("{stem}-{}-{left}-{right}{aligned}", form.tile)
            }
            _ => stem.to_owned(),
        }
    }

    /// The whole text. `#line` makes the compiler's messages name the file and its own lines.
    fn source(self) -> String {
        let (starts, kernels) = self.parts();
        let parts =
            [("common.cl", COMMON)].into_iter().chain(starts.iter().copied()).chain([kernels]);
        parts.map(|(name, text)| format!("#line 1 \"{name}\"\n{text}\n")).collect()
    }

    fn options(
        self,
        cut: Cut,
        has_f64: bool,
        least_sub_group: Option<usize>,
        dtype: DType,
    ) -> String {
        // Without -w, PoCL warns of each vector wider than the CPU's that a function takes,
        // hundreds of times.
        let mut options = format!(
            "-w -D DOUBLE={} -D HAS_DOUBLE={} -D VW={} -D LANES={} -D COLUMNS={} -D ROW_LANES={}",
            u8::from(dtype == DType::F64),
            u8::from(has_f64),
            cut.width(dtype),
            cut.lanes,
            cut.columns,
            cut.row_lanes
        );
        match self {
            Self::MatmulBlocks(rows, vectors) => {
                options.push_str(&format!(" -D BLOCK_ROWS={rows} -D BLOCK_VECTORS={vectors}"));
            }
            Self::MatmulTiles(form) => {
                if let Some(items) = least_sub_group {
                    options.push_str(&format!(" -D SUB_GROUP={items}"));
                }
                options.push_str(&format!(
                    " -D TILE={} -D FORM={} -D ALIGNED={}",
                    form.tile,
                    form.bits(),
                    u8::from(form.is_aligned)
                ));
            }
            _ => {}
        }
        options
    }
}

/// A program as a driver's compiler gets it, for whoever compiles it without a device.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file, with its parameters if it has some: `matmul_tiles-64`.
    pub name: String,
    /// The float type it is compiled for.
    pub dtype: DType,
    /// The compiler's options.
    pub options: String,
    /// The whole text.
    pub text: String,
}

/// Every program of a kind of device, in each float type that it has.
#[must_use]
pub fn sources(kind: Kind, has_f64: bool) -> Vec<Source> {
    let dtypes: &[DType] = if has_f64 { &[DType::F32, DType::F64] } else { &[DType::F32] };
    let files = File::WITHOUT_PARAMETERS.into_iter().chain(matmul::files(kind));
    files
        .flat_map(|file| dtypes.iter().map(move |&dtype| (file, dtype)))
        .filter(|&(file, dtype)| file.is_used_in(dtype))
        .map(|(file, dtype)| Source {
            name: file.label(),
            dtype,
            options: file.options(Cut::new(kind, usize::MAX), has_f64, None, dtype),
            text: file.source(),
        })
        .collect()
}

/// What was compiled so far.
#[derive(Debug, Default)]
pub(super) struct Programs {
    built: HashMap<(File, DType), Program>,
    numbers: HashMap<(File, DType, &'static str), usize>,
    ready: Vec<Ready>,
}

/// A kernel that can be launched.
#[derive(Debug)]
pub(super) struct Ready {
    of: (File, DType, &'static str),
    pub(super) kernel: Kernel,
    /// The most work-items of a group that the device has room for with this kernel's registers.
    pub(super) group_limit: usize,
    /// The same for several problems at once, once it was asked for, and its limit.
    pub(super) joined: Option<(Kernel, usize)>,
}

impl Ready {
    /// The kernel, or its form for several problems, which was made ready.
    pub(super) fn form(&self, is_of_several: bool) -> &Kernel {
        match &self.joined {
            Some((joined, _)) if is_of_several => joined,
            _ => &self.kernel,
        }
    }
}

impl Programs {
    /// The number of a kernel, which is compiled if it was not yet.
    ///
    /// # Errors
    /// `Failed` with the compiler's log.
    pub(super) fn kernel(
        &mut self,
        context: &Context,
        file: File,
        dtype: DType,
        name: &'static str,
    ) -> Result<usize> {
        if let Some(&number) = self.numbers.get(&(file, dtype, name)) {
            return Ok(number);
        }
        let (kernel, group_limit) = self.create(context, (file, dtype), name)?;
        let number = self.ready.len();
        self.ready.push(Ready { of: (file, dtype, name), kernel, group_limit, joined: None });
        self.numbers.insert((file, dtype, name), number);
        Ok(number)
    }

    /// The kernel of a number.
    pub(super) fn ready(&self, number: usize) -> &Ready {
        &self.ready[number]
    }

    /// Whether launches of two kernels may be problems of one, in the first one's form for several.
    pub(super) fn can_join(&self, number: usize, other: usize) -> bool {
        let (file, dtype, name) = self.ready[number].of;
        let (other_file, other_dtype, other_name) = self.ready[other].of;
        (dtype, name) == (other_dtype, other_name) && file.joins(other_file)
    }

    /// The most work-items of a group of the kernel's form for several problems, which is made
    /// ready if it was not yet.
    ///
    /// # Errors
    /// As [`Programs::kernel`].
    pub(super) fn joined_limit(&mut self, context: &Context, number: usize) -> Result<usize> {
        if let Some((_, limit)) = self.ready[number].joined {
            return Ok(limit);
        }
        let (file, dtype, name) = self.ready[number].of;
        let (kernel, limit) = self.create(context, (file, dtype), &joined_name(name))?;
        self.ready[number].joined = Some((kernel, limit));
        Ok(limit)
    }

    /// The kernel of a number once more, or its form for several problems, with arguments of its
    /// own.
    ///
    /// # Errors
    /// The driver's.
    pub(super) fn another(
        &self,
        context: &Context,
        number: usize,
        is_of_several: bool,
    ) -> Result<Kernel> {
        let (file, dtype, name) = self.ready[number].of;
        let joined = is_of_several.then(|| joined_name(name));
        core::create_kernel(&self.built[&(file, dtype)], joined.as_deref().unwrap_or(name))
            .map_err(|error| context.failed(&error))
    }

    /// A kernel and the most work-items of its groups.
    fn create(
        &mut self,
        context: &Context,
        key: (File, DType),
        name: &str,
    ) -> Result<(Kernel, usize)> {
        let program = match self.built.entry(key) {
            Entry::Occupied(built) => built.into_mut(),
            Entry::Vacant(place) => place.insert(build(context, key.0, key.1)?),
        };
        let kernel =
            core::create_kernel(&*program, name).map_err(|error| context.failed(&error))?;
        let asked = core::get_kernel_work_group_info(
            &kernel,
            context.device,
            core::KernelWorkGroupInfo::WorkGroupSize,
        );
        let group_limit = match asked {
            Ok(core::KernelWorkGroupInfoResult::WorkGroupSize(limit)) if limit > 0 => {
                limit.min(context.group_limit)
            }
            // A driver that does not answer is asked by launching.
            _ => context.group_limit,
        };
        Ok((kernel, group_limit))
    }
}

/// The name of a kernel's form for several problems.
fn joined_name(name: &str) -> String {
    format!("{name}_joined")
}

fn build(context: &Context, file: File, dtype: DType) -> Result<Program> {
    let (source, options) =
        (file.source(), file.options(context.cut, context.has_f64, context.least_sub_group, dtype));
    let key = format!("{}\n{options}\n{source}", context.machine);
    let c_options =
        CString::new(options).expect("bug: options have no zero byte; please report it");
    if let Some(binary) = cache::read(&key) {
        // A binary that the driver refuses is as good as none: it is built anew and replaced.
        let program =
            core::create_program_with_binary(&context.context, &[context.device], &[&binary]);
        if let Ok(program) = program
            && core::build_program(&program, Some(&[context.device]), &c_options, None, None)
                .is_ok()
        {
            return Ok(program);
        }
        log_rebuild(file);
    }
    let text = CString::new(source).expect("bug: kernel files have no zero byte; please report it");
    let program = core::create_program_with_source(&context.context, &[text])
        .map_err(|error| context.failed(&error))?;
    core::build_program(&program, Some(&[context.device]), &c_options, None, None)
        .map_err(|error| compiler_failed(context, file, &program, &error))?;
    if let Ok(core::ProgramInfoResult::Binaries(binaries)) =
        core::get_program_info(&program, core::ProgramInfo::Binaries)
        && let [binary] = binaries.as_slice()
    {
        cache::write(&key, binary);
    }
    Ok(program)
}

fn log_rebuild(file: File) {
    eprintln!(
        "opencl: the driver refuses the cached program of {}, which is compiled anew",
        file.name()
    );
}

/// The compiler's log, which names file and line.
fn compiler_failed(
    context: &Context,
    file: File,
    program: &Program,
    error: &ocl::OclCoreError,
) -> Error {
    let log =
        core::get_program_build_info(program, context.device, core::ProgramBuildInfo::BuildLog)
            .map_or_else(|_| error.to_string(), |log| log.to_string());
    let what = format!("the driver's compiler refused {}:\n{}", file.name(), log.trim());
    Error::Failed { device: context.name.clone(), what }
}
