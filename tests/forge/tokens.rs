//! Tokens made by hand: from text and test-only keys, so that whatever may be wrong can be made wrong.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use common::{encoding, jws::Algorithm, keys::SigningKey, token::kind::TokenType};

/// When every vector is issued, unless it says otherwise.
pub const ISSUED: u64 = 1_800_000_000;
/// Whose every vector is.
pub const ISSUER: &str = "https://issuer.test";
/// For whom every vector is.
pub const AUDIENCE: &str = "incert";
/// The certificate hash that vectors are bound to.
pub const HOLDER: [u8; 32] = [3; 32];

/// Published with the vectors: good for nothing but tests.
pub static PS256: LazyLock<SigningKey> =
    LazyLock::new(|| key(include_str!("../vectors/keys/test_only_ps256.pem"), Algorithm::Ps256));
/// As [`PS256`], for the other algorithm.
pub static RS256: LazyLock<SigningKey> =
    LazyLock::new(|| key(include_str!("../vectors/keys/test_only_rs256.pem"), Algorithm::Rs256));
/// Never among the keys of a vector.
pub static STRANGER: LazyLock<SigningKey> =
    LazyLock::new(|| key(include_str!("../vectors/keys/test_only_stranger.pem"), Algorithm::Rs256));

fn key(pem: &str, algorithm: Algorithm) -> SigningKey {
    SigningKey::from_pem(pem, algorithm).unwrap()
}

/// A token before it is put together.
#[derive(Clone)]
pub struct Draft {
    /// The text of the header.
    pub header: Vec<u8>,
    /// The text of the claims.
    pub payload: Vec<u8>,
    /// Who signs, whatever the header says.
    pub signer: &'static SigningKey,
    /// What becomes of the finished token.
    pub spoil: fn(&str) -> String,
    /// Which keys are announced.
    pub keys: Vec<&'static SigningKey>,
    /// When it is judged.
    pub now: u64,
    /// What the endpoint serves.
    pub accepted_types: Vec<TokenType>,
    /// Of the certificate that is shown.
    pub holder: Option<[u8; 32]>,
}

impl Draft {
    /// Good, of this type, with an id that the name makes.
    pub fn of(kind: TokenType, name: &str) -> Self {
        let mut draft = Self {
            header: Vec::new(),
            payload: claims(kind, &id(name)).into_bytes(),
            signer: &RS256,
            spoil: str::to_owned,
            keys: vec![&PS256, &RS256],
            now: ISSUED + 60,
            accepted_types: vec![kind],
            holder: None,
        };
        draft.sign_with(&RS256);
        draft
    }

    /// Another key, and the header that goes with it.
    pub fn sign_with(&mut self, signer: &'static SigningKey) {
        let (alg, kid) = (signer.public().algorithm().as_str(), signer.public().id());
        self.header = format!(r#"{{"alg":"{alg}","typ":"ipms-token+jwt","kid":"{kid}"}}"#).into_bytes();
        self.signer = signer;
    }

    /// Replaces text of the claims that must be there.
    pub fn claim(&mut self, from: &str, to: &str) {
        self.payload = replaced(&self.payload, from, to);
    }

    /// Replaces text of the header that must be there.
    pub fn head(&mut self, from: &str, to: &str) {
        self.header = replaced(&self.header, from, to);
    }

    /// Signs and spoils it.
    pub fn token(&self) -> String {
        let input = format!("{}.{}", encoding::encode(&self.header), encoding::encode(&self.payload));
        let signature = self.signer.sign(b"", input.as_bytes()).unwrap();
        (self.spoil)(&format!("{input}.{}", encoding::encode(&signature)))
    }
}

fn replaced(text: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = str::from_utf8(text).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1).into_bytes()
}

/// The seed of every id, so that the same vectors are made anew.
fn id(name: &str) -> String {
    let seeded = digest(&SHA256, format!("ipms vectors, seed 1: {name}").as_bytes());
    encoding::encode(&seeded.as_ref()[..16])
}

/// Written by hand, and not by the code under test.
fn claims(kind: TokenType, id: &str) -> String {
    let exp = ISSUED + 3_600;
    let source = match kind {
        TokenType::Secondary => {
            r#""source":{"project":"project-b","organisation":"02020202-0202-4202-8202-020202020202"},"#
        }
        TokenType::Pseudonymisation | TokenType::Reverse => "",
    };
    [
        format!(r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","jti":"{id}","iat":{ISSUED},"nbf":{ISSUED},"#),
        format!(r#""exp":{exp},"sub":"project-a","token_type":"{kind}","#),
        r#""organisation":"01010101-0101-4101-8101-010101010101","#.to_owned(),
        format!(r#""project":{{"method":"REVERSIBLE","retention_end":{},"#, exp + 86_400),
        r#""treatment":"ALWAYS_SAME","output_format":{"alphabet":"ALPHANUMERIC","length":32}},"#.to_owned(),
        source.to_owned(),
        r#""recorded":{"epoch":1,"sequence":42},"schema":1}"#.to_owned(),
    ]
    .concat()
}
