//! Signatures that are not this key's over these bytes, whatever else is right.

use std::sync::LazyLock;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{
        RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{encoding, jws::Algorithm, verification::Refusal::BadSignature};

use super::{Attack, Family, parts};
use crate::tokens::{Draft, PS256, RS256, STRANGER};

/// The pair behind [`RS256`], for signatures that the product never makes.
static PAIR: LazyLock<KeyPair> = LazyLock::new(|| {
    let pem = include_str!("../../vectors/keys/test_only_rs256.pem");
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    KeyPair::from_pkcs8(&STANDARD.decode(body).unwrap()).unwrap()
});

type Arithmetic = fn(&[u8]) -> Vec<u8>;
type Input = fn(&str) -> String;

/// RFC 8017 sections 8.1.2 and 8.2.2; Bleichenbacher 2006, and what arithmetic alone makes of a good signature.
pub(super) fn forged() -> Family {
    let mut family = Family::new("signature", "a signature that is not this key's over these bytes");
    let modulus = encoding::decode(RS256.public().jwk_n()).unwrap();
    let fixed: [(&str, Vec<u8>); 12] = [
        ("empty", Vec::new()),
        ("zero", vec![0; 256]),
        ("one", one(256)),
        ("all ones", vec![0xff; 256]),
        ("the modulus", modulus.clone()),
        ("the modulus less one", minus(&modulus, &one(256))),
        ("half of one", vec![0x55; 128]),
        ("one byte", vec![1]),
        ("of 384 bytes", vec![0x55; 384]),
        ("of 512 bytes", vec![0x55; 512]),
        ("the padded hash itself", padded(&[0; 32])),
        ("the padding and no hash", padded(&[])),
    ];
    for (what, signature) in fixed {
        family.changed(what, BadSignature, |good| resigned(good, &signature));
    }
    let made: [(&str, Arithmetic); 12] = [
        ("more by the modulus", |s| plus(s, &encoding::decode(RS256.public().jwk_n()).unwrap())),
        ("its negative", |s| minus(&encoding::decode(RS256.public().jwk_n()).unwrap(), s)),
        ("doubled", |s| plus(s, s)),
        ("turned round", |s| s.iter().rev().copied().collect()),
        ("every bit turned", |s| s.iter().map(|byte| !byte).collect()),
        ("without its first byte", |s| s[1..].to_vec()),
        ("without its last byte", |s| s[..255].to_vec()),
        ("a zero before", |s| [&[0], s].concat()),
        ("a zero behind", |s| [s, &[0]].concat()),
        ("twice", |s| [s, s].concat()),
        ("as a DER text", |s| [&[4, 0x82, 1, 0], s].concat()),
        ("one more", |s| plus(s, &one(256))),
    ];
    for (what, change) in made {
        family.changed(what, BadSignature, |good| {
            resigned(good, &change(&encoding::decode(parts(good)[2]).unwrap()))
        });
    }
    let hashes: [(&str, &'static dyn RsaEncoding); 5] = [
        ("PKCS1 with SHA-384", &RSA_PKCS1_SHA384),
        ("PKCS1 with SHA-512", &RSA_PKCS1_SHA512),
        ("PSS with SHA-256", &RSA_PSS_SHA256),
        ("PSS with SHA-384", &RSA_PSS_SHA384),
        ("PSS with SHA-512", &RSA_PSS_SHA512),
    ];
    for (what, hash) in hashes {
        family.changed(what, BadSignature, |good| signed_with(good, hash));
        family.attacks.last_mut().unwrap().random = what.starts_with("PSS");
    }
    let over: [(&str, Input); 8] = [
        ("over the claims alone", |good| parts(good)[1].to_owned()),
        ("over the header alone", |good| parts(good)[0].to_owned()),
        ("over the bytes behind the base64url", |good| {
            String::from_utf8(parts(good).map(|part| encoding::decode(part).unwrap())[..2].join(&b'.'))
                .unwrap()
        }),
        ("over both parts without the dot", |good| parts(good)[..2].concat()),
        ("over the whole token", str::to_owned),
        ("over nothing", |_| String::new()),
        ("over a line feed more", |good| format!("{}\n", parts(good)[..2].join("."))),
        ("over padded parts", |good| {
            parts(good)[..2].iter().map(|part| format!("{part}==")).collect::<Vec<_>>().join(".")
        }),
    ];
    for (what, over) in over {
        family.changed(what, BadSignature, |good| {
            resigned(good, &RS256.sign(b"", over(good).as_bytes()).unwrap())
        });
    }
    family.signed("the stranger's", BadSignature, |draft| draft.signer = &STRANGER);
    family.signed("the other key's", BadSignature, |draft| draft.signer = &PS256);
    family.signed("PKCS1 under the name of the PSS key", BadSignature, |draft| {
        draft.sign_with(&PS256);
        draft.signer = &RS256;
    });
    family.attacks.push(of_another_token());
    family
}

fn of_another_token() -> Attack {
    let kind = common::token::kind::TokenType::Reverse;
    let (one, other) = (Draft::of(kind, "signature one").token(), Draft::of(kind, "signature other").token());
    Attack {
        name: "another token's".to_owned(),
        token: format!("{}.{}", parts(&one)[..2].join("."), parts(&other)[2]),
        refused: BadSignature,
        key: Algorithm::Rs256,
        random: false,
    }
}

fn resigned(good: &str, signature: &[u8]) -> String {
    format!("{}.{}", parts(good)[..2].join("."), encoding::encode(signature))
}

fn signed_with(good: &str, hash: &'static dyn RsaEncoding) -> String {
    let mut signature = vec![0; PAIR.public_modulus_len()];
    let input = parts(good)[..2].join(".");
    PAIR.sign(hash, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
    resigned(good, &signature)
}

/// PKCS1 padding around a SHA-256, as a signature of exponent 1 would be.
fn padded(hash: &[u8]) -> Vec<u8> {
    let info =
        [0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20].as_slice();
    let ones = vec![0xff; 256 - 3 - info.len() - hash.len()];
    [&[0, 1], ones.as_slice(), &[0], info, hash].concat()
}

fn one(length: usize) -> Vec<u8> {
    let mut one = vec![0; length];
    one[length - 1] = 1;
    one
}

/// A sum, in one byte more where it needs one.
fn plus(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0_u16;
    let mut sum: Vec<u8> = (a.iter().zip(b).rev())
        .map(|(a, b)| {
            let digit = u16::from(*a) + u16::from(*b) + carry;
            carry = digit >> 8;
            u8::try_from(digit & 0xff).unwrap()
        })
        .collect();
    sum.extend((carry > 0).then_some(1));
    sum.reverse();
    sum
}

/// A difference of two numbers of one length, the first the larger.
fn minus(a: &[u8], b: &[u8]) -> Vec<u8> {
    let complement: Vec<u8> = b.iter().map(|byte| !byte).collect();
    let mut difference = plus(&plus(a, &complement)[1..], &one(a.len()));
    difference.drain(..difference.len() - a.len());
    difference
}
