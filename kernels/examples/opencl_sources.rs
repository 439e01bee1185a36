//! Writes the OpenCL programs for GPUs to a folder, for compilers that run without a device:
//! `NAME.cl`, and `NAME.options` with the options that a driver would get.
//!
//! ```text
//! cargo run --package rung-kernels --example opencl_sources -- FOLDER
//! ```
//!
//! NAME is the file, its parameters if it has some, and what it is compiled for: `f32` and `f64` on
//! a device that has f64, `f32_alone` on one that has not.

use std::path::Path;
use std::{env, fs, io};

use rung_kernels::opencl::{Kind, sources};

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).ok_or_else(|| io::Error::other("which folder?"))?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    for has_f64 in [true, false] {
        for source in sources(Kind::Gpu, has_f64) {
            let alone = if has_f64 { "" } else { "_alone" };
            let path = folder.join(format!("{}-{}{alone}", source.name, source.dtype));
            fs::write(path.with_extension("cl"), &source.text)?;
            fs::write(path.with_extension("options"), &source.options)?;
        }
    }
    Ok(())
}
