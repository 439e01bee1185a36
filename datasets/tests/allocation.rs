//! A file that claims gigabytes and holds none must be refused without memory for its claims.
//!
//! The allocator of this test counts what is taken at once; every reader meets a file of a few
//! hundred bytes that lies.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rung_datasets::{Options, cifar, idx, mat, norb, npy, npz, open};

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is handed to the system's allocator unchanged; the counters do not touch the
// memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: the caller's promises are those this call needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer came from `alloc` above with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Buffers, decompressors and a little trust; far below any claim made here.
const ALLOWED_BYTES: usize = 4 << 20;

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn refuses(what: &str, bytes: &[u8], read: impl Fn(&Path) -> Result<(), rung_datasets::Error>) {
    let folder = tempfile::tempdir().unwrap();
    for (kind, content) in [("plain", bytes.to_vec()), ("gzip", gzip(bytes))] {
        let path = folder.path().join(kind);
        std::fs::write(&path, content).unwrap();
        let before = NOW.load(Relaxed);
        PEAK.store(before, Relaxed);
        let result = read(&path);
        let taken = PEAK.load(Relaxed).saturating_sub(before);
        assert!(result.is_err(), "{what}, {kind}: a lie was believed");
        assert!(taken < ALLOWED_BYTES, "{what}, {kind}: {taken} bytes were taken");
    }
}

/// What follows each lying header.
const FILLER: [u8; 400] = [7; 400];

/// One test, for the counters are the program's.
#[test]
fn lies_cost_no_memory() {
    published_formats();
    arrays();
    matlab();
}

fn published_formats() {
    let idx_header = [&[0, 0, 8, 3][..], &[0, 255, 0, 0], &[0, 0, 0, 28], &[0, 0, 0, 28]].concat();
    refuses("idx", &[&idx_header[..], &FILLER].concat(), |path| idx::read(path).map(drop));

    let small_idx = [&[0, 0, 8, 3][..], &[0, 0, 2, 0], &[0, 0, 0, 28], &[0, 0, 0, 28]].concat();
    refuses("a smaller idx", &[&small_idx[..], &FILLER].concat(), |path| idx::read(path).map(drop));

    let norb = |magic: u32, sizes: &[u32]| {
        let mut words = vec![magic, sizes.len() as u32];
        words.extend(sizes);
        words.resize(words.len() + 3usize.saturating_sub(sizes.len()), 1);
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.extend(FILLER);
        bytes
    };
    refuses("norb", &norb(0x1E3D_4C54, &[100_000_000]), |path| {
        norb::read(path, path, norb::Cameras::Apart).map(drop)
    });

    refuses("cifar", &[&[1u8][..], &FILLER].concat(), |path| cifar::read(&[path]).map(drop));
}

fn arrays() {
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000, 1000, 1000), }\n";
    let npy_bytes = [
        b"\x93NUMPY\x01\x00",
        &(header.len() as u16).to_le_bytes()[..],
        header.as_bytes(),
        &FILLER,
    ]
    .concat();
    refuses("npy", &npy_bytes, |path| npy::read(path).map(drop));
    refuses("npz", &npy_bytes, |path| npz::read(path).map(drop));

    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("images.npy", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(&npy_bytes).unwrap();
    let zipped = zip.finish().unwrap().into_inner();
    refuses("npy in a zip", &zipped, |path| npz::read(path).map(drop));
    refuses("npz:", &zipped, |path| {
        open(&format!("npz:{}", path.display()), path, &Options::default()).map(drop)
    });
}

fn matlab() {
    let word = |value: u32| value.to_le_bytes();
    let array = [
        word(14),
        word(u32::MAX),
        word(6),
        word(8),
        word(6),
        word(0),
        word(5),
        word(8),
        word(1 << 29),
        word(1),
        word(1 | 1 << 16),
        [b'X', 0, 0, 0],
        word(9),
        word(u32::MAX - 7),
    ];
    let mut mat_bytes = vec![b' '; 124];
    mat_bytes.extend([0, 1, b'I', b'M']);
    mat_bytes.extend(array.concat());
    mat_bytes.extend(FILLER);
    refuses("mat", &mat_bytes, |path| mat::read(path, &["X"]).map(drop));
}
