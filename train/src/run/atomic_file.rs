//! Files that are either whole or not there: temporary name, sync, rename, sync of the folder.
//!
//! A process killed at any instant, or a disk that fills up, leaves the file that was there before.
//! Nothing but a regular file is ever replaced: a device, a pipe or a symbolic link is refused.
//! Of processes that write the same file at once one waits for the other: each holds the temporary
//! file locked while it writes it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

/// The name under which `path` is written before it takes the place of what was there.
pub fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or(OsString::new(), OsString::from);
    name.push(".tmp");
    path.with_file_name(name)
}

/// The temporary files that this process is writing.
static BEING_WRITTEN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn being_written<R>(work: impl FnOnce(&mut Vec<PathBuf>) -> R) -> R {
    work(&mut BEING_WRITTEN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Removes the temporary files that this process is writing, for whoever ends it in the middle of
/// its work.
pub fn remove_temporary_files() {
    // Best effort: what is left is overwritten by the next write in any case.
    being_written(|paths| paths.drain(..).for_each(|path| drop(fs::remove_file(path))));
}

/// Writes a whole file, or leaves what was there.
///
/// # Errors
/// If a byte can't be written or synced; the temporary file is removed then.
pub fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let _turn = staged(path, content)?;
    commit(path).inspect_err(|_| discard(&temporary_name(path)))
}

/// Refuses to replace what is there if it is no regular file.
///
/// # Errors
/// If it is a folder, a device, a pipe, a socket or a symbolic link.
pub fn refuse_special(path: &Path) -> Result<()> {
    // What is not there, or cannot be looked at, is for the writing to find out.
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let Some(mut what) = rung_datasets::other_than_file(&metadata) else { return Ok(()) };
    let advice = if metadata.is_dir() {
        "give a file's name"
    } else if metadata.is_symlink() {
        what = "a symbolic link";
        "give the name of the file that it leads to, or of another"
    } else {
        "give the name of a file of its own"
    };
    let path = path.display();
    Err(Error::new(format!("can't write {path}: it is {what}, and only files are replaced"))
        .with_advice(advice))
}

/// Reads a whole file. What is no regular file is refused, for a pipe would keep the program
/// waiting and a device may never end.
///
/// # Errors
/// If it can't be read, or is no file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    refuse_endless("read", path)?;
    fs::read(path).map_err(|error| Error::io("read", path, &error))
}

/// Opens a file as `options` say: one of a run's own that is locked, read or written where it
/// lies. What is no regular file is refused, as by [`read`].
///
/// # Errors
/// If it can't be opened, or is no file.
pub fn open(path: &Path, options: &OpenOptions) -> Result<File> {
    refuse_endless("open", path)?;
    options.open(path).map_err(|error| Error::io("open", path, &error))
}

/// Refuses what would keep whoever opens it waiting.
fn refuse_endless(action: &str, path: &Path) -> Result<()> {
    // What is not there, or cannot be looked at, is for the opening to find out.
    let Ok(metadata) = fs::metadata(path) else { return Ok(()) };
    match rung_datasets::other_than_file(&metadata) {
        None => Ok(()),
        Some(what) => Err(Error::new(format!("can't {action} {}: it is {what}", path.display()))
            .with_advice("give a file's name")),
    }
}

/// As [`read`], of text.
///
/// # Errors
/// As [`read`], and if it is no UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|_| {
        Error::io("read", path, &io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
    })
}

/// As [`read_text`]; none where there is no such file.
///
/// # Errors
/// As [`read_text`].
pub fn read_text_if_any(path: &Path) -> Result<Option<String>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        _ => read_text(path).map(Some),
    }
}

/// The first half of [`write()`]: the content, synced, under the temporary name.
///
/// # Errors
/// As [`write()`].
pub fn stage(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    staged(path, content).map(drop)
}

/// As [`stage`]; until the file that is given is dropped, nobody else writes under the temporary
/// name.
fn staged(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<File> {
    refuse_special(path)?;
    let temporary = temporary_name(path);
    let failed = |error: io::Error| Error::io("write", path, &error);
    let file = locked(&temporary).map_err(failed)?;
    being_written(|paths| paths.push(temporary.clone()));
    let written = (|| {
        file.set_len(0).or_else(|error| match file.metadata()?.is_file() {
            true => Err(error),
            false => Ok(()), // A device has no length.
        })?;
        let mut writer = BufWriter::with_capacity(1 << 20, &file);
        content(&mut writer)?;
        writer.flush()?;
        drop(writer);
        file.sync_all()
    })();
    match written {
        Ok(()) => Ok(file),
        Err(error) => {
            discard(&temporary);
            Err(failed(error))
        }
    }
}

/// The file of this name, made if there is none, locked for this process.
fn locked(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        // A file system without locks leaves the processes to themselves.
        let is_locked = file.lock().is_ok();
        // Who had the lock before may have renamed the file, or removed it.
        if !is_locked || is_at(&file, path) {
            return Ok(file);
        }
    }
}

