//! An RSA key whose private half is quick: 64 primes of 32 bits. Everybody can factor it, and its signatures are as good as
//! any to whoever checks them, so ten thousand heads can be signed while one key of two primes signs a few hundred.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use common::{
    encoding,
    jws::Algorithm,
    keys::{CannotSignNow, Holder, PublicKey, SigningKey},
};

const PRIMES: usize = 64;
const E: u64 = 65_537;
/// Of SHA-256 in a PKCS#1 signature (RFC 8017 section 9.2).
const DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

/// 2048 bits, the least significant 32 first, and room for what sums of such need.
type Big = [u64; PRIMES + 2];

struct Quick {
    modulus: Big,
    factors: Vec<Factor>,
}

struct Factor {
    prime: u64,
    /// The private exponent modulo `prime - 1`.
    exponent: u64,
    /// The modulus without this prime, and the inverse of that modulo the prime.
    rest: Big,
    inverse: u64,
}

/// The key of this number, 0 or 1; made once.
pub(crate) fn key(number: usize) -> Arc<SigningKey> {
    static MADE: [OnceLock<Arc<SigningKey>>; 2] = [const { OnceLock::new() }; 2];
    Arc::clone(MADE[number].get_or_init(|| {
        let primes: Vec<u64> = primes().skip(number * PRIMES).take(PRIMES).collect();
        let modulus = product(&primes);
        let bytes = bytes(&modulus);
        let public = PublicKey::from_jwk(&encoding::encode(&bytes), "AQAB", Algorithm::Rs256).unwrap();
        let factor = |prime: &u64| {
            let others: Vec<u64> = primes.iter().filter(|other| *other != prime).copied().collect();
            let rest = product(&others);
            let inverse = power(remainder(&rest, *prime), prime - 2, *prime);
            Factor { prime: *prime, exponent: inverse_of_e(prime - 1), rest, inverse }
        };
        let quick = Quick { modulus, factors: primes.iter().map(factor).collect() };
        Arc::new(SigningKey::held_by(Box::new(quick), public))
    }))
}

fn bytes(of: &Big) -> Vec<u8> {
    of[..PRIMES].iter().rev().flat_map(|limb| u32::try_from(*limb).unwrap().to_be_bytes()).collect()
}

impl Holder for Quick {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CannotSignNow> {
        let mut padded = vec![0xff; 4 * PRIMES];
        let hash = digest(&SHA256, message);
        let tail = [&[0], &DIGEST_INFO[..], hash.as_ref()].concat();
        let at = padded.len() - tail.len();
        padded[at..].copy_from_slice(&tail);
        padded[..2].copy_from_slice(&[0, 1]);
        let mut big: Big = [0; PRIMES + 2];
        for (limb, bytes) in big.iter_mut().zip(padded.rchunks(4)) {
            *limb = u64::from(u32::from_be_bytes(bytes.try_into().unwrap()));
        }
        Ok(bytes(&self.root(&big)))
    }
}

impl Quick {
    /// By the Chinese remainder theorem.
    fn root(&self, of: &Big) -> Big {
        let mut sum = [0; PRIMES + 2];
        for factor in &self.factors {
            let part = power(remainder(of, factor.prime), factor.exponent, factor.prime);
            add_product(&mut sum, &factor.rest, part * factor.inverse % factor.prime);
        }
        while !less(&sum, &self.modulus) {
            // At most 64 times, and most of that at once: the top limbs tell how often it goes in at the least.
            let (top, of) = ((sum[PRIMES] << 32) | sum[PRIMES - 1], self.modulus[PRIMES - 1] + 1);
            subtract_product(&mut sum, &self.modulus, (top / of).max(1));
        }
        sum
    }
}

fn primes() -> impl Iterator<Item = u64> {
    let is_prime = |n: &u64| (3..65_536).step_by(2).all(|divisor| !n.is_multiple_of(divisor));
    let odd = (1..).map(|n| (1_u64 << 32) - (2 * n - 1));
    odd.filter(is_prime).filter(|prime| !(prime - 1).is_multiple_of(E))
}

fn product(of: &[u64]) -> Big {
    let mut product = [0; PRIMES + 2];
    product[0] = 1;
    for prime in of {
        let mut next = [0; PRIMES + 2];
        add_product(&mut next, &product, *prime);
        product = next;
    }
    product
}

fn add_product(sum: &mut Big, of: &Big, times: u64) {
    let mut carry = 0;
    for (to, limb) in sum.iter_mut().zip(of) {
        // Below 2^64: the limbs and `times` are below 2^32.
        carry += *to + limb * times;
        *to = carry & 0xffff_ffff;
        carry >>= 32;
    }
}

fn subtract_product(from: &mut Big, of: &Big, times: u64) {
    let mut borrow = 0;
    for (to, limb) in from.iter_mut().zip(of) {
        let take = limb * times + borrow;
        let (low, high) = (take & 0xffff_ffff, take >> 32);
        borrow = high + u64::from(*to < low);
        *to = to.wrapping_sub(low) & 0xffff_ffff;
    }
}

fn less(one: &Big, other: &Big) -> bool {
    one.iter().rev().lt(other.iter().rev())
}

fn remainder(of: &Big, prime: u64) -> u64 {
    of.iter().rev().fold(0, |rest, limb| ((rest << 32) | limb) % prime)
}

fn power(base: u64, mut exponent: u64, prime: u64) -> u64 {
    let (mut base, mut result) = (base % prime, 1);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * base % prime;
        }
        base = base * base % prime;
        exponent >>= 1;
    }
    result
}

/// Of E modulo `modulus`, which has no factor with it in common: the k for which `1 + k * modulus` is a multiple of E.
fn inverse_of_e(modulus: u64) -> u64 {
    let k = (0..E).find(|k| (1 + k * (modulus % E)).is_multiple_of(E)).unwrap();
    u64::try_from((1 + u128::from(k) * u128::from(modulus)) / u128::from(E)).unwrap()
}

#[test]
fn a_quick_key_signs_as_any_other() {
    let (one, other) = (key(0), key(1));
    assert_eq!(one.public().bits(), 2_048);
    for n in 0..50_u8 {
        // Signing checks the signature with the library that everybody else checks it with.
        let signature = one.sign(b"context\0", &[n]).unwrap();
        assert!(other.public().verify(b"context\0", &[n], &signature).is_err());
    }
}
