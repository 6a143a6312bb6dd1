//! Tokens by the hundred thousand, signed here with the issuer's own key, and the requests that carry them. Measures
//! nothing.

use std::{path::Path, thread, time::Duration};

use common::{
    clock::{Clock as _, SystemClock},
    jws::{self, Algorithm},
    keys::SigningKey,
    organisation_id::OrganisationId,
    project::{Alphabet, OutputFormat, Treatment},
    proto::v1 as pb,
    revocation::cursor::Cursor,
    token::{
        claims::{Claims, TokenConfiguration, TokenMethod},
        kind::TokenType,
    },
    token_id::TokenId,
};
use prost::Message as _;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::stand::Failure;

pub(crate) const VERIFY: &str = "/ipms.token.v1.VerifierService/VerifyToken";
pub(crate) const VERIFY_MANY: &str = "/ipms.token.v1.VerifierService/VerifyTokens";

/// `count` different tokens, signed on all processors. `seed` tells sets apart.
pub(crate) fn signed(keys: &Path, count: usize, seed: u64) -> Result<Vec<String>, Failure> {
    let key = token_key(keys)?;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = count.div_ceil(threads);
    let mut all = Vec::with_capacity(count);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads as u64)
            .map(|number| {
                let key = &key;
                scope.spawn(move || {
                    let mut random = StdRng::seed_from_u64(seed * 1_000 + number);
                    (0..share).map(|_| token(&mut random, key)).collect::<Result<Vec<_>, Failure>>()
                })
            })
            .collect();
        for thread in running {
            all.extend(thread.join().map_err(|_panic| "signing panicked")??);
        }
        Ok::<_, Failure>(())
    })?;
    all.truncate(count);
    Ok(all)
}

/// The only token key in the folder.
fn token_key(keys: &Path) -> Result<SigningKey, Failure> {
    for entry in std::fs::read_dir(keys)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("token-") {
            return Ok(SigningKey::from_pem(&std::fs::read_to_string(path)?, Algorithm::Ps256)?);
        }
    }
    Err("no token key".into())
}

fn token(random: &mut StdRng, key: &SigningKey) -> Result<String, Failure> {
    let now = SystemClock.now().wall;
    let claims = Claims {
        issuer: String::from("ipms"),
        audience: String::from("incert"),
        id: TokenId::from_bytes(random.random()),
        issued_at: now,
        not_before: now,
        expires_at: now.plus(Duration::from_hours(24)),
        project: format!("project-{}", random.random_range(0..1_000)).parse()?,
        kind: TokenType::Pseudonymisation,
        organisation: OrganisationId::from_bytes([random.random_range(1..=50); 16]),
        configuration: TokenConfiguration {
            method: TokenMethod::Reversible { retention_end: now.plus(Duration::from_hours(24 * 365)) },
            treatment: Treatment::AlwaysDifferent,
            output_format: OutputFormat::new(Alphabet::Alphanumeric, 32)?,
        },
        source: None,
        recorded: Cursor::new(1, 1),
        holder: None,
    };
    Ok(jws::sign(claims, key)?)
}

/// The same token with another signature: as costly to look at as a good one.
pub(crate) fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap_or_default();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    format!("{signed}.{other}{}", signature.get(1..).unwrap_or_default())
}

/// What asks about this token.
pub(crate) fn request(token: &str) -> Vec<u8> {
    question(token).encode_to_vec()
}

/// What asks about all of them at once.
pub(crate) fn batch(tokens: &[String]) -> Vec<u8> {
    let requests = tokens.iter().map(|token| question(token)).collect();
    pb::VerifyTokensRequest { requests }.encode_to_vec()
}

fn question(token: &str) -> pb::VerifyTokenRequest {
    pb::VerifyTokenRequest {
        token: token.to_owned(),
        accepted_types: vec![pb::TokenType::Pseudonymisation.into()],
        ..Default::default()
    }
}
