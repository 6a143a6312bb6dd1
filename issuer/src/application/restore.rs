//! The start: store and journal are compared, a log that lost entries is mended, limits are put in force.

use std::sync::Arc;

use common::{
    encoding,
    key_id::KeyId,
    keys::PublicKey,
    revocation::{
        cursor::Cursor,
        entry::{Body, Entry, Reason, pack},
        head::Link,
        log::Log,
        rule::{Rule, Scope},
    },
    timestamp::Timestamp,
    token::Limits,
};

use crate::{
    application::{log::AHEAD, trail::Trail},
    domain::{
        chain::Chain,
        chunks::{Chunk, Chunks},
        event::{self, What},
        followers::Row,
        mending::{Finding, compare, was_recent},
        policy_record::PolicyRecord,
        ports::{Append, Appended, Loaded, LogEnd, Store, StoreError},
    },
};

/// What a process goes on from.
#[derive(Debug)]
pub struct Restored {
    /// The rules.
    pub log: Log,
    /// The entries, packed.
    pub chunks: Chunks,
    /// The entries.
    pub chain: Chain,
    /// The rows of the register.
    pub followers: Vec<Row>,
    /// Limits and key roles.
    pub policy: Arc<PolicyRecord>,
    /// Entries were lost and could not all be mended: the highest position that is known to have been reached.
    pub lost: Option<Cursor>,
    /// Entries were lost and all of them mended, now or a short while ago: nothing is called visible for the longest limit.
    pub mended: bool,
}

/// Compares `loaded` with the journal's entries, mends what can be mended, and puts `limits` and the
/// held token keys, the newest first, in force.
///
/// With `new_epoch` an operator decides that what cannot be mended is cut: a new epoch opens that refuses everything
/// recorded before.
///
/// # Errors
/// When the store does not answer.
pub async fn restore(
    store: &dyn Store,
    trail: &Trail,
    loaded: Loaded,
    journal: Option<&Chain>,
    (limits, keys): (Limits, &[PublicKey]),
    now: Timestamp,
    new_epoch: bool,
) -> Result<Restored, StoreError> {
    // As the writer has it: a calendar that the store's clock contradicts does not move the log time.
    let now = loaded.end.filter(|_| store.clock_off()).map_or(now, |end| end.log_time);
    let (held, broken) = match loaded.end {
        Some(end) => {
            let (chain, broken) = chain_of(&end, &loaded.runs);
            (Some(chain), broken)
        }
        None => (None, false),
    };
    let revoked = held.iter().chain(journal).flat_map(Chain::revoked_keys).collect();
    let policy = in_force(store, trail, loaded.policy, (limits, keys, revoked), now).await?;
    let stands = loaded.end;
    let finding = compare(held.as_ref(), broken, journal, now);
    let mended = matches!(finding, Finding::StoreLost(_));
    let mut lost = None;
    let chain = match finding {
        Finding::New => {
            let chain = genesis(1, Vec::new(), now);
            open_epoch(store, trail, stands, &chain, now).await?;
            chain
        }
        Finding::Agree => held.unwrap_or_else(empty),
        Finding::JournalBehind(late) => {
            tracing::warn!(
                entries = late.len(),
                "the audit trail lacks entries of the log; they are written late"
            );
            let previous = |entry: &Entry| held.as_ref()?.hash_at(entry.cursor.sequence - 1);
            let before = late.first().and_then(previous).unwrap_or_default();
            if let Some(held) = held.as_ref().filter(|held| held.entries().len() == late.len()) {
                write_base(trail, held).await;
            }
            write_down(trail, &late, before, "start", true).await;
            held.unwrap_or_else(empty)
        }
        Finding::StoreLost(chain) => {
            tracing::error!(
                epoch = chain.epoch(),
                entries = chain.entries().len(),
                "the store had lost entries of the revocation log; a new epoch holds them all"
            );
            open_epoch(store, trail, stands, &chain, now).await?;
            told(trail, &chain, "journal").await;
            chain
        }
        Finding::Unmendable if new_epoch => {
            let ceiling = now.plus(policy.announced(now).longest_lifetime()).plus(AHEAD);
            let chain = cut_everything(held.as_ref(), journal, now, ceiling);
            open_epoch(store, trail, stands, &chain, now).await?;
            told(trail, &chain, "operator").await;
            chain
        }
        Finding::Unmendable => {
            tracing::error!("the revocation log has lost entries that nobody here holds: issuing is stopped");
            let end = |chain: &Chain| Cursor::new(chain.epoch(), chain.end().sequence);
            lost = held.as_ref().map(end).max(journal.map(end)).max(Some(Cursor::ZERO));
            // What cannot be read as one chain is not given out at all.
            held.filter(|_| !broken).unwrap_or_else(empty)
        }
    };
    let (mut log, chunks) = built(&chain).ok_or(StoreError::LostData)?;
    log.confirmed(stands.map_or(Timestamp::EPOCH, |end| end.log_time).max(recorded_last(&chain)));
    let mended = mended || was_recent(&chain, now);
    Ok(Restored { log, chunks, chain, followers: loaded.followers, policy, lost, mended })
}

