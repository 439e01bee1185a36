//! On every OpenCL device that is present. Without one these tests say so; `tests/run.sh` installs
//! one. Parity is in the package `tests`.

use super::matmul::{Mode, Operands, Plan};
use super::*;
use crate::backend::{DataMovement, Elementwise, Products};
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

/// Whoever compiles [`sources`] has compiled all there is.
#[test]
fn sources_hold_every_kernel_file() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/opencl/cl");
    let all = [Kind::Cpu, Kind::Gpu].map(|kind| sources(kind, true)).concat();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let line = format!("#line 1 \"{name}\"");
        assert!(all.iter().any(|source| source.text.contains(&line)), "{name} is in no program");
    }
    let f32_only = sources(Kind::Gpu, false);
    assert!(
        f32_only
            .iter()
            .all(|source| source.dtype == DType::F32 && source.options.contains("-D HAS_DOUBLE=0"))
    );
}

/// A CPU's devices, with kernels cut for GPUs.
fn for_each_cpu_as_gpu(test: impl Fn(&Found)) {
    let devices = found().unwrap_or_default();
    let cpus = devices.iter().filter(|device| device.kind == Kind::Cpu);
    cpus.for_each(|device| test(&device.treated_as(Kind::Gpu)));
}

/// Numbers from -3 to 3, of which sums are exact in f32.
fn whole_numbers(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 31 + seed * 17 + i / 7) % 7) as f32 - 3.0).collect()
}

fn uploaded(device: &OpenCl, host: &[f32]) -> SharedBuffer {
    let mut buffer = device.allocate(DType::F32, host.len()).unwrap();
    device.upload(View::F32(host), buffer.get_mut().unwrap().view_mut()).unwrap();
    buffer
}

/// Every tile, form and number of parts, for what a product does with its sums: they are whole
/// numbers, so that each order of adding them gives the same.
#[test]
fn every_plan_for_gpus_multiplies() {
    for_each_cpu_as_gpu(|listed| {
        let device = OpenCl::open(listed).unwrap();
        let context = &device.context;
        let upload = |host: &[f32]| uploaded(&device, host);
        let mut tried = 0;
        let sizes = [(1, 1, 1), (37, 5, 43), (132, 136, 40), (4, 12, 2052), (6, 3, 301)];
        for (at, (rows, columns, inner)) in sizes.into_iter().enumerate() {
            for form in 0..4 {
                let shape = MatmulShape {
                    left_transposed: form & 1 != 0,
                    right_transposed: form & 2 != 0,
                    ..MatmulShape::plain(rows, columns, inner)
                };
                let (left, right) =
                    (whole_numbers(shape.left_len(), 1), whole_numbers(shape.right_len(), 2));
                let (bias, before) = (whole_numbers(columns, 3), whole_numbers(shape.out_len(), 4));
                let left_at = |i: usize, p: usize| match shape.left_transposed {
                    true => left[p * rows + i],
                    false => left[i * inner + p],
                };
                let right_at = |p: usize, j: usize| match shape.right_transposed {
                    true => right[j * inner + p],
                    false => right[p * columns + j],
                };
                let sum = |i, j| (0..inner).map(|p| left_at(i, p) * right_at(p, j)).sum::<f32>();
                let of_arrays = [upload(&left), upload(&right), upload(&bias)];
                // The tiles differ in their loads, the forms in their strides: the largest tiles
                // take two forms each, which saves the compiler a third.
                let takes = |plan: &Plan| match plan {
                    Plan::Tiles { tile: 128, .. } => form % 3 == 0,
                    Plan::Tiles { tile: 64, .. } => form % 3 != 0,
                    _ => true,
                } && plan.fits(context, shape, DType::F32);
                for plan in Plan::all(Kind::Gpu).into_iter().filter(takes) {
                    let mode =
                        [Mode::Write, Mode::AddBias, Mode::Accumulate][(at + form + tried) % 3];
                    let mut out = upload(&before);
                    let bias_view = matches!(mode, Mode::AddBias).then(|| of_arrays[2].view());
                    let operands = Operands {
                        left: of_arrays[0].view(),
                        right: of_arrays[1].view(),
                        bias: bias_view,
                    };
                    let out_view = out.get_mut().unwrap().view_mut();
                    matmul::run(context, "test", plan, shape, mode, operands, out_view).unwrap();
                    let mut found = vec![0.0; shape.out_len()];
                    device.download(out.view(), ViewMut::F32(&mut found)).unwrap();
                    for (place, &found) in found.iter().enumerate() {
                        let (i, j) = (place / columns, place % columns);
                        let added = match mode {
                            Mode::Write => 0.0,
                            Mode::AddBias => bias[j],
                            Mode::Accumulate => before[place],
                        };
                        let expected = sum(i, j) + added;
                        assert_eq!(found, expected, "{plan:?} {mode:?} {shape:?} [{i}, {j}]");
                    }
                    tried += 1;
                }
            }
        }
        assert!(tried > 50, "only {tried} products");
    });
}

