//! Sentences of the design, each against a view made by hand and clocks turned by hand.

use std::sync::atomic::{AtomicUsize, Ordering};

use common::{
    clock::ManualClock,
    encoding,
    jws::Algorithm,
    keys::PublicKey,
    token::{Limits, claims::TokenMethod},
};
use proptest::prelude::*;

use super::*;
use crate::world::{World, at, key, lease, log, rule, token, trust};
use common::revocation::rule::Rule;

/// What became of a question, in a form that can be compared.
#[derive(Debug, Eq, PartialEq)]
enum Outcome {
    Accepted(Timestamp),
    Refused(Refusal),
    Undecided(Undecided),
}

use Outcome::{Refused, Undecided as Undecidable};

const TOO_OLD: Outcome = Undecidable(Undecided::Stale(Stale::TooOld));

/// A question that any good token answers.
fn ask(token: &str) -> Question<'_> {
    Question {
        token,
        accepted_types: TokenType::ALL.to_vec(),
        at_least: None,
        max_staleness: None,
        holder: None,
        audience: None,
    }
}

fn outcome(world: &World, question: &Question<'_>) -> Outcome {
    told(world.verifier.verify(question).answer)
}

fn told(answer: Result<Verdict, Undecided>) -> Outcome {
    match answer {
        Ok(Verdict::Accepted(accepted)) => Outcome::Accepted(accepted.usable_until),
        Ok(Verdict::Refused(refusal)) => Refused(refusal),
        Err(undecided) => Undecidable(undecided),
    }
}

fn accepted(world: &World, token: &str) -> bool {
    matches!(outcome(world, &ask(token)), Outcome::Accepted(_))
}

fn good(kind: TokenType) -> String {
    token(kind, |_| ())
}

#[test]
fn a_good_token_yields_its_claims_and_its_key() {
    let world = World::new();
    for kind in TokenType::ALL {
        let judged = world.verifier.verify(&ask(&good(kind)));
        let Ok(Verdict::Accepted(accepted)) = judged.answer else { panic!("{kind}") };
        assert_eq!((accepted.token.claims().kind, accepted.token.key_id()), (kind, key(0).public().id()));
        assert_eq!(judged.view, Position { cursor: Cursor::new(1, 1), age: Some(Duration::ZERO) });
        assert!(!format!("{accepted:?}").contains("project-a"), "what a token says is not for logs");
    }
}

#[test]
fn rule_15_a_verifier_that_cannot_know_does_not_accept() {
    for (kind, limit) in
        [(TokenType::Reverse, 10), (TokenType::Secondary, 60), (TokenType::Pseudonymisation, 900)]
    {
        let (world, token) = (World::new(), good(kind));
        world.clock.advance(Duration::from_secs(limit));
        assert!(accepted(&world, &token), "{kind}: the limit is inclusive");
        world.clock.advance(Duration::from_nanos(1));
        assert_eq!(outcome(&world, &ask(&token)), TOO_OLD, "{kind}: cached or not");
        world.publish(|view| view.lease = None);
        assert_eq!(outcome(&world, &ask(&token)), Undecidable(Stale::NoLease.into()));
        world.publish(|view| *view = View::empty());
        assert_eq!(outcome(&world, &ask(&token)), Undecidable(Stale::NothingHeard.into()));
    }
}

#[test]
fn what_more_knowledge_could_not_change_is_refused_on_an_old_view_too() {
    let world = World::new();
    let fresh = good(TokenType::Reverse);
    world.publish(|view| {
        view.lease = None;
        view.log = log(1, Vec::new(), &[rule()]);
    });
    let forged = format!("{}A", &fresh[..fresh.len() - 1]);
    let forged = if forged == fresh { format!("{}Q", &fresh[..fresh.len() - 1]) } else { forged };
    let expired = token(TokenType::Reverse, |claims| claims.expires_at = at(0).plus(Duration::from_secs(1)));
    let other = Question { accepted_types: vec![TokenType::Secondary], ..ask(&fresh) };
    assert_eq!(outcome(&world, &ask("no token")), Refused(Refusal::Malformed));
    assert_eq!(outcome(&world, &ask(&"a".repeat(MAX_LEN + 1))), Refused(Refusal::Malformed));
    assert_eq!(outcome(&world, &ask(&forged)), Refused(Refusal::BadSignature));
    assert_eq!(outcome(&world, &other), Refused(Refusal::WrongType));
    assert_eq!(outcome(&world, &ask(&fresh)), Refused(Refusal::Revoked), "nothing un-revokes");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(outcome(&world, &ask(&expired)), Refused(Refusal::Expired));
}

