//! Our verdicts beside those of `jsonwebtoken` and, on signatures, of the `rsa` crate. Where they differ, ours is the stricter
//! one, and why is in the list of [`explained`].

mod explained;

use std::{collections::BTreeMap, sync::LazyLock};

use common::{
    encoding,
    jws::Algorithm,
    keys::PublicKey,
    verification::{Refusal, Unverified},
};
use forge::{
    attacks::families,
    judge::{ANNOUNCED, judged_in_its_minute},
    mutations::{Several, every_bit},
    tokens::{AUDIENCE, ISSUER},
    variants::{good_tokens, good_tokens_of},
};
use jsonwebtoken::{DecodingKey, Validation};
use rsa::{
    pkcs8::DecodePublicKey as _,
    sha2::{Digest as _, Sha256},
};

use self::explained::explained;

#[test]
fn every_disagreement_with_jsonwebtoken_has_a_name() {
    let theirs = Theirs::new();
    let mut classes = BTreeMap::<&str, usize>::new();
    let mut judge = |token: &str| {
        let (ours, other) = (judged_in_its_minute(token).err(), theirs.accepts(token));
        let class = match (ours, other) {
            (None, true) => "both accept",
            (Some(_), false) => "both refuse",
            (None, false) => panic!("only we accept: {token}"),
            (Some(refusal), true) => explained(token).unwrap_or_else(|| {
                panic!("only we refuse, as {refusal:?}, and nothing explains it: {token}")
            }),
        };
        *classes.entry(class).or_default() += 1;
    };
    let tokens = good_tokens();
    for token in &tokens {
        judge(token);
    }
    // The certificate that one of the attacks lacks is shown here.
    let attacks = families().into_iter().flat_map(|family| family.attacks);
    attacks.filter(|attack| attack.refused != Refusal::WrongHolder).for_each(|attack| judge(&attack.token));
    every_bit(&tokens[20], |_, token| judge(token));
    let mut several = Several::new(&tokens, 3);
    for _ in 0..5_000 {
        if let Some(token) = several.next_text() {
            judge(token);
        }
    }
    println!("{classes:#?}");
    assert_eq!(classes["both accept"], tokens.len());
    // Every class is still met: one that is not would explain what does not happen.
    for name in explained::NAMES {
        assert!(classes.contains_key(name), "nothing is explained by: {name}");
    }
}

/// The two libraries share no line; on a signature they must say the same.
#[test]
fn every_signature_is_judged_as_the_rsa_crate_judges_it() {
    let mut agreed = BTreeMap::<bool, usize>::new();
    let mut judge = |token: &str| {
        let Ok(unverified) = Unverified::parse(token) else { return };
        let named = unverified.unverified_key_id();
        let Some(key) = ANNOUNCED.iter().find(|key| key.id() == named) else { return };
        let ours = match unverified.check_signature(Some(key)) {
            Err(Refusal::UnsupportedAlgorithm) => return,
            Err(Refusal::BadSignature) => false,
            // Whatever is refused for its claims has passed.
            Ok(_) | Err(_) => true,
        };
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = encoding::decode(signature).unwrap();
        assert_eq!(ours, rsa_verifies(key, input.as_bytes(), &signature), "{token}");
        *agreed.entry(ours).or_default() += 1;
    };
    for token in &good_tokens() {
        judge(token);
    }
    families().iter().flat_map(|family| &family.attacks).for_each(|attack| judge(&attack.token));
    for algorithm in [Algorithm::Ps256, Algorithm::Rs256] {
        let mut bit = 0;
        every_bit(&good_tokens_of(algorithm)[3], |_, token| {
            bit += 1;
            if bit % 17 == 0 {
                judge(token);
            }
        });
    }
    println!("signatures judged alike: {agreed:?}");
    assert!(agreed[&true] > 500 && agreed[&false] > 500, "{agreed:?}");
}

fn rsa_verifies(key: &PublicKey, input: &[u8], signature: &[u8]) -> bool {
    static KEYS: LazyLock<Vec<rsa::PublicKey>> = LazyLock::new(|| {
        ANNOUNCED
            .iter()
            .map(|key| rsa::PublicKey::from_public_key_pem(&key.to_pem().unwrap()).unwrap())
            .collect()
    });
    let at = ANNOUNCED.iter().position(|one| one.id() == key.id()).unwrap();
    let public = &KEYS[at];
    let hash = Sha256::digest(input);
    match key.algorithm() {
        Algorithm::Rs256 => public.verify(rsa::Pkcs1v15Sign::new::<Sha256>(), &hash, signature).is_ok(),
        Algorithm::Ps256 => public.verify(rsa::Pss::<Sha256>::new(), &hash, signature).is_ok(),
    }
}

/// As careful a user of `jsonwebtoken` as its interface allows: algorithm by key, issuer and audience required.
struct Theirs(Vec<(String, DecodingKey, Validation)>);

impl Theirs {
    fn new() -> Self {
        let keys = ANNOUNCED.iter().map(|key| {
            let algorithm = match key.algorithm() {
                Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
                Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            };
            let mut validation = Validation::new(algorithm);
            validation.set_issuer(&[ISSUER]);
            validation.set_audience(&[AUDIENCE]);
            validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
            // It reads the machine's clock, and the tokens are of another year.
            validation.validate_exp = false;
            let decoding = DecodingKey::from_rsa_components(&key.jwk_n(), &key.jwk_e()).unwrap();
            (key.id().to_string(), decoding, validation)
        });
        Self(keys.collect())
    }

    fn accepts(&self, token: &str) -> bool {
        let kid = jsonwebtoken::decode_header(token).ok().and_then(|header| header.kid);
        let key = self.0.iter().find(|(id, ..)| Some(id) == kid.as_ref());
        key.is_some_and(|(_, key, validation)| {
            jsonwebtoken::decode::<serde_json::Value>(token, key, validation).is_ok()
        })
    }
}
