//! The verifier's own file: what it holds, so that a restart goes on from there. Believed only under signed heads.
//!
//! Frames: the identity first, then runs of entries, each covered by a signed head further on, signed statements, and
//! renewals of the lease. The entries in it are one consecutive run of one epoch.

mod damage;
mod frames;
mod load;
mod rewrite;

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use common::{
    clock::Now,
    revocation::{
        head::{Head, Link},
        lease::{BootId, LeaseRecord},
        log::Log,
    },
    timestamp::Timestamp,
    trust::{LogKeys, Trust, Verified},
};

use self::{
    damage::Stop,
    frames::{Holder, run_payload, signed_payload},
    load::{Loaded, Loader},
    rewrite::measure,
};
pub use self::{
    damage::{Damage, SnapshotError},
    frames::Identity,
};
use crate::{
    adapters::framed_file::{Frame, FramedFile, OpenError},
    domain::{
        feed::{Batch, Book, Run},
        view::View,
    },
};

/// The open file.
#[derive(Debug)]
pub struct Snapshot {
    path: PathBuf,
    identity: Identity,
    file: FramedFile,
    head: Option<Verified<Head>>,
    trust: Option<Verified<Trust>>,
    lease: Option<LeaseRecord>,
    /// Entries in the file, live or not, and their bytes.
    entries: u64,
    entry_bytes: u64,
    /// The size after the last rewriting.
    rewritten: u64,
    /// A write failed, so the end of the file is of no use.
    torn: bool,
    /// This process, and the boot that it runs in.
    holder: Option<(u64, BootId)>,
    /// The file names it.
    named: bool,
    /// The file names the log keys that are pinned now.
    identified: bool,
}

/// A file that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub snapshot: Snapshot,
    /// What it held.
    pub view: View,
    /// A file that could not be believed, and was set aside: an operator must be told.
    pub refused: Option<SetAside>,
    /// The file was touched since its lease was written, as by putting an older copy back: its entries are signed and
    /// stay, its lease is not believed.
    pub rolled_back: bool,
    /// The instance that held this very file before, in this boot. It has ended: its lock is gone.
    pub predecessor: Option<u64>,
}

/// A file that could not be believed.
#[derive(Debug)]
pub struct SetAside {
    /// Why.
    pub why: Damage,
    /// Where it is now.
    pub path: PathBuf,
}

impl Snapshot {
    /// Opens or creates the file. A lease goes on only in the same boot, and only if the wall clock did not go back.
    ///
    /// A file that is damaged or contradicts itself is renamed to `<path>.refused-<n>` and a new one begun, without a
    /// lease.
    ///
    /// # Errors
    /// [`SnapshotError`]: the start must stop.
    pub fn open(
        path: &Path,
        identity: &Identity,
        keys: &LogKeys,
        boot: BootId,
        now: Now,
    ) -> Result<Opened, SnapshotError> {
        let why = match Self::load(path, identity, keys, boot, now) {
            Ok((snapshot, view, rolled_back, predecessor)) => {
                return Ok(Opened { snapshot, view, refused: None, rolled_back, predecessor });
            }
            Err(Stop::Damage(why)) => why,
            Err(Stop::Foreign | Stop::Open(OpenError::Foreign)) => return Err(SnapshotError::Foreign),
            Err(Stop::Open(OpenError::InUse)) => return Err(SnapshotError::InUse),
            Err(Stop::Open(OpenError::Damaged { offset })) => Damage::Frame { offset },
            Err(Stop::Open(OpenError::Io(error))) => return Err(SnapshotError::Io(error)),
        };
        let aside = set_aside(path)?;
        tracing::error!(%why, aside = %aside.display(), "the snapshot is refused and set aside");
        match Self::load(path, identity, keys, boot, now) {
            Ok((snapshot, view, rolled_back, predecessor)) => {
                let refused = Some(SetAside { why, path: aside });
                Ok(Opened { snapshot, view, refused, rolled_back, predecessor })
            }
            Err(_) => Err(SnapshotError::Io(io::Error::other("a new file cannot be begun"))),
        }
    }

    fn load(
        path: &Path,
        identity: &Identity,
        keys: &LogKeys,
        boot: BootId,
        now: Now,
    ) -> Result<(Self, View, bool, Option<u64>), Stop> {
        // Before it is opened, which may cut a torn end off.
        let changed = changed_at(path);
        let mut loader = Loader::new(identity, keys);
        let file = FramedFile::open(path, |frame| loader.take(frame))?;
        let (entries, entry_bytes) = (loader.entries, loader.entry_bytes);
        let Loaded { mut view, head, mut lease, holder, identified, loose_end } = loader.finish(boot, now)?;
        let same = |holder: &Holder| holder.boot == boot && Some(holder.file) == number(path);
        let predecessor = holder.filter(same).map(|holder| holder.instance);
        let rolled_back = touched_since(lease.as_ref(), changed, now);
        if rolled_back {
            tracing::error!(
                "the snapshot was changed by somebody else since its lease was written: it has no lease"
            );
            (lease, view.lease) = (None, None);
        }
        let mut snapshot = Self {
            path: path.to_owned(),
            identity: identity.clone(),
            file,
            head,
            trust: view.trust.as_deref().cloned(),
            lease,
            entries,
            entry_bytes,
            rewritten: 0,
            torn: loose_end,
            holder: None,
            named: false,
            identified: identified.as_ref() == Some(identity),
        };
        if identified.is_none() {
            let payload = snapshot.identity.to_bytes();
            snapshot.write(&[Frame { kind: frames::IDENTITY, payload: &payload }])?;
            snapshot.identified = true;
        }
        snapshot.mend()?;
        Ok((snapshot, view, rolled_back, predecessor))
    }

