//! The attacks of the forge: each is refused as its line in tests/vectors/attacks.tsv says, in process and by a running
//! verifier. Never a rule of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::PathBuf,
};

use aws_lc_rs::digest::{SHA256, digest};
use common::{
    encoding,
    jws::Algorithm,
    token::{Limits, kind::TokenType},
    verification::Presented,
};
use forge::{
    attacks::{Family, families},
    judge::{ANNOUNCED, judged, judged_in_its_minute},
    tokens::{Draft, ISSUED, PS256, RS256},
};
use harness::pair::Pair;

use crate::{own::code, root, running, setting};

fn table() -> PathBuf {
    root().join("tests/vectors/attacks.tsv")
}

fn all() -> impl Iterator<Item = (Family, forge::attacks::Attack)> {
    families().into_iter().flat_map(|family| {
        let attacks = family.attacks.clone();
        attacks.into_iter().map(move |attack| (family.clone(), attack))
    })
}

#[test]
fn every_attack_is_refused_for_the_reason_that_the_table_gives() {
    let mut lines = String::from(
        "# Family, attack, refusal, the first letters of the token's SHA-256 (without a random signature).\n",
    );
    let mut names = BTreeSet::new();
    let mut counts = BTreeMap::<_, usize>::new();
    let mut wrong = Vec::new();
    for (family, attack) in all() {
        assert!(names.insert((family.name, attack.name.clone())), "{}: {} twice", family.name, attack.name);
        let presented = Presented { accepted_types: &TokenType::ALL, holder: None };
        let verdict = judged(&attack.token, &*ANNOUNCED, &Limits::default(), &presented, ISSUED + 60).err();
        if verdict != Some(attack.refused) {
            wrong.push(format!("{}: {}: {verdict:?}, not {:?}", family.name, attack.name, attack.refused));
        }
        let stable = if attack.random { attack.token.rsplit_once('.').unwrap().0 } else { &attack.token };
        let hash = encoding::encode(&digest(&SHA256, stable.as_bytes()).as_ref()[..6]);
        writeln!(lines, "{}\t{}\t{}\t{hash}", family.name, attack.name.escape_debug(), code(attack.refused))
            .unwrap();
        *counts.entry(family.name).or_default() += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} attacks refused in process: {counts:?}", names.len());
    assert!(names.len() >= 300 && counts.len() >= 15, "{counts:?}");
    let write = setting("IPMS_WRITE_VECTORS").is_some_and(|wanted| wanted == "1");
    if write {
        fs::write(table(), &lines).unwrap();
    }
    let committed = fs::read_to_string(table()).unwrap_or_default();
    for (made, committed) in lines.lines().zip(committed.lines()) {
        assert_eq!(made, committed, "tests/vectors/attacks.tsv has drifted: tests/vectors/regenerate");
    }
    assert_eq!(lines.lines().count(), committed.lines().count(), "tests/vectors/regenerate");
}

/// Nothing but the change makes an attack an attack: what they all begin as is accepted.
#[test]
fn what_every_attack_is_made_of_is_accepted() {
    for kind in TokenType::ALL {
        for signer in [&*PS256, &*RS256] {
            let mut draft = Draft::of(kind, "good");
            draft.sign_with(signer);
            assert!(judged_in_its_minute(&draft.token()).is_ok());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_verifier_refuses_every_attack_for_the_same_reason() {
    for algorithm in [Algorithm::Rs256, Algorithm::Ps256] {
        let pair = Pair::with(running::under_the_test_key(algorithm)).await;
        let mut good = Draft::of(TokenType::Reverse, "good");
        good.sign_with(if algorithm == Algorithm::Ps256 { &PS256 } else { &RS256 });
        pair.accepted(&good.token()).await;
        let mut refused = 0;
        for (family, attack) in all().filter(|(_, attack)| attack.key == algorithm) {
            let reason = pair.refused(&attack.token).await;
            assert_eq!(running::code(reason), code(attack.refused), "{}: {}", family.name, attack.name);
            refused += 1;
        }
        println!("{} attacks refused by a running verifier under its {} key", refused, algorithm.as_str());
        assert!(refused > 0);
        pair.accepted(&good.token()).await;
    }
}
