//! A verifier whose issuer, keys, log and clocks are in the test's hands. Starts nothing.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{KeyPair, KeySize},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{
    clock::{BootInstant, Clock as _, ManualClock, Now},
    jws::{self, Algorithm},
    keys::{PublicKey, SigningKey},
    organisation_id::OrganisationId,
    project::{Alphabet, OutputFormat, Treatment},
    revocation::{
        cursor::Cursor,
        entry::{self, Body, Entry, Reason},
        lease::{Lease, Probes},
        log::Log,
        rule::Rule,
    },
    timestamp::Timestamp,
    token::{
        Limits,
        claims::{Claims, Source, TokenConfiguration, TokenMethod},
        kind::{PerType, TokenType},
    },
    token_id::TokenId,
    trust::{Signed, Trust, Verified},
    verification::Policy,
};
use verifier::{
    application::{shared_view::SharedView, verify::Verifier},
    domain::{cache::VerifiedTokens, view::View},
};

/// The second at which every world begins.
pub(crate) const BEGIN: u64 = 1_800_000_000;

/// A verifier that has just heard everything.
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) shared: Arc<SharedView>,
    pub(crate) verifier: Arc<Verifier>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_limits(PerType::default())
    }

    /// One whose own settings tighten the limits.
    pub(crate) fn with_limits(own: PerType<Option<Duration>>) -> Self {
        let boot = BootInstant::from_duration(Duration::from_hours(1));
        let clock = Arc::new(ManualClock::new(Now { wall: at(0), boot }));
        let view = View {
            log: log(1, Vec::new(), &[]),
            trust: Some(trust(&[key(0).public()], Limits::default())),
            lease: Some(lease(clock.now())),
        };
        let shared = Arc::new(SharedView::new(view));
        let policy = Policy::new("ipms".into(), "incert".into(), Policy::DEFAULT_LEEWAY).unwrap();
        let cache = VerifiedTokens::new(1 << 20);
        let verifier = Arc::new(Verifier::new(shared.clone(), policy, cache, clock.clone(), own));
        Self { clock, shared, verifier }
    }

    /// Publishes a view that differs.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut View)) {
        let mut view = View::clone(&self.shared.load());
        change(&mut view);
        self.shared.publish(view);
    }
}

/// Seconds after the beginning.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(BEGIN + seconds).unwrap()
}

/// A key of 2048 bits, made once: tests need a key, not a strong one. The number tells keys apart.
pub(crate) fn key(number: usize) -> &'static SigningKey {
    static KEYS: [OnceLock<SigningKey>; 3] = [const { OnceLock::new() }; 3];
    KEYS[number].get_or_init(|| {
        let der = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
        let body: Vec<char> = STANDARD.encode(der.as_ref()).chars().collect();
        let lines: Vec<String> = body.chunks(64).map(|line| line.iter().collect()).collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        SigningKey::from_pem(&pem, Algorithm::Ps256).unwrap()
    })
}

/// A token of an hour that no rule forbids, changed.
pub(crate) fn token(kind: TokenType, change: impl FnOnce(&mut Claims)) -> String {
    let organisation = |n| OrganisationId::from_bytes([n; 16]);
    let mut claims = Claims {
        issuer: "ipms".to_owned(),
        audience: "incert".to_owned(),
        id: TokenId::from_bytes([7; 16]),
        issued_at: at(0),
        not_before: at(0),
        expires_at: at(3_600),
        project: "project-a".parse().unwrap(),
        kind,
        organisation: organisation(1),
        configuration: TokenConfiguration {
            method: TokenMethod::Reversible { retention_end: at(7_200) },
            treatment: Treatment::AlwaysSame,
            output_format: OutputFormat::new(Alphabet::Alphanumeric, 32).unwrap(),
        },
        source: (kind == TokenType::Secondary)
            .then(|| Source { project: "project-b".parse().unwrap(), organisation: organisation(2) }),
        recorded: Cursor::new(1, 1),
        holder: None,
    };
    change(&mut claims);
    jws::sign(claims, key(0)).unwrap()
}

/// The rule that hits [`token`] by its id.
pub(crate) fn rule() -> Rule {
    Rule::Token(TokenId::from_bytes([7; 16]))
}

/// A log whose genesis carries over what is named, and then holds `rules`.
pub(crate) fn log(epoch: u64, carried: Vec<Cursor>, rules: &[Rule]) -> Log {
    let mut log = Log::from_base(epoch, Log::empty().base());
    let revoke = |sequence, rule: &Rule| Body::Rule {
        rule: rule.clone(),
        reason: Reason::Operator,
        cut: Cursor::new(epoch, sequence),
        project: None,
    };
    let rules = (2..).zip(rules).map(|(sequence, rule)| revoke(sequence, rule));
    for (sequence, body) in (1..).zip(std::iter::once(Body::Genesis(carried)).chain(rules)) {
        let cursor = Cursor::new(epoch, sequence);
        let entry = Entry { cursor, recorded_at: at(0), expires_at: at(1_000_000), body };
        log.extend(&entry::pack(&[entry])).unwrap();
    }
    log
}

/// A statement about these keys and limits, signed by the log key.
pub(crate) fn trust(keys: &[&PublicKey], limits: Limits) -> Arc<Verified<Trust>> {
    let mut keys: Vec<_> = keys.iter().copied().cloned().collect();
    keys.sort_by_key(PublicKey::id);
    let statement = Trust { issuer: "ipms".into(), realm: "default".into(), stated_at: at(0), keys, limits };
    Arc::new(Signed::sign(statement, key(2)).unwrap())
}

/// A lease of no age at `now`.
pub(crate) fn lease(now: Now) -> Lease {
    let mut probes = Probes::default();
    let number = probes.send(now);
    let renewal = probes.answered(number, Cursor::ZERO, Duration::ZERO).unwrap();
    renewal.once_applied(Cursor::ZERO).unwrap()
}
