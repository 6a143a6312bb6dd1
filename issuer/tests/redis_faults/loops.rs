//! Faults again and again under load, a few of each in every run. `REDIS_KILLS`, `REDIS_FAILOVERS` and `REDIS_WIPES` ask
//! for more of them, `REDIS_SEED` for another order. Failure is an acknowledged step that is gone, or a loss that is not
//! noticed; the times are printed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use common::{
    revocation::{entry::Reason, rule::Rule},
    token_id::TokenId,
};
use issuer::{
    adapters::store::redis::{RedisSettings, RedisStore},
    application::revoke::{Selector, revoke},
    domain::ports::{Appended, Recorded, Store as _, StoreError},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    files::{appended_files, copy, put_back},
    realm::{House, noticed},
    samples::{Log, record, recording},
    server::RedisServer,
    servers::sentinel::{Group, as_store},
    steps::{begun, in_time, rounds},
    switches::{nothing_is_gone, revoke_on},
};

/// Two programs that write until they are told to stop: the log, and the ledger.
struct Load {
    stop: Arc<AtomicBool>,
    log: tokio::task::JoinHandle<Log>,
    tokens: tokio::task::JoinHandle<()>,
    recorded: Arc<Mutex<Vec<TokenId>>>,
}

impl Load {
    fn start(store: &Arc<RedisStore>, log: Log, random: &mut StdRng) -> Self {
        let (stop, recorded) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (ours, stopping) = (Arc::clone(store), Arc::clone(&stop));
        let log = tokio::spawn(async move { write_log(&ours, log, &stopping).await });
        let (ours, stopping, kept) = (Arc::clone(store), Arc::clone(&stop), Arc::clone(&recorded));
        let mut random = StdRng::from_seed(random.random());
        let tokens = tokio::spawn(async move {
            while !stopping.load(Ordering::SeqCst) {
                let mut token = record(1, "p");
                token.id = TokenId::from_bytes(random.random());
                let id = token.id;
                match ours.record(recording(token)).await {
                    Ok(Recorded::At(_)) => kept.lock().unwrap().push(id),
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => assert_eq!(error, StoreError::Unreachable),
                }
            }
        });
        Self { stop, log, tokens, recorded }
    }

    /// Ends, and checks that everything acknowledged is there.
    async fn check(self, store: &RedisStore, round: u64) -> Log {
        self.stop.store(true, Ordering::SeqCst);
        let log = self.log.await.unwrap();
        self.tokens.await.unwrap();
        let loaded = in_time("the log", async || store.load().await.ok()).await;
        assert_eq!(loaded.end, log.end, "round {round}");
        assert_eq!(loaded.runs.concat(), common::revocation::entry::pack(&log.entries), "round {round}");
        let recorded = self.recorded.lock().unwrap().clone();
        for id in recorded {
            let found = in_time("a record", async || store.token(id).await.ok()).await;
            assert!(found.is_some(), "round {round}: a recorded token is gone");
        }
        log
    }
}

/// Appends until told to stop, and then until the last outcome is known.
async fn write_log(store: &RedisStore, mut log: Log, stop: &AtomicBool) -> Log {
    loop {
        let (append, after) = log.step(1);
        let mut known = false;
        while !known {
            match store.append(append.clone()).await {
                Ok(Appended::Done) => known = true,
                // Its answer got lost, and the step stands.
                Ok(Appended::EndedElsewhere(end)) if end == after.end => known = true,
                Ok(answer) => panic!("acknowledged entries are gone: {answer:?}, after {:?}", log.end),
                Err(error) => assert_eq!(error, StoreError::Unreachable),
            }
        }
        log = after;
        if stop.load(Ordering::SeqCst) {
            return log;
        }
    }
}

/// A new epoch when a test has much to keep in memory and to read back each time. The log time goes on: a store never
/// takes it back.
async fn shortened(store: &RedisStore, log: Log) -> Log {
    if log.entries.len() < MANY {
        return log;
    }
    let (mut append, mut after) = log.next_epoch(1);
    let log_time = log.end.unwrap().log_time;
    append.end.log_time = log_time;
    after.end = Some(append.end);
    let opened = async || match store.append(append.clone()).await {
        Ok(Appended::Done) => Some(()),
        Ok(Appended::EndedElsewhere(end)) if end == after.end => Some(()),
        Ok(answer) => panic!("{answer:?}"),
        Err(_) => None,
    };
    in_time("a new epoch", opened).await;
    after
}

