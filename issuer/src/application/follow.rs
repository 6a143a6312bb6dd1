//! One running verifier's feed: what it is told, and when. Knows no stream; the transport carries what is said here.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use common::{
    key_id::KeyId,
    revocation::{
        cursor::Cursor,
        head::{Head, Link},
    },
    token::kind::PerType,
    trust::{Signed, Trust, Verified},
};

use crate::{
    application::{realm::Realm, timer::within},
    domain::{
        chain::Chain,
        chunks::Chunk,
        followers::{Answerable, BEHIND, Follower, Tenure},
        ports::StoreError,
    },
};

/// How a verifier opens its feed.
#[derive(Clone, Debug)]
pub struct Hello {
    /// Who.
    pub follower: Follower,
    /// The realm that it expects.
    pub realm: String,
    /// The head that it holds.
    pub head: Option<Signed>,
    /// The staleness limits that it applies; the announced ones where it has none of its own.
    pub limits: PerType<Duration>,
    /// The highest entry kind that it knows.
    pub entry_kinds: u32,
    /// The highest claims version that it knows.
    pub schema: u64,
    /// The instance that held its file before and has ended.
    pub replaces: Option<u64>,
}

/// What a verifier is told.
#[derive(Clone, Debug)]
pub enum Say {
    /// Keys and limits.
    Trust(Arc<Verified<Trust>>),
    /// The end of the log; the entries up to it follow.
    Head(Arc<Verified<Head>>),
    /// A run of entries.
    Entries(u64, Chunk),
    /// Everything that it holds of this epoch is wanted: entries were lost.
    Wanted(u64),
    /// The answer to a probe: this was the end of the log after the probe arrived.
    Answer(u64, Cursor, Duration),
}

/// A part of an offer.
#[derive(Clone, Debug)]
pub struct Part {
    /// The head that covers all of it.
    pub head: Signed,
    /// The number of its first entry.
    pub first: u64,
    /// The hash before it.
    pub previous: [u8; 32],
    /// Packed entries.
    pub entries: Vec<u8>,
    /// No more follow.
    pub last: bool,
}

/// A feed that is open.
#[derive(Debug)]
pub struct Feed {
    realm: Arc<Realm>,
    follower: Follower,
    limits: PerType<Duration>,
    /// Which hello of it this is.
    session: u64,
    trust: Option<Arc<Verified<Trust>>>,
    head: Option<Arc<Verified<Head>>>,
    /// Up to where entries were sent, or are known to be held.
    sent: Cursor,
    /// What the verifier held when it said hello.
    held: Option<Head>,
    probed: u64,
    /// An offer was asked for.
    wanted: bool,
    offer: Option<(Head, Chain)>,
}

impl Feed {
    /// Enters the verifier into the register, durably, and looks at what it holds.
    ///
    /// # Errors
    /// [`FollowError`].
    pub async fn open(realm: Arc<Realm>, hello: Hello) -> Result<Self, FollowError> {
        if hello.realm != realm.name {
            return Err(FollowError::OtherRealm);
        }
        if hello.entry_kinds < ENTRY_KINDS || hello.schema < common::token::claims::SCHEMA {
            return Err(FollowError::TooOld);
        }
        let session = enter(&realm, &hello.follower, hello.limits).await?;
        if let Some(instance) = hello.replaces.filter(|instance| *instance != hello.follower.instance) {
            let before = Follower { id: hello.follower.id.clone(), instance };
            realm.followers.ended(&before);
            realm.keys.leave(&before);
            // Whoever answered it: it asks nobody any more. What stays is waited for, as if it had not been said.
            realm.store.remove_followers(vec![(before, None)]).await.ok();
        }
        realm.keys.join(hello.follower.clone());
        let published = realm.log.published();
        // A head that no log key of ours signed tells nothing; the verifier is sent everything.
        let held = hello.head.and_then(|head| realm.log_keys.check::<Head>(&head).ok());
        let held = held.map(|held| held.statement().clone());
        let mut sent = Cursor::ZERO;
        if let Some(held) = &held {
            if published.holds(held) {
                sent = held.cursor();
            } else {
                realm.log.noticed(held.clone()).await;
            }
        }
        let follower = hello.follower;
        Ok(Self {
            realm,
            follower,
            limits: hello.limits,
            session,
            trust: None,
            head: None,
            held,
            sent,
            probed: 0,
            wanted: false,
            offer: None,
        })
    }

