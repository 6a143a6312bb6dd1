//! A verifier's following and judging inside this process: own connection, own file, own cache. Measures nothing.

use std::sync::Arc;

use common::{
    clock::{BootInstant, Clock as _, SystemClock},
    jws::Algorithm,
    keys::PublicKey,
    revocation::lease::BootId,
    token::kind::{PerType, TokenType},
    trust::LogKeys,
    verification::Policy,
};
use tokio::{sync::oneshot, task::JoinHandle};
use verifier::{
    adapters::{
        follow_client::{Endpoint, FollowClient, Introduction},
        snapshot::{Identity, Snapshot},
    },
    application::{
        alarms::Alarms,
        following::{FollowConfig, follow},
        shared_view::SharedView,
        verify::{Question, Verdict, Verifier},
    },
    domain::{cache::VerifiedTokens, session::Expected, view::View},
};

use crate::stand::{Failure, Issuer};

/// One of many.
pub(crate) struct Follower {
    shared: Arc<SharedView>,
    verifier: Arc<Verifier>,
    stop: oneshot::Sender<()>,
    following: JoinHandle<()>,
}

impl Follower {
    pub(crate) fn start(issuer: &Issuer, number: u64, file: bool) -> Result<Self, Failure> {
        let pem = std::fs::read_to_string(issuer.log_key())?;
        let log_keys = LogKeys::new(vec![PublicKey::from_pem(&pem, Algorithm::Ps256)?])?;
        let (name, realm) = (String::from("ipms"), String::from("default"));
        let identity = Identity { issuer: name.clone(), realm: realm.clone(), log_keys: log_keys.ids() };
        let path = issuer.folder.path().join(format!("follower-{number}"));
        let (book, initial) = if file {
            let opened = Snapshot::open(&path, &identity, &log_keys, BOOT, SystemClock.now())?;
            (Some(opened.snapshot), opened.view)
        } else {
            (None, View::empty())
        };
        let expected = Expected {
            issuer: name.clone(),
            realm: realm.clone(),
            log_keys,
            own_staleness: PerType::default(),
            boot: BOOT,
            keeps_file: file,
        };
        let follower_id = format!("follower-{number}");
        let introduction = Introduction { follower_id, instance: number, replaces: None, realm };
        let endpoint: Endpoint = format!("http://{}", issuer.address).parse()?;
        let client = FollowClient::new(vec![endpoint], introduction, number)?;
        let shared = Arc::new(SharedView::new(View::empty()));
        let policy = Policy::new(name, String::from("incert"), Policy::DEFAULT_LEEWAY)?;
        let cache = VerifiedTokens::new(CACHE_BYTES);
        let verifier =
            Verifier::new(Arc::clone(&shared), policy, cache, Arc::new(SystemClock), PerType::default());
        let config = FollowConfig { expected, book, initial };
        let (stop, stopped) = oneshot::channel::<()>();
        let (ours, clock, alarms) = (Arc::clone(&shared), Arc::new(SystemClock), Arc::new(Alarms::default()));
        let stopping = async move {
            stopped.await.ok();
        };
        let following = tokio::spawn(follow(config, client, ours, clock, alarms, stopping));
        Ok(Self { shared, verifier: Arc::new(verifier), stop, following })
    }

    /// Returns once it can decide.
    pub(crate) async fn ready(&self) -> Result<(), Failure> {
        let mut published = self.shared.published();
        while self.verifier.trust_view().types.get(TokenType::Pseudonymisation).decidable.is_err() {
            published.changed().await?;
        }
        Ok(())
    }

    /// Whether it takes the token; an error when it cannot tell.
    pub(crate) fn accepts(&self, token: &str) -> Result<bool, Failure> {
        accepts(&self.verifier, token)
    }

    /// When it first refused the token: it is asked again at every publication. `watching` is told before it waits.
    pub(crate) fn refusal(
        &self,
        token: Arc<str>,
        watching: oneshot::Sender<()>,
    ) -> JoinHandle<Result<BootInstant, Failure>> {
        let (mut published, verifier) = (self.shared.published(), Arc::clone(&self.verifier));
        tokio::spawn(async move {
            watching.send(()).ok();
            while accepts(&verifier, &token)? {
                published.changed().await?;
            }
            Ok(SystemClock.now().boot)
        })
    }

    /// When it first refused all of these, which it accepts together: every one is judged on the same view.
    pub(crate) fn refusals(
        &self,
        tokens: Vec<Arc<str>>,
        watching: oneshot::Sender<()>,
    ) -> JoinHandle<Result<BootInstant, Failure>> {
        let (mut published, verifier) = (self.shared.published(), Arc::clone(&self.verifier));
        tokio::spawn(async move {
            watching.send(()).ok();
            for token in tokens {
                while accepts(&verifier, &token)? {
                    published.changed().await?;
                }
            }
            Ok(SystemClock.now().boot)
        })
    }

    pub(crate) async fn stop(self) -> Result<(), Failure> {
        self.stop.send(()).ok();
        Ok(self.following.await?)
    }
}

fn accepts(verifier: &Verifier, token: &str) -> Result<bool, Failure> {
    let question = Question {
        token,
        accepted_types: vec![TokenType::Pseudonymisation],
        at_least: None,
        max_staleness: None,
        holder: None,
        audience: None,
    };
    match verifier.verify(&question).answer? {
        Verdict::Accepted(_) => Ok(true),
        Verdict::Refused(_) => Ok(false),
    }
}

const BOOT: BootId = BootId([1; 16]);
const CACHE_BYTES: usize = 1 << 18;
