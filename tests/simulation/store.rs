//! The store as a process sees it: over a network that delays, and loses requests and answers. The store itself keeps its
//! contract, and is rolled back and wiped from outside.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use common::{
    organisation_id::OrganisationId, project::Project, project_id::ProjectId, revocation::head::Link as End,
    timestamp::Timestamp, token_id::TokenId,
};
use issuer::{
    adapters::store::memory::MemoryStore,
    application::timer::Timer as _,
    domain::{
        followers::{Follower, Row, Tenure},
        key_holders::Holder,
        ledger::TokenRecord,
        policy_record::PolicyRecord,
        ports::{
            Answer, Append, Appended, Created, Loaded, LogEnd, Recorded, Recording, Store, StoreError,
            TokensOf,
        },
        rounds::{Round, Rounded},
        transfer::{Kept, Part},
    },
};

use crate::machine::{Dice, Machine};

/// What one issuer reaches the store through.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    pub(crate) store: Arc<MemoryStore>,
    /// Where true time passes. A store of many issuers has a clock, and it is right.
    pub(crate) world: Machine,
    /// Where the issuer runs.
    pub(crate) home: Machine,
    pub(crate) dice: Dice,
    pub(crate) link: Arc<Link>,
}

#[derive(Debug, Default)]
pub(crate) struct Link {
    pub(crate) cut: AtomicBool,
    /// The most that a message takes, in milliseconds.
    pub(crate) slow: AtomicU64,
}

impl Remote {
    /// A message goes one way. Lost, it is missed after a while.
    async fn hop(&self) -> Result<(), StoreError> {
        let slow = self.link.slow.load(Ordering::Relaxed);
        if slow > 0 {
            self.world.sleep(Duration::from_millis(self.dice.below(slow))).await;
        }
        if self.link.cut.load(Ordering::Relaxed) {
            self.world.sleep(MISSED).await;
            return Err(StoreError::Unreachable);
        }
        Ok(())
    }
}

/// As Redis is compared with, in milliseconds.
const CLOCKS_DIFFER: u64 = 5_000;
const MISSED: Duration = Duration::from_secs(2);

/// There, done, and back: what is lost on the way back was done.
macro_rules! ask {
    ($self:ident, $call:expr) => {
        Box::pin(async move {
            $self.hop().await?;
            let answer = $call.await;
            $self.hop().await?;
            answer
        })
    };
}

impl Store for Remote {
    fn copies(&self) -> u32 {
        1
    }

    fn load(&self) -> Answer<'_, Loaded> {
        ask!(self, self.store.load())
    }

    fn shared(&self) -> bool {
        self.store.shared()
    }

    fn clock_off(&self) -> bool {
        self.store.shared() && self.world.wall().abs_diff(self.home.wall()) > CLOCKS_DIFFER
    }

    fn confirmed_end(&self) -> Answer<'_, Option<LogEnd>> {
        ask!(self, self.store.confirmed_end())
    }

    fn runs(&self, end: LogEnd, behind: u64) -> Answer<'_, Option<Vec<Vec<u8>>>> {
        ask!(self, self.store.runs(end, behind))
    }

    fn create_project(&self, project: Project) -> Answer<'_, Created> {
        ask!(self, self.store.create_project(project))
    }

    fn project(&self, id: ProjectId) -> Answer<'_, Option<Project>> {
        ask!(self, self.store.project(id))
    }

    fn projects(
        &self,
        organisation: Option<OrganisationId>,
        after: Option<ProjectId>,
        most: usize,
    ) -> Answer<'_, Vec<Project>> {
        ask!(self, self.store.projects(organisation, after, most))
    }

    fn append(&self, append: Append) -> Answer<'_, Appended> {
        ask!(self, self.store.append(append))
    }

    fn record(&self, recording: Recording) -> Answer<'_, Recorded> {
        ask!(self, self.store.record(recording))
    }

    fn token(&self, id: TokenId) -> Answer<'_, Option<TokenRecord>> {
        ask!(self, self.store.token(id))
    }

    fn tokens(&self, of: TokensOf, before: Option<u64>, most: usize) -> Answer<'_, Vec<(u64, TokenRecord)>> {
        ask!(self, self.store.tokens(of, before, most))
    }

    fn forget_tokens(&self, expired_before: Timestamp, most: usize) -> Answer<'_, usize> {
        ask!(self, self.store.forget_tokens(expired_before, most))
    }

    fn trim(&self, epoch: u64, base: End) -> Answer<'_, ()> {
        ask!(self, self.store.trim(epoch, base))
    }

    fn save_policy(&self, record: PolicyRecord) -> Answer<'_, bool> {
        ask!(self, self.store.save_policy(record))
    }

    fn policy(&self) -> Answer<'_, Option<PolicyRecord>> {
        ask!(self, self.store.policy())
    }

    fn save_holder(&self, holder: Holder) -> Answer<'_, ()> {
        ask!(self, self.store.save_holder(holder))
    }

    fn holders(&self) -> Answer<'_, Vec<Holder>> {
        ask!(self, self.store.holders())
    }

    fn remove_holders(&self, instances: Vec<u64>) -> Answer<'_, ()> {
        ask!(self, self.store.remove_holders(instances))
    }

    fn save_follower(&self, row: Row) -> Answer<'_, Row> {
        ask!(self, self.store.save_follower(row))
    }

    fn remove_followers(&self, followers: Vec<(Follower, Option<Tenure>)>) -> Answer<'_, ()> {
        ask!(self, self.store.remove_followers(followers))
    }

    fn round(&self, round: Round) -> Answer<'_, Rounded> {
        ask!(self, self.store.round(round))
    }

    fn ledger(&self, after: u64, most: usize) -> Answer<'_, (Vec<Kept>, u64)> {
        ask!(self, self.store.ledger(after, most))
    }

    fn take_in(&self, part: Part) -> Answer<'_, bool> {
        ask!(self, self.store.take_in(part))
    }

    fn expel(&self, issuer: u64, number: Option<u64>) -> Answer<'_, bool> {
        ask!(self, self.store.expel(issuer, number))
    }
}
