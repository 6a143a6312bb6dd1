//! A file of checksummed frames, only ever appended to or replaced as a whole. Knows nothing of what a frame means.
//!
//! Layout: `magic ‖ frame*`, frame = `length u32 ‖ kind u8 ‖ check u32 ‖ payload ‖ digest [u8; 8]`, numbers big-endian.
//! `check` covers length and kind, so that a damaged length is damage and not a longer last frame; `digest` covers the
//! payload. Both are cut from SHA-256.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};

/// An open file, at its end. Locked: a second process that opens it is refused.
#[derive(Debug)]
pub struct FramedFile {
    path: PathBuf,
    file: File,
    broken: bool,
}

impl FramedFile {
    /// Opens or creates the file and hands each whole frame to `each`, in order.
    ///
    /// A last frame that was cut short by a crash is dropped, in the file too: it was never acknowledged. `each` may end
    /// the reading with an error of its own, and nothing is changed then.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: somebody else holds the file, it is of another kind or version, or a frame is damaged.
    pub fn open<E: From<OpenError>>(
        path: &Path,
        mut each: impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(OpenError::Io)?;
        lock(&file)?;
        let length = file.metadata().map_err(OpenError::Io)?.len();
        let whole = if length == 0 {
            file.write_all(MAGIC)
                .and_then(|()| file.sync_all())
                .and_then(|()| sync_folder(path))
                .map_err(OpenError::Io)?;
            MAGIC.len() as u64
        } else {
            read_frames(&mut BufReader::new(&file), length, &mut each)?
        };
        if whole < length {
            tracing::warn!(dropped_bytes = length - whole, "the last frame was cut short and is dropped");
            file.set_len(whole).and_then(|()| file.sync_all()).map_err(OpenError::Io)?;
        }
        file.seek(SeekFrom::Start(whole)).map_err(OpenError::Io)?;
        Ok(Self { path: path.to_owned(), file, broken: false })
    }

    /// Appends frames and returns once they are on the disk.
    ///
    /// # Errors
    ///
    /// After a failed write or sync nobody knows what the disk holds, so every later call fails too, until
    /// [`FramedFile::replace`] or a restart.
    pub fn append(&mut self, frames: &[Frame<'_>]) -> io::Result<()> {
        self.append_unsynced(frames)?;
        self.file.sync_data().inspect_err(|_| self.broken = true)
    }

    /// As [`FramedFile::append`], for frames whose loss does no harm: written, but not waited for.
    ///
    /// # Errors
    ///
    /// As [`FramedFile::append`].
    pub fn append_unsynced(&mut self, frames: &[Frame<'_>]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed"));
        }
        let mut bytes = Vec::new();
        for frame in frames {
            frame.write_to(&mut bytes)?;
        }
        self.file.write_all(&bytes).inspect_err(|_| self.broken = true)
    }

    /// Replaces the whole content: written beside, synced, renamed over, folder synced. A crash leaves the old file or
    /// the new one, never a mixture.
    ///
    /// # Errors
    ///
    /// The old file stands when this fails; or the new one, broken, when only its name could not be made durable.
    pub fn replace(&mut self, fill: impl FnOnce(&mut Filler<'_>) -> io::Result<()>) -> io::Result<()> {
        let beside = self.path.with_added_extension("new");
        let new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        lock(&new).map_err(io::Error::other)?;
        let mut writer = BufWriter::new(&new);
        writer.write_all(MAGIC)?;
        fill(&mut Filler(&mut writer))?;
        writer.flush()?;
        drop(writer);
        new.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        // From here on the name means the new file: what is appended to the old one would be lost at the next start.
        self.file = new;
        let named = sync_folder(&self.path);
        self.broken = named.is_err();
        named
    }

    /// Hands each whole frame of the file at `path` to `each`, in order, and changes nothing. For the holder of that file:
    /// nobody else knows that it does not grow meanwhile.
    ///
    /// # Errors
    ///
    /// As [`FramedFile::open`], but for the lock.
    pub fn read<E: From<OpenError>>(
        path: &Path,
        mut each: impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let file = File::open(path).map_err(OpenError::Io)?;
        let length = file.metadata().map_err(OpenError::Io)?.len();
        read_frames(&mut BufReader::new(file), length, &mut each).map(|_whole| ())
    }

    /// Bytes in the file.
    ///
    /// # Errors
    ///
    /// When the file cannot be asked.
    pub fn size(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }
}

/// Takes the frames of a new content.
#[expect(missing_debug_implementations, reason = "wraps a writer that has none worth showing")]
pub struct Filler<'a>(&'a mut dyn Write);

impl Filler<'_> {
    /// Adds one frame.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn add(&mut self, frame: Frame<'_>) -> io::Result<()> {
        frame.write_to(self.0)
    }
}

