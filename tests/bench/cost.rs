//! What one verification costs inside the process, with no revocation held and with very many: in turns.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{KeyPair, KeySize},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{
    clock::{Clock as _, Now, SystemClock},
    jws::{self, Algorithm},
    keys::SigningKey,
    organisation_id::OrganisationId,
    project::{Alphabet, OutputFormat, Treatment},
    revocation::{
        cursor::Cursor,
        entry::{self, Body, Entry, Reason},
        lease::{Lease, Probes},
        log::Log,
        rule::{Rule, Scope},
    },
    timestamp::Timestamp,
    token::{
        Limits,
        claims::{Claims, TokenConfiguration, TokenMethod},
        kind::{PerType, TokenType},
    },
    token_id::TokenId,
    trust::{Signed, Trust},
    verification::Policy,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use verifier::{
    application::{
        shared_view::SharedView,
        verify::{Question, Verdict, Verifier},
    },
    domain::{cache::VerifiedTokens, view::View},
};

use crate::{
    floors::{Bare, timed},
    report::{Spans, Target, told, told_bytes},
    stand::Failure,
};

/// Judges the same tokens on a view without rules and on one with `ids` token ids and `projects` projects.
pub(crate) fn run(ids: u32, projects: u32) -> Result<(), Failure> {
    let mut random = StdRng::seed_from_u64(7);
    let key = key()?;
    let tokens: Vec<String> = (0..TOKENS).map(|_| token(&mut random, &key)).collect::<Result<_, _>>()?;
    let empty = view(&key, Vec::new())?;
    let token_rules = (0..ids).map(|_| Rule::Token(TokenId::from_bytes(random.random())));
    let mut rules: Vec<_> = token_rules.collect();
    for number in 0..projects {
        let project = Some(format!("revoked-{number}").parse()?);
        rules.push(Rule::Scope(Scope { project, ..Scope::default() }));
    }
    let (full, span) = timed(|| view(&key, rules));
    let full = full?;
    let bare = Bare::new()?;
    let kept = judge(CACHE_BYTES)?;
    let not_kept = judge(0)?;
    let [mut floor, mut new, mut new_full, mut seen, mut seen_full] = [(); 5].map(|()| Spans::default());
    for _ in 0..ROUNDS {
        for (view, new, seen) in [(&empty, &mut new, &mut seen), (&full, &mut new_full, &mut seen_full)] {
            for (judge, times, spans) in [(&not_kept, 1, new), (&kept, SEEN_AGAIN, seen)] {
                judge.shared.publish(view.clone());
                // The first look at a view is not what an ordinary call costs.
                judge.all(&tokens)?;
                let (judged, span) = timed(|| (0..times).try_for_each(|_| judge.all(&tokens)));
                judged?;
                spans.add(span / (times * TOKENS));
            }
        }
        for _ in 0..TOKENS {
            floor.add(bare.verify()?);
        }
    }
    let many = format!("{ids} ids, {projects} projects");
    let (floor, new, seen) = (floor.median(), new.median(), seen.median());
    told("verify in the process, new token, p50 (floor: RSA verification)", new, Some(floor), Target::None);
    told("verify in the process, seen token, p50", seen, None, Target::None);
    told(&format!("new token, {many} (floor: no rules)"), new_full.median(), Some(new), Target::Ratio(1.1));
    told(
        &format!("seen token, {many} (floor: no rules)"),
        seen_full.median(),
        Some(seen),
        Target::Ratio(1.1),
    );
    told(&format!("building that view, {many}"), span, None, Target::None);
    let bytes = u64::try_from(full.log.set().token_bytes())?;
    told_bytes(&format!("the set of token ids, {ids} ids"), bytes, Some(64 << 20));
    Ok(())
}

struct Judge {
    shared: Arc<SharedView>,
    verifier: Verifier,
}