#[test]
fn a_key_or_a_ceiling_may_be_newer_than_an_old_view() {
    let world = World::new();
    let (unknown, long) = (good(TokenType::Reverse), token(TokenType::Secondary, |_| ()));
    let mut limits = Limits::default();
    limits.0.secondary.lifetime = Duration::from_secs(3_599);
    world.publish(|view| view.trust = Some(trust(&[key(0).public()], limits)));
    assert_eq!(outcome(&world, &ask(&long)), Refused(Refusal::LifetimeTooLong));
    world.publish(|view| view.trust = Some(trust(&[key(1).public()], limits)));
    assert_eq!(outcome(&world, &ask(&unknown)), Refused(Refusal::UnknownKey));
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(outcome(&world, &ask(&unknown)), TOO_OLD, "as old as the tightest type asked for allows");
    let patient = Question { accepted_types: vec![TokenType::Pseudonymisation], ..ask(&unknown) };
    assert_eq!(outcome(&world, &patient), Refused(Refusal::UnknownKey));
    world.publish(|view| view.trust = Some(trust(&[key(0).public()], limits)));
    assert_eq!(outcome(&world, &ask(&long)), TOO_OLD);
}

#[test]
fn section_5_usable_until_is_the_least_of_expiry_retention_and_lease() {
    let world = World::new();
    let kind = TokenType::Pseudonymisation;
    let until = |seconds| Outcome::Accepted(at(seconds));
    let expiring = |expires| token(kind, |claims| claims.expires_at = at(expires));
    assert_eq!(outcome(&world, &ask(&expiring(899))), until(899), "expiry");
    assert_eq!(outcome(&world, &ask(&expiring(901))), until(900), "the lease");
    let retained = token(kind, |claims| {
        claims.expires_at = at(500);
        claims.configuration.method = TokenMethod::Reversible { retention_end: at(500) };
    });
    assert_eq!(outcome(&world, &ask(&retained)), until(500), "the retention, which no expiry passes");
    world.clock.advance(Duration::from_millis(1_500));
    assert_eq!(outcome(&world, &ask(&good(kind))), until(899), "never rounded up");
    let impatient = Question { max_staleness: Some(Duration::from_millis(2_400)), ..ask(&retained) };
    assert_eq!(outcome(&world, &impatient), until(1), "less than a second is no time");
}

#[test]
fn a_cached_token_is_refused_the_moment_it_is_revoked() {
    let (world, token) = (World::new(), good(TokenType::Reverse));
    assert!(accepted(&world, &token) && world.verifier.cache_bytes() > 0);
    world.publish(|view| view.log = log(1, Vec::new(), &[rule()]));
    assert_eq!(outcome(&world, &ask(&token)), Refused(Refusal::Revoked));
}

