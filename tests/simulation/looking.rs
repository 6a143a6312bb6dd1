//! What is seen of a world: whether it is whole, and what its verifiers answer. Changes nothing but the history.

use common::{clock::Clock as _, revocation::cursor::Cursor};
use verifier::application::verify::Verdict;

use crate::{
    history::Asked,
    users::at_once,
    world::{Broken, Halt, World},
};

impl World {
    /// What everybody shows now.
    pub(crate) fn look(&mut self) -> Result<(), Broken> {
        for v in 0..self.verifiers.len() {
            let Some(process) = &self.verifiers[v].process else { continue };
            self.history.shows(process.instance, process.view().log.cursor())?;
        }
        let lost = self.issuers.iter().any(|issuer| {
            let realm = issuer.slot.lock().unwrap();
            realm.as_ref().is_some_and(|realm| realm.log.published().lost)
        });
        if self.mending && self.is_whole() {
            self.mending = false;
            self.history.tally.epochs += 1;
        }
        if lost || self.mending {
            self.history.whole_since = self.now();
        }
        Ok(())
    }

    /// Every issuer runs and holds what the store does.
    pub(crate) fn is_whole(&self) -> bool {
        let end = at_once(issuer::domain::ports::Store::load(&*self.store)).end;
        self.issuers.iter().all(|issuer| {
            let realm = issuer.slot.lock().unwrap();
            realm.as_ref().is_some_and(|realm| {
                let published = realm.log.published();
                !published.lost && end.is_some_and(|end| end.cursor() == published.log.cursor())
            })
        })
    }

    /// A verifier that runs judges a token.
    pub(crate) fn verify(&mut self, v: usize, number: usize) -> Result<bool, Broken> {
        let verifier = &self.verifiers[v];
        let Some(process) = verifier.process.as_ref().filter(|_| verifier.halt == Halt::No) else {
            return Ok(false);
        };
        let token = &self.history.tokens[number];
        let judged = process.verify(&token.text, token.kind);
        let view = process.view();
        let cursor = view.log.cursor();
        let asked = Asked {
            now: self.now(),
            machine: v,
            process: process.instance,
            on_disk: verifier.home.file.is_some() && process.acknowledged >= cursor && cursor > Cursor::ZERO,
            wall: verifier.home.machine.now().wall,
            log_time: view.log.log_time(),
        };
        let accepted = matches!(judged.answer, Ok(Verdict::Accepted(_)));
        self.history.judged(number, &judged.answer, asked)?;
        Ok(accepted)
    }

    /// For whoever looks into a seed.
    pub(crate) fn tell_of_logs(&self) {
        for (n, issuer) in self.issuers.iter().enumerate() {
            let realm = issuer.slot.lock().unwrap().clone();
            let Some(published) = realm.map(|realm| realm.log.published()) else { continue };
            eprintln!(
                "issuer {n}: lost {}, at {}, base {}",
                published.lost,
                published.log.cursor(),
                published.log.base().sequence
            );
            let chain = published.chunks.chain(published.log.cursor().epoch, published.log.base()).unwrap();
            chain.entries().iter().for_each(|entry| eprintln!("  {entry:?}"));
        }
        for (v, verifier) in self.verifiers.iter().enumerate() {
            let Some(process) = &verifier.process else { continue };
            let (view, now) = (process.view(), verifier.home.machine.now());
            eprintln!(
                "verifier {v}: at {}, age {:?}, {:?}",
                view.log.cursor(),
                view.age(&now),
                process.alarms
            );
        }
    }
}
