//! The data sets known by name: their files, where they come from, what is in place, and the one
//! door to open any of them.
//!
//! `known.rs` is the table; read it first. `locate.rs` finds files in a user's folder and checks
//! them. Here is [`open`].

mod known;
mod locate;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::nearest::nearest;
use crate::norb::Cameras;
use crate::{
    Binarisation, Checksum, Dataset, Error, GlyphCounts, ImageShape, Images, Options, Result,
};
use crate::{arrays, cifar, folder, glyphs, idx, mat, moons, norb, sequences};

pub use known::KNOWN;
pub use locate::{FileReport, Found, Outcome, Presence, Status, locate, status, verify};

/// What a file of a data set is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Needed for training.
    Train,
    /// Needed for testing.
    Test,
    /// Holds training and test images alike.
    Both,
    /// May stand in for the other files, all of which it holds.
    Archive,
    /// Nice to have: names of classes and the like.
    Extra,
}

/// One published file.
#[derive(Clone, Copy, Debug)]
pub struct KnownFile {
    /// Its name, without `.gz`: it is accepted plain or as gzip.
    pub name: &'static str,
    /// What it is for.
    pub role: Role,
    /// How it is published, or `None` if it comes in an archive or not at all.
    pub download: Option<Download>,
    /// The checksum of its content (decompressed), if one is known.
    pub content: Option<Checksum>,
}

/// A file as its publisher offers it.
#[derive(Clone, Copy, Debug)]
pub struct Download {
    /// Its name behind a mirror's address.
    pub name: &'static str,
    /// Its size, if known.
    pub bytes: Option<u64>,
    /// Its checksum as it is offered (compressed), if known.
    pub checksum: Option<Checksum>,
}

/// How the files of a data set are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Drawn by the program.
    Glyphs,
    /// Points that the program draws.
    Moons,
    /// Four IDX files.
    Idx,
    /// `chardata.mat`.
    Omniglot,
    /// Binary matrices of stereo pairs.
    Norb(Cameras),
    /// Records of 3073 bytes.
    Cifar,
    /// `train_32x32.mat`, `test_32x32.mat`, and `extra_32x32.mat` to learn from too.
    Svhn,
}

/// A data set known by name.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The name on the command line, and of the folder its files are kept in.
    pub name: &'static str,
    /// Its name in print.
    pub title: &'static str,
    /// Other folders (inside the data folder) its files may lie in.
    pub folders: &'static [&'static str],
    /// How its files are read.
    pub format: Format,
    /// The shape of an image once it is read.
    pub shape: ImageShape,
    /// Training images of the whole data set, once they are read.
    pub train_count: usize,
    /// Test images of the whole data set, once they are read.
    pub test_count: usize,
    /// The classes by name; none where the files say them.
    pub class_names: &'static [&'static str],
    /// What the literature does to the intensities.
    pub binarisation: Binarisation,
    /// The files, in the order in which a user would name them.
    pub files: &'static [KnownFile],
    /// Addresses to put a file's download name behind, in the order in which they are tried.
    pub mirrors: &'static [&'static str],
    /// Where it is described.
    pub home: &'static str,
    /// Whom to credit.
    pub credit: &'static str,
    /// Its licence, as far as it is stated.
    pub licence: &'static str,
    /// What a report on it must say.
    pub notes: &'static [&'static str],
}

/// The data set with this name, in any case.
///
/// # Errors
/// [`Error::UnknownName`] with the nearest known name.
pub fn find(name: &str) -> Result<&'static Known> {
    let same = KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(name.trim()));
    same.ok_or_else(|| {
        let nearest = nearest(&name.to_lowercase(), KNOWN.iter().map(|known| known.name));
        let path = Path::new(name);
        let own = match path.extension() {
            _ if path.is_dir() => Some(format!("images:{name}")),
            Some(end) if end == "npz" => Some(format!("npz:{name}")),
            _ => None,
        };
        Error::UnknownName {
            name: name.to_string(),
            nearest: own.or_else(|| nearest.map(str::to_string)),
            known: KNOWN.iter().map(|known| known.name.to_string()).collect(),
        }
    })
}

/// Opens a data set: a known name, `npz:FILE`, `images:FOLDER`, or `sequences:NAME` of any of
/// these. Never touches the network.
///
/// A known set is looked for in `data_dir/NAME`, in the folders other programs keep it in, and in
/// `data_dir` itself, plain or gzip.
///
/// # Errors
/// [`Error::UnknownName`]; [`Error::Missing`] with the files, the folders and the command that
/// fetches them; whatever the format's reader finds wrong.
///
/// # Example
/// ```
/// use rung_datasets::{GlyphCounts, Options, open};
///
/// let glyphs = GlyphCounts { train: 50, validation: 0, test: 10 };
/// let dataset = open("glyphs", ".".as_ref(), &Options { glyphs, ..Options::default() })?;
/// assert_eq!((dataset.train.count(), dataset.test.count()), (50, 10));
/// # Ok::<(), rung_datasets::Error>(())
/// ```
pub fn open(name_or_spec: &str, data_dir: &Path, options: &Options) -> Result<Dataset> {
    let dataset = match name_or_spec.split_once(':') {
        Some(("npz", file)) => arrays::open(Path::new(file), options)?,
        Some(("images", path)) => folder::open(Path::new(path), options)?,
        Some((sequences::SCHEME, of)) => sequences::open(of, data_dir, options)?,
        _ => open_known(find(name_or_spec)?, data_dir, options)?,
    };
    if options.test_only { Ok(dataset) } else { dataset.set_validation_aside(options.validation) }
}

