//! The shared store: one Redis server or its compatible, one script for each step, acknowledged by as many copies as the
//! settings ask for. Decides nothing.

mod checks;
mod connections;
mod keys;
mod reads;
mod refusal;
mod register;
mod scripts;
mod steps;
mod transfer;

use std::{path::PathBuf, time::Duration};

use common::{
    organisation_id::OrganisationId,
    project::Project,
    project_id::ProjectId,
    revocation::head::Link,
    secret::{Secret, SecretError},
    timestamp::Timestamp,
    token_id::TokenId,
};
use redis::{Client, IntoConnectionInfo as _};

use self::{
    checks::Demands,
    connections::{Connections, Target},
    keys::Keys,
};
pub use self::{
    checks::{Unfit, Wrong},
    refusal::Refusal,
};
use super::seal::Seal;
use crate::domain::{
    followers::{Follower, Row, Tenure},
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

/// Which server, and what it must promise.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// `redis://[user@]host[:port][/db]` or `unix:///path`. No password.
    pub url: String,
    /// The file that holds the password.
    pub password_file: Option<PathBuf>,
    /// How many machines hold the data, master included, from 1. More than half of them must acknowledge each step.
    pub copies: u32,
    /// How long a call may take.
    pub deadline: Duration,
    /// The name of this issuer among those of the realm: each has an audit trail of its own.
    pub issuer: String,
    /// The operator accepts that a crash of the server may lose what it acknowledged last.
    pub accept_weaker_durability: bool,
}

impl RedisSettings {
    /// Whether the URL is one of a server, and holds no password.
    pub fn url_is_plain(&self) -> bool {
        let known = self.url.starts_with("redis://") || self.url.starts_with("unix:///");
        let info = self.url.as_str().into_connection_info();
        known && info.is_ok_and(|info| info.redis_settings().password().is_none())
    }
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
    ) -> Result<Self, OpenError> {
        let url = |_not_one| OpenError::Url;
        let mut info = settings.url.as_str().into_connection_info().map_err(url)?;
        if let Some(file) = &settings.password_file {
            let secret = Secret::read(file)?;
            let text =
                std::str::from_utf8(secret.expose_secret_bytes()).map_err(|_no_text| OpenError::NoText)?;
            let with_password =
                info.redis_settings().clone().set_password(text.trim_end_matches(['\r', '\n']));
            info = info.set_redis_settings(with_password);
        }
        let target = Target {
            client: Client::open(info).map_err(url)?,
            demands: Demands { accept_weaker_durability: settings.accept_weaker_durability },
            deadline: settings.deadline,
            replicas: settings.copies / 2,
        };
        let mut seed = [0; 32];
        entropy.fill(&mut seed)?;
        let keys = Keys::new(realm);
        let connections = Connections::open(target, keys.meta.clone(), seed).await?;
        Ok(Self {
            connections,
            keys,
            seal,
            copies: settings.copies / 2 + 1,
            audit: format!("audit:{}", settings.issuer),
        })
    }
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

    fn save_follower(&self, row: Row) -> Answer<'_, Row> {
        Box::pin(self.take_join(row))
    }

    fn remove_followers(&self, followers: Vec<(Follower, Tenure)>) -> Answer<'_, ()> {
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
    /// The URL.
    #[error("store.url is no address of a Redis server")]
    Url,
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
