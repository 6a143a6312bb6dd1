//! The shared store: Redis or its compatible, alone, under Sentinels or as a cluster. One script for each step,
//! acknowledged by as many copies as the settings ask for. Decides nothing.

mod address;
mod checks;
mod connections;
mod dial;
mod keeper;
mod keys;
mod reads;
mod refusal;
mod register;
mod rounds;
mod scripts;
mod standing;
mod steps;
mod transfer;
mod whereabouts;

use std::{path::PathBuf, sync::Arc, time::Duration};

use common::{
    clock::Clock,
    organisation_id::OrganisationId,
    project::Project,
    project_id::ProjectId,
    revocation::head::Link,
    secret::{Secret, SecretError},
    timestamp::Timestamp,
    token_id::TokenId,
};
use redis::RedisConnectionInfo;
use tokio::sync::watch;

use self::{
    address::Topology, checks::Demands, connections::Connections, dial::Dialler, keeper::Target, keys::Keys,
    whereabouts::Whereabouts,
};
pub use self::{
    address::{NoRedisUrl, RedisUrl},
    checks::{Risk, Unfit, Wrong},
    dial::{StoreTls, TlsFilesError},
    refusal::Refusal,
};
use super::seal::Seal;
use crate::domain::{
    followers::{Follower, Row, Tenure},
    key_holders::Holder,
    ledger::TokenRecord,
    policy_record::PolicyRecord,
    ports::{
        Answer, Append, Appended, Created, Entropy, Loaded, LogEnd, NoEntropy, Recorded, Recording, Store,
        TokensOf,
    },
    rounds::{Round, Rounded},
    transfer::{Kept, Part},
};

/// A realm's store in a Redis server that any number of issuers share.
///
/// Every call ends within its deadline. A server that is frozen, gone or set wrongly makes every call answer
/// [`StoreError::Unreachable`](crate::domain::ports::StoreError::Unreachable) until it is well again.
#[derive(Debug)]
pub struct RedisStore {
    connections: Connections,
    keys: Keys,
    seal: Seal,
    copies: u32,
    /// The name under which this issuer's audit mark is kept.
    audit: String,
}

/// Which servers, and what they must promise.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Where they are.
    pub url: RedisUrl,
    /// The files behind TLS, if the URL asks for it.
    pub tls: Option<StoreTls>,
    /// The file that holds the password.
    pub password_file: Option<PathBuf>,
    /// How many machines hold the data, master included, from 1. More than half of them must acknowledge each step.
    pub copies: u32,
    /// How long a call may take.
    pub deadline: Duration,
    /// The name of this issuer among those of the realm: each has an audit trail of its own.
    pub issuer: String,
    /// What the operator accepts that may be lost without notice.
    pub accept_risks: Vec<Risk>,
}

impl RedisStore {
    /// Connects, and looks at the server's settings.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        settings: &RedisSettings,
        realm: &str,
        seal: Seal,
        entropy: &dyn Entropy,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let RedisSettings { url, copies, deadline, .. } = settings;
        let (copies, deadline) = (*copies, *deadline);
        let dialler = Dialler { tls: settings.tls.clone().filter(|_| url.tls()), login: login(settings)? };
        if let Some(files) = &dialler.tls {
            // Looked at now, so that a mistake in them is told as one.
            files.configure()?;
        }
        let keys = Keys::new(realm, &settings.issuer);
        let (whereabouts, lookout) = Whereabouts::of(&url.topology, &dialler, &keys.meta, deadline);
        let cluster = matches!(url.topology, Topology::Cluster { .. });
        let target = Target {
            dialler,
            whereabouts,
            demands: Demands { cluster, copies, accepted: settings.accept_risks.clone() },
            deadline,
            clock,
            standing: Arc::default(),
            doubt: watch::Sender::default(),
        };
        let mut seed = [0; 32];
        entropy.fill(&mut seed)?;
        let connections = Connections::open(target, lookout, (copies / 2, keys.meta.clone()), seed).await?;
        let audit = format!("audit:{}", settings.issuer);
        Ok(Self { connections, keys, seal, copies: copies / 2 + 1, audit })
    }
}

/// As whom.
fn login(settings: &RedisSettings) -> Result<RedisConnectionInfo, OpenError> {
    let mut login =
        RedisConnectionInfo::default().set_db(settings.url.database.into()).set_skip_set_lib_name();
    if let Some(user) = &settings.url.user {
        login = login.set_username(user);
    }
    if let Some(file) = &settings.password_file {
        let secret = Secret::read(file)?;
        let text = std::str::from_utf8(secret.expose_secret_bytes()).map_err(|_no_text| OpenError::NoText)?;
        login = login.set_password(text.trim_end_matches(['\r', '\n']));
    }
    Ok(login)
}

