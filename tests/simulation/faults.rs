//! What can happen to a world, drawn from its dice. How it is healed in the end is in `healing`.

use std::sync::atomic::Ordering;

use common::{
    clock::Clock as _,
    revocation::{
        cursor::Cursor,
        entry::{Body, Entry, Reason},
        head::{Head, Link},
        rule::Rule,
    },
    token_id::TokenId,
    trust::Signed,
};
use verifier::domain::{alarm::Alarm, feed::Run, session::Input};

use crate::{
    following::cut,
    issuing::{ISSUER, REALM},
    quick_key,
    wire::Parcel,
    world::{Broken, Halt, World},
};

impl World {
    /// One thing happens, and a while passes.
    pub(crate) fn step(&mut self) -> Result<(), Broken> {
        let (issuer, verifier) = (self.dice.index(self.issuers.len()), self.dice.index(self.verifiers.len()));
        match self.dice.below(100) {
            0..=15 => self.order(issuer),
            16..=27 => self.revoke(issuer),
            28..=43 => {}
            44..=53 => self.happens_to_issuer(issuer)?,
            54..=66 => self.happens_to_verifier(verifier)?,
            67..=80 => self.happens_to_cable(verifier, issuer),
            81..=86 => self.happens_to_clock(issuer, verifier)?,
            87..=93 => self.happens_to_store(issuer),
            94..=95 => self.stranger_speaks(verifier)?,
            _ => self.wait(5_000, 40_000)?,
        }
        self.settle()?;
        self.wait(0, 900)?;
        self.ask()
    }

    pub(crate) fn wait(&mut self, least: u64, most: u64) -> Result<(), Broken> {
        let mut left = self.dice.between(least, most);
        while left > 0 {
            let slice = left.min(if left > 3_000 { 500 } else { 200 });
            self.pass(slice)?;
            left -= slice;
        }
        Ok(())
    }

    /// Every verifier is asked about the last few tokens, and all that were revoked.
    pub(crate) fn ask(&mut self) -> Result<(), Broken> {
        let count = self.history.tokens.len();
        for v in 0..self.verifiers.len() {
            for number in 0..count {
                let token = &self.history.tokens[number];
                let alive = self.now() < token.given + 330_000;
                if alive && (token.revoked.is_some() || number + 3 >= count) {
                    self.verify(v, number)?;
                }
            }
        }
        Ok(())
    }

