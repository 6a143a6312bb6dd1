//! Well signed by our keys, and no token: what else the issuer signs, and tokens put together from two.

use common::{
    encoding,
    token::kind::TokenType::{self, Pseudonymisation, Reverse, Secondary},
    verification::Refusal::{BadSignature, Malformed},
};

use super::{Family, parts};
use crate::tokens::{Draft, PS256, RS256};

/// RFC 8725 section 2.7 and 2.8: one signature in the place of another.
pub(super) fn crossed() -> Family {
    let mut family =
        Family::new("crossed", "signatures of our keys over something else, and parts of several tokens");
    for context in ["ipms-log-head/v1\0", "ipms-trust/v1\0", "head\0", "\0", " ", "ipms-token+jwt\0"] {
        family.changed(format!("signed in the context {context:?}"), BadSignature, |good| {
            let input = parts(good)[..2].join(".");
            let signature = RS256.sign(context.as_bytes(), input.as_bytes()).unwrap();
            format!("{input}.{}", encoding::encode(&signature))
        });
    }
    let pairs = [
        (Pseudonymisation, Reverse),
        (Secondary, Reverse),
        (Reverse, Pseudonymisation),
        (Reverse, Secondary),
    ];
    for (own, other) in pairs {
        family.changed(format!("claims of {other} under a signature of {own}"), BadSignature, |_| {
            let (own, other) = (token(own), token(other));
            [parts(&own)[0], parts(&other)[1], parts(&own)[2]].join(".")
        });
    }
    family.changed("header of the one key, the rest of the other's", BadSignature, |good| {
        let mut pss = Draft::of(Reverse, "crossed");
        pss.sign_with(&PS256);
        let pss = pss.token();
        [parts(good)[0], parts(&pss)[1], parts(&pss)[2]].join(".")
    });
    family.attacks.last_mut().unwrap().random = true;
    for (what, whole) in [
        ("a head of the log", r#"{"iss":"https://issuer.test","realm":"default","epoch":1,"sequence":9}"#),
        ("a key set", r#"{"keys":[]}"#),
        (
            "an ID token",
            r#"{"iss":"https://issuer.test","aud":"incert","sub":"a","iat":1800000000,"exp":1800003600,"nonce":"a"}"#,
        ),
        (
            "an access token",
            r#"{"iss":"https://issuer.test","aud":"incert","sub":"a","client_id":"a","iat":1800000000,"exp":1800003600,"jti":"a","scope":"reverse"}"#,
        ),
        (
            "a security event",
            r#"{"iss":"https://issuer.test","aud":"incert","iat":1800000000,"jti":"a","events":{}}"#,
        ),
    ] {
        family.signed(format!("{what}, signed as a token"), Malformed, |draft| draft.payload = whole.into());
    }
    family
}

fn token(kind: TokenType) -> String {
    Draft::of(kind, "crossed").token()
}
