//! The payloads of the snapshot's frames, in one byte form each. Knows no file.

use common::{
    key_id::KeyId,
    revocation::{entry::Hash, lease::BootId},
    trust::{Signed, Statement, Verified},
};

use super::Damage;
use crate::domain::feed::Run;

/// Whose log the file holds. First in the file, and again with a lease once other log keys are pinned.
pub(super) const IDENTITY: u8 = 1;
/// A run of entries, proven by a later head.
pub(super) const ENTRIES: u8 = 2;
/// A signed head that covers everything before it.
pub(super) const HEAD: u8 = 3;
/// A signed statement about keys and limits.
pub(super) const TRUST: u8 = 4;
/// The last renewal of the lease.
pub(super) const LEASE: u8 = 5;

/// Which process holds the file: written before each lease that could be gone on from.
pub(super) const HOLDER: u8 = 6;

/// Whose log it is: a file of another issuer, another realm, or other log keys is not ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// The `iss` of the realm's tokens.
    pub issuer: String,
    /// The realm.
    pub realm: String,
    /// The pinned log keys.
    pub log_keys: Vec<KeyId>,
}

impl Identity {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for text in [&self.issuer, &self.realm] {
            out.extend(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            out.extend(text.as_bytes());
        }
        self.log_keys.iter().for_each(|key| out.extend(key.as_bytes()));
        out
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (issuer, rest) = text(bytes)?;
        let (realm, rest) = text(rest)?;
        let (keys, []) = rest.as_chunks::<32>() else { return None };
        let log_keys = keys.iter().map(|key| KeyId::from_bytes(*key)).collect();
        Some(Self { issuer, realm, log_keys })
    }

    /// Whether a file of `theirs` is of this identity. One log key in common will do: they are exchanged one by one.
    pub(super) fn goes_on_from(&self, theirs: &Self) -> bool {
        let shared = theirs.log_keys.iter().any(|key| self.log_keys.contains(key));
        shared && self.is_of_realm(theirs)
    }

    pub(super) fn is_of_realm(&self, theirs: &Self) -> bool {
        (&theirs.issuer, &theirs.realm) == (&self.issuer, &self.realm)
    }
}

fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
    let (text, rest) = rest.split_at_checked(length)?;
    Some((str::from_utf8(text).ok()?.to_owned(), rest))
}

/// Which process held the file, and which file that was: a copy of it is another one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Holder {
    /// Its instance number.
    pub(super) instance: u64,
    /// The boot of the machine.
    pub(super) boot: BootId,
    /// Device and inode.
    pub(super) file: (u64, u64),
}

impl Holder {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let numbers = [self.instance, self.file.0, self.file.1].map(u64::to_be_bytes);
        [numbers.as_flattened(), &self.boot.0].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (instance, rest) = bytes.split_first_chunk()?;
        let (device, rest) = rest.split_first_chunk()?;
        let (inode, boot) = rest.split_first_chunk()?;
        let [instance, device, inode] = [instance, device, inode].map(|bytes| u64::from_be_bytes(*bytes));
        Some(Self { instance, boot: BootId(boot.try_into().ok()?), file: (device, inode) })
    }
}

/// A run as it lies in a frame.
#[derive(Clone, Copy)]
pub(super) struct RunFrame<'a> {
    pub(super) epoch: u64,
    pub(super) first: u64,
    pub(super) previous: Hash,
    pub(super) entries: &'a [u8],
    /// How many entries there are.
    pub(super) count: u64,
}

impl<'a> RunFrame<'a> {
    pub(super) fn read(payload: &'a [u8]) -> Result<Self, Damage> {
        let read = || {
            let (epoch, rest) = payload.split_first_chunk::<8>()?;
            let (first, rest) = rest.split_first_chunk::<8>()?;
            let (previous, entries) = rest.split_first_chunk::<32>()?;
            let (epoch, first) = (u64::from_be_bytes(*epoch), u64::from_be_bytes(*first));
            let count = count(entries)?;
            (first > 0 && count > 0).then_some(Self { epoch, first, previous: *previous, entries, count })
        };
        read().ok_or(Damage::Malformed)
    }

    pub(super) const fn last(&self) -> u64 {
        self.first.saturating_add(self.count - 1)
    }

    pub(super) fn to_run(self) -> Run {
        let Self { epoch, first, previous, entries, count: _ } = self;
        Run { epoch, first, previous, entries: entries.to_vec() }
    }
}

/// How many entries a packed run holds. `None` when it ends within one.
pub(super) fn count(mut packed: &[u8]) -> Option<u64> {
    let mut count = 0;
    while let Some((length, rest)) = packed.split_first_chunk::<2>() {
        (_, packed) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        count += 1;
    }
    packed.is_empty().then_some(count)
}

pub(super) fn run_payload(run: &Run) -> Vec<u8> {
    let mut out = Vec::with_capacity(48 + run.entries.len());
    out.extend(run.epoch.to_be_bytes());
    out.extend(run.first.to_be_bytes());
    out.extend(run.previous);
    out.extend(&run.entries);
    out
}

/// Key id, length of the signature, signature, statement.
pub(super) fn signed_payload<S: Statement>(statement: &Verified<S>) -> Vec<u8> {
    let Signed { bytes, signature, key } = statement.signed();
    let mut out = key.as_bytes().to_vec();
    // RSA of at most 4096 bits: 512 bytes.
    out.extend(u16::try_from(signature.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(signature);
    out.extend(bytes);
    out
}

pub(super) fn read_signed(payload: &[u8]) -> Result<Signed, Damage> {
    let read = || {
        let (key, rest) = payload.split_first_chunk::<32>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (signature, bytes) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let key = KeyId::from_bytes(*key);
        Some(Signed { bytes: bytes.to_vec(), signature: signature.to_vec(), key })
    };
    read().ok_or(Damage::Malformed)
}
