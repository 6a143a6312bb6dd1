//! Good tokens of every kind: each type, both algorithms, and every member in more than one way.

use common::{encoding, jws::Algorithm, keys::SigningKey, token::kind::TokenType};

use crate::tokens::{Draft, HOLDER, PS256, RS256};

/// 108 of them: 3 types, 2 algorithms, 18 ways.
pub fn good_tokens() -> Vec<String> {
    let both = TokenType::ALL.into_iter().flat_map(|kind| [(kind, &*PS256), (kind, &*RS256)]);
    both.flat_map(|(kind, signer)| of(kind, signer)).collect()
}

/// Those of one algorithm.
pub fn good_tokens_of(algorithm: Algorithm) -> Vec<String> {
    let signer = if algorithm == Algorithm::Ps256 { &*PS256 } else { &*RS256 };
    TokenType::ALL.into_iter().flat_map(|kind| of(kind, signer)).collect()
}

fn of(kind: TokenType, signer: &'static SigningKey) -> impl Iterator<Item = String> {
    WAYS.iter().enumerate().map(move |(number, change)| {
        let mut draft = Draft::of(kind, &format!("{kind} {number} {}", signer.public().algorithm().as_str()));
        draft.sign_with(signer);
        change(&mut draft);
        draft.token()
    })
}

// One line, one way.
#[rustfmt::skip]
const WAYS: [fn(&mut Draft); 18] = [
    |_| (),
    |d| d.claim("1800090000", "253402300799"),
    |d| d.claim("1800090000", "1800003600"),
    |d| d.claim("ALWAYS_SAME", "ALWAYS_DIFFERENT"),
    |d| d.claim("\"ALPHANUMERIC\",\"length\":32", "\"NUMERIC\",\"length\":39"),
    |d| d.claim("\"ALPHANUMERIC\"", "\"HEXADECIMAL\""),
    |d| d.claim("\"ALPHANUMERIC\",\"length\":32", "\"UUID\",\"length\":36"),
    |d| d.claim("\"length\":32", "\"length\":64"),
    |d| d.claim("\"schema\"", &format!("\"cnf\":{{\"x5t#S256\":\"{}\"}},\"schema\"", encoding::encode(&HOLDER))),
    |d| d.claim("\"sequence\":42", "\"sequence\":18446744073709551615"),
    |d| d.claim("\"epoch\":1", "\"epoch\":4294967296"),
    |d| d.claim("project-a", &"a".repeat(64)),
    |d| d.claim("\"exp\":1800003600", "\"exp\":1800000061"),
    |d| d.claim("\"nbf\":1800000000", "\"nbf\":1800000062"),
    |d| { d.claim("\"schema\":1}", "\"schema\" :\t1 }\r\n"); d.head("{", " {\n"); },
    |d| { d.claim("\"schema\":1}", "\"aud\":\"incert\",\"schema\":1}"); d.claim("\"aud\":\"incert\",", ""); },
    |d| d.claim("01010101-0101-4101-8101-010101010101", "ffffffff-ffff-4fff-8fff-fffffffffffe"),
    |d| d.claim("\"incert\"", "\"\\u0069ncer\\u0074\""),
];