/// One frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame<'a> {
    /// What it holds; the caller's business.
    pub kind: u8,
    /// At most [`Frame::MAX_LEN`] bytes.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// The most bytes a payload may have.
    pub const MAX_LEN: usize = 4 << 20;

    fn write_to(&self, to: &mut (impl Write + ?Sized)) -> io::Result<()> {
        let length = u32::try_from(self.payload.len())
            .ok()
            .filter(|_| self.payload.len() <= Self::MAX_LEN)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "frame too long"))?;
        to.write_all(&length.to_be_bytes())?;
        to.write_all(&[self.kind])?;
        to.write_all(&head_check(length, self.kind))?;
        to.write_all(self.payload)?;
        to.write_all(&payload_digest(self.payload))
    }
}

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk's fault.
    #[error("cannot be read or written")]
    Io(#[source] io::Error),
    /// Another process has it open.
    #[error("is in use by another process")]
    InUse,
    /// The first bytes are not ours, or of a version that this program does not know.
    #[error("is not a file of this kind and version")]
    Foreign,
    /// A frame does not match its checksum.
    #[error("is damaged at byte {offset}")]
    Damaged {
        /// Where the frame begins.
        offset: u64,
    },
}

/// Reads frames until the end; returns how many bytes are whole.
fn read_frames<E: From<OpenError>>(
    from: &mut impl Read,
    length: u64,
    each: &mut impl FnMut(Frame<'_>) -> Result<(), E>,
) -> Result<u64, E> {
    let mut magic = [0; MAGIC.len()];
    if length < MAGIC.len() as u64 {
        return Err(OpenError::Foreign.into());
    }
    from.read_exact(&mut magic).map_err(OpenError::Io)?;
    if &magic != MAGIC {
        return Err(OpenError::Foreign.into());
    }
    let mut offset = MAGIC.len() as u64;
    let mut payload = Vec::new();
    loop {
        let left = length - offset;
        let mut head = [0; HEAD_LEN];
        if left < HEAD_LEN as u64 {
            return Ok(offset);
        }
        from.read_exact(&mut head).map_err(OpenError::Io)?;
        let [l0, l1, l2, l3, kind, check @ ..] = head;
        let size = u32::from_be_bytes([l0, l1, l2, l3]);
        if check != head_check(size, kind) || size as usize > Frame::MAX_LEN {
            // A file system may have grown the file before it wrote the bytes: zeros to the end are a torn tail.
            return if head == [0; HEAD_LEN] && only_zeros(from).map_err(OpenError::Io)? {
                Ok(offset)
            } else {
                Err(OpenError::Damaged { offset }.into())
            };
        }
        let frame_len = (HEAD_LEN + DIGEST_LEN) as u64 + u64::from(size);
        if left < frame_len {
            return Ok(offset);
        }
        payload.resize(size as usize, 0);
        let mut expected = [0; DIGEST_LEN];
        from.read_exact(&mut payload).and_then(|()| from.read_exact(&mut expected)).map_err(OpenError::Io)?;
        if payload_digest(&payload) != expected {
            return Err(OpenError::Damaged { offset }.into());
        }
        each(Frame { kind, payload: &payload })?;
        offset += frame_len;
    }
}

fn only_zeros(from: &mut impl Read) -> io::Result<bool> {
    let mut chunk = [0; 4096];
    loop {
        match from.read(&mut chunk)? {
            0 => return Ok(true),
            read => {
                if chunk.iter().take(read).any(|byte| *byte != 0) {
                    return Ok(false);
                }
            }
        }
    }
}

fn lock(file: &File) -> Result<(), OpenError> {
    match rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse),
        Err(error) => Err(OpenError::Io(error.into())),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn head_check(length: u32, kind: u8) -> [u8; 4] {
    let [l0, l1, l2, l3] = length.to_be_bytes();
    first(&[l0, l1, l2, l3, kind])
}

fn payload_digest(payload: &[u8]) -> [u8; DIGEST_LEN] {
    first(payload)
}

/// The first `N` bytes of the SHA-256, `N` ≤ 32.
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut cut = [0; N];
    for (to, from) in cut.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    cut
}

const MAGIC: &[u8; 12] = b"ipms-frames1";
const HEAD_LEN: usize = 9;
const DIGEST_LEN: usize = 8;

#[cfg(test)]
mod tests;
