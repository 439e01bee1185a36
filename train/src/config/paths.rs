//! Paths in a configuration, which are those of the machine and not of the folder that a command
//! happens to be run in.

use std::path::{Path, PathBuf, absolute};

use super::{Config, DataConfig};
use crate::data::source::DEFAULT_FOLDER;
use crate::error::{Error, Result};

/// What stands before the path of a user's own images.
const OWN_SCHEMES: [&str; 4] = ["npz", "images", "sequences:npz", "sequences:images"];

impl Config {
    /// The configuration with every path in it absolute: of the data and of the run that the
    /// training starts from.
    ///
    /// # Errors
    /// If the current folder is gone, or a path isn't UTF-8.
    pub fn with_absolute_paths(mut self) -> Result<Self> {
        self.data = self.data.with_absolute_path()?;
        let data = &mut self.data;
        if data.own_path().is_none() && data.directory.is_empty() && !data.is_built_in() {
            data.directory = DEFAULT_FOLDER.into();
        }
        for path in [&mut self.data.directory, &mut self.train.init_from] {
            if !path.is_empty() {
                *path = absolute_text(Path::new(path))?;
            }
        }
        Ok(self)
    }
}

impl DataConfig {
    /// The same with an absolute path to a user's own images.
    ///
    /// # Errors
    /// As [`Config::with_absolute_paths`].
    pub fn with_absolute_path(mut self) -> Result<Self> {
        if let Some((scheme, path)) = self.own_path() {
            self.name = format!("{scheme}:{}", absolute_text(path)?);
        }
        Ok(self)
    }

    /// Whether the program draws the images without any file.
    fn is_built_in(&self) -> bool {
        self.sequences_of().unwrap_or(&self.name) == Self::default().name
    }

    /// The file or folder of a user's own images, after the scheme that is before its colon.
    fn own_path(&self) -> Option<(&'static str, &Path)> {
        let path = |scheme: &'static str| {
            Some((scheme, Path::new(self.name.strip_prefix(scheme)?.strip_prefix(':')?)))
        };
        OWN_SCHEMES.into_iter().find_map(path)
    }

    /// Looks for the data in another folder: a known data set, or a user's own file or folder that
    /// is no longer where it was and lies there under its own name.
    pub fn look_in(&mut self, folder: &Path) {
        self.directory = folder.display().to_string();
        let moved = |path: &Path| -> Option<PathBuf> {
            let there = folder.join(path.file_name()?);
            (!path.exists() && there.exists()).then_some(there)
        };
        if let Some((scheme, path)) =
            self.own_path().and_then(|(scheme, path)| Some((scheme, moved(path)?)))
        {
            self.name = format!("{scheme}:{}", path.display());
        }
    }
}

fn absolute_text(path: &Path) -> Result<String> {
    let found = absolute(path).map_err(|error| Error::io("find", path, &error))?;
    let text = found.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        Error::new(format!(
            "{}: the path isn't UTF-8, which a configuration file has to be",
            found.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, directory: &str) -> DataConfig {
        let data =
            DataConfig { name: name.into(), directory: directory.into(), ..DataConfig::default() };
        Config { data, ..Config::default() }.with_absolute_paths().unwrap().data
    }

    #[test]
    fn every_path_becomes_absolute() {
        let here = |path: &str| std::env::current_dir().unwrap().join(path).display().to_string();
        assert_eq!(with("npz:a.npz", "").name, format!("npz:{}", here("a.npz")));
        assert_eq!(with("images:cats", "d").directory, here("d"));
        assert_eq!(
            (with("mnist", "").directory, with("mnist", "").name),
            (here("data"), "mnist".into())
        );
        for drawn in ["glyphs", "sequences:glyphs"] {
            assert_eq!(with(drawn, "").directory, "", "drawn, not read");
        }
        assert_eq!(with("sequences:mnist", "").directory, here("data"));
        let own = with("sequences:npz:a.npz", "").name;
        assert_eq!(own, format!("sequences:npz:{}", here("a.npz")));
        let mut config = Config::default();
        config.train.init_from = "runs/a".into();
        assert_eq!(config.with_absolute_paths().unwrap().train.init_from, here("runs/a"));
    }

    #[test]
    fn a_moved_file_is_found_by_its_name_and_one_in_its_place_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| folder.path().join(name));
        [&old, &new].into_iter().for_each(|path| std::fs::create_dir(path).unwrap());
        std::fs::write(new.join("a.npz"), "").unwrap();
        let name = |path: &Path| format!("npz:{}", path.join("a.npz").display());
        let mut data = with(&name(&old), "");
        data.look_in(&new);
        assert_eq!(data.name, name(&new));
        std::fs::write(old.join("a.npz"), "").unwrap();
        data.look_in(&old);
        assert_eq!(data.name, name(&new));
    }
}