#[test]
fn a_cached_token_proves_neither_key_nor_type_holder_or_time() {
    let (world, token) = (World::new(), token(TokenType::Reverse, |claims| claims.holder = Some([3; 32])));
    let held = Question { holder: Some([3; 32]), ..ask(&token) };
    assert!(matches!(outcome(&world, &held), Outcome::Accepted(_)));
    assert_eq!(outcome(&world, &ask(&token)), Refused(Refusal::WrongHolder));
    let typed = Question { accepted_types: vec![TokenType::Secondary], ..held.clone() };
    assert_eq!(outcome(&world, &typed), Refused(Refusal::WrongType));
    let public = key(0).public();
    let other = PublicKey::from_jwk(&public.jwk_n(), &public.jwk_e(), Algorithm::Rs256).unwrap();
    for (keys, refusal) in [
        (vec![], Refusal::UnknownKey),
        (vec![key(1).public()], Refusal::UnknownKey),
        (vec![&other], Refusal::UnsupportedAlgorithm),
    ] {
        world.publish(|view| view.trust = Some(trust(&keys, Limits::default())));
        assert_eq!(outcome(&world, &held), Refused(refusal));
    }
    world.publish(|view| view.trust = Some(trust(&[public], Limits::default())));
    world.clock.advance(Duration::from_hours(1));
    assert_eq!(outcome(&world, &held), Refused(Refusal::Expired));
}

#[test]
fn max_staleness_only_tightens() {
    let own = PerType {
        secondary: Some(Duration::from_hours(1)),
        reverse: Some(Duration::from_secs(5)),
        ..PerType::default()
    };
    let (world, reverse, secondary) =
        (World::with_limits(own), good(TokenType::Reverse), good(TokenType::Secondary));
    let allowing =
        |token, seconds| Question { max_staleness: Some(Duration::from_secs(seconds)), ..ask(token) };
    world.clock.advance(Duration::from_secs(4));
    assert!(accepted(&world, &reverse));
    assert_eq!(outcome(&world, &allowing(&reverse, 3)), TOO_OLD, "the caller's limit");
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(outcome(&world, &allowing(&reverse, 3_600)), TOO_OLD, "the verifier's own limit");
    world.clock.advance(Duration::from_secs(55));
    assert_eq!(outcome(&world, &allowing(&secondary, 3_600)), TOO_OLD, "the announced limit");
    let told = world.verifier.trust_view().types;
    let staleness = |kind| told.get(kind).limit.unwrap().staleness.as_secs();
    assert_eq!(TokenType::ALL.map(staleness), [900, 5, 60]);
}

#[test]
fn at_least_of_a_lost_epoch_is_data_loss() {
    let (world, token) = (World::new(), good(TokenType::Pseudonymisation));
    let least = |epoch, sequence| Question { at_least: Some(Cursor::new(epoch, sequence)), ..ask(&token) };
    world.publish(|view| view.log = log(2, vec![Cursor::new(1, 10)], &[]));
    for reached in [least(2, 1), least(1, 10), least(0, 0)] {
        assert!(matches!(outcome(&world, &reached), Outcome::Accepted(_)));
    }
    assert_eq!(outcome(&world, &least(1, 11)), Undecidable(Undecided::CursorLost));
    for ahead in [least(2, 2), least(3, 1), least(u64::MAX, u64::MAX)] {
        assert_eq!(outcome(&world, &ahead), Undecidable(Undecided::NotReached));
    }
}

#[test]
fn a_wall_clock_that_steps_back_revives_nothing_and_lengthens_no_lease() {
    let (world, token) = (World::new(), good(TokenType::Reverse));
    world.publish(|view| view.log.confirmed(at(3_600)));
    assert_eq!(outcome(&world, &ask(&token)), Refused(Refusal::Expired), "log time ahead of the own clock");
    world.clock.set_wall(Timestamp::EPOCH);
    assert_eq!(outcome(&world, &ask(&token)), Refused(Refusal::Expired));

    let world = World::new();
    world.publish(|view| view.log.confirmed(at(0)));
    world.clock.advance(Duration::from_secs(10));
    world.clock.set_wall(Timestamp::EPOCH);
    assert!(accepted(&world, &token));
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(outcome(&world, &ask(&token)), TOO_OLD, "leases are judged on the boot clock");
}

