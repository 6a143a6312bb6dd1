//! Secret bytes and the one way to read them from a file. Never shown, copied, compared or serialised.

use std::{fmt, fs::File, io, io::Read, os::unix::fs::MetadataExt, path::Path};

use zeroize::Zeroizing;

/// Bytes nobody may see; wiped when dropped.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over the bytes.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// Reads a file of at most 64 KiB that only its owner may touch: mode 0600 or tighter. A file of root's may be
    /// readable by its group as well (0440), which is how a mounted secret reaches a process that is not root.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is no regular file, is too open, or is too large.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let file = File::open(path)?;
        // Of the open file, not of the path: what was checked is what is read.
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(SecretError::NotAFile);
        }
        if !private(about.mode(), about.uid()) {
            return Err(SecretError::TooOpen);
        }
        // All the room at once: a buffer that grew would leave copies behind that are never wiped.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LIMIT + 1));
        let mut buffer = Zeroizing::new([0; 4096]);
        let mut file = file.take(LIMIT as u64 + 1);
        loop {
            let count = file.read(buffer.as_mut_slice())?;
            match buffer.get(..count) {
                None | Some([]) => break,
                Some(part) => bytes.extend_from_slice(part),
            }
        }
        if bytes.len() > LIMIT { Err(SecretError::TooLarge) } else { Ok(Self(bytes)) }
    }

    /// The bytes themselves. Whoever calls this keeps them out of errors, logs and copies.
    pub fn expose_secret_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why a secret was not read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The operating system said no.
    #[error("cannot be read")]
    Unreadable(#[from] io::Error),
    /// A folder, a socket or a device.
    #[error("must be a regular file")]
    NotAFile,
    /// Others than its owner may read or change it.
    #[error("must have mode 0600 or tighter (0440 when owned by root)")]
    TooOpen,
    /// More than 64 KiB.
    #[error("must be at most 64 KiB")]
    TooLarge,
}

fn private(mode: u32, owner: u32) -> bool {
    let allowed = if owner == 0 && mode & 0o200 == 0 { 0o440 } else { 0o600 };
    mode & 0o7777 & !allowed == 0
}

const LIMIT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn only_a_private_mode_is_taken() {
        for (mode, owner, expected) in [
            (0o600, 1000, true),
            (0o400, 1000, true),
            (0o440, 0, true),
            (0o440, 1000, false),
            (0o640, 0, false),
            (0o604, 0, false),
            (0o700, 1000, false),
        ] {
            assert_eq!(private(0o100_000 | mode, owner), expected, "{mode:o} of {owner}");
        }
    }

    #[test]
    fn a_secret_is_read_whole_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, vec![b'x'; LIMIT]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Secret::read(&path), Err(SecretError::TooOpen)));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let secret = Secret::read(&path).unwrap();
        assert_eq!(secret.expose_secret_bytes().len(), LIMIT);
        assert_eq!(format!("{secret:?}"), "Secret");
        fs::write(&path, vec![b'x'; LIMIT + 1]).unwrap();
        assert!(matches!(Secret::read(&path), Err(SecretError::TooLarge)));
    }
}
