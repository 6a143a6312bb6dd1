//! The register of a store that holds it in one piece: rows of followers and of issuers. Knows no medium.

use std::collections::BTreeMap;

use crate::domain::{
    followers::{Follower, Row, Tenure},
    ports::LogEnd,
    rounds::{Entry, IssuerRow, Round, Rounded, Standing},
};

/// Rows of followers and issuers.
#[derive(Clone, Debug, Default)]
pub(super) struct Register {
    pub(super) version: u64,
    pub(super) losses: u64,
    pub(super) rows: BTreeMap<Follower, Row>,
    pub(super) issuers: BTreeMap<u64, (IssuerRow, u64)>,
}

impl Register {
    pub(super) fn join(&mut self, row: Row) -> Row {
        let row = match self.rows.get(&row.follower) {
            Some(stands) => row.over(stands),
            None => row,
        };
        self.version += 1;
        self.rows.insert(row.follower.clone(), row.clone());
        row
    }

    pub(super) fn leave(&mut self, followers: &[(Follower, Option<Tenure>)]) {
        let before = self.rows.len();
        for (follower, tenure) in followers {
            if self.rows.get(follower).is_some_and(|row| tenure.is_none_or(|one| row.tenure == one)) {
                self.rows.remove(follower);
            }
        }
        self.version += u64::from(self.rows.len() < before);
    }

    pub(super) fn round(&mut self, round: Round, end: Option<LogEnd>, policy_version: u64) -> Rounded {
        let Round { issuer, number, entry, acknowledged, known } = round;
        let stands = self.issuers.get(&issuer.id).map(|(_, number)| *number);
        let standing = match (entry, stands) {
            (Entry::Stands(_), None) => Standing::Absent,
            (Entry::Stands(least), Some(stands)) if stands < least => Standing::Behind,
            (Entry::Stands(_), Some(_)) | (Entry::New | Entry::AfterLoss, _) => Standing::Kept,
        };
        let before = self.version;
        if standing == Standing::Kept {
            if entry == Entry::AfterLoss {
                self.losses += 1;
                self.version += 1;
            }
            self.issuers.insert(issuer.id, (issuer, number));
            let mut changed = false;
            for row in acknowledged {
                if self.rows.get(&row.follower).is_some_and(|stands| stands.tenure == row.tenure) {
                    self.rows.insert(row.follower.clone(), row);
                    changed = true;
                }
            }
            self.version += u64::from(changed);
        }
        Rounded {
            end,
            gaps: false,
            standing,
            policy_version,
            losses: self.losses,
            server: String::new(),
            issuers: self.issuers.values().cloned().collect(),
            register: self.version,
            rows: (known != Some(before) || standing != Standing::Kept)
                .then(|| self.rows.values().cloned().collect()),
        }
    }

    pub(super) fn expel(&mut self, issuer: u64, number: Option<u64>) -> bool {
        if self.issuers.get(&issuer).map(|(_, number)| *number) != number {
            return false;
        }
        self.issuers.remove(&issuer);
        self.rows.retain(|_, row| row.tenure.issuer != issuer);
        self.version += 1;
        true
    }
}