fn seeded() -> StdRng {
    let seed = rounds("REDIS_SEED", 1);
    println!("REDIS_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// What Redis itself drops counts as little as what it does not: the issuer must have every acknowledged revocation, and how
/// often it had to bring some back is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_in_failovers_under_load() {
    let mut random = seeded();
    let (mut group, house) = (Group::start(), House::new());
    let settings = RedisSettings { deadline: Duration::from_secs(1), ..group.settings() };
    let realm = house.issuer(&settings).await;
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let (mut gaps, mut mended) = (Vec::new(), 0);
    let mut epoch = realm.log.published().log.cursor().epoch;
    for round in 0..rounds("REDIS_FAILOVERS", 3) {
        let stop = Arc::new(AtomicBool::new(false));
        let revoking: Vec<_> = (0..4)
            .map(|_| {
                let random = StdRng::from_seed(random.random());
                revoke_on(Arc::clone(&realm), random, Arc::clone(&acknowledged), Arc::clone(&stop))
            })
            .map(tokio::spawn)
            .collect();
        tokio::time::sleep(Duration::from_millis(random.random_range(100..600))).await;
        let master = group.master();
        #[expect(clippy::disallowed_methods, reason = "a test measures real time")]
        let start = Instant::now();
        let way = if round < 3 { round } else { random.random_range(0..3) };
        match way {
            0 => group.servers[master].0.kill(),
            1 => group.servers[master].0.freeze(),
            _ => group.cut(master),
        }
        group = tokio::task::spawn_blocking(move || {
            group.promoted(master);
            group
        })
        .await
        .unwrap();
        in_time("a confirmed round", async || realm.store.confirmed_end().await.ok()).await;
        gaps.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(random.random_range(0..200))).await;
        match way {
            0 => group.servers[master].0.start_again(),
            1 => group.servers[master].0.thaw(),
            _ => group.heal(master),
        }
        group = tokio::task::spawn_blocking(move || {
            group.whole();
            group
        })
        .await
        .unwrap();
        stop.store(true, Ordering::SeqCst);
        for one in revoking {
            one.await.unwrap();
        }
        let published = nothing_is_gone(&realm, &acknowledged, round).await;
        mended += u64::from(published.log.cursor().epoch > epoch);
        epoch = published.log.cursor().epoch;
        let count = acknowledged.lock().unwrap().len();
        println!("round {round}: way {way}, {:?}, {count} acknowledged so far", gaps[gaps.len() - 1]);
    }
    gaps.sort();
    let (median, longest) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    let count = acknowledged.lock().unwrap().len();
    println!(
        "{} failovers, {count} revocations, none lost, {mended} times brought back; confirmed again after {median:?}, at most {longest:?}",
        gaps.len()
    );
    assert!(count > 20, "it revoked something");
    assert!(group.servers.iter().any(|(server, _)| server.tell(&as_store("ROLE")).contains("master")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_in_kills_under_load() {
    let mut random = seeded();
    let mut server = RedisServer::start();
    let store = Arc::new(server.open().await);
    let mut log = begun(&store).await;
    let mut acknowledged = 0;
    let count = rounds("REDIS_KILLS", 20);
    for round in 0..count {
        let load = Load::start(&store, log.clone(), &mut random);
        tokio::time::sleep(Duration::from_millis(random.random_range(0..40))).await;
        server.kill();
        server.start_again();
        let before = log.entries.len();
        log = load.check(&store, round).await;
        acknowledged += log.entries.len() - before;
        log = shortened(&store, log).await;
    }
    println!("{count} kills, {acknowledged} entries, none lost");
}

/// Each round: an issuer revokes, the server loses everything or goes back to an older copy, the issuer notices, and a new
/// one over the same journal holds every rule again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wipe_and_each_rollback_is_noticed_and_no_revocation_goes() {
    let mut random = seeded();
    let (house, backup) = (House::new(), tempfile::tempdir().unwrap());
    let mut server = RedisServer::start();
    let mut revoked = BTreeSet::new();
    let mut times = Vec::new();
    for round in 0..rounds("REDIS_WIPES", 6) {
        let realm = house.issuer(&server.settings()).await;
        for id in &revoked {
            assert!(
                realm.log.published().log.set().recorded(&Rule::Token(*id)).is_some(),
                "round {round}: a revocation is gone"
            );
        }
        let older = format!("{round}");
        copy(server.folder(), &backup.path().join(&older));
        for _ in 0..random.random_range(1..5) {
            let id = TokenId::from_bytes(random.random());
            let selector = || Selector::Tokens(vec![id]);
            // On a busy machine an answer may be late; asking again is safe.
            let asked =
                async || revoke(&realm, selector(), Reason::Operator, String::new(), "test").await.ok();
            in_time("a revocation", asked).await;
            revoked.insert(id);
        }
        #[expect(clippy::disallowed_methods, reason = "a test measures real time")]
        let mut start = Instant::now();
        let way = if round < 3 { round } else { random.random_range(0..3) };
        match way {
            0 => drop(server.tell("FLUSHALL")),
            1 => {
                server.kill();
                std::fs::remove_dir_all(appended_files(server.folder())).unwrap();
                server.start_again();
            }
            _ => {
                server.kill();
                put_back(&backup.path().join(&older), server.folder());
                server.start_again();
            }
        }
        if way != 0 {
            #[expect(clippy::disallowed_methods, reason = "from here on the loss can be seen")]
            {
                start = Instant::now();
            }
        }
        times.push(noticed(&realm, start).await);
        drop(realm);
    }
    times.sort();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{} wipes and rollbacks, {} rules, none lost; noticed after {median:?}, at most {longest:?}",
        times.len(),
        revoked.len()
    );
    assert!(longest < Duration::from_secs(20), "{longest:?}");
}

/// Entries in one epoch of a loop.
const MANY: usize = 5_000;
