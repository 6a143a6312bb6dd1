//! Tokens ordered while permissions come and go: what is accepted afterwards was permitted all along.

use std::{collections::BTreeMap, sync::Arc};

use common::proto::v1::{Cursor, IssueTokenRequest, TokenType, verify_token_response::Verdict};
use harness::{
    calls::Calls,
    expect,
    orders::{self, OTHER, OWNER, PARTNER, source},
    pair::Pair,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tonic::Code;

/// Who may use a project: for each collaborator whether it can reverse. `None` when it is closed.
type Permitted = Option<BTreeMap<&'static str, bool>>;

/// What is ordered: for whom, of which type. SECONDARY is ordered by the owner, from the layer of the one who is named.
#[derive(Clone, Copy, Debug)]
struct Wish {
    organisation: &'static str,
    kind: TokenType,
}

impl Wish {
    fn draw(random: &mut StdRng) -> Self {
        let organisations = [OWNER, PARTNER, OTHER];
        let kinds = [TokenType::Pseudonymisation, TokenType::Reverse, TokenType::Secondary];
        let organisation = *organisations.get(random.random_range(0..3)).unwrap();
        Self { organisation, kind: *kinds.get(random.random_range(0..3)).unwrap() }
    }

    fn order(self, project: &str) -> IssueTokenRequest {
        match self.kind {
            TokenType::Secondary => orders::secondary("second", OWNER, source(project, self.organisation)),
            kind @ (TokenType::Unspecified | TokenType::Pseudonymisation | TokenType::Reverse) => {
                orders::order(kind, project, self.organisation)
            }
        }
    }

    fn allowed(self, permitted: &Permitted) -> bool {
        let Some(collaborators) = permitted else { return false };
        let owner = self.organisation == OWNER;
        match self.kind {
            TokenType::Reverse => owner || collaborators.get(self.organisation) == Some(&true),
            TokenType::Unspecified | TokenType::Pseudonymisation | TokenType::Secondary => {
                owner || collaborators.contains_key(self.organisation)
            }
        }
    }
}

struct Got {
    wish: Wish,
    token: String,
    recorded: Cursor,
}

/// Orders until told to stop, and at least once more then.
async fn order(calls: Calls, project: String, seed: u64, rest: Arc<tokio::sync::Semaphore>) -> Vec<Got> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut got = Vec::new();
    while let Ok(_permit) = rest.acquire().await {
        let wish = Wish::draw(&mut random);
        match calls.issue(wish.order(&project)).await {
            Ok(issued) => {
                let recorded = issued.record.unwrap().recorded.unwrap();
                got.push(Got { wish, token: issued.token, recorded });
            }
            Err(refused) => {
                let rules =
                    ["NOT_A_COLLABORATOR", "REVERSE_NOT_GRANTED", "SOURCE_NOT_ACCESSIBLE", "PROJECT_CLOSED"];
                let reason = expect::reason(&refused);
                let (code, reason) = (refused.code(), reason.as_str());
                let known = (code == Code::Aborted && reason == "CHANGED_MEANWHILE")
                    || (code == Code::FailedPrecondition && rules.contains(&reason));
                assert!(known, "{refused:?}");
            }
        }
    }
    got
}

/// Changes permissions at random, and closes the project in the end if asked to. Tells what was permitted after each
/// change that withdrew something, and where the log was then.
async fn change(
    calls: &Calls,
    project: &str,
    seed: u64,
    close: bool,
) -> (Vec<(Cursor, Permitted)>, Permitted) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut history = Vec::new();
    let mut now = BTreeMap::from([(PARTNER, true), (OTHER, false)]);
    for _ in 0..CHANGES {
        now.clear();
        for organisation in [PARTNER, OTHER] {
            if random.random_bool(0.6) {
                now.insert(organisation, random.random_bool(0.5));
            }
        }
        let list = now.iter().map(|(id, can_reverse)| orders::collaborator(id, *can_reverse)).collect();
        let changed = calls.collaborate(project, list).await.unwrap();
        if let Some(revoked) = changed.revocation {
            history.push((revoked.cursor.unwrap(), Some(now.clone())));
        }
    }
    if !close {
        return (history, Some(now));
    }
    let closed = calls.close(project).await.unwrap();
    history.push((closed.revocation.unwrap().cursor.unwrap(), None));
    (history, None)
}

const CHANGES: usize = 12;

async fn round(pair: &Pair, seed: u64) {
    let project = format!("race-{seed}");
    pair.create(orders::reversible(&project)).await.unwrap();
    let rest = Arc::new(tokio::sync::Semaphore::new(6));
    let calls: &Calls = pair;
    let ordering: Vec<_> = (0..6)
        .map(|task| order(calls.clone(), project.clone(), seed * 100 + task, Arc::clone(&rest)))
        .map(tokio::spawn)
        .collect();
    let (history, last) = change(pair, &project, seed, seed.is_multiple_of(2)).await;
    rest.close();
    let mut got = Vec::new();
    for task in ordering {
        got.extend(task.await.unwrap());
    }
    let (end, _) = history.last().unwrap();
    let reach = pair.await_visibility(*end, std::time::Duration::from_secs(20)).await.unwrap();
    assert!(reach.reached);
    let order = |cursor: &Cursor| (cursor.epoch, cursor.sequence);
    let mut accepted = 0;
    for Got { wish, token, recorded } in &got {
        let later = history.iter().filter(|(cursor, _)| order(cursor) > order(recorded));
        let permitted = later.map(|(_, permitted)| permitted).chain([&last]).all(|one| wish.allowed(one));
        let verdict = pair.verify(token).await.unwrap().verdict.unwrap();
        let taken = matches!(verdict, Verdict::Accepted(_));
        assert_eq!(taken, permitted, "seed {seed}: {wish:?} recorded at {recorded:?}: {history:?}");
        accepted += usize::from(taken);
    }
    assert!(got.len() > accepted, "nothing was ordered that was withdrawn later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issuing_while_permissions_go_leaves_no_live_token_without_one() {
    let pair = Pair::start().await;
    pair.create(orders::reversible("second")).await.unwrap();
    for seed in 1..=4 {
        round(&pair, seed).await;
    }
}
