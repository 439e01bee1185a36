//! On every OpenCL device that is present. Without one these tests say so; `tests/run.sh` installs
//! one. Parity is in the package `tests`.

use super::*;
use crate::backend::{DataMovement, Elementwise};
use crate::{Device, Error};

/// Each device, opened.
fn for_each_device(test: impl Fn(&OpenCl)) {
    match found() {
        Ok(devices) if !devices.is_empty() => {
            devices.iter().for_each(|device| test(&OpenCl::open(device).unwrap()));
        }
        Ok(_) => eprintln!("OpenCL has no device here: nothing tested"),
        Err(error) => eprintln!("{error}: nothing tested"),
    }
}

#[test]
fn arrays_of_another_device_are_refused_by_name() {
    for_each_device(|device| {
        let mut buffer = device.allocate(DType::F32, 2).unwrap();
        let out = buffer.get_mut().unwrap();
        let error =
            device.unary(UnaryFunction::Exp, View::F32(&[1.0, 2.0]), out.view_mut()).unwrap_err();
        assert_eq!(
            error,
            Error::Device { operation: "unary", left: device.name(), right: "cpu".into() }
        );
        let cpu = Device::cpu();
        let error =
            cpu.unary(UnaryFunction::Exp, out.view(), ViewMut::F32(&mut [0.0; 2])).unwrap_err();
        assert_eq!(
            error,
            Error::Device { operation: "unary", left: "cpu".into(), right: device.name() }
        );
        assert!(cpu.fill(0.0, out.view_mut()).is_err());
        assert!(cpu.convert(out.view(), ViewMut::F64(&mut [0.0; 2])).is_err());
    });
}

#[test]
fn indices_outside_are_refused_at_once() {
    for_each_device(|device| {
        let upload = |dtype, host: View<'_>| {
            let mut buffer = device.allocate(dtype, host.len()).unwrap();
            device.upload(host, buffer.get_mut().unwrap().view_mut()).unwrap();
            buffer
        };
        let x = upload(DType::F32, View::F32(&[0.0; 6]));
        let indices = upload(DType::U32, View::U32(&[0, 2, 3, 1]));
        let mut out = device.allocate(DType::F32, 4).unwrap();
        let mut gather = |indices: View<'_>| {
            let out = out.get_mut().unwrap().view_mut().range(0..indices.len() * 2);
            device.gather_rows(2, x.view(), indices, out)
        };
        let error = gather(indices.view().range(1..3)).unwrap_err();
        assert_eq!(error.to_string(), "gather_rows: indices[1] is 3, which must be below 3");
        // The bound of the whole says nothing of this part, so it is looked at, and it is right.
        gather(indices.view().range(0..2)).unwrap();
        let downloaded = device.statistics().bytes_from_device;
        let small = upload(DType::U32, View::U32(&[2, 1]));
        gather(small.view()).unwrap();
        assert_eq!(
            device.statistics().bytes_from_device,
            downloaded,
            "a known bound needs no download"
        );
    });
}

#[test]
fn an_allocation_beyond_the_device_names_what_it_has() {
    for_each_device(|device| {
        let error = device.allocate(DType::F64, usize::MAX / 16).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { device_bytes: Some(_), .. }), "{error}");
        assert!(error.to_string().contains("are in use"), "{error}");
    });
}

#[test]
fn a_search_is_used_at_once_and_kept_for_the_next_run() {
    // A product of no model, so that nobody's own search is replaced.
    let shape = MatmulShape { left_transposed: true, ..MatmulShape::plain(37, 41, 43) };
    for listed in found().unwrap_or_default() {
        let device = OpenCl::open(listed).unwrap();
        let mut seen = Vec::new();
        device.tune(&[shape], |tuned| seen.push(tuned.clone())).unwrap();
        let [tuned] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!(tuned.shape, shape);
        assert!(
            tuned.default_gflop_per_s > 0.0 && tuned.gflop_per_s >= tuned.default_gflop_per_s,
            "{tuned:?}"
        );
        let chosen = device.context.choices().get(&shape);
        assert!(chosen.is_some());
        let next_run = OpenCl::open(listed).unwrap();
        assert_eq!(next_run.context.choices().get(&shape), chosen);
    }
}

/// In C99, which OpenCL C follows, a plain `inline` function has no definition of its own:
/// compilers that do not inline a call leave an unresolved symbol, as NVIDIA's does.
#[test]
fn functions_of_kernel_files_are_static_where_they_are_inline() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/opencl/cl");
    let files: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() > 5, "the kernel files are in {}", folder.display());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let is_plain = code.contains("inline ") && !code.contains("static inline ");
            assert!(!is_plain, "{}:{}: plain inline: {line}", file.display(), number + 1);
        }
    }
}