    /// Everything that the verifier has not been told of what stands now.
    ///
    /// # Errors
    /// [`FollowError::Corrupt`].
    pub fn catch_up(&mut self) -> Result<Vec<Say>, FollowError> {
        let published = self.realm.log.published();
        let mut say = Vec::new();
        if published.lost {
            // What is held here is not what was promised: nobody is told that it is the end of the log.
            if let Some(held) = self.held.as_ref().filter(|_| !self.wanted) {
                self.wanted = true;
                say.push(Say::Wanted(held.epoch));
            }
            return Ok(say);
        }
        if self.trust.as_ref().is_none_or(|told| !Arc::ptr_eq(told, &published.trust)) {
            say.push(Say::Trust(Arc::clone(&published.trust)));
            self.trust = Some(Arc::clone(&published.trust));
        }
        if self.head.as_ref().is_none_or(|told| !Arc::ptr_eq(told, &published.head)) {
            say.push(Say::Head(Arc::clone(&published.head)));
            self.head = Some(Arc::clone(&published.head));
            let end = published.log.cursor();
            let base = published.head.statement().base.sequence;
            let after = if self.sent.epoch == end.epoch { self.sent.sequence.max(base) } else { base };
            let runs = published.chunks.after(after).map_err(|_impossible| FollowError::Corrupt)?;
            say.extend(runs.into_iter().map(|run| Say::Entries(end.epoch, run)));
            self.sent = end;
        }
        Ok(say)
    }

    /// A probe arrived. The answer comes after the head that it speaks of; a verifier that is behind gets none, so that
    /// its lease ends.
    ///
    /// # Errors
    /// [`FollowError::ProbeOrder`], [`FollowError::Corrupt`].
    pub async fn probe(&mut self, number: u64) -> Result<Vec<Say>, FollowError> {
        if number <= self.probed {
            return Err(FollowError::ProbeOrder);
        }
        self.probed = number;
        let mut say = self.catch_up()?;
        let told = self.head.as_ref().filter(|_| !self.realm.log.published().lost);
        // Of its own store an issuer knows the end. Of a shared one it knows what the last confirmed round told.
        let age = if self.realm.store.shared() {
            self.realm.conditions.confirmed_age(self.realm.clock.now().boot)
        } else {
            Some(Duration::ZERO)
        };
        if age.is_some_and(|age| age > BEHIND) {
            // Cut off from the store: another issuer may not be.
            return Err(StoreError::Unreachable.into());
        }
        let (Some(head), Some(age)) = (told, age) else { return Ok(say) };
        match self.realm.followers.answer(&self.follower, self.session, self.realm.clock.now().boot) {
            Answerable::Yes => say.push(Say::Answer(number, head.statement().cursor(), age)),
            Answerable::NotNow | Answerable::Gone => {}
            Answerable::Enter => self.session = enter(&self.realm, &self.follower, self.limits).await?,
        }
        Ok(say)
    }

    /// Every reader of this verifier sees everything up to `cursor`, and so does its file; and these keys, if it says.
    ///
    /// # Errors
    /// [`FollowError::Unsent`]: it cannot have seen what it was not sent.
    pub fn acknowledge(&self, cursor: Cursor, keys: Option<BTreeSet<KeyId>>) -> Result<(), FollowError> {
        if let Some(keys) = keys {
            self.realm.keys.acknowledge(&self.follower, keys);
        }
        if cursor > self.sent {
            // What it held before is no news; what this log does not hold proves nothing here.
            let before = self.held.as_ref().is_some_and(|held| cursor <= held.cursor());
            return if before { Ok(()) } else { Err(FollowError::Unsent) };
        }
        self.realm.followers.acknowledge(&self.follower, cursor);
        Ok(())
    }

