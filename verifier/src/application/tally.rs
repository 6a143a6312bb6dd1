//! How many verdicts there were, by outcome and reason. Holds nothing of any token.

use std::sync::atomic::{AtomicU64, Ordering};

use common::{
    token::kind::{PerType, TokenType},
    verification::Refusal,
};

use super::verify::{Undecided, Verdict};

/// Counts that only grow.
#[derive(Debug, Default)]
pub struct Tally {
    accepted: PerType<AtomicU64>,
    refused: [AtomicU64; Refusal::CODES.len()],
    stale: AtomicU64,
    lost: AtomicU64,
}

/// One count, with what tells it apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Count {
    /// Known of accepted tokens only: of others nothing is proven, or not enough.
    pub token_type: Option<TokenType>,
    /// `accepted`, `refused` or `undecided`.
    pub outcome: &'static str,
    /// Why; empty when accepted.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
}

impl Tally {
    /// Counts one.
    pub(super) fn note(&self, judged: &Result<Verdict, Undecided>) {
        let counter = match judged {
            Ok(Verdict::Accepted(accepted)) => Some(self.accepted.get(accepted.token.claims().kind)),
            Ok(Verdict::Refused(refusal)) => self.refused.get(usize::from(refusal.number() - 1)),
            Err(Undecided::Stale(_) | Undecided::NotReached) => Some(&self.stale),
            Err(Undecided::CursorLost) => Some(&self.lost),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every count that there is, zeros included.
    pub fn counts(&self) -> Vec<Count> {
        let count = |token_type, outcome, reason, counter: &AtomicU64| Count {
            token_type,
            outcome,
            reason,
            count: counter.load(Ordering::Relaxed),
        };
        let accepted = TokenType::ALL.into_iter().map(|kind| (kind, self.accepted.get(kind)));
        let refused = Refusal::CODES.into_iter().zip(&self.refused);
        let undecided =
            [(Undecided::NotReached.reason(), &self.stale), (Undecided::CursorLost.reason(), &self.lost)];
        let accepted = accepted.map(|(kind, counter)| count(Some(kind), "accepted", "", counter));
        let refused = refused.map(|(code, counter)| count(None, "refused", code, counter));
        let undecided = undecided.into_iter().map(|(code, counter)| count(None, "undecided", code, counter));
        accepted.chain(refused).chain(undecided).collect()
    }
}
