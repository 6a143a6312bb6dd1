//! The secrets of the layers: a file each, apart from the data, so that destroying one leaves nothing that opens it.
//!
//! A real component keeps them in a key service or a hardware module: overwriting a file does not reach every copy that
//! a file system or a solid-state disk may keep.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use common::secret::{Secret, SecretError};

use super::{
    crypto::{SECRET_BYTES, drawn_secret},
    layer::Layer,
};

#[derive(Debug)]
pub(crate) struct KeyFolder(PathBuf);

impl KeyFolder {
    /// Makes the folder when there is none.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self(path.to_owned()))
    }

    /// `None` when there is none, or no more.
    pub(crate) fn read(&self, layer: &Layer) -> Result<Option<Secret>, SecretError> {
        match Secret::read(&self.file(layer)) {
            Ok(secret) => Ok(Some(secret)),
            Err(SecretError::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Draws one. It is whole on the disk, or not there.
    pub(crate) fn make(&self, layer: &Layer) -> io::Result<Secret> {
        let secret = drawn_secret().map_err(|_none| io::Error::other("no random bytes"))?;
        let (file, unfinished) = (self.file(layer), self.0.join("unfinished"));
        let mut out =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        out.write_all(&secret)?;
        out.sync_all()?;
        fs::rename(unfinished, file)?;
        self.sync()?;
        Ok(Secret::new(secret))
    }

    /// Overwrites it and removes it. Nothing to do is done.
    pub(crate) fn destroy(&self, layer: &Layer) -> io::Result<()> {
        let path = self.file(layer);
        match OpenOptions::new().write(true).open(&path) {
            Ok(mut file) => {
                file.write_all(&[0; SECRET_BYTES])?;
                file.sync_all()?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        fs::remove_file(path)?;
        self.sync()
    }

    /// No part of a layer's name can hold an underscore or a dot.
    fn file(&self, layer: &Layer) -> PathBuf {
        self.0.join(layer.name().replace('/', "_") + ".key")
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}
