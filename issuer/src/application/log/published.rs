//! What followers and readers see of the log: one value, swapped as a whole. And how heads and trust are signed.

use std::{collections::BTreeMap, sync::Arc};

use common::{
    keys::SigningKey,
    project_id::ProjectId,
    revocation::{
        entry::{Body, Entry},
        head::Head,
        log::{Log, Reach},
    },
    timestamp::Timestamp,
    trust::{Signed, Trust, Verified, signed::SignError},
};

use crate::domain::{chunks::Chunks, policy_record::PolicyRecord, ports::LogEnd};

/// The log, its entries, and the signed statements about it.
#[derive(Clone, Debug)]
pub struct Published {
    /// The rules.
    pub log: Log,
    /// The entries.
    pub chunks: Chunks,
    /// The end, signed.
    pub head: Arc<Verified<Head>>,
    /// Keys and limits, signed.
    pub trust: Arc<Verified<Trust>>,
    /// The highest version of each project that an entry names.
    pub versions: Arc<BTreeMap<ProjectId, u64>>,
    /// Entries were lost and have not been mended.
    pub lost: bool,
}

impl Published {
    /// The highest version of the project that the log names; 0 when none.
    pub fn logged_version(&self, project: &ProjectId) -> u64 {
        self.versions.get(project).copied().unwrap_or(0)
    }

    /// Whether everything up to this signed head is held here, or was carried over, or has expired.
    pub fn holds(&self, head: &Head) -> bool {
        if self.log.reaches(head.cursor()) != Reach::Reached {
            return false;
        }
        let same_epoch = head.epoch == self.log.cursor().epoch;
        if !same_epoch || head.end.sequence < self.log.base().sequence {
            return true;
        }
        if head.end.sequence == self.log.end().sequence {
            return head.end.hash == self.log.end().hash;
        }
        let after = self.chunks.after(head.end.sequence).unwrap_or_default();
        after.first().is_some_and(|run| run.previous == head.end.hash)
    }

    /// What the store holds of the log's end.
    pub fn end(&self) -> LogEnd {
        let head = self.head.statement();
        LogEnd { epoch: head.epoch, base: head.base, end: head.end, log_time: head.log_time }
    }
}

/// Notes the project versions that entries name.
pub(crate) fn note_versions(versions: &mut Arc<BTreeMap<ProjectId, u64>>, entries: &[Entry]) {
    for entry in entries {
        if let Body::Rule { project: Some((project, version)), .. } = &entry.body {
            let held = Arc::make_mut(versions).entry(project.clone()).or_default();
            *held = (*held).max(*version);
        }
    }
}

/// Signs what is announced, with the log key.
#[derive(Clone, Debug)]
pub struct Announcer {
    /// The `iss` of the realm's tokens.
    pub issuer: String,
    /// The realm.
    pub realm: String,
    /// The log key.
    pub key: Arc<SigningKey>,
}

impl Announcer {
    /// The head of the log at `log_time`. CPU work of up to 1.5 ms.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn head(
        &self,
        log: &Log,
        base: common::revocation::head::Link,
        log_time: Timestamp,
    ) -> Result<Verified<Head>, SignError> {
        let head = Head {
            issuer: self.issuer.clone(),
            realm: self.realm.clone(),
            epoch: log.cursor().epoch,
            base,
            end: log.end(),
            log_time,
        };
        Signed::sign(head, &self.key)
    }

    /// Keys and limits at `log_time`. A revoked key stays in it while the log still holds the rule against it, so that
    /// its tokens are told *revoked*; before that rule is trimmed the key is gone.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn trust(
        &self,
        policy: &PolicyRecord,
        log: &Log,
        log_time: Timestamp,
    ) -> Result<Verified<Trust>, SignError> {
        let trust = Trust {
            issuer: self.issuer.clone(),
            realm: self.realm.clone(),
            stated_at: log_time,
            keys: policy.keys.published(log_time, |id| log.set().holds_key(id)),
            limits: policy.announced(log_time),
        };
        Signed::sign(trust, &self.key)
    }
}