/// Whether this is still the file of that name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (open, named) = (file.metadata().map(identity), fs::metadata(path).map(identity));
    matches!((open, named), (Ok(open), Ok(named)) if open == named)
}

/// Whether this is still the file of that name; elsewhere than on Unix an open file keeps it.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

/// The second half of [`write()`]: the temporary file takes its place.
///
/// # Errors
/// If the file can't be renamed or the folder synced.
pub fn commit(path: &Path) -> Result<()> {
    let temporary = temporary_name(path);
    fs::rename(&temporary, path)
        .inspect(|()| forget(&temporary))
        .and_then(|()| sync_folder(path))
        .map_err(|error| Error::io("write", path, &error))
}

/// Removes a temporary file that comes to nothing.
fn discard(temporary: &Path) {
    // Best effort: what is left is overwritten by the next write in any case.
    let _ = fs::remove_file(temporary);
    forget(temporary);
}

/// Notes that a temporary file is written no more.
fn forget(temporary: &Path) {
    being_written(|paths| paths.retain(|path| path != temporary));
}

/// Makes the renames in the folder of `path` last through a power cut, where the system can.
fn sync_folder(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(()); // Windows can't open a folder as a file, and journals renames itself.
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_litter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write(&path, |out| out.write_all(b"old")).unwrap();
        let error = write(&path, |out| {
            out.write_all(b"half of the n")?;
            Err(ErrorKind::StorageFull.into())
        })
        .unwrap_err();
        assert!(error.cause().ends_with("the disk is full"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_disk_that_is_really_full_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::os::unix::fs::symlink("/dev/full", temporary_name(&path)).unwrap();
        let error = write(&path, |out| out.write_all(b"new")).unwrap_err();
        assert!(error.cause().ends_with("the disk is full"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    #[cfg(unix)]
    fn what_is_no_regular_file_is_left_as_it_is() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        use std::os::unix::net::UnixListener;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "kept").unwrap();
        symlink(at("file"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        for (name, what) in [
            ("link", "a symbolic link"),
            ("dangling", "a symbolic link"),
            ("folder", "a folder"),
            ("socket", "a device, a pipe or a socket"),
        ] {
            let error = write(&at(name), |out| out.write_all(b"new")).unwrap_err();
            let said = format!("{name}: it is {what}, and only files are replaced");
            assert!(error.cause().ends_with(&said), "{error}");
        }
        let error = write(Path::new("/dev/null"), |out| out.write_all(b"new")).unwrap_err();
        assert!(error.cause().contains("/dev/null: it is a device"), "{error}");
        assert!(fs::symlink_metadata("/dev/null").unwrap().file_type().is_char_device());
        // A name that ends like a folder's is no file's.
        assert!(write(&at("new/"), |out| out.write_all(b"new")).is_err());
        assert!(!temporary_name(&at("new")).exists());
        assert_eq!(fs::read(at("file")).unwrap(), b"kept");
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink() && !at("nowhere").exists());
    }

    #[test]
    #[cfg(unix)]
    fn what_would_keep_the_program_waiting_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let said = [
            read_text_if_any(&pipe).unwrap_err(),
            open(&pipe, OpenOptions::new().append(true)).unwrap_err(),
            read(Path::new("/dev/zero")).unwrap_err(),
        ];
        for error in said {
            assert!(error.cause().ends_with("it is a device, a pipe or a socket"), "{error}");
        }
        assert_eq!(read_text_if_any(&folder.path().join("nowhere")).unwrap(), None);
    }

    #[test]
    fn of_many_writers_at_once_none_fails_and_the_file_is_always_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::thread::scope(|scope| {
            for writer in 0..8u8 {
                let path = &path;
                scope.spawn(move || {
                    for length in [1, 5000, 40] {
                        write(path, |out| out.write_all(&vec![writer; length])).unwrap();
                        let found = fs::read(path).unwrap();
                        assert!([1, 5000, 40].contains(&found.len()));
                        assert!(found.iter().all(|byte| *byte == found[0]));
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_stale_temporary_file_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(temporary_name(&path), "a much longer leftover").unwrap();
        write(&path, |out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(!temporary_name(&path).exists());
    }
}