fn judge(cache: usize) -> Result<Judge, Failure> {
    let shared = Arc::new(SharedView::new(View::empty()));
    let policy = Policy::new(String::from("ipms"), String::from("incert"), Policy::DEFAULT_LEEWAY)?;
    let cache = VerifiedTokens::new(cache);
    let verifier =
        Verifier::new(Arc::clone(&shared), policy, cache, Arc::new(SystemClock), PerType::default());
    Ok(Judge { shared, verifier })
}

impl Judge {
    fn all(&self, tokens: &[String]) -> Result<(), Failure> {
        for token in tokens {
            let question = Question {
                token,
                accepted_types: vec![TokenType::Pseudonymisation],
                at_least: None,
                max_staleness: None,
                holder: None,
                audience: None,
            };
            if !matches!(self.verifier.verify(&question).answer?, Verdict::Accepted(_)) {
                return Err("a good token is refused".into());
            }
        }
        Ok(())
    }
}

fn view(key: &SigningKey, rules: Vec<Rule>) -> Result<View, Failure> {
    let now = SystemClock.now();
    let mut log = Log::from_base(1, Log::empty().base());
    let rules = rules.into_iter().zip(2..).map(|(rule, sequence)| Body::Rule {
        rule,
        reason: Reason::Operator,
        cut: Cursor::new(1, sequence),
        project: None,
    });
    let bodies = std::iter::once(Body::Genesis(Vec::new())).chain(rules);
    let entries: Vec<_> = bodies
        .zip(1..)
        .map(|(body, sequence)| Entry {
            cursor: Cursor::new(1, sequence),
            recorded_at: now.wall,
            expires_at: Timestamp::MAX,
            body,
        })
        .collect();
    for run in entries.chunks(1_000) {
        log.extend(&entry::pack(run))?;
    }
    log.confirmed(now.wall);
    let trust = Trust {
        issuer: String::from("ipms"),
        realm: String::from("default"),
        stated_at: now.wall,
        keys: vec![key.public().clone()],
        limits: Limits::default(),
    };
    Ok(View { log, trust: Some(Arc::new(Signed::sign(trust, key)?)), lease: Some(lease(now)?) })
}

fn lease(now: Now) -> Result<Lease, Failure> {
    let mut probes = Probes::default();
    let number = probes.send(now);
    let renewal = probes.answered(number, Cursor::ZERO, Duration::ZERO).ok_or("no renewal")?;
    Ok(renewal.once_applied(Cursor::ZERO).ok_or("no lease")?)
}

fn token(random: &mut StdRng, key: &SigningKey) -> Result<String, Failure> {
    let now = SystemClock.now().wall;
    let claims = Claims {
        issuer: String::from("ipms"),
        audience: String::from("incert"),
        id: TokenId::from_bytes(random.random()),
        issued_at: now,
        not_before: now,
        expires_at: now.plus(Duration::from_hours(1)),
        project: "project".parse()?,
        kind: TokenType::Pseudonymisation,
        organisation: OrganisationId::from_bytes([1; 16]),
        configuration: TokenConfiguration {
            method: TokenMethod::NotReversible,
            treatment: Treatment::AlwaysDifferent,
            output_format: OutputFormat::new(Alphabet::Alphanumeric, 32)?,
        },
        source: None,
        recorded: Cursor::new(1, 1),
        holder: None,
    };
    Ok(jws::sign(claims, key)?)
}

fn key() -> Result<SigningKey, Failure> {
    key_of(KeySize::Rsa3072, Algorithm::Ps256)
}

/// A new key of this size.
pub(crate) fn key_of(size: KeySize, algorithm: Algorithm) -> Result<SigningKey, Failure> {
    let der = KeyPair::generate(size)?.as_der()?;
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", {
        let text: Vec<char> = STANDARD.encode(der.as_ref()).chars().collect();
        text.chunks(64).map(|line| line.iter().collect::<String>()).collect::<Vec<_>>().join("\n")
    });
    Ok(SigningKey::from_pem(&pem, algorithm)?)
}

const ROUNDS: usize = 41;
/// Different ones, so that their ids are spread over the whole set.
const TOKENS: u32 = 256;
const SEEN_AGAIN: u32 = 20;
const CACHE_BYTES: usize = 64 << 20;
