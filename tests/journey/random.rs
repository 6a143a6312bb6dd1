//! Random journeys: whatever a holder of secondary tokens and of reverse tokens of the secondary project tries, in
//! whatever order, no original comes out.

use std::sync::atomic::{AtomicUsize, Ordering};

use common::proto::v1::{Alphabet, TokenType, Treatment};
use harness::orders::{self, OTHER, OWNER, PARTNER};
use proptest::{
    collection::vec,
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};

use crate::rig::{End, NAMES, Rig, formed};

/// One step: which token, whether at the wrong endpoint, whether with values of the last answer only, and which of them
/// or of all that was seen so far; a low number spoils the value before.
type Step = (Index, bool, bool, Vec<(Index, u8)>);

fn journey() -> impl Strategy<Value = Vec<Step>> {
    let (wrong_end, recent) = (prop::bool::weighted(0.1), prop::bool::weighted(0.6));
    vec((any::<Index>(), wrong_end, recent, vec((any::<Index>(), 0_u8..40), 1..3)), 4..32)
}

fn spoilt(value: &str, how: u8) -> String {
    match how {
        0 => value.to_uppercase(),
        1 => value.chars().rev().collect(),
        2 => value.chars().skip(1).collect::<String>() + "0",
        _ => value.to_owned(),
    }
}

#[test]
fn no_journey_of_a_holder_of_secondary_and_reverse_tokens_reaches_an_original() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let rig = runtime.block_on(Rig::start());
    let (tokens, firsts) = runtime.block_on(async {
        for name in ["clinic", "study"] {
            rig.create(orders::reversible(name)).await.unwrap();
        }
        let other = orders::reversible("other-study");
        let other = formed(other, Treatment::AlwaysDifferent, Alphabet::Uuid, 36);
        rig.create(other).await.unwrap();
        let mut firsts = Vec::new();
        for organisation in [OWNER, OTHER] {
            let token = rig.token(orders::pseudonymise("clinic", organisation)).await;
            firsts.extend(rig.forward(&token, &NAMES).await);
        }
        let source = |project, organisation| orders::source(project, organisation);
        let orders = [
            orders::secondary("study", PARTNER, source("clinic", OWNER)),
            orders::secondary("study", PARTNER, source("clinic", OTHER)),
            orders::secondary("other-study", PARTNER, source("clinic", OWNER)),
            // Of the second level's own project: its first level is another layer.
            orders::secondary("other-study", PARTNER, source("study", PARTNER)),
            orders::secondary("study", PARTNER, source("other-study", PARTNER)),
            orders::reverse("study", PARTNER),
            orders::reverse("other-study", PARTNER),
            orders::pseudonymise("study", PARTNER),
        ];
        let mut tokens = Vec::new();
        for order in orders {
            let back = order.token_type() == TokenType::Reverse;
            tokens.push((rig.token(order).await, back));
        }
        (tokens, firsts)
    });
    let (up, down) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let counted = |end| match end {
        End::Forward => &up,
        End::Backward => &down,
    };
    let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&journey(), |steps| {
        let (mut seen, mut last) = (firsts.clone(), firsts.clone());
        for (token, wrong_end, recent, chosen) in &steps {
            let (token, back) = &tokens[token.index(tokens.len())];
            let known = if *recent { &last } else { &seen };
            let value = |(which, how): &(Index, u8)| spoilt(&known[which.index(known.len())], *how);
            let values: Vec<_> = chosen.iter().map(value).collect();
            let end = if back == wrong_end { End::Forward } else { End::Backward };
            match runtime.block_on(rig.ask(end, token, &values)) {
                Ok(answer) => {
                    counted(end).fetch_add(1, Ordering::Relaxed);
                    prop_assert_eq!(answer.len(), values.len());
                    let original = answer.iter().any(|one| NAMES.contains(&one.as_str()));
                    prop_assert!(!original, "{values:?} became {answer:?}");
                    seen.extend(answer.iter().cloned());
                    last = answer;
                }
                Err(told) => prop_assert!(matches!(told.status.as_u16(), 401 | 422), "{told:?}"),
            }
        }
        Ok(())
    });
    outcome.unwrap();
    let (up, down) = (up.into_inner(), down.into_inner());
    assert!(up > 50 && down > 20, "journeys that go nowhere show nothing: {up} up, {down} down");
    let _within = runtime.enter();
    drop(rig);
}