/// The rules and the packed entries of a chain. `None` when it holds what no verifier would take.
pub(super) fn built(chain: &Chain) -> Option<(Log, Chunks)> {
    let mut log = Log::from_base(chain.epoch(), chain.base());
    let mut chunks = Chunks::default();
    for run in chain.entries().chunks(RUN) {
        let (packed, before) = (pack(run), log.end());
        log.extend(&packed).ok()?;
        let (first, previous) = (before.sequence + 1, before.hash);
        chunks = chunks.with(Chunk { first, previous, last: log.end(), bytes: packed.into() });
    }
    Some((log, chunks))
}

/// The limits of the settings and the keys that are held, put on record if they are others than before. A key that the log
/// revokes hands over to one that was ready then: before new ones get a role, which may be revoked too.
async fn in_force(
    store: &dyn Store,
    trail: &Trail,
    held: Option<PolicyRecord>,
    (limits, keys, revoked): (Limits, &[PublicKey], Vec<KeyId>),
    now: Timestamp,
) -> Result<Arc<PolicyRecord>, StoreError> {
    let mut stands = held;
    for _ in 0..ATTEMPTS {
        let (record, action) = match &stands {
            None => (PolicyRecord::first(limits), "first"),
            Some(held) => {
                if let Some(next) = held.with_limits(limits, now) {
                    (next, "limits")
                } else if let Some(next) =
                    held.with_keys(held.keys.with_revoked(revoked.iter(), now).with_held(keys, now))
                {
                    (next, "keys")
                } else {
                    return Ok(Arc::new(held.clone()));
                }
            }
        };
        if store.save_policy(record.clone()).await? {
            let what = What::Policy { version: record.version, action };
            trail.write(ACTOR, what).await.ok();
            stands = Some(record);
        } else {
            // Another issuer starts at the same moment.
            stands = store.policy().await?;
        }
    }
    Err(StoreError::Unreachable)
}

/// Makes a new epoch durable, and writes it down.
pub(super) async fn open_epoch(
    store: &dyn Store,
    trail: &Trail,
    stands: Option<LogEnd>,
    chain: &Chain,
    now: Timestamp,
) -> Result<(), StoreError> {
    // Never back, also when the store forgot it: no entry was recorded later.
    let log_time = stands.map_or(now, |end| end.log_time.max(now)).max(recorded_last(chain));
    let append = Append {
        after: stands.map(|end| (end.epoch, end.end)),
        entries: pack(chain.entries()),
        end: LogEnd { epoch: chain.epoch(), base: chain.base(), end: chain.end(), log_time },
        change: None,
        audit: trail.mark(),
    };
    match store.append(append).await? {
        Appended::Done => {}
        Appended::EndedElsewhere(_) | Appended::ProjectChanged => return Err(StoreError::LostData),
    }
    write_down(trail, chain.entries(), chain.base().hash, "start", false).await;
    Ok(())
}

/// The log time was no earlier.
fn recorded_last(chain: &Chain) -> Timestamp {
    chain.entries().iter().map(|entry| entry.recorded_at).max().unwrap_or(Timestamp::EPOCH)
}

/// What a chain begins behind has expired: written down before its entries, or the trail would seem to lack it.
pub(super) async fn write_base(trail: &Trail, chain: &Chain) {
    let base = chain.base();
    if base.sequence > 0 {
        let (epoch, hash) = (chain.epoch(), encoding::encode(&base.hash));
        written(trail, vec![(Arc::from(ACTOR), What::Trim { epoch, base: base.sequence, hash })], false)
            .await;
    }
}

