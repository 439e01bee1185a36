//! OpenCL without OpenCL at link time: the program builds and starts on a machine that has never
//! heard of it.
//!
//! # The problem
//! The `ocl` crate calls functions named `clGetPlatformIDs` and so on, which the linker wants from
//! a library `OpenCL`. A program linked so does not start where the library is missing, and does
//! not build where the development package is missing.
//!
//! # The idea
//! This crate defines those functions itself. Each is a trampoline: it calls the function of the
//! same name in a library that [`load`] opened while the program ran, through a table of pointers.
//! An empty archive, made by `build.rs`, stands in for the library at link time. A call before
//! [`load`] succeeded returns an error code, as a machine without devices does.
//!
//! The trampolines are symbols of an executable, which exports none: the library that is opened
//! does not see them, nor do the drivers it opens. A test looks them up as a driver would, and must
//! not find them.
//!
//! # The map
//! `library.rs` has the names that are looked for; `trampolines.rs` the functions and the table.
//!
//! # What was left out
//! A patched `cl-sys` with the same functions over a table would need its types and constants
//! copied too; here its own are used, and the compiler checks each trampoline against its
//! declaration.
//!
//! Chapter 6 of the reader's book, `docs/book/src/`, starts a kernel through it.

mod library;
#[cfg(not(target_os = "macos"))]
mod trampolines;

pub use library::{LIBRARY_VARIABLE, NotFound, candidates, load, platform_count};
