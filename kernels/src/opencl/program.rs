//! Programs: the files of `cl/`, compiled for a device and a float type when a kernel of theirs is
//! first asked for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::CString;

use ocl::core::{self, Kernel, Program};

use super::cache;
use super::context::Context;
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
    /// The product for GPUs, with tiles of so many rows and columns.
    MatmulTiles(usize),
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

    /// The name of the file in `cl/`.
    const fn name(self) -> &'static str {
        self.parts().1.0
    }

    /// The whole text. `#line` makes the compiler's messages name the file and its own lines.
    fn source(self) -> String {
        let (starts, kernels) = self.parts();
        let parts =
            [("common.cl", COMMON)].into_iter().chain(starts.iter().copied()).chain([kernels]);
        parts.map(|(name, text)| format!("#line 1 \"{name}\"\n{text}\n")).collect()
    }

    fn options(self, context: &Context, dtype: DType) -> String {
        let cut = context.cut;
        // Without -w, PoCL warns of each vector wider than the CPU's that a function takes,
        // hundreds of times.
        let mut options = format!(
            "-w -D DOUBLE={} -D HAS_DOUBLE={} -D VW={} -D LANES={} -D COLUMNS={} -D ROW_LANES={}",
            u8::from(dtype == DType::F64),
            u8::from(context.has_f64),
            cut.width(dtype),
            cut.lanes,
            cut.columns,
            cut.row_lanes
        );
        match self {
            Self::MatmulBlocks(rows, vectors) => {
                options.push_str(&format!(" -D BLOCK_ROWS={rows} -D BLOCK_VECTORS={vectors}"));
            }
            Self::MatmulTiles(tile) => options.push_str(&format!(" -D TILE={tile}")),
            _ => {}
        }
        options
    }
}

/// What was compiled so far.
#[derive(Debug, Default)]
pub(super) struct Programs {
    built: HashMap<(File, DType), Program>,
    kernels: HashMap<(File, DType, &'static str), Kernel>,
}

impl Programs {
    /// A kernel, compiled if it was not yet.
    ///
    /// # Errors
    /// `Failed` with the compiler's log.
    pub(super) fn kernel(
        &mut self,
        context: &Context,
        file: File,
        dtype: DType,
        name: &'static str,
    ) -> Result<&Kernel> {
        if !self.kernels.contains_key(&(file, dtype, name)) {
            let program = match self.built.entry((file, dtype)) {
                Entry::Occupied(built) => built.into_mut(),
                Entry::Vacant(place) => place.insert(build(context, file, dtype)?),
            };
            let kernel =
                core::create_kernel(&*program, name).map_err(|error| context.failed(&error))?;
            self.kernels.insert((file, dtype, name), kernel);
        }
        Ok(&self.kernels[&(file, dtype, name)])
    }
}

fn build(context: &Context, file: File, dtype: DType) -> Result<Program> {
    let (source, options) = (file.source(), file.options(context, dtype));
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
