//! From frames to a view: what the file holds is believed only as far as a signed head covers it. Writes nothing.

use std::sync::Arc;

use common::{
    clock::Now,
    revocation::{
        head::{Head, Link},
        lease::{BootId, LeaseRecord},
        log::Log,
    },
    trust::{LogKeys, NotTrusted, Signed, Statement as _, Trust, Verified},
};

use super::{
    Damage, Identity,
    damage::Stop,
    frames::{self, Holder, RunFrame},
};
use crate::{
    adapters::framed_file::Frame,
    domain::{feed::Run, view::View},
};

/// Takes the frames in order.
pub(super) struct Loader<'a> {
    identity: &'a Identity,
    keys: &'a LogKeys,
    /// What the file said last of itself.
    identified: Option<Identity>,
    /// Everything before the last head; before the first head, everything.
    log: Option<Log>,
    /// Runs behind the last head: no head covers them yet.
    uncovered: Vec<Run>,
    head: Option<(Head, Signed)>,
    trust: Option<(Trust, Signed)>,
    lease: Option<LeaseRecord>,
    holder: Option<Holder>,
    pub(super) entries: u64,
    pub(super) entry_bytes: u64,
}

/// What was found.
pub(super) struct Loaded {
    pub(super) view: View,
    pub(super) head: Option<Verified<Head>>,
    pub(super) lease: Option<LeaseRecord>,
    /// Who held the file last.
    pub(super) holder: Option<Holder>,
    /// Whose the file says it is; nothing when it is new.
    pub(super) identified: Option<Identity>,
    /// Runs at the end that no head covers: not believed, and to be taken out of the file.
    pub(super) loose_end: bool,
}

impl<'a> Loader<'a> {
    pub(super) const fn new(identity: &'a Identity, keys: &'a LogKeys) -> Self {
        Self {
            identity,
            keys,
            identified: None,
            log: None,
            uncovered: Vec::new(),
            head: None,
            trust: None,
            lease: None,
            holder: None,
            entries: 0,
            entry_bytes: 0,
        }
    }

    pub(super) fn take(&mut self, frame: Frame<'_>) -> Result<(), Stop> {
        match frame.kind {
            frames::IDENTITY => {
                let theirs = Identity::from_bytes(frame.payload).ok_or(Damage::Malformed)?;
                if !self.identity.is_of_realm(&theirs) {
                    return Err(Stop::Foreign);
                }
                self.identified = Some(theirs);
                Ok(())
            }
            _ if self.identified.is_none() => Err(Damage::Malformed.into()),
            frames::ENTRIES => self.run(RunFrame::read(frame.payload)?).map_err(Stop::from),
            frames::HEAD => self.cover(frames::read_signed(frame.payload)?).map_err(Stop::from),
            frames::TRUST => self.trust(frames::read_signed(frame.payload)?).map_err(Stop::from),
            frames::LEASE => {
                self.lease = Some(LeaseRecord::from_bytes(frame.payload).ok_or(Damage::Malformed)?);
                Ok(())
            }
            frames::HOLDER => {
                self.holder = Some(Holder::from_bytes(frame.payload).ok_or(Damage::Malformed)?);
                Ok(())
            }
            _ => Err(Damage::Malformed.into()),
        }
    }

    fn run(&mut self, run: RunFrame<'_>) -> Result<(), Damage> {
        self.entries += run.count;
        self.entry_bytes += run.entries.len() as u64;
        if self.head.is_some() {
            self.uncovered.push(run.to_run());
            return Ok(());
        }
        let base = Link { sequence: run.first - 1, hash: run.previous };
        let log = self.log.get_or_insert_with(|| Log::from_base(run.epoch, base));
        extend(log, run.epoch, base, run.entries)
    }

    /// A head ends where the runs before it end. Whether the log key signed it is asked of the last one only: it covers
    /// what all the others did.
    fn cover(&mut self, signed: Signed) -> Result<(), Damage> {
        let head = Head::decode(&signed.bytes).map_err(|_unreadable| Damage::Malformed)?;
        if self.head.as_ref().is_some_and(|(held, _)| head.cursor() < held.cursor()) {
            return Err(Damage::RolledBack);
        }
        let log = self.log.get_or_insert_with(|| Log::from_base(head.epoch, head.base));
        for run in self.uncovered.drain(..) {
            extend(log, run.epoch, Link { sequence: run.first - 1, hash: run.previous }, &run.entries)?;
        }
        if log.cursor() != head.cursor() || log.end() != head.end {
            return Err(Damage::BrokenChain);
        }
        self.head = Some((head, signed));
        Ok(())
    }

    /// Whether the log key signed it is asked of the last one only: nothing is taken from the others, and they may be of a
    /// key that is pinned no more.
    fn trust(&mut self, signed: Signed) -> Result<(), Damage> {
        let said = Trust::decode(&signed.bytes).ok_or(NotTrusted::Unreadable)?;
        if said.issuer != self.identity.issuer || said.realm != self.identity.realm {
            return Err(Damage::OtherIssuer);
        }
        if self.trust.as_ref().is_some_and(|(held, _)| held.stated_at > said.stated_at) {
            return Err(Damage::RolledBack);
        }
        // Under longer limits an old lease may have run out before: it does not outlive a statement.
        (self.trust, self.lease) = (Some((said, signed)), None);
        Ok(())
    }

    pub(super) fn finish(self, boot: BootId, now: Now) -> Result<Loaded, Stop> {
        if self.identified.as_ref().is_some_and(|theirs| !self.identity.goes_on_from(theirs)) {
            return Err(Stop::Foreign);
        }
        let check = |(_, signed): (Trust, Signed)| self.keys.check::<Trust>(&signed);
        let trust = self.trust.map(check).transpose().map_err(Damage::from)?;
        let mut view = View { trust: trust.map(Arc::new), ..View::empty() };
        let mut loose_end = !self.uncovered.is_empty();
        let mut covered = None;
        if let Some((_, signed)) = self.head {
            let head = self.keys.check::<Head>(&signed).map_err(Damage::from)?;
            let said = head.statement();
            if said.issuer != self.identity.issuer || said.realm != self.identity.realm {
                return Err(Damage::OtherIssuer.into());
            }
            let log = self.log.unwrap_or_else(Log::empty);
            // All that the head covers is there, or nobody can tell what is missing.
            if log.base().sequence > said.base.sequence {
                return Err(Damage::BrokenChain.into());
            }
            // Of an issuer it was not from the future when it was accepted: the own clock has gone back since.
            let accepted = now.wall.max(said.log_time);
            let whole = log.towards(said, accepted).and_then(|log| log.finish(accepted));
            view.log = whole.map_err(Damage::from)?;
            view.lease = self.lease.and_then(|record| record.resume(boot, now));
            // What a crash left behind the last head goes on from it. Anything else was put there.
            let mut next = said.end.sequence + 1;
            for run in &self.uncovered {
                if run.epoch != said.epoch || run.first != next {
                    return Err(Damage::BrokenChain.into());
                }
                next += frames::count(&run.entries).unwrap_or(0);
            }
            covered = Some(head);
        } else {
            loose_end = self.log.is_some();
        }
        let lease = self.lease.filter(|_| view.lease.is_some());
        Ok(Loaded { view, head: covered, lease, holder: self.holder, identified: self.identified, loose_end })
    }
}

fn extend(log: &mut Log, epoch: u64, base: Link, entries: &[u8]) -> Result<(), Damage> {
    if epoch != log.set().epoch() || base != log.end() {
        return Err(Damage::BrokenChain);
    }
    Ok(log.extend(entries)?)
}
