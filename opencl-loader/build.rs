//! Satisfies the `-lOpenCL` that `cl-sys` asks the linker for with an archive that has nothing in
//! it.
//!
//! The functions themselves are in `src/trampolines.rs`. The folder of the archive comes before the
//! system's in the linker's search, so that a real `libOpenCL.so`, where there is one, is not
//! linked either.

use std::path::PathBuf;
use std::{env, fs};

/// The magic number of an archive: alone, it is an archive without members.
const EMPTY_ARCHIVE: &[u8] = b"!<arch>\n";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let variable = |name| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    // macOS has OpenCL as a framework of the system, which is always there.
    if variable("CARGO_CFG_TARGET_OS") == "macos" {
        return;
    }
    let folder = PathBuf::from(variable("OUT_DIR"));
    let name =
        if variable("CARGO_CFG_TARGET_ENV") == "msvc" { "OpenCL.lib" } else { "libOpenCL.a" };
    fs::write(folder.join(name), EMPTY_ARCHIVE).expect("the build folder can be written");
    println!("cargo:rustc-link-search=native={}", folder.display());
}
