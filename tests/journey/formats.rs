//! Treatments and output formats: what a pseudonym looks like, and what becomes of a value that comes again.

use common::proto::v1::{Alphabet, Treatment};
use harness::orders::{self, OWNER, PARTNER};
use http::StatusCode;

use crate::rig::{End, NAMES, Rig, formed};

const FORMATS: [(Alphabet, u32); 7] = [
    (Alphabet::Alphanumeric, 22),
    (Alphabet::Alphanumeric, 64),
    (Alphabet::Numeric, 39),
    (Alphabet::Numeric, 64),
    (Alphabet::Hexadecimal, 32),
    (Alphabet::Hexadecimal, 64),
    (Alphabet::Uuid, 36),
];

fn fits(alphabet: Alphabet, length: u32, pseudonym: &str) -> bool {
    let of = |good: fn(char) -> bool| pseudonym.chars().all(good);
    let digits = match alphabet {
        Alphabet::Alphanumeric => of(|c| c.is_ascii_alphanumeric()),
        Alphabet::Numeric => of(|c| c.is_ascii_digit()),
        Alphabet::Hexadecimal => of(|c| matches!(c, '0'..='9' | 'a'..='f')),
        Alphabet::Uuid => {
            let canonical: Result<common::organisation_id::OrganisationId, _> = pseudonym.parse();
            let marks = (pseudonym.as_bytes()[14], pseudonym.as_bytes()[19]);
            canonical.is_ok() && matches!(marks, (b'4', b'8' | b'9' | b'a' | b'b'))
        }
        Alphabet::Unspecified => false,
    };
    digits && pseudonym.len() == length as usize
}

#[tokio::test]
async fn every_format_and_treatment_makes_what_the_project_says_and_comes_back() {
    let rig = Rig::start().await;
    for (number, (alphabet, length)) in FORMATS.into_iter().enumerate() {
        for treatment in [Treatment::AlwaysSame, Treatment::AlwaysDifferent] {
            let name = format!("study-{number}-{}", i32::from(treatment));
            let project = formed(orders::reversible(&name), treatment, alphabet, length);
            rig.create(project).await.unwrap();
            let token = rig.token(orders::pseudonymise(&name, OWNER)).await;
            let twice = ["again", "again", "another"];
            let once = rig.forward(&token, &twice).await;
            let more = rig.forward(&token, &twice).await;
            assert!(once.iter().chain(&more).all(|one| fits(alphabet, length, one)), "{once:?}");
            assert_ne!(once[0], once[2]);
            let same = treatment == Treatment::AlwaysSame;
            assert_eq!((once[0] == once[1], once == more), (same, same), "{name}");
            let back = rig.token(orders::reverse(&name, OWNER)).await;
            for pseudonyms in [&once, &more] {
                assert_eq!(rig.backward(&back, pseudonyms).await, twice, "all of them still reverse");
            }

            // The second level by the same rules: of its own project, not of its source's.
            let upper = format!("{name}-second");
            rig.create(formed(orders::reversible(&upper), treatment, alphabet, length)).await.unwrap();
            let secondary = orders::secondary(&upper, PARTNER, orders::source(&name, OWNER));
            let secondary = rig.token(secondary).await;
            let again = [&once[..1], &once[..1], &once[2..]].concat();
            let second = rig.forward(&secondary, &again).await;
            let fresh = |one: &String| fits(alphabet, length, one) && !once.contains(one);
            assert!(second.iter().all(fresh), "{second:?}");
            assert_eq!(second[0] == second[1], same, "{upper}");
            let back = rig.token(orders::reverse(&upper, PARTNER)).await;
            assert_eq!(rig.backward(&back, &second).await, again);
        }
    }
}

#[tokio::test]
async fn what_is_always_the_same_is_so_within_its_domain_only() {
    let rig = Rig::start().await;
    for name in ["clinic", "study"] {
        rig.create(orders::reversible(name)).await.unwrap();
    }
    let mut seen = Vec::new();
    for (project, organisation) in [("clinic", OWNER), ("clinic", PARTNER), ("study", OWNER)] {
        let token = rig.token(orders::pseudonymise(project, organisation)).await;
        seen.extend(rig.forward(&token, &NAMES).await);
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 9);
}

#[tokio::test]
async fn what_is_not_reversible_is_kept_nowhere_and_still_has_a_second_level() {
    let rig = Rig::start().await;
    rig.create(orders::not_reversible("clinic")).await.unwrap();
    rig.create(orders::reversible("study")).await.unwrap();
    let token = rig.token(orders::pseudonymise("clinic", OWNER)).await;
    let first = rig.forward(&token, &NAMES).await;
    assert_eq!(rig.forward(&token, &NAMES).await, first);
    let secondary = rig.token(orders::secondary("study", PARTNER, orders::source("clinic", OWNER))).await;
    let second = rig.forward(&secondary, &first).await;
    let back = rig.token(orders::reverse("study", PARTNER)).await;
    assert_eq!(rig.backward(&back, &second).await, first);
    assert!(rig.issue(orders::reverse("clinic", OWNER)).await.is_err());
    assert_eq!(rig.fails(End::Backward, &back, &first).await, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(rig.reverse_directly("clinic", OWNER, &first).is_err(), "even without a token");
}