    fn happens_to_issuer(&mut self, n: usize) -> Result<(), Broken> {
        // While what the store lost comes back, those who hold it stay.
        let needed = self.mending && self.shared;
        match self.dice.below(10) {
            _ if needed => {}
            0..=2 => {
                let told = self.dice.percent(70);
                self.note(format_args!("issuer {n} is killed"));
                self.kill_issuer(n, told);
            }
            3..=5 if self.issuers[n].process.is_none() => {
                self.note(format_args!("issuer {n} starts"));
                self.history.tally.restarts += 1;
                self.start_issuer(n);
            }
            3..=5 => {
                self.note(format_args!("issuer {n} hangs up"));
                self.hang_up(n, true);
            }
            6 => self.halt_issuer(n)?,
            7 | 8 => {
                let cut = self.shared && self.dice.percent(60);
                let slow = if self.dice.percent(40) { self.dice.between(1, 1_500) } else { 0 };
                self.note(format_args!("issuer {n} and the store: cut {cut}, slow {slow}"));
                self.link(n).cut.store(cut, Ordering::Relaxed);
                self.link(n).slow.store(slow, Ordering::Relaxed);
            }
            _ => {
                let full = !self.mending && self.dice.percent(40);
                self.note(format_args!("the trail of issuer {n} is full: {full}"));
                self.issuers[n].plan.trail.full.store(full, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn halt_issuer(&mut self, n: usize) -> Result<(), Broken> {
        let halt = match self.issuers[n].halt {
            Halt::No if self.dice.percent(50) => Halt::Stopped,
            Halt::No => Halt::Asleep,
            Halt::Stopped | Halt::Asleep => Halt::No,
        };
        self.note(format_args!("issuer {n}: {halt:?}"));
        self.issuers[n].halt = halt;
        self.settle()
    }

    fn happens_to_verifier(&mut self, v: usize) -> Result<(), Broken> {
        if self.verifiers[v].process.is_none() {
            self.history.tally.restarts += 1;
            self.start_verifier(v);
            return Ok(());
        }
        match self.dice.below(14) {
            0 | 1 => {
                self.note(format_args!("verifier {v} is killed"));
                self.kill_verifier(v);
            }
            2 => {
                self.note(format_args!("verifier {v} loses its file"));
                self.kill_verifier(v);
                if let Some(file) = &self.verifiers[v].home.file {
                    std::fs::remove_file(file).unwrap();
                }
                self.history.forget_file(v);
            }
            3 => self.power_cut(v),
            4 => self.goodbye(v)?,
            5..=7 => {
                let halt = match self.verifiers[v].halt {
                    Halt::No if self.dice.percent(50) => Halt::Stopped,
                    Halt::No => Halt::Asleep,
                    Halt::Stopped | Halt::Asleep => Halt::No,
                };
                self.note(format_args!("verifier {v}: {halt:?}"));
                self.verifiers[v].halt = halt;
            }
            8 | 9 => {
                let full = self.dice.percent(40);
                self.note(format_args!("the disk of verifier {v} is full: {full}"));
                self.verifiers[v].home.full.store(full, Ordering::Relaxed);
            }
            10..=12 => {
                let stalled = self.dice.percent(40);
                self.note(format_args!("the disk of verifier {v} does not answer: {stalled}"));
                self.with(v, |process| {
                    process.stalled = stalled;
                    Vec::new()
                });
            }
            _ => self.lose_verifier_stream(v),
        }
        Ok(())
    }

    fn lose_verifier_stream(&mut self, v: usize) {
        if let Some(stream) = self.verifiers[v].stream {
            self.wire.lock().unwrap().send(stream, &Parcel::CloseVerifier);
        }
    }

    /// What was not synced may be gone, and the machine starts anew.
    fn power_cut(&mut self, v: usize) {
        self.note(format_args!("the power of verifier {v} is cut"));
        self.kill_verifier(v);
        let home = &self.verifiers[v].home;
        home.machine.reboots();
        if let Some(file) = &home.file {
            let (synced, length) =
                (home.synced.load(Ordering::Relaxed), std::fs::metadata(file).unwrap().len());
            cut(file, self.dice.between(synced.min(length), length));
        }
    }

    fn goodbye(&mut self, v: usize) -> Result<(), Broken> {
        if self.verifiers[v].halt != Halt::No {
            return Ok(());
        }
        let relinquished = self.verifiers[v].process.as_mut().is_some_and(|process| {
            let done = !process.stalled && process.relinquishes();
            process.write();
            done
        });
        self.note(format_args!("verifier {v} says goodbye: {relinquished}"));
        if let Some(stream) = self.verifiers[v].stream.filter(|_| relinquished) {
            let goodbye = Parcel::ToIssuer(crate::issuing::Heard::Goodbye);
            self.wire.lock().unwrap().send(stream, &goodbye);
        }
        self.kill_verifier(v);
        self.settle()
    }

    fn happens_to_cable(&mut self, v: usize, n: usize) {
        let (up, down) = match self.dice.below(6) {
            0 => (true, true),
            1 => (true, false),
            2 => (false, true),
            _ => (false, false),
        };
        let slow = if self.dice.percent(30) { self.dice.between(1, 2_500) } else { 0 };
        self.note(format_args!("verifier {v} and issuer {n}: cut {up} {down}, slow {slow}"));
        let mut wire = self.wire.lock().unwrap();
        let cable = wire.cable(v, n);
        (cable.cut_up, cable.cut_down, cable.slow) = (up, down, slow);
    }

    fn happens_to_clock(&mut self, n: usize, v: usize) -> Result<(), Broken> {
        let back = if self.dice.percent(50) { -1 } else { 1 };
        let far = if self.dice.percent(15) { 7_200_000 } else { 80_000 };
        let step = back * i64::try_from(self.dice.below(far)).unwrap();
        if self.dice.percent(40) {
            self.note(format_args!("the calendar of issuer {n} steps {step}"));
            self.issuers[n].plan.machine.step_wall(step);
        } else {
            self.note(format_args!("the calendar of verifier {v} steps {step}"));
            self.verifiers[v].home.machine.step_wall(step);
        }
        self.settle()
    }

    /// Rolled back, wiped, or remembered. What is lost is held elsewhere: by the issuers, which run and reach the store, or
    /// by the one issuer's trail.
    fn happens_to_store(&mut self, n: usize) {
        if self.dice.percent(50) || (self.image.is_none() && self.dice.percent(70)) {
            self.image = Some(self.store.image());
            return self.note(format_args!("the store is copied"));
        }
        // Each has seen what the others appended, and written down what it owed to its trail while that was full.
        let mut ends = Vec::new();
        let held = self.issuers.iter().enumerate().all(|(n, issuer)| {
            let realm = issuer.slot.lock().unwrap();
            ends.extend(realm.as_ref().map(|realm| realm.log.published().log.cursor()));
            let whole = realm.as_ref().is_some_and(|realm| {
                realm.trail.down().is_none()
                    && !realm.log.published().lost
                    && !realm.conditions.audit_broken()
            });
            let trail = !issuer.plan.trail.full.load(Ordering::Relaxed);
            let reached = issuer.halt == Halt::No && !self.is_cut(n);
            trail && whole && (reached || !self.shared)
        });
        ends.dedup();
        if self.mending || !held || ends.len() != 1 {
            return;
        }
        let image = self.image.take();
        self.note(format_args!("the store is set back: {}", image.is_some()));
        match image {
            Some(image) => self.store.put_back(image),
            None => self.store.wipe(),
        }
        self.history.tally.losses += 1;
        self.mending = true;
        // A file is set back while nobody has it open.
        if !self.shared {
            self.kill_issuer(n, true);
            self.start_issuer(n);
        }
    }

    /// An issuer of a newer build speaks on a verifier's stream: its log goes on with a kind that nobody here knows.
    fn stranger_speaks(&mut self, v: usize) -> Result<(), Broken> {
        let verifier = &self.verifiers[v];
        let (Some(process), Some(stream)) = (&verifier.process, verifier.stream) else { return Ok(()) };
        let view = process.view();
        let (before, now) = (view.log.cursor(), verifier.home.machine.now().wall);
        if verifier.halt != Halt::No || before == Cursor::ZERO {
            return Ok(());
        }
        let cursor = Cursor::new(before.epoch, before.sequence + 1);
        let rule = Rule::Token(TokenId::from_bytes([9; 16]));
        let body = Body::Rule { rule, reason: Reason::Operator, cut: cursor, project: None };
        let mut bytes = Entry { cursor, recorded_at: now, expires_at: now, body }.canonical();
        bytes[1] = 7;
        let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        hash.update(&view.log.end().hash);
        hash.update(&bytes);
        let hash = hash.finish().as_ref().try_into().unwrap();
        let head = Head {
            issuer: ISSUER.into(),
            realm: REALM.into(),
            epoch: cursor.epoch,
            base: view.log.base(),
            end: Link { sequence: cursor.sequence, hash },
            log_time: now,
        };
        let head = Signed::sign(head, &quick_key::key(0)).unwrap();
        let entries = [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat();
        let run = Run { epoch: cursor.epoch, first: cursor.sequence, previous: view.log.end().hash, entries };
        self.note(format_args!("an issuer of a newer build speaks to verifier {v}"));
        self.with(v, |process| process.hear(Input::Head(head.signed().clone())));
        self.with(v, |process| process.hear(Input::Entries(run)));
        let after = self.verifiers[v].process.as_ref().map(|process| process.view().log.cursor());
        if after != Some(before) {
            return Err(format!(
                "V1: an entry of an unknown kind took verifier {v} from {before} to {after:?}"
            ));
        }
        let alarms = self.verifiers[v].process.iter().flat_map(|process| &process.alarms);
        if alarms.into_iter().any(|alarm| *alarm == Alarm::UnknownEntryKind) {
            self.history.tally.strangers += 1;
        }
        // It goes away again.
        self.wire.lock().unwrap().send(stream, &Parcel::CloseVerifier);
        Ok(())
    }
}
