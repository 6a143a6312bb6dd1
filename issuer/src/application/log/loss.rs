//! When entries are lost while this process runs: noticed by a verifier's signed head, mended by a verifier's offer.

use std::sync::Arc;

use common::revocation::{cursor::Cursor, head::Head};

use super::{Published, Writer, published::note_versions};
use crate::{
    application::restore::{built, chain_of, open_epoch},
    domain::{chain::Chain, mending::join},
};

impl Writer {
    /// Stops issuing and answering until what the head speaks of is held again.
    pub(super) fn notice(&mut self, head: &Head) {
        let before = Published::clone(&self.published.borrow());
        if before.holds(head) {
            return;
        }
        self.highest = self.highest.max(head.cursor());
        if !before.lost {
            tracing::error!(
                "a verifier holds entries of the revocation log that this issuer has lost: issuing is stopped"
            );
            let longest = self.parts.policy.load().limits.longest_staleness();
            self.parts.followers.lost(self.parts.clock.now().boot, longest);
            self.publish(Published { lost: true, ..before });
        }
    }

    /// Opens a new epoch out of what is held and what is offered, if that reaches the highest head known.
    pub(super) async fn mend(&mut self, offered: Chain, head: &Head) {
        let before = Published::clone(&self.published.borrow());
        if !before.lost || head.cursor() < self.highest {
            return;
        }
        let now = self.parts.clock.now();
        let Ok(loaded) = self.parts.store.load().await else { return };
        let stands = loaded.end;
        let memory = before.chunks.chain(before.log.cursor().epoch, before.log.base());
        let Ok(memory) = memory else { return };
        // The store may hold a step whose answer was lost; or it is behind, and memory holds more.
        let stored = stands.map(|end| chain_of(&end, &loaded.runs)).filter(|(_, broken)| !broken);
        let ours = match stored {
            Some((stored, _)) if stored.extends(&memory) => stored,
            Some(_) | None => memory,
        };
        let Some(chain) = join(&ours, &offered, now.wall) else { return };
        let Some((log, chunks)) = built(&chain) else { return };
        let opened = open_epoch(&*self.parts.store, &self.parts.trail, stands, &chain, now.wall).await;
        self.parts.conditions.store_answered(opened.is_ok());
        if opened.is_err() {
            return;
        }
        tracing::warn!(
            epoch = chain.epoch(),
            entries = chain.entries().len(),
            "a verifier's offer filled the log; a new epoch holds all of it"
        );
        self.highest = Cursor::ZERO;
        let longest = self.parts.policy.load().limits.longest_staleness();
        self.parts.followers.lost(self.parts.clock.now().boot, longest);
        let mut versions = Arc::clone(&before.versions);
        note_versions(&mut versions, chain.entries());
        let base = log.base();
        self.publish_signed(Published { log, chunks, versions, lost: false, ..before }, base).await;
    }
}
