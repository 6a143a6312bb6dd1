//! For tests: a log as its issuer writes it, with signed heads and statements. Never part of the program.

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{KeyPair, KeySize},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{
    jws::Algorithm,
    keys::SigningKey,
    revocation::{
        cursor::Cursor,
        entry::{Body, Entry, Hash, Reason, pack},
        head::{Head, Link},
        rule::Rule,
    },
    timestamp::Timestamp,
    token::Limits,
    token_id::TokenId,
    trust::{LogKeys, Signed, Trust, Verified},
};

pub(crate) const ISSUER: &str = "https://issuer.test";
pub(crate) const REALM: &str = "default";

/// All entries of one epoch, the hash before each, and the log key.
pub(crate) struct Written {
    pub(crate) epoch: u64,
    pub(crate) key: SigningKey,
    pub(crate) entries: Vec<Entry>,
    hashes: Vec<Hash>,
}

impl Written {
    /// A log with a genesis and `ids` revoked tokens, signed by a new key.
    pub(crate) fn new(ids: u8) -> Self {
        Self::of_epoch(1, Vec::new(), ids, new_key())
    }

    pub(crate) fn of_epoch(epoch: u64, carried: Vec<Cursor>, ids: u8, key: SigningKey) -> Self {
        let mut log = Self { epoch, key, entries: Vec::new(), hashes: vec![[0; 32]] };
        log.write(Body::Genesis(carried), 1_000);
        (1..=ids).for_each(|n| log.revoke(n));
        log
    }

    /// Revokes token `n`, which would have expired 1,000 s after 1970.
    pub(crate) fn revoke(&mut self, n: u8) {
        let cut = Cursor::new(self.epoch, self.end() + 1);
        let rule = Rule::Token(TokenId::from_bytes([n; 16]));
        self.write(Body::Rule { rule, reason: Reason::Operator, cut, project: None }, 1_000);
    }

    fn write(&mut self, body: Body, expires_at: u64) {
        let cursor = Cursor::new(self.epoch, self.end() + 1);
        let entry = Entry { cursor, recorded_at: at(1), expires_at: at(expires_at), body };
        self.hashes.push(entry.link(self.hashes.last().unwrap()));
        self.entries.push(entry);
    }

    pub(crate) fn end(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(crate) fn link(&self, sequence: u64) -> Link {
        Link { sequence, hash: self.hashes[usize::try_from(sequence).unwrap()] }
    }

    pub(crate) fn head(&self, base: u64, end: u64, log_time: u64) -> Verified<Head> {
        let head = Head {
            issuer: ISSUER.into(),
            realm: REALM.into(),
            epoch: self.epoch,
            base: self.link(base),
            end: self.link(end),
            log_time: at(log_time),
        };
        Signed::sign(head, &self.key).unwrap()
    }

    /// Entries `first..=last`: epoch, first, the hash before, packed.
    pub(crate) fn run(&self, first: u64, last: u64) -> (u64, u64, Hash, Vec<u8>) {
        let (from, to) = (usize::try_from(first - 1).unwrap(), usize::try_from(last).unwrap());
        (self.epoch, first, self.link(first - 1).hash, pack(&self.entries[from..to]))
    }

    pub(crate) fn trust(&self, stated_at: u64, limits: Limits) -> Verified<Trust> {
        let trust = Trust {
            issuer: ISSUER.into(),
            realm: REALM.into(),
            stated_at: at(stated_at),
            keys: Vec::new(),
            limits,
        };
        Signed::sign(trust, &self.key).unwrap()
    }

    pub(crate) fn log_keys(&self) -> LogKeys {
        LogKeys::new(vec![self.key.public().clone()]).unwrap()
    }
}

/// A key of 2048 bits: tests need one, not a strong one.
pub(crate) fn new_key() -> SigningKey {
    let der = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD
            .encode(der.as_ref())
            .as_bytes()
            .chunks(64)
            .map(|line| str::from_utf8(line).unwrap())
            .collect::<Vec<_>>()
            .join("\n")
    );
    SigningKey::from_pem(&pem, Algorithm::Ps256).unwrap()
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}