    /// A part of what the verifier holds. The last part completes it, and it is believed if it meets its signed head.
    ///
    /// # Errors
    /// [`FollowError::BadOffer`].
    pub async fn offer(&mut self, part: Part) -> Result<(), FollowError> {
        if !self.wanted {
            return Err(FollowError::BadOffer);
        }
        let begun = self.offer.take();
        let (head, mut chain) = if let Some(begun) = begun { begun } else { self.first_part(&part)? };
        chain.extend(&part.entries).map_err(|_broken| FollowError::BadOffer)?;
        if chain.entries().len() > MOST_OFFERED {
            return Err(FollowError::BadOffer);
        }
        if !part.last {
            self.offer = Some((head, chain));
            return Ok(());
        }
        if chain.end() != head.end {
            return Err(FollowError::BadOffer);
        }
        self.realm.log.offered(chain, head).await;
        Ok(())
    }

    fn first_part(&self, part: &Part) -> Result<(Head, Chain), FollowError> {
        let head = self.realm.log_keys.check::<Head>(&part.head);
        let head = head.map_err(|_stranger| FollowError::BadOffer)?.statement().clone();
        let before = part.first.checked_sub(1).ok_or(FollowError::BadOffer)?;
        // Complete only if what lies before it had expired when the head was signed.
        if before > head.base.sequence {
            return Err(FollowError::BadOffer);
        }
        let chain = Chain::new(head.epoch, Link { sequence: before, hash: part.previous });
        Ok((head, chain))
    }

    /// The verifier stops and answers nobody any more.
    pub async fn goodbye(self) {
        self.realm.followers.leave(&self.follower, self.session);
        self.realm.keys.leave(&self.follower);
        let tenure = Tenure { issuer: self.realm.followers.me(), session: self.session };
        // A row that stays in the store is taken out later, and waited for until then.
        self.realm.store.remove_followers(vec![(self.follower, Some(tenure))]).await.ok();
    }
}

/// Enters a verifier into the register, durably, and waits a moment until a confirmed round has shown its row there: only
/// from then on it may be answered. Returns which hello of it this is.
async fn enter(realm: &Realm, follower: &Follower, limits: PerType<Duration>) -> Result<u64, StoreError> {
    let row = realm.followers.join(follower.clone(), limits, realm.clock.now().boot);
    let session = row.tenure.session;
    let stands = realm.store.save_follower(row).await?;
    realm.followers.entered(&stands, realm.clock.now().boot);
    let shown = async {
        loop {
            let moved = realm.followers.moved();
            if realm.followers.holds(follower, session) {
                return;
            }
            moved.await;
        }
    };
    // Later is early enough: a probe is answered once it is there.
    let _late = within(&*realm.timer, SHOWN, shown).await;
    Ok(session)
}

/// Why a feed ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FollowError {
    /// The verifier expects another realm.
    #[error("another realm than this issuer's")]
    OtherRealm,
    /// It does not know what this issuer writes.
    #[error("this verifier does not know the entries or claims in use")]
    TooOld,
    /// Probes must count up.
    #[error("a probe whose number is not above the last one's")]
    ProbeOrder,
    /// It acknowledges what it was not sent.
    #[error("an acknowledgement of entries that were not sent")]
    Unsent,
    /// It offers what was not asked for, or what does not meet its signed head.
    #[error("an offer that was not asked for, or that does not meet its signed head")]
    BadOffer,
    /// The store did not take its row.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Our fault: the entries in memory cannot be read.
    #[error("the revocation log in memory cannot be read")]
    Corrupt,
}

/// A round shows a new row within this time, as long as the store answers.
const SHOWN: Duration = Duration::from_secs(1);
/// The highest entry kind in use: 0 genesis, 1 rule.
const ENTRY_KINDS: u32 = 1;
/// Entries of an offer, at most: some gigabytes of memory are not lent to a stranger.
const MOST_OFFERED: usize = 4_000_000;