    /// This process holds the file from now on, in this boot: so its successor can say whose row is of nobody any more.
    pub const fn hold(&mut self, instance: u64, boot: BootId) {
        self.holder = Some((instance, boot));
    }

    fn is_followed_by(&self, batch: &Batch) -> bool {
        let Some(held) = self.head.as_ref().map(Verified::statement) else { return self.entries == 0 };
        let given = batch.head.statement();
        match batch.runs.first() {
            Some(run) => {
                let follows = Link { sequence: run.first.saturating_sub(1), hash: run.previous };
                run.epoch == held.epoch && follows == held.end
            }
            None => (given.epoch, given.end) == (held.epoch, held.end),
        }
    }

    fn write(&mut self, frames: &[Frame<'_>]) -> io::Result<()> {
        self.file.append(frames).inspect_err(|_| self.torn = true)
    }
}

/// Device and inode: a copy has others.
fn number(path: &Path) -> Option<(u64, u64)> {
    let of = fs::metadata(path).ok()?;
    Some((of.dev(), of.ino()))
}

/// When anything about the file was last changed, as the file system has it: nobody can set that back.
fn changed_at(path: &Path) -> Option<Timestamp> {
    let changed = fs::metadata(path).ok()?.ctime();
    Timestamp::from_seconds(u64::try_from(changed).ok()?)
}

/// The verifier renews its lease in the file each second, so whoever changes the file later is somebody else. A change
/// from the future tells nothing: the clocks are not the same.
fn touched_since(lease: Option<&LeaseRecord>, changed: Option<Timestamp>, now: Now) -> bool {
    let Some((lease, changed)) = lease.zip(changed) else { return false };
    changed > lease.sent_at().plus(RENEWED) && changed <= now.wall.plus(RENEWED)
}

impl Book for Snapshot {
    fn head(&self) -> Option<&Verified<Head>> {
        self.head.as_ref()
    }

    fn append(&mut self, batch: &Batch) -> io::Result<()> {
        if !self.is_followed_by(batch) {
            return self.begin_again(batch);
        }
        self.mend()?;
        for run in &batch.runs {
            let frame = Frame { kind: frames::ENTRIES, payload: &run_payload(run) };
            self.file.append_unsynced(&[frame]).inspect_err(|_| self.torn = true)?;
        }
        self.write(&[Frame { kind: frames::HEAD, payload: &signed_payload(&batch.head) }])?;
        let (entries, bytes) = measure(&batch.runs);
        self.entries += entries;
        self.entry_bytes += bytes;
        self.head = Some(batch.head.clone());
        Ok(())
    }

    fn trust(&mut self, trust: &Verified<Trust>) -> io::Result<()> {
        self.mend()?;
        self.write(&[Frame { kind: frames::TRUST, payload: &signed_payload(trust) }])?;
        (self.trust, self.lease) = (Some(trust.clone()), None);
        Ok(())
    }

    fn lease(&mut self, record: LeaseRecord) -> io::Result<()> {
        self.mend()?;
        // With a lease, not before: a file that was touched since its last lease has none. So while no issuer answers it goes
        // on from keys of which one is pinned still.
        if !self.identified {
            let frame = Frame { kind: frames::IDENTITY, payload: &self.identity.to_bytes() };
            self.file.append_unsynced(&[frame]).inspect_err(|_| self.torn = true)?;
            self.identified = true;
        }
        if let Some((instance, boot)) = self.holder.filter(|_| !self.named)
            && let Some(file) = number(&self.path)
        {
            let payload = Holder { instance, boot, file }.to_bytes();
            let frame = Frame { kind: frames::HOLDER, payload: &payload };
            self.file.append_unsynced(&[frame]).inspect_err(|_| self.torn = true)?;
            self.named = true;
        }
        let frame = Frame { kind: frames::LEASE, payload: &record.to_bytes() };
        self.file.append_unsynced(&[frame]).inspect_err(|_| self.torn = true)?;
        self.lease = Some(record);
        Ok(())
    }

    fn relinquish(&mut self) -> io::Result<()> {
        // No lease outlives a statement, and without one nothing can be decided.
        self.trust.clone().map_or(Ok(()), |trust| self.trust(&trust))
    }

    fn compact(&mut self, log: &Log) -> io::Result<bool> {
        let size = self.file.size()?;
        let live = self.entry_bytes.saturating_mul(log.entries()).checked_div(self.entries).unwrap_or(0);
        let worth_it = size > live.saturating_mul(2) && size >= self.rewritten.saturating_add(SMALLEST);
        if worth_it {
            let epoch = log.set().epoch();
            // Not what the head still covers, though it has expired here: a file shows that it is whole.
            let covered = self.head.as_ref().map_or(0, |head| head.statement().base.sequence);
            let base = log.base().sequence.min(covered);
            self.rewrite(|run| run.epoch == epoch && run.last() <= base)?;
        }
        Ok(worth_it)
    }

    fn runs_after(&self, after: u64, each: &mut dyn FnMut(Run) -> io::Result<()>) -> io::Result<()> {
        self.covered(|run| if run.last() > after { each(run.to_run()) } else { Ok(()) })
    }
}

fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let names = (1..=u16::MAX).map(|n| path.with_added_extension(format!("refused-{n}")));
    let free = names.into_iter().find(|to| !to.exists());
    let to = free.ok_or_else(|| io::Error::other("no name is left for a refused file"))?;
    fs::rename(path, &to)?;
    Ok(to)
}

/// A file below this is not rewritten: it need not grow by more than this either.
const SMALLEST: u64 = 1 << 20;
/// Between the probe that renewed a lease and the last write of this verifier's own, at most.
const RENEWED: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
