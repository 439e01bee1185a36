//! Which files of a folder are the pictures of a data set: its parts, its classes, and what is left
//! out.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];
/// Endings of pictures that are not read: to say so is better than to pass over them.
const OTHER_PICTURES: [&str; 13] = [
    "bmp", "gif", "webp", "tif", "tiff", "heic", "heif", "avif", "jp2", "ppm", "pgm", "svg", "tga",
];
/// What operating systems leave in folders, in small letters; so is every name that begins with a
/// dot.
const LEFT_BY_SYSTEMS: [&str; 3] = ["thumbs.db", "desktop.ini", "__macosx"];
/// Names of left-out files that are told.
const TOLD: usize = 3;

/// One picture and the folder that names its class.
pub(super) struct Picture {
    pub path: PathBuf,
    pub class: Option<String>,
}

/// The pictures of each part, in the order of their names, and what a user must know of the choice.
pub(super) struct Tree {
    /// All pictures, if the folder has no parts.
    pub train: Vec<Picture>,
    pub validation: Option<Vec<Picture>>,
    pub test: Option<Vec<Picture>>,
    pub notes: Vec<String>,
}

/// A part that a folder's name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Train,
    Validation,
    Test,
}

impl Part {
    fn of(folder: &Path) -> Option<Self> {
        let name = folder.file_name()?.to_string_lossy().to_lowercase();
        match name.as_str() {
            "train" | "training" => Some(Self::Train),
            "val" | "valid" | "validation" => Some(Self::Validation),
            "test" | "testing" => Some(Self::Test),
            _ => None,
        }
    }
}

/// Looks through a folder.
///
/// # Errors
/// [`Error::Io`]; [`Error::Mismatch`] if it has no picture, a part has none, or two folders claim
/// the same part.
pub(super) fn read(folder: &Path, test_only: bool) -> Result<Tree> {
    let mut skipped = Skipped::default();
    let (_, folders) = skipped.scan(folder)?;
    let part = |wanted: Part| -> Result<Option<&PathBuf>> {
        let mut found = folders.iter().filter(|path| Part::of(path) == Some(wanted));
        match (found.next(), found.next()) {
            (Some(one), Some(other)) => {
                let expected = format!("one folder for this part, which is {}", one.display());
                Err(Error::mismatch(other, "parts", expected, "a second one"))
            }
            (found, _) => Ok(found),
        }
    };
    let (train, validation, test) =
        (part(Part::Train)?, part(Part::Validation)?, part(Part::Test)?);
    // A lone `train` among other folders is a class: trains are things too.
    let only_parts = !folders.is_empty() && folders.iter().all(|path| Part::of(path).is_some());
    let has_parts = only_parts || (train.is_some() && (validation.is_some() || test.is_some()));
    if !has_parts {
        let train = list(folder, &mut skipped)?;
        return Ok(Tree { train, validation: None, test: None, notes: skipped.notes() });
    }
    if train.is_none() && !(test_only && test.is_some()) {
        let names: Vec<String> = folders.iter().map(|path| name_of(path)).collect();
        return Err(Error::mismatch(folder, "folders", "one called train", names.join(", ")));
    }
    let others = folders.iter().filter(|path| Part::of(path).is_none());
    skipped.leave_out(folder, others, "beside the parts of")?;
    let mut list = |path: Option<&PathBuf>| path.map(|path| list(path, &mut skipped)).transpose();
    let (train, validation, test) =
        (list(train)?.unwrap_or_default(), list(validation)?, list(test)?);
    Ok(Tree { train, validation, test, notes: skipped.notes() })
}

fn no_pictures(folder: &Path, skipped: &Skipped) -> Error {
    let found = [&["none".to_string()], skipped.notes().as_slice()].concat().join("; ");
    Error::mismatch(
        folder,
        "pictures",
        "PNG or JPEG files, or a folder of them for each class",
        found,
    )
}