impl Store for RedisStore {
    fn copies(&self) -> u32 {
        self.copies
    }

    fn load(&self) -> Answer<'_, Loaded> {
        Box::pin(self.see_all())
    }

    fn shared(&self) -> bool {
        true
    }

    fn complaint(&self) -> Option<String> {
        self.connections.standing().complaint()
    }

    fn clock_off(&self) -> bool {
        self.connections.standing().clock_off()
    }

    fn confirmed_end(&self) -> Answer<'_, Option<LogEnd>> {
        Box::pin(self.take_end())
    }

    fn runs(&self, end: LogEnd, behind: u64) -> Answer<'_, Option<Vec<Vec<u8>>>> {
        // An issuer ends where an append ended, and there the next one begins.
        Box::pin(self.see_runs(end, behind, format!("[{}", keys::digits(behind.saturating_add(1)))))
    }

    fn create_project(&self, project: Project) -> Answer<'_, Created> {
        Box::pin(self.take_create(project))
    }

    fn project(&self, id: ProjectId) -> Answer<'_, Option<Project>> {
        Box::pin(self.see_project(id))
    }

    fn projects(
        &self,
        organisation: Option<OrganisationId>,
        after: Option<ProjectId>,
        most: usize,
    ) -> Answer<'_, Vec<Project>> {
        Box::pin(self.see_projects(organisation, after, most))
    }

    fn append(&self, append: Append) -> Answer<'_, Appended> {
        Box::pin(self.take_append(append))
    }

    fn record(&self, recording: Recording) -> Answer<'_, Recorded> {
        Box::pin(self.take_record(recording))
    }

    fn token(&self, id: TokenId) -> Answer<'_, Option<TokenRecord>> {
        Box::pin(self.see_token(id))
    }

    fn tokens(&self, of: TokensOf, before: Option<u64>, most: usize) -> Answer<'_, Vec<(u64, TokenRecord)>> {
        Box::pin(self.see_tokens(of, before, most))
    }

    fn forget_tokens(&self, expired_before: Timestamp, most: usize) -> Answer<'_, usize> {
        Box::pin(self.take_forget(expired_before, most))
    }

    fn trim(&self, epoch: u64, base: Link) -> Answer<'_, ()> {
        Box::pin(self.take_trim(epoch, base))
    }

    fn save_policy(&self, record: PolicyRecord) -> Answer<'_, bool> {
        Box::pin(self.take_policy(record))
    }

    fn policy(&self) -> Answer<'_, Option<PolicyRecord>> {
        Box::pin(self.see_policy())
    }

    fn save_holder(&self, holder: Holder) -> Answer<'_, ()> {
        Box::pin(self.take_hold(holder))
    }

    fn holders(&self) -> Answer<'_, Vec<Holder>> {
        Box::pin(self.see_holders())
    }

    fn remove_holders(&self, instances: Vec<u64>) -> Answer<'_, ()> {
        Box::pin(self.take_let_go(instances))
    }

    fn save_follower(&self, row: Row) -> Answer<'_, Row> {
        Box::pin(self.take_join(row))
    }

    fn remove_followers(&self, followers: Vec<(Follower, Option<Tenure>)>) -> Answer<'_, ()> {
        Box::pin(self.take_leave(followers))
    }

    fn round(&self, round: Round) -> Answer<'_, Rounded> {
        Box::pin(self.take_round(round))
    }

    fn ledger(&self, after: u64, most: usize) -> Answer<'_, (Vec<Kept>, u64)> {
        Box::pin(self.see_ledger(after, most))
    }

    fn take_in(&self, part: Part) -> Answer<'_, bool> {
        Box::pin(self.take_part(part))
    }

    fn expel(&self, issuer: u64, number: Option<u64>) -> Answer<'_, bool> {
        Box::pin(self.take_expel(issuer, number))
    }
}

/// Why the store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The files behind TLS.
    #[error(transparent)]
    Tls(#[from] TlsFilesError),
    /// The password's file.
    #[error("store.password_file: {0}")]
    Password(#[from] SecretError),
    /// What is in it.
    #[error("store.password_file is no text")]
    NoText,
    /// The server.
    #[error("Redis: {0}")]
    Unfit(#[from] Unfit),
    /// No seed.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}
