//! What was promised and what was answered, in true time, and whether the two agree (RELIABILITY, I1 to I6). Knows nothing of
//! how either came about.

use std::collections::{BTreeMap, BTreeSet};

use common::{revocation::cursor::Cursor, timestamp::Timestamp, token::kind::TokenType};
use verifier::application::verify::{Undecided, Verdict};

use crate::issuing::staleness;

/// A token that an issuer gave out.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) id: String,
    pub(crate) kind: TokenType,
    pub(crate) given: u64,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// When a `Revoke` that names it answered `Ok` first.
    pub(crate) revoked: Option<u64>,
    /// When `AwaitVisibility` said of such a one that it is reached.
    pub(crate) visible: Option<u64>,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) tokens: Vec<Token>,
    /// The last instant at which the log was not whole everywhere. A revocation that a loss overtook is owed from then on.
    pub(crate) whole_since: u64,
    /// Which running verifier refused which token as revoked.
    refused: BTreeSet<(u64, usize)>,
    /// Which machine holds on its disk what it refused which token for.
    held: BTreeSet<(usize, usize)>,
    reached: BTreeMap<u64, Cursor>,
    pub(crate) tally: Tally,
}

/// That something happened at all: a simulation in which nothing does finds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) seconds: u64,
    pub(crate) issued: u64,
    pub(crate) revoked: u64,
    pub(crate) visible: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) undecided: u64,
    pub(crate) losses: u64,
    pub(crate) epochs: u64,
    pub(crate) restarts: u64,
    pub(crate) strangers: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.each().into_iter().zip(other.clone().each()).for_each(|((_, to), (_, from))| *to += *from);
    }

    pub(crate) fn each(&mut self) -> [(&'static str, &mut u64); 11] {
        [
            ("seconds", &mut self.seconds),
            ("issued", &mut self.issued),
            ("revoked", &mut self.revoked),
            ("visible", &mut self.visible),
            ("accepted", &mut self.accepted),
            ("refused", &mut self.refused),
            ("undecided", &mut self.undecided),
            ("losses", &mut self.losses),
            ("epochs", &mut self.epochs),
            ("restarts", &mut self.restarts),
            ("strangers", &mut self.strangers),
        ]
    }
}

/// Who answered, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) now: u64,
    pub(crate) machine: usize,
    pub(crate) process: u64,
    /// Everything that it shows is on its disk.
    pub(crate) on_disk: bool,
    pub(crate) wall: Timestamp,
    pub(crate) log_time: Timestamp,
}

impl History {
    /// A verification that began and ended at `asked.now`.
    pub(crate) fn judged(
        &mut self,
        number: usize,
        verdict: &Result<Verdict, Undecided>,
        asked: Asked,
    ) -> Result<(), String> {
        let Asked { now, machine, process, .. } = asked;
        let token = &self.tokens[number];
        match verdict {
            Err(_) => self.tally.undecided += 1,
            Ok(Verdict::Refused(refusal)) => {
                self.tally.refused += 1;
                if *refusal == common::verification::Refusal::Revoked {
                    self.refused.insert((process, number));
                    if asked.on_disk {
                        self.held.insert((machine, number));
                    }
                }
            }
            Ok(Verdict::Accepted(_)) => {
                self.tally.accepted += 1;
                let of = format!("verifier {machine} accepts token {number} at {now} ms");
                if let Some(visible) = token.visible {
                    return Err(format!("I1: {of}, called visible at {visible}"));
                }
                if let Some(revoked) = token.revoked {
                    let limit = u64::try_from(staleness(token.kind).as_millis()).unwrap();
                    if now > revoked.max(self.whole_since) + limit {
                        let whole = self.whole_since;
                        return Err(format!("I2: {of}, revoked at {revoked}, the log whole since {whole}"));
                    }
                }
                if self.refused.contains(&(process, number)) || self.held.contains(&(machine, number)) {
                    return Err(format!("I3: {of}, and had refused it as revoked"));
                }
                let latest = asked.wall.max(asked.log_time);
                let early = token.issued_at > latest.plus(std::time::Duration::from_secs(2));
                if early || latest >= token.expires_at {
                    return Err(format!("I6: {of}, {latest:?} by its clock and the log's: {token:?}"));
                }
            }
        }
        Ok(())
    }

    /// A process shows this position.
    pub(crate) fn shows(&mut self, process: u64, cursor: Cursor) -> Result<(), String> {
        let before = self.reached.insert(process, cursor).unwrap_or(Cursor::ZERO);
        if cursor < before {
            return Err(format!("I4: a verifier at {before} went back to {cursor}"));
        }
        Ok(())
    }

    /// The file of a machine is lost.
    pub(crate) fn forget_file(&mut self, machine: usize) {
        self.held.retain(|(held_by, _)| *held_by != machine);
    }
}
