//! The Rust half of tests/interop/run: has our issuer make tokens for others, and judges those that others made.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a check that cannot look must fail"
)]

mod log;
mod make;

use std::{fs, path::Path};

use common::{
    clock::{Clock as _, SystemClock},
    jws::Algorithm,
    keys::PublicKey,
    token::{Limits, kind::TokenType},
    verification::{Current, Policy, Presented, Refusal, Unverified},
};
use serde_json::Value;

const ISSUER: &str = "https://issuer.test";
const AUDIENCE: &str = "incert";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", folder] => make::everything(Path::new(folder)),
        ["judge", folder, ref files @ ..] => judge(Path::new(folder), files),
        _ => panic!("make FOLDER | judge FOLDER FILE…"),
    }
}

/// Each token of each file must get the verdict that its maker names.
fn judge(folder: &Path, files: &[&str]) {
    assert!(!files.is_empty(), "no files");
    for file in files {
        let tokens = read(&folder.join(file));
        let tokens = tokens.as_array().unwrap();
        assert!(!tokens.is_empty(), "{file} is empty");
        let mut accepted = 0;
        for made in tokens {
            let keys = keys(&read(&folder.join(made["jwks"].as_str().unwrap())));
            let verdict = judged(made["token"].as_str().unwrap(), &keys).err();
            let told =
                verdict.map_or("ACCEPTED", |refusal| Refusal::CODES[usize::from(refusal.number()) - 1]);
            assert_eq!(told, made["verdict"], "{file}: {}", made["what"]);
            accepted += usize::from(verdict.is_none());
        }
        assert!(accepted > 0, "{file}: nothing was to be accepted");
        println!("{file}: {} tokens judged by us, {accepted} accepted", tokens.len());
    }
}

fn judged(token: &str, keys: &[PublicKey]) -> Result<Current, Refusal> {
    let policy = Policy::new(ISSUER.to_owned(), AUDIENCE.to_owned(), Policy::DEFAULT_LEEWAY).unwrap();
    let presented = Presented { accepted_types: &TokenType::ALL, holder: None };
    let unverified = Unverified::parse(token)?;
    let key = keys.iter().find(|key| key.id() == unverified.unverified_key_id());
    let now = SystemClock.now().wall;
    unverified.check_signature(key)?.check_claims(&policy, &Limits::default(), &presented, now)
}

fn keys(jwks: &Value) -> Vec<PublicKey> {
    let key = |jwk: &Value| {
        let member = |name: &str| jwk[name].as_str().unwrap();
        let algorithm = Algorithm::parse(member("alg")).unwrap();
        PublicKey::from_jwk(member("n"), member("e"), algorithm).unwrap()
    };
    jwks["keys"].as_array().unwrap().iter().map(key).collect()
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}
