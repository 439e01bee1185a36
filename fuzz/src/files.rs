//! The formats of data sets.

use std::cell::OnceCell;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use rung_datasets::{Options, cifar as cifar_files, folder, idx as idx_files, mat as mat_files};
use rung_datasets::{norb as norb_files, npy as npy_files, npz as npz_files, open};
use tempfile::TempDir;

/// Does `work` in a folder of this thread, in memory where the system has such a place.
pub(crate) fn in_folder<R>(work: impl FnOnce(&Path) -> R) -> R {
    thread_local!(static FOLDER: OnceCell<TempDir> = const { OnceCell::new() });
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| {
            tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
        });
        work(folder.path())
    })
}

/// Reads these bytes as a file of this name.
fn as_file<R>(name: &str, bytes: &[u8], read: impl FnOnce(&Path) -> R) -> R {
    in_folder(|folder| {
        let path: PathBuf = folder.join(name);
        fs::write(&path, bytes).expect("room for a file");
        read(&path)
    })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// The first byte, and the others.
pub(crate) fn choice(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}

/// Cut in two at a place that the first two bytes say.
fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let Some((place, rest)) = data.split_first_chunk::<2>() else { return (data, &[]) };
    rest.split_at(usize::from(u16::from_le_bytes(*place)).min(rest.len()))
}

/// IDX, plain or gzip.
pub fn idx(data: &[u8]) {
    let (packed, data) = choice(data);
    let bytes = if packed % 2 == 1 { gzip(data) } else { data.to_vec() };
    let _ = as_file("a.idx", &bytes, idx_files::read);
    let (images, labels) = halves(data);
    in_folder(|folder| {
        let (images_at, labels_at) = (folder.join("images"), folder.join("labels"));
        fs::write(&images_at, images).and_then(|()| fs::write(&labels_at, labels)).expect("room");
        let _ = idx_files::read_labelled(&images_at, &labels_at, &["a", "b"]);
    });
}

/// A `.npy` file whose header says what the first bytes choose, of the other bytes.
fn array(data: &[u8]) -> Vec<u8> {
    const TYPES: [&str; 16] = [
        "|u1", "|b1", "|i1", "<u2", ">u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", ">f4",
        "<f8", ">f8", "<U1",
    ];
    let (head, content) = data.split_at(data.len().min(6));
    let at = |place: usize| head.get(place).copied().unwrap_or(0);
    let description = TYPES[usize::from(at(0) % 16)];
    let order = if at(1) % 4 == 3 { "True" } else { "False" };
    let sizes: Vec<String> =
        (0..at(1) / 4 % 5).map(|axis| at(2 + usize::from(axis)).to_string()).collect();
    let shape = sizes.iter().map(|size| format!("{size}, ")).collect::<String>();
    let text =
        format!("{{'descr': '{description}', 'fortran_order': {order}, 'shape': ({shape}), }}\n");
    let length = (text.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes(), content].concat()
}

/// NumPy arrays, with headers of any text and with well-formed ones that may lie.
pub fn npy(data: &[u8]) {
    let (kind, data) = choice(data);
    let bytes = if kind % 2 == 1 { array(data) } else { data.to_vec() };
    let bytes = if kind & 2 == 2 { gzip(&bytes) } else { bytes };
    let _ = as_file("a.npy", &bytes, npy_files::read);
}

/// Archives of arrays with the names that a data set has, opened as one.
pub fn npz(data: &[u8]) {
    const NAMES: [&str; 8] =
        ["train", "y_train", "x_test", "y_test", "val", "y_val", "images", "labels"];
    let mut archive = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    let mut rest = data;
    while let Some(([name, length @ ..], after)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        let (content, after) = after.split_at(length);
        rest = after;
        let stored = name & 8 == 8;
        let method = match stored {
            true => ::zip::CompressionMethod::Stored,
            false => ::zip::CompressionMethod::Deflated,
        };
        let options = ::zip::write::SimpleFileOptions::default().compression_method(method);
        let content = if name & 16 == 16 { content.to_vec() } else { array(content) };
        let name = format!("{}.npy", NAMES[usize::from(name % 8)]);
        // The writer refuses a name that was used.
        if archive.start_file(name, options).is_ok() {
            archive.write_all(&content).expect("memory");
        }
    }
    let Ok(archive) = archive.finish() else { return };
    as_file("a.npz", &archive.into_inner(), |path| {
        let _ = npz_files::read(path);
        let _ = open(&format!("npz:{}", path.display()), Path::new("."), &Options::default());
    });
}