#[test]
fn a_token_of_another_schema_is_refused_by_name() {
    let token = good(TokenType::Reverse);
    let [header, payload, _] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let payload = String::from_utf8(encoding::decode(payload).unwrap()).unwrap();
    let payload = encoding::encode(payload.replace(r#""schema":1"#, r#""schema":2"#).as_bytes());
    let input = format!("{header}.{payload}");
    let signature = encoding::encode(&key(0).sign(b"", input.as_bytes()).unwrap());
    let newer = format!("{input}.{signature}");
    assert_eq!(outcome(&World::new(), &ask(&newer)), Refused(Refusal::UnsupportedSchema(2)));
}

/// A clock that changes the world whenever it is looked at.
#[derive(Debug)]
struct Meddling {
    hands: Arc<ManualClock>,
    shared: Arc<SharedView>,
    looks: AtomicUsize,
}

impl Clock for Meddling {
    fn now(&self) -> Now {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.shared.publish(View::empty());
        self.hands.now()
    }
}

#[test]
fn a_batch_is_judged_on_one_view_at_one_instant() {
    let World { clock, shared, .. } = World::new();
    let meddling = Arc::new(Meddling { hands: clock, shared: shared.clone(), looks: AtomicUsize::new(0) });
    let policy = Policy::new("ipms".into(), "incert".into(), Duration::ZERO).unwrap();
    let verifier =
        Verifier::new(shared, policy, VerifiedTokens::new(0), meddling.clone(), PerType::default());
    let tokens = TokenType::ALL.map(good);
    let questions: Vec<_> = tokens.iter().map(|token| ask(token)).chain([ask("no token")]).collect();
    let judged = verifier.verify_all(&questions);
    let taken = |answer: &Result<Verdict, Undecided>| matches!(answer, Ok(Verdict::Accepted(_)));
    assert_eq!(judged.answer.iter().map(taken).collect::<Vec<_>>(), [true, true, true, false]);
    assert_eq!((meddling.looks.load(Ordering::Relaxed), judged.view.cursor), (1, Cursor::new(1, 1)));
    let undecided = Undecidable(Stale::NothingHeard.into());
    assert_eq!(told(verifier.verify(&questions[0]).answer), undecided, "the next one sees the new view");
    let counts = verifier.tally().counts();
    let counted: Vec<_> =
        counts.iter().filter(|one| one.count > 0).map(|one| (one.outcome, one.reason, one.count)).collect();
    assert_eq!(
        counted,
        [
            ("accepted", "", 1),
            ("accepted", "", 1),
            ("accepted", "", 1),
            ("refused", "MALFORMED", 1),
            ("undecided", "REVOCATIONS_STALE", 1)
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the ages, limits, positions and rules: accepted exactly when all of it is known to allow it.
    #[test]
    fn nothing_is_accepted_unless_everything_is_known(
        millis in 0_u64..20_000,
        own in proptest::option::of(1_u64..20_000),
        asked in proptest::option::of(1_u64..20_000),
        least in proptest::option::of(0_u64..4),
        entries in 0_usize..3,
        revoked: bool,
        leased: bool,
    ) {
        let own_limit = own.map(Duration::from_millis);
        let world = World::with_limits(PerType { reverse: own_limit, ..PerType::default() });
        let other = Rule::Token(common::token_id::TokenId::from_bytes([8; 16]));
        let mut rules = vec![other; entries];
        rules.extend(revoked.then(rule));
        world.publish(|view| {
            view.log = log(1, Vec::new(), &rules);
            view.lease = leased.then(|| lease(world.clock.now()));
        });
        world.clock.advance(Duration::from_millis(millis));
        let token = good_once();
        let question = Question {
            at_least: least.map(|sequence| Cursor::new(1, sequence)),
            max_staleness: asked.map(Duration::from_millis),
            ..ask(token)
        };
        let limit = own.into_iter().chain(asked).chain([10_000]).min().unwrap_or(0);
        let known = leased && millis <= limit && least.is_none_or(|least| least <= 1 + rules.len() as u64);
        let taken = matches!(outcome(&world, &question), Outcome::Accepted(_));
        prop_assert_eq!(taken, known && !revoked);
    }
}

/// Signing takes its time: once is enough.
fn good_once() -> &'static str {
    static TOKEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    TOKEN.get_or_init(|| good(TokenType::Reverse))
}