/// The pictures of a folder: those of its class folders, or its own.
///
/// Class folders hold more pictures, or there are several of them: then what lies beside them is
/// stray. One folder with fewer pictures than lie beside it is itself stray.
fn list(folder: &Path, skipped: &mut Skipped) -> Result<Vec<Picture>> {
    let (own, folders) = skipped.scan(folder)?;
    let (mut classes, mut deeper) = (Vec::new(), Vec::new());
    for folder in folders {
        let (pictures, nested) = skipped.scan(&folder)?;
        if !pictures.is_empty() {
            classes.push((folder, pictures, nested));
        } else if !folder.is_symlink() {
            deeper.push(folder);
        }
    }
    skipped.leave_out(folder, deeper.iter(), "deeper than the class folders of")?;
    let in_classes: usize = classes.iter().map(|(_, pictures, _)| pictures.len()).sum();
    if classes.is_empty() || (classes.len() == 1 && own.len() >= in_classes) {
        for (path, pictures, _) in &classes {
            skipped.stray(
                pictures.len(),
                &format!("in {} beside the pictures of {}", name_of(path), name_of(folder)),
            );
        }
        if own.is_empty() {
            return Err(no_pictures(folder, skipped));
        }
        return Ok(own.into_iter().map(|path| Picture { path, class: None }).collect());
    }
    skipped.stray(own.len(), &format!("beside the class folders of {}", name_of(folder)));
    let mut listed = Vec::new();
    for (path, pictures, nested) in classes {
        let class = Some(name_of(&path));
        skipped.leave_out(&path, nested.iter(), "inside the class folder")?;
        listed.extend(pictures.into_iter().map(|path| Picture { path, class: class.clone() }));
    }
    Ok(listed)
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// What was seen and not taken.
#[derive(Default)]
struct Skipped {
    /// Names of files: of other picture formats, left by systems, anything else.
    files: [Vec<String>; 3],
    strays: Vec<String>,
    scanned: Vec<PathBuf>,
}

/// What the files of [`Skipped`] are.
const KINDS: [&str; 3] = [
    "of a picture format that is not read (PNG and JPEG are)",
    "left by an operating system",
    "without the ending of a picture",
];

impl Skipped {
    /// The pictures and the folders in a folder, each in the order of their names. What is neither
    /// is remembered.
    fn scan(&mut self, folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
        if folder.is_file() {
            let expected = "a folder of them (of one, too), or an .npz file as npz:FILE";
            return Err(Error::mismatch(folder, "pictures", expected, "a file"));
        }
        let (mut pictures, mut folders) = (Vec::new(), Vec::new());
        let mut files: [Vec<String>; 3] = Default::default();
        for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
            let path = entry.map_err(Error::io("list", folder))?.path();
            let name = name_of(&path);
            let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
            if name.starts_with('.') || LEFT_BY_SYSTEMS.contains(&name.to_lowercase().as_str()) {
                files[1].push(name);
            } else if path.is_dir() {
                folders.push(path);
            } else if EXTENSIONS.contains(&extension.as_str()) {
                pictures.push(path);
            } else {
                files[if OTHER_PICTURES.contains(&extension.as_str()) { 0 } else { 2 }].push(name);
            }
        }
        // A folder may be looked at twice; what lies in it is told once.
        if !self.scanned.iter().any(|path| path == folder) {
            self.scanned.push(folder.to_path_buf());
            self.files.iter_mut().zip(files).for_each(|(all, new)| all.extend(new));
        }
        pictures.sort();
        folders.sort();
        Ok((pictures, folders))
    }

    /// Remembers pictures that lie where none are taken from.
    fn stray(&mut self, count: usize, place: &str) {
        if count > 0 {
            self.strays.push(format!("left out: {} {place}", counted(count, "picture")));
        }
    }

    /// Remembers the pictures in these folders of `parent`, and in those within them.
    fn leave_out<'a>(
        &mut self,
        parent: &Path,
        folders: impl Iterator<Item = &'a PathBuf>,
        place: &str,
    ) -> Result<()> {
        for folder in folders {
            self.stray(
                pictures_below(folder)?,
                &format!("in {} {place} {}", name_of(folder), name_of(parent)),
            );
        }
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.strays.clone();
        for (mut names, what) in
            self.files.iter().cloned().zip(KINDS).filter(|(names, _)| !names.is_empty())
        {
            names.sort();
            let mut note = format!("left out: {} {what}: ", counted(names.len(), "file"));
            note += &names[..names.len().min(TOLD)].join(", ");
            if names.len() > TOLD {
                note += &format!(" and {} more", names.len() - TOLD);
            }
            notes.push(note);
        }
        notes
    }
}

/// Pictures in a folder and in those within it; links within it are not followed, for they may lead
/// back to it.
fn pictures_below(folder: &Path) -> Result<usize> {
    let (pictures, folders) = Skipped::default().scan(folder)?;
    let mut count = pictures.len();
    for folder in folders.iter().filter(|folder| !folder.is_symlink()) {
        count += pictures_below(folder)?;
    }
    Ok(count)
}

/// `1 picture`, `2 pictures`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
