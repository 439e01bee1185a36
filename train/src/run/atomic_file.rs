//! Files that are either whole or not there: temporary name, sync, rename, sync of the folder.
//!
//! A process killed at any instant, or a disk that fills up, leaves the file that was there before.
//! Nothing but a regular file is ever replaced: a device, a pipe or a symbolic link is refused.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The name under which `path` is written before it takes the place of what was there.
pub fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or(OsString::new(), OsString::from);
    name.push(".tmp");
    path.with_file_name(name)
}

/// Writes a whole file, or leaves what was there.
///
/// # Errors
/// If a byte can't be written or synced; the temporary file is removed then.
pub fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    stage(path, content)?;
    commit(path)
}

/// Refuses to replace what is there if it is no regular file.
///
/// # Errors
/// If it is a folder, a device, a pipe, a socket or a symbolic link.
pub fn refuse_special(path: &Path) -> Result<()> {
    // What is not there, or cannot be looked at, is for the writing to find out.
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let (what, advice) = if kind.is_dir() {
        ("a folder", "give a file's name")
    } else if kind.is_symlink() {
        ("a symbolic link", "give the name of the file that it leads to, or of another")
    } else {
        ("a device, a pipe or a socket", "give the name of a file of its own")
    };
    let path = path.display();
    Err(Error::new(format!("can't write {path}: it is {what}, and only files are replaced"))
        .with_advice(advice))
}

/// The first half of [`write()`]: the content, synced, under the temporary name.
///
/// # Errors
/// As [`write()`].
pub fn stage(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    refuse_special(path)?;
    let temporary = temporary_name(path);
    let written = (|| {
        let mut writer = BufWriter::with_capacity(1 << 20, File::create(&temporary)?);
        content(&mut writer)?;
        writer.flush()?;
        writer.get_ref().sync_all()
    })();
    written.map_err(|error| {
        // Best effort: what is left is overwritten by the next write in any case.
        let _ = fs::remove_file(&temporary);
        Error::io("write", path, &error)
    })
}

/// The second half of [`write()`]: the temporary file takes its place.
///
/// # Errors
/// If the file can't be renamed or the folder synced.
pub fn commit(path: &Path) -> Result<()> {
    fs::rename(temporary_name(path), path)
        .and_then(|()| sync_folder(path))
        .map_err(|error| Error::io("write", path, &error))
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
    use std::io::ErrorKind;

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
        assert_eq!(fs::read(at("file")).unwrap(), b"kept");
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink() && !at("nowhere").exists());
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
