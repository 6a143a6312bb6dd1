//! Good tokens with every byte changed, and in larger ways: none passes its signature, in process or over the wire.
//!
//! Here is a sample. The whole is `forge`'s program `mutations`, and this test with `IPMS_MUTATIONS` set to how many are to be
//! sent; docs/SECURITY.md has the figures of the last whole run.

use common::{jws::Algorithm, proto::v1 as pb, proto::v1::verify_token_response::Verdict};
use forge::{
    judge::judged_in_its_minute,
    mutations::{Change, Several, every_bit, every_received},
    tally::Tally,
    variants::{good_tokens, good_tokens_of},
};
use harness::{calls::question, pair::Pair};

use crate::{running, setting};

#[test]
fn every_good_token_is_accepted_and_no_two_are_the_same() {
    let tokens = good_tokens();
    assert!(tokens.len() >= 100, "{}", tokens.len());
    for token in &tokens {
        assert_eq!(judged_in_its_minute(token).err(), None, "{token}");
    }
    let distinct: std::collections::BTreeSet<_> = tokens.iter().collect();
    assert_eq!(distinct.len(), tokens.len());
}

/// Every substitution, deletion and insertion of one token as received.
#[test]
fn no_byte_of_a_token_can_be_changed_removed_or_added() {
    let (token, mut tally) = (&good_tokens_of(Algorithm::Ps256)[18], Tally::default());
    every_received(token, |change, text| tally.note(text, &judged_in_its_minute(text), &change));
    println!("{tally}");
    assert_eq!(tally.accepted(), 0, "{}", tally.first_accepted());
    // At each position 255 other values and 256 new ones, the deletion, and what is put in behind.
    assert_eq!(tally.tried(), token.len() as u64 * 512 + 256);
    assert!(tally.reached_the_signature() > token.len() as u64 * 50, "{tally}");
}

/// Every bit behind the base64url, of one token of each type and algorithm.
#[test]
fn no_bit_of_a_token_can_be_changed() {
    let mut tally = Tally::default();
    for token in good_tokens().iter().step_by(18) {
        every_bit(token, |change, text| tally.note(text, &judged_in_its_minute(text), &change));
    }
    println!("{tally}");
    assert_eq!(tally.accepted(), 0, "{}", tally.first_accepted());
    assert!(tally.reached_the_signature() > 6 * 8 * (256 + 400), "{tally}");
}

#[test]
fn no_larger_change_passes_the_signature() {
    let tokens = good_tokens();
    let (mut several, mut tally) = (Several::new(&tokens, 1), Tally::default());
    while tally.tried() < 50_000 {
        if let Some(text) = several.next_text() {
            tally.note(text, &judged_in_its_minute(text), &Change::Several);
        }
    }
    println!("{tally}");
    assert_eq!(tally.accepted(), 0, "{}", tally.first_accepted());
    assert!(tally.reached_the_signature() > 1_000, "{tally}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_verifier_accepts_no_changed_token() {
    let wanted = setting("IPMS_MUTATIONS").map_or(20_000, |count| count.parse().unwrap());
    let seed = setting("IPMS_MUTATIONS_SEED").map_or(2, |seed| seed.parse().unwrap());
    let pair = Pair::with(running::under_the_test_key(Algorithm::Rs256)).await;
    let tokens = good_tokens_of(Algorithm::Rs256);
    let (mut several, mut client) = (Several::new(&tokens, seed), pair.verifying());
    let mut counts = std::collections::BTreeMap::<&str, u64>::new();
    while counts.values().sum::<u64>() < wanted {
        let mut requests = Vec::with_capacity(64);
        while requests.len() < 64 {
            requests.extend(several.next_text().map(question));
        }
        let sent: Vec<String> = requests.iter().map(|request| request.token.clone()).collect();
        let answer = client.verify_tokens(pb::VerifyTokensRequest { requests }).await.unwrap().into_inner();
        assert_eq!(answer.responses.len(), sent.len());
        for (response, token) in answer.responses.into_iter().zip(sent) {
            match response.verdict {
                Some(Verdict::Refused(refused)) => {
                    let code = running::code(refused.reason());
                    assert!(FORM_OR_SIGNATURE.contains(&code), "{code}, seed {seed}: {token}");
                    *counts.entry(code).or_default() += 1;
                }
                other => panic!("not refused, seed {seed}: {token}: {other:?}"),
            }
        }
    }
    println!("a running verifier refused, seed {seed}: {counts:?}");
    assert!(counts["BAD_SIGNATURE"] > wanted / 50, "{counts:?}");
    for token in &tokens {
        let holder = forge::tokens::HOLDER.to_vec();
        let question =
            pb::VerifyTokenRequest { holder_certificate_sha256: Some(holder.into()), ..question(token) };
        let verdict = client.verify_token(question).await.unwrap().into_inner().verdict;
        assert!(matches!(verdict, Some(Verdict::Accepted(_))), "{verdict:?}");
    }
}

/// A refusal for any other reason has passed the signature.
const FORM_OR_SIGNATURE: [&str; 4] = ["MALFORMED", "UNSUPPORTED_ALGORITHM", "UNKNOWN_KEY", "BAD_SIGNATURE"];
