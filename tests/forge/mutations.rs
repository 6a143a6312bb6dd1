//! Every change of one byte to a token, and seeded larger ones. Judges nothing: who calls does.
//!
//! *As received*: at each position each other value, each deletion, each insertion of each value. *Encoded anew*: the same
//! to the bytes of each part behind the base64url, so that the form is good again and the signature decides. Values of one
//! changed bit and doubled bytes are among them. A value above 127 is put in as the character of that number: as a byte
//! it would make the token no text at all, which no interface takes.

use common::encoding;
use rand::{Rng, RngExt as _, SeedableRng as _, rngs::SmallRng};

/// What was changed, for the message of a test.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// One character of the token as received.
    Received,
    /// One byte of a part, 0 to 2, encoded anew.
    Encoded(usize),
    /// Several at once.
    Several,
}

/// Calls `each` with every mutation of one byte. None of them is the token itself.
pub fn every(token: &str, mut each: impl FnMut(Change, &str)) {
    every_received(token, &mut each);
    let parts: Vec<&str> = token.split('.').collect();
    let mut text = String::new();
    for (number, part) in parts.iter().enumerate() {
        let bytes = encoding::decode(part).unwrap();
        let mut changed = Vec::with_capacity(bytes.len() + 1);
        changed_bytes(&bytes, |before, value, after| {
            changed.clear();
            changed.extend_from_slice(before);
            changed.extend(value);
            changed.extend_from_slice(after);
            join(&parts, number, &encoding::encode(&changed), &mut text);
            each(Change::Encoded(number), &text);
        });
    }
}

/// Of these, the ones as received.
pub fn every_received(token: &str, mut each: impl FnMut(Change, &str)) {
    assert!(token.is_ascii());
    let mut text = String::with_capacity(token.len() + 2);
    changed_bytes(token.as_bytes(), |before, value, after| {
        text.clear();
        text.push_str(str::from_utf8(before).unwrap());
        text.extend(value.map(char::from));
        text.push_str(str::from_utf8(after).unwrap());
        each(Change::Received, &text);
    });
}

/// Of these, the ones of one bit, encoded anew.
pub fn every_bit(token: &str, mut each: impl FnMut(Change, &str)) {
    let parts: Vec<&str> = token.split('.').collect();
    let mut text = String::new();
    for (number, part) in parts.iter().enumerate() {
        let mut bytes = encoding::decode(part).unwrap();
        for at in 0..bytes.len() * 8 {
            bytes[at / 8] ^= 1 << (at % 8);
            join(&parts, number, &encoding::encode(&bytes), &mut text);
            each(Change::Encoded(number), &text);
            bytes[at / 8] ^= 1 << (at % 8);
        }
    }
}

/// Substitutions, deletions and insertions of one byte: what stays before, what is put in, what stays behind.
fn changed_bytes(bytes: &[u8], mut each: impl FnMut(&[u8], Option<u8>, &[u8])) {
    for at in 0..=bytes.len() {
        let (before, after) = bytes.split_at(at);
        for value in 0..=u8::MAX {
            each(before, Some(value), after);
            if after.first().is_some_and(|old| *old != value) {
                each(before, Some(value), &after[1..]);
            }
        }
        if !after.is_empty() {
            each(before, None, &after[1..]);
        }
    }
}

fn join(parts: &[&str], number: usize, instead: &str, text: &mut String) {
    text.clear();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        text.push_str(if at == number { instead } else { part });
    }
}

/// Larger changes, one after the other for ever, from a seed.
#[derive(Debug)]
pub struct Several<'a> {
    tokens: &'a [String],
    rng: SmallRng,
    bytes: Vec<u8>,
}

impl<'a> Several<'a> {
    /// Over these tokens. The same seed makes the same changes.
    pub fn new(tokens: &'a [String], seed: u64) -> Self {
        Self { tokens, rng: SmallRng::seed_from_u64(seed), bytes: Vec::new() }
    }

    /// The next; `None` when the changes have undone each other or left no text.
    pub fn next_text(&mut self) -> Option<&str> {
        let original = &self.tokens[self.rng.random_range(0..self.tokens.len())];
        let other = &self.tokens[self.rng.random_range(0..self.tokens.len())];
        self.bytes.clear();
        if self.rng.random_range(0..64) == 0 {
            self.encoded_anew(original);
        } else {
            self.bytes.extend_from_slice(original.as_bytes());
            for _ in 0..self.rng.random_range(2..=32) {
                change(&mut self.bytes, other.as_bytes(), &mut self.rng);
            }
        }
        let text = str::from_utf8(&self.bytes).ok()?;
        // Taking all of another good token is no forgery.
        Some(text).filter(|text| *text != original && *text != other)
    }

    /// Several bytes of claims or signature, of good form again: the signature has to decide.
    fn encoded_anew(&mut self, original: &str) {
        let parts: Vec<&str> = original.split('.').collect();
        let number = self.rng.random_range(1..=2);
        let mut part = encoding::decode(parts[number]).unwrap();
        for _ in 0..self.rng.random_range(1..=8) {
            let at = self.rng.random_range(0..part.len());
            part[at] ^= self.rng.random_range(1..=u8::MAX);
        }
        let mut text = String::with_capacity(original.len());
        join(&parts, number, &encoding::encode(&part), &mut text);
        self.bytes.extend_from_slice(text.as_bytes());
    }
}

/// One change of the kinds that parsers fall for.
fn change(bytes: &mut Vec<u8>, other: &[u8], rng: &mut impl Rng) {
    if bytes.is_empty() {
        return;
    }
    let at = rng.random_range(0..bytes.len());
    match rng.random_range(0..10) {
        0..=2 => bytes[at] = LETTERS[rng.random_range(0..LETTERS.len())],
        3 => bytes[at] ^= 1 << rng.random_range(0..7),
        4 => bytes.insert(at, LETTERS[rng.random_range(0..LETTERS.len())]),
        5 => drop(bytes.remove(at)),
        6 => bytes.truncate(at),
        7 => {
            let end = (at + rng.random_range(1..64)).min(bytes.len());
            bytes.extend_from_within(at..end);
        }
        8 => {
            let with = rng.random_range(0..bytes.len());
            bytes.swap(at, with);
        }
        // Head of the one, tail of the other: among them whole parts of different tokens.
        _ => {
            let dots =
                |bytes: &[u8]| bytes.iter().position(|byte| *byte == b'.').unwrap_or(at.min(bytes.len()));
            let (ours, theirs) =
                if rng.random() { (dots(bytes), dots(other)) } else { (at, at.min(other.len())) };
            bytes.truncate(ours);
            bytes.extend_from_slice(&other[theirs..]);
        }
    }
}

/// Of the alphabet, and of what is mistaken for it.
const LETTERS: &[u8; 76] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. \n\t\0%&,~";