/// As many lines as it takes: one holds a bounded number of entries.
pub(super) async fn write_down(
    trail: &Trail,
    entries: &[Entry],
    mut previous: [u8; 32],
    reason: &'static str,
    late: bool,
) {
    let mut lines = Vec::new();
    for run in entries.chunks(RUN) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
        let what = What::Append(event::Append {
            epoch: first.cursor.epoch,
            first: first.cursor.sequence,
            last: last.cursor.sequence,
            previous: encoding::encode(&previous),
            entries: encoding::encode(&pack(run)),
            reason,
            comment: String::new(),
            project_id: None,
        });
        previous = run.iter().fold(previous, |hash, entry| entry.link(&hash));
        lines.push((Arc::from(ACTOR), what));
        if lines.len() == LINES {
            written(trail, std::mem::take(&mut lines), late).await;
        }
    }
    written(trail, lines, late).await;
}

/// A trail that is down is noted where it is written; the log stands all the same.
async fn written(trail: &Trail, lines: Vec<(Arc<str>, What<'static>)>, late: bool) {
    if late {
        trail.write_late(lines).await.ok()
    } else {
        trail.write_or_owe(lines).await.ok()
    };
}

async fn told(trail: &Trail, chain: &Chain, from: &str) {
    let (epoch, sequence, held) = (chain.epoch(), chain.end().sequence, chain.entries().len() as u64);
    trail.write(ACTOR, What::Mended { epoch, sequence, held, from }).await.ok();
}

pub(super) fn chain_of(end: &LogEnd, runs: &[Vec<u8>]) -> (Chain, bool) {
    let mut chain = Chain::new(end.epoch, end.base);
    let whole = runs.iter().all(|run| chain.extend(run).is_ok());
    let broken = !whole || chain.end() != end.end;
    (chain, broken)
}

fn genesis(epoch: u64, carried: Vec<Cursor>, now: Timestamp) -> Chain {
    let mut chain = empty_of(epoch);
    let entry = Entry {
        cursor: Cursor::new(epoch, 1),
        recorded_at: now,
        expires_at: now,
        body: Body::Genesis(carried),
    };
    // The first entry of an empty chain always follows.
    chain.push(entry).ok();
    chain
}

/// What an operator opens when entries are lost for good: every rule that is left, and one over everything.
fn cut_everything(
    store: Option<&Chain>,
    journal: Option<&Chain>,
    now: Timestamp,
    ceiling: Timestamp,
) -> Chain {
    let held: Vec<&Chain> = store.into_iter().chain(journal).collect();
    let epoch = held.iter().map(|chain| chain.epoch()).max().unwrap_or(0) + 1;
    // Whatever stood in an earlier epoch is covered by the rule over everything, however far that epoch had come.
    let carried = (1..epoch).map(|earlier| Cursor::new(earlier, u64::MAX)).collect();
    let mut chain = genesis(epoch, carried, now);
    let cursor = |chain: &Chain| Cursor::new(epoch, chain.end().sequence + 1);
    let cut = cursor(&chain);
    let rule = Rule::Scope(Scope::default());
    let body = Body::Rule { rule, reason: Reason::DataLost, cut, project: None };
    chain.push(Entry { cursor: cut, recorded_at: now, expires_at: ceiling, body }).ok();
    for entry in held.iter().flat_map(|chain| chain.entries()).filter(|entry| entry.expires_at > now) {
        if matches!(entry.body, Body::Rule { .. }) {
            let entry = Entry { cursor: cursor(&chain), ..entry.clone() };
            chain.push(entry).ok();
        }
    }
    chain
}

fn empty() -> Chain {
    empty_of(0)
}

const fn empty_of(epoch: u64) -> Chain {
    Chain::new(epoch, Link { sequence: 0, hash: [0; 32] })
}

/// Entries in one line of the trail, and in one run that a follower is sent: some 300 KiB at most.
pub(super) const RUN: usize = 1_000;
/// Lines that are written as one.
const LINES: usize = 64;
const ACTOR: &str = "issuer";
/// First, limits, keys, and each overtaken by other issuers that start.
const ATTEMPTS: usize = 16;