fn open_known(known: &'static Known, data_dir: &Path, options: &Options) -> Result<Dataset> {
    let GlyphCounts { train, test, .. } = options.glyphs;
    match known.format {
        Format::Glyphs => return glyphs::dataset(options.seed, options.glyphs),
        Format::Moons => return moons::dataset(options.seed, train, test),
        _ => {}
    }
    let found = locate(known, data_dir, options.test_only)?;
    let nothing = || Images::new(known.shape, crate::Pixels::U8(Vec::new()), None);
    let both = |read: &(dyn Fn(&str) -> Result<Images> + Sync)| {
        let (train, test) = rayon::join(
            || if options.test_only { nothing() } else { read("train") },
            || read("test"),
        );
        Ok((train?, test?))
    };
    let (train, test) = match known.format {
        Format::Glyphs | Format::Moons => (nothing()?, nothing()?),
        Format::Idx => both(&|part| read_idx(known, &found, part, data_dir))?,
        Format::Omniglot => mat::omniglot(found.path("chardata.mat")?)?,
        Format::Norb(cameras) => both(&|part| {
            let file = |kind: &str| {
                let name = known.files.iter().map(|file| file.name);
                let mut name = name.filter(|name| name.contains(part) && name.contains(kind));
                found.path(name.next().unwrap_or(kind))
            };
            norb::read(file("-dat.")?, file("-cat.")?, cameras)
        })?,
        Format::Cifar => read_cifar(&found, options.test_only)?,
        Format::Svhn => both(&|part| read_svhn(known, &found, part))?,
    };
    let train = if options.test_only { nothing()? } else { train };
    let mut dataset = Dataset::new(known.name, train, test, known.binarisation)?;
    dataset.notes.extend(known.notes.iter().map(|note| note.to_string()));
    for (part, images, whole) in
        [("training", &dataset.train, known.train_count), ("test", &dataset.test, known.test_count)]
    {
        if !images.is_empty() && images.count() != whole {
            dataset.notes.push(format!("{} of {whole} {part} images", images.count()));
        }
    }
    Ok(dataset)
}

fn read_idx(known: &Known, found: &Found, part: &str, data_dir: &Path) -> Result<Images> {
    let prefix = if part == "test" { "t10k" } else { "train" };
    let labels = found.path(&format!("{prefix}-labels-idx1-ubyte"))?;
    if found.folder == data_dir {
        refuse_impostor(known, labels, prefix)?;
    }
    idx::read_labelled(
        found.path(&format!("{prefix}-images-idx3-ubyte"))?,
        labels,
        known.class_names,
    )
}

/// MNIST and its relatives have the same file names. In a folder that does not bear the name, look
/// at the labels' checksum.
fn refuse_impostor(known: &Known, labels: &Path, prefix: &str) -> Result<()> {
    let content = Checksum::Sha256("").of_file(labels, true)?;
    for other in
        KNOWN.iter().filter(|other| other.format == Format::Idx && other.name != known.name)
    {
        let mut files =
            other.files.iter().filter(|file| file.name.starts_with(&format!("{prefix}-labels")));
        if files.any(|file| is_content(file, &content)) {
            return Err(Error::mismatch(
                labels,
                "data set",
                known.name,
                format!("the labels of {}", other.name),
            ));
        }
    }
    Ok(())
}

fn is_content(file: &KnownFile, sha256: &str) -> bool {
    matches!(file.content, Some(Checksum::Sha256(digits)) if digits == sha256)
}

/// The extra images, where a data set has them, follow the training images.
fn read_svhn(known: &Known, found: &Found, part: &str) -> Result<Images> {
    let role = if part == "test" { Role::Test } else { Role::Train };
    let files = known.files.iter().filter(|file| file.role == role);
    let parts: Vec<Images> =
        files.map(|file| mat::svhn(found.path(file.name)?)).collect::<Result<_>>()?;
    Images::joined(parts)
}

/// From the archive if it is there, else from the batches that are: any of the five will do for
/// training.
fn read_cifar(found: &Found, test_only: bool) -> Result<(Images, Images)> {
    if let Ok(archive) = found.path("cifar-10-binary.tar.gz") {
        return cifar::read_archive(archive);
    }
    let batches = (1..=5).filter_map(|batch| found.path(&format!("data_batch_{batch}.bin")).ok());
    let batches: Vec<&Path> = if test_only { Vec::new() } else { batches.collect() };
    Ok((cifar::read(&batches)?, cifar::read(&[found.path("test_batch.bin")?])?))
}
