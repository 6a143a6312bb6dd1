//! Telling keys that a faulty library made (ROCA) from their modulus alone. Factors nothing.

/// Whether a modulus has the form of CVE-2017-15361: modulo each of these primes it is a power of 65537, as the product of
/// two primes `k * M + 65537^a mod M` is. Of other moduli about one in 2^27 is.
pub(super) fn is_roca(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|prime| {
        let rest = modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let mut power = 1;
        (0..*prime).any(|_| {
            power = power * (65_537 % prime) % prime;
            power == rest
        })
    })
}

/// Those of the published fingerprint modulo which 65537 does not make everything (Nemec and others, CCS 2017).
const PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

#[cfg(test)]
mod tests {
    use crate::{
        encoding,
        jws::Algorithm,
        keys::{InvalidKey, PublicKey, tests::signing_key},
    };

    /// A power of 65537 is one modulo every prime.
    fn power(of: usize) -> Vec<u8> {
        let mut power = vec![1];
        for _ in 0..of {
            // Times 65537: itself, and itself two bytes further on.
            let mut next = vec![0; power.len() + 3];
            for (shift, byte) in
                power.iter().rev().enumerate().flat_map(|(at, byte)| [(at, byte), (at + 2, byte)])
            {
                let (mut at, mut carry) = (next.len() - 1 - shift, u16::from(*byte));
                while carry > 0 {
                    carry += u16::from(next[at]);
                    next[at] = carry.to_le_bytes()[0];
                    carry >>= 8;
                    at = at.wrapping_sub(1);
                }
            }
            power = next.into_iter().skip_while(|byte| *byte == 0).collect();
        }
        power
    }

    #[test]
    fn a_key_of_the_weak_kind_is_refused_by_name_and_others_are_not() {
        assert_eq!(power(2), [1, 0, 2, 0, 1]);
        let mut modulus = power(128);
        let read = |modulus: &[u8]| PublicKey::from_jwk(&encoding::encode(modulus), "AQAB", Algorithm::Ps256);
        assert_eq!(read(&modulus).unwrap_err(), InvalidKey::Weak);
        modulus[100] ^= 4;
        assert_ne!(read(&modulus).err(), Some(InvalidKey::Weak));
        for number in [0, 1] {
            assert_eq!(
                read(&encoding::decode(signing_key(number, Algorithm::Ps256).public().jwk_n()).unwrap())
                    .err(),
                None
            );
        }
    }
}