/// Products whose operands lie in memory in all four ways are one launch, and each has the bits of
/// a launch of its own. The numbers are not whole: another order of adding them gives others.
#[test]
fn products_of_all_forms_are_joined_and_keep_their_bits() {
    for_each_cpu_as_gpu(|listed| {
        let device = OpenCl::open(listed).unwrap();
        let numbers = |len| (0..len).map(|i| (i as f32).sin()).collect::<Vec<_>>();
        // With rows that are aligned, and that are not.
        for (rows, columns, inner) in [(36, 40, 44), (37, 41, 43)] {
            let left = uploaded(&device, &numbers(rows * inner));
            let right = uploaded(&device, &numbers(inner * columns));
            let multiply = |waits: bool| {
                let before = device.statistics().launches;
                let product = |form| {
                    let shape = MatmulShape {
                        left_transposed: form & 1 != 0,
                        right_transposed: form & 2 != 0,
                        ..MatmulShape::plain(rows, columns, inner)
                    };
                    let plan = Plan::Tiles { tile: 32, parts: 1 };
                    let operands = Operands { left: left.view(), right: right.view(), bias: None };
                    let mut out = device.allocate(DType::F32, shape.out_len()).unwrap();
                    let to = out.get_mut().unwrap().view_mut();
                    matmul::run(&device.context, "test", plan, shape, Mode::Write, operands, to)
                        .unwrap();
                    if waits {
                        device.context.finish().unwrap();
                    }
                    out
                };
                let products: Vec<_> = (0..4).map(product).collect();
                let download = |out: &SharedBuffer| {
                    let mut found = vec![0.0; out.len()];
                    device.download(out.view(), ViewMut::F32(&mut found)).unwrap();
                    found
                };
                let found: Vec<_> = products.iter().map(download).collect();
                (found, device.statistics().launches - before)
            };
            let ((joined, one), (alone, four)) = (multiply(false), multiply(true));
            assert_eq!((one, four), (1, 4));
            assert!(joined == alone, "{rows} x {columns}, {inner}: other bits");
        }
    });
}

/// A tile that a device has no room for gives way to a smaller one; where none fits, a sentence.
#[test]
fn small_devices_get_smaller_tiles_and_the_smallest_a_sentence() {
    for_each_cpu_as_gpu(|listed| {
        let shape = MatmulShape::plain(512, 512, 64);
        let tile = |limit| {
            let device = OpenCl::open(&listed.limited_to(limit)).unwrap();
            let plan = matmul::by_size(&device.context, shape, DType::F32);
            let Plan::Tiles { tile, .. } = plan else { panic!("{plan:?}") };
            tile
        };
        assert_eq!([256, 255, 128, 127, 64].map(tile), [128, 64, 64, 32, 32]);
        let little = Found { local_bytes: 10_000, ..listed.clone() };
        let plan = matmul::by_size(&OpenCl::open(&little).unwrap().context, shape, DType::F32);
        assert_eq!(plan, Plan::Tiles { tile: 32, parts: 1 });

        let device = OpenCl::open(&listed.limited_to(32)).unwrap();
        let mut out = device.allocate(DType::F32, 4).unwrap();
        let host = [1.0; 4];
        device.upload(View::F32(&host), out.get_mut().unwrap().view_mut()).unwrap();
        let mut product = device.allocate(DType::F32, 4).unwrap();
        let error = device
            .matmul(
                MatmulShape::plain(2, 2, 2),
                Precision::Full,
                out.view(),
                out.view(),
                None,
                product.get_mut().unwrap().view_mut(),
            )
            .unwrap_err();
        assert!(error.to_string().contains("work-groups of 32 for the kernel matmul"), "{error}");
    });
}

/// The inner axis is cut where groups are too few and are spared enough by it.
#[test]
fn the_inner_axis_is_cut_where_a_second_launch_pays() {
    for_each_cpu_as_gpu(|listed| {
        let large = Found { compute_units: 132, ..listed.clone() };
        let device = OpenCl::open(&large).unwrap();
        let plan = |rows, columns, inner| {
            let shape = MatmulShape::plain(rows, columns, inner);
            matmul::by_size(&device.context, shape, DType::F32)
        };
        // 16 groups of the smallest tile: alone with 2048 inner indices, or in nine parts.
        assert_eq!(plan(128, 128, 2048), Plan::Tiles { tile: 32, parts: 9 });
        // A gradient of weights in batches of 256: two parts would spare each group 128.
        assert_eq!(plan(64, 128, 256), Plan::Tiles { tile: 32, parts: 1 });
        // 128 groups keep 132 units busy enough.
        assert_eq!(plan(256, 512, 512), Plan::Tiles { tile: 32, parts: 1 });
        assert_eq!(plan(4096, 4096, 4096), Plan::Tiles { tile: 128, parts: 1 });
    });
}
