//! Signatures as a fault makes them: none of them leaves.
//!
//! With the Chinese remainder theorem a signature is put together from one half modulo p and one modulo q. Whatever goes
//! wrong in dp, in dq or in qinv, or while one half is computed, gives s + k q or s + k p: right by one prime and wrong by
//! the other, and so the greatest common divisor with the modulus is a prime of the key (Boneh and others, 1997).

use std::sync::atomic::{AtomicU64, Ordering};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rsa::{BoxedUint, traits::PrivateKeyParts as _};

use super::*;

/// Which part of the key is corrupt.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// dp, qinv, or the half modulo p.
    OfP,
    /// dq, or the half modulo q.
    OfQ,
    /// A bit of the signature that is put together.
    Bit,
}

/// Signs rightly, then does to the signature what the fault does.
struct Faulty {
    right: InProcess,
    key: rsa::PrivateKey,
    fault: Fault,
    made: AtomicU64,
}

impl Holder for Faulty {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CannotSignNow> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let mut random = StdRng::seed_from_u64(number);
        let mut signature = self.right.sign(message)?;
        let prime = |which: usize| &self.key.primes()[1 - which];
        let shift = match self.fault {
            Fault::OfP => prime(0),
            Fault::OfQ => prime(1),
            Fault::Bit => {
                let bit = random.random_range(0..signature.len() * 8);
                signature[bit / 8] ^= 1 << (bit % 8);
                return Ok(signature);
            }
        };
        let bits = self.key.n().as_ref().bits_precision();
        let wide = |bytes: &[u8]| BoxedUint::from_be_slice(bytes, bits).unwrap();
        let factor = wide(&random.random_range(1..u64::MAX).to_be_bytes());
        // Less than the modulus by far: the factor has 64 bits, the prime half of the modulus's.
        let added = wide(&shift.to_be_bytes()).wrapping_mul(&factor);
        let right = wide(&signature);
        let wrong = right.add_mod(&added, self.key.n());
        assert!(wrong != right);
        Ok(wrong.to_be_bytes().into())
    }
}

fn faulty(fault: Fault, algorithm: Algorithm) -> SigningKey {
    let key = rsa::PrivateKey::from_pkcs8_pem(pem(0)).unwrap();
    let der = key.to_pkcs8_der().unwrap();
    let right = InProcess { pair: KeyPair::from_pkcs8(der.as_bytes()).unwrap(), algorithm };
    let public = signing_key(0, algorithm).public().clone();
    SigningKey::held_by(Box::new(Faulty { right, key, fault, made: AtomicU64::new(0) }), public)
}

/// `FAULTS` says how many of each kind.
#[test]
fn a_signature_that_a_fault_made_wrong_never_leaves() {
    let each: u64 = std::env::var_os("FAULTS").map_or(40, |text| text.to_str().unwrap().parse().unwrap());
    for algorithm in [Algorithm::Ps256, Algorithm::Rs256] {
        for fault in [Fault::OfP, Fault::OfQ, Fault::Bit] {
            let key = faulty(fault, algorithm);
            for number in 0..each {
                let signed = key.sign(b"test\0", &number.to_be_bytes());
                assert_eq!(signed, Err(SigningFailed::Faulty), "{fault:?} {algorithm:?} {number}");
            }
        }
    }
}

/// A key file in which dp, dq or qinv has been changed is refused, or makes right signatures all the same.
#[test]
fn a_key_file_with_a_corrupt_part_never_makes_a_wrong_signature() {
    let text: String = pem(0).lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(text).unwrap();
    let key = rsa::PrivateKey::from_pkcs8_pem(pem(0)).unwrap();
    let dp = key.dp().unwrap().to_be_bytes_trimmed_vartime();
    let dq = key.dq().unwrap().to_be_bytes_trimmed_vartime();
    for part in [dp, dq] {
        let place = der.windows(part.len()).position(|window| *window == *part).unwrap();
        for bit in [0, 7, 300, 1_000] {
            let mut corrupt = der.clone();
            corrupt[place + bit / 8] ^= 1 << (bit % 8);
            refused_or_right(&corrupt);
        }
    }
    // qinv is the last number of the key, and the key the end of the file.
    for back in [1, 20, 100] {
        let mut corrupt = der.clone();
        let place = corrupt.len() - back;
        corrupt[place] ^= 4;
        refused_or_right(&corrupt);
    }
}

fn refused_or_right(der: &[u8]) {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    let right = signing_key(0, Algorithm::Rs256).sign(b"test\0", b"message").unwrap();
    if let Ok(key) = SigningKey::from_pem(&pem, Algorithm::Rs256) {
        assert!(matches!(key.sign(b"test\0", b"message"), Ok(signature) if signature == right));
    }
    // And without our reading it first, whatever the library makes of it.
    if let Ok(pair) = KeyPair::from_pkcs8(der) {
        let held = InProcess { pair, algorithm: Algorithm::Rs256 };
        let key = SigningKey::held_by(Box::new(held), signing_key(0, Algorithm::Rs256).public().clone());
        assert!(
            key.sign(b"test\0", b"message").is_ok_and(|signature| signature == right)
                || key.sign(b"test\0", b"m").is_err()
        );
    }
}