/// Bytes that should be a zip.
pub fn zip(data: &[u8]) {
    let _ = as_file("a.npz", data, npz_files::read);
}

/// MAT-files: bytes, and arrays compressed as MATLAB does, read as OMNIGLOT and SVHN.
pub fn mat(data: &[u8]) {
    let (kind, data) = choice(data);
    let bytes = if kind % 2 == 0 {
        data.to_vec()
    } else {
        let mut file = vec![b' '; 124];
        file.extend([0, 1, b'I', b'M']);
        let mut rest = data;
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
            let (content, after) = after.split_at(length);
            rest = after;
            let packed = zlib(content);
            file.extend(15u32.to_le_bytes());
            file.extend((packed.len() as u32).to_le_bytes());
            file.extend(packed);
        }
        file
    };
    as_file("a.mat", &bytes, |path| {
        let _ = mat_files::read(path, &["data", "target", "X", "y"]);
        let _ = mat_files::omniglot(path);
        let _ = mat_files::svhn(path);
    });
}

/// Small NORB's pair of matrices.
pub fn norb(data: &[u8]) {
    let (packed, data) = choice(data);
    let (pictures, categories) = halves(data);
    // Whole pictures are long: zeros after what was said.
    let mut pictures = pictures.to_vec();
    pictures.resize(pictures.len() + usize::from(packed / 2) % 4 * 2 * 96 * 96, 0);
    let pictures = if packed % 2 == 1 { gzip(&pictures) } else { pictures };
    in_folder(|folder| {
        let (first, second) = (folder.join("dat.mat"), folder.join("cat.mat"));
        fs::write(&first, pictures).and_then(|()| fs::write(&second, categories)).expect("room");
        let cameras = match packed & 8 {
            0 => norb_files::Cameras::Apart,
            _ => norb_files::Cameras::Beside,
        };
        let _ = norb_files::read(&first, &second, cameras);
    });
}

/// CIFAR's records: a label and then what the bytes repeat to.
pub fn cifar(data: &[u8]) {
    let (packed, data) = choice(data);
    let _ = as_file("a.bin", data, |path| cifar_files::read(&[path]));
    let mut records = Vec::new();
    for &label in data.iter().take(8) {
        records.push(label);
        records.extend(data.iter().cycle().take(3072 - usize::from(label / 255)));
    }
    let records = if packed % 2 == 1 { gzip(&records) } else { records };
    let _ = as_file("a.bin", &records, |path| cifar_files::read(&[path]));
}

/// CIFAR's archive: bytes that should be a tar, and one with files of these contents.
pub fn tar(data: &[u8]) {
    const NAMES: [&str; 4] = ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin", "a.txt"];
    let (kind, data) = choice(data);
    let content = if kind % 2 == 0 {
        data.to_vec()
    } else {
        let mut archive = ::tar::Builder::new(Vec::new());
        let mut rest = data;
        while let Some(([name, label], after)) = rest.split_first_chunk::<2>() {
            rest = after;
            let mut record = vec![*label; 3073];
            record.truncate(if name & 4 == 4 { 3072 } else { 3073 });
            let mut header = ::tar::Header::new_gnu();
            header.set_size(record.len() as u64);
            let name = NAMES[usize::from(name % 4)];
            archive.append_data(&mut header, name, &record[..]).expect("memory");
        }
        archive.into_inner().expect("memory")
    };
    let _ = as_file("a.tar.gz", &gzip(&content), cifar_files::read_archive);
}

/// A folder of two pictures, one of them these bytes, as PNG and as JPEG.
pub fn picture(data: &[u8]) {
    let (kind, data) = choice(data);
    in_folder(|folder| {
        let folder = folder.join("pictures");
        fs::create_dir_all(&folder).expect("a folder");
        let (name, other) = if kind % 2 == 0 { ("a.png", "a.jpg") } else { ("a.jpg", "a.png") };
        let _ = fs::remove_file(folder.join(other));
        fs::write(folder.join(name), data).expect("room");
        fs::write(folder.join("b.png"), data).expect("room");
        let size = (kind & 2 == 2).then_some((8, 8));
        let _ = folder::open(&folder, &Options { size, ..Options::default() });
    });
}
